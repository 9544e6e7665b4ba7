//! Renames.

use super::super::state::Scope;
use super::super::{data, lifecycle};
use crate::world::{JobOutput, Timeline, World};

/// A rename: `modifying`, `renaming`, then neither name is found for a while, then `rebooting` under the
/// new name, then `available`; the old name is free from then on, and the new endpoint shows later still.
/// Renaming to the present name runs the same way.
pub(super) fn schedule_rename(
    world: &mut World,
    scope: &Scope,
    now: jiff::Timestamp,
    resource_id: &str,
    new_id: String,
) {
    let Some(old_id) = world
        .region_mut(scope)
        .by_resource(resource_id)
        .map(|instance| instance.id.clone())
    else {
        return;
    };
    let first = world.takes(&format!("rename-modifying/{old_id}"), (30, 60));
    let second = world.takes(&format!("rename-renaming/{old_id}"), (20, 40));
    let gap = world
        .dice
        .between(&format!("rename-gap/{old_id}"), world.knobs.rename_gap);
    let third = world.takes(&format!("rename-rebooting/{old_id}"), (40, 70));
    let endpoint = world.dice.between(
        &format!("rename-endpoint/{old_id}"),
        world.knobs.endpoint_lag,
    );
    let held = old_id.clone();
    let timeline = Timeline::new(scope, resource_id)
        .then(first, |moment| moment.status("renaming"))
        .then(second, move |moment| {
            let region = moment.region();
            region.held_names.push(old_id);
            if let Some(instance) = moment.instance() {
                instance.id.clone_from(&new_id);
                instance.hidden = true;
                instance.stale = None;
            }
            // The old name is gone from DNS at once.
            data::catch_up(moment);
            let spec = data::present_spec(moment);
            if let (Some((engines, server)), Some(spec)) = (moment.server(), spec) {
                moment.start(async move {
                    engines.close_endpoint(&server).await?;
                    engines.reconfigure(&server, spec).await?;
                    engines.restart(&server).await.map(|()| JobOutput::Done)
                });
            }
        })
        .then(gap, |moment| {
            if let Some(instance) = moment.instance() {
                instance.hidden = false;
                instance.status = "rebooting".to_owned();
            }
        })
        .when_done(third, move |moment| {
            moment.region().held_names.retain(|name| *name != held);
            if let Some(instance) = moment.instance() {
                instance.pending.new_id = None;
                instance.status = "available".to_owned();
                lifecycle::after_restart(instance);
            }
            moment.event("availability", "DB instance restarted");
        })
        .then(endpoint, data::open_endpoint)
        .when_done(0, data::take_endpoint)
        .on_failure(|moment, error| data::fail(moment, "failed", &error));
    world.schedule(now, timeline);
}
