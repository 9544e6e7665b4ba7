//! What the control plane does to real data: a created instance has a server, and its data are where RDS would have
//! them. `mariadb1011` must be installed (`sandbox/install-engines.sh mariadb1011`).
#![expect(clippy::format_push_string, reason = "tests")]

#[path = "../control_plane/client.rs"]
#[expect(dead_code, reason = "it is shared with the control plane's tests")]
mod client;

use std::time::{Duration, Instant};

use atrest_sandbox::engine::{EngineMode, default_install_dir};
use atrest_sandbox::{Sandbox, SandboxOptions, Scenario};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder};

use client::Bench;

const EMPTY: &str = r#"
default_region = "eu-central-1"

[[accounts]]
id = "111122223333"
access_key_id = "AKIATEST"

[knobs]
describe_lag = [0, 0]
"#;

const PASSWORD: &str = "correct-horse-battery";

async fn bench(dir: &std::path::Path) -> Bench {
    let scenario = Scenario::parse("test", EMPTY).expect("a scenario");
    let sandbox = Sandbox::start_paused(SandboxOptions {
        scenario,
        port: 0,
        speed: 1.0,
        engines: EngineMode::Required,
        install_dir: default_install_dir().expect("a home"),
        work_dir: dir.join("work"),
        request_log: None,
        seed: 42,
    })
    .await
    .expect("the sandbox starts");
    Bench {
        sandbox,
        access_key: "AKIATEST",
        region: "eu-central-1",
    }
}

/// The master user of an instance, at the endpoint that Describe shows.
async fn client(bench: &Bench, id: &str) -> Conn {
    let instance = bench.instance(id).await.expect("there");
    let port = instance
        .text("Port")
        .and_then(|port| port.parse().ok())
        .expect("a port");
    let options = OptsBuilder::default()
        .ip_or_hostname(instance.text("Address").expect("an endpoint"))
        .tcp_port(port)
        .user(Some("admin"))
        .pass(Some(PASSWORD))
        .prefer_socket(false);
    Conn::new(options).await.expect("a connection")
}

async fn count(conn: &mut Conn) -> u64 {
    conn.query_first("SELECT COUNT(*) FROM shop.sales")
        .await
        .expect("an answer")
        .expect("a row")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_follow_a_creation_a_point_in_time_another_region_and_a_deletion() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut bench = bench(dir.path()).await;
    bench
        .ok(
            "CreateDBInstance",
            &[
                ("DBInstanceIdentifier", "first"),
                ("DBInstanceClass", "db.m6g.large"),
                ("Engine", "mariadb"),
                ("EngineVersion", "10.11.9"),
                ("MasterUsername", "admin"),
                ("MasterUserPassword", PASSWORD),
                ("AllocatedStorage", "20"),
                ("Port", "3399"),
                ("DBName", "shop"),
            ],
        )
        .await;
    bench.until("first", "available").await;
    let mut first = client(&bench, "first").await;
    first
        .query_drop("CREATE TABLE shop.sales (id INT PRIMARY KEY)")
        .await
        .expect("created");
    first
        .query_drop("INSERT INTO shop.sales VALUES (1), (2)")
        .await
        .expect("inserted");

    // A restore to a point in time has the data and goes its own way.
    bench
        .ok(
            "RestoreDBInstanceToPointInTime",
            &[
                ("SourceDBInstanceIdentifier", "first"),
                ("TargetDBInstanceIdentifier", "second"),
                ("UseLatestRestorableTime", "true"),
            ],
        )
        .await;
    bench.until("second", "available").await;
    let mut second = client(&bench, "second").await;
    second
        .query_drop("INSERT INTO shop.sales VALUES (10)")
        .await
        .expect("inserted");
    assert_eq!((count(&mut first).await, count(&mut second).await), (2, 3));

    // A replica in another region follows its source.
    bench.region = "us-east-1";
    bench
        .ok(
            "CreateDBInstanceReadReplica",
            &[
                ("DBInstanceIdentifier", "far"),
                (
                    "SourceDBInstanceIdentifier",
                    "arn:aws:rds:eu-central-1:111122223333:db:first",
                ),
            ],
        )
        .await;
    bench.until("far", "available").await;
    first
        .query_drop("INSERT INTO shop.sales VALUES (3)")
        .await
        .expect("inserted");
    let mut far = client(&bench, "far").await;
    let deadline = Instant::now() + Duration::from_secs(60);
    while count(&mut far).await < 3 {
        assert!(Instant::now() < deadline, "the replica does not follow");
        tokio::task::yield_now().await;
    }

    // Backups that are kept keep the data.
    bench.region = "eu-central-1";
    let resource = bench
        .instance("first")
        .await
        .and_then(|answer| answer.text("DbiResourceId"))
        .expect("a resource id");
    drop(first);
    bench
        .ok(
            "DeleteDBInstance",
            &[
                ("DBInstanceIdentifier", "first"),
                ("SkipFinalSnapshot", "true"),
                ("DeleteAutomatedBackups", "false"),
            ],
        )
        .await;
    bench.until("first", "-").await;
    bench
        .ok(
            "RestoreDBInstanceToPointInTime",
            &[
                ("SourceDbiResourceId", &resource),
                ("TargetDBInstanceIdentifier", "again"),
                ("UseLatestRestorableTime", "true"),
            ],
        )
        .await;
    bench.until("again", "available").await;
    let mut again = client(&bench, "again").await;
    assert_eq!(count(&mut again).await, 3);

    // The replica elsewhere is promoted by hand and takes writes.
    bench.region = "us-east-1";
    drop(far);
    bench
        .ok("PromoteReadReplica", &[("DBInstanceIdentifier", "far")])
        .await;
    bench.until("far", "available").await;
    let mut far = client(&bench, "far").await;
    far.query_drop("INSERT INTO shop.sales VALUES (4)")
        .await
        .expect("inserted");
    assert_eq!(count(&mut far).await, 4);

    drop((second, again, far));
    bench
        .sandbox
        .shutdown()
        .await
        .expect("the servers are stopped");
    assert!(
        !dir.path().join("work").exists(),
        "shutdown leaves nothing behind"
    );
}
