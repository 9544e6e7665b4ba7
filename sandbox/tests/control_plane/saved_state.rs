use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use atrest_sandbox::engine::EngineMode;
use atrest_sandbox::{Sandbox, SandboxError, SandboxOptions, Scenario, StateError};
use serde_json::{Value, json};

use super::raw::{admin_ok, fault, json as call_json};
use super::{Bench, NO_LAG};

fn options(text: &str) -> SandboxOptions {
    SandboxOptions {
        scenario: Scenario::parse("test", text).expect("a scenario"),
        port: 0,
        speed: 1.0,
        engines: EngineMode::None,
        install_dir: std::path::PathBuf::new(),
        work_dir: std::path::PathBuf::new(),
        request_log: None,
        seed: 42,
    }
}

async fn open(text: &str, state: &Path) -> Bench {
    let sandbox = Sandbox::start_paused_with_state(options(text), state.to_owned())
        .await
        .expect("it starts");
    Bench {
        sandbox,
        access_key: "AKIATEST",
        region: "eu-central-1",
    }
}

/// All that can be described, request ids aside.
async fn described(bench: &mut Bench) -> Vec<String> {
    let mut all = Vec::new();
    for (key, region) in [
        ("AKIATEST", "eu-central-1"),
        ("AKIATEST", "us-east-1"),
        ("AKIAOTHER", "eu-central-1"),
    ] {
        bench.access_key = key;
        bench.region = region;
        for action in [
            "DescribeDBInstances",
            "DescribeDBSnapshots",
            "DescribeDBClusters",
            "DescribeDBClusterSnapshots",
            "DescribeDBInstanceAutomatedBackups",
            "DescribeDBParameterGroups",
            "DescribeOptionGroups",
            "DescribeDBSubnetGroups",
            "DescribeAccountAttributes",
            "DescribePendingMaintenanceActions",
            "DescribeEventSubscriptions",
            "DescribeDBProxies",
        ] {
            let answer = bench.ok(action, &[]).await;
            let id = answer.text("RequestId").expect("an id");
            all.push(format!(
                "{key} {region} {action} {}",
                answer.body.replace(&id, "")
            ));
        }
        let events = bench.ok("DescribeEvents", &[("Duration", "20160")]).await;
        let id = events.text("RequestId").expect("an id");
        all.push(events.body.replace(&id, ""));
        for action in ["ListKeys", "ListAliases"] {
            all.push(call_json(bench, "kms", action, &json!({})).await.text());
        }
    }
    bench.access_key = "AKIATEST";
    bench.region = "eu-central-1";
    all
}

#[tokio::test]
async fn everything_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.json");
    let text = include_str!("fleet.toml");
    let mut bench = open(text, &path).await;
    // Things that are done, that are under way, and that failed.
    bench.snapshot("ordinary", "done").await;
    bench
        .ok(
            "CopyDBSnapshot",
            &[
                ("SourceDBSnapshotIdentifier", "done"),
                ("TargetDBSnapshotIdentifier", "copy"),
                ("KmsKeyId", "alias/aws/rds"),
            ],
        )
        .await;
    bench.pass(30).await;
    bench
        .ok(
            "ModifyDBInstance",
            &[
                ("DBInstanceIdentifier", "plain"),
                ("NewDBInstanceIdentifier", "renamed"),
                ("ApplyImmediately", "true"),
            ],
        )
        .await;
    let quota = fault(
        &bench,
        json!({ "kind": "quota", "quota": "ManualSnapshots" }),
    )
    .await;
    bench
        .refused(
            "CreateDBSnapshot",
            &[
                ("DBInstanceIdentifier", "ordinary"),
                ("DBSnapshotIdentifier", "none"),
            ],
            "SnapshotQuotaExceeded",
        )
        .await;
    admin_ok(&bench, "DELETE", &format!("/faults/{quota}"), Value::Null).await;
    let key = call_json(
        &bench,
        "kms",
        "DescribeKey",
        &json!({ "KeyId": "alias/mine" }),
    )
    .await;
    let key = key.json()["KeyMetadata"]["KeyId"].clone();
    call_json(&bench, "kms", "DisableKey", &json!({ "KeyId": key })).await;
    fault(
        &bench,
        json!({ "kind": "state", "target": "renamed", "to": "storage-full", "when": "next-available" }),
    )
    .await;
    fault(
        &bench,
        json!({ "kind": "state", "target": "no-backups", "to": "failed", "after": 500 }),
    )
    .await;
    fault(
        &bench,
        json!({ "name": "third", "kind": "http-503", "action": "DescribeDBProxyTargets", "nth": 3 }),
    )
    .await;
    bench.call("DescribeDBProxyTargets", &[]).await;
    bench.call("DescribeDBProxyTargets", &[]).await;
    bench.pass(65).await;

    let before = described(&mut bench).await;
    admin_ok(&bench, "POST", "/save", Value::Null).await;
    bench.sandbox.shutdown().await.expect("it stops");
    let mode = std::fs::metadata(&path)
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        1
    );

    // The scenario of a state that exists is the state's.
    let mut bench = open(&format!("{text}{NO_LAG}"), &path).await;
    let after = described(&mut bench).await;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after);
    }
    assert_eq!(bench.call("DescribeDBProxyTargets", &[]).await.status, 503);
    // What was under way comes to its end, as it would have.
    bench.until_snapshot("copy").await;
    bench.until("renamed", "storage-full").await;
    bench.pass(500).await;
    assert_eq!(bench.status("no-backups").await, "failed");
    bench.pass(7_900).await;
    assert_eq!(
        bench.status("locked").await,
        "inaccessible-encryption-credentials-recoverable"
    );
    // And once more: a state that was loaded is saved with all that came before.
    let before = described(&mut bench).await;
    bench.sandbox.shutdown().await.expect("it stops");
    let mut bench = open(text, &path).await;
    assert_eq!(before, described(&mut bench).await);
}

#[tokio::test]
async fn a_future_does_not_depend_on_whether_it_was_interrupted() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = include_str!("fleet.toml");
    let mut ends = Vec::new();
    for interrupted in [false, true] {
        let path = folder.path().join(format!("{interrupted}.json"));
        let mut bench = open(text, &path).await;
        let steps = [
            (
                "CreateDBSnapshot",
                vec![
                    ("DBInstanceIdentifier", "ordinary"),
                    ("DBSnapshotIdentifier", "s"),
                ],
            ),
            ("RebootDBInstance", vec![("DBInstanceIdentifier", "plain")]),
            (
                "CreateDBInstanceReadReplica",
                vec![
                    ("DBInstanceIdentifier", "r"),
                    ("SourceDBInstanceIdentifier", "ordinary"),
                ],
            ),
        ];
        let mut statuses = Vec::new();
        for (action, params) in steps {
            bench.call(action, &params).await;
            if interrupted {
                bench.sandbox.shutdown().await.expect("it stops");
                bench = open(text, &path).await;
            }
            for _ in 0..40 {
                bench.pass(10).await;
                for id in ["ordinary", "plain", "r"] {
                    statuses.push(bench.status(id).await);
                }
            }
        }
        ends.push(statuses);
    }
    assert_eq!(ends[0], ends[1]);
    assert!(ends[0].contains(&"creating".to_owned()) && ends[0].contains(&"rebooting".to_owned()));
}

#[tokio::test]
async fn a_file_that_is_no_state_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.json");
    for (content, word) in [
        ("", "not a saved state"),
        ("{\"format\":1}", "not a saved state"),
        ("{\"format\":2,\"x\":1}", "format 2"),
    ] {
        std::fs::write(&path, content).expect("written");
        let error =
            Sandbox::start_paused_with_state(options(include_str!("fleet.toml")), path.clone())
                .await
                .expect_err("refused");
        let SandboxError::State(error) = error else {
            panic!("{error:?}");
        };
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(std::fs::read_to_string(&path).expect("a file"), content);
    }
    let with_engines = SandboxOptions {
        engines: EngineMode::Auto,
        ..options(include_str!("fleet.toml"))
    };
    let error = Sandbox::start_paused_with_state(with_engines, folder.path().join("other"))
        .await
        .expect_err("refused");
    assert!(
        matches!(error, SandboxError::State(StateError::Engines)),
        "{error:?}"
    );
}
