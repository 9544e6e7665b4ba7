//! What a comparison finds: plain data, kept and shown.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::name::AccountKey;
use super::super::privilege::Level;
use super::super::render::{NotTransferable, Subject};
use super::super::types::{Orphan, Unread};

/// The old or the new server of a pair.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
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

    /// What differs and is not explained by something that cannot be transferred.
    pub fn unexplained(&self, not_transferable: &[NotTransferable]) -> Self {
        let mut subjects: BTreeMap<&AccountKey, Vec<&Subject>> = BTreeMap::new();
        for entry in not_transferable {
            if let Some(account) = &entry.account {
                subjects.entry(account).or_default().push(&entry.subject);
            }
        }
        let explained = |key: &AccountKey, same: &dyn Fn(&Subject) -> bool| {
            let subjects = subjects.get(key);
            subjects.is_some_and(|subjects| subjects.iter().any(|subject| same(subject)))
        };
        let whole = |key: &AccountKey| explained(key, &|subject| *subject == Subject::Account);
        let left =
            |key: &AccountKey, change: &AccountChange| match change {
                AccountChange::Attribute { attribute, .. } => {
                    let this = Subject::Attribute {
                        attribute: *attribute,
                    };
                    (!explained(key, &|subject| *subject == this)).then(|| change.clone())
                }
                AccountChange::Privileges { on, missing, extra } => {
                    let left = |words: &[String]| -> Vec<String> {
                        let unexplained = |word: &&String| {
                            !explained(key, &|subject| {
                                matches!(subject, Subject::Privilege { on: there, privilege }
                                if there == on && name_of(privilege) == name_of(word))
                            })
                        };
                        words.iter().filter(unexplained).cloned().collect()
                    };
                    let (missing, extra) = (left(missing), left(extra));
                    let on = on.clone();
                    (!missing.is_empty() || !extra.is_empty())
                        .then_some(AccountChange::Privileges { on, missing, extra })
                }
            };
        let others = |keys: &[AccountKey]| keys.iter().filter(|key| !whole(key)).cloned().collect();
        Self {
            missing: others(&self.missing),
            extra: others(&self.extra),
            changed: self
                .changed
                .iter()
                .filter(|(key, _)| !whole(key))
                .map(|(key, changes)| {
                    let left = changes.iter().filter_map(|change| left(key, change));
                    (key.clone(), left.collect::<Vec<_>>())
                })
                .filter(|(_, changes)| !changes.is_empty())
                .collect(),
            ..self.clone()
        }
    }
}

/// A dynamic privilege without the words for its grant option: with another option it differs as one thing.
fn name_of(privilege: &str) -> &str {
    privilege
        .strip_suffix(" WITH GRANT OPTION")
        .unwrap_or(privilege)
}

/// A server setting with different values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum DiffWarning {
    /// Named as RDS names its own accounts, but not on the list of them: left alone.
    LooksReserved {
        /// The account.
        account: AccountKey,
    },
    /// A routine grant with a letter beyond ASCII in a name: every server stores it in a form that it does not
    /// recognize when it loads its privileges, so the grant is gone after a restart.
    GoneAfterRestart {
        /// On which server.
        side: Side,
        /// The account.
        account: AccountKey,
        /// The routine.
        on: Level,
    },
    /// An anonymous account: it takes the logins of every user without an account for that very host.
    Anonymous {
        /// On which server.
        side: Side,
        /// The account.
        account: AccountKey,
    },
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Old => "old",
            Self::New => "new",
        })
    }
}

impl fmt::Display for DiffWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GoneAfterRestart { side, account, on } => write!(
                f,
                "the grant on {on} to {account} is lost whenever the {side} server restarts: grant it again then"
            ),
            Self::LooksReserved { account } => {
                write!(
                    f,
                    "{account} is named like an account of RDS and is left alone"
                )
            }
            Self::Anonymous { side, account } => {
                write!(f, "the {side} server has the anonymous account {account}")
            }
        }
    }
}
