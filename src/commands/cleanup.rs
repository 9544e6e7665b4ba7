//! `atrest cleanup`: shows what a run has superseded, and with --execute deletes it.

use std::io::{BufRead as _, Write as _};

use atrest_fixer::undo::{
    Facts,
    cleanup::{self, CleanupOptions},
};
use atrest_model::phase::{Phase, PhaseKind};

use super::{common, fix, shared, undo};
use crate::cli::{CleanupArgs, OutputArgs};
use crate::exit::{Exit, ExpectedError};
use crate::terminal;

pub(crate) async fn run(args: CleanupArgs, output: &OutputArgs) -> anyhow::Result<Exit> {
    let open = || undo::open(&args.state.state_dir, &args.run, args.execute);
    let mut store = open()?;
    let aws = common::aws(&args.aws).await?;
    fix::check_account(&aws, store.plan()).await?;
    let wanted = undo::ids(store.plan(), &args.instance)?;
    let (asks, auth) = undo::auth(&aws, store.plan(), &args.mysql, args.execute).await?;
    let mut exit = Exit::Ok;

    // A deletion that was begun was agreed to.
    let begun = undo::begun(&store, PhaseKind::Cleanup, wanted.as_ref())
        .map_err(|e| ExpectedError::store(&e))?;
    for name in begun {
        let phase = store.phases().iter().find(|phase| phase.phase == name);
        let Some(phase) = phase.cloned() else {
            continue;
        };
        if !args.execute {
            undo::show(&phase, args.format)?;
            tracing::warn!("{name} has begun; --execute goes on with it");
            continue;
        }
        shared::take(&aws, &args.shared, &mut store).await?;
        store.take_up(&name);
        let report = undo::drive(&aws, store, &args.pace, auth.clone(), output).await?;
        exit = exit.max(undo::tell(&report, args.format)?);
        store = open()?;
    }

    let rest: std::collections::BTreeSet<String> = store
        .plan()
        .migrations
        .iter()
        .map(|migration| migration.id.clone())
        .filter(|id| wanted.as_ref().is_none_or(|wanted| wanted.contains(id)))
        .filter(|id| store.phase_of(id).map(|phase| phase.phase.kind) != Some(PhaseKind::Cleanup))
        .collect();
    if rest.is_empty() {
        return Ok(exit);
    }
    let settled = undo::settle(&aws, &store, Some(&rest), &args.pace, args.execute).await?;
    let options = CleanupOptions {
        wanted: Some(rest),
        min_soak: args.min_soak,
        final_snapshot: !args.no_final_snapshot,
        delete_encrypted_copy: args.delete_encrypted_copy,
    };
    let phase = {
        let facts = Facts::of(&store, PhaseKind::Cleanup, &settled.regions)
            .map_err(|e| ExpectedError::store(&e))?;
        cleanup::plan(&Facts { asks, ..facts }, &options)
    };
    if !phase.left_alone.is_empty() {
        exit = exit.max(Exit::NeedsOperator);
    }
    if !args.execute || phase.migrations.is_empty() {
        undo::show(&phase, args.format)?;
        if !args.execute {
            tracing::warn!("nothing was deleted; delete it with --execute");
        }
        return Ok(exit);
    }
    for alone in &phase.left_alone {
        tracing::error!("{}: {}; {}", alone.migration, alone.reason, alone.hint);
    }
    if !asks {
        tracing::warn!(
            "whether a client still uses an old instance is not proven: the servers are not asked"
        );
    }
    confirm(&args, &phase)?;
    // The journal of a folder that others have left behind is not gone on with.
    shared::take(&aws, &args.shared, &mut store).await?;
    store
        .begin_phase(phase)
        .map_err(|e| ExpectedError::store(&e))?;
    let report = undo::drive(&aws, store, &args.pace, auth, output).await?;
    Ok(exit.max(undo::tell(&report, args.format)?))
}

/// What is deleted does not come back: whoever does it types the name of the run.
fn confirm(args: &CleanupArgs, phase: &Phase) -> anyhow::Result<()> {
    if args.yes {
        return Ok(());
    }
    if !terminal::can_ask() {
        return Err(ExpectedError::usage(
            "nobody can be asked whether to delete",
            "give --yes with --execute, after the steps were looked at without it",
        ));
    }
    let mut shown = Vec::new();
    atrest_reports::phase(phase, &common::stderr_style(), &mut shown)?;
    let mut stderr = std::io::stderr().lock();
    stderr.write_all(&shown)?;
    write!(stderr, "This deletes for good. The name of the run: ")?;
    stderr.flush()?;
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed)?;
    if typed.trim() == args.run {
        return Ok(());
    }
    Err(ExpectedError::usage(
        "that is not the name of the run; nothing was deleted",
        "look at the steps without --execute first",
    ))
}
