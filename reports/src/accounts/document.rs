//! The documents of `atrest accounts`, as JSON has them. Credentials appear as fingerprints only.

use std::collections::BTreeMap;

use atrest_model::Tool;
use atrest_model::account::{
    AccountChange, AccountKey, Accounts, AccountsDiff, DiffWarning, NotTransferable, Scope,
    ServerVersion, SettingDifference, Side, SidedOrphan, StatementStep,
};
use schemars::JsonSchema;
use serde::Serialize;

/// Version of the JSON forms of [`AccountsExport`], [`AccountsDiffReport`] and [`AccountsCloneReport`].
pub const ACCOUNTS_SCHEMA_VERSION: u32 = 1;

/// Which server was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AccountServer {
    /// DB instance identifier, or `host:port`.
    pub name: String,
    /// `host:port`.
    pub endpoint: String,
    /// Family and version.
    pub server: ServerVersion,
    /// The account it was read as.
    pub read_as: AccountKey,
    /// `@@read_only`.
    pub read_only: bool,
}

/// The accounts of one server.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AccountsExport {
    /// [`ACCOUNTS_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Who wrote it.
    pub tool: Tool,
    /// When the server was read, RFC 3339.
    pub created: String,
    /// The server.
    pub server: AccountServer,
    /// Accounts that belong to the server or to RDS; they are in `accounts` too.
    pub reserved: Vec<AccountKey>,
    /// Everything read.
    pub accounts: Accounts,
    /// `mysql.rds_show_configuration`; `None` where there is none.
    pub configuration: Option<BTreeMap<String, Option<String>>>,
    /// What could not be read beside what `accounts.unread` says.
    pub not_read: Vec<String>,
}

/// An account that both servers have and that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChangedAccount {
    /// The account.
    pub account: AccountKey,
    /// How it differs.
    pub changes: Vec<AccountChange>,
}

/// Something that was not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AccountsNotCompared {
    /// On which server; `None` where it concerns both.
    pub side: Option<Side>,
    /// What, such as `table grants`.
    pub part: String,
    /// The account, when only something of one account is concerned.
    pub account: Option<AccountKey>,
    /// Whether a read failed: the comparison is incomplete.
    pub failed: bool,
    /// Why not.
    pub reason: String,
}

/// A value of `mysql.rds_show_configuration` that differs. `None` is `NULL`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConfigurationDifference {
    /// Such as `binlog retention hours`.
    pub name: String,
    /// The old server's value.
    pub old: Option<String>,
    /// The new server's value.
    pub new: Option<String>,
}

/// What differs between two servers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct AccountDifferences {
    /// Server settings that make equal grants mean different things.
    pub settings: Vec<SettingDifference>,
    /// Accounts that only the old server has.
    pub missing: Vec<AccountKey>,
    /// Accounts that only the new server has.
    pub extra: Vec<AccountKey>,
    /// Accounts that both have and that differ.
    pub changed: Vec<ChangedAccount>,
    /// Values of `mysql.rds_show_configuration` that differ.
    pub configuration: Vec<ConfigurationDifference>,
}

impl AccountDifferences {
    /// Of a diff and of the configuration.
    #[must_use]
    pub fn new(diff: &AccountsDiff, configuration: Vec<ConfigurationDifference>) -> Self {
        let changed = diff
            .changed
            .iter()
            .map(|(account, changes)| ChangedAccount {
                account: account.clone(),
                changes: changes.clone(),
            });
        Self {
            settings: diff.settings.clone(),
            missing: diff.missing.clone(),
            extra: diff.extra.clone(),
            changed: changed.collect(),
            configuration,
        }
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.settings.is_empty()
            && self.missing.is_empty()
            && self.extra.is_empty()
            && self.changed.is_empty()
            && self.configuration.is_empty()
    }
}

/// The comparison of two servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AccountsDiffReport {
    /// [`ACCOUNTS_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Who wrote it.
    pub tool: Tool,
    /// When the servers were read, RFC 3339.
    pub created: String,
    /// The server as it should be.
    pub old: AccountServer,
    /// The other one.
    pub new: AccountServer,
    /// Accounts compared.
    pub compared: u64,
    /// What differs.
    #[serde(flatten)]
    pub differences: AccountDifferences,
    /// Accounts that belong to the server or to RDS: not compared.
    pub reserved: Vec<AccountKey>,
    /// Grants without an account: not a difference, since nobody can use them.
    pub orphans: Vec<SidedOrphan>,
    /// What was not compared, and why.
    pub not_compared: Vec<AccountsNotCompared>,
    /// Things a person should know.
    pub warnings: Vec<DiffWarning>,
}

impl AccountsDiffReport {
    /// Whether both servers were read whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.not_compared.iter().all(|not| !not.failed)
    }
}

/// A statement, its credentials replaced by fingerprints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AccountStatement {
    /// Its place in the order.
    pub step: StatementStep,
    /// The account it is about.
    pub account: AccountKey,
    /// The masked text.
    pub statement: String,
}

/// What bringing accounts from one server to another needs, and, once executed, what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AccountsCloneReport {
    /// [`ACCOUNTS_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Who wrote it.
    pub tool: Tool,
    /// When the servers were read, RFC 3339.
    pub created: String,
    /// Where accounts come from.
    pub old: AccountServer,
    /// Where they go.
    pub new: AccountServer,
    /// How far the new server is changed.
    pub scope: Scope,
    /// In the order they are run.
    pub statements: Vec<AccountStatement>,
    /// Values of `mysql.rds_show_configuration` to be set.
    pub configuration: Vec<ConfigurationDifference>,
    /// What no statement can bring about.
    pub not_transferable: Vec<NotTransferable>,
    /// Accounts that belong to the server or to RDS: left alone.
    pub reserved: Vec<AccountKey>,
    /// Things a person should know before.
    pub notes: Vec<String>,
    /// Whether both servers were read whole.
    pub is_whole: bool,
    /// What differs and is outside the scope: it stays so.
    pub left: AccountDifferences,
    /// What became of it; `None` when nothing was asked to be done.
    pub outcome: Option<CloneOutcome>,
}

impl AccountsCloneReport {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.statements.is_empty() && self.configuration.is_empty()
    }
}

/// What became of the statements.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct CloneOutcome {
    /// Statements the server took, masked.
    pub applied: Vec<String>,
    /// Statements it refused.
    pub refused: Vec<RefusedStatement>,
    /// Warnings it gave for statements it took.
    pub warnings: Vec<String>,
    /// Accounts made and dropped again after a refused statement.
    pub dropped: Vec<AccountKey>,
    /// Statements not tried, because their account had been dropped again.
    pub skipped: Vec<String>,
    /// Configuration values set.
    pub configured: Vec<String>,
    /// Whether the new server was read back; `false` when it stopped before.
    pub verified: bool,
    /// What still differs although it was asked for.
    pub remaining: AccountDifferences,
}

/// A statement the server refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RefusedStatement {
    /// The account it was for.
    pub account: AccountKey,
    /// The masked text.
    pub statement: String,
    /// The server's words.
    pub message: String,
    /// What a person can do about it.
    pub hint: Option<String>,
}
