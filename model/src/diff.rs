//! The pair diff: computed once, rendered by many.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Tool;
use crate::finding::Control;

/// Version of the JSON form of [`DiffReport`].
pub const SCHEMA_VERSION: u32 = 1;

/// Diffs of any number of pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DiffReport {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Who wrote it.
    pub tool: Tool,
    /// When the sides were read.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created: Timestamp,
    /// One entry a pair, in the order asked for.
    pub pairs: Vec<PairDiff>,
}

impl DiffReport {
    /// Number of drift entries over all pairs.
    #[must_use]
    pub fn drift(&self) -> usize {
        self.pairs.iter().map(PairDiff::drift).sum()
    }
}

/// One side of a pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Side {
    /// Its name when it was read.
    pub identifier: String,
    /// Its constant identity.
    pub dbi_resource_id: String,
    /// Its region.
    pub region: String,
}

/// Everything that differs between the old and the new instance of a pair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PairDiff {
    /// The name both sides have in the eyes of clients; differences of names are mapped to it.
    pub name: String,
    /// The unencrypted side.
    pub old: Side,
    /// The encrypted side.
    pub new: Side,
    /// Sorted by area and path.
    pub differences: Vec<Difference>,
    /// How much was compared.
    pub compared: Compared,
    /// What was not compared, and why.
    pub not_compared: Vec<NotCompared>,
}

impl PairDiff {
    /// The first part that was asked for and could not be read.
    #[must_use]
    pub fn incomplete(&self) -> Option<&NotCompared> {
        self.not_compared.iter().find(|not| not.failed)
    }

    /// Number of drift entries.
    #[must_use]
    pub fn drift(&self) -> usize {
        self.differences
            .iter()
            .filter(|d| d.class == DiffClass::Drift)
            .count()
    }
}

/// How much of a pair was compared. Counts of one side, the larger where they differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Compared {
    /// Leaves of the describe answers.
    pub attributes: u64,
    /// User-set parameters and options of groups that differ in name.
    pub settings: u64,
    /// MySQL accounts.
    pub accounts: u64,
    /// Tables.
    pub tables: u64,
    /// Rows counted on both sides.
    pub rows: u64,
    /// Whether the contents of the rows were compared by checksum.
    pub checksums: bool,
}

/// Something that was not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotCompared {
    /// Which part.
    pub area: Area,
    /// Whether it was asked for and a read failed: the comparison is incomplete.
    pub failed: bool,
    /// Why not.
    pub reason: String,
}

/// Part of the comparison.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Area {
    /// The describe answer.
    Attribute,
    /// User-set parameters of the DB parameter groups.
    Parameter,
    /// Options and settings of the option groups.
    Option,
    /// MySQL accounts and grants.
    Account,
    /// `mysql.rds_show_configuration`.
    Configuration,
    /// Schemas, tables and rows.
    Data,
}

impl Area {
    /// The word used in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attribute => "attribute",
            Self::Parameter => "parameter",
            Self::Option => "option",
            Self::Account => "account",
            Self::Configuration => "configuration",
            Self::Data => "data",
        }
    }
}

/// Class of a difference.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum DiffClass {
    /// Names, ARNs, resource ids.
    Identity,
    /// Encryption itself, and the tags this tool sets.
    Intended,
    /// Times and statuses.
    Volatile,
    /// Anything else: must be explained or mended.
    Drift,
}

impl DiffClass {
    /// The word used in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Intended => "intended",
            Self::Volatile => "volatile",
            Self::Drift => "drift",
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// Part of the comparison.
    pub area: Area,
    /// Path of the leaf, `TagList[team].Value`, or the account, parameter or table.
    pub path: String,
    /// Class.
    pub class: DiffClass,
    /// Value on the old side; `None` when it has none.
    pub old: Option<Value>,
    /// Value on the new side; `None` when it has none.
    pub new: Option<Value>,
    /// Why it is in its class.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub reason: String,
    /// What mends it: a command for a shell or an SQL statement, ready to be pasted. Never a hint: what cannot be
    /// mended has none, and `reason` says why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remedy: Option<String>,
    /// Controls that the old side passes and the new side fails because of this difference.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub controls: Vec<Control>,
}
