use super::{Bench, NO_LAG};

const RENAME: [(&str, &str); 3] = [
    ("DBInstanceIdentifier", "plain"),
    ("NewDBInstanceIdentifier", "Old-Plain"),
    ("ApplyImmediately", "true"),
];

#[tokio::test]
async fn neither_name_is_found_during_the_gap_and_the_new_one_reboots_first() {
    let bench = Bench::with(NO_LAG).await;
    bench.ok("ModifyDBInstance", &RENAME).await;
    let old = bench.until("plain", "-").await;
    assert_eq!(old, ["modifying", "renaming", "-"]);
    assert!(
        bench.instance("old-plain").await.is_none(),
        "the gap has both names missing"
    );
    assert_eq!(
        bench.until("old-plain", "available").await,
        ["-", "rebooting", "available"]
    );
}

#[tokio::test]
async fn describe_may_show_the_past_right_after_a_rename_is_asked_for() {
    let bench = Bench::with("\n[knobs]\ndescribe_lag = [20, 20]\n").await;
    bench.ok("ModifyDBInstance", &RENAME).await;
    let stale = bench.instance("plain").await.expect("still there");
    assert_eq!(stale.text("DBInstanceStatus").as_deref(), Some("available"));
    assert_eq!(stale.text("PendingModifiedValues").as_deref(), Some(""));
    // The truth refuses what the view seems to allow.
    bench
        .refused(
            "RebootDBInstance",
            &[("DBInstanceIdentifier", "plain")],
            "InvalidDBInstanceState",
        )
        .await;
    bench.pass(21).await;
    let shown = bench.instance("plain").await.expect("still there");
    assert_eq!(shown.text("DBInstanceStatus").as_deref(), Some("modifying"));
    assert!(
        shown
            .text("PendingModifiedValues")
            .expect("pending")
            .contains("<DBInstanceIdentifier>old-plain</DBInstanceIdentifier>")
    );
}

#[tokio::test]
async fn the_old_name_is_taken_until_the_rename_is_complete() {
    let bench = Bench::with(NO_LAG).await;
    bench.ok("ModifyDBInstance", &RENAME).await;
    let take = [
        ("DBInstanceIdentifier", "ordinary"),
        ("NewDBInstanceIdentifier", "plain"),
        ("ApplyImmediately", "true"),
    ];
    bench
        .refused("ModifyDBInstance", &take, "DBInstanceAlreadyExists")
        .await;
    bench.until("plain", "-").await;
    bench
        .refused("ModifyDBInstance", &take, "DBInstanceAlreadyExists")
        .await;
    bench.until("old-plain", "available").await;
    bench.ok("ModifyDBInstance", &take).await;
    bench.until("plain", "available").await;
}

#[tokio::test]
async fn the_endpoint_lags_behind_the_status() {
    let bench = Bench::with("\n[knobs]\ndescribe_lag = [0, 0]\nendpoint_lag = [100, 100]\n").await;
    bench.rename("plain", "old-plain").await;
    let address = |answer: &super::client::Answer| answer.text("Address").expect("an endpoint");
    assert!(address(&bench.instance("old-plain").await.expect("there")).starts_with("plain."));
    bench.pass(101).await;
    assert!(address(&bench.instance("old-plain").await.expect("there")).starts_with("old-plain."));
}

#[tokio::test]
async fn replicas_show_the_new_name_of_their_source_and_the_resource_id_stays() {
    let bench = Bench::with(NO_LAG).await;
    let before = bench
        .instance("plain")
        .await
        .and_then(|answer| answer.text("DbiResourceId"));
    // A source and its replica may be renamed in parallel.
    bench.ok("ModifyDBInstance", &RENAME).await;
    bench
        .ok(
            "ModifyDBInstance",
            &[
                ("DBInstanceIdentifier", "replica"),
                ("NewDBInstanceIdentifier", "old-replica"),
                ("ApplyImmediately", "true"),
            ],
        )
        .await;
    bench.until("old-plain", "available").await;
    bench.until("old-replica", "available").await;
    let after = bench.instance("old-plain").await.expect("there");
    assert_eq!(after.text("DbiResourceId"), before);
    assert_eq!(
        after.text("ReadReplicaDBInstanceIdentifier").as_deref(),
        Some("old-replica")
    );
    assert!(
        after
            .text("DBInstanceArn")
            .is_some_and(|arn| arn.ends_with(":db:old-plain"))
    );
    let replica = bench.instance("old-replica").await.expect("there");
    assert_eq!(
        replica
            .text("ReadReplicaSourceDBInstanceIdentifier")
            .as_deref(),
        Some("old-plain")
    );
}

#[tokio::test]
async fn a_rename_to_the_present_name_runs_all_the_same() {
    let bench = Bench::with(NO_LAG).await;
    bench
        .ok(
            "ModifyDBInstance",
            &[
                ("DBInstanceIdentifier", "ordinary"),
                ("NewDBInstanceIdentifier", "ORDINARY"),
                ("ApplyImmediately", "true"),
            ],
        )
        .await;
    let seen = bench.until("ordinary", "rebooting").await;
    assert!(seen.contains(&"-".to_owned()), "{seen:?}");
    bench.until("ordinary", "available").await;
}

#[tokio::test]
async fn without_apply_immediately_the_name_waits() {
    let bench = Bench::with(NO_LAG).await;
    bench.ok("ModifyDBInstance", &RENAME[..2]).await;
    bench.pass(600).await;
    let waiting = bench.instance("plain").await.expect("there");
    assert!(
        waiting
            .text("PendingModifiedValues")
            .expect("pending")
            .contains("old-plain")
    );
    // The next immediate call applies what waited, although it is about something else.
    bench
        .ok(
            "ModifyDBInstance",
            &[
                ("DBInstanceIdentifier", "plain"),
                ("MultiAZ", "false"),
                ("ApplyImmediately", "true"),
            ],
        )
        .await;
    bench.until("old-plain", "available").await;
    let renamed = bench.instance("old-plain").await.expect("there");
    assert_eq!(
        (
            renamed.text("MultiAZ").as_deref(),
            renamed.text("PendingModifiedValues").as_deref()
        ),
        (Some("false"), Some(""))
    );
}
