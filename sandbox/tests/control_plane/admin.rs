use serde_json::{Value, json};

use super::raw::{admin, admin_ok, exchange, fault, json as call_json, query};
use super::{Bench, NO_LAG};

#[tokio::test]
async fn faults_are_added_listed_and_removed() {
    let bench = Bench::with(NO_LAG).await;
    let name = fault(
        &bench,
        json!({ "name": "mine", "kind": "http-503", "times": 0 }),
    )
    .await;
    assert_eq!(name, "mine");
    let twice = admin(
        &bench,
        "POST",
        "/faults",
        json!({ "name": "mine", "kind": "reset" }),
    )
    .await;
    assert_eq!(twice.status, 409);
    let both = admin_ok(
        &bench,
        "POST",
        "/faults",
        json!([{ "kind": "reset", "action": "A" }, { "kind": "html", "action": "A" }]),
    )
    .await;
    assert_eq!(both["added"].as_array().map(Vec::len), Some(2));
    bench.call("DescribeDBInstances", &[]).await;
    let listed = admin_ok(&bench, "GET", "/faults", Value::Null).await;
    assert_eq!(listed["faults"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        (&listed["faults"][0]["seen"], &listed["faults"][0]["befell"]),
        (&json!(1), &json!(1))
    );
    admin_ok(&bench, "DELETE", "/faults/mine", Value::Null).await;
    bench.ok("DescribeDBInstances", &[]).await;
    assert_eq!(
        admin(&bench, "DELETE", "/faults/mine", Value::Null)
            .await
            .status,
        404
    );
    admin_ok(&bench, "DELETE", "/faults", Value::Null).await;
    let listed = admin_ok(&bench, "GET", "/faults", Value::Null).await;
    assert_eq!(listed["faults"], json!([]));
}

#[tokio::test]
async fn a_bad_request_says_what_is_wrong_and_changes_nothing() {
    let bench = Bench::with(NO_LAG).await;
    for (method, path, body, status, word) in [
        ("POST", "/faults", json!({ "kind": "eror" }), 400, "eror"),
        ("POST", "/faults", json!({ "kind": "error" }), 400, "code"),
        (
            "POST",
            "/faults",
            json!({ "kind": "reset", "nht": 1 }),
            400,
            "nht",
        ),
        (
            "POST",
            "/faults",
            json!([{ "kind": "reset" }, { "kind": "error" }]),
            400,
            "code",
        ),
        (
            "POST",
            "/clock",
            json!({ "advance_seconds": -1 }),
            400,
            "advance_seconds",
        ),
        ("POST", "/save", Value::Null, 409, "state file"),
        ("GET", "/requests?colour=red", Value::Null, 400, "colour"),
        ("GET", "/nothing", Value::Null, 404, "GET /_sandbox"),
        ("PUT", "/faults", Value::Null, 405, "PUT"),
    ] {
        let answer = admin(&bench, method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        let error = answer.json()["error"].as_str().expect("a text").to_owned();
        assert!(error.contains(word), "{error}");
    }
    let request = "POST /_sandbox/faults HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1\r\n\r\n{";
    assert_eq!(
        exchange(&bench, request.as_bytes())
            .await
            .expect("an answer")
            .status,
        400
    );
    let listed = admin_ok(&bench, "GET", "/faults", Value::Null).await;
    assert_eq!(listed["faults"], json!([]));
}

#[tokio::test]
async fn pages_of_a_browser_and_names_that_are_not_ours_are_refused() {
    let bench = Bench::with(NO_LAG).await;
    for (header, status) in [
        ("Host: localhost:1", 200),
        ("Host: 127.0.0.1:80", 200),
        ("Host: [::1]:80", 200),
        ("Host: evil.example.com", 403),
        ("Host: localhost\r\nOrigin: https://evil.example.com", 403),
    ] {
        let request =
            format!("GET /_sandbox/clock HTTP/1.1\r\n{header}\r\nConnection: close\r\n\r\n");
        let answer = exchange(&bench, request.as_bytes())
            .await
            .expect("an answer");
        assert_eq!(answer.status, status, "{header}");
    }
}

#[tokio::test]
async fn requests_are_filtered_and_counted() {
    let mut bench = Bench::with(NO_LAG).await;
    for _ in 0..3 {
        bench.call("DescribeDBInstances", &[]).await;
    }
    bench
        .call("RebootDBInstance", &[("DBInstanceIdentifier", "none")])
        .await;
    call_json(&bench, "kms", "ListKeys", &json!({})).await;
    bench.access_key = "AKIAOTHER";
    bench.call("DescribeDBInstances", &[]).await;
    let numbers = async |filter: &str| {
        let tail = admin_ok(&bench, "GET", &format!("/requests?{filter}"), Value::Null).await;
        tail["requests"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|entry| entry["number"].as_u64().expect("a number"))
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers("").await, [0, 1, 2, 3, 4, 5]);
    assert_eq!(numbers("limit=2").await, [4, 5]);
    assert_eq!(numbers("since=4").await, [4, 5]);
    assert_eq!(
        numbers("action=Describe*&account=111122223333").await,
        [0, 1, 2]
    );
    assert_eq!(numbers("code=DBInstanceNotFound").await, [3]);
    assert_eq!(numbers("service=kms").await, [4]);
    let counts = admin_ok(&bench, "GET", "/requests/counts", Value::Null).await;
    assert_eq!(counts["total"], 6);
    assert_eq!(counts["actions"]["rds:DescribeDBInstances"], 4);
    assert_eq!(counts["errors"], json!({ "DBInstanceNotFound": 1 }));
    let counts = admin_ok(
        &bench,
        "GET",
        "/requests/counts?account=444455556666",
        Value::Null,
    )
    .await;
    assert_eq!(counts["total"], 1);
}

#[tokio::test]
async fn the_clock_is_shown_and_advanced_and_the_state_summed_up() {
    let bench = Bench::with(NO_LAG).await;
    bench
        .ok(
            "CreateDBSnapshot",
            &[
                ("DBInstanceIdentifier", "ordinary"),
                ("DBSnapshotIdentifier", "s"),
            ],
        )
        .await;
    let state = admin_ok(&bench, "GET", "/state", Value::Null).await;
    let region = &state["regions"][0];
    assert_eq!(
        (
            &region["instances"],
            &region["snapshots"],
            &region["keys"],
            &state["frozen"]
        ),
        (&json!(5), &json!(1), &json!(3), &json!(false))
    );
    assert_eq!(
        region["statuses"],
        json!({ "available": 4, "backing-up": 1 })
    );
    assert!(state["timelines"].as_u64() > Some(0));
    let clock = admin_ok(&bench, "POST", "/clock", json!({ "advance_seconds": 400 })).await;
    assert_eq!(
        (&clock["elapsed_seconds"], &clock["paused"]),
        (&json!(400), &json!(true))
    );
    let state = admin_ok(&bench, "GET", "/state", Value::Null).await;
    assert_eq!(state["regions"][0]["statuses"], json!({ "available": 5 }));
}

#[tokio::test]
async fn no_secret_reaches_the_log_or_the_admin_endpoint() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("requests.jsonl");
    let text = format!(
        "{}\n[[secrets]]\nname = \"s\"\nvalue = \"geheim-1\"\n{NO_LAG}",
        include_str!("fleet.toml")
    );
    let scenario = atrest_sandbox::Scenario::parse("test", &text).expect("a scenario");
    let bench = Bench::start(scenario, Some(path.clone())).await;
    bench
        .ok(
            "ModifyDBInstance",
            &[
                ("DBInstanceIdentifier", "ordinary"),
                ("MasterUserPassword", "geheim-2-geheim"),
            ],
        )
        .await;
    let secret = call_json(
        &bench,
        "secretsmanager",
        "GetSecretValue",
        &json!({ "SecretId": "s" }),
    )
    .await;
    assert!(secret.text().contains("geheim-1"));
    call_json(
        &bench,
        "secretsmanager",
        "PutSecretValue",
        &json!({ "SecretId": "s", "SecretString": "geheim-3" }),
    )
    .await;
    call_json(
        &bench,
        "kms",
        "CreateGrant",
        &json!({ "KeyId": "x", "GrantTokens": ["geheim-4"] }),
    )
    .await;
    let assumed = query(&bench, "sts", "Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam::444455556666:role/r&RoleSessionName=s1&TokenCode=geheim-5").await;
    let token = assumed.element("SessionToken").expect("a token");
    let key = assumed.element("SecretAccessKey").expect("a secret");
    let file = std::fs::read_to_string(path).expect("a log");
    let tail = admin(&bench, "GET", "/requests", Value::Null).await.text();
    let state = admin(&bench, "GET", "/state", Value::Null).await.text();
    assert_eq!(file.lines().count(), 5);
    for text in [&file, &tail, &state] {
        for secret in ["geheim", &token, &key] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
    assert!(file.contains("****"));
}

#[tokio::test]
async fn a_port_in_use_is_named_in_one_line() {
    let bench = Bench::with(NO_LAG).await;
    let endpoint = bench.sandbox.endpoint();
    let port = endpoint.rsplit(':').next().expect("a port");
    let error = atrest_sandbox::Sandbox::start_paused(atrest_sandbox::SandboxOptions {
        scenario: atrest_sandbox::Scenario::parse("test", include_str!("fleet.toml"))
            .expect("a scenario"),
        port: port.parse().expect("a number"),
        speed: 1.0,
        engines: atrest_sandbox::EngineMode::None,
        install_dir: std::path::PathBuf::new(),
        work_dir: std::path::PathBuf::new(),
        request_log: None,
        seed: 1,
    })
    .await
    .expect_err("refused");
    let text = error.to_string();
    assert!(
        text.contains(port) && text.contains("in use") && text.lines().count() == 1,
        "{text}"
    );
    bench.ok("DescribeDBInstances", &[]).await;
}
