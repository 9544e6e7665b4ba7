//! Which members of describe answers a scan keeps.
//!
//! The answer for one DB instance has some hundred members and takes ten kilobytes of memory; rows of a report and
//! built-in policies look at a few of them. What compares two sides needs everything, and so may policies of users.

use std::collections::BTreeSet;

use serde_json::Value;

/// Members that rows and built-in policies look at, of every kind; also those that name keys, parameter groups and places.
/// A policy that is asked about less than it reads would be wrong without a word, so a test asks every case of every
/// policy both ways.
const LOOKED_AT: [&str; 40] = [
    "ActivityStreamKmsKeyId",
    "ActivityStreamStatus",
    "DBClusterArn",
    "DBClusterAutomatedBackupsArn",
    "DBClusterIdentifier",
    "DBClusterInstanceClass",
    "DBClusterMembers",
    "DBClusterParameterGroup",
    "DBClusterSnapshotArn",
    "DBClusterSnapshotIdentifier",
    "DBInstanceArn",
    "DBInstanceAutomatedBackupsArn",
    "DBInstanceClass",
    "DBInstanceIdentifier",
    "DBInstanceStatus",
    "DBParameterGroups",
    "DBSnapshotArn",
    "DBSnapshotIdentifier",
    "DbClusterResourceId",
    "DbiResourceId",
    "Encrypted",
    "Engine",
    "EngineVersion",
    "ExportTaskIdentifier",
    "GlobalClusterArn",
    "GlobalClusterIdentifier",
    "GlobalClusterMembers",
    "KmsKeyId",
    "MasterUserSecret",
    "PerformanceInsightsEnabled",
    "PerformanceInsightsKMSKeyId",
    "ReadReplicaSourceDBClusterIdentifier",
    "ReadReplicaSourceDBInstanceIdentifier",
    "Region",
    "ReplicationSourceIdentifier",
    "SnapshotType",
    "SourceArn",
    "Status",
    "StorageEncrypted",
    "StorageEncryptionType",
];

/// Which members are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Keep {
    /// All of them.
    #[default]
    All,
    /// Those that rows and built-in policies look at, and these.
    LookedAt {
        /// Further members.
        also: BTreeSet<String>,
    },
}

impl Keep {
    /// What rows and built-in policies look at.
    #[must_use]
    pub fn looked_at() -> Self {
        Self::LookedAt {
            also: BTreeSet::new(),
        }
    }

    /// Also these members; `None` stands for all of them.
    #[must_use]
    pub fn and(self, members: Option<BTreeSet<String>>) -> Self {
        match (self, members) {
            (Self::LookedAt { mut also }, Some(members)) => {
                also.extend(members);
                Self::LookedAt { also }
            }
            (Self::All, _) | (_, None) => Self::All,
        }
    }

    /// Whether a member is kept.
    #[must_use]
    pub fn keeps(&self, member: &str) -> bool {
        match self {
            Self::All => true,
            Self::LookedAt { also } => {
                LOOKED_AT.binary_search(&member).is_ok() || also.contains(member)
            }
        }
    }

    /// The document with the members that are kept, in as little memory as they need.
    #[must_use]
    pub fn of(&self, document: Value) -> Value {
        match (self, document) {
            (Self::LookedAt { .. }, Value::Object(members)) => Value::Object(
                members
                    .into_iter()
                    .filter(|(member, _)| self.keeps(member))
                    .collect(),
            ),
            (_, document) => document,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_list_is_sorted_for_binary_search() {
        assert!(LOOKED_AT.is_sorted());
    }

    #[test]
    fn what_is_asked_for_is_kept_and_the_rest_is_not() {
        let document = json!({"Engine": "mysql", "TagList": [1], "Port": 3306});
        assert_eq!(Keep::All.of(document.clone()), document);
        let keep = Keep::looked_at();
        assert_eq!(keep.of(document.clone()), json!({"Engine": "mysql"}));
        let tags = keep
            .clone()
            .and(Some(BTreeSet::from(["TagList".to_owned()])));
        assert_eq!(
            tags.of(document.clone()),
            json!({"Engine": "mysql", "TagList": [1]})
        );
        assert_eq!(keep.and(None).of(document.clone()), document);
    }
}
