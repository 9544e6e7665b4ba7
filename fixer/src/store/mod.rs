//! The run folder: the plan, the journal (SQLite) and the lock of one run.
//!
//! The journal is not the source of truth, RDS is. It remembers what was intended and accepted, so that a resumed run
//! knows which outcomes it has to look for, and when. See docs/design/0002-journal-and-executor.md.

mod carried;
mod chain;
mod error;
mod folder;
#[cfg(test)]
mod hostile;
mod journal;
mod pause;
mod phases;
mod plan_file;
mod shared;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use atrest_model::journal::{StepEvent, StepStatus};
use atrest_model::phase::{Phase, PhaseName};
use atrest_model::plan::Plan;
use jiff::Timestamp;
use serde_json::Value;

pub(crate) use self::carried::first_line;
use self::chain::Head;
pub use self::chain::{BrokenTrail, TRAIL_VERSION, Verified, verify};
pub use self::error::StoreError;
pub use self::folder::Holder;
use self::folder::Probe;
use self::journal::Journal;
pub(crate) use self::pause::is_pause_asked;
pub use self::pause::pause;
pub(crate) use self::phases::RUN_ITSELF;
pub use self::phases::{ALL_MIGRATIONS, Work};
pub use self::plan_file::read_plan;
pub use self::shared::Sharing;
use crate::clock;
use crate::shared::{RunCopy, Shared};

/// Version of the journal's tables. An older one is read, a newer one refused. A journal bears the lowest version that
/// can read it: 3 from its first phase on, 2 before.
pub const FORMAT_VERSION: u32 = 3;

const PLAN: &str = "plan.json";
const JOURNAL: &str = "journal.db";

/// State of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRecord {
    /// Status.
    pub status: StepStatus,
    /// When the last mutation of this step was intended.
    pub intended_at: Option<Timestamp>,
    /// When it reached its status.
    pub changed_at: Timestamp,
    /// What was seen when it was done.
    pub result: Value,
}

/// One record of the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Position, from 1.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// `region/identifier`.
    pub migration: String,
    /// Step.
    pub step: String,
    /// What happened to it.
    pub event: StepEvent,
    /// Status after it.
    pub status: StepStatus,
    /// Details.
    pub detail: Value,
}

/// The moments around a durable record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It is about to be written.
    Before,
    /// It is on the disk.
    After,
}

type Observer = Box<dyn Fn(Moment, &str, StepEvent) + Send>;

/// An open run folder. Holds the lock unless it was opened to read.
pub struct RunStore {
    dir: PathBuf,
    plan: Plan,
    journal: Journal,
    phases: Vec<Phase>,
    /// The phase this sitting is about.
    sitting: Option<PhaseName>,
    claim: Option<String>,
    adopted: bool,
    resumed: bool,
    wall: fn() -> Timestamp,
    observer: Option<Observer>,
    /// The leases of this sitting, when runners on several machines share state.
    shared: Option<Arc<Shared>>,
    /// Released by the kernel when the process ends, however it ends.
    _lock: Option<File>,
}

impl fmt::Debug for RunStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunStore")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl RunStore {
    /// Makes the run folder of a new run.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] when the run was begun in this state folder before; any other when the folder cannot be
    /// made, is on a network file system or is locked.
    pub fn create(state_dir: &Path, plan: Plan) -> Result<Self, StoreError> {
        Self::make(state_dir, plan, None, folder::file_system)
    }

    /// Makes a run folder anew for a run whose folder was lost, or that another machine had begun: what was done is
    /// found out from RDS. The claim changes hands; whoever had it stops before its next mutation.
    ///
    /// # Errors
    ///
    /// As [`RunStore::create`].
    pub fn adopt(state_dir: &Path, plan: Plan) -> Result<Self, StoreError> {
        let copy = RunCopy::default();
        Self::make(state_dir, plan, Some(&copy), folder::file_system)
    }

    /// The same from the copy of the journal that the run has left in shared state: what was done before it is known,
    /// and the rest is found out from RDS.
    ///
    /// # Errors
    ///
    /// As [`RunStore::create`]; [`StoreError::Damaged`] when the copy tells what cannot have happened.
    pub fn restore(state_dir: &Path, plan: Plan, copy: &RunCopy) -> Result<Self, StoreError> {
        Self::make(state_dir, plan, Some(copy), folder::file_system)
    }

    /// With `taken_up` the run was begun elsewhere.
    fn make(
        state_dir: &Path,
        plan: Plan,
        taken_up: Option<&RunCopy>,
        probe: Probe,
    ) -> Result<Self, StoreError> {
        let adopted = taken_up.is_some();
        let run = plan.run.to_string();
        let dir = state_dir.join("runs").join(&run);
        folder::make_all(dir.parent().unwrap_or(state_dir))?;
        folder::refuse_network(state_dir, probe)?;
        // A folder without a plan is a run that never began.
        if !folder::make(&dir)? && dir.join(PLAN).exists() {
            return Err(StoreError::Exists { run, dir });
        }
        let lock = folder::lock(&dir, &run, clock::now())?;
        if dir.join(PLAN).exists() {
            // Another process began it between the look and the lock.
            return Err(StoreError::Exists { run, dir });
        }
        for rest in ["", "-wal", "-shm"] {
            folder::remove(&dir.join(format!("{JOURNAL}{rest}")))?;
        }
        let kept = taken_up.and_then(|copy| copy.claim.clone());
        let claim = kept.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let head = Head {
            run: &run,
            plan_digest: &plan.digest,
            claim: &claim,
            adopted,
        };
        let mut journal = Journal::create(&dir.join(JOURNAL), &head)?;
        if let Some(copy) = taken_up {
            shared::replay(&dir, &plan, &mut journal, copy)?;
        }
        // The plan comes last: its presence says that the folder is whole.
        let text = serde_json::to_string_pretty(&plan).map_err(|e| StoreError::Damaged {
            file: dir.join(PLAN),
            why: e.to_string(),
        })?;
        let temporary = dir.join(format!(".{PLAN}.new"));
        folder::remove(&temporary)?;
        folder::write_new(&temporary, text.as_bytes())?;
        folder::replace(&temporary, &dir.join(PLAN))?;
        folder::sync(&dir)?;
        Ok(Self {
            dir,
            plan,
            journal,
            phases: taken_up.map_or_else(Vec::new, |copy| copy.phases.clone()),
            sitting: None,
            claim: Some(claim),
            adopted,
            resumed: adopted,
            wall: clock::now,
            observer: None,
            shared: None,
            _lock: Some(lock),
        })
    }

    /// Opens the run to go on with it.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSuchRun`], [`StoreError::Locked`] with the process that executes it, [`StoreError::Newer`], and
    /// [`StoreError::Damaged`] when plan or journal is not what was written.
    pub fn open(state_dir: &Path, run: &str) -> Result<Self, StoreError> {
        Self::open_on(state_dir, run, folder::file_system)
    }

    fn open_on(state_dir: &Path, run: &str, probe: Probe) -> Result<Self, StoreError> {
        let dir = existing(state_dir, run)?;
        folder::refuse_network(&dir, probe)?;
        let lock = folder::lock(&dir, run, clock::now())?;
        Self::end_pause(&dir)?;
        Self::read(dir, run, Some(lock))
    }

    /// Opens the run to look at it; works beside a runner.
    ///
    /// # Errors
    ///
    /// As [`RunStore::open`], without the lock.
    pub fn open_to_read(state_dir: &Path, run: &str) -> Result<Self, StoreError> {
        let dir = existing(state_dir, run)?;
        Self::read(dir, run, None)
    }

    fn read(dir: PathBuf, run: &str, lock: Option<File>) -> Result<Self, StoreError> {
        let plan = read_plan(&dir.join(PLAN))?;
        let journal = Journal::open(&dir.join(JOURNAL), run, &plan.digest, lock.is_some())?;
        Ok(Self {
            phases: phases::read(&dir, &plan, &journal)?,
            sitting: None,
            claim: journal.claim()?,
            adopted: journal.is_adopted()?,
            resumed: true,
            dir,
            plan,
            journal,
            wall: clock::now,
            observer: None,
            shared: None,
            _lock: lock,
        })
    }

    /// The run folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The plan of this run.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The token of this run folder, which its claim carries in RDS: what tells it from another folder with the same
    /// plan. `None` for a run begun by a version that had none.
    #[must_use]
    pub fn claim(&self) -> Option<&str> {
        self.claim.as_deref()
    }

    /// Whether the run was taken up from RDS, see [`RunStore::adopt`].
    #[must_use]
    pub fn is_adopted(&self) -> bool {
        self.adopted
    }

    /// Whether something may have been done before this sitting.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Reads the time of records from another clock.
    #[must_use]
    pub fn with_clock(mut self, wall: fn() -> Timestamp) -> Self {
        self.wall = wall;
        self
    }

    /// Calls `observer` around every durable record, with the step and its event. What stops the process there stops
    /// it at a known place: this is how the kill matrix walks through a run.
    #[must_use]
    pub fn observed(mut self, observer: impl Fn(Moment, &str, StepEvent) + Send + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// State of every step of a migration that has one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] when a record cannot be understood.
    pub fn steps(&self, migration: &str) -> Result<BTreeMap<String, StepRecord>, StoreError> {
        self.journal.steps(migration)
    }

    /// Records an event of a step, durably, before it returns. Gives the status after it and the time recorded.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] when the event may not follow; nothing is recorded then. [`StoreError::NotWritten`] when
    /// the disk is full or fails.
    pub fn record(
        &self,
        migration: &str,
        step: &str,
        event: StepEvent,
        detail: &Value,
    ) -> Result<(StepStatus, Timestamp), StoreError> {
        let at = (self.wall)();
        let tell = |moment| {
            if let Some(observer) = &self.observer {
                observer(moment, step, event);
            }
        };
        tell(Moment::Before);
        let status = self.journal.record(migration, step, event, at, detail)?;
        tell(Moment::After);
        Ok((status, at))
    }

    /// The whole journal in order.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] when a record cannot be understood.
    pub fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        self.journal.entries()
    }

    /// The records of one migration, in order.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] when a record cannot be understood.
    pub(crate) fn entries_of(&self, migration: &str) -> Result<Vec<Entry>, StoreError> {
        self.journal.entries_of(migration)
    }

    /// Writes the audit trail: the journal as hash-chained JSON Lines, see docs/formats.md. [`verify`] checks it.
    ///
    /// # Errors
    ///
    /// Outside: the journal cannot be read. Inside: any error of `out`.
    pub fn export(&self, out: &mut dyn Write) -> Result<io::Result<()>, StoreError> {
        self.journal.export(out)
    }

    /// Writes a report into the run folder: whole or not at all.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`].
    pub fn write_report(&self, name: &str, text: &str) -> Result<PathBuf, StoreError> {
        let path = self.dir.join(name);
        let temporary = self.dir.join(format!(".{name}.new"));
        folder::remove(&temporary)?;
        folder::write_new(&temporary, text.as_bytes())?;
        folder::replace(&temporary, &path)?;
        Ok(path)
    }
}

/// The process that executes a run; `None` when nobody does. Looks only: a runner that begins meanwhile is not kept out.
///
/// # Errors
///
/// [`StoreError::NoSuchRun`], and [`StoreError::Io`] when the lock cannot be asked for.
pub fn holder(state_dir: &Path, run: &str) -> Result<Option<Holder>, StoreError> {
    folder::holder(&existing(state_dir, run)?, clock::now())
}

fn existing(state_dir: &Path, run: &str) -> Result<PathBuf, StoreError> {
    // A run is a name, not a path.
    let valid = atrest_model::id::RunId::try_from(run.to_owned()).is_ok();
    let dir = state_dir.join("runs").join(run);
    if valid && dir.join(PLAN).is_file() {
        Ok(dir)
    } else {
        Err(StoreError::NoSuchRun {
            run: run.to_owned(),
            dir: state_dir.to_owned(),
        })
    }
}
