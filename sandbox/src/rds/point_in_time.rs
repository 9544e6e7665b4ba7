//! `RestoreDBInstanceToPointInTime`: from the automated backups of a living instance or of one that is gone.
//!
//! What an omitted member becomes is the same as for a restore from a snapshot, and so is the lack of a key: the
//! new instance is encrypted as its source is. The sandbox keeps no binary logs for it: a server's data are those
//! of the moment of the call, or of the deletion, whatever time was asked for.

use jiff::Timestamp;

use super::error::ApiError;
use super::names::instance_id;
use super::params::Params;
use super::restore::{Data, Origin, References, build, schedule};
use super::state::DbInstance;
use super::{Answer, Call, backups, catalog, instances, tags};

/// What the request calls its source.
enum Source {
    Name(String),
    ResourceId(String),
    BackupArn(String),
}

impl Source {
    fn read(params: &Params) -> Result<Self, ApiError> {
        let mut given = [
            params.text("SourceDBInstanceIdentifier").map(Self::Name),
            params.text("SourceDbiResourceId").map(Self::ResourceId),
            params
                .text("SourceDBInstanceAutomatedBackupsArn")
                .map(Self::BackupArn),
        ]
        .into_iter()
        .flatten();
        match (given.next(), given.next()) {
            (Some(source), None) => Ok(source),
            _ => Err(ApiError::combination(
                "Specify exactly one of SourceDBInstanceIdentifier, SourceDbiResourceId and SourceDBInstanceAutomatedBackupsArn.",
            )),
        }
    }
}

/// The instance behind an automated backup that is replicated into this region, encrypted as the backup is, with the
/// moments that can be restored.
fn replicated(call: &mut Call<'_>, name: &str) -> Result<(DbInstance, Option<Window>), ApiError> {
    let (scope, now) = (call.scope, call.now);
    let backup = call
        .region()
        .replicated_backups
        .iter()
        .find(|backup| {
            backup.status == "replicating"
                && (backup.instance.resource_id == name
                    || backups::is_named(&backup.id, scope, name))
        })
        .ok_or_else(|| backups::not_found(name))?
        .clone();
    let server = call
        .world
        .region_mut(&backup.source)
        .by_resource(&backup.instance.resource_id)
        .and_then(|source| source.server.clone());
    let encrypted = backup.kms_key.is_some();
    let instance = DbInstance {
        server,
        encrypted,
        encryption_type: if encrypted { "sse-kms" } else { "none" }.to_owned(),
        kms_key: backup.kms_key,
        backup_retention: backup.retention,
        // Option groups do not leave their region.
        option_group: catalog::default_option_group(
            &backup.instance.engine,
            &backup.instance.engine_version,
        ),
        ..*backup.instance
    };
    let latest = backups::latest_restorable(now);
    let window = instance.created.map(|created| {
        let oldest = crate::clock::plus(latest, -86_400 * instance.backup_retention);
        (created.max(oldest).min(latest), latest)
    });
    Ok((instance, window))
}

/// The first and the last moment that can be restored.
type Window = (Timestamp, Timestamp);

/// When to restore to: `RestoreTime` or `UseLatestRestorableTime`, not both and not neither. `None` is the latest
/// restorable time.
pub(crate) fn time(params: &Params, name: &str) -> Result<Option<Timestamp>, ApiError> {
    let time = params
        .text(name)
        .map(|text| {
            text.parse::<Timestamp>()
                .map_err(|_error| ApiError::malformed(name, &text, "Timestamp"))
        })
        .transpose()?;
    let latest = params.boolean("UseLatestRestorableTime")?.unwrap_or(false);
    if time.is_some() == latest {
        return Err(ApiError::combination(format!(
            "Specify either {name} or UseLatestRestorableTime."
        )));
    }
    Ok(time)
}

/// Whether a time can be restored.
pub(crate) fn check_time(
    wanted: Option<Timestamp>,
    (earliest, latest): (Timestamp, Timestamp),
) -> Result<Timestamp, ApiError> {
    match wanted {
        None => Ok(latest),
        Some(time) if time < earliest => Err(ApiError::value(format!(
            "The specified instance cannot be restored to a time earlier than {earliest:.0}"
        ))),
        Some(time) if time > latest => Err(ApiError::value(format!(
            "The specified instance cannot be restored to a time later than {latest:.0}"
        ))),
        Some(time) => Ok(time),
    }
}

/// `RestoreDBInstanceToPointInTime`.
pub(crate) fn restore(call: &mut Call<'_>) -> Answer {
    let (params, scope, now) = (call.params, call.scope, call.now);
    let id = instance_id(
        "TargetDBInstanceIdentifier",
        &params.required("TargetDBInstanceIdentifier")?,
    )?;
    let source = Source::read(params)?;
    let wanted = time(params, "RestoreTime")?;
    let given_tags = tags::from_request(params, "Tags")?;

    // Referenced objects.
    let region = call.region();
    let (mut instance, copy, window, lives) = match &source {
        Source::Name(name) => {
            let instance = instances::find(region, name)?.clone();
            let earliest = instance.created.map(|created| {
                let latest = backups::latest_restorable(now);
                let oldest = crate::clock::plus(latest, -86_400 * instance.backup_retention);
                (created.max(oldest).min(latest), latest)
            });
            (instance, None, earliest, true)
        }
        Source::ResourceId(name) | Source::BackupArn(name) => {
            let found = backups::all(region, scope, now).find(|backup| match &source {
                Source::BackupArn(arn) => backups::is_named(
                    &backups::backup_id(&backup.instance.resource_id),
                    scope,
                    arn,
                ),
                _ => backup.instance.resource_id == *name,
            });
            match found {
                Some(backup) => {
                    // The truth, not the lagging view, where the instance lives.
                    let instance = region
                        .by_resource(&backup.instance.resource_id)
                        .unwrap_or(backup.instance)
                        .clone();
                    let lives = backup.status != "retained";
                    (instance, backup.copy.cloned(), backup.window(), lives)
                }
                None => {
                    let (instance, window) = replicated(call, name)?;
                    (instance, None, window, false)
                }
            }
        }
    };
    if let Some(key) = &instance.kms_key {
        crate::kms::check_readable(call.world, scope, key)?;
    }
    let references = References::read(call, &id)?;
    // State.
    if instance.is_cluster_member() {
        return Err(ApiError::instance_state(format!(
            "The DB instance {} is a member of a cluster; use RestoreDBClusterToPointInTime.",
            instance.id
        )));
    }
    if instance.backup_retention == 0 {
        return Err(ApiError::new(
            "PointInTimeRestoreNotEnabled",
            format!(
                "Automated backups are not enabled for the DB instance {}.",
                instance.id
            ),
        ));
    }
    let window = window.filter(|_| {
        !lives || !matches!(instance.status.as_str(), "creating" | "deleting" | "failed")
    });
    let Some(window) = window else {
        return Err(ApiError::instance_state(format!(
            "DB instance {} is not in available state.",
            instance.id
        )));
    };
    let time = check_time(wanted, window)?;

    let data = match (copy, instance.server.take()) {
        (Some(copy), _) => Data::Copy(copy),
        (None, Some(server)) => Data::Server(server),
        (None, None) => Data::None,
    };
    let event = format!("Restored from DB instance {} to {time:.0}", instance.id);
    let origin = Origin {
        encrypted: instance.encrypted,
        encryption_type: instance.encryption_type.clone(),
        kms_key: instance.kms_key.clone(),
        tags: instance.tags.clone(),
        instance: Box::new(instance),
        word: "DB instance",
    };
    let (new, names_agree) = build(call, id, references, given_tags, origin)?;
    call.region().instances.push(new.clone());
    schedule(call, &new, data, event, names_agree);
    instances::answer(call, &new)
}
