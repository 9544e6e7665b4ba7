//! The successor follows the source: the channel is told, watched until everything is applied, and ended.

use std::sync::PoisonError;

use atrest_model::plan::Target;
use atrest_scanner::access;
use atrest_scanner::mysql::{self, BinlogPosition, ReplicationStatus, binary_logs, write_mark};
use serde_json::json;

use super::channel::{self, State};
use super::{asked, is_cut_over, is_successor, ready};
use crate::clock;
use crate::fault::Fault;
use crate::observatory::RegionView;
use crate::steps::{Cx, Seen, sql};

/// Both ends of the channel as they are now.
pub(super) struct Ends {
    pub(super) channels: Vec<ReplicationStatus>,
    pub(super) host: String,
    pub(super) port: u16,
    /// End of the source's log, read before the channel.
    pub(super) end: Option<BinlogPosition>,
    pub(super) logs: Vec<BinlogPosition>,
}

pub(super) async fn ends(
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

pub(in crate::steps) async fn replicate(
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

pub(in crate::steps) async fn tell(
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
pub(in crate::steps) async fn catch_up(
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
pub(in crate::steps) async fn final_position(
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

pub(in crate::steps) async fn detached(
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

pub(in crate::steps) async fn detach(
    cx: &Cx<'_>,
    view: &RegionView,
    replica: &Target,
) -> Result<(), Fault> {
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
