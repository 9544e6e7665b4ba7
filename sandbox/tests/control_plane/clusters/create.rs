//! Creation of clusters and of their members.

use super::{AURORA, MULTI_AZ, encryption, is, old, plus};
use crate::{Bench, NO_LAG, Refusal};

/// §3.3: an Aurora cluster of today is encrypted by AWS's own key, and says `StorageEncrypted=false`.
#[tokio::test]
async fn a_new_aurora_cluster_has_no_instances_and_a_key_nobody_sees() {
    let bench = Bench::with(NO_LAG).await;
    let answer = bench.ok("CreateDBCluster", &AURORA).await;
    assert!(!answer.body.contains("geheim"), "{}", answer.body);
    assert_eq!(
        bench.until_cluster("shop", "available").await,
        ["creating", "available"]
    );
    let shop = bench.cluster("shop").await.expect("there");
    let text = |name: &str| shop.text(name).unwrap_or_else(|| "absent".to_owned());
    let expected = [
        ("DBClusterIdentifier", "shop"),
        ("EngineVersion", "8.0.mysql_aurora.3.08.0"),
        ("DBClusterParameterGroup", "default.aurora-mysql8.0"),
        ("DBSubnetGroup", "default"),
        ("Port", "3306"),
        ("BackupRetentionPeriod", "1"),
        ("DBClusterMembers", ""),
        ("DeletionProtection", "false"),
        ("EngineMode", "provisioned"),
    ];
    for (name, value) in expected {
        assert_eq!(text(name), value, "{name}");
    }
    assert_eq!(encryption(&shop), is("false", "sse-rds", false));
    assert!(text("Endpoint").starts_with("shop.cluster-"));
    assert!(text("ReaderEndpoint").starts_with("shop.cluster-ro-"));
}

#[tokio::test]
async fn storage_encrypted_means_a_key_of_kms() {
    let bench = Bench::with(NO_LAG).await;
    for (id, key) in [("one", None), ("two", Some(("KmsKeyId", "alias/mine")))] {
        let mut more = vec![("DBClusterIdentifier", id), ("StorageEncrypted", "true")];
        more.extend(key);
        let answer = bench.ok("CreateDBCluster", &plus(&AURORA, &more)).await;
        assert_eq!(encryption(&answer), is("true", "sse-kms", true));
    }
    // Saying no does not make an Aurora cluster unencrypted any more.
    let answer = bench
        .ok(
            "CreateDBCluster",
            &plus(&AURORA, &[("StorageEncrypted", "false")]),
        )
        .await;
    assert_eq!(encryption(&answer), is("false", "sse-rds", false));
}

#[tokio::test]
async fn members_take_engine_storage_and_encryption_from_their_cluster() {
    let bench = Bench::with(NO_LAG).await;
    bench
        .ok(
            "CreateDBCluster",
            &plus(&AURORA, &[("DatabaseName", "shop"), ("Port", "3310")]),
        )
        .await;
    let member = [
        ("DBInstanceIdentifier", "shop-1"),
        ("DBClusterIdentifier", "shop"),
        ("DBInstanceClass", "db.r6g.large"),
        ("Engine", "aurora-mysql"),
        ("PromotionTier", "0"),
    ];
    bench
        .refused("CreateDBInstance", &member, "InvalidDBClusterStateFault")
        .await;
    bench.until_cluster("shop", "available").await;
    bench.ok("CreateDBInstance", &member).await;
    assert_eq!(
        bench.until("shop-1", "available").await,
        ["creating", "available"]
    );
    bench.member("shop", "shop-2").await;
    let one = bench.instance("shop-1").await.expect("there");
    let text = |name: &str| one.text(name).unwrap_or_else(|| "absent".to_owned());
    let expected = [
        ("DBClusterIdentifier", "shop"),
        ("EngineVersion", "8.0.mysql_aurora.3.08.0"),
        ("StorageType", "aurora"),
        ("StorageEncryptionType", "sse-rds"),
        ("PromotionTier", "0"),
        ("DBName", "shop"),
        ("Port", "3310"),
        ("DBParameterGroupName", "default.aurora-mysql8.0"),
    ];
    for (name, value) in expected {
        assert_eq!(text(name), value, "{name}");
    }
    // The first one is the writer.
    assert_eq!(
        bench.members("shop").await,
        [("shop-1".to_owned(), true), ("shop-2".to_owned(), false)]
    );
}

#[tokio::test]
async fn what_belongs_to_the_cluster_is_refused_on_a_member() {
    let bench = old().await;
    let member = [
        ("DBInstanceIdentifier", "old-4"),
        ("DBClusterIdentifier", "old"),
        ("DBInstanceClass", "db.r6g.large"),
        ("Engine", "aurora-mysql"),
    ];
    let cases: [&[(&str, &str)]; 11] = [
        &[("MasterUsername", "admin")],
        &[("MasterUserPassword", "geheim-geheim")],
        &[("BackupRetentionPeriod", "3")],
        &[("DBName", "shop")],
        &[("Port", "3310")],
        &[("AllocatedStorage", "20")],
        &[("VpcSecurityGroupIds.VpcSecurityGroupId.1", "sg-1")],
        &[("StorageEncrypted", "true")],
        &[("KmsKeyId", "alias/mine")],
        &[("Engine", "aurora-postgresql")],
        &[("EngineVersion", "8.0.mysql_aurora.3.05.2")],
    ];
    for more in cases {
        bench
            .refused(
                "CreateDBInstance",
                &plus(&member, more),
                "InvalidParameterCombination",
            )
            .await;
    }
}

#[tokio::test]
async fn a_multi_az_cluster_comes_with_three_instances_and_goes_with_them() {
    let bench = Bench::with(NO_LAG).await;
    bench.ok("CreateDBCluster", &MULTI_AZ).await;
    bench.until_cluster("three", "available").await;
    let three = bench.cluster("three").await.expect("there");
    assert_eq!(encryption(&three), is("false", "none", false));
    assert_eq!(
        (
            three.text("MultiAZ").as_deref(),
            three.text("StorageType").as_deref(),
            three.text("DBClusterInstanceClass").as_deref()
        ),
        (Some("true"), Some("io1"), Some("db.m6g.large"))
    );
    let names: Vec<String> = (1..=3).map(|n| format!("three-instance-{n}")).collect();
    for (position, (id, writer)) in bench.members("three").await.into_iter().enumerate() {
        assert_eq!((&id, writer), (&names[position], position == 0));
        assert_eq!(bench.status(&id).await, "available");
    }
    bench
        .refused(
            "CreateDBInstance",
            &[
                ("DBInstanceIdentifier", "four"),
                ("DBClusterIdentifier", "three"),
                ("DBInstanceClass", "db.m6g.large"),
                ("Engine", "mysql"),
            ],
            "InvalidParameterCombination",
        )
        .await;
    bench
        .ok("RebootDBCluster", &[("DBClusterIdentifier", "three")])
        .await;
    assert_eq!(bench.status("three-instance-2").await, "rebooting");
    bench.until_cluster("three", "available").await;
    bench
        .ok(
            "DeleteDBCluster",
            &[
                ("DBClusterIdentifier", "three"),
                ("SkipFinalSnapshot", "true"),
            ],
        )
        .await;
    assert_eq!(bench.status("three-instance-1").await, "deleting");
    bench.until_cluster("three", "-").await;
    for id in &names {
        assert_eq!(bench.status(id).await, "-");
    }
}

/// §2.1: codes and statuses of the refusals, syntax and objects before combinations.
#[tokio::test]
async fn clusters_that_rds_refuses_to_create() {
    let bench = old().await;
    let cases: [Refusal<'_>; 15] = [
        (
            &[("DBClusterIdentifier", "a--b")],
            "InvalidParameterValue",
            400,
        ),
        (&[("Engine", "mariadb")], "InvalidParameterValue", 400),
        (
            &[("BackupRetentionPeriod", "0")],
            "InvalidParameterValue",
            400,
        ),
        (
            &[("MasterUserPassword", "short")],
            "InvalidParameterValue",
            400,
        ),
        (&[("Port", "1")], "InvalidParameterValue", 400),
        (
            &[("EngineMode", "serverless")],
            "InvalidParameterValue",
            400,
        ),
        (
            &[("DBClusterIdentifier", "OLD")],
            "DBClusterAlreadyExistsFault",
            400,
        ),
        (
            &[("DBSubnetGroupName", "none")],
            "DBSubnetGroupNotFoundFault",
            404,
        ),
        (
            &[("DBClusterParameterGroupName", "none")],
            "DBClusterParameterGroupNotFound",
            404,
        ),
        (
            &[("GlobalClusterIdentifier", "none")],
            "GlobalClusterNotFoundFault",
            404,
        ),
        (
            &[("StorageEncrypted", "true"), ("KmsKeyId", "alias/disabled")],
            "KMSKeyNotAccessibleFault",
            400,
        ),
        (
            &[("KmsKeyId", "alias/mine")],
            "InvalidParameterCombination",
            400,
        ),
        (
            &[("AllocatedStorage", "100")],
            "InvalidParameterCombination",
            400,
        ),
        (
            &[("EngineVersion", "9.9.9")],
            "InvalidParameterCombination",
            400,
        ),
        (
            &[("DBClusterParameterGroupName", "default.aurora-postgresql16")],
            "InvalidParameterCombination",
            400,
        ),
    ];
    for (more, code, status) in cases {
        let answer = bench.call("CreateDBCluster", &plus(&AURORA, more)).await;
        assert_eq!(
            (answer.code().as_str(), answer.status),
            (code, status),
            "{more:?}: {}",
            answer.body
        );
    }
    // Three zones for a Multi-AZ DB cluster: this group has two.
    bench
        .refused(
            "CreateDBCluster",
            &plus(&MULTI_AZ, &[("DBSubnetGroupName", "data")]),
            "DBSubnetGroupDoesNotCoverEnoughAZs",
        )
        .await;
    bench
        .refused(
            "CreateDBCluster",
            &MULTI_AZ[..4],
            "InvalidParameterCombination",
        )
        .await;
}

#[tokio::test]
async fn the_cluster_quota_is_forbidden_territory() {
    let bench = Bench::with(NO_LAG).await;
    for number in 1..=40 {
        let id = format!("c{number}");
        bench
            .ok(
                "CreateDBCluster",
                &plus(&AURORA, &[("DBClusterIdentifier", &id)]),
            )
            .await;
    }
    let answer = bench
        .refused("CreateDBCluster", &AURORA, "DBClusterQuotaExceededFault")
        .await;
    assert_eq!(answer.status, 403);
}
