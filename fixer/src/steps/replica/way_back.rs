//! The way back after the cutover: where it begins, and for how long the old instance follows.

use atrest_model::plan::Target;
use atrest_scanner::access;
use atrest_scanner::mysql::{self, gtid_at};
use serde_json::json;

use super::channel::State;
use super::follow::ends;
use super::{asked, is_cut_over};
use crate::clock;
use crate::fault::Fault;
use crate::observatory::RegionView;
use crate::steps::{Cx, Seen};

/// Where the log of the successor ends before anybody can write to it.
pub(in crate::steps) async fn mark_end(
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
pub(in crate::steps) async fn keep_way_back(
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
