//! The one table of DB instance members: to which class a difference belongs, and what mends it.
//!
//! It lists every member of `DBInstance` in the RDS service model (API version 2014-10-31, as of SDK 1.159). A member
//! that is not here is drift: AWS added it and nobody has judged it yet. A test of `atrest-scanner`, which has the SDK,
//! fails when the SDK knows a member that is not here.

pub mod cluster;
pub mod regression;

/// Class of a member when the two sides of a pair differ in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeClass {
    /// Names and resource ids: compared after names are mapped, where they name DB instances; else always new.
    Identity,
    /// Encryption itself.
    Intended,
    /// Times and statuses.
    Volatile,
    /// Must be equal; a difference is drift.
    Carried,
    /// Must be empty on both sides.
    Pending,
}

/// What mends a drift in a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing to mend.
    None,
    /// `ModifyDBInstance`.
    Modify,
    /// Another call.
    OtherApi(&'static str),
    /// Nothing: only a new restore could.
    Fixed,
}

/// One member of `DBInstance`.
#[derive(Debug, Clone, Copy)]
pub struct Attribute {
    /// AWS's name.
    pub name: &'static str,
    /// Class of a difference.
    pub class: AttributeClass,
    /// What mends a drift.
    pub remedy: Remedy,
    /// Why it is in that class; empty for plain carried members.
    pub reason: &'static str,
}

/// The same for a DB instance of a Multi-AZ DB cluster, which takes no changes: what it shows of its own follows from the
/// cluster, whose answer is compared.
#[must_use]
pub fn multi_az_member_attribute(name: &str) -> Option<&'static Attribute> {
    const fn of_the_cluster(name: &'static str) -> Attribute {
        let reason = "a setting of the Multi-AZ DB cluster, and compared there";
        row(name, AttributeClass::Volatile, Remedy::None, reason)
    }
    static ZONE: Attribute = row(
        "AvailabilityZone",
        AttributeClass::Volatile,
        Remedy::None,
        "RDS spreads the DB instances of a Multi-AZ DB cluster over the zones of its subnet group",
    );
    static WINDOWS: [Attribute; 2] = [
        of_the_cluster("PreferredBackupWindow"),
        of_the_cluster("PreferredMaintenanceWindow"),
    ];
    match name {
        "AvailabilityZone" => Some(&ZONE),
        _ => WINDOWS
            .iter()
            .find(|row| row.name == name)
            .or_else(|| attribute(name)),
    }
}

/// Looks a member up; `None` for one that nobody classified.
#[must_use]
pub fn attribute(name: &str) -> Option<&'static Attribute> {
    let found = ATTRIBUTES.binary_search_by(|row| row.name.cmp(name)).ok()?;
    ATTRIBUTES.get(found)
}

const fn row(
    name: &'static str,
    class: AttributeClass,
    remedy: Remedy,
    reason: &'static str,
) -> Attribute {
    Attribute {
        name,
        class,
        remedy,
        reason,
    }
}

use AttributeClass::{Carried, Identity, Intended, Pending, Volatile};

/// Every member, sorted by name.
pub const ATTRIBUTES: &[Attribute] = &[
    row(
        "ActivityStreamEngineNativeAuditFieldsIncluded",
        Carried,
        Remedy::OtherApi("aws rds start-activity-stream"),
        "",
    ),
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
        "ActivityStreamPolicyStatus",
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
    row("AdditionalStorageVolumes", Carried, Remedy::Modify, ""),
    row("AllocatedStorage", Carried, Remedy::Modify, ""),
    row(
        "AssociatedRoles",
        Carried,
        Remedy::OtherApi("aws rds add-role-to-db-instance"),
        "",
    ),
    row("AutoMinorVersionUpgrade", Carried, Remedy::Modify, ""),
    row(
        "AutomaticRestartTime",
        Volatile,
        Remedy::None,
        "changes by itself",
    ),
    row("AutomationMode", Carried, Remedy::Modify, ""),
    row(
        "AvailabilityZone",
        Carried,
        Remedy::Fixed,
        "chosen at restore; cannot be modified",
    ),
    row(
        "AwsBackupRecoveryPointArn",
        Identity,
        Remedy::None,
        "a recovery point belongs to the instance AWS Backup made it from",
    ),
    row("BackupRetentionPeriod", Carried, Remedy::Modify, ""),
    row(
        "BackupTarget",
        Carried,
        Remedy::Fixed,
        "chosen at restore; cannot be modified",
    ),
    row("CACertificateIdentifier", Carried, Remedy::Modify, ""),
    row(
        "CertificateDetails",
        Volatile,
        Remedy::None,
        "the validity of the server certificate begins with the instance",
    ),
    row(
        "CharacterSetName",
        Carried,
        Remedy::Fixed,
        "set at creation and kept in the data",
    ),
    row("CopyTagsToSnapshot", Carried, Remedy::Modify, ""),
    row(
        "CustomIamInstanceProfile",
        Carried,
        Remedy::Fixed,
        "chosen at restore; cannot be modified",
    ),
    row("CustomerOwnedIpEnabled", Carried, Remedy::Modify, ""),
    row(
        "DBCapacityReservationIdentifier",
        Carried,
        Remedy::Modify,
        "",
    ),
    row(
        "DBClusterIdentifier",
        Carried,
        Remedy::Fixed,
        "belongs to clusters or SQL Server listeners",
    ),
    row(
        "DBInstanceArn",
        Identity,
        Remedy::None,
        "names follow the migration; compared after mapping old and new names to the real one",
    ),
    row(
        "DBInstanceAutomatedBackupsReplications",
        Carried,
        Remedy::OtherApi("aws rds start-db-instance-automated-backups-replication"),
        "",
    ),
    row("DBInstanceClass", Carried, Remedy::Modify, ""),
    row(
        "DBInstanceIdentifier",
        Identity,
        Remedy::None,
        "names follow the migration; compared after mapping old and new names to the real one",
    ),
    row(
        "DBInstanceStatus",
        Volatile,
        Remedy::None,
        "changes by itself",
    ),
    row(
        "DBName",
        Carried,
        Remedy::Fixed,
        "set at creation and kept in the data",
    ),
    row("DBParameterGroups", Carried, Remedy::Modify, ""),
    row(
        "DBSecurityGroups",
        Carried,
        Remedy::Fixed,
        "retired with EC2-Classic",
    ),
    row("DBSubnetGroup", Carried, Remedy::Modify, ""),
    row(
        "DBSystemId",
        Carried,
        Remedy::Fixed,
        "set at creation and kept in the data",
    ),
    row("DatabaseInsightsMode", Carried, Remedy::Modify, ""),
    row(
        "DbInstancePort",
        Volatile,
        Remedy::None,
        "0 in most answers; the port is compared in Endpoint.Port",
    ),
    row(
        "DbiResourceId",
        Identity,
        Remedy::None,
        "a restored instance is a new resource",
    ),
    row("DedicatedLogVolume", Carried, Remedy::Modify, ""),
    row("DeletionProtection", Carried, Remedy::Modify, ""),
    row("DomainMemberships", Carried, Remedy::Modify, ""),
    row("EnabledCloudwatchLogsExports", Carried, Remedy::Modify, ""),
    row(
        "Endpoint",
        Identity,
        Remedy::Modify,
        "names follow the migration; compared after mapping old and new names to the real one",
    ),
    row(
        "Engine",
        Carried,
        Remedy::Fixed,
        "set at creation and kept in the data",
    ),
    row("EngineLifecycleSupport", Carried, Remedy::Modify, ""),
    row("EngineVersion", Carried, Remedy::Modify, ""),
    row(
        "EnhancedMonitoringResourceArn",
        Identity,
        Remedy::None,
        "the log stream is named after the resource id",
    ),
    row(
        "IAMDatabaseAuthenticationEnabled",
        Carried,
        Remedy::Modify,
        "",
    ),
    row(
        "InstanceCreateTime",
        Volatile,
        Remedy::None,
        "changes by itself",
    ),
    row("Iops", Carried, Remedy::Modify, ""),
    row(
        "IsStorageConfigUpgradeAvailable",
        Volatile,
        Remedy::None,
        "changes by itself",
    ),
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
    row("LicenseModel", Carried, Remedy::Modify, ""),
    row(
        "ListenerEndpoint",
        Carried,
        Remedy::Fixed,
        "belongs to clusters or SQL Server listeners",
    ),
    row(
        "MasterUserSecret",
        Identity,
        Remedy::Modify,
        "a managed secret belongs to one instance; its ARN is new, its state is compared",
    ),
    row(
        "MasterUsername",
        Carried,
        Remedy::Fixed,
        "set at creation and kept in the data",
    ),
    row("MaxAllocatedStorage", Carried, Remedy::Modify, ""),
    row("MonitoringInterval", Carried, Remedy::Modify, ""),
    row("MonitoringRoleArn", Carried, Remedy::Modify, ""),
    row("MultiAZ", Carried, Remedy::Modify, ""),
    row("MultiTenant", Carried, Remedy::Modify, ""),
    row(
        "NcharCharacterSetName",
        Carried,
        Remedy::Fixed,
        "set at creation and kept in the data",
    ),
    row("NetworkType", Carried, Remedy::Modify, ""),
    row("OptionGroupMemberships", Carried, Remedy::Modify, ""),
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
    row("PreferredBackupWindow", Carried, Remedy::Modify, ""),
    row("PreferredMaintenanceWindow", Carried, Remedy::Modify, ""),
    row("ProcessorFeatures", Carried, Remedy::Modify, ""),
    row("PromotionTier", Carried, Remedy::Modify, ""),
    row("PubliclyAccessible", Carried, Remedy::Modify, ""),
    row(
        "ReadReplicaDBClusterIdentifiers",
        Carried,
        Remedy::Fixed,
        "belongs to clusters or SQL Server listeners",
    ),
    row(
        "ReadReplicaDBInstanceIdentifiers",
        Identity,
        Remedy::None,
        "names follow the migration; compared after mapping old and new names to the real one",
    ),
    row(
        "ReadReplicaSourceDBClusterIdentifier",
        Carried,
        Remedy::Fixed,
        "belongs to clusters or SQL Server listeners",
    ),
    row(
        "ReadReplicaSourceDBInstanceIdentifier",
        Identity,
        Remedy::None,
        "names follow the migration; compared after mapping old and new names to the real one",
    ),
    row("ReplicaMode", Carried, Remedy::Modify, ""),
    row(
        "ResumeFullAutomationModeTime",
        Volatile,
        Remedy::None,
        "changes by itself",
    ),
    row(
        "SecondaryAvailabilityZone",
        Volatile,
        Remedy::None,
        "RDS chooses the standby zone; it also changes at each failover",
    ),
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
    row(
        "StorageOperationPercentProgress",
        Volatile,
        Remedy::None,
        "changes by itself",
    ),
    row(
        "StorageOperationStatus",
        Volatile,
        Remedy::None,
        "changes by itself",
    ),
    row("StorageThroughput", Carried, Remedy::Modify, ""),
    row("StorageType", Carried, Remedy::Modify, ""),
    row(
        "StorageVolumeStatus",
        Volatile,
        Remedy::None,
        "changes by itself",
    ),
    row(
        "TagList",
        Carried,
        Remedy::OtherApi("aws rds add-tags-to-resource or remove-tags-from-resource"),
        "",
    ),
    row(
        "TdeCredentialArn",
        Carried,
        Remedy::Fixed,
        "set at creation and kept in the data",
    ),
    row(
        "Timezone",
        Carried,
        Remedy::Fixed,
        "set at creation and kept in the data",
    ),
    row(
        "UpgradeRolloutOrder",
        Volatile,
        Remedy::None,
        "changes by itself",
    ),
    row("VpcSecurityGroups", Carried, Remedy::Modify, ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_has_no_name_twice() {
        assert!(ATTRIBUTES.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn an_unknown_member_has_no_class() {
        assert!(attribute("FrobnicationMode").is_none());
        assert_eq!(attribute("KmsKeyId").unwrap().class, Intended);
    }
}
