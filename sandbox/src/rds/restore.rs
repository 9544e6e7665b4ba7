//! `RestoreDBInstanceFromDBSnapshot`: what an omitted parameter becomes is the heart of the matter.
//!
//! The snapshot decides class, engine, version, size, port, retention, master user and encryption. Nearly
//! all else falls back to a default: Multi-AZ off, the default subnet, parameter and option group, the
//! VPC's default security group, no monitoring, no insights, no log exports, no IAM authentication, no
//! deletion protection, no storage autoscaling, random windows.

use super::catalog::{self, Storage};
use super::error::ApiError;
use super::names::instance_id;
use super::params::Params;
use super::placement::{check_ca, check_quotas, lower_case_table_names, placement, windows, zones};
use super::state::{DbInstance, Tag};
use super::{Answer, Call, clusters, create, data, instances, snapshots, tags};
use crate::engine::{CopyId, ServerId};
use crate::world::{JobOutput, Timeline};

/// What a restore starts from: the instance as it was, and how its storage is encrypted.
pub(crate) struct Origin {
    pub(crate) instance: Box<DbInstance>,
    pub(crate) encrypted: bool,
    pub(crate) encryption_type: String,
    pub(crate) kms_key: Option<String>,
    /// Tags that a restore without `Tags` hands on.
    pub(crate) tags: Vec<Tag>,
    /// What the origin is called in messages, such as `snapshot`.
    pub(crate) word: &'static str,
}

/// The data that a restored instance begins with.
pub(crate) enum Data {
    /// There is no server behind the origin.
    None,
    /// That of a copy, which stays.
    Copy(CopyId),
    /// That of a living server at the moment of the restore.
    Server(ServerId),
}

/// `RestoreDBInstanceFromDBSnapshot`.
pub(crate) fn restore(call: &mut Call<'_>) -> Answer {
    let params = call.params;
    let id = instance_id(
        "DBInstanceIdentifier",
        &params.required("DBInstanceIdentifier")?,
    )?;
    let given_tags = tags::from_request(params, "Tags")?;
    if let Some(reference) = params.text("DBClusterSnapshotIdentifier") {
        return of_cluster_snapshot(call, id, given_tags, &reference);
    }
    let snapshot = snapshots::find_restorable(call, &params.required("DBSnapshotIdentifier")?)?;
    if let Some(key) = &snapshot.kms_key {
        crate::kms::check_readable(call.world, call.scope, key)?;
    }
    let references = References::read(call, &id)?;
    // State.
    if snapshot.status != "available" {
        return Err(ApiError::new(
            "InvalidDBSnapshotState",
            format!(
                "The snapshot {} is not in the available state.",
                snapshot.id
            ),
        ));
    }
    let event = format!("Restored from snapshot {}", snapshot.id);
    let data = snapshot.copy.map_or(Data::None, Data::Copy);
    let origin = Origin {
        instance: snapshot.instance,
        encrypted: snapshot.encrypted,
        encryption_type: snapshot.encryption_type,
        kms_key: snapshot.kms_key,
        tags: snapshot.source_tags,
        word: "snapshot",
    };
    let (new, names_agree) = build(call, id, references, given_tags, origin)?;
    call.region().instances.push(new.clone());
    schedule(call, &new, data, event, names_agree);
    instances::answer(call, &new)
}

/// A DB instance of its own from the snapshot of a Multi-AZ DB cluster.
fn of_cluster_snapshot(
    call: &mut Call<'_>,
    id: String,
    given_tags: Option<Vec<Tag>>,
    reference: &str,
) -> Answer {
    if call.params.text("DBSnapshotIdentifier").is_some() {
        return Err(ApiError::combination(
            "You can't specify both DBSnapshotIdentifier and DBClusterSnapshotIdentifier.",
        ));
    }
    let snapshot = clusters::snapshots::find_restorable(call, reference)?;
    if let Some(key) = &snapshot.kms_key {
        crate::kms::check_readable(call.world, call.scope, key)?;
    }
    let references = References::read(call, &id)?;
    // State.
    if snapshot.status != "available" {
        return Err(ApiError::new(
            "InvalidDBClusterSnapshotStateFault",
            format!(
                "The DB cluster snapshot {} is not in the available state.",
                snapshot.id
            ),
        ));
    }
    let cluster = *snapshot.cluster;
    if cluster.is_aurora() {
        return Err(ApiError::combination(format!(
            "The DB cluster snapshot {} is of an Aurora DB cluster.",
            snapshot.id
        )));
    }
    let class = cluster.instance_class.clone().unwrap_or_default();
    let from = create::member::of_cluster(call.world, call.scope, &cluster, &id, &class);
    let event = format!("Restored from snapshot {}", snapshot.id);
    let origin = Origin {
        instance: Box::new(DbInstance {
            cluster: None,
            promotion_tier: None,
            ..from
        }),
        encrypted: snapshot.encrypted,
        encryption_type: snapshot.encryption_type,
        kms_key: snapshot.kms_key,
        tags: cluster.tags,
        word: "snapshot",
    };
    let (new, names_agree) = build(call, id, references, given_tags, origin)?;
    call.region().instances.push(new.clone());
    schedule(call, &new, Data::None, event, names_agree);
    instances::answer(call, &new)
}

/// What a restore names: it exists.
pub(crate) struct References {
    subnet_group: String,
    parameter_group: Option<String>,
    option_group: Option<String>,
    ca: String,
}

impl References {
    /// Checks the name of the new instance and everything that the request names.
    pub(crate) fn read(call: &mut Call<'_>, id: &str) -> Result<Self, ApiError> {
        let params = call.params;
        let region = call.region();
        if region.name_taken(id) {
            return Err(ApiError::new(
                "DBInstanceAlreadyExists",
                "DB instance already exists",
            ));
        }
        let lower = |name: &str| params.text(name).map(|text| text.to_ascii_lowercase());
        let subnet_group = lower("DBSubnetGroupName").unwrap_or_else(|| "default".to_owned());
        if !region.subnet_groups.contains_key(&subnet_group) {
            return Err(ApiError::no_subnet_group(&subnet_group));
        }
        let parameter_group = lower("DBParameterGroupName");
        if let Some(name) = &parameter_group
            && !region.parameter_groups.contains_key(name)
        {
            return Err(ApiError::no_parameter_group(name));
        }
        let option_group = lower("OptionGroupName");
        if let Some(name) = &option_group
            && !region.option_groups.contains_key(name)
        {
            return Err(ApiError::no_option_group(name));
        }
        let ca = params
            .text("CACertificateIdentifier")
            .unwrap_or_else(|| region.default_ca.clone());
        check_ca(&ca)?;
        Ok(Self {
            subnet_group,
            parameter_group,
            option_group,
            ca,
        })
    }
}

/// The new instance, and whether its data and its parameter group agree on `lower_case_table_names`:
/// combinations and quotas.
pub(crate) fn build(
    call: &mut Call<'_>,
    id: String,
    references: References,
    given_tags: Option<Vec<Tag>>,
    origin: Origin,
) -> Result<(DbInstance, bool), ApiError> {
    let (params, scope) = (call.params, call.scope);
    let resource_id = instances::new_resource_id(call, &id);
    let (backup_window, maintenance_window) = windows(&mut call.world.dice, &id);
    let from = &origin.instance;
    let References {
        subnet_group,
        parameter_group,
        option_group,
        ca,
    } = references;
    let crate::world::World { regions, dice, .. } = call.world;
    let region = regions.entry(scope.clone()).or_default();
    let engine = params.text("Engine").unwrap_or_else(|| from.engine.clone());
    if engine != from.engine {
        return Err(ApiError::combination(format!(
            "The engine {engine} is not compatible with the {}'s engine {}.",
            origin.word, from.engine
        )));
    }
    if params.text("DBName").is_some() {
        return Err(ApiError::combination(format!(
            "DBName must be null when restoring a {} of the engine {engine}.",
            origin.word
        )));
    }
    if params.boolean("ManageMasterUserPassword")? == Some(true) {
        return Err(ApiError::combination(format!(
            "ManageMasterUserPassword can't be specified when restoring a {} of the engine {engine}.",
            origin.word
        )));
    }
    let class = params
        .text("DBInstanceClass")
        .unwrap_or_else(|| from.class.clone());
    if origin.encrypted && !catalog::class_supports_encryption(&class) {
        return Err(ApiError::combination(format!(
            "DB instance class {class} does not support encryption at rest."
        )));
    }
    let parameter_group = match parameter_group {
        Some(name) => {
            instances::check_parameter_group(region, &name, &engine, &from.engine_version)?;
            name
        }
        None => catalog::default_parameter_group(&engine, &from.engine_version),
    };
    let option_group = match option_group {
        Some(name) => {
            instances::check_option_group(region, &name, &engine, &from.engine_version)?;
            name
        }
        // Persistent and permanent options force the snapshot's own group.
        None if region
            .option_groups
            .get(&from.option_group)
            .is_some_and(|group| {
                group
                    .options
                    .iter()
                    .any(|option| option.persistent || option.permanent)
            }) =>
        {
            from.option_group.clone()
        }
        None => catalog::default_option_group(&engine, &from.engine_version),
    };
    let placement = placement(params, region)?;
    let (availability_zone, secondary_az) = zones(region, dice, &id, &subnet_group, &placement)?;
    let storage = storage(params, &origin)?;
    check_quotas(region, storage.gib)?;
    let retention = params
        .integer("BackupRetentionPeriod")?
        .unwrap_or(from.backup_retention);
    if !(0..=35).contains(&retention) {
        return Err(ApiError::value(format!(
            "Invalid backup retention period: {retention}. Must be between 0 and 35."
        )));
    }
    // Lowering the names only after the restore is too late for MySQL 8: data and setting must agree.
    let names_agree = engine != "mysql"
        || from.engine_version.starts_with("5.")
        || lower_case_table_names(region, &parameter_group) == from.lower_case_table_names;

    let new = DbInstance {
        id,
        resource_id,
        class,
        engine: engine.clone(),
        engine_version: from.engine_version.clone(),
        status: "creating".to_owned(),
        master_username: from.master_username.clone(),
        master_password: from.master_password.clone(),
        db_name: from.db_name.clone(),
        port: params.integer("Port")?.unwrap_or(from.port),
        endpoint_host: None,
        allocated_storage: storage.gib,
        created: None,
        backup_window: params
            .text("PreferredBackupWindow")
            .unwrap_or(backup_window),
        backup_retention: retention,
        security_groups: placement.security_groups,
        parameter_status: "in-sync".to_owned(),
        lower_case_table_names: from.lower_case_table_names,
        parameter_group,
        option_group,
        option_status: "in-sync".to_owned(),
        availability_zone,
        secondary_az,
        subnet_group,
        maintenance_window,
        pending: super::state::Changes::default(),
        multi_az: placement.multi_az,
        auto_minor_version_upgrade: params.boolean("AutoMinorVersionUpgrade")?.unwrap_or(true),
        replica_of: None,
        replication: None,
        license_model: params
            .text("LicenseModel")
            .unwrap_or_else(|| from.license_model.clone()),
        iops: storage.iops,
        throughput: storage.throughput,
        storage_type: storage.kind,
        publicly_accessible: params.boolean("PubliclyAccessible")?.unwrap_or(false),
        cluster: None,
        cluster_writer: false,
        encrypted: origin.encrypted,
        encryption_type: origin.encryption_type.clone(),
        kms_key: origin.kms_key.clone(),
        ca: Some(ca),
        copy_tags: params.boolean("CopyTagsToSnapshot")?.unwrap_or(false),
        monitoring_interval: 0,
        monitoring_role: None,
        promotion_tier: None,
        timezone: from.timezone.clone(),
        character_set: from.character_set.clone(),
        iam_auth: params
            .boolean("EnableIAMDatabaseAuthentication")?
            .unwrap_or(false),
        insights_mode: "standard".to_owned(),
        pi_enabled: false,
        pi_key: None,
        pi_retention: None,
        log_exports: params
            .list("EnableCloudwatchLogsExports")
            .unwrap_or_default(),
        processor_features: std::collections::BTreeMap::new(),
        deletion_protection: params.boolean("DeletionProtection")?.unwrap_or(false),
        roles: Vec::new(),
        max_allocated_storage: None,
        // Without tags in the call the source's tags of snapshot time come along; tags in the call replace
        // them.
        tags: given_tags.unwrap_or_else(|| {
            origin
                .tags
                .iter()
                .filter(|tag| !tag.key.starts_with("aws:"))
                .cloned()
                .collect()
        }),
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
        managed_secret: None,
        automatic_restart: None,
        storage_changed: None,
        server: None,
        stale: None,
        hidden: false,
    };
    Ok((new, names_agree))
}

fn storage(params: &Params, origin: &Origin) -> Result<Storage, ApiError> {
    let from = &origin.instance;
    let sent = (
        params.integer("Iops")?,
        params.integer("StorageThroughput")?,
    );
    // gp3 unless IOPS are given, then io1: an old gp2 volume silently becomes gp3.
    let kind = params.text("StorageType").unwrap_or_else(|| {
        if sent.0.is_some() {
            "io1".to_owned()
        } else {
            "gp3".to_owned()
        }
    });
    let gib = params
        .integer("AllocatedStorage")?
        .unwrap_or(from.allocated_storage);
    if gib < from.allocated_storage {
        return Err(ApiError::combination(format!(
            "The allocated storage {gib} is smaller than the {}'s {}.",
            origin.word, from.allocated_storage
        )));
    }
    let iops = sent.0.or(if kind == from.storage_type {
        from.iops
    } else {
        None
    });
    let throughput = sent.1.or(if kind == from.storage_type {
        from.throughput
    } else {
        None
    });
    Storage {
        kind,
        gib,
        iops,
        throughput,
    }
    .settle(&from.engine, sent)
}

/// Brings a restored instance up, with its data; `event` is what its restoration is recorded as.
pub(crate) fn schedule(
    call: &mut Call<'_>,
    new: &DbInstance,
    data: Data,
    event: String,
    names_agree: bool,
) {
    let (scope, now) = (call.scope, call.now);
    let took = call.world.takes(&format!("restore/{}", new.id), (240, 600));
    call.world.lag(scope, now, &new.resource_id, None);
    // A restore with a custom group ends in `pending-reboot` about three times in ten.
    let custom = !new.parameter_group.starts_with("default.");
    let pending = custom
        && call.world.dice.chance(
            &format!("lottery/{}", new.id),
            call.world.knobs.pending_reboot_chance,
        );
    let (backs_up, creating) = (new.backup_retention > 0, took * 7 / 10);
    let rest = took - creating;
    let timeline = Timeline::new(scope, &new.resource_id)
        .then(0, move |moment| {
            let Some(engines) = moment.world.engines.clone() else {
                return;
            };
            let Some(spec) = data::present_spec(moment) else {
                return;
            };
            match data {
                Data::None => {}
                Data::Copy(copy) => moment.start(async move {
                    engines.restore(&copy, spec).await.map(JobOutput::Server)
                }),
                Data::Server(server) => moment.start(async move {
                    let copy = engines.snapshot(&server).await?;
                    let restored = engines.restore(&copy, spec).await;
                    engines.delete_copy(&copy).await?;
                    restored.map(JobOutput::Server)
                }),
            }
        })
        .when_done(creating, move |moment| {
            data::take_server(moment);
            if !names_agree {
                data::fail(
                    moment,
                    "incompatible-restore",
                    "lower_case_table_names of the parameter group differs from that of the data",
                );
                return;
            }
            let now = moment.now;
            if let Some(instance) = moment.instance() {
                instance.created = Some(now);
                instance.status = if backs_up { "backing-up" } else { "modifying" }.to_owned();
                instance.parameter_status =
                    if pending { "pending-reboot" } else { "in-sync" }.to_owned();
                for group in &mut instance.security_groups {
                    group.status = "active".to_owned();
                }
            }
            data::open_endpoint(moment);
        })
        .when_done(rest, move |moment| {
            if moment
                .instance()
                .is_none_or(|instance| instance.created.is_none())
            {
                return;
            }
            data::take_endpoint(moment);
            moment.status("available");
            moment.event("restoration", event);
        })
        .on_failure(|moment, error| data::fail(moment, "incompatible-restore", &error));
    call.world.schedule(now, timeline);
}
