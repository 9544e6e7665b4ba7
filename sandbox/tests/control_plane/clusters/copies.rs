//! Snapshots, restores and backups of clusters.

use super::{MULTI_AZ, encryption, is, old, plus};
use crate::{Bench, NO_LAG};

/// §2.4 Aurora: the key belongs to the restore, and without one an unencrypted snapshot becomes `sse-rds`.
#[tokio::test]
async fn a_restored_cluster_is_encrypted_with_or_without_a_key() {
    let bench = old().await;
    let restore = |id: &'static str, snapshot: &'static str| {
        vec![
            ("DBClusterIdentifier", id),
            ("SnapshotIdentifier", snapshot),
            ("Engine", "aurora-mysql"),
        ]
    };
    let old = bench.cluster("old").await.expect("there");
    assert_eq!(encryption(&old), is("false", "none", false));
    let cases = [
        (
            "with-key",
            "old-snapshot",
            Some("alias/mine"),
            is("true", "sse-kms", true),
        ),
        (
            "without",
            "old-snapshot",
            None,
            is("false", "sse-rds", false),
        ),
        (
            "same-key",
            "keyed-snapshot",
            None,
            is("true", "sse-kms", true),
        ),
    ];
    for (id, snapshot, key, expected) in cases {
        let mut params = restore(id, snapshot);
        params.extend(key.map(|key| ("KmsKeyId", key)));
        bench.ok("RestoreDBClusterFromSnapshot", &params).await;
        bench.until_cluster(id, "available").await;
        let restored = bench.cluster(id).await.expect("there");
        assert_eq!(encryption(&restored), expected, "{id}");
        // No instances are made.
        assert_eq!(restored.text("DBClusterMembers").as_deref(), Some(""));
        assert_eq!(restored.text("MasterUsername").as_deref(), Some("admin"));
        assert_ne!(
            restored.text("DbClusterResourceId"),
            old.text("DbClusterResourceId")
        );
    }
    // A member inherits what its cluster became.
    bench.member("with-key", "first").await;
    let first = bench.instance("first").await.expect("there");
    assert_eq!(encryption(&first), is("true", "sse-kms", true));
    let refused: [(Vec<(&str, &str)>, &str); 5] = [
        (
            restore("old", "old-snapshot"),
            "DBClusterAlreadyExistsFault",
        ),
        (restore("new", "none"), "DBClusterSnapshotNotFoundFault"),
        (
            plus(
                &restore("new", "old-snapshot"),
                &[("Engine", "aurora-postgresql")],
            ),
            "InvalidParameterCombination",
        ),
        (
            plus(
                &restore("new", "old-snapshot"),
                &[("KmsKeyId", "alias/disabled")],
            ),
            "KMSKeyNotAccessibleFault",
        ),
        (
            restore("new", "old-snapshot")[..2].to_vec(),
            "MissingParameter",
        ),
    ];
    for (params, code) in refused {
        bench
            .refused("RestoreDBClusterFromSnapshot", &params, code)
            .await;
    }
}

#[tokio::test]
async fn a_cluster_restored_to_a_point_in_time_may_be_a_copy_or_a_clone() {
    let bench = old().await;
    let restore = |id: &'static str, source: &'static str| {
        vec![
            ("DBClusterIdentifier", id),
            ("SourceDBClusterIdentifier", source),
            ("UseLatestRestorableTime", "true"),
        ]
    };
    // A key is refused for an unencrypted source; a clone stays as its source is.
    bench
        .refused(
            "RestoreDBClusterToPointInTime",
            &plus(&restore("new", "old"), &[("KmsKeyId", "alias/mine")]),
            "InvalidParameterCombination",
        )
        .await;
    let cases = [
        ("copy", "old", "full-copy", is("false", "sse-rds", false)),
        ("clone", "old", "copy-on-write", is("false", "none", false)),
        (
            "keyed-clone",
            "keyed",
            "copy-on-write",
            is("true", "sse-kms", true),
        ),
    ];
    for (id, source, kind, expected) in cases {
        let answer = bench
            .ok(
                "RestoreDBClusterToPointInTime",
                &plus(&restore(id, source), &[("RestoreType", kind)]),
            )
            .await;
        assert_eq!(encryption(&answer), expected, "{id}");
        bench.until_cluster(id, "available").await;
    }
    let group = bench
        .cluster("clone")
        .await
        .and_then(|answer| answer.text("CloneGroupId"))
        .expect("a clone");
    let clones = bench
        .ok(
            "DescribeDBClusters",
            &[
                ("Filters.Filter.1.Name", "clone-group-id"),
                ("Filters.Filter.1.Values.Value.1", &group),
            ],
        )
        .await;
    let mut ids: Vec<String> = clones
        .all("DBCluster")
        .iter()
        .filter_map(|cluster| {
            Some(
                cluster
                    .split("<DBClusterIdentifier>")
                    .nth(1)?
                    .split('<')
                    .next()?
                    .to_owned(),
            )
        })
        .collect();
    ids.sort();
    assert_eq!(ids, ["clone", "old"]);
    for (params, code) in [
        (restore("new", "none"), "DBClusterNotFoundFault"),
        (restore("old", "keyed"), "DBClusterAlreadyExistsFault"),
        (
            restore("new", "old")[..2].to_vec(),
            "InvalidParameterCombination",
        ),
        (
            plus(&restore("new", "old"), &[("RestoreType", "other")]),
            "InvalidParameterValue",
        ),
    ] {
        bench
            .refused("RestoreDBClusterToPointInTime", &params, code)
            .await;
    }
}

#[tokio::test]
async fn cluster_snapshots_are_made_copied_and_deleted() {
    let mut bench = old().await;
    let create = [
        ("DBClusterIdentifier", "keyed"),
        ("DBClusterSnapshotIdentifier", "made"),
        ("Tags.Tag.1.Key", "team"),
    ];
    let answer = bench.ok("CreateDBClusterSnapshot", &create).await;
    assert_eq!(answer.text("Status").as_deref(), Some("creating"));
    bench
        .refused(
            "CreateDBClusterSnapshot",
            &create,
            "DBClusterSnapshotAlreadyExistsFault",
        )
        .await;
    let copy = |source: &'static str, target: &'static str| {
        vec![
            ("SourceDBClusterSnapshotIdentifier", source),
            ("TargetDBClusterSnapshotIdentifier", target),
        ]
    };
    for (action, params) in [
        ("CopyDBClusterSnapshot", copy("made", "copied")),
        (
            "DeleteDBClusterSnapshot",
            vec![("DBClusterSnapshotIdentifier", "made")],
        ),
    ] {
        bench
            .refused(action, &params, "InvalidDBClusterSnapshotStateFault")
            .await;
    }
    let made = bench.until_cluster_snapshot("made").await;
    assert_eq!(made.text("PercentProgress").as_deref(), Some("100"));
    // §2.4: a key re-keys what is encrypted and is an error on what is not.
    bench
        .refused(
            "CopyDBClusterSnapshot",
            &plus(
                &copy("old-snapshot", "copied"),
                &[("KmsKeyId", "alias/mine")],
            ),
            "InvalidParameterCombination",
        )
        .await;
    bench
        .ok(
            "CopyDBClusterSnapshot",
            &plus(
                &copy("made", "copied"),
                &[("KmsKeyId", "alias/aws/rds"), ("CopyTags", "true")],
            ),
        )
        .await;
    let copied = bench.until_cluster_snapshot("copied").await;
    assert_eq!(encryption(&copied), is("true", "sse-kms", true));
    assert_ne!(copied.text("KmsKeyId"), made.text("KmsKeyId"));
    assert!(copied.body.contains("<Key>team</Key>"));
    assert!(!copied.has("SourceDBClusterSnapshotArn"));
    // To another region by ARN.
    bench.region = "us-east-1";
    let arn = "arn:aws:rds:eu-central-1:111122223333:cluster-snapshot:made";
    bench
        .refused(
            "CopyDBClusterSnapshot",
            &copy("made", "far"),
            "DBClusterSnapshotNotFoundFault",
        )
        .await;
    bench
        .refused(
            "CopyDBClusterSnapshot",
            &copy(arn, "far"),
            "InvalidParameterCombination",
        )
        .await;
    bench
        .ok(
            "CopyDBClusterSnapshot",
            &plus(&copy(arn, "far"), &[("KmsKeyId", "alias/mine")]),
        )
        .await;
    let far = bench.until_cluster_snapshot("far").await;
    assert_eq!(far.text("SourceDBClusterSnapshotArn").as_deref(), Some(arn));
    bench.region = "eu-central-1";
    let made = [("DBClusterSnapshotIdentifier", "made")];
    bench.ok("DeleteDBClusterSnapshot", &made).await;
    let gone = bench
        .refused(
            "DescribeDBClusterSnapshots",
            &made,
            "DBClusterSnapshotNotFoundFault",
        )
        .await;
    assert_eq!(gone.status, 404);
    bench
        .refused(
            "CreateDBClusterSnapshot",
            &[
                ("DBClusterIdentifier", "none"),
                ("DBClusterSnapshotIdentifier", "s"),
            ],
            "DBClusterNotFoundFault",
        )
        .await;
}

#[tokio::test]
async fn the_backups_of_a_cluster_may_outlive_it() {
    let bench = old().await;
    let resource = bench
        .cluster("keyed")
        .await
        .and_then(|answer| answer.text("DbClusterResourceId"))
        .expect("a resource id");
    let named = [("DbClusterResourceId", resource.as_str())];
    assert_eq!(
        bench
            .ok("DescribeDBClusterAutomatedBackups", &named)
            .await
            .text("Status")
            .as_deref(),
        Some("active")
    );
    bench
        .ok(
            "DeleteDBCluster",
            &[
                ("DBClusterIdentifier", "keyed"),
                ("SkipFinalSnapshot", "true"),
                ("DeleteAutomatedBackups", "false"),
            ],
        )
        .await;
    bench.until_cluster("keyed", "-").await;
    let retained = bench
        .ok(
            "DescribeDBClusterAutomatedBackups",
            &[
                ("Filters.Filter.1.Name", "status"),
                ("Filters.Filter.1.Values.Value.1", "retained"),
            ],
        )
        .await;
    assert_eq!(retained.all("DbClusterResourceId"), [resource.as_str()]);
    bench
        .ok(
            "RestoreDBClusterToPointInTime",
            &[
                ("DBClusterIdentifier", "again"),
                ("SourceDbClusterResourceId", &resource),
                ("UseLatestRestorableTime", "true"),
            ],
        )
        .await;
    bench.until_cluster("again", "available").await;
    assert_eq!(
        encryption(&bench.cluster("again").await.expect("there")),
        is("true", "sse-kms", true)
    );
    bench.ok("DeleteDBClusterAutomatedBackup", &named).await;
    let gone = bench
        .refused(
            "DescribeDBClusterAutomatedBackups",
            &named,
            "DBClusterAutomatedBackupNotFoundFault",
        )
        .await;
    assert_eq!(gone.status, 404);
}

#[tokio::test]
async fn a_shared_cluster_snapshot_is_seen_by_its_arn_and_restored_unless_it_is_encrypted() {
    let mut bench = old().await;
    for id in ["old-snapshot", "keyed-snapshot"] {
        // A snapshot under a customer's key may be shared.
        bench
            .ok(
                "ModifyDBClusterSnapshotAttribute",
                &[
                    ("DBClusterSnapshotIdentifier", id),
                    ("AttributeName", "restore"),
                    ("ValuesToAdd.AttributeValue.1", "444455556666"),
                ],
            )
            .await;
    }
    bench.access_key = "AKIAOTHER";
    let arn = |id: &str| format!("arn:aws:rds:eu-central-1:111122223333:cluster-snapshot:{id}");
    let (plain, keyed, none) = (arn("old-snapshot"), arn("keyed-snapshot"), arn("none"));
    assert!(
        bench
            .ok("DescribeDBClusterSnapshots", &[])
            .await
            .all("DBClusterSnapshot")
            .is_empty(),
        "others' snapshots only when they are asked for"
    );
    let shared = bench
        .ok("DescribeDBClusterSnapshots", &[("IncludeShared", "true")])
        .await;
    assert_eq!(
        shared.all("DBClusterSnapshotIdentifier"),
        [plain.clone(), keyed.clone()]
    );
    assert_eq!(shared.all("SnapshotType"), ["shared", "shared"]);
    let restore = |snapshot| {
        [
            ("DBClusterIdentifier", "mine"),
            ("SnapshotIdentifier", snapshot),
            ("Engine", "aurora-mysql"),
        ]
    };
    bench
        .refused(
            "RestoreDBClusterFromSnapshot",
            &restore(&keyed),
            "InvalidDBClusterSnapshotStateFault",
        )
        .await;
    bench
        .refused(
            "RestoreDBClusterFromSnapshot",
            &restore(&none),
            "DBClusterSnapshotNotFoundFault",
        )
        .await;
    bench
        .ok("RestoreDBClusterFromSnapshot", &restore(&plain))
        .await;
    bench.until_cluster("mine", "available").await;
}

/// The user guide: neither copies of snapshots nor encryption on the way. What is left is a DB instance in between.
#[tokio::test]
async fn a_multi_az_cluster_is_encrypted_by_way_of_a_db_instance() {
    let bench = Bench::with(NO_LAG).await;
    bench.ok("CreateDBCluster", &MULTI_AZ).await;
    bench.until_cluster("three", "available").await;
    let snapshot = [
        ("DBClusterIdentifier", "three"),
        ("DBClusterSnapshotIdentifier", "raw"),
    ];
    bench.ok("CreateDBClusterSnapshot", &snapshot).await;
    bench.until_cluster_snapshot("raw").await;
    let restore = |snapshot: &'static str| {
        vec![
            ("DBClusterIdentifier", "four"),
            ("SnapshotIdentifier", snapshot),
            ("Engine", "mysql"),
            ("DBClusterInstanceClass", "db.m6g.large"),
            ("KmsKeyId", "alias/mine"),
        ]
    };
    let combination = "InvalidParameterCombination";
    bench
        .refused("RestoreDBClusterFromSnapshot", &restore("raw"), combination)
        .await;
    let copy = [
        ("SourceDBClusterSnapshotIdentifier", "raw"),
        ("TargetDBClusterSnapshotIdentifier", "copy"),
    ];
    bench
        .refused("CopyDBClusterSnapshot", &copy, combination)
        .await;
    // Its instances are changed and deleted with it.
    let member = ("DBInstanceIdentifier", "three-instance-2");
    for (action, more) in [
        ("ModifyDBInstance", ("NewDBInstanceIdentifier", "two")),
        ("DeleteDBInstance", ("SkipFinalSnapshot", "true")),
    ] {
        bench.refused(action, &[member, more], combination).await;
    }
    bench
        .ok(
            "RestoreDBInstanceFromDBSnapshot",
            &[
                ("DBInstanceIdentifier", "through"),
                ("DBClusterSnapshotIdentifier", "raw"),
                ("DBInstanceClass", "db.m6g.large"),
                ("StorageType", "io1"),
                ("Iops", "1000"),
            ],
        )
        .await;
    bench.until("through", "available").await;
    let through = bench.instance("through").await.expect("there");
    assert_eq!(encryption(&through), is("false", "none", false));
    assert_eq!(through.text("AllocatedStorage").as_deref(), Some("100"));
    assert_eq!(through.text("DBClusterIdentifier"), None);
    bench
        .ok(
            "CreateDBSnapshot",
            &[
                ("DBInstanceIdentifier", "through"),
                ("DBSnapshotIdentifier", "plain"),
            ],
        )
        .await;
    bench.until_snapshot("plain").await;
    bench
        .ok(
            "CopyDBSnapshot",
            &[
                ("SourceDBSnapshotIdentifier", "plain"),
                ("TargetDBSnapshotIdentifier", "keyed"),
                ("KmsKeyId", "alias/mine"),
            ],
        )
        .await;
    bench.until_snapshot("keyed").await;
    let arn = |name: &str| format!("arn:aws:rds:eu-central-1:111122223333:snapshot:{name}");
    let (plain, keyed) = (arn("plain"), arn("keyed"));
    let by_arn = |arn| plus(&restore("raw"), &[("SnapshotIdentifier", arn)]);
    // No key encrypts here either.
    bench
        .refused("RestoreDBClusterFromSnapshot", &by_arn(&plain), combination)
        .await;
    bench
        .ok("RestoreDBClusterFromSnapshot", &by_arn(&keyed))
        .await;
    bench.until_cluster("four", "available").await;
    let four = bench.cluster("four").await.expect("there");
    assert_eq!(encryption(&four), is("true", "sse-kms", true));
    assert_eq!(four.text("Iops").as_deref(), Some("1000"));
    assert_eq!(four.text("MasterUsername").as_deref(), Some("admin"));
    for (id, _writer) in bench.members("four").await {
        let member = bench.instance(&id).await.expect("there");
        assert_eq!(encryption(&member), is("true", "sse-kms", true), "{id}");
    }
}
