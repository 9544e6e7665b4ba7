//! Everything read about the accounts of one server.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::credential::Credential;
use super::name::{AccountKey, Name};
use super::privilege::{Level, PrivilegeSet, RoutineKind};
use super::server::ServerVersion;

/// Writes a map whose key is no string as a list of pairs.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Serialize, Serializer};

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }
}

/// The accounts of one server, with what could not be read.
///
/// Serialized for reports only: credentials come out as fingerprints, so it cannot be read back.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Accounts {
    /// The server's family and version.
    pub server: ServerVersion,
    /// The account this was read as (`CURRENT_USER()`).
    pub read_as: AccountKey,
    /// Server settings that decide what grants mean.
    pub settings: Settings,
    /// Static privileges the server can grant globally.
    pub grantable: PrivilegeSet,
    /// Accounts and roles, reserved ones too.
    #[serde(serialize_with = "pairs::serialize")]
    #[schemars(with = "Vec<(AccountKey, Account)>")]
    pub accounts: BTreeMap<AccountKey, Account>,
    /// Grants whose account does not exist.
    pub orphans: Vec<Orphan>,
    /// Parts that could not be read: these are unknown, not empty.
    pub unread: Vec<Unread>,
}

/// Server settings that decide what grants mean. `None`: the server does not have the setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Settings {
    /// `@@lower_case_table_names`: how database and table names in grants are compared.
    pub lower_case_table_names: u8,
    /// `@@partial_revokes`: while on, `_` and `%` in database names are ordinary characters.
    pub partial_revokes: Option<bool>,
    /// `@@mandatory_roles`: roles everyone has, not shown in any table.
    pub mandatory_roles: Option<String>,
    /// `@@activate_all_roles_on_login`.
    pub activate_all_roles_on_login: Option<bool>,
    /// `@@read_only`: account statements fail with 1290 while on.
    pub read_only: bool,
}

/// One part of what is read, as large as one table.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Accounts with their attributes and global privileges.
    Accounts,
    /// MySQL's dynamic privileges.
    DynamicPrivileges,
    /// Database grants.
    DatabaseGrants,
    /// Table grants.
    TableGrants,
    /// Column grants.
    ColumnGrants,
    /// Routine grants.
    RoutineGrants,
    /// Proxy grants.
    ProxyGrants,
    /// Memberships in roles.
    Roles,
    /// Default roles.
    DefaultRoles,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accounts => "accounts",
            Self::DynamicPrivileges => "dynamic privileges",
            Self::DatabaseGrants => "database grants",
            Self::TableGrants => "table grants",
            Self::ColumnGrants => "column grants",
            Self::RoutineGrants => "routine grants",
            Self::ProxyGrants => "proxy grants",
            Self::Roles => "roles",
            Self::DefaultRoles => "default roles",
        })
    }
}

/// Something that could not be read or understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Unread {
    /// The part it belongs to.
    pub part: Part,
    /// The account, when only something of one account is concerned.
    pub account: Option<AccountKey>,
    /// Why.
    pub reason: String,
}

/// A grant whose account is not there. Granting it again would make an account, so it is only reported.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Orphan {
    /// The missing account.
    pub account: AccountKey,
    /// What is granted to it.
    pub level: Level,
}

/// One account or role.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Account {
    /// Made by `CREATE ROLE` on MariaDB. MySQL does not tell roles from accounts.
    pub is_role: bool,
    /// Ways to log in, in the order the server tries them. More than one on MariaDB only; none for a
    /// MariaDB role.
    pub authentication: Vec<Authentication>,
    /// The password kept by `RETAIN CURRENT PASSWORD`, valid beside the current one.
    pub retained: Option<Credential>,
    /// What the connection must prove.
    pub tls: TlsRequirement,
    /// Resource limits.
    pub limits: Limits,
    /// Password expiry, history and lockout.
    pub password: PasswordPolicy,
    /// `ACCOUNT LOCK`.
    pub locked: bool,
    /// MySQL's `ATTRIBUTE`, where a `COMMENT` is the member `comment`.
    pub attribute: Option<serde_json::Value>,
    /// Default roles.
    pub default_roles: BTreeSet<AccountKey>,
    /// What is granted.
    pub grants: Grants,
    /// Properties that are stored but that no statement this tool writes can set.
    pub not_modelled: BTreeSet<String>,
}

/// An authentication plugin with what is stored for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Authentication {
    /// The plugin, such as `mysql_native_password`.
    pub plugin: String,
    /// What is stored for it.
    pub credential: Credential,
}

/// `REQUIRE`: what a connection must prove before the account is let in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "require", rename_all = "kebab-case")]
pub enum TlsRequirement {
    /// Nothing.
    #[default]
    None,
    /// TLS.
    Ssl,
    /// A valid client certificate.
    X509,
    /// A client certificate or cipher with these properties; empty = not asked for.
    Specified {
        /// `SUBJECT`.
        subject: Name,
        /// `ISSUER`.
        issuer: Name,
        /// `CIPHER`.
        cipher: Name,
    },
}

/// Resource limits; 0 = no limit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Limits {
    /// `MAX_QUERIES_PER_HOUR`.
    pub queries_per_hour: u64,
    /// `MAX_UPDATES_PER_HOUR`.
    pub updates_per_hour: u64,
    /// `MAX_CONNECTIONS_PER_HOUR`.
    pub connections_per_hour: u64,
    /// `MAX_USER_CONNECTIONS`; MariaDB allows -1, "may not connect".
    pub user_connections: i64,
    /// `MAX_STATEMENT_TIME` in microseconds; MariaDB only.
    pub statement_time_us: u64,
}

/// Password expiry, history and lockout. `None` = the server's default applies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PasswordPolicy {
    /// `PASSWORD EXPIRE`: the password must be changed at the next login.
    pub expired: bool,
    /// How long a password lasts.
    pub lifetime: PasswordLifetime,
    /// `PASSWORD HISTORY`: how many earlier passwords may not be used again.
    pub history: Option<u32>,
    /// `PASSWORD REUSE INTERVAL` in days.
    pub reuse_interval: Option<u32>,
    /// `PASSWORD REQUIRE CURRENT`: `Some(false)` = `OPTIONAL`.
    pub require_current: Option<bool>,
    /// `FAILED_LOGIN_ATTEMPTS` and `PASSWORD_LOCK_TIME`; `None` = not set.
    pub failed_login: Option<FailedLogin>,
}

/// How long a password lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PasswordLifetime {
    /// `PASSWORD EXPIRE DEFAULT`.
    #[default]
    Default,
    /// `PASSWORD EXPIRE NEVER`.
    Never,
    /// `PASSWORD EXPIRE INTERVAL n DAY`.
    Days(u32),
}

/// When and for how long failed logins lock an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct FailedLogin {
    /// `FAILED_LOGIN_ATTEMPTS`.
    pub attempts: u32,
    /// `PASSWORD_LOCK_TIME`.
    pub lock_time: LockTime,
}

/// `PASSWORD_LOCK_TIME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LockTime {
    /// Days.
    Days(u32),
    /// Until an administrator unlocks it.
    Unbounded,
}

/// What is granted to an account, by level.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Grants {
    /// Static privileges on `*.*`.
    pub global: PrivilegeSet,
    /// MySQL's dynamic privileges; the value is the grant option, which each has on its own.
    pub dynamic: BTreeMap<String, bool>,
    /// By database or pattern, as stored.
    pub databases: BTreeMap<Name, PrivilegeSet>,
    /// By database and table.
    #[serde(serialize_with = "pairs::serialize")]
    #[schemars(with = "Vec<((Name, Name), TableGrant)>")]
    pub tables: BTreeMap<(Name, Name), TableGrant>,
    /// By kind, database and routine.
    #[serde(serialize_with = "pairs::serialize")]
    #[schemars(with = "Vec<((RoutineKind, Name, Name), PrivilegeSet)>")]
    pub routines: BTreeMap<(RoutineKind, Name, Name), PrivilegeSet>,
    /// By proxied account; the value is the grant option.
    #[serde(serialize_with = "pairs::serialize")]
    #[schemars(with = "Vec<(AccountKey, bool)>")]
    pub proxies: BTreeMap<AccountKey, bool>,
    /// By role; the value is the admin option.
    #[serde(serialize_with = "pairs::serialize")]
    #[schemars(with = "Vec<(AccountKey, bool)>")]
    pub roles: BTreeMap<AccountKey, bool>,
    /// By database: what is taken away from the global grants there.
    pub restrictions: BTreeMap<Name, PrivilegeSet>,
}

/// What is granted on a table and on its columns.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct TableGrant {
    /// On the whole table.
    pub table: PrivilegeSet,
    /// On single columns.
    pub columns: BTreeMap<Name, PrivilegeSet>,
}
