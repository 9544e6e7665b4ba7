//! `CreateBlueGreenDeployment`: what is asked for, and what a green instance is like.

use super::eligible::check_eligible;
use super::provision::{BACKUPS, REPLICA, TOPOLOGY, UPGRADE, provision};
use super::{Deployment, Member, answer};
use crate::kms;
use crate::rds::catalog::{self, Storage};
use crate::rds::error::ApiError;
use crate::rds::names::parse_arn;
use crate::rds::params::Params;
use crate::rds::placement::check_quotas;
use crate::rds::state::{Changes, DbInstance, Region};
use crate::rds::{Answer, Call, instances, tags};

/// What a call asks for of the green side.
struct Wish {
    name: String,
    version: Option<String>,
    parameter_group: Option<String>,
    class: Option<String>,
    storage_type: Option<String>,
    allocated_storage: Option<i64>,
    iops: Option<i64>,
    throughput: Option<i64>,
    /// `TargetResourceConfigurations`: ARN of a blue instance, and the key of its green one.
    configurations: Vec<(String, Option<String>)>,
}

impl Wish {
    fn read(params: &Params) -> Result<Self, ApiError> {
        let name = params.required("BlueGreenDeploymentName")?;
        let fine = name.len() <= 60
            && name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.split('-').all(|part| {
                !part.is_empty() && part.chars().all(|letter| letter.is_ascii_alphanumeric())
            });
        if !fine {
            return Err(ApiError::value(
                "The parameter BlueGreenDeploymentName must have 1 to 60 letters, digits and hyphens, begin with a letter, and have neither a trailing hyphen nor two consecutive ones.",
            ));
        }
        let mut configurations: Vec<(String, Option<String>)> = Vec::new();
        for item in params
            .structures("TargetResourceConfigurations")
            .unwrap_or_default()
        {
            let arn = item.required("SourceArn")?;
            if configurations.iter().any(|(known, _)| *known == arn) {
                return Err(ApiError::value(format!(
                    "TargetResourceConfigurations names {arn} twice."
                )));
            }
            configurations.push((arn, item.text("TargetKmsKeyId")));
        }
        Ok(Self {
            name,
            version: params.text("TargetEngineVersion"),
            parameter_group: params
                .text("TargetDBParameterGroupName")
                .map(|name| name.to_ascii_lowercase()),
            class: params.text("TargetDBInstanceClass"),
            storage_type: params.text("TargetStorageType"),
            allocated_storage: params.integer("TargetAllocatedStorage")?,
            iops: params.integer("TargetIops")?,
            throughput: params.integer("TargetStorageThroughput")?,
            configurations,
        })
    }
}

/// The source of a call, by ARN. Clusters have no green side here.
fn source(call: &mut Call<'_>) -> Result<DbInstance, ApiError> {
    let scope = call.scope.clone();
    let arn = call.params.required("Source")?;
    let parsed = parse_arn(&arn)
        .filter(|parsed| parsed.scope == scope)
        .ok_or_else(|| ApiError::value(format!("Invalid source ARN: {arn}")))?;
    let region = call.region();
    match parsed.kind.as_str() {
        "db" => instances::find(region, &parsed.name).cloned(),
        "cluster" => {
            let cluster = region
                .clusters
                .iter()
                .find(|cluster| cluster.id.eq_ignore_ascii_case(&parsed.name))
                .ok_or_else(|| ApiError::no_cluster(&parsed.name))?;
            Err(ApiError::new(
                "SourceClusterNotSupportedFault",
                format!(
                    "The source DB cluster {} isn't supported for a blue/green deployment.",
                    cluster.id
                ),
            ))
        }
        _ => Err(ApiError::value(format!("Invalid source ARN: {arn}"))),
    }
}

fn numbers(version: &str) -> Vec<u64> {
    version
        .split('.')
        .map_while(|part| part.parse().ok())
        .collect()
}

/// The exact version that a call means; `8.4` is the newest of its minor versions. Never an older one.
fn version(blue: &DbInstance, wanted: Option<&str>) -> Result<String, ApiError> {
    let Some(wanted) = wanted else {
        return Ok(blue.engine_version.clone());
    };
    let found = catalog::versions(&blue.engine)
        .iter()
        .copied()
        .chain(std::iter::once(blue.engine_version.as_str()))
        .filter(|known| *known == wanted || known.starts_with(&format!("{wanted}.")))
        .max_by_key(|known| numbers(known))
        .ok_or_else(|| {
            ApiError::combination(format!("Cannot find version {wanted} for {}", blue.engine))
        })?;
    if numbers(found) < numbers(&blue.engine_version) {
        return Err(ApiError::combination(format!(
            "Cannot upgrade {} from {} to {found}",
            blue.engine, blue.engine_version
        )));
    }
    Ok(found.to_owned())
}

/// The key of each instance's green counterpart, by resource id. Encryption is a matter of the whole
/// topology: a replica is encrypted if and only if its source is, and each needs an entry of its own.
fn keys(
    call: &mut Call<'_>,
    wish: &Wish,
    blues: &[&DbInstance],
) -> Result<Vec<Option<String>>, ApiError> {
    let scope = call.scope;
    for (arn, _) in &wish.configurations {
        if !blues.iter().any(|blue| scope.arn("db", &blue.id) == *arn) {
            return Err(ApiError::value(format!(
                "The resource {arn} in TargetResourceConfigurations isn't part of the blue environment."
            )));
        }
    }
    let asks = wish.configurations.iter().any(|(_, key)| key.is_some());
    if asks
        && call
            .world
            .knobs
            .no_blue_green_encryption
            .contains(&scope.region)
    {
        return Err(ApiError::combination(
            "Changing the storage encryption or the KMS key of the green environment isn't supported for blue/green deployments in this Region.",
        ));
    }
    let mut keys = Vec::new();
    for blue in blues {
        let arn = scope.arn("db", &blue.id);
        let asked = wish
            .configurations
            .iter()
            .find(|(known, _)| *known == arn)
            .and_then(|(_, key)| key.clone());
        keys.push(match asked {
            Some(key) => Some(kms::usable_by_rds(call.world, scope, &key)?),
            None => blue.kms_key.clone(),
        });
    }
    if let Some(root) = keys.first().map(Option::is_some)
        && let Some((blue, _)) = blues
            .iter()
            .zip(&keys)
            .find(|(_, key)| key.is_some() != root)
    {
        return Err(ApiError::combination(format!(
            "The green counterparts of a DB instance and its read replicas must be encrypted together: specify a TargetKmsKeyId for {}, too, or for none.",
            if root {
                blue.id.as_str()
            } else {
                blues.first().map_or("", |root| root.id.as_str())
            }
        )));
    }
    Ok(keys)
}

/// A green instance: like its blue one but for what was asked. Roles are not taken along.
fn counterpart(
    region: &Region,
    blue: &DbInstance,
    wish: &Wish,
    version: &str,
    key: Option<String>,
) -> Result<DbInstance, ApiError> {
    let class = wish.class.clone().unwrap_or_else(|| blue.class.clone());
    if key.is_some() && !catalog::class_supports_encryption(&class) {
        return Err(ApiError::combination(format!(
            "DB instance class {class} does not support encryption at rest."
        )));
    }
    let same_family = catalog::family(&blue.engine, version)
        == catalog::family(&blue.engine, &blue.engine_version);
    let parameter_group = match &wish.parameter_group {
        Some(name) => {
            instances::check_parameter_group(region, name, &blue.engine, version)?;
            name.clone()
        }
        None if same_family => blue.parameter_group.clone(),
        None => catalog::default_parameter_group(&blue.engine, version),
    };
    let kind = wish
        .storage_type
        .clone()
        .unwrap_or_else(|| blue.storage_type.clone());
    let same_kind = kind == blue.storage_type;
    let storage = Storage {
        kind,
        gib: wish.allocated_storage.unwrap_or(blue.allocated_storage),
        iops: wish.iops.or(blue.iops.filter(|_| same_kind)),
        throughput: wish.throughput.or(blue.throughput.filter(|_| same_kind)),
    }
    .settle(&blue.engine, (wish.iops, wish.throughput))?;
    Ok(DbInstance {
        class,
        engine_version: version.to_owned(),
        status: "creating".to_owned(),
        endpoint_host: None,
        created: None,
        parameter_group,
        parameter_status: "in-sync".to_owned(),
        option_group: if same_family {
            blue.option_group.clone()
        } else {
            catalog::default_option_group(&blue.engine, version)
        },
        option_status: "in-sync".to_owned(),
        pending: Changes::default(),
        replication: None,
        allocated_storage: storage.gib,
        iops: storage.iops,
        throughput: storage.throughput,
        storage_type: storage.kind,
        encrypted: key.is_some(),
        encryption_type: if key.is_some() {
            "sse-kms".to_owned()
        } else {
            blue.encryption_type.clone()
        },
        kms_key: key,
        roles: Vec::new(),
        tags: blue
            .tags
            .iter()
            .filter(|tag| !tag.key.starts_with("aws:"))
            .cloned()
            .collect(),
        automatic_restart: None,
        storage_changed: None,
        server: None,
        stale: None,
        hidden: false,
        ..blue.clone()
    })
}

/// `CreateBlueGreenDeployment`.
pub(crate) fn create(call: &mut Call<'_>) -> Answer {
    const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
    let (params, now) = (call.params, call.now);
    let wish = Wish::read(params)?;
    let tags = tags::from_request(params, "Tags")?.unwrap_or_default();
    // Referenced objects.
    if call
        .region()
        .blue_green
        .iter()
        .any(|deployment| deployment.name.eq_ignore_ascii_case(&wish.name))
    {
        return Err(ApiError::new(
            "BlueGreenDeploymentAlreadyExistsFault",
            format!(
                "A blue/green deployment with the specified name already exists: {}",
                wish.name
            ),
        ));
    }
    let blue = source(call)?;
    let region = call.region();
    if let Some(name) = &wish.parameter_group
        && !region.parameter_groups.contains_key(name)
    {
        return Err(ApiError::no_parameter_group(name));
    }
    let mut replicas: Vec<DbInstance> = region.replicas_of(&blue.resource_id).cloned().collect();
    replicas.sort_by(|one, other| one.id.cmp(&other.id));
    check_eligible(call, &blue, &replicas)?;
    // Combinations.
    let blues: Vec<&DbInstance> = std::iter::once(&blue).chain(&replicas).collect();
    let keys = keys(call, &wish, &blues)?;
    let version = version(&blue, wish.version.as_deref())?;
    let mut greens = Vec::new();
    for (blue, key) in blues.iter().zip(keys) {
        greens.push(counterpart(call.region(), blue, &wish, &version, key)?);
    }
    // Quotas, for all of them together.
    let region = call.region();
    let gib = greens.iter().map(|green| green.allocated_storage).sum();
    check_quotas(region, gib)?;
    let limit = usize::try_from(region.quotas.instances).unwrap_or(usize::MAX);
    if region.instances.len() + greens.len() > limit {
        return Err(ApiError::new(
            "InstanceQuotaExceeded",
            format!("DB instance quota exceeded: limit is {limit}."),
        ));
    }

    let id = format!(
        "bgd-{}",
        call.world.dice.word(
            &format!("bgd/{}/{}", call.scope.account, call.scope.region),
            LETTERS,
            16
        )
    );
    let mut members = Vec::new();
    for (blue, green) in blues.iter().zip(&mut greens) {
        let word = call
            .world
            .dice
            .word(&format!("green/{}", blue.resource_id), LETTERS, 6);
        // A name has 63 characters at most.
        let stem = blue.id.get(..50).unwrap_or(&blue.id).trim_end_matches('-');
        green.id = format!("{stem}-green-{word}");
        green.resource_id = instances::new_resource_id(call, &green.id);
        members.push(Member {
            blue: blue.resource_id.clone(),
            green: green.resource_id.clone(),
            names: (blue.id.clone(), green.id.clone()),
            status: "PROVISIONING",
        });
    }
    // The green source follows the blue one, the green replicas follow the green source.
    let root = members
        .first()
        .map(|member| member.green.clone())
        .unwrap_or_default();
    for green in &mut greens {
        green.replica_of = Some(if green.resource_id == root {
            blue.resource_id.clone()
        } else {
            root.clone()
        });
    }
    let upgrades = version != blue.engine_version;
    let mut tasks = vec![(REPLICA, "IN_PROGRESS")];
    if upgrades {
        tasks.push((UPGRADE, "PENDING"));
    }
    tasks.push((BACKUPS, "PENDING"));
    if !replicas.is_empty() {
        tasks.push((TOPOLOGY, "PENDING"));
    }
    let others: Vec<String> = members
        .iter()
        .skip(1)
        .map(|member| member.green.clone())
        .collect();
    let region = call.region();
    region.blue_green.push(Deployment {
        id: id.clone(),
        name: wish.name,
        status: "PROVISIONING",
        details: None,
        tasks,
        members,
        created: now,
        deleted: None,
        tags,
    });
    // The replicas are not there before the topology is made.
    let (first, later): (Vec<DbInstance>, Vec<DbInstance>) = greens
        .into_iter()
        .partition(|green| green.resource_id == root);
    region.instances.extend(first);
    provision(call, &id, &blue, &root, (others, later), upgrades);
    answer(call, &id)
}
