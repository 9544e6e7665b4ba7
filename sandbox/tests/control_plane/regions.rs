//! What crosses regions: read replicas and snapshot copies.

use super::{Bench, NO_LAG};

const PLAIN: &str = "arn:aws:rds:eu-central-1:111122223333:db:plain";
const LOCKED: &str = "arn:aws:rds:eu-central-1:111122223333:db:locked";

const ELSEWHERE: &str = r#"
[[parameter_groups]]
name = "over-there"
family = "mysql8.0"
region = "us-east-1"

[[parameter_groups]]
name = "lowered-there"
family = "mysql8.0"
region = "us-east-1"
parameters = { lower_case_table_names = "1" }

[[subnet_groups]]
name = "data-there"
region = "us-east-1"
zones = ["a", "b"]
"#;

/// A bench whose caller is in us-east-1; the fleet is in eu-central-1.
async fn away() -> Bench {
    let mut bench = Bench::with(&format!("{ELSEWHERE}{NO_LAG}")).await;
    bench.region = "us-east-1";
    bench
}

fn replica<'a>(source: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut params = vec![
        ("DBInstanceIdentifier", "far"),
        ("SourceDBInstanceIdentifier", source),
    ];
    params.extend_from_slice(more);
    params
}

#[tokio::test]
async fn a_replica_in_another_region_and_its_source_show_each_other_by_arn() {
    let mut bench = away().await;
    bench
        .ok("CreateDBInstanceReadReplica", &replica(PLAIN, &[]))
        .await;
    assert_eq!(
        bench.until("far", "available").await,
        ["creating", "modifying", "available"]
    );
    let far = bench.instance("far").await.expect("there");
    let text = |name: &str| far.text(name).unwrap_or_else(|| "absent".to_owned());
    let expected = [
        ("ReadReplicaSourceDBInstanceIdentifier", PLAIN),
        // Groups do not leave their region: those of the family and of the default VPC.
        ("DBParameterGroupName", "default.mysql8.0"),
        ("OptionGroupName", "default:mysql-8-0"),
        ("DBSubnetGroupName", "default"),
        ("BackupRetentionPeriod", "0"),
        ("StorageType", "gp2"),
        ("Status", "active"),
    ];
    for (name, value) in expected {
        assert_eq!(text(name), value, "{name}");
    }
    assert!(text("AvailabilityZone").starts_with("us-east-1"));
    assert!(text("Address").contains(".us-east-1."));
    assert!(far.body.contains("<Status>replicating</Status>"));
    bench.region = "eu-central-1";
    assert_eq!(
        bench
            .instance("plain")
            .await
            .expect("there")
            .all("ReadReplicaDBInstanceIdentifier"),
        ["arn:aws:rds:us-east-1:111122223333:db:far", "replica",]
    );
    // A rename changes what is shown and nothing else.
    bench.rename("plain", "renamed").await;
    bench.region = "us-east-1";
    assert_eq!(
        bench
            .instance("far")
            .await
            .and_then(|answer| answer.text("ReadReplicaSourceDBInstanceIdentifier"))
            .as_deref(),
        Some("arn:aws:rds:eu-central-1:111122223333:db:renamed")
    );
}

#[tokio::test]
async fn its_source_is_busy_in_its_own_region() {
    let mut bench = away().await;
    bench
        .ok("CreateDBInstanceReadReplica", &replica(PLAIN, &[]))
        .await;
    bench
        .refused(
            "CreateDBInstanceReadReplica",
            &[
                ("DBInstanceIdentifier", "second"),
                ("SourceDBInstanceIdentifier", PLAIN),
            ],
            "InvalidDBInstanceState",
        )
        .await;
    bench.region = "eu-central-1";
    assert_eq!(
        bench.until("plain", "available").await,
        ["modifying", "backing-up", "available"]
    );
    // A source of replicas elsewhere cannot be stopped either.
    bench.region = "us-east-1";
    bench.until("far", "available").await;
}

/// §3.1: keys live in one region.
#[tokio::test]
async fn an_encrypted_replica_elsewhere_needs_a_key_of_its_region() {
    let mut bench = away().await;
    bench
        .refused(
            "CreateDBInstanceReadReplica",
            &replica(LOCKED, &[]),
            "InvalidParameterCombination",
        )
        .await;
    bench.region = "eu-central-1";
    let there = bench
        .instance("locked")
        .await
        .and_then(|answer| answer.text("KmsKeyId"))
        .expect("encrypted");
    bench.region = "us-east-1";
    bench
        .refused(
            "CreateDBInstanceReadReplica",
            &replica(LOCKED, &[("KmsKeyId", &there)]),
            "KMSKeyNotAccessibleFault",
        )
        .await;
    bench
        .refused(
            "CreateDBInstanceReadReplica",
            &replica(PLAIN, &[("KmsKeyId", "alias/mine")]),
            "InvalidParameterCombination",
        )
        .await;
    let answer = bench
        .ok(
            "CreateDBInstanceReadReplica",
            &replica(LOCKED, &[("KmsKeyId", "alias/mine")]),
        )
        .await;
    assert!(
        answer
            .text("KmsKeyId")
            .is_some_and(|key| key.starts_with("arn:aws:kms:us-east-1:")),
        "{}",
        answer.body
    );
}

/// §1.4: groups are refused in the same region and taken in another one.
#[tokio::test]
async fn a_replica_elsewhere_may_have_groups_of_its_own() {
    let bench = away().await;
    for (name, code) in [
        ("DBSubnetGroupName", "DBSubnetGroupNotFoundFault"),
        ("DBParameterGroupName", "DBParameterGroupNotFound"),
        ("OptionGroupName", "OptionGroupNotFoundFault"),
    ] {
        bench
            .refused(
                "CreateDBInstanceReadReplica",
                &replica(PLAIN, &[(name, "none")]),
                code,
            )
            .await;
    }
    bench
        .ok(
            "CreateDBInstanceReadReplica",
            &replica(
                PLAIN,
                &[
                    ("DBSubnetGroupName", "data-there"),
                    ("DBParameterGroupName", "over-there"),
                ],
            ),
        )
        .await;
    bench.until("far", "available").await;
    let far = bench.instance("far").await.expect("there");
    assert_eq!(
        (
            far.text("DBSubnetGroupName").as_deref(),
            far.text("DBParameterGroupName").as_deref()
        ),
        (Some("data-there"), Some("over-there"))
    );
}

/// §5: data and `lower_case_table_names` must agree.
#[tokio::test]
async fn a_group_that_lowers_names_does_not_fit_the_data() {
    let bench = away().await;
    bench
        .ok(
            "CreateDBInstanceReadReplica",
            &replica(PLAIN, &[("DBParameterGroupName", "lowered-there")]),
        )
        .await;
    bench.until("far", "incompatible-parameters").await;
    bench.pass(1_000).await;
    assert_eq!(bench.status("far").await, "incompatible-parameters");
}

#[tokio::test]
async fn a_name_alone_means_the_region_that_was_called_and_other_accounts_have_nothing() {
    let bench = away().await;
    for source in [
        "plain",
        "arn:aws:rds:us-east-1:111122223333:db:plain",
        "arn:aws:rds:eu-central-1:444455556666:db:plain",
    ] {
        let answer = bench
            .refused(
                "CreateDBInstanceReadReplica",
                &replica(source, &[]),
                "DBInstanceNotFound",
            )
            .await;
        assert_eq!(answer.status, 404);
    }
}

#[tokio::test]
async fn a_deleted_source_promotes_the_replicas_of_its_region_and_ends_the_replication_of_others() {
    let mut bench = away().await;
    bench
        .ok("CreateDBInstanceReadReplica", &replica(PLAIN, &[]))
        .await;
    bench.until("far", "available").await;
    bench.region = "eu-central-1";
    bench
        .ok(
            "DeleteDBInstance",
            &[
                ("DBInstanceIdentifier", "plain"),
                ("SkipFinalSnapshot", "true"),
            ],
        )
        .await;
    bench.until("plain", "-").await;
    let near = bench.instance("replica").await.expect("there");
    assert!(!near.has("StatusInfos") && !near.has("ReadReplicaSourceDBInstanceIdentifier"));
    bench.region = "us-east-1";
    let far = bench.instance("far").await.expect("there");
    assert!(
        far.body
            .contains("<Normal>false</Normal><Status>terminated</Status>"),
        "{}",
        far.body
    );
    // It has to be promoted by hand.
    bench
        .ok("PromoteReadReplica", &[("DBInstanceIdentifier", "far")])
        .await;
    bench.until("far", "available").await;
    assert!(
        !bench
            .instance("far")
            .await
            .expect("there")
            .has("StatusInfos")
    );
}

#[tokio::test]
async fn a_source_of_a_replica_elsewhere_cannot_be_stopped() {
    let mut bench = away().await;
    let ordinary = "arn:aws:rds:eu-central-1:111122223333:db:ordinary";
    bench
        .ok("CreateDBInstanceReadReplica", &replica(ordinary, &[]))
        .await;
    bench.until("far", "available").await;
    bench.region = "eu-central-1";
    bench
        .refused(
            "StopDBInstance",
            &[("DBInstanceIdentifier", "ordinary")],
            "InvalidDBInstanceState",
        )
        .await;
}

#[tokio::test]
async fn a_snapshot_is_copied_from_another_region_by_its_arn() {
    let mut bench = away().await;
    bench.region = "eu-central-1";
    bench.snapshot("plain", "s").await;
    bench.snapshot("locked", "e").await;
    bench.region = "us-east-1";
    let arn = |id: &str| format!("arn:aws:rds:eu-central-1:111122223333:snapshot:{id}");
    let (plain, encrypted) = (arn("s"), arn("e"));
    // An identifier means this region.
    let missing = bench
        .refused(
            "CopyDBSnapshot",
            &[
                ("SourceDBSnapshotIdentifier", "s"),
                ("TargetDBSnapshotIdentifier", "copy"),
            ],
            "DBSnapshotNotFound",
        )
        .await;
    assert_eq!(missing.status, 404);
    // An encrypted snapshot leaves its region only under a key of the destination.
    bench
        .refused(
            "CopyDBSnapshot",
            &[
                ("SourceDBSnapshotIdentifier", &encrypted),
                ("TargetDBSnapshotIdentifier", "copy"),
            ],
            "InvalidParameterCombination",
        )
        .await;
    bench
        .ok(
            "CopyDBSnapshot",
            &[
                ("SourceDBSnapshotIdentifier", &encrypted),
                ("TargetDBSnapshotIdentifier", "locked-copy"),
                ("KmsKeyId", "alias/mine"),
                ("SourceRegion", "eu-central-1"),
            ],
        )
        .await;
    bench
        .ok(
            "CopyDBSnapshot",
            &[
                ("SourceDBSnapshotIdentifier", &plain),
                ("TargetDBSnapshotIdentifier", "copy"),
            ],
        )
        .await;
    bench.until_snapshot("copy").await;
    bench.until_snapshot("locked-copy").await;
    let copy = bench
        .ok("DescribeDBSnapshots", &[("DBSnapshotIdentifier", "copy")])
        .await;
    let text = |name: &str| copy.text(name).unwrap_or_else(|| "absent".to_owned());
    let expected = [
        ("SourceRegion", "eu-central-1"),
        ("SourceDBSnapshotIdentifier", plain.as_str()),
        ("OptionGroupName", "default:mysql-8-0"),
        ("Encrypted", "false"),
    ];
    for (name, value) in expected {
        assert_eq!(text(name), value, "{name}");
    }
    let locked = bench
        .ok(
            "DescribeDBSnapshots",
            &[("DBSnapshotIdentifier", "locked-copy")],
        )
        .await;
    assert!(
        locked
            .text("KmsKeyId")
            .is_some_and(|key| key.starts_with("arn:aws:kms:us-east-1:"))
    );
    // A restore from it lands in this region, under that key.
    bench
        .ok(
            "RestoreDBInstanceFromDBSnapshot",
            &[
                ("DBInstanceIdentifier", "new"),
                ("DBSnapshotIdentifier", "locked-copy"),
            ],
        )
        .await;
    bench.until("new", "available").await;
    let new = bench.instance("new").await.expect("there");
    assert_eq!(new.text("KmsKeyId"), locked.text("KmsKeyId"));
    // The original is not to be restored here.
    bench
        .refused(
            "RestoreDBInstanceFromDBSnapshot",
            &[
                ("DBInstanceIdentifier", "other"),
                ("DBSnapshotIdentifier", &plain),
            ],
            "DBSnapshotNotFound",
        )
        .await;
}

#[tokio::test]
async fn a_far_replica_is_listed_at_its_source_once_it_is_visible() {
    let mut bench = Bench::with("\n[knobs]\ndescribe_lag = [20, 20]\n").await;
    bench.region = "us-east-1";
    bench
        .ok("CreateDBInstanceReadReplica", &replica(PLAIN, &[]))
        .await;
    assert_eq!(bench.status("far").await, "-");
    bench.region = "eu-central-1";
    let listed = async || {
        bench
            .instance("plain")
            .await
            .expect("there")
            .all("ReadReplicaDBInstanceIdentifier")
            .len()
    };
    assert_eq!(listed().await, 1);
    bench.pass(19).await;
    assert_eq!(listed().await, 1);
    bench.pass(2).await;
    assert_eq!(listed().await, 2);
}
