//! DB clusters and their snapshots, read only: members appear among the DB instances, too.

use super::error::ApiError;
use super::names::parse_arn;
use super::page::{Filters, page};
use super::state::{DbCluster, DbClusterSnapshot, Region, Scope};
use super::xml::Xml;
use super::{Answer, Call, instances, result};
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
    let region = call.region();
    let found: Vec<&DbCluster> = region
        .clusters
        .iter()
        .filter(|cluster| {
            wanted
                .as_ref()
                .is_none_or(|id| cluster.id.eq_ignore_ascii_case(id))
                && filters.admits(
                    "db-cluster-id",
                    &[&cluster.id, &scope.arn("cluster", &cluster.id)],
                )
                && filters.admits("db-cluster-resource-id", &[&cluster.resource_id])
                && filters.admits("engine", &[&cluster.engine])
                && filters.admits("clone-group-id", &[])
                && filters.admits("domain", &[])
        })
        .collect();
    if let (Some(id), true) = (&wanted, found.is_empty()) {
        return Err(ApiError::no_cluster(id));
    }
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.list("DBClusters", "DBCluster", page.items, |xml, cluster| {
            write(xml, scope, region, cluster, now);
        });
        xml.optional("Marker", page.marker);
    })
}

fn write(xml: &mut Xml, scope: &Scope, region: &Region, cluster: &DbCluster, now: jiff::Timestamp) {
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
    xml.value(
        "Endpoint",
        format_args!(
            "{}.cluster-{}.{}.rds.amazonaws.com",
            cluster.id, region.suffix, scope.region
        ),
    );
    xml.value(
        "ReaderEndpoint",
        format_args!(
            "{}.cluster-ro-{}.{}.rds.amazonaws.com",
            cluster.id, region.suffix, scope.region
        ),
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
    let members = region
        .instances
        .iter()
        .filter(|instance| instance.cluster.as_deref() == Some(&cluster.id));
    xml.list(
        "DBClusterMembers",
        "DBClusterMember",
        members,
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
    xml.values("AssociatedRoles", "DBClusterRole", Vec::<String>::new());
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
    xml.value("DeletionProtection", cluster.deletion_protection);
    xml.value("HttpEndpointEnabled", false);
    super::activity::write(xml, region, &cluster.resource_id);
    xml.value("CopyTagsToSnapshot", cluster.copy_tags);
    xml.value("CrossAccountClone", false);
    instances::write_tags(xml, &cluster.tags);
    xml.value("AutoMinorVersionUpgrade", true);
    xml.value("NetworkType", "IPV4");
}

/// `DescribeDBClusterSnapshots`.
pub(crate) fn describe_snapshots(call: &mut Call<'_>) -> Answer {
    let filters = Filters::read(
        call.params,
        &[
            "db-cluster-id",
            "db-cluster-snapshot-id",
            "snapshot-type",
            "engine",
        ],
    )?;
    let (scope, params, limit) = (call.scope, call.params, call.world.knobs.page_limit);
    let wanted = params
        .text("DBClusterSnapshotIdentifier")
        .map(|name| parse_arn(&name).map_or(name, |arn| arn.name));
    let (cluster, kind) = (
        params.text("DBClusterIdentifier"),
        params.text("SnapshotType"),
    );
    let region = call.region();
    let found: Vec<&DbClusterSnapshot> = region
        .cluster_snapshots
        .iter()
        .filter(|snapshot| {
            wanted
                .as_ref()
                .is_none_or(|id| snapshot.id.eq_ignore_ascii_case(id))
                && cluster
                    .as_ref()
                    .is_none_or(|id| snapshot.cluster.id.eq_ignore_ascii_case(id))
                && kind
                    .as_ref()
                    .is_none_or(|kind| snapshot.snapshot_type == *kind)
                && filters.admits(
                    "db-cluster-id",
                    &[
                        &snapshot.cluster.id,
                        &scope.arn("cluster", &snapshot.cluster.id),
                    ],
                )
                && filters.admits("db-cluster-snapshot-id", &[&snapshot.id])
                && filters.admits("snapshot-type", &[&snapshot.snapshot_type])
                && filters.admits("engine", &[&snapshot.cluster.engine])
        })
        .collect();
    if let (Some(id), true) = (&wanted, found.is_empty()) {
        return Err(ApiError::new(
            "DBClusterSnapshotNotFoundFault",
            format!("DBClusterSnapshot {id} not found."),
        ));
    }
    let vpcs: Vec<String> = found
        .iter()
        .map(|snapshot| region.vpc(&snapshot.cluster.subnet_group))
        .collect();
    let page = page(params, found.into_iter().zip(vpcs).collect(), 100, limit)?;
    result(|xml| {
        xml.list(
            "DBClusterSnapshots",
            "DBClusterSnapshot",
            page.items,
            |xml, (snapshot, vpc)| {
                let cluster = &snapshot.cluster;
                xml.values(
                    "AvailabilityZones",
                    "AvailabilityZone",
                    &cluster.availability_zones,
                );
                xml.value("DBClusterSnapshotIdentifier", &snapshot.id);
                xml.value("DBClusterIdentifier", &cluster.id);
                xml.time("SnapshotCreateTime", snapshot.created);
                xml.value("Engine", &cluster.engine);
                xml.value("EngineMode", &cluster.engine_mode);
                xml.value("AllocatedStorage", cluster.allocated_storage);
                xml.value("Status", "available");
                xml.value("Port", cluster.port);
                xml.value("VpcId", vpc);
                xml.time("ClusterCreateTime", cluster.created);
                xml.value("MasterUsername", &cluster.master_username);
                xml.value("EngineVersion", &cluster.engine_version);
                xml.value("SnapshotType", &snapshot.snapshot_type);
                xml.value("PercentProgress", 100);
                xml.value("StorageEncrypted", cluster.encrypted);
                xml.value("StorageEncryptionType", &cluster.encryption_type);
                xml.optional("KmsKeyId", cluster.kms_key.as_ref());
                xml.value(
                    "DBClusterSnapshotArn",
                    scope.arn("cluster-snapshot", &snapshot.id),
                );
                xml.value("IAMDatabaseAuthenticationEnabled", cluster.iam_auth);
                instances::write_tags(xml, &snapshot.tags);
                xml.value("DbClusterResourceId", &cluster.resource_id);
            },
        );
        xml.optional("Marker", page.marker);
    })
}
