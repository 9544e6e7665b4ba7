//! Inventory: every DB instance and cluster of one account in the chosen regions.
//!
//! A region that fails is data, not an end: the others are read on, and the report says what is missing.

use atrest_model::document::str_of;
use atrest_model::instance::{DbCluster, DbInstance};
use atrest_model::scan::{RegionScan, Resource, ResourceKind};
use futures::stream::{self, StreamExt as _};

use crate::aws::Aws;
use crate::error::AwsError;

/// Regions read at the same time. Request rates are limited per region, so regions do not slow each other down.
const REGIONS_AT_ONCE: usize = 32;

/// What one region holds.
#[derive(Debug, Clone)]
pub struct RegionInventory {
    /// Region.
    pub region: String,
    /// Every DB instance, members of clusters included.
    pub instances: Vec<DbInstance>,
    /// Every cluster.
    pub clusters: Vec<DbCluster>,
    /// The first call that failed; what was read before it is kept.
    pub error: Option<AwsError>,
    /// API calls made.
    pub calls: usize,
}

/// What one account holds.
#[derive(Debug, Clone)]
pub struct Inventory {
    /// Account id.
    pub account: String,
    /// One entry a region, sorted by name.
    pub regions: Vec<RegionInventory>,
}

/// Reads all `regions` concurrently.
pub async fn read(aws: &Aws, account: &str, regions: &[String]) -> Inventory {
    let mut read: Vec<RegionInventory> = stream::iter(regions.iter().cloned())
        .map(|region| async move { read_region(aws, region).await })
        .buffer_unordered(REGIONS_AT_ONCE)
        .collect()
        .await;
    read.sort_by(|a, b| a.region.cmp(&b.region));
    Inventory {
        account: account.to_owned(),
        regions: read,
    }
}

async fn read_region(aws: &Aws, region: String) -> RegionInventory {
    let rds = aws.rds(&region);
    let (instances, clusters) = futures::join!(rds.db_instances(), rds.db_clusters());
    let mut inventory = RegionInventory {
        region,
        instances: Vec::new(),
        clusters: Vec::new(),
        error: None,
        calls: 0,
    };
    match instances {
        Ok((instances, calls)) => {
            inventory.instances = instances;
            inventory.calls += calls;
        }
        Err(error) => inventory.error = Some(error),
    }
    match clusters {
        Ok((clusters, calls)) => {
            inventory.clusters = clusters;
            inventory.calls += calls;
        }
        Err(error) => inventory.error = inventory.error.or(Some(error)),
    }
    inventory
}

impl Inventory {
    /// The rows of the report: clusters, and instances that have storage of their own.
    #[must_use]
    pub fn resources(&self) -> Vec<Resource> {
        let mut resources: Vec<Resource> = self
            .regions
            .iter()
            .flat_map(|region| {
                let instances = region
                    .instances
                    .iter()
                    .filter(|instance| instance.cluster().is_none())
                    .map(|instance| self.instance_row(instance));
                let clusters = region
                    .clusters
                    .iter()
                    .map(|cluster| self.cluster_row(cluster));
                instances.chain(clusters)
            })
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
                resources: region
                    .instances
                    .iter()
                    .filter(|i| i.cluster().is_none())
                    .count()
                    + region.clusters.len(),
            })
            .collect()
    }

    fn instance_row(&self, instance: &DbInstance) -> Resource {
        Resource {
            arn: instance.arn().to_owned(),
            account: self.account.clone(),
            region: instance.region.clone(),
            kind: ResourceKind::DbInstance,
            identifier: instance.identifier().to_owned(),
            engine: instance.engine().to_owned(),
            engine_version: instance.engine_version().to_owned(),
            class: str_of(&instance.document, "DBInstanceClass").map(str::to_owned),
            status: instance.status().to_owned(),
            encryption: instance.encryption(),
            kms_key_id: instance.kms_key_id().map(str::to_owned),
            replica_of: instance.replica_source().map(str::to_owned),
            source: None,
            members: Vec::new(),
        }
    }

    fn cluster_row(&self, cluster: &DbCluster) -> Resource {
        let document = &cluster.document;
        Resource {
            arn: cluster.arn().to_owned(),
            account: self.account.clone(),
            region: cluster.region.clone(),
            kind: ResourceKind::DbCluster,
            identifier: cluster.identifier().to_owned(),
            engine: cluster.engine().to_owned(),
            engine_version: str_of(document, "EngineVersion")
                .unwrap_or_default()
                .to_owned(),
            class: str_of(document, "DBClusterInstanceClass").map(str::to_owned),
            status: str_of(document, "Status").unwrap_or_default().to_owned(),
            encryption: cluster.encryption(),
            kms_key_id: str_of(document, "KmsKeyId").map(str::to_owned),
            replica_of: str_of(document, "ReplicationSourceIdentifier").map(str::to_owned),
            source: None,
            members: cluster.members().map(str::to_owned).collect(),
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
