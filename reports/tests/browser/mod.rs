//! Pages in a real Chromium. The checks are in Python beside this file, each with a line of its own; what they need is
//! installed by `install.sh`. `ATREST_BROWSER=none` says that there is no browser here.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use atrest_model::scan::ScanReport;
use atrest_reports::{
    History, MarkKind, PlanFormat, Report, RunContext, RunDocument, RunMark, ScanFormat, plan_as,
    report_page, run_page, write_atomically_with,
};
use jiff::{SignedDuration, Timestamp};

use crate::formats::{STYLE, rules};
use crate::samples;

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser");

/// The Python that has the driver; `None` when somebody said that there is no browser.
fn python() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = match set("ATREST_BROWSER") {
        Some(none) if none == "none" => return None,
        Some(folder) => PathBuf::from(folder),
        None => set("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")))
            .unwrap()
            .join("atrest/browser"),
    };
    let wanted = std::fs::read_to_string(Path::new(HERE).join("requirements.txt")).unwrap();
    let installed = std::fs::read_to_string(folder.join("requirements.txt"));
    assert!(
        installed
            .as_ref()
            .is_ok_and(|installed| *installed == wanted),
        "the browser's driver in {} is not there or out of date ({installed:?}): run reports/tests/browser/install.sh, \
         or set ATREST_BROWSER=none to do without",
        folder.display()
    );
    Some(folder.join("venv/bin/python"))
}

/// Runs one group of checks on the pages of a folder. Its deadline is in the script.
fn checks(group: &str, pages: &Path) {
    let Some(python) = python() else {
        println!("NOT RUN: browser {group} (ATREST_BROWSER=none)");
        return;
    };
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    std::fs::create_dir_all(&shots).unwrap();
    let home = tempfile::tempdir().unwrap();
    let done = Command::new(&python)
        .arg("-B")
        .arg(Path::new(HERE).join("checks.py"))
        .args([group.as_ref(), pages.as_os_str(), shots.as_os_str()])
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("PYTHONUNBUFFERED", "1")
        .env("PYTHONIOENCODING", "utf-8")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success(),
        "{group}: {}\n{said}\n{}",
        done.status,
        String::from_utf8_lossy(&done.stderr)
    );
    let good = said.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(
        good > 2,
        "{good} checks of {group} were carried out\n{said}"
    );
    println!("{good} checks of {group}");
}

fn write(folder: &Path, name: &str, report: &Report<'_>) {
    write_atomically_with(&folder.join(name), |out| report_page(report, out)).unwrap();
}

/// The fleet of the samples, `days` earlier, with some of it not yet mended.
fn night(days: i64) -> ScanReport {
    let mut scan = samples::fleet();
    let back = SignedDuration::from_hours(24 * days);
    scan.started = scan.started.checked_sub(back).unwrap();
    let mended = usize::try_from(days / 3).unwrap();
    let more: Vec<_> = scan
        .resources
        .iter()
        .filter(|resource| !scan.findings.iter().any(|f| f.resource == resource.arn))
        .take(mended)
        .map(|resource| {
            let status = atrest_model::finding::FindingStatus::Fail;
            samples::finding(resource, status, "StorageEncrypted is false")
        })
        .collect();
    scan.findings.extend(more);
    scan
}

/// Everything on one page.
fn full_page(folder: &Path) {
    let mut history = History::default();
    for days in [0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 20] {
        history.add(&night(days));
    }
    let (before, after) = (night(12), night(0));
    let (diff, rules) = (samples::diff_report(), rules());
    samples::timed_run(|run| {
        write(
            folder,
            "full.html",
            &Report {
                scans: &[&before, &after],
                runs: &[*run],
                diffs: &[&diff],
                history: Some(&history),
                rules: &rules,
            },
        );
    });
}

/// Text as an attacker would choose it, on every part of a page.
fn hostile_page(folder: &Path) {
    let mut scan = samples::hostile_scan();
    let long = "<img src=x onerror=alert(1)>".repeat(160);
    scan.resources[0].engine_version = long.clone();
    scan.resources[0].members = vec![long];
    let earlier = ScanReport {
        started: scan
            .started
            .checked_sub(SignedDuration::from_hours(24))
            .unwrap(),
        findings: Vec::new(),
        ..scan.clone()
    };
    let mut history = History::default();
    history.add(&earlier);
    history.add(&scan);
    let (diff, run) = (samples::hostile_diff(), samples::hostile_run());
    let steps = atrest_reports::StepTime::of_journal(run.migrations.iter().map(|migration| {
        let status = atrest_model::journal::StepStatus::Intended;
        (
            migration.migration.as_str(),
            samples::HOSTILE,
            status,
            Timestamp::UNIX_EPOCH,
        )
    }));
    let marks: Vec<RunMark> = run
        .migrations
        .iter()
        .map(|migration| RunMark {
            migration: migration.migration.clone(),
            step: samples::HOSTILE.to_owned(),
            at: Timestamp::UNIX_EPOCH,
            kind: MarkKind::Retry,
            reason: samples::HOSTILE.to_owned(),
        })
        .collect();
    let context = RunContext {
        plan: None,
        steps: &steps,
        marks: &marks,
        diff: None,
    };
    write(
        folder,
        "hostile.html",
        &Report {
            scans: &[&earlier, &scan],
            runs: &[RunDocument {
                report: &run,
                context,
            }],
            diffs: &[&diff],
            history: Some(&history),
            rules: &[],
        },
    );
}

#[test]
fn a_page_is_used_with_mouse_and_keyboard_and_without_scripts() {
    let folder = tempfile::tempdir().unwrap();
    full_page(folder.path());
    checks("use", folder.path());
}

#[test]
fn a_page_is_accessible_in_both_schemes_and_widths() {
    let folder = tempfile::tempdir().unwrap();
    full_page(folder.path());
    let incomplete = samples::incomplete_scan();
    write(
        folder.path(),
        "incomplete.html",
        &Report {
            scans: &[&incomplete],
            ..Report::default()
        },
    );
    // A run that has not begun, and one without migrations.
    let mut run = samples::run_report();
    let plan = samples::migration_plan();
    let context = RunContext {
        plan: Some(&plan),
        ..RunContext::default()
    };
    write_atomically_with(&folder.path().join("begun.html"), |out| {
        run_page(&run, &context, out)
    })
    .unwrap();
    run.migrations.clear();
    write_atomically_with(&folder.path().join("empty.html"), |out| {
        run_page(&run, &context, out)
    })
    .unwrap();
    let plan = samples::migration_plan();
    write_atomically_with(&folder.path().join("plan.html"), |out| {
        plan_as(&plan, PlanFormat::Html, &STYLE, out)
    })
    .unwrap();
    checks("look", folder.path());
}

#[test]
fn hostile_text_is_seen_and_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    hostile_page(folder.path());
    checks("hostile", folder.path());
}

#[test]
fn twenty_thousand_findings_can_be_searched_and_sorted() {
    let folder = tempfile::tempdir().unwrap();
    let mut scan = samples::fleet();
    let (one, found) = (scan.resources[0].clone(), scan.findings[0].clone());
    for index in scan.resources.len()..20_000 {
        let mut resource = one.clone();
        resource.identifier = format!("prod-{index:05}");
        resource.arn = format!("{}-{index:05}", one.arn);
        let mut finding = found.clone();
        finding.resource.clone_from(&resource.arn);
        scan.resources.push(resource);
        scan.findings.push(finding);
    }
    write_atomically_with(&folder.path().join("large.html"), |out| {
        atrest_reports::scan(&scan, ScanFormat::Html, &STYLE, out)
    })
    .unwrap();
    checks("large", folder.path());
}
