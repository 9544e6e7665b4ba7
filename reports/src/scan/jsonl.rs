//! A scan as JSON Lines: one record a line, each with the version of its form, so that lines can be cut apart.

use std::borrow::Cow;
use std::io;

use atrest_model::finding::{AppliedWaiver, Change, Control, Severity};
use atrest_model::scan::{RegionScan, Resource, ResourceKind, ScanReport};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::Out;
use super::verdicts::{Status, verdicts};
use crate::json;
use crate::rule::Rule;

/// Version of the form of a line.
pub const SCHEMA_VERSION: u32 = 1;

/// One line of a scan in the format `jsonl`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ScanLine<'a> {
    /// [`SCHEMA_VERSION`].
    schema_version: u32,
    /// When the scan began: the same on every line of one scan.
    #[schemars(with = "String", extend("format" = "date-time"))]
    started: Timestamp,
    /// What the line says.
    record: Record<'a>,
}

/// What a line says.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "type")]
enum Record<'a> {
    /// The scan itself: the first line, and the last one of a file that was written while the scan went on.
    Scan {
        /// Name of the tool.
        tool: &'a str,
        /// Version of the tool.
        tool_version: &'a str,
        /// Whether everything that was asked for was read and evaluated.
        complete: bool,
    },
    /// One region of one account, and why it was not read if it was not.
    Region {
        /// Account id; empty when not even that could be learned.
        account: &'a str,
        /// Region name.
        region: &'a str,
        /// Why it was not, or not wholly, read.
        error: Option<&'a str>,
        /// How many resources came from it.
        resources: usize,
        /// How many calls were throttled, and sent again; absent for none.
        #[serde(skip_serializing_if = "is_zero")]
        #[schemars(default)]
        throttled: u64,
    },
    /// One kind of resource of a region that could not be read where others could.
    Unread {
        /// Account id.
        account: &'a str,
        /// Region name.
        region: &'a str,
        /// The kind.
        kind: ResourceKind,
        /// Why.
        reason: &'a str,
    },
    /// What a policy said of a resource.
    Verdict {
        /// The same for the same policy and resource in every scan.
        id: Cow<'a, str>,
        /// Policy id.
        policy: &'a str,
        /// `pass`, `fail`, `waived` or `not-evaluated`.
        #[schemars(extend("enum" = ["pass", "fail", "waived", "not-evaluated"]))]
        status: &'a str,
        /// Severity; of a pass, the severity a finding would have.
        severity: Severity,
        /// What was seen.
        reason: Cow<'a, str>,
        /// ARN of the resource.
        arn: &'a str,
        /// The resource; absent when only the finding speaks of it.
        resource: Option<&'a Resource>,
        /// Who accepted it, until when; present exactly when the status is `waived` by a waiver.
        #[serde(skip_serializing_if = "Option::is_none")]
        waiver: Option<&'a AppliedWaiver>,
        /// How it compares with the baseline; absent without one, where that did not ask the policy, and of a pass.
        #[serde(skip_serializing_if = "Option::is_none")]
        change: Option<Change>,
        /// Control ids, each with its publisher.
        controls: &'a [Control],
    },
}

/// For `skip_serializing_if`, which passes a reference.
fn is_zero(number: &u64) -> bool {
    *number == 0
}

pub(super) fn write(report: &ScanReport, rules: &[Rule], out: &mut Out<'_>) -> io::Result<()> {
    head(report, out)?;
    lines(report, rules, out)
}

fn line(report: &ScanReport, record: Record<'_>, out: &mut Out<'_>) -> io::Result<()> {
    let line = ScanLine {
        schema_version: SCHEMA_VERSION,
        started: report.started,
        record,
    };
    json::line(&line, out)
}

/// The line of the scan itself.
pub(super) fn head(report: &ScanReport, out: &mut Out<'_>) -> io::Result<()> {
    let record = Record::Scan {
        tool: &report.tool.name,
        tool_version: &report.tool.version,
        complete: report.complete,
    };
    line(report, record, out)
}

/// All other lines.
pub(super) fn lines(report: &ScanReport, rules: &[Rule], out: &mut Out<'_>) -> io::Result<()> {
    let mut line = |record| line(report, record, out);
    for RegionScan {
        account,
        region,
        error,
        resources,
        throttled,
    } in &report.regions
    {
        line(Record::Region {
            account,
            region,
            error: error.as_deref(),
            resources: *resources,
            throttled: *throttled,
        })?;
    }
    for unread in &report.unread {
        line(Record::Unread {
            account: &unread.account,
            region: &unread.region,
            kind: unread.kind,
            reason: &unread.reason,
        })?;
    }
    for judged in verdicts(report, rules) {
        let status: Status = judged.status();
        line(Record::Verdict {
            id: judged.id(),
            policy: judged.policy,
            status: status.as_str(),
            severity: judged.severity(),
            reason: judged.finding.map_or_else(
                || judged.reason(),
                |finding| Cow::Borrowed(finding.reason.as_str()),
            ),
            arn: judged.arn,
            resource: judged.resource,
            waiver: judged.finding.and_then(|finding| finding.waiver.as_ref()),
            change: judged.finding.and_then(|finding| finding.change),
            controls: judged.controls(),
        })?;
    }
    Ok(())
}
