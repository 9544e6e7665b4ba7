//! `atrest report`: saved scans, diffs and runs, shown again.

mod evidence;
mod history;
mod run;
mod saved;

use std::io::Write;

use atrest_reports::{
    DiffFormat, History, Output, Report, ReportFormat, Rule, ScanContext, ScanFormat, Style,
};

use super::{common, scan};
use crate::cli::ReportArgs;
use crate::exit::{Exit, ExpectedError};

pub(crate) use run::{SavedRun, events, present, step_times};
pub(crate) use saved::{Named, Saved};

pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<Exit> {
    if let Some(pack) = &args.verify {
        return evidence::verify(args, pack);
    }
    if let Some(out) = &args.evidence {
        return evidence::pack(args, out);
    }
    let outputs = common::outputs::<ReportFormat>(&args.format, "report")?;
    let saved = Saved::read(&args.saved, &args.state.state_dir)?;
    for output in &outputs {
        check(output.format, &saved)?;
    }
    let scans: Vec<_> = saved.scans.iter().map(|scan| &scan.document).collect();
    same_accounts(&saved)?;
    let history = match &args.history {
        None => None,
        Some(_) if scans.is_empty() => {
            return Err(ExpectedError::usage(
                "--history shows the trend of a scan, and no scan was given",
                "give the file of the latest `scan --save` too",
            ));
        }
        Some(folder) => Some(history::read(folder, &scans)?),
    };
    for output in &outputs {
        write(&saved, history.as_ref(), output)?;
    }
    Ok(Exit::Ok)
}

/// One page shows one fleet: scans of other accounts cannot be compared with each other.
fn same_accounts(saved: &Saved) -> anyhow::Result<()> {
    let Some((first, others)) = saved.scans.split_first() else {
        return Ok(());
    };
    let ours = history::accounts(&first.document);
    let stranger = others.iter().find(|scan| {
        let theirs = history::accounts(&scan.document);
        !theirs.is_empty() && !ours.is_empty() && theirs.is_disjoint(&ours)
    });
    match stranger {
        None => Ok(()),
        Some(scan) => Err(ExpectedError::usage(
            format!(
                "{} and {} are scans of different accounts",
                first.name, scan.name
            ),
            "make a report of each",
        )),
    }
}

/// Formats of programs hold one document.
fn check(format: ReportFormat, saved: &Saved) -> anyhow::Result<()> {
    let alone = saved.len() == 1;
    let fits = match format {
        ReportFormat::Table | ReportFormat::Text | ReportFormat::Markdown | ReportFormat::Html => {
            true
        }
        ReportFormat::Json => alone,
        ReportFormat::Scan(_) => alone && saved.scans.len() == 1,
    };
    if fits {
        return Ok(());
    }
    Err(ExpectedError::usage(
        format!(
            "format {} holds {}, and {} documents were given",
            format.as_str(),
            if matches!(format, ReportFormat::Json) {
                "one document"
            } else {
                "one scan"
            },
            saved.len()
        ),
        "table, text, markdown and html take several",
    ))
}

fn write(
    saved: &Saved,
    history: Option<&History>,
    output: &Output<ReportFormat>,
) -> anyhow::Result<()> {
    let style = common::style_of(output);
    let render = |out: &mut dyn Write| render(saved, history, output.format, &style, out);
    let Some(path) = &output.path else {
        render(&mut std::io::stdout().lock())?;
        return Ok(());
    };
    atrest_reports::write_atomically_with(path, render).map_err(|error| {
        ExpectedError::usage(
            format!("cannot write {}: {error}", path.display()),
            "check the folder and the disk",
        )
    })
}

/// Writes everything in one format. A page holds it as a whole; what else is for people stands below each other.
fn render(
    saved: &Saved,
    history: Option<&History>,
    format: ReportFormat,
    style: &Style,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let rules = scan::rules();
    if format == ReportFormat::Html {
        return page(saved, history, &rules, out);
    }
    let context = ScanContext {
        rules: &rules,
        previous: None,
    };
    let (of_scan, of_diff) = match format {
        ReportFormat::Table | ReportFormat::Html => (ScanFormat::Table, DiffFormat::Table),
        ReportFormat::Text => (ScanFormat::Table, DiffFormat::Text),
        ReportFormat::Markdown => (ScanFormat::Markdown, DiffFormat::Markdown),
        ReportFormat::Json => (ScanFormat::Json, DiffFormat::Json),
        ReportFormat::Scan(format) => (format, DiffFormat::Table),
    };
    let mut between = Between {
        several: saved.len() > 1,
        is_markdown: format == ReportFormat::Markdown,
        begun: false,
    };
    for scan in &saved.scans {
        between.write(&format!("Scan {}", scan.name), out)?;
        atrest_reports::scan_with(&scan.document, &context, of_scan, style, out)?;
    }
    for run in &saved.runs {
        between.write(&format!("Run {}", run.name), out)?;
        let document = run.document.document();
        match format {
            ReportFormat::Json => {
                let text = common::json(document.report).map_err(std::io::Error::other)?;
                out.write_all(&text)?;
            }
            ReportFormat::Markdown => {
                atrest_reports::run_markdown(document.report, &document.context, out)?;
            }
            _ => {
                atrest_reports::run(document.report, style, out)?;
                if !document.context.steps.is_empty() {
                    writeln!(out)?;
                    atrest_reports::run_steps(document.report, &document.context, style, out)?;
                }
            }
        }
    }
    for diff in &saved.diffs {
        between.write(&format!("Diff {}", diff.name), out)?;
        atrest_reports::diff(&diff.document, of_diff, false, style, out)?;
    }
    Ok(())
}

/// Says which document comes, where there are several.
struct Between {
    several: bool,
    is_markdown: bool,
    begun: bool,
}

impl Between {
    fn write(&mut self, title: &str, out: &mut dyn Write) -> std::io::Result<()> {
        if !self.several {
            return Ok(());
        }
        if self.begun {
            writeln!(out)?;
        }
        self.begun = true;
        let title = atrest_reports::printable(title);
        if self.is_markdown {
            writeln!(out, "## {}\n", atrest_reports::markdown(&title))
        } else {
            writeln!(out, "== {title}\n")
        }
    }
}

/// The page of everything.
pub(crate) fn page(
    saved: &Saved,
    history: Option<&History>,
    rules: &[Rule],
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let scans: Vec<_> = saved.scans.iter().map(|scan| &scan.document).collect();
    let runs: Vec<_> = saved
        .runs
        .iter()
        .map(|run| run.document.document())
        .collect();
    let diffs: Vec<_> = saved.diffs.iter().map(|diff| &diff.document).collect();
    let report = Report {
        scans: &scans,
        runs: &runs,
        diffs: &diffs,
        history,
        rules,
    };
    atrest_reports::report_page(&report, out)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;

    fn scan_of(account: &str, started: &str) -> Value {
        json!({
            "schema_version": 1, "tool": {"name": "atrest", "version": "0"}, "started": started, "complete": true,
            "regions": [{"account": account, "region": "eu-central-1", "error": null, "resources": 0}],
            "resources": [], "findings": []
        })
    }

    fn write_to(dir: &Path, name: &str, value: &Value) -> String {
        let path = dir.join(name);
        std::fs::write(&path, value.to_string()).unwrap();
        path.display().to_string()
    }

    #[test]
    fn documents_are_told_apart_and_what_is_none_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let tool = json!({"name": "atrest", "version": "0"});
        let files = [
            ("scan.json", scan_of("1", "2026-11-01T00:00:00Z")),
            (
                "diff.json",
                json!({"schema_version": 1, "tool": tool, "created": "2026-11-01T00:00:00Z", "pairs": []}),
            ),
            (
                "run.json",
                json!({"schema_version": 1, "tool": tool, "run": "r", "ended": "2026-11-01T00:00:00Z", "migrations": []}),
            ),
        ];
        let given: Vec<String> = files
            .iter()
            .map(|(name, value)| write_to(dir.path(), name, value))
            .collect();
        let saved = Saved::read(&given, dir.path()).unwrap();
        assert_eq!(
            (saved.scans.len(), saved.diffs.len(), saved.runs.len()),
            (1, 1, 1)
        );
        let mut page = Vec::new();
        super::page(&saved, None, &[], &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        for id in ["id=\"resources\"", "id=\"migrations\"", "id=\"pairs\""] {
            assert_eq!(page.matches(id).count(), 1, "{id}");
        }
        assert!(check(ReportFormat::Html, &saved).is_ok());
        assert!(check(ReportFormat::Json, &saved).is_err());
        assert!(check(ReportFormat::Scan(ScanFormat::Sarif), &saved).is_err());

        let mut newer = scan_of("1", "2026-11-01T00:00:00Z");
        newer["schema_version"] = json!(999);
        for (value, why) in [
            (newer, "schema version 999"),
            (json!({"schema_version": 1}), "neither a scan nor a diff"),
            (json!({"migrations": [], "digest": ""}), "a plan"),
            (json!([]), "no report that was saved as JSON"),
        ] {
            let file = write_to(dir.path(), "bad.json", &value);
            let error = Saved::read(std::slice::from_ref(&file), dir.path()).unwrap_err();
            let error = error.to_string();
            assert!(error.contains(&file) && error.contains(why), "{error}");
        }
        let error = Saved::read(&["no-such-run".to_owned()], dir.path()).unwrap_err();
        assert!(error.to_string().contains("no run of that name"), "{error}");
    }

    #[test]
    fn a_history_leaves_bad_and_foreign_files_out() {
        let dir = tempfile::tempdir().unwrap();
        for (name, value) in [
            ("a.json", scan_of("1", "2026-11-01T00:00:00Z")),
            ("b.json", scan_of("1", "2026-11-02T00:00:00Z")),
            ("again.json", scan_of("1", "2026-11-02T00:00:00Z")),
            ("other.json", scan_of("2", "2026-11-02T01:00:00Z")),
            ("bad.json", json!({"findings": 7, "schema_version": 1})),
            ("note.txt", json!("no scan")),
        ] {
            write_to(dir.path(), name, &value);
        }
        let now: atrest_model::scan::ScanReport =
            serde_json::from_value(scan_of("1", "2026-11-03T00:00:00Z")).unwrap();
        assert_eq!(history::read(dir.path(), &[&now]).unwrap().len(), 3);
        assert!(history::read(&dir.path().join("nowhere"), &[&now]).is_err());
    }
}
