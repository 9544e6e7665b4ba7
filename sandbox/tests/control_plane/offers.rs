//! What the region offers and what waits: versions, certificates, quotas, maintenance, exports, streams,
//! replicated backups (§2.2 to §2.4).

use std::collections::BTreeMap;

use super::{Bench, NO_LAG};

#[tokio::test]
async fn versions_are_found_by_engine_family_and_default() {
    let bench = Bench::with(NO_LAG).await;
    let of = async |params: &[(&str, &str)]| {
        bench
            .ok("DescribeDBEngineVersions", params)
            .await
            .body
            .split("<DBEngineVersion>")
            .skip(1)
            .filter_map(|one| one.split("<EngineVersion>").nth(1)?.split('<').next())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of(&[("Engine", "mysql"), ("EngineVersion", "8.0")]).await,
        ["8.0.36", "8.0.39", "8.0.40"]
    );
    assert_eq!(
        of(&[("Engine", "mysql"), ("DefaultOnly", "true")]).await,
        ["8.4.3"]
    );
    assert_eq!(
        of(&[("DBParameterGroupFamily", "mariadb10.11")]).await,
        ["10.11.9", "10.11.10"]
    );
    assert_eq!(of(&[("Engine", "abacus")]).await, Vec::<String>::new());
    let one = bench
        .ok(
            "DescribeDBEngineVersions",
            &[("Engine", "mysql"), ("EngineVersion", "8.0.40")],
        )
        .await;
    assert!(
        one.body.contains("<EngineVersion>8.4.3</EngineVersion>")
            && one.text("IsMajorVersionUpgrade").as_deref() == Some("true"),
        "{}",
        one.body
    );
}

#[tokio::test]
async fn defaults_of_a_family_and_certificates_and_source_regions() {
    let bench = Bench::with(NO_LAG).await;
    let defaults = bench
        .ok(
            "DescribeEngineDefaultParameters",
            &[
                ("DBParameterGroupFamily", "mysql8.0"),
                ("Filters.Filter.1.Name", "parameter-name"),
                ("Filters.Filter.1.Values.Value.1", "datadir"),
            ],
        )
        .await;
    assert_eq!(
        (
            defaults.all("ParameterName"),
            defaults.text("IsModifiable").as_deref()
        ),
        (vec!["datadir".to_owned()], Some("false"))
    );
    bench
        .refused(
            "DescribeEngineDefaultParameters",
            &[("DBParameterGroupFamily", "none")],
            "InvalidParameterValue",
        )
        .await;
    let certificates = bench.ok("DescribeCertificates", &[]).await;
    assert_eq!(
        certificates
            .text("DefaultCertificateForNewLaunches")
            .as_deref(),
        Some("rds-ca-rsa2048-g1")
    );
    assert!(
        certificates
            .all("CertificateIdentifier")
            .contains(&"rds-ca-ecc384-g1".to_owned())
    );
    let missing = bench
        .refused(
            "DescribeCertificates",
            &[("CertificateIdentifier", "none")],
            "CertificateNotFound",
        )
        .await;
    assert_eq!(missing.status, 404);
    let regions = bench
        .ok("DescribeSourceRegions", &[])
        .await
        .all("RegionName");
    assert!(regions.contains(&"us-east-1".to_owned()));
    assert!(!regions.contains(&"eu-central-1".to_owned()));
}

/// §1.4: the storage types with their ranges, never below what is allocated.
#[tokio::test]
async fn valid_modifications_do_not_shrink_the_storage() {
    let bench = Bench::with(NO_LAG).await;
    let valid = bench
        .ok(
            "DescribeValidDBInstanceModifications",
            &[("DBInstanceIdentifier", "plain")],
        )
        .await;
    let sizes = valid.all("StorageSize");
    assert_eq!(
        valid.all("StorageType"),
        ["gp2", "gp3", "io1", "io2", "standard"]
    );
    assert!(
        sizes.iter().all(|size| size.contains("<From>100</From>")),
        "{sizes:?}"
    );
    let missing = bench
        .refused(
            "DescribeValidDBInstanceModifications",
            &[("DBInstanceIdentifier", "nobody")],
            "DBInstanceNotFound",
        )
        .await;
    assert_eq!(missing.status, 404);
}

/// §2.4: the names, and what is used of each is counted.
#[tokio::test]
async fn quotas_count_what_is_there() {
    let bench = Bench::with(NO_LAG).await;
    let used = async || {
        let answer = bench.ok("DescribeAccountAttributes", &[]).await;
        let names = answer.all("AccountQuotaName");
        assert_eq!(names.len(), 18, "{names:?}");
        names
            .into_iter()
            .zip(answer.all("Used"))
            .collect::<BTreeMap<_, _>>()
    };
    let before = used().await;
    for (name, count) in [
        ("DBInstances", "5"),
        // 100 GiB each of plain and its replica, 20 of the other three.
        ("AllocatedStorage", "260"),
        ("DBParameterGroups", "4"),
        ("DBClusterParameterGroups", "0"),
        ("OptionGroups", "1"),
        ("DBSubnetGroups", "2"),
        ("SubnetsPerDBSubnetGroup", "3"),
        ("ReadReplicasPerMaster", "1"),
        ("ManualSnapshots", "0"),
        ("EventSubscriptions", "0"),
    ] {
        assert_eq!(before.get(name).map(String::as_str), Some(count), "{name}");
    }
    bench
        .ok(
            "CreateDBClusterParameterGroup",
            &[
                ("DBClusterParameterGroupName", "c"),
                ("DBParameterGroupFamily", "aurora-mysql8.0"),
                ("Description", "x"),
            ],
        )
        .await;
    bench
        .ok(
            "CreateEventSubscription",
            &[
                ("SubscriptionName", "s"),
                ("SnsTopicArn", "arn:aws:sns:eu-central-1:111122223333:t"),
            ],
        )
        .await;
    bench.snapshot("plain", "s").await;
    let after = used().await;
    let grown: Vec<&String> = after
        .iter()
        .filter(|(name, count)| before.get(*name) != Some(*count))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        grown,
        [
            "DBClusterParameterGroups",
            "EventSubscriptions",
            "ManualSnapshots"
        ]
    );
}

const MAINTENANCE: &str = r#"
[[pending_maintenance]]
instance = "ordinary"
action = "os-upgrade"
description = "New Operating System update is available"
"#;

const APPLY: [(&str, &str); 3] = [
    (
        "ResourceIdentifier",
        "arn:aws:rds:eu-central-1:111122223333:db:ordinary",
    ),
    ("ApplyAction", "os-upgrade"),
    ("OptInType", "immediate"),
];

#[tokio::test]
async fn pending_maintenance_is_applied_at_once() {
    let bench = Bench::with(&format!("{NO_LAG}{MAINTENANCE}")).await;
    let applied = bench.ok("ApplyPendingMaintenanceAction", &APPLY).await;
    assert_eq!(applied.text("OptInStatus").as_deref(), Some("immediate"));
    bench.pass(1).await;
    assert_eq!(bench.status("ordinary").await, "maintenance");
    let other = APPLY.map(|(key, value)| {
        (
            key,
            if key == "OptInType" {
                "undo-opt-in"
            } else {
                value
            },
        )
    });
    bench
        .refused(
            "ApplyPendingMaintenanceAction",
            &other,
            "InvalidDBInstanceState",
        )
        .await;
    bench.until("ordinary", "available").await;
    let none = bench.ok("DescribePendingMaintenanceActions", &[]).await;
    assert!(!none.has("Action"), "{}", none.body);
    let gone = bench
        .refused(
            "ApplyPendingMaintenanceAction",
            &APPLY,
            "ResourceNotFoundFault",
        )
        .await;
    assert_eq!(gone.status, 404);
}

#[tokio::test]
async fn an_opt_in_for_the_next_window_can_be_taken_back() {
    let bench = Bench::with(&format!("{NO_LAG}{MAINTENANCE}")).await;
    let opt = |kind| APPLY.map(|(key, value)| (key, if key == "OptInType" { kind } else { value }));
    let next = bench
        .ok("ApplyPendingMaintenanceAction", &opt("next-maintenance"))
        .await;
    assert_eq!(
        next.text("OptInStatus").as_deref(),
        Some("next-maintenance")
    );
    assert!(next.has("CurrentApplyDate"));
    let undone = bench
        .ok("ApplyPendingMaintenanceAction", &opt("undo-opt-in"))
        .await;
    assert!(!undone.has("OptInStatus") && !undone.has("CurrentApplyDate"));
    for (key, value) in [("ApplyAction", "dance"), ("OptInType", "maybe")] {
        let wrong = APPLY.map(|(name, old)| (name, if name == key { value } else { old }));
        bench
            .refused(
                "ApplyPendingMaintenanceAction",
                &wrong,
                "InvalidParameterValue",
            )
            .await;
    }
}

#[tokio::test]
async fn an_export_runs_and_can_be_cancelled_while_it_does() {
    let bench = Bench::with(NO_LAG).await;
    bench.snapshot("plain", "s").await;
    let source = "arn:aws:rds:eu-central-1:111122223333:snapshot:s";
    let start = |id| {
        [
            ("ExportTaskIdentifier", id),
            ("SourceArn", source),
            ("S3BucketName", "bucket"),
            ("IamRoleArn", "arn:aws:iam::111122223333:role/export"),
            ("KmsKeyId", "alias/mine"),
        ]
    };
    let started = bench.ok("StartExportTask", &start("one")).await;
    assert_eq!(started.text("Status").as_deref(), Some("STARTING"));
    bench
        .refused("StartExportTask", &start("one"), "ExportTaskAlreadyExists")
        .await;
    let disabled = start("x").map(|(key, value)| {
        (
            key,
            if key == "KmsKeyId" {
                "alias/disabled"
            } else {
                value
            },
        )
    });
    bench
        .refused("StartExportTask", &disabled, "KMSKeyNotAccessibleFault")
        .await;
    let missing = start("x").map(|(key, value)| {
        (
            key,
            if key == "SourceArn" {
                "arn:aws:rds:eu-central-1:111122223333:snapshot:none"
            } else {
                value
            },
        )
    });
    bench
        .refused("StartExportTask", &missing, "DBSnapshotNotFound")
        .await;
    bench.ok("StartExportTask", &start("two")).await;
    bench.pass(301).await;
    let cancelled = bench
        .ok("CancelExportTask", &[("ExportTaskIdentifier", "two")])
        .await;
    assert_eq!(cancelled.text("Status").as_deref(), Some("CANCELING"));
    bench.pass(2_300).await;
    let status = async |id| {
        bench
            .ok("DescribeExportTasks", &[("ExportTaskIdentifier", id)])
            .await
            .text("Status")
            .expect("a status")
    };
    assert_eq!(status("one").await, "COMPLETE");
    assert_eq!(status("two").await, "CANCELED");
    bench
        .refused(
            "CancelExportTask",
            &[("ExportTaskIdentifier", "one")],
            "InvalidExportTaskStateFault",
        )
        .await;
    let none = bench
        .refused(
            "DescribeExportTasks",
            &[("ExportTaskIdentifier", "none")],
            "ExportTaskNotFound",
        )
        .await;
    assert_eq!(none.status, 404);
}

#[tokio::test]
async fn an_activity_stream_belongs_to_a_cluster() {
    let scenario = r#"
[[clusters]]
id = "sky"
engine = "aurora-mysql"
engine_version = "8.0.mysql_aurora.3.05.2"
"#;
    let bench = Bench::with(&format!("{NO_LAG}{scenario}")).await;
    let start = |arn| {
        [
            ("ResourceArn", arn),
            ("Mode", "async"),
            ("KmsKeyId", "alias/mine"),
        ]
    };
    bench
        .refused(
            "StartActivityStream",
            &start("arn:aws:rds:eu-central-1:111122223333:db:plain"),
            "InvalidParameterCombination",
        )
        .await;
    let sky = "arn:aws:rds:eu-central-1:111122223333:cluster:sky";
    let started = bench.ok("StartActivityStream", &start(sky)).await;
    assert_eq!(started.text("Status").as_deref(), Some("starting"));
    bench
        .refused(
            "StartActivityStream",
            &start(sky),
            "InvalidDBClusterStateFault",
        )
        .await;
    bench.pass(301).await;
    let cluster = async || {
        bench
            .ok("DescribeDBClusters", &[("DBClusterIdentifier", "sky")])
            .await
    };
    let shown = cluster().await;
    assert_eq!(
        (
            shown.text("ActivityStreamStatus").as_deref(),
            shown.text("ActivityStreamMode").as_deref()
        ),
        (Some("started"), Some("async"))
    );
    bench
        .ok("StopActivityStream", &[("ResourceArn", sky)])
        .await;
    bench.pass(181).await;
    assert_eq!(
        cluster().await.text("ActivityStreamStatus").as_deref(),
        Some("stopped")
    );
    bench
        .refused(
            "StopActivityStream",
            &[("ResourceArn", sky)],
            "InvalidDBClusterStateFault",
        )
        .await;
}

/// §1.1 (3): automated backups in another region are asked for there.
#[tokio::test]
async fn automated_backups_are_replicated_into_another_region() {
    let mut bench = Bench::with(NO_LAG).await;
    let source = |id: &str| format!("arn:aws:rds:eu-central-1:111122223333:db:{id}");
    bench.region = "us-east-1";
    let start = async |bench: &Bench, id: &str, more: &[(&str, &str)]| {
        let arn = source(id);
        let mut params = vec![("SourceDBInstanceArn", arn.as_str())];
        params.extend(more);
        bench
            .call("StartDBInstanceAutomatedBackupsReplication", &params)
            .await
    };
    for (id, more, code) in [
        ("nobody", vec![], "DBInstanceNotFound"),
        ("no-backups", vec![], "InvalidDBInstanceState"),
        ("locked", vec![], "InvalidParameterCombination"),
        (
            "plain",
            vec![("BackupRetentionPeriod", "36")],
            "InvalidParameterValue",
        ),
    ] {
        assert_eq!(start(&bench, id, &more).await.code(), code, "{id}");
    }
    let started = start(&bench, "locked", &[("KmsKeyId", "alias/mine")]).await;
    assert_eq!(
        started.text("Status").as_deref(),
        Some("pending"),
        "{}",
        started.body
    );
    let arn = started
        .text("DBInstanceAutomatedBackupsArn")
        .expect("an ARN");
    assert!(arn.starts_with("arn:aws:rds:us-east-1:111122223333:auto-backup:ab-"));
    bench.pass(901).await;
    let kept = bench.ok("DescribeDBInstanceAutomatedBackups", &[]).await;
    assert_eq!(
        (
            kept.text("Status").as_deref(),
            kept.text("Region").as_deref(),
            kept.text("DBInstanceIdentifier").as_deref()
        ),
        (Some("replicating"), Some("eu-central-1"), Some("locked"))
    );
    bench.region = "eu-central-1";
    let instance = bench.instance("locked").await.expect("there");
    assert_eq!(instance.text("DBInstanceAutomatedBackupsArn"), Some(arn));
    bench.region = "us-east-1";
    bench
        .ok(
            "StopDBInstanceAutomatedBackupsReplication",
            &[("SourceDBInstanceArn", &source("locked"))],
        )
        .await;
    bench.region = "eu-central-1";
    let instance = bench.instance("locked").await.expect("there");
    assert!(!instance.has("DBInstanceAutomatedBackupsArn"));
}
