//! `ModifyDBCluster`, renames included.
//!
//! Name, IAM authentication, version and storage wait for the maintenance window without `ApplyImmediately`;
//! everything else, the master password included, never waits.

use super::super::catalog::{self, Storage};
use super::super::create::{self, credentials, member::members};
use super::super::error::ApiError;
use super::super::modify::{secret, until_window};
use super::super::names::instance_id;
use super::super::state::{Membership, Password, Region, Scope};
use super::super::{Answer, Call, windows};
use super::create::retention;
use super::request::check_parameter_group;
use super::state::ClusterChanges;
use super::{
    DbCluster, check_available, cluster_of, describe, event, lag, members_mut, set_status, wanted,
};
use crate::world::{Moment, Timeline, World};

/// Parameters that ask for nothing by themselves.
const MODIFIERS: [&str; 7] = [
    "Action",
    "Version",
    "DBClusterIdentifier",
    "ApplyImmediately",
    "AllowMajorVersionUpgrade",
    "AllowEngineModeChange",
    "MasterUserSecretKmsKeyId",
];

/// What takes effect whatever `ApplyImmediately` says.
#[derive(Debug, Default)]
struct AtOnce {
    backup_retention: Option<i64>,
    parameter_group: Option<String>,
    security_groups: Option<Vec<String>>,
    port: Option<i64>,
    backup_window: Option<String>,
    maintenance_window: Option<String>,
    logs_enabling: Vec<String>,
    logs_disabling: Vec<String>,
    deletion_protection: Option<bool>,
    copy_tags: Option<bool>,
    http_endpoint: Option<bool>,
    manage_password: Option<bool>,
}

/// `ModifyDBCluster`.
pub(crate) fn modify(call: &mut Call<'_>) -> Answer {
    let before = wanted(call)?;
    let (at_once, deferrable) = read(call, &before)?;
    check_available(&before)?;
    check_combinations(call, &before, &at_once, &deferrable)?;
    let immediately = call.params.boolean("ApplyImmediately")?.unwrap_or(false);
    let (scope, now) = (call.scope, call.now);

    // What waited from an earlier call is applied together with the next immediate one.
    let mut waiting = before.pending.clone();
    waiting.overlay(deferrable);
    let applying = if immediately {
        std::mem::take(&mut waiting)
    } else {
        ClusterChanges {
            password: waiting.password.take(),
            ..ClusterChanges::default()
        }
    };
    let new_secret = (at_once.manage_password == Some(true) && before.managed_secret.is_none())
        .then(|| secret(call, &before.resource_id))
        .transpose()?;
    let phases = phases(call.world, &before, &at_once, &applying);
    let rename = applying.new_id.clone();
    let Some(truth) = call.region().cluster_by_resource_mut(&before.resource_id) else {
        return Err(ApiError::no_cluster(&before.id));
    };
    truth.pending = waiting.clone();
    truth.pending.overlay(applying.clone());
    if new_secret.is_some() {
        truth.managed_secret = new_secret;
    }
    if let Some((status, _)) = phases.first() {
        (*status).clone_into(&mut truth.status);
    }
    // The answer shows the old values and what is pending.
    let shown = DbCluster {
        pending: truth.pending.clone(),
        ..before.clone()
    };
    let settled = phases.is_empty();
    let work = Work {
        at_once,
        applying: ClusterChanges {
            new_id: None,
            ..applying
        },
        waiting: waiting.clone(),
    };
    lag(
        call.world,
        scope,
        now,
        &before.resource_id,
        Some(before.clone()),
    );
    if settled {
        apply(call.region(), &before.resource_id, work);
    } else {
        schedule(call.world, scope, now, &before, phases, work, rename);
    }
    if !waiting.is_empty() {
        schedule_window(call, &before);
    }
    describe::answer(call, &shown)
}

fn read(call: &mut Call<'_>, before: &DbCluster) -> Result<(AtOnce, ClusterChanges), ApiError> {
    let params = call.params;
    let lower = |name: &str| params.text(name).map(|text| text.to_ascii_lowercase());
    let logs = params
        .structure("CloudwatchLogsExportConfiguration")
        .unwrap_or_default();
    let at_once = AtOnce {
        backup_retention: retention(params)?,
        parameter_group: lower("DBClusterParameterGroupName"),
        security_groups: params
            .list("VpcSecurityGroupIds")
            .filter(|groups| !groups.is_empty()),
        port: params.integer("Port")?,
        backup_window: params.text("PreferredBackupWindow"),
        maintenance_window: lower("PreferredMaintenanceWindow"),
        logs_enabling: logs.list("EnableLogTypes").unwrap_or_default(),
        logs_disabling: logs.list("DisableLogTypes").unwrap_or_default(),
        deletion_protection: params.boolean("DeletionProtection")?,
        copy_tags: params.boolean("CopyTagsToSnapshot")?,
        http_endpoint: params.boolean("EnableHttpEndpoint")?,
        manage_password: params.boolean("ManageMasterUserPassword")?,
    };
    let deferrable = ClusterChanges {
        new_id: params
            .text("NewDBClusterIdentifier")
            .map(|id| instance_id("NewDBClusterIdentifier", &id))
            .transpose()?,
        password: params.text("MasterUserPassword").map(Password),
        iam_auth: params.boolean("EnableIAMDatabaseAuthentication")?,
        engine_version: params.text("EngineVersion"),
        storage_type: params.text("StorageType"),
        allocated_storage: params.integer("AllocatedStorage")?,
        iops: params.integer("Iops")?,
        instance_class: params.text("DBClusterInstanceClass"),
    };
    if at_once
        .port
        .is_some_and(|port| !(1150..=65_535).contains(&port))
    {
        return Err(ApiError::value("Port must be between 1150 and 65535."));
    }
    windows::check(
        Some(
            at_once
                .backup_window
                .as_ref()
                .unwrap_or(&before.backup_window),
        ),
        Some(
            at_once
                .maintenance_window
                .as_ref()
                .unwrap_or(&before.maintenance_window),
        ),
    )?;
    if let Some(password) = &deferrable.password {
        credentials::check_password(&before.engine, password)?;
    }
    if let Some(class) = &deferrable.instance_class {
        create::check_class(&before.engine, class)?;
    }
    if !params.iter().any(|(name, _)| !MODIFIERS.contains(&name)) {
        return Err(ApiError::combination("No modifications were requested"));
    }
    // Referenced objects.
    let region = call.region();
    if let Some(id) = &deferrable.new_id
        && !id.eq_ignore_ascii_case(&before.id)
        && region.cluster_name_taken(id)
    {
        return Err(ApiError::new(
            "DBClusterAlreadyExistsFault",
            "DB Cluster already exists",
        ));
    }
    let mut deferrable = deferrable;
    if let Some(version) = &mut deferrable.engine_version {
        *version = create::resolve_version(region, &before.engine, Some(version.as_str()))?;
    }
    if let Some(name) = &at_once.parameter_group {
        let version = deferrable
            .engine_version
            .as_deref()
            .unwrap_or(&before.engine_version);
        check_parameter_group(region, name, &before.engine, version)?;
    }
    Ok((at_once, deferrable))
}

fn check_combinations(
    call: &mut Call<'_>,
    before: &DbCluster,
    at_once: &AtOnce,
    wish: &ClusterChanges,
) -> Result<(), ApiError> {
    create::check_logs(
        &before.engine,
        &before.engine_version,
        &at_once.logs_enabling,
    )?;
    if at_once.manage_password == Some(true) && wish.password.is_some() {
        return Err(ApiError::combination(
            "You can't specify MasterUserPassword with ManageMasterUserPassword.",
        ));
    }
    if before.managed_secret.is_some()
        && wish.password.is_some()
        && at_once.manage_password != Some(false)
    {
        return Err(ApiError::combination(
            "You can't specify MasterUserPassword for a DB cluster whose master password is managed in Secrets Manager.",
        ));
    }
    let major = |version: &str| catalog::major_version(&before.engine, version);
    if let Some(version) = &wish.engine_version
        && major(version) != major(&before.engine_version)
        && call.params.boolean("AllowMajorVersionUpgrade")? != Some(true)
    {
        return Err(ApiError::combination(
            "The AllowMajorVersionUpgrade flag must be present when upgrading to a new major version.",
        ));
    }
    let storage = wish.allocated_storage.is_some() || wish.iops.is_some();
    if before.is_aurora() {
        if storage || wish.instance_class.is_some() {
            return Err(ApiError::combination(format!(
                "DBClusterInstanceClass, AllocatedStorage and Iops aren't supported for DB engine {}.",
                before.engine
            )));
        }
        return match wish.storage_type.as_deref() {
            None | Some("aurora" | "aurora-iopt1") => Ok(()),
            Some(kind) => Err(ApiError::new(
                "StorageTypeNotSupported",
                format!(
                    "The storage type {kind} is not supported for DB engine {}.",
                    before.engine
                ),
            )),
        };
    }
    if wish
        .allocated_storage
        .is_some_and(|gib| gib < before.allocated_storage)
    {
        return Err(ApiError::combination(
            "Invalid storage size for engine name and storage type: storage can't be reduced.",
        ));
    }
    if storage || wish.storage_type.is_some() {
        Storage {
            kind: wish
                .storage_type
                .clone()
                .or_else(|| before.storage_type.clone())
                .unwrap_or_default(),
            gib: wish.allocated_storage.unwrap_or(before.allocated_storage),
            iops: wish.iops.or(before.iops),
            throughput: None,
        }
        .settle(&before.engine, (wish.iops, None))?;
    }
    Ok(())
}

type Phases = Vec<(&'static str, u64)>;

/// The statuses that the changes go through, with their virtual seconds.
fn phases(
    world: &mut World,
    before: &DbCluster,
    at_once: &AtOnce,
    applying: &ClusterChanges,
) -> Phases {
    let mut ranges: Vec<(&'static str, (u64, u64))> = Vec::new();
    let plain = ClusterChanges {
        new_id: None,
        password: None,
        iam_auth: None,
        ..applying.clone()
    };
    if !plain.is_empty()
        || at_once.parameter_group.is_some()
        || at_once.security_groups.is_some()
        || at_once.port.is_some()
        || at_once.backup_retention.is_some()
    {
        ranges.push(("modifying", (30, 300)));
    }
    if applying.password.is_some() || at_once.manage_password.is_some() {
        ranges.push(("resetting-master-credentials", (30, 120)));
    }
    if applying.iam_auth.is_some() {
        ranges.push(("configuring-iam-database-auth", (60, 300)));
    }
    if !at_once.logs_enabling.is_empty() || !at_once.logs_disabling.is_empty() {
        ranges.push(("configuring-log-exports", (60, 300)));
    }
    // A rename on its own is a modification, too.
    if ranges.is_empty() && applying.new_id.is_some() {
        ranges.push(("modifying", (20, 40)));
    }
    ranges
        .into_iter()
        .map(|(status, range)| {
            let key = format!("modify-cluster/{}/{status}", before.id);
            (status, world.takes(&key, range))
        })
        .collect()
}

/// What a modification brings about at its end.
struct Work {
    at_once: AtOnce,
    applying: ClusterChanges,
    waiting: ClusterChanges,
}

fn schedule(
    world: &mut World,
    scope: &Scope,
    now: jiff::Timestamp,
    before: &DbCluster,
    phases: Phases,
    work: Work,
    rename: Option<String>,
) {
    let mut timeline = Timeline::new(scope, &before.resource_id);
    let mut after = 0;
    for (status, took) in phases {
        timeline = timeline.then(after, move |moment| set_status(moment, status));
        after = took;
    }
    timeline = timeline.then(after, move |moment| {
        let subject = moment.subject.clone();
        apply(moment.region(), &subject, work);
        match rename {
            Some(new_id) => schedule_rename(moment, new_id),
            None => set_status(moment, "available"),
        }
    });
    world.schedule(now, timeline);
}

fn apply(region: &mut Region, resource_id: &str, work: Work) {
    let Work {
        at_once,
        applying,
        waiting,
    } = work;
    let Some(cluster) = region.cluster_by_resource_mut(resource_id) else {
        return;
    };
    macro_rules! set {
        ($($field:ident = $wish:expr),* $(,)?) => { $(if let Some(value) = $wish { cluster.$field = value; })* };
    }
    let major = |cluster: &DbCluster| {
        catalog::default_parameter_group(&cluster.engine, &cluster.engine_version)
    };
    let family_before = major(cluster);
    set!(
        backup_retention = at_once.backup_retention,
        parameter_group = at_once.parameter_group,
        security_groups = at_once.security_groups,
        port = at_once.port,
        backup_window = at_once.backup_window,
        maintenance_window = at_once.maintenance_window,
        deletion_protection = at_once.deletion_protection,
        copy_tags = at_once.copy_tags,
        http_endpoint = at_once.http_endpoint,
        master_password = applying.password,
        iam_auth = applying.iam_auth,
        engine_version = applying.engine_version,
        allocated_storage = applying.allocated_storage,
    );
    if applying.storage_type.is_some() {
        cluster.storage_type = applying.storage_type;
    }
    if applying.iops.is_some() {
        cluster.iops = applying.iops;
    }
    if applying.instance_class.is_some() {
        cluster.instance_class = applying.instance_class;
    }
    match at_once.manage_password {
        Some(true) => {
            if let Some(secret) = &mut cluster.managed_secret {
                secret.status = "active".to_owned();
            }
        }
        Some(false) => cluster.managed_secret = None,
        None => {}
    }
    cluster
        .log_exports
        .retain(|log| !at_once.logs_disabling.contains(log));
    for log in at_once.logs_enabling {
        if !cluster.log_exports.contains(&log) {
            cluster.log_exports.push(log);
        }
    }
    cluster.log_exports.sort();
    // A default group follows the major version.
    let family = major(cluster);
    if cluster.parameter_group == family_before {
        cluster.parameter_group.clone_from(&family);
    }
    cluster.pending = ClusterChanges {
        new_id: cluster.pending.new_id.clone(),
        ..waiting
    };
    let cluster = cluster.clone();
    // Members show what is their cluster's.
    for member in members_mut(region, &cluster.id) {
        member.port = cluster.port;
        member.backup_retention = cluster.backup_retention;
        member.backup_window.clone_from(&cluster.backup_window);
        member.iam_auth = cluster.iam_auth;
        member.engine_version.clone_from(&cluster.engine_version);
        member.master_password = cluster.master_password.clone();
        if let Some(kind) = &cluster.storage_type {
            member.storage_type.clone_from(kind);
        }
        if member.parameter_group == family_before {
            member.parameter_group.clone_from(&family);
        }
        member.security_groups = cluster
            .security_groups
            .iter()
            .map(|name| Membership {
                name: name.clone(),
                status: "active".to_owned(),
            })
            .collect();
        if !cluster.is_aurora() {
            member.allocated_storage = cluster.allocated_storage;
            member.iops = cluster.iops;
            if let Some(class) = &cluster.instance_class {
                member.class.clone_from(class);
            }
        }
    }
}

/// A rename: `renaming`, then neither name is found for a while, then `available` under the new one; the old name
/// is free from then on. Members, tags and the resource id stay; endpoints and ARN follow the name.
fn schedule_rename(moment: &mut Moment<'_>, new_id: String) {
    let Some(old_id) = cluster_of(moment).map(|cluster| cluster.id.clone()) else {
        return;
    };
    set_status(moment, "renaming");
    let (scope, subject, now) = (moment.scope.clone(), moment.subject.clone(), moment.now);
    let world = &mut *moment.world;
    let renaming = world.takes(&format!("rename-cluster/{old_id}"), (40, 80));
    let gap = world.dice.between(
        &format!("rename-cluster-gap/{old_id}"),
        world.knobs.rename_gap,
    );
    let last = world.takes(&format!("rename-cluster-last/{old_id}"), (20, 40));
    let (held, from) = (old_id.clone(), old_id.clone());
    let timeline = Timeline::new(&scope, &subject)
        .then(renaming, move |moment| {
            let region = moment.region();
            region.held_cluster_names.push(old_id.clone());
            let ids: Vec<String> = members(region, &old_id)
                .map(|member| member.resource_id.clone())
                .collect();
            for id in ids {
                if let Some(member) = region.by_resource_mut(&id) {
                    member.cluster = Some(new_id.clone());
                }
            }
            if let Some(cluster) = cluster_of(moment) {
                cluster.id = new_id;
                cluster.hidden = true;
                cluster.stale = None;
            }
        })
        .then(gap, |moment| {
            if let Some(cluster) = cluster_of(moment) {
                cluster.hidden = false;
                cluster.status = "modifying".to_owned();
            }
        })
        .then(last, move |moment| {
            moment
                .region()
                .held_cluster_names
                .retain(|name| *name != held);
            let Some(to) = cluster_of(moment).map(|cluster| {
                cluster.pending.new_id = None;
                cluster.status = "available".to_owned();
                cluster.id.clone()
            }) else {
                return;
            };
            event(
                moment,
                "configuration change",
                format!("Renamed cluster from {from} to {to}"),
            );
        });
    world.schedule(now, timeline);
}

/// Applies what is pending when the maintenance window comes, as long as it is still pending then.
fn schedule_window(call: &mut Call<'_>, before: &DbCluster) {
    let Some(wait) = until_window(&before.maintenance_window, call.now) else {
        return;
    };
    let timeline = Timeline::new(call.scope, &before.resource_id).then(wait, |moment| {
        let Some(cluster) = cluster_of(moment) else {
            return;
        };
        if cluster.pending.is_empty() || cluster.status != "available" {
            return;
        }
        let applying = cluster.pending.clone();
        let (subject, rename) = (cluster.resource_id.clone(), applying.new_id.clone());
        let work = Work {
            at_once: AtOnce::default(),
            applying: ClusterChanges {
                new_id: None,
                ..applying
            },
            waiting: ClusterChanges::default(),
        };
        apply(moment.region(), &subject, work);
        if let Some(new_id) = rename {
            schedule_rename(moment, new_id);
        }
    });
    call.world.schedule(call.now, timeline);
}
