//! A run while it goes on: what each migration does, since when, and how long that is expected to take.
//!
//! A [`RunView`] is fed with the plan, the events, and the journal, which is the truth where they disagree. It is shown
//! as a table that is written over, or as a line for each change.

mod expect;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use atrest_model::event::RunEvent;
use atrest_model::journal::StepStatus;
use atrest_model::plan::{Plan, Step};
use atrest_model::run::Outcome;
use jiff::{SignedDuration, Timestamp};

pub use expect::StepHistory;

use crate::run::StepTime;

/// A run as it is seen now.
#[derive(Debug, Clone)]
pub struct RunView {
    run: String,
    /// When its first step began.
    began: Option<Timestamp>,
    migrations: Vec<MigrationView>,
    history: StepHistory,
}

/// A migration as it is seen now.
#[derive(Debug, Clone)]
struct MigrationView {
    id: String,
    gib: i64,
    planned: BTreeMap<String, Step>,
    /// Its steps in the order of the plan.
    order: Vec<String>,
    done: BTreeSet<String>,
    current: BTreeMap<String, CurrentView>,
    /// Whether it is in the hands of a runner, or was.
    begun: bool,
    began: Option<Timestamp>,
    ended: Option<(Outcome, Timestamp)>,
}

/// A step that has begun and is not done.
#[derive(Debug, Clone, PartialEq)]
struct CurrentView {
    /// What is seen.
    state: String,
    since: Timestamp,
}

impl RunView {
    /// Nothing has begun yet.
    #[must_use]
    pub fn new(plan: &Plan, history: StepHistory) -> Self {
        let migrations = plan.migrations.iter().map(|migration| MigrationView {
            id: migration.id.clone(),
            gib: migration.allocated_storage,
            planned: migration
                .steps
                .iter()
                .map(|step| (step.id.clone(), step.clone()))
                .collect(),
            order: migration.steps.iter().map(|step| step.id.clone()).collect(),
            done: BTreeSet::new(),
            current: BTreeMap::new(),
            begun: false,
            began: None,
            ended: None,
        });
        Self {
            run: plan.run.to_string(),
            began: None,
            migrations: migrations.collect(),
            history,
        }
    }

    /// What is known of the durations of steps; it grows while the run goes on.
    #[must_use]
    pub fn history(&self) -> &StepHistory {
        &self.history
    }

    /// Seconds a step of a migration is expected to take, if steps like it have been done before.
    #[must_use]
    pub fn expected(&self, migration: &str, step: &str) -> Option<f64> {
        let migration = self.migrations.iter().find(|one| one.id == migration)?;
        let planned = migration.planned.get(step)?;
        self.history.expected(planned, migration.gib)
    }

    /// Whether every step of every migration is done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.migrations.iter().all(MigrationView::is_done)
    }

    /// Whether the end of every migration that is not done was told.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.migrations
            .iter()
            .all(|one| one.is_done() || one.ended.is_some())
    }

    /// Takes an event of the run.
    pub fn apply(&mut self, at: Timestamp, event: &RunEvent) {
        let (RunEvent::MigrationBegan { migration, .. }
        | RunEvent::Acted { migration, .. }
        | RunEvent::Waiting { migration, .. }
        | RunEvent::StepDone { migration, .. }
        | RunEvent::MigrationEnded { migration, .. }
        | RunEvent::Retrying {
            subject: migration, ..
        }) = event
        else {
            return;
        };
        self.began = self.began.or(Some(at));
        let Some(one) = self.migrations.iter_mut().find(|one| one.id == *migration) else {
            return;
        };
        match event {
            RunEvent::MigrationBegan { .. } => {
                one.begun = true;
                one.began = one.began.or(Some(at));
                one.ended = None;
                one.current.clear();
            }
            RunEvent::Acted {
                step, operation, ..
            } => one.see(step, operation, at),
            RunEvent::Waiting {
                step,
                state,
                elapsed_seconds,
                ..
            } => {
                let elapsed =
                    SignedDuration::try_from_secs_f64(*elapsed_seconds).unwrap_or_default();
                one.see(step, state, at.checked_sub(elapsed).unwrap_or(at));
            }
            RunEvent::StepDone {
                step,
                elapsed_seconds,
                ..
            } => {
                one.current.remove(step);
                if let Some(planned) = one.planned.get(step)
                    && one.done.insert(step.clone())
                {
                    self.history.add(planned, one.gib, *elapsed_seconds);
                }
            }
            RunEvent::Retrying { step, reason, .. } => {
                if let Some(current) = one.current.get_mut(step) {
                    current.state = format!("again: {reason}");
                }
            }
            RunEvent::MigrationEnded { outcome, .. } => {
                one.current.clear();
                one.ended = Some((outcome.clone(), at));
            }
            RunEvent::RunBegan { .. } | RunEvent::RunEnded { .. } | RunEvent::WaveBegan { .. } => {}
        }
    }

    /// Takes what the journal says: it is right where an event was lost.
    pub fn reconcile(&mut self, steps: &[StepTime]) {
        self.began = steps.iter().map(|step| step.began).min().or(self.began);
        for time in steps {
            let migrations = self.migrations.iter_mut();
            let Some(one) = migrations.into_iter().find(|one| one.id == time.migration) else {
                continue;
            };
            // Of what came before: a run that was rolled back has the steps of its migration too.
            if !one.planned.contains_key(&time.step) {
                continue;
            }
            one.begun = true;
            one.began = Some(one.began.map_or(time.began, |began| began.min(time.began)));
            if time.status == StepStatus::Done {
                one.done.insert(time.step.clone());
                one.current.remove(&time.step);
            } else if one.ended.is_none() || time.status == StepStatus::Stopped {
                let state = time.status.as_str();
                one.current
                    .entry(time.step.clone())
                    .or_insert_with(|| CurrentView {
                        state: state.to_owned(),
                        since: time.began,
                    });
            }
        }
    }
}

impl MigrationView {
    fn is_done(&self) -> bool {
        self.order.iter().all(|step| self.done.contains(step))
    }

    /// A state is seen of a step. The earliest moment known stays that of its beginning.
    fn see(&mut self, step: &str, state: &str, since: Timestamp) {
        self.begun = true;
        if self.done.contains(step) {
            return;
        }
        let current = self
            .current
            .entry(step.to_owned())
            .or_insert_with(|| CurrentView {
                state: String::new(),
                since,
            });
        state.clone_into(&mut current.state);
        current.since = current.since.min(since);
    }

    /// The steps under way, in the order of the plan.
    fn under_way(&self) -> impl Iterator<Item = (&str, &CurrentView)> {
        self.order
            .iter()
            .filter_map(|step| Some((step.as_str(), self.current.get(step)?)))
    }
}
