//! Start, stop, failover and deletion of clusters.

use super::{encryption, is, old};

#[tokio::test]
async fn a_cluster_is_deleted_after_its_members_and_says_what_becomes_of_its_data() {
    let bench = old().await;
    let delete = [
        ("DBClusterIdentifier", "old"),
        ("FinalDBSnapshotIdentifier", "final"),
    ];
    bench
        .refused("DeleteDBCluster", &delete, "InvalidDBClusterStateFault")
        .await;
    bench
        .ok(
            "ModifyDBCluster",
            &[
                ("DBClusterIdentifier", "old"),
                ("DeletionProtection", "true"),
            ],
        )
        .await;
    // A deleted writer hands over to the lowest tier.
    for (gone, writer) in [
        ("old-1", Some("old-3")),
        ("old-3", Some("old-2")),
        ("old-2", None),
    ] {
        bench
            .ok(
                "DeleteDBInstance",
                &[
                    ("DBInstanceIdentifier", gone),
                    ("SkipFinalSnapshot", "true"),
                ],
            )
            .await;
        bench.until(gone, "-").await;
        let members = bench.members("old").await;
        let writers: Vec<&str> = members
            .iter()
            .filter(|(_, writer)| *writer)
            .map(|(id, _)| id.as_str())
            .collect();
        assert_eq!(writers, Vec::from_iter(writer), "{members:?}");
    }
    bench
        .refused("DeleteDBCluster", &delete, "InvalidParameterCombination")
        .await;
    bench
        .ok(
            "ModifyDBCluster",
            &[
                ("DBClusterIdentifier", "old"),
                ("DeletionProtection", "false"),
            ],
        )
        .await;
    for wrong in [
        vec![delete[0]],
        vec![delete[0], delete[1], ("SkipFinalSnapshot", "true")],
    ] {
        bench
            .refused("DeleteDBCluster", &wrong, "InvalidParameterCombination")
            .await;
    }
    bench
        .refused(
            "DeleteDBCluster",
            &[delete[0], ("FinalDBSnapshotIdentifier", "old-snapshot")],
            "DBClusterSnapshotAlreadyExistsFault",
        )
        .await;
    bench.ok("DeleteDBCluster", &delete).await;
    bench
        .refused(
            "DeleteDBCluster",
            &[delete[0], ("SkipFinalSnapshot", "true")],
            "InvalidDBClusterStateFault",
        )
        .await;
    assert_eq!(bench.until_cluster("old", "-").await, ["deleting", "-"]);
    let snapshot = bench.until_cluster_snapshot("final").await;
    assert_eq!(encryption(&snapshot), is("false", "none", false));
}

#[tokio::test]
async fn stopping_and_starting_take_the_members_along() {
    let bench = old().await;
    let old = [("DBClusterIdentifier", "old")];
    bench
        .refused("StartDBCluster", &old, "InvalidDBClusterStateFault")
        .await;
    bench.ok("StopDBCluster", &old).await;
    assert_eq!(bench.status("old-2").await, "stopping");
    assert_eq!(
        bench.until_cluster("old", "stopped").await,
        ["stopping", "stopped"]
    );
    assert_eq!(bench.status("old-2").await, "stopped");
    assert!(
        bench
            .cluster("old")
            .await
            .expect("there")
            .has("AutomaticRestartTime")
    );
    for action in ["StopDBCluster", "FailoverDBCluster"] {
        bench
            .refused(action, &old, "InvalidDBClusterStateFault")
            .await;
    }
    bench.ok("StartDBCluster", &old).await;
    assert_eq!(
        bench.until_cluster("old", "available").await,
        ["starting", "available"]
    );
    assert_eq!(bench.status("old-1").await, "available");
    bench
        .refused("RebootDBCluster", &old, "InvalidParameterCombination")
        .await;
}

#[tokio::test]
async fn a_failover_makes_a_reader_the_writer() {
    let bench = old().await;
    bench
        .refused(
            "FailoverDBCluster",
            &[("DBClusterIdentifier", "keyed")],
            "InvalidDBClusterStateFault",
        )
        .await;
    for (target, code) in [
        ("none", "DBInstanceNotFound"),
        ("plain", "InvalidParameterValue"),
        ("old-1", "InvalidParameterValue"),
    ] {
        bench
            .refused(
                "FailoverDBCluster",
                &[
                    ("DBClusterIdentifier", "old"),
                    ("TargetDBInstanceIdentifier", target),
                ],
                code,
            )
            .await;
    }
    // The lowest tier, and then the one that is named.
    for (target, writer) in [(None, "old-3"), (Some("old-2"), "old-2")] {
        let mut params = vec![("DBClusterIdentifier", "old")];
        params.extend(target.map(|target| ("TargetDBInstanceIdentifier", target)));
        bench.ok("FailoverDBCluster", &params).await;
        assert_eq!(
            bench.until_cluster("old", "available").await,
            ["failing-over", "available"]
        );
        let members = bench.members("old").await;
        let writers: Vec<&(String, bool)> = members.iter().filter(|(_, writer)| *writer).collect();
        assert_eq!(writers, [&(writer.to_owned(), true)]);
    }
}

#[tokio::test]
async fn a_stopped_cluster_is_started_after_seven_days() {
    let bench = old().await;
    bench
        .ok("StopDBCluster", &[("DBClusterIdentifier", "old")])
        .await;
    bench.until_cluster("old", "stopped").await;
    bench.pass(7 * 86_400 - 60).await;
    assert_eq!(bench.cluster_status("old").await, "stopped");
    bench.pass(60).await;
    assert_eq!(bench.cluster_status("old").await, "available");
    assert!(
        !bench
            .cluster("old")
            .await
            .expect("there")
            .has("AutomaticRestartTime")
    );
    assert_eq!(bench.status("old-1").await, "available");
}
