//! `atrest accounts` against real servers, and against servers that hang, lie or ask for too much.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable as _;
use serde_json::Value;

use crate::fake::{Manner, MysqlServer, Secrets, certificate};
use crate::harness::{Finished, Sandbox, Start, finish};

const REGION: [&str; 4] = ["--region", "eu-central-1", "--tls", "off"];
const PASSWORD: &str = "correct-horse-battery";

/// Accounts with names that break tools which build statements by hand, a name that steers terminals, and one account
/// that the new server has otherwise.
const OLD: &str = r"
CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY, `c 2` INT);
CREATE PROCEDURE shop.p() SELECT 1;
CREATE USER 'o''brien'@'%' IDENTIFIED BY 'pw-quote';
CREATE USER 'u''@''%'' WITH GRANT OPTION#'@'%' IDENTIFIED BY 'pw-inject'; CREATE USER 'u'@'%' IDENTIFIED BY 'pw-u';
CREATE USER 'drifted'@'%' IDENTIFIED BY 'pw-old' WITH MAX_USER_CONNECTIONS 3;
GRANT SELECT (id, `c 2`) ON shop.t TO 'o''brien'@'%' WITH GRANT OPTION;
GRANT SELECT ON `my\_db`.* TO 'drifted'@'%'; GRANT INSERT ON shop.* TO 'drifted'@'%';
GRANT EXECUTE ON PROCEDURE shop.p TO 'u'@'%'; GRANT PROCESS ON *.* TO 'u''@''%'' WITH GRANT OPTION#'@'%';
CALL mysql.rds_set_configuration('binlog retention hours', 48);
";
const SCHEMAS: &str = r"
CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY, `c 2` INT);
CREATE PROCEDURE shop.p() SELECT 1;
";
const NEW: &str = r"
CREATE USER 'drifted'@'%' IDENTIFIED BY 'pw-new'; GRANT INSERT, DELETE ON shop.* TO 'drifted'@'%';
CREATE USER 'later'@'%' IDENTIFIED BY 'pw-later';
";
const STEERING: &str = "e\u{1b}[31mvil\u{202e}";

fn scenario(engine: &str, version: &str) -> String {
    let head = "default_region = \"eu-central-1\"\ndefault_password = \"correct-horse-battery\"\n\
        [[accounts]]\nid = \"111122223333\"\naccess_key_id = \"AKIATEST\"\n";
    let instance = |id: &str, managed: bool| {
        format!(
            "[[instances]]\nid = \"{id}\"\nengine = \"{engine}\"\nengine_version = \"{version}\"\nbackup_retention = 7\n\
             allocated_storage = 20\nmaster_username = \"admin\"\nmanaged_password = {managed}\n"
        )
    };
    let tail = "[[instances]]\nid = \"shop-replica\"\nreplica_of = \"shop\"\n\
        [[instances]]\nid = \"catalog\"\nengine = \"postgres\"\nengine_version = \"16.6\"\nallocated_storage = 20\n\
        master_username = \"postgres\"\nserver = false\n";
    [
        head,
        &instance("old-shop", false),
        &instance("shop", false),
        &instance("copy", true),
        tail,
    ]
    .concat()
}

/// A sandbox with an old, a new and an empty server, a replica and a PostgreSQL instance.
fn start(engine: &str, version: &str, engines: &str) -> Sandbox {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), scenario(engine, version)).unwrap();
    Sandbox::start(&Start {
        scenario: file.path().to_str().unwrap(),
        engines,
        speed: "1000",
    })
}

/// With TLS, as it is unless switched off.
fn verified(sandbox: &Sandbox) -> [&str; 4] {
    ["--region", "eu-central-1", "--ca-file", sandbox.ca_file()]
}

fn accounts(sandbox: &Sandbox, args: &[&str]) -> Finished {
    let finished = sandbox.run(&[&["accounts"], args, &verified(sandbox)].concat());
    no_hash(&finished.stdout);
    no_hash(&finished.stderr);
    finished
}

/// No native password hash in what people see.
fn no_hash(text: &str) {
    for (at, _) in text.match_indices('*') {
        let digits = text[at + 1..]
            .bytes()
            .take_while(u8::is_ascii_hexdigit)
            .count();
        assert!(digits < 40, "a hash is shown: {text}");
    }
}

/// One line of error that names the thing, and a hint.
fn says(finished: Finished, code: i32, names: &str) -> Finished {
    let finished = finished.expect(code);
    let errors: Vec<&str> = finished
        .stderr
        .lines()
        .filter(|line| line.starts_with("error:"))
        .collect();
    assert_eq!(errors.len(), 1, "{}", finished.stderr);
    assert!(
        errors[0].contains(names),
        "{names} is not named: {}",
        finished.stderr
    );
    let hinted = finished
        .stderr
        .lines()
        .any(|line| line.starts_with("hint: ") && line.len() > 12);
    assert!(hinted, "{}", finished.stderr);
    finished
}

async fn login(
    sandbox: &Sandbox,
    id: &str,
    user: &str,
    password: &str,
) -> Result<mysql_async::Conn, mysql_async::Error> {
    let instances = tokio::task::block_in_place(|| sandbox.instances("eu-central-1"));
    let (host, port) = instances[id].endpoint().unwrap();
    let options = mysql_async::OptsBuilder::default()
        .ip_or_hostname(host)
        .tcp_port(port)
        .user(Some(user))
        .pass(Some(password))
        .prefer_socket(false);
    mysql_async::Conn::new(options).await
}

/// Runs a script as the master user.
async fn sql(sandbox: &Sandbox, id: &str, script: &str) {
    let mut conn = login(sandbox, id, "admin", PASSWORD).await.unwrap();
    conn.query_drop(script).await.unwrap();
    conn.disconnect().await.unwrap();
}

async fn can_log_in(sandbox: &Sandbox, id: &str, user: &str, password: &str) {
    let conn = login(sandbox, id, user, password).await;
    conn.unwrap_or_else(|e| panic!("{user} at {id}: {e}"))
        .disconnect()
        .await
        .unwrap();
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn users(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap();
    list.iter()
        .map(|key| key["user"].as_str().unwrap())
        .collect()
}

/// What the mysql client does with a script: statements end with a `;` at the end of a line.
async fn run_script(sandbox: &Sandbox, id: &str, script: &str) {
    let mut conn = login(sandbox, id, "admin", PASSWORD).await.unwrap();
    let lines = script.lines().filter(|line| !line.starts_with("-- "));
    let body: Vec<&str> = lines.collect();
    for statement in body.join("\n").split(";\n") {
        let statement = statement.trim().trim_end_matches(';');
        if !statement.is_empty() {
            conn.query_drop(statement).await.unwrap();
        }
    }
    conn.disconnect().await.unwrap();
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn diff_json(sandbox: &Sandbox, a: &str, b: &str, code: i32) -> Value {
    let mut json = accounts(sandbox, &["diff", a, b, "--format", "json"])
        .expect(code)
        .json();
    json["created"] = Value::Null;
    json
}

fn whole_way(engine: &str, version: &str, break_hash: &str) {
    let sandbox = start(engine, version, "required");
    block_on(async {
        sql(&sandbox, "old-shop", OLD).await;
        let steering = format!("CREATE USER '{STEERING}'@'%' IDENTIFIED BY 'pw-esc'");
        sql(&sandbox, "old-shop", &steering).await;
        sql(&sandbox, "shop", SCHEMAS).await;
        sql(&sandbox, "shop", NEW).await;
        sql(&sandbox, "copy", SCHEMAS).await;
    });
    exported(&sandbox);
    differ(&sandbox);
    shown(&sandbox);
    emitted(&sandbox);
    executed(&sandbox);
    synced(&sandbox);
    refused(&sandbox, break_hash);
    certificates(&sandbox);
    assert!(sandbox.mutations().is_empty(), "{:?}", sandbox.mutations());
    assert!(sandbox.stop().success());
}

fn exported(sandbox: &Sandbox) {
    let text = accounts(sandbox, &["export", "old-shop"]).expect(0).stdout;
    assert!(text.contains("'o''brien'@'%'"), "{text}");
    assert!(text.contains("binlog retention hours: 48"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
    let mut narrow = sandbox.command(&[
        "accounts",
        "export",
        "old-shop",
        "--ca-file",
        sandbox.ca_file(),
    ]);
    narrow.env("COLUMNS", "80");
    let narrow = finish(narrow, Duration::from_secs(60)).expect(0).stdout;
    let longest = narrow.lines().map(|line| line.chars().count()).max();
    assert!(longest <= Some(80), "{narrow}");

    let json = accounts(sandbox, &["export", "old-shop", "--format", "json"])
        .expect(0)
        .json();
    assert_eq!(json["schema_version"], 1);
    assert_eq!(json["configuration"]["binlog retention hours"], "48");
    assert!(json["accounts"]["unread"].as_array().unwrap().is_empty());

    says(
        accounts(sandbox, &["export", "old-shop", "--format", "sql"]),
        2,
        "password hashes",
    );
    accounts(sandbox, &["export", "old-shop", "--format", "sql=all.sql"]).expect(0);
    let script = std::fs::read_to_string(sandbox.path("all.sql")).unwrap();
    assert!(script.contains("CREATE USER 'o''brien'@'%'"), "{script}");
    assert!(!script.contains("rdsadmin") && !script.contains("CREATE USER 'admin'"));
    assert_eq!(mode(&sandbox.path("all.sql")), 0o600);
}

fn differ(sandbox: &Sandbox) {
    let found = diff_json(sandbox, "old-shop", "shop", 11);
    let missing = users(&found["missing"]);
    assert_eq!(missing.len(), 4, "{missing:?}");
    assert!(missing.contains(&"o'brien") && missing.contains(&"u"));
    assert_eq!(users(&found["extra"]), ["later"]);
    assert_eq!(found["changed"][0]["account"]["user"], "drifted");
    assert!(users(&found["reserved"]).contains(&"rdsadmin"));
    assert_eq!(
        found["configuration"],
        serde_json::json!([{"name": "binlog retention hours", "old": "48", "new": null}])
    );
    assert!(found["not_compared"].as_array().unwrap().is_empty());
    let text = accounts(sandbox, &["diff", "old-shop", "shop", "--format", "text"]).expect(11);
    assert!(
        text.stdout.contains("4 missing, 1 extra, 1 changed"),
        "{}",
        text.stdout
    );
    assert!(!text.stdout.contains('\u{1b}') && !text.stdout.contains('\u{202e}'));
}

fn shown(sandbox: &Sandbox) {
    let before = diff_json(sandbox, "old-shop", "shop", 11);
    let plan = accounts(sandbox, &["clone", "old-shop", "shop"]).expect(0);
    assert!(
        plan.stdout.contains("nothing was changed"),
        "{}",
        plan.stdout
    );
    assert!(
        plan.stdout.contains("<credential "),
        "statements are masked: {}",
        plan.stdout
    );
    assert!(!plan.stdout.contains("REVOKE"), "{}", plan.stdout);
    let sync = accounts(sandbox, &["clone", "old-shop", "shop", "--sync"]).expect(0);
    assert!(sync.stdout.contains("REVOKE"), "{}", sync.stdout);
    assert_eq!(before, diff_json(sandbox, "old-shop", "shop", 11));
    // The remedies of the pair diff are commands that work.
    let pair = sandbox.run(&[&["diff", "old-shop=shop"], &verified(sandbox)[..]].concat());
    let remedy = "atrest accounts clone old-shop shop --region eu-central-1";
    let pair = pair.expect(11).stdout;
    for remedy in [format!("{remedy}\n"), format!("{remedy} --sync\n")] {
        assert!(pair.contains(&remedy), "{remedy} is not in {pair}");
    }
}

fn emitted(sandbox: &Sandbox) {
    let emit = ["clone", "old-shop", "copy", "--emit-sql", "script.sql"];
    accounts(sandbox, &emit).expect(0);
    let path = sandbox.path("script.sql");
    assert_eq!(mode(&path), 0o600);
    let script = std::fs::read_to_string(&path).unwrap();
    assert!(script.starts_with("-- atrest "), "{script}");
    says(accounts(sandbox, &emit), 2, "script.sql");
    accounts(sandbox, &[&emit[..], &["--force"]].concat()).expect(0);
    std::os::unix::fs::symlink(&path, sandbox.path("link.sql")).unwrap();
    let link = [
        "clone",
        "old-shop",
        "copy",
        "--emit-sql",
        "link.sql",
        "--force",
    ];
    says(accounts(sandbox, &link), 2, "symbolic link");
    // Nothing but the script has changed the server.
    assert_eq!(
        diff_json(sandbox, "old-shop", "copy", 11)["missing"]
            .as_array()
            .unwrap()
            .len(),
        5
    );
    block_on(run_script(sandbox, "copy", &script));
    diff_json(sandbox, "old-shop", "copy", 0);
    block_on(can_log_in(sandbox, "copy", "o'brien", "pw-quote"));
}

fn executed(sandbox: &Sandbox) {
    let execute = ["clone", "old-shop", "shop", "--execute", "--format", "json"];
    let done = accounts(sandbox, &execute).expect(0).json();
    assert_eq!(done["outcome"]["verified"], true);
    assert_eq!(
        done["outcome"]["configured"],
        serde_json::json!(["binlog retention hours"])
    );
    let again = accounts(sandbox, &["clone", "old-shop", "shop", "--execute"]).expect(0);
    assert!(again.stdout.contains("nothing to do"), "{}", again.stdout);
    let left = diff_json(sandbox, "old-shop", "shop", 11);
    assert!(left["missing"].as_array().unwrap().is_empty(), "{left}");
    // What is there already keeps its password, its limits and its own grants.
    assert_eq!(left["changed"][0]["account"]["user"], "drifted");
    block_on(async {
        can_log_in(sandbox, "shop", "o'brien", "pw-quote").await;
        can_log_in(sandbox, "shop", "u'@'%' WITH GRANT OPTION#", "pw-inject").await;
        can_log_in(sandbox, "shop", STEERING, "pw-esc").await;
        can_log_in(sandbox, "shop", "drifted", "pw-new").await;
    });
}

fn synced(sandbox: &Sandbox) {
    let sync = ["clone", "old-shop", "shop", "--sync", "--execute"];
    says(accounts(sandbox, &sync), 2, "--sync");
    accounts(sandbox, &[&sync[..], &["--yes"]].concat()).expect(0);
    let left = diff_json(sandbox, "old-shop", "shop", 11);
    assert_eq!(users(&left["extra"]), ["later"]);
    assert!(left["changed"].as_array().unwrap().is_empty(), "{left}");
    block_on(can_log_in(sandbox, "shop", "drifted", "pw-old"));
    accounts(sandbox, &[&sync[..], &["--yes", "--drop-extra"]].concat()).expect(0);
    let equal = accounts(sandbox, &["diff", "old-shop", "shop"]).expect(0);
    assert!(equal.stdout.contains("no difference"), "{}", equal.stdout);
}

fn refused(sandbox: &Sandbox, break_hash: &str) {
    let fresh = "CREATE TABLE shop.fresh (id INT); CREATE USER 'fresh'@'%' IDENTIFIED BY 'pw-fresh'; \
                 GRANT SELECT ON shop.fresh TO 'fresh'@'%'";
    block_on(sql(sandbox, "old-shop", fresh));
    let clone = |to, rest: &[&str]| {
        let args = [&["clone", "old-shop", to, "--execute"], rest].concat();
        accounts(sandbox, &args)
    };
    // The new server has no such table: said before and after, and what was asked for is not there.
    let plan = accounts(sandbox, &["clone", "old-shop", "shop"]).expect(0);
    assert!(plan.stdout.contains("cannot be carried"), "{}", plan.stdout);
    let done = clone("shop", &[]).expect(11);
    assert!(done.stdout.contains("1 statement run"), "{}", done.stdout);
    // A hash that its plugin does not take: stop or go on, as asked.
    let broken = "CREATE USER 'broken'@'%' IDENTIFIED BY 'pw-broken'";
    block_on(sql(sandbox, "old-shop", broken));
    block_on(sql(sandbox, "old-shop", break_hash));
    let stopped = says(clone("shop", &[]), 24, "'broken'@'%'");
    assert!(stopped.stdout.contains("STOPPED"), "{}", stopped.stdout);
    let noted = clone("shop", &["--on-grant-error", "report"]).expect(11);
    assert!(noted.stdout.contains("refused: 1"), "{}", noted.stdout);
    block_on(sql(
        sandbox,
        "old-shop",
        "CREATE USER 'other'@'%' IDENTIFIED BY 'pw-other'",
    ));
    let replica = says(
        clone("shop-replica", &["--ignore-replication-lag"]),
        2,
        "1290",
    );
    assert!(
        replica.stderr.contains("`read_only` is 0"),
        "{}",
        replica.stderr
    );
}

/// What is not the server that was asked for is not logged in to, and an account can insist on TLS.
fn certificates(sandbox: &Sandbox) {
    let export = ["accounts", "export", "shop", "--region", "eu-central-1"];
    let with = |args: &[&str]| sandbox.run(&[&export[..], args].concat());
    let other = sandbox.path("other.pem");
    let _unused = certificate(&["127.0.0.1"], &other);
    let other = ["--ca-file", other.to_str().unwrap()];
    let untrusted = says(with(&other), 4, "an authority that is not trusted");
    assert!(
        untrusted.stderr.contains("global-bundle.pem"),
        "{}",
        untrusted.stderr
    );
    let elsewhere = [
        "--ca-file",
        sandbox.ca_file(),
        "--tls-server-name",
        "elsewhere.example.com",
    ];
    says(
        with(&elsewhere),
        4,
        "a certificate that is not for this host",
    );

    let insists = "CREATE USER 'insists'@'%' IDENTIFIED BY 'pw-insists' REQUIRE SSL; \
                   GRANT SELECT ON *.* TO 'insists'@'%'";
    block_on(sql(sandbox, "shop", insists));
    let as_it = |tls: &[&str]| {
        let mut command = sandbox.command(&[&export[..], &["--user", "insists"], tls].concat());
        command.env("ATREST_MYSQL_PASSWORD", "pw-insists");
        finish(command, Duration::from_secs(60))
    };
    says(as_it(&["--tls", "off"]), 2, "refused the login of insists");
    let shown = as_it(&["--ca-file", sandbox.ca_file()]);
    assert!(shown.stdout.contains("'insists'@'%'"), "{}", shown.stderr);
}

/// TLS 1.0 is the newest that MySQL 5.6.24 speaks.
#[test]
fn a_server_with_old_tls_alone_is_named_as_such() {
    let sandbox = start("mysql", "5.6.51", "auto");
    let engines = sandbox.ready["engines"].as_array().unwrap();
    if !engines
        .iter()
        .any(|name| name.as_str().unwrap().starts_with("mysql 5.6."))
    {
        use std::io::Write as _;
        let line = b"\nNOT RUN: mysql 5.6. is not installed\n";
        std::io::stderr().write_all(line).unwrap();
        return;
    }
    let old = says(
        accounts(&sandbox, &["export", "shop"]),
        4,
        "no version of TLS",
    );
    assert!(old.stderr.contains("tunnel"), "{}", old.stderr);
    sandbox
        .run(&[&["accounts", "export", "shop"], &REGION[..]].concat())
        .expect(0);
    assert!(sandbox.stop().success());
}

#[test]
fn accounts_go_the_whole_way_on_mariadb_10_11() {
    let break_hash = "UPDATE mysql.global_priv SET Priv = JSON_SET(Priv, '$.authentication_string', '*BAD') \
                      WHERE User = 'broken'";
    whole_way("mariadb", "10.11.9", break_hash);
}

#[test]
fn accounts_go_the_whole_way_on_mysql_5_7() {
    let break_hash = "UPDATE mysql.user SET authentication_string = '*BAD' WHERE User = 'broken'";
    whole_way("mysql", "5.7.44", break_hash);
}

/// The binary with nothing set that belongs to this machine's AWS, and no sandbox.
fn bare(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atrest"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command
        .args(args)
        .env("ATREST_MYSQL_PASSWORD", "hunter2-password")
        .stdin(Stdio::null());
    command
}

fn run(command: Command) -> Finished {
    let finished = finish(command, Duration::from_secs(60));
    for said in [&finished.stdout, &finished.stderr] {
        assert!(!said.contains("hunter2"), "a password is shown: {said}");
    }
    finished
}

#[test]
fn what_is_wrong_with_a_server_is_said_before_anything_is_sent() {
    let sandbox = start("mariadb", "10.11.9", "none");
    let with = |args: &[&str]| sandbox.run(&[&["accounts"], args, &REGION].concat());
    let postgres = says(with(&["export", "catalog"]), 2, "catalog is PostgreSQL");
    assert!(
        postgres.stderr.contains("physical copies"),
        "{}",
        postgres.stderr
    );
    says(
        with(&["diff", "shop", "catalog"]),
        2,
        "catalog is PostgreSQL",
    );
    says(
        with(&["clone", "catalog", "shop"]),
        2,
        "catalog is PostgreSQL",
    );
    says(
        with(&["export", "postgresql://me@localhost/x"]),
        2,
        "PostgreSQL",
    );
    says(with(&["export", "no-such-instance"]), 2, "no-such-instance");
    says(with(&["export", "under_score"]), 2, "under_score");
    says(with(&["diff", "shop", "shop"]), 2, "the same server");
    says(with(&["export", "shop", "--format", "yaml"]), 2, "yaml");
    says(
        with(&["export", "shop", "--secret-id", "x", "--user", "me"]),
        2,
        "there is no secret \"x\"",
    );
    let pair = sandbox.run(&[&["diff", "catalog=catalog"], &REGION[..]].concat());
    let pair = pair.expect(0).stdout;
    assert!(
        pair.contains("roles of PostgreSQL are out of scope"),
        "{pair}"
    );
    let mut none = sandbox.command(&["accounts", "export", "shop", "--region", "eu-central-1"]);
    none.env_remove("ATREST_MYSQL_PASSWORD");
    says(
        finish(none, Duration::from_secs(60)),
        2,
        "no MySQL password",
    );

    for (url, names) in [
        (
            "mysql://me:hunter2@db",
            "a password does not belong in the URL",
        ),
        ("mysql://127.0.0.1", "names no user"),
        ("mysql://me@", "HOST"),
        ("mysql://me@db:port", "bad port"),
        ("mysql://me@db:3306/schema", "bad port"),
        ("http://me@db", "mysql://USER@HOST:PORT"),
    ] {
        says(run(bare(&["accounts", "export", url])), 2, names);
    }
    // An address for documentation: nothing is there, and nothing is sent.
    let off = ["accounts", "export", "mysql://me@192.0.2.1", "--tls", "off"];
    says(
        run(bare(&off)),
        2,
        "192.0.2.1:3306 is not a loopback address",
    );
    let iam = [
        "accounts",
        "export",
        "mysql://me@127.0.0.1",
        "--tls",
        "off",
        "--iam-auth",
    ];
    says(run(bare(&iam)), 2, "--iam-auth");
    for (file, names) in [
        ("missing.pem", "missing.pem"),
        ("Cargo.toml", "no PEM certificate"),
    ] {
        let ca = [
            "accounts",
            "export",
            "mysql://me@127.0.0.1",
            "--ca-file",
            file,
        ];
        says(run(bare(&ca)), 2, names);
    }
    let two = [
        "accounts",
        "export",
        "mysql://me@127.0.0.1",
        "--iam-auth",
        "--secret-id",
        "x",
    ];
    run(bare(&two)).expect(2);
}

#[test]
fn a_server_that_hangs_is_an_error_with_a_deadline() {
    for (manner, option, doing) in [
        (Manner::Silent, "--connect-timeout", "connecting"),
        (Manner::HalfGreeting, "--connect-timeout", "connecting"),
        (Manner::MuteAfterLogin, "--connect-timeout", ""),
    ] {
        let server = MysqlServer::start(manner);
        let began = Instant::now();
        let args = [
            "accounts",
            "export",
            &server.url("me"),
            "--tls",
            "off",
            option,
            "300ms",
        ];
        let hung = says(run(bare(&args)), 4, "did not answer within 0.3 s");
        assert!(hung.stderr.contains(doing), "{}", hung.stderr);
        assert!(
            began.elapsed() < Duration::from_secs(8),
            "{:?}",
            began.elapsed()
        );
    }
    // Nothing listens.
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("mysql://me@{closed}");
    says(
        run(bare(&["accounts", "export", &url, "--tls", "off"])),
        4,
        &closed.to_string(),
    );
}

#[test]
fn an_iam_token_is_sent_inside_tls_only() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let endpoint = "prod.abc.eu-north-1.rds.amazonaws.com";
    let tls = certificate(&["127.0.0.1", endpoint], &ca);
    let ca = ca.to_str().unwrap();
    let with_keys = |args: &[&str]| {
        let mut command = bare(args);
        command
            .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "hunter2-key")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_REGION", "eu-central-1");
        run(command)
    };

    let server = MysqlServer::start(Manner::ClearPassword(Some(tls.clone())));
    let url = server.url("app");
    let refused = with_keys(&["accounts", "export", &url, "--iam-auth", "--ca-file", ca]);
    let refused = says(refused, 2, "refused the login of app");
    let token = String::from_utf8(server.heard().unwrap()).unwrap();
    let start = format!("127.0.0.1:{}/?Action=connect&DBUser=app&", server.port);
    assert!(token.starts_with(&start), "{token}");
    for part in [
        "X-Amz-Expires=900",
        "eu-central-1%2Frds-db%2Faws4_request",
        "X-Amz-Signature=",
    ] {
        assert!(token.contains(part), "{token}");
    }
    assert!(
        !refused.stderr.contains("X-Amz-Signature"),
        "{}",
        refused.stderr
    );

    // Through a tunnel the token is for the endpoint, and so is the certificate.
    let server = MysqlServer::start(Manner::ClearPassword(Some(tls.clone())));
    let url = server.url("app");
    let args = [
        "accounts",
        "export",
        &url,
        "--iam-auth",
        "--ca-file",
        ca,
        "--tls-server-name",
        endpoint,
    ];
    with_keys(&args).expect(2);
    let token = String::from_utf8(server.heard().unwrap()).unwrap();
    assert!(
        token.starts_with(endpoint) && token.contains("eu-north-1%2Frds-db"),
        "{token}"
    );

    // A certificate for another name, and one of an unknown authority.
    let other = dir.path().join("other.pem");
    let _unused = certificate(&["127.0.0.1"], &other);
    for (file, name) in [
        (ca, "elsewhere.example.com"),
        (other.to_str().unwrap(), endpoint),
    ] {
        let server = MysqlServer::start(Manner::ClearPassword(Some(tls.clone())));
        let url = server.url("app");
        let args = [
            "accounts",
            "export",
            &url,
            "--iam-auth",
            "--ca-file",
            file,
            "--tls-server-name",
            name,
        ];
        says(with_keys(&args), 4, "certificate");
        assert_eq!(server.heard(), None);
    }

    // A server without TLS gets nothing, and neither does TLS off on loopback.
    let server = MysqlServer::start(Manner::ClearPassword(None));
    let url = server.url("app");
    says(
        with_keys(&["accounts", "export", &url, "--iam-auth", "--ca-file", ca]),
        4,
        "SSL",
    );
    assert_eq!(server.heard(), None);
    let server = MysqlServer::start(Manner::ClearPassword(None));
    let url = server.url("app");
    says(
        with_keys(&["accounts", "export", &url, "--iam-auth", "--tls", "off"]),
        2,
        "--iam-auth",
    );
    assert!(!server.was_visited());
}

#[test]
fn a_password_is_never_sent_in_clear_text() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let tls = certificate(&["127.0.0.1"], &ca);
    for (tls, args) in [
        (None, ["--tls", "off"]),
        (Some(tls), ["--ca-file", ca.to_str().unwrap()]),
    ] {
        let server = MysqlServer::start(Manner::ClearPassword(tls));
        let url = server.url("me");
        let args = [&["accounts", "export", url.as_str()], &args[..]].concat();
        says(run(bare(&args)), 2, "clear text");
        assert_eq!(server.heard(), None);
    }
}

#[test]
fn passwords_come_from_files_sides_and_secrets() {
    let sandbox = start("mariadb", "10.11.9", "required");
    let try_with = |args: &[&str], environment: &[(&str, &str)]| {
        let mut command = sandbox.command(&[&["accounts"], args, &REGION].concat());
        command
            .env_remove("ATREST_MYSQL_PASSWORD")
            .envs(environment.iter().copied());
        finish(command, Duration::from_secs(60))
    };
    let export = ["export", "old-shop"];
    says(
        try_with(&export, &[("ATREST_MYSQL_PASSWORD", "hunter2")]),
        2,
        "refused the login of admin",
    );
    let write = |name: &str, text: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(sandbox.path(name), text).unwrap();
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(sandbox.path(name), mode).unwrap();
    };
    let export_with = |file: &str| try_with(&["export", "old-shop", "--password-file", file], &[]);
    write("password", &format!("{PASSWORD}\n"), 0o604);
    says(export_with("password"), 2, "open to everybody");
    write("password", &format!("{PASSWORD}\n"), 0o640);
    let said = export_with("password").expect(0).stderr;
    assert!(said.contains("open to its group (mode 640)"), "{said}");
    write("password", &format!("{PASSWORD}\n"), 0o600);
    write("two", "one\ntwo\n", 0o600);
    let said = export_with("password").expect(0).stderr;
    assert!(!said.contains("open to"), "{said}");
    says(
        try_with(&["export", "old-shop", "--password-file", "two"], &[]),
        2,
        "more than one line",
    );

    // What is for one side counts before what is for both.
    let sides = [
        ("ATREST_MYSQL_PASSWORD", "hunter2"),
        ("ATREST_MYSQL_PASSWORD_A", PASSWORD),
    ];
    let diff = ["diff", "old-shop", "shop"];
    says(try_with(&diff, &sides), 2, "shop");
    let both = [&sides[..], &[("ATREST_MYSQL_PASSWORD_B", PASSWORD)]].concat();
    try_with(&diff, &both).expect(0);
    let files = ["diff", "old-shop", "shop", "--password-file-b", "password"];
    try_with(&files, &sides).expect(0);

    // Secrets: named, and found by themselves where RDS manages the password.
    let secrets = Secrets::of("admin", PASSWORD);
    let way = [(
        "AWS_ENDPOINT_URL_SECRETS_MANAGER",
        secrets.endpoint.as_str(),
    )];
    try_with(&["export", "old-shop", "--secret-id", "rds!db-1"], &way).expect(0);
    let requests = secrets.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(
        requests[0]
            .to_ascii_lowercase()
            .contains("x-amz-target: secretsmanager.getsecretvalue")
    );
    assert!(
        requests[0].contains(r#"{"SecretId":"rds!db-1"}"#),
        "{}",
        requests[0]
    );
    try_with(&["export", "copy"], &way).expect(0);
    assert!(secrets.requests()[0].contains(":secret:rds!db-"));
    says(
        try_with(&["export", "old-shop", "--master-user-secret"], &way),
        2,
        "MasterUserSecret",
    );
    let other = [
        "export",
        "old-shop",
        "--secret-id",
        "rds!db-1",
        "--user",
        "anna",
    ];
    says(try_with(&other, &way), 2, "admin, not of anna");

    for (status, body, code, names) in [
        (
            "400 Bad Request",
            r#"{"__type":"ResourceNotFoundException","Message":"x"}"#,
            2,
            "no secret",
        ),
        (
            "400 Bad Request",
            r#"{"__type":"AccessDeniedException","Message":"x"}"#,
            4,
            "AccessDenied",
        ),
        (
            "200 OK",
            r#"{"Name":"x","SecretString":"hunter2"}"#,
            2,
            "no JSON object",
        ),
        (
            "200 OK",
            r#"{"Name":"x","SecretString":"{\"pass\":\"hunter2\"}"}"#,
            2,
            "password",
        ),
        (
            "200 OK",
            r#"{"Name":"x","SecretBinary":"aHVudGVyMg=="}"#,
            2,
            "binary",
        ),
    ] {
        let secrets = Secrets::start(status, body.to_owned());
        let way = [(
            "AWS_ENDPOINT_URL_SECRETS_MANAGER",
            secrets.endpoint.as_str(),
        )];
        let failed = says(
            try_with(&["export", "old-shop", "--secret-id", "x"], &way),
            code,
            names,
        );
        assert!(!failed.stderr.contains("hunter2"), "{}", failed.stderr);
    }
    assert!(sandbox.stop().success());
}
