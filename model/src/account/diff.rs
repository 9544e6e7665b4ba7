//! How the accounts of two servers differ.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::credential::Credential;
use super::name::{AccountKey, Name};
use super::privilege::{Level, PrivilegeSet};
use super::reserved::{Reservation, reservation};
use super::types::{
    Account, Accounts, Authentication, FailedLogin, LockTime, Orphan, Part, PasswordLifetime,
    Settings, TableGrant, TlsRequirement, Unread,
};

/// What the comparison takes for granted.
#[derive(Debug, Clone, Default)]
pub struct DiffOptions {
    /// The master user's name. Its password is managed through the RDS API: its credential is not compared
    /// and it is never created or dropped; its grants are compared like any other's.
    pub master_username: Option<Name>,
}

impl DiffOptions {
    pub(super) fn is_master(&self, key: &AccountKey) -> bool {
        self.master_username.as_ref() == Some(key.user())
    }
}

/// The old or the new server of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The old server.
    Old,
    /// The new server.
    New,
}

/// How the accounts of a new server differ from those of an old one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[must_use]
pub struct AccountsDiff {
    /// Server settings that make equal grants mean different things.
    pub settings: Vec<SettingDifference>,
    /// Accounts that only the old server has.
    pub missing: Vec<AccountKey>,
    /// Accounts that only the new server has.
    pub extra: Vec<AccountKey>,
    /// Accounts that both have and that differ.
    pub changed: Vec<(AccountKey, Vec<AccountChange>)>,
    /// Grants without an account, by server. Not a difference: they cannot be used.
    pub orphans: Vec<SidedOrphan>,
    /// Reserved accounts, which are not compared.
    pub reserved: Vec<AccountKey>,
    /// What could not be read, by server: not compared.
    pub unread: Vec<SidedUnread>,
    /// Things a person should know.
    pub warnings: Vec<DiffWarning>,
}

impl AccountsDiff {
    /// Whether nothing differs. What could not be read may still differ: see `unread`.
    pub fn is_empty(&self) -> bool {
        self.settings.is_empty()
            && self.missing.is_empty()
            && self.extra.is_empty()
            && self.changed.is_empty()
    }
}

/// A server setting with different values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SettingDifference {
    /// The system variable.
    pub setting: String,
    /// The old server's value; `None` when it has no such variable.
    pub old: Option<String>,
    /// The new server's value.
    pub new: Option<String>,
}

/// A grant without an account, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SidedOrphan {
    /// On which server.
    pub side: Side,
    /// The grant.
    pub orphan: Orphan,
}

/// Something that could not be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SidedUnread {
    /// On which server.
    pub side: Side,
    /// What, and why.
    pub unread: Unread,
}

/// One difference of an account that both servers have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum AccountChange {
    /// An attribute has another value. Credentials appear as fingerprints.
    Attribute {
        /// Which one.
        attribute: Attribute,
        /// The old server's value, for people.
        old: String,
        /// The new server's value, for people.
        new: String,
    },
    /// Privileges differ on one level.
    Privileges {
        /// On what.
        on: Level,
        /// What only the old server grants.
        missing: Vec<String>,
        /// What only the new server grants.
        extra: Vec<String>,
    },
}

impl fmt::Display for AccountChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute {
                attribute,
                old,
                new,
            } => write!(f, "{attribute}: {old} -> {new}"),
            Self::Privileges { on, missing, extra } => {
                write!(f, "{on}:")?;
                if !missing.is_empty() {
                    write!(f, " missing {}", missing.join(", "))?;
                }
                if !extra.is_empty() {
                    write!(
                        f,
                        "{} extra {}",
                        if missing.is_empty() { "" } else { ";" },
                        extra.join(", ")
                    )?;
                }
                Ok(())
            }
        }
    }
}

/// An attribute of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attribute {
    /// Account or role (MariaDB).
    Kind,
    /// Authentication plugins.
    Plugin,
    /// What is stored for the plugins.
    Credential,
    /// The retained second password.
    RetainedCredential,
    /// `REQUIRE`.
    TlsRequirement,
    /// `MAX_QUERIES_PER_HOUR`.
    MaxQueriesPerHour,
    /// `MAX_UPDATES_PER_HOUR`.
    MaxUpdatesPerHour,
    /// `MAX_CONNECTIONS_PER_HOUR`.
    MaxConnectionsPerHour,
    /// `MAX_USER_CONNECTIONS`.
    MaxUserConnections,
    /// `MAX_STATEMENT_TIME`.
    MaxStatementTime,
    /// Whether the password has expired.
    PasswordExpired,
    /// `PASSWORD EXPIRE`.
    PasswordLifetime,
    /// `PASSWORD HISTORY`.
    PasswordHistory,
    /// `PASSWORD REUSE INTERVAL`.
    PasswordReuseInterval,
    /// `PASSWORD REQUIRE CURRENT`.
    PasswordRequireCurrent,
    /// `FAILED_LOGIN_ATTEMPTS` and `PASSWORD_LOCK_TIME`.
    FailedLogin,
    /// `ACCOUNT LOCK`.
    Locked,
    /// `ATTRIBUTE` and `COMMENT`.
    Attribute,
    /// Default roles.
    DefaultRoles,
    /// Stored properties that have no model here.
    NotModelled,
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kind => "kind",
            Self::Plugin => "plugin",
            Self::Credential => "credential",
            Self::RetainedCredential => "retained credential",
            Self::TlsRequirement => "require",
            Self::MaxQueriesPerHour => "max_queries_per_hour",
            Self::MaxUpdatesPerHour => "max_updates_per_hour",
            Self::MaxConnectionsPerHour => "max_connections_per_hour",
            Self::MaxUserConnections => "max_user_connections",
            Self::MaxStatementTime => "max_statement_time",
            Self::PasswordExpired => "password expired",
            Self::PasswordLifetime => "password lifetime",
            Self::PasswordHistory => "password history",
            Self::PasswordReuseInterval => "password reuse interval",
            Self::PasswordRequireCurrent => "password require current",
            Self::FailedLogin => "failed login",
            Self::Locked => "locked",
            Self::Attribute => "attribute",
            Self::DefaultRoles => "default roles",
            Self::NotModelled => "not modelled",
        })
    }
}

/// Something a person should know about the accounts of a pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum DiffWarning {
    /// Named as RDS names its own accounts, but not on the list of them: left alone.
    LooksReserved {
        /// The account.
        account: AccountKey,
    },
    /// An anonymous account: it takes the logins of every user without an account for that very host.
    Anonymous {
        /// On which server.
        side: Side,
        /// The account.
        account: AccountKey,
    },
}

impl fmt::Display for DiffWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LooksReserved { account } => {
                write!(
                    f,
                    "{account} is named like an account of RDS and is left alone"
                )
            }
            Self::Anonymous { side, account } => {
                let side = match side {
                    Side::Old => "old",
                    Side::New => "new",
                };
                write!(f, "the {side} server has the anonymous account {account}")
            }
        }
    }
}

/// Compares the accounts of a new server with those of an old one. Pure, linear in the number of rows.
pub fn diff(old: &Accounts, new: &Accounts, options: &DiffOptions) -> AccountsDiff {
    let parts = Parts::readable(old, new);
    let mut result = AccountsDiff {
        settings: setting_differences(&old.settings, &new.settings),
        missing: Vec::new(),
        extra: Vec::new(),
        changed: Vec::new(),
        orphans: Vec::new(),
        reserved: Vec::new(),
        unread: Vec::new(),
        warnings: Vec::new(),
    };
    let nobody = Account::default();
    let public = Account {
        is_role: true,
        ..Account::default()
    };
    for (key, in_old, in_new) in joined(&old.accounts, &new.accounts) {
        let reserved = reservation(key, &old.server).or_else(|| reservation(key, &new.server));
        match reserved {
            Some(Reservation::LooksLikeRds) => {
                result.warnings.push(DiffWarning::LooksReserved {
                    account: key.clone(),
                });
                result.reserved.push(key.clone());
                continue;
            }
            Some(Reservation::Known) => {
                result.reserved.push(key.clone());
                continue;
            }
            // PUBLIC is always there, in the tables or not.
            Some(Reservation::PublicRole) => {
                let changes = changes(
                    in_old.unwrap_or(&public),
                    in_new.unwrap_or(&public),
                    false,
                    &parts,
                );
                if !changes.is_empty() {
                    result.changed.push((key.clone(), changes));
                }
                continue;
            }
            None => {}
        }
        if key.user().is_empty() && !in_old.or(in_new).unwrap_or(&nobody).is_role {
            let sides = [(Side::Old, in_old.is_some()), (Side::New, in_new.is_some())];
            for (side, _) in sides.into_iter().filter(|(_, there)| *there) {
                result.warnings.push(DiffWarning::Anonymous {
                    side,
                    account: key.clone(),
                });
            }
        }
        match (in_old, in_new) {
            _ if !parts.has(Part::Accounts) => {}
            (Some(in_old), Some(in_new)) => {
                let changes = changes(in_old, in_new, options.is_master(key), &parts);
                if !changes.is_empty() {
                    result.changed.push((key.clone(), changes));
                }
            }
            (Some(_), None) => result.missing.push(key.clone()),
            (None, Some(_)) => result.extra.push(key.clone()),
            (None, None) => {}
        }
    }
    for (side, accounts) in [(Side::Old, old), (Side::New, new)] {
        result
            .orphans
            .extend(accounts.orphans.iter().map(|orphan| SidedOrphan {
                side,
                orphan: orphan.clone(),
            }));
        result
            .unread
            .extend(accounts.unread.iter().map(|unread| SidedUnread {
                side,
                unread: unread.clone(),
            }));
    }
    result
}

/// Which parts were read on both servers. A part that one server did not show is not compared.
pub(super) struct Parts {
    unread: BTreeSet<Part>,
}

impl Parts {
    pub(super) fn readable(old: &Accounts, new: &Accounts) -> Self {
        let unread = old
            .unread
            .iter()
            .chain(&new.unread)
            .filter(|unread| unread.account.is_none());
        Self {
            unread: unread.map(|unread| unread.part).collect(),
        }
    }

    pub(super) fn has(&self, part: Part) -> bool {
        !self.unread.contains(&part)
    }
}

/// The settings that make equal grants mean different things.
pub(super) fn setting_differences(old: &Settings, new: &Settings) -> Vec<SettingDifference> {
    let on = |value: Option<bool>| value.map(|on| if on { "ON" } else { "OFF" }.to_owned());
    let rows = [
        (
            "lower_case_table_names",
            Some(old.lower_case_table_names.to_string()),
            Some(new.lower_case_table_names.to_string()),
        ),
        // A server without the setting behaves as one that has it off.
        (
            "partial_revokes",
            on(Some(old.partial_revokes.unwrap_or(false))),
            on(Some(new.partial_revokes.unwrap_or(false))),
        ),
        (
            "mandatory_roles",
            Some(old.mandatory_roles.clone().unwrap_or_default()),
            Some(new.mandatory_roles.clone().unwrap_or_default()),
        ),
        (
            "activate_all_roles_on_login",
            on(Some(old.activate_all_roles_on_login.unwrap_or(false))),
            on(Some(new.activate_all_roles_on_login.unwrap_or(false))),
        ),
    ];
    rows.into_iter()
        .filter(|(_, old, new)| old != new)
        .map(|(setting, old, new)| SettingDifference {
            setting: setting.to_owned(),
            old,
            new,
        })
        .collect()
}

fn changes(old: &Account, new: &Account, is_master: bool, parts: &Parts) -> Vec<AccountChange> {
    if old == new {
        return Vec::new();
    }
    let mut changes = attribute_changes(old, new, is_master, parts);
    privilege_changes(old, new, parts, &mut changes);
    changes
}

/// Attributes of an account that differ.
pub(super) fn attribute_changes(
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
            let shown = |account: &Account| list(credentials(account).map(Credential::fingerprint));
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
        let written = |name: &str, grant: &bool| {
            format!("{name}{}", if *grant { " WITH GRANT OPTION" } else { "" })
        };
        for (name, in_old, in_new) in
            joined(&old.dynamic, &new.dynamic).filter(|(_, old, new)| old != new)
        {
            missing.extend(in_old.map(|grant| written(name, grant)));
            extra.extend(in_new.map(|grant| written(name, grant)));
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
            let (missing, extra) = option_difference("PROXY", "GRANT OPTION", in_old, in_new);
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
            let (missing, extra) = option_difference("MEMBERSHIP", "ADMIN OPTION", in_old, in_new);
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

/// A set that may not be there, as a set.
pub(super) fn copied(set: Option<&PrivilegeSet>) -> PrivilegeSet {
    set.copied().unwrap_or_default()
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

/// Walks two ordered maps side by side: every key of either, with what each map holds for it.
pub(super) fn joined<'a, K: Ord, V>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, Option<&'a V>, Option<&'a V>)> {
    let mut old = old.iter().peekable();
    let mut new = new.iter().peekable();
    std::iter::from_fn(move || {
        let order = match (old.peek(), new.peek()) {
            (Some((a, _)), Some((b, _))) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return None,
        };
        match order {
            Ordering::Less => old.next().map(|(key, value)| (key, Some(value), None)),
            Ordering::Greater => new.next().map(|(key, value)| (key, None, Some(value))),
            Ordering::Equal => {
                let in_new = new.next().map(|(_, value)| value);
                old.next().map(|(key, value)| (key, Some(value), in_new))
            }
        }
    })
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
