//! Pages, read by the parser of a browser engine.

use atrest_reports::{
    DiffFormat, PlanFormat, Report, RunContext, RunDocument, ScanFormat, plan_as, report_page,
    run_page,
};
use base64::Engine as _;
use scraper::{Html, Selector};
use sha2::Digest as _;

use super::{STYLE, render, scans};
use crate::samples;

fn select(page: &Html, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).unwrap();
    page.select(&selector)
        .map(|found| found.text().collect())
        .collect()
}

fn count(page: &Html, selector: &str) -> usize {
    select(page, selector).len()
}

fn diff_page(report: &atrest_model::diff::DiffReport, drift_only: bool) -> String {
    let mut out = Vec::new();
    atrest_reports::diff(report, DiffFormat::Html, drift_only, &STYLE, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn run(report: &atrest_model::run::RunReport, context: &RunContext<'_>) -> String {
    let mut out = Vec::new();
    run_page(report, context, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn plan_page(plan: &atrest_model::plan::Plan) -> String {
    let mut out = Vec::new();
    plan_as(plan, PlanFormat::Html, &STYLE, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// A page of every kind, with realistic and with hostile text.
fn pages() -> Vec<(String, String)> {
    let mut pages: Vec<(String, String)> = scans()
        .into_iter()
        .map(|(name, scan)| (format!("scan {name}"), render(&scan, ScanFormat::Html)))
        .collect();
    pages.push((
        "fleet".to_owned(),
        render(&samples::fleet(), ScanFormat::Html),
    ));
    for (name, diff) in [
        ("diff", samples::diff_report()),
        ("diff unread", samples::unread_diff()),
        ("diff hostile", samples::hostile_diff()),
    ] {
        pages.push((name.to_owned(), diff_page(&diff, false)));
    }
    let (steps, plan) = (samples::step_times(), samples::migration_plan());
    let mut hostile_steps = steps.clone();
    for step in &mut hostile_steps {
        step.migration = samples::HOSTILE.to_owned();
        step.step = samples::HOSTILE.to_owned();
    }
    let diff = samples::hostile_diff();
    for (name, report, steps) in [
        ("run", samples::run_report(), &steps),
        ("run hostile", samples::hostile_run(), &hostile_steps),
    ] {
        let context = RunContext {
            plan: Some(&plan),
            steps,
            marks: &[],
            diff: Some(&diff),
        };
        pages.push((name.to_owned(), run(&report, &context)));
    }
    samples::timed_run(|document| {
        let page = run(document.report, &document.context);
        pages.push(("run timed".to_owned(), page));
    });
    for (name, plan) in [
        ("plan", samples::migration_plan()),
        ("plan hostile", samples::hostile_plan()),
    ] {
        pages.push((name.to_owned(), plan_page(&plan)));
    }
    pages.push((
        "run bare".to_owned(),
        run(&samples::run_report(), &RunContext::default()),
    ));
    pages
}

#[test]
fn nothing_from_outside_becomes_markup_and_nothing_is_loaded() {
    for (name, text) in pages() {
        let hidden = text.chars().find(|c| c.is_control() && *c != '\n');
        assert!(hidden.is_none(), "{name}: {hidden:?}");
        assert!(
            !text.contains(['\u{202e}', '\u{2066}', '\u{feff}']),
            "{name}"
        );
        let page = Html::parse_document(&text);
        assert!(page.errors.is_empty(), "{name}: {:?}", page.errors);
        assert_eq!(count(&page, "script"), 1, "{name}");
        assert_eq!(count(&page, "style"), 1, "{name}");
        for element in page
            .tree
            .nodes()
            .filter_map(|node| node.value().as_element())
        {
            let tag = element.name();
            let loads = [
                "img", "iframe", "object", "embed", "link", "base", "audio", "video", "use",
            ];
            assert!(!loads.contains(&tag), "{name}: <{tag}>");
            for (attribute, value) in element.attrs() {
                assert!(
                    !attribute.starts_with("on") && attribute != "style",
                    "{name}: {attribute}"
                );
                assert!(attribute != "src", "{name}: {value}");
                assert!(
                    attribute != "href" || value.starts_with('#'),
                    "{name}: {value}"
                );
            }
        }
    }
}

#[test]
fn the_policy_allows_this_script_and_this_style_and_nothing_else() {
    let text = render(&samples::scan_report(), ScanFormat::Html);
    let page = Html::parse_document(&text);
    let selector = Selector::parse("meta[http-equiv=Content-Security-Policy]").unwrap();
    let policy = page
        .select(&selector)
        .next()
        .unwrap()
        .attr("content")
        .unwrap();
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(!policy.contains("unsafe"));
    for tag in ["script", "style"] {
        let inner = &select(&page, tag)[0];
        let digest = sha2::Sha256::digest(inner.as_bytes());
        let digest = base64::engine::general_purpose::STANDARD.encode(digest);
        assert!(
            policy.contains(&format!("{tag}-src 'sha256-{digest}'")),
            "{tag}: {policy}"
        );
    }
}

#[test]
fn the_page_of_a_scan_holds_every_resource_and_says_what_was_not_read() {
    let report = samples::scan_report();
    let page = Html::parse_document(&render(&report, ScanFormat::Html));
    assert_eq!(select(&page, "h1"), ["5 of 12 resources flagged"]);
    assert_eq!(count(&page, "#list > tbody > tr"), 12);
    assert_eq!(count(&page, "#list > tbody > tr.bad"), 5);
    assert_eq!(count(&page, "#list > tbody > tr.waived"), 1);
    let text = page.root_element().text().collect::<String>();
    for resource in &report.resources {
        assert!(text.contains(&resource.arn), "{}", resource.arn);
    }
    assert!(text.contains("replica of prod-one-replica-1"));

    let page = Html::parse_document(&render(&samples::incomplete_scan(), ScanFormat::Html));
    assert_eq!(
        select(&page, "h1"),
        ["Incomplete: 2 regions could not be read"]
    );
    assert!(select(&page, ".alarm")[0].contains("AccessDenied"));
    assert_eq!(count(&page, ".heat .unread"), 2);
    assert_eq!(count(&page, "header.bad"), 1);

    let page = Html::parse_document(&render(&samples::empty_scan(), ScanFormat::Html));
    assert_eq!(count(&page, "header.good"), 0);

    let page = Html::parse_document(&render(&super::waived_scan(), ScanFormat::Html));
    let waived = select(&page, "#list .waived .why");
    assert!(
        waived[0].contains("waived by team-shop until 2026-12-31"),
        "{waived:?}"
    );
    let states = select(&page, "#not-held td .count");
    assert_eq!(states, ["expired", "matches nothing"]);
}

#[test]
fn hostile_text_is_there_to_be_read() {
    let page = Html::parse_document(&render(&samples::hostile_scan(), ScanFormat::Html));
    let seen = "<script>alert(1)</script>|\"';`x`\\n\\u{1b}[31mred\\u{1b}]0;t\\u{7}\\u{202e}gnp";
    assert!(select(&page, "#list tbody th")[0].contains(seen));
    let page = Html::parse_document(&diff_page(&samples::hostile_diff(), false));
    assert!(select(&page, ".copy")[0].contains(seen));
}

#[test]
fn the_page_of_a_diff_shows_both_sides_and_opens_what_is_bad() {
    let page = Html::parse_document(&diff_page(&samples::diff_report(), false));
    assert_eq!(select(&page, "h1"), ["7 drifts in 1 of 2 pairs"]);
    assert_eq!(count(&page, "details.pair"), 2);
    assert_eq!(count(&page, "details.pair[open]"), 1);
    assert_eq!(count(&page, "tbody.drift td.old"), 7);
    assert!(select(&page, "td.old del").contains(&"3".to_owned()));
    assert!(select(&page, "td.new ins").contains(&"7".to_owned()));
    assert!(
        select(&page, ".copy")
            .iter()
            .any(|text| text.contains("--multi-az"))
    );
    // The reason is said once for all it explains.
    let because = select(&page, "details.pair[open] .because");
    assert_eq!(
        because
            .iter()
            .filter(|text| text.contains("purpose"))
            .count(),
        1
    );

    let page = Html::parse_document(&diff_page(&samples::diff_report(), true));
    assert_eq!(count(&page, "details.pair"), 1);
    assert_eq!(count(&page, "tbody.explained"), 0);

    let page = Html::parse_document(&diff_page(&samples::unread_diff(), false));
    assert_eq!(
        select(&page, "h1"),
        ["Incomplete: 1 pair was not wholly read"]
    );
    assert_eq!(count(&page, "p.alarm"), 1);
}

#[test]
fn the_page_of_a_diff_names_the_controls_that_a_drift_breaks() {
    let mut diff = samples::diff_report();
    for difference in diff.pairs.iter_mut().flat_map(|pair| &mut pair.differences) {
        difference.controls.clear();
    }
    let drift = diff.pairs[0]
        .differences
        .iter_mut()
        .find(|difference| difference.class == atrest_model::diff::DiffClass::Drift)
        .unwrap();
    drift.controls = ["RDS.5", "RDS.6"]
        .map(|id| atrest_model::finding::Control {
            publisher: "security-hub".to_owned(),
            id: id.to_owned(),
        })
        .to_vec();
    let page = Html::parse_document(&diff_page(&diff, false));
    let breaks: Vec<String> = select(&page, "tbody.drift tr.note p")
        .into_iter()
        .filter(|text| text.starts_with("Breaks"))
        .collect();
    assert_eq!(breaks.len(), 1, "{breaks:?}");
    assert!(
        breaks[0].contains("RDS.5") && breaks[0].contains("RDS.6"),
        "{breaks:?}"
    );
    assert_eq!(select(&page, "tbody.explained tr.note").len(), 0);
}

#[test]
fn the_page_of_a_plan_holds_every_step_with_its_arguments_and_every_check() {
    let plan = samples::migration_plan();
    let page = Html::parse_document(&plan_page(&plan));
    assert_eq!(
        select(&page, "h1"),
        ["2 migrations of 3 DB instances planned"]
    );
    let steps: usize = plan.migrations.iter().map(|one| one.steps.len()).sum();
    assert_eq!(
        count(&page, "dl.arguments") + count(&page, "details p.facts"),
        steps
    );
    let text = page.root_element().text().collect::<String>();
    for migration in &plan.migrations {
        for step in &migration.steps {
            assert!(text.contains(&step.id), "{}", step.id);
            let request = serde_json::to_value(&step.action).unwrap();
            for (name, value) in request["request"].as_object().into_iter().flatten() {
                assert!(text.contains(name.as_str()), "{name}");
                if let Some(value) = value.as_str() {
                    assert!(text.contains(value), "{name} {value}");
                }
            }
        }
        for note in &migration.notes {
            assert!(text.contains(note), "{note}");
        }
    }
    for check in &plan.checks {
        assert!(text.contains(&check.detail), "{}", check.detail);
    }
    for left in &plan.left_out {
        assert!(text.contains(&left.reason), "{}", left.reason);
    }
    let marks = select(&page, "tr.mark");
    assert_eq!(
        marks
            .iter()
            .filter(|text| text.contains("are away"))
            .count(),
        2
    );
    assert_eq!(
        marks
            .iter()
            .filter(|text| text.contains("are back"))
            .count(),
        2
    );

    // A check that blocks what is planned is the first thing that is said.
    let mut blocked = plan;
    blocked.checks[0].verdict = atrest_model::check::Verdict::Blocks;
    let page = Html::parse_document(&plan_page(&blocked));
    assert!(select(&page, "h1")[0].starts_with("Blocked"));
    assert_eq!(count(&page, "header.bad"), 1);
}

/// A run's plan and journal say what it has superseded; a name alone says nothing.
#[test]
fn what_a_run_has_superseded_is_told_apart_and_what_only_looks_like_it_is_not() {
    let mut scan = samples::scan_report();
    scan.complete = true;
    scan.regions.retain(|region| region.error.is_none());
    let old = samples::resource(
        "eu-central-1",
        "old-prod-one",
        "mysql 8.0.39",
        atrest_model::instance::Encryption::None,
    );
    let fail = atrest_model::finding::FindingStatus::Fail;
    scan.findings = vec![samples::finding(&old, fail, "StorageEncrypted is false")];
    scan.resources = vec![
        old,
        samples::resource(
            "eu-central-1",
            "prod-one",
            "mysql 8.0.39",
            atrest_model::instance::Encryption::SseKms,
        ),
    ];
    let page = |scan: &atrest_model::scan::ScanReport, runs: &[RunDocument<'_>]| {
        let mut out = Vec::new();
        let report = Report {
            scans: &[scan],
            runs,
            ..Report::default()
        };
        report_page(&report, &mut out).unwrap();
        Html::parse_document(&String::from_utf8(out).unwrap())
    };
    let alone = page(&scan, &[]);
    assert_eq!(select(&alone, "h1"), ["1 of 2 resources flagged"]);
    samples::timed_run(|document| {
        let mut report = document.report.clone();
        report.migrations.truncate(1);
        let told = page(
            &scan,
            &[RunDocument {
                report: &report,
                ..*document
            }],
        );
        assert_eq!(
            select(&told, "h1"),
            [
                "Nothing is flagged but what is superseded · 1 superseded by run sunday, kept as the way back until cleanup · The migration is done"
            ]
        );
        assert_eq!(count(&told, "header.odd"), 1);
        let row = select(&told, "#list tbody tr.bad").concat();
        assert!(
            row.contains(
                "superseded by prod-one in run sunday; kept as the way back until cleanup"
            ),
            "{row}"
        );

        let flagged = |scan: &atrest_model::scan::ScanReport,
                       report: &atrest_model::run::RunReport| {
            let document = RunDocument {
                report,
                ..*document
            };
            let h1 = select(&page(scan, &[document]), "h1").concat();
            assert!(h1.starts_with("1 of 2 resources flagged"), "{h1}");
            assert!(!h1.contains("superseded"), "{h1}");
        };
        // Of another account, of another name, from before the run, or of a migration that has not arrived.
        let mut other = scan.clone();
        other.resources[0].account = "999999999999".to_owned();
        flagged(&other, &report);
        let mut other = scan.clone();
        other.resources[0].identifier = "old-prod-four".to_owned();
        flagged(&other, &report);
        let mut other = scan.clone();
        other.started = "2026-11-20T02:00:00Z".parse().unwrap();
        flagged(&other, &report);
        let mut stopped = report.clone();
        stopped.migrations[0].outcome = atrest_model::run::Outcome::Stopped {
            step: "rescan".to_owned(),
            reason: "a signal".to_owned(),
        };
        flagged(&scan, &stopped);
    });
}

#[test]
fn the_page_of_a_run_says_where_its_time_went() {
    samples::timed_run(|document| {
        let page = Html::parse_document(&run(document.report, &document.context));
        assert_eq!(count(&page, "svg.spent"), document.report.migrations.len());
        let text = page.root_element().text().collect::<String>();
        assert!(text.contains("prod-one-replica-1"), "{text}");
        assert!(text.contains("so far"), "some are away still");
    });
}

#[test]
fn the_page_of_a_run_marks_when_clients_were_away() {
    let (steps, plan) = (samples::step_times(), samples::migration_plan());
    let context = RunContext {
        plan: Some(&plan),
        steps: &steps,
        marks: &[],
        diff: None,
    };
    let page = Html::parse_document(&run(&samples::run_report(), &context));
    assert_eq!(select(&page, "h1"), ["1 of 4 migrations done"]);
    assert_eq!(
        count(&page, "rect.down"),
        1,
        "only one of them is in the plan"
    );
    assert!(
        select(&page, "rect.down title")[0].starts_with("clients away from 23:00:16 UTC to 00:")
    );
    assert_eq!(
        count(&page, "rect.step") + count(&page, "rect.running"),
        steps.len()
    );
    assert_eq!(count(&page, "rect.running"), 2);
    assert_eq!(count(&page, "details.steps"), 4);

    // While the renames back are not seen, clients are away until the end.
    let unfinished: Vec<_> = steps
        .iter()
        .filter(|step| !step.step.starts_with("rename-new"))
        .cloned()
        .collect();
    let context = RunContext {
        steps: &unfinished,
        ..context
    };
    let page = Html::parse_document(&run(&samples::run_report(), &context));
    assert!(select(&page, "rect.down title")[0].contains("and still"));

    let page = Html::parse_document(&run(&samples::run_report(), &RunContext::default()));
    assert_eq!(count(&page, "svg.gantt"), 0);
}
