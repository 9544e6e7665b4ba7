//! Puts a scenario's resources into a world.

use std::collections::BTreeMap;

use super::spec::{InstanceSpec, ParameterGroupSpec, Spec};
use crate::clock::plus;
use crate::kms;
use crate::neighbours::Permissions;
use crate::rds::catalog::{self, Storage};
use crate::rds::state::{
    AssociatedRole, Changes, DbCluster, DbClusterSnapshot, DbInstance, DbProxy, DbSnapshot,
    EventSubscription, ManagedSecret, Membership, OptionGroup, OptionSetting, ParameterGroup,
    PendingAction, Registration, Scope, SubnetGroup,
};
use crate::world::{Account, World};

const BASE32: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

impl Spec {
    /// Fills `world`. The spec has been checked; what a resource names exists.
    pub(crate) fn populate(&self, world: &mut World) {
        for account in &self.accounts {
            world.accounts.push(Account {
                id: account.id.clone(),
                access_key_id: account.access_key_id.get_ref().clone(),
                secret_access_key: account
                    .secret_access_key
                    .as_ref()
                    .map(|secret| secret.0.clone()),
                principal: format!(
                    "arn:aws:iam::{}:user/{}",
                    account.id,
                    account.user.as_deref().unwrap_or("sandbox")
                ),
                session_token: None,
                expires: None,
                permissions: Permissions {
                    allow: account.allow.clone(),
                    deny: account.deny.clone(),
                    policy: super::around::policy_of(account.policy.as_ref()),
                },
            });
        }
        self.keys_and_groups(world);
        self.clusters(world);
        // Sources before their replicas, whatever the order in the file: chains are short.
        let (sources, replicas): (Vec<_>, Vec<_>) = self
            .instances
            .iter()
            .partition(|instance| instance.replica_of.is_none());
        for instance in sources {
            self.instance(world, instance);
        }
        let mut waiting = replicas;
        while !waiting.is_empty() {
            let before = waiting.len();
            waiting.retain(|instance| !self.instance(world, instance));
            if waiting.len() == before {
                break;
            }
        }
        self.snapshots(world);
        self.around(world);
        for subscription in &self.event_subscriptions {
            let scope = self.scope(subscription.account.as_ref(), subscription.region.as_ref());
            let created = world.clock.start();
            world
                .region_mut(&scope)
                .event_subscriptions
                .push(EventSubscription {
                    name: subscription.name.clone(),
                    topic_arn: subscription.topic_arn.clone(),
                    source_type: subscription.source_type.clone(),
                    source_ids: subscription.source_ids.clone(),
                    categories: subscription.categories.clone(),
                    enabled: true,
                    status: "active".to_owned(),
                    created,
                    tags: Vec::new(),
                });
        }
        for proxy in &self.proxies {
            let scope = self.scope(proxy.account.as_ref(), proxy.region.as_ref());
            let created = world.clock.start();
            let region = world.region_mut(&scope);
            let subnets = region
                .subnet_groups
                .get("default")
                .map(|group| group.subnets.iter().map(|(id, _)| id.clone()).collect())
                .unwrap_or_default();
            let registered = proxy
                .targets
                .iter()
                .filter_map(|name| {
                    let resource_id = region.instance(name)?.resource_id.clone();
                    let ready = created;
                    Some((name.clone(), Registration { resource_id, ready }))
                })
                .collect();
            let built = DbProxy {
                name: proxy.name.clone(),
                engine_family: proxy.engine_family.clone(),
                targets: proxy.targets.clone(),
                registered,
                clusters: Vec::new(),
                status: "available".to_owned(),
                role_arn: format!("arn:aws:iam::{}:role/rds-proxy", scope.account),
                vpc_id: region.default_vpc.clone(),
                subnets,
                security_groups: vec![region.default_security_group.clone()],
                secrets: Vec::new(),
                require_tls: false,
                debug_logging: false,
                idle_client_timeout: 1800,
                created,
                tags: Vec::new(),
            };
            region.proxies.push(built);
        }
        for action in &self.pending_maintenance {
            let scope = self.scope(action.account.as_ref(), action.region.as_ref());
            let region = world.region_mut(&scope);
            if let Some(resource_id) = region
                .instance(&action.instance)
                .map(|instance| instance.resource_id.clone())
            {
                region.pending_actions.push(PendingAction {
                    resource_id,
                    action: action.action.clone(),
                    description: action.description.clone(),
                    opt_in: None,
                    applies: None,
                });
            }
        }
    }

    fn keys_and_groups(&self, world: &mut World) {
        for key in &self.keys {
            let regions = if key.regions.is_empty() {
                vec![
                    key.region
                        .clone()
                        .unwrap_or_else(|| self.default_region.clone()),
                ]
            } else {
                key.regions.clone()
            };
            for region in regions {
                let scope = self.scope(key.account.as_ref(), Some(&region));
                kms::create(
                    world,
                    &scope,
                    key.alias.get_ref(),
                    "CUSTOMER",
                    &key.state,
                    &key.description,
                );
            }
        }
        for group in &self.subnet_groups {
            let scope = self.scope(group.account.as_ref(), group.region.as_ref());
            let subnets = group
                .zones
                .iter()
                .map(|zone| {
                    let id = world.dice.word(
                        &format!("subnet/{}/{}/{zone}", scope.region, group.name),
                        "0123456789abcdef",
                        17,
                    );
                    (format!("subnet-{id}"), format!("{}{zone}", scope.region))
                })
                .collect();
            let region = world.region_mut(&scope);
            let vpc_id = group
                .vpc
                .clone()
                .unwrap_or_else(|| region.default_vpc.clone());
            region.subnet_groups.insert(
                group.name.clone(),
                SubnetGroup {
                    name: group.name.clone(),
                    description: group.description.clone(),
                    vpc_id,
                    subnets,
                    tags: Vec::new(),
                },
            );
        }
        for group in &self.parameter_groups {
            let scope = self.scope(group.account.as_ref(), group.region.as_ref());
            world
                .region_mut(&scope)
                .parameter_groups
                .insert(group.name.clone(), parameter_group(group));
        }
        for group in &self.cluster_parameter_groups {
            let scope = self.scope(group.account.as_ref(), group.region.as_ref());
            world
                .region_mut(&scope)
                .cluster_parameter_groups
                .insert(group.name.clone(), parameter_group(group));
        }
        for group in &self.option_groups {
            let scope = self.scope(group.account.as_ref(), group.region.as_ref());
            let options = group
                .options
                .iter()
                .map(|option| OptionSetting {
                    name: option.name.clone(),
                    persistent: option.persistent,
                    permanent: option.permanent,
                    settings: option.settings.clone(),
                })
                .collect();
            world.region_mut(&scope).option_groups.insert(
                group.name.clone(),
                OptionGroup {
                    name: group.name.clone(),
                    description: group.description.clone(),
                    engine: group.engine.clone(),
                    major_version: group.major_version.clone(),
                    options,
                    tags: group.tags.clone(),
                },
            );
        }
    }

    fn clusters(&self, world: &mut World) {
        for cluster in &self.clusters {
            let scope = self.scope(cluster.account.as_ref(), cluster.region.as_ref());
            let id = cluster.id.get_ref().to_ascii_lowercase();
            let kms_key = cluster
                .kms_key
                .as_ref()
                .and_then(|key| key_arn(world, &scope, key));
            let resource_id = format!(
                "cluster-{}",
                world
                    .dice
                    .word(&format!("cluster/{}/{id}", scope.region), BASE32, 26)
            );
            let created = plus(world.clock.start(), -200 * 86_400);
            // Aurora's has neither type nor size.
            let storage = cluster.storage_type.clone().map(|kind| {
                let asked = Storage {
                    kind,
                    gib: cluster.allocated_storage.unwrap_or(1),
                    iops: cluster.iops,
                    throughput: None,
                };
                let settled = asked.clone().settle(&cluster.engine, (cluster.iops, None));
                settled.unwrap_or(asked)
            });
            let managed_secret = cluster.managed_password.then(|| ManagedSecret {
                arn: format!(
                    "arn:aws:secretsmanager:{}:{}:secret:rds!cluster-{id}",
                    scope.region, scope.account
                ),
                status: "active".to_owned(),
                kms_key: key_arn(world, &scope, "alias/aws/secretsmanager").unwrap_or_default(),
            });
            let region = world.region_mut(&scope);
            let built = DbCluster {
                resource_id,
                engine: cluster.engine.clone(),
                engine_version: cluster.engine_version.clone(),
                engine_mode: "provisioned".to_owned(),
                status: "available".to_owned(),
                parameter_group: cluster.parameter_group.clone().unwrap_or_else(|| {
                    catalog::default_parameter_group(&cluster.engine, &cluster.engine_version)
                }),
                subnet_group: "default".to_owned(),
                port: catalog::default_port(&cluster.engine),
                master_username: "admin".to_owned(),
                database_name: cluster.database_name.clone(),
                allocated_storage: cluster.allocated_storage.unwrap_or(1),
                throughput: storage.as_ref().and_then(|storage| storage.throughput),
                iops: storage.as_ref().and_then(|storage| storage.iops),
                storage_type: storage.map(|storage| storage.kind),
                instance_class: cluster.class.clone(),
                backtrack_window: cluster.backtrack_window,
                serverless: cluster.serverless.clone(),
                http_endpoint: cluster.data_api,
                managed_secret,
                created,
                backup_retention: cluster.backup_retention,
                backup_window: "03:10-03:40".to_owned(),
                maintenance_window: "sat:04:00-sat:04:30".to_owned(),
                security_groups: vec![region.default_security_group.clone()],
                availability_zones: region.zones("default"),
                multi_az: self
                    .instances
                    .iter()
                    .filter(|member| member.cluster.as_deref() == Some(cluster.id.get_ref()))
                    .count()
                    > 1,
                encrypted: kms_key.is_some(),
                encryption_type: cluster.encryption_type.clone().unwrap_or_else(|| {
                    if kms_key.is_some() { "sse-kms" } else { "none" }.to_owned()
                }),
                kms_key,
                iam_auth: false,
                log_exports: cluster.log_exports.clone(),
                deletion_protection: cluster.deletion_protection,
                copy_tags: false,
                tags: cluster.tags.clone(),
                id,
                ..DbCluster::default()
            };
            region.clusters.push(built);
        }
    }

    /// Adds an instance; `false` when its source is not there yet.
    fn instance(&self, world: &mut World, spec: &InstanceSpec) -> bool {
        let scope = self.scope(spec.account.as_ref(), spec.region.as_ref());
        let source = match &spec.replica_of {
            Some(name) => match world.region_mut(&scope).instance(name) {
                Some(source) => Some(source.clone()),
                None => return false,
            },
            None => None,
        };
        let cluster = spec.cluster.as_ref().and_then(|name| {
            world
                .region_mut(&scope)
                .clusters
                .iter()
                .find(|cluster| cluster.id.eq_ignore_ascii_case(name))
                .cloned()
        });
        let built = self.build(world, &scope, spec, source.as_ref(), cluster.as_ref());
        world.region_mut(&scope).instances.push(built);
        true
    }

    fn build(
        &self,
        world: &mut World,
        scope: &Scope,
        spec: &InstanceSpec,
        source: Option<&DbInstance>,
        cluster: Option<&DbCluster>,
    ) -> DbInstance {
        let id = spec.id.get_ref().to_ascii_lowercase();
        let engine = spec
            .engine
            .clone()
            .or_else(|| source.map(|source| source.engine.clone()))
            .or_else(|| cluster.map(|cluster| cluster.engine.clone()))
            .unwrap_or_default();
        let engine_version = spec
            .engine_version
            .clone()
            .or_else(|| source.map(|source| source.engine_version.clone()))
            .or_else(|| cluster.map(|cluster| cluster.engine_version.clone()))
            .unwrap_or_default();
        let kms_key = match (&spec.kms_key, source, cluster) {
            (Some(key), _, _) => key_arn(world, scope, key),
            (None, Some(source), _) => source.kms_key.clone(),
            (None, None, cluster) => cluster.and_then(|cluster| cluster.kms_key.clone()),
        };
        let pi_key = spec
            .performance_insights
            .then(|| {
                key_arn(
                    world,
                    scope,
                    spec.performance_insights_kms_key
                        .as_deref()
                        .unwrap_or("alias/aws/rds"),
                )
            })
            .flatten();
        let managed_secret = spec.managed_password.then(|| ManagedSecret {
            arn: format!(
                "arn:aws:secretsmanager:{}:{}:secret:rds!db-{id}",
                scope.region, scope.account
            ),
            status: "active".to_owned(),
            kms_key: key_arn(world, scope, "alias/aws/secretsmanager").unwrap_or_default(),
        });
        let wanted_storage = spec
            .storage_type
            .clone()
            .or_else(|| source.map(|source| source.storage_type.clone()))
            .or_else(|| cluster.and_then(|cluster| cluster.storage_type.clone()))
            .unwrap_or_else(|| {
                if cluster.is_some() {
                    "aurora".to_owned()
                } else {
                    "gp3".to_owned()
                }
            });
        let gib = spec
            .allocated_storage
            .or_else(|| source.map(|source| source.allocated_storage))
            .or_else(|| cluster.map(|cluster| cluster.allocated_storage))
            .unwrap_or(20);
        let asked = Storage {
            kind: wanted_storage,
            gib,
            iops: spec
                .iops
                .or_else(|| cluster.and_then(|cluster| cluster.iops)),
            throughput: spec.storage_throughput,
        };
        let storage = asked.clone().settle(&engine, (None, None)).unwrap_or(asked);
        let resource_id = format!(
            "db-{}",
            world.dice.word(
                &format!("resource/{}/{}/{id}", scope.account, scope.region),
                BASE32,
                26
            )
        );
        let age = world.dice.between(&format!("age/{id}"), (30, 900));
        let created = plus(
            world.clock.start(),
            -86_400 * i64::try_from(age).unwrap_or(30),
        );
        let quarter = world.dice.between(&format!("window/{id}"), (0, 20));
        let parameter_group = spec
            .parameter_group
            .clone()
            .or_else(|| source.map(|source| source.parameter_group.clone()))
            .unwrap_or_else(|| catalog::default_parameter_group(&engine, &engine_version));

        let region = world.region_mut(scope);
        let subnet_group = spec
            .subnet_group
            .clone()
            .or_else(|| source.map(|source| source.subnet_group.clone()))
            .unwrap_or_else(|| "default".to_owned());
        let zones = region.zones(&subnet_group);
        let availability_zone = spec
            .availability_zone
            .clone()
            .or_else(|| zones.first().cloned())
            .unwrap_or_default();
        let standby = zones
            .iter()
            .find(|zone| **zone != availability_zone)
            .cloned();
        let lower_case_table_names = region
            .parameter_groups
            .get(&parameter_group)
            .and_then(|group| group.user.get("lower_case_table_names"))
            .and_then(|value| value.parse().ok())
            .unwrap_or(0);
        let security_groups = spec
            .security_groups
            .clone()
            .unwrap_or_else(|| vec![region.default_security_group.clone()]);
        DbInstance {
            endpoint_host: Some(format!(
                "{id}.{}.{}.rds.amazonaws.com",
                region.suffix, scope.region
            )),
            resource_id,
            class: spec.class.clone(),
            status: spec
                .status
                .clone()
                .unwrap_or_else(|| "available".to_owned()),
            master_username: spec
                .master_username
                .clone()
                .or_else(|| source.map(|source| source.master_username.clone()))
                .unwrap_or_else(|| "admin".to_owned()),
            master_password: spec
                .master_password
                .as_ref()
                .map(|password| password.0.clone())
                .or_else(|| source.map(|source| source.master_password.clone()))
                .unwrap_or_else(|| self.default_password.0.clone()),
            db_name: spec
                .db_name
                .clone()
                .or_else(|| source.and_then(|source| source.db_name.clone()))
                .or_else(|| cluster.and_then(|cluster| cluster.database_name.clone())),
            port: spec.port.unwrap_or_else(|| {
                source.map_or_else(|| catalog::default_port(&engine), |source| source.port)
            }),
            allocated_storage: storage.gib,
            created: Some(created),
            backup_window: spec
                .backup_window
                .clone()
                .unwrap_or_else(|| format!("{:02}:00-{:02}:30", quarter, quarter)),
            backup_retention: spec.backup_retention.unwrap_or_else(|| {
                if source.is_some() {
                    0
                } else {
                    cluster.map_or(1, |cluster| cluster.backup_retention)
                }
            }),
            security_groups: security_groups
                .into_iter()
                .map(|name| Membership {
                    name,
                    status: "active".to_owned(),
                })
                .collect(),
            lower_case_table_names,
            parameter_group,
            parameter_status: spec
                .parameter_apply_status
                .clone()
                .unwrap_or_else(|| "in-sync".to_owned()),
            option_group: spec
                .option_group
                .clone()
                .or_else(|| source.map(|source| source.option_group.clone()))
                .unwrap_or_else(|| catalog::default_option_group(&engine, &engine_version)),
            option_status: "in-sync".to_owned(),
            secondary_az: standby.filter(|_| spec.multi_az),
            availability_zone,
            subnet_group,
            maintenance_window: spec
                .maintenance_window
                .clone()
                .unwrap_or_else(|| format!("sun:{:02}:00-sun:{:02}:30", quarter + 2, quarter + 2)),
            pending: Changes::default(),
            multi_az: spec.multi_az,
            auto_minor_version_upgrade: spec.auto_minor_version_upgrade,
            replica_of: source.map(|source| source.resource_id.clone()),
            replication: source.map(|_| Membership {
                name: String::new(),
                status: "replicating".to_owned(),
            }),
            license_model: spec
                .license_model
                .clone()
                .unwrap_or_else(|| catalog::default_license(&engine).to_owned()),
            iops: storage.iops,
            throughput: storage.throughput,
            storage_type: storage.kind,
            publicly_accessible: spec.publicly_accessible,
            cluster: cluster.map(|cluster| cluster.id.clone()),
            cluster_writer: spec.cluster_writer,
            encrypted: kms_key.is_some(),
            encryption_type: spec
                .encryption_type
                .clone()
                .or_else(|| cluster.map(|cluster| cluster.encryption_type.clone()))
                .unwrap_or_else(|| if kms_key.is_some() { "sse-kms" } else { "none" }.to_owned()),
            kms_key,
            ca: Some(spec.ca.clone().unwrap_or_else(|| region.default_ca.clone())),
            copy_tags: spec.copy_tags_to_snapshot,
            monitoring_interval: spec.monitoring_interval,
            monitoring_role: spec.monitoring_role.clone(),
            promotion_tier: spec.promotion_tier.or_else(|| cluster.map(|_| 1)),
            timezone: spec.timezone.clone(),
            character_set: spec.character_set.clone(),
            iam_auth: spec.iam_authentication,
            insights_mode: spec
                .database_insights_mode
                .clone()
                .unwrap_or_else(|| "standard".to_owned()),
            pi_enabled: spec.performance_insights,
            pi_key,
            pi_retention: spec
                .performance_insights
                .then(|| spec.performance_insights_retention.unwrap_or(7)),
            log_exports: spec.log_exports.clone(),
            processor_features: spec.processor_features.clone(),
            deletion_protection: spec.deletion_protection,
            roles: spec
                .roles
                .iter()
                .map(|role| AssociatedRole {
                    role_arn: role.role_arn.clone(),
                    feature_name: role.feature_name.clone(),
                    status: "ACTIVE".to_owned(),
                })
                .collect(),
            max_allocated_storage: spec.max_allocated_storage,
            tags: spec.tags.clone(),
            network_type: spec
                .network_type
                .clone()
                .unwrap_or_else(|| "IPV4".to_owned()),
            backup_target: "region".to_owned(),
            dedicated_log_volume: spec.dedicated_log_volume,
            lifecycle_support: spec
                .lifecycle_support
                .clone()
                .unwrap_or_else(|| "open-source-rds-extended-support".to_owned()),
            managed_secret,
            automatic_restart: None,
            storage_changed: None,
            server: None,
            stale: None,
            hidden: false,
            engine,
            engine_version,
            id,
        }
    }

    fn snapshots(&self, world: &mut World) {
        for spec in &self.snapshots {
            let scope = self.scope(spec.account.as_ref(), spec.region.as_ref());
            let at = plus(world.clock.start(), -86_400 * spec.age_days);
            let region = world.region_mut(&scope);
            if !spec.shared_with.is_empty() {
                let kind = if spec.cluster.is_some() {
                    "cluster-snapshot"
                } else {
                    "snapshot"
                };
                region.shared.insert(
                    scope.arn(kind, spec.id.get_ref()),
                    spec.shared_with.iter().cloned().collect(),
                );
            }
            if let Some(cluster) = spec.cluster.as_ref().and_then(|name| {
                region
                    .clusters
                    .iter()
                    .find(|cluster| cluster.id.eq_ignore_ascii_case(name))
            }) {
                let snapshot = DbClusterSnapshot {
                    id: spec.id.get_ref().clone(),
                    snapshot_type: spec.snapshot_type.clone(),
                    status: "available".to_owned(),
                    percent: 100,
                    created: at,
                    vpc_id: region.vpc(&cluster.subnet_group),
                    encrypted: cluster.encrypted,
                    encryption_type: cluster.encryption_type.clone(),
                    kms_key: cluster.kms_key.clone(),
                    cluster: Box::new(cluster.clone()),
                    tags: spec.tags.clone(),
                    ..DbClusterSnapshot::default()
                };
                region.cluster_snapshots.push(snapshot);
            }
            if let Some(instance) = spec
                .instance
                .as_ref()
                .and_then(|name| region.instance(name))
                .cloned()
            {
                let vpc_id = region.vpc(&instance.subnet_group);
                region.snapshots.push(DbSnapshot {
                    id: spec.id.get_ref().clone(),
                    status: "available".to_owned(),
                    snapshot_type: spec.snapshot_type.clone(),
                    percent: 100,
                    created: Some(at),
                    original_created: Some(at),
                    source_tags: instance.tags.clone(),
                    tags: spec.tags.clone(),
                    vpc_id,
                    encrypted: instance.encrypted,
                    encryption_type: instance.encryption_type.clone(),
                    kms_key: instance.kms_key.clone(),
                    source_region: None,
                    source_snapshot: None,
                    is_copy: false,
                    finishes: at,
                    copy: None,
                    instance: Box::new(instance),
                });
            }
        }
    }

    /// Data of each instance by account, region and name: the SQL, and the SQL of a replica.
    pub(crate) fn data(&self) -> BTreeMap<(Scope, String), &InstanceSpec> {
        self.instances
            .iter()
            .map(|spec| {
                (
                    (
                        self.scope(spec.account.as_ref(), spec.region.as_ref()),
                        spec.id.get_ref().to_ascii_lowercase(),
                    ),
                    spec,
                )
            })
            .collect()
    }
}

fn parameter_group(group: &ParameterGroupSpec) -> ParameterGroup {
    ParameterGroup {
        name: group.name.clone(),
        family: group.family.clone(),
        description: group.description.clone(),
        user: group.parameters.clone(),
        deferred: std::collections::BTreeSet::new(),
        tags: group.tags.clone(),
    }
}

/// The ARN of a key whatever its state: a scenario may begin with a key that was disabled later.
fn key_arn(world: &mut World, scope: &Scope, reference: &str) -> Option<String> {
    kms::ensure_managed(world, scope, reference);
    world
        .region_mut(scope)
        .key(reference)
        .map(|key| key.arn.clone())
}
