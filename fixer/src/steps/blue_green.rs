//! Observations of a blue/green deployment. The deployment is found by its name, which the plan gives, its instances by
//! their resource ids: names change places at the switchover, ids do not. See docs/design/0008-blue-green.md.

use atrest_model::document::{list_of, str_of};
use atrest_model::instance::{DbInstance, tags_of};
use atrest_model::journal::StepStatus;
use atrest_model::plan::{Member, Step, TAG_RUN, Target};
use atrest_scanner::compare;
use atrest_scanner::pair::{NameMap, SideView, attributes};
use serde_json::{Map, Value, json};

use super::aws::{LOOK, Replication, is_address_of, is_made_by, replication};
use super::{Cx, Seen};
use crate::fault::{self, Fault};
use crate::observatory::RegionView;

/// The state of our deployment.
enum Deployment<'v> {
    NotRead,
    Absent,
    /// It is there and bears the name of another run, or of none.
    Foreign(Seen),
    Ours(&'v Value),
}

fn deployment<'v>(cx: &Cx<'_>, view: &'v RegionView, name: &str) -> Deployment<'v> {
    match view.blue_green(name) {
        Err(_not_read) => Deployment::NotRead,
        Ok(None) => Deployment::Absent,
        Ok(Some(document)) => {
            let run = tags_of(document).get(TAG_RUN).copied();
            match run {
                Some(run) if run == cx.plan.run.as_str() => Deployment::Ours(document),
                // Tags may show a moment after the deployment does.
                None if status(document) == "PROVISIONING" => {
                    Deployment::Foreign(Seen::pending("PROVISIONING, its tags are not shown yet"))
                }
                other => Deployment::Foreign(Seen::stuck(
                    format!(
                        "blue/green deployment {name} belongs to another run ({})",
                        other.unwrap_or("none")
                    ),
                    "finish that run first; if it is gone for good, delete the deployment and resume",
                )),
            }
        }
    }
}

fn status(document: &Value) -> &str {
    str_of(document, "Status").unwrap_or("UNKNOWN")
}

/// Status with AWS's own words on it.
fn state(document: &Value) -> String {
    match str_of(document, "StatusDetails") {
        Some(details) => format!("{}: {details}", status(document)),
        None => status(document).to_owned(),
    }
}

/// `BlueGreenDeploymentIdentifier` of the deployment of that name.
pub(super) fn identifier(view: &RegionView, name: &str) -> Result<String, Fault> {
    let found = view.blue_green(name).ok().flatten();
    found
        .and_then(|document| str_of(document, "BlueGreenDeploymentIdentifier"))
        .map(str::to_owned)
        .ok_or_else(|| Fault::Plan(format!("there is no blue/green deployment {name} any more")))
}

/// The deployment is made when its green side is complete.
pub(super) fn create(cx: &Cx<'_>, view: &RegionView, name: &str) -> Result<Seen, Fault> {
    let document = match deployment(cx, view, name) {
        Deployment::NotRead => {
            return Ok(Seen::pending("blue/green deployments were not read"));
        }
        Deployment::Foreign(seen) => return Ok(seen),
        Deployment::Absent => return Ok(not_created(cx, view)),
        Deployment::Ours(document) => document,
    };
    Ok(match status(document) {
        "AVAILABLE" | "SWITCHOVER_IN_PROGRESS" | "SWITCHOVER_COMPLETED" | "SWITCHOVER_FAILED" => {
            Seen::done(format!("{name} is {}", status(document)))
        }
        "PROVISIONING" => Seen::pending(progress(document)),
        "DELETING" if is_over(cx, view) => Seen::done("the deployment is over"),
        _ => Seen::stuck(
            format!("blue/green deployment {name} is {}", state(document)),
            "delete the deployment with its green instances, mend what its details name, then resume; or make a new plan with another method",
        ),
    })
}

/// Tasks that RDS is at.
fn progress(document: &Value) -> String {
    let tasks: Vec<String> = list_of(document, "Tasks")
        .iter()
        .filter(|task| str_of(task, "Status") == Some("IN_PROGRESS"))
        .filter_map(|task| str_of(task, "Name"))
        .map(|name| name.to_lowercase().replace('_', " "))
        .collect();
    if tasks.is_empty() {
        status(document).to_owned()
    } else {
        format!("{}: {}", status(document), tasks.join(", "))
    }
}

/// There is no deployment: not yet, or not any more.
fn not_created(cx: &Cx<'_>, view: &RegionView) -> Seen {
    if is_over(cx, view) {
        return Seen::done("the deployment is over");
    }
    for member in cx.migration.members() {
        let Some(blue) = view.by_resource_id(&member.dbi_resource_id) else {
            return Seen::pending(format!("{} is not shown", member.identifier));
        };
        if blue.identifier() != member.identifier.as_str() {
            return Seen::stuck(
                format!("{} is called {} now", member.identifier, blue.identifier()),
                "somebody renamed it; give it back its name, then resume",
            );
        }
        if !blue.is_ready() {
            return Seen::pending(format!("{} is {}", blue.identifier(), blue.status()));
        }
    }
    Seen::absent("no such deployment")
}

/// Whether the instances that RDS made for this run bear the names of the members: what is left of a deployment that
/// was switched over and deleted.
fn is_over(cx: &Cx<'_>, view: &RegionView) -> bool {
    cx.migration.members().all(|member| {
        let of_member = cx.migration.steps.iter().find(|s| s.id == member.made_by);
        of_member.is_some_and(|step| {
            view.by_name(member.identifier.as_str())
                .is_some_and(|instance| is_made_by(cx, step, &instance.tags()))
        })
    })
}

/// The green counterpart of a blue instance: by the tags of the step once they are set, before that by the deployment.
pub(super) fn green(
    cx: &Cx<'_>,
    view: &RegionView,
    step: &Step,
    name: &str,
    blue: &Target,
) -> Result<Seen, Fault> {
    let tagged: Vec<&DbInstance> = view
        .instances()
        .filter(|instance| is_made_by(cx, step, &instance.tags()))
        .collect();
    let instance = match tagged.as_slice() {
        [one] => *one,
        [_, _, ..] => {
            let names: Vec<&str> = tagged.iter().map(|i| i.identifier()).collect();
            return Ok(Seen::stuck(
                format!(
                    "several DB instances bear the tags of this step: {}",
                    names.join(", ")
                ),
                "delete those that are not wanted, then resume",
            ));
        }
        [] => {
            let document = match deployment(cx, view, name) {
                Deployment::NotRead => {
                    return Ok(Seen::pending("blue/green deployments were not read"));
                }
                Deployment::Foreign(seen) => return Ok(seen),
                Deployment::Absent => {
                    return Ok(Seen::stuck(
                        format!("blue/green deployment {name} is gone"),
                        "somebody deleted it; delete its green instances, if they are there, and make a new plan",
                    ));
                }
                Deployment::Ours(document) => document,
            };
            let Some(blue) = cx.find(view, blue)? else {
                return Ok(Seen::pending("its blue instance is not shown"));
            };
            match counterpart(document, blue, view) {
                Some(green) => green,
                None => return Ok(Seen::pending("the green instance is not shown")),
            }
        }
    };
    let shown = instance.identifier();
    if fault::has_ended(instance) {
        return Ok(Seen::stuck(
            format!("{shown} is {}", instance.status()),
            LOOK,
        ));
    }
    if !instance.is_ready() || instance.endpoint().is_none() {
        return Ok(Seen::pending(format!("{shown} is {}", instance.status())));
    }
    let key = cx.migration.kms_key_id.as_str();
    if instance.encryption().is_encrypted() != Some(true) || instance.kms_key_id() != Some(key) {
        return Ok(Seen::stuck(
            format!("{shown} is not encrypted under {key}"),
            "delete the blue/green deployment with its green instances and make a new plan with another method",
        ));
    }
    if let Replication::Broken(why) = replication(instance) {
        return Ok(Seen::stuck(
            format!("replication of {shown} is {why}"),
            LOOK,
        ));
    }
    Ok(Seen::Done {
        detail: format!("{shown} is {}", instance.status()),
        result: json!({"dbi_resource_id": instance.dbi_resource_id(), "step": step.id}),
    })
}

/// The instance that a deployment pairs with a blue one.
fn counterpart<'v>(
    document: &Value,
    blue: &DbInstance,
    view: &'v RegionView,
) -> Option<&'v DbInstance> {
    let pair = list_of(document, "SwitchoverDetails")
        .iter()
        .find(|pair| str_of(pair, "SourceMember") == Some(blue.arn()))?;
    let arn = str_of(pair, "TargetMember")?;
    view.instances().find(|instance| instance.arn() == arn)
}

/// Tags are set when they are shown.
pub(super) fn tag(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
    tags: &[(String, String)],
) -> Result<Seen, Fault> {
    let Some(instance) = cx.find(view, target)? else {
        return Ok(Seen::pending("not shown"));
    };
    let shown = instance.tags();
    let all = tags
        .iter()
        .all(|(key, value)| shown.get(key.as_str()) == Some(&value.as_str()));
    Ok(if all {
        Seen::done("tagged")
    } else {
        Seen::absent("not tagged")
    })
}

/// Endpoints of the green side before the switchover, by the steps that it is known under.
pub(super) fn endpoints(cx: &Cx<'_>, view: &RegionView) -> Value {
    let found: Map<String, Value> = cx
        .migration
        .members()
        .filter_map(|member| {
            let green = cx.find(view, &Target::MadeBy(member.made_by.clone()));
            let (address, _) = green.ok().flatten()?.endpoint()?;
            Some((member.made_by.clone(), json!(address)))
        })
        .collect();
    Value::Object(found)
}

/// The switchover is done when the green instances, found by their resource ids, bear the names of the blue ones.
pub(super) fn switchover(cx: &Cx<'_>, view: &RegionView, name: &str) -> Result<Seen, Fault> {
    let document = match deployment(cx, view, name) {
        Deployment::NotRead => {
            return Ok(Seen::pending("blue/green deployments were not read"));
        }
        Deployment::Foreign(seen) => return Ok(seen),
        Deployment::Absent => None,
        Deployment::Ours(document) => Some(document),
    };
    let sides = sides(cx, view)?;
    let left = sides.iter().find_map(|side| side.is_left(cx));
    Ok(match document.map(status) {
        None | Some("SWITCHOVER_COMPLETED" | "DELETING") => match left {
            None => Seen::done("green has the names"),
            Some(left) if document.is_some() => Seen::pending(left),
            Some(_) => Seen::stuck(
                format!("blue/green deployment {name} is gone and was not switched over"),
                "somebody deleted it; delete its green instances, if they are there, and make a new plan",
            ),
        },
        Some("SWITCHOVER_IN_PROGRESS") => Seen::pending("SWITCHOVER_IN_PROGRESS"),
        // RDS has gone back, and nothing has changed. Whoever resumes wants another try.
        Some("SWITCHOVER_FAILED") if cx.status == StepStatus::Accepted => Seen::stuck(
            document.map(state).unwrap_or_default(),
            "RDS went back and clients are where they were; mend what it names, then resume for another try",
        ),
        Some("AVAILABLE" | "SWITCHOVER_FAILED") => healthy(cx, &sides),
        Some(_) => Seen::stuck(
            format!(
                "blue/green deployment {name} is {}",
                document.map(state).unwrap_or_default()
            ),
            LOOK,
        ),
    })
}

/// Both instances of a member, as far as they are shown.
struct Pair<'v> {
    member: &'v Member,
    blue: Option<&'v DbInstance>,
    green: Option<&'v DbInstance>,
}

fn sides<'v>(cx: &'v Cx<'_>, view: &'v RegionView) -> Result<Vec<Pair<'v>>, Fault> {
    cx.migration
        .members()
        .map(|member| {
            Ok(Pair {
                member,
                blue: view.by_resource_id(&member.dbi_resource_id),
                green: cx.find(view, &Target::MadeBy(member.made_by.clone()))?,
            })
        })
        .collect()
}

impl Pair<'_> {
    /// What is still missing of the switchover of this member.
    fn is_left(&self, cx: &Cx<'_>) -> Option<String> {
        let wanted = self.member.identifier.as_str();
        let Some(green) = self.green else {
            return Some(format!("the green {wanted} is not shown"));
        };
        if green.identifier() != wanted {
            return Some(format!("{} is not yet {wanted}", green.identifier()));
        }
        if !green.is_ready() {
            return Some(format!("{wanted} is {}", green.status()));
        }
        let before = cx
            .noted
            .and_then(|noted| str_of(noted, &self.member.made_by));
        let moved = green
            .endpoint()
            .is_some_and(|(address, _)| is_address_of(wanted, address, before));
        if !moved {
            return Some(format!("the endpoint of {wanted} is not there yet"));
        }
        match self.blue {
            Some(blue) if blue.identifier() == wanted => {
                Some(format!("the blue one is still called {wanted}"))
            }
            Some(blue) if !blue.is_ready() => {
                Some(format!("{} is {}", blue.identifier(), blue.status()))
            }
            _ => None,
        }
    }
}

/// Whether everything is as it was validated: then nothing stands in the way of the switchover.
fn healthy(cx: &Cx<'_>, sides: &[Pair<'_>]) -> Seen {
    let (old_names, new_names) = names(cx, sides);
    for pair in sides {
        let name = &pair.member.identifier;
        let (Some(blue), Some(green)) = (pair.blue, pair.green) else {
            return Seen::pending(format!("{name} or its green one is not shown"));
        };
        for side in [blue, green] {
            if fault::has_ended(side) {
                return Seen::stuck(format!("{} is {}", side.identifier(), side.status()), LOOK);
            }
            if !side.is_ready() || side.has_pending_modifications() {
                return Seen::pending(format!("{} is {}", side.identifier(), side.status()));
            }
        }
        if let Replication::Broken(why) = replication(green) {
            return Seen::stuck(
                format!("replication of {} is {why}", green.identifier()),
                LOOK,
            );
        }
        let (blue, green) = (alone(blue, sides), alone(green, sides));
        let (found, _leaves) = attributes(
            SideView {
                instance: &blue,
                names: &old_names,
            },
            SideView {
                instance: &green,
                names: &new_names,
            },
        );
        let drift = found
            .iter()
            .find(|difference| difference.class == atrest_model::diff::DiffClass::Drift);
        if let Some(drift) = drift {
            return Seen::stuck(
                format!("{name} has changed since it was validated: {}", drift.path),
                "make both sides equal, then resume",
            );
        }
    }
    Seen::absent("green is ready")
}

/// Names of both sides, as they are now and as the plan has them → the names clients know.
fn names(cx: &Cx<'_>, sides: &[Pair<'_>]) -> (NameMap, NameMap) {
    let (mut old, mut new) = compare::names_of(cx.migration);
    for pair in sides {
        let real = pair.member.identifier.to_string();
        if let Some(blue) = pair.blue {
            old.insert(blue.identifier().to_owned(), real.clone());
        }
        if let Some(green) = pair.green {
            new.insert(green.identifier().to_owned(), real);
        }
    }
    (old, new)
}

/// An instance without the replication between the two sides, which ends with the switchover: the green source is no
/// replica, and the blue one does not have it as one.
fn alone(instance: &DbInstance, sides: &[Pair<'_>]) -> DbInstance {
    let mut alone = instance.clone();
    let id = instance.dbi_resource_id();
    let is_side = |side: Option<&DbInstance>| side.is_some_and(|i| i.dbi_resource_id() == id);
    let names = |pick: fn(&Pair<'_>) -> Option<String>| -> Vec<String> {
        sides.iter().filter_map(pick).collect()
    };
    let Some(document) = alone.document.as_object_mut() else {
        return alone;
    };
    if sides.iter().any(|pair| is_side(pair.green)) {
        let blues = names(|pair| pair.blue.map(|blue| blue.identifier().to_owned()));
        let source = instance.replica_source();
        if source.is_some_and(|source| blues.iter().any(|blue| blue == source)) {
            document.remove("ReadReplicaSourceDBInstanceIdentifier");
        }
    } else {
        let greens = names(|pair| pair.green.map(|green| green.identifier().to_owned()));
        if let Some(Value::Array(replicas)) = document.get_mut("ReadReplicaDBInstanceIdentifiers") {
            replicas.retain(|replica| !greens.iter().any(|green| replica == green.as_str()));
        }
    }
    alone
}

/// Both sides of every member as validation compares them: without the replication between blue and green.
pub(super) fn to_compare(
    cx: &Cx<'_>,
    view: &RegionView,
) -> Result<Vec<(DbInstance, DbInstance)>, Fault> {
    let sides = sides(cx, view)?;
    Ok(sides
        .iter()
        .filter_map(|pair| Some((alone(pair.blue?, &sides), alone(pair.green?, &sides))))
        .collect())
}

/// [`names`] of a view.
pub(super) fn names_now(cx: &Cx<'_>, view: &RegionView) -> Result<(NameMap, NameMap), Fault> {
    Ok(names(cx, &sides(cx, view)?))
}

/// The deployment has ended when it is not there any more.
pub(super) fn end(view: &RegionView, name: &str) -> Result<Seen, Fault> {
    let Ok(found) = view.blue_green(name) else {
        return Ok(Seen::pending("blue/green deployments were not read"));
    };
    Ok(match found.map(status) {
        None => Seen::done("the deployment is gone"),
        Some("DELETING") => Seen::pending("DELETING"),
        Some("SWITCHOVER_COMPLETED") => Seen::absent("SWITCHOVER_COMPLETED"),
        Some(other) => Seen::stuck(
            format!("blue/green deployment {name} is {other}, not switched over"),
            LOOK,
        ),
    })
}

/// A deployment that was not switched over is removed when it is not there any more. Its green instances stay: they are
/// looked at one by one before they go.
pub(super) fn remove(cx: &Cx<'_>, view: &RegionView, name: &str) -> Seen {
    let document = match deployment(cx, view, name) {
        Deployment::NotRead => return Seen::pending("blue/green deployments were not read"),
        Deployment::Foreign(seen) => return seen,
        Deployment::Absent => return Seen::done("the deployment is gone"),
        Deployment::Ours(document) => document,
    };
    match status(document) {
        "DELETING" | "PROVISIONING" | "SWITCHOVER_IN_PROGRESS" => Seen::pending(progress(document)),
        "SWITCHOVER_COMPLETED" => Seen::stuck(
            format!("blue/green deployment {name} was switched over meanwhile"),
            "roll back again: clients are on the green side now",
        ),
        other => Seen::absent(other.to_owned()),
    }
}
