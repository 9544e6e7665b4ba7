//! The audit of the regions of a run, kept in its folder: before the first change and after the last.
//!
//! They are evidence and not part of the migration: when one cannot be made, the run goes on and the hole is told.

use std::collections::BTreeSet;
use std::path::Path;

use atrest_model::finding::FindingStatus;
use atrest_model::plan::Plan;
use atrest_model::scan::ScanReport;
use atrest_scanner::aws::Aws;

use super::{common, scan};
use crate::exit::Exit;

/// File of the audit before the first change.
pub(crate) const BEFORE: &str = "scan-before.json";
/// File of the audit after the last change.
pub(crate) const AFTER: &str = "scan-after.json";

/// Audits the regions of the plan and writes the result into the run folder, readable for its owner only.
pub(crate) async fn save(aws: &Aws, plan: &Plan, dir: &Path, name: &str) {
    let mut regions: Vec<String> = plan.migrations.iter().map(|m| m.region.clone()).collect();
    regions.sort();
    regions.dedup();
    let (report, _inventory) = scan::scan(aws, &plan.account, &regions).await;
    for hole in &report.unread {
        tracing::warn!(
            "{name} is not whole: {} in {} could not be read: {}",
            hole.kind.as_str(),
            hole.region,
            hole.reason
        );
    }
    for region in &report.regions {
        if let Some(why) = &region.error {
            tracing::warn!(
                "{name} is not whole: {} could not be read: {why}",
                region.region
            );
        }
    }
    // A key or a parameter group that is not seen leaves several policies open for one reason.
    let open: BTreeSet<&str> = report
        .findings
        .iter()
        .filter(|finding| finding.status == FindingStatus::NotEvaluated)
        .map(|finding| finding.reason.as_str())
        .collect();
    for why in open {
        tracing::warn!("{name} is not whole: {why}");
    }
    let path = dir.join(name);
    let written = common::json(&report).and_then(|bytes| {
        atrest_reports::write_private(&path, &bytes, true)?;
        Ok(())
    });
    if let Err(error) = written {
        tracing::warn!(
            "{} was not written, and will be missed as evidence: {error:#}",
            path.display()
        );
    }
}

/// What `atrest scan` ends with on such a report.
pub(crate) fn exit_of(report: &ScanReport) -> Exit {
    let flagged = report
        .findings
        .iter()
        .any(|f| f.status == FindingStatus::Fail);
    match (flagged, report.complete) {
        (true, _) => Exit::Findings,
        (false, false) => Exit::Incomplete,
        (false, true) => Exit::Ok,
    }
}
