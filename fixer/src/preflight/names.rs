//! Names that the plan will give, and tags.

use std::collections::BTreeMap;

use atrest_model::document::str_of;
use atrest_model::instance::{DbInstance, Encryption, tags_of};
use atrest_model::plan::{Action, Member, Method, TAG_PREFIX, TAG_RUN};

use super::{Finding, Scene, Sheet};

/// User tags that a resource may bear.
const MOST_TAGS: usize = 50;
/// Longest name of a snapshot.
const LONGEST_SNAPSHOT: usize = 255;

pub(super) fn check(sheet: &mut Sheet<'_>) {
    let scene = sheet.scene;
    let region = scene.migration.region.as_str();
    sheet.each(
        "names-free",
        "old- and new- names and those of the snapshots are free",
        |member, _| {
            if scene.migration.method == Method::BlueGreen {
                return given_by_rds(scene, member);
            }
            [&member.old_name, &member.new_name]
                .into_iter()
                .filter(|name| !(member.keeps_its_name() && **name == member.identifier))
                .filter(|name| {
                    scene
                        .facts
                        .instances
                        .iter()
                        .any(|i| i.region == region && i.identifier() == name.as_str())
                })
                .map(|name| {
                    Finding::blocks(format!(
                        "the name {name} is taken; rename or delete that instance"
                    ))
                })
                .collect()
        },
    );
    let mut findings = own_collisions(sheet);
    findings.extend(snapshots(sheet));
    findings.extend(deployments(sheet));
    sheet.add_to("names-free", findings);
    let run = scene.facts.run.as_str();
    sheet.each(
        "not-claimed",
        "no other run has claimed the instances",
        |_, instance| {
            let tags = instance.tags();
            match tags.get(TAG_RUN) {
                Some(other) if *other != run => {
                    let successor = successor(&scene.facts.instances, instance);
                    vec![Finding::blocks(match successor {
                        Some(name) => format!(
                            "run {other} has migrated it to {name}, which is encrypted; it is kept as the way back"
                        ),
                        None => format!(
                            "it is claimed by run {other}; finish that run, or remove the tag {TAG_RUN} if it is gone for good"
                        ),
                    })]
                }
                _ => Vec::new(),
            }
        },
    );
    sheet.each(
        "tags-fit",
        "there is room for the tags of the run",
        |member, instance| {
            // The new instance bears three tags of ours; those of earlier runs are not carried over.
            let kept = instance
                .tags()
                .keys()
                .filter(|key| !key.starts_with("aws:") && !key.starts_with(TAG_PREFIX))
                .count();
            if kept + 3 <= MOST_TAGS {
                return Vec::new();
            }
            vec![Finding::blocks(format!(
                "it has {kept} tags, and step {} adds 3 where {MOST_TAGS} are the limit; remove {}",
                member.made_by,
                kept + 3 - MOST_TAGS
            ))]
        },
    );
}

/// The names that RDS gives are free by themselves; one that is taken means another number.
fn given_by_rds(scene: &Scene<'_>, member: &Member) -> Vec<Finding> {
    let taken = scene.facts.instances.iter().any(|instance| {
        instance.region == scene.migration.region
            && instance.identifier() == member.old_name.as_str()
    });
    if !taken {
        return Vec::new();
    }
    vec![Finding::warns(format!(
        "the name {} is taken; RDS takes the next number after -old for the unencrypted instance",
        member.old_name
    ))]
}

/// The deployment that the plan makes must be the run's own.
fn deployments(sheet: &Sheet<'_>) -> Vec<Finding> {
    let scene = sheet.scene;
    let wanted = scene
        .migration
        .steps
        .iter()
        .find_map(|step| match &step.action {
            Action::CreateBlueGreen { deployment, .. } => Some(deployment),
            _ => None,
        });
    let (Some(name), Ok(deployments)) = (wanted, &scene.region.blue_green) else {
        // What was not read is said by the check about deployments.
        return Vec::new();
    };
    deployments
        .iter()
        .filter(|one| str_of(one, "BlueGreenDeploymentName") == Some(name))
        .filter_map(|one| {
            let run = tags_of(one).get(TAG_RUN).copied().unwrap_or("none");
            (run != scene.facts.run.as_str()).then(|| {
                Finding::blocks(format!(
                    "blue/green deployment {name} is there already and belongs to run {run}; finish that run, or delete the deployment if it is gone for good"
                ))
            })
        })
        .collect()
}

/// The encrypted instance that was made of this one, once it has a real name.
fn successor<'a>(instances: &'a [DbInstance], old: &DbInstance) -> Option<&'a str> {
    let real = old.identifier().strip_prefix("old-")?;
    instances
        .iter()
        .find(|new| {
            new.region == old.region
                && new.identifier() == real
                && new.encryption() != Encryption::None
                && new.tags().get(TAG_RUN) == old.tags().get(TAG_RUN)
        })
        .map(DbInstance::identifier)
}

/// Names that the plan itself would give twice.
fn own_collisions(sheet: &Sheet<'_>) -> Vec<Finding> {
    let mut given: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for step in &sheet.scene.migration.steps {
        let name = match &step.action {
            Action::Snapshot { snapshot, .. } | Action::EncryptedCopy { snapshot, .. } => {
                ("snapshot", snapshot.as_str())
            }
            Action::Restore { name, .. }
            | Action::CreateReplica { name, .. }
            | Action::CreateMember { name, .. }
            | Action::TemporaryInstance { name, .. }
            | Action::TemporaryReplica { name, .. } => ("DB instance", name.as_str()),
            Action::Rename {
                to, cutover: false, ..
            } => ("DB instance", to.as_str()),
            _ => continue,
        };
        *given.entry(name).or_default() += 1;
    }
    given
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|((kind, name), _)| {
            Finding::blocks(format!("the plan would give the {kind} name {name} twice"))
        })
        .collect()
}

fn snapshots(sheet: &Sheet<'_>) -> Vec<Finding> {
    let scene = sheet.scene;
    let wanted = scene
        .migration
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::Snapshot { snapshot, .. } | Action::EncryptedCopy { snapshot, .. } => {
                Some(snapshot.as_str())
            }
            _ => None,
        });
    let mut findings = Vec::new();
    for name in wanted {
        if name.len() > LONGEST_SNAPSHOT {
            findings.push(Finding::blocks(format!(
                "the snapshot name {name} is longer than {LONGEST_SNAPSHOT} characters"
            )));
        }
        let existing = match &scene.region.snapshots {
            Ok(snapshots) => snapshots
                .iter()
                .find(|snapshot| str_of(snapshot, "DBSnapshotIdentifier") == Some(name)),
            Err(why) => {
                findings.push(Finding::not_proven(format!(
                    "whether the snapshot name {name} is free is not known: {why}"
                )));
                continue;
            }
        };
        let Some(existing) = existing else { continue };
        let run = tags_of(existing).get(TAG_RUN).copied().unwrap_or("none");
        if run != scene.facts.run.as_str() {
            findings.push(Finding::blocks(format!(
                "snapshot {name} is there already and belongs to run {run}; finish that run, or delete the snapshot if it is gone for good"
            )));
        }
    }
    findings
}
