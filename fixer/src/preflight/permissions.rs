//! What the caller must be allowed to do. The list comes from the steps of the plan and nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use atrest_model::document::str_of;
use atrest_model::plan::{Action, Method, Migration, Plan, Step, Target};
use atrest_scanner::aws::{Decision, Question};
use serde_json::{Map, Value};

use super::{Around, Finding};

/// An action on a resource, with the condition keys that the call will carry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Need {
    pub(crate) action: String,
    pub(crate) resource: String,
    pub(crate) context: Vec<(String, String)>,
}

/// Builds ARNs of one region and account.
pub(crate) struct Place<'a> {
    pub(crate) partition: &'a str,
    pub(crate) region: &'a str,
    pub(crate) account: &'a str,
    /// Name of the run.
    pub(crate) run: &'a str,
}

/// Condition keys of the tag of a run: on what is there, and in the request that makes something or claims it.
pub(crate) const ON_RESOURCE: &str = "aws:ResourceTag/atrest:run";
pub(crate) const IN_REQUEST: &str = "aws:RequestTag/atrest:run";

/// The kind of an ARN of RDS: `db`, `snapshot`, `pg`, …
pub(crate) fn kind_of(arn: &str) -> Option<&str> {
    let mut parts = arn.split(':');
    (parts.nth(2) == Some("rds")).then(|| parts.nth(2))?
}

/// Nothing is changed that does not bear the tag of the run, and nothing made without it: the calls have these condition
/// keys. Groups are named and not changed; what else there is bears no tag of a run.
fn tell_tags(place: &Place<'_>, needs: &mut [Need]) {
    let tags = |need: &Need| need.action == "rds:AddTagsToResource";
    // The kind of what the step makes, or claims.
    let tagged = needs
        .iter()
        .find(|need| tags(need))
        .and_then(|need| kind_of(&need.resource))
        .map(str::to_owned);
    // RDS makes the green side of a deployment in the caller's name, with the tags of the blue one.
    let also: BTreeSet<String> = needs
        .iter()
        .filter(|need| tags(need))
        .map(|need| need.resource.clone())
        .collect();
    for need in needs {
        let kind = kind_of(&need.resource);
        if !matches!(
            kind,
            Some("db" | "snapshot" | "cluster" | "cluster-snapshot" | "deployment")
        ) {
            continue;
        }
        let is_made = kind == tagged.as_deref() || also.contains(&need.resource);
        let key = if is_made { IN_REQUEST } else { ON_RESOURCE };
        need.context.push((key.to_owned(), place.run.to_owned()));
    }
}

impl Place<'_> {
    fn arn(&self, kind: &str, name: &str) -> String {
        format!(
            "arn:{}:rds:{}:{}:{kind}:{name}",
            self.partition, self.region, self.account
        )
    }
}

/// Every question for IAM that the plan gives rise to: one an action, region and set of conditions, whatever the
/// number of instances.
#[must_use]
pub fn questions(plan: &Plan) -> Vec<Question> {
    let mut grouped = BTreeMap::<_, BTreeSet<String>>::new();
    for need in plan
        .migrations
        .iter()
        .flat_map(|migration| needs(plan, migration))
    {
        grouped
            .entry((need.action, need.context))
            .or_default()
            .insert(need.resource);
    }
    grouped
        .into_iter()
        .flat_map(|((action, context), resources)| {
            let resources: Vec<String> = resources.into_iter().collect();
            resources
                .chunks(50)
                .map(|resources| Question {
                    action: action.clone(),
                    resources: resources.to_vec(),
                    context: context.clone(),
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

fn needs(plan: &Plan, migration: &Migration) -> BTreeSet<Need> {
    let place = Place {
        partition: migration.kms_key_id.split(':').nth(1).unwrap_or("aws"),
        region: &migration.region,
        account: &plan.account,
        run: plan.run.as_str(),
    };
    migration
        .steps
        .iter()
        .flat_map(|step| step_needs(&place, migration, step))
        .collect()
}

/// What one step calls, and on what: the one place that says it, for the check of a plan and for the policies that
/// `atrest iam-policy` prints.
pub(crate) fn step_needs(place: &Place<'_>, migration: &Migration, step: &Step) -> Vec<Need> {
    let Some(operation) = step.action.operation() else {
        return Vec::new();
    };
    let operation = format!("rds:{operation}");
    let mut needs = Vec::new();
    let here = [("aws:RequestedRegion".to_owned(), place.region.to_owned())];
    let mut rds = |action: &str, kind: &str, name: &str| {
        needs.push(Need {
            action: action.to_owned(),
            resource: place.arn(kind, name),
            context: here.to_vec(),
        });
    };
    let name = |target| match migration.method {
        Method::BlueGreen => green_of(migration, target),
        _ => migration
            .name_of(target)
            .map(ToString::to_string)
            .unwrap_or_default(),
    };
    let tag = "rds:AddTagsToResource";
    let mut also = None;
    match &step.action {
        Action::Claim { instance, .. } => {
            // Before the first rename it still has its real name.
            let real = migration
                .members()
                .find(|member| *instance == Target::Old(member.dbi_resource_id.clone()));
            rds(
                &operation,
                "db",
                real.map_or("", |member| member.identifier.as_str()),
            );
        }
        Action::Rename { from, .. } => rds(&operation, "db", from.as_str()),
        Action::Quiesce { instance, .. }
        | Action::Settle { instance }
        | Action::ManagePassword { instance, .. } => rds(&operation, "db", &name(instance)),
        // The names of target groups are RDS's.
        Action::DeregisterProxyTarget { .. } | Action::RegisterProxyTarget { .. } => {
            rds(&operation, "target-group", "*");
        }
        Action::Subscription { subscription, .. } => rds(&operation, "es", subscription),
        // In the other region, about an instance of this one.
        Action::ReplicateBackups { .. } => {
            rds(&operation, "db", migration.source.identifier.as_str());
        }
        Action::Snapshot {
            instance,
            snapshot,
            tags,
        } => {
            rds(&operation, "db", &name(instance));
            rds(&operation, "snapshot", snapshot);
            if !tags.is_empty() {
                rds(tag, "snapshot", snapshot);
            }
        }
        Action::EncryptedCopy {
            source_snapshot,
            snapshot,
            kms_key_id,
            tags,
        } => {
            rds(&operation, "snapshot", source_snapshot);
            rds(&operation, "snapshot", snapshot);
            if !tags.is_empty() {
                rds(tag, "snapshot", snapshot);
            }
            also = Some(kms_key_id);
        }
        Action::Restore {
            snapshot,
            name,
            request,
        } => {
            rds(&operation, "snapshot", snapshot);
            rds(&operation, "db", name.as_str());
            groups(request, &mut |kind, group| rds(&operation, kind, group));
            if request.contains_key("Tags") {
                rds(tag, "db", name.as_str());
            }
        }
        Action::CreateReplica {
            source,
            name: new,
            request,
        } => {
            rds(&operation, "db", &name(source));
            rds(&operation, "db", new.as_str());
            groups(request, &mut |kind, group| rds(&operation, kind, group));
            if request.contains_key("Tags") {
                rds(tag, "db", new.as_str());
            }
        }
        Action::TemporaryReplica {
            name: new, request, ..
        } => {
            // The source has its real name until the cutover.
            rds(&operation, "db", migration.source.identifier.as_str());
            rds(&operation, "db", new.as_str());
            groups(request, &mut |kind, group| rds(&operation, kind, group));
            rds(tag, "db", new.as_str());
        }
        Action::RemoveTemporary { instance } => rds(&operation, "db", &name(instance)),
        Action::Modify { instance, request } => {
            rds(&operation, "db", &name(instance));
            groups(request, &mut |kind, group| rds(&operation, kind, group));
        }
        Action::AddRole { instance, .. } => rds(&operation, "db", &name(instance)),
        Action::ClaimCluster { .. } => {
            if let Some(cluster) = &migration.cluster {
                rds(&operation, "cluster", cluster.identifier.as_str());
            }
        }
        Action::RenameCluster { from, .. } => rds(&operation, "cluster", from.as_str()),
        Action::ClusterSnapshot { snapshot, .. } => {
            if let Some(cluster) = &migration.cluster {
                rds(&operation, "cluster", cluster.old_name.as_str());
            }
            rds(&operation, "cluster-snapshot", snapshot);
            rds(tag, "cluster-snapshot", snapshot);
        }
        Action::RestoreCluster {
            snapshot,
            name,
            request,
        } => {
            // By its ARN where it is of a DB instance.
            match snapshot.rsplit_once(":snapshot:") {
                Some((_, name)) => rds(&operation, "snapshot", name),
                None => rds(&operation, "cluster-snapshot", snapshot),
            }
            rds(&operation, "cluster", name.as_str());
            groups(request, &mut |kind, group| rds(&operation, kind, group));
            rds(tag, "cluster", name.as_str());
            also = Some(&migration.kms_key_id);
        }
        Action::ModifyCluster { .. } | Action::AddClusterRole { .. } | Action::EnableDataApi => {
            if let Some(cluster) = &migration.cluster {
                rds(&operation, "cluster", cluster.new_name.as_str());
            }
        }
        Action::TemporaryInstance {
            snapshot,
            name,
            request,
        } => {
            rds(&operation, "cluster-snapshot", snapshot);
            rds(&operation, "db", name.as_str());
            groups(request, &mut |kind, group| rds(&operation, kind, group));
            rds(tag, "db", name.as_str());
        }
        Action::CreateMember { name, request } => {
            if let Some(cluster) = &migration.cluster {
                rds(&operation, "cluster", cluster.new_name.as_str());
            }
            rds(&operation, "db", name.as_str());
            groups(request, &mut |kind, group| rds(&operation, kind, group));
            rds(tag, "db", name.as_str());
        }
        Action::CreateBlueGreen { keys, .. } => {
            // RDS draws the identifier of a deployment and the end of the names of its instances.
            rds(&operation, "deployment", "*");
            rds(tag, "deployment", "*");
            for member in migration.members() {
                let (blue, green) = (&member.identifier, format!("{}-*", member.new_name));
                rds(&operation, "db", blue.as_str());
                for name in [blue.as_str(), &green] {
                    rds("rds:CreateDBInstanceReadReplica", "db", name);
                }
                rds(tag, "db", &green);
            }
            also = keys.first().map(|(_, key)| key);
        }
        Action::Tag { instance, .. } => rds(&operation, "db", &green_of(migration, instance)),
        Action::Switchover { .. } => {
            rds(&operation, "deployment", "*");
            for member in migration.members() {
                let green = format!("{}-*", member.new_name);
                for name in [member.identifier.as_str(), &green] {
                    rds("rds:ModifyDBInstance", "db", name);
                    rds("rds:PromoteReadReplica", "db", name);
                }
            }
        }
        Action::EndBlueGreen { .. } | Action::RemoveBlueGreen { .. } => {
            rds(&operation, "deployment", "*");
        }
        Action::Accounts { .. }
        | Action::Configuration { .. }
        | Action::AwaitGreen { .. }
        | Action::AwaitMember { .. }
        | Action::RaiseRetention { .. }
        | Action::ReplicationAccount { .. }
        | Action::Hold { .. }
        | Action::CompareRows { .. }
        | Action::Replicate { .. }
        | Action::CatchUp { .. }
        | Action::FinalPosition { .. }
        | Action::Detach { .. }
        | Action::MarkEnd { .. }
        | Action::KeepWayBack { .. }
        | Action::RemoveAccount { .. }
        | Action::RestoreRetention { .. }
        | Action::Validate
        | Action::Rescan
        | Action::Handover
        | Action::Alarms { .. }
        | Action::Unwritten { .. }
        | Action::Returned
        | Action::Unused { .. }
        | Action::Rehearse
        | Action::Hook(_) => {}
        Action::NameBack { from, .. } => rds(&operation, "db", from.as_str()),
        Action::ClusterNameBack { from, .. } => rds(&operation, "cluster", from.as_str()),
        Action::DeleteCluster { name, .. } => rds(&operation, "cluster", name.as_str()),
        // A rollback or a cleanup: whichever of its names it has by then.
        Action::UnprotectCluster { .. } => {
            if let Some(cluster) = &migration.cluster {
                for name in [&cluster.old_name, &cluster.new_name] {
                    rds(&operation, "cluster", name.as_str());
                }
            }
        }
        Action::DeleteClusterSnapshot { snapshot, .. } => {
            rds(&operation, "cluster-snapshot", snapshot);
        }
        Action::EncryptedClusterSnapshot { snapshot, .. } => {
            // The cluster that was restored for it, under a name of its own.
            rds(&operation, "cluster", "*");
            rds(&operation, "cluster-snapshot", snapshot);
            rds(tag, "cluster-snapshot", snapshot);
        }
        Action::ReleaseCluster { .. } => {
            if let Some(cluster) = &migration.cluster {
                rds(&operation, "cluster", cluster.identifier.as_str());
            }
        }
        Action::Delete { name, .. } => rds(&operation, "db", name.as_str()),
        Action::DeleteSnapshot { snapshot, .. } => rds(&operation, "snapshot", snapshot),
        // Its ARN is not known before the instance is gone.
        Action::DeleteAutomatedBackup { .. } => rds(&operation, "auto-backup", "*"),
        Action::Release { instance, .. } => {
            let real = migration.members().find(|member| {
                *instance == atrest_model::plan::Target::Old(member.dbi_resource_id.clone())
            });
            rds(
                &operation,
                "db",
                real.map_or("", |member| member.identifier.as_str()),
            );
        }
    }
    if let Some(key) = also {
        let through = [
            (
                "kms:ViaService".to_owned(),
                format!("rds.{}.amazonaws.com", place.region),
            ),
            ("kms:CallerAccount".to_owned(), place.account.to_owned()),
            ("kms:GrantIsForAWSResource".to_owned(), "true".to_owned()),
        ];
        for action in ["kms:CreateGrant", "kms:DescribeKey"] {
            needs.push(Need {
                action: action.to_owned(),
                resource: key.clone(),
                context: through.to_vec(),
            });
        }
    }
    if matches!(step.action, Action::ManagePassword { .. }) {
        // RDS makes the secret in the caller's name.
        for action in ["secretsmanager:CreateSecret", "secretsmanager:TagResource"] {
            needs.push(Need {
                action: action.to_owned(),
                resource: format!(
                    "arn:{}:secretsmanager:{}:{}:secret:rds!db-*",
                    place.partition, place.region, place.account
                ),
                context: here.to_vec(),
            });
        }
    }
    tell_tags(place, &mut needs);
    needs.extend(passed_roles(place, &step.action));
    needs
}

/// The name of a DB instance before the switchover of a blue/green deployment, as far as a plan can tell.
fn green_of(migration: &Migration, target: &Target) -> String {
    let found = migration.members().find_map(|member| match target {
        Target::Old(id) if member.dbi_resource_id == *id => Some(member.identifier.to_string()),
        Target::MadeBy(step) if member.made_by == *step => Some(format!("{}-*", member.new_name)),
        Target::Old(_) | Target::MadeBy(_) => None,
    });
    found.unwrap_or_default()
}

/// Groups that a request names.
fn groups(request: &Map<String, Value>, found: &mut dyn FnMut(&str, &str)) {
    for (member, kind) in [
        ("DBParameterGroupName", "pg"),
        ("DBClusterParameterGroupName", "cluster-pg"),
        ("OptionGroupName", "og"),
        ("DBSubnetGroupName", "subgrp"),
    ] {
        if let Some(name) = request.get(member).and_then(Value::as_str) {
            found(kind, name);
        }
    }
}

/// Roles that a request hands to RDS.
fn passed_roles(place: &Place<'_>, action: &Action) -> Vec<Need> {
    let mut passed: Vec<(String, &str)> = Vec::new();
    match action {
        Action::AddRole { role_arn, .. } | Action::AddClusterRole { role_arn, .. } => {
            passed.push((role_arn.clone(), "rds.amazonaws.com"));
        }
        Action::Restore { request, .. }
        | Action::CreateReplica { request, .. }
        | Action::CreateMember { request, .. }
        | Action::RestoreCluster { request, .. }
        | Action::TemporaryReplica { request, .. }
        | Action::Modify { request, .. } => {
            let request = Value::Object(request.clone());
            if let Some(role) = str_of(&request, "MonitoringRoleArn") {
                passed.push((role.to_owned(), "monitoring.rds.amazonaws.com"));
            }
            if let Some(role) = str_of(&request, "DomainIAMRoleName") {
                let arn = format!("arn:{}:iam::{}:role/{role}", place.partition, place.account);
                passed.push((arn, "rds.amazonaws.com"));
            }
        }
        _ => {}
    }
    passed
        .into_iter()
        .map(|(resource, service)| Need {
            action: "iam:PassRole".to_owned(),
            resource,
            context: vec![("iam:PassedToService".to_owned(), service.to_owned())],
        })
        .collect()
}

/// What IAM says of the calls of a migration. Keys have a check of their own.
pub(super) fn findings(plan: &Plan, migration: &Migration, around: &Around) -> Vec<Finding> {
    let decided = match &around.permissions {
        Ok(decided) => decided,
        Err(why) => {
            return vec![Finding::not_proven(format!(
                "IAM was not asked for the calls of the plan: {why}"
            ))];
        }
    };
    let mut denied: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut unclear: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let needs = needs(plan, migration);
    for need in needs.iter().filter(|need| !need.action.starts_with("kms:")) {
        let found = decided
            .iter()
            .find(|one| one.action == need.action && one.resource == need.resource);
        match found {
            Some(one) if one.decision == Decision::Allowed => {}
            Some(one)
                if one.decision == Decision::ImplicitDeny && !one.missing_context.is_empty() =>
            {
                let keys = unclear.entry(&need.action).or_default();
                keys.extend(one.missing_context.iter().map(String::as_str));
            }
            Some(_) => denied.entry(&need.action).or_default().push(&need.resource),
            None => {
                unclear.entry(&need.action).or_default();
            }
        }
    }
    let mut findings: Vec<Finding> = denied
        .into_iter()
        .map(|(action, resources)| {
            let first = resources.first().copied().unwrap_or_default();
            let more = match resources.len() {
                0 | 1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            Finding::blocks(format!(
                "IAM does not allow {action} on {first}{more}; allow it, or use another identity"
            ))
        })
        .collect();
    findings.extend(unclear.into_iter().map(|(action, keys)| {
        let keys: Vec<&str> = keys.into_iter().collect();
        Finding::not_proven(if keys.is_empty() {
            format!("IAM gave no answer about {action}")
        } else {
            format!(
                "whether {action} is allowed depends on {}, which only the real call has",
                keys.join(", ")
            )
        })
    }));
    findings
}
