//! Formats that programs read, judged by the schemas their publishers give out or by parsers of other people.

mod asff;
mod chat;
mod closed;
mod hostile;
mod html;
mod jsonl;
mod junit;
mod metrics;
mod ocsf;
mod own;
mod sarif;

use std::path::Path;

use atrest_model::finding::{AppliedWaiver, Change, Control, FindingStatus, Severity};
use atrest_model::scan::{
    BaselineComparison, RegionScan, ResourceKind, ScanReport, WaiverNote, WaiverNoteKind,
};
use atrest_reports::{Rule, RuleControls, ScanContext, ScanFormat, Style, scan_with};
use jsonschema::Validator;
use serde_json::Value;

use crate::samples;

pub(crate) const STYLE: Style = Style {
    width: None,
    color: false,
    unicode: true,
};

/// The policies of this version, with the page as it is.
pub(crate) fn rules() -> Vec<Rule> {
    let control = |id: &str| Control {
        publisher: "security-hub".to_owned(),
        id: id.to_owned(),
    };
    let controls = |kind, engine: Option<&str>, id: &str| RuleControls {
        kind,
        engine: engine.map(str::to_owned),
        controls: vec![control(id)],
    };
    vec![Rule {
        id: "storage-unencrypted".to_owned(),
        title: "storage is not encrypted at rest".to_owned(),
        severity: Severity::High,
        help: std::fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policies/storage-unencrypted.md"),
        )
        .unwrap(),
        help_uri: Some(
            "https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Overview.Encryption.html"
                .to_owned(),
        ),
        controls: vec![
            controls(ResourceKind::DbInstance, None, "RDS.3"),
            controls(ResourceKind::DbCluster, None, "RDS.27"),
            controls(ResourceKind::DbCluster, Some("neptune"), "Neptune.1"),
        ],
    }]
}

pub(crate) fn render_with(
    report: &ScanReport,
    context: &ScanContext<'_>,
    format: ScanFormat,
) -> String {
    let mut out = Vec::new();
    scan_with(report, context, format, &STYLE, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

pub(crate) fn render(report: &ScanReport, format: ScanFormat) -> String {
    let rules = rules();
    let context = ScanContext {
        rules: &rules,
        previous: None,
    };
    render_with(report, &context, format)
}

pub(crate) fn parse(report: &ScanReport, format: ScanFormat) -> Value {
    let text = render(report, format);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{format:?}: {error}\n{text}"))
}

/// Scans of every kind, with a name for messages.
pub(crate) fn scans() -> Vec<(&'static str, ScanReport)> {
    let mut nothing = samples::empty_scan();
    nothing.regions = vec![RegionScan {
        account: String::new(),
        region: "eu-central-1".to_owned(),
        error: Some("no credentials".to_owned()),
        resources: 0,
        throttled: 0,
    }];
    nothing.complete = false;
    vec![
        ("realistic", samples::scan_report()),
        ("incomplete", samples::incomplete_scan()),
        ("empty", samples::empty_scan()),
        ("nothing read", nothing),
        ("waivers and a baseline", waived_scan()),
        ("hostile", samples::hostile_scan()),
    ]
}

/// The realistic scan with a waiver that holds, two that do not, and a baseline.
pub(crate) fn waived_scan() -> ScanReport {
    let mut report = samples::scan_report();
    let expires = "2026-12-31".parse().unwrap();
    for finding in &mut report.findings {
        finding.change = Some(Change::Unchanged);
        if finding.status == FindingStatus::Waived {
            finding.reason = "StorageEncrypted is false".to_owned();
            finding.waiver = Some(AppliedWaiver {
                owner: "team-shop".to_owned(),
                reason: "goes away with project X".to_owned(),
                expires,
            });
        }
    }
    report.findings[0].change = Some(Change::New);
    report.findings[1].change = Some(Change::Worse);
    let fixed = report.findings[2].clone();
    report.baseline = Some(BaselineComparison {
        started: "2026-11-21T02:00:00Z".parse().unwrap(),
        fixed: vec![fixed.clone()],
        unknown: vec![fixed],
    });
    report.waiver_notes = [WaiverNoteKind::Expired, WaiverNoteKind::Unused]
        .into_iter()
        .map(|kind| WaiverNote {
            kind,
            place: "waivers.toml:7".to_owned(),
            policy: "storage-unencrypted".to_owned(),
            owner: "team-<b>old</b>".to_owned(),
            expires,
            findings: Vec::new(),
        })
        .collect();
    report
}

/// A schema of `tests/schemas/`.
pub(crate) fn published(name: &str) -> Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/schemas")
        .join(name);
    let schema = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    validator(&schema)
}

pub(crate) fn validator(schema: &Value) -> Validator {
    jsonschema::options()
        .should_validate_formats(true)
        .build(schema)
        .unwrap()
}

#[track_caller]
pub(crate) fn assert_valid(validator: &Validator, value: &Value, what: &str) {
    let errors: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}");
}

/// The realistic scan has 11 resources and 8 findings; one of these is on a resource that is not listed.
pub(crate) const VERDICTS: usize = 12;

/// A kind that could not be read where others could.
#[test]
fn an_unread_kind_is_told_in_every_format() {
    let mut report = samples::scan_report();
    report.complete = false;
    report.unread = vec![atrest_model::scan::UnreadKind {
        account: "111122223333".to_owned(),
        region: "eu-central-1".to_owned(),
        kind: ResourceKind::DbSnapshot,
        reason: "AccessDenied: no such permission".to_owned(),
    }];
    for (name, format) in ScanFormat::ALL {
        let text = render(&report, *format);
        assert!(text.contains("no such permission"), "{name}: {text}");
        let kind = text.contains("db-snapshot");
        assert!(kind, "{name}: {text}");
    }
}
