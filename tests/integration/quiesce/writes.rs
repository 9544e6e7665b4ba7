//! What was written since a moment, told by real servers: RDS's own is told apart, everything else is found.

use std::net::IpAddr;

use atrest_sandbox::EngineMode;
use atrest_sandbox::engine::{Engines, ServerId, ServerSpec};
use atrest_scanner::mysql::{self, Connection, Origin, Target, Tls, WriteMark, Writes};
use secrecy::SecretString;

const PASSWORD: &str = "master-password-of-the-test";

/// RDS's own table, as RDS makes it.
const HEARTBEAT: &str = "
CREATE TABLE mysql.rds_heartbeat2 (id INT NOT NULL PRIMARY KEY, value BIGINT) ENGINE=InnoDB;
INSERT INTO mysql.rds_heartbeat2 VALUES (1, 1);
CREATE DATABASE shop;
CREATE TABLE shop.customer (id INT NOT NULL PRIMARY KEY, iban VARCHAR(40)) ENGINE=InnoDB;
INSERT INTO shop.customer VALUES (1, 'DE00');
";
const BEAT: &str = "INSERT INTO mysql.rds_heartbeat2(id, value) VALUES (1, 2) ON DUPLICATE KEY UPDATE value = value + 1";

struct Bed {
    engines: Engines,
    server: ServerId,
    address: IpAddr,
    _dir: tempfile::TempDir,
}

impl Bed {
    async fn start(engine: &str, version: &str, log_bin: bool, format: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engines = Engines::open(
            EngineMode::Required,
            atrest_sandbox::engine::default_install_dir().unwrap(),
            dir.path().to_owned(),
        )
        .await
        .unwrap()
        .unwrap();
        let spec = ServerSpec {
            engine: engine.to_owned(),
            engine_version: version.to_owned(),
            master_username: "admin".to_owned(),
            master_password: PASSWORD.to_owned(),
            parameters: [("binlog_format".to_owned(), format.to_owned())].into(),
            log_bin,
        };
        let server = engines.create(spec).await.unwrap();
        let address = engines.open_endpoint(&server, "test", 3306).await.unwrap();
        let bed = Self {
            engines,
            server,
            address,
            _dir: dir,
        };
        bed.run(HEARTBEAT).await;
        bed
    }

    /// As the administrator: RDS itself.
    async fn run(&self, script: &str) {
        self.engines.run_sql(&self.server, script).await.unwrap();
    }

    async fn login(&self) -> Connection {
        let password = SecretString::from(PASSWORD);
        let mut target = Target::new(self.address.to_string(), 3306, "admin", password);
        target.tls = Tls::Off;
        mysql::connect(&target).await.unwrap()
    }

    async fn close(self) {
        self.engines.shutdown().await.unwrap();
    }
}

async fn since(connection: &mut Connection, mark: &WriteMark) -> Writes {
    mysql::writes_since(connection, mark, Origin::Any)
        .await
        .unwrap()
}

fn none(writes: &Writes) {
    assert!(matches!(writes, Writes::None { .. }), "{writes:?}");
}

/// What was found, in words; the literal of the statement is in none.
fn found(writes: &Writes) -> Vec<String> {
    let Writes::Found(found) = writes else {
        panic!("nothing was found: {writes:?}");
    };
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(!lines.iter().any(|line| line.contains("DE99")), "{lines:?}");
    lines
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future);
}

/// With a binary log, whatever its format: RDS's heartbeat and rotations are none, a client's statement is.
async fn by_the_log(engine: &str, version: &str, format: &str) {
    let bed = Bed::start(engine, version, true, format).await;
    let mut connection = bed.login().await;
    let mark = mysql::write_mark(&mut connection).await.unwrap();
    assert!(
        mark.position.is_some() && mark.heartbeat.is_some(),
        "{mark:?}"
    );
    none(&since(&mut connection, &mark).await);
    bed.run(BEAT).await;
    bed.run("FLUSH LOGS").await;
    bed.run(BEAT).await;
    none(&since(&mut connection, &mark).await);

    // Two rows by one statement, and a table.
    bed.run("INSERT INTO shop.customer VALUES (2, 'DE99'), (3, 'DE99')")
        .await;
    let lines = found(&since(&mut connection, &mark).await);
    assert!(
        lines[0].starts_with("INSERT"),
        "{engine} {format}: {lines:?}"
    );
    let later = mysql::write_mark(&mut connection).await.unwrap();
    bed.run("CREATE TABLE shop.more (iban VARCHAR(40) DEFAULT 'DE99')")
        .await;
    let lines = found(&since(&mut connection, &later).await);
    assert_eq!(lines, ["CREATE TABLE, 1 times"], "{engine} {format}");
    // What comes from elsewhere is not this server's own; here everything is.
    let own = mysql::writes_since(&mut connection, &later, Origin::Local).await;
    assert_eq!(found(&own.unwrap()), ["CREATE TABLE, 1 times"]);

    // The mark survives a journal, and a log that is gone is said to be.
    let text = serde_json::to_string(&mark).unwrap();
    let mark: WriteMark = serde_json::from_str(&text).unwrap();
    purge(&bed, &mut connection, &mark).await;
    match since(&mut connection, &mark).await {
        // The heartbeat has moved: the counters tell nothing either.
        Writes::Unknown { reason } => assert!(reason.contains("is purged"), "{reason}"),
        told => panic!("{told:?}"),
    }
    connection.close().await;
    bed.close().await;
}

/// Until the log of the mark is gone: MariaDB keeps one that its last checkpoint is in.
async fn purge(bed: &Bed, connection: &mut Connection, mark: &WriteMark) {
    let first = mark.position.as_ref().unwrap().file.clone();
    for _ in 0..100 {
        bed.run("FLUSH LOGS").await;
        let last = mysql::write_mark(connection).await.unwrap();
        let file = last.position.unwrap().file;
        bed.run(&format!("PURGE BINARY LOGS TO '{file}'")).await;
        let logs = connection.call(b"SHOW BINARY LOGS").await.unwrap();
        let is_there = |file: Option<String>| file.as_deref() == Some(first.as_str());
        if !logs.iter().flatten().any(|row| is_there(row.text(0))) {
            return;
        }
    }
    panic!("{first} is not purged");
}

/// Without a binary log: a write moves the counters, and a heartbeat makes them say nothing.
async fn by_the_counters(engine: &str, version: &str) {
    let bed = Bed::start(engine, version, false, "MIXED").await;
    let mut connection = bed.login().await;
    let mark = mysql::write_mark(&mut connection).await.unwrap();
    assert!(mark.position.is_none(), "{mark:?}");
    none(&since(&mut connection, &mark).await);
    bed.run("UPDATE shop.customer SET iban = 'DE99' WHERE id = 1")
        .await;
    let lines = found(&since(&mut connection, &mark).await);
    assert!(
        lines.iter().any(|line| line == "Com_update +1"),
        "{engine}: {lines:?}"
    );
    let mark = mysql::write_mark(&mut connection).await.unwrap();
    bed.run(BEAT).await;
    match since(&mut connection, &mark).await {
        Writes::Unknown { reason } => assert!(reason.contains("heartbeat"), "{reason}"),
        told => panic!("{engine}: {told:?}"),
    }
    connection.close().await;
    bed.close().await;
}

#[test]
fn mariadb_tells_a_client_from_rds_by_its_log() {
    block_on(async {
        by_the_log("mariadb", "10.11.9", "MIXED").await;
        by_the_log("mariadb", "10.11.9", "ROW").await;
    });
}

#[test]
fn mysql_tells_a_client_from_rds_by_its_log() {
    block_on(async {
        by_the_log("mysql", "5.7.44", "MIXED").await;
        by_the_log("mysql", "5.7.44", "ROW").await;
    });
}

#[test]
fn without_a_log_counters_tell() {
    block_on(async {
        by_the_counters("mariadb", "10.11.9").await;
        by_the_counters("mysql", "5.7.44").await;
    });
}

/// A prepared XA transaction outlives its connection, and is named as XA RECOVER has it.
#[test]
fn a_prepared_transaction_is_seen_without_a_connection() {
    block_on(async {
        for (engine, version) in [("mariadb", "10.11.9"), ("mysql", "5.7.44")] {
            let bed = Bed::start(engine, version, true, "ROW").await;
            bed.run("XA START 'order'; INSERT INTO shop.customer VALUES (9, 'DE99'); XA END 'order'; XA PREPARE 'order'")
                .await;
            let mut connection = bed.login().await;
            let activity = mysql::activity(&mut connection).await.unwrap();
            assert_eq!(
                activity.prepared,
                Some(vec!["X'6f72646572',X'',1".to_owned()]),
                "{engine}"
            );
            // The administrator's own connection has no port: it is told apart or gone.
            bed.run("XA ROLLBACK 'order'").await;
            let activity = mysql::activity(&mut connection).await.unwrap();
            assert_eq!(activity.prepared, Some(Vec::new()), "{engine}");
            connection.close().await;
            bed.close().await;
        }
    });
}
