//! What becomes of instances whose key is out of reach.
//!
//! RDS notices after about two hours. With backups, an instance is stopped and can be brought back within
//! seven days by enabling the key and starting it; what cannot be stopped (a replica, a source with
//! replicas, a member of a cluster) is lost at once. Without backups it runs on for as long as its volume
//! stays attached: a reboot or a modification ends it.

use jiff::Timestamp;

use crate::clock::plus;
use crate::rds::state::Scope;
use crate::world::{JobOutput, Moment, Timeline, World};

/// Stopped, and can be brought back.
pub(crate) const RECOVERABLE: &str = "inaccessible-encryption-credentials-recoverable";
/// Can only be restored from a backup.
const TERMINAL: &str = "inaccessible-encryption-credentials";
/// "About two hours", in seconds.
const DETECTION: (u64, u64) = (6_600, 7_800);
/// How long an instance can be brought back.
const GRACE: u64 = 7 * 86_400;
/// How long RDS waits for an instance that is busy.
const BUSY: u64 = 300;

/// Disables a key, with what follows from it.
pub(crate) fn disable(world: &mut World, scope: &Scope, id: &str, now: Timestamp) {
    let Some(key) = world.region_mut(scope).key_mut(id) else {
        return;
    };
    "Disabled".clone_into(&mut key.state);
    let arn = key.arn.clone();
    lost(world, scope, &arn, now);
}

/// A key can no longer be used: RDS will look at each instance under it.
pub(crate) fn lost(world: &mut World, scope: &Scope, arn: &str, now: Timestamp) {
    let instances: Vec<String> = world
        .region_mut(scope)
        .instances
        .iter()
        .filter(|instance| instance.kms_key.as_deref() == Some(arn))
        .map(|instance| instance.resource_id.clone())
        .collect();
    for resource_id in instances {
        let after = world.takes(&format!("key-lost/{resource_id}"), DETECTION);
        look_after(world, scope, &resource_id, now, after);
    }
}

fn look_after(world: &mut World, scope: &Scope, resource_id: &str, now: Timestamp, after: u64) {
    world.schedule(
        now,
        Timeline::new(scope, resource_id)
            .then(after, look)
            .when_done(0, |_| {})
            .on_failure(|moment, error| {
                tracing::warn!(
                    subject = moment.subject,
                    error,
                    "A server under a lost key could not be stopped."
                );
            }),
    );
}

/// Whether the instance's key is out of reach.
fn is_lost(moment: &mut Moment<'_>) -> bool {
    let Some(key) = moment
        .instance()
        .and_then(|instance| instance.kms_key.clone())
    else {
        return false;
    };
    !moment
        .region()
        .key(&key)
        .is_some_and(super::KmsKey::is_usable)
}

fn look(moment: &mut Moment<'_>) {
    if !is_lost(moment) {
        return;
    }
    let subject = moment.subject.clone();
    let has_replicas = moment.region().replicas_of(&subject).next().is_some();
    let Some(instance) = moment.instance() else {
        return;
    };
    let is_stoppable =
        instance.replica_of.is_none() && !has_replicas && !instance.is_cluster_member();
    match instance.status.as_str() {
        // A stopped instance finds out when it is started.
        "stopped" | "failed" | RECOVERABLE | TERMINAL => {}
        "available" | "storage-optimization" if !is_stoppable => go(moment, TERMINAL),
        "available" | "storage-optimization" if instance.backup_retention > 0 => {
            go(moment, RECOVERABLE);
        }
        "available" | "storage-optimization" => {}
        status if status.starts_with("incompatible-") => {}
        _ => {
            let (scope, now) = (moment.scope.clone(), moment.now);
            look_after(moment.world, &scope, &subject, now, BUSY);
        }
    }
}

/// Takes the instance out of service.
fn go(moment: &mut Moment<'_>, status: &str) {
    let deadline = plus(moment.now, i64::try_from(GRACE).unwrap_or(i64::MAX));
    let recoverable = status == RECOVERABLE;
    if let Some((engines, server)) = moment.server() {
        moment.start(async move { engines.stop(&server).await.map(|()| JobOutput::Done) });
    }
    if let Some(instance) = moment.instance() {
        status.clone_into(&mut instance.status);
        instance.stale = None;
        instance.automatic_restart = recoverable.then_some(deadline);
    }
    moment.event(
        "failure",
        if recoverable {
            "The KMS key of the DB instance cannot be accessed. Enable the key and start the DB instance within seven days."
        } else {
            "The KMS key of the DB instance cannot be accessed. The DB instance can only be restored from a backup."
        },
    );
    if recoverable {
        let (scope, subject, now) = (moment.scope.clone(), moment.subject.clone(), moment.now);
        moment.world.schedule(
            now,
            Timeline::new(&scope, &subject)
                .then(GRACE, move |moment| {
                    // Another outage since then has a deadline of its own.
                    if moment.instance().is_some_and(|instance| {
                        instance.status == RECOVERABLE
                            && instance.automatic_restart == Some(deadline)
                    }) {
                        go(moment, TERMINAL);
                    }
                })
                .when_done(0, |_| {}),
        );
    }
}

/// A step of a timeline has changed the status of an instance: a reboot and a modification attach its
/// volume again, which takes the key.
pub(crate) fn after_step(
    world: &mut World,
    scope: &Scope,
    resource_id: &str,
    before: &str,
    now: Timestamp,
) {
    if !matches!(before, "rebooting" | "modifying") {
        return;
    }
    let region = world.region_mut(scope);
    let is_up_without_key = region
        .by_resource(resource_id)
        .filter(|instance| instance.status == "available")
        .and_then(|instance| instance.kms_key.as_deref())
        .is_some_and(|key| !region.key(key).is_some_and(super::KmsKey::is_usable));
    if is_up_without_key {
        world.schedule(
            now,
            Timeline::new(scope, resource_id)
                .then(0, |moment| {
                    if is_lost(moment) {
                        go(moment, TERMINAL);
                    }
                })
                .when_done(0, |_| {}),
        );
    }
}
