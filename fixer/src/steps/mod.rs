//! The steps: each is an observation and at most one mutation. Nothing here waits, sleeps or writes the journal.

mod alarms;
mod aws;
mod blue_green;
pub(crate) mod claim;
mod cluster;
mod cluster_undo;
mod dependents;
mod live;
mod multi_az;
pub(crate) mod quiesce;
pub(crate) mod replica;
mod sql;
mod undo;
mod validate;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use atrest_model::instance::DbInstance;
use atrest_model::journal::StepStatus;
use atrest_model::plan::{Action, Migration, Plan, Step, Target};
use atrest_model::run::LeftToDo;
use atrest_scanner::access::MysqlAuth;
use atrest_scanner::aws::Aws;
use atrest_scanner::rds::Rds;
use serde_json::Value;

use crate::clock::Timing;
use crate::fault::Fault;
use crate::observatory::{RegionView, Wanted};
use crate::permit::Permit;
use crate::store::StepRecord;

/// What a step sees.
#[derive(Debug)]
pub(crate) enum Seen {
    /// The effect is not there: act.
    Absent {
        /// What is seen instead.
        state: String,
    },
    /// The effect is on its way.
    Pending {
        /// What is seen.
        state: String,
    },
    /// The effect is there.
    Done {
        /// What is seen, in words.
        detail: String,
        /// What later steps need to know.
        result: Value,
    },
    /// It will not come about by waiting.
    Stuck {
        /// Why.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// Validation found drift.
    Drift {
        /// Number of entries.
        drift: usize,
    },
}

impl Seen {
    fn absent(state: impl Into<String>) -> Self {
        Self::Absent {
            state: state.into(),
        }
    }

    fn pending(state: impl Into<String>) -> Self {
        Self::Pending {
            state: state.into(),
        }
    }

    fn done(detail: impl Into<String>) -> Self {
        Self::Done {
            detail: detail.into(),
            result: Value::Null,
        }
    }

    fn stuck(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Stuck {
            reason: reason.into(),
            hint: hint.into(),
        }
    }
}

/// What a step may use.
#[derive(Debug)]
pub(crate) struct Cx<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) migration: &'a Migration,
    /// For calls to other regions.
    pub(crate) aws: &'a Aws,
    pub(crate) rds: &'a Rds,
    pub(crate) timing: Timing,
    pub(crate) mysql: Option<&'a MysqlAuth>,
    /// `DbiResourceId` of every instance that a step of this migration has made.
    pub(crate) made: &'a BTreeMap<String, String>,
    /// What the journal says of every step of this migration.
    pub(crate) records: &'a BTreeMap<String, StepRecord>,
    /// Windows of `quiesce` that are being watched.
    pub(crate) windows: &'a quiesce::Windows,
    /// What [`note`] saw before the last mutation of the step at hand.
    pub(crate) noted: Option<&'a Value>,
    /// What the journal says of the step at hand.
    pub(crate) status: StepStatus,
    /// When the successor will have caught up.
    pub(crate) forecast: &'a Mutex<replica::Forecast>,
    /// No later look can go on with a connection that this one has opened.
    pub(crate) at_once: bool,
    /// What this run folder claims with.
    pub(crate) claim: &'a claim::Claim,
    /// Folder for reports.
    pub(crate) store: &'a crate::executor::SharedStore,
}

impl Cx<'_> {
    /// The `DbiResourceId` behind a target.
    fn id<'t>(&'t self, target: &'t Target) -> Result<&'t str, Fault> {
        match target {
            Target::Old(id) => Ok(id),
            Target::MadeBy(step) => {
                self.made.get(step).map(String::as_str).ok_or_else(|| {
                    Fault::Plan(format!("step {step} has not made its instance yet"))
                })
            }
        }
    }

    /// The instance behind a target, if the view shows it.
    fn find<'v>(
        &self,
        view: &'v RegionView,
        target: &Target,
    ) -> Result<Option<&'v DbInstance>, Fault> {
        Ok(view.by_resource_id(self.id(target)?))
    }
}

/// What a step looks at beside the DB instances.
pub(crate) fn looks_at(action: &Action) -> Wanted {
    match action {
        Action::Snapshot { .. } | Action::EncryptedCopy { .. } | Action::DeleteSnapshot { .. } => {
            Wanted::SNAPSHOTS
        }
        Action::CreateBlueGreen { .. }
        | Action::AwaitGreen { .. }
        | Action::Switchover { .. }
        | Action::EndBlueGreen { .. }
        | Action::RemoveBlueGreen { .. } => Wanted::BLUE_GREEN,
        Action::ClusterSnapshot { .. }
        | Action::EncryptedClusterSnapshot { .. }
        | Action::DeleteClusterSnapshot { .. } => Wanted::CLUSTER_SNAPSHOTS,
        _ => Wanted::NOTHING,
    }
}

/// Something that a person has to do, as a step's result lists it.
fn left_to_do(kind: &str, subject: &str, what: String, todo: &str) -> Value {
    let item = LeftToDo {
        kind: kind.to_owned(),
        subject: subject.to_owned(),
        what,
        todo: todo.to_owned(),
    };
    // Four strings.
    serde_json::to_value(item).unwrap_or_default()
}

/// How many looks in a row must agree that the step is done. Statuses flicker after a change, so every change of an
/// instance is followed by a step that waits until it stays as it is: the renames of the beginning by the proof that
/// nobody is connected, everything that is made by its groups, the cutover by itself. More would cost clients' time: what
/// was taken too early for ready is refused by RDS and tried again. Everything else is a fact once it is seen.
pub(crate) fn confirmations(action: &Action, wanted: u32) -> u32 {
    match action {
        Action::Rename { cutover: true, .. }
        | Action::Settle { .. }
        | Action::CreateBlueGreen { .. }
        | Action::AwaitGreen { .. }
        | Action::Switchover { .. }
        | Action::RenameCluster { .. }
        | Action::RestoreCluster { .. }
        | Action::ModifyCluster { .. }
        | Action::CreateMember { .. }
        | Action::AwaitMember { .. }
        | Action::DeregisterProxyTarget { .. }
        | Action::RegisterProxyTarget { .. }
        | Action::ClusterNameBack { .. }
        | Action::Returned
        // What is not shown for a moment is not gone.
        | Action::Delete { .. }
        | Action::DeleteCluster { .. }
        | Action::DeleteClusterSnapshot { .. }
        | Action::RemoveBlueGreen { .. }
        | Action::DeleteSnapshot { .. } => wanted.max(1),
        // Its window is more than some looks.
        Action::Quiesce { .. }
        | Action::Tag { .. }
        | Action::EndBlueGreen { .. }
        | Action::ClaimCluster { .. }
        | Action::ClusterSnapshot { .. }
        | Action::AddClusterRole { .. }
        | Action::EnableDataApi
        | Action::ManagePassword { .. }
        | Action::Subscription { .. }
        | Action::ReplicateBackups { .. }
        | Action::Handover
        | Action::Alarms { .. }
        | Action::Claim { .. }
        | Action::Rename { .. }
        | Action::Restore { .. }
        | Action::CreateReplica { .. }
        | Action::TemporaryReplica { .. }
        | Action::TemporaryInstance { .. }
        | Action::Modify { .. }
        | Action::NameBack { .. }
        | Action::Snapshot { .. }
        | Action::EncryptedCopy { .. }
        | Action::AddRole { .. }
        | Action::Accounts { .. }
        | Action::Configuration { .. }
        | Action::RaiseRetention { .. }
        | Action::ReplicationAccount { .. }
        | Action::Hold { .. }
        | Action::CompareRows { .. }
        | Action::Replicate { .. }
        | Action::RemoveTemporary { .. }
        | Action::CatchUp { .. }
        | Action::FinalPosition { .. }
        | Action::Detach { .. }
        | Action::MarkEnd { .. }
        | Action::KeepWayBack { .. }
        | Action::RemoveAccount { .. }
        | Action::RestoreRetention { .. }
        | Action::Validate
        | Action::Rescan
        | Action::Unwritten { .. }
        | Action::Unused { .. }
        | Action::DeleteAutomatedBackup { .. }
        | Action::Release { .. }
        | Action::UnprotectCluster { .. }
        | Action::EncryptedClusterSnapshot { .. }
        | Action::ReleaseCluster { .. }
        | Action::Rehearse
        | Action::Hook(_) => 1,
    }
}

/// What is done, for events: the API operation or the SQL procedure.
pub(crate) fn operation(action: &Action) -> &'static str {
    action.operation().unwrap_or(match action {
        Action::Accounts { .. } => "CREATE USER, GRANT",
        Action::AwaitGreen { .. } | Action::AwaitMember { .. } => "wait",
        Action::Configuration { .. }
        | Action::RaiseRetention { .. }
        | Action::RestoreRetention { .. } => "CALL mysql.rds_set_configuration",
        Action::ReplicationAccount { .. } => "CREATE USER, GRANT",
        Action::RemoveAccount { .. } => "DROP USER",
        Action::Hold { .. } => "CALL mysql.rds_stop_replication",
        Action::Replicate { .. } => "CALL mysql.rds_set_external_master",
        Action::Detach { .. } => "CALL mysql.rds_reset_external_master",
        Action::Hook(_) => "run the hook",
        Action::Quiesce { .. } => "CALL mysql.rds_kill",
        _ => "compare",
    })
}

/// Looks.
pub(crate) async fn observe(cx: &Cx<'_>, step: &Step, view: &RegionView) -> Result<Seen, Fault> {
    match &step.action {
        Action::Claim { instance, tags } => claim::observe(cx, view, instance, tags),
        Action::Rename {
            instance,
            from,
            to,
            cutover,
        } => {
            let seen = aws::rename(cx, view, instance, from.as_str(), to.as_str())?;
            if *cutover {
                return quiesce::before_cutover(cx, view, instance, seen).await;
            }
            Ok(seen)
        }
        Action::Quiesce {
            instance,
            window_seconds,
            ..
        } => {
            let window = Duration::from_secs(*window_seconds);
            quiesce::observe(cx, view, step, instance, window).await
        }
        Action::Snapshot {
            instance, snapshot, ..
        } => {
            let source = cx.id(instance).ok().map(str::to_owned);
            aws::snapshot(cx, view, snapshot, source.as_deref(), None)
        }
        Action::EncryptedCopy {
            snapshot,
            kms_key_id,
            ..
        } => aws::snapshot(
            cx,
            view,
            snapshot,
            replica::snapshot_source(cx),
            Some(kms_key_id),
        ),
        Action::Restore { name, .. } => aws::made(cx, view, step, name.as_str(), None),
        Action::CreateReplica { name, source, .. } => {
            aws::made(cx, view, step, name.as_str(), Some(source))
        }
        Action::Modify { instance, request } => aws::modify(cx, view, instance, request),
        Action::Settle { instance } => aws::settle(cx, view, instance),
        Action::AddRole {
            instance,
            role_arn,
            feature_name,
        } => aws::role(cx, view, instance, role_arn, feature_name),
        Action::ManagePassword { instance, .. } => dependents::manage_password(cx, view, instance),
        Action::DeregisterProxyTarget {
            proxy,
            instance,
            name,
        } => dependents::deregister(cx, view, instance, proxy, name.as_str()).await,
        Action::RegisterProxyTarget {
            proxy,
            instance,
            name,
        } => dependents::register(cx, view, instance, proxy, name.as_str()).await,
        Action::Subscription {
            subscription,
            instance,
            name,
        } => dependents::subscription(cx, view, instance, subscription, name.as_str()).await,
        Action::ReplicateBackups {
            instance, region, ..
        } => dependents::replicate_backups(cx, view, instance, region).await,
        Action::Handover => dependents::handover(cx, view).await,
        Action::Accounts { old, new } => sql::accounts(cx, view, old, new).await,
        Action::Configuration { old, new } => sql::configuration(cx, view, old, new).await,
        Action::ClaimCluster { tags } => cluster::claim(cx, view, tags),
        Action::RenameCluster { from, to, cutover } => {
            cluster::rename(cx, view, *cutover, from.as_str(), to.as_str())
        }
        Action::ClusterSnapshot { snapshot, .. } => cluster::snapshot(cx, view, snapshot),
        Action::RestoreCluster { name, .. } => cluster::restored(cx, view, step, name.as_str()),
        Action::ModifyCluster { request } => cluster::modify(cx, view, request),
        Action::AddClusterRole {
            role_arn,
            feature_name,
        } => cluster::role(cx, view, role_arn, feature_name),
        Action::EnableDataApi => cluster::data_api(cx, view),
        Action::CreateMember { name, .. } => aws::made(cx, view, step, name.as_str(), None),
        Action::TemporaryInstance { name, .. } => {
            multi_az::temporary(cx, view, step, name.as_str())
        }
        Action::AwaitMember { writer } => multi_az::member(cx, view, step, *writer),
        Action::CreateBlueGreen { deployment, .. } => blue_green::create(cx, view, deployment),
        Action::AwaitGreen { deployment, blue } => {
            blue_green::green(cx, view, step, deployment, blue)
        }
        Action::Tag { instance, tags } => blue_green::tag(cx, view, instance, tags),
        Action::Switchover { deployment, .. } => blue_green::switchover(cx, view, deployment),
        Action::EndBlueGreen { deployment } => blue_green::end(view, deployment),
        Action::RaiseRetention { instance, hours } => {
            replica::retention(cx, view, instance, *hours).await
        }
        Action::ReplicationAccount { instance, account } => {
            replica::account(cx, view, instance, account).await
        }
        Action::TemporaryReplica { source, name, .. } => {
            replica::temporary_replica(cx, view, step, name.as_str(), source)
        }
        Action::Hold { instance, source } => replica::hold(cx, view, instance, source).await,
        Action::CompareRows { old, new } => {
            Box::pin(replica::compare_rows(cx, view, old, new)).await
        }
        Action::Replicate {
            source, replica, ..
        } => replica::replicate(cx, view, source, replica).await,
        Action::RemoveTemporary { instance } => Ok(replica::removed(cx, view, instance)),
        Action::CatchUp { source, replica } => replica::catch_up(cx, view, source, replica).await,
        Action::FinalPosition { source, replica } => {
            replica::final_position(cx, view, source, replica).await
        }
        Action::Detach { replica } => replica::detached(cx, view, replica).await,
        Action::MarkEnd { instance } => replica::mark_end(cx, view, instance).await,
        Action::KeepWayBack {
            source,
            replica,
            hours,
        } => replica::keep_way_back(cx, view, source, replica, *hours).await,
        Action::RemoveAccount { instances, account } => {
            replica::no_account(cx, view, instances, account).await
        }
        Action::RestoreRetention {
            instances,
            raised_by,
        } => replica::restored_retention(cx, view, instances, raised_by).await,
        Action::Validate => validate::validate(cx, view).await,
        Action::Rescan => validate::rescan(cx, view),
        Action::NameBack { instance, from, to } => {
            aws::rename(cx, view, instance, from.as_str(), to.as_str())
        }
        Action::Unwritten {
            pairs,
            after,
            loss_accepted,
        } => undo::unwritten(cx, step, view, pairs, after.as_deref(), *loss_accepted).await,
        Action::Returned => undo::returned(cx, view),
        Action::Unused { instances } => undo::unused(cx, view, instances).await,
        Action::Delete {
            instance,
            name,
            tags,
            encrypted,
        } => undo::delete(cx, view, instance, name.as_str(), tags, *encrypted),
        Action::DeleteSnapshot { snapshot, of, tags } => {
            undo::delete_snapshot(cx, view, snapshot, of, tags)
        }
        Action::DeleteAutomatedBackup { dbi_resource_id } => {
            undo::automated_backup(cx, dbi_resource_id).await
        }
        Action::Release { instance, keys } => undo::release(cx, view, instance, keys),
        Action::Alarms { alarms } => alarms::observe(cx, alarms).await,
        Action::Rehearse => validate::rehearse(cx, view).await,
        Action::ClusterNameBack { cluster, from, to } => {
            cluster::rename_of(view, cx.id(cluster)?, from.as_str(), to.as_str())
        }
        Action::UnprotectCluster { cluster } => cluster_undo::unprotect(cx, view, cluster),
        Action::DeleteCluster {
            cluster,
            name,
            tags,
            encrypted,
        } => cluster_undo::delete(cx, view, cluster, name.as_str(), tags, *encrypted),
        Action::DeleteClusterSnapshot { snapshot, of, tags } => {
            cluster_undo::delete_snapshot(cx, view, snapshot, of, tags)
        }
        Action::EncryptedClusterSnapshot {
            snapshot,
            kms_key_id,
            ..
        } => cluster_undo::encrypted_snapshot(cx, view, snapshot, kms_key_id),
        Action::ReleaseCluster { cluster, keys } => cluster_undo::release(cx, view, cluster, keys),
        Action::RemoveBlueGreen { deployment } => Ok(blue_green::remove(cx, view, deployment)),
        Action::Hook(_) => Err(Fault::Plan(format!(
            "step {} is run by the executor; there is nothing to look at",
            step.id
        ))),
    }
}

/// What has to be remembered from before the mutation: kept in the journal with the intent.
///
/// What was noted before the first attempt stays: the second may look at what the first has done.
pub(crate) async fn note(cx: &Cx<'_>, step: &Step, view: &RegionView) -> Result<Value, Fault> {
    if let Some(noted) = cx.noted.filter(|noted| !noted.is_null()) {
        return Ok(noted.clone());
    }
    Ok(match &step.action {
        Action::Rename { instance, .. } | Action::NameBack { instance, .. } => {
            let shown = cx.find(view, instance).ok().flatten();
            let endpoint = shown.and_then(|i| i.endpoint()).map(|(address, _)| address);
            let log = match &step.action {
                // Where the log of the new side ended when clients came: a rollback tells what came after.
                Action::Rename { cutover: true, .. } => sql::log_state(cx, view, instance).await,
                _ => None,
            };
            match log {
                Some(log) => serde_json::json!({"endpoint": endpoint, "log": log}),
                None => serde_json::json!({"endpoint": endpoint}),
            }
        }
        Action::RaiseRetention { instance, .. } => {
            replica::note_retention(cx, view, instance).await?
        }
        Action::Switchover { .. } => blue_green::endpoints(cx, view),
        // Who is about to lose the connection.
        Action::Quiesce { .. } => serde_json::json!({"seen": cx.windows.reason(&step.id)}),
        _ => Value::Null,
    })
}

/// Issues the one mutation of the step. The permit is the proof that the intent is durable.
pub(crate) async fn act(
    cx: &Cx<'_>,
    step: &Step,
    view: &RegionView,
    _permit: &Permit,
) -> Result<(), Fault> {
    use crate::calls;
    let name_of = |target: &Target| -> Result<String, Fault> {
        let id = cx.id(target)?;
        view.by_resource_id(id)
            .map(|instance| instance.identifier().to_owned())
            .ok_or_else(|| Fault::Plan(format!("no DB instance has resource id {id} any more")))
    };
    match &step.action {
        Action::Claim { instance, tags } => {
            let id = cx.id(instance)?;
            let arn = view
                .by_resource_id(id)
                .map(|i| i.arn().to_owned())
                .unwrap_or_default();
            calls::add_tags(cx.rds, &arn, &claim::tags(cx, tags)).await
        }
        Action::Rename { from, to, .. } | Action::NameBack { from, to, .. } => {
            calls::rename(cx.rds, from.as_str(), to.as_str()).await
        }
        Action::Quiesce {
            instance,
            kill_connections: true,
            ..
        } => quiesce::kill(cx, view, instance).await,
        Action::Quiesce { instance, .. } | Action::Settle { instance } => {
            calls::reboot(cx.rds, &name_of(instance)?).await
        }
        Action::Snapshot {
            instance,
            snapshot,
            tags,
        } => calls::create_snapshot(cx.rds, &name_of(instance)?, snapshot, tags).await,
        Action::EncryptedCopy {
            source_snapshot,
            snapshot,
            kms_key_id,
            tags,
        } => calls::copy_snapshot(cx.rds, source_snapshot, snapshot, kms_key_id, tags).await,
        Action::Restore {
            snapshot,
            name,
            request,
        } => calls::restore(cx.rds, snapshot, name.as_str(), request).await,
        Action::CreateReplica {
            source,
            name,
            request,
        } => calls::create_replica(cx.rds, &name_of(source)?, name.as_str(), request).await,
        Action::Modify { instance, request } => {
            let id = cx.id(instance)?;
            let shown = view
                .by_resource_id(id)
                .ok_or_else(|| Fault::Plan(format!("no DB instance has resource id {id}")))?;
            calls::modify(
                cx.rds,
                shown.identifier(),
                &crate::requests::missing(request, shown),
            )
            .await
        }
        Action::AddRole {
            instance,
            role_arn,
            feature_name,
        } => calls::add_role(cx.rds, &name_of(instance)?, role_arn, feature_name).await,
        Action::Accounts { old, new } => sql::clone_accounts(cx, view, old, new).await,
        Action::Configuration { old, new } => sql::set_configuration(cx, view, old, new).await,
        Action::ClaimCluster { tags } => {
            let arn = cluster::arn_now(cx, view)?;
            calls::add_tags(cx.rds, &arn, &claim::tags(cx, tags)).await
        }
        Action::RenameCluster { from, to, .. } => {
            calls::cluster::rename(cx.rds, from.as_str(), to.as_str()).await
        }
        Action::ClusterSnapshot { snapshot, tags } => {
            let name = cluster::name_now(cx, view, false)?;
            calls::cluster::snapshot(cx.rds, &name, snapshot, tags).await
        }
        Action::RestoreCluster {
            snapshot,
            name,
            request,
        } => calls::cluster::restore(cx.rds, snapshot, name.as_str(), request).await,
        Action::ModifyCluster { request } => {
            let (name, missing) = cluster::missing(cx, view, request)?;
            calls::cluster::modify(cx.rds, &name, &missing).await
        }
        Action::AddClusterRole {
            role_arn,
            feature_name,
        } => {
            let name = cluster::name_now(cx, view, true)?;
            calls::cluster::add_role(cx.rds, &name, role_arn, feature_name).await
        }
        Action::EnableDataApi => {
            let arn = cluster::arn_of_new(cx, view)?;
            calls::cluster::enable_data_api(cx.rds, &arn).await
        }
        Action::CreateMember { name, request } => {
            let of = cluster::name_now(cx, view, true)?;
            calls::cluster::create_member(cx.rds, &of, name.as_str(), request).await
        }
        Action::TemporaryInstance {
            snapshot,
            name,
            request,
        } => calls::cluster::temporary_instance(cx.rds, snapshot, name.as_str(), request).await,
        Action::CreateBlueGreen {
            deployment,
            source,
            keys,
            tags,
        } => {
            let arn_of = |target: &Target| -> Result<String, Fault> {
                let id = cx.id(target)?;
                view.by_resource_id(id)
                    .map(|instance| instance.arn().to_owned())
                    .ok_or_else(|| Fault::Plan(format!("no DB instance has resource id {id}")))
            };
            let keys = keys
                .iter()
                .map(|(target, key)| Ok((arn_of(target)?, key.clone())))
                .collect::<Result<Vec<_>, Fault>>()?;
            calls::create_blue_green(cx.rds, deployment, &arn_of(source)?, &keys, tags).await
        }
        Action::Tag { instance, tags } => {
            let id = cx.id(instance)?;
            let shown = view
                .by_resource_id(id)
                .ok_or_else(|| Fault::Plan(format!("no DB instance has resource id {id}")))?;
            calls::add_tags(cx.rds, shown.arn(), tags).await
        }
        Action::Switchover {
            deployment,
            timeout_seconds,
        } => {
            let id = blue_green::identifier(view, deployment)?;
            calls::switchover(cx.rds, &id, *timeout_seconds).await
        }
        Action::EndBlueGreen { deployment } => {
            let id = blue_green::identifier(view, deployment)?;
            calls::end_blue_green(cx.rds, &id).await
        }
        Action::ManagePassword {
            instance,
            kms_key_id,
        } => calls::manage_password(cx.rds, &name_of(instance)?, kms_key_id.as_deref()).await,
        Action::DeregisterProxyTarget { proxy, name, .. } => {
            let stale = dependents::stale_name(cx, proxy, name.as_str()).await?;
            calls::deregister_proxy_target(cx.rds, proxy, &stale).await
        }
        Action::RegisterProxyTarget { proxy, name, .. } => {
            calls::register_proxy_target(cx.rds, proxy, name.as_str()).await
        }
        Action::Subscription {
            subscription, name, ..
        } => calls::add_to_subscription(cx.rds, subscription, name.as_str()).await,
        Action::ReplicateBackups {
            instance,
            region,
            kms_key_id,
            retention_days,
        } => {
            let id = cx.id(instance)?;
            let arn = view.by_resource_id(id).map(|i| i.arn().to_owned());
            let arn = arn.unwrap_or_default();
            let rds = cx.aws.rds(region);
            calls::replicate_backups(&rds, &arn, kms_key_id, *retention_days).await
        }
        Action::RaiseRetention { instance, hours } => {
            replica::set_retention(cx, view, instance, Some(*hours)).await
        }
        Action::ReplicationAccount { instance, account } => {
            replica::create_account(cx, view, instance, account).await
        }
        Action::TemporaryReplica {
            source,
            name,
            request,
        } => calls::create_replica(cx.rds, &name_of(source)?, name.as_str(), request).await,
        Action::Hold { instance, .. } => replica::stop_replica(cx, view, instance).await,
        Action::Replicate {
            source,
            replica,
            held_by,
            account,
        } => replica::tell(cx, view, source, replica, account, held_by.as_deref()).await,
        Action::RemoveTemporary { instance } => replica::remove(cx, view, instance).await,
        Action::Detach { replica } => replica::detach(cx, view, replica).await,
        Action::RemoveAccount { instances, account } => {
            replica::drop_account(cx, view, instances, account).await
        }
        Action::RestoreRetention {
            instances,
            raised_by,
        } => replica::restore_retention(cx, view, instances, raised_by).await,
        // Of a green instance the plan has only the beginning of the name.
        Action::Delete { instance, .. } => {
            calls::delete_instance(cx.rds, &name_of(instance)?).await
        }
        Action::ClusterNameBack { from, to, .. } => {
            calls::cluster::rename(cx.rds, from.as_str(), to.as_str()).await
        }
        Action::UnprotectCluster { cluster } => {
            let shown = cluster_undo::shown(cx, view, cluster)?;
            calls::cluster::unprotect(cx.rds, shown.identifier()).await
        }
        Action::DeleteCluster { name, .. } => calls::cluster::delete(cx.rds, name.as_str()).await,
        Action::DeleteClusterSnapshot { snapshot, .. } => {
            calls::cluster::delete_snapshot(cx.rds, snapshot).await
        }
        Action::EncryptedClusterSnapshot {
            cluster,
            snapshot,
            tags,
            ..
        } => {
            let shown = cluster_undo::shown(cx, view, cluster)?;
            calls::cluster::snapshot(cx.rds, shown.identifier(), snapshot, tags).await
        }
        Action::ReleaseCluster { cluster, keys } => {
            let shown = cluster_undo::shown(cx, view, cluster)?;
            calls::remove_tags(cx.rds, shown.arn(), keys).await
        }
        Action::RemoveBlueGreen { deployment } => {
            let id = blue_green::identifier(view, deployment)?;
            calls::end_blue_green(cx.rds, &id).await
        }
        Action::DeleteSnapshot { snapshot, .. } => calls::delete_snapshot(cx.rds, snapshot).await,
        Action::DeleteAutomatedBackup { dbi_resource_id } => {
            calls::delete_automated_backup(cx.rds, dbi_resource_id).await
        }
        Action::Release { instance, keys } => {
            let id = cx.id(instance)?;
            let arn = view
                .by_resource_id(id)
                .map(|i| i.arn().to_owned())
                .unwrap_or_default();
            calls::remove_tags(cx.rds, &arn, keys).await
        }
        Action::AwaitGreen { .. }
        | Action::AwaitMember { .. }
        | Action::CompareRows { .. }
        | Action::CatchUp { .. }
        | Action::FinalPosition { .. }
        | Action::MarkEnd { .. }
        | Action::KeepWayBack { .. }
        | Action::Validate
        | Action::Rescan
        | Action::Handover
        | Action::Alarms { .. }
        | Action::Unwritten { .. }
        | Action::Returned
        | Action::Unused { .. }
        | Action::Rehearse
        | Action::Hook(_) => Err(Fault::Plan(format!("step {} has no call", step.id))),
    }
}
