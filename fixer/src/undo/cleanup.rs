//! After the soak: what is superseded goes, and nothing unencrypted stays.

use std::collections::BTreeSet;
use std::time::Duration;

use atrest_model::document::{hex, str_of};
use atrest_model::instance::{DbInstance, Encryption};
use atrest_model::phase::{Phase, PhaseKind};
use atrest_model::plan::{Action, Member, Migration, Step, TAG_RUN, Target};
use serde_json::Value;
use sha2::Digest as _;

use super::blue_green::is_old_name;
use super::{
    Facts, Refusal, Region, SHORT, Steps, cluster, is_done, remove, remove_snapshots, tags_of_step,
};
use crate::planner::data_deadline;

/// What the operator chooses.
#[derive(Debug, Clone)]
pub struct CleanupOptions {
    /// Ids of the migrations; `None` is all.
    pub wanted: Option<BTreeSet<String>>,
    /// Time that must have passed since the cutover.
    pub min_soak: Duration,
    /// Keep an encrypted copy of the last data of the old source.
    pub final_snapshot: bool,
    /// Also delete the encrypted copy that the new instance was restored from.
    pub delete_encrypted_copy: bool,
}

/// Plans the cleanup. What is not proven superseded is left alone, with the reason.
#[must_use]
pub fn plan(facts: &Facts<'_>, options: &CleanupOptions) -> Phase {
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
                planned.notes = left_behind(facts, migration, &steps);
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
    options: &CleanupOptions,
    migration: &Migration,
) -> Result<Vec<Step>, Refusal> {
    match facts.phases.get(&migration.id) {
        Some((PhaseKind::Cleanup, true)) => {
            return Err(Refusal::new("it is cleaned up already", ""));
        }
        Some((PhaseKind::Cleanup, false)) => {
            return Err(Refusal::new(
                "a cleanup of it has begun",
                "the same command goes on with it",
            ));
        }
        Some((PhaseKind::Rollback, _)) => {
            return Err(Refusal::new(
                "it was rolled back: its old instances are the ones in use",
                "migrate it with a new plan",
            ));
        }
        None => {}
    }
    if super::is_multi_az(migration) {
        return Err(Refusal::new(
            "an old Multi-AZ DB cluster is not removed in this version",
            "delete it by hand, with a last snapshot",
        ));
    }
    soaked(facts, options, migration)?;
    let none = Region::default();
    let region = facts.regions.get(&migration.region).unwrap_or(&none);
    let olds = migration
        .members()
        .map(|member| superseded(facts, region, migration, member))
        .collect::<Result<Vec<_>, _>>()?;
    let Some(source) = olds.first() else {
        return Err(Refusal::new("it has no members", ""));
    };
    if let Some(planned) = &migration.cluster {
        return cluster::cleanup(facts, options, region, migration, planned, &olds);
    }
    if options.final_snapshot && !source.is_ready() {
        return Err(Refusal::new(
            format!(
                "{} is {}, and RDS takes snapshots of available instances only",
                source.identifier(),
                source.status()
            ),
            "start it, or go without with --no-final-snapshot",
        ));
    }
    Ok(steps(facts, options, migration, region, &olds)?.steps)
}

/// Unencrypted snapshots of the old instances that are not the run's: nobody but their owner knows whether they may go.
fn left_behind(facts: &Facts<'_>, migration: &Migration, steps: &[Step]) -> Vec<String> {
    let Some(region) = facts.regions.get(&migration.region) else {
        return Vec::new();
    };
    let goes = |name: &str| {
        steps.iter().any(
            |step| matches!(&step.action, Action::DeleteSnapshot { snapshot, .. } if snapshot == name),
        )
    };
    let is_old = |snapshot: &&Value| {
        let id = str_of(snapshot, "DbiResourceId");
        migration
            .members()
            .any(|member| id == Some(member.dbi_resource_id.as_str()))
    };
    region
        .snapshots
        .iter()
        .filter(is_old)
        .filter(|snapshot| Encryption::of(snapshot) == Encryption::None)
        .filter_map(|snapshot| str_of(snapshot, "DBSnapshotIdentifier"))
        .filter(|name| !goes(name))
        .map(|name| format!("snapshot {name} stays: it is not encrypted, and not of this run"))
        .collect()
}

/// Migrated and validated, and long enough ago.
fn soaked(
    facts: &Facts<'_>,
    options: &CleanupOptions,
    migration: &Migration,
) -> Result<(), Refusal> {
    let none = std::collections::BTreeMap::new();
    let records = facts.records.get(&migration.id).unwrap_or(&none);
    let is_validated = migration.steps.iter().any(|s| s.action == Action::Validate);
    if !is_validated || !is_done(migration, records) {
        return Err(Refusal::new(
            "it is not proven migrated: not every step of it is done",
            "finish it with `atrest fix --resume RUN`, or go back with `atrest rollback RUN`",
        ));
    }
    let cut_over = migration
        .steps
        .iter()
        .filter(|step| step.action.is_cutover())
        .filter_map(|step| records.get(&step.id))
        .map(|record| record.changed_at)
        .max();
    let Some(cut_over) = cut_over else {
        return Err(Refusal::new("it has no cutover", ""));
    };
    // A clock that was set back makes this negative: then nothing is proven.
    let soak = facts.now.duration_since(cut_over);
    let wanted =
        jiff::SignedDuration::try_from(options.min_soak).unwrap_or(jiff::SignedDuration::MAX);
    if soak < wanted {
        return Err(Refusal::new(
            format!(
                "its cutover was {}, less than {} ago",
                format_args!("{cut_over:.0}"),
                hours(options.min_soak)
            ),
            "wait, or say with --min-soak how long is enough",
        ));
    }
    Ok(())
}

fn hours(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        s if s >= 86_400 && s % 86_400 == 0 => format!("{} days", s / 86_400),
        s if s >= 3600 => format!("{} hours", s / 3600),
        s => format!("{s} seconds"),
    }
}

/// The old instance of a member, if what is shown proves that another has taken its place.
fn superseded<'a>(
    facts: &Facts<'_>,
    region: &'a Region,
    migration: &Migration,
    member: &Member,
) -> Result<&'a DbInstance, Refusal> {
    let (name, old_name) = (&member.identifier, &member.old_name);
    let refuse = |reason: String, hint: &str| Err(Refusal::new(reason, hint));
    let Some(old) = region.by_resource_id(&member.dbi_resource_id) else {
        let taken = region
            .instances
            .iter()
            .find(|i| i.identifier() == old_name.as_str());
        return match taken {
            Some(other) => refuse(
                format!(
                    "{old_name} is {}, not {} as in the plan: it is another instance",
                    other.dbi_resource_id(),
                    member.dbi_resource_id
                ),
                "it is not touched; see who made it",
            ),
            None => refuse(
                format!("{old_name} ({}) is gone already", member.dbi_resource_id),
                "somebody deleted it; delete the snapshots of the run by hand, `atrest status RUN --journal` names them",
            ),
        };
    };
    if !is_old_name(migration, member, old.identifier()) {
        return refuse(
            format!(
                "the old {name} is called {} now, not {old_name}",
                old.identifier()
            ),
            "somebody may use it; give it its name again if it is to go",
        );
    }
    if old.encryption() != Encryption::None {
        return refuse(
            format!("{old_name} is {} now", old.encryption().as_str()),
            "it is not what the run left behind",
        );
    }
    if old.tags().get(TAG_RUN) != Some(&facts.plan.run.as_str()) {
        return refuse(
            format!("{old_name} does not bear the tag of this run"),
            "nothing that is not tagged is deleted; see who took the tag off",
        );
    }
    let tags = tags_of_step(facts.plan, migration, &member.made_by);
    let made = region.made_by(&tags);
    let [new] = made.as_slice() else {
        return refuse(
            format!(
                "{} instances bear the tags of {}",
                made.len(),
                member.made_by
            ),
            "exactly one must have taken the place of the old one",
        );
    };
    let journal = facts
        .records
        .get(&migration.id)
        .and_then(|records| records.get(&member.made_by))
        .and_then(|record| record.result.get("dbi_resource_id")?.as_str());
    if journal != Some(new.dbi_resource_id()) {
        return refuse(
            format!("the encrypted {name} is not the one the run has made"),
            "compare its resource id with the journal",
        );
    }
    if new.identifier() != name.as_str() || !new.is_ready() {
        return refuse(
            format!("{} is {}", new.identifier(), new.status()),
            "the encrypted instance must have the real name and be available",
        );
    }
    if new.encryption().is_encrypted() != Some(true) {
        return refuse(
            format!("{name} is not encrypted"),
            "nothing has superseded the old one",
        );
    }
    Ok(old)
}

/// Name of the last snapshot of an old source: a function of its resource id, like those of the migration.
pub(super) fn final_name(dbi_resource_id: &str, suffix: &str) -> String {
    let mut hash = hex(&sha2::Sha256::digest(dbi_resource_id.as_bytes()));
    hash.truncate(20);
    format!("atrest-{hash}-final-{suffix}")
}

fn steps(
    facts: &Facts<'_>,
    options: &CleanupOptions,
    migration: &Migration,
    region: &Region,
    olds: &[&DbInstance],
) -> Result<Steps, Refusal> {
    let mut steps = Steps::of(&facts.name);
    let source = &migration.source;
    let data = data_deadline(migration.allocated_storage);
    let unused = || Action::Unused {
        instances: migration
            .members()
            .map(|member| Target::Old(member.dbi_resource_id.clone()))
            .collect(),
    };
    let mut needs = vec![steps.push("unused", &[], SHORT, unused())];
    let mut plain = None;
    if options.final_snapshot {
        let (raw, kms) = (
            final_name(&source.dbi_resource_id, "raw"),
            final_name(&source.dbi_resource_id, "kms"),
        );
        let id = steps.id("final-snapshot");
        let tags = tags_of_step(facts.plan, migration, &id);
        plain = Some(Action::DeleteSnapshot {
            snapshot: raw.clone(),
            of: Target::Old(source.dbi_resource_id.clone()),
            tags: tags.clone(),
        });
        let action = Action::Snapshot {
            instance: Target::Old(source.dbi_resource_id.clone()),
            snapshot: raw.clone(),
            tags,
        };
        needs = vec![steps.push("final-snapshot", &needs, data, action)];
        let action = Action::EncryptedCopy {
            source_snapshot: raw,
            snapshot: kms,
            kms_key_id: migration.kms_key_id.clone(),
            tags: tags_of_step(facts.plan, migration, &steps.id("final-copy")),
        };
        needs = vec![steps.push("final-copy", &needs, data, action)];
        // Hours may have passed.
        needs = vec![steps.push("still-unused", &needs, SHORT, unused())];
    }
    // Replicas first: deleting a source makes its replicas instances of their own.
    let tags = vec![(TAG_RUN.to_owned(), facts.plan.run.to_string())];
    for old in olds.iter().rev() {
        needs = vec![remove(&mut steps, old, &needs, tags.clone(), false)?];
    }
    let mut last = Vec::new();
    for member in migration.members() {
        let action = Action::DeleteAutomatedBackup {
            dbi_resource_id: member.dbi_resource_id.clone(),
        };
        last.push(steps.push(
            &format!("backups:{}", member.identifier),
            &needs,
            SHORT,
            action,
        ));
    }
    if let Some(action) = plain {
        needs = vec![steps.push("delete-final-snapshot", &needs, SHORT, action)];
    }
    remove_snapshots(
        facts,
        region,
        migration,
        &needs,
        |action| match action {
            Action::EncryptedCopy { .. } => options.delete_encrypted_copy,
            _ => true,
        },
        &mut steps,
    );
    Ok(steps)
}
