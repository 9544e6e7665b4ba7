//! The copy of a journal: made for the object of each migration, and put together again from all of them.

use std::collections::BTreeMap;

use atrest_model::phase::{Phase, PhaseName};
use atrest_model::plan::{Action, Migration, Plan};
use atrest_model::shared::{CopiedRecord, SharedObject};

use crate::store::{ALL_MIGRATIONS, Entry, RUN_ITSELF, RunStore, StoreError};
use crate::undo;

/// What the object of one migration says of its journal.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Copy {
    pub(super) journal: Vec<CopiedRecord>,
    pub(super) over: bool,
    pub(super) phases: Vec<PhaseName>,
}

impl Copy {
    /// Reads it from the journal.
    pub(super) fn of(store: &RunStore, migration: &Migration) -> Result<Self, StoreError> {
        let mut entries = store.entries_of(&migration.id)?;
        let records = store.steps(&migration.id)?;
        let begun = records.values().any(|record| record.intended_at.is_some());
        let over = !begun || undo::is_done(store.present(migration), &records);
        for of_the_run in [RUN_ITSELF, ALL_MIGRATIONS] {
            entries.extend(store.entries_of(of_the_run)?);
        }
        entries.sort_by_key(|entry| entry.seq);
        Ok(Self {
            journal: entries.into_iter().map(copied).collect(),
            over,
            phases: store.phases().iter().map(|p| p.phase.clone()).collect(),
        })
    }
}

fn copied(entry: Entry) -> CopiedRecord {
    CopiedRecord {
        seq: entry.seq,
        at: entry.at,
        migration: entry.migration,
        step: entry.step,
        event: entry.event,
        detail: entry.detail,
    }
}

/// A run as the objects of its migrations tell it: what a run folder is made anew from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunCopy {
    /// The records of all migrations, in order.
    pub(crate) records: Vec<CopiedRecord>,
    /// The phases that were begun.
    pub(crate) phases: Vec<Phase>,
    /// The claim that the new folder keeps; `None` has it claim anew.
    pub(crate) claim: Option<String>,
}

impl RunCopy {
    /// Puts the copies together. A claim of another folder is not among them: whoever takes a run over claims.
    pub(super) fn of<'a>(
        plan: &Plan,
        objects: impl IntoIterator<Item = &'a SharedObject>,
        phases: Vec<Phase>,
    ) -> Self {
        // A phase has no step that claims.
        let keeps_claim = !phases.is_empty();
        let mut records = BTreeMap::new();
        let mut claim = None;
        for object in objects {
            if keeps_claim {
                claim = claim.or_else(|| object.claim.clone());
            }
            for record in &object.journal {
                if keeps_claim || !is_claim(plan, record) {
                    // Those of the run itself are in every object.
                    records.insert(record.seq, record.clone());
                }
            }
        }
        Self {
            records: records.into_values().collect(),
            phases,
            claim,
        }
    }

    /// Records in it.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records.len()
    }
}

fn is_claim(plan: &Plan, record: &CopiedRecord) -> bool {
    let migration = plan.migrations.iter().find(|m| m.id == record.migration);
    let step = migration.and_then(|m| m.steps.iter().find(|step| step.id == record.step));
    step.is_some_and(|step| {
        matches!(
            step.action,
            Action::Claim { .. } | Action::ClaimCluster { .. }
        )
    })
}
