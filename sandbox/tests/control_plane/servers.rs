//! Calls that reach a real server: parameters, and a blue/green deployment from copy to switchover. A MariaDB
//! 10.11 and a MySQL 5.7 must be installed (`sandbox/install-engines.sh mariadb1011 mysql57`).

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder};

use super::Bench;

const FLEET: &str = r#"
default_region = "eu-central-1"

[knobs]
describe_lag = [0, 0]
endpoint_lag = [1, 1]
pace = 0.05

[[accounts]]
id = "111122223333"
access_key_id = "AKIATEST"

[[keys]]
alias = "alias/mine"

[[parameter_groups]]
name = "own"
family = "FAMILY"

[[instances]]
id = "shop"
engine = "ENGINE"
engine_version = "VERSION"
parameter_group = "own"
master_password = "correct-horse"
sql = """
CREATE DATABASE shop;
CREATE TABLE shop.orders (id INT PRIMARY KEY);
INSERT INTO shop.orders VALUES (1), (2);
"""

[[instances]]
id = "shop-r"
replica_of = "shop"
"#;

const MARIADB: [&str; 3] = ["mariadb", "10.11.9", "mariadb10.11"];
const MYSQL: [&str; 3] = ["mysql", "5.7.44", "mysql5.7"];

async fn bench([engine, version, family]: [&str; 3], dir: &tempfile::TempDir) -> Bench {
    let text = FLEET
        .replace("ENGINE", engine)
        .replace("VERSION", version)
        .replace("FAMILY", family);
    Bench::with_servers(&text, dir.path().join("work")).await
}

/// The master user at the endpoint that Describe shows.
async fn connect(bench: &Bench, id: &str) -> Conn {
    let address = bench
        .instance(id)
        .await
        .and_then(|answer| answer.text("Address"))
        .expect("an endpoint");
    let options = OptsBuilder::default()
        .ip_or_hostname(address)
        .tcp_port(3306)
        .user(Some("admin"))
        .pass(Some("correct-horse"))
        .prefer_socket(false);
    Conn::new(options).await.expect("a connection")
}

async fn number(conn: &mut Conn, sql: &str) -> u64 {
    conn.query_first::<u64, _>(sql)
        .await
        .expect("an answer")
        .expect("a row")
}

/// Asks until `sql` gives `wanted`, within ten seconds.
async fn becomes(conn: &mut Conn, sql: &str, wanted: u64) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let seen = number(conn, sql).await;
        if seen == wanted {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{sql}: {seen}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// The server's error number; 0 when it did as told.
async fn code(conn: &mut Conn, sql: &str) -> u16 {
    match conn.query_drop(sql).await {
        Ok(()) => 0,
        Err(mysql_async::Error::Server(error)) => error.code,
        Err(other) => panic!("{other}"),
    }
}

async fn deployment(bench: &Bench, id: &str, wanted: &str) {
    for _ in 0..600 {
        let answer = bench
            .ok(
                "DescribeBlueGreenDeployments",
                &[("BlueGreenDeploymentIdentifier", id)],
            )
            .await;
        if answer.all("Status").last().map(String::as_str) == Some(wanted) {
            return;
        }
        bench.pass(1).await;
    }
    panic!("the deployment is never {wanted}");
}

async fn green_follows_blue_and_has_everything_after_the_switchover(kind: [&str; 3]) {
    let dir = tempfile::tempdir().expect("a folder");
    let bench = bench(kind, &dir).await;
    let source = "arn:aws:rds:eu-central-1:111122223333:db:shop";
    let made = bench
        .ok(
            "CreateBlueGreenDeployment",
            &[
                ("BlueGreenDeploymentName", "move"),
                ("Source", source),
                (
                    "TargetResourceConfigurations.TargetResourceConfiguration.1.SourceArn",
                    source,
                ),
                (
                    "TargetResourceConfigurations.TargetResourceConfiguration.1.TargetKmsKeyId",
                    "alias/mine",
                ),
                (
                    "TargetResourceConfigurations.TargetResourceConfiguration.2.SourceArn",
                    "arn:aws:rds:eu-central-1:111122223333:db:shop-r",
                ),
                (
                    "TargetResourceConfigurations.TargetResourceConfiguration.2.TargetKmsKeyId",
                    "alias/mine",
                ),
            ],
        )
        .await;
    let id = made
        .text("BlueGreenDeploymentIdentifier")
        .expect("an identifier");
    deployment(&bench, &id, "AVAILABLE").await;
    let green = made
        .text("Target")
        .and_then(|arn| arn.rsplit(':').next().map(str::to_owned))
        .expect("a target");

    let mut at_green = connect(&bench, &green).await;
    let count = "SELECT COUNT(*) FROM shop.orders";
    assert_eq!(number(&mut at_green, count).await, 2);
    let mut at_blue = connect(&bench, "shop").await;
    assert_eq!(
        code(&mut at_blue, "INSERT INTO shop.orders VALUES (3)").await,
        0
    );
    becomes(&mut at_green, count, 3).await;
    // 1290: the server is running with --read-only.
    let insert = "INSERT INTO shop.orders VALUES (100)";
    assert_eq!(code(&mut at_green, insert).await, 1290);
    let old_server = number(&mut at_blue, "SELECT @@server_id").await;
    // What is written last must not be lost.
    assert_eq!(
        code(&mut at_blue, "INSERT INTO shop.orders VALUES (4)").await,
        0
    );

    bench
        .ok(
            "SwitchoverBlueGreenDeployment",
            &[("BlueGreenDeploymentIdentifier", &id)],
        )
        .await;
    deployment(&bench, &id, "SWITCHOVER_COMPLETED").await;
    let mut now = connect(&bench, "shop").await;
    assert_ne!(number(&mut now, "SELECT @@server_id").await, old_server);
    assert_eq!(number(&mut now, count).await, 4);
    assert_eq!(
        code(&mut now, "INSERT INTO shop.orders VALUES (5)").await,
        0
    );
    let traces =
        "SELECT COUNT(*) FROM information_schema.tables WHERE table_name LIKE 'rds_switchover%'";
    assert_eq!(number(&mut now, traces).await, 0);
    // The old one is the old one: read-only until it is rebooted, and nothing reaches it any more.
    let mut old = connect(&bench, "shop-old1").await;
    assert_eq!(number(&mut old, "SELECT @@server_id").await, old_server);
    assert_eq!(number(&mut old, count).await, 4);
    assert_eq!(number(&mut old, traces).await, 0);
    assert_eq!(code(&mut old, insert).await, 1290);
    bench
        .ok("RebootDBInstance", &[("DBInstanceIdentifier", "shop-old1")])
        .await;
    bench.until("shop-old1", "available").await;
    let mut old = connect(&bench, "shop-old1").await;
    assert_eq!(code(&mut old, insert).await, 0);
    assert_eq!(number(&mut now, count).await, 5);
    // Each replica follows its own source: five rows by the orders since, five by the one at the old source.
    let sum = "SELECT CAST(SUM(id) AS UNSIGNED) FROM shop.orders";
    becomes(&mut connect(&bench, "shop-r").await, sum, 1 + 2 + 3 + 4 + 5).await;
    becomes(
        &mut connect(&bench, "shop-r-old1").await,
        sum,
        1 + 2 + 3 + 4 + 100,
    )
    .await;
    bench.sandbox.shutdown().await.expect("stopped");
}

async fn dynamic_parameters_reach_the_server_and_the_others_wait_for_a_reboot(kind: [&str; 3]) {
    let dir = tempfile::tempdir().expect("a folder");
    let bench = bench(kind, &dir).await;
    let mut conn = connect(&bench, "shop").await;
    let set = async |name: &str, value: &str, method: &str| {
        bench
            .ok(
                "ModifyDBParameterGroup",
                &[
                    ("DBParameterGroupName", "own"),
                    ("Parameters.Parameter.1.ParameterName", name),
                    ("Parameters.Parameter.1.ParameterValue", value),
                    ("Parameters.Parameter.1.ApplyMethod", method),
                ],
            )
            .await;
        bench.pass(10).await;
    };
    let status = async || {
        bench
            .instance("shop")
            .await
            .and_then(|answer| answer.text("ParameterApplyStatus"))
            .expect("a status")
    };
    let global = |name: &str| format!("SELECT @@GLOBAL.{name}");
    set("wait_timeout", "1234", "immediate").await;
    assert_eq!(number(&mut conn, &global("wait_timeout")).await, 1234);
    assert_eq!(status().await, "in-sync");

    let before = (
        number(&mut conn, &global("back_log")).await,
        number(&mut conn, &global("net_read_timeout")).await,
    );
    assert_ne!(before, (77, 55));
    set("back_log", "77", "pending-reboot").await;
    set("net_read_timeout", "55", "pending-reboot").await;
    // A later change that applies at once does not carry the waiting ones along.
    set("wait_timeout", "4321", "immediate").await;
    assert_eq!(number(&mut conn, &global("wait_timeout")).await, 4321);
    assert_eq!(
        (
            number(&mut conn, &global("back_log")).await,
            number(&mut conn, &global("net_read_timeout")).await
        ),
        before
    );
    assert_eq!(status().await, "pending-reboot");
    bench
        .ok("RebootDBInstance", &[("DBInstanceIdentifier", "shop")])
        .await;
    bench.until("shop", "available").await;
    let mut conn = connect(&bench, "shop").await;
    assert_eq!(
        (
            number(&mut conn, &global("back_log")).await,
            number(&mut conn, &global("net_read_timeout")).await
        ),
        (77, 55)
    );
    assert_eq!(status().await, "in-sync");

    // What the server itself refuses is told.
    set("sql_mode", "NO_SUCH_MODE", "immediate").await;
    assert_eq!(status().await, "failed-to-apply");
    bench.sandbox.shutdown().await.expect("stopped");
}

macro_rules! for_kinds {
    ($($module:ident: $kind:ident;)*) => {$(
        mod $module {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn green_follows_blue_and_has_everything_after_the_switchover() {
                super::green_follows_blue_and_has_everything_after_the_switchover(super::$kind).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn dynamic_parameters_reach_the_server_and_the_others_wait_for_a_reboot() {
                super::dynamic_parameters_reach_the_server_and_the_others_wait_for_a_reboot(super::$kind).await;
            }
        }
    )*};
}

for_kinds! {
    mariadb: MARIADB;
    mysql: MYSQL;
}
