//! DB clusters as Describe shows them: members appear among the DB instances, too.

use std::collections::BTreeMap;

use super::super::create::member::members;
use super::super::error::ApiError;
use super::super::names::parse_arn;
use super::super::page::{Filters, page};
use super::super::state::{DbCluster, Region, Scope};
use super::super::xml::Xml;
use super::super::{Answer, Call, activity, instances, result};
use super::global;
use super::state::ClusterChanges;
use crate::clock::plus;

/// `DescribeDBClusters`.
pub(crate) fn describe(call: &mut Call<'_>) -> Answer {
    let filters = Filters::read(
        call.params,
        &[
            "clone-group-id",
            "db-cluster-id",
            "db-cluster-resource-id",
            "domain",
            "engine",
        ],
    )?;
    let (scope, params, now, limit) = (
        call.scope,
        call.params,
        call.now,
        call.world.knobs.page_limit,
    );
    let wanted = params
        .text("DBClusterIdentifier")
        .map(|name| parse_arn(&name).map_or(name, |arn| arn.name));
    let globals = global::memberships(call.world, scope);
    let region = call.region();
    let found: Vec<&DbCluster> =
        region
            .clusters
            .iter()
            .filter_map(|cluster| cluster.shown(now))
            .filter(|cluster| {
                wanted.as_ref().is_none_or(|id| {
                    cluster.id.eq_ignore_ascii_case(id) || cluster.resource_id == *id
                }) && filters.admits(
                    "db-cluster-id",
                    &[&cluster.id, &scope.arn("cluster", &cluster.id)],
                ) && filters.admits("db-cluster-resource-id", &[&cluster.resource_id])
                    && filters.admits("engine", &[&cluster.engine])
                    && filters.admits(
                        "clone-group-id",
                        &[cluster.clone_group.as_ref().unwrap_or(&cluster.resource_id)],
                    )
                    && filters.admits("domain", &[])
            })
            .collect();
    if let (Some(id), true) = (&wanted, found.is_empty()) {
        return Err(ApiError::no_cluster(id));
    }
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.list("DBClusters", "DBCluster", page.items, |xml, cluster| {
            write(xml, scope, region, &globals, cluster, now);
        });
        xml.optional("Marker", page.marker);
    })
}

/// The answer of an action that changes one cluster.
pub(super) fn answer(call: &mut Call<'_>, cluster: &DbCluster) -> Answer {
    let (scope, now) = (call.scope, call.now);
    let globals = global::memberships(call.world, scope);
    let region = call.region();
    result(|xml| {
        xml.element("DBCluster", |xml| {
            write(xml, scope, region, &globals, cluster, now);
        });
    })
}

/// The endpoint of the writer or of the readers.
pub(super) fn endpoint(region: &Region, scope: &Scope, id: &str, infix: &str) -> String {
    format!(
        "{id}.{infix}-{}.{}.rds.amazonaws.com",
        region.suffix, scope.region
    )
}

fn write(
    xml: &mut Xml,
    scope: &Scope,
    region: &Region,
    globals: &BTreeMap<String, String>,
    cluster: &DbCluster,
    now: jiff::Timestamp,
) {
    xml.value("AllocatedStorage", cluster.allocated_storage);
    xml.values(
        "AvailabilityZones",
        "AvailabilityZone",
        &cluster.availability_zones,
    );
    xml.value("BackupRetentionPeriod", cluster.backup_retention);
    xml.optional("DatabaseName", cluster.database_name.as_ref());
    xml.value("DBClusterIdentifier", &cluster.id);
    xml.value("DBClusterParameterGroup", &cluster.parameter_group);
    xml.value("DBSubnetGroup", &cluster.subnet_group);
    xml.value("Status", &cluster.status);
    xml.time(
        "EarliestRestorableTime",
        cluster
            .created
            .max(plus(now, -86_400 * cluster.backup_retention)),
    );
    xml.value("Endpoint", endpoint(region, scope, &cluster.id, "cluster"));
    xml.value(
        "ReaderEndpoint",
        endpoint(region, scope, &cluster.id, "cluster-ro"),
    );
    xml.value("MultiAZ", cluster.multi_az);
    xml.value("Engine", &cluster.engine);
    xml.value("EngineVersion", &cluster.engine_version);
    xml.time("LatestRestorableTime", now);
    xml.value("Port", cluster.port);
    xml.value("MasterUsername", &cluster.master_username);
    xml.value("PreferredBackupWindow", &cluster.backup_window);
    xml.value("PreferredMaintenanceWindow", &cluster.maintenance_window);
    xml.values(
        "ReadReplicaIdentifiers",
        "ReadReplicaIdentifier",
        Vec::<String>::new(),
    );
    xml.list(
        "DBClusterMembers",
        "DBClusterMember",
        members(region, &cluster.id).filter_map(|member| member.shown(now)),
        |xml, member| {
            xml.value("DBInstanceIdentifier", &member.id);
            xml.value("IsClusterWriter", member.cluster_writer);
            xml.value(
                "DBClusterParameterGroupStatus",
                region
                    .cluster_parameter_status
                    .get(&member.resource_id)
                    .map_or("in-sync", String::as_str),
            );
            xml.optional("PromotionTier", member.promotion_tier);
        },
    );
    xml.list(
        "VpcSecurityGroups",
        "VpcSecurityGroupMembership",
        &cluster.security_groups,
        |xml, group| {
            xml.value("VpcSecurityGroupId", group);
            xml.value("Status", "active");
        },
    );
    xml.value("StorageEncrypted", cluster.encrypted);
    xml.value("StorageEncryptionType", &cluster.encryption_type);
    xml.optional("KmsKeyId", cluster.kms_key.as_ref());
    xml.value("DbClusterResourceId", &cluster.resource_id);
    xml.value("DBClusterArn", scope.arn("cluster", &cluster.id));
    xml.list(
        "AssociatedRoles",
        "DBClusterRole",
        &cluster.roles,
        |xml, role| {
            xml.value("RoleArn", &role.role_arn);
            xml.value("Status", &role.status);
            if !role.feature_name.is_empty() {
                xml.value("FeatureName", &role.feature_name);
            }
        },
    );
    xml.optional("CloneGroupId", cluster.clone_group.as_ref());
    xml.value("IAMDatabaseAuthenticationEnabled", cluster.iam_auth);
    xml.time("ClusterCreateTime", cluster.created);
    if !cluster.log_exports.is_empty() {
        xml.values(
            "EnabledCloudwatchLogsExports",
            "member",
            &cluster.log_exports,
        );
    }
    xml.value("EngineMode", &cluster.engine_mode);
    xml.optional("StorageType", cluster.storage_type.as_ref());
    xml.optional("Iops", cluster.iops);
    xml.optional("StorageThroughput", cluster.throughput);
    xml.optional("DBClusterInstanceClass", cluster.instance_class.as_ref());
    xml.optional("BacktrackWindow", cluster.backtrack_window);
    if let Some((least, most)) = &cluster.serverless {
        xml.element("ServerlessV2ScalingConfiguration", |xml| {
            xml.value("MinCapacity", least);
            xml.value("MaxCapacity", most);
        });
    }
    if !cluster.pending.is_empty() {
        xml.element("PendingModifiedValues", |xml| {
            write_pending(xml, &cluster.pending);
        });
    }
    if let Some(time) = cluster.automatic_restart {
        xml.time("AutomaticRestartTime", time);
    }
    if let Some(secret) = &cluster.managed_secret {
        xml.element("MasterUserSecret", |xml| {
            xml.value("SecretArn", &secret.arn);
            xml.value("SecretStatus", &secret.status);
            xml.value("KmsKeyId", &secret.kms_key);
        });
    }
    xml.optional("GlobalClusterIdentifier", globals.get(&cluster.resource_id));
    xml.value("DeletionProtection", cluster.deletion_protection);
    xml.value("HttpEndpointEnabled", cluster.http_endpoint);
    activity::write(xml, region, &cluster.resource_id);
    xml.value("CopyTagsToSnapshot", cluster.copy_tags);
    xml.value("CrossAccountClone", false);
    instances::write_tags(xml, &cluster.tags);
    xml.value("AutoMinorVersionUpgrade", true);
    xml.value(
        "NetworkType",
        cluster.network_type.as_deref().unwrap_or("IPV4"),
    );
}

fn write_pending(xml: &mut Xml, pending: &ClusterChanges) {
    xml.optional("DBClusterIdentifier", pending.new_id.as_ref());
    // A password is shown masked.
    xml.optional(
        "MasterUserPassword",
        pending.password.as_ref().map(|_| "****"),
    );
    xml.optional("IAMDatabaseAuthenticationEnabled", pending.iam_auth);
    xml.optional("EngineVersion", pending.engine_version.as_ref());
    xml.optional("StorageType", pending.storage_type.as_ref());
    xml.optional("AllocatedStorage", pending.allocated_storage);
    xml.optional("Iops", pending.iops);
}
