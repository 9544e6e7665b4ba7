//! Events of a run: what reporters and the event log are fed.

use serde::{Deserialize, Serialize};

/// Something that happened in a run. Serialized as one JSON line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum RunEvent {
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
