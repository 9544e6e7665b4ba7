//! Parameter groups, option groups and subnet groups, read only.

use super::catalog;
use super::error::ApiError;
use super::page::{Filters, page};
use super::state::{OptionGroup, ParameterGroup, SubnetGroup};
use super::xml::Xml;
use super::{Answer, Call, result};

/// `DescribeDBParameterGroups`.
pub(crate) fn describe_parameter_groups(call: &mut Call<'_>) -> Answer {
    Filters::read(call.params, &[])?;
    let (scope, params, limit) = (call.scope, call.params, call.world.knobs.page_limit);
    let wanted = params
        .text("DBParameterGroupName")
        .map(|name| name.to_ascii_lowercase());
    let region = call.region();
    let found: Vec<&ParameterGroup> = region
        .parameter_groups
        .values()
        .filter(|group| wanted.as_ref().is_none_or(|name| *name == group.name))
        .collect();
    if let (Some(name), true) = (&wanted, found.is_empty()) {
        return Err(ApiError::no_parameter_group(name));
    }
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.list(
            "DBParameterGroups",
            "DBParameterGroup",
            page.items,
            |xml, group| {
                xml.value("DBParameterGroupName", &group.name);
                xml.value("DBParameterGroupFamily", &group.family);
                xml.value("Description", &group.description);
                xml.value("DBParameterGroupArn", scope.arn("pg", &group.name));
            },
        );
        xml.optional("Marker", page.marker);
    })
}

/// `DescribeDBParameters`: what the user set, what the system sets, and the engine's own defaults.
pub(crate) fn describe_parameters(call: &mut Call<'_>) -> Answer {
    let filters = Filters::read(call.params, &["parameter-name"])?;
    let (params, limit) = (call.params, call.world.knobs.page_limit);
    let name = params
        .required("DBParameterGroupName")?
        .to_ascii_lowercase();
    let source = params.text("Source");
    if source
        .as_deref()
        .is_some_and(|source| !["user", "system", "engine-default"].contains(&source))
    {
        return Err(ApiError::value(
            "Source must be one of user, system, engine-default.",
        ));
    }
    let region = call.region();
    let group = region
        .parameter_groups
        .get(&name)
        .ok_or_else(|| ApiError::no_parameter_group(&name))?;
    struct Row<'a> {
        name: &'a str,
        value: Option<&'a str>,
        source: &'a str,
        is_static: bool,
        data_type: &'a str,
        is_modifiable: bool,
    }
    let known = catalog::parameters(&group.family).iter().map(|parameter| {
        let user = group.user.get(parameter.name);
        Row {
            name: parameter.name,
            value: user.map(String::as_str).or(parameter.value),
            source: if user.is_some() {
                "user"
            } else {
                parameter.source
            },
            is_static: parameter.is_static,
            data_type: parameter.data_type,
            is_modifiable: parameter.is_modifiable,
        }
    });
    let others = group
        .user
        .iter()
        .filter(|(name, _)| {
            !catalog::parameters(&group.family)
                .iter()
                .any(|parameter| parameter.name == name.as_str())
        })
        .map(|(name, value)| Row {
            name,
            value: Some(value),
            source: "user",
            is_static: false,
            data_type: "string",
            is_modifiable: true,
        });
    let mut rows: Vec<Row<'_>> = known
        .chain(others)
        .filter(|row| {
            source.as_deref().is_none_or(|source| source == row.source)
                && filters.admits("parameter-name", &[row.name])
        })
        .collect();
    rows.sort_by_key(|row| row.name);
    let page = page(params, rows, 100, limit)?;
    result(|xml| {
        xml.list("Parameters", "Parameter", page.items, |xml, row| {
            xml.value("ParameterName", row.name);
            xml.optional("ParameterValue", row.value);
            xml.value("Source", row.source);
            xml.value(
                "ApplyType",
                if row.is_static { "static" } else { "dynamic" },
            );
            xml.value("DataType", row.data_type);
            xml.value("IsModifiable", row.is_modifiable);
            xml.value(
                "ApplyMethod",
                if row.is_static || row.source != "user" {
                    "pending-reboot"
                } else {
                    "immediate"
                },
            );
        });
        xml.optional("Marker", page.marker);
    })
}

/// `DescribeOptionGroups`, by name or by engine and major version.
pub(crate) fn describe_option_groups(call: &mut Call<'_>) -> Answer {
    Filters::read(call.params, &[])?;
    let (scope, params, limit) = (call.scope, call.params, call.world.knobs.page_limit);
    let wanted = params
        .text("OptionGroupName")
        .map(|name| name.to_ascii_lowercase());
    let (engine, major) = (params.text("EngineName"), params.text("MajorEngineVersion"));
    let region = call.region();
    let found: Vec<&OptionGroup> = region
        .option_groups
        .values()
        .filter(|group| {
            wanted.as_ref().is_none_or(|name| *name == group.name)
                && engine.as_ref().is_none_or(|engine| *engine == group.engine)
                && major
                    .as_ref()
                    .is_none_or(|major| *major == group.major_version)
        })
        .collect();
    if let (Some(name), true) = (&wanted, found.is_empty()) {
        return Err(ApiError::no_option_group(name));
    }
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.list(
            "OptionGroupsList",
            "OptionGroup",
            page.items,
            |xml, group| {
                xml.value("OptionGroupName", &group.name);
                xml.value("OptionGroupDescription", &group.description);
                xml.value("EngineName", &group.engine);
                xml.value("MajorEngineVersion", &group.major_version);
                xml.list("Options", "Option", &group.options, |xml, option| {
                    xml.value("OptionName", &option.name);
                    xml.value("OptionDescription", &option.name);
                    xml.value("Persistent", option.persistent);
                    xml.value("Permanent", option.permanent);
                    xml.list(
                        "OptionSettings",
                        "OptionSetting",
                        &option.settings,
                        |xml, (name, value)| {
                            xml.value("Name", name);
                            xml.value("Value", value);
                        },
                    );
                });
                xml.value("AllowsVpcAndNonVpcInstanceMemberships", true);
                xml.value("OptionGroupArn", scope.arn("og", &group.name));
            },
        );
        xml.optional("Marker", page.marker);
    })
}

/// `DescribeDBSubnetGroups`.
pub(crate) fn describe_subnet_groups(call: &mut Call<'_>) -> Answer {
    Filters::read(call.params, &[])?;
    let (scope, params, limit) = (call.scope, call.params, call.world.knobs.page_limit);
    let wanted = params
        .text("DBSubnetGroupName")
        .map(|name| name.to_ascii_lowercase());
    let region = call.region();
    let found: Vec<&SubnetGroup> = region
        .subnet_groups
        .values()
        .filter(|group| wanted.as_ref().is_none_or(|name| *name == group.name))
        .collect();
    if let (Some(name), true) = (&wanted, found.is_empty()) {
        return Err(ApiError::no_subnet_group(name));
    }
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.list(
            "DBSubnetGroups",
            "DBSubnetGroup",
            page.items,
            |xml, group| {
                write_subnet_group(xml, group, Some(scope.arn("subgrp", &group.name)));
            },
        );
        xml.optional("Marker", page.marker);
    })
}

/// Writes a subnet group; only its own Describe gives the ARN and the network types.
pub(crate) fn write_subnet_group(xml: &mut Xml, group: &SubnetGroup, arn: Option<String>) {
    xml.value("DBSubnetGroupName", &group.name);
    xml.value("DBSubnetGroupDescription", &group.description);
    xml.value("VpcId", &group.vpc_id);
    xml.value("SubnetGroupStatus", "Complete");
    xml.list(
        "Subnets",
        "Subnet",
        &group.subnets,
        |xml, (subnet, zone)| {
            xml.value("SubnetIdentifier", subnet);
            xml.element("SubnetAvailabilityZone", |xml| xml.value("Name", zone));
            xml.element("SubnetOutpost", |_| {});
            xml.value("SubnetStatus", "Active");
        },
    );
    if let Some(arn) = arn {
        xml.value("DBSubnetGroupArn", arn);
        xml.values("SupportedNetworkTypes", "member", ["IPV4"]);
    }
}
