//! Option groups: create, change, copy, delete.

use std::collections::BTreeMap;

use super::error::ApiError;
use super::groups::write_option_group;
use super::names::{group_name, parse_arn};
use super::state::{OptionGroup, OptionSetting};
use super::{Answer, Call, catalog, modify, quotas, result, tags};
use crate::world::{Moment, Timeline};

/// Options that can be added here. MySQL's memcached ended with 8.0; neither option is persistent.
fn offers(group: &OptionGroup, option: &str) -> bool {
    match (group.engine.as_str(), option) {
        ("mysql" | "mariadb", "MARIADB_AUDIT_PLUGIN") => true,
        ("mysql", "MEMCACHED") => matches!(group.major_version.as_str(), "5.6" | "5.7" | "8.0"),
        _ => false,
    }
}

fn state(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidOptionGroupStateFault", message)
}

fn is_default(name: &str) -> bool {
    name.starts_with("default:")
}

fn add(call: &mut Call<'_>, group: OptionGroup) -> Answer {
    let scope = call.scope;
    let groups = &mut call.region().option_groups;
    if groups.contains_key(&group.name) {
        return Err(ApiError::new(
            "OptionGroupAlreadyExistsFault",
            format!("An option group named {} already exists.", group.name),
        ));
    }
    let own = groups.keys().filter(|name| !is_default(name)).count();
    if quotas::count(own) >= quotas::OPTION_GROUPS {
        return Err(ApiError::new(
            "OptionGroupQuotaExceededFault",
            format!(
                "You can't have more than {} option groups.",
                quotas::OPTION_GROUPS
            ),
        ));
    }
    let answer =
        result(|xml| xml.element("OptionGroup", |xml| write_option_group(xml, scope, &group)));
    groups.insert(group.name.clone(), group);
    answer
}

/// `CreateOptionGroup`.
pub(crate) fn create(call: &mut Call<'_>) -> Answer {
    let params = call.params;
    let name = group_name("OptionGroupName", &params.required("OptionGroupName")?)?;
    let engine = params.required("EngineName")?;
    let major_version = params.required("MajorEngineVersion")?;
    let description = params.required("OptionGroupDescription")?;
    let tags = tags::from_request(params, "Tags")?.unwrap_or_default();
    if !catalog::families().any(|(_, known, _)| known == engine) {
        return Err(ApiError::value(format!("Invalid DB engine: {engine}")));
    }
    if !catalog::families().any(|(_, known, major)| known == engine && major == major_version) {
        return Err(ApiError::value(format!(
            "Invalid major engine version {major_version} for {engine}."
        )));
    }
    let group = OptionGroup {
        name,
        description,
        engine,
        major_version,
        options: Vec::new(),
        tags,
    };
    add(call, group)
}

/// `CopyOptionGroup`: within the account and region.
pub(crate) fn copy(call: &mut Call<'_>) -> Answer {
    let (params, scope) = (call.params, call.scope);
    let reference = params.required("SourceOptionGroupIdentifier")?;
    let name = group_name(
        "TargetOptionGroupIdentifier",
        &params.required("TargetOptionGroupIdentifier")?,
    )?;
    let description = params.required("TargetOptionGroupDescription")?;
    let tags = tags::from_request(params, "Tags")?.unwrap_or_default();
    let source = match parse_arn(&reference) {
        Some(arn) if arn.scope == *scope => arn.name,
        Some(_) => return Err(ApiError::no_option_group(&reference)),
        None => reference,
    }
    .to_ascii_lowercase();
    let group = call
        .region()
        .option_groups
        .get(&source)
        .ok_or_else(|| ApiError::no_option_group(&source))?
        .clone();
    if is_default(&source) {
        return Err(ApiError::value(format!(
            "The default option group {source} can't be copied."
        )));
    }
    let group = OptionGroup {
        name,
        description,
        tags,
        ..group
    };
    add(call, group)
}

/// `ModifyOptionGroup`: at once, or in each member's maintenance window. A persistent option stays while
/// instances use the group, a permanent one for ever.
pub(crate) fn modify(call: &mut Call<'_>) -> Answer {
    let (params, scope) = (call.params, call.scope);
    let name = params.required("OptionGroupName")?.to_ascii_lowercase();
    let include = params.structures("OptionsToInclude").unwrap_or_default();
    let remove = params.list("OptionsToRemove").unwrap_or_default();
    let at_once = params.boolean("ApplyImmediately")?.unwrap_or(false);
    let mut wanted = Vec::new();
    for option in include {
        let mut settings = BTreeMap::new();
        for setting in option.structures("OptionSettings").unwrap_or_default() {
            settings.insert(
                setting.required("Name")?,
                setting.raw("Value").unwrap_or_default().to_owned(),
            );
        }
        wanted.push((option.required("OptionName")?, settings));
    }
    let region = call.region();
    let in_use = region
        .instances
        .iter()
        .any(|instance| instance.option_group == name);
    let group = region
        .option_groups
        .get_mut(&name)
        .ok_or_else(|| ApiError::no_option_group(&name))?;
    if is_default(&name) {
        return Err(state(format!(
            "The default option group {name} can't be modified."
        )));
    }
    if wanted.is_empty() && remove.is_empty() {
        return Err(ApiError::combination(
            "At least one option must be added, modified, or removed.",
        ));
    }
    for (option, _) in &wanted {
        let present = group.options.iter().any(|known| known.name == *option);
        if !present && !offers(group, option) {
            return Err(ApiError::value(format!(
                "The option {option} is not available for {} {}.",
                group.engine, group.major_version
            )));
        }
    }
    for option in &remove {
        let known = group
            .options
            .iter()
            .find(|known| known.name == *option)
            .ok_or_else(|| {
                ApiError::value(format!("The option group {name} has no option {option}."))
            })?;
        if known.permanent || (known.persistent && in_use) {
            return Err(state(format!(
                "The option {option} is {} and can't be removed from the option group {name}.",
                if known.permanent {
                    "permanent"
                } else {
                    "persistent"
                }
            )));
        }
    }
    group.options.retain(|known| !remove.contains(&known.name));
    for (option, settings) in wanted {
        match group.options.iter_mut().find(|known| known.name == option) {
            Some(known) => known.settings.extend(settings),
            None => group.options.push(OptionSetting {
                name: option,
                persistent: false,
                permanent: false,
                settings,
            }),
        }
    }
    let answer =
        result(|xml| xml.element("OptionGroup", |xml| write_option_group(xml, scope, group)));
    tell_members(call, &name, at_once);
    answer
}

fn tell_members(call: &mut Call<'_>, name: &str, at_once: bool) {
    let (scope, now) = (call.scope, call.now);
    let members: Vec<(String, String)> = call
        .region()
        .instances
        .iter()
        .filter(|instance| instance.option_group == name)
        .map(|instance| {
            (
                instance.resource_id.clone(),
                instance.maintenance_window.clone(),
            )
        })
        .collect();
    for (resource_id, window) in members {
        let status = if at_once {
            "applying"
        } else {
            "pending-maintenance-apply"
        };
        if let Some(instance) = call.region().by_resource_mut(&resource_id) {
            status.clone_into(&mut instance.option_status);
        }
        let took = call
            .world
            .takes(&format!("options/{resource_id}"), (10, 60));
        let wait = if at_once {
            0
        } else {
            modify::until_window(&window, now).unwrap_or(0)
        };
        let in_sync = |moment: &mut Moment<'_>| {
            if let Some(instance) = moment.instance() {
                instance.option_status = "in-sync".to_owned();
            }
        };
        call.world.schedule(
            now,
            Timeline::new(scope, &resource_id)
                .then(wait, |moment| {
                    if let Some(instance) = moment.instance() {
                        instance.option_status = "applying".to_owned();
                    }
                })
                .then(took, in_sync),
        );
    }
}

/// `DeleteOptionGroup`: neither a default group nor one that an instance or a snapshot needs.
pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    let name = call
        .params
        .required("OptionGroupName")?
        .to_ascii_lowercase();
    let region = call.region();
    if !region.option_groups.contains_key(&name) {
        return Err(ApiError::no_option_group(&name));
    }
    if is_default(&name) {
        return Err(state(format!(
            "The default option group {name} can't be deleted."
        )));
    }
    let used = region
        .instances
        .iter()
        .any(|instance| instance.option_group == name)
        || region
            .snapshots
            .iter()
            .any(|snapshot| snapshot.instance.option_group == name);
    if used {
        return Err(state(format!(
            "The option group '{name}' cannot be deleted because it is in use."
        )));
    }
    region.option_groups.remove(&name);
    Ok(None)
}
