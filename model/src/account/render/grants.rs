//! Privileges: `GRANT` of what is missing and, when asked, `REVOKE` of what is extra.

use std::collections::BTreeMap;

use super::super::diff::{copied, joined};
use super::super::grant::{Grant, PROXY, SYSTEM_USER, dynamic_words, privileges, table_privileges};
use super::super::name::{AccountKey, Name};
use super::super::privilege::{Level, PrivilegeSet, RoutineKind};
use super::super::sql::{StatementStep, Writer};
use super::super::types::{Account, Grants, Part, TableGrant};
use super::{IS_LOGIN, Renderer, Subject};

/// Why a privilege is not tried.
const LOGIN_LACKS_IT: &str =
    "the login of the new server does not have it with grant option, so it cannot grant it";

impl Renderer<'_> {
    /// Everything granted to an account; `new` is empty for one that is about to be made.
    pub(super) fn grants(&mut self, key: &AccountKey, old: &Account, new: &Account) {
        let (wanted, present) = (&old.grants, &new.grants);
        self.global_grants(key, wanted, present);
        self.dynamic_grants(key, wanted, present);
        if self.parts.has(Part::DatabaseGrants) {
            self.database_grants(key, wanted, present);
        }
        if self.parts.has(Part::TableGrants) && self.parts.has(Part::ColumnGrants) {
            self.table_grants(key, wanted, present);
        }
        if self.parts.has(Part::RoutineGrants) {
            self.routine_grants(key, wanted, present);
        }
        if self.parts.has(Part::ProxyGrants) {
            self.proxy_grants(key, wanted, present);
        }
        if self.parts.has(Part::Roles) {
            self.role_grants(key, wanted, present);
        }
        self.restrictions(key, wanted, present);
        if self.parts.has(Part::DefaultRoles) {
            self.default_roles(key, old, new);
        }
    }

    fn give(&mut self, key: &AccountKey, grant: Grant) {
        let statement = grant.statement(self.server(), key);
        self.statements.push(statement);
    }

    /// The privileges of `wanted` that the new server has and that the login, who may grant `mine` there, can
    /// hand on. Each of the others is reported.
    fn givable(
        &mut self,
        key: &AccountKey,
        on: &Level,
        wanted: PrivilegeSet,
        mine: PrivilegeSet,
    ) -> PrivilegeSet {
        let unknown = wanted
            .difference(self.target.grantable)
            .difference(PrivilegeSet::GRANT_OPTION);
        let refused = wanted.difference(unknown).difference(mine);
        for (set, reason) in [
            (unknown, "the new server has no such privilege"),
            (refused, LOGIN_LACKS_IT),
        ] {
            let each = set.names().map(|name| (on.clone(), name.to_owned()));
            self.cannot_all(key, each.collect(), reason);
        }
        wanted.difference(unknown).difference(refused)
    }

    /// Whether something may be taken from this account. Never from the account the statements run as:
    /// the next statement could be the one it can no longer run.
    fn may_revoke(&mut self, key: &AccountKey, extra: Vec<(Level, String)>) -> bool {
        if !self.scope.alters() || extra.is_empty() {
            return false;
        }
        if *key == self.target.read_as {
            self.cannot_all(key, extra, IS_LOGIN);
            return false;
        }
        true
    }

    /// Takes static privileges away. Like a grant, that needs the privileges and the grant option.
    fn revoke(
        &mut self,
        key: &AccountKey,
        on: &Level,
        extra: PrivilegeSet,
        mine: PrivilegeSet,
        object: &dyn Fn(&mut Writer<'_>),
    ) {
        let named = |set: PrivilegeSet| -> Vec<(Level, String)> {
            set.names()
                .map(|name| (on.clone(), name.to_owned()))
                .collect()
        };
        if !self.may_revoke(key, named(extra)) {
            return;
        }
        self.cannot_all(key, named(extra.difference(mine)), LOGIN_LACKS_IT);
        let extra = extra.intersection(mine);
        if extra.is_empty() {
            return;
        }
        self.write(StatementStep::Revoke, key, "REVOKE ", |w| {
            w.list(extra.names(), |w, name| w.sql(name));
            w.sql(" ON ");
            object(w);
            w.sql(" FROM ");
            w.account(key);
        });
    }

    fn global_grants(&mut self, key: &AccountKey, wanted: &Grants, present: &Grants) {
        let mine = self
            .grantor
            .as_ref()
            .map_or(PrivilegeSet::ALL, |grantor| grantor.global());
        let missing = wanted.global.difference(present.global);
        let missing = self.givable(key, &Level::Global, missing, mine);
        if !missing.is_empty() {
            self.give(key, Grant::Global(missing));
            self.inherited_restrictions(key, missing, wanted);
        }
        let extra = present.global.difference(wanted.global);
        self.revoke(key, &Level::Global, extra, mine, &|w| w.sql("*.*"));
    }

    /// Who is granted a global privilege gets the grantor's own partial revokes with it.
    fn inherited_restrictions(&mut self, key: &AccountKey, given: PrivilegeSet, wanted: &Grants) {
        let inherited: Vec<(Level, String)> = self
            .grantor
            .iter()
            .flat_map(|grantor| grantor.restrictions())
            .flat_map(|(database, set)| {
                let there = copied(wanted.restrictions.get(database));
                let level = Level::Restriction {
                    database: database.clone(),
                };
                set.intersection(given)
                    .difference(there)
                    .names()
                    .map(move |name| (level.clone(), name.to_owned()))
            })
            .collect();
        self.cannot_all(
            key,
            inherited,
            "the login of the new server has this partial revoke itself and hands it on with what it grants",
        );
    }

    fn dynamic_grants(&mut self, key: &AccountKey, wanted: &Grants, present: &Grants) {
        if !self.parts.has(Part::DynamicPrivileges) {
            return;
        }
        let missing = joined(&wanted.dynamic, &present.dynamic).filter_map(|(name, old, new)| {
            let option = *old?;
            (new.is_none() || (option && new == Some(&false))).then_some((name, option))
        });
        let mut given: BTreeMap<(bool, bool), Vec<String>> = BTreeMap::new();
        for (name, option) in missing {
            let reason = if !self.server().is_mysql_from(8, 0, 0) {
                "the new server has no dynamic privileges"
            } else if self
                .grantor
                .as_ref()
                .is_some_and(|grantor| !grantor.dynamic(name))
            {
                LOGIN_LACKS_IT
            } else {
                // The grant option belongs to each privilege: one statement with it and one without.
                let last = name == SYSTEM_USER;
                given.entry((last, option)).or_default().push(name.clone());
                continue;
            };
            self.cannot_all(
                key,
                vec![(Level::Global, dynamic_words(name, option))],
                reason,
            );
        }
        for ((_, option), names) in given {
            self.give(key, Grant::Dynamic(names, option));
        }
        self.dynamic_revokes(key, wanted, present);
    }

    fn dynamic_revokes(&mut self, key: &AccountKey, wanted: &Grants, present: &Grants) {
        let mut extra = Vec::new();
        for (name, in_old, in_new) in joined(&wanted.dynamic, &present.dynamic) {
            let Some(&option) = in_new else { continue };
            if in_old.is_some() && (in_old == Some(&true) || !option) {
                continue;
            }
            let words = vec![(Level::Global, dynamic_words(name, option))];
            if !self.may_revoke(key, words.clone()) {
                continue;
            }
            if self
                .grantor
                .as_ref()
                .is_some_and(|grantor| !grantor.dynamic(name))
            {
                self.cannot_all(key, words, LOGIN_LACKS_IT);
            } else {
                extra.push((name.as_str(), in_old.is_some()));
            }
        }
        if extra.is_empty() {
            return;
        }
        self.write(StatementStep::Revoke, key, "REVOKE ", |w| {
            w.list(&extra, |w, (name, _)| w.sql(name));
            w.sql(" ON *.* FROM ");
            w.account(key);
        });
        // The option alone cannot be revoked: the privilege goes and comes back without it.
        let back: Vec<_> = extra
            .into_iter()
            .filter(|(_, keep)| *keep)
            .map(|(name, _)| name)
            .collect();
        if !back.is_empty() {
            self.write(StatementStep::Revoke, key, "GRANT ", |w| {
                w.list(back, |w, name| w.sql(name));
                w.sql(" ON *.* TO ");
                w.account(key);
            });
        }
    }

    fn database_grants(&mut self, key: &AccountKey, wanted: &Grants, present: &Grants) {
        for (database, in_old, in_new) in joined(&wanted.databases, &present.databases) {
            let on = Level::Database {
                database: database.clone(),
            };
            let mine = self
                .grantor
                .as_ref()
                .map_or(PrivilegeSet::ALL, |grantor| grantor.database(database));
            let missing = copied(in_old).difference(copied(in_new));
            let missing = self.givable(key, &on, missing, mine);
            if !missing.is_empty() {
                self.give(key, Grant::Database(database.clone(), missing));
            }
            let extra = copied(in_new).difference(copied(in_old));
            self.revoke(key, &on, extra, mine, &|w| {
                w.identifier(database);
                w.sql(".*");
            });
        }
    }

    /// One statement per table, its columns merged in.
    fn table_grants(&mut self, key: &AccountKey, wanted: &Grants, present: &Grants) {
        let none = TableGrant::default();
        for ((database, table), in_old, in_new) in joined(&wanted.tables, &present.tables) {
            let (in_old, in_new) = (in_old.unwrap_or(&none), in_new.unwrap_or(&none));
            let mine = self
                .grantor
                .as_ref()
                .map_or(PrivilegeSet::ALL, |grantor| grantor.table(database, table));
            let missing =
                self.givable_on_table(key, database, table, &in_old.without(in_new), mine);
            if !missing.is_empty() {
                self.give(key, Grant::Table(database.clone(), table.clone(), missing));
            }
            let extra = in_new.without(in_old);
            let words = |grant: &TableGrant| {
                Grant::Table(database.clone(), table.clone(), grant.clone()).privileges()
            };
            if !self.may_revoke(key, words(&extra)) {
                continue;
            }
            let mine = extra.within(mine);
            self.cannot_all(key, words(&extra.without(&mine)), LOGIN_LACKS_IT);
            if !mine.is_empty() {
                self.write(StatementStep::Revoke, key, "REVOKE ", |w| {
                    table_privileges(w, &mine, true);
                    w.sql(" ON ");
                    w.object(database, table);
                    w.sql(" FROM ");
                    w.account(key);
                });
            }
        }
    }

    fn givable_on_table(
        &mut self,
        key: &AccountKey,
        database: &Name,
        table: &Name,
        missing: &TableGrant,
        mine: PrivilegeSet,
    ) -> TableGrant {
        let on = Level::Table {
            database: database.clone(),
            table: table.clone(),
        };
        let mut givable = TableGrant {
            table: self.givable(key, &on, missing.table, mine),
            ..TableGrant::default()
        };
        for (column, set) in &missing.columns {
            let on = Level::Column {
                database: database.clone(),
                table: table.clone(),
                column: column.clone(),
            };
            let set = self.givable(key, &on, *set, mine);
            if !set.is_empty() {
                givable.columns.insert(column.clone(), set);
            }
        }
        givable
    }

    fn routine_grants(&mut self, key: &AccountKey, wanted: &Grants, present: &Grants) {
        for ((kind, database, routine), in_old, in_new) in
            joined(&wanted.routines, &present.routines)
        {
            let kind: RoutineKind = *kind;
            let on = Level::Routine {
                kind,
                database: database.clone(),
                routine: routine.clone(),
            };
            let mine = self.grantor.as_ref().map_or(PrivilegeSet::ALL, |grantor| {
                grantor.routine(kind, database, routine)
            });
            let missing = copied(in_old).difference(copied(in_new));
            let missing = self.givable(key, &on, missing, mine);
            if !missing.is_empty() {
                self.give(
                    key,
                    Grant::Routine(kind, database.clone(), routine.clone(), missing),
                );
            }
            let extra = copied(in_new).difference(copied(in_old));
            self.revoke(key, &on, extra, mine, &|w| {
                w.sql(kind.sql());
                w.sql(" ");
                w.object(database, routine);
            });
        }
    }

    fn proxy_grants(&mut self, key: &AccountKey, wanted: &Grants, present: &Grants) {
        for (proxied, in_old, in_new) in joined(&wanted.proxies, &present.proxies) {
            let may_give = self
                .grantor
                .as_ref()
                .is_none_or(|grantor| grantor.proxy(proxied));
            if lacks(in_old, in_new) {
                let grant = Grant::Proxy(proxied.clone(), in_old == Some(&true));
                if may_give {
                    // MariaDB does not add the option to a right that is there.
                    if in_new.is_some() && self.server().is_mariadb() {
                        self.revoke_proxy(StatementStep::GrantProxy, key, proxied);
                    }
                    self.give(key, grant);
                } else {
                    self.cannot_all(
                        key,
                        grant.privileges(),
                        "the login of the new server has no PROXY with grant option on that account",
                    );
                }
            }
            let option_too_much = (in_old, in_new) == (Some(&false), Some(&true));
            if in_old.is_some() && !option_too_much {
                continue;
            }
            let on = Level::Proxy {
                proxied: proxied.clone(),
            };
            let words = if option_too_much {
                "GRANT OPTION"
            } else {
                PROXY
            };
            let words = vec![(on, words.to_owned())];
            if !self.may_revoke(key, words.clone()) {
                continue;
            }
            if !may_give {
                self.cannot_all(key, words, LOGIN_LACKS_IT);
                continue;
            }
            self.revoke_proxy(StatementStep::Revoke, key, proxied);
            if option_too_much {
                self.write(StatementStep::Revoke, key, "GRANT PROXY ON ", |w| {
                    w.account(proxied);
                    w.sql(" TO ");
                    w.account(key);
                });
            }
        }
    }

    fn revoke_proxy(&mut self, step: StatementStep, key: &AccountKey, proxied: &AccountKey) {
        self.write(step, key, "REVOKE PROXY ON ", |w| {
            w.account(proxied);
            w.sql(" FROM ");
            w.account(key);
        });
    }

    fn role_grants(&mut self, key: &AccountKey, wanted: &Grants, present: &Grants) {
        for (role, in_old, in_new) in joined(&wanted.roles, &present.roles) {
            let is_there = self.target.accounts.contains_key(role);
            let may_give = !is_there
                || self
                    .grantor
                    .as_ref()
                    .is_none_or(|grantor| grantor.role(role));
            if lacks(in_old, in_new) {
                let grant = Grant::Role(role.clone(), in_old == Some(&true));
                if !self.server().has_roles() {
                    self.cannot_all(key, grant.privileges(), "the new server has no roles");
                } else if !self.will_exist(role) {
                    self.cannot_all(
                        key,
                        grant.privileges(),
                        "the new server does not have the role",
                    );
                } else if may_give {
                    self.give(key, grant);
                } else {
                    self.cannot_all(
                        key,
                        grant.privileges(),
                        "the login of the new server is no administrator of the role",
                    );
                }
            }
            let option_too_much = (in_old, in_new) == (Some(&false), Some(&true));
            if in_old.is_some() && !option_too_much {
                continue;
            }
            let on = Level::Role { role: role.clone() };
            let words = if option_too_much {
                vec![(on, "ADMIN OPTION".to_owned())]
            } else {
                Grant::Role(role.clone(), in_new == Some(&true)).privileges()
            };
            if !self.may_revoke(key, words.clone()) {
                continue;
            }
            if !may_give {
                self.cannot_all(key, words, LOGIN_LACKS_IT);
                continue;
            }
            if option_too_much && self.server().is_mariadb() {
                self.write(
                    StatementStep::Revoke,
                    key,
                    "REVOKE ADMIN OPTION FOR ",
                    |w| membership(w, role, " FROM ", key),
                );
                continue;
            }
            self.write(StatementStep::Revoke, key, "REVOKE ", |w| {
                membership(w, role, " FROM ", key);
            });
            if option_too_much {
                self.write(StatementStep::Revoke, key, "GRANT ", |w| {
                    membership(w, role, " TO ", key);
                });
            }
        }
    }

    fn restrictions(&mut self, key: &AccountKey, wanted: &Grants, present: &Grants) {
        for (database, in_old, in_new) in joined(&wanted.restrictions, &present.restrictions) {
            let missing = copied(in_old).difference(copied(in_new));
            let extra = copied(in_new).difference(copied(in_old));
            if !missing.is_empty() {
                self.write(StatementStep::RestrictDatabase, key, "REVOKE ", |w| {
                    w.list(missing.names(), |w, name| w.sql(name));
                    w.sql(" ON ");
                    w.identifier(database);
                    w.sql(".* FROM ");
                    w.account(key);
                });
            }
            // A grant on the database lifts the restriction.
            if self.scope.alters() && !extra.is_empty() {
                let on = Level::Restriction {
                    database: database.clone(),
                };
                let mine = self
                    .grantor
                    .as_ref()
                    .map_or(PrivilegeSet::ALL, |grantor| grantor.database(database));
                let extra = self.givable(key, &on, extra, mine);
                if extra.is_empty() {
                    continue;
                }
                self.write(StatementStep::RestrictDatabase, key, "GRANT ", |w| {
                    privileges(w, extra);
                    w.sql(" ON ");
                    w.identifier(database);
                    w.sql(".* TO ");
                    w.account(key);
                });
            }
        }
    }

    fn default_roles(&mut self, key: &AccountKey, old: &Account, new: &Account) {
        if old.default_roles == new.default_roles {
            return;
        }
        if !new.default_roles.is_empty() && !self.scope.alters() {
            return;
        }
        let subject = Subject::Attribute {
            attribute: super::Attribute::DefaultRoles,
        };
        if !self.server().has_roles() {
            self.cannot(key, subject, "the new server has no roles");
            return;
        }
        if *key == self.target.read_as && !new.default_roles.is_subset(&old.default_roles) {
            self.cannot(key, subject, IS_LOGIN);
            return;
        }
        let (roles, gone): (Vec<_>, Vec<_>) = old
            .default_roles
            .iter()
            .partition(|role| self.will_exist(role));
        if !gone.is_empty() {
            self.cannot(
                key,
                subject,
                "the new server does not have every one of these roles",
            );
            // What is left of them may be what is there already.
            if roles.iter().copied().eq(&new.default_roles) {
                return;
            }
        }
        self.write(
            StatementStep::SetDefaultRole,
            key,
            "SET DEFAULT ROLE ",
            |w| {
                if roles.is_empty() {
                    w.sql("NONE");
                } else {
                    w.list(roles, |w, role| w.account(role));
                }
                w.sql(if self.target.server.is_mariadb() {
                    " FOR "
                } else {
                    " TO "
                });
                w.account(key);
            },
        );
    }
}

impl TableGrant {
    /// What is granted here and not in `other`.
    fn without(&self, other: &Self) -> Self {
        let columns = joined(&self.columns, &other.columns)
            .map(|(column, here, there)| (column.clone(), copied(here).difference(copied(there))))
            .filter(|(_, privileges)| !privileges.is_empty())
            .collect();
        Self {
            table: self.table.difference(other.table),
            columns,
        }
    }

    /// What is granted here and in `set`.
    fn within(&self, set: PrivilegeSet) -> Self {
        let columns = self
            .columns
            .iter()
            .map(|(column, here)| (column.clone(), here.intersection(set)))
            .filter(|(_, privileges)| !privileges.is_empty())
            .collect();
        Self {
            table: self.table.intersection(set),
            columns,
        }
    }

    fn is_empty(&self) -> bool {
        self.table.is_empty() && self.columns.is_empty()
    }
}

/// Whether the new side lacks a membership, or the option that goes with it.
fn lacks(old: Option<&bool>, new: Option<&bool>) -> bool {
    old.is_some() && (new.is_none() || (old, new) == (Some(&true), Some(&false)))
}

fn membership(w: &mut Writer<'_>, role: &AccountKey, word: &str, member: &AccountKey) {
    w.account(role);
    w.sql(word);
    w.account(member);
}
