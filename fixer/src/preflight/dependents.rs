//! Who depends on the instances by name, ARN or resource id, and what will happen to each.

use atrest_model::document::{bool_of, list_of, str_of, strings_of};
use atrest_model::instance::DbInstance;
use atrest_model::plan::{Action, Method, Target};
use serde_json::Value;

use super::{Finding, Sheet};
use crate::dependents::{self, Dependents};

pub(super) fn check(sheet: &mut Sheet<'_>) {
    let scene = sheet.scene;
    sheet.each(
        "cross-region-replicas",
        "all replicas are DB instances of the same region",
        |_, instance| elsewhere(instance),
    );
    blue_green(sheet);
    proxies(sheet);
    subscriptions(sheet);
    alarms(sheet);
    integrations(sheet);
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

/// What was read of the region, or that it was not.
fn known<'s>(sheet: &Sheet<'s>) -> Option<&'s Dependents> {
    sheet
        .scene
        .facts
        .dependents
        .get(&sheet.scene.migration.region)
}

fn subscriptions(sheet: &mut Sheet<'_>) {
    let known = known(sheet);
    sheet.each(
        "event-subscriptions",
        "no event subscription names them",
        |member, _| {
            let Some(known) = known else {
                return vec![Finding::not_proven("event subscriptions were not read")];
            };
            if let Err(why) = &known.subscriptions {
                return vec![Finding::not_proven(format!(
                    "event subscriptions are not known: {why}"
                ))];
            }
            dependents::subscriptions_of(known, member.identifier.as_str())
                .into_iter()
                .map(|name| {
                    Finding::fixed_by(
                        &format!("subscription:{}:{name}", member.identifier),
                        format!(
                            "event subscription {name} names it: it is silent during the run and then about the new instance, which is looked at"
                        ),
                    )
                })
                .collect()
        },
    );
}

fn alarms(sheet: &mut Sheet<'_>) {
    let known = known(sheet);
    sheet.each("alarms", "no alarm names them", |_, instance| {
        let Some(known) = known else {
            return vec![Finding::not_proven("alarms were not read")];
        };
        if let Err(why) = &known.alarms {
            return vec![Finding::not_proven(format!("alarms are not known: {why}"))];
        }
        let found: Vec<&str> = dependents::alarms_of(known, instance)
            .map(|alarm| alarm.name.as_str())
            .collect();
        if found.is_empty() {
            return Vec::new();
        }
        vec![Finding::fixed_by(
            "alarms",
            format!(
                "alarms {} name it: they may go off while it is away, and are about the new instance afterwards, which is looked at",
                found.join(", ")
            ),
        )]
    });
}

fn integrations(sheet: &mut Sheet<'_>) {
    let known = known(sheet);
    sheet.each(
        "integrations",
        "none is the source of a zero-ETL integration",
        |_, instance| {
            let Some(known) = known else {
                return vec![Finding::not_proven("integrations were not read")];
            };
            if let Err(why) = &known.integrations {
                return vec![Finding::not_proven(format!(
                    "zero-ETL integrations are not known: {why}"
                ))];
            }
            dependents::integrations_of(known, instance)
                .into_iter()
                .map(|name| {
                    Finding::warns(format!(
                        "zero-ETL integration {name} has it as source and is not carried to the new one; make it again after the run"
                    ))
                })
                .collect()
        },
    );
}

fn proxies(sheet: &mut Sheet<'_>) {
    let known = known(sheet);
    let method = sheet.scene.migration.method;
    sheet.each(
        "proxy",
        "none is the target of a proxy",
        |member, instance| {
            let proxies = match known.map(|known| &known.proxies) {
                None => return vec![Finding::not_proven("proxies were not read")],
                Some(Err(why)) => {
                    return vec![Finding::not_proven(format!("proxies are not known: {why}"))];
                }
                Some(Ok(proxies)) => proxies,
            };
            let mut findings: Vec<Finding> = proxies
                .iter()
                .filter_map(|(proxy, targets)| {
                    let why = targets.as_ref().err()?;
                    Some(Finding::not_proven(format!(
                        "the targets of proxy {proxy} are not known: {why}"
                    )))
                })
                .collect();
            for proxy in known
                .map(|known| dependents::proxies_of(known, member.identifier.as_str()))
                .unwrap_or_default()
            {
                if method == Method::BlueGreen {
                    findings.push(Finding::blocks(format!(
                        "it is a target of proxy {proxy}, and RDS makes no blue/green deployment of one; plan it with another method, or deregister it first"
                    )));
                    continue;
                }
                findings.push(Finding::fixed_by(
                    &format!("proxy-register:{}:{proxy}", member.identifier),
                    format!(
                        "proxy {proxy} loses it at step rename-old:{} and is given the new one after the cutover",
                        member.identifier
                    ),
                ));
                if instance.document.get("MasterUserSecret").is_some() {
                    findings.push(Finding::warns(format!(
                        "if proxy {proxy} logs in with the secret of the master password, it must be given the new one (aws rds modify-db-proxy --auth) before it can reach the new instance"
                    )));
                }
            }
            findings
        },
    );
}

fn backup_replication(sheet: &mut Sheet<'_>) {
    let known = known(sheet);
    sheet.each(
        "backup-replication",
        "automated backups are not replicated to another region",
        |member, instance| {
            dependents::replications(instance)
                .map(|arn| {
                    match known.and_then(|known| known.replicated.get(arn)) {
                        Some(Ok(backup)) => Finding::fixed_by(
                            &format!("backup-replication:{}:{}", member.identifier, backup.region),
                            format!(
                                "its automated backups are replicated to {} again, under {}; a chain of their own begins there",
                                backup.region, backup.kms_key_id
                            ),
                        ),
                        Some(Err(why)) => Finding::warns(format!(
                            "its automated backups are replicated ({arn}), and the new instance's will not be: {why}; start it by hand after the run"
                        )),
                        None => Finding::not_proven(format!("what replicates {arn} was not read")),
                    }
                })
                .collect()
        },
    );
}

/// What is tied to the resource id, or to the instance as such, and not to its name.
fn by_resource_id(sheet: &mut Sheet<'_>) {
    let account = &sheet.scene.facts.account;
    let again = "and is not started again on the new instance by this version; start it by hand after the run";
    sheet.each(
        "iam-authentication",
        "IAM database authentication is off",
        |_, instance| {
            if bool_of(&instance.document, "IAMDatabaseAuthenticationEnabled") != Some(true) {
                return Vec::new();
            }
            let partition = instance.arn().split(':').nth(1).unwrap_or("aws");
            vec![Finding::warns(format!(
                "IAM policies that name arn:{partition}:rds-db:{}:{account}:dbuser:{}/… must be changed; the run reports the new ARN",
                instance.region,
                instance.dbi_resource_id()
            ))]
        },
    );
    backup_replication(sheet);
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
