//! The table of DB cluster members: [`ATTRIBUTES`](super::ATTRIBUTES) for `DBCluster`.
//!
//! It lists every member of `DBCluster` in the RDS service model (API version 2014-10-31, as of SDK 1.159). A member
//! that is not here is drift.

use super::AttributeClass::{Carried, Identity, Intended, Pending, Volatile};
use super::{Attribute, Remedy, row};

/// Looks a member up; `None` for one that nobody classified.
#[must_use]
pub fn cluster_attribute(name: &str) -> Option<&'static Attribute> {
    let found = CLUSTER_ATTRIBUTES
        .binary_search_by(|row| row.name.cmp(name))
        .ok()?;
    CLUSTER_ATTRIBUTES.get(found)
}

/// Every member, sorted by name.
pub const CLUSTER_ATTRIBUTES: &[Attribute] = &[
    row(
        "ActivityStreamKinesisStreamName",
        Identity,
        Remedy::None,
        "the stream is named after the resource id",
    ),
    row(
        "ActivityStreamKmsKeyId",
        Carried,
        Remedy::OtherApi("aws rds start-activity-stream"),
        "",
    ),
    row(
        "ActivityStreamMode",
        Carried,
        Remedy::OtherApi("aws rds start-activity-stream"),
        "",
    ),
    row(
        "ActivityStreamStatus",
        Carried,
        Remedy::OtherApi("aws rds start-activity-stream"),
        "",
    ),
    row(
        "AllocatedStorage",
        Volatile,
        Remedy::None,
        "the volume of an Aurora cluster grows by itself; of a Multi-AZ DB cluster the members show it, too",
    ),
    row(
        "AssociatedRoles",
        Carried,
        Remedy::OtherApi("aws rds add-role-to-db-cluster"),
        "",
    ),
    row("AutoMinorVersionUpgrade", Carried, Remedy::Modify, ""),
    row(
        "AutomaticRestartTime",
        Volatile,
        Remedy::None,
        "changes by itself",
    ),
    row(
        "AvailabilityZones",
        Volatile,
        Remedy::None,
        "RDS chooses three zones for the volume",
    ),
    row(
        "AwsBackupRecoveryPointArn",
        Identity,
        Remedy::None,
        "a recovery point belongs to the cluster AWS Backup made it from",
    ),
    row(
        "BacktrackConsumedChangeRecords",
        Volatile,
        Remedy::None,
        "changes by itself",
    ),
    row("BacktrackWindow", Carried, Remedy::Modify, ""),
    row("BackupRetentionPeriod", Carried, Remedy::Modify, ""),
    row("Capacity", Volatile, Remedy::None, "changes by itself"),
    row(
        "CertificateDetails",
        Volatile,
        Remedy::None,
        "the validity of the server certificate begins with the cluster",
    ),
    row(
        "CharacterSetName",
        Carried,
        Remedy::Fixed,
        "set at creation and kept in the data",
    ),
    row(
        "CloneGroupId",
        Identity,
        Remedy::None,
        "a restored volume shares no pages with the clones of the old one",
    ),
    row(
        "ClusterCreateTime",
        Volatile,
        Remedy::None,
        "changes by itself",
    ),
    row(
        "ClusterScalabilityType",
        Carried,
        Remedy::Fixed,
        "set at creation and kept in the data",
    ),
    row("CopyTagsToSnapshot", Carried, Remedy::Modify, ""),
    row(
        "CrossAccountClone",
        Volatile,
        Remedy::None,
        "whether another account may clone the cluster is a matter of sharing, not of the cluster",
    ),
    row(
        "CustomEndpoints",
        Carried,
        Remedy::OtherApi("aws rds create-db-cluster-endpoint"),
        "",
    ),
    row(
        "DBClusterArn",
        Identity,
        Remedy::None,
        "names follow the migration; compared after mapping old and new names to the real one",
    ),
    row(
        "DBClusterIdentifier",
        Identity,
        Remedy::None,
        "names follow the migration; compared after mapping old and new names to the real one",
    ),
    row("DBClusterInstanceClass", Carried, Remedy::Modify, ""),
    row(
        "DBClusterMembers",
        Carried,
        Remedy::OtherApi("aws rds create-db-instance"),
        "",
    ),
    row(
        "DBClusterOptionGroupMemberships",
        Carried,
        Remedy::Modify,
        "",
    ),
    row("DBClusterParameterGroup", Carried, Remedy::Modify, ""),
    row(
        "DBSubnetGroup",
        Carried,
        Remedy::Fixed,
        "chosen at restore; cannot be modified",
    ),
    row(
        "DBSystemId",
        Carried,
        Remedy::Fixed,
        "set at creation and kept in the data",
    ),
    row("DatabaseInsightsMode", Carried, Remedy::Modify, ""),
    row(
        "DatabaseName",
        Carried,
        Remedy::Fixed,
        "set at creation and kept in the data",
    ),
    row(
        "DbClusterResourceId",
        Identity,
        Remedy::None,
        "a restored cluster is a new resource",
    ),
    row("DeletionProtection", Carried, Remedy::Modify, ""),
    row("DomainMemberships", Carried, Remedy::Modify, ""),
    row(
        "EarliestBacktrackTime",
        Volatile,
        Remedy::None,
        "changes by itself",
    ),
    row(
        "EarliestRestorableTime",
        Volatile,
        Remedy::None,
        "changes by itself",
    ),
    row("EnabledCloudwatchLogsExports", Carried, Remedy::Modify, ""),
    row(
        "Endpoint",
        Identity,
        Remedy::None,
        "names follow the migration; compared after mapping old and new names to the real one",
    ),
    row(
        "Engine",
        Carried,
        Remedy::Fixed,
        "set at creation and kept in the data",
    ),
    row("EngineLifecycleSupport", Carried, Remedy::Modify, ""),
    row(
        "EngineMode",
        Carried,
        Remedy::Fixed,
        "set at creation and kept in the data",
    ),
    row("EngineVersion", Carried, Remedy::Modify, ""),
    row(
        "GlobalClusterIdentifier",
        Carried,
        Remedy::OtherApi("aws rds create-global-cluster"),
        "",
    ),
    row(
        "GlobalWriteForwardingRequested",
        Carried,
        Remedy::OtherApi("aws rds create-global-cluster"),
        "",
    ),
    row(
        "GlobalWriteForwardingStatus",
        Carried,
        Remedy::OtherApi("aws rds create-global-cluster"),
        "",
    ),
    row(
        "HostedZoneId",
        Identity,
        Remedy::None,
        "the zone that Route 53 gives to the endpoints",
    ),
    row(
        "HttpEndpointEnabled",
        Carried,
        Remedy::OtherApi("aws rds enable-http-endpoint"),
        "",
    ),
    row(
        "IAMDatabaseAuthenticationEnabled",
        Carried,
        Remedy::Modify,
        "",
    ),
    row(
        "IOOptimizedNextAllowedModificationTime",
        Volatile,
        Remedy::None,
        "changes by itself",
    ),
    row(
        "InternetAccessGatewayEnabled",
        Carried,
        Remedy::Fixed,
        "chosen at restore; cannot be modified",
    ),
    row("Iops", Carried, Remedy::Modify, ""),
    row(
        "KmsKeyId",
        Intended,
        Remedy::None,
        "encryption is the purpose of the migration",
    ),
    row(
        "LatestRestorableTime",
        Volatile,
        Remedy::None,
        "changes by itself",
    ),
    row(
        "LimitlessDatabase",
        Carried,
        Remedy::Fixed,
        "chosen at restore; cannot be modified",
    ),
    row("LocalWriteForwardingStatus", Carried, Remedy::Modify, ""),
    row(
        "MasterUserSecret",
        Identity,
        Remedy::Modify,
        "a managed secret belongs to one cluster; its ARN is new, its state is compared",
    ),
    row(
        "MasterUsername",
        Carried,
        Remedy::Fixed,
        "set at creation and kept in the data",
    ),
    row("MonitoringInterval", Carried, Remedy::Modify, ""),
    row("MonitoringRoleArn", Carried, Remedy::Modify, ""),
    row(
        "MultiAZ",
        Volatile,
        Remedy::None,
        "follows from the zones of the members, which are compared",
    ),
    row("NetworkType", Carried, Remedy::Modify, ""),
    row(
        "PendingModifiedValues",
        Pending,
        Remedy::None,
        "a pending modification makes the comparison a moving target; it must be empty on both sides",
    ),
    row(
        "PercentProgress",
        Volatile,
        Remedy::None,
        "changes by itself",
    ),
    row("PerformanceInsightsEnabled", Carried, Remedy::Modify, ""),
    row("PerformanceInsightsKMSKeyId", Carried, Remedy::Modify, ""),
    row(
        "PerformanceInsightsRetentionPeriod",
        Carried,
        Remedy::Modify,
        "",
    ),
    row("Port", Carried, Remedy::Modify, ""),
    row("PreferredBackupWindow", Carried, Remedy::Modify, ""),
    row("PreferredMaintenanceWindow", Carried, Remedy::Modify, ""),
    row(
        "PubliclyAccessible",
        Carried,
        Remedy::Fixed,
        "chosen at restore; cannot be modified",
    ),
    row(
        "RdsCustomClusterConfiguration",
        Carried,
        Remedy::Fixed,
        "chosen at restore; cannot be modified",
    ),
    row(
        "ReadReplicaIdentifiers",
        Carried,
        Remedy::Fixed,
        "replication between clusters is not made again",
    ),
    row(
        "ReaderEndpoint",
        Identity,
        Remedy::None,
        "names follow the migration; compared after mapping old and new names to the real one",
    ),
    row(
        "ReplicationSourceIdentifier",
        Carried,
        Remedy::Fixed,
        "replication between clusters is not made again",
    ),
    row("ScalingConfigurationInfo", Carried, Remedy::Modify, ""),
    row(
        "ServerlessV2PlatformVersion",
        Volatile,
        Remedy::None,
        "changes by itself",
    ),
    row(
        "ServerlessV2ScalingConfiguration",
        Carried,
        Remedy::Modify,
        "",
    ),
    row("Status", Volatile, Remedy::None, "changes by itself"),
    row("StatusInfos", Volatile, Remedy::None, "changes by itself"),
    row(
        "StorageEncrypted",
        Intended,
        Remedy::None,
        "encryption is the purpose of the migration",
    ),
    row(
        "StorageEncryptionType",
        Intended,
        Remedy::None,
        "encryption is the purpose of the migration",
    ),
    row("StorageThroughput", Carried, Remedy::Modify, ""),
    row("StorageType", Carried, Remedy::Modify, ""),
    row(
        "TagList",
        Carried,
        Remedy::OtherApi("aws rds add-tags-to-resource or remove-tags-from-resource"),
        "",
    ),
    row(
        "UpgradeRolloutOrder",
        Volatile,
        Remedy::None,
        "changes by itself",
    ),
    row(
        "VPCNetworkingEnabled",
        Carried,
        Remedy::Fixed,
        "chosen at restore; cannot be modified",
    ),
    row("VpcSecurityGroups", Carried, Remedy::Modify, ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_has_no_name_twice() {
        assert!(CLUSTER_ATTRIBUTES.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn an_unknown_member_has_no_class() {
        assert!(cluster_attribute("FrobnicationMode").is_none());
        assert_eq!(cluster_attribute("KmsKeyId").unwrap().class, Intended);
    }
}
