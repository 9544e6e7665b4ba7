//! The file in which `diff --data --resume FILE` keeps how far it has come.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use atrest_scanner::compare::ProgressStore;
use atrest_scanner::mysql::{DataProgress, TableProgress};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::common;
use crate::exit::ExpectedError;

/// Version of the file.
const FORMAT: u32 = 1;
/// The file is written at most this often.
const EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Document {
    format: u32,
    /// By the resource ids of both sides.
    pairs: BTreeMap<String, DataProgress>,
}

/// Progress of the pairs of one `diff`.
pub(crate) struct ProgressFile {
    path: PathBuf,
    state: Mutex<State>,
    stop: watch::Receiver<bool>,
}

struct State {
    document: Document,
    written: Option<Instant>,
    /// Why the file could not be written.
    broken: Option<anyhow::Error>,
}

impl ProgressFile {
    /// Reads the file, if there is one. From now on an interrupt ends the comparison in order.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let unusable = |what: String| {
            ExpectedError::usage(
                format!("{}: {what}", path.display()),
                "name a file that an earlier `atrest diff --data --resume` wrote, or one that does not exist",
            )
        };
        let document = match std::fs::read(path) {
            Ok(text) => serde_json::from_slice::<Document>(&text)
                .map_err(|error| unusable(error.to_string()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Document {
                format: FORMAT,
                pairs: BTreeMap::new(),
            },
            Err(error) => return Err(unusable(error.to_string())),
        };
        if document.format != FORMAT {
            return Err(unusable(format!("format {} is not known", document.format)));
        }
        let file = Self {
            path: path.to_owned(),
            state: Mutex::new(State {
                document,
                written: None,
                broken: None,
            }),
            stop: common::stop_signal()?,
        };
        // Found out now rather than after an hour.
        file.write(&mut file.lock())?;
        Ok(file)
    }

    /// Whether the comparison was asked to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Ends the file: removed when `complete`, written with the last state otherwise.
    pub(crate) fn end(self, complete: bool) -> anyhow::Result<()> {
        let mut state = self.lock();
        if let Some(error) = state.broken.take() {
            return Err(error);
        }
        if complete {
            std::fs::remove_file(&self.path)?;
            return Ok(());
        }
        self.write(&mut state)
    }

    fn write(&self, state: &mut State) -> anyhow::Result<()> {
        state.written = Some(Instant::now());
        common::deliver(Some(&self.path), &common::json(&state.document)?)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProgressStore for ProgressFile {
    fn load(&self, pair: &str, checksums: bool) -> DataProgress {
        let mut state = self.lock();
        let kept = state.document.pairs.entry(pair.to_owned()).or_default();
        if kept.checksums != checksums {
            *kept = DataProgress {
                checksums,
                ..DataProgress::default()
            };
        }
        kept.clone()
    }

    fn keep(&self, pair: &str, table: &str, progress: &TableProgress) -> bool {
        let mut state = self.lock();
        let kept = state.document.pairs.entry(pair.to_owned()).or_default();
        kept.tables.insert(table.to_owned(), progress.clone());
        let stopped = self.is_stopped();
        if (stopped
            || state
                .written
                .is_none_or(|written| written.elapsed() >= EVERY))
            && let Err(error) = self.write(&mut state)
        {
            state.broken = Some(error);
            return false;
        }
        !stopped
    }
}
