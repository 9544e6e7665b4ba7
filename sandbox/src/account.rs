//! Account Management: the regions of an account, REST with JSON.

use serde_json::{Value, json};

use crate::neighbours::page;
use crate::rds::catalog::REGIONS;
use crate::rds::error::ApiError;
use crate::rds::state::Scope;
use crate::world::World;

/// Carries out an action.
pub(crate) fn dispatch(
    world: &World,
    scope: &Scope,
    action: &str,
    body: &Value,
) -> Result<Value, ApiError> {
    let status = |name: &str, by_default: bool| {
        if by_default {
            "ENABLED_BY_DEFAULT"
        } else if world.neighbours.is_opted_in(&scope.account, name) {
            "ENABLED"
        } else {
            "DISABLED"
        }
    };
    match action {
        "ListRegions" => list_regions(body, status),
        "GetRegionOptStatus" => {
            let name = body
                .get("RegionName")
                .and_then(Value::as_str)
                .unwrap_or_default();
            REGIONS
                .iter()
                .find(|(region, _)| *region == name)
                .map(|(region, by_default)| {
                    json!({ "RegionName": region, "RegionOptStatus": status(region, *by_default) })
                })
                .ok_or_else(|| validation("RegionName is not valid"))
        }
        _ => Err(crate::wire::error(404, "UnknownOperationException", "")),
    }
}

fn validation(message: &str) -> ApiError {
    ApiError::new("ValidationException", message)
}

/// `POST /listRegions`. Regions that came with the account are `ENABLED_BY_DEFAULT`; opt-in regions are
/// `DISABLED` unless the scenario uses them or opts in.
fn list_regions(
    body: &Value,
    status: impl Fn(&str, bool) -> &'static str,
) -> Result<Value, ApiError> {
    let wanted: Option<Vec<&str>> = body
        .get("RegionOptStatusContains")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).collect());
    let all: Vec<Value> = REGIONS
        .iter()
        .map(|(name, by_default)| (*name, status(name, *by_default)))
        .filter(|(_, status)| {
            wanted
                .as_ref()
                .is_none_or(|wanted| wanted.is_empty() || wanted.contains(status))
        })
        .map(|(name, status)| json!({ "RegionName": name, "RegionOptStatus": status }))
        .collect();
    let (regions, next) = page(all, body, ("MaxResults", "NextToken"), 50, 50, |what| {
        validation(&format!("{what} is not valid"))
    })?;
    let mut answer = json!({ "Regions": regions });
    if let (Some(next), Some(object)) = (next, answer.as_object_mut()) {
        object.insert("NextToken".to_owned(), json!(next));
    }
    Ok(answer)
}
