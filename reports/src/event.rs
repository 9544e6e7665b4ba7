//! One line an event, for a log on a terminal or in a file.

use atrest_model::event::RunEvent;
use atrest_model::run::Outcome;

use crate::style::Style;
use crate::text::{duration, printable};

/// The line of an event; `None` for events that say nothing to a person.
#[must_use]
pub fn event_line(event: &RunEvent, style: &Style) -> Option<String> {
    let head = |subject: &str| style.strong(&format!("{:<28}", printable(subject)));
    Some(match event {
        RunEvent::MigrationBegan {
            migration,
            steps,
            done,
        } => {
            let from = if *done == 0 {
                String::new()
            } else {
                format!(", {done} done before")
            };
            format!("{} begins: {steps} steps{from}", head(migration))
        }
        RunEvent::Acted {
            migration,
            step,
            operation,
        } => {
            format!(
                "{} {:<32} {}",
                head(migration),
                printable(step),
                style.faint(operation)
            )
        }
        RunEvent::Waiting {
            migration,
            step,
            state,
            elapsed_seconds,
            deadline_seconds,
        } => {
            #[expect(clippy::cast_precision_loss, reason = "a deadline in seconds is small")]
            let clock = format!(
                "{} of {}",
                duration(*elapsed_seconds),
                duration(*deadline_seconds as f64)
            );
            format!(
                "{} {:<32} {} {}",
                head(migration),
                printable(step),
                printable(state),
                style.faint(&clock)
            )
        }
        RunEvent::StepDone {
            migration,
            step,
            detail,
            done,
            steps,
            elapsed_seconds,
        } => format!(
            "{} {:<32} {} {} {}",
            head(migration),
            printable(step),
            style.good(&format!("done {done}/{steps}")),
            printable(detail),
            style.faint(&format!("in {}", duration(*elapsed_seconds))),
        ),
        RunEvent::Retrying {
            subject,
            step,
            reason,
        } => {
            format!(
                "{} {:<32} {} {}",
                head(subject),
                printable(step),
                style.odd("again:"),
                printable(reason)
            )
        }
        RunEvent::MigrationEnded { migration, outcome } => {
            let text = outcome.summary();
            let text = printable(&text);
            let text = if *outcome == Outcome::Migrated {
                style.good(&text)
            } else {
                style.bad(&text)
            };
            format!("{} {text}", head(migration))
        }
    })
}
