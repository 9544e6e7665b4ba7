//! What follows a plan in the same run folder: rollbacks and cleanups, each a document bound into the journal's chain.
//!
//! The document is written first, whole; the record with its digest begins the phase. A document without a record is of
//! a phase that never began, and is replaced by the next one of its name.

use std::collections::BTreeSet;
use std::path::Path;

use atrest_model::journal::StepEvent;
use atrest_model::phase::{self, Phase, PhaseKind, PhaseName};
use atrest_model::plan::{Migration, Plan};
use serde_json::{Value, json};

use super::journal::Journal;
use super::{Entry, RunStore, StoreError, folder};

/// In the place of a migration, on the record that begins a phase: it is about all of its migrations.
pub const ALL_MIGRATIONS: &str = "*";

/// In the place of a migration, on the records of the run's own hooks; migrations have a slash in their names.
pub(crate) const RUN_ITSELF: &str = "run";

impl Entry {
    /// Whether this record begins a phase and is of no step.
    #[must_use]
    pub fn begins_phase(&self) -> bool {
        self.migration == ALL_MIGRATIONS
    }
}

/// What a sitting works on.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// The plan, with the migrations of this sitting and their steps of this phase.
    pub plan: Plan,
    /// The phase; `None` is the migration itself.
    pub phase: Option<PhaseName>,
}

impl RunStore {
    /// The phases that were begun, in order.
    #[must_use]
    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// The phase a migration is in: the last one that has it. `None` while it is in the migration itself.
    #[must_use]
    pub fn phase_of(&self, migration: &str) -> Option<&Phase> {
        let mut phases = self.phases.iter().rev();
        phases.find(|phase| phase.migration(migration).is_some())
    }

    /// A migration with the steps of the phase it is in.
    #[must_use]
    pub fn present<'a>(&'a self, migration: &'a Migration) -> &'a Migration {
        self.phase_of(&migration.id)
            .and_then(|phase| phase.migration(&migration.id))
            .unwrap_or(migration)
    }

    /// The name that the next phase of this kind has.
    #[must_use]
    pub fn next_phase(&self, kind: PhaseKind) -> PhaseName {
        let before = self.phases.iter().filter(|p| p.phase.kind == kind).count();
        PhaseName {
            kind,
            number: u32::try_from(before).map_or(u32::MAX, |before| before.saturating_add(1)),
        }
    }

    /// Begins a phase: its document is in the folder and its digest in the journal, durably, when this returns. The
    /// sitting is about it from then on.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] when the phase is not of this run or its digest does not fit; any other when it cannot be
    /// written, and then it has not begun.
    pub fn begin_phase(&mut self, phase: Phase) -> Result<(), StoreError> {
        let path = self.dir.join(phase.file_name());
        let broken = |why: &str| StoreError::Damaged {
            file: path.clone(),
            why: why.to_owned(),
        };
        check(&phase, &self.plan).map_err(&broken)?;
        if phase.phase != self.next_phase(phase.phase.kind) {
            return Err(broken("it is not the next one of its kind"));
        }
        let text = serde_json::to_string_pretty(&phase).map_err(|e| broken(&e.to_string()))?;
        self.write_report(&phase.file_name(), &text)?;
        folder::sync(&self.dir)?;
        // From here on a version that knows no phases must not take the run up.
        self.journal.knows_phases()?;
        let migrations: Vec<&str> = phase.migrations.iter().map(|m| m.id.as_str()).collect();
        let detail = json!({"digest": phase.digest, "migrations": migrations});
        self.record(
            ALL_MIGRATIONS,
            &phase.phase.to_string(),
            StepEvent::Finish,
            &detail,
        )?;
        self.sitting = Some(phase.phase.clone());
        self.phases.push(phase);
        // It was made from what is there now: nothing of it was done before.
        self.resumed = false;
        Ok(())
    }

    /// Makes the sitting about a phase that was begun before. `false` when there is none of that name.
    pub fn take_up(&mut self, phase: &PhaseName) -> bool {
        let known = self.phases.iter().any(|known| known.phase == *phase);
        if known {
            self.sitting = Some(phase.clone());
        }
        known
    }

    /// What this sitting is about: the phase that was begun or taken up, else those migrations of the plan that are in
    /// no phase.
    #[must_use]
    pub fn work(&self) -> Work {
        let mut plan = self.plan.clone();
        let sitting = self.sitting.as_ref();
        let phase = sitting.and_then(|name| self.phases.iter().find(|phase| phase.phase == *name));
        match phase {
            Some(phase) => plan.migrations.clone_from(&phase.migrations),
            None => plan.migrations.retain(|m| self.phase_of(&m.id).is_none()),
        }
        Work {
            plan,
            phase: phase.map(|phase| phase.phase.clone()),
        }
    }
}

/// Reads the phases that the journal has begun.
pub(super) fn read(dir: &Path, plan: &Plan, journal: &Journal) -> Result<Vec<Phase>, StoreError> {
    let entries = journal.entries()?;
    let begun = entries.iter().filter(|entry| entry.begins_phase());
    begun
        .map(|entry| {
            let path = dir.join(format!("{}.json", entry.step));
            let broken = |why: String| StoreError::Damaged {
                file: path.clone(),
                why,
            };
            // The name comes from the journal and becomes one of a file.
            let name =
                PhaseName::try_from(entry.step.clone()).map_err(|e| broken(e.to_string()))?;
            let phase = read_phase(&path)?;
            check(&phase, plan).map_err(|why| broken(why.to_owned()))?;
            if phase.phase != name {
                return Err(broken(format!("it is {}, not {name}", phase.phase)));
            }
            if entry.detail.get("digest").and_then(Value::as_str) != Some(&phase.digest) {
                return Err(broken("it is not the one the journal has begun".to_owned()));
            }
            Ok(phase)
        })
        .collect()
}

fn read_phase(path: &Path) -> Result<Phase, StoreError> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| StoreError::io(format!("read {}", path.display()), e))?;
    let broken = |why: String| StoreError::Damaged {
        file: path.to_owned(),
        why,
    };
    let value: Value = serde_json::from_str(&text).map_err(|e| broken(format!("not JSON: {e}")))?;
    let version = value.get("schema_version").and_then(Value::as_u64);
    if version.is_none_or(|found| found > u64::from(phase::SCHEMA_VERSION)) {
        return Err(broken(format!(
            "it is not a phase of a version up to {}",
            phase::SCHEMA_VERSION
        )));
    }
    serde_json::from_value(value).map_err(|e| broken(format!("not a phase: {e}")))
}

/// A phase belongs to its plan, and was not edited.
pub(super) fn check(phase: &Phase, plan: &Plan) -> Result<(), &'static str> {
    if phase.digest != phase.computed_digest() {
        return Err("its digest does not match its content");
    }
    if phase.plan_digest != plan.digest || phase.run != plan.run {
        return Err("it is not of the plan beside it");
    }
    let known: BTreeSet<&str> = plan.migrations.iter().map(|m| m.id.as_str()).collect();
    let prefix = format!("{}/", phase.phase);
    for migration in &phase.migrations {
        if !known.contains(migration.id.as_str()) {
            return Err("it has a migration that the plan does not have");
        }
        // Ids that are unique in the journal.
        if !migration.steps.iter().all(|s| s.id.starts_with(&prefix)) {
            return Err("it has a step that does not bear its name");
        }
    }
    Ok(())
}
