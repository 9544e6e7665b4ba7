//! The one list of policies.

use crate::policy::Policy;
use crate::rules;

/// Every built-in policy, sorted by id.
#[must_use]
pub fn registry() -> &'static [&'static dyn Policy] {
    &[
        &rules::automated_backup_unencrypted::AutomatedBackupUnencrypted,
        &rules::key_not_customer_managed::KeyNotCustomerManaged,
        &rules::key_not_expected::KeyNotExpected,
        &rules::key_unusable::KeyUnusable,
        &rules::performance_insights_key::PerformanceInsightsKey,
        &rules::replica_encryption_mismatch::ReplicaEncryptionMismatch,
        &rules::snapshot_unencrypted::SnapshotUnencrypted,
        &rules::storage_unencrypted::StorageUnencrypted,
        &rules::transport_not_enforced::TransportNotEnforced,
    ]
}
