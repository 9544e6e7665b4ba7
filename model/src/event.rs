//! Events of a run: what reporters and the event log are fed.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the form of an [`EventLine`].
pub const SCHEMA_VERSION: u32 = 1;

/// A line of the event log `events.jsonl`, and of `fix --events`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct EventLine<'a> {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The run.
    pub run: &'a str,
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: &'a RunEvent,
}

impl EventLine<'_> {
    /// Time and event of a line. `None` for half a line, which a killed process leaves, for an event this version does
    /// not know, and for a line of a version that wrote no times.
    #[must_use]
    pub fn read(line: &str) -> Option<(Timestamp, RunEvent)> {
        #[derive(Deserialize)]
        struct Timed {
            at: Option<Timestamp>,
        }
        let at = serde_json::from_str::<Timed>(line).ok()?.at?;
        Some((at, serde_json::from_str(line).ok()?))
    }
}

/// Something that happened in a run. Serialized as one JSON line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum RunEvent {
    /// A sitting of the run begins: the first line of each.
    RunBegan {
        /// Migrations of the plan.
        migrations: usize,
        /// Whether it was begun before and is taken up again.
        resumed: bool,
    },
    /// The sitting has ended: its last line.
    RunEnded {
        /// Migrations that have arrived.
        migrated: usize,
        /// Migrations of the plan.
        migrations: usize,
        /// Exit code of the process, see docs/exit-codes.md.
        exit_code: u8,
    },
    /// A wave begins: the one before has ended.
    WaveBegan {
        /// Which, from 1.
        wave: u32,
        /// How many there are.
        waves: u32,
        /// Migrations in it that are begun now or taken up.
        migrations: usize,
    },
    /// A migration begins or is taken up again.
    MigrationBegan {
        /// `region/identifier`.
        migration: String,
        /// Steps in all.
        steps: usize,
        /// Steps that were done before.
        done: usize,
    },
    /// A mutation is sent.
    Acted {
        /// `region/identifier`.
        migration: String,
        /// Step.
        step: String,
        /// API operation, or what is done through SQL.
        operation: String,
    },
    /// A step waits; sent when its state changes and as a heartbeat.
    Waiting {
        /// `region/identifier`.
        migration: String,
        /// Step.
        step: String,
        /// What is seen.
        state: String,
        /// Seconds since the step began.
        elapsed_seconds: f64,
        /// Seconds the step may take.
        deadline_seconds: u64,
    },
    /// A step is done.
    StepDone {
        /// `region/identifier`.
        migration: String,
        /// Step.
        step: String,
        /// What was seen.
        detail: String,
        /// Number of steps done now.
        done: usize,
        /// Steps in all.
        steps: usize,
        /// Seconds since the step began.
        elapsed_seconds: f64,
    },
    /// A call failed and will be tried again.
    Retrying {
        /// `region/identifier`, or the region for describe calls.
        subject: String,
        /// Step or operation.
        step: String,
        /// Why.
        reason: String,
    },
    /// A migration has ended or stopped.
    MigrationEnded {
        /// `region/identifier`.
        migration: String,
        /// How.
        outcome: crate::run::Outcome,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_and_what_is_none_is_passed_over() {
        let event = RunEvent::RunBegan {
            migrations: 3,
            resumed: true,
        };
        let at: Timestamp = "2026-11-22T02:00:00Z".parse().unwrap();
        let line = EventLine {
            schema_version: SCHEMA_VERSION,
            run: "sunday",
            at,
            event: &event,
        };
        let text = serde_json::to_string(&line).unwrap();
        assert!(
            text.starts_with(r#"{"schema_version":1,"run":"sunday","at":"2026-11-22T02:00:00Z","event":"run-began","#),
            "{text}"
        );
        assert_eq!(EventLine::read(&text), Some((at, event)));
        // Of the version that wrote neither version nor run.
        let old = r#"{"at":"2026-11-22T02:00:00Z","event":"acted","migration":"r/a","step":"s","operation":"o"}"#;
        assert!(EventLine::read(old).is_some());
        for bad in [
            &text[..text.len() - 2],
            r#"{"event":"acted","migration":"r/a","step":"s","operation":"o"}"#,
            r#"{"at":"2026-11-22T02:00:00Z","event":"of-next-year"}"#,
            "",
        ] {
            assert_eq!(EventLine::read(bad), None, "{bad}");
        }
    }
}
