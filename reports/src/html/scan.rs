//! The page of a scan: the verdict, what could not be read, a map of the fleet, every resource.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, Write};

use askama::Template;
use atrest_model::finding::{Control, Severity};
use atrest_model::scan::{ResourceKind, ScanReport, WaiverNoteKind};

use super::chart::{Segment, stacked};
use super::{Mood, Page, Tile, render, shown, tool, when};
use crate::rule::Rule;
use crate::scan::rows::{self, Row, Verdict, failed, holes, rows, unread_kinds};
use crate::scan::verdicts::{verdicts, waived};
use crate::text::{count, number};

#[derive(Template)]
#[template(path = "scan.html")]
struct ScanPage<'a> {
    page: Page,
    tiles: Vec<Tile>,
    bar: Vec<Segment>,
    bar_label: String,
    unread: Vec<Unread<'a>>,
    heat: Heat<'a>,
    rows: Vec<Shown<'a>>,
    policies: Vec<PolicyView<'a>>,
    /// Waivers that did not hold.
    notes: Vec<Note<'a>>,
}

struct Note<'a> {
    kind: &'static str,
    policy: Cow<'a, str>,
    owner: Cow<'a, str>,
    expires: String,
    place: Cow<'a, str>,
}

struct Unread<'a> {
    account: Cow<'a, str>,
    region: Cow<'a, str>,
    error: Cow<'a, str>,
}

struct Heat<'a> {
    engines: Vec<Cow<'a, str>>,
    rows: Vec<HeatRow<'a>>,
    /// Regions that were read and hold nothing.
    nothing: String,
}

struct HeatRow<'a> {
    account: Cow<'a, str>,
    region: Cow<'a, str>,
    is_unread: bool,
    cells: Vec<Cell>,
}

#[derive(Default)]
struct Cell {
    text: String,
    label: String,
    mood: &'static str,
}

struct Shown<'a> {
    mood: &'static str,
    verdict: &'static str,
    severity: &'static str,
    /// For sorting: the worse, the higher.
    rank: u8,
    name: Cow<'a, str>,
    remark: String,
    engine: String,
    engine_name: Cow<'a, str>,
    account: Cow<'a, str>,
    region: Cow<'a, str>,
    arn: Cow<'a, str>,
    facts: String,
    findings: Vec<Why<'a>>,
}

struct Why<'a> {
    policy: Cow<'a, str>,
    reason: Cow<'a, str>,
}

struct PolicyView<'a> {
    id: Cow<'a, str>,
    title: Cow<'a, str>,
    counts: String,
    fix: String,
    subjects: Vec<SubjectView<'a>>,
}

struct SubjectView<'a> {
    kind: String,
    lines: Vec<ControlLine<'a>>,
}

struct ControlLine<'a> {
    publisher: Cow<'a, str>,
    ids: String,
}

fn mood(verdict: Verdict) -> Mood {
    match verdict {
        Verdict::Flagged => Mood::Bad,
        Verdict::NotEvaluated => Mood::Odd,
        Verdict::Waived => Mood::Waived,
        Verdict::Passed => Mood::Good,
    }
}

const VERDICTS: [Verdict; 4] = [
    Verdict::Flagged,
    Verdict::NotEvaluated,
    Verdict::Waived,
    Verdict::Passed,
];

pub(crate) fn write(report: &ScanReport, rules: &[Rule], out: &mut dyn Write) -> io::Result<()> {
    let rows = rows(report);
    let of = |verdict| rows.iter().filter(|row| row.verdict == verdict).count();
    let parts = VERDICTS.map(|verdict| (of(verdict), mood(verdict), verdict.as_str()));
    let bar_label = parts
        .iter()
        .map(|(amount, _, word)| format!("{} {word}", number(*amount as u64)))
        .collect::<Vec<_>>()
        .join(", ");
    let page = ScanPage {
        page: head(report, &rows),
        tiles: tiles(report, &rows),
        bar: stacked(&parts),
        bar_label,
        unread: holes(report)
            .map(|hole| Unread {
                account: shown(hole.account),
                region: Cow::Owned(shown(&hole.place()).into_owned()),
                error: shown(hole.error),
            })
            .collect(),
        heat: heat(report, &rows),
        policies: policies(report, rules),
        notes: report
            .waiver_notes
            .iter()
            .map(|note| Note {
                kind: match note.kind {
                    WaiverNoteKind::Expired => "expired",
                    WaiverNoteKind::Unused => "matches nothing",
                },
                policy: shown(&note.policy),
                owner: shown(&note.owner),
                expires: note.expires.to_string(),
                place: shown(&note.place),
            })
            .collect(),
        rows: rows.iter().map(row).collect(),
    };
    render(&page, out)
}

fn head(report: &ScanReport, rows: &[Row<'_>]) -> Page {
    let of = |verdict| rows.iter().filter(|row| row.verdict == verdict).count();
    let all = count(rows.len(), "resource", "resources");
    let (total, mood) = rows::total(report, rows);
    let incomplete = total.split_once("; ").map(|(_, incomplete)| incomplete);
    let unread = failed(report).count();
    let headline = match (of(Verdict::Flagged), of(Verdict::NotEvaluated)) {
        (0, _) if report.regions.is_empty() => "Nothing was scanned".to_owned(),
        (0, _) if unread == report.regions.len() => "No region could be read".to_owned(),
        (0, _) if unread > 0 => format!(
            "Incomplete: {} could not be read",
            count(unread, "region", "regions")
        ),
        (0, _) if !report.unread.is_empty() => {
            format!("Incomplete: {}", unread_kinds(report).unwrap_or_default())
        }
        (0, 0) if rows.is_empty() => "No DB instance and no cluster was found".to_owned(),
        (0, 0) if of(Verdict::Waived) == 0 && report.complete => format!("All {all} passed"),
        (0, 0) if report.complete => format!("None of {all} is flagged"),
        (0, 0) => "Incomplete".to_owned(),
        (0, unknown) => format!("{} of {all} could not be evaluated", number(unknown as u64)),
        (flagged, _) => format!("{} of {all} flagged", number(flagged as u64)),
    };
    let accounts: BTreeSet<&str> = report.regions.iter().map(|r| r.account.as_str()).collect();
    let accounts = match accounts.iter().collect::<Vec<_>>().as_slice() {
        [one] if !one.is_empty() => format!("account {}", shown(one)),
        [_] => "an account that is not known".to_owned(),
        many => count(many.len(), "account", "accounts"),
    };
    let complete = match (incomplete, report.complete) {
        (Some(incomplete), _) => shown(incomplete).into_owned(),
        (None, true) => "everything that was asked for was read and evaluated".to_owned(),
        (None, false) => "not everything could be evaluated".to_owned(),
    };
    Page {
        tool: tool(&report.tool),
        kind: "encryption at rest of RDS",
        title: format!("{headline} – atrest scan"),
        headline,
        detail: format!(
            "{accounts} · {} · {} · {complete}",
            count(report.regions.len(), "region", "regions"),
            when(report.started)
        ),
        mood: match mood {
            rows::Mood::Bad => "bad",
            rows::Mood::Odd => "odd",
            rows::Mood::Good => "good",
        },
    }
}

fn tiles(report: &ScanReport, rows: &[Row<'_>]) -> Vec<Tile> {
    let tile = |amount: usize, label, mood: &'static str| Tile {
        value: number(amount as u64),
        label,
        mood,
    };
    let mut tiles = vec![tile(rows.len(), "resources", "")];
    tiles.extend(VERDICTS.map(|verdict| {
        let amount = rows.iter().filter(|row| row.verdict == verdict).count();
        tile(amount, verdict.as_str(), mood(verdict).of(amount))
    }));
    let unread = failed(report).count();
    if unread > 0 {
        let label = if unread == 1 {
            "region not read"
        } else {
            "regions not read"
        };
        tiles.push(tile(unread, label, "bad"));
    }
    let encrypted = report
        .resources
        .iter()
        .filter(|resource| resource.encryption.is_encrypted() == Some(true))
        .count();
    // Rounded down: a hundred per cent is all of them.
    if let Some(percent) = (encrypted * 100).checked_div(rows.len()) {
        tiles.push(Tile {
            value: format!("{percent} %"),
            label: "encrypted at rest",
            mood: "",
        });
    }
    tiles
}

fn row<'a>(row: &Row<'a>) -> Shown<'a> {
    let severity = row.severity();
    let mut facts = Vec::new();
    if let Some(resource) = row.resource {
        let mut add = |name: &str, value: &str| {
            if !value.is_empty() {
                facts.push(format!("{name} {}", shown(value)));
            }
        };
        add("class", resource.class.as_deref().unwrap_or_default());
        add("status", &resource.status);
        add("encryption", resource.encryption.as_str());
        add("key", resource.kms_key_id.as_deref().unwrap_or_default());
        add("members", &resource.members.join(", "));
    }
    Shown {
        mood: mood(row.verdict).class(),
        verdict: row.verdict.as_str(),
        severity: severity.map_or("", Severity::as_str),
        rank: match severity {
            None => 0,
            Some(Severity::Info) => 1,
            Some(Severity::Low) => 2,
            Some(Severity::Medium) => 3,
            Some(Severity::High) => 4,
            Some(Severity::Critical) => 5,
        },
        name: shown(row.identifier()),
        remark: row
            .resource
            .and_then(|resource| resource.replica_of.as_deref())
            .filter(|_| row.depth > 0)
            .map(|source| format!("replica of {}", shown(source)))
            .or_else(|| row.remark().map(|remark| shown(&remark).into_owned()))
            .unwrap_or_default(),
        engine: shown(&row.engine()).into_owned(),
        engine_name: shown(engine(row)),
        account: shown(row.account()),
        region: shown(row.region()),
        arn: shown(row.arn),
        facts: facts.join(" · "),
        findings: row
            .findings
            .iter()
            .map(|finding| Why {
                policy: shown(&finding.policy),
                reason: match &finding.waiver {
                    Some(waiver) => {
                        let text = format!("{} ({})", finding.reason, waived(waiver));
                        Cow::Owned(shown(&text).into_owned())
                    }
                    None => shown(&finding.reason),
                },
            })
            .collect(),
    }
}

fn engine<'a>(row: &Row<'a>) -> &'a str {
    row.resource.map_or("unknown", |resource| &resource.engine)
}

/// Flagged, not evaluated, and all, of a cell of the map.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    flagged: usize,
    unknown: usize,
    all: usize,
}

impl Tally {
    fn add(&mut self, verdict: Verdict) {
        self.all += 1;
        match verdict {
            Verdict::Flagged => self.flagged += 1,
            Verdict::NotEvaluated => self.unknown += 1,
            Verdict::Waived | Verdict::Passed => {}
        }
    }

    fn cell(self, what: &str) -> Cell {
        if self.all == 0 {
            return Cell::default();
        }
        Cell {
            text: format!(
                "{} / {}",
                number(self.flagged as u64),
                number(self.all as u64)
            ),
            label: format!(
                "{what}: {} flagged, {} not evaluated, of {}",
                self.flagged, self.unknown, self.all
            ),
            mood: match (self.flagged * 4).div_ceil(self.all) {
                0 if self.unknown > 0 => "dim",
                0 => "ok",
                1 => "h1",
                2 => "h2",
                3 => "h3",
                _ => "h4",
            },
        }
    }
}

fn heat<'a>(report: &'a ScanReport, rows: &[Row<'a>]) -> Heat<'a> {
    let mut tallies: BTreeMap<(&str, &str), BTreeMap<&str, Tally>> = BTreeMap::new();
    let mut engines = BTreeSet::new();
    for row in rows {
        let place = tallies.entry((row.account(), row.region())).or_default();
        place.entry(engine(row)).or_default().add(row.verdict);
        engines.insert(engine(row));
    }
    let unread: HashSet<(&str, &str)> = failed(report)
        .map(|(region, _)| (region.account.as_str(), region.region.as_str()))
        .collect();
    for place in &unread {
        tallies.entry(*place).or_default();
    }
    let mut nothing: BTreeMap<&str, usize> = BTreeMap::new();
    for region in &report.regions {
        if !tallies.contains_key(&(region.account.as_str(), region.region.as_str())) {
            *nothing.entry(&region.region).or_default() += 1;
        }
    }
    let accounts: BTreeSet<&str> = report.regions.iter().map(|r| r.account.as_str()).collect();
    let nothing: Vec<String> = nothing
        .into_iter()
        .map(|(region, of)| match accounts.len() {
            1 => shown(region).into_owned(),
            _ => format!("{} ({})", shown(region), count(of, "account", "accounts")),
        })
        .collect();
    let rows = tallies
        .iter()
        .map(|((account, region), by_engine)| {
            let mut all = Tally::default();
            for tally in by_engine.values() {
                all.flagged += tally.flagged;
                all.unknown += tally.unknown;
                all.all += tally.all;
            }
            let cells = engines.iter().map(|engine| {
                let tally = by_engine.get(engine).copied().unwrap_or_default();
                tally.cell(&shown(engine))
            });
            HeatRow {
                account: shown(account),
                region: shown(region),
                // A region of which a part was read shows that part; its error stands above.
                is_unread: unread.contains(&(*account, *region)) && all.all == 0,
                cells: [all.cell("all engines")].into_iter().chain(cells).collect(),
            }
        })
        .collect();
    Heat {
        engines: engines.into_iter().map(shown).collect(),
        rows,
        nothing: nothing.join(", "),
    }
}

fn policies<'a>(report: &'a ScanReport, rules: &'a [Rule]) -> Vec<PolicyView<'a>> {
    let mut counts: BTreeMap<&str, BTreeMap<&'static str, usize>> = BTreeMap::new();
    let mut controls: BTreeMap<(&str, String), &[Control]> = BTreeMap::new();
    let mut seen: HashSet<(&str, ResourceKind, &str)> = HashSet::new();
    for rule in rules {
        counts.entry(&rule.id).or_default();
        for of in &rule.controls {
            let kind = subject(of.kind, of.engine.as_deref().unwrap_or_default());
            controls.insert((&rule.id, kind), &of.controls);
        }
    }
    for judged in verdicts(report, rules) {
        let statuses = counts.entry(judged.policy).or_default();
        *statuses.entry(judged.status().as_str()).or_default() += 1;
        let engine = judged.resource.map_or("", |resource| &resource.engine);
        if rules.is_empty() && seen.insert((judged.policy, judged.kind(), engine)) {
            let kind = subject(judged.kind(), engine);
            controls
                .entry((judged.policy, kind))
                .or_insert(judged.controls());
        }
    }
    counts
        .iter()
        .map(|(policy, statuses)| {
            let rule = rules.iter().find(|rule| rule.id == *policy);
            let amount = |status: &str| statuses.get(status).copied().unwrap_or_default();
            let counts: Vec<String> = ["fail", "not-evaluated", "waived", "pass"]
                .into_iter()
                .filter(|status| amount(status) > 0)
                .map(|status| format!("{} {status}", number(amount(status) as u64)))
                .collect();
            let severity = rule.map(|rule| format!("severity {}", rule.severity.as_str()));
            PolicyView {
                id: shown(policy),
                title: shown(rule.map_or("", |rule| &rule.title)),
                counts: severity
                    .into_iter()
                    .chain(counts)
                    .collect::<Vec<_>>()
                    .join(" · "),
                fix: rule
                    .and_then(|rule| rule.paragraph("Fix"))
                    .map_or_else(String::new, |fix| shown(&fix).into_owned()),
                subjects: controls
                    .iter()
                    .filter(|((of, _), controls)| of == policy && !controls.is_empty())
                    .map(|((_, kind), controls)| SubjectView {
                        kind: shown(kind).into_owned(),
                        lines: lines(controls),
                    })
                    .collect(),
            }
        })
        .collect()
}

/// The kind of resource as publishers tell them apart.
fn subject(kind: ResourceKind, engine: &str) -> String {
    match (kind, engine) {
        (ResourceKind::DbCluster, "neptune") => "Neptune cluster".to_owned(),
        (ResourceKind::DbCluster, "docdb") => "DocumentDB cluster".to_owned(),
        (ResourceKind::DbCluster, _) => "DB cluster".to_owned(),
        (ResourceKind::DbInstance, _) => "DB instance".to_owned(),
        (ResourceKind::GlobalCluster, _) => "global cluster".to_owned(),
        (ResourceKind::DbSnapshot, _) => "DB snapshot".to_owned(),
        (ResourceKind::DbClusterSnapshot, "neptune") => "Neptune cluster snapshot".to_owned(),
        (ResourceKind::DbClusterSnapshot, "docdb") => "DocumentDB cluster snapshot".to_owned(),
        (ResourceKind::DbClusterSnapshot, _) => "DB cluster snapshot".to_owned(),
        (ResourceKind::DbInstanceAutomatedBackup, _) => {
            "automated backup of a DB instance".to_owned()
        }
        (ResourceKind::DbClusterAutomatedBackup, _) => {
            "automated backup of a DB cluster".to_owned()
        }
        (ResourceKind::ExportTask, _) => "export task".to_owned(),
    }
}

/// Controls by publisher.
fn lines(controls: &[Control]) -> Vec<ControlLine<'_>> {
    controls
        .chunk_by(|a, b| a.publisher == b.publisher)
        .filter_map(|group| {
            let ids: Vec<Cow<'_, str>> = group.iter().map(|control| shown(&control.id)).collect();
            Some(ControlLine {
                publisher: shown(&group.first()?.publisher),
                ids: ids.join(", "),
            })
        })
        .collect()
}
