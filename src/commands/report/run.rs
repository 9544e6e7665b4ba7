//! A run as its folder has it.

use std::collections::BTreeMap;
use std::path::Path;

use atrest_fixer::store::{Entry, RunStore, StepRecord, StoreError};
use atrest_model::Tool;
use atrest_model::diff::DiffReport;
use atrest_model::event::{EventLine, RunEvent};
use atrest_model::journal::StepStatus;
use atrest_model::phase::{PhaseKind, PhaseName};
use atrest_model::plan::{Migration, Plan};
use atrest_model::run::{LeftToDo, MigrationReport, Outcome, RunReport, SCHEMA_VERSION};
use atrest_reports::{MarkKind, RunContext, RunDocument, RunMark, StepTime};
use jiff::Timestamp;

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
    pub(crate) fn of_report(report: RunReport) -> Self {
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
        let steps = step_times(&entries);
        let mut saved = Self {
            diff: validation(store, plan),
            report,
            plan: Some(plan.clone()),
            marks: marks(store, &entries),
            steps,
        };
        let context = saved.document().context;
        let times: Vec<_> = saved
            .report
            .migrations
            .iter()
            // What came after a migration is none of its time.
            .map(|one| match store.phase_of(&one.migration) {
                None => context.times(&one.migration, saved.report.ended),
                Some(_) => None,
            })
            .collect();
        for (migration, times) in saved.report.migrations.iter_mut().zip(times) {
            migration.times = times;
        }
        Ok(saved)
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

/// The plan with what each migration is about now: the plan itself, or the phase that came after it.
pub(crate) fn present(store: &RunStore) -> Plan {
    let plan = store.plan();
    Plan {
        migrations: plan
            .migrations
            .iter()
            .map(|migration| store.present(migration).clone())
            .collect(),
        ..plan.clone()
    }
}

/// When the steps of a journal ran.
pub(crate) fn step_times(entries: &[Entry]) -> Vec<StepTime> {
    let of_steps = entries.iter().filter(|entry| !entry.begins_phase());
    StepTime::of_journal(of_steps.map(|entry| {
        (
            entry.migration.as_str(),
            entry.step.as_str(),
            entry.status,
            entry.at,
        )
    }))
}

/// The events of a run folder. A line that is no whole event is passed over.
pub(crate) fn events(dir: &Path) -> Vec<(Timestamp, RunEvent)> {
    let bytes = std::fs::read(dir.join("events.jsonl")).unwrap_or_default();
    // A process that was killed may have left half a character.
    let text = String::from_utf8_lossy(&bytes);
    text.lines().filter_map(EventLine::read).collect()
}

/// Retries and stops: those of the event log, which is best effort, and of the journal where the log has none.
fn marks(store: &RunStore, entries: &[Entry]) -> Vec<RunMark> {
    let mut marks = marks_of(&events(store.dir()));
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

/// What is known of a migration while its events are read.
struct Seen {
    /// Its last sign of life.
    at: Timestamp,
    step: String,
    /// Whether its end was told.
    ended: bool,
}

/// A sitting that begins without the end of the one before was preceded by one that was killed: its migrations stood
/// still from their last sign of life on.
fn marks_of(events: &[(Timestamp, RunEvent)]) -> Vec<RunMark> {
    let mut marks = Vec::new();
    let mut seen: BTreeMap<&str, Seen> = BTreeMap::new();
    for (at, event) in events {
        let Some((migration, step)) = place(event) else {
            continue;
        };
        let began = matches!(event, RunEvent::MigrationBegan { .. });
        let ended = matches!(event, RunEvent::MigrationEnded { .. });
        match seen.get(migration) {
            Some(before) if began && !before.ended => marks.push(RunMark {
                migration: migration.to_owned(),
                step: before.step.clone(),
                at: before.at,
                kind: MarkKind::Stopped,
                reason: "the runner ended without a word".to_owned(),
            }),
            _ => {}
        }
        if !began || seen.contains_key(migration) {
            marks.extend(mark(*at, event));
        }
        let step = match (step, seen.get(migration)) {
            ("", Some(before)) => before.step.clone(),
            (step, _) => step.to_owned(),
        };
        let now = Seen {
            at: *at,
            step,
            ended,
        };
        seen.insert(migration, now);
    }
    marks
}

/// Migration and step an event is of; that of a whole region has no step to stand still at.
fn place(event: &RunEvent) -> Option<(&str, &str)> {
    Some(match event {
        RunEvent::MigrationBegan { migration, .. } | RunEvent::MigrationEnded { migration, .. } => {
            (migration, "")
        }
        RunEvent::Acted {
            migration, step, ..
        }
        | RunEvent::Waiting {
            migration, step, ..
        }
        | RunEvent::StepDone {
            migration, step, ..
        } => (migration, step),
        RunEvent::Retrying { subject, step, .. } => (subject, step),
        RunEvent::RunBegan { .. } | RunEvent::RunEnded { .. } | RunEvent::WaveBegan { .. } => {
            return None;
        }
    })
}

fn mark(at: Timestamp, event: &RunEvent) -> Option<RunMark> {
    let (migration, step, kind, reason) = match event.clone() {
        RunEvent::Retrying {
            subject,
            step,
            reason,
        } => (subject, step, MarkKind::Retry, reason),
        RunEvent::MigrationBegan { migration, .. } => {
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
        | RunEvent::StepDone { .. }
        | RunEvent::RunBegan { .. }
        | RunEvent::RunEnded { .. } => return None,
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
        times: None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_runner_is_a_stop_from_its_last_sign_of_life() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let began = || RunEvent::MigrationBegan {
            migration: "r/a".to_owned(),
            steps: 3,
            done: 0,
        };
        let waiting = RunEvent::Waiting {
            migration: "r/a".to_owned(),
            step: "restore".to_owned(),
            state: "creating".to_owned(),
            elapsed_seconds: 1.0,
            deadline_seconds: 60,
        };
        let ended = RunEvent::MigrationEnded {
            migration: "r/a".to_owned(),
            outcome: Outcome::Migrated,
        };
        let killed = [
            (at(0), began()),
            (at(30), waiting.clone()),
            (at(900), began()),
            (at(990), ended.clone()),
            // A resumed sitting tells of a migration that had ended, too.
            (at(1000), began()),
            (at(1001), ended),
        ];
        let marks: Vec<_> = marks_of(&killed)
            .into_iter()
            .map(|mark| (mark.kind, mark.at, mark.step))
            .collect();
        assert_eq!(
            marks,
            [
                (MarkKind::Stopped, at(30), "restore".to_owned()),
                (MarkKind::Resumed, at(900), String::new()),
                (MarkKind::Resumed, at(1000), String::new()),
            ]
        );
    }
}
