//! A scan as OCSF 1.5.0: an array of events of the class Compliance Finding (2003), one for each policy on each resource
//! and one for each region that could not be read.

use std::borrow::Cow;
use std::io;

use atrest_model::finding::{Control, Severity};
use atrest_model::instance::Encryption;
use atrest_model::scan::ScanReport;
use serde::Serialize;

use super::Out;
use super::rows::{Hole, NOT_READ, holes};
use super::verdicts::{ControlIds, Judged, Status, verdicts};
use crate::json::List;
use crate::rule::Rule;
use crate::text::printable;

const VERSION: &str = "1.5.0";

#[derive(Serialize)]
struct Event<'a> {
    activity_id: u32,
    activity_name: &'static str,
    category_uid: u32,
    category_name: &'static str,
    class_uid: u32,
    class_name: &'static str,
    type_uid: u32,
    type_name: &'static str,
    time: i64,
    severity_id: u32,
    severity: &'static str,
    status_id: u32,
    status: &'static str,
    message: Cow<'a, str>,
    metadata: Metadata<'a>,
    cloud: Cloud<'a>,
    finding_info: FindingInfo<'a>,
    compliance: Compliance<'a>,
    resources: Vec<ResourceDetails<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remediation: Option<Remediation<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    version: &'static str,
    product: Product<'a>,
    profiles: [&'static str; 1],
}

#[derive(Serialize)]
struct Product<'a> {
    name: &'a str,
    vendor_name: &'a str,
    version: &'a str,
}

#[derive(Serialize)]
struct Cloud<'a> {
    provider: &'static str,
    region: &'a str,
    account: Account<'a>,
}

#[derive(Serialize)]
struct Account<'a> {
    uid: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    type_id: u32,
}

#[derive(Serialize)]
struct FindingInfo<'a> {
    uid: Cow<'a, str>,
    title: Cow<'a, str>,
    desc: Cow<'a, str>,
    types: [&'static str; 1],
    analytic: Analytic<'a>,
}

#[derive(Serialize)]
struct Analytic<'a> {
    uid: &'a str,
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    type_id: u32,
}

#[derive(Serialize)]
struct Compliance<'a> {
    control: &'a str,
    standards: Vec<&'a str>,
    requirements: ControlIds<'a>,
    status_id: u32,
    status: &'static str,
    status_code: &'static str,
    status_detail: Cow<'a, str>,
}

#[derive(Serialize)]
struct ResourceDetails<'a> {
    uid: &'a str,
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    region: &'a str,
    cloud_partition: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
}

#[derive(Serialize)]
struct Data<'a> {
    engine: &'a str,
    engine_version: &'a str,
    class: Option<&'a str>,
    status: &'a str,
    encryption: Encryption,
    kms_key_id: Option<&'a str>,
    replica_of: Option<&'a str>,
}

#[derive(Serialize)]
struct Remediation<'a> {
    desc: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    references: Option<[&'a str; 1]>,
}

pub(super) fn write(report: &ScanReport, rules: &[Rule], out: &mut Out<'_>) -> io::Result<()> {
    // The text on what to do is the same for every finding of a rule.
    let fixes: Vec<(&str, Option<String>)> = rules
        .iter()
        .map(|rule| (rule.id.as_str(), rule.paragraph("Fix")))
        .collect();
    let fix = |policy: &str| {
        let found = fixes.iter().find(|(id, _)| *id == policy);
        found.and_then(|(_, fix)| fix.clone())
    };
    let mut list = List::begin(out)?;
    for judged in verdicts(report, rules) {
        list.push(&event(report, &judged, fix(judged.policy)))?;
    }
    for hole in holes(report) {
        list.push(&event_of(report, hole))?;
    }
    list.end()
}

fn event<'a>(report: &'a ScanReport, judged: &Judged<'a>, fix: Option<String>) -> Event<'a> {
    let status = judged.status();
    let reason = printable(&judged.reason()).into_owned();
    let title = format!(
        "{}: {}",
        printable(judged.policy),
        printable(judged.identifier())
    );
    let resource = ResourceDetails {
        uid: judged.arn,
        name: judged.identifier(),
        kind: judged.kind().as_str(),
        region: judged.region(),
        cloud_partition: judged.partition(),
        data: judged.resource.map(|resource| Data {
            engine: &resource.engine,
            engine_version: &resource.engine_version,
            class: resource.class.as_deref(),
            status: &resource.status,
            encryption: resource.encryption,
            kms_key_id: resource.kms_key_id.as_deref(),
            replica_of: resource.replica_of.as_deref(),
        }),
    };
    let severity = match status {
        Status::Pass => Severity::Info,
        Status::Fail | Status::Waived | Status::NotEvaluated => judged.severity(),
    };
    let mut event = base(report, status, severity, judged.policy, judged.controls());
    event.message = Cow::Owned(format!("{title}: {reason}"));
    event.cloud.account.uid = judged.account();
    event.cloud.region = judged.region();
    event.finding_info.uid = judged.id();
    event.finding_info.title = Cow::Owned(title);
    event.finding_info.desc = Cow::Owned(reason.clone());
    event.compliance.status_detail = Cow::Owned(reason);
    event.resources.push(resource);
    event.remediation = fix.map(|desc| Remediation {
        desc,
        references: judged
            .rule
            .and_then(|rule| rule.help_uri.as_deref())
            .map(|uri| [uri]),
    });
    event
}

/// A region that could not be read: nothing is known of what it holds.
fn event_of<'a>(report: &'a ScanReport, hole: Hole<'a>) -> Event<'a> {
    let mut event = base(report, Status::NotEvaluated, Severity::High, NOT_READ, &[]);
    let error = printable(hole.error);
    let title = hole.title();
    event.message = Cow::Owned(format!("{title}: {error}"));
    event.cloud.account.uid = hole.account;
    event.cloud.region = hole.region;
    event.finding_info.uid = Cow::Owned(hole.id());
    event.finding_info.title = Cow::Owned(title);
    event.finding_info.desc = error.clone();
    event.compliance.status_detail = error;
    event
}

/// What every event has, without its subject.
fn base<'a>(
    report: &'a ScanReport,
    status: Status,
    severity: Severity,
    policy: &'a str,
    controls: &'a [Control],
) -> Event<'a> {
    let (severity_id, severity) = match severity {
        Severity::Info => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    };
    // Of the finding: whether somebody has to act.
    let (finding_status_id, finding_status) = match status {
        Status::Fail | Status::NotEvaluated => (1, "New"),
        Status::Waived => (3, "Suppressed"),
        Status::Pass => (4, "Resolved"),
    };
    // Of the check: unknown is neither a pass nor a failure.
    let (compliance_status_id, compliance_status) = match status {
        Status::Pass => (1, "Pass"),
        Status::Waived => (2, "Warning"),
        Status::Fail => (3, "Fail"),
        Status::NotEvaluated => (0, "Unknown"),
    };
    let mut standards: Vec<&str> = controls.iter().map(|c| c.publisher.as_str()).collect();
    standards.dedup();
    Event {
        activity_id: 1,
        activity_name: "Create",
        category_uid: 2,
        category_name: "Findings",
        class_uid: 2003,
        class_name: "Compliance Finding",
        type_uid: 200_301,
        type_name: "Compliance Finding: Create",
        time: report.started.as_millisecond(),
        severity_id,
        severity,
        status_id: finding_status_id,
        status: finding_status,
        message: Cow::Borrowed(""),
        metadata: Metadata {
            version: VERSION,
            product: Product {
                name: &report.tool.name,
                vendor_name: &report.tool.name,
                version: &report.tool.version,
            },
            profiles: ["cloud"],
        },
        cloud: Cloud {
            provider: "AWS",
            region: "",
            account: Account {
                uid: "",
                kind: "AWS Account",
                type_id: 10,
            },
        },
        finding_info: FindingInfo {
            uid: Cow::Borrowed(""),
            title: Cow::Borrowed(""),
            desc: Cow::Borrowed(""),
            types: ["encryption at rest"],
            analytic: Analytic {
                uid: policy,
                name: policy,
                kind: "Rule",
                type_id: 1,
            },
        },
        compliance: Compliance {
            control: policy,
            standards,
            requirements: ControlIds(controls),
            status_id: compliance_status_id,
            status: compliance_status,
            status_code: status.as_str(),
            status_detail: Cow::Borrowed(""),
        },
        resources: Vec::new(),
        remediation: None,
    }
}
