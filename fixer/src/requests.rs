//! From a describe answer to the arguments that make its like: what restore and replica calls accept, what has to
//! follow by modify, and the combinations that RDS refuses.
//!
//! A describe answer cannot be echoed back. Each rule below names the refusal or the silent default it avoids.

use atrest_model::document::{bool_of, int_of, list_of, str_of, strings_of};
use atrest_model::instance::DbInstance;
use atrest_model::plan::TAG_PREFIX;
use serde_json::{Map, Value, json};

pub(crate) mod cluster;

/// Arguments of one call.
pub(crate) type Request = Map<String, Value>;

/// `RestoreDBInstanceFromDBSnapshot`: everything it accepts, stated explicitly, because an omitted argument falls back
/// to a default of RDS and not to the value of the instance the snapshot came from.
pub(crate) fn restore(instance: &DbInstance, own_tags: &[(String, String)]) -> Request {
    let document = &instance.document;
    let mut request = common(instance, own_tags);
    copy_str(
        document,
        "DBSubnetGroup.DBSubnetGroupName",
        &mut request,
        "DBSubnetGroupName",
    );
    if let Some(group) = first_str(document, "DBParameterGroups", "DBParameterGroupName") {
        // Also what lower_case_table_names needs: it must be right when the instance is made.
        request.insert("DBParameterGroupName".to_owned(), json!(group));
    }
    copy_int(
        document,
        "BackupRetentionPeriod",
        &mut request,
        "BackupRetentionPeriod",
    );
    copy_str(
        document,
        "PreferredBackupWindow",
        &mut request,
        "PreferredBackupWindow",
    );
    // Omitted, it enrols the instance in extended support, which is billed.
    copy_str(
        document,
        "EngineLifecycleSupport",
        &mut request,
        "EngineLifecycleSupport",
    );
    request
}

/// `ModifyDBInstance` after a restore: what the restore does not accept.
pub(crate) fn modify_after_restore(instance: &DbInstance) -> Request {
    let document = &instance.document;
    let mut request = Request::new();
    copy_int(
        document,
        "MaxAllocatedStorage",
        &mut request,
        "MaxAllocatedStorage",
    );
    copy_str(
        document,
        "PreferredMaintenanceWindow",
        &mut request,
        "PreferredMaintenanceWindow",
    );
    monitoring(document, &mut request);
    insights(document, &mut request);
    request
}

/// `CreateDBInstanceReadReplica` in the same region.
///
/// Neither a subnet group nor, for MySQL, MariaDB and PostgreSQL, a parameter group may be named there: both come from
/// the source. No key either: a replica in the same region has its source's.
pub(crate) fn create_replica(instance: &DbInstance, own_tags: &[(String, String)]) -> Request {
    let document = &instance.document;
    let mut request = common(instance, own_tags);
    // It may have grown beyond its source, whose size it would be given. SQL Server takes no size.
    if !instance.engine().starts_with("sqlserver") {
        copy_int(
            document,
            "AllocatedStorage",
            &mut request,
            "AllocatedStorage",
        );
    }
    copy_int(
        document,
        "MaxAllocatedStorage",
        &mut request,
        "MaxAllocatedStorage",
    );
    monitoring(document, &mut request);
    insights(document, &mut request);
    // Not supported on replicas at creation.
    request.remove("DatabaseInsightsMode");
    request
}

/// `CreateDBInstanceReadReplica` of what is snapshot and deleted within the run: as cheap as it can be while it keeps up.
pub(crate) fn temporary_replica(instance: &DbInstance, own_tags: &[(String, String)]) -> Request {
    let mut request = create_replica(instance, own_tags);
    request.insert("MultiAZ".to_owned(), json!(false));
    // It is deleted again.
    request.insert("DeletionProtection".to_owned(), json!(false));
    for member in [
        "MonitoringInterval",
        "MonitoringRoleArn",
        "EnablePerformanceInsights",
        "PerformanceInsightsKMSKeyId",
        "PerformanceInsightsRetentionPeriod",
        "EnableCloudwatchLogsExports",
    ] {
        request.remove(member);
    }
    request
}

/// `ModifyDBInstance` after a replica: backups start at 0 there, windows are random, and the parameter group is the
/// source's.
pub(crate) fn modify_after_replica(instance: &DbInstance) -> Request {
    let document = &instance.document;
    let mut request = Request::new();
    if let Some(group) = first_str(document, "DBParameterGroups", "DBParameterGroupName") {
        request.insert("DBParameterGroupName".to_owned(), json!(group));
    }
    if int_of(document, "BackupRetentionPeriod").is_some_and(|days| days > 0) {
        copy_int(
            document,
            "BackupRetentionPeriod",
            &mut request,
            "BackupRetentionPeriod",
        );
    }
    copy_str(
        document,
        "PreferredBackupWindow",
        &mut request,
        "PreferredBackupWindow",
    );
    copy_str(
        document,
        "PreferredMaintenanceWindow",
        &mut request,
        "PreferredMaintenanceWindow",
    );
    // Refused at creation. It wants the switch and the retention beside it.
    if str_of(document, "DatabaseInsightsMode") == Some("advanced") {
        insights(document, &mut request);
    }
    // A replica takes it from its source.
    copy_str(
        document,
        "EngineLifecycleSupport",
        &mut request,
        "EngineLifecycleSupport",
    );
    request
}

/// `ModifyDBInstance` on a green instance: everything that can be modified and that RDS may not have taken over from
/// the blue one. Only what the green instance does not show is sent.
pub(crate) fn modify_green(instance: &DbInstance) -> Request {
    const COMMON: [&str; 8] = [
        "AutoMinorVersionUpgrade",
        "CACertificateIdentifier",
        "CopyTagsToSnapshot",
        "DeletionProtection",
        "EnableCloudwatchLogsExports",
        "EnableIAMDatabaseAuthentication",
        "MultiAZ",
        "PubliclyAccessible",
    ];
    let document = &instance.document;
    let mut request = common(instance, &[]);
    request.retain(|member, _| {
        COMMON.contains(&member.as_str())
            || matches!(member.as_str(), "OptionGroupName" | "VpcSecurityGroupIds")
    });
    request.extend(modify_after_restore(instance));
    request.extend(modify_after_replica(instance));
    copy_int(
        document,
        "BackupRetentionPeriod",
        &mut request,
        "BackupRetentionPeriod",
    );
    request
}

/// What restore and replica calls share.
fn common(instance: &DbInstance, own_tags: &[(String, String)]) -> Request {
    let document = &instance.document;
    let mut request = Request::new();
    copy_str(document, "DBInstanceClass", &mut request, "DBInstanceClass");
    storage(instance, &mut request);
    if bool_of(document, "MultiAZ") == Some(true) {
        // A zone may not be named together with Multi-AZ.
        request.insert("MultiAZ".to_owned(), json!(true));
    } else {
        request.insert("MultiAZ".to_owned(), json!(false));
        copy_str(
            document,
            "AvailabilityZone",
            &mut request,
            "AvailabilityZone",
        );
    }
    // Groups that are being removed are not carried over.
    let groups: Vec<&str> = list_of(document, "VpcSecurityGroups")
        .iter()
        .filter(|group| matches!(str_of(group, "Status"), Some("active" | "adding") | None))
        .filter_map(|group| str_of(group, "VpcSecurityGroupId"))
        .collect();
    if !groups.is_empty() {
        request.insert("VpcSecurityGroupIds".to_owned(), json!(groups));
    }
    if let Some(group) = first_str(document, "OptionGroupMemberships", "OptionGroupName") {
        request.insert("OptionGroupName".to_owned(), json!(group));
    }
    // DbInstancePort is 0 in most answers; the endpoint has the port.
    if let Some((_, port)) = instance.endpoint() {
        request.insert("Port".to_owned(), json!(port));
    }
    for member in [
        "PubliclyAccessible",
        "AutoMinorVersionUpgrade",
        "CopyTagsToSnapshot",
        "DeletionProtection",
    ] {
        if let Some(flag) = bool_of(document, member) {
            request.insert(member.to_owned(), json!(flag));
        }
    }
    if let Some(flag) = bool_of(document, "IAMDatabaseAuthenticationEnabled") {
        request.insert("EnableIAMDatabaseAuthentication".to_owned(), json!(flag));
    }
    // Outposts only; RDS refuses them elsewhere, so only a set value is sent.
    if bool_of(document, "CustomerOwnedIpEnabled") == Some(true) {
        request.insert("EnableCustomerOwnedIp".to_owned(), json!(true));
    }
    if bool_of(document, "DedicatedLogVolume") == Some(true) {
        request.insert("DedicatedLogVolume".to_owned(), json!(true));
    }
    copy_str(document, "NetworkType", &mut request, "NetworkType");
    copy_str(
        document,
        "CACertificateIdentifier",
        &mut request,
        "CACertificateIdentifier",
    );
    let exports: Vec<&str> = strings_of(document, "EnabledCloudwatchLogsExports").collect();
    if !exports.is_empty() {
        request.insert("EnableCloudwatchLogsExports".to_owned(), json!(exports));
    }
    let features = list_of(document, "ProcessorFeatures");
    if !features.is_empty() {
        request.insert("ProcessorFeatures".to_owned(), json!(features));
    }
    domain(document, &mut request);
    request.insert("Tags".to_owned(), tags(instance, own_tags));
    request
}

/// Storage type, IOPS and throughput.
///
/// gp3 below the striping threshold shows IOPS 3000 and throughput 125 and refuses both as arguments; at and above it
/// they are settings, from a baseline on: what is shown below that is what the volume had before it grew over the
/// threshold, and is refused, too. SQL Server has no threshold. io1 and io2 want IOPS. Without a type a restore makes gp3.
fn storage(instance: &DbInstance, request: &mut Request) {
    let document = &instance.document;
    let Some(kind) = str_of(document, "StorageType") else {
        return;
    };
    request.insert("StorageType".to_owned(), json!(kind));
    let threshold = striping_threshold(instance.engine());
    let settable = int_of(document, "AllocatedStorage").is_some_and(|gib| gib >= threshold);
    match kind {
        "gp3" if settable => {
            let baseline = if threshold == 0 {
                (3_000, 125)
            } else {
                (12_000, 500)
            };
            if int_of(document, "Iops").is_some_and(|iops| iops >= baseline.0) {
                copy_int(document, "Iops", request, "Iops");
            }
            if int_of(document, "StorageThroughput").is_some_and(|mib| mib >= baseline.1) {
                copy_int(document, "StorageThroughput", request, "StorageThroughput");
            }
        }
        "io1" | "io2" => copy_int(document, "Iops", request, "Iops"),
        _ => {}
    }
}

/// GiB from which gp3 volumes are striped.
pub(crate) fn striping_threshold(engine: &str) -> i64 {
    match engine {
        engine if engine.starts_with("sqlserver") => 0,
        engine if engine.starts_with("oracle") => 200,
        _ => 400,
    }
}

/// Enhanced monitoring: interval and role, both or neither.
fn monitoring(document: &Value, request: &mut Request) {
    let interval = int_of(document, "MonitoringInterval").unwrap_or(0);
    if let (1.., Some(role)) = (interval, str_of(document, "MonitoringRoleArn")) {
        request.insert("MonitoringInterval".to_owned(), json!(interval));
        request.insert("MonitoringRoleArn".to_owned(), json!(role));
    }
}

/// Performance Insights: key and retention only together with the switch; `advanced` needs all of them in one call.
fn insights(document: &Value, request: &mut Request) {
    if bool_of(document, "PerformanceInsightsEnabled") == Some(true) {
        request.insert("EnablePerformanceInsights".to_owned(), json!(true));
        copy_str(
            document,
            "PerformanceInsightsKMSKeyId",
            request,
            "PerformanceInsightsKMSKeyId",
        );
        copy_int(
            document,
            "PerformanceInsightsRetentionPeriod",
            request,
            "PerformanceInsightsRetentionPeriod",
        );
        if str_of(document, "DatabaseInsightsMode") == Some("advanced") {
            request.insert("DatabaseInsightsMode".to_owned(), json!("advanced"));
        }
    }
}

/// Directory membership: a managed directory by id and role, or a self-managed one by name.
fn domain(document: &Value, request: &mut Request) {
    let Some(membership) = list_of(document, "DomainMemberships").first() else {
        return;
    };
    copy_str(membership, "Domain", request, "Domain");
    copy_str(membership, "IAMRoleName", request, "DomainIAMRoleName");
    copy_str(membership, "FQDN", request, "DomainFqdn");
    copy_str(membership, "OU", request, "DomainOu");
    copy_str(membership, "AuthSecretArn", request, "DomainAuthSecretArn");
    let ips: Vec<&str> = strings_of(membership, "DnsIps").collect();
    if !ips.is_empty() {
        request.insert("DomainDnsIps".to_owned(), json!(ips));
    }
}

/// The tags of the instance, without those AWS reserves and those of an earlier run, and with ours. Given tags replace
/// the ones RDS captured with the snapshot, so all must be there.
fn tags(instance: &DbInstance, own_tags: &[(String, String)]) -> Value {
    let kept = instance
        .tags()
        .into_iter()
        .filter(|(key, _)| !key.starts_with("aws:") && !key.starts_with(TAG_PREFIX));
    let own = own_tags
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    kept.chain(own)
        .map(|(key, value)| json!({"Key": key, "Value": value}))
        .collect()
}

/// The part of a modify request that the instance does not show yet. Settings that RDS wants together stay together.
pub(crate) fn missing(request: &Request, instance: &DbInstance) -> Request {
    let shows = |member: &str, value: &Value| {
        current(member, &instance.document).is_some_and(|shown| in_order(&shown) == in_order(value))
    };
    let missing = |member: &str| {
        request
            .get(member)
            .is_some_and(|value| !shows(member, value))
    };
    let groups: [&[&str]; 2] = [
        &["MonitoringInterval", "MonitoringRoleArn"],
        &[
            "EnablePerformanceInsights",
            "PerformanceInsightsKMSKeyId",
            "PerformanceInsightsRetentionPeriod",
            "DatabaseInsightsMode",
        ],
    ];
    request
        .iter()
        .filter(|(member, _)| {
            groups
                .iter()
                .find(|group| group.contains(&member.as_str()))
                .map_or_else(
                    || missing(member),
                    |group| group.iter().any(|other| missing(other)),
                )
        })
        .map(|(member, value)| (member.clone(), value.clone()))
        .collect()
}

/// A value with its lists in one order: RDS gives them in any.
fn in_order(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items = items.clone();
            items.sort_by_key(ToString::to_string);
            Value::Array(items)
        }
        other => other.clone(),
    }
}

/// Where the describe answer shows what a modify argument sets.
fn current(member: &str, document: &Value) -> Option<Value> {
    match member {
        "EnablePerformanceInsights" => {
            bool_of(document, "PerformanceInsightsEnabled").map(Value::from)
        }
        "DBParameterGroupName" => {
            first_str(document, "DBParameterGroups", "DBParameterGroupName").map(Value::from)
        }
        "EnableIAMDatabaseAuthentication" => {
            bool_of(document, "IAMDatabaseAuthenticationEnabled").map(Value::from)
        }
        "OptionGroupName" => {
            first_str(document, "OptionGroupMemberships", "OptionGroupName").map(Value::from)
        }
        "VpcSecurityGroupIds" => Some(
            list_of(document, "VpcSecurityGroups")
                .iter()
                .filter(|group| str_of(group, "Status") != Some("removing"))
                .filter_map(|group| str_of(group, "VpcSecurityGroupId"))
                .collect(),
        ),
        "EnableCloudwatchLogsExports" => document.get("EnabledCloudwatchLogsExports").cloned(),
        // Windows come back in lower case.
        "PreferredMaintenanceWindow" | "PreferredBackupWindow" => {
            str_of(document, member).map(|window| Value::from(window.to_lowercase()))
        }
        _ => document.get(member).cloned(),
    }
}

/// First value of `member` over the items of a list. An instance has one parameter group and one option group, or
/// while a change is under way two, the old one with status `removing`.
fn first_str<'a>(document: &'a Value, list: &str, member: &str) -> Option<&'a str> {
    let items = list_of(document, list);
    let settled =
        |item: &&Value| !str_of(item, "Status").is_some_and(|status| status.contains("remov"));
    items
        .iter()
        .find(settled)
        .or_else(|| items.first())
        .and_then(|item| str_of(item, member))
}

fn copy_str(document: &Value, path: &str, request: &mut Request, argument: &str) {
    let value = match path.split_once('.') {
        Some((outer, inner)) => document.get(outer).and_then(|outer| str_of(outer, inner)),
        None => str_of(document, path),
    };
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        request.insert(argument.to_owned(), json!(value));
    }
}

fn copy_int(document: &Value, member: &str, request: &mut Request, argument: &str) {
    if let Some(value) = int_of(document, member) {
        request.insert(argument.to_owned(), json!(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(document: Value) -> DbInstance {
        DbInstance {
            region: "eu-central-1".to_owned(),
            document,
        }
    }

    #[test]
    fn gp3_below_the_threshold_sends_neither_iops_nor_throughput() {
        let mut document = json!({"Engine": "mysql", "StorageType": "gp3", "AllocatedStorage": 100, "Iops": 3000, "StorageThroughput": 125});
        let small = restore(&instance(document.clone()), &[]);
        assert!(!small.contains_key("Iops") && !small.contains_key("StorageThroughput"));
        document["AllocatedStorage"] = json!(400);
        let grown = restore(&instance(document.clone()), &[]);
        assert!(!grown.contains_key("Iops") && !grown.contains_key("StorageThroughput"));
        document["Iops"] = json!(12_000);
        document["StorageThroughput"] = json!(500);
        let large = restore(&instance(document.clone()), &[]);
        assert_eq!(
            (&large["Iops"], &large["StorageThroughput"]),
            (&json!(12_000), &json!(500))
        );
        document["AllocatedStorage"] = json!(20);
        document["Iops"] = json!(3000);
        document["Engine"] = json!("sqlserver-se");
        assert!(restore(&instance(document), &[]).contains_key("Iops"));
    }

    #[test]
    fn a_zone_is_never_named_together_with_multi_az() {
        let multi = restore(
            &instance(json!({"MultiAZ": true, "AvailabilityZone": "eu-central-1a"})),
            &[],
        );
        assert!(!multi.contains_key("AvailabilityZone"));
        let single = restore(
            &instance(json!({"MultiAZ": false, "AvailabilityZone": "eu-central-1a"})),
            &[],
        );
        assert_eq!(single["AvailabilityZone"], "eu-central-1a");
    }

    #[test]
    fn a_same_region_replica_names_no_subnet_group_parameter_group_or_key() {
        let document = json!({
            "DBSubnetGroup": {"DBSubnetGroupName": "s"}, "DBParameterGroups": [{"DBParameterGroupName": "p"}],
            "KmsKeyId": "k", "BackupRetentionPeriod": 3,
        });
        let request = create_replica(&instance(document.clone()), &[]);
        for member in [
            "DBSubnetGroupName",
            "DBParameterGroupName",
            "KmsKeyId",
            "BackupRetentionPeriod",
        ] {
            assert!(!request.contains_key(member), "{member}");
        }
        let after = modify_after_replica(&instance(document));
        assert_eq!(
            (
                &after["DBParameterGroupName"],
                &after["BackupRetentionPeriod"]
            ),
            (&json!("p"), &json!(3))
        );
    }

    #[test]
    fn monitoring_is_sent_with_its_role_or_not_at_all() {
        let off = modify_after_restore(&instance(
            json!({"MonitoringInterval": 0, "MonitoringRoleArn": "r"}),
        ));
        assert!(off.is_empty());
        let on = modify_after_restore(&instance(
            json!({"MonitoringInterval": 60, "MonitoringRoleArn": "r"}),
        ));
        assert_eq!(on.len(), 2);
    }

    #[test]
    fn tags_keep_all_but_reserved_ones_and_ours_come_last() {
        let document = json!({"TagList": [{"Key": "team", "Value": "a"}, {"Key": "aws:x", "Value": "1"}, {"Key": "atrest:run", "Value": "old"}]});
        let request = restore(
            &instance(document),
            &[("atrest:run".to_owned(), "r".to_owned())],
        );
        assert_eq!(
            request["Tags"],
            json!([{"Key": "team", "Value": "a"}, {"Key": "atrest:run", "Value": "r"}])
        );
    }

    #[test]
    fn security_groups_that_are_being_removed_stay_behind() {
        let document = json!({"VpcSecurityGroups": [
            {"VpcSecurityGroupId": "sg-1", "Status": "active"}, {"VpcSecurityGroupId": "sg-2", "Status": "removing"},
            {"VpcSecurityGroupId": "sg-3", "Status": "adding"}]});
        assert_eq!(
            restore(&instance(document), &[])["VpcSecurityGroupIds"],
            json!(["sg-1", "sg-3"])
        );
    }

    #[test]
    fn only_what_is_missing_is_modified_and_groups_stay_whole() {
        let request = modify_after_restore(&instance(json!({
            "MonitoringInterval": 60, "MonitoringRoleArn": "r", "MaxAllocatedStorage": 200,
            "PerformanceInsightsEnabled": true, "PerformanceInsightsRetentionPeriod": 465, "DatabaseInsightsMode": "advanced",
        })));
        let shown = instance(json!({
            "MaxAllocatedStorage": 200, "MonitoringInterval": 60, "MonitoringRoleArn": "r",
            "PerformanceInsightsEnabled": true, "PerformanceInsightsRetentionPeriod": 7,
        }));
        let missing = missing(&request, &shown);
        assert_eq!(
            missing.keys().map(String::as_str).collect::<Vec<_>>(),
            [
                "DatabaseInsightsMode",
                "EnablePerformanceInsights",
                "PerformanceInsightsRetentionPeriod"
            ]
        );
    }
}
