//! Quotas at the peak: nothing is deleted by a run, so everything it makes is there at once.

use std::collections::BTreeSet;

use atrest_model::document::{int_of, str_of};
use atrest_model::plan::{Action, Migration, Plan};
use serde_json::Value;

use super::{Around, Facts, Finding, RegionFacts};
use crate::options::COPIES_IN_FLIGHT as COPIES;
use atrest_model::check::Check;

/// The quotas of every region of a plan.
pub(super) fn check(plan: &Plan, facts: &Facts, around: &Around) -> Vec<Check> {
    let regions: BTreeSet<&str> = plan
        .migrations
        .iter()
        .map(|migration| migration.region.as_str())
        .collect();
    let mut checks = Vec::new();
    for region in regions {
        let migrations: Vec<&Migration> = plan
            .migrations
            .iter()
            .filter(|migration| migration.region == region)
            .collect();
        let Some(around) = around.regions.get(region) else {
            continue;
        };
        for (id, passes, findings) in region_quotas(&migrations, facts, around) {
            checks.extend(super::lines(id, None, region, &passes, findings));
        }
    }
    checks
}

type Row = (&'static str, String, Vec<Finding>);

/// What migrations make of what is counted.
struct Made {
    instances: i64,
    gib: i64,
    snapshots: i64,
}

fn made(migrations: &[&Migration], facts: &Facts) -> Made {
    let temporary: Vec<&&Migration> = migrations
        .iter()
        .filter(|migration| {
            migration.steps.iter().any(|step| {
                matches!(
                    step.action,
                    Action::TemporaryReplica { .. } | Action::TemporaryInstance { .. }
                )
            })
        })
        .collect();
    let temporary_gib: i64 = temporary
        .iter()
        .map(|migration| migration.allocated_storage)
        .sum();
    let members = || migrations.iter().flat_map(|migration| migration.members());
    let members_gib: i64 = members()
        .filter_map(|member| {
            let instance = facts
                .instances
                .iter()
                .find(|instance| instance.dbi_resource_id() == member.dbi_resource_id)?;
            int_of(&instance.document, "AllocatedStorage")
        })
        .sum();
    let gib = members_gib + temporary_gib;
    let snapshots = migrations
        .iter()
        .flat_map(|migration| &migration.steps)
        .filter(|step| {
            matches!(
                step.action,
                Action::Snapshot { .. } | Action::EncryptedCopy { .. }
            )
        })
        .count();
    Made {
        instances: count(members().count() + temporary.len()),
        gib,
        snapshots: count(snapshots),
    }
}

/// A quota: its check, its name, and how much of it is made.
type Counted = (&'static str, &'static str, &'static str, fn(&Made) -> i64);

const COUNTED: [Counted; 3] = [
    ("quota-instances", "DBInstances", "DB instances", |made| {
        made.instances
    }),
    (
        "quota-storage",
        "AllocatedStorage",
        "GiB of allocated storage",
        |made| made.gib,
    ),
    (
        "quota-snapshots",
        "ManualSnapshots",
        "manual snapshots",
        |made| made.snapshots,
    ),
];

fn region_quotas(migrations: &[&Migration], facts: &Facts, around: &RegionFacts) -> Vec<Row> {
    let whole = made(migrations, facts);
    let mut rows = Vec::new();
    for (id, quota, what, of_made) in COUNTED {
        let need = of_made(&whole);
        let (passes, findings) = match of(around, quota) {
            Err(why) => (
                String::new(),
                vec![Finding::not_proven(format!(
                    "the run makes {need} {what}; what is left of the quota is not known: {why}"
                ))],
            ),
            Ok((used, most)) if used + need > most => {
                let left = (most - used).max(0);
                let need_of = |part: &[&Migration]| of_made(&made(part, facts));
                let finding = match waves_that_fit(migrations, left, need_of) {
                    None => Finding::blocks(format!(
                        "the run makes {need} {what}, and {left} of {most} are left; have the quota {quota} raised, or plan fewer at a time"
                    )),
                    Some(wave) => Finding::warns(format!(
                        "the run makes {need} {what}, and {left} of {most} are left: enough up to wave {wave}; what comes after waits until the quota {quota} is raised or old ones are deleted"
                    )),
                };
                (String::new(), vec![finding])
            }
            Ok((used, most)) => (
                format!(
                    "the run makes {need} {what}; {} of {most} are left",
                    most - used
                ),
                Vec::new(),
            ),
        };
        rows.push((id, passes, findings));
    }
    rows.push(replicas(migrations, around));
    rows.push(copies(migrations, around));
    rows
}

/// The last wave for which there is room with all before it; `None` when not even the first of the region fits, or there
/// are no waves: then nothing may be begun.
fn waves_that_fit(
    migrations: &[&Migration],
    left: i64,
    need: impl Fn(&[&Migration]) -> i64,
) -> Option<u32> {
    let waves: BTreeSet<u32> = migrations.iter().filter_map(|m| m.wave).collect();
    let up_to = |last: u32| -> Vec<&Migration> {
        let mut part = migrations.to_vec();
        part.retain(|migration| migration.wave.is_some_and(|wave| wave <= last));
        part
    };
    waves
        .into_iter()
        .take_while(|wave| need(&up_to(*wave)) <= left)
        .last()
}

/// Used and most.
fn of(around: &RegionFacts, quota: &str) -> Result<(i64, i64), String> {
    let quotas = around.quotas.as_ref().map_err(Clone::clone)?;
    let row = quotas
        .iter()
        .find(|row| str_of(row, "AccountQuotaName") == Some(quota));
    row.and_then(|row: &Value| Some((int_of(row, "Used")?, int_of(row, "Max")?)))
        .ok_or_else(|| format!("RDS does not tell the quota {quota}"))
}

fn replicas(migrations: &[&Migration], around: &RegionFacts) -> Row {
    let id = "quota-replicas";
    let most = match of(around, "ReadReplicasPerMaster") {
        Ok((_, most)) => most,
        Err(why) => {
            let any = migrations
                .iter()
                .any(|migration| !migration.replicas.is_empty());
            let finding = Finding::not_proven(format!(
                "how many replicas a source may have is not known: {why}"
            ));
            return (
                id,
                "no replicas are made".to_owned(),
                any.then_some(finding).into_iter().collect(),
            );
        }
    };
    let mut findings = Vec::new();
    for migration in migrations {
        for source in migration.members() {
            let made = migration
                .replicas
                .iter()
                .filter(|replica| replica.replicates_from.as_ref() == Some(&source.identifier))
                .count();
            if count(made) > most {
                findings.push(Finding::blocks(format!(
                    "{} has {made} replicas, and {most} are allowed to a source",
                    source.identifier
                )));
            }
        }
    }
    (
        id,
        format!("no source has more than {most} replicas"),
        findings,
    )
}

fn copies(migrations: &[&Migration], around: &RegionFacts) -> Row {
    let id = "quota-copies";
    let busy = match &around.snapshots {
        Ok(snapshots) => snapshots
            .iter()
            .filter(|snapshot| str_of(snapshot, "Status") == Some("creating"))
            .count(),
        Err(why) => {
            let finding =
                Finding::not_proven(format!("snapshots being copied now are not known: {why}"));
            return (id, String::new(), vec![finding]);
        }
    };
    let wanted = migrations
        .iter()
        .flat_map(|migration| &migration.steps)
        .filter(|step| matches!(step.action, Action::EncryptedCopy { .. }))
        .count();
    if wanted + busy <= COPIES {
        let passes = format!(
            "{wanted} copies at most at a time, {busy} snapshots are being made now, {COPIES} are allowed"
        );
        return (id, passes, Vec::new());
    }
    let finding = Finding::warns(format!(
        "the run copies {wanted} snapshots and {busy} are being made now, while RDS allows {COPIES} copies at a time; a migration is begun when there is a place for its copy"
    ));
    (id, String::new(), vec![finding])
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
