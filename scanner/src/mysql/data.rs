//! Whether two servers hold the same data. Only reads, and so that servers in use stay in use.
//!
//! Tables are read in chunks along the primary key or another unique key without NULLs, the same chunk on both servers
//! at the same time, each in a statement of its own: no long transaction, no lock. A chunk is as large as the servers
//! read in [`DataOptions::chunk_time`], and has a deadline that the server keeps as well. Before each one the load guard
//! asks whether the servers are at ease. What cannot be compared within these bounds is said to be not compared; it
//! never counts as equal.
//!
//! | module | what it knows |
//! |---|---|
//! | `catalog` | tables, columns, keys |
//! | `definitions` | views, triggers, routines, events, definers |
//! | `variables` | system variables |
//! | `key` | along which key, and how its ranges are written |
//! | `values` | what of a row is compared |
//! | `walk`, `detail` | one table; the rows of a chunk that differs |
//! | `guard`, `session` | load, deadlines, lost connections |
//! | `progress` | how far it has come |

mod catalog;
mod definitions;
mod detail;
mod guard;
mod key;
mod progress;
mod session;
mod values;
mod variables;
mod walk;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use atrest_model::account::quote_identifier;
use futures::future::BoxFuture;

use super::connection::NamedRow;
use super::target::Target;
use crate::access::AccessError;
use catalog::Table;
use definitions::Definitions;
use guard::Guard;
use session::{Failure, Session};
use walk::{Plan, Sides, Stopped, Walk};

pub use progress::{DataProgress, DifferingRange, KeepNothing, Keeper, Sums, TableProgress};
pub use variables::{VariableDifference, variable_differences};

/// Schemas of the server itself.
const SYSTEM_SCHEMAS: &str =
    "'mysql','information_schema','performance_schema','sys','innodb','tmp'";

/// Where to log in. Asked before every connection: a token lives for minutes, a comparison for hours.
pub trait Login: Sync {
    /// Where, as whom, with what.
    fn target(&self) -> BoxFuture<'_, Result<Target, AccessError>>;
}

impl Login for Target {
    fn target(&self) -> BoxFuture<'_, Result<Target, AccessError>> {
        Box::pin(std::future::ready(Ok(self.clone())))
    }
}

/// How rows are compared and how gently.
#[derive(Debug, Clone)]
pub struct DataOptions {
    /// Whether values are compared by checksum; otherwise rows are counted.
    pub checksums: bool,
    /// Tables at the same time: connections to each server.
    pub tables_at_once: usize,
    /// How long reading one chunk should take.
    pub chunk_time: Duration,
    /// How long one chunk may take.
    pub chunk_deadline: Duration,
    /// How long a whole table in one statement may take: a count, or a table without a usable key.
    pub pass_deadline: Duration,
    /// While a server has more `Threads_running`, these statements included, nothing is sent.
    pub max_threads_running: u64,
    /// While a replica is further behind its source, nothing is sent.
    pub max_lag_seconds: u64,
    /// Between two looks at the load.
    pub guard_pause: Duration,
    /// How long a pause may last before everything left is not compared.
    pub guard_patience: Duration,
    /// How often a chunk that differs is read again: on a server that replicates a row may be on its way.
    pub retries: u32,
    /// Before each of these.
    pub retry_pause: Duration,
    /// Differing ranges that are named in a table.
    pub ranges: usize,
}

impl Default for DataOptions {
    fn default() -> Self {
        Self {
            checksums: true,
            tables_at_once: 3,
            chunk_time: Duration::from_millis(500),
            chunk_deadline: Duration::from_secs(20),
            pass_deadline: Duration::from_secs(120),
            max_threads_running: 25,
            max_lag_seconds: 30,
            guard_pause: Duration::from_secs(1),
            guard_patience: Duration::from_secs(300),
            retries: 2,
            retry_pause: Duration::from_secs(1),
            ranges: 20,
        }
    }
}

/// A table. `Display` quotes both names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub table: String,
}

impl TableName {
    /// From the first two columns of a row.
    fn of(row: &NamedRow) -> Self {
        Self {
            schema: row.text(0).unwrap_or_default(),
            table: row.text(1).unwrap_or_default(),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", quoted(&self.schema), quoted(&self.table))
    }
}

fn quoted(name: &str) -> String {
    String::from_utf8_lossy(&quote_identifier(name.as_bytes())).into_owned()
}

/// What the comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataComparison {
    /// Tables that both servers have.
    pub tables: BTreeMap<TableName, TableComparison>,
    /// Definitions on the old server: schemas, tables, views, triggers, routines, events.
    pub old_objects: BTreeMap<String, String>,
    /// Definitions on the new server.
    pub new_objects: BTreeMap<String, String>,
    /// Definers without an account on the old server → what runs as them, and fails with 1449.
    pub old_definers: BTreeMap<String, Vec<String>>,
    /// Definers without an account on the new server.
    pub new_definers: BTreeMap<String, Vec<String>>,
    /// Other things that could not be read.
    pub unread: Vec<String>,
}

/// Contents of one table on both servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableComparison {
    /// The old server.
    pub old: Sums,
    /// The new server.
    pub new: Sums,
    /// Where they differ, the first of these ranges; empty for a table without a usable key.
    pub differences: Vec<DifferingRange>,
    /// Whether there are ranges beyond these.
    pub more: bool,
    /// Why the comparison did not come to its end; the sums are then those of a part.
    pub not_compared: Option<String>,
}

/// Compares what is in the schemas of users on two servers.
///
/// `progress` is where an earlier comparison of the same pair stopped, or the default. It ends with the same result as
/// one that was never stopped. `keeper` is given the progress of a table after every chunk.
///
/// # Errors
///
/// A server whose dictionary cannot be read, with its reason. Everything after that is part of the result.
pub async fn compare_data(
    old: &dyn Login,
    new: &dyn Login,
    options: &DataOptions,
    progress: DataProgress,
    keeper: &dyn Keeper,
) -> Result<DataComparison, String> {
    let text = |failure: Failure| failure.reason().to_owned();
    let (mut of_old, mut of_new) = (Session::new(old), Session::new(new));
    let (old_side, new_side) = futures::try_join!(
        Box::pin(read_side(&mut of_old)),
        Box::pin(read_side(&mut of_new))
    )
    .map_err(text)?;
    futures::join!(of_old.close(), of_new.close());
    let mut result = DataComparison {
        unread: unread(&old_side, &new_side),
        old_objects: old_side.definitions.objects,
        new_objects: new_side.definitions.objects,
        old_definers: old_side.definitions.without_account,
        new_definers: new_side.definitions.without_account,
        ..DataComparison::default()
    };
    let mut queue: Vec<(&TableName, &Table, &Table)> = old_side
        .tables
        .iter()
        .filter_map(|(name, table)| Some((name, table, new_side.tables.get(name)?)))
        .collect();
    // Taken from the end: the largest first, so that none is left alone at the end.
    queue.sort_by_key(|(name, table, _)| (table.bytes, std::cmp::Reverse(*name)));
    let progress = if progress.checksums == options.checksums {
        progress
    } else {
        DataProgress {
            checksums: options.checksums,
            ..DataProgress::default()
        }
    };
    let work = Work {
        logins: (old, new),
        options,
        guard: Guard::new(old, new, options),
        keeper,
        queue: Mutex::new(queue),
        progress,
        stopped: Mutex::new(false),
    };
    let workers = (0..options.tables_at_once.max(1)).map(|_| Box::pin(work.run()));
    for (name, table) in futures::future::join_all(workers)
        .await
        .into_iter()
        .flatten()
    {
        result.tables.insert(name, table);
    }
    work.guard.close().await;
    Ok(result)
}

/// One server's dictionary.
struct Side {
    tables: BTreeMap<TableName, Table>,
    definitions: Definitions,
    max_allowed_packet: u64,
}

async fn read_side(session: &mut Session<'_>) -> Result<Side, Failure> {
    let tables = catalog::tables(session).await?;
    let definitions = definitions::read(session, tables.keys()).await?;
    let rows = session
        .rows("SELECT @@max_allowed_packet", Duration::from_secs(60))
        .await?;
    let packet = rows.first().and_then(|row| row.text(0)?.parse().ok());
    Ok(Side {
        tables,
        definitions,
        max_allowed_packet: packet.unwrap_or_default(),
    })
}

fn unread(old: &Side, new: &Side) -> Vec<String> {
    let mut unread = Vec::new();
    for (word, side) in [("old", old), ("new", new)] {
        unread.extend(
            side.definitions
                .unread
                .iter()
                .map(|reason| format!("{word} server: {reason}")),
        );
        if side.max_allowed_packet < values::PACKET {
            unread.push(format!(
                "{word} server: max_allowed_packet {} is too small to hold the values of every row",
                side.max_allowed_packet
            ));
        }
    }
    unread
}

/// The tables that are left, shared by the workers.
struct Work<'a> {
    logins: (&'a dyn Login, &'a dyn Login),
    options: &'a DataOptions,
    guard: Guard<'a>,
    keeper: &'a dyn Keeper,
    queue: Mutex<Vec<(&'a TableName, &'a Table, &'a Table)>>,
    progress: DataProgress,
    stopped: Mutex<bool>,
}

impl Work<'_> {
    /// Compares tables until none is left.
    async fn run(&self) -> Vec<(TableName, TableComparison)> {
        let mut sides = Sides {
            old: Session::new(self.logins.0),
            new: Session::new(self.logins.1),
        };
        let mut done = Vec::new();
        loop {
            let next = lock(&self.queue).pop();
            let Some((name, old, new)) = next else { break };
            let compared = self.table(&mut sides, name, old, new).await;
            done.push((name.clone(), compared));
        }
        futures::join!(sides.old.close(), sides.new.close());
        done
    }

    async fn table(
        &self,
        sides: &mut Sides<'_>,
        name: &TableName,
        old: &Table,
        new: &Table,
    ) -> TableComparison {
        let plan = Plan::new(name, old, new, self.options.checksums);
        let definition = plan.definition();
        let kept = self.progress.tables.get(plan.name()).cloned();
        let mut progress = kept
            .filter(|kept| kept.definition == definition)
            .unwrap_or_else(|| TableProgress {
                definition,
                ..TableProgress::default()
            });
        let walk = Walk {
            plan: &plan,
            guard: &self.guard,
            options: self.options,
        };
        let ended = if *lock(&self.stopped) && !progress.done {
            Err(Stopped::Everything)
        } else {
            let save = |table: &TableProgress| self.keeper.keep(plan.name(), table);
            Box::pin(walk.run(sides, &mut progress, save)).await
        };
        TableComparison {
            old: progress.old,
            new: progress.new,
            differences: progress.differences,
            more: progress.more,
            not_compared: match ended {
                Ok(()) => None,
                Err(Stopped::Table(reason)) => Some(reason),
                Err(Stopped::Everything) => {
                    *lock(&self.stopped) = true;
                    // Whoever stopped after the last chunk has the whole table.
                    (!progress.done).then(|| "the comparison was stopped".to_owned())
                }
            },
        }
    }
}

/// A panic of another holder leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
