//! `atrest scan`.

mod accounts;
mod fleet;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use atrest_model::finding::{Change, Finding, FindingStatus, Severity};
use atrest_model::instance::tags_of;
use atrest_model::scan::{RegionScan, ResourceKind, SCHEMA_VERSION, ScanReport, WaiverNoteKind};
use atrest_model::{Tool, baseline};
use atrest_policies::{CustomPolicies, Fleet, PolicyMeta, Settings, Waivers};
use atrest_reports::{Output, PreviousFindings, Rule, ScanContext, ScanFormat};
use atrest_scanner::aws::Aws;
use atrest_scanner::inventory::{self, Inventory, RegionInventory};
use atrest_scanner::limit::Tally;
use jiff::tz::TimeZone;
use tokio::sync::watch;

use self::fleet::{Account, Reading};
use super::{common, offline, policy};
use crate::cli::{OutputArgs, ScanArgs, SeverityArg};
use crate::config::Config;
use crate::exit::{Exit, ExpectedError};
use crate::progress::ScanProgress;
use crate::rules;

pub(crate) async fn run(
    args: ScanArgs,
    config: &Config,
    output: &OutputArgs,
) -> anyhow::Result<Exit> {
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
    common::check_region_names(&args.aws)?;
    let stop = common::interrupt_signal()?;
    let mut gathered = Gathered::new();
    match &args.offline {
        Some(path) => {
            for inventory in offline::read(path, &kinds)? {
                gathered.add(&judgement, &inventory, inventory.region_rows());
            }
        }
        None => {
            let online = Online {
                args: &args,
                kinds: &kinds,
                stop: &stop,
            };
            Box::pin(online.read(&judgement, output, &mut gathered)).await?;
        }
    }
    gathered.settle();
    let Gathered {
        mut report,
        tags,
        asked,
    } = gathered;
    // A signal that came after the last region was read has interrupted nothing, but it was a wish to stop.
    report.complete &= !*stop.borrow();
    judgement.apply(&mut report, &tags)?;
    let rules = judgement.rules(asked);
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
    if *stop.borrow() {
        return Ok(Exit::Interrupted);
    }
    let counts = |finding: &Finding| {
        finding.severity >= severity(args.fail_on)
            && !(args.fail_on_new && finding.change == Some(Change::Unchanged))
    };
    Ok(verdict(&report, counts, args.exit_zero))
}

/// Tags of the resources that findings are about, by ARN: what waivers may ask for.
type Tags = HashMap<String, BTreeMap<String, String>>;

/// What the scan has found so far. Of an account that is judged only rows and findings are kept: documents of a
/// thousand accounts are more than a machine has room for.
struct Gathered {
    report: ScanReport,
    tags: Tags,
    /// The policies that were asked somewhere, by id.
    asked: BTreeMap<&'static str, &'static PolicyMeta>,
}

impl Gathered {
    fn new() -> Self {
        let report = ScanReport {
            schema_version: SCHEMA_VERSION,
            tool: Tool::current(),
            started: jiff::Timestamp::now(),
            complete: false,
            regions: Vec::new(),
            unread: Vec::new(),
            resources: Vec::new(),
            findings: Vec::new(),
            baseline: None,
            waiver_notes: Vec::new(),
        };
        Self {
            report,
            tags: Tags::new(),
            asked: BTreeMap::new(),
        }
    }

    /// Judges one account and adds it; the number of its findings.
    fn add(
        &mut self,
        judgement: &Judgement,
        inventory: &Inventory,
        rows: Vec<RegionScan>,
    ) -> usize {
        let fleet = fleet_of(inventory);
        let findings = judgement.evaluate(&inventory.account, &fleet, self.report.started);
        let flagged: HashSet<&str> = findings.iter().map(|f| f.resource.as_str()).collect();
        for found in inventory
            .regions
            .iter()
            .flat_map(RegionInventory::described)
        {
            let arn = found.arn();
            if flagged.contains(&*arn) {
                let tags = tags_of(found.document).into_iter();
                let owned = tags.map(|(key, value)| (key.to_owned(), value.to_owned()));
                self.tags.insert(arn.into_owned(), owned.collect());
            }
        }
        let asked = atrest_policies::asked(&fleet, &judgement.settings);
        self.asked.extend(asked.map(|meta| (meta.id, meta)));
        let number = findings.len();
        self.report.regions.extend(rows);
        self.report.unread.extend(inventory.unread_rows());
        self.report.resources.extend(inventory.resources());
        self.report.findings.extend(findings);
        number
    }

    /// Puts everything in order, and says whether it is all.
    fn settle(&mut self) {
        let report = &mut self.report;
        report
            .regions
            .sort_by(|a, b| (&a.account, &a.region).cmp(&(&b.account, &b.region)));
        report.unread.sort();
        report
            .resources
            .sort_by(|a, b| (&a.arn, &a.account).cmp(&(&b.arn, &b.account)));
        report
            .findings
            .sort_by(|a, b| (&a.resource, &a.policy).cmp(&(&b.resource, &b.policy)));
        report.complete = report.unread.is_empty()
            && report.regions.iter().all(|region| region.error.is_none())
            && report
                .findings
                .iter()
                .all(|finding| finding.status != FindingStatus::NotEvaluated);
    }
}

/// A scan that asks AWS.
struct Online<'a> {
    args: &'a ScanArgs,
    kinds: &'a BTreeSet<ResourceKind>,
    stop: &'a watch::Receiver<bool>,
}

impl Online<'_> {
    /// Reads and judges account by account.
    async fn read(
        &self,
        judgement: &Judgement,
        output: &OutputArgs,
        gathered: &mut Gathered,
    ) -> anyhow::Result<()> {
        let tally = Tally::default();
        let progress = Arc::new(ScanProgress::default());
        let _shown = (!output.no_progress && !output.quiet).then(|| progress.show(&tally));
        let found = Box::pin(accounts::targets(self.args, &tally)).await?;
        let regions = match &found.caller {
            Some(caller) => common::named_regions(caller, &self.args.aws).await?,
            None => None,
        };
        progress.accounts_found(found.targets.len());
        let reading = Reading {
            regions: regions.as_deref(),
            kinds: self.kinds,
            stop: self.stop,
            progress: &progress,
        };
        let take = |account| match account {
            Account::Unread(row) => gathered.report.regions.push(row),
            Account::Read(inventory, rows) => {
                progress.findings(gathered.add(judgement, &inventory, rows));
            }
        };
        reading.all(found.targets, take).await;
        Ok(())
    }
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

    /// What the built-in policies and those of the operator say of one account.
    fn evaluate(&self, account: &str, fleet: &Fleet<'_>, now: jiff::Timestamp) -> Vec<Finding> {
        let mut findings = atrest_policies::evaluate_with(fleet, &self.settings);
        if let Some(policies) = &self.policies {
            findings.extend(policies.evaluate(account, fleet, now, &self.settings));
        }
        findings
    }

    /// Waivers and baseline: what is said of the report as a whole.
    fn apply(&self, report: &mut ScanReport, tags: &Tags) -> anyhow::Result<()> {
        let today = TimeZone::UTC.to_datetime(report.started).date();
        report.waiver_notes = self.waivers.apply(&mut report.findings, today, |arn| {
            let pairs = tags.get(arn).into_iter().flatten();
            pairs.map(|(key, value)| (&**key, &**value)).collect()
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

    fn rules(&self, asked: BTreeMap<&'static str, &'static PolicyMeta>) -> Vec<Rule> {
        let mut all = rules::built_in(asked.into_values(), &self.settings);
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
fn fleet_of(inventory: &Inventory) -> Fleet<'_> {
    let regions = || inventory.regions.iter();
    Fleet::new(
        regions().flat_map(|region| &region.instances),
        regions().flat_map(|region| &region.clusters),
    )
    .with_resources(regions().flat_map(|region| &region.others))
    .with_keys(&inventory.keys)
    .with_parameter_groups(&inventory.groups)
}

/// Reads the regions of one account and asks the built-in policies, as their pages say.
pub(crate) async fn scan(aws: &Aws, account: &str, regions: &[String]) -> (ScanReport, Inventory) {
    let judgement = Judgement {
        policies: None,
        settings: Settings::default(),
        waivers: Waivers::default(),
        baseline: None,
    };
    let mut gathered = Gathered::new();
    let kinds = BTreeSet::from(ResourceKind::ALL);
    let inventory = inventory::read_surface(aws, account, regions, &kinds).await;
    gathered.add(&judgement, &inventory, inventory.region_rows());
    gathered.settle();
    (gathered.report, inventory)
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
