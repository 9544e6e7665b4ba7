//! The way back: the old instances get their real names, and what the migration has made goes.

use std::collections::BTreeSet;

use atrest_model::instance::DbInstance;
use atrest_model::journal::StepStatus;
use atrest_model::phase::{Phase, PhaseKind};
use atrest_model::plan::{Action, Member, Method, Migration, Sides, Step, TAG_RUN, Target};

use super::{
    Facts, LONG, Refusal, Region, SHORT, Steps, release, remove, remove_snapshots, tags_of_step,
};

/// What the operator chooses.
#[derive(Debug, Clone, Default)]
pub struct RollbackOptions {
    /// Ids of the migrations; `None` is all.
    pub wanted: Option<BTreeSet<String>>,
    /// Leave the encrypted copies and the snapshots.
    pub keep_copies: bool,
    /// Ids of migrations whose writes since the cutover are given up.
    pub accept_data_loss: BTreeSet<String>,
}

/// How far a migration was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The old instances have their real names, and no other has ever had one.
    Untouched,
    /// Old instances have their interim names; no new one has ever had a real one.
    Quiesced,
    /// A new instance has or had a real name: clients may have written to it.
    CutOver,
}

/// A member with what is shown of it.
struct Found<'a> {
    member: &'a Member,
    old: &'a DbInstance,
    new: Option<&'a DbInstance>,
}

/// Plans the rollback. Migrations that cannot be rolled back are left alone, with the reason.
#[must_use]
pub fn plan(facts: &Facts<'_>, options: &RollbackOptions) -> Phase {
    let mut migrations = Vec::new();
    let mut left_alone = Vec::new();
    for migration in &facts.plan.migrations {
        let wanted = options.wanted.as_ref();
        if wanted.is_some_and(|wanted| !wanted.contains(&migration.id)) {
            continue;
        }
        match of(facts, options, migration) {
            Ok(steps) => {
                let mut planned = migration.clone();
                planned.notes.clear();
                planned.steps = steps;
                migrations.push(planned);
            }
            Err(refusal) => left_alone.push(refusal.of(migration)),
        }
    }
    facts.phase(migrations, left_alone)
}

fn of(
    facts: &Facts<'_>,
    options: &RollbackOptions,
    migration: &Migration,
) -> Result<Vec<Step>, Refusal> {
    let accepts = options.accept_data_loss.contains(&migration.id);
    match facts.phases.get(&migration.id) {
        Some((PhaseKind::Rollback, true)) => {
            return Err(Refusal::new(
                "it is rolled back already",
                "make a new plan to migrate it",
            ));
        }
        Some((PhaseKind::Rollback, false)) if !accepts => {
            return Err(Refusal::new(
                "a rollback of it has begun",
                "the same command without --accept-data-loss goes on with it",
            ));
        }
        Some((PhaseKind::Cleanup, _)) => {
            return Err(Refusal::new(
                "its cleanup has begun: the old instance may be gone",
                "`atrest status RUN` tells how far it is",
            ));
        }
        Some((PhaseKind::Rollback, false)) | None => {}
    }
    if migration.method != Method::Cold || migration.cluster.is_some() {
        return Err(Refusal::new(
            "its method has no rollback in this version",
            "go back by hand: `atrest status RUN --journal` tells what was done",
        ));
    }
    let none = Region::default();
    let region = facts.regions.get(&migration.region).unwrap_or(&none);
    let found = migration
        .members()
        .map(|member| find(facts, region, migration, member))
        .collect::<Result<Vec<_>, _>>()?;
    let stage = stage(facts, migration, &found);
    let mut steps = Steps::of(&facts.name);
    let mut needs: Vec<String> = Vec::new();
    if stage == Stage::CutOver {
        needs = back_from_cutover(facts, migration, &found, accepts, &mut steps)?;
    }
    if stage != Stage::Untouched {
        let mut back = needs.clone();
        for Found { member, old, .. } in &found {
            if old.identifier() == member.old_name.as_str() {
                back.push(steps.push(
                    &format!("name-back:{}", member.identifier),
                    &needs,
                    LONG,
                    Action::NameBack {
                        instance: Target::Old(member.dbi_resource_id.clone()),
                        from: member.old_name.clone(),
                        to: member.identifier.clone(),
                    },
                ));
            }
        }
        needs = vec![steps.push("returned", &back, SHORT, Action::Returned)];
    }
    // What was written since the cutover is nowhere else.
    let has_writes = stage == Stage::CutOver && accepts;
    if !options.keep_copies && !has_writes {
        needs = copies(facts, region, migration, &found, needs, &mut steps)?;
    }
    release(migration, &needs, &mut steps);
    Ok(steps.steps)
}

/// Looks a member up on both sides, and refuses what nobody has planned.
fn find<'a>(
    facts: &Facts<'_>,
    region: &'a Region,
    migration: &Migration,
    member: &'a Member,
) -> Result<Found<'a>, Refusal> {
    let name = &member.identifier;
    let Some(old) = region.by_resource_id(&member.dbi_resource_id) else {
        return Err(Refusal::new(
            format!(
                "the old {name} ({}) is gone: there is no way back",
                member.dbi_resource_id
            ),
            "the encrypted instance, a snapshot or a retained backup is what is left",
        ));
    };
    if old.identifier() != name.as_str() && old.identifier() != member.old_name.as_str() {
        return Err(Refusal::new(
            format!(
                "the old {name} is called {} now, neither {name} nor {}",
                old.identifier(),
                member.old_name
            ),
            format!("somebody renamed it; call it {} again", member.old_name),
        ));
    }
    let run = facts.plan.run.as_str();
    if let Some(other) = old.tags().get(TAG_RUN).filter(|other| **other != run) {
        return Err(Refusal::new(
            format!("{} is claimed by run {other}", old.identifier()),
            format!("roll run {other} back first"),
        ));
    }
    let made = region.made_by(&tags_of_step(facts.plan, migration, &member.made_by));
    let new = match made.as_slice() {
        [] => None,
        [one] => Some(*one),
        [_, _, ..] => {
            let names: Vec<&str> = made.iter().map(|i| i.identifier()).collect();
            return Err(Refusal::new(
                format!(
                    "several instances bear the tags of {}: {}",
                    member.made_by,
                    names.join(", ")
                ),
                "delete those that are not wanted",
            ));
        }
    };
    if let Some(new) = new
        && new.identifier() != name.as_str()
        && new.identifier() != member.new_name.as_str()
    {
        return Err(Refusal::new(
            format!(
                "the encrypted {name} is called {} now, neither {name} nor {}",
                new.identifier(),
                member.new_name
            ),
            format!("somebody renamed it; call it {} again", member.new_name),
        ));
    }
    Ok(Found { member, old, new })
}

fn stage(facts: &Facts<'_>, migration: &Migration, found: &[Found<'_>]) -> Stage {
    // What the journal has done counts although the name is gone again: a rollback may have begun before.
    let was_cut_over = migration.steps.iter().any(|step| {
        matches!(step.action, Action::Rename { cutover: true, .. })
            && facts.status(&migration.id, &step.id) == StepStatus::Done
    });
    let has_real_name = |f: &Found<'_>| {
        f.new
            .is_some_and(|new| new.identifier() == f.member.identifier.as_str())
    };
    // A folder that was made anew does not know whether a rollback had begun after the cutover: then everything is there,
    // and the new side has its interim names again.
    let may_have_been = facts.adopted && found.iter().all(|f| f.new.is_some());
    if was_cut_over || may_have_been || found.iter().any(has_real_name) {
        Stage::CutOver
    } else if found
        .iter()
        .all(|f| f.old.identifier() == f.member.identifier.as_str())
    {
        Stage::Untouched
    } else {
        Stage::Quiesced
    }
}

/// The new side gives the real names up, between two proofs that nobody has written to it. Gives what the renames of the
/// old side need.
fn back_from_cutover(
    facts: &Facts<'_>,
    migration: &Migration,
    found: &[Found<'_>],
    loss_accepted: bool,
    steps: &mut Steps,
) -> Result<Vec<String>, Refusal> {
    let is_mysql = found.iter().all(|f| f.old.is_mysql_family());
    let is_asked = is_mysql && facts.asks;
    let source = &migration.source.identifier;
    if !is_asked && !loss_accepted {
        return Err(Refusal::new(
            format!(
                "clients may have written to {source} since the cutover, and its servers are not asked"
            ),
            format!(
                "find out by other means; --accept-data-loss {source} goes back and gives up what was written since"
            ),
        ));
    }
    let pairs: Vec<Sides> = found
        .iter()
        .filter_map(|f| {
            Some(Sides {
                name: f.member.identifier.to_string(),
                old: Target::Old(f.member.dbi_resource_id.clone()),
                new: Target::Old(f.new?.dbi_resource_id().to_owned()),
            })
        })
        .collect();
    let proof = |after: Option<String>| Action::Unwritten {
        pairs: pairs.clone(),
        after,
        loss_accepted,
    };
    let data = crate::planner::data_deadline(migration.allocated_storage);
    let first = steps.push("unwritten", &[], data, proof(None));
    let mut demoted = vec![first.clone()];
    for f in found {
        let Some(new) = f.new else { continue };
        if new.identifier() == f.member.identifier.as_str() {
            demoted.push(steps.push(
                &format!("name-away:{}", f.member.identifier),
                std::slice::from_ref(&first),
                LONG,
                Action::Rename {
                    instance: Target::Old(new.dbi_resource_id().to_owned()),
                    from: f.member.identifier.clone(),
                    to: f.member.new_name.clone(),
                    cutover: false,
                },
            ));
        }
    }
    if loss_accepted {
        return Ok(demoted);
    }
    // A client may have come between the proof and the rename.
    Ok(vec![steps.push(
        "still-unwritten",
        &demoted,
        data,
        proof(Some(first)),
    )])
}

/// What the migration has made goes: replicas before what they replicate from, instances before snapshots.
fn copies(
    facts: &Facts<'_>,
    region: &Region,
    migration: &Migration,
    found: &[Found<'_>],
    needs: Vec<String>,
    steps: &mut Steps,
) -> Result<Vec<String>, Refusal> {
    let mut needs = needs;
    // Parents come before children in a plan.
    for f in found.iter().rev() {
        let Some(new) = f.new else { continue };
        let name = new.identifier();
        if new.encryption().is_encrypted() != Some(true) {
            return Err(Refusal::new(
                format!("{name} bears the tags of this run and is not encrypted"),
                "it is not what the run made; see who did, or keep it with --keep-copies",
            ));
        }
        let tags = tags_of_step(facts.plan, migration, &f.member.made_by);
        // By then it has its interim name.
        let mut removed = new.clone();
        if let Some(document) = removed.document.as_object_mut() {
            document.insert(
                "DBInstanceIdentifier".to_owned(),
                f.member.new_name.as_str().into(),
            );
        }
        needs = vec![remove(steps, &removed, &needs, tags, true)?];
    }
    Ok(remove_snapshots(
        facts,
        region,
        migration,
        &needs,
        |_| true,
        steps,
    ))
}
