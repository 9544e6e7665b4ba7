//! Hooks: commands of the operator at fixed points of a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A command at a point of a run. docs/hooks.md says what it is given and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hook {
    /// When it is run.
    pub at: Stage,
    /// Program and arguments. No shell reads them.
    pub command: Vec<String>,
    /// Seconds it may take; then its process group is ended.
    pub timeout_seconds: u64,
    /// What follows when it fails.
    pub on_failure: OnFailure,
    /// Whether it may be run again when nobody knows whether it has run: the process was killed meanwhile.
    #[serde(default)]
    pub repeat: bool,
    /// Names of environment variables that it gets beside its own, with a `*` at the end for any that begin so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inherit: Vec<String>,
}

/// A point of a run.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Of a migration: before clients lose their endpoints.
    BeforeQuiesce,
    /// Of a migration: when no client is connected, before the snapshot.
    AfterQuiesce,
    /// Of a migration: validated, before the first rename to a real name.
    BeforeCutover,
    /// Of a migration: when the new instances have the real names.
    AfterCutover,
    /// Of the run: when no migration goes on.
    AfterRun,
    /// Of the run: when a migration has failed.
    OnFailure,
}

impl Stage {
    /// The word in configuration, plan and environment.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeforeQuiesce => "before-quiesce",
            Self::AfterQuiesce => "after-quiesce",
            Self::BeforeCutover => "before-cutover",
            Self::AfterCutover => "after-cutover",
            Self::AfterRun => "after-run",
            Self::OnFailure => "on-failure",
        }
    }

    /// Whether it is a point of each migration, and so a step of its plan.
    #[must_use]
    pub fn is_of_migration(self) -> bool {
        !matches!(self, Self::AfterRun | Self::OnFailure)
    }
}

/// What follows when a hook fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The migration stops for the operator. At the end of a run nothing is left to stop, and it is said.
    Stop,
    /// It is recorded, and the run goes on.
    Continue,
}
