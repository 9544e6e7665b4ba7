//! What every policy said of every resource: the rows of the formats that programs read.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use atrest_model::finding::{AppliedWaiver, Control, Finding, FindingStatus, Severity};
use atrest_model::resource::kind_of_arn;
use atrest_model::scan::{Resource, ResourceKind, ScanReport};
use serde::{Serialize, Serializer};

use crate::rule::Rule;
use crate::text::is_blank;

/// What became of a policy on a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Pass,
    Fail,
    Waived,
    NotEvaluated,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Waived => "waived",
            Self::NotEvaluated => "not-evaluated",
        }
    }
}

/// One policy on one resource.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged<'a> {
    pub(crate) policy: &'a str,
    /// Absent for a policy that the caller does not know.
    pub(crate) rule: Option<&'a Rule>,
    pub(crate) arn: &'a str,
    /// Absent when only a finding speaks of the resource.
    pub(crate) resource: Option<&'a Resource>,
    /// Absent when it has passed.
    pub(crate) finding: Option<&'a Finding>,
}

impl<'a> Judged<'a> {
    pub(crate) fn status(&self) -> Status {
        match self.finding.map(|finding| finding.status) {
            None => Status::Pass,
            Some(FindingStatus::Fail) => Status::Fail,
            Some(FindingStatus::Waived) => Status::Waived,
            Some(FindingStatus::NotEvaluated) => Status::NotEvaluated,
        }
    }

    /// The id of policy × resource: the same every night.
    pub(crate) fn id(&self) -> Cow<'a, str> {
        match self.finding {
            Some(finding) => Cow::Borrowed(&finding.id),
            None => Cow::Owned(Finding::stable_id(self.policy, self.arn)),
        }
    }

    pub(crate) fn severity(&self) -> Severity {
        match (self.finding, self.rule) {
            (Some(finding), _) => finding.severity,
            (None, Some(rule)) => rule.severity,
            (None, None) => Severity::Info,
        }
    }

    pub(crate) fn controls(&self) -> &'a [Control] {
        match (self.finding, self.rule, self.resource) {
            (Some(finding), _, _) => &finding.controls,
            (None, Some(rule), Some(resource)) => rule.controls_of(resource).unwrap_or_default(),
            _ => &[],
        }
    }

    /// One sentence: what was seen.
    pub(crate) fn reason(&self) -> Cow<'a, str> {
        match (self.finding, self.resource) {
            (Some(finding), _) => match &finding.waiver {
                Some(waiver) => Cow::Owned(format!("{} ({})", finding.reason, waived(waiver))),
                None => Cow::Borrowed(&finding.reason),
            },
            (None, Some(resource)) => Cow::Owned(format!(
                "nothing was found; encryption at rest is {}",
                resource.encryption.as_str()
            )),
            (None, None) => Cow::Borrowed("nothing was found"),
        }
    }

    pub(crate) fn account(&self) -> &'a str {
        self.resource
            .map_or_else(|| part(self.arn, 4), |resource| &resource.account)
    }

    pub(crate) fn region(&self) -> &'a str {
        self.resource
            .map_or_else(|| part(self.arn, 3), |resource| &resource.region)
    }

    /// `aws`, `aws-cn`, `aws-us-gov`.
    pub(crate) fn partition(&self) -> &'a str {
        Some(part(self.arn, 1))
            .filter(|partition| partition.starts_with("aws"))
            .unwrap_or("aws")
    }

    pub(crate) fn identifier(&self) -> &'a str {
        let from_arn = || self.arn.rsplit(':').next().unwrap_or(self.arn);
        self.resource
            .map_or_else(from_arn, |resource| &resource.identifier)
    }

    pub(crate) fn kind(&self) -> ResourceKind {
        match self.resource {
            Some(resource) => resource.kind,
            None => kind_of_arn(self.arn).unwrap_or(ResourceKind::DbInstance),
        }
    }
}

/// Who accepted a finding, until when, and why.
pub(crate) fn waived(waiver: &AppliedWaiver) -> String {
    format!(
        "waived by {} until {}: {}",
        waiver.owner, waiver.expires, waiver.reason
    )
}

/// A part of an ARN; empty when it has no such part.
fn part(arn: &str, index: usize) -> &str {
    arn.split(':').nth(index).unwrap_or_default()
}

/// Every rule on every resource it applies to, in the order of the report; then findings on what it does not list.
pub(crate) fn verdicts<'a>(
    report: &'a ScanReport,
    rules: &'a [Rule],
) -> impl Iterator<Item = Judged<'a>> {
    let mut by_resource: HashMap<&str, Vec<&Finding>> = HashMap::new();
    for finding in &report.findings {
        by_resource
            .entry(&finding.resource)
            .or_default()
            .push(finding);
    }
    let listed: HashSet<&str> = report
        .resources
        .iter()
        .map(|resource| resource.arn.as_str())
        .collect();
    let orphans = report
        .findings
        .iter()
        .filter(move |finding| !listed.contains(finding.resource.as_str()))
        .map(move |finding| Judged {
            policy: &finding.policy,
            rule: rules.iter().find(|rule| rule.id == finding.policy),
            arn: &finding.resource,
            resource: None,
            finding: Some(finding),
        });
    report
        .resources
        .iter()
        .flat_map(move |resource| {
            let found = by_resource
                .remove(resource.arn.as_str())
                .unwrap_or_default();
            of_resource(resource, rules, &found)
        })
        .chain(orphans)
}

fn of_resource<'a>(
    resource: &'a Resource,
    rules: &'a [Rule],
    found: &[&'a Finding],
) -> Vec<Judged<'a>> {
    let judged = |policy, rule, finding| Judged {
        policy,
        rule,
        arn: &resource.arn,
        resource: Some(resource),
        finding,
    };
    let mut all: Vec<Judged<'a>> = found
        .iter()
        .map(|finding| {
            let rule = rules.iter().find(|rule| rule.id == finding.policy);
            judged(finding.policy.as_str(), rule, Some(*finding))
        })
        .collect();
    for rule in rules {
        let is_silent = !found.iter().any(|finding| finding.policy == rule.id);
        if is_silent && rule.controls_of(resource).is_some() {
            all.push(judged(rule.id.as_str(), Some(rule), None));
        }
    }
    all.sort_by_key(|judged| judged.policy);
    all
}

/// Controls as text, each with its publisher: `security-hub RDS.3`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ControlIds<'a>(pub(crate) &'a [Control]);

impl Serialize for ControlIds<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // One that names nothing says nothing, and Security Hub refuses it.
        let named = self.0.iter().filter(|control| !is_blank(&control.id));
        serializer.collect_seq(named.map(ControlId))
    }
}

/// One of them.
struct ControlId<'a>(&'a Control);

impl fmt::Display for ControlId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.publisher, self.0.id)
    }
}

impl Serialize for ControlId<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
