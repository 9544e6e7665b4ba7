//! One line an event, for a log on a terminal or in a file.

use std::collections::HashMap;

use atrest_model::event::RunEvent;
use atrest_model::run::Outcome;

use crate::style::Style;
use crate::text::{count, duration, paragraph, printable, seconds};
use crate::watch::RunView;

/// The line of an event; `None` for events that say nothing to a person. [`EventLines`] also tells how far a migration
/// is.
#[must_use]
pub fn event_line(event: &RunEvent, style: &Style) -> Option<String> {
    EventLines::new(*style).line(event)
}

/// Makes lines of the events of one run, and remembers how far each migration is:
/// `eu-central-1/prod-one  12/31  restore  creating  3m12s of 4h`.
#[derive(Debug)]
pub struct EventLines {
    style: Style,
    /// Steps done and steps in all.
    progress: HashMap<String, (usize, usize)>,
    /// Columns of the longest migration so far, so that lines stand below each other.
    width: usize,
}

impl EventLines {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(style: Style) -> Self {
        Self {
            style,
            progress: HashMap::new(),
            width: 24,
        }
    }

    /// The line of the next event.
    pub fn line(&mut self, event: &RunEvent) -> Option<String> {
        self.make(event, None)
    }

    /// The line of the next event of a run: what waits is told how long that is expected to take.
    pub fn line_in(&mut self, event: &RunEvent, run: &RunView) -> Option<String> {
        self.make(event, Some(run))
    }

    fn make(&mut self, event: &RunEvent, run: Option<&RunView>) -> Option<String> {
        let style = self.style;
        let (subject, step, text) = match event {
            RunEvent::WaveBegan {
                wave,
                waves,
                migrations,
            } => {
                let what = count(*migrations, "migration", "migrations");
                return Some(style.strong(&format!("wave {wave} of {waves}: {what}")));
            }
            RunEvent::RunBegan { .. } | RunEvent::RunEnded { .. } => return None,
            RunEvent::MigrationBegan {
                migration,
                steps,
                done,
            } => {
                self.progress.insert(migration.clone(), (*done, *steps));
                let text = if *done == 0 {
                    format!("begins: {}", count(*steps, "step", "steps"))
                } else {
                    format!("goes on: {done} of {} done", count(*steps, "step", "steps"))
                };
                (migration, None, text)
            }
            RunEvent::Acted {
                migration,
                step,
                operation,
            } => (migration, Some(step), style.strong(&printable(operation))),
            RunEvent::Waiting {
                migration,
                step,
                state,
                elapsed_seconds,
                deadline_seconds,
            } => {
                let (elapsed, most) = (duration(*elapsed_seconds), seconds(*deadline_seconds));
                let clock = match run.map(|run| run.expected(migration, step)) {
                    None => format!("{elapsed} of {most}"),
                    Some(None) => format!("{elapsed}, no history, at most {most}"),
                    Some(Some(expected)) => {
                        let expected = duration(expected);
                        format!("{elapsed}, about {expected} expected, at most {most}")
                    }
                };
                let text = format!("{}  {}", printable(state), style.faint(&clock));
                (migration, Some(step), text)
            }
            RunEvent::StepDone {
                migration,
                step,
                detail,
                done,
                steps,
                elapsed_seconds,
            } => {
                self.progress.insert(migration.clone(), (*done, *steps));
                let detail = match printable(detail) {
                    detail if detail.is_empty() => String::new(),
                    detail => format!(": {detail}"),
                };
                let clock = format!("in {}", duration(*elapsed_seconds));
                let text = format!("{}{detail}  {}", style.good("done"), style.faint(&clock));
                (migration, Some(step), text)
            }
            RunEvent::Retrying {
                subject,
                step,
                reason,
            } => {
                let text = format!("{} {}", style.odd("again:"), printable(reason));
                (subject, Some(step), text)
            }
            RunEvent::MigrationEnded { migration, outcome } => {
                let summary = outcome.summary();
                let summary = printable(&summary);
                let text = match outcome {
                    Outcome::Migrated | Outcome::CleanedUp | Outcome::Rehearsed => {
                        style.good(&summary)
                    }
                    Outcome::RolledBack | Outcome::Stopped { .. } => style.odd(&summary),
                    Outcome::ValidationFailed { .. } | Outcome::NeedsOperator { .. } => {
                        style.bad(&summary)
                    }
                };
                (migration, None, text)
            }
        };
        let name = printable(subject);
        self.width = self.width.max(name.chars().count());
        let width = self.width;
        let progress = self
            .progress
            .get(subject)
            .map_or_else(|| "-".to_owned(), |(done, steps)| format!("{done}/{steps}"));
        let head = format!(
            "{}  {progress:>5}",
            style.strong(&format!("{name:<width$}"))
        );
        let line = match step {
            Some(step) => format!("{head}  {:<24}  {text}", printable(step)),
            None => format!("{head}  {text}"),
        };
        Some(paragraph("", &line, 4, style.width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style {
        width: None,
        color: false,
        unicode: true,
    };

    #[test]
    fn what_comes_from_outside_cannot_steer_the_terminal() {
        let event = RunEvent::Waiting {
            migration: "eu\u{1b}[2J/x".to_owned(),
            step: "a\nb".to_owned(),
            state: "\u{202e}evil\u{7}".to_owned(),
            elapsed_seconds: 0.0,
            deadline_seconds: 1,
        };
        let line = event_line(&event, &STYLE).unwrap();
        assert!(
            !line.chars().any(|c| c.is_control() || c == '\u{202e}'),
            "{line:?}"
        );
    }
}
