//! The mutations: from the arguments in a plan to one API call each.
//!
//! The SDK's own retries are switched off here. A lost answer of a mutation is not a reason to send it again but to
//! look first, and only the executor looks.

use atrest_scanner::error::AwsError;
use atrest_scanner::rds::Rds;
use aws_sdk_rds::config::retry::RetryConfig;
use aws_sdk_rds::types::{
    CloudwatchLogsExportConfiguration, ProcessorFeature, Tag, TargetResourceConfiguration,
};
use serde_json::{Map, Value};

use crate::fault::Fault;

/// Sets members on a builder: `"Member" => setter kind`.
macro_rules! set {
    ($args:ident, $builder:ident, $($member:literal => $setter:ident $kind:ident),* $(,)?) => {
        $( let $builder = $builder.$setter($args.$kind($member)?); )*
    };
}

/// Sends without SDK retries.
macro_rules! send {
    ($rds:expr, $operation:literal, $builder:expr) => {{
        let config = aws_sdk_rds::config::Builder::new().retry_config(RetryConfig::disabled());
        let sent = $builder.customize().config_override(config).send().await;
        sent.map(|_answer| ())
            .map_err(|e| Fault::Aws(AwsError::from_sdk($operation, $rds.region(), &e)))
    }};
}

pub(crate) mod cluster;

/// Arguments of a call, taken out one by one so that an argument nobody knows is noticed.
struct Args<'a> {
    operation: &'static str,
    left: Map<String, Value>,
    region: &'a str,
}

impl<'a> Args<'a> {
    fn new(operation: &'static str, region: &'a str, request: &Map<String, Value>) -> Self {
        Self {
            operation,
            left: request.clone(),
            region,
        }
    }

    fn wrong(&self, member: &str, wanted: &str) -> Fault {
        Fault::Plan(format!(
            "argument {member} of {} in {} must be {wanted}",
            self.operation, self.region
        ))
    }

    fn string(&mut self, member: &str) -> Result<Option<String>, Fault> {
        match self.left.remove(member) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(member, "a string")),
        }
    }

    fn int(&mut self, member: &str) -> Result<Option<i32>, Fault> {
        match self.left.remove(member) {
            None => Ok(None),
            Some(value) => match value.as_i64().and_then(|n| i32::try_from(n).ok()) {
                Some(number) => Ok(Some(number)),
                None => Err(self.wrong(member, "a 32-bit integer")),
            },
        }
    }

    fn bool(&mut self, member: &str) -> Result<Option<bool>, Fault> {
        match self.left.remove(member) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(self.wrong(member, "true or false")),
        }
    }

    fn strings(&mut self, member: &str) -> Result<Option<Vec<String>>, Fault> {
        match self.left.remove(member) {
            None => Ok(None),
            Some(Value::Array(items)) => items
                .into_iter()
                .map(|item| match item {
                    Value::String(text) => Ok(text),
                    _ => Err(self.wrong(member, "a list of strings")),
                })
                .collect::<Result<Vec<_>, _>>()
                .map(Some),
            Some(_) => Err(self.wrong(member, "a list of strings")),
        }
    }

    fn pairs(
        &mut self,
        member: &str,
        key: &str,
        value: &str,
    ) -> Result<Option<Vec<(String, String)>>, Fault> {
        let Some(list) = self.left.remove(member) else {
            return Ok(None);
        };
        let wrong = || self.wrong(member, &format!("a list of {{{key}, {value}}}"));
        let items = list.as_array().ok_or_else(wrong)?;
        items
            .iter()
            .map(|item| {
                let text = |name: &str| {
                    item.get(name)
                        .and_then(Value::as_str)
                        .map(str::to_owned)
                        .ok_or_else(wrong)
                };
                Ok((text(key)?, text(value)?))
            })
            .collect::<Result<Vec<_>, Fault>>()
            .map(Some)
    }

    fn tags(&mut self) -> Result<Option<Vec<Tag>>, Fault> {
        Ok(self
            .pairs("Tags", "Key", "Value")?
            .map(|pairs| tags(&pairs)))
    }

    fn number(&mut self, member: &str) -> Result<Option<f64>, Fault> {
        match self.left.remove(member) {
            None => Ok(None),
            Some(Value::String(text)) if text.parse::<f64>().is_ok() => Ok(text.parse().ok()),
            Some(Value::Number(number)) => Ok(number.as_f64()),
            Some(_) => Err(self.wrong(member, "a number")),
        }
    }

    fn processor_features(&mut self) -> Result<Option<Vec<ProcessorFeature>>, Fault> {
        let pairs = self.pairs("ProcessorFeatures", "Name", "Value")?;
        Ok(pairs.map(|pairs| {
            pairs
                .into_iter()
                .map(|(name, value)| ProcessorFeature::builder().name(name).value(value).build())
                .collect()
        }))
    }

    /// Refuses arguments that were not taken.
    fn finish(self) -> Result<(), Fault> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(name) => Err(Fault::Plan(format!(
                "{} has no argument {name} in this version",
                self.operation
            ))),
        }
    }
}

fn tags(pairs: &[(String, String)]) -> Vec<Tag> {
    pairs
        .iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect()
}

pub(crate) async fn add_tags(
    rds: &Rds,
    arn: &str,
    pairs: &[(String, String)],
) -> Result<(), Fault> {
    let call = rds
        .client()
        .add_tags_to_resource()
        .resource_name(arn)
        .set_tags(Some(tags(pairs)));
    send!(rds, "AddTagsToResource", call)
}

pub(crate) async fn rename(rds: &Rds, from: &str, to: &str) -> Result<(), Fault> {
    let call = rds
        .client()
        .modify_db_instance()
        .db_instance_identifier(from)
        .new_db_instance_identifier(to)
        .apply_immediately(true);
    send!(rds, "ModifyDBInstance", call)
}

/// Without a final snapshot, which takes no tags; whoever wants one makes it before. The automated backups go with it.
pub(crate) async fn delete_instance(rds: &Rds, name: &str) -> Result<(), Fault> {
    let call = rds
        .client()
        .delete_db_instance()
        .db_instance_identifier(name)
        .skip_final_snapshot(true)
        .delete_automated_backups(true);
    send!(rds, "DeleteDBInstance", call)
}

pub(crate) async fn delete_snapshot(rds: &Rds, snapshot: &str) -> Result<(), Fault> {
    let call = rds
        .client()
        .delete_db_snapshot()
        .db_snapshot_identifier(snapshot);
    send!(rds, "DeleteDBSnapshot", call)
}

pub(crate) async fn delete_automated_backup(rds: &Rds, dbi_resource_id: &str) -> Result<(), Fault> {
    let call = rds
        .client()
        .delete_db_instance_automated_backup()
        .dbi_resource_id(dbi_resource_id);
    send!(rds, "DeleteDBInstanceAutomatedBackup", call)
}

pub(crate) async fn remove_tags(rds: &Rds, arn: &str, keys: &[String]) -> Result<(), Fault> {
    let call = rds
        .client()
        .remove_tags_from_resource()
        .resource_name(arn)
        .set_tag_keys(Some(keys.to_vec()));
    send!(rds, "RemoveTagsFromResource", call)
}

pub(crate) async fn reboot(rds: &Rds, name: &str) -> Result<(), Fault> {
    // A failover would swap hosts without need; parameter groups are applied by a plain restart.
    let call = rds
        .client()
        .reboot_db_instance()
        .db_instance_identifier(name);
    send!(rds, "RebootDBInstance", call)
}

pub(crate) async fn create_snapshot(
    rds: &Rds,
    instance: &str,
    snapshot: &str,
    pairs: &[(String, String)],
) -> Result<(), Fault> {
    let call = rds
        .client()
        .create_db_snapshot()
        .db_instance_identifier(instance)
        .db_snapshot_identifier(snapshot)
        .set_tags(Some(tags(pairs)));
    send!(rds, "CreateDBSnapshot", call)
}

pub(crate) async fn copy_snapshot(
    rds: &Rds,
    source: &str,
    snapshot: &str,
    kms_key_id: &str,
    pairs: &[(String, String)],
) -> Result<(), Fault> {
    let call = rds
        .client()
        .copy_db_snapshot()
        .source_db_snapshot_identifier(source)
        .target_db_snapshot_identifier(snapshot)
        .kms_key_id(kms_key_id)
        .set_tags(Some(tags(pairs)));
    send!(rds, "CopyDBSnapshot", call)
}

pub(crate) async fn add_role(
    rds: &Rds,
    name: &str,
    role_arn: &str,
    feature_name: &str,
) -> Result<(), Fault> {
    let call = rds
        .client()
        .add_role_to_db_instance()
        .db_instance_identifier(name)
        .role_arn(role_arn)
        .feature_name(feature_name);
    send!(rds, "AddRoleToDBInstance", call)
}

pub(crate) async fn manage_password(
    rds: &Rds,
    name: &str,
    kms_key_id: Option<&str>,
) -> Result<(), Fault> {
    let call = rds
        .client()
        .modify_db_instance()
        .db_instance_identifier(name)
        .manage_master_user_password(true)
        .set_master_user_secret_kms_key_id(kms_key_id.map(str::to_owned))
        .apply_immediately(true);
    send!(rds, "ModifyDBInstance", call)
}

pub(crate) async fn deregister_proxy_target(
    rds: &Rds,
    proxy: &str,
    name: &str,
) -> Result<(), Fault> {
    let call = rds
        .client()
        .deregister_db_proxy_targets()
        .db_proxy_name(proxy)
        .db_instance_identifiers(name);
    send!(rds, "DeregisterDBProxyTargets", call)
}

pub(crate) async fn register_proxy_target(rds: &Rds, proxy: &str, name: &str) -> Result<(), Fault> {
    let call = rds
        .client()
        .register_db_proxy_targets()
        .db_proxy_name(proxy)
        .db_instance_identifiers(name);
    send!(rds, "RegisterDBProxyTargets", call)
}

pub(crate) async fn add_to_subscription(
    rds: &Rds,
    subscription: &str,
    name: &str,
) -> Result<(), Fault> {
    let call = rds
        .client()
        .add_source_identifier_to_subscription()
        .subscription_name(subscription)
        .source_identifier(name);
    send!(rds, "AddSourceIdentifierToSubscription", call)
}

/// `rds` is of the region that the backups are replicated into.
pub(crate) async fn replicate_backups(
    rds: &Rds,
    source_arn: &str,
    kms_key_id: &str,
    retention_days: i64,
) -> Result<(), Fault> {
    let days = i32::try_from(retention_days).map_err(|_too_large| {
        Fault::Plan(format!("{retention_days} days of retention are too many"))
    })?;
    let call = rds
        .client()
        .start_db_instance_automated_backups_replication()
        .source_db_instance_arn(source_arn)
        .kms_key_id(kms_key_id)
        .backup_retention_period(days);
    send!(rds, "StartDBInstanceAutomatedBackupsReplication", call)
}

pub(crate) async fn restore(
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
        .db_snapshot_identifier(snapshot);
    set!(args, call,
        "AvailabilityZone" => set_availability_zone string,
        "AutoMinorVersionUpgrade" => set_auto_minor_version_upgrade bool,
        "BackupRetentionPeriod" => set_backup_retention_period int,
        "BackupTarget" => set_backup_target string,
        "CACertificateIdentifier" => set_ca_certificate_identifier string,
        "CopyTagsToSnapshot" => set_copy_tags_to_snapshot bool,
        "DBInstanceClass" => set_db_instance_class string,
        "DBParameterGroupName" => set_db_parameter_group_name string,
        "DBSubnetGroupName" => set_db_subnet_group_name string,
        "DedicatedLogVolume" => set_dedicated_log_volume bool,
        "DeletionProtection" => set_deletion_protection bool,
        "Domain" => set_domain string,
        "DomainAuthSecretArn" => set_domain_auth_secret_arn string,
        "DomainDnsIps" => set_domain_dns_ips strings,
        "DomainFqdn" => set_domain_fqdn string,
        "DomainIAMRoleName" => set_domain_iam_role_name string,
        "DomainOu" => set_domain_ou string,
        "EnableCloudwatchLogsExports" => set_enable_cloudwatch_logs_exports strings,
        "EnableCustomerOwnedIp" => set_enable_customer_owned_ip bool,
        "EnableIAMDatabaseAuthentication" => set_enable_iam_database_authentication bool,
        "EngineLifecycleSupport" => set_engine_lifecycle_support string,
        "Iops" => set_iops int,
        "MultiAZ" => set_multi_az bool,
        "NetworkType" => set_network_type string,
        "OptionGroupName" => set_option_group_name string,
        "Port" => set_port int,
        "PreferredBackupWindow" => set_preferred_backup_window string,
        "PubliclyAccessible" => set_publicly_accessible bool,
        "StorageThroughput" => set_storage_throughput int,
        "StorageType" => set_storage_type string,
        "VpcSecurityGroupIds" => set_vpc_security_group_ids strings,
    );
    let call = call
        .set_tags(args.tags()?)
        .set_processor_features(args.processor_features()?);
    args.finish()?;
    send!(rds, "RestoreDBInstanceFromDBSnapshot", call)
}

pub(crate) async fn create_replica(
    rds: &Rds,
    source: &str,
    name: &str,
    request: &Map<String, Value>,
) -> Result<(), Fault> {
    let mut args = Args::new("CreateDBInstanceReadReplica", rds.region(), request);
    let call = rds
        .client()
        .create_db_instance_read_replica()
        .db_instance_identifier(name)
        .source_db_instance_identifier(source);
    set!(args, call,
        "AllocatedStorage" => set_allocated_storage int,
        "AvailabilityZone" => set_availability_zone string,
        "AutoMinorVersionUpgrade" => set_auto_minor_version_upgrade bool,
        "CACertificateIdentifier" => set_ca_certificate_identifier string,
        "CopyTagsToSnapshot" => set_copy_tags_to_snapshot bool,
        "DBInstanceClass" => set_db_instance_class string,
        "DedicatedLogVolume" => set_dedicated_log_volume bool,
        "DeletionProtection" => set_deletion_protection bool,
        "Domain" => set_domain string,
        "DomainAuthSecretArn" => set_domain_auth_secret_arn string,
        "DomainDnsIps" => set_domain_dns_ips strings,
        "DomainFqdn" => set_domain_fqdn string,
        "DomainIAMRoleName" => set_domain_iam_role_name string,
        "DomainOu" => set_domain_ou string,
        "EnableCloudwatchLogsExports" => set_enable_cloudwatch_logs_exports strings,
        "EnableCustomerOwnedIp" => set_enable_customer_owned_ip bool,
        "EnableIAMDatabaseAuthentication" => set_enable_iam_database_authentication bool,
        "EnablePerformanceInsights" => set_enable_performance_insights bool,
        "Iops" => set_iops int,
        "MaxAllocatedStorage" => set_max_allocated_storage int,
        "MonitoringInterval" => set_monitoring_interval int,
        "MonitoringRoleArn" => set_monitoring_role_arn string,
        "MultiAZ" => set_multi_az bool,
        "NetworkType" => set_network_type string,
        "OptionGroupName" => set_option_group_name string,
        "PerformanceInsightsKMSKeyId" => set_performance_insights_kms_key_id string,
        "PerformanceInsightsRetentionPeriod" => set_performance_insights_retention_period int,
        "Port" => set_port int,
        "PubliclyAccessible" => set_publicly_accessible bool,
        "StorageThroughput" => set_storage_throughput int,
        "StorageType" => set_storage_type string,
        "VpcSecurityGroupIds" => set_vpc_security_group_ids strings,
    );
    let call = call
        .set_tags(args.tags()?)
        .set_processor_features(args.processor_features()?);
    args.finish()?;
    send!(rds, "CreateDBInstanceReadReplica", call)
}

/// Deletes a replica that a run has made for itself: what is on it is on its source.
/// Of what a run has made for itself: nothing is kept of it.
pub(crate) async fn delete_temporary(rds: &Rds, name: &str) -> Result<(), Fault> {
    let call = rds
        .client()
        .delete_db_instance()
        .db_instance_identifier(name)
        .skip_final_snapshot(true)
        .delete_automated_backups(true);
    send!(rds, "DeleteDBInstance", call)
}

pub(crate) async fn modify(
    rds: &Rds,
    name: &str,
    request: &Map<String, Value>,
) -> Result<(), Fault> {
    let mut args = Args::new("ModifyDBInstance", rds.region(), request);
    let call = rds
        .client()
        .modify_db_instance()
        .db_instance_identifier(name)
        .apply_immediately(true);
    set!(args, call,
        "AutoMinorVersionUpgrade" => set_auto_minor_version_upgrade bool,
        "BackupRetentionPeriod" => set_backup_retention_period int,
        "CACertificateIdentifier" => set_ca_certificate_identifier string,
        "CopyTagsToSnapshot" => set_copy_tags_to_snapshot bool,
        "DBParameterGroupName" => set_db_parameter_group_name string,
        "DeletionProtection" => set_deletion_protection bool,
        "EnableIAMDatabaseAuthentication" => set_enable_iam_database_authentication bool,
        "EnablePerformanceInsights" => set_enable_performance_insights bool,
        "EngineLifecycleSupport" => set_engine_lifecycle_support string,
        "MaxAllocatedStorage" => set_max_allocated_storage int,
        "MonitoringInterval" => set_monitoring_interval int,
        "MonitoringRoleArn" => set_monitoring_role_arn string,
        "MultiAZ" => set_multi_az bool,
        "OptionGroupName" => set_option_group_name string,
        "PerformanceInsightsKMSKeyId" => set_performance_insights_kms_key_id string,
        "PerformanceInsightsRetentionPeriod" => set_performance_insights_retention_period int,
        "PreferredBackupWindow" => set_preferred_backup_window string,
        "PreferredMaintenanceWindow" => set_preferred_maintenance_window string,
        "PubliclyAccessible" => set_publicly_accessible bool,
        "VpcSecurityGroupIds" => set_vpc_security_group_ids strings,
    );
    let insights = args.string("DatabaseInsightsMode")?;
    let call = call.set_database_insights_mode(insights.map(|mode| mode.as_str().into()));
    let logs = args.strings("EnableCloudwatchLogsExports")?;
    let call = call.set_cloudwatch_logs_export_configuration(logs.map(|types| {
        CloudwatchLogsExportConfiguration::builder()
            .set_enable_log_types(Some(types))
            .build()
    }));
    args.finish()?;
    send!(rds, "ModifyDBInstance", call)
}

/// `keys`: ARN of each DB instance of the blue side, and the key of its green one.
pub(crate) async fn create_blue_green(
    rds: &Rds,
    name: &str,
    source_arn: &str,
    keys: &[(String, String)],
    pairs: &[(String, String)],
) -> Result<(), Fault> {
    let mut call = rds
        .client()
        .create_blue_green_deployment()
        .blue_green_deployment_name(name)
        .source(source_arn)
        .set_tags(Some(tags(pairs)));
    for (arn, key) in keys {
        let target = TargetResourceConfiguration::builder()
            .source_arn(arn)
            .target_kms_key_id(key)
            .build()
            .map_err(|error| Fault::Plan(error.to_string()))?;
        call = call.target_resource_configurations(target);
    }
    send!(rds, "CreateBlueGreenDeployment", call)
}

pub(crate) async fn switchover(
    rds: &Rds,
    identifier: &str,
    timeout_seconds: u32,
) -> Result<(), Fault> {
    let timeout = i32::try_from(timeout_seconds)
        .map_err(|_error| Fault::Plan(format!("a timeout of {timeout_seconds} s is too long")))?;
    let call = rds
        .client()
        .switchover_blue_green_deployment()
        .blue_green_deployment_identifier(identifier)
        .switchover_timeout(timeout);
    send!(rds, "SwitchoverBlueGreenDeployment", call)
}

pub(crate) async fn end_blue_green(rds: &Rds, identifier: &str) -> Result<(), Fault> {
    // Without DeleteTarget: no DB instance goes with it.
    let call = rds
        .client()
        .delete_blue_green_deployment()
        .blue_green_deployment_identifier(identifier);
    send!(rds, "DeleteBlueGreenDeployment", call)
}
