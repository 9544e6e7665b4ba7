//! The way back: the old instances get their real names, and what the migration has made goes.

use std::collections::BTreeSet;

use atrest_model::id::DbInstanceIdentifier;
use atrest_model::instance::DbInstance;
use atrest_model::journal::StepStatus;
use atrest_model::phase::{Phase, PhaseKind};
use atrest_model::plan::{Action, Member, Method, Migration, Sides, Step, TAG_RUN, Target};

use super::blue_green::{self, is_new_name, is_old_name};
use super::{
    Facts, LONG, Refusal, Region, SHORT, Steps, cluster, release, remove, remove_snapshots,
    tags_of_step,
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
pub(super) enum Stage {
    /// The old instances have their real names, and no other has ever had one.
    Untouched,
    /// Old instances have their interim names; no new one has ever had a real one.
    Quiesced,
    /// A new instance has or had a real name: clients may have written to it.
    CutOver,
}

/// A member with what is shown of it.
pub(super) struct Found<'a> {
    pub(super) member: &'a Member,
    pub(super) old: &'a DbInstance,
    pub(super) new: Option<&'a DbInstance>,
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
                planned.notes = stays(facts, migration);
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
    let none = Region::default();
    let region = facts.regions.get(&migration.region).unwrap_or(&none);
    if let Some(planned) = &migration.cluster {
        return cluster::rollback(facts, options, region, migration, planned);
    }
    let found = migration
        .members()
        .map(|member| find(facts, region, migration, member))
        .collect::<Result<Vec<_>, _>>()?;
    let stage = stage(facts, migration, &found);
    let mut steps = Steps::of(&facts.name);
    // While there is a deployment, its instances are RDS's to name and to delete.
    let mut needs = match migration.method {
        Method::BlueGreen => blue_green::take_apart(facts, region, migration, &found, &mut steps),
        Method::Cold | Method::Replica => Vec::new(),
    };
    if stage == Stage::CutOver {
        let with_writes = follows_back(facts, migration) && !accepts;
        needs = if with_writes {
            back_with_writes(facts, migration, &found, &mut steps)?
        } else {
            back_from_cutover(facts, migration, &found, accepts, &needs, &mut steps)?
        };
        if with_writes || may_follow(facts, migration) {
            needs = vec![steps.push(
                "detach",
                &needs,
                SHORT,
                Action::Detach {
                    replica: Target::Old(migration.source.dbi_resource_id.clone()),
                },
            )];
        }
    }
    let mut attached = Vec::new();
    if stage != Stage::Untouched {
        let mut back = needs.clone();
        for Found { member, old, .. } in &found {
            if old.identifier() != member.identifier.as_str() {
                back.push(steps.push(
                    &format!("name-back:{}", member.identifier),
                    &needs,
                    LONG,
                    Action::NameBack {
                        instance: Target::Old(member.dbi_resource_id.clone()),
                        from: name_now(old)?,
                        to: member.identifier.clone(),
                    },
                ));
            }
        }
        needs = vec![steps.push("returned", &back, SHORT, Action::Returned)];
        attached = reattached(migration, &needs, &mut steps);
    }
    // What was written since the cutover is nowhere else.
    let has_writes = stage == Stage::CutOver && accepts;
    if !options.keep_copies && !has_writes {
        needs = copies(facts, region, migration, &found, needs, &mut steps)?;
    }
    needs = replication(facts, migration, needs, &mut steps);
    // Every change before asks for the claim.
    needs.extend(attached);
    release(migration, &needs, &mut steps);
    Ok(steps.steps)
}

/// The name of an instance now: RDS numbers those that it gives.
pub(super) fn name_now(instance: &DbInstance) -> Result<DbInstanceIdentifier, Refusal> {
    DbInstanceIdentifier::try_from(instance.identifier())
        .map_err(|error| Refusal::new(error.to_string(), ""))
}

/// Looks a member up on both sides, and refuses what nobody has planned.
pub(super) fn find<'a>(
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
    if old.identifier() != name.as_str() && !is_old_name(migration, member, old.identifier()) {
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
        // RDS makes the green side without our tags; until they are set, the deployment tells which it is.
        [] => blue_green::counterpart(region, migration, old),
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
        && !is_new_name(migration, member, new.identifier())
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

pub(super) fn stage(facts: &Facts<'_>, migration: &Migration, found: &[Found<'_>]) -> Stage {
    // What the journal has done counts although the name is gone again: a rollback may have begun before.
    let was_cut_over = migration.steps.iter().any(|step| {
        step.action.is_cutover() && facts.status(&migration.id, &step.id) == StepStatus::Done
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

/// Who depends on the names finds the old instances behind them again. Gives the last of these steps.
fn reattached(migration: &Migration, needs: &[String], steps: &mut Steps) -> Vec<String> {
    let mut needs = needs.to_vec();
    for step in &migration.steps {
        let mut action = step.action.clone();
        let (Action::DeregisterProxyTarget { instance, .. }
        | Action::RegisterProxyTarget { instance, .. }
        | Action::Subscription { instance, .. }) = &mut action
        else {
            // Replicated backups stay with the resource id.
            continue;
        };
        let made = |member: &&Member| *instance == Target::MadeBy(member.made_by.clone());
        let Some(member) = migration.members().find(made) else {
            continue;
        };
        *instance = Target::Old(member.dbi_resource_id.clone());
        needs = vec![steps.push(&step.id, &needs, SHORT, action)];
    }
    needs
}

/// The new side gives the real names up, between two proofs that nobody has written to it. Gives what the renames of the
/// old side need.
fn back_from_cutover(
    facts: &Facts<'_>,
    migration: &Migration,
    found: &[Found<'_>],
    loss_accepted: bool,
    needs: &[String],
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
    let first = steps.push("unwritten", needs, data, proof(None));
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
    let mut needs = demoted;
    if !loss_accepted {
        // A client may have come between the proof and the rename.
        needs = vec![steps.push("still-unwritten", &needs, data, proof(Some(first)))];
    }
    Ok(needs)
}

/// Whether the old instance follows its successor: then it has every write since the cutover.
fn follows_back(facts: &Facts<'_>, migration: &Migration) -> bool {
    let is = |step: &str, status: StepStatus| facts.status(&migration.id, step) == status;
    is("way-back", StepStatus::Done) && is("end-way-back", StepStatus::Pending)
}

/// The account that the replica method has made.
fn account(migration: &Migration) -> Option<&str> {
    migration.steps.iter().find_map(|step| match &step.action {
        Action::ReplicationAccount { account, .. } => Some(account.as_str()),
        _ => None,
    })
}

/// The new side gives the real names up, and the old one applies the last of what was written there: nothing is lost.
/// Gives what the renames of the old side need.
fn back_with_writes(
    facts: &Facts<'_>,
    migration: &Migration,
    found: &[Found<'_>],
    steps: &mut Steps,
) -> Result<Vec<String>, Refusal> {
    if !facts.asks {
        return Err(Refusal::new(
            format!(
                "what was written since the cutover comes back through the server of {}, which is not asked",
                migration.source.identifier
            ),
            "give the login of the servers: the replication is ended through it",
        ));
    }
    let (Some(new), Some(account)) = (found.first().and_then(|f| f.new), account(migration)) else {
        return Err(Refusal::new(
            "the encrypted instance is gone, and with it what was written since the cutover",
            "--accept-data-loss goes back to what the old instance has",
        ));
    };
    let old = Target::Old(migration.source.dbi_resource_id.clone());
    let new = Target::Old(new.dbi_resource_id().to_owned());
    let gate = Action::CatchUp {
        source: new.clone(),
        replica: old.clone(),
    };
    let needs = vec![steps.push("lag-gate", &[], SHORT, gate)];
    let mut away = needs.clone();
    for f in found {
        let Some(new) = f.new else { continue };
        if new.identifier() == f.member.identifier.as_str() {
            away.push(steps.push(
                &format!("name-away:{}", f.member.identifier),
                &needs,
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
    let quiesce = Action::Quiesce {
        instance: new.clone(),
        // What is written in spite of it is still replicated.
        window_seconds: 2,
        kill_connections: false,
    };
    let needs = vec![steps.push("quiesce", &away, SHORT, quiesce)];
    let follow = Action::Replicate {
        source: new.clone(),
        replica: old.clone(),
        held_by: None,
        account: account.to_owned(),
    };
    let needs = vec![steps.push("follow", &needs, SHORT, follow)];
    let last = Action::FinalPosition {
        source: new,
        replica: old,
    };
    let needs = vec![steps.push("final-position", &needs, SHORT, last)];
    Ok(needs)
}

/// Whether the old source may replicate from the new one, and is to follow nobody once it has its name back.
fn may_follow(facts: &Facts<'_>, migration: &Migration) -> bool {
    let old = Target::Old(migration.source.dbi_resource_id.clone());
    let any = |wanted: &dyn Fn(&Step) -> bool| migration.steps.iter().any(wanted);
    let began = any(&|step| {
        matches!(&step.action, Action::Replicate { replica, .. } if *replica == old)
            && may_be_done(facts, migration, step)
    });
    let ended = any(&|step| {
        matches!(&step.action, Action::Detach { replica } if *replica == old)
            && facts.status(&migration.id, &step.id) == StepStatus::Done
    });
    began && !ended
}

/// What the migration has made goes: replicas before what they replicate from, instances before snapshots.
pub(super) fn copies(
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
        if new.identifier() == f.member.identifier.as_str()
            && let Some(document) = removed.document.as_object_mut()
        {
            document.insert(
                "DBInstanceIdentifier".to_owned(),
                f.member.new_name.as_str().into(),
            );
        }
        needs = vec![remove(steps, &removed, &needs, tags, true)?];
    }
    for step in &migration.steps {
        if !matches!(step.action, Action::TemporaryReplica { .. }) {
            continue;
        }
        // It is a replica of the old source, and unencrypted like it.
        let tags = tags_of_step(facts.plan, migration, &step.id);
        for temporary in region.made_by(&tags) {
            let name = temporary.identifier();
            if temporary.replica_source().is_none() {
                return Err(Refusal::new(
                    format!("{name} bears the tags of {} and is no replica", step.id),
                    "see who promoted it, or keep it with --keep-copies",
                ));
            }
            needs = vec![remove(steps, temporary, &needs, tags.clone(), false)?];
        }
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

/// Whether a step may have done something.
fn may_be_done(facts: &Facts<'_>, migration: &Migration, step: &Step) -> bool {
    facts.adopted || facts.status(&migration.id, &step.id) != StepStatus::Pending
}

/// What the replica method has changed on the source is as it was: after its copies, which replicate by it.
fn replication(
    facts: &Facts<'_>,
    migration: &Migration,
    needs: Vec<String>,
    steps: &mut Steps,
) -> Vec<String> {
    let mut needs = needs;
    let instances = vec![Target::Old(migration.source.dbi_resource_id.clone())];
    for step in migration.steps.iter().rev() {
        if !facts.asks || !may_be_done(facts, migration, step) {
            continue;
        }
        let (id, action) = match &step.action {
            Action::ReplicationAccount { account, .. } => (
                "remove-account",
                Action::RemoveAccount {
                    instances: instances.clone(),
                    account: account.clone(),
                },
            ),
            Action::RaiseRetention { .. } => (
                "restore-retention",
                Action::RestoreRetention {
                    instances: instances.clone(),
                    raised_by: step.id.clone(),
                },
            ),
            _ => continue,
        };
        needs = vec![steps.push(id, &needs, SHORT, action)];
    }
    needs
}

/// What stays on the source where its server is not asked.
fn stays(facts: &Facts<'_>, migration: &Migration) -> Vec<String> {
    let name = &migration.source.identifier;
    let steps = migration.steps.iter();
    steps
        .filter(|step| !facts.asks && may_be_done(facts, migration, step))
        .filter_map(|step| match &step.action {
            Action::ReplicationAccount { account, .. } => Some(format!(
                "the account {account} stays on {name}: its server is not asked"
            )),
            Action::RaiseRetention { .. } => Some(format!(
                "the binlog retention of {name} stays raised: its server is not asked"
            )),
            _ => None,
        })
        .collect()
}
