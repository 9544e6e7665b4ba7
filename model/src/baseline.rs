//! A scan compared with an earlier one.
//!
//! Findings are matched by their stable id. A finding of the baseline that is not there any more is *fixed* only if
//! its place was read again and evaluated; what nobody looked at is unknown, not mended. So is what a policy says that only
//! one of the two has asked.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Change, Finding, FindingStatus};
use crate::resource::kind_of_arn;
use crate::scan::{BaselineComparison, Resource, ResourceKind, SCHEMA_VERSION, ScanReport};

/// An earlier report that cannot serve as baseline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitBaseline {
    /// Written by a newer version of the tool.
    #[error("it has schema version {found}, and this version reads up to {SCHEMA_VERSION}")]
    Newer {
        /// Version in the file.
        found: u32,
    },
    /// Of other accounts altogether.
    #[error("it is of account {theirs}, and this scan is of account {ours}")]
    OtherAccount {
        /// Accounts of the baseline.
        theirs: String,
        /// Accounts of this scan.
        ours: String,
    },
}

/// Marks each finding of `report` as new, worse or unchanged, but for those of policies that the earlier one did not ask,
/// and tells what became of the others of `earlier`.
///
/// # Errors
///
/// [`UnfitBaseline`] when the two have no account in common or the earlier one is of a newer format.
pub fn compare(earlier: &ScanReport, report: &mut ScanReport) -> Result<(), UnfitBaseline> {
    if earlier.schema_version > SCHEMA_VERSION {
        return Err(UnfitBaseline::Newer {
            found: earlier.schema_version,
        });
    }
    let (theirs, ours) = (accounts(earlier), accounts(report));
    if !theirs.is_empty() && !ours.is_empty() && theirs.is_disjoint(&ours) {
        let list = |accounts: BTreeSet<&str>| accounts.into_iter().collect::<Vec<_>>().join(", ");
        return Err(UnfitBaseline::OtherAccount {
            theirs: list(theirs),
            ours: list(ours),
        });
    }
    let before: BTreeMap<&str, &Finding> = earlier
        .findings
        .iter()
        .map(|finding| (finding.id.as_str(), finding))
        .collect();
    for finding in &mut report.findings {
        finding.change = match before.get(finding.id.as_str()) {
            None if !asked(earlier, &finding.policy) => None,
            None => Some(Change::New),
            Some(before) if weight(finding) > weight(before) => Some(Change::Worse),
            Some(_) => Some(Change::Unchanged),
        };
    }
    let now: BTreeSet<&str> = report.findings.iter().map(|f| f.id.as_str()).collect();
    let read: BTreeSet<(&str, &str)> = report
        .regions
        .iter()
        .filter(|region| region.error.is_none())
        .map(|region| (region.account.as_str(), region.region.as_str()))
        .collect();
    let unread: BTreeSet<(&str, &str, ResourceKind)> = report
        .unread
        .iter()
        .map(|unread| (unread.account.as_str(), unread.region.as_str(), unread.kind))
        .collect();
    // A snapshot that another account shared, and a global cluster, are not where their ARN says.
    let listed: BTreeMap<&str, &Resource> = earlier
        .resources
        .iter()
        .map(|resource| (resource.arn.as_str(), resource))
        .collect();
    let (fixed, unknown) = earlier
        .findings
        .iter()
        .filter(|finding| !now.contains(finding.id.as_str()))
        .cloned()
        .partition(|finding| {
            let place = match listed.get(finding.resource.as_str()) {
                Some(resource) => Some(place_of(resource)),
                None => place(&finding.resource),
            };
            asked(report, &finding.policy)
                && place.is_some_and(|(account, region, kind)| {
                    read.contains(&(account, region))
                        && !kind.is_some_and(|kind| unread.contains(&(account, region, kind)))
                })
        });
    report.baseline = Some(BaselineComparison {
        started: earlier.started,
        fixed,
        unknown,
    });
    Ok(())
}

/// Whether the policy was asked; a report that does not tell has asked all there were.
fn asked(report: &ScanReport, policy: &str) -> bool {
    let policies = report.policies.as_ref();
    policies.is_none_or(|policies| policies.contains(policy))
}

/// How bad: a waived finding is less than a failed one. What could not be evaluated may be anything, so it
/// counts as a failure of its severity, and a failure after it is nothing worse.
fn weight(finding: &Finding) -> (bool, crate::finding::Severity) {
    let open = match finding.status {
        FindingStatus::Fail | FindingStatus::NotEvaluated => true,
        FindingStatus::Waived => false,
    };
    (open, finding.severity)
}

fn accounts(report: &ScanReport) -> BTreeSet<&str> {
    report
        .regions
        .iter()
        .map(|region| region.account.as_str())
        .filter(|account| !account.is_empty())
        .collect()
}

/// Account, region and kind of an ARN: `arn:PARTITION:rds:REGION:ACCOUNT:…`.
fn place(arn: &str) -> Option<(&str, &str, Option<ResourceKind>)> {
    let mut parts = arn.splitn(6, ':').skip(3);
    let (region, account) = (parts.next()?, parts.next()?);
    parts
        .next()
        .map(|_resource| (account, region, kind_of_arn(arn)))
}

fn place_of(resource: &Resource) -> (&str, &str, Option<ResourceKind>) {
    (&resource.account, &resource.region, Some(resource.kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tool;
    use crate::finding::{ControlList, Severity};
    use crate::scan::RegionScan;

    fn finding(name: &str, status: FindingStatus, severity: Severity) -> Finding {
        let resource = format!("arn:aws:rds:eu-central-1:111122223333:db:{name}");
        Finding {
            id: Finding::stable_id("storage-unencrypted", &resource),
            policy: "storage-unencrypted".to_owned(),
            severity,
            status,
            reason: String::new(),
            resource,
            controls: ControlList::default(),
            waiver: None,
            change: None,
        }
    }

    fn report(account: &str, error: Option<&str>, findings: Vec<Finding>) -> ScanReport {
        ScanReport {
            schema_version: SCHEMA_VERSION,
            tool: Tool::current(),
            started: jiff::Timestamp::UNIX_EPOCH,
            complete: error.is_none(),
            policies: None,
            regions: vec![RegionScan {
                account: account.to_owned(),
                region: "eu-central-1".to_owned(),
                error: error.map(str::to_owned),
                resources: findings.len(),
                throttled: 0,
            }],
            resources: Vec::new(),
            findings,
            baseline: None,
            waiver_notes: Vec::new(),
            unread: Vec::new(),
        }
    }

    const ACCOUNT: &str = "111122223333";

    #[test]
    fn findings_are_new_worse_or_unchanged() {
        use FindingStatus::{Fail, NotEvaluated, Waived};
        let earlier = report(
            ACCOUNT,
            None,
            vec![
                finding("same", Fail, Severity::High),
                finding("graver", Fail, Severity::Medium),
                finding("was-waived", Waived, Severity::High),
                finding("now-waived", Fail, Severity::High),
                finding("was-unknown", NotEvaluated, Severity::High),
            ],
        );
        let mut now = report(
            ACCOUNT,
            None,
            vec![
                finding("same", Fail, Severity::High),
                finding("graver", Fail, Severity::High),
                finding("was-waived", Fail, Severity::High),
                finding("now-waived", Waived, Severity::High),
                finding("was-unknown", Fail, Severity::High),
                finding("fresh", Fail, Severity::Low),
            ],
        );
        compare(&earlier, &mut now).unwrap();
        let changes: Vec<_> = now.findings.iter().map(|f| f.change.unwrap()).collect();
        assert_eq!(
            changes,
            [
                Change::Unchanged,
                Change::Worse,
                Change::Worse,
                Change::Unchanged,
                Change::Unchanged,
                Change::New
            ]
        );
    }

    #[test]
    fn what_is_gone_is_fixed_only_where_somebody_looked() {
        let earlier = report(
            ACCOUNT,
            None,
            vec![finding("gone", FindingStatus::Fail, Severity::High)],
        );
        let mut read = report(ACCOUNT, None, Vec::new());
        compare(&earlier, &mut read).unwrap();
        let baseline = read.baseline.unwrap();
        assert_eq!((baseline.fixed.len(), baseline.unknown.len()), (1, 0));
        let mut denied = report(ACCOUNT, Some("AccessDenied"), Vec::new());
        compare(&earlier, &mut denied).unwrap();
        let baseline = denied.baseline.unwrap();
        assert_eq!((baseline.fixed.len(), baseline.unknown.len()), (0, 1));
    }

    #[test]
    fn a_baseline_of_another_account_or_a_newer_format_is_refused() {
        let mut earlier = report("999900001111", None, Vec::new());
        let mut now = report(ACCOUNT, None, Vec::new());
        let refused = compare(&earlier, &mut now).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "it is of account 999900001111, and this scan is of account 111122223333"
        );
        earlier.schema_version = SCHEMA_VERSION + 1;
        assert!(matches!(
            compare(&earlier, &mut now),
            Err(UnfitBaseline::Newer { .. })
        ));
        assert!(now.baseline.is_none());
    }
}
