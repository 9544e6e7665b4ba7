//! The page of a diff: every pair side by side, drift first.

use std::borrow::Cow;
use std::io::{self, Write};

use askama::Template;
use atrest_model::diff::{Area, DiffClass, DiffReport, Difference, NotCompared, PairDiff};

use super::sides::{Line, sides};
use super::{Mood, Part, Section, Summary, Tile, shown, tool, when, write_page};
use crate::text::{count, number};

/// The part of a page that shows pairs.
#[derive(Template)]
#[template(path = "pairs.html")]
pub(super) struct Pairs<'a> {
    id: String,
    title: String,
    pairs: Vec<Pair<'a>>,
}

/// A pair as the page shows it.
struct Pair<'a> {
    name: Cow<'a, str>,
    old: Cow<'a, str>,
    old_id: String,
    new: Cow<'a, str>,
    new_id: String,
    mood: &'static str,
    is_open: bool,
    verdict: String,
    others: String,
    groups: Vec<Group<'a>>,
    compared: String,
    not_read: Vec<Not<'a>>,
    not_compared: Vec<Not<'a>>,
}

/// Differences of one class.
struct Group<'a> {
    class: &'static str,
    is_drift: bool,
    differences: Vec<Shown<'a>>,
}

struct Shown<'a> {
    area: &'static str,
    path: Cow<'a, str>,
    old: Vec<Line>,
    new: Vec<Line>,
    /// Only the new side has it.
    is_added: bool,
    /// Only the old side has it.
    is_removed: bool,
    /// Why it and those that follow are explained: said once.
    because: Cow<'a, str>,
    /// Why it is drift.
    reason: Cow<'a, str>,
    remedy: Cow<'a, str>,
    /// Controls it breaks.
    breaks: String,
}

struct Not<'a> {
    areas: String,
    reason: Cow<'a, str>,
}

pub(crate) fn write(report: &DiffReport, drift_only: bool, out: &mut dyn Write) -> io::Result<()> {
    let part = part(report, drift_only, "pairs", "Pairs");
    write_page(vec![part], "atrest diff", out)
}

pub(super) fn part<'a>(
    report: &'a DiffReport,
    drift_only: bool,
    id: &str,
    title: &str,
) -> Part<'a> {
    let drift = report.drift();
    let unread = report
        .pairs
        .iter()
        .filter(|p| p.incomplete().is_some())
        .count();
    let sum = |of: fn(&PairDiff) -> u64| report.pairs.iter().map(of).sum::<u64>();
    let pairs_with = report.pairs.iter().filter(|pair| pair.drift() > 0).count();
    let (headline, mood) = match (report.pairs.len(), drift, unread) {
        (0, _, _) => ("No pair was compared".to_owned(), Mood::Odd),
        (all, 0, 0) => (
            format!("No drift in {}", count(all, "pair", "pairs")),
            Mood::Good,
        ),
        (_, 0, unread) => (
            format!(
                "Incomplete: {} not wholly read",
                count(unread, "pair was", "pairs were")
            ),
            Mood::Bad,
        ),
        (all, drift, _) => (
            format!(
                "{} in {pairs_with} of {}",
                count(drift, "drift", "drifts"),
                count(all, "pair", "pairs")
            ),
            Mood::Bad,
        ),
    };
    Part {
        kind: "old and new, compared",
        headline,
        detail: format!(
            "{} · {} attributes, {} settings, {} accounts, {} rows compared",
            when(report.created),
            number(sum(|pair| pair.compared.attributes)),
            number(sum(|pair| pair.compared.settings)),
            number(sum(|pair| pair.compared.accounts)),
            number(sum(|pair| pair.compared.rows)),
        ),
        mood,
        tool: tool(&report.tool),
        summary: Summary {
            name: "The comparison",
            tiles: tiles(report),
            bar: Vec::new(),
            bar_label: String::new(),
        },
        sections: vec![Section::new(
            id,
            title,
            pairs(report, drift_only, id, title),
        )],
    }
}

fn tiles(report: &DiffReport) -> Vec<Tile> {
    let of = |class| {
        let differences = report.pairs.iter().flat_map(|pair| &pair.differences);
        differences
            .filter(|difference| difference.class == class)
            .count()
    };
    let unread = report
        .pairs
        .iter()
        .filter(|p| p.incomplete().is_some())
        .count();
    let tile = |value: usize, label, mood| Tile {
        value: number(value as u64),
        label,
        mood,
    };
    let drift = of(DiffClass::Drift);
    let mood = if drift > 0 { Mood::Bad } else { Mood::Good };
    let mut tiles = vec![
        tile(report.pairs.len(), "pairs", ""),
        tile(drift, "drift", mood.class()),
        tile(of(DiffClass::Intended), "intended", ""),
        tile(of(DiffClass::Identity), "identity", ""),
        tile(of(DiffClass::Volatile), "volatile", ""),
    ];
    if unread > 0 {
        tiles.push(tile(unread, "not wholly read", "bad"));
    }
    tiles
}

/// The pairs, each with its differences by class.
pub(super) fn pairs<'a>(
    report: &'a DiffReport,
    drift_only: bool,
    id: &str,
    title: &str,
) -> Pairs<'a> {
    let pairs = report
        .pairs
        .iter()
        .filter(|pair| !drift_only || pair.drift() > 0 || pair.incomplete().is_some())
        .map(|found| pair(found, drift_only))
        .collect();
    Pairs {
        id: id.to_owned(),
        title: title.to_owned(),
        pairs,
    }
}

fn pair(pair: &PairDiff, drift_only: bool) -> Pair<'_> {
    let classes = [
        DiffClass::Drift,
        DiffClass::Intended,
        DiffClass::Identity,
        DiffClass::Volatile,
    ];
    let of = |class| -> Vec<&Difference> {
        let differences = pair.differences.iter();
        differences
            .filter(|difference| difference.class == class)
            .collect()
    };
    let groups = classes
        .into_iter()
        .filter(|class| !drift_only || *class == DiffClass::Drift)
        .map(|class| Group {
            class: class.as_str(),
            is_drift: class == DiffClass::Drift,
            differences: shown_of(of(class), class == DiffClass::Drift),
        })
        .filter(|group| !group.differences.is_empty())
        .collect();
    let others: Vec<String> = classes
        .into_iter()
        .filter(|class| *class != DiffClass::Drift)
        .map(|class| (of(class).len(), class.as_str()))
        .filter(|(amount, _)| *amount > 0)
        .map(|(amount, class)| format!("{amount} {class}"))
        .collect();
    let drift = pair.drift();
    let is_bad = drift > 0 || pair.incomplete().is_some();
    let mood = if is_bad { Mood::Bad } else { Mood::Good };
    let compared = &pair.compared;
    let side = |side: &atrest_model::diff::Side| {
        format!("{} · {}", shown(&side.region), shown(&side.dbi_resource_id))
    };
    Pair {
        name: shown(&pair.name),
        old: shown(&pair.old.identifier),
        old_id: side(&pair.old),
        new: shown(&pair.new.identifier),
        new_id: side(&pair.new),
        mood: mood.class(),
        is_open: is_bad,
        verdict: match (drift, pair.incomplete()) {
            (0, Some(_)) => "not wholly read".to_owned(),
            (0, None) => "no drift".to_owned(),
            (drift, _) => count(drift, "drift", "drifts"),
        },
        others: others.join(", "),
        groups,
        compared: format!(
            "{} attributes, {} settings, {} accounts, {} tables, {} rows{}",
            number(compared.attributes),
            number(compared.settings),
            number(compared.accounts),
            number(compared.tables),
            number(compared.rows),
            match (compared.tables, compared.checksums) {
                (0, _) => "",
                (_, true) => " by count and checksum",
                (_, false) => " by count only",
            }
        ),
        not_read: by_reason(&pair.not_compared, true),
        not_compared: by_reason(&pair.not_compared, false),
    }
}

/// Differences of one class; those that are explained are gathered by reason.
fn shown_of<'a>(mut found: Vec<&'a Difference>, is_drift: bool) -> Vec<Shown<'a>> {
    if is_drift {
        return found.into_iter().map(difference).collect();
    }
    found.sort_by_key(|difference| difference.reason.as_str());
    let mut said = "";
    found
        .into_iter()
        .map(|found| {
            let mut shown = difference(found);
            let reason = std::mem::take(&mut shown.reason);
            if found.reason != said {
                shown.because = reason;
                said = &found.reason;
            }
            shown
        })
        .collect()
}

fn difference(difference: &Difference) -> Shown<'_> {
    let (old, new) = sides(difference.old.as_ref(), difference.new.as_ref());
    Shown {
        area: match difference.area {
            // Most are; the path tells.
            Area::Attribute => "",
            area => area.as_str(),
        },
        path: shown(&difference.path),
        old,
        new,
        is_added: difference.old.is_none(),
        is_removed: difference.new.is_none(),
        because: Cow::Borrowed(""),
        reason: shown(&difference.reason),
        remedy: shown(difference.remedy.as_deref().unwrap_or_default()),
        breaks: shown(&crate::diff::controls(difference)).into_owned(),
    }
}

/// One reason often holds for several areas: it is said once.
fn by_reason(not_compared: &[NotCompared], failed: bool) -> Vec<Not<'_>> {
    let mut said: Vec<(&str, Vec<&str>)> = Vec::new();
    for not in not_compared.iter().filter(|not| not.failed == failed) {
        match said.iter_mut().find(|(reason, _)| *reason == not.reason) {
            Some((_, areas)) => areas.push(not.area.as_str()),
            None => said.push((&not.reason, vec![not.area.as_str()])),
        }
    }
    said.into_iter()
        .map(|(reason, areas)| Not {
            areas: areas.join(", "),
            reason: shown(reason),
        })
        .collect()
}
