//! Global clusters: a writer in one region and readers in others. They belong to the account, so every region
//! shows the same ones.

use std::collections::BTreeMap;

use super::super::error::ApiError;
use super::super::names::{instance_id, parse_arn};
use super::super::page::{Filters, page};
use super::super::state::{DbCluster, GlobalCluster, Scope};
use super::super::xml::Xml;
use super::super::{Answer, Call, create as instance_create, instances, result, tags};
use super::request::Encryption;
use super::state::is_aurora;
use super::{check_available, find};
use crate::world::World;

/// Global clusters per account.
const MOST: usize = 5;

fn not_found(id: &str) -> ApiError {
    ApiError::new(
        "GlobalClusterNotFoundFault",
        format!("Global cluster {id} not found."),
    )
}

fn state(message: String) -> ApiError {
    ApiError::new("InvalidGlobalClusterStateFault", message)
}

fn named<'a>(world: &'a World, account: &str, id: &str) -> Option<&'a GlobalCluster> {
    world
        .global_clusters
        .iter()
        .find(|global| global.account == account && global.id.eq_ignore_ascii_case(id))
}

fn named_mut<'a>(world: &'a mut World, account: &str, id: &str) -> Option<&'a mut GlobalCluster> {
    world
        .global_clusters
        .iter_mut()
        .find(|global| global.account == account && global.id.eq_ignore_ascii_case(id))
}

/// The global cluster that a cluster belongs to.
pub(super) fn of<'a>(
    world: &'a World,
    scope: &Scope,
    resource_id: &str,
) -> Option<&'a GlobalCluster> {
    world.global_clusters.iter().find(|global| {
        global
            .members
            .iter()
            .any(|(place, member)| place == scope && member == resource_id)
    })
}

/// Names of the global clusters by the resource ids of their members in a region.
pub(super) fn memberships(world: &World, scope: &Scope) -> BTreeMap<String, String> {
    world
        .global_clusters
        .iter()
        .flat_map(|global| {
            global
                .members
                .iter()
                .filter(|(place, _)| place == scope)
                .map(|(_, member)| (member.clone(), global.id.clone()))
        })
        .collect()
}

/// What a new cluster that is to join must know of its global cluster.
pub(super) struct Join {
    pub(super) is_first: bool,
    here: bool,
    global: GlobalCluster,
}

/// The global cluster that `CreateDBCluster` names.
pub(super) fn membership(call: &Call<'_>, id: &str) -> Result<Join, ApiError> {
    let global = named(call.world, &call.scope.account, id).ok_or_else(|| not_found(id))?;
    Ok(Join {
        is_first: global.members.is_empty(),
        here: global.members.iter().any(|(scope, _)| scope == call.scope),
        global: global.clone(),
    })
}

impl Join {
    pub(super) fn check(
        &self,
        engine: &str,
        version: &str,
        encryption: &Encryption,
    ) -> Result<(), ApiError> {
        let global = &self.global;
        if self.here {
            return Err(ApiError::cluster_state(format!(
                "The global cluster {} has a DB cluster in this region already.",
                global.id
            )));
        }
        if engine != global.engine || version != global.engine_version {
            return Err(ApiError::combination(format!(
                "The engine and version of the DB cluster must be those of the global cluster: {} {}.",
                global.engine, global.engine_version
            )));
        }
        if global.encrypted && !matches!(encryption, Encryption::Kms(_)) {
            return Err(ApiError::combination(format!(
                "The global cluster {} is encrypted: StorageEncrypted and a KmsKeyId of this region must be specified.",
                global.id
            )));
        }
        Ok(())
    }
}

/// Adds a member; the first one is the writer.
pub(super) fn join(world: &mut World, scope: &Scope, id: &str, resource_id: &str) {
    if let Some(global) = named_mut(world, &scope.account, id) {
        global.members.push((scope.clone(), resource_id.to_owned()));
    }
}

/// The writer of a global cluster.
pub(super) fn writer(world: &World, account: &str, id: &str) -> Option<DbCluster> {
    let (scope, resource_id) = named(world, account, id)?.members.first()?;
    world
        .regions
        .get(scope)?
        .clusters
        .iter()
        .find(|cluster| cluster.resource_id == *resource_id)
        .cloned()
}

/// `CreateGlobalCluster`: around an existing cluster, or empty.
pub(crate) fn create(call: &mut Call<'_>) -> Answer {
    let (params, scope) = (call.params, call.scope);
    let id = instance_id(
        "GlobalClusterIdentifier",
        &params.required("GlobalClusterIdentifier")?,
    )?;
    let source = params.text("SourceDBClusterIdentifier");
    let engine = params
        .text("Engine")
        .map(|engine| engine.to_ascii_lowercase());
    let given_tags = tags::from_request(params, "Tags")?.unwrap_or_default();
    let (protection, encrypt) = (
        params.boolean("DeletionProtection")?.unwrap_or(false),
        params.boolean("StorageEncrypted")?,
    );
    if named(call.world, &scope.account, &id).is_some() {
        return Err(ApiError::new(
            "GlobalClusterAlreadyExistsFault",
            format!("Global cluster {id} already exists."),
        ));
    }
    let mut new = GlobalCluster {
        account: scope.account.clone(),
        id: id.clone(),
        resource_id: String::new(),
        engine: String::new(),
        engine_version: String::new(),
        database_name: params.text("DatabaseName"),
        encrypted: false,
        encryption_type: "none".to_owned(),
        deletion_protection: protection,
        status: "available".to_owned(),
        members: Vec::new(),
        tags: given_tags,
    };
    if let Some(reference) = source {
        let place = parse_arn(&reference).map_or_else(|| scope.clone(), |arn| arn.scope);
        if place.account != scope.account {
            return Err(ApiError::no_cluster(&reference));
        }
        let cluster = find(call.world.region_mut(&place), &reference)?.clone();
        check_available(&cluster)?;
        if of(call.world, &place, &cluster.resource_id).is_some() {
            return Err(ApiError::cluster_state(format!(
                "The DB cluster {} belongs to a global cluster already.",
                cluster.id
            )));
        }
        if engine.is_some()
            || encrypt.is_some()
            || params.text("EngineVersion").is_some()
            || new.database_name.is_some()
        {
            return Err(ApiError::combination(
                "Engine, EngineVersion, DatabaseName and StorageEncrypted come from SourceDBClusterIdentifier and can't be specified with it.",
            ));
        }
        if !cluster.is_aurora() {
            return Err(ApiError::combination(format!(
                "The engine {} can't be part of a global cluster.",
                cluster.engine
            )));
        }
        new.engine = cluster.engine;
        new.engine_version = cluster.engine_version;
        new.database_name = cluster.database_name;
        new.encrypted = cluster.encrypted;
        new.encryption_type = cluster.encryption_type;
        new.members.push((place, cluster.resource_id));
    } else {
        let engine = engine.ok_or_else(|| {
            ApiError::combination("Engine must be specified when SourceDBClusterIdentifier is not.")
        })?;
        if !is_aurora(&engine) {
            return Err(ApiError::value(format!(
                "The engine name {engine} isn't valid for a global cluster."
            )));
        }
        new.engine_version = instance_create::resolve_version(
            call.region(),
            &engine,
            params.text("EngineVersion").as_deref(),
        )?;
        new.encrypted = encrypt.unwrap_or(false);
        let kind = if new.encrypted {
            "sse-kms"
        } else {
            Encryption::by_default(call, &engine).kind()
        };
        kind.clone_into(&mut new.encryption_type);
        new.engine = engine;
    }
    let present = call
        .world
        .global_clusters
        .iter()
        .filter(|global| global.account == scope.account)
        .count();
    if present >= MOST {
        return Err(ApiError::new(
            "GlobalClusterQuotaExceededFault",
            format!("Cannot create more than {MOST} global clusters."),
        ));
    }
    new.resource_id = format!(
        "cluster-{}",
        call.world.dice.word(
            &format!("global/{}/{id}", scope.account),
            "0123456789abcdef",
            16
        )
    );
    call.world.global_clusters.push(new.clone());
    answer(call, &new)
}

/// `RemoveFromGlobalCluster`: readers first, the writer last.
pub(crate) fn remove(call: &mut Call<'_>) -> Answer {
    let (params, scope) = (call.params, call.scope);
    let id = params.required("GlobalClusterIdentifier")?;
    let reference = params.required("DbClusterIdentifier")?;
    let global = named(call.world, &scope.account, &id)
        .ok_or_else(|| not_found(&id))?
        .clone();
    let place = parse_arn(&reference).map_or_else(|| scope.clone(), |arn| arn.scope);
    let cluster = find(call.world.region_mut(&place), &reference)?.clone();
    let member = (place, cluster.resource_id.clone());
    let Some(position) = global.members.iter().position(|known| *known == member) else {
        return Err(ApiError::no_cluster(&reference));
    };
    if position == 0 && global.members.len() > 1 {
        return Err(state(format!(
            "The DB cluster {} is the writer of the global cluster {} and can't be removed before its readers.",
            cluster.id, global.id
        )));
    }
    let Some(truth) = named_mut(call.world, &scope.account, &id) else {
        return Err(not_found(&id));
    };
    truth.members.retain(|known| *known != member);
    let shown = truth.clone();
    answer(call, &shown)
}

/// `DeleteGlobalCluster`: an empty one.
pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    let id = call.params.required("GlobalClusterIdentifier")?;
    let account = &call.scope.account;
    let mut global = named(call.world, account, &id)
        .ok_or_else(|| not_found(&id))?
        .clone();
    if !global.members.is_empty() {
        return Err(state(format!("Global cluster {} is not empty.", global.id)));
    }
    if global.deletion_protection {
        return Err(ApiError::combination(
            "Cannot delete protected Global Cluster, please disable deletion protection and try again.",
        ));
    }
    call.world.global_clusters.retain(|known| {
        !(known.account == global.account && known.resource_id == global.resource_id)
    });
    global.status = "deleting".to_owned();
    answer(call, &global)
}

/// `DescribeGlobalClusters`.
pub(crate) fn describe(call: &mut Call<'_>) -> Answer {
    let filters = Filters::read(call.params, &["db-cluster-id", "region"])?;
    let (params, scope, limit) = (call.params, call.scope, call.world.knobs.page_limit);
    let wanted = params.text("GlobalClusterIdentifier");
    let world: &World = call.world;
    let found: Vec<&GlobalCluster> = world
        .global_clusters
        .iter()
        .filter(|global| global.account == scope.account)
        .filter(|global| {
            wanted
                .as_ref()
                .is_none_or(|id| global.id.eq_ignore_ascii_case(id))
        })
        .filter(|global| {
            let members = members(world, global);
            let arns: Vec<&str> = members.iter().map(|member| member.arn.as_str()).collect();
            let regions: Vec<&str> = global
                .members
                .iter()
                .map(|(scope, _)| scope.region.as_str())
                .collect();
            filters.admits("db-cluster-id", &arns) && filters.admits("region", &regions)
        })
        .collect();
    if let (Some(id), true) = (&wanted, found.is_empty()) {
        return Err(not_found(id));
    }
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.list(
            "GlobalClusters",
            "GlobalClusterMember",
            page.items,
            |xml, global| write(xml, world, scope, global),
        );
        xml.optional("Marker", page.marker);
    })
}

/// A member as it is shown.
struct Member {
    arn: String,
    is_writer: bool,
}

fn members(world: &World, global: &GlobalCluster) -> Vec<Member> {
    global
        .members
        .iter()
        .enumerate()
        .filter_map(|(position, (scope, resource_id))| {
            let cluster = world
                .regions
                .get(scope)?
                .clusters
                .iter()
                .find(|cluster| cluster.resource_id == *resource_id)?;
            Some(Member {
                arn: scope.arn("cluster", &cluster.id),
                is_writer: position == 0,
            })
        })
        .collect()
}

fn answer(call: &mut Call<'_>, global: &GlobalCluster) -> Answer {
    let world: &World = call.world;
    let scope = call.scope;
    result(|xml| xml.element("GlobalCluster", |xml| write(xml, world, scope, global)))
}

fn write(xml: &mut Xml, world: &World, scope: &Scope, global: &GlobalCluster) {
    xml.value("GlobalClusterIdentifier", &global.id);
    xml.value("GlobalClusterResourceId", &global.resource_id);
    // No region: a global cluster is the account's.
    xml.value(
        "GlobalClusterArn",
        format_args!(
            "arn:{}:rds::{}:global-cluster:{}",
            scope.partition(),
            global.account,
            global.id
        ),
    );
    xml.value("Status", &global.status);
    xml.value("Engine", &global.engine);
    xml.value("EngineVersion", &global.engine_version);
    xml.optional("DatabaseName", global.database_name.as_ref());
    xml.value("StorageEncrypted", global.encrypted);
    xml.value("StorageEncryptionType", &global.encryption_type);
    xml.value("DeletionProtection", global.deletion_protection);
    let members = members(world, global);
    let readers: Vec<&str> = members
        .iter()
        .filter(|member| !member.is_writer)
        .map(|member| member.arn.as_str())
        .collect();
    xml.list(
        "GlobalClusterMembers",
        "GlobalClusterMember",
        &members,
        |xml, member| {
            xml.value("DBClusterArn", &member.arn);
            xml.values(
                "Readers",
                "member",
                if member.is_writer {
                    readers.as_slice()
                } else {
                    &[]
                },
            );
            xml.value("IsWriter", member.is_writer);
            xml.value("SynchronizationStatus", "connected");
        },
    );
    instances::write_tags(xml, &global.tags);
}
