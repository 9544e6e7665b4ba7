//! Observations of RDS. All of them read one view of the region; none sends a call.

use std::collections::BTreeMap;

use atrest_model::document::{list_of, str_of};
use atrest_model::instance::{DbInstance, Encryption, tags_of};
use atrest_model::plan::{Step, TAG_RUN, TAG_SOURCE, TAG_STEP, Target};
use serde_json::{Map, Value, json};

use super::{Cx, Seen};
use crate::fault::{self, Fault};
use crate::observatory::RegionView;
use crate::requests;

pub(super) const LOOK: &str =
    "look at the instance in the RDS console; `atrest fix --resume RUN` goes on when it is mended";

/// A rename is done when the instance, found by its resource id, bears the name and has an endpoint, and is ready.
///
/// Meanwhile neither name may be found, or the old one may still be shown as available.
pub(super) fn rename(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
    from: &str,
    to: &str,
) -> Result<Seen, Fault> {
    let id = cx.id(target)?;
    let Some(instance) = view.by_resource_id(id) else {
        // The gap in which RDS shows neither name. If it does not end, the deadline does.
        return Ok(Seen::pending("not shown under either name"));
    };
    let state = format!("{} is {}", instance.identifier(), instance.status());
    if fault::has_ended(instance) {
        return Ok(Seen::stuck(state, LOOK));
    }
    if instance.identifier() == to {
        // RDS shows `available` before the new endpoint.
        let before = cx.noted.and_then(|noted| str_of(noted, "endpoint"));
        let moved = instance
            .endpoint()
            .is_some_and(|(address, _)| is_address_of(to, address, before));
        return Ok(
            if instance.is_ready() && moved && !instance.has_pending_modifications() {
                Seen::done(state)
            } else if instance.is_ready() && !moved {
                Seen::pending(format!("{state}, its endpoint is not there yet"))
            } else {
                Seen::pending(state)
            },
        );
    }
    if instance.identifier() != from {
        return Ok(Seen::stuck(
            format!(
                "{id} is called {} now, neither {from} nor {to}",
                instance.identifier()
            ),
            "somebody renamed it; give it back one of these names, then resume",
        ));
    }
    if let Some(other) = view.by_name(to) {
        // The name is released some time after its owner is renamed.
        return Ok(Seen::pending(format!(
            "{to} is still the name of {}",
            other.dbi_resource_id()
        )));
    }
    if !instance.is_ready() || instance.has_pending_modifications() {
        return Ok(Seen::pending(state));
    }
    Ok(Seen::absent(state))
}

/// Whether an endpoint belongs to the instance `name`: RDS's names begin with the identifier. An address that is not
/// a name must at least be another one than before the rename.
pub(super) fn is_address_of(name: &str, address: &str, before: Option<&str>) -> bool {
    match address.parse::<std::net::IpAddr>() {
        Ok(_) => before != Some(address),
        Err(_) => address.split('.').next() == Some(name),
    }
}

/// A snapshot, raw or encrypted. Ours by tag, by source and by the instance it was `taken_of`, as far as that is known; a
/// foreign one of that name stops the run.
pub(super) fn snapshot(
    cx: &Cx<'_>,
    view: &RegionView,
    name: &str,
    taken_of: Option<&str>,
    kms_key_id: Option<&str>,
) -> Result<Seen, Fault> {
    let Ok(found) = view.snapshot(name) else {
        return Ok(Seen::pending("snapshots were not read"));
    };
    let Some(document) = found else {
        return Ok(Seen::absent("no such snapshot"));
    };
    let run = tags_of(document).get(TAG_RUN).copied().unwrap_or("none");
    if run == "none" && str_of(document, "Status") == Some("creating") {
        // Tags may show a moment after the snapshot does.
        return Ok(Seen::pending("creating, its tags are not shown yet"));
    }
    if run != cx.plan.run.as_str() {
        return Ok(Seen::stuck(
            format!("snapshot {name} belongs to another run ({run})"),
            format!(
                "finish run {run} first; if it is gone for good, delete the snapshot and resume"
            ),
        ));
    }
    let pinned = tags_of(document).get(TAG_SOURCE).copied();
    let source = cx.migration.source.dbi_resource_id.as_str();
    let of = str_of(document, "DbiResourceId");
    let of_another = of
        .zip(taken_of)
        .is_some_and(|(of, taken_of)| of != taken_of);
    if of_another || pinned != Some(source) {
        return Ok(Seen::stuck(
            format!("snapshot {name} is of another instance"),
            "delete the snapshot and resume",
        ));
    }
    let status = str_of(document, "Status").unwrap_or("unknown");
    match status {
        "available" => {}
        "failed" | "incompatible-restore" | "incompatible-parameters" => {
            return Ok(Seen::stuck(
                format!("snapshot {name} is {status}"),
                "delete the snapshot and resume",
            ));
        }
        _ => {
            let percent = document.get("PercentProgress").and_then(Value::as_i64);
            return Ok(Seen::pending(
                percent.map_or_else(|| status.to_owned(), |p| format!("{status} {p} %")),
            ));
        }
    }
    if let Some(key) = kms_key_id {
        let shown = str_of(document, "KmsKeyId");
        if Encryption::of(document) != Encryption::SseKms || shown != Some(key) {
            return Ok(Seen::stuck(
                format!(
                    "snapshot {name} is not encrypted under {key}, but {}",
                    shown.unwrap_or("not at all")
                ),
                "delete the snapshot and resume",
            ));
        }
    }
    Ok(Seen::Done {
        detail: "available".to_owned(),
        result: json!({"snapshot": name}),
    })
}

/// An instance that a step has made: restored, or a replica of `source`. Found by its tags whatever its name: after the
/// cutover it bears another, and a run that does not know that must not make a second one.
pub(super) fn made(
    cx: &Cx<'_>,
    view: &RegionView,
    step: &Step,
    new_name: &str,
    source: Option<&Target>,
) -> Result<Seen, Fault> {
    let ours: Vec<&DbInstance> = view
        .instances()
        .filter(|instance| is_made_by(cx, step, &instance.tags()))
        .collect();
    let instance = match ours.as_slice() {
        [one] => *one,
        [] => return not_made(cx, view, new_name, source),
        [_, _, ..] => {
            let names: Vec<&str> = ours.iter().map(|i| i.identifier()).collect();
            return Ok(Seen::stuck(
                format!(
                    "several DB instances bear the tags of this step: {}",
                    names.join(", ")
                ),
                "delete those that are not wanted, then resume",
            ));
        }
    };
    let name = instance.identifier();
    let real_name = cx
        .migration
        .members()
        .find(|member| member.made_by == step.id)
        .map(|member| member.identifier.as_str());
    if name != new_name && Some(name) != real_name {
        return Ok(Seen::stuck(
            format!("what this step made is called {name}, not {new_name}"),
            format!("somebody renamed it; call it {new_name} again, then resume"),
        ));
    }
    let seen = encrypted(cx, step, instance);
    if source.is_some() && matches!(seen, Seen::Done { .. }) {
        match replication(instance) {
            Replication::Runs => {}
            Replication::Starting => {
                return Ok(Seen::pending(format!(
                    "{}, replication not reported yet",
                    instance.status()
                )));
            }
            Replication::Broken(why) => {
                return Ok(Seen::stuck(format!("replication of {name} is {why}"), LOOK));
            }
        }
    }
    Ok(seen)
}

/// What a step has made, or RDS for it, is done when it is ready and encrypted under the key.
pub(super) fn encrypted(cx: &Cx<'_>, step: &Step, instance: &DbInstance) -> Seen {
    let name = instance.identifier();
    if fault::has_ended(instance) {
        return Seen::stuck(format!("{name} is {}", instance.status()), LOOK);
    }
    if !instance.is_ready() || instance.endpoint().is_none() {
        return Seen::pending(instance.status().to_owned());
    }
    if instance.encryption().is_encrypted() != Some(true)
        || instance.kms_key_id() != Some(cx.migration.kms_key_id.as_str())
    {
        return Seen::stuck(
            format!("{name} is not encrypted under {}", cx.migration.kms_key_id),
            format!("delete {name}, then resume"),
        );
    }
    Seen::Done {
        detail: format!("{name} is {}", instance.status()),
        result: json!({"dbi_resource_id": instance.dbi_resource_id(), "step": step.id}),
    }
}

/// Whether tags say that this step of this run made the resource for this source.
pub(super) fn is_made_by(cx: &Cx<'_>, step: &Step, tags: &BTreeMap<&str, &str>) -> bool {
    let source = cx.migration.source.dbi_resource_id.as_str();
    [
        (TAG_RUN, cx.plan.run.as_str()),
        (TAG_SOURCE, source),
        (TAG_STEP, step.id.as_str()),
    ]
    .into_iter()
    .all(|(key, value)| tags.get(key) == Some(&value))
}

/// Nothing bears the tags of the step. The name may be taken by somebody else's.
pub(super) fn not_made(
    cx: &Cx<'_>,
    view: &RegionView,
    name: &str,
    source: Option<&Target>,
) -> Result<Seen, Fault> {
    if let Some(instance) = view.by_name(name) {
        let run = instance.tags().get(TAG_RUN).copied();
        let state = match run {
            Some(run) => format!("{name} was made by run {run} for something else"),
            None => format!("{name} does not bear the tag of this run"),
        };
        // Tags may show a moment after the instance does.
        return Ok(if instance.status() == "creating" && run.is_none() {
            Seen::pending(state)
        } else {
            Seen::stuck(state, format!("rename or delete {name}, then resume"))
        });
    }
    // RDS makes one replica of a source at a time and refuses others meanwhile.
    let busy = match source {
        Some(source) => cx.find(view, source)?.filter(|source| !source.is_ready()),
        None => None,
    };
    Ok(match busy {
        Some(source) => Seen::pending(format!(
            "waits for {}, which is {}",
            source.identifier(),
            source.status()
        )),
        None => Seen::absent("no such instance"),
    })
}

/// Replication as `StatusInfos` reports it.
pub(super) enum Replication {
    Runs,
    Starting,
    Broken(String),
}

pub(super) fn replication(instance: &DbInstance) -> Replication {
    let info = list_of(&instance.document, "StatusInfos")
        .iter()
        .find(|info| str_of(info, "StatusType") == Some("read replication"));
    match info.and_then(|info| str_of(info, "Status")) {
        Some("replicating") => Replication::Runs,
        None => Replication::Starting,
        Some(other) => Replication::Broken(other.to_owned()),
    }
}

/// A modification is done when the instance shows every value and has nothing pending.
pub(super) fn modify(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
    request: &Map<String, Value>,
) -> Result<Seen, Fault> {
    let Some(instance) = cx.find(view, target)? else {
        return Ok(Seen::pending("not shown"));
    };
    if fault::has_ended(instance) {
        return Ok(Seen::stuck(
            format!("{} is {}", instance.identifier(), instance.status()),
            LOOK,
        ));
    }
    let missing = requests::missing(request, instance);
    if instance.has_pending_modifications() || !instance.is_ready() {
        return Ok(Seen::pending(instance.status().to_owned()));
    }
    if missing.is_empty() {
        return Ok(Seen::done("every value is shown"));
    }
    let names: Vec<&str> = missing.keys().map(String::as_str).collect();
    Ok(Seen::absent(format!("to set: {}", names.join(", "))))
}

/// Groups are settled when none is being applied. A group that is pending-reboot stays so until a reboot; after a
/// restore with a group of one's own some instances are and some are not.
pub(super) fn settle(cx: &Cx<'_>, view: &RegionView, target: &Target) -> Result<Seen, Fault> {
    let Some(instance) = cx.find(view, target)? else {
        return Ok(Seen::pending("not shown"));
    };
    if fault::has_ended(instance) {
        return Ok(Seen::stuck(
            format!("{} is {}", instance.identifier(), instance.status()),
            LOOK,
        ));
    }
    if !instance.is_ready() || instance.has_pending_modifications() {
        return Ok(Seen::pending(instance.status().to_owned()));
    }
    let parameters = list_of(&instance.document, "DBParameterGroups")
        .iter()
        .filter_map(|g| str_of(g, "ParameterApplyStatus"));
    let options = list_of(&instance.document, "OptionGroupMemberships")
        .iter()
        .filter_map(|g| str_of(g, "Status"));
    let security = list_of(&instance.document, "VpcSecurityGroups")
        .iter()
        .filter_map(|g| str_of(g, "Status"));
    let mut reboot = false;
    for status in parameters {
        match status {
            "in-sync" => {}
            "pending-reboot" => reboot = true,
            "failed-to-apply" => {
                return Ok(Seen::stuck(
                    "the parameter group failed to apply",
                    "correct the parameter group, then resume",
                ));
            }
            other => return Ok(Seen::pending(format!("parameter group {other}"))),
        }
    }
    for status in options {
        match status {
            "in-sync" => {}
            "failed" => {
                return Ok(Seen::stuck(
                    "the option group failed to apply",
                    "correct the option group, then resume",
                ));
            }
            other => return Ok(Seen::pending(format!("option group {other}"))),
        }
    }
    if let Some(status) = security.into_iter().find(|status| *status != "active") {
        return Ok(Seen::pending(format!("security group {status}")));
    }
    Ok(if reboot {
        Seen::absent("parameter group pending-reboot")
    } else {
        Seen::done("groups are in-sync")
    })
}

/// A role is attached when it is shown as active.
pub(super) fn role(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
    role_arn: &str,
    feature: &str,
) -> Result<Seen, Fault> {
    let Some(instance) = cx.find(view, target)? else {
        return Ok(Seen::pending("not shown"));
    };
    let shown = list_of(&instance.document, "AssociatedRoles")
        .iter()
        .find(|role| {
            str_of(role, "RoleArn") == Some(role_arn)
                && str_of(role, "FeatureName").unwrap_or_default() == feature
        });
    match shown.and_then(|role| str_of(role, "Status")) {
        Some("ACTIVE") if instance.is_ready() => Ok(Seen::done("ACTIVE")),
        Some("INVALID") => Ok(Seen::stuck(
            format!("role {role_arn} is INVALID"),
            "mend the role's trust policy, then resume",
        )),
        Some(other) => Ok(Seen::pending(other.to_owned())),
        None if instance.is_ready() => Ok(Seen::absent("not attached")),
        None => Ok(Seen::pending(instance.status().to_owned())),
    }
}
