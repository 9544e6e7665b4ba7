//! Tags of instances, snapshots, clusters and groups.

use super::error::ApiError;
use super::names::{RdsArn, parse_arn};
use super::params::Params;
use super::state::Tag;
use super::{Answer, Call, instances, result};

/// Tags in a request, checked: the prefix `aws:` is reserved, keys have up to 128 and values up to 256
/// characters.
pub(crate) fn from_request(params: &Params, name: &str) -> Result<Option<Vec<Tag>>, ApiError> {
    let Some(items) = params.structures(name) else {
        return Ok(None);
    };
    let mut tags: Vec<Tag> = Vec::new();
    for item in items {
        let tag = Tag {
            key: item.required("Key")?,
            value: item.raw("Value").unwrap_or_default().to_owned(),
        };
        if tag.key.starts_with("aws:") || tag.key.starts_with("rds:") {
            return Err(ApiError::value(format!(
                "Tag keys must not start with 'aws:' or 'rds:': {}",
                tag.key
            )));
        }
        if tag.key.chars().count() > 128 || tag.value.chars().count() > 256 {
            return Err(ApiError::value(
                "Tag keys have up to 128 and tag values up to 256 characters.",
            ));
        }
        if tags.iter().any(|other| other.key == tag.key) {
            return Err(ApiError::value(format!("Duplicate tag key: {}", tag.key)));
        }
        tags.push(tag);
    }
    if tags.len() > 50 {
        return Err(ApiError::value("A resource has up to 50 tags."));
    }
    Ok(Some(tags))
}

/// The tags of the resource that `ResourceName` names. The reader takes the truth, not the lagging view.
fn of<'a>(call: &'a mut Call<'_>, arn: &RdsArn) -> Result<&'a mut Vec<Tag>, ApiError> {
    let scope = call.scope;
    let region = call.region();
    let RdsArn { kind, name, .. } = arn;
    match kind.as_str() {
        "db" => {
            let resource = instances::find(region, name)?.resource_id.clone();
            region
                .by_resource_mut(&resource)
                .map(|instance| &mut instance.tags)
                .ok_or_else(|| ApiError::no_instance(name))
        }
        "snapshot" => region
            .snapshot_mut(name)
            .map(|snapshot| &mut snapshot.tags)
            .ok_or_else(|| ApiError::no_snapshot(name)),
        "cluster" => region
            .clusters
            .iter_mut()
            .find(|cluster| cluster.id.eq_ignore_ascii_case(name))
            .map(|cluster| &mut cluster.tags)
            .ok_or_else(|| ApiError::no_cluster(name)),
        "cluster-snapshot" => region
            .cluster_snapshots
            .iter_mut()
            .find(|snapshot| snapshot.id.eq_ignore_ascii_case(name))
            .map(|snapshot| &mut snapshot.tags)
            .ok_or_else(|| {
                ApiError::new(
                    "DBClusterSnapshotNotFoundFault",
                    format!("DBClusterSnapshot {name} not found."),
                )
            }),
        "pg" => region
            .parameter_groups
            .get_mut(name)
            .map(|group| &mut group.tags)
            .ok_or_else(|| ApiError::no_parameter_group(name)),
        "cluster-pg" => region
            .cluster_parameter_groups
            .get_mut(name)
            .map(|group| &mut group.tags)
            .ok_or_else(|| ApiError::no_parameter_group(name)),
        "es" => region
            .event_subscriptions
            .iter_mut()
            .find(|subscription| subscription.name.eq_ignore_ascii_case(name))
            .map(|subscription| &mut subscription.tags)
            .ok_or_else(|| {
                ApiError::new(
                    "SubscriptionNotFound",
                    format!("Subscription {name} not found."),
                )
            }),
        "db-proxy" => region
            .proxies
            .iter_mut()
            .find(|proxy| proxy.name.eq_ignore_ascii_case(name))
            .map(|proxy| &mut proxy.tags)
            .ok_or_else(|| {
                ApiError::new("DBProxyNotFoundFault", format!("DBProxy {name} not found."))
            }),
        "deployment" => region
            .blue_green
            .iter_mut()
            .find(|deployment| deployment.id == *name)
            .map(|deployment| &mut deployment.tags)
            .ok_or_else(|| {
                ApiError::new(
                    "BlueGreenDeploymentNotFoundFault",
                    format!("Blue Green Deployment {name} not found."),
                )
            }),
        "og" => region
            .option_groups
            .get_mut(name)
            .map(|group| &mut group.tags)
            .ok_or_else(|| ApiError::no_option_group(name)),
        "subgrp" => region
            .subnet_groups
            .get_mut(name)
            .map(|group| &mut group.tags)
            .ok_or_else(|| ApiError::no_subnet_group(name)),
        _ => Err(ApiError::value(format!(
            "Unsupported resource type in ARN: {}",
            scope.arn(kind, name)
        ))),
    }
}

fn resource(call: &Call<'_>) -> Result<RdsArn, ApiError> {
    let name = call.params.required("ResourceName")?;
    let arn = parse_arn(&name)
        .ok_or_else(|| ApiError::value(format!("Invalid resource name: {name}")))?;
    if arn.scope == *call.scope {
        Ok(arn)
    } else {
        Err(ApiError::value(format!(
            "The resource {name} does not belong to the account or region that was called."
        )))
    }
}

/// `ListTagsForResource`.
pub(crate) fn list(call: &mut Call<'_>) -> Answer {
    let arn = resource(call)?;
    let tags = of(call, &arn)?;
    result(|xml| instances::write_tags(xml, tags))
}

/// `AddTagsToResource`: overwrites the value of a key that exists.
pub(crate) fn add(call: &mut Call<'_>) -> Answer {
    let arn = resource(call)?;
    let given = from_request(call.params, "Tags")?.ok_or_else(|| {
        ApiError::new(
            "MissingParameter",
            "The request must contain the parameter Tags",
        )
    })?;
    let tags = of(call, &arn)?;
    let mut after = tags.clone();
    for tag in given {
        match after.iter_mut().find(|other| other.key == tag.key) {
            Some(other) => other.value = tag.value,
            None => after.push(tag),
        }
    }
    // Tags that AWS itself set do not count.
    if after
        .iter()
        .filter(|tag| !tag.key.starts_with("aws:"))
        .count()
        > 50
    {
        return Err(ApiError::value("A resource has up to 50 tags."));
    }
    *tags = after;
    Ok(None)
}

/// `RemoveTagsFromResource`: keys that are not there are no error.
pub(crate) fn remove(call: &mut Call<'_>) -> Answer {
    let arn = resource(call)?;
    let keys = call.params.list("TagKeys").ok_or_else(|| {
        ApiError::new(
            "MissingParameter",
            "The request must contain the parameter TagKeys",
        )
    })?;
    if let Some(key) = keys.iter().find(|key| key.starts_with("aws:")) {
        return Err(ApiError::value(format!(
            "System tags cannot be removed: {key}"
        )));
    }
    of(call, &arn)?.retain(|tag| !keys.contains(&tag.key));
    Ok(None)
}
