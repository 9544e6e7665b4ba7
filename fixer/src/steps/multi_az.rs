//! What is Multi-AZ DB clusters' own: the DB instance their data goes through, and the members that RDS makes.

use std::collections::BTreeSet;

use atrest_model::document::{bool_of, list_of, str_of};
use atrest_model::instance::{DbInstance, Encryption};
use atrest_model::plan::{Action, Step, TAG_RUN, TAG_STEP};
use serde_json::json;

use super::aws::{self, is_made_by};
use super::{Cx, Seen, cluster};
use crate::fault::{self, Fault};
use crate::observatory::RegionView;

/// The DB instance that is made of the cluster's snapshot: unencrypted as that is, and needed until the encrypted cluster
/// is there.
pub(super) fn temporary(
    cx: &Cx<'_>,
    view: &RegionView,
    step: &Step,
    name: &str,
) -> Result<Seen, Fault> {
    let ours = view
        .instances()
        .find(|instance| is_made_by(cx, step, &instance.tags()));
    let Some(instance) = ours.filter(|instance| instance.status() != "deleting") else {
        return if cluster::is_restored(cx, view) {
            Ok(Seen::done("it has served and is gone"))
        } else {
            aws::not_made(cx, view, name, None)
        };
    };
    let state = format!("{} is {}", instance.identifier(), instance.status());
    if fault::has_ended(instance) {
        return Ok(Seen::stuck(state, format!("delete {name}, then resume")));
    }
    if !instance.is_ready() {
        return Ok(Seen::pending(state));
    }
    Ok(Seen::Done {
        detail: state,
        result: json!({"dbi_resource_id": instance.dbi_resource_id(), "step": step.id}),
    })
}

/// Whether an instance is the one above, and may be deleted: by its tags, and because it is a DB instance of its own that
/// is not encrypted.
pub(super) fn is_temporary(cx: &Cx<'_>, instance: &DbInstance) -> bool {
    let mut steps = cx.migration.steps.iter();
    instance.encryption() == Encryption::None
        && instance.cluster().is_none()
        && steps.any(|step| {
            matches!(step.action, Action::TemporaryInstance { .. })
                && is_made_by(cx, step, &instance.tags())
        })
}

/// A DB instance that came with the encrypted cluster: its writer, or the first reader in the order of names that no other
/// step has. By the tags of the step once they are set: the writer may be another one then.
pub(super) fn member(
    cx: &Cx<'_>,
    view: &RegionView,
    step: &Step,
    writer: bool,
) -> Result<Seen, Fault> {
    let cluster = match cluster::made(cx, view)? {
        Ok(cluster) => cluster,
        Err(seen) => return Ok(seen),
    };
    let tagged = view
        .instances()
        .find(|instance| is_made_by(cx, step, &instance.tags()));
    let taken: BTreeSet<&str> = cx
        .made
        .iter()
        .filter(|(by, _)| **by != step.id)
        .map(|(_, id)| id.as_str())
        .collect();
    let is_free = |instance: &DbInstance| {
        let tags = instance.tags();
        let of_another = tags.get(TAG_RUN) == Some(&cx.plan.run.as_str())
            && tags
                .get(TAG_STEP)
                .is_some_and(|made_by| *made_by != step.id);
        !of_another && !taken.contains(instance.dbi_resource_id())
    };
    let found = tagged.or_else(|| {
        let mut names: Vec<&str> = list_of(&cluster.document, "DBClusterMembers")
            .iter()
            .filter(|member| !writer || bool_of(member, "IsClusterWriter") == Some(true))
            .filter_map(|member| str_of(member, "DBInstanceIdentifier"))
            .collect();
        names.sort_unstable();
        names
            .into_iter()
            .filter_map(|name| view.by_name(name))
            .find(|instance| is_free(instance))
    });
    Ok(match found {
        None => Seen::pending(format!("{} has not got it yet", cluster.identifier())),
        Some(instance) => aws::encrypted(cx, step, instance),
    })
}
