//! How a run ended.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Tool;
use crate::id::RunId;
use crate::phase::PhaseName;

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
    /// What a person has to do that the run could not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_to_do: Vec<LeftToDo>,
}

/// Something that a person has to do after a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct LeftToDo {
    /// What kind of thing it is: `iam-authentication`, `master-password`, `proxy`, …
    pub kind: String,
    /// DB instance as `region/identifier`.
    pub subject: String,
    /// What is the case.
    pub what: String,
    /// What to do.
    pub todo: String,
}

impl LeftToDo {
    /// Member of a step's result that lists them.
    pub const MEMBER: &str = "left_to_do";

    /// Those that the results of steps list, each once.
    pub fn of_results<'a>(results: impl IntoIterator<Item = &'a Value>) -> Vec<Self> {
        let mut all: Vec<Self> = results
            .into_iter()
            .flat_map(|result| crate::document::list_of(result, Self::MEMBER))
            // A journal of a newer version may list more: what is not understood is not ours to tell.
            .filter_map(|item| serde_json::from_value(item.clone()).ok())
            .collect();
        all.sort();
        all.dedup();
        all
    }
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
    /// The phase this sitting was about, such as `rollback-1`; absent for the migration itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<PhaseName>,
    /// When this sitting ended.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub ended: Timestamp,
    /// One entry a migration.
    pub migrations: Vec<MigrationReport>,
    /// Hooks of the run itself, after-run and on-failure, that failed where that was not to be passed over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_hooks: Vec<String>,
}
