//! The cold method: clients are away from the first rename to the last. Always possible.

use atrest_model::instance::DbInstance;
use atrest_model::plan::{Action, Migration, Step, Target};

use super::Facts;
use super::draft::{Draft, SHORT};

/// The steps of docs/design/0001-cold-migration.md.
pub(super) fn steps(facts: &Facts, migration: &Migration, members: &[&DbInstance]) -> Vec<Step> {
    let old = Target::Old(migration.source.dbi_resource_id.clone());
    let mut draft = Draft::new(facts, migration, members);
    let claims = draft.claims();
    let renamed = draft.rename_old(&claims);
    let mut ends = draft.quiesce(&renamed, facts.quiesce.window_seconds);
    draft.restored(old, &["quiesce"]);
    for (member, instance) in migration.members().zip(members) {
        if let Some(parent) = &member.replicates_from {
            draft.replica(member, parent.as_str(), instance);
        }
        ends.extend(draft.inside(member, instance));
    }
    draft.manage_password(&mut ends);
    draft.push("validate", &ends, draft.data, Action::Validate);
    let cutover = draft.rename_new(&["validate"]);
    draft.push("rescan", &cutover, SHORT, Action::Rescan);
    draft.dependents();
    draft.steps
}
