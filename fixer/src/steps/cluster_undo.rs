//! The steps of a rollback and of a cleanup that are about a cluster, as `undo` has them for instances. What deletes looks
//! at everything it was told to expect, in the view the call is made from.

use atrest_model::document::{bool_of, str_of};
use atrest_model::instance::{DbCluster, Encryption, tags_of};
use atrest_model::plan::{ClusterMember, TAG_CLAIM, TAG_RUN, Target};

use super::undo::{AGAIN, bears, foreign_run};
use super::{Cx, Seen, cluster};
use crate::fault::Fault;
use crate::observatory::RegionView;

/// The cluster behind a target, which the view was asked for.
pub(super) fn shown<'v>(
    cx: &Cx<'_>,
    view: &'v RegionView,
    target: &Target,
) -> Result<&'v DbCluster, Fault> {
    let id = cx.id(target)?;
    let found = view.cluster(id).ok().flatten();
    found.ok_or_else(|| Fault::Plan(format!("no DB cluster has resource id {id} any more")))
}

/// Protection is off when the cluster shows it, or is gone.
pub(super) fn unprotect(cx: &Cx<'_>, view: &RegionView, target: &Target) -> Result<Seen, Fault> {
    let Ok(found) = view.cluster(cx.id(target)?) else {
        return Ok(cluster::not_read());
    };
    Ok(match found {
        None => Seen::done("gone"),
        Some(cluster) if bool_of(&cluster.document, "DeletionProtection") != Some(true) => {
            Seen::done("not protected")
        }
        Some(cluster) if cluster.is_ready() => Seen::absent("protected"),
        Some(cluster) => Seen::pending(cluster.status().to_owned()),
    })
}

/// A cluster is deleted when its resource id is not shown any more, in several looks.
pub(super) fn delete(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
    name: &str,
    tags: &[(String, String)],
    encrypted: bool,
) -> Result<Seen, Fault> {
    let Ok(found) = view.cluster(cx.id(target)?) else {
        return Ok(cluster::not_read());
    };
    let Some(cluster) = found else {
        return Ok(Seen::done("gone"));
    };
    let (shown, status) = (cluster.identifier(), cluster.status());
    let state = format!("{shown} is {status}");
    if status == "deleting" {
        return Ok(Seen::pending(state));
    }
    if cluster.encryption().is_encrypted() != Some(encrypted) {
        let wanted = if encrypted {
            "encrypted"
        } else {
            "unencrypted"
        };
        return Ok(Seen::stuck(
            format!(
                "{shown} is {}, not {wanted}: it is not what was to be deleted",
                cluster.encryption().as_str()
            ),
            AGAIN,
        ));
    }
    if let Some(run) = foreign_run(&cluster.tags(), tags) {
        return Ok(Seen::stuck(
            format!("{shown} belongs to run {run}"),
            "finish that run first",
        ));
    }
    // Both may be a matter of a late answer; the deadline ends it.
    if shown != name {
        return Ok(Seen::pending(format!("{state}, not called {name}")));
    }
    if !bears(&cluster.tags(), tags) {
        return Ok(Seen::pending(format!("{state}, its tags are not shown")));
    }
    // RDS deletes no cluster that has DB instances. Those of the plan went before; another one is somebody's.
    let left: Vec<&str> = cluster
        .members()
        .filter(|member| {
            view.by_name(member)
                .is_some_and(|instance| instance.status() != "deleting")
        })
        .collect();
    if !left.is_empty() {
        return Ok(Seen::pending(format!(
            "{shown} still has {}",
            left.join(", ")
        )));
    }
    if !cluster.is_ready() && !matches!(status, "stopped" | "inaccessible-encryption-credentials") {
        return Ok(Seen::pending(state));
    }
    Ok(Seen::absent(state))
}

/// A cluster snapshot is deleted when no manual one has its name.
pub(super) fn delete_snapshot(
    cx: &Cx<'_>,
    view: &RegionView,
    name: &str,
    of: &Target,
    tags: &[(String, String)],
) -> Result<Seen, Fault> {
    let source = cx.id(of)?;
    let Ok(found) = view.cluster_snapshot(name) else {
        return Ok(Seen::pending("cluster snapshots were not read"));
    };
    let Some(document) = found else {
        return Ok(Seen::done("gone"));
    };
    let status = str_of(document, "Status").unwrap_or("unknown");
    if status == "deleting" {
        return Ok(Seen::pending(status.to_owned()));
    }
    if str_of(document, "DbClusterResourceId") != Some(source) {
        return Ok(Seen::stuck(
            format!("cluster snapshot {name} is not of {source}"),
            AGAIN,
        ));
    }
    let shown = tags_of(document);
    if let Some(run) = foreign_run(&shown, tags) {
        return Ok(Seen::stuck(
            format!("cluster snapshot {name} belongs to run {run}"),
            "finish that run first",
        ));
    }
    if !bears(&shown, tags) {
        return Ok(Seen::pending(format!("{status}, its tags are not shown")));
    }
    if status == "creating" {
        return Ok(Seen::pending(
            "creating: it cannot be deleted before it is available",
        ));
    }
    Ok(Seen::absent(status.to_owned()))
}

/// As for the snapshot of the old cluster, and encrypted under the key.
pub(super) fn encrypted_snapshot(
    cx: &Cx<'_>,
    view: &RegionView,
    name: &str,
    key: &str,
) -> Result<Seen, Fault> {
    let seen = cluster::snapshot(cx, view, name)?;
    let found = view.cluster_snapshot(name).ok().flatten();
    let is_done = matches!(seen, Seen::Done { .. });
    match found.filter(|_| is_done) {
        Some(document)
            if Encryption::of(document) != Encryption::SseKms
                || str_of(document, "KmsKeyId") != Some(key) =>
        {
            Ok(Seen::stuck(
                format!("cluster snapshot {name} is not encrypted under {key}"),
                AGAIN,
            ))
        }
        _ => Ok(seen),
    }
}

/// A claim is off when its tags are not shown. One of another run or folder is not ours to take off.
pub(super) fn release(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
    keys: &[String],
) -> Result<Seen, Fault> {
    let Ok(found) = view.cluster(cx.id(target)?) else {
        return Ok(cluster::not_read());
    };
    let Some(cluster) = found else {
        return Ok(Seen::pending("not shown"));
    };
    let shown = cluster.tags();
    if !keys.iter().any(|key| shown.contains_key(key.as_str())) {
        return Ok(Seen::done("not claimed"));
    }
    if let Some(run) = shown
        .get(TAG_RUN)
        .filter(|run| **run != cx.plan.run.as_str())
    {
        return Ok(Seen::done(format!("claimed by run {run}, which keeps it")));
    }
    let ours = cx.claim.token();
    if ours.is_some()
        && shown
            .get(TAG_CLAIM)
            .is_some_and(|token| Some(*token) != ours)
    {
        return Ok(Seen::stuck(
            "claimed from another run folder",
            "go on from that folder",
        ));
    }
    Ok(Seen::absent("claimed"))
}

/// What is still to come until the old cluster has its real name back.
pub(super) fn returned(view: &RegionView, planned: &ClusterMember) -> Option<Seen> {
    let name = planned.identifier.as_str();
    let Ok(found) = view.cluster(&planned.db_cluster_resource_id) else {
        return Some(cluster::not_read());
    };
    let Some(cluster) = found else {
        return Some(Seen::pending(format!("cluster {name} is not shown")));
    };
    let state = format!("{} is {}", cluster.identifier(), cluster.status());
    if cluster::has_ended(cluster) {
        return Some(Seen::stuck(state, AGAIN));
    }
    (cluster.identifier() != name || !cluster.is_ready()).then(|| Seen::pending(state))
}
