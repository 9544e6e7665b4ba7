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
use super::state::{DbInstance, DbSnapshot, Membership, Region, Scope};
use super::{Answer, Call, data, instances, snapshots, tags};
use crate::dice::Dice;
use crate::world::{JobOutput, Timeline};

/// Members that a restore and a replica share.
pub(crate) struct Placement {
    pub(crate) multi_az: bool,
    pub(crate) zone: Option<String>,
    pub(crate) security_groups: Vec<Membership>,
}

/// Reads them. A zone cannot be asked for together with Multi-AZ.
pub(crate) fn placement(params: &Params, region: &Region) -> Result<Placement, ApiError> {
    let multi_az = params.boolean("MultiAZ")?.unwrap_or(false);
    let zone = params.text("AvailabilityZone");
    if multi_az && zone.is_some() {
        return Err(ApiError::combination(
            "Requesting a specific availability zone is not valid for Multi-AZ instances.",
        ));
    }
    let groups = params
        .list("VpcSecurityGroupIds")
        .filter(|groups| !groups.is_empty())
        .unwrap_or_else(|| vec![region.default_security_group.clone()]);
    let security_groups = groups
        .into_iter()
        .map(|name| Membership {
            name,
            status: "adding".to_owned(),
        })
        .collect();
    Ok(Placement {
        multi_az,
        zone,
        security_groups,
    })
}

/// A zone of the subnet group, and another one for the standby.
pub(crate) fn zones(
    region: &Region,
    dice: &mut Dice,
    id: &str,
    subnet_group: &str,
    wanted: &Placement,
) -> Result<(String, Option<String>), ApiError> {
    let zones = region.zones(subnet_group);
    if let Some(zone) = &wanted.zone
        && !zones.contains(zone)
    {
        return Err(ApiError::new(
            "InvalidVPCNetworkStateFault",
            format!("The subnet group {subnet_group} has no subnet in {zone}."),
        ));
    }
    let count = u64::try_from(zones.len()).unwrap_or(1).max(1);
    let first = usize::try_from(dice.between(&format!("zone/{id}"), (0, count - 1))).unwrap_or(0);
    let primary = wanted
        .zone
        .clone()
        .or_else(|| zones.get(first).cloned())
        .unwrap_or_default();
    let standby = zones.iter().find(|zone| **zone != primary).cloned();
    if wanted.multi_az && standby.is_none() {
        return Err(ApiError::new(
            "DBSubnetGroupDoesNotCoverEnoughAZs",
            format!(
                "The subnet group {subnet_group} does not cover enough Availability Zones for Multi-AZ."
            ),
        ));
    }
    Ok((primary, standby.filter(|_| wanted.multi_az)))
}

/// A random half hour, and a random maintenance half hour.
pub(crate) fn windows(dice: &mut Dice, id: &str) -> (String, String) {
    let half_hour = |start: u64| {
        let end = (start + 1) % 48;
        format!(
            "{:02}:{:02}-{:02}:{:02}",
            start / 2,
            start % 2 * 30,
            end / 2,
            end % 2 * 30
        )
    };
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let day = usize::try_from(dice.between(&format!("day/{id}"), (0, 6))).unwrap_or(0);
    let day = days.get(day).copied().unwrap_or("sun");
    let (backup, maintenance) = (
        dice.between(&format!("backup/{id}"), (0, 46)),
        dice.between(&format!("maintenance/{id}"), (0, 46)),
    );
    let window = half_hour(maintenance).replacen('-', &format!("-{day}:"), 1);
    (half_hour(backup), format!("{day}:{window}"))
}

/// Names of quotas that a new instance counts against.
pub(crate) fn check_quotas(region: &Region, gib: i64) -> Result<(), ApiError> {
    if i64::try_from(region.instances.len()).unwrap_or(i64::MAX) >= region.quotas.instances {
        return Err(ApiError::new(
            "InstanceQuotaExceeded",
            format!(
                "DB instance quota exceeded: limit is {}.",
                region.quotas.instances
            ),
        ));
    }
    let used: i64 = region
        .instances
        .iter()
        .map(|instance| instance.allocated_storage)
        .sum();
    if used + gib > region.quotas.storage_gib {
        return Err(ApiError::new(
            "StorageQuotaExceeded",
            format!(
                "Allocated storage quota exceeded: limit is {} GiB.",
                region.quotas.storage_gib
            ),
        ));
    }
    Ok(())
}

/// Certificate authorities that exist.
pub(crate) fn check_ca(ca: &str) -> Result<(), ApiError> {
    if [
        "rds-ca-2019",
        "rds-ca-rsa2048-g1",
        "rds-ca-rsa4096-g1",
        "rds-ca-ecc384-g1",
    ]
    .contains(&ca)
    {
        Ok(())
    } else {
        Err(ApiError::new(
            "CertificateNotFound",
            format!("Certificate not found: {ca}"),
        ))
    }
}

pub(crate) fn lower_case_table_names(region: &Region, group: &str) -> i64 {
    region
        .parameter_groups
        .get(group)
        .and_then(|group| group.user.get("lower_case_table_names"))
        .and_then(|value| value.parse().ok())
        .unwrap_or(0)
}

/// `RestoreDBInstanceFromDBSnapshot`.
pub(crate) fn restore(call: &mut Call<'_>) -> Answer {
    let params = call.params;
    let id = instance_id(
        "DBInstanceIdentifier",
        &params.required("DBInstanceIdentifier")?,
    )?;
    if params.text("DBClusterSnapshotIdentifier").is_some() {
        return Err(ApiError::value(
            "Restoring a Multi-AZ DB cluster snapshot to a DB instance is not offered here.",
        ));
    }
    let given_tags = tags::from_request(params, "Tags")?;
    let snapshot = snapshots::find_restorable(call, &params.required("DBSnapshotIdentifier")?)?;
    if let Some(key) = &snapshot.kms_key {
        crate::kms::check_readable(call.world, call.scope, key)?;
    }
    let resource_id = instances::new_resource_id(call, &id);
    let default_ca = call.region().default_ca.clone();
    let (backup_window, maintenance_window) = windows(&mut call.world.dice, &id);
    let from = &snapshot.instance;

    let scope = call.scope;
    let crate::world::World { regions, dice, .. } = call.world;
    let region = regions.entry(scope.clone()).or_default();
    // Referenced objects.
    if region.name_taken(&id) {
        return Err(ApiError::new(
            "DBInstanceAlreadyExists",
            "DB instance already exists",
        ));
    }
    let subnet_group = params
        .text("DBSubnetGroupName")
        .map_or_else(|| "default".to_owned(), |name| name.to_ascii_lowercase());
    if !region.subnet_groups.contains_key(&subnet_group) {
        return Err(ApiError::no_subnet_group(&subnet_group));
    }
    let parameter_group = params
        .text("DBParameterGroupName")
        .map(|name| name.to_ascii_lowercase());
    if let Some(name) = &parameter_group
        && !region.parameter_groups.contains_key(name)
    {
        return Err(ApiError::no_parameter_group(name));
    }
    let option_group = params
        .text("OptionGroupName")
        .map(|name| name.to_ascii_lowercase());
    if let Some(name) = &option_group
        && !region.option_groups.contains_key(name)
    {
        return Err(ApiError::no_option_group(name));
    }
    let ca = params.text("CACertificateIdentifier").unwrap_or(default_ca);
    check_ca(&ca)?;
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
    // Combinations.
    let engine = params.text("Engine").unwrap_or_else(|| from.engine.clone());
    if engine != from.engine {
        return Err(ApiError::combination(format!(
            "The engine {engine} is not compatible with the snapshot's engine {}.",
            from.engine
        )));
    }
    if params.text("DBName").is_some() {
        return Err(ApiError::combination(format!(
            "DBName must be null when restoring a snapshot of the engine {engine}."
        )));
    }
    if params.boolean("ManageMasterUserPassword")? == Some(true) {
        return Err(ApiError::combination(format!(
            "ManageMasterUserPassword can't be specified when restoring a snapshot of the engine {engine}."
        )));
    }
    let class = params
        .text("DBInstanceClass")
        .unwrap_or_else(|| from.class.clone());
    if snapshot.encrypted && !catalog::class_supports_encryption(&class) {
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
    let storage = storage(params, &snapshot)?;
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
        id: id.clone(),
        resource_id: resource_id.clone(),
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
        encrypted: snapshot.encrypted,
        encryption_type: snapshot.encryption_type.clone(),
        kms_key: snapshot.kms_key.clone(),
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
            snapshot
                .source_tags
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
    region.instances.push(new.clone());
    schedule(call, scope, &new, snapshot, names_agree);
    instances::answer(call, &new)
}

fn storage(params: &Params, snapshot: &DbSnapshot) -> Result<Storage, ApiError> {
    let from = &snapshot.instance;
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
            "The allocated storage {gib} is smaller than the snapshot's {}.",
            from.allocated_storage
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

fn schedule(
    call: &mut Call<'_>,
    scope: &Scope,
    new: &DbInstance,
    snapshot: DbSnapshot,
    names_agree: bool,
) {
    let now = call.now;
    let took = call.world.takes(&format!("restore/{}", new.id), (240, 600));
    call.world.lag(scope, now, &new.resource_id, None);
    // A restore with a custom group ends in `pending-reboot` about three times in ten.
    let custom = !new.parameter_group.starts_with("default.");
    let pending = custom
        && call.world.dice.chance(
            &format!("lottery/{}", new.id),
            call.world.knobs.pending_reboot_chance,
        );
    let snapshot_id = snapshot.id.clone();
    let (backs_up, creating) = (new.backup_retention > 0, took * 7 / 10);
    let rest = took - creating;
    let timeline = Timeline::new(scope, &new.resource_id)
        .then(0, move |moment| {
            let (Some(engines), Some(copy)) = (moment.world.engines.clone(), snapshot.copy) else {
                return;
            };
            if let Some(spec) = data::present_spec(moment) {
                moment.start(
                    async move { engines.restore(&copy, spec).await.map(JobOutput::Server) },
                );
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
            moment.event(
                "restoration",
                format!("Restored from snapshot {snapshot_id}"),
            );
        })
        .on_failure(|moment, error| data::fail(moment, "incompatible-restore", &error));
    call.world.schedule(now, timeline);
}
