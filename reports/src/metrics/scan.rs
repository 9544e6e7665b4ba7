//! Numbers of a scan.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::time::Duration;

use atrest_model::finding::{Change, Finding, FindingStatus, Severity};
use atrest_model::instance::Encryption;
use atrest_model::scan::{ResourceKind, ScanReport, WaiverNoteKind};

use super::{Family, amount, flag, seconds, write};
use crate::rule::Rule;

const SEVERITIES: [Severity; 5] = [
    Severity::Info,
    Severity::Low,
    Severity::Medium,
    Severity::High,
    Severity::Critical,
];

const STATUSES: [FindingStatus; 3] = [
    FindingStatus::Fail,
    FindingStatus::Waived,
    FindingStatus::NotEvaluated,
];

/// What is known of a scan beside its report.
#[derive(Debug, Clone, Copy)]
pub struct ScanNumbers<'a> {
    /// The policies that were asked: those without a finding are written as nought.
    pub rules: &'a [Rule],
    /// How long it took, reports excluded.
    pub took: Duration,
    /// Calls sent, repetitions included; `None` where saved output was judged.
    pub calls: Option<u64>,
    /// Calls that were throttled, and sent again.
    pub throttled: u64,
    /// Exit code of the process, see docs/exit-codes.md.
    pub exit_code: u8,
}

/// Writes the numbers of a scan.
///
/// # Errors
///
/// Any error of `out`.
pub fn scan_metrics(
    report: &ScanReport,
    numbers: &ScanNumbers<'_>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let version = report.tool.version.as_str();
    let mut families = vec![
        Family::single(
            "atrest_scan_info",
            "The scan that wrote this file.",
            &[("version", version)],
            1.0,
        ),
        Family::single(
            "atrest_scan_timestamp_seconds",
            "When the scan began.",
            &[],
            seconds(report.started),
        ),
        Family::single(
            "atrest_scan_duration_seconds",
            "How long the scan took, reports excluded.",
            &[],
            numbers.took.as_secs_f64(),
        ),
        Family::single(
            "atrest_scan_exit_code",
            "Exit code of the scan.",
            &[],
            f64::from(numbers.exit_code),
        ),
        Family::single(
            "atrest_scan_complete",
            "1 if everything that was asked for was read and evaluated.",
            &[],
            flag(report.complete),
        ),
    ];
    if let Some(calls) = numbers.calls {
        families.push(Family::single(
            "atrest_scan_calls",
            "Calls of AWS, repetitions included.",
            &[],
            count(calls),
        ));
        families.push(Family::single(
            "atrest_scan_throttled_calls",
            "Calls of AWS that were throttled, and sent again.",
            &[],
            count(numbers.throttled),
        ));
    }
    families.push(findings(report, numbers.rules));
    families.push(by_account(report));
    families.push(changes(report));
    families.push(resources(report));
    families.extend(regions(report));
    families.push(waivers(report));
    write(&families, out)
}

fn count(number: u64) -> f64 {
    amount(usize::try_from(number).unwrap_or(usize::MAX))
}

/// A series for every policy that was asked, whatever it found.
fn findings(report: &ScanReport, rules: &[Rule]) -> Family {
    let mut counts: BTreeMap<(&str, Severity, FindingStatus), usize> = BTreeMap::new();
    for rule in rules {
        for status in STATUSES {
            counts.insert((&rule.id, rule.severity, status), 0);
        }
    }
    for finding in &report.findings {
        let of = (finding.policy.as_str(), finding.severity, finding.status);
        *counts.entry(of).or_default() += 1;
    }
    let mut family = Family::new(
        "atrest_scan_findings",
        "Findings by policy, severity and status: fail, waived, not-evaluated.",
    );
    for ((policy, severity, status), number) in counts {
        let labels = [
            ("policy", policy),
            ("severity", severity.as_str()),
            ("status", status.as_str()),
        ];
        family.add(&labels, amount(number));
    }
    family
}

/// What fails in each account, by severity.
fn by_account(report: &ScanReport) -> Family {
    let accounts: BTreeSet<&str> = report.regions.iter().map(|r| r.account.as_str()).collect();
    let owners: BTreeMap<&str, &str> = report
        .resources
        .iter()
        .map(|resource| (resource.arn.as_str(), resource.account.as_str()))
        .collect();
    let mut counts: BTreeMap<(&str, Severity), usize> = BTreeMap::new();
    for account in accounts {
        for severity in SEVERITIES {
            counts.insert((account, severity), 0);
        }
    }
    let fails = |finding: &&Finding| finding.status == FindingStatus::Fail;
    for finding in report.findings.iter().filter(fails) {
        let account = owners.get(finding.resource.as_str()).copied();
        *counts
            .entry((account.unwrap_or_default(), finding.severity))
            .or_default() += 1;
    }
    let mut family = Family::new(
        "atrest_scan_account_findings",
        "Findings that fail, by account and severity.",
    );
    for ((account, severity), number) in counts {
        let labels = [("account", account), ("severity", severity.as_str())];
        family.add(&labels, amount(number));
    }
    family
}

/// Only where there is a baseline: without one nothing is new.
fn changes(report: &ScanReport) -> Family {
    let mut family = Family::new(
        "atrest_scan_changed_findings",
        "Findings that fail compared with the baseline: new, worse, unchanged; fixed are those that are gone.",
    );
    let Some(baseline) = &report.baseline else {
        return family;
    };
    for change in [Change::New, Change::Worse, Change::Unchanged] {
        let those = report
            .findings
            .iter()
            .filter(|f| f.status == FindingStatus::Fail && f.change == Some(change));
        family.add(&[("change", change.as_str())], amount(those.count()));
    }
    family.add(&[("change", "fixed")], amount(baseline.fixed.len()));
    family
}

/// Every kind and state of encryption.
fn resources(report: &ScanReport) -> Family {
    let states = [
        (Encryption::None, "none"),
        (Encryption::SseRds, "sse-rds"),
        (Encryption::SseKms, "sse-kms"),
        (Encryption::Unknown, "unknown"),
    ];
    let mut family = Family::new(
        "atrest_scan_resources",
        "Resources that were read, by type and encryption at rest.",
    );
    for kind in ResourceKind::ALL {
        for (state, word) in states {
            let those = report
                .resources
                .iter()
                .filter(|resource| resource.kind == kind && resource.encryption == state);
            let labels = [("type", kind.as_str()), ("encryption", word)];
            family.add(&labels, amount(those.count()));
        }
    }
    family
}

/// How many regions were read, and a series for each hole: a region that was not, and a kind that was not.
fn regions(report: &ScanReport) -> [Family; 2] {
    let failed = report.regions.iter().filter(|r| r.error.is_some());
    let mut regions = Family::new(
        "atrest_scan_regions",
        "Regions of accounts by what became of them: read, failed.",
    );
    let bad = failed.clone().count();
    let read = report.regions.len() - bad;
    regions.add(&[("state", "read")], amount(read));
    regions.add(&[("state", "failed")], amount(bad));
    let mut holes = Family::new(
        "atrest_scan_hole",
        "1 for what could not be read; * stands for all regions, or all types.",
    );
    // One region may be asked for twice, and a series must not be.
    let mut named: BTreeSet<(&str, &str, &str)> = failed
        .map(|row| (row.account.as_str(), row.region.as_str(), "*"))
        .collect();
    named.extend(report.unread.iter().map(|hole| {
        (
            hole.account.as_str(),
            hole.region.as_str(),
            hole.kind.as_str(),
        )
    }));
    for (account, region, kind) in named {
        holes.add(
            &[("account", account), ("region", region), ("type", kind)],
            1.0,
        );
    }
    [regions, holes]
}

fn waivers(report: &ScanReport) -> Family {
    let of = |kind: WaiverNoteKind| {
        let notes = report.waiver_notes.iter().filter(|note| note.kind == kind);
        amount(notes.count())
    };
    let mut family = Family::new(
        "atrest_scan_waivers",
        "Waivers that do not hold: expired ones, and ones that match nothing.",
    );
    family.add(&[("state", "expired")], of(WaiverNoteKind::Expired));
    family.add(&[("state", "unused")], of(WaiverNoteKind::Unused));
    family
}
