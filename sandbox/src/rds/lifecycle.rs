//! Reboot, start, stop, delete.

use super::error::ApiError;
use super::links::replicas_everywhere;
use super::names::snapshot_id;
use super::state::{DbInstance, Scope};
use super::{Answer, Call, backups, clusters, data, instances, snapshots};
use crate::clock::plus;
use crate::world::{JobOutput, Moment, Timeline};

fn wanted(call: &mut Call<'_>) -> Result<DbInstance, ApiError> {
    let reference = call.params.required("DBInstanceIdentifier")?;
    Ok(instances::find(call.region(), &reference)?.clone())
}

/// Sets a status now; Describe may go on showing the one before for a while. The answer shows the new one
/// only where RDS does.
fn begin(call: &mut Call<'_>, before: &DbInstance, status: &str) -> DbInstance {
    let (scope, now) = (call.scope, call.now);
    let mut shown = before.clone();
    if let Some(truth) = call.region().by_resource_mut(&before.resource_id) {
        status.clone_into(&mut truth.status);
        shown = truth.clone();
    }
    call.world
        .lag(scope, now, &before.resource_id, Some(before.clone()));
    shown
}

/// `RebootDBInstance`: the only thing that clears `pending-reboot`.
pub(crate) fn reboot(call: &mut Call<'_>) -> Answer {
    let before = wanted(call)?;
    let failover = call.params.boolean("ForceFailover")?.unwrap_or(false);
    if !before.is_ready() {
        return Err(ApiError::instance_state(
            "Instance cannot currently reboot due to an in-progress management operation.",
        ));
    }
    if failover && !before.multi_az {
        return Err(ApiError::combination(
            "ForceFailover cannot be specified since the instance is not configured for MultiAZ.",
        ));
    }
    let shown = begin(call, &before, "rebooting");
    let took = call
        .world
        .takes(&format!("reboot/{}", before.id), (60, 180));
    let timeline = Timeline::new(call.scope, &before.resource_id)
        .then(0, |moment| {
            moment.event("availability", "DB instance shutdown");
            data::restart(moment);
        })
        .when_done(took, move |moment| {
            if let Some(instance) = moment.instance() {
                after_restart(instance);
                if failover && let Some(standby) = instance.secondary_az.take() {
                    instance.secondary_az =
                        Some(std::mem::replace(&mut instance.availability_zone, standby));
                }
                instance.status = "available".to_owned();
            }
            moment.event("availability", "DB instance restarted");
        })
        .on_failure(|moment, error| data::fail(moment, "incompatible-parameters", &error));
    call.world.schedule(call.now, timeline);
    instances::answer(call, &shown)
}

/// A restart applies what waited for one.
pub(crate) fn after_restart(instance: &mut DbInstance) {
    if instance.parameter_status == "pending-reboot" {
        instance.parameter_status = "in-sync".to_owned();
    }
}

/// `StopDBInstance`: neither replicas nor their sources can be stopped; after seven days RDS starts a
/// stopped instance by itself.
pub(crate) fn stop(call: &mut Call<'_>) -> Answer {
    let before = wanted(call)?;
    let final_snapshot = call
        .params
        .text("DBSnapshotIdentifier")
        .map(|id| snapshot_id("DBSnapshotIdentifier", &id))
        .transpose()?;
    if before.status != "available" {
        return Err(ApiError::instance_state(format!(
            "Instance {} is not in available state.",
            before.id
        )));
    }
    if before.replica_of.is_some()
        || replicas_everywhere(call.world, &call.scope.account, &before.resource_id)
            .next()
            .is_some()
    {
        return Err(ApiError::instance_state(format!(
            "Cannot stop the DB instance {}: it is or has a read replica.",
            before.id
        )));
    }
    if before.is_cluster_member() {
        return Err(ApiError::instance_state(format!(
            "The DB instance {} is a member of a cluster; use StopDBCluster.",
            before.id
        )));
    }
    if let Some(id) = &final_snapshot {
        if call.region().snapshot(id).is_some() {
            return Err(ApiError::new(
                "DBSnapshotAlreadyExists",
                format!(
                    "Cannot create the snapshot because a snapshot with the identifier {id} already exists."
                ),
            ));
        }
        snapshots::begin(call, id, &before.resource_id, None);
    }
    let shown = begin(call, &before, "stopping");
    let took = call.world.takes(&format!("stop/{}", before.id), (120, 300));
    let timeline = Timeline::new(call.scope, &before.resource_id)
        .then(took / 2, |moment| {
            if let Some((engines, server)) = moment.server() {
                moment.start(async move { engines.stop(&server).await.map(|()| JobOutput::Done) });
            }
        })
        .when_done(took - took / 2, |moment| {
            let restart = plus(moment.now, 7 * 86_400);
            if let Some(instance) = moment.instance() {
                instance.status = "stopped".to_owned();
                instance.automatic_restart = Some(restart);
            }
            moment.event("notification", "DB instance stopped");
        })
        .on_failure(|moment, error| data::fail(moment, "failed", &error));
    call.world.schedule(call.now, timeline);
    instances::answer(call, &shown)
}

/// `StartDBInstance`: from `stopped`, and within seven days from a key that was out of reach.
pub(crate) fn start(call: &mut Call<'_>) -> Answer {
    let before = wanted(call)?;
    if !matches!(
        before.status.as_str(),
        "stopped" | "inaccessible-encryption-credentials-recoverable"
    ) {
        return Err(ApiError::instance_state(format!(
            "Instance {} is not stopped or in a state from which it can be started.",
            before.id
        )));
    }
    if let Some(key) = &before.kms_key {
        crate::kms::usable_by_rds(call.world, call.scope, key)?;
    }
    let recovers = before.status == crate::kms::outage::RECOVERABLE;
    let shown = begin(call, &before, "starting");
    let took = call
        .world
        .takes(&format!("start/{}", before.id), (180, 400));
    let timeline = Timeline::new(call.scope, &before.resource_id)
        .then(0, |moment| {
            data::catch_up(moment);
            let spec = data::present_spec(moment);
            if let (Some((engines, server)), Some(spec)) = (moment.server(), spec) {
                moment.start(async move {
                    engines.reconfigure(&server, spec).await?;
                    engines.start(&server).await.map(|()| JobOutput::Done)
                });
            }
        })
        .when_done(took, move |moment| {
            if let Some(instance) = moment.instance() {
                instance.status = if recovers {
                    "configuring-enhanced-monitoring"
                } else {
                    "available"
                }
                .to_owned();
                instance.automatic_restart = None;
                after_restart(instance);
            }
            moment.event("notification", "DB instance started");
        })
        .on_failure(|moment, error| data::fail(moment, "failed", &error));
    // An instance that comes back from a lost key is set up anew and backed up first.
    let timeline = if recovers {
        timeline
            .then(60, |moment| moment.status("backing-up"))
            .then(120, |moment| moment.status("available"))
    } else {
        timeline
    };
    call.world.schedule(call.now, timeline);
    instances::answer(call, &shown)
}

/// `DeleteDBInstance`: says what becomes of the data before it takes it, and promotes the replicas.
pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    let params = call.params;
    let skip = params.boolean("SkipFinalSnapshot")?.unwrap_or(false);
    let final_id = params
        .text("FinalDBSnapshotIdentifier")
        .map(|id| snapshot_id("FinalDBSnapshotIdentifier", &id))
        .transpose()?;
    let delete_backups = params.boolean("DeleteAutomatedBackups")?.unwrap_or(true);
    let before = wanted(call)?;
    if let Some(id) = &final_id
        && call.region().snapshot(id).is_some()
    {
        return Err(ApiError::new(
            "DBSnapshotAlreadyExists",
            format!(
                "Cannot create the snapshot because a snapshot with the identifier {id} already exists."
            ),
        ));
    }
    if before.status == "deleting" {
        return Err(ApiError::instance_state(format!(
            "Instance {} is already being deleted.",
            before.id
        )));
    }
    if before.deletion_protection {
        return Err(ApiError::combination(
            "Cannot delete protected DB Instance, please disable deletion protection and try again.",
        ));
    }
    if before.is_multi_az_member() {
        return Err(ApiError::combination(format!(
            "DB instance {} belongs to a Multi-AZ DB cluster. Delete the DB cluster.",
            before.id
        )));
    }
    if before.is_cluster_member() {
        if !skip && final_id.is_some() {
            return Err(ApiError::combination(
                "FinalDBSnapshotIdentifier can't be specified for a DB instance in a DB cluster.",
            ));
        }
    } else {
        match (&final_id, skip) {
            (Some(_), true) => {
                return Err(ApiError::combination(
                    "FinalDBSnapshotIdentifier can't be specified when SkipFinalSnapshot is true.",
                ));
            }
            (None, false) => {
                return Err(ApiError::combination(
                    "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.",
                ));
            }
            (Some(_), false) if before.replica_of.is_some() => {
                return Err(ApiError::combination(
                    "FinalDBSnapshotIdentifier can't be specified when deleting a read replica.",
                ));
            }
            (Some(_), false)
                if before.created.is_none()
                    || matches!(
                        before.status.as_str(),
                        "failed"
                            | "incompatible-restore"
                            | "incompatible-create"
                            | "incompatible-network"
                    ) =>
            {
                return Err(ApiError::instance_state(format!(
                    "No final snapshot can be taken of {} in its present state; skip it.",
                    before.id
                )));
            }
            (Some(_), false) | (None, true) => {}
        }
    }
    let (scope, now) = (call.scope, call.now);
    let resource_id = before.resource_id.clone();
    call.world.cancel(scope, &resource_id);
    call.region().held_names.retain(|name| *name != before.id);
    let mut took = call
        .world
        .takes(&format!("delete/{}", before.id), (120, 300));
    if let Some(id) = &final_id {
        // The final snapshot comes first.
        took += snapshots::begin(call, id, &resource_id, None);
    }
    let shown = begin(call, &before, "deleting");
    orphan_replicas(call, &resource_id, took / 2);
    let keeps = !delete_backups && before.backup_retention > 0;
    let timeline = Timeline::new(scope, &resource_id)
        .then(took, move |moment| {
            if let Some((engines, server)) = moment.server() {
                moment.start(async move {
                    // Retained backups keep the data.
                    let kept = if keeps {
                        JobOutput::Copy(engines.snapshot(&server).await?)
                    } else {
                        JobOutput::Done
                    };
                    engines.delete(&server).await.map(|()| kept)
                });
            }
        })
        .when_done(0, move |moment| {
            moment.event("deletion", "DB instance deleted");
            forget(moment, keeps);
        })
        .on_failure(|moment, error| data::fail(moment, "failed", &error));
    call.world.schedule(now, timeline);
    instances::answer(call, &shown)
}

/// What becomes of the replicas of a deleted instance: those in its region become instances of their own, unasked;
/// those elsewhere stay replicas whose replication has ended.
fn orphan_replicas(call: &mut Call<'_>, resource_id: &str, after: u64) {
    let (here, now) = (call.scope, call.now);
    let replicas: Vec<(Scope, String)> =
        replicas_everywhere(call.world, &here.account, resource_id)
            .map(|(scope, replica)| (scope.clone(), replica.resource_id.clone()))
            .collect();
    for (scope, replica) in replicas {
        let timeline = Timeline::new(&scope, &replica);
        let timeline = if scope == *here {
            timeline
                .then(after, |moment| {
                    if let Some(instance) = moment.instance() {
                        instance.replica_of = None;
                        instance.replication = None;
                    }
                    let spec = data::present_spec(moment);
                    if let (Some((engines, server)), Some(spec)) = (moment.server(), spec) {
                        moment.start(async move {
                            engines
                                .promote(&server, spec)
                                .await
                                .map(|()| JobOutput::Done)
                        });
                    }
                    moment.event(
                        "read replica",
                        "Replication on the Read Replica was terminated: its source was deleted",
                    );
                })
                .when_done(0, |_| {})
        } else {
            timeline.then(after, |moment| {
                if let Some(replication) = moment
                    .instance()
                    .and_then(|instance| instance.replication.as_mut())
                {
                    "terminated".clone_into(&mut replication.status);
                }
                moment.event(
                    "read replica",
                    "Replication on the Read Replica was terminated: its source was deleted",
                );
            })
        };
        call.world.schedule(
            now,
            timeline.on_failure(|moment, error| data::fail(moment, "failed", &error)),
        );
    }
}

/// Takes this timeline's instance, whose server is gone, out of its region; its automated backups outlive it
/// when they are to be kept, with the copy of its data that was made before.
pub(crate) fn forget(moment: &mut Moment<'_>, keeps: bool) {
    let copy = moment.outputs.iter().find_map(|output| match output {
        JobOutput::Copy(copy) => Some(copy.clone()),
        JobOutput::Done | JobOutput::Server(_) | JobOutput::Address(_) => None,
    });
    let (scope, now, subject) = (moment.scope.clone(), moment.now, moment.subject.clone());
    let region = moment.region();
    let Some(position) = region
        .instances
        .iter()
        .position(|instance| instance.resource_id == subject)
    else {
        return;
    };
    let mut instance = region.instances.remove(position);
    // A deleted instance is dropped from the target groups of proxies.
    let mut proxies = Vec::new();
    for proxy in &mut region.proxies {
        if proxy.targets.contains(&instance.id) {
            proxy.targets.retain(|target| *target != instance.id);
            proxy.registered.remove(&instance.id);
            proxies.push(proxy.name.clone());
        }
    }
    clusters::member_gone(region, &instance);
    for proxy in proxies {
        moment.world.event(
            &scope,
            now,
            "db-proxy",
            &proxy,
            "configuration change",
            format!(
                "RDS detected deletion of DB instance {} and automatically removed it from target group default of DB proxy {proxy}.",
                instance.id
            ),
        );
    }
    if keeps {
        instance.server = None;
        instance.stale = None;
        backups::retain(moment.world, &scope, now, instance, copy);
    } else {
        backups::forget(moment.world, &scope, now, &subject);
    }
}
