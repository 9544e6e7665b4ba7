//! What undoing a blue/green deployment has of its own: names that RDS draws and numbers, a green side that is known by
//! the deployment before it is known by our tags, and the deployment itself, which goes first.

use atrest_model::document::{list_of, str_of};
use atrest_model::instance::DbInstance;
use atrest_model::plan::{Action, Member, Method, Migration, Target};
use serde_json::Value;

use super::rollback::Found;
use super::settle::Trace;
use super::{Facts, Region, SHORT, Steps, tags_of_step};
use crate::observatory::RegionView;

/// Whether an old instance may be called so. The plan says `x-old1`; RDS takes the next number that is free.
pub(super) fn is_old_name(migration: &Migration, member: &Member, name: &str) -> bool {
    if name == member.old_name.as_str() {
        return true;
    }
    let stem = member.old_name.as_str().strip_suffix("-old1");
    migration.method == Method::BlueGreen
        && stem
            .and_then(|stem| name.strip_prefix(stem)?.strip_prefix("-old"))
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether a new instance may be called so. The plan says `x-green`; RDS draws letters behind it.
pub(super) fn is_new_name(migration: &Migration, member: &Member, name: &str) -> bool {
    name == member.new_name.as_str()
        || migration.method == Method::BlueGreen
            && name
                .strip_prefix(member.new_name.as_str())
                .is_some_and(|drawn| drawn.starts_with('-'))
}

/// The name of the deployment of a migration.
fn name_of(migration: &Migration) -> Option<&str> {
    migration.steps.iter().find_map(|step| match &step.action {
        Action::CreateBlueGreen { deployment, .. } => Some(deployment.as_str()),
        _ => None,
    })
}

/// The deployment of a migration, as RDS shows it.
fn deployment<'a>(region: &'a Region, migration: &Migration) -> Option<&'a Value> {
    let name = name_of(migration)?;
    let mut all = region.blue_green.iter();
    all.find(|document| str_of(document, "BlueGreenDeploymentName") == Some(name))
}

/// The green instance that the deployment pairs with a blue one.
pub(super) fn counterpart<'a>(
    region: &'a Region,
    migration: &Migration,
    blue: &DbInstance,
) -> Option<&'a DbInstance> {
    let document = deployment(region, migration)?;
    let pair = list_of(document, "SwitchoverDetails")
        .iter()
        .find(|pair| str_of(pair, "SourceMember") == Some(blue.arn()))?;
    let arn = str_of(pair, "TargetMember")?;
    region.instances.iter().find(|found| found.arn() == arn)
}

/// The green side bears our tags, and the deployment is gone. Its instances stay: from then on they are ours to look at,
/// to name and to delete. Gives what comes next needs.
pub(super) fn take_apart(
    facts: &Facts<'_>,
    region: &Region,
    migration: &Migration,
    found: &[Found<'_>],
    steps: &mut Steps,
) -> Vec<String> {
    let (Some(name), Some(document)) = (name_of(migration), deployment(region, migration)) else {
        return Vec::new();
    };
    let mut needs = Vec::new();
    for f in found {
        let Some(new) = f.new else { continue };
        let tags = tags_of_step(facts.plan, migration, &f.member.made_by);
        let shown = new.tags();
        let is_tagged = tags
            .iter()
            .all(|(key, value)| shown.get(key.as_str()) == Some(&value.as_str()));
        if !is_tagged {
            needs.push(steps.push(
                &format!("tag:{}", f.member.identifier),
                &[],
                SHORT,
                Action::Tag {
                    instance: Target::Old(new.dbi_resource_id().to_owned()),
                    tags,
                },
            ));
        }
    }
    let deployment = name.to_owned();
    let action = match str_of(document, "Status") {
        Some("SWITCHOVER_COMPLETED") => Action::EndBlueGreen { deployment },
        _ => Action::RemoveBlueGreen { deployment },
    };
    vec![steps.push("remove-blue-green", &needs, SHORT, action)]
}

/// What is seen of a deployment on its way.
pub(super) fn trace(action: &Action, name: &str, view: &RegionView) -> Trace {
    let Ok(found) = view.blue_green(name) else {
        return Trace::None("blue/green deployments were not read");
    };
    let status = found.map(|document| str_of(document, "Status").unwrap_or("UNKNOWN"));
    match (action, status) {
        (_, Some(moving @ ("PROVISIONING" | "SWITCHOVER_IN_PROGRESS" | "DELETING"))) => {
            Trace::Moving(format!("{name} is {moving}"))
        }
        (Action::CreateBlueGreen { .. }, None) => Trace::None("nothing is shown of it"),
        (Action::Switchover { .. }, Some("AVAILABLE")) => {
            Trace::None("it is still as before the switchover")
        }
        (Action::EndBlueGreen { .. } | Action::RemoveBlueGreen { .. }, Some(_)) => {
            Trace::None("it is still there")
        }
        _ => Trace::Known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn migration(method: &str) -> Migration {
        serde_json::from_value(json!({
            "id": "eu-central-1/x", "region": "eu-central-1", "method": method, "cluster": null, "engine": "mariadb",
            "allocated_storage": 20, "kms_key_id": "k", "replicas": [], "notes": [], "steps": [],
            "source": {"identifier": "x", "old_name": "x-old1", "new_name": "x-green", "dbi_resource_id": "db-X",
                "replicates_from": null, "digest": "", "made_by": "green:x"},
        }))
        .unwrap()
    }

    #[test]
    fn names_that_rds_numbers_and_draws_are_known_and_no_others() {
        let of = migration("blue-green");
        let member = &of.source;
        for (name, old, new) in [
            ("x-old1", true, false),
            ("x-old12", true, false),
            ("x-old", false, false),
            ("x-old1-mine", false, false),
            ("y-old1", false, false),
            ("x-green", false, true),
            ("x-green-abcdef", false, true),
            ("x-greenhouse", false, false),
            ("x", false, false),
        ] {
            assert_eq!(is_old_name(&of, member, name), old, "{name}");
            assert_eq!(is_new_name(&of, member, name), new, "{name}");
        }
        // Of another method no letter may differ.
        let cold = migration("cold");
        assert!(!is_old_name(&cold, &cold.source, "x-old2"));
        assert!(!is_new_name(&cold, &cold.source, "x-green-abcdef"));
    }
}
