//! Checks made before anything is changed: what could stop a run at night is looked for by day.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One check with its verdict: one line of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// Stable id, such as `kms-key`; docs/preflight.md lists them.
    pub check: String,
    /// The migration it is about, as [`Migration::id`](crate::plan::Migration::id); `None` when it is about a whole
    /// region or the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<String>,
    /// What was looked at: a DB instance as `region/identifier`, a region, or an ARN.
    pub subject: String,
    /// What follows.
    pub verdict: Verdict,
    /// What was found, why it matters, what to do, in one or two sentences.
    pub detail: String,
}

/// What follows from a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Verdict {
    /// Nothing stands in the way.
    Passes,
    /// A step of the plan takes care of it.
    FixedBy {
        /// The step, as [`Step::id`](crate::plan::Step::id).
        step: String,
    },
    /// The run can go on; somebody should know.
    Warns,
    /// It could not be looked at, or looking does not prove it. The detail says why.
    NotProven,
    /// The run would fail, or do harm.
    Blocks,
}

impl Verdict {
    /// The word used in reports.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Passes => "passes",
            Self::FixedBy { .. } => "is fixed",
            Self::Warns => "warns",
            Self::NotProven => "not proven",
            Self::Blocks => "blocks",
        }
    }

    /// Rank: the graver, the higher.
    #[must_use]
    pub fn rank(&self) -> u8 {
        match self {
            Self::Passes => 0,
            Self::FixedBy { .. } => 1,
            Self::Warns => 2,
            Self::NotProven => 3,
            Self::Blocks => 4,
        }
    }
}

impl Check {
    /// Whether the run must not begin.
    #[must_use]
    pub fn blocks(&self) -> bool {
        self.verdict == Verdict::Blocks
    }
}
