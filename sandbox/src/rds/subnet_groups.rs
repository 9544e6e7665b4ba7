//! DB subnet groups: create, change, delete.
//!
//! Subnets themselves belong to EC2: those that exist are the ones that a group has, or had once.

use super::error::ApiError;
use super::groups::write_subnet_group;
use super::state::{Region, SubnetGroup};
use super::{Answer, Call, quotas, result, tags};

/// A DB subnet group's name: letters, digits, spaces, `.`, `_` and `-`, a letter first; not `default`.
fn name(call: &Call<'_>) -> Result<String, ApiError> {
    let name = call
        .params
        .required("DBSubnetGroupName")?
        .to_ascii_lowercase();
    let fine = name.len() <= 255
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "._- ".contains(letter));
    if fine && name != "default" {
        Ok(name)
    } else {
        Err(ApiError::value(
            "The parameter DBSubnetGroupName must be provided, begin with a letter, must contain only letters, digits, periods, underscores, spaces or hyphens, and must not be default.",
        ))
    }
}

/// Zone and VPC of a subnet, if there is such a subnet.
fn locate(region: &Region, subnet: &str) -> Option<(String, String)> {
    region
        .subnet_groups
        .values()
        .find_map(|group| {
            group
                .subnets
                .iter()
                .find(|(id, _)| id == subnet)
                .map(|(_, zone)| (zone.clone(), group.vpc_id.clone()))
        })
        .or_else(|| {
            region
                .loose_subnets
                .iter()
                .find(|(id, ..)| id == subnet)
                .map(|(_, zone, vpc)| (zone.clone(), vpc.clone()))
        })
}

/// The subnets of a call with their zones, and their common VPC. They must cover two zones.
fn subnets(call: &mut Call<'_>) -> Result<(Vec<(String, String)>, String), ApiError> {
    let ids = call
        .params
        .list("SubnetIds")
        .filter(|ids| !ids.is_empty())
        .ok_or_else(|| {
            ApiError::new(
                "MissingParameter",
                "The request must contain the parameter SubnetIds",
            )
        })?;
    let region = call.region();
    let mut found: Vec<(String, String)> = Vec::new();
    let mut vpcs: Vec<String> = Vec::new();
    for id in ids {
        let (zone, vpc) = locate(region, &id).ok_or_else(|| {
            ApiError::new(
                "InvalidSubnet",
                format!("Some input subnets in :[{id}] are invalid."),
            )
        })?;
        if !vpcs.contains(&vpc) {
            vpcs.push(vpc);
        }
        if !found.iter().any(|(known, _)| *known == id) {
            found.push((id, zone));
        }
    }
    let [vpc] = vpcs.as_slice() else {
        return Err(ApiError::new(
            "InvalidSubnet",
            "The requested subnets are not all in a common VPC.",
        ));
    };
    let mut zones: Vec<&str> = found.iter().map(|(_, zone)| zone.as_str()).collect();
    zones.sort_unstable();
    zones.dedup();
    if zones.len() < 2 {
        return Err(ApiError::new(
            "DBSubnetGroupDoesNotCoverEnoughAZs",
            format!(
                "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. Current AZ coverage: {}. Add subnets to cover at least 2 AZs.",
                zones.join(", ")
            ),
        ));
    }
    if quotas::count(found.len()) > quotas::SUBNETS_PER_GROUP {
        return Err(ApiError::new(
            "DBSubnetQuotaExceededFault",
            format!(
                "A DB subnet group has up to {} subnets.",
                quotas::SUBNETS_PER_GROUP
            ),
        ));
    }
    Ok((found, vpc.clone()))
}

fn answer(call: &mut Call<'_>, name: &str) -> Answer {
    let scope = call.scope;
    let group = call
        .region()
        .subnet_groups
        .get(name)
        .ok_or_else(|| ApiError::no_subnet_group(name))?;
    result(|xml| {
        xml.element("DBSubnetGroup", |xml| {
            write_subnet_group(xml, group, Some(scope.arn("subgrp", &group.name)));
        });
    })
}

/// `CreateDBSubnetGroup`.
pub(crate) fn create(call: &mut Call<'_>) -> Answer {
    let name = name(call)?;
    let description = call.params.required("DBSubnetGroupDescription")?;
    let tags = tags::from_request(call.params, "Tags")?.unwrap_or_default();
    if call.region().subnet_groups.contains_key(&name) {
        return Err(ApiError::new(
            "DBSubnetGroupAlreadyExists",
            "The DB subnet group already exists.",
        ));
    }
    let (subnets, vpc_id) = subnets(call)?;
    let region = call.region();
    if quotas::count(region.subnet_groups.len()) >= quotas::SUBNET_GROUPS {
        return Err(ApiError::new(
            "DBSubnetGroupQuotaExceeded",
            format!(
                "You can't have more than {} DB subnet groups.",
                quotas::SUBNET_GROUPS
            ),
        ));
    }
    let group = SubnetGroup {
        name: name.clone(),
        description,
        vpc_id,
        subnets,
        tags,
    };
    region.subnet_groups.insert(name.clone(), group);
    answer(call, &name)
}

/// Subnets of a group that goes, or gives them up, go on existing.
fn keep(region: &mut Region, group: &SubnetGroup) {
    for (id, zone) in &group.subnets {
        if locate(region, id).is_none() {
            region
                .loose_subnets
                .push((id.clone(), zone.clone(), group.vpc_id.clone()));
        }
    }
}

/// `ModifyDBSubnetGroup`: the given subnets replace the present ones. A zone that an instance of the group is
/// in must remain, and so must the VPC.
pub(crate) fn modify(call: &mut Call<'_>) -> Answer {
    let name = name(call)?;
    let description = call.params.text("DBSubnetGroupDescription");
    let before = call
        .region()
        .subnet_groups
        .get(&name)
        .ok_or_else(|| ApiError::no_subnet_group(&name))?
        .clone();
    let (subnets, vpc_id) = subnets(call)?;
    let region = call.region();
    let members: Vec<_> = region
        .instances
        .iter()
        .filter(|instance| instance.subnet_group == name)
        .collect();
    if !members.is_empty() && vpc_id != before.vpc_id {
        return Err(ApiError::new(
            "InvalidSubnet",
            "The requested subnets are not in the VPC of the DB subnet group, which is in use.",
        ));
    }
    for member in members {
        let zones = std::iter::once(&member.availability_zone).chain(member.secondary_az.as_ref());
        for zone in zones {
            if let Some((subnet, _)) = before.subnets.iter().find(|(_, known)| known == zone)
                && !subnets.iter().any(|(_, known)| known == zone)
            {
                return Err(ApiError::new(
                    "SubnetAlreadyInUse",
                    format!(
                        "The subnet {subnet} is in use by the DB instance {}.",
                        member.id
                    ),
                ));
            }
        }
    }
    if let Some(group) = region.subnet_groups.get_mut(&name) {
        group.subnets = subnets;
        group.vpc_id = vpc_id;
        if let Some(description) = description {
            group.description = description;
        }
    }
    keep(region, &before);
    answer(call, &name)
}

/// `DeleteDBSubnetGroup`: not one in use.
pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    let name = name(call)?;
    let region = call.region();
    if !region.subnet_groups.contains_key(&name) {
        return Err(ApiError::no_subnet_group(&name));
    }
    let state = |what: &str, id: &str| {
        ApiError::new(
            "InvalidDBSubnetGroupStateFault",
            format!(
                "Cannot delete the subnet group '{name}' because at least one database {what}: {id} is still using it."
            ),
        )
    };
    if let Some(instance) = region
        .instances
        .iter()
        .find(|instance| instance.subnet_group == name)
    {
        return Err(state("instance", &instance.id));
    }
    if let Some(cluster) = region
        .clusters
        .iter()
        .find(|cluster| cluster.subnet_group == name)
    {
        return Err(state("cluster", &cluster.id));
    }
    if let Some(group) = region.subnet_groups.remove(&name) {
        keep(region, &group);
    }
    Ok(None)
}
