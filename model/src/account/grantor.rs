//! What the login of the new server may grant itself.
//!
//! A server refuses a whole `GRANT` for one privilege its grantor lacks, and RDS's master user lacks some
//! that an old server's accounts hold (`DELETE HISTORY` of a MariaDB `GRANT ALL`, `SUPER`, most dynamic
//! ones). So the login's own rows are looked at before a statement is written. Where they leave a doubt
//! the answer is yes: a refusal that was not foreseen is met by dividing the statement, a privilege that
//! was not tried is lost.

use std::collections::BTreeSet;

use super::grant::SYSTEM_USER;
use super::name::{AccountKey, Name};
use super::privilege::{PrivilegeSet, RoutineKind};
use super::types::{Account, Accounts, Part};

/// Dynamic privileges that RDS refuses to everyone at every version.
const KEPT_BY_RDS: [&str; 3] = [
    "SYSTEM_USER",
    "SYSTEM_VARIABLES_ADMIN",
    "REPLICATION_SLAVE_ADMIN",
];

/// The login and every role it holds, directly or through other roles. Sessions that run account statements
/// activate all of them.
pub(super) struct Grantor<'a> {
    accounts: &'a Accounts,
    rows: Vec<&'a Account>,
}

impl<'a> Grantor<'a> {
    /// `None` when the login has no row of its own to look at.
    pub(super) fn of(accounts: &'a Accounts) -> Option<Self> {
        let whole_part_unread = |part: Part| {
            accounts
                .unread
                .iter()
                .any(|unread| unread.part == part && unread.account.is_none())
        };
        if whole_part_unread(Part::Accounts) || whole_part_unread(Part::Roles) {
            return None;
        }
        let own = accounts.accounts.get(&accounts.read_as)?;
        let mut seen = BTreeSet::from([&accounts.read_as]);
        let mut rows = vec![own];
        let public = AccountKey::new("PUBLIC", "");
        let mut next: Vec<&AccountKey> = own.grants.roles.keys().collect();
        if accounts.server.is_mariadb() {
            next.extend(accounts.accounts.get_key_value(&public).map(|(key, _)| key));
        }
        while let Some(key) = next.pop() {
            if seen.insert(key)
                && let Some(role) = accounts.accounts.get(key)
            {
                rows.push(role);
                next.extend(role.grants.roles.keys());
            }
        }
        Some(Self { accounts, rows })
    }

    fn held(&self, read: impl Fn(&Account) -> PrivilegeSet) -> PrivilegeSet {
        self.rows
            .iter()
            .fold(PrivilegeSet::EMPTY, |set, row| set.union(read(row)))
    }

    fn unread(&self, part: Part) -> bool {
        self.accounts
            .unread
            .iter()
            .any(|unread| unread.part == part && unread.account.is_none())
    }

    /// Privileges that may be granted on `*.*`.
    pub(super) fn global(&self) -> PrivilegeSet {
        with_option(self.held(|row| row.grants.global))
    }

    /// Privileges that may be granted on a database or pattern.
    pub(super) fn database(&self, database: &Name) -> PrivilegeSet {
        with_option(self.held_on_database(database))
    }

    fn held_on_database(&self, database: &Name) -> PrivilegeSet {
        if self.unread(Part::DatabaseGrants) {
            return PrivilegeSet::ALL;
        }
        self.held(|row| {
            let restricted = row.grants.restrictions.get(database).copied();
            let there = row
                .grants
                .databases
                .iter()
                .filter(|(pattern, _)| {
                    *pattern == database || matches(pattern.as_bytes(), database.as_bytes())
                })
                .fold(PrivilegeSet::EMPTY, |set, (_, here)| set.union(*here));
            row.grants
                .global
                .difference(restricted.unwrap_or_default())
                .union(there)
        })
    }

    /// Privileges that may be granted on a table, and on every column of it.
    pub(super) fn table(&self, database: &Name, table: &Name) -> PrivilegeSet {
        if self.unread(Part::TableGrants) {
            return PrivilegeSet::ALL;
        }
        let key = (database.clone(), table.clone());
        let there = self.held(|row| {
            row.grants
                .tables
                .get(&key)
                .map_or(PrivilegeSet::EMPTY, |grant| {
                    grant
                        .columns
                        .values()
                        .fold(grant.table, |set, column| set.union(*column))
                })
        });
        with_option(self.held_on_database(database).union(there))
    }

    /// Privileges that may be granted on a routine.
    pub(super) fn routine(
        &self,
        kind: RoutineKind,
        database: &Name,
        routine: &Name,
    ) -> PrivilegeSet {
        if self.unread(Part::RoutineGrants) {
            return PrivilegeSet::ALL;
        }
        let key = (kind, database.clone(), routine.clone());
        let there = self.held(|row| row.grants.routines.get(&key).copied().unwrap_or_default());
        with_option(self.held_on_database(database).union(there))
    }

    /// Whether a dynamic privilege may be granted.
    ///
    /// Each has a grant option of its own, yet a stock MySQL 9.7 takes the grant of any of them from whoever has
    /// the static `GRANT OPTION`. RDS refuses more: since 8.0.36, where it has `rds_superuser_role`, whatever its
    /// master user lacks; before, a few it always keeps.
    pub(super) fn dynamic(&self, name: &str) -> bool {
        if self.unread(Part::DynamicPrivileges)
            || self
                .rows
                .iter()
                .any(|row| row.grants.dynamic.get(name) == Some(&true))
        {
            return true;
        }
        let has = |user: &str| {
            let mut keys = self.accounts.accounts.keys();
            keys.any(|key| key.user().as_bytes() == user.as_bytes())
        };
        if has("rds_superuser_role") || (has("rdsadmin") && KEPT_BY_RDS.contains(&name)) {
            return false;
        }
        !self.global().is_empty()
    }

    /// Whether the login may touch accounts that have `SYSTEM_USER`: it has to have it itself.
    pub(super) fn is_system_user(&self) -> bool {
        self.rows
            .iter()
            .any(|row| row.grants.dynamic.contains_key(SYSTEM_USER))
    }

    /// Whether `PROXY` on an account may be granted: on oneself always, on others by a grant option for them
    /// or for everyone (`''@''`).
    pub(super) fn proxy(&self, proxied: &AccountKey) -> bool {
        self.unread(Part::ProxyGrants)
            || *proxied == self.accounts.read_as
            || self
                .rows
                .iter()
                .flat_map(|row| &row.grants.proxies)
                .any(|(held, option)| *option && (held == proxied || held.user().is_empty()))
    }

    /// Whether a role that the new server already has may be granted. One that is made by the same run may:
    /// on MariaDB its maker becomes its administrator.
    pub(super) fn role(&self, role: &AccountKey) -> bool {
        let admin = |row: &&Account| row.grants.roles.get(role) == Some(&true);
        if self.rows.iter().any(admin) {
            return true;
        }
        if self.accounts.server.is_mariadb() {
            return false;
        }
        let has = |name| {
            let one = PrivilegeSet::named(name).unwrap_or_default();
            self.held(|row| row.grants.global).contains(one)
        };
        has("SUPER")
            || self.unread(Part::DynamicPrivileges)
            || self
                .rows
                .iter()
                .any(|row| row.grants.dynamic.contains_key("ROLE_ADMIN"))
    }

    /// By database: what the login's own partial revokes take from it. Whoever it grants a global privilege
    /// to inherits them.
    pub(super) fn restrictions(&self) -> impl Iterator<Item = (&'a Name, PrivilegeSet)> {
        let databases: BTreeSet<&Name> = self
            .rows
            .iter()
            .flat_map(|row| row.grants.restrictions.keys())
            .collect();
        databases.into_iter().map(|database| {
            let held = self.held_on_database(database);
            (
                database,
                self.held(|row| row.grants.global).difference(held),
            )
        })
    }
}

/// Nothing without the grant option.
fn with_option(held: PrivilegeSet) -> PrivilegeSet {
    if held.contains(PrivilegeSet::GRANT_OPTION) {
        held
    } else {
        PrivilegeSet::EMPTY
    }
}

/// Whether a database name fits a pattern with `_`, `%` and backslash escapes. The name may be written as a
/// pattern itself, with the same escapes.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    // Where to go on when the last `%` has to take one byte more.
    let mut retry: Option<(usize, usize)> = None;
    while let Some(byte) = name.get(seen) {
        match (pattern.get(at), pattern.get(at + 1)) {
            (Some(b'%'), _) => {
                at += 1;
                retry = Some((at, seen));
                continue;
            }
            (Some(b'\\'), Some(escaped)) if escaped == byte => (at, seen) = (at + 2, seen + 1),
            (Some(literal), _) if literal == byte || *literal == b'_' => {
                (at, seen) = (at + 1, seen + 1);
            }
            _ => match retry {
                Some((after, from)) => {
                    retry = Some((after, from + 1));
                    (at, seen) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern
        .get(at..)
        .is_some_and(|rest| rest.iter().all(|&byte| byte == b'%'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_what_the_server_would_match() {
        for (pattern, name, fits) in [
            ("shop", "shop", true),
            ("shop", "shops", false),
            ("s%", "shop", true),
            ("%", "", true),
            ("my\\_db", "my_db", true),
            ("my\\_db", "myxdb", false),
            ("my_db", "myxdb", true),
            ("my\\_db", "my\\_db", true),
            ("a%b%c", "aXXbYYc", true),
            ("a%b%c", "aXXbYY", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                fits,
                "{pattern} {name}"
            );
        }
    }
}
