//! What is done with a run after its plan: rolled back or cleaned up. A phase is a document like the plan, made from the
//! journal and from what RDS shows, and executed as it stands.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Tool;
use crate::document::digest;
use crate::id::RunId;
use crate::plan::Migration;

/// Version of the JSON form of [`Phase`].
pub const SCHEMA_VERSION: u32 = 1;

/// Kind of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseKind {
    /// The old instances get their real names back, and our copies go.
    Rollback,
    /// The old instances go, and what is not encrypted with them.
    Cleanup,
}

impl PhaseKind {
    const ALL: [Self; 2] = [Self::Rollback, Self::Cleanup];

    /// The word used in names and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Cleanup => "cleanup",
        }
    }
}

/// Name of a phase: its kind and its number in the run, such as `rollback-1`. Also the name of its file, so nothing
/// else is taken for one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct PhaseName {
    /// Kind.
    pub kind: PhaseKind,
    /// Number among those of its kind, from 1.
    pub number: u32,
}

impl fmt::Display for PhaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.kind.as_str(), self.number)
    }
}

/// A name that is not one of a phase.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a phase, such as rollback-1")]
pub struct InvalidPhaseName(String);

impl TryFrom<String> for PhaseName {
    type Error = InvalidPhaseName;

    fn try_from(text: String) -> Result<Self, InvalidPhaseName> {
        let parts = text.rsplit_once('-');
        let kind = parts.and_then(|(kind, _)| {
            PhaseKind::ALL
                .into_iter()
                .find(|known| known.as_str() == kind)
        });
        let number = parts.and_then(|(_, number)| number.parse().ok());
        match (kind, number) {
            // `+1` and `01` parse too.
            (Some(kind), Some(number)) if text == format!("{}-{number}", kind.as_str()) => {
                Ok(Self { kind, number })
            }
            _ => Err(InvalidPhaseName(text)),
        }
    }
}

impl From<PhaseName> for String {
    fn from(name: PhaseName) -> Self {
        name.to_string()
    }
}

/// A migration that a phase leaves as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftAlone {
    /// `region/identifier`.
    pub migration: String,
    /// Why, in one sentence.
    pub reason: String,
    /// What a person can do; empty when there is nothing to do.
    pub hint: String,
}

/// A phase of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Phase {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Who made it.
    pub tool: Tool,
    /// The run it belongs to.
    pub run: RunId,
    /// Its name in the run.
    pub phase: PhaseName,
    /// When RDS was described.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created: Timestamp,
    /// Digest of the plan of the run.
    pub plan_digest: String,
    /// The migrations it is about, with the steps of this phase. Ids and members are those of the plan.
    pub migrations: Vec<Migration>,
    /// Migrations that were asked for and are left alone.
    pub left_alone: Vec<LeftAlone>,
    /// SHA-256 over everything else.
    pub digest: String,
}

impl Phase {
    /// The digest the content calls for.
    #[must_use]
    pub fn computed_digest(&self) -> String {
        let mut bare = self.clone();
        bare.digest.clear();
        // Plain data with string keys: serialization cannot fail; an empty digest never matches.
        serde_json::to_value(&bare)
            .map(|value| digest(&value))
            .unwrap_or_default()
    }

    /// The same phase with its digest filled in.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.digest = self.computed_digest();
        self
    }

    /// Name of its file in the run folder.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.json", self.phase)
    }

    /// The migration of that id, if this phase is about it.
    #[must_use]
    pub fn migration(&self, id: &str) -> Option<&Migration> {
        self.migrations.iter().find(|migration| migration.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_nothing_else_is_one() {
        for text in ["rollback-1", "cleanup-12"] {
            let name = PhaseName::try_from(text.to_owned()).unwrap();
            assert_eq!(name.to_string(), text);
        }
        for bad in [
            "",
            "rollback",
            "rollback-",
            "rollback-01",
            "rollback-+1",
            "../rollback-1",
            "plan-1",
            "cleanup--1",
        ] {
            assert!(PhaseName::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
