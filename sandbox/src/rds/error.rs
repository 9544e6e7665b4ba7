//! Errors as they go over the wire. The `Fault` suffix is irregular there: the instance and snapshot family
//! mostly lacks it, the cluster, proxy, subnet and option family mostly has it; the code decides the status.

use std::fmt::Display;

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

/// Codes whose HTTP status is 404.
const NOT_FOUND: &[&str] = &[
    "DBInstanceNotFound",
    "DBInstanceAutomatedBackupNotFound",
    "DBSnapshotNotFound",
    "DBClusterNotFoundFault",
    "DBClusterSnapshotNotFoundFault",
    "DBClusterAutomatedBackupNotFoundFault",
    "DBClusterParameterGroupNotFound",
    "DBClusterRoleNotFound",
    "DBInstanceRoleNotFound",
    "GlobalClusterNotFoundFault",
    "DBParameterGroupNotFound",
    "OptionGroupNotFoundFault",
    "DBSubnetGroupNotFoundFault",
    "CertificateNotFound",
    "DBProxyNotFoundFault",
    "DBProxyTargetGroupNotFoundFault",
    "SubscriptionNotFound",
    "ResourceNotFoundFault",
    "BlueGreenDeploymentNotFoundFault",
    "DBProxyTargetNotFoundFault",
    "ExportTaskNotFound",
    "SNSTopicArnNotFound",
    "SourceNotFound",
    "SubscriptionCategoryNotFound",
];

impl ApiError {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        let status = match code {
            code if NOT_FOUND.contains(&code) => 404,
            "InvalidClientTokenId"
            | "SignatureDoesNotMatch"
            | "AccessDenied"
            | "ExpiredToken"
            | "MissingAuthenticationToken"
            | "DBClusterQuotaExceededFault"
            | "InsufficientDBClusterCapacityFault" => 403,
            "InternalFailure" => 500,
            "ServiceUnavailable" => 503,
            _ => 400,
        };
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
        }
    }

    pub(crate) fn malformed(name: &str, value: &str, wanted: &str) -> Self {
        Self::value(format!(
            "Invalid value '{value}' for {name}: must be of type {wanted}"
        ))
    }

    pub(crate) fn value(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterValue", message)
    }

    pub(crate) fn combination(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterCombination", message)
    }

    pub(crate) fn no_instance(id: impl Display) -> Self {
        Self::new("DBInstanceNotFound", format!("DBInstance {id} not found."))
    }

    pub(crate) fn no_snapshot(id: impl Display) -> Self {
        Self::new("DBSnapshotNotFound", format!("DBSnapshot {id} not found."))
    }

    pub(crate) fn no_cluster(id: impl Display) -> Self {
        Self::new(
            "DBClusterNotFoundFault",
            format!("DBCluster {id} not found."),
        )
    }

    pub(crate) fn no_parameter_group(name: impl Display) -> Self {
        Self::new(
            "DBParameterGroupNotFound",
            format!("DBParameterGroup not found: {name}"),
        )
    }

    pub(crate) fn no_option_group(name: impl Display) -> Self {
        Self::new(
            "OptionGroupNotFoundFault",
            format!("Specified OptionGroupName: {name} not found."),
        )
    }

    pub(crate) fn no_subnet_group(name: impl Display) -> Self {
        Self::new(
            "DBSubnetGroupNotFoundFault",
            format!("DB subnet group '{name}' does not exist."),
        )
    }

    pub(crate) fn instance_state(message: impl Into<String>) -> Self {
        Self::new("InvalidDBInstanceState", message)
    }

    pub(crate) fn cluster_state(message: impl Into<String>) -> Self {
        Self::new("InvalidDBClusterStateFault", message)
    }

    pub(crate) fn no_cluster_snapshot(id: impl Display) -> Self {
        Self::new(
            "DBClusterSnapshotNotFoundFault",
            format!("DBClusterSnapshot {id} not found."),
        )
    }

    pub(crate) fn key(key: impl Display) -> Self {
        Self::new(
            "KMSKeyNotAccessibleFault",
            format!(
                "The specified KMS key [{key}] does not exist, is not enabled or you do not have permissions to access it."
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_decides_the_status() {
        assert_eq!(ApiError::no_instance("x").status, 404);
        assert_eq!(
            ApiError::new("DBSubnetGroupNotAllowedFault", "").status,
            400
        );
        assert_eq!(ApiError::new("InvalidClientTokenId", "").status, 403);
    }
}
