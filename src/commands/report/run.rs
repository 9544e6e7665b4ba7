//! A run as its folder has it.

use std::collections::{BTreeMap, BTreeSet};

use atrest_fixer::store::{Entry, RunStore, StepRecord, StoreError};
use atrest_model::Tool;
use atrest_model::diff::DiffReport;
use atrest_model::event::RunEvent;
use atrest_model::journal::StepStatus;
use atrest_model::phase::{PhaseKind, PhaseName};
use atrest_model::plan::{Migration, Plan};
use atrest_model::run::{LeftToDo, MigrationReport, Outcome, RunReport, SCHEMA_VERSION};
use atrest_reports::{MarkKind, RunContext, RunDocument, RunMark, StepTime};
use jiff::Timestamp;
use serde::Deserialize;

/// A run with what its page can show beside its end.
#[derive(Debug)]
pub(crate) struct SavedRun {
    pub(crate) report: RunReport,
    /// Absent for the end of a run that was saved by itself.
    pub(crate) plan: Option<Plan>,
    pub(crate) steps: Vec<StepTime>,
    /// Retries and stops.
    pub(crate) marks: Vec<RunMark>,
    /// What validation found.
    pub(crate) diff: Option<DiffReport>,
}

impl SavedRun {
    /// The end of a run, of which nothing else is known.
    pub(super) fn of_report(report: RunReport) -> Self {
        Self {
            report,
            plan: None,
            steps: Vec::new(),
            marks: Vec::new(),
            diff: None,
        }
    }

    /// As renderers take it.
    pub(crate) fn document(&self) -> RunDocument<'_> {
        RunDocument {
            report: &self.report,
            context: RunContext {
                plan: self.plan.as_ref(),
                steps: &self.steps,
                marks: &self.marks,
                diff: self.diff.as_ref(),
            },
        }
    }

    /// What the journal says now; the end that was written last is taken only where nothing happened after it.
    pub(crate) fn of_store(store: &RunStore) -> Result<Self, StoreError> {
        let entries = store.entries()?;
        let plan = store.plan();
        let written: Option<RunReport> = json(store, "run.json");
        let last = entries.iter().map(|entry| entry.at).max();
        let written = written.filter(|report| last.is_none_or(|last| last <= report.ended));
        let failed_hooks = written
            .as_ref()
            .map(|report| report.failed_hooks.clone())
            .unwrap_or_default();
        let mut migrations = Vec::new();
        for migration in &plan.migrations {
            let records = store.steps(&migration.id)?;
            let ended = written.iter().flat_map(|report| &report.migrations);
            let ended = ended
                .filter(|ended| ended.migration == migration.id)
                .map(|ended| ended.outcome.clone())
                .next();
            let whole = match store.phase_of(&migration.id).map(|phase| phase.phase.kind) {
                Some(PhaseKind::Rollback) => Outcome::RolledBack,
                Some(PhaseKind::Cleanup) => Outcome::CleanedUp,
                None if plan.rehearsal_of.is_some() => Outcome::Rehearsed,
                None => Outcome::Migrated,
            };
            let mut report = of_journal(store.present(migration), &records, ended, whole);
            // It was away for as long as the migration took, whatever came after.
            report.downtime_seconds = downtime(migration, &records);
            migrations.push(report);
        }
        let report = RunReport {
            schema_version: SCHEMA_VERSION,
            tool: written
                .as_ref()
                .map_or_else(Tool::current, |report| report.tool.clone()),
            run: plan.run.clone(),
            phase: common_phase(store),
            ended: written
                .map(|report| report.ended)
                .or(last)
                .unwrap_or(plan.created),
            migrations,
            failed_hooks,
        };
        let of_steps = entries.iter().filter(|entry| !entry.begins_phase());
        let steps = StepTime::of_journal(of_steps.map(|entry| {
            (
                entry.migration.as_str(),
                entry.step.as_str(),
                entry.status,
                entry.at,
            )
        }));
        Ok(Self {
            diff: validation(store, plan),
            report,
            plan: Some(plan.clone()),
            marks: marks(store, &entries),
            steps,
        })
    }
}

/// The phase that every migration of the run is in; `None` while one of them is in the migration itself or in another.
fn common_phase(store: &RunStore) -> Option<PhaseName> {
    let mut phases = store.plan().migrations.iter().map(|migration| {
        let phase = store.phase_of(&migration.id);
        phase.map(|phase| &phase.phase)
    });
    let first = phases.next()??;
    phases
        .all(|other| other == Some(first))
        .then(|| first.clone())
}

/// A line of the event log. Logs of older versions have no times.
#[derive(Debug, Deserialize)]
struct Timed {
    at: Option<Timestamp>,
}

/// Retries and stops: those of the event log, which is best effort, and of the journal where the log has none.
fn marks(store: &RunStore, entries: &[Entry]) -> Vec<RunMark> {
    let text = std::fs::read_to_string(store.dir().join("events.jsonl")).unwrap_or_default();
    let mut began = BTreeSet::new();
    let mut marks: Vec<RunMark> = text
        .lines()
        .filter_map(|line| {
            // The last line of a process that was killed may be half of one.
            let at = serde_json::from_str::<Timed>(line).ok()?.at?;
            mark(at, serde_json::from_str(line).ok()?, &mut began)
        })
        .collect();
    if !marks.iter().any(|mark| mark.kind == MarkKind::Stopped) {
        let stopped = entries.iter().filter(|e| e.status == StepStatus::Stopped);
        marks.extend(stopped.map(|entry| {
            RunMark {
                migration: entry.migration.clone(),
                step: entry.step.clone(),
                at: entry.at,
                kind: MarkKind::Stopped,
                reason: entry
                    .detail
                    .get("reason")
                    .and_then(|reason| reason.as_str())
                    .unwrap_or_default()
                    .to_owned(),
            }
        }));
    }
    marks.sort_by_key(|mark| mark.at);
    marks
}

fn mark(at: Timestamp, event: RunEvent, began: &mut BTreeSet<String>) -> Option<RunMark> {
    let (migration, step, kind, reason) = match event {
        RunEvent::Retrying {
            subject,
            step,
            reason,
        } => (subject, step, MarkKind::Retry, reason),
        RunEvent::MigrationBegan { migration, .. } => {
            if began.insert(migration.clone()) {
                return None;
            }
            (migration, String::new(), MarkKind::Resumed, String::new())
        }
        RunEvent::MigrationEnded { migration, outcome } => {
            let (step, reason) = match outcome {
                Outcome::Migrated
                | Outcome::RolledBack
                | Outcome::CleanedUp
                | Outcome::Rehearsed => return None,
                Outcome::Stopped { step, reason } | Outcome::NeedsOperator { step, reason, .. } => {
                    (step, reason)
                }
                Outcome::ValidationFailed { drift } => (
                    "validate".to_owned(),
                    format!("validation found {drift} drift entries"),
                ),
            };
            (migration, step, MarkKind::Stopped, reason)
        }
        RunEvent::WaveBegan { .. }
        | RunEvent::Acted { .. }
        | RunEvent::Waiting { .. }
        | RunEvent::StepDone { .. } => {
            return None;
        }
    };
    Some(RunMark {
        migration,
        step,
        at,
        kind,
        reason,
    })
}

/// How far a migration is.
fn of_journal(
    migration: &Migration,
    records: &BTreeMap<String, StepRecord>,
    ended: Option<Outcome>,
    whole: Outcome,
) -> MigrationReport {
    let is_done = |step: &str| {
        records
            .get(step)
            .is_some_and(|record| record.status == StepStatus::Done)
    };
    let open = migration.steps.iter().find(|step| !is_done(&step.id));
    let outcome = match (ended, open) {
        (_, None) => whole,
        (Some(ended), Some(_)) => ended,
        (None, Some(open)) => {
            let reason = records
                .get(&open.id)
                .filter(|record| record.status == StepStatus::Stopped)
                .and_then(|record| record.result.get("reason")?.as_str());
            Outcome::Stopped {
                step: open.id.clone(),
                reason: reason.map_or_else(
                    || "the journal goes no further: the run is under way, or was ended".to_owned(),
                    str::to_owned,
                ),
            }
        }
    };
    MigrationReport {
        migration: migration.id.clone(),
        outcome,
        steps_done: migration
            .steps
            .iter()
            .filter(|step| is_done(&step.id))
            .count(),
        steps: migration.steps.len(),
        downtime_seconds: downtime(migration, records),
        left_to_do: LeftToDo::of_results(
            records
                .values()
                .filter(|record| record.status == StepStatus::Done)
                .map(|record| &record.result),
        ),
    }
}

/// From the moment the source's rename was intended to the moment the last cutover rename was seen.
fn downtime(migration: &Migration, records: &BTreeMap<String, StepRecord>) -> Option<f64> {
    use atrest_model::plan::Action;
    let those =
        |is: fn(&Action) -> bool| migration.steps.iter().filter(move |step| is(&step.action));
    let began: Timestamp = those(Action::takes_clients_away)
        .filter_map(|step| records.get(&step.id)?.intended_at)
        .min()?;
    let back: Option<Vec<Timestamp>> = those(Action::is_cutover)
        .map(|step| {
            let record = records.get(&step.id)?;
            (record.status == StepStatus::Done).then_some(record.changed_at)
        })
        .collect();
    let back = back?.into_iter().max()?;
    Some(back.duration_since(began).as_secs_f64())
}

/// What the validations of all migrations found, as one diff.
fn validation(store: &RunStore, plan: &Plan) -> Option<DiffReport> {
    let mut all: Option<DiffReport> = None;
    for migration in &plan.migrations {
        let name = format!("validation-{}.json", migration.id.replace('/', "-"));
        let Some(found) = json::<DiffReport>(store, &name) else {
            continue;
        };
        match &mut all {
            None => all = Some(found),
            Some(all) => {
                all.created = all.created.max(found.created);
                all.pairs.extend(found.pairs);
            }
        }
    }
    all
}

/// A report of the run folder. One that cannot be read is named, and the rest is shown.
fn json<T: serde::de::DeserializeOwned>(store: &RunStore, name: &str) -> Option<T> {
    let path = store.dir().join(name);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!("{} cannot be read: {error}", path.display());
            return None;
        }
    };
    serde_json::from_slice(&bytes)
        .map_err(|error| tracing::warn!("{} is left out: {error}", path.display()))
        .ok()
}
