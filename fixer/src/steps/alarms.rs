//! CloudWatch alarms after the cutover. They name an identifier, so that they go on by themselves once it is given to the new
//! side; that they do is looked at, and what is not as it was is said. Nothing here changes an alarm.

use std::collections::BTreeSet;

use atrest_model::plan::{AlarmOf, Migration};
use atrest_scanner::aws::Alarm;
use atrest_scanner::error::AwsErrorKind;
use serde_json::{Value, json};

use super::{Cx, Seen, left_to_do};
use crate::fault::Fault;

/// Looks at the alarms. What cannot be read is not proven, and no reason to stop a migration that is over.
pub(super) async fn observe(cx: &Cx<'_>, planned: &[AlarmOf]) -> Result<Seen, Fault> {
    let found = match cx.aws.alarms(&cx.migration.region).await {
        Ok(found) => found,
        Err(error) if error.kind == AwsErrorKind::AccessDenied => {
            let names: BTreeSet<&str> = planned.iter().map(|one| one.alarm.as_str()).collect();
            let names: Vec<&str> = names.into_iter().collect();
            return Ok(Seen::Done {
                detail: format!("not proven: {error}"),
                result: json!({"proven": false, "left_to_do": [left_to_do(
                    "alarms",
                    &cx.migration.id,
                    format!("whether these alarms go on is not proven, they cannot be read: {}", names.join(", ")),
                    "look at their state in CloudWatch",
                )]}),
            });
        }
        Err(error) => return Err(Fault::Aws(error)),
    };
    let left: Vec<Value> = told(cx.migration, planned, &found)
        .into_iter()
        .map(|(what, todo)| left_to_do("alarms", &cx.migration.id, what, todo))
        .collect();
    let detail = match left.len() {
        0 => format!("{} go on, all OK", planned.len()),
        more => format!("{more} of {} need a look", planned.len()),
    };
    Ok(Seen::Done {
        detail,
        result: json!({"proven": true, "left_to_do": left}),
    })
}

/// What somebody has to look at: an alarm that is gone or names something else, one that is not OK, and one that was made
/// meanwhile for a name of the run.
fn told(
    migration: &Migration,
    planned: &[AlarmOf],
    found: &[Alarm],
) -> Vec<(String, &'static str)> {
    let mut told = Vec::new();
    for one in planned {
        let name = &one.alarm;
        let now = found
            .iter()
            .find(|alarm| alarm.name == *name && alarm.is_of(&one.dimension, &one.identifier));
        match now {
            None => told.push((
                format!(
                    "alarm {name} no longer names {} {}",
                    one.dimension, one.identifier
                ),
                "somebody deleted or changed it during the run; make it again if it is wanted",
            )),
            Some(alarm) if alarm.state != "OK" => told.push((
                format!("alarm {name} of {} is {}", one.identifier, alarm.state),
                "a new instance has no data of the time before; if it is not OK after its evaluation periods, look at what it watches",
            )),
            Some(_) => {}
        }
    }
    let interim = |alarm: &&Alarm| {
        let of = |dimension: &str, names: [&str; 2]| {
            names.iter().any(|name| alarm.is_of(dimension, name))
        };
        migration.members().any(|member| {
            of(
                "DBInstanceIdentifier",
                [member.old_name.as_str(), member.new_name.as_str()],
            )
        }) || migration.cluster.as_ref().is_some_and(|cluster| {
            of(
                "DBClusterIdentifier",
                [cluster.old_name.as_str(), cluster.new_name.as_str()],
            )
        })
    };
    for alarm in found.iter().filter(interim) {
        told.push((
            format!(
                "alarm {} names {}, a name of the run",
                alarm.name, alarm.identifier
            ),
            "something made it during the run; delete it, or let it name the real name",
        ));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(name: &str, identifier: &str, state: &str) -> Alarm {
        Alarm {
            name: name.to_owned(),
            dimension: "DBInstanceIdentifier".to_owned(),
            identifier: identifier.to_owned(),
            state: state.to_owned(),
            acts: true,
        }
    }

    #[test]
    fn what_is_gone_not_ok_or_made_for_an_interim_name_is_told() {
        let migration: Migration = serde_json::from_value(json!({
            "id": "eu-central-1/x", "region": "eu-central-1", "method": "cold", "engine": "mariadb",
            "allocated_storage": 20, "kms_key_id": "k", "replicas": [], "notes": [], "steps": [],
            "source": {"identifier": "x", "old_name": "old-x", "new_name": "new-x", "dbi_resource_id": "db-X",
                "replicates_from": null, "digest": "", "made_by": "restore"},
        }))
        .unwrap();
        let planned = ["cpu", "lag", "space"].map(|name| AlarmOf {
            alarm: name.to_owned(),
            dimension: "DBInstanceIdentifier".to_owned(),
            identifier: "x".to_owned(),
        });
        let found = [
            alarm("cpu", "x", "OK"),
            alarm("lag", "x", "INSUFFICIENT_DATA"),
            alarm("space", "y", "OK"),
            alarm("made", "old-x", "OK"),
            alarm("other", "z", "ALARM"),
        ];
        let told: Vec<String> = told(&migration, &planned, &found)
            .into_iter()
            .map(|(what, _)| what)
            .collect();
        assert_eq!(
            told,
            [
                "alarm lag of x is INSUFFICIENT_DATA",
                "alarm space no longer names DBInstanceIdentifier x",
                "alarm made names old-x, a name of the run"
            ]
        );
    }
}
