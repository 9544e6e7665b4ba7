//! Somebody renames or deletes an instance while a run is about it: said by name, nothing is done to the wrong one, and the
//! run goes on once it is mended.

use std::time::{Duration, Instant};

use atrest_model::instance::Encryption;

use crate::harness::{Finished, Sandbox, Start, pause};

const REGION: &str = "eu-central-1";

const FLEET: &str = r#"
description = "A source without replicas."
default_region = "eu-central-1"

[[accounts]]
id = "111122223333"
access_key_id = "AKIASANDBOX000000001"

[[keys]]
alias = "alias/rds-migration"

[[instances]]
id = "orders"
engine = "mariadb"
engine_version = "10.11.9"
class = "db.t4g.small"
allocated_storage = 20
backup_retention = 1

[[alarms]]
name = "orders-cpu"
metric = "CPUUtilization"
dimensions = { DBInstanceIdentifier = "orders" }
threshold = 90

[[alarms]]
name = "orders-lag"
metric = "ReadLatency"
dimensions = { DBInstanceIdentifier = "orders" }
threshold = 1
state = "ALARM"

[[alarms]]
name = "elsewhere"
metric = "CPUUtilization"
dimensions = { DBInstanceIdentifier = "other" }
threshold = 90

[[integrations]]
name = "to-redshift"
source = "orders"
target_arn = "arn:aws:redshift-serverless:eu-central-1:111122223333:namespace/n"
"#;

fn start() -> (Sandbox, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let scenario = dir.path().join("fleet.toml");
    std::fs::write(&scenario, FLEET).unwrap();
    let sandbox = Sandbox::start(&Start {
        scenario: scenario.to_str().unwrap(),
        engines: "none",
        speed: "1000",
    });
    (sandbox, dir)
}

fn plan(sandbox: &Sandbox) {
    sandbox
        .run(&[
            "plan",
            "--method",
            "cold",
            "--kms-key",
            "alias/rds-migration",
            "--mysql",
            "off",
            "--run",
            "m",
        ])
        .expect(0);
}

fn fix(sandbox: &Sandbox, args: &[&str]) -> Finished {
    let pace = [
        "--mysql",
        "off",
        "--poll-interval",
        "20ms",
        "--consistency-window",
        "500ms",
    ];
    sandbox.run(&[&["fix"], args, &pace].concat())
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// Somebody renames an instance, by hand.
fn rename(sandbox: &Sandbox, from: &str, to: &str) {
    let rds = sandbox.aws(REGION).rds(REGION);
    block_on(
        rds.client()
            .modify_db_instance()
            .db_instance_identifier(from)
            .new_db_instance_identifier(to)
            .apply_immediately(true)
            .send(),
    )
    .unwrap();
    wait(sandbox, |all| {
        all.get(to).is_some_and(|found| found.is_ready())
    });
}

fn wait(
    sandbox: &Sandbox,
    wanted: impl Fn(&std::collections::BTreeMap<String, atrest_model::instance::DbInstance>) -> bool,
) {
    let began = Instant::now();
    while !wanted(&sandbox.instances(REGION)) {
        assert!(began.elapsed() < Duration::from_secs(60), "it never came");
        pause();
    }
}

#[test]
fn an_instance_that_somebody_renames_stops_the_run_until_it_has_its_name_again() {
    let (sandbox, _dir) = start();
    plan(&sandbox);
    fix(
        &sandbox,
        &["atrest-plan.json", "--execute", "--stop-before", "cutover"],
    )
    .expect(20);
    rename(&sandbox, "new-orders", "mine");
    let mutations = sandbox.mutations().len();
    let stopped = fix(&sandbox, &["--resume", "m"]).expect(24);
    let words = stopped.stdout.split_whitespace().collect::<Vec<_>>();
    assert!(
        words.join(" ").contains("somebody renamed it"),
        "{}",
        stopped.stdout
    );
    assert_eq!(sandbox.mutations().len(), mutations, "nothing was changed");
    rename(&sandbox, "mine", "new-orders");
    fix(&sandbox, &["--resume", "m"]).expect(0);
    let after = sandbox.instances(REGION);
    assert_eq!(after["orders"].encryption(), Encryption::SseKms);
    assert!(sandbox.stop().success());
}

#[test]
fn an_old_instance_that_somebody_deletes_is_told_since_there_is_no_way_back() {
    let (sandbox, _dir) = start();
    plan(&sandbox);
    fix(
        &sandbox,
        &["atrest-plan.json", "--execute", "--stop-before", "rescan"],
    )
    .expect(20);
    let rds = sandbox.aws(REGION).rds(REGION);
    block_on(
        rds.client()
            .delete_db_instance()
            .db_instance_identifier("old-orders")
            .skip_final_snapshot(true)
            .send(),
    )
    .unwrap();
    wait(&sandbox, |all| !all.contains_key("old-orders"));
    let stopped = fix(&sandbox, &["--resume", "m"]).expect(24);
    let words = stopped.stdout.split_whitespace().collect::<Vec<_>>();
    assert!(
        words.join(" ").contains("there is no way back"),
        "{}",
        stopped.stdout
    );
    let rolled = sandbox
        .run(&["rollback", "m", "--mysql", "off", "--execute"])
        .expect(24);
    let said = format!("{}{}", rolled.stdout, rolled.stderr);
    assert!(said.contains("is gone"), "{said}");
    assert!(sandbox.stop().success());
}

#[test]
fn alarms_go_on_by_their_names_and_what_is_not_as_it_was_is_told() {
    let (sandbox, _dir) = start();
    plan(&sandbox);
    let plan = std::fs::read_to_string(sandbox.path("atrest-plan.json")).unwrap();
    for said in [
        "alarms orders-cpu, orders-lag name it",
        "zero-ETL integration to-redshift",
    ] {
        assert!(plan.contains(said), "{said}: {plan}");
    }
    let fixed = fix(&sandbox, &["atrest-plan.json", "--execute"]).expect(0);
    let words = fixed
        .stdout
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    assert!(
        words.contains("alarm orders-lag of orders is ALARM"),
        "{}",
        fixed.stdout
    );
    assert!(!words.contains("orders-cpu of"), "{}", fixed.stdout);
    assert!(!words.contains("elsewhere"), "{}", fixed.stdout);
    assert!(sandbox.stop().success());
}
