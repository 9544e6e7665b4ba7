//! The process that is stopped: the fixer as a library, with a record at which it kills itself.

use std::path::PathBuf;
use std::time::Duration;

use atrest_fixer::clock::Timing;
use atrest_fixer::executor::{self, Reporter};
use atrest_fixer::options::{FixOptions, FleetOptions};
use atrest_fixer::store::{Moment, RunStore, read_plan};
use atrest_fixer::undo::cleanup::CleanupOptions;
use atrest_fixer::undo::rollback::RollbackOptions;
use atrest_fixer::undo::{self, Facts};
use atrest_model::event::RunEvent;
use atrest_model::phase::PhaseKind;
use atrest_model::run::Outcome;
use atrest_scanner::aws::Aws;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Variable that carries the [`Order`].
pub(crate) const ORDER: &str = "ATREST_KILL_MATRIX_ORDER";

/// How the run is taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Begin {
    Fresh,
    Resumed,
    Adopted,
}

/// A record of this sitting, from 1, and whether it is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct At {
    pub(crate) record: usize,
    pub(crate) after: bool,
}

/// What the process is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) endpoint: String,
    pub(crate) state_dir: PathBuf,
    pub(crate) plan: PathBuf,
    pub(crate) begin: Begin,
    pub(crate) die: Option<At>,
    pub(crate) poll_ms: u64,
    pub(crate) window_ms: u64,
    /// Where the migration is to stop by itself.
    pub(crate) stop_before: Option<String>,
    /// What is done with the run instead of the migration.
    pub(crate) undo: Option<PhaseKind>,
}

pub(crate) const ACCESS_KEY: &str = "AKIASANDBOX000000001";
pub(crate) const REGION: &str = "eu-central-1";

pub(crate) fn aws(endpoint: &str) -> Aws {
    Aws::fixed(endpoint, REGION, ACCESS_KEY, "any")
}

struct Quiet;

impl Reporter for Quiet {
    fn event(&self, _event: &RunEvent) {}
}

/// kill -9, by itself.
pub(crate) fn die() {
    let this = rustix::process::getpid();
    rustix::process::kill_process(this, rustix::process::Signal::KILL).unwrap();
    // The signal may reach another thread first; this one goes no further.
    loop {
        std::thread::park();
    }
}

/// Carries out the order in the environment. Returns when the run has ended; says why when it has not migrated.
pub(crate) fn carry_out() -> Result<(), String> {
    if let Ok(order) = std::env::var(super::tick::ORDER) {
        return super::tick::carry_out(&order);
    }
    let order = std::env::var(ORDER).map_err(|e| format!("{ORDER}: {e}"))?;
    let order: Order = serde_json::from_str(&order).map_err(|e| e.to_string())?;
    let plan = read_plan(&order.plan).map_err(|e| e.to_string())?;
    let run = plan.run.to_string();
    let store = match order.begin {
        Begin::Fresh => RunStore::create(&order.state_dir, plan),
        Begin::Resumed => RunStore::open(&order.state_dir, &run),
        Begin::Adopted => RunStore::adopt(&order.state_dir, plan),
    };
    let mut store = store.map_err(|e| e.to_string())?;
    if let Some(at) = order.die {
        let count = AtomicUsize::new(0);
        store = store.observed(move |moment, _step, _event| {
            let record = match moment {
                Moment::Before => count.fetch_add(1, Ordering::SeqCst) + 1,
                Moment::After => count.load(Ordering::SeqCst),
            };
            if record == at.record && (moment == Moment::After) == at.after {
                die();
            }
        });
    }
    let timing = Timing {
        poll: Duration::from_millis(order.poll_ms),
        consistency: Duration::from_millis(order.window_ms),
        ..Timing::default()
    };
    let options = FixOptions {
        timing,
        concurrency: 4,
        stop_before: order.stop_before,
        fleet: FleetOptions::default(),
        mysql: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    let (_keep, stop) = tokio::sync::watch::channel(false);
    let aws = aws(&order.endpoint);
    let report = runtime.block_on(async {
        if let Some(kind) = order.undo {
            begin_undo(&aws, &mut store, kind, timing, stop.clone()).await?;
        }
        let ended = executor::run(&aws, store, &options, &Quiet, stop).await;
        ended.map_err(|e| e.to_string())
    })?;
    for migration in &report.migrations {
        let was_asked =
            options.stop_before.is_some() && matches!(migration.outcome, Outcome::Stopped { .. });
        if !migration.outcome.is_whole() && !was_asked {
            return Err(migration.outcome.summary());
        }
    }
    Ok(())
}

/// Goes on with the rollback or the cleanup that was begun, or begins one.
async fn begin_undo(
    aws: &Aws,
    store: &mut RunStore,
    kind: PhaseKind,
    timing: Timing,
    stop: tokio::sync::watch::Receiver<bool>,
) -> Result<(), String> {
    let begun = store.phases().last().map(|phase| phase.phase.clone());
    if let Some(begun) = begun {
        assert_eq!(begun.kind, kind);
        assert!(store.take_up(&begun));
        return Ok(());
    }
    let settled = undo::settle(aws, store, None, timing, true, stop)
        .await
        .map_err(|e| e.to_string())?;
    let phase = {
        let facts = Facts::of(store, kind, &settled.regions).map_err(|e| e.to_string())?;
        match kind {
            PhaseKind::Rollback => {
                let ids = store.plan().migrations.iter().map(|m| m.id.clone());
                let options = RollbackOptions {
                    // The servers are not asked here, so that nothing can be proven.
                    accept_data_loss: ids.collect(),
                    ..RollbackOptions::default()
                };
                undo::rollback::plan(&facts, &options)
            }
            PhaseKind::Cleanup => {
                let options = CleanupOptions {
                    wanted: None,
                    min_soak: Duration::ZERO,
                    final_snapshot: true,
                    delete_encrypted_copy: false,
                };
                undo::cleanup::plan(&facts, &options)
            }
        }
    };
    if let Some(alone) = phase.left_alone.first() {
        return Err(format!("left alone: {}", alone.reason));
    }
    store.begin_phase(phase).map_err(|e| e.to_string())
}
