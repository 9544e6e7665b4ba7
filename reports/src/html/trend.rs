//! The trend over nights: how much was flagged, what was new, what was fixed.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher as _};

use askama::Template;
use atrest_model::finding::FindingStatus;
use atrest_model::scan::ScanReport;
use jiff::Timestamp;

use super::when;
use crate::scan::rows::{Verdict, failed, rows};
use crate::text::{count, number};

/// Earlier scans, of which only what a trend needs is kept.
#[derive(Debug, Default)]
pub struct History {
    nights: Vec<Night>,
}

#[derive(Debug)]
struct Night {
    started: Timestamp,
    flagged: usize,
    not_evaluated: usize,
    waived: usize,
    passed: usize,
    unread: usize,
    /// Hashes of the findings that fail, each with the hash of its account and region.
    failing: Vec<(u64, u64)>,
    /// Hashes of all findings: one that cannot be evaluated or is waived now is not fixed.
    found: HashSet<u64>,
    /// Hashes of the accounts and regions that were read.
    read: HashSet<u64>,
}

/// What changed since the night before, as far as it was read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Changes {
    new: usize,
    fixed: usize,
}

impl History {
    /// Adds a scan. The order does not matter; a scan that is there already, by its beginning, is not added again.
    pub fn add(&mut self, report: &ScanReport) {
        if self
            .nights
            .iter()
            .any(|night| night.started == report.started)
        {
            return;
        }
        let rows = rows(report);
        let of = |verdict| rows.iter().filter(|row| row.verdict == verdict).count();
        let failing = report
            .findings
            .iter()
            .filter(|finding| finding.status == FindingStatus::Fail)
            .map(|finding| (hash(&finding.id), place(&finding.resource)))
            .collect();
        self.nights.push(Night {
            started: report.started,
            flagged: of(Verdict::Flagged),
            not_evaluated: of(Verdict::NotEvaluated),
            waived: of(Verdict::Waived),
            passed: of(Verdict::Passed),
            unread: failed(report).count(),
            failing,
            found: report.findings.iter().map(|f| hash(&f.id)).collect(),
            read: report
                .regions
                .iter()
                .filter(|region| region.error.is_none())
                .map(|region| hash(&(region.region.as_str(), region.account.as_str())))
                .collect(),
        });
        self.nights.sort_by_key(|night| night.started);
    }

    /// Number of scans.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nights.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nights.is_empty()
    }
}

/// Enough to tell findings apart within one process.
fn hash(of: &(impl std::hash::Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Hash of region and account of an ARN: `arn:PARTITION:rds:REGION:ACCOUNT:…`.
fn place(arn: &str) -> u64 {
    let mut parts = arn.split(':').skip(3);
    let region = parts.next().unwrap_or_default();
    hash(&(region, parts.next().unwrap_or_default()))
}

/// A finding that was not there is new, unless nobody had looked; one that is gone is fixed, if somebody looked again.
fn changes(before: &Night, now: &Night) -> Changes {
    let (then_failing, now_failing): (HashSet<u64>, HashSet<u64>) = (
        before.failing.iter().map(|(id, _)| *id).collect(),
        now.failing.iter().map(|(id, _)| *id).collect(),
    );
    let new = now
        .failing
        .iter()
        .filter(|(id, place)| !then_failing.contains(id) && before.read.contains(place));
    let fixed = before.failing.iter().filter(|(id, place)| {
        !now_failing.contains(id) && !now.found.contains(id) && now.read.contains(place)
    });
    Changes {
        new: new.count(),
        fixed: fixed.count(),
    }
}

#[derive(Template)]
#[template(path = "trend.html")]
pub(super) struct Trend {
    width: f64,
    height: f64,
    left: f64,
    label: String,
    panels: Vec<Panel>,
    columns: Vec<Column>,
    nights_counted: String,
    nights: Vec<NightView>,
    note: String,
}

struct Panel {
    name: &'static str,
    y: f64,
    marks: Vec<Level>,
}

/// A height with its amount.
struct Level {
    y: f64,
    label: String,
}

struct Column {
    x: f64,
    width: f64,
    title: String,
    bars: Vec<Bar>,
    /// Date below it, where there is room.
    tick: String,
    anchor: &'static str,
}

struct Bar {
    mood: &'static str,
    y: f64,
    height: f64,
}

struct NightView {
    when: String,
    cells: Vec<String>,
}

/// Scans in the chart; older ones are left out.
const MOST: usize = 400;
/// Left end of the plot; amounts stand before it.
const LEFT: f64 = 64.0;
const WIDTH: f64 = 1180.0;
/// Height of what is not passed, of what passed, and of what changed (half of it for each of new and fixed).
const OPEN: f64 = 120.0;
const PASSED: f64 = 50.0;
const CHANGED: f64 = 60.0;
/// Room for the name of a panel.
const NAME: f64 = 22.0;
/// Two scans further apart than this many hours have a gap between them.
const GAP: i64 = 36;

/// A chart, if there are two scans at least.
pub(super) fn trend(history: &History) -> Option<Trend> {
    let left_out = history.nights.len().saturating_sub(MOST);
    let nights = history.nights.get(left_out..).unwrap_or_default();
    let (first, last) = (nights.first()?, nights.last()?);
    if nights.len() < 2 {
        return None;
    }
    let changed: Vec<Option<Changes>> = std::iter::once(None)
        .chain(nights.windows(2).map(|pair| match pair {
            [before, now] => Some(changes(before, now)),
            _ => None,
        }))
        .collect();
    let largest = |of: fn(&Night) -> usize| nights.iter().map(of).max().unwrap_or(0).max(1);
    let open = largest(|night| night.flagged + night.not_evaluated + night.waived);
    let passed = largest(|night| night.passed);
    let moved = changed.iter().flatten().map(|c| c.new.max(c.fixed)).max();
    let moved = moved.unwrap_or(0).max(1);
    let open_base = NAME + OPEN;
    let passed_base = open_base + NAME + 8.0 + PASSED;
    let middle = passed_base + NAME + 8.0 + CHANGED / 2.0;
    let height = (middle + CHANGED / 2.0 + 26.0).round();
    let level = |y: f64, amount: usize| Level {
        y: rounded(y),
        label: number(amount as u64),
    };
    let slots = slots(nights);
    let room = (WIDTH - LEFT) / float(slots.len());
    let width = rounded((room * 0.8).clamp(1.0, 44.0));
    let every = slots.len().div_ceil(12);
    let mut columns = Vec::new();
    for (at, slot) in slots.iter().enumerate() {
        let x = rounded(LEFT + room * float(at) + (room - width) / 2.0);
        let (night, changed) = match slot {
            Slot::Gap(days) => {
                columns.push(Column {
                    x,
                    width,
                    title: format!("no scan for {}", count(*days, "day", "days")),
                    bars: vec![Bar {
                        mood: "gap",
                        y: NAME,
                        height: rounded(OPEN),
                    }],
                    tick: String::new(),
                    anchor: "middle",
                });
                continue;
            }
            Slot::Night(index) => match (nights.get(*index), changed.get(*index)) {
                (Some(night), Some(changed)) => (night, *changed),
                _ => continue,
            },
        };
        let mut bars = stack(
            &[
                (night.flagged, "bad"),
                (night.not_evaluated, "odd"),
                (night.waived, "waived"),
            ],
            open,
            open_base,
            OPEN,
        );
        bars.extend(stack(
            &[(night.passed, "good")],
            passed,
            passed_base,
            PASSED,
        ));
        if let Some(changes) = changed {
            bars.extend(stack(&[(changes.new, "bad")], moved, middle, CHANGED / 2.0));
            if changes.fixed > 0 {
                bars.push(Bar {
                    mood: "good",
                    y: middle,
                    height: tall(changes.fixed, moved, CHANGED / 2.0),
                });
            }
        }
        if night.unread > 0 {
            bars.push(Bar {
                mood: "unread",
                y: rounded(open_base + 1.0),
                height: 5.0,
            });
        }
        let is_last = at + 1 == slots.len();
        columns.push(Column {
            x,
            width,
            title: title(night, changed),
            bars,
            tick: if at % every == 0 || (is_last && at % every > every / 2) {
                night.started.strftime("%b %-d").to_string()
            } else {
                String::new()
            },
            anchor: if is_last { "end" } else { "middle" },
        });
    }
    let mut notes = Vec::new();
    if left_out > 0 {
        notes.push(format!(
            "{} are left out.",
            count(left_out, "older scan", "older scans")
        ));
    }
    if nights.iter().any(|night| night.unread > 0) {
        notes.push(
            "Of a region that was not read nothing is counted: neither flagged, nor passed, nor fixed."
                .to_owned(),
        );
    }
    Some(Trend {
        width: WIDTH,
        height,
        left: LEFT,
        label: format!(
            "{}, {} to {}: flagged {} at first and {} at last; the table below holds the numbers",
            count(nights.len(), "scan", "scans"),
            when(first.started),
            when(last.started),
            number(first.flagged as u64),
            number(last.flagged as u64),
        ),
        panels: vec![
            Panel {
                name: "not passed",
                y: 0.0,
                marks: vec![level(open_base, 0), level(open_base - OPEN, open)],
            },
            Panel {
                name: "passed",
                y: open_base + 8.0,
                marks: vec![level(passed_base, 0), level(passed_base - PASSED, passed)],
            },
            Panel {
                name: "findings: new above, fixed below",
                y: passed_base + 8.0,
                marks: vec![
                    level(middle - CHANGED / 2.0, moved),
                    level(middle, 0),
                    level(middle + CHANGED / 2.0, moved),
                ],
            },
        ],
        columns,
        nights_counted: count(nights.len(), "scan", "scans"),
        nights: nights
            .iter()
            .zip(&changed)
            .rev()
            .map(|(night, changed)| NightView {
                when: when(night.started),
                cells: cells(night, *changed),
            })
            .collect(),
        note: notes.join(" "),
    })
}

/// A column: a scan, or days without one.
enum Slot {
    Night(usize),
    Gap(usize),
}

fn slots(nights: &[Night]) -> Vec<Slot> {
    let mut slots = Vec::new();
    let mut before: Option<Timestamp> = None;
    for (index, night) in nights.iter().enumerate() {
        let hours = before.map_or(0, |before| {
            night.started.duration_since(before).as_secs() / 3600
        });
        if hours > GAP {
            slots.push(Slot::Gap(usize::try_from(hours / 24).unwrap_or(1).max(1)));
        }
        slots.push(Slot::Night(index));
        before = Some(night.started);
    }
    slots
}

/// Amounts on each other, from the base upwards; none is so small that it cannot be seen.
fn stack(parts: &[(usize, &'static str)], most: usize, base: f64, room: f64) -> Vec<Bar> {
    let mut y = base;
    let mut bars = Vec::new();
    for (amount, mood) in parts.iter().filter(|(amount, _)| *amount > 0) {
        let height = tall(*amount, most, room);
        y -= height;
        bars.push(Bar {
            mood,
            y: rounded(y),
            height,
        });
    }
    bars
}

fn tall(amount: usize, most: usize, room: f64) -> f64 {
    rounded((float(amount) / float(most) * room).max(1.5))
}

fn title(night: &Night, changes: Option<Changes>) -> String {
    let mut parts = vec![
        format!(
            "{}: {} flagged",
            when(night.started),
            number(night.flagged as u64)
        ),
        format!("{} not evaluated", number(night.not_evaluated as u64)),
        format!("{} waived", number(night.waived as u64)),
        format!("{} passed", number(night.passed as u64)),
    ];
    if let Some(changes) = changes {
        parts.push(format!("{} new", number(changes.new as u64)));
        parts.push(format!("{} fixed", number(changes.fixed as u64)));
    }
    if night.unread > 0 {
        parts.push(format!(
            "{} not read",
            count(night.unread, "region", "regions")
        ));
    }
    parts.join(", ")
}

fn cells(night: &Night, changes: Option<Changes>) -> Vec<String> {
    let changed = |of: fn(Changes) -> usize| {
        changes.map_or_else(|| "–".to_owned(), |changes| number(of(changes) as u64))
    };
    vec![
        number(night.flagged as u64),
        number(night.not_evaluated as u64),
        number(night.waived as u64),
        number(night.passed as u64),
        changed(|changes| changes.new),
        changed(|changes| changes.fixed),
        number(night.unread as u64),
    ]
}

fn float(amount: usize) -> f64 {
    super::chart::float(amount)
}

fn rounded(x: f64) -> f64 {
    super::chart::rounded(x)
}
