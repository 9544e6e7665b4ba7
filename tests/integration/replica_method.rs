//! The replica method with a client that writes all the while: each write that was acknowledged is in the encrypted
//! instance, once, and what is away is away for the renames only.

mod writer;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::Duration;

use atrest_model::instance::Encryption;

use self::writer::{Login, Writer, Written};
use crate::harness::{Sandbox, Start};

const RUN: &str = "follow";

/// A kind of server: RDS's engine, version and family, and the one that stands for it here.
struct Kind {
    engine: &'static str,
    version: &'static str,
    family: &'static str,
    found: &'static str,
    required: bool,
}

const MARIADB: Kind = Kind {
    engine: "mariadb",
    version: "10.11.9",
    family: "mariadb10.11",
    found: "mariadb 10.11",
    required: true,
};
const MYSQL_5: Kind = Kind {
    engine: "mysql",
    version: "5.7.44",
    family: "mysql5.7",
    found: "mysql 5.7",
    required: true,
};
const MYSQL_9: Kind = Kind {
    engine: "mysql",
    version: "8.4.5",
    family: "mysql8.4",
    found: "mysql 9",
    required: false,
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
        let text = include_str!("replica_method/fleet.toml")
            .replace("ENGINE", kind.engine)
            .replace("VERSION", kind.version)
            .replace("FAMILY", kind.family);
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
        self.sandbox
            .run(&[
                "plan",
                "--instance",
                "shop",
                "--method",
                "replica",
                "--kms-key",
                "alias/rds-migration",
                "--mysql-tls",
                "off",
                "--data-check",
                "checksums",
                "--run",
                RUN,
            ])
            .expect(0);
    }

    fn execute() -> Vec<&'static str> {
        let mut args = vec!["fix", "atrest-plan.json", "--execute"];
        args.extend(PACE);
        args
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
        let there: BTreeSet<u32> = new
            .rows("SELECT n FROM shop.log ORDER BY n")
            .into_iter()
            .collect();
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
        // Both halves of each transaction, as often as there are rows: none twice, none half.
        for server in [&new, &old] {
            let uneven: Vec<(i64, i64, i64)> = server.rows(
                "SELECT i.id, i.hits, (SELECT COUNT(*) FROM shop.log l WHERE l.item = i.id) AS rows_of \
                 FROM shop.item i HAVING hits <> rows_of",
            );
            assert!(uneven.is_empty(), "{uneven:?}");
        }
        // What the old side has at its end, the new one has in the same words.
        let last: Vec<u32> = old.rows("SELECT MAX(n) FROM shop.log");
        let sums = format!(
            "SELECT COUNT(*), BIT_XOR(CRC32(CONCAT_WS('#', n, item, note))) FROM shop.log WHERE n <= {}",
            last[0]
        );
        let (of_old, of_new): (Vec<(u64, u64)>, Vec<(u64, u64)>) =
            (old.rows(&sums), new.rows(&sums));
        assert_eq!(of_old, of_new, "the log up to the cutover");
        assert!(
            there.iter().any(|number| *number > last[0]),
            "nothing was written after the cutover"
        );

        for server in [&new, &old] {
            let accounts: Vec<String> =
                server.rows("SELECT user FROM mysql.user WHERE user LIKE 'atrest%'");
            assert!(accounts.is_empty(), "{accounts:?}");
            let retention: Vec<Option<String>> = server.rows(
                "SELECT value FROM mysql.rds_configuration WHERE name = 'binlog retention hours'",
            );
            assert_eq!(retention, [None], "binlog retention is as it was");
        }
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
    "2s",
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

/// The whole migration of one kind of server.
fn migrate(kind: &Kind) {
    let Some(shop) = Shop::start(kind) else {
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
    println!(
        "{} {}: {} transactions, {:.0} statements/s, longest outage {:.2} s",
        kind.engine,
        kind.version,
        written.acknowledged.len(),
        written.rate(),
        written.outage.as_secs_f64()
    );
    assert!(
        written.outage < Duration::from_secs(30),
        "away for {:?}",
        written.outage
    );
    assert!(shop.sandbox.stop().success());
}

#[test]
fn every_write_is_in_the_encrypted_mariadb() {
    migrate(&MARIADB);
}

#[test]
fn every_write_is_in_the_encrypted_mysql_5() {
    migrate(&MYSQL_5);
}

#[test]
fn every_write_is_in_the_encrypted_mysql_9() {
    migrate(&MYSQL_9);
}
