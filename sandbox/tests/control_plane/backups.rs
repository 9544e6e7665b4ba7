//! Automated backups: point-in-time restores, what outlives its instance, and how it goes.

use super::{Bench, NO_LAG, Refusal};

const DELETE_PLAIN: [(&str, &str); 3] = [
    ("DBInstanceIdentifier", "plain"),
    ("SkipFinalSnapshot", "true"),
    ("DeleteAutomatedBackups", "false"),
];

async fn resource_id(bench: &Bench, id: &str) -> String {
    bench
        .instance(id)
        .await
        .and_then(|answer| answer.text("DbiResourceId"))
        .expect("a resource id")
}

#[tokio::test]
async fn a_point_in_time_restore_falls_back_to_the_same_defaults_as_a_snapshot() {
    let bench = Bench::with(NO_LAG).await;
    bench
        .ok(
            "RestoreDBInstanceToPointInTime",
            &[
                ("SourceDBInstanceIdentifier", "plain"),
                ("TargetDBInstanceIdentifier", "new"),
                ("UseLatestRestorableTime", "true"),
            ],
        )
        .await;
    assert_eq!(
        bench.until("new", "available").await,
        ["creating", "backing-up", "available"]
    );
    // Its source is not disturbed.
    assert_eq!(bench.status("plain").await, "available");
    let new = bench.instance("new").await.expect("there");
    let text = |name: &str| new.text(name).unwrap_or_else(|| "absent".to_owned());
    let expected = [
        ("MultiAZ", "false"),
        ("DBSubnetGroupName", "default"),
        ("DBParameterGroupName", "default.mysql8.0"),
        ("OptionGroupName", "default:mysql-8-0"),
        ("StorageType", "gp3"),
        ("MonitoringInterval", "0"),
        ("IAMDatabaseAuthenticationEnabled", "false"),
        ("DeletionProtection", "false"),
        ("Port", "3310"),
        ("BackupRetentionPeriod", "5"),
        ("AllocatedStorage", "100"),
        ("Value", "&lt;&amp;&gt;"),
        ("StorageEncrypted", "false"),
    ];
    for (name, value) in expected {
        assert_eq!(text(name), value, "{name}");
    }
    assert_ne!(text("DbiResourceId"), resource_id(&bench, "plain").await);
    let events = bench
        .ok(
            "DescribeEvents",
            &[("SourceIdentifier", "new"), ("SourceType", "db-instance")],
        )
        .await;
    assert!(
        events
            .all("Message")
            .iter()
            .any(|text| text.starts_with("Restored from DB instance plain to 20")),
        "{}",
        events.body
    );
}

#[tokio::test]
async fn a_point_in_time_restore_of_an_encrypted_instance_keeps_its_key() {
    let bench = Bench::with(NO_LAG).await;
    bench
        .ok(
            "RestoreDBInstanceToPointInTime",
            &[
                ("SourceDBInstanceIdentifier", "locked"),
                ("TargetDBInstanceIdentifier", "new"),
                ("UseLatestRestorableTime", "true"),
            ],
        )
        .await;
    bench.until("new", "available").await;
    let (old, new) = (
        bench.instance("locked").await.expect("there"),
        bench.instance("new").await.expect("there"),
    );
    assert_eq!(old.text("KmsKeyId"), new.text("KmsKeyId"));
    assert_eq!(
        new.text("StorageEncryptionType").as_deref(),
        Some("sse-kms")
    );
}

/// §2.1: codes and statuses of the refusals.
#[tokio::test]
async fn point_in_time_restores_that_rds_refuses() {
    let bench = Bench::with(NO_LAG).await;
    let latest = bench
        .instance("plain")
        .await
        .and_then(|answer| answer.text("LatestRestorableTime"))
        .expect("backups are on");
    let source = ("SourceDBInstanceIdentifier", "plain");
    let target = ("TargetDBInstanceIdentifier", "new");
    let now = ("UseLatestRestorableTime", "true");
    let cases: [Refusal<'_>; 12] = [
        (&[source, now], "MissingParameter", 400),
        (&[target, now], "InvalidParameterCombination", 400),
        (
            &[source, ("SourceDbiResourceId", "db-X"), target, now],
            "InvalidParameterCombination",
            400,
        ),
        (&[source, target], "InvalidParameterCombination", 400),
        (
            &[source, target, now, ("RestoreTime", &latest)],
            "InvalidParameterCombination",
            400,
        ),
        (
            &[source, target, ("RestoreTime", "2099-01-01T00:00:00Z")],
            "InvalidParameterValue",
            400,
        ),
        (
            &[source, target, ("RestoreTime", "2001-01-01T00:00:00Z")],
            "InvalidParameterValue",
            400,
        ),
        (
            &[("SourceDBInstanceIdentifier", "none"), target, now],
            "DBInstanceNotFound",
            404,
        ),
        (
            &[("SourceDbiResourceId", "db-NONE"), target, now],
            "DBInstanceAutomatedBackupNotFound",
            404,
        ),
        (
            &[source, ("TargetDBInstanceIdentifier", "locked"), now],
            "DBInstanceAlreadyExists",
            400,
        ),
        (
            &[("SourceDBInstanceIdentifier", "no-backups"), target, now],
            "PointInTimeRestoreNotEnabled",
            400,
        ),
        (
            &[
                source,
                target,
                now,
                ("MultiAZ", "true"),
                ("AvailabilityZone", "eu-central-1a"),
            ],
            "InvalidParameterCombination",
            400,
        ),
    ];
    for (params, code, status) in cases {
        let answer = bench.call("RestoreDBInstanceToPointInTime", params).await;
        assert_eq!(
            (answer.code().as_str(), answer.status),
            (code, status),
            "{params:?}: {}",
            answer.body
        );
    }
    bench
        .ok(
            "RestoreDBInstanceToPointInTime",
            &[source, target, ("RestoreTime", &latest)],
        )
        .await;
}

#[tokio::test]
async fn backups_that_were_kept_outlive_their_instance_and_can_be_restored() {
    let bench = Bench::with(NO_LAG).await;
    let resource = resource_id(&bench, "plain").await;
    bench
        .refused(
            "DeleteDBInstanceAutomatedBackup",
            &[("DbiResourceId", &resource)],
            "InvalidDBInstanceAutomatedBackupState",
        )
        .await;
    bench.ok("DeleteDBInstance", &DELETE_PLAIN).await;
    bench.until("plain", "-").await;
    for (name, value) in [
        ("status", "retained"),
        ("db-instance-id", "plain"),
        ("dbi-resource-id", resource.as_str()),
    ] {
        let found = bench
            .ok(
                "DescribeDBInstanceAutomatedBackups",
                &[
                    ("Filters.Filter.1.Name", name),
                    ("Filters.Filter.1.Values.Value.1", value),
                ],
            )
            .await;
        assert_eq!(found.all("DbiResourceId"), [resource.as_str()], "{name}");
        assert_eq!(found.text("Status").as_deref(), Some("retained"));
    }
    let active = bench
        .ok(
            "DescribeDBInstanceAutomatedBackups",
            &[
                ("Filters.Filter.1.Name", "status"),
                ("Filters.Filter.1.Values.Value.1", "active"),
            ],
        )
        .await;
    assert!(!active.body.contains(&resource), "{}", active.body);
    let arn = bench
        .ok(
            "DescribeDBInstanceAutomatedBackups",
            &[("DbiResourceId", &resource)],
        )
        .await
        .text("DBInstanceAutomatedBackupsArn")
        .expect("an ARN");
    for (source, name, target) in [
        ("SourceDbiResourceId", resource.as_str(), "by-id"),
        (
            "SourceDBInstanceAutomatedBackupsArn",
            arn.as_str(),
            "by-arn",
        ),
    ] {
        bench
            .ok(
                "RestoreDBInstanceToPointInTime",
                &[
                    (source, name),
                    ("TargetDBInstanceIdentifier", target),
                    ("UseLatestRestorableTime", "true"),
                ],
            )
            .await;
        bench.until(target, "available").await;
        let new = bench.instance(target).await.expect("there");
        assert_eq!(new.text("MasterUsername").as_deref(), Some("admin"));
        assert_eq!(new.text("Port").as_deref(), Some("3310"));
    }
    bench
        .ok(
            "DeleteDBInstanceAutomatedBackup",
            &[("DBInstanceAutomatedBackupsArn", &arn)],
        )
        .await;
    bench
        .refused(
            "DescribeDBInstanceAutomatedBackups",
            &[("DbiResourceId", &resource)],
            "DBInstanceAutomatedBackupNotFound",
        )
        .await;
    let again = bench
        .refused(
            "DeleteDBInstanceAutomatedBackup",
            &[("DbiResourceId", &resource)],
            "DBInstanceAutomatedBackupNotFound",
        )
        .await;
    assert_eq!(again.status, 404);
}

#[tokio::test]
async fn kept_backups_go_with_their_retention_period() {
    let bench = Bench::with(NO_LAG).await;
    let resource = resource_id(&bench, "locked").await;
    bench
        .ok(
            "DeleteDBInstance",
            &[
                ("DBInstanceIdentifier", "locked"),
                ("SkipFinalSnapshot", "true"),
                ("DeleteAutomatedBackups", "false"),
            ],
        )
        .await;
    bench.until("locked", "-").await;
    let named = [("DbiResourceId", resource.as_str())];
    bench.pass(86_400 - 600).await;
    bench.ok("DescribeDBInstanceAutomatedBackups", &named).await;
    bench.pass(1_200).await;
    bench
        .refused(
            "DescribeDBInstanceAutomatedBackups",
            &named,
            "DBInstanceAutomatedBackupNotFound",
        )
        .await;
}

const AUTOMATED: &str = r#"
[[snapshots]]
id = "rds:plain-2026-11-23"
instance = "plain"
snapshot_type = "automated"

[[snapshots]]
id = "by-hand"
instance = "plain"
snapshot_type = "manual"
"#;

#[tokio::test]
async fn automated_snapshots_go_with_the_backups_and_manual_ones_stay() {
    let bench = Bench::with(&format!("{AUTOMATED}{NO_LAG}")).await;
    bench.ok("DeleteDBInstance", &DELETE_PLAIN[..2]).await;
    bench.until("plain", "-").await;
    let left = bench
        .ok("DescribeDBSnapshots", &[("DBInstanceIdentifier", "plain")])
        .await;
    assert_eq!(left.all("DBSnapshotIdentifier"), ["by-hand"]);

    let bench = Bench::with(&format!("{AUTOMATED}{NO_LAG}")).await;
    bench.ok("DeleteDBInstance", &DELETE_PLAIN).await;
    bench.until("plain", "-").await;
    let left = bench
        .ok("DescribeDBSnapshots", &[("DBInstanceIdentifier", "plain")])
        .await;
    assert_eq!(left.all("DBSnapshotIdentifier").len(), 2);
}

#[tokio::test]
async fn an_instance_being_created_has_a_backup_being_created() {
    let bench = Bench::with(NO_LAG).await;
    bench.snapshot("plain", "s").await;
    bench
        .ok(
            "RestoreDBInstanceFromDBSnapshot",
            &[
                ("DBInstanceIdentifier", "new"),
                ("DBSnapshotIdentifier", "s"),
            ],
        )
        .await;
    let creating = bench
        .ok(
            "DescribeDBInstanceAutomatedBackups",
            &[
                ("Filters.Filter.1.Name", "status"),
                ("Filters.Filter.1.Values.Value.1", "creating"),
            ],
        )
        .await;
    assert_eq!(creating.all("DBInstanceIdentifier"), ["new"]);
    // There is nothing yet to restore to.
    bench
        .refused(
            "RestoreDBInstanceToPointInTime",
            &[
                ("SourceDBInstanceIdentifier", "new"),
                ("TargetDBInstanceIdentifier", "newer"),
                ("UseLatestRestorableTime", "true"),
            ],
            "InvalidDBInstanceState",
        )
        .await;
}
