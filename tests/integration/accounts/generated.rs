//! Generated account sets on real servers: what the model says is what the server then holds, from any set to any
//! other, and its clone is equal.

use std::collections::BTreeMap;

use atrest_fixer::accounts::{OnGrantError, bring_over};
use atrest_model::account::{
    Account, AccountKey, Accounts, Authentication, Credential, Grants, Limits, Name,
    PasswordLifetime, PasswordPolicy, PrivilegeSet, RoutineKind, Scope, TableGrant, TlsRequirement,
    diff,
};
use atrest_scanner::mysql::Connection;
use proptest::collection::{btree_map, btree_set};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::fixtures::{Kind, MARIADB1011, MYSQL57, SCHEMAS};
use super::lab::{Lab, block_on, options, read};

/// Sets per server; each is reached from the one before.
const SETS: usize = 8;

fn name() -> impl Strategy<Value = Name> {
    // MySQL takes blanks off the ends of a user name.
    "[a-c`'\"\\\\%_é日|;#@*/-]([a-cA-B`'\"\\\\%_é日|;#@*/ -]{0,10}[a-c`'\"\\\\%_é日|;#-])?"
        .prop_map(|text| Name::from(text.as_str()))
}

fn key() -> impl Strategy<Value = AccountKey> {
    let host = select(vec![
        "%",
        "localhost",
        "10.%",
        "10.0.0.0/255.0.0.0",
        "::1",
        "h'o|st",
        "a.example.com",
    ]);
    (name(), host).prop_map(|(user, host)| AccountKey::new(user, host))
}

fn privileges(names: &'static [&'static str]) -> impl Strategy<Value = PrivilegeSet> {
    btree_set(select(names), 1..=names.len()).prop_map(|names| {
        names
            .into_iter()
            .filter_map(PrivilegeSet::named)
            .fold(PrivilegeSet::EMPTY, PrivilegeSet::union)
    })
}

fn grants() -> impl Strategy<Value = Grants> {
    let column =
        select(vec!["id", "c 2", "secret", "ü|m", "b`t", "q'x", "bs\\t"]).prop_map(Name::from);
    let table = (
        option::of(privileges(&[
            "SELECT",
            "DELETE",
            "ALTER",
            "SHOW VIEW",
            "TRIGGER",
            "GRANT OPTION",
        ])),
        btree_map(
            column,
            privileges(&["SELECT", "INSERT", "UPDATE", "REFERENCES"]),
            0..4,
        ),
    )
        .prop_map(|(table, columns)| TableGrant {
            table: table.unwrap_or_default(),
            columns,
        });
    let kind = select(vec![RoutineKind::Function, RoutineKind::Procedure]);
    (
        option::of(privileges(&[
            "SELECT",
            "PROCESS",
            "FILE",
            "SUPER",
            "CREATE USER",
            "SHOW DATABASES",
            "REPLICATION CLIENT",
            "GRANT OPTION",
        ])),
        btree_map(
            name(),
            privileges(&[
                "SELECT",
                "INSERT",
                "CREATE",
                "LOCK TABLES",
                "EVENT",
                "CREATE ROUTINE",
                "GRANT OPTION",
            ]),
            0..4,
        ),
        option::of(table),
        btree_map(
            kind,
            privileges(&["EXECUTE", "ALTER ROUTINE", "GRANT OPTION"]),
            0..3,
        ),
        btree_map(key(), any::<bool>(), 0..2),
    )
        .prop_map(|(global, databases, table, routines, proxies)| Grants {
            global: global.unwrap_or_default(),
            databases,
            tables: table
                .filter(|table| !table.table.is_empty() || !table.columns.is_empty())
                .map(|table| ((Name::from("shop"), Name::from("t")), table))
                .into_iter()
                .collect(),
            routines: routines
                .into_iter()
                .map(|(kind, set)| ((kind, Name::from("shop"), Name::from("p")), set))
                .collect(),
            proxies,
            ..Grants::default()
        })
}

fn account() -> impl Strategy<Value = Account> {
    let text = || "[a-z='\"\\\\/ ]{1,12}".prop_map(|text: String| Name::from(text.as_str()));
    let tls = prop_oneof![
        Just(TlsRequirement::None),
        Just(TlsRequirement::Ssl),
        Just(TlsRequirement::X509),
        (text(), text()).prop_map(|(subject, issuer)| TlsRequirement::Specified {
            subject,
            issuer,
            cipher: Name::default()
        }),
    ];
    let lifetime = prop_oneof![
        Just(PasswordLifetime::Default),
        Just(PasswordLifetime::Never),
        (1..900_u32).prop_map(PasswordLifetime::Days),
    ];
    (
        option::weighted(0.9, "[0-9A-F]{40}"),
        tls,
        (0..9_u64, 0..9_u64, 0..9_u64, 0..9_i64),
        lifetime,
        any::<bool>(),
        any::<bool>(),
        grants(),
    )
        .prop_map(
            |(hash, tls, limits, lifetime, expired, locked, grants)| Account {
                authentication: vec![Authentication {
                    plugin: "mysql_native_password".to_owned(),
                    credential: Credential::new(
                        hash.map_or_else(Vec::new, |hash| format!("*{hash}").into_bytes()),
                    ),
                }],
                tls,
                limits: Limits {
                    queries_per_hour: limits.0,
                    updates_per_hour: limits.1,
                    connections_per_hour: limits.2,
                    user_connections: limits.3,
                    statement_time_us: 0,
                },
                password: PasswordPolicy {
                    expired,
                    lifetime,
                    ..PasswordPolicy::default()
                },
                locked,
                grants,
                ..Account::default()
            },
        )
}

async fn make_equal(to: &mut Connection, theirs: &Accounts) {
    let brought = bring_over(
        to,
        theirs,
        Scope::SyncAndDrop,
        &options(),
        OnGrantError::Report,
    )
    .await
    .unwrap();
    let report = &brought.report;
    assert!(report.failed.is_empty(), "{:#?}", report.failed);
    assert!(report.refused.is_empty(), "{:#?}", report.refused);
    let left = diff(theirs, &read(to).await, &options());
    assert!(left.is_empty(), "{left:#?}\n{:#?}", report.applied);
}

async fn every_set_is_reached(kind: &Kind) {
    let lab = Lab::open(&[kind]).await.unwrap();
    let (one, two) = (lab.server(kind, &[]).await, lab.server(kind, &[]).await);
    for server in [&one, &two] {
        lab.run(server, SCHEMAS).await;
        lab.unrestrict(server).await;
    }
    let (mut first, mut second) = (lab.master(&one).await, lab.master(&two).await);
    let empty = read(&mut first).await;
    let sets: BoxedStrategy<BTreeMap<AccountKey, Account>> =
        btree_map(key(), account(), 3..14).boxed();
    let mut runner = TestRunner::new(Config {
        rng_seed: RngSeed::Fixed(57),
        ..Config::default()
    });
    for _ in 0..SETS {
        let mut wanted = empty.clone();
        wanted
            .accounts
            .extend(sets.new_tree(&mut runner).unwrap().current());
        make_equal(&mut first, &wanted).await;
        make_equal(&mut second, &read(&mut first).await).await;
    }
    lab.close().await;
}

#[test]
fn generated_accounts_are_what_mysql_5_7_then_holds() {
    block_on(every_set_is_reached(&MYSQL57));
}

#[test]
fn generated_accounts_are_what_mariadb_10_11_then_holds() {
    block_on(every_set_is_reached(&MARIADB1011));
}
