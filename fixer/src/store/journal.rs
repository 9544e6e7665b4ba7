//! The journal: one table of records in SQLite, each bound to the one before by its hash.
//!
//! The state of a step is the fold of its records; it is kept nowhere else, so that the two cannot disagree. On opening
//! the whole chain is checked and replayed: a flipped bit is found even where SQLite does not look.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use atrest_model::journal::{StepEvent, StepStatus};
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};
use serde_json::Value;

use super::chain::{self, Head, Line, Link};
use super::{Entry, FORMAT_VERSION, StepRecord, StoreError};

/// Key of the claim's token: kept here and in RDS, see [`super::RunStore::claim`].
const CLAIM: &str = "claim";
/// Format of a journal with events and hashes and without phases.
const FORMAT_2: u32 = 2;
/// Key that says that the run was taken up from RDS.
const ADOPTED: &str = "adopted";

/// The tables.
const TABLES: &str = "BEGIN;
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE entry (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, migration TEXT NOT NULL, step TEXT NOT NULL,
      status TEXT NOT NULL, detail TEXT NOT NULL, event TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
    CREATE INDEX entry_of_step ON entry (migration, step, seq);
    COMMIT;";

/// A record as it lies in the table.
#[derive(Debug)]
struct Row {
    seq: i64,
    at: String,
    migration: String,
    step: String,
    event: String,
    status: String,
    detail: String,
    hash: String,
}

impl Row {
    fn line(&self) -> Line<'_> {
        Line {
            seq: self.seq,
            at: &self.at,
            migration: &self.migration,
            step: &self.step,
            event: &self.event,
            status: &self.status,
            detail: &self.detail,
        }
    }
}

/// A record as a line of the trail.
#[derive(Debug)]
pub(super) struct Added {
    pub(super) seq: i64,
    pub(super) step: String,
    pub(super) event: StepEvent,
    pub(super) link: Link,
}

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal {
    file: PathBuf,
    db: Connection,
    head: Link,
    version: u32,
}

impl Journal {
    /// Makes the journal of a new run.
    pub(super) fn create(file: &Path, head: &Head<'_>) -> Result<Self, StoreError> {
        // SQLite gives its companions the mode of the database.
        super::folder::write_new(file, b"")?;
        let open = || -> rusqlite::Result<Connection> {
            let db = Connection::open(file)?;
            pragmas(&db)?;
            db.execute_batch(TABLES)?;
            set_meta(&db, "format_version", &FORMAT_2.to_string())?;
            set_meta(&db, "plan_digest", head.plan_digest)?;
            set_meta(&db, CLAIM, head.claim)?;
            if head.adopted {
                set_meta(&db, ADOPTED, "true")?;
            }
            Ok(db)
        };
        Ok(Self {
            db: open().map_err(|e| StoreError::of(file, &e))?,
            file: file.to_owned(),
            head: Link::head(head),
            version: FORMAT_2,
        })
    }

    /// A journal in memory that goes on from records which somebody else keeps: of each step at least the last one, and
    /// the last intent. What has been left out is not looked for.
    pub(super) fn in_memory(
        name: &str,
        head: &Head<'_>,
        records: &[chain::Record],
    ) -> Result<Self, StoreError> {
        let file = PathBuf::from(name);
        let open = || -> rusqlite::Result<Connection> {
            let db = Connection::open_in_memory()?;
            db.execute_batch(TABLES)?;
            for record in records {
                db.execute(
                    "INSERT INTO entry (seq, at, migration, step, status, detail, event, hash)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                    params![
                        record.seq,
                        record.at,
                        record.migration,
                        record.step,
                        record.status,
                        record.detail,
                        record.event,
                        record.hash
                    ],
                )?;
            }
            Ok(db)
        };
        Ok(Self {
            db: open().map_err(|e| StoreError::of(&file, &e))?,
            file,
            head: Link::head(head),
            version: FORMAT_2,
        })
    }

    /// The first line of the trail.
    pub(super) fn head(&self) -> &Link {
        &self.head
    }

    /// The records behind one of the trail, as its lines; `previous` is the hash of that one.
    pub(super) fn lines_after(&self, seq: i64, previous: &str) -> Result<Vec<Added>, StoreError> {
        let mut previous = previous.to_owned();
        let rows = self.rows()?;
        let rows = rows.into_iter().filter(|row| row.seq > seq);
        rows.map(|row| {
            let link = Link::entry(&previous, &row.line());
            previous.clone_from(&link.hash);
            let event = StepEvent::parse(&row.event)
                .ok_or_else(|| self.broken(format!("event of record {}", row.seq)))?;
            Ok(Added {
                seq: row.seq,
                step: row.step,
                event,
                link,
            })
        })
        .collect()
    }

    /// Hash of the last record of a step.
    pub(super) fn last_of(
        &self,
        migration: &str,
        step: &str,
    ) -> Result<Option<String>, StoreError> {
        self.db
            .query_row(
                "SELECT hash FROM entry WHERE migration = ?1 AND step = ?2 ORDER BY seq DESC LIMIT 1",
                [migration, step],
                |row| row.get(0),
            )
            .optional()
            .map_err(|e| self.error(&e))
    }

    /// Opens a journal and checks it from beginning to end. To write also brings an older format up to date.
    pub(super) fn open(
        file: &Path,
        run: &str,
        plan_digest: &str,
        to_write: bool,
    ) -> Result<Self, StoreError> {
        let flags = if to_write {
            OpenFlags::SQLITE_OPEN_READ_WRITE
        } else {
            OpenFlags::SQLITE_OPEN_READ_ONLY
        };
        let error = |e: rusqlite::Error| StoreError::of(file, &e);
        let broken = |why: String| StoreError::Damaged {
            file: file.to_owned(),
            why,
        };
        let db = Connection::open_with_flags(file, flags).map_err(error)?;
        db.busy_timeout(Duration::from_secs(10)).map_err(error)?;
        let version: u32 = meta(&db, "format_version")
            .map_err(error)?
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| broken("it has no format version".to_owned()))?;
        if version > FORMAT_VERSION {
            return Err(StoreError::Newer {
                run: run.to_owned(),
                found: version,
            });
        }
        let health: String = db
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(error)?;
        if health != "ok" {
            return Err(broken(health));
        }
        if meta(&db, "plan_digest").map_err(error)?.as_deref() != Some(plan_digest) {
            return Err(broken("it is not of the plan beside it".to_owned()));
        }
        let claim = meta(&db, CLAIM).map_err(error)?;
        let adopted = meta(&db, ADOPTED).map_err(error)?;
        let head = Head {
            run,
            plan_digest,
            claim: claim.as_deref().unwrap_or_default(),
            adopted: adopted.is_some(),
        };
        let mut journal = Self {
            file: file.to_owned(),
            db,
            head: Link::head(&head),
            version,
        };
        if to_write {
            pragmas(&journal.db).map_err(error)?;
            if version < FORMAT_2 {
                journal.upgrade()?;
            }
        }
        journal.check()?;
        Ok(journal)
    }

    fn broken(&self, why: impl Into<String>) -> StoreError {
        StoreError::Damaged {
            file: self.file.clone(),
            why: why.into(),
        }
    }

    fn error(&self, error: &rusqlite::Error) -> StoreError {
        StoreError::of(&self.file, error)
    }

    /// Follows the chain and replays every step.
    fn check(&self) -> Result<(), StoreError> {
        let mut previous = self.head.hash.clone();
        let mut states: BTreeMap<(&str, &str), StepStatus> = BTreeMap::new();
        let rows = self.rows()?;
        for (row, number) in rows.iter().zip(1..) {
            if row.seq != number {
                return Err(self.broken(format!("record {number} is missing")));
            }
            let link = Link::entry(&previous, &row.line());
            if link.hash != row.hash {
                return Err(self.broken(format!("record {number} is not what was written")));
            }
            let state = states
                .entry((row.migration.as_str(), row.step.as_str()))
                .or_insert(StepStatus::Pending);
            let event = StepEvent::parse(&row.event)
                .ok_or_else(|| self.broken(format!("event of record {number}")))?;
            let after = state
                .next(event)
                .map_err(|illegal| self.broken(format!("record {number}: {illegal}")))?;
            if after.as_str() != row.status {
                return Err(self.broken(format!("status of record {number}")));
            }
            *state = after;
            previous = link.hash;
        }
        Ok(())
    }

    fn rows(&self) -> Result<Vec<Row>, StoreError> {
        if self.version < FORMAT_2 {
            return self.rows_of_format_1();
        }
        self.select("ORDER BY seq", &[])
    }

    /// Those of one migration: a run of many reads them once for each.
    fn rows_of(&self, migration: &str) -> Result<Vec<Row>, StoreError> {
        if self.version < 2 {
            let mut rows = self.rows_of_format_1()?;
            rows.retain(|row| row.migration == migration);
            return Ok(rows);
        }
        self.select("WHERE migration = ?1 ORDER BY seq", &[migration])
    }

    fn select(&self, which: &str, values: &[&str]) -> Result<Vec<Row>, StoreError> {
        let read = || -> rusqlite::Result<Vec<Row>> {
            let mut query = self.db.prepare_cached(&format!(
                "SELECT seq, at, migration, step, status, detail, event, hash FROM entry {which}"
            ))?;
            let rows = query.query_map(rusqlite::params_from_iter(values), |row| {
                Ok(Row {
                    seq: row.get(0)?,
                    at: row.get(1)?,
                    migration: row.get(2)?,
                    step: row.get(3)?,
                    status: row.get(4)?,
                    detail: row.get(5)?,
                    event: row.get(6)?,
                    hash: row.get(7)?,
                })
            })?;
            rows.collect()
        };
        read().map_err(|e| self.error(&e))
    }

    /// Format 1 kept neither events nor hashes; the event follows from the status before and after.
    fn rows_of_format_1(&self) -> Result<Vec<Row>, StoreError> {
        let read = || -> rusqlite::Result<Vec<Row>> {
            let mut query = self.db.prepare_cached(
                "SELECT seq, at, migration, step, status, detail FROM entry ORDER BY seq",
            )?;
            let rows = query.query_map([], |row| {
                Ok(Row {
                    seq: row.get(0)?,
                    at: row.get(1)?,
                    migration: row.get(2)?,
                    step: row.get(3)?,
                    status: row.get(4)?,
                    detail: row.get(5)?,
                    event: String::new(),
                    hash: String::new(),
                })
            })?;
            rows.collect()
        };
        let mut rows = read().map_err(|e| self.error(&e))?;
        let mut states: BTreeMap<(String, String), StepStatus> = BTreeMap::new();
        let mut previous = self.head.hash.clone();
        for row in &mut rows {
            let before = states
                .entry((row.migration.clone(), row.step.clone()))
                .or_insert(StepStatus::Pending);
            let event = StepStatus::parse(&row.status)
                .and_then(|after| Some((after, StepEvent::between(*before, after)?)));
            let Some((after, event)) = event else {
                return Err(self.broken(format!("status of record {}", row.seq)));
            };
            *before = after;
            event.as_str().clone_into(&mut row.event);
            row.hash = Link::entry(&previous, &row.line()).hash;
            previous.clone_from(&row.hash);
        }
        Ok(rows)
    }

    fn upgrade(&mut self) -> Result<(), StoreError> {
        let rows = self.rows()?;
        let write = || -> rusqlite::Result<()> {
            let transaction = self.db.unchecked_transaction()?;
            transaction.execute_batch(
                "ALTER TABLE entry ADD COLUMN event TEXT NOT NULL DEFAULT '';
                 ALTER TABLE entry ADD COLUMN hash TEXT NOT NULL DEFAULT '';
                 CREATE INDEX entry_of_step ON entry (migration, step, seq);
                 DROP TABLE step;",
            )?;
            for row in &rows {
                transaction.execute(
                    "UPDATE entry SET event = ?1, hash = ?2 WHERE seq = ?3",
                    params![row.event, row.hash, row.seq],
                )?;
            }
            set_meta(&transaction, "format_version", &FORMAT_2.to_string())?;
            transaction.commit()
        };
        write().map_err(|e| self.error(&e))?;
        self.version = FORMAT_2;
        Ok(())
    }

    /// Marks the journal as one that only a version with phases understands.
    pub(super) fn knows_phases(&mut self) -> Result<(), StoreError> {
        if self.version < FORMAT_VERSION {
            set_meta(&self.db, "format_version", &FORMAT_VERSION.to_string())
                .map_err(|e| self.error(&e))?;
            self.version = FORMAT_VERSION;
        }
        Ok(())
    }

    /// Records an event of a step in one durable transaction. Gives the status after it.
    pub(super) fn record(
        &self,
        migration: &str,
        step: &str,
        event: StepEvent,
        at: Timestamp,
        detail: &Value,
    ) -> Result<StepStatus, StoreError> {
        let at = at.to_string();
        let detail = detail.to_string();
        let write = || -> rusqlite::Result<Result<StepStatus, String>> {
            let transaction = self.db.unchecked_transaction()?;
            let before: Option<String> = transaction
                .prepare_cached(
                    "SELECT status FROM entry WHERE migration = ?1 AND step = ?2 ORDER BY seq DESC LIMIT 1",
                )?
                .query_row([migration, step], |row| row.get(0))
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
            let last: Option<(i64, String)> = transaction
                .prepare_cached("SELECT seq, hash FROM entry ORDER BY seq DESC LIMIT 1")?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let (seq, previous) = last.map_or_else(
                || (1, self.head.hash.clone()),
                |(seq, hash)| (seq + 1, hash),
            );
            let line = Line {
                seq,
                at: &at,
                migration,
                step,
                event: event.as_str(),
                status: after.as_str(),
                detail: &detail,
            };
            let hash = Link::entry(&previous, &line).hash;
            transaction
                .prepare_cached(
                    "INSERT INTO entry (seq, at, migration, step, status, detail, event, hash)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .execute(params![
                    seq,
                    at,
                    migration,
                    step,
                    after.as_str(),
                    detail,
                    event.as_str(),
                    hash
                ])?;
            transaction.commit()?;
            Ok(Ok(after))
        };
        match write() {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(why)) => Err(self.broken(why)),
            Err(error) => Err(self.error(&error)),
        }
    }

    /// The records in order.
    pub(super) fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        let rows = self.rows()?;
        rows.into_iter().map(|row| self.entry(row)).collect()
    }

    /// Those of one migration, in order.
    pub(super) fn entries_of(&self, migration: &str) -> Result<Vec<Entry>, StoreError> {
        let rows = self.rows_of(migration)?;
        rows.into_iter().map(|row| self.entry(row)).collect()
    }

    fn entry(&self, row: Row) -> Result<Entry, StoreError> {
        let bad = |what: &str| self.broken(format!("{what} of record {}", row.seq));
        Ok(Entry {
            seq: row.seq,
            at: row.at.parse().map_err(|_bad| bad("time"))?,
            event: StepEvent::parse(&row.event).ok_or_else(|| bad("event"))?,
            status: StepStatus::parse(&row.status).ok_or_else(|| bad("status"))?,
            detail: serde_json::from_str(&row.detail).map_err(|_bad| bad("detail"))?,
            migration: row.migration,
            step: row.step,
        })
    }

    /// State of every step of a migration that has one.
    pub(super) fn steps(
        &self,
        migration: &str,
    ) -> Result<BTreeMap<String, StepRecord>, StoreError> {
        let mut steps: BTreeMap<String, StepRecord> = BTreeMap::new();
        for row in self.rows_of(migration)? {
            let entry = self.entry(row)?;
            let before = steps.get(&entry.step).and_then(|step| step.intended_at);
            let record = StepRecord {
                status: entry.status,
                intended_at: match entry.event {
                    StepEvent::Intend => Some(entry.at),
                    _ => before,
                },
                changed_at: entry.at,
                result: entry.detail,
            };
            steps.insert(entry.step, record);
        }
        Ok(steps)
    }

    /// Writes the audit trail.
    pub(super) fn export(&self, out: &mut dyn Write) -> Result<io::Result<()>, StoreError> {
        let rows = self.rows()?;
        Ok(chain::write(&self.head, rows.iter().map(Row::line), out))
    }

    pub(super) fn claim(&self) -> Result<Option<String>, StoreError> {
        meta(&self.db, CLAIM).map_err(|e| self.error(&e))
    }

    pub(super) fn is_adopted(&self) -> Result<bool, StoreError> {
        let adopted = meta(&self.db, ADOPTED).map_err(|e| self.error(&e))?;
        Ok(adopted.is_some())
    }
}

fn pragmas(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(Duration::from_secs(10))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    // What is recorded must survive a power cut: an intent that is lost is a mutation nobody looks for.
    db.pragma_update(None, "synchronous", "FULL")
}

fn meta(db: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    db.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| {
        row.get(0)
    })
    .optional()
}

fn set_meta(db: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        params![key, value],
    )
    .map(|_rows| ())
}
