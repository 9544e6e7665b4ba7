//! The Data API of a cluster: `EnableHttpEndpoint` and `DisableHttpEndpoint`.

use super::super::error::ApiError;
use super::super::names::parse_arn;
use super::super::{Answer, Call, result};
use super::{check_available, find};

/// Switches it on.
pub(crate) fn enable(call: &mut Call<'_>) -> Answer {
    switch(call, true)
}

/// Switches it off.
pub(crate) fn disable(call: &mut Call<'_>) -> Answer {
    switch(call, false)
}

/// Takes the ARN of an Aurora cluster only.
fn switch(call: &mut Call<'_>, on: bool) -> Answer {
    let arn = call.params.required("ResourceArn")?;
    if parse_arn(&arn).is_none_or(|arn| arn.kind != "cluster") {
        return Err(ApiError::value(format!("Invalid resource ARN: {arn}")));
    }
    let cluster = find(call.region(), &arn)?.clone();
    check_available(&cluster)?;
    if !cluster.is_aurora() {
        return Err(ApiError::combination(format!(
            "HttpEndpoint is not supported for the engine {}.",
            cluster.engine
        )));
    }
    if let Some(truth) = call.region().cluster_by_resource_mut(&cluster.resource_id) {
        truth.http_endpoint = on;
    }
    result(|xml| {
        xml.value("ResourceArn", arn);
        xml.value("HttpEndpointEnabled", on);
    })
}
