//! The state the instances are in, and what RDS would do by itself while the run is under way.

use atrest_model::document::{int_of, list_of, str_of};
use jiff::Timestamp;

use super::windows::minutes_until;
use super::{Finding, Sheet};

pub(super) fn check(sheet: &mut Sheet<'_>) {
    let scene = sheet.scene;
    sheet.each("status", "every DB instance is available", |_, instance| {
        if instance.is_ready() {
            Vec::new()
        } else {
            vec![Finding::blocks(format!(
                "it is {}, not available",
                instance.status()
            ))]
        }
    });
    sheet.each("pending-modifications", "nothing is pending", |_, instance| {
        if !instance.has_pending_modifications() {
            return Vec::new();
        }
        let pending: Vec<&str> = instance
            .document
            .get("PendingModifiedValues")
            .and_then(|pending| pending.as_object())
            .into_iter()
            .flat_map(|pending| pending.keys().map(String::as_str))
            .collect();
        vec![Finding::blocks(format!(
            "it has pending modifications ({}), which the next call would apply; apply or revert them first",
            pending.join(", ")
        ))]
    });
    sheet.each(
        "groups-in-sync",
        "parameter and option groups are in sync",
        |_, instance| {
            let parameters = list_of(&instance.document, "DBParameterGroups")
                .iter()
                .filter_map(|group| {
                    Some((
                        str_of(group, "DBParameterGroupName")?,
                        str_of(group, "ParameterApplyStatus")?,
                    ))
                });
            let options = list_of(&instance.document, "OptionGroupMemberships")
                .iter()
                .filter_map(|group| {
                    Some((str_of(group, "OptionGroupName")?, str_of(group, "Status")?))
                });
            parameters
                .chain(options)
                .filter_map(|(name, status)| match status {
                    "in-sync" => None,
                    "failed-to-apply" | "failed" => Some(Finding::blocks(format!(
                        "group {name} is {status}; correct the group first"
                    ))),
                    other => Some(Finding::warns(format!(
                        "group {name} is {other}: the new instance begins with values that this one does not have yet"
                    ))),
                })
                .collect()
        },
    );
    let has_replicas = scene.members.len() > 1;
    sheet.each(
        "backups-on",
        "automated backups are on where replicas are made",
        |member, instance| {
            // A source in the middle of a chain is one too.
            let is_source = scene
                .members
                .iter()
                .any(|(other, _)| other.replicates_from.as_ref() == Some(&member.identifier));
            let off = int_of(&instance.document, "BackupRetentionPeriod") == Some(0);
            if has_replicas && is_source && off {
                vec![Finding::blocks(
                    "it has replicas but no automated backups, which a source of replicas needs",
                )]
            } else {
                Vec::new()
            }
        },
    );
    // As long as the steps may take that move data.
    let horizon = scene
        .migration
        .steps
        .iter()
        .find(|step| {
            matches!(
                step.id.as_str(),
                "restore" | "restore-cluster" | "blue-green"
            )
        })
        .map_or(0, |step| {
            i64::try_from(step.deadline_seconds / 60).unwrap_or(i64::MAX)
        });
    pending_maintenance(sheet, horizon);
    windows(sheet, horizon);
}

fn pending_maintenance(sheet: &mut Sheet<'_>, horizon: i64) {
    let scene = sheet.scene;
    let now = scene.around.now;
    let actions = match &scene.region.maintenance {
        Ok(actions) => actions,
        Err(why) => {
            let finding = Finding::not_proven(format!("pending maintenance is not known: {why}"));
            sheet.add("pending-maintenance", "", vec![finding]);
            return;
        }
    };
    sheet.each(
        "pending-maintenance",
        "no maintenance is pending",
        |_, instance| {
            actions
                .iter()
                .filter(|action| str_of(action, "ResourceIdentifier") == Some(instance.arn()))
                .flat_map(|action| list_of(action, "PendingMaintenanceActionDetails"))
                .map(|action| {
                    let name = str_of(action, "Action").unwrap_or("maintenance");
                    let due = ["CurrentApplyDate", "ForcedApplyDate", "AutoAppliedAfterDate"]
                        .iter()
                        .filter_map(|member| str_of(action, member))
                        .filter_map(|text| text.parse::<Timestamp>().ok())
                        .min();
                    let minutes = due.map(|due| due.duration_since(now).as_mins());
                    match minutes {
                        Some(minutes) if minutes <= 0 => Finding::blocks(format!(
                            "{name} is due or under way; let it end first"
                        )),
                        Some(minutes) if minutes <= horizon => Finding::warns(format!(
                            "{name} is due in {minutes} minutes, which the run may need; apply it first, or wait"
                        )),
                        _ => Finding::warns(format!(
                            "{name} is pending; the old instance keeps it, the new one may come with it done"
                        )),
                    }
                })
                .collect()
        },
    );
}

fn windows(sheet: &mut Sheet<'_>, horizon: i64) {
    let now = sheet.scene.around.now;
    for (id, member, passes, what) in [
        (
            "maintenance-window",
            "PreferredMaintenanceWindow",
            "no maintenance window opens before the run must be over",
            "what is pending then begins by itself",
        ),
        (
            "backup-window",
            "PreferredBackupWindow",
            "no backup window opens before the run must be over",
            "steps wait while a backup runs",
        ),
    ] {
        sheet.each(id, passes, |_, instance| {
            let Some(window) = str_of(&instance.document, member) else {
                return Vec::new();
            };
            let backups = int_of(&instance.document, "BackupRetentionPeriod") != Some(0);
            if id == "backup-window" && !backups {
                return Vec::new();
            }
            match minutes_until(window, now) {
                Some(0) => vec![Finding::warns(format!("its window {window} (UTC) is open now: {what}"))],
                Some(minutes) if minutes <= horizon => vec![Finding::warns(format!(
                    "its window {window} (UTC) opens in {minutes} minutes, and the run may take {horizon}: {what}"
                ))],
                Some(_) => Vec::new(),
                None => vec![Finding::not_proven(format!(
                    "its window {window:?} could not be read"
                ))],
            }
        });
    }
}
