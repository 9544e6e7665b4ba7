//! Changes of clusters, renames included.

use super::{AURORA, OLD, old, plus};
use crate::{Bench, Refusal};

/// §4, the same gap as for instances.
#[tokio::test]
async fn a_renamed_cluster_is_found_under_neither_name_for_a_while() {
    let bench = Bench::with(&format!(
        "{OLD}\n[knobs]\ndescribe_lag = [0, 0]\nrename_gap = [30, 30]\n"
    ))
    .await;
    let resource = bench
        .cluster("old")
        .await
        .and_then(|answer| answer.text("DbClusterResourceId"));
    let rename = [
        ("DBClusterIdentifier", "old"),
        ("NewDBClusterIdentifier", "older"),
        ("ApplyImmediately", "true"),
    ];
    bench
        .refused(
            "ModifyDBCluster",
            &[rename[0], ("NewDBClusterIdentifier", "keyed"), rename[2]],
            "DBClusterAlreadyExistsFault",
        )
        .await;
    let answer = bench.ok("ModifyDBCluster", &rename).await;
    assert!(
        answer
            .text("PendingModifiedValues")
            .expect("pending")
            .contains("<DBClusterIdentifier>older</DBClusterIdentifier>")
    );
    assert_eq!(
        bench.until_cluster("old", "-").await,
        ["modifying", "renaming", "-"]
    );
    assert_eq!(bench.cluster_status("older").await, "-");
    // The old name is not free yet.
    let take = plus(&AURORA, &[("DBClusterIdentifier", "old")]);
    bench
        .refused("CreateDBCluster", &take, "DBClusterAlreadyExistsFault")
        .await;
    assert_eq!(
        bench.until_cluster("older", "available").await,
        ["-", "modifying", "available"]
    );
    let older = bench.cluster("older").await.expect("there");
    assert_eq!(older.text("DbClusterResourceId"), resource);
    assert!(
        older
            .text("DBClusterArn")
            .is_some_and(|arn| arn.ends_with(":cluster:older"))
    );
    assert!(
        older
            .text("Endpoint")
            .is_some_and(|host| host.starts_with("older.cluster-"))
    );
    assert!(!older.has("PendingModifiedValues"));
    assert_eq!(bench.members("older").await.len(), 3);
    assert_eq!(
        bench
            .instance("old-1")
            .await
            .and_then(|answer| answer.text("DBClusterIdentifier"))
            .as_deref(),
        Some("older")
    );
    let events = bench
        .ok(
            "DescribeEvents",
            &[("SourceIdentifier", "older"), ("SourceType", "db-cluster")],
        )
        .await;
    assert_eq!(events.all("Message"), ["Renamed cluster from old to older"]);
    bench.ok("CreateDBCluster", &take).await;
}

#[tokio::test]
async fn without_apply_immediately_some_changes_of_a_cluster_wait() {
    let bench = old().await;
    bench
        .ok(
            "ModifyDBCluster",
            &[
                ("DBClusterIdentifier", "old"),
                ("NewDBClusterIdentifier", "older"),
                ("EnableIAMDatabaseAuthentication", "true"),
                ("BackupRetentionPeriod", "9"),
            ],
        )
        .await;
    // The retention does not wait.
    assert_eq!(
        bench.until_cluster("old", "available").await,
        ["modifying", "available"]
    );
    let waiting = bench.cluster("old").await.expect("there");
    assert_eq!(waiting.text("BackupRetentionPeriod").as_deref(), Some("9"));
    let pending = waiting.text("PendingModifiedValues").expect("pending");
    assert!(
        pending.contains("older") && pending.contains("<IAMDatabaseAuthenticationEnabled>true<"),
        "{pending}"
    );
    assert_eq!(
        bench
            .instance("old-1")
            .await
            .and_then(|answer| answer.text("BackupRetentionPeriod"))
            .as_deref(),
        Some("9")
    );
    // The maintenance window comes within a week.
    bench.pass(8 * 86_400).await;
    assert_eq!(
        bench
            .cluster("older")
            .await
            .and_then(|answer| answer.text("IAMDatabaseAuthenticationEnabled"))
            .as_deref(),
        Some("true")
    );
    assert_eq!(bench.cluster_status("old").await, "-");
}

#[tokio::test]
async fn changes_of_a_cluster_that_rds_refuses() {
    let bench = old().await;
    let cases: [Refusal<'_>; 8] = [
        (
            &[("DBClusterIdentifier", "none")],
            "DBClusterNotFoundFault",
            404,
        ),
        (&[], "InvalidParameterCombination", 400),
        (
            &[("BackupRetentionPeriod", "0")],
            "InvalidParameterValue",
            400,
        ),
        (
            &[("NewDBClusterIdentifier", "1st")],
            "InvalidParameterValue",
            400,
        ),
        (
            &[("DBClusterParameterGroupName", "none")],
            "DBClusterParameterGroupNotFound",
            404,
        ),
        (
            &[("AllocatedStorage", "100")],
            "InvalidParameterCombination",
            400,
        ),
        (&[("StorageType", "gp3")], "StorageTypeNotSupported", 400),
        (
            &[("EngineVersion", "9.9.9")],
            "InvalidParameterCombination",
            400,
        ),
    ];
    for (more, code, status) in cases {
        let params = plus(&[("DBClusterIdentifier", "old")], more);
        let answer = bench.call("ModifyDBCluster", &params).await;
        assert_eq!(
            (answer.code().as_str(), answer.status),
            (code, status),
            "{more:?}: {}",
            answer.body
        );
    }
    bench
        .ok(
            "ModifyDBCluster",
            &[("DBClusterIdentifier", "old"), ("Port", "3310")],
        )
        .await;
    bench
        .refused(
            "ModifyDBCluster",
            &[("DBClusterIdentifier", "old"), ("Port", "3311")],
            "InvalidDBClusterStateFault",
        )
        .await;
    bench.until_cluster("old", "available").await;
    assert_eq!(
        bench
            .instance("old-2")
            .await
            .and_then(|answer| answer.text("Port"))
            .as_deref(),
        Some("3310")
    );
}

#[tokio::test]
async fn a_new_master_password_does_not_wait_and_is_never_shown() {
    let bench = old().await;
    let answer = bench
        .ok(
            "ModifyDBCluster",
            &[
                ("DBClusterIdentifier", "old"),
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
        bench.until_cluster("old", "available").await,
        ["resetting-master-credentials", "available"]
    );
    assert!(
        !bench
            .cluster("old")
            .await
            .expect("there")
            .has("PendingModifiedValues")
    );
    bench
        .ok(
            "ModifyDBCluster",
            &[
                ("DBClusterIdentifier", "old"),
                ("ManageMasterUserPassword", "true"),
            ],
        )
        .await;
    bench.until_cluster("old", "available").await;
    assert_eq!(
        bench
            .cluster("old")
            .await
            .and_then(|answer| answer.text("SecretStatus"))
            .as_deref(),
        Some("active")
    );
    // From now on the password is RDS's business.
    bench
        .refused(
            "ModifyDBCluster",
            &[
                ("DBClusterIdentifier", "old"),
                ("MasterUserPassword", "geheim-geheim"),
            ],
            "InvalidParameterCombination",
        )
        .await;
}
