//! Faults that reach a real server. A MariaDB 10.11 must be installed (`sandbox/install-engines.sh mariadb1011`).

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, OptsBuilder};
use serde_json::json;

use super::Bench;
use super::raw::{fault, json as call_json};

const FLEET: &str = r#"
default_region = "eu-central-1"

[knobs]
describe_lag = [0, 0]

[[accounts]]
id = "111122223333"
access_key_id = "AKIATEST"

[[keys]]
alias = "alias/mine"

[[instances]]
id = "shop"
engine = "mariadb"
engine_version = "10.11.9"
master_password = "correct-horse"
kms_key = "alias/mine"
sql = """
CREATE DATABASE shop;
CREATE TABLE shop.orders (id INT PRIMARY KEY);
INSERT INTO shop.orders VALUES (1), (2);
"""
"#;

async fn login(bench: &Bench) -> Opts {
    let instance = bench.instance("shop").await.expect("there");
    OptsBuilder::default()
        .ip_or_hostname(instance.text("Address").expect("an endpoint"))
        .tcp_port(3306)
        .user(Some("admin"))
        .pass(Some("correct-horse"))
        .prefer_socket(false)
        .into()
}

async fn orders(login: Opts) -> Option<u64> {
    let mut conn = Conn::new(login).await.ok()?;
    let count = conn.query_first("SELECT COUNT(*) FROM shop.orders").await;
    drop(conn);
    count.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_cuts_clients_and_recovery_brings_back_what_was_committed() {
    let dir = tempfile::tempdir().expect("a folder");
    let bench = Bench::with_servers(FLEET, dir.path().join("work")).await;
    let login = login(&bench).await;
    let mut conn = Conn::new(login.clone()).await.expect("a connection");
    conn.query_drop("INSERT INTO shop.orders VALUES (3)")
        .await
        .expect("committed");
    fault(&bench, json!({ "kind": "engine-crash", "target": "shop" })).await;
    bench.pass(1).await;
    assert!(conn.query_drop("SELECT 1").await.is_err());
    assert_eq!(orders(login.clone()).await, None);
    bench.pass(120).await;
    assert_eq!(orders(login.clone()).await, Some(3));
    assert_eq!(bench.status("shop").await, "available");
    // One that does not come back is lost until it is restored.
    fault(
        &bench,
        json!({ "kind": "engine-crash", "target": "shop", "recovers": false }),
    )
    .await;
    bench.pass(120).await;
    assert_eq!(bench.status("shop").await, "failed");
    assert_eq!(orders(login).await, None);
    bench.sandbox.shutdown().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_its_key_is_stopped_and_started_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let bench = Bench::with_servers(FLEET, dir.path().join("work")).await;
    let login = login(&bench).await;
    let key = call_json(
        &bench,
        "kms",
        "DescribeKey",
        &json!({ "KeyId": "alias/mine" }),
    )
    .await;
    let key = json!({ "KeyId": key.json()["KeyMetadata"]["KeyId"] });
    call_json(&bench, "kms", "DisableKey", &key).await;
    bench.pass(3_600).await;
    assert_eq!(orders(login.clone()).await, Some(2));
    bench.pass(4_300).await;
    assert_eq!(
        bench.status("shop").await,
        "inaccessible-encryption-credentials-recoverable"
    );
    assert_eq!(orders(login.clone()).await, None);
    call_json(&bench, "kms", "EnableKey", &key).await;
    bench
        .ok("StartDBInstance", &[("DBInstanceIdentifier", "shop")])
        .await;
    bench.until("shop", "available").await;
    assert_eq!(orders(login).await, Some(2));
    bench.sandbox.shutdown().await.expect("it stops");
}
