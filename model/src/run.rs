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
    /// Where its time went; absent where the journal was not at hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<MigrationTimes>,
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

/// Where the time of a migration went, from its first step to its last. Each moment counts once, so that the parts add
/// up: of steps that ran side by side the one counts that copied, then the one that waited for RDS.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MigrationTimes {
    /// All of it.
    pub seconds: f64,
    /// RDS copied data: snapshots, copies, restores, replicas.
    pub copying_seconds: f64,
    /// RDS did something else: renames, restarts, modifications.
    pub waiting_seconds: f64,
    /// This tool worked: accounts, comparisons, checks.
    pub own_seconds: f64,
    /// It stood still: stopped, killed, or waiting for its turn.
    pub idle_seconds: f64,
    /// The same by kind of step, in the order they ran.
    pub kinds: Vec<KindTime>,
    /// How long clients of each DB instance were away.
    pub instances: Vec<InstanceDowntime>,
}

/// What the time of a step is spent on.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Spent {
    /// RDS copies data; this grows with its size.
    Copying,
    /// RDS does something else.
    Waiting,
    /// This tool works.
    Own,
}

impl Spent {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Copying => "copying data",
            Self::Waiting => "waiting for RDS",
            Self::Own => "our own work",
        }
    }
}

/// What the steps of one kind took of a migration's time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KindTime {
    /// The kind: a step's name up to the `:`.
    pub kind: String,
    /// What it is spent on.
    pub spent: Spent,
    /// Steps of this kind that have begun.
    pub steps: usize,
    /// Seconds.
    pub seconds: f64,
}

/// How long the clients of a DB instance were away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceDowntime {
    /// Its real name.
    pub identifier: String,
    /// When it lost that name.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub from: Timestamp,
    /// When its successor was seen under it; absent while clients are away still.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub until: Option<Timestamp>,
    /// Seconds, up to the end of the report if clients are away still.
    pub seconds: f64,
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
