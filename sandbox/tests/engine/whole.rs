//! Control plane and servers together, through the API.

use std::time::{Duration, Instant};

use atrest_sandbox::{EngineMode, Sandbox, SandboxOptions, Scenario};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;

use crate::bed::{LIMIT, MARIADB1011, becomes, code, install_dir, login, value, with};
use crate::client::Bench;

const FLEET: &str = r#"
default_password = "first-password"

[knobs]
describe_lag = [0, 0]

[[accounts]]
id = "111122223333"
access_key_id = "AKIATEST"

[[instances]]
id = "source"
engine = "mariadb"
engine_version = "10.11.9"
backup_retention = 7
sql = "CREATE DATABASE d; CREATE TABLE d.t (n INT PRIMARY KEY)"

[[instances]]
id = "replica"
replica_of = "source"
replica_sql = "INSERT INTO d.t VALUES (1)"
"#;

async fn whole(case: impl AsyncFnOnce(&Bench)) {
    // Says what to do when the server is not installed.
    with(MARIADB1011, async |_bed| {}).await;
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start_paused(SandboxOptions {
        scenario: Scenario::parse("whole", FLEET).unwrap(),
        port: 0,
        speed: 1.0,
        engines: EngineMode::Required,
        install_dir: install_dir(),
        work_dir: dir.path().join("work"),
        request_log: None,
        seed: 42,
    })
    .await
    .unwrap();
    let bench = Bench {
        sandbox,
        access_key: "AKIATEST",
        region: "eu-central-1",
    };
    case(&bench).await;
    bench.sandbox.shutdown().await.unwrap();
    assert!(!dir.path().join("work").exists());
}

async fn conn(bench: &Bench, id: &str, password: &str) -> Result<Conn, mysql_async::Error> {
    let address = bench.instance(id).await.unwrap().text("Address").unwrap();
    Conn::new(login(address.parse().unwrap(), "admin", password)).await
}

async fn new_password(bench: &Bench, password: &str) {
    let arguments = [
        ("DBInstanceIdentifier", "source"),
        ("MasterUserPassword", password),
        ("ApplyImmediately", "true"),
    ];
    let answer = bench.ok("ModifyDBInstance", &arguments).await;
    assert!(!answer.body.contains(password));
    bench.pass(2).await;
    bench.until("source", "available").await;
    // The change may wait its turn behind the status.
    for _ in 0..300 {
        let answer = bench.instance("source").await.unwrap();
        if answer.text("PendingModifiedValues").as_deref() == Some("") {
            return;
        }
        bench.pass(2).await;
    }
    panic!("the new password stays pending");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_master_password_reaches_the_server_and_its_replica() {
    whole(async |bench| {
        let mut before = conn(bench, "source", "first-password").await.unwrap();
        let grants = before
            .query::<String, _>("SHOW GRANTS")
            .await
            .unwrap()
            .concat();
        new_password(bench, "it's-\"new\"\\one").await;
        let refused = conn(bench, "source", "first-password").await;
        assert_eq!(code(refused.map(drop)), 1045);
        let mut after = conn(bench, "source", "it's-\"new\"\\one").await.unwrap();
        let deadline = Instant::now() + LIMIT;
        while conn(bench, "replica", "it's-\"new\"\\one").await.is_err() {
            assert!(Instant::now() < deadline, "the replica follows");
        }

        // A master user that is gone comes back with what it may do, even with the password it had.
        after.query_drop("DROP USER admin@'%'").await.unwrap();
        assert_eq!(
            code(conn(bench, "source", "it's-\"new\"\\one").await.map(drop)),
            1045
        );
        new_password(bench, "it's-\"new\"\\one").await;
        let mut back = conn(bench, "source", "it's-\"new\"\\one").await.unwrap();
        let now = back
            .query::<String, _>("SHOW GRANTS")
            .await
            .unwrap()
            .concat();
        let list = |text: &str| text.split(" ON ").next().map(str::to_owned);
        assert_eq!(list(&now), list(&grants));
        assert!(now.contains("WITH GRANT OPTION"), "{now}");
    })
    .await;
}

/// Asks until the replica is shown like this, and gives the message that goes with it.
async fn shown(bench: &Bench, status: &str) -> Option<String> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = bench.instance("replica").await.unwrap();
        let infos = answer.text("DBInstanceStatusInfo").unwrap();
        let text = |name: &str| {
            let (_, rest) = infos.split_once(&format!("<{name}>"))?;
            Some(rest.split_once(&format!("</{name}>"))?.0.to_owned())
        };
        if text("Status").as_deref() == Some(status) {
            assert_eq!(
                text("Normal").as_deref(),
                Some(if status == "replicating" {
                    "true"
                } else {
                    "false"
                })
            );
            return text("Message");
        }
        assert!(Instant::now() < deadline, "{status}: {infos}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn describe_shows_how_a_replica_really_replicates() {
    whole(async |bench| {
        assert_eq!(shown(bench, "replicating").await, None);
        let mut source = conn(bench, "source", "first-password").await.unwrap();
        let mut replica = conn(bench, "replica", "first-password").await.unwrap();
        // The replica has a row of that number already.
        source
            .query_drop("INSERT INTO d.t VALUES (1)")
            .await
            .unwrap();
        let message = shown(bench, "error").await.unwrap();
        assert!(message.contains("1062"), "{message}");
        let events = bench.ok("DescribeEvents", &[("Duration", "60")]).await;
        assert!(
            events.body.contains("Replication has stopped: "),
            "{}",
            events.body
        );

        replica
            .query_drop("CALL mysql.rds_skip_repl_error()")
            .await
            .unwrap();
        assert_eq!(shown(bench, "replicating").await, None);
        source
            .query_drop("INSERT INTO d.t VALUES (2)")
            .await
            .unwrap();
        becomes(&mut replica, "SELECT COUNT(*) FROM d.t", 2).await;
        replica
            .query_drop("CALL mysql.rds_stop_replication()")
            .await
            .unwrap();
        assert_eq!(shown(bench, "stopped").await, None);
        replica
            .query_drop("CALL mysql.rds_start_replication()")
            .await
            .unwrap();
        assert_eq!(shown(bench, "replicating").await, None);
        assert_eq!(value::<u64>(&mut replica, "SELECT @@read_only").await, 1);
    })
    .await;
}
