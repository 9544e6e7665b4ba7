//! How long steps took in the runs of a state folder.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use atrest_fixer::store::RunStore;
use atrest_reports::StepHistory;

use super::report;

/// The latest runs are asked, and no more than these.
const RUNS: usize = 50;

/// Learns from every run of the folder that can be read, the latest first. One that cannot be read is passed over: what
/// is learned is a help and nothing depends on it.
pub(crate) fn of_state(state_dir: &Path) -> StepHistory {
    let mut history = StepHistory::default();
    for run in latest(&state_dir.join("runs")) {
        match RunStore::open_to_read(state_dir, &run) {
            Ok(store) => add(&store, &mut history),
            Err(error) => tracing::debug!("run {run} tells no durations: {error}"),
        }
    }
    history
}

/// Names of the runs, that of the latest journal first.
fn latest(runs: &Path) -> Vec<String> {
    let mut found: Vec<(SystemTime, String)> = std::fs::read_dir(runs)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let journal: PathBuf = entry.path().join("journal.db");
            let changed = std::fs::metadata(journal).ok()?.modified().ok()?;
            Some((changed, entry.file_name().into_string().ok()?))
        })
        .collect();
    found.sort();
    found
        .into_iter()
        .rev()
        .take(RUNS)
        .map(|(_, run)| run)
        .collect()
}

fn add(store: &RunStore, history: &mut StepHistory) {
    let Ok(entries) = store.entries() else {
        return;
    };
    let plan = store.plan();
    let steps = report::step_times(&entries);
    history.add_run(plan, &steps);
    // What only looks until it is done is in the events alone.
    for (_, event) in report::events(store.dir()) {
        let atrest_model::event::RunEvent::StepDone {
            migration,
            step,
            elapsed_seconds,
            ..
        } = event
        else {
            continue;
        };
        let is_sent = steps
            .iter()
            .any(|time| time.migration == migration && time.step == step && time.sent > 0);
        let migration = plan.migrations.iter().find(|one| one.id == migration);
        let step = migration.and_then(|one| one.steps.iter().find(|known| known.id == step));
        if let (Some(migration), Some(step), false) = (migration, step, is_sent) {
            history.add(step, migration.allocated_storage, elapsed_seconds);
        }
    }
}
