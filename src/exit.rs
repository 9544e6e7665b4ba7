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
    /// The shards of a scan do not add up.
    Shards = 5,
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
    /// `tick`: a person must look; never to be repeated by a machine.
    TickNeedsPerson = 42,
    /// `tick`: another tick has the migration, or AWS cannot be asked: the same call later.
    TryLater = 75,
    /// Interrupted; what is written says that it is incomplete.
    Interrupted = 130,
}

impl Exit {
    /// Every code, as docs/reference/exit-codes.md lists them.
    pub(crate) const ALL: [Self; 16] = [
        Self::Ok,
        Self::Internal,
        Self::Usage,
        Self::NothingScanned,
        Self::Incomplete,
        Self::Shards,
        Self::Findings,
        Self::Drift,
        Self::Stopped,
        Self::ValidationFailed,
        Self::StalePlan,
        Self::RolledBack,
        Self::NeedsOperator,
        Self::TickNeedsPerson,
        Self::TryLater,
        Self::Interrupted,
    ];

    /// What it says, and what a person does next.
    pub(crate) fn meaning(self) -> (&'static str, &'static str) {
        match self {
            Self::Ok => ("clean, or done", "nothing"),
            Self::Internal => (
                "a bug in atrest",
                "report it with the command line and the output of `-vv`; `fix --resume RUN` is safe",
            ),
            Self::Usage => (
                "wrong arguments, files, configuration or credentials",
                "read the hint; nothing was changed",
            ),
            Self::NothingScanned => (
                "nothing was scanned: no region could be read",
                "check credentials and permissions; `atrest iam-policy scan` prints what a scan needs",
            ),
            Self::Incomplete => (
                "incomplete: something could not be read or evaluated",
                "the report names each hole and its reason; mend it and scan again",
            ),
            Self::Shards => (
                "the shards of a scan do not add up: one is missing, twice or of another plan, or a file is cut or was changed",
                "the message names the batch to read again; nothing was reported",
            ),
            Self::Findings => (
                "findings at or above `--fail-on`",
                "`atrest plan --from SCAN.json`, a waiver, or a fix by hand",
            ),
            Self::Drift => (
                "drift: old and new differ in something that is not explained",
                "`atrest diff` shows each difference with its remedy",
            ),
            Self::Stopped => (
                "stopped on purpose or by an interrupt; can be taken up again",
                "the same command again; for a migration `atrest fix --resume RUN`",
            ),
            Self::ValidationFailed => (
                "validation failed: drift before the cutover, so no new instance got a real name",
                "mend the difference on the new instance and `fix --resume RUN`, or `rollback RUN`",
            ),
            Self::StalePlan => (
                "the plan no longer fits what is there; nothing was changed",
                "make a new plan",
            ),
            Self::RolledBack => (
                "rolled back: the old instances have their names, nothing of it is encrypted",
                "find out why, then plan anew",
            ),
            Self::NeedsOperator => (
                "a person must look: something that atrest will not decide",
                "the report names it; then `fix --resume RUN` or `rollback RUN`",
            ),
            Self::TickNeedsPerson => (
                "`tick`: a person must look; no engine may repeat it",
                "the document that was printed names it; then a tick with `resume`, or `fix --adopt PLAN`",
            ),
            Self::TryLater => (
                "`tick`: another tick has the migration, or AWS cannot be asked",
                "the same call later",
            ),
            Self::Interrupted => (
                "interrupted; what is written says that it is incomplete",
                "run it again",
            ),
        }
    }

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
            Self::TryLater => 3,
            Self::NeedsOperator | Self::TickNeedsPerson => 8,
            Self::NothingScanned => 9,
            Self::Shards => 10,
            Self::Usage => 11,
            Self::Internal => 12,
            Self::Interrupted => 13,
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
    fn the_page_has_every_code() {
        let page = include_str!("../docs/exit-codes.md");
        for exit in Exit::ALL {
            let row = format!("| {} |", exit as u8);
            assert!(page.contains(&row), "docs/exit-codes.md has no row {row}");
        }
        let rows = page.lines().filter(|line| line.starts_with("| ")).count();
        assert_eq!(rows, Exit::ALL.len() + 1, "a code that is none");
    }

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
