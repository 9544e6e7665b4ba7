//! Resources with their verdicts, in the order people look for them, and the totals.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use atrest_model::finding::{Finding, FindingStatus, Severity};
use atrest_model::instance::Encryption;
use atrest_model::scan::{RegionScan, Resource, ResourceKind, ScanReport};

use crate::text::{count, number, printable};

/// What became of a resource: its worst finding. Ordered from bad to good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// A policy is violated.
    Flagged,
    /// A policy could not be evaluated.
    NotEvaluated,
    /// Violated, and waived with a reason.
    Waived,
    /// No finding.
    Passed,
}

impl Verdict {
    /// The word used in reports.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Flagged => "flagged",
            Self::NotEvaluated => "not evaluated",
            Self::Waived => "waived",
            Self::Passed => "passed",
        }
    }

    fn of(findings: &[&Finding]) -> Self {
        let worst = findings.iter().map(|finding| match finding.status {
            FindingStatus::Fail => Self::Flagged,
            FindingStatus::NotEvaluated => Self::NotEvaluated,
            FindingStatus::Waived => Self::Waived,
        });
        worst.min().unwrap_or(Self::Passed)
    }
}

/// A resource, or a finding on one that the report does not list.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(crate) verdict: Verdict,
    pub(crate) arn: &'a str,
    /// Absent when only a finding speaks of it, such as a member of a cluster that was not read.
    pub(crate) resource: Option<&'a Resource>,
    /// Findings of the kind that gave the verdict.
    pub(crate) findings: Vec<&'a Finding>,
    /// How many sources are above it among the rows of the same verdict.
    pub(crate) depth: usize,
}

impl<'a> Row<'a> {
    pub(crate) fn region(&self) -> &'a str {
        self.resource.map_or_else(
            || self.arn.split(':').nth(3).unwrap_or_default(),
            |resource| &resource.region,
        )
    }

    pub(crate) fn account(&self) -> &'a str {
        self.resource.map_or_else(
            || self.arn.split(':').nth(4).unwrap_or_default(),
            |resource| &resource.account,
        )
    }

    pub(crate) fn identifier(&self) -> &'a str {
        self.resource
            .map_or(self.arn, |resource| &resource.identifier)
    }

    /// `mysql 8.0.39`.
    pub(crate) fn engine(&self) -> String {
        self.resource.map_or_else(String::new, |resource| {
            format!("{} {}", resource.engine, resource.engine_version)
        })
    }

    /// What else there is to say of a name: the cluster it is, the source it has.
    pub(crate) fn remark(&self) -> Option<String> {
        let resource = self.resource?;
        match (&resource.replica_of, resource.kind) {
            (Some(source), _) if self.depth == 0 => Some(match region_of(source) {
                Some((region, name)) => format!("replica of {name} in {region}"),
                None => format!("replica of {source}"),
            }),
            // It stands below its source.
            (Some(_), _) => None,
            (None, ResourceKind::DbCluster) => Some(match resource.members.len() {
                0 => "cluster without members".to_owned(),
                members => format!("cluster of {members}"),
            }),
            (None, ResourceKind::DbInstance) => None,
            (None, kind) => {
                let what = kind.as_str().replace('-', " ");
                Some(match &resource.source {
                    Some(source) => format!("{what} of {}", short(source)),
                    None => what,
                })
            }
        }
    }

    pub(crate) fn severity(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }

    /// Ids of the policies that gave the verdict.
    pub(crate) fn policies(&self) -> Vec<&'a str> {
        self.findings
            .iter()
            .map(|finding| finding.policy.as_str())
            .collect()
    }

    /// Reasons of the policies that gave the verdict.
    pub(crate) fn reasons(&self) -> String {
        let reasons: Vec<&str> = self
            .findings
            .iter()
            .map(|finding| finding.reason.as_str())
            .collect();
        reasons.join("; ")
    }

    /// State of encryption, with the id of the key if there is room.
    pub(crate) fn encryption(&self, with_key: bool) -> String {
        let state = self.resource.map_or(Encryption::Unknown, |r| r.encryption);
        let key = self.resource.and_then(|r| r.kms_key_id.as_deref());
        match key.filter(|_| with_key) {
            Some(key) => format!(
                "{} {}",
                state.as_str(),
                key.rsplit('/').next().unwrap_or(key)
            ),
            None => state.as_str().to_owned(),
        }
    }
}

/// The name in an ARN; a name as it is.
fn short(source: &str) -> &str {
    match source.starts_with("arn:") {
        true => source.rsplit(':').next().unwrap_or(source),
        false => source,
    }
}

/// Region and name of a DB instance's ARN.
fn region_of(arn: &str) -> Option<(&str, &str)> {
    let mut parts = arn.strip_prefix("arn:")?.split(':');
    Some((parts.nth(2)?, parts.nth(2)?))
}

/// Every resource with its verdict, grouped by verdict; then by account and region, replicas below their sources.
pub(crate) fn rows(report: &ScanReport) -> Vec<Row<'_>> {
    let mut findings: HashMap<&str, Vec<&Finding>> = HashMap::new();
    for finding in &report.findings {
        findings.entry(&finding.resource).or_default().push(finding);
    }
    let mut groups: BTreeMap<Verdict, Vec<Row<'_>>> = BTreeMap::new();
    let mut add = |arn, resource, found: Vec<_>| {
        let verdict = Verdict::of(&found);
        let telling = found
            .into_iter()
            .filter(|finding: &&Finding| Verdict::of(&[finding]) == verdict)
            .collect();
        groups.entry(verdict).or_default().push(Row {
            verdict,
            arn,
            resource,
            findings: telling,
            depth: 0,
        });
    };
    for resource in &report.resources {
        let found = findings.remove(resource.arn.as_str()).unwrap_or_default();
        add(&resource.arn, Some(resource), found);
    }
    for (arn, found) in findings {
        add(arn, None, found);
    }
    groups.into_values().flat_map(in_trees).collect()
}

/// Sorts rows by account, region and name, each replica below its source if that is among them.
fn in_trees(mut rows: Vec<Row<'_>>) -> Vec<Row<'_>> {
    rows.sort_by(|a, b| {
        (a.account(), a.region(), a.identifier(), a.arn).cmp(&(
            b.account(),
            b.region(),
            b.identifier(),
            b.arn,
        ))
    });
    let by_name: HashMap<(&str, &str, &str), usize> = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| row.resource.is_some())
        .map(|(index, row)| ((row.account(), row.region(), row.identifier()), index))
        .collect();
    let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut roots = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let source = row.resource.and_then(|resource| {
            let name = resource.replica_of.as_deref()?;
            by_name.get(&(row.account(), row.region(), name))
        });
        match source {
            Some(source) => children.entry(*source).or_default().push(index),
            None => roots.push(index),
        }
    }
    let mut order = Vec::with_capacity(rows.len());
    let mut stack: Vec<(usize, usize)> = roots.into_iter().rev().map(|root| (root, 0)).collect();
    while let Some((index, depth)) = stack.pop() {
        order.push((index, depth));
        let below = children.remove(&index).unwrap_or_default();
        stack.extend(below.into_iter().rev().map(|child| (child, depth + 1)));
    }
    // Replicas in a circle, which only a broken answer can hold, hang below no root.
    let seen: BTreeSet<usize> = order.iter().map(|(index, _)| *index).collect();
    order.extend(
        (0..rows.len())
            .filter(|index| !seen.contains(index))
            .map(|index| (index, 0)),
    );
    let mut slots: Vec<Option<Row<'_>>> = rows.into_iter().map(Some).collect();
    order
        .into_iter()
        .filter_map(|(index, depth)| {
            let mut row = slots.get_mut(index)?.take()?;
            row.depth = depth;
            Some(row)
        })
        .collect()
}

/// Regions that were not, or not wholly, read.
pub(crate) fn failed(report: &ScanReport) -> impl Iterator<Item = (&RegionScan, &str)> {
    report
        .regions
        .iter()
        .filter_map(|region| Some((region, region.error.as_deref()?)))
}

/// A place of which nothing is known, or nothing of one kind. It must be a row in every format: its silence would be
/// taken for compliance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hole<'a> {
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    /// Absent when the whole region is meant.
    pub(crate) kind: Option<ResourceKind>,
    pub(crate) error: &'a str,
}

impl Hole<'_> {
    /// `eu-central-1`, or `eu-central-1 (db-snapshot)`.
    pub(crate) fn place(&self) -> String {
        match self.kind {
            None => printable(self.region).into_owned(),
            Some(kind) => format!("{} ({})", printable(self.region), kind.as_str()),
        }
    }

    /// What could not be read.
    pub(crate) fn title(&self) -> String {
        match self.kind {
            None => format!("region could not be read: {}", printable(self.region)),
            Some(kind) => format!(
                "{} could not be read in {}",
                kind.as_str(),
                printable(self.region)
            ),
        }
    }

    /// The id of such a hole: the same every night.
    pub(crate) fn id(&self) -> String {
        let place = format!("{}/{}", self.account, self.region);
        match self.kind {
            None => Finding::stable_id(NOT_READ, &place),
            Some(kind) => Finding::stable_id(NOT_READ, &format!("{place}/{}", kind.as_str())),
        }
    }
}

/// Id and text of what could not be read.
pub(crate) const NOT_READ: &str = "region-not-read";

/// Everything that could not be read: regions, then kinds.
pub(crate) fn holes(report: &ScanReport) -> impl Iterator<Item = Hole<'_>> {
    let regions = failed(report).map(|(region, error)| Hole {
        account: &region.account,
        region: &region.region,
        kind: None,
        error,
    });
    regions.chain(report.unread.iter().map(|unread| Hole {
        account: &unread.account,
        region: &unread.region,
        kind: Some(unread.kind),
        error: &unread.reason,
    }))
}

/// How many kinds could not be read where others could, as words.
pub(crate) fn unread_kinds(report: &ScanReport) -> Option<String> {
    (!report.unread.is_empty()).then(|| {
        let kinds: BTreeSet<ResourceKind> = report.unread.iter().map(|u| u.kind).collect();
        let words: Vec<&str> = kinds.into_iter().map(ResourceKind::as_str).collect();
        format!("{} could not be read everywhere", words.join(", "))
    })
}

/// How the total line is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Something is flagged, or was not read.
    Bad,
    /// Nothing is flagged, and there is something to look at; or there is nothing at all.
    Odd,
    /// Everything was read, and everything passed.
    Good,
}

/// The last line: what a person reads first.
pub(crate) fn total(report: &ScanReport, rows: &[Row<'_>]) -> (String, Mood) {
    let of = |verdict| rows.iter().filter(|row| row.verdict == verdict).count();
    let mut line = format!(
        "{} in {}: ",
        count(rows.len(), "resource", "resources"),
        count(report.regions.len(), "region", "regions"),
    );
    if rows.is_empty() {
        line.push_str("no DB instance and no cluster was found");
    } else {
        let parts: Vec<String> = [
            (Verdict::Flagged, true),
            (Verdict::NotEvaluated, true),
            (Verdict::Waived, false),
            (Verdict::Passed, true),
        ]
        .into_iter()
        .filter(|(verdict, always)| *always || of(*verdict) > 0)
        .map(|(verdict, _)| format!("{} {}", number(of(verdict) as u64), verdict.as_str()))
        .collect();
        line.push_str(&parts.join(", "));
    }
    let unread = failed(report).count();
    let incomplete = if report.regions.is_empty() {
        Some("NOTHING WAS SCANNED".to_owned())
    } else if unread == report.regions.len() {
        Some("INCOMPLETE: no region could be read".to_owned())
    } else if unread > 0 {
        Some(format!(
            "INCOMPLETE: {} could not be read",
            count(unread, "region", "regions")
        ))
    } else if let Some(kinds) = unread_kinds(report) {
        Some(format!("INCOMPLETE: {kinds}"))
    } else if !report.complete && of(Verdict::NotEvaluated) == 0 {
        Some("INCOMPLETE".to_owned())
    } else {
        None
    };
    let mood = if incomplete.is_some() || of(Verdict::Flagged) > 0 {
        Mood::Bad
    } else if of(Verdict::NotEvaluated) > 0 || !report.complete || rows.is_empty() {
        Mood::Odd
    } else {
        Mood::Good
    };
    if let Some(incomplete) = incomplete {
        line.push_str("; ");
        line.push_str(&incomplete);
    }
    (line, mood)
}
