//! What a policy may look at beside the resource it judges.

use std::collections::HashMap;
use std::sync::Arc;

use atrest_model::instance::{DbCluster, DbInstance};
use atrest_model::key::{KeyState, Keys};
use atrest_model::resource::{Described, DescribedRef, GroupKind, ParameterGroup, ParameterGroups};
use atrest_model::scan::ResourceKind;
use serde_json::Value;

/// Every resource of one account that was read.
#[derive(Debug, Default)]
pub struct Fleet<'a> {
    instances: Vec<&'a DbInstance>,
    clusters: Vec<&'a DbCluster>,
    /// The other kinds, each on its own.
    others: HashMap<ResourceKind, Vec<&'a Described>>,
    known: Arc<Known<'a>>,
    keys: Option<&'a Keys>,
    groups: Option<&'a ParameterGroups>,
}

/// What can be looked up.
#[derive(Debug, Default)]
struct Known<'a> {
    instances_by_name: HashMap<Name<'a>, &'a DbInstance>,
    clusters_by_name: HashMap<Name<'a>, &'a DbCluster>,
    /// Cluster → its instances.
    members: HashMap<Name<'a>, Vec<&'a DbInstance>>,
    /// `DbiResourceId` or `DbClusterResourceId` → the living instance or cluster.
    by_resource_id: HashMap<&'a str, DescribedRef<'a>>,
}

/// Region and identifier: a name is unique in its region.
type Name<'a> = (&'a str, &'a str);

impl<'a> Fleet<'a> {
    /// The fleet of one account.
    pub fn new(
        instances: impl IntoIterator<Item = &'a DbInstance>,
        clusters: impl IntoIterator<Item = &'a DbCluster>,
    ) -> Self {
        let instances: Vec<&DbInstance> = instances.into_iter().collect();
        let clusters: Vec<&DbCluster> = clusters.into_iter().collect();
        let by_resource_id = instances
            .iter()
            .map(|instance| DescribedRef::from(*instance))
            .chain(clusters.iter().map(|cluster| DescribedRef::from(*cluster)))
            .filter_map(|resource| Some((resource.source_resource_id()?, resource)))
            .collect();
        let mut members: HashMap<Name<'a>, Vec<&DbInstance>> = HashMap::new();
        for instance in &instances {
            if let Some(cluster) = instance.cluster() {
                let name = (instance.region.as_str(), cluster);
                members.entry(name).or_default().push(instance);
            }
        }
        let known = Known {
            members,
            instances_by_name: instances
                .iter()
                .map(|instance| ((instance.region.as_str(), instance.identifier()), *instance))
                .collect(),
            clusters_by_name: clusters
                .iter()
                .map(|cluster| ((cluster.region.as_str(), cluster.identifier()), *cluster))
                .collect(),
            by_resource_id,
        };
        Self {
            known: Arc::new(known),
            instances,
            clusters,
            ..Self::default()
        }
    }

    /// A fleet of which only these are judged, and what this one has can be looked up. It costs what is judged.
    #[must_use]
    pub fn judging(
        &self,
        instances: impl IntoIterator<Item = &'a DbInstance>,
        clusters: impl IntoIterator<Item = &'a DbCluster>,
    ) -> Self {
        Self {
            instances: instances.into_iter().collect(),
            clusters: clusters.into_iter().collect(),
            others: HashMap::new(),
            known: Arc::clone(&self.known),
            keys: self.keys,
            groups: self.groups,
        }
    }

    /// Adds what is neither instance nor cluster.
    #[must_use]
    pub fn with_resources(mut self, others: impl IntoIterator<Item = &'a Described>) -> Self {
        for other in others {
            self.others.entry(other.kind).or_default().push(other);
        }
        self
    }

    /// Adds what is known of keys.
    #[must_use]
    pub fn with_keys(mut self, keys: &'a Keys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Adds what is known of parameter groups.
    #[must_use]
    pub fn with_parameter_groups(mut self, groups: &'a ParameterGroups) -> Self {
        self.groups = Some(groups);
        self
    }

    /// Every DB instance, members of clusters included.
    pub fn instances(&self) -> impl Iterator<Item = &'a DbInstance> {
        self.instances.iter().copied()
    }

    /// Every cluster.
    pub fn clusters(&self) -> impl Iterator<Item = &'a DbCluster> {
        self.clusters.iter().copied()
    }

    /// Every resource of a kind; of instances, members of clusters included.
    pub fn resources(&self, kind: ResourceKind) -> impl Iterator<Item = DescribedRef<'a>> {
        let instances = (kind == ResourceKind::DbInstance).then(|| self.instances());
        let clusters = (kind == ResourceKind::DbCluster).then(|| self.clusters());
        let others = self
            .others
            .get(&kind)
            .map(Vec::as_slice)
            .unwrap_or_default();
        instances
            .into_iter()
            .flatten()
            .map(DescribedRef::from)
            .chain(clusters.into_iter().flatten().map(DescribedRef::from))
            .chain(others.iter().map(|other| other.view()))
    }

    /// The instance of that name, if it was read.
    #[must_use]
    pub fn instance(&self, region: &str, identifier: &str) -> Option<&'a DbInstance> {
        self.known
            .instances_by_name
            .get(&(region, identifier))
            .copied()
    }

    /// The cluster of that name, if it was read.
    #[must_use]
    pub fn cluster(&self, region: &str, identifier: &str) -> Option<&'a DbCluster> {
        self.known
            .clusters_by_name
            .get(&(region, identifier))
            .copied()
    }

    /// The instances of a cluster that were read.
    #[must_use]
    pub fn members<'s>(&'s self, region: &'s str, cluster: &'s str) -> &'s [&'a DbInstance] {
        self.known
            .members
            .get(&(region, cluster))
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// The living instance or cluster that a snapshot or automated backup was made of, by resource id: whoever bears
    /// its name today may be another one. `None` when it is gone, of another account, or was not read.
    #[must_use]
    pub fn source_of(&self, resource: DescribedRef<'_>) -> Option<DescribedRef<'a>> {
        self.known
            .by_resource_id
            .get(resource.source_resource_id()?)
            .copied()
    }

    /// Whether keys were asked for at all.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// Whether parameter groups were asked for at all.
    #[must_use]
    pub fn has_parameter_groups(&self) -> bool {
        self.groups.is_some()
    }

    /// What is known of a key, by its ARN; `None` when nobody asked for it.
    #[must_use]
    pub fn key(&self, arn: &str) -> Option<&'a KeyState> {
        self.keys?.get(arn)
    }

    /// What is known of a parameter group; `None` when nobody asked for it.
    #[must_use]
    pub fn group(&self, region: &str, kind: GroupKind, name: &str) -> Option<&'a ParameterGroup> {
        self.groups?.get(region, kind, name)
    }

    /// Those parameters of a DB parameter group that policies ask for; `None` when it was not read, see
    /// [`Self::group`] for why.
    #[must_use]
    pub fn parameter_group(&self, region: &str, name: &str) -> Option<&'a [Value]> {
        parameters(self.group(region, GroupKind::Instance, name)?)
    }

    /// The same of a DB cluster parameter group.
    #[must_use]
    pub fn cluster_parameter_group(&self, region: &str, name: &str) -> Option<&'a [Value]> {
        parameters(self.group(region, GroupKind::Cluster, name)?)
    }
}

fn parameters(group: &ParameterGroup) -> Option<&[Value]> {
    match group {
        ParameterGroup::Read(parameters) => Some(parameters),
        ParameterGroup::Unreadable(_) => None,
    }
}
