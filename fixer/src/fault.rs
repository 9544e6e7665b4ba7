//! What can go wrong in a step, and what follows from it.

use atrest_scanner::error::{AwsError, AwsErrorKind};

/// A failed observation or act.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// AWS, or the way to it.
    #[error("{0}")]
    Aws(AwsError),
    /// A MySQL server, or the way to it.
    #[error("{message}")]
    Mysql {
        /// What failed, where, and the server's words; no secret.
        message: String,
        /// Whether waiting may mend it.
        transient: bool,
        /// What to do.
        hint: &'static str,
    },
    /// The plan asks for what this version cannot do.
    #[error("{0}")]
    Plan(String),
    /// The run folder.
    #[error("{0}")]
    Store(String),
}

impl Fault {
    /// Whether a mutation may have taken effect although this came back.
    pub(crate) fn outcome_unknown(&self) -> bool {
        match self {
            Self::Aws(error) => error.outcome_unknown(),
            Self::Mysql { transient, .. } => *transient,
            Self::Plan(_) | Self::Store(_) => false,
        }
    }

    /// Whether to observe again and go on rather than to stop.
    ///
    /// A taken name is observed again: it may be ours, or a name whose release RDS has not finished. A used-up quota
    /// is waited for, because five or twenty copies in flight answer with the same code as a hundred snapshots. A key
    /// that RDS cannot use yet may have been granted a moment ago. The deadline of the step ends all of these.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Aws(error) => {
                error.is_transient()
                    || matches!(
                        error.kind,
                        AwsErrorKind::AlreadyExists | AwsErrorKind::Quota | AwsErrorKind::NotFound
                    )
            }
            Self::Mysql { transient, .. } => *transient,
            Self::Plan(_) | Self::Store(_) => false,
        }
    }

    /// What a person can do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Aws(error) => error.hint(),
            Self::Mysql { hint, .. } => hint,
            Self::Plan(_) => "make the plan again with this version of atrest",
            Self::Store(_) => "check the run folder and the disk",
        }
    }
}
