//! Automated backups replicated into another region: asked for where they go, about an instance elsewhere.

use super::error::ApiError;
use super::instances::write_tags;
use super::names::{RdsArn, parse_arn};
use super::state::{DbInstance, Region, Scope, Tag};
use super::xml::Xml;
use super::{Answer, Call, instances, quotas, result, tags};
use crate::clock::plus;
use crate::kms;
use crate::world::Timeline;

/// A replicated automated backup, in the region it is replicated into.
#[derive(Debug, Clone)]
pub(crate) struct ReplicatedBackup {
    /// `ab-…`.
    pub(crate) id: String,
    pub(crate) source: Scope,
    /// The source as it was when replication began.
    pub(crate) instance: Box<DbInstance>,
    pub(crate) retention: i64,
    pub(crate) kms_key: Option<String>,
    /// `pending`, `replicating`.
    pub(crate) status: &'static str,
    pub(crate) tags: Vec<Tag>,
}

/// ARNs of the replicated backups of an instance, as its Describe lists them.
pub(crate) fn write_replications(xml: &mut Xml, region: &Region, resource_id: &str) {
    if let Some(arns) = region.backup_replications.get(resource_id) {
        xml.list(
            "DBInstanceAutomatedBackupsReplications",
            "DBInstanceAutomatedBackupsReplication",
            arns,
            |xml, arn| xml.value("DBInstanceAutomatedBackupsArn", arn),
        );
    }
}

/// Writes one, in the region it is kept in.
pub(crate) fn write(xml: &mut Xml, scope: &Scope, backup: &ReplicatedBackup, now: jiff::Timestamp) {
    let instance = &backup.instance;
    xml.value("DBInstanceArn", backup.source.arn("db", &instance.id));
    xml.value("DbiResourceId", &instance.resource_id);
    xml.value("Region", &backup.source.region);
    xml.value("DBInstanceIdentifier", &instance.id);
    xml.element("RestoreWindow", |xml| {
        if let (Some(created), "replicating") = (instance.created, backup.status) {
            xml.time(
                "EarliestTime",
                created.max(plus(now, -86_400 * backup.retention)),
            );
            xml.time("LatestTime", now);
        }
    });
    xml.value("AllocatedStorage", instance.allocated_storage);
    xml.value("Status", backup.status);
    xml.value("Port", instance.port);
    xml.value("MasterUsername", &instance.master_username);
    xml.value("Engine", &instance.engine);
    xml.value("EngineVersion", &instance.engine_version);
    xml.value("LicenseModel", &instance.license_model);
    xml.optional("Iops", instance.iops);
    xml.optional("StorageThroughput", instance.throughput);
    xml.value("Encrypted", backup.kms_key.is_some());
    xml.value("StorageEncryptionType", &instance.encryption_type);
    xml.value("StorageType", &instance.storage_type);
    xml.optional("KmsKeyId", backup.kms_key.as_ref());
    xml.value("IAMDatabaseAuthenticationEnabled", instance.iam_auth);
    xml.value("BackupRetentionPeriod", backup.retention);
    xml.value(
        "DBInstanceAutomatedBackupsArn",
        scope.arn("auto-backup", &backup.id),
    );
    xml.value("BackupTarget", "region");
    write_tags(xml, &backup.tags);
}

fn source(call: &Call<'_>) -> Result<RdsArn, ApiError> {
    let arn = call.params.required("SourceDBInstanceArn")?;
    parse_arn(&arn)
        .filter(|parsed| {
            parsed.kind == "db"
                && parsed.scope.account == call.scope.account
                && parsed.scope.region != call.scope.region
        })
        .ok_or_else(|| {
            ApiError::value(format!(
                "SourceDBInstanceArn must name a DB instance of this account in another Region, not {arn}."
            ))
        })
}

/// `StartDBInstanceAutomatedBackupsReplication`: an encrypted instance needs a key of the destination.
pub(crate) fn start(call: &mut Call<'_>) -> Answer {
    let (params, scope, now) = (call.params, call.scope, call.now);
    let parsed = source(call)?;
    let retention = params.integer("BackupRetentionPeriod")?.unwrap_or(7);
    if !(1..=35).contains(&retention) {
        return Err(ApiError::value(format!(
            "Invalid backup retention period: {retention}. Must be between 1 and 35."
        )));
    }
    let tags = tags::from_request(params, "Tags")?.unwrap_or_default();
    let instance = instances::find(call.world.region_mut(&parsed.scope), &parsed.name)?.clone();
    let kms_key = match params.text("KmsKeyId") {
        Some(key) => Some(kms::usable_by_rds(call.world, scope, &key)?),
        None => None,
    };
    if !instance.is_ready() {
        return Err(ApiError::instance_state(format!(
            "DB instance {} is not in available state.",
            instance.id
        )));
    }
    if instance.backup_retention == 0 {
        return Err(ApiError::instance_state(format!(
            "Automated backups are not enabled for the DB instance {}.",
            instance.id
        )));
    }
    let region = call.region();
    if region
        .replicated_backups
        .iter()
        .any(|backup| backup.instance.resource_id == instance.resource_id)
    {
        return Err(ApiError::new(
            "InvalidDBInstanceAutomatedBackupState",
            format!(
                "The automated backups of {} are replicated into this Region already.",
                instance.id
            ),
        ));
    }
    if instance.encrypted != kms_key.is_some() {
        return Err(ApiError::combination(
            "A KmsKeyId of the destination Region must be specified for an encrypted DB instance, and only for one.",
        ));
    }
    if quotas::count(region.replicated_backups.len()) >= quotas::REPLICATED_BACKUPS {
        return Err(ApiError::new(
            "DBInstanceAutomatedBackupQuotaExceeded",
            "The quota for retained automated backups was exceeded.",
        ));
    }
    let id = format!(
        "ab-{}",
        call.world.dice.word(
            &format!("ab/{}/{}", scope.region, instance.resource_id),
            "abcdefghijklmnopqrstuvwxyz234567",
            26
        )
    );
    let backup = ReplicatedBackup {
        id: id.clone(),
        source: parsed.scope.clone(),
        instance: Box::new(instance),
        retention,
        kms_key,
        status: "pending",
        tags,
    };
    let arn = scope.arn("auto-backup", &id);
    call.world
        .region_mut(&parsed.scope)
        .backup_replications
        .entry(backup.instance.resource_id.clone())
        .or_default()
        .push(arn);
    let answer = result(|xml| {
        xml.element("DBInstanceAutomatedBackup", |xml| {
            write(xml, scope, &backup, now);
        });
    });
    call.region().replicated_backups.push(backup);
    let took = call
        .world
        .takes(&format!("backup-replication/{id}"), (300, 900));
    let subject = format!("auto-backup:{id}");
    call.world.schedule(
        now,
        Timeline::new(scope, &subject).then(took, move |moment| {
            for backup in &mut moment.region().replicated_backups {
                if backup.id == id {
                    backup.status = "replicating";
                }
            }
        }),
    );
    answer
}

/// `StopDBInstanceAutomatedBackupsReplication`.
pub(crate) fn stop(call: &mut Call<'_>) -> Answer {
    let (scope, now) = (call.scope, call.now);
    let parsed = source(call)?;
    let region = call.region();
    let position = region.replicated_backups.iter().position(|backup| {
        backup.source == parsed.scope && backup.instance.id.eq_ignore_ascii_case(&parsed.name)
    });
    let Some(position) = position else {
        return Err(ApiError::no_instance(&parsed.name));
    };
    let backup = region.replicated_backups.remove(position);
    let arn = scope.arn("auto-backup", &backup.id);
    if let Some(arns) = call
        .world
        .region_mut(&parsed.scope)
        .backup_replications
        .get_mut(&backup.instance.resource_id)
    {
        arns.retain(|known| *known != arn);
    }
    result(|xml| {
        xml.element("DBInstanceAutomatedBackup", |xml| {
            write(xml, scope, &backup, now);
        });
    })
}
