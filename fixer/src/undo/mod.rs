//! What follows a migration, or comes before it: rollback, cleanup, rehearsal.
//!
//! Each is planned by a pure function from the plan, the journal and what RDS shows, and carried out by the executor of
//! the migration. See docs/design/0004-rollback-and-cleanup.md.

mod blue_green;
pub mod cleanup;
mod cluster;
pub mod rehearsal;
pub mod rollback;
mod settle;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use atrest_model::document::str_of;
use atrest_model::instance::{DbCluster, DbInstance, tags_of};
use atrest_model::journal::StepStatus;
use atrest_model::phase::{LeftAlone, Phase, PhaseKind, PhaseName};
use atrest_model::plan::{
    Action, Migration, MysqlAccess, Plan, Step, TAG_CLAIM, TAG_RUN, TAG_SOURCE, TAG_STEP, Target,
};
use jiff::Timestamp;
use serde_json::{Map, Value};

pub use self::settle::{SettleError, Settled, settle};
use crate::store::{RunStore, StepRecord, StoreError};

/// Seconds that a deletion or a rename may take.
const LONG: u64 = 2 * 3600;
/// Seconds that anything else may take that moves no data.
const SHORT: u64 = 3600;

/// A region as RDS shows it.
#[derive(Debug, Clone, Default)]
pub struct Region {
    /// Every DB instance.
    pub instances: Vec<DbInstance>,
    /// Every manual snapshot.
    pub snapshots: Vec<Value>,
    /// Every cluster.
    pub clusters: Vec<DbCluster>,
    /// Every manual snapshot of a cluster.
    pub cluster_snapshots: Vec<Value>,
    /// Every blue/green deployment.
    pub blue_green: Vec<Value>,
}

impl Region {
    fn by_resource_id(&self, id: &str) -> Option<&DbInstance> {
        self.instances.iter().find(|i| i.dbi_resource_id() == id)
    }

    fn snapshot(&self, name: &str) -> Option<&Value> {
        let mut snapshots = self.snapshots.iter();
        snapshots.find(|s| str_of(s, "DBSnapshotIdentifier") == Some(name))
    }

    /// What a step of a run has made for a source.
    fn made_by(&self, tags: &[(String, String)]) -> Vec<&DbInstance> {
        let bears = |instance: &&DbInstance| {
            let shown = instance.tags();
            tags.iter()
                .all(|(key, value)| shown.get(key.as_str()) == Some(&value.as_str()))
        };
        self.instances.iter().filter(bears).collect()
    }
}

/// What a phase is made from.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The plan of the run.
    pub plan: &'a Plan,
    /// Name of the phase to be.
    pub name: PhaseName,
    /// When RDS was described.
    pub now: Timestamp,
    /// The journal, by migration and step.
    pub records: BTreeMap<String, BTreeMap<String, StepRecord>>,
    /// The last phase that has changed something of a migration, and whether all of it is done. One that was refused by
    /// what it found, before it changed anything, is none.
    pub phases: BTreeMap<String, (PhaseKind, bool)>,
    /// Whether the run folder was made anew: its journal does not have what was done before.
    pub adopted: bool,
    /// Whether the servers of instances of the MySQL family are asked.
    pub asks: bool,
    /// What is shown, by region.
    pub regions: &'a BTreeMap<String, Region>,
}

impl<'a> Facts<'a> {
    /// Reads the journal's part.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub fn of(
        store: &'a RunStore,
        kind: PhaseKind,
        regions: &'a BTreeMap<String, Region>,
    ) -> Result<Self, StoreError> {
        let plan = store.plan();
        let mut records = BTreeMap::new();
        let mut phases = BTreeMap::new();
        for migration in &plan.migrations {
            let steps = store.steps(&migration.id)?;
            for phase in store.phases() {
                let Some(of_phase) = phase.migration(&migration.id) else {
                    continue;
                };
                let done = is_done(of_phase, &steps);
                if done || has_acted(of_phase, &steps) {
                    phases.insert(migration.id.clone(), (phase.phase.kind, done));
                }
            }
            records.insert(migration.id.clone(), steps);
        }
        Ok(Self {
            plan,
            name: store.next_phase(kind),
            now: crate::clock::now(),
            records,
            phases,
            adopted: store.is_adopted(),
            asks: plan.mysql == MysqlAccess::Required,
            regions,
        })
    }

    fn status(&self, migration: &str, step: &str) -> StepStatus {
        self.records
            .get(migration)
            .and_then(|steps| steps.get(step))
            .map_or(StepStatus::Pending, |record| record.status)
    }

    fn phase(&self, migrations: Vec<Migration>, left_alone: Vec<LeftAlone>) -> Phase {
        Phase {
            schema_version: atrest_model::phase::SCHEMA_VERSION,
            tool: atrest_model::Tool::current(),
            run: self.plan.run.clone(),
            phase: self.name.clone(),
            created: self.now,
            plan_digest: self.plan.digest.clone(),
            migrations,
            left_alone,
            digest: String::new(),
        }
        .sealed()
    }
}

/// Whether RDS makes the DB instances of the cluster of a migration itself, and names and deletes them with it: a Multi-AZ DB
/// cluster.
fn is_multi_az(migration: &Migration) -> bool {
    let mut steps = migration.steps.iter();
    steps.any(|step| matches!(step.action, Action::AwaitMember { .. }))
}

/// Whether every step of a migration, in the phase it is given with, is done.
#[must_use]
pub fn is_done(migration: &Migration, records: &BTreeMap<String, StepRecord>) -> bool {
    migration.steps.iter().all(|step| {
        records
            .get(&step.id)
            .is_some_and(|record| record.status == StepStatus::Done)
    })
}

/// Whether a step that changes something was begun.
fn has_acted(migration: &Migration, records: &BTreeMap<String, StepRecord>) -> bool {
    migration.steps.iter().any(|step| {
        let looks_only = matches!(
            step.action,
            Action::Unwritten { .. } | Action::Unused { .. } | Action::CatchUp { .. }
        );
        !looks_only
            && records
                .get(&step.id)
                .is_some_and(|record| record.status != StepStatus::Pending)
    })
}

/// Why a phase leaves a migration alone.
#[derive(Debug)]
struct Refusal {
    reason: String,
    hint: String,
}

impl Refusal {
    fn new(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            hint: hint.into(),
        }
    }

    fn of(self, migration: &Migration) -> LeftAlone {
        LeftAlone {
            migration: migration.id.clone(),
            reason: self.reason,
            hint: self.hint,
        }
    }
}

/// Steps whose ids begin with the name of the phase.
struct Steps {
    prefix: String,
    steps: Vec<Step>,
}

impl Steps {
    fn of(name: &PhaseName) -> Self {
        Self {
            prefix: format!("{name}/"),
            steps: Vec::new(),
        }
    }

    /// The id that a step of this phase has.
    fn id(&self, id: &str) -> String {
        format!("{}{id}", self.prefix)
    }

    /// Adds a step after those it needs, and gives its id. An id that is there already gets a number.
    fn push(
        &mut self,
        id: &str,
        needs: &[String],
        deadline_seconds: u64,
        action: Action,
    ) -> String {
        let id = self.id(id);
        self.steps.push(Step {
            id: id.clone(),
            needs: needs.to_vec(),
            deadline_seconds,
            action,
        });
        id
    }
}

/// Tags that tell what a step of a run has made.
fn tags_of_step(plan: &Plan, migration: &Migration, step: &str) -> Vec<(String, String)> {
    vec![
        (TAG_RUN.to_owned(), plan.run.to_string()),
        (
            TAG_SOURCE.to_owned(),
            migration.source.dbi_resource_id.clone(),
        ),
        (TAG_STEP.to_owned(), step.to_owned()),
    ]
}

/// Takes deletion protection off, where it is on, and deletes. Gives the id of the deletion.
fn remove(
    steps: &mut Steps,
    instance: &DbInstance,
    needs: &[String],
    tags: Vec<(String, String)>,
    encrypted: bool,
) -> Result<String, Refusal> {
    let name = atrest_model::id::DbInstanceIdentifier::try_from(instance.identifier())
        .map_err(|e| Refusal::new(e.to_string(), ""))?;
    let target = Target::Old(instance.dbi_resource_id().to_owned());
    let mut needs = needs.to_vec();
    // A member of a cluster is protected by its cluster, and from nothing that a cluster does to it.
    let is_protected = instance.cluster().is_none()
        && instance.document.get("DeletionProtection") == Some(&Value::Bool(true));
    if is_protected {
        let request = Map::from_iter([("DeletionProtection".to_owned(), Value::Bool(false))]);
        needs = vec![steps.push(
            &format!("unprotect:{name}"),
            &needs,
            SHORT,
            Action::Modify {
                instance: target.clone(),
                request,
            },
        )];
    }
    Ok(steps.push(
        &format!("delete:{name}"),
        &needs,
        LONG,
        Action::Delete {
            instance: target,
            name,
            tags,
            encrypted,
        },
    ))
}

/// Whether a step of this run has made a snapshot for this source: of it, or of a replica of it.
fn is_ours(snapshot: &Value, tags: &[(String, String)]) -> bool {
    let shown = tags_of(snapshot);
    tags.iter()
        .all(|(key, value)| shown.get(key.as_str()) == Some(&value.as_str()))
}

/// Deletes the snapshots that the migration has made and RDS shows: copies before what they were copied from.
fn remove_snapshots(
    facts: &Facts<'_>,
    region: &Region,
    migration: &Migration,
    needs: &[String],
    wanted: impl Fn(&Action) -> bool,
    steps: &mut Steps,
) -> Vec<String> {
    let mut needs = needs.to_vec();
    for step in migration.steps.iter().rev().filter(|s| wanted(&s.action)) {
        let (Action::Snapshot { snapshot, .. } | Action::EncryptedCopy { snapshot, .. }) =
            &step.action
        else {
            continue;
        };
        let tags = tags_of_step(facts.plan, migration, &step.id);
        let shown = region.snapshot(snapshot).filter(|s| is_ours(s, &tags));
        let Some(source) = shown.and_then(|shown| str_of(shown, "DbiResourceId")) else {
            continue;
        };
        let action = Action::DeleteSnapshot {
            snapshot: snapshot.clone(),
            of: Target::Old(source.to_owned()),
            tags,
        };
        needs = vec![steps.push(&format!("delete-{}", step.id), &needs, LONG, action)];
    }
    needs
}

/// Takes the claim off every old instance: the source last, since every mutation before asks for its claim.
fn release(migration: &Migration, needs: &[String], steps: &mut Steps) {
    let mut needs = needs.to_vec();
    let members: Vec<_> = migration.members().collect();
    for member in members.into_iter().rev() {
        let action = Action::Release {
            instance: Target::Old(member.dbi_resource_id.clone()),
            keys: vec![TAG_RUN.to_owned(), TAG_CLAIM.to_owned()],
        };
        needs = vec![steps.push(
            &format!("release:{}", member.identifier),
            &needs,
            SHORT,
            action,
        )];
    }
}
