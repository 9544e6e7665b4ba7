//! A rollback or a cleanup, as an operator reads it before it is done.

use std::io::{self, Write};

use atrest_model::phase::Phase;

use crate::plan::describe;
use crate::style::Style;
use crate::text::{count, paragraph, printable, seconds};

/// Every step with what it does; what is left alone, and why.
///
/// # Errors
///
/// Any error of `out`.
pub fn phase(phase: &Phase, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let style = *style;
    let title = format!(
        "{} of run {}: {}",
        phase.phase,
        phase.run,
        count(phase.migrations.len(), "migration", "migrations")
    );
    writeln!(out, "{}", style.strong(&title))?;
    for migration in &phase.migrations {
        writeln!(out, "\n{}", style.strong(&printable(&migration.id)))?;
        for note in &migration.notes {
            let note = paragraph("  ", &printable(note), 2, style.width);
            writeln!(out, "{}", style.odd(&note))?;
        }
        let prefix = format!("{}/", phase.phase);
        let name = |id: &str| printable(id.strip_prefix(&prefix).unwrap_or(id)).into_owned();
        let width = migration
            .steps
            .iter()
            .map(|step| textwrap::core::display_width(&name(&step.id)))
            .max()
            .unwrap_or(0)
            .min(44);
        for (number, step) in migration.steps.iter().enumerate() {
            let what = describe(migration, step);
            let head = format!(
                "  {:>3}  {:>7}  {:<width$}  ",
                number + 1,
                seconds(step.deadline_seconds),
                name(&step.id)
            );
            writeln!(
                out,
                "{}",
                paragraph(&head, &printable(&what), 18, style.width)
            )?;
        }
    }
    for alone in &phase.left_alone {
        let head = format!("\n{}: left alone: ", printable(&alone.migration));
        let reason = paragraph(&head, &printable(&alone.reason), 2, style.width);
        writeln!(out, "{}", style.odd(&reason))?;
        if !alone.hint.is_empty() {
            writeln!(
                out,
                "{}",
                paragraph("  next: ", &printable(&alone.hint), 8, style.width)
            )?;
        }
    }
    Ok(())
}
