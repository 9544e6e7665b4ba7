//! Automated backups of DB clusters, the retained ones included.

use jiff::Timestamp;

use super::super::error::ApiError;
use super::super::page::{Filters, page};
use super::super::state::{DbCluster, Region, Scope};
use super::super::xml::Xml;
use super::super::{Answer, Call, backups::latest_restorable, catalog, instances, result};
use crate::clock::plus;

struct Backup<'a> {
    status: &'static str,
    cluster: &'a DbCluster,
    latest: Timestamp,
}

fn all<'a>(region: &'a Region, now: Timestamp) -> impl Iterator<Item = Backup<'a>> {
    let living = region
        .clusters
        .iter()
        .filter_map(move |cluster| cluster.shown(now))
        .filter(|cluster| cluster.status != "deleting")
        .map(move |cluster| Backup {
            status: if cluster.status == "creating" {
                "creating"
            } else {
                "active"
            },
            cluster,
            latest: latest_restorable(now),
        });
    // Retained ones go with their retention period.
    let retained = region
        .retained_cluster_backups
        .iter()
        .filter(move |backup| now < plus(backup.deleted, 86_400 * backup.cluster.backup_retention))
        .map(|backup| Backup {
            status: "retained",
            cluster: &backup.cluster,
            latest: backup.deleted,
        });
    living.chain(retained)
}

pub(super) fn not_found(name: &str) -> ApiError {
    ApiError::new(
        "DBClusterAutomatedBackupNotFoundFault",
        format!("Automated backup for {name} not found."),
    )
}

/// `DescribeDBClusterAutomatedBackups`.
pub(crate) fn describe(call: &mut Call<'_>) -> Answer {
    let filters = Filters::read(
        call.params,
        &["status", "db-cluster-id", "db-cluster-resource-id"],
    )?;
    let (scope, params, now, limit) = (
        call.scope,
        call.params,
        call.now,
        call.world.knobs.page_limit,
    );
    let wanted_id = params.text("DBClusterIdentifier");
    let wanted_resource = params.text("DbClusterResourceId");
    let region = call.region();
    let found: Vec<Backup<'_>> = all(region, now)
        .filter(|backup| {
            let cluster = backup.cluster;
            filters.admits("status", &[backup.status])
                && filters.admits(
                    "db-cluster-id",
                    &[&cluster.id, &scope.arn("cluster", &cluster.id)],
                )
                && filters.admits("db-cluster-resource-id", &[&cluster.resource_id])
                && wanted_id
                    .as_ref()
                    .is_none_or(|id| id.eq_ignore_ascii_case(&cluster.id))
                && wanted_resource
                    .as_ref()
                    .is_none_or(|id| *id == cluster.resource_id)
        })
        .collect();
    if found.is_empty()
        && let Some(name) = wanted_resource.or(wanted_id)
    {
        return Err(not_found(&name));
    }
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.list(
            "DBClusterAutomatedBackups",
            "DBClusterAutomatedBackup",
            page.items,
            |xml, backup| write(xml, scope, region, &backup),
        );
        xml.optional("Marker", page.marker);
    })
}

/// `DeleteDBClusterAutomatedBackup`: only what outlived its cluster.
pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    let (scope, now) = (call.scope, call.now);
    let resource_id = call.params.required("DbClusterResourceId")?;
    let region = call.region();
    let backup = all(region, now)
        .find(|backup| backup.cluster.resource_id == resource_id)
        .ok_or_else(|| not_found(&resource_id))?;
    if backup.status != "retained" {
        return Err(ApiError::new(
            "InvalidDBClusterAutomatedBackupStateFault",
            format!(
                "The automated backup of the DB cluster {} can't be deleted while the cluster exists.",
                backup.cluster.id
            ),
        ));
    }
    let answer = result(|xml| {
        xml.element("DBClusterAutomatedBackup", |xml| {
            write(xml, scope, region, &backup);
        });
    });
    call.region()
        .retained_cluster_backups
        .retain(|backup| backup.cluster.resource_id != resource_id);
    answer
}

fn write(xml: &mut Xml, scope: &Scope, region: &Region, backup: &Backup<'_>) {
    let cluster = backup.cluster;
    xml.value("Engine", &cluster.engine);
    xml.value("VpcId", region.vpc(&cluster.subnet_group));
    xml.value(
        "DBClusterAutomatedBackupsArn",
        scope.arn(
            "cluster-auto-backup",
            &format!(
                "ab-{}",
                cluster
                    .resource_id
                    .trim_start_matches("cluster-")
                    .to_ascii_lowercase()
            ),
        ),
    );
    xml.value("DBClusterIdentifier", &cluster.id);
    xml.element("RestoreWindow", |xml| {
        let oldest = plus(backup.latest, -86_400 * cluster.backup_retention);
        xml.time("EarliestTime", cluster.created.max(oldest));
        xml.time("LatestTime", backup.latest);
    });
    xml.value("MasterUsername", &cluster.master_username);
    xml.value("DbClusterResourceId", &cluster.resource_id);
    xml.value("Region", &scope.region);
    xml.value("LicenseModel", catalog::default_license(&cluster.engine));
    xml.value("Status", backup.status);
    xml.value("IAMDatabaseAuthenticationEnabled", cluster.iam_auth);
    xml.time("ClusterCreateTime", cluster.created);
    xml.value("StorageEncrypted", cluster.encrypted);
    xml.value("StorageEncryptionType", &cluster.encryption_type);
    xml.value("AllocatedStorage", cluster.allocated_storage);
    xml.value("EngineVersion", &cluster.engine_version);
    xml.value("DBClusterArn", scope.arn("cluster", &cluster.id));
    xml.value("BackupRetentionPeriod", cluster.backup_retention);
    xml.value("PreferredBackupWindow", &cluster.backup_window);
    xml.value("EngineMode", &cluster.engine_mode);
    xml.values(
        "AvailabilityZones",
        "AvailabilityZone",
        &cluster.availability_zones,
    );
    xml.value("Port", cluster.port);
    xml.optional("KmsKeyId", cluster.kms_key.as_ref());
    xml.optional("StorageType", cluster.storage_type.as_ref());
    xml.optional("Iops", cluster.iops);
    instances::write_tags(xml, &cluster.tags);
}
