//! `DescribeDBClusterEndpoints`: the two endpoints that every cluster has. Custom ones cannot be made here.

use super::super::error::ApiError;
use super::super::names::parse_arn;
use super::super::page::{Filters, page};
use super::super::{Answer, Call, result};
use super::describe::endpoint;

/// `DescribeDBClusterEndpoints`.
pub(crate) fn describe(call: &mut Call<'_>) -> Answer {
    let filters = Filters::read(
        call.params,
        &[
            "db-cluster-endpoint-type",
            "db-cluster-endpoint-custom-type",
            "db-cluster-endpoint-id",
            "db-cluster-endpoint-status",
        ],
    )?;
    let (scope, params, now, limit) = (
        call.scope,
        call.params,
        call.now,
        call.world.knobs.page_limit,
    );
    let wanted = params
        .text("DBClusterIdentifier")
        .map(|name| parse_arn(&name).map_or(name, |arn| arn.name));
    let custom = params.text("DBClusterEndpointIdentifier");
    let region = call.region();
    let clusters: Vec<_> = region
        .clusters
        .iter()
        .filter_map(|cluster| cluster.shown(now))
        .filter(|cluster| {
            wanted
                .as_ref()
                .is_none_or(|id| cluster.id.eq_ignore_ascii_case(id))
        })
        .collect();
    if let (Some(id), true) = (&wanted, clusters.is_empty()) {
        return Err(ApiError::no_cluster(id));
    }
    let rows: Vec<(String, &'static str, String, &'static str)> = clusters
        .into_iter()
        .flat_map(|cluster| {
            let status = match cluster.status.as_str() {
                "creating" => "creating",
                "deleting" => "deleting",
                "stopped" | "stopping" | "starting" => "inactive",
                _ => "available",
            };
            [("WRITER", "cluster"), ("READER", "cluster-ro")].map(|(kind, infix)| {
                (
                    cluster.id.clone(),
                    kind,
                    endpoint(region, scope, &cluster.id, infix),
                    status,
                )
            })
        })
        .filter(|(_, kind, _, status)| {
            // The two built-in endpoints have neither an identifier nor a custom type.
            custom.is_none()
                && filters.admits("db-cluster-endpoint-type", &[kind])
                && filters.admits("db-cluster-endpoint-custom-type", &[])
                && filters.admits("db-cluster-endpoint-id", &[])
                && filters.admits("db-cluster-endpoint-status", &[status])
        })
        .collect();
    let page = page(params, rows, 100, limit)?;
    result(|xml| {
        xml.list(
            "DBClusterEndpoints",
            "DBClusterEndpointList",
            page.items,
            |xml, (id, kind, address, status)| {
                xml.value("DBClusterIdentifier", id);
                xml.value("Endpoint", address);
                xml.value("Status", status);
                xml.value("EndpointType", kind);
            },
        );
        xml.optional("Marker", page.marker);
    })
}
