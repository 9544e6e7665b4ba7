//! What a policy is.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};

use atrest_model::finding::{Control, ControlList, Finding, FindingStatus, Severity};
use atrest_model::instance::{DbCluster, DbInstance};

use crate::fleet::Fleet;

/// What is known of a policy before it looks at anything.
#[derive(Debug)]
pub struct PolicyMeta {
    /// Kebab-case; names the defect, not the remedy.
    pub id: &'static str,
    /// One line.
    pub title: &'static str,
    /// Default severity.
    pub severity: Severity,
    /// Version of this tool that had it first.
    pub since: &'static str,
    /// What this tool can do about it.
    pub fix: Fix,
    /// Control ids, by kind of resource.
    pub controls: &'static [Controls],
}

/// What this tool can do about a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fix {
    /// Nothing; the finding is for information.
    None,
    /// A person has to act.
    Manual,
    /// `atrest plan` and `atrest fix`.
    Planned,
}

impl Fix {
    /// The word used in reports and on the page of a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Manual => "manual",
            Self::Planned => "planned",
        }
    }
}

/// Kind of resource as publishers of controls tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A DB instance.
    DbInstance,
    /// A cluster of RDS proper: Aurora or Multi-AZ.
    DbCluster,
    /// A Neptune cluster; it answers from the same API.
    NeptuneCluster,
    /// A DocumentDB cluster; it answers from the same API.
    DocDbCluster,
}

impl Subject {
    /// What a cluster is, by its `Engine`.
    #[must_use]
    pub fn of_cluster(cluster: &DbCluster) -> Self {
        match cluster.engine() {
            "neptune" => Self::NeptuneCluster,
            "docdb" => Self::DocDbCluster,
            _ => Self::DbCluster,
        }
    }

    /// The words used on the page of a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DbInstance => "DB instance",
            Self::DbCluster => "DB cluster",
            Self::NeptuneCluster => "Neptune cluster",
            Self::DocDbCluster => "DocumentDB cluster",
        }
    }
}

/// The controls a policy serves on one kind of resource.
#[derive(Debug)]
pub struct Controls {
    /// The kind of resource.
    pub subject: Subject,
    /// Publisher and id. Publishers disagree, so a framework mapped by somebody else is written
    /// `publisher/framework`: `prowler/pci-dss-4.0`.
    pub ids: &'static [(&'static str, &'static str)],
}

/// A rule. It judges what it is given and answers with findings; no finding is a pass.
pub trait Policy: Sync {
    /// What is known of it.
    fn meta(&self) -> &'static PolicyMeta;

    /// Judges a DB instance. Members of clusters are asked about too.
    fn instance(&self, instance: &DbInstance, fleet: &Fleet<'_>) -> Vec<Finding> {
        let _ = (instance, fleet);
        Vec::new()
    }

    /// Judges a cluster.
    fn cluster(&self, cluster: &DbCluster, fleet: &Fleet<'_>) -> Vec<Finding> {
        let _ = (cluster, fleet);
        Vec::new()
    }
}

impl PolicyMeta {
    /// A finding of this policy, with the controls of its kind of resource.
    pub(crate) fn finding(
        &self,
        subject: Subject,
        arn: &str,
        status: FindingStatus,
        reason: String,
    ) -> Finding {
        Finding {
            id: Finding::stable_id(self.id, arn),
            policy: self.id.to_owned(),
            severity: self.severity,
            status,
            reason,
            resource: arn.to_owned(),
            controls: self.controls_of(subject),
            waiver: None,
            change: None,
        }
    }

    /// The controls on one kind of resource: made once, then shared by all findings.
    fn controls_of(&self, subject: Subject) -> ControlList {
        static MADE: LazyLock<RwLock<HashMap<(&'static str, Subject), ControlList>>> =
            LazyLock::new(RwLock::default);
        let key = (self.id, subject);
        if let Some(made) = MADE
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
        {
            return made.clone();
        }
        let controls: ControlList = self
            .controls
            .iter()
            .filter(|controls| controls.subject == subject)
            .flat_map(|controls| controls.ids)
            .map(|(publisher, id)| Control {
                publisher: (*publisher).to_owned(),
                id: (*id).to_owned(),
            })
            .collect();
        MADE.write()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(key)
            .or_insert(controls)
            .clone()
    }
}
