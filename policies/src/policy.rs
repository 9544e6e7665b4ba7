//! What a policy is.

use atrest_model::finding::{Control, Finding, FindingStatus, Severity};
use atrest_model::instance::{DbCluster, DbInstance};

/// What is known of a policy before it looks at anything.
#[derive(Debug)]
pub struct PolicyMeta {
    /// Kebab-case; names the defect, not the remedy.
    pub id: &'static str,
    /// One line.
    pub title: &'static str,
    /// Default severity.
    pub severity: Severity,
}

/// A rule.
pub trait Policy: Sync {
    /// What is known of it.
    fn meta(&self) -> &'static PolicyMeta;

    /// Judges a DB instance that has storage of its own; `None` is a pass.
    fn instance(&self, instance: &DbInstance) -> Option<Finding>;

    /// Judges a cluster; `None` is a pass.
    fn cluster(&self, cluster: &DbCluster) -> Option<Finding>;
}

impl PolicyMeta {
    /// A finding of this policy.
    pub(crate) fn finding(
        &self,
        resource: &str,
        status: FindingStatus,
        reason: String,
        controls: &[(&str, &str)],
    ) -> Finding {
        Finding {
            id: Finding::stable_id(self.id, resource),
            policy: self.id.to_owned(),
            severity: self.severity,
            status,
            reason,
            resource: resource.to_owned(),
            controls: controls
                .iter()
                .map(|(publisher, id)| Control {
                    publisher: (*publisher).to_owned(),
                    id: (*id).to_owned(),
                })
                .collect(),
        }
    }
}
