//! `SwitchoverBlueGreenDeployment`: blue stops writing, green catches up, replication ends, names change places.

use std::time::{Duration, Instant};

use super::{Member, answer, event, find, open_endpoints, show_endpoints, state};
use crate::engine::{EngineError, Engines, ServerId, ServerSpec};
use crate::rds::error::ApiError;
use crate::rds::state::{DbInstance, Region};
use crate::rds::{Answer, Call, data};
use crate::world::{JobOutput, Moment, Timeline};

/// How long green may take to catch up with a blue that no longer changes, in real time.
const CATCH_UP: Duration = Duration::from_secs(60);

/// `SwitchoverBlueGreenDeployment`: `SwitchoverTimeout` is 300 seconds unless told otherwise; when it is not
/// enough, nothing has changed afterwards.
pub(crate) fn switchover(call: &mut Call<'_>) -> Answer {
    let (scope, now) = (call.scope, call.now);
    let id = call.params.required("BlueGreenDeploymentIdentifier")?;
    let timeout = call.params.integer("SwitchoverTimeout")?.unwrap_or(300);
    let timeout = u64::try_from(timeout)
        .ok()
        .filter(|timeout| (30..=3600).contains(timeout))
        .ok_or_else(|| ApiError::value("SwitchoverTimeout must be between 30 and 3600 seconds."))?;
    let region = call.region();
    let deployment = find(region, &id)?.clone();
    let shown = deployment.shown_status(region);
    if !matches!(shown, "AVAILABLE" | "SWITCHOVER_FAILED") {
        return Err(state(format!(
            "The blue/green deployment {id} can't be switched over in the state {shown}."
        )));
    }
    check_members(region, &deployment.members)?;
    let deployment = find(region, &id)?;
    deployment.status = "SWITCHOVER_IN_PROGRESS";
    deployment.details = None;
    let members = deployment.members.clone();
    mark(call.region(), &id, "SWITCHOVER_IN_PROGRESS");
    for member in &members {
        for resource_id in [&member.blue, &member.green] {
            if let Some(instance) = call.region().by_resource_mut(resource_id) {
                instance.status = "modifying".to_owned();
            }
        }
    }
    // Usually under a minute.
    let took = call.world.takes(&format!("bgd-switchover/{id}"), (25, 60));
    let timeline = if took > timeout {
        let members = members.clone();
        Timeline::new(scope, &id)
            .then(0, started)
            .then(timeout, move |moment| {
                cancel(moment, &members, "the switchover timeout was reached");
            })
    } else {
        let (handing, renaming, ending, failing) =
            (members.clone(), members.clone(), members.clone(), members);
        Timeline::new(scope, &id)
            .then(0, move |moment| {
                started(moment);
                hand_over(moment, handing);
            })
            .when_done(took, move |moment| {
                let all = exchange_names(moment, &renaming);
                open_endpoints(moment, &all);
            })
            .when_done(0, move |moment| complete(moment, &ending))
            .on_failure(move |moment, error| {
                cancel(moment, &failing, &error);
                // Blue writes again.
                for member in &failing {
                    restore_writes(moment, &member.blue);
                }
            })
    };
    call.world.schedule(now, timeline);
    answer(call, &id)
}

/// Guardrails: everything is available, and green follows.
fn check_members(region: &Region, members: &[Member]) -> Result<(), ApiError> {
    for member in members {
        for resource_id in [&member.blue, &member.green] {
            let instance = region.by_resource(resource_id);
            if instance.is_none_or(|instance| instance.status != "available") {
                return Err(state(format!(
                    "The DB instance {} isn't available.",
                    instance.map_or(resource_id.as_str(), |instance| instance.id.as_str())
                )));
            }
        }
        if let Some(green) = region.by_resource(&member.green)
            && green
                .replication
                .as_ref()
                .is_none_or(|replication| replication.status != "replicating")
        {
            return Err(state(format!(
                "Replication to the DB instance {} isn't healthy.",
                green.id
            )));
        }
    }
    Ok(())
}

fn mark(region: &mut Region, id: &str, status: &'static str) {
    if let Ok(deployment) = find(region, id) {
        for member in &mut deployment.members {
            member.status = status;
        }
    }
}

fn started(moment: &mut Moment<'_>) {
    event(
        moment,
        "notification",
        "Switchover started on blue/green deployment.".to_owned(),
    );
}

fn spec(region: &Region, instance: &DbInstance, read_only: bool) -> ServerSpec {
    let mut spec = data::server_spec(region, instance);
    spec.parameters.insert(
        "read_only".to_owned(),
        if read_only { "1" } else { "0" }.to_owned(),
    );
    spec
}

/// Blue becomes read-only, which it stays until a reboot; green applies what is left and is on its own.
fn hand_over(moment: &mut Moment<'_>, members: Vec<Member>) {
    let Some(engines) = moment.world.engines.clone() else {
        return;
    };
    let Some(root) = members.first() else {
        return;
    };
    let region = moment.region();
    let (Some(blue), Some(green)) = (
        region.by_resource(&root.blue),
        region.by_resource(&root.green),
    ) else {
        return;
    };
    let (Some(from), Some(to)) = (blue.server.clone(), green.server.clone()) else {
        return;
    };
    let alone = DbInstance {
        replica_of: None,
        ..green.clone()
    };
    let (blue_spec, green_spec) = (spec(region, blue, true), spec(region, &alone, false));
    let marker = format!(
        "rds_switchover_{}",
        moment.subject.trim_start_matches("bgd-")
    );
    moment.start(async move {
        engines.reconfigure(&from, blue_spec).await?;
        catch_up(&engines, &from, &to, &marker).await?;
        engines.promote(&to, green_spec).await?;
        for server in [&from, &to] {
            engines
                .run_sql(server, &format!("DROP TABLE IF EXISTS mysql.{marker};"))
                .await?;
        }
        Ok(JobOutput::Done)
    });
}

/// Waits until green has everything: a table made on the now silent blue is the last thing it receives.
async fn catch_up(
    engines: &Engines,
    from: &ServerId,
    to: &ServerId,
    marker: &str,
) -> Result<(), EngineError> {
    engines
        .run_sql(from, &format!("CREATE TABLE mysql.{marker} (n INT);"))
        .await?;
    let deadline = Instant::now() + CATCH_UP;
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    loop {
        ticks.tick().await;
        match engines
            .run_sql(to, &format!("SELECT n FROM mysql.{marker};"))
            .await
        {
            Ok(()) => return Ok(()),
            // Not there yet.
            Err(EngineError::Sql { .. }) if Instant::now() < deadline => {}
            Err(error) => return Err(error),
        }
    }
}

fn restore_writes(moment: &mut Moment<'_>, blue: &str) {
    let Some(engines) = moment.world.engines.clone() else {
        return;
    };
    let region = moment.region();
    let Some(instance) = region.by_resource(blue) else {
        return;
    };
    let spec = data::server_spec(region, instance);
    if let Some(server) = instance.server.clone() {
        moment.start(async move {
            engines
                .reconfigure(&server, spec)
                .await
                .map(|()| JobOutput::Done)
        });
    }
}

/// Blue `x` becomes `x-old1`, green becomes `x`; resource ids stay where they are.
fn exchange_names(moment: &mut Moment<'_>, members: &[Member]) -> Vec<String> {
    let mut all = Vec::new();
    for (position, member) in members.iter().enumerate() {
        let region = moment.region();
        let names = (
            region.by_resource(&member.blue).map(|blue| blue.id.clone()),
            region
                .by_resource(&member.green)
                .map(|green| green.id.clone()),
        );
        let (Some(blue), Some(green)) = names else {
            continue;
        };
        let old = old_name(region, &blue);
        if let Some(instance) = region.by_resource_mut(&member.blue) {
            instance.id.clone_from(&old);
            instance.stale = None;
        }
        if let Some(instance) = region.by_resource_mut(&member.green) {
            instance.id.clone_from(&blue);
            instance.stale = None;
            if position == 0 {
                instance.replica_of = None;
                instance.replication = None;
            }
        }
        all.push(member.blue.clone());
        all.push(member.green.clone());
        let from = if position == 0 {
            "primary source"
        } else {
            "source"
        };
        event(
            moment,
            "notification",
            format!(
                "Switchover from {from} {blue} to target {green} completed. Renamed {blue} to {old} and {green} to {blue}."
            ),
        );
    }
    all
}

/// `x-old1`, or the next number that is free; no longer than a name may be.
fn old_name(region: &Region, name: &str) -> String {
    let stem = name.get(..58).unwrap_or(name).trim_end_matches('-');
    (1..)
        .map(|number: u32| format!("{stem}-old{number}"))
        .find(|name| !region.name_taken(name))
        .unwrap_or_default()
}

fn complete(moment: &mut Moment<'_>, members: &[Member]) {
    let id = moment.subject.clone();
    let all: Vec<String> = members
        .iter()
        .flat_map(|member| [member.blue.clone(), member.green.clone()])
        .collect();
    show_endpoints(moment, &all);
    for resource_id in &all {
        if let Some(instance) = moment.region().by_resource_mut(resource_id) {
            instance.status = "available".to_owned();
        }
    }
    let region = moment.region();
    let names: Vec<_> = members
        .iter()
        .map(|member| {
            let name = |id: &str| region.by_resource(id).map(|instance| instance.id.clone());
            (name(&member.blue), name(&member.green))
        })
        .collect();
    if let Ok(deployment) = find(region, &id) {
        deployment.status = "SWITCHOVER_COMPLETED";
        for (member, (blue, green)) in deployment.members.iter_mut().zip(names) {
            if let (Some(blue), Some(green)) = (blue, green) {
                member.names = (blue, green);
            }
        }
    }
    mark(region, &id, "SWITCHOVER_COMPLETED");
    event(
        moment,
        "notification",
        "Switchover completed on blue/green deployment.".to_owned(),
    );
}

/// Nothing has changed.
fn cancel(moment: &mut Moment<'_>, members: &[Member], reason: &str) {
    let id = moment.subject.clone();
    for member in members {
        for resource_id in [&member.blue, &member.green] {
            if let Some(instance) = moment.region().by_resource_mut(resource_id) {
                instance.status = "available".to_owned();
            }
        }
    }
    let region = moment.region();
    if let Ok(deployment) = find(region, &id) {
        deployment.status = "SWITCHOVER_FAILED";
        deployment.details = Some(format!("Switchover was canceled because {reason}."));
    }
    mark(region, &id, "SWITCHOVER_FAILED");
    event(
        moment,
        "failure",
        "Switchover canceled on blue/green deployment.".to_owned(),
    );
}
