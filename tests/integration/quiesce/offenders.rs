//! Clients, events and transactions that keep a source from being quiet, in whole runs against real servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mysql_async::prelude::Queryable as _;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::harness::{Finished, Sandbox, Start};

const FLEET: &str = include_str!("fleet.toml");

/// A run of one source in a sandbox of its own, stopped before its first look at clients.
struct Bed {
    sandbox: Sandbox,
    source: &'static str,
    runtime: Runtime,
    _fleet: tempfile::TempDir,
}

const PACE: [&str; 6] = [
    "--mysql-tls",
    "off",
    "--poll-interval",
    "20ms",
    "--consistency-window",
    "1s",
];

impl Bed {
    fn start(source: &'static str, more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fleet.toml");
        std::fs::write(&path, FLEET).unwrap();
        let sandbox = Sandbox::start(&Start {
            scenario: path.to_str().unwrap(),
            engines: "required",
            speed: "1000",
        });
        let plan = [
            &[
                "plan",
                "--instance",
                source,
                "--kms-key",
                "alias/rds-migration",
                "--mysql-tls",
                "off",
                "--run",
                "quiet",
            ][..],
            more,
        ]
        .concat();
        sandbox.run(&plan).expect(0);
        let fix = [
            &[
                "fix",
                "atrest-plan.json",
                "--execute",
                "--stop-before",
                "quiesce",
            ][..],
            &PACE,
        ]
        .concat();
        sandbox.run(&fix).expect(20);
        Self {
            sandbox,
            source,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap(),
            _fleet: dir,
        }
    }

    fn resume(&self, more: &[&str]) -> Finished {
        let args = [&["fix", "--resume", "quiet"][..], &PACE, more].concat();
        self.sandbox.run(&args)
    }

    /// Goes on until the snapshot would be next: the source is quiet.
    fn is_quiet(&self) -> Finished {
        self.resume(&["--stop-before", "snapshot"]).expect(20)
    }

    fn options(&self, instance: &str, user: &str, password: &str) -> mysql_async::Opts {
        let instances = self.sandbox.instances("eu-central-1");
        let (host, port) = instances[instance].endpoint().unwrap();
        mysql_async::OptsBuilder::default()
            .ip_or_hostname(host)
            .tcp_port(port)
            .user(Some(user))
            .pass(Some(password))
            .prefer_socket(false)
            .into()
    }

    fn connect(&self, instance: &str) -> mysql_async::Conn {
        let options = self.options(instance, "app", "app-password");
        self.runtime
            .block_on(mysql_async::Conn::new(options))
            .unwrap()
    }

    fn master(&self, statement: &str) {
        let options = self.options(
            &format!("old-{}", self.source),
            "admin",
            self.sandbox.password(),
        );
        self.runtime.block_on(async {
            let mut conn = mysql_async::Conn::new(options).await.unwrap();
            conn.query_drop(statement).await.unwrap();
            conn.disconnect().await.unwrap();
        });
    }

    /// A client that is always there: when its connection ends, it comes back.
    fn pool(&self, instance: &str) -> Pool {
        let options = self.options(instance, "app", "app-password");
        let stop = Arc::new(AtomicBool::new(false));
        let logins = Arc::new(AtomicUsize::new(0));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&logins));
        let task = self.runtime.spawn(async move {
            while !stopped.load(Ordering::Acquire) {
                // While the server restarts there is nobody to log in to.
                let Ok(mut conn) = mysql_async::Conn::new(options.clone()).await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                counted.fetch_add(1, Ordering::AcqRel);
                while !stopped.load(Ordering::Acquire)
                    && conn.query_drop("SELECT SLEEP(0.05)").await.is_ok()
                {}
                drop(conn.disconnect().await);
            }
        });
        let began = std::time::Instant::now();
        while logins.load(Ordering::Acquire) == 0 {
            assert!(began.elapsed().as_secs() < 60, "the pool does not get in");
            crate::harness::pause();
        }
        Pool { stop, logins, task }
    }

    fn count(&self, action: &str) -> usize {
        let mutations = self.sandbox.mutations();
        mutations.iter().filter(|r| r.action == action).count()
    }
}

struct Pool {
    stop: Arc<AtomicBool>,
    logins: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Pool {
    fn end(self, bed: &Bed) -> usize {
        self.stop.store(true, Ordering::Release);
        bed.runtime.block_on(self.task).unwrap();
        self.logins.load(Ordering::Acquire)
    }
}

fn status(bed: &Bed) -> Value {
    bed.sandbox
        .run(&["status", "quiet", "--format", "json"])
        .expect(0)
        .json()
}

/// One connection: a reboot ends it, and the window passes. Nobody is killed.
#[test]
fn a_client_that_stays_is_ended_by_one_reboot() {
    let bed = Bed::start("maria", &[]);
    let mut client = bed.connect("old-maria");
    bed.runtime.block_on(client.query_drop("SELECT 1")).unwrap();
    bed.is_quiet();
    assert_eq!(bed.count("RebootDBInstance"), 1);
    assert!(
        bed.runtime.block_on(client.query_drop("SELECT 1")).is_err(),
        "the reboot has ended it"
    );
    drop(client);
    assert!(bed.sandbox.stop().success());
}

/// A pool that comes back: the run stops and names it, and goes on once it is ended.
#[test]
fn a_client_that_comes_back_stops_the_run_and_is_named() {
    let bed = Bed::start("my", &[]);
    let pool = bed.pool("old-my");
    let stopped = bed.resume(&["--stop-before", "snapshot"]).expect(24);
    for words in ["app@", "quiesce", "SELECT"] {
        assert!(
            stopped.stdout.contains(words),
            "{words}: {}",
            stopped.stdout
        );
    }
    assert!(!stopped.stdout.contains("SLEEP"), "{}", stopped.stdout);
    assert_eq!(bed.count("CreateDBSnapshot"), 0);
    assert!(pool.end(&bed) > 1, "it came back after the reboot");
    bed.is_quiet();
    assert!(bed.sandbox.stop().success());
}

/// With `--kill-connections` nobody reboots, and the journal says who was there.
#[test]
fn clients_are_killed_where_the_plan_says_so() {
    let bed = Bed::start("maria", &["--kill-connections"]);
    let mut client = bed.connect("old-maria");
    bed.runtime.block_on(client.query_drop("SELECT 1")).unwrap();
    bed.is_quiet();
    assert_eq!(bed.count("RebootDBInstance"), 0);
    assert!(bed.runtime.block_on(client.query_drop("SELECT 1")).is_err());
    let journal = bed.sandbox.run(&["status", "quiet", "--journal"]).expect(0);
    let line = journal
        .stdout
        .lines()
        .find(|line| line.contains("rds_kill") && line.contains("intended"))
        .unwrap_or_else(|| panic!("{}", journal.stdout));
    assert!(line.contains("app@"), "{line}");
    drop(client);
    assert!(bed.sandbox.stop().success());
}

/// An event needs no connection: it is found by what it writes, and waiting does not end it.
fn an_event_stops_the_run(source: &'static str) {
    let bed = Bed::start(source, &[]);
    bed.master("CREATE EVENT shop.tick ON SCHEDULE EVERY 1 SECOND DO INSERT INTO shop.ticks (at) VALUES (NOW())");
    let stopped = bed.resume(&["--stop-before", "snapshot"]).expect(24);
    for words in ["shop.tick", "event_scheduler"] {
        assert!(
            stopped.stdout.contains(words),
            "{words}: {}",
            stopped.stdout
        );
    }
    assert_eq!(bed.count("CreateDBSnapshot"), 0);
    assert_eq!(bed.count("RebootDBInstance"), 0, "a reboot does not end it");
    bed.master("DROP EVENT shop.tick");
    let current = status(&bed);
    assert_eq!(
        current["migrations"][0]["current"][0]["step"], "quiesce",
        "{current}"
    );
    bed.is_quiet();
    assert!(bed.sandbox.stop().success());
}

#[test]
fn an_event_of_mariadb_stops_the_run() {
    an_event_stops_the_run("maria");
}

#[test]
fn an_event_of_mysql_stops_the_run() {
    an_event_stops_the_run("my");
}

/// A prepared XA transaction waits for somebody who is not there.
#[test]
fn a_prepared_transaction_stops_the_run() {
    let bed = Bed::start("my", &[]);
    let options = bed.options("old-my", "app", "app-password");
    bed.runtime.block_on(async {
        let mut conn = mysql_async::Conn::new(options).await.unwrap();
        for statement in [
            "XA START 'order'",
            "INSERT INTO shop.ticks (at) VALUES (NOW())",
            "XA END 'order'",
            "XA PREPARE 'order'",
        ] {
            conn.query_drop(statement).await.unwrap();
        }
        conn.disconnect().await.unwrap();
    });
    let stopped = bed.resume(&["--stop-before", "snapshot"]).expect(24);
    for words in ["X'6f72646572'", "XA ROLLBACK"] {
        assert!(
            stopped.stdout.contains(words),
            "{words}: {}",
            stopped.stdout
        );
    }
    bed.master("XA ROLLBACK 'order'");
    bed.is_quiet();
    assert!(bed.sandbox.stop().success());
}

/// A client of a replica that takes writes holds up the validation, and is named with the replica's step.
#[test]
fn a_client_that_writes_on_a_replica_stops_the_run() {
    let bed = Bed::start("maria", &[]);
    let pool = bed.pool("old-maria-replica");
    let stopped = bed.resume(&[]).expect(24);
    for words in ["quiesce:maria-replica", "app@"] {
        assert!(
            stopped.stdout.contains(words),
            "{words}: {}",
            stopped.stdout
        );
    }
    pool.end(&bed);
    bed.resume(&[]).expect(0);
    assert!(bed.sandbox.stop().success());
}

/// What is written after the window, by a client that is gone again, is found before the cutover.
#[test]
fn a_write_after_the_window_stops_the_cutover() {
    let bed = Bed::start("my", &[]);
    bed.resume(&["--stop-before", "cutover"]).expect(20);
    bed.master("UPDATE shop.ticks SET at = NOW()");
    let stopped = bed.resume(&[]).expect(24);
    for words in ["rename-new:my", "old-my", "written", "UPDATE"] {
        assert!(
            stopped.stdout.contains(words),
            "{words}: {}",
            stopped.stdout
        );
    }
    assert!(bed.sandbox.instances("eu-central-1").contains_key("new-my"));
    assert!(bed.sandbox.stop().success());
}
