//! `RestoreDBClusterFromSnapshot` and `RestoreDBClusterToPointInTime`.
//!
//! Unlike the restores of instances both take a key. Groups, log exports, protection, IAM authentication and
//! scaling have to be said again, and an Aurora cluster comes back without instances.
//!
//! A Multi-AZ DB cluster comes back with its three instances, from a snapshot of a cluster or of a DB instance. The user
//! guide counts the encryption of an unencrypted one, and the copy of its snapshots, among what is not supported: both
//! are refused here. The way it leaves open is through a DB instance, whose snapshots a key encrypts when they are copied.

use super::super::error::ApiError;
use super::super::names::parse_arn;
use super::super::point_in_time::{check_time, time};
use super::super::state::DbCluster;
use super::super::{Answer, Call, backups::latest_restorable, create as instance_create};
use super::create::{add, check_instance_quota, multi_az_storage, retention, settle_storage};
use super::request::{Encryption, Wish};
use super::{check_available, find, snapshots};
use crate::clock::plus;
use crate::kms;

/// What a restored cluster starts from.
struct Origin {
    cluster: DbCluster,
    encryption: Encryption,
}

/// `RestoreDBClusterFromSnapshot`: an unencrypted Aurora snapshot without a key becomes a cluster under the key
/// that AWS owns.
pub(crate) fn from_snapshot(call: &mut Call<'_>) -> Answer {
    let (params, scope) = (call.params, call.scope);
    let wish = Wish::read(params)?;
    let engine = params.required("Engine")?.to_ascii_lowercase();
    let reference = params.required("SnapshotIdentifier")?;
    // Referenced objects.
    if parse_arn(&reference).is_some_and(|arn| arn.kind == "snapshot") {
        return from_instance_snapshot(call, wish, &engine, &reference);
    }
    let snapshot = snapshots::find_restorable(call, &reference)?;
    if let Some(key) = &snapshot.kms_key {
        kms::check_readable(call.world, scope, key)?;
    }
    wish.check_references(call.region())?;
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
    if engine != snapshot.cluster.engine {
        return Err(ApiError::combination(format!(
            "The engine {engine} is not compatible with the snapshot's engine {}.",
            snapshot.cluster.engine
        )));
    }
    if !snapshot.cluster.is_aurora() {
        check_stays_as_it_is(&wish, snapshot.kms_key.as_ref())?;
    }
    let encryption = match (&wish.kms_key, &snapshot.kms_key) {
        (Some(key), _) => Encryption::with_key(call, scope, key)?,
        (None, Some(key)) => Encryption::Kms(key.clone()),
        (None, None) => newer(
            Encryption::of(&snapshot.encryption_type, None),
            Encryption::by_default(call, &engine),
        ),
    };
    let event = format!("Restored from snapshot {}", snapshot.id);
    restore(
        call,
        wish,
        Origin {
            cluster: *snapshot.cluster,
            encryption,
        },
        event,
    )
}

/// A Multi-AZ DB cluster of what is not encrypted stays so.
fn check_stays_as_it_is(wish: &Wish, present: Option<&String>) -> Result<(), ApiError> {
    if wish.kms_key.is_some() && present.is_none() {
        return Err(ApiError::combination(
            "KmsKeyId can't be specified to restore a Multi-AZ DB cluster from a snapshot that isn't encrypted.",
        ));
    }
    Ok(())
}

/// A Multi-AZ DB cluster from the snapshot of a DB instance. Its data has no server here.
fn from_instance_snapshot(
    call: &mut Call<'_>,
    wish: Wish,
    engine: &str,
    reference: &str,
) -> Answer {
    let scope = call.scope;
    let snapshot = super::super::snapshots::find_restorable(call, reference)?;
    if let Some(key) = &snapshot.kms_key {
        kms::check_readable(call.world, scope, key)?;
    }
    wish.check_references(call.region())?;
    if snapshot.status != "available" {
        return Err(ApiError::new(
            "InvalidDBSnapshotState",
            format!(
                "The snapshot {} is not in the available state.",
                snapshot.id
            ),
        ));
    }
    let from = *snapshot.instance;
    if engine != from.engine {
        return Err(ApiError::combination(format!(
            "The engine {engine} is not compatible with the snapshot's engine {}.",
            from.engine
        )));
    }
    check_stays_as_it_is(&wish, snapshot.kms_key.as_ref())?;
    let encryption = match (&wish.kms_key, &snapshot.kms_key) {
        (Some(key), _) => Encryption::with_key(call, scope, key)?,
        (None, Some(key)) => Encryption::Kms(key.clone()),
        (None, None) => Encryption::None,
    };
    let event = format!("Restored from snapshot {}", snapshot.id);
    let cluster = DbCluster {
        engine: from.engine,
        engine_version: from.engine_version,
        master_username: from.master_username,
        master_password: from.master_password,
        database_name: from.db_name,
        port: from.port,
        allocated_storage: from.allocated_storage,
        storage_type: Some(from.storage_type),
        iops: from.iops,
        backup_retention: from.backup_retention.max(1),
        tags: snapshot.source_tags,
        ..DbCluster::default()
    };
    restore(
        call,
        wish,
        Origin {
            cluster,
            encryption,
        },
        event,
    )
}

/// `RestoreDBClusterToPointInTime`: a full copy, or a clone that shares its source's volume. A key is refused for
/// an unencrypted source; a clone of one stays unencrypted.
pub(crate) fn to_point_in_time(call: &mut Call<'_>) -> Answer {
    let (params, scope, now) = (call.params, call.scope, call.now);
    let wish = Wish::read(params)?;
    let wanted = time(params, "RestoreToTime")?;
    let clone = match params.text("RestoreType").as_deref() {
        None | Some("full-copy") => false,
        Some("copy-on-write") => true,
        Some(other) => {
            return Err(ApiError::value(format!(
                "RestoreType must be full-copy or copy-on-write, not {other}."
            )));
        }
    };
    // Referenced objects.
    let (source, window) = match (
        params.text("SourceDBClusterIdentifier"),
        params.text("SourceDbClusterResourceId"),
    ) {
        (Some(reference), None) => {
            let source = find(call.region(), &reference)?.clone();
            let latest = latest_restorable(now);
            let earliest = source
                .created
                .max(plus(latest, -86_400 * source.backup_retention))
                .min(latest);
            (source, (earliest, latest))
        }
        (None, Some(resource_id)) => {
            let region = call.region();
            match region
                .retained_cluster_backups
                .iter()
                .find(|backup| backup.cluster.resource_id == resource_id)
            {
                Some(backup) => {
                    let source = (*backup.cluster).clone();
                    let oldest = plus(backup.deleted, -86_400 * source.backup_retention);
                    let window = (source.created.max(oldest), backup.deleted);
                    (source, window)
                }
                None => {
                    let source = region
                        .clusters
                        .iter()
                        .find(|cluster| cluster.resource_id == resource_id)
                        .cloned()
                        .ok_or_else(|| super::backups::not_found(&resource_id))?;
                    let latest = latest_restorable(now);
                    let window = (source.created.min(latest), latest);
                    (source, window)
                }
            }
        }
        _ => {
            return Err(ApiError::combination(
                "Specify either SourceDBClusterIdentifier or SourceDbClusterResourceId.",
            ));
        }
    };
    if let Some(key) = &source.kms_key {
        kms::check_readable(call.world, scope, key)?;
    }
    wish.check_references(call.region())?;
    // State.
    if matches!(source.status.as_str(), "creating" | "stopped") {
        check_available(&source)?;
    }
    let time = check_time(wanted, window)?;
    // Combinations.
    if let Some(engine) = &wish.engine
        && *engine != source.engine
    {
        return Err(ApiError::combination(format!(
            "The engine {engine} is not compatible with the DB cluster's engine {}.",
            source.engine
        )));
    }
    if clone && !source.is_aurora() {
        return Err(ApiError::combination(
            "The restore type copy-on-write is only for Aurora DB clusters.",
        ));
    }
    let present = Encryption::of(&source.encryption_type, source.kms_key.as_ref());
    if wish.kms_key.is_some() && present == Encryption::None {
        return Err(ApiError::combination(
            "KmsKeyId can't be specified to restore a DB cluster that isn't encrypted.",
        ));
    }
    let encryption = match &wish.kms_key {
        Some(key) => Encryption::with_key(call, scope, key)?,
        None if clone => present,
        None => newer(present, Encryption::by_default(call, &source.engine)),
    };
    let event = format!("Restored from DB cluster {} to {time:.0}", source.id);
    let mut origin = Origin {
        encryption,
        cluster: source,
    };
    if clone {
        let group = origin
            .cluster
            .clone_group
            .clone()
            .unwrap_or_else(|| origin.cluster.resource_id.clone());
        if let Some(truth) = call
            .region()
            .cluster_by_resource_mut(&origin.cluster.resource_id)
        {
            truth.clone_group = Some(group.clone());
        }
        origin.cluster.clone_group = Some(group);
    } else {
        origin.cluster.clone_group = None;
    }
    restore(call, wish, origin, event)
}

/// What was unencrypted takes the present default.
fn newer(present: Encryption, default: Encryption) -> Encryption {
    if present == Encryption::None {
        default
    } else {
        present
    }
}

fn restore(call: &mut Call<'_>, wish: Wish, origin: Origin, event: String) -> Answer {
    let Origin {
        cluster: from,
        encryption,
    } = origin;
    let params = call.params;
    let engine = from.engine.clone();
    let version = match wish.engine_version.as_deref() {
        Some(version) => instance_create::resolve_version(call.region(), &engine, Some(version))?,
        None => from.engine_version.clone(),
    };
    wish.check_combinations(call.region(), &engine, &version)?;
    let gib = if from.is_aurora() {
        None
    } else {
        Some(from.allocated_storage)
    };
    // A Multi-AZ DB cluster comes back with its storage as it was, unless told otherwise.
    let mut wish = wish;
    if !from.is_aurora() && wish.storage_type.is_none() {
        wish.storage_type.clone_from(&from.storage_type);
        wish.iops = wish.iops.or(from
            .iops
            .filter(|_| from.storage_type.as_deref() != Some("gp3")));
    }
    let storage = multi_az_storage(&wish, &engine, gib)?;
    check_instance_quota(call, &engine, storage.as_ref())?;
    let retention = retention(params)?.unwrap_or(from.backup_retention);
    let (port, tags) = (wish.port, wish.tags.clone());
    let mut new = wish.into_cluster(call, engine, version);
    if let Some(storage) = storage {
        settle_storage(&mut new, storage);
    }
    new.backup_retention = retention;
    new.port = port.unwrap_or(from.port);
    new.master_username = from.master_username;
    new.master_password = from.master_password;
    new.clone_group = from.clone_group;
    new.database_name = params.text("DatabaseName").or(from.database_name);
    // As for instances: tags in the call replace those of the source.
    new.tags = tags.unwrap_or_else(|| {
        from.tags
            .into_iter()
            .filter(|tag| !tag.key.starts_with("aws:"))
            .collect()
    });
    encryption.apply(&mut new);
    add(call, new, event)
}
