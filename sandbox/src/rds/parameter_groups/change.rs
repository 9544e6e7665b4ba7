//! Changes of parameters, and what they mean for the instances and clusters that use the group.
//!
//! A dynamic parameter set with `immediate` reaches the members at once: `applying`, then `in-sync`. A static
//! one, or one set with `pending-reboot`, waits for a reboot of each member, which nothing else replaces.

use std::collections::BTreeMap;

use super::{Kind, own};
use crate::rds::catalog;
use crate::rds::error::ApiError;
use crate::rds::params::Params;
use crate::rds::state::ParameterGroup;
use crate::rds::{Answer, Call, data, result};
use crate::world::{Moment, Timeline};

/// How many parameters a call may name.
const MOST: usize = 20;

/// A parameter with the value it is to have; without one it falls back to the default.
struct Asked {
    name: String,
    value: Option<String>,
    immediate: bool,
}

/// What a call changed.
#[derive(Default)]
struct Changed {
    /// Dynamic parameters that apply at once.
    now: Vec<String>,
    /// Parameters that wait for a reboot, with the values that the group had before.
    later: BTreeMap<String, Option<String>>,
}

/// Reads `Parameters`; `reset` takes no values.
fn asked(params: &Params, family: &str, reset: bool) -> Result<Option<Vec<Asked>>, ApiError> {
    let Some(items) = params
        .structures("Parameters")
        .filter(|items| !items.is_empty())
    else {
        return Ok(None);
    };
    if items.len() > MOST {
        return Err(ApiError::value(format!(
            "Can only modify up to {MOST} parameters per request."
        )));
    }
    let mut all: Vec<Asked> = Vec::new();
    for item in items {
        let name = item.required("ParameterName")?;
        let known = catalog::known_parameter(family, &name).ok_or_else(|| {
            ApiError::value(format!("Could not find parameter with name: {name}"))
        })?;
        if !known.is_modifiable {
            return Err(ApiError::value(format!(
                "The parameter {name} cannot be modified."
            )));
        }
        let value = if reset {
            None
        } else {
            let value = item.required("ParameterValue")?;
            check_value(known, &value)?;
            Some(value)
        };
        let immediate = match item.required("ApplyMethod")?.as_str() {
            "immediate" if known.is_static => {
                return Err(ApiError::combination(
                    "cannot use immediate apply method for static parameter",
                ));
            }
            "immediate" => true,
            "pending-reboot" => false,
            other => {
                return Err(ApiError::value(format!(
                    "Invalid apply method: {other}. Must be immediate or pending-reboot."
                )));
            }
        };
        if all.iter().any(|other| other.name == name) {
            return Err(ApiError::value(format!(
                "The parameter {name} is given twice."
            )));
        }
        all.push(Asked {
            name,
            value,
            immediate,
        });
    }
    Ok(Some(all))
}

/// Numbers are numbers and switches are 0 or 1; a formula in braces may stand for either.
fn check_value(parameter: &catalog::Parameter, value: &str) -> Result<(), ApiError> {
    let fine = value.contains('{')
        || match parameter.data_type {
            "boolean" => matches!(value, "0" | "1"),
            "integer" => value.parse::<i64>().is_ok(),
            "float" => value.parse::<f64>().is_ok(),
            _ => true,
        };
    let fine = fine && (parameter.name != "lower_case_table_names" || matches!(value, "0" | "1"));
    if fine {
        return Ok(());
    }
    let allowed = match parameter.data_type {
        "integer" if parameter.name != "lower_case_table_names" => "whole numbers",
        "float" => "numbers",
        _ => "0,1",
    };
    Err(ApiError::value(format!(
        "Invalid parameter value: {value} for: {} allowed values are: {allowed}",
        parameter.name
    )))
}

fn apply(group: &mut ParameterGroup, asked: Vec<Asked>) -> Changed {
    let mut changed = Changed::default();
    for Asked {
        name,
        value,
        immediate,
    } in asked
    {
        let before = match &value {
            Some(value) => group.user.insert(name.clone(), value.clone()),
            None => group.user.remove(&name),
        };
        if immediate || value.is_none() {
            group.deferred.remove(&name);
        } else {
            group.deferred.insert(name.clone());
        }
        if before == value {
            continue;
        }
        if immediate {
            changed.now.push(name);
        } else {
            changed.later.insert(name, before);
        }
    }
    changed
}

/// `ModifyDBParameterGroup` and `ModifyDBClusterParameterGroup`.
pub(crate) fn modify(call: &mut Call<'_>, kind: Kind) -> Answer {
    let name = own(call, kind)?;
    let params = call.params;
    let family = family(call, kind, &name);
    let asked = asked(params, &family, false)?.ok_or_else(|| {
        ApiError::new(
            "MissingParameter",
            "The request must contain the parameter Parameters",
        )
    })?;
    change(call, kind, &name, asked)
}

/// `ResetDBParameterGroup` and `ResetDBClusterParameterGroup`: the whole group unless parameters are named.
pub(crate) fn reset(call: &mut Call<'_>, kind: Kind) -> Answer {
    let name = own(call, kind)?;
    let params = call.params;
    let all = params.boolean("ResetAllParameters")?;
    let family = family(call, kind, &name);
    let asked = match (asked(params, &family, true)?, all) {
        (Some(_), Some(true)) => {
            return Err(ApiError::combination(
                "Parameters can't be specified together with ResetAllParameters.",
            ));
        }
        (None, Some(false)) => {
            return Err(ApiError::new(
                "MissingParameter",
                "The request must contain the parameter Parameters",
            ));
        }
        (Some(asked), _) => asked,
        (None, _) => kind
            .groups(call.region())
            .get(&name)
            .into_iter()
            .flat_map(|group| group.user.keys())
            .map(|name| Asked {
                immediate: !catalog::is_static(&family, name),
                name: name.clone(),
                value: None,
            })
            .collect(),
    };
    change(call, kind, &name, asked)
}

fn family(call: &mut Call<'_>, kind: Kind, name: &str) -> String {
    kind.groups(call.region())
        .get(name)
        .map(|group| group.family.clone())
        .unwrap_or_default()
}

fn change(call: &mut Call<'_>, kind: Kind, name: &str, asked: Vec<Asked>) -> Answer {
    let Some(group) = kind.groups_mut(call.region()).get_mut(name) else {
        return Err(kind.missing(name));
    };
    let changed = apply(group, asked);
    if !(changed.now.is_empty() && changed.later.is_empty()) {
        match kind {
            Kind::Instance => tell_instances(call, name, &changed),
            Kind::Cluster => tell_clusters(call, name, &changed),
        }
    }
    result(|xml| xml.value(&format!("{}Name", kind.word()), name))
}

/// Each instance of the group is `applying` for a while, then `in-sync` or `pending-reboot`.
fn tell_instances(call: &mut Call<'_>, name: &str, changed: &Changed) {
    let (scope, now) = (call.scope, call.now);
    let members: Vec<String> = call
        .region()
        .instances
        .iter()
        .filter(|instance| instance.parameter_group == name)
        .map(|instance| instance.resource_id.clone())
        .collect();
    for resource_id in members {
        let region = call.region();
        let waiting = region
            .by_resource(&resource_id)
            .is_some_and(|instance| instance.parameter_status == "pending-reboot");
        if waiting || !changed.later.is_empty() {
            let unapplied = region.unapplied.entry(resource_id.clone()).or_default();
            for (parameter, before) in &changed.later {
                unapplied
                    .entry(parameter.clone())
                    .or_insert_with(|| before.clone());
            }
        }
        if let Some(unapplied) = region.unapplied.get_mut(&resource_id) {
            unapplied.retain(|parameter, _| !changed.now.contains(parameter));
        }
        if let Some(instance) = region.by_resource_mut(&resource_id) {
            instance.parameter_status = "applying".to_owned();
        }
        let took = call
            .world
            .takes(&format!("parameters/{resource_id}"), (10, 60));
        let timeline = Timeline::new(scope, &resource_id)
            .then(took / 2, data::reconfigure)
            .when_done(took - took / 2, |moment| {
                settle(moment);
                moment.event(
                    "configuration change",
                    "Finished updating DB parameter group",
                );
            })
            .on_failure(|moment, error| {
                if let Some(instance) = moment.instance() {
                    instance.parameter_status = "failed-to-apply".to_owned();
                }
                moment.event(
                    "failure",
                    format!("The parameter group could not be applied: {error}"),
                );
            });
        call.world.schedule(now, timeline);
    }
}

fn settle(moment: &mut Moment<'_>) {
    let subject = moment.subject.clone();
    let waits = moment.region().unapplied.contains_key(&subject);
    if let Some(instance) = moment.instance()
        && instance.parameter_status == "applying"
    {
        instance.parameter_status = if waits { "pending-reboot" } else { "in-sync" }.to_owned();
    }
}

/// The members of each cluster of the group go the same way, in `DBClusterParameterGroupStatus`.
fn tell_clusters(call: &mut Call<'_>, name: &str, changed: &Changed) {
    let (scope, now) = (call.scope, call.now);
    let region = call.region();
    let clusters: Vec<String> = region
        .clusters
        .iter()
        .filter(|cluster| cluster.parameter_group == name)
        .map(|cluster| cluster.id.clone())
        .collect();
    let members: Vec<String> = region
        .instances
        .iter()
        .filter(|instance| {
            instance
                .cluster
                .as_ref()
                .is_some_and(|cluster| clusters.contains(cluster))
        })
        .map(|instance| instance.resource_id.clone())
        .collect();
    for resource_id in members {
        let region = call.region();
        let waits = !changed.later.is_empty()
            || region
                .cluster_parameter_status
                .get(&resource_id)
                .is_some_and(|status| status == "pending-reboot");
        region
            .cluster_parameter_status
            .insert(resource_id.clone(), "applying".to_owned());
        let took = call
            .world
            .takes(&format!("parameters/{resource_id}"), (10, 60));
        let timeline = Timeline::new(scope, &resource_id).then(took, move |moment| {
            let subject = moment.subject.clone();
            let statuses = &mut moment.region().cluster_parameter_status;
            // A reboot on the way has applied everything.
            if statuses
                .get(&subject)
                .is_none_or(|status| status != "applying")
            {
                return;
            }
            if waits {
                statuses.insert(subject, "pending-reboot".to_owned());
            } else {
                statuses.remove(&subject);
            }
        });
        call.world.schedule(now, timeline);
    }
}
