//! `--metrics FILE`: numbers for Prometheus, readable for the exporter that collects them.

use std::path::Path;

use atrest_fixer::store::{self, RunStore, StoreError};
use atrest_model::scan::ScanReport;
use atrest_reports::{RunNumbers, ScanNumbers, run_metrics, scan_metrics};

use super::report::SavedRun;
use crate::exit::{Exit, ExpectedError};

/// Numbers of a scan.
pub(super) fn of_scan(
    report: &ScanReport,
    numbers: &ScanNumbers<'_>,
    file: &Path,
) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    scan_metrics(report, numbers, &mut bytes)?;
    write(file, &bytes)
}

/// Numbers of a run whose sitting has just ended.
pub(super) fn of_end(saved: &SavedRun, exit: Exit, file: &Path) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    let run = numbers(saved, false, Some(exit as u8));
    run_metrics(&[run], 0, &mut bytes)?;
    write(file, &bytes)
}

/// Numbers of runs as their folders have them. One that cannot be read is counted where all were asked for, and an error
/// where it was named.
pub(super) fn of_runs(
    state_dir: &Path,
    names: &[String],
    is_all: bool,
    file: &Path,
) -> anyhow::Result<Exit> {
    let mut saved = Vec::new();
    let mut unread = 0;
    for name in names {
        match read(state_dir, name) {
            Ok(run) => saved.push(run),
            Err(error) if is_all => {
                tracing::warn!("run {name} is not among the numbers: {error}");
                unread += 1;
            }
            Err(error) => return Err(ExpectedError::store(&error)),
        }
    }
    let runs: Vec<RunNumbers<'_>> = saved
        .iter()
        .map(|(saved, is_under_way)| numbers(saved, *is_under_way, None))
        .collect();
    let mut bytes = Vec::new();
    run_metrics(&runs, unread, &mut bytes)?;
    write(file, &bytes)?;
    Ok(Exit::Ok)
}

/// Who holds the run is asked first: what a runner wrote before it ended is seen then.
fn read(state_dir: &Path, name: &str) -> Result<(SavedRun, bool), StoreError> {
    let holder = store::holder(state_dir, name)?;
    let store = RunStore::open_to_read(state_dir, name)?;
    Ok((SavedRun::of_store(&store)?, holder.is_some()))
}

fn numbers(saved: &SavedRun, is_under_way: bool, exit_code: Option<u8>) -> RunNumbers<'_> {
    let document = saved.document();
    RunNumbers {
        report: document.report,
        context: document.context,
        is_under_way,
        exit_code,
    }
}

fn write(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    atrest_reports::write_public(file, bytes).map_err(|error| {
        ExpectedError::usage(
            format!("cannot write {}: {error}", file.display()),
            "check the folder of --metrics and the disk",
        )
    })
}
