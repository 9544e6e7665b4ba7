//! The way back and the end, with real servers: rehearsal, rollback before and after the cutover, cleanup.

use std::collections::BTreeMap;

use atrest_model::instance::{DbInstance, Encryption};
use atrest_model::plan::REPLICATION_USER_PREFIX;
use mysql_async::prelude::Queryable as _;

use crate::harness::{Finished, Sandbox, Start};

const REGION: &str = "eu-central-1";
const PACE: [&str; 6] = [
    "--mysql-tls",
    "off",
    "--poll-interval",
    "20ms",
    "--consistency-window",
    "500ms",
];

fn start() -> Sandbox {
    Sandbox::start(&Start {
        scenario: "seed-story",
        engines: "required",
        speed: "1000",
    })
}

/// Plans the migration of one source.
fn plan(sandbox: &Sandbox, source: &str, run: &str) {
    plan_as(sandbox, source, run, "cold");
}

fn plan_as(sandbox: &Sandbox, source: &str, run: &str, method: &str) {
    let file = format!("{run}.json");
    let args = [
        "plan",
        "--method",
        method,
        "--instance",
        source,
        "--region",
        REGION,
        "--kms-key",
        "alias/rds-migration",
        "--mysql-tls",
        "off",
        "--run",
        run,
        "--out",
        &file,
    ];
    sandbox.run(&args).expect(0);
}

fn run(sandbox: &Sandbox, args: &[&str]) -> Finished {
    sandbox.run(&[args, &PACE].concat())
}

/// Name → resource id and encryption.
fn picture(sandbox: &Sandbox) -> BTreeMap<String, (String, Encryption)> {
    let entry = |(name, instance): (String, DbInstance)| {
        let id = instance.dbi_resource_id().to_owned();
        (name, (id, instance.encryption()))
    };
    sandbox.instances(REGION).into_iter().map(entry).collect()
}

/// Manual snapshots that bear our names, and whether they are encrypted.
fn snapshots(sandbox: &Sandbox) -> BTreeMap<String, bool> {
    let rds = sandbox.aws(REGION).rds(REGION);
    let found = block_on(rds.manual_snapshots()).unwrap().items;
    found
        .iter()
        .map(|snapshot| {
            let name = snapshot["DBSnapshotIdentifier"].as_str().unwrap();
            (name.to_owned(), snapshot["Encrypted"] == true)
        })
        .filter(|(name, _)| name.starts_with("atrest-"))
        .collect()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

async fn connect(endpoint: (String, u16)) -> mysql_async::Conn {
    connect_as(endpoint, "wiki", "wiki-password").await
}

async fn connect_as(endpoint: (String, u16), user: &str, password: &str) -> mysql_async::Conn {
    let options = mysql_async::OptsBuilder::default()
        .ip_or_hostname(endpoint.0)
        .tcp_port(endpoint.1)
        .user(Some(user))
        .pass(Some(password))
        .prefer_socket(false);
    mysql_async::Conn::new(options).await.unwrap()
}

fn endpoint(sandbox: &Sandbox, name: &str) -> (String, u16) {
    let instances = sandbox.instances(REGION);
    let (host, port) = instances[name].endpoint().unwrap();
    (host.to_owned(), port)
}

/// What a client of the wiki does.
fn wiki(sandbox: &Sandbox, name: &str, statement: &str) {
    let endpoint = endpoint(sandbox, name);
    block_on(async {
        let mut conn = connect(endpoint).await;
        conn.query_drop(statement).await.unwrap();
        conn.disconnect().await.unwrap();
    });
}

#[test]
fn a_source_is_rehearsed_rolled_back_migrated_anew_and_cleaned_up() {
    let sandbox = start();
    let before = picture(&sandbox);

    plan(&sandbox, "prod-one", "first");
    let rehearsed = run(&sandbox, &["fix", "first.json", "--rehearse", "--execute"]).expect(0);
    assert!(
        rehearsed.stdout.contains("forecast"),
        "{}",
        rehearsed.stdout
    );
    assert_eq!(
        picture(&sandbox),
        before,
        "a rehearsal leaves nothing behind"
    );
    assert!(snapshots(&sandbox).is_empty());
    let live = ["prod-one", "prod-one-replica-1", "prod-one-replica-2"];
    for request in sandbox.mutations() {
        let on_live = live.contains(&request.param("DBInstanceIdentifier"));
        let only_reads_data = ["CreateDBSnapshot"].contains(&request.action.as_str());
        assert!(!on_live || only_reads_data, "{request:?}");
    }

    // Everything is made, nothing is cut over.
    let args = ["fix", "first.json", "--execute", "--stop-before", "cutover"];
    run(&sandbox, &args).expect(20);
    assert!(picture(&sandbox).contains_key("new-prod-one"));
    let shown_before = sandbox.mutations().len();
    let shown = run(&sandbox, &["rollback", "first"]).expect(0);
    assert!(
        shown.stdout.contains("old-prod-one -> prod-one"),
        "{}",
        shown.stdout
    );
    assert_eq!(
        sandbox.mutations().len(),
        shown_before,
        "showing changes nothing"
    );
    run(&sandbox, &["rollback", "first", "--execute"]).expect(23);
    assert_eq!(picture(&sandbox), before);
    assert!(snapshots(&sandbox).is_empty());
    for (name, instance) in sandbox.instances(REGION) {
        let claimed = instance.tags().keys().any(|key| key.starts_with("atrest:"));
        assert!(!claimed, "{name} is still claimed");
        if name.starts_with("prod-one-replica") {
            assert_eq!(instance.replica_source(), Some("prod-one"));
        }
    }
    let status = sandbox.run(&["status", "first"]).expect(0);
    assert!(
        status.stdout.contains("rollback-1 is done"),
        "{}",
        status.stdout
    );
    // Again is nothing; and a run that was rolled back is not taken up.
    let mutations = sandbox.mutations().len();
    run(&sandbox, &["rollback", "first", "--execute"]).expect(23);
    let resumed = run(&sandbox, &["fix", "--resume", "first"]).expect(2);
    assert!(resumed.stderr.contains("rolled back"), "{}", resumed.stderr);
    assert_eq!(sandbox.mutations().len(), mutations);
    let trail = sandbox.run(&["status", "first", "--journal"]).expect(0);
    std::fs::write(sandbox.path("trail.jsonl"), &trail.stdout).unwrap();
    sandbox
        .run(&["status", "--verify", "trail.jsonl"])
        .expect(0);

    // The names are free again.
    plan(&sandbox, "prod-one", "second");
    run(&sandbox, &["fix", "second.json", "--execute"]).expect(0);
    let early = run(&sandbox, &["cleanup", "second", "--execute", "--yes"]).expect(24);
    assert!(early.stdout.contains("7 days"), "{}", early.stdout);
    let unasked = run(
        &sandbox,
        &["cleanup", "second", "--execute", "--min-soak", "0"],
    )
    .expect(2);
    assert!(unasked.stderr.contains("--yes"), "{}", unasked.stderr);
    let shown = run(&sandbox, &["cleanup", "second", "--min-soak", "0"]).expect(0);
    assert!(
        shown.stdout.contains("prod-one-before-upgrade stays"),
        "{}",
        shown.stdout
    );
    let mutations = sandbox.mutations().len();
    let args = ["cleanup", "second", "--min-soak", "0", "--execute", "--yes"];
    run(&sandbox, &args).expect(0);
    assert!(sandbox.mutations().len() > mutations);
    let after = picture(&sandbox);
    for name in live {
        assert_eq!(after[name].1, Encryption::SseKms, "{name}");
        assert!(!after.contains_key(&format!("old-{name}")), "old-{name}");
    }
    let left = snapshots(&sandbox);
    assert!(left.values().all(|encrypted| *encrypted), "{left:?}");
    assert!(
        left.keys().any(|name| name.ends_with("-final-kms")),
        "{left:?}"
    );
    run(&sandbox, &args).expect(0);
    run(&sandbox, &["rollback", "second", "--execute"]).expect(24);

    // Nothing of it is flagged any more.
    let scan = sandbox.run(&[
        "scan",
        "--region",
        REGION,
        "--format",
        "json",
        "--exit-zero",
    ]);
    let scan = scan.expect(0).json();
    for finding in scan["findings"].as_array().unwrap() {
        let resource = finding["resource"].as_str().unwrap();
        let unencrypted = ["storage-unencrypted", "snapshot-unencrypted"]
            .contains(&finding["policy"].as_str().unwrap());
        // The snapshot prod-one-before-upgrade is somebody's own.
        let ours = resource.contains(":db:prod-one")
            || resource.contains(":db:old-prod-one")
            || resource.contains("atrest-");
        assert!(
            !(unencrypted && ours && finding["status"] == "fail"),
            "{finding:#}"
        );
    }
    assert!(sandbox.stop().success());
}

#[test]
fn after_the_cutover_a_write_is_named_and_without_one_the_names_come_back() {
    let sandbox = start();
    let before = picture(&sandbox);
    plan(&sandbox, "prod-three", "cut");
    run(&sandbox, &["fix", "cut.json", "--execute"]).expect(0);

    let rollback = ["rollback", "cut", "--execute"];
    // Somebody is connected.
    let endpoint = endpoint(&sandbox, "prod-three");
    let mutations = sandbox.mutations().len();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut client = runtime.block_on(connect(endpoint));
    runtime.block_on(client.query_drop("SELECT 1")).unwrap();
    let refused = run(&sandbox, &rollback).expect(24);
    assert!(refused.stdout.contains("wiki@"), "{}", refused.stdout);
    runtime.block_on(client.disconnect()).unwrap();

    // Somebody has written.
    wiki(
        &sandbox,
        "prod-three",
        "INSERT INTO wiki.page (id, title, body) VALUES (4000000, 'new', 'row')",
    );
    let refused = run(&sandbox, &rollback).expect(24);
    assert!(
        refused.stdout.contains("`wiki`.`page`"),
        "{}",
        refused.stdout
    );
    assert!(
        refused.stdout.contains("--accept-data-loss prod-three"),
        "{}",
        refused.stdout
    );
    assert_eq!(sandbox.mutations().len(), mutations, "nothing was changed");

    // What was written is gone again: both sides hold the same, and nothing is lost by going back.
    wiki(
        &sandbox,
        "prod-three",
        "DELETE FROM wiki.page WHERE id = 4000000",
    );
    run(&sandbox, &rollback).expect(23);
    assert_eq!(picture(&sandbox), before);
    assert!(snapshots(&sandbox).is_empty());
    wiki(&sandbox, "prod-three", "SELECT * FROM wiki.page LIMIT 1");

    let pack = sandbox
        .run(&["report", "cut", "--evidence", "cut.zip"])
        .expect(4);
    assert!(pack.stdout.contains("rolled back"), "{}", pack.stdout);
    assert!(sandbox.stop().success());
}

#[test]
fn a_loss_that_is_accepted_goes_back_and_keeps_the_copy() {
    let sandbox = start();
    let before = picture(&sandbox);
    plan(&sandbox, "prod-three", "lost");
    run(&sandbox, &["fix", "lost.json", "--execute"]).expect(0);
    wiki(
        &sandbox,
        "prod-three",
        "INSERT INTO wiki.page (id, title, body) VALUES (4000000, 'new', 'row')",
    );
    run(&sandbox, &["rollback", "lost", "--execute"]).expect(24);
    let args = [
        "rollback",
        "lost",
        "--execute",
        "--accept-data-loss",
        "prod-three",
    ];
    run(&sandbox, &args).expect(23);
    let after = picture(&sandbox);
    for name in ["prod-three", "prod-three-replica-1"] {
        assert_eq!(after[name], before[name], "{name}");
        assert_eq!(after[&format!("new-{name}")].1, Encryption::SseKms);
    }
    // The only place where the row is.
    wiki(
        &sandbox,
        "new-prod-three",
        "UPDATE wiki.page SET title = 'kept' WHERE id = 4000000",
    );
    assert!(sandbox.stop().success());
}

/// What the replica method changes on a source: how long it keeps its log, and accounts of ours.
fn settings(sandbox: &Sandbox, name: &str) -> (Option<String>, Vec<String>) {
    let endpoint = endpoint(sandbox, name);
    block_on(async {
        let mut conn = connect_as(endpoint, "admin", sandbox.password()).await;
        let rows: Vec<(String, Option<String>, Option<String>)> = conn
            .query("CALL mysql.rds_show_configuration")
            .await
            .unwrap();
        let accounts =
            format!("SELECT User FROM mysql.user WHERE User LIKE '{REPLICATION_USER_PREFIX}%'");
        let accounts = conn.query(accounts).await.unwrap();
        conn.disconnect().await.unwrap();
        let retention = rows
            .into_iter()
            .find(|(name, _, _)| name == "binlog retention hours")
            .and_then(|(_, value, _)| value);
        (retention, accounts)
    })
}

#[test]
fn the_replica_method_leaves_nothing_on_its_source_when_it_is_rolled_back() {
    let sandbox = start();
    let before = picture(&sandbox);
    let kept = settings(&sandbox, "prod-three");
    plan_as(&sandbox, "prod-three", "follow", "replica");
    let rehearsed = run(&sandbox, &["fix", "follow.json", "--rehearse", "--execute"]).expect(0);
    assert!(
        rehearsed.stdout.contains("forecast"),
        "{}",
        rehearsed.stdout
    );
    assert_eq!(picture(&sandbox), before);
    assert_eq!(settings(&sandbox, "prod-three"), kept);

    let args = [
        "fix",
        "follow.json",
        "--execute",
        "--stop-before",
        "cutover",
    ];
    run(&sandbox, &args).expect(20);
    assert_ne!(settings(&sandbox, "prod-three"), kept);
    assert!(picture(&sandbox).contains_key("new-prod-three"));
    run(&sandbox, &["rollback", "follow", "--execute"]).expect(23);
    assert_eq!(picture(&sandbox), before);
    assert_eq!(settings(&sandbox, "prod-three"), kept);
    assert!(snapshots(&sandbox).is_empty());
    assert!(sandbox.stop().success());
}
