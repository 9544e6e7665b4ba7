//! A member of a DB cluster: engine, version, storage, encryption, port and master user are the cluster's.

use super::super::clusters::{self, DbCluster};
use super::super::error::ApiError;
use super::super::placement::{check_ca, check_quotas, windows};
use super::super::state::{DbInstance, Membership, Region, Scope};
use super::super::{Answer, Call, catalog, data, instances};
use super::request::Request;
use crate::world::{Timeline, World};

/// Members of the request that belong to the cluster, with the words RDS uses for them.
const OF_THE_CLUSTER: [(&str, &str); 9] = [
    ("AllocatedStorage", "allocated storage"),
    ("BackupRetentionPeriod", "backup retention period"),
    ("DBName", "database name"),
    ("MasterUserPassword", "master user password"),
    ("MasterUsername", "master user name"),
    ("Port", "database endpoint port"),
    ("PreferredBackupWindow", "backup window"),
    ("VpcSecurityGroupIds", "vpc security group"),
    (
        "ManageMasterUserPassword",
        "master user password management",
    ),
];

pub(super) fn create(call: &mut Call<'_>, request: Request, cluster: &str) -> Answer {
    let (params, scope) = (call.params, call.scope);
    // Referenced objects.
    let cluster = clusters::find(call.region(), cluster)?.clone();
    let region = call.region();
    if region.name_taken(&request.id) {
        return Err(ApiError::new(
            "DBInstanceAlreadyExists",
            "DB instance already exists",
        ));
    }
    if let Some(name) = &request.parameter_group
        && !region.parameter_groups.contains_key(name)
    {
        return Err(ApiError::no_parameter_group(name));
    }
    if let Some(name) = &request.subnet_group
        && !region.subnet_groups.contains_key(name)
    {
        return Err(ApiError::no_subnet_group(name));
    }
    let ca = request.ca.unwrap_or_else(|| region.default_ca.clone());
    check_ca(&ca)?;
    let pi_key = request.insights.resolve(call.world, scope, None)?;
    // State.
    if cluster.status != "available" {
        return Err(ApiError::cluster_state(format!(
            "The DB cluster {} is not in available state.",
            cluster.id
        )));
    }
    // Combinations.
    if !cluster.is_aurora() {
        return Err(ApiError::combination(format!(
            "The DB instances of the Multi-AZ DB cluster {} are created with it.",
            cluster.id
        )));
    }
    for (name, words) in OF_THE_CLUSTER {
        if params.text(name).is_some() || params.list(name).is_some() {
            return Err(ApiError::combination(format!(
                "The requested DB Instance will be a member of a DB Cluster. Set {words} for the DB Cluster."
            )));
        }
    }
    if request.engine != cluster.engine {
        return Err(ApiError::combination(format!(
            "The engine name requested for your DB instance ({}) doesn't match the engine name of your DB cluster ({}).",
            request.engine, cluster.engine
        )));
    }
    if let Some(version) = &request.engine_version
        && *version != cluster.engine_version
    {
        return Err(ApiError::combination(format!(
            "The engine version that you requested for your DB instance ({version}) does not match the engine version of your DB cluster ({}).",
            cluster.engine_version
        )));
    }
    // Encryption is the cluster's; a request may repeat it but not differ.
    let same_key = request.kms_key.as_ref().is_none_or(|key| {
        call.region()
            .key(key)
            .is_some_and(|key| Some(&key.arn) == cluster.kms_key.as_ref())
    });
    if request.encrypt.unwrap_or(cluster.encrypted) != cluster.encrypted || !same_key {
        return Err(ApiError::combination(
            "The requested DB Instance will be a member of a DB Cluster. Set storage encryption for the DB Cluster.",
        ));
    }
    if request.deletion_protection {
        return Err(ApiError::combination(
            "The requested DB Instance will be a member of a DB Cluster. Set deletion protection for the DB Cluster.",
        ));
    }
    if params.boolean("MultiAZ")? == Some(true) {
        return Err(ApiError::combination(
            "VPC Multi-AZ DB Instances are not available for engine: aurora.",
        ));
    }
    if request
        .subnet_group
        .as_ref()
        .is_some_and(|name| *name != cluster.subnet_group)
    {
        return Err(ApiError::combination(format!(
            "The DB instance and the DB cluster {} must have the same DB subnet group.",
            cluster.id
        )));
    }
    request.monitoring.check(0, None)?;
    request.insights.check(false, None)?;
    let region = call.region();
    let parameter_group = match request.parameter_group {
        Some(name) => {
            instances::check_parameter_group(
                region,
                &name,
                &cluster.engine,
                &cluster.engine_version,
            )?;
            name
        }
        None => catalog::default_parameter_group(&cluster.engine, &cluster.engine_version),
    };
    let zones = region.zones(&cluster.subnet_group);
    let zone = params.text("AvailabilityZone");
    if let Some(zone) = &zone
        && !zones.contains(zone)
    {
        return Err(ApiError::new(
            "InvalidVPCNetworkStateFault",
            format!(
                "The subnet group {} has no subnet in {zone}.",
                cluster.subnet_group
            ),
        ));
    }
    // Quotas: a writer and up to fifteen readers.
    let members = members(region, &cluster.id).count();
    if members >= 16 {
        return Err(ApiError::new(
            "InstanceQuotaExceeded",
            format!(
                "The DB cluster {} has the maximum of 16 DB instances.",
                cluster.id
            ),
        ));
    }
    check_quotas(region, 0)?;

    let pi_enabled = request.insights.enable.unwrap_or(false);
    let mut new = of_cluster(call.world, scope, &cluster, &request.id, &request.class);
    new.parameter_group = parameter_group;
    new.availability_zone = zone.unwrap_or_else(|| {
        // Spread over the zones.
        let spread = zones.len().max(1);
        zones.get(members % spread).cloned().unwrap_or_default()
    });
    new.cluster_writer = members == 0;
    new.promotion_tier = Some(request.promotion_tier.unwrap_or(1));
    new.auto_minor_version_upgrade = request.auto_minor_version_upgrade;
    new.publicly_accessible = request.publicly_accessible;
    new.copy_tags = request.copy_tags;
    new.ca = Some(ca);
    if let Some(window) = request.maintenance_window {
        new.maintenance_window = window;
    }
    new.monitoring_interval = request.monitoring.interval.unwrap_or(0);
    new.monitoring_role = request.monitoring.role;
    new.insights_mode = request
        .insights
        .mode
        .unwrap_or_else(|| "standard".to_owned());
    new.pi_enabled = pi_enabled;
    new.pi_key = pi_key;
    new.pi_retention = pi_enabled.then(|| request.insights.retention.unwrap_or(7));
    new.tags = request.tags;
    call.region().instances.push(new.clone());
    let now = call.now;
    call.world.lag(scope, now, &new.resource_id, None);
    schedule(call.world, scope, now, &new);
    instances::answer(call, &new)
}

/// The members of a cluster, as they truly are.
pub(crate) fn members<'a>(
    region: &'a Region,
    cluster: &'a str,
) -> impl Iterator<Item = &'a DbInstance> {
    region
        .instances
        .iter()
        .filter(move |instance| instance.cluster.as_deref() == Some(cluster))
}

/// A new member with what is the cluster's.
pub(crate) fn of_cluster(
    world: &mut World,
    scope: &Scope,
    cluster: &DbCluster,
    id: &str,
    class: &str,
) -> DbInstance {
    let resource_id = instances::resource_id_for(world, scope, id);
    let (backup_window, maintenance_window) = windows(&mut world.dice, id);
    let region = world.region_mut(scope);
    DbInstance {
        id: id.to_owned(),
        resource_id,
        class: class.to_owned(),
        engine: cluster.engine.clone(),
        engine_version: cluster.engine_version.clone(),
        status: "creating".to_owned(),
        master_username: cluster.master_username.clone(),
        master_password: cluster.master_password.clone(),
        db_name: cluster.database_name.clone(),
        port: cluster.port,
        allocated_storage: cluster.allocated_storage,
        backup_window: if cluster.backup_window.is_empty() {
            backup_window
        } else {
            cluster.backup_window.clone()
        },
        backup_retention: cluster.backup_retention,
        security_groups: cluster
            .security_groups
            .iter()
            .map(|name| Membership {
                name: name.clone(),
                status: "active".to_owned(),
            })
            .collect(),
        parameter_group: catalog::default_parameter_group(&cluster.engine, &cluster.engine_version),
        parameter_status: "in-sync".to_owned(),
        option_group: catalog::default_option_group(&cluster.engine, &cluster.engine_version),
        option_status: "in-sync".to_owned(),
        subnet_group: cluster.subnet_group.clone(),
        maintenance_window,
        auto_minor_version_upgrade: true,
        license_model: catalog::default_license(&cluster.engine).to_owned(),
        storage_type: cluster
            .storage_type
            .clone()
            .unwrap_or_else(|| "aurora".to_owned()),
        iops: cluster.iops,
        throughput: cluster.throughput,
        cluster: Some(cluster.id.clone()),
        encrypted: cluster.encrypted,
        encryption_type: cluster.encryption_type.clone(),
        kms_key: cluster.kms_key.clone(),
        ca: Some(region.default_ca.clone()),
        promotion_tier: Some(1),
        iam_auth: cluster.iam_auth,
        insights_mode: "standard".to_owned(),
        log_exports: Vec::new(),
        network_type: cluster
            .network_type
            .clone()
            .unwrap_or_else(|| "IPV4".to_owned()),
        backup_target: "region".to_owned(),
        lifecycle_support: "open-source-rds-extended-support".to_owned(),
        ..DbInstance::default()
    }
}

/// `creating`, monitoring, `available`. There is no server behind a member.
pub(crate) fn schedule(world: &mut World, scope: &Scope, now: jiff::Timestamp, new: &DbInstance) {
    let took = world.takes(&format!("create/{}", new.id), (240, 600));
    let monitors = if new.monitoring_interval > 0 {
        world.takes(&format!("create-monitoring/{}", new.id), (60, 180))
    } else {
        0
    };
    let timeline = Timeline::new(scope, &new.resource_id)
        .then(took, move |moment| {
            let now = moment.now;
            if let Some(instance) = moment.instance() {
                instance.created = Some(now);
                instance.status = if monitors > 0 {
                    "configuring-enhanced-monitoring"
                } else {
                    "available"
                }
                .to_owned();
            }
            data::take_endpoint(moment);
            moment.event("creation", "DB instance created");
        })
        .then(monitors, |moment| {
            if moment
                .instance()
                .is_some_and(|instance| instance.status == "configuring-enhanced-monitoring")
            {
                moment.status("available");
            }
        });
    world.schedule(now, timeline);
}
