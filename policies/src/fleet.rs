//! What a policy may look at beside the resource it judges.

use std::collections::HashMap;

use atrest_model::instance::{DbCluster, DbInstance};

/// Every resource of one account that was read.
#[derive(Debug)]
pub struct Fleet<'a> {
    instances: Vec<&'a DbInstance>,
    clusters: Vec<&'a DbCluster>,
    /// Region and identifier → cluster: a name is unique in its region.
    clusters_by_name: HashMap<(&'a str, &'a str), &'a DbCluster>,
}

impl<'a> Fleet<'a> {
    /// The fleet of one account.
    pub fn new(
        instances: impl IntoIterator<Item = &'a DbInstance>,
        clusters: impl IntoIterator<Item = &'a DbCluster>,
    ) -> Self {
        let clusters: Vec<&DbCluster> = clusters.into_iter().collect();
        Self {
            instances: instances.into_iter().collect(),
            clusters_by_name: clusters
                .iter()
                .map(|cluster| ((cluster.region.as_str(), cluster.identifier()), *cluster))
                .collect(),
            clusters,
        }
    }

    /// Every DB instance, members of clusters included.
    pub fn instances(&self) -> impl Iterator<Item = &'a DbInstance> {
        self.instances.iter().copied()
    }

    /// Every cluster.
    pub fn clusters(&self) -> impl Iterator<Item = &'a DbCluster> {
        self.clusters.iter().copied()
    }

    /// The cluster of that name, if it was read.
    #[must_use]
    pub fn cluster(&self, region: &str, identifier: &str) -> Option<&'a DbCluster> {
        self.clusters_by_name.get(&(region, identifier)).copied()
    }
}
