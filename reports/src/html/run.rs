//! The page of a run: how each migration ended, when each step ran, and when clients were away.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use askama::Template;
use atrest_model::diff::DiffReport;
use atrest_model::journal::StepStatus;
use atrest_model::plan::{Action, Migration, Plan};
use atrest_model::run::{MigrationReport, Outcome, RunReport};
use jiff::Timestamp;

use super::chart::{Axis, Tick};
use super::diff::{Pairs, pairs};
use super::{Mood, Page, Tile, render, shown, tool, when};
use crate::text::{count, duration, number};

/// When a step ran, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepTime {
    /// `region/identifier`.
    pub migration: String,
    /// Step.
    pub step: String,
    /// Status at the end.
    pub status: StepStatus,
    /// When it was begun first.
    pub began: Timestamp,
    /// When it was done.
    pub ended: Option<Timestamp>,
}

impl StepTime {
    /// The times of all steps, from the lines of a journal in their order: migration, step, status after it, and when.
    pub fn of_journal<'a>(
        lines: impl IntoIterator<Item = (&'a str, &'a str, StepStatus, Timestamp)>,
    ) -> Vec<Self> {
        let mut steps: BTreeMap<(&str, &str), Self> = BTreeMap::new();
        for (migration, step, status, at) in lines {
            let time = steps.entry((migration, step)).or_insert_with(|| Self {
                migration: migration.to_owned(),
                step: step.to_owned(),
                status,
                began: at,
                ended: None,
            });
            time.status = status;
            time.ended = (status == StepStatus::Done).then_some(at);
        }
        let mut steps: Vec<Self> = steps.into_values().collect();
        steps.sort_by(|a, b| {
            (&a.migration, a.began, &a.step).cmp(&(&b.migration, b.began, &b.step))
        });
        steps
    }
}

/// What the page of a run may show beside its end.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunContext<'a> {
    /// The plan: it tells which renames take clients away and bring them back.
    pub plan: Option<&'a Plan>,
    /// When each step ran.
    pub steps: &'a [StepTime],
    /// What validation, or a later diff, found.
    pub diff: Option<&'a DiffReport>,
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage<'a> {
    page: Page,
    tiles: Vec<Tile>,
    rows: Vec<Shown<'a>>,
    chart: Option<Chart<'a>>,
    pairs: Option<Pairs<'a>>,
}

struct Shown<'a> {
    name: Cow<'a, str>,
    outcome: &'static str,
    mood: &'static str,
    steps: String,
    downtime: String,
    what: String,
    next: String,
}

struct Chart<'a> {
    height: u32,
    label: String,
    ticks: Vec<Tick>,
    lanes: Vec<Lane<'a>>,
}

struct Lane<'a> {
    y: u32,
    height: u32,
    name: String,
    full_name: Cow<'a, str>,
    down: Option<Down>,
    bars: Vec<Bar<'a>>,
}

struct Down {
    x: f64,
    width: f64,
    label: String,
    short: String,
}

struct Bar<'a> {
    x: f64,
    y: u32,
    width: f64,
    mood: &'static str,
    label: String,
    /// The name of the step, if it fits into the bar.
    inside: Cow<'a, str>,
    step: Cow<'a, str>,
    began: String,
    took: String,
    state: &'static str,
}

/// Left end and width of the plot; the names stand before it.
const PLOT: (f64, f64) = (230.0, 915.0);
/// Longest name that fits before the plot.
const NAME: usize = 30;
/// Distance of the bars of steps that run at the same time.
const TRACK: u32 = 17;

/// Renders a run as one self-contained HTML page.
///
/// # Errors
///
/// Any error of `out`.
pub fn run_page(
    report: &RunReport,
    context: &RunContext<'_>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let migrated = of(report, |outcome| matches!(outcome, Outcome::Migrated));
    let all = count(report.migrations.len(), "migration", "migrations");
    let (headline, mood) = if report.migrations.is_empty() {
        ("The plan has no migrations".to_owned(), Mood::Odd)
    } else if migrated == report.migrations.len() {
        (format!("All of {all} done"), Mood::Good)
    } else {
        (format!("{migrated} of {all} done"), Mood::Bad)
    };
    let page = RunPage {
        page: Page {
            tool: tool(&report.tool),
            kind: "migration to encrypted storage",
            title: format!("{headline} – run {}", report.run),
            headline,
            detail: format!("run {} · ended {}", report.run, when(report.ended)),
            mood: mood.class(),
        },
        tiles: tiles(report, migrated),
        rows: report.migrations.iter().map(row).collect(),
        chart: chart(report, context),
        pairs: context.diff.map(|diff| pairs(diff, false)),
    };
    render(&page, out)
}

fn of(report: &RunReport, wanted: fn(&Outcome) -> bool) -> usize {
    let outcomes = report.migrations.iter().map(|migration| &migration.outcome);
    outcomes.filter(|outcome| wanted(outcome)).count()
}

fn tiles(report: &RunReport, migrated: usize) -> Vec<Tile> {
    let tile = |amount: usize, label, mood: Mood| Tile {
        value: number(amount as u64),
        label,
        mood: mood.of(amount),
    };
    let mut tiles = vec![
        tile(report.migrations.len(), "migrations", Mood::Plain),
        tile(migrated, "migrated", Mood::Good),
    ];
    for (amount, label, mood) in [
        (
            of(report, |o| matches!(o, Outcome::Stopped { .. })),
            "stopped",
            Mood::Odd,
        ),
        (
            of(report, |o| matches!(o, Outcome::ValidationFailed { .. })),
            "failed validation",
            Mood::Bad,
        ),
        (
            of(report, |o| matches!(o, Outcome::NeedsOperator { .. })),
            "need an operator",
            Mood::Bad,
        ),
    ] {
        if amount > 0 {
            tiles.push(tile(amount, label, mood));
        }
    }
    let downtimes = report.migrations.iter().filter_map(|m| m.downtime_seconds);
    if let Some(longest) = downtimes.max_by(f64::total_cmp) {
        tiles.push(Tile {
            value: duration(longest),
            label: "longest downtime",
            mood: "",
        });
    }
    tiles
}

fn row(migration: &MigrationReport) -> Shown<'_> {
    let (outcome, mood, what, next) = match &migration.outcome {
        Outcome::Migrated => ("migrated", Mood::Good, String::new(), String::new()),
        Outcome::Stopped { step, reason } => (
            "stopped",
            Mood::Odd,
            format!("Stopped before {step} was done: {reason}"),
            "nothing is lost: resume the run".to_owned(),
        ),
        Outcome::ValidationFailed { drift } => (
            "validation failed",
            Mood::Bad,
            format!(
                "Validation found {}; nothing was renamed, clients are still away",
                count(*drift, "drift", "drifts")
            ),
            "mend the drift, then resume the run".to_owned(),
        ),
        Outcome::NeedsOperator { step, reason, hint } => (
            "needs an operator",
            Mood::Bad,
            format!("At {step}: {reason}"),
            hint.clone(),
        ),
    };
    Shown {
        name: shown(&migration.migration),
        outcome,
        mood: mood.class(),
        steps: format!("{} / {}", migration.steps_done, migration.steps),
        downtime: migration
            .downtime_seconds
            .map_or_else(|| "–".to_owned(), duration),
        what: shown(&what).into_owned(),
        next: shown(&next).into_owned(),
    }
}

fn chart<'a>(report: &'a RunReport, context: &RunContext<'a>) -> Option<Chart<'a>> {
    let begins = context.steps.iter().map(|step| step.began).min()?;
    let last = context.steps.iter().filter_map(|step| step.ended).max();
    let ends = last.map_or(report.ended, |last| last.max(report.ended));
    let axis = Axis::new(begins, ends, PLOT.0, PLOT.1);
    let mut y = 26;
    let mut lanes = Vec::new();
    for migration in &report.migrations {
        let steps: Vec<&StepTime> = context
            .steps
            .iter()
            .filter(|step| step.migration == migration.migration)
            .collect();
        if steps.is_empty() {
            continue;
        }
        let planned = context.plan.and_then(|plan| {
            let mut migrations = plan.migrations.iter();
            migrations.find(|planned| planned.id == migration.migration)
        });
        let lane = lane(migration, &steps, planned, ends, &axis, y);
        y += lane.height + 10;
        lanes.push(lane);
    }
    Some(Chart {
        height: y,
        label: format!(
            "Steps of {} over time",
            count(lanes.len(), "migration", "migrations")
        ),
        ticks: axis.ticks(),
        lanes,
    })
}

fn lane<'a>(
    migration: &'a MigrationReport,
    steps: &[&'a StepTime],
    planned: Option<&Migration>,
    ends: Timestamp,
    axis: &Axis,
    y: u32,
) -> Lane<'a> {
    // Steps that run at the same time stand below each other.
    let mut tracks: Vec<f64> = Vec::new();
    let bars: Vec<Bar<'_>> = steps
        .iter()
        .map(|step| {
            let end = step.ended.unwrap_or(ends).max(step.began);
            let (x, width) = (axis.x(step.began), axis.width(step.began, end));
            let free = tracks.iter().position(|taken| *taken <= x);
            let track = free.unwrap_or(tracks.len());
            match tracks.get_mut(track) {
                Some(taken) => *taken = x + width,
                None => tracks.push(x + width),
            }
            let took = duration(end.duration_since(step.began).as_secs_f64());
            let began = step.began.strftime("%H:%M:%S").to_string();
            Bar {
                x,
                y: y + 20 + TRACK * u32::try_from(track).unwrap_or(0),
                width,
                mood: if step.ended.is_some() {
                    "step"
                } else {
                    "running"
                },
                label: format!("{}: {began}, {took}", shown(&step.step)),
                inside: inside(&step.step, width),
                step: shown(&step.step),
                began,
                took,
                state: step.status.as_str(),
            }
        })
        .collect();
    let full_name = shown(&migration.migration);
    let name = match full_name.char_indices().nth(NAME) {
        Some((at, _)) => format!("{}…", full_name.get(..at).unwrap_or_default()),
        None => full_name.clone().into_owned(),
    };
    Lane {
        y,
        height: 23 + TRACK * u32::try_from(tracks.len()).unwrap_or(0),
        name,
        full_name,
        down: planned.and_then(|planned| down(planned, steps, ends, axis)),
        bars,
    }
}

/// The name, if a bar of that width has room for it.
fn inside(step: &str, width: f64) -> Cow<'_, str> {
    const CHARACTER: f64 = 6.4;
    let step = shown(step);
    let fits = step.chars().fold(8.0, |room, _| room + CHARACTER) <= width;
    if fits { step } else { Cow::Borrowed("") }
}

/// From the first rename of a source until the last rename to a real name was seen; until the end, if it was not.
fn down(migration: &Migration, steps: &[&StepTime], ends: Timestamp, axis: &Axis) -> Option<Down> {
    let renames = |wanted: bool| {
        let of = move |action: &Action| matches!(action, Action::Rename { cutover, .. } if *cutover == wanted);
        migration.steps.iter().filter(move |step| of(&step.action))
    };
    let time = |id: &str| steps.iter().find(|step| step.step == id);
    let began = renames(false)
        .filter_map(|step| time(&step.id))
        .map(|t| t.began)
        .min()?;
    let back: Option<Vec<Timestamp>> = renames(true).map(|step| time(&step.id)?.ended).collect();
    let back = back.and_then(|back| back.into_iter().max());
    let until = back.unwrap_or(ends).max(began);
    let took = duration(until.duration_since(began).as_secs_f64());
    Some(Down {
        x: axis.x(began),
        width: axis.width(began, until),
        label: format!(
            "clients away from {}{}, {took}",
            began.strftime("%H:%M:%S"),
            back.map_or_else(
                || ", and still".to_owned(),
                |back| format!(" to {}", back.strftime("%H:%M:%S"))
            )
        ),
        short: if back.is_some() {
            format!("away {took}")
        } else {
            format!("still away, {took}")
        },
    })
}
