//! One described thing of any kind: the whole document plus the questions a policy asks of it.
//!
//! The kinds share most questions and no member names: the ARN of a snapshot is at `DBSnapshotArn`, that of an automated
//! backup at `DBInstanceAutomatedBackupsArn`. The names are known here and nowhere else.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::{bool_of, list_of, str_of};
use crate::instance::{DbCluster, DbInstance, Encryption, tags_of};
use crate::key::account_of;
use crate::scan::ResourceKind;

/// One described thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// What it is.
    pub kind: ResourceKind,
    /// The account that sees it: a shared snapshot belongs to another one.
    pub account: String,
    /// The region it was read from.
    pub region: String,
    /// AWS's answer, complete.
    pub document: Value,
}

impl Described {
    /// The view that answers questions.
    #[must_use]
    pub fn view(&self) -> DescribedRef<'_> {
        DescribedRef {
            kind: self.kind,
            account: &self.account,
            region: &self.region,
            document: &self.document,
        }
    }
}

/// A described thing, borrowed: what policies are asked about, whatever its kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DescribedRef<'a> {
    /// What it is.
    pub kind: ResourceKind,
    /// The account that sees it.
    pub account: &'a str,
    /// The region it was read from.
    pub region: &'a str,
    /// AWS's answer, complete.
    pub document: &'a Value,
}

impl<'a> From<&'a DbInstance> for DescribedRef<'a> {
    fn from(instance: &'a DbInstance) -> Self {
        Self {
            kind: ResourceKind::DbInstance,
            account: account_of(instance.arn()).unwrap_or_default(),
            region: &instance.region,
            document: &instance.document,
        }
    }
}

impl<'a> From<&'a DbCluster> for DescribedRef<'a> {
    fn from(cluster: &'a DbCluster) -> Self {
        Self {
            kind: ResourceKind::DbCluster,
            account: account_of(cluster.arn()).unwrap_or_default(),
            region: &cluster.region,
            document: &cluster.document,
        }
    }
}

impl<'a> DescribedRef<'a> {
    /// The string at `member`, if it is there and is one.
    #[must_use]
    pub fn text(&self, member: &str) -> Option<&'a str> {
        str_of(self.document, member)
    }

    /// The boolean at `member`, if it is there and is one.
    #[must_use]
    pub fn flag(&self, member: &str) -> Option<bool> {
        bool_of(self.document, member)
    }

    /// The ARN. An export task has none in AWS, and some old automated backups are sent without theirs: they get one
    /// in AWS's form, so that each row has a name that is the same every night.
    #[must_use]
    pub fn arn(&self) -> Cow<'a, str> {
        let sent = arn_member(self.kind).and_then(|member| self.text(member));
        match sent {
            Some(arn) => Cow::Borrowed(arn),
            None => Cow::Owned(format!(
                "arn:{}:rds:{}:{}:{}:{}",
                partition_of(self.region),
                self.region,
                self.account,
                arn_word(self.kind),
                self.identifier()
            )),
        }
    }

    /// Its name. An automated backup is named by the last part of its ARN (`ab-…`), else by the resource id of what
    /// it is of: names of deleted instances are used again.
    #[must_use]
    pub fn identifier(&self) -> &'a str {
        let member = match self.kind {
            ResourceKind::DbInstance => "DBInstanceIdentifier",
            ResourceKind::DbCluster => "DBClusterIdentifier",
            ResourceKind::GlobalCluster => "GlobalClusterIdentifier",
            ResourceKind::DbSnapshot => "DBSnapshotIdentifier",
            ResourceKind::DbClusterSnapshot => "DBClusterSnapshotIdentifier",
            ResourceKind::ExportTask => "ExportTaskIdentifier",
            ResourceKind::DbInstanceAutomatedBackup | ResourceKind::DbClusterAutomatedBackup => {
                let arn = arn_member(self.kind).and_then(|member| self.text(member));
                return arn
                    .and_then(|arn| arn.rsplit(':').next())
                    .or_else(|| self.source_resource_id())
                    .unwrap_or_default();
            }
        };
        self.text(member).unwrap_or_default()
    }

    /// `Engine`; empty for an export task, which does not tell.
    #[must_use]
    pub fn engine(&self) -> &'a str {
        self.text("Engine").unwrap_or_default()
    }

    /// `EngineVersion`.
    #[must_use]
    pub fn engine_version(&self) -> &'a str {
        self.text("EngineVersion").unwrap_or_default()
    }

    /// `DBInstanceStatus` or `Status`.
    #[must_use]
    pub fn status(&self) -> &'a str {
        let member = match self.kind {
            ResourceKind::DbInstance => "DBInstanceStatus",
            _ => "Status",
        };
        self.text(member).unwrap_or_default()
    }

    /// State of encryption at rest. RDS writes no export without a KMS key, so one that names its key is encrypted.
    #[must_use]
    pub fn encryption(&self) -> Encryption {
        match self.kind {
            ResourceKind::ExportTask if self.kms_key_id().is_some() => Encryption::SseKms,
            ResourceKind::ExportTask => Encryption::Unknown,
            _ => Encryption::of(self.document),
        }
    }

    /// `KmsKeyId`: a key ARN; of an export task as the caller wrote it.
    #[must_use]
    pub fn kms_key_id(&self) -> Option<&'a str> {
        self.text("KmsKeyId").filter(|key| !key.is_empty())
    }

    /// Every KMS key the thing names, with the member that names it.
    pub fn kms_keys(&self) -> impl Iterator<Item = (&'static str, &'a str)> + use<'a> {
        let document = self.document;
        let plain = [
            "KmsKeyId",
            "PerformanceInsightsKMSKeyId",
            "ActivityStreamKmsKeyId",
        ];
        let secret = document.get("MasterUserSecret");
        plain
            .into_iter()
            .filter_map(move |member| Some((member, str_of(document, member)?)))
            .chain(
                secret
                    .and_then(|secret| str_of(secret, "KmsKeyId"))
                    .map(|key| ("MasterUserSecret.KmsKeyId", key)),
            )
            .filter(|(_, key)| !key.is_empty())
    }

    /// The ARN of a key that the thing names. RDS writes ARNs; a bare id or alias is one of its own account and region.
    #[must_use]
    pub fn key_arn(&self, key: &'a str) -> Cow<'a, str> {
        if key.starts_with("arn:") {
            return Cow::Borrowed(key);
        }
        let name = match key.starts_with("alias/") {
            true => key.to_owned(),
            false => format!("key/{key}"),
        };
        Cow::Owned(format!(
            "arn:{}:kms:{}:{}:{name}",
            partition_of(self.region),
            self.region,
            self.account
        ))
    }

    /// The parameter groups it uses that may say whether clients must use TLS: those of MySQL, MariaDB, PostgreSQL,
    /// SQL Server and Aurora.
    pub fn parameter_groups(&self) -> impl Iterator<Item = (GroupKind, &'a str)> + use<'a> {
        let document = self.document;
        let asks = ["mysql", "mariadb", "postgres", "sqlserver", "aurora"]
            .iter()
            .any(|engine| self.engine().starts_with(engine));
        let of_instance = match self.kind {
            ResourceKind::DbInstance if asks => list_of(document, "DBParameterGroups"),
            _ => &[],
        };
        let of_cluster = (asks && self.kind == ResourceKind::DbCluster)
            .then(|| str_of(document, "DBClusterParameterGroup"))
            .flatten();
        of_instance
            .iter()
            .filter_map(|group| Some((GroupKind::Instance, str_of(group, "DBParameterGroupName")?)))
            .chain(of_cluster.map(|name| (GroupKind::Cluster, name)))
    }

    /// `TagList` as a map.
    #[must_use]
    pub fn tags(&self) -> BTreeMap<&'a str, &'a str> {
        tags_of(self.document)
    }

    /// `SnapshotType` of a snapshot: `manual`, `automated`, `awsbackup`, `shared`.
    #[must_use]
    pub fn snapshot_type(&self) -> Option<&'a str> {
        self.text("SnapshotType")
    }

    /// Whether it belongs to another account, which shared it.
    #[must_use]
    pub fn is_of_another_account(&self) -> bool {
        account_of(&self.arn()).is_some_and(|owner| owner != self.account)
    }

    /// What it was made from, as AWS names it: the source of a replica, the instance or cluster of a snapshot (a name),
    /// of an automated backup (an ARN), the snapshot or cluster of an export (an ARN), the writer of a global cluster
    /// (an ARN). A snapshot of another account names an instance of that account.
    #[must_use]
    pub fn source(&self) -> Option<&'a str> {
        let member = match self.kind {
            ResourceKind::DbInstance => "ReadReplicaSourceDBInstanceIdentifier",
            ResourceKind::DbCluster => "ReplicationSourceIdentifier",
            ResourceKind::DbSnapshot => "DBInstanceIdentifier",
            ResourceKind::DbClusterSnapshot => "DBClusterIdentifier",
            ResourceKind::DbInstanceAutomatedBackup => "DBInstanceArn",
            ResourceKind::DbClusterAutomatedBackup => "DBClusterArn",
            ResourceKind::ExportTask => "SourceArn",
            ResourceKind::GlobalCluster => return self.writer(),
        };
        self.text(member).filter(|source| !source.is_empty())
    }

    /// `DbiResourceId` or `DbClusterResourceId`: of the thing itself, or of what a snapshot or backup is of. It is
    /// constant across renames and never used again.
    #[must_use]
    pub fn source_resource_id(&self) -> Option<&'a str> {
        self.text("DbiResourceId")
            .or_else(|| self.text("DbClusterResourceId"))
            .filter(|id| !id.is_empty())
    }

    /// ARN of the cluster that a global cluster writes to, else of its first member.
    #[must_use]
    pub fn writer(&self) -> Option<&'a str> {
        let members = list_of(self.document, "GlobalClusterMembers");
        members
            .iter()
            .find(|member| bool_of(member, "IsWriter") == Some(true))
            .or_else(|| members.first())
            .and_then(|member| str_of(member, "DBClusterArn"))
    }

    /// Whether the storage is a cluster's, which is judged on its own.
    #[must_use]
    pub fn is_cluster_member(&self) -> bool {
        self.kind == ResourceKind::DbInstance && self.text("DBClusterIdentifier").is_some()
    }
}

/// Where a kind has its ARN; an export task has none.
#[must_use]
pub fn arn_member(kind: ResourceKind) -> Option<&'static str> {
    match kind {
        ResourceKind::DbInstance => Some("DBInstanceArn"),
        ResourceKind::DbCluster => Some("DBClusterArn"),
        ResourceKind::GlobalCluster => Some("GlobalClusterArn"),
        ResourceKind::DbSnapshot => Some("DBSnapshotArn"),
        ResourceKind::DbClusterSnapshot => Some("DBClusterSnapshotArn"),
        ResourceKind::DbInstanceAutomatedBackup => Some("DBInstanceAutomatedBackupsArn"),
        ResourceKind::DbClusterAutomatedBackup => Some("DBClusterAutomatedBackupsArn"),
        ResourceKind::ExportTask => None,
    }
}

/// The word for a kind inside an ARN (`export-task` is ours).
fn arn_word(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::DbInstance => "db",
        ResourceKind::DbCluster => "cluster",
        ResourceKind::GlobalCluster => "global-cluster",
        ResourceKind::DbSnapshot => "snapshot",
        ResourceKind::DbClusterSnapshot => "cluster-snapshot",
        ResourceKind::DbInstanceAutomatedBackup => "auto-backup",
        ResourceKind::DbClusterAutomatedBackup => "cluster-auto-backup",
        ResourceKind::ExportTask => "export-task",
    }
}

/// The kind an ARN of RDS names; `None` for what a scan does not list.
#[must_use]
pub fn kind_of_arn(arn: &str) -> Option<ResourceKind> {
    let word = arn.split(':').nth(5)?;
    ResourceKind::ALL
        .into_iter()
        .find(|kind| arn_word(*kind) == word)
}

/// `aws`, `aws-cn` or `aws-us-gov`.
fn partition_of(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

/// Parameters whose values policies ask for: whether clients must use TLS.
pub const PARAMETERS: [&str; 2] = ["require_secure_transport", "rds.force_ssl"];

/// Which of the two families of parameter groups; a name may exist in both.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum GroupKind {
    /// `DescribeDBParameters`.
    Instance,
    /// `DescribeDBClusterParameters`.
    Cluster,
}

/// What is known of a parameter group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ParameterGroup {
    /// Those of [`PARAMETERS`] that its family has, as AWS describes them.
    Read(Vec<Value>),
    /// It could not be read, and why.
    Unreadable(String),
}

/// The parameter groups that instances and clusters use.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ParameterGroups {
    /// Region → kind and name.
    by_region: HashMap<String, HashMap<GroupKind, HashMap<String, ParameterGroup>>>,
}

impl ParameterGroups {
    /// Adds one; what was known of it before is replaced.
    pub fn insert(&mut self, region: &str, kind: GroupKind, name: &str, group: ParameterGroup) {
        self.by_region
            .entry(region.to_owned())
            .or_default()
            .entry(kind)
            .or_default()
            .insert(name.to_owned(), group);
    }

    /// One of them; `None` when nobody asked for it.
    #[must_use]
    pub fn get(&self, region: &str, kind: GroupKind, name: &str) -> Option<&ParameterGroup> {
        self.by_region.get(region)?.get(&kind)?.get(name)
    }

    /// All of them, in no order: region, kind, name, and what is known.
    pub fn iter(&self) -> impl Iterator<Item = (&str, GroupKind, &str, &ParameterGroup)> {
        self.by_region.iter().flat_map(|(region, kinds)| {
            kinds.iter().flat_map(move |(kind, groups)| {
                let groups = groups.iter();
                groups.map(move |(name, group)| (region.as_str(), *kind, name.as_str(), group))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn described(kind: ResourceKind, document: Value) -> Described {
        Described {
            kind,
            account: "111122223333".to_owned(),
            region: "eu-central-1".to_owned(),
            document,
        }
    }

    #[test]
    fn each_kind_is_asked_under_its_own_names() {
        let snapshot = described(
            ResourceKind::DbSnapshot,
            json!({"DBSnapshotIdentifier": "s", "DBInstanceIdentifier": "x", "Encrypted": false, "SnapshotType": "manual",
                   "DBSnapshotArn": "arn:aws:rds:eu-central-1:444455556666:snapshot:s"}),
        );
        let view = snapshot.view();
        assert_eq!(view.identifier(), "s");
        assert_eq!(view.source(), Some("x"));
        assert_eq!(view.encryption(), Encryption::None);
        assert!(view.is_of_another_account());
        assert_eq!(kind_of_arn(&view.arn()), Some(ResourceKind::DbSnapshot));

        let backup = described(
            ResourceKind::DbInstanceAutomatedBackup,
            json!({"DBInstanceAutomatedBackupsArn": "arn:aws:rds:eu-central-1:111122223333:auto-backup:ab-1", "Status": "retained",
                   "DBInstanceArn": "arn:aws:rds:us-east-1:111122223333:db:x", "Encrypted": true, "KmsKeyId": "k"}),
        );
        assert_eq!(backup.view().identifier(), "ab-1");
        assert_eq!(backup.view().encryption(), Encryption::SseKms);

        let export = described(
            ResourceKind::ExportTask,
            json!({"ExportTaskIdentifier": "e", "KmsKeyId": "k", "SourceArn": "arn:aws:rds:eu-central-1:111122223333:snapshot:s"}),
        );
        assert_eq!(
            export.view().arn(),
            "arn:aws:rds:eu-central-1:111122223333:export-task:e"
        );
        assert!(!export.view().is_of_another_account());
        assert_eq!(export.view().encryption(), Encryption::SseKms);

        let global = described(
            ResourceKind::GlobalCluster,
            json!({"GlobalClusterIdentifier": "g", "StorageEncrypted": true, "GlobalClusterMembers": [
                {"DBClusterArn": "arn:aws:rds:us-east-1:111122223333:cluster:reader", "IsWriter": false},
                {"DBClusterArn": "arn:aws:rds:eu-central-1:111122223333:cluster:writer", "IsWriter": true}]}),
        );
        assert_eq!(
            global.view().source(),
            Some("arn:aws:rds:eu-central-1:111122223333:cluster:writer")
        );
    }

    #[test]
    fn a_backup_without_an_arn_has_a_name_all_the_same() {
        let backup = described(
            ResourceKind::DbClusterAutomatedBackup,
            json!({"DbClusterResourceId": "cluster-ABC"}),
        );
        assert_eq!(
            backup.view().arn(),
            "arn:aws:rds:eu-central-1:111122223333:cluster-auto-backup:cluster-ABC"
        );
    }

    #[test]
    fn every_key_is_named_with_its_member() {
        let instance = described(
            ResourceKind::DbInstance,
            json!({"KmsKeyId": "a", "PerformanceInsightsKMSKeyId": "b", "ActivityStreamKmsKeyId": "", "MasterUserSecret": {"KmsKeyId": "c"}}),
        );
        let keys: Vec<_> = instance.view().kms_keys().collect();
        assert_eq!(
            keys,
            [
                ("KmsKeyId", "a"),
                ("PerformanceInsightsKMSKeyId", "b"),
                ("MasterUserSecret.KmsKeyId", "c")
            ]
        );
    }
}
