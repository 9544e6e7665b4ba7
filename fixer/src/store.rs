//! The run folder: the plan, the journal (SQLite) and the lock of one run.
//!
//! The journal is not the source of truth, RDS is. It remembers what was intended and accepted, so that a resumed run
//! knows which outcomes it has to look for, and when. See docs/design/0002-journal-and-executor.md.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use atrest_model::journal::{StepEvent, StepStatus};
use atrest_model::plan::{self, Plan};
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};
use serde_json::Value;

use crate::clock;

/// Version of the journal's tables. An older one is read, a newer one refused.
pub const FORMAT_VERSION: u32 = 1;

const PLAN: &str = "plan.json";
const JOURNAL: &str = "journal.db";
const LOCK: &str = "lock";

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
    #[error("run {run} is being executed by another process")]
    Locked {
        /// Run.
        run: String,
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
    /// The operating system refused.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why not.
        source: std::io::Error,
    },
}

impl StoreError {
    /// What a person can do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoSuchRun { .. } => {
                "runs are named in the plan; list them with `ls` in the state folder (--state-dir)"
            }
            Self::Exists { .. } => {
                "take it up again with `atrest fix --resume RUN`, or make a new plan"
            }
            Self::Locked { .. } => "wait for it, or follow it with `atrest status RUN`",
            Self::Newer { .. } => "use the version of atrest that began the run",
            Self::Damaged { .. } => "nothing was changed; restore the file from a copy",
            Self::Io { .. } => "check the folder, its permissions and the disk",
        }
    }
}

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

/// One line of the journal.
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
    /// Status after it.
    pub status: StepStatus,
    /// Details.
    pub detail: Value,
}

/// `step, status, intended_at, changed_at, result`.
type StepRow = (String, String, Option<String>, String, String);

/// `seq, at, migration, step, status, detail`.
type EntryRow = (i64, String, String, String, String, String);

/// An open run folder. Holds the lock unless it was opened to read.
#[derive(Debug)]
pub struct RunStore {
    dir: PathBuf,
    plan: Plan,
    db: Connection,
    /// Released by the kernel when the process ends, however it ends.
    _lock: Option<File>,
}

impl RunStore {
    /// Makes the run folder of a new run.
    pub fn create(state_dir: &Path, plan: Plan) -> Result<Self, StoreError> {
        let run = plan.run.to_string();
        let dir = state_dir.join("runs").join(&run);
        let parent = dir.parent().unwrap_or(state_dir);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(|source| StoreError::Io {
                doing: format!("create {}", parent.display()),
                source,
            })?;
        match fs::DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                // A folder without a plan is a run that never began.
                if dir.join(PLAN).exists() {
                    return Err(StoreError::Exists { run, dir });
                }
            }
            Err(source) => {
                return Err(StoreError::Io {
                    doing: format!("create {}", dir.display()),
                    source,
                });
            }
        }
        let lock = lock(&dir, &run)?;
        let db =
            Connection::open(dir.join(JOURNAL)).map_err(|e| damaged(&dir.join(JOURNAL), &e))?;
        restrict(&dir.join(JOURNAL))?;
        prepare(&db, &plan).map_err(|e| damaged(&dir.join(JOURNAL), &e))?;
        // The plan comes last: its presence says that the folder is whole.
        let text = serde_json::to_string_pretty(&plan).map_err(|e| StoreError::Damaged {
            file: dir.join(PLAN),
            why: e.to_string(),
        })?;
        write_new(&dir.join(PLAN), text.as_bytes())?;
        Ok(Self {
            dir,
            plan,
            db,
            _lock: Some(lock),
        })
    }

    /// Opens the run to go on with it.
    pub fn open(state_dir: &Path, run: &str) -> Result<Self, StoreError> {
        let dir = existing(state_dir, run)?;
        let lock = lock(&dir, run)?;
        let db = Connection::open_with_flags(dir.join(JOURNAL), OpenFlags::SQLITE_OPEN_READ_WRITE)
            .map_err(|e| damaged(&dir.join(JOURNAL), &e))?;
        Self::check(dir, db, Some(lock), run)
    }

    /// Opens the run to look at it; works beside a runner.
    pub fn open_to_read(state_dir: &Path, run: &str) -> Result<Self, StoreError> {
        let dir = existing(state_dir, run)?;
        let db = Connection::open_with_flags(dir.join(JOURNAL), OpenFlags::SQLITE_OPEN_READ_ONLY)
            .map_err(|e| damaged(&dir.join(JOURNAL), &e))?;
        Self::check(dir, db, None, run)
    }

    fn check(
        dir: PathBuf,
        db: Connection,
        lock: Option<File>,
        run: &str,
    ) -> Result<Self, StoreError> {
        let journal = dir.join(JOURNAL);
        db.busy_timeout(std::time::Duration::from_secs(10))
            .map_err(|e| damaged(&journal, &e))?;
        let version: u32 = meta(&db, "format_version")
            .map_err(|e| damaged(&journal, &e))?
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| StoreError::Damaged {
                file: journal.clone(),
                why: "it has no format version".to_owned(),
            })?;
        if version > FORMAT_VERSION {
            return Err(StoreError::Newer {
                run: run.to_owned(),
                found: version,
            });
        }
        let health: String = db
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|e| damaged(&journal, &e))?;
        if health != "ok" {
            return Err(StoreError::Damaged {
                file: journal,
                why: health,
            });
        }
        let plan = read_plan(&dir.join(PLAN))?;
        let digest = meta(&db, "plan_digest").map_err(|e| damaged(&journal, &e))?;
        if digest.as_deref() != Some(plan.digest.as_str()) {
            return Err(StoreError::Damaged {
                file: dir.join(PLAN),
                why: "it is not the plan this run began with".to_owned(),
            });
        }
        if lock.is_some() {
            pragmas(&db).map_err(|e| damaged(&journal, &e))?;
        }
        Ok(Self {
            dir,
            plan,
            db,
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

    /// State of every step of a migration that has one.
    pub fn steps(&self, migration: &str) -> Result<BTreeMap<String, StepRecord>, StoreError> {
        let read = || -> rusqlite::Result<Vec<StepRow>> {
            let mut query = self.db.prepare_cached(
                "SELECT step, status, intended_at, changed_at, result FROM step WHERE migration = ?1",
            )?;
            let rows = query.query_map([migration], |row| {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                ))
            })?;
            rows.collect()
        };
        let journal = self.dir.join(JOURNAL);
        let rows = read().map_err(|e| damaged(&journal, &e))?;
        rows.into_iter()
            .map(|(step, status, intended_at, changed_at, result)| {
                let bad = |what: &str| StoreError::Damaged {
                    file: journal.clone(),
                    why: format!("{what} of step {step}"),
                };
                let record = StepRecord {
                    status: StepStatus::parse(&status).ok_or_else(|| bad("status"))?,
                    intended_at: match intended_at {
                        None => None,
                        Some(text) => Some(text.parse().map_err(|_bad| bad("time"))?),
                    },
                    changed_at: changed_at.parse().map_err(|_bad| bad("time"))?,
                    result: serde_json::from_str(&result).map_err(|_bad| bad("result"))?,
                };
                Ok((step.clone(), record))
            })
            .collect()
    }

    /// Records an event of a step, durably, before it returns. Gives the status after it.
    pub fn record(
        &self,
        migration: &str,
        step: &str,
        event: StepEvent,
        detail: &Value,
    ) -> Result<StepStatus, StoreError> {
        let journal = self.dir.join(JOURNAL);
        let at = clock::now().to_string();
        let write = || -> rusqlite::Result<Result<StepStatus, String>> {
            let transaction = self.db.unchecked_transaction()?;
            let before: Option<String> = transaction
                .query_row(
                    "SELECT status FROM step WHERE migration = ?1 AND step = ?2",
                    [migration, step],
                    |row| row.get(0),
                )
                .optional()?;
            let before = match before.as_deref() {
                None => StepStatus::Pending,
                Some(word) => match StepStatus::parse(word) {
                    Some(status) => status,
                    None => return Ok(Err(format!("unknown status {word:?} of step {step}"))),
                },
            };
            let after = match before.next(event) {
                Ok(after) => after,
                Err(illegal) => return Ok(Err(format!("step {step}: {illegal}"))),
            };
            let intended = (event == StepEvent::Intend).then(|| at.clone());
            transaction.execute(
                "INSERT INTO step (migration, step, status, intended_at, changed_at, result) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (migration, step) DO UPDATE SET status = excluded.status,
                   intended_at = coalesce(excluded.intended_at, intended_at), changed_at = excluded.changed_at,
                   result = excluded.result",
                params![migration, step, after.as_str(), intended, at, detail.to_string()],
            )?;
            transaction.execute(
                "INSERT INTO entry (at, migration, step, status, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![at, migration, step, after.as_str(), detail.to_string()],
            )?;
            transaction.commit()?;
            Ok(Ok(after))
        };
        match write() {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(why)) => Err(StoreError::Damaged { file: journal, why }),
            Err(error) => Err(damaged(&journal, &error)),
        }
    }

    /// The whole journal in order.
    pub fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        let journal = self.dir.join(JOURNAL);
        let read = || -> rusqlite::Result<Vec<EntryRow>> {
            let mut query = self.db.prepare(
                "SELECT seq, at, migration, step, status, detail FROM entry ORDER BY seq",
            )?;
            let rows = query.query_map([], |row| {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                    row.get(5)?,
                ))
            })?;
            rows.collect()
        };
        let rows = read().map_err(|e| damaged(&journal, &e))?;
        rows.into_iter()
            .map(|(seq, at, migration, step, status, detail)| {
                let bad = |what: &str| StoreError::Damaged {
                    file: journal.clone(),
                    why: format!("{what} of entry {seq}"),
                };
                Ok(Entry {
                    seq,
                    at: at.parse().map_err(|_bad| bad("time"))?,
                    migration,
                    step,
                    status: StepStatus::parse(&status).ok_or_else(|| bad("status"))?,
                    detail: serde_json::from_str(&detail).map_err(|_bad| bad("detail"))?,
                })
            })
            .collect()
    }

    /// Writes a report into the run folder: whole or not at all.
    pub fn write_report(&self, name: &str, text: &str) -> Result<PathBuf, StoreError> {
        let path = self.dir.join(name);
        let temporary = self.dir.join(format!(".{name}.new"));
        fs::remove_file(&temporary)
            .or_else(|e| {
                if e.kind() == std::io::ErrorKind::NotFound {
                    Ok(())
                } else {
                    Err(e)
                }
            })
            .map_err(|source| StoreError::Io {
                doing: format!("replace {}", temporary.display()),
                source,
            })?;
        write_new(&temporary, text.as_bytes())?;
        fs::rename(&temporary, &path).map_err(|source| StoreError::Io {
            doing: format!("write {}", path.display()),
            source,
        })?;
        Ok(path)
    }
}

/// Reads a plan file. The digest and the version are checked.
pub fn read_plan(path: &Path) -> Result<Plan, StoreError> {
    let mut text = String::new();
    File::open(path)
        .and_then(|mut file| file.read_to_string(&mut text))
        .map_err(|source| StoreError::Io {
            doing: format!("read {}", path.display()),
            source,
        })?;
    let broken = |why: String| StoreError::Damaged {
        file: path.to_owned(),
        why,
    };
    let value: Value = serde_json::from_str(&text).map_err(|e| broken(format!("not JSON: {e}")))?;
    let version = value.get("schema_version").and_then(Value::as_u64);
    match version {
        None => return Err(broken("it has no schema_version; is it a plan?".to_owned())),
        Some(found) if found > u64::from(plan::SCHEMA_VERSION) => {
            return Err(broken(format!(
                "it has schema version {found}; this version reads up to {}",
                plan::SCHEMA_VERSION
            )));
        }
        Some(_) => {}
    }
    let plan: Plan =
        serde_json::from_value(value).map_err(|e| broken(format!("not a plan: {e}")))?;
    if plan.digest != plan.computed_digest() {
        return Err(broken(
            "its digest does not match its content; a plan cannot be edited, make a new one"
                .to_owned(),
        ));
    }
    Ok(plan)
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

fn lock(dir: &Path, run: &str) -> Result<File, StoreError> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|source| StoreError::Io {
            doing: format!("open {}", path.display()),
            source,
        })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked {
            run: run.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(StoreError::Io {
            doing: format!("lock {}", path.display()),
            source,
        }),
    }
}

fn pragmas(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(std::time::Duration::from_secs(10))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    // What is recorded must survive a power cut: an intent that is lost is a mutation nobody looks for.
    db.pragma_update(None, "synchronous", "FULL")
}

fn prepare(db: &Connection, plan: &Plan) -> rusqlite::Result<()> {
    pragmas(db)?;
    db.execute_batch(
        "BEGIN;
         CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
         CREATE TABLE IF NOT EXISTS step (migration TEXT NOT NULL, step TEXT NOT NULL, status TEXT NOT NULL,
           intended_at TEXT, changed_at TEXT NOT NULL, result TEXT NOT NULL, PRIMARY KEY (migration, step)) STRICT;
         CREATE TABLE IF NOT EXISTS entry (seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, migration TEXT NOT NULL,
           step TEXT NOT NULL, status TEXT NOT NULL, detail TEXT NOT NULL) STRICT;
         COMMIT;",
    )?;
    for (key, value) in [
        ("format_version", FORMAT_VERSION.to_string()),
        ("plan_digest", plan.digest.clone()),
    ] {
        db.execute("INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value", params![key, value])?;
    }
    Ok(())
}

fn meta(db: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    db.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| {
        row.get(0)
    })
    .optional()
}

fn damaged(file: &Path, error: &rusqlite::Error) -> StoreError {
    StoreError::Damaged {
        file: file.to_owned(),
        why: error.to_string(),
    }
}

fn restrict(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(|source| StoreError::Io {
        doing: format!("restrict {}", path.display()),
        source,
    })
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .map_err(|source| StoreError::Io {
            doing: format!("write {}", path.display()),
            source,
        })
}

#[cfg(test)]
mod tests {
    use atrest_model::Tool;
    use atrest_model::id::RunId;
    use atrest_model::plan::{DataCheck, MysqlAccess};
    use serde_json::json;

    use super::*;

    fn plan(run: &str) -> Plan {
        Plan {
            schema_version: plan::SCHEMA_VERSION,
            tool: Tool::current(),
            run: RunId::try_from(run.to_owned()).unwrap(),
            created: Timestamp::UNIX_EPOCH,
            account: "111122223333".to_owned(),
            mysql: MysqlAccess::Required,
            data_check: DataCheck::Counts,
            migrations: Vec::new(),
            left_out: Vec::new(),
            digest: String::new(),
        }
        .sealed()
    }

    #[test]
    fn what_was_recorded_is_there_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let store = RunStore::create(dir.path(), plan("r")).unwrap();
        store
            .record("m", "s", StepEvent::Intend, &json!({}))
            .unwrap();
        store
            .record("m", "s", StepEvent::Accept, &json!({"a": 1}))
            .unwrap();
        drop(store);
        let store = RunStore::open(dir.path(), "r").unwrap();
        let steps = store.steps("m").unwrap();
        assert_eq!(steps["s"].status, StepStatus::Accepted);
        assert!(steps["s"].intended_at.is_some());
        assert_eq!(store.entries().unwrap().len(), 2);
    }

    #[test]
    fn an_illegal_history_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let store = RunStore::create(dir.path(), plan("r")).unwrap();
        let error = store
            .record("m", "s", StepEvent::Accept, &json!({}))
            .unwrap_err();
        assert!(
            error.to_string().contains("pending cannot Accept"),
            "{error}"
        );
        assert!(store.steps("m").unwrap().is_empty());
    }

    #[test]
    fn a_second_runner_is_refused_and_a_reader_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let _store = RunStore::create(dir.path(), plan("r")).unwrap();
        assert!(matches!(
            RunStore::open(dir.path(), "r"),
            Err(StoreError::Locked { .. })
        ));
        assert!(RunStore::open_to_read(dir.path(), "r").is_ok());
        assert!(matches!(
            RunStore::create(dir.path(), plan("r")),
            Err(StoreError::Exists { .. })
        ));
    }

    #[test]
    fn a_newer_journal_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = RunStore::create(dir.path(), plan("r")).unwrap();
        store
            .db
            .execute(
                "UPDATE meta SET value = '99' WHERE key = 'format_version'",
                [],
            )
            .unwrap();
        drop(store);
        assert!(matches!(
            RunStore::open(dir.path(), "r"),
            Err(StoreError::Newer { found: 99, .. })
        ));
    }

    #[test]
    fn a_cut_or_overwritten_journal_is_damaged_not_empty() {
        let dir = tempfile::tempdir().unwrap();
        drop(RunStore::create(dir.path(), plan("r")).unwrap());
        fs::write(
            dir.path().join("runs/r").join(JOURNAL),
            b"not a database at all, but long enough to be read as one",
        )
        .unwrap();
        assert!(matches!(
            RunStore::open(dir.path(), "r"),
            Err(StoreError::Damaged { .. })
        ));
    }

    #[test]
    fn an_edited_plan_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plan.json");
        let mut value = serde_json::to_value(plan("r")).unwrap();
        value["account"] = json!("999999999999");
        fs::write(&path, value.to_string()).unwrap();
        assert!(read_plan(&path).unwrap_err().to_string().contains("digest"));
        fs::write(&path, "{\"schema_version\": 1").unwrap();
        assert!(
            read_plan(&path)
                .unwrap_err()
                .to_string()
                .contains("not JSON")
        );
        fs::write(&path, "{\"schema_version\": 99}").unwrap();
        assert!(
            read_plan(&path)
                .unwrap_err()
                .to_string()
                .contains("schema version 99")
        );
    }

    #[test]
    fn a_run_is_never_a_path() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            RunStore::open(dir.path(), "../../etc"),
            Err(StoreError::NoSuchRun { .. })
        ));
    }

    #[test]
    fn the_run_folder_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let store = RunStore::create(dir.path(), plan("r")).unwrap();
        store.write_report("diff.json", "{}").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(store.dir()), 0o700);
        for file in [PLAN, JOURNAL, LOCK, "diff.json"] {
            assert_eq!(mode(&store.dir().join(file)), 0o600, "{file}");
        }
    }
}
