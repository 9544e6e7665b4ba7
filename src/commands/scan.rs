//! `atrest scan`.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use atrest_model::finding::{Change, Finding, FindingStatus, Severity};
use atrest_model::instance::tags_of;
use atrest_model::scan::{ResourceKind, SCHEMA_VERSION, ScanReport, WaiverNoteKind};
use atrest_model::{Tool, baseline};
use atrest_policies::{CustomPolicies, Fleet, Settings, Waivers};
use atrest_reports::{Output, PreviousFindings, Rule, ScanContext, ScanFormat};
use atrest_scanner::aws::Aws;
use atrest_scanner::error::AwsErrorKind;
use atrest_scanner::inventory::{self, Inventory, RegionInventory};
use jiff::tz::TimeZone;

use super::{common, offline, policy};
use crate::cli::{ScanArgs, SeverityArg};
use crate::config::Config;
use crate::exit::{Exit, ExpectedError};
use crate::rules;

pub(crate) async fn run(args: ScanArgs, config: &Config) -> anyhow::Result<Exit> {
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
    let judgement = Judgement::read(&args, config)?;
    let kinds = kinds(&args.only_kinds)?;
    let started = jiff::Timestamp::now();
    let inventories = match &args.offline {
        Some(path) => offline::read(path, &kinds)?,
        None => vec![Box::pin(online(&args, &kinds)).await?],
    };
    let mut report = judged(started, &inventories, &judgement.settings);
    judgement.apply(&mut report, &inventories)?;
    let rules = judgement.rules(&inventories);
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
    settings: Settings,
    waivers: Waivers,
    baseline: Option<(PathBuf, ScanReport)>,
}

impl Judgement {
    fn read(args: &ScanArgs, config: &Config) -> anyhow::Result<Self> {
        let policies = args
            .policies
            .as_deref()
            .map(policy::read_custom)
            .transpose()?;
        let known = |id: &str| policy::is_known(id, policies.as_ref());
        let settings = config.settings(known)?;
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
            settings,
            waivers,
            baseline,
        })
    }

    fn apply(&self, report: &mut ScanReport, inventories: &[Inventory]) -> anyhow::Result<()> {
        if let Some(policies) = &self.policies {
            for inventory in inventories {
                let (account, fleet) = (&inventory.account, fleet(inventory));
                let own = policies.evaluate(account, &fleet, report.started, &self.settings);
                report.complete &= own
                    .iter()
                    .all(|finding| finding.status != FindingStatus::NotEvaluated);
                report.findings.extend(own);
            }
            report
                .findings
                .sort_by(|a, b| (&a.resource, &a.policy).cmp(&(&b.resource, &b.policy)));
        }
        let documents: HashMap<Cow<'_, str>, &serde_json::Value> = inventories
            .iter()
            .flat_map(|inventory| &inventory.regions)
            .flat_map(RegionInventory::described)
            .map(|found| (found.arn(), found.document))
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

    fn rules(&self, inventories: &[Inventory]) -> Vec<Rule> {
        let of_one = |inventory| {
            atrest_policies::asked(&fleet(inventory), &self.settings).collect::<Vec<_>>()
        };
        let mut asked: Vec<_> = inventories.iter().flat_map(of_one).collect();
        asked.sort_by_key(|meta| meta.id);
        asked.dedup_by_key(|meta| meta.id);
        let mut all = rules::built_in(asked.into_iter(), &self.settings);
        let own = self.policies.iter();
        all.extend(own.flat_map(|policies| rules::custom(policies, &self.settings)));
        all
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

/// The built-in policies as reports of saved scans speak of them.
pub(crate) fn rules() -> Vec<Rule> {
    let settings = Settings::default();
    let asked = atrest_policies::registry()
        .iter()
        .map(|policy| policy.meta())
        .filter(|meta| settings.asks(meta.id));
    rules::built_in(asked, &settings)
}

/// What the policies may look at.
fn fleet(inventory: &Inventory) -> Fleet<'_> {
    let regions = || inventory.regions.iter();
    Fleet::new(
        regions().flat_map(|region| &region.instances),
        regions().flat_map(|region| &region.clusters),
    )
    .with_resources(regions().flat_map(|region| &region.others))
    .with_keys(&inventory.keys)
    .with_parameter_groups(&inventory.groups)
}

/// Reads the regions and asks the policies, as their pages say.
pub(crate) async fn scan(aws: &Aws, account: &str, regions: &[String]) -> (ScanReport, Inventory) {
    scan_with(aws, account, regions, &Settings::default()).await
}

async fn scan_with(
    aws: &Aws,
    account: &str,
    regions: &[String],
    settings: &Settings,
) -> (ScanReport, Inventory) {
    let started = jiff::Timestamp::now();
    let kinds = BTreeSet::from(ResourceKind::ALL);
    let inventory = inventory::read_surface(aws, account, regions, &kinds).await;
    let report = judged(started, std::slice::from_ref(&inventory), settings);
    (report, inventory)
}

/// Reads `kinds` in the regions that were asked for.
async fn online(args: &ScanArgs, kinds: &BTreeSet<ResourceKind>) -> anyhow::Result<Inventory> {
    let aws = common::aws(&args.aws).await?;
    let identity = aws.identity().await.map_err(|error| match error.kind {
        AwsErrorKind::Credentials => ExpectedError::aws(&error),
        _ => ExpectedError::of(Exit::NothingScanned, error.to_string(), error.hint()),
    })?;
    let regions = common::regions(&aws, &args.aws).await?;
    Ok(inventory::read_surface(&aws, &identity.account, &regions, kinds).await)
}

/// The kinds of resources to read.
fn kinds(only: &[String]) -> anyhow::Result<BTreeSet<ResourceKind>> {
    if only.is_empty() {
        return Ok(BTreeSet::from(ResourceKind::ALL));
    }
    only.iter()
        .map(|word| {
            ResourceKind::ALL
                .into_iter()
                .find(|kind| kind.as_str() == word)
                .ok_or_else(|| {
                    let all = ResourceKind::ALL.map(ResourceKind::as_str).join(", ");
                    ExpectedError::usage(
                        format!("{word:?} is no kind of resource"),
                        format!("there are {all}; nothing was scanned"),
                    )
                })
        })
        .collect()
}

/// What the built-in policies say of what was read.
fn judged(started: jiff::Timestamp, inventories: &[Inventory], settings: &Settings) -> ScanReport {
    let all = || inventories.iter();
    let mut findings: Vec<Finding> = all()
        .flat_map(|inventory| atrest_policies::evaluate_with(&fleet(inventory), settings))
        .collect();
    findings.sort_by(|a, b| (&a.resource, &a.policy).cmp(&(&b.resource, &b.policy)));
    let mut resources: Vec<_> = all().flat_map(Inventory::resources).collect();
    resources.sort_by(|a, b| (&a.arn, &a.account).cmp(&(&b.arn, &b.account)));
    let regions: Vec<_> = all().flat_map(Inventory::region_rows).collect();
    let unread: Vec<_> = all().flat_map(Inventory::unread_rows).collect();
    let complete = unread.is_empty()
        && regions.iter().all(|region| region.error.is_none())
        && findings
            .iter()
            .all(|f| f.status != FindingStatus::NotEvaluated);
    ScanReport {
        schema_version: SCHEMA_VERSION,
        tool: Tool::current(),
        started,
        complete,
        regions,
        unread,
        resources,
        findings,
        baseline: None,
        waiver_notes: Vec::new(),
    }
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
