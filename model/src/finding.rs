//! Findings: what a policy said about a resource.

use std::ops::Deref;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How bad a finding is. Ordered: `Low < Critical`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Mend when convenient.
    Low,
    /// Mend soon.
    Medium,
    /// Mend now.
    High,
    /// Stop and mend.
    Critical,
}

impl Severity {
    /// The word used in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What became of a policy on a resource. A pass makes no finding.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum FindingStatus {
    /// The policy is violated.
    Fail,
    /// Violated, and waived with a reason.
    Waived,
    /// The policy could not be evaluated; never counted as a pass.
    NotEvaluated,
}

impl FindingStatus {
    /// The word used in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Waived => "waived",
            Self::NotEvaluated => "not-evaluated",
        }
    }
}

/// Result of one policy on one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Stable across runs: the same resource and policy have the same id.
    pub id: String,
    /// Policy id, kebab-case, naming the defect.
    pub policy: String,
    /// How bad.
    pub severity: Severity,
    /// Fail, waived or not evaluated.
    pub status: FindingStatus,
    /// One sentence: what was seen.
    pub reason: String,
    /// ARN of the resource.
    pub resource: String,
    /// Control ids, each with its publisher.
    #[schemars(with = "Vec<Control>")]
    pub controls: ControlList,
    /// Who accepted it, until when; present exactly when the status is `waived`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiver: Option<AppliedWaiver>,
    /// How it compares with the baseline; absent without one, and where that did not ask the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

/// The waiver that covers a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppliedWaiver {
    /// Who answers for it.
    pub owner: String,
    /// Why it is accepted.
    pub reason: String,
    /// Last day it holds (UTC).
    #[schemars(with = "String", extend("format" = "date"))]
    pub expires: jiff::civil::Date,
}

/// How a finding compares with the baseline.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Not in the baseline.
    New,
    /// In the baseline, and less bad there: lower severity, or waived.
    Worse,
    /// In the baseline as it is now, or worse there.
    Unchanged,
}

impl Change {
    /// The word used in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Worse => "worse",
            Self::Unchanged => "unchanged",
        }
    }
}

impl Finding {
    /// The stable id of policy × resource: 128 bits of SHA-256 over both, in hex.
    #[must_use]
    pub fn stable_id(policy: &str, resource: &str) -> String {
        use sha2::Digest as _;
        let mut hash = sha2::Sha256::new();
        hash.update(policy.as_bytes());
        hash.update([0]);
        hash.update(resource.as_bytes());
        let mut id = crate::document::hex(&hash.finalize());
        id.truncate(32);
        id
    }
}

/// A control as one publisher numbers it. Publishers disagree, so the publisher is part of the id.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Control {
    /// Who publishes the mapping, such as `security-hub`, `aws-config`, `cis-aws-5.0`.
    pub publisher: String,
    /// The id as that publisher writes it.
    pub id: String,
}

/// The controls of a finding. Every finding of a policy on one kind of resource shares them: a hundred thousand findings
/// with thirty controls each would fill the memory with copies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ControlList(Arc<[Control]>);

impl Default for ControlList {
    fn default() -> Self {
        Self(Arc::from([]))
    }
}

impl Deref for ControlList {
    type Target = [Control];

    fn deref(&self) -> &[Control] {
        &self.0
    }
}

impl From<Vec<Control>> for ControlList {
    fn from(controls: Vec<Control>) -> Self {
        Self(controls.into())
    }
}

impl FromIterator<Control> for ControlList {
    fn from_iter<I: IntoIterator<Item = Control>>(controls: I) -> Self {
        Self(controls.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a ControlList {
    type Item = &'a Control;
    type IntoIter = std::slice::Iter<'a, Control>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl Serialize for ControlList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ControlList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}
