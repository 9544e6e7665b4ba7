//! What a modify call asks for, and whether RDS grants it.

use super::super::catalog::{self, Storage};
use super::super::error::ApiError;
use super::super::links::replicas_everywhere;
use super::super::names::instance_id;
use super::super::params::Params;
use super::super::placement::check_ca;
use super::super::state::{Changes, DbInstance, Password, Scope};
use super::super::{Call, instances, windows};
use crate::clock::plus;
use crate::kms;
use crate::world::World;

/// Parameters that ask for nothing by themselves.
const MODIFIERS: [&str; 7] = [
    "Action",
    "Version",
    "DBInstanceIdentifier",
    "ApplyImmediately",
    "AllowMajorVersionUpgrade",
    "CertificateRotationRestart",
    "MasterUserSecretKmsKeyId",
];

/// Enhanced Monitoring as asked for: an interval and a role, both or neither.
#[derive(Debug, Default)]
pub(crate) struct Monitoring {
    pub(crate) interval: Option<i64>,
    pub(crate) role: Option<String>,
}

impl Monitoring {
    pub(crate) fn read(params: &Params) -> Result<Self, ApiError> {
        let interval = params.integer("MonitoringInterval")?;
        if interval.is_some_and(|interval| ![0, 1, 5, 10, 15, 30, 60].contains(&interval)) {
            return Err(ApiError::value(
                "MonitoringInterval must be one of 0, 1, 5, 10, 15, 30, 60.",
            ));
        }
        Ok(Self {
            interval,
            role: params.text("MonitoringRoleArn"),
        })
    }

    pub(crate) fn check(&self, present: i64, role: Option<&str>) -> Result<(), ApiError> {
        let interval = self.interval.unwrap_or(present);
        if self.interval.is_some_and(|interval| interval > 0)
            && self.role.as_deref().or(role).is_none()
        {
            return Err(ApiError::combination(
                "A MonitoringRoleARN value is required if you specify a MonitoringInterval value other than 0.",
            ));
        }
        if self.role.is_some() && interval == 0 {
            return Err(ApiError::combination(
                "You must specify a MonitoringInterval value other than 0 when you specify a MonitoringRoleARN value.",
            ));
        }
        if self
            .role
            .as_ref()
            .is_some_and(|role| !role.contains(":role/"))
        {
            return Err(ApiError::value(
                "IAM role ARN value is invalid or does not include the required permissions for: ENHANCED_MONITORING",
            ));
        }
        Ok(())
    }
}

/// Performance Insights and Database Insights as asked for.
#[derive(Debug, Default)]
pub(crate) struct Insights {
    pub(crate) enable: Option<bool>,
    key: Option<String>,
    pub(crate) retention: Option<i64>,
    pub(crate) mode: Option<String>,
}

impl Insights {
    pub(crate) fn read(params: &Params) -> Result<Self, ApiError> {
        let insights = Self {
            enable: params.boolean("EnablePerformanceInsights")?,
            key: params.text("PerformanceInsightsKMSKeyId"),
            retention: params.integer("PerformanceInsightsRetentionPeriod")?,
            mode: params.text("DatabaseInsightsMode"),
        };
        if insights.retention.is_some_and(|days| {
            days != 7 && days != 731 && (days % 31 != 0 || !(1..=23).contains(&(days / 31)))
        }) {
            return Err(ApiError::value(
                "The Performance Insights retention period must be 7, a multiple of 31 up to 713, or 731 days.",
            ));
        }
        if insights
            .mode
            .as_deref()
            .is_some_and(|mode| !["standard", "advanced"].contains(&mode))
        {
            return Err(ApiError::value(
                "DatabaseInsightsMode must be standard or advanced.",
            ));
        }
        Ok(insights)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.enable.is_none()
            && self.key.is_none()
            && self.retention.is_none()
            && self.mode.is_none()
    }

    /// The ARN of the key that insights will use, when they are switched on.
    pub(crate) fn resolve(
        &self,
        world: &mut World,
        scope: &Scope,
        present: Option<&str>,
    ) -> Result<Option<String>, ApiError> {
        match &self.key {
            Some(key) => kms::usable_by_rds(world, scope, key).map(Some),
            None if present.is_some() => Ok(present.map(str::to_owned)),
            None if self.enable == Some(true) => {
                kms::usable_by_rds(world, scope, "alias/aws/rds").map(Some)
            }
            None => Ok(None),
        }
    }

    pub(crate) fn check(&self, enabled: bool, mode: Option<&str>) -> Result<(), ApiError> {
        let on = self.enable.unwrap_or(enabled);
        if (self.key.is_some() || self.retention.is_some()) && !on {
            return Err(ApiError::combination(
                "PerformanceInsightsKMSKeyId and PerformanceInsightsRetentionPeriod can't be specified when Performance Insights is not enabled.",
            ));
        }
        // Switching to advanced needs insights and a long retention in the same request, even where they
        // are on already.
        if self.mode.as_deref() == Some("advanced")
            && mode != Some("advanced")
            && (self.enable != Some(true) || self.retention.is_none_or(|days| days < 465))
        {
            return Err(ApiError::combination(
                "The advanced mode of Database Insights requires Performance Insights to be enabled with a retention period of at least 465 days.",
            ));
        }
        Ok(())
    }
}

/// What takes effect at once.
#[derive(Debug, Default)]
pub(super) struct AtOnce {
    pub(super) parameter_group: Option<String>,
    pub(super) security_groups: Option<Vec<String>>,
    pub(super) backup_window: Option<String>,
    pub(super) maintenance_window: Option<String>,
    pub(super) auto_minor: Option<bool>,
    pub(super) copy_tags: Option<bool>,
    pub(super) lifecycle_support: Option<String>,
    pub(super) deletion_protection: Option<bool>,
    pub(super) max_allocated: Option<i64>,
    pub(super) publicly_accessible: Option<bool>,
    pub(super) promotion_tier: Option<i64>,
    pub(super) manage_password: Option<bool>,
    pub(super) monitoring: Monitoring,
    pub(super) insights: Insights,
    pub(super) pi_key: Option<String>,
}

/// Everything a call asks for, checked.
pub(super) struct Wish {
    pub(super) at_once: AtOnce,
    /// Changes that a call without `ApplyImmediately` leaves pending.
    pub(super) deferrable: Changes,
    /// Changes that run asynchronously but never wait.
    pub(super) prompt: Changes,
    pub(super) apply_immediately: bool,
}

pub(super) fn read(call: &mut Call<'_>, before: &DbInstance) -> Result<Wish, ApiError> {
    let (params, scope) = (call.params, call.scope);
    let mut at_once = AtOnce {
        parameter_group: params
            .text("DBParameterGroupName")
            .map(|name| name.to_ascii_lowercase()),
        security_groups: params
            .list("VpcSecurityGroupIds")
            .filter(|groups| !groups.is_empty()),
        backup_window: params.text("PreferredBackupWindow"),
        maintenance_window: params
            .text("PreferredMaintenanceWindow")
            .map(|window| window.to_ascii_lowercase()),
        auto_minor: params.boolean("AutoMinorVersionUpgrade")?,
        copy_tags: params.boolean("CopyTagsToSnapshot")?,
        lifecycle_support: params.text("EngineLifecycleSupport"),
        deletion_protection: params.boolean("DeletionProtection")?,
        max_allocated: params.integer("MaxAllocatedStorage")?,
        publicly_accessible: params.boolean("PubliclyAccessible")?,
        promotion_tier: params.integer("PromotionTier")?,
        manage_password: params.boolean("ManageMasterUserPassword")?,
        monitoring: Monitoring::read(params)?,
        insights: Insights::read(params)?,
        pi_key: None,
    };
    let logs = params
        .structure("CloudwatchLogsExportConfiguration")
        .unwrap_or_default();
    if at_once.backup_window.is_some() || at_once.maintenance_window.is_some() {
        // Against what the instance has where only one of the two changes.
        let backup = at_once
            .backup_window
            .as_ref()
            .unwrap_or(&before.backup_window);
        let maintenance = at_once
            .maintenance_window
            .as_ref()
            .unwrap_or(&before.maintenance_window);
        let there = |window: &String| (!window.is_empty()).then(|| window.clone());
        windows::check(there(backup).as_deref(), there(maintenance).as_deref())?;
    }
    let mut deferrable = Changes {
        class: params.text("DBInstanceClass"),
        allocated_storage: params.integer("AllocatedStorage")?,
        storage_type: params.text("StorageType"),
        iops: params.integer("Iops")?,
        throughput: params.integer("StorageThroughput")?,
        multi_az: params.boolean("MultiAZ")?,
        engine_version: params.text("EngineVersion"),
        license_model: params.text("LicenseModel"),
        option_group: params
            .text("OptionGroupName")
            .map(|name| name.to_ascii_lowercase()),
        new_id: params
            .text("NewDBInstanceIdentifier")
            .map(|id| instance_id("NewDBInstanceIdentifier", &id))
            .transpose()?,
        iam_auth: params.boolean("EnableIAMDatabaseAuthentication")?,
        ca: params.text("CACertificateIdentifier"),
        network_type: params.text("NetworkType"),
        subnet_group: params
            .text("DBSubnetGroupName")
            .map(|name| name.to_ascii_lowercase()),
        dedicated_log_volume: params.boolean("DedicatedLogVolume")?,
        ..Changes::default()
    };
    let mut prompt = Changes {
        password: params.text("MasterUserPassword").map(Password),
        port: params.integer("DBPortNumber")?,
        logs_enabling: logs.list("EnableLogTypes").unwrap_or_default(),
        logs_disabling: logs.list("DisableLogTypes").unwrap_or_default(),
        ..Changes::default()
    };
    match params.integer("BackupRetentionPeriod")? {
        Some(days) if !(0..=35).contains(&days) => {
            return Err(ApiError::value(format!(
                "Invalid backup retention period: {days}. Must be between 0 and 35."
            )));
        }
        // Only switching backups on or off may wait; another number of days never does.
        Some(days) if (days == 0) == (before.backup_retention == 0) => {
            prompt.backup_retention = Some(days);
        }
        days => deferrable.backup_retention = days,
    }
    if prompt
        .password
        .as_ref()
        .is_some_and(|password| !(8..=128).contains(&password.0.chars().count()))
    {
        return Err(ApiError::value(
            "The parameter MasterUserPassword is not a valid password because it is shorter than 8 characters or too long.",
        ));
    }
    if prompt
        .port
        .is_some_and(|port| !(1150..=65_535).contains(&port))
    {
        return Err(ApiError::value(
            "DBPortNumber must be between 1150 and 65535.",
        ));
    }
    if !params.iter().any(|(name, _)| !MODIFIERS.contains(&name)) {
        return Err(ApiError::combination("No modifications were requested"));
    }

    // Referenced objects.
    let region = call.region();
    if let Some(id) = &deferrable.new_id
        && !id.eq_ignore_ascii_case(&before.id)
        && region.name_taken(id)
    {
        return Err(ApiError::new(
            "DBInstanceAlreadyExists",
            "DB instance already exists",
        ));
    }
    let version = deferrable
        .engine_version
        .as_deref()
        .unwrap_or(&before.engine_version);
    if let Some(name) = &at_once.parameter_group {
        instances::check_parameter_group(region, name, &before.engine, version)?;
    }
    if let Some(name) = &deferrable.option_group {
        instances::check_option_group(region, name, &before.engine, version)?;
    }
    if let Some(name) = &deferrable.subnet_group {
        if !region.subnet_groups.contains_key(name) {
            return Err(ApiError::no_subnet_group(name));
        }
        // A new subnet group means another VPC.
        if region.vpc(name) == region.vpc(&before.subnet_group) {
            return Err(ApiError::new(
                "InvalidVPCNetworkStateFault",
                format!(
                    "The DB instance is already in the VPC of the subnet group {name}; the new subnet group must be in a different VPC."
                ),
            ));
        }
    }
    if let Some(ca) = &deferrable.ca {
        check_ca(ca)?;
    }
    at_once.pi_key = at_once
        .insights
        .resolve(call.world, scope, before.pi_key.as_deref())?;
    Ok(Wish {
        at_once,
        deferrable,
        prompt,
        apply_immediately: params.boolean("ApplyImmediately")?.unwrap_or(false),
    })
}

pub(super) fn check_state(before: &DbInstance) -> Result<(), ApiError> {
    match before.status.as_str() {
        "available" | "storage-optimization" => Ok(()),
        "configuring-enhanced-monitoring" => Err(ApiError::instance_state(
            "RDS is configuring Enhanced Monitoring or Performance Insights for this DB instance. Try your request later.",
        )),
        _ => Err(ApiError::instance_state(
            "Database instance is not in available state.",
        )),
    }
}

pub(super) fn check_combination(
    call: &Call<'_>,
    before: &DbInstance,
    wish: &mut Wish,
) -> Result<(), ApiError> {
    let Wish {
        at_once,
        deferrable,
        prompt,
        ..
    } = wish;
    if before.is_cluster_member()
        && (prompt.backup_retention.is_some() || deferrable.backup_retention.is_some())
    {
        return Err(ApiError::combination(
            "The backup retention period of a member of a cluster is changed with ModifyDBCluster.",
        ));
    }
    if deferrable.backup_retention == Some(0)
        && replicas_everywhere(call.world, &call.scope.account, &before.resource_id)
            .next()
            .is_some()
    {
        return Err(ApiError::combination(
            "The backup retention period of a DB instance that has read replicas cannot be 0.",
        ));
    }
    if at_once.promotion_tier.is_some() && !before.is_cluster_member() {
        return Err(ApiError::combination(
            "PromotionTier is only for members of an Aurora DB cluster.",
        ));
    }
    at_once.monitoring.check(
        before.monitoring_interval,
        before.monitoring_role.as_deref(),
    )?;
    at_once
        .insights
        .check(before.pi_enabled, Some(&before.insights_mode))?;
    if before.pi_enabled
        && at_once.insights.enable != Some(false)
        && at_once.pi_key != before.pi_key
    {
        return Err(ApiError::combination(
            "The Performance Insights KMS key can't be changed once it is set.",
        ));
    }
    if before.managed_secret.is_some()
        && prompt.password.is_some()
        && at_once.manage_password != Some(false)
    {
        return Err(ApiError::combination(
            "You can't specify MasterUserPassword for an instance whose master password is managed in Secrets Manager.",
        ));
    }
    if at_once.manage_password == Some(true) && prompt.password.is_some() {
        return Err(ApiError::combination(
            "You can't specify MasterUserPassword with ManageMasterUserPassword.",
        ));
    }
    if let Some(most) = at_once.max_allocated {
        let gib = deferrable
            .allocated_storage
            .unwrap_or(before.allocated_storage);
        if most < gib {
            return Err(ApiError::combination(
                "The max storage size must be greater than the storage size.",
            ));
        }
    }
    if deferrable
        .class
        .as_deref()
        .is_some_and(|class| before.encrypted && !catalog::class_supports_encryption(class))
    {
        return Err(ApiError::combination(
            "The DB instance class does not support encryption at rest.",
        ));
    }
    if let Some(version) = &deferrable.engine_version
        && catalog::major_version(&before.engine, version)
            != catalog::major_version(&before.engine, &before.engine_version)
        && call.params.boolean("AllowMajorVersionUpgrade")? != Some(true)
    {
        return Err(ApiError::combination(
            "The AllowMajorVersionUpgrade flag must be present when upgrading to a new major version.",
        ));
    }
    check_storage(call, before, deferrable)
}

fn check_storage(call: &Call<'_>, before: &DbInstance, wish: &mut Changes) -> Result<(), ApiError> {
    if wish.allocated_storage.is_none()
        && wish.storage_type.is_none()
        && wish.iops.is_none()
        && wish.throughput.is_none()
    {
        return Ok(());
    }
    let kind = wish
        .storage_type
        .clone()
        .unwrap_or_else(|| before.storage_type.clone());
    let provisioned = matches!(kind.as_str(), "io1" | "io2") && kind == before.storage_type;
    if provisioned && wish.allocated_storage.is_some() != wish.iops.is_some() {
        return Err(ApiError::combination(
            "You must specify both the storage size and iops when modifying the storage size or iops on a DB instance that has iops.",
        ));
    }
    let gib = wish.allocated_storage.unwrap_or(before.allocated_storage);
    if gib < before.allocated_storage {
        return Err(ApiError::combination(
            "Invalid storage size for engine name and storage type: storage can't be reduced.",
        ));
    }
    // Storage grows by at least ten percent.
    if gib > before.allocated_storage && gib * 10 < before.allocated_storage * 11 {
        return Err(ApiError::combination(format!(
            "The allocated storage must grow by at least 10 %, from {} GiB.",
            before.allocated_storage
        )));
    }
    let same_kind = kind == before.storage_type;
    let settled = Storage {
        iops: wish.iops.or(before.iops.filter(|_| same_kind)),
        throughput: wish.throughput.or(before.throughput.filter(|_| same_kind)),
        kind,
        gib,
    }
    .settle(&before.engine, (wish.iops, wish.throughput))?;
    let differs = settled.kind != before.storage_type
        || gib != before.allocated_storage
        || settled.iops != before.iops
        || settled.throughput != before.throughput;
    // Neither while storage is being optimized nor within six hours of the last change.
    if differs
        && (before.status == "storage-optimization"
            || before
                .storage_changed
                .is_some_and(|at| call.now < plus(at, 6 * 3600)))
    {
        return Err(ApiError::combination(
            "You can't currently modify the storage of this DB instance because the previous storage change is being optimized.",
        ));
    }
    wish.storage_type = Some(settled.kind);
    wish.allocated_storage = Some(gib);
    wish.iops = settled.iops;
    wish.throughput = settled.throughput;
    Ok(())
}
