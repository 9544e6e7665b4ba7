//! Why shared state keeps us from something.

use std::fmt;

use atrest_scanner::error::AwsError;
use jiff::Timestamp;

use crate::store::StoreError;

/// Who has or had an object, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// `region/identifier`.
    pub migration: String,
    /// `user@machine`.
    pub owner: String,
    /// The run.
    pub run: String,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, run {}", self.owner, self.run)
    }
}

/// What keeps a runner from a lease.
#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    /// Somebody else works on it.
    #[error("{} is being worked on by {by}, until {expires:.0} unless that is renewed", by.migration)]
    Held {
        /// Who.
        by: By,
        /// The end of the lease.
        expires: Timestamp,
    },
    /// The run was taken up from another folder since.
    #[error("{} was worked on last by {by}, from another run folder", by.migration)]
    Elsewhere {
        /// Who.
        by: By,
    },
    /// Another run was left in the middle.
    #[error("{} was left in the middle by {by}", by.migration)]
    Unfinished {
        /// Who.
        by: By,
    },
    /// A run of this name has another plan.
    #[error("{} was begun by {by}, with another plan", by.migration)]
    OtherPlan {
        /// Who.
        by: By,
    },
    /// It changed between the look and the taking.
    #[error("the shared state of {migration} has changed since it was read")]
    Moved {
        /// Which.
        migration: String,
    },
    /// An object that is none of ours, or newer.
    #[error("the object {name} of the shared state cannot be used: {why}")]
    NotOurs {
        /// Its name below the prefix.
        name: String,
        /// Why.
        why: String,
    },
    /// The run folder knows of another place.
    #[error("the shared state of this run lies in {known}")]
    ElsewhereKept {
        /// Where.
        known: String,
    },
    /// The store did not do it.
    #[error("the shared state cannot be used: {0}")]
    Aws(#[from] AwsError),
    /// The run folder.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SharedError {
    /// Whether the same command may work later, with nothing mended.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Held { .. } | Self::Moved { .. } => true,
            Self::Aws(error) => error.may_pass(),
            Self::Elsewhere { .. }
            | Self::Unfinished { .. }
            | Self::OtherPlan { .. }
            | Self::NotOurs { .. }
            | Self::ElsewhereKept { .. }
            | Self::Store(_) => false,
        }
    }

    /// What a person can do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Held { .. } => {
                "nothing was changed; wait for them, or take the run up with `atrest fix --adopt PLAN --shared-state URL` once the lease has ended"
            }
            Self::Elsewhere { .. } => {
                "nothing was changed; their journal is the newer one: take the run up with `atrest fix --adopt PLAN --shared-state URL` and another --state-dir"
            }
            Self::Unfinished { .. } => {
                "nothing was changed; finish that run or roll it back; if it is gone for good, delete the object (docs/shared-state.md)"
            }
            Self::OtherPlan { .. } => {
                "nothing was changed; use that plan, or give this run another name"
            }
            Self::Moved { .. } => "nothing was changed; the same command again reads it anew",
            Self::NotOurs { .. } => {
                "nothing was changed; look at the object, and delete it if nobody works on its DB instance (docs/shared-state.md)"
            }
            Self::ElsewhereKept { .. } => "leave --shared-state away; the run folder knows it",
            Self::Aws(error) => error.hint(),
            Self::Store(error) => error.hint(),
        }
    }
}
