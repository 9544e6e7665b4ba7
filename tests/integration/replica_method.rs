//! The replica method with a client that writes all the while: each write that was acknowledged is in the encrypted
//! instance, once, and what is away is away for the renames only.

mod writer;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use atrest_model::instance::Encryption;
use serde_json::Value;

use self::writer::{Login, Writer, Written};
use crate::harness::{Finished, Sandbox, Start, pause};

const RUN: &str = "follow";

/// A kind of server: RDS's engine, version and family, and the one that stands for it here.
struct Kind {
    engine: &'static str,
    version: &'static str,
    family: &'static str,
    found: &'static str,
    required: bool,
    /// Lines of its parameter group.
    parameters: &'static str,
}

const MARIADB: Kind = Kind {
    engine: "mariadb",
    version: "10.11.9",
    family: "mariadb10.11",
    found: "mariadb 10.11",
    required: true,
    parameters: "",
};
const MYSQL_5: Kind = Kind {
    engine: "mysql",
    version: "5.7.44",
    family: "mysql5.7",
    found: "mysql 5.7",
    required: true,
    parameters: "",
};
const MYSQL_9: Kind = Kind {
    engine: "mysql",
    version: "8.4.5",
    family: "mysql8.4",
    found: "mysql 9",
    required: false,
    parameters: "gtid-mode = \"ON\"\nenforce_gtid_consistency = \"ON\"",
};

/// A sandbox with the shop in it, and its scenario.
struct Shop {
    sandbox: Sandbox,
    login: Login,
    _scenario: tempfile::NamedTempFile,
}

impl Shop {
    /// `None`, said aloud, when the server is of those that are not always there.
    fn start(kind: &Kind) -> Option<Self> {
        Self::start_with(kind, "", "")
    }

    /// With more SQL on the source, and with faults.
    fn start_with(kind: &Kind, sql: &str, faults: &str) -> Option<Self> {
        let mut text = include_str!("replica_method/fleet.toml")
            .replace("ENGINE", kind.engine)
            .replace("VERSION", kind.version)
            .replace("FAMILY", kind.family)
            .replace("PARAMETERS", kind.parameters)
            .replace("MORE_SQL", sql);
        text.push_str(faults);
        let mut scenario = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        scenario.write_all(text.as_bytes()).unwrap();
        let sandbox = Sandbox::start(&Start {
            scenario: scenario.path().to_str().unwrap(),
            engines: "required",
            speed: "1000",
        });
        let found = sandbox.ready["engines"].as_array().unwrap().clone();
        if !found
            .iter()
            .any(|name| name.as_str().unwrap().starts_with(kind.found))
        {
            assert!(
                !kind.required,
                "sandbox/install-engines.sh mariadb1011 mysql57"
            );
            let line = format!("\nNOT RUN: {} is not installed\n", kind.found);
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            return None;
        }
        let login = login(&sandbox, "shop", "app", "App-1-of-the-shop");
        Some(Self {
            sandbox,
            login,
            _scenario: scenario,
        })
    }

    fn plan(&self) {
        self.plan_as("replica", &[]);
    }

    /// A plan that may be refused.
    fn planned(&self, method: &str) -> Finished {
        self.sandbox.run(&[
            "plan",
            "--instance",
            "shop",
            "--method",
            method,
            "--kms-key",
            "alias/rds-migration",
            "--mysql-tls",
            "off",
            "--run",
            RUN,
        ])
    }

    fn plan_as(&self, method: &str, more: &[&str]) {
        let mut args = vec![
            "plan",
            "--instance",
            "shop",
            "--method",
            method,
            "--kms-key",
            "alias/rds-migration",
            "--mysql-tls",
            "off",
            "--data-check",
            "checksums",
            "--quiesce-window",
            "1s",
            "--run",
            RUN,
        ];
        args.extend(more);
        self.sandbox.run(&args).expect(0);
    }

    fn execute() -> Vec<&'static str> {
        let mut args = vec!["fix", "atrest-plan.json", "--execute"];
        args.extend(PACE);
        args
    }

    /// A fault from now on.
    fn befall(&self, fault: &str) {
        self.admin_call("POST", fault);
    }

    /// Asks the sandbox about its faults, or for one; gives what it says.
    fn admin_call(&self, method: &str, body: &str) -> String {
        let address = self.sandbox.endpoint.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "{method} /_sandbox/faults HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    fn admin(&self, name: &str) -> Login {
        login(&self.sandbox, name, "admin", self.sandbox.password())
    }

    /// What must be so at the end of every run, whatever befell it.
    fn check(&self, kind: &Kind, written: &Written) {
        let instances = self.sandbox.instances("eu-central-1");
        let names: Vec<&str> = instances.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["old-shop", "old-shop-reports", "shop", "shop-reports"]
        );
        for name in ["shop", "shop-reports"] {
            assert_eq!(instances[name].encryption(), Encryption::SseKms, "{name}");
        }
        assert_eq!(instances["shop-reports"].replica_source(), Some("shop"));
        assert_eq!(instances["old-shop"].encryption(), Encryption::None);

        let (new, old) = (self.admin("shop"), self.admin("old-shop"));
        self.has_all(&new, written);
        self.is_whole(&old);
        // What the old side has at its end, the new one has in the same words.
        let last: Vec<u32> = old.rows("SELECT MAX(n) FROM shop.log");
        let sums = format!(
            "SELECT COUNT(*), BIT_XOR(CRC32(CONCAT_WS('#', n, item, note))) FROM shop.log WHERE n <= {}",
            last[0]
        );
        let of_old: Vec<(u64, u64)> = old.rows(&sums);
        let of_new: Vec<(u64, u64)> = new.rows(&sums);
        assert_eq!(of_old, of_new, "the log up to the cutover");
        let newest: Vec<u32> = new.rows("SELECT MAX(n) FROM shop.log");
        assert!(newest > last, "nothing was written after the cutover");

        self.is_tidy(&new);
        self.is_tidy(&old);
        let status = if kind.engine == "mariadb" || kind.found.starts_with("mysql 5") {
            "SHOW SLAVE STATUS"
        } else {
            "SHOW REPLICA STATUS"
        };
        if kind.engine == "mysql" {
            let channels: Vec<mysql_async::Row> = new.rows(status);
            assert!(channels.is_empty(), "it still replicates");
        }
        self.no_secret_is_written();
    }

    /// Starts the fixer and kills it when it has begun an act, or finished a step, that none has before. `None` when the run ended well, else 0
    /// for a kill and the exit code of one that ended otherwise.
    ///
    /// The kill comes up to some milliseconds later: before the act, within it, after it.
    fn killed_at_a_step(&self, args: &[&str], pauses: usize) -> Option<i32> {
        let mut child = self
            .sandbox
            .command(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let events = self
            .sandbox
            .path(&format!(".atrest/runs/{RUN}/events.jsonl"));
        // Each once: a fixer that is killed whenever it begins the same act would never come to its end.
        let count = || {
            let text = std::fs::read_to_string(&events).unwrap_or_default();
            let said: BTreeSet<(String, String)> = text
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                .filter(|line| line["event"] == "step-done" || line["event"] == "acted")
                .map(|line| (line["event"].to_string(), line["step"].to_string()))
                .collect();
            said.len()
        };
        let before = count();
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return (!status.success()).then(|| status.code().unwrap_or(-1));
            }
            if count() > before {
                (0..pauses).for_each(|_| pause());
                child.kill().unwrap();
                child.wait().unwrap();
                return Some(0);
            }
            assert!(
                began.elapsed() < Duration::from_secs(120),
                "the fixer makes no step"
            );
            pause();
        }
    }

    /// The seconds between the last rename away and the first rename back: what this method adds to the renames.
    fn between_renames(&self) -> f64 {
        let path = self
            .sandbox
            .path(&format!(".atrest/runs/{RUN}/events.jsonl"));
        let text = std::fs::read_to_string(path).unwrap();
        let at = |event: &str, step: &str| {
            text.lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                .filter(|line| line["event"] == event)
                .filter(|line| {
                    line["step"]
                        .as_str()
                        .is_some_and(|name| name.starts_with(step))
                })
                .map(|line| {
                    line["at"]
                        .as_str()
                        .unwrap()
                        .parse::<jiff::Timestamp>()
                        .unwrap()
                })
                .collect::<Vec<_>>()
        };
        let away = at("step-done", "rename-old:").into_iter().max().unwrap();
        let back = at("acted", "rename-new:").into_iter().min().unwrap();
        back.duration_since(away).as_secs_f64()
    }

    /// The measured times. Machines differ: they are for reading, and only their order of magnitude is asserted.
    #[expect(
        clippy::print_stdout,
        reason = "for whoever asks for the output of the test"
    )]
    fn say(&self, kind: &Kind, written: &Written) {
        let between = self.between_renames();
        println!(
            "{} {}: {} transactions, {:.0} statements/s, clients away for {:.2} s, of which {between:.2} s between the renames",
            kind.engine,
            kind.version,
            written.acknowledged.len(),
            written.rate(),
            written.outage.as_secs_f64(),
        );
        assert!(
            written.outage < Duration::from_secs(120),
            "away for {:?}",
            written.outage
        );
    }

    /// Every acknowledged transaction is there, and nothing that nobody wrote.
    fn has_all(&self, server: &Login, written: &Written) {
        let there: BTreeSet<u32> = server.rows("SELECT n FROM shop.log").into_iter().collect();
        let lost: Vec<&u32> = written
            .acknowledged
            .iter()
            .filter(|number| !there.contains(number))
            .collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        let known: BTreeSet<u32> = written
            .acknowledged
            .iter()
            .chain(&written.unknown)
            .copied()
            .collect();
        assert!(there.is_subset(&known), "rows that nobody wrote");
        self.is_whole(server);
    }

    /// Both halves of each transaction, as often as there are rows: none twice, none half.
    fn is_whole(&self, server: &Login) {
        let uneven: Vec<(i64, i64, i64)> = server.rows(
            "SELECT i.id, i.hits, (SELECT COUNT(*) FROM shop.log l WHERE l.item = i.id) AS rows_of \
             FROM shop.item i HAVING hits <> rows_of",
        );
        assert!(uneven.is_empty(), "{uneven:?} on {}", self.sandbox.endpoint);
    }

    /// What a run has changed on its way is as it was.
    fn is_tidy(&self, server: &Login) {
        let accounts: Vec<String> =
            server.rows("SELECT user FROM mysql.user WHERE user LIKE 'atrest%'");
        assert!(
            accounts.is_empty(),
            "{accounts:?} on {}",
            self.sandbox.endpoint
        );
        let retention: Vec<Option<String>> = server.rows(
            "SELECT value FROM mysql.rds_configuration WHERE name = 'binlog retention hours'",
        );
        assert_eq!(retention, [None], "binlog retention is as it was");
    }

    /// The generated password is nowhere: all of them begin alike.
    fn no_secret_is_written(&self) {
        let mut folders = vec![self.sandbox.dir.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let bytes = std::fs::read(&path).unwrap();
                for secret in ["aR-7", self.sandbox.password()] {
                    let found = bytes
                        .windows(secret.len())
                        .any(|window| window == secret.as_bytes());
                    assert!(!found, "{secret} is in {}", path.display());
                }
            }
        }
    }
}

const PACE: [&str; 6] = [
    "--mysql-tls",
    "off",
    "--poll-interval",
    "20ms",
    "--consistency-window",
    "1s",
];

fn login(sandbox: &Sandbox, name: &str, user: &str, password: &str) -> Login {
    let instances = sandbox.instances("eu-central-1");
    let (host, port) = instances[name].endpoint().unwrap();
    Login {
        host: host.to_owned(),
        port,
        user: user.to_owned(),
        password: password.to_owned(),
    }
}

/// The whole migration of one kind of server, with faults, which leave the same end.
fn migrate(kind: &Kind, faults: &str) {
    let Some(shop) = Shop::start_with(kind, "", faults) else {
        return;
    };
    let writer = Writer::start(shop.login.clone());
    writer.wait_for_more(20);
    shop.plan();
    let fixed = shop.sandbox.run(&Shop::execute()).expect(0);
    assert!(fixed.stdout.contains("migrated"), "{}", fixed.stdout);
    writer.wait_for_more(20);
    let written = writer.stop();
    shop.check(kind, &written);
    shop.say(kind, &written);
    let requests = shop.sandbox.requests();
    let lost = requests.iter().filter(|r| r.fault.contains("lost-answer"));
    assert_eq!(lost.count() > 5, !faults.is_empty());
    assert!(shop.sandbox.stop().success());
}

#[test]
fn every_write_is_in_the_encrypted_mariadb() {
    migrate(&MARIADB, "");
}

#[test]
fn every_write_is_in_the_encrypted_mysql_5() {
    migrate(&MYSQL_5, "");
}

#[test]
fn every_write_is_in_the_encrypted_mysql_9_with_gtids() {
    migrate(&MYSQL_9, "");
}

/// Every answer to a mutation is lost.
const BAD_DAY: &str = r#"
[[faults]]
kind = "lost-answer"
service = "rds"
action = "Create*"
times = 0

[[faults]]
kind = "lost-answer"
service = "rds"
action = "CopyDBSnapshot"
times = 0

[[faults]]
kind = "lost-answer"
service = "rds"
action = "RestoreDBInstanceFromDBSnapshot"
times = 0

[[faults]]
kind = "lost-answer"
service = "rds"
action = "ModifyDBInstance"
times = 0

[[faults]]
kind = "lost-answer"
service = "rds"
action = "DeleteDBInstance"
times = 0
"#;

#[test]
fn lost_answers_lose_no_write_on_mariadb() {
    migrate(&MARIADB, BAD_DAY);
}

/// Every statement that changes a server, and its answer lost once: each is looked for before it is sent again.
#[test]
fn lost_answers_of_statements_lose_no_write_on_mariadb() {
    let statements = [
        "CREATE USER IF NOT EXISTS",
        "GRANT REPLICATION SLAVE",
        "rds_set_configuration",
        "rds_stop_replication",
        "ALTER USER",
        "rds_set_external_master",
        "rds_start_replication",
        "rds_reset_external_master",
        "DROP USER IF EXISTS",
    ];
    let faults: String = statements
        .iter()
        .map(|words| format!("\n[[faults]]\nkind = \"sql-lost-answer\"\nstatement = \"{words}\"\n"))
        .collect();
    let shop = Shop::start_with(&MARIADB, "", &faults).unwrap();
    let writer = Writer::start(shop.login.clone());
    writer.wait_for_more(20);
    shop.plan();
    // An answer that is lost is looked for, or the run says so and goes on when it is resumed.
    shop.sandbox.run(&Shop::execute()).expect(0);
    writer.wait_for_more(20);
    let written = writer.stop();
    shop.check(&MARIADB, &written);
    let told: Value = serde_json::from_str(&shop.admin_call("GET", "")).unwrap();
    assert_eq!(told["unsent_statements"], serde_json::json!([]));
    assert!(shop.sandbox.stop().success());
}

/// What befalls a migration between two of its sittings, and its end is as ever.
fn meanwhile(kind: &Kind, befalls: impl Fn(&Shop)) {
    let Some(shop) = Shop::start(kind) else {
        return;
    };
    let writer = Writer::start(shop.login.clone());
    writer.wait_for_more(20);
    shop.plan();
    let mut args = Shop::execute();
    args.extend(["--stop-before", "validate"]);
    shop.sandbox.run(&args).expect(20);
    writer.wait_for_more(100);
    befalls(&shop);
    let mut args = vec!["fix", "--resume", RUN];
    args.extend(PACE);
    shop.sandbox.run(&args).expect(0);
    writer.wait_for_more(20);
    let written = writer.stop();
    shop.check(kind, &written);
    shop.say(kind, &written);
    assert!(shop.sandbox.stop().success());
}

/// One of both servers is killed in the midst of what it does, and comes back.
fn crash(kind: &Kind, who: &str) {
    meanwhile(kind, |shop| {
        shop.befall(&format!(r#"{{"kind": "engine-crash", "target": "{who}"}}"#));
    });
}

/// A source that fails over goes on writing its log elsewhere, under the same name.
#[test]
fn a_source_that_fails_over_is_followed_on() {
    meanwhile(&MARIADB, |shop| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let rds = shop.sandbox.aws("eu-central-1").rds("eu-central-1");
            let reboot = rds.client().reboot_db_instance();
            reboot
                .db_instance_identifier("shop")
                .force_failover(true)
                .send()
                .await
                .unwrap();
        });
    });
}

#[test]
fn a_crash_while_it_replicates_loses_no_write_on_mariadb() {
    crash(&MARIADB, "new-shop");
}

#[test]
fn a_crash_while_it_replicates_loses_no_write_on_mysql_5() {
    crash(&MYSQL_5, "new-shop");
}

#[test]
fn a_source_that_crashes_is_followed_on() {
    crash(&MARIADB, "shop");
}

/// kill -9 as soon as the fixer has begun an act or finished a step, each time it does so for the first time.
#[test]
fn a_fixer_that_is_killed_at_every_step_loses_no_write() {
    let shop = Shop::start(&MARIADB).unwrap();
    let writer = Writer::start(shop.login.clone());
    writer.wait_for_more(20);
    shop.plan();
    let mut args = Shop::execute();
    let mut kills = 0;
    loop {
        assert!(kills < 400, "the run makes no progress");
        match shop.killed_at_a_step(&args, kills % 6) {
            None => break,
            Some(0) => kills += 1,
            Some(code) => panic!("ended with {code}"),
        }
        args = vec!["fix", "--resume", RUN];
        args.extend(PACE);
    }
    writer.wait_for_more(20);
    let written = writer.stop();
    shop.check(&MARIADB, &written);
    println!("{kills} kills");
    assert!(kills > 20, "{kills}");
    shop.say(&MARIADB, &written);
    assert!(shop.sandbox.stop().success());
}

#[test]
fn replication_that_breaks_stops_the_run_and_leaves_the_source_alone_until_it_is_mended() {
    let shop = Shop::start(&MARIADB).unwrap();
    let writer = Writer::start(shop.login.clone());
    writer.wait_for_more(20);
    shop.plan();
    let mut args = Shop::execute();
    args.extend(["--stop-before", "cutover"]);
    shop.sandbox.run(&args).expect(20);
    // Nothing but time has passed for clients.
    let names = shop.sandbox.instances("eu-central-1");
    let names: Vec<&str> = names.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["new-shop", "new-shop-reports", "shop", "shop-reports"]
    );
    writer.wait_for_more(20);

    // The same account on both sides: what comes from the source cannot be made.
    shop.admin("new-shop").run("CREATE USER twin");
    shop.admin("shop").run("CREATE USER twin");
    let mut args = vec!["fix", "--resume", RUN];
    args.extend(PACE);
    let stopped = shop.sandbox.run(&args).expect(24);
    let said = format!("{}{}", stopped.stdout, stopped.stderr);
    assert!(said.contains("1396"), "{said}");
    let names = shop.sandbox.instances("eu-central-1");
    assert!(names.contains_key("new-shop"), "nothing is renamed");
    writer.wait_for_more(20);

    let new = shop.admin("new-shop");
    new.run("DROP USER twin");
    new.run("CALL mysql.rds_start_replication");
    shop.sandbox.run(&args).expect(0);
    writer.wait_for_more(20);
    let written = writer.stop();
    shop.check(&MARIADB, &written);
    shop.say(&MARIADB, &written);
    assert!(shop.sandbox.stop().success());
}

#[test]
fn what_cannot_be_replicated_is_refused_with_its_reasons_before_anything_is_done() {
    let sql = "CREATE TABLE shop.heap_of (n INT) ENGINE=MyISAM;\nCREATE EVENT shop.nightly ON SCHEDULE EVERY 1 DAY DO UPDATE shop.item SET hits = hits;";
    let shop = Shop::start_with(&MARIADB, sql, "").unwrap();
    let refused = shop.planned("replica").expect(2);
    let said = format!("{}{}", refused.stdout, refused.stderr);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "shop.heap_of",
        "without a primary key",
        "without transactions",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(shop.sandbox.mutations().is_empty());
    assert!(shop.sandbox.stop().success());
}

/// What only the server's own settings say: by statement, and a log that leaves a database out.
#[test]
fn a_log_that_does_not_say_everything_is_refused_before_anything_is_done() {
    let kind = Kind {
        parameters: "binlog_format = \"STATEMENT\"",
        ..MARIADB
    };
    let shop = Shop::start(&kind).unwrap();
    let refused = shop.planned("replica").expect(2);
    let said = format!("{}{}", refused.stdout, refused.stderr);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("binlog_format is STATEMENT"), "{said}");
    // What is possible is planned, and says what was not.
    let auto = shop.planned("auto").expect(0).stdout;
    let auto = auto.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "not replica: binlog_format is STATEMENT",
        "set ROW or MIXED in its parameter group",
        ", cold,",
    ] {
        assert!(auto.contains(words), "{words}: {auto}");
    }
    assert!(shop.sandbox.mutations().is_empty());
    assert!(shop.sandbox.stop().success());
}

/// RDS purges what the successor has not read yet: nothing brings it back, and the source is as it was.
#[test]
fn a_log_that_is_purged_under_the_run_ends_it_and_leaves_the_source_as_it_was() {
    let shop = Shop::start(&MARIADB).unwrap();
    let writer = Writer::start(shop.login.clone());
    writer.wait_for_more(20);
    shop.plan();
    let mut args = Shop::execute();
    args.extend(["--stop-before", "cutover"]);
    shop.sandbox.run(&args).expect(20);
    let (new, old) = (shop.admin("new-shop"), shop.admin("shop"));
    new.run("CALL mysql.rds_stop_replication");
    writer.wait_for_more(20);
    let first = || -> String {
        let logs: Vec<mysql_async::Row> = old.rows("SHOW BINARY LOGS");
        logs[0].get(0).unwrap()
    };
    let (before, began) = (first(), Instant::now());
    // Logs that the replica of the source is reading stay; each purge begins a new one.
    let mut purged = 0;
    while purged < 2 || first() == before {
        shop.befall(r#"{"kind": "binlog-purge", "target": "shop"}"#);
        purged += 1;
        writer.wait_for_more(5);
        assert!(began.elapsed() < Duration::from_secs(60), "never purged");
        pause();
    }
    new.run("CALL mysql.rds_start_replication");
    let mut args = vec!["fix", "--resume", RUN];
    args.extend(PACE);
    let stopped = shop.sandbox.run(&args).expect(24);
    let said = format!("{}{}", stopped.stdout, stopped.stderr);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in ["1236", "give this run up and make a new one"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let instances = shop.sandbox.instances("eu-central-1");
    assert_eq!(instances["shop"].encryption(), Encryption::None);

    let mut args = vec!["rollback", RUN, "--execute"];
    args.extend(PACE);
    // Rolled back.
    shop.sandbox.run(&args).expect(23);
    writer.wait_for_more(20);
    let written = writer.stop();
    let instances = shop.sandbox.instances("eu-central-1");
    let names: Vec<&str> = instances.keys().map(String::as_str).collect();
    assert_eq!(names, ["shop", "shop-reports"]);
    shop.has_all(&old, &written);
    shop.is_tidy(&old);
    assert!(written.unknown.is_empty(), "clients noticed: {written:?}");
    assert!(shop.sandbox.stop().success());
}

/// Times of a loaded machine prove nothing; what RDS is asked for while clients are away does.
#[test]
fn no_data_is_copied_while_clients_are_away_as_it_is_with_the_cold_method() {
    let away = |method: &str| {
        let shop = Shop::start(&MARIADB).unwrap();
        let writer = Writer::start(shop.login.clone());
        writer.wait_for_more(20);
        shop.plan_as(method, &[]);
        shop.sandbox.run(&Shop::execute()).expect(0);
        writer.wait_for_more(20);
        let written = writer.stop();
        shop.check(&MARIADB, &written);
        let mutations = shop.sandbox.mutations();
        let renamed = |to: &str| {
            mutations
                .iter()
                .position(|r| r.param("NewDBInstanceIdentifier") == to)
                .unwrap()
        };
        let copies = mutations[renamed("old-shop")..renamed("shop")]
            .iter()
            .filter(|r| r.action != "ModifyDBInstance")
            .count();
        assert!(shop.sandbox.stop().success());
        (copies, written.outage.as_secs_f64())
    };
    let ((cold, cold_seconds), (replica, replica_seconds)) = (away("cold"), away("replica"));
    println!("clients away: cold {cold_seconds:.2} s, replica {replica_seconds:.2} s");
    assert_eq!(replica, 0);
    assert!(cold > 2, "{cold}");
}

#[test]
fn going_back_after_writes_loses_none_of_them_while_the_old_instance_follows() {
    let shop = Shop::start(&MARIADB).unwrap();
    let writer = Writer::start(shop.login.clone());
    writer.wait_for_more(20);
    shop.plan_as("replica", &["--way-back", "2"]);
    let mut args = Shop::execute();
    args.extend(["--stop-before", "keep-way-back"]);
    shop.sandbox.run(&args).expect(20);
    let instances = shop.sandbox.instances("eu-central-1");
    assert_eq!(instances["shop"].encryption(), Encryption::SseKms);
    writer.wait_for_more(100);

    let mut args = vec!["rollback", RUN, "--execute"];
    args.extend(PACE);
    // Rolled back.
    shop.sandbox.run(&args).expect(23);
    writer.wait_for_more(20);
    let written = writer.stop();

    let instances = shop.sandbox.instances("eu-central-1");
    let names: Vec<&str> = instances.keys().map(String::as_str).collect();
    assert_eq!(names, ["shop", "shop-reports"]);
    assert_eq!(instances["shop"].encryption(), Encryption::None);
    assert_eq!(instances["shop-reports"].replica_source(), Some("shop"));
    let old = shop.admin("shop");
    shop.has_all(&old, &written);
    shop.is_tidy(&old);
    shop.no_secret_is_written();
    assert!(shop.sandbox.stop().success());
}

#[test]
fn giving_up_before_the_cutover_leaves_the_source_as_it_was() {
    let shop = Shop::start(&MARIADB).unwrap();
    let writer = Writer::start(shop.login.clone());
    writer.wait_for_more(20);
    shop.plan();
    let mut args = Shop::execute();
    args.extend(["--stop-before", "cutover"]);
    shop.sandbox.run(&args).expect(20);
    let mut args = vec!["rollback", RUN, "--execute"];
    args.extend(PACE);
    // Rolled back.
    shop.sandbox.run(&args).expect(23);
    writer.wait_for_more(20);
    let written = writer.stop();
    let instances = shop.sandbox.instances("eu-central-1");
    let names: Vec<&str> = instances.keys().map(String::as_str).collect();
    assert_eq!(names, ["shop", "shop-reports"]);
    let old = shop.admin("shop");
    shop.has_all(&old, &written);
    shop.is_tidy(&old);
    assert!(written.unknown.is_empty(), "clients noticed: {written:?}");
    assert!(shop.sandbox.stop().success());
}
