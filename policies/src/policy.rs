//! What a policy is.

use atrest_model::finding::{Control, ControlList, Severity};
use atrest_model::resource::DescribedRef;
use atrest_model::scan::ResourceKind;

use crate::fleet::Fleet;
use crate::settings::Settings;

/// What is known of a policy before it looks at anything.
#[derive(Debug)]
pub struct PolicyMeta {
    /// Kebab-case; names the defect, not the remedy.
    pub id: &'static str,
    /// One line.
    pub title: &'static str,
    /// Default severity; see [`Settings::severity`].
    pub severity: Severity,
    /// Version of this tool that had it first.
    pub since: &'static str,
    /// What this tool can do about it.
    pub fix: Fix,
    /// What must have been read beside the resources.
    pub needs: Needs,
    /// Kinds of resources it judges, each with the control ids it serves there; what is not listed is not judged.
    pub controls: &'static [Controls],
}

/// What a policy cannot do without. A caller that has not asked for it does not ask the policy either; one that has asked
/// and got no answer for a resource gets *not evaluated*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// The resources suffice.
    Nothing,
    /// KMS keys.
    Keys,
    /// Parameter groups.
    ParameterGroups,
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

/// Kind of resource as publishers of controls tell them apart. One that names engines goes before one of the same kind
/// that names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A DB instance.
    DbInstance,
    /// A DB instance of RDS for MySQL.
    MysqlInstance,
    /// A DB instance of RDS for MariaDB.
    MariaDbInstance,
    /// A DB instance of RDS for PostgreSQL.
    PostgresInstance,
    /// A DB instance of RDS for SQL Server.
    SqlServerInstance,
    /// A cluster of RDS proper: Aurora or Multi-AZ.
    DbCluster,
    /// A Neptune cluster; it answers from the same API.
    NeptuneCluster,
    /// A DocumentDB cluster; it answers from the same API.
    DocDbCluster,
    /// A global cluster.
    GlobalCluster,
    /// A snapshot of a DB instance.
    DbSnapshot,
    /// A snapshot of a cluster.
    DbClusterSnapshot,
    /// A snapshot of a Neptune cluster.
    NeptuneClusterSnapshot,
    /// The automated backups of a DB instance.
    DbInstanceAutomatedBackup,
    /// The automated backups of a cluster.
    DbClusterAutomatedBackup,
    /// An export to S3.
    ExportTask,
}

impl Subject {
    /// Its kind.
    #[must_use]
    pub fn kind(self) -> ResourceKind {
        match self {
            Self::DbInstance
            | Self::MysqlInstance
            | Self::MariaDbInstance
            | Self::PostgresInstance
            | Self::SqlServerInstance => ResourceKind::DbInstance,
            Self::DbCluster | Self::NeptuneCluster | Self::DocDbCluster => ResourceKind::DbCluster,
            Self::GlobalCluster => ResourceKind::GlobalCluster,
            Self::DbSnapshot => ResourceKind::DbSnapshot,
            Self::DbClusterSnapshot | Self::NeptuneClusterSnapshot => {
                ResourceKind::DbClusterSnapshot
            }
            Self::DbInstanceAutomatedBackup => ResourceKind::DbInstanceAutomatedBackup,
            Self::DbClusterAutomatedBackup => ResourceKind::DbClusterAutomatedBackup,
            Self::ExportTask => ResourceKind::ExportTask,
        }
    }

    /// Values of `Engine` it is about; none: every one that has no subject of its own.
    #[must_use]
    pub fn engines(self) -> &'static [&'static str] {
        match self {
            Self::MysqlInstance => &["mysql"],
            Self::MariaDbInstance => &["mariadb"],
            Self::PostgresInstance => &["postgres"],
            Self::SqlServerInstance => &[
                "sqlserver-ee",
                "sqlserver-ex",
                "sqlserver-se",
                "sqlserver-web",
            ],
            Self::NeptuneCluster | Self::NeptuneClusterSnapshot => &["neptune"],
            Self::DocDbCluster => &["docdb"],
            Self::DbInstance
            | Self::DbCluster
            | Self::GlobalCluster
            | Self::DbSnapshot
            | Self::DbClusterSnapshot
            | Self::DbInstanceAutomatedBackup
            | Self::DbClusterAutomatedBackup
            | Self::ExportTask => &[],
        }
    }

    /// The words used on the page of a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DbInstance => "DB instance",
            Self::MysqlInstance => "MySQL instance",
            Self::MariaDbInstance => "MariaDB instance",
            Self::PostgresInstance => "PostgreSQL instance",
            Self::SqlServerInstance => "SQL Server instance",
            Self::DbCluster => "DB cluster",
            Self::NeptuneCluster => "Neptune cluster",
            Self::DocDbCluster => "DocumentDB cluster",
            Self::GlobalCluster => "global cluster",
            Self::DbSnapshot => "DB snapshot",
            Self::DbClusterSnapshot => "DB cluster snapshot",
            Self::NeptuneClusterSnapshot => "Neptune cluster snapshot",
            Self::DbInstanceAutomatedBackup => "DB instance automated backup",
            Self::DbClusterAutomatedBackup => "DB cluster automated backup",
            Self::ExportTask => "export task",
        }
    }
}

/// The controls a policy serves on one kind of resource.
#[derive(Debug)]
pub struct Controls {
    /// The kind of resource.
    pub subject: Subject,
    /// Publisher and id. Publishers disagree, so a framework mapped by somebody else is written
    /// `publisher/framework`: `prowler/pci-dss-4.0`. Empty where no publisher has a control for it.
    pub ids: &'static [(&'static str, &'static str)],
}

impl Controls {
    /// For a kind that no publisher has a control for.
    pub(crate) const fn none(subject: Subject) -> Self {
        Self { subject, ids: &[] }
    }

    pub(crate) fn list(&self) -> ControlList {
        self.ids
            .iter()
            .map(|(publisher, id)| Control {
                publisher: (*publisher).to_owned(),
                id: (*id).to_owned(),
            })
            .collect()
    }
}

/// What a policy says of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong, or the question does not arise.
    Pass,
    /// What was seen, in one sentence without its full stop.
    Fail(String),
    /// Why it cannot be said. Never a pass.
    NotEvaluated(String),
}

/// What a policy may look at beside the resource.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Everything else that was read.
    pub fleet: &'a Fleet<'a>,
    /// What the operator set.
    pub settings: &'a Settings,
}

/// A rule. It judges one resource and reads nothing itself.
pub trait Policy: Sync {
    /// What is known of it.
    fn meta(&self) -> &'static PolicyMeta;

    /// Judges a resource of a kind that [`PolicyMeta::controls`] lists; of instances, members of clusters too.
    fn judge(&self, resource: DescribedRef<'_>, context: &Context<'_>) -> Verdict;
}

impl PolicyMeta {
    /// Place in [`Self::controls`] of what serves this resource; `None` when the policy does not judge it.
    pub(crate) fn subject_of(&self, resource: DescribedRef<'_>) -> Option<usize> {
        let of_kind = |at: &usize| {
            self.controls
                .get(*at)
                .is_some_and(|controls| controls.subject.kind() == resource.kind)
        };
        let engines = |at: &usize| {
            self.controls
                .get(*at)
                .map_or(&[][..], |controls| controls.subject.engines())
        };
        let all = || (0..self.controls.len()).filter(of_kind);
        all()
            .find(|at| engines(at).contains(&resource.engine()))
            .or_else(|| all().find(|at| engines(at).is_empty()))
    }
}
