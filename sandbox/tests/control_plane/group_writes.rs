//! Writes to parameter, option and subnet groups: §2.1, §2.2 (wire codes), §5 (parameter groups).

use super::{Bench, NO_LAG};

const CREATE: [(&str, &str); 3] = [
    ("DBParameterGroupName", "Mine"),
    ("DBParameterGroupFamily", "mysql8.0"),
    ("Description", "of one's own"),
];

/// `Parameters` with one entry.
fn one<'a>(
    group: &'a str,
    name: &'a str,
    value: &'a str,
    method: &'a str,
) -> [(&'a str, &'a str); 4] {
    [
        ("DBParameterGroupName", group),
        ("Parameters.Parameter.1.ParameterName", name),
        ("Parameters.Parameter.1.ParameterValue", value),
        ("Parameters.Parameter.1.ApplyMethod", method),
    ]
}

async fn apply_status(bench: &Bench, id: &str) -> String {
    bench
        .instance(id)
        .await
        .and_then(|answer| answer.text("ParameterApplyStatus"))
        .expect("an instance")
}

/// Lets time pass until the group of an instance has been applied, and returns the status then.
async fn applied(bench: &Bench, id: &str) -> String {
    assert_eq!(apply_status(bench, id).await, "applying");
    for _ in 0..100 {
        bench.pass(1).await;
        let status = apply_status(bench, id).await;
        if status != "applying" {
            return status;
        }
    }
    panic!("{id} is applying for ever");
}

async fn value(bench: &Bench, group: &str, name: &str) -> (Option<String>, String, String) {
    let answer = bench
        .ok(
            "DescribeDBParameters",
            &[
                ("DBParameterGroupName", group),
                ("Filters.Filter.1.Name", "parameter-name"),
                ("Filters.Filter.1.Values.Value.1", name),
            ],
        )
        .await;
    assert_eq!(answer.all("ParameterName"), [name]);
    (
        answer.text("ParameterValue"),
        answer.text("Source").expect("a source"),
        answer.text("ApplyMethod").expect("a method"),
    )
}

#[tokio::test]
async fn a_group_comes_into_being_is_copied_and_goes() {
    let bench = Bench::with(NO_LAG).await;
    let made = bench.ok("CreateDBParameterGroup", &CREATE).await;
    assert_eq!(
        (
            made.text("DBParameterGroupName").as_deref(),
            made.text("DBParameterGroupArn").as_deref()
        ),
        (
            Some("mine"),
            Some("arn:aws:rds:eu-central-1:111122223333:pg:mine")
        )
    );
    bench
        .refused(
            "CreateDBParameterGroup",
            &CREATE,
            "DBParameterGroupAlreadyExists",
        )
        .await;
    bench
        .ok(
            "ModifyDBParameterGroup",
            &one("mine", "long_query_time", "3", "immediate"),
        )
        .await;
    bench
        .ok(
            "CopyDBParameterGroup",
            &[
                (
                    "SourceDBParameterGroupIdentifier",
                    "arn:aws:rds:eu-central-1:111122223333:pg:mine",
                ),
                ("TargetDBParameterGroupIdentifier", "copy"),
                ("TargetDBParameterGroupDescription", "a copy"),
                ("Tags.Tag.1.Key", "of"),
                ("Tags.Tag.1.Value", "mine"),
            ],
        )
        .await;
    assert_eq!(
        value(&bench, "copy", "long_query_time").await,
        (Some("3".into()), "user".into(), "immediate".into())
    );
    let tags = bench
        .ok(
            "ListTagsForResource",
            &[(
                "ResourceName",
                "arn:aws:rds:eu-central-1:111122223333:pg:copy",
            )],
        )
        .await;
    assert_eq!(tags.all("Key"), ["of"]);
    let gone = bench
        .ok(
            "DeleteDBParameterGroup",
            &[("DBParameterGroupName", "mine")],
        )
        .await;
    assert!(!gone.has("DeleteDBParameterGroupResult"), "{}", gone.body);
    let missing = bench
        .refused(
            "DeleteDBParameterGroup",
            &[("DBParameterGroupName", "mine")],
            "DBParameterGroupNotFound",
        )
        .await;
    assert_eq!(missing.status, 404);
}

#[tokio::test]
async fn names_and_families_of_groups_are_checked() {
    let bench = Bench::with(NO_LAG).await;
    for (name, value) in [
        ("DBParameterGroupName", "default.mine"),
        ("DBParameterGroupFamily", "mysql9.9"),
        ("Description", ""),
    ] {
        let params = CREATE.map(|(key, old)| (key, if key == name { value } else { old }));
        let code = bench.call("CreateDBParameterGroup", &params).await.code();
        let wanted = if value.is_empty() {
            "MissingParameter"
        } else {
            "InvalidParameterValue"
        };
        assert_eq!(code, wanted, "{name}");
    }
    // A family that has no clusters has no cluster groups.
    bench
        .refused(
            "CreateDBClusterParameterGroup",
            &[
                ("DBClusterParameterGroupName", "c"),
                ("DBParameterGroupFamily", "mariadb10.11"),
                ("Description", "x"),
            ],
            "InvalidParameterValue",
        )
        .await;
}

/// §2.4: fifty parameter groups of one's own.
#[tokio::test]
async fn the_quota_of_parameter_groups_counts_one_s_own() {
    let bench = Bench::with(NO_LAG).await;
    // The fleet has four.
    for number in 0..46 {
        let name = format!("g{number}");
        let params = CREATE.map(|(key, old)| {
            (
                key,
                if key == "DBParameterGroupName" {
                    name.as_str()
                } else {
                    old
                },
            )
        });
        bench.ok("CreateDBParameterGroup", &params).await;
    }
    bench
        .refused(
            "CreateDBParameterGroup",
            &CREATE,
            "DBParameterGroupQuotaExceeded",
        )
        .await;
}

/// §5: default groups cannot be edited; nor do they go.
#[tokio::test]
async fn default_groups_stay_as_they_are() {
    let bench = Bench::with(NO_LAG).await;
    let name = "default.mysql8.0";
    bench
        .refused(
            "ModifyDBParameterGroup",
            &one(name, "long_query_time", "3", "immediate"),
            "InvalidParameterValue",
        )
        .await;
    bench
        .refused(
            "ResetDBParameterGroup",
            &[("DBParameterGroupName", name)],
            "InvalidParameterValue",
        )
        .await;
    let refused = bench
        .refused(
            "DeleteDBParameterGroup",
            &[("DBParameterGroupName", name)],
            "InvalidDBParameterGroupState",
        )
        .await;
    assert_eq!(
        refused.text("Message").as_deref(),
        Some("Default DBParameterGroup cannot be deleted: default.mysql8.0")
    );
}

#[tokio::test]
async fn a_group_in_use_cannot_be_deleted() {
    let bench = Bench::with(NO_LAG).await;
    let refused = bench
        .refused(
            "DeleteDBParameterGroup",
            &[("DBParameterGroupName", "dynamic")],
            "InvalidDBParameterGroupState",
        )
        .await;
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.text("Message").as_deref(),
        Some(
            "One or more database instances are still members of this parameter group dynamic, so the group cannot be deleted"
        )
    );
}

/// §5: dynamic parameters apply to the members at once.
#[tokio::test]
async fn a_dynamic_parameter_is_applied_and_then_in_sync() {
    let bench = Bench::with(NO_LAG).await;
    bench
        .ok(
            "ModifyDBParameterGroup",
            &one("dynamic", "long_query_time", "5", "immediate"),
        )
        .await;
    // The replica has its source's group.
    assert_eq!(apply_status(&bench, "replica").await, "applying");
    assert_eq!(applied(&bench, "plain").await, "in-sync");
    assert_eq!(apply_status(&bench, "ordinary").await, "in-sync");
    assert_eq!(bench.status("plain").await, "available");
    assert_eq!(
        value(&bench, "dynamic", "long_query_time").await,
        (Some("5".into()), "user".into(), "immediate".into())
    );
}

#[tokio::test]
async fn a_value_that_is_there_already_changes_nothing() {
    let bench = Bench::with(NO_LAG).await;
    bench
        .ok(
            "ModifyDBParameterGroup",
            &one("dynamic", "long_query_time", "1", "immediate"),
        )
        .await;
    assert_eq!(apply_status(&bench, "plain").await, "in-sync");
}

/// §5: static parameters wait for a reboot, which nothing replaces.
#[tokio::test]
async fn a_static_parameter_waits_for_a_reboot_through_later_dynamic_changes() {
    let bench = Bench::with(NO_LAG).await;
    let refused = bench
        .refused(
            "ModifyDBParameterGroup",
            &one("dynamic", "performance_schema", "1", "immediate"),
            "InvalidParameterCombination",
        )
        .await;
    assert_eq!(
        refused.text("Message").as_deref(),
        Some("cannot use immediate apply method for static parameter")
    );
    bench
        .ok(
            "ModifyDBParameterGroup",
            &one("dynamic", "performance_schema", "1", "pending-reboot"),
        )
        .await;
    assert_eq!(applied(&bench, "plain").await, "pending-reboot");
    bench
        .ok(
            "ModifyDBParameterGroup",
            &one("dynamic", "long_query_time", "7", "immediate"),
        )
        .await;
    assert_eq!(applied(&bench, "plain").await, "pending-reboot");
    bench.pass(8 * 86_400 / 100).await;
    assert_eq!(apply_status(&bench, "plain").await, "pending-reboot");
    bench
        .ok("RebootDBInstance", &[("DBInstanceIdentifier", "plain")])
        .await;
    bench.until("plain", "available").await;
    assert_eq!(apply_status(&bench, "plain").await, "in-sync");
    // The other member of the group was not rebooted.
    assert_eq!(apply_status(&bench, "replica").await, "pending-reboot");
}

/// §5: nothing but a reboot clears pending-reboot, whatever brought it about.
#[tokio::test]
async fn an_instance_that_waits_since_it_got_its_group_goes_on_waiting() {
    let bench = Bench::with(NO_LAG).await;
    bench
        .ok(
            "ModifyDBInstance",
            &[
                ("DBInstanceIdentifier", "ordinary"),
                ("DBParameterGroupName", "static"),
            ],
        )
        .await;
    bench.pass(61).await;
    assert_eq!(apply_status(&bench, "ordinary").await, "pending-reboot");
    bench
        .ok(
            "ModifyDBParameterGroup",
            &one("static", "long_query_time", "2", "immediate"),
        )
        .await;
    assert_eq!(applied(&bench, "ordinary").await, "pending-reboot");
    bench
        .ok("RebootDBInstance", &[("DBInstanceIdentifier", "ordinary")])
        .await;
    bench.until("ordinary", "available").await;
    bench
        .ok(
            "ModifyDBParameterGroup",
            &one("static", "long_query_time", "3", "immediate"),
        )
        .await;
    assert_eq!(applied(&bench, "ordinary").await, "in-sync");
}

#[tokio::test]
async fn a_dynamic_parameter_may_wait_for_a_reboot_too() {
    let bench = Bench::with(NO_LAG).await;
    bench
        .ok(
            "ModifyDBParameterGroup",
            &one("dynamic", "long_query_time", "5", "pending-reboot"),
        )
        .await;
    assert_eq!(applied(&bench, "plain").await, "pending-reboot");
    assert_eq!(
        value(&bench, "dynamic", "long_query_time").await,
        (Some("5".into()), "user".into(), "pending-reboot".into())
    );
    // The same value again, at once this time: it no longer waits as a setting, but the instance still does.
    bench
        .ok(
            "ModifyDBParameterGroup",
            &one("dynamic", "long_query_time", "6", "immediate"),
        )
        .await;
    assert_eq!(applied(&bench, "plain").await, "pending-reboot");
    bench.rename("plain", "renamed").await;
    assert_eq!(apply_status(&bench, "renamed").await, "in-sync");
}

#[tokio::test]
async fn parameters_are_checked_one_by_one() {
    let bench = Bench::with(NO_LAG).await;
    for (name, value, method, code) in [
        ("no_such_thing", "1", "immediate", "InvalidParameterValue"),
        ("datadir", "/tmp", "pending-reboot", "InvalidParameterValue"),
        ("wait_timeout", "long", "immediate", "InvalidParameterValue"),
        ("slow_query_log", "ON", "immediate", "InvalidParameterValue"),
        (
            "lower_case_table_names",
            "2",
            "pending-reboot",
            "InvalidParameterValue",
        ),
        ("wait_timeout", "60", "later", "InvalidParameterValue"),
        ("wait_timeout", "60", "", "MissingParameter"),
        ("wait_timeout", "", "immediate", "MissingParameter"),
    ] {
        bench
            .refused(
                "ModifyDBParameterGroup",
                &one("dynamic", name, value, method),
                code,
            )
            .await;
    }
    // Nothing of a refused call is kept.
    let mut both = one("dynamic", "wait_timeout", "60", "immediate").to_vec();
    both.extend([
        ("Parameters.Parameter.2.ParameterName", "datadir"),
        ("Parameters.Parameter.2.ParameterValue", "/tmp"),
        ("Parameters.Parameter.2.ApplyMethod", "pending-reboot"),
    ]);
    bench
        .refused("ModifyDBParameterGroup", &both, "InvalidParameterValue")
        .await;
    assert_eq!(value(&bench, "dynamic", "wait_timeout").await.0, None);
    // A formula is a value.
    bench
        .ok(
            "ModifyDBParameterGroup",
            &one(
                "dynamic",
                "max_connections",
                "{DBInstanceClassMemory/12582880}",
                "immediate",
            ),
        )
        .await;
}

#[tokio::test]
async fn twenty_parameters_at_a_time() {
    let bench = Bench::with(NO_LAG).await;
    let keys: Vec<[String; 3]> = (1..=21)
        .map(|number| {
            ["ParameterName", "ParameterValue", "ApplyMethod"]
                .map(|member| format!("Parameters.Parameter.{number}.{member}"))
        })
        .collect();
    let mut params = vec![("DBParameterGroupName", "dynamic")];
    for [name, value, method] in &keys {
        params.push((name.as_str(), "wait_timeout"));
        params.push((value.as_str(), "60"));
        params.push((method.as_str(), "immediate"));
    }
    let refused = bench
        .refused("ModifyDBParameterGroup", &params, "InvalidParameterValue")
        .await;
    assert!(refused.body.contains("20"), "{}", refused.body);
}

#[tokio::test]
async fn a_reset_brings_back_the_defaults() {
    let bench = Bench::with(NO_LAG).await;
    for (name, value, method) in [
        ("wait_timeout", "60", "immediate"),
        ("performance_schema", "1", "pending-reboot"),
    ] {
        bench
            .ok(
                "ModifyDBParameterGroup",
                &one("dynamic", name, value, method),
            )
            .await;
        bench.pass(61).await;
    }
    bench
        .ok(
            "ResetDBParameterGroup",
            &[
                ("DBParameterGroupName", "dynamic"),
                ("Parameters.Parameter.1.ParameterName", "wait_timeout"),
                ("Parameters.Parameter.1.ApplyMethod", "immediate"),
            ],
        )
        .await;
    assert_eq!(
        value(&bench, "dynamic", "wait_timeout").await.1,
        "engine-default"
    );
    assert_eq!(
        value(&bench, "dynamic", "performance_schema").await.1,
        "user"
    );
    bench
        .refused(
            "ResetDBParameterGroup",
            &[
                ("DBParameterGroupName", "dynamic"),
                ("ResetAllParameters", "true"),
                ("Parameters.Parameter.1.ParameterName", "wait_timeout"),
                ("Parameters.Parameter.1.ApplyMethod", "immediate"),
            ],
            "InvalidParameterCombination",
        )
        .await;
    bench
        .ok(
            "ResetDBParameterGroup",
            &[
                ("DBParameterGroupName", "dynamic"),
                ("ResetAllParameters", "true"),
            ],
        )
        .await;
    let user = bench
        .ok(
            "DescribeDBParameters",
            &[("DBParameterGroupName", "dynamic"), ("Source", "user")],
        )
        .await;
    assert!(user.all("ParameterName").is_empty(), "{}", user.body);
}

const CLUSTER: &str = r#"
[[cluster_parameter_groups]]
name = "aurora"
family = "aurora-mysql8.0"

[[clusters]]
id = "sky"
engine = "aurora-mysql"
engine_version = "8.0.mysql_aurora.3.05.2"
parameter_group = "aurora"

[[instances]]
id = "sky-1"
cluster = "sky"
cluster_writer = true
"#;

async fn cluster_status(bench: &Bench) -> String {
    bench
        .ok("DescribeDBClusters", &[("DBClusterIdentifier", "sky")])
        .await
        .text("DBClusterParameterGroupStatus")
        .expect("a member")
}

#[tokio::test]
async fn members_of_a_cluster_follow_the_cluster_s_group() {
    let bench = Bench::with(&format!("{NO_LAG}{CLUSTER}")).await;
    let names = bench
        .ok("DescribeDBClusterParameterGroups", &[])
        .await
        .all("DBClusterParameterGroupName");
    assert!(names.contains(&"aurora".to_owned()));
    assert!(names.contains(&"default.aurora-mysql8.0".to_owned()));
    assert!(!names.contains(&"default.mariadb10.11".to_owned()));
    // Cluster groups answer with the instance groups' code (the model's errors of these operations).
    let missing = bench
        .refused(
            "DescribeDBClusterParameters",
            &[("DBClusterParameterGroupName", "nowhere")],
            "DBParameterGroupNotFound",
        )
        .await;
    assert_eq!(missing.status, 404);
    bench
        .refused(
            "DeleteDBClusterParameterGroup",
            &[("DBClusterParameterGroupName", "aurora")],
            "InvalidDBParameterGroupState",
        )
        .await;
    let change = |name, value, method| {
        [
            ("DBClusterParameterGroupName", "aurora"),
            ("Parameters.Parameter.1.ParameterName", name),
            ("Parameters.Parameter.1.ParameterValue", value),
            ("Parameters.Parameter.1.ApplyMethod", method),
        ]
    };
    bench
        .ok(
            "ModifyDBClusterParameterGroup",
            &change("wait_timeout", "60", "immediate"),
        )
        .await;
    assert_eq!(cluster_status(&bench).await, "applying");
    bench.pass(61).await;
    assert_eq!(cluster_status(&bench).await, "in-sync");
    bench
        .ok(
            "ModifyDBClusterParameterGroup",
            &change("performance_schema", "1", "pending-reboot"),
        )
        .await;
    bench.pass(61).await;
    assert_eq!(cluster_status(&bench).await, "pending-reboot");
    bench
        .ok("RebootDBInstance", &[("DBInstanceIdentifier", "sky-1")])
        .await;
    bench.until("sky-1", "available").await;
    assert_eq!(cluster_status(&bench).await, "in-sync");
}

#[tokio::test]
async fn an_option_group_is_changed_at_once_or_in_the_window() {
    let bench = Bench::with(NO_LAG).await;
    let option = |at_once| {
        [
            ("OptionGroupName", "own"),
            (
                "OptionsToInclude.OptionConfiguration.1.OptionName",
                "MARIADB_AUDIT_PLUGIN",
            ),
            (
                "OptionsToInclude.OptionConfiguration.1.OptionSettings.OptionSetting.1.Name",
                "SERVER_AUDIT_EVENTS",
            ),
            (
                "OptionsToInclude.OptionConfiguration.1.OptionSettings.OptionSetting.1.Value",
                "CONNECT",
            ),
            ("ApplyImmediately", at_once),
        ]
    };
    let status = async || {
        let plain = bench.instance("plain").await.expect("there");
        let membership = plain.text("OptionGroupMembership").expect("a membership");
        membership
            .split("<Status>")
            .nth(1)
            .and_then(|rest| rest.split('<').next())
            .map(str::to_owned)
            .expect("a status")
    };
    let changed = bench.ok("ModifyOptionGroup", &option("true")).await;
    assert_eq!(changed.all("OptionName"), ["MARIADB_AUDIT_PLUGIN"]);
    assert_eq!(status().await, "applying");
    bench.pass(61).await;
    assert_eq!(status().await, "in-sync");
    bench.ok("ModifyOptionGroup", &option("false")).await;
    assert_eq!(status().await, "pending-maintenance-apply");
    bench
        .refused(
            "ModifyOptionGroup",
            &[
                ("OptionGroupName", "own"),
                (
                    "OptionsToInclude.OptionConfiguration.1.OptionName",
                    "TIMEZONE",
                ),
            ],
            "InvalidParameterValue",
        )
        .await;
    bench
        .refused(
            "ModifyOptionGroup",
            &[("OptionGroupName", "own")],
            "InvalidParameterCombination",
        )
        .await;
}

#[tokio::test]
async fn option_groups_come_are_copied_and_go_unless_somebody_needs_them() {
    let bench = Bench::with(NO_LAG).await;
    let create = [
        ("OptionGroupName", "fresh"),
        ("EngineName", "mysql"),
        ("MajorEngineVersion", "8.0"),
        ("OptionGroupDescription", "new"),
    ];
    bench.ok("CreateOptionGroup", &create).await;
    bench
        .refused(
            "CreateOptionGroup",
            &create,
            "OptionGroupAlreadyExistsFault",
        )
        .await;
    let wrong = create.map(|(key, value)| {
        (
            key,
            if key == "MajorEngineVersion" {
                "9"
            } else {
                value
            },
        )
    });
    bench
        .refused("CreateOptionGroup", &wrong, "InvalidParameterValue")
        .await;
    bench
        .ok(
            "CopyOptionGroup",
            &[
                ("SourceOptionGroupIdentifier", "fresh"),
                ("TargetOptionGroupIdentifier", "second"),
                ("TargetOptionGroupDescription", "copy"),
            ],
        )
        .await;
    bench
        .ok("DeleteOptionGroup", &[("OptionGroupName", "second")])
        .await;
    let missing = bench
        .refused(
            "DeleteOptionGroup",
            &[("OptionGroupName", "second")],
            "OptionGroupNotFoundFault",
        )
        .await;
    assert_eq!(missing.status, 404);
    for name in ["own", "default:mysql-8-0"] {
        bench
            .refused(
                "DeleteOptionGroup",
                &[("OptionGroupName", name)],
                "InvalidOptionGroupStateFault",
            )
            .await;
    }
}

#[tokio::test]
async fn a_persistent_option_stays_while_the_group_is_used() {
    let scenario = r#"
[[option_groups]]
name = "sealed"
engine = "mysql"
major_version = "8.0"
options = [{ name = "TDE", persistent = true }]

[[instances]]
id = "sealed-1"
engine = "mysql"
engine_version = "8.0.39"
option_group = "sealed"
"#;
    let bench = Bench::with(&format!("{NO_LAG}{scenario}")).await;
    bench
        .refused(
            "ModifyOptionGroup",
            &[
                ("OptionGroupName", "sealed"),
                ("OptionsToRemove.member.1", "TDE"),
            ],
            "InvalidOptionGroupStateFault",
        )
        .await;
}

async fn subnets(bench: &Bench, group: &str) -> Vec<String> {
    bench
        .ok("DescribeDBSubnetGroups", &[("DBSubnetGroupName", group)])
        .await
        .all("SubnetIdentifier")
}

#[tokio::test]
async fn a_subnet_group_covers_two_zones_of_one_vpc() {
    let bench = Bench::with(NO_LAG).await;
    let subnets = subnets(&bench, "default").await;
    let create = |name, one, two| {
        [
            ("DBSubnetGroupName", name),
            ("DBSubnetGroupDescription", "new"),
            ("SubnetIds.SubnetIdentifier.1", one),
            ("SubnetIds.SubnetIdentifier.2", two),
        ]
    };
    let made = bench
        .ok(
            "CreateDBSubnetGroup",
            &create("Fresh_1", &subnets[0], &subnets[1]),
        )
        .await;
    assert_eq!(
        (
            made.text("DBSubnetGroupName").as_deref(),
            made.all("SubnetIdentifier").as_slice()
        ),
        (Some("fresh_1"), &subnets[..2])
    );
    for (name, one, two, code) in [
        (
            "fresh_1",
            &subnets[0],
            &subnets[1],
            "DBSubnetGroupAlreadyExists",
        ),
        ("default", &subnets[0], &subnets[1], "InvalidParameterValue"),
        (
            "x",
            &subnets[0],
            &subnets[0],
            "DBSubnetGroupDoesNotCoverEnoughAZs",
        ),
        ("x", &subnets[0], &"subnet-0".to_owned(), "InvalidSubnet"),
    ] {
        bench
            .refused("CreateDBSubnetGroup", &create(name, one, two), code)
            .await;
    }
    bench
        .ok("DeleteDBSubnetGroup", &[("DBSubnetGroupName", "fresh_1")])
        .await;
    let missing = bench
        .refused(
            "DeleteDBSubnetGroup",
            &[("DBSubnetGroupName", "fresh_1")],
            "DBSubnetGroupNotFoundFault",
        )
        .await;
    assert_eq!(missing.status, 404);
}

#[tokio::test]
async fn a_subnet_group_in_use_keeps_the_zones_of_its_instances() {
    let bench = Bench::with(NO_LAG).await;
    let refused = bench
        .refused(
            "DeleteDBSubnetGroup",
            &[("DBSubnetGroupName", "data")],
            "InvalidDBSubnetGroupStateFault",
        )
        .await;
    assert_eq!(
        refused.text("Message").as_deref(),
        Some(
            "Cannot delete the subnet group &apos;data&apos; because at least one database instance: plain is still using it."
        )
    );
    // The group has the zones a and b, and its instances are in both; b and c would not do.
    let (data, default) = (
        subnets(&bench, "data").await,
        subnets(&bench, "default").await,
    );
    bench
        .refused(
            "ModifyDBSubnetGroup",
            &[
                ("DBSubnetGroupName", "data"),
                ("SubnetIds.SubnetIdentifier.1", &data[1]),
                ("SubnetIds.SubnetIdentifier.2", &default[2]),
            ],
            "SubnetAlreadyInUse",
        )
        .await;
    let changed = bench
        .ok(
            "ModifyDBSubnetGroup",
            &[
                ("DBSubnetGroupName", "data"),
                ("SubnetIds.SubnetIdentifier.1", &data[0]),
                ("SubnetIds.SubnetIdentifier.2", &data[1]),
                ("SubnetIds.SubnetIdentifier.3", &default[2]),
            ],
        )
        .await;
    assert_eq!(changed.all("SubnetIdentifier").len(), 3);
}
