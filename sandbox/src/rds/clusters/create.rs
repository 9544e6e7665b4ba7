//! `CreateDBCluster`.

use super::super::catalog::Storage;
use super::super::create::{self, credentials, member};
use super::super::error::ApiError;
use super::super::modify::secret;
use super::super::params::Params;
use super::super::placement::check_quotas;
use super::super::state::{DbCluster, Scope};
use super::super::{Answer, Call, windows};
use super::request::{Encryption, Wish};
use super::{cluster_of, describe, event, global, lag};
use crate::world::{Timeline, World};

/// Instances of a Multi-AZ DB cluster: a writer and two readers.
const MULTI_AZ_INSTANCES: usize = 3;

/// `CreateDBCluster`: no instances are made for an Aurora cluster; those of a Multi-AZ DB cluster come with it.
pub(crate) fn create(call: &mut Call<'_>) -> Answer {
    let (params, scope) = (call.params, call.scope);
    let wish = Wish::read(params)?;
    let engine = params.required("Engine")?.to_ascii_lowercase();
    let retention = retention(params)?.unwrap_or(1);
    windows::check(
        params.text("PreferredBackupWindow").as_deref(),
        params.text("PreferredMaintenanceWindow").as_deref(),
    )?;
    let database_name = params.text("DatabaseName");
    if let Some(name) = &database_name {
        create::check_db_name(name)?;
    }
    let encrypt = params.boolean("StorageEncrypted")?;
    let gib = params.integer("AllocatedStorage")?;
    let global_id = params.text("GlobalClusterIdentifier");
    // Referenced objects.
    let membership = match &global_id {
        Some(id) => Some(global::membership(call, id)?),
        None => None,
    };
    // The user of a secondary cluster is that of the primary.
    let master = match &membership {
        Some(global) if !global.is_first => None,
        _ => Some(credentials::master(params, &engine)?),
    };
    let version = create::resolve_version(call.region(), &engine, wish.engine_version.as_deref())?;
    wish.check_references(call.region())?;
    let encryption = match (&wish.kms_key, encrypt) {
        (Some(key), _) => Encryption::with_key(call, scope, key)?,
        (None, Some(true)) => Encryption::with_key(call, scope, "alias/aws/rds")?,
        (None, _) => Encryption::by_default(call, &engine),
    };
    // Combinations.
    if wish.kms_key.is_some() && encrypt != Some(true) {
        return Err(ApiError::combination(
            "KmsKeyId can't be specified unless StorageEncrypted is true.",
        ));
    }
    if let Some(membership) = &membership {
        membership.check(&engine, &version, &encryption)?;
    }
    wish.check_combinations(call.region(), &engine, &version)?;
    let storage = multi_az_storage(&wish, &engine, gib)?;
    check_instance_quota(call, &engine, storage.as_ref())?;

    let mut new = wish.into_cluster(call, engine, version);
    new.database_name = database_name;
    new.backup_retention = retention;
    new.http_endpoint = params.boolean("EnableHttpEndpoint")?.unwrap_or(false);
    if let Some(storage) = storage {
        settle_storage(&mut new, storage);
    }
    encryption.apply(&mut new);
    if let Some(master) = master {
        new.master_username = master.username;
        if master.password.is_none() {
            new.managed_secret = Some(secret(call, &new.resource_id)?);
        }
        new.master_password = master
            .password
            .unwrap_or_else(|| credentials::made(&mut call.world.dice, &new.resource_id));
    } else if let Some(primary) = global_id
        .as_ref()
        .and_then(|id| global::writer(call.world, &scope.account, id))
    {
        new.master_username.clone_from(&primary.master_username);
        new.master_password = primary.master_password.clone();
        new.database_name.clone_from(&primary.database_name);
    }
    if let Some(id) = &global_id {
        global::join(call.world, scope, id, &new.resource_id);
    }
    add(call, new, "DB cluster created".to_owned())
}

/// `BackupRetentionPeriod` of a cluster: 1 to 35 days, never off.
pub(super) fn retention(params: &Params) -> Result<Option<i64>, ApiError> {
    let days = params.integer("BackupRetentionPeriod")?;
    match days {
        Some(days) if !(1..=35).contains(&days) => Err(ApiError::value(format!(
            "Invalid backup retention period: {days}. Must be between 1 and 35."
        ))),
        days => Ok(days),
    }
}

/// The storage of a Multi-AZ DB cluster, which needs class and size; Aurora's grows by itself.
pub(super) fn multi_az_storage(
    wish: &Wish,
    engine: &str,
    gib: Option<i64>,
) -> Result<Option<Storage>, ApiError> {
    if super::state::is_aurora(engine) {
        return match gib {
            Some(_) => Err(ApiError::combination(format!(
                "AllocatedStorage isn't supported for DB engine {engine}."
            ))),
            None => Ok(None),
        };
    }
    let (Some(class), Some(gib)) = (&wish.instance_class, gib) else {
        return Err(ApiError::combination(
            "DBClusterInstanceClass and AllocatedStorage are required for a Multi-AZ DB cluster.",
        ));
    };
    create::check_class(engine, class)?;
    let kind = wish
        .storage_type
        .clone()
        .unwrap_or_else(|| "io1".to_owned());
    Storage {
        kind,
        gib,
        iops: wish.iops,
        throughput: None,
    }
    .settle(engine, (wish.iops, None))
    .map(Some)
}

pub(super) fn settle_storage(cluster: &mut DbCluster, storage: Storage) {
    cluster.allocated_storage = storage.gib;
    cluster.storage_type = Some(storage.kind);
    cluster.iops = storage.iops;
    cluster.throughput = storage.throughput;
}

/// The three instances of a Multi-AZ DB cluster count like any others, and their names must be free.
pub(super) fn check_instance_quota(
    call: &mut Call<'_>,
    engine: &str,
    storage: Option<&Storage>,
) -> Result<(), ApiError> {
    let (Some(storage), false) = (storage, super::state::is_aurora(engine)) else {
        return Ok(());
    };
    let id = call.params.required("DBClusterIdentifier")?;
    let region = call.region();
    for number in 1..=MULTI_AZ_INSTANCES {
        if region.name_taken(&instance_name(&id, number)) {
            return Err(ApiError::new(
                "DBInstanceAlreadyExists",
                "DB instance already exists",
            ));
        }
    }
    // Room for the last of them is room for the two before it.
    let most = region.quotas.instances;
    let present = region.instances.len() + MULTI_AZ_INSTANCES - 1;
    if i64::try_from(present).unwrap_or(i64::MAX) >= most {
        return Err(ApiError::new(
            "InstanceQuotaExceeded",
            format!("DB instance quota exceeded: limit is {most}."),
        ));
    }
    check_quotas(region, 3 * storage.gib)
}

fn instance_name(cluster: &str, number: usize) -> String {
    format!("{cluster}-instance-{number}")
}

/// Adds a cluster that has been checked, with the instances that come with it: `creating`, then `available`.
pub(super) fn add(call: &mut Call<'_>, new: DbCluster, event: String) -> Answer {
    let (scope, now) = (call.scope, call.now);
    call.region().clusters.push(new.clone());
    lag(call.world, scope, now, &new.resource_id, None);
    let range = if new.is_aurora() {
        (120, 300)
    } else {
        (610, 900)
    };
    let took = call
        .world
        .takes(&format!("create-cluster/{}", new.id), range);
    if !new.is_aurora() {
        add_instances(call.world, scope, now, &new);
    }
    call.world.schedule(now, came_up(scope, &new, took, event));
    describe::answer(call, &new)
}

fn came_up(scope: &Scope, new: &DbCluster, took: u64, message: String) -> Timeline {
    Timeline::new(scope, &new.resource_id).then(took, move |moment| {
        if let Some(cluster) = cluster_of(moment) {
            cluster.status = "available".to_owned();
            if let Some(secret) = &mut cluster.managed_secret {
                secret.status = "active".to_owned();
            }
        }
        event(moment, "creation", message);
    })
}

fn add_instances(world: &mut World, scope: &Scope, now: jiff::Timestamp, cluster: &DbCluster) {
    let class = cluster.instance_class.clone().unwrap_or_default();
    for number in 1..=MULTI_AZ_INSTANCES {
        let id = instance_name(&cluster.id, number);
        let mut instance = member::of_cluster(world, scope, cluster, &id, &class);
        instance.cluster_writer = number == 1;
        instance.availability_zone = cluster
            .availability_zones
            .get(number - 1)
            .cloned()
            .unwrap_or_default();
        world.region_mut(scope).instances.push(instance.clone());
        world.lag(scope, now, &instance.resource_id, None);
        member::schedule(world, scope, now, &instance);
    }
}
