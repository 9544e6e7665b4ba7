//! One account of two servers, side by side: attributes, then privileges by level.

use std::fmt;

use super::super::credential::Credential;
use super::super::grant::{ADMIN_OPTION, GRANT_OPTION, MEMBERSHIP, PROXY, dynamic_words};
use super::super::privilege::{Level, PrivilegeSet};
use super::super::types::{
    Account, Authentication, FailedLogin, LockTime, Part, PasswordLifetime, TableGrant,
    TlsRequirement,
};
use super::found::{AccountChange, Attribute};
use super::{Parts, copied, joined};

pub(super) fn changes(
    old: &Account,
    new: &Account,
    is_master: bool,
    parts: &Parts,
) -> Vec<AccountChange> {
    if old == new {
        return Vec::new();
    }
    let mut changes = attribute_changes(old, new, is_master, parts);
    privilege_changes(old, new, parts, &mut changes);
    changes
}

/// Attributes of an account that differ.
pub(in super::super) fn attribute_changes(
    old: &Account,
    new: &Account,
    is_master: bool,
    parts: &Parts,
) -> Vec<AccountChange> {
    let mut changes = Vec::new();
    let mut compare = |attribute, old: String, new: String| {
        if old != new {
            changes.push(AccountChange::Attribute {
                attribute,
                old,
                new,
            });
        }
    };
    let kind = |account: &Account| if account.is_role { "role" } else { "account" }.to_owned();
    compare(Attribute::Kind, kind(old), kind(new));
    if !is_master {
        let plugins = |account: &Account| {
            list(
                account
                    .authentication
                    .iter()
                    .map(|method| method.plugin.clone()),
            )
        };
        compare(Attribute::Plugin, plugins(old), plugins(new));
        // Compared as bytes: a fingerprint is too short to prove that two are equal.
        if !credentials(old).eq(credentials(new)) {
            let shown = |account: &Account| {
                let methods = account.authentication.iter();
                list(methods.map(|it| format!("{} {}", it.plugin, it.credential.fingerprint())))
            };
            changes.push(AccountChange::Attribute {
                attribute: Attribute::Credential,
                old: shown(old),
                new: shown(new),
            });
        }
        if old.retained != new.retained {
            let shown = |account: &Account| {
                account
                    .retained
                    .as_ref()
                    .map_or("none".to_owned(), Credential::fingerprint)
            };
            changes.push(AccountChange::Attribute {
                attribute: Attribute::RetainedCredential,
                old: shown(old),
                new: shown(new),
            });
        }
    }
    let mut compare = |attribute, old: String, new: String| {
        if old != new {
            changes.push(AccountChange::Attribute {
                attribute,
                old,
                new,
            });
        }
    };
    compare(
        Attribute::TlsRequirement,
        old.tls.to_string(),
        new.tls.to_string(),
    );
    let limit = |attribute, read: fn(&Account) -> i128| (attribute, read(old), read(new));
    for (attribute, old, new) in [
        limit(Attribute::MaxQueriesPerHour, |account| {
            account.limits.queries_per_hour.into()
        }),
        limit(Attribute::MaxUpdatesPerHour, |account| {
            account.limits.updates_per_hour.into()
        }),
        limit(Attribute::MaxConnectionsPerHour, |account| {
            account.limits.connections_per_hour.into()
        }),
        limit(Attribute::MaxUserConnections, |account| {
            account.limits.user_connections.into()
        }),
        limit(Attribute::MaxStatementTime, |account| {
            account.limits.statement_time_us.into()
        }),
    ] {
        compare(attribute, old.to_string(), new.to_string());
    }
    compare(
        Attribute::PasswordExpired,
        yes(old.password.expired),
        yes(new.password.expired),
    );
    compare(
        Attribute::PasswordLifetime,
        old.password.lifetime.to_string(),
        new.password.lifetime.to_string(),
    );
    let number = |value: Option<u32>| value.map_or("default".to_owned(), |n| n.to_string());
    compare(
        Attribute::PasswordHistory,
        number(old.password.history),
        number(new.password.history),
    );
    compare(
        Attribute::PasswordReuseInterval,
        number(old.password.reuse_interval),
        number(new.password.reuse_interval),
    );
    let current = |value: Option<bool>| value.map_or("default".to_owned(), yes);
    compare(
        Attribute::PasswordRequireCurrent,
        current(old.password.require_current),
        current(new.password.require_current),
    );
    let failed =
        |value: Option<FailedLogin>| value.map_or("none".to_owned(), |failed| failed.to_string());
    compare(
        Attribute::FailedLogin,
        failed(old.password.failed_login),
        failed(new.password.failed_login),
    );
    compare(Attribute::Locked, yes(old.locked), yes(new.locked));
    if old.attribute != new.attribute {
        let shown = |account: &Account| {
            account
                .attribute
                .as_ref()
                .map_or("none".to_owned(), ToString::to_string)
        };
        compare(Attribute::Attribute, shown(old), shown(new));
    }
    if parts.has(Part::DefaultRoles) {
        let roles = |account: &Account| list(account.default_roles.iter().map(ToString::to_string));
        compare(Attribute::DefaultRoles, roles(old), roles(new));
    }
    let others = |account: &Account| list(account.not_modelled.iter().cloned());
    compare(Attribute::NotModelled, others(old), others(new));
    changes
}

fn credentials(account: &Account) -> impl Iterator<Item = &Credential> {
    account
        .authentication
        .iter()
        .map(|Authentication { credential, .. }| credential)
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.collect();
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.join(", ")
    }
}

fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

fn privilege_changes(
    old: &Account,
    new: &Account,
    parts: &Parts,
    changes: &mut Vec<AccountChange>,
) {
    let mut push = |on: Level, missing: Vec<String>, extra: Vec<String>| {
        if !missing.is_empty() || !extra.is_empty() {
            changes.push(AccountChange::Privileges { on, missing, extra });
        }
    };
    let (old, new) = (&old.grants, &new.grants);
    let (mut missing, mut extra) = set_difference(old.global, new.global);
    if parts.has(Part::DynamicPrivileges) {
        for (name, in_old, in_new) in
            joined(&old.dynamic, &new.dynamic).filter(|(_, old, new)| old != new)
        {
            missing.extend(in_old.map(|option| dynamic_words(name, *option)));
            extra.extend(in_new.map(|option| dynamic_words(name, *option)));
        }
    }
    push(Level::Global, missing, extra);
    if parts.has(Part::DatabaseGrants) {
        for (database, in_old, in_new) in joined(&old.databases, &new.databases) {
            let (missing, extra) = set_difference(copied(in_old), copied(in_new));
            push(
                Level::Database {
                    database: database.clone(),
                },
                missing,
                extra,
            );
        }
    }
    let none = TableGrant::default();
    for ((database, table), in_old, in_new) in joined(&old.tables, &new.tables) {
        let (in_old, in_new) = (in_old.unwrap_or(&none), in_new.unwrap_or(&none));
        if parts.has(Part::TableGrants) {
            let (missing, extra) = set_difference(in_old.table, in_new.table);
            push(
                Level::Table {
                    database: database.clone(),
                    table: table.clone(),
                },
                missing,
                extra,
            );
        }
        if parts.has(Part::ColumnGrants) {
            for (column, in_old, in_new) in joined(&in_old.columns, &in_new.columns) {
                let (missing, extra) = set_difference(copied(in_old), copied(in_new));
                let (database, table, column) = (database.clone(), table.clone(), column.clone());
                push(
                    Level::Column {
                        database,
                        table,
                        column,
                    },
                    missing,
                    extra,
                );
            }
        }
    }
    if parts.has(Part::RoutineGrants) {
        for ((kind, database, routine), in_old, in_new) in joined(&old.routines, &new.routines) {
            let (missing, extra) = set_difference(copied(in_old), copied(in_new));
            let (database, routine) = (database.clone(), routine.clone());
            push(
                Level::Routine {
                    kind: *kind,
                    database,
                    routine,
                },
                missing,
                extra,
            );
        }
    }
    if parts.has(Part::ProxyGrants) {
        for (proxied, in_old, in_new) in joined(&old.proxies, &new.proxies) {
            let (missing, extra) = option_difference(PROXY, GRANT_OPTION, in_old, in_new);
            push(
                Level::Proxy {
                    proxied: proxied.clone(),
                },
                missing,
                extra,
            );
        }
    }
    if parts.has(Part::Roles) {
        for (role, in_old, in_new) in joined(&old.roles, &new.roles) {
            let (missing, extra) = option_difference(MEMBERSHIP, ADMIN_OPTION, in_old, in_new);
            push(Level::Role { role: role.clone() }, missing, extra);
        }
    }
    for (database, in_old, in_new) in joined(&old.restrictions, &new.restrictions) {
        let (missing, extra) = set_difference(copied(in_old), copied(in_new));
        push(
            Level::Restriction {
                database: database.clone(),
            },
            missing,
            extra,
        );
    }
}

fn set_difference(old: PrivilegeSet, new: PrivilegeSet) -> (Vec<String>, Vec<String>) {
    let names = |set: PrivilegeSet| set.names().map(str::to_owned).collect();
    (names(old.difference(new)), names(new.difference(old)))
}

fn option_difference(
    what: &str,
    option: &str,
    old: Option<&bool>,
    new: Option<&bool>,
) -> (Vec<String>, Vec<String>) {
    let words = |here: Option<&bool>, there: Option<&bool>| {
        let mut words = Vec::new();
        if here.is_some() && there.is_none() {
            words.push(what.to_owned());
        }
        if here == Some(&true) && there != Some(&true) {
            words.push(option.to_owned());
        }
        words
    };
    (words(old, new), words(new, old))
}

impl fmt::Display for TlsRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Ssl => f.write_str("ssl"),
            Self::X509 => f.write_str("x509"),
            Self::Specified {
                subject,
                issuer,
                cipher,
            } => {
                write!(f, "subject '{subject}' issuer '{issuer}' cipher '{cipher}'")
            }
        }
    }
}

impl fmt::Display for PasswordLifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Never => f.write_str("never"),
            Self::Days(days) => write!(f, "{days} days"),
        }
    }
}

impl fmt::Display for FailedLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lock_time {
            LockTime::Days(days) => write!(f, "{} attempts lock for {days} days", self.attempts),
            LockTime::Unbounded => write!(f, "{} attempts lock until unlocked", self.attempts),
        }
    }
}
