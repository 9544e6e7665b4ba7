//! Steps of the replica method (docs/design/0007-replica-method.md): they look at two servers and act through RDS's
//! procedures. Doing one twice is harmless.
//!
//! None of the steps before the cutover touches a successor that has its real name already: a run folder that was lost
//! and taken up again must not point production back at the old instance.

mod channel;
mod follow;
mod forecast;
mod source;
mod temporary;
mod way_back;

use atrest_model::instance::DbInstance;
use atrest_model::plan::{TAG_RUN, TAG_SOURCE, TAG_STEP, Target};
use atrest_scanner::access::MysqlAuth;

pub(super) use self::follow::{catch_up, detach, detached, final_position, replicate, tell};
pub(crate) use self::forecast::Forecast;
pub(super) use self::source::{
    account, create_account, drop_account, no_account, note_retention, restore_retention,
    restored_retention, retention, set_retention,
};
pub(super) use self::temporary::{
    compare_rows, hold, remove, removed, snapshot_source, stop_replica, temporary_replica,
};
pub(super) use self::way_back::{keep_way_back, mark_end};
use super::{Cx, Seen, sql};
use crate::fault::{self, Fault};
use crate::observatory::RegionView;

/// An instance that can be asked, or what to wait for.
type Asked<'a> = Result<(&'a DbInstance, &'a MysqlAuth), Seen>;

fn asked<'a>(cx: &Cx<'a>, view: &'a RegionView, target: &Target) -> Result<Asked<'a>, Fault> {
    let Some(auth) = cx.mysql else {
        return Err(Fault::Plan(
            "the replica method needs a MySQL login".to_owned(),
        ));
    };
    let Some(instance) = cx.find(view, target)? else {
        return Ok(Err(Seen::pending("not shown")));
    };
    if fault::has_ended(instance) {
        return Ok(Err(Seen::stuck(
            format!("{} is {}", instance.identifier(), instance.status()),
            "look at the instance in the RDS console, then resume",
        )));
    }
    if !instance.is_ready() || instance.endpoint().is_none() {
        return Ok(Err(Seen::pending(format!(
            "{} is {}",
            instance.identifier(),
            instance.status()
        ))));
    }
    Ok(Ok((instance, auth)))
}

/// As [`asked`], for an act.
fn ready<'a>(
    cx: &Cx<'a>,
    view: &'a RegionView,
    target: &Target,
) -> Result<(&'a DbInstance, &'a MysqlAuth), Fault> {
    asked(cx, view, target)?.map_err(|_seen| sql::not_ready())
}

/// Whether the successor has its real name: the cutover is over and all before it is done.
fn is_cut_over(cx: &Cx<'_>, view: &RegionView) -> bool {
    let source = &cx.migration.source;
    made_by(cx, view, &source.made_by)
        .is_some_and(|made| made.identifier() == source.identifier.as_str())
}

/// Whether the replica of a channel is the encrypted instance. After the cutover it is not: then the old one follows.
fn is_successor(replica: &Target) -> bool {
    matches!(replica, Target::MadeBy(_))
}

/// What a step of this run has made, by its tags: also when the journal does not know of it.
fn made_by<'v>(cx: &Cx<'_>, view: &'v RegionView, step: &str) -> Option<&'v DbInstance> {
    view.instances().find(|instance| {
        let tags = instance.tags();
        [
            (TAG_RUN, cx.plan.run.as_str()),
            (TAG_SOURCE, cx.migration.source.dbi_resource_id.as_str()),
            (TAG_STEP, step),
        ]
        .into_iter()
        .all(|(key, value)| tags.get(key) == Some(&value))
    })
}
