//! What a new cluster is asked to be, whether it is created or restored, and how its storage is encrypted.

use super::super::error::ApiError;
use super::super::names::instance_id;
use super::super::params::Params;
use super::super::placement::windows;
use super::super::state::{DbCluster, Region, Scope, Tag};
use super::super::{Call, catalog, create, tags};
use super::state::is_aurora;
use crate::kms;

/// Aurora clusters made on or after this day are encrypted by an AWS-owned key unless told otherwise:
/// 18 February 2026.
const AURORA_ENCRYPTS_SINCE: i64 = 1_771_372_800;

/// Clusters per region.
const MOST_CLUSTERS: usize = 40;

/// Members that creation and both restores share.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) id: String,
    pub(super) engine: Option<String>,
    pub(super) engine_version: Option<String>,
    pub(super) subnet_group: Option<String>,
    pub(super) parameter_group: Option<String>,
    pub(super) security_groups: Option<Vec<String>>,
    pub(super) port: Option<i64>,
    pub(super) kms_key: Option<String>,
    pub(super) tags: Option<Vec<Tag>>,
    pub(super) iam_auth: bool,
    pub(super) deletion_protection: bool,
    pub(super) copy_tags: bool,
    pub(super) log_exports: Vec<String>,
    pub(super) backtrack_window: Option<i64>,
    pub(super) serverless: Option<(String, String)>,
    pub(super) network_type: Option<String>,
    pub(super) storage_type: Option<String>,
    pub(super) iops: Option<i64>,
    pub(super) instance_class: Option<String>,
    pub(super) engine_mode: String,
}

impl Wish {
    /// Syntax.
    pub(super) fn read(params: &Params) -> Result<Self, ApiError> {
        let id = instance_id(
            "DBClusterIdentifier",
            &params.required("DBClusterIdentifier")?,
        )?;
        let engine = params
            .text("Engine")
            .map(|engine| engine.to_ascii_lowercase());
        if let Some(engine) = &engine {
            check_engine(engine)?;
        }
        let port = params.integer("Port")?;
        if port.is_some_and(|port| !(1150..=65_535).contains(&port)) {
            return Err(ApiError::value("Port must be between 1150 and 65535."));
        }
        let backtrack_window = params.integer("BacktrackWindow")?;
        if backtrack_window.is_some_and(|seconds| !(0..=259_200).contains(&seconds)) {
            return Err(ApiError::value(
                "BacktrackWindow must be between 0 and 259200 seconds.",
            ));
        }
        let serverless = params
            .structure("ServerlessV2ScalingConfiguration")
            .map(|scaling| read_scaling(&scaling))
            .transpose()?;
        let engine_mode = params
            .text("EngineMode")
            .unwrap_or_else(|| "provisioned".to_owned());
        if engine_mode != "provisioned" {
            return Err(ApiError::value(format!(
                "The engine mode {engine_mode} is not supported."
            )));
        }
        let lower = |name: &str| params.text(name).map(|text| text.to_ascii_lowercase());
        Ok(Self {
            id,
            engine,
            engine_version: params.text("EngineVersion"),
            subnet_group: lower("DBSubnetGroupName"),
            parameter_group: lower("DBClusterParameterGroupName"),
            security_groups: params
                .list("VpcSecurityGroupIds")
                .filter(|groups| !groups.is_empty()),
            port,
            kms_key: params.text("KmsKeyId"),
            tags: tags::from_request(params, "Tags")?,
            iam_auth: params
                .boolean("EnableIAMDatabaseAuthentication")?
                .unwrap_or(false),
            deletion_protection: params.boolean("DeletionProtection")?.unwrap_or(false),
            copy_tags: params.boolean("CopyTagsToSnapshot")?.unwrap_or(false),
            log_exports: params
                .list("EnableCloudwatchLogsExports")
                .unwrap_or_default(),
            backtrack_window,
            serverless,
            network_type: params.text("NetworkType"),
            storage_type: params.text("StorageType"),
            iops: params.integer("Iops")?,
            instance_class: params.text("DBClusterInstanceClass"),
            engine_mode,
        })
    }

    /// Referenced objects: the name is free, the groups exist.
    pub(super) fn check_references(&self, region: &Region) -> Result<(), ApiError> {
        if region.cluster_name_taken(&self.id) {
            return Err(ApiError::new(
                "DBClusterAlreadyExistsFault",
                "DB Cluster already exists",
            ));
        }
        let subnet_group = self.subnet_group();
        if !region.subnet_groups.contains_key(subnet_group) {
            return Err(ApiError::no_subnet_group(subnet_group));
        }
        match &self.parameter_group {
            Some(name) if !region.cluster_parameter_groups.contains_key(name) => {
                Err(no_parameter_group(name))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn subnet_group(&self) -> &str {
        self.subnet_group.as_deref().unwrap_or("default")
    }

    /// Combinations and quotas, once engine and version are known.
    pub(super) fn check_combinations(
        &self,
        region: &Region,
        engine: &str,
        version: &str,
    ) -> Result<(), ApiError> {
        if let Some(name) = &self.parameter_group {
            check_parameter_group(region, name, engine, version)?;
        }
        create::check_logs(engine, version, &self.log_exports)?;
        // An Aurora volume spans zones, and so do the instances of a Multi-AZ DB cluster.
        let zones = region.zones(self.subnet_group());
        let least = if is_aurora(engine) { 2 } else { 3 };
        let distinct: std::collections::BTreeSet<&String> = zones.iter().collect();
        if distinct.len() < least {
            return Err(ApiError::new(
                "DBSubnetGroupDoesNotCoverEnoughAZs",
                format!(
                    "DB Subnet Group doesn't meet availability zone coverage requirement. Please add subnets to cover at least {least} availability zones. Current coverage: {}",
                    distinct.len()
                ),
            ));
        }
        if is_aurora(engine) {
            if self.instance_class.is_some() {
                return Err(ApiError::combination(format!(
                    "DBClusterInstanceClass isn't supported for DB engine {engine}."
                )));
            }
            if self.iops.is_some() {
                return Err(ApiError::combination(format!(
                    "Iops isn't supported for DB engine {engine}."
                )));
            }
            if self
                .storage_type
                .as_deref()
                .is_some_and(|kind| !["aurora", "aurora-iopt1"].contains(&kind))
            {
                return Err(ApiError::new(
                    "StorageTypeNotSupported",
                    format!("The storage type is not supported for DB engine {engine}."),
                ));
            }
        } else {
            if self.backtrack_window.is_some() || self.serverless.is_some() {
                return Err(ApiError::combination(format!(
                    "BacktrackWindow and ServerlessV2ScalingConfiguration aren't supported for DB engine {engine}."
                )));
            }
            if self.id.len() > 52 {
                return Err(ApiError::value(
                    "The identifier of a Multi-AZ DB cluster has up to 52 characters.",
                ));
            }
        }
        if region.clusters.len() >= MOST_CLUSTERS {
            return Err(ApiError::new(
                "DBClusterQuotaExceededFault",
                format!("DB cluster quota exceeded: limit is {MOST_CLUSTERS}."),
            ));
        }
        Ok(())
    }

    /// The cluster as the request and the defaults make it; size, user, retention and encryption are the
    /// caller's.
    pub(super) fn into_cluster(
        self,
        call: &mut Call<'_>,
        engine: String,
        engine_version: String,
    ) -> DbCluster {
        let resource_id = new_resource_id(call, &self.id);
        let (backup_window, maintenance_window) = windows(&mut call.world.dice, &self.id);
        let (params, now) = (call.params, call.now);
        let region = call.region();
        let subnet_group = self.subnet_group().to_owned();
        DbCluster {
            resource_id,
            engine_mode: self.engine_mode,
            status: "creating".to_owned(),
            parameter_group: self
                .parameter_group
                .unwrap_or_else(|| catalog::default_parameter_group(&engine, &engine_version)),
            availability_zones: region.zones(&subnet_group).into_iter().take(3).collect(),
            subnet_group,
            port: self.port.unwrap_or_else(|| catalog::default_port(&engine)),
            storage_type: self.storage_type,
            iops: self.iops,
            instance_class: self.instance_class,
            created: now,
            backup_window: params
                .text("PreferredBackupWindow")
                .unwrap_or(backup_window),
            maintenance_window: params
                .text("PreferredMaintenanceWindow")
                .map_or(maintenance_window, |window| window.to_ascii_lowercase()),
            security_groups: self
                .security_groups
                .unwrap_or_else(|| vec![region.default_security_group.clone()]),
            multi_az: !is_aurora(&engine),
            allocated_storage: 1,
            iam_auth: self.iam_auth,
            log_exports: self.log_exports,
            deletion_protection: self.deletion_protection,
            copy_tags: self.copy_tags,
            backtrack_window: self.backtrack_window,
            serverless: self.serverless,
            network_type: self.network_type,
            tags: self.tags.unwrap_or_default(),
            engine,
            engine_version,
            id: self.id,
            ..DbCluster::default()
        }
    }
}

fn read_scaling(scaling: &Params) -> Result<(String, String), ApiError> {
    let (least, most) = (
        scaling.required("MinCapacity")?,
        scaling.required("MaxCapacity")?,
    );
    let number = |name: &str, text: &str| {
        text.parse::<f64>()
            .map_err(|_error| ApiError::malformed(name, text, "Double"))
    };
    let (low, high) = (
        number("MinCapacity", &least)?,
        number("MaxCapacity", &most)?,
    );
    if low < 0.0 || high > 256.0 || high < low || high < 1.0 {
        return Err(ApiError::value(
            "Serverless v2 capacity must be between 0 and 256, and MaxCapacity at least 1 and not below MinCapacity.",
        ));
    }
    Ok((least, most))
}

/// Engines of clusters: Aurora's and those of Multi-AZ DB clusters.
pub(super) fn check_engine(engine: &str) -> Result<(), ApiError> {
    if ["aurora-mysql", "aurora-postgresql", "mysql", "postgres"].contains(&engine) {
        Ok(())
    } else {
        Err(ApiError::value(format!(
            "The engine name {engine} isn't valid for a DB cluster."
        )))
    }
}

pub(super) fn no_parameter_group(name: &str) -> ApiError {
    ApiError::new(
        "DBClusterParameterGroupNotFound",
        format!("DBClusterParameterGroup not found: {name}"),
    )
}

/// A cluster parameter group exists and is of the family.
pub(super) fn check_parameter_group(
    region: &Region,
    name: &str,
    engine: &str,
    version: &str,
) -> Result<(), ApiError> {
    let group = region
        .cluster_parameter_groups
        .get(name)
        .ok_or_else(|| no_parameter_group(name))?;
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

fn new_resource_id(call: &mut Call<'_>, id: &str) -> String {
    let key = format!("cluster/{}/{}/{id}", call.scope.account, call.scope.region);
    let word = call
        .world
        .dice
        .word(&key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 26);
    format!("cluster-{word}")
}

/// How the storage of a cluster is encrypted: what `StorageEncrypted`, `StorageEncryptionType` and `KmsKeyId`
/// show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Encryption {
    None,
    /// By a key that AWS owns and nobody sees: `StorageEncrypted` is false.
    Rds,
    Kms(String),
}

impl Encryption {
    /// What a cluster or snapshot has.
    pub(super) fn of(kind: &str, key: Option<&String>) -> Self {
        match (key, kind) {
            (Some(key), _) => Self::Kms(key.clone()),
            (None, "sse-rds") => Self::Rds,
            (None, _) => Self::None,
        }
    }

    /// What a new cluster without a key has: Aurora's are encrypted all the same.
    pub(super) fn by_default(call: &Call<'_>, engine: &str) -> Self {
        if is_aurora(engine) && call.now.as_second() >= AURORA_ENCRYPTS_SINCE {
            Self::Rds
        } else {
            Self::None
        }
    }

    pub(super) fn with_key(
        call: &mut Call<'_>,
        scope: &Scope,
        key: &str,
    ) -> Result<Self, ApiError> {
        kms::usable_by_rds(call.world, scope, key).map(Self::Kms)
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Rds => "sse-rds",
            Self::Kms(_) => "sse-kms",
        }
    }

    pub(super) fn key(self) -> Option<String> {
        match self {
            Self::Kms(key) => Some(key),
            Self::None | Self::Rds => None,
        }
    }

    pub(super) fn apply(self, cluster: &mut DbCluster) {
        self.kind().clone_into(&mut cluster.encryption_type);
        cluster.kms_key = self.key();
        cluster.encrypted = cluster.kms_key.is_some();
    }
}
