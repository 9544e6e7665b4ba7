//! A scan on a page: the verdict, what could not be read, a map of the fleet, every resource.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{self, Write};

use askama::Template;
use atrest_model::scan::ScanReport;

use super::chart::stacked;
use super::coverage::coverage;
use super::policies::policies;
use super::resources::resources;
use super::superseded::Superseded;
use super::waivers::waivers;
use super::{Mood, Part, Section, Summary, Tile, shown, tool, when, write_page};
use crate::rule::Rule;
use crate::scan::rows::{self, Row, Verdict, failed, holes, rows, unread_kinds};
use crate::text::{count, number};

#[derive(Template)]
#[template(path = "unread.html")]
struct Unread<'a> {
    regions: Vec<UnreadRegion<'a>>,
}

struct UnreadRegion<'a> {
    account: Cow<'a, str>,
    region: Cow<'a, str>,
    error: Cow<'a, str>,
}

pub(super) fn mood(verdict: Verdict) -> Mood {
    match verdict {
        Verdict::Flagged => Mood::Bad,
        Verdict::NotEvaluated => Mood::Odd,
        Verdict::Waived => Mood::Waived,
        Verdict::Passed => Mood::Good,
    }
}

/// The worst first.
pub(super) const VERDICTS: [Verdict; 4] = [
    Verdict::Flagged,
    Verdict::NotEvaluated,
    Verdict::Waived,
    Verdict::Passed,
];

pub(crate) fn write(report: &ScanReport, rules: &[Rule], out: &mut dyn Write) -> io::Result<()> {
    let part = part(report, rules, &Superseded::default());
    write_page(vec![part], "atrest scan", out)
}

/// `superseded` is flagged, is told apart, and is no alarm.
pub(super) fn part<'a>(
    report: &'a ScanReport,
    rules: &'a [Rule],
    superseded: &Superseded<'a>,
) -> Part<'a> {
    let rows = rows(report);
    let kept = kept(&rows, superseded);
    let mut parts: Vec<(usize, Mood, &'static str)> = VERDICTS
        .map(|verdict| (of(&rows, verdict), mood(verdict), verdict.as_str()))
        .to_vec();
    if let Some((flagged, _, _)) = parts.first_mut() {
        *flagged -= kept;
    }
    parts.insert(1, (kept, Mood::Odd, SUPERSEDED));
    parts.retain(|(amount, _, word)| *amount > 0 || *word != SUPERSEDED);
    let bar_label = parts
        .iter()
        .map(|(amount, _, word)| format!("{} {word}", number(*amount as u64)))
        .collect::<Vec<_>>()
        .join(", ");
    let mut sections = Vec::new();
    let regions: Vec<UnreadRegion<'_>> = holes(report)
        .map(|hole| UnreadRegion {
            account: shown(hole.account),
            region: Cow::Owned(shown(&hole.place()).into_owned()),
            error: shown(hole.error),
        })
        .collect();
    if !regions.is_empty() {
        sections.push(Section::new("unread", "Not read", Unread { regions }));
    }
    let coverage = coverage(report, &rows);
    if !coverage.is_empty() {
        sections.push(Section::new("coverage", "Coverage", coverage));
    }
    sections.push(Section::new(
        "resources",
        "Resources",
        resources(report, &rows, superseded),
    ));
    let waivers = waivers(report);
    if !waivers.is_empty() {
        sections.push(Section::new("waivers", "Waivers", waivers));
    }
    let policies = policies(report, rules);
    if !policies.is_empty() {
        sections.push(Section::new("policies", "Policies and controls", policies));
    }
    let (headline, detail, mood) = head(report, &rows, superseded);
    Part {
        kind: "encryption at rest of RDS",
        headline,
        detail,
        mood,
        tool: tool(&report.tool),
        summary: Summary {
            name: "The audit",
            tiles: tiles(report, &rows, &parts),
            bar: stacked(&parts),
            bar_label,
        },
        sections,
    }
}

/// What is flagged and superseded.
pub(super) const SUPERSEDED: &str = "superseded, kept";

fn kept(rows: &[Row<'_>], superseded: &Superseded<'_>) -> usize {
    rows.iter()
        .filter(|row| row.verdict == Verdict::Flagged && superseded.remark(row.arn).is_some())
        .count()
}

fn of(rows: &[Row<'_>], verdict: Verdict) -> usize {
    rows.iter().filter(|row| row.verdict == verdict).count()
}

/// The verdict in one line; of what and when; and how alarming it is.
fn head(
    report: &ScanReport,
    rows: &[Row<'_>],
    superseded: &Superseded<'_>,
) -> (String, String, Mood) {
    let kept = kept(rows, superseded);
    let of = |verdict| match verdict {
        Verdict::Flagged => of(rows, verdict) - kept,
        _ => of(rows, verdict),
    };
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
        (0, 0) if kept > 0 && report.complete => {
            "Nothing is flagged but what is superseded".to_owned()
        }
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
    let detail = format!(
        "{accounts} · {} · {} · {complete}",
        count(report.regions.len(), "region", "regions"),
        when(report.started)
    );
    let headline = match kept {
        0 => headline,
        kept => format!(
            "{headline} · {} superseded by {}, kept as the way back until cleanup",
            number(kept as u64),
            superseded.runs()
        ),
    };
    let mood = match mood {
        rows::Mood::Bad if kept > 0 && of(Verdict::Flagged) == 0 && incomplete.is_none() => {
            Mood::Odd
        }
        rows::Mood::Bad => Mood::Bad,
        rows::Mood::Odd => Mood::Odd,
        rows::Mood::Good => Mood::Good,
    };
    (headline, detail, mood)
}

fn tiles(
    report: &ScanReport,
    rows: &[Row<'_>],
    parts: &[(usize, Mood, &'static str)],
) -> Vec<Tile> {
    let tile = |amount: usize, label, mood: &'static str| Tile {
        value: number(amount as u64),
        label,
        mood,
    };
    let mut tiles = vec![tile(rows.len(), "resources", "")];
    let of_parts = parts.iter();
    tiles.extend(of_parts.map(|(amount, mood, word)| tile(*amount, *word, mood.of(*amount))));
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
