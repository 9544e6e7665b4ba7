//! What one account holds in one region.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;

use super::activity::ActivityStream;
use super::backup_replication::ReplicatedBackup;
use super::blue_green::Deployment;
pub(crate) use super::clusters::state::{
    DbCluster, DbClusterSnapshot, GlobalCluster, RetainedClusterBackup,
};
use super::exports::ExportTask;
use crate::engine::{CopyId, ServerId};

/// An account and a region: the place where names are unique.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Scope {
    pub(crate) account: String,
    pub(crate) region: String,
}

impl Scope {
    /// The ARN of an RDS resource here; `kind` is `db`, `snapshot`, `cluster`, `pg`, …
    pub(crate) fn arn(&self, kind: &str, name: &str) -> String {
        format!(
            "arn:{}:rds:{}:{}:{kind}:{name}",
            self.partition(),
            self.region,
            self.account
        )
    }

    /// `aws`, or what stands for it in the other partitions.
    pub(crate) fn partition(&self) -> &'static str {
        match self.region.as_str() {
            region if region.starts_with("us-gov-") => "aws-us-gov",
            region if region.starts_with("cn-") => "aws-cn",
            _ => "aws",
        }
    }
}

/// A password that never shows itself.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Password(pub(crate) String);

impl fmt::Debug for Password {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("****")
    }
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tag {
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) value: String,
}

/// A member of a list with a state of its own, such as a security group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) name: String,
    pub(crate) status: String,
}

/// A role for a feature of the instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AssociatedRole {
    pub(crate) role_arn: String,
    pub(crate) feature_name: String,
    pub(crate) status: String,
}

/// Master password kept in Secrets Manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManagedSecret {
    pub(crate) arn: String,
    pub(crate) status: String,
    pub(crate) kms_key: String,
}

/// Changes that may wait for the maintenance window: the members of `PendingModifiedValues`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) class: Option<String>,
    pub(crate) allocated_storage: Option<i64>,
    pub(crate) storage_type: Option<String>,
    pub(crate) iops: Option<i64>,
    pub(crate) throughput: Option<i64>,
    pub(crate) multi_az: Option<bool>,
    pub(crate) engine_version: Option<String>,
    pub(crate) license_model: Option<String>,
    pub(crate) option_group: Option<String>,
    pub(crate) new_id: Option<String>,
    pub(crate) iam_auth: Option<bool>,
    pub(crate) ca: Option<String>,
    pub(crate) network_type: Option<String>,
    pub(crate) subnet_group: Option<String>,
    pub(crate) backup_retention: Option<i64>,
    pub(crate) dedicated_log_volume: Option<bool>,
    pub(crate) password: Option<Password>,
    pub(crate) port: Option<i64>,
    pub(crate) logs_enabling: Vec<String>,
    pub(crate) logs_disabling: Vec<String>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Lays `later` over these changes.
    pub(crate) fn overlay(&mut self, later: Self) {
        macro_rules! take {
            ($($field:ident),*) => { $(if later.$field.is_some() { self.$field = later.$field; })* };
        }
        take!(
            class,
            allocated_storage,
            storage_type,
            iops,
            throughput,
            multi_az,
            engine_version,
            license_model,
            option_group,
            new_id,
            iam_auth,
            ca,
            network_type,
            subnet_group,
            backup_retention,
            dedicated_log_volume,
            password,
            port
        );
        self.logs_enabling.extend(later.logs_enabling);
        self.logs_disabling.extend(later.logs_disabling);
    }
}

/// What Describe still shows although the truth has moved on.
#[derive(Debug, Clone)]
pub(crate) struct Stale {
    pub(crate) until: Timestamp,
    /// `None`: not visible yet.
    pub(crate) view: Option<Box<DbInstance>>,
}

/// A DB instance.
#[derive(Debug, Clone, Default)]
pub(crate) struct DbInstance {
    pub(crate) id: String,
    /// `db-…`: survives renames, and is what the sandbox itself identifies an instance by.
    pub(crate) resource_id: String,
    pub(crate) class: String,
    pub(crate) engine: String,
    pub(crate) engine_version: String,
    pub(crate) status: String,
    pub(crate) master_username: String,
    pub(crate) master_password: Password,
    pub(crate) db_name: Option<String>,
    pub(crate) port: i64,
    /// Absent until the instance has been available once, and while a rename has taken it away.
    pub(crate) endpoint_host: Option<String>,
    pub(crate) allocated_storage: i64,
    pub(crate) created: Option<Timestamp>,
    pub(crate) backup_window: String,
    pub(crate) backup_retention: i64,
    pub(crate) security_groups: Vec<Membership>,
    pub(crate) parameter_group: String,
    pub(crate) parameter_status: String,
    pub(crate) option_group: String,
    pub(crate) option_status: String,
    pub(crate) availability_zone: String,
    pub(crate) secondary_az: Option<String>,
    pub(crate) subnet_group: String,
    pub(crate) maintenance_window: String,
    pub(crate) pending: Changes,
    pub(crate) multi_az: bool,
    pub(crate) auto_minor_version_upgrade: bool,
    /// The source's resource id.
    pub(crate) replica_of: Option<String>,
    /// `replicating`, `error`, … once replication has begun.
    pub(crate) replication: Option<Membership>,
    pub(crate) license_model: String,
    pub(crate) iops: Option<i64>,
    pub(crate) throughput: Option<i64>,
    pub(crate) storage_type: String,
    pub(crate) publicly_accessible: bool,
    pub(crate) cluster: Option<String>,
    pub(crate) cluster_writer: bool,
    pub(crate) encrypted: bool,
    pub(crate) encryption_type: String,
    pub(crate) kms_key: Option<String>,
    pub(crate) ca: Option<String>,
    pub(crate) copy_tags: bool,
    pub(crate) monitoring_interval: i64,
    pub(crate) monitoring_role: Option<String>,
    pub(crate) promotion_tier: Option<i64>,
    pub(crate) timezone: Option<String>,
    pub(crate) character_set: Option<String>,
    pub(crate) iam_auth: bool,
    pub(crate) insights_mode: String,
    pub(crate) pi_enabled: bool,
    pub(crate) pi_key: Option<String>,
    pub(crate) pi_retention: Option<i64>,
    pub(crate) log_exports: Vec<String>,
    pub(crate) processor_features: BTreeMap<String, String>,
    pub(crate) deletion_protection: bool,
    pub(crate) roles: Vec<AssociatedRole>,
    pub(crate) max_allocated_storage: Option<i64>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) network_type: String,
    pub(crate) backup_target: String,
    pub(crate) dedicated_log_volume: bool,
    pub(crate) lifecycle_support: String,
    pub(crate) managed_secret: Option<ManagedSecret>,
    pub(crate) automatic_restart: Option<Timestamp>,
    /// `lower_case_table_names` the data was created with.
    pub(crate) lower_case_table_names: i64,
    /// When storage last changed: the next change has to wait six hours.
    pub(crate) storage_changed: Option<Timestamp>,
    /// The server process behind it, if there is one.
    pub(crate) server: Option<ServerId>,
    /// What Describe shows instead, for a while.
    pub(crate) stale: Option<Stale>,
    /// In the gap of a rename: found under neither name.
    pub(crate) hidden: bool,
}

impl DbInstance {
    /// What Describe shows at `now`; `None` when it shows nothing.
    pub(crate) fn shown(&self, now: Timestamp) -> Option<&Self> {
        match &self.stale {
            Some(stale) if now < stale.until => stale.view.as_deref(),
            _ if self.hidden => None,
            _ => Some(self),
        }
    }

    /// Whether changes are taken: `storage-optimization` is as good as `available` for most of them.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.status.as_str(), "available" | "storage-optimization")
    }

    pub(crate) fn is_cluster_member(&self) -> bool {
        self.cluster.is_some()
    }

    /// Whether it came with a Multi-AZ DB cluster: it is changed with that, and goes with it.
    pub(crate) fn is_multi_az_member(&self) -> bool {
        self.is_cluster_member() && !super::clusters::state::is_aurora(&self.engine)
    }
}

/// A DB snapshot.
#[derive(Debug, Clone)]
pub(crate) struct DbSnapshot {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) snapshot_type: String,
    pub(crate) percent: i64,
    pub(crate) created: Option<Timestamp>,
    pub(crate) original_created: Option<Timestamp>,
    /// The instance as it was: the answer shows some of it, a restore defaults to some of it.
    pub(crate) instance: Box<DbInstance>,
    /// Tags the source instance had at snapshot time; a restore without `Tags` gives them to the new instance.
    pub(crate) source_tags: Vec<Tag>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) vpc_id: String,
    pub(crate) encrypted: bool,
    pub(crate) encryption_type: String,
    pub(crate) kms_key: Option<String>,
    pub(crate) source_region: Option<String>,
    pub(crate) source_snapshot: Option<String>,
    /// A copy under way counts against the copy limit of its region; others of the same instance queue.
    pub(crate) is_copy: bool,
    /// When it is expected to be complete.
    pub(crate) finishes: Timestamp,
    /// The data, if there was a server process behind the instance.
    pub(crate) copy: Option<CopyId>,
}

/// A DB parameter group.
#[derive(Debug, Clone)]
pub(crate) struct ParameterGroup {
    pub(crate) name: String,
    pub(crate) family: String,
    pub(crate) description: String,
    /// What the user set.
    pub(crate) user: BTreeMap<String, String>,
    /// Parameters last set with the apply method `pending-reboot`.
    pub(crate) deferred: BTreeSet<String>,
    pub(crate) tags: Vec<Tag>,
}

/// An option of an option group.
#[derive(Debug, Clone)]
pub(crate) struct OptionSetting {
    pub(crate) name: String,
    pub(crate) persistent: bool,
    pub(crate) permanent: bool,
    pub(crate) settings: BTreeMap<String, String>,
}

/// An option group.
#[derive(Debug, Clone)]
pub(crate) struct OptionGroup {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) engine: String,
    pub(crate) major_version: String,
    pub(crate) options: Vec<OptionSetting>,
    pub(crate) tags: Vec<Tag>,
}

/// A DB subnet group.
#[derive(Debug, Clone)]
pub(crate) struct SubnetGroup {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) vpc_id: String,
    /// Subnet id and availability zone.
    pub(crate) subnets: Vec<(String, String)>,
    pub(crate) tags: Vec<Tag>,
}

/// A KMS key.
#[derive(Debug, Clone)]
pub(crate) struct KmsKey {
    pub(crate) id: String,
    pub(crate) arn: String,
    /// `AWS` or `CUSTOMER`.
    pub(crate) manager: String,
    /// `Enabled`, `Disabled`, `PendingDeletion`, …
    pub(crate) state: String,
    pub(crate) spec: String,
    pub(crate) usage: String,
    pub(crate) multi_region: bool,
    pub(crate) description: String,
    pub(crate) created: Timestamp,
    pub(crate) grants: Vec<Grant>,
    /// When a key in `PendingDeletion` will be gone.
    pub(crate) deletion: Option<Timestamp>,
}

impl KmsKey {
    /// Whether data under it can be read now.
    pub(crate) fn is_usable(&self) -> bool {
        self.state == "Enabled"
    }
}

/// A grant on a KMS key.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) grantee: String,
    /// Account that made it.
    pub(crate) issuer: String,
    pub(crate) operations: Vec<String>,
    pub(crate) created: Timestamp,
}

/// An event.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) at: Timestamp,
    /// `db-instance`, `db-snapshot`, …
    pub(crate) source_type: &'static str,
    pub(crate) source: String,
    pub(crate) arn: String,
    pub(crate) category: &'static str,
    pub(crate) message: String,
}

/// An automated backup that outlived its instance.
#[derive(Debug, Clone)]
pub(crate) struct RetainedBackup {
    pub(crate) instance: Box<DbInstance>,
    pub(crate) arn: String,
    pub(crate) deleted: Timestamp,
    /// The data, if there was a server process behind the instance.
    pub(crate) copy: Option<CopyId>,
}

/// An event subscription.
#[derive(Debug, Clone)]
pub(crate) struct EventSubscription {
    pub(crate) name: String,
    pub(crate) topic_arn: String,
    pub(crate) source_type: Option<String>,
    pub(crate) source_ids: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) enabled: bool,
    /// `creating`, `modifying`, `active`, `deleting`.
    pub(crate) status: String,
    pub(crate) created: Timestamp,
    pub(crate) tags: Vec<Tag>,
}

/// A DB proxy with the identifiers of the instances registered with it.
#[derive(Debug, Clone)]
pub(crate) struct DbProxy {
    pub(crate) name: String,
    pub(crate) engine_family: String,
    pub(crate) targets: Vec<String>,
    /// How each of them was registered.
    pub(crate) registered: BTreeMap<String, Registration>,
    /// Clusters registered with it; their members are targets, too.
    pub(crate) clusters: Vec<String>,
    /// `creating`, `available`, `deleting`.
    pub(crate) status: String,
    pub(crate) role_arn: String,
    pub(crate) vpc_id: String,
    pub(crate) subnets: Vec<String>,
    pub(crate) security_groups: Vec<String>,
    pub(crate) secrets: Vec<ProxySecret>,
    pub(crate) require_tls: bool,
    pub(crate) debug_logging: bool,
    /// Seconds.
    pub(crate) idle_client_timeout: i64,
    pub(crate) created: Timestamp,
    pub(crate) tags: Vec<Tag>,
}

/// An instance as a proxy met it: under a name, which another instance may have later.
#[derive(Debug, Clone)]
pub(crate) struct Registration {
    pub(crate) resource_id: String,
    /// When its first connection is made.
    pub(crate) ready: Timestamp,
}

/// How a proxy logs in: a secret in Secrets Manager.
#[derive(Debug, Clone)]
pub(crate) struct ProxySecret {
    pub(crate) secret_arn: String,
    pub(crate) iam_auth: String,
}

/// A pending maintenance action.
#[derive(Debug, Clone)]
pub(crate) struct PendingAction {
    pub(crate) resource_id: String,
    pub(crate) action: String,
    pub(crate) description: String,
    /// `immediate` or `next-maintenance` once somebody opted in.
    pub(crate) opt_in: Option<String>,
    /// When it will be applied, once that is known.
    pub(crate) applies: Option<Timestamp>,
}

/// Limits, per region.
#[derive(Debug, Clone)]
pub(crate) struct Quotas {
    pub(crate) instances: i64,
    pub(crate) manual_snapshots: i64,
    pub(crate) storage_gib: i64,
    pub(crate) replicas_per_source: i64,
    pub(crate) copies_in_flight: i64,
    pub(crate) roles_per_instance: i64,
}

impl Default for Quotas {
    /// RDS's defaults: 40 instances, 100 manual snapshots, 100 000 GiB, 15 replicas, 20 copies in flight
    /// per destination region, 5 roles per instance.
    fn default() -> Self {
        Self {
            instances: 40,
            manual_snapshots: 100,
            storage_gib: 100_000,
            replicas_per_source: 15,
            copies_in_flight: 20,
            roles_per_instance: 5,
        }
    }
}

/// All resources of an account in a region.
#[derive(Debug, Clone, Default)]
pub(crate) struct Region {
    pub(crate) instances: Vec<DbInstance>,
    pub(crate) snapshots: Vec<DbSnapshot>,
    pub(crate) clusters: Vec<DbCluster>,
    pub(crate) cluster_snapshots: Vec<DbClusterSnapshot>,
    pub(crate) parameter_groups: BTreeMap<String, ParameterGroup>,
    pub(crate) cluster_parameter_groups: BTreeMap<String, ParameterGroup>,
    /// By resource id of an instance that waits for a reboot: changed parameters with the values that its
    /// server still runs with.
    pub(crate) unapplied: BTreeMap<String, BTreeMap<String, Option<String>>>,
    /// `DBClusterParameterGroupStatus` of cluster members, by resource id, where it is not `in-sync`.
    pub(crate) cluster_parameter_status: BTreeMap<String, String>,
    pub(crate) option_groups: BTreeMap<String, OptionGroup>,
    pub(crate) subnet_groups: BTreeMap<String, SubnetGroup>,
    /// Subnets that no group has any more: subnet, zone, VPC. They go on existing.
    pub(crate) loose_subnets: Vec<(String, String, String)>,
    pub(crate) keys: Vec<KmsKey>,
    /// Alias name (`alias/…`) to key id.
    pub(crate) aliases: BTreeMap<String, String>,
    pub(crate) events: Vec<Event>,
    pub(crate) retained_backups: Vec<RetainedBackup>,
    pub(crate) retained_cluster_backups: Vec<RetainedClusterBackup>,
    pub(crate) event_subscriptions: Vec<EventSubscription>,
    /// Zero-ETL integrations.
    pub(crate) integrations: Vec<super::integrations::Integration>,
    pub(crate) proxies: Vec<DbProxy>,
    pub(crate) pending_actions: Vec<PendingAction>,
    pub(crate) blue_green: Vec<Deployment>,
    /// Accounts that a manual snapshot is shared with, or `all`, by the snapshot's ARN.
    pub(crate) shared: BTreeMap<String, BTreeSet<String>>,
    pub(crate) exports: Vec<ExportTask>,
    /// By resource id of the instance or cluster.
    pub(crate) activity_streams: BTreeMap<String, ActivityStream>,
    /// Automated backups of other regions that are replicated into this one.
    pub(crate) replicated_backups: Vec<ReplicatedBackup>,
    /// Where the automated backups of this region's instances are replicated to: ARNs by resource id.
    pub(crate) backup_replications: BTreeMap<String, Vec<String>>,
    /// Names that a running rename still holds.
    pub(crate) held_names: Vec<String>,
    pub(crate) held_cluster_names: Vec<String>,
    pub(crate) quotas: Quotas,
    /// Twelve characters in every endpoint, the same for the whole account and region.
    pub(crate) suffix: String,
    pub(crate) default_vpc: String,
    pub(crate) default_security_group: String,
    pub(crate) default_ca: String,
    /// What `DescribeDBInstances` last showed, kept for the next page.
    pub(crate) listing: Option<super::listing::Listing>,
}

impl Region {
    /// The instance with this name, as it truly is. Names are matched without regard to case.
    pub(crate) fn instance(&self, id: &str) -> Option<&DbInstance> {
        self.instances
            .iter()
            .find(|instance| instance.id.eq_ignore_ascii_case(id))
    }

    pub(crate) fn by_resource(&self, resource_id: &str) -> Option<&DbInstance> {
        self.instances
            .iter()
            .find(|instance| instance.resource_id == resource_id)
    }

    pub(crate) fn by_resource_mut(&mut self, resource_id: &str) -> Option<&mut DbInstance> {
        self.instances
            .iter_mut()
            .find(|instance| instance.resource_id == resource_id)
    }

    pub(crate) fn snapshot(&self, id: &str) -> Option<&DbSnapshot> {
        self.snapshots
            .iter()
            .find(|snapshot| snapshot.id.eq_ignore_ascii_case(id))
    }

    pub(crate) fn snapshot_mut(&mut self, id: &str) -> Option<&mut DbSnapshot> {
        self.snapshots
            .iter_mut()
            .find(|snapshot| snapshot.id.eq_ignore_ascii_case(id))
    }

    /// The replicas of an instance.
    pub(crate) fn replicas_of<'a>(
        &'a self,
        resource_id: &'a str,
    ) -> impl Iterator<Item = &'a DbInstance> {
        self.instances
            .iter()
            .filter(move |instance| instance.replica_of.as_deref() == Some(resource_id))
    }

    /// Whether a name is taken, by an instance or by a rename that has not let go of it yet.
    pub(crate) fn name_taken(&self, id: &str) -> bool {
        self.instance(id).is_some()
            || self
                .held_names
                .iter()
                .any(|name| name.eq_ignore_ascii_case(id))
    }

    /// The key that a key id, key ARN, alias name or alias ARN means.
    pub(crate) fn key(&self, reference: &str) -> Option<&KmsKey> {
        let short = match reference.strip_prefix("arn:") {
            Some(_) => reference.splitn(6, ':').nth(5)?,
            None => reference,
        };
        let id = match short.strip_prefix("key/") {
            Some(id) => id,
            None if short.starts_with("alias/") => self.aliases.get(short)?.as_str(),
            None => short,
        };
        self.keys.iter().find(|key| {
            key.id == id
                && (!reference.starts_with("arn:")
                    || short.starts_with("alias/")
                    || key.arn == reference)
        })
    }

    pub(crate) fn key_mut(&mut self, id: &str) -> Option<&mut KmsKey> {
        self.keys.iter_mut().find(|key| key.id == id)
    }

    /// Subnets' zones of a subnet group, in order.
    pub(crate) fn zones(&self, subnet_group: &str) -> Vec<String> {
        self.subnet_groups
            .get(subnet_group)
            .map(|group| group.subnets.iter().map(|(_, zone)| zone.clone()).collect())
            .unwrap_or_default()
    }

    /// The VPC of a subnet group.
    pub(crate) fn vpc(&self, subnet_group: &str) -> String {
        self.subnet_groups
            .get(subnet_group)
            .map_or_else(|| self.default_vpc.clone(), |group| group.vpc_id.clone())
    }
}
