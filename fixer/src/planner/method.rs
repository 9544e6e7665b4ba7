//! Which method an instance is migrated with: a table of the methods, best first.
//!
//! A method is added by a row here, a file with its steps beside this one, and what it needs to know in
//! [`MethodFacts`].

use std::collections::BTreeMap;

use atrest_model::instance::DbInstance;
use atrest_model::plan::{Method, Migration, NotTaken, Step};

use super::{Facts, blue_green, cold, replica};
use crate::preflight::{Read, ReplicationFacts};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// The best one that is possible.
    Auto,
    /// This one or none.
    Only(Method),
}

impl Default for Wish {
    fn default() -> Self {
        Self::Only(Method::Cold)
    }
}

impl Wish {
    /// Whether this method may come out.
    #[must_use]
    pub fn includes(self, method: Method) -> bool {
        match self {
            Self::Auto => true,
            Self::Only(only) => only == method,
        }
    }
}

/// What the choice rests on beside the describe answers.
#[derive(Debug, Clone, Default)]
pub struct MethodFacts {
    /// What is asked for.
    pub wish: Wish,
    /// Replica method: hours for which the old instance follows its successor after the cutover.
    pub way_back_hours: Option<u32>,
    /// RDS's own words where it has refused an encrypted green side before: by region, or by `DbiResourceId` where it
    /// refused the source as such.
    pub blue_green_refused: BTreeMap<String, String>,
    /// What the servers say of replication, by `DbiResourceId`; read when the replica method may come out.
    pub replication: BTreeMap<String, Read<ReplicationFacts>>,
}

/// A method as the planner knows it.
struct Row {
    method: Method,
    /// Why it is not possible for this source with its replicas, all reasons; none when it is.
    why_not: fn(&Facts, &[&DbInstance]) -> Vec<String>,
    steps: fn(&Facts, &Migration, &[&DbInstance]) -> Vec<Step>,
}

/// Best first. The last is always possible.
const METHODS: [Row; 3] = [
    Row {
        method: Method::Replica,
        why_not: replica::why_not,
        steps: replica::steps,
    },
    // Less downtime, and less proof: no rows, and no way back.
    Row {
        method: Method::BlueGreen,
        why_not: blue_green::why_not,
        steps: blue_green::steps,
    },
    Row {
        method: Method::Cold,
        why_not: |_, _| Vec::new(),
        steps: cold::steps,
    },
];

/// The choice for one source.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) method: Method,
    /// Better ones, and why they were not taken.
    pub(super) not_taken: Vec<NotTaken>,
}

/// Chooses. `Err` says why what is asked for is not possible.
pub(super) fn choose(facts: &Facts, members: &[&DbInstance]) -> Result<Choice, String> {
    let wish = facts.methods.wish;
    let mut not_taken = Vec::new();
    for row in METHODS.iter().filter(|row| wish.includes(row.method)) {
        let reasons = (row.why_not)(facts, members);
        if reasons.is_empty() {
            return Ok(Choice {
                method: row.method,
                not_taken,
            });
        }
        not_taken.push(NotTaken {
            method: row.method,
            reasons,
        });
    }
    let whys: Vec<String> = not_taken
        .iter()
        .map(|not| {
            format!(
                "the {} method is not possible: {}",
                not.method.as_str(),
                not.reasons.join("; ")
            )
        })
        .collect();
    Err(whys.join("; "))
}

/// The steps of a migration by its method.
pub(super) fn steps(facts: &Facts, migration: &Migration, members: &[&DbInstance]) -> Vec<Step> {
    METHODS
        .iter()
        .find(|row| row.method == migration.method)
        .map(|row| (row.steps)(facts, migration, members))
        .unwrap_or_default()
}
