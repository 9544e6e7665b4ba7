use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::raw::{admin, admin_ok, fault, json as call_json};
use super::{Bench, NO_LAG};

const SNAPSHOT: [(&str, &str); 2] = [
    ("DBInstanceIdentifier", "ordinary"),
    ("DBSnapshotIdentifier", "s"),
];

#[tokio::test]
async fn a_bucket_is_per_account_region_and_service_and_fills_with_virtual_time() {
    let text = format!("{NO_LAG}[[faults]]\nkind = \"throttle\"\nrate = 1.0\nburst = 2.0\n");
    let mut bench = Bench::with(&text).await;
    bench.ok("DescribeDBInstances", &[]).await;
    bench.ok("DescribeDBSnapshots", &[]).await;
    let answer = bench
        .refused("DescribeDBInstances", &[], "Throttling")
        .await;
    assert_eq!(
        (answer.status, answer.text("Message").as_deref()),
        (400, Some("Rate exceeded"))
    );
    // Other buckets are full.
    assert_eq!(
        call_json(&bench, "kms", "ListKeys", &json!({}))
            .await
            .status,
        200
    );
    bench.region = "us-east-1";
    bench.ok("DescribeDBInstances", &[]).await;
    bench.region = "eu-central-1";
    bench.access_key = "AKIAOTHER";
    bench.ok("DescribeDBInstances", &[]).await;
    bench.access_key = "AKIATEST";
    bench.pass(1).await;
    bench.ok("DescribeDBInstances", &[]).await;
    bench
        .refused("DescribeDBInstances", &[], "Throttling")
        .await;
}

#[tokio::test]
async fn each_service_throttles_and_fails_in_its_own_words() {
    let bench = Bench {
        region: "us-east-1",
        ..Bench::with(NO_LAG).await
    };
    for (kind, service, expected) in [
        ("throttle", "kms", (400, "ThrottlingException")),
        (
            "throttle",
            "organizations",
            (400, "TooManyRequestsException"),
        ),
        ("http-500", "kms", (500, "KMSInternalException")),
        ("http-503", "secretsmanager", (503, "ServiceUnavailable")),
    ] {
        fault(&bench, json!({ "kind": kind, "service": service })).await;
        let answer = call_json(&bench, service, "ListKeys", &json!({})).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            expected,
            "{kind} {service}"
        );
    }
    fault(&bench, json!({ "kind": "http-500" })).await;
    let answer = bench
        .refused("DescribeDBInstances", &[], "InternalFailure")
        .await;
    assert_eq!(answer.status, 500);
}

#[tokio::test]
async fn a_reset_comes_before_the_deed_and_a_lost_answer_after_it() {
    let bench = Bench::with(NO_LAG).await;
    fault(
        &bench,
        json!({ "kind": "reset", "action": "CreateDBSnapshot" }),
    )
    .await;
    assert!(
        bench
            .try_call("rds", "CreateDBSnapshot", &SNAPSHOT)
            .await
            .is_none()
    );
    bench
        .refused(
            "DescribeDBSnapshots",
            &[("DBSnapshotIdentifier", "s")],
            "DBSnapshotNotFound",
        )
        .await;
    fault(
        &bench,
        json!({ "kind": "lost-answer", "action": "Create*" }),
    )
    .await;
    assert!(
        bench
            .try_call("rds", "CreateDBSnapshot", &SNAPSHOT)
            .await
            .is_none()
    );
    bench
        .refused("CreateDBSnapshot", &SNAPSHOT, "DBSnapshotAlreadyExists")
        .await;
    let tail = admin_ok(
        &bench,
        "GET",
        "/requests?action=CreateDBSnapshot",
        Value::Null,
    )
    .await;
    let seen: Vec<(&str, u64)> = tail["requests"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| {
            (
                entry["fault"].as_str().unwrap_or_default(),
                entry["status"].as_u64().unwrap_or_default(),
            )
        })
        .collect();
    assert_eq!(seen, [("reset", 0), ("lost-answer", 200), ("", 400)]);
}

#[tokio::test]
async fn a_fault_is_limited_by_resource_account_region_and_count() {
    let mut bench = Bench::with(NO_LAG).await;
    fault(
        &bench,
        json!({
            "kind": "error", "code": "InsufficientDBInstanceCapacity", "message": "none left",
            "account": "111122223333", "region": "eu-*", "action": "DescribeDBInstances",
            "resource": "pla*", "nth": 2, "times": 2,
        }),
    )
    .await;
    let mut codes = Vec::new();
    for id in ["plain", "ordinary", "plain", "plain", "plain"] {
        let answer = bench
            .call("DescribeDBInstances", &[("DBInstanceIdentifier", id)])
            .await;
        codes.push(answer.code());
    }
    let code = "InsufficientDBInstanceCapacity";
    assert_eq!(codes, ["", "", code, code, ""]);
    fault(
        &bench,
        json!({ "kind": "http-500", "region": "us-east-1", "times": 0 }),
    )
    .await;
    bench.ok("DescribeDBInstances", &[]).await;
    bench.region = "us-east-1";
    for _ in 0..3 {
        bench
            .refused("DescribeDBInstances", &[], "InternalFailure")
            .await;
    }
}

#[tokio::test]
async fn chance_is_the_same_for_the_same_seed() {
    let draw = async || {
        let bench = Bench::with(&format!(
            "{NO_LAG}[[faults]]\nkind = \"http-503\"\nprobability = 0.5\n"
        ))
        .await;
        let mut codes = Vec::new();
        for _ in 0..24 {
            codes.push(bench.call("DescribeDBSnapshots", &[]).await.status);
        }
        codes
    };
    let first = draw().await;
    assert!(first.contains(&200) && first.contains(&503), "{first:?}");
    assert_eq!(first, draw().await);
}

#[tokio::test]
async fn latency_is_real_and_adds_to_what_else_goes_wrong() {
    let bench = Bench::with(NO_LAG).await;
    let name = fault(
        &bench,
        json!({ "kind": "latency", "delay_ms": 120, "jitter_ms": 10 }),
    )
    .await;
    fault(&bench, json!({ "kind": "throttle" })).await;
    let started = Instant::now();
    bench
        .refused("DescribeDBInstances", &[], "Throttling")
        .await;
    assert!(started.elapsed() >= Duration::from_millis(120));
    let tail = admin_ok(&bench, "GET", "/requests?fault=latency", Value::Null).await;
    assert_eq!(tail["requests"][0]["fault"], "latency,throttle");
    admin_ok(&bench, "DELETE", &format!("/faults/{name}"), Value::Null).await;
    bench.ok("DescribeDBInstances", &[]).await;
}

#[tokio::test]
async fn describe_shows_the_state_of_a_while_ago() {
    let bench = Bench::with(NO_LAG).await;
    let name = fault(
        &bench,
        json!({ "kind": "stale-read", "seconds": 60, "action": "DescribeDBSnapshots" }),
    )
    .await;
    bench.ok("CreateDBSnapshot", &SNAPSHOT).await;
    let wanted = [("DBSnapshotIdentifier", "s")];
    for _ in 0..2 {
        bench
            .refused("DescribeDBSnapshots", &wanted, "DBSnapshotNotFound")
            .await;
        bench.pass(29).await;
    }
    // Another Describe sees the present, and so does who writes.
    assert_eq!(bench.status("ordinary").await, "backing-up");
    bench
        .refused("CreateDBSnapshot", &SNAPSHOT, "DBSnapshotAlreadyExists")
        .await;
    bench.pass(3).await;
    let answer = bench.ok("DescribeDBSnapshots", &wanted).await;
    assert_eq!(answer.text("Status").as_deref(), Some("creating"));
    bench.pass(360).await;
    let answer = bench.ok("DescribeDBSnapshots", &wanted).await;
    assert_eq!(answer.text("Status").as_deref(), Some("available"));
    admin_ok(&bench, "DELETE", &format!("/faults/{name}"), Value::Null).await;
    bench.ok("DeleteDBSnapshot", &wanted).await;
}

#[tokio::test]
async fn a_restore_ends_incompatible_instead_of_available() {
    let bench = Bench::with(&format!(
        "{NO_LAG}[[faults]]\nkind = \"state\"\ntarget = \"new-*\"\nto = \"incompatible-restore\"\nwhen = \"next-available\"\n"
    ))
    .await;
    bench.snapshot("ordinary", "s").await;
    bench
        .ok(
            "RestoreDBInstanceFromDBSnapshot",
            &[
                ("DBInstanceIdentifier", "new-one"),
                ("DBSnapshotIdentifier", "s"),
            ],
        )
        .await;
    let seen = bench.until("new-one", "incompatible-restore").await;
    assert!(!seen.contains(&"available".to_owned()), "{seen:?}");
    bench.pass(3_600).await;
    assert_eq!(bench.status("new-one").await, "incompatible-restore");
    assert_eq!(bench.status("ordinary").await, "available");
}

#[tokio::test]
async fn a_resource_fails_now_or_after_the_nth_call() {
    let bench = Bench::with(NO_LAG).await;
    fault(
        &bench,
        json!({ "kind": "state", "target": "plain", "to": "storage-full" }),
    )
    .await;
    assert_eq!(bench.status("plain").await, "storage-full");
    fault(
        &bench,
        json!({ "kind": "state", "action": "CreateDBSnapshot", "to": "failed", "target": "s" }),
    )
    .await;
    bench.ok("CreateDBSnapshot", &SNAPSHOT).await;
    bench.pass(3_600).await;
    let answer = bench
        .ok("DescribeDBSnapshots", &[("DBSnapshotIdentifier", "s")])
        .await;
    assert_eq!(answer.text("Status").as_deref(), Some("failed"));
    // The fault was for a resource of the call's account and region.
    fault(
        &bench,
        json!({ "kind": "state", "account": "444455556666", "target": "*", "to": "failed" }),
    )
    .await;
    assert_eq!(bench.status("locked").await, "available");
}

#[tokio::test]
async fn a_quota_that_is_reached_shows_and_refuses_until_it_is_lifted() {
    let bench = Bench::with(NO_LAG).await;
    let name = fault(
        &bench,
        json!({ "kind": "quota", "quota": "ManualSnapshots" }),
    )
    .await;
    let answer = bench
        .refused("CreateDBSnapshot", &SNAPSHOT, "SnapshotQuotaExceeded")
        .await;
    assert_eq!(answer.status, 400);
    let attributes = bench.ok("DescribeAccountAttributes", &[]).await;
    let quota = attributes
        .all("AccountQuota")
        .into_iter()
        .find(|quota| quota.contains(">ManualSnapshots<"))
        .expect("the quota");
    assert!(
        quota.contains("<Used>0</Used>") && quota.contains("<Max>0</Max>"),
        "{quota}"
    );
    admin_ok(&bench, "DELETE", &format!("/faults/{name}"), Value::Null).await;
    bench.ok("CreateDBSnapshot", &SNAPSHOT).await;
}

#[tokio::test]
async fn a_key_is_disabled_after_the_call_that_needed_it() {
    let bench = Bench::with(NO_LAG).await;
    bench.snapshot("ordinary", "s").await;
    fault(
        &bench,
        json!({ "kind": "key-disabled", "action": "CopyDBSnapshot", "target": "alias/mine" }),
    )
    .await;
    bench
        .ok(
            "CopyDBSnapshot",
            &[
                ("SourceDBSnapshotIdentifier", "s"),
                ("TargetDBSnapshotIdentifier", "copy"),
                ("KmsKeyId", "alias/mine"),
            ],
        )
        .await;
    let key = call_json(
        &bench,
        "kms",
        "DescribeKey",
        &json!({ "KeyId": "alias/mine" }),
    )
    .await;
    assert_eq!(key.json()["KeyMetadata"]["KeyState"], "Disabled");
    bench.until_snapshot("copy").await;
    bench
        .refused(
            "RestoreDBInstanceFromDBSnapshot",
            &[
                ("DBInstanceIdentifier", "n"),
                ("DBSnapshotIdentifier", "copy"),
            ],
            "KMSKeyNotAccessibleFault",
        )
        .await;
}

#[tokio::test]
async fn a_crashed_engine_recovers_or_does_not() {
    let bench = Bench::with(NO_LAG).await;
    fault(
        &bench,
        json!({ "kind": "engine-crash", "target": "ordinary", "after": 5 }),
    )
    .await;
    fault(
        &bench,
        json!({ "kind": "engine-crash", "target": "no-backups", "recovers": false }),
    )
    .await;
    bench.pass(120).await;
    assert_eq!(bench.status("ordinary").await, "available");
    assert_eq!(bench.status("no-backups").await, "failed");
    let events = bench
        .ok(
            "DescribeEvents",
            &[
                ("SourceType", "db-instance"),
                ("SourceIdentifier", "ordinary"),
            ],
        )
        .await;
    let messages = events.all("Message");
    assert!(
        messages[0].starts_with("Recovery of the DB instance has started"),
        "{messages:?}"
    );
    assert_eq!(
        messages[1..],
        [
            "DB instance restarted",
            "Recovery of the DB instance is complete."
        ]
    );
}

#[tokio::test]
async fn a_frozen_control_plane_answers_nothing_and_does_nothing_until_it_is_thawed() {
    let bench = Bench::with(NO_LAG).await;
    bench.ok("CreateDBSnapshot", &SNAPSHOT).await;
    let name = fault(&bench, json!({ "kind": "freeze" })).await;
    let describe = [("DBSnapshotIdentifier", "s")];
    let mut call = std::pin::pin!(bench.ok("DescribeDBSnapshots", &describe));
    assert!(
        tokio::time::timeout(Duration::from_millis(150), &mut call)
            .await
            .is_err(),
        "it was answered"
    );
    admin_ok(
        &bench,
        "POST",
        "/clock",
        json!({ "advance_seconds": 3_600 }),
    )
    .await;
    let state = admin_ok(&bench, "GET", "/state", Value::Null).await;
    assert_eq!(state["frozen"], true);
    assert_eq!(state["regions"][0]["statuses"]["backing-up"], 1, "{state}");
    admin_ok(&bench, "DELETE", &format!("/faults/{name}"), Value::Null).await;
    let answer = tokio::time::timeout(Duration::from_secs(10), call)
        .await
        .expect("an answer after the thaw");
    assert_eq!(answer.text("Status").as_deref(), Some("available"));
}

#[tokio::test]
async fn a_freeze_may_be_for_some_calls_only() {
    let bench = Bench::with(NO_LAG).await;
    fault(
        &bench,
        json!({ "kind": "freeze", "action": "DescribeDBSnapshots" }),
    )
    .await;
    let call = bench.try_call("rds", "DescribeDBSnapshots", &[]);
    assert!(
        tokio::time::timeout(Duration::from_millis(100), call)
            .await
            .is_err()
    );
    bench.ok("DescribeDBInstances", &[]).await;
    assert_eq!(
        admin(&bench, "DELETE", "/faults", Value::Null).await.status,
        200
    );
    bench.ok("DescribeDBSnapshots", &[]).await;
}
