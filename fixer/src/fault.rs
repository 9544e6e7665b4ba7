//! What can go wrong in a step, and what follows from it: one table of codes, one of statuses.

use atrest_model::instance::DbInstance;
use atrest_scanner::error::{AwsError, AwsErrorKind};

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nothing was done; the same call may succeed later.
    RetryLater,
    /// Nothing was done; the resource has to reach another state first.
    WaitForState,
    /// What was done, or by whom, is not known: only looking can tell.
    ObserveAgain,
    /// Waiting does not help; a person can mend it, and the run goes on from there.
    NeedsOperator,
    /// This plan cannot be carried out for this instance; a new plan is needed.
    FatalForInstance,
}

impl Class {
    /// Whether the step goes on by itself, until its deadline.
    #[must_use]
    pub fn goes_on(self) -> bool {
        matches!(
            self,
            Self::RetryLater | Self::WaitForState | Self::ObserveAgain
        )
    }
}

use Class::{FatalForInstance, NeedsOperator, ObserveAgain, RetryLater, WaitForState};

/// Wire codes of RDS and of the services in front of it, without the suffix `Fault` that some carry.
///
/// A taken name is observed again: it may be ours, or a name whose release RDS has not finished. So is a missing
/// instance or snapshot: during a rename neither name is found. A used-up snapshot quota is waited for, because the
/// limit on copies in flight answers with the same code. Groups, keys and quotas of instances and storage do not come
/// back by waiting, and clients are away meanwhile.
const CODES: &[(&str, Class)] = &[
    ("Throttling", RetryLater),
    ("ThrottlingException", RetryLater),
    ("RequestLimitExceeded", RetryLater),
    ("SnapshotQuotaExceeded", RetryLater),
    ("InsufficientDBInstanceCapacity", RetryLater),
    ("InsufficientDBClusterCapacity", RetryLater),
    ("InsufficientStorageClusterCapacity", RetryLater),
    ("InvalidDBInstanceState", WaitForState),
    ("InvalidDBSnapshotState", WaitForState),
    ("InvalidDBClusterState", WaitForState),
    ("InvalidDBClusterSnapshotState", WaitForState),
    ("InvalidDBClusterEndpointState", WaitForState),
    ("InvalidDBProxyState", WaitForState),
    ("InvalidDBSecurityGroupState", WaitForState),
    ("InvalidDBInstanceAutomatedBackupState", WaitForState),
    ("InvalidBlueGreenDeploymentState", WaitForState),
    ("DBInstanceAlreadyExists", ObserveAgain),
    ("DBSnapshotAlreadyExists", ObserveAgain),
    ("DBClusterAlreadyExists", ObserveAgain),
    ("DBClusterSnapshotAlreadyExists", ObserveAgain),
    ("DBInstanceRoleAlreadyExists", ObserveAgain),
    ("DBProxyTargetAlreadyRegistered", ObserveAgain),
    ("DBProxyTargetNotFound", ObserveAgain),
    ("BlueGreenDeploymentAlreadyExists", ObserveAgain),
    ("DBInstanceNotFound", ObserveAgain),
    ("DBSnapshotNotFound", ObserveAgain),
    ("DBClusterNotFound", ObserveAgain),
    ("DBClusterSnapshotNotFound", ObserveAgain),
    ("BlueGreenDeploymentNotFound", ObserveAgain),
    ("InternalFailure", ObserveAgain),
    ("InternalError", ObserveAgain),
    ("ServiceUnavailable", ObserveAgain),
    ("AccessDenied", NeedsOperator),
    ("UnauthorizedOperation", NeedsOperator),
    ("OptInRequired", NeedsOperator),
    ("ExpiredToken", NeedsOperator),
    ("InvalidClientTokenId", NeedsOperator),
    ("SignatureDoesNotMatch", NeedsOperator),
    ("KMSKeyNotAccessible", NeedsOperator),
    ("InstanceQuotaExceeded", NeedsOperator),
    ("StorageQuotaExceeded", NeedsOperator),
    ("SharedSnapshotQuotaExceeded", NeedsOperator),
    ("TenantDatabaseQuotaExceeded", NeedsOperator),
    ("DBInstanceRoleQuotaExceeded", NeedsOperator),
    ("DBClusterRoleQuotaExceeded", NeedsOperator),
    ("DBClusterQuotaExceeded", NeedsOperator),
    ("DBInstanceAutomatedBackupQuotaExceeded", NeedsOperator),
    ("InvalidDBCapacityReservationState", NeedsOperator),
    ("InvalidDBSubnetGroup", NeedsOperator),
    ("InvalidSubnet", NeedsOperator),
    ("InvalidVPCNetworkState", NeedsOperator),
    ("DBSubnetGroupDoesNotCoverEnoughAZs", NeedsOperator),
    ("ProvisionedIopsNotAvailableInAZ", NeedsOperator),
    ("PointInTimeRestoreNotEnabled", NeedsOperator),
    ("DBUpgradeDependencyFailure", NeedsOperator),
    ("VpcEncryptionControlViolationException", NeedsOperator),
    ("DBParameterGroupNotFound", NeedsOperator),
    ("DBClusterParameterGroupNotFound", NeedsOperator),
    ("OptionGroupNotFound", NeedsOperator),
    ("DBSubnetGroupNotFound", NeedsOperator),
    ("DBSecurityGroupNotFound", NeedsOperator),
    ("AuthorizationNotFound", NeedsOperator),
    ("CertificateNotFound", NeedsOperator),
    ("DomainNotFound", NeedsOperator),
    ("BackupPolicyNotFound", NeedsOperator),
    ("DBInstanceAutomatedBackupNotFound", ObserveAgain),
    ("DBProxyNotFound", NeedsOperator),
    ("InsufficientAvailableIPsInSubnet", NeedsOperator),
    ("SourceNotFound", ObserveAgain),
    ("DBProxyTargetGroupNotFound", NeedsOperator),
    ("DBProxyEndpointNotFound", NeedsOperator),
    ("SubscriptionNotFound", NeedsOperator),
    ("ResourceNotFound", NeedsOperator),
    ("TenantDatabaseNotFound", NeedsOperator),
    ("DBCapacityReservationNotFound", NeedsOperator),
    ("CustomAvailabilityZoneNotFound", NeedsOperator),
    ("DBShardGroupNotFound", NeedsOperator),
    ("IntegrationNotFound", NeedsOperator),
    ("InvalidRestore", FatalForInstance),
    ("StorageTypeNotSupported", FatalForInstance),
    ("NetworkTypeNotSupported", FatalForInstance),
    ("DBSubnetGroupNotAllowed", FatalForInstance),
    ("SourceDatabaseNotSupported", FatalForInstance),
    ("SourceClusterNotSupported", FatalForInstance),
    ("InvalidParameterCombination", FatalForInstance),
    ("InvalidParameterValue", FatalForInstance),
    ("MissingParameter", FatalForInstance),
    ("ValidationError", FatalForInstance),
];

/// The class of a wire code that is in the table.
#[must_use]
pub fn class_of_code(code: &str) -> Option<Class> {
    let bare = code.strip_suffix("Fault").unwrap_or(code);
    let found = CODES.iter().find(|(known, _)| *known == bare);
    found.map(|(_, class)| *class)
}

/// Statuses of a DB instance in which waiting does not lead on. All others pass by themselves or end at the deadline;
/// `available` and `storage-optimization` are ready.
///
/// A stopped instance is started by a person, or by RDS after a week. What is being deleted is gone.
const STATUSES: &[(&str, Class)] = &[
    ("automation-paused", NeedsOperator),
    ("deleted", FatalForInstance),
    ("delete-precheck", FatalForInstance),
    ("deleting", FatalForInstance),
    ("failed", FatalForInstance),
    ("inaccessible-encryption-credentials", NeedsOperator),
    (
        "inaccessible-encryption-credentials-recoverable",
        NeedsOperator,
    ),
    ("incompatible-create", FatalForInstance),
    ("incompatible-credentials", NeedsOperator),
    ("incompatible-network", NeedsOperator),
    ("incompatible-option-group", NeedsOperator),
    ("incompatible-parameters", NeedsOperator),
    ("incompatible-restore", FatalForInstance),
    ("insufficient-capacity", NeedsOperator),
    ("modify-failed", NeedsOperator),
    ("restore-error", FatalForInstance),
    ("stopped", NeedsOperator),
    ("unsupported-configuration", NeedsOperator),
    ("upgrade-failed", NeedsOperator),
];

/// The class of a status: `None` when the instance is ready.
#[must_use]
pub fn class_of_status(status: &str) -> Option<Class> {
    if matches!(status, "available" | "storage-optimization") {
        return None;
    }
    let found = STATUSES.iter().find(|(known, _)| *known == status);
    Some(match found {
        Some((_, class)) => *class,
        None if status.starts_with("incompatible-") => NeedsOperator,
        None => WaitForState,
    })
}

/// Whether waiting does not lead on from the status of an instance.
pub(crate) fn has_ended(instance: &DbInstance) -> bool {
    class_of_status(instance.status()).is_some_and(|class| !class.goes_on())
}

/// A failed observation or act.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// AWS, or the way to it.
    #[error("{0}")]
    Aws(AwsError),
    /// A MySQL server, or the way to it.
    #[error("{message}")]
    Mysql {
        /// What failed, where, and the server's words; no secret.
        message: String,
        /// Whether waiting may mend it.
        transient: bool,
        /// What to do.
        hint: &'static str,
    },
    /// The plan asks for what this version cannot do.
    #[error("{0}")]
    Plan(String),
    /// The run folder.
    #[error("{0}")]
    Store(String),
}

impl Fault {
    /// What follows from it. A code that nobody has written down goes by its kind.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Aws(error) => class_of_error(error),
            Self::Mysql { transient, .. } if *transient => ObserveAgain,
            Self::Mysql { .. } | Self::Store(_) => NeedsOperator,
            Self::Plan(_) => FatalForInstance,
        }
    }

    /// Whether a mutation may have taken effect although this came back.
    pub(crate) fn outcome_unknown(&self) -> bool {
        match self {
            Self::Aws(error) => error.outcome_unknown(),
            Self::Mysql { transient, .. } => *transient,
            Self::Plan(_) | Self::Store(_) => false,
        }
    }

    /// Whether to observe again and go on rather than to stop. The deadline of the step ends it.
    pub(crate) fn is_transient(&self) -> bool {
        self.class().goes_on()
    }

    /// What a person can do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Aws(error) if self.class() == FatalForInstance => match error.kind {
                AwsErrorKind::InvalidRequest | AwsErrorKind::Refused => {
                    "the message above is AWS's own; change what it names on the instance, then make a new plan"
                }
                _ => error.hint(),
            },
            Self::Aws(error) => error.hint(),
            Self::Mysql { hint, .. } => hint,
            Self::Plan(_) => "make the plan again with this version of atrest",
            Self::Store(_) => "check the run folder and the disk",
        }
    }
}

fn class_of_error(error: &AwsError) -> Class {
    // What came back with a code that says nothing of the effect has to be looked for, whatever the table says.
    if error.outcome_unknown() {
        return ObserveAgain;
    }
    // Another call, or the one whose answer was lost, has set the values already.
    if error.message.contains("No modifications were requested") {
        return ObserveAgain;
    }
    let known = error.code.as_deref().and_then(class_of_code);
    known.unwrap_or(match error.kind {
        AwsErrorKind::Throttled | AwsErrorKind::Quota => RetryLater,
        AwsErrorKind::InvalidState => WaitForState,
        AwsErrorKind::NotFound
        | AwsErrorKind::AlreadyExists
        | AwsErrorKind::Service
        | AwsErrorKind::Unreachable
        | AwsErrorKind::Timeout
        | AwsErrorKind::BadAnswer => ObserveAgain,
        AwsErrorKind::AccessDenied
        | AwsErrorKind::Credentials
        | AwsErrorKind::RegionOff
        | AwsErrorKind::KmsKeyNotAccessible
        | AwsErrorKind::PlainHttp
        | AwsErrorKind::Refused => NeedsOperator,
        AwsErrorKind::InvalidRequest => FatalForInstance,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Every wire code that an operation of a migration may answer with, as the API's model and its common errors name
    /// them.
    const WIRE: &str = "DBInstanceAlreadyExists DBSnapshotAlreadyExists DBClusterAlreadyExistsFault \
        DBClusterSnapshotAlreadyExistsFault DBInstanceRoleAlreadyExists BlueGreenDeploymentAlreadyExistsFault \
        InvalidDBInstanceState InvalidDBSnapshotState InvalidDBClusterStateFault InvalidDBClusterSnapshotStateFault \
        InvalidDBClusterEndpointStateFault InvalidDBProxyStateFault InvalidDBSecurityGroupState \
        InvalidDBInstanceAutomatedBackupState InvalidBlueGreenDeploymentStateFault InvalidDBCapacityReservationState \
        InvalidDBSubnetGroupFault InvalidRestoreFault InvalidSubnet InvalidVPCNetworkStateFault SnapshotQuotaExceeded \
        SharedSnapshotQuotaExceeded InstanceQuotaExceeded StorageQuotaExceeded TenantDatabaseQuotaExceeded \
        DBInstanceRoleQuotaExceeded DBClusterRoleQuotaExceeded DBInstanceAutomatedBackupQuotaExceeded \
        InsufficientDBInstanceCapacity InsufficientStorageClusterCapacity KMSKeyNotAccessibleFault \
        StorageTypeNotSupported NetworkTypeNotSupported ProvisionedIopsNotAvailableInAZFault \
        DBSubnetGroupDoesNotCoverEnoughAZs DBSubnetGroupNotAllowedFault DBUpgradeDependencyFailure \
        PointInTimeRestoreNotEnabled SourceDatabaseNotSupportedFault SourceClusterNotSupportedFault \
        VpcEncryptionControlViolationException DBClusterQuotaExceededFault InsufficientDBClusterCapacityFault \
        DBInstanceNotFound DBSnapshotNotFound DBClusterNotFoundFault DBClusterSnapshotNotFoundFault \
        DBParameterGroupNotFound DBClusterParameterGroupNotFound OptionGroupNotFoundFault DBSubnetGroupNotFoundFault \
        DBSecurityGroupNotFound AuthorizationNotFound CertificateNotFound DomainNotFoundFault \
        BackupPolicyNotFoundFault DBInstanceAutomatedBackupNotFound DBProxyNotFoundFault DBProxyTargetNotFoundFault \
        DBProxyTargetGroupNotFoundFault DBProxyEndpointNotFoundFault SubscriptionNotFound ResourceNotFoundFault \
        BlueGreenDeploymentNotFoundFault TenantDatabaseNotFound DBCapacityReservationNotFound \
        CustomAvailabilityZoneNotFound DBShardGroupNotFound IntegrationNotFoundFault InvalidParameterCombination \
        InvalidParameterValue MissingParameter ValidationError Throttling AccessDenied UnauthorizedOperation \
        InternalFailure ServiceUnavailable ExpiredToken InvalidClientTokenId SignatureDoesNotMatch OptInRequired";

    /// Every status of a DB instance.
    const ALL_STATUSES: &str = "available backing-up configuring-activity-stream configuring-associated-roles \
        configuring-enhanced-monitoring configuring-iam-database-auth configuring-log-exports converting-to-vpc creating \
        delete-precheck deleting deleted failed backtracking inaccessible-encryption-credentials \
        inaccessible-encryption-credentials-recoverable incompatible-create incompatible-credentials \
        incompatible-network incompatible-option-group incompatible-parameters incompatible-restore \
        insufficient-capacity maintenance modifying moving-to-vpc rebooting resetting-master-credentials renaming \
        restore-error starting stopped stopping storage-config-upgrade storage-full storage-initialization \
        storage-optimization upgrading upgrade-failed validating-configuration unsupported-configuration \
        automation-paused modify-failed";

    #[test]
    fn every_wire_code_has_one_class() {
        for code in WIRE.split_whitespace() {
            assert!(class_of_code(code).is_some(), "{code}");
        }
        for (number, (code, _)) in CODES.iter().enumerate() {
            assert!(!code.ends_with("Fault"), "{code}");
            let again = CODES
                .iter()
                .skip(number + 1)
                .any(|(other, _)| other == code);
            assert!(!again, "{code} twice");
        }
    }

    #[test]
    fn every_status_has_a_class_and_failed_ones_are_not_waited_for() {
        for status in ALL_STATUSES.split_whitespace() {
            let instance = DbInstance {
                region: "eu-central-1".to_owned(),
                document: json!({"DBInstanceStatus": status}),
            };
            let class = class_of_status(status);
            assert_eq!(class.is_none(), instance.is_ready(), "{status}");
            if instance.has_failed() {
                assert!(!class.unwrap().goes_on(), "{status}");
            }
        }
        for (status, _) in STATUSES {
            assert!(
                ALL_STATUSES.split_whitespace().any(|s| s == *status),
                "{status}"
            );
        }
        assert_eq!(class_of_status("storage-full"), Some(WaitForState));
        assert_eq!(class_of_status("never-heard-of"), Some(WaitForState));
    }

    fn fault(kind: AwsErrorKind, code: Option<&str>, message: &str) -> Fault {
        Fault::Aws(AwsError {
            operation: "ModifyDBInstance",
            region: "eu-central-1".to_owned(),
            kind,
            code: code.map(str::to_owned),
            message: message.to_owned(),
        })
    }

    #[test]
    fn what_may_have_taken_effect_is_always_looked_for() {
        for kind in [
            AwsErrorKind::Service,
            AwsErrorKind::Unreachable,
            AwsErrorKind::Timeout,
            AwsErrorKind::BadAnswer,
        ] {
            let fault = fault(kind, Some("InvalidParameterValue"), "HTTP 500");
            assert!(fault.outcome_unknown());
            assert_eq!(fault.class(), ObserveAgain, "{kind:?}");
        }
    }

    #[test]
    fn a_missing_group_stops_and_a_missing_instance_is_looked_for() {
        let missing = |code| fault(AwsErrorKind::NotFound, Some(code), "none").class();
        assert_eq!(missing("DBInstanceNotFound"), ObserveAgain);
        assert_eq!(missing("DBParameterGroupNotFound"), NeedsOperator);
        let quota = |code| fault(AwsErrorKind::Quota, Some(code), "no").class();
        assert_eq!(quota("SnapshotQuotaExceeded"), RetryLater);
        assert_eq!(quota("InstanceQuotaExceeded"), NeedsOperator);
    }

    #[test]
    fn values_that_are_there_already_are_no_error() {
        let code = Some("InvalidParameterCombination");
        let nothing = fault(
            AwsErrorKind::InvalidRequest,
            code,
            "No modifications were requested",
        );
        assert_eq!(nothing.class(), ObserveAgain);
        let refused = fault(AwsErrorKind::InvalidRequest, code, "gp3 takes no Iops");
        assert_eq!(refused.class(), FatalForInstance);
        assert!(refused.hint().contains("new plan"));
    }
}
