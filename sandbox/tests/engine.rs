//! The data plane against real servers. Each case runs for every kind of server; `mariadb1011` and `mysql57` must be
//! installed (`sandbox/install-engines.sh mariadb1011 mysql57`), the others run when they are.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says loudly what it did not run"
)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use atrest_sandbox::engine::{
    EngineError, EngineMode, Engines, ReplicationState, ServerId, ServerSpec,
};
use mysql_async::prelude::{FromRow, Queryable as _};
use mysql_async::{Conn, Opts, OptsBuilder, Row};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);

/// A kind of server and an RDS version it stands for.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    engine: &'static str,
    version: &'static str,
    /// How `found` names it.
    found: &'static str,
    required: bool,
}

const MARIADB1011: Kind = Kind {
    name: "mariadb1011",
    engine: "mariadb",
    version: "10.11.9",
    found: "mariadb 10.11.",
    required: true,
};
const MARIADB118: Kind = Kind {
    name: "mariadb118",
    engine: "mariadb",
    version: "11.8.3",
    found: "mariadb 11.8.",
    required: false,
};
const MYSQL56: Kind = Kind {
    name: "mysql56",
    engine: "mysql",
    version: "5.6.51",
    found: "mysql 5.6.",
    required: false,
};
const MYSQL57: Kind = Kind {
    name: "mysql57",
    engine: "mysql",
    version: "5.7.44",
    found: "mysql 5.7.",
    required: true,
};
const MYSQL97: Kind = Kind {
    name: "mysql97",
    engine: "mysql",
    version: "8.4.5",
    found: "mysql 9.7.",
    required: false,
};

/// Runs `case` on a sandbox of its own, if `kind` is installed.
async fn with(kind: Kind, case: impl AsyncFnOnce(Bed)) {
    let dir = tempfile::tempdir().unwrap();
    let engines = Engines::open(EngineMode::Auto, install_dir(), dir.path().join("work"))
        .await
        .unwrap();
    let engines = engines.filter(|engines| {
        engines
            .found()
            .iter()
            .any(|found| found.starts_with(kind.found))
    });
    let Some(engines) = engines else {
        assert!(
            !kind.required,
            "{} is not installed in {}: run sandbox/install-engines.sh {}",
            kind.name,
            install_dir().display(),
            kind.name
        );
        println!(
            "NOT RUN: {} is not installed in {} (sandbox/install-engines.sh {} brings it)",
            kind.name,
            install_dir().display(),
            kind.name
        );
        return;
    };
    let bed = Bed {
        engines: engines.clone(),
        kind,
    };
    case(bed).await;
    engines.shutdown().await.unwrap();
    assert!(
        !dir.path().join("work").exists(),
        "shutdown leaves nothing behind"
    );
}

fn install_dir() -> PathBuf {
    let cache = || {
        std::env::var_os("XDG_CACHE_HOME")
            .map_or_else(
                || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"),
                PathBuf::from,
            )
            .join("atrest/engines")
    };
    std::env::var_os("ATREST_ENGINES").map_or_else(cache, PathBuf::from)
}

/// A sandbox with its shorthands.
struct Bed {
    engines: Engines,
    kind: Kind,
}

const PASSWORD: &str = "correct-horse'battery\\staple";

impl Bed {
    fn spec(&self) -> ServerSpec {
        ServerSpec {
            engine: self.kind.engine.to_owned(),
            engine_version: self.kind.version.to_owned(),
            master_username: "admin".to_owned(),
            master_password: PASSWORD.to_owned(),
            parameters: BTreeMap::from([(
                "log_bin_trust_function_creators".to_owned(),
                "1".to_owned(),
            )]),
            log_bin: true,
        }
    }

    fn read_only(&self, value: &str) -> ServerSpec {
        let mut spec = self.spec();
        spec.parameters
            .insert("read_only".to_owned(), value.to_owned());
        spec
    }

    async fn create(&self, name: &str) -> ServerId {
        let server = self.engines.create(self.spec()).await.unwrap();
        self.engines
            .open_endpoint(&server, name, 3306)
            .await
            .unwrap();
        server
    }

    /// The master user, through the endpoint.
    async fn client(&self, name: &str) -> Conn {
        Conn::new(login(
            self.engines.address_of(name).unwrap(),
            "admin",
            PASSWORD,
        ))
        .await
        .unwrap()
    }

    fn slave(&self, words: &str) -> String {
        let text = words.to_owned();
        if self.kind.name == "mysql97" {
            text.replace("SLAVE", "REPLICA").replace("MASTER", "SOURCE")
        } else {
            text
        }
    }

    /// RDS's word in procedure names at this version.
    fn source_word(&self) -> &'static str {
        if self.kind.name == "mysql97" {
            "source"
        } else {
            "master"
        }
    }
}

fn login(address: IpAddr, user: &str, password: &str) -> Opts {
    OptsBuilder::default()
        .ip_or_hostname(address.to_string())
        .tcp_port(3306)
        .user(Some(user))
        .pass(Some(password))
        .prefer_socket(false)
        .into()
}

async fn value<T: FromRow + Send + 'static>(conn: &mut Conn, sql: &str) -> T {
    conn.query_first::<T, _>(sql).await.unwrap().unwrap()
}

/// The server's error number.
fn code<T: std::fmt::Debug>(result: Result<T, mysql_async::Error>) -> u16 {
    match result.unwrap_err() {
        mysql_async::Error::Server(error) => error.code,
        other => panic!("not an answer of the server: {other}"),
    }
}

/// Asks until `sql` gives `wanted`.
async fn becomes(conn: &mut Conn, sql: &str, wanted: u64) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let seen = conn.query_first::<Option<u64>, _>(sql).await;
        if matches!(seen, Ok(Some(Some(seen))) if seen == wanted) {
            return;
        }
        assert!(Instant::now() < deadline, "{sql}: {seen:?}, not {wanted}");
        tokio::task::yield_now().await;
    }
}

async fn replicates(engines: &Engines, replica: &ServerId) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let state = engines.replication(replica).await.unwrap();
        if state == ReplicationState::Replicating {
            return;
        }
        assert!(Instant::now() < deadline, "{state:?}");
    }
}

async fn what_was_written_survives_a_restart(bed: Bed) {
    let server = bed.create("one").await;
    let script = "CREATE DATABASE shop; USE shop;\nCREATE TABLE orders (id INT PRIMARY KEY, note TEXT);\nINSERT INTO orders VALUES (1, 'a;b');\n\
        DELIMITER //\nCREATE PROCEDURE shop.twice() BEGIN SELECT 1; SELECT COUNT(*) FROM shop.orders; END//\nDELIMITER ;\n";
    bed.engines.run_sql(&server, script).await.unwrap();
    let mut client = bed.client("one").await;
    client
        .query_drop("INSERT INTO shop.orders VALUES (2, 'by the master user')")
        .await
        .unwrap();
    bed.engines.restart(&server).await.unwrap();
    assert!(
        client.query_drop("SELECT 1").await.is_err(),
        "a restart cuts connections"
    );
    let mut client = bed.client("one").await;
    assert_eq!(
        value::<u64>(&mut client, "SELECT COUNT(*) FROM shop.orders").await,
        2
    );
    client.query_drop("CALL shop.twice()").await.unwrap();

    let refused = bed
        .engines
        .run_sql(
            &server,
            "SELECT 1; CREATE USER x@y IDENTIFIED BY 'geheim' nonsense",
        )
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, EngineError::Sql { message, .. } if message.starts_with("ERROR 1064")),
        "{refused}"
    );
    assert!(
        !refused.to_string().contains("geheim") && !format!("{refused:?}").contains("geheim"),
        "{refused:?}"
    );

    bed.engines.stop(&server).await.unwrap();
    assert!(matches!(
        bed.engines.run_sql(&server, "SELECT 1").await,
        Err(EngineError::NotRunning { .. })
    ));
    let copy = bed.engines.snapshot(&server).await.unwrap();
    bed.engines.start(&server).await.unwrap();
    let cold = bed.engines.restore(&copy, bed.spec()).await.unwrap();
    bed.engines
        .open_endpoint(&cold, "cold", 3306)
        .await
        .unwrap();
    assert_eq!(
        value::<u64>(
            &mut bed.client("cold").await,
            "SELECT COUNT(*) FROM shop.orders"
        )
        .await,
        2
    );
    bed.engines.delete(&server).await.unwrap();
    assert!(matches!(
        bed.engines.restart(&server).await,
        Err(EngineError::Unknown { kind: "server", .. })
    ));
}

/// Three writers number their rows; a copy may miss the last ones, never one in between and never one that was
/// acknowledged before the copy began.
async fn a_snapshot_under_load_is_a_prefix(bed: Bed) {
    let server = bed.create("busy").await;
    bed.engines.run_sql(&server, "CREATE DATABASE load_test; CREATE TABLE load_test.t (writer INT, n BIGINT, pad CHAR(200), PRIMARY KEY (writer, n)) ENGINE=InnoDB").await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = (0..3)
        .map(|_| Arc::new(AtomicU64::new(0)))
        .collect::<Vec<_>>();
    let mut writers = Vec::new();
    for (writer, acknowledged) in acknowledged.iter().enumerate() {
        let (mut client, stop, acknowledged) = (
            bed.client("busy").await,
            Arc::clone(&stop),
            Arc::clone(acknowledged),
        );
        writers.push(tokio::spawn(async move {
            let mut n = 0;
            while !stop.load(Ordering::Acquire) {
                n += 1;
                client
                    .query_drop(format!(
                        "INSERT INTO load_test.t VALUES ({writer}, {n}, REPEAT('x', 200))"
                    ))
                    .await
                    .unwrap();
                acknowledged.store(n, Ordering::Release);
            }
        }));
    }
    let counts = || {
        acknowledged
            .iter()
            .map(|count| count.load(Ordering::Acquire))
            .collect::<Vec<_>>()
    };
    for round in 0..3 {
        let (start, floor) = (Instant::now(), counts());
        while counts()
            .iter()
            .zip(&floor)
            .any(|(now, floor)| now < &(floor + 100))
        {
            assert!(start.elapsed() < LIMIT, "the writers write");
            tokio::task::yield_now().await;
        }
        let before = counts();
        let copy = bed.engines.snapshot(&server).await.unwrap();
        let after = counts();
        // Without a binary log in the second round: recovery still needs the copied one.
        let mut spec = bed.spec();
        spec.log_bin = round != 1;
        let restored = bed.engines.restore(&copy, spec).await.unwrap();
        bed.engines
            .open_endpoint(&restored, "restored", 3306)
            .await
            .unwrap();
        let mut client = bed.client("restored").await;
        let rows = client
            .query::<(usize, u64, u64), _>(
                "SELECT writer, COUNT(*), MAX(n) FROM load_test.t GROUP BY writer ORDER BY writer",
            )
            .await
            .unwrap();
        assert_eq!(rows.len(), 3);
        for (writer, count, last) in rows {
            assert_eq!(count, last, "writer {writer} has a gap");
            assert!(
                count >= before[writer],
                "writer {writer}: {count} rows, {} were acknowledged before",
                before[writer]
            );
            assert!(
                count <= after[writer] + 1,
                "writer {writer}: {count} rows, {} were written after",
                after[writer]
            );
        }
        assert_eq!(
            value::<u64>(&mut client, "SELECT @@log_bin").await,
            u64::from(round != 1)
        );
        bed.engines.delete(&restored).await.unwrap();
        bed.engines.delete_copy(&copy).await.unwrap();
    }
    stop.store(true, Ordering::Release);
    for writer in writers {
        writer.await.unwrap();
    }
}

async fn a_replica_follows_its_source_through_restarts(bed: Bed) {
    let source = bed.create("source").await;
    bed.engines
        .run_sql(
            &source,
            "CREATE DATABASE d; CREATE TABLE d.t (n INT PRIMARY KEY); INSERT INTO d.t VALUES (1)",
        )
        .await
        .unwrap();
    let replica = bed
        .engines
        .replica(&source, bed.read_only("1"))
        .await
        .unwrap();
    bed.engines
        .open_endpoint(&replica, "replica", 3306)
        .await
        .unwrap();
    assert_eq!(
        bed.engines.replication(&replica).await.unwrap(),
        ReplicationState::Replicating
    );
    assert_eq!(
        bed.engines.replication(&source).await.unwrap(),
        ReplicationState::Stopped
    );
    let mut reader = bed.client("replica").await;
    let mut writer = bed.client("source").await;
    writer
        .query_drop("INSERT INTO d.t VALUES (2)")
        .await
        .unwrap();
    becomes(&mut reader, "SELECT COUNT(*) FROM d.t", 2).await;
    let (a, b) = (
        value::<String>(&mut writer, "SELECT CONCAT(@@server_id)").await,
        value::<String>(&mut reader, "SELECT CONCAT(@@server_id)").await,
    );
    assert_ne!(a, b);

    bed.engines.restart(&source).await.unwrap();
    // Its endpoint moves: replication does not use it.
    bed.engines
        .open_endpoint(&source, "renamed", 3306)
        .await
        .unwrap();
    let mut writer = bed.client("renamed").await;
    writer
        .query_drop("INSERT INTO d.t VALUES (3)")
        .await
        .unwrap();
    becomes(&mut reader, "SELECT COUNT(*) FROM d.t", 3).await;

    // While it is down, somebody takes its port.
    let port = value::<u16>(&mut writer, "SELECT @@port").await;
    bed.engines.stop(&source).await.unwrap();
    let squatter = TcpListener::bind(("127.0.0.1", port)).unwrap();
    bed.engines.start(&source).await.unwrap();
    let mut writer = bed.client("renamed").await;
    assert_ne!(value::<u16>(&mut writer, "SELECT @@port").await, port);
    writer
        .query_drop("INSERT INTO d.t VALUES (4)")
        .await
        .unwrap();
    becomes(&mut reader, "SELECT COUNT(*) FROM d.t", 4).await;
    drop(squatter);
    replicates(&bed.engines, &replica).await;

    // An applier's error is told.
    bed.engines
        .run_sql(&replica, "INSERT INTO d.t VALUES (5)")
        .await
        .unwrap();
    writer
        .query_drop("INSERT INTO d.t VALUES (5)")
        .await
        .unwrap();
    let deadline = Instant::now() + LIMIT;
    let error = loop {
        match bed.engines.replication(&replica).await.unwrap() {
            ReplicationState::Error(error) => break error,
            state => assert!(Instant::now() < deadline, "{state:?}"),
        }
    };
    assert!(
        error.contains("error 1062") || error.contains("coordinator"),
        "{error}"
    );

    bed.engines.promote(&replica, bed.spec()).await.unwrap();
    assert_eq!(
        bed.engines.replication(&replica).await.unwrap(),
        ReplicationState::Stopped
    );
    reader
        .query_drop("INSERT INTO d.t VALUES (6)")
        .await
        .unwrap();
}

async fn an_endpoint_moves(bed: Bed) {
    let first = bed.create("prod").await;
    let mut old = bed.client("prod").await;
    let moved = bed
        .engines
        .open_endpoint(&first, "old-prod", 3306)
        .await
        .unwrap();
    assert_eq!(moved, bed.engines.address_of("old-prod").unwrap());
    assert_ne!(moved, bed.engines.address_of("prod").unwrap());
    assert!(
        old.query_drop("SELECT 1").await.is_err(),
        "connections through the old name are cut"
    );
    assert!(
        Conn::new(login(
            bed.engines.address_of("prod").unwrap(),
            "admin",
            PASSWORD
        ))
        .await
        .is_err()
    );
    let mut client = bed.client("old-prod").await;
    client.query_drop("CREATE DATABASE on_first").await.unwrap();

    let second = bed.create("prod").await;
    let mut client = bed.client("prod").await;
    assert_eq!(
        client
            .query::<String, _>("SHOW DATABASES LIKE 'on_first'")
            .await
            .unwrap()
            .len(),
        0
    );
    let taken = bed
        .engines
        .open_endpoint(&second, "old-prod", 3306)
        .await
        .unwrap_err();
    assert!(
        matches!(&taken, EngineError::Io { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse),
        "{taken}"
    );
    bed.engines.close_endpoint(&first).await.unwrap();
    bed.engines
        .open_endpoint(&second, "old-prod", 3306)
        .await
        .unwrap();
    bed.client("old-prod").await;
}

async fn the_master_user_is_what_rds_makes_it(bed: Bed) {
    let server = bed.create("m").await;
    let mut client = bed.client("m").await;
    assert!(matches!(
        code(client.query_drop("SET GLOBAL max_connections = 33").await),
        1227 | 1045
    ));
    assert!(matches!(
        code(client.query_drop(bed.slave("STOP SLAVE")).await),
        1227 | 1045
    ));
    assert!(matches!(
        code(client.query_drop("SET SESSION sql_log_bin = 0").await),
        1227 | 1045
    ));
    assert!(matches!(
        code(client.query_drop("GRANT SUPER ON *.* TO admin").await),
        1227 | 1045
    ));
    let users = client.query::<String, _>("SELECT user FROM mysql.user WHERE user NOT LIKE 'mysql.%' AND user NOT LIKE 'mariadb.%' ORDER BY user").await.unwrap();
    let mut expected = vec!["admin", "rdsadmin", "rdsrepladmin"];
    if bed.kind.name == "mysql97" {
        expected.push("rds_superuser_role");
        expected.sort_unstable();
    }
    let users = users
        .into_iter()
        .filter(|user| user != "PUBLIC")
        .collect::<std::collections::BTreeSet<_>>();
    assert_eq!(users, expected.into_iter().map(str::to_owned).collect());

    client.query_drop("CREATE DATABASE app; CREATE USER app@'%' IDENTIFIED BY 'x1!yZ'; GRANT SELECT, INSERT ON app.* TO app@'%'").await.unwrap();
    client.query_drop("CREATE TABLE app.t (n INT); CREATE TRIGGER app.tr BEFORE INSERT ON app.t FOR EACH ROW SET NEW.n = NEW.n + 1").await.unwrap();

    let retention =
        "SELECT value FROM mysql.rds_configuration WHERE name = 'binlog retention hours'";
    assert_eq!(value::<Option<String>>(&mut client, retention).await, None);
    client
        .query_drop("CALL mysql.rds_set_configuration('binlog retention hours', 24)")
        .await
        .unwrap();
    let shown = client
        .query::<(String, Option<String>, String), _>("CALL mysql.rds_show_configuration()")
        .await
        .unwrap();
    assert!(
        shown
            .iter()
            .any(|(name, value, _)| name == "binlog retention hours"
                && value.as_deref() == Some("24")),
        "{shown:?}"
    );
    for refused in [
        "'binlog retention hours', 0",
        "'binlog retention hours', 169",
        "'no such thing', 1",
        "'source delay', NULL",
    ] {
        assert_eq!(
            code(
                client
                    .query_drop(format!("CALL mysql.rds_set_configuration({refused})"))
                    .await
            ),
            1644,
            "{refused}"
        );
    }
    client
        .query_drop("CALL mysql.rds_set_configuration('binlog retention hours', NULL)")
        .await
        .unwrap();
    assert_eq!(value::<Option<String>>(&mut client, retention).await, None);

    let mut victim = bed.client("m").await;
    let id = victim.id();
    client
        .query_drop(format!("CALL mysql.rds_kill({id})"))
        .await
        .unwrap();
    assert!(victim.query_drop("SELECT 1").await.is_err());

    // A new master password works, and a dropped master user comes back with it.
    let mut spec = bed.spec();
    spec.master_password = "other".to_owned();
    bed.engines
        .run_sql(&server, "DROP USER admin@'%'")
        .await
        .unwrap();
    bed.engines.reconfigure(&server, spec).await.unwrap();
    Conn::new(login(
        bed.engines.address_of("m").unwrap(),
        "admin",
        "other",
    ))
    .await
    .unwrap();
}

async fn parameters_reach_the_server(bed: Bed) {
    let server = bed.create("p").await;
    let mut spec = bed.spec();
    for (name, value) in [
        ("max_connections", "77"),
        ("sql_mode", "ANSI_QUOTES"),
        ("back_log", "61"),
        ("rds.logical_replication", "1"),
        ("no_such_variable", "1"),
    ] {
        spec.parameters.insert(name.to_owned(), value.to_owned());
    }
    bed.engines
        .reconfigure(&server, spec.clone())
        .await
        .unwrap();
    let mut client = bed.client("p").await;
    assert_eq!(
        value::<u64>(&mut client, "SELECT @@max_connections").await,
        77
    );
    assert_eq!(
        value::<String>(&mut client, "SELECT @@sql_mode").await,
        "ANSI_QUOTES"
    );
    assert_ne!(
        value::<u64>(&mut client, "SELECT @@back_log").await,
        61,
        "static: at the next start"
    );
    bed.engines.restart(&server).await.unwrap();
    let mut client = bed.client("p").await;
    assert_eq!(
        value::<(u64, u64)>(&mut client, "SELECT @@back_log, @@max_connections").await,
        (61, 77)
    );
    spec.parameters
        .insert("max_connections".to_owned(), "not a number".to_owned());
    assert!(matches!(
        bed.engines.reconfigure(&server, spec.clone()).await,
        Err(EngineError::Sql { .. })
    ));
    spec.parameters.remove("max_connections");
    bed.engines.reconfigure(&server, spec).await.unwrap();
    assert_ne!(
        value::<u64>(&mut client, "SELECT @@max_connections").await,
        77,
        "a parameter that was reset goes back to its default"
    );
}

async fn a_read_only_replica_refuses_accounts(bed: Bed) {
    let source = bed.create("source").await;
    let replica = bed
        .engines
        .replica(&source, bed.read_only("1"))
        .await
        .unwrap();
    bed.engines
        .open_endpoint(&replica, "replica", 3306)
        .await
        .unwrap();
    let mut client = bed.client("replica").await;
    assert_eq!(
        code(
            client
                .query_drop("CREATE USER local@'%' IDENTIFIED BY 'x1!yZ'")
                .await
        ),
        1290
    );
    bed.engines
        .reconfigure(&replica, bed.read_only("0"))
        .await
        .unwrap();
    client
        .query_drop("CREATE USER local@'%' IDENTIFIED BY 'x1!yZ'")
        .await
        .unwrap();
    replicates(&bed.engines, &replica).await;
    bed.engines.restart(&replica).await.unwrap();
    replicates(&bed.engines, &replica).await;
    let mut client = bed.client("replica").await;
    assert_eq!(
        value::<u64>(
            &mut client,
            "SELECT COUNT(*) FROM mysql.user WHERE user = 'local'"
        )
        .await,
        1
    );
}

async fn binlog_retention_travels_with_a_snapshot_only(bed: Bed) {
    let source = bed.create("source").await;
    let mut client = bed.client("source").await;
    client
        .query_drop("CALL mysql.rds_set_configuration('binlog retention hours', 48)")
        .await
        .unwrap();
    let retention =
        "SELECT value FROM mysql.rds_configuration WHERE name = 'binlog retention hours'";
    let replica = bed
        .engines
        .replica(&source, bed.read_only("1"))
        .await
        .unwrap();
    bed.engines
        .open_endpoint(&replica, "replica", 3306)
        .await
        .unwrap();
    assert_eq!(
        value::<Option<String>>(&mut bed.client("replica").await, retention).await,
        None
    );
    let copy = bed.engines.snapshot(&source).await.unwrap();
    let restored = bed.engines.restore(&copy, bed.spec()).await.unwrap();
    bed.engines
        .open_endpoint(&restored, "restored", 3306)
        .await
        .unwrap();
    assert_eq!(
        value::<Option<String>>(&mut bed.client("restored").await, retention)
            .await
            .as_deref(),
        Some("48")
    );
    // Setting it is nobody else's business: it is not replicated.
    client.query_drop("CALL mysql.rds_set_configuration('binlog retention hours', 72); CREATE DATABASE marker").await.unwrap();
    becomes(
        &mut bed.client("replica").await,
        "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = 'marker'",
        1,
    )
    .await;
    assert_eq!(
        value::<Option<String>>(&mut bed.client("replica").await, retention).await,
        None
    );
}

/// Replica of a source, stopped with RDS's procedure; its snapshot, restored, follows the same source.
async fn the_limited_downtime_path_works(bed: Bed) {
    let source = bed.create("source").await;
    let mut writer = bed.client("source").await;
    writer
        .query_drop(
            "CREATE DATABASE d; CREATE TABLE d.t (n INT PRIMARY KEY); INSERT INTO d.t VALUES (1)",
        )
        .await
        .unwrap();
    writer.query_drop("CREATE USER repl@'%' IDENTIFIED BY 'x1!yZ'; GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO repl@'%'").await.unwrap();
    let replica = bed
        .engines
        .replica(&source, bed.read_only("1"))
        .await
        .unwrap();
    bed.engines
        .open_endpoint(&replica, "replica", 3306)
        .await
        .unwrap();
    let mut on_replica = bed.client("replica").await;
    writer
        .query_drop("INSERT INTO d.t VALUES (2)")
        .await
        .unwrap();
    becomes(&mut on_replica, "SELECT COUNT(*) FROM d.t", 2).await;
    let stopped = on_replica
        .query::<String, _>("CALL mysql.rds_stop_replication()")
        .await
        .unwrap();
    assert!(stopped.concat().contains("down or disabled"), "{stopped:?}");
    assert_eq!(
        bed.engines.replication(&replica).await.unwrap(),
        ReplicationState::Stopped
    );
    let show = if bed.kind.engine == "mariadb" {
        "CALL mysql.rds_replica_status()".to_owned()
    } else {
        bed.slave("SHOW SLAVE STATUS")
    };
    let status = value::<Row>(&mut on_replica, &show).await;
    let column = |name: &str| {
        status
            .columns_ref()
            .iter()
            .position(|column| column.name_str() == bed.slave(name))
            .unwrap()
    };
    let file: String = status
        .get(column(if bed.kind.name == "mysql97" {
            "Relay_Source_Log_File"
        } else {
            "Relay_Master_Log_File"
        }))
        .unwrap();
    let offset: u64 = status
        .get(column(if bed.kind.name == "mysql97" {
            "Exec_Source_Log_Pos"
        } else {
            "Exec_Master_Log_Pos"
        }))
        .unwrap();
    assert!(file.starts_with("mysql-bin-changelog."), "{file}");
    writer
        .query_drop("INSERT INTO d.t VALUES (3)")
        .await
        .unwrap();

    let copy = bed.engines.snapshot(&replica).await.unwrap();
    let restored = bed.engines.restore(&copy, bed.spec()).await.unwrap();
    bed.engines
        .open_endpoint(&restored, "restored", 3306)
        .await
        .unwrap();
    assert_eq!(
        bed.engines.replication(&restored).await.unwrap(),
        ReplicationState::Stopped
    );
    let mut client = bed.client("restored").await;
    let show = if bed.kind.engine == "mariadb" {
        "CALL mysql.rds_replica_status()".to_owned()
    } else {
        bed.slave("SHOW SLAVE STATUS")
    };
    assert!(
        client.query::<Row, _>(show).await.unwrap().is_empty(),
        "a restored instance is nobody's replica"
    );
    assert_eq!(
        value::<u64>(&mut client, "SELECT COUNT(*) FROM d.t").await,
        2
    );
    let (word, host) = (bed.source_word(), bed.engines.address_of("source").unwrap());
    client.query_drop(format!("CALL mysql.rds_set_external_{word}('{host}', 3306, 'repl', 'x1!yZ', '{file}', {offset}, 0)")).await.unwrap();
    client
        .query_drop("CALL mysql.rds_start_replication()")
        .await
        .unwrap();
    becomes(&mut client, "SELECT COUNT(*) FROM d.t", 3).await;
    replicates(&bed.engines, &restored).await;
    client
        .query_drop("CALL mysql.rds_stop_replication()")
        .await
        .unwrap();
    client
        .query_drop(format!("CALL mysql.rds_reset_external_{word}()"))
        .await
        .unwrap();
    client
        .query_drop("INSERT INTO d.t VALUES (4)")
        .await
        .unwrap();
    // The other one goes on where it stopped.
    on_replica
        .query_drop("CALL mysql.rds_start_replication()")
        .await
        .unwrap();
    becomes(&mut on_replica, "SELECT COUNT(*) FROM d.t", 3).await;
}

async fn twelve_servers_start_and_stop_together(bed: Bed) {
    let starts = (0..12).map(|n| {
        let bed = &bed;
        async move { bed.create(&format!("db-{n}")).await }
    });
    let servers = futures::future::join_all(starts).await;
    assert_eq!(
        servers
            .iter()
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        12
    );
    for n in 0..12 {
        assert_eq!(
            value::<u64>(&mut bed.client(&format!("db-{n}")).await, "SELECT 1").await,
            1
        );
    }
}

macro_rules! for_kinds {
    ($($case:ident: $($kind:ident)*;)*) => {$(
        mod $case {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[expect(non_snake_case, reason = "named as the kind is")]
                async fn $kind() {
                    super::with(super::$kind, super::$case).await;
                }
            )*
        }
    )*};
}

for_kinds! {
    what_was_written_survives_a_restart: MARIADB1011 MYSQL57 MYSQL97 MYSQL56 MARIADB118;
    a_snapshot_under_load_is_a_prefix: MARIADB1011 MYSQL57 MYSQL97 MYSQL56 MARIADB118;
    a_replica_follows_its_source_through_restarts: MARIADB1011 MYSQL57 MYSQL97 MYSQL56 MARIADB118;
    an_endpoint_moves: MARIADB1011 MYSQL57;
    the_master_user_is_what_rds_makes_it: MARIADB1011 MYSQL57 MYSQL97 MYSQL56 MARIADB118;
    parameters_reach_the_server: MARIADB1011 MYSQL57 MYSQL97 MYSQL56 MARIADB118;
    a_read_only_replica_refuses_accounts: MARIADB1011 MYSQL57 MYSQL97 MYSQL56 MARIADB118;
    binlog_retention_travels_with_a_snapshot_only: MARIADB1011 MYSQL57 MYSQL97 MYSQL56 MARIADB118;
    the_limited_downtime_path_works: MARIADB1011 MYSQL57 MYSQL97 MYSQL56 MARIADB118;
    twelve_servers_start_and_stop_together: MARIADB1011 MYSQL57;
}

#[tokio::test]
async fn no_engine_is_wanted_or_there() {
    let dir = tempfile::tempdir().unwrap();
    assert!(
        Engines::open(EngineMode::None, install_dir(), dir.path().join("work"))
            .await
            .unwrap()
            .is_none()
    );
    let bad = dir.path().join("engines/kind");
    std::fs::create_dir_all(&bad).unwrap();
    std::fs::write(bad.join("engine.toml"), "kind = 3").unwrap();
    let error = Engines::open(
        EngineMode::Auto,
        dir.path().join("engines"),
        dir.path().join("work"),
    )
    .await
    .unwrap_err();
    assert!(
        matches!(error, EngineError::BadDescription { .. }),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sandboxes_do_not_share_a_folder() {
    with(MARIADB1011, async |_bed| {}).await;
    let dir = tempfile::tempdir().unwrap();
    let first = Engines::open(EngineMode::Required, install_dir(), dir.path().to_owned())
        .await
        .unwrap()
        .unwrap();
    let refused = Engines::open(EngineMode::Required, install_dir(), dir.path().to_owned())
        .await
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("another sandbox uses this folder"),
        "{refused}"
    );
    first.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_start_says_why() {
    with(MARIADB1011, async |bed| {
        bed.create("template").await;
    })
    .await;
    // The same installation, described with an option its server does not know; the template is there already.
    let (dir, kind) = (TempDir::new().unwrap(), "mariadb1011");
    let text = std::fs::read_to_string(install_dir().join(kind).join("engine.toml")).unwrap();
    let broken = dir.path().join("engines").join(kind);
    std::fs::create_dir_all(&broken).unwrap();
    std::os::unix::fs::symlink(
        install_dir().join("templates"),
        dir.path().join("engines/templates"),
    )
    .unwrap();
    for entry in std::fs::read_dir(install_dir().join(kind))
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| entry.file_name() != "engine.toml")
    {
        std::os::unix::fs::symlink(entry.path(), broken.join(entry.file_name())).unwrap();
    }
    std::fs::write(
        broken.join("engine.toml"),
        text.replace("options = []", "options = [\"--no-such-option=1\"]"),
    )
    .unwrap();
    let engines = Engines::open(
        EngineMode::Required,
        dir.path().join("engines"),
        dir.path().join("work"),
    )
    .await
    .unwrap()
    .unwrap();
    let bed = Bed {
        engines: engines.clone(),
        kind: MARIADB1011,
    };
    let error = engines.create(bed.spec()).await.unwrap_err();
    assert!(
        matches!(&error, EngineError::DidNotStart { log, .. } if log.contains("no-such-option")),
        "{error}"
    );
    assert_eq!(
        std::fs::read_dir(dir.path().join("work/servers"))
            .unwrap()
            .count(),
        0,
        "nothing is left of it"
    );
    engines.shutdown().await.unwrap();
}

/// This test is its own second process: started with `ATREST_TEST_HOLD` it makes a server and waits to be killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_sandbox_leaves_its_servers_to_the_next() {
    if let Some(work) = std::env::var_os("ATREST_TEST_HOLD") {
        let engines = Engines::open(EngineMode::Required, install_dir(), work.into())
            .await
            .unwrap()
            .unwrap();
        let bed = Bed {
            engines,
            kind: MARIADB1011,
        };
        bed.create("held").await;
        println!("\nholding");
        std::future::pending::<()>().await;
    }
    with(MARIADB1011, async |_bed| {}).await;
    let dir = TempDir::new().unwrap();
    let work = dir.path().canonicalize().unwrap().join("work");
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_killed_sandbox_leaves_its_servers_to_the_next",
            "--nocapture",
        ])
        .env("ATREST_TEST_HOLD", &work)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(parent.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .any(|line| line == "holding");
    parent.kill().unwrap();
    parent.wait().unwrap();
    assert!(said, "the other process made a server");

    let servers = || {
        let wanted = format!("--datadir={}", work.display());
        let lines = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(Result::ok)
            .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines
            .filter(|line| String::from_utf8_lossy(line).contains(&wanted))
            .count()
    };
    assert_eq!(servers(), 1, "its server outlived it");
    let engines = Engines::open(EngineMode::Required, install_dir(), work.clone())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(servers(), 0, "the next sandbox ends it");
    engines.shutdown().await.unwrap();
    assert!(!work.exists());
}
