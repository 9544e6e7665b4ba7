//! The replica method: the encrypted instance replicates from the source while clients go on. MySQL and MariaDB.

use atrest_model::document::{int_of, str_of};
use atrest_model::id::DbInstanceIdentifier;
use atrest_model::instance::DbInstance;
use atrest_model::plan::{Action, Migration, MysqlAccess, REPLICATION_USER_PREFIX, Step, Target};

use super::Facts;
use super::draft::{Draft, SHORT, short_hash};
use crate::requests;

/// Step that makes the temporary replica.
const TEMPORARY: &str = "temporary-replica";
/// The longest RDS keeps binary logs, in hours.
const LONGEST_RETENTION: u64 = 168;

/// Seconds that nobody may be connected after the rename, at most.
const LONGEST_WINDOW: u64 = 2;

/// Hours from the held position to the cutover that are counted on: an hour, and three copies of the data at 200 GiB an
/// hour each.
fn forecast_hours(gib: i64) -> u64 {
    1 + (u64::try_from(gib).unwrap_or(0) * 3).div_ceil(200)
}

/// Binlog retention that is asked for: twice the forecast and a day for the operator to choose the hour of the cutover.
fn retention_hours(gib: i64) -> u32 {
    let hours = (24 + 2 * forecast_hours(gib)).min(LONGEST_RETENTION);
    u32::try_from(hours).unwrap_or(u32::MAX)
}

/// Name of the temporary replica.
fn temporary_name(source: &DbInstance) -> Result<DbInstanceIdentifier, String> {
    DbInstanceIdentifier::try_from(format!("tmp-{}", source.identifier())).map_err(|error| {
        format!("the temporary replica would need a name that RDS refuses: {error}")
    })
}

/// Why a source cannot be migrated so.
pub(super) fn why_not(facts: &Facts, members: &[&DbInstance]) -> Vec<String> {
    let Some(source) = members.first() else {
        return Vec::new();
    };
    if !source.is_mysql_family() {
        return vec![format!("{} is neither MySQL nor MariaDB", source.engine())];
    }
    let mut reasons = Vec::new();
    if let MysqlAccess::Off { reason } = &facts.mysql {
        reasons.push(format!("its server is not asked: {reason}"));
    }
    if source.document.get("MasterUserSecret").is_some() {
        reasons.push(
            "RDS manages its master password, and makes no replica of such a source".to_owned(),
        );
    }
    let version = str_of(&source.document, "EngineVersion").unwrap_or_default();
    let number = |part: usize| -> u32 {
        let digits = version.split('.').nth(part);
        digits.and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    let lowest = if source.engine() == "mariadb" {
        (10, 2)
    } else {
        (5, 7)
    };
    if (number(0), number(1)) < lowest {
        reasons.push(format!(
            "it is {} {version}; {}.{} or later is needed",
            source.engine(),
            lowest.0,
            lowest.1
        ));
    }
    if int_of(&source.document, "BackupRetentionPeriod").unwrap_or(0) == 0 {
        reasons.push("it has no automated backups, so RDS writes no binary log".to_owned());
    }
    let gib = int_of(&source.document, "AllocatedStorage").unwrap_or(0);
    let forecast = forecast_hours(gib);
    if forecast > LONGEST_RETENTION {
        reasons.push(format!(
            "{gib} GiB may take {forecast} h until the cutover, and RDS keeps binary logs for {LONGEST_RETENTION} h at most"
        ));
    }
    match temporary_name(source) {
        Err(why) => reasons.push(why),
        Ok(name) => {
            let taken = facts
                .instances
                .iter()
                .any(|other| other.region == source.region && other.identifier() == name.as_str());
            if taken {
                reasons.push(format!(
                    "the name {name} is taken; it is needed for a temporary replica"
                ));
            }
        }
    }
    if facts.mysql == MysqlAccess::Required {
        match facts.methods.replication.get(source.dbi_resource_id()) {
            None => reasons.push("its server was not asked".to_owned()),
            Some(Err(why)) => reasons.push(format!("its server could not be asked: {why}")),
            Some(Ok(server)) => reasons.extend(server.why_not()),
        }
    }
    reasons
}

/// The steps of docs/design/0007-replica-method.md.
pub(super) fn steps(facts: &Facts, migration: &Migration, members: &[&DbInstance]) -> Vec<Step> {
    let Some((instance, Ok(temporary_name))) = members
        .first()
        .map(|source| (*source, temporary_name(source)))
    else {
        return Vec::new();
    };
    let source = &migration.source;
    let old = Target::Old(source.dbi_resource_id.clone());
    let new = Target::MadeBy(source.made_by.clone());
    let temporary = Target::MadeBy(TEMPORARY.to_owned());
    let account = format!(
        "{REPLICATION_USER_PREFIX}{}",
        short_hash(&source.dbi_resource_id, 12)
    );
    let gib = migration.allocated_storage;
    let mut draft = Draft::new(facts, migration, members);
    let data = draft.data;

    let claims = draft.claims();
    let raise = Action::RaiseRetention {
        instance: old.clone(),
        hours: retention_hours(gib),
    };
    draft.push("retention", &claims, SHORT, raise);
    let create = Action::ReplicationAccount {
        instance: old.clone(),
        account: account.clone(),
    };
    draft.push("replication-account", &["retention"], SHORT, create);
    let replica = Action::TemporaryReplica {
        source: old.clone(),
        name: temporary_name,
        request: requests::temporary_replica(instance, &draft.tags(TEMPORARY)),
    };
    draft.push(TEMPORARY, &["replication-account"], data, replica);
    let hold = Action::Hold {
        instance: temporary.clone(),
        source: old.clone(),
    };
    draft.push("hold", &[TEMPORARY], SHORT, hold);
    draft.restored(temporary.clone(), &["hold"]);
    let compare = Action::CompareRows {
        old: temporary.clone(),
        new: new.clone(),
    };
    draft.push("compare-rows", &[draft.settled(source)], data, compare);
    let replicate = Action::Replicate {
        source: old.clone(),
        replica: new.clone(),
        held_by: Some("hold".to_owned()),
        account: account.clone(),
    };
    draft.push("replicate", &["compare-rows"], SHORT, replicate);
    let remove = Action::RemoveTemporary {
        instance: temporary,
    };
    draft.push("remove-temporary", &["compare-rows"], SHORT, remove);
    let catch_up = Action::CatchUp {
        source: old.clone(),
        replica: new.clone(),
    };
    draft.push("catch-up", &["replicate"], data, catch_up.clone());
    let mut ends = vec!["remove-temporary".to_owned(), "catch-up".to_owned()];
    for (member, instance) in migration.members().zip(members) {
        if let Some(parent) = &member.replicates_from {
            draft.replica(member, parent.as_str(), instance);
        }
        ends.extend(draft.inside(member, instance));
    }
    draft.manage_password(&mut ends);
    draft.push("validate", &ends, data, Action::Validate);

    // The cutover.
    // The operator may have waited for days, and the source has been alive.
    draft.push("validate-again", &["validate"], data, Action::Validate);
    draft.push("lag-gate", &["validate-again"], SHORT, catch_up);
    let renamed = draft.rename_old(&["lag-gate".to_owned()]);
    // What is written in spite of it is replicated up to the last position, and after that found by the rename: the window
    // is downtime here and proves little.
    let window = facts.quiesce.window_seconds.min(LONGEST_WINDOW);
    // No window for the old replicas: they still apply the last of the source, and without a binary log of their own nobody
    // can tell that from local writes. Who is connected to them is asked before the source's name is given away.
    let quiesce = Action::Quiesce {
        instance: old.clone(),
        window_seconds: window,
        kill_connections: facts.quiesce.kill_connections,
    };
    draft.push("quiesce", &renamed, SHORT, quiesce);
    let follow = Action::Replicate {
        source: old.clone(),
        replica: new.clone(),
        held_by: None,
        account: account.clone(),
    };
    draft.push("follow", &["quiesce"], SHORT, follow);
    let last = Action::FinalPosition {
        source: old.clone(),
        replica: new.clone(),
    };
    draft.push("final-position", &["follow"], SHORT, last);
    let detach = Action::Detach {
        replica: new.clone(),
    };
    draft.push("detach", &["final-position"], SHORT, detach);
    let way_back = facts.methods.way_back_hours;
    let last = match way_back {
        None => "detach",
        Some(_) => {
            let mark = Action::MarkEnd {
                instance: new.clone(),
            };
            draft.push("mark", &["detach"], SHORT, mark);
            "mark"
        }
    };
    let cutover = draft.rename_new(&["validate-again", last]);
    draft.push("rescan", &cutover, SHORT, Action::Rescan);
    let end = match way_back {
        None => "rescan",
        Some(hours) => {
            let follow = Action::Replicate {
                source: new.clone(),
                replica: old.clone(),
                held_by: Some("mark".to_owned()),
                account: account.clone(),
            };
            draft.push("way-back", &["rescan"], SHORT, follow);
            let keep = Action::KeepWayBack {
                source: new.clone(),
                replica: old.clone(),
                hours,
            };
            let deadline = u64::from(hours) * 3600 + SHORT;
            draft.push("keep-way-back", &["way-back"], deadline, keep);
            let detach = Action::Detach {
                replica: old.clone(),
            };
            draft.push("end-way-back", &["keep-way-back"], SHORT, detach);
            "end-way-back"
        }
    };

    // What the run has changed on the way is as it was.
    let both = vec![new, old];
    let remove = Action::RemoveAccount {
        instances: both.clone(),
        account,
    };
    draft.push("remove-account", &[end], SHORT, remove);
    let restore = Action::RestoreRetention {
        instances: both,
        raised_by: "retention".to_owned(),
    };
    draft.push("restore-retention", &[end], SHORT, restore);
    draft.dependents();
    draft.steps
}

#[cfg(test)]
mod tests {
    use atrest_model::plan::Method;
    use serde_json::json;

    use super::*;
    use crate::planner::Wish;
    use crate::planner::tests::{facts, instance};
    use crate::preflight::able_to_replicate;

    /// Refused before anything is begun: the log would be gone before the cutover.
    #[test]
    fn a_source_that_takes_longer_than_binary_logs_are_kept_is_refused() {
        let why = |gib: i64| {
            let mut facts = facts(vec![instance("x", json!({"AllocatedStorage": gib}))]);
            facts.methods.wish = Wish::Only(Method::Replica);
            facts.methods.replication.insert(
                facts.instances[0].dbi_resource_id().to_owned(),
                Ok(able_to_replicate()),
            );
            why_not(&facts, &[&facts.instances[0]])
        };
        // 167 hours at 200 GiB an hour for three copies, and one.
        assert_eq!(why(11_133), Vec::<String>::new());
        let refused = why(11_134);
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(
            refused[0].contains("may take 169 h") && refused[0].contains("168 h at most"),
            "{refused:?}"
        );
    }

    #[test]
    fn the_retention_asked_for_outlasts_the_forecast_and_is_what_rds_takes() {
        for gib in [5, 200, 1_000, 5_000] {
            let (forecast, retention) = (forecast_hours(gib), u64::from(retention_hours(gib)));
            assert!(
                retention > forecast,
                "{gib} GiB: {retention} h for {forecast} h"
            );
            assert!(retention <= LONGEST_RETENTION);
        }
        assert!(forecast_hours(65_536) > LONGEST_RETENTION);
    }
}
