use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use atrest_model::finding::FindingStatus;
use atrest_model::run::RunReport;
use atrest_model::scan::ScanReport;
use atrest_reports::{RunContext, RunNumbers, ScanNumbers, run_metrics, scan_metrics};

use super::{rules, scans};
use crate::samples;

fn of_scan(report: &ScanReport) -> String {
    let rules = rules();
    let numbers = ScanNumbers {
        rules: &rules,
        took: Duration::from_millis(1500),
        calls: Some(120),
        throttled: 3,
        exit_code: 10,
    };
    let mut out = Vec::new();
    scan_metrics(report, &numbers, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn of_run(report: &RunReport, context: RunContext<'_>, is_under_way: bool) -> String {
    let run = RunNumbers {
        report,
        context,
        is_under_way,
        exit_code: (!is_under_way).then_some(24),
    };
    let mut out = Vec::new();
    run_metrics(&[run], 1, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn all() -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = scans()
        .iter()
        .map(|(name, report)| ((*name).to_owned(), of_scan(report)))
        .collect();
    for (name, report) in [
        ("run", samples::run_report()),
        ("hostile run", samples::hostile_run()),
    ] {
        all.push((
            name.to_owned(),
            of_run(&report, RunContext::default(), false),
        ));
    }
    samples::timed_run(|document| {
        let text = of_run(document.report, document.context, true);
        all.push(("timed run".to_owned(), text));
    });
    all
}

/// Series with their values, as the text format 0.0.4 has them: help, type, then the series of that name and no others.
fn series(text: &str) -> BTreeMap<&str, f64> {
    assert!(text.ends_with('\n'), "{text}");
    let mut found = BTreeMap::new();
    let mut names = BTreeSet::new();
    let mut name = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            name = rest.split_once(' ').unwrap().0;
            assert!(names.insert(name), "{name} comes twice");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert_eq!(rest, format!("{name} gauge"));
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert_eq!(series.split('{').next().unwrap(), name, "{line}");
        assert!(
            found.insert(series, value.parse().unwrap()).is_none(),
            "{line} comes twice"
        );
    }
    found
}

#[test]
fn every_file_is_well_formed_and_says_what_it_is_of() {
    for (name, text) in all() {
        let found = series(&text);
        assert!(found.len() > 10, "{name}: {text}");
        assert!(found.values().all(|value| value.is_finite()), "{name}");
        assert!(found.keys().all(|key| key.starts_with("atrest_")), "{name}");
    }
}

/// Prometheus's own parser, where it is installed (deploy/checks/install.sh).
#[test]
fn the_parser_of_prometheus_reads_every_file() {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let folder = std::env::var_os("ATREST_CHECKERS")
        .map(PathBuf::from)
        .or_else(|| Some(cache.or_else(home)?.join("atrest/checkers")));
    let python = folder.map(|folder| folder.join("venv/bin/python"));
    let Some(python) = python.filter(|python| python.is_file()) else {
        println!(
            "prometheus_client is not installed (deploy/checks/install.sh): its parser has read nothing"
        );
        return;
    };
    let script = "import sys\nfrom prometheus_client.parser import text_string_to_metric_families as parse\n\
                  print(sum(len(family.samples) for family in parse(sys.stdin.read())))";
    for (name, text) in all() {
        let mut parser = Command::new(&python)
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = parser.stdin.take().unwrap();
        input.write_all(text.as_bytes()).unwrap();
        drop(input);
        let said = parser.wait_with_output().unwrap();
        assert!(said.status.success(), "{name}: {text}");
        let count = String::from_utf8(said.stdout).unwrap();
        assert_eq!(count.trim(), series(&text).len().to_string(), "{name}");
    }
}

#[test]
fn the_numbers_of_a_scan_are_those_of_its_report() {
    for (name, report) in scans() {
        let text = of_scan(&report);
        let found = series(&text);
        let sum = |name: &str, with: &str| -> f64 {
            let those = found.iter().filter(|(series, _)| {
                series.split('{').next() == Some(name) && series.contains(with)
            });
            those.map(|(_, value)| value).sum()
        };
        let fails = report
            .findings
            .iter()
            .filter(|finding| finding.status == FindingStatus::Fail)
            .count() as f64;
        assert_eq!(
            sum("atrest_scan_findings", "status=\"fail\""),
            fails,
            "{name}"
        );
        assert_eq!(sum("atrest_scan_account_findings", ""), fails, "{name}");
        let resources = report.resources.len() as f64;
        assert_eq!(sum("atrest_scan_resources", ""), resources, "{name}");
        let failed: BTreeSet<_> = report
            .regions
            .iter()
            .filter(|region| region.error.is_some())
            .map(|region| (&region.account, &region.region))
            .collect();
        assert_eq!(
            sum("atrest_scan_hole", "type=\"*\""),
            failed.len() as f64,
            "{name}"
        );
        let complete = f64::from(u8::from(report.complete));
        assert_eq!(found["atrest_scan_complete"], complete, "{name}");
        assert_eq!(found["atrest_scan_duration_seconds"], 1.5);
        assert_eq!(found["atrest_scan_throttled_calls"], 3.0);
        let is_compared = text.contains("atrest_scan_changed_findings{");
        assert_eq!(is_compared, report.baseline.is_some(), "{name}");
    }
    // What was asked and found nothing is nought, and not absent.
    let mut clean = samples::scan_report();
    clean.findings.clear();
    let text = of_scan(&clean);
    assert!(
        text.contains("{policy=\"storage-unencrypted\",severity=\"high\",status=\"fail\"} 0\n"),
        "{text}"
    );
}

#[test]
fn a_run_that_somebody_holds_is_under_way_and_not_stopped() {
    let report = samples::run_report();
    let text = |is_under_way| of_run(&report, RunContext::default(), is_under_way);
    let (held, ended) = (text(true), text(false));
    let (held, ended) = (series(&held), series(&ended));
    let of =
        |outcome: &str| format!("atrest_run_migrations{{run=\"sunday\",outcome=\"{outcome}\"}}");
    for (outcome, while_held, at_the_end) in [
        ("migrated", 1.0, 1.0),
        ("stopped", 0.0, 1.0),
        ("under-way", 1.0, 0.0),
        ("validation-failed", 1.0, 1.0),
        ("needs-operator", 1.0, 1.0),
        ("rolled-back", 0.0, 0.0),
    ] {
        assert_eq!(held[&*of(outcome)], while_held, "{outcome}");
        assert_eq!(ended[&*of(outcome)], at_the_end, "{outcome}");
    }
    assert_eq!(ended["atrest_run_exit_code{run=\"sunday\"}"], 24.0);
    assert_eq!(
        ended["atrest_run_steps{run=\"sunday\",state=\"done\"}"],
        85.0
    );
    assert_eq!(ended["atrest_runs_unread"], 1.0);
    assert_eq!(
        ended["atrest_run_downtime_seconds{run=\"sunday\",migration=\"eu-central-1/prod-one\"}"],
        4980.0
    );
    assert!(!held.contains_key("atrest_run_exit_code{run=\"sunday\"}"));
}
