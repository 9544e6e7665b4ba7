//! The round trip is the oracle: what was read from one server and brought to an empty one reads the same there.

use atrest_fixer::accounts::{OnGrantError, bring_over};
use atrest_model::account::{
    Accounts, DiffWarning, Level, NotTransferable, PrivilegeSet, Scope, Side, Subject, diff,
};

use atrest_sandbox::engine::ServerId;

use super::fixtures::{
    ED25519_PLUGIN, EVERYWHERE_LOGINS, Kind, MARIADB118, MARIADB1011, MYSQL56, MYSQL57, MYSQL97,
    PARTIAL_REVOKES, SCHEMAS,
};
use super::lab::{Lab, block_on, options, read};

/// As whom the accounts are brought over.
#[derive(Clone, Copy, PartialEq)]
enum As {
    /// Someone with every privilege there is.
    Anyone,
    /// The master user of RDS.
    Master,
}

/// How a server parses SQL when nothing else is said: quotes and backslashes mean something else than usual.
const ODD_SQL_MODE: (&str, &str) = ("sql_mode", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES");

async fn round_trip(kind: &Kind, parameters: &[(&str, &str)], who: As) {
    let Some(lab) = Lab::open(&[kind]).await else {
        return;
    };
    let (old, new) = (
        lab.server(kind, parameters).await,
        lab.server(kind, parameters).await,
    );
    for server in [&old, &new] {
        lab.run(server, SCHEMAS).await;
        if kind.engine == "mariadb" {
            lab.run(server, ED25519_PLUGIN).await;
        }
        if who == As::Anyone {
            lab.unrestrict(server).await;
        }
    }
    lab.run(&old, &kind.script()).await;
    if parameters.contains(&("partial_revokes", "ON")) {
        lab.run(&old, PARTIAL_REVOKES).await;
    }
    let (mut from, mut to) = (lab.master(&old).await, lab.master(&new).await);
    let theirs = read(&mut from).await;
    assert!(theirs.unread.is_empty(), "{:?}", theirs.unread);
    let ours = read(&mut to).await;
    let before = diff(&theirs, &ours, &options());
    assert!(before.missing.len() > 45, "{:?}", before.missing);

    let brought = bring_over(
        &mut to,
        &theirs,
        Scope::Missing,
        &options(),
        OnGrantError::Report,
    )
    .await
    .unwrap();
    let report = &brought.report;
    assert!(report.failed.is_empty(), "{:#?}", report.failed);
    // What the server would refuse was known before.
    assert!(report.refused.is_empty(), "{:#?}", report.refused);
    let unexplained = brought.unexplained();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    only_what_nobody_can_carry(&brought.not_transferable, &theirs, &ours, who);

    let forgotten = brought.remaining.warnings.iter().filter(|warning| {
        matches!(warning, DiffWarning::GoneAfterRestart { side: Side::New, account, .. }
            if [b"e".as_slice(), "ünï".as_bytes(), "日本".as_bytes()].contains(&account.user().as_bytes()))
    });
    assert_eq!(forgotten.count(), 3, "{:#?}", brought.remaining.warnings);

    let again = bring_over(
        &mut to,
        &theirs,
        Scope::Missing,
        &options(),
        OnGrantError::Report,
    )
    .await
    .unwrap();
    assert!(
        again.report.applied.is_empty() && again.report.failed.is_empty(),
        "{:#?}",
        again.report
    );
    to.close().await;
    from.close().await;

    for (user, password) in EVERYWHERE_LOGINS.iter().chain(kind.logins) {
        let tries = if kind.ed25519.contains(user) { 3 } else { 1 };
        let there = outcome(&lab, &old, user, password, tries).await;
        let here = outcome(&lab, &new, user, password, tries).await;
        assert_eq!(there, here, "{user}");
        assert_eq!(
            there == "in",
            !kind.kept_out.contains(user),
            "{user}: {there}"
        );
        let wrong = lab.outcome(&new, user, "another password").await;
        assert_ne!(wrong, "in", "{user}");
    }
    for account in kind.not_checked {
        println!(
            "NOT CHECKED on {}: the password of {account} cannot be sent by the driver; its stored hash is equal byte for byte",
            kind.name
        );
    }
    lab.close().await;
}

/// What the server says to a login; a refusal has to come as often as this.
async fn outcome(lab: &Lab, server: &ServerId, user: &str, password: &str, tries: u32) -> String {
    let mut said = String::new();
    for _ in 0..tries {
        said = lab.outcome(server, user, password).await;
        if said == "in" {
            break;
        }
    }
    said
}

/// Everything said to be not transferable really is: a grant on a dropped table, what no table shows, and, as the
/// master user, what that user has no grant option for.
fn only_what_nobody_can_carry(
    entries: &[NotTransferable],
    theirs: &Accounts,
    ours: &Accounts,
    who: As,
) {
    let login = &ours.accounts[&ours.read_as].grants;
    let mut gone = 0;
    for entry in entries {
        match &entry.subject {
            Subject::Unseen { what } => {
                assert!(
                    ["age of the password", "earlier passwords"].contains(&what.as_str()),
                    "{entry:?}"
                );
            }
            Subject::Privilege { on, privilege } if on.to_string().contains("`gone`") => {
                assert!(
                    ["SELECT", "UPDATE"].contains(&privilege.as_str()),
                    "{entry:?}"
                );
                gone += 1;
            }
            Subject::Privilege {
                on: Level::Restriction { database },
                ..
            } => {
                assert!(who == As::Master, "{entry:?}");
                assert_eq!(database.to_string(), "mysql", "{entry:?}");
            }
            Subject::Privilege { on, privilege } => {
                assert!(who == As::Master, "{entry:?}");
                let name = privilege.trim_end_matches(" WITH GRANT OPTION");
                let is_static =
                    PrivilegeSet::named(name).is_some_and(|one| login.global.contains(one));
                let is_proxy = matches!(on, Level::Proxy { .. });
                assert!(
                    is_proxy || !is_static && !login.dynamic.contains_key(name),
                    "{entry:?}"
                );
            }
            Subject::Account | Subject::Attribute { .. } => panic!("{entry:?}"),
        }
    }
    assert_eq!(gone, 2);
    assert!(theirs.accounts.len() > ours.accounts.len());
}

#[test]
fn accounts_of_mysql_5_6_make_the_round_trip() {
    block_on(round_trip(&MYSQL56, &[], As::Anyone));
}

#[test]
fn accounts_of_mysql_5_7_make_the_round_trip() {
    block_on(round_trip(&MYSQL57, &[], As::Anyone));
}

#[test]
fn accounts_of_mysql_9_7_make_the_round_trip() {
    block_on(round_trip(&MYSQL97, &[], As::Anyone));
}

#[test]
fn accounts_of_mariadb_10_11_make_the_round_trip() {
    block_on(round_trip(&MARIADB1011, &[], As::Anyone));
}

#[test]
fn accounts_of_mariadb_11_8_make_the_round_trip() {
    block_on(round_trip(&MARIADB118, &[], As::Anyone));
}

#[test]
fn as_the_master_user_of_rds_accounts_of_mysql_5_6_make_the_round_trip() {
    block_on(round_trip(&MYSQL56, &[], As::Master));
}

#[test]
fn as_the_master_user_of_rds_accounts_of_mysql_5_7_make_the_round_trip() {
    block_on(round_trip(&MYSQL57, &[], As::Master));
}

#[test]
fn as_the_master_user_of_rds_accounts_of_mariadb_10_11_make_the_round_trip() {
    block_on(round_trip(&MARIADB1011, &[], As::Master));
}

#[test]
fn as_the_master_user_of_rds_accounts_of_mariadb_11_8_make_the_round_trip() {
    block_on(round_trip(&MARIADB118, &[], As::Master));
}

#[test]
fn an_odd_sql_mode_of_the_server_changes_nothing_on_mysql_5_6() {
    block_on(round_trip(&MYSQL56, &[ODD_SQL_MODE], As::Master));
}

#[test]
fn an_odd_sql_mode_of_the_server_changes_nothing_on_mysql_5_7() {
    block_on(round_trip(&MYSQL57, &[ODD_SQL_MODE], As::Master));
}

#[test]
fn an_odd_sql_mode_of_the_server_changes_nothing_on_mysql_9_7() {
    block_on(round_trip(&MYSQL97, &[ODD_SQL_MODE], As::Master));
}

#[test]
fn an_odd_sql_mode_of_the_server_changes_nothing_on_mariadb_10_11() {
    block_on(round_trip(&MARIADB1011, &[ODD_SQL_MODE], As::Master));
}

#[test]
fn an_odd_sql_mode_of_the_server_changes_nothing_on_mariadb_11_8() {
    block_on(round_trip(&MARIADB118, &[ODD_SQL_MODE], As::Master));
}

#[test]
fn partial_revokes_make_the_round_trip_with_every_privilege() {
    block_on(round_trip(
        &MYSQL97,
        &[("partial_revokes", "ON")],
        As::Anyone,
    ));
}

#[test]
fn partial_revokes_make_the_round_trip_as_the_master_user() {
    block_on(round_trip(
        &MYSQL97,
        &[("partial_revokes", "ON")],
        As::Master,
    ));
}
