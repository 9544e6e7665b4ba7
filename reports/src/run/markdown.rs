//! A run for a ticket: how each migration ended, then when each step ran.

use std::io::{self, Write};

use atrest_model::run::{Outcome, RunReport};

use super::steps::{lines, remarks, span};
use super::{RunContext, left_to_do, next_of};
use crate::text::{count, markdown, words};

/// Renders a run as Markdown. Times are UTC.
///
/// # Errors
///
/// Any error of `out`.
pub fn run_markdown(
    report: &RunReport,
    context: &RunContext<'_>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let migrated = report
        .migrations
        .iter()
        .filter(|migration| migration.outcome.is_whole())
        .filter(|migration| migration.outcome != Outcome::RolledBack)
        .count();
    let all = count(report.migrations.len(), "migration", "migrations");
    let run = markdown(report.run.as_str());
    writeln!(out, "**run {run}: {migrated} of {all} migrated**")?;
    if report.migrations.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n| migration | outcome | steps | downtime | next |\n|---|---|---|---|---|"
    )?;
    for migration in &report.migrations {
        let outcome = match migration.outcome {
            Outcome::Migrated => "migrated",
            Outcome::RolledBack => "rolled back",
            Outcome::CleanedUp => "cleaned up",
            Outcome::Rehearsed => "rehearsed",
            Outcome::Stopped { .. } => "stopped",
            Outcome::ValidationFailed { .. } => "validation failed",
            Outcome::NeedsOperator { .. } => "needs an operator",
        };
        let next = next_of(migration).map_or_else(String::new, |(what, next)| {
            format!("{}; {}", markdown(&what), markdown(&next))
        });
        writeln!(
            out,
            "| {} | {outcome} | {}/{} | {} | {next} |",
            markdown(&migration.migration),
            migration.steps_done,
            migration.steps,
            migration.downtime_seconds.map_or_else(String::new, words),
        )?;
    }
    let mut left = left_to_do(report).peekable();
    if left.peek().is_some() {
        writeln!(out, "\n### Left to do\n")?;
    }
    for item in left {
        writeln!(
            out,
            "- [ ] {} ({}): {}; {}",
            markdown(&item.subject),
            markdown(&item.kind),
            markdown(&item.what),
            markdown(&item.todo)
        )?;
    }
    super::summary::write_markdown(report, out)?;
    let Some((_, ends)) = span(report, context) else {
        return Ok(());
    };
    for migration in &report.migrations {
        let id = migration.migration.as_str();
        let steps = context.steps_of(id);
        if steps.is_empty() {
            continue;
        }
        writeln!(
            out,
            "\n### {}\n\n| step | began (UTC) | took | state | remarks |\n|---|---|---|---|---|",
            markdown(id)
        )?;
        for step in &steps {
            let until = step.ended.unwrap_or(ends).max(step.began);
            let took = words(until.duration_since(step.began).as_secs_f64());
            writeln!(
                out,
                "| {} | {} | {took} | {} | {} |",
                markdown(&step.step),
                step.began.strftime("%Y-%m-%d %H:%M:%S"),
                step.status.as_str(),
                markdown(&remarks(step, context)),
            )?;
        }
        let mut said = lines(id, &[], context, ends).into_iter().peekable();
        if said.peek().is_some() {
            writeln!(out)?;
        }
        for line in said {
            writeln!(out, "- {}", markdown(&line))?;
        }
    }
    Ok(())
}
