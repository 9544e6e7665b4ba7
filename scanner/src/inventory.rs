//! Inventory: what one account holds in the chosen regions.
//!
//! A region that fails is data, not an end: the others are read on, and the report says what is missing. So is a kind
//! that cannot be read where others can. No call is made for a single resource: a scan costs its pages, and one call
//! for each KMS key and each parameter group that something names.

mod details;

use std::collections::BTreeSet;
use std::sync::Arc;

use atrest_model::document::{list_of, str_of};
use atrest_model::instance::{DbCluster, DbInstance};
use atrest_model::keep::Keep;
use atrest_model::key::{Keys, region_of};
use atrest_model::resource::{Described, DescribedRef, ParameterGroups};
use atrest_model::scan::{RegionScan, Resource, ResourceKind, UnreadKind};
use futures::future::{self, BoxFuture, Either, join_all};
use futures::stream::{self, StreamExt as _};
use serde_json::Value;

use self::details::Details;
pub(crate) use self::details::Noting;
use crate::aws::Aws;
use crate::error::AwsError;
use crate::packed::{PackedAccount, Packing};

/// Regions read at the same time. Request rates are limited per region, so regions do not slow each other down.
const REGIONS_AT_ONCE: usize = 32;

/// What one region holds.
#[derive(Debug, Clone, Default)]
pub struct RegionInventory {
    /// Region.
    pub region: String,
    /// Every DB instance, members of clusters included.
    pub instances: Vec<DbInstance>,
    /// Every cluster.
    pub clusters: Vec<DbCluster>,
    /// Everything else that was asked for, in the order it was read.
    pub others: Vec<Described>,
    /// Why the region could not be read: the first call that failed. What other calls answered is kept.
    pub error: Option<AwsError>,
    /// Kinds that could not be read, or not to their end, where others could; and why. What of such a kind was read is
    /// there.
    pub unread: Vec<(ResourceKind, String)>,
    /// Whether the reading was broken off; `error` says so too.
    pub interrupted: bool,
    /// API calls made.
    pub calls: usize,
}

/// What one account holds.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Account id.
    pub account: String,
    /// One entry a region, sorted by name.
    pub regions: Vec<RegionInventory>,
    /// KMS keys that something names.
    pub keys: Keys,
    /// Parameter groups that instances and clusters use.
    pub groups: ParameterGroups,
    /// API calls for keys and parameter groups.
    pub calls: usize,
}

/// What is read of a region.
#[derive(Debug, Clone)]
pub struct Surface {
    /// Kinds.
    pub kinds: BTreeSet<ResourceKind>,
    /// Members of their answers.
    pub keep: Arc<Keep>,
    /// Whether the KMS keys that they name are read too.
    pub keys: bool,
    /// Whether the parameter groups that they name are.
    pub parameter_groups: bool,
}

impl Surface {
    /// All there is.
    #[must_use]
    pub fn whole() -> Self {
        Self {
            kinds: BTreeSet::from(ResourceKind::ALL),
            keep: Arc::default(),
            keys: true,
            parameter_groups: true,
        }
    }
}

/// Reads the instances and clusters of all `regions` concurrently. A region of which one kind fails has failed.
pub async fn read(aws: &Aws, account: &str, regions: &[String]) -> Inventory {
    let surface = Surface {
        kinds: BTreeSet::from([ResourceKind::DbInstance, ResourceKind::DbCluster]),
        keep: Arc::default(),
        keys: false,
        parameter_groups: false,
    };
    let (noting, _nothing) = Noting::new(account, &surface);
    let mut watch = Watch::default();
    let mut inventory =
        read_regions(aws, account, regions, &surface, noting, &mut watch, |_| ()).await;
    for region in &mut inventory.regions {
        region.unread.clear();
    }
    inventory
}

/// Who looks on while regions are read.
pub struct Watch<'a> {
    /// Gives what ends the reading: what is not read by then has failed.
    pub stop: Box<dyn Fn() -> BoxFuture<'a, ()> + Send + 'a>,
    /// Is told of each region that is done.
    pub done: Box<dyn FnMut(&RegionInventory) + Send + 'a>,
}

impl Default for Watch<'_> {
    fn default() -> Self {
        Self {
            stop: Box::new(|| Box::pin(std::future::pending())),
            done: Box::new(|_region| {}),
        }
    }
}

/// Reads `surface` in all `regions` concurrently, and those keys and parameter groups that it names and wants. A region
/// has failed when nothing of it could be read.
pub async fn read_surface(
    aws: &Aws,
    account: &str,
    regions: &[String],
    surface: &Surface,
) -> Inventory {
    let watch = Watch::default();
    let mut inventory = Box::pin(read_listed(aws, account, regions, surface, watch, |_| ())).await;
    inventory.settle_global_clusters();
    inventory
}

/// As [`read_surface`], and somebody looks on. The documents of a region are packed as soon as it is read.
pub async fn read_watched(
    aws: &Aws,
    account: &str,
    regions: &[String],
    surface: &Surface,
    watch: Watch<'_>,
) -> PackedAccount {
    let mut packing = Packing::default();
    let take = |region: &mut RegionInventory| packing.take(account, region);
    let mut inventory = Box::pin(read_listed(aws, account, regions, surface, watch, take)).await;
    inventory.settle_global_clusters();
    packing.finish(inventory)
}

/// As [`read_surface`], of some regions of an account whose others somebody else reads: global clusters stay in every
/// region that lists them, for [`Inventory::settle_global_clusters`] of the whole account.
pub async fn read_shard(
    aws: &Aws,
    account: &str,
    regions: &[String],
    surface: &Surface,
    watch: Watch<'_>,
) -> Inventory {
    Box::pin(read_listed(aws, account, regions, surface, watch, |_| ())).await
}

async fn read_listed(
    aws: &Aws,
    account: &str,
    regions: &[String],
    surface: &Surface,
    mut watch: Watch<'_>,
    take: impl FnMut(&mut RegionInventory),
) -> Inventory {
    let (noting, named) = Noting::new(account, surface);
    let mut details = Details::default();
    let stop = (watch.stop)();
    // What is not known of a key by then is a policy that is not evaluated.
    let detailing = future::select(Box::pin(details.read(aws, named)), stop);
    let reading = read_regions(aws, account, regions, surface, noting, &mut watch, take);
    let (mut inventory, _) = future::join(Box::pin(reading), detailing).await;
    details.add_to(&mut inventory);
    for region in &mut inventory.regions {
        // A call that was answered is something that was read.
        if region.calls > 0 && !region.interrupted {
            region.error = None;
        } else {
            region.unread.clear();
        }
    }
    inventory
}

async fn read_regions(
    aws: &Aws,
    account: &str,
    regions: &[String],
    surface: &Surface,
    noting: Noting,
    watch: &mut Watch<'_>,
    mut take: impl FnMut(&mut RegionInventory),
) -> Inventory {
    let mut stop = (watch.stop)();
    let mut reading = stream::iter(regions)
        .map(|region| read_region(aws, account, region, surface, noting.clone()))
        .buffer_unordered(REGIONS_AT_ONCE);
    let mut read: Vec<RegionInventory> = Vec::with_capacity(regions.len());
    loop {
        match future::select(reading.next(), &mut stop).await {
            Either::Left((Some(mut region), _)) => {
                (watch.done)(&region);
                take(&mut region);
                read.push(region);
            }
            Either::Left((None, _)) => break,
            Either::Right(_) => {
                let unread = |region: &&String| !read.iter().any(|done| done.region == **region);
                let left: Vec<&String> = regions.iter().filter(unread).collect();
                read.extend(left.into_iter().map(|region| RegionInventory {
                    error: Some(AwsError::interrupted(region)),
                    interrupted: true,
                    ..RegionInventory::new(region)
                }));
                break;
            }
        }
    }
    drop(reading);
    read.sort_by(|a, b| a.region.cmp(&b.region));
    Inventory {
        account: account.to_owned(),
        regions: read,
        ..Inventory::default()
    }
}

async fn read_region(
    aws: &Aws,
    account: &str,
    region: &str,
    surface: &Surface,
    noting: Noting,
) -> RegionInventory {
    let rds = aws
        .rds(region)
        .keeping(Arc::clone(&surface.keep))
        .noting(noting);
    let mut inventory = RegionInventory::new(region);
    let listings = surface.kinds.iter().map(|kind| {
        let listing = Box::pin(rds.listing(*kind));
        async move { (*kind, listing.await) }
    });
    for (kind, reading) in join_all(listings).await {
        let read = reading.listing.items.len();
        inventory.calls += reading.listing.calls;
        for document in reading.listing.items {
            inventory.add(kind, account, document);
        }
        if let Some(error) = reading.cut {
            let error = error.in_a_region();
            let why = match read {
                0 => error.to_string(),
                read => format!("the list ends after {read}: {error}"),
            };
            inventory.unread.push((kind, why));
            inventory.error.get_or_insert(error);
        }
    }
    inventory
}

impl RegionInventory {
    /// A region of which nothing is known yet.
    #[must_use]
    pub fn new(region: &str) -> Self {
        Self {
            region: region.to_owned(),
            ..Self::default()
        }
    }

    /// Adds one described thing.
    pub fn add(&mut self, kind: ResourceKind, account: &str, document: Value) {
        let region = self.region.clone();
        match kind {
            ResourceKind::DbInstance => self.instances.push(DbInstance { region, document }),
            ResourceKind::DbCluster => self.clusters.push(DbCluster { region, document }),
            _ => self.others.push(Described {
                kind,
                account: account.to_owned(),
                region,
                document,
            }),
        }
    }

    /// Everything in it, members of clusters included.
    pub fn described(&self) -> impl Iterator<Item = DescribedRef<'_>> {
        let instances = self.instances.iter().map(DescribedRef::from);
        let clusters = self.clusters.iter().map(DescribedRef::from);
        let others = self.others.iter().map(Described::view);
        instances.chain(clusters).chain(others)
    }

    /// What has a row in the report: the storage of a member is its cluster's.
    fn rows(&self) -> impl Iterator<Item = DescribedRef<'_>> {
        self.described().filter(|found| !found.is_cluster_member())
    }
}

impl Inventory {
    /// The rows of the report: clusters, instances that have storage of their own, and what is made of both.
    #[must_use]
    pub fn resources(&self) -> Vec<Resource> {
        let mut resources: Vec<Resource> = self
            .regions
            .iter()
            .flat_map(RegionInventory::rows)
            .map(|found| self.row(found))
            .collect();
        resources.sort_by(|a, b| a.arn.cmp(&b.arn));
        resources
    }

    /// What became of each region.
    #[must_use]
    pub fn region_rows(&self) -> Vec<RegionScan> {
        self.regions
            .iter()
            .map(|region| RegionScan {
                account: self.account.clone(),
                region: region.region.clone(),
                error: region.error.as_ref().map(ToString::to_string),
                resources: region.rows().count(),
                throttled: 0,
            })
            .collect()
    }

    /// Kinds that could not be read where others could.
    #[must_use]
    pub fn unread_rows(&self) -> Vec<UnreadKind> {
        let mut rows: Vec<UnreadKind> = self
            .regions
            .iter()
            .flat_map(|region| {
                region.unread.iter().map(|(kind, reason)| UnreadKind {
                    account: self.account.clone(),
                    region: region.region.clone(),
                    kind: *kind,
                    reason: reason.clone(),
                })
            })
            .collect();
        rows.sort();
        rows
    }

    fn row(&self, found: DescribedRef<'_>) -> Resource {
        let owned = |text: &str| text.to_owned();
        let is_copy = !matches!(
            found.kind,
            ResourceKind::DbInstance | ResourceKind::DbCluster
        );
        let class = match found.kind {
            ResourceKind::DbInstance => found.text("DBInstanceClass"),
            ResourceKind::DbCluster => found.text("DBClusterInstanceClass"),
            _ => None,
        };
        Resource {
            arn: found.arn().into_owned(),
            account: self.account.clone(),
            region: found.region.to_owned(),
            kind: found.kind,
            identifier: found.identifier().to_owned(),
            engine: found.engine().to_owned(),
            engine_version: found.engine_version().to_owned(),
            class: class.map(owned),
            status: found.status().to_owned(),
            encryption: found.encryption(),
            kms_key_id: found.kms_key_id().map(owned),
            replica_of: found.source().filter(|_| !is_copy).map(owned),
            source: found.source().filter(|_| is_copy).map(owned),
            members: match found.kind {
                ResourceKind::DbCluster => list_of(found.document, "DBClusterMembers")
                    .iter()
                    .filter_map(|member| str_of(member, "DBInstanceIdentifier"))
                    .map(owned)
                    .collect(),
                _ => Vec::new(),
            },
        }
    }

    /// Every region lists every global cluster of the account: each is kept once, in the region it writes to.
    pub fn settle_global_clusters(&mut self) {
        let mut seen = BTreeSet::new();
        let mut moved = Vec::new();
        for (index, region) in self.regions.iter_mut().enumerate() {
            let others = std::mem::take(&mut region.others);
            for mut found in others {
                if found.kind != ResourceKind::GlobalCluster {
                    region.others.push(found);
                } else if seen.insert(found.view().arn().into_owned()) {
                    if let Some(home) = found.view().writer().and_then(region_of) {
                        found.region = home.to_owned();
                    }
                    moved.push((index, found));
                }
            }
        }
        for (listed_in, found) in moved {
            let home = self
                .regions
                .iter()
                .position(|region| region.region == found.region)
                .unwrap_or(listed_in);
            if let Some(region) = self.regions.get_mut(home) {
                region.others.push(found);
            }
        }
    }

    /// The instances of that name, at most one a region.
    #[must_use]
    pub fn named(&self, identifier: &str) -> Vec<&DbInstance> {
        self.regions
            .iter()
            .flat_map(|region| &region.instances)
            .filter(|instance| instance.identifier().eq_ignore_ascii_case(identifier))
            .collect()
    }
}
