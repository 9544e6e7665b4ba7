//! The steps of a run for a terminal, each with a bar that shows when it ran.

use std::io::{self, Write};

use atrest_model::journal::StepStatus;
use atrest_model::run::RunReport;
use comfy_table::Cell;
use jiff::Timestamp;

use super::{MarkKind, RunContext, StepTime};
use crate::style::{Style, WHOLE, bad, cell, good, odd};
use crate::text::{count, duration, paragraph, printable, words};

/// Columns of the bar of a step.
const BAR: usize = 24;

/// When each step of each migration ran, in UTC, with retries, stops and the time clients were away.
///
/// # Errors
///
/// Any error of `out`.
pub fn run_steps(
    report: &RunReport,
    context: &RunContext<'_>,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let style = *style;
    let Some((begins, ends)) = span(report, context) else {
        return writeln!(out, "no step has begun");
    };
    writeln!(
        out,
        "{:.0} to {:.0}, {}\n",
        begins,
        ends,
        words(ends.duration_since(begins).as_secs_f64())
    )?;
    for migration in &report.migrations {
        let id = migration.migration.as_str();
        let steps = context.steps_of(id);
        if steps.is_empty() {
            continue;
        }
        writeln!(out, "{}", style.strong(&printable(id)))?;
        let rows = steps.iter().map(|step| {
            let until = step.ended.unwrap_or(ends).max(step.began);
            let took = duration(until.duration_since(step.began).as_secs_f64());
            vec![
                cell(&step.step),
                Cell::new(step.began.strftime("%H:%M:%S")),
                Cell::new(took),
                match step.status {
                    StepStatus::Done => good("done"),
                    StepStatus::Stopped => bad("stopped"),
                    status => odd(status.as_str()),
                },
                Cell::new(bar(step, begins, ends, style)),
            ]
        });
        let header = ["step", "began", "took", "state", "when"];
        let whole = [(1, WHOLE), (2, WHOLE), (3, WHOLE), (4, WHOLE)];
        writeln!(out, "{}", style.table(&header, &whole, rows))?;
        for line in lines(id, &steps, context, ends) {
            let text = paragraph("  ", &printable(&line), 4, style.width);
            writeln!(out, "{}", style.odd(&text))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// From the first step to the last thing that happened.
pub(super) fn span(report: &RunReport, context: &RunContext<'_>) -> Option<(Timestamp, Timestamp)> {
    let begins = context.steps.iter().map(|step| step.began).min()?;
    let last = context.steps.iter().filter_map(|step| step.ended).max();
    let marked = context.marks.iter().map(|mark| mark.at).max();
    let ends = last.max(marked).unwrap_or(report.ended).max(report.ended);
    Some((begins, ends.max(begins)))
}

/// What else there is to say of a migration: time away, stops, steps that did not run smoothly.
pub(super) fn lines(
    id: &str,
    steps: &[&StepTime],
    context: &RunContext<'_>,
    ends: Timestamp,
) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(away) = context.away(id) {
        let took = words(away.seconds(ends));
        lines.push(match away.until {
            Some(until) => format!(
                "clients were away from {:.0} to {until:.0}: {took}",
                away.from
            ),
            None => format!("clients are away since {:.0}: {took}", away.from),
        });
    }
    for pause in context.pauses(id) {
        let until = pause.until.map_or_else(String::new, |until| {
            let took = until.duration_since(pause.from).as_secs_f64();
            format!(", taken up again after {}", words(took))
        });
        let step = match pause.step {
            "" => String::new(),
            step => format!(" before {step} was done"),
        };
        lines.push(format!(
            "stopped at {:.0}{step}: {}{until}",
            pause.from, pause.reason
        ));
    }
    for step in steps {
        let remarks = remarks(step, context);
        if !remarks.is_empty() {
            lines.push(format!("{}: {remarks}", step.step));
        }
    }
    lines
}

/// What of a step did not run smoothly.
pub(crate) fn remarks(step: &StepTime, context: &RunContext<'_>) -> String {
    let mut remarks = Vec::new();
    if step.sent > 1 {
        remarks.push(format!("begun {} times", step.sent));
    }
    let retries: Vec<_> = context
        .marks_of(&step.migration)
        .filter(|mark| mark.kind == MarkKind::Retry && mark.step == step.step)
        .collect();
    if let Some(last) = retries.last() {
        let times = count(retries.len(), "time", "times");
        remarks.push(format!("tried again {times}, last: {}", last.reason));
    }
    remarks.join("; ")
}

/// A line as long as the run, with the step in its place.
fn bar(step: &StepTime, begins: Timestamp, ends: Timestamp, style: Style) -> String {
    let (full, open) = if style.unicode {
        ('█', '░')
    } else {
        ('#', '=')
    };
    let all = ends.duration_since(begins).as_secs_f64().max(1.0);
    let column = |time: Timestamp| {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between nothing and the width of the bar"
        )]
        let column =
            (time.duration_since(begins).as_secs_f64() / all * BAR as f64).floor() as usize;
        column.min(BAR - 1)
    };
    let first = column(step.began);
    let last = column(step.ended.unwrap_or(ends)).max(first);
    let sign = if step.ended.is_some() { full } else { open };
    let mut text: String = std::iter::repeat_n(' ', first).collect();
    text.extend(std::iter::repeat_n(sign, last - first + 1));
    text
}
