//! Arguments that RDS refuses together. The requests of a plan are made so that none of these occurs; what a describe
//! answer forces on them is found here and not by the call.

use atrest_model::document::{bool_of, int_of, list_of, str_of};
use atrest_model::instance::DbInstance;
use atrest_model::plan::{Action, Step};
use serde_json::{Map, Value};

use super::{Finding, Sheet};
use crate::requests::striping_threshold;

pub(super) fn check(sheet: &mut Sheet<'_>) {
    let steps = &sheet.scene.migration.steps;
    sheet.each(
        "combinations",
        "no call has arguments that RDS refuses together",
        |member, instance| {
            steps
                .iter()
                .filter(|step| {
                    step.id == member.made_by || step.id == format!("modify:{}", member.identifier)
                })
                .flat_map(|step| {
                    refused(step, instance).into_iter().map(|why| {
                        Finding::blocks(format!("step {} would be refused: {why}", step.id))
                    })
                })
                .collect()
        },
    );
}

/// Why RDS would refuse the call of a step that makes or modifies the like of `instance`.
pub(super) fn refused(step: &Step, instance: &DbInstance) -> Vec<String> {
    let (request, is_replica, is_modify) = match &step.action {
        Action::Restore { request, .. } | Action::TemporaryInstance { request, .. } => {
            (request, false, false)
        }
        Action::CreateReplica { request, .. } | Action::TemporaryReplica { request, .. } => {
            (request, true, false)
        }
        Action::Modify { request, .. } => (request, false, true),
        _ => return Vec::new(),
    };
    let mut why = Vec::new();
    let document = Value::Object(request.clone());
    let has = |member: &str| request.contains_key(member);
    if !is_modify {
        storage(&document, instance, &mut why);
    } else {
        if request.is_empty() {
            why.push("it asks for nothing".to_owned());
        }
        if has("Iops") != has("AllocatedStorage") {
            why.push("size and IOPS are changed together or not at all".to_owned());
        }
    }
    if bool_of(&document, "MultiAZ") == Some(true) && has("AvailabilityZone") {
        why.push("a zone can't be named together with Multi-AZ".to_owned());
    }
    if is_replica {
        for member in ["DBSubnetGroupName", "DBParameterGroupName", "KmsKeyId"] {
            if has(member) {
                why.push(format!(
                    "{member} can't be given for a replica in its source's region"
                ));
            }
        }
    }
    for member in [
        "PromotionTier",
        "DBSecurityGroups",
        "StorageEncrypted",
        "DBName",
        "MasterUserSecret",
    ] {
        if has(member) {
            why.push(format!("{member} can't be given here"));
        }
    }
    monitoring(&document, &mut why);
    insights(&document, &mut why);
    limits(&document, request, instance, &mut why);
    why
}

fn storage(document: &Value, instance: &DbInstance, why: &mut Vec<String>) {
    let engine = instance.engine();
    let gib = int_of(document, "AllocatedStorage")
        .or_else(|| int_of(&instance.document, "AllocatedStorage"))
        .unwrap_or(0);
    let iops = int_of(document, "Iops");
    let throughput = int_of(document, "StorageThroughput");
    match str_of(document, "StorageType") {
        Some("gp3") if gib < striping_threshold(engine) => {
            if iops.is_some() || throughput.is_some() {
                why.push(format!(
                    "gp3 below {} GiB takes neither IOPS nor throughput",
                    striping_threshold(engine)
                ));
            }
        }
        Some("gp3") => {
            let (least, most) = if engine.starts_with("sqlserver") {
                ((3_000, 125), (16_000, 1_000))
            } else {
                ((12_000, 500), (64_000, 4_000))
            };
            if iops.is_some_and(|iops| iops < least.0 || iops > most.0 || iops > 500 * gib) {
                why.push(format!(
                    "gp3 of {gib} GiB takes {} to {} IOPS, and 500 a GiB at most",
                    least.0, most.0
                ));
            }
            if throughput.is_some_and(|mib| {
                mib < least.1 || mib > most.1 || mib * 4 > iops.unwrap_or(least.0)
            }) {
                why.push(format!(
                    "gp3 takes {} to {} MiB/s, and a quarter of its IOPS at most",
                    least.1, most.1
                ));
            }
        }
        Some(kind @ ("io1" | "io2")) => {
            let most = if kind == "io1" { 50 } else { 1_000 };
            match iops {
                None => why.push(format!(
                    "{kind} needs IOPS, and its describe answer has none"
                )),
                Some(iops) if iops * 2 < gib || iops > most * gib => why.push(format!(
                    "{kind} takes 0.5 to {most} IOPS a GiB, and {iops} on {gib} GiB are not"
                )),
                Some(_) => {}
            }
            if throughput.is_some() {
                why.push(format!("{kind} takes no throughput"));
            }
        }
        Some(kind @ ("gp2" | "standard")) if iops.is_some() || throughput.is_some() => {
            why.push(format!("{kind} takes neither IOPS nor throughput"));
        }
        Some(_) => {}
        None => why.push("no storage type is named, so it would become gp3".to_owned()),
    }
}

fn monitoring(document: &Value, why: &mut Vec<String>) {
    let interval = int_of(document, "MonitoringInterval").filter(|seconds| *seconds != 0);
    let role = str_of(document, "MonitoringRoleArn");
    if interval.is_some() != role.is_some() {
        why.push("a monitoring interval goes with a role, and the reverse".to_owned());
    }
    if interval.is_some_and(|seconds| ![1, 5, 10, 15, 30, 60].contains(&seconds)) {
        why.push("a monitoring interval is 1, 5, 10, 15, 30 or 60 seconds".to_owned());
    }
}

fn insights(document: &Value, why: &mut Vec<String>) {
    let on = bool_of(document, "EnablePerformanceInsights") == Some(true);
    let retention = int_of(document, "PerformanceInsightsRetentionPeriod");
    let key = str_of(document, "PerformanceInsightsKMSKeyId");
    if !on && (retention.is_some() || key.is_some()) {
        why.push("key and retention of Performance Insights go with switching it on".to_owned());
    }
    if retention.is_some_and(|days| {
        days != 7 && days != 731 && (days % 31 != 0 || !(1..=23).contains(&(days / 31)))
    }) {
        why.push(
            "Performance Insights keeps 7 days, a multiple of 31 up to 713, or 731".to_owned(),
        );
    }
    if str_of(document, "DatabaseInsightsMode") == Some("advanced")
        && (!on || retention.is_none_or(|days| days < 465))
    {
        why.push(
            "the advanced mode of Database Insights needs Performance Insights with 465 days in the same call"
                .to_owned(),
        );
    }
}

fn limits(
    document: &Value,
    request: &Map<String, Value>,
    instance: &DbInstance,
    why: &mut Vec<String>,
) {
    if int_of(document, "BackupRetentionPeriod").is_some_and(|days| !(0..=35).contains(&days)) {
        why.push("backups are kept for 0 to 35 days".to_owned());
    }
    let gib = int_of(&instance.document, "AllocatedStorage").unwrap_or(0);
    if let Some(most) = int_of(document, "MaxAllocatedStorage")
        && most * 10 < gib * 11
    {
        why.push(format!(
            "autoscaling up to {most} GiB is less than a tenth above the {gib} there are; raise MaxAllocatedStorage first, or switch autoscaling off"
        ));
    }
    let ips = list_of(document, "DomainDnsIps").len();
    if request.contains_key("DomainDnsIps") && ips != 2 {
        why.push(format!(
            "a self-managed domain has exactly two DNS servers, not {ips}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use atrest_model::id::DbInstanceIdentifier;
    use atrest_model::plan::Target;
    use serde_json::json;

    use super::*;
    use crate::requests;

    fn instance(changes: Value) -> DbInstance {
        let mut document = json!({
            "DBInstanceIdentifier": "x", "Engine": "mysql", "EngineVersion": "8.0.39", "DBInstanceClass": "db.m5.large",
            "StorageType": "gp2", "AllocatedStorage": 100, "BackupRetentionPeriod": 7, "MultiAZ": false,
            "AvailabilityZone": "eu-central-1a", "PreferredMaintenanceWindow": "sun:03:00-sun:03:30",
            "DBSubnetGroup": {"DBSubnetGroupName": "s"}, "DBParameterGroups": [{"DBParameterGroupName": "p"}],
            "KmsKeyId": "k", "PromotionTier": 1, "DBSecurityGroups": [], "StorageEncrypted": false, "DBName": "d",
        });
        for (member, value) in changes.as_object().unwrap() {
            document[member] = value.clone();
        }
        DbInstance {
            region: "eu-central-1".to_owned(),
            document,
        }
    }

    fn step(action: Action) -> Step {
        Step {
            id: "s".to_owned(),
            needs: Vec::new(),
            deadline_seconds: 1,
            action,
        }
    }

    fn name() -> DbInstanceIdentifier {
        DbInstanceIdentifier::try_from("new-x").unwrap()
    }

    fn restore(request: Map<String, Value>) -> Step {
        step(Action::Restore {
            snapshot: "snap".to_owned(),
            name: name(),
            request,
        })
    }

    fn replica(request: Map<String, Value>) -> Step {
        step(Action::CreateReplica {
            source: Target::MadeBy("restore".to_owned()),
            name: name(),
            request,
        })
    }

    fn modify(request: Map<String, Value>) -> Step {
        step(Action::Modify {
            instance: Target::MadeBy("restore".to_owned()),
            request,
        })
    }

    /// Every call that the planner makes for an instance.
    fn all(instance: &DbInstance) -> Vec<String> {
        let mut steps = vec![
            restore(requests::restore(instance, &[])),
            replica(requests::create_replica(instance, &[])),
        ];
        for request in [
            requests::modify_after_restore(instance),
            requests::modify_after_replica(instance),
        ] {
            // The planner makes no step of an empty request.
            if !request.is_empty() {
                steps.push(modify(request));
            }
        }
        steps
            .iter()
            .flat_map(|step| refused(step, instance))
            .collect()
    }

    /// The traps that the requests resolve: what Describe shows is not what the call takes.
    #[test]
    fn the_planners_requests_step_into_no_trap() {
        for (trap, changes) in [
            ("plain", json!({})),
            (
                "gp3 below the threshold shows IOPS and throughput",
                json!({"StorageType": "gp3", "Iops": 3000, "StorageThroughput": 125}),
            ),
            (
                "the same for Oracle",
                json!({"Engine": "oracle-ee", "StorageType": "gp3", "AllocatedStorage": 199, "Iops": 3000, "StorageThroughput": 125}),
            ),
            (
                "gp3 at the threshold",
                json!({"StorageType": "gp3", "AllocatedStorage": 400, "Iops": 12000, "StorageThroughput": 500}),
            ),
            (
                "gp3 grown over the threshold that still shows the old baseline",
                json!({"StorageType": "gp3", "AllocatedStorage": 400, "Iops": 3000, "StorageThroughput": 125}),
            ),
            (
                "gp3 of SQL Server",
                json!({"Engine": "sqlserver-se", "StorageType": "gp3", "AllocatedStorage": 20, "Iops": 3000, "StorageThroughput": 125}),
            ),
            ("io1", json!({"StorageType": "io1", "Iops": 3000})),
            ("io2", json!({"StorageType": "io2", "Iops": 90000})),
            ("gp2 that shows IOPS", json!({"Iops": 300})),
            ("a zone with Multi-AZ", json!({"MultiAZ": true})),
            (
                "monitoring off with a role",
                json!({"MonitoringInterval": 0, "MonitoringRoleArn": "arn:aws:iam::1:role/r"}),
            ),
            (
                "monitoring on",
                json!({"MonitoringInterval": 60, "MonitoringRoleArn": "arn:aws:iam::1:role/r"}),
            ),
            (
                "insights off with key and retention",
                json!({"PerformanceInsightsEnabled": false, "PerformanceInsightsKMSKeyId": "k", "PerformanceInsightsRetentionPeriod": 7}),
            ),
            (
                "insights advanced",
                json!({"PerformanceInsightsEnabled": true, "PerformanceInsightsRetentionPeriod": 465, "DatabaseInsightsMode": "advanced"}),
            ),
            (
                "no windows: nothing to modify",
                json!({"PreferredMaintenanceWindow": null}),
            ),
            ("no backups", json!({"BackupRetentionPeriod": 0})),
            ("autoscaling", json!({"MaxAllocatedStorage": 1000})),
        ] {
            assert_eq!(all(&instance(changes)), Vec::<String>::new(), "{trap}");
        }
    }

    /// The traps that no request can resolve: the describe answer itself cannot be said again.
    #[test]
    fn what_a_describe_answer_forces_is_found() {
        for (words, changes) in [
            ("needs IOPS", json!({"StorageType": "io1"})),
            (
                "0.5 to 50 IOPS a GiB",
                json!({"StorageType": "io1", "Iops": 6000}),
            ),
            ("less than a tenth", json!({"MaxAllocatedStorage": 100})),
            (
                "exactly two",
                json!({"DomainMemberships": [{"FQDN": "ad.example", "DnsIps": ["10.0.0.1"]}]}),
            ),
            (
                "keeps 7 days",
                json!({"PerformanceInsightsEnabled": true, "PerformanceInsightsRetentionPeriod": 30}),
            ),
            (
                "1, 5, 10",
                json!({"MonitoringInterval": 7, "MonitoringRoleArn": "r"}),
            ),
        ] {
            let found = all(&instance(changes));
            assert!(
                found.iter().any(|why| why.contains(words)),
                "{words}: {found:?}"
            );
        }
    }

    /// Every trap is noticed in a request that steps into it.
    #[test]
    fn each_trap_is_noticed() {
        let small = instance(json!({"StorageType": "gp3"}));
        let large = instance(json!({"StorageType": "gp3", "AllocatedStorage": 400}));
        let object = |value: Value| value.as_object().unwrap().clone();
        for (words, step, instance) in [
            (
                "neither IOPS",
                restore(object(json!({"StorageType": "gp3", "Iops": 3000}))),
                &small,
            ),
            (
                "neither IOPS",
                replica(object(
                    json!({"StorageType": "gp3", "StorageThroughput": 125}),
                )),
                &small,
            ),
            (
                "12000 to 64000",
                restore(object(json!({"StorageType": "gp3", "Iops": 3000}))),
                &large,
            ),
            (
                "a quarter",
                restore(object(
                    json!({"StorageType": "gp3", "Iops": 12000, "StorageThroughput": 4000}),
                )),
                &large,
            ),
            (
                "neither IOPS",
                restore(object(json!({"StorageType": "gp2", "Iops": 300}))),
                &small,
            ),
            (
                "no throughput",
                restore(object(
                    json!({"StorageType": "io1", "Iops": 3000, "StorageThroughput": 1}),
                )),
                &small,
            ),
            ("become gp3", restore(object(json!({}))), &small),
            (
                "Multi-AZ",
                restore(object(
                    json!({"StorageType": "gp3", "MultiAZ": true, "AvailabilityZone": "a"}),
                )),
                &small,
            ),
            (
                "DBSubnetGroupName",
                replica(object(
                    json!({"StorageType": "gp3", "DBSubnetGroupName": "s"}),
                )),
                &small,
            ),
            (
                "DBParameterGroupName",
                replica(object(
                    json!({"StorageType": "gp3", "DBParameterGroupName": "p"}),
                )),
                &small,
            ),
            (
                "KmsKeyId",
                replica(object(json!({"StorageType": "gp3", "KmsKeyId": "k"}))),
                &small,
            ),
            (
                "with a role",
                modify(object(json!({"MonitoringInterval": 60}))),
                &small,
            ),
            (
                "with a role",
                modify(object(json!({"MonitoringRoleArn": "r"}))),
                &small,
            ),
            ("asks for nothing", modify(Map::new()), &small),
            (
                "together or not at all",
                modify(object(json!({"Iops": 3000}))),
                &small,
            ),
            (
                "go with switching",
                modify(object(json!({"PerformanceInsightsKMSKeyId": "k"}))),
                &small,
            ),
            (
                "465 days",
                modify(object(
                    json!({"EnablePerformanceInsights": true, "PerformanceInsightsRetentionPeriod": 7, "DatabaseInsightsMode": "advanced"}),
                )),
                &small,
            ),
            (
                "PromotionTier",
                modify(object(json!({"PromotionTier": 1}))),
                &small,
            ),
            (
                "DBSecurityGroups",
                restore(object(
                    json!({"StorageType": "gp3", "DBSecurityGroups": []}),
                )),
                &small,
            ),
            (
                "0 to 35",
                modify(object(json!({"BackupRetentionPeriod": 36}))),
                &small,
            ),
        ] {
            let found = refused(&step, instance);
            assert!(
                found.iter().any(|why| why.contains(words)),
                "{words}: {found:?}"
            );
        }
    }

    #[test]
    fn a_replica_larger_than_its_source_is_asked_for_as_large_as_it_is() {
        let request = requests::create_replica(
            &instance(
                json!({"StorageType": "gp3", "AllocatedStorage": 400, "Iops": 12000, "StorageThroughput": 500}),
            ),
            &[],
        );
        assert_eq!(request["AllocatedStorage"], 400);
        let request = requests::create_replica(&instance(json!({"Engine": "sqlserver-se"})), &[]);
        assert!(!request.contains_key("AllocatedStorage"));
    }
}
