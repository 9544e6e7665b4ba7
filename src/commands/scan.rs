//! `atrest scan`.

mod accounts;
mod fleet;
mod gathered;
mod shards;
mod streamed;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use atrest_model::baseline;
use atrest_model::finding::{Change, Finding, FindingStatus, Severity};
use atrest_model::keep::Keep;
use atrest_model::scan::{ResourceKind, ScanReport, WaiverNoteKind};
use atrest_policies::{CustomMeta, CustomPolicies, Fleet, Needs, PolicyMeta, Settings, Waivers};
use atrest_reports::{Output, PreviousFindings, Rule, ScanContext, ScanFormat, ScanNumbers};
use atrest_scanner::aws::Aws;
use atrest_scanner::inventory::{self, Inventory, Surface};
use atrest_scanner::limit::Tally;
use jiff::tz::TimeZone;
use tokio::sync::watch;

use self::fleet::{Account, Reading};
use self::gathered::{Gathered, Tags};
use self::streamed::Streamed;
use super::{common, metrics, offline, policy};
use crate::cli::{OutputArgs, ScanArgs, SeverityArg};
use crate::config::Config;
use crate::exit::{Exit, ExpectedError};
use crate::progress::ScanProgress;
use crate::rules;

pub(crate) use self::shards::merge;

pub(crate) async fn run(
    args: ScanArgs,
    config: &Config,
    output: &OutputArgs,
) -> anyhow::Result<Exit> {
    if args.shards.shards.is_some() {
        return Box::pin(shards::read(args, output)).await;
    }
    let ending = Ending {
        save: args.save.as_deref(),
        fail_on: severity(args.fail_on),
        fail_on_new: args.fail_on_new,
        exit_zero: args.exit_zero,
        ..Ending::read(&args.format, "scan")?
    };
    let judgement = Judgement::read(&Asked::of(&args), config)?;
    let surface = Surface {
        kinds: kinds(&args.only_kinds)?,
        keep: Arc::new(judgement.keep()),
        keys: judgement.needs(Needs::Keys),
        parameter_groups: judgement.needs(Needs::ParameterGroups),
    };
    common::check_way(&args.aws)?;
    if let Some(path) = &args.shards.plan_shards {
        return Box::pin(shards::plan(&args, path, &judgement, &surface)).await;
    }
    let stop = common::interrupt_signal()?;
    let mut gathered = Gathered::new();
    let rules = judgement.rules();
    let (begun, tally) = (Instant::now(), Tally::default());
    if let Some(path) = &args.stream {
        gathered.stream = Some(Streamed::begin(path, rules.clone())?);
    }
    match &args.offline {
        Some(path) => {
            let began = Instant::now();
            let accounts = offline::read(path, &surface)?;
            tracing::info!("the saved output was read in {:.3?}", began.elapsed());
            let began = Instant::now();
            for account in accounts {
                let rows = account.frame().region_rows();
                gathered.add_packed(&judgement, &account, rows);
            }
            tracing::info!("it was judged in {:.3?}", began.elapsed());
        }
        None => {
            let online = Online {
                args: &args,
                surface: &surface,
                stop: &stop,
                tally: &tally,
            };
            Box::pin(online.read(&judgement, output, &mut gathered)).await?;
        }
    }
    gathered.settle();
    let took = begun.elapsed();
    let Gathered {
        mut report,
        tags,
        stream,
        ..
    } = gathered;
    report.policies = Some(judgement.ids());
    // A signal that came after the last region was read has interrupted nothing, but it was a wish to stop.
    report.complete &= !*stop.borrow();
    let streamed = stream.map_or(Ok(()), |stream| stream.end(&report));
    judgement.apply(&mut report, &tags)?;
    ending.write(&report, &rules)?;
    streamed?;
    let exit = if *stop.borrow() {
        Exit::Interrupted
    } else {
        ending.verdict(&report)
    };
    if let Some(file) = &args.metrics {
        let numbers = ScanNumbers {
            rules: &rules,
            took,
            calls: args.offline.is_none().then(|| tally.calls()),
            throttled: tally.throttled(),
            exit_code: exit as u8,
        };
        metrics::of_scan(&report, &numbers, file)?;
    }
    if !output.quiet && lacks_permissions(&report) {
        use anstream::eprintln;
        eprintln!("hint: `atrest iam-policy scan` prints the policy that this identity needs");
    }
    Ok(exit)
}

/// What becomes of a finished report.
struct Ending<'a> {
    outputs: Vec<Output<ScanFormat>>,
    /// For each output the findings of the night before, where it tells them.
    previous: Vec<Option<PreviousFindings>>,
    save: Option<&'a Path>,
    fail_on: Severity,
    fail_on_new: bool,
    exit_zero: bool,
}

impl Ending<'_> {
    /// Reads what is there already, before the scan: a file that cannot be read must not cost a night.
    fn read(format: &[String], verb: &str) -> anyhow::Result<Self> {
        let outputs = common::outputs::<ScanFormat>(format, verb)?;
        let previous = outputs
            .iter()
            .map(previous)
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self {
            outputs,
            previous,
            save: None,
            fail_on: Severity::Low,
            fail_on_new: false,
            exit_zero: false,
        })
    }

    fn write(&self, report: &ScanReport, rules: &[Rule]) -> anyhow::Result<()> {
        for (output, previous) in self.outputs.iter().zip(&self.previous) {
            let context = ScanContext {
                rules,
                previous: previous.as_ref(),
            };
            write(report, &context, output)?;
        }
        let Some(path) = self.save else {
            return Ok(());
        };
        common::write_output(Some(path), |out| {
            serde_json::to_writer_pretty(&mut *out, report)?;
            writeln!(out)
        })
    }

    fn verdict(&self, report: &ScanReport) -> Exit {
        let counts = |finding: &Finding| {
            finding.severity >= self.fail_on
                && !(self.fail_on_new && finding.change == Some(Change::Unchanged))
        };
        verdict(report, counts, self.exit_zero)
    }
}

/// Whether nothing could be read in some region because it is not allowed.
fn lacks_permissions(report: &ScanReport) -> bool {
    let errors = report.regions.iter().filter_map(|row| row.error.as_deref());
    errors.into_iter().any(|why| why.contains("AccessDenied"))
}

/// A scan that asks AWS.
struct Online<'a> {
    args: &'a ScanArgs,
    surface: &'a Surface,
    stop: &'a watch::Receiver<bool>,
    tally: &'a Tally,
}

impl Online<'_> {
    /// Reads and judges account by account.
    async fn read(
        &self,
        judgement: &Judgement,
        output: &OutputArgs,
        gathered: &mut Gathered,
    ) -> anyhow::Result<()> {
        let progress = Arc::new(ScanProgress::default());
        let _shown = (!output.no_progress && !output.quiet).then(|| progress.show(self.tally));
        let found = Box::pin(accounts::targets(self.args, self.tally)).await?;
        let regions = match &found.caller {
            Some(caller) => common::named_regions(caller, &self.args.aws).await?,
            None => None,
        };
        progress.accounts_found(found.targets.len());
        let reading = Reading {
            regions: regions.as_deref(),
            surface: self.surface,
            stop: self.stop,
            progress: &progress,
        };
        let take = |account| match account {
            Account::Unread(row) => gathered.add_unread(row),
            Account::Read(account, rows) => {
                progress.findings(gathered.add_packed(judgement, &account, rows));
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

/// What the command line says of it.
struct Asked<'a> {
    policies: Option<&'a Path>,
    only: &'a [String],
    waivers: Option<&'a Path>,
    baseline: Option<&'a Path>,
}

impl<'a> Asked<'a> {
    fn of(args: &'a ScanArgs) -> Self {
        Self {
            policies: args.policies.as_deref(),
            only: &args.only,
            waivers: args.waivers.as_deref(),
            baseline: args.baseline.as_deref(),
        }
    }
}

impl Judgement {
    fn read(asked: &Asked<'_>, config: &Config) -> anyhow::Result<Self> {
        let policies = asked.policies.map(policy::read_custom).transpose()?;
        let known = |id: &str| policy::is_known(id, policies.as_ref());
        let mut settings = config.settings(known)?;
        if !asked.only.is_empty() {
            let all = policy::ids(policies.as_ref());
            let only = only(asked.only, &all, &settings)?;
            settings = settings.only(only);
        }
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(|error| {
                ExpectedError::usage(
                    format!("cannot read {}: {error}", path.display()),
                    "check the name; nothing was scanned",
                )
            })
        };
        let waivers = match asked.waivers {
            None => Waivers::default(),
            Some(path) => Waivers::parse(path, &read(path)?, known).map_err(|error| {
                ExpectedError::usage(
                    error.to_string(),
                    "docs/waivers.md says what a waiver looks like; nothing was scanned",
                )
            })?,
        };
        let baseline = match asked.baseline {
            None => None,
            Some(path) => {
                let report = serde_json::from_str(&read(path)?).map_err(|error| {
                    ExpectedError::usage(
                        format!("{} is no scan report: {error}", path.display()),
                        "give a file written by `atrest scan --save`",
                    )
                })?;
                Some((path.to_owned(), report))
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
            let alone = report
                .findings
                .iter()
                .filter(|f| f.change.is_none())
                .count();
            if alone > 0 {
                tracing::warn!(
                    "{alone} findings are of policies that {} did not ask: they are neither new nor old",
                    path.display()
                );
            }
        }
        Ok(())
    }

    /// The built-in policies that are asked. A scan reads what each of them needs.
    fn asked(&self) -> impl Iterator<Item = &'static PolicyMeta> {
        let all = atrest_policies::registry().iter();
        all.map(|policy| policy.meta())
            .filter(|meta| self.settings.asks(meta.id))
    }

    /// The policies that are asked, those of the operator too.
    fn ids(&self) -> BTreeSet<String> {
        let own = self.policies.iter().flat_map(CustomPolicies::metas);
        let own = own.map(|meta: CustomMeta<'_>| meta.id);
        self.asked()
            .map(|meta| meta.id)
            .chain(own.filter(|id| self.settings.asks(id)))
            .map(str::to_owned)
            .collect()
    }

    /// Whether a policy that is asked cannot do without. Those of the operator may look at anything.
    fn needs(&self, needs: Needs) -> bool {
        self.policies.is_some() || self.asked().any(|meta| meta.needs == needs)
    }

    /// What has to be kept of the answers.
    fn keep(&self) -> Keep {
        let own = match &self.policies {
            Some(policies) => policies.members(&self.settings),
            None => Some(BTreeSet::new()),
        };
        let tags = self.waivers.ask_for_tags().then(|| "TagList".to_owned());
        Keep::looked_at()
            .and(own)
            .and(Some(tags.into_iter().collect()))
    }

    fn rules(&self) -> Vec<Rule> {
        let mut all = rules::built_in(self.asked(), &self.settings);
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
    let surface = Surface::whole();
    let inventory = Box::pin(inventory::read_surface(aws, account, regions, &surface)).await;
    gathered.add(&judgement, &inventory, inventory.region_rows());
    gathered.settle();
    gathered.report.policies = Some(judgement.ids());
    (gathered.report, inventory)
}

/// The policies of `--only`. Each must be one that is asked: an audit of nothing would look clean.
fn only(words: &[String], all: &[String], settings: &Settings) -> anyhow::Result<BTreeSet<String>> {
    for word in words {
        if !all.contains(word) {
            let near = all
                .iter()
                .map(|id| (strsim::damerau_levenshtein(word, id), id))
                .min()
                .filter(|(distance, id)| *distance <= id.len() / 3);
            let hint = match near {
                Some((_, id)) => format!("did you mean {id}? `atrest policy list` lists them all"),
                None => "`atrest policy list` lists them all".to_owned(),
            };
            return Err(ExpectedError::usage(
                format!("there is no policy {word:?}"),
                format!("{hint}; nothing was scanned"),
            ));
        }
        if !settings.asks(word) {
            return Err(ExpectedError::usage(
                format!("policy {word} is not asked"),
                "the configuration switches it off, or does not set what it needs (docs/config.md); nothing was scanned",
            ));
        }
    }
    Ok(words.iter().cloned().collect())
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
