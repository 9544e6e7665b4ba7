//! The temporary replica: made, held at a position, compared with what is restored from its snapshot, removed.

use atrest_model::Tool;
use atrest_model::diff::{Area, DiffReport, SCHEMA_VERSION};
use atrest_model::instance::{DbInstance, Encryption};
use atrest_model::plan::{Action, DataCheck, Step, Target};
use atrest_scanner::access;
use atrest_scanner::compare::{self, Pair};
use atrest_scanner::mysql::{self, gtid_at};
use serde_json::json;

use super::{asked, channel, made_by, ready};
use crate::calls;
use crate::clock;
use crate::fault::{self, Fault};
use crate::observatory::RegionView;
use crate::steps::{Cx, Seen, aws, multi_az};

/// The temporary replica, while it is there.
fn temporary<'v>(cx: &Cx<'_>, view: &'v RegionView, target: &Target) -> Option<&'v DbInstance> {
    let known = cx.find(view, target).ok().flatten();
    let found = known.or_else(|| match target {
        Target::MadeBy(step) => made_by(cx, view, step),
        Target::Old(_) => None,
    });
    found.filter(|instance| instance.status() != "deleting")
}

/// Whether what the temporary replica was for is there already.
fn is_restored(cx: &Cx<'_>, view: &RegionView) -> bool {
    made_by(cx, view, &cx.migration.source.made_by).is_some()
}

fn gone() -> Seen {
    Seen::done("the temporary replica has served its purpose and is gone")
}

/// The temporary replica: ready and replicating, or stopped on purpose.
pub(in crate::steps) fn temporary_replica(
    cx: &Cx<'_>,
    view: &RegionView,
    step: &Step,
    name: &str,
    source: &Target,
) -> Result<Seen, Fault> {
    let target = Target::MadeBy(step.id.clone());
    let Some(instance) = temporary(cx, view, &target) else {
        if is_restored(cx, view) {
            return Ok(gone());
        }
        return aws::not_made(cx, view, name, Some(source));
    };
    let state = format!("{} is {}", instance.identifier(), instance.status());
    if instance.identifier() != name {
        return Ok(Seen::stuck(
            format!(
                "what this step made is called {}, not {name}",
                instance.identifier()
            ),
            format!("somebody renamed it; call it {name} again, then resume"),
        ));
    }
    if fault::has_ended(instance) {
        return Ok(Seen::stuck(state, format!("delete {name}, then resume")));
    }
    if !instance.is_ready() || instance.endpoint().is_none() {
        return Ok(Seen::pending(state));
    }
    match aws::replication(instance) {
        aws::Replication::Runs => {}
        // Held by the next step, in a sitting that does not know of it.
        aws::Replication::Broken(why) if why == "stopped" => {}
        aws::Replication::Starting => {
            return Ok(Seen::pending(format!(
                "{state}, replication not reported yet"
            )));
        }
        aws::Replication::Broken(why) => {
            return Ok(Seen::stuck(
                format!("replication of {name} is {why}"),
                format!("delete {name}, then resume"),
            ));
        }
    }
    Ok(Seen::Done {
        detail: state,
        result: json!({"dbi_resource_id": instance.dbi_resource_id()}),
    })
}

pub(in crate::steps) async fn hold(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
    source: &Target,
) -> Result<Seen, Fault> {
    let Some(instance) = temporary(cx, view, target) else {
        return Ok(if is_restored(cx, view) {
            gone()
        } else {
            Seen::pending("not shown")
        });
    };
    let (source, auth) = match asked(cx, view, source)? {
        Ok(found) => found,
        Err(seen) => return Ok(seen),
    };
    let mut connection = access::open(instance, auth).await?;
    let channels = mysql::replication_status(&mut connection).await;
    connection.close().await;
    let channels = channels?;
    let Some(channel) = channels.first() else {
        return Ok(Seen::stuck(
            format!("{} replicates from nowhere", instance.identifier()),
            format!("delete {}, then resume", instance.identifier()),
        ));
    };
    if let Some((code, text)) = &channel.sql_error {
        return Ok(Seen::stuck(
            format!(
                "replication of {} stopped with error {code}: {text}",
                instance.identifier()
            ),
            "the source does not replicate cleanly; the cold method does not need that",
        ));
    }
    if channel.sql_running || channel.io_running != "No" {
        return Ok(Seen::absent("it replicates"));
    }
    let Some(applied) = &channel.applied else {
        return Ok(Seen::pending("it stands, and does not say where yet"));
    };
    let mut connection = access::open(source, auth).await?;
    let is_mariadb = connection.version().is_mariadb();
    let gtid = gtid_at(&mut connection, applied).await;
    connection.close().await;
    let gtid = gtid?;
    if is_mariadb && gtid.is_none() {
        return Ok(Seen::stuck(
            format!(
                "{} does not know the GTID at {}:{}",
                source.identifier(),
                applied.file,
                applied.position
            ),
            "its binary log may be purged already: give this run up and make a new one",
        ));
    }
    Ok(Seen::Done {
        detail: format!("stands at {}:{}", applied.file, applied.position),
        result: json!({"file": applied.file, "position": applied.position, "gtid": gtid}),
    })
}

pub(in crate::steps) async fn stop_replica(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
) -> Result<(), Fault> {
    let (instance, auth) = ready(cx, view, target)?;
    let mut connection = access::open(instance, auth).await?;
    let stopped = channel::call(&mut connection, "rds_stop_replication").await;
    connection.close().await;
    stopped
}

/// Rows of the temporary replica and of the successor, both at the held position.
pub(in crate::steps) async fn compare_rows(
    cx: &Cx<'_>,
    view: &RegionView,
    old: &Target,
    new: &Target,
) -> Result<Seen, Fault> {
    if cx.plan.data_check == DataCheck::None {
        return Ok(Seen::done("not asked for"));
    }
    let Some(old) = temporary(cx, view, old) else {
        // It is removed only after the comparison.
        return Ok(gone());
    };
    let (new, _) = match asked(cx, view, new)? {
        Ok(found) => found,
        Err(seen) => return Ok(seen),
    };
    let (old_names, new_names) = compare::names_of(cx.migration);
    let pair = Pair {
        name: cx.migration.source.identifier.as_str(),
        old,
        new,
        old_names: &old_names,
        new_names: &new_names,
    };
    let mut diff = compare::pair(cx.rds, &pair, cx.mysql, &cx.plan.mysql, cx.plan.data_check).await;
    diff.differences.retain(|found| found.area == Area::Data);
    diff.not_compared.retain(|not| not.area == Area::Data);
    if let Some(not) = diff.incomplete() {
        return Ok(Seen::pending(format!(
            "rows are not read yet: {}",
            not.reason
        )));
    }
    let rows = diff.compared.rows;
    let report = DiffReport {
        schema_version: SCHEMA_VERSION,
        tool: Tool::current(),
        created: clock::now(),
        pairs: vec![diff],
    };
    let name = format!("rows-{}.json", cx.migration.id.replace('/', "-"));
    let text = serde_json::to_string_pretty(&report).map_err(|e| Fault::Store(e.to_string()))?;
    let path = cx
        .store
        .get()
        .write_report(&name, &text)
        .map_err(|e| Fault::Store(e.to_string()))?;
    let drift = report.drift();
    if drift > 0 {
        return Ok(Seen::Drift { drift });
    }
    Ok(Seen::Done {
        detail: format!("no difference in {rows} rows at the held position"),
        result: json!({"report": path, "rows": rows}),
    })
}

pub(in crate::steps) fn removed(cx: &Cx<'_>, view: &RegionView, target: &Target) -> Seen {
    let shown = cx
        .find(view, target)
        .ok()
        .flatten()
        .or_else(|| match target {
            Target::MadeBy(step) => made_by(cx, view, step),
            Target::Old(_) => None,
        });
    match shown {
        None => Seen::done("gone"),
        Some(instance) if instance.status() == "deleting" => Seen::pending("deleting"),
        Some(instance) if !instance.is_ready() => Seen::pending(instance.status().to_owned()),
        Some(instance) => Seen::absent(format!("{} is still there", instance.identifier())),
    }
}

/// Deletes the temporary replica or instance, and nothing else: it must bear the tags of the step that made it.
pub(in crate::steps) async fn remove(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
) -> Result<(), Fault> {
    let ours = match target {
        Target::MadeBy(step) => made_by(cx, view, step),
        Target::Old(_) => None,
    };
    let Some(instance) = ours.filter(|instance| {
        instance.encryption() == Encryption::None
            && (instance.replica_source().is_some() || multi_az::is_temporary(cx, instance))
    }) else {
        return Err(Fault::Plan(
            "what is to be deleted is not the temporary instance of this run".to_owned(),
        ));
    };
    calls::delete_temporary(cx.rds, instance.identifier()).await
}

/// The `DbiResourceId` that a snapshot of a target bears, as far as it is known.
pub(in crate::steps) fn snapshot_source<'t>(cx: &'t Cx<'_>) -> Option<&'t str> {
    let target = cx
        .migration
        .steps
        .iter()
        .find_map(|step| match &step.action {
            Action::Snapshot { instance, .. } => Some(instance),
            _ => None,
        })?;
    cx.id(target).ok()
}
