//! DB instances, clusters and snapshots as read: the whole document plus the questions the tool asks of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::{bool_of, int_of, list_of, str_of, strings_of};

/// State of encryption at rest.
///
/// RDS tells it by `StorageEncryptionType` (`none`, `sse-rds`, `sse-kms`) where it sends that member, else by
/// `StorageEncrypted`. An Aurora cluster under an AWS-owned key says `StorageEncrypted=false` and is encrypted
/// (`sse-rds`), so the order matters. What neither member tells is `Unknown`, which is never a pass.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Encryption {
    /// Not encrypted.
    None,
    /// Encrypted with a key that AWS owns.
    SseRds,
    /// Encrypted with a KMS key.
    SseKms,
    /// Neither member was there, or its value is new to this version.
    Unknown,
}

impl Encryption {
    /// Reads the state from the document of an instance, cluster or snapshot.
    #[must_use]
    pub fn of(document: &Value) -> Self {
        match str_of(document, "StorageEncryptionType") {
            Some("none") => Self::None,
            Some("sse-rds") => Self::SseRds,
            Some("sse-kms") => Self::SseKms,
            Some(_) => Self::Unknown,
            None => match bool_of(document, "StorageEncrypted")
                .or_else(|| bool_of(document, "Encrypted"))
            {
                Some(true) => Self::SseKms,
                Some(false) => Self::None,
                None => Self::Unknown,
            },
        }
    }

    /// Whether the storage is encrypted; `None` when that is not known.
    #[must_use]
    pub fn is_encrypted(self) -> Option<bool> {
        match self {
            Self::None => Some(false),
            Self::SseRds | Self::SseKms => Some(true),
            Self::Unknown => None,
        }
    }

    /// The word used in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SseRds => "sse-rds",
            Self::SseKms => "sse-kms",
            Self::Unknown => "unknown",
        }
    }
}

/// One DB instance of `DescribeDBInstances`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DbInstance {
    /// Region it was read from.
    pub region: String,
    /// The answer's `DBInstance`, complete.
    pub document: Value,
}

impl DbInstance {
    /// `DBInstanceIdentifier`, lower case; empty if the answer lacks it.
    #[must_use]
    pub fn identifier(&self) -> &str {
        str_of(&self.document, "DBInstanceIdentifier").unwrap_or_default()
    }

    /// `DbiResourceId`: constant across renames, the identity of the instance.
    #[must_use]
    pub fn dbi_resource_id(&self) -> &str {
        str_of(&self.document, "DbiResourceId").unwrap_or_default()
    }

    /// `DBInstanceArn`: changes with the name.
    #[must_use]
    pub fn arn(&self) -> &str {
        str_of(&self.document, "DBInstanceArn").unwrap_or_default()
    }

    /// `Engine`, such as `mysql`, `mariadb`, `postgres`.
    #[must_use]
    pub fn engine(&self) -> &str {
        str_of(&self.document, "Engine").unwrap_or_default()
    }

    /// `EngineVersion`.
    #[must_use]
    pub fn engine_version(&self) -> &str {
        str_of(&self.document, "EngineVersion").unwrap_or_default()
    }

    /// `DBInstanceStatus`.
    #[must_use]
    pub fn status(&self) -> &str {
        str_of(&self.document, "DBInstanceStatus").unwrap_or_default()
    }

    /// State of encryption at rest.
    #[must_use]
    pub fn encryption(&self) -> Encryption {
        Encryption::of(&self.document)
    }

    /// `KmsKeyId`, a key ARN.
    #[must_use]
    pub fn kms_key_id(&self) -> Option<&str> {
        str_of(&self.document, "KmsKeyId")
    }

    /// `DBClusterIdentifier`: set on members of a cluster, whose storage is the cluster's.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        str_of(&self.document, "DBClusterIdentifier")
    }

    /// `ReadReplicaSourceDBInstanceIdentifier`: a name in the same region, else an ARN.
    #[must_use]
    pub fn replica_source(&self) -> Option<&str> {
        str_of(&self.document, "ReadReplicaSourceDBInstanceIdentifier")
    }

    /// `ReadReplicaDBInstanceIdentifiers`: names in the same region, else ARNs.
    pub fn replicas(&self) -> impl Iterator<Item = &str> {
        strings_of(&self.document, "ReadReplicaDBInstanceIdentifiers")
    }

    /// `Endpoint.Address` and `Endpoint.Port`; absent while an instance is being created.
    #[must_use]
    pub fn endpoint(&self) -> Option<(&str, u16)> {
        let endpoint = self.document.get("Endpoint")?;
        let port = u16::try_from(int_of(endpoint, "Port")?).ok()?;
        Some((str_of(endpoint, "Address")?, port))
    }

    /// `MasterUsername`.
    #[must_use]
    pub fn master_username(&self) -> &str {
        str_of(&self.document, "MasterUsername").unwrap_or_default()
    }

    /// `TagList` as a map.
    #[must_use]
    pub fn tags(&self) -> BTreeMap<&str, &str> {
        tags_of(&self.document)
    }

    /// Whether the engine is MySQL or MariaDB, the engines whose accounts and rows this tool reads.
    #[must_use]
    pub fn is_mysql_family(&self) -> bool {
        matches!(self.engine(), "mysql" | "mariadb")
    }

    /// Whether it came with a Multi-AZ DB cluster: RDS made it and changes it with the cluster.
    #[must_use]
    pub fn is_multi_az_member(&self) -> bool {
        self.cluster().is_some() && matches!(self.engine(), "mysql" | "postgres")
    }

    /// Whether `PendingModifiedValues` holds anything.
    #[must_use]
    pub fn has_pending_modifications(&self) -> bool {
        self.document
            .get("PendingModifiedValues")
            .and_then(Value::as_object)
            .is_some_and(|pending| !pending.is_empty())
    }

    /// Whether RDS accepts the next operation: `available`, or `storage-optimization`, which does not end for hours
    /// after a restore and blocks nothing this tool does.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.status(), "available" | "storage-optimization")
    }

    /// Whether the status is one that no waiting will mend.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        matches!(
            self.status(),
            "failed"
                | "restore-error"
                | "modify-failed"
                | "upgrade-failed"
                | "insufficient-capacity"
                | "inaccessible-encryption-credentials"
                | "inaccessible-encryption-credentials-recoverable"
        ) || self.status().starts_with("incompatible-")
    }
}

/// One cluster of `DescribeDBClusters`: Aurora, Multi-AZ, Neptune or DocumentDB, told apart by `Engine`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DbCluster {
    /// Region it was read from.
    pub region: String,
    /// The answer's `DBCluster`, complete.
    pub document: Value,
}

impl DbCluster {
    /// `DBClusterIdentifier`.
    #[must_use]
    pub fn identifier(&self) -> &str {
        str_of(&self.document, "DBClusterIdentifier").unwrap_or_default()
    }

    /// `DBClusterArn`.
    #[must_use]
    pub fn arn(&self) -> &str {
        str_of(&self.document, "DBClusterArn").unwrap_or_default()
    }

    /// `Engine`.
    #[must_use]
    pub fn engine(&self) -> &str {
        str_of(&self.document, "Engine").unwrap_or_default()
    }

    /// State of encryption at rest.
    #[must_use]
    pub fn encryption(&self) -> Encryption {
        Encryption::of(&self.document)
    }

    /// `DbClusterResourceId`: constant across renames, the identity of the cluster.
    #[must_use]
    pub fn resource_id(&self) -> &str {
        str_of(&self.document, "DbClusterResourceId").unwrap_or_default()
    }

    /// `Status`.
    #[must_use]
    pub fn status(&self) -> &str {
        str_of(&self.document, "Status").unwrap_or_default()
    }

    /// Whether RDS accepts the next operation.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.status(), "available" | "storage-optimization")
    }

    /// Whether `PendingModifiedValues` holds anything.
    #[must_use]
    pub fn has_pending_modifications(&self) -> bool {
        self.document
            .get("PendingModifiedValues")
            .and_then(Value::as_object)
            .is_some_and(|pending| !pending.is_empty())
    }

    /// `TagList` as a map.
    #[must_use]
    pub fn tags(&self) -> BTreeMap<&str, &str> {
        tags_of(&self.document)
    }

    /// Identifiers of the member instances.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        list_of(&self.document, "DBClusterMembers")
            .iter()
            .filter_map(|m| str_of(m, "DBInstanceIdentifier"))
    }
}

/// `TagList` of a document as a map.
#[must_use]
pub fn tags_of(document: &Value) -> BTreeMap<&str, &str> {
    list_of(document, "TagList")
        .iter()
        .filter_map(|tag| {
            Some((
                str_of(tag, "Key")?,
                str_of(tag, "Value").unwrap_or_default(),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn storage_encryption_type_is_read_before_storage_encrypted() {
        let sse_rds = json!({"StorageEncryptionType": "sse-rds", "StorageEncrypted": false});
        assert_eq!(Encryption::of(&sse_rds), Encryption::SseRds);
        assert_eq!(
            Encryption::of(&json!({"StorageEncrypted": false})),
            Encryption::None
        );
        assert_eq!(
            Encryption::of(&json!({"StorageEncrypted": true})),
            Encryption::SseKms
        );
        assert_eq!(Encryption::of(&json!({})), Encryption::Unknown);
        assert_eq!(
            Encryption::of(&json!({"StorageEncryptionType": "sse-new", "StorageEncrypted": true})),
            Encryption::Unknown
        );
    }

    #[test]
    fn incompatible_statuses_are_failures() {
        let of = |status: &str| DbInstance {
            region: String::new(),
            document: json!({"DBInstanceStatus": status}),
        };
        assert!(of("incompatible-parameters").has_failed());
        assert!(of("failed").has_failed());
        assert!(!of("storage-full").has_failed());
        assert!(of("storage-optimization").is_ready());
    }
}
