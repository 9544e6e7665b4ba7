//! Start, stop, reboot, failover and deletion of clusters.

use super::super::create::member::members;
use super::super::error::ApiError;
use super::super::names::snapshot_id;
use super::super::state::RetainedClusterBackup;
use super::super::{Answer, Call, instances};
use super::{
    begin, check_available, cluster_of, describe, event, global, heir, members_mut,
    set_member_status, set_status, snapshots, wanted,
};
use crate::clock::plus;
use crate::world::{Timeline, World};

/// `StopDBCluster`: with all its members; after seven days RDS starts it by itself.
pub(crate) fn stop(call: &mut Call<'_>) -> Answer {
    let before = wanted(call)?;
    check_available(&before)?;
    if global::of(call.world, call.scope, &before.resource_id).is_some() {
        return Err(ApiError::cluster_state(format!(
            "The DB cluster {} is part of a global cluster and can't be stopped.",
            before.id
        )));
    }
    check_members(call, &before.id)?;
    let shown = begin(call, &before, "stopping");
    for member in members_mut(call.region(), &before.id) {
        member.status = "stopping".to_owned();
    }
    let took = call
        .world
        .takes(&format!("stop-cluster/{}", before.id), (120, 300));
    let timeline = Timeline::new(call.scope, &before.resource_id)
        .then(took, |moment| {
            let restart = plus(moment.now, 7 * 86_400);
            set_member_status(moment, "stopped");
            if let Some(cluster) = cluster_of(moment) {
                cluster.status = "stopped".to_owned();
                cluster.automatic_restart = Some(restart);
            }
            event(moment, "notification", "DB cluster stopped");
        })
        .then(7 * 86_400, |moment| {
            let now = moment.now;
            let due = cluster_of(moment).is_some_and(|cluster| {
                cluster.status == "stopped"
                    && cluster.automatic_restart.is_some_and(|time| time <= now)
            });
            if due {
                came_up(moment);
            }
        });
    call.world.schedule(call.now, timeline);
    describe::answer(call, &shown)
}

fn came_up(moment: &mut crate::world::Moment<'_>) {
    set_member_status(moment, "available");
    if let Some(cluster) = cluster_of(moment) {
        cluster.status = "available".to_owned();
        cluster.automatic_restart = None;
    }
    event(moment, "notification", "DB cluster started");
}

fn check_members(call: &mut Call<'_>, id: &str) -> Result<(), ApiError> {
    match members(call.region(), id).find(|member| member.status != "available") {
        Some(member) => Err(ApiError::instance_state(format!(
            "The DB instance {} of the DB cluster {id} is not in available state.",
            member.id
        ))),
        None => Ok(()),
    }
}

/// `StartDBCluster`.
pub(crate) fn start(call: &mut Call<'_>) -> Answer {
    let before = wanted(call)?;
    if !matches!(
        before.status.as_str(),
        "stopped" | "inaccessible-encryption-credentials-recoverable"
    ) {
        return Err(ApiError::cluster_state(format!(
            "DbCluster {} is in {} state but expected in one of stopped,inaccessible-encryption-credentials-recoverable.",
            before.id, before.status
        )));
    }
    if let Some(key) = &before.kms_key {
        crate::kms::usable_by_rds(call.world, call.scope, key)?;
    }
    let shown = begin(call, &before, "starting");
    for member in members_mut(call.region(), &before.id) {
        member.status = "starting".to_owned();
    }
    let took = call
        .world
        .takes(&format!("start-cluster/{}", before.id), (180, 400));
    let timeline = Timeline::new(call.scope, &before.resource_id).then(took, came_up);
    call.world.schedule(call.now, timeline);
    describe::answer(call, &shown)
}

/// `RebootDBCluster`: for Multi-AZ DB clusters; Aurora's instances are rebooted one by one.
pub(crate) fn reboot(call: &mut Call<'_>) -> Answer {
    let before = wanted(call)?;
    check_available(&before)?;
    if before.is_aurora() {
        return Err(ApiError::combination(
            "RebootDBCluster is only for Multi-AZ DB clusters; reboot the DB instances of an Aurora DB cluster.",
        ));
    }
    check_members(call, &before.id)?;
    let shown = begin(call, &before, "rebooting");
    for member in members_mut(call.region(), &before.id) {
        member.status = "rebooting".to_owned();
    }
    let took = call
        .world
        .takes(&format!("reboot-cluster/{}", before.id), (60, 180));
    let timeline = Timeline::new(call.scope, &before.resource_id).then(took, |moment| {
        set_member_status(moment, "available");
        set_status(moment, "available");
        event(moment, "availability", "DB cluster restarted");
    });
    call.world.schedule(call.now, timeline);
    describe::answer(call, &shown)
}

/// `FailoverDBCluster`: a reader becomes the writer, the one named or the one of the lowest promotion tier.
pub(crate) fn failover(call: &mut Call<'_>) -> Answer {
    let before = wanted(call)?;
    let target = call.params.text("TargetDBInstanceIdentifier");
    if let Some(target) = &target {
        let target = instances::find(call.region(), target)?;
        if target.cluster.as_deref() != Some(&before.id) {
            return Err(ApiError::value(format!(
                "The DB instance {} is not a member of the DB cluster {}.",
                target.id, before.id
            )));
        }
        if target.cluster_writer {
            return Err(ApiError::value(format!(
                "The DB instance {} is the writer of the DB cluster {} already.",
                target.id, before.id
            )));
        }
    }
    check_available(&before)?;
    let Some(new_writer) = heir(call.region(), &before.id, target.as_deref()) else {
        return Err(ApiError::cluster_state(format!(
            "The DB cluster {} doesn't have any DB instance that is available to fail over to.",
            before.id
        )));
    };
    let shown = begin(call, &before, "failing-over");
    let took = call
        .world
        .takes(&format!("failover/{}", before.id), (30, 60));
    let timeline = Timeline::new(call.scope, &before.resource_id)
        .then(0, |moment| {
            event(moment, "failover", "Started failover of the DB cluster");
        })
        .then(took, move |moment| {
            let Some(id) = cluster_of(moment).map(|cluster| cluster.id.clone()) else {
                return;
            };
            let region = moment.region();
            // The reader may have gone meanwhile.
            if region.by_resource(&new_writer).is_some() {
                for member in members_mut(region, &id) {
                    member.cluster_writer = member.resource_id == new_writer;
                }
            }
            set_status(moment, "available");
            event(moment, "failover", "Completed failover of the DB cluster");
        });
    call.world.schedule(call.now, timeline);
    describe::answer(call, &shown)
}

/// `DeleteDBCluster`: an Aurora cluster only once its members are being deleted; the instances of a Multi-AZ DB
/// cluster go with it. What becomes of the data has to be said.
pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    let params = call.params;
    let skip = params.boolean("SkipFinalSnapshot")?.unwrap_or(false);
    let final_id = params
        .text("FinalDBSnapshotIdentifier")
        .map(|id| snapshot_id("FinalDBSnapshotIdentifier", &id))
        .transpose()?;
    let delete_backups = params.boolean("DeleteAutomatedBackups")?.unwrap_or(true);
    let before = wanted(call)?;
    // Referenced objects.
    if let Some(id) = &final_id {
        snapshots::check_free(call.region(), id)?;
    }
    // State.
    if before.status == "deleting" {
        return Err(ApiError::cluster_state(format!(
            "DB cluster {} is already being deleted.",
            before.id
        )));
    }
    if !matches!(
        before.status.as_str(),
        "available" | "stopped" | "failed" | "inaccessible-encryption-credentials"
    ) {
        check_available(&before)?;
    }
    if before.is_aurora()
        && members(call.region(), &before.id).any(|member| member.status != "deleting")
    {
        return Err(ApiError::cluster_state(
            "Cluster cannot be deleted, it still contains DB instances in non-deleting state.",
        ));
    }
    if global::of(call.world, call.scope, &before.resource_id).is_some() {
        return Err(ApiError::cluster_state(
            "This cluster is a part of a global cluster, please remove it from globalcluster first",
        ));
    }
    // Combinations.
    if before.deletion_protection {
        return Err(ApiError::combination(
            "Cannot delete protected Cluster, please disable deletion protection and try again.",
        ));
    }
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
        (Some(_), false) => snapshots::check_quota(call.region())?,
        (None, true) => {}
    }
    let (scope, now) = (call.scope, call.now);
    call.world.cancel(scope, &before.resource_id);
    let mut took = call
        .world
        .takes(&format!("delete-cluster/{}", before.id), (120, 300));
    if let Some(id) = &final_id {
        // The final snapshot comes first.
        took += snapshots::begin(call, id, &before, None);
    }
    let shown = begin(call, &before, "deleting");
    if !before.is_aurora() {
        let going: Vec<String> = members(call.region(), &before.id)
            .map(|member| member.resource_id.clone())
            .collect();
        for resource_id in going {
            delete_member(call.world, scope, now, &resource_id, took);
        }
    }
    call.world.schedule(
        now,
        Timeline::new(scope, &before.resource_id).then(took, move |moment| {
            event(moment, "deletion", "DB cluster deleted");
            gone(moment, !delete_backups);
        }),
    );
    describe::answer(call, &shown)
}

/// Removes a cluster, once the last of its members has gone.
fn gone(moment: &mut crate::world::Moment<'_>, keeps: bool) {
    let subject = moment.subject.clone();
    let now = moment.now;
    let scope = moment.scope.clone();
    let region = moment.region();
    let Some(position) = region
        .clusters
        .iter()
        .position(|cluster| cluster.resource_id == subject)
    else {
        return;
    };
    let id = region
        .clusters
        .get(position)
        .map(|cluster| cluster.id.clone())
        .unwrap_or_default();
    if members(region, &id).next().is_some() {
        moment.world.schedule(
            now,
            Timeline::new(&scope, &subject).then(10, move |moment| gone(moment, keeps)),
        );
        return;
    }
    let mut cluster = region.clusters.remove(position);
    if keeps {
        cluster.stale = None;
        region.retained_cluster_backups.push(RetainedClusterBackup {
            cluster: Box::new(cluster),
            deleted: now,
        });
    }
}

fn delete_member(
    world: &mut World,
    scope: &super::super::state::Scope,
    now: jiff::Timestamp,
    resource_id: &str,
    took: u64,
) {
    world.cancel(scope, resource_id);
    let before = world.region_mut(scope).by_resource(resource_id).cloned();
    if let Some(member) = world.region_mut(scope).by_resource_mut(resource_id) {
        member.status = "deleting".to_owned();
    }
    world.lag(scope, now, resource_id, before);
    let timeline = Timeline::new(scope, resource_id).then(took, |moment| {
        moment.event("deletion", "DB instance deleted");
        let subject = moment.subject.clone();
        moment
            .region()
            .instances
            .retain(|instance| instance.resource_id != subject);
    });
    world.schedule(now, timeline);
}
