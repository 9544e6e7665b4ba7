//! The result of a scan.

use std::collections::BTreeSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Tool;
use crate::finding::Finding;
use crate::instance::Encryption;

/// Version of the JSON form of [`ScanReport`].
pub const SCHEMA_VERSION: u32 = 1;

/// Everything one scan learned. `complete` is false as soon as anything that was asked for could not be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScanReport {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Who wrote it.
    pub tool: Tool,
    /// When the scan began.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started: Timestamp,
    /// Whether everything that was asked for was read and evaluated.
    pub complete: bool,
    /// Ids of the policies that were asked; absent in reports of versions that did not tell. What a policy that is not
    /// among them would have said is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<BTreeSet<String>>,
    /// Account × region, each with what became of it.
    pub regions: Vec<RegionScan>,
    /// Kinds that could not be read where others could; they are not evaluated, which is never a pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<UnreadKind>,
    /// Every resource that was read, sorted by ARN.
    pub resources: Vec<Resource>,
    /// Everything that is not a pass, sorted by resource and policy.
    pub findings: Vec<Finding>,
    /// What became of the baseline's findings; absent without a baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<BaselineComparison>,
    /// Waivers that did not hold: expired ones, and ones that match nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiver_notes: Vec<WaiverNote>,
}

/// What became of the findings of an earlier report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BaselineComparison {
    /// When the earlier scan began.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started: Timestamp,
    /// Gone, although their place was read again.
    pub fixed: Vec<Finding>,
    /// Gone from sight only: their account and region was not read this time, or their policy was not asked, so nothing is
    /// known of them.
    pub unknown: Vec<Finding>,
}

/// A waiver that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaiverNote {
    /// Why.
    pub kind: WaiverNoteKind,
    /// File and line of the waiver.
    pub place: String,
    /// The policy it names.
    pub policy: String,
    /// Who answers for it.
    pub owner: String,
    /// Last day it held.
    #[schemars(with = "String", extend("format" = "date"))]
    pub expires: jiff::civil::Date,
    /// Findings that are back, by stable id; empty for one that matches nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
}

/// Why a waiver did not hold.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum WaiverNoteKind {
    /// Its last day has passed.
    Expired,
    /// It matches no finding: mended, deleted, or written wrongly.
    Unused,
}

/// What became of one region of one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegionScan {
    /// Account id; empty when not even that could be learned.
    pub account: String,
    /// Region name; `*` for all of an account of which no region could be learned.
    pub region: String,
    /// `None` when everything was read; otherwise why not.
    pub error: Option<String>,
    /// How many resources came from it.
    pub resources: usize,
    /// How many calls were throttled, and sent again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub throttled: u64,
}

/// For `skip_serializing_if`, which passes a reference.
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// One kind of resource in one region that could not be read, or not to its end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct UnreadKind {
    /// Account id.
    pub account: String,
    /// Region name.
    pub region: String,
    /// The kind.
    pub kind: ResourceKind,
    /// Why.
    pub reason: String,
}

/// What kind of resource.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceKind {
    /// A DB instance with storage of its own.
    DbInstance,
    /// A cluster: Aurora or Multi-AZ; its members are not listed on their own.
    DbCluster,
    /// A global cluster: one writer and its readers in other regions.
    GlobalCluster,
    /// A snapshot of a DB instance: manual, automated, of AWS Backup, or shared by another account.
    DbSnapshot,
    /// A snapshot of a cluster.
    DbClusterSnapshot,
    /// The automated backups of a DB instance: also those retained after its deletion, and copies from other regions.
    DbInstanceAutomatedBackup,
    /// The automated backups of a cluster.
    DbClusterAutomatedBackup,
    /// An export of a snapshot or cluster to S3.
    ExportTask,
}

impl ResourceKind {
    /// Every kind, in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::DbInstance,
        Self::DbCluster,
        Self::GlobalCluster,
        Self::DbSnapshot,
        Self::DbClusterSnapshot,
        Self::DbInstanceAutomatedBackup,
        Self::DbClusterAutomatedBackup,
        Self::ExportTask,
    ];

    /// The word used in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DbInstance => "db-instance",
            Self::DbCluster => "db-cluster",
            Self::GlobalCluster => "global-cluster",
            Self::DbSnapshot => "db-snapshot",
            Self::DbClusterSnapshot => "db-cluster-snapshot",
            Self::DbInstanceAutomatedBackup => "db-instance-automated-backup",
            Self::DbClusterAutomatedBackup => "db-cluster-automated-backup",
            Self::ExportTask => "export-task",
        }
    }
}

/// One resource with its verdict on encryption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resource {
    /// ARN.
    pub arn: String,
    /// Account id.
    pub account: String,
    /// Region name.
    pub region: String,
    /// What it is.
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
    /// What a snapshot, backup or export is of, as AWS names it; absent for instances and clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Identifiers of the members of a cluster.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub members: Vec<String>,
}
