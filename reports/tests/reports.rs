//! Reports as a person, a pipe and a program get them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper of a test may panic"
)]

#[expect(clippy::print_stdout, reason = "a test says what was not run")]
mod browser;
mod formats;
mod samples;

use std::io::{self, Write};

use atrest_model::diff::DiffReport;
use atrest_model::scan::ScanReport;
use atrest_reports::{
    DiffFormat, EventLines, RunContext, RunFormat, RunView, ScanFormat, StepHistory, Style,
    is_broken_pipe,
};
use proptest::prelude::*;
use serde_json::json;

const WIDE: Style = style(Some(160));
const TERMINAL: Style = style(Some(80));
const PIPE: Style = style(None);

const fn style(width: Option<u16>) -> Style {
    Style {
        width,
        color: false,
        unicode: true,
    }
}

type Render = Box<dyn Fn(&Style, &mut dyn Write) -> io::Result<()>>;

/// Every text renderer on a set of reports.
fn texts(
    scan: ScanReport,
    diff: DiffReport,
    plan: atrest_model::plan::Plan,
    run: atrest_model::run::RunReport,
) -> Vec<(&'static str, Render)> {
    let scan_as = |format| -> Render {
        let scan = scan.clone();
        Box::new(move |style, out| atrest_reports::scan(&scan, format, style, out))
    };
    let diff_as = |format, only| -> Render {
        let diff = diff.clone();
        Box::new(move |style, out| atrest_reports::diff(&diff, format, only, style, out))
    };
    let run_as = |format| -> Render {
        let run = run.clone();
        Box::new(move |style, out| {
            atrest_reports::run_as(&run, &RunContext::default(), format, style, out)
        })
    };
    vec![
        ("scan-table", scan_as(ScanFormat::Table)),
        ("scan-csv", scan_as(ScanFormat::Csv)),
        ("scan-markdown", scan_as(ScanFormat::Markdown)),
        ("diff-text", diff_as(DiffFormat::Text, false)),
        ("diff-drift-only", diff_as(DiffFormat::Text, true)),
        ("diff-table", diff_as(DiffFormat::Table, false)),
        ("diff-csv", diff_as(DiffFormat::Csv, false)),
        ("diff-markdown", diff_as(DiffFormat::Markdown, false)),
        ("diff-junit", diff_as(DiffFormat::Junit, false)),
        (
            "plan",
            Box::new(move |style, out| atrest_reports::plan(&plan, style, out)),
        ),
        ("run-csv", run_as(RunFormat::Csv)),
        ("run-markdown", run_as(RunFormat::Markdown)),
        ("run-junit", run_as(RunFormat::Junit)),
        (
            "run",
            Box::new(move |style, out| atrest_reports::run(&run, style, out)),
        ),
    ]
}

/// Formats that look the same wherever they go.
fn is_for_programs(name: &str) -> bool {
    ["-csv", "-markdown", "-junit"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

fn realistic() -> Vec<(&'static str, Render)> {
    texts(
        samples::scan_report(),
        samples::diff_report(),
        samples::migration_plan(),
        samples::run_report(),
    )
}

fn hostile() -> Vec<(&'static str, Render)> {
    texts(
        samples::hostile_scan(),
        samples::hostile_diff(),
        samples::hostile_plan(),
        samples::hostile_run(),
    )
}

fn text(render: &Render, style: &Style) -> String {
    let mut out = Vec::new();
    render(style, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn scan_text(report: &ScanReport, format: ScanFormat, style: &Style) -> String {
    let mut out = Vec::new();
    atrest_reports::scan(report, format, style, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn diff_text(report: &DiffReport, format: DiffFormat, only: bool) -> String {
    let mut out = Vec::new();
    atrest_reports::diff(report, format, only, &TERMINAL, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn reports_look_like_this() {
    for (name, render) in realistic() {
        insta::assert_snapshot!(format!("{name}-80"), text(&render, &TERMINAL));
        if !is_for_programs(name) {
            insta::assert_snapshot!(format!("{name}-160"), text(&render, &WIDE));
            insta::assert_snapshot!(format!("{name}-pipe"), text(&render, &PIPE));
        }
    }
}

#[test]
fn events_look_like_this() {
    let mut lines = EventLines::new(TERMINAL);
    let text: Vec<String> = samples::events()
        .iter()
        .filter_map(|event| lines.line(event))
        .collect();
    insta::assert_snapshot!("events", text.join("\n"));
}

/// A run whose times are known: for a terminal, and for a chat.
#[test]
fn where_the_time_went_looks_like_this() {
    samples::timed_run(|document| {
        let text = |format, style: &Style| {
            let mut out = Vec::new();
            let (report, context) = (document.report, &document.context);
            atrest_reports::run_as(report, context, format, style, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let narrow = text(RunFormat::Table, &TERMINAL);
        assert!(
            narrow.lines().all(|line| line.chars().count() <= 80),
            "{narrow}"
        );
        insta::assert_snapshot!("run-times-80", narrow);
        insta::assert_snapshot!("run-times-160", text(RunFormat::Table, &WIDE));
        let markdown = text(RunFormat::Markdown, &PIPE);
        insta::assert_snapshot!(
            "run-times-markdown",
            markdown.split("\n### eu-").next().unwrap()
        );
        for times in document
            .report
            .migrations
            .iter()
            .filter_map(|m| m.times.as_ref())
        {
            let parts = times.copying_seconds
                + times.waiting_seconds
                + times.own_seconds
                + times.idle_seconds;
            assert!((parts - times.seconds).abs() < 0.001, "{times:?}");
            let kinds: f64 = times.kinds.iter().map(|kind| kind.seconds).sum();
            assert!((kinds + times.idle_seconds - times.seconds).abs() < 0.001);
        }
        // Ten minutes stopped.
        let stopped = document.report.migrations[2].times.as_ref().unwrap();
        assert!(stopped.idle_seconds >= 600.0, "{stopped:?}");
    });
}

/// A run that goes on, as the sample events tell it.
fn under_way() -> RunView {
    let plan = samples::migration_plan();
    let mut history = StepHistory::default();
    for step in &plan.migrations[1].steps {
        history.add(step, 100, if step.id == "restore" { 840.0 } else { 20.0 });
    }
    let mut view = RunView::new(&plan, history);
    let at = samples::ended();
    for event in samples::events().iter().take(4) {
        view.apply(at, event);
    }
    view
}

#[test]
fn a_run_under_way_looks_like_this() {
    let view = under_way();
    let now = samples::ended() + jiff::SignedDuration::from_secs(9);
    for (name, style) in [("80", TERMINAL), ("160", WIDE)] {
        let lines = view.table(now, &style, 24);
        for line in &lines {
            assert!(
                line.chars().count() <= usize::from(style.width.unwrap()),
                "{line}"
            );
        }
        insta::assert_snapshot!(format!("watch-{name}"), lines.join("\n"));
    }
    // However small the terminal, the headline stays and nothing is wider or higher.
    for (width, rows) in [(20, 4), (40, 3), (60, 1)] {
        let lines = view.table(now, &style(Some(width)), rows);
        assert!((1..=rows).contains(&lines.len()), "{lines:?}");
        assert!(
            lines
                .iter()
                .all(|line| line.chars().count() <= usize::from(width)),
            "{lines:?}"
        );
    }
    // In a pipe: all of it first, then what has changed, and nothing while only time passes.
    let first = view.changes(None, now, &PIPE);
    insta::assert_snapshot!("watch-pipe", first.join("\n"));
    let later = now + jiff::SignedDuration::from_mins(3);
    assert!(view.changes(Some(&view), later, &PIPE).is_empty());
    let mut ended = view.clone();
    for event in samples::events() {
        ended.apply(later, &event);
    }
    let changes = ended.changes(Some(&view), later, &PIPE);
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(changes[0].contains("a signal"), "{changes:?}");
}

#[test]
fn what_is_under_way_stays_on_a_small_terminal() {
    let mut plan = samples::migration_plan();
    let one = plan.migrations[1].clone();
    plan.migrations = (0..80)
        .map(|number| atrest_model::plan::Migration {
            id: format!("eu-central-1/prod-{number:02}"),
            ..one.clone()
        })
        .collect();
    let mut view = RunView::new(&plan, StepHistory::default());
    for number in 0..80 {
        let migration = format!("eu-central-1/prod-{number:02}");
        let event = match number {
            70..75 => atrest_model::event::RunEvent::Acted {
                migration,
                step: "snapshot".to_owned(),
                operation: "CreateDBSnapshot".to_owned(),
            },
            75 => atrest_model::event::RunEvent::MigrationEnded {
                migration,
                outcome: atrest_model::run::Outcome::ValidationFailed { drift: 2 },
            },
            _ => continue,
        };
        view.apply(samples::ended(), &event);
    }
    let lines = view.table(samples::ended(), &TERMINAL, 10);
    assert_eq!(lines.len(), 10, "{lines:?}");
    for number in 70..=75 {
        let name = format!("prod-{number}");
        assert!(
            lines.iter().any(|line| line.contains(&name)),
            "{name}: {lines:?}"
        );
    }
    assert_eq!(lines.last().unwrap(), "73 rows more");
}

#[test]
fn special_reports_look_like_this() {
    let table = |report| scan_text(&report, ScanFormat::Table, &TERMINAL);
    insta::assert_snapshot!("scan-incomplete", table(samples::incomplete_scan()));
    insta::assert_snapshot!("scan-empty", table(samples::empty_scan()));
    let unread = samples::unread_diff();
    insta::assert_snapshot!("diff-unread", diff_text(&unread, DiffFormat::Text, false));
    let mut out = Vec::new();
    atrest_reports::run(&samples::migrated_run(), &TERMINAL, &mut out).unwrap();
    insta::assert_snapshot!("run-migrated", String::from_utf8(out).unwrap());
}

#[test]
fn an_incomplete_scan_never_looks_clean() {
    let report = samples::incomplete_scan();
    for format in [ScanFormat::Table, ScanFormat::Markdown, ScanFormat::Csv] {
        let text = scan_text(&report, format, &PIPE);
        for needle in ["ap-east-1", "AccessDenied", "sa-east-1"] {
            assert!(text.contains(needle), "{format:?} lacks {needle}:\n{text}");
        }
    }
    let table = scan_text(&report, ScanFormat::Table, &PIPE);
    let total = table.lines().last().unwrap();
    assert!(
        total.contains("INCOMPLETE: 2 regions could not be read"),
        "{total}"
    );

    // Whatever the reason: an incomplete report says so, and the colour of its total is not that of a clean one.
    let color = Style {
        color: true,
        ..PIPE
    };
    let last = |report: &ScanReport| {
        let text = scan_text(report, ScanFormat::Table, &color);
        text.lines().last().unwrap().to_owned()
    };
    let mut clean = samples::incomplete_scan();
    clean.regions.truncate(2);
    clean.complete = true;
    let green = "\u{1b}[32m";
    assert!(last(&clean).contains(green));
    let unexplained = ScanReport {
        complete: false,
        ..clean.clone()
    };
    assert!(!last(&unexplained).contains(green));
    assert!(last(&unexplained).contains("INCOMPLETE"));
    assert!(!last(&samples::empty_scan()).contains(green));
    let nothing = ScanReport {
        regions: Vec::new(),
        ..samples::empty_scan()
    };
    assert!(last(&nothing).contains("NOTHING WAS SCANNED"));
}

#[test]
fn a_diff_that_was_not_wholly_read_never_looks_clean() {
    let report = samples::unread_diff();
    for (format, only) in [
        (DiffFormat::Text, false),
        (DiffFormat::Text, true),
        (DiffFormat::Table, false),
    ] {
        let text = diff_text(&report, format, only);
        assert!(text.contains("NOT READ: account"), "{text}");
        assert!(text.contains("INCOMPLETE"), "{text}");
    }
}

#[test]
fn every_drift_line_can_be_grepped() {
    let text = diff_text(&samples::diff_report(), DiffFormat::Text, false);
    let drift = text
        .lines()
        .filter(|line| line.starts_with(['-', '+', '~']) && line.get(2..7) == Some("drift"))
        .count();
    assert_eq!(drift, 10, "{text}");
    let only = diff_text(&samples::diff_report(), DiffFormat::Text, true);
    assert!(only.contains("MultiAZ") && !only.contains("KmsKeyId"));
    // A pair without drift is left away.
    assert!(!only.contains("prod-two"), "{only}");
}

#[test]
fn json_reads_back_as_it_was() {
    for report in [samples::scan_report(), samples::hostile_scan()] {
        let text = scan_text(&report, ScanFormat::Json, &TERMINAL);
        assert_eq!(serde_json::from_str::<ScanReport>(&text).unwrap(), report);
        assert!(!text.contains('\u{1b}'));
    }
    for report in [samples::diff_report(), samples::hostile_diff()] {
        let text = diff_text(&report, DiffFormat::Json, true);
        assert_eq!(serde_json::from_str::<DiffReport>(&text).unwrap(), report);
    }
}

#[test]
fn hostile_text_is_shown_and_not_obeyed() {
    let bad = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2066}\u{feff}".contains(c);
    for (name, render) in hostile() {
        for style in [TERMINAL, WIDE, PIPE] {
            let text = text(&render, &style);
            assert!(!text.contains(bad), "{name}:\n{text:?}");
            assert!(
                text.contains("\\u{202e}") || name.ends_with("-markdown"),
                "{name} hides it:\n{text}"
            );
        }
    }
}

#[test]
fn a_hostile_row_stays_one_row() {
    // One more line than there are resources, holes, and findings on what is not listed: the header.
    let report = samples::hostile_scan();
    let csv = scan_text(&report, ScanFormat::Csv, &PIPE);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), report.resources.len() + 2);
    assert_eq!(csv.lines().count(), records.len() + 1);
    for record in &records {
        for field in record {
            assert!(!field.starts_with(['=', '+', '-', '@']), "{field}");
        }
    }

    let markdown = scan_text(&report, ScanFormat::Markdown, &PIPE);
    assert!(!markdown.contains("<script>") && !markdown.contains("http://"));
    let columns = |line: &str| {
        let bare = line.replace("\\\\", "").replace("\\|", "");
        bare.matches('|').count()
    };
    let rows: Vec<usize> = markdown
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(columns)
        .collect();
    assert!(
        rows.iter().all(|count| [8, 4].contains(count)),
        "{markdown}"
    );
    assert_eq!(rows.len(), 2 * 4 + 8 + 1, "{markdown}");
}

#[test]
fn hostile_diffs_and_runs_stay_rows_and_cases() {
    let mut diff = samples::hostile_diff();
    // What MySQL holds need not be text; a value may be long.
    for difference in diff.pairs.iter_mut().flat_map(|pair| &mut pair.differences) {
        let invalid = String::from_utf8_lossy(b"\xff\xfe</failure>").into_owned();
        difference.new = Some(json!(format!("{invalid}{}", "=".repeat(4096))));
        difference.remedy = Some(samples::HOSTILE.to_owned());
        difference.controls = vec![atrest_model::finding::Control {
            publisher: samples::HOSTILE.to_owned(),
            id: samples::HOSTILE.to_owned(),
        }];
    }
    let run = samples::hostile_run();
    let csv = diff_text(&diff, DiffFormat::Csv, false);
    let rows = diff.pairs.iter().map(|pair| {
        let failed = pair.not_compared.iter().filter(|not| not.failed).count();
        pair.differences.len() + failed
    });
    let records = csv::Reader::from_reader(csv.as_bytes())
        .records()
        .map(Result::unwrap)
        .inspect(|record| {
            assert!(
                record.iter().all(|f| !f.starts_with(['=', '+', '-', '@'])),
                "{record:?}"
            );
        })
        .count();
    assert_eq!(records, rows.sum::<usize>());
    assert_eq!(csv.lines().count(), records + 1);
    let run_text = |format| {
        let mut out = Vec::new();
        atrest_reports::run_as(&run, &RunContext::default(), format, &PIPE, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        run_text(RunFormat::Csv).lines().count(),
        run.migrations.len() + 1
    );
    for (text, cases) in [
        (diff_text(&diff, DiffFormat::Junit, false), diff.pairs.len()),
        (run_text(RunFormat::Junit), run.migrations.len()),
    ] {
        let suites = junit_parser::from_reader(text.as_bytes()).unwrap();
        let all = suites.suites.iter().map(|suite| suite.cases.len());
        assert_eq!(all.sum::<usize>(), cases, "{text}");
    }
    for markdown in [
        diff_text(&diff, DiffFormat::Markdown, false),
        run_text(RunFormat::Markdown),
    ] {
        assert!(
            !markdown.contains("<script>") && !markdown.contains("http://"),
            "{markdown}"
        );
    }
}

#[test]
fn colours_change_nothing_but_the_colour() {
    for (name, render) in realistic() {
        for width in [Some(80), None] {
            let plain = text(&render, &style(width));
            let color = text(
                &render,
                &Style {
                    color: true,
                    ..style(width)
                },
            );
            assert_eq!(without_colour(&color), plain, "{name}");
        }
    }
}

/// The text without SGR sequences.
fn without_colour(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    // A table pads before it paints.
    let lines: Vec<&str> = plain.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

#[test]
fn ascii_is_enough() {
    let ascii = Style {
        unicode: false,
        ..TERMINAL
    };
    let mut diff = samples::diff_report();
    for difference in &mut diff.pairs[0].differences {
        difference.remedy = None;
    }
    let reports = texts(
        samples::scan_report(),
        diff,
        samples::migration_plan(),
        samples::run_report(),
    );
    for (name, render) in reports {
        let text = text(&render, &ascii);
        assert!(text.is_ascii(), "{name}:\n{text}");
    }
}

#[test]
fn in_80_columns_only_what_must_not_be_broken_is_longer() {
    for (name, render) in realistic() {
        if is_for_programs(name) {
            continue;
        }
        for line in text(&render, &TERMINAL).lines() {
            let fits = line.chars().count() <= 80;
            // Commands, ARNs, and names near the longest RDS allows.
            let whole = ["remedy: ", "arn:aws:", "with-a-rather-long-name"];
            assert!(
                fits || whole.iter().any(|what| line.contains(what)),
                "{name}: {line}"
            );
        }
    }
}

#[test]
fn values_of_4_kb_stay_readable_and_show_what_changed() {
    let policy = |last: &str| {
        let statements: Vec<String> = (0..60)
            .map(|n| format!("{{\"Sid\":\"s{n}\",\"Effect\":\"Allow\",\"Action\":\"rds:Describe*\",\"Resource\":\"*\"}}"))
            .collect();
        format!("[{},{last}]", statements.join(","))
    };
    let mut report = samples::diff_report();
    report.pairs.truncate(1);
    report.pairs[0].differences.truncate(1);
    let difference = &mut report.pairs[0].differences[0];
    difference.old = Some(json!(policy("1")));
    difference.new = Some(json!(policy("2")));
    let text = diff_text(&report, DiffFormat::Text, false);
    assert!(policy("1").len() > 4096);
    assert!(text.lines().count() < 20, "{text}");
    assert!(
        text.lines()
            .any(|l| l.starts_with('-') && l.ends_with("1]")),
        "{text}"
    );
    assert!(
        text.lines()
            .any(|l| l.starts_with('+') && l.ends_with("2]")),
        "{text}"
    );
}

/// A pipe whose reader has gone.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

#[test]
fn a_closed_pipe_is_known_as_one_in_every_format() {
    for (name, render) in realistic() {
        let error = render(&PIPE, &mut Closed).unwrap_err();
        assert!(is_broken_pipe(&error), "{name}: {error:?}");
    }
    let error = atrest_reports::scan(
        &samples::scan_report(),
        ScanFormat::Json,
        &PIPE,
        &mut Closed,
    )
    .unwrap_err();
    assert!(is_broken_pipe(&error), "{error:?}");
}

#[test]
fn replicas_in_a_circle_are_all_shown() {
    let mut report = samples::scan_report();
    for resource in &mut report.resources {
        resource.replica_of = Some(resource.identifier.clone());
    }
    let text = scan_text(&report, ScanFormat::Csv, &PIPE);
    for resource in &report.resources {
        assert!(text.contains(&resource.arn), "{}", resource.arn);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_from_outside_can_steer_the_terminal_or_break_a_row(evil in "(?s).{0,60}") {
        let mut report = samples::scan_report();
        report.resources.truncate(1);
        report.findings.clear();
        let resource = &mut report.resources[0];
        resource.identifier.clone_from(&evil);
        resource.region.clone_from(&evil);
        let arn = resource.arn.clone();
        report.regions[0].error = Some(evil.clone());
        let mut finding = samples::finding(
            &samples::resource("eu-central-1", "x", "mysql 8", atrest_model::instance::Encryption::None),
            atrest_model::finding::FindingStatus::NotEvaluated,
            &evil,
        );
        finding.resource = arn;
        report.findings.push(finding);

        let csv = scan_text(&report, ScanFormat::Csv, &PIPE);
        prop_assert_eq!(csv.lines().count(), 3);
        let mut diff = samples::diff_report();
        for difference in diff.pairs.iter_mut().flat_map(|pair| &mut pair.differences) {
            difference.path.clone_from(&evil);
            difference.new = Some(json!(evil));
        }
        let mut plan = samples::migration_plan();
        plan.migrations[0].notes.push(evil.clone());
        plan.left_out[0].reason.clone_from(&evil);
        for check in &mut plan.checks {
            check.subject.clone_from(&evil);
            check.detail.clone_from(&evil);
        }
        for (name, render) in texts(report, diff, plan, samples::run_report()) {
            for style in [TERMINAL, PIPE] {
                let text = text(&render, &style);
                prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{}: {:?}", name, text);
            }
        }
    }
}
