//! A migration tried out beside its live source: everything up to the comparison, and away with it.
//!
//! The source keeps its name and its clients; the only thing that is written to it is the claim, and that is taken off at
//! the end. The copies bear names of their own, so that those of the migration itself stay free.

use std::collections::BTreeSet;

use atrest_model::id::{InvalidId, RunId};
use atrest_model::plan::{
    Action, Member, Method, Migration, Plan, Step, TAG_CLAIM, TAG_RUN, Target,
};
use serde_json::{Map, Value};

/// Seconds that a deletion may take.
const LONG: u64 = 2 * 3600;
/// Seconds that a call may take that moves no data.
const SHORT: u64 = 3600;

/// Step whose result is the encrypted cluster.
const RESTORE_CLUSTER: &str = "restore-cluster";

/// What is put behind the name of a run for its rehearsal.
const SUFFIX: &str = "-rehearsal";

/// Why a migration cannot be tried out beside its source.
#[must_use]
pub fn why_not(migration: &Migration) -> Option<&'static str> {
    super::is_multi_az(migration)
        .then_some("it is a Multi-AZ DB cluster, which this version cannot rehearse")
}

/// The plan of the rehearsal of a plan.
///
/// # Errors
///
/// The name of the run, or of an instance, is too long for another word.
pub fn plan(of: &Plan) -> Result<Plan, InvalidId> {
    let run = RunId::try_from(format!("{}{SUFFIX}", of.run))?;
    let mut plan = of.clone();
    plan.rehearsal_of = Some(of.run.clone());
    plan.run = run;
    for migration in &mut plan.migrations {
        *migration = rehearsed(migration, &plan.run)?;
    }
    Ok(plan.sealed())
}

fn rehearsed(migration: &Migration, run: &RunId) -> Result<Migration, InvalidId> {
    let mut new = migration.clone();
    let rename = |member: &mut Member| -> Result<(), InvalidId> {
        // The old side is the live one, under its real name.
        member.old_name = member.identifier.clone();
        // RDS names the green side of a deployment.
        if migration.method != Method::BlueGreen {
            member.new_name = member.identifier.prefixed("rehearsal")?;
        }
        Ok(())
    };
    if let Some(cluster) = &mut new.cluster {
        cluster.old_name = cluster.identifier.clone();
        cluster.new_name = cluster.identifier.prefixed("rehearsal")?;
    }
    rename(&mut new.source)?;
    for replica in &mut new.replicas {
        rename(replica)?;
    }
    let claims: Vec<String> = migration
        .steps
        .iter()
        .filter(|step| {
            matches!(
                step.action,
                Action::Claim { .. } | Action::ClaimCluster { .. }
            )
        })
        .map(|step| step.id.clone())
        .collect();
    let kept = before_validation(migration);
    let mut steps = Vec::new();
    for step in &migration.steps {
        if !kept.contains(step.id.as_str()) {
            continue;
        }
        let mut step = step.clone();
        if step.needs.iter().any(|need| !kept.contains(need.as_str())) {
            step.needs.retain(|need| kept.contains(need.as_str()));
            step.needs.extend(claims.iter().cloned());
        }
        match &mut step.action {
            Action::Claim { tags, .. }
            | Action::ClaimCluster { tags }
            | Action::Tag { tags, .. } => retag(tags, run),
            Action::CreateBlueGreen {
                deployment, tags, ..
            } => {
                rehearsal_name(deployment);
                retag(tags, run);
            }
            Action::AwaitGreen { deployment, .. } => rehearsal_name(deployment),
            Action::RestoreCluster {
                snapshot,
                name,
                request,
            } => {
                rehearsal_name(snapshot);
                if let Some(cluster) = &new.cluster {
                    name.clone_from(&cluster.new_name);
                }
                retag_request(request, run);
            }
            Action::Snapshot { snapshot, tags, .. }
            | Action::ClusterSnapshot { snapshot, tags } => {
                rehearsal_name(snapshot);
                retag(tags, run);
            }
            Action::EncryptedCopy {
                source_snapshot,
                snapshot,
                tags,
                ..
            } => {
                rehearsal_name(source_snapshot);
                rehearsal_name(snapshot);
                retag(tags, run);
            }
            Action::Restore {
                snapshot,
                name,
                request,
            } => {
                rehearsal_name(snapshot);
                if let Some(member) = new.members().find(|m| m.made_by == step.id) {
                    name.clone_from(&member.new_name);
                }
                retag_request(request, run);
            }
            Action::CreateReplica { name, request, .. }
            | Action::CreateMember { name, request } => {
                if let Some(member) = new.members().find(|m| m.made_by == step.id) {
                    name.clone_from(&member.new_name);
                }
                retag_request(request, run);
            }
            Action::TemporaryReplica { request, .. } => retag_request(request, run),
            Action::Validate => step.action = Action::Rehearse,
            _ => {}
        }
        steps.push(step);
    }
    let kept: BTreeSet<String> = steps.iter().map(|step| step.id.clone()).collect();
    for step in &mut steps {
        step.needs.retain(|need| kept.contains(need));
    }
    remove(&mut steps, &new, run);
    new.steps = steps;
    Ok(new)
}

/// The steps up to the comparison, without those that take the source from its clients.
fn before_validation(migration: &Migration) -> BTreeSet<&str> {
    let mut kept = BTreeSet::new();
    let mut open: Vec<&str> = migration
        .steps
        .iter()
        .filter(|step| step.action == Action::Validate)
        // A second one, before the cutover, has nothing else to find.
        .take(1)
        .map(|step| step.id.as_str())
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        let Some(step) = migration.steps.iter().find(|step| step.id == id) else {
            continue;
        };
        if !seen.insert(id) {
            continue;
        }
        // Clients stay, and so do those that depend on the source; hooks stop services.
        if !matches!(
            step.action,
            Action::Rename { .. }
                | Action::RenameCluster { .. }
                | Action::Hook(_)
                | Action::Quiesce { .. }
                | Action::DeregisterProxyTarget { .. }
                | Action::RegisterProxyTarget { .. }
                | Action::Subscription { .. }
                | Action::ReplicateBackups { .. }
                | Action::Alarms { .. }
                | Action::Handover
        ) {
            kept.insert(id);
        }
        open.extend(step.needs.iter().map(String::as_str));
    }
    kept
}

/// Removes what was made, replicas first, snapshots last, and takes the claim off.
fn remove(steps: &mut Vec<Step>, migration: &Migration, run: &RunId) {
    let tags = |step: &str| {
        vec![
            (TAG_RUN.to_owned(), run.to_string()),
            (
                atrest_model::plan::TAG_SOURCE.to_owned(),
                migration.source.dbi_resource_id.clone(),
            ),
            (atrest_model::plan::TAG_STEP.to_owned(), step.to_owned()),
        ]
    };
    let mut need = "validate".to_owned();
    let mut push = |steps: &mut Vec<Step>, id: String, deadline_seconds: u64, action: Action| {
        let needs = vec![std::mem::replace(&mut need, id.clone())];
        steps.push(Step {
            id,
            needs,
            deadline_seconds,
            action,
        });
    };
    // A copy is shown as of the instance that its original is of.
    let of = steps.iter().find_map(|step| match &step.action {
        Action::Snapshot { instance, .. } => Some(instance.clone()),
        _ => None,
    });
    let of = of.unwrap_or_else(|| Target::Old(migration.source.dbi_resource_id.clone()));
    // The green side is RDS's until the deployment is gone.
    let deployment = steps.iter().find_map(|step| match &step.action {
        Action::CreateBlueGreen { deployment, .. } => Some(deployment.clone()),
        _ => None,
    });
    let of_cluster: Vec<(String, String)> = steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::ClusterSnapshot { snapshot, .. } => Some((step.id.clone(), snapshot.clone())),
            _ => None,
        })
        .collect();
    let snapshots: Vec<(String, String)> = steps
        .iter()
        .rev()
        .filter_map(|step| match &step.action {
            Action::Snapshot { snapshot, .. } | Action::EncryptedCopy { snapshot, .. } => {
                Some((step.id.clone(), snapshot.clone()))
            }
            _ => None,
        })
        .collect();
    // What the replica method has changed on the source.
    let old = vec![Target::Old(migration.source.dbi_resource_id.clone())];
    let changed: Vec<(&str, Action)> = steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::ReplicationAccount { account, .. } => Some((
                "remove-account",
                Action::RemoveAccount {
                    instances: old.clone(),
                    account: account.clone(),
                },
            )),
            Action::RaiseRetention { .. } => Some((
                "restore-retention",
                Action::RestoreRetention {
                    instances: old.clone(),
                    raised_by: step.id.clone(),
                },
            )),
            _ => None,
        })
        .collect();
    let members: Vec<&Member> = migration.members().collect();
    if let Some(deployment) = deployment {
        let action = Action::RemoveBlueGreen { deployment };
        push(steps, "remove-blue-green".to_owned(), SHORT, action);
    }
    for member in members.iter().rev() {
        let made = Target::MadeBy(member.made_by.clone());
        let request = Map::from_iter([("DeletionProtection".to_owned(), Value::Bool(false))]);
        // A copy is protected as its source is; a member of a cluster by its cluster.
        if migration.cluster.is_none() {
            push(
                steps,
                format!("unprotect:{}", member.identifier),
                SHORT,
                Action::Modify {
                    instance: made.clone(),
                    request,
                },
            );
        }
        push(
            steps,
            format!("delete:{}", member.identifier),
            LONG,
            Action::Delete {
                instance: made,
                name: member.new_name.clone(),
                tags: tags(&member.made_by),
                encrypted: true,
            },
        );
    }
    if let Some(cluster) = &migration.cluster {
        let made = Target::MadeBy(RESTORE_CLUSTER.to_owned());
        let unprotect = Action::UnprotectCluster {
            cluster: made.clone(),
        };
        push(steps, "unprotect-cluster".to_owned(), SHORT, unprotect);
        let delete = Action::DeleteCluster {
            cluster: made,
            name: cluster.new_name.clone(),
            tags: tags(RESTORE_CLUSTER),
            encrypted: true,
        };
        push(steps, "delete-cluster".to_owned(), LONG, delete);
        for (step, snapshot) in of_cluster {
            let delete = Action::DeleteClusterSnapshot {
                snapshot,
                of: Target::Old(cluster.db_cluster_resource_id.clone()),
                tags: tags(&step),
            };
            push(steps, format!("delete-{step}"), LONG, delete);
        }
        let release = Action::ReleaseCluster {
            cluster: Target::Old(cluster.db_cluster_resource_id.clone()),
            keys: vec![TAG_RUN.to_owned(), TAG_CLAIM.to_owned()],
        };
        push(steps, "release-cluster".to_owned(), SHORT, release);
    }
    for (step, snapshot) in snapshots {
        push(
            steps,
            format!("delete-{step}"),
            LONG,
            Action::DeleteSnapshot {
                snapshot,
                of: of.clone(),
                tags: tags(&step),
            },
        );
    }
    for (id, action) in changed {
        push(steps, id.to_owned(), SHORT, action);
    }
    for member in members.iter().rev() {
        push(
            steps,
            format!("release:{}", member.identifier),
            SHORT,
            Action::Release {
                instance: Target::Old(member.dbi_resource_id.clone()),
                keys: vec![TAG_RUN.to_owned(), TAG_CLAIM.to_owned()],
            },
        );
    }
}

/// `atrest-…-1-raw` → `atrest-…-1-rehearsal-raw`: those of the migration itself stay free.
fn rehearsal_name(snapshot: &mut String) {
    *snapshot = match snapshot.rsplit_once('-') {
        Some((front, kind)) => format!("{front}-rehearsal-{kind}"),
        None => format!("{snapshot}-rehearsal"),
    };
}

fn retag(tags: &mut [(String, String)], run: &RunId) {
    for (key, value) in tags {
        if key == TAG_RUN {
            *value = run.to_string();
        }
    }
}

/// The tags of a creating call lie in its arguments.
fn retag_request(request: &mut Map<String, Value>, run: &RunId) {
    let tags = request.get_mut("Tags").and_then(Value::as_array_mut);
    for tag in tags.into_iter().flatten() {
        if tag.get("Key").and_then(Value::as_str) == Some(TAG_RUN) {
            tag["Value"] = Value::from(run.as_str());
        }
    }
}
