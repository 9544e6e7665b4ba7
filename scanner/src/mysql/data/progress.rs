//! How far a comparison has come: enough to go on from there and end as if it had never stopped.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Progress of the comparison of one pair. The caller may keep it and hand it in again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataProgress {
    /// Whether rows are compared by checksum; progress of the other kind is no use.
    pub checksums: bool,
    /// By `` `schema`.`table` ``: the tables that were begun.
    pub tables: BTreeMap<String, TableProgress>,
}

/// What is known of a table so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableProgress {
    /// Digest of what is read and how: when it is another one on resume, the table has changed and begins anew.
    pub definition: String,
    /// The key the next chunk begins after, one entry in hexadecimal a column; `None` is the beginning.
    pub after: Option<Vec<String>>,
    /// Whether the end was reached.
    pub done: bool,
    /// Rows asked for in a chunk, as adapted to the servers' speed.
    pub chunk_rows: u64,
    /// The old server so far.
    pub old: Sums,
    /// The new server so far.
    pub new: Sums,
    /// Where the two differ, the first of them.
    pub differences: Vec<DifferingRange>,
    /// The first key of the last of these, in hexadecimal, when it reaches the end of its chunk: the next chunk may go on
    /// with it.
    pub open: Option<Vec<String>>,
    /// Whether there are ranges beyond these.
    pub more: bool,
}

/// Number of rows and the sum of their checksums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Rows.
    pub rows: u64,
    /// Sum over all rows of 60 bits of a SHA-256 of the values; 0 when only rows are counted.
    #[serde(with = "decimal")]
    pub checksum: u128,
}

impl Sums {
    pub(super) fn add(&mut self, other: Self) {
        self.rows = self.rows.saturating_add(other.rows);
        self.checksum = self.checksum.saturating_add(other.checksum);
    }
}

/// Neighbouring rows that differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferingRange {
    /// A condition that selects the rows on either server. Keys are in it, other values are not.
    pub rows: String,
    /// Rows that only the old server has.
    pub only_old: u64,
    /// Rows that only the new server has.
    pub only_new: u64,
    /// Rows that both have, with other values.
    pub changed: u64,
}

/// JSON numbers of this size do not survive every reader.
mod decimal {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// What happens to the progress after every chunk.
pub trait Keeper: Sync {
    /// Takes the state of a table, named `` `schema`.`table` ``, after a chunk: the entry of [`DataProgress::tables`].
    /// `false` stops the comparison: tables that are not done are then not compared.
    fn keep(&self, table: &str, progress: &TableProgress) -> bool;
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy)]
pub struct KeepNothing;

impl Keeper for KeepNothing {
    fn keep(&self, _table: &str, _progress: &TableProgress) -> bool {
        true
    }
}
