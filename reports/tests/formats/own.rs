//! Our own documents: their schemas are what the types say, and what is written is what the schemas say.

use std::path::Path;

use atrest_model::event::EventLine;
use atrest_reports::{RunFormat, ScanFormat, run_as, schemas};
use serde::Serialize;
use serde_json::{Value, json};

use super::closed::schema;
use super::{assert_valid, render, scans, validator};
use crate::samples;

#[test]
fn schemas_in_the_docs_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas");
    let mut names = Vec::new();
    for document in schemas() {
        let path = folder.join(format!("{}.json", document.name));
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let made = serde_json::to_string_pretty(&document.schema).unwrap() + "\n";
        assert!(
            text == made,
            "{} is not what the types say: cargo run -p atrest-reports --example schemas",
            path.display()
        );
        names.push(format!("{}.json", document.name));
    }
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&name), "{name} is a schema of nothing");
    }
}

#[test]
fn every_document_is_valid_against_its_schema() {
    fn check(name: &str, documents: impl IntoIterator<Item = impl Serialize>) {
        let schema = validator(&schema(name));
        for document in documents {
            assert_valid(&schema, &serde_json::to_value(document).unwrap(), name);
        }
    }
    check("scan", scans().into_iter().map(|(_, scan)| scan));
    check(
        "diff",
        [
            samples::diff_report(),
            samples::unread_diff(),
            samples::hostile_diff(),
        ],
    );
    check("plan", [samples::migration_plan(), samples::hostile_plan()]);
    check(
        "run",
        [
            samples::run_report(),
            samples::migrated_run(),
            samples::hostile_run(),
        ],
    );
    let lines = scans().into_iter().flat_map(|(_, scan)| {
        let text = render(&scan, ScanFormat::Jsonl);
        let lines: Vec<Value> = text
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        lines
    });
    check("scan-line", lines);
    let events = samples::events();
    let at = "2026-11-22T02:00:00Z".parse().unwrap();
    check(
        "event",
        events.iter().map(|event| EventLine {
            schema_version: atrest_model::event::SCHEMA_VERSION,
            run: "sunday",
            at,
            event,
        }),
    );
    samples::timed_run(|document| {
        check("run", [document.report]);
        let mut bytes = Vec::new();
        run_as(
            document.report,
            &document.context,
            RunFormat::Jsonl,
            &super::STYLE,
            &mut bytes,
        )
        .unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        // The run, its migrations, the DB instances that were away, the steps that have begun.
        let of = |kind: &str| {
            lines
                .iter()
                .filter(|line| line["record"]["type"] == kind)
                .count()
        };
        assert_eq!(of("run"), 1);
        assert_eq!(of("migration"), document.report.migrations.len());
        assert_eq!(of("step"), document.context.steps.len());
        assert!(of("instance") >= 2, "{text}");
        check("run-line", lines);
    });
}

#[test]
fn a_schema_refuses_what_is_wrong() {
    let scan = validator(&schema("scan"));
    let good = serde_json::to_value(samples::scan_report()).unwrap();
    for (pointer, value) in [
        ("/started", json!("yesterday")),
        ("/resources/0/encryption", json!("rot13")),
        ("/findings/0/severity", json!("very")),
        ("/regions/0/resources", json!(-1)),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert!(!scan.is_valid(&bad), "{pointer}");
    }
    let plan = validator(&schema("plan"));
    let mut bad = serde_json::to_value(samples::migration_plan()).unwrap();
    bad["migrations"][0]["steps"][0]["action"]["kind"] = json!("drop-everything");
    assert!(!plan.is_valid(&bad));
}

/// A spreadsheet gets a line for each step and for what is left out, and no cell that it would calculate.
#[test]
fn a_plan_for_spreadsheets_has_a_line_for_each_step() {
    let mut plan = samples::migration_plan();
    plan.migrations[0].id = "=1+1\n\u{202e}".to_owned();
    let mut bytes = Vec::new();
    atrest_reports::plan_as(
        &plan,
        atrest_reports::PlanFormat::Csv,
        &super::STYLE,
        &mut bytes,
    )
    .unwrap();
    let rows: Vec<csv::StringRecord> = csv::Reader::from_reader(bytes.as_slice())
        .records()
        .map(Result::unwrap)
        .collect();
    let steps: usize = plan.migrations.iter().map(|m| m.steps.len()).sum();
    assert_eq!(rows.len(), steps + plan.left_out.len());
    assert_eq!(&rows[0][3], plan.migrations[0].steps[0].id);
    let id = &rows[0][1];
    assert!(
        !id.starts_with('=') && !id.contains(['\n', '\u{202e}']),
        "{id}"
    );
}

/// The table of `docs/formats.md`: a column a verb, a row a format.
#[test]
fn the_docs_list_the_formats_that_each_verb_has() {
    use atrest_reports::{DiffFormat, FixFormat, PlanFormat, StatusFormat};
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/formats.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut rows = text
        .lines()
        .skip_while(|line| !line.starts_with("| format "))
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let header = rows.next().unwrap();
    assert_eq!(
        header[1..7],
        ["format", "scan", "plan", "diff", "fix", "status"]
    );
    let mut listed: [Vec<String>; 5] = Default::default();
    for row in rows.skip(1) {
        for (column, listed) in listed.iter_mut().enumerate() {
            if row[column + 2] == "yes" {
                listed.push(row[1].trim_matches('`').to_owned());
            }
        }
    }
    fn names<F>(all: &[(&str, F)]) -> Vec<String> {
        let mut names: Vec<String> = all.iter().map(|(name, _)| (*name).to_owned()).collect();
        names.sort();
        names
    }
    listed.iter_mut().for_each(|column| column.sort());
    assert_eq!(
        listed,
        [
            names(ScanFormat::ALL),
            names(PlanFormat::ALL),
            names(DiffFormat::ALL),
            names(FixFormat::ALL),
            names(StatusFormat::ALL)
        ]
    );
}
