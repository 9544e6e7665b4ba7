//! From the describe answer of a cluster to the arguments that make its like, and its members.

use atrest_model::document::{bool_of, int_of, list_of, str_of, strings_of};
use atrest_model::instance::{DbCluster, DbInstance};
use atrest_model::plan::TAG_PREFIX;
use serde_json::{Value, json};

use super::{
    Request, copy_int, copy_str, first_str, in_order, insights, monitoring, storage, tags,
};

/// `RestoreDBClusterFromSnapshot`: everything it accepts, and the key, which encrypts an unencrypted snapshot here.
pub(crate) fn restore(
    cluster: &DbCluster,
    kms_key_id: &str,
    own_tags: &[(String, String)],
) -> Request {
    let document = &cluster.document;
    let mut request = Request::new();
    request.insert("KmsKeyId".to_owned(), json!(kms_key_id));
    for (member, argument) in [
        ("Engine", "Engine"),
        ("DBSubnetGroup", "DBSubnetGroupName"),
        ("DBClusterParameterGroup", "DBClusterParameterGroupName"),
        ("StorageType", "StorageType"),
        ("NetworkType", "NetworkType"),
        ("PreferredBackupWindow", "PreferredBackupWindow"),
        // Omitted, it enrols the cluster in extended support, which is billed.
        ("EngineLifecycleSupport", "EngineLifecycleSupport"),
    ] {
        copy_str(document, member, &mut request, argument);
    }
    for member in ["Port", "BackupRetentionPeriod"] {
        copy_int(document, member, &mut request, member);
    }
    // Only Aurora MySQL takes it, and only where it is on.
    if int_of(document, "BacktrackWindow").is_some_and(|seconds| seconds > 0) {
        copy_int(document, "BacktrackWindow", &mut request, "BacktrackWindow");
    }
    for member in ["DeletionProtection", "CopyTagsToSnapshot"] {
        if let Some(flag) = bool_of(document, member) {
            request.insert(member.to_owned(), json!(flag));
        }
    }
    if let Some(flag) = bool_of(document, "IAMDatabaseAuthenticationEnabled") {
        request.insert("EnableIAMDatabaseAuthentication".to_owned(), json!(flag));
    }
    let groups = security_groups(document);
    if !groups.is_empty() {
        request.insert("VpcSecurityGroupIds".to_owned(), json!(groups));
    }
    let exports: Vec<&str> = strings_of(document, "EnabledCloudwatchLogsExports").collect();
    if !exports.is_empty() {
        request.insert("EnableCloudwatchLogsExports".to_owned(), json!(exports));
    }
    if let Some(scaling) = document.get("ServerlessV2ScalingConfiguration") {
        let bounds: Request = ["MinCapacity", "MaxCapacity", "SecondsUntilAutoPause"]
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), scaling.get(*name)?.clone())))
            .collect();
        if !bounds.is_empty() {
            request.insert(
                "ServerlessV2ScalingConfiguration".to_owned(),
                Value::Object(bounds),
            );
        }
    }
    let kept = cluster
        .tags()
        .into_iter()
        .filter(|(key, _)| !key.starts_with("aws:") && !key.starts_with(TAG_PREFIX));
    let own = own_tags
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    let all: Value = kept
        .chain(own)
        .map(|(key, value)| json!({"Key": key, "Value": value}))
        .collect();
    request.insert("Tags".to_owned(), all);
    request
}

/// The same for a Multi-AZ DB cluster: class, storage, monitoring and insights are the cluster's, not its instances'. Its
/// size is that of the snapshot.
pub(crate) fn restore_multi_az(
    cluster: &DbCluster,
    kms_key_id: &str,
    own_tags: &[(String, String)],
) -> Request {
    let document = &cluster.document;
    let mut request = restore(cluster, kms_key_id, own_tags);
    copy_str(
        document,
        "DBClusterInstanceClass",
        &mut request,
        "DBClusterInstanceClass",
    );
    if let Some(flag) = bool_of(document, "PubliclyAccessible") {
        request.insert("PubliclyAccessible".to_owned(), json!(flag));
    }
    storage(&as_instance(cluster), &mut request);
    // Not taken there: it follows from the IOPS.
    request.remove("StorageThroughput");
    monitoring(document, &mut request);
    insights(document, &mut request);
    request.remove("DatabaseInsightsMode");
    request
}

/// `ModifyDBCluster` after the restore of a Multi-AZ DB cluster.
pub(crate) fn modify_multi_az(cluster: &DbCluster) -> Request {
    let mut request = modify_after_restore(cluster);
    if bool_of(&cluster.document, "AutoMinorVersionUpgrade") == Some(false) {
        request.insert("AutoMinorVersionUpgrade".to_owned(), json!(false));
    }
    request
}

/// `RestoreDBInstanceFromDBSnapshot` of the snapshot of a Multi-AZ DB cluster: for the way through, and as small as it can
/// be. Nobody is to reach it but who reaches the cluster.
pub(crate) fn temporary_instance(
    cluster: &DbCluster,
    writer: &DbInstance,
    own_tags: &[(String, String)],
) -> Request {
    let document = &cluster.document;
    let mut request = Request::new();
    copy_str(
        &writer.document,
        "DBInstanceClass",
        &mut request,
        "DBInstanceClass",
    );
    copy_str(document, "DBSubnetGroup", &mut request, "DBSubnetGroupName");
    copy_str(document, "NetworkType", &mut request, "NetworkType");
    copy_str(
        document,
        "EngineLifecycleSupport",
        &mut request,
        "EngineLifecycleSupport",
    );
    copy_int(document, "Port", &mut request, "Port");
    storage(&as_instance(cluster), &mut request);
    let groups = security_groups(document);
    if !groups.is_empty() {
        request.insert("VpcSecurityGroupIds".to_owned(), json!(groups));
    }
    // It is gone before the first backup or upgrade would be due.
    request.insert("BackupRetentionPeriod".to_owned(), json!(0));
    for member in [
        "AutoMinorVersionUpgrade",
        "CopyTagsToSnapshot",
        "DeletionProtection",
        "MultiAZ",
        "PubliclyAccessible",
    ] {
        request.insert(member.to_owned(), json!(false));
    }
    let own: Value = own_tags
        .iter()
        .map(|(key, value)| json!({"Key": key, "Value": value}))
        .collect();
    request.insert("Tags".to_owned(), own);
    request
}

/// The tags that a DB instance which RDS has made gets: those of its predecessor, and ours.
pub(crate) fn member_tags(
    instance: &DbInstance,
    own_tags: &[(String, String)],
) -> Vec<(String, String)> {
    let kept = instance
        .tags()
        .into_iter()
        .filter(|(key, _)| !key.starts_with("aws:") && !key.starts_with(TAG_PREFIX))
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    kept.chain(own_tags.iter().cloned()).collect()
}

/// What says how large and fast storage is has the same names in both describe answers.
fn as_instance(cluster: &DbCluster) -> DbInstance {
    DbInstance {
        region: cluster.region.clone(),
        document: cluster.document.clone(),
    }
}

fn security_groups(document: &Value) -> Vec<&str> {
    list_of(document, "VpcSecurityGroups")
        .iter()
        .filter(|group| matches!(str_of(group, "Status"), Some("active" | "adding") | None))
        .filter_map(|group| str_of(group, "VpcSecurityGroupId"))
        .collect()
}

/// `ModifyDBCluster` after a restore: what the restore does not accept, and what it may ignore.
pub(crate) fn modify_after_restore(cluster: &DbCluster) -> Request {
    let document = &cluster.document;
    let mut request = Request::new();
    for member in ["PreferredMaintenanceWindow", "PreferredBackupWindow"] {
        copy_str(document, member, &mut request, member);
    }
    copy_int(
        document,
        "BackupRetentionPeriod",
        &mut request,
        "BackupRetentionPeriod",
    );
    request
}

/// `ModifyDBCluster` that has RDS manage the master password, where it does now; nothing where it does not.
pub(crate) fn manage_password(cluster: &DbCluster) -> Request {
    let mut request = Request::new();
    if let Some(secret) = cluster.document.get("MasterUserSecret") {
        request.insert("ManageMasterUserPassword".to_owned(), json!(true));
        copy_str(secret, "KmsKeyId", &mut request, "MasterUserSecretKmsKeyId");
    }
    request
}

/// `CreateDBInstance` of a member: what is not said here is the cluster's.
pub(crate) fn create_member(instance: &DbInstance, own_tags: &[(String, String)]) -> Request {
    let document = &instance.document;
    let mut request = Request::new();
    for member in [
        "AvailabilityZone",
        "CACertificateIdentifier",
        "DBInstanceClass",
        "Engine",
        "PreferredMaintenanceWindow",
    ] {
        copy_str(document, member, &mut request, member);
    }
    if let Some(group) = first_str(document, "DBParameterGroups", "DBParameterGroupName") {
        request.insert("DBParameterGroupName".to_owned(), json!(group));
    }
    for member in [
        "AutoMinorVersionUpgrade",
        "CopyTagsToSnapshot",
        "PubliclyAccessible",
    ] {
        if let Some(flag) = bool_of(document, member) {
            request.insert(member.to_owned(), json!(flag));
        }
    }
    copy_int(document, "PromotionTier", &mut request, "PromotionTier");
    monitoring(document, &mut request);
    insights(document, &mut request);
    // A setting of the cluster.
    request.remove("DatabaseInsightsMode");
    request.insert("Tags".to_owned(), tags(instance, own_tags));
    request
}

/// The part of a modify request that the cluster does not show yet.
pub(crate) fn missing(request: &Request, cluster: &DbCluster) -> Request {
    let shown = |member: &str| match member {
        "PreferredMaintenanceWindow" | "PreferredBackupWindow" => {
            str_of(&cluster.document, member).map(|window| Value::from(window.to_lowercase()))
        }
        "ManageMasterUserPassword" => cluster
            .document
            .get("MasterUserSecret")
            .map(|_secret| Value::Bool(true)),
        "MasterUserSecretKmsKeyId" => cluster
            .document
            .get("MasterUserSecret")
            .and_then(|secret| secret.get("KmsKeyId"))
            .cloned(),
        _ => cluster.document.get(member).cloned(),
    };
    // The key says nothing without the switch.
    let whole = request.contains_key("ManageMasterUserPassword")
        && cluster.document.get("MasterUserSecret").is_none();
    if whole {
        return request.clone();
    }
    request
        .iter()
        .filter(|(member, value)| {
            shown(member).is_none_or(|shown| in_order(&shown) != in_order(value))
        })
        .map(|(member, value)| (member.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(document: Value) -> DbCluster {
        DbCluster {
            region: "eu-central-1".to_owned(),
            document,
        }
    }

    #[test]
    fn a_restore_says_everything_and_names_the_key() {
        let request = restore(
            &cluster(json!({
                "Engine": "aurora-mysql", "DBSubnetGroup": "s", "DBClusterParameterGroup": "p", "Port": 3307,
                "BacktrackWindow": 0, "DeletionProtection": true, "IAMDatabaseAuthenticationEnabled": true,
                "ServerlessV2ScalingConfiguration": {"MinCapacity": "0.5", "MaxCapacity": "8"},
                "EnabledCloudwatchLogsExports": ["audit"], "StorageEncrypted": false,
                "TagList": [{"Key": "aws:x", "Value": "1"}, {"Key": "team", "Value": "a"}],
            })),
            "arn:key",
            &[("atrest:run".to_owned(), "r".to_owned())],
        );
        assert_eq!(request["KmsKeyId"], "arn:key");
        assert_eq!(request["DBSubnetGroupName"], "s");
        assert_eq!(request["DBClusterParameterGroupName"], "p");
        assert_eq!(
            request["ServerlessV2ScalingConfiguration"]["MaxCapacity"],
            "8"
        );
        assert!(!request.contains_key("BacktrackWindow"));
        assert!(!request.contains_key("StorageEncrypted"));
        assert_eq!(
            request["Tags"],
            json!([{"Key": "team", "Value": "a"}, {"Key": "atrest:run", "Value": "r"}])
        );
    }

    #[test]
    fn a_member_leaves_to_the_cluster_what_is_the_clusters() {
        let instance = DbInstance {
            region: "eu-central-1".to_owned(),
            document: json!({
                "Engine": "aurora-mysql", "DBInstanceClass": "db.r6g.large", "PromotionTier": 0, "BackupRetentionPeriod": 7,
                "StorageType": "aurora", "AllocatedStorage": 1, "KmsKeyId": "k", "PreferredBackupWindow": "01:00-01:30",
                "VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-1", "Status": "active"}], "MasterUsername": "admin",
            }),
        };
        let request = create_member(&instance, &[]);
        let names: Vec<&str> = request.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["DBInstanceClass", "Engine", "PromotionTier", "Tags"]
        );
    }

    #[test]
    fn a_multi_az_cluster_says_class_storage_and_monitoring_itself() {
        let three = cluster(json!({
            "Engine": "mysql", "DBClusterInstanceClass": "db.m6gd.large", "StorageType": "io1", "Iops": 3000,
            "AllocatedStorage": 100, "DBSubnetGroup": "s", "DBClusterParameterGroup": "p", "Port": 3306,
            "MonitoringInterval": 30, "MonitoringRoleArn": "arn:role", "PerformanceInsightsEnabled": true,
            "PerformanceInsightsRetentionPeriod": 7, "AutoMinorVersionUpgrade": false, "BackupRetentionPeriod": 7,
            "VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-1", "Status": "active"}],
        }));
        let request = restore_multi_az(&three, "arn:key", &[]);
        for (member, value) in [
            ("DBClusterInstanceClass", json!("db.m6gd.large")),
            ("StorageType", json!("io1")),
            ("Iops", json!(3000)),
            ("MonitoringInterval", json!(30)),
            ("MonitoringRoleArn", json!("arn:role")),
            ("EnablePerformanceInsights", json!(true)),
            ("KmsKeyId", json!("arn:key")),
        ] {
            assert_eq!(request[member], value, "{member}");
        }
        assert!(!request.contains_key("AllocatedStorage"));
        assert_eq!(modify_multi_az(&three)["AutoMinorVersionUpgrade"], false);
        let writer = DbInstance {
            region: "eu-central-1".to_owned(),
            document: json!({"DBInstanceClass": "db.m6gd.large", "TagList": [{"Key": "a", "Value": "b"}]}),
        };
        let own = [("atrest:run".to_owned(), "r".to_owned())];
        let through = temporary_instance(&three, &writer, &own);
        assert_eq!(through["Iops"], 3000);
        assert_eq!(through["MultiAZ"], false);
        assert_eq!(through["BackupRetentionPeriod"], 0);
        assert_eq!(through["VpcSecurityGroupIds"], json!(["sg-1"]));
        // Not the groups of the cluster, which are of another kind.
        assert!(!through.contains_key("DBParameterGroupName"));
        assert_eq!(
            through["Tags"],
            json!([{"Key": "atrest:run", "Value": "r"}])
        );
        assert_eq!(
            member_tags(&writer, &own),
            [
                ("a".to_owned(), "b".to_owned()),
                ("atrest:run".to_owned(), "r".to_owned())
            ]
        );
    }

    #[test]
    fn windows_are_compared_in_lower_case() {
        let request = modify_after_restore(&cluster(json!({
            "PreferredMaintenanceWindow": "sun:03:00-sun:03:30", "BackupRetentionPeriod": 7,
        })));
        let shown = cluster(json!({
            "PreferredMaintenanceWindow": "Sun:03:00-Sun:03:30", "BackupRetentionPeriod": 1,
        }));
        let missing = missing(&request, &shown);
        assert_eq!(
            missing.keys().map(String::as_str).collect::<Vec<_>>(),
            ["BackupRetentionPeriod"]
        );
    }
}
