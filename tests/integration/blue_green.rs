//! The blue/green method, end to end: clients write to the source until the switchover, and everything they were told is
//! written is on the encrypted side. Real MariaDB servers; PostgreSQL on the control plane only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use atrest_model::instance::{DbInstance, Encryption};
use atrest_scanner::access::{self, MysqlAuth, Password, Tls};
use secrecy::SecretString;

use crate::harness::{Sandbox, Start, pause};

const FLEET: &str = r#"
description = "A source with a replica that has accounts of its own, and a PostgreSQL source."
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
long_query_time = "10"

[[instances]]
id = "shop"
engine = "mariadb"
engine_version = "10.11.9"
class = "db.t4g.medium"
allocated_storage = 20
backup_retention = 3
deletion_protection = true
monitoring_interval = 30
monitoring_role = "arn:aws:iam::111122223333:role/rds-monitoring-role"
roles = [{ role_arn = "arn:aws:iam::111122223333:role/rds-s3-import", feature_name = "s3Import" }]
tags = [{ key = "Name", value = "shop" }]
sql = '''
CREATE DATABASE shop;
CREATE TABLE shop.written (n BIGINT PRIMARY KEY);
CREATE TABLE shop.still (n INT PRIMARY KEY, v VARCHAR(20));
INSERT INTO shop.still VALUES (1, 'a'), (2, 'ü'), (3, NULL);
CREATE USER 'app'@'%' IDENTIFIED BY 'app-password';
GRANT SELECT, INSERT ON shop.* TO 'app'@'%';
'''

[[instances]]
id = "shop-reports"
replica_of = "shop"
parameter_group = "reports"
replica_sql = '''
CREATE USER 'reporting'@'%' IDENTIFIED BY 'reporting-password';
GRANT SELECT ON shop.still TO 'reporting'@'%';
'''

[[instances]]
id = "catalog"
engine = "postgres"
engine_version = "16.6"
class = "db.t4g.medium"
allocated_storage = 20
backup_retention = 3
iam_authentication = true
"#;

const PACE: [&str; 4] = ["--poll-interval", "20ms", "--consistency-window", "2s"];

fn start(fleet: &str, engines: &str) -> (Sandbox, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let scenario = dir.path().join("fleet.toml");
    std::fs::write(&scenario, fleet).unwrap();
    let sandbox = Sandbox::start(&Start {
        scenario: scenario.to_str().unwrap(),
        engines,
        speed: "1000",
    });
    (sandbox, dir)
}

/// A client that writes one number after another to whatever has the name of the source.
struct Writer {
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    /// The longest time between two acknowledged writes.
    thread: std::thread::JoinHandle<Duration>,
}

impl Writer {
    fn start(source: DbInstance, auth: MysqlAuth) -> Self {
        let acknowledged = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (told, ended) = (Arc::clone(&acknowledged), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(write(&source, &auth, &told, &ended))
        });
        Self {
            acknowledged,
            stop,
            thread,
        }
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    fn wait_for(&self, number: u64) {
        let began = Instant::now();
        while self.acknowledged() < number {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "the writer is at {}",
                self.acknowledged()
            );
            pause();
        }
    }

    /// What was acknowledged, and the longest time in which nothing was.
    fn end(self) -> (u64, Duration) {
        self.stop.store(true, Ordering::SeqCst);
        let longest = self.thread.join().unwrap();
        (self.acknowledged.load(Ordering::SeqCst), longest)
    }
}

async fn write(
    source: &DbInstance,
    auth: &MysqlAuth,
    acknowledged: &AtomicU64,
    stop: &AtomicBool,
) -> Duration {
    let (mut longest, mut last) = (Duration::ZERO, Instant::now());
    let mut connection = None;
    while !stop.load(Ordering::SeqCst) {
        let number = acknowledged.load(Ordering::SeqCst) + 1;
        if connection.is_none() {
            connection = access::open(source, auth).await.ok();
        }
        // Whether a write that failed took effect is not known: it is sent again.
        let statement =
            format!("INSERT INTO shop.written VALUES ({number}) ON DUPLICATE KEY UPDATE n = n");
        let done = match &mut connection {
            Some(open) => open.execute(statement.as_bytes()).await.is_ok(),
            None => false,
        };
        if done {
            acknowledged.store(number, Ordering::SeqCst);
            longest = longest.max(last.elapsed());
            last = Instant::now();
        } else {
            connection = None;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    longest
}

/// Count and highest of the numbers that are on a server.
fn found(instance: &DbInstance, auth: &MysqlAuth) -> (u64, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut connection = access::open(instance, auth).await.unwrap();
        let sets = connection
            .call(b"SELECT COUNT(*) AS many, MAX(n) AS highest FROM shop.written")
            .await
            .unwrap();
        connection.close().await;
        let number = |name: &str| sets[0][0].named_text(name).unwrap().parse().unwrap();
        (number("many"), number("highest"))
    })
}

#[test]
fn clients_write_until_the_switchover_and_nothing_they_wrote_is_lost() {
    let (sandbox, _dir) = start(FLEET, "required");
    let ca = sandbox.ca_file().to_owned();
    let planned = sandbox
        .run(&[
            "plan",
            "--method",
            "blue-green",
            "--kms-key",
            "alias/rds-migration",
            "--ca-file",
            &ca,
            "--run",
            "bg",
            "--data-check",
            "checksums",
        ])
        .expect(0);
    assert!(planned.stdout.contains("blue-green"), "{}", planned.stdout);
    assert!(sandbox.mutations().is_empty(), "{:?}", sandbox.mutations());

    let auth = MysqlAuth::new(
        Password::Given(SecretString::from(sandbox.password().to_owned())),
        Tls::Verify {
            ca_file: Some(ca.clone().into()),
            server_name: None,
        },
    );
    let before = sandbox.instances("eu-central-1");
    let writer = Writer::start(before["shop"].clone(), auth.clone());
    writer.wait_for(1);
    let args = [
        &["fix", "atrest-plan.json", "--execute", "--ca-file", &ca][..],
        &PACE,
    ]
    .concat();
    let fixed = sandbox.run(&args).expect(0);
    assert!(fixed.stdout.contains("migrated"), "{}", fixed.stdout);
    // The client is back, under the same name.
    writer.wait_for(writer.acknowledged() + 50);
    let (acknowledged, longest) = writer.end();

    let after = sandbox.instances("eu-central-1");
    for (name, old) in [
        ("shop", "shop-old1"),
        ("shop-reports", "shop-reports-old1"),
        ("catalog", "catalog-old1"),
    ] {
        assert_eq!(after[name].encryption(), Encryption::SseKms, "{name}");
        assert_eq!(after[old].encryption(), Encryption::None, "{old}");
        assert_eq!(
            after[old].dbi_resource_id(),
            before[name].dbi_resource_id(),
            "{old}"
        );
        assert_eq!(after[name].endpoint(), before[name].endpoint(), "{name}");
    }
    assert_eq!(after.len(), 2 * before.len());
    // None is missing and none is twice: the numbers are the primary key.
    let (many, highest) = found(&after["shop"], &auth);
    assert!(
        many == highest && highest >= acknowledged,
        "{many} of {highest}, {acknowledged} acknowledged"
    );
    let (old, _) = found(&after["shop-old1"], &auth);
    assert!(old < many, "the old side took {old} of {many} writes");
    println!(
        "{acknowledged} writes acknowledged, none lost; {old} of them before the switchover; longest time without one: {longest:?}"
    );

    sandbox
        .run(&["diff", "--run", "bg", "--ca-file", &ca])
        .expect(0);
    let mutations = sandbox.mutations();
    let count = |action: &str| mutations.iter().filter(|r| r.action == action).count();
    for action in [
        "CreateBlueGreenDeployment",
        "SwitchoverBlueGreenDeployment",
        "DeleteBlueGreenDeployment",
    ] {
        assert_eq!(count(action), 2, "{action}");
    }
    assert_eq!(count("AddRoleToDBInstance"), 1);
    let deletes = mutations.iter().filter(|r| r.action.starts_with("Delete"));
    assert_eq!(deletes.count(), 2, "only the deployments are deleted");
    for request in mutations
        .iter()
        .filter(|r| r.action == "DeleteBlueGreenDeployment")
    {
        assert_eq!(request.param("DeleteTarget"), "", "{request:?}");
    }
    assert!(sandbox.stop().success());
}

/// The refusal comes at once, changes nothing, and the next plan quotes it and takes another method.
#[test]
fn where_rds_refuses_encryption_the_next_plan_quotes_it_and_takes_another_method() {
    let knob = "\n[knobs]\nno_blue_green_encryption = [\"eu-central-1\"]\n";
    let (sandbox, _dir) = start(&format!("{FLEET}{knob}"), "none");
    let plan = |method: &str| {
        sandbox
            .run(&[
                "plan",
                "--method",
                method,
                "--instance",
                "catalog",
                "--kms-key",
                "alias/rds-migration",
                "--mysql",
                "off",
            ])
            .expect(0)
            .stdout
    };
    let first = plan("auto");
    assert!(first.contains("blue-green,"), "{first}");
    let args = [
        &["fix", "atrest-plan.json", "--execute", "--mysql", "off"][..],
        &PACE,
    ]
    .concat();
    let refused = sandbox.run(&args).expect(24);
    assert!(
        refused.stdout.contains("isn't supported for blue/green"),
        "{}{}",
        refused.stdout,
        refused.stderr
    );
    let changed = sandbox.mutations();
    assert!(
        changed.iter().all(|r| r.action == "AddTagsToResource"),
        "{changed:?}"
    );
    let untag = sandbox.instances("eu-central-1")["catalog"]
        .arn()
        .to_owned();
    remove_claim(&sandbox, &untag);
    let second = plan("auto");
    assert!(second.contains(" cold,"), "{second}");
    let words = second.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("not blue-green: RDS has refused it")
            && words.contains("isn't supported for blue/green deployments in this Region"),
        "{second}"
    );
    // Whoever asks for it alone gets another try.
    assert!(plan("blue-green").contains("blue-green,"));
    assert!(sandbox.stop().success());
}

/// The run that was refused is over; its claim is taken off as its hint says.
fn remove_claim(sandbox: &Sandbox, arn: &str) {
    let aws = sandbox.aws("eu-central-1");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime
        .block_on(
            aws.rds("eu-central-1")
                .client()
                .remove_tags_from_resource()
                .resource_name(arn)
                .tag_keys("atrest:run")
                .tag_keys("atrest:claim")
                .send(),
        )
        .unwrap();
}
