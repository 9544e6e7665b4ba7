//! The mutations of clusters and their members.

use atrest_scanner::error::AwsError;
use atrest_scanner::rds::Rds;
use aws_sdk_rds::config::retry::RetryConfig;
use aws_sdk_rds::types::ServerlessV2ScalingConfiguration;
use serde_json::{Map, Value};

use super::{Args, tags};
use crate::fault::Fault;

pub(crate) async fn rename(rds: &Rds, from: &str, to: &str) -> Result<(), Fault> {
    let call = rds
        .client()
        .modify_db_cluster()
        .db_cluster_identifier(from)
        .new_db_cluster_identifier(to)
        .apply_immediately(true);
    send!(rds, "ModifyDBCluster", call)
}

/// Takes deletion protection off.
pub(crate) async fn unprotect(rds: &Rds, cluster: &str) -> Result<(), Fault> {
    let call = rds
        .client()
        .modify_db_cluster()
        .db_cluster_identifier(cluster)
        .deletion_protection(false)
        .apply_immediately(true);
    send!(rds, "ModifyDBCluster", call)
}

pub(crate) async fn delete(rds: &Rds, cluster: &str) -> Result<(), Fault> {
    let call = rds
        .client()
        .delete_db_cluster()
        .db_cluster_identifier(cluster)
        .skip_final_snapshot(true)
        .delete_automated_backups(true);
    send!(rds, "DeleteDBCluster", call)
}

pub(crate) async fn delete_snapshot(rds: &Rds, snapshot: &str) -> Result<(), Fault> {
    let call = rds
        .client()
        .delete_db_cluster_snapshot()
        .db_cluster_snapshot_identifier(snapshot);
    send!(rds, "DeleteDBClusterSnapshot", call)
}

pub(crate) async fn snapshot(
    rds: &Rds,
    cluster: &str,
    snapshot: &str,
    pairs: &[(String, String)],
) -> Result<(), Fault> {
    let call = rds
        .client()
        .create_db_cluster_snapshot()
        .db_cluster_identifier(cluster)
        .db_cluster_snapshot_identifier(snapshot)
        .set_tags(Some(tags(pairs)));
    send!(rds, "CreateDBClusterSnapshot", call)
}

pub(crate) async fn restore(
    rds: &Rds,
    snapshot: &str,
    name: &str,
    request: &Map<String, Value>,
) -> Result<(), Fault> {
    let mut args = Args::new("RestoreDBClusterFromSnapshot", rds.region(), request);
    let call = rds
        .client()
        .restore_db_cluster_from_snapshot()
        .db_cluster_identifier(name)
        .snapshot_identifier(snapshot);
    set!(args, call,
        "BackupRetentionPeriod" => set_backup_retention_period int,
        "CopyTagsToSnapshot" => set_copy_tags_to_snapshot bool,
        "DBClusterInstanceClass" => set_db_cluster_instance_class string,
        "DBClusterParameterGroupName" => set_db_cluster_parameter_group_name string,
        "DBSubnetGroupName" => set_db_subnet_group_name string,
        "DeletionProtection" => set_deletion_protection bool,
        "EnableCloudwatchLogsExports" => set_enable_cloudwatch_logs_exports strings,
        "EnableIAMDatabaseAuthentication" => set_enable_iam_database_authentication bool,
        "EnablePerformanceInsights" => set_enable_performance_insights bool,
        "Engine" => set_engine string,
        "EngineLifecycleSupport" => set_engine_lifecycle_support string,
        "Iops" => set_iops int,
        "KmsKeyId" => set_kms_key_id string,
        "MonitoringInterval" => set_monitoring_interval int,
        "MonitoringRoleArn" => set_monitoring_role_arn string,
        "NetworkType" => set_network_type string,
        "PerformanceInsightsKMSKeyId" => set_performance_insights_kms_key_id string,
        "PerformanceInsightsRetentionPeriod" => set_performance_insights_retention_period int,
        "Port" => set_port int,
        "PreferredBackupWindow" => set_preferred_backup_window string,
        "PubliclyAccessible" => set_publicly_accessible bool,
        "StorageType" => set_storage_type string,
        "VpcSecurityGroupIds" => set_vpc_security_group_ids strings,
    );
    let backtrack = args.int("BacktrackWindow")?;
    let call = call.set_backtrack_window(backtrack.map(i64::from));
    let scaling = match args.left.remove("ServerlessV2ScalingConfiguration") {
        None => None,
        Some(Value::Object(bounds)) => {
            let mut bounds = Args::new("ServerlessV2ScalingConfiguration", rds.region(), &bounds);
            let scaling = ServerlessV2ScalingConfiguration::builder()
                .set_min_capacity(bounds.number("MinCapacity")?)
                .set_max_capacity(bounds.number("MaxCapacity")?)
                .set_seconds_until_auto_pause(whole(bounds.number("SecondsUntilAutoPause")?))
                .build();
            bounds.finish()?;
            Some(scaling)
        }
        Some(_) => return Err(args.wrong("ServerlessV2ScalingConfiguration", "an object")),
    };
    let call = call
        .set_serverless_v2_scaling_configuration(scaling)
        .set_tags(args.tags()?);
    args.finish()?;
    send!(rds, "RestoreDBClusterFromSnapshot", call)
}

/// Whole seconds; RDS tells no others.
fn whole(number: Option<f64>) -> Option<i32> {
    number.and_then(|number| format!("{number:.0}").parse().ok())
}

pub(crate) async fn modify(
    rds: &Rds,
    name: &str,
    request: &Map<String, Value>,
) -> Result<(), Fault> {
    let mut args = Args::new("ModifyDBCluster", rds.region(), request);
    let call = rds
        .client()
        .modify_db_cluster()
        .db_cluster_identifier(name)
        .apply_immediately(true);
    set!(args, call,
        "AutoMinorVersionUpgrade" => set_auto_minor_version_upgrade bool,
        "BackupRetentionPeriod" => set_backup_retention_period int,
        "ManageMasterUserPassword" => set_manage_master_user_password bool,
        "MasterUserSecretKmsKeyId" => set_master_user_secret_kms_key_id string,
        "PreferredBackupWindow" => set_preferred_backup_window string,
        "PreferredMaintenanceWindow" => set_preferred_maintenance_window string,
    );
    args.finish()?;
    send!(rds, "ModifyDBCluster", call)
}

pub(crate) async fn enable_data_api(rds: &Rds, arn: &str) -> Result<(), Fault> {
    let call = rds.client().enable_http_endpoint().resource_arn(arn);
    send!(rds, "EnableHttpEndpoint", call)
}

/// A DB instance from the snapshot of a Multi-AZ DB cluster.
pub(crate) async fn temporary_instance(
    rds: &Rds,
    snapshot: &str,
    name: &str,
    request: &Map<String, Value>,
) -> Result<(), Fault> {
    let mut args = Args::new("RestoreDBInstanceFromDBSnapshot", rds.region(), request);
    let call = rds
        .client()
        .restore_db_instance_from_db_snapshot()
        .db_instance_identifier(name)
        .db_cluster_snapshot_identifier(snapshot);
    set!(args, call,
        "AutoMinorVersionUpgrade" => set_auto_minor_version_upgrade bool,
        "BackupRetentionPeriod" => set_backup_retention_period int,
        "CopyTagsToSnapshot" => set_copy_tags_to_snapshot bool,
        "DBInstanceClass" => set_db_instance_class string,
        "DBSubnetGroupName" => set_db_subnet_group_name string,
        "DeletionProtection" => set_deletion_protection bool,
        "EngineLifecycleSupport" => set_engine_lifecycle_support string,
        "Iops" => set_iops int,
        "MultiAZ" => set_multi_az bool,
        "NetworkType" => set_network_type string,
        "Port" => set_port int,
        "PubliclyAccessible" => set_publicly_accessible bool,
        "StorageThroughput" => set_storage_throughput int,
        "StorageType" => set_storage_type string,
        "VpcSecurityGroupIds" => set_vpc_security_group_ids strings,
    );
    let call = call.set_tags(args.tags()?);
    args.finish()?;
    send!(rds, "RestoreDBInstanceFromDBSnapshot", call)
}

pub(crate) async fn add_role(
    rds: &Rds,
    name: &str,
    role_arn: &str,
    feature_name: &str,
) -> Result<(), Fault> {
    let feature = (!feature_name.is_empty()).then(|| feature_name.to_owned());
    let call = rds
        .client()
        .add_role_to_db_cluster()
        .db_cluster_identifier(name)
        .role_arn(role_arn)
        .set_feature_name(feature);
    send!(rds, "AddRoleToDBCluster", call)
}

pub(crate) async fn create_member(
    rds: &Rds,
    cluster: &str,
    name: &str,
    request: &Map<String, Value>,
) -> Result<(), Fault> {
    let mut args = Args::new("CreateDBInstance", rds.region(), request);
    let call = rds
        .client()
        .create_db_instance()
        .db_cluster_identifier(cluster)
        .db_instance_identifier(name);
    set!(args, call,
        "AutoMinorVersionUpgrade" => set_auto_minor_version_upgrade bool,
        "AvailabilityZone" => set_availability_zone string,
        "CACertificateIdentifier" => set_ca_certificate_identifier string,
        "CopyTagsToSnapshot" => set_copy_tags_to_snapshot bool,
        "DBInstanceClass" => set_db_instance_class string,
        "DBParameterGroupName" => set_db_parameter_group_name string,
        "EnablePerformanceInsights" => set_enable_performance_insights bool,
        "Engine" => set_engine string,
        "MonitoringInterval" => set_monitoring_interval int,
        "MonitoringRoleArn" => set_monitoring_role_arn string,
        "PerformanceInsightsKMSKeyId" => set_performance_insights_kms_key_id string,
        "PerformanceInsightsRetentionPeriod" => set_performance_insights_retention_period int,
        "PreferredMaintenanceWindow" => set_preferred_maintenance_window string,
        "PromotionTier" => set_promotion_tier int,
        "PubliclyAccessible" => set_publicly_accessible bool,
    );
    let call = call.set_tags(args.tags()?);
    args.finish()?;
    send!(rds, "CreateDBInstance", call)
}
