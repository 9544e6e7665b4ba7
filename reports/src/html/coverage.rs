//! A map of the fleet: how much is flagged, by account, region and engine.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use askama::Template;
use atrest_model::scan::ScanReport;

use super::shown;
use crate::scan::rows::{Row, Verdict, failed};
use crate::text::{count, number};

#[derive(Template)]
#[template(path = "coverage.html")]
pub(super) struct Coverage<'a> {
    engines: Vec<Cow<'a, str>>,
    rows: Vec<Line<'a>>,
    /// Regions that were read and hold nothing.
    nothing: String,
}

impl Coverage<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

struct Line<'a> {
    account: Cow<'a, str>,
    region: Cow<'a, str>,
    is_unread: bool,
    cells: Vec<Cell<'a>>,
}

#[derive(Default)]
struct Cell<'a> {
    text: String,
    label: String,
    mood: &'static str,
    /// Empty for all of them.
    engine: Cow<'a, str>,
}

fn engine<'a>(row: &Row<'a>) -> &'a str {
    super::resources::engine(row)
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

    fn cell<'a>(self, what: &str, engine: Cow<'a, str>) -> Cell<'a> {
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
            engine,
        }
    }
}

pub(super) fn coverage<'a>(report: &'a ScanReport, rows: &[Row<'a>]) -> Coverage<'a> {
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
                tally.cell(&shown(engine), shown(engine))
            });
            Line {
                account: shown(account),
                region: shown(region),
                // A region of which a part was read shows that part; its error stands above.
                is_unread: unread.contains(&(*account, *region)) && all.all == 0,
                cells: [all.cell("all engines", Cow::Borrowed(""))]
                    .into_iter()
                    .chain(cells)
                    .collect(),
            }
        })
        .collect();
    Coverage {
        engines: engines.into_iter().map(shown).collect(),
        rows,
        nothing: nothing.join(", "),
    }
}
