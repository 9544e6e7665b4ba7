//! What a run has superseded and keeps as the way back: flagged for good reason, and no news.
//!
//! The run says so, by its plan and its journal; a name that looks like one of them says nothing.

use std::collections::BTreeMap;

use atrest_model::plan::{Action, Migration};
use atrest_model::run::Outcome;
use atrest_model::scan::{Resource, ResourceKind, ScanReport};

use super::report::RunDocument;
use super::shown;

/// The superseded resources of a scan by ARN, each with what there is to say of it.
#[derive(Default)]
pub(super) struct Superseded<'a> {
    remarks: BTreeMap<&'a str, String>,
    runs: Vec<&'a str>,
}

impl<'a> Superseded<'a> {
    /// Those of migrations that had arrived when the scan began.
    pub(super) fn of(scan: &'a ScanReport, runs: &[RunDocument<'a>]) -> Self {
        let mut superseded = Self::default();
        for run in runs {
            let Some(plan) = run.context.plan else {
                continue;
            };
            for ended in &run.report.migrations {
                let planned = plan.migrations.iter().find(|one| one.id == ended.migration);
                let steps = run.context.steps_of(&ended.migration);
                let arrived = steps.iter().filter_map(|step| step.ended).max();
                let (Some(planned), Some(arrived), Outcome::Migrated) =
                    (planned, arrived, &ended.outcome)
                else {
                    continue;
                };
                if arrived > scan.started {
                    continue;
                }
                for resource in &scan.resources {
                    let here =
                        resource.account == plan.account && resource.region == planned.region;
                    let Some(successor) = successor(planned, resource).filter(|_| here) else {
                        continue;
                    };
                    let id = run.report.run.as_str();
                    superseded.remarks.insert(
                        &resource.arn,
                        format!(
                            "superseded by {} in run {}; kept as the way back until cleanup",
                            shown(successor),
                            shown(id)
                        ),
                    );
                    if !superseded.runs.contains(&id) {
                        superseded.runs.push(id);
                    }
                }
            }
        }
        superseded
    }

    /// What there is to say of a resource that is superseded.
    pub(super) fn remark(&self, arn: &str) -> Option<&str> {
        self.remarks.get(arn).map(String::as_str)
    }

    /// The runs, for a sentence.
    pub(super) fn runs(&self) -> String {
        let runs: Vec<_> = self.runs.iter().map(|run| shown(run)).collect();
        match runs.as_slice() {
            [one] => format!("run {one}"),
            many => format!("runs {}", many.join(", ")),
        }
    }
}

/// The DB instance or cluster that has taken the place of what this resource is or belongs to.
fn successor<'a>(planned: &'a Migration, resource: &Resource) -> Option<&'a str> {
    let of_old = |name: &str| {
        let mut members = planned.members();
        let member = members.find(|member| member.old_name.as_str() == name)?;
        Some(member.identifier.as_str())
    };
    // Instances and clusters may have the same name.
    let cluster = planned.cluster.as_ref();
    let of_old_cluster = |name: &str| {
        let cluster = cluster.filter(|cluster| cluster.old_name.as_str() == name)?;
        Some(cluster.identifier.as_str())
    };
    match resource.kind {
        ResourceKind::DbInstance => return of_old(&resource.identifier),
        ResourceKind::DbCluster => return of_old_cluster(&resource.identifier),
        _ => {}
    }
    let made = planned
        .steps
        .iter()
        .any(|step| match (&step.action, resource.kind) {
            (Action::Snapshot { snapshot, .. }, ResourceKind::DbSnapshot)
            | (Action::ClusterSnapshot { snapshot, .. }, ResourceKind::DbClusterSnapshot) => {
                *snapshot == resource.identifier
            }
            _ => false,
        });
    if made {
        let source = cluster.map_or(&planned.source.identifier, |cluster| &cluster.identifier);
        return Some(source.as_str());
    }
    let source = resource.source.as_deref()?;
    let name = source.rsplit(':').next().unwrap_or(source);
    match resource.kind {
        ResourceKind::DbClusterSnapshot | ResourceKind::DbClusterAutomatedBackup => {
            of_old_cluster(name)
        }
        _ => of_old(name),
    }
}
