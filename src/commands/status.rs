//! `atrest status`: reads the run folder only.

mod watch;

use std::io::Write as _;
use std::path::Path;

use atrest_fixer::store::{self, RunStore, StoreError};
use atrest_model::journal::StepStatus;
use atrest_reports::{
    Addresses, CurrentStep, MigrationStatus, RunFormat, RunStatus, STATUS_SCHEMA_VERSION,
    StatusFormat, TERRAFORM_FILES,
};

use super::report::SavedRun;
use super::{common, metrics};
use crate::cli::StatusArgs;
use crate::exit::{Exit, ExpectedError};

pub(crate) async fn run(args: &StatusArgs) -> anyhow::Result<Exit> {
    if let Some(file) = &args.verify {
        return verify(file);
    }
    if let Some(url) = &args.shared_state {
        return super::shared::status(args, url).await;
    }
    if let Some(file) = &args.metrics {
        let runs = match &args.run {
            Some(run) => vec![run.clone()],
            None => names(&args.state.state_dir)?,
        };
        return metrics::of_runs(&args.state.state_dir, &runs, args.run.is_none(), file);
    }
    let Some(run) = &args.run else {
        return list(&args.state.state_dir);
    };
    if let Some(every) = args.watch {
        return watch::watch(&args.state.state_dir, run, every).await;
    }
    let store =
        RunStore::open_to_read(&args.state.state_dir, run).map_err(|e| ExpectedError::store(&e))?;
    if args.journal {
        let mut bytes = Vec::new();
        store
            .export(&mut bytes)
            .map_err(|e| ExpectedError::store(&e))??;
        common::deliver(None, &bytes)?;
        return Ok(Exit::Ok);
    }
    if let Some(dir) = &args.terraform {
        return terraform(&store, dir, args.tfstate.as_deref());
    }
    let outputs = common::outputs::<StatusFormat>(&args.format, "status")?;
    for output in &outputs {
        let bytes = match output.format {
            StatusFormat::Json => {
                common::json(&status(&store, run).map_err(|e| ExpectedError::store(&e))?)?
            }
            StatusFormat::Text => {
                text(&status(&store, run).map_err(|e| ExpectedError::store(&e))?)?
            }
            StatusFormat::End(format) => {
                let saved = SavedRun::of_store(&store).map_err(|e| ExpectedError::store(&e))?;
                let mut bytes = Vec::new();
                let style = common::style_of(output);
                let document = saved.document();
                atrest_reports::run_as(
                    document.report,
                    &document.context,
                    format,
                    &style,
                    &mut bytes,
                )?;
                if format == RunFormat::Table {
                    writeln!(bytes)?;
                    atrest_reports::run_steps(
                        document.report,
                        &document.context,
                        &style,
                        &mut bytes,
                    )?;
                }
                bytes
            }
        };
        common::deliver(output.path.as_deref(), &bytes)?;
    }
    Ok(Exit::Ok)
}

/// Writes the blocks that bring Terraform along.
fn terraform(store: &RunStore, dir: &Path, state: Option<&Path>) -> anyhow::Result<Exit> {
    let addresses = match state {
        None => Addresses::default(),
        Some(path) => {
            let wrong = |why: String| {
                ExpectedError::usage(
                    format!("{}: {why}", path.display()),
                    "give the output of `terraform state pull`",
                )
            };
            let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
            let state = serde_json::from_slice(&bytes)
                .map_err(|error| wrong(format!("not JSON: {error}")))?;
            Addresses::of_state(&state).map_err(wrong)?
        }
    };
    let saved = SavedRun::of_store(store).map_err(|e| ExpectedError::store(&e))?;
    let (mut removed, mut import) = (Vec::new(), Vec::new());
    atrest_reports::terraform_removed(store.plan(), &saved.report, &addresses, &mut removed)?;
    atrest_reports::terraform_import(store.plan(), &saved.report, &addresses, &mut import)?;
    for (name, bytes) in TERRAFORM_FILES.into_iter().zip([removed, import]) {
        common::deliver(Some(&dir.join(name)), &bytes)?;
    }
    Ok(Exit::Ok)
}

/// Checks an audit trail. One that does not hold together needs a person: somebody changed it, or it is not whole.
fn verify(file: &Path) -> anyhow::Result<Exit> {
    let trail = std::fs::File::open(file).map_err(|error| {
        ExpectedError::usage(
            format!("cannot read {}: {error}", file.display()),
            "name a file that `atrest status RUN --journal` has written",
        )
    })?;
    let verified = store::verify(std::io::BufReader::new(trail)).map_err(|broken| {
        ExpectedError::of(
            Exit::NeedsOperator,
            format!("{}: {broken}", file.display()),
            "what stands before that line holds; compare with the journal itself, `atrest status RUN --journal`",
        )
    })?;
    let line = format!(
        "run {}: {} records hold together; the last hash is {}\n",
        verified.run, verified.entries, verified.hash
    );
    common::deliver(None, line.as_bytes())?;
    Ok(Exit::Ok)
}

fn status(store: &RunStore, run: &str) -> Result<RunStatus, StoreError> {
    let mut migrations = Vec::new();
    for migration in &store.plan().migrations {
        let records = store.steps(&migration.id)?;
        let phase = store.phase_of(&migration.id).map(|p| p.phase.to_string());
        let migration = store.present(migration);
        let current = migration
            .steps
            .iter()
            .filter_map(|step| Some((step, records.get(&step.id)?)))
            .filter(|(_, record)| record.status != StepStatus::Done)
            .map(|(step, record)| CurrentStep {
                step: step.id.clone(),
                status: record.status,
                since: record.changed_at,
                detail: record.result.clone(),
            })
            .collect();
        migrations.push(MigrationStatus {
            migration: migration.id.clone(),
            phase,
            steps_done: migration
                .steps
                .iter()
                .filter_map(|step| records.get(&step.id))
                .filter(|record| record.status == StepStatus::Done)
                .count(),
            steps: migration.steps.len(),
            current,
        });
    }
    Ok(RunStatus {
        schema_version: STATUS_SCHEMA_VERSION,
        run: run.to_owned(),
        migrations,
    })
}

fn text(status: &RunStatus) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    writeln!(out, "run {}", status.run)?;
    for migration in &status.migrations {
        let state = match migration.current.as_slice() {
            [] if migration.steps_done == migration.steps => match &migration.phase {
                None => "migrated".to_owned(),
                Some(phase) => format!("{phase} is done"),
            },
            [] if migration.steps_done == 0 => "not begun".to_owned(),
            [] => match &migration.phase {
                None => "between two steps".to_owned(),
                Some(phase) => format!("{phase}, between two steps"),
            },
            current => current
                .iter()
                .map(|step| {
                    let reason = step.detail.get("reason").and_then(|r| r.as_str());
                    let reason = reason
                        .map(|r| format!(" ({})", atrest_reports::printable(r)))
                        .unwrap_or_default();
                    format!(
                        "{} {} since {:.0}{reason}",
                        step.step,
                        step.status.as_str(),
                        step.since
                    )
                })
                .collect::<Vec<_>>()
                .join("; "),
        };
        writeln!(
            out,
            "  {}  {}/{}  {state}",
            migration.migration, migration.steps_done, migration.steps
        )?;
    }
    Ok(out)
}

/// Names of the runs in the state folder, sorted.
fn names(state_dir: &Path) -> anyhow::Result<Vec<String>> {
    let runs = state_dir.join("runs");
    let mut names: Vec<String> = match std::fs::read_dir(&runs) {
        Ok(entries) => entries
            .filter_map(Result::ok)
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            return Err(ExpectedError::usage(
                format!("cannot read {}: {error}", runs.display()),
                "check --state-dir",
            ));
        }
    };
    names.sort();
    Ok(names)
}

/// Prints them.
fn list(state_dir: &Path) -> anyhow::Result<Exit> {
    let names = names(state_dir)?;
    let mut out = Vec::new();
    for name in &names {
        writeln!(out, "{name}")?;
    }
    if names.is_empty() {
        tracing::warn!("no run in {}", state_dir.join("runs").display());
    }
    common::deliver(None, &out)?;
    Ok(Exit::Ok)
}
