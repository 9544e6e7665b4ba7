//! Observations of a cluster. Like instances it is known by its resource id, which survives renames.

use atrest_model::document::{bool_of, list_of, str_of};
use atrest_model::instance::{DbCluster, Encryption, tags_of};
use atrest_model::plan::{ClusterMember, Step, TAG_RUN, TAG_SOURCE};
use serde_json::{Map, Value, json};

use super::aws::is_made_by;
use super::{Cx, Seen, claim};
use crate::fault::{self, Fault};
use crate::observatory::RegionView;
use crate::requests::cluster as requests;

const LOOK: &str =
    "look at the cluster in the RDS console; `atrest fix --resume RUN` goes on when it is mended";

/// Step whose result is the encrypted cluster.
pub(super) const MADE_BY: &str = "restore-cluster";

/// Not to be had from a view that did not read clusters.
pub(super) fn not_read() -> Seen {
    Seen::pending("clusters were not read")
}

/// The cluster that is migrated, as the plan has it.
fn planned<'a>(cx: &Cx<'a>) -> Result<&'a ClusterMember, Fault> {
    cx.migration
        .cluster
        .as_ref()
        .ok_or_else(|| Fault::Plan(format!("{} is no cluster", cx.migration.id)))
}

/// The resource id of the old cluster, or of the one that this migration has made.
fn id<'a>(cx: &Cx<'a>, made: bool) -> Result<&'a str, Fault> {
    if !made {
        return Ok(planned(cx)?.db_cluster_resource_id.as_str());
    }
    cx.made
        .get(MADE_BY)
        .map(String::as_str)
        .ok_or_else(|| Fault::Plan(format!("step {MADE_BY} has not made its cluster yet")))
}

/// The name that a cluster has now.
pub(super) fn name_now(cx: &Cx<'_>, view: &RegionView, made: bool) -> Result<String, Fault> {
    let id = id(cx, made)?;
    view.cluster(id)
        .ok()
        .flatten()
        .map(|cluster| cluster.identifier().to_owned())
        .ok_or_else(|| Fault::Plan(format!("no DB cluster has resource id {id} any more")))
}

/// The ARN of the old cluster now.
pub(super) fn arn_now(cx: &Cx<'_>, view: &RegionView) -> Result<String, Fault> {
    arn(view, id(cx, false)?)
}

/// The ARN of the encrypted cluster now.
pub(super) fn arn_of_new(cx: &Cx<'_>, view: &RegionView) -> Result<String, Fault> {
    arn(view, id(cx, true)?)
}

fn arn(view: &RegionView, id: &str) -> Result<String, Fault> {
    view.cluster(id)
        .ok()
        .flatten()
        .map(|cluster| cluster.arn().to_owned())
        .ok_or_else(|| Fault::Plan(format!("no DB cluster has resource id {id} any more")))
}

pub(super) fn has_ended(cluster: &DbCluster) -> bool {
    fault::class_of_status(cluster.status()).is_some_and(|class| !class.goes_on())
}

/// As for an instance: one that is gone, encrypted meanwhile or somebody else's is not ours to touch.
pub(super) fn claim(
    cx: &Cx<'_>,
    view: &RegionView,
    tags: &[(String, String)],
) -> Result<Seen, Fault> {
    let id = id(cx, false)?;
    let Ok(found) = view.cluster(id) else {
        return Ok(not_read());
    };
    let Some(cluster) = found else {
        return Ok(Seen::stuck(
            format!(
                "no DB cluster has resource id {id} in {}",
                cx.migration.region
            ),
            "make a new plan; the cluster was deleted or belongs to another account",
        ));
    };
    let name = cluster.identifier();
    if cluster.encryption() != Encryption::None {
        return Ok(Seen::stuck(
            format!(
                "{name} is {} now, not unencrypted",
                cluster.encryption().as_str()
            ),
            "make a new plan",
        ));
    }
    let shown = cluster.tags();
    if let Some((reason, hint)) = claim::foreign(cx, name, &shown, cx.claim.takes_over()) {
        return Ok(Seen::stuck(reason, hint));
    }
    let all = claim::tags(cx, tags)
        .iter()
        .all(|(key, value)| shown.get(key.as_str()) == Some(&value.as_str()));
    Ok(if all {
        Seen::done("claimed")
    } else {
        Seen::absent("not claimed")
    })
}

/// A rename is done when the cluster, found by its resource id, bears the name and has its endpoint, and is ready.
pub(super) fn rename(
    cx: &Cx<'_>,
    view: &RegionView,
    made: bool,
    from: &str,
    to: &str,
) -> Result<Seen, Fault> {
    rename_of(view, id(cx, made)?, from, to)
}

/// [`rename`] of the cluster of a resource id.
pub(super) fn rename_of(view: &RegionView, id: &str, from: &str, to: &str) -> Result<Seen, Fault> {
    let Ok(found) = view.cluster(id) else {
        return Ok(not_read());
    };
    let Some(cluster) = found else {
        return Ok(Seen::pending("not shown under either name"));
    };
    let name = cluster.identifier();
    let state = format!("{name} is {}", cluster.status());
    if has_ended(cluster) {
        return Ok(Seen::stuck(state, LOOK));
    }
    if name == to {
        let moved = str_of(&cluster.document, "Endpoint")
            .is_some_and(|address| address.split('.').next() == Some(to));
        return Ok(
            if cluster.is_ready() && moved && !cluster.has_pending_modifications() {
                Seen::done(state)
            } else {
                Seen::pending(state)
            },
        );
    }
    if name != from {
        return Ok(Seen::stuck(
            format!("{id} is called {name} now, neither {from} nor {to}"),
            "somebody renamed it; give it back one of these names, then resume",
        ));
    }
    if let Ok(Some(other)) = view.cluster_by_name(to) {
        return Ok(Seen::pending(format!(
            "{to} is still the name of {}",
            other.resource_id()
        )));
    }
    if !cluster.is_ready() || cluster.has_pending_modifications() {
        return Ok(Seen::pending(state));
    }
    Ok(Seen::absent(state))
}

/// The snapshot of the cluster. Ours by tag and by source; a foreign one of that name stops the run.
pub(super) fn snapshot(cx: &Cx<'_>, view: &RegionView, name: &str) -> Result<Seen, Fault> {
    let Ok(found) = view.cluster_snapshot(name) else {
        return Ok(Seen::pending("cluster snapshots were not read"));
    };
    let Some(document) = found else {
        let cluster = view.cluster(id(cx, false)?).ok().flatten();
        return Ok(match cluster {
            Some(cluster) if !cluster.is_ready() => {
                Seen::pending(format!("waits for {}", cluster.status()))
            }
            _ => Seen::absent("no such snapshot"),
        });
    };
    let tags = tags_of(document);
    let status = str_of(document, "Status").unwrap_or("unknown");
    let run = tags.get(TAG_RUN).copied().unwrap_or("none");
    if run == "none" && status == "creating" {
        return Ok(Seen::pending("creating, its tags are not shown yet"));
    }
    let ours = run == cx.plan.run.as_str()
        && tags.get(TAG_SOURCE) == Some(&cx.migration.source.dbi_resource_id.as_str());
    if !ours {
        return Ok(Seen::stuck(
            format!("cluster snapshot {name} belongs to another run ({run})"),
            "finish that run first; if it is gone for good, delete the snapshot and resume",
        ));
    }
    Ok(match status {
        "available" => Seen::done(format!("{name} is available")),
        "failed" | "incompatible-restore" | "incompatible-parameters" => Seen::stuck(
            format!("cluster snapshot {name} is {status}"),
            "delete the snapshot and resume",
        ),
        other => Seen::pending(other.to_owned()),
    })
}

/// The encrypted cluster: found by its tags whatever its name.
pub(super) fn restored(
    cx: &Cx<'_>,
    view: &RegionView,
    step: &Step,
    new_name: &str,
) -> Result<Seen, Fault> {
    let Ok(clusters) = view.clusters() else {
        return Ok(not_read());
    };
    let ours: Vec<&DbCluster> = clusters
        .filter(|cluster| is_made_by(cx, step, &cluster.tags()))
        .collect();
    let cluster = match ours.as_slice() {
        [one] => *one,
        [] => {
            return Ok(match view.cluster_by_name(new_name) {
                // Tags may show a moment after the cluster does.
                Ok(Some(other)) if other.status() == "creating" && other.tags().is_empty() => {
                    Seen::pending(format!("{new_name} shows no tags yet"))
                }
                Ok(Some(_)) => Seen::stuck(
                    format!("{new_name} does not bear the tags of this run"),
                    format!("rename or delete {new_name}, then resume"),
                ),
                _ => Seen::absent("no such cluster"),
            });
        }
        [_, _, ..] => {
            return Ok(Seen::stuck(
                "several DB clusters bear the tags of this step",
                "delete those that are not wanted, then resume",
            ));
        }
    };
    let name = cluster.identifier();
    let real = planned(cx)?.identifier.as_str();
    if name != new_name && name != real {
        return Ok(Seen::stuck(
            format!("what this step made is called {name}, not {new_name}"),
            format!("somebody renamed it; call it {new_name} again, then resume"),
        ));
    }
    if has_ended(cluster) {
        return Ok(Seen::stuck(format!("{name} is {}", cluster.status()), LOOK));
    }
    if !cluster.is_ready() {
        return Ok(Seen::pending(cluster.status().to_owned()));
    }
    let key = cx.migration.kms_key_id.as_str();
    if cluster.encryption() != Encryption::SseKms
        || str_of(&cluster.document, "KmsKeyId") != Some(key)
    {
        return Ok(Seen::stuck(
            format!("{name} is not encrypted under {key}"),
            format!("delete {name}, then resume"),
        ));
    }
    Ok(Seen::Done {
        detail: format!("{name} is {}", cluster.status()),
        result: json!({"db_cluster_resource_id": cluster.resource_id(), "step": step.id}),
    })
}

/// Whether the encrypted cluster is there, under whatever name.
pub(super) fn is_restored(cx: &Cx<'_>, view: &RegionView) -> bool {
    let Some(step) = cx.migration.steps.iter().find(|step| step.id == MADE_BY) else {
        return false;
    };
    view.clusters()
        .is_ok_and(|mut clusters| clusters.any(|cluster| is_made_by(cx, step, &cluster.tags())))
}

/// The encrypted cluster, or what to wait for.
pub(super) fn made<'v>(
    cx: &Cx<'_>,
    view: &'v RegionView,
) -> Result<Result<&'v DbCluster, Seen>, Fault> {
    let Ok(found) = view.cluster(id(cx, true)?) else {
        return Ok(Err(not_read()));
    };
    let Some(cluster) = found else {
        return Ok(Err(Seen::pending("not shown")));
    };
    if has_ended(cluster) {
        let state = format!("{} is {}", cluster.identifier(), cluster.status());
        return Ok(Err(Seen::stuck(state, LOOK)));
    }
    Ok(Ok(cluster))
}

/// A modification is done when the cluster shows every value and has nothing pending.
pub(super) fn modify(
    cx: &Cx<'_>,
    view: &RegionView,
    request: &Map<String, Value>,
) -> Result<Seen, Fault> {
    let cluster = match made(cx, view)? {
        Ok(cluster) => cluster,
        Err(seen) => return Ok(seen),
    };
    if cluster.has_pending_modifications() || !cluster.is_ready() {
        return Ok(Seen::pending(cluster.status().to_owned()));
    }
    let secret = cluster.document.get("MasterUserSecret");
    if let Some(status) = secret
        .and_then(|secret| str_of(secret, "SecretStatus"))
        .filter(|status| *status != "active")
    {
        return Ok(Seen::pending(format!("its secret is {status}")));
    }
    let missing = requests::missing(request, cluster);
    if missing.is_empty() {
        return Ok(Seen::done("every value is shown"));
    }
    let names: Vec<&str> = missing.keys().map(String::as_str).collect();
    Ok(Seen::absent(format!("to set: {}", names.join(", "))))
}

/// What of a modification the encrypted cluster does not show.
pub(super) fn missing(
    cx: &Cx<'_>,
    view: &RegionView,
    request: &Map<String, Value>,
) -> Result<(String, Map<String, Value>), Fault> {
    match made(cx, view)? {
        Ok(cluster) => Ok((
            cluster.identifier().to_owned(),
            requests::missing(request, cluster),
        )),
        Err(_seen) => Err(Fault::Plan("the cluster is not shown any more".to_owned())),
    }
}

/// A role is attached when it is shown as active.
pub(super) fn role(
    cx: &Cx<'_>,
    view: &RegionView,
    role_arn: &str,
    feature: &str,
) -> Result<Seen, Fault> {
    let cluster = match made(cx, view)? {
        Ok(cluster) => cluster,
        Err(seen) => return Ok(seen),
    };
    let shown = list_of(&cluster.document, "AssociatedRoles")
        .iter()
        .find(|role| {
            str_of(role, "RoleArn") == Some(role_arn)
                && str_of(role, "FeatureName").unwrap_or_default() == feature
        });
    Ok(match shown.and_then(|role| str_of(role, "Status")) {
        Some("ACTIVE") if cluster.is_ready() => Seen::done("ACTIVE"),
        Some("INVALID") => Seen::stuck(
            format!("role {role_arn} is INVALID"),
            "mend the role's trust policy, then resume",
        ),
        Some(other) => Seen::pending(other.to_owned()),
        None if cluster.is_ready() => Seen::absent("not attached"),
        None => Seen::pending(cluster.status().to_owned()),
    })
}

/// The Data API is on when the cluster shows it.
pub(super) fn data_api(cx: &Cx<'_>, view: &RegionView) -> Result<Seen, Fault> {
    let cluster = match made(cx, view)? {
        Ok(cluster) => cluster,
        Err(seen) => return Ok(seen),
    };
    Ok(match bool_of(&cluster.document, "HttpEndpointEnabled") {
        Some(true) => Seen::done("it is on"),
        _ if cluster.is_ready() => Seen::absent("it is off"),
        _ => Seen::pending(cluster.status().to_owned()),
    })
}

/// Both clusters when they are ready to be compared; what to wait for otherwise.
pub(super) fn both<'v>(
    cx: &Cx<'_>,
    view: &'v RegionView,
) -> Result<Result<(&'v DbCluster, &'v DbCluster), Seen>, Fault> {
    let new = match made(cx, view)? {
        Ok(new) => new,
        Err(seen) => return Ok(Err(seen)),
    };
    let Ok(old) = view.cluster(id(cx, false)?) else {
        return Ok(Err(not_read()));
    };
    let Some(old) = old else {
        return Ok(Err(Seen::pending("the old cluster is not shown")));
    };
    if let Some(busy) = [old, new].into_iter().find(|side| !side.is_ready()) {
        return Ok(Err(Seen::pending(format!(
            "{} is {}",
            busy.identifier(),
            busy.status()
        ))));
    }
    Ok(Ok((old, new)))
}

/// Under its real name the cluster must be encrypted and ready.
pub(super) fn rescan(cx: &Cx<'_>, view: &RegionView) -> Result<Option<Seen>, Fault> {
    let Some(planned) = &cx.migration.cluster else {
        return Ok(None);
    };
    let (old, new) = match both(cx, view)? {
        Ok(both) => both,
        Err(seen) => return Ok(Some(seen)),
    };
    let name = planned.identifier.as_str();
    if new.identifier() != name {
        return Ok(Some(Seen::pending(format!(
            "{} is not yet {name}",
            new.identifier()
        ))));
    }
    if new.encryption().is_encrypted() != Some(true) {
        return Ok(Some(Seen::stuck(
            format!("{name} is {}", new.encryption().as_str()),
            "compare the cluster with the plan",
        )));
    }
    if old.identifier() != planned.old_name.as_str() {
        return Ok(Some(Seen::pending(format!(
            "{} is not {}",
            old.identifier(),
            planned.old_name
        ))));
    }
    Ok(None)
}
