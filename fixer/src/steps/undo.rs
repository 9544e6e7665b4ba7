//! Steps of a rollback and of a cleanup. What deletes looks at everything it was told to expect, in the view the call is
//! made from: the resource id, the name, the tags, the encryption. See docs/design/0004-rollback-and-cleanup.md.

use std::collections::{BTreeMap, BTreeSet};

use atrest_model::Tool;
use atrest_model::diff::{Area, DiffClass, DiffReport, PairDiff, SCHEMA_VERSION};
use atrest_model::document::str_of;
use atrest_model::instance::{DbInstance, tags_of};
use atrest_model::plan::{DataCheck, Method, Sides, Step, TAG_CLAIM, TAG_RUN, Target};
use atrest_scanner::compare::{self, Pair};
use serde_json::{Value, json};

use super::aws::{Replication, replication};
use super::{Cx, Seen, cluster_undo, sql};
use crate::clock;
use crate::fault::{self, Fault};
use crate::observatory::RegionView;

pub(super) const AGAIN: &str =
    "look at it in the RDS console; the same command goes on when it is mended";

/// Whether all of these tags are shown.
pub(super) fn bears(shown: &BTreeMap<&str, &str>, tags: &[(String, String)]) -> bool {
    tags.iter()
        .all(|(key, value)| shown.get(key.as_str()) == Some(&value.as_str()))
}

/// The run that tags name, if it is another one than wanted.
pub(super) fn foreign_run<'a>(
    shown: &BTreeMap<&str, &'a str>,
    wanted: &[(String, String)],
) -> Option<&'a str> {
    let ours = wanted.iter().find(|(key, _)| key == TAG_RUN)?;
    let run = shown.get(TAG_RUN).copied()?;
    (run != ours.1).then_some(run)
}

/// An instance is deleted when its resource id is not shown any more, in several looks.
pub(super) fn delete(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
    name: &str,
    tags: &[(String, String)],
    encrypted: bool,
) -> Result<Seen, Fault> {
    let id = cx.id(target)?;
    let Some(instance) = view.by_resource_id(id) else {
        return Ok(Seen::done("gone"));
    };
    let status = instance.status();
    let state = format!("{} is {status}", instance.identifier());
    if matches!(status, "deleting" | "delete-precheck" | "deleted") {
        return Ok(Seen::pending(state));
    }
    if instance.encryption().is_encrypted() != Some(encrypted) {
        let wanted = if encrypted {
            "encrypted"
        } else {
            "unencrypted"
        };
        return Ok(Seen::stuck(
            format!(
                "{} is {}, not {wanted}: it is not what was to be deleted",
                instance.identifier(),
                instance.encryption().as_str()
            ),
            AGAIN,
        ));
    }
    if let Some(run) = foreign_run(&instance.tags(), tags) {
        return Ok(Seen::stuck(
            format!("{} belongs to run {run}", instance.identifier()),
            "finish that run first",
        ));
    }
    // Both may be a matter of a late answer; the deadline ends it. RDS draws the end of a green one's name.
    let is_green = cx.migration.method == Method::BlueGreen
        && instance
            .identifier()
            .strip_prefix(name)
            .is_some_and(|drawn| drawn.starts_with('-'));
    if instance.identifier() != name && !is_green {
        return Ok(Seen::pending(format!("{state}, not called {name}")));
    }
    if !bears(&instance.tags(), tags) {
        return Ok(Seen::pending(format!("{state}, its tags are not shown")));
    }
    Ok(Seen::absent(state))
}

/// A snapshot is deleted when no manual snapshot has its name.
pub(super) fn delete_snapshot(
    cx: &Cx<'_>,
    view: &RegionView,
    name: &str,
    of: &Target,
    tags: &[(String, String)],
) -> Result<Seen, Fault> {
    let source = cx.id(of)?;
    let Ok(found) = view.snapshot(name) else {
        return Ok(Seen::pending("snapshots were not read"));
    };
    let Some(document) = found else {
        return Ok(Seen::done("gone"));
    };
    let status = str_of(document, "Status").unwrap_or("unknown");
    if status == "deleting" {
        return Ok(Seen::pending(status.to_owned()));
    }
    if str_of(document, "DbiResourceId") != Some(source) {
        return Ok(Seen::stuck(
            format!("snapshot {name} is not of {source}"),
            AGAIN,
        ));
    }
    let shown = tags_of(document);
    if let Some(run) = foreign_run(&shown, tags) {
        return Ok(Seen::stuck(
            format!("snapshot {name} belongs to run {run}"),
            "finish that run first",
        ));
    }
    if !bears(&shown, tags) {
        return Ok(Seen::pending(format!("{status}, its tags are not shown")));
    }
    Ok(Seen::absent(status.to_owned()))
}

/// Automated backups of a deleted instance that somebody had retained.
pub(super) async fn automated_backup(cx: &Cx<'_>, id: &str) -> Result<Seen, Fault> {
    let found = cx.rds.automated_backups_of(id).await.map_err(Fault::Aws)?;
    let mut statuses = found.items.iter().filter_map(|b| str_of(b, "Status"));
    Ok(match statuses.next() {
        None => Seen::done("none is left"),
        Some("retained") => Seen::absent("retained"),
        // That of a living instance goes with it.
        Some(other) => Seen::pending(other.to_owned()),
    })
}

/// A claim is off when its tags are not shown. One of another run or folder is not ours to take off.
pub(super) fn release(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
    keys: &[String],
) -> Result<Seen, Fault> {
    let Some(instance) = cx.find(view, target)? else {
        return Ok(Seen::pending("not shown"));
    };
    let shown = instance.tags();
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

/// Every old instance has its real name, and replicates from where it did.
pub(super) fn returned(cx: &Cx<'_>, view: &RegionView) -> Result<Seen, Fault> {
    if let Some(planned) = &cx.migration.cluster
        && let Some(seen) = cluster_undo::returned(view, planned)
    {
        return Ok(seen);
    }
    for member in cx.migration.members() {
        let name = member.identifier.as_str();
        let Some(instance) = view.by_resource_id(&member.dbi_resource_id) else {
            return Ok(Seen::pending(format!("{name} is not shown")));
        };
        let state = format!("{} is {}", instance.identifier(), instance.status());
        if fault::has_ended(instance) {
            return Ok(Seen::stuck(state, AGAIN));
        }
        if instance.identifier() != name || !instance.is_ready() {
            return Ok(Seen::pending(state));
        }
        let Some(source) = &member.replicates_from else {
            continue;
        };
        if instance.replica_source() != Some(source.as_str()) {
            return Ok(Seen::pending(format!(
                "{name} is not shown as a replica of {source}"
            )));
        }
        match replication(instance) {
            Replication::Runs => {}
            Replication::Starting => {
                return Ok(Seen::pending(format!(
                    "{name}: replication not reported yet"
                )));
            }
            Replication::Broken(why) if why == "terminated" => {
                return Ok(Seen::stuck(
                    format!("replication of {name} is {why}"),
                    AGAIN,
                ));
            }
            // Its source has just moved: the replica finds it again by itself, or the deadline ends the wait.
            Replication::Broken(why) => {
                return Ok(Seen::pending(format!("replication of {name} is {why}")));
            }
        }
    }
    Ok(Seen::done("the real names are back"))
}

/// No client may be connected to an old instance.
pub(super) async fn unused(
    cx: &Cx<'_>,
    view: &RegionView,
    targets: &[Target],
) -> Result<Seen, Fault> {
    let mut proven = true;
    for target in targets {
        let Some(instance) = cx.find(view, target)? else {
            return Ok(Seen::pending("not shown"));
        };
        if instance.status() == "stopped" {
            continue;
        }
        if !instance.is_ready() {
            return Ok(Seen::pending(format!(
                "{} is {}",
                instance.identifier(),
                instance.status()
            )));
        }
        proven &= sql::is_asked(cx, instance);
        let clients = sql::clients(cx, view, target).await?;
        if !clients.is_empty() {
            let names: Vec<String> = clients.into_values().collect();
            return Ok(Seen::stuck(
                format!(
                    "still connected to {}: {}",
                    instance.identifier(),
                    names.join(", ")
                ),
                "find out who still uses the old instance; when nobody does, the same command goes on",
            ));
        }
    }
    let detail = if proven {
        "no client is connected"
    } else {
        "not proven: the server is not asked"
    };
    Ok(Seen::Done {
        detail: detail.to_owned(),
        result: json!({"proven": proven}),
    })
}

/// The new side holds what the old side holds, and nobody is connected who could change that.
pub(super) async fn unwritten(
    cx: &Cx<'_>,
    step: &Step,
    view: &RegionView,
    pairs: &[Sides],
    after: Option<&str>,
    loss_accepted: bool,
) -> Result<Seen, Fault> {
    if loss_accepted {
        return Ok(Seen::Done {
            detail: "not proven: the operator gives up what was written since the cutover"
                .to_owned(),
            result: json!({"proven": false}),
        });
    }
    let mut found: Vec<(&Sides, &DbInstance, &DbInstance)> = Vec::new();
    for sides in pairs {
        let (Some(old), Some(new)) = (cx.find(view, &sides.old)?, cx.find(view, &sides.new)?)
        else {
            return Ok(Seen::pending(format!("{} is not shown", sides.name)));
        };
        if let Some(busy) = [old, new].into_iter().find(|side| !side.is_ready()) {
            return Ok(Seen::pending(format!(
                "{} is {}",
                busy.identifier(),
                busy.status()
            )));
        }
        if !sql::is_asked(cx, new) {
            return Ok(Seen::stuck(
                format!("whether {} was written to cannot be asked", sides.name),
                "a rollback that gives up what was written needs --accept-data-loss",
            ));
        }
        found.push((sides, old, new));
    }
    if let Some(seen) = connected(cx, view, pairs, after.is_some()).await? {
        return Ok(seen);
    }
    // Read before the comparison: what is written meanwhile shows in a later reading.
    let mut log = serde_json::Map::new();
    for sides in pairs {
        let state = sql::log_state(cx, view, &sides.new).await;
        log.insert(sides.name.clone(), state.unwrap_or(Value::Null));
    }
    if let Some(earlier) = after
        && still_holds(cx, earlier, &log)
    {
        return Ok(Seen::Done {
            detail: "nothing was logged since the comparison".to_owned(),
            result: json!({"proven": true, "log": log}),
        });
    }
    let (mut old_names, mut new_names) = compare::names_of(cx.migration);
    // RDS numbers the old side of a switchover: the plan has the first number.
    for (sides, old, new) in &found {
        old_names.insert(old.identifier().to_owned(), sides.name.clone());
        new_names.insert(new.identifier().to_owned(), sides.name.clone());
    }
    let mut compared = Vec::new();
    for (sides, old, new) in found {
        let pair = Pair {
            name: &sides.name,
            old,
            new,
            old_names: &old_names,
            new_names: &new_names,
        };
        let check = DataCheck::Checksums;
        compared.push(compare::pair(cx.rds, &pair, cx.mysql, &cx.plan.mysql, check).await);
    }
    if let Some(seen) = connected(cx, view, pairs, after.is_some()).await? {
        return Ok(seen);
    }
    let report = DiffReport {
        schema_version: SCHEMA_VERSION,
        tool: Tool::current(),
        created: clock::now(),
        pairs: compared,
    };
    if let Some(unread) = unread(&report) {
        return Ok(Seen::pending(unread));
    }
    let name = format!("{}-{}.json", step.id, cx.migration.id).replace('/', "-");
    let text = serde_json::to_string_pretty(&report).map_err(|e| Fault::Store(e.to_string()))?;
    let path = cx
        .store
        .get()
        .write_report(&name, &text)
        .map_err(|e| Fault::Store(e.to_string()))?;
    let written = written(&report);
    if !written.is_empty() {
        return Ok(Seen::stuck(
            format!("written since the cutover: {}", told(&written)),
            hint_of_written(cx, after.is_some()),
        ));
    }
    let tables: u64 = report.pairs.iter().map(|pair| pair.compared.tables).sum();
    let rows: u64 = report.pairs.iter().map(|pair| pair.compared.rows).sum();
    Ok(Seen::Done {
        detail: format!(
            "{rows} rows of {tables} tables are those of the old side{}",
            since_cutover(cx, &log)
        ),
        result: json!({"proven": true, "report": path, "tables": tables, "rows": rows, "log": log}),
    })
}

/// Who is connected to a new side; replicas and threads of the server are no clients.
async fn connected(
    cx: &Cx<'_>,
    view: &RegionView,
    pairs: &[Sides],
    renamed: bool,
) -> Result<Option<Seen>, Fault> {
    for sides in pairs {
        let clients = sql::clients(cx, view, &sides.new).await?;
        if !clients.is_empty() {
            let names: Vec<String> = clients.into_values().collect();
            return Ok(Some(Seen::stuck(
                format!(
                    "connected to the new {}: {}; what they write would be lost",
                    sides.name,
                    names.join(", ")
                ),
                if renamed {
                    hint_of_written(cx, true)
                } else {
                    "stop the services that use it, then give the same command again".to_owned()
                },
            )));
        }
    }
    Ok(None)
}

/// What to do when the new side was written to.
fn hint_of_written(cx: &Cx<'_>, renamed: bool) -> String {
    let name = &cx.migration.source.identifier;
    if !renamed {
        return format!(
            "nothing was changed; bring the rows over to the old side, or give them up with --accept-data-loss {name}"
        );
    }
    // The one moment at which nothing has the real name.
    let renames: Vec<String> = cx
        .migration
        .members()
        .map(|member| {
            format!(
                "aws rds modify-db-instance --db-instance-identifier {} --new-db-instance-identifier {} --apply-immediately --region {}",
                member.new_name, member.identifier, cx.migration.region
            )
        })
        .collect();
    format!(
        "nothing has the real names now. To keep what was written, give the new side its names: {}. To give it up, start the rollback with --accept-data-loss {name}",
        renames.join("; ")
    )
}

/// Whether every log is the one of an earlier proof. Only sets of transactions can tell: a restart moves a position.
fn still_holds(cx: &Cx<'_>, earlier: &str, log: &serde_json::Map<String, Value>) -> bool {
    let before = cx
        .records
        .get(earlier)
        .and_then(|record| record.result.get("log"));
    let set = |of: Option<&Value>, name: &str| -> Option<String> {
        let set = of?.get(name)?.get("gtid_set")?.as_str()?;
        (!set.is_empty()).then(|| set.to_owned())
    };
    let now = Value::Object(log.clone());
    !log.is_empty()
        && log.keys().all(|name| {
            let now = set(Some(&now), name);
            now.is_some() && now == set(before, name)
        })
}

/// What the logs say of the time since the cutover, for people: the proof is in the rows.
fn since_cutover(cx: &Cx<'_>, log: &serde_json::Map<String, Value>) -> String {
    let noted = |name: &str| -> Option<&Value> {
        let record = cx.records.get(&format!("rename-new:{name}"))?;
        record.result.get("noted")?.get("log")
    };
    let moved = log.iter().filter_map(|(name, now)| {
        let then = noted(name)?;
        let set = |of: &Value| {
            of.get("gtid_set")
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        Some(match (set(then), set(now)) {
            (Some(then), Some(now)) if then == now => {
                format!("{name} has logged nothing since the cutover")
            }
            (Some(then), Some(now)) => format!("{name} has logged {then} to {now} since"),
            _ => format!("the log of {name} has no transaction ids to compare"),
        })
    });
    let moved: Vec<String> = moved.collect();
    if moved.is_empty() {
        String::new()
    } else {
        format!("; {}", moved.join(", "))
    }
}

/// The first part that was asked for and not read: no proof.
fn unread(report: &DiffReport) -> Option<String> {
    report.pairs.iter().find_map(|pair| {
        let not = pair.incomplete()?;
        Some(format!(
            "{}: {} not read yet: {}",
            pair.name,
            not.area.as_str(),
            not.reason
        ))
    })
}

/// Tables, definitions and accounts that differ. Attributes may be changed without losing anything.
fn written(report: &DiffReport) -> Vec<String> {
    report.pairs.iter().flat_map(written_in).collect()
}

fn written_in(pair: &PairDiff) -> Vec<String> {
    let paths = |area: Area| {
        pair.differences
            .iter()
            .filter(move |d| d.area == area && d.class == DiffClass::Drift)
            .map(|d| d.path.as_str())
    };
    let tables: BTreeSet<&str> = paths(Area::Data)
        .filter_map(|path| {
            path.strip_suffix(" rows")
                .or_else(|| path.strip_suffix(" checksum"))
        })
        .collect();
    // The rows of a table are listed by their keys too; those are for the report, not for every log.
    let is_of_table = |path: &&str| {
        tables.iter().any(|table| {
            path.strip_prefix(table)
                .is_some_and(|rest| rest.starts_with(' '))
        })
    };
    let others = paths(Area::Data).filter(|path| !is_of_table(path));
    tables
        .iter()
        .copied()
        .chain(others)
        .chain(paths(Area::Account))
        .map(|what| format!("{what} of {}", pair.name))
        .collect()
}

/// The first few, and how many there are.
fn told(written: &[String]) -> String {
    const FEW: usize = 10;
    let first: Vec<&str> = written.iter().take(FEW).map(String::as_str).collect();
    match written.len().saturating_sub(FEW) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
