//! Who depends on the instances by name, ARN or resource id, and what will happen to each.

use std::collections::BTreeMap;

use atrest_model::document::{bool_of, list_of, str_of, strings_of};
use atrest_model::instance::DbInstance;
use atrest_model::plan::{Action, Member, Method, Migration, Target};
use serde_json::Value;

use super::facts::Read;
use super::{Finding, Sheet};

pub(super) fn check(sheet: &mut Sheet<'_>) {
    let scene = sheet.scene;
    sheet.each(
        "cross-region-replicas",
        "all replicas are DB instances of the same region",
        |_, instance| elsewhere(instance),
    );
    blue_green(sheet);
    proxies(sheet);
    sheet.each(
        "event-subscriptions",
        "no event subscription names them",
        |member, _| match &scene.region.subscriptions {
            Err(why) => vec![Finding::not_proven(format!(
                "event subscriptions are not known: {why}"
            ))],
            Ok(subscriptions) => subscriptions
                .iter()
                .filter(|one| {
                    str_of(one, "SourceType").is_none_or(|kind| kind == "db-instance")
                        && strings_of(one, "SourceIdsList")
                            .any(|id| id.eq_ignore_ascii_case(member.identifier.as_str()))
                })
                .map(|one| {
                    Finding::fixed_by(
                        &back(scene.migration, member),
                        format!(
                            "event subscription {} follows the name: it is silent during the run and then about the new instance",
                            str_of(one, "CustSubscriptionId").unwrap_or("without a name")
                        ),
                    )
                })
                .collect(),
        },
    );
    let steps = &scene.migration.steps;
    sheet.each("roles", "no roles are attached", |member, instance| {
        list_of(&instance.document, "AssociatedRoles")
            .iter()
            .filter_map(|role| {
                let (arn, feature) = (
                    str_of(role, "RoleArn")?,
                    str_of(role, "FeatureName").unwrap_or_default(),
                );
                let step = steps.iter().find(|step| {
                    matches!(&step.action, Action::AddRole { instance, role_arn, feature_name }
                        if *instance == Target::MadeBy(member.made_by.clone())
                            && role_arn == arn && feature_name == feature)
                });
                Some(match step {
                    Some(step) => Finding::fixed_by(
                        &step.id,
                        format!("role {arn} ({feature}) is attached again"),
                    ),
                    None => Finding::warns(format!(
                        "role {arn} has no feature and is not attached again; attach it yourself"
                    )),
                })
            })
            .collect()
    });
    sheet.each(
        "domain",
        "none is a member of a directory",
        |member, instance| {
            list_of(&instance.document, "DomainMemberships")
                .iter()
                .map(|domain| {
                    let name = str_of(domain, "FQDN")
                        .or_else(|| str_of(domain, "Domain"))
                        .unwrap_or("a directory");
                    match str_of(domain, "Status") {
                        Some("failed" | "pending-join") => Finding::warns(format!(
                            "its membership in {name} is not in order now; the new instance may not join it"
                        )),
                        _ => Finding::fixed_by(
                            &member.made_by,
                            format!("the new instance joins {name}"),
                        ),
                    }
                })
                .collect()
        },
    );
    by_resource_id(sheet);
}

fn elsewhere(instance: &DbInstance) -> Vec<Finding> {
    let replicas = instance
        .replicas()
        .filter(|name| name.starts_with("arn:"))
        .map(|arn| {
            Finding::blocks(format!(
                "it has a replica in another region ({arn}), which this version does not re-create"
            ))
        });
    let clusters =
        strings_of(&instance.document, "ReadReplicaDBClusterIdentifiers").map(|cluster| {
            Finding::blocks(format!(
                "it has the Aurora replica cluster {cluster}, which this version does not re-create"
            ))
        });
    replicas.chain(clusters).collect()
}

fn blue_green(sheet: &mut Sheet<'_>) {
    let scene = sheet.scene;
    sheet.each(
        "blue-green",
        "none is part of a blue/green deployment",
        |_, instance| {
            let deployments = match &scene.region.blue_green {
                Err(why) => {
                    return vec![Finding::not_proven(format!(
                        "blue/green deployments are not known: {why}"
                    ))];
                }
                Ok(deployments) => deployments,
            };
            deployments
                .iter()
                .filter(|one| takes_part(one, instance.arn()))
                .map(|one| {
                    let name = str_of(one, "BlueGreenDeploymentName").unwrap_or("without a name");
                    match str_of(one, "Status").unwrap_or("UNKNOWN") {
                        "SWITCHOVER_COMPLETED" | "DELETING" => Finding::warns(format!(
                            "blue/green deployment {name} is over and not deleted yet"
                        )),
                        status => Finding::blocks(format!(
                            "it is part of the blue/green deployment {name}, which is {status}: a rename would break it; delete it or switch over first"
                        )),
                    }
                })
                .collect()
        },
    );
}

fn takes_part(deployment: &Value, arn: &str) -> bool {
    let named = |of: &Value, members: [&str; 2]| {
        members.iter().any(|member| str_of(of, member) == Some(arn))
    };
    named(deployment, ["Source", "Target"])
        || list_of(deployment, "SwitchoverDetails")
            .iter()
            .any(|pair| named(pair, ["SourceMember", "TargetMember"]))
}

fn proxies(sheet: &mut Sheet<'_>) {
    let scene = sheet.scene;
    sheet.each(
        "proxy",
        "none is the target of a proxy",
        |member, _| match &scene.region.proxies {
            Err(why) => vec![Finding::not_proven(format!("proxies are not known: {why}"))],
            Ok(proxies) => through(scene.migration, member, proxies),
        },
    );
}

/// The step after which an encrypted instance has the name of a member.
fn back(migration: &Migration, member: &Member) -> String {
    match migration.method {
        Method::BlueGreen => "switchover".to_owned(),
        _ => format!("rename-new:{}", member.identifier),
    }
}

fn through(
    migration: &Migration,
    member: &Member,
    proxies: &BTreeMap<String, Read<Vec<Value>>>,
) -> Vec<Finding> {
    proxies
        .iter()
        .filter_map(|(proxy, targets)| match targets {
            Err(why) => Some(Finding::not_proven(format!(
                "the targets of proxy {proxy} are not known: {why}"
            ))),
            Ok(targets) => targets
                .iter()
                .any(|target| str_of(target, "RdsResourceId") == Some(member.identifier.as_str()))
                .then(|| {
                    if migration.method == Method::BlueGreen {
                        return Finding::blocks(format!(
                            "it is a target of proxy {proxy}, and RDS makes no blue/green deployment of one; plan it with --method cold, or deregister it first"
                        ));
                    }
                    Finding::warns(format!(
                        "it is a target of proxy {proxy}, which loses it at step rename-old:{} and is not given the new one by this version; deregister and register it by hand after the run",
                        member.identifier
                    ))
                }),
        })
        .collect()
}

/// What is tied to the resource id, or to the instance as such, and not to its name.
fn by_resource_id(sheet: &mut Sheet<'_>) {
    let again = "and is not started again on the new instance by this version; start it by hand after the run";
    sheet.each(
        "iam-authentication",
        "IAM database authentication is off",
        |_, instance| {
            if bool_of(&instance.document, "IAMDatabaseAuthenticationEnabled") != Some(true) {
                return Vec::new();
            }
            vec![Finding::warns(format!(
                "IAM policies that name its resource id {} must be changed to the new one",
                instance.dbi_resource_id()
            ))]
        },
    );
    sheet.each(
        "backup-replication",
        "automated backups are not replicated to another region",
        |_, instance| {
            if list_of(&instance.document, "DBInstanceAutomatedBackupsReplications").is_empty() {
                return Vec::new();
            }
            vec![Finding::warns(format!(
                "replication of its automated backups stays with the old instance {again}"
            ))]
        },
    );
    sheet.each(
        "activity-stream",
        "no activity stream is on",
        |_, instance| {
            if str_of(&instance.document, "ActivityStreamStatus")
                .is_none_or(|status| status == "stopped")
            {
                return Vec::new();
            }
            vec![Finding::warns(format!(
                "its activity stream stays with the old instance {again}"
            ))]
        },
    );
    sheet.each(
        "cloudformation",
        "none belongs to a CloudFormation stack",
        |_, instance| {
            let tags = instance.tags();
            let Some(stack) = tags.get("aws:cloudformation:stack-name") else {
                return Vec::new();
            };
            vec![Finding::warns(format!(
                "it belongs to the CloudFormation stack {stack}, which will not follow to the new instance"
            ))]
        },
    );
}
