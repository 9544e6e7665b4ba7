//! The way back and the end of a cluster: its members are instances, the rest is the cluster's.
//!
//! What is written to Aurora since the cutover is not read: a rollback after it goes only where the operator gives that up.

use atrest_model::document::str_of;
use atrest_model::id::DbInstanceIdentifier;
use atrest_model::instance::{DbCluster, DbInstance, Encryption, tags_of};
use atrest_model::journal::StepStatus;
use atrest_model::plan::{
    Action, ClusterMember, Migration, Plan, Step, TAG_CLAIM, TAG_RUN, TAG_SOURCE, TAG_STEP, Target,
};
use serde_json::{Map, Value, json};

use super::cleanup::{CleanupOptions, final_name};
use super::rollback::{Found, RollbackOptions, Stage, find, stage};
use super::settle::Trace;
use super::{
    Facts, LONG, Refusal, Region, SHORT, Steps, is_multi_az, is_ours, release, remove, tags_of_step,
};
use crate::fault::class_of_status;
use crate::observatory::RegionView;
use crate::planner::data_deadline;

/// Step of a migration whose result is the encrypted cluster.
const RESTORE: &str = "restore-cluster";

/// Both clusters of a migration.
struct Clusters<'a> {
    old: &'a DbCluster,
    new: Option<&'a DbCluster>,
}

/// Looks the clusters up, and refuses what nobody has planned.
fn clusters<'a>(
    facts: &Facts<'_>,
    region: &'a Region,
    migration: &Migration,
    planned: &ClusterMember,
) -> Result<Clusters<'a>, Refusal> {
    let name = &planned.identifier;
    let id = planned.db_cluster_resource_id.as_str();
    let Some(old) = region.clusters.iter().find(|c| c.resource_id() == id) else {
        return Err(Refusal::new(
            format!("the old cluster {name} ({id}) is gone: there is no way back"),
            "the encrypted cluster, a snapshot or a retained backup is what is left",
        ));
    };
    let run = facts.plan.run.as_str();
    if let Some(other) = old.tags().get(TAG_RUN).filter(|other| **other != run) {
        return Err(Refusal::new(
            format!("{} is claimed by run {other}", old.identifier()),
            format!("roll run {other} back first"),
        ));
    }
    let tags = tags_of_step(facts.plan, migration, RESTORE);
    let made: Vec<&DbCluster> = region
        .clusters
        .iter()
        .filter(|cluster| is_ours(&cluster.document, &tags))
        .collect();
    let new = match made.as_slice() {
        [] => None,
        [one] => Some(*one),
        [_, _, ..] => {
            let names: Vec<&str> = made.iter().map(|c| c.identifier()).collect();
            return Err(Refusal::new(
                format!(
                    "several clusters bear the tags of {RESTORE}: {}",
                    names.join(", ")
                ),
                "delete those that are not wanted",
            ));
        }
    };
    for (which, found, interim) in [
        ("old", Some(old), &planned.old_name),
        ("encrypted", new, &planned.new_name),
    ] {
        let Some(found) = found else { continue };
        let shown = found.identifier();
        if shown != name.as_str() && shown != interim.as_str() {
            return Err(Refusal::new(
                format!(
                    "the {which} cluster {name} is called {shown} now, neither {name} nor {interim}"
                ),
                format!("somebody renamed it; call it {interim} again"),
            ));
        }
    }
    Ok(Clusters { old, new })
}

/// The steps of a rollback.
pub(super) fn rollback(
    facts: &Facts<'_>,
    options: &RollbackOptions,
    region: &Region,
    migration: &Migration,
    planned: &ClusterMember,
) -> Result<Vec<Step>, Refusal> {
    if is_multi_az(migration) {
        return Err(Refusal::new(
            "a Multi-AZ DB cluster has no rollback in this version",
            "go back by hand: `atrest status RUN --journal` tells what was done",
        ));
    }
    let accepts = options.accept_data_loss.contains(&migration.id);
    let of = clusters(facts, region, migration, planned)?;
    let found = migration
        .members()
        .map(|member| find(facts, region, migration, member))
        .collect::<Result<Vec<_>, _>>()?;
    let stage = stage_of(facts, migration, planned, &of, &found);
    let mut steps = Steps::of(&facts.name);
    let mut needs = Vec::new();
    if stage == Stage::CutOver {
        needs = names_away(migration, planned, &of, &found, accepts, &mut steps)?;
    }
    if stage != Stage::Untouched {
        needs = names_back(planned, &of, &found, &needs, &mut steps);
    }
    // What was written since the cutover is nowhere else.
    let has_writes = stage == Stage::CutOver && accepts;
    if !options.keep_copies && !has_writes {
        needs = copies(
            facts, region, migration, planned, &of, &found, needs, &mut steps,
        )?;
    }
    needs = vec![steps.push(
        "release-cluster",
        &needs,
        SHORT,
        Action::ReleaseCluster {
            cluster: Target::Old(planned.db_cluster_resource_id.clone()),
            keys: vec![TAG_RUN.to_owned(), TAG_CLAIM.to_owned()],
        },
    )];
    release(migration, &needs, &mut steps);
    Ok(steps.steps)
}

/// As for instances, and the cluster's own name counts too.
fn stage_of(
    facts: &Facts<'_>,
    migration: &Migration,
    planned: &ClusterMember,
    of: &Clusters<'_>,
    found: &[Found<'_>],
) -> Stage {
    let real = planned.identifier.as_str();
    match stage(facts, migration, found) {
        Stage::CutOver => Stage::CutOver,
        _ if of.new.is_some_and(|new| new.identifier() == real) => Stage::CutOver,
        Stage::Untouched if of.old.identifier() != real => Stage::Quiesced,
        other => other,
    }
}

/// The encrypted side gives the real names up. Nothing can be proven of what clients have written to it.
fn names_away(
    migration: &Migration,
    planned: &ClusterMember,
    of: &Clusters<'_>,
    found: &[Found<'_>],
    loss_accepted: bool,
    steps: &mut Steps,
) -> Result<Vec<String>, Refusal> {
    let name = &planned.identifier;
    let source = &migration.source.identifier;
    if !loss_accepted {
        return Err(Refusal::new(
            format!(
                "clients may have written to cluster {name} since the cutover, and rows of {} are not compared",
                migration.engine
            ),
            format!(
                "find out by other means; --accept-data-loss {source} goes back and gives up what was written since"
            ),
        ));
    }
    let told = Action::Unwritten {
        pairs: Vec::new(),
        after: None,
        loss_accepted,
    };
    let first = steps.push("unwritten", &[], SHORT, told);
    let mut needs = vec![first];
    if let Some(new) = of.new.filter(|new| new.identifier() == name.as_str()) {
        let away = Action::ClusterNameBack {
            cluster: Target::Old(new.resource_id().to_owned()),
            from: name.clone(),
            to: planned.new_name.clone(),
        };
        needs = vec![steps.push("name-away-cluster", &needs, LONG, away)];
    }
    let before = needs.clone();
    for f in found {
        let Some(new) = f.new else { continue };
        if new.identifier() == f.member.identifier.as_str() {
            let away = Action::Rename {
                instance: Target::Old(new.dbi_resource_id().to_owned()),
                from: f.member.identifier.clone(),
                to: f.member.new_name.clone(),
                cutover: false,
            };
            let id = format!("name-away:{}", f.member.identifier);
            needs.push(steps.push(&id, &before, LONG, away));
        }
    }
    Ok(needs)
}

/// The old cluster and its members get their real names, the cluster first.
fn names_back(
    planned: &ClusterMember,
    of: &Clusters<'_>,
    found: &[Found<'_>],
    needs: &[String],
    steps: &mut Steps,
) -> Vec<String> {
    let mut needs = needs.to_vec();
    if of.old.identifier() == planned.old_name.as_str() {
        let back = Action::ClusterNameBack {
            cluster: Target::Old(planned.db_cluster_resource_id.clone()),
            from: planned.old_name.clone(),
            to: planned.identifier.clone(),
        };
        needs = vec![steps.push("name-back-cluster", &needs, LONG, back)];
    }
    let mut back = needs.clone();
    for Found { member, old, .. } in found {
        if old.identifier() == member.old_name.as_str() {
            let action = Action::NameBack {
                instance: Target::Old(member.dbi_resource_id.clone()),
                from: member.old_name.clone(),
                to: member.identifier.clone(),
            };
            let id = format!("name-back:{}", member.identifier);
            back.push(steps.push(&id, &needs, LONG, action));
        }
    }
    vec![steps.push("returned", &back, SHORT, Action::Returned)]
}

/// What the migration has made goes: members before their cluster, readers before the writer, and the snapshot last.
#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one decision, taken once"
)]
fn copies(
    facts: &Facts<'_>,
    region: &Region,
    migration: &Migration,
    planned: &ClusterMember,
    of: &Clusters<'_>,
    found: &[Found<'_>],
    needs: Vec<String>,
    steps: &mut Steps,
) -> Result<Vec<String>, Refusal> {
    let mut needs = needs;
    for f in found.iter().rev() {
        let Some(new) = f.new else { continue };
        encrypted(new.identifier(), new.encryption())?;
        let tags = tags_of_step(facts.plan, migration, &f.member.made_by);
        // By then it has its interim name.
        let removed = named(new, f.member.new_name.as_str());
        needs = vec![remove(steps, &removed, &needs, tags, true)?];
    }
    if let Some(new) = of.new {
        encrypted(new.identifier(), new.encryption())?;
        let tags = tags_of_step(facts.plan, migration, RESTORE);
        needs = remove_cluster(steps, new, &planned.new_name, &needs, tags, true);
    }
    Ok(remove_snapshots(facts, region, migration, &needs, steps))
}

fn encrypted(name: &str, encryption: Encryption) -> Result<(), Refusal> {
    if encryption.is_encrypted() == Some(true) {
        return Ok(());
    }
    Err(Refusal::new(
        format!("{name} bears the tags of this run and is not encrypted"),
        "it is not what the run made; see who did, or keep it with --keep-copies",
    ))
}

/// The same instance under another name.
fn named(instance: &DbInstance, name: &str) -> DbInstance {
    let mut renamed = instance.clone();
    if let Some(document) = renamed.document.as_object_mut() {
        document.insert("DBInstanceIdentifier".to_owned(), name.into());
    }
    renamed
}

/// Takes deletion protection off, where it is on, and deletes the cluster, whose members went before.
fn remove_cluster(
    steps: &mut Steps,
    cluster: &DbCluster,
    name: &DbInstanceIdentifier,
    needs: &[String],
    tags: Vec<(String, String)>,
    encrypted: bool,
) -> Vec<String> {
    let target = Target::Old(cluster.resource_id().to_owned());
    let mut needs = needs.to_vec();
    if cluster.document.get("DeletionProtection") == Some(&Value::Bool(true)) {
        let action = Action::UnprotectCluster {
            cluster: target.clone(),
        };
        needs = vec![steps.push("unprotect-cluster", &needs, SHORT, action)];
    }
    let action = Action::DeleteCluster {
        cluster: target,
        name: name.clone(),
        tags,
        encrypted,
    };
    vec![steps.push("delete-cluster", &needs, LONG, action)]
}

/// Deletes the cluster snapshot that the migration has made and RDS shows.
fn remove_snapshots(
    facts: &Facts<'_>,
    region: &Region,
    migration: &Migration,
    needs: &[String],
    steps: &mut Steps,
) -> Vec<String> {
    let mut needs = needs.to_vec();
    for step in &migration.steps {
        let Action::ClusterSnapshot { snapshot, .. } = &step.action else {
            continue;
        };
        let tags = tags_of_step(facts.plan, migration, &step.id);
        let shown = region.cluster_snapshots.iter().find(|found| {
            str_of(found, "DBClusterSnapshotIdentifier") == Some(snapshot.as_str())
                && is_ours(found, &tags)
        });
        let Some(of) = shown.and_then(|shown| str_of(shown, "DbClusterResourceId")) else {
            continue;
        };
        let action = Action::DeleteClusterSnapshot {
            snapshot: snapshot.clone(),
            of: Target::Old(of.to_owned()),
            tags,
        };
        needs = vec![steps.push(&format!("delete-{}", step.id), &needs, LONG, action)];
    }
    needs
}

/// The steps of a cleanup, of a migration whose members are proven superseded: `olds`, the writer first.
pub(super) fn cleanup(
    facts: &Facts<'_>,
    options: &CleanupOptions,
    region: &Region,
    migration: &Migration,
    planned: &ClusterMember,
    olds: &[&DbInstance],
) -> Result<Vec<Step>, Refusal> {
    let old = superseded(facts, region, migration, planned)?;
    if options.final_snapshot && !old.is_ready() {
        return Err(Refusal::new(
            format!(
                "{} is {}, and RDS takes snapshots of available clusters only",
                old.identifier(),
                old.status()
            ),
            "start it, or go without with --no-final-snapshot",
        ));
    }
    let mut steps = Steps::of(&facts.name);
    let unused = || Action::Unused {
        instances: migration
            .members()
            .map(|member| Target::Old(member.dbi_resource_id.clone()))
            .collect(),
    };
    let mut needs = vec![steps.push("unused", &[], SHORT, unused())];
    let mut plain = None;
    if options.final_snapshot {
        let (after, action) = last_data(facts, migration, planned, &needs, &mut steps)?;
        plain = Some(action);
        // Hours may have passed.
        needs = vec![steps.push("still-unused", &after, SHORT, unused())];
    }
    let tags = vec![(TAG_RUN.to_owned(), facts.plan.run.to_string())];
    for old in olds.iter().rev() {
        needs = vec![remove(&mut steps, old, &needs, tags.clone(), false)?];
    }
    needs = remove_cluster(&mut steps, old, &planned.old_name, &needs, tags, false);
    if let Some(action) = plain {
        needs = vec![steps.push("delete-final-snapshot", &needs, SHORT, action)];
    }
    remove_snapshots(facts, region, migration, &needs, &mut steps);
    Ok(steps.steps)
}

/// The last data of the old cluster, encrypted: RDS makes no encrypted copy of a cluster snapshot, and encrypts at a
/// restore. So a cluster without DB instances is restored with the key, snapshotted, and removed again. Gives what comes
/// next needs, and what is to be done with the unencrypted snapshot.
fn last_data(
    facts: &Facts<'_>,
    migration: &Migration,
    planned: &ClusterMember,
    needs: &[String],
    steps: &mut Steps,
) -> Result<(Vec<String>, Action), Refusal> {
    let id = planned.db_cluster_resource_id.as_str();
    let (raw, kms) = (final_name(id, "raw"), final_name(id, "kms"));
    let data = data_deadline(migration.allocated_storage);
    let name = DbInstanceIdentifier::try_from(final_name(id, "cluster"))
        .map_err(|error| Refusal::new(error.to_string(), ""))?;
    let restored = migration.steps.iter().find_map(|step| match &step.action {
        Action::RestoreCluster { request, .. } => Some(request),
        _ => None,
    });
    let Some(restored) = restored else {
        return Err(Refusal::new("its plan restores no cluster", ""));
    };
    let of_step = |id: &str| tags_of_step(facts.plan, migration, id);
    let raw_tags = of_step(&steps.id("final-snapshot"));
    let snapshot = Action::ClusterSnapshot {
        snapshot: raw.clone(),
        tags: raw_tags.clone(),
    };
    let last = steps.push("final-snapshot", needs, data, snapshot);
    let cluster_id = steps.id("final-cluster");
    let cluster_tags = of_step(&cluster_id);
    let restore = Action::RestoreCluster {
        snapshot: raw.clone(),
        name: name.clone(),
        request: for_a_moment(restored, &cluster_tags),
    };
    let last = steps.push("final-cluster", &[last], data, restore);
    let made = Target::MadeBy(cluster_id);
    let copy = Action::EncryptedClusterSnapshot {
        cluster: made.clone(),
        snapshot: kms,
        kms_key_id: migration.kms_key_id.clone(),
        tags: of_step(&steps.id("final-copy")),
    };
    let last = steps.push("final-copy", &[last], data, copy);
    let delete = Action::DeleteCluster {
        cluster: made,
        name,
        tags: cluster_tags,
        encrypted: true,
    };
    let last = steps.push("delete-final-cluster", &[last], LONG, delete);
    let plain = Action::DeleteClusterSnapshot {
        snapshot: raw,
        of: Target::Old(id.to_owned()),
        tags: raw_tags,
    };
    Ok((vec![last], plain))
}

/// The arguments of the restore, for a cluster that nobody connects to: where it lies and its key stay, it is not
/// protected, sends no logs, and bears our tags only.
fn for_a_moment(request: &Map<String, Value>, tags: &[(String, String)]) -> Map<String, Value> {
    let mut request = request.clone();
    for name in ["EnableCloudwatchLogsExports", "BacktrackWindow"] {
        request.remove(name);
    }
    request.insert("DeletionProtection".to_owned(), Value::Bool(false));
    let tags: Value = tags
        .iter()
        .map(|(key, value)| json!({"Key": key, "Value": value}))
        .collect();
    request.insert("Tags".to_owned(), tags);
    request
}

/// The old cluster, if what is shown proves that another has taken its place.
fn superseded<'a>(
    facts: &Facts<'_>,
    region: &'a Region,
    migration: &Migration,
    planned: &ClusterMember,
) -> Result<&'a DbCluster, Refusal> {
    let Clusters { old, new } = clusters(facts, region, migration, planned)?;
    let (name, old_name) = (planned.identifier.as_str(), planned.old_name.as_str());
    let refuse = |reason: String, hint: &str| Err(Refusal::new(reason, hint));
    if old.identifier() != old_name {
        return refuse(
            format!(
                "the old cluster {name} is called {}, not {old_name}",
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
    // RDS deletes no cluster that has DB instances, and one that the plan does not know is not ours to delete.
    let planned_ones: Vec<&str> = migration
        .members()
        .map(|member| member.old_name.as_str())
        .collect();
    if let Some(other) = old.members().find(|member| !planned_ones.contains(member)) {
        return refuse(
            format!("{old_name} has the DB instance {other}, which the plan does not know"),
            "see who made it and whether it is used; delete it by hand if the cluster is to go",
        );
    }
    let journal = facts
        .records
        .get(&migration.id)
        .and_then(|records| records.get(RESTORE))
        .filter(|record| record.status == StepStatus::Done)
        .and_then(|record| record.result.get("db_cluster_resource_id")?.as_str());
    let Some(new) = new.filter(|new| journal == Some(new.resource_id())) else {
        return refuse(
            format!("the encrypted cluster {name} is not the one the run has made"),
            "compare its resource id with the journal",
        );
    };
    if new.identifier() != name || !new.is_ready() {
        return refuse(
            format!("{} is {}", new.identifier(), new.status()),
            "the encrypted cluster must have the real name and be available",
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

/// What is seen of a mutation of a cluster.
pub(super) fn trace(plan: &Plan, migration: &Migration, step: &Step, view: &RegionView) -> Trace {
    let Some(planned) = &migration.cluster else {
        return Trace::Known;
    };
    let old = planned.db_cluster_resource_id.as_str();
    let by_tags = |step: &str| {
        let tags = tags_of_step(plan, migration, step);
        let mut clusters = view.clusters().into_iter().flatten();
        clusters.find(|cluster| is_ours(&cluster.document, &tags))
    };
    let by_id = |id: &str| view.cluster(id).ok().flatten();
    match &step.action {
        Action::RenameCluster { from, cutover, .. } => {
            let found = if *cutover {
                by_tags(RESTORE)
            } else {
                by_id(old)
            };
            renamed(found, from.as_str())
        }
        Action::ClusterNameBack {
            cluster: Target::Old(id),
            from,
            ..
        } => renamed(by_id(id), from.as_str()),
        Action::RestoreCluster { name, .. } => {
            if by_tags(&step.id).is_some() {
                return Trace::Known;
            }
            match view.cluster_by_name(name.as_str()) {
                Ok(Some(new)) if new.status() == "creating" && !has_run(&new.document) => {
                    Trace::Moving(format!("{name} is creating, its tags are not shown yet"))
                }
                _ => Trace::None("nothing is shown of it"),
            }
        }
        Action::ClusterSnapshot { snapshot, .. }
        | Action::EncryptedClusterSnapshot { snapshot, .. } => {
            match view.cluster_snapshot(snapshot) {
                Err(_not_read) => Trace::None("cluster snapshots were not read"),
                Ok(None) => Trace::None("nothing is shown of it"),
                Ok(Some(found)) if str_of(found, "Status") == Some("creating") => {
                    // It can be deleted only when it is available.
                    Trace::Moving(format!("{snapshot} is creating"))
                }
                Ok(Some(_)) => Trace::Known,
            }
        }
        Action::ClaimCluster { .. } => match by_id(old) {
            Some(cluster) if has_run(&cluster.document) => Trace::Known,
            _ => Trace::None("no claim is shown"),
        },
        _ => Trace::Known,
    }
}

fn has_run(document: &Value) -> bool {
    let tags = tags_of(document);
    [TAG_RUN, TAG_SOURCE, TAG_STEP]
        .iter()
        .any(|key| tags.contains_key(key))
}

/// Where a rename is: by resource id, since the names are what moves.
fn renamed(found: Option<&DbCluster>, from: &str) -> Trace {
    let Some(cluster) = found else {
        return Trace::None("it is shown under neither name");
    };
    // A status that does not pass by itself is no rename under way.
    if class_of_status(cluster.status()).is_some_and(|class| class.goes_on()) {
        return Trace::Moving(format!("{} is {}", cluster.identifier(), cluster.status()));
    }
    if cluster.identifier() == from {
        Trace::None("it still has its name from before")
    } else {
        Trace::Known
    }
}
