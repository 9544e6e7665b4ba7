//! What a rehearsal says about the night.

use std::io::{self, Write};

use atrest_model::plan::{Action, Method, Migration, Plan, Step};

use super::StepTime;
use crate::style::Style;
use crate::text::{duration, paragraph, printable};

/// Times of a rehearsal, and what they make of the downtime of its migration. What is not rehearsed is said.
///
/// # Errors
///
/// Any error of `out`.
pub fn forecast(
    plan: &Plan,
    steps: &[StepTime],
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let style = *style;
    for migration in &plan.migrations {
        writeln!(out, "\n{}", style.strong(&printable(&migration.id)))?;
        let of = |step: &Step| {
            let is_it = |time: &&StepTime| time.migration == migration.id && time.step == step.id;
            steps.iter().find(is_it)
        };
        for step in &migration.steps {
            let took = of(step).and_then(|time| Some(seconds_of(time.began, time.ended?)));
            let took = took.map_or_else(|| "-".to_owned(), duration);
            writeln!(out, "  {took:>10}  {}", printable(&step.id))?;
        }
        let Some((away, total)) = measured(migration, &of) else {
            writeln!(
                out,
                "  {}",
                style.odd("it did not get as far as the comparison: no forecast")
            )?;
            continue;
        };
        let text = if migration.method == Method::BlueGreen {
            format!(
                "clients are away for the switchover, for which RDS gives itself five minutes at most before it goes back; {} of building and comparing, as measured, run beside them",
                duration(away)
            )
        } else if migration.method == Method::Replica {
            format!(
                "clients are away for the renames and what is left to be applied then; {} of preparation, as measured, run beside them",
                duration(away)
            )
        } else {
            format!(
                "clients are away for {} (from the snapshot to the end of the comparison, as measured) plus the renames",
                duration(away)
            )
        };
        writeln!(
            out,
            "{}",
            style.strong(&paragraph("  forecast: ", &text, 12, style.width))
        )?;
        let text = if migration.method == Method::BlueGreen {
            format!(
                "the rehearsal took {} with the removal of what it made. Not rehearsed: the switchover itself, which makes the source read-only, waits for what green has still to apply and exchanges the names, and what clients do when their connections end",
                duration(total)
            )
        } else {
            format!(
                "the rehearsal took {} with the removal of what it made. Not rehearsed: the renames of {} on both sides, each with a restart and a new endpoint (RDS takes one to three minutes, and up to ten until the new name is known everywhere), the wait until no client is connected, and what clients do when they come back. A snapshot that is taken while clients write may take longer than one of an instance at rest",
                duration(total),
                crate::text::count(migration.members().count(), "instance", "instances")
            )
        };
        writeln!(out, "{}", paragraph("  ", &text, 2, style.width))?;
    }
    Ok(())
}

/// From the beginning of the snapshot, or of the deployment, to the end of the comparison, and of everything.
fn measured<'a>(
    migration: &Migration,
    of: &dyn Fn(&Step) -> Option<&'a StepTime>,
) -> Option<(f64, f64)> {
    let step = |wanted: fn(&Action) -> bool| migration.steps.iter().find(|s| wanted(&s.action));
    let begins = |action: &Action| {
        matches!(
            action,
            Action::Snapshot { .. }
                | Action::ClusterSnapshot { .. }
                | Action::CreateBlueGreen { .. }
        )
    };
    let snapshot = of(step(begins)?)?;
    let compared = of(step(|action| matches!(action, Action::Rehearse))?)?;
    let first = migration
        .steps
        .iter()
        .filter_map(of)
        .map(|t| t.began)
        .min()?;
    let last = migration
        .steps
        .iter()
        .filter_map(of)
        .filter_map(|t| t.ended)
        .max()?;
    Some((
        seconds_of(snapshot.began, compared.ended?),
        seconds_of(first, last),
    ))
}

/// Never negative: a clock that was set back tells nothing.
fn seconds_of(from: jiff::Timestamp, to: jiff::Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}
