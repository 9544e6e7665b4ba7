//! A DB instance of its own.

use super::super::catalog::{self, Storage};
use super::super::error::ApiError;
use super::super::modify::secret;
use super::super::params::Params;
use super::super::placement::{
    check_ca, check_quotas, lower_case_table_names, placement, windows, zones,
};
use super::super::state::{Changes, DbInstance};
use super::super::{Answer, Call, data, instances};
use super::credentials::{self, Master};
use super::request::Request;
use super::{check_logs, resolve_version};
use crate::kms;
use crate::world::{JobOutput, Timeline};

/// What only an instance of its own has: syntax.
struct Own {
    master: Master,
    db_name: Option<String>,
    port: i64,
    backup_retention: i64,
    storage: Asked,
    max_allocated_storage: Option<i64>,
}

/// Storage as asked for, before its combination is judged.
struct Asked {
    kind: Option<String>,
    gib: Option<i64>,
    iops: Option<i64>,
    throughput: Option<i64>,
}

impl Own {
    fn read(params: &Params, engine: &str) -> Result<Self, ApiError> {
        let port = params
            .integer("Port")?
            .unwrap_or_else(|| catalog::default_port(engine));
        if !(1150..=65_535).contains(&port) {
            return Err(ApiError::value("Port must be between 1150 and 65535."));
        }
        let backup_retention = params.integer("BackupRetentionPeriod")?.unwrap_or(1);
        if !(0..=35).contains(&backup_retention) {
            return Err(ApiError::value(format!(
                "Invalid backup retention period: {backup_retention}. Must be between 0 and 35."
            )));
        }
        let db_name = params.text("DBName");
        if let Some(name) = &db_name {
            check_db_name(name)?;
        }
        Ok(Self {
            master: credentials::master(params, engine)?,
            db_name,
            port,
            backup_retention,
            storage: Asked {
                kind: params.text("StorageType"),
                gib: params.integer("AllocatedStorage")?,
                iops: params.integer("Iops")?,
                throughput: params.integer("StorageThroughput")?,
            },
            max_allocated_storage: params.integer("MaxAllocatedStorage")?,
        })
    }
}

/// A database name: up to 64 letters and digits, a letter first.
pub(crate) fn check_db_name(name: &str) -> Result<(), ApiError> {
    let fine = name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if fine {
        Ok(())
    } else {
        Err(ApiError::value(
            "DBName must begin with a letter and contain only alphanumeric characters.",
        ))
    }
}

impl Asked {
    /// gp3 unless IOPS are given, then io1, within the limits of the type.
    fn settle(self, engine: &str) -> Result<Storage, ApiError> {
        let kind = self
            .kind
            .unwrap_or_else(|| if self.iops.is_some() { "io1" } else { "gp3" }.to_owned());
        if kind.starts_with("aurora") {
            return Err(ApiError::new(
                "StorageTypeNotSupported",
                format!("The storage type {kind} is not supported for the engine {engine}."),
            ));
        }
        let least = match kind.as_str() {
            "io1" | "io2" => 100,
            "standard" => 5,
            _ => 20,
        };
        match self.gib {
            Some(gib) if (least..=65_536).contains(&gib) => Storage {
                kind,
                gib,
                iops: self.iops,
                throughput: self.throughput,
            }
            .settle(engine, (self.iops, self.throughput)),
            size => Err(ApiError::value(format!(
                "Invalid storage size for engine name {engine} and storage type {kind}: {}",
                size.map_or_else(|| "null".to_owned(), |gib| gib.to_string())
            ))),
        }
    }
}

pub(super) fn create(call: &mut Call<'_>, request: Request) -> Answer {
    let (params, scope) = (call.params, call.scope);
    if request.engine.starts_with("aurora") {
        return Err(ApiError::value(
            "DBClusterIdentifier must be specified for an Aurora DB instance.",
        ));
    }
    let own = Own::read(params, &request.engine)?;
    let default_ca = call.region().default_ca.clone();
    let (backup_window, maintenance_window) = windows(&mut call.world.dice, &request.id);
    let resource_id = instances::new_resource_id(call, &request.id);

    // Referenced objects.
    let engine_version = resolve_version(
        call.region(),
        &request.engine,
        request.engine_version.as_deref(),
    )?;
    let region = call.region();
    if region.name_taken(&request.id) {
        return Err(ApiError::new(
            "DBInstanceAlreadyExists",
            "DB instance already exists",
        ));
    }
    let subnet_group = request
        .subnet_group
        .clone()
        .unwrap_or_else(|| "default".to_owned());
    if !region.subnet_groups.contains_key(&subnet_group) {
        return Err(ApiError::no_subnet_group(&subnet_group));
    }
    if let Some(name) = &request.parameter_group
        && !region.parameter_groups.contains_key(name)
    {
        return Err(ApiError::no_parameter_group(name));
    }
    if let Some(name) = &request.option_group
        && !region.option_groups.contains_key(name)
    {
        return Err(ApiError::no_option_group(name));
    }
    let ca = request.ca.clone().unwrap_or(default_ca);
    check_ca(&ca)?;
    let encrypt = request.encrypt.unwrap_or(false);
    let kms_key = match &request.kms_key {
        Some(key) => Some(kms::usable_by_rds(call.world, scope, key)?),
        None if encrypt => Some(kms::usable_by_rds(call.world, scope, "alias/aws/rds")?),
        None => None,
    };
    let pi_key = request.insights.resolve(call.world, scope, None)?;

    // Combinations.
    if request.promotion_tier.is_some() {
        return Err(ApiError::combination(
            "PromotionTier is only for members of an Aurora DB cluster.",
        ));
    }
    if !encrypt && kms_key.is_some() {
        return Err(ApiError::combination(
            "KmsKeyId can't be specified unless StorageEncrypted is true.",
        ));
    }
    if encrypt && !catalog::class_supports_encryption(&request.class) {
        return Err(ApiError::combination(format!(
            "DB Instance class {} does not support encryption at rest",
            request.class
        )));
    }
    request.monitoring.check(0, None)?;
    request.insights.check(false, None)?;
    let log_exports = params
        .list("EnableCloudwatchLogsExports")
        .unwrap_or_default();
    check_logs(&request.engine, &engine_version, &log_exports)?;
    let crate::world::World { regions, dice, .. } = call.world;
    let region = regions.entry(scope.clone()).or_default();
    let parameter_group = match request.parameter_group {
        Some(name) => {
            instances::check_parameter_group(region, &name, &request.engine, &engine_version)?;
            name
        }
        None => catalog::default_parameter_group(&request.engine, &engine_version),
    };
    let option_group = match request.option_group {
        Some(name) => {
            instances::check_option_group(region, &name, &request.engine, &engine_version)?;
            name
        }
        None => catalog::default_option_group(&request.engine, &engine_version),
    };
    let placement = placement(params, region)?;
    let (availability_zone, secondary_az) =
        zones(region, dice, &request.id, &subnet_group, &placement)?;
    let storage = own.storage.settle(&request.engine)?;
    if own
        .max_allocated_storage
        .is_some_and(|most| most <= storage.gib)
    {
        return Err(ApiError::combination(
            "The max storage size must be greater than the storage size.",
        ));
    }
    check_quotas(region, storage.gib)?;
    let lower_case_table_names = lower_case_table_names(region, &parameter_group);

    let managed_secret = match &own.master.password {
        Some(_) => None,
        None => Some(secret(call, &resource_id)?),
    };
    let password = own
        .master
        .password
        .unwrap_or_else(|| credentials::made(&mut call.world.dice, &resource_id));
    let pi_enabled = request.insights.enable.unwrap_or(false);
    let new = DbInstance {
        id: request.id,
        resource_id,
        class: request.class,
        engine_version,
        status: "creating".to_owned(),
        master_username: own.master.username,
        master_password: password.clone(),
        db_name: own.db_name,
        port: own.port,
        allocated_storage: storage.gib,
        backup_window: params
            .text("PreferredBackupWindow")
            .unwrap_or(backup_window),
        backup_retention: own.backup_retention,
        security_groups: placement.security_groups,
        parameter_group,
        parameter_status: "in-sync".to_owned(),
        option_group,
        option_status: "in-sync".to_owned(),
        availability_zone,
        secondary_az,
        subnet_group,
        maintenance_window: request.maintenance_window.unwrap_or(maintenance_window),
        // The password is shown, masked, until it is in force.
        pending: Changes {
            password: managed_secret.is_none().then_some(password),
            ..Changes::default()
        },
        multi_az: placement.multi_az,
        auto_minor_version_upgrade: request.auto_minor_version_upgrade,
        license_model: params
            .text("LicenseModel")
            .unwrap_or_else(|| catalog::default_license(&request.engine).to_owned()),
        iops: storage.iops,
        throughput: storage.throughput,
        storage_type: storage.kind,
        publicly_accessible: request.publicly_accessible,
        encrypted: kms_key.is_some(),
        encryption_type: if kms_key.is_some() { "sse-kms" } else { "none" }.to_owned(),
        kms_key,
        ca: Some(ca),
        copy_tags: request.copy_tags,
        monitoring_interval: request.monitoring.interval.unwrap_or(0),
        monitoring_role: request.monitoring.role,
        timezone: params.text("Timezone"),
        character_set: params.text("CharacterSetName"),
        iam_auth: params
            .boolean("EnableIAMDatabaseAuthentication")?
            .unwrap_or(false),
        insights_mode: request
            .insights
            .mode
            .unwrap_or_else(|| "standard".to_owned()),
        pi_enabled,
        pi_key,
        pi_retention: pi_enabled.then(|| request.insights.retention.unwrap_or(7)),
        log_exports,
        deletion_protection: request.deletion_protection,
        max_allocated_storage: own.max_allocated_storage,
        tags: request.tags,
        network_type: params
            .text("NetworkType")
            .unwrap_or_else(|| "IPV4".to_owned()),
        backup_target: params
            .text("BackupTarget")
            .unwrap_or_else(|| "region".to_owned()),
        dedicated_log_volume: params.boolean("DedicatedLogVolume")?.unwrap_or(false),
        lifecycle_support: params
            .text("EngineLifecycleSupport")
            .unwrap_or_else(|| "open-source-rds-extended-support".to_owned()),
        managed_secret,
        lower_case_table_names,
        engine: request.engine,
        ..DbInstance::default()
    };
    call.region().instances.push(new.clone());
    schedule(call, &new);
    instances::answer(call, &new)
}

/// `creating`, then `backing-up` or `modifying`, then `available`; monitoring is set up in between.
fn schedule(call: &mut Call<'_>, new: &DbInstance) {
    let (scope, now) = (call.scope, call.now);
    let took = call.world.takes(&format!("create/{}", new.id), (240, 600));
    let monitors = if new.monitoring_interval > 0 {
        call.world
            .takes(&format!("create-monitoring/{}", new.id), (60, 180))
    } else {
        0
    };
    call.world.lag(scope, now, &new.resource_id, None);
    let (backs_up, db_name) = (new.backup_retention > 0, new.db_name.clone());
    let creating = took * 7 / 10;
    let timeline = Timeline::new(scope, &new.resource_id)
        .then(0, move |moment| {
            let Some(engines) = moment.world.engines.clone() else {
                return;
            };
            let Some(spec) = data::present_spec(moment) else {
                return;
            };
            if !catalog::is_mysql_family(&spec.engine)
                || !engines.can_run(&spec.engine, &spec.engine_version)
            {
                return;
            }
            moment.start(async move {
                let server = engines.create(spec).await?;
                if let Some(name) = db_name {
                    // The name has been checked: letters and digits only.
                    engines
                        .run_sql(&server, &format!("CREATE DATABASE `{name}`;\n"))
                        .await?;
                }
                Ok(JobOutput::Server(server))
            });
        })
        .when_done(creating, move |moment| {
            data::take_server(moment);
            let now = moment.now;
            if let Some(instance) = moment.instance() {
                instance.created = Some(now);
                instance.pending = Changes::default();
                instance.status = if backs_up { "backing-up" } else { "modifying" }.to_owned();
                for group in &mut instance.security_groups {
                    group.status = "active".to_owned();
                }
                if let Some(secret) = &mut instance.managed_secret {
                    secret.status = "active".to_owned();
                }
            }
            moment.event("creation", "DB instance created");
            if backs_up {
                moment.event("backup", "Backing up DB instance");
            }
            data::open_endpoint(moment);
        })
        .when_done(took - creating, move |moment| {
            data::take_endpoint(moment);
            if backs_up {
                moment.event("backup", "Finished DB Instance backup");
            }
            moment.status(if monitors > 0 {
                "configuring-enhanced-monitoring"
            } else {
                "available"
            });
        })
        .then(monitors, move |moment| {
            if moment
                .instance()
                .is_some_and(|instance| instance.status == "configuring-enhanced-monitoring")
            {
                moment.status("available");
            }
        })
        .on_failure(|moment, error| data::fail(moment, "incompatible-create", &error));
    call.world.schedule(now, timeline);
}
