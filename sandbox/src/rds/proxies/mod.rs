//! RDS Proxy: proxies, their one target group `default`, and its targets.

mod targets;

use std::collections::BTreeMap;

pub(crate) use self::targets::{deregister, describe_groups, describe_targets, register};
use super::error::ApiError;
use super::names::instance_id;
use super::page::{Filters, page};
use super::state::{DbProxy, ProxySecret, Region, Scope};
use super::xml::Xml;
use super::{Answer, Call, quotas, result, tags};
use crate::world::Timeline;

fn not_found(name: &str) -> ApiError {
    ApiError::new("DBProxyNotFoundFault", format!("DBProxy {name} not found."))
}

fn find<'a>(region: &'a Region, name: &str) -> Result<&'a DbProxy, ApiError> {
    region
        .proxies
        .iter()
        .find(|proxy| proxy.name.eq_ignore_ascii_case(name))
        .ok_or_else(|| not_found(name))
}

fn find_mut<'a>(region: &'a mut Region, name: &str) -> Result<&'a mut DbProxy, ApiError> {
    region
        .proxies
        .iter_mut()
        .find(|proxy| proxy.name.eq_ignore_ascii_case(name))
        .ok_or_else(|| not_found(name))
}

fn write(xml: &mut Xml, scope: &Scope, suffix: &str, proxy: &DbProxy) {
    xml.value("DBProxyName", &proxy.name);
    xml.value("DBProxyArn", scope.arn("db-proxy", &proxy.name));
    xml.value("Status", &proxy.status);
    xml.value("EngineFamily", &proxy.engine_family);
    xml.value("VpcId", &proxy.vpc_id);
    xml.values("VpcSecurityGroupIds", "member", &proxy.security_groups);
    xml.values("VpcSubnetIds", "member", &proxy.subnets);
    xml.list("Auth", "member", &proxy.secrets, |xml, secret| {
        xml.value("AuthScheme", "SECRETS");
        xml.value("SecretArn", &secret.secret_arn);
        xml.value("IAMAuth", &secret.iam_auth);
    });
    xml.value("RoleArn", &proxy.role_arn);
    // There is an endpoint once there is a proxy behind it.
    if proxy.status != "creating" {
        xml.value(
            "Endpoint",
            format_args!(
                "{}.proxy-{suffix}.{}.rds.amazonaws.com",
                proxy.name, scope.region
            ),
        );
    }
    xml.value("RequireTLS", proxy.require_tls);
    xml.value("IdleClientTimeout", proxy.idle_client_timeout);
    xml.value("DebugLogging", proxy.debug_logging);
    xml.time("CreatedDate", proxy.created);
    xml.time("UpdatedDate", proxy.created);
}

fn answer(call: &mut Call<'_>, name: &str) -> Answer {
    let scope = call.scope;
    let region = call.region();
    let proxy = find(region, name)?;
    result(|xml| xml.element("DBProxy", |xml| write(xml, scope, &region.suffix, proxy)))
}

/// The VPC of these subnets, which must lie in two zones of one VPC.
fn vpc(region: &Region, subnets: &[String]) -> Result<String, ApiError> {
    let invalid = |why: &str| ApiError::new("InvalidSubnet", why);
    let mut zones: Vec<&str> = Vec::new();
    let mut vpcs: Vec<&str> = Vec::new();
    for subnet in subnets {
        let (zone, vpc) = region
            .subnet_groups
            .values()
            .find_map(|group| {
                let (_, zone) = group.subnets.iter().find(|(id, _)| id == subnet)?;
                Some((zone.as_str(), group.vpc_id.as_str()))
            })
            .ok_or_else(|| invalid(&format!("The subnet {subnet} does not exist.")))?;
        zones.push(zone);
        vpcs.push(vpc);
    }
    zones.sort_unstable();
    zones.dedup();
    vpcs.dedup();
    match vpcs.as_slice() {
        [vpc] if zones.len() >= 2 => Ok((*vpc).to_owned()),
        _ => Err(invalid(
            "The subnets of a proxy must be in one VPC and in at least two Availability Zones.",
        )),
    }
}

/// `CreateDBProxy`.
pub(crate) fn create(call: &mut Call<'_>) -> Answer {
    let (params, scope, now) = (call.params, call.scope, call.now);
    let name = instance_id("DBProxyName", &params.required("DBProxyName")?)?;
    let engine_family = params.required("EngineFamily")?;
    if !["MYSQL", "POSTGRESQL", "SQLSERVER"].contains(&engine_family.as_str()) {
        return Err(ApiError::value(format!(
            "Invalid engine family: {engine_family}"
        )));
    }
    let role_arn = params.required("RoleArn")?;
    if !role_arn.contains(":role/") {
        return Err(ApiError::value(format!("Invalid role ARN: {role_arn}")));
    }
    let subnets = params.list("VpcSubnetIds").unwrap_or_default();
    let mut secrets = Vec::new();
    for auth in params.structures("Auth").unwrap_or_default() {
        secrets.push(ProxySecret {
            secret_arn: auth.required("SecretArn")?,
            iam_auth: auth
                .text("IAMAuth")
                .unwrap_or_else(|| "DISABLED".to_owned()),
        });
    }
    if secrets.is_empty() && params.text("DefaultAuthScheme").as_deref() != Some("IAM_AUTH") {
        return Err(ApiError::combination(
            "Auth must be specified unless DefaultAuthScheme is IAM_AUTH.",
        ));
    }
    let (require_tls, debug_logging, idle_client_timeout) = (
        params.boolean("RequireTLS")?.unwrap_or(false),
        params.boolean("DebugLogging")?.unwrap_or(false),
        params.integer("IdleClientTimeout")?.unwrap_or(1800),
    );
    let tags = tags::from_request(params, "Tags")?.unwrap_or_default();
    let region = call.region();
    if find(region, &name).is_ok() {
        return Err(ApiError::new(
            "DBProxyAlreadyExistsFault",
            format!("DBProxy {name} already exists."),
        ));
    }
    let vpc_id = vpc(region, &subnets)?;
    if quotas::count(region.proxies.len()) >= quotas::PROXIES {
        return Err(ApiError::new(
            "DBProxyQuotaExceededFault",
            format!("You can't have more than {} proxies.", quotas::PROXIES),
        ));
    }
    let security_groups = params
        .list("VpcSecurityGroupIds")
        .filter(|groups| !groups.is_empty())
        .unwrap_or_else(|| vec![region.default_security_group.clone()]);
    region.proxies.push(DbProxy {
        name: name.clone(),
        engine_family,
        targets: Vec::new(),
        registered: BTreeMap::new(),
        clusters: Vec::new(),
        status: "creating".to_owned(),
        role_arn,
        vpc_id,
        subnets,
        security_groups,
        secrets,
        require_tls,
        debug_logging,
        idle_client_timeout,
        created: now,
        tags,
    });
    let took = call.world.takes(&format!("proxy/{name}"), (120, 300));
    let made = name.clone();
    call.world.schedule(
        now,
        Timeline::new(scope, &format!("proxy:{name}")).then(took, move |moment| {
            if let Ok(proxy) = find_mut(moment.region(), &made) {
                proxy.status = "available".to_owned();
            }
            let (scope, now) = (moment.scope.clone(), moment.now);
            moment.world.event(
                &scope,
                now,
                "db-proxy",
                &made,
                "creation",
                format!("RDS created DB proxy {made}."),
            );
        }),
    );
    answer(call, &name)
}

/// `DeleteDBProxy`: it goes with its target group.
pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    let (scope, now) = (call.scope, call.now);
    let name = call.params.required("DBProxyName")?;
    let proxy = find_mut(call.region(), &name)?;
    if proxy.status == "deleting" {
        return Err(state(proxy));
    }
    proxy.status = "deleting".to_owned();
    let name = proxy.name.clone();
    let subject = format!("proxy:{name}");
    call.world.cancel(scope, &subject);
    let took = call.world.takes(&format!("proxy/{name}"), (60, 180));
    let gone = name.clone();
    call.world.schedule(
        now,
        Timeline::new(scope, &subject).then(took, move |moment| {
            moment.region().proxies.retain(|proxy| proxy.name != gone);
            let (scope, now) = (moment.scope.clone(), moment.now);
            moment.world.event(
                &scope,
                now,
                "db-proxy",
                &gone,
                "deletion",
                format!("RDS deleted DB proxy {gone}."),
            );
        }),
    );
    answer(call, &name)
}

fn state(proxy: &DbProxy) -> ApiError {
    ApiError::new(
        "InvalidDBProxyStateFault",
        format!(
            "DBProxy {} is in the state {}.",
            proxy.name,
            proxy.status.to_ascii_uppercase()
        ),
    )
}

/// `DescribeDBProxies`.
pub(crate) fn describe(call: &mut Call<'_>) -> Answer {
    Filters::read(call.params, &[])?;
    let (scope, params, limit) = (call.scope, call.params, call.world.knobs.page_limit);
    let wanted = params.text("DBProxyName");
    let region = call.region();
    let found: Vec<_> = region
        .proxies
        .iter()
        .filter(|proxy| {
            wanted
                .as_ref()
                .is_none_or(|name| name.eq_ignore_ascii_case(&proxy.name))
        })
        .collect();
    if let (Some(name), true) = (&wanted, found.is_empty()) {
        return Err(not_found(name));
    }
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.list("DBProxies", "member", page.items, |xml, proxy| {
            write(xml, scope, &region.suffix, proxy);
        });
        xml.optional("Marker", page.marker);
    })
}
