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

impl Permit {
    /// For a step that gives no instance a client's name. `None` for a cutover.
    pub(crate) fn ordinary(step: &Step) -> Option<Self> {
        (!step.action.is_cutover()).then_some(Self(()))
    }

    /// For a cutover: only with the proof of validation.
    pub(crate) fn cutover(_proof: &Validated) -> Self {
        Self(())
    }
}
