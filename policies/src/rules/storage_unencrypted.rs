//! `storage-unencrypted`: storage that is not encrypted at rest.

use atrest_model::finding::Severity;
use atrest_model::resource::DescribedRef;
use atrest_model::scan::ResourceKind;

use super::unencrypted;
use crate::policy::{Context, Controls, Fix, Needs, Policy, PolicyMeta, Subject, Verdict};

/// Flags DB instances, clusters and global clusters whose storage is not encrypted at rest.
#[derive(Debug)]
pub(crate) struct StorageUnencrypted;

static META: PolicyMeta = PolicyMeta {
    id: crate::STORAGE_UNENCRYPTED,
    title: "storage is not encrypted at rest",
    severity: Severity::High,
    since: "0.1.0",
    fix: Fix::Planned,
    needs: Needs::Nothing,
    controls: &[
        Controls {
            subject: Subject::DbInstance,
            ids: &[
                ("security-hub", "RDS.3"),
                ("aws-config", "rds-storage-encrypted"),
                // CIS speaks of RDS instances only; v1.2 and v1.3 have no such control.
                ("cis-aws-1.4", "2.3.1"),
                ("cis-aws-1.5", "2.3.1"),
                ("cis-aws-2.0", "2.3.1"),
                ("cis-aws-3.0", "2.3.1"),
                ("cis-aws-4.0", "2.2.1"),
                ("cis-aws-5.0", "2.2.1"),
                ("cis-aws-6.0", "3.2.1"),
                ("cis-aws-7.0", "3.2.1"),
                ("security-hub/nist-800-53-r5", "CA-9(1)"),
                ("security-hub/nist-800-53-r5", "CM-3(6)"),
                ("security-hub/nist-800-53-r5", "SC-13"),
                ("security-hub/nist-800-53-r5", "SC-28"),
                ("security-hub/nist-800-53-r5", "SC-28(1)"),
                ("security-hub/nist-800-53-r5", "SC-7(10)"),
                ("security-hub/nist-800-53-r5", "SI-7(6)"),
                ("prowler", "rds_instance_storage_encrypted"),
                ("prowler/pci-dss-4.0", "3.5.1"),
                ("prowler/hipaa", "164.308(a)(1)(ii)(B)"),
                ("prowler/hipaa", "164.308(a)(4)(ii)(A)"),
                ("prowler/hipaa", "164.312(a)(2)(iv)"),
                ("prowler/hipaa", "164.312(e)(2)(ii)"),
                ("prowler/soc2", "PI1.5"),
                ("prowler/iso27001-2022", "A.8.24"),
                ("powerpipe", "rds_db_instance_encryption_at_rest_enabled"),
                ("powerpipe/soc2", "CC6.1"),
            ],
        },
        Controls {
            subject: Subject::DbCluster,
            ids: &[
                ("security-hub", "RDS.27"),
                ("aws-config", "rds-cluster-encrypted-at-rest"),
                ("security-hub/nist-800-53-r5", "CA-9(1)"),
                ("security-hub/nist-800-53-r5", "CM-3(6)"),
                ("security-hub/nist-800-53-r5", "SC-13"),
                ("security-hub/nist-800-53-r5", "SC-28"),
                ("security-hub/nist-800-53-r5", "SC-28(1)"),
                ("security-hub/nist-800-53-r5", "SC-7(10)"),
                ("security-hub/nist-800-53-r5", "SI-7(6)"),
                ("prowler", "rds_cluster_storage_encrypted"),
                ("prowler/pci-dss-4.0", "3.5.1"),
                ("powerpipe", "rds_db_cluster_encryption_at_rest_enabled"),
            ],
        },
        Controls {
            subject: Subject::NeptuneCluster,
            ids: &[
                ("security-hub", "Neptune.1"),
                ("aws-config", "neptune-cluster-encrypted"),
                ("prowler", "neptune_cluster_storage_encrypted"),
            ],
        },
        Controls {
            subject: Subject::DocDbCluster,
            ids: &[
                ("security-hub", "DocumentDB.1"),
                ("aws-config", "docdb-cluster-encrypted"),
                ("security-hub/nist-800-53-r5", "CA-9(1)"),
                ("security-hub/nist-800-53-r5", "CM-3(6)"),
                ("security-hub/nist-800-53-r5", "SC-13"),
                ("security-hub/nist-800-53-r5", "SC-28"),
                ("security-hub/nist-800-53-r5", "SC-28(1)"),
                ("security-hub/nist-800-53-r5", "SC-7(10)"),
                ("security-hub/nist-800-53-r5", "SI-7(6)"),
                ("prowler", "documentdb_cluster_storage_encrypted"),
            ],
        },
        Controls::none(Subject::GlobalCluster),
    ],
};

impl Policy for StorageUnencrypted {
    fn meta(&self) -> &'static PolicyMeta {
        &META
    }

    fn judge(&self, resource: DescribedRef<'_>, context: &Context<'_>) -> Verdict {
        if resource.is_cluster_member() {
            let cluster = resource.text("DBClusterIdentifier").unwrap_or_default();
            return match context.fleet.cluster(resource.region, cluster) {
                // The storage of a member is its cluster's, which is judged on its own.
                Some(_) => Verdict::Pass,
                None => Verdict::NotEvaluated(format!(
                    "its storage is that of cluster {cluster}, which was not read"
                )),
            };
        }
        let meaning = match resource.kind {
            ResourceKind::GlobalCluster => "its clusters are not encrypted at rest in any region",
            _ => "storage and backups are not encrypted at rest",
        };
        match unencrypted(resource) {
            None => Verdict::Pass,
            Some(Ok(seen)) => Verdict::Fail(format!("{seen}: {meaning}")),
            Some(Err(why)) => Verdict::NotEvaluated(why),
        }
    }
}
