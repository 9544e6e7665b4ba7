//! The end of a run.

use std::io::{self, Write};

use atrest_model::run::{Outcome, RunReport};

use crate::style::Style;
use crate::text::{count, duration, printable};

/// Who is where, and what to do next.
///
/// # Errors
///
/// Any error of `out`.
pub fn run(report: &RunReport, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let mut table = style.table(["migration", "steps", "downtime", "outcome"]);
    for migration in &report.migrations {
        let outcome = migration.outcome.summary();
        table.add_row([
            printable(&migration.migration).into_owned(),
            format!("{}/{}", migration.steps_done, migration.steps),
            migration
                .downtime_seconds
                .map_or_else(|| "-".to_owned(), duration),
            printable(&outcome).into_owned(),
        ]);
    }
    writeln!(out, "{}", table.trim_fmt())?;
    writeln!(out)?;
    let migrated = report
        .migrations
        .iter()
        .filter(|m| m.outcome == Outcome::Migrated)
        .count();
    let total = report.migrations.len();
    let line = format!(
        "run {}: {migrated} of {} migrated",
        report.run,
        count(total, "migration", "migrations")
    );
    writeln!(
        out,
        "{}",
        if migrated == total {
            style.good(&line)
        } else {
            style.bad(&line)
        }
    )?;
    let mut resumable = false;
    for migration in &report.migrations {
        let next = match &migration.outcome {
            Outcome::Migrated => continue,
            Outcome::Stopped { .. } => "nothing is lost".to_owned(),
            Outcome::ValidationFailed { .. } => {
                format!(
                    "see validation-{}.json in the run folder; mend the drift",
                    migration.migration.replace('/', "-")
                )
            }
            Outcome::NeedsOperator { hint, .. } => hint.clone(),
        };
        resumable = true;
        writeln!(
            out,
            "  {}: {}",
            printable(&migration.migration),
            printable(&next)
        )?;
    }
    if resumable {
        writeln!(out, "  then: atrest fix --resume {}", report.run)?;
    }
    Ok(())
}
