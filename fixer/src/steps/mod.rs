//! The steps: each is an observation and at most one mutation. Nothing here waits, sleeps or writes the journal.

mod aws;
mod blue_green;
pub(crate) mod claim;
mod cluster;
mod live;
mod sql;
mod validate;

use std::collections::BTreeMap;

use atrest_model::instance::DbInstance;
use atrest_model::journal::StepStatus;
use atrest_model::plan::{Action, Migration, Plan, Step, Target};
use atrest_scanner::access::MysqlAuth;
use atrest_scanner::rds::Rds;
use serde_json::Value;

use crate::fault::Fault;
use crate::observatory::{RegionView, Wanted};
use crate::permit::Permit;

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
    pub(crate) rds: &'a Rds,
    pub(crate) mysql: Option<&'a MysqlAuth>,
    /// `DbiResourceId` of every instance that a step of this migration has made.
    pub(crate) made: &'a BTreeMap<String, String>,
    /// What [`note`] saw before the last mutation of the step at hand.
    pub(crate) noted: Option<&'a Value>,
    /// What the journal says of the step at hand.
    pub(crate) status: StepStatus,
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
        Action::Snapshot { .. } | Action::EncryptedCopy { .. } => Wanted::SNAPSHOTS,
        Action::CreateBlueGreen { .. }
        | Action::AwaitGreen { .. }
        | Action::Switchover { .. }
        | Action::EndBlueGreen { .. } => Wanted::BLUE_GREEN,
        Action::ClusterSnapshot { .. } => Wanted::CLUSTER_SNAPSHOTS,
        _ => Wanted::NOTHING,
    }
}

/// How many looks in a row must agree that the step is done. Statuses flicker after a change; everything else is a
/// fact once it is seen.
pub(crate) fn confirmations(action: &Action, wanted: u32) -> u32 {
    match action {
        Action::Rename { .. }
        | Action::Restore { .. }
        | Action::CreateReplica { .. }
        | Action::Modify { .. }
        | Action::Settle { .. }
        | Action::Quiesce { .. }
        | Action::CreateBlueGreen { .. }
        | Action::AwaitGreen { .. }
        | Action::Switchover { .. }
        | Action::RenameCluster { .. }
        | Action::RestoreCluster { .. }
        | Action::ModifyCluster { .. }
        | Action::CreateMember { .. } => wanted.max(1),
        Action::Claim { .. }
        | Action::Tag { .. }
        | Action::EndBlueGreen { .. }
        | Action::ClaimCluster { .. }
        | Action::ClusterSnapshot { .. }
        | Action::AddClusterRole { .. }
        | Action::Snapshot { .. }
        | Action::EncryptedCopy { .. }
        | Action::AddRole { .. }
        | Action::Accounts { .. }
        | Action::Configuration { .. }
        | Action::Validate
        | Action::Rescan => 1,
    }
}

/// What is done, for events: the API operation or the SQL procedure.
pub(crate) fn operation(action: &Action) -> &'static str {
    action.operation().unwrap_or(match action {
        Action::Accounts { .. } => "CREATE USER, GRANT",
        Action::Configuration { .. } => "CALL mysql.rds_set_configuration",
        Action::AwaitGreen { .. } => "wait",
        _ => "compare",
    })
}

/// Looks.
pub(crate) async fn observe(cx: &Cx<'_>, step: &Step, view: &RegionView) -> Result<Seen, Fault> {
    match &step.action {
        Action::Claim { instance, tags } => claim::observe(cx, view, instance, tags),
        Action::Rename {
            instance, from, to, ..
        } => aws::rename(cx, view, instance, from.as_str(), to.as_str()),
        Action::Quiesce { instance } => sql::quiesce(cx, view, instance).await,
        Action::Snapshot {
            instance, snapshot, ..
        } => {
            let source = cx.id(instance)?.to_owned();
            aws::snapshot(cx, view, snapshot, &source, None)
        }
        Action::EncryptedCopy {
            snapshot,
            kms_key_id,
            ..
        } => aws::snapshot(
            cx,
            view,
            snapshot,
            &cx.migration.source.dbi_resource_id,
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
        Action::CreateMember { name, .. } => aws::made(cx, view, step, name.as_str(), None),
        Action::CreateBlueGreen { deployment, .. } => blue_green::create(cx, view, deployment),
        Action::AwaitGreen { deployment, blue } => {
            blue_green::green(cx, view, step, deployment, blue)
        }
        Action::Tag { instance, tags } => blue_green::tag(cx, view, instance, tags),
        Action::Switchover { deployment, .. } => blue_green::switchover(cx, view, deployment),
        Action::EndBlueGreen { deployment } => blue_green::end(view, deployment),
        Action::Validate => validate::validate(cx, view).await,
        Action::Rescan => validate::rescan(cx, view),
    }
}

/// What has to be remembered from before the mutation: kept in the journal with the intent.
pub(crate) fn note(cx: &Cx<'_>, step: &Step, view: &RegionView) -> Value {
    match &step.action {
        Action::Rename { instance, .. } => {
            let shown = cx.find(view, instance).ok().flatten();
            serde_json::json!({"endpoint": shown.and_then(|i| i.endpoint()).map(|(address, _)| address)})
        }
        Action::Switchover { .. } => blue_green::endpoints(cx, view),
        _ => Value::Null,
    }
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
        Action::Rename { from, to, .. } => calls::rename(cx.rds, from.as_str(), to.as_str()).await,
        Action::Quiesce { instance } | Action::Settle { instance } => {
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
        Action::CreateMember { name, request } => {
            let of = cluster::name_now(cx, view, true)?;
            calls::cluster::create_member(cx.rds, &of, name.as_str(), request).await
        }
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
        Action::AwaitGreen { .. } | Action::Validate | Action::Rescan => Err(Fault::Plan(format!(
            "step {} has nothing to do but to look",
            step.id
        ))),
    }
}
