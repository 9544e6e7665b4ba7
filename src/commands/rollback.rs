//! `atrest rollback`: shows the way back of a run, and with --execute goes it.

use std::collections::BTreeSet;

use atrest_fixer::undo::{
    Facts,
    rollback::{self, RollbackOptions},
};
use atrest_model::phase::PhaseKind;

use super::{common, fix, shared, undo};
use crate::cli::{OutputArgs, RollbackArgs};
use crate::exit::{Exit, ExpectedError};

pub(crate) async fn run(args: RollbackArgs, output: &OutputArgs) -> anyhow::Result<Exit> {
    let open = || undo::open(&args.state.state_dir, &args.run, args.execute);
    let mut store = open()?;
    let aws = common::aws(&args.aws).await?;
    fix::check_account(&aws, store.plan()).await?;
    let wanted = undo::ids(store.plan(), &args.instance)?;
    let accept_data_loss = undo::ids(store.plan(), &args.accept_data_loss)?.unwrap_or_default();
    let (asks, auth) = undo::auth(&aws, store.plan(), &args.mysql, args.execute).await?;
    let mut exit = Exit::Ok;

    // What was begun is gone on with, unless the operator has decided otherwise about it.
    let begun = undo::begun(&store, PhaseKind::Rollback, wanted.as_ref())
        .map_err(|e| ExpectedError::store(&e))?;
    let any_begun = !begun.is_empty();
    for name in begun {
        let phase = store.phases().iter().find(|phase| phase.phase == name);
        let Some(phase) = phase.cloned() else {
            continue;
        };
        if phase
            .migrations
            .iter()
            .any(|migration| accept_data_loss.contains(&migration.id))
        {
            continue;
        }
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

    // Phases may have ended meanwhile.
    let rest: BTreeSet<String> = store
        .plan()
        .migrations
        .iter()
        .map(|migration| migration.id.clone())
        .filter(|id| wanted.as_ref().is_none_or(|wanted| wanted.contains(id)))
        .filter(|id| {
            let phase = store.phase_of(id).map(|phase| phase.phase.kind);
            phase != Some(PhaseKind::Rollback) || accept_data_loss.contains(id)
        })
        .collect();
    if rest.is_empty() {
        if !any_begun {
            tracing::warn!("everything of run {} is rolled back already", args.run);
            exit = Exit::RolledBack;
        }
        return Ok(exit);
    }
    let settled = undo::settle(&aws, &store, Some(&rest), &args.pace, args.execute).await?;
    let options = RollbackOptions {
        wanted: Some(rest),
        keep_copies: args.keep_copies,
        accept_data_loss,
    };
    let phase = {
        let facts = Facts::of(&store, PhaseKind::Rollback, &settled.regions)
            .map_err(|e| ExpectedError::store(&e))?;
        rollback::plan(&Facts { asks, ..facts }, &options)
    };
    if !phase.left_alone.is_empty() {
        exit = exit.max(Exit::NeedsOperator);
    }
    if !args.execute {
        undo::show(&phase, args.format)?;
        for open in &settled.open {
            tracing::warn!("not known yet: {open}; --execute first looks until it is");
        }
        tracing::warn!("nothing was changed; go back with --execute");
        return Ok(exit);
    }
    for alone in &phase.left_alone {
        tracing::error!("{}: {}; {}", alone.migration, alone.reason, alone.hint);
    }
    if phase.migrations.is_empty() {
        undo::show(&phase, args.format)?;
        return Ok(exit);
    }
    // The journal of a folder that others have left behind is not gone on with.
    shared::take(&aws, &args.shared, &mut store).await?;
    store
        .begin_phase(phase)
        .map_err(|e| ExpectedError::store(&e))?;
    let report = undo::drive(&aws, store, &args.pace, auth, output).await?;
    Ok(exit.max(undo::tell(&report, args.format)?))
}
