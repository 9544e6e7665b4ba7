//! A run folder and shared state: the folder remembers where its copy lies, and can be made anew from one.

use std::path::Path;
use std::sync::Arc;

use atrest_model::plan::Plan;
use serde::{Deserialize, Serialize};

use super::journal::Journal;
use super::{RunStore, StoreError, folder, phases};
use crate::shared::{RunCopy, Shared};

/// File that says that the run has shared state.
const FILE: &str = "shared.json";

/// What a run folder knows of its shared state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sharing {
    /// Where it lies.
    pub url: String,
    /// What tells this run folder from every other.
    pub token: String,
}

impl RunStore {
    /// Where the shared state of the run lies; `None` for a run of one machine.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] when the file that says so cannot be read: to go on without a lease would be wrong.
    pub fn sharing(&self) -> Result<Option<Sharing>, StoreError> {
        let path = self.dir.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(StoreError::io(format!("read {}", path.display()), e)),
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|e| StoreError::Damaged {
                file: path,
                why: e.to_string(),
            })
    }

    /// Remembers where the shared state lies, durably.
    pub(crate) fn share(&self, sharing: &Sharing) -> Result<(), StoreError> {
        let text = serde_json::to_string_pretty(sharing).unwrap_or_default();
        self.write_report(FILE, &text)?;
        folder::sync(&self.dir)
    }

    /// The sitting has these leases from now on.
    pub(crate) fn lean_on(&mut self, shared: Arc<Shared>) {
        self.shared = Some(shared);
    }

    /// The leases of this sitting.
    #[must_use]
    pub fn shared(&self) -> Option<&Arc<Shared>> {
        self.shared.as_ref()
    }

    /// Removes the run folder. For a run that was never begun: nothing of it may be in RDS.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`].
    pub fn discard(self) -> Result<(), StoreError> {
        std::fs::remove_dir_all(&self.dir)
            .map_err(|e| StoreError::io(format!("remove {}", self.dir.display()), e))
    }
}

/// Writes into a new folder what a copy tells. Each record is checked as one that is made.
pub(super) fn replay(
    dir: &Path,
    plan: &Plan,
    journal: &mut Journal,
    copy: &RunCopy,
) -> Result<(), StoreError> {
    for phase in &copy.phases {
        let path = dir.join(phase.file_name());
        phases::check(phase, plan).map_err(|why| StoreError::Damaged {
            file: path.clone(),
            why: why.to_owned(),
        })?;
        let text = serde_json::to_string_pretty(phase).map_err(|e| StoreError::Damaged {
            file: path.clone(),
            why: e.to_string(),
        })?;
        folder::remove(&path)?;
        folder::write_new(&path, text.as_bytes())?;
    }
    if !copy.phases.is_empty() {
        journal.knows_phases()?;
    }
    for record in &copy.records {
        journal.record(
            &record.migration,
            &record.step,
            record.event,
            record.at,
            &record.detail,
        )?;
    }
    // The records that begin the phases must be those of these documents.
    phases::read(dir, plan, journal).map(|_phases| ())
}
