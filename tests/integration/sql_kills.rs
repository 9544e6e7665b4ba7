//! Killed while a server has a statement of ours, with a real server: each statement of the accounts is held back by a lock
//! of the server, the fixer is killed or its connection is cut meanwhile, and the statement takes effect without an answer,
//! or none. The end is that of a run that was left alone.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use atrest_model::instance::Encryption;
use mysql_async::prelude::Queryable as _;
use tokio::runtime::Runtime;

use crate::harness::{Sandbox, Start, pause};

const REGION: &str = "eu-central-1";
const NEW: &str = "new-shop-reports";
const PATIENCE: Duration = Duration::from_secs(120);

const FLEET: &str = r#"
description = "A source, and a replica with accounts of its own."
default_region = "eu-central-1"
default_password = "correct-horse-battery"

[[accounts]]
id = "111122223333"
access_key_id = "AKIASANDBOX000000001"

[[keys]]
alias = "alias/rds-migration"

[[parameter_groups]]
name = "reports"
family = "mariadb10.11"
[parameter_groups.parameters]
read_only = "0"

[[instances]]
id = "shop"
engine = "mariadb"
engine_version = "10.11.9"
class = "db.t4g.medium"
allocated_storage = 20
backup_retention = 3
sql = '''
CREATE DATABASE shop;
CREATE TABLE shop.still (n INT PRIMARY KEY, v VARCHAR(20));
INSERT INTO shop.still VALUES (1, 'a'), (2, 'ü'), (3, NULL);
'''

[[instances]]
id = "shop-reports"
replica_of = "shop"
parameter_group = "reports"
replica_sql = '''
CREATE USER 'reporting'@'%' IDENTIFIED BY 'reporting-password';
GRANT SELECT ON shop.still TO 'reporting'@'%';
CREATE USER 'auditor'@'%' IDENTIFIED BY 'auditor-password';
GRANT SELECT, SHOW VIEW ON shop.* TO 'auditor'@'%';
'''
"#;

/// A statement of the fixer that waits for the lock.
struct Waiting {
    id: u64,
    text: String,
}

/// The master user of the new replica, who holds everything back that changes an account.
struct Lock {
    runtime: Runtime,
    holder: mysql_async::Conn,
    looker: mysql_async::Conn,
}

impl Lock {
    fn take(sandbox: &Sandbox) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let instance = sandbox.instances(REGION).remove(NEW).unwrap();
        let (host, port) = instance.endpoint().unwrap();
        let options = || {
            mysql_async::OptsBuilder::default()
                .ip_or_hostname(host.to_owned())
                .tcp_port(port)
                .user(Some(instance.master_username()))
                .pass(Some(sandbox.password()))
                .prefer_socket(false)
        };
        let (holder, looker) = runtime.block_on(async {
            let mut holder = mysql_async::Conn::new(options()).await.unwrap();
            let looker = mysql_async::Conn::new(options()).await.unwrap();
            // Accounts can be read and not changed; replication goes on.
            holder
                .query_drop("LOCK TABLES mysql.global_priv READ")
                .await
                .unwrap();
            (holder, looker)
        });
        Self {
            runtime,
            holder,
            looker,
        }
    }

    /// A statement about accounts that waits; `None` when the fixer has ended instead.
    fn wait(&mut self, fixer: &mut Child) -> Option<Waiting> {
        let began = Instant::now();
        loop {
            let found: Option<(u64, String)> = self
                .runtime
                .block_on(self.looker.query_first(
                    "SELECT id, info FROM information_schema.processlist \
                     WHERE state LIKE 'Waiting for%lock%' AND (info LIKE 'CREATE USER%' OR info LIKE 'GRANT%' \
                     OR info LIKE 'ALTER USER%' OR info LIKE 'SET %')",
                ))
                .unwrap();
            if let Some((id, text)) = found {
                return Some(Waiting { id, text });
            }
            if fixer.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(began.elapsed() < PATIENCE, "no statement came");
            pause();
        }
    }

    /// Cuts the connection of a statement: it is not carried out, and its client gets no answer.
    fn cut(&mut self, waiting: &Waiting) {
        // The same user: no procedure is needed.
        let kill = format!("KILL {}", waiting.id);
        self.runtime.block_on(self.looker.query_drop(kill)).unwrap();
    }

    /// Gives everything free, and waits until the statement of a client that is gone has ended.
    fn release(mut self, waiting: Option<&Waiting>) {
        let began = Instant::now();
        self.runtime
            .block_on(self.holder.query_drop("UNLOCK TABLES"))
            .unwrap();
        while let Some(waiting) = waiting {
            let query = format!(
                "SELECT COUNT(*) FROM information_schema.processlist WHERE id = {}",
                waiting.id
            );
            let left: Option<u64> = self
                .runtime
                .block_on(self.looker.query_first(query))
                .unwrap();
            if left == Some(0) {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{} goes on", waiting.text);
            pause();
        }
        self.runtime.block_on(async {
            self.holder.disconnect().await.unwrap();
            self.looker.disconnect().await.unwrap();
        });
    }
}

#[test]
fn a_run_that_is_killed_in_each_statement_of_the_accounts_ends_like_one_that_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = dir.path().join("fleet.toml");
    std::fs::write(&scenario, FLEET).unwrap();
    let sandbox = Sandbox::start(&Start {
        scenario: scenario.to_str().unwrap(),
        engines: "required",
        speed: "1000",
    });
    let ca = sandbox.ca_file().to_owned();
    let pace = [
        "--ca-file",
        &ca,
        "--poll-interval",
        "20ms",
        "--consistency-window",
        "500ms",
    ];
    sandbox
        .run(&[
            "plan",
            "--method",
            "cold",
            "--kms-key",
            "alias/rds-migration",
            "--ca-file",
            &ca,
            "--run",
            "sql",
        ])
        .expect(0);
    let first = [
        "fix",
        "atrest-plan.json",
        "--execute",
        "--stop-before",
        "accounts",
    ];
    sandbox.run(&[&first[..], &pace].concat()).expect(20);
    let resume = [
        &["fix", "--resume", "sql", "--stop-before", "validate"][..],
        &pace,
    ]
    .concat();
    let mut killed = Vec::new();
    // Each sitting is killed in its first statement, which takes effect: the next one has one less to do.
    for sitting in 0.. {
        assert!(sitting < 20, "no end of it: {killed:?}");
        let mut lock = Lock::take(&sandbox);
        let mut fixer = sandbox
            .command(&resume)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let waiting = lock.wait(&mut fixer);
        if let Some(waiting) = &waiting
            && sitting == 0
        {
            // The first is cut before it is carried out: the fixer, still alive, comes again.
            lock.cut(waiting);
            let again = lock.wait(&mut fixer).expect("it tries again");
            assert_ne!(again.id, waiting.id);
            fixer.kill().unwrap();
            fixer.wait().unwrap();
            killed.push(again.text.clone());
            lock.release(Some(&again));
            continue;
        }
        if waiting.is_some() {
            fixer.kill().unwrap();
        }
        fixer.wait().unwrap();
        lock.release(waiting.as_ref());
        match waiting {
            Some(waiting) => killed.push(waiting.text),
            None => break,
        }
    }
    assert!(killed.len() >= 3, "{killed:?}");
    sandbox
        .run(&[&["fix", "--resume", "sql"][..], &pace].concat())
        .expect(0);
    let after = sandbox.instances(REGION);
    assert_eq!(after["shop-reports"].encryption(), Encryption::SseKms);
    // By the clients' own logins, not by the tool's comparison.
    for (user, password, statement) in [
        (
            "reporting",
            "reporting-password",
            "SELECT n FROM shop.still",
        ),
        ("auditor", "auditor-password", "SELECT n FROM shop.still"),
    ] {
        let grants = |name: &str| -> Vec<String> {
            let (host, port) = after[name].endpoint().unwrap();
            let options = mysql_async::OptsBuilder::default()
                .ip_or_hostname(host.to_owned())
                .tcp_port(port)
                .user(Some(user))
                .pass(Some(password))
                .prefer_socket(false);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut conn = mysql_async::Conn::new(options).await.unwrap();
                conn.query_drop(statement).await.unwrap();
                let grants = conn.query("SHOW GRANTS").await.unwrap();
                conn.disconnect().await.unwrap();
                grants
            })
        };
        assert_eq!(grants("shop-reports"), grants("old-shop-reports"), "{user}");
    }
    let trail = sandbox.run(&["status", "sql", "--journal"]).expect(0);
    assert!(
        !trail.stdout.contains("reporting-password"),
        "a password is in the journal"
    );
    assert!(sandbox.stop().success());
}
