//! A scan as SARIF 2.1.0, for code scanning. What passed makes no result; a region that was not read is a notification
//! of the invocation, which then was not successful.

use std::fmt::Write as _;
use std::io;

use atrest_model::finding::{Change, Severity};
use atrest_model::scan::ScanReport;
use serde::Serialize;

use super::Out;
use super::rows::{NOT_READ, holes};
use super::verdicts::{ControlIds, Judged, Status, verdicts};
use crate::json::{self, Each};
use crate::rule::Rule;
use crate::text::printable;

#[derive(Serialize)]
struct Log<R> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [R; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a, R> {
    tool: Tool<'a>,
    automation_details: Id<'a>,
    invocations: [Invocation; 1],
    results: R,
}

#[derive(Serialize)]
struct Id<'a> {
    id: &'a str,
}

#[derive(Serialize)]
struct Tool<'a> {
    driver: Driver<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver<'a> {
    name: &'a str,
    version: &'a str,
    semantic_version: &'a str,
    rules: Vec<Descriptor<'a>>,
    notifications: [Descriptor<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    id: &'a str,
    short_description: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    full_description: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<Help<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help_uri: Option<&'a str>,
    default_configuration: Configuration,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<RuleProperties<'a>>,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
struct Text {
    text: String,
}

#[derive(Serialize)]
struct Help<'a> {
    text: &'a str,
    markdown: &'a str,
}

#[derive(Serialize)]
struct RuleProperties<'a> {
    #[serde(rename = "security-severity")]
    security_severity: &'static str,
    tags: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: bool,
    start_time_utc: String,
    tool_execution_notifications: Vec<Notification>,
}

#[derive(Serialize)]
struct Notification {
    descriptor: NotificationId,
    level: &'static str,
    message: Text,
}

#[derive(Serialize)]
struct NotificationId {
    id: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    rule_id: &'a str,
    rule_index: usize,
    kind: &'static str,
    level: &'static str,
    message: Text,
    locations: [Location<'a>; 1],
    partial_fingerprints: Fingerprints<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline_state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suppressions: Option<[Suppression<'a>; 1]>,
    properties: ResultProperties<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    physical_location: PhysicalLocation,
    logical_locations: [LogicalLocation<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: ArtifactLocation,
    region: Region,
}

#[derive(Serialize)]
struct ArtifactLocation {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogicalLocation<'a> {
    name: &'a str,
    fully_qualified_name: &'a str,
    kind: &'static str,
}

#[derive(Serialize)]
struct Fingerprints<'a> {
    #[serde(rename = "atrestPolicyResource/v1")]
    policy_resource: &'a str,
    /// The one that GitHub follows an alert by.
    #[serde(rename = "primaryLocationLineHash")]
    primary_location: &'a str,
}

#[derive(Serialize)]
struct Suppression<'a> {
    kind: &'static str,
    status: &'static str,
    justification: &'a str,
}

#[derive(Serialize)]
struct ResultProperties<'a> {
    severity: &'static str,
    account: &'a str,
    region: &'a str,
    controls: ControlIds<'a>,
}

pub(super) fn write(report: &ScanReport, rules: &[Rule], out: &mut Out<'_>) -> io::Result<()> {
    // Policies the caller does not know come after those it knows.
    let mut ids: Vec<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
    let fixed_before = report.baseline.iter().flat_map(|baseline| &baseline.fixed);
    for finding in report.findings.iter().chain(fixed_before) {
        if !ids.contains(&finding.policy.as_str()) {
            ids.push(&finding.policy);
        }
    }
    let descriptors = ids
        .iter()
        .map(|id| descriptor(id, rules.iter().find(|rule| rule.id == *id)))
        .collect();
    let results = Each(|| {
        verdicts(report, rules)
            .filter(|judged| judged.status() != Status::Pass)
            .map(|judged| {
                (
                    judged,
                    judged.finding.and_then(|finding| finding.change).map(state),
                )
            })
            // What the baseline had and this scan has not: a viewer closes it.
            .chain(fixed(report, rules).map(|judged| (judged, Some("absent"))))
            .map(|(judged, state)| {
                let index = ids.iter().position(|id| *id == judged.policy);
                Lazy(judged, index.unwrap_or_default(), state)
            })
    });
    let log = Log {
        schema: "https://json.schemastore.org/sarif-2.1.0.json",
        version: "2.1.0",
        runs: [Run {
            tool: Tool {
                driver: Driver {
                    name: &report.tool.name,
                    version: &report.tool.version,
                    semantic_version: &report.tool.version,
                    rules: descriptors,
                    notifications: [not_read()],
                },
            },
            automation_details: Id { id: "atrest/scan/" },
            invocations: [invocation(report)],
            results,
        }],
    };
    json::line(&log, out)
}

/// A result that is made when it is written.
struct Lazy<'a>(Judged<'a>, usize, Option<&'static str>);

fn state(change: Change) -> &'static str {
    match change {
        Change::New => "new",
        Change::Worse => "updated",
        Change::Unchanged => "unchanged",
    }
}

/// Findings of the baseline that are gone, although their place was read again.
fn fixed<'a>(report: &'a ScanReport, rules: &'a [Rule]) -> impl Iterator<Item = Judged<'a>> {
    let gone = report.baseline.iter().flat_map(|baseline| &baseline.fixed);
    gone.map(|finding| Judged {
        policy: &finding.policy,
        rule: rules.iter().find(|rule| rule.id == finding.policy),
        arn: &finding.resource,
        resource: report
            .resources
            .iter()
            .find(|resource| resource.arn == finding.resource),
        finding: Some(finding),
    })
}

impl Serialize for Lazy<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let judged = self.0;
        let id = judged.id();
        let reason = judged.reason();
        let reason = printable(&reason);
        let status = judged.status();
        let result = Outcome {
            rule_id: judged.policy,
            rule_index: self.1,
            // A result of any kind but `fail` has the level `none`.
            kind: match status {
                Status::NotEvaluated => "open",
                Status::Fail | Status::Waived => "fail",
                Status::Pass => "pass",
            },
            level: match status {
                Status::NotEvaluated | Status::Pass => "none",
                Status::Fail | Status::Waived => level(judged.severity()),
            },
            message: Text {
                text: message(&format!("{}: {}", printable(judged.identifier()), &*reason)),
            },
            locations: [Location {
                physical_location: PhysicalLocation {
                    artifact_location: ArtifactLocation { uri: uri(&judged) },
                    region: Region { start_line: 1 },
                },
                logical_locations: [LogicalLocation {
                    name: judged.identifier(),
                    fully_qualified_name: judged.arn,
                    kind: "resource",
                }],
            }],
            partial_fingerprints: Fingerprints {
                policy_resource: &id,
                primary_location: &id,
            },
            baseline_state: self.2,
            suppressions: (status == Status::Waived).then_some([Suppression {
                kind: "external",
                status: "accepted",
                justification: &reason,
            }]),
            properties: ResultProperties {
                severity: judged.severity().as_str(),
                account: judged.account(),
                region: judged.region(),
                controls: ControlIds(judged.controls()),
            },
        };
        result.serialize(serializer)
    }
}

fn descriptor<'a>(id: &'a str, rule: Option<&'a Rule>) -> Descriptor<'a> {
    let severity = rule.map_or(Severity::High, |rule| rule.severity);
    Descriptor {
        id,
        short_description: Text {
            text: message(&printable(rule.map_or(id, |rule| &rule.title))),
        },
        full_description: rule
            .and_then(|rule| rule.paragraph("Why it matters"))
            .map(|text| Text {
                text: message(&text),
            }),
        help: rule.filter(|rule| !rule.help.is_empty()).map(|rule| Help {
            text: &rule.help,
            markdown: &rule.help,
        }),
        help_uri: rule.and_then(|rule| rule.help_uri.as_deref()),
        default_configuration: Configuration {
            level: level(severity),
        },
        properties: Some(RuleProperties {
            // The bands of GitHub: critical from 9, high from 7, medium from 4.
            security_severity: match severity {
                Severity::Critical => "9.5",
                Severity::High => "8.0",
                Severity::Medium => "5.5",
                Severity::Low => "2.5",
                Severity::Info => "0.0",
            },
            tags: vec!["security", "encryption", "rds"],
        }),
    }
}

fn not_read() -> Descriptor<'static> {
    Descriptor {
        id: NOT_READ,
        short_description: Text {
            text: "A region could not be read: nothing is known of its resources".to_owned(),
        },
        full_description: None,
        help: None,
        help_uri: None,
        default_configuration: Configuration { level: "error" },
        properties: None,
    }
}

fn invocation(report: &ScanReport) -> Invocation {
    Invocation {
        execution_successful: report.complete,
        start_time_utc: report.started.to_string(),
        tool_execution_notifications: holes(report)
            .map(|hole| Notification {
                descriptor: NotificationId { id: NOT_READ },
                level: "error",
                message: Text {
                    text: message(&format!(
                        "{}/{}: {}",
                        printable(hole.account),
                        hole.place(),
                        printable(hole.error)
                    )),
                },
            })
            .collect(),
    }
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

/// Text of a message: brackets would be a link there, and braces a placeholder.
fn message(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '[' | ']' | '\\' => safe.extend(['\\', c]),
            '{' | '}' => safe.extend([c, c]),
            c => safe.push(c),
        }
    }
    safe
}

/// A place for viewers that know files only: `rds/111122223333/eu-central-1/db-instance/prod-one`.
fn uri(judged: &Judged<'_>) -> String {
    let parts = [
        "rds",
        judged.account(),
        judged.region(),
        judged.kind().as_str(),
        judged.identifier(),
    ];
    let mut uri = String::with_capacity(64);
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        if !uri.is_empty() {
            uri.push('/');
        }
        for byte in part.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                uri.push(char::from(byte));
            } else {
                // Writing to a String cannot fail.
                let _written = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri
}
