//! How a modification runs: the statuses it goes through, and what it brings about.

use super::super::catalog;
use super::super::error::ApiError;
use super::super::state::{Changes, DbInstance, ManagedSecret, Membership, Password, Region};
use super::super::{Call, data, lifecycle};
use super::rename::schedule_rename;
use super::wish::AtOnce;
use crate::kms;
use crate::world::{JobOutput, Timeline};

pub(super) type Phases = Vec<(&'static str, (u64, u64))>;

/// The statuses that the changes go through, with their ranges of virtual seconds.
pub(super) fn phases(
    region: &Region,
    before: &DbInstance,
    applying: &Changes,
    at_once: &AtOnce,
) -> Phases {
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

pub(super) fn settle_at_once(
    instance: &mut DbInstance,
    wish: &AtOnce,
    secret: Option<ManagedSecret>,
) {
    macro_rules! set {
        ($($field:ident = $wish:expr),* $(,)?) => { $(if let Some(value) = $wish { instance.$field = value.clone(); })* };
    }
    set!(
        backup_window = &wish.backup_window,
        maintenance_window = &wish.maintenance_window,
        auto_minor_version_upgrade = &wish.auto_minor,
        copy_tags = &wish.copy_tags,
        lifecycle_support = &wish.lifecycle_support,
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
pub(super) struct Work {
    pub(super) applying: Changes,
    pub(super) waiting: Changes,
    pub(super) group: Option<String>,
    pub(super) needs_reboot: bool,
    pub(super) finish: &'static str,
    pub(super) renames: bool,
}

pub(super) fn schedule_phases(
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

pub(super) fn apply(instance: &mut DbInstance, changes: Changes) {
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
pub(super) fn differs_statically(region: &Region, one: &str, other: &str) -> bool {
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

/// The secret that RDS keeps the master password of an instance or a cluster in.
pub(crate) fn secret(call: &mut Call<'_>, resource_id: &str) -> Result<ManagedSecret, ApiError> {
    let key = call
        .params
        .text("MasterUserSecretKmsKeyId")
        .unwrap_or_else(|| "alias/aws/secretsmanager".to_owned());
    let kms_key = kms::usable_by_rds(call.world, call.scope, &key)?;
    let scope = call.scope;
    let tail = call.world.dice.word(
        &format!("secret/{resource_id}"),
        "abcdefghijklmnopqrstuvwxyzABCDEF",
        6,
    );
    Ok(ManagedSecret {
        arn: format!(
            "arn:{}:secretsmanager:{}:{}:secret:rds!{}-{tail}",
            scope.partition(),
            scope.region,
            scope.account,
            resource_id.to_ascii_lowercase()
        ),
        status: "creating".to_owned(),
        kms_key,
    })
}

fn set_password(moment: &mut crate::world::Moment<'_>, password: Password) {
    let Some((engines, server)) = moment.server() else {
        return;
    };
    moment.start(async move {
        engines
            .set_master_password(&server, password.0)
            .await
            .map(|()| JobOutput::Done)
    });
}
