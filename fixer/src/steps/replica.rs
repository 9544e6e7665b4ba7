//! Steps of the replica method (docs/design/0007-replica-method.md): they look at two servers and act through RDS's
//! procedures. Doing one twice is harmless.
//!
//! None of the steps before the cutover touches a successor that has its real name already: a run folder that was lost
//! and taken up again must not point production back at the old instance.

mod channel;
mod forecast;

use std::sync::PoisonError;

use atrest_model::Tool;
use atrest_model::account::quote_literal;
use atrest_model::diff::{Area, DiffReport, SCHEMA_VERSION};
use atrest_model::instance::{DbInstance, Encryption};
use atrest_model::plan::{
    DataCheck, REPLICATION_USER_PREFIX, Step, TAG_RUN, TAG_SOURCE, TAG_STEP, Target,
};
use atrest_scanner::access::{self, MysqlAuth};
use atrest_scanner::compare::{self, Pair};
use atrest_scanner::mysql::{
    self, BinlogPosition, Connection, ReplicationStatus, binary_logs, gtid_at,
    replication_account_exists, show_configuration, write_mark,
};
use serde_json::{Value, json};

use self::channel::State;
pub(crate) use self::forecast::Forecast;
use super::{Cx, Seen, aws, sql};
use crate::accounts;
use crate::calls;
use crate::clock;
use crate::fault::{self, Fault};
use crate::observatory::RegionView;

/// The configuration value that the method raises.
const RETENTION: &str = "binlog retention hours";

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

// ------------------------------------------------------------------------------------------------ the source

async fn retention_of(connection: &mut Connection) -> Result<Option<Option<u32>>, Fault> {
    let shown = show_configuration(connection).await?;
    Ok(shown.map(|values| {
        let value = values.get(RETENTION).cloned().flatten();
        value.and_then(|text| text.parse().ok())
    }))
}

pub(super) async fn retention(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
    hours: u32,
) -> Result<Seen, Fault> {
    if is_cut_over(cx, view) {
        return Ok(Seen::done("the cutover is over"));
    }
    let (instance, auth) = match asked(cx, view, target)? {
        Ok(found) => found,
        Err(seen) => return Ok(seen),
    };
    let mut connection = access::open(instance, auth).await?;
    let shown = retention_of(&mut connection).await;
    connection.close().await;
    Ok(match shown? {
        None => Seen::stuck(
            "there is no mysql.rds_show_configuration, or the login may not call it",
            "log in as the master user, or plan the cold method",
        ),
        Some(Some(kept)) if kept >= hours => Seen::done(format!("{kept} h")),
        Some(Some(kept)) => Seen::absent(format!("{kept} h of {hours} h")),
        Some(None) => Seen::absent(format!("not set; {hours} h are needed")),
    })
}

/// The value before it is raised, which goes into the journal with the intent.
pub(super) async fn note_retention(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
) -> Result<Value, Fault> {
    let (instance, auth) = ready(cx, view, target)?;
    let mut connection = access::open(instance, auth).await?;
    let shown = retention_of(&mut connection).await;
    connection.close().await;
    Ok(json!({"before": shown?.flatten()}))
}

pub(super) async fn set_retention(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
    hours: Option<u32>,
) -> Result<(), Fault> {
    let (instance, auth) = ready(cx, view, target)?;
    let mut connection = access::open(instance, auth).await?;
    let value = hours.map(|hours| hours.to_string());
    let set = accounts::set_configuration(&mut connection, RETENTION, value.as_deref()).await;
    connection.close().await;
    set.map_err(Fault::from)
}

/// What `retention` noted: the value before; nothing when it was enough as it was.
fn noted_retention(cx: &Cx<'_>, raised_by: &str) -> Option<Option<u32>> {
    let record = cx.records.get(raised_by)?;
    let before = record.result.get("noted")?.get("before")?;
    Some(before.as_u64().and_then(|hours| u32::try_from(hours).ok()))
}

pub(super) async fn restored_retention(
    cx: &Cx<'_>,
    view: &RegionView,
    targets: &[Target],
    raised_by: &str,
) -> Result<Seen, Fault> {
    let Some(before) = noted_retention(cx, raised_by) else {
        return Ok(Seen::done("it was not raised"));
    };
    for target in targets {
        let (instance, auth) = match asked(cx, view, target)? {
            Ok(found) => found,
            Err(seen) => return Ok(seen),
        };
        let mut connection = access::open(instance, auth).await?;
        let shown = retention_of(&mut connection).await;
        connection.close().await;
        if shown? != Some(before) {
            return Ok(Seen::absent(format!(
                "{} still keeps binary logs as for the migration",
                instance.identifier()
            )));
        }
    }
    Ok(Seen::done(before.map_or_else(
        || "not set, as before".to_owned(),
        |hours| format!("{hours} h, as before"),
    )))
}

pub(super) async fn restore_retention(
    cx: &Cx<'_>,
    view: &RegionView,
    targets: &[Target],
    raised_by: &str,
) -> Result<(), Fault> {
    let Some(before) = noted_retention(cx, raised_by) else {
        return Ok(());
    };
    for target in targets {
        set_retention(cx, view, target, before).await?;
    }
    Ok(())
}

pub(super) async fn account(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
    account: &str,
) -> Result<Seen, Fault> {
    if is_cut_over(cx, view) {
        return Ok(Seen::done("the cutover is over"));
    }
    let (instance, auth) = match asked(cx, view, target)? {
        Ok(found) => found,
        Err(seen) => return Ok(seen),
    };
    let mut connection = access::open(instance, auth).await?;
    let exists = replication_account_exists(&mut connection, account).await;
    connection.close().await;
    Ok(if exists? {
        Seen::done(format!("{account} may read the binary log"))
    } else {
        Seen::absent(format!("no {account}"))
    })
}

fn user(account: &str) -> String {
    format!(
        "{}@'%'",
        String::from_utf8_lossy(&quote_literal(account.as_bytes()))
    )
}

/// Makes the account. Nobody knows its password: the channel is given another.
pub(super) async fn create_account(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
    account: &str,
) -> Result<(), Fault> {
    let (instance, auth) = ready(cx, view, target)?;
    let mut connection = access::open(instance, auth).await?;
    let made = async {
        let password = channel::Password::make();
        let create = format!(
            "CREATE USER IF NOT EXISTS {} IDENTIFIED BY {} REQUIRE SSL",
            user(account),
            password.literal()
        );
        connection
            .execute(create.as_bytes())
            .await
            .map_err(|error| {
                channel::unquoted("CREATE USER for the replication account", &error)
            })?;
        let grant = format!("GRANT REPLICATION SLAVE ON *.* TO {}", user(account));
        connection.execute(grant.as_bytes()).await?;
        Ok(())
    }
    .await;
    connection.close().await;
    made
}

pub(super) async fn no_account(
    cx: &Cx<'_>,
    view: &RegionView,
    targets: &[Target],
    account: &str,
) -> Result<Seen, Fault> {
    for target in targets {
        let (instance, auth) = match asked(cx, view, target)? {
            Ok(found) => found,
            Err(seen) => return Ok(seen),
        };
        let mut connection = access::open(instance, auth).await?;
        let exists = replication_account_exists(&mut connection, account).await;
        connection.close().await;
        if exists? {
            return Ok(Seen::absent(format!(
                "{account} is still on {}",
                instance.identifier()
            )));
        }
    }
    Ok(Seen::done("gone on both"))
}

pub(super) async fn drop_account(
    cx: &Cx<'_>,
    view: &RegionView,
    targets: &[Target],
    account: &str,
) -> Result<(), Fault> {
    if !account.starts_with(REPLICATION_USER_PREFIX) {
        return Err(Fault::Plan(format!("{account} is not an account of a run")));
    }
    for target in targets {
        let (instance, auth) = ready(cx, view, target)?;
        let mut connection = access::open(instance, auth).await?;
        let statement = format!("DROP USER IF EXISTS {}", user(account));
        let dropped = connection.execute(statement.as_bytes()).await;
        connection.close().await;
        dropped?;
    }
    Ok(())
}

// ------------------------------------------------------------------------------------- the temporary replica

/// The temporary replica: ready and replicating, or stopped on purpose.
pub(super) fn temporary_replica(
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

pub(super) async fn hold(
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

pub(super) async fn stop_replica(
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
pub(super) async fn compare_rows(
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

pub(super) fn removed(cx: &Cx<'_>, view: &RegionView, target: &Target) -> Seen {
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

/// Deletes the temporary replica, and nothing else: it must bear the tags of the step that made it.
pub(super) async fn remove(cx: &Cx<'_>, view: &RegionView, target: &Target) -> Result<(), Fault> {
    let ours = match target {
        Target::MadeBy(step) => made_by(cx, view, step),
        Target::Old(_) => None,
    };
    let Some(instance) = ours.filter(|instance| {
        instance.encryption() == Encryption::None && instance.replica_source().is_some()
    }) else {
        return Err(Fault::Plan(
            "what is to be deleted is not the temporary replica of this run".to_owned(),
        ));
    };
    calls::delete_replica(cx.rds, instance.identifier()).await
}

// -------------------------------------------------------------------------------------------------- the channel

/// Both ends of the channel as they are now.
struct Ends {
    channels: Vec<ReplicationStatus>,
    host: String,
    port: u16,
    /// End of the source's log, read before the channel.
    end: Option<BinlogPosition>,
    logs: Vec<BinlogPosition>,
}

async fn ends(
    cx: &Cx<'_>,
    view: &RegionView,
    source: &Target,
    replica: &Target,
) -> Result<Result<Ends, Seen>, Fault> {
    let (source, auth) = match asked(cx, view, source)? {
        Ok(found) => found,
        Err(seen) => return Ok(Err(seen)),
    };
    let (replica, _) = match asked(cx, view, replica)? {
        Ok(found) => found,
        Err(seen) => return Ok(Err(seen)),
    };
    let Some((host, port)) = source.endpoint() else {
        return Ok(Err(Seen::pending("no endpoint")));
    };
    let mut of_replica = access::open(replica, auth).await?;
    let mut of_source = access::open(source, auth).await?;
    let read = async {
        let end = mysql::binlog_position(&mut of_source).await?;
        let logs = binary_logs(&mut of_source).await?;
        let channels = mysql::replication_status(&mut of_replica).await?;
        Ok(Ends {
            channels,
            host: host.to_owned(),
            port,
            end,
            logs,
        })
    }
    .await;
    futures::join!(of_source.close(), of_replica.close());
    read.map(Ok)
}

pub(super) async fn replicate(
    cx: &Cx<'_>,
    view: &RegionView,
    source: &Target,
    replica: &Target,
) -> Result<Seen, Fault> {
    if is_successor(replica) && is_cut_over(cx, view) {
        return Ok(Seen::done("the cutover is over"));
    }
    let ends = match ends(cx, view, source, replica).await? {
        Ok(ends) => ends,
        Err(seen) => return Ok(seen),
    };
    Ok(match State::of(&ends.channels, &ends.host, ends.port) {
        State::Runs => Seen::done(format!("replicates from {}", ends.host)),
        State::Connecting(why) => Seen::pending(why),
        State::Broken { reason, hint } => Seen::stuck(reason, hint),
        State::Elsewhere(why) => Seen::absent(why),
        State::Stopped => Seen::absent("replication is stopped"),
    })
}

pub(super) async fn tell(
    cx: &Cx<'_>,
    view: &RegionView,
    source: &Target,
    replica: &Target,
    account: &str,
    held_by: Option<&str>,
) -> Result<(), Fault> {
    if is_successor(replica) && is_cut_over(cx, view) {
        return Err(Fault::Plan("the cutover is over".to_owned()));
    }
    let (at, auth) = ready(cx, view, source)?;
    let (new, _) = ready(cx, view, replica)?;
    let held = held_by.and_then(|step| cx.records.get(step));
    let mut of_source = access::open(at, auth).await?;
    let mut of_replica = access::open(new, auth).await?;
    let told = channel::tell(
        (&mut of_source, at),
        (&mut of_replica, new),
        account,
        held.map(|record| &record.result),
    )
    .await;
    futures::join!(of_source.close(), of_replica.close());
    told
}

/// What has been written when a look begins is applied when it ends.
pub(super) async fn catch_up(
    cx: &Cx<'_>,
    view: &RegionView,
    source: &Target,
    replica: &Target,
) -> Result<Seen, Fault> {
    if is_successor(replica) && is_cut_over(cx, view) {
        return Ok(Seen::done("the cutover is over"));
    }
    let ends = match ends(cx, view, source, replica).await? {
        Ok(ends) => ends,
        Err(seen) => return Ok(seen),
    };
    Ok(level(cx, &ends))
}

/// Whether the end of the source's log is applied.
fn level(cx: &Cx<'_>, ends: &Ends) -> Seen {
    if let Some(seen) = State::of(&ends.channels, &ends.host, ends.port).unless_runs() {
        return seen;
    }
    let applied = channel::of_source(&ends.channels, &ends.host, ends.port)
        .and_then(|channel| channel.applied.as_ref());
    let (Some(end), Some(applied)) = (&ends.end, applied) else {
        return Seen::pending("no position to compare yet");
    };
    if applied.order() >= end.order() {
        return Seen::Done {
            detail: format!("applied up to {}:{}", end.file, end.position),
            result: json!({
                "source": {"file": end.file, "position": end.position},
                "applied": {"file": applied.file, "position": applied.position},
            }),
        };
    }
    let mut forecast = cx.forecast.lock().unwrap_or_else(PoisonError::into_inner);
    Seen::pending(forecast.after(clock::instant(), &ends.logs, applied, end))
}

/// Nobody writes to the source any more, and all it has written is applied.
pub(super) async fn final_position(
    cx: &Cx<'_>,
    view: &RegionView,
    source: &Target,
    replica: &Target,
) -> Result<Seen, Fault> {
    if is_successor(replica) && is_cut_over(cx, view) {
        return Ok(Seen::done("the cutover is over"));
    }
    let (instance, auth) = match asked(cx, view, source)? {
        Ok(found) => found,
        Err(seen) => return Ok(seen),
    };
    // Before the end of the log is read: what is written after the mark, the cutover finds and refuses to leave behind.
    let mut connection = access::open(instance, auth).await?;
    let mark = write_mark(&mut connection).await;
    connection.close().await;
    let mark = mark?;
    let before = sql::clients(cx, view, source).await?;
    let ends = match ends(cx, view, source, replica).await? {
        Ok(ends) => ends,
        Err(seen) => return Ok(seen),
    };
    let mut seen = level(cx, &ends);
    if let Seen::Done { result, .. } = &mut seen
        && let Some(members) = result.as_object_mut()
    {
        members.insert("mark".to_owned(), json!(mark));
    }
    // Seen twice: not a connection of ours that is just being closed.
    let after = sql::clients(cx, view, source).await?;
    if let Some(client) = before
        .iter()
        .find_map(|(id, name)| after.contains_key(id).then_some(name))
    {
        return Ok(Seen::stuck(
            format!("{client} is connected to the server that has just lost its name"),
            "end it and see to it that it uses the real name only, then go on; what it wrote is replicated",
        ));
    }
    Ok(seen)
}

pub(super) async fn detached(
    cx: &Cx<'_>,
    view: &RegionView,
    replica: &Target,
) -> Result<Seen, Fault> {
    let (instance, auth) = match asked(cx, view, replica)? {
        Ok(found) => found,
        Err(seen) => return Ok(seen),
    };
    let mut connection = access::open(instance, auth).await?;
    let channels = mysql::replication_status(&mut connection).await;
    connection.close().await;
    Ok(match channels?.first() {
        None => Seen::done("replicates from nowhere"),
        Some(channel) => Seen::absent(format!("replicates from {}", channel.source_host)),
    })
}

pub(super) async fn detach(cx: &Cx<'_>, view: &RegionView, replica: &Target) -> Result<(), Fault> {
    let (instance, auth) = ready(cx, view, replica)?;
    let mut connection = access::open(instance, auth).await?;
    let done = async {
        channel::call(&mut connection, "rds_stop_replication").await?;
        channel::reset(&mut connection, instance).await
    }
    .await;
    connection.close().await;
    done
}

/// Where the log of the successor ends before anybody can write to it.
pub(super) async fn mark_end(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
) -> Result<Seen, Fault> {
    if is_cut_over(cx, view) {
        return Ok(Seen::stuck(
            "the successor has its real name, and where its log ended before is not known",
            "there is no way back that loses nothing; make a new plan without --way-back, or go on by hand",
        ));
    }
    let (instance, auth) = match asked(cx, view, target)? {
        Ok(found) => found,
        Err(seen) => return Ok(seen),
    };
    let mut connection = access::open(instance, auth).await?;
    let read = async {
        let end = mysql::binlog_position(&mut connection).await?;
        let gtid = match &end {
            Some(end) => gtid_at(&mut connection, end).await?,
            None => None,
        };
        Ok::<_, Fault>((end, gtid))
    }
    .await;
    connection.close().await;
    let (end, gtid) = read?;
    Ok(match end {
        None => Seen::stuck(
            format!("{} writes no binary log", instance.identifier()),
            "switch automated backups on, then resume",
        ),
        Some(end) => Seen::Done {
            detail: format!("its log ends at {}:{}", end.file, end.position),
            result: json!({"file": end.file, "position": end.position, "gtid": gtid}),
        },
    })
}

/// The old instance follows its successor for some hours after the cutover.
pub(super) async fn keep_way_back(
    cx: &Cx<'_>,
    view: &RegionView,
    source: &Target,
    replica: &Target,
    hours: u32,
) -> Result<Seen, Fault> {
    // The cutover is over when the last member was seen under its real name.
    let since = cx
        .migration
        .steps
        .iter()
        .filter(|step| step.action.is_cutover());
    let since = since
        .filter_map(|step| Some(cx.records.get(&step.id)?.changed_at))
        .max();
    let until = since.and_then(|at| {
        at.checked_add(jiff::SignedDuration::from_hours(i64::from(hours)))
            .ok()
    });
    let Some(until) = until else {
        return Err(Fault::Plan("the cutover is not recorded".to_owned()));
    };
    let ends = match ends(cx, view, source, replica).await? {
        Ok(ends) => ends,
        Err(seen) => return Ok(seen),
    };
    if let Some(seen) = State::of(&ends.channels, &ends.host, ends.port).unless_runs() {
        return Ok(seen);
    }
    Ok(if clock::now() >= until {
        Seen::done("the time for the way back is over")
    } else {
        Seen::pending(format!(
            "the old instance follows; a rollback loses nothing until {until:.0}"
        ))
    })
}

/// The `DbiResourceId` that a snapshot of a target bears, as far as it is known.
pub(super) fn snapshot_source<'t>(cx: &'t Cx<'_>) -> Option<&'t str> {
    use atrest_model::plan::Action;
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
