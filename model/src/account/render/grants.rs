//! Privileges: `GRANT` of what is missing and, when asked, `REVOKE` of what is extra.

use std::collections::BTreeMap;

use super::super::diff::{copied, joined};
use super::super::name::{AccountKey, Name};
use super::super::privilege::PrivilegeSet;
use super::super::sql::{StatementStep, Writer};
use super::super::types::{Account, Grants, Part, TableGrant};
use super::Renderer;

/// Writes the object of a grant, such as `` `db`.* ``.
type Object<'a> = &'a dyn Fn(&mut Writer<'_>);

impl Renderer<'_> {
    /// Everything granted to an account; `new` is empty for one that is about to be made.
    pub(super) fn grants(&mut self, key: &AccountKey, old: &Account, new: &Account) {
        let (wanted, present) = (&old.grants, &new.grants);
        let missing = self.supported(key, wanted.global.difference(present.global));
        self.grant(key, missing, &|w| w.sql("*.*"));
        self.revoke(key, present.global.difference(wanted.global), &|w| {
            w.sql("*.*")
        });
        self.dynamic_grants(key, wanted, present);
        if self.parts.has(Part::DatabaseGrants) {
            for (database, in_old, in_new) in joined(&wanted.databases, &present.databases) {
                let object = |w: &mut Writer<'_>| {
                    w.identifier(database);
                    w.sql(".*");
                };
                let missing = self.supported(key, copied(in_old).difference(copied(in_new)));
                self.grant(key, missing, &object);
                self.revoke(key, copied(in_new).difference(copied(in_old)), &object);
            }
        }
        if self.parts.has(Part::TableGrants) && self.parts.has(Part::ColumnGrants) {
            self.table_grants(key, wanted, present);
        }
        if self.parts.has(Part::RoutineGrants) {
            for ((kind, database, routine), in_old, in_new) in
                joined(&wanted.routines, &present.routines)
            {
                let object = |w: &mut Writer<'_>| {
                    w.sql(kind.sql());
                    w.sql(" ");
                    w.identifier(database);
                    w.sql(".");
                    w.identifier(routine);
                };
                self.grant(key, copied(in_old).difference(copied(in_new)), &object);
                self.revoke(key, copied(in_new).difference(copied(in_old)), &object);
            }
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

    fn grant(&mut self, key: &AccountKey, missing: PrivilegeSet, object: Object<'_>) {
        if missing.is_empty() {
            return;
        }
        self.write(StatementStep::Grant, key, "GRANT ", |w| {
            privileges(w, missing);
            w.sql(" ON ");
            object(w);
            w.sql(" TO ");
            w.account(key);
            grant_option(w, missing.contains(PrivilegeSet::GRANT_OPTION));
        });
    }

    fn revoke(&mut self, key: &AccountKey, extra: PrivilegeSet, object: Object<'_>) {
        if extra.is_empty() || !self.may_revoke(key) {
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

    /// Whether something may be taken from this account. Never from the account the statements run as:
    /// the next statement could be the one it can no longer run.
    fn may_revoke(&mut self, key: &AccountKey) -> bool {
        if !self.scope.alters() {
            return false;
        }
        if *key == self.target.read_as {
            self.cannot(
                key,
                "extra privileges",
                "this is the account the statements run as",
            );
            return false;
        }
        true
    }

    fn dynamic_grants(&mut self, key: &AccountKey, wanted: &Grants, present: &Grants) {
        if !self.parts.has(Part::DynamicPrivileges) {
            return;
        }
        if !self.server().is_mysql_from(8, 0, 0) {
            for name in wanted.dynamic.keys() {
                self.cannot(
                    key,
                    name.clone(),
                    "the new server has no dynamic privileges",
                );
            }
            return;
        }
        for option in [false, true] {
            // The grant option belongs to each dynamic privilege: one statement with it and one without.
            let missing: Vec<_> = joined(&wanted.dynamic, &present.dynamic)
                .filter(|(_, in_old, in_new)| {
                    *in_old == Some(&option)
                        && (in_new.is_none() || (option && *in_new == Some(&false)))
                })
                .map(|(name, _, _)| name.as_str())
                .collect();
            if !missing.is_empty() {
                self.write(StatementStep::Grant, key, "GRANT ", |w| {
                    w.list(missing, |w, name| w.sql(name));
                    w.sql(" ON *.* TO ");
                    w.account(key);
                    grant_option(w, option);
                });
            }
        }
        let extra: Vec<_> = joined(&wanted.dynamic, &present.dynamic)
            .filter(|(_, in_old, in_new)| {
                in_new.is_some()
                    && (in_old.is_none() || (*in_old == Some(&false) && *in_new == Some(&true)))
            })
            .map(|(name, in_old, _)| (name.as_str(), in_old.is_some()))
            .collect();
        if extra.is_empty() || !self.may_revoke(key) {
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

    /// One statement per table, its columns merged in.
    fn table_grants(&mut self, key: &AccountKey, wanted: &Grants, present: &Grants) {
        let none = TableGrant::default();
        for ((database, table), in_old, in_new) in joined(&wanted.tables, &present.tables) {
            let (in_old, in_new) = (in_old.unwrap_or(&none), in_new.unwrap_or(&none));
            let missing = in_old.without(in_new);
            let missing = TableGrant {
                table: self.supported(key, missing.table),
                ..missing
            };
            if !missing.is_empty() {
                self.write(StatementStep::Grant, key, "GRANT ", |w| {
                    table_privileges(w, &missing, false);
                    table_object(w, database, table);
                    w.sql(" TO ");
                    w.account(key);
                    grant_option(w, missing.table.contains(PrivilegeSet::GRANT_OPTION));
                });
            }
            let extra = in_new.without(in_old);
            if !extra.is_empty() && self.may_revoke(key) {
                self.write(StatementStep::Revoke, key, "REVOKE ", |w| {
                    table_privileges(w, &extra, true);
                    table_object(w, database, table);
                    w.sql(" FROM ");
                    w.account(key);
                });
            }
        }
    }

    fn proxy_grants(&mut self, key: &AccountKey, wanted: &Grants, present: &Grants) {
        for (proxied, in_old, in_new) in joined(&wanted.proxies, &present.proxies) {
            let missing = in_old.is_some()
                && (in_new.is_none() || (in_old, in_new) == (Some(&true), Some(&false)));
            if missing {
                self.write(StatementStep::GrantProxy, key, "GRANT PROXY ON ", |w| {
                    w.account(proxied);
                    w.sql(" TO ");
                    w.account(key);
                    grant_option(w, in_old == Some(&true));
                });
            }
            let option_too_much = (in_old, in_new) == (Some(&false), Some(&true));
            if (in_old.is_none() || option_too_much) && self.may_revoke(key) {
                self.write(StatementStep::Revoke, key, "REVOKE PROXY ON ", |w| {
                    w.account(proxied);
                    w.sql(" FROM ");
                    w.account(key);
                });
                if option_too_much {
                    self.write(StatementStep::Revoke, key, "GRANT PROXY ON ", |w| {
                        w.account(proxied);
                        w.sql(" TO ");
                        w.account(key);
                    });
                }
            }
        }
    }

    fn role_grants(&mut self, key: &AccountKey, wanted: &Grants, present: &Grants) {
        for (role, in_old, in_new) in joined(&wanted.roles, &present.roles) {
            if in_old.is_some()
                && (in_new.is_none() || (in_old, in_new) == (Some(&true), Some(&false)))
            {
                self.write(StatementStep::GrantRole, key, "GRANT ", |w| {
                    membership(w, role, " TO ", key);
                    if in_old == Some(&true) {
                        w.sql(" WITH ADMIN OPTION");
                    }
                });
            }
            let option_too_much = (in_old, in_new) == (Some(&false), Some(&true));
            if (in_old.is_none() || option_too_much) && self.may_revoke(key) {
                if option_too_much && self.server().is_mariadb() {
                    self.write(
                        StatementStep::Revoke,
                        key,
                        "REVOKE ADMIN OPTION FOR ",
                        |w| {
                            membership(w, role, " FROM ", key);
                        },
                    );
                    continue;
                }
                self.write(StatementStep::Revoke, key, "REVOKE ", |w| {
                    membership(w, role, " FROM ", key)
                });
                if option_too_much {
                    self.write(StatementStep::Revoke, key, "GRANT ", |w| {
                        membership(w, role, " TO ", key)
                    });
                }
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
        self.write(
            StatementStep::SetDefaultRole,
            key,
            "SET DEFAULT ROLE ",
            |w| {
                if old.default_roles.is_empty() {
                    w.sql("NONE");
                } else {
                    w.list(&old.default_roles, |w, role| w.account(role));
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

    fn is_empty(&self) -> bool {
        self.table.is_empty() && self.columns.is_empty()
    }
}

/// The privileges of a `GRANT`; the grant option alone goes with `USAGE`, which is nothing.
fn privileges(w: &mut Writer<'_>, set: PrivilegeSet) {
    if set.difference(PrivilegeSet::GRANT_OPTION).is_empty() {
        w.sql("USAGE");
    } else {
        w.list(set.names_without_grant_option(), |w, name| w.sql(name));
    }
}

fn grant_option(w: &mut Writer<'_>, option: bool) {
    if option {
        w.sql(" WITH GRANT OPTION");
    }
}

fn membership(w: &mut Writer<'_>, role: &AccountKey, word: &str, member: &AccountKey) {
    w.account(role);
    w.sql(word);
    w.account(member);
}

fn table_object(w: &mut Writer<'_>, database: &Name, table: &Name) {
    w.sql(" ON ");
    w.identifier(database);
    w.sql(".");
    w.identifier(table);
}

/// `SELECT, INSERT (`a`, `b`)`: the privileges of the table, then those of its columns by privilege.
fn table_privileges(w: &mut Writer<'_>, grant: &TableGrant, with_grant_option: bool) {
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
