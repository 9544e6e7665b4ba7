//! The embedded executor: runs the steps of a plan, owns waiting, the journal and the deadlines.
//!
//! The decision what to do with an observation is one pure function, [`decide::decide`]; everything else is plumbing
//! around it.

mod decide;
mod runner;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use atrest_model::Tool;
use atrest_model::event::RunEvent;
use atrest_model::phase::PhaseKind;
use atrest_model::plan::Migration;
use atrest_model::run::{MigrationReport, Outcome, RunReport, SCHEMA_VERSION};
use atrest_scanner::aws::Aws;
use atrest_scanner::rds::Rds;
use futures::stream::{self, StreamExt as _};
use tokio::sync::watch;

use self::runner::Runner;
use crate::clock;
use crate::observatory::Observatory;
use crate::options::FixOptions;
use crate::store::{RunStore, StoreError, Work};

/// Where events go. Called from many tasks.
pub trait Reporter: Send + Sync {
    /// Takes one event. Must not block.
    fn event(&self, event: &RunEvent);
}

/// A run folder shared by the migrations of a run.
#[derive(Debug)]
pub(crate) struct SharedStore(Mutex<RunStore>);

impl SharedStore {
    pub(crate) fn get(&self) -> MutexGuard<'_, RunStore> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs what the sitting of `store` is about, see [`RunStore::work`], until every migration has ended or stopped.
///
/// `stop` becomes true when the operator wants to stop: calls in flight are finished and recorded first. One migration
/// that stops or fails does not stop the others.
///
/// # Errors
///
/// Any of the store: when a record cannot be made durable its migration goes no further, for what was not recorded
/// must not be done. The others end first.
pub async fn run(
    aws: &Aws,
    store: RunStore,
    options: &FixOptions,
    reporter: &dyn Reporter,
    stop: watch::Receiver<bool>,
) -> Result<RunReport, StoreError> {
    let Work { plan, phase } = store.work();
    let whole = match phase.map(|phase| phase.kind) {
        Some(PhaseKind::Rollback) => Outcome::RolledBack,
        Some(PhaseKind::Cleanup) => Outcome::CleanedUp,
        None if plan.rehearsal_of.is_some() => Outcome::Rehearsed,
        None => Outcome::Migrated,
    };
    let regions: BTreeSet<&str> = plan.migrations.iter().map(|m| m.region.as_str()).collect();
    let regions: HashMap<&str, (Rds, Observatory)> = regions
        .into_iter()
        .map(|region| {
            let rds = aws.rds(region);
            (
                region,
                (rds.clone(), Observatory::start(rds, options.timing)),
            )
        })
        .collect();
    let store = SharedStore(Mutex::new(store));
    let mut order: Vec<&Migration> = plan.migrations.iter().collect();
    // The longest first: with a cap on migrations in flight this keeps the end short.
    order.sort_by_key(|migration| std::cmp::Reverse(migration.allocated_storage));
    let ended: Vec<Result<MigrationReport, StoreError>> = stream::iter(order)
        .map(|migration| {
            let regions = &regions;
            let store = &store;
            let stop = stop.clone();
            let plan = &plan;
            let whole = whole.clone();
            async move {
                let Some((rds, observatory)) = regions.get(migration.region.as_str()) else {
                    // Every region of the plan was opened above.
                    return Err(StoreError::Damaged {
                        file: store.get().dir().to_owned(),
                        why: "a region is missing".to_owned(),
                    });
                };
                let mut runner = Runner::new(
                    plan,
                    whole,
                    migration,
                    rds,
                    observatory,
                    store,
                    options,
                    reporter,
                    stop,
                )?;
                runner.run().await
            }
        })
        .buffer_unordered(options.concurrency.max(1))
        .collect()
        .await;
    let mut migrations = ended.into_iter().collect::<Result<Vec<_>, _>>()?;
    migrations.sort_by(|a, b| a.migration.cmp(&b.migration));
    let report = RunReport {
        schema_version: SCHEMA_VERSION,
        tool: Tool::current(),
        run: plan.run.clone(),
        ended: clock::now(),
        migrations,
    };
    let text = serde_json::to_string_pretty(&report).map_err(|e| StoreError::Damaged {
        file: store.get().dir().join("run.json"),
        why: e.to_string(),
    })?;
    store.get().write_report("run.json", &text)?;
    Ok(report)
}
