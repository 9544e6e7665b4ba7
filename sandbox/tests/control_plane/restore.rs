use super::{Bench, NO_LAG};

/// Knobs with a lottery whose outcome is known.
fn lottery(chance: f64) -> String {
    format!("\n[knobs]\ndescribe_lag = [0, 0]\npending_reboot_chance = {chance:.1}\n")
}

#[tokio::test]
async fn what_a_restore_is_not_told_falls_back_to_its_default() {
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
    let seen = bench.until("new", "available").await;
    assert_eq!(seen, ["creating", "backing-up", "available"]);
    let new = bench.instance("new").await.expect("there");
    let text = |name: &str| new.text(name).unwrap_or_else(|| "absent".to_owned());
    let expected = [
        ("MultiAZ", "false"),
        ("DBSubnetGroupName", "default"),
        ("DBParameterGroupName", "default.mysql8.0"),
        ("OptionGroupName", "default:mysql-8-0"),
        ("StorageType", "gp3"),
        ("Iops", "3000"),
        ("IAMDatabaseAuthenticationEnabled", "false"),
        ("MonitoringInterval", "0"),
        ("MonitoringRoleArn", "absent"),
        ("PerformanceInsightsEnabled", "false"),
        ("MaxAllocatedStorage", "absent"),
        ("EnabledCloudwatchLogsExports", "absent"),
        ("CopyTagsToSnapshot", "false"),
        ("DeletionProtection", "false"),
        // These come from the snapshot.
        ("Port", "3310"),
        ("BackupRetentionPeriod", "5"),
        ("AllocatedStorage", "100"),
        ("MasterUsername", "admin"),
        ("Value", "&lt;&amp;&gt;"),
    ];
    for (name, value) in expected {
        assert_eq!(text(name), value, "{name}");
    }
    assert_ne!(text("VpcSecurityGroupId"), "sg-11111111111111111");
}

#[tokio::test]
async fn a_key_on_the_copy_encrypts_the_restored_instance() {
    let bench = Bench::with(NO_LAG).await;
    bench.snapshot("plain", "s").await;
    let copy = [
        ("SourceDBSnapshotIdentifier", "s"),
        ("TargetDBSnapshotIdentifier", "e"),
        ("KmsKeyId", "alias/mine"),
    ];
    let answer = bench.ok("CopyDBSnapshot", &copy).await;
    assert_eq!(
        (
            answer.text("Status").as_deref(),
            answer.text("PercentProgress").as_deref()
        ),
        (Some("creating"), Some("0"))
    );
    // A copy is not usable before it is complete.
    bench
        .refused(
            "RestoreDBInstanceFromDBSnapshot",
            &[
                ("DBInstanceIdentifier", "new"),
                ("DBSnapshotIdentifier", "e"),
            ],
            "InvalidDBSnapshotState",
        )
        .await;
    bench.until_snapshot("e").await;
    let copied = bench
        .ok("DescribeDBSnapshots", &[("DBSnapshotIdentifier", "e")])
        .await;
    assert_eq!(copied.text("Encrypted").as_deref(), Some("true"));
    assert!(
        copied
            .text("KmsKeyId")
            .is_some_and(|key| key.starts_with("arn:aws:kms:eu-central-1:111122223333:key/"))
    );
    assert!(
        !copied.has("SourceDBSnapshotIdentifier"),
        "only cross-region copies name their source"
    );
    bench
        .refused("CopyDBSnapshot", &copy, "DBSnapshotAlreadyExists")
        .await;
    bench
        .ok(
            "RestoreDBInstanceFromDBSnapshot",
            &[
                ("DBInstanceIdentifier", "new"),
                ("DBSnapshotIdentifier", "e"),
            ],
        )
        .await;
    bench.until("new", "available").await;
    let new = bench.instance("new").await.expect("there");
    assert_eq!(
        (
            new.text("StorageEncrypted").as_deref(),
            new.text("StorageEncryptionType").as_deref()
        ),
        (Some("true"), Some("sse-kms"))
    );
    assert_eq!(new.text("KmsKeyId"), copied.text("KmsKeyId"));
}

#[tokio::test]
async fn a_key_that_is_disabled_or_unknown_is_not_accessible() {
    let bench = Bench::with(NO_LAG).await;
    bench.snapshot("plain", "s").await;
    for key in ["alias/disabled", "alias/none", "not-a-key"] {
        let params = [
            ("SourceDBSnapshotIdentifier", "s"),
            ("TargetDBSnapshotIdentifier", "e"),
            ("KmsKeyId", key),
        ];
        bench
            .refused("CopyDBSnapshot", &params, "KMSKeyNotAccessibleFault")
            .await;
    }
}

#[tokio::test]
async fn an_encrypted_copy_cannot_go_onto_a_class_without_encryption() {
    let bench = Bench::with(NO_LAG).await;
    bench.snapshot("locked", "s").await;
    let params = [
        ("DBInstanceIdentifier", "new"),
        ("DBSnapshotIdentifier", "s"),
        ("DBInstanceClass", "db.t2.micro"),
    ];
    bench
        .refused(
            "RestoreDBInstanceFromDBSnapshot",
            &params,
            "InvalidParameterCombination",
        )
        .await;
}

#[tokio::test]
async fn copies_of_one_instance_queue_and_the_limit_counts_copies_in_flight() {
    let bench = Bench::with(&format!("{NO_LAG}[quotas]\ncopies_in_flight = 2\n")).await;
    bench.snapshot("plain", "s").await;
    for target in ["one", "two"] {
        bench
            .ok(
                "CopyDBSnapshot",
                &[
                    ("SourceDBSnapshotIdentifier", "s"),
                    ("TargetDBSnapshotIdentifier", target),
                ],
            )
            .await;
    }
    let third = [
        ("SourceDBSnapshotIdentifier", "s"),
        ("TargetDBSnapshotIdentifier", "three"),
    ];
    bench
        .refused("CopyDBSnapshot", &third, "SnapshotQuotaExceeded")
        .await;
    bench.until_snapshot("one").await;
    let waiting = bench
        .ok("DescribeDBSnapshots", &[("DBSnapshotIdentifier", "two")])
        .await;
    assert_eq!(waiting.text("PercentProgress").as_deref(), Some("0"));
    bench.ok("CopyDBSnapshot", &third).await;
    bench.until_snapshot("two").await;
}

#[tokio::test]
async fn the_manual_snapshot_quota_is_another_limit_with_the_same_code() {
    let bench = Bench::with(&format!("{NO_LAG}[quotas]\nmanual_snapshots = 1\n")).await;
    bench.snapshot("plain", "s").await;
    let answer = bench
        .refused(
            "CreateDBSnapshot",
            &[
                ("DBInstanceIdentifier", "plain"),
                ("DBSnapshotIdentifier", "t"),
            ],
            "SnapshotQuotaExceeded",
        )
        .await;
    assert!(
        answer
            .text("Message")
            .is_some_and(|message| message.contains("manual"))
    );
}

#[tokio::test]
async fn an_instance_backs_up_while_it_is_snapshotted_and_takes_no_second_snapshot() {
    let bench = Bench::with(NO_LAG).await;
    bench
        .ok(
            "CreateDBSnapshot",
            &[
                ("DBInstanceIdentifier", "plain"),
                ("DBSnapshotIdentifier", "s"),
            ],
        )
        .await;
    assert_eq!(bench.status("plain").await, "backing-up");
    bench
        .refused(
            "CreateDBSnapshot",
            &[
                ("DBInstanceIdentifier", "plain"),
                ("DBSnapshotIdentifier", "t"),
            ],
            "InvalidDBInstanceState",
        )
        .await;
    let mut progress = Vec::new();
    while bench.status("plain").await != "available" {
        progress.extend(
            bench
                .ok("DescribeDBSnapshots", &[("DBSnapshotIdentifier", "s")])
                .await
                .text("PercentProgress"),
        );
        progress.dedup();
        bench.pass(5).await;
    }
    assert_eq!(progress, ["0", "25", "50", "75"]);
}

#[tokio::test]
async fn a_lost_lottery_ends_in_pending_reboot_which_only_a_reboot_clears() {
    let bench = Bench::with(&lottery(1.0)).await;
    bench.snapshot("plain", "s").await;
    let params = [
        ("DBInstanceIdentifier", "new"),
        ("DBSnapshotIdentifier", "s"),
        ("DBParameterGroupName", "dynamic"),
    ];
    bench.ok("RestoreDBInstanceFromDBSnapshot", &params).await;
    bench.until("new", "available").await;
    let apply = |answer: super::client::Answer| answer.text("ParameterApplyStatus");
    bench.pass(8 * 86_400).await;
    assert_eq!(
        apply(bench.instance("new").await.expect("there")).as_deref(),
        Some("pending-reboot")
    );
    bench
        .ok("RebootDBInstance", &[("DBInstanceIdentifier", "new")])
        .await;
    assert_eq!(
        bench.until("new", "available").await,
        ["rebooting", "available"]
    );
    assert_eq!(
        apply(bench.instance("new").await.expect("there")).as_deref(),
        Some("in-sync")
    );
}

#[tokio::test]
async fn a_won_lottery_ends_in_sync() {
    let bench = Bench::with(&lottery(0.0)).await;
    bench.snapshot("plain", "s").await;
    bench
        .ok(
            "RestoreDBInstanceFromDBSnapshot",
            &[
                ("DBInstanceIdentifier", "new"),
                ("DBSnapshotIdentifier", "s"),
                ("DBParameterGroupName", "static"),
            ],
        )
        .await;
    bench.until("new", "available").await;
    assert_eq!(
        bench
            .instance("new")
            .await
            .and_then(|answer| answer.text("ParameterApplyStatus"))
            .as_deref(),
        Some("in-sync")
    );
}

#[tokio::test]
async fn names_lowered_after_the_fact_make_the_restore_incompatible() {
    let bench = Bench::with(NO_LAG).await;
    bench.snapshot("plain", "s").await;
    bench
        .ok(
            "RestoreDBInstanceFromDBSnapshot",
            &[
                ("DBInstanceIdentifier", "new"),
                ("DBSnapshotIdentifier", "s"),
                ("DBParameterGroupName", "lowered"),
            ],
        )
        .await;
    bench.until("new", "incompatible-restore").await;
    let events = bench
        .ok(
            "DescribeEvents",
            &[
                ("SourceType", "db-instance"),
                ("SourceIdentifier", "new"),
                ("Duration", "1440"),
            ],
        )
        .await;
    assert!(
        events.body.contains("lower_case_table_names"),
        "{}",
        events.body
    );
}

#[tokio::test]
async fn a_zone_and_multi_az_exclude_each_other_and_names_must_be_free_and_known() {
    let bench = Bench::with(NO_LAG).await;
    bench.snapshot("plain", "s").await;
    let cases = [
        (
            ("MultiAZ", "true"),
            ("AvailabilityZone", "eu-central-1a"),
            "InvalidParameterCombination",
        ),
        (
            ("DBParameterGroupName", "none"),
            ("Port", "3306"),
            "DBParameterGroupNotFound",
        ),
        (
            ("DBParameterGroupName", "other-family"),
            ("Port", "3306"),
            "InvalidParameterCombination",
        ),
        (
            ("DBSubnetGroupName", "none"),
            ("Port", "3306"),
            "DBSubnetGroupNotFoundFault",
        ),
        (
            ("OptionGroupName", "none"),
            ("Port", "3306"),
            "OptionGroupNotFoundFault",
        ),
        (
            ("StorageType", "gp3"),
            ("Iops", "3000"),
            "InvalidParameterCombination",
        ),
        (
            ("StorageType", "io1"),
            ("Port", "3306"),
            "InvalidParameterCombination",
        ),
        (
            ("DBName", "x"),
            ("Port", "3306"),
            "InvalidParameterCombination",
        ),
    ];
    for (one, two, code) in cases {
        let params = [
            ("DBInstanceIdentifier", "new"),
            ("DBSnapshotIdentifier", "s"),
            one,
            two,
        ];
        bench
            .refused("RestoreDBInstanceFromDBSnapshot", &params, code)
            .await;
    }
    bench
        .refused(
            "RestoreDBInstanceFromDBSnapshot",
            &[
                ("DBInstanceIdentifier", "PLAIN"),
                ("DBSnapshotIdentifier", "s"),
            ],
            "DBInstanceAlreadyExists",
        )
        .await;
    bench
        .refused(
            "RestoreDBInstanceFromDBSnapshot",
            &[
                ("DBInstanceIdentifier", "new"),
                ("DBSnapshotIdentifier", "none"),
            ],
            "DBSnapshotNotFound",
        )
        .await;
}

#[tokio::test]
async fn a_new_instance_is_not_found_at_first() {
    let bench = Bench::with("\n[knobs]\ndescribe_lag = [15, 15]\n").await;
    bench
        .ok(
            "CreateDBSnapshot",
            &[
                ("DBInstanceIdentifier", "plain"),
                ("DBSnapshotIdentifier", "s"),
            ],
        )
        .await;
    bench.until_snapshot("s").await;
    bench
        .ok(
            "RestoreDBInstanceFromDBSnapshot",
            &[
                ("DBInstanceIdentifier", "new"),
                ("DBSnapshotIdentifier", "s"),
            ],
        )
        .await;
    assert!(bench.instance("new").await.is_none());
    bench.pass(16).await;
    assert_eq!(bench.status("new").await, "creating");
}

#[tokio::test]
async fn a_copy_to_another_region_needs_a_key_there_and_names_its_source() {
    let bench = Bench::with(NO_LAG).await;
    bench.snapshot("locked", "s").await;
    let bench = Bench {
        region: "us-east-1",
        ..bench
    };
    let arn = "arn:aws:rds:eu-central-1:111122223333:snapshot:s";
    let copy = [
        ("SourceDBSnapshotIdentifier", arn),
        ("TargetDBSnapshotIdentifier", "t"),
    ];
    bench
        .refused("CopyDBSnapshot", &copy, "InvalidParameterCombination")
        .await;
    bench
        .ok(
            "CopyDBSnapshot",
            &[&copy[..], &[("KmsKeyId", "alias/mine")]].concat(),
        )
        .await;
    bench.until_snapshot("t").await;
    let copied = bench
        .ok("DescribeDBSnapshots", &[("DBSnapshotIdentifier", "t")])
        .await;
    assert_eq!(
        copied.text("SourceDBSnapshotIdentifier").as_deref(),
        Some(arn)
    );
    assert!(
        copied
            .text("KmsKeyId")
            .is_some_and(|key| key.starts_with("arn:aws:kms:us-east-1:"))
    );
    // Neither a restore nor a deletion reaches into another region.
    bench
        .refused(
            "RestoreDBInstanceFromDBSnapshot",
            &[
                ("DBInstanceIdentifier", "new"),
                ("DBSnapshotIdentifier", arn),
            ],
            "DBSnapshotNotFound",
        )
        .await;
    bench
        .refused(
            "DeleteDBSnapshot",
            &[("DBSnapshotIdentifier", arn)],
            "DBSnapshotNotFound",
        )
        .await;
}

#[tokio::test]
async fn what_a_disabled_key_encrypts_can_neither_be_copied_nor_restored() {
    let more = "[[instances]]\nid = \"stuck\"\nengine = \"mysql\"\nengine_version = \"8.0.39\"\nkms_key = \"alias/disabled\"\n[[snapshots]]\nid = \"s\"\ninstance = \"stuck\"\n";
    let bench = Bench::with(more).await;
    bench
        .refused(
            "CopyDBSnapshot",
            &[
                ("SourceDBSnapshotIdentifier", "s"),
                ("TargetDBSnapshotIdentifier", "t"),
                ("KmsKeyId", "alias/mine"),
            ],
            "KMSKeyNotAccessibleFault",
        )
        .await;
    bench
        .refused(
            "RestoreDBInstanceFromDBSnapshot",
            &[
                ("DBInstanceIdentifier", "new"),
                ("DBSnapshotIdentifier", "s"),
            ],
            "KMSKeyNotAccessibleFault",
        )
        .await;
}
