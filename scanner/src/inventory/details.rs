//! What resources name and policies ask about: KMS keys and parameter groups, each read once.

use std::collections::{BTreeMap, BTreeSet};

use atrest_model::key::{KeyState, Rotation, region_of};
use atrest_model::resource::{GroupKind, ParameterGroup};
use futures::stream::{self, StreamExt as _};

use super::{Inventory, Surface};
use crate::aws::Aws;
use crate::keys::Kms;
use crate::rds::Rds;

/// Calls under way at the same time.
const AT_ONCE: usize = 32;

/// Reads every key and group that is wanted once. What fails is kept as unreadable, with the reason: it says nothing of the scan as a
/// whole, only of the policies that need it.
pub(super) async fn read(aws: &Aws, inventory: &mut Inventory, surface: &Surface) {
    let (mut keys, mut groups) = named(inventory);
    if !surface.keys {
        keys.clear();
    }
    if !surface.parameter_groups {
        groups.clear();
    }
    let (keys, groups) = futures::join!(
        Box::pin(describe_keys(aws, keys)),
        Box::pin(describe_groups(aws, groups))
    );
    for (arn, state, calls) in keys {
        inventory.calls += calls;
        inventory.keys.insert(arn, state);
    }
    for ((region, kind, name), group) in groups {
        inventory.calls += 1;
        inventory.groups.insert(&region, kind, &name, group);
    }
}

/// Region, kind and name.
type Group = (String, GroupKind, String);

/// ARNs of keys and parameter groups that something names.
fn named(inventory: &Inventory) -> (BTreeSet<String>, BTreeSet<Group>) {
    let (mut keys, mut groups) = (BTreeSet::new(), BTreeSet::new());
    for found in inventory
        .regions
        .iter()
        .flat_map(super::RegionInventory::described)
    {
        for (_, key) in found.kms_keys() {
            let arn = found.key_arn(key);
            if !keys.contains(&*arn) {
                keys.insert(arn.into_owned());
            }
        }
        for (kind, name) in found.parameter_groups() {
            groups.insert((found.region.to_owned(), kind, name.to_owned()));
        }
    }
    (keys, groups)
}

async fn describe_keys(aws: &Aws, keys: BTreeSet<String>) -> Vec<(String, KeyState, usize)> {
    let clients: BTreeMap<&str, Kms> = keys
        .iter()
        .filter_map(|arn| region_of(arn))
        .map(|region| (region, aws.kms(region)))
        .collect();
    stream::iter(&keys)
        .map(|arn| {
            let client = region_of(arn).and_then(|region| clients.get(region));
            async move {
                let Some(client) = client else {
                    let why = format!("{arn:?} names no region");
                    return (arn.clone(), KeyState::Unreadable(why), 0);
                };
                let mut facts = match client.describe(arn).await {
                    Ok(facts) => facts,
                    Err(error) => {
                        return (arn.clone(), KeyState::Unreadable(error.to_string()), 1);
                    }
                };
                let mut calls = 1;
                if facts.rotation == Rotation::Unknown {
                    calls += 1;
                    facts.rotation = client.rotation(&facts.arn).await;
                }
                (arn.clone(), KeyState::Known(facts), calls)
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

async fn describe_groups(aws: &Aws, groups: BTreeSet<Group>) -> Vec<(Group, ParameterGroup)> {
    let clients: BTreeMap<&str, Rds> = groups
        .iter()
        .map(|(region, _, _)| (region.as_str(), aws.rds(region)))
        .collect();
    stream::iter(&groups)
        .filter_map(|group| {
            let client = clients.get(group.0.as_str());
            async move { Some((group, client?)) }
        })
        .map(|(group, client)| async move {
            let (_, kind, name) = group;
            let read = match Box::pin(client.asked_parameters(*kind, name)).await {
                Ok(listing) => ParameterGroup::Read(listing.items),
                Err(error) => ParameterGroup::Unreadable(error.to_string()),
            };
            (group.clone(), read)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}
