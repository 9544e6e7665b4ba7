use atrest_model::scan::ScanReport;
use atrest_reports::ScanFormat;
use serde_json::Value;

use super::{VERDICTS, assert_valid, parse, published, scans};
use crate::samples;

fn events(report: &ScanReport) -> Vec<Value> {
    let Value::Array(events) = parse(report, ScanFormat::Ocsf) else {
        panic!("no array");
    };
    events
}

#[test]
fn every_event_is_valid_against_the_schema_of_ocsf() {
    let schema = published("ocsf-1.5.0-compliance-finding.json");
    for (name, report) in scans() {
        for event in events(&report) {
            assert_valid(&schema, &event, name);
        }
    }
    let mut broken = events(&samples::scan_report()).remove(0);
    broken["severity_id"] = 42.into();
    assert!(!schema.is_valid(&broken));
}

#[test]
fn there_is_an_event_for_each_verdict_and_each_hole() {
    let found = events(&samples::scan_report());
    assert_eq!(found.len(), VERDICTS);
    let of = |code: &str| {
        let of = |event: &&Value| event["compliance"]["status_code"] == code;
        found.iter().filter(of).collect::<Vec<_>>()
    };
    assert_eq!(of("fail").len(), 5);
    assert!(
        of("fail")
            .iter()
            .all(|e| e["compliance"]["status_id"] == 3 && e["severity_id"] == 4)
    );
    assert_eq!(of("pass").len(), 4);
    assert!(
        of("pass")
            .iter()
            .all(|e| e["compliance"]["status_id"] == 1 && e["status_id"] == 4)
    );
    assert_eq!(of("waived").len(), 1);
    // Unknown is not a pass.
    assert_eq!(of("not-evaluated").len(), 2);
    assert!(
        of("not-evaluated")
            .iter()
            .all(|e| e["compliance"]["status_id"] == 0)
    );
    // A pass serves the controls of its kind of resource.
    let cluster = of("pass")
        .into_iter()
        .find(|e| e["resources"][0]["type"] == "db-cluster")
        .unwrap();
    assert_eq!(
        cluster["compliance"]["requirements"][0],
        "security-hub RDS.27"
    );

    let holes: Vec<Value> = events(&samples::incomplete_scan())
        .into_iter()
        .filter(|event| event["compliance"]["control"] == "region-not-read")
        .collect();
    assert_eq!(holes.len(), 2);
    assert!(
        holes[0]["message"]
            .as_str()
            .unwrap()
            .contains("AccessDenied")
    );
    assert!(events(&samples::empty_scan()).is_empty());
}
