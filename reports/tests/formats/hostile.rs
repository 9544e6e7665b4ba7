//! Text as an attacker would choose it, in every place a name, a tag or an error can stand.

use std::sync::LazyLock;

use atrest_model::finding::{AppliedWaiver, Control, FindingStatus};
use atrest_model::instance::Encryption;
use atrest_model::scan::{RegionScan, ScanReport};
use atrest_reports::ScanFormat;
use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::Value;

use super::{assert_valid, parse, published, render, validator};
use crate::samples;

/// No file of failures: what failed becomes a test with a name.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Pieces that have broken reports before; what a database driver makes of invalid UTF-8 is among them.
const PIECES: &[&str] = &[
    "<script>alert(1)</script>",
    "</script>",
    "<!--",
    "]]>",
    "\"",
    "'",
    "&amp;",
    "&#x1f;",
    "\u{0}",
    "\u{1b}[31m",
    "\u{7f}",
    "\u{9b}2J",
    "\u{202e}",
    "\u{2066}",
    "\u{feff}",
    "\u{fffd}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{2028}",
    "\u{1f468}\u{200d}\u{1f469}",
    "\r\n",
    "\t",
    "=1+1",
    "@SUM(A1)",
    "-2",
    "+3",
    "＝1+1",
    "|",
    "{0}",
    "[a](http://evil/)",
    "\\",
    "`",
    "%s",
    "../..",
    ":",
    "/",
    " ",
    "東京",
];

fn evil() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => proptest::sample::select(PIECES).prop_map(str::to_owned),
        2 => "[ -~]{0,12}",
        1 => "(?s).{0,12}",
        1 => proptest::collection::vec(any::<u8>(), 0..12).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// A scan of two resources and a hole, all of whose texts are `texts`, in turn.
fn scan(texts: &[String]) -> ScanReport {
    let mut next = texts.iter().cycle().cloned();
    let mut text = move || next.next().unwrap();
    let mut report = samples::scan_report();
    report.findings.clear();
    report.resources.truncate(2);
    for (index, resource) in report.resources.iter_mut().enumerate() {
        resource.arn = format!(
            "arn:aws:rds:eu-central-1:111122223333:db:{}-{index}",
            text()
        );
        resource.account = text();
        resource.region = text();
        resource.identifier = text();
        resource.engine = text();
        resource.engine_version = text();
        resource.class = Some(text());
        resource.status = text();
        resource.kms_key_id = Some(text());
        resource.replica_of = Some(text());
        resource.members = vec![text()];
        resource.encryption = Encryption::None;
    }
    let found = report.resources[0].clone();
    for (index, status) in [
        FindingStatus::Fail,
        FindingStatus::Waived,
        FindingStatus::NotEvaluated,
    ]
    .into_iter()
    .enumerate()
    {
        let mut finding = samples::finding(&found, status, &text());
        finding.policy = format!("{}{index}", text());
        let (publisher, id) = (text(), text());
        finding.controls = [Control { publisher, id }].into_iter().collect();
        if status == FindingStatus::Waived {
            finding.waiver = Some(AppliedWaiver {
                owner: text(),
                reason: text(),
                expires: "2026-12-31".parse().unwrap(),
            });
        }
        report.findings.push(finding);
    }
    report.regions.push(RegionScan {
        account: text(),
        region: text(),
        error: Some(text()),
        resources: 0,
        throttled: 0,
    });
    report
}

/// Characters that may stand in a text format beside its own line ends.
fn is_visible(c: char) -> bool {
    c == '\n'
        || !(c.is_control()
            || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fffe}'..='\u{ffff}'))
}

fn reads_back_and_hides_nothing(texts: &[String]) -> Result<(), TestCaseError> {
    let report = scan(texts);
    for (name, format) in ScanFormat::ALL {
        let text = render(&report, *format);
        let hidden = text.chars().find(|c| !is_visible(*c));
        prop_assert!(hidden.is_none(), "{}: {:?} in {}", name, hidden, text);
    }

    let json: ScanReport = serde_json::from_str(&render(&report, ScanFormat::Json)).unwrap();
    prop_assert_eq!(&json, &report);

    let lines: Vec<Value> = render(&report, ScanFormat::Jsonl)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    // The scan, three regions, three findings, two passes.
    prop_assert_eq!(lines.len(), 1 + 3 + 3 + 2);
    let names: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["record"]["resource"]["identifier"].as_str())
        .collect();
    prop_assert!(names.contains(&report.resources[0].identifier.as_str()));

    let junit = render(&report, ScanFormat::Junit);
    let suites = junit_parser::from_reader(junit.as_bytes()).unwrap();
    prop_assert_eq!(
        (suites.tests, suites.failures, suites.errors, suites.skipped),
        (6, 1, 2, 1)
    );

    let csv = render(&report, ScanFormat::Csv);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let mut rows = 0;
    for record in reader.records() {
        for field in &record.unwrap() {
            prop_assert!(
                !field.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']),
                "{}",
                field
            );
        }
        rows += 1;
    }
    prop_assert_eq!(rows, 2 + 1);
    Ok(())
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn every_format_reads_back_and_hides_nothing(texts in proptest::collection::vec(evil(), 1..8)) {
        reads_back_and_hides_nothing(&texts)?;
    }
}

/// Length costs time and chance adds nothing to it: every place gets 4 KB once, with everything evil behind them.
#[test]
fn long_texts_read_back_and_hide_nothing() {
    let texts = [format!("{}{}", "4 KB ".repeat(820), PIECES.concat())];
    reads_back_and_hides_nothing(&texts).unwrap();
}

/// To make a validator takes longer than to use it.
static SCHEMAS: LazyLock<[Validator; 4]> = LazyLock::new(|| {
    let schemas = atrest_reports::schemas();
    let line = schemas.iter().find(|document| document.name == "scan-line");
    [
        published("sarif-2.1.0.json"),
        published("asff.json"),
        published("ocsf-1.5.0-compliance-finding.json"),
        validator(line.unwrap().schema.as_value()),
    ]
});

proptest! {
    // Schemas take a while to judge.
    #![proptest_config(cases(24))]

    #[test]
    fn every_format_with_a_schema_stays_valid(texts in proptest::collection::vec(evil(), 1..8)) {
        let report = scan(&texts);
        let [sarif_schema, asff_schema, ocsf_schema, line_schema] = &*SCHEMAS;
        let sarif = parse(&report, ScanFormat::Sarif);
        assert_valid(sarif_schema, &sarif, "sarif");
        let results = sarif["runs"][0]["results"].as_array().unwrap();
        prop_assert_eq!(results.len(), 3);
        prop_assert_eq!(
            &results[0]["locations"][0]["logicalLocations"][0]["fullyQualifiedName"],
            report.resources[0].arn.as_str()
        );

        let asff = parse(&report, ScanFormat::Asff);
        assert_valid(asff_schema, &asff, "asff");
        prop_assert_eq!(asff.as_array().unwrap().len(), 3 + 2 + 1);

        let ocsf = parse(&report, ScanFormat::Ocsf);
        let events = ocsf.as_array().unwrap();
        prop_assert_eq!(events.len(), 3 + 2 + 1);
        for event in events {
            assert_valid(ocsf_schema, event, "ocsf");
        }

        for text in render(&report, ScanFormat::Jsonl).lines() {
            assert_valid(line_schema, &serde_json::from_str(text).unwrap(), "jsonl");
        }
    }
}
