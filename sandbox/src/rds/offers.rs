//! What surrounds the instances: events, quotas, orderable options, maintenance, subscriptions, proxies.

use super::catalog;
use super::error::ApiError;
use super::page::{Filters, page};
use super::state::Event;
use super::{Answer, Call, result};
use crate::clock::plus;

/// `DescribeEvents`: the last hour unless told otherwise, fourteen days at most.
pub(crate) fn describe_events(call: &mut Call<'_>) -> Answer {
    Filters::read(call.params, &[])?;
    let (params, now, limit) = (call.params, call.now, call.world.knobs.page_limit);
    let (source, source_type) = (params.text("SourceIdentifier"), params.text("SourceType"));
    if source.is_some() && source_type.is_none() {
        return Err(ApiError::combination(
            "SourceType must be specified together with SourceIdentifier.",
        ));
    }
    let time = |name: &str| -> Result<Option<jiff::Timestamp>, ApiError> {
        params
            .text(name)
            .map(|text| {
                text.parse()
                    .map_err(|_error| ApiError::malformed(name, &text, "Timestamp"))
            })
            .transpose()
    };
    let (start, end, duration) = (
        time("StartTime")?,
        time("EndTime")?,
        params.integer("Duration")?,
    );
    let end = end.unwrap_or(now);
    let start = start
        .unwrap_or_else(|| plus(end, -60 * duration.unwrap_or(60)))
        .max(plus(now, -14 * 86_400));
    let categories = params.list("EventCategories").unwrap_or_default();
    let region = call.region();
    let found: Vec<&Event> = region
        .events
        .iter()
        .filter(|event| {
            event.at >= start
                && event.at <= end
                && source_type
                    .as_ref()
                    .is_none_or(|kind| *kind == event.source_type)
                && source
                    .as_ref()
                    .is_none_or(|source| source.eq_ignore_ascii_case(&event.source))
                && (categories.is_empty()
                    || categories.iter().any(|category| category == event.category))
        })
        .collect();
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.list("Events", "Event", page.items, |xml, event| {
            xml.value("SourceIdentifier", &event.source);
            xml.value("SourceType", event.source_type);
            xml.value("Message", &event.message);
            xml.values(
                "EventCategories",
                "EventCategory",
                Some(event.category).filter(|category| !category.is_empty()),
            );
            xml.time("Date", event.at);
            xml.value("SourceArn", &event.arn);
        });
        xml.optional("Marker", page.marker);
    })
}

/// `DescribeAccountAttributes`: quotas with what is used of them.
pub(crate) fn describe_account_attributes(call: &mut Call<'_>) -> Answer {
    let region = call.region();
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let custom = |names: Vec<&String>| {
        count(
            names
                .iter()
                .filter(|name| !name.starts_with("default"))
                .count(),
        )
    };
    let roles = region
        .instances
        .iter()
        .map(|instance| instance.roles.len())
        .max()
        .unwrap_or(0);
    let replicas = region
        .instances
        .iter()
        .map(|instance| region.replicas_of(&instance.resource_id).count())
        .max()
        .unwrap_or(0);
    let subnets = region
        .subnet_groups
        .values()
        .map(|group| group.subnets.len())
        .max()
        .unwrap_or(0);
    let storage = region
        .instances
        .iter()
        .map(|instance| instance.allocated_storage)
        .sum();
    let manual = region
        .snapshots
        .iter()
        .filter(|snapshot| snapshot.snapshot_type == "manual")
        .count();
    let manual_cluster = region
        .cluster_snapshots
        .iter()
        .filter(|snapshot| snapshot.snapshot_type == "manual")
        .count();
    let quotas = [
        ("AllocatedStorage", storage, region.quotas.storage_gib),
        ("AuthorizationsPerDBSecurityGroup", 0, 20),
        ("CustomEndpointsPerDBCluster", 0, 5),
        ("DBClusterParameterGroups", 0, 50),
        ("DBClusterRoles", 0, 5),
        ("DBClusters", count(region.clusters.len()), 40),
        (
            "DBInstanceRoles",
            count(roles),
            region.quotas.roles_per_instance,
        ),
        (
            "DBInstances",
            count(region.instances.len()),
            region.quotas.instances,
        ),
        (
            "DBParameterGroups",
            custom(region.parameter_groups.keys().collect()),
            50,
        ),
        ("DBSecurityGroups", 0, 25),
        ("DBSubnetGroups", count(region.subnet_groups.len()), 50),
        (
            "EventSubscriptions",
            count(region.event_subscriptions.len()),
            20,
        ),
        ("ManualClusterSnapshots", count(manual_cluster), 100),
        (
            "ManualSnapshots",
            count(manual),
            region.quotas.manual_snapshots,
        ),
        (
            "OptionGroups",
            custom(region.option_groups.keys().collect()),
            20,
        ),
        (
            "ReadReplicasPerMaster",
            count(replicas),
            region.quotas.replicas_per_source,
        ),
        ("ReservedDBInstances", 0, 40),
        ("SubnetsPerDBSubnetGroup", count(subnets), 20),
    ];
    result(|xml| {
        xml.list(
            "AccountQuotas",
            "AccountQuota",
            quotas,
            |xml, (name, used, max)| {
                xml.value("AccountQuotaName", name);
                xml.value("Used", used);
                xml.value("Max", max);
            },
        );
    })
}

/// `DescribeOrderableDBInstanceOptions`: classes, versions and storage types of an engine.
pub(crate) fn describe_orderable(call: &mut Call<'_>) -> Answer {
    Filters::read(call.params, &[])?;
    let (scope, params) = (call.scope, call.params);
    let engine = params.required("Engine")?;
    let (version, class) = (params.text("EngineVersion"), params.text("DBInstanceClass"));
    let mut versions: Vec<String> = catalog::versions(&engine)
        .iter()
        .map(|version| (*version).to_owned())
        .collect();
    // What already runs is orderable, whatever else the list knows.
    for instance in &call.region().instances {
        if instance.engine == engine && !versions.contains(&instance.engine_version) {
            versions.push(instance.engine_version.clone());
        }
    }
    let kinds: &[&str] = if engine.starts_with("aurora") {
        &["aurora", "aurora-iopt1"]
    } else {
        &["gp2", "gp3", "io1", "io2", "standard"]
    };
    let mut rows = Vec::new();
    for version in versions
        .iter()
        .filter(|known| version.as_ref().is_none_or(|wanted| wanted == *known))
    {
        for class in catalog::CLASSES
            .iter()
            .filter(|known| class.as_ref().is_none_or(|wanted| wanted == *known))
        {
            for kind in kinds {
                rows.push((version.clone(), *class, *kind));
            }
        }
    }
    let page = page(params, rows, 1000, 1000)?;
    result(|xml| {
        xml.list(
            "OrderableDBInstanceOptions",
            "OrderableDBInstanceOption",
            page.items,
            |xml, (version, class, kind)| {
                let old = !catalog::class_supports_encryption(class);
                let provisioned = matches!(kind, "io1" | "io2");
                xml.value("Engine", &engine);
                xml.value("EngineVersion", version);
                xml.value("DBInstanceClass", class);
                xml.value("LicenseModel", catalog::default_license(&engine));
                xml.list(
                    "AvailabilityZones",
                    "AvailabilityZone",
                    ["a", "b", "c"],
                    |xml, zone| xml.value("Name", format_args!("{}{zone}", scope.region)),
                );
                xml.value("MultiAZCapable", true);
                xml.value("ReadReplicaCapable", true);
                xml.value("Vpc", true);
                xml.value("SupportsStorageEncryption", !old);
                xml.value("StorageType", kind);
                xml.value("SupportsIops", provisioned || kind == "gp3");
                xml.value("SupportsStorageThroughput", kind == "gp3");
                xml.value("SupportsEnhancedMonitoring", true);
                xml.value("SupportsIAMDatabaseAuthentication", !old);
                xml.value(
                    "SupportsPerformanceInsights",
                    !class.ends_with(".micro") && !class.ends_with(".small"),
                );
                xml.value("MinStorageSize", if provisioned { 100 } else { 20 });
                xml.value("MaxStorageSize", 65_536);
                if provisioned {
                    xml.value("MinIopsPerDbInstance", 1000);
                    xml.value(
                        "MaxIopsPerDbInstance",
                        if kind == "io1" { 80_000 } else { 256_000 },
                    );
                    xml.value("MinIopsPerGib", 0.5);
                    xml.value("MaxIopsPerGib", if kind == "io1" { 50.0 } else { 1000.0 });
                }
                xml.values(
                    "AvailableProcessorFeatures",
                    "AvailableProcessorFeature",
                    Vec::<String>::new(),
                );
                xml.value("SupportsStorageAutoscaling", !engine.starts_with("aurora"));
                xml.value("SupportsKerberosAuthentication", !old);
                xml.value("OutpostCapable", false);
                xml.values("SupportedNetworkTypes", "member", ["IPV4", "DUAL"]);
                xml.value("SupportsGlobalDatabases", engine.starts_with("aurora"));
                xml.value("SupportsClusters", engine.starts_with("aurora"));
                xml.value("SupportsDedicatedLogVolume", provisioned);
            },
        );
        xml.optional("Marker", page.marker);
    })
}

/// `DescribePendingMaintenanceActions`: only resources with at least one action.
pub(crate) fn describe_pending_maintenance(call: &mut Call<'_>) -> Answer {
    let filters = Filters::read(call.params, &["db-cluster-id", "db-instance-id"])?;
    let (scope, params, limit) = (call.scope, call.params, call.world.knobs.page_limit);
    let wanted = params.text("ResourceIdentifier");
    let region = call.region();
    let mut found: Vec<(String, Vec<&super::state::PendingAction>)> = Vec::new();
    for action in &region.pending_actions {
        let Some(instance) = region.by_resource(&action.resource_id) else {
            continue;
        };
        let arn = scope.arn("db", &instance.id);
        if wanted.as_ref().is_some_and(|wanted| *wanted != arn)
            || !filters.admits("db-instance-id", &[&instance.id, &arn])
            || !filters.admits("db-cluster-id", &[])
        {
            continue;
        }
        match found.iter_mut().find(|(known, _)| *known == arn) {
            Some((_, actions)) => actions.push(action),
            None => found.push((arn, vec![action])),
        }
    }
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.list(
            "PendingMaintenanceActions",
            "ResourcePendingMaintenanceActions",
            page.items,
            |xml, (arn, actions)| {
                xml.value("ResourceIdentifier", arn);
                xml.list(
                    "PendingMaintenanceActionDetails",
                    "PendingMaintenanceAction",
                    actions,
                    |xml, action| {
                        xml.value("Action", &action.action);
                        xml.value("Description", &action.description);
                    },
                );
            },
        );
        xml.optional("Marker", page.marker);
    })
}

/// `DescribeEventSubscriptions`: sources are listed by name, an empty list means all.
pub(crate) fn describe_event_subscriptions(call: &mut Call<'_>) -> Answer {
    Filters::read(call.params, &[])?;
    let (scope, params, limit) = (call.scope, call.params, call.world.knobs.page_limit);
    let wanted = params.text("SubscriptionName");
    let region = call.region();
    let found: Vec<_> = region
        .event_subscriptions
        .iter()
        .filter(|subscription| {
            wanted
                .as_ref()
                .is_none_or(|name| *name == subscription.name)
        })
        .collect();
    if let (Some(name), true) = (&wanted, found.is_empty()) {
        return Err(ApiError::new(
            "SubscriptionNotFound",
            format!("Subscription {name} not found."),
        ));
    }
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.list(
            "EventSubscriptionsList",
            "EventSubscription",
            page.items,
            |xml, subscription| {
                xml.value("CustomerAwsId", &scope.account);
                xml.value("CustSubscriptionId", &subscription.name);
                xml.value("SnsTopicArn", &subscription.topic_arn);
                xml.value("Status", "active");
                xml.optional("SourceType", subscription.source_type.as_ref());
                xml.values("SourceIdsList", "SourceId", &subscription.source_ids);
                xml.values(
                    "EventCategoriesList",
                    "EventCategory",
                    &subscription.categories,
                );
                xml.value("Enabled", true);
                xml.value("EventSubscriptionArn", scope.arn("es", &subscription.name));
            },
        );
        xml.optional("Marker", page.marker);
    })
}

/// `DescribeDBProxies`.
pub(crate) fn describe_proxies(call: &mut Call<'_>) -> Answer {
    Filters::read(call.params, &[])?;
    let (scope, params, limit) = (call.scope, call.params, call.world.knobs.page_limit);
    let wanted = params.text("DBProxyName");
    let region = call.region();
    let found: Vec<_> = region
        .proxies
        .iter()
        .filter(|proxy| wanted.as_ref().is_none_or(|name| *name == proxy.name))
        .collect();
    if let (Some(name), true) = (&wanted, found.is_empty()) {
        return Err(ApiError::new(
            "DBProxyNotFoundFault",
            format!("DBProxy {name} not found."),
        ));
    }
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.list("DBProxies", "member", page.items, |xml, proxy| {
            xml.value("DBProxyName", &proxy.name);
            xml.value("DBProxyArn", scope.arn("db-proxy", &proxy.name));
            xml.value("Status", "available");
            xml.value("EngineFamily", &proxy.engine_family);
            xml.value("VpcId", &region.default_vpc);
            xml.value(
                "Endpoint",
                format_args!(
                    "{}.proxy-{}.{}.rds.amazonaws.com",
                    proxy.name, region.suffix, scope.region
                ),
            );
            xml.value("RequireTLS", false);
        });
        xml.optional("Marker", page.marker);
    })
}

/// `DescribeDBProxyTargets`: a target is an instance identifier, with its health.
pub(crate) fn describe_proxy_targets(call: &mut Call<'_>) -> Answer {
    Filters::read(call.params, &[])?;
    let (params, now, limit) = (call.params, call.now, call.world.knobs.page_limit);
    let name = params.required("DBProxyName")?;
    let region = call.region();
    let proxy = region
        .proxies
        .iter()
        .find(|proxy| proxy.name == name)
        .ok_or_else(|| {
            ApiError::new("DBProxyNotFoundFault", format!("DBProxy {name} not found."))
        })?;
    let page = page(params, proxy.targets.iter().collect(), 100, limit)?;
    result(|xml| {
        xml.list("Targets", "member", page.items, |xml, target| {
            let instance = region
                .instance(target)
                .and_then(|instance| instance.shown(now));
            xml.value("Type", "RDS_INSTANCE");
            xml.value("RdsResourceId", target);
            xml.optional(
                "Endpoint",
                instance.and_then(|instance| instance.endpoint_host.as_ref()),
            );
            xml.optional("Port", instance.map(|instance| instance.port));
            xml.element("TargetHealth", |xml| {
                let available = instance.is_some_and(|instance| instance.status == "available");
                xml.value(
                    "State",
                    if available {
                        "AVAILABLE"
                    } else {
                        "UNAVAILABLE"
                    },
                );
                if !available {
                    xml.value("Reason", "UNREACHABLE");
                }
            });
        });
        xml.optional("Marker", page.marker);
    })
}
