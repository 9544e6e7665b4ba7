//! EC2: the regions. EC2's own dialect of the Query protocol.

use crate::rds::catalog::REGIONS;
use crate::rds::error::ApiError;
use crate::rds::params::Params;
use crate::rds::state::Scope;
use crate::rds::xml::Xml;
use crate::wire::error;
use crate::world::World;

/// Namespace of every answer.
pub(crate) const XMLNS: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

/// Carries out an action; the answer is the inside of its root element.
pub(crate) fn dispatch(
    world: &World,
    scope: &Scope,
    action: &str,
    params: &Params,
) -> Result<String, ApiError> {
    if action != "DescribeRegions" {
        return Err(error(
            400,
            "InvalidAction",
            format!("The action {action} is not valid for this web service."),
        ));
    }
    if params.boolean("DryRun")?.unwrap_or(false) {
        return Err(error(
            412,
            "DryRunOperation",
            "Request would have succeeded, but DryRun flag is set.",
        ));
    }
    let status = |region: &str, by_default: bool| {
        if by_default {
            "opt-in-not-required"
        } else if world.neighbours.is_opted_in(&scope.account, region) {
            "opted-in"
        } else {
            "not-opted-in"
        }
    };
    let wanted = numbered(params, "RegionName");
    if let Some(unknown) = wanted
        .iter()
        .find(|name| !REGIONS.iter().any(|(region, _)| region == name))
    {
        return Err(error(
            400,
            "InvalidParameterValue",
            format!("Invalid region name: {unknown}"),
        ));
    }
    let mut filters = Vec::new();
    for number in 1.. {
        let Some(name) = params.text(&format!("Filter.{number}.Name")) else {
            break;
        };
        if !matches!(name.as_str(), "opt-in-status" | "region-name" | "endpoint") {
            return Err(error(
                400,
                "InvalidParameterValue",
                format!("The filter '{name}' is invalid"),
            ));
        }
        filters.push((name, numbered(params, &format!("Filter.{number}.Value"))));
    }
    let all = params.boolean("AllRegions")?.unwrap_or(false);
    let mut regions: Vec<(&str, &str)> = REGIONS
        .iter()
        .map(|(region, by_default)| (*region, status(region, *by_default)))
        .filter(|(region, status)| {
            (all || *status != "not-opted-in" || wanted.iter().any(|name| name == region))
                && (wanted.is_empty() || wanted.iter().any(|name| name == region))
        })
        .filter(|(region, status)| {
            filters.iter().all(|(name, values)| {
                let own = match name.as_str() {
                    "opt-in-status" => (*status).to_owned(),
                    "region-name" => (*region).to_owned(),
                    _ => endpoint(region),
                };
                values
                    .iter()
                    .any(|value| crate::fault::matches(value, &own))
            })
        })
        .collect();
    regions.sort_unstable();
    let mut xml = Xml::new();
    xml.list("regionInfo", "item", regions, |xml, (region, status)| {
        xml.value("regionName", region);
        xml.value("regionEndpoint", endpoint(region));
        xml.value("optInStatus", status);
    });
    Ok(xml.into_string())
}

fn endpoint(region: &str) -> String {
    format!("ec2.{region}.amazonaws.com")
}

/// `Name.1`, `Name.2`, …: EC2's lists are flat.
fn numbered(params: &Params, name: &str) -> Vec<String> {
    (1..)
        .map_while(|number| params.text(&format!("{name}.{number}")))
        .collect()
}
