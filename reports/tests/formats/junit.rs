use std::collections::BTreeSet;

use atrest_model::scan::ScanReport;
use atrest_reports::ScanFormat;
use junit_parser::{TestStatus, TestSuites};

use super::{VERDICTS, render, scans};
use crate::samples;

fn suites(report: &ScanReport) -> TestSuites {
    let text = render(report, ScanFormat::Junit);
    junit_parser::from_reader(text.as_bytes()).unwrap_or_else(|error| panic!("{error:?}\n{text}"))
}

#[test]
fn a_parser_of_other_people_reads_every_scan_and_the_counts_are_true() {
    for (name, report) in scans() {
        let all = suites(&report);
        let mut tests = 0;
        for suite in &all.suites {
            let of = |wanted: fn(&TestStatus) -> bool| {
                let cases = suite.cases.iter();
                cases.filter(|case| wanted(&case.status)).count() as u64
            };
            assert_eq!(suite.tests, suite.cases.len() as u64, "{name}");
            assert_eq!(
                suite.failures,
                of(|s| matches!(s, TestStatus::Failure(_))),
                "{name}"
            );
            assert_eq!(
                suite.errors,
                of(|s| matches!(s, TestStatus::Error(_))),
                "{name}"
            );
            assert_eq!(
                suite.skipped,
                of(|s| matches!(s, TestStatus::Skipped(_))),
                "{name}"
            );
            tests += suite.tests;
        }
        assert_eq!(all.tests, tests, "{name}");
    }
}

#[test]
fn there_is_a_suite_for_each_region_and_a_case_for_each_verdict() {
    let all = suites(&samples::scan_report());
    let names: Vec<&str> = all.suites.iter().map(|suite| suite.name.as_str()).collect();
    assert_eq!(
        names,
        ["111122223333/eu-central-1", "111122223333/us-east-1"]
    );
    let cases: Vec<_> = all.suites.iter().flat_map(|suite| &suite.cases).collect();
    assert_eq!(cases.len(), VERDICTS);
    let unique: BTreeSet<_> = cases.iter().map(|case| &case.name).collect();
    assert_eq!(unique.len(), cases.len());
    assert_eq!((all.failures, all.errors, all.skipped), (5, 2, 1));
    let failed = cases
        .iter()
        .find(|case| case.original_name == "storage-unencrypted: prod-one")
        .unwrap();
    let TestStatus::Failure(failure) = &failed.status else {
        panic!("{failed:?}");
    };
    assert_eq!(failure.failure_type, "high");
    assert!(failure.message.contains("StorageEncrypted is false"));
    assert!(
        failure
            .text
            .contains("arn:aws:rds:eu-central-1:111122223333:db:prod-one")
    );
    assert!(failure.text.contains("security-hub RDS.3"));
}

#[test]
fn a_region_that_was_not_read_is_an_error() {
    let all = suites(&samples::incomplete_scan());
    assert_eq!(all.errors, 2);
    let texts: Vec<&str> = all
        .suites
        .iter()
        .flat_map(|suite| &suite.cases)
        .filter_map(|case| match &case.status {
            TestStatus::Error(error) => Some(error.message.as_str()),
            _ => None,
        })
        .collect();
    assert!(
        texts.iter().any(|text| text.contains("AccessDenied")),
        "{texts:?}"
    );
}
