//! Two scans: what became of each resource that was or is flagged.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use atrest_model::scan::ScanReport;

use super::scan::{SUPERSEDED, mood};
use super::superseded::Superseded;
use super::{Mood, shown, when};
use crate::scan::rows::{Row, Verdict, failed, rows};
use crate::text::count;

/// Most rows that are shown; the scans themselves have all.
const MOST: usize = 1000;

#[derive(Template)]
#[template(path = "compared.html")]
pub(super) struct Compared<'a> {
    before: String,
    after: String,
    rows: Vec<Shown<'a>>,
    left_out: String,
}

struct Shown<'a> {
    name: Cow<'a, str>,
    account: Cow<'a, str>,
    region: Cow<'a, str>,
    before: State,
    after: State,
}

/// What is known of a resource in a scan.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    mood: &'static str,
    word: &'static str,
}

pub(super) fn compared<'a>(
    before: &'a ScanReport,
    after: &'a ScanReport,
    superseded: &Superseded<'_>,
) -> Compared<'a> {
    let (old, new) = (rows(before), rows(after));
    let by_arn = |rows: &[Row<'a>]| -> BTreeMap<&'a str, Verdict> {
        rows.iter().map(|row| (row.arn, row.verdict)).collect()
    };
    let (old_verdicts, new_verdicts) = (by_arn(&old), by_arn(&new));
    let holes = [unread(before), unread(after)];
    let mut seen = BTreeSet::new();
    // What is flagged now comes first, as in the list of resources.
    let mut all: Vec<Shown<'a>> = new
        .iter()
        .chain(&old)
        .filter(|row| seen.insert(row.arn))
        .filter_map(|row| {
            let place = (row.account(), row.region());
            let [old_holes, new_holes] = &holes;
            let before = state(old_verdicts.get(row.arn), old_holes.contains(&place));
            let after = match superseded.remark(row.arn) {
                Some(_) if new_verdicts.get(row.arn) == Some(&Verdict::Flagged) => State {
                    mood: Mood::Odd.class(),
                    word: SUPERSEDED,
                },
                _ => state(new_verdicts.get(row.arn), new_holes.contains(&place)),
            };
            let telling = before != after || after.mood == Mood::Bad.class();
            telling.then(|| Shown {
                name: shown(row.identifier()),
                account: shown(row.account()),
                region: shown(row.region()),
                before,
                after,
            })
        })
        .collect();
    let left_out = match all.len().checked_sub(MOST) {
        Some(left) if left > 0 => {
            all.truncate(MOST);
            format!(
                "{} more are not shown.",
                count(left, "resource", "resources")
            )
        }
        _ => String::new(),
    };
    Compared {
        before: when(before.started),
        after: when(after.started),
        rows: all,
        left_out,
    }
}

fn unread(report: &ScanReport) -> BTreeSet<(&str, &str)> {
    failed(report)
        .map(|(region, _)| (region.account.as_str(), region.region.as_str()))
        .collect()
}

/// A resource that is not in a scan was not there, unless its region was not read.
fn state(verdict: Option<&Verdict>, is_unread: bool) -> State {
    match verdict {
        Some(verdict) => State {
            mood: mood(*verdict).class(),
            word: verdict.as_str(),
        },
        None if is_unread => State {
            mood: Mood::Bad.class(),
            word: "not read",
        },
        None => State {
            mood: "",
            word: "not there",
        },
    }
}
