//! The embedded executor: runs the steps of a plan, owns waiting, the journal and the deadlines.
//!
//! The decision what to do with an observation is one pure function, [`decide::decide`]; everything else is plumbing
//! around it.

mod admission;
mod command;
mod decide;
mod hooks;
mod pause;
#[cfg(test)]
mod quota_tests;
mod runner;
#[cfg(test)]
mod tests;
pub(crate) mod tick;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use atrest_model::Tool;
use atrest_model::event::RunEvent;
use atrest_model::hook::Stage;
use atrest_model::journal::StepStatus;
use atrest_model::phase::PhaseKind;
use atrest_model::plan::{Migration, Plan};
use atrest_model::run::{MigrationReport, Outcome, RunReport, SCHEMA_VERSION};
use atrest_scanner::aws::Aws;
use atrest_scanner::rds::Rds;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{Semaphore, watch};

use self::admission::{Admission, Room};
use self::runner::{End, Runner, stopped};
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
    pub(crate) fn new(store: RunStore) -> Self {
        Self(Mutex::new(store))
    }

    pub(crate) fn into_inner(self) -> RunStore {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self) -> MutexGuard<'_, RunStore> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs what the sitting of `store` is about, see [`RunStore::work`], until every migration has ended or stopped.
///
/// `stop` becomes true when the operator wants to stop: calls in flight are finished and recorded first. One migration
/// that stops or fails does not stop the others of its wave. When a record cannot be made durable its migration goes no
/// further, for what was not recorded must not be done; the report says so, and what is known of the others.
///
/// # Errors
///
/// Any of the store before the first migration is begun.
pub async fn run(
    aws: &Aws,
    store: RunStore,
    options: &FixOptions,
    reporter: &dyn Reporter,
    stop: watch::Receiver<bool>,
) -> Result<RunReport, StoreError> {
    let Work { plan, phase } = store.work();
    let whole = match phase.as_ref().map(|phase| phase.kind) {
        Some(PhaseKind::Rollback) => Outcome::RolledBack,
        Some(PhaseKind::Cleanup) => Outcome::CleanedUp,
        None if plan.rehearsal_of.is_some() => Outcome::Rehearsed,
        None => Outcome::Migrated,
    };
    let begun = begun(&store, &plan)?;
    let shared = store.shared().cloned();
    let (_watching, pause) = pause::watch(store.dir(), options.timing.poll);
    let names: BTreeSet<&str> = plan.migrations.iter().map(|m| m.region.as_str()).collect();
    let regions: HashMap<&str, Region> = names
        .into_iter()
        .map(|name| {
            let rds = aws.rds(name);
            let region = Region {
                observatory: Observatory::start(rds.clone(), options.timing),
                admission: Admission::new(
                    rds.clone(),
                    plan.run.as_str(),
                    &options.fleet,
                    options.timing.poll,
                ),
                rds,
            };
            (name, region)
        })
        .collect();
    let sitting = Sitting {
        aws,
        plan: &plan,
        whole,
        store: &SharedStore::new(store),
        options,
        reporter,
        stop,
        pause,
        places: Semaphore::new(options.concurrency.clamp(1, Semaphore::MAX_PERMITS)),
        failed_hooks: Mutex::new(Vec::new()),
    };
    let work = Box::pin(async {
        let ended = sitting.waves(&regions, &begun).await;
        if ended
            .iter()
            .all(|(_, end)| matches!(end, End::Arrived | End::Failed { .. }))
        {
            sitting
                .hooks_of_the_run(Stage::AfterRun, None, &worst(&ended))
                .await;
        }
        ended
    });
    let mut ended = match shared {
        Some(shared) => shared.during(sitting.store, work).await,
        None => work.await,
    };
    ended.sort_by(|(a, _), (b, _)| a.migration.cmp(&b.migration));
    let report = RunReport {
        schema_version: SCHEMA_VERSION,
        tool: Tool::current(),
        run: plan.run.clone(),
        phase,
        ended: clock::now(),
        migrations: ended.into_iter().map(|(report, _)| report).collect(),
        failed_hooks: sitting.failed_hooks(),
    };
    let written = serde_json::to_string_pretty(&report)
        .map_err(|e| e.to_string())
        .and_then(|text| {
            let store = sitting.store.get();
            store
                .write_report("run.json", &text)
                .map_err(|e| e.to_string())
        });
    if let Err(why) = written {
        // Whoever asked has it all the same.
        tracing::error!("the report of the run could not be kept: {why}");
    }
    Ok(report)
}

/// What serves the migrations of a region.
struct Region {
    rds: Rds,
    observatory: Observatory,
    admission: Admission,
}

/// One sitting of a run.
struct Sitting<'a> {
    aws: &'a Aws,
    plan: &'a Plan,
    /// What a migration is when every step is done.
    whole: Outcome,
    store: &'a SharedStore,
    options: &'a FixOptions,
    reporter: &'a dyn Reporter,
    stop: watch::Receiver<bool>,
    /// Becomes true when nothing new is to begin.
    pause: watch::Receiver<bool>,
    /// Migrations at the same time.
    places: Semaphore,
    failed_hooks: Mutex<Vec<String>>,
}

/// Migrations in which something was done before this sitting, with their steps that are done. Their clients may be
/// away: they wait for no wave and no quota.
type Begun = BTreeMap<String, BTreeSet<String>>;

fn begun(store: &RunStore, plan: &Plan) -> Result<Begun, StoreError> {
    let of_plan: BTreeSet<&str> = plan.migrations.iter().map(|m| m.id.as_str()).collect();
    let mut begun = Begun::new();
    for entry in store.entries()? {
        if of_plan.contains(entry.migration.as_str()) {
            let done = begun.entry(entry.migration).or_default();
            if entry.status == StepStatus::Done {
                done.insert(entry.step);
            }
        }
    }
    Ok(begun)
}

/// The word for the most alarming end.
fn worst(ended: &[(MigrationReport, End)]) -> String {
    let rank = |outcome: &Outcome| match outcome {
        Outcome::Migrated | Outcome::Rehearsed | Outcome::RolledBack | Outcome::CleanedUp => 0,
        Outcome::Stopped { .. } => 1,
        Outcome::ValidationFailed { .. } => 2,
        Outcome::NeedsOperator { .. } => 3,
    };
    let outcomes = ended.iter().map(|(report, _)| &report.outcome);
    let worst = outcomes.max_by_key(|outcome| rank(outcome));
    hooks::word(worst.unwrap_or(&Outcome::Migrated)).to_owned()
}

type Ended = Vec<(MigrationReport, End)>;

impl Sitting<'_> {
    /// One wave after the other. What was begun before goes on with the first.
    async fn waves(&self, regions: &HashMap<&str, Region>, begun: &Begun) -> Ended {
        let mut waves: BTreeMap<u32, Vec<&Migration>> = BTreeMap::new();
        let wave_of = |migration: &Migration| migration.wave.unwrap_or(1);
        let first = self
            .plan
            .migrations
            .iter()
            .filter(|migration| !begun.contains_key(&migration.id))
            .map(wave_of)
            .min()
            .unwrap_or(1);
        for migration in &self.plan.migrations {
            let wave = if begun.contains_key(&migration.id) {
                first
            } else {
                wave_of(migration)
            };
            waves.entry(wave).or_default().push(migration);
        }
        let last = self.plan.migrations.iter().filter_map(|m| m.wave).max();
        let mut ended = Ended::new();
        for (wave, mut migrations) in waves {
            if let Some(why) = self.must_not_begin(&ended, wave) {
                let rest = migrations.into_iter().map(|migration| {
                    let done = begun.get(&migration.id).map_or(0, BTreeSet::len);
                    (not_begun(migration, &why, done), End::Held)
                });
                ended.extend(rest);
                continue;
            }
            let all_begun = migrations.iter().all(|m| begun.contains_key(&m.id));
            if let (Some(waves), false) = (last, all_begun) {
                self.reporter.event(&RunEvent::WaveBegan {
                    wave,
                    waves,
                    migrations: migrations.len(),
                });
            }
            // What was begun first, then the longest: with a cap on migrations in flight this keeps the end short.
            migrations.sort_by_key(|migration| {
                let longest = std::cmp::Reverse(length(migration));
                (!begun.contains_key(&migration.id), longest)
            });
            for region in regions.values() {
                region.admission.forget();
            }
            for migration in &migrations {
                let known = begun.get(&migration.id);
                let region = regions.get(migration.region.as_str());
                if let (Some(done), Some(region)) = (known, region) {
                    region
                        .admission
                        .goes_on(migration, |step| done.contains(step));
                }
            }
            let mut running: FuturesUnordered<_> = migrations
                .into_iter()
                .map(|migration| {
                    let region = regions.get(migration.region.as_str());
                    Box::pin(self.migrate(migration, region, begun.get(&migration.id)))
                })
                .collect();
            while let Some(one) = running.next().await {
                ended.push(one);
            }
        }
        ended
    }

    /// Why the next wave is not begun.
    fn must_not_begin(&self, ended: &Ended, wave: u32) -> Option<String> {
        let failed: Vec<&MigrationReport> = ended
            .iter()
            .filter(|(_, end)| matches!(end, End::Failed { .. }))
            .map(|(report, _)| report)
            .collect();
        let at_cutover = ended
            .iter()
            .find(|(_, end)| matches!(end, End::Failed { at_cutover: true }));
        let lost = ended.iter().find(|(_, end)| matches!(end, End::Lost));
        let most = self.options.fleet.max_failures;
        if let Some((report, _)) = lost {
            Some(format!(
                "wave {wave} was not begun: what became of {} could not be recorded",
                report.migration
            ))
        } else if let Some((report, _)) = at_cutover {
            Some(format!(
                "wave {wave} was not begun: {} failed at or after its cutover",
                report.migration
            ))
        } else if failed.len() > most {
            let names: Vec<&str> = failed
                .iter()
                .map(|report| report.migration.as_str())
                .collect();
            Some(format!(
                "wave {wave} was not begun: {} failed, and --max-failures allows {most}",
                names.join(", ")
            ))
        } else {
            None
        }
    }

    /// One migration, as soon as there is room for it.
    async fn migrate(
        &self,
        migration: &Migration,
        region: Option<&Region>,
        begun: Option<&BTreeSet<String>>,
    ) -> (MigrationReport, End) {
        let done = begun.map_or(0, BTreeSet::len);
        let Some(region) = region else {
            // Every region of the plan was opened.
            return (
                not_begun(migration, "its region is missing", done),
                End::Lost,
            );
        };
        if begun.is_none()
            && let Err(held) = self.room(migration, region).await
        {
            return held;
        }
        let place = tokio::select! {
            biased;
            () = stopped(self.stop.clone()), if begun.is_none() => None,
            () = stopped(self.pause.clone()), if begun.is_none() => None,
            place = self.places.acquire() => place.ok(),
        };
        if place.is_none() {
            region.admission.ended(&migration.id);
            return (not_begun(migration, self.wish(), 0), End::Held);
        }
        let made = Runner::new(
            self.plan,
            self.whole.clone(),
            migration,
            self.aws,
            region,
            self.store,
            self.options,
            self.reporter,
            self.stop.clone(),
            self.pause.clone(),
        );
        let made = made.and_then(|mut runner| runner.reopen().map(|()| runner));
        let (report, end) = match made {
            Ok(mut runner) => runner.run().await,
            Err(error) => {
                let why = format!("{error}; {}", error.hint());
                (not_begun(migration, &why, done), End::Lost)
            }
        };
        drop(place);
        region.admission.ended(&migration.id);
        if matches!(end, End::Failed { .. }) {
            let word = hooks::word(&report.outcome);
            self.hooks_of_the_run(Stage::OnFailure, Some(migration), word)
                .await;
        }
        (report, end)
    }

    /// Waits for room in the quotas.
    async fn room(
        &self,
        migration: &Migration,
        region: &Region,
    ) -> Result<(), (MigrationReport, End)> {
        let since = clock::instant();
        let mut told = String::new();
        loop {
            let change = region.admission.change();
            if *self.stop.borrow() || *self.pause.borrow() {
                return Err((not_begun(migration, self.wish(), 0), End::Held));
            }
            match region.admission.ask(migration, since).await {
                Room::Promised => return Ok(()),
                Room::GivenUp(why) => return Err((not_begun(migration, &why, 0), End::Held)),
                Room::Full(why) => {
                    if told != why {
                        self.reporter.event(&RunEvent::Waiting {
                            migration: migration.id.clone(),
                            step: first_step(migration),
                            state: why.clone(),
                            elapsed_seconds: since.elapsed().as_secs_f64(),
                            deadline_seconds: self.options.fleet.quota_wait.as_secs(),
                        });
                        told = why;
                    }
                }
            }
            tokio::select! {
                () = stopped(self.stop.clone()) => {}
                () = stopped(self.pause.clone()) => {}
                () = change => {}
            }
        }
    }

    /// What keeps new things from beginning.
    fn wish(&self) -> &'static str {
        if *self.stop.borrow() {
            runner::INTERRUPTED
        } else {
            runner::PAUSED
        }
    }

    fn failed_hooks(&self) -> Vec<String> {
        let failed = &self.failed_hooks;
        failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// About how many seconds of a migration are not the same for all: a copy takes a second more for each GiB, and each
/// replica below another one is made and settled in a quarter of an hour. Only the order of two migrations rests on it.
fn length(migration: &Migration) -> i64 {
    const REPLICA: i64 = 900;
    let mut longest = 0;
    for replica in &migration.replicas {
        let mut depth = 0;
        let mut source = replica.replicates_from.as_ref();
        // The bound is against a circle in an edited plan.
        while let (Some(name), true) = (source, depth <= migration.replicas.len()) {
            depth += 1;
            let above = migration.replicas.iter().find(|r| r.identifier == *name);
            source = above.and_then(|replica| replica.replicates_from.as_ref());
        }
        longest = longest.max(depth);
    }
    let replicas = i64::try_from(longest).unwrap_or(0).saturating_mul(REPLICA);
    migration.allocated_storage.saturating_add(replicas)
}

fn first_step(migration: &Migration) -> String {
    let first = migration.steps.first();
    first.map_or_else(|| "plan".to_owned(), |step| step.id.clone())
}

/// The report of a migration that this sitting has not touched.
fn not_begun(migration: &Migration, why: &str, done: usize) -> MigrationReport {
    MigrationReport {
        migration: migration.id.clone(),
        outcome: Outcome::Stopped {
            step: first_step(migration),
            reason: why.to_owned(),
        },
        steps_done: done,
        steps: migration.steps.len(),
        downtime_seconds: None,
        left_to_do: Vec::new(),
        times: None,
    }
}
