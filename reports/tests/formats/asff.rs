use std::collections::BTreeMap;

use atrest_model::scan::ScanReport;
use atrest_reports::{PreviousError, PreviousFindings, ScanContext, ScanFormat};
use serde_json::{Value, json};

use super::{VERDICTS, assert_valid, parse, published, render, render_with, rules, scans};
use crate::samples;

fn findings(report: &ScanReport) -> Vec<Value> {
    list(parse(report, ScanFormat::Asff))
}

fn list(value: Value) -> Vec<Value> {
    let Value::Array(findings) = value else {
        panic!("no array");
    };
    findings
}

/// A scan rendered on top of the file of an earlier one.
fn after(earlier: &str, report: &ScanReport) -> Vec<Value> {
    let rules = rules();
    let previous = PreviousFindings::read(earlier.as_bytes()).unwrap();
    let context = ScanContext {
        rules: &rules,
        previous: Some(&previous),
    };
    let text = render_with(report, &context, ScanFormat::Asff);
    list(serde_json::from_str(&text).unwrap())
}

fn at(mut report: ScanReport, started: &str) -> ScanReport {
    report.started = started.parse().unwrap();
    report
}

fn of<'a>(findings: &'a [Value], name: &str) -> &'a Value {
    let wanted = format!(":{name}");
    let of = |finding: &&Value| {
        finding["Resources"][0]["Id"]
            .as_str()
            .unwrap()
            .ends_with(&wanted)
    };
    findings.iter().find(of).unwrap()
}

#[test]
fn every_scan_is_valid_against_the_service_model_of_security_hub() {
    let schema = published("asff.json");
    for (name, report) in scans() {
        assert_valid(&schema, &parse(&report, ScanFormat::Asff), name);
    }
    for (member, value) in [
        ("Title", json!(" ")),
        ("Title", json!("x".repeat(257))),
        ("Description", json!("x".repeat(1025))),
        ("RecordState", json!("GONE")),
        ("Surprise", json!("x")),
    ] {
        let mut broken = parse(&samples::scan_report(), ScanFormat::Asff);
        broken[0][member] = value;
        assert!(!schema.is_valid(&broken), "{member}");
    }
}

#[test]
fn a_status_is_never_better_than_what_is_known() {
    let found = findings(&samples::scan_report());
    assert_eq!(found.len(), VERDICTS);
    let mut statuses: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in &found {
        *statuses
            .entry(finding["Compliance"]["Status"].as_str().unwrap())
            .or_default() += 1;
    }
    let expected = [
        ("FAILED", 5),
        ("NOT_AVAILABLE", 2),
        ("PASSED", 4),
        ("WARNING", 1),
    ];
    assert_eq!(statuses, BTreeMap::from(expected));
    let waived = of(&found, "sandbox-tmp");
    assert_eq!(waived["Workflow"]["Status"], "SUPPRESSED");
    assert_eq!(of(&found, "prod-one")["Severity"]["Label"], "HIGH");
    assert_eq!(of(&found, "prod-two")["Severity"]["Label"], "INFORMATIONAL");
    assert_eq!(
        of(&found, "events")["Compliance"]["RelatedRequirements"][0],
        "security-hub RDS.27"
    );
    let detail = &of(&found, "events")["Resources"][0]["Details"]["AwsRdsDbCluster"];
    // AWS answers StorageEncrypted=false for a cluster under its own key.
    assert_eq!(detail["StorageEncrypted"], true);

    let found = findings(&samples::incomplete_scan());
    let holes: Vec<&Value> = found
        .iter()
        .filter(|f| f["GeneratorId"] == "atrest/region-not-read")
        .collect();
    assert_eq!(holes.len(), 2);
    assert!(
        holes
            .iter()
            .all(|f| f["Compliance"]["Status"] == "NOT_AVAILABLE")
    );
}

#[test]
fn ids_are_unique_and_the_same_every_night() {
    let ids = |report: &ScanReport| -> Vec<String> {
        let mut ids: Vec<String> = findings(report)
            .iter()
            .map(|finding| finding["Id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    };
    let tonight = ids(&samples::scan_report());
    assert_eq!(
        tonight,
        ids(&at(samples::scan_report(), "2027-01-01T00:00:00Z"))
    );
    let mut unique = tonight.clone();
    unique.dedup();
    assert_eq!(unique, tonight);
}

#[test]
fn what_was_seen_first_is_kept_and_what_is_gone_is_archived_once() {
    let schema = published("asff.json");
    let first = render(&samples::scan_report(), ScanFormat::Asff);

    // The second night: one instance is gone, one is encrypted now, one is new.
    let mut second = at(samples::scan_report(), "2026-11-23T02:00:00Z");
    second
        .resources
        .retain(|r| r.identifier != "prod-one-replica-1");
    second
        .findings
        .retain(|f| !f.resource.ends_with(":prod-one-replica-1"));
    second
        .findings
        .retain(|f| !f.resource.ends_with(":legacy-billing"));
    let mut new = second.resources[0].clone();
    new.identifier = "brand-new".to_owned();
    new.arn = "arn:aws:rds:eu-central-1:111122223333:db:brand-new".to_owned();
    second.resources.push(new);
    let found = after(&first, &second);
    assert_valid(&schema, &Value::from(found.clone()), "second night");

    let kept = of(&found, "prod-one");
    assert_eq!(kept["CreatedAt"], "2026-11-22T02:00:00Z");
    assert_eq!(kept["FirstObservedAt"], "2026-11-22T02:00:00Z");
    assert_eq!(kept["UpdatedAt"], "2026-11-23T02:00:00Z");
    let mended = of(&found, "legacy-billing");
    assert_eq!(mended["Compliance"]["Status"], "PASSED");
    assert_eq!(mended["CreatedAt"], "2026-11-22T02:00:00Z");
    assert_eq!(of(&found, "brand-new")["CreatedAt"], "2026-11-23T02:00:00Z");
    let gone = of(&found, "prod-one-replica-1");
    assert_eq!(gone["RecordState"], "ARCHIVED");
    assert_eq!(gone["UpdatedAt"], "2026-11-23T02:00:00Z");

    // The third night: the archived one is not said again.
    let third = at(second.clone(), "2026-11-24T02:00:00Z");
    let text = serde_json::to_string(&found).unwrap();
    let found = after(&text, &third);
    assert!(!serde_json::to_string(&found).unwrap().contains("ARCHIVED"));
    assert_eq!(
        of(&found, "prod-one")["FirstObservedAt"],
        "2026-11-22T02:00:00Z"
    );
    assert_eq!(of(&found, "brand-new")["CreatedAt"], "2026-11-23T02:00:00Z");

    // It comes back: it begins anew.
    let back = at(samples::scan_report(), "2026-11-25T02:00:00Z");
    let found = after(&text, &back);
    assert_eq!(
        of(&found, "prod-one-replica-1")["CreatedAt"],
        "2026-11-25T02:00:00Z"
    );
    assert_eq!(of(&found, "prod-one-replica-1")["RecordState"], "ACTIVE");
}

#[test]
fn a_region_that_cannot_be_read_archives_nothing_and_passes_nothing() {
    let schema = published("asff.json");
    let first = render(&samples::scan_report(), ScanFormat::Asff);
    let mut second = at(samples::scan_report(), "2026-11-23T02:00:00Z");
    second
        .resources
        .retain(|resource| resource.region != "us-east-1");
    second
        .findings
        .retain(|finding| !finding.resource.contains(":us-east-1:"));
    second.regions[1].error = Some("AccessDenied".to_owned());
    second.regions[1].resources = 0;
    let found = after(&first, &second);
    assert_valid(&schema, &Value::from(found.clone()), "unread");
    let there: Vec<&Value> = found
        .iter()
        .filter(|f| f["Region"] == "us-east-1")
        .collect();
    assert!(there.len() > 5);
    for finding in there {
        assert_eq!(
            finding["Compliance"]["Status"], "NOT_AVAILABLE",
            "{finding}"
        );
        assert_eq!(finding["RecordState"], "ACTIVE");
    }
    assert_eq!(
        of(&found, "legacy-billing")["CreatedAt"],
        "2026-11-22T02:00:00Z"
    );

    // Not asked about: as it was.
    second.regions.pop();
    let found = after(&first, &second);
    assert_eq!(of(&found, "reports")["Compliance"]["Status"], "PASSED");
    assert_eq!(of(&found, "reports")["UpdatedAt"], "2026-11-22T02:00:00Z");
}

#[test]
fn an_earlier_file_that_cannot_be_read_is_an_error_and_not_an_empty_one() {
    let read = |text: &str| PreviousFindings::read(text.as_bytes());
    assert!(read("[]").unwrap().is_empty());
    assert!(read(r#"{"Findings": []}"#).unwrap().is_empty());
    // Findings of other products are none of ours.
    assert!(
        read(r#"[{"Id": "arn:aws:securityhub:x"}]"#)
            .unwrap()
            .is_empty()
    );
    assert!(matches!(read(""), Err(PreviousError::Json(_))));
    assert!(matches!(read(r#"{"a": 1}"#), Err(PreviousError::NoList)));
    assert!(matches!(read("[1]"), Err(PreviousError::NoList)));
    let error = read(r#"[{"Id": "atrest/a", "CreatedAt": 5}]"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "its finding number 1 has no \"CreatedAt\" that is a string"
    );
}

#[test]
fn a_byte_order_mark_is_blank_to_the_service() {
    let mut report = samples::scan_report();
    report.resources[0].engine_version = "\u{feff}".to_owned();
    report.resources[0].replica_of = Some(" \u{feff}".to_owned());
    let value = parse(&report, ScanFormat::Asff);
    assert_valid(&published("asff.json"), &value, "byte order mark");
    assert!(!value.to_string().contains('\u{feff}'));
}

#[test]
fn texts_are_cut_to_what_the_service_takes() {
    let mut report = samples::scan_report();
    report.findings[0].reason = "ü".repeat(4096);
    report.resources[0].identifier = "x".repeat(4096);
    let schema = published("asff.json");
    let value = parse(&report, ScanFormat::Asff);
    assert_valid(&schema, &value, "long");
    let text = value.to_string();
    assert!(text.contains('…'));
}
