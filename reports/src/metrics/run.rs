//! Numbers of runs.

use std::collections::BTreeMap;
use std::io::{self, Write};

use atrest_model::run::{MigrationReport, Outcome, RunReport};

use super::{Family, amount, flag, seconds, write};
use crate::run::{MarkKind, RunContext};

/// Every outcome, and what a migration is called that a process has in hand.
const OUTCOMES: [&str; 8] = [
    "migrated",
    "rolled-back",
    "cleaned-up",
    "rehearsed",
    "stopped",
    "validation-failed",
    "needs-operator",
    UNDER_WAY,
];
const UNDER_WAY: &str = "under-way";

/// A run and what is known of it beside its report.
#[derive(Debug, Clone, Copy)]
pub struct RunNumbers<'a> {
    /// How it ended, or how far it is.
    pub report: &'a RunReport,
    /// When its steps ran.
    pub context: RunContext<'a>,
    /// Whether a process has it in hand now.
    pub is_under_way: bool,
    /// Exit code of the sitting that has ended, see docs/exit-codes.md; `None` where a journal is read, which has none.
    pub exit_code: Option<u8>,
}

impl RunNumbers<'_> {
    /// What a journal calls stopped is on its way while somebody holds the run.
    fn outcome(&self, migration: &MigrationReport) -> &'static str {
        match migration.outcome {
            Outcome::Migrated => "migrated",
            Outcome::RolledBack => "rolled-back",
            Outcome::CleanedUp => "cleaned-up",
            Outcome::Rehearsed => "rehearsed",
            Outcome::Stopped { .. } if self.is_under_way => UNDER_WAY,
            Outcome::Stopped { .. } => "stopped",
            Outcome::ValidationFailed { .. } => "validation-failed",
            Outcome::NeedsOperator { .. } => "needs-operator",
        }
    }
}

/// Writes the numbers of runs; `unread` is how many could not be read.
///
/// # Errors
///
/// Any error of `out`.
pub fn run_metrics(runs: &[RunNumbers<'_>], unread: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut info = Family::new("atrest_run_info", "A run, and the phase it is in.");
    let mut under_way = Family::new(
        "atrest_run_under_way",
        "1 while a process has the run in hand.",
    );
    let mut changed = Family::new(
        "atrest_run_last_change_timestamp_seconds",
        "When something of the run was written down last.",
    );
    let mut exits = Family::new(
        "atrest_run_exit_code",
        "Exit code of the sitting that has ended.",
    );
    let mut outcomes = Family::new("atrest_run_migrations", "Migrations of the run by outcome.");
    let mut steps = Family::new("atrest_run_steps", "Steps of the run: done, open.");
    let mut marks = Family::new(
        "atrest_run_marks",
        "What happened to the run: retry, stopped, resumed.",
    );
    let mut hooks = Family::new(
        "atrest_run_failed_hooks",
        "Hooks of the run itself that failed.",
    );
    for run in runs {
        let report = run.report;
        let name = ("run", report.run.as_str());
        let phase = report.phase.as_ref().map(ToString::to_string);
        let account = run.context.plan.map_or("", |plan| plan.account.as_str());
        info.add(
            &[
                name,
                ("account", account),
                ("phase", phase.as_deref().unwrap_or("migration")),
            ],
            1.0,
        );
        under_way.add(&[name], flag(run.is_under_way));
        changed.add(&[name], seconds(report.ended));
        if let Some(code) = run.exit_code {
            exits.add(&[name], f64::from(code));
        }
        for outcome in OUTCOMES {
            let those = report
                .migrations
                .iter()
                .filter(|one| run.outcome(one) == outcome);
            outcomes.add(&[name, ("outcome", outcome)], amount(those.count()));
        }
        let done: usize = report.migrations.iter().map(|one| one.steps_done).sum();
        let all: usize = report.migrations.iter().map(|one| one.steps).sum();
        steps.add(&[name, ("state", "done")], amount(done));
        steps.add(&[name, ("state", "open")], amount(all.saturating_sub(done)));
        for (kind, word) in [
            (MarkKind::Retry, "retry"),
            (MarkKind::Stopped, "stopped"),
            (MarkKind::Resumed, "resumed"),
        ] {
            let those = run.context.marks.iter().filter(|mark| mark.kind == kind);
            marks.add(&[name, ("kind", word)], amount(those.count()));
        }
        hooks.add(&[name], amount(report.failed_hooks.len()));
    }
    let mut families = vec![
        info, under_way, changed, exits, outcomes, steps, marks, hooks,
    ];
    families.extend(times(runs));
    families.push(left_to_do(runs));
    families.push(Family::single(
        "atrest_runs_unread",
        "Runs that could not be read, and are not in this file.",
        &[],
        amount(unread),
    ));
    write(&families, out)
}

/// How long clients were away, and where the time went.
fn times(runs: &[RunNumbers<'_>]) -> [Family; 4] {
    let mut downtime = Family::new(
        "atrest_run_downtime_seconds",
        "From the rename of a source to the end of its cutover.",
    );
    let mut away = Family::new(
        "atrest_run_instance_downtime_seconds",
        "How long the clients of a DB instance were away, or have been so far.",
    );
    let mut still = Family::new(
        "atrest_run_instance_away",
        "1 while the clients of a DB instance are away.",
    );
    let mut spent = Family::new(
        "atrest_run_time_seconds",
        "Where the time of the migrations went: copying, waiting for RDS, own work, standing still.",
    );
    for run in runs {
        let name = ("run", run.report.run.as_str());
        let mut sums = [0.0; 4];
        for one in &run.report.migrations {
            let migration = one.migration.as_str();
            if let Some(seconds) = one.downtime_seconds {
                downtime.add(&[name, ("migration", migration)], seconds);
            }
            let Some(times) = &one.times else { continue };
            for (sum, part) in sums.iter_mut().zip([
                times.copying_seconds,
                times.waiting_seconds,
                times.own_seconds,
                times.idle_seconds,
            ]) {
                *sum += part;
            }
            for instance in &times.instances {
                let labels = [
                    name,
                    ("migration", migration),
                    ("instance", instance.identifier.as_str()),
                ];
                away.add(&labels, instance.seconds);
                still.add(&labels, flag(instance.until.is_none()));
            }
        }
        for (word, sum) in ["copying", "waiting", "own", "idle"].into_iter().zip(sums) {
            spent.add(&[name, ("spent", word)], sum);
        }
    }
    [downtime, away, still, spent]
}

fn left_to_do(runs: &[RunNumbers<'_>]) -> Family {
    let mut family = Family::new(
        "atrest_run_left_to_do",
        "What a person has to do after the run, by kind.",
    );
    for run in runs {
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for item in crate::run::left_to_do(run.report) {
            *kinds.entry(&item.kind).or_default() += 1;
        }
        for (kind, number) in kinds {
            let labels = [("run", run.report.run.as_str()), ("kind", kind)];
            family.add(&labels, amount(number));
        }
    }
    family
}
