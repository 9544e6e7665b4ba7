//! Why a run folder cannot be used.

use std::path::{Path, PathBuf};

use super::FORMAT_VERSION;
use super::folder::Holder;

/// A run folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such run.
    #[error("no run {run} in {dir}")]
    NoSuchRun {
        /// Run as asked for.
        run: String,
        /// State folder.
        dir: PathBuf,
    },
    /// A run of that name was begun before.
    #[error("run {run} was begun before, in {dir}")]
    Exists {
        /// Run.
        run: String,
        /// Run folder.
        dir: PathBuf,
    },
    /// Another process runs it.
    #[error("run {run} is being executed by {}", by(holder.as_ref()))]
    Locked {
        /// Run.
        run: String,
        /// Who; `None` in the moment before it has written its name down.
        holder: Option<Holder>,
    },
    /// No process executes it.
    #[error("run {run} is not being executed")]
    NotRunning {
        /// Run.
        run: String,
    },
    /// The state folder is where the kernel's lock says nothing about other machines.
    #[error("{dir} is on {kind}, where a lock does not keep other machines out")]
    NetworkFileSystem {
        /// State folder.
        dir: PathBuf,
        /// Which file system.
        kind: &'static str,
    },
    /// The journal is from a newer version.
    #[error(
        "the journal of run {run} has format {found}; this version reads up to {FORMAT_VERSION}"
    )]
    Newer {
        /// Run.
        run: String,
        /// Its format.
        found: u32,
    },
    /// Plan or journal is damaged.
    #[error("{file} is damaged: {why}")]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A record could not be made durable: what it would have said is not in the journal.
    #[error("cannot write {file}: {why}")]
    NotWritten {
        /// Which file.
        file: PathBuf,
        /// Why not.
        why: String,
    },
    /// The operating system refused.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why not.
        source: std::io::Error,
    },
}

fn by(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "another process".to_owned(), ToString::to_string)
}

impl StoreError {
    /// What a person can do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoSuchRun { .. } => {
                "`atrest status` lists the runs of the state folder (--state-dir); if the folder is lost, `atrest fix --adopt PLAN` takes the run up from its tags in RDS"
            }
            Self::Exists { .. } => {
                "take it up again with `atrest fix --resume RUN`, or make a new plan"
            }
            Self::NotRunning { .. } => {
                "there is nothing to pause; `atrest fix --resume RUN` takes it up again"
            }
            Self::Locked { .. } => "wait for it, or follow it with `atrest status RUN`",
            Self::NetworkFileSystem { .. } => {
                "choose a folder on a disk of this machine with --state-dir"
            }
            Self::Newer { .. } => "use the version of atrest that began the run",
            Self::Damaged { .. } => {
                "nothing was changed; restore the file from a copy, or put the run folder aside and take the run up from RDS with `atrest fix --adopt PLAN`"
            }
            Self::NotWritten { .. } => {
                "make room on the disk, then `atrest fix --resume RUN`; it looks in RDS for what was not recorded"
            }
            Self::Io { .. } => "check the folder, its permissions and the disk",
        }
    }

    /// Reads an error of SQLite: a disk that is full or failing is not a damaged file.
    pub(super) fn of(file: &Path, error: &rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as E;
        let (file, why) = (file.to_owned(), error.to_string());
        match error.sqlite_error_code() {
            Some(
                E::DiskFull
                | E::SystemIoFailure
                | E::DatabaseBusy
                | E::DatabaseLocked
                | E::ReadOnly
                | E::CannotOpen
                | E::PermissionDenied
                | E::OutOfMemory,
            ) => Self::NotWritten { file, why },
            _ => Self::Damaged { file, why },
        }
    }

    pub(super) fn io(doing: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io {
            doing: doing.into(),
            source,
        }
    }
}
