//! The wish that a run begins nothing new.

use std::path::Path;

use super::{RunStore, StoreError, existing, folder};
use crate::clock;

const PAUSE: &str = "pause";

/// Asks the process that executes a run to see through what is under way, to begin nothing new, and to end. Taking the
/// run up again takes the wish back.
///
/// # Errors
///
/// [`StoreError::NoSuchRun`]; [`StoreError::NotRunning`] when no process executes it: there is nothing to pause.
pub fn pause(state_dir: &Path, run: &str) -> Result<(), StoreError> {
    let dir = existing(state_dir, run)?;
    match folder::lock(&dir, run, clock::now()) {
        Err(StoreError::Locked { .. }) => {}
        Ok(_released) => {
            return Err(StoreError::NotRunning {
                run: run.to_owned(),
            });
        }
        Err(other) => return Err(other),
    }
    match folder::write_new(&dir.join(PAUSE), b"") {
        // Asked twice.
        Err(StoreError::Io { source, .. })
            if source.kind() == std::io::ErrorKind::AlreadyExists =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Whether a pause was asked for in a run folder.
pub(crate) fn is_pause_asked(run_dir: &Path) -> bool {
    run_dir.join(PAUSE).exists()
}

impl RunStore {
    /// The run goes on: an earlier wish to pause is over. For whoever has the lock.
    pub(super) fn end_pause(dir: &Path) -> Result<(), StoreError> {
        folder::remove(&dir.join(PAUSE))
    }
}
