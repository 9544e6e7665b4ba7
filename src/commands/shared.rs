//! Shared state of runs, as the verbs use it.

use std::io::Write as _;

use atrest_fixer::shared::{self, Look, SharedError, SharedOptions, SharedState, SharedUrl, Shown};
use atrest_fixer::store::RunStore;
use atrest_model::plan::Plan;
use atrest_reports::{Output, StatusFormat};
use atrest_scanner::aws::Aws;

use super::common;
use crate::cli::{SharedArgs, StatusArgs};
use crate::exit::{Exit, ExpectedError};

fn refused(error: &SharedError) -> anyhow::Error {
    match error {
        SharedError::Aws(error) if !error.may_pass() => ExpectedError::aws(error),
        SharedError::Store(error) => ExpectedError::store(error),
        SharedError::ElsewhereKept { .. } => ExpectedError::usage(error.to_string(), error.hint()),
        other if other.may_pass() => {
            ExpectedError::of(Exit::Stopped, other.to_string(), other.hint())
        }
        other => ExpectedError::of(Exit::NeedsOperator, other.to_string(), other.hint()),
    }
}

fn at(aws: &Aws, url: SharedUrl, args: &SharedArgs) -> SharedState {
    let options = SharedOptions {
        url,
        lease: args.lease,
        owner: shared::owner_name(),
    };
    SharedState::new(aws, options)
}

/// The shared state that a run without a folder is to have.
pub(super) fn asked_for(aws: &Aws, args: &SharedArgs) -> Option<SharedState> {
    let url = args.shared_state.clone()?;
    Some(at(aws, url, args))
}

/// Before anything else is asked: whether the run may begin.
pub(super) async fn look(state: &SharedState, plan: &Plan) -> anyhow::Result<()> {
    let look = state.look(plan).await.map_err(|e| refused(&e))?;
    look.check(plan, false).map_err(|e| refused(&e))
}

/// Takes the leases of a run whose folder was made a moment ago, which goes again when they are refused.
pub(super) async fn take_new(
    state: Option<&SharedState>,
    mut store: RunStore,
    look: Option<&Look>,
) -> anyhow::Result<RunStore> {
    let Some(state) = state else {
        return Ok(store);
    };
    if let Err(error) = state.take(&mut store, look).await {
        if let Err(error) = store.discard() {
            tracing::warn!("{error}");
        }
        return Err(refused(&error));
    }
    Ok(store)
}

/// Takes the leases of a run that has a folder, if it has shared state or is to have it from now on.
pub(super) async fn take(aws: &Aws, args: &SharedArgs, store: &mut RunStore) -> anyhow::Result<()> {
    let known = store.sharing().map_err(|e| ExpectedError::store(&e))?;
    let url = match (&args.shared_state, known) {
        (Some(asked), _) => asked.clone(),
        (None, Some(known)) => known.url.parse().map_err(|error| {
            ExpectedError::usage(format!("{error}"), "see shared.json of the run folder")
        })?,
        (None, None) => return Ok(()),
    };
    let state = at(aws, url, args);
    state.take(store, None).await.map_err(|e| refused(&e))
}

/// The run folder of a run that is taken up, from its copy if there is one.
pub(super) async fn adopt(
    state: &SharedState,
    state_dir: &std::path::Path,
    plan: &Plan,
    look: &Look,
) -> anyhow::Result<Option<RunStore>> {
    let copy = state.copy(plan, look).await.map_err(|e| refused(&e))?;
    let Some(copy) = copy else {
        return Ok(None);
    };
    let store =
        RunStore::restore(state_dir, plan.clone(), &copy).map_err(|e| ExpectedError::store(&e))?;
    tracing::warn!(
        "{} records of run {} were read from {}; what they lack is looked for in RDS",
        copy.records(),
        plan.run,
        state.url()
    );
    Ok(Some(store))
}

/// What [`adopt`] rests on.
pub(super) async fn look_to_adopt(state: &SharedState, plan: &Plan) -> anyhow::Result<Look> {
    let look = state.look(plan).await.map_err(|e| refused(&e))?;
    look.check(plan, true).map_err(|e| refused(&e))?;
    Ok(look)
}

/// `status --shared-state`: who has what.
pub(super) async fn status(args: &StatusArgs, url: &SharedUrl) -> anyhow::Result<Exit> {
    let outputs: Vec<Output<StatusFormat>> = common::outputs(&args.format, "status")?;
    let aws = common::aws(&args.aws).await?;
    let options = SharedOptions {
        url: url.clone(),
        lease: shared::LEASE,
        owner: shared::owner_name(),
    };
    let state = SharedState::new(&aws, options);
    let mut shown = state.show().await.map_err(|e| refused(&e))?;
    if let Some(run) = &args.run {
        shown.retain(|one| one.object.run.as_str() == run);
    }
    for output in &outputs {
        let bytes = match output.format {
            StatusFormat::Text => text(&shown)?,
            StatusFormat::Json => {
                let objects: Vec<_> = shown.iter().map(|one| &one.object).collect();
                common::json(&objects)?
            }
            StatusFormat::End(_) => {
                return Err(ExpectedError::usage(
                    "shared state is shown as text or json",
                    "atrest status --shared-state URL --format json",
                ));
            }
        };
        common::deliver(output.path.as_deref(), &bytes)?;
    }
    if shown.is_empty() {
        tracing::warn!("nothing is in {url}");
    }
    Ok(Exit::Ok)
}

fn text(shown: &[Shown]) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    for Shown { object, is_held } in shown {
        let state = match (is_held, object.released) {
            (true, _) => format!("held until {:.0}", object.expires),
            (false, true) => "given back".to_owned(),
            (false, false) => format!("ended at {:.0}, not given back", object.expires),
        };
        let over = if object.over { ", over" } else { "" };
        writeln!(
            out,
            "{}  run {}  {}  {state}{over}  fence {}  {} records",
            atrest_reports::printable(&object.migration),
            object.run,
            atrest_reports::printable(&object.owner.name),
            object.fence,
            object.journal.len()
        )?;
    }
    Ok(out)
}
