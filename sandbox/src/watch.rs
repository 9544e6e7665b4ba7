//! What replicas say about their replication: asked of the real servers, shown by Describe.
//!
//! The servers are asked beside the requests, not in them, and only while somebody reads: a Describe leaves word
//! that it was there, and the next round brings what it shows up to date.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::engine::{EngineError, Engines, ReplicationState, ServerId};
use crate::rds::state::{Membership, Scope};
use crate::world::{Core, World};

/// Rest between two rounds, in real time: a server breaks its replication in real time too.
const EVERY: Duration = Duration::from_millis(300);

/// A replica that can be asked.
struct Replica {
    scope: Scope,
    resource_id: String,
    server: ServerId,
}

/// Asks in rounds, until it is cancelled.
pub(crate) async fn replicas(core: Arc<Core>, engines: Engines) {
    let mut rounds = interval(EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        let asked = to_ask(&mut core.look());
        for replica in asked {
            match engines.replication(&replica.server).await {
                Ok(state) => note(&mut core.look(), &replica, &state),
                // It is being restarted, or was deleted meanwhile.
                Err(EngineError::NotRunning { .. } | EngineError::Unknown { .. }) => {}
                Err(error) => {
                    tracing::debug!(%error, "A replica did not say how it replicates.");
                }
            }
        }
    }
}

/// Replicas with a server whose replication has begun, if anybody looked since the last round.
fn to_ask(world: &mut World) -> Vec<Replica> {
    if !std::mem::take(&mut world.described) {
        return Vec::new();
    }
    let all = world.regions.iter().flat_map(|(scope, region)| {
        let replicas = region.instances.iter().filter(|instance| {
            instance.replica_of.is_some() && instance.replication.is_some() && instance.is_ready()
        });
        replicas.filter_map(|instance| {
            Some(Replica {
                scope: scope.clone(),
                resource_id: instance.resource_id.clone(),
                server: instance.server.clone()?,
            })
        })
    });
    all.collect()
}

fn note(world: &mut World, replica: &Replica, state: &ReplicationState) {
    let (status, message) = match state {
        ReplicationState::Replicating => ("replicating", String::new()),
        ReplicationState::Stopped => ("stopped", String::new()),
        ReplicationState::Error(message) => ("error", message.clone()),
    };
    let now = world.clock.now();
    let region = world.region_mut(&replica.scope);
    let Some(instance) = region.by_resource_mut(&replica.resource_id) else {
        return;
    };
    // While it was asked, it may have been promoted, or have lost its source: that is final.
    let Some(shown) = instance
        .replication
        .as_mut()
        .filter(|shown| shown.status != "terminated")
    else {
        return;
    };
    if shown.status == status && shown.name == message {
        return;
    }
    let event = match status {
        same if same == shown.status => None,
        "replicating" => Some("Replication for the Read Replica resumed".to_owned()),
        "stopped" => Some("Replication on the Read Replica was manually stopped".to_owned()),
        _ => Some(format!("Replication has stopped: {message}")),
    };
    // The second field of the pair is the status, the first its message.
    *shown = Membership {
        name: message,
        status: status.to_owned(),
    };
    let id = instance.id.clone();
    world.version += 1;
    if let Some(event) = event {
        world.event(
            &replica.scope,
            now,
            "db-instance",
            &id,
            "read replica",
            event,
        );
    }
}
