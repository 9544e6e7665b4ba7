//! A run for a pull request or a chat.

use std::io::{self, Write};

use atrest_model::run::{Outcome, RunReport};

use super::{hint, word};
use crate::scan::markdown::cell;
use crate::text::{count, duration};

pub(super) fn write(report: &RunReport, out: &mut dyn Write) -> io::Result<()> {
    let migrated = report
        .migrations
        .iter()
        .filter(|migration| migration.outcome == Outcome::Migrated)
        .count();
    writeln!(
        out,
        "**run {}: {migrated} of {} migrated**\n\n| migration | outcome | steps | downtime | what, and what next |\n|---|---|---|---|---|",
        cell(report.run.as_str()),
        count(report.migrations.len(), "migration", "migrations"),
    )?;
    for migration in &report.migrations {
        let more = match &migration.outcome {
            Outcome::Migrated => String::new(),
            outcome => format!("{}; {}", outcome.summary(), hint(outcome)),
        };
        writeln!(
            out,
            "| {} | {} | {}/{} | {} | {} |",
            cell(&migration.migration),
            word(&migration.outcome),
            migration.steps_done,
            migration.steps,
            migration
                .downtime_seconds
                .map_or_else(|| "-".to_owned(), duration),
            cell(&more),
        )?;
    }
    Ok(())
}
