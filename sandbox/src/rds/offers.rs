//! What surrounds the instances: events and orderable options.

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
