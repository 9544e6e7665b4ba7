//! `snapshot-unencrypted`: snapshots that are not encrypted.

use atrest_model::finding::Severity;
use atrest_model::resource::DescribedRef;

use super::unencrypted;
use crate::policy::{Context, Controls, Fix, Needs, Policy, PolicyMeta, Subject, Verdict};

/// Flags snapshots of DB instances and clusters that are not encrypted, whoever made them.
#[derive(Debug)]
pub(crate) struct SnapshotUnencrypted;

static META: PolicyMeta = PolicyMeta {
    id: "snapshot-unencrypted",
    title: "a snapshot is not encrypted",
    severity: Severity::Medium,
    since: "0.1.0",
    fix: Fix::Manual,
    needs: Needs::Nothing,
    controls: &[
        Controls {
            subject: Subject::DbSnapshot,
            ids: &[
                ("security-hub", "RDS.4"),
                ("aws-config", "rds-snapshot-encrypted"),
                ("security-hub/nist-800-53-r5", "CA-9(1)"),
                ("security-hub/nist-800-53-r5", "CM-3(6)"),
                ("security-hub/nist-800-53-r5", "SC-13"),
                ("security-hub/nist-800-53-r5", "SC-28"),
                ("security-hub/nist-800-53-r5", "SC-28(1)"),
                ("security-hub/nist-800-53-r5", "SC-7(10)"),
                ("security-hub/nist-800-53-r5", "SI-7(6)"),
                ("prowler", "rds_snapshots_encrypted"),
                ("prowler/pci-dss-4.0", "3.5.1"),
                ("powerpipe", "rds_db_snapshot_encrypted_at_rest"),
            ],
        },
        Controls {
            subject: Subject::NeptuneClusterSnapshot,
            ids: &[
                ("security-hub", "Neptune.6"),
                ("aws-config", "neptune-cluster-snapshot-encrypted"),
                // Not the set of RDS.4: SC-7(18) stands where that has SI-7(6).
                ("security-hub/nist-800-53-r5", "CA-9(1)"),
                ("security-hub/nist-800-53-r5", "CM-3(6)"),
                ("security-hub/nist-800-53-r5", "SC-13"),
                ("security-hub/nist-800-53-r5", "SC-28"),
                ("security-hub/nist-800-53-r5", "SC-28(1)"),
                ("security-hub/nist-800-53-r5", "SC-7(10)"),
                ("security-hub/nist-800-53-r5", "SC-7(18)"),
                ("prowler", "neptune_cluster_snapshot_encrypted"),
            ],
        },
        Controls {
            subject: Subject::DbClusterSnapshot,
            ids: &[
                ("security-hub", "RDS.4"),
                ("aws-config", "rds-snapshot-encrypted"),
                ("security-hub/nist-800-53-r5", "CA-9(1)"),
                ("security-hub/nist-800-53-r5", "CM-3(6)"),
                ("security-hub/nist-800-53-r5", "SC-13"),
                ("security-hub/nist-800-53-r5", "SC-28"),
                ("security-hub/nist-800-53-r5", "SC-28(1)"),
                ("security-hub/nist-800-53-r5", "SC-7(10)"),
                ("security-hub/nist-800-53-r5", "SI-7(6)"),
                ("prowler", "rds_snapshots_encrypted"),
                ("prowler/pci-dss-4.0", "3.5.1"),
            ],
        },
    ],
};

impl Policy for SnapshotUnencrypted {
    fn meta(&self) -> &'static PolicyMeta {
        &META
    }

    fn judge(&self, resource: DescribedRef<'_>, _context: &Context<'_>) -> Verdict {
        let seen = match unencrypted(resource) {
            None => return Verdict::Pass,
            Some(Err(why)) => return Verdict::NotEvaluated(why),
            Some(Ok(seen)) => seen,
        };
        let of = resource.source().unwrap_or("an unknown source");
        let end = match (resource.is_of_another_account(), resource.snapshot_type()) {
            (true, _) => "it was shared by another account, whose it is to mend".to_owned(),
            (false, Some("automated")) => "it goes when its retention ends".to_owned(),
            (false, Some("awsbackup")) => "AWS Backup made it and keeps it".to_owned(),
            (false, Some("manual")) => "it stays until somebody deletes it".to_owned(),
            (false, kind) => format!("its type is {}", kind.unwrap_or("not told")),
        };
        Verdict::Fail(format!(
            "{seen}: this snapshot of {of} is readable as it lies; {end}"
        ))
    }
}
