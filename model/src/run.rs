//! How a run ended.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Tool;
use crate::id::RunId;

/// Version of the JSON form of [`RunReport`].
pub const SCHEMA_VERSION: u32 = 1;

/// How a migration ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// Encrypted, validated, under its real name.
    Migrated,
    /// Rolled back: the old instances have their real names.
    RolledBack,
    /// Cleaned up: migrated, and the old instances are gone.
    CleanedUp,
    /// Rehearsed: everything that was made is removed again.
    Rehearsed,
    /// Stopped where it can be resumed: a signal, `--stop-before`, or an outage longer than a deadline.
    Stopped {
        /// Step.
        step: String,
        /// Why.
        reason: String,
    },
    /// Validation found drift: nothing has the real name.
    ValidationFailed {
        /// Number of drift entries.
        drift: usize,
    },
    /// A person must look.
    NeedsOperator {
        /// Step.
        step: String,
        /// Why.
        reason: String,
        /// What to do.
        hint: String,
    },
}

impl Outcome {
    /// Whether everything was done that was to be done.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        match self {
            Self::Migrated | Self::RolledBack | Self::CleanedUp | Self::Rehearsed => true,
            Self::Stopped { .. } | Self::ValidationFailed { .. } | Self::NeedsOperator { .. } => {
                false
            }
        }
    }

    /// One line for a table.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::Migrated => "migrated".to_owned(),
            Self::RolledBack => "rolled back".to_owned(),
            Self::CleanedUp => "cleaned up".to_owned(),
            Self::Rehearsed => "rehearsed".to_owned(),
            Self::Stopped { step, reason } => format!("stopped before {step} was done: {reason}"),
            Self::ValidationFailed { drift } => {
                format!("validation found {drift} drift entries; nothing was renamed")
            }
            Self::NeedsOperator { step, reason, .. } => {
                format!("needs an operator at {step}: {reason}")
            }
        }
    }
}

/// One migration in the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MigrationReport {
    /// `region/identifier`.
    pub migration: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Steps done.
    pub steps_done: usize,
    /// Steps in all.
    pub steps: usize,
    /// Seconds from the rename of the source to the end of the last cutover rename, when both are done.
    pub downtime_seconds: Option<f64>,
}

/// The end of a run, or of one sitting of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunReport {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Who wrote it.
    pub tool: Tool,
    /// The run.
    pub run: RunId,
    /// When this sitting ended.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub ended: Timestamp,
    /// One entry a migration.
    pub migrations: Vec<MigrationReport>,
}
