//! DB clusters: how they come, change and go.

mod around;
mod copies;
mod create;
mod lifecycle;
mod modify;

use crate::client::Answer;
use crate::{Bench, NO_LAG};

const AURORA: [(&str, &str); 4] = [
    ("DBClusterIdentifier", "Shop"),
    ("Engine", "aurora-mysql"),
    ("MasterUsername", "admin"),
    ("MasterUserPassword", "geheim-geheim"),
];

const MULTI_AZ: [(&str, &str); 7] = [
    ("DBClusterIdentifier", "three"),
    ("Engine", "mysql"),
    ("MasterUsername", "admin"),
    ("MasterUserPassword", "geheim-geheim"),
    ("DBClusterInstanceClass", "db.m6g.large"),
    ("AllocatedStorage", "100"),
    ("Iops", "1000"),
];

/// Clusters as they were before February 2026: not encrypted at all, and under a key.
const OLD: &str = r#"
[[clusters]]
id = "old"
engine = "aurora-mysql"
engine_version = "8.0.mysql_aurora.3.08.0"

[[clusters]]
id = "keyed"
engine = "aurora-mysql"
engine_version = "8.0.mysql_aurora.3.08.0"
kms_key = "alias/mine"

[[instances]]
id = "old-1"
cluster = "old"
cluster_writer = true
class = "db.r6g.large"

[[instances]]
id = "old-2"
cluster = "old"
class = "db.r6g.large"
promotion_tier = 3

[[instances]]
id = "old-3"
cluster = "old"
class = "db.r6g.large"
promotion_tier = 2

[[snapshots]]
id = "old-snapshot"
cluster = "old"
snapshot_type = "manual"

[[snapshots]]
id = "keyed-snapshot"
cluster = "keyed"
snapshot_type = "manual"
"#;

async fn old() -> Bench {
    Bench::with(&format!("{OLD}{NO_LAG}")).await
}

fn plus<'a>(base: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut params: Vec<(&str, &str)> = base
        .iter()
        .filter(|(name, _)| !more.iter().any(|(other, _)| other == name))
        .copied()
        .collect();
    params.extend_from_slice(more);
    params
}

impl Bench {
    async fn cluster(&self, id: &str) -> Option<Answer> {
        let answer = self
            .call("DescribeDBClusters", &[("DBClusterIdentifier", id)])
            .await;
        match answer.code().as_str() {
            "" => Some(answer),
            "DBClusterNotFoundFault" => {
                assert_eq!(answer.status, 404);
                None
            }
            other => panic!("{other}"),
        }
    }

    async fn cluster_status(&self, id: &str) -> String {
        // The cluster's own status is the first element of this name that is not a role's or a group's.
        self.cluster(id)
            .await
            .and_then(|answer| answer.text("Status"))
            .unwrap_or_else(|| "-".to_owned())
    }

    async fn until_cluster(&self, id: &str, status: &str) -> Vec<String> {
        let mut seen: Vec<String> = Vec::new();
        for _ in 0..2_000 {
            let now = self.cluster_status(id).await;
            if seen.last() != Some(&now) {
                seen.push(now.clone());
            }
            if now == status {
                return seen;
            }
            self.pass(2).await;
        }
        panic!("{id} is never {status}: {seen:?}");
    }

    async fn until_cluster_snapshot(&self, id: &str) -> Answer {
        for _ in 0..1_000 {
            let answer = self
                .ok(
                    "DescribeDBClusterSnapshots",
                    &[("DBClusterSnapshotIdentifier", id)],
                )
                .await;
            if answer.text("Status").as_deref() == Some("available") {
                return answer;
            }
            self.pass(2).await;
        }
        panic!("{id} is never available");
    }

    async fn member(&self, cluster: &str, id: &str) {
        self.ok(
            "CreateDBInstance",
            &[
                ("DBInstanceIdentifier", id),
                ("DBClusterIdentifier", cluster),
                ("DBInstanceClass", "db.r6g.large"),
                ("Engine", "aurora-mysql"),
            ],
        )
        .await;
        self.until(id, "available").await;
    }

    /// Members of a cluster with whether they are its writer.
    async fn members(&self, cluster: &str) -> Vec<(String, bool)> {
        self.cluster(cluster)
            .await
            .expect("there")
            .all("DBClusterMember")
            .iter()
            .map(|member| {
                let id = member
                    .split("<DBInstanceIdentifier>")
                    .nth(1)
                    .and_then(|rest| rest.split('<').next())
                    .expect("a name");
                (
                    id.to_owned(),
                    member.contains("<IsClusterWriter>true</IsClusterWriter>"),
                )
            })
            .collect()
    }
}

/// Encrypted, how and by what.
fn encryption(answer: &Answer) -> (String, String, bool) {
    (
        answer.text("StorageEncrypted").expect("always there"),
        answer.text("StorageEncryptionType").expect("always there"),
        answer.has("KmsKeyId"),
    )
}

fn is(encrypted: &str, kind: &str, key: bool) -> (String, String, bool) {
    (encrypted.to_owned(), kind.to_owned(), key)
}
