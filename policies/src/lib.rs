//! Policies of atrest: what is flagged, and why.
//!
//! A policy looks at one resource and says what is wrong with it. It never reads anything itself. Adding one: a file in
//! `rules/`, a line in [`registry`], a page in `docs/policies/`.

mod policy;
mod registry;
mod rules;

use atrest_model::finding::Finding;
use atrest_model::instance::{DbCluster, DbInstance};

pub use policy::{Policy, PolicyMeta};
pub use registry::registry;

/// Evaluates every policy on every resource. Members of a cluster are judged on their cluster. The findings are sorted
/// by resource, then policy.
pub fn evaluate<'a>(
    instances: impl IntoIterator<Item = &'a DbInstance>,
    clusters: impl IntoIterator<Item = &'a DbCluster>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for instance in instances
        .into_iter()
        .filter(|instance| instance.cluster().is_none())
    {
        findings.extend(
            registry()
                .iter()
                .filter_map(|policy| policy.instance(instance)),
        );
    }
    for cluster in clusters {
        findings.extend(
            registry()
                .iter()
                .filter_map(|policy| policy.cluster(cluster)),
        );
    }
    findings.sort_by(|a, b| (&a.resource, &a.policy).cmp(&(&b.resource, &b.policy)));
    findings
}
