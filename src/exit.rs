//! Exit codes, and errors that users can mend.

use std::process::ExitCode;

/// Exit codes of all commands. docs/exit-codes.md lists them for users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Clean, or done.
    Ok = 0,
    /// A bug.
    Internal = 1,
    /// Wrong arguments, files or configuration.
    Usage = 2,
    /// Nothing was scanned.
    NothingScanned = 3,
    /// Something could not be read or evaluated.
    Incomplete = 4,
    /// Findings at or above the threshold.
    Findings = 10,
    /// Drift in a pair.
    Drift = 11,
    /// Stopped; can be resumed.
    Stopped = 20,
    /// Validation failed; nothing was renamed.
    ValidationFailed = 21,
    /// The plan no longer fits what is there.
    StalePlan = 22,
    /// Rolled back: the old instances have their real names, and nothing is encrypted.
    RolledBack = 23,
    /// A person must look.
    NeedsOperator = 24,
    /// Interrupted; what is written says that it is incomplete.
    Interrupted = 130,
}

impl Exit {
    /// Rank of alarm: of two that apply, the higher wins.
    fn alarm(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Incomplete => 1,
            Self::RolledBack => 2,
            Self::Stopped => 3,
            Self::Drift => 4,
            Self::Findings => 5,
            Self::ValidationFailed => 6,
            Self::StalePlan => 7,
            Self::NeedsOperator => 8,
            Self::NothingScanned => 9,
            Self::Usage => 10,
            Self::Internal => 11,
            Self::Interrupted => 12,
        }
    }

    /// The more alarming of two.
    #[must_use]
    pub(crate) fn max(self, other: Self) -> Self {
        if other.alarm() > self.alarm() {
            other
        } else {
            self
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error of the user's world: one line, a hint, an exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ExpectedError {
    /// Exit code.
    pub(crate) exit: Exit,
    /// What is wrong, naming the thing.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: String,
}

impl ExpectedError {
    pub(crate) fn of(
        exit: Exit,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> anyhow::Error {
        anyhow::Error::new(Self {
            exit,
            message: message.into(),
            hint: hint.into(),
        })
    }

    /// Wrong arguments, files or configuration.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
        Self::of(Exit::Usage, message, hint)
    }

    /// A call that failed.
    pub(crate) fn aws(error: &atrest_scanner::error::AwsError) -> anyhow::Error {
        use atrest_scanner::error::AwsErrorKind as K;
        let exit = match error.kind {
            K::Credentials | K::RegionOff | K::InvalidRequest | K::NotFound | K::PlainHttp => {
                Exit::Usage
            }
            _ => Exit::Incomplete,
        };
        Self::of(exit, error.to_string(), error.hint())
    }

    /// A run folder that cannot be used.
    pub(crate) fn store(error: &atrest_fixer::store::StoreError) -> anyhow::Error {
        Self::of(Exit::Usage, error.to_string(), error.hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_alarming_code_wins() {
        assert_eq!(Exit::Incomplete.max(Exit::Findings), Exit::Findings);
        assert_eq!(Exit::Drift.max(Exit::Findings), Exit::Findings);
        assert_eq!(
            Exit::NeedsOperator.max(Exit::ValidationFailed),
            Exit::NeedsOperator
        );
        assert_eq!(Exit::Ok.max(Exit::Incomplete), Exit::Incomplete);
    }
}
