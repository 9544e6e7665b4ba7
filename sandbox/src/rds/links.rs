//! Who replicates from whom, across the regions of an account.
//!
//! In its own region a source or a replica is shown by its name, elsewhere by its ARN. Replicas know their
//! source by its resource id, so a rename on either side changes what is shown and nothing else.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::state::{DbInstance, Scope};
use crate::world::World;

/// The links of an account, as seen from one of its regions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Links {
    /// Resource id of a source to how it is shown.
    sources: BTreeMap<String, String>,
    /// Resource id of a source to how its replicas are shown, sorted.
    replicas: BTreeMap<String, Vec<String>>,
    until: Option<Timestamp>,
}

impl Links {
    /// Those that Describe shows at `now`.
    pub(crate) fn of(world: &World, seen_from: &Scope, now: Timestamp) -> Self {
        let mut links = Self::default();
        let display = |scope: &Scope, id: &str| {
            if scope == seen_from {
                id.to_owned()
            } else {
                scope.arn("db", id)
            }
        };
        for (scope, replica) in instances(world, &seen_from.account) {
            let Some(source) = &replica.replica_of else {
                continue;
            };
            if let Some(stale) = replica.stale.as_ref().filter(|stale| now < stale.until) {
                links.until = links.until.into_iter().chain([stale.until]).min();
            }
            let replicas = links.replicas.entry(source.clone()).or_default();
            // The truth about whose replica it is, under the name by which it is known.
            if replica.shown(now).is_some() {
                replicas.push(display(scope, &replica.id));
            }
        }
        if links.replicas.is_empty() {
            return links;
        }
        links
            .replicas
            .values_mut()
            .for_each(|names| names.sort_unstable());
        for (scope, source) in instances(world, &seen_from.account) {
            if links.replicas.contains_key(&source.resource_id) {
                links
                    .sources
                    .insert(source.resource_id.clone(), display(scope, &source.id));
            }
        }
        links
    }

    /// When one of them changes although nothing happens: the views of the past run out.
    pub(crate) fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// What stands in `ReadReplicaSourceDBInstanceIdentifier`.
    pub(crate) fn source(&self, instance: &DbInstance) -> Option<&String> {
        self.sources.get(instance.replica_of.as_ref()?)
    }

    /// What stands in `ReadReplicaDBInstanceIdentifiers`.
    pub(crate) fn replicas(&self, instance: &DbInstance) -> &[String] {
        self.replicas
            .get(&instance.resource_id)
            .map_or(&[], Vec::as_slice)
    }
}

/// The replicas of an instance, with the region of each.
pub(crate) fn replicas_everywhere<'a>(
    world: &'a World,
    account: &'a str,
    resource_id: &'a str,
) -> impl Iterator<Item = (&'a Scope, &'a DbInstance)> {
    instances(world, account)
        .filter(move |(_, instance)| instance.replica_of.as_deref() == Some(resource_id))
}

fn instances<'a>(
    world: &'a World,
    account: &'a str,
) -> impl Iterator<Item = (&'a Scope, &'a DbInstance)> {
    world
        .regions
        .iter()
        .filter(move |(scope, _)| scope.account == account)
        .flat_map(|(scope, region)| {
            region
                .instances
                .iter()
                .map(move |instance| (scope, instance))
        })
}
