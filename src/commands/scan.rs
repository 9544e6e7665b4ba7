//! `atrest scan`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use atrest_model::finding::{Change, Control, Finding, FindingStatus, Severity};
use atrest_model::instance::tags_of;
use atrest_model::scan::{ResourceKind, SCHEMA_VERSION, ScanReport, WaiverNoteKind};
use atrest_model::{Tool, baseline};
use atrest_policies::{Controls, CustomPolicies, Fleet, Subject, Waivers};
use atrest_reports::{Output, PreviousFindings, Rule, RuleControls, ScanContext, ScanFormat};
use atrest_scanner::aws::Aws;
use atrest_scanner::error::AwsErrorKind;
use atrest_scanner::inventory::{self, Inventory};
use jiff::tz::TimeZone;

use super::common;
use crate::cli::{ScanArgs, SeverityArg};
use crate::exit::{Exit, ExpectedError};

pub(crate) async fn run(args: ScanArgs) -> anyhow::Result<Exit> {
    let outputs = args
        .format
        .iter()
        .map(|text| {
            Output::<ScanFormat>::parse(text).map_err(|e| {
                ExpectedError::usage(e.to_string(), "`atrest scan --help` lists the formats")
            })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    // Before the scan: a file that cannot be read must not cost a night.
    let previous = outputs
        .iter()
        .map(previous)
        .collect::<anyhow::Result<Vec<_>>>()?;
    let judgement = Judgement::read(&args)?;
    let aws = common::aws(&args.aws).await?;
    let identity = aws.identity().await.map_err(|error| match error.kind {
        AwsErrorKind::Credentials => ExpectedError::aws(&error),
        _ => ExpectedError::of(Exit::NothingScanned, error.to_string(), error.hint()),
    })?;
    let regions = common::regions(&aws, &args.aws).await?;
    let (mut report, inventory) = scan(&aws, &identity.account, &regions).await;
    judgement.apply(&mut report, &inventory)?;
    let mut rules = rules();
    rules.extend(judgement.rules());
    for (output, previous) in outputs.iter().zip(&previous) {
        let context = ScanContext {
            rules: &rules,
            previous: previous.as_ref(),
        };
        write(&report, &context, output)?;
    }
    if let Some(path) = &args.save {
        common::deliver(Some(path), &common::json(&report)?)?;
    }
    let counts = |finding: &Finding| {
        finding.severity >= severity(args.fail_on)
            && !(args.fail_on_new && finding.change == Some(Change::Unchanged))
    };
    Ok(verdict(&report, counts, args.exit_zero))
}

/// What the operator adds to the built-in verdict. Read before the scan: a mistake must not cost a night.
struct Judgement {
    policies: Option<CustomPolicies>,
    waivers: Waivers,
    baseline: Option<(PathBuf, ScanReport)>,
}

impl Judgement {
    fn read(args: &ScanArgs) -> anyhow::Result<Self> {
        let policies = args
            .policies
            .as_deref()
            .map(CustomPolicies::read)
            .transpose()
            .map_err(|error| {
                let cause = std::error::Error::source(&error);
                let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
                ExpectedError::usage(
                    format!("{error}{cause}"),
                    "docs/custom-policies.md says what a policy looks like; nothing was scanned",
                )
            })?;
        let known = |id: &str| {
            atrest_policies::registry()
                .iter()
                .any(|policy| policy.meta().id == id)
                || policies
                    .iter()
                    .flat_map(CustomPolicies::metas)
                    .any(|meta| meta.id == id)
        };
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(|error| {
                ExpectedError::usage(
                    format!("cannot read {}: {error}", path.display()),
                    "check the name; nothing was scanned",
                )
            })
        };
        let waivers = match &args.waivers {
            None => Waivers::default(),
            Some(path) => Waivers::parse(path, &read(path)?, known).map_err(|error| {
                ExpectedError::usage(
                    error.to_string(),
                    "docs/waivers.md says what a waiver looks like; nothing was scanned",
                )
            })?,
        };
        let baseline = match &args.baseline {
            None => None,
            Some(path) => {
                let report = serde_json::from_str(&read(path)?).map_err(|error| {
                    ExpectedError::usage(
                        format!("{} is no scan report: {error}", path.display()),
                        "give a file written by `atrest scan --save`",
                    )
                })?;
                Some((path.clone(), report))
            }
        };
        Ok(Self {
            policies,
            waivers,
            baseline,
        })
    }

    fn apply(&self, report: &mut ScanReport, inventory: &Inventory) -> anyhow::Result<()> {
        let instances = || {
            inventory
                .regions
                .iter()
                .flat_map(|region| &region.instances)
        };
        let clusters = || inventory.regions.iter().flat_map(|region| &region.clusters);
        if let Some(policies) = &self.policies {
            let fleet = Fleet::new(instances(), clusters());
            let own = policies.evaluate(&inventory.account, &fleet, report.started);
            report.complete &= own
                .iter()
                .all(|finding| finding.status != FindingStatus::NotEvaluated);
            report.findings.extend(own);
            report
                .findings
                .sort_by(|a, b| (&a.resource, &a.policy).cmp(&(&b.resource, &b.policy)));
        }
        let documents: HashMap<&str, &serde_json::Value> = instances()
            .map(|instance| (instance.arn(), &instance.document))
            .chain(clusters().map(|cluster| (cluster.arn(), &cluster.document)))
            .collect();
        let today = TimeZone::UTC.to_datetime(report.started).date();
        report.waiver_notes = self.waivers.apply(&mut report.findings, today, |arn| {
            documents
                .get(arn)
                .map(|document| tags_of(document))
                .unwrap_or_default()
        });
        for note in &report.waiver_notes {
            match note.kind {
                WaiverNoteKind::Expired => tracing::warn!(
                    "the waiver at {} of {} expired on {}: {} findings are back",
                    note.place,
                    note.owner,
                    note.expires,
                    note.findings.len()
                ),
                WaiverNoteKind::Unused => tracing::warn!(
                    "the waiver at {} of {} matches nothing",
                    note.place,
                    note.owner
                ),
            }
        }
        if let Some((path, earlier)) = &self.baseline {
            baseline::compare(earlier, report).map_err(|error| {
                ExpectedError::usage(
                    format!("{} cannot be the baseline: {error}", path.display()),
                    "give a report of the same account, written by this version or an older one",
                )
            })?;
        }
        Ok(())
    }

    fn rules(&self) -> Vec<Rule> {
        let metas = self.policies.iter().flat_map(CustomPolicies::metas);
        metas
            .map(|meta| Rule {
                id: meta.id.to_owned(),
                title: meta.title.to_owned(),
                severity: meta.severity,
                help: meta
                    .remedy
                    .map(|remedy| format!("**Fix.** {remedy}\n"))
                    .unwrap_or_default(),
                help_uri: None,
                controls: vec![RuleControls {
                    kind: meta.kind,
                    engine: None,
                    controls: Vec::new(),
                }],
            })
            .collect()
    }
}

/// Writes one report, piece by piece.
fn write(
    report: &ScanReport,
    context: &ScanContext<'_>,
    output: &Output<ScanFormat>,
) -> anyhow::Result<()> {
    let Some(path) = &output.path else {
        let style = common::stdout_style();
        let mut stdout = std::io::stdout().lock();
        atrest_reports::scan_with(report, context, output.format, &style, &mut stdout)?;
        return Ok(());
    };
    atrest_reports::write_atomically_with(path, |out| {
        atrest_reports::scan_with(report, context, output.format, &common::file_style(), out)
    })
    .map_err(|error| {
        ExpectedError::usage(
            format!("cannot write {}: {error}", path.display()),
            "check the folder and the disk",
        )
    })
}

/// The findings of the night before: the file that an ASFF report is about to replace.
fn previous(output: &Output<ScanFormat>) -> anyhow::Result<Option<PreviousFindings>> {
    let (ScanFormat::Asff, Some(path)) = (output.format, &output.path) else {
        return Ok(None);
    };
    if !path.is_file() {
        return Ok(None);
    }
    let cannot = |error: String| {
        ExpectedError::usage(
            format!("cannot read the findings of {}: {error}", path.display()),
            "they tell when a finding was seen first; move the file away to begin anew",
        )
    };
    let file = std::fs::File::open(path).map_err(|error| cannot(error.to_string()))?;
    let previous = PreviousFindings::read(file).map_err(|error| cannot(error.to_string()))?;
    Ok(Some(previous))
}

/// Page of every policy.
const PAGES: &[(&str, &str)] = &[(
    "storage-unencrypted",
    include_str!("../../docs/policies/storage-unencrypted.md"),
)];

/// The policies as reports speak of them.
pub(crate) fn rules() -> Vec<Rule> {
    let controls = |controls: &Controls| {
        let (kind, engine) = match controls.subject {
            Subject::DbInstance => (ResourceKind::DbInstance, None),
            Subject::DbCluster => (ResourceKind::DbCluster, None),
            Subject::NeptuneCluster => (ResourceKind::DbCluster, Some("neptune")),
            Subject::DocDbCluster => (ResourceKind::DbCluster, Some("docdb")),
        };
        let control = |(publisher, id): &(&str, &str)| Control {
            publisher: (*publisher).to_owned(),
            id: (*id).to_owned(),
        };
        RuleControls {
            kind,
            engine: engine.map(str::to_owned),
            controls: controls.ids.iter().map(control).collect(),
        }
    };
    atrest_policies::registry()
        .iter()
        .map(|policy| {
            let meta = policy.meta();
            let page = PAGES.iter().find(|(id, _)| *id == meta.id);
            let help = page.map_or("", |(_, page)| *page);
            Rule {
                id: meta.id.to_owned(),
                title: meta.title.to_owned(),
                severity: meta.severity,
                help: help.to_owned(),
                help_uri: first_link(help),
                controls: meta.controls.iter().map(controls).collect(),
            }
        })
        .collect()
}

/// Where the first reference of a page leads.
fn first_link(page: &str) -> Option<String> {
    let (_, references) = page.split_once("## References")?;
    let (_, link) = references.split_once("](")?;
    let (link, _) = link.split_once(')')?;
    Some(link.to_owned())
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
        unread: Vec::new(),
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
fn verdict(report: &ScanReport, counts: impl Fn(&Finding) -> bool, exit_zero: bool) -> Exit {
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
        .any(|f| f.status == FindingStatus::Fail && counts(f));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_has_its_page_and_a_reference_in_reports() {
        let rules = rules();
        assert_eq!(rules.len(), atrest_policies::registry().len());
        for rule in rules {
            assert!(
                rule.help.starts_with(&format!("# {}\n", rule.id)),
                "{}",
                rule.id
            );
            assert!(rule.help_uri.is_some_and(|uri| uri.starts_with("https://")));
            assert!(!rule.controls.is_empty(), "{}", rule.id);
        }
    }

    #[test]
    fn an_asff_file_that_cannot_be_read_stops_before_the_scan() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("findings.json");
        let output = Output {
            format: ScanFormat::Asff,
            path: Some(path.clone()),
        };
        assert!(previous(&output).unwrap().is_none());
        std::fs::write(&path, "[]").unwrap();
        assert!(
            previous(&output)
                .unwrap()
                .is_some_and(|found| found.is_empty())
        );
        std::fs::write(&path, "half a fi").unwrap();
        assert!(previous(&output).is_err());
    }
}
