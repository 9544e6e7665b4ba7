use std::collections::BTreeMap;

use atrest_model::scan::ScanReport;
use atrest_reports::{SCAN_LINE_VERSION, ScanFormat};
use serde_json::Value;

use super::{VERDICTS, render, scans};
use crate::samples;

fn lines(report: &ScanReport) -> Vec<Value> {
    render(report, ScanFormat::Jsonl)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn every_line_has_its_version_and_says_what_it_is() {
    for (name, report) in scans() {
        let lines = lines(&report);
        assert_eq!(lines[0]["record"]["type"], "scan", "{name}");
        assert_eq!(lines[0]["record"]["complete"], report.complete, "{name}");
        for line in &lines {
            assert_eq!(line["schema_version"], SCAN_LINE_VERSION, "{name}");
            assert_eq!(line["started"], "2026-11-22T02:00:00Z", "{name}");
        }
    }
}

#[test]
fn every_verdict_is_a_line_and_so_is_every_region() {
    let report = samples::scan_report();
    let lines = lines(&report);
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for line in &lines {
        *kinds
            .entry(line["record"]["type"].as_str().unwrap())
            .or_default() += 1;
    }
    assert_eq!(
        kinds,
        BTreeMap::from([("region", 2), ("scan", 1), ("verdict", VERDICTS)])
    );
    let one = lines
        .iter()
        .find(|line| line["record"]["resource"]["identifier"] == "prod-one");
    let one = &one.unwrap()["record"];
    assert_eq!(one["status"], "fail");
    assert_eq!(one["severity"], "high");
    let finding = report
        .findings
        .iter()
        .find(|f| f.resource == one["arn"].as_str().unwrap());
    assert_eq!(one["id"], finding.unwrap().id.as_str());
}
