//! What option groups and subnet groups say.

use super::error::ApiError;
use super::page::{Filters, page};
use super::state::{OptionGroup, Scope, SubnetGroup};
use super::xml::Xml;
use super::{Answer, Call, result};

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
            |xml, group| write_option_group(xml, scope, group),
        );
        xml.optional("Marker", page.marker);
    })
}

/// Writes an option group.
pub(crate) fn write_option_group(xml: &mut Xml, scope: &Scope, group: &OptionGroup) {
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
