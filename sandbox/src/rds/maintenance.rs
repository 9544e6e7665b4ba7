//! Pending maintenance: describe, opt in, apply.

use super::error::ApiError;
use super::names::parse_arn;
use super::page::{Filters, page};
use super::state::PendingAction;
use super::xml::Xml;
use super::{Answer, Call, data, lifecycle, modify, result};
use crate::clock::plus;
use crate::world::Timeline;

/// Actions that exist.
const ACTIONS: [&str; 5] = [
    "ca-certificate-rotation",
    "db-upgrade",
    "hardware-maintenance",
    "os-upgrade",
    "system-update",
];

fn write(xml: &mut Xml, arn: &str, actions: &[&PendingAction]) {
    xml.value("ResourceIdentifier", arn);
    xml.list(
        "PendingMaintenanceActionDetails",
        "PendingMaintenanceAction",
        actions,
        |xml, action| {
            xml.value("Action", &action.action);
            xml.optional("OptInStatus", action.opt_in.as_ref());
            if let Some(at) = action.applies {
                xml.time("CurrentApplyDate", at);
            }
            xml.value("Description", &action.description);
        },
    );
}

/// `DescribePendingMaintenanceActions`: only resources with at least one action.
pub(crate) fn describe(call: &mut Call<'_>) -> Answer {
    let filters = Filters::read(call.params, &["db-cluster-id", "db-instance-id"])?;
    let (scope, params, limit) = (call.scope, call.params, call.world.knobs.page_limit);
    let wanted = params.text("ResourceIdentifier");
    let region = call.region();
    let mut found: Vec<(String, Vec<&PendingAction>)> = Vec::new();
    for action in &region.pending_actions {
        let Some(instance) = region.by_resource(&action.resource_id) else {
            continue;
        };
        let arn = scope.arn("db", &instance.id);
        if wanted.as_ref().is_some_and(|wanted| *wanted != arn)
            || !filters.admits("db-instance-id", &[&instance.id, &arn])
            || !filters.admits("db-cluster-id", &[])
        {
            continue;
        }
        match found.iter_mut().find(|(known, _)| *known == arn) {
            Some((_, actions)) => actions.push(action),
            None => found.push((arn, vec![action])),
        }
    }
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.list(
            "PendingMaintenanceActions",
            "ResourcePendingMaintenanceActions",
            page.items,
            |xml, (arn, actions)| write(xml, &arn, &actions),
        );
        xml.optional("Marker", page.marker);
    })
}

/// `ApplyPendingMaintenanceAction`: at once, in the next window, or no longer in the next window.
pub(crate) fn apply(call: &mut Call<'_>) -> Answer {
    let (params, scope, now) = (call.params, call.scope, call.now);
    let arn = params.required("ResourceIdentifier")?;
    let action = params.required("ApplyAction")?;
    let opt_in = params.required("OptInType")?;
    if !ACTIONS.contains(&action.as_str()) {
        return Err(ApiError::value(format!("Invalid apply action: {action}")));
    }
    if !["immediate", "next-maintenance", "undo-opt-in"].contains(&opt_in.as_str()) {
        return Err(ApiError::value(format!("Invalid opt-in type: {opt_in}")));
    }
    let missing = || {
        ApiError::new(
            "ResourceNotFoundFault",
            format!("The specified resource {arn} has no pending action {action}."),
        )
    };
    let id = parse_arn(&arn)
        .filter(|parsed| parsed.scope == *scope && parsed.kind == "db")
        .ok_or_else(missing)?
        .name;
    let region = call.region();
    let instance = region
        .instance(&id)
        .filter(|instance| !instance.hidden)
        .ok_or_else(missing)?
        .clone();
    let pending = region
        .pending_actions
        .iter()
        .find(|pending| pending.resource_id == instance.resource_id && pending.action == action)
        .ok_or_else(missing)?;
    if pending.opt_in.as_deref() == Some("immediate") {
        return Err(ApiError::instance_state(format!(
            "The action {action} is being applied to {id} already."
        )));
    }
    if opt_in == "immediate" && instance.status != "available" {
        return Err(ApiError::instance_state(format!(
            "DB instance {id} is not in available state."
        )));
    }
    let subject = format!("maintenance:{}:{action}", instance.resource_id);
    let wait = modify::until_window(&instance.maintenance_window, now).unwrap_or(0);
    let (kept, applies) = match opt_in.as_str() {
        "immediate" => (Some(opt_in.clone()), Some(now)),
        "next-maintenance" => (
            Some(opt_in.clone()),
            Some(plus(now, i64::try_from(wait).unwrap_or(i64::MAX))),
        ),
        _ => (None, None),
    };
    if let Some(pending) = region
        .pending_actions
        .iter_mut()
        .find(|pending| pending.resource_id == instance.resource_id && pending.action == action)
    {
        pending.opt_in = kept;
        pending.applies = applies;
    }
    call.world.cancel(scope, &subject);
    if opt_in != "undo-opt-in" {
        let delay = if opt_in == "immediate" { 0 } else { wait };
        let resource_id = instance.resource_id.clone();
        call.world.schedule(
            now,
            Timeline::new(scope, &subject).then(delay, move |moment| {
                carry_out(moment, &resource_id, &action);
            }),
        );
    }
    let region = call.region();
    let actions: Vec<&PendingAction> = region
        .pending_actions
        .iter()
        .filter(|pending| pending.resource_id == instance.resource_id)
        .collect();
    result(|xml| {
        xml.element("ResourcePendingMaintenanceActions", |xml| {
            write(xml, &arn, &actions);
        });
    })
}

/// The instance is in `maintenance` for some minutes and restarts; then the action is gone.
fn carry_out(moment: &mut crate::world::Moment<'_>, resource_id: &str, action: &str) {
    let (scope, now) = (moment.scope.clone(), moment.now);
    let took = moment
        .world
        .takes(&format!("maintenance/{resource_id}"), (180, 600));
    let action = action.to_owned();
    let timeline = Timeline::new(&scope, resource_id)
        .then(0, |moment| {
            if moment
                .instance()
                .is_some_and(|instance| instance.status == "available")
            {
                moment.status("maintenance");
                moment.event("maintenance", "Offline maintenance is taking place");
                data::restart(moment);
            }
        })
        .when_done(took, move |moment| {
            let subject = moment.subject.clone();
            if moment
                .instance()
                .is_none_or(|instance| instance.status != "maintenance")
            {
                // It was busy with something else: the action waits for another opportunity.
                for pending in &mut moment.region().pending_actions {
                    if pending.resource_id == subject && pending.action == action {
                        pending.opt_in = None;
                        pending.applies = None;
                    }
                }
                return;
            }
            moment
                .region()
                .pending_actions
                .retain(|pending| pending.resource_id != subject || pending.action != action);
            if let Some(instance) = moment.instance() {
                lifecycle::after_restart(instance);
                instance.status = "available".to_owned();
            }
            moment.event("maintenance", "Offline maintenance is complete");
        })
        .on_failure(|moment, error| data::fail(moment, "failed", &error));
    moment.world.schedule(now, timeline);
}
