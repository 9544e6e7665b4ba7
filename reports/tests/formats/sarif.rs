use std::collections::BTreeMap;

use atrest_model::finding::FindingStatus;
use atrest_model::scan::ScanReport;
use atrest_reports::ScanFormat;
use serde_json::Value;

use super::{assert_valid, parse, published, scans};
use crate::samples;

fn results(report: &ScanReport) -> Vec<Value> {
    let log = parse(report, ScanFormat::Sarif);
    log["runs"][0]["results"].as_array().unwrap().clone()
}

#[test]
fn every_scan_is_valid_against_the_schema_of_oasis() {
    let schema = published("sarif-2.1.0.json");
    for (name, report) in scans() {
        assert_valid(&schema, &parse(&report, ScanFormat::Sarif), name);
    }
    // The schema is one that can fail.
    let mut broken = parse(&samples::scan_report(), ScanFormat::Sarif);
    broken["runs"][0]["results"][0]["level"] = "catastrophe".into();
    assert!(!schema.is_valid(&broken));
}

#[test]
fn what_did_not_pass_is_a_result_and_names_its_rule_and_arn() {
    let report = samples::scan_report();
    let log = parse(&report, ScanFormat::Sarif);
    let run = &log["runs"][0];
    let results = results(&report);
    assert_eq!(results.len(), report.findings.len());
    for result in &results {
        let rule = &run["tool"]["driver"]["rules"]
            [usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(
            rule["help"]["markdown"]
                .as_str()
                .unwrap()
                .contains("## Controls")
        );
        let arn = &result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"];
        assert!(arn.as_str().unwrap().starts_with("arn:aws:rds:"));
    }
    let of = |status| {
        report
            .findings
            .iter()
            .filter(|f| f.status == status)
            .count()
    };
    let suppressed: Vec<&Value> = results
        .iter()
        .filter(|r| r.get("suppressions").is_some())
        .collect();
    assert_eq!(suppressed.len(), of(FindingStatus::Waived));
    assert!(
        suppressed[0]["suppressions"][0]["justification"]
            .as_str()
            .unwrap()
            .contains("test data only")
    );
    let open = results
        .iter()
        .filter(|r| r["kind"] == "open" && r["level"] == "none")
        .count();
    assert_eq!(open, of(FindingStatus::NotEvaluated));
    let errors = results.iter().filter(|r| r["level"] == "error").count();
    assert_eq!(errors, of(FindingStatus::Fail) + of(FindingStatus::Waived));
}

#[test]
fn fingerprints_are_the_same_every_night_and_differ_between_resources() {
    let fingerprints = |report: &ScanReport| -> BTreeMap<String, String> {
        results(report)
            .into_iter()
            .map(|result| {
                let arn = &result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"];
                let print = &result["partialFingerprints"]["atrestPolicyResource/v1"];
                (
                    arn.as_str().unwrap().to_owned(),
                    print.as_str().unwrap().to_owned(),
                )
            })
            .collect()
    };
    let tonight = samples::scan_report();
    let mut tomorrow = tonight.clone();
    tomorrow.started = "2026-11-23T02:00:00Z".parse().unwrap();
    tomorrow.tool.version = "9.9.9".to_owned();
    tomorrow.resources.reverse();
    tomorrow.findings.reverse();
    for finding in &mut tomorrow.findings {
        finding.reason = "said in other words".to_owned();
    }
    let prints = fingerprints(&tonight);
    assert_eq!(prints, fingerprints(&tomorrow));
    let mut unique: Vec<&String> = prints.values().collect();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), prints.len());
}

#[test]
fn a_region_that_was_not_read_makes_the_invocation_fail() {
    let log = parse(&samples::incomplete_scan(), ScanFormat::Sarif);
    let invocation = &log["runs"][0]["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    let said = invocation["toolExecutionNotifications"].as_array().unwrap();
    assert_eq!(said.len(), 2);
    assert!(
        said[0]["message"]["text"]
            .as_str()
            .unwrap()
            .contains("AccessDenied")
    );

    let log = parse(&samples::empty_scan(), ScanFormat::Sarif);
    assert_eq!(
        log["runs"][0]["invocations"][0]["executionSuccessful"],
        true
    );
    assert_eq!(log["runs"][0]["results"].as_array().unwrap().len(), 0);
}

#[test]
fn a_message_holds_no_link_and_no_placeholder() {
    for result in results(&samples::hostile_scan()) {
        let text = result["message"]["text"].as_str().unwrap();
        assert!(text.contains(r"!\[a\](http"), "{text}");
        assert!(text.contains(r"\\u{{202e}}"), "{text}");
    }
}

#[test]
fn a_waiver_suppresses_with_its_owner_and_last_day_and_a_baseline_is_told() {
    let results = results(&super::waived_scan());
    let suppressed: Vec<&Value> = results
        .iter()
        .filter_map(|result| result.get("suppressions"))
        .collect();
    assert_eq!(suppressed.len(), 1);
    let why = suppressed[0][0]["justification"].as_str().unwrap();
    for part in ["team-shop", "2026-12-31", "project X"] {
        assert!(why.contains(part), "{why}");
    }
    let of = |state: &str| {
        results
            .iter()
            .filter(|r| r["baselineState"] == state)
            .count()
    };
    assert_eq!((of("new"), of("updated")), (1, 1));
    // What is gone is told once more, so that a viewer closes it.
    assert_eq!(of("absent"), 1);
    assert_eq!(of("unchanged"), results.len() - 3);
}
