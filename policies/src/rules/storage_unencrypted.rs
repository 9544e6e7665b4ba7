//! `storage-unencrypted`: storage that is not encrypted at rest.

use atrest_model::document::str_of;
use atrest_model::finding::{Finding, FindingStatus, Severity};
use atrest_model::instance::{DbCluster, DbInstance, Encryption};
use serde_json::Value;

use crate::policy::{Policy, PolicyMeta};

/// Flags DB instances and clusters whose storage is not encrypted at rest.
#[derive(Debug)]
pub(crate) struct StorageUnencrypted;

static META: PolicyMeta = PolicyMeta {
    id: "storage-unencrypted",
    title: "storage is not encrypted at rest",
    severity: Severity::High,
};

/// Controls on DB instances. Publishers disagree, so each id names its source.
const INSTANCE: &[(&str, &str)] = &[
    ("security-hub", "RDS.3"),
    ("aws-config", "rds-storage-encrypted"),
    ("cis-aws-1.4", "2.3.1"),
    ("cis-aws-1.5", "2.3.1"),
    ("cis-aws-2.0", "2.3.1"),
    ("cis-aws-3.0", "2.3.1"),
    ("cis-aws-4.0", "2.2.1"),
    ("cis-aws-5.0", "2.2.1"),
    ("cis-aws-6.0", "3.2.1"),
    ("cis-aws-7.0", "3.2.1"),
    ("nist-800-53-r5 (security-hub)", "SC-28(1)"),
    ("pci-dss-4.0 (prowler)", "3.5.1"),
    ("hipaa (prowler, powerpipe)", "164.312(a)(2)(iv)"),
    ("soc-2 (powerpipe)", "CC6.1"),
    ("iso-27001-2022", "A.8.24"),
];

/// Controls on clusters of RDS proper.
const CLUSTER: &[(&str, &str)] = &[
    ("security-hub", "RDS.27"),
    ("aws-config", "rds-cluster-encrypted-at-rest"),
    ("nist-800-53-r5 (security-hub)", "SC-28(1)"),
    ("pci-dss-4.0 (prowler)", "3.5.1"),
    ("iso-27001-2022", "A.8.24"),
];

/// Neptune and DocumentDB answer from the same API and have controls of their own.
const NEPTUNE: &[(&str, &str)] = &[
    ("security-hub", "Neptune.1"),
    ("aws-config", "neptune-cluster-encrypted"),
];
const DOCDB: &[(&str, &str)] = &[
    ("security-hub", "DocumentDB.1"),
    ("aws-config", "docdb-cluster-encrypted"),
];

impl Policy for StorageUnencrypted {
    fn meta(&self) -> &'static PolicyMeta {
        &META
    }

    fn instance(&self, instance: &DbInstance) -> Option<Finding> {
        judge(
            instance.arn(),
            instance.encryption(),
            &instance.document,
            INSTANCE,
        )
    }

    fn cluster(&self, cluster: &DbCluster) -> Option<Finding> {
        let controls = match cluster.engine() {
            "neptune" => NEPTUNE,
            "docdb" => DOCDB,
            _ => CLUSTER,
        };
        judge(
            cluster.arn(),
            cluster.encryption(),
            &cluster.document,
            controls,
        )
    }
}

fn judge(
    arn: &str,
    encryption: Encryption,
    document: &Value,
    controls: &[(&str, &str)],
) -> Option<Finding> {
    let (status, reason) = match encryption {
        Encryption::SseRds | Encryption::SseKms => return None,
        Encryption::None => (
            FindingStatus::Fail,
            "its storage is not encrypted at rest".to_owned(),
        ),
        Encryption::Unknown => {
            let reason = match str_of(document, "StorageEncryptionType") {
                Some(value) => {
                    format!("StorageEncryptionType is {value:?}, which this version does not know")
                }
                None => {
                    "the answer holds neither StorageEncryptionType nor StorageEncrypted".to_owned()
                }
            };
            (FindingStatus::NotEvaluated, reason)
        }
    };
    Some(META.finding(arn, status, reason, controls))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn instance(document: Value) -> DbInstance {
        DbInstance {
            region: "eu-central-1".to_owned(),
            document,
        }
    }

    #[test]
    fn an_unencrypted_instance_is_flagged_with_controls_by_publisher() {
        let finding = StorageUnencrypted
            .instance(&instance(
                json!({"DBInstanceArn": "arn:x", "StorageEncrypted": false}),
            ))
            .unwrap();
        assert_eq!(
            (finding.status, finding.resource.as_str()),
            (FindingStatus::Fail, "arn:x")
        );
        assert!(
            finding
                .controls
                .iter()
                .any(|c| c.publisher == "security-hub" && c.id == "RDS.3")
        );
    }

    #[test]
    fn an_encrypted_instance_passes() {
        assert_eq!(
            StorageUnencrypted.instance(&instance(json!({"StorageEncrypted": true}))),
            None
        );
    }

    #[test]
    fn what_cannot_be_read_is_not_evaluated_and_never_a_pass() {
        for document in [
            json!({}),
            json!({"StorageEncryptionType": "sse-future", "StorageEncrypted": true}),
        ] {
            let finding = StorageUnencrypted.instance(&instance(document)).unwrap();
            assert_eq!(finding.status, FindingStatus::NotEvaluated);
        }
    }

    #[test]
    fn clusters_of_other_services_have_their_own_controls() {
        for (engine, id) in [
            ("neptune", "Neptune.1"),
            ("docdb", "DocumentDB.1"),
            ("aurora-mysql", "RDS.27"),
        ] {
            let cluster = DbCluster {
                region: String::new(),
                document: json!({"Engine": engine, "StorageEncrypted": false}),
            };
            let finding = StorageUnencrypted.cluster(&cluster).unwrap();
            assert!(finding.controls.iter().any(|c| c.id == id), "{engine}");
        }
    }

    #[test]
    fn a_cluster_under_an_aws_owned_key_passes() {
        let document = json!({"Engine": "aurora-mysql", "StorageEncryptionType": "sse-rds", "StorageEncrypted": false});
        assert_eq!(
            StorageUnencrypted.cluster(&DbCluster {
                region: String::new(),
                document
            }),
            None
        );
    }
}
