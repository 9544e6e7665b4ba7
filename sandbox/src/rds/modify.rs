//! `ModifyDBInstance`, renames included.
//!
//! Some settings take effect at once whatever `ApplyImmediately` says; the others wait in
//! `PendingModifiedValues` for the maintenance window, or for the next call with `ApplyImmediately`, which
//! applies them too.

use super::catalog::{self, Storage};
use super::error::ApiError;
use super::names::instance_id;
use super::params::Params;
use super::restore::check_ca;
use super::state::{Changes, DbInstance, ManagedSecret, Membership, Password, Region, Scope};
use super::{Answer, Call, data, instances, lifecycle};
use crate::clock::plus;
use crate::kms;
use crate::world::{JobOutput, Timeline, World};

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

    fn is_empty(&self) -> bool {
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
struct AtOnce {
    parameter_group: Option<String>,
    security_groups: Option<Vec<String>>,
    backup_window: Option<String>,
    maintenance_window: Option<String>,
    auto_minor: Option<bool>,
    copy_tags: Option<bool>,
    deletion_protection: Option<bool>,
    max_allocated: Option<i64>,
    publicly_accessible: Option<bool>,
    promotion_tier: Option<i64>,
    manage_password: Option<bool>,
    monitoring: Monitoring,
    insights: Insights,
    pi_key: Option<String>,
}

/// Everything a call asks for, checked.
struct Wish {
    at_once: AtOnce,
    /// Changes that a call without `ApplyImmediately` leaves pending.
    deferrable: Changes,
    /// Changes that run asynchronously but never wait.
    prompt: Changes,
    apply_immediately: bool,
}

fn read(call: &mut Call<'_>, before: &DbInstance) -> Result<Wish, ApiError> {
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
            prompt.backup_retention = Some(days)
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

fn check_state(before: &DbInstance) -> Result<(), ApiError> {
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

fn check_combination(
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

/// `ModifyDBInstance`.
pub(crate) fn modify(call: &mut Call<'_>) -> Answer {
    let reference = call.params.required("DBInstanceIdentifier")?;
    let before = instances::find(call.region(), &reference)?.clone();
    let mut wish = read(call, &before)?;
    check_state(&before)?;
    check_combination(call, &before, &mut wish)?;
    let Wish {
        at_once,
        deferrable,
        prompt,
        apply_immediately,
    } = wish;
    let (scope, now) = (call.scope, call.now);
    let resource_id = before.resource_id.clone();

    // What waited from an earlier call is applied together with the next immediate one.
    let mut waiting = before.pending.clone();
    waiting.overlay(deferrable);
    drop_equal(&mut waiting, &before);
    let mut applying = if apply_immediately {
        std::mem::take(&mut waiting)
    } else {
        Changes::default()
    };
    applying.overlay(prompt);

    let mut phases = phases(call.region(), &before, &applying, &at_once);
    let new_secret = (at_once.manage_password == Some(true) && before.managed_secret.is_none())
        .then(|| secret(call, &before))
        .transpose()?;
    let region = call.region();
    let group = at_once
        .parameter_group
        .clone()
        .filter(|name| *name != before.parameter_group);
    let needs_reboot = group
        .as_ref()
        .is_some_and(|name| differs_statically(region, &before.parameter_group, name));
    let Some(truth) = region.by_resource_mut(&resource_id) else {
        return Err(ApiError::no_instance(&before.id));
    };
    settle_at_once(truth, &at_once, new_secret);
    let mut pending = waiting.clone();
    pending.overlay(applying.clone());
    truth.pending = pending;
    let rename = applying.new_id.take();
    if let Some((status, _)) = phases.first() {
        (*status).clone_into(&mut truth.status);
    } else if rename.is_some() {
        truth.status = "modifying".to_owned();
    }
    // The answer shows the old values and what is pending.
    let shown = DbInstance {
        pending: truth.pending.clone(),
        ..before.clone()
    };
    call.world
        .lag(scope, now, &resource_id, Some(before.clone()));

    if !phases.is_empty() {
        let finish = if applying.allocated_storage.is_some() {
            "storage-optimization"
        } else {
            "available"
        };
        schedule_phases(
            call,
            &before,
            std::mem::take(&mut phases),
            Work {
                applying,
                waiting: waiting.clone(),
                group,
                needs_reboot,
                finish,
                renames: rename.is_some(),
            },
            rename,
        );
    } else if let Some(new_id) = rename {
        schedule_rename(call.world, scope, now, &resource_id, new_id);
    } else {
        let (world, settled) = (&mut *call.world, waiting.clone());
        if let Some(truth) = world.region_mut(scope).by_resource_mut(&resource_id) {
            apply(truth, applying);
            truth.pending = settled;
        }
    }
    if !waiting.is_empty() {
        schedule_window(call, &before);
    }
    instances::answer(call, &shown)
}

/// Changes that ask for what is there already are none, except for the name: renaming an instance to its
/// own name runs like any rename.
fn drop_equal(changes: &mut Changes, before: &DbInstance) {
    macro_rules! drop_if {
        ($($field:ident: $present:expr),* $(,)?) => { $(if changes.$field.as_ref() == $present { changes.$field = None; })* };
    }
    drop_if!(
        class: Some(&before.class),
        allocated_storage: Some(&before.allocated_storage),
        storage_type: Some(&before.storage_type),
        iops: before.iops.as_ref(),
        throughput: before.throughput.as_ref(),
        multi_az: Some(&before.multi_az),
        engine_version: Some(&before.engine_version),
        license_model: Some(&before.license_model),
        option_group: Some(&before.option_group),
        iam_auth: Some(&before.iam_auth),
        ca: before.ca.as_ref(),
        network_type: Some(&before.network_type),
        dedicated_log_volume: Some(&before.dedicated_log_volume),
    );
}

type Phases = Vec<(&'static str, (u64, u64))>;

/// The statuses that the changes go through, with their ranges of virtual seconds.
fn phases(region: &Region, before: &DbInstance, applying: &Changes, at_once: &AtOnce) -> Phases {
    let mut phases: Phases = Vec::new();
    let switches_backups = applying
        .backup_retention
        .is_some_and(|days| (days == 0) != (before.backup_retention == 0));
    let plain = Changes {
        new_id: None,
        iam_auth: None,
        password: None,
        port: None,
        logs_enabling: Vec::new(),
        logs_disabling: Vec::new(),
        backup_retention: None,
        ..applying.clone()
    };
    if applying.multi_az == Some(true) {
        phases.push(("modifying", (300, 900)));
    } else if !plain.is_empty()
        || at_once.security_groups.is_some()
        || at_once
            .publicly_accessible
            .is_some_and(|wanted| wanted != before.publicly_accessible)
    {
        phases.push(("modifying", (30, 300)));
    } else if at_once.parameter_group.as_ref().is_some_and(|name| {
        *name != before.parameter_group && region.parameter_groups.contains_key(name)
    }) {
        phases.push(("modifying", (10, 60)));
    }
    if applying.password.is_some() || at_once.manage_password.is_some() {
        phases.push(("resetting-master-credentials", (30, 120)));
    }
    let monitoring = at_once
        .monitoring
        .interval
        .is_some_and(|interval| interval != before.monitoring_interval)
        || at_once
            .monitoring
            .role
            .as_ref()
            .is_some_and(|role| Some(role) != before.monitoring_role.as_ref());
    if monitoring || !at_once.insights.is_empty() {
        phases.push(("configuring-enhanced-monitoring", (60, 300)));
    }
    if applying.iam_auth.is_some() {
        phases.push(("configuring-iam-database-auth", (60, 300)));
    }
    if !applying.logs_enabling.is_empty() || !applying.logs_disabling.is_empty() {
        phases.push(("configuring-log-exports", (60, 300)));
    }
    if switches_backups {
        phases.push(("modifying", (90, 200)));
    }
    if applying.port.is_some_and(|port| port != before.port)
        || applying.ca.is_some()
        || applying.class.is_some()
        || applying.engine_version.is_some()
    {
        phases.push(("rebooting", (60, 120)));
    }
    if switches_backups && applying.backup_retention.is_some_and(|days| days > 0) {
        phases.push(("backing-up", (90, 200)));
    }
    phases
}

fn settle_at_once(instance: &mut DbInstance, wish: &AtOnce, secret: Option<ManagedSecret>) {
    macro_rules! set {
        ($($field:ident = $wish:expr),* $(,)?) => { $(if let Some(value) = $wish { instance.$field = value.clone(); })* };
    }
    set!(
        backup_window = &wish.backup_window,
        maintenance_window = &wish.maintenance_window,
        auto_minor_version_upgrade = &wish.auto_minor,
        copy_tags = &wish.copy_tags,
        deletion_protection = &wish.deletion_protection,
        publicly_accessible = &wish.publicly_accessible,
        monitoring_interval = &wish.monitoring.interval,
        insights_mode = &wish.insights.mode,
        pi_enabled = &wish.insights.enable,
    );
    // Autoscaling is switched off by a maximum that equals the present size.
    if let Some(most) = wish.max_allocated {
        instance.max_allocated_storage = (most > instance.allocated_storage).then_some(most);
    }
    if wish.promotion_tier.is_some() {
        instance.promotion_tier = wish.promotion_tier;
    }
    if wish.monitoring.role.is_some() {
        instance.monitoring_role.clone_from(&wish.monitoring.role);
    }
    if instance.monitoring_interval == 0 {
        instance.monitoring_role = None;
    }
    if instance.pi_enabled {
        instance.pi_key.clone_from(&wish.pi_key);
        instance.pi_retention = wish
            .insights
            .retention
            .or(instance.pi_retention)
            .or(Some(7));
    }
    if let Some(name) = wish
        .parameter_group
        .as_ref()
        .filter(|name| **name != instance.parameter_group)
    {
        // The association is immediate; the values are being applied.
        instance.parameter_group.clone_from(name);
        instance.parameter_status = "applying".to_owned();
    }
    if let Some(groups) = &wish.security_groups {
        instance.security_groups = groups
            .iter()
            .map(|name| {
                let present = instance
                    .security_groups
                    .iter()
                    .any(|group| group.name == *name && group.status == "active");
                Membership {
                    name: name.clone(),
                    status: if present { "active" } else { "adding" }.to_owned(),
                }
            })
            .collect();
    }
    if secret.is_some() {
        instance.managed_secret = secret;
    }
    if wish.manage_password == Some(false) {
        instance.managed_secret = None;
    }
}

/// What the phases bring about at their end.
struct Work {
    applying: Changes,
    waiting: Changes,
    group: Option<String>,
    needs_reboot: bool,
    finish: &'static str,
    renames: bool,
}

fn schedule_phases(
    call: &mut Call<'_>,
    before: &DbInstance,
    phases: Phases,
    work: Work,
    rename: Option<String>,
) {
    let (scope, now) = (call.scope, call.now);
    let resource_id = before.resource_id.clone();
    let durations: Vec<(&'static str, u64)> = phases
        .iter()
        .map(|(status, range)| {
            (
                *status,
                call.world
                    .takes(&format!("modify/{}/{status}", before.id), *range),
            )
        })
        .collect();
    let Work {
        applying,
        waiting,
        group,
        needs_reboot,
        finish,
        renames,
    } = work;
    let restarts = durations.iter().any(|(status, _)| *status == "rebooting");
    let optimizes = finish == "storage-optimization";
    let last = durations.last().map_or(0, |(_, took)| *took);
    let moves = applying.port.is_some_and(|port| port != before.port);
    let reconfigures = group.is_some() || applying.backup_retention.is_some();
    let password = applying.password.clone();

    let mut timeline = Timeline::new(scope, &resource_id);
    let mut after = 0;
    for (status, took) in &durations {
        let status = *status;
        timeline = timeline.then(after, move |moment| moment.status(status));
        after = *took;
    }
    let own_id = before.id.clone();
    timeline = timeline
        // Everything is applied when the last phase ends; real servers do their part before that.
        .then(last / 2, move |moment| {
            if let Some(password) = password {
                set_password(moment, password);
            }
            let mut spec_view = applying.clone();
            spec_view.new_id = None;
            if let Some(instance) = moment.instance() {
                apply(instance, spec_view);
            }
            if reconfigures {
                data::reconfigure(moment);
            }
        })
        .when_done(0, move |moment| {
            if restarts {
                data::restart(moment);
            }
        })
        .when_done(0, move |moment| {
            if moves {
                data::open_endpoint(moment);
            }
        })
        .when_done(last - last / 2, move |moment| {
            if moves {
                data::take_endpoint(moment);
            }
            let now = moment.now;
            if let Some(instance) = moment.instance() {
                if instance.parameter_status == "applying" {
                    // Dynamic values apply at once; static ones wait for a reboot that nothing but a reboot
                    // brings.
                    instance.parameter_status = if needs_reboot {
                        "pending-reboot"
                    } else {
                        "in-sync"
                    }
                    .to_owned();
                }
                if restarts {
                    lifecycle::after_restart(instance);
                }
                for group in &mut instance.security_groups {
                    group.status = "active".to_owned();
                }
                if let Some(secret) = &mut instance.managed_secret {
                    secret.status = "active".to_owned();
                }
                if optimizes {
                    instance.storage_changed = Some(now);
                }
                instance.pending = Changes {
                    new_id: instance.pending.new_id.clone().filter(|_| renames),
                    ..waiting
                };
                instance.status = if renames { "modifying" } else { finish }.to_owned();
            }
            if let Some(group) = group {
                moment.event(
                    "configuration change",
                    format!("Updated to use DBParameterGroup {group}"),
                );
            }
            if let Some(new_id) = rename {
                let (scope, subject) = (moment.scope.clone(), moment.subject.clone());
                schedule_rename(moment.world, &scope, now, &subject, new_id);
            }
        })
        .on_failure(move |moment, error| {
            tracing::warn!(instance = own_id, "A modification failed.");
            data::fail(moment, "incompatible-parameters", &error);
        });
    if optimizes {
        timeline = timeline.then(
            call.world
                .takes(&format!("optimize/{}", before.id), (300, 1200)),
            |moment| {
                if moment
                    .instance()
                    .is_some_and(|instance| instance.status == "storage-optimization")
                {
                    moment.status("available");
                }
            },
        );
    }
    call.world.schedule(now, timeline);
}

fn apply(instance: &mut DbInstance, changes: Changes) {
    macro_rules! set {
        ($($field:ident),* $(,)?) => { $(if let Some(value) = changes.$field { instance.$field = value; })* };
    }
    let had_standby = instance.multi_az;
    set!(
        class,
        allocated_storage,
        storage_type,
        multi_az,
        engine_version,
        license_model,
        option_group,
        iam_auth,
        network_type,
        subnet_group,
        backup_retention,
        dedicated_log_volume,
        port
    );
    if changes.iops.is_some() || changes.throughput.is_some() || changes.allocated_storage.is_some()
    {
        instance.iops = changes.iops;
        instance.throughput = changes.throughput;
    }
    if changes.ca.is_some() {
        instance.ca = changes.ca;
    }
    if let Some(password) = changes.password {
        instance.master_password = password;
    }
    if instance.multi_az != had_standby {
        let last = instance.availability_zone.pop().unwrap_or('a');
        let other = if last == 'a' { 'b' } else { 'a' };
        instance.secondary_az = instance
            .multi_az
            .then(|| format!("{}{other}", instance.availability_zone));
        instance.availability_zone.push(last);
    }
    instance
        .log_exports
        .retain(|log| !changes.logs_disabling.contains(log));
    for log in changes.logs_enabling {
        if !instance.log_exports.contains(&log) {
            instance.log_exports.push(log);
        }
    }
    instance.log_exports.sort();
}

/// Whether two groups differ in a static parameter: only then does the association wait for a reboot.
fn differs_statically(region: &Region, one: &str, other: &str) -> bool {
    let (Some(one), Some(other)) = (
        region.parameter_groups.get(one),
        region.parameter_groups.get(other),
    ) else {
        return false;
    };
    one.user.keys().chain(other.user.keys()).any(|name| {
        one.user.get(name) != other.user.get(name) && catalog::is_static(&other.family, name)
    })
}

fn secret(call: &mut Call<'_>, before: &DbInstance) -> Result<ManagedSecret, ApiError> {
    let key = call
        .params
        .text("MasterUserSecretKmsKeyId")
        .unwrap_or_else(|| "alias/aws/secretsmanager".to_owned());
    let kms_key = kms::usable_by_rds(call.world, call.scope, &key)?;
    let scope = call.scope;
    let tail = call.world.dice.word(
        &format!("secret/{}", before.resource_id),
        "abcdefghijklmnopqrstuvwxyzABCDEF",
        6,
    );
    Ok(ManagedSecret {
        arn: format!(
            "arn:{}:secretsmanager:{}:{}:secret:rds!{}-{tail}",
            scope.partition(),
            scope.region,
            scope.account,
            before.resource_id.to_ascii_lowercase()
        ),
        status: "creating".to_owned(),
        kms_key,
    })
}

fn set_password(moment: &mut crate::world::Moment<'_>, password: Password) {
    let Some((engines, server)) = moment.server() else {
        return;
    };
    let Some(user) = moment
        .instance()
        .map(|instance| instance.master_username.clone())
    else {
        return;
    };
    let quote = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    // A master user that was dropped comes back with the new password.
    let script = format!(
        "CREATE USER IF NOT EXISTS {user}@'%' IDENTIFIED BY {word};\nALTER USER {user}@'%' IDENTIFIED BY {word};\n",
        user = quote(&user),
        word = quote(&password.0)
    );
    moment.start(async move {
        engines
            .run_sql(&server, &script)
            .await
            .map(|()| JobOutput::Done)
    });
}

/// A rename: `modifying`, `renaming`, then neither name is found for a while, then `rebooting` under the
/// new name, then `available`; the old name is free from then on, and the new endpoint shows later still.
/// Renaming to the present name runs the same way.
fn schedule_rename(
    world: &mut World,
    scope: &Scope,
    now: jiff::Timestamp,
    resource_id: &str,
    new_id: String,
) {
    let Some(old_id) = world
        .region_mut(scope)
        .by_resource(resource_id)
        .map(|instance| instance.id.clone())
    else {
        return;
    };
    let first = world.takes(&format!("rename-modifying/{old_id}"), (30, 60));
    let second = world.takes(&format!("rename-renaming/{old_id}"), (20, 40));
    let gap = world
        .dice
        .between(&format!("rename-gap/{old_id}"), world.knobs.rename_gap);
    let third = world.takes(&format!("rename-rebooting/{old_id}"), (40, 70));
    let endpoint = world.dice.between(
        &format!("rename-endpoint/{old_id}"),
        world.knobs.endpoint_lag,
    );
    let held = old_id.clone();
    let timeline = Timeline::new(scope, resource_id)
        .then(first, |moment| moment.status("renaming"))
        .then(second, move |moment| {
            let region = moment.region();
            region.held_names.push(old_id);
            if let Some(instance) = moment.instance() {
                instance.id.clone_from(&new_id);
                instance.hidden = true;
                instance.stale = None;
            }
            // The old name is gone from DNS at once.
            if let Some((engines, server)) = moment.server() {
                moment.start(async move {
                    engines.close_endpoint(&server).await?;
                    engines.restart(&server).await.map(|()| JobOutput::Done)
                });
            }
        })
        .then(gap, |moment| {
            if let Some(instance) = moment.instance() {
                instance.hidden = false;
                instance.status = "rebooting".to_owned();
            }
        })
        .when_done(third, move |moment| {
            moment.region().held_names.retain(|name| *name != held);
            if let Some(instance) = moment.instance() {
                instance.pending.new_id = None;
                instance.status = "available".to_owned();
                lifecycle::after_restart(instance);
            }
            moment.event("availability", "DB instance restarted");
        })
        .then(endpoint, data::open_endpoint)
        .when_done(0, data::take_endpoint)
        .on_failure(|moment, error| data::fail(moment, "failed", &error));
    world.schedule(now, timeline);
}

/// Applies what is pending when the maintenance window comes, as long as it is still pending then.
fn schedule_window(call: &mut Call<'_>, before: &DbInstance) {
    let Some(wait) = until_window(&before.maintenance_window, call.now) else {
        return;
    };
    let timeline = Timeline::new(call.scope, &before.resource_id).then(wait, |moment| {
        let Some(instance) = moment.instance() else {
            return;
        };
        if instance.pending.is_empty() || instance.status != "available" {
            return;
        }
        let mut changes = std::mem::take(&mut instance.pending);
        let rename = changes.new_id.take();
        apply(instance, changes);
        if let Some(new_id) = rename {
            instance.status = "modifying".to_owned();
            let (scope, subject, now) = (moment.scope.clone(), moment.subject.clone(), moment.now);
            schedule_rename(moment.world, &scope, now, &subject, new_id);
        }
    });
    call.world.schedule(call.now, timeline);
}

/// Seconds until a window such as `sun:05:00-sun:05:30` opens.
fn until_window(window: &str, now: jiff::Timestamp) -> Option<u64> {
    let mut parts = window.split('-').next()?.split(':');
    let day = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
        .iter()
        .position(|day| Some(*day) == parts.clone().next())?;
    let (hours, minutes): (i64, i64) = (parts.nth(1)?.parse().ok()?, parts.next()?.parse().ok()?);
    let opens = i64::try_from(day).ok()? * 86_400 + hours * 3_600 + minutes * 60;
    // The epoch was a Thursday.
    let present = (now.as_second() + 3 * 86_400).rem_euclid(7 * 86_400);
    u64::try_from((opens - present).rem_euclid(7 * 86_400)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_window_is_less_than_a_week_away() {
        // 2026-11-24 is a Tuesday.
        let now: jiff::Timestamp = "2026-11-24T05:00:00Z".parse().expect("a time");
        assert_eq!(until_window("tue:05:30-tue:06:00", now), Some(1800));
        assert_eq!(
            until_window("tue:04:30-tue:05:00", now),
            Some(7 * 86_400 - 1800)
        );
    }
}
