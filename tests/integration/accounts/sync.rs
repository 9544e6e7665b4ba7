//! `Scope`: what is only missing is added, what differs is altered and revoked when asked for, accounts are dropped
//! when asked for, and every scope ends: a second run finds nothing to do.

use atrest_fixer::accounts::{BringOver, OnGrantError, bring_over};
use atrest_model::account::{AccountKey, Accounts, DiffWarning, Scope, diff, render};
use atrest_scanner::mysql::Connection;

use super::fixtures::{
    ED25519_PLUGIN, Kind, MARIADB118, MARIADB1011, MYSQL56, MYSQL57, MYSQL97, SCHEMAS,
};
use super::lab::{Lab, block_on, options, read};

/// What has become different on the new server.
const DRIFT: &str = r#"
SET SESSION sql_mode = '';
DROP USER 'at@sign'@'%';
GRANT INSERT, DELETE ON shop.* TO 'o''brien'@'%'; REVOKE SELECT ON `q't`.* FROM 'o''brien'@'%';
REVOKE UPDATE (secret) ON shop.t FROM 'o''brien'@'%'; GRANT SELECT (secret), DELETE ON shop.t TO 'o''brien'@'%'; REVOKE GRANT OPTION ON shop.t FROM 'o''brien'@'%';
GRANT SELECT ON shop.t TO 'pi|pe'@'%' WITH GRANT OPTION; REVOKE DELETE ON shop.t FROM 'pi|pe'@'%'; REVOKE UPDATE (id) ON shop.t FROM 'pi|pe'@'%';
REVOKE INSERT ON `my_db`.* FROM 'pi|pe'@'%'; GRANT EVENT ON `my\_db`.* TO 'pi|pe'@'%'; GRANT SELECT ON `other%`.* TO 'pi|pe'@'%' WITH GRANT OPTION;
GRANT PROCESS ON *.* TO 'u'@'%'; REVOKE GRANT OPTION ON *.* FROM 'Case'@'%'; REVOKE REPLICATION SLAVE ON *.* FROM 'Case'@'%'; GRANT SELECT ON *.* TO 'Case'@'%';
GRANT ALTER ROUTINE ON PROCEDURE shop.p TO 'e'@'%'; REVOKE EXECUTE ON FUNCTION shop.p FROM 'e'@'%'; GRANT EXECUTE ON FUNCTION shop.p TO 'u'@'%' WITH GRANT OPTION;
{ALTER} 'limits'@'%' WITH MAX_QUERIES_PER_HOUR 99 MAX_USER_CONNECTIONS 1; {ALTER} 'ssl'@'%' REQUIRE NONE; {ALTER} 'u'@'%' REQUIRE X509;
{ALTER} 'subject'@'%' REQUIRE SUBJECT '/CN=other' AND CIPHER 'x'; {ALTER} 'ta	b'@'%' WITH MAX_UPDATES_PER_HOUR 5;
CREATE USER 'extra'@'%' IDENTIFIED BY 'pw-extra'; GRANT SELECT ON shop.* TO 'extra'@'%'; CREATE USER ''@'extra.host';
CREATE USER 'rdsnew'@'%' IDENTIFIED BY 'pw-rds'; GRANT SELECT ON shop.* TO 'rdsnew'@'%';
"#;

const DRIFT_MYSQL56: &str = r#"
SET PASSWORD FOR 'ba\\ck'@'%' = PASSWORD('other'); SET PASSWORD FOR 'expired'@'%' = PASSWORD('fresh'); ALTER USER 'e'@'%' PASSWORD EXPIRE;
SET SESSION old_passwords = 2; SET PASSWORD FOR 'sha'@'%' = PASSWORD('other'); SET SESSION old_passwords = 0;
GRANT PROXY ON 'u'@'%' TO 'case'@'%'; REVOKE PROXY ON ''@'' FROM 'o''brien'@'%'; GRANT PROXY ON ''@'' TO 'e'@'%' WITH GRANT OPTION;
"#;

const DRIFT_MYSQL57: &str = r#"
ALTER USER 'ba\\ck'@'%' IDENTIFIED BY 'other'; ALTER USER 'expired'@'%' IDENTIFIED BY 'fresh'; ALTER USER 'e'@'%' PASSWORD EXPIRE;
ALTER USER 'locked'@'%' ACCOUNT UNLOCK; ALTER USER 'u'@'%' ACCOUNT LOCK; ALTER USER 'never'@'%' PASSWORD EXPIRE DEFAULT; ALTER USER 'days'@'%' PASSWORD EXPIRE NEVER; ALTER USER 'dual'@'%' PASSWORD EXPIRE INTERVAL 3 DAY;
ALTER USER 'all of it'@'%' IDENTIFIED BY 'x' REQUIRE NONE ACCOUNT UNLOCK; ALTER USER 'sha1'@'%' IDENTIFIED WITH 'sha256_password' BY 'other';
ALTER USER 'sha2'@'%' IDENTIFIED WITH 'sha256_password'; ALTER USER 'Case'@'%' IDENTIFIED WITH 'sha256_password' BY 'pw-Case';
"#;

const DRIFT_MYSQL57_PROXY: &str = r#"
GRANT PROXY ON 'u'@'%' TO 'case'@'%'; REVOKE PROXY ON ''@'' FROM 'o''brien'@'%'; GRANT PROXY ON ''@'' TO 'e'@'%' WITH GRANT OPTION;
REVOKE PROXY ON 'e'@'%' FROM 'never'@'%'; GRANT PROXY ON 'e'@'%' TO 'never'@'%';
"#;

const DRIFT_MYSQL97: &str = r#"
REVOKE 'r1' FROM 'r2'; GRANT 'r1' TO 'r4'; REVOKE 'r4' FROM 'o''brien'@'%'; GRANT 'r4' TO 'o''brien'@'%'; GRANT 'r1' TO 'pi|pe'@'%' WITH ADMIN OPTION; GRANT 'r2' TO 'u'@'%';
SET DEFAULT ROLE 'r1' TO 'e'@'%'; SET DEFAULT ROLE NONE TO 'Case'@'%'; SET DEFAULT ROLE ALL TO 'pi|pe'@'%'; DROP ROLE 'nobody has it'; CREATE ROLE 'extra role';
ALTER USER 'dual pw'@'%' DISCARD OLD PASSWORD; ALTER USER 'c1'@'%' IDENTIFIED BY 'another' RETAIN CURRENT PASSWORD; ALTER USER 'dual sha'@'%' IDENTIFIED BY 'x' RETAIN CURRENT PASSWORD;
ALTER USER 'comment'@'%' ATTRIBUTE '{"comment": null, "new": 1}'; ALTER USER 'attribute'@'%' ATTRIBUTE '{"a": {"b": [1]}, "more": "x"}'; ALTER USER 'c2'@'%' COMMENT 'extra';
ALTER USER 'history'@'%' PASSWORD HISTORY DEFAULT PASSWORD REUSE INTERVAL DEFAULT PASSWORD REQUIRE CURRENT DEFAULT; ALTER USER 'optional'@'%' PASSWORD HISTORY 9 PASSWORD REQUIRE CURRENT;
ALTER USER 'failed'@'%' FAILED_LOGIN_ATTEMPTS 0 PASSWORD_LOCK_TIME 0; ALTER USER 'unbounded'@'%' PASSWORD_LOCK_TIME 5; ALTER USER 'c3'@'%' FAILED_LOGIN_ATTEMPTS 3 PASSWORD_LOCK_TIME 1;
REVOKE SHOW_ROUTINE ON *.* FROM 'dual'@'%'; GRANT SHOW_ROUTINE ON *.* TO 'dual'@'%'; GRANT ROLE_ADMIN ON *.* TO 'dual'@'%' WITH GRANT OPTION; GRANT FLUSH_TABLES ON *.* TO 'u'@'%'; REVOKE FLUSH_STATUS ON *.* FROM 'u'@'%'; REVOKE CREATE ROLE ON *.* FROM 'dual'@'%';
"#;

const DRIFT_MARIADB: &str = r#"
ALTER USER 'ba\\ck'@'%' IDENTIFIED BY 'other'; ALTER USER 'expired'@'%' IDENTIFIED BY 'fresh'; ALTER USER 'e'@'%' PASSWORD EXPIRE;
ALTER USER 'locked'@'%' ACCOUNT UNLOCK; ALTER USER 'u'@'%' ACCOUNT LOCK; ALTER USER 'never'@'%' PASSWORD EXPIRE DEFAULT; ALTER USER 'days'@'%' PASSWORD EXPIRE NEVER; ALTER USER 'dual'@'%' PASSWORD EXPIRE INTERVAL 3 DAY;
ALTER USER 'all of it'@'%' IDENTIFIED BY 'x' REQUIRE NONE WITH MAX_STATEMENT_TIME 0 ACCOUNT UNLOCK; ALTER USER 'fraction'@'%' WITH MAX_STATEMENT_TIME 2.5; ALTER USER 'not at all'@'%' WITH MAX_USER_CONNECTIONS 0;
ALTER USER 'either'@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('pw-either'); ALTER USER 'ed'@'%' IDENTIFIED VIA ed25519 USING PASSWORD('other'); ALTER USER 'nopw'@'%' IDENTIFIED VIA ed25519 USING PASSWORD('x') OR unix_socket;
REVOKE r1 FROM `r 'two`; GRANT r1 TO r4; REVOKE ADMIN OPTION FOR r4 FROM 'o''brien'@'%'; GRANT r1 TO 'pi|pe'@'%' WITH ADMIN OPTION; GRANT `r 'two` TO 'u'@'%';
SET DEFAULT ROLE NONE FOR 'o''brien'@'%'; SET DEFAULT ROLE r4 FOR 'pi|pe'@'%'; SET DEFAULT ROLE `r 'two` FOR 'e'@'%'; DROP ROLE `nobody has it`; CREATE ROLE `extra role`;
GRANT UPDATE ON shop.* TO r1; REVOKE PROCESS ON *.* FROM r4; REVOKE SELECT ON `my_db`.* FROM PUBLIC; GRANT SELECT ON shop.* TO PUBLIC;
GRANT PROXY ON 'u'@'%' TO 'case'@'%'; REVOKE PROXY ON ''@'%' FROM 'o''brien'@'%'; REVOKE PROXY ON 'e'@'%' FROM 'never'@'%'; GRANT PROXY ON 'e'@'%' TO 'never'@'%';
"#;

async fn bring(to: &mut Connection, theirs: &Accounts, scope: Scope) -> BringOver {
    let brought = bring_over(to, theirs, scope, &options(), OnGrantError::Report)
        .await
        .unwrap();
    let report = &brought.report;
    assert!(report.failed.is_empty(), "{:#?}", report.failed);
    assert!(report.refused.is_empty(), "{:#?}", report.refused);
    // Twice is as good as once.
    let again = bring_over(to, theirs, scope, &options(), OnGrantError::Report)
        .await
        .unwrap();
    assert!(
        again.report.applied.is_empty(),
        "{:#?}",
        again.report.applied
    );
    brought
}

async fn converges(kind: &Kind, drift: &[&str]) {
    let Some(lab) = Lab::open(&[kind]).await else {
        return;
    };
    let old = lab.server(kind, &[]).await;
    lab.run(&old, SCHEMAS).await;
    if kind.engine == "mariadb" {
        lab.run(&old, ED25519_PLUGIN).await;
    }
    lab.unrestrict(&old).await;
    lab.run(&old, &kind.script()).await;
    let new = lab.copy(kind, &old).await;
    let (mut from, mut to) = (lab.master(&old).await, lab.master(&new).await);
    let theirs = read(&mut from).await;
    let equal = read(&mut to).await;
    let copied = diff(&theirs, &equal, &options());
    assert!(copied.is_empty(), "{copied:#?}");
    for part in [DRIFT].iter().chain(drift) {
        lab.run(&new, &kind.fill_in(part)).await;
    }

    let drifted = read(&mut to).await;
    let drift = diff(&theirs, &drifted, &options());
    let at_sign = AccountKey::new("at@sign", "%");
    assert!(drift.missing.contains(&at_sign));
    assert!(
        drift.extra.len() >= 2 && drift.changed.len() >= 10,
        "{drift:#?}"
    );
    let rds_new = AccountKey::new("rdsnew", "%");
    assert!(drift.reserved.contains(&rds_new));
    assert!(drift.warnings.iter().any(|warning| *warning
        == DiffWarning::LooksReserved {
            account: rds_new.clone()
        }));

    // Missing: what is there keeps everything it has.
    let brought = bring(&mut to, &theirs, Scope::Missing).await;
    let added = read(&mut to).await;
    assert!(added.accounts.contains_key(&at_sign));
    for (key, before) in &drifted.accounts {
        let after = &added.accounts[key];
        let kept = |account: &atrest_model::account::Account| {
            let mut account = account.clone();
            (account.grants, account.default_roles) = Default::default();
            account
        };
        assert_eq!(kept(before), kept(after), "{key}");
        assert!(after.grants.global.contains(before.grants.global), "{key}");
        for (database, set) in &before.grants.databases {
            assert!(after.grants.databases[database].contains(*set), "{key}");
        }
    }
    let unexplained = brought.unexplained();
    assert!(unexplained.missing.is_empty(), "{unexplained:#?}");

    // Sync: equal, but for the accounts of the new server alone.
    let brought = bring(&mut to, &theirs, Scope::Sync).await;
    let unexplained = brought.unexplained();
    assert_eq!(
        (&unexplained.missing, &unexplained.changed),
        (&vec![], &vec![]),
        "{unexplained:#?}"
    );
    assert_eq!(unexplained.extra, drift.extra);
    // An account is never rebuilt: what is equal is in no statement.
    let touched = |name: &str| {
        brought
            .report
            .applied
            .iter()
            .any(|text| text.contains(name))
    };
    assert!(
        !touched("'sp ace'") && !touched("'semi;--'"),
        "{:#?}",
        brought.report.applied
    );
    assert!(
        !brought
            .report
            .applied
            .iter()
            .any(|text| text.contains("ALL PRIVILEGES") || text.starts_with("DROP"))
    );

    let brought = bring(&mut to, &theirs, Scope::SyncAndDrop).await;
    let unexplained = brought.unexplained();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    let ours = read(&mut to).await;
    assert!(ours.accounts.contains_key(&rds_new));
    assert!(ours.accounts[&rds_new].grants == drifted.accounts[&rds_new].grants);
    let nothing = render(&theirs, &ours, Scope::SyncAndDrop, &options()).unwrap();
    let left: Vec<_> = nothing
        .statements
        .iter()
        .filter(|statement| !statement.masked().contains("`gone`"))
        .collect();
    assert!(left.is_empty(), "{left:#?}");

    for (user, password) in [
        ("ba\\ck", "pw-back"),
        ("at@sign", "pw-at"),
        ("e", "pw-e"),
        ("ssl", "pw-ssl"),
        ("u", "pw-u"),
    ] {
        let (there, here) = (
            lab.outcome(&old, user, password).await,
            lab.outcome(&new, user, password).await,
        );
        assert_eq!(there, here, "{user}");
    }
    lab.close().await;
}

#[test]
fn every_scope_converges_on_mysql_5_6() {
    block_on(converges(&MYSQL56, &[DRIFT_MYSQL56]));
}

#[test]
fn every_scope_converges_on_mysql_5_7() {
    block_on(converges(&MYSQL57, &[DRIFT_MYSQL57, DRIFT_MYSQL57_PROXY]));
}

#[test]
fn every_scope_converges_on_mysql_9_7() {
    block_on(converges(&MYSQL97, &[DRIFT_MYSQL57, DRIFT_MYSQL97]));
}

#[test]
fn every_scope_converges_on_mariadb_10_11() {
    block_on(converges(&MARIADB1011, &[DRIFT_MARIADB]));
}

#[test]
fn every_scope_converges_on_mariadb_11_8() {
    block_on(converges(&MARIADB118, &[DRIFT_MARIADB]));
}
