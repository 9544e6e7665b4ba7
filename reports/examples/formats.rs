//! How long each format takes for a large scan, and how much memory beside the scan itself.
//!
//! `cargo run --release -p atrest-reports --example formats [RESOURCES]` (100,000 without a number). Linux only: the
//! peak is read from `/proc/self/status` after it was set back by `/proc/self/clear_refs`.
#![expect(
    clippy::print_stdout,
    reason = "it is what a person runs to see numbers"
)]

use std::io::{self, Write};
use std::time::Instant;

use atrest_model::Tool;
use atrest_model::finding::{Control, Finding, FindingStatus, Severity};
use atrest_model::instance::Encryption;
use atrest_model::scan::{RegionScan, Resource, ResourceKind, SCHEMA_VERSION, ScanReport};
use atrest_reports::{Rule, RuleControls, ScanContext, ScanFormat, Style, scan_with};

const REGIONS: [&str; 8] = [
    "eu-central-1",
    "eu-west-1",
    "eu-north-1",
    "us-east-1",
    "us-east-2",
    "us-west-2",
    "ap-southeast-1",
    "ap-northeast-1",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let amount = std::env::args().nth(1);
    let amount = amount.as_deref().map_or(Ok(100_000), str::parse)?;
    match std::env::args().nth(2) {
        Some(format) => measure(amount, &format),
        None => measure_all(amount),
    }
}

/// Each format in a process of its own: memory that one has used would count for the next.
fn measure_all(amount: usize) -> Result<(), Box<dyn std::error::Error>> {
    println!("{amount} findings");
    println!("format      wall s   CPU s      MB   scan MiB   peak MiB");
    for (name, _) in ScanFormat::ALL {
        let status = std::process::Command::new(std::env::current_exe()?)
            .args([&amount.to_string(), *name])
            .status()?;
        if !status.success() {
            return Err(format!("{name} failed").into());
        }
    }
    Ok(())
}

fn measure(amount: usize, name: &str) -> Result<(), Box<dyn std::error::Error>> {
    let format: ScanFormat = name.parse()?;
    let rules = [Rule {
        id: "storage-unencrypted".to_owned(),
        title: "storage is not encrypted at rest".to_owned(),
        severity: Severity::High,
        help: "**Fix.** planned, needs downtime: `atrest plan`, then `atrest fix`.\n".to_owned(),
        help_uri: None,
        controls: vec![RuleControls {
            kind: ResourceKind::DbInstance,
            engine: None,
            controls: controls(),
        }],
    }];
    let context = ScanContext {
        rules: &rules,
        previous: None,
    };
    let style = Style {
        width: Some(160),
        color: false,
        unicode: true,
    };
    let report = report(amount)?;
    let held = memory("VmRSS:")?;
    std::fs::write("/proc/self/clear_refs", "5")?;
    let (begun, used) = (Instant::now(), processor()?);
    let mut out = Counted(0);
    scan_with(&report, &context, format, &style, &mut out)?;
    println!(
        "{name:<10} {:>7.3} {:>7.2} {:>7} {held:>10} {:>10}",
        begun.elapsed().as_secs_f64(),
        processor()? - used,
        out.0 / 1_000_000,
        memory("VmHWM:")?,
    );
    Ok(())
}

/// Seconds of a processor this process has used.
fn processor() -> Result<f64, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds: f64 = text.split_whitespace().next().ok_or("no number")?.parse()?;
    Ok(nanoseconds / 1e9)
}

/// Takes bytes and counts them.
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line of `/proc/self/status`, in MiB.
fn memory(name: &str) -> Result<u64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.ok_or("no such line")?.parse::<u64>()? / 1024)
}

/// As many controls as most findings have.
fn controls() -> Vec<Control> {
    ["RDS.3", "rds-storage-encrypted", "2.2.1", "SC-28(1)"]
        .into_iter()
        .map(|id| Control {
            publisher: "security-hub".to_owned(),
            id: id.to_owned(),
        })
        .collect()
}

fn report(amount: usize) -> Result<ScanReport, Box<dyn std::error::Error>> {
    let account = |index: usize| format!("{:012}", 111_122_223_333 + index % 40);
    let mut resources = Vec::with_capacity(amount);
    let mut findings = Vec::with_capacity(amount);
    for (index, region) in (0..amount).zip(REGIONS.iter().cycle()) {
        let account = account(index);
        let identifier = format!("prod-{index:06}-orders");
        let arn = format!("arn:aws:rds:{region}:{account}:db:{identifier}");
        findings.push(Finding {
            id: Finding::stable_id("storage-unencrypted", &arn),
            policy: "storage-unencrypted".to_owned(),
            severity: Severity::High,
            status: if index % 50 == 0 {
                FindingStatus::NotEvaluated
            } else {
                FindingStatus::Fail
            },
            reason: "StorageEncrypted is false: storage and backups are not encrypted at rest"
                .to_owned(),
            resource: arn.clone(),
            controls: controls().into(),
            waiver: None,
            change: None,
        });
        resources.push(Resource {
            arn,
            account,
            region: (*region).to_owned(),
            kind: ResourceKind::DbInstance,
            identifier,
            engine: ["mysql", "mariadb", "postgres"]
                .get(index % 3)
                .map_or_else(String::new, |engine| (*engine).to_owned()),
            engine_version: "8.0.39".to_owned(),
            class: Some("db.r6g.xlarge".to_owned()),
            status: "available".to_owned(),
            encryption: Encryption::None,
            kms_key_id: None,
            replica_of: (index % 5 == 1).then(|| format!("prod-{:06}-orders", index - 1)),
            source: None,
            members: Vec::new(),
        });
    }
    resources.sort_by(|a, b| a.arn.cmp(&b.arn));
    findings.sort_by(|a, b| a.resource.cmp(&b.resource));
    let regions = (0..40)
        .flat_map(|index| REGIONS.map(|region| (account(index), region)))
        .map(|(account, region)| RegionScan {
            account,
            region: region.to_owned(),
            error: None,
            resources: amount / (40 * REGIONS.len()),
            throttled: 0,
        })
        .collect();
    Ok(ScanReport {
        schema_version: SCHEMA_VERSION,
        tool: Tool::current(),
        started: "2026-11-22T02:00:00Z".parse()?,
        complete: false,
        policies: None,
        regions,
        resources,
        findings,
        baseline: None,
        waiver_notes: Vec::new(),
        unread: Vec::new(),
    })
}
