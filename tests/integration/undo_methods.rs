//! The way back and the end of what is not migrated the cold way: an Aurora cluster on the control plane, a blue/green
//! deployment with real servers.

use std::collections::BTreeMap;

use atrest_model::instance::{DbCluster, Encryption};
use mysql_async::prelude::Queryable as _;
use serde_json::Value;

use crate::harness::{Finished, Sandbox, Start};

const REGION: &str = "eu-central-1";
const PACE: [&str; 4] = ["--poll-interval", "20ms", "--consistency-window", "500ms"];

const CLUSTER: &str = r#"
description = "An Aurora cluster that is protected, with a writer and a reader."
default_region = "eu-central-1"

[[accounts]]
id = "111122223333"
access_key_id = "AKIASANDBOX000000001"

[[keys]]
alias = "alias/rds-migration"

[[clusters]]
id = "sky"
engine = "aurora-mysql"
engine_version = "8.0.mysql_aurora.3.05.2"
database_name = "sky"
backup_retention = 7
deletion_protection = true
log_exports = ["error"]
tags = [{ key = "Name", value = "sky" }]

[[instances]]
id = "sky-1"
cluster = "sky"
cluster_writer = true
class = "db.r6g.large"
promotion_tier = 0

[[instances]]
id = "sky-2"
cluster = "sky"
class = "db.r6g.large"
promotion_tier = 1
"#;

const SHOP: &str = r#"
description = "A source with a replica."
default_region = "eu-central-1"
default_password = "correct-horse-battery"

[[accounts]]
id = "111122223333"
access_key_id = "AKIASANDBOX000000001"

[[keys]]
alias = "alias/rds-migration"

[[instances]]
id = "shop"
engine = "mariadb"
engine_version = "10.11.9"
class = "db.t4g.medium"
allocated_storage = 20
backup_retention = 3
deletion_protection = true
sql = '''
CREATE DATABASE shop;
CREATE TABLE shop.orders (n INT PRIMARY KEY, v VARCHAR(20));
INSERT INTO shop.orders VALUES (1, 'a'), (2, 'ü'), (3, NULL);
CREATE USER 'app'@'%' IDENTIFIED BY 'app-password';
GRANT SELECT, INSERT, DELETE ON shop.* TO 'app'@'%';
'''

[[instances]]
id = "shop-reports"
replica_of = "shop"
"#;

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

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// Everything that has a name, with its resource id and encryption.
fn picture(sandbox: &Sandbox) -> BTreeMap<String, (String, Encryption)> {
    let clusters = clusters(sandbox).into_iter().map(|cluster| {
        let about = (cluster.resource_id().to_owned(), cluster.encryption());
        (format!("cluster {}", cluster.identifier()), about)
    });
    let instances = sandbox.instances(REGION).into_iter();
    let instances = instances.map(|(name, instance)| {
        let about = (instance.dbi_resource_id().to_owned(), instance.encryption());
        (name, about)
    });
    clusters.chain(instances).collect()
}

fn clusters(sandbox: &Sandbox) -> Vec<DbCluster> {
    let rds = sandbox.aws(REGION).rds(REGION);
    block_on(rds.db_clusters()).unwrap().0
}

fn cluster_snapshots(sandbox: &Sandbox) -> Vec<Value> {
    let rds = sandbox.aws(REGION).rds(REGION);
    block_on(rds.manual_cluster_snapshots()).unwrap().items
}

/// Nothing bears a tag of ours, and no deployment is left.
fn no_trace(sandbox: &Sandbox) {
    for (name, instance) in sandbox.instances(REGION) {
        let ours = instance.tags().keys().any(|key| key.starts_with("atrest:"));
        assert!(!ours, "{name}: {:?}", instance.tags());
    }
    for cluster in clusters(sandbox) {
        let ours = cluster.tags().keys().any(|key| key.starts_with("atrest:"));
        assert!(!ours, "{}: {:?}", cluster.identifier(), cluster.tags());
    }
    let rds = sandbox.aws(REGION).rds(REGION);
    let deployments = block_on(rds.blue_green_deployments()).unwrap().items;
    assert!(deployments.is_empty(), "{deployments:?}");
    let snapshots = block_on(rds.manual_snapshots()).unwrap().items;
    assert!(snapshots.is_empty(), "{snapshots:?}");
    assert!(cluster_snapshots(sandbox).is_empty());
}

#[test]
fn a_cluster_is_rehearsed_rolled_back_migrated_anew_and_cleaned_up() {
    let (sandbox, _dir) = start(CLUSTER, "none");
    let before = picture(&sandbox);
    let run =
        |args: &[&str]| -> Finished { sandbox.run(&[args, &["--mysql", "off"], &PACE].concat()) };
    let plan = |name: &str| {
        let file = format!("{name}.json");
        sandbox
            .run(&[
                "plan",
                "--kms-key",
                "alias/rds-migration",
                "--mysql",
                "off",
                "--run",
                name,
                "--out",
                &file,
            ])
            .expect(0);
    };

    plan("first");
    let rehearsed = run(&["fix", "first.json", "--rehearse", "--execute"]).expect(0);
    assert!(
        rehearsed.stdout.contains("forecast"),
        "{}",
        rehearsed.stdout
    );
    assert_eq!(picture(&sandbox), before, "a rehearsal leaves nothing");
    no_trace(&sandbox);
    // The live cluster was neither renamed nor modified, nor were its members.
    for request in sandbox.mutations() {
        let live = ["sky", "sky-1", "sky-2"];
        let touches = live.contains(&request.param("DBClusterIdentifier"))
            || live.contains(&request.param("DBInstanceIdentifier"));
        assert!(
            !touches || request.action == "CreateDBClusterSnapshot",
            "{request:?}"
        );
    }

    // Everything is made, nothing is cut over.
    run(&["fix", "first.json", "--execute", "--stop-before", "cutover"]).expect(20);
    assert!(picture(&sandbox).contains_key("cluster new-sky"));
    let mutations = sandbox.mutations().len();
    let shown = run(&["rollback", "first"]).expect(0);
    assert!(
        shown.stdout.contains("cluster old-sky -> sky"),
        "{}",
        shown.stdout
    );
    assert_eq!(
        sandbox.mutations().len(),
        mutations,
        "showing changes nothing"
    );
    run(&["rollback", "first", "--execute"]).expect(23);
    assert_eq!(picture(&sandbox), before);
    no_trace(&sandbox);
    let sky = clusters(&sandbox).remove(0);
    assert_eq!(sky.document["DeletionProtection"], true);

    // After the cutover nothing can be proven, so nothing is given up unasked.
    plan("second");
    run(&["fix", "second.json", "--execute"]).expect(0);
    let migrated = picture(&sandbox);
    let refused = run(&["rollback", "second", "--execute"]).expect(24);
    let said = format!("{}{}", refused.stdout, refused.stderr);
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("are not compared"), "{said}");
    assert!(words.contains("--accept-data-loss sky-1"), "{said}");
    assert_eq!(picture(&sandbox), migrated);
    run(&[
        "rollback",
        "second",
        "--execute",
        "--accept-data-loss",
        "sky-1",
    ])
    .expect(23);
    let back = picture(&sandbox);
    for name in ["cluster sky", "sky-1", "sky-2"] {
        assert_eq!(back[name], before[name], "{name}");
    }
    // The only place where the writes are.
    assert_eq!(back["cluster new-sky"].1, Encryption::SseKms);
    assert!(sandbox.stop().success());
}

#[test]
fn an_old_cluster_goes_when_its_last_data_is_encrypted() {
    let (sandbox, _dir) = start(CLUSTER, "none");
    let run =
        |args: &[&str]| -> Finished { sandbox.run(&[args, &["--mysql", "off"], &PACE].concat()) };
    let planned = [
        "plan",
        "--kms-key",
        "alias/rds-migration",
        "--mysql",
        "off",
        "--run",
        "sky",
    ];
    sandbox.run(&planned).expect(0);
    run(&["fix", "atrest-plan.json", "--execute"]).expect(0);
    let early = run(&["cleanup", "sky", "--execute", "--yes"]).expect(24);
    assert!(early.stdout.contains("7 days"), "{}", early.stdout);
    let args = ["cleanup", "sky", "--min-soak", "0", "--execute", "--yes"];
    run(&args).expect(0);
    let after = picture(&sandbox);
    let names: Vec<&str> = after.keys().map(String::as_str).collect();
    assert_eq!(names, ["cluster sky", "sky-1", "sky-2"]);
    assert!(after.values().all(|(_, e)| *e == Encryption::SseKms));
    let kept = cluster_snapshots(&sandbox);
    let [kept] = kept.as_slice() else {
        panic!("{kept:?}")
    };
    assert_eq!(kept["StorageEncrypted"], true, "{kept}");
    let name = kept["DBClusterSnapshotIdentifier"].as_str().unwrap();
    assert!(name.ends_with("-final-kms"), "{name}");
    // Nothing was deleted before the encrypted copy was there.
    let mutations = sandbox.mutations();
    let at = |action: &str, last: bool| {
        let mut of = mutations
            .iter()
            .enumerate()
            .filter(|(_, r)| r.action == action);
        let found = if last { of.next_back() } else { of.next() };
        found.map(|(number, _)| number).unwrap()
    };
    assert!(at("CreateDBClusterSnapshot", true) < at("DeleteDBInstance", false));
    run(&args).expect(0);
    run(&["rollback", "sky", "--execute"]).expect(24);
    assert!(sandbox.stop().success());
}

/// What a client of the shop does.
fn shop(sandbox: &Sandbox, name: &str, statement: &str) {
    let instances = sandbox.instances(REGION);
    let (host, port) = instances[name].endpoint().unwrap();
    let options = mysql_async::OptsBuilder::default()
        .ip_or_hostname(host.to_owned())
        .tcp_port(port)
        .user(Some("app"))
        .pass(Some("app-password"))
        .prefer_socket(false);
    block_on(async {
        let mut conn = mysql_async::Conn::new(options).await.unwrap();
        conn.query_drop(statement).await.unwrap();
        conn.disconnect().await.unwrap();
    });
}

#[test]
fn a_blue_green_migration_is_rehearsed_rolled_back_proven_and_cleaned_up() {
    let (sandbox, _dir) = start(SHOP, "required");
    let before = picture(&sandbox);
    let ca = sandbox.ca_file().to_owned();
    let run =
        |args: &[&str]| -> Finished { sandbox.run(&[args, &["--ca-file", &ca], &PACE].concat()) };
    let plan = |name: &str| {
        let file = format!("{name}.json");
        sandbox
            .run(&[
                "plan",
                "--method",
                "blue-green",
                "--kms-key",
                "alias/rds-migration",
                "--ca-file",
                &ca,
                "--data-check",
                "checksums",
                "--run",
                name,
                "--out",
                &file,
            ])
            .expect(0);
    };

    plan("first");
    let rehearsed = run(&["fix", "first.json", "--rehearse", "--execute"]).expect(0);
    let words = rehearsed.stdout.split_whitespace().collect::<Vec<_>>();
    assert!(
        words.join(" ").contains("the switchover itself"),
        "{}",
        rehearsed.stdout
    );
    assert_eq!(picture(&sandbox), before, "a rehearsal leaves nothing");
    no_trace(&sandbox);

    // Before the switchover the green side goes, and blue is as it was.
    run(&["fix", "first.json", "--execute", "--stop-before", "cutover"]).expect(20);
    assert_eq!(picture(&sandbox).len(), 2 * before.len());
    run(&["rollback", "first", "--execute"]).expect(23);
    assert_eq!(picture(&sandbox), before);
    no_trace(&sandbox);

    // After it the names come back when nothing was written.
    plan("second");
    run(&["fix", "second.json", "--execute"]).expect(0);
    shop(
        &sandbox,
        "shop",
        "INSERT INTO shop.orders VALUES (4, 'new')",
    );
    let refused = run(&["rollback", "second", "--execute"]).expect(24);
    assert!(
        refused.stdout.contains("`shop`.`orders`"),
        "{}",
        refused.stdout
    );
    shop(&sandbox, "shop", "DELETE FROM shop.orders WHERE n = 4");
    run(&["rollback", "second", "--execute"]).expect(23);
    assert_eq!(picture(&sandbox), before);
    no_trace(&sandbox);
    // Blue is no longer read-only.
    shop(&sandbox, "shop", "INSERT INTO shop.orders VALUES (5, 'x')");
    let reports = &sandbox.instances(REGION)["shop-reports"];
    assert_eq!(reports.replica_source(), Some("shop"));

    plan("third");
    run(&["fix", "third.json", "--execute"]).expect(0);
    run(&["cleanup", "third", "--min-soak", "0", "--execute", "--yes"]).expect(0);
    let after = picture(&sandbox);
    let names: Vec<&str> = after.keys().map(String::as_str).collect();
    assert_eq!(names, ["shop", "shop-reports"]);
    assert!(after.values().all(|(_, e)| *e == Encryption::SseKms));
    let rds = sandbox.aws(REGION).rds(REGION);
    let kept = block_on(rds.manual_snapshots()).unwrap().items;
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(kept[0]["Encrypted"], true);
    assert!(sandbox.stop().success());
}
