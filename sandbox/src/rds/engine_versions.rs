//! What the region offers apart from its resources: engine versions, certificates, other regions, and what
//! an instance could be changed to.

use super::catalog;
use super::error::ApiError;
use super::page::{Filters, page};
use super::{Answer, Call, instances, result};

/// The certificate authorities: identifier, and the years of their first and last day.
const AUTHORITIES: [(&str, i16, i16); 4] = [
    ("rds-ca-2019", 2019, 2024),
    ("rds-ca-rsa2048-g1", 2021, 2061),
    ("rds-ca-rsa4096-g1", 2021, 2121),
    ("rds-ca-ecc384-g1", 2021, 2121),
];

/// Logs that an engine can export.
fn logs(engine: &str) -> &'static [&'static str] {
    match engine {
        "postgres" => &["iam-db-auth-error", "postgresql", "upgrade"],
        "aurora-postgresql" => &["iam-db-auth-error", "instance", "postgresql"],
        "mysql" | "mariadb" => &[
            "audit",
            "error",
            "general",
            "iam-db-auth-error",
            "slowquery",
        ],
        "aurora-mysql" => &[
            "audit",
            "error",
            "general",
            "iam-db-auth-error",
            "instance",
            "slowquery",
        ],
        _ => &[],
    }
}

fn title(engine: &str) -> &'static str {
    match engine {
        "mysql" => "MySQL Community Edition",
        "mariadb" => "MariaDB Community Edition",
        "postgres" => "PostgreSQL",
        "aurora-mysql" => "Aurora MySQL",
        "aurora-postgresql" => "Aurora (PostgreSQL)",
        _ => "Neptune",
    }
}

/// Numbers of a version, for comparison; Aurora MySQL's own number follows MySQL's.
fn numbers(version: &str) -> Vec<u64> {
    version
        .split(['.', '_'])
        .filter_map(|part| part.parse().ok())
        .collect()
}

struct Version {
    engine: &'static str,
    version: String,
}

impl Version {
    fn major(&self) -> String {
        catalog::major_version(self.engine, &self.version)
    }

    fn family(&self) -> String {
        catalog::family(self.engine, &self.version)
    }
}

/// `DescribeDBEngineVersions`: those of the catalogue, and those that instances of this region have.
pub(crate) fn describe(call: &mut Call<'_>) -> Answer {
    let filters = Filters::read(
        call.params,
        &[
            "db-parameter-group-family",
            "engine",
            "engine-mode",
            "engine-version",
            "status",
        ],
    )?;
    let (scope, params, limit) = (call.scope, call.params, call.world.knobs.page_limit);
    let (engine, version, family) = (
        params.text("Engine"),
        params.text("EngineVersion"),
        params.text("DBParameterGroupFamily"),
    );
    let default_only = params.boolean("DefaultOnly")?.unwrap_or(false);
    let mut engines: Vec<&'static str> = catalog::families().map(|(_, engine, _)| engine).collect();
    engines.sort_unstable();
    engines.dedup();
    let region = call.region();
    let mut all: Vec<Version> = Vec::new();
    for engine in engines {
        let mut versions: Vec<String> = catalog::versions(engine)
            .iter()
            .map(|version| (*version).to_owned())
            .chain(
                region
                    .instances
                    .iter()
                    .filter(|instance| instance.engine == engine)
                    .map(|instance| instance.engine_version.clone()),
            )
            .collect();
        versions.sort_by_key(|version| numbers(version));
        versions.dedup();
        all.extend(
            versions
                .into_iter()
                .map(|version| Version { engine, version }),
        );
    }
    let found: Vec<&Version> = all
        .iter()
        .filter(|known| {
            engine.as_ref().is_none_or(|engine| engine == known.engine)
                // A major version means all of its minor versions.
                && version.as_ref().is_none_or(|wanted| {
                    known.version == *wanted || known.version.starts_with(&format!("{wanted}."))
                })
                && family.as_ref().is_none_or(|family| *family == known.family())
                && filters.admits("db-parameter-group-family", &[&known.family()])
                && filters.admits("engine", &[known.engine])
                && filters.admits("engine-mode", &["provisioned"])
                && filters.admits("engine-version", &[&known.version])
                && filters.admits("status", &["available"])
        })
        .collect();
    // The default is the newest version of the newest major version that is asked about.
    let found: Vec<&Version> = if default_only {
        let mut newest: Vec<&Version> = Vec::new();
        for version in found {
            match newest
                .iter_mut()
                .find(|known| known.engine == version.engine)
            {
                Some(known) => *known = version,
                None => newest.push(version),
            }
        }
        newest
    } else {
        found
    };
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.optional("Marker", page.marker.as_ref());
        xml.list(
            "DBEngineVersions",
            "DBEngineVersion",
            page.items,
            |xml, version| {
                xml.value("Engine", version.engine);
                xml.value("MajorEngineVersion", version.major());
                xml.value("EngineVersion", &version.version);
                xml.value("DBParameterGroupFamily", version.family());
                xml.value("DBEngineDescription", title(version.engine));
                xml.value(
                    "DBEngineVersionDescription",
                    format_args!("{} {}", title(version.engine), version.version),
                );
                let newer = all.iter().filter(|other| {
                    other.engine == version.engine
                        && numbers(&other.version) > numbers(&version.version)
                });
                xml.list(
                    "ValidUpgradeTarget",
                    "UpgradeTarget",
                    newer,
                    |xml, other| {
                        xml.value("Engine", other.engine);
                        xml.value("EngineVersion", &other.version);
                        xml.value(
                            "Description",
                            format_args!("{} {}", title(other.engine), other.version),
                        );
                        xml.value("AutoUpgrade", false);
                        xml.value("IsMajorVersionUpgrade", other.major() != version.major());
                    },
                );
                xml.values("ExportableLogTypes", "member", logs(version.engine));
                xml.value(
                    "SupportsLogExportsToCloudwatchLogs",
                    !logs(version.engine).is_empty(),
                );
                xml.value("SupportsReadReplica", true);
                xml.values("SupportedFeatureNames", "member", Vec::<String>::new());
                xml.value("Status", "available");
                xml.value("SupportsParallelQuery", false);
                xml.value(
                    "SupportsGlobalDatabases",
                    version.engine.starts_with("aurora"),
                );
                xml.value("SupportsBabelfish", false);
                xml.value("SupportsCertificateRotationWithoutRestart", true);
                xml.values(
                    "SupportedCACertificateIdentifiers",
                    "member",
                    AUTHORITIES.iter().skip(1).map(|(id, ..)| id),
                );
                xml.value("DBEngineMediaType", "AWS Provided");
                xml.value(
                    "DBEngineVersionArn",
                    scope.arn(
                        "db-engine-version",
                        &format!("{}/{}", version.engine, version.version),
                    ),
                );
            },
        );
    })
}

/// `DescribeCertificates`.
pub(crate) fn describe_certificates(call: &mut Call<'_>) -> Answer {
    Filters::read(call.params, &[])?;
    let (scope, params, limit) = (call.scope, call.params, call.world.knobs.page_limit);
    let wanted = params.text("CertificateIdentifier");
    let default = call.region().default_ca.clone();
    let found: Vec<_> = AUTHORITIES
        .iter()
        .filter(|(id, ..)| wanted.as_ref().is_none_or(|wanted| wanted == id))
        .collect();
    if let (Some(id), true) = (&wanted, found.is_empty()) {
        return Err(ApiError::new(
            "CertificateNotFound",
            format!("Certificate not found: {id}"),
        ));
    }
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.value("DefaultCertificateForNewLaunches", &default);
        xml.list(
            "Certificates",
            "Certificate",
            page.items,
            |xml, (id, from, till)| {
                xml.value("CertificateIdentifier", id);
                xml.value("CertificateType", "CA");
                xml.value("ValidFrom", format_args!("{from}-08-22T17:08:50.000Z"));
                xml.value("ValidTill", format_args!("{till}-08-22T17:08:50.000Z"));
                xml.value(
                    "CertificateArn",
                    format_args!("arn:{}:rds:{}::cert:{id}", scope.partition(), scope.region),
                );
                xml.value("CustomerOverride", false);
            },
        );
        xml.optional("Marker", page.marker);
    })
}

/// `DescribeSourceRegions`: where a replica, a snapshot copy or a replicated backup of this region may come
/// from.
pub(crate) fn describe_source_regions(call: &mut Call<'_>) -> Answer {
    Filters::read(call.params, &[])?;
    let (scope, params, limit) = (call.scope, call.params, call.world.knobs.page_limit);
    let wanted = params.text("RegionName");
    if let Some(name) = &wanted
        && !catalog::REGIONS.iter().any(|(known, _)| known == name)
    {
        return Err(ApiError::value(format!("Invalid region name: {name}")));
    }
    let mut found: Vec<&str> = catalog::REGIONS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| *name != scope.region && wanted.as_ref().is_none_or(|wanted| wanted == name))
        .collect();
    found.sort_unstable();
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.optional("Marker", page.marker.as_ref());
        xml.list("SourceRegions", "SourceRegion", page.items, |xml, name| {
            xml.value("RegionName", name);
            xml.value("Endpoint", format_args!("https://rds.{name}.amazonaws.com"));
            xml.value("Status", "available");
            xml.value("SupportsDBInstanceAutomatedBackupsReplication", true);
        });
    })
}

/// A kind of volume: sizes, IOPS, IOPS per GiB, throughput.
struct Volume {
    kind: &'static str,
    gib: (i64, i64),
    iops: Option<(i64, i64)>,
    ratio: Option<(f64, f64)>,
    throughput: Option<(i64, i64)>,
}

/// `DescribeValidDBInstanceModifications`: storage never shrinks, and gp3 takes IOPS only from its striping
/// threshold on (§1.4).
pub(crate) fn describe_valid_modifications(call: &mut Call<'_>) -> Answer {
    let reference = call.params.required("DBInstanceIdentifier")?;
    let instance = instances::find(call.region(), &reference)?.clone();
    if !instance.is_ready() {
        return Err(ApiError::instance_state(format!(
            "DB instance {} is not in available state.",
            instance.id
        )));
    }
    let least = |bound: i64| bound.max(instance.allocated_storage);
    let volumes = [
        Volume {
            kind: "gp2",
            gib: (least(20), 65_536),
            iops: None,
            ratio: None,
            throughput: None,
        },
        Volume {
            kind: "gp3",
            gib: (least(20), 65_536),
            iops: Some((12_000, 64_000)),
            ratio: Some((0.0, 500.0)),
            throughput: Some((500, 4_000)),
        },
        Volume {
            kind: "io1",
            gib: (least(100), 65_536),
            iops: Some((1_000, 256_000)),
            ratio: Some((0.5, 50.0)),
            throughput: None,
        },
        Volume {
            kind: "io2",
            gib: (least(100), 65_536),
            iops: Some((1_000, 256_000)),
            ratio: Some((0.5, 1_000.0)),
            throughput: None,
        },
        Volume {
            kind: "standard",
            gib: (least(5), 3_072),
            iops: None,
            ratio: None,
            throughput: None,
        },
    ];
    let ranges = |xml: &mut super::xml::Xml, name: &str, (from, to): (i64, i64)| {
        xml.element(name, |xml| {
            xml.element("Range", |xml| {
                xml.value("From", from);
                xml.value("To", to);
                xml.value("Step", 1);
            });
        });
    };
    result(|xml| {
        xml.element("ValidDBInstanceModificationsMessage", |xml| {
            let fitting = volumes.iter().filter(|volume| volume.gib.0 <= volume.gib.1);
            xml.list("Storage", "ValidStorageOptions", fitting, |xml, volume| {
                xml.value("StorageType", volume.kind);
                ranges(xml, "StorageSize", volume.gib);
                if let Some(iops) = volume.iops {
                    ranges(xml, "ProvisionedIops", iops);
                }
                if let Some((from, to)) = volume.ratio {
                    xml.element("IopsToStorageRatio", |xml| {
                        xml.element("DoubleRange", |xml| {
                            xml.value("From", from);
                            xml.value("To", to);
                        });
                    });
                }
                if let Some(throughput) = volume.throughput {
                    ranges(xml, "ProvisionedStorageThroughput", throughput);
                }
                xml.value("SupportsStorageAutoscaling", volume.kind != "standard");
            });
            xml.values(
                "ValidProcessorFeatures",
                "AvailableProcessorFeature",
                Vec::<String>::new(),
            );
            xml.value(
                "SupportsDedicatedLogVolume",
                matches!(instance.storage_type.as_str(), "io1" | "io2"),
            );
        });
    })
}
