//! Automated backups of DB instances: those of the living, and those that outlive theirs.

use jiff::Timestamp;

use super::backup_replication::{self, ReplicatedBackup};
use super::error::ApiError;
use super::names::parse_arn;
use super::page::{Filters, page};
use super::state::{DbInstance, DbSnapshot, Region, RetainedBackup, Scope};
use super::xml::Xml;
use super::{Answer, Call, instances, result};
use crate::clock::plus;
use crate::engine::CopyId;
use crate::world::{JobOutput, Timeline, World};

/// An automated backup of either kind.
#[derive(Clone)]
pub(crate) struct Backup<'a> {
    /// `active`, `creating` or `retained`.
    pub(crate) status: &'static str,
    pub(crate) instance: &'a DbInstance,
    pub(crate) copy: Option<&'a CopyId>,
    arn: String,
    /// The last moment that can be restored.
    latest: Timestamp,
}

impl Backup<'_> {
    /// The moments that can be restored, both included.
    pub(crate) fn window(&self) -> Option<(Timestamp, Timestamp)> {
        let created = self.instance.created?;
        let oldest = plus(self.latest, -86_400 * self.instance.backup_retention);
        Some((created.max(oldest), self.latest))
    }
}

/// The last moment that a living instance can be restored to: five-minute steps behind the present, as the
/// transaction logs are shipped.
pub(crate) fn latest_restorable(now: Timestamp) -> Timestamp {
    plus(instances::last_step(now), -120)
}

/// `ab-…`: follows from the resource id, so that it outlives the instance with it.
pub(crate) fn backup_id(resource_id: &str) -> String {
    format!(
        "ab-{}",
        resource_id.trim_start_matches("db-").to_ascii_lowercase()
    )
}

/// All automated backups of a region, as Describe shows them.
pub(crate) fn all<'a>(
    region: &'a Region,
    scope: &'a Scope,
    now: Timestamp,
) -> impl Iterator<Item = Backup<'a>> {
    let living = region
        .instances
        .iter()
        .filter_map(move |instance| instance.shown(now))
        .filter(|instance| {
            instance.backup_retention > 0
                && instance.status != "deleting"
                && !instance.is_cluster_member()
        })
        .map(move |instance| Backup {
            status: if instance.created.is_none() {
                "creating"
            } else {
                "active"
            },
            instance,
            copy: None,
            arn: scope.arn("db", &instance.id),
            latest: latest_restorable(now),
        });
    let retained = region.retained_backups.iter().map(|backup| Backup {
        status: "retained",
        instance: &backup.instance,
        copy: backup.copy.as_ref(),
        arn: backup.arn.clone(),
        latest: backup.deleted,
    });
    living.chain(retained)
}

/// A line of Describe: a backup of an instance of this region, or one that is replicated into it.
enum Listed<'a> {
    Own(Backup<'a>),
    Replicated(&'a ReplicatedBackup),
}

/// Whether an ARN `…:auto-backup:ab-…` of this region, or the id alone, means the backup with this id.
pub(crate) fn is_named(id: &str, scope: &Scope, reference: &str) -> bool {
    match parse_arn(reference) {
        Some(arn) => arn.scope == *scope && arn.kind == "auto-backup" && arn.name == id,
        None => reference == id,
    }
}

pub(crate) fn not_found(name: &str) -> ApiError {
    ApiError::new(
        "DBInstanceAutomatedBackupNotFound",
        format!("Automated backup for {name} not found."),
    )
}

/// `DescribeDBInstanceAutomatedBackups`: those of living instances (`active`, `creating`) and those that
/// outlived theirs (`retained`), keyed by resource id.
pub(crate) fn describe(call: &mut Call<'_>) -> Answer {
    let filters = Filters::read(
        call.params,
        &["status", "db-instance-id", "dbi-resource-id"],
    )?;
    let (now, limit, scope, params) = (
        call.now,
        call.world.knobs.page_limit,
        call.scope,
        call.params,
    );
    let wanted_id = params.text("DBInstanceIdentifier");
    let wanted_resource = params.text("DbiResourceId");
    let wanted_arn = params.text("DBInstanceAutomatedBackupsArn");
    let region = call.region();
    let admits = |listed: &Listed<'_>| {
        let (status, instance, source, arn) = match listed {
            Listed::Own(backup) => {
                let id = backup_id(&backup.instance.resource_id);
                (backup.status, backup.instance, scope, id)
            }
            Listed::Replicated(backup) => (
                backup.status,
                &*backup.instance,
                &backup.source,
                backup.id.clone(),
            ),
        };
        filters.admits("status", &[status])
            && filters.admits(
                "db-instance-id",
                &[&instance.id, &source.arn("db", &instance.id)],
            )
            && filters.admits("dbi-resource-id", &[&instance.resource_id])
            && wanted_id
                .as_ref()
                .is_none_or(|id| id.eq_ignore_ascii_case(&instance.id))
            && wanted_resource
                .as_ref()
                .is_none_or(|id| *id == instance.resource_id)
            && wanted_arn
                .as_ref()
                .is_none_or(|wanted| is_named(&arn, scope, wanted))
    };
    let replicated = region.replicated_backups.iter().map(Listed::Replicated);
    let found: Vec<Listed<'_>> = all(region, scope, now)
        .map(Listed::Own)
        .chain(replicated)
        .filter(admits)
        .collect();
    if found.is_empty()
        && let Some(name) = wanted_arn.or(wanted_resource).or(wanted_id)
    {
        return Err(not_found(&name));
    }
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.list(
            "DBInstanceAutomatedBackups",
            "DBInstanceAutomatedBackup",
            page.items,
            |xml, listed| match listed {
                Listed::Own(backup) => write(xml, scope, region, &backup),
                Listed::Replicated(backup) => backup_replication::write(xml, scope, backup, now),
            },
        );
        xml.optional("Marker", page.marker);
    })
}

fn write(xml: &mut Xml, scope: &Scope, region: &Region, backup: &Backup<'_>) {
    let instance = backup.instance;
    xml.value("DBInstanceArn", &backup.arn);
    xml.value("DbiResourceId", &instance.resource_id);
    xml.value("Region", &scope.region);
    xml.value("DBInstanceIdentifier", &instance.id);
    xml.element("RestoreWindow", |xml| {
        if let Some((earliest, latest)) = backup.window() {
            xml.time("EarliestTime", earliest);
            xml.time("LatestTime", latest);
        }
    });
    xml.value("AllocatedStorage", instance.allocated_storage);
    xml.value("Status", backup.status);
    xml.value("Port", instance.port);
    xml.value("AvailabilityZone", &instance.availability_zone);
    xml.value("VpcId", region.vpc(&instance.subnet_group));
    if let Some(created) = instance.created {
        xml.time("InstanceCreateTime", created);
    }
    xml.value("MasterUsername", &instance.master_username);
    xml.value("Engine", &instance.engine);
    xml.value("EngineVersion", &instance.engine_version);
    xml.value("LicenseModel", &instance.license_model);
    xml.optional("Iops", instance.iops);
    xml.optional("StorageThroughput", instance.throughput);
    xml.value("OptionGroupName", &instance.option_group);
    xml.value("Encrypted", instance.encrypted);
    xml.value("StorageEncryptionType", &instance.encryption_type);
    xml.value("StorageType", &instance.storage_type);
    xml.optional("KmsKeyId", instance.kms_key.as_ref());
    xml.value("IAMDatabaseAuthenticationEnabled", instance.iam_auth);
    xml.value("BackupRetentionPeriod", instance.backup_retention);
    xml.value("PreferredBackupWindow", &instance.backup_window);
    xml.value(
        "DBInstanceAutomatedBackupsArn",
        scope.arn("auto-backup", &backup_id(&instance.resource_id)),
    );
    xml.value("BackupTarget", &instance.backup_target);
    instances::write_tags(xml, &instance.tags);
}

/// Keeps the backups of a deleted instance for as long as they would have been kept, with the data as it was.
pub(crate) fn retain(
    world: &mut World,
    scope: &Scope,
    now: Timestamp,
    instance: DbInstance,
    copy: Option<CopyId>,
) {
    let (resource_id, days) = (instance.resource_id.clone(), instance.backup_retention);
    world
        .region_mut(scope)
        .retained_backups
        .push(RetainedBackup {
            arn: scope.arn("db", &instance.id),
            instance: Box::new(instance),
            deleted: now,
            copy,
        });
    let kept = u64::try_from(days * 86_400).unwrap_or(0);
    let subject = format!("retained:{resource_id}");
    world.schedule(
        now,
        Timeline::new(scope, &subject)
            .then(kept, move |moment| {
                let (scope, now) = (moment.scope.clone(), moment.now);
                let gone = take(moment.region(), &resource_id);
                if let Some(copy) = gone.and_then(|backup| backup.copy) {
                    drop_copy(moment.world, &scope, now, copy);
                }
            })
            .when_done(0, |_| {}),
    );
}

/// Removes the automated snapshots of an instance whose backups go with it; manual ones stay.
pub(crate) fn forget(world: &mut World, scope: &Scope, now: Timestamp, resource_id: &str) {
    let region = world.region_mut(scope);
    let (gone, kept) = std::mem::take(&mut region.snapshots)
        .into_iter()
        .partition(|snapshot| {
            snapshot.snapshot_type == "automated" && snapshot.instance.resource_id == resource_id
        });
    region.snapshots = kept;
    let gone: Vec<DbSnapshot> = gone;
    for copy in gone.into_iter().filter_map(|snapshot| snapshot.copy) {
        // Copies share their data: it goes with the last snapshot that holds it.
        let shared = world
            .regions
            .values()
            .flat_map(|region| &region.snapshots)
            .any(|other| other.copy.as_ref() == Some(&copy));
        if !shared {
            drop_copy(world, scope, now, copy);
        }
    }
}

fn take(region: &mut Region, resource_id: &str) -> Option<RetainedBackup> {
    let position = region
        .retained_backups
        .iter()
        .position(|backup| backup.instance.resource_id == resource_id)?;
    Some(region.retained_backups.remove(position))
}

fn drop_copy(world: &mut World, scope: &Scope, now: Timestamp, copy: CopyId) {
    let Some(engines) = world.engines.clone() else {
        return;
    };
    let timeline = Timeline::new(scope, &format!("deleted-copy:{}", copy.0))
        .then(0, move |moment| {
            moment.start(async move { engines.delete_copy(&copy).await.map(|()| JobOutput::Done) });
        })
        .when_done(0, |_| {});
    world.schedule(now, timeline);
}

/// `DeleteDBInstanceAutomatedBackup`: only what outlived its instance; the backups of a living one go with it or
/// with its retention period.
pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    let (params, scope, now) = (call.params, call.scope, call.now);
    let (by_resource, by_arn) = (
        params.text("DbiResourceId"),
        params.text("DBInstanceAutomatedBackupsArn"),
    );
    let name = match (&by_resource, &by_arn) {
        (Some(name), None) | (None, Some(name)) => name.clone(),
        _ => {
            return Err(ApiError::combination(
                "Specify either DbiResourceId or DBInstanceAutomatedBackupsArn.",
            ));
        }
    };
    let region = call.region();
    let backup = all(region, scope, now)
        .find(|backup| {
            by_resource
                .as_ref()
                .is_some_and(|id| *id == backup.instance.resource_id)
                || by_arn.as_ref().is_some_and(|arn| {
                    is_named(&backup_id(&backup.instance.resource_id), scope, arn)
                })
        })
        .ok_or_else(|| not_found(&name))?;
    if backup.status != "retained" {
        return Err(ApiError::new(
            "InvalidDBInstanceAutomatedBackupState",
            format!(
                "The automated backup of the DB instance {} can't be deleted while the instance exists.",
                backup.instance.id
            ),
        ));
    }
    let answer = result(|xml| {
        xml.element("DBInstanceAutomatedBackup", |xml| {
            write(xml, scope, region, &backup);
        });
    });
    let resource_id = backup.instance.resource_id.clone();
    call.world.cancel(scope, &format!("retained:{resource_id}"));
    let gone = take(call.region(), &resource_id);
    if let Some(copy) = gone.and_then(|backup| backup.copy) {
        drop_copy(call.world, scope, now, copy);
    }
    answer
}
