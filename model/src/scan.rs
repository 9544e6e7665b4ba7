//! The result of a scan.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Tool;
use crate::finding::Finding;
use crate::instance::Encryption;

/// Version of the JSON form of [`ScanReport`].
pub const SCHEMA_VERSION: u32 = 1;

/// Everything one scan learned. `complete` is false as soon as anything that was asked for could not be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanReport {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Who wrote it.
    pub tool: Tool,
    /// When the scan began.
    pub started: Timestamp,
    /// Whether everything that was asked for was read and evaluated.
    pub complete: bool,
    /// Account × region, each with what became of it.
    pub regions: Vec<RegionScan>,
    /// Every resource that was read, sorted by ARN.
    pub resources: Vec<Resource>,
    /// Everything that is not a pass, sorted by resource and policy.
    pub findings: Vec<Finding>,
}

/// What became of one region of one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionScan {
    /// Account id; empty when not even that could be learned.
    pub account: String,
    /// Region name.
    pub region: String,
    /// `None` when everything was read; otherwise why not.
    pub error: Option<String>,
    /// How many resources came from it.
    pub resources: usize,
}

/// What kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceKind {
    /// A DB instance with storage of its own.
    DbInstance,
    /// A cluster: Aurora or Multi-AZ; its members are not listed on their own.
    DbCluster,
}

impl ResourceKind {
    /// The word used in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DbInstance => "db-instance",
            Self::DbCluster => "db-cluster",
        }
    }
}

/// One resource with its verdict on encryption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// ARN.
    pub arn: String,
    /// Account id.
    pub account: String,
    /// Region name.
    pub region: String,
    /// Instance or cluster.
    #[serde(rename = "type")]
    pub kind: ResourceKind,
    /// Name of the resource.
    pub identifier: String,
    /// `Engine`.
    pub engine: String,
    /// `EngineVersion`.
    pub engine_version: String,
    /// `DBInstanceClass`; absent for clusters.
    pub class: Option<String>,
    /// `DBInstanceStatus` or `Status`.
    pub status: String,
    /// State of encryption at rest.
    pub encryption: Encryption,
    /// `KmsKeyId`, when encrypted under a KMS key.
    pub kms_key_id: Option<String>,
    /// Source of a read replica, as AWS names it.
    pub replica_of: Option<String>,
    /// Identifiers of the members of a cluster.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub members: Vec<String>,
}
