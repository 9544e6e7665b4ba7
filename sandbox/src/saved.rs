//! The state on disk: what began, and all that was done to it since.
//!
//! What is to come is code, not data, so a state is not a picture of the world but its history: the scenario,
//! the seed, and each call with its moment. Everything that happens follows from these, because every chance
//! is drawn from the seed and every date comes from the virtual clock; so the same history makes the same
//! world, with all its timelines under way. A digest of the world tells when it does not.
//!
//! Real servers keep their data elsewhere, and their work takes real time; a sandbox with them has no saved
//! state.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::fault::{Faults, Quota};
use crate::http::Done;
use crate::incident::Incident;
use crate::rds::params::Params;
use crate::scenario::Scenario;
use crate::wire::{Protocol, Received, Service};
use crate::world::{Core, World};

/// Version of the format that this program reads and writes.
const FORMAT: u32 = 1;

/// Something that was done to a world.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(crate) enum Operation {
    Call(Box<SavedCall>),
    Plan {
        at: Timestamp,
        due: Timestamp,
        incident: Incident,
    },
    Unplan {
        at: Timestamp,
        name: String,
    },
}

/// A call that changed something, or might have.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SavedCall {
    at: Timestamp,
    access_key_id: String,
    region: String,
    service: String,
    action: String,
    #[serde(default, skip_serializing_if = "Params::is_empty")]
    params: Params,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    json: Value,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    limits: Vec<(Quota, Option<i64>)>,
}

impl std::fmt::Debug for SavedCall {
    /// Without what was sent: there may be passwords in it.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("SavedCall")
            .field("at", &self.at)
            .field("action", &self.action)
            .finish_non_exhaustive()
    }
}

impl Operation {
    pub(crate) fn call(at: Timestamp, done: &Done<'_>) -> Self {
        Self::Call(Box::new(SavedCall {
            at,
            access_key_id: done.caller.access_key_id.clone(),
            region: done.region.to_owned(),
            service: done.received.service.name().to_owned(),
            action: done.received.action.clone(),
            params: done.received.params.clone(),
            json: done.received.json.clone(),
            limits: done.limits.to_vec(),
        }))
    }

    fn at(&self) -> Timestamp {
        match self {
            Self::Call(call) => call.at,
            Self::Plan { at, .. } | Self::Unplan { at, .. } => *at,
        }
    }
}

/// All that was done, in order.
pub(crate) type Journal = Vec<Operation>;

/// A state as written.
#[derive(Serialize, Deserialize)]
struct Document {
    /// First, so that a newer format is recognised whatever follows.
    format: u32,
    /// Real time, for the reader.
    saved_at: Timestamp,
    scenario: String,
    scenario_text: String,
    seed: u64,
    start: Timestamp,
    now: Timestamp,
    operations: Journal,
    faults: Faults,
    /// Of the world as it was, so that one that comes out otherwise is noticed.
    digest: String,
}

/// A state that cannot be saved or brought back.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file cannot be read or written.
    #[error("could not {doing} the state file {path}")]
    Io {
        /// `read` or `write`.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no state.
    #[error("{path} is not a saved state: {problem}")]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The file was written by a newer program.
    #[error("{path} has format {found}; this program reads formats up to {FORMAT}")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// Real servers and a saved state do not go together.
    #[error(
        "a state file keeps the control plane only, not the data of real servers: start without engines"
    )]
    Engines,
}

/// Where the state is kept, with what never changes in it.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    scenario: Scenario,
    seed: u64,
}

/// What was read from a state file.
pub(crate) struct Loaded {
    document: Document,
    pub(crate) scenario: Scenario,
}

impl Loaded {
    /// Reads a state; `None` when there is no such file.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, StateError> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(StateError::Io {
                    doing: "read",
                    path: path.to_owned(),
                    source,
                });
            }
        };
        #[derive(Deserialize)]
        struct Format {
            format: u64,
        }
        let content = |problem: String| StateError::Content {
            path: path.to_owned(),
            problem,
        };
        let Format { format } =
            serde_json::from_slice(&text).map_err(|error| content(error.to_string()))?;
        if format > u64::from(FORMAT) {
            return Err(StateError::Newer {
                path: path.to_owned(),
                found: format,
            });
        }
        let document: Document =
            serde_json::from_slice(&text).map_err(|error| content(error.to_string()))?;
        let scenario = Scenario::without_files(&document.scenario, &document.scenario_text)
            .map_err(|error| content(crate::world::describe(&error)))?;
        Ok(Some(Self { document, scenario }))
    }

    pub(crate) fn seed(&self) -> u64 {
        self.document.seed
    }

    /// When its clock started, and when it stopped.
    pub(crate) fn times(&self) -> (Timestamp, Timestamp) {
        (self.document.start, self.document.now)
    }

    /// Does everything again to a world that its scenario has filled.
    pub(crate) fn replay(self, world: &mut World) {
        let document = self.document;
        let clock = std::sync::Arc::clone(&world.clock);
        world.journal = Some(Journal::new());
        for operation in document.operations {
            let at = operation.at();
            match operation {
                Operation::Call(call) => call.again(world),
                Operation::Plan { due, incident, .. } => {
                    let _held = clock.hold(at);
                    world.advance();
                    world.plan(incident, at, due);
                    world.advance();
                }
                Operation::Unplan { name, .. } => {
                    let _held = clock.hold(at);
                    world.advance();
                    world.remove_fault(&name, at);
                }
            }
        }
        let _held = clock.hold(document.now);
        world.advance();
        if digest(world) != document.digest {
            tracing::warn!(
                "The state was saved by a program with other rules: what has been done since has been done again under today's, and some of it came out otherwise."
            );
        }
        world.faults = document.faults;
    }
}

impl SavedCall {
    fn again(self, world: &mut World) {
        let caller = world
            .accounts
            .iter()
            .find(|account| account.access_key_id == self.access_key_id)
            .cloned();
        let (Some(caller), Some(service)) = (caller, Service::from_name(&self.service)) else {
            tracing::warn!(action = self.action, "A saved call cannot be done again.");
            return;
        };
        let received = Received {
            service,
            protocol: if self.json.is_null() {
                Protocol::Query
            } else {
                Protocol::Json11
            },
            action: self.action,
            params: self.params,
            json: self.json,
            problem: None,
        };
        let done = Done {
            caller: &caller,
            region: &self.region,
            received: &received,
            limits: &self.limits,
        };
        // It may have been refused then, and is refused again.
        drop(done.at(world, self.at, None));
    }
}

/// Tells worlds apart. Passwords take part by their masks only, lists that are kept for the next page not at all.
fn digest(world: &mut World) -> String {
    use std::fmt::Write as _;
    let mut hash = Sha256::new();
    for (scope, region) in &mut world.regions {
        region.listing = None;
        hash.update(format!("{scope:?} {region:?}\n"));
    }
    let bytes: [u8; 32] = hash.finalize().into();
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

impl StateFile {
    pub(crate) fn new(path: PathBuf, scenario: Scenario, seed: u64) -> Self {
        Self {
            path,
            scenario,
            seed,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the state beside its file and puts it in its place: the file is the old state or the new one,
    /// and only its owner may read it.
    pub(crate) async fn save(&self, core: &Core) -> Result<(), StateError> {
        let text = {
            let mut world = core.lock();
            let clock = std::sync::Arc::clone(&world.clock);
            let now = clock.now();
            let _held = clock.hold(now);
            world.advance();
            let document = Document {
                format: FORMAT,
                saved_at: Timestamp::now(),
                scenario: self.scenario.name().to_owned(),
                scenario_text: self.scenario.text().to_owned(),
                seed: self.seed,
                start: clock.start(),
                now,
                operations: world.journal.clone().unwrap_or_default(),
                faults: world.faults.clone(),
                digest: digest(&mut world),
            };
            serde_json::to_vec(&document).map_err(|error| StateError::Content {
                path: self.path.clone(),
                problem: error.to_string(),
            })?
        };
        let path = self.path.clone();
        let io = |source| StateError::Io {
            doing: "write",
            path: self.path.clone(),
            source,
        };
        tokio::task::spawn_blocking(move || replace(&path, &text))
            .await
            .map_err(|error| io(std::io::Error::other(error)))?
            .map_err(io)
    }
}

fn replace(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", uuid::Uuid::new_v4().simple()));
    let written = (|| {
        let mut file = std::fs::File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(text)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    })();
    if written.is_err() {
        // Nobody wants half a state. That it may not be there either is no further problem.
        drop(std::fs::remove_file(&beside));
        return written;
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}
