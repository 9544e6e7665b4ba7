//! The keys of a scenario file.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::around;
use crate::fault::Fault;
use crate::rds::catalog;
use crate::rds::state::{Password, Quotas, Tag};
use crate::world::Knobs;

/// A whole scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// One sentence about it.
    #[serde(default)]
    #[expect(dead_code, reason = "for the reader of the file")]
    pub(crate) description: String,
    /// Account of resources that name none; the first one unless given.
    pub(crate) default_account: Option<String>,
    /// Region of resources that name none.
    #[serde(default = "frankfurt")]
    pub(crate) default_region: String,
    /// Master password of instances that name none.
    #[serde(default = "default_password")]
    pub(crate) default_password: SpecPassword,
    pub(crate) accounts: Vec<AccountSpec>,
    #[serde(default = "unset")]
    pub(crate) knobs: Spanned<KnobsSpec>,
    #[serde(default = "unset")]
    pub(crate) quotas: Spanned<QuotasSpec>,
    #[serde(default)]
    pub(crate) keys: Vec<KeySpec>,
    #[serde(default)]
    pub(crate) subnet_groups: Vec<SubnetGroupSpec>,
    #[serde(default)]
    pub(crate) parameter_groups: Vec<ParameterGroupSpec>,
    #[serde(default)]
    pub(crate) cluster_parameter_groups: Vec<ParameterGroupSpec>,
    #[serde(default)]
    pub(crate) option_groups: Vec<OptionGroupSpec>,
    #[serde(default)]
    pub(crate) clusters: Vec<ClusterSpec>,
    #[serde(default)]
    pub(crate) instances: Vec<InstanceSpec>,
    #[serde(default)]
    pub(crate) snapshots: Vec<SnapshotSpec>,
    #[serde(default)]
    pub(crate) event_subscriptions: Vec<EventSubscriptionSpec>,
    #[serde(default)]
    pub(crate) proxies: Vec<ProxySpec>,
    #[serde(default)]
    pub(crate) pending_maintenance: Vec<PendingMaintenanceSpec>,
    #[serde(default)]
    pub(crate) faults: Vec<Spanned<Fault>>,
    #[serde(default)]
    pub(crate) roles: Vec<around::RoleSpec>,
    pub(crate) organization: Option<around::OrganizationSpec>,
    #[serde(default)]
    pub(crate) secrets: Vec<around::SecretSpec>,
    #[serde(default)]
    pub(crate) alarms: Vec<around::AlarmSpec>,
    #[serde(default)]
    pub(crate) integrations: Vec<around::IntegrationSpec>,
    #[serde(default)]
    pub(crate) metrics: Vec<around::MetricSpec>,
}

/// A table that is not in the file.
fn unset<T: Default>() -> Spanned<T> {
    Spanned::new(0..0, T::default())
}

fn frankfurt() -> String {
    "eu-central-1".to_owned()
}

/// A password in a scenario file; hidden from Debug.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "String")]
pub(crate) struct SpecPassword(pub(crate) Password);

impl From<String> for SpecPassword {
    fn from(text: String) -> Self {
        Self(Password(text))
    }
}

fn default_password() -> SpecPassword {
    SpecPassword(Password("sandbox-password".to_owned()))
}

/// An account with one access key. Several entries with one id are several keys of one account.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountSpec {
    pub(crate) id: String,
    pub(crate) access_key_id: Spanned<String>,
    /// Signatures are verified when this is given.
    pub(crate) secret_access_key: Option<SpecPassword>,
    /// User name in the principal's ARN.
    pub(crate) user: Option<String>,
    /// What the user may do: patterns of actions, such as `rds:Describe*`; everything unless given.
    #[serde(default)]
    pub(crate) allow: Vec<String>,
    #[serde(default)]
    pub(crate) deny: Vec<String>,
    /// An IAM policy document, which must allow it too.
    pub(crate) policy: Option<Spanned<String>>,
    /// Opt-in regions that the account has enabled, beside those in which the scenario has something.
    #[serde(default)]
    pub(crate) opt_in: Vec<String>,
}

/// Knobs of the simulation; times in virtual seconds as `[least, most]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnobsSpec {
    pub(crate) describe_lag: Option<(u64, u64)>,
    pub(crate) rename_gap: Option<(u64, u64)>,
    pub(crate) endpoint_lag: Option<(u64, u64)>,
    pub(crate) pending_reboot_chance: Option<f64>,
    /// Factor on all other durations.
    pub(crate) pace: Option<f64>,
    /// Records per page at most.
    pub(crate) page_limit: Option<usize>,
    /// Regions in which a blue/green deployment refuses to change encryption.
    #[serde(default)]
    pub(crate) no_blue_green_encryption: Vec<String>,
}

impl KnobsSpec {
    pub(crate) fn settle(&self) -> Knobs {
        Knobs {
            // Describe may lag up to a minute behind a write.
            describe_lag: self.describe_lag.unwrap_or((3, 45)),
            rename_gap: self.rename_gap.unwrap_or((10, 40)),
            // A new name resolves after some ten minutes at most.
            endpoint_lag: self.endpoint_lag.unwrap_or((60, 600)),
            pending_reboot_chance: self.pending_reboot_chance.unwrap_or(0.3),
            pace: self.pace.unwrap_or(1.0),
            page_limit: self.page_limit.unwrap_or(1000),
            no_blue_green_encryption: self.no_blue_green_encryption.clone(),
        }
    }
}

/// Quotas that differ from RDS's defaults.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuotasSpec {
    pub(crate) instances: Option<i64>,
    pub(crate) manual_snapshots: Option<i64>,
    pub(crate) storage_gib: Option<i64>,
    pub(crate) replicas_per_source: Option<i64>,
    pub(crate) copies_in_flight: Option<i64>,
    pub(crate) roles_per_instance: Option<i64>,
}

impl QuotasSpec {
    pub(crate) fn settle(&self) -> Quotas {
        let base = Quotas::default();
        Quotas {
            instances: self.instances.unwrap_or(base.instances),
            manual_snapshots: self.manual_snapshots.unwrap_or(base.manual_snapshots),
            storage_gib: self.storage_gib.unwrap_or(base.storage_gib),
            replicas_per_source: self.replicas_per_source.unwrap_or(base.replicas_per_source),
            copies_in_flight: self.copies_in_flight.unwrap_or(base.copies_in_flight),
            roles_per_instance: self.roles_per_instance.unwrap_or(base.roles_per_instance),
        }
    }
}

/// A KMS key with its alias; in every region of `regions`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeySpec {
    pub(crate) alias: Spanned<String>,
    pub(crate) account: Option<String>,
    pub(crate) region: Option<String>,
    #[serde(default)]
    pub(crate) regions: Vec<String>,
    /// `Enabled`, `Disabled`, `PendingDeletion`, …
    #[serde(default = "enabled")]
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) description: String,
}

fn enabled() -> String {
    "Enabled".to_owned()
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubnetGroupSpec {
    pub(crate) name: String,
    pub(crate) account: Option<String>,
    pub(crate) region: Option<String>,
    #[serde(default)]
    pub(crate) description: String,
    /// VPC; the default one unless given.
    pub(crate) vpc: Option<String>,
    /// Letters of its zones.
    #[serde(default = "three_zones")]
    pub(crate) zones: Vec<String>,
}

fn three_zones() -> Vec<String> {
    ["a", "b", "c"].map(str::to_owned).to_vec()
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ParameterGroupSpec {
    pub(crate) name: String,
    pub(crate) family: String,
    pub(crate) account: Option<String>,
    pub(crate) region: Option<String>,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) parameters: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) tags: Vec<Tag>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OptionGroupSpec {
    pub(crate) name: String,
    pub(crate) engine: String,
    pub(crate) major_version: String,
    pub(crate) account: Option<String>,
    pub(crate) region: Option<String>,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) options: Vec<OptionSpec>,
    #[serde(default)]
    pub(crate) tags: Vec<Tag>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OptionSpec {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) persistent: bool,
    #[serde(default)]
    pub(crate) permanent: bool,
    #[serde(default)]
    pub(crate) settings: BTreeMap<String, String>,
}

/// A cluster; its members are instances with `cluster = "…"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterSpec {
    pub(crate) id: Spanned<String>,
    pub(crate) account: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) engine: String,
    pub(crate) engine_version: String,
    pub(crate) database_name: Option<String>,
    pub(crate) parameter_group: Option<String>,
    pub(crate) kms_key: Option<String>,
    /// `none`, `sse-rds` or `sse-kms`; follows from `kms_key` unless given.
    pub(crate) encryption_type: Option<String>,
    #[serde(default)]
    pub(crate) deletion_protection: bool,
    #[serde(default = "one_day")]
    pub(crate) backup_retention: i64,
    #[serde(default)]
    pub(crate) log_exports: Vec<String>,
    /// Of an Aurora cluster: seconds that can be backtracked.
    pub(crate) backtrack_window: Option<i64>,
    /// Of an Aurora cluster: least and most capacity units of Serverless v2, as RDS shows them: `["0.5", "8.0"]`.
    pub(crate) serverless: Option<(String, String)>,
    /// Of an Aurora cluster: whether its Data API is on.
    #[serde(default)]
    pub(crate) data_api: bool,
    /// Whether RDS manages the master password in Secrets Manager.
    #[serde(default)]
    pub(crate) managed_password: bool,
    /// Of a Multi-AZ DB cluster: class of its DB instances.
    pub(crate) class: Option<String>,
    /// Of a Multi-AZ DB cluster: GiB of each DB instance.
    pub(crate) allocated_storage: Option<i64>,
    /// Of a Multi-AZ DB cluster.
    pub(crate) storage_type: Option<String>,
    /// Of a Multi-AZ DB cluster.
    pub(crate) iops: Option<i64>,
    #[serde(default)]
    pub(crate) tags: Vec<Tag>,
}

fn one_day() -> i64 {
    1
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleSpec {
    pub(crate) role_arn: String,
    pub(crate) feature_name: String,
}

/// A DB instance. Keys are the API's names in snake case, shortened where nothing else could be meant.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InstanceSpec {
    pub(crate) id: Spanned<String>,
    /// Makes `id-001` to `id-<count>` instead of `id`.
    pub(crate) count: Option<usize>,
    pub(crate) account: Option<String>,
    pub(crate) region: Option<String>,
    /// Of a replica: the identifier of its source, from which engine, version, size and user come.
    pub(crate) replica_of: Option<String>,
    pub(crate) cluster: Option<String>,
    #[serde(default)]
    pub(crate) cluster_writer: bool,
    pub(crate) promotion_tier: Option<i64>,
    pub(crate) engine: Option<String>,
    pub(crate) engine_version: Option<String>,
    #[serde(default = "default_class")]
    pub(crate) class: String,
    pub(crate) allocated_storage: Option<i64>,
    pub(crate) storage_type: Option<String>,
    pub(crate) iops: Option<i64>,
    pub(crate) storage_throughput: Option<i64>,
    pub(crate) max_allocated_storage: Option<i64>,
    pub(crate) kms_key: Option<String>,
    pub(crate) encryption_type: Option<String>,
    pub(crate) master_username: Option<String>,
    pub(crate) master_password: Option<SpecPassword>,
    pub(crate) db_name: Option<String>,
    pub(crate) port: Option<i64>,
    #[serde(default)]
    pub(crate) multi_az: bool,
    pub(crate) availability_zone: Option<String>,
    pub(crate) subnet_group: Option<String>,
    pub(crate) security_groups: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) publicly_accessible: bool,
    pub(crate) parameter_group: Option<String>,
    /// `in-sync` unless given.
    pub(crate) parameter_apply_status: Option<String>,
    pub(crate) option_group: Option<String>,
    pub(crate) backup_retention: Option<i64>,
    pub(crate) backup_window: Option<String>,
    pub(crate) maintenance_window: Option<String>,
    #[serde(default = "yes")]
    pub(crate) auto_minor_version_upgrade: bool,
    #[serde(default)]
    pub(crate) copy_tags_to_snapshot: bool,
    #[serde(default)]
    pub(crate) deletion_protection: bool,
    #[serde(default)]
    pub(crate) iam_authentication: bool,
    pub(crate) ca: Option<String>,
    #[serde(default)]
    pub(crate) log_exports: Vec<String>,
    #[serde(default)]
    pub(crate) monitoring_interval: i64,
    pub(crate) monitoring_role: Option<String>,
    #[serde(default)]
    pub(crate) performance_insights: bool,
    pub(crate) performance_insights_kms_key: Option<String>,
    pub(crate) performance_insights_retention: Option<i64>,
    pub(crate) database_insights_mode: Option<String>,
    #[serde(default)]
    pub(crate) roles: Vec<RoleSpec>,
    pub(crate) network_type: Option<String>,
    #[serde(default)]
    pub(crate) dedicated_log_volume: bool,
    pub(crate) lifecycle_support: Option<String>,
    #[serde(default)]
    pub(crate) managed_password: bool,
    pub(crate) license_model: Option<String>,
    pub(crate) timezone: Option<String>,
    pub(crate) character_set: Option<String>,
    #[serde(default)]
    pub(crate) processor_features: BTreeMap<String, String>,
    /// `available` unless given.
    pub(crate) status: Option<String>,
    #[serde(default)]
    pub(crate) tags: Vec<Tag>,
    /// `false`: no server process behind it, even where one could be.
    #[serde(default = "yes")]
    pub(crate) server: bool,
    /// Schemas, rows and accounts; run by an administrator. A `DELIMITER` line works as in the client.
    pub(crate) sql: Option<String>,
    /// The same from a file beside the scenario.
    pub(crate) sql_file: Option<String>,
    /// What exists on this replica only; run there without writing binary logs.
    pub(crate) replica_sql: Option<String>,
    /// The same from a file beside the scenario.
    pub(crate) replica_sql_file: Option<String>,
}

fn default_class() -> String {
    "db.t3.small".to_owned()
}

fn yes() -> bool {
    true
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnapshotSpec {
    pub(crate) id: Spanned<String>,
    pub(crate) account: Option<String>,
    pub(crate) region: Option<String>,
    /// Instance it was taken of, or `cluster`.
    pub(crate) instance: Option<String>,
    pub(crate) cluster: Option<String>,
    /// `manual` or `automated`.
    #[serde(default = "manual")]
    pub(crate) snapshot_type: String,
    /// Age in days.
    #[serde(default)]
    pub(crate) age_days: i64,
    /// Accounts that may restore it, or `all`.
    #[serde(default)]
    pub(crate) shared_with: Vec<String>,
    #[serde(default)]
    pub(crate) tags: Vec<Tag>,
}

fn manual() -> String {
    "manual".to_owned()
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventSubscriptionSpec {
    pub(crate) name: String,
    pub(crate) account: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) topic_arn: String,
    pub(crate) source_type: Option<String>,
    #[serde(default)]
    pub(crate) source_ids: Vec<String>,
    #[serde(default)]
    pub(crate) categories: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProxySpec {
    pub(crate) name: String,
    pub(crate) account: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) engine_family: String,
    #[serde(default)]
    pub(crate) targets: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PendingMaintenanceSpec {
    pub(crate) instance: String,
    pub(crate) account: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) action: String,
    #[serde(default)]
    pub(crate) description: String,
}

/// Where in the text, what, and what is wrong with it.
pub(super) type Problem = (Range<usize>, String, String);

impl Spec {
    /// Account and region of a resource.
    pub(crate) fn scope(
        &self,
        account: Option<&String>,
        region: Option<&String>,
    ) -> crate::rds::state::Scope {
        let first = || {
            self.accounts
                .first()
                .map(|account| account.id.clone())
                .unwrap_or_default()
        };
        crate::rds::state::Scope {
            account: account
                .or(self.default_account.as_ref())
                .cloned()
                .unwrap_or_else(first),
            region: region.unwrap_or(&self.default_region).clone(),
        }
    }

    /// Replaces entries with a `count` by that many instances.
    pub(crate) fn expand(&mut self) {
        let written = std::mem::take(&mut self.instances);
        for instance in written {
            let Some(count) = instance.count else {
                self.instances.push(instance);
                continue;
            };
            for number in 1..=count {
                let mut one = instance.clone();
                one.count = None;
                let span = one.id.span();
                one.id = Spanned::new(span, format!("{}-{number:03}", instance.id.get_ref()));
                self.instances.push(one);
            }
        }
    }

    /// The instance of this name in the same place as `near`.
    pub(crate) fn source_of(&self, near: &InstanceSpec) -> Option<&InstanceSpec> {
        let name = near.replica_of.as_ref()?;
        let place = self.scope(near.account.as_ref(), near.region.as_ref());
        self.instances.iter().find(|other| {
            other.id.get_ref() == name
                && self.scope(other.account.as_ref(), other.region.as_ref()) == place
        })
    }

    /// What the types cannot say: names exist, are unique and fit each other.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        if self.accounts.is_empty() {
            return Err((
                0..0,
                "accounts".to_owned(),
                "there is no account".to_owned(),
            ));
        }
        self.check_frame()?;
        self.check_around()?;
        let mut seen = std::collections::BTreeSet::new();
        for instance in &self.instances {
            let id = instance.id.get_ref();
            let problem = |key: &str, text: String| {
                (instance.id.span(), format!("instances.{id}.{key}"), text)
            };
            let place = self.scope(instance.account.as_ref(), instance.region.as_ref());
            if !self
                .accounts
                .iter()
                .any(|account| account.id == place.account)
            {
                return Err(problem(
                    "account",
                    format!("there is no account {}", place.account),
                ));
            }
            if !catalog::REGIONS
                .iter()
                .any(|(region, _)| *region == place.region)
            {
                return Err(problem(
                    "region",
                    format!("there is no commercial region {}", place.region),
                ));
            }
            if !seen.insert((place.clone(), id.to_ascii_lowercase())) {
                return Err(problem("id", "the name is used twice".to_owned()));
            }
            let cluster = instance.cluster.as_ref().and_then(|name| {
                self.clusters
                    .iter()
                    .find(|cluster| cluster.id.get_ref() == name)
            });
            if let (Some(name), None) = (&instance.cluster, cluster) {
                return Err(problem("cluster", format!("there is no cluster {name}")));
            }
            let source = self.source_of(instance);
            if let (Some(name), None) = (&instance.replica_of, source) {
                return Err(problem(
                    "replica_of",
                    format!("there is no instance {name} in the same account and region"),
                ));
            }
            if source.is_none()
                && cluster.is_none()
                && (instance.engine.is_none() || instance.engine_version.is_none())
            {
                return Err(problem("engine", "engine and engine_version are needed unless it is a replica or a cluster member".to_owned()));
            }
            if source.is_none() && (instance.replica_sql.is_some()) {
                return Err(problem(
                    "replica_sql",
                    "only a replica has data of its own".to_owned(),
                ));
            }
            if let Some(name) = &instance.parameter_group
                && !name.starts_with("default.")
                && !self.parameter_groups.iter().any(|group| {
                    group.name == *name
                        && self.scope(group.account.as_ref(), group.region.as_ref()) == place
                })
            {
                return Err(problem(
                    "parameter_group",
                    format!("there is no parameter group {name} in {}", place.region),
                ));
            }
            if let Some(name) = &instance.option_group
                && !name.starts_with("default:")
                && !self.option_groups.iter().any(|group| {
                    group.name == *name
                        && self.scope(group.account.as_ref(), group.region.as_ref()) == place
                })
            {
                return Err(problem(
                    "option_group",
                    format!("there is no option group {name} in {}", place.region),
                ));
            }
            if let Some(name) = &instance.subnet_group
                && name != "default"
                && !self.subnet_groups.iter().any(|group| {
                    group.name == *name
                        && self.scope(group.account.as_ref(), group.region.as_ref()) == place
                })
            {
                return Err(problem(
                    "subnet_group",
                    format!("there is no subnet group {name} in {}", place.region),
                ));
            }
            for key in [&instance.kms_key, &instance.performance_insights_kms_key]
                .into_iter()
                .flatten()
            {
                if !key.starts_with("alias/aws/")
                    && !self.keys.iter().any(|known| known.alias.get_ref() == key)
                {
                    return Err(problem("kms_key", format!("there is no key {key}")));
                }
            }
            if instance.monitoring_interval > 0 && instance.monitoring_role.is_none() {
                return Err(problem(
                    "monitoring_role",
                    "monitoring needs a role".to_owned(),
                ));
            }
        }
        for cluster in &self.clusters {
            let place = self.scope(cluster.account.as_ref(), cluster.region.as_ref());
            if let Some(name) = &cluster.parameter_group
                && !name.starts_with("default.")
                && !self.cluster_parameter_groups.iter().any(|group| {
                    group.name == *name
                        && self.scope(group.account.as_ref(), group.region.as_ref()) == place
                })
            {
                return Err((
                    cluster.id.span(),
                    format!("clusters.{}.parameter_group", cluster.id.get_ref()),
                    format!(
                        "there is no cluster parameter group {name} in {}",
                        place.region
                    ),
                ));
            }
        }
        for snapshot in &self.snapshots {
            let id = snapshot.id.get_ref();
            let known = match (&snapshot.instance, &snapshot.cluster) {
                (Some(name), None) => self
                    .instances
                    .iter()
                    .any(|instance| instance.id.get_ref() == name),
                (None, Some(name)) => self
                    .clusters
                    .iter()
                    .any(|cluster| cluster.id.get_ref() == name),
                _ => false,
            };
            if !known {
                return Err((
                    snapshot.id.span(),
                    format!("snapshots.{id}"),
                    "names neither a known instance nor a known cluster".to_owned(),
                ));
            }
        }
        Ok(())
    }
}
