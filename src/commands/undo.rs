//! What rollback and cleanup have in common: which migrations, what is shown, and the sitting.

use std::collections::BTreeSet;
use std::path::Path;

use atrest_fixer::clock::Timing;
use atrest_fixer::executor;
use atrest_fixer::options::{FixOptions, FleetOptions};
use atrest_fixer::store::{RunStore, StoreError};
use atrest_fixer::undo::{self, SettleError, Settled};
use atrest_model::phase::{Phase, PhaseKind, PhaseName};
use atrest_model::plan::{MysqlAccess, Plan};
use atrest_model::run::RunReport;
use atrest_reports::{FixFormat, RunFormat, StepHistory};
use atrest_scanner::access::MysqlAuth;
use atrest_scanner::aws::Aws;

use super::{common, fix, login, report, run_scans};
use crate::cli::{MysqlArgs, MysqlMode, OutputArgs, PaceArgs};
use crate::exit::{Exit, ExpectedError};
use crate::progress::{Progress, Shape};

pub(super) fn timing(pace: &PaceArgs) -> Timing {
    Timing {
        poll: pace.poll_interval,
        consistency: pace.consistency_window,
        ..Timing::default()
    }
}

/// The run, locked when it is to be worked on.
pub(super) fn open(state_dir: &Path, run: &str, execute: bool) -> anyhow::Result<RunStore> {
    let store = if execute {
        RunStore::open(state_dir, run)
    } else {
        RunStore::open_to_read(state_dir, run)
    };
    store.map_err(|error| ExpectedError::store(&error))
}

/// Ids of the migrations that instances belong to, sources or replicas; `None` when none is named.
pub(super) fn ids(plan: &Plan, instances: &[String]) -> anyhow::Result<Option<BTreeSet<String>>> {
    if instances.is_empty() {
        return Ok(None);
    }
    let mut ids = BTreeSet::new();
    for name in instances {
        let of: Vec<&str> = plan
            .migrations
            .iter()
            .filter(|m| {
                m.id == *name || m.members().any(|member| member.identifier.as_str() == name)
            })
            .map(|m| m.id.as_str())
            .collect();
        match of.as_slice() {
            [id] => ids.insert((*id).to_owned()),
            [] => {
                return Err(ExpectedError::usage(
                    format!("run {} has no DB instance {name}", plan.run),
                    "name it as the plan does; `atrest status RUN` lists them",
                ));
            }
            [_, _, ..] => {
                return Err(ExpectedError::usage(
                    format!(
                        "run {} has several DB instances {name}: {}",
                        plan.run,
                        of.join(", ")
                    ),
                    "name it with its region: region/identifier",
                ));
            }
        };
    }
    Ok(Some(ids))
}

/// Whether the servers can be asked, and how. A password is wanted only where something is done.
pub(super) async fn auth(
    aws: &Aws,
    plan: &Plan,
    args: &MysqlArgs,
    execute: bool,
) -> anyhow::Result<(bool, Option<MysqlAuth>)> {
    if plan.mysql != MysqlAccess::Required || args.mysql == MysqlMode::Off {
        return Ok((false, None));
    }
    if !execute {
        return Ok((true, None));
    }
    let auth = login::fleet(args, aws).await?;
    Ok((auth.is_some(), auth))
}

/// Phases of a kind that have begun and not ended, of the migrations wanted.
pub(super) fn begun(
    store: &RunStore,
    kind: PhaseKind,
    wanted: Option<&BTreeSet<String>>,
) -> Result<Vec<PhaseName>, StoreError> {
    let mut names = Vec::new();
    for migration in &store.plan().migrations {
        if wanted.is_some_and(|wanted| !wanted.contains(&migration.id)) {
            continue;
        }
        let Some(phase) = store.phase_of(&migration.id) else {
            continue;
        };
        let done = undo::is_done(store.present(migration), &store.steps(&migration.id)?);
        if phase.phase.kind == kind && !done && !names.contains(&phase.phase) {
            names.push(phase.phase.clone());
        }
    }
    Ok(names)
}

/// Looks at RDS until nothing of the run moves any more; once only when nothing is to be done.
pub(super) async fn settle(
    aws: &Aws,
    store: &RunStore,
    wanted: Option<&BTreeSet<String>>,
    pace: &PaceArgs,
    waits: bool,
) -> anyhow::Result<Settled> {
    let stop = common::stop_signal()?;
    undo::settle(aws, store, wanted, timing(pace), waits, stop)
        .await
        .map_err(|error| match error {
            SettleError::Store(error) => ExpectedError::store(&error),
            SettleError::Aws(error) => ExpectedError::aws(&error),
            SettleError::TooLong(_) => ExpectedError::of(
                Exit::NeedsOperator,
                error.to_string(),
                "look at it in the RDS console; nothing was changed",
            ),
            SettleError::Interrupted => ExpectedError::of(
                Exit::Stopped,
                error.to_string(),
                "the same command begins again",
            ),
        })
}

/// Writes a phase that is not carried out.
pub(super) fn show(phase: &Phase, FixFormat(format): FixFormat) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    match format {
        RunFormat::Json => bytes = common::json(phase)?,
        RunFormat::Table => atrest_reports::phase(phase, &common::stdout_style(), &mut bytes)?,
        _ => {
            return Err(ExpectedError::usage(
                "steps that are only shown are text or json",
                "the other formats are those of the end, with --execute",
            ));
        }
    }
    common::deliver(None, &bytes)
}

/// Carries out what the sitting of `store` is about.
pub(super) async fn drive(
    aws: &Aws,
    store: RunStore,
    pace: &PaceArgs,
    mysql: Option<MysqlAuth>,
    output: &OutputArgs,
) -> anyhow::Result<RunReport> {
    let options = FixOptions {
        timing: timing(pace),
        concurrency: pace.concurrency,
        stop_before: None,
        fleet: FleetOptions::default(),
        mysql,
    };
    let dir = store.dir().to_owned();
    let plan = store.plan().clone();
    let entries = store.entries().map_err(|e| ExpectedError::store(&e))?;
    let progress = Progress::begin(Shape {
        plan: &report::present(&store),
        dir: &dir,
        steps: report::step_times(&entries),
        history: StepHistory::default(),
        style: common::stderr_style(),
        quiet: output.no_progress || output.quiet,
        events: Vec::new(),
    });
    let stop = common::stop_signal()?;
    let ended = executor::run(aws, store, &options, &progress, stop)
        .await
        .map_err(|error| {
            // The journal could not be written: what was done is in RDS, and the next sitting looks there.
            ExpectedError::of(Exit::Stopped, error.to_string(), error.hint())
        })?;
    run_scans::save(aws, &plan, &dir, run_scans::AFTER).await;
    progress.end();
    Ok(ended)
}

/// Writes how a sitting ended, and gives the exit code.
pub(super) fn tell(report: &RunReport, FixFormat(format): FixFormat) -> anyhow::Result<Exit> {
    // The times of the steps are in `atrest report RUN`, with those of the migration.
    let saved = report::SavedRun::of_report(report.clone());
    let document = saved.document();
    let mut bytes = Vec::new();
    atrest_reports::run_as(
        document.report,
        &document.context,
        format,
        &common::stdout_style(),
        &mut bytes,
    )?;
    common::deliver(None, &bytes)?;
    Ok(fix::exit_of(report))
}
