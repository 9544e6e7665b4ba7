use super::{Bench, NO_LAG};

#[tokio::test]
async fn a_replica_inherits_the_engine_and_its_groups_but_no_protection() {
    let bench = Bench::with(NO_LAG).await;
    bench
        .ok(
            "CreateDBInstanceReadReplica",
            &[
                ("DBInstanceIdentifier", "second"),
                ("SourceDBInstanceIdentifier", "plain"),
            ],
        )
        .await;
    // Its source is busy for a while, and a second replica has to wait.
    assert_eq!(bench.status("plain").await, "modifying");
    bench
        .refused(
            "CreateDBInstanceReadReplica",
            &[
                ("DBInstanceIdentifier", "third"),
                ("SourceDBInstanceIdentifier", "plain"),
            ],
            "InvalidDBInstanceState",
        )
        .await;
    assert_eq!(
        bench.until("plain", "available").await,
        ["modifying", "backing-up", "available"]
    );
    bench.until("second", "available").await;
    let replica = bench.instance("second").await.expect("there");
    let text = |name: &str| replica.text(name).unwrap_or_else(|| "absent".to_owned());
    let expected = [
        ("ReadReplicaSourceDBInstanceIdentifier", "plain"),
        ("DBParameterGroupName", "dynamic"),
        ("OptionGroupName", "own"),
        ("DBSubnetGroupName", "data"),
        ("StorageType", "gp2"),
        ("BackupRetentionPeriod", "0"),
        ("MultiAZ", "false"),
        ("IAMDatabaseAuthenticationEnabled", "false"),
        ("MonitoringInterval", "0"),
        ("PerformanceInsightsEnabled", "false"),
        ("MaxAllocatedStorage", "absent"),
        ("DeletionProtection", "false"),
        ("TagList", ""),
    ];
    for (name, value) in expected {
        assert_eq!(text(name), value, "{name}");
    }
    assert!(replica.body.contains("<StatusType>read replication</StatusType><Normal>true</Normal><Status>replicating</Status>"), "{}", replica.body);
}

#[tokio::test]
async fn an_encrypted_replica_of_an_unencrypted_source_is_refused() {
    let bench = Bench::with(NO_LAG).await;
    let params = [
        ("DBInstanceIdentifier", "r"),
        ("SourceDBInstanceIdentifier", "plain"),
        ("KmsKeyId", "alias/mine"),
    ];
    let answer = bench
        .refused(
            "CreateDBInstanceReadReplica",
            &params,
            "InvalidParameterCombination",
        )
        .await;
    assert_eq!(
        answer.text("Message").as_deref(),
        Some("You cannot create an encrypted Read Replica from an unencrypted DB instance.")
    );
    // A replica of an encrypted source is encrypted, with or without saying so.
    bench
        .ok(
            "CreateDBInstanceReadReplica",
            &[
                ("DBInstanceIdentifier", "r"),
                ("SourceDBInstanceIdentifier", "locked"),
            ],
        )
        .await;
    bench.until("r", "available").await;
    assert_eq!(
        bench
            .instance("r")
            .await
            .and_then(|answer| answer.text("StorageEncrypted"))
            .as_deref(),
        Some("true")
    );
}

#[tokio::test]
async fn a_same_region_replica_takes_no_groups_of_its_own() {
    let bench = Bench::with(NO_LAG).await;
    let base = [
        ("DBInstanceIdentifier", "r"),
        ("SourceDBInstanceIdentifier", "plain"),
    ];
    bench
        .refused(
            "CreateDBInstanceReadReplica",
            &[&base[..], &[("DBSubnetGroupName", "data")]].concat(),
            "DBSubnetGroupNotAllowedFault",
        )
        .await;
    bench
        .refused(
            "CreateDBInstanceReadReplica",
            &[&base[..], &[("DBParameterGroupName", "dynamic")]].concat(),
            "InvalidParameterCombination",
        )
        .await;
    // Named by its ARN, the source allows a subnet group.
    let arn = "arn:aws:rds:eu-central-1:111122223333:db:plain";
    bench
        .ok(
            "CreateDBInstanceReadReplica",
            &[
                base[0],
                ("SourceDBInstanceIdentifier", arn),
                ("DBSubnetGroupName", "default"),
            ],
        )
        .await;
}

#[tokio::test]
async fn a_source_without_backups_has_no_replicas() {
    let bench = Bench::with(NO_LAG).await;
    let answer = bench
        .refused(
            "CreateDBInstanceReadReplica",
            &[
                ("DBInstanceIdentifier", "r"),
                ("SourceDBInstanceIdentifier", "no-backups"),
            ],
            "InvalidDBInstanceState",
        )
        .await;
    assert!(
        answer
            .text("Message")
            .is_some_and(|message| message.starts_with("Automated backups are not enabled"))
    );
    bench
        .ok(
            "ModifyDBInstance",
            &[
                ("DBInstanceIdentifier", "no-backups"),
                ("BackupRetentionPeriod", "1"),
                ("ApplyImmediately", "true"),
            ],
        )
        .await;
    assert_eq!(
        bench.until("no-backups", "available").await,
        ["modifying", "backing-up", "available"]
    );
    bench
        .ok(
            "CreateDBInstanceReadReplica",
            &[
                ("DBInstanceIdentifier", "r"),
                ("SourceDBInstanceIdentifier", "no-backups"),
            ],
        )
        .await;
}

#[tokio::test]
async fn a_call_that_asks_for_nothing_is_refused() {
    let bench = Bench::with(NO_LAG).await;
    let answer = bench
        .refused(
            "ModifyDBInstance",
            &[
                ("DBInstanceIdentifier", "plain"),
                ("ApplyImmediately", "true"),
            ],
            "InvalidParameterCombination",
        )
        .await;
    assert_eq!(
        answer.text("Message").as_deref(),
        Some("No modifications were requested")
    );
}

#[tokio::test]
async fn combinations_that_rds_refuses_on_modify() {
    let bench = Bench::with(NO_LAG).await;
    let cases: [&[(&str, &str)]; 10] = [
        &[
            ("DBInstanceIdentifier", "ordinary"),
            ("MonitoringInterval", "60"),
        ],
        &[
            ("DBInstanceIdentifier", "ordinary"),
            ("MonitoringRoleArn", "arn:aws:iam::111122223333:role/m"),
        ],
        &[
            ("DBInstanceIdentifier", "ordinary"),
            ("PerformanceInsightsRetentionPeriod", "7"),
        ],
        &[
            ("DBInstanceIdentifier", "ordinary"),
            ("DatabaseInsightsMode", "advanced"),
            ("EnablePerformanceInsights", "true"),
        ],
        &[
            ("DBInstanceIdentifier", "plain"),
            ("EnablePerformanceInsights", "true"),
            ("PerformanceInsightsKMSKeyId", "alias/mine"),
        ],
        &[
            ("DBInstanceIdentifier", "plain"),
            ("AllocatedStorage", "50"),
        ],
        &[
            ("DBInstanceIdentifier", "plain"),
            ("AllocatedStorage", "105"),
        ],
        &[("DBInstanceIdentifier", "ordinary"), ("Iops", "3000")],
        &[("DBInstanceIdentifier", "ordinary"), ("PromotionTier", "1")],
        &[
            ("DBInstanceIdentifier", "plain"),
            ("BackupRetentionPeriod", "0"),
            ("ApplyImmediately", "true"),
        ],
    ];
    for params in cases {
        let answer = bench.call("ModifyDBInstance", params).await;
        assert_eq!(
            answer.code(),
            "InvalidParameterCombination",
            "{params:?}: {}",
            answer.body
        );
    }
}

#[tokio::test]
async fn a_group_with_static_differences_waits_for_a_reboot_and_one_with_dynamic_ones_does_not() {
    let bench = Bench::with(NO_LAG).await;
    for (group, outcome) in [("dynamic", "in-sync"), ("static", "pending-reboot")] {
        bench
            .ok(
                "ModifyDBInstance",
                &[
                    ("DBInstanceIdentifier", "ordinary"),
                    ("DBParameterGroupName", group),
                ],
            )
            .await;
        let during = bench.instance("ordinary").await.expect("there");
        assert_eq!(
            (
                during.text("DBParameterGroupName").as_deref(),
                during.text("ParameterApplyStatus").as_deref()
            ),
            (Some(group), Some("applying"))
        );
        bench.until("ordinary", "available").await;
        assert_eq!(
            bench
                .instance("ordinary")
                .await
                .and_then(|answer| answer.text("ParameterApplyStatus"))
                .as_deref(),
            Some(outcome)
        );
    }
    // The group it has already changes nothing: nobody may wait for a change.
    bench
        .ok(
            "ModifyDBInstance",
            &[
                ("DBInstanceIdentifier", "ordinary"),
                ("DBParameterGroupName", "static"),
            ],
        )
        .await;
    assert_eq!(bench.status("ordinary").await, "available");
}

#[tokio::test]
async fn windows_of_a_modify_have_their_form_and_do_not_overlap_with_what_is_there() {
    let bench = Bench::with(NO_LAG).await;
    let modify = async |window: &str, value: &str| {
        let params = [("DBInstanceIdentifier", "plain"), (window, value)];
        bench.call("ModifyDBInstance", &params).await.code()
    };
    assert_eq!(
        modify("PreferredBackupWindow", "1:00-2:00").await,
        "InvalidParameterValue"
    );
    assert_eq!(modify("PreferredBackupWindow", "03:00-03:30").await, "");
    assert_eq!(
        modify("PreferredMaintenanceWindow", "sun:02:45-sun:03:15").await,
        "InvalidParameterValue"
    );
    assert_eq!(
        modify("PreferredMaintenanceWindow", "sun:03:30-sun:04:00").await,
        ""
    );
}

#[tokio::test]
async fn the_answer_to_a_modify_has_the_old_values_and_what_is_pending() {
    let bench = Bench::with(NO_LAG).await;
    let answer = bench
        .ok(
            "ModifyDBInstance",
            &[
                ("DBInstanceIdentifier", "ordinary"),
                ("MultiAZ", "true"),
                ("ApplyImmediately", "true"),
            ],
        )
        .await;
    assert_eq!(
        answer.text("PendingModifiedValues").as_deref(),
        Some("<MultiAZ>true</MultiAZ>")
    );
    assert_eq!(answer.all("MultiAZ"), ["true", "false"]);
    assert!(!answer.has("SecondaryAvailabilityZone"));
    bench.until("ordinary", "available").await;
    let after = bench.instance("ordinary").await.expect("there");
    assert_eq!(after.text("PendingModifiedValues").as_deref(), Some(""));
    assert!(after.has("SecondaryAvailabilityZone"));
}

#[tokio::test]
async fn a_password_is_never_shown() {
    let bench = Bench::with(NO_LAG).await;
    let answer = bench
        .ok(
            "ModifyDBInstance",
            &[
                ("DBInstanceIdentifier", "ordinary"),
                ("MasterUserPassword", "geheim-geheim"),
            ],
        )
        .await;
    assert!(
        !answer.body.contains("geheim") && answer.body.contains("<MasterUserPassword>****"),
        "{}",
        answer.body
    );
    assert_eq!(
        bench.until("ordinary", "available").await,
        ["resetting-master-credentials", "available"]
    );
}

#[tokio::test]
async fn monitoring_is_being_configured_before_it_is_on() {
    let bench = Bench::with(NO_LAG).await;
    let params = [
        ("DBInstanceIdentifier", "ordinary"),
        ("MonitoringInterval", "60"),
        ("MonitoringRoleArn", "arn:aws:iam::111122223333:role/m"),
    ];
    bench.ok("ModifyDBInstance", &params).await;
    let answer = bench
        .refused(
            "ModifyDBInstance",
            &[
                ("DBInstanceIdentifier", "ordinary"),
                ("CopyTagsToSnapshot", "true"),
            ],
            "InvalidDBInstanceState",
        )
        .await;
    assert!(
        answer
            .text("Message")
            .is_some_and(|message| message.starts_with("RDS is configuring Enhanced Monitoring"))
    );
    assert_eq!(
        bench.until("ordinary", "available").await,
        ["configuring-enhanced-monitoring", "available"]
    );
}

#[tokio::test]
async fn a_role_is_pending_and_then_active_and_serves_several_features() {
    let bench = Bench::with(NO_LAG).await;
    let role = ("RoleArn", "arn:aws:iam::111122223333:role/s3");
    let add = |feature: &'static str| {
        [
            ("DBInstanceIdentifier", "ordinary"),
            role,
            ("FeatureName", feature),
        ]
    };
    bench.ok("AddRoleToDBInstance", &add("s3Import")).await;
    assert!(
        bench
            .instance("ordinary")
            .await
            .expect("there")
            .body
            .contains("<Status>PENDING</Status>")
    );
    bench.until("ordinary", "available").await;
    assert!(
        bench
            .instance("ordinary")
            .await
            .expect("there")
            .body
            .contains("<FeatureName>s3Import</FeatureName><Status>ACTIVE</Status>")
    );
    bench
        .refused(
            "AddRoleToDBInstance",
            &add("s3Import"),
            "DBInstanceRoleAlreadyExists",
        )
        .await;
    bench.ok("AddRoleToDBInstance", &add("s3Export")).await;
}

#[tokio::test]
async fn protection_and_the_final_snapshot_stand_before_a_deletion() {
    let bench = Bench::with(NO_LAG).await;
    bench
        .refused(
            "DeleteDBInstance",
            &[
                ("DBInstanceIdentifier", "no-backups"),
                ("SkipFinalSnapshot", "true"),
            ],
            "InvalidParameterCombination",
        )
        .await;
    bench
        .ok(
            "ModifyDBInstance",
            &[
                ("DBInstanceIdentifier", "no-backups"),
                ("DeletionProtection", "false"),
            ],
        )
        .await;
    bench
        .refused(
            "DeleteDBInstance",
            &[("DBInstanceIdentifier", "no-backups")],
            "InvalidParameterCombination",
        )
        .await;
    bench
        .refused(
            "DeleteDBInstance",
            &[
                ("DBInstanceIdentifier", "no-backups"),
                ("SkipFinalSnapshot", "true"),
                ("FinalDBSnapshotIdentifier", "f"),
            ],
            "InvalidParameterCombination",
        )
        .await;
    bench
        .ok(
            "DeleteDBInstance",
            &[
                ("DBInstanceIdentifier", "no-backups"),
                ("FinalDBSnapshotIdentifier", "f"),
            ],
        )
        .await;
    bench
        .refused(
            "DeleteDBInstance",
            &[
                ("DBInstanceIdentifier", "no-backups"),
                ("SkipFinalSnapshot", "true"),
            ],
            "InvalidDBInstanceState",
        )
        .await;
    assert_eq!(bench.until("no-backups", "-").await, ["deleting", "-"]);
    bench.until_snapshot("f").await;
}

#[tokio::test]
async fn deleting_a_source_promotes_its_replicas_and_may_leave_its_backups() {
    let bench = Bench::with(NO_LAG).await;
    let resource = bench
        .instance("plain")
        .await
        .and_then(|answer| answer.text("DbiResourceId"));
    bench
        .ok(
            "DeleteDBInstance",
            &[
                ("DBInstanceIdentifier", "plain"),
                ("SkipFinalSnapshot", "true"),
                ("DeleteAutomatedBackups", "false"),
            ],
        )
        .await;
    bench.until("plain", "-").await;
    let orphan = bench.instance("replica").await.expect("there");
    assert!(
        !orphan.has("ReadReplicaSourceDBInstanceIdentifier") && !orphan.has("StatusInfos"),
        "{}",
        orphan.body
    );
    let filter = [
        ("Filters.Filter.1.Name", "status"),
        ("Filters.Filter.1.Values.Value.1", "retained"),
    ];
    assert_eq!(
        bench
            .ok("DescribeDBInstanceAutomatedBackups", &filter)
            .await
            .text("DbiResourceId"),
        resource
    );
}

#[tokio::test]
async fn a_promoted_replica_is_on_its_own_with_backups() {
    let bench = Bench::with(NO_LAG).await;
    bench
        .refused(
            "PromoteReadReplica",
            &[("DBInstanceIdentifier", "plain")],
            "InvalidDBInstanceState",
        )
        .await;
    bench
        .ok("PromoteReadReplica", &[("DBInstanceIdentifier", "replica")])
        .await;
    assert_eq!(
        bench.until("replica", "available").await,
        ["modifying", "rebooting", "backing-up", "available"]
    );
    let promoted = bench.instance("replica").await.expect("there");
    assert_eq!(promoted.text("BackupRetentionPeriod").as_deref(), Some("1"));
    assert!(!promoted.has("ReadReplicaSourceDBInstanceIdentifier"));
    assert!(
        !bench
            .instance("plain")
            .await
            .expect("there")
            .has("ReadReplicaDBInstanceIdentifier")
    );
}

#[tokio::test]
async fn neither_replicas_nor_their_sources_can_be_stopped() {
    let bench = Bench::with(NO_LAG).await;
    for id in ["plain", "replica"] {
        bench
            .refused(
                "StopDBInstance",
                &[("DBInstanceIdentifier", id)],
                "InvalidDBInstanceState",
            )
            .await;
    }
    bench
        .ok("StopDBInstance", &[("DBInstanceIdentifier", "ordinary")])
        .await;
    assert_eq!(
        bench.until("ordinary", "stopped").await,
        ["stopping", "stopped"]
    );
    assert!(
        bench
            .instance("ordinary")
            .await
            .expect("there")
            .has("AutomaticRestartTime")
    );
    bench
        .ok("StartDBInstance", &[("DBInstanceIdentifier", "ordinary")])
        .await;
    assert_eq!(
        bench.until("ordinary", "available").await,
        ["starting", "available"]
    );
}

#[tokio::test]
async fn the_instance_quota_counts_every_instance() {
    let bench = Bench::with(&format!("{NO_LAG}[quotas]\ninstances = 5\n")).await;
    bench.snapshot("ordinary", "s").await;
    bench
        .refused(
            "RestoreDBInstanceFromDBSnapshot",
            &[
                ("DBInstanceIdentifier", "new"),
                ("DBSnapshotIdentifier", "s"),
            ],
            "InstanceQuotaExceeded",
        )
        .await;
    bench
        .refused(
            "CreateDBInstanceReadReplica",
            &[
                ("DBInstanceIdentifier", "new"),
                ("SourceDBInstanceIdentifier", "plain"),
            ],
            "InstanceQuotaExceeded",
        )
        .await;
}

#[tokio::test]
async fn user_set_parameters_can_be_told_from_the_rest() {
    let bench = Bench::with(NO_LAG).await;
    let user = bench
        .ok(
            "DescribeDBParameters",
            &[("DBParameterGroupName", "dynamic"), ("Source", "user")],
        )
        .await;
    assert_eq!(
        (user.all("ParameterName"), user.all("ParameterValue")),
        (vec!["long_query_time".to_owned()], vec!["1".to_owned()])
    );
    let system = bench
        .ok(
            "DescribeDBParameters",
            &[("DBParameterGroupName", "dynamic"), ("Source", "system")],
        )
        .await;
    assert!(
        system
            .all("ParameterValue")
            .contains(&"{TrueIfReplica}".to_owned())
    );
}

#[tokio::test]
async fn an_event_source_needs_its_type() {
    let bench = Bench::with(NO_LAG).await;
    bench
        .refused(
            "DescribeEvents",
            &[("SourceIdentifier", "plain")],
            "InvalidParameterCombination",
        )
        .await;
    bench
        .ok("RebootDBInstance", &[("DBInstanceIdentifier", "plain")])
        .await;
    bench.until("plain", "available").await;
    let events = bench
        .ok(
            "DescribeEvents",
            &[("SourceIdentifier", "plain"), ("SourceType", "db-instance")],
        )
        .await;
    assert_eq!(
        events.all("Message"),
        ["DB instance shutdown", "DB instance restarted"]
    );
    bench.pass(3_700).await;
    assert!(
        bench
            .ok("DescribeEvents", &[])
            .await
            .all("Message")
            .is_empty(),
        "the default window is an hour"
    );
}
