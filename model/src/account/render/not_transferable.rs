//! What stays different, and why.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::diff::Attribute;
use super::super::name::AccountKey;
use super::super::privilege::Level;

/// Something of the old server that cannot be brought to the new one by a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct NotTransferable {
    /// The account, unless it concerns all.
    pub account: Option<AccountKey>,
    /// Which difference it leaves behind.
    pub subject: Subject,
    /// The subject in words.
    pub what: String,
    /// Why it cannot be brought over.
    pub reason: String,
}

impl NotTransferable {
    /// Something of one account.
    pub fn new(account: &AccountKey, subject: Subject, reason: impl Into<String>) -> Self {
        Self {
            account: Some(account.clone()),
            what: subject.to_string(),
            subject,
            reason: reason.into(),
        }
    }
}

/// The difference that something not transferable leaves behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Subject {
    /// The account as a whole: everything about it stays as it is.
    Account,
    /// One attribute.
    Attribute {
        /// Which one.
        attribute: Attribute,
    },
    /// One privilege on one level, named as in [`AccountChange::Privileges`](super::super::AccountChange).
    Privilege {
        /// On what.
        on: Level,
        /// The privilege.
        privilege: String,
    },
    /// Something the tables do not show or that was not read, so no difference is seen.
    Unseen {
        /// What it is.
        what: String,
    },
}

impl Subject {
    pub(super) fn unseen(what: &str) -> Self {
        Self::Unseen {
            what: what.to_owned(),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account => f.write_str("account"),
            Self::Attribute { attribute } => write!(f, "{attribute}"),
            Self::Privilege { on, privilege } => match on {
                Level::Proxy { .. } | Level::Role { .. } => {
                    write!(f, "{} of {on}", privilege.to_ascii_lowercase())
                }
                _ => write!(f, "{privilege} on {on}"),
            },
            Self::Unseen { what } => f.write_str(what),
        }
    }
}
