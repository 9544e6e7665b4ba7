//! What the new instances must have from the old ones, and what cannot be carried over.

use std::collections::BTreeSet;

use atrest_model::document::{bool_of, list_of, str_of};
use atrest_model::instance::DbInstance;
use serde_json::Value;

use super::{Finding, Sheet};

pub(super) fn check(sheet: &mut Sheet<'_>) {
    master_password(sheet);
    placement(sheet);
    option_group(sheet);
    lower_case_table_names(sheet);
    insights_key(sheet);
    sheet.each(
        "deletion-protection",
        "deletion protection is off",
        |member, instance| {
            if bool_of(&instance.document, "DeletionProtection") != Some(true) {
                return Vec::new();
            }
            vec![Finding::fixed_by(
                &member.made_by,
                format!(
                    "deletion protection is set again; {} stays protected, too",
                    member.old_name
                ),
            )]
        },
    );
}

fn master_password(sheet: &mut Sheet<'_>) {
    let scene = sheet.scene;
    sheet.each(
        "master-password",
        "master passwords are not managed in Secrets Manager",
        |member, instance| {
            if instance.document.get("MasterUserSecret").is_none() {
                return Vec::new();
            }
            if member.replicates_from.is_some() {
                return vec![Finding::blocks(
                    "it is a replica with a master password of its own in Secrets Manager, which cannot be made again",
                )];
            }
            // RDS makes a new password at that step, and the validation comes after it.
            let breaks = instance.is_mysql_family()
                && scene.facts.login.as_ref().is_some_and(|login| {
                    let user = login.user.as_deref();
                    !login.follows_rds && user.is_none_or(|user| user == instance.master_username())
                });
            if breaks {
                return vec![Finding::blocks(
                    "RDS manages its master password and makes a new one for the new instance, where the password that is given would be refused; log in with --master-user-secret, or as another user",
                )];
            }
            vec![Finding::fixed_by(
                crate::planner::MANAGE_PASSWORD,
                "RDS makes a new secret for the new instance; who reads the old one by its ARN must be told while clients are away",
            )]
        },
    );
}

/// Zones of the subnets of an instance.
fn zones(instance: &DbInstance) -> BTreeSet<&str> {
    let group = instance.document.get("DBSubnetGroup");
    group
        .map(|group| list_of(group, "Subnets"))
        .unwrap_or_default()
        .iter()
        .filter(|subnet| str_of(subnet, "SubnetStatus").is_none_or(|status| status == "Active"))
        .filter_map(|subnet| str_of(subnet.get("SubnetAvailabilityZone")?, "Name"))
        .collect()
}

fn subnet_group(instance: &DbInstance) -> Option<&str> {
    str_of(instance.document.get("DBSubnetGroup")?, "DBSubnetGroupName")
}

fn placement(sheet: &mut Sheet<'_>) {
    let scene = sheet.scene;
    sheet.each(
        "placement",
        "zones and subnet groups fit",
        |member, instance| {
            // A replica in its source's region lives in its source's subnet group.
            let source = member.replicates_from.as_ref().and_then(|source| {
                scene
                    .members
                    .iter()
                    .find(|(other, _)| other.identifier == *source)
                    .map(|(_, instance)| *instance)
            });
            if let Some(source) = source
                && subnet_group(source) != subnet_group(instance)
            {
                return vec![Finding::blocks(format!(
                    "it is in subnet group {}, its source in {}; a replica is made in its source's, so it would come out different",
                    subnet_group(instance).unwrap_or("none"),
                    subnet_group(source).unwrap_or("none")
                ))];
            }
            let zones = zones(instance);
            if zones.is_empty() {
                // An answer without subnets says nothing about them.
                return Vec::new();
            }
            let group = subnet_group(instance).unwrap_or_default();
            if bool_of(&instance.document, "MultiAZ") == Some(true) {
                if zones.len() >= 2 {
                    return Vec::new();
                }
                return vec![Finding::blocks(format!(
                    "it is Multi-AZ, and subnet group {group} has one zone with active subnets; step {} would be refused",
                    member.made_by
                ))];
            }
            match str_of(&instance.document, "AvailabilityZone") {
                Some(zone) if !zones.contains(zone) => vec![Finding::blocks(format!(
                    "it is in {zone}, where subnet group {group} has no active subnet any more; step {} would be refused",
                    member.made_by
                ))],
                _ => Vec::new(),
            }
        },
    );
}

fn option_group(sheet: &mut Sheet<'_>) {
    let scene = sheet.scene;
    sheet.each(
        "option-group",
        "option groups can be used again",
        |member, instance| {
            let groups = list_of(&instance.document, "OptionGroupMemberships")
                .iter()
                .filter_map(|group| str_of(group, "OptionGroupName"))
                .filter(|name| !name.starts_with("default:"));
            groups
                .flat_map(|name| {
                    let known = match &scene.region.option_groups {
                        Err(why) => {
                            return vec![Finding::not_proven(format!(
                                "what option group {name} holds is not known: {why}"
                            ))];
                        }
                        Ok(groups) => groups
                            .iter()
                            .find(|group| str_of(group, "OptionGroupName") == Some(name)),
                    };
                    let Some(known) = known else {
                        return vec![Finding::blocks(format!(
                            "option group {name} is not there any more; step {} would be refused",
                            member.made_by
                        ))];
                    };
                    options(name, known, &member.made_by)
                })
                .collect()
        },
    );
}

fn options(name: &str, group: &Value, step: &str) -> Vec<Finding> {
    list_of(group, "Options")
        .iter()
        .filter_map(|option| {
            let what = str_of(option, "OptionName")?;
            let lasting = ["Permanent", "Persistent"]
                .into_iter()
                .find(|member| bool_of(option, member) == Some(true))?;
            Some(if what.starts_with("TDE") {
                Finding::warns(format!(
                    "option {what} of group {name} encrypts the data itself, with keys of its own; they are not what --kms-key is about, and stay"
                ))
            } else {
                Finding::fixed_by(
                    step,
                    format!(
                        "option {what} of group {name} is {}: the restore names the same group, as it must",
                        lasting.to_lowercase()
                    ),
                )
            })
        })
        .collect()
}

/// `lower_case_table_names` of a parameter group; RDS's default is 0.
fn setting<'a>(sheet: &'a Sheet<'_>, group: &str) -> Result<&'a str, String> {
    if group.starts_with("default.") {
        return Ok("0");
    }
    match sheet.scene.region.parameters.get(group) {
        None => Err(format!("parameter group {group} was not read")),
        Some(Err(why)) => Err(why.clone()),
        Some(Ok(parameters)) => Ok(parameters
            .iter()
            .find(|one| str_of(one, "ParameterName") == Some("lower_case_table_names"))
            .and_then(|one| str_of(one, "ParameterValue"))
            .unwrap_or("0")),
    }
}

fn parameter_group(instance: &DbInstance) -> Option<&str> {
    str_of(
        list_of(&instance.document, "DBParameterGroups").first()?,
        "DBParameterGroupName",
    )
}

/// MySQL 8 fixes it when the data folder is made: data and parameter group must agree.
fn lower_case_table_names(sheet: &mut Sheet<'_>) {
    let scene = sheet.scene;
    let mut findings = Vec::new();
    let source = scene.members.first().and_then(|(_, i)| parameter_group(i));
    for (member, instance) in &scene.members {
        if instance.engine() != "mysql" || instance.engine_version().starts_with("5.") {
            continue;
        }
        let Some(group) = parameter_group(instance) else {
            continue;
        };
        let name = member.identifier.as_str();
        let value = match setting(sheet, group) {
            Ok(value) => value,
            Err(why) => {
                findings.push(
                    Finding::not_proven(format!(
                        "lower_case_table_names of parameter group {group} is not known: {why}"
                    ))
                    .of(name),
                );
                continue;
            }
        };
        // A replica is made with its source's group.
        let born = source.map(|source| setting(sheet, source));
        if let Some(Ok(born)) = born
            && born != value
        {
            findings.push(
                Finding::blocks(format!(
                    "its parameter group {group} sets lower_case_table_names to {value}, that of its source to {born}; a replica is made with its source's group and could not take its own"
                ))
                .of(name),
            );
        }
        let server = scene.around.servers.get(instance.dbi_resource_id());
        if let Some(Ok(server)) = server
            && let Some(real) = server.variables.get("lower_case_table_names")
            && real != value
        {
            findings.push(
                Finding::blocks(format!(
                    "the server was made with lower_case_table_names {real}, its parameter group {group} says {value}; a restore with that group ends in incompatible-restore"
                ))
                .of(name),
            );
        }
    }
    sheet.add(
        "lower-case-table-names",
        "data and parameter groups agree on lower_case_table_names",
        findings,
    );
}

fn insights_key(sheet: &mut Sheet<'_>) {
    let scene = sheet.scene;
    sheet.each(
        "performance-insights-key",
        "keys of Performance Insights can be used again",
        |_, instance| {
            if bool_of(&instance.document, "PerformanceInsightsEnabled") != Some(true) {
                return Vec::new();
            }
            let Some(key) = str_of(&instance.document, "PerformanceInsightsKMSKeyId") else {
                return Vec::new();
            };
            match scene.region.insights_keys.get(key) {
                Some(Ok(facts)) => facts
                    .why_unusable()
                    .map(|why| {
                        Finding::blocks(format!(
                            "Performance Insights uses a key that cannot be used again: {why}"
                        ))
                    })
                    .into_iter()
                    .collect(),
                Some(Err(why)) => vec![Finding::not_proven(format!(
                    "whether the key {key} of Performance Insights can be used is not known: {why}"
                ))],
                None => Vec::new(),
            }
        },
    );
}
