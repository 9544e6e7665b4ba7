//! `atrest report`: saved scans, diffs and runs, shown again.

mod evidence;
mod run;
mod saved;

use std::io::Write;

use atrest_reports::{
    DiffFormat, Output, ReportFormat, RunContext, ScanContext, ScanFormat, Style,
};

use super::{common, scan};
use crate::cli::ReportArgs;
use crate::exit::{Exit, ExpectedError};

pub(crate) use run::SavedRun;
pub(crate) use saved::Saved;

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
    for output in &outputs {
        write(&saved, output)?;
    }
    Ok(Exit::Ok)
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

fn write(saved: &Saved, output: &Output<ReportFormat>) -> anyhow::Result<()> {
    let style = common::style_of(output);
    let render = |out: &mut dyn Write| render(saved, output.format, &style, out);
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

fn render(
    saved: &Saved,
    format: ReportFormat,
    style: &Style,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let rules = scan::rules();
    let context = ScanContext {
        rules: &rules,
        previous: None,
    };
    let (of_scan, of_diff) = match format {
        ReportFormat::Table => (ScanFormat::Table, DiffFormat::Table),
        ReportFormat::Text => (ScanFormat::Table, DiffFormat::Text),
        ReportFormat::Markdown => (ScanFormat::Markdown, DiffFormat::Markdown),
        ReportFormat::Json => (ScanFormat::Json, DiffFormat::Json),
        ReportFormat::Html => (ScanFormat::Html, DiffFormat::Html),
        ReportFormat::Scan(format) => (format, DiffFormat::Table),
    };
    for scan in &saved.scans {
        atrest_reports::scan_with(&scan.document, &context, of_scan, style, out)?;
    }
    for run in &saved.runs {
        let SavedRun {
            report,
            plan,
            steps,
            diff,
        } = &run.document;
        let context = RunContext {
            plan: plan.as_ref(),
            steps,
            diff: diff.as_ref(),
        };
        match format {
            ReportFormat::Json => {
                out.write_all(&common::json(report).map_err(std::io::Error::other)?)?
            }
            ReportFormat::Html => atrest_reports::run_page(report, &context, out)?,
            _ => atrest_reports::run(report, style, out)?,
        }
    }
    for diff in &saved.diffs {
        atrest_reports::diff(&diff.document, of_diff, false, style, out)?;
    }
    Ok(())
}
