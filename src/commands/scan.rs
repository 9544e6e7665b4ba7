//! `atrest scan`.

use atrest_model::finding::{FindingStatus, Severity};
use atrest_model::scan::{SCHEMA_VERSION, ScanReport};
use atrest_model::{Tool, finding::Finding};
use atrest_reports::ScanFormat;
use atrest_scanner::aws::Aws;
use atrest_scanner::error::AwsErrorKind;
use atrest_scanner::inventory::{self, Inventory};

use super::common;
use crate::cli::{ScanArgs, SeverityArg};
use crate::exit::{Exit, ExpectedError};

pub(crate) async fn run(args: ScanArgs) -> anyhow::Result<Exit> {
    let outputs = args
        .format
        .iter()
        .map(|text| {
            atrest_reports::Output::<ScanFormat>::parse(text).map_err(|e| {
                ExpectedError::usage(e.to_string(), "`atrest scan --help` lists the formats")
            })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let aws = common::aws(&args.aws).await?;
    let identity = aws.identity().await.map_err(|error| match error.kind {
        AwsErrorKind::Credentials => ExpectedError::aws(&error),
        _ => ExpectedError::of(Exit::NothingScanned, error.to_string(), error.hint()),
    })?;
    let regions = common::regions(&aws, &args.aws).await?;
    let (report, _inventory) = scan(&aws, &identity.account, &regions).await;
    for output in outputs {
        let style = if output.path.is_some() {
            common::file_style()
        } else {
            common::stdout_style()
        };
        let mut bytes = Vec::new();
        atrest_reports::scan(&report, output.format, &style, &mut bytes)?;
        common::deliver(output.path.as_deref(), &bytes)?;
    }
    if let Some(path) = &args.save {
        common::deliver(Some(path), &common::json(&report)?)?;
    }
    Ok(verdict(&report, severity(args.fail_on), args.exit_zero))
}

/// Reads the regions and asks the policies.
pub(crate) async fn scan(aws: &Aws, account: &str, regions: &[String]) -> (ScanReport, Inventory) {
    let started = jiff::Timestamp::now();
    let inventory = inventory::read(aws, account, regions).await;
    let findings = findings(&inventory);
    let regions = inventory.region_rows();
    let complete = regions.iter().all(|region| region.error.is_none())
        && findings
            .iter()
            .all(|f| f.status != FindingStatus::NotEvaluated);
    let report = ScanReport {
        schema_version: SCHEMA_VERSION,
        tool: Tool::current(),
        started,
        complete,
        regions,
        resources: inventory.resources(),
        findings,
        baseline: None,
        waiver_notes: Vec::new(),
    };
    (report, inventory)
}

fn findings(inventory: &Inventory) -> Vec<Finding> {
    let instances = inventory
        .regions
        .iter()
        .flat_map(|region| &region.instances);
    let clusters = inventory.regions.iter().flat_map(|region| &region.clusters);
    atrest_policies::evaluate(instances, clusters)
}

/// Exit code of a scan. What could not be read is never clean, and nothing at all is never a pass.
fn verdict(report: &ScanReport, fail_on: Severity, exit_zero: bool) -> Exit {
    let failed = report
        .regions
        .iter()
        .filter(|region| region.error.is_some())
        .count();
    if report.regions.is_empty() || failed == report.regions.len() {
        return Exit::NothingScanned;
    }
    let mut exit = if report.complete {
        Exit::Ok
    } else {
        Exit::Incomplete
    };
    let fails = report
        .findings
        .iter()
        .any(|f| f.status == FindingStatus::Fail && f.severity >= fail_on);
    if fails && !exit_zero {
        exit = exit.max(Exit::Findings);
    }
    exit
}

fn severity(arg: SeverityArg) -> Severity {
    match arg {
        SeverityArg::Info => Severity::Info,
        SeverityArg::Low => Severity::Low,
        SeverityArg::Medium => Severity::Medium,
        SeverityArg::High => Severity::High,
        SeverityArg::Critical => Severity::Critical,
    }
}
