//! Zero-ETL integrations: read only. They name their source by its ARN and do not notice what becomes of it.

use jiff::Timestamp;

use super::error::ApiError;
use super::page::{Filters, page};
use super::{Answer, Call, result};

/// An integration that a scenario sets.
#[derive(Debug, Clone)]
pub(crate) struct Integration {
    pub(crate) name: String,
    pub(crate) source_arn: String,
    pub(crate) target_arn: String,
    pub(crate) status: String,
    pub(crate) created: Timestamp,
}

/// `DescribeIntegrations`.
pub(crate) fn describe(call: &mut Call<'_>) -> Answer {
    let filters = Filters::read(call.params, &["source-arn", "status", "source-types"])?;
    let (params, limit) = (call.params, call.world.knobs.page_limit);
    let (wanted, scope) = (params.text("IntegrationIdentifier"), call.scope);
    let arn = |one: &Integration| scope.arn("integration", &one.name);
    let region = call.region();
    let found: Vec<&Integration> = region
        .integrations
        .iter()
        .filter(|one| {
            wanted
                .as_ref()
                .is_none_or(|id| *id == one.name || *id == arn(one))
        })
        .filter(|one| {
            filters.admits("source-arn", &[&one.source_arn])
                && filters.admits("status", &[&one.status])
        })
        .collect();
    if let (Some(id), true) = (&wanted, found.is_empty()) {
        return Err(ApiError::new(
            "IntegrationNotFoundFault",
            format!("Integration {id} not found."),
        ));
    }
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.optional("Marker", page.marker.as_ref());
        xml.list("Integrations", "Integration", page.items, |xml, one| {
            xml.value("IntegrationName", &one.name);
            xml.value("IntegrationArn", arn(one));
            xml.value("SourceArn", &one.source_arn);
            xml.value("TargetArn", &one.target_arn);
            xml.value("Status", &one.status);
            xml.time("CreateTime", one.created);
        });
    })
}
