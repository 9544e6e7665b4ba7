//! Documents: answers of AWS as JSON values under AWS's own member names.
//!
//! The whole answer is kept, members unknown to our SDK version included, because a member nobody looked at must show
//! up as drift and not be lost. Scalars have the JSON type AWS's own clients give them, so that a document read from
//! the XML wire equals one read from saved `aws rds describe-*` output.

use serde_json::Value;

/// What a member of a describe answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A JSON array.
    List,
    /// A JSON object, even when it is empty.
    Structure,
    /// A JSON number.
    Integer,
    /// A JSON boolean.
    Boolean,
    /// A JSON string, or an object; which one is seen from the answer.
    Other,
}

/// Members that are lists in the answers this tool reads (RDS service model, 2014-10-31).
const LISTS: &[&str] = &[
    "AccountQuotas",
    "AdditionalStorageVolumes",
    "AssociatedRoles",
    "AttributeValues",
    "AvailabilityZones",
    "AvailableProcessorFeatures",
    "BlueGreenDeployments",
    "Certificates",
    "CustomEndpoints",
    "DBClusterMembers",
    "DBClusterOptionGroupMemberships",
    "DBClusterSnapshots",
    "DBClusters",
    "DBInstanceAutomatedBackups",
    "DBInstanceAutomatedBackupsReplications",
    "DBInstances",
    "DBParameterGroups",
    "DBProxies",
    "DBSecurityGroupMemberships",
    "DBSecurityGroups",
    "DBSnapshotAttributes",
    "DBSnapshots",
    "DBSubnetGroups",
    "DnsIps",
    "DomainMemberships",
    "EnabledCloudwatchLogsExports",
    "EventCategories",
    "EventCategoriesList",
    "EventSubscriptionsList",
    "Events",
    "ExportOnly",
    "ExportTasks",
    "GlobalClusterMembers",
    "GlobalClusters",
    "Integrations",
    "LogTypesToDisable",
    "LogTypesToEnable",
    "OptionGroupMemberships",
    "OptionGroupsList",
    "OptionSettings",
    "Options",
    "OrderableDBInstanceOptions",
    "Parameters",
    "PendingMaintenanceActionDetails",
    "PendingMaintenanceActions",
    "ProcessorFeatures",
    "ReadReplicaDBClusterIdentifiers",
    "ReadReplicaDBInstanceIdentifiers",
    "ReadReplicaIdentifiers",
    "Readers",
    "SourceIdsList",
    "StatusInfos",
    "Subnets",
    "SupportedEngineModes",
    "SupportedNetworkTypes",
    "SwitchoverDetails",
    "TagList",
    "Targets",
    "Tasks",
    "VpcSecurityGroupIds",
    "VpcSecurityGroupMemberships",
    "VpcSecurityGroups",
    "VpcSubnetIds",
];

/// Members that are integers in the answers this tool reads. `PercentProgress` is an integer on snapshots and a string
/// on DB instances; the caller's path decides, see [`shape_of`].
const INTEGERS: &[&str] = &[
    "AllocatedStorage",
    "BacktrackConsumedChangeRecords",
    "BacktrackWindow",
    "BackupRetentionPeriod",
    "Capacity",
    "DbInstancePort",
    "Iops",
    "Max",
    "MaxAllocatedStorage",
    "MaxIops",
    "MaxStorageSize",
    "MaxStorageThroughput",
    "MinIops",
    "MinStorageSize",
    "MinStorageThroughput",
    "MonitoringInterval",
    "PerformanceInsightsRetentionPeriod",
    "Port",
    "PromotionTier",
    "SecondsBeforeTimeout",
    "SecondsUntilAutoPause",
    "StorageThroughput",
    "Used",
];

/// Members that are booleans in the answers this tool reads.
const BOOLEANS: &[&str] = &[
    "ActivityStreamEngineNativeAuditFieldsIncluded",
    "AllowsVpcAndNonVpcInstanceMemberships",
    "AutoMinorVersionUpgrade",
    "AutoPause",
    "CopyTagsToSnapshot",
    "CrossAccountClone",
    "CustomerOwnedIpEnabled",
    "DedicatedLogVolume",
    "DeletionProtection",
    "Enabled",
    "Encrypted",
    "HttpEndpointEnabled",
    "IAMDatabaseAuthenticationEnabled",
    "IsClusterWriter",
    "IsModifiable",
    "IsStorageConfigUpgradeAvailable",
    "IsWriter",
    "MultiAZ",
    "MultiAZCapable",
    "MultiTenant",
    "Normal",
    "OutpostCapable",
    "PerformanceInsightsEnabled",
    "Permanent",
    "Persistent",
    "PubliclyAccessible",
    "ReadReplicaCapable",
    "RequireTLS",
    "StorageEncrypted",
    "SupportsClusters",
    "SupportsEnhancedMonitoring",
    "SupportsGlobalDatabases",
    "SupportsIAMDatabaseAuthentication",
    "SupportsIops",
    "SupportsKerberosAuthentication",
    "SupportsPerformanceInsights",
    "SupportsStorageAutoscaling",
    "SupportsStorageEncryption",
    "SupportsStorageThroughput",
    "Vpc",
];

/// Members that are structures and may be sent empty. An empty element alone could also be an empty string.
const STRUCTURES: &[&str] = &[
    "CertificateDetails",
    "DBSubnetGroup",
    "Endpoint",
    "MasterUserSecret",
    "PendingCloudwatchLogsExports",
    "PendingModifiedValues",
    "SubnetAvailabilityZone",
    "SubnetOutpost",
];

/// The shape of member `name` inside `parent` (the nearest enclosing list or structure).
#[must_use]
pub fn shape_of(parent: &str, name: &str) -> Shape {
    if name == "PercentProgress" {
        return if parent == "DBInstance" {
            Shape::Other
        } else {
            Shape::Integer
        };
    }
    if LISTS.binary_search(&name).is_ok() {
        Shape::List
    } else if STRUCTURES.binary_search(&name).is_ok() {
        Shape::Structure
    } else if INTEGERS.binary_search(&name).is_ok() {
        Shape::Integer
    } else if BOOLEANS.binary_search(&name).is_ok() {
        Shape::Boolean
    } else {
        Shape::Other
    }
}

/// The string at `member`, if it is there and is one.
#[must_use]
pub fn str_of<'a>(document: &'a Value, member: &str) -> Option<&'a str> {
    document.get(member).and_then(Value::as_str)
}

/// The boolean at `member`, if it is there and is one.
#[must_use]
pub fn bool_of(document: &Value, member: &str) -> Option<bool> {
    document.get(member).and_then(Value::as_bool)
}

/// The integer at `member`, if it is there and is one.
#[must_use]
pub fn int_of(document: &Value, member: &str) -> Option<i64> {
    document.get(member).and_then(Value::as_i64)
}

/// The items of the list at `member`; an absent list has none.
#[must_use]
pub fn list_of<'a>(document: &'a Value, member: &str) -> &'a [Value] {
    document
        .get(member)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The strings of the list at `member`.
pub fn strings_of<'a>(document: &'a Value, member: &str) -> impl Iterator<Item = &'a str> {
    list_of(document, member).iter().filter_map(Value::as_str)
}

/// SHA-256 over the canonical text of a value (members sorted, as `serde_json` keeps them), in lower-case hex.
#[must_use]
pub fn digest(value: &Value) -> String {
    use sha2::Digest as _;
    let mut hash = sha2::Sha256::new();
    hash.update(value.to_string().as_bytes());
    hex(&hash.finalize())
}

/// Lower-case hex of bytes.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _written = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_for_binary_search() {
        for table in [LISTS, STRUCTURES, INTEGERS, BOOLEANS] {
            assert!(table.is_sorted(), "{table:?}");
        }
    }

    #[test]
    fn percent_progress_is_an_integer_on_snapshots_only() {
        assert_eq!(shape_of("DBSnapshot", "PercentProgress"), Shape::Integer);
        assert_eq!(shape_of("DBInstance", "PercentProgress"), Shape::Other);
    }
}
