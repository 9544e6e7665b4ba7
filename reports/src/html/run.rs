//! A run on a page: how each migration ended, when each step ran, and when clients were away.

use std::borrow::Cow;
use std::io::{self, Write};

use askama::Template;
use atrest_model::run::{MigrationReport, Outcome, RunReport};

use super::chart::rounded;
use super::gantt::{Chart, chart};
use super::{Mood, Part, Section, Summary, Tile, diff, shown, tool, when, write_page};
use crate::run::{RunContext, away, left_to_do, most};
use crate::text::{count, duration, number, words};

#[derive(Template)]
#[template(path = "migrations.html")]
struct Migrations<'a> {
    id: String,
    title: String,
    rows: Vec<Shown<'a>>,
    spent: Vec<SpentView<'a>>,
    instances: Vec<InstanceView<'a>>,
    chart: Option<Chart<'a>>,
    /// Why there is none.
    no_chart: &'static str,
}

struct Shown<'a> {
    name: Cow<'a, str>,
    outcome: &'static str,
    mood: &'static str,
    steps: String,
    downtime: String,
    what: String,
    next: String,
    left: Vec<Left<'a>>,
}

/// Something that a person has to do.
struct Left<'a> {
    kind: Cow<'a, str>,
    subject: Cow<'a, str>,
    what: Cow<'a, str>,
    todo: Cow<'a, str>,
}

/// Where the time of a migration went.
struct SpentView<'a> {
    name: Cow<'a, str>,
    total: String,
    parts: [SpentPart; 4],
    most: String,
}

/// Part of a bar of 100 units.
struct SpentPart {
    class: &'static str,
    time: String,
    x: f64,
    width: f64,
}

struct InstanceView<'a> {
    name: Cow<'a, str>,
    mood: &'static str,
    downtime: String,
    away: String,
}

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
    let part = part(report, context, "migrations", "Migrations");
    write_page(vec![part], &format!("run {}", report.run), out)
}

/// `id` names its first section, and begins the names of the others.
pub(super) fn part<'a>(
    report: &'a RunReport,
    context: &RunContext<'a>,
    id: &str,
    title: &str,
) -> Part<'a> {
    let migrated = of(report, |outcome| {
        outcome.is_whole() && *outcome != Outcome::RolledBack
    });
    let all = count(report.migrations.len(), "migration", "migrations");
    let (headline, mood) = if report.migrations.is_empty() {
        ("The plan has no migrations".to_owned(), Mood::Odd)
    } else if migrated == report.migrations.len() {
        let headline = match migrated {
            1 => "The migration is done".to_owned(),
            _ => format!("All of {all} done"),
        };
        (headline, Mood::Good)
    } else {
        (format!("{migrated} of {all} done"), Mood::Bad)
    };
    let migrations = Migrations {
        id: id.to_owned(),
        title: title.to_owned(),
        rows: report.migrations.iter().map(row).collect(),
        spent: report.migrations.iter().filter_map(spent).collect(),
        instances: report
            .migrations
            .iter()
            .filter_map(|migration| migration.times.as_ref())
            .flat_map(|times| &times.instances)
            .map(|instance| InstanceView {
                name: shown(&instance.identifier),
                mood: if instance.until.is_none() { "bad" } else { "" },
                downtime: match instance.until {
                    Some(_) => words(instance.seconds),
                    None => format!("{} so far", words(instance.seconds)),
                },
                away: away(instance),
            })
            .collect(),
        chart: chart(report, context),
        no_chart: if context.plan.is_some() {
            "No step has begun."
        } else {
            "The end of this run was saved without its journal: there is no timeline."
        },
    };
    let mut sections = vec![Section::new(id, title, migrations)];
    if let Some(found) = context.diff {
        let (id, title) = (format!("{id}-pairs"), "Pairs, as validation found them");
        let pairs = diff::pairs(found, false, &id, title);
        sections.push(Section::new(&id, title, pairs));
    }
    Part {
        kind: "migration to encrypted storage",
        headline,
        detail: format!("run {} · ended {}", report.run, when(report.ended)),
        mood,
        tool: tool(&report.tool),
        summary: Summary {
            name: "The migration",
            tiles: tiles(report, migrated),
            bar: Vec::new(),
            bar_label: String::new(),
        },
        sections,
    }
}

fn spent(migration: &MigrationReport) -> Option<SpentView<'_>> {
    let times = migration.times.as_ref()?;
    let mut x = 0.0;
    let parts = [
        ("copying", times.copying_seconds),
        ("rds", times.waiting_seconds),
        ("own", times.own_seconds),
        ("idle", times.idle_seconds),
    ]
    .map(|(class, seconds)| {
        let width = if times.seconds > 0.0 {
            seconds / times.seconds * 100.0
        } else {
            0.0
        };
        let part = SpentPart {
            class,
            time: duration(seconds),
            x: rounded(x),
            width: rounded(width),
        };
        x += width;
        part
    });
    Some(SpentView {
        name: shown(&migration.migration),
        total: duration(times.seconds),
        parts,
        most: shown(&most(times)).into_owned(),
    })
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
    let left = left_to_do(report).count();
    if left > 0 {
        tiles.push(tile(left, "left to do", Mood::Odd));
    }
    let downtimes = report.migrations.iter().filter_map(|m| m.downtime_seconds);
    if let Some(longest) = downtimes.max_by(f64::total_cmp) {
        tiles.push(Tile {
            value: words(longest),
            label: "longest downtime",
            mood: "",
        });
    }
    tiles
}

fn row(migration: &MigrationReport) -> Shown<'_> {
    let (outcome, mood, what, next) = match &migration.outcome {
        Outcome::Migrated => ("migrated", Mood::Good, String::new(), String::new()),
        Outcome::RolledBack => ("rolled back", Mood::Odd, String::new(), String::new()),
        Outcome::CleanedUp => ("cleaned up", Mood::Good, String::new(), String::new()),
        Outcome::Rehearsed => ("rehearsed", Mood::Good, String::new(), String::new()),
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
            .map_or_else(|| "–".to_owned(), words),
        what: shown(&what).into_owned(),
        next: shown(&next).into_owned(),
        left: migration
            .left_to_do
            .iter()
            .map(|item| Left {
                kind: shown(&item.kind),
                subject: shown(&item.subject),
                what: shown(&item.what),
                todo: shown(&item.todo),
            })
            .collect(),
    }
}
