//! The statements that make the accounts of a new server equal to those of an old one.
//!
//! Every privilege is written by name: `ALL PRIVILEGES` means something else on every version. Only
//! differences are granted or revoked; nothing starts by revoking everything from a live account. The text
//! expects the session that `atrest-scanner` prepares: backslash escapes on, and an `sql_mode` that keeps
//! `GRANT` from making accounts.

mod attributes;
mod grants;
mod not_transferable;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::diff::{Attribute, DiffOptions, Parts, joined, setting_differences};
use super::grant::SYSTEM_USER;
use super::grantor::Grantor;
use super::name::{AccountKey, Name};
use super::privilege::Level;
use super::reserved::{Reservation, reservation};
use super::server::{ServerFlavor, ServerVersion};
use super::sql::{Statement, StatementStep, Writer};
use super::types::{Account, Accounts, Part, PasswordLifetime};
pub use not_transferable::{NotTransferable, Subject};

/// How far the new server is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Only what is missing is added: accounts, grants of existing accounts, default roles where there are
    /// none. Nothing is altered and nothing taken away.
    Missing,
    /// Accounts that exist on both are altered too, and what they have beyond the old server is revoked.
    Sync,
    /// As `Sync`, and accounts that only the new server has are dropped.
    SyncAndDrop,
}

impl Scope {
    fn alters(self) -> bool {
        match self {
            Self::Missing => false,
            Self::Sync | Self::SyncAndDrop => true,
        }
    }
}

/// Statements, in an order that works, and what no statement can bring about.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[must_use]
pub struct Rendering {
    /// In the order to run them: by step, then by account.
    pub statements: Vec<Statement>,
    /// What is different and stays so.
    pub not_transferable: Vec<NotTransferable>,
}

/// A pair for which no statements are written at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderRefusal {
    /// MySQL and MariaDB accounts do not translate into each other.
    #[error("accounts of {old} cannot be written as statements for {new}")]
    Flavor {
        /// The old server.
        old: ServerVersion,
        /// The new server.
        new: ServerVersion,
    },
    /// A setting that changes what a grant matches: copied as it is, it would give or take access.
    #[error("{setting} differs: {old} on the old server, {new} on the new one")]
    Setting {
        /// The system variable.
        setting: String,
        /// The old server's value.
        old: String,
        /// The new server's value.
        new: String,
    },
    /// The table of accounts could not be read on one side, so nothing can be said about any account.
    #[error("the accounts could not be read: {reason}")]
    AccountsUnread {
        /// Why.
        reason: String,
    },
}

/// Writes the statements that make `new` equal to `old`, as far as `scope` goes.
///
/// # Errors
///
/// A [`RenderRefusal`] when statements for this pair would mean something else than they say.
pub fn render(
    old: &Accounts,
    new: &Accounts,
    scope: Scope,
    options: &DiffOptions,
) -> Result<Rendering, RenderRefusal> {
    refuse(old, new)?;
    let mut renderer = Renderer {
        source: old,
        target: new,
        grantor: Grantor::of(new),
        parts: Parts::readable(old, new),
        scope,
        options,
        statements: Vec::new(),
        not_transferable: Vec::new(),
    };
    for unread in old.unread.iter().chain(&new.unread) {
        renderer.not_transferable.push(NotTransferable {
            account: unread.account.clone(),
            subject: Subject::Unseen {
                what: unread.part.to_string(),
            },
            what: unread.part.to_string(),
            reason: format!("could not be read: {}", unread.reason),
        });
    }
    for (key, in_old, in_new) in joined(&old.accounts, &new.accounts) {
        renderer.account(key, in_old, in_new);
    }
    renderer.undo_creator_membership(old);
    let mut statements = renderer.statements;
    // Stable: the statements of one account within one step stay in the order they were written in.
    statements.sort_by(|a, b| (a.step(), a.account()).cmp(&(b.step(), b.account())));
    Ok(Rendering {
        statements,
        not_transferable: renderer.not_transferable,
    })
}

fn refuse(old: &Accounts, new: &Accounts) -> Result<(), RenderRefusal> {
    if old.server.flavor != new.server.flavor {
        return Err(RenderRefusal::Flavor {
            old: old.server,
            new: new.server,
        });
    }
    let unread = old.unread.iter().chain(&new.unread);
    if let Some(unread) = unread
        .into_iter()
        .find(|unread| unread.part == Part::Accounts && unread.account.is_none())
    {
        return Err(RenderRefusal::AccountsUnread {
            reason: unread.reason.clone(),
        });
    }
    for difference in setting_differences(&old.settings, &new.settings) {
        if matches!(
            difference.setting.as_str(),
            "lower_case_table_names" | "partial_revokes"
        ) {
            return Err(RenderRefusal::Setting {
                setting: difference.setting,
                old: difference.old.unwrap_or_default(),
                new: difference.new.unwrap_or_default(),
            });
        }
    }
    Ok(())
}

struct Renderer<'a> {
    source: &'a Accounts,
    target: &'a Accounts,
    /// `None` when nothing is known of what the login may grant: then everything is tried.
    grantor: Option<Grantor<'a>>,
    parts: Parts,
    scope: Scope,
    options: &'a DiffOptions,
    statements: Vec<Statement>,
    not_transferable: Vec<NotTransferable>,
}

/// Why nothing is taken from the account that would run the statement.
const IS_LOGIN: &str = "this is the account the statements run as";

/// Why an account is not touched at all.
const IS_CLOSED: &str =
    "the account has SYSTEM_USER on the new server, and the login that would change it has not";

impl<'a> Renderer<'a> {
    fn server(&self) -> &'a ServerVersion {
        &self.target.server
    }

    fn write(
        &mut self,
        step: StatementStep,
        key: &AccountKey,
        start: &str,
        write: impl FnOnce(&mut Writer<'_>),
    ) {
        let mut writer = Writer::new(self.server(), start);
        write(&mut writer);
        self.statements.push(writer.finish(step, key));
    }

    fn cannot(&mut self, key: &AccountKey, subject: Subject, reason: impl Into<String>) {
        self.not_transferable
            .push(NotTransferable::new(key, subject, reason));
    }

    fn cannot_all(&mut self, key: &AccountKey, privileges: Vec<(Level, String)>, reason: &str) {
        for (on, privilege) in privileges {
            self.cannot(key, Subject::Privilege { on, privilege }, reason);
        }
    }

    /// Whether the new server keeps this login from touching an account.
    fn is_closed(&self, new: &Account) -> bool {
        new.grants.dynamic.contains_key(SYSTEM_USER)
            && self
                .grantor
                .as_ref()
                .is_some_and(|grantor| !grantor.is_system_user())
    }

    /// Why an account of the old server is not made on the new one.
    fn not_made(&self, key: &AccountKey, account: &Account) -> Option<String> {
        if self.options.is_master(key) {
            return Some("the master user is made by RDS".to_owned());
        }
        let characters = |name: &Name| String::from_utf8_lossy(name.as_bytes()).chars().count();
        if characters(key.user()) > self.server().longest_user_name()
            || characters(key.host()) > self.server().longest_host()
        {
            return Some("the name is longer than the new server allows".to_owned());
        }
        let missing = account
            .authentication
            .iter()
            .find(|method| !self.server().may_have_plugin(&method.plugin));
        missing.map(|method| {
            format!(
                "the new server has no authentication plugin {}",
                method.plugin
            )
        })
    }

    /// Whether an account or role is on the new server, or will be.
    fn will_exist(&self, key: &AccountKey) -> bool {
        self.target.accounts.contains_key(key)
            || self.source.accounts.get(key).is_some_and(|account| {
                reservation(key, self.server()).is_none() && self.not_made(key, account).is_none()
            })
    }

    fn account(&mut self, key: &AccountKey, in_old: Option<&Account>, in_new: Option<&Account>) {
        let public = Account {
            is_role: true,
            ..Account::default()
        };
        match (reservation(key, self.server()), in_old, in_new) {
            (Some(Reservation::Known | Reservation::LooksLikeRds), _, _) | (None, None, None) => {}
            // PUBLIC is always there, in the tables or not.
            (Some(Reservation::PublicRole), old, new) => {
                self.grants(key, old.unwrap_or(&public), new.unwrap_or(&public));
            }
            (None, Some(old), None) => {
                if let Some(reason) = self.not_made(key, old) {
                    self.cannot(key, Subject::Account, reason);
                    return;
                }
                self.create(key, old);
                self.cannot_be_set(key, old);
                self.grants(
                    key,
                    old,
                    &Account {
                        is_role: old.is_role,
                        ..Account::default()
                    },
                );
            }
            (None, Some(old), Some(new)) if old.is_role != new.is_role => {
                self.cannot(
                    key,
                    Subject::Account,
                    "one server has an account and the other a role of this name",
                );
            }
            (None, Some(old), Some(new)) if self.is_closed(new) => {
                if old != new {
                    self.cannot(key, Subject::Account, IS_CLOSED);
                }
            }
            (None, Some(old), Some(new)) => {
                if self.scope.alters() {
                    self.alter(key, old, new);
                }
                self.grants(key, old, new);
            }
            (None, None, Some(new)) => self.drop_extra(key, new),
        }
    }

    fn drop_extra(&mut self, key: &AccountKey, new: &Account) {
        if self.scope != Scope::SyncAndDrop || self.options.is_master(key) {
            return;
        }
        if *key == self.target.read_as {
            self.cannot(key, Subject::Account, IS_LOGIN);
            return;
        }
        if self.is_closed(new) {
            self.cannot(key, Subject::Account, IS_CLOSED);
            return;
        }
        let start = if new.is_role {
            "DROP ROLE "
        } else {
            "DROP USER "
        };
        self.write(StatementStep::DropAccount, key, start, |w| w.account(key));
    }

    /// Says what an account loses although it is made again.
    fn cannot_be_set(&mut self, key: &AccountKey, old: &Account) {
        if matches!(old.password.lifetime, PasswordLifetime::Days(_)) {
            self.cannot(
                key,
                Subject::unseen("age of the password"),
                "no statement sets it; the interval starts again",
            );
        }
        if old.password.history.is_some() || old.password.reuse_interval.is_some() {
            self.cannot(
                key,
                Subject::unseen("earlier passwords"),
                "no statement sets the password history",
            );
        }
        self.not_modelled(key, old.not_modelled.iter());
    }

    fn not_modelled<'n>(&mut self, key: &AccountKey, names: impl Iterator<Item = &'n String>) {
        for name in names {
            self.cannot(
                key,
                Subject::Attribute {
                    attribute: Attribute::NotModelled,
                },
                format!("no statement for {name} is known here"),
            );
        }
    }

    /// `CREATE ROLE` on MariaDB makes its creator a member with admin option. Where the old server has no
    /// such membership it is taken back once the role has been handed out.
    fn undo_creator_membership(&mut self, old: &Accounts) {
        if !self.server().is_mariadb() {
            return;
        }
        let me = &self.target.read_as;
        let created: Vec<_> = self
            .statements
            .iter()
            .filter(|statement| statement.step() == StatementStep::CreateRole)
            .map(|statement| statement.account().clone())
            .collect();
        for role in created {
            let start = match old
                .accounts
                .get(me)
                .and_then(|account| account.grants.roles.get(&role))
            {
                Some(true) => continue,
                Some(false) => "REVOKE ADMIN OPTION FOR ",
                None => "REVOKE ",
            };
            self.write(StatementStep::Revoke, &role, start, |w| {
                w.account(&role);
                w.sql(" FROM ");
                w.account(me);
            });
        }
    }

    fn is_old_mysql(&self) -> bool {
        self.server().flavor == ServerFlavor::Mysql && !self.server().is_mysql_from(5, 7, 6)
    }
}
