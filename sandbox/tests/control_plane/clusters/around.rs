//! Endpoints, roles, global clusters, and the lag of reads.

use super::{AURORA, OLD, old, plus};
use crate::Bench;

#[tokio::test]
async fn every_cluster_has_a_writer_and_a_reader_endpoint() {
    let bench = old().await;
    let old = [("DBClusterIdentifier", "old")];
    let endpoints = bench.ok("DescribeDBClusterEndpoints", &old).await;
    assert_eq!(endpoints.all("EndpointType"), ["WRITER", "READER"]);
    let cluster = bench.cluster("old").await.expect("there");
    assert_eq!(
        endpoints.all("Endpoint"),
        [
            cluster.text("Endpoint").expect("there"),
            cluster.text("ReaderEndpoint").expect("there")
        ]
    );
    let readers = bench
        .ok(
            "DescribeDBClusterEndpoints",
            &[
                old[0],
                ("Filters.Filter.1.Name", "db-cluster-endpoint-type"),
                ("Filters.Filter.1.Values.Value.1", "reader"),
            ],
        )
        .await;
    assert_eq!(readers.all("EndpointType"), ["READER"]);
    bench
        .refused(
            "DescribeDBClusterEndpoints",
            &[("DBClusterIdentifier", "none")],
            "DBClusterNotFoundFault",
        )
        .await;
}

#[tokio::test]
async fn a_role_of_a_cluster_is_pending_and_then_active() {
    let bench = old().await;
    let role = [
        ("DBClusterIdentifier", "old"),
        ("RoleArn", "arn:aws:iam::111122223333:role/s3"),
    ];
    let answer = bench.ok("AddRoleToDBCluster", &role).await;
    assert!(!answer.has("AddRoleToDBClusterResult"));
    let status = async || {
        bench
            .cluster("old")
            .await
            .and_then(|answer| answer.text("DBClusterRole"))
    };
    assert!(status().await.is_some_and(|role| role.contains("PENDING")));
    bench.pass(301).await;
    assert!(status().await.is_some_and(|role| role.contains("ACTIVE")));
    bench
        .refused("AddRoleToDBCluster", &role, "DBClusterRoleAlreadyExists")
        .await;
    bench.ok("RemoveRoleFromDBCluster", &role).await;
    assert!(status().await.is_none());
    let missing = bench
        .refused("RemoveRoleFromDBCluster", &role, "DBClusterRoleNotFound")
        .await;
    assert_eq!(missing.status, 404);
    for number in 0..5 {
        let arn = format!("arn:aws:iam::111122223333:role/r{number}");
        bench
            .ok("AddRoleToDBCluster", &[role[0], ("RoleArn", &arn)])
            .await;
    }
    bench
        .refused("AddRoleToDBCluster", &role, "DBClusterRoleQuotaExceeded")
        .await;
}

#[tokio::test]
async fn a_global_cluster_has_a_writer_here_and_readers_elsewhere() {
    let mut bench = old().await;
    let named = [("GlobalClusterIdentifier", "world")];
    let answer = bench
        .ok(
            "CreateGlobalCluster",
            &[
                named[0],
                (
                    "SourceDBClusterIdentifier",
                    "arn:aws:rds:eu-central-1:111122223333:cluster:keyed",
                ),
            ],
        )
        .await;
    assert_eq!(
        (
            answer.text("GlobalClusterArn").as_deref(),
            answer.text("StorageEncrypted").as_deref()
        ),
        (
            Some("arn:aws:rds::111122223333:global-cluster:world"),
            Some("true")
        )
    );
    bench
        .refused(
            "CreateGlobalCluster",
            &[named[0], ("Engine", "aurora-mysql")],
            "GlobalClusterAlreadyExistsFault",
        )
        .await;
    bench.region = "us-east-1";
    let second = [
        ("DBClusterIdentifier", "far"),
        ("Engine", "aurora-mysql"),
        ("EngineVersion", "8.0.mysql_aurora.3.08.0"),
        ("GlobalClusterIdentifier", "world"),
    ];
    // Encrypted like its writer, under a key of its own region; no user of its own.
    bench
        .refused("CreateDBCluster", &second, "InvalidParameterCombination")
        .await;
    bench
        .ok(
            "CreateDBCluster",
            &plus(
                &second,
                &[("StorageEncrypted", "true"), ("KmsKeyId", "alias/mine")],
            ),
        )
        .await;
    bench.until_cluster("far", "available").await;
    let far = bench.cluster("far").await.expect("there");
    assert_eq!(
        (
            far.text("GlobalClusterIdentifier").as_deref(),
            far.text("MasterUsername").as_deref()
        ),
        (Some("world"), Some("admin"))
    );
    let world = bench.ok("DescribeGlobalClusters", &named).await;
    assert_eq!(world.all("IsWriter"), ["true", "false"]);
    assert_eq!(
        world.all("DBClusterArn"),
        [
            "arn:aws:rds:eu-central-1:111122223333:cluster:keyed",
            "arn:aws:rds:us-east-1:111122223333:cluster:far"
        ]
    );
    // Neither stopped nor deleted while it is a member, and the writer leaves last.
    bench
        .refused(
            "DeleteDBCluster",
            &[
                ("DBClusterIdentifier", "far"),
                ("SkipFinalSnapshot", "true"),
            ],
            "InvalidDBClusterStateFault",
        )
        .await;
    bench
        .refused(
            "StopDBCluster",
            &[("DBClusterIdentifier", "far")],
            "InvalidDBClusterStateFault",
        )
        .await;
    let remove = |arn: &'static str| [named[0], ("DbClusterIdentifier", arn)];
    let (writer, reader) = (
        "arn:aws:rds:eu-central-1:111122223333:cluster:keyed",
        "arn:aws:rds:us-east-1:111122223333:cluster:far",
    );
    bench
        .refused(
            "RemoveFromGlobalCluster",
            &remove(writer),
            "InvalidGlobalClusterStateFault",
        )
        .await;
    bench
        .refused(
            "DeleteGlobalCluster",
            &named,
            "InvalidGlobalClusterStateFault",
        )
        .await;
    bench.ok("RemoveFromGlobalCluster", &remove(reader)).await;
    bench.ok("RemoveFromGlobalCluster", &remove(writer)).await;
    bench
        .refused(
            "RemoveFromGlobalCluster",
            &remove(writer),
            "DBClusterNotFoundFault",
        )
        .await;
    bench.ok("DeleteGlobalCluster", &named).await;
    let gone = bench
        .refused(
            "DescribeGlobalClusters",
            &named,
            "GlobalClusterNotFoundFault",
        )
        .await;
    assert_eq!(gone.status, 404);
}

#[tokio::test]
async fn describe_shows_the_past_of_a_cluster_for_a_while() {
    let bench = Bench::with(&format!("{OLD}\n[knobs]\ndescribe_lag = [20, 20]\n")).await;
    bench.ok("CreateDBCluster", &AURORA).await;
    assert_eq!(bench.cluster_status("shop").await, "-");
    bench
        .ok("StopDBCluster", &[("DBClusterIdentifier", "old")])
        .await;
    assert_eq!(bench.cluster_status("old").await, "available");
    // The truth refuses what the view seems to allow.
    bench
        .refused(
            "StopDBCluster",
            &[("DBClusterIdentifier", "old")],
            "InvalidDBClusterStateFault",
        )
        .await;
    bench.pass(21).await;
    assert_eq!(bench.cluster_status("shop").await, "creating");
    assert_eq!(bench.cluster_status("old").await, "stopping");
}
