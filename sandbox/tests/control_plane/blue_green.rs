//! Blue/green deployments: §3.3 (1), events of §2.6, wire codes of §2.2.

use super::client::Answer;
use super::{Bench, NO_LAG};

/// A source with a replica, unencrypted, and what must be refused.
const FLEET: &str = r#"
[[instances]]
id = "managed"
engine = "mysql"
engine_version = "8.0.39"
managed_password = true

[[instances]]
id = "chained"
engine = "mysql"
engine_version = "8.0.39"

[[instances]]
id = "chained-1"
replica_of = "chained"
backup_retention = 1

[[instances]]
id = "chained-2"
replica_of = "chained-1"

[[instances]]
id = "proxied"
engine = "mysql"
engine_version = "8.0.39"

[[proxies]]
name = "front"
engine_family = "MYSQL"
targets = ["proxied"]

[[instances]]
id = "logged"
engine = "mysql"
engine_version = "8.0.39"
dedicated_log_volume = true

[[instances]]
id = "logged-1"
replica_of = "logged"

[[instances]]
id = "oracle"
engine = "oracle-ee"
engine_version = "19.0.0"

[[clusters]]
id = "sky"
engine = "aurora-mysql"
engine_version = "8.0.mysql_aurora.3.05.2"

[[instances]]
id = "sky-1"
cluster = "sky"
cluster_writer = true
"#;

fn arn(id: &str) -> String {
    format!("arn:aws:rds:eu-central-1:111122223333:db:{id}")
}

async fn create(bench: &Bench, source: &str, more: &[(&str, &str)]) -> Answer {
    let source = arn(source);
    let mut params = vec![("BlueGreenDeploymentName", "move"), ("Source", &source)];
    params.extend(more);
    bench.call("CreateBlueGreenDeployment", &params).await
}

async fn describe(bench: &Bench, id: &str) -> Answer {
    bench
        .ok(
            "DescribeBlueGreenDeployments",
            &[("BlueGreenDeploymentIdentifier", id)],
        )
        .await
}

/// The deployment's own status: the last one that is written.
fn status(answer: &Answer) -> String {
    answer.all("Status").pop().expect("a status")
}

/// Lets time pass until the deployment has a status, and returns those on the way.
async fn until(bench: &Bench, id: &str, wanted: &str) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for _ in 0..2_000 {
        let now = status(&describe(bench, id).await);
        if seen.last() != Some(&now) {
            seen.push(now.clone());
        }
        if now == wanted {
            return seen;
        }
        bench.pass(2).await;
    }
    panic!("the deployment is never {wanted}: {seen:?}");
}

fn id(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer
        .text("BlueGreenDeploymentIdentifier")
        .expect("an identifier")
}

/// The name at the end of an ARN.
fn name(arn: &str) -> String {
    arn.rsplit(':').next().expect("a name").to_owned()
}

/// `plain` has a replica: both get a key.
fn encrypted() -> [(&'static str, String); 4] {
    [
        (
            "TargetResourceConfigurations.TargetResourceConfiguration.1.SourceArn",
            arn("plain"),
        ),
        (
            "TargetResourceConfigurations.TargetResourceConfiguration.1.TargetKmsKeyId",
            "alias/mine".to_owned(),
        ),
        (
            "TargetResourceConfigurations.TargetResourceConfiguration.2.SourceArn",
            arn("replica"),
        ),
        (
            "TargetResourceConfigurations.TargetResourceConfiguration.2.TargetKmsKeyId",
            "alias/mine".to_owned(),
        ),
    ]
}

fn borrowed<'a>(params: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    params
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect()
}

#[tokio::test]
async fn green_is_an_encrypted_copy_of_the_whole_topology_and_takes_over_its_names() {
    let bench = Bench::with(NO_LAG).await;
    let plain = bench.instance("plain").await.expect("there");
    let config = encrypted();
    let made = create(&bench, "plain", &borrowed(&config)).await;
    let id = id(&made);
    assert!(id.starts_with("bgd-"), "{id}");
    assert_eq!(status(&made), "PROVISIONING");
    assert_eq!(
        made.all("Name"),
        [
            "CREATING_READ_REPLICA_OF_SOURCE",
            "CONFIGURE_BACKUPS",
            "CREATING_TOPOLOGY_OF_SOURCE"
        ]
    );
    assert_eq!(made.text("Source"), Some(arn("plain")));
    let targets: Vec<String> = made
        .all("TargetMember")
        .iter()
        .map(|arn| name(arn))
        .collect();
    let [green, second] = targets.as_slice() else {
        panic!("two pairs: {targets:?}");
    };
    assert!(green.starts_with("plain-green-"), "{green}");
    assert!(second.starts_with("replica-green-"), "{second}");

    assert_eq!(
        until(&bench, &id, "AVAILABLE").await,
        ["PROVISIONING", "AVAILABLE"]
    );
    let shown = describe(&bench, &id).await;
    assert!(
        shown.all("Status")[..2]
            .iter()
            .all(|status| status == "AVAILABLE"),
        "{}",
        shown.body
    );
    assert_eq!(
        shown.all("Status")[2..5],
        ["COMPLETED", "COMPLETED", "COMPLETED"]
    );
    for (green, group) in [(green, "dynamic"), (second, "dynamic")] {
        let instance = bench.instance(green).await.expect("there");
        let text = |name: &str| instance.text(name).unwrap_or_default();
        assert_eq!(text("StorageEncrypted"), "true");
        assert_eq!(text("StorageEncryptionType"), "sse-kms");
        assert!(text("KmsKeyId").contains(":key/"), "{}", text("KmsKeyId"));
        assert_eq!(text("DBParameterGroupName"), group);
        assert_eq!(text("DBInstanceStatus"), "available");
        assert!(instance.body.contains("<Status>replicating</Status>"));
    }
    let text = |answer: &Answer, name: &str| answer.text(name).unwrap_or_default();
    let twin = bench.instance(green).await.expect("there");
    for member in [
        "MultiAZ",
        "BackupRetentionPeriod",
        "IAMDatabaseAuthenticationEnabled",
        "MonitoringInterval",
        "PreferredMaintenanceWindow",
        "TagList",
        "AllocatedStorage",
    ] {
        assert_eq!(text(&twin, member), text(&plain, member), "{member}");
    }
    assert_eq!(
        text(&twin, "ReadReplicaSourceDBInstanceIdentifier"),
        "plain"
    );
    let (blue_id, green_id) = (text(&plain, "DbiResourceId"), text(&twin, "DbiResourceId"));

    // Switchover: names and endpoints change places, resource ids do not.
    let started = bench
        .ok(
            "SwitchoverBlueGreenDeployment",
            &[("BlueGreenDeploymentIdentifier", &id)],
        )
        .await;
    assert_eq!(status(&started), "SWITCHOVER_IN_PROGRESS");
    until(&bench, &id, "SWITCHOVER_COMPLETED").await;
    let now = bench.instance("plain").await.expect("the new one");
    assert_eq!(text(&now, "DbiResourceId"), green_id);
    assert!(text(&now, "Address").starts_with("plain."));
    assert!(!now.has("ReadReplicaSourceDBInstanceIdentifier"));
    assert!(!now.has("DBInstanceStatusInfo"), "{}", now.body);
    assert_eq!(text(&now, "StorageEncrypted"), "true");
    let old = bench.instance("plain-old1").await.expect("the old one");
    assert_eq!(text(&old, "DbiResourceId"), blue_id);
    assert!(text(&old, "Address").starts_with("plain-old1."));
    assert_eq!(text(&old, "StorageEncrypted"), "false");
    // Each replica stays with its source.
    assert_eq!(text(&now, "ReadReplicaDBInstanceIdentifier"), "replica");
    assert_eq!(
        text(&old, "ReadReplicaDBInstanceIdentifier"),
        "replica-old1"
    );
    assert!(bench.instance(green).await.is_none());
    let shown = describe(&bench, &id).await;
    assert_eq!(shown.text("Source"), Some(arn("plain-old1")));
    assert_eq!(shown.text("Target"), Some(arn("plain")));

    let events = bench
        .ok(
            "DescribeEvents",
            &[("SourceType", "blue-green-deployment"), ("Duration", "600")],
        )
        .await
        .all("Message");
    assert_eq!(
        events,
        [
            "Blue/green deployment tasks completed. You can make more modifications to the green environment databases or switch over the deployment.".to_owned(),
            "Switchover started on blue/green deployment.".to_owned(),
            format!("Switchover from primary source plain to target {green} completed. Renamed plain to plain-old1 and {green} to plain."),
            format!("Switchover from source replica to target {second} completed. Renamed replica to replica-old1 and {second} to replica."),
            "Switchover completed on blue/green deployment.".to_owned(),
        ]
    );
    // The deployment goes, the instances stay.
    bench
        .refused(
            "DeleteBlueGreenDeployment",
            &[
                ("BlueGreenDeploymentIdentifier", &id),
                ("DeleteTarget", "true"),
            ],
            "InvalidParameterCombination",
        )
        .await;
    bench
        .ok(
            "DeleteBlueGreenDeployment",
            &[("BlueGreenDeploymentIdentifier", &id)],
        )
        .await;
    bench.pass(302).await;
    let gone = bench
        .refused(
            "DescribeBlueGreenDeployments",
            &[("BlueGreenDeploymentIdentifier", &id)],
            "BlueGreenDeploymentNotFoundFault",
        )
        .await;
    assert_eq!(gone.status, 404);
    assert_eq!(bench.status("plain-old1").await, "available");
    assert_eq!(bench.status("plain").await, "available");
}

#[tokio::test]
async fn without_a_key_green_is_as_its_blue_one() {
    let bench = Bench::with(NO_LAG).await;
    let made = create(&bench, "locked", &[]).await;
    let id = id(&made);
    until(&bench, &id, "AVAILABLE").await;
    let green = name(&made.text("Target").expect("a target"));
    let of = async |id: &str| bench.instance(id).await.expect("there").text("KmsKeyId");
    assert_eq!(of(&green).await, of("locked").await);
    assert!(of(&green).await.is_some());
}

/// Every instance of the topology needs an entry of its own.
#[tokio::test]
async fn a_replica_without_an_entry_of_its_own_is_refused() {
    let bench = Bench::with(NO_LAG).await;
    let config = encrypted();
    for half in [&config[..2], &config[2..]] {
        let refused = create(&bench, "plain", &borrowed(half)).await;
        assert_eq!(
            refused.code(),
            "InvalidParameterCombination",
            "{}",
            refused.body
        );
    }
    // An instance that is no part of it.
    let mut other = config.clone();
    other[2].1 = arn("ordinary");
    let refused = create(&bench, "plain", &borrowed(&other)).await;
    assert_eq!(refused.code(), "InvalidParameterValue", "{}", refused.body);
    // A key that cannot be used.
    let mut disabled = config.clone();
    disabled[1].1 = "alias/disabled".to_owned();
    let refused = create(&bench, "plain", &borrowed(&disabled)).await;
    assert_eq!(
        refused.code(),
        "KMSKeyNotAccessibleFault",
        "{}",
        refused.body
    );
    assert!(
        bench
            .ok("DescribeBlueGreenDeployments", &[])
            .await
            .all("Source")
            .is_empty()
    );
}

#[tokio::test]
async fn a_region_may_refuse_to_change_encryption_and_nothing_else() {
    let knob = "\n[knobs]\ndescribe_lag = [0, 0]\nno_blue_green_encryption = [\"eu-central-1\"]\n";
    let bench = Bench::with(knob).await;
    let config = encrypted();
    let refused = create(&bench, "plain", &borrowed(&config)).await;
    assert_eq!(refused.code(), "InvalidParameterCombination");
    assert!(
        refused
            .text("Message")
            .is_some_and(|text| text.contains("isn&apos;t supported")),
        "{}",
        refused.body
    );
    assert_eq!(create(&bench, "plain", &[]).await.status, 200);
}

#[tokio::test]
async fn what_cannot_be_a_source_is_refused() {
    let bench = Bench::with(&format!("{NO_LAG}{FLEET}")).await;
    for (source, code) in [
        ("replica", "SourceDatabaseNotSupportedFault"),
        ("managed", "SourceDatabaseNotSupportedFault"),
        ("chained", "SourceDatabaseNotSupportedFault"),
        ("proxied", "SourceDatabaseNotSupportedFault"),
        ("logged", "SourceDatabaseNotSupportedFault"),
        ("oracle", "SourceDatabaseNotSupportedFault"),
        ("sky-1", "SourceDatabaseNotSupportedFault"),
        ("no-backups", "InvalidDBInstanceState"),
        ("nobody", "DBInstanceNotFound"),
    ] {
        let refused = create(&bench, source, &[]).await;
        assert_eq!(refused.code(), code, "{source}: {}", refused.body);
        assert_eq!(
            refused.status,
            if code == "DBInstanceNotFound" {
                404
            } else {
                400
            }
        );
    }
    for (source, code) in [
        (
            "arn:aws:rds:eu-central-1:111122223333:cluster:sky",
            "SourceClusterNotSupportedFault",
        ),
        (
            "arn:aws:rds:eu-central-1:111122223333:cluster:none",
            "DBClusterNotFoundFault",
        ),
        ("plain", "InvalidParameterValue"),
        (
            "arn:aws:rds:us-east-1:111122223333:db:plain",
            "InvalidParameterValue",
        ),
    ] {
        bench
            .refused(
                "CreateBlueGreenDeployment",
                &[("BlueGreenDeploymentName", "x"), ("Source", source)],
                code,
            )
            .await;
    }
}

#[tokio::test]
async fn what_green_is_to_be_is_checked() {
    let bench = Bench::with(NO_LAG).await;
    for (params, code) in [
        (
            ("TargetEngineVersion", "8.0.11"),
            "InvalidParameterCombination",
        ),
        (
            ("TargetEngineVersion", "8.0.36"),
            "InvalidParameterCombination",
        ),
        (
            ("TargetDBParameterGroupName", "nowhere"),
            "DBParameterGroupNotFound",
        ),
        (
            ("TargetDBParameterGroupName", "other-family"),
            "InvalidParameterCombination",
        ),
        (("TargetStorageType", "io1"), "InvalidParameterCombination"),
    ] {
        let refused = create(&bench, "ordinary", &[params]).await;
        assert_eq!(refused.code(), code, "{params:?}: {}", refused.body);
    }
    let refused = create(
        &bench,
        "locked",
        &[("TargetDBInstanceClass", "db.m1.small")],
    )
    .await;
    assert_eq!(refused.code(), "InvalidParameterCombination");
    for bad in ["", "1st", "a--b", "a-", "a_b"] {
        let source = arn("ordinary");
        let code = bench
            .call(
                "CreateBlueGreenDeployment",
                &[("BlueGreenDeploymentName", bad), ("Source", &source)],
            )
            .await
            .code();
        assert!(
            ["InvalidParameterValue", "MissingParameter"].contains(&code.as_str()),
            "{bad}: {code}"
        );
    }
}

#[tokio::test]
async fn green_may_have_another_version_class_and_group() {
    let bench = Bench::with(NO_LAG).await;
    let made = create(
        &bench,
        "ordinary",
        &[
            ("TargetEngineVersion", "8.4"),
            ("TargetDBInstanceClass", "db.m6g.large"),
        ],
    )
    .await;
    let id = id(&made);
    assert_eq!(
        made.all("Name"),
        [
            "CREATING_READ_REPLICA_OF_SOURCE",
            "DB_ENGINE_VERSION_UPGRADE",
            "CONFIGURE_BACKUPS"
        ]
    );
    until(&bench, &id, "AVAILABLE").await;
    let green = name(&made.text("Target").expect("a target"));
    let instance = bench.instance(&green).await.expect("there");
    for (name, value) in [
        ("EngineVersion", "8.4.3"),
        ("DBInstanceClass", "db.m6g.large"),
        ("DBParameterGroupName", "default.mysql8.4"),
        ("OptionGroupName", "default:mysql-8-4"),
    ] {
        assert_eq!(instance.text(name).as_deref(), Some(value), "{name}");
    }
}

#[tokio::test]
async fn one_name_and_one_source_once() {
    let bench = Bench::with(NO_LAG).await;
    let first = create(&bench, "ordinary", &[]).await;
    let id = id(&first);
    assert_eq!(
        create(&bench, "locked", &[]).await.code(),
        "BlueGreenDeploymentAlreadyExistsFault"
    );
    for code in ["InvalidBlueGreenDeploymentStateFault"; 2] {
        for action in ["SwitchoverBlueGreenDeployment", "DeleteBlueGreenDeployment"] {
            bench
                .refused(action, &[("BlueGreenDeploymentIdentifier", &id)], code)
                .await;
        }
    }
    until(&bench, &id, "AVAILABLE").await;
    let source = arn("ordinary");
    bench
        .refused(
            "CreateBlueGreenDeployment",
            &[("BlueGreenDeploymentName", "other"), ("Source", &source)],
            "InvalidDBInstanceState",
        )
        .await;
    // Filters: by name, source, target; without a match an empty list.
    for (filter, value, found) in [
        ("blue-green-deployment-identifier", id.as_str(), 1),
        ("blue-green-deployment-name", "move", 1),
        ("source", &source, 1),
        ("target", &first.text("Target").expect("a target"), 1),
        ("source", &arn("locked"), 0),
    ] {
        let answer = bench
            .ok(
                "DescribeBlueGreenDeployments",
                &[
                    ("Filters.Filter.1.Name", filter),
                    ("Filters.Filter.1.Values.Value.1", value),
                ],
            )
            .await;
        assert_eq!(answer.all("Source").len(), found, "{filter} {value}");
    }
}

#[tokio::test]
async fn a_deployment_is_deleted_with_or_without_its_green_side() {
    let bench = Bench::with(NO_LAG).await;
    let with = create(&bench, "plain", &[]).await;
    let (id_with, greens) = (
        id(&with),
        with.all("TargetMember")
            .iter()
            .map(|arn| name(arn))
            .collect::<Vec<_>>(),
    );
    until(&bench, &id_with, "AVAILABLE").await;
    bench
        .ok(
            "DeleteBlueGreenDeployment",
            &[
                ("BlueGreenDeploymentIdentifier", &id_with),
                ("DeleteTarget", "true"),
            ],
        )
        .await;
    assert_eq!(status(&describe(&bench, &id_with).await), "DELETING");
    assert_eq!(bench.status(&greens[0]).await, "deleting");
    bench.pass(302).await;
    for green in &greens {
        assert!(bench.instance(green).await.is_none(), "{green}");
    }
    assert_eq!(bench.status("plain").await, "available");

    let without = create(&bench, "ordinary", &[]).await;
    let (id_without, green) = (
        id(&without),
        name(&without.text("Target").expect("a target")),
    );
    until(&bench, &id_without, "AVAILABLE").await;
    bench
        .ok(
            "DeleteBlueGreenDeployment",
            &[("BlueGreenDeploymentIdentifier", &id_without)],
        )
        .await;
    bench.pass(302).await;
    let alone = bench.instance(&green).await.expect("still there");
    assert!(!alone.has("ReadReplicaSourceDBInstanceIdentifier"));
    let blue = bench.instance("ordinary").await.expect("there");
    assert!(!blue.has("ReadReplicaDBInstanceIdentifier"));
}

#[tokio::test]
async fn a_deployment_that_lost_an_instance_is_invalid() {
    let bench = Bench::with(NO_LAG).await;
    let made = create(&bench, "ordinary", &[]).await;
    let (id, green) = (id(&made), name(&made.text("Target").expect("a target")));
    until(&bench, &id, "AVAILABLE").await;
    bench
        .ok(
            "DeleteDBInstance",
            &[
                ("DBInstanceIdentifier", &green),
                ("SkipFinalSnapshot", "true"),
            ],
        )
        .await;
    until(&bench, &id, "INVALID_CONFIGURATION").await;
    assert_eq!(
        describe(&bench, &id).await.all("Status")[0],
        "MISSING_TARGET"
    );
    bench
        .refused(
            "SwitchoverBlueGreenDeployment",
            &[("BlueGreenDeploymentIdentifier", &id)],
            "InvalidBlueGreenDeploymentStateFault",
        )
        .await;
}

/// A switchover that takes longer than its timeout changes nothing.
#[tokio::test]
async fn a_switchover_out_of_time_is_rolled_back() {
    let slow = "\n[knobs]\ndescribe_lag = [0, 0]\npace = 2.0\n";
    let bench = Bench::with(slow).await;
    let made = create(&bench, "ordinary", &[]).await;
    let (id, green) = (id(&made), name(&made.text("Target").expect("a target")));
    until(&bench, &id, "AVAILABLE").await;
    bench
        .refused(
            "SwitchoverBlueGreenDeployment",
            &[
                ("BlueGreenDeploymentIdentifier", &id),
                ("SwitchoverTimeout", "29"),
            ],
            "InvalidParameterValue",
        )
        .await;
    bench
        .ok(
            "SwitchoverBlueGreenDeployment",
            &[
                ("BlueGreenDeploymentIdentifier", &id),
                ("SwitchoverTimeout", "30"),
            ],
        )
        .await;
    assert_eq!(
        until(&bench, &id, "SWITCHOVER_FAILED").await,
        ["SWITCHOVER_IN_PROGRESS", "SWITCHOVER_FAILED"]
    );
    assert_eq!(bench.status(&green).await, "available");
    assert_eq!(bench.status("ordinary").await, "available");
    assert!(bench.instance("ordinary-old1").await.is_none());
    let events = bench
        .ok("DescribeEvents", &[("SourceType", "blue-green-deployment")])
        .await
        .all("Message");
    assert_eq!(
        events.last().map(String::as_str),
        Some("Switchover canceled on blue/green deployment.")
    );
    // With more time it works.
    bench
        .ok(
            "SwitchoverBlueGreenDeployment",
            &[("BlueGreenDeploymentIdentifier", &id)],
        )
        .await;
    until(&bench, &id, "SWITCHOVER_COMPLETED").await;
}

#[tokio::test]
async fn the_quota_counts_the_whole_green_side() {
    let bench = Bench::with(&format!("{NO_LAG}[quotas]\ninstances = 6\n")).await;
    // Five instances are there; the topology of plain has two.
    assert_eq!(
        create(&bench, "plain", &[]).await.code(),
        "InstanceQuotaExceeded"
    );
    assert_eq!(create(&bench, "ordinary", &[]).await.status, 200);
}
