//! Account sets of one server: any bytes in names, every attribute its version has.

use std::collections::{BTreeMap, BTreeSet};

use atrest_model::account::{
    Account, AccountKey, Accounts, Authentication, Credential, FailedLogin, Grants, Limits,
    LockTime, Name, PasswordLifetime, PasswordPolicy, PrivilegeSet, RoutineKind, ServerVersion,
    Settings, TableGrant, TlsRequirement,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Names that end quotes, start comments or fit patterns; few, so that two sets share some.
const NASTY: [&[u8]; 14] = [
    b"a",
    b"o'b",
    b"`",
    b"b\\",
    b"\\'",
    b"' OR ''='",
    b"u'@'%' WITH GRANT OPTION#",
    b"x; DROP USER y --",
    b"/* c */",
    b"%_",
    b"nul\0\n\r\t",
    "ünï日".as_bytes(),
    b"\xff\xc3'",
    b"\"",
];

pub(crate) fn name() -> BoxedStrategy<Name> {
    prop_oneof![
        4 => select(NASTY.to_vec()).prop_map(Name::from),
        1 => vec(any::<u8>(), 1..8).prop_map(Name::from),
    ]
    .boxed()
}

fn key(server: ServerVersion) -> BoxedStrategy<AccountKey> {
    let host = prop_oneof![
        select(vec!["%", "localhost", "10.%", "h'|\\"]).prop_map(Name::from),
        name(),
    ];
    (name(), host)
        .prop_map(move |(user, host)| {
            // An empty host is a role on MariaDB; `rds…` is reserved.
            if server.is_mariadb() && host.is_empty() {
                AccountKey::new(user, "%")
            } else {
                AccountKey::new(user, host)
            }
        })
        .boxed()
}

/// Any of these privileges, at least one.
fn privileges(names: &'static [&'static str]) -> BoxedStrategy<PrivilegeSet> {
    btree_set(select(names), 1..=names.len())
        .prop_map(|names| {
            names
                .into_iter()
                .filter_map(PrivilegeSet::named)
                .fold(PrivilegeSet::EMPTY, PrivilegeSet::union)
        })
        .boxed()
}

const GLOBAL: &[&str] = &[
    "SELECT",
    "INSERT",
    "PROCESS",
    "SUPER",
    "CREATE TEMPORARY TABLES",
    "REPLICATION SLAVE",
    "GRANT OPTION",
];
const DATABASE: &[&str] = &["SELECT", "INSERT", "CREATE VIEW", "EVENT", "GRANT OPTION"];
const TABLE: &[&str] = &["SELECT", "DELETE", "TRIGGER", "GRANT OPTION"];
const COLUMN: &[&str] = &["SELECT", "INSERT", "UPDATE", "REFERENCES"];
const ROUTINE: &[&str] = &["EXECUTE", "ALTER ROUTINE", "GRANT OPTION"];

fn table_grant() -> impl Strategy<Value = TableGrant> {
    let table = option::of(privileges(TABLE)).prop_map(Option::unwrap_or_default);
    (table, btree_map(name(), privileges(COLUMN), 0..3))
        .prop_map(|(table, columns)| TableGrant { table, columns })
        .prop_filter("a row grants something", |grant| {
            !grant.table.is_empty() || !grant.columns.is_empty()
        })
}

fn grants(server: ServerVersion) -> impl Strategy<Value = Grants> {
    let kind = select(vec![RoutineKind::Function, RoutineKind::Procedure]);
    let dynamic = if server.is_mysql_from(8, 0, 0) {
        0..3
    } else {
        0..1
    };
    (
        option::of(privileges(GLOBAL)),
        btree_map(
            select(vec!["ROLE_ADMIN", "BACKUP_ADMIN", "SYSTEM_USER"]).prop_map(str::to_owned),
            any::<bool>(),
            dynamic,
        ),
        btree_map(name(), privileges(DATABASE), 0..3),
        btree_map((name(), name()), table_grant(), 0..3),
        btree_map((kind, name(), name()), privileges(ROUTINE), 0..2),
        btree_map(key(server), any::<bool>(), 0..2),
    )
        .prop_map(
            |(global, dynamic, databases, tables, routines, proxies)| Grants {
                global: global.unwrap_or_default(),
                dynamic,
                databases,
                tables,
                routines,
                proxies,
                ..Grants::default()
            },
        )
}

fn tls() -> impl Strategy<Value = TlsRequirement> {
    prop_oneof![
        Just(TlsRequirement::None),
        Just(TlsRequirement::Ssl),
        Just(TlsRequirement::X509),
        (
            name(),
            option::of(name()).prop_map(Option::unwrap_or_default),
            option::of(name()).prop_map(Option::unwrap_or_default)
        )
            .prop_map(|(subject, issuer, cipher)| TlsRequirement::Specified {
                subject,
                issuer,
                cipher
            }),
    ]
}

fn credential() -> impl Strategy<Value = Credential> {
    vec(any::<u8>(), 1..12).prop_map(Credential::new)
}

fn authentication(server: ServerVersion) -> BoxedStrategy<Vec<Authentication>> {
    let plugins = if server.is_mariadb() {
        vec!["mysql_native_password", "ed25519", "unix_socket"]
    } else if server.is_mysql_from(8, 0, 0) {
        vec!["caching_sha2_password", "sha256_password"]
    } else {
        vec!["mysql_native_password", "sha256_password"]
    };
    let count = if server.is_mariadb() { 1..4 } else { 1..2 };
    let method = (select(plugins), credential()).prop_map(|(plugin, credential)| Authentication {
        plugin: plugin.to_owned(),
        credential,
    });
    vec(method, count).boxed()
}

fn policy(server: ServerVersion) -> impl Strategy<Value = PasswordPolicy> {
    let lifetime = prop_oneof![
        Just(PasswordLifetime::Default),
        Just(PasswordLifetime::Never),
        (1..90_u32).prop_map(PasswordLifetime::Days),
    ];
    let lock_time = prop_oneof![
        Just(LockTime::Unbounded),
        (1..9_u32).prop_map(LockTime::Days)
    ];
    let failed = (1..9_u32, lock_time).prop_map(|(attempts, lock_time)| FailedLogin {
        attempts,
        lock_time,
    });
    (
        any::<bool>(),
        lifetime,
        option::of(0..9_u32),
        option::of(0..9_u32),
        option::of(any::<bool>()),
        option::of(failed),
    )
        .prop_map(
            move |(expired, lifetime, history, reuse_interval, require_current, failed_login)| {
                let policy = PasswordPolicy {
                    expired,
                    ..PasswordPolicy::default()
                };
                if !has_clauses(server) {
                    return policy;
                }
                let policy = PasswordPolicy { lifetime, ..policy };
                if !server.is_mysql_from(8, 0, 19) {
                    return policy;
                }
                PasswordPolicy {
                    history,
                    reuse_interval,
                    require_current,
                    failed_login,
                    ..policy
                }
            },
        )
}

/// Whether `ALTER USER` takes clauses.
fn has_clauses(server: ServerVersion) -> bool {
    server.is_mariadb() || server.is_mysql_from(5, 7, 6)
}

fn attribute() -> impl Strategy<Value = serde_json::Value> {
    let text = "[a-c'\"\\\\`]{0,4}";
    btree_map("[a-c'\"]{1,2}", text, 1..3)
        .prop_map(|members: BTreeMap<String, String>| serde_json::json!(members))
}

fn account(server: ServerVersion) -> impl Strategy<Value = Account> {
    let limits = (0..3_u64, 0..3_u64, 0..3_u64, 0..3_i64, 0..2_000_000_u64).prop_map(
        move |(queries, updates, connections, user, time)| Limits {
            queries_per_hour: queries,
            updates_per_hour: updates,
            connections_per_hour: connections,
            user_connections: user,
            statement_time_us: if server.is_mariadb() { time } else { 0 },
        },
    );
    (
        authentication(server),
        option::of(credential()),
        tls(),
        limits,
        policy(server),
        any::<bool>(),
        option::of(attribute()),
        grants(server),
    )
        .prop_map(
            move |(authentication, retained, tls, limits, password, locked, attribute, grants)| {
                let newest = server.is_mysql_from(8, 0, 21);
                Account {
                    authentication,
                    retained: retained.filter(|_| newest),
                    tls,
                    limits,
                    password,
                    locked: locked && has_clauses(server),
                    attribute: attribute.filter(|_| newest),
                    grants,
                    ..Account::default()
                }
            },
        )
}

/// The accounts of one server, read as someone of whom nothing else is known.
pub(crate) fn accounts(version: &'static str) -> BoxedStrategy<Accounts> {
    let server: ServerVersion = version.parse().unwrap();
    let roles = if server.is_mariadb() { 0..3 } else { 0..1 };
    let role = grants(server).prop_map(|grants| Account {
        is_role: true,
        grants,
        ..Account::default()
    });
    let picks = vec(
        (
            any::<prop::sample::Index>(),
            any::<prop::sample::Index>(),
            any::<bool>(),
            any::<bool>(),
        ),
        0..4,
    );
    (
        btree_map(key(server), account(server), 0..5),
        btree_map(
            name().prop_map(|name| AccountKey::new(name, "")),
            role,
            roles,
        ),
        picks,
    )
        .prop_map(move |(mut accounts, roles, picks)| {
            accounts.extend(roles);
            let keys: Vec<AccountKey> = accounts.keys().cloned().collect();
            for (member, role, admin, default) in picks {
                if keys.is_empty() {
                    break;
                }
                let (member, role) = (member.get(&keys), role.get(&keys));
                let is_role = accounts[role].is_role || server.is_mysql_from(8, 0, 0);
                if member == role || !is_role {
                    continue;
                }
                let account = accounts.get_mut(member).unwrap();
                account.grants.roles.insert(role.clone(), admin);
                let several = server.is_mysql_from(8, 0, 0);
                if default && !account.is_role && (several || account.default_roles.is_empty()) {
                    account.default_roles.insert(role.clone());
                }
            }
            server_with(server, accounts)
        })
        .boxed()
}

/// A server with these accounts.
pub(crate) fn server_with(
    server: ServerVersion,
    accounts: BTreeMap<AccountKey, Account>,
) -> Accounts {
    let all = GLOBAL
        .iter()
        .chain(DATABASE)
        .chain(TABLE)
        .chain(COLUMN)
        .chain(ROUTINE)
        .filter_map(|name| PrivilegeSet::named(name));
    Accounts {
        server,
        read_as: AccountKey::new("not in the tables", "%"),
        settings: Settings {
            lower_case_table_names: 0,
            partial_revokes: None,
            mandatory_roles: None,
            activate_all_roles_on_login: None,
            read_only: false,
        },
        grantable: all.fold(PrivilegeSet::EMPTY, PrivilegeSet::union),
        accounts: accounts
            .into_iter()
            .filter(|(key, _)| !key.user().as_bytes().starts_with(b"rds"))
            .collect(),
        orphans: Vec::new(),
        unread: Vec::new(),
    }
}

/// The names a set holds, for checks of quoting.
pub(crate) fn users(accounts: &Accounts) -> BTreeSet<Vec<u8>> {
    accounts
        .accounts
        .keys()
        .map(|key| key.user().as_bytes().to_vec())
        .collect()
}
