//! One describe loop per region serves every migration that waits there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use atrest_model::document::str_of;
use atrest_model::instance::{DbCluster, DbInstance};
use atrest_scanner::error::AwsError;
use atrest_scanner::rds::{Listing, Rds};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::clock::{self, Timing};

/// What a view shows beside the DB instances: read only when a step asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wanted(u8);

impl Wanted {
    pub(crate) const NOTHING: Self = Self(0);
    /// Manual snapshots.
    pub(crate) const SNAPSHOTS: Self = Self(1);
    /// Blue/green deployments.
    pub(crate) const BLUE_GREEN: Self = Self(2);

    /// Clusters.
    pub(crate) const CLUSTERS: Self = Self(4);
    /// Manual snapshots of clusters.
    pub(crate) const CLUSTER_SNAPSHOTS: Self = Self(8);

    /// Both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn holds(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What a region looked like at one moment.
#[derive(Debug)]
pub(crate) struct RegionView {
    /// When the describe calls began: a mutation that was answered before is on its way to being seen.
    pub(crate) began: Instant,
    instances: BTreeMap<String, DbInstance>,
    /// What was asked for.
    read: Wanted,
    /// Manual snapshots by name.
    snapshots: BTreeMap<String, Value>,
    /// Blue/green deployments by name.
    blue_green: BTreeMap<String, Value>,
    /// By `DbClusterResourceId`.
    clusters: BTreeMap<String, DbCluster>,
    /// Manual snapshots of clusters by name.
    cluster_snapshots: BTreeMap<String, Value>,
}

impl RegionView {
    /// Every DB instance of the region.
    pub(crate) fn instances(&self) -> impl Iterator<Item = &DbInstance> {
        self.instances.values()
    }

    pub(crate) fn by_resource_id(&self, id: &str) -> Option<&DbInstance> {
        self.instances.get(id)
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&DbInstance> {
        self.instances
            .values()
            .find(|instance| instance.identifier() == name)
    }

    /// Every manual snapshot; none when this view did not read them.
    pub(crate) fn snapshots(&self) -> impl Iterator<Item = &Value> {
        self.snapshots.values()
    }

    /// The snapshot of that name; an error when this view did not read snapshots.
    pub(crate) fn snapshot(&self, name: &str) -> Result<Option<&Value>, NotRead> {
        self.asked(Wanted::SNAPSHOTS)?;
        Ok(self.snapshots.get(name))
    }

    /// The blue/green deployment of that name; an error when this view did not read them.
    pub(crate) fn blue_green(&self, name: &str) -> Result<Option<&Value>, NotRead> {
        self.asked(Wanted::BLUE_GREEN)?;
        Ok(self.blue_green.get(name))
    }

    /// Every cluster of the region; an error when this view did not read them.
    pub(crate) fn clusters(&self) -> Result<impl Iterator<Item = &DbCluster>, NotRead> {
        self.asked(Wanted::CLUSTERS)?;
        Ok(self.clusters.values())
    }

    /// The cluster of that resource id; an error when this view did not read clusters.
    pub(crate) fn cluster(&self, id: &str) -> Result<Option<&DbCluster>, NotRead> {
        self.asked(Wanted::CLUSTERS)?;
        Ok(self.clusters.get(id))
    }

    /// The cluster of that name; an error when this view did not read clusters.
    pub(crate) fn cluster_by_name(&self, name: &str) -> Result<Option<&DbCluster>, NotRead> {
        Ok(self
            .clusters()?
            .find(|cluster| cluster.identifier() == name))
    }

    /// The cluster snapshot of that name; an error when this view did not read them.
    pub(crate) fn cluster_snapshot(&self, name: &str) -> Result<Option<&Value>, NotRead> {
        self.asked(Wanted::CLUSTER_SNAPSHOTS)?;
        Ok(self.cluster_snapshots.get(name))
    }

    /// Every blue/green deployment; none when this view did not read them.
    pub(crate) fn blue_green_deployments(&self) -> impl Iterator<Item = &Value> {
        self.blue_green.values()
    }

    /// Every manual cluster snapshot; none when this view did not read them.
    pub(crate) fn cluster_snapshots(&self) -> impl Iterator<Item = &Value> {
        self.cluster_snapshots.values()
    }

    fn asked(&self, wanted: Wanted) -> Result<(), NotRead> {
        if self.read.holds(wanted) {
            Ok(())
        } else {
            Err(NotRead)
        }
    }
}

/// This view did not read what is asked of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NotRead;

type Latest = Option<Result<Arc<RegionView>, (Instant, AwsError)>>;

/// The describe loop of one region.
#[derive(Debug)]
pub(crate) struct Observatory {
    latest: watch::Receiver<Latest>,
    wanted: Arc<Notify>,
    asked: Arc<AtomicU8>,
    task: JoinHandle<()>,
}

impl Drop for Observatory {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Observatory {
    pub(crate) fn start(rds: Rds, timing: Timing) -> Self {
        let (publish, latest) = watch::channel(None);
        let wanted = Arc::new(Notify::new());
        let asked = Arc::new(AtomicU8::new(0));
        let task = tokio::spawn(watch_region(
            rds,
            timing,
            Arc::clone(&wanted),
            Arc::clone(&asked),
            publish,
        ));
        Self {
            latest,
            wanted,
            asked,
            task,
        }
    }

    /// A view whose describe calls began at or after `since`. Waits for the next loop if there is none yet.
    pub(crate) async fn view(
        &self,
        since: Instant,
        wanted: Wanted,
    ) -> Result<Arc<RegionView>, AwsError> {
        let mut latest = self.latest.clone();
        loop {
            match &*latest.borrow_and_update() {
                Some(Ok(view)) if view.began >= since && view.read.holds(wanted) => {
                    return Ok(Arc::clone(view));
                }
                Some(Err((began, error))) if *began >= since => return Err(error.clone()),
                _ => {}
            }
            self.asked.fetch_or(wanted.0, Ordering::AcqRel);
            self.wanted.notify_one();
            if latest.changed().await.is_err() {
                // The task ends only with this observatory.
                std::future::pending::<()>().await;
            }
        }
    }
}

async fn watch_region(
    rds: Rds,
    timing: Timing,
    wanted: Arc<Notify>,
    asked: Arc<AtomicU8>,
    publish: watch::Sender<Latest>,
) {
    let mut last: Option<Instant> = None;
    loop {
        wanted.notified().await;
        if let Some(last) = last {
            clock::sleep(timing.poll.saturating_sub(last.elapsed())).await;
        }
        let began = clock::instant();
        last = Some(began);
        let asked = Wanted(asked.swap(0, Ordering::AcqRel));
        let view = look(&rds, began, asked).await;
        publish.send_replace(Some(view.map(Arc::new).map_err(|error| (began, error))));
    }
}

async fn look(rds: &Rds, began: Instant, read: Wanted) -> Result<RegionView, AwsError> {
    let (instances, snapshots, blue_green, clusters, cluster_snapshots) = futures::join!(
        rds.db_instances(),
        optional(read.holds(Wanted::SNAPSHOTS), rds.manual_snapshots()),
        optional(read.holds(Wanted::BLUE_GREEN), rds.blue_green_deployments()),
        async {
            if read.holds(Wanted::CLUSTERS) {
                rds.db_clusters().await.map(|(clusters, _calls)| clusters)
            } else {
                Ok(Vec::new())
            }
        },
        optional(
            read.holds(Wanted::CLUSTER_SNAPSHOTS),
            rds.manual_cluster_snapshots()
        ),
    );
    let instances = instances?
        .0
        .into_iter()
        .map(|i| (i.dbi_resource_id().to_owned(), i))
        .collect();
    Ok(RegionView {
        began,
        instances,
        read,
        snapshots: by_name(snapshots?, "DBSnapshotIdentifier"),
        blue_green: by_name(blue_green?, "BlueGreenDeploymentName"),
        clusters: clusters?
            .into_iter()
            .map(|cluster| (cluster.resource_id().to_owned(), cluster))
            .collect(),
        cluster_snapshots: by_name(cluster_snapshots?, "DBClusterSnapshotIdentifier"),
    })
}

/// A listing that is read only when it is wanted; empty otherwise.
async fn optional(
    wanted: bool,
    listing: impl Future<Output = Result<Listing, AwsError>>,
) -> Result<Vec<Value>, AwsError> {
    if wanted {
        listing.await.map(|listing| listing.items)
    } else {
        Ok(Vec::new())
    }
}

fn by_name(items: Vec<Value>, name: &str) -> BTreeMap<String, Value> {
    items
        .into_iter()
        .filter_map(|item| Some((str_of(&item, name)?.to_owned(), item)))
        .collect()
}
