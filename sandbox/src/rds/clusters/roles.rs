//! IAM roles associated with a cluster; unlike those of an instance they may be for no feature in particular.

use super::super::error::ApiError;
use super::super::state::AssociatedRole;
use super::super::{Answer, Call};
use super::{DbCluster, check_available, cluster_of, wanted};
use crate::world::Timeline;

/// Roles per cluster.
const MOST_ROLES: usize = 5;

/// `AddRoleToDBCluster`: `PENDING`, then `ACTIVE`.
pub(crate) fn add(call: &mut Call<'_>) -> Answer {
    let (cluster, role_arn, feature_name) = read(call)?;
    if !role_arn.starts_with("arn:") || !role_arn.contains(":role/") {
        return Err(ApiError::value(format!(
            "The role ARN is invalid: {role_arn}"
        )));
    }
    check_available(&cluster)?;
    if has(&cluster, &role_arn, &feature_name) {
        return Err(ApiError::new(
            "DBClusterRoleAlreadyExists",
            format!(
                "The role {role_arn} is already associated with the DB cluster {}.",
                cluster.id
            ),
        ));
    }
    if cluster.roles.len() >= MOST_ROLES {
        return Err(ApiError::new(
            "DBClusterRoleQuotaExceeded",
            format!("A DB cluster has up to {MOST_ROLES} roles."),
        ));
    }
    if let Some(truth) = call.region().cluster_by_resource_mut(&cluster.resource_id) {
        truth.roles.push(AssociatedRole {
            role_arn: role_arn.clone(),
            feature_name: feature_name.clone(),
            status: "PENDING".to_owned(),
        });
    }
    let took = call
        .world
        .takes(&format!("roles/{}", cluster.resource_id), (60, 300));
    let timeline = Timeline::new(call.scope, &cluster.resource_id).then(took, move |moment| {
        let Some(cluster) = cluster_of(moment) else {
            return;
        };
        for role in &mut cluster.roles {
            if role.role_arn == role_arn && role.feature_name == feature_name {
                role.status = "ACTIVE".to_owned();
            }
        }
    });
    call.world.schedule(call.now, timeline);
    Ok(None)
}

/// `RemoveRoleFromDBCluster`.
pub(crate) fn remove(call: &mut Call<'_>) -> Answer {
    let (cluster, role_arn, feature_name) = read(call)?;
    if !has(&cluster, &role_arn, &feature_name) {
        return Err(ApiError::new(
            "DBClusterRoleNotFound",
            format!(
                "The role {role_arn} is not associated with the DB cluster {}.",
                cluster.id
            ),
        ));
    }
    check_available(&cluster)?;
    if let Some(truth) = call.region().cluster_by_resource_mut(&cluster.resource_id) {
        truth
            .roles
            .retain(|role| !(role.role_arn == role_arn && role.feature_name == feature_name));
    }
    Ok(None)
}

fn has(cluster: &DbCluster, role_arn: &str, feature_name: &str) -> bool {
    cluster
        .roles
        .iter()
        .any(|role| role.role_arn == role_arn && role.feature_name == feature_name)
}

fn read(call: &mut Call<'_>) -> Result<(DbCluster, String, String), ApiError> {
    let role_arn = call.params.required("RoleArn")?;
    let feature_name = call.params.text("FeatureName").unwrap_or_default();
    Ok((wanted(call)?, role_arn, feature_name))
}
