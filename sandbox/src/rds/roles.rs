//! IAM roles associated with an instance, per feature.

use super::error::ApiError;
use super::state::AssociatedRole;
use super::{Answer, Call, instances};
use crate::world::Timeline;

/// `AddRoleToDBInstance`: `PENDING`, then `ACTIVE`. The same role may serve several features.
pub(crate) fn add(call: &mut Call<'_>) -> Answer {
    let (reference, role_arn, feature_name) = read(call)?;
    if !role_arn.starts_with("arn:") || !role_arn.contains(":role/") {
        return Err(ApiError::value(format!(
            "The role ARN is invalid: {role_arn}"
        )));
    }
    let instance = instances::find(call.region(), &reference)?.clone();
    if !instance.is_ready() {
        return Err(ApiError::instance_state(format!(
            "DB instance {} is not in available state.",
            instance.id
        )));
    }
    if instance
        .roles
        .iter()
        .any(|role| role.role_arn == role_arn && role.feature_name == feature_name)
    {
        return Err(ApiError::new(
            "DBInstanceRoleAlreadyExists",
            format!(
                "The role {role_arn} is already associated with the DB instance {} for the feature {feature_name}.",
                instance.id
            ),
        ));
    }
    let most = call.region().quotas.roles_per_instance;
    if i64::try_from(instance.roles.len()).unwrap_or(i64::MAX) >= most {
        return Err(ApiError::new(
            "DBInstanceRoleQuotaExceeded",
            format!("A DB instance has up to {most} roles."),
        ));
    }
    let (scope, now) = (call.scope, call.now);
    let took = call
        .world
        .takes(&format!("roles/{}", instance.id), (60, 300));
    if let Some(truth) = call.region().by_resource_mut(&instance.resource_id) {
        truth.roles.push(AssociatedRole {
            role_arn: role_arn.clone(),
            feature_name: feature_name.clone(),
            status: "PENDING".to_owned(),
        });
        truth.status = "configuring-associated-roles".to_owned();
    }
    let resource_id = instance.resource_id.clone();
    call.world.lag(scope, now, &resource_id, Some(instance));
    call.world.schedule(
        now,
        Timeline::new(scope, &resource_id).then(took, move |moment| {
            if let Some(instance) = moment.instance() {
                for role in &mut instance.roles {
                    if role.role_arn == role_arn && role.feature_name == feature_name {
                        role.status = "ACTIVE".to_owned();
                    }
                }
                instance.status = "available".to_owned();
            }
        }),
    );
    Ok(None)
}

/// `RemoveRoleFromDBInstance`.
pub(crate) fn remove(call: &mut Call<'_>) -> Answer {
    let (reference, role_arn, feature_name) = read(call)?;
    let instance = instances::find(call.region(), &reference)?.clone();
    if !instance
        .roles
        .iter()
        .any(|role| role.role_arn == role_arn && role.feature_name == feature_name)
    {
        return Err(ApiError {
            status: 404,
            ..ApiError::new(
                "DBInstanceRoleNotFound",
                format!(
                    "The role {role_arn} is not associated with the DB instance {}.",
                    instance.id
                ),
            )
        });
    }
    if !instance.is_ready() {
        return Err(ApiError::instance_state(format!(
            "DB instance {} is not in available state.",
            instance.id
        )));
    }
    if let Some(truth) = call.region().by_resource_mut(&instance.resource_id) {
        truth
            .roles
            .retain(|role| !(role.role_arn == role_arn && role.feature_name == feature_name));
    }
    Ok(None)
}

fn read(call: &Call<'_>) -> Result<(String, String, String), ApiError> {
    let params = call.params;
    Ok((
        params.required("DBInstanceIdentifier")?,
        params.required("RoleArn")?,
        params.required("FeatureName")?,
    ))
}
