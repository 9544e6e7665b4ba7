//! Policies of atrest: what is flagged, and why.
//!
//! A policy looks at one resource and says what is wrong with it. It never reads anything itself. Adding one: a file in
//! `rules/`, a line in [`registry`], a page in `docs/policies/`, cases in `policies/tests/data/<id>/`; a test walks the
//! registry and names what is missing.

mod custom;
mod fleet;
mod policy;
mod registry;
mod rules;
mod waiver;

use atrest_model::finding::Finding;
use atrest_model::instance::{DbCluster, DbInstance};
use rayon::prelude::*;

pub use custom::{CustomMeta, CustomPolicies, InvalidPolicy};
pub use fleet::Fleet;
pub use policy::{Controls, Fix, Policy, PolicyMeta, Subject};
pub use registry::registry;
pub use waiver::{InvalidWaivers, Waivers};

/// Evaluates every policy on every resource of one account. The findings are sorted by resource, then policy; what
/// has none has passed.
pub fn evaluate<'a>(
    instances: impl IntoIterator<Item = &'a DbInstance>,
    clusters: impl IntoIterator<Item = &'a DbCluster>,
) -> Vec<Finding> {
    evaluate_fleet(&Fleet::new(instances, clusters))
}

/// Evaluates every policy on every resource of a fleet, as [`evaluate`] does.
#[must_use]
pub fn evaluate_fleet(fleet: &Fleet<'_>) -> Vec<Finding> {
    let instances: Vec<&DbInstance> = fleet.instances().collect();
    let clusters: Vec<&DbCluster> = fleet.clusters().collect();
    let of_instance = |instance: &&DbInstance| -> Vec<Finding> {
        registry()
            .iter()
            .flat_map(|policy| policy.instance(instance, fleet))
            .collect()
    };
    let of_cluster = |cluster: &&DbCluster| -> Vec<Finding> {
        registry()
            .iter()
            .flat_map(|policy| policy.cluster(cluster, fleet))
            .collect()
    };
    // Resources are judged side by side: an organization has a hundred thousand of them.
    let mut findings: Vec<Finding> = instances
        .par_iter()
        .flat_map_iter(of_instance)
        .chain(clusters.par_iter().flat_map_iter(of_cluster))
        .collect();
    findings.sort_by(|a, b| (&a.resource, &a.policy).cmp(&(&b.resource, &b.policy)));
    findings
}

/// Evaluates every policy on one DB instance that belongs to no cluster, as after its migration.
#[must_use]
pub fn evaluate_instance(instance: &DbInstance) -> Vec<Finding> {
    evaluate([instance], [])
}
