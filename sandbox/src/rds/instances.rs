//! DB instances as Describe shows them.

use jiff::Timestamp;

use super::catalog;
use super::error::ApiError;
use super::links::Links;
use super::listing::Listing;
use super::names::parse_arn;
use super::page::{Filters, page};
use super::state::{Changes, DbInstance, Region, Scope, Tag};
use super::xml::Xml;
use super::{Answer, Call, backups, result};
use crate::clock::plus;
use crate::world::World;

/// Name under which the engines know the endpoint of an instance: unique in the sandbox.
pub(crate) fn endpoint_name(scope: &Scope, id: &str) -> String {
    format!("{}/{}/{id}", scope.account, scope.region)
}

/// The instance that a parameter names, by identifier or ARN, as it truly is.
pub(crate) fn find<'a>(region: &'a Region, reference: &str) -> Result<&'a DbInstance, ApiError> {
    let name = match parse_arn(reference) {
        Some(arn) if arn.kind == "db" => arn.name,
        _ => reference.to_owned(),
    };
    region
        .instance(&name)
        .filter(|instance| !instance.hidden)
        .ok_or_else(|| ApiError::no_instance(&name))
}

/// `DescribeDBInstances`. An identifier without a match is an error; a filter without one is an empty list.
pub(crate) fn describe(call: &mut Call<'_>) -> Answer {
    let filters = Filters::read(
        call.params,
        &[
            "db-cluster-id",
            "db-instance-id",
            "dbi-resource-id",
            "domain",
            "engine",
        ],
    )?;
    let wanted = call
        .params
        .text("DBInstanceIdentifier")
        .map(|reference| parse_arn(&reference).map_or(reference, |arn| arn.name));
    let (now, limit, version) = (call.now, call.world.knobs.page_limit, call.world.version);
    let (scope, params) = (call.scope, call.params);
    call.world.described = true;
    let kept = call
        .region()
        .listing
        .take()
        .filter(|kept| kept.holds(version, now));
    let mut listing = match kept {
        Some(kept) => kept,
        None => {
            let links = Links::of(call.world, scope, now);
            Listing::new(call.region(), links, version, now)
        }
    };
    let region = call.region();
    let admitted = |position: &usize| {
        filters.is_empty()
            || listing.view(region, *position).is_some_and(|instance| {
                filters.admits(
                    "db-instance-id",
                    &[&instance.id, &scope.arn("db", &instance.id)],
                ) && filters.admits("dbi-resource-id", &[&instance.resource_id])
                    && filters.admits("engine", &[&instance.engine])
                    && filters.admits("domain", &[])
                    && filters.admits(
                        "db-cluster-id",
                        &instance
                            .cluster
                            .as_deref()
                            .map_or_else(Vec::new, |cluster| vec![cluster]),
                    )
            })
    };
    let named = |name: &str| {
        let found = listing.shown().iter().copied().find(|position| {
            listing.view(region, *position).is_some_and(|instance| {
                instance.id.eq_ignore_ascii_case(name) || instance.resource_id == name
            })
        });
        found.ok_or_else(|| ApiError::no_instance(name))
    };
    let found = match &wanted {
        Some(name) => named(name).map(|one| vec![one]),
        None => Ok(listing.shown().to_vec()),
    };
    let page = found.and_then(|mut found| {
        found.retain(admitted);
        page(params, found, 100, limit)
    });
    let answer = page.map(|page| {
        let mut xml = Xml::with_capacity(page.items.len() * TYPICAL);
        xml.list("DBInstances", "DBInstance", page.items, |xml, position| {
            listing.write(xml, scope, region, position);
        });
        xml.optional("Marker", page.marker);
        Some(xml.into_string())
    });
    region.listing = Some(listing);
    answer
}

/// Bytes of an instance in an answer, most of the time.
const TYPICAL: usize = 5_000;

/// When the latest restorable time moves next: every five minutes, as the transaction logs are shipped.
pub(super) fn next_step(now: Timestamp) -> Timestamp {
    plus(last_step(now), 300)
}

/// When it moved last.
pub(super) fn last_step(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second() - now.as_second().rem_euclid(300)).unwrap_or(now)
}

/// The end of an instance's server certificate, which lasts a year and is renewed in time.
pub(super) fn certificate_end(instance: &DbInstance, now: Timestamp) -> Option<Timestamp> {
    let created = instance.created?;
    let years = now.duration_since(created).as_secs() / (365 * 86_400) + 1;
    Some(plus(created, years * 365 * 86_400))
}

/// The answer of an action that changes one instance: how it was before, with what is pending.
pub(crate) fn answer(call: &mut Call<'_>, instance: &DbInstance) -> Answer {
    let (scope, now) = (call.scope, call.now);
    let links = Links::of(call.world, scope, now);
    let region = call.region();
    result(|xml| {
        xml.element("DBInstance", |xml| {
            write(xml, scope, region, &links, instance, now);
        });
    })
}

/// Writes a DB instance: every member that has a value.
pub(crate) fn write(
    xml: &mut Xml,
    scope: &Scope,
    region: &Region,
    links: &Links,
    instance: &DbInstance,
    now: Timestamp,
) {
    xml.value("DBInstanceIdentifier", &instance.id);
    xml.value("DBInstanceClass", &instance.class);
    xml.value("Engine", &instance.engine);
    xml.value("DBInstanceStatus", &instance.status);
    xml.value("MasterUsername", &instance.master_username);
    xml.optional("DBName", instance.db_name.as_ref());
    if let Some(host) = &instance.endpoint_host {
        xml.element("Endpoint", |xml| {
            xml.value("Address", host);
            xml.value("Port", instance.port);
            xml.value("HostedZoneId", hosted_zone(&scope.region));
        });
    }
    xml.value("AllocatedStorage", instance.allocated_storage);
    if let Some(created) = instance.created {
        xml.time("InstanceCreateTime", created);
    }
    xml.value("PreferredBackupWindow", &instance.backup_window);
    xml.value("BackupRetentionPeriod", instance.backup_retention);
    xml.values("DBSecurityGroups", "DBSecurityGroup", Vec::<String>::new());
    xml.list(
        "VpcSecurityGroups",
        "VpcSecurityGroupMembership",
        &instance.security_groups,
        |xml, group| {
            xml.value("VpcSecurityGroupId", &group.name);
            xml.value("Status", &group.status);
        },
    );
    xml.element("DBParameterGroups", |xml| {
        xml.element("DBParameterGroup", |xml| {
            xml.value("DBParameterGroupName", &instance.parameter_group);
            xml.value("ParameterApplyStatus", &instance.parameter_status);
        });
    });
    if instance.status != "creating" || instance.created.is_some() {
        xml.value("AvailabilityZone", &instance.availability_zone);
    }
    if let Some(group) = region.subnet_groups.get(&instance.subnet_group) {
        xml.element("DBSubnetGroup", |xml| {
            super::groups::write_subnet_group(xml, group, None);
        });
    }
    xml.value("PreferredMaintenanceWindow", &instance.maintenance_window);
    xml.element("PendingModifiedValues", |xml| {
        write_pending(xml, &instance.pending);
    });
    // Behind the present by what was not shipped yet.
    if instance.backup_retention > 0 && instance.created.is_some() && !instance.is_cluster_member()
    {
        xml.time("LatestRestorableTime", backups::latest_restorable(now));
    }
    xml.value("MultiAZ", instance.multi_az);
    xml.value("EngineVersion", &instance.engine_version);
    xml.value(
        "AutoMinorVersionUpgrade",
        instance.auto_minor_version_upgrade,
    );
    // A source that was renamed is shown by its new name.
    xml.optional(
        "ReadReplicaSourceDBInstanceIdentifier",
        links.source(instance),
    );
    xml.values(
        "ReadReplicaDBInstanceIdentifiers",
        "ReadReplicaDBInstanceIdentifier",
        links.replicas(instance),
    );
    xml.value("LicenseModel", &instance.license_model);
    xml.optional("Iops", instance.iops);
    xml.optional("StorageThroughput", instance.throughput);
    xml.element("OptionGroupMemberships", |xml| {
        xml.element("OptionGroupMembership", |xml| {
            xml.value("OptionGroupName", &instance.option_group);
            xml.value("Status", &instance.option_status);
        });
    });
    xml.optional("CharacterSetName", instance.character_set.as_ref());
    xml.optional("SecondaryAvailabilityZone", instance.secondary_az.as_ref());
    xml.value("PubliclyAccessible", instance.publicly_accessible);
    if let Some(replication) = &instance.replication {
        xml.list(
            "StatusInfos",
            "DBInstanceStatusInfo",
            [replication],
            |xml, info| {
                xml.value("StatusType", "read replication");
                xml.value("Normal", info.status == "replicating");
                xml.value("Status", &info.status);
                if !info.name.is_empty() {
                    xml.value("Message", &info.name);
                }
            },
        );
    }
    xml.value("StorageType", &instance.storage_type);
    xml.value("StorageEncryptionType", &instance.encryption_type);
    // 0 in most answers; the port is Endpoint.Port.
    xml.value("DbInstancePort", 0);
    xml.optional("DBClusterIdentifier", instance.cluster.as_ref());
    xml.value("StorageEncrypted", instance.encrypted);
    xml.optional("KmsKeyId", instance.kms_key.as_ref());
    xml.value("DbiResourceId", &instance.resource_id);
    // The CA disappears while an instance is being deleted.
    if let Some(ca) = instance
        .ca
        .as_ref()
        .filter(|_| instance.status != "deleting")
    {
        xml.value("CACertificateIdentifier", ca);
        xml.element("CertificateDetails", |xml| {
            xml.value("CAIdentifier", ca);
            if let Some(end) = certificate_end(instance, now) {
                xml.time("ValidTill", end);
            }
        });
    }
    xml.values(
        "DomainMemberships",
        "DomainMembership",
        Vec::<String>::new(),
    );
    xml.value("CopyTagsToSnapshot", instance.copy_tags);
    xml.value("MonitoringInterval", instance.monitoring_interval);
    if instance.monitoring_interval > 0 {
        xml.value(
            "EnhancedMonitoringResourceArn",
            format_args!(
                "arn:{}:logs:{}:{}:log-group:RDSOSMetrics:log-stream:{}",
                scope.partition(),
                scope.region,
                scope.account,
                instance.resource_id
            ),
        );
    }
    xml.optional("MonitoringRoleArn", instance.monitoring_role.as_ref());
    xml.optional("PromotionTier", instance.promotion_tier);
    xml.value("DBInstanceArn", scope.arn("db", &instance.id));
    xml.optional("Timezone", instance.timezone.as_ref());
    xml.value("IAMDatabaseAuthenticationEnabled", instance.iam_auth);
    xml.value("DatabaseInsightsMode", &instance.insights_mode);
    xml.value("PerformanceInsightsEnabled", instance.pi_enabled);
    if instance.pi_enabled {
        xml.optional("PerformanceInsightsKMSKeyId", instance.pi_key.as_ref());
        xml.optional("PerformanceInsightsRetentionPeriod", instance.pi_retention);
    }
    if !instance.log_exports.is_empty() {
        xml.values(
            "EnabledCloudwatchLogsExports",
            "member",
            &instance.log_exports,
        );
    }
    if !instance.processor_features.is_empty() {
        xml.list(
            "ProcessorFeatures",
            "ProcessorFeature",
            &instance.processor_features,
            |xml, (name, value)| {
                xml.value("Name", name);
                xml.value("Value", value);
            },
        );
    }
    xml.value("DeletionProtection", instance.deletion_protection);
    xml.list(
        "AssociatedRoles",
        "DBInstanceRole",
        &instance.roles,
        |xml, role| {
            xml.value("RoleArn", &role.role_arn);
            xml.value("FeatureName", &role.feature_name);
            xml.value("Status", &role.status);
        },
    );
    xml.optional("MaxAllocatedStorage", instance.max_allocated_storage);
    write_tags(xml, &instance.tags);
    xml.value("CustomerOwnedIpEnabled", false);
    xml.value("NetworkType", &instance.network_type);
    super::activity::write(xml, region, &instance.resource_id);
    super::backup_replication::write_replications(xml, region, &instance.resource_id);
    xml.value("BackupTarget", &instance.backup_target);
    if let Some(time) = instance.automatic_restart {
        xml.time("AutomaticRestartTime", time);
    }
    if let Some(secret) = &instance.managed_secret {
        xml.element("MasterUserSecret", |xml| {
            xml.value("SecretArn", &secret.arn);
            xml.value("SecretStatus", &secret.status);
            xml.value("KmsKeyId", &secret.kms_key);
        });
    }
    if !instance.is_cluster_member() {
        xml.value("DedicatedLogVolume", instance.dedicated_log_volume);
        xml.value("IsStorageConfigUpgradeAvailable", false);
        xml.value("EngineLifecycleSupport", &instance.lifecycle_support);
    }
}

/// Writes `TagList`.
pub(crate) fn write_tags(xml: &mut Xml, tags: &[Tag]) {
    xml.list("TagList", "Tag", tags, |xml, tag| {
        xml.value("Key", &tag.key);
        xml.value("Value", &tag.value);
    });
}

fn write_pending(xml: &mut Xml, pending: &Changes) {
    xml.optional("DBInstanceClass", pending.class.as_ref());
    xml.optional("AllocatedStorage", pending.allocated_storage);
    // A password is shown masked.
    xml.optional(
        "MasterUserPassword",
        pending.password.as_ref().map(|_| "****"),
    );
    xml.optional("Port", pending.port);
    xml.optional("BackupRetentionPeriod", pending.backup_retention);
    xml.optional("MultiAZ", pending.multi_az);
    xml.optional("EngineVersion", pending.engine_version.as_ref());
    xml.optional("LicenseModel", pending.license_model.as_ref());
    xml.optional("Iops", pending.iops);
    xml.optional("StorageThroughput", pending.throughput);
    xml.optional("DBInstanceIdentifier", pending.new_id.as_ref());
    xml.optional("StorageType", pending.storage_type.as_ref());
    xml.optional("CACertificateIdentifier", pending.ca.as_ref());
    xml.optional("DBSubnetGroupName", pending.subnet_group.as_ref());
    if !pending.logs_enabling.is_empty() || !pending.logs_disabling.is_empty() {
        xml.element("PendingCloudwatchLogsExports", |xml| {
            xml.values("LogTypesToEnable", "member", &pending.logs_enabling);
            xml.values("LogTypesToDisable", "member", &pending.logs_disabling);
        });
    }
    xml.optional("IAMDatabaseAuthenticationEnabled", pending.iam_auth);
    xml.optional("DedicatedLogVolume", pending.dedicated_log_volume);
}

/// A hosted zone per region: constant, and nothing more is ever asked of it.
fn hosted_zone(region: &str) -> String {
    let sum = region.bytes().fold(17_u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    format!("Z{sum:014X}").chars().take(14).collect()
}

/// The AWS-like host name of an instance. With a real server behind it, the endpoint is the server's own
/// loopback address instead, which a client can connect to.
pub(crate) fn host_name(region: &Region, scope: &Scope, id: &str) -> String {
    format!("{id}.{}.{}.rds.amazonaws.com", region.suffix, scope.region)
}

/// A new resource id: `db-` and 26 characters of base32.
pub(crate) fn new_resource_id(call: &mut Call<'_>, id: &str) -> String {
    resource_id_for(call.world, call.scope, id)
}

/// The same for an instance that comes into being without a call of its own.
pub(crate) fn resource_id_for(world: &mut World, scope: &Scope, id: &str) -> String {
    let key = format!("resource/{}", endpoint_name(scope, id));
    format!(
        "db-{}",
        world
            .dice
            .word(&key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 26)
    )
}

/// The family that a parameter group must have for this instance.
pub(crate) fn check_parameter_group(
    region: &Region,
    name: &str,
    engine: &str,
    version: &str,
) -> Result<(), ApiError> {
    let group = region
        .parameter_groups
        .get(&name.to_ascii_lowercase())
        .ok_or_else(|| ApiError::no_parameter_group(name))?;
    let family = catalog::family(engine, version);
    if group.family == family {
        Ok(())
    } else {
        Err(ApiError::combination(format!(
            "The Parameter Group {name} with DBParameterGroupFamily {} cannot be used for this instance. Please use a Parameter Group with DBParameterGroupFamily {family}",
            group.family
        )))
    }
}

/// The same for option groups.
pub(crate) fn check_option_group(
    region: &Region,
    name: &str,
    engine: &str,
    version: &str,
) -> Result<(), ApiError> {
    let group = region
        .option_groups
        .get(&name.to_ascii_lowercase())
        .ok_or_else(|| ApiError::no_option_group(name))?;
    let major = catalog::major_version(engine, version);
    if group.engine == engine && group.major_version == major {
        Ok(())
    } else {
        Err(ApiError::combination(format!(
            "The option group {name} is for {} {} and cannot be used with {engine} {major}.",
            group.engine, group.major_version
        )))
    }
}
