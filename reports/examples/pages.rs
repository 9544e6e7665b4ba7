//! Writes a page of every kind into a folder, to be looked at: `cargo run -p atrest-reports --example pages FOLDER
//! [RESOURCES]`. With a number, the scan is as large.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the samples are those of the tests"
)]

#[expect(dead_code, reason = "the tests use all of them")]
#[path = "../tests/samples/mod.rs"]
mod samples;

use std::error::Error;
use std::path::Path;

use atrest_reports::{
    DiffFormat, PlanFormat, RunContext, ScanFormat, Style, write_atomically_with,
};

const STYLE: Style = Style {
    width: None,
    color: false,
    unicode: true,
};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("which folder?")?;
    let folder = Path::new(&folder);
    let mut scan = samples::fleet();
    if let Some(amount) = std::env::args().nth(2) {
        let amount: usize = amount.parse()?;
        let (one, found) = (scan.resources[0].clone(), scan.findings[0].clone());
        for index in 0..amount.saturating_sub(scan.resources.len()) {
            let mut resource = one.clone();
            resource.identifier = format!("prod-{index:05}");
            resource.arn = format!("{}-{index:05}", one.arn);
            let mut finding = found.clone();
            finding.resource.clone_from(&resource.arn);
            scan.resources.push(resource);
            scan.findings.push(finding);
        }
    }
    for (name, scan) in [
        ("scan", scan),
        ("hostile-scan", samples::hostile_scan()),
        ("incomplete", samples::incomplete_scan()),
    ] {
        write_atomically_with(&folder.join(format!("{name}.html")), |out| {
            atrest_reports::scan(&scan, ScanFormat::Html, &STYLE, out)
        })?;
    }
    for (name, diff) in [
        ("diff", samples::diff_report()),
        ("hostile-diff", samples::hostile_diff()),
    ] {
        write_atomically_with(&folder.join(format!("{name}.html")), |out| {
            atrest_reports::diff(&diff, DiffFormat::Html, false, &STYLE, out)
        })?;
    }
    for (name, plan) in [
        ("plan", samples::migration_plan()),
        ("hostile-plan", samples::hostile_plan()),
    ] {
        write_atomically_with(&folder.join(format!("{name}.html")), |out| {
            atrest_reports::plan_as(&plan, PlanFormat::Html, &STYLE, out)
        })?;
    }
    let diff = samples::diff_report();
    let mut written = Ok(());
    samples::timed_run(|document| {
        let context = RunContext {
            diff: Some(&diff),
            ..document.context
        };
        written = write_atomically_with(&folder.join("run.html"), |out| {
            atrest_reports::run_page(document.report, &context, out)
        });
    });
    Ok(written?)
}
