//! A run: how it ended, when its steps ran, and where its time went.

mod chat;
mod csv;
mod forecast;
mod jsonl;
mod junit;
mod markdown;
mod spent;
mod steps;
mod summary;
mod times;

use std::io::{self, Write};

use atrest_model::phase::PhaseKind;
use atrest_model::run::{LeftToDo, MigrationReport, Outcome, RunReport};
use comfy_table::Cell;

use crate::format::RunFormat;
use crate::style::{Style, WHOLE, bad, cell, good, odd};
use crate::text::{count, duration, paragraph, printable};

pub use forecast::forecast;
pub use jsonl::{RUN_LINE_VERSION, RunLine};
pub use markdown::run_markdown;
pub use spent::{step_kind, step_spent};
pub(crate) use steps::remarks;
pub use steps::run_steps;
pub(crate) use summary::{away, most};
pub use times::{MarkKind, RunContext, RunMark, StepTime};

/// Renders the end of a run in any of its formats, with what is known of it beside its end.
///
/// # Errors
///
/// Any error of `out`.
pub fn run_as(
    report: &RunReport,
    context: &RunContext<'_>,
    format: RunFormat,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        RunFormat::Table => run(report, style, out),
        RunFormat::Json => crate::json::write(report, out),
        RunFormat::Jsonl => jsonl::write(report, context, out),
        RunFormat::Csv => csv::write(report, out),
        RunFormat::Markdown => run_markdown(report, context, out),
        RunFormat::Html => crate::html::run_page(report, context, out),
        RunFormat::Junit => junit::write(report, out),
        RunFormat::Chat => chat::write(report, out),
    }
}

/// One word for an outcome.
fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Migrated => "migrated",
        Outcome::RolledBack => "rolled back",
        Outcome::CleanedUp => "cleaned up",
        Outcome::Rehearsed => "rehearsed",
        Outcome::Stopped { .. } => "stopped",
        Outcome::ValidationFailed { .. } => "validation failed",
        Outcome::NeedsOperator { .. } => "needs an operator",
    }
}

/// What a person should do about an outcome.
fn hint(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Migrated | Outcome::RolledBack | Outcome::CleanedUp | Outcome::Rehearsed => "",
        Outcome::Stopped { .. } => "nothing is lost: resume the run",
        Outcome::ValidationFailed { .. } => "mend the drift, resume the run",
        Outcome::NeedsOperator { hint, .. } => hint,
    }
}

/// Which migration is where, and what to do next.
///
/// # Errors
///
/// Any error of `out`.
pub fn run(report: &RunReport, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let style = *style;
    if report.migrations.is_empty() {
        return writeln!(out, "run {}: the plan has no migrations", report.run);
    }
    let rows = report.migrations.iter().map(|migration| {
        let downtime = migration.downtime_seconds;
        vec![
            cell(&migration.migration),
            match &migration.outcome {
                Outcome::Migrated => good("migrated"),
                Outcome::RolledBack => odd("rolled back"),
                Outcome::CleanedUp => good("cleaned up"),
                Outcome::Rehearsed => good("rehearsed"),
                Outcome::Stopped { .. } => odd("stopped"),
                Outcome::ValidationFailed { .. } => bad("validation failed"),
                Outcome::NeedsOperator { .. } => bad("NEEDS AN OPERATOR"),
            },
            Cell::new(format!("{}/{}", migration.steps_done, migration.steps)),
            Cell::new(downtime.map_or_else(|| "-".to_owned(), duration)),
        ]
    });
    let header = ["migration", "outcome", "steps", "downtime"];
    writeln!(
        out,
        "{}",
        style.table(&header, &[(1, WHOLE), (2, WHOLE), (3, WHOLE)], rows)
    )?;
    for migration in &report.migrations {
        if !migration.outcome.is_whole() {
            write_next(migration, style, out)?;
        }
    }
    write_failed_hooks(report, style, out)?;
    write_left(report, style, out)?;
    summary::write(report, style, out)?;
    write_total(report, style, out)
}

/// Hooks that failed and held nothing up: what they were to do was not done, or not known to be.
fn write_failed_hooks(report: &RunReport, style: Style, out: &mut dyn Write) -> io::Result<()> {
    if report.failed_hooks.is_empty() {
        return Ok(());
    }
    let title = format!("HOOKS THAT FAILED: {}", report.failed_hooks.len());
    writeln!(out, "{}", style.bad(&title))?;
    for hook in &report.failed_hooks {
        let text = paragraph("  ", &printable(hook), 4, style.width);
        writeln!(out, "{text}")?;
    }
    writeln!(out)
}

/// What a person has to do that the run could not.
fn write_left(report: &RunReport, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let left: Vec<_> = left_to_do(report).collect();
    if left.is_empty() {
        return Ok(());
    }
    let title = format!("LEFT TO DO: {}", left.len());
    writeln!(out, "{}", style.odd(&title))?;
    for item in left {
        let what = format!("{} ({}): {}", item.subject, item.kind, item.what);
        writeln!(
            out,
            "{}",
            paragraph("  ", &printable(&what), 4, style.width)
        )?;
        let todo = paragraph("    do: ", &printable(&item.todo), 8, style.width);
        writeln!(out, "{todo}")?;
    }
    writeln!(out)
}

/// What a person has to do that the run could not, of all migrations.
pub(crate) fn left_to_do(report: &RunReport) -> impl Iterator<Item = &LeftToDo> {
    report
        .migrations
        .iter()
        .flat_map(|migration| &migration.left_to_do)
}

/// What happened to a migration that has not arrived, and what to do about it.
fn write_next(migration: &MigrationReport, style: Style, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", style.strong(&printable(&migration.migration)))?;
    let Some((what, next)) = next_of(migration) else {
        return Ok(());
    };
    let what = paragraph("  ", &printable(&what), 4, style.width);
    writeln!(out, "{}", style.odd(&what))?;
    let next = paragraph("  next: ", &printable(&next), 8, style.width);
    writeln!(out, "{next}\n")
}

/// What happened to a migration that has not arrived, and what to do about it.
fn next_of(migration: &MigrationReport) -> Option<(String, String)> {
    Some(match &migration.outcome {
        Outcome::Migrated | Outcome::RolledBack | Outcome::CleanedUp | Outcome::Rehearsed => {
            return None;
        }
        Outcome::Stopped { step, reason } => (
            format!("stopped before {step} was done: {reason}"),
            "nothing is lost: resume the run".to_owned(),
        ),
        Outcome::ValidationFailed { drift } => (
            format!(
                "validation found {}; nothing was renamed, clients are still away",
                count(*drift, "drift", "drifts")
            ),
            format!(
                "read validation-{}.json in the run folder, mend the drift, resume the run",
                migration.migration.replace('/', "-")
            ),
        ),
        Outcome::NeedsOperator { step, reason, hint } => {
            (format!("at {step}: {reason}"), hint.clone())
        }
    })
}

/// One line about all migrations: `run sunday: 4 of 5 migrations migrated, 1 stopped, longest downtime 12m5s`.
fn totals(report: &RunReport) -> String {
    let migrations = &report.migrations;
    let of = |wanted: fn(&Outcome) -> bool| {
        migrations
            .iter()
            .filter(|migration| wanted(&migration.outcome))
            .count()
    };
    let word = match report.phase.as_ref().map(|phase| phase.kind) {
        Some(PhaseKind::Rollback) => "rolled back",
        Some(PhaseKind::Cleanup) => "cleaned up",
        None if is_rehearsal(report) => "rehearsed",
        None => "migrated",
    };
    let name = match &report.phase {
        None => format!("run {}", report.run),
        Some(phase) => format!("{phase} of run {}", report.run),
    };
    let mut parts = vec![format!(
        "{name}: {} of {} {word}",
        of(Outcome::is_whole),
        count(migrations.len(), "migration", "migrations")
    )];
    for (amount, what) in [
        (of(|o| matches!(o, Outcome::Stopped { .. })), "stopped"),
        (
            of(|o| matches!(o, Outcome::ValidationFailed { .. })),
            "failed validation",
        ),
        (
            of(|o| matches!(o, Outcome::NeedsOperator { .. })),
            "need an operator",
        ),
    ] {
        if amount > 0 {
            parts.push(format!("{amount} {what}"));
        }
    }
    let longest = migrations
        .iter()
        .filter_map(|migration| migration.downtime_seconds)
        .max_by(f64::total_cmp);
    if let Some(longest) = longest {
        parts.push(format!("longest downtime {}", duration(longest)));
    }
    parts.join(", ")
}

fn is_rehearsal(report: &RunReport) -> bool {
    let mut migrations = report.migrations.iter();
    migrations.any(|migration| migration.outcome == Outcome::Rehearsed)
}

fn write_total(report: &RunReport, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let kind = report.phase.as_ref().map(|phase| phase.kind);
    let line = paragraph("", &printable(&totals(report)), 2, style.width);
    let run = &report.run;
    if !report.migrations.iter().all(|one| one.outcome.is_whole()) {
        writeln!(out, "{}", style.bad(&line))?;
        return match kind {
            None => writeln!(out, "  atrest fix --resume {run}"),
            Some(kind) => writeln!(out, "  atrest {} {run} --execute", kind.as_str()),
        };
    }
    if kind == Some(PhaseKind::Rollback) {
        writeln!(out, "{}", style.odd(&line))?;
        return writeln!(
            out,
            "The old instances have their names, and nothing of it is encrypted. To migrate them: a new plan."
        );
    }
    writeln!(out, "{}", style.good(&line))?;
    if kind.is_some() || is_rehearsal(report) {
        return Ok(());
    }
    writeln!(out, "The old instances are kept as old-*.")?;
    writeln!(out, "  atrest diff --run {run}")
}
