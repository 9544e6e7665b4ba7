//! Which instances can be the blue side of a deployment.

use crate::rds::Call;
use crate::rds::error::ApiError;
use crate::rds::state::DbInstance;

fn unsupported(message: impl Into<String>) -> ApiError {
    ApiError::new("SourceDatabaseNotSupportedFault", message)
}

/// The limits of blue/green deployments (RDS: Limitations and considerations).
pub(super) fn check_eligible(
    call: &mut Call<'_>,
    blue: &DbInstance,
    replicas: &[DbInstance],
) -> Result<(), ApiError> {
    let id = &blue.id;
    if !matches!(blue.engine.as_str(), "mysql" | "mariadb" | "postgres") {
        return Err(unsupported(format!(
            "Blue/Green Deployments aren't supported for the engine {}.",
            blue.engine
        )));
    }
    if blue.is_cluster_member() {
        return Err(unsupported(format!(
            "The DB instance {id} is a member of a cluster; Multi-AZ DB clusters aren't supported."
        )));
    }
    if blue.replica_of.is_some() {
        return Err(unsupported(format!(
            "The source DB instance {id} is a read replica."
        )));
    }
    if blue.managed_secret.is_some() {
        return Err(unsupported(format!(
            "The master password of the source DB instance {id} is managed in Secrets Manager."
        )));
    }
    let region = call.region();
    if let Some(cascading) = replicas
        .iter()
        .find(|replica| region.replicas_of(&replica.resource_id).next().is_some())
    {
        return Err(unsupported(format!(
            "The read replica {} has read replicas of its own; cascading read replicas aren't supported.",
            cascading.id
        )));
    }
    let proxied = |instance: &DbInstance| {
        region
            .proxies
            .iter()
            .any(|proxy| proxy.targets.contains(&instance.id))
    };
    if let Some(target) = std::iter::once(blue)
        .chain(replicas)
        .find(|instance| proxied(instance))
    {
        return Err(unsupported(format!(
            "The DB instance {} is a target of an RDS Proxy.",
            target.id
        )));
    }
    // A dedicated log volume: all of them or none.
    if replicas
        .iter()
        .any(|replica| replica.dedicated_log_volume != blue.dedicated_log_volume)
    {
        return Err(unsupported(
            "Either all DB instances of the blue environment use a dedicated log volume or none does.",
        ));
    }
    let here = call.scope.clone();
    let elsewhere = call.world.regions.iter().any(|(scope, region)| {
        *scope != here && region.replicas_of(&blue.resource_id).next().is_some()
    });
    if elsewhere {
        return Err(unsupported(format!(
            "The source DB instance {id} has a cross-Region read replica."
        )));
    }
    if let Some(busy) = std::iter::once(blue)
        .chain(replicas)
        .find(|instance| !instance.is_ready())
    {
        return Err(ApiError::instance_state(format!(
            "DB instance {} is not in available state.",
            busy.id
        )));
    }
    let taken =
        call.region()
            .blue_green
            .iter()
            .filter(|deployment| deployment.status != "SWITCHOVER_COMPLETED")
            .any(|deployment| {
                deployment.members.iter().any(|member| {
                    member.blue == blue.resource_id || member.green == blue.resource_id
                })
            });
    if taken {
        return Err(ApiError::instance_state(format!(
            "DB instance {id} is already part of a blue/green deployment."
        )));
    }
    if blue.backup_retention == 0 {
        return Err(ApiError::instance_state(
            "Automated backups are not enabled for this database instance. To enable automated backups, use ModifyDBInstance to set the backup retention period to a non-zero value.",
        ));
    }
    Ok(())
}
