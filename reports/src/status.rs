//! How far a run is, as `atrest status RUN --format json` writes it.

use atrest_model::journal::StepStatus;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Version of the JSON form of [`RunStatus`].
pub const STATUS_SCHEMA_VERSION: u32 = 1;

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunStatus {
    /// [`STATUS_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The run.
    pub run: String,
    /// One entry a migration, in the order of the plan.
    pub migrations: Vec<MigrationStatus>,
}

/// How far a migration is, as the journal has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MigrationStatus {
    /// `region/identifier`.
    pub migration: String,
    /// The phase it is in after its migration, such as `rollback-1`; the steps are those of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Steps done.
    pub steps_done: usize,
    /// Steps in all.
    pub steps: usize,
    /// Steps that have begun and are not done.
    pub current: Vec<CurrentStep>,
}

/// A step that has begun and is not done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CurrentStep {
    /// Step of the plan.
    pub step: String,
    /// Where it is.
    #[schemars(with = "String")]
    pub status: StepStatus,
    /// Since when.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: Timestamp,
    /// What was noted with it.
    pub detail: Value,
}
