//! What a scan has found so far.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZero;

use atrest_model::Tool;
use atrest_model::finding::{Finding, FindingStatus};
use atrest_model::instance::tags_of;
use atrest_model::key::account_of;
use atrest_model::scan::{RegionScan, Resource, SCHEMA_VERSION, ScanReport};
use atrest_policies::Fleet;
use atrest_scanner::inventory::{Inventory, RegionInventory};
use atrest_scanner::packed::PackedAccount;

use super::streamed::Streamed;
use super::{Judgement, fleet_of};

/// Packed documents that are values at the same time.
const PART: NonZero<usize> = NonZero::new(1024).unwrap();

/// Tags of the resources that findings are about, by ARN: what waivers may ask for.
pub(super) type Tags = HashMap<String, BTreeMap<String, String>>;

/// Rows and findings. Of an account that is judged nothing else is kept: documents of a thousand accounts are more than a
/// machine has room for.
pub(super) struct Gathered {
    pub(super) report: ScanReport,
    pub(super) tags: Tags,
    /// Snapshots that another account shared, by ARN.
    shared: BTreeMap<String, Shared>,
    /// Where each account is written as soon as it is judged.
    pub(super) stream: Option<Streamed>,
}

/// How much of a report there is.
#[derive(Debug, Clone, Copy)]
struct Mark {
    regions: usize,
    unread: usize,
    resources: usize,
    findings: usize,
}

/// A resource as an account sees it that does not own it.
struct Shared {
    row: Resource,
    findings: Vec<Finding>,
}

impl Gathered {
    pub(super) fn new() -> Self {
        let report = ScanReport {
            schema_version: SCHEMA_VERSION,
            tool: Tool::current(),
            started: jiff::Timestamp::now(),
            complete: false,
            policies: None,
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
            shared: BTreeMap::new(),
            stream: None,
        }
    }

    fn mark(&self) -> Mark {
        Mark {
            regions: self.report.regions.len(),
            unread: self.report.unread.len(),
            resources: self.report.resources.len(),
            findings: self.report.findings.len(),
        }
    }

    /// Writes what came after `mark`, for whoever asked for it.
    fn stream_since(&mut self, mark: Mark) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        let report = &self.report;
        let mut part = ScanReport {
            tool: report.tool.clone(),
            started: report.started,
            regions: since(&report.regions, mark.regions),
            unread: since(&report.unread, mark.unread),
            resources: since(&report.resources, mark.resources),
            findings: since(&report.findings, mark.findings),
            ..Self::new().report
        };
        order(&mut part);
        stream.part(&part);
    }

    /// Adds an account, or a part of it, of which nothing could be read.
    pub(super) fn add_unread(&mut self, row: RegionScan) {
        let mark = self.mark();
        self.report.regions.push(row);
        self.stream_since(mark);
    }

    /// Judges one account and adds it; the number of its findings.
    pub(super) fn add(
        &mut self,
        judgement: &Judgement,
        inventory: &Inventory,
        rows: Vec<RegionScan>,
    ) -> usize {
        let mark = self.mark();
        self.report.regions.extend(rows);
        self.report.unread.extend(inventory.unread_rows());
        let number = self.judge(judgement, inventory, &fleet_of(inventory));
        self.stream_since(mark);
        number
    }

    /// The same of an account whose documents are packed, part by part where that makes no difference: built-in policies
    /// look at some resources beside the one that they judge, those of the operator may look at any.
    pub(super) fn add_packed(
        &mut self,
        judgement: &Judgement,
        account: &PackedAccount,
        mut rows: Vec<RegionScan>,
    ) -> usize {
        if judgement.policies.is_some() {
            let inventory = account.whole();
            for (row, counted) in rows.iter_mut().zip(inventory.region_rows()) {
                row.resources = counted.resources;
            }
            return self.add(judgement, &inventory, rows);
        }
        let mark = self.mark();
        let frame = account.frame();
        let context = account.context();
        let around = fleet_of(&context);
        let mut number = 0;
        for part in account.parts(PART) {
            for counted in part.region_rows() {
                let same = rows.iter_mut().find(|row| row.region == counted.region);
                if let Some(row) = same {
                    row.resources += counted.resources;
                }
            }
            let regions = || part.regions.iter();
            let fleet = around
                .judging(
                    regions().flat_map(|region| &region.instances),
                    regions().flat_map(|region| &region.clusters),
                )
                .with_resources(regions().flat_map(|region| &region.others));
            number += self.judge(judgement, &part, &fleet);
        }
        self.report.regions.extend(rows);
        self.report.unread.extend(frame.unread_rows());
        self.stream_since(mark);
        number
    }

    /// Judges what a fleet says is to be judged, and keeps its rows and findings.
    fn judge(&mut self, judgement: &Judgement, inventory: &Inventory, fleet: &Fleet<'_>) -> usize {
        let findings = judgement.evaluate(&inventory.account, fleet, self.report.started);
        if judgement.waivers.ask_for_tags() {
            self.keep_tags(inventory, &findings);
        }
        let number = findings.len();
        let is_own = |row: &Resource| account_of(&row.arn).is_none_or(|owner| owner == row.account);
        let (own, foreign): (Vec<_>, Vec<_>) = inventory.resources().into_iter().partition(is_own);
        self.report.resources.extend(own);
        if foreign.is_empty() {
            self.report.findings.extend(findings);
        } else {
            self.share(foreign, findings);
        }
        number
    }

    /// Sets what belongs to others apart: it has one row, whoever sees it, so that an id is of one finding. Of several
    /// accounts that see it the first one speaks.
    fn share(&mut self, foreign: Vec<Resource>, findings: Vec<Finding>) {
        let mut seen: BTreeMap<String, Shared> = foreign
            .into_iter()
            .map(|row| {
                let findings = Vec::new();
                (row.arn.clone(), Shared { row, findings })
            })
            .collect();
        for finding in findings {
            match seen.get_mut(&finding.resource) {
                Some(shared) => shared.findings.push(finding),
                None => self.report.findings.push(finding),
            }
        }
        for (arn, shared) in seen {
            let is_first = self
                .shared
                .get(&arn)
                .is_none_or(|known| shared.row.account < known.row.account);
            if is_first {
                self.shared.insert(arn, shared);
            }
        }
    }

    fn keep_tags(&mut self, inventory: &Inventory, findings: &[Finding]) {
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
    }

    /// Puts everything in order, and says whether it is all.
    pub(super) fn settle(&mut self) {
        let mark = self.mark();
        let report = &mut self.report;
        // The owner knows best; another account speaks where the owner was not scanned.
        let owned: HashSet<&str> = report.resources.iter().map(|r| r.arn.as_str()).collect();
        let mut shared = std::mem::take(&mut self.shared);
        shared.retain(|arn, _| !owned.contains(arn.as_str()));
        for Shared { row, findings } in shared.into_values() {
            report.resources.push(row);
            report.findings.extend(findings);
        }
        self.stream_since(mark);
        let report = &mut self.report;
        order(report);
        report.complete = report.unread.is_empty()
            && report.regions.iter().all(|region| region.error.is_none())
            && report
                .findings
                .iter()
                .all(|finding| finding.status != FindingStatus::NotEvaluated);
    }
}

/// Puts the rows of a report in the order that reports have.
fn order(report: &mut ScanReport) {
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
}

fn since<T: Clone>(all: &[T], from: usize) -> Vec<T> {
    all.get(from..).unwrap_or_default().to_vec()
}
