//! Rows of two real servers: what is equal is found equal, what differs is found by its key, what cannot be compared says so.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use atrest_sandbox::EngineMode;
use atrest_sandbox::engine::{Engines, ServerId, ServerSpec, default_install_dir};
use atrest_scanner::mysql::{
    DataComparison, DataOptions, DataProgress, KeepNothing, Keeper, TableComparison, TableProgress,
    Target, Tls, compare_data,
};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const MASTER: &str = "admin";
const PASSWORD: &str = "master-password-of-the-test";

/// Tables with every kind of key and of value. `reordered` means the same on both servers in another form.
const SCHEMA: &str = r#"
SET SESSION sql_mode = '';
CREATE DATABASE shop DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;
CREATE TABLE shop.d (n INT PRIMARY KEY); INSERT INTO shop.d VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);
CREATE TABLE shop.big (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(100), note VARCHAR(20) NULL);
INSERT INTO shop.big SELECT 1 + a.n + b.n * 10 + c.n * 100 + d.n * 1000 + e.n * 10000, CONCAT('row ', a.n, b.n, c.n, d.n, e.n), NULL
  FROM shop.d a, shop.d b, shop.d c, shop.d d, shop.d e WHERE e.n < 3;
CREATE TABLE shop.names (name VARCHAR(30) PRIMARY KEY, v INT);
INSERT INTO shop.names SELECT CONCAT('Näme ', a.n, b.n, c.n, d.n), 1 FROM shop.d a, shop.d b, shop.d c, shop.d d WHERE d.n < 3;
INSERT INTO shop.names VALUES ('anna', 1), ('o''b\\x', 2);
CREATE TABLE shop.tokens (token VARBINARY(16) PRIMARY KEY, v INT);
INSERT INTO shop.tokens SELECT UNHEX(SHA2(id, 224) ), id FROM shop.big WHERE id <= 2500;
CREATE TABLE shop.composite (region VARCHAR(20) NOT NULL, kind ENUM('z','a') NOT NULL, at DATETIME NOT NULL, v INT, UNIQUE KEY whole (region, kind, at));
INSERT INTO shop.composite SELECT CONCAT(CASE a.n % 3 WHEN 0 THEN 'Ärzte' WHEN 1 THEN 'arzt' ELSE 'ß' END, b.n), IF(c.n % 2, 'z', 'a'),
  '2024-01-01' + INTERVAL (a.n + c.n * 10 + d.n * 100) HOUR, a.n FROM shop.d a, shop.d b, shop.d c, shop.d d WHERE d.n < 3;
CREATE TABLE shop.keyless (a INT, b VARCHAR(10)); INSERT INTO shop.keyless VALUES (1, 'x'), (1, 'x'), (2, NULL);
CREATE TABLE shop.empty (id INT PRIMARY KEY);
CREATE TABLE shop.reordered (id INT PRIMARY KEY, a VARCHAR(10) CHARACTER SET latin1, b ENUM('x','y') CHARACTER SET latin1);
INSERT INTO shop.reordered VALUES (1, 'ä', 'y'), (2, NULL, 'x');
CREATE TABLE shop.types (id BIGINT UNSIGNED PRIMARY KEY, f FLOAT, d DOUBLE, n DECIMAL(20,5), b BIT(12), e ENUM('x','y',''), s SET('p','q'),
  dt DATETIME, ts TIMESTAMP NULL, da DATE, ti TIME, y YEAR, t TEXT, bl LONGBLOB, v VARCHAR(50) CHARACTER SET latin1, c CHAR(5), j JSON, g GEOMETRY,
  computed DECIMAL(30) GENERATED ALWAYS AS (id * 1) VIRTUAL, kept DECIMAL(30) GENERATED ALWAYS AS (id + 1) STORED);
INSERT INTO shop.types (id, f, d, n, b, e, s, dt, ts, da, ti, y, t, bl, v, c, j, g) VALUES
  (1, 1.23456789, 0.1, 12345.67890, b'101010101010', 'y', 'p,q', '0000-00-00 00:00:00', '2024-03-31 02:30:00', '0000-00-00', '-12:00:00', 2024,
   REPEAT('lang ', 1000), X'00FF27', 'é', 'a', '{"b": [1, 2.5], "a": null}', ST_GeomFromText('POINT(1 2)')),
  (18446744073709551614, -0.5, 1e300, -1, 0, 'nonsense', '', NULL, NULL, NULL, NULL, NULL, '', '', '', '', '[]', NULL),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE USER 'keeper'@'%' IDENTIFIED BY 'Keeper-1-keeper';
CREATE DEFINER = 'keeper'@'%' VIEW shop.v AS SELECT id FROM shop.big;
CREATE DEFINER = 'keeper'@'%' PROCEDURE shop.p(a INT) SELECT a;
CREATE DEFINER = 'keeper'@'%' EVENT shop.e ON SCHEDULE EVERY 1 DAY STARTS '2024-01-01 00:00:00' DISABLE DO SELECT 1;
CREATE DEFINER = 'keeper'@'%' TRIGGER shop.tr BEFORE INSERT ON shop.empty FOR EACH ROW SET NEW.id = NEW.id;
"#;

struct Pair {
    engines: Engines,
    new: ServerId,
    _dir: tempfile::TempDir,
}

impl Pair {
    /// `None`, said aloud, when the server is of those that are not always there.
    async fn start(engine: &str, version: &str, found: &str, required: bool) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let install = default_install_dir().unwrap();
        let engines = Engines::open(EngineMode::Required, install, dir.path().join("work"))
            .await
            .unwrap()
            .unwrap();
        if !engines.found().iter().any(|name| name.starts_with(found)) {
            assert!(!required, "sandbox/install-engines.sh mariadb1011 mysql57");
            let line = format!("\nNOT RUN: {found} is not installed\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            return None;
        }
        let spec = ServerSpec {
            engine: engine.to_owned(),
            engine_version: version.to_owned(),
            master_username: MASTER.to_owned(),
            master_password: PASSWORD.to_owned(),
            parameters: BTreeMap::new(),
            log_bin: false,
        };
        let (old, new) = tokio::join!(engines.create(spec.clone()), engines.create(spec));
        let (old, new) = (old.unwrap(), new.unwrap());
        for (server, name) in [(&old, "old"), (&new, "new")] {
            engines.open_endpoint(server, name, 3306).await.unwrap();
        }
        let (a, b) = tokio::join!(engines.run_sql(&old, SCHEMA), engines.run_sql(&new, SCHEMA));
        a.unwrap();
        b.unwrap();
        Some(Self {
            engines,
            new,
            _dir: dir,
        })
    }

    async fn on_new(&self, sql: &str) {
        self.engines.run_sql(&self.new, sql).await.unwrap();
    }

    fn target(&self, name: &str) -> Target {
        let host = self.engines.address_of(name).unwrap().to_string();
        at(host, 3306)
    }

    async fn compare(&self, options: &DataOptions) -> DataComparison {
        self.resume(options, DataProgress::default(), &KeepNothing)
            .await
    }

    async fn resume(
        &self,
        options: &DataOptions,
        progress: DataProgress,
        keeper: &dyn Keeper,
    ) -> DataComparison {
        let (old, new) = (self.target("old"), self.target("new"));
        Box::pin(compare_data(&old, &new, options, progress, keeper))
            .await
            .unwrap()
    }
}

fn at(host: String, port: u16) -> Target {
    let mut target = Target::new(host, port, MASTER, SecretString::from(PASSWORD));
    target.tls = Tls::Off;
    target.connect_timeout = Duration::from_secs(5);
    target
}

/// As in production, with shorter pauses; other tests make the machine busy, not the servers.
fn options() -> DataOptions {
    DataOptions {
        retries: 1,
        retry_pause: Duration::from_millis(5),
        guard_pause: Duration::from_millis(50),
        ..DataOptions::default()
    }
}

fn table<'a>(found: &'a DataComparison, name: &str) -> &'a TableComparison {
    let wanted = found.tables.iter().find(|(table, _)| table.table == name);
    wanted.unwrap().1
}

/// Condition, rows only there, rows only here, changed rows.
fn ranges(found: &DataComparison, name: &str) -> Vec<(String, u64, u64, u64)> {
    table(found, name)
        .differences
        .iter()
        .map(|range| {
            (
                range.rows.clone(),
                range.only_old,
                range.only_new,
                range.changed,
            )
        })
        .collect()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// Stops after so many chunks and remembers what it was given.
struct StopAfter {
    left: AtomicUsize,
    kept: Mutex<DataProgress>,
}

impl Keeper for StopAfter {
    fn keep(&self, table: &str, progress: &TableProgress) -> bool {
        let mut kept = self.kept.lock().unwrap();
        kept.tables.insert(table.to_owned(), progress.clone());
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .is_ok_and(|left| left > 1)
    }
}

async fn equal_then_different(engine: &str, version: &str, found: &str, required: bool) {
    let Some(pair) = Pair::start(engine, version, found, required).await else {
        return;
    };
    // Equal, though one table is written in another way.
    pair.on_new(
        "ALTER TABLE shop.reordered CONVERT TO CHARACTER SET utf8mb4;
         ALTER TABLE shop.reordered MODIFY b ENUM('y','x') FIRST;",
    )
    .await;
    let same = pair.compare(&options()).await;
    assert!(same.unread.is_empty(), "{:?}", same.unread);
    assert_eq!(same.tables.len(), 9);
    for (name, table) in &same.tables {
        assert_eq!(table.not_compared, None, "{name}");
        assert_eq!(table.old, table.new, "{name}");
        assert!(table.differences.is_empty() && !table.more, "{name}");
        assert_eq!(table.old.checksum == 0, name.table == "empty", "{name}");
    }
    assert_eq!(table(&same, "big").old.rows, 30_000);
    let differing: Vec<&String> = same
        .old_objects
        .iter()
        .filter(|(name, text)| same.new_objects.get(*name) != Some(text))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(differing, ["table `shop`.`reordered`"]);
    for object in [
        "schema `shop`",
        "view `shop`.`v`",
        "routine `shop`.`p` (procedure)",
        "event `shop`.`e`",
        "trigger `shop`.`tr`",
    ] {
        assert!(same.old_objects.contains_key(object), "{object}");
    }
    assert!(same.old_definers.is_empty() && same.new_definers.is_empty());
    let counted = pair
        .compare(&DataOptions {
            checksums: false,
            ..options()
        })
        .await;
    assert_eq!(table(&counted, "big").old.rows, 30_000);
    assert_eq!(table(&counted, "big").old.checksum, 0);

    // One row among many, one that moved, NULL and '', two rows changed alike, letters of another case, rows gone.
    pair.on_new(
        r"SET SESSION sql_mode = '';
        UPDATE shop.big SET v = 'changed' WHERE id = 12345; UPDATE shop.big SET note = '' WHERE id = 20001;
        UPDATE shop.big SET v = CONCAT(v, 'x') WHERE id IN (25001, 25002); UPDATE shop.big SET id = 900000 WHERE id = 777;
        UPDATE shop.names SET name = 'ANNA' WHERE name = 'anna'; UPDATE shop.names SET v = 3 WHERE name = 'o''b\\x';
        DELETE FROM shop.tokens WHERE v = 1;
        DELETE FROM shop.composite WHERE region = 'ß1' AND kind = 'z' AND at = '2024-01-01 12:00:00';
        UPDATE shop.keyless SET b = '' WHERE b IS NULL;
        UPDATE shop.types SET f = 1.234568 WHERE id = 1; UPDATE shop.types SET t = '' WHERE id = 3;
        DROP VIEW shop.v; DROP USER 'keeper'@'%';",
    )
    .await;
    let different = pair.compare(&options()).await;
    assert_eq!(
        ranges(&different, "big"),
        [
            ("WHERE `id` = 777".to_owned(), 1, 0, 0),
            ("WHERE `id` = 12345".to_owned(), 0, 0, 1),
            ("WHERE `id` = 20001".to_owned(), 0, 0, 1),
            ("WHERE `id` >= 25001 AND `id` <= 25002".to_owned(), 0, 0, 2),
            ("WHERE `id` = 900000".to_owned(), 0, 1, 0),
        ]
    );
    assert_eq!(
        ranges(&different, "names"),
        [
            (
                "WHERE `name` >= 'anna' AND `name` <= 'ANNA'".to_owned(),
                1,
                1,
                0
            ),
            (r"WHERE `name` = 'o''b\\x'".to_owned(), 0, 0, 1),
        ]
    );
    // SHA-224 of "1", cut to the column's 16 bytes.
    assert_eq!(
        ranges(&different, "tokens"),
        [(
            "WHERE `token` = X'E25388FDE8290DC286A6164FA2D97E55'".to_owned(),
            1,
            0,
            0
        )]
    );
    assert_eq!(
        ranges(&different, "composite"),
        [(
            "WHERE (`region`, `kind`, `at`) = ('ß1', 1, '2024-01-01 12:00:00')".to_owned(),
            1,
            0,
            0
        )]
    );
    let keyless = table(&different, "keyless");
    assert_eq!((keyless.old.rows, keyless.new.rows), (3, 3));
    assert_ne!(keyless.old.checksum, keyless.new.checksum);
    assert_eq!(
        ranges(&different, "types"),
        [("WHERE `id` >= 1 AND `id` <= 3".to_owned(), 0, 0, 2)]
    );
    assert_eq!(
        table(&different, "reordered").old,
        table(&different, "reordered").new
    );
    assert!(!different.new_objects.contains_key("view `shop`.`v`"));
    assert_eq!(
        different.new_definers.get("keeper@%").map(Vec::len),
        Some(3),
        "{:?}",
        different.new_definers
    );

    // Stopped again and again, each time kept as text, it ends with the same result.
    let mut progress = DataProgress {
        checksums: true,
        ..DataProgress::default()
    };
    let (mut stops, mut midway) = (0, false);
    let one = DataOptions {
        tables_at_once: 1,
        ..options()
    };
    let resumed = loop {
        let keeper = StopAfter {
            left: AtomicUsize::new(2),
            kept: Mutex::new(progress.clone()),
        };
        let found = pair.resume(&one, progress, &keeper).await;
        if found
            .tables
            .values()
            .all(|table| table.not_compared.is_none())
        {
            break found;
        }
        stops += 1;
        assert!(stops < 50, "it does not come to an end");
        let text = serde_json::to_string(&*keeper.kept.lock().unwrap()).unwrap();
        progress = serde_json::from_str(&text).unwrap();
        let tables = progress.tables.values();
        midway |= tables
            .into_iter()
            .any(|table| table.after.is_some() && !table.done);
    };
    assert!(stops > 2 && midway, "{stops} stops");
    assert_eq!(resumed, different);
    pair.engines.shutdown().await.unwrap();
}

#[test]
fn differences_are_found_by_key_on_mariadb_10_11() {
    block_on(equal_then_different(
        "mariadb",
        "10.11.9",
        "mariadb 10.11.",
        true,
    ));
}

#[test]
fn differences_are_found_by_key_on_mysql_5_7() {
    block_on(equal_then_different("mysql", "5.7.44", "mysql 5.7.", true));
}

#[test]
fn differences_are_found_by_key_on_mysql_9_7() {
    block_on(equal_then_different("mysql", "8.4.5", "mysql 9.7.", false));
}

/// Does something once, after the first chunk of `big`.
struct AfterFirstChunk<F> {
    act: F,
    done: AtomicBool,
}

impl<F: Fn() + Sync> Keeper for AfterFirstChunk<F> {
    fn keep(&self, table: &str, _progress: &TableProgress) -> bool {
        if table.contains("big") && !self.done.swap(true, Ordering::Relaxed) {
            (self.act)();
        }
        true
    }
}

/// Tables that are dropped, locked or too slow to be read are not compared; all others are.
async fn not_compared(engine: &str, version: &str, found: &str) {
    let pair = Pair::start(engine, version, found, true).await.unwrap();
    let one = DataOptions {
        tables_at_once: 1,
        ..options()
    };
    // A busy server is not asked at all.
    let busy = pair
        .compare(&DataOptions {
            max_threads_running: 0,
            guard_patience: Duration::from_millis(100),
            ..one.clone()
        })
        .await;
    for table in busy.tables.values() {
        let reason = table.not_compared.as_deref().unwrap();
        assert!(reason.contains("Threads_running"), "{reason}");
        assert_eq!(table.old.rows, 0);
    }

    // The deadline of a statement is kept, and what it held up is let go.
    let mut locker = mysql_async::Conn::new(
        mysql_async::OptsBuilder::default()
            .ip_or_hostname(pair.engines.address_of("new").unwrap().to_string())
            .user(Some(MASTER))
            .pass(Some(PASSWORD))
            .prefer_socket(false),
    )
    .await
    .unwrap();
    mysql_async::prelude::Queryable::query_drop(&mut locker, "LOCK TABLES shop.keyless WRITE")
        .await
        .unwrap();
    let began = Instant::now();
    let locked = pair
        .compare(&DataOptions {
            pass_deadline: Duration::from_secs(1),
            ..one.clone()
        })
        .await;
    assert!(began.elapsed() < Duration::from_secs(60));
    for (name, table) in &locked.tables {
        assert_eq!(
            table.not_compared.is_some(),
            name.table == "keyless",
            "{name}: {:?}",
            table.not_compared
        );
    }
    locker.disconnect().await.unwrap();

    // Dropped while it is read.
    let runtime = tokio::runtime::Handle::current();
    let keeper = AfterFirstChunk {
        act: || {
            tokio::task::block_in_place(|| {
                runtime.block_on(pair.on_new("DROP TABLE shop.big"));
            });
        },
        done: AtomicBool::new(false),
    };
    let dropped = pair.resume(&one, DataProgress::default(), &keeper).await;
    let reason = table(&dropped, "big").not_compared.as_deref().unwrap();
    assert!(reason.contains("was changed or dropped while"), "{reason}");
    assert_eq!(table(&dropped, "names").not_compared, None);
    pair.engines.shutdown().await.unwrap();
}

#[test]
fn what_cannot_be_read_is_not_compared_on_mariadb_10_11() {
    block_on(not_compared("mariadb", "10.11.9", "mariadb 10.11."));
}

#[test]
fn what_cannot_be_read_is_not_compared_on_mysql_5_7() {
    block_on(not_compared("mysql", "5.7.44", "mysql 5.7."));
}

/// A real replica that is told to lag: nothing is read of either server, and the wait has an end.
#[test]
fn a_replica_that_is_behind_is_waited_for_and_then_left_alone() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let install = default_install_dir().unwrap();
        let engines = Engines::open(EngineMode::Required, install, dir.path().join("work"))
            .await
            .unwrap()
            .unwrap();
        let mut spec = ServerSpec {
            engine: "mariadb".to_owned(),
            engine_version: "10.11.9".to_owned(),
            master_username: MASTER.to_owned(),
            master_password: PASSWORD.to_owned(),
            parameters: BTreeMap::new(),
            log_bin: true,
        };
        let source = engines.create(spec.clone()).await.unwrap();
        engines
            .run_sql(
                &source,
                "CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY)",
            )
            .await
            .unwrap();
        spec.parameters
            .insert("read_only".to_owned(), "1".to_owned());
        let replica = engines.replica(&source, spec).await.unwrap();
        let mut targets = Vec::new();
        for (server, name) in [(&source, "source"), (&replica, "replica")] {
            let address = engines.open_endpoint(server, name, 3306).await.unwrap();
            targets.push(at(address.to_string(), 3306));
        }
        // An hour's delay, and an event that is ten minutes old already: the lag is there at once.
        engines
            .run_sql(
                &replica,
                "STOP SLAVE; CHANGE MASTER TO MASTER_DELAY = 3600; START SLAVE",
            )
            .await
            .unwrap();
        engines
            .run_sql(
                &source,
                "SET SESSION timestamp = UNIX_TIMESTAMP() - 600; INSERT INTO shop.t VALUES (1)",
            )
            .await
            .unwrap();
        let mut admin = atrest_scanner::mysql::connect(&targets[1]).await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let channels = atrest_scanner::mysql::replication_status(&mut admin)
                .await
                .unwrap();
            if channels[0]
                .seconds_behind_source
                .is_some_and(|lag| lag >= 600)
            {
                break;
            }
            assert!(Instant::now() < deadline, "{channels:?}");
            tokio::task::yield_now().await;
        }
        admin.close().await;

        let options = DataOptions {
            guard_patience: Duration::from_millis(500),
            ..options()
        };
        let began = Instant::now();
        let progress = DataProgress::default();
        let comparing = compare_data(&targets[0], &targets[1], &options, progress, &KeepNothing);
        let found = Box::pin(comparing).await.unwrap();
        assert!(began.elapsed() >= options.guard_patience, "it waits first");
        assert!(began.elapsed() < Duration::from_secs(60));
        let left = table(&found, "t");
        let reason = left.not_compared.as_deref().unwrap();
        assert!(
            reason.contains("behind its source, more than 30 s"),
            "{reason}"
        );
        assert!(reason.contains("still so after a pause"), "{reason}");
        assert_eq!((left.old.rows, left.new.rows), (0, 0));
        engines.shutdown().await.unwrap();
    });
}

/// Forwards to a server until told to hang: connections stay open and nothing comes through any more.
async fn hanging_proxy(to: String, hang: std::sync::Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&to).await.unwrap();
            let (client_read, client_write) = client.into_split();
            let (server_read, server_write) = server.into_split();
            for (mut from, mut to) in [(client_read, server_write), (server_read, client_write)] {
                let hang = hang.clone();
                tokio::spawn(async move {
                    let mut buffer = vec![0; 64 << 10];
                    while let Ok(read @ 1..) = from.read(&mut buffer).await {
                        if hang.load(Ordering::Relaxed) {
                            std::future::pending::<()>().await;
                        }
                        if to.write_all(&buffer[..read]).await.is_err() {
                            break;
                        }
                    }
                });
            }
        }
    });
    port
}

#[test]
fn a_server_that_hangs_is_given_up_and_not_waited_for_table_by_table() {
    block_on(async {
        let pair = Pair::start("mariadb", "10.11.9", "mariadb 10.11.", true)
            .await
            .unwrap();
        let hang = std::sync::Arc::new(AtomicBool::new(false));
        let address = format!("{}:3306", pair.engines.address_of("new").unwrap());
        let port = hanging_proxy(address, hang.clone()).await;
        let keeper = AfterFirstChunk {
            act: || hang.store(true, Ordering::Relaxed),
            done: AtomicBool::new(false),
        };
        let began = Instant::now();
        let options = DataOptions {
            chunk_deadline: Duration::from_secs(1),
            pass_deadline: Duration::from_secs(1),
            ..options()
        };
        let (old, new) = (pair.target("old"), at("127.0.0.1".to_owned(), port));
        let progress = DataProgress::default();
        let found = Box::pin(compare_data(&old, &new, &options, progress, &keeper))
            .await
            .unwrap();
        let took = began.elapsed();
        let big = table(&found, "big");
        assert!(big.not_compared.is_some());
        assert!(big.old.rows < 30_000, "only what was compared counts");
        assert!(took < Duration::from_secs(60), "{took:?}");
        pair.engines.shutdown().await.unwrap();
    });
}

/// Two different servers, compared by the binary.
const DIFF: [&str; 9] = [
    "diff",
    "prod-one=prod-two",
    "--region",
    "eu-central-1",
    "--mysql-tls",
    "off",
    "--format",
    "json",
    "--data",
];

fn seed_story() -> crate::harness::Sandbox {
    crate::harness::Sandbox::start(&crate::harness::Start {
        scenario: "seed-story",
        engines: "required",
        speed: "1000",
    })
}

#[test]
fn the_file_of_the_progress_is_checked_kept_and_removed() {
    let sandbox = seed_story();
    let rows = |found: &serde_json::Value| -> Vec<serde_json::Value> {
        let all = found["pairs"][0]["differences"].as_array().unwrap();
        let of_data = all.iter().filter(|difference| difference["area"] == "data");
        of_data.cloned().collect()
    };
    let plain = sandbox.run(&DIFF).expect(11).json();
    assert!(!rows(&plain).is_empty());
    let resume = [&DIFF[..], &["--resume", "rows.json"]].concat();
    let resumed = sandbox.run(&resume).expect(11).json();
    assert_eq!(rows(&plain), rows(&resumed));
    let file = sandbox.path("rows.json");
    assert!(!file.exists(), "nothing is left to go on with");
    // A file of something else is neither used nor overwritten.
    std::fs::write(&file, "{\"format\": 1}").unwrap();
    let refused = sandbox.run(&resume).expect(2);
    assert!(refused.stderr.contains("rows.json"), "{}", refused.stderr);
    assert_eq!(std::fs::read(&file).unwrap(), b"{\"format\": 1}");
}

/// Ctrl-C in the middle: what is known is kept, and the same command goes on to the same end.
#[test]
fn an_interrupted_comparison_goes_on_where_it_was() {
    use mysql_async::prelude::Queryable as _;
    let sandbox = seed_story();
    let resume = [&DIFF[..], &["--resume", "rows.json"]].concat();
    let file = sandbox.path("rows.json");
    let instances = sandbox.instances("eu-central-1");
    let login = |name: &str| {
        let (host, port) = instances[name].endpoint().unwrap();
        mysql_async::OptsBuilder::default()
            .ip_or_hostname(host)
            .tcp_port(port)
            .user(Some(MASTER))
            .pass(Some(sandbox.password()))
            .prefer_socket(false)
    };
    // More tables than are read side by side: some are not begun when the interrupt is there.
    block_on(async {
        for name in ["prod-one", "prod-two"] {
            let mut conn = mysql_async::Conn::new(login(name)).await.unwrap();
            conn.query_drop("CREATE DATABASE many").await.unwrap();
            for n in 0..40 {
                let table = format!("CREATE TABLE many.t{n} (id INT PRIMARY KEY) SELECT {n} AS id");
                conn.query_drop(table).await.unwrap();
            }
            conn.disconnect().await.unwrap();
        }
    });
    let plain = sandbox.run(&DIFF).expect(11).json();
    let mut child = block_on(async {
        let mut conn = mysql_async::Conn::new(login("prod-two")).await.unwrap();
        let tables: Vec<String> = conn
            .query(
                "SELECT CONCAT('`', TABLE_SCHEMA, '`.`', TABLE_NAME, '` WRITE') FROM information_schema.TABLES \
                 WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA NOT IN ('mysql', 'sys', 'performance_schema')",
            )
            .await
            .unwrap();
        assert!(!tables.is_empty());
        // No row of the new side can be read before the interrupt is there.
        let lock = format!("LOCK TABLES {}", tables.join(", "));
        conn.query_drop(lock).await.unwrap();
        let mut child = sandbox
            .command(&resume)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // The signal is listened to before the file is made.
        while !file.exists() {
            assert!(child.try_wait().unwrap().is_none(), "ended before");
            crate::harness::pause();
        }
        let pid = child.id().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-INT", &pid])
            .status();
        assert!(sent.unwrap().success());
        conn.query_drop("UNLOCK TABLES").await.unwrap();
        conn.disconnect().await.unwrap();
        child
    });
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            panic!("an interrupted comparison did not end");
        }
        crate::harness::pause();
    };
    // The two sides differ in other things as well, and drift is more alarming than the stop.
    assert_eq!(status.code(), Some(11));
    assert!(file.exists(), "what is known is kept");
    let resumed = sandbox.run(&resume).expect(11).json();
    assert_eq!(
        plain["pairs"][0]["differences"],
        resumed["pairs"][0]["differences"]
    );
    assert!(!file.exists());
}
