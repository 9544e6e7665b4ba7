//! What one `GRANT` gives: kept beside its text, so that a refused one can be divided and explained.

use std::collections::BTreeMap;

use super::name::{AccountKey, Name};
use super::privilege::{Level, PrivilegeSet, RoutineKind};
use super::server::ServerVersion;
use super::sql::{Statement, StatementStep, Writer};
use super::types::TableGrant;

/// The content of one `GRANT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Grant {
    /// Static privileges on `*.*`.
    Global(PrivilegeSet),
    /// Static privileges on a database or pattern.
    Database(Name, PrivilegeSet),
    /// Privileges on a table, those of its columns merged in.
    Table(Name, Name, TableGrant),
    /// Privileges on a routine.
    Routine(RoutineKind, Name, Name, PrivilegeSet),
    /// Dynamic privileges; all with the grant option or all without.
    Dynamic(Vec<String>, bool),
    /// The right to act as another account.
    Proxy(AccountKey, bool),
    /// Membership in a role.
    Role(AccountKey, bool),
}

impl Grant {
    /// The statement that gives this to `key`.
    pub(super) fn statement(self, server: &ServerVersion, key: &AccountKey) -> Statement {
        let mut w = Writer::new(server, "GRANT ");
        let step = match &self {
            Self::Global(set) => {
                privileges(&mut w, *set);
                w.sql(" ON *.*");
                StatementStep::Grant
            }
            Self::Database(database, set) => {
                privileges(&mut w, *set);
                w.sql(" ON ");
                w.identifier(database);
                w.sql(".*");
                StatementStep::Grant
            }
            Self::Table(database, table, grant) => {
                table_privileges(&mut w, grant, false);
                w.sql(" ON ");
                w.object(database, table);
                StatementStep::Grant
            }
            Self::Routine(kind, database, routine, set) => {
                privileges(&mut w, *set);
                w.sql(" ON ");
                w.sql(kind.sql());
                w.sql(" ");
                w.object(database, routine);
                StatementStep::Grant
            }
            Self::Dynamic(names, _) => {
                w.list(names, |w, name| w.sql(name));
                w.sql(" ON *.*");
                if names.iter().any(|name| name == SYSTEM_USER) {
                    StatementStep::GrantSystemUser
                } else {
                    StatementStep::Grant
                }
            }
            Self::Proxy(proxied, _) => {
                w.sql("PROXY ON ");
                w.account(proxied);
                StatementStep::GrantProxy
            }
            Self::Role(role, _) => {
                w.account(role);
                StatementStep::GrantRole
            }
        };
        w.sql(" TO ");
        w.account(key);
        if self.has_option() {
            w.sql(match self {
                Self::Role(..) => " WITH ADMIN OPTION",
                _ => " WITH GRANT OPTION",
            });
        }
        w.finish(step, key).giving(*server, self)
    }

    fn has_option(&self) -> bool {
        match self {
            Self::Global(set) | Self::Database(_, set) | Self::Routine(_, _, _, set) => {
                set.contains(PrivilegeSet::GRANT_OPTION)
            }
            Self::Table(_, _, grant) => grant.table.contains(PrivilegeSet::GRANT_OPTION),
            Self::Dynamic(_, option) | Self::Proxy(_, option) | Self::Role(_, option) => *option,
        }
    }

    /// Each privilege given, with what it is given on, in the words of [`AccountChange`](super::AccountChange).
    pub(super) fn privileges(&self) -> Vec<(Level, String)> {
        let set = |on: Level, set: PrivilegeSet| -> Vec<(Level, String)> {
            set.names()
                .map(|name| (on.clone(), name.to_owned()))
                .collect()
        };
        match self {
            Self::Global(privileges) => set(Level::Global, *privileges),
            Self::Database(database, privileges) => set(
                Level::Database {
                    database: database.clone(),
                },
                *privileges,
            ),
            Self::Table(database, table, grant) => {
                let whole = Level::Table {
                    database: database.clone(),
                    table: table.clone(),
                };
                let columns = grant.columns.iter().flat_map(|(column, privileges)| {
                    let on = Level::Column {
                        database: database.clone(),
                        table: table.clone(),
                        column: column.clone(),
                    };
                    set(on, *privileges)
                });
                set(whole, grant.table).into_iter().chain(columns).collect()
            }
            Self::Routine(kind, database, routine, privileges) => set(
                Level::Routine {
                    kind: *kind,
                    database: database.clone(),
                    routine: routine.clone(),
                },
                *privileges,
            ),
            Self::Dynamic(names, option) => names
                .iter()
                .map(|name| (Level::Global, dynamic_words(name, *option)))
                .collect(),
            Self::Proxy(proxied, option) => with_option(
                Level::Proxy {
                    proxied: proxied.clone(),
                },
                PROXY,
                *option,
            ),
            Self::Role(role, option) => {
                with_option(Level::Role { role: role.clone() }, MEMBERSHIP, *option)
            }
        }
    }

    /// The same, one privilege each: the grant option last, on its own. Nothing when there is only one.
    pub(super) fn divided(&self) -> Vec<Self> {
        let parts: Vec<Self> = match self {
            Self::Global(set) => singles(*set).map(Self::Global).collect(),
            Self::Database(database, set) => singles(*set)
                .map(|one| Self::Database(database.clone(), one))
                .collect(),
            Self::Routine(kind, database, routine, set) => singles(*set)
                .map(|one| Self::Routine(*kind, database.clone(), routine.clone(), one))
                .collect(),
            Self::Table(database, table, grant) => divided_table(grant)
                .into_iter()
                .map(|one| Self::Table(database.clone(), table.clone(), one))
                .collect(),
            Self::Dynamic(names, option) => names
                .iter()
                .map(|name| Self::Dynamic(vec![name.clone()], *option))
                .collect(),
            // Who may give one may give its option as well: the same right decides both.
            Self::Proxy(..) | Self::Role(..) => Vec::new(),
        };
        if parts.len() > 1 { parts } else { Vec::new() }
    }
}

/// The dynamic privilege that closes an account to everyone who lacks it.
pub(super) const SYSTEM_USER: &str = "SYSTEM_USER";
/// What `PROXY` is called beside its grant option.
pub(super) const PROXY: &str = "PROXY";
/// What being granted a role is called beside the admin option.
pub(super) const MEMBERSHIP: &str = "MEMBERSHIP";
/// The option of `PROXY`, and of all static privileges.
pub(super) const GRANT_OPTION: &str = "GRANT OPTION";
/// The option of a role.
pub(super) const ADMIN_OPTION: &str = "ADMIN OPTION";

/// A dynamic privilege, whose grant option is its own.
pub(super) fn dynamic_words(name: &str, option: bool) -> String {
    format!("{name}{}", if option { " WITH GRANT OPTION" } else { "" })
}

fn with_option(on: Level, what: &str, option: bool) -> Vec<(Level, String)> {
    let option_words = match on {
        Level::Role { .. } => ADMIN_OPTION,
        _ => GRANT_OPTION,
    };
    let mut words = vec![(on.clone(), what.to_owned())];
    if option {
        words.push((on, option_words.to_owned()));
    }
    words
}

fn singles(set: PrivilegeSet) -> impl Iterator<Item = PrivilegeSet> {
    let option = set.intersection(PrivilegeSet::GRANT_OPTION);
    set.difference(option)
        .singles()
        .chain((!option.is_empty()).then_some(option))
}

fn divided_table(grant: &TableGrant) -> Vec<TableGrant> {
    let columns = grant.columns.iter().flat_map(|(column, set)| {
        set.singles().map(|one| TableGrant {
            table: PrivilegeSet::EMPTY,
            columns: BTreeMap::from([(column.clone(), one)]),
        })
    });
    // The grant option of a table is a member of its own set, so it stays last.
    let option = grant.table.intersection(PrivilegeSet::GRANT_OPTION);
    let whole = |table: PrivilegeSet| TableGrant {
        table,
        columns: BTreeMap::new(),
    };
    grant
        .table
        .difference(option)
        .singles()
        .map(whole)
        .chain(columns)
        .chain((!option.is_empty()).then(|| whole(option)))
        .collect()
}

/// The privileges of a `GRANT`; the grant option alone goes with `USAGE`, which is nothing.
pub(super) fn privileges(w: &mut Writer<'_>, set: PrivilegeSet) {
    if set.difference(PrivilegeSet::GRANT_OPTION).is_empty() {
        w.sql("USAGE");
    } else {
        w.list(set.names_without_grant_option(), |w, name| w.sql(name));
    }
}

/// `SELECT, INSERT (`a`, `b`)`: the privileges of the table, then those of its columns by privilege.
pub(super) fn table_privileges(w: &mut Writer<'_>, grant: &TableGrant, with_grant_option: bool) {
    let mut by_privilege: BTreeMap<&str, Vec<&Name>> = BTreeMap::new();
    for (column, set) in &grant.columns {
        for name in set.names() {
            by_privilege.entry(name).or_default().push(column);
        }
    }
    let whole = if with_grant_option {
        grant.table
    } else {
        grant.table.difference(PrivilegeSet::GRANT_OPTION)
    };
    if whole.is_empty() && by_privilege.is_empty() {
        w.sql("USAGE");
        return;
    }
    let items = whole
        .names()
        .map(|name| (name, Vec::new()))
        .chain(by_privilege);
    w.list(items, |w, (name, columns)| {
        w.sql(name);
        if !columns.is_empty() {
            w.sql(" (");
            w.list(columns, |w, column| w.identifier(column));
            w.sql(")");
        }
    });
}
