//! Read replicas: create and promote.
//!
//! A replica inherits class, engine, version, storage, auto minor upgrades and the option group; in the
//! same region also the source's parameter group and subnet group. Everything that protects or observes
//! is off unless asked for: backups, IAM authentication, monitoring, insights, log exports, deletion
//! protection, copied tags; and it has no tags of its own.

use super::catalog::{self, Storage};
use super::error::ApiError;
use super::links::replicas_everywhere;
use super::modify;
use super::names::{instance_id, parse_arn};
use super::placement::{check_ca, check_quotas, lower_case_table_names, placement, windows, zones};
use super::state::{Changes, DbInstance, Membership};
use super::{Answer, Call, data, instances, tags};
use crate::world::{JobOutput, Timeline};

/// `CreateDBInstanceReadReplica`.
pub(crate) fn create(call: &mut Call<'_>) -> Answer {
    let (params, scope, now) = (call.params, call.scope, call.now);
    let id = instance_id(
        "DBInstanceIdentifier",
        &params.required("DBInstanceIdentifier")?,
    )?;
    let reference = params.required("SourceDBInstanceIdentifier")?;
    let by_arn = parse_arn(&reference);
    // A source in another region is named by its ARN.
    let source_scope = by_arn
        .as_ref()
        .map_or_else(|| scope.clone(), |arn| arn.scope.clone());
    if source_scope.account != scope.account {
        return Err(ApiError::no_instance(&reference));
    }
    let elsewhere = source_scope != *scope;
    let given_tags = tags::from_request(params, "Tags")?;
    let source = instances::find(call.world.region_mut(&source_scope), &reference)?.clone();
    if let Some(key) = &source.kms_key {
        crate::kms::check_readable(call.world, &source_scope, key)?;
    }
    // Made on first use, like every region.
    call.region();
    let resource_id = instances::new_resource_id(call, &id);
    let (backup_window, maintenance_window) = windows(&mut call.world.dice, &id);
    let insights = modify::Insights::read(params)?;
    let monitoring = modify::Monitoring::read(params)?;
    let pi_key = insights.resolve(call.world, scope, None)?;
    let asked_key = match params.text("KmsKeyId") {
        Some(key) => Some(crate::kms::usable_by_rds(call.world, scope, &key)?),
        None => None,
    };

    let replicas = replicas_everywhere(call.world, &scope.account, &source.resource_id).count();
    let crate::world::World { regions, dice, .. } = call.world;
    let region = regions.entry(scope.clone()).or_default();
    // Referenced objects.
    if region.name_taken(&id) {
        return Err(ApiError::new(
            "DBInstanceAlreadyExists",
            "DB instance already exists",
        ));
    }
    // Option groups do not leave their region.
    let option_group = params.text("OptionGroupName").map_or_else(
        || {
            if elsewhere {
                catalog::default_option_group(&source.engine, &source.engine_version)
            } else {
                source.option_group.clone()
            }
        },
        |name| name.to_ascii_lowercase(),
    );
    instances::check_option_group(
        region,
        &option_group,
        &source.engine,
        &source.engine_version,
    )?;
    let subnet_group = match params
        .text("DBSubnetGroupName")
        .map(|name| name.to_ascii_lowercase())
    {
        Some(name) if !region.subnet_groups.contains_key(&name) => {
            return Err(ApiError::no_subnet_group(&name));
        }
        // In the same region the replica lives in its source's subnet group; only a source given by ARN may
        // come with another one.
        Some(_) if by_arn.is_none() => {
            return Err(ApiError::new(
                "DBSubnetGroupNotAllowedFault",
                "DbSubnetGroupName should not be specified for read replicas that are created in the same region as the master",
            ));
        }
        Some(name) => name,
        None if elsewhere => "default".to_owned(),
        None => source.subnet_group.clone(),
    };
    let ca = params
        .text("CACertificateIdentifier")
        .unwrap_or_else(|| region.default_ca.clone());
    check_ca(&ca)?;
    // State.
    if !source.is_ready() {
        return Err(ApiError::instance_state(format!(
            "DB instance {} is not in available state.",
            source.id
        )));
    }
    if source.backup_retention == 0 {
        return Err(ApiError::instance_state(
            "Automated backups are not enabled for this database instance. To enable automated backups, use ModifyDBInstance to set the backup retention period to a non-zero value.",
        ));
    }
    if source.managed_secret.is_some() {
        return Err(ApiError::combination(
            "You can't create a read replica of a DB instance whose master password is managed in Secrets Manager.",
        ));
    }
    if source.is_cluster_member() {
        return Err(ApiError::instance_state(format!(
            "The DB instance {} is a member of a cluster.",
            source.id
        )));
    }
    // Combinations.
    if asked_key.is_some() && !source.encrypted {
        return Err(ApiError::combination(
            "You cannot create an encrypted Read Replica from an unencrypted DB instance.",
        ));
    }
    // Keys live in one region: an encrypted replica elsewhere needs one of its own.
    if elsewhere && source.encrypted && asked_key.is_none() {
        return Err(ApiError::combination(
            "A KmsKeyId of the destination region must be specified to create an encrypted Read Replica in another region.",
        ));
    }
    let parameter_group = match params
        .text("DBParameterGroupName")
        .map(|name| name.to_ascii_lowercase())
    {
        Some(name) if !region.parameter_groups.contains_key(&name) => {
            return Err(ApiError::no_parameter_group(&name));
        }
        // Of these engines only MySQL takes a group, and only in another region.
        Some(name) if elsewhere && source.engine == "mysql" => {
            instances::check_parameter_group(
                region,
                &name,
                &source.engine,
                &source.engine_version,
            )?;
            name
        }
        Some(_) => {
            return Err(ApiError::combination(format!(
                "A parameter group can't be specified during Read Replica creation for the following DB engine: {}",
                source.engine
            )));
        }
        // In its source's region a replica has its source's group.
        None if elsewhere => {
            catalog::default_parameter_group(&source.engine, &source.engine_version)
        }
        None => source.parameter_group.clone(),
    };
    // Data and group must agree, and a group of another region need not.
    let names_agree = !elsewhere
        || source.engine != "mysql"
        || source.engine_version.starts_with("5.")
        || lower_case_table_names(region, &parameter_group) == source.lower_case_table_names;
    let class = params
        .text("DBInstanceClass")
        .unwrap_or_else(|| source.class.clone());
    if source.encrypted && !catalog::class_supports_encryption(&class) {
        return Err(ApiError::combination(format!(
            "DB instance class {class} does not support encryption at rest."
        )));
    }
    monitoring.check(0, None)?;
    insights.check(false, None)?;
    let placement = placement(params, region)?;
    let (availability_zone, secondary_az) = zones(region, dice, &id, &subnet_group, &placement)?;
    let sent = (
        params.integer("Iops")?,
        params.integer("StorageThroughput")?,
    );
    let kind = params
        .text("StorageType")
        .unwrap_or_else(|| source.storage_type.clone());
    let gib = params
        .integer("AllocatedStorage")?
        .unwrap_or(source.allocated_storage);
    if gib < source.allocated_storage {
        return Err(ApiError::combination(format!(
            "The allocated storage {gib} is smaller than the source's {}.",
            source.allocated_storage
        )));
    }
    let inherited = if kind == source.storage_type {
        (source.iops, source.throughput)
    } else {
        (None, None)
    };
    let storage = Storage {
        kind,
        gib,
        iops: sent.0.or(inherited.0),
        throughput: sent.1.or(inherited.1),
    }
    .settle(&source.engine, sent)?;
    // Quotas.
    if i64::try_from(replicas).unwrap_or(i64::MAX) >= region.quotas.replicas_per_source {
        return Err(ApiError::new(
            "InstanceQuotaExceeded",
            format!(
                "The DB instance {} has the maximum of {} read replicas.",
                source.id, region.quotas.replicas_per_source
            ),
        ));
    }
    check_quotas(region, storage.gib)?;

    let kms_key = if source.encrypted {
        asked_key.or_else(|| source.kms_key.clone())
    } else {
        None
    };
    let new = DbInstance {
        id: id.clone(),
        resource_id: resource_id.clone(),
        class,
        status: "creating".to_owned(),
        port: params
            .integer("Port")?
            .unwrap_or_else(|| catalog::default_port(&source.engine)),
        endpoint_host: None,
        allocated_storage: storage.gib,
        created: None,
        backup_window,
        // Backups are off on a new replica whatever its source does.
        backup_retention: 0,
        security_groups: placement.security_groups,
        parameter_group,
        parameter_status: "in-sync".to_owned(),
        option_group,
        option_status: "in-sync".to_owned(),
        availability_zone,
        secondary_az,
        subnet_group,
        maintenance_window,
        pending: Changes::default(),
        multi_az: placement.multi_az,
        auto_minor_version_upgrade: params
            .boolean("AutoMinorVersionUpgrade")?
            .unwrap_or(source.auto_minor_version_upgrade),
        replica_of: Some(source.resource_id.clone()),
        replication: None,
        iops: storage.iops,
        throughput: storage.throughput,
        storage_type: storage.kind,
        publicly_accessible: params.boolean("PubliclyAccessible")?.unwrap_or(false),
        kms_key,
        ca: Some(ca),
        copy_tags: params.boolean("CopyTagsToSnapshot")?.unwrap_or(false),
        monitoring_interval: monitoring.interval.unwrap_or(0),
        monitoring_role: monitoring.role.clone(),
        iam_auth: params
            .boolean("EnableIAMDatabaseAuthentication")?
            .unwrap_or(false),
        insights_mode: insights
            .mode
            .clone()
            .unwrap_or_else(|| "standard".to_owned()),
        pi_enabled: insights.enable.unwrap_or(false),
        pi_key,
        pi_retention: insights
            .enable
            .unwrap_or(false)
            .then(|| insights.retention.unwrap_or(7)),
        log_exports: params
            .list("EnableCloudwatchLogsExports")
            .unwrap_or_default(),
        deletion_protection: params.boolean("DeletionProtection")?.unwrap_or(false),
        roles: Vec::new(),
        max_allocated_storage: params
            .integer("MaxAllocatedStorage")?
            .filter(|most| *most > storage.gib),
        tags: given_tags.unwrap_or_default(),
        network_type: params
            .text("NetworkType")
            .unwrap_or_else(|| "IPV4".to_owned()),
        dedicated_log_volume: params.boolean("DedicatedLogVolume")?.unwrap_or(false),
        managed_secret: None,
        automatic_restart: None,
        storage_changed: None,
        server: None,
        stale: None,
        hidden: false,
        ..source.clone()
    };
    region.instances.push(new.clone());

    // The source is snapshotted for its replica: it is busy for a while, and a second replica has to wait.
    if let Some(truth) = call
        .world
        .region_mut(&source_scope)
        .by_resource_mut(&source.resource_id)
    {
        truth.status = "modifying".to_owned();
    }
    call.world.lag(
        &source_scope,
        now,
        &source.resource_id,
        Some(source.clone()),
    );
    call.world.lag(scope, now, &resource_id, None);
    let took = call.world.takes(&format!("replica/{id}"), (480, 900));
    let busy = call
        .world
        .takes(&format!("replica-source/{}", source.id), (60, 150));
    call.world.schedule(
        now,
        Timeline::new(&source_scope, &source.resource_id)
            .then(busy / 2, |moment| moment.status("backing-up"))
            .then(busy - busy / 2, |moment| {
                if moment
                    .instance()
                    .is_some_and(|instance| instance.status == "backing-up")
                {
                    moment.status("available");
                }
            }),
    );
    let source_resource = source.resource_id.clone();
    let creating = took * 8 / 10;
    let timeline = Timeline::new(scope, &resource_id)
        .then(busy, move |moment| {
            let from = moment
                .world
                .region_mut(&source_scope)
                .by_resource(&source_resource)
                .and_then(|source| source.server.clone());
            let (Some(engines), Some(from)) = (moment.world.engines.clone(), from) else {
                return;
            };
            if let Some(spec) = data::present_spec(moment) {
                moment.start(
                    async move { engines.replica(&from, spec).await.map(JobOutput::Server) },
                );
            }
        })
        .when_done(creating.saturating_sub(busy), move |moment| {
            data::take_server(moment);
            if !names_agree {
                data::fail(
                    moment,
                    "incompatible-parameters",
                    "lower_case_table_names of the parameter group differs from that of the data",
                );
                return;
            }
            let now = moment.now;
            if let Some(instance) = moment.instance() {
                instance.created = Some(now);
                instance.status = "modifying".to_owned();
                // The second field of the pair is the status, the first its message.
                instance.replication = Some(Membership {
                    name: String::new(),
                    status: "replicating".to_owned(),
                });
                for group in &mut instance.security_groups {
                    group.status = "active".to_owned();
                }
            }
            data::open_endpoint(moment);
        })
        .when_done(took - creating, |moment| {
            if moment
                .instance()
                .is_none_or(|instance| instance.created.is_none())
            {
                return;
            }
            data::take_endpoint(moment);
            moment.status("available");
            moment.event("creation", "DB instance created");
            moment.event("read replica", "Replication for the Read Replica resumed");
        })
        .on_failure(|moment, error| data::fail(moment, "failed", &error));
    call.world.schedule(now, timeline);
    instances::answer(call, &new)
}

/// `PromoteReadReplica`: a reboot is implied; backups are on afterwards, one day unless told otherwise.
pub(crate) fn promote(call: &mut Call<'_>) -> Answer {
    let (params, scope, now) = (call.params, call.scope, call.now);
    let reference = params.required("DBInstanceIdentifier")?;
    let retention = params.integer("BackupRetentionPeriod")?.unwrap_or(1);
    let window = params.text("PreferredBackupWindow");
    let before = instances::find(call.region(), &reference)?.clone();
    if !(0..=35).contains(&retention) {
        return Err(ApiError::value(format!(
            "Invalid backup retention period: {retention}. Must be between 0 and 35."
        )));
    }
    if before.replica_of.is_none() {
        return Err(ApiError::instance_state(format!(
            "Specified DB Instance {} is not a read replica",
            before.id
        )));
    }
    if before.status != "available" {
        return Err(ApiError::instance_state(format!(
            "DB instance {} is not in available state.",
            before.id
        )));
    }
    if retention == 0
        && replicas_everywhere(call.world, &scope.account, &before.resource_id)
            .next()
            .is_some()
    {
        return Err(ApiError::combination(
            "The backup retention period can't be 0 for a DB instance that has read replicas.",
        ));
    }
    let resource_id = before.resource_id.clone();
    if let Some(truth) = call.region().by_resource_mut(&resource_id) {
        truth.status = "modifying".to_owned();
        truth.pending.backup_retention = Some(retention);
    }
    let shown = call
        .region()
        .by_resource(&resource_id)
        .cloned()
        .unwrap_or_else(|| before.clone());
    call.world.lag(scope, now, &resource_id, Some(before));
    let took = call
        .world
        .takes(&format!("promote/{}", shown.id), (180, 400));
    let timeline = Timeline::new(scope, &resource_id)
        .then(took / 2, move |moment| {
            if let Some(instance) = moment.instance() {
                instance.replica_of = None;
                instance.replication = None;
                instance.backup_retention = retention;
                instance.pending = Changes::default();
                if let Some(window) = window {
                    instance.backup_window = window;
                }
                instance.status = "rebooting".to_owned();
            }
            let spec = data::present_spec(moment);
            if let (Some((engines, server)), Some(spec)) = (moment.server(), spec) {
                moment.start(async move {
                    engines.promote(&server, spec).await?;
                    engines.restart(&server).await.map(|()| JobOutput::Done)
                });
            }
        })
        .when_done(took / 4, |moment| moment.status("backing-up"))
        .then(took / 4, |moment| {
            moment.status("available");
            moment.event("availability", "DB instance restarted");
        })
        .on_failure(|moment, error| data::fail(moment, "failed", &error));
    call.world.schedule(now, timeline);
    instances::answer(call, &shown)
}
