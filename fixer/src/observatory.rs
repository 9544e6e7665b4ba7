//! One describe loop per region serves every migration that waits there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use atrest_model::document::str_of;
use atrest_model::instance::DbInstance;
use atrest_scanner::error::AwsError;
use atrest_scanner::rds::Rds;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::clock::{self, Timing};

/// What a region looked like at one moment.
#[derive(Debug)]
pub(crate) struct RegionView {
    /// When the describe calls began: a mutation that was answered before is on its way to being seen.
    pub(crate) began: Instant,
    instances: BTreeMap<String, DbInstance>,
    /// Manual snapshots by name; `None` when nobody asked for them.
    snapshots: Option<BTreeMap<String, Value>>,
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
        self.snapshots.iter().flat_map(BTreeMap::values)
    }

    /// The snapshot of that name; an error when this view did not read snapshots.
    pub(crate) fn snapshot(&self, name: &str) -> Result<Option<&Value>, SnapshotsNotRead> {
        self.snapshots
            .as_ref()
            .map(|snapshots| snapshots.get(name))
            .ok_or(SnapshotsNotRead)
    }
}

/// This view did not read snapshots.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SnapshotsNotRead;

type Latest = Option<Result<Arc<RegionView>, (Instant, AwsError)>>;

/// The describe loop of one region.
#[derive(Debug)]
pub(crate) struct Observatory {
    latest: watch::Receiver<Latest>,
    wanted: Arc<Notify>,
    snapshots_wanted: Arc<AtomicBool>,
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
        let snapshots_wanted = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(watch_region(
            rds,
            timing,
            Arc::clone(&wanted),
            Arc::clone(&snapshots_wanted),
            publish,
        ));
        Self {
            latest,
            wanted,
            snapshots_wanted,
            task,
        }
    }

    /// A view whose describe calls began at or after `since`. Waits for the next loop if there is none yet.
    pub(crate) async fn view(
        &self,
        since: Instant,
        with_snapshots: bool,
    ) -> Result<Arc<RegionView>, AwsError> {
        let mut latest = self.latest.clone();
        loop {
            match &*latest.borrow_and_update() {
                Some(Ok(view))
                    if view.began >= since && (!with_snapshots || view.snapshots.is_some()) =>
                {
                    return Ok(Arc::clone(view));
                }
                Some(Err((began, error))) if *began >= since => return Err(error.clone()),
                _ => {}
            }
            if with_snapshots {
                self.snapshots_wanted.store(true, Ordering::Release);
            }
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
    snapshots_wanted: Arc<AtomicBool>,
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
        let with_snapshots = snapshots_wanted.swap(false, Ordering::AcqRel);
        let view = look(&rds, began, with_snapshots).await;
        publish.send_replace(Some(view.map(Arc::new).map_err(|error| (began, error))));
    }
}

async fn look(rds: &Rds, began: Instant, with_snapshots: bool) -> Result<RegionView, AwsError> {
    let (instances, snapshots) = futures::join!(rds.db_instances(), async {
        if with_snapshots {
            rds.manual_snapshots().await.map(Some)
        } else {
            Ok(None)
        }
    });
    let instances = instances?
        .0
        .into_iter()
        .map(|i| (i.dbi_resource_id().to_owned(), i))
        .collect();
    let snapshots = snapshots?.map(|listing| {
        listing
            .items
            .into_iter()
            .filter_map(|snapshot| {
                Some((
                    str_of(&snapshot, "DBSnapshotIdentifier")?.to_owned(),
                    snapshot,
                ))
            })
            .collect()
    });
    Ok(RegionView {
        began,
        instances,
        snapshots,
    })
}
