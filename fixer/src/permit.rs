//! The right to issue one mutation.

use atrest_model::journal::StepStatus;
use atrest_model::plan::{Action, Migration, Step};

use crate::store::StepRecord;
use std::collections::BTreeMap;

/// Made only by the executor, after the intent is durable. Every act takes one.
#[derive(Debug)]
pub(crate) struct Permit(());

/// Proof that the validation of a migration is recorded as done.
#[derive(Debug)]
pub(crate) struct Validated(());

impl Validated {
    /// Reads the proof from the journal's records.
    pub(crate) fn of(
        migration: &Migration,
        records: &BTreeMap<String, StepRecord>,
    ) -> Option<Self> {
        let mut validations = migration
            .steps
            .iter()
            .filter(|step| step.action == Action::Validate)
            .peekable();
        validations.peek()?;
        validations
            .all(|step| {
                records
                    .get(&step.id)
                    .is_some_and(|record| record.status == StepStatus::Done)
            })
            .then_some(Self(()))
    }
}

/// Proof that the encrypted side of a migration holds nothing that the old side lacks, or that it never had a client's
/// name: a rollback from before the cutover has nothing to prove.
#[derive(Debug)]
pub(crate) struct Unwritten(());

impl Unwritten {
    /// Reads the proof from the journal's records.
    pub(crate) fn of(
        migration: &Migration,
        records: &BTreeMap<String, StepRecord>,
    ) -> Option<Self> {
        let is_proof = |step: &&Step| matches!(step.action, Action::Unwritten { .. });
        // A cutover has no other way to its name than by validation.
        migration.steps.iter().find(|step| is_back(&step.action))?;
        migration
            .steps
            .iter()
            .filter(is_proof)
            .all(|step| {
                records
                    .get(&step.id)
                    .is_some_and(|record| record.status == StepStatus::Done)
            })
            .then_some(Self(()))
    }
}

/// Whether this gives an old instance, or an old cluster, the name that clients use, or takes it from the encrypted cluster.
pub(crate) fn is_back(action: &Action) -> bool {
    matches!(
        action,
        Action::NameBack { .. } | Action::ClusterNameBack { .. }
    )
}

impl Permit {
    /// For a step that gives no instance a client's name. `None` for a cutover and its undoing.
    pub(crate) fn ordinary(step: &Step) -> Option<Self> {
        let names = step.action.is_cutover() || is_back(&step.action);
        (!names).then_some(Self(()))
    }

    /// For giving a name back: only with the proof that nothing is lost by it.
    pub(crate) fn back(_proof: &Unwritten) -> Self {
        Self(())
    }

    /// For a cutover: only with the proof of validation.
    pub(crate) fn cutover(_proof: &Validated) -> Self {
        Self(())
    }
}
