//! What a region holds of DB clusters, and an account of global ones.

use jiff::Timestamp;

use super::super::state::{AssociatedRole, ManagedSecret, Password, Region, Scope, Tag};

/// Changes of a cluster that may wait for the maintenance window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ClusterChanges {
    pub(crate) new_id: Option<String>,
    pub(crate) password: Option<Password>,
    pub(crate) iam_auth: Option<bool>,
    pub(crate) engine_version: Option<String>,
    pub(crate) storage_type: Option<String>,
    pub(crate) allocated_storage: Option<i64>,
    pub(crate) iops: Option<i64>,
    pub(crate) instance_class: Option<String>,
}

impl ClusterChanges {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Lays `later` over these changes.
    pub(crate) fn overlay(&mut self, later: Self) {
        macro_rules! take {
            ($($field:ident),*) => { $(if later.$field.is_some() { self.$field = later.$field; })* };
        }
        take!(
            new_id,
            password,
            iam_auth,
            engine_version,
            storage_type,
            allocated_storage,
            iops,
            instance_class
        );
    }
}

/// What Describe still shows of a cluster although the truth has moved on.
#[derive(Debug, Clone)]
pub(crate) struct StaleCluster {
    pub(crate) until: Timestamp,
    /// `None`: not visible yet.
    pub(crate) view: Option<Box<DbCluster>>,
}

/// An Aurora or Multi-AZ DB cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct DbCluster {
    pub(crate) id: String,
    /// `cluster-…`: survives renames, and is what the sandbox itself identifies a cluster by.
    pub(crate) resource_id: String,
    pub(crate) engine: String,
    pub(crate) engine_version: String,
    pub(crate) engine_mode: String,
    pub(crate) status: String,
    pub(crate) parameter_group: String,
    pub(crate) subnet_group: String,
    pub(crate) port: i64,
    pub(crate) master_username: String,
    pub(crate) master_password: Password,
    pub(crate) managed_secret: Option<ManagedSecret>,
    pub(crate) database_name: Option<String>,
    pub(crate) allocated_storage: i64,
    pub(crate) storage_type: Option<String>,
    pub(crate) iops: Option<i64>,
    /// Of a Multi-AZ DB cluster on gp3.
    pub(crate) throughput: Option<i64>,
    /// Class of the instances of a Multi-AZ DB cluster; Aurora members have their own.
    pub(crate) instance_class: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) backup_retention: i64,
    pub(crate) backup_window: String,
    pub(crate) maintenance_window: String,
    pub(crate) security_groups: Vec<String>,
    pub(crate) availability_zones: Vec<String>,
    pub(crate) multi_az: bool,
    pub(crate) encrypted: bool,
    /// `none`, `sse-rds` or `sse-kms`.
    pub(crate) encryption_type: String,
    pub(crate) kms_key: Option<String>,
    pub(crate) iam_auth: bool,
    pub(crate) log_exports: Vec<String>,
    pub(crate) deletion_protection: bool,
    pub(crate) copy_tags: bool,
    pub(crate) backtrack_window: Option<i64>,
    /// Least and most capacity units of Aurora Serverless v2, as written in the request.
    pub(crate) serverless: Option<(String, String)>,
    pub(crate) http_endpoint: bool,
    pub(crate) network_type: Option<String>,
    pub(crate) roles: Vec<AssociatedRole>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) pending: ClusterChanges,
    pub(crate) automatic_restart: Option<Timestamp>,
    /// The volume that a clone shares with its source.
    pub(crate) clone_group: Option<String>,
    pub(crate) stale: Option<StaleCluster>,
    /// In the gap of a rename: found under neither name.
    pub(crate) hidden: bool,
}

impl DbCluster {
    /// What Describe shows at `now`; `None` when it shows nothing.
    pub(crate) fn shown(&self, now: Timestamp) -> Option<&Self> {
        match &self.stale {
            Some(stale) if now < stale.until => stale.view.as_deref(),
            _ if self.hidden => None,
            _ => Some(self),
        }
    }

    /// Aurora keeps its data in a volume of the cluster; the instances of a Multi-AZ DB cluster each have their
    /// own, and come and go with the cluster.
    pub(crate) fn is_aurora(&self) -> bool {
        is_aurora(&self.engine)
    }
}

/// Whether an engine is Aurora's.
pub(crate) fn is_aurora(engine: &str) -> bool {
    engine.starts_with("aurora")
}

/// A DB cluster snapshot.
#[derive(Debug, Clone, Default)]
pub(crate) struct DbClusterSnapshot {
    pub(crate) id: String,
    pub(crate) snapshot_type: String,
    pub(crate) status: String,
    pub(crate) percent: i64,
    pub(crate) created: Timestamp,
    /// The cluster as it was.
    pub(crate) cluster: Box<DbCluster>,
    pub(crate) vpc_id: String,
    pub(crate) encrypted: bool,
    pub(crate) encryption_type: String,
    pub(crate) kms_key: Option<String>,
    /// ARN of the original, of copies from another region or account.
    pub(crate) source_arn: Option<String>,
    pub(crate) is_copy: bool,
    pub(crate) tags: Vec<Tag>,
}

/// An automated backup that outlived its cluster.
#[derive(Debug, Clone)]
pub(crate) struct RetainedClusterBackup {
    pub(crate) cluster: Box<DbCluster>,
    pub(crate) deleted: Timestamp,
}

/// A global cluster: belongs to an account, not to a region.
#[derive(Debug, Clone)]
pub(crate) struct GlobalCluster {
    pub(crate) account: String,
    pub(crate) id: String,
    pub(crate) resource_id: String,
    pub(crate) engine: String,
    pub(crate) engine_version: String,
    pub(crate) database_name: Option<String>,
    pub(crate) encrypted: bool,
    pub(crate) encryption_type: String,
    pub(crate) deletion_protection: bool,
    pub(crate) status: String,
    /// Region and resource id of each member; the first is the writer.
    pub(crate) members: Vec<(Scope, String)>,
    pub(crate) tags: Vec<Tag>,
}

impl Region {
    /// The cluster with this name, as it truly is.
    pub(crate) fn cluster(&self, id: &str) -> Option<&DbCluster> {
        self.clusters
            .iter()
            .find(|cluster| cluster.id.eq_ignore_ascii_case(id))
    }

    pub(crate) fn cluster_by_resource_mut(&mut self, resource_id: &str) -> Option<&mut DbCluster> {
        self.clusters
            .iter_mut()
            .find(|cluster| cluster.resource_id == resource_id)
    }

    /// Whether a cluster name is taken, by a cluster or by a rename that has not let go of it yet.
    pub(crate) fn cluster_name_taken(&self, id: &str) -> bool {
        self.cluster(id).is_some()
            || self
                .held_cluster_names
                .iter()
                .any(|name| name.eq_ignore_ascii_case(id))
    }

    pub(crate) fn cluster_snapshot(&self, id: &str) -> Option<&DbClusterSnapshot> {
        self.cluster_snapshots
            .iter()
            .find(|snapshot| snapshot.id.eq_ignore_ascii_case(id))
    }

    pub(crate) fn cluster_snapshot_mut(&mut self, id: &str) -> Option<&mut DbClusterSnapshot> {
        self.cluster_snapshots
            .iter_mut()
            .find(|snapshot| snapshot.id.eq_ignore_ascii_case(id))
    }
}
