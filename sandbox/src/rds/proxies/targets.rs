//! Targets of a proxy: registered by instance identifier, with a health of their own.
//!
//! What a rename does to a target is not documented. Here the target stays registered under the old name and
//! is unavailable, also when another instance takes that name: it has to be registered anew.

use jiff::Timestamp;

use super::{find, find_mut, state};
use crate::clock::plus;
use crate::rds::error::ApiError;
use crate::rds::page::{Filters, page};
use crate::rds::state::{DbInstance, DbProxy, Region, Registration, Scope};
use crate::rds::xml::Xml;
use crate::rds::{Answer, Call, result};

/// The name of every proxy's only target group.
const GROUP: &str = "default";

/// The target group that a call means must be the one there is.
fn check_group(call: &Call<'_>) -> Result<(), ApiError> {
    match call.params.text("TargetGroupName") {
        Some(name) if name != GROUP => Err(ApiError::new(
            "DBProxyTargetGroupNotFoundFault",
            format!("DBProxyTargetGroup {name} not found."),
        )),
        _ => Ok(()),
    }
}

/// One line of the list of targets.
enum Target<'a> {
    Cluster(&'a str),
    Instance {
        name: &'a str,
        cluster: Option<&'a str>,
        instance: Option<&'a DbInstance>,
        ready: bool,
    },
}

fn targets<'a>(region: &'a Region, proxy: &'a DbProxy, now: Timestamp) -> Vec<Target<'a>> {
    let mut all = Vec::new();
    for name in &proxy.targets {
        let registration = proxy.registered.get(name);
        all.push(Target::Instance {
            name,
            cluster: None,
            instance: region
                .instance(name)
                .and_then(|instance| instance.shown(now))
                .filter(|instance| {
                    registration
                        .is_none_or(|registered| registered.resource_id == instance.resource_id)
                }),
            ready: registration.is_none_or(|registered| registered.ready <= now),
        });
    }
    for cluster in &proxy.clusters {
        all.push(Target::Cluster(cluster));
        let ready = proxy
            .registered
            .get(cluster)
            .is_none_or(|registered| registered.ready <= now);
        for member in region
            .instances
            .iter()
            .filter(|member| member.cluster.as_ref() == Some(cluster))
        {
            all.push(Target::Instance {
                name: &member.id,
                cluster: Some(cluster),
                instance: Some(member),
                ready,
            });
        }
    }
    all
}

fn write(xml: &mut Xml, scope: &Scope, target: &Target<'_>) {
    match target {
        Target::Cluster(name) => {
            xml.value("TargetArn", scope.arn("cluster", name));
            xml.value("RdsResourceId", name);
            xml.value("Type", "TRACKED_CLUSTER");
        }
        Target::Instance {
            name,
            cluster,
            instance,
            ready,
        } => {
            xml.value("TargetArn", scope.arn("db", name));
            xml.optional(
                "Endpoint",
                instance.and_then(|instance| instance.endpoint_host.as_ref()),
            );
            xml.optional("TrackedClusterId", cluster.as_ref());
            xml.value("RdsResourceId", name);
            xml.optional("Port", instance.map(|instance| instance.port));
            xml.value("Type", "RDS_INSTANCE");
            if let (Some(_), Some(member)) = (cluster, instance) {
                xml.value(
                    "Role",
                    if member.cluster_writer {
                        "READ_WRITE"
                    } else {
                        "READ_ONLY"
                    },
                );
            }
            xml.element("TargetHealth", |xml| {
                let reachable = instance.is_some_and(|instance| instance.is_ready());
                let (state, reason) = match (reachable, ready) {
                    (false, _) => ("UNAVAILABLE", Some("UNREACHABLE")),
                    (true, false) => ("REGISTERING", Some("PENDING_PROXY_CAPACITY")),
                    (true, true) => ("AVAILABLE", None),
                };
                xml.value("State", state);
                xml.optional("Reason", reason);
            });
        }
    }
}

/// `DescribeDBProxyTargets`.
pub(crate) fn describe_targets(call: &mut Call<'_>) -> Answer {
    Filters::read(call.params, &[])?;
    check_group(call)?;
    let (scope, params, now, limit) = (
        call.scope,
        call.params,
        call.now,
        call.world.knobs.page_limit,
    );
    let name = params.required("DBProxyName")?;
    let region = call.region();
    let proxy = find(region, &name)?;
    let page = page(params, targets(region, proxy, now), 100, limit)?;
    result(|xml| {
        xml.list("Targets", "member", page.items, |xml, target| {
            write(xml, scope, &target);
        });
        xml.optional("Marker", page.marker);
    })
}

/// `DescribeDBProxyTargetGroups`.
pub(crate) fn describe_groups(call: &mut Call<'_>) -> Answer {
    Filters::read(call.params, &[])?;
    check_group(call)?;
    let (scope, params, limit) = (call.scope, call.params, call.world.knobs.page_limit);
    let name = params.required("DBProxyName")?;
    let proxy = find(call.region(), &name)?;
    let page = page(params, vec![proxy], 100, limit)?;
    result(|xml| {
        xml.list("TargetGroups", "member", page.items, |xml, proxy| {
            xml.value("DBProxyName", &proxy.name);
            xml.value("TargetGroupName", GROUP);
            xml.value(
                "TargetGroupArn",
                scope.arn("target-group", &format!("prx-tg-{}", proxy.name)),
            );
            xml.value("IsDefault", true);
            xml.value("Status", &proxy.status);
            xml.element("ConnectionPoolConfig", |xml| {
                xml.value("MaxConnectionsPercent", 100);
                xml.value("MaxIdleConnectionsPercent", 50);
                xml.value("ConnectionBorrowTimeout", 120);
                xml.values("SessionPinningFilters", "member", Vec::<String>::new());
            });
            xml.time("CreatedDate", proxy.created);
            xml.time("UpdatedDate", proxy.created);
        });
        xml.optional("Marker", page.marker);
    })
}

/// The instances and clusters that a call names: at least one.
fn named(call: &Call<'_>) -> Result<(Vec<String>, Vec<String>), ApiError> {
    let lower = |name: &str| -> Vec<String> {
        call.params
            .list(name)
            .unwrap_or_default()
            .iter()
            .map(|id| id.to_ascii_lowercase())
            .collect()
    };
    let named = (
        lower("DBInstanceIdentifiers"),
        lower("DBClusterIdentifiers"),
    );
    if named.0.is_empty() && named.1.is_empty() {
        return Err(ApiError::combination(
            "DBInstanceIdentifiers or DBClusterIdentifiers must be specified.",
        ));
    }
    Ok(named)
}

/// Whether a proxy of this family serves this engine.
fn serves(family: &str, engine: &str) -> bool {
    match family {
        "MYSQL" => matches!(engine, "mysql" | "mariadb" | "aurora-mysql" | "aurora"),
        "POSTGRESQL" => matches!(engine, "postgres" | "aurora-postgresql"),
        _ => engine.starts_with("sqlserver"),
    }
}

/// `RegisterDBProxyTargets`: a proxy has one target, an instance or a cluster.
pub(crate) fn register(call: &mut Call<'_>) -> Answer {
    let (scope, now) = (call.scope, call.now);
    let name = call.params.required("DBProxyName")?;
    let (instances, clusters) = named(call)?;
    check_group(call)?;
    let region = call.region();
    let proxy = find(region, &name)?.clone();
    let mut registered = Vec::new();
    for id in &instances {
        let instance = region
            .instance(id)
            .filter(|instance| !instance.hidden)
            .ok_or_else(|| ApiError::no_instance(id))?;
        registered.push((id.clone(), instance.resource_id.clone()));
        if !instance.is_ready() {
            return Err(ApiError::instance_state(format!(
                "DB instance {id} is not in available state."
            )));
        }
        if !serves(&proxy.engine_family, &instance.engine) {
            return Err(ApiError::combination(format!(
                "The engine {} of {id} does not belong to the engine family {} of the proxy.",
                instance.engine, proxy.engine_family
            )));
        }
    }
    for id in &clusters {
        let cluster = region
            .clusters
            .iter()
            .find(|cluster| cluster.id == *id)
            .ok_or_else(|| ApiError::no_cluster(id))?;
        if !serves(&proxy.engine_family, &cluster.engine) {
            return Err(ApiError::combination(format!(
                "The engine {} of {id} does not belong to the engine family {} of the proxy.",
                cluster.engine, proxy.engine_family
            )));
        }
        registered.push((id.clone(), cluster.resource_id.clone()));
    }
    if proxy.status != "available" {
        return Err(state(&proxy));
    }
    if !(proxy.targets.is_empty() && proxy.clusters.is_empty()) || registered.len() > 1 {
        return Err(ApiError::new(
            "DBProxyTargetAlreadyRegisteredFault",
            format!("The proxy {name} is already associated with a DB instance or DB cluster."),
        ));
    }
    let took = call.world.takes(&format!("proxy-target/{name}"), (60, 180));
    let ready = plus(now, i64::try_from(took).unwrap_or(i64::MAX));
    let region = call.region();
    let proxy = find_mut(region, &name)?;
    proxy.targets.extend(instances);
    proxy.clusters.extend(clusters);
    proxy.registered.extend(
        registered
            .into_iter()
            .map(|(id, resource_id)| (id, Registration { resource_id, ready })),
    );
    let proxy = find(region, &name)?;
    result(|xml| {
        xml.list(
            "DBProxyTargets",
            "member",
            targets(region, proxy, now),
            |xml, target| write(xml, scope, &target),
        );
    })
}

/// `DeregisterDBProxyTargets`: by the name of registration, whoever has it now.
pub(crate) fn deregister(call: &mut Call<'_>) -> Answer {
    let name = call.params.required("DBProxyName")?;
    let (instances, clusters) = named(call)?;
    check_group(call)?;
    let proxy = find_mut(call.region(), &name)?;
    for id in &instances {
        if !proxy.targets.contains(id) {
            return Err(no_target(id));
        }
    }
    for id in &clusters {
        if !proxy.clusters.contains(id) {
            return Err(no_target(id));
        }
    }
    if proxy.status != "available" {
        return Err(state(proxy));
    }
    proxy.targets.retain(|id| !instances.contains(id));
    proxy.clusters.retain(|id| !clusters.contains(id));
    proxy
        .registered
        .retain(|id, _| !instances.contains(id) && !clusters.contains(id));
    result(|_| {})
}

fn no_target(id: &str) -> ApiError {
    ApiError::new(
        "DBProxyTargetNotFoundFault",
        format!("DBProxyTarget {id} not found."),
    )
}
