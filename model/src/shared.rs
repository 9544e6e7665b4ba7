//! What runners on several machines share: one object for each DB instance. See docs/design/0012-shared-state.md.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Tool;
use crate::id::RunId;
use crate::journal::StepEvent;
use crate::phase::PhaseName;

/// Version of [`SharedObject`]. An older one is read, a newer one refused.
pub const FORMAT: u32 = 1;

/// Who works on a DB instance, until when, and how far the journal is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SharedObject {
    /// [`FORMAT`].
    pub format: u32,
    /// Who wrote it.
    pub tool: Tool,
    /// The source of the migration; the object is named by it.
    pub dbi_resource_id: String,
    /// `region/identifier`.
    pub migration: String,
    /// The run.
    pub run: RunId,
    /// Digest of its plan.
    pub plan_digest: String,
    /// Who has it, or had it last.
    pub owner: Owner,
    /// Rises with every owner that is not the one before, from 1.
    pub fence: u64,
    /// Until when it is the owner's, in the time of the store.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub expires: Timestamp,
    /// Whether the owner has given it back.
    pub released: bool,
    /// Whether nothing was begun, or everything is done: another run may have it.
    pub over: bool,
    /// Token of the run folder, which its claim bears in RDS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// Phases that were begun, in order; their documents lie beside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<PhaseName>,
    /// The records of this migration and of the run itself, in the order of the journal.
    pub journal: Vec<CopiedRecord>,
}

/// Who has an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Owner {
    /// `user@machine`, for people.
    pub name: String,
    /// What tells a run folder from every other.
    pub token: String,
}

/// A record of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CopiedRecord {
    /// Position in the journal it was copied from.
    pub seq: i64,
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// Migration, or `run` or `*` for what is of the run itself.
    pub migration: String,
    /// Step.
    pub step: String,
    /// What happened to it.
    #[schemars(with = "String")]
    pub event: StepEvent,
    /// Details.
    pub detail: Value,
}
