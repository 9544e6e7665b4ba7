//! Snapshots shared with other accounts: §2.3 (what a Describe lists), §2.4 and §3.1 (copy and restore).

use super::{Bench, NO_LAG};

const OTHER: &str = "444455556666";

async fn share(bench: &Bench, id: &str, with: &str) -> super::client::Answer {
    bench
        .call(
            "ModifyDBSnapshotAttribute",
            &[
                ("DBSnapshotIdentifier", id),
                ("AttributeName", "restore"),
                ("ValuesToAdd.AttributeValue.1", with),
            ],
        )
        .await
}

fn arn(id: &str) -> String {
    format!("arn:aws:rds:eu-central-1:111122223333:snapshot:{id}")
}

/// Identifiers and types that a Describe lists.
async fn listed(bench: &Bench, params: &[(&str, &str)]) -> Vec<(String, String)> {
    let answer = bench.ok("DescribeDBSnapshots", params).await;
    answer
        .all("DBSnapshotIdentifier")
        .into_iter()
        .zip(answer.all("SnapshotType"))
        .collect()
}

#[tokio::test]
async fn a_shared_snapshot_is_seen_restored_and_copied_by_the_other_account() {
    let mut bench = Bench::with(NO_LAG).await;
    bench.snapshot("plain", "s").await;
    let described = bench
        .ok(
            "DescribeDBSnapshotAttributes",
            &[("DBSnapshotIdentifier", "s")],
        )
        .await;
    assert_eq!(described.all("AttributeName"), ["restore"]);
    assert!(described.all("AttributeValue").is_empty());
    bench.access_key = "AKIAOTHER";
    assert_eq!(listed(&bench, &[("IncludeShared", "true")]).await, []);
    bench
        .refused(
            "RestoreDBInstanceFromDBSnapshot",
            &[
                ("DBInstanceIdentifier", "mine"),
                ("DBSnapshotIdentifier", &arn("s")),
            ],
            "DBSnapshotNotFound",
        )
        .await;

    bench.access_key = "AKIATEST";
    let shared = share(&bench, "s", OTHER).await;
    assert_eq!(shared.all("AttributeValue"), [OTHER], "{}", shared.body);

    bench.access_key = "AKIAOTHER";
    let seen = vec![(arn("s"), "shared".to_owned())];
    assert_eq!(listed(&bench, &[]).await, [], "only when asked for");
    assert_eq!(listed(&bench, &[("SnapshotType", "shared")]).await, seen);
    assert_eq!(listed(&bench, &[("IncludeShared", "true")]).await, seen);
    assert_eq!(listed(&bench, &[("IncludePublic", "true")]).await, []);
    assert_eq!(
        listed(
            &bench,
            &[
                ("IncludeShared", "true"),
                ("DBSnapshotIdentifier", &arn("s"))
            ]
        )
        .await,
        seen
    );
    // It can be used, and nothing else.
    for action in ["DeleteDBSnapshot", "DescribeDBSnapshotAttributes"] {
        bench
            .refused(
                action,
                &[("DBSnapshotIdentifier", &arn("s"))],
                "DBSnapshotNotFound",
            )
            .await;
    }
    bench
        .ok(
            "RestoreDBInstanceFromDBSnapshot",
            &[
                ("DBInstanceIdentifier", "mine"),
                ("DBSnapshotIdentifier", &arn("s")),
            ],
        )
        .await;
    bench.until("mine", "available").await;
    let mine = bench.instance("mine").await.expect("there");
    assert_eq!(
        mine.text("TagList").as_deref(),
        Some(""),
        "tags are not shared"
    );
    bench
        .ok(
            "CopyDBSnapshot",
            &[
                ("SourceDBSnapshotIdentifier", &arn("s")),
                ("TargetDBSnapshotIdentifier", "copy"),
                ("CopyTags", "true"),
            ],
        )
        .await;
    bench.until_snapshot("copy").await;
    let copy = bench
        .ok("DescribeDBSnapshots", &[("DBSnapshotIdentifier", "copy")])
        .await;
    assert_eq!(copy.text("SourceDBSnapshotIdentifier"), Some(arn("s")));
    assert_eq!(copy.text("TagList").as_deref(), Some(""));
    assert_eq!(
        copy.text("OptionGroupName").as_deref(),
        Some("default:mysql-8-0")
    );

    // Sharing ends.
    bench.access_key = "AKIATEST";
    bench
        .ok(
            "ModifyDBSnapshotAttribute",
            &[
                ("DBSnapshotIdentifier", "s"),
                ("AttributeName", "restore"),
                ("ValuesToRemove.AttributeValue.1", OTHER),
            ],
        )
        .await;
    bench.access_key = "AKIAOTHER";
    assert_eq!(listed(&bench, &[("SnapshotType", "shared")]).await, []);
}

#[tokio::test]
async fn a_public_snapshot_is_listed_as_public_and_goes_with_its_sharing() {
    let mut bench = Bench::with(NO_LAG).await;
    bench.snapshot("plain", "s").await;
    assert_eq!(share(&bench, "s", "all").await.status, 200);
    bench.access_key = "AKIAOTHER";
    let seen = vec![(arn("s"), "public".to_owned())];
    assert_eq!(listed(&bench, &[("SnapshotType", "public")]).await, seen);
    assert_eq!(listed(&bench, &[("IncludePublic", "true")]).await, seen);
    assert_eq!(listed(&bench, &[("SnapshotType", "shared")]).await, []);
    bench.access_key = "AKIATEST";
    bench
        .ok("DeleteDBSnapshot", &[("DBSnapshotIdentifier", "s")])
        .await;
    bench.snapshot("plain", "s").await;
    bench.access_key = "AKIAOTHER";
    assert_eq!(
        listed(&bench, &[("SnapshotType", "public")]).await,
        [],
        "another snapshot of that name is not public"
    );
}

/// §2.4: a shared and encrypted snapshot cannot be restored directly; §3.1: its copy needs a key of one's own.
#[tokio::test]
async fn a_shared_encrypted_snapshot_has_to_be_copied_first() {
    let key = "\n[[keys]]\nalias = \"alias/theirs\"\naccount = \"444455556666\"\n";
    let mut bench = Bench::with(&format!("{NO_LAG}{key}")).await;
    bench.snapshot("locked", "s").await;
    assert_eq!(
        share(&bench, "s", "all").await.code(),
        "InvalidParameterValue"
    );
    assert_eq!(share(&bench, "s", OTHER).await.status, 200);
    bench.access_key = "AKIAOTHER";
    bench
        .refused(
            "RestoreDBInstanceFromDBSnapshot",
            &[
                ("DBInstanceIdentifier", "mine"),
                ("DBSnapshotIdentifier", &arn("s")),
            ],
            "InvalidDBSnapshotState",
        )
        .await;
    let source = arn("s");
    let copy = [
        ("SourceDBSnapshotIdentifier", source.as_str()),
        ("TargetDBSnapshotIdentifier", "copy"),
        ("KmsKeyId", "alias/theirs"),
    ];
    bench
        .refused("CopyDBSnapshot", &copy[..2], "InvalidParameterCombination")
        .await;
    bench.ok("CopyDBSnapshot", &copy).await;
    bench.until_snapshot("copy").await;
    bench
        .ok(
            "RestoreDBInstanceFromDBSnapshot",
            &[
                ("DBInstanceIdentifier", "mine"),
                ("DBSnapshotIdentifier", "copy"),
            ],
        )
        .await;
}

/// §3.1: what the AWS-managed key encrypts cannot be shared.
#[tokio::test]
async fn what_cannot_be_shared_is_refused() {
    let scenario = r#"
[[instances]]
id = "managed-key"
engine = "mysql"
engine_version = "8.0.39"
kms_key = "alias/aws/rds"

[[snapshots]]
id = "rds:plain-2026-11-01"
instance = "plain"
snapshot_type = "automated"
"#;
    let bench = Bench::with(&format!("{NO_LAG}{scenario}")).await;
    bench.snapshot("managed-key", "m").await;
    assert_eq!(
        share(&bench, "m", OTHER).await.code(),
        "InvalidParameterValue"
    );
    assert_eq!(
        share(&bench, "rds:plain-2026-11-01", OTHER).await.code(),
        "InvalidDBSnapshotState"
    );
    bench.snapshot("plain", "s").await;
    assert_eq!(
        share(&bench, "s", "12").await.code(),
        "InvalidParameterValue"
    );
    assert_eq!(
        share(&bench, "none", OTHER).await.code(),
        "DBSnapshotNotFound"
    );
    bench
        .refused(
            "ModifyDBSnapshotAttribute",
            &[
                ("DBSnapshotIdentifier", "s"),
                ("AttributeName", "color"),
                ("ValuesToAdd.AttributeValue.1", OTHER),
            ],
            "InvalidParameterValue",
        )
        .await;
    for number in 0..20 {
        let account = format!("{:012}", 900_000_000_000_u64 + number);
        assert_eq!(share(&bench, "s", &account).await.status, 200);
    }
    assert_eq!(
        share(&bench, "s", OTHER).await.code(),
        "SharedSnapshotQuotaExceeded"
    );
}

#[tokio::test]
async fn a_scenario_may_begin_with_shared_snapshots() {
    let scenario = r#"
[[snapshots]]
id = "known"
instance = "plain"
shared_with = ["444455556666"]

[[snapshots]]
id = "open"
instance = "plain"
shared_with = ["all"]

[[snapshots]]
id = "own"
instance = "plain"
"#;
    let mut bench = Bench::with(&format!("{NO_LAG}{scenario}")).await;
    bench.access_key = "AKIAOTHER";
    let both = [("IncludeShared", "true"), ("IncludePublic", "true")];
    assert_eq!(
        listed(&bench, &both).await,
        [
            (arn("known"), "shared".to_owned()),
            (arn("open"), "public".to_owned())
        ]
    );
}

#[tokio::test]
async fn cluster_snapshots_have_the_same_attribute() {
    let scenario = r#"
[[clusters]]
id = "sky"
engine = "aurora-mysql"
engine_version = "8.0.mysql_aurora.3.05.2"

[[snapshots]]
id = "sky-s"
cluster = "sky"
"#;
    let bench = Bench::with(&format!("{NO_LAG}{scenario}")).await;
    let shared = bench
        .ok(
            "ModifyDBClusterSnapshotAttribute",
            &[
                ("DBClusterSnapshotIdentifier", "sky-s"),
                ("AttributeName", "restore"),
                ("ValuesToAdd.AttributeValue.1", OTHER),
            ],
        )
        .await;
    assert_eq!(
        shared.text("DBClusterSnapshotIdentifier").as_deref(),
        Some("sky-s")
    );
    let described = bench
        .ok(
            "DescribeDBClusterSnapshotAttributes",
            &[("DBClusterSnapshotIdentifier", "sky-s")],
        )
        .await;
    assert_eq!(described.all("AttributeValue"), [OTHER]);
    let missing = bench
        .refused(
            "DescribeDBClusterSnapshotAttributes",
            &[("DBClusterSnapshotIdentifier", "none")],
            "DBClusterSnapshotNotFoundFault",
        )
        .await;
    assert_eq!(missing.status, 404);
}
