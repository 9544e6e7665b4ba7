//! Every resource with its verdict, to be searched, filtered and sorted.

use std::borrow::Cow;
use std::collections::HashMap;

use askama::Template;
use atrest_model::finding::{Finding, Severity};
use atrest_model::scan::ScanReport;

use super::scan::{VERDICTS, mood};
use super::shown;
use super::superseded::Superseded;
use crate::scan::rows::{Row, Verdict};
use crate::scan::verdicts::waived;

/// From so many rows on a browser lays out only those that are seen.
const LONG: usize = 300;

#[derive(Template)]
#[template(path = "resources.html")]
pub(super) struct Resources<'a> {
    rows: Vec<Shown<'a>>,
    verdicts: Vec<VerdictView>,
    is_long: bool,
}

struct VerdictView {
    mood: &'static str,
    word: &'static str,
}

struct Shown<'a> {
    mood: &'static str,
    verdict: &'static str,
    severity: &'static str,
    /// For sorting: the worse, the higher.
    rank: u8,
    name: Cow<'a, str>,
    remark: String,
    engine: String,
    engine_name: Cow<'a, str>,
    kind: &'static str,
    account: Cow<'a, str>,
    region: Cow<'a, str>,
    arn: Cow<'a, str>,
    /// What is seen before it is opened.
    short: Cow<'a, str>,
    facts: String,
    findings: Vec<Why<'a>>,
}

struct Why<'a> {
    status: &'static str,
    policy: Cow<'a, str>,
    reason: Cow<'a, str>,
}

pub(super) fn resources<'a>(
    report: &'a ScanReport,
    rows: &[Row<'a>],
    superseded: &Superseded<'_>,
) -> Resources<'a> {
    let mut findings: HashMap<&str, Vec<&'a Finding>> = HashMap::new();
    for finding in &report.findings {
        findings.entry(&finding.resource).or_default().push(finding);
    }
    let verdicts = VERDICTS
        .into_iter()
        .filter(|verdict| rows.iter().any(|row| row.verdict == *verdict))
        .map(|verdict| VerdictView {
            mood: mood(verdict).class(),
            word: verdict.as_str(),
        })
        .collect();
    Resources {
        rows: rows
            .iter()
            .map(|found| {
                let all = findings.get(found.arn).map_or(&[] as &[_], Vec::as_slice);
                let mut row = row(found, all);
                if let Some(remark) = superseded.remark(found.arn) {
                    let parts = [row.remark.as_str(), remark];
                    let parts = parts.into_iter().filter(|part| !part.is_empty());
                    row.remark = parts.collect::<Vec<_>>().join("; ");
                    if found.verdict == Verdict::Flagged {
                        row.verdict = "superseded";
                    }
                }
                row
            })
            .collect(),
        verdicts,
        is_long: rows.len() > LONG,
    }
}

pub(super) fn engine<'a>(row: &Row<'a>) -> &'a str {
    row.resource.map_or("unknown", |resource| &resource.engine)
}

/// `all` are the findings of every verdict: a waived one stands beside a violation.
fn row<'a>(row: &Row<'a>, all: &[&'a Finding]) -> Shown<'a> {
    let severity = row.severity();
    let facts = facts(row);
    let mut all = all.to_vec();
    all.sort_by_key(|finding| {
        !row.findings
            .iter()
            .any(|worst| std::ptr::eq(*worst, *finding))
    });
    let findings: Vec<Why<'a>> = all
        .iter()
        .map(|finding| Why {
            status: finding.status.as_str(),
            policy: shown(&finding.policy),
            reason: match &finding.waiver {
                Some(waiver) => {
                    let text = format!("{} ({})", finding.reason, waived(waiver));
                    Cow::Owned(shown(&text).into_owned())
                }
                None => shown(&finding.reason),
            },
        })
        .collect();
    Shown {
        mood: mood(row.verdict).class(),
        verdict: row.verdict.as_str(),
        severity: severity.map_or("", Severity::as_str),
        rank: match severity {
            None => 0,
            Some(Severity::Info) => 1,
            Some(Severity::Low) => 2,
            Some(Severity::Medium) => 3,
            Some(Severity::High) => 4,
            Some(Severity::Critical) => 5,
        },
        name: shown(row.identifier()),
        remark: row
            .resource
            .and_then(|resource| resource.replica_of.as_deref())
            .filter(|_| row.depth > 0)
            .map(|source| format!("replica of {}", shown(source)))
            .or_else(|| row.remark().map(|remark| shown(&remark).into_owned()))
            .unwrap_or_default(),
        engine: shown(&row.engine()).into_owned(),
        engine_name: shown(engine(row)),
        kind: row.resource.map_or("", |resource| resource.kind.as_str()),
        account: shown(row.account()),
        region: shown(row.region()),
        arn: shown(row.arn),
        short: short(row, &findings),
        facts,
        findings,
    }
}

/// The reasons, or how it is encrypted where nothing is wrong.
fn short<'a>(row: &Row<'a>, findings: &[Why<'a>]) -> Cow<'a, str> {
    const LONGEST: usize = 160;
    let text = match findings {
        [] if row.verdict == Verdict::Passed => {
            let encryption = row.resource.map(|resource| resource.encryption.as_str());
            return Cow::Borrowed(encryption.unwrap_or("nothing found"));
        }
        [] => return Cow::Borrowed("details"),
        [one] => one.reason.clone(),
        [first, others @ ..] => Cow::Owned(format!("{} (and {} more)", first.reason, others.len())),
    };
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => Cow::Owned(format!("{}…", text.get(..at).unwrap_or_default())),
        None => text,
    }
}

fn facts(row: &Row<'_>) -> String {
    let mut facts = Vec::new();
    if let Some(resource) = row.resource {
        let mut add = |name: &str, value: &str| {
            if !value.is_empty() {
                facts.push(format!("{name} {}", shown(value)));
            }
        };
        add("type", resource.kind.as_str());
        add("class", resource.class.as_deref().unwrap_or_default());
        add("status", &resource.status);
        add("encryption", resource.encryption.as_str());
        add("key", resource.kms_key_id.as_deref().unwrap_or_default());
        add("members", &resource.members.join(", "));
    }
    facts.join(" · ")
}
