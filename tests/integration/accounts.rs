//! Accounts on real servers: read, brought to an empty server, read again: no difference, and the passwords work.

use atrest_fixer::accounts::{OnGrantError, bring_over};
use atrest_model::account::{DiffOptions, Name, Scope, diff};
use atrest_sandbox::EngineMode;
use atrest_sandbox::engine::{Engines, ServerSpec};
use atrest_scanner::mysql::{self, Connection, Target, Tls};
use secrecy::SecretString;

const MASTER: &str = "admin";
const PASSWORD: &str = "master-password-of-the-test";

/// Names and grants that break tools which replay text: quotes, backticks, backslashes, patterns, an injection. Only
/// privileges that RDS gives its master user, who can grant no others: on MariaDB, `ALL` would hold DELETE HISTORY.
const NASTY: &str = r"
CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY, `c 2` INT, secret INT);
CREATE DATABASE `my_db`; CREATE DATABASE `q``t`;
CREATE PROCEDURE shop.p() SELECT 1; CREATE FUNCTION shop.p() RETURNS INT DETERMINISTIC RETURN 1;
CREATE USER 'o''brien'@'%' IDENTIFIED BY 'pw-quote';
CREATE USER 'b`tick'@'localhost' IDENTIFIED BY 'pw-tick';
CREATE USER 'ba\\ck'@'%' IDENTIFIED BY 'pw-back';
CREATE USER 'pi|pe'@'%' IDENTIFIED BY 'pw-pipe'; CREATE USER 'e'@'%' IDENTIFIED BY 'pw-e';
CREATE USER 'u''@''%'' WITH GRANT OPTION#'@'%' IDENTIFIED BY 'pw-inject'; CREATE USER 'u'@'%' IDENTIFIED BY 'pw-u';
CREATE USER 'Case'@'10.0.%' IDENTIFIED BY 'pw-1'; CREATE USER 'case'@'10.0.0.0/255.255.0.0' IDENTIFIED BY 'pw-2';
CREATE USER 'locked'@'%' IDENTIFIED BY 'pw-locked' ACCOUNT LOCK;
CREATE USER 'tls'@'%' IDENTIFIED BY 'pw-tls' REQUIRE SUBJECT '/CN=o''b' WITH MAX_USER_CONNECTIONS 3;
GRANT SELECT (id, `c 2`), UPDATE (secret) ON shop.t TO 'o''brien'@'%' WITH GRANT OPTION;
GRANT SELECT ON `my\_db`.* TO 'pi|pe'@'%'; GRANT INSERT ON `my%`.* TO 'pi|pe'@'%'; GRANT SELECT, INSERT, CREATE, DROP ON `q``t`.* TO 'ba\\ck'@'%';
GRANT EXECUTE ON PROCEDURE shop.p TO 'e'@'%'; GRANT EXECUTE ON FUNCTION shop.p TO 'b`tick'@'localhost';
GRANT PROCESS, RELOAD ON *.* TO 'u''@''%'' WITH GRANT OPTION#'@'%';
";

/// The tables that grants need, without the accounts.
const SCHEMAS: &str = r"
CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY, `c 2` INT, secret INT);
CREATE PROCEDURE shop.p() SELECT 1; CREATE FUNCTION shop.p() RETURNS INT DETERMINISTIC RETURN 1;
";

async fn connect(
    engines: &Engines,
    server: &atrest_sandbox::engine::ServerId,
    user: &str,
    password: &str,
) -> Connection {
    let address = engines
        .open_endpoint(server, &format!("test/{}", server.0), 3306)
        .await
        .unwrap();
    let mut target = Target::new(
        address.to_string(),
        3306,
        user,
        SecretString::from(password),
    );
    target.tls = Tls::Off;
    mysql::connect(&target).await.unwrap()
}

async fn round_trip(engine: &str, version: &str) {
    let dir = tempfile::tempdir().unwrap();
    let engines = Engines::open(
        EngineMode::Required,
        atrest_sandbox::engine::default_install_dir().unwrap(),
        dir.path().to_owned(),
    )
    .await
    .unwrap()
    .unwrap();
    assert!(
        engines.can_run(engine, version),
        "install it: sandbox/install-engines.sh mariadb1011 mysql57"
    );
    let spec = ServerSpec {
        engine: engine.to_owned(),
        engine_version: version.to_owned(),
        master_username: MASTER.to_owned(),
        master_password: PASSWORD.to_owned(),
        parameters: [("log_bin_trust_function_creators".to_owned(), "1".to_owned())].into(),
        log_bin: true,
    };
    let (old, new) = (
        engines.create(spec.clone()).await.unwrap(),
        engines.create(spec).await.unwrap(),
    );
    engines.run_sql(&old, NASTY).await.unwrap();
    engines.run_sql(&new, SCHEMAS).await.unwrap();
    let options = DiffOptions {
        master_username: Some(Name::from(MASTER)),
    };

    let mut from = connect(&engines, &old, MASTER, PASSWORD).await;
    let mut to = connect(&engines, &new, MASTER, PASSWORD).await;
    let theirs = mysql::read_accounts(&mut from).await.unwrap();
    assert!(theirs.unread.is_empty(), "{:?}", theirs.unread);
    let before = diff(
        &theirs,
        &mysql::read_accounts(&mut to).await.unwrap(),
        &options,
    );
    assert_eq!(before.missing.len(), 11, "{:?}", before.missing);
    let brought = bring_over(
        &mut to,
        &theirs,
        Scope::Missing,
        &options,
        OnGrantError::Report,
    )
    .await
    .unwrap();
    assert!(
        brought.report.failed.is_empty(),
        "{:#?}",
        brought.report.failed
    );
    assert!(brought.remaining.is_empty(), "{:#?}", brought.remaining);
    // A second run finds nothing to do.
    let again = bring_over(
        &mut to,
        &theirs,
        Scope::Missing,
        &options,
        OnGrantError::Report,
    )
    .await
    .unwrap();
    assert!(
        again.report.applied.is_empty(),
        "{:?}",
        again.report.applied
    );
    to.close().await;
    from.close().await;
    for (user, password) in [
        ("o'brien", "pw-quote"),
        ("ba\\ck", "pw-back"),
        ("u'@'%' WITH GRANT OPTION#", "pw-inject"),
    ] {
        connect(&engines, &new, user, password).await.close().await;
    }
    engines.shutdown().await.unwrap();
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future);
}

#[test]
fn nasty_accounts_make_the_round_trip_on_mariadb_10_11() {
    block_on(round_trip("mariadb", "10.11.9"));
}

#[test]
fn nasty_accounts_make_the_round_trip_on_mysql_5_7() {
    block_on(round_trip("mysql", "5.7.44"));
}
