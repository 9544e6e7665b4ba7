//! Account Management: the regions of an account, REST with JSON.

use serde_json::{Value, json};

use crate::rds::catalog::REGIONS;
use crate::rds::error::ApiError;

/// `POST /listRegions`. Regions that came with the account are `ENABLED_BY_DEFAULT`; opt-in regions are
/// `DISABLED` unless the scenario uses them.
pub(crate) fn list_regions(body: &Value, used: &[String]) -> Result<Value, ApiError> {
    let wanted: Option<Vec<&str>> = body
        .get("RegionOptStatusContains")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).collect());
    let most = body.get("MaxResults").and_then(Value::as_u64).unwrap_or(50);
    if !(1..=50).contains(&most) {
        return Err(ApiError::new(
            "ValidationException",
            "MaxResults must be between 1 and 50",
        ));
    }
    let start = match body.get("NextToken").and_then(Value::as_str) {
        None => 0,
        Some(token) => token
            .parse::<usize>()
            .map_err(|_error| ApiError::new("ValidationException", "Invalid NextToken"))?,
    };
    let all: Vec<Value> = REGIONS
        .iter()
        .map(|(name, by_default)| {
            let status = match (by_default, used.iter().any(|region| region == name)) {
                (true, _) => "ENABLED_BY_DEFAULT",
                (false, true) => "ENABLED",
                (false, false) => "DISABLED",
            };
            (*name, status)
        })
        .filter(|(_, status)| wanted.as_ref().is_none_or(|wanted| wanted.contains(status)))
        .map(|(name, status)| json!({ "RegionName": name, "RegionOptStatus": status }))
        .collect();
    let page: Vec<Value> = all
        .iter()
        .skip(start)
        .take(usize::try_from(most).unwrap_or(50))
        .cloned()
        .collect();
    let end = start + page.len();
    let mut answer = json!({ "Regions": page });
    if end < all.len()
        && let Some(object) = answer.as_object_mut()
    {
        object.insert("NextToken".to_owned(), json!(end.to_string()));
    }
    Ok(answer)
}
