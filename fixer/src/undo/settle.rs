//! What became of mutations whose outcome the journal does not have. Only reads.
//!
//! A phase is planned from names and resource ids. These must not move any more when it is: a rename or a restore that
//! RDS has taken and does not show yet would be missed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use atrest_model::document::str_of;
use atrest_model::instance::tags_of;
use atrest_model::journal::StepStatus;
use atrest_model::plan::{Action, Method, Migration, Plan, Step, TAG_RUN, Target};
use atrest_scanner::aws::Aws;
use atrest_scanner::error::AwsError;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Region, blue_green, cluster, tags_of_step};
use crate::clock::{self, Timing};
use crate::fault::{Fault, class_of_status};
use crate::observatory::{Observatory, RegionView, Wanted};
use crate::store::{RunStore, StoreError};

/// Longest wait for a mutation that is on its way.
const PATIENCE: Duration = Duration::from_secs(2 * 3600);
/// Longest time without an answer of RDS.
const OUTAGE: Duration = Duration::from_secs(10 * 60);

/// What RDS shows when nothing is on its way any more.
#[derive(Debug, Clone, Default)]
pub struct Settled {
    /// By region.
    pub regions: BTreeMap<String, Region>,
    /// Steps whose outcome is not known yet, as `migration: step: what is seen`. Empty when the wait was allowed.
    pub open: Vec<String>,
}

/// Why the state of a run could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The journal.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// RDS, or the way to it.
    #[error("{0}")]
    Aws(AwsError),
    /// A mutation does not come to an end.
    #[error("{0} after {hours} h", hours = PATIENCE.as_secs() / 3600)]
    TooLong(String),
    /// The operator wants to stop.
    #[error("interrupted before anything was changed")]
    Interrupted,
}

/// What is seen of a mutation.
pub(super) enum Trace {
    /// It took effect, or somebody has it in hand: nothing of it will move any more.
    Known,
    /// Nothing, so far.
    None(&'static str),
    /// It is on its way.
    Moving(String),
}

/// Describes the regions of a run and, when `waits`, goes on until the outcome of every mutation is known: seen, or
/// without a trace for twice the consistency window.
///
/// # Errors
///
/// Any [`SettleError`]. Nothing was changed.
pub async fn settle(
    aws: &Aws,
    store: &RunStore,
    wanted: Option<&BTreeSet<String>>,
    timing: Timing,
    waits: bool,
    stop: watch::Receiver<bool>,
) -> Result<Settled, SettleError> {
    let plan = store.plan();
    let mut settled = Settled::default();
    let mut by_region: BTreeMap<&str, Vec<(&Migration, Vec<&Step>)>> = BTreeMap::new();
    for migration in &plan.migrations {
        if wanted.is_some_and(|wanted| !wanted.contains(&migration.id)) {
            continue;
        }
        let open = open_steps(store, migration)?;
        by_region
            .entry(migration.region.as_str())
            .or_default()
            .push((migration, open));
    }
    for (region, migrations) in by_region {
        let observatory = Observatory::start(aws.rds(region), timing);
        let began = clock::instant();
        let mut since = began;
        let mut answered = began;
        let mut told = String::new();
        let wanted = what(&migrations);
        loop {
            let view = tokio::select! {
                biased;
                () = stopped(stop.clone()) => return Err(SettleError::Interrupted),
                view = observatory.view(since, wanted) => view,
            };
            since = clock::instant();
            let view = match view {
                Ok(view) => view,
                Err(error) => {
                    let is_transient = Fault::Aws(error.clone()).is_transient();
                    if waits && is_transient && answered.elapsed() < OUTAGE {
                        continue;
                    }
                    return Err(SettleError::Aws(error));
                }
            };
            answered = since;
            let open = still_open(plan, &migrations, &view, began, timing);
            if let Some(first) = open.first()
                && waits
            {
                if began.elapsed() >= PATIENCE {
                    return Err(SettleError::TooLong(first.clone()));
                }
                if told != *first {
                    tracing::warn!(
                        "looking until it is known what became of {first}; without a trace for {} s at most",
                        timing.consistency.as_secs() * 2
                    );
                    told.clone_from(first);
                }
                continue;
            }
            settled.open.extend(open);
            settled.regions.insert(region.to_owned(), shown(&view));
            break;
        }
    }
    Ok(settled)
}

/// What is to be described for these beside the DB instances.
fn what(migrations: &[(&Migration, Vec<&Step>)]) -> Wanted {
    let mut wanted = Wanted::SNAPSHOTS;
    for (migration, _) in migrations {
        if migration.cluster.is_some() {
            wanted = wanted.and(Wanted::CLUSTERS).and(Wanted::CLUSTER_SNAPSHOTS);
        }
        if migration.method == Method::BlueGreen {
            wanted = wanted.and(Wanted::BLUE_GREEN);
        }
    }
    wanted
}

fn shown(view: &RegionView) -> Region {
    Region {
        instances: view.instances().cloned().collect(),
        snapshots: view.snapshots().cloned().collect(),
        clusters: view
            .clusters()
            .map(|clusters| clusters.cloned().collect())
            .unwrap_or_default(),
        cluster_snapshots: view.cluster_snapshots().cloned().collect(),
        blue_green: view.blue_green_deployments().cloned().collect(),
    }
}

/// Steps of a migration, in all its phases, of which the journal has a beginning and no end.
fn open_steps<'a>(
    store: &'a RunStore,
    migration: &'a Migration,
) -> Result<Vec<&'a Step>, StoreError> {
    let records = store.steps(&migration.id)?;
    let later = store
        .phases()
        .iter()
        .filter_map(|phase| phase.migration(&migration.id));
    let all = std::iter::once(migration).chain(later);
    Ok(all
        .flat_map(|migration| &migration.steps)
        .filter(|step| {
            records.get(&step.id).is_some_and(|record| {
                matches!(
                    record.status,
                    StepStatus::Intended | StepStatus::Accepted | StepStatus::Stopped
                )
            })
        })
        .collect())
}

fn still_open(
    plan: &Plan,
    migrations: &[(&Migration, Vec<&Step>)],
    view: &RegionView,
    began: Instant,
    timing: Timing,
) -> Vec<String> {
    let mut open = Vec::new();
    for (migration, steps) in migrations {
        for step in steps {
            let state = match trace(plan, migration, step, view) {
                Trace::Known => continue,
                // RDS shows a new instance under neither of its names for a while.
                Trace::None(_) if view.began.duration_since(began) >= timing.consistency * 2 => {
                    continue;
                }
                Trace::None(state) => state.to_owned(),
                Trace::Moving(state) => state,
            };
            open.push(format!("{}: {}: {state}", migration.id, step.id));
        }
    }
    open
}

/// What is seen of a mutation that moves names or makes things; others leave nothing to be missed.
fn trace(plan: &Plan, migration: &Migration, step: &Step, view: &RegionView) -> Trace {
    match &step.action {
        Action::Rename {
            instance, from, to, ..
        }
        | Action::NameBack { instance, from, to } => {
            renamed(plan, migration, view, instance, from.as_str(), to.as_str())
        }
        Action::Restore { name, .. }
        | Action::CreateReplica { name, .. }
        | Action::TemporaryInstance { name, .. }
        | Action::CreateMember { name, .. }
        | Action::TemporaryReplica { name, .. } => {
            let tags = tags_of_step(plan, migration, &step.id);
            let bears = |i: &atrest_model::instance::DbInstance| {
                let shown = i.tags();
                tags.iter()
                    .all(|(key, value)| shown.get(key.as_str()) == Some(&value.as_str()))
            };
            if view.instances().any(bears) {
                return Trace::Known;
            }
            match view.by_name(name.as_str()) {
                // Tags show a moment after the instance does.
                Some(new) if !new.tags().contains_key(TAG_RUN) && new.status() == "creating" => {
                    Trace::Moving(format!("{name} is creating, its tags are not shown yet"))
                }
                _ => Trace::None("nothing is shown of it"),
            }
        }
        Action::Snapshot { snapshot, .. } | Action::EncryptedCopy { snapshot, .. } => {
            match view.snapshot(snapshot) {
                Err(_not_read) => Trace::None("snapshots were not read"),
                Ok(None) => Trace::None("nothing is shown of it"),
                Ok(Some(found)) => {
                    let is_tagged = tags_of(found).contains_key(TAG_RUN);
                    if !is_tagged && str_of(found, "Status") == Some("creating") {
                        Trace::Moving("creating, its tags are not shown yet".to_owned())
                    } else {
                        Trace::Known
                    }
                }
            }
        }
        Action::Claim {
            instance: Target::Old(id),
            ..
        } => {
            let claimed = view
                .by_resource_id(id)
                .is_some_and(|i| i.tags().contains_key(TAG_RUN));
            if claimed {
                Trace::Known
            } else {
                Trace::None("no claim is shown")
            }
        }
        Action::RenameCluster { .. }
        | Action::ClusterNameBack { .. }
        | Action::RestoreCluster { .. }
        | Action::ClusterSnapshot { .. }
        | Action::EncryptedClusterSnapshot { .. }
        | Action::ClaimCluster { .. } => cluster::trace(plan, migration, step, view),
        Action::CreateBlueGreen { deployment, .. }
        | Action::Switchover { deployment, .. }
        | Action::EndBlueGreen { deployment }
        | Action::RemoveBlueGreen { deployment } => {
            blue_green::trace(&step.action, deployment, view)
        }
        _ => Trace::Known,
    }
}

/// Where a rename is: by resource id, since the names are what moves.
fn renamed(
    plan: &Plan,
    migration: &Migration,
    view: &RegionView,
    target: &Target,
    from: &str,
    to: &str,
) -> Trace {
    let found = match target {
        Target::Old(id) => view.by_resource_id(id),
        Target::MadeBy(step) => {
            let tags = tags_of_step(plan, migration, step);
            view.instances().find(|i| {
                let shown = i.tags();
                tags.iter()
                    .all(|(key, value)| shown.get(key.as_str()) == Some(&value.as_str()))
            })
        }
    };
    let Some(instance) = found else {
        return Trace::None("it is shown under neither name");
    };
    // A status that does not pass by itself is no rename under way.
    let moves = class_of_status(instance.status()).is_some_and(|class| class.goes_on());
    if moves {
        return Trace::Moving(format!(
            "{} is {}",
            instance.identifier(),
            instance.status()
        ));
    }
    if instance.identifier() == from && from != to {
        Trace::None("it still has its name from before")
    } else {
        Trace::Known
    }
}

/// Returns when the operator wants to stop.
async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Nobody can ask any more.
        std::future::pending::<()>().await;
    }
}
