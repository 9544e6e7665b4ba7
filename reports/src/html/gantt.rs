//! The steps of each migration over time, with the time clients were away, retries and stops.

use std::borrow::Cow;

use atrest_model::run::{MigrationReport, RunReport};
use jiff::Timestamp;

use super::chart::{Axis, Tick};
use super::shown;
use crate::run::{MarkKind, RunContext, StepTime};
use crate::text::{count, duration, words};

pub(super) struct Chart<'a> {
    pub(super) height: u32,
    pub(super) label: String,
    /// From when to when.
    pub(super) span: String,
    pub(super) has_pauses: bool,
    pub(super) has_retries: bool,
    pub(super) ticks: Vec<Tick>,
    pub(super) lanes: Vec<Lane<'a>>,
    /// Retries that belong to no migration.
    pub(super) elsewhere: String,
}

pub(super) struct Lane<'a> {
    pub(super) y: u32,
    pub(super) height: u32,
    pub(super) name: String,
    pub(super) full_name: Cow<'a, str>,
    pub(super) remark: String,
    pub(super) down: Option<Down>,
    pub(super) bars: Vec<Bar<'a>>,
    pub(super) pauses: Vec<PauseView>,
    pub(super) retries: Vec<Retry>,
}

pub(super) struct Down {
    pub(super) x: f64,
    pub(super) width: f64,
    pub(super) text_x: f64,
    pub(super) anchor: &'static str,
    pub(super) label: String,
    pub(super) short: String,
}

pub(super) struct PauseView {
    pub(super) x: f64,
    pub(super) width: f64,
    pub(super) label: String,
}

pub(super) struct Retry {
    pub(super) x: f64,
    pub(super) y: u32,
    pub(super) label: String,
}

pub(super) struct Bar<'a> {
    pub(super) x: f64,
    pub(super) y: u32,
    pub(super) width: f64,
    pub(super) mood: &'static str,
    pub(super) label: String,
    /// The name of the step, if it fits into the bar.
    pub(super) inside: Cow<'a, str>,
    pub(super) step: Cow<'a, str>,
    pub(super) began: String,
    pub(super) took: String,
    pub(super) state: &'static str,
    pub(super) remarks: String,
}

/// Left end and width of the plot; the names stand before it.
const PLOT: (f64, f64) = (230.0, 915.0);
/// Longest name that fits before the plot.
const NAME: usize = 30;
/// Distance of the bars of steps that run at the same time.
const TRACK: u32 = 17;
/// More retries than these cannot be told apart in a lane.
const RETRIES: usize = 100;

pub(super) fn chart<'a>(report: &'a RunReport, context: &RunContext<'a>) -> Option<Chart<'a>> {
    let begins = context.steps.iter().map(|step| step.began).min()?;
    let last = context.steps.iter().filter_map(|step| step.ended).max();
    let marked = context.marks.iter().map(|mark| mark.at).max();
    let ends = last
        .max(marked)
        .map_or(report.ended, |last| last.max(report.ended));
    let axis = Axis::new(begins, ends, PLOT.0, PLOT.1);
    let mut y = 26;
    let mut lanes = Vec::new();
    for migration in &report.migrations {
        if let Some(lane) = lane(migration, context, ends, &axis, y) {
            y += lane.height + 10;
            lanes.push(lane);
        }
    }
    let full = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M:%S");
    let span = format!(
        "{} to {} UTC, {}",
        full(begins),
        full(ends),
        words(ends.duration_since(begins).as_secs_f64())
    );
    let is_known = |name: &str| report.migrations.iter().any(|one| one.migration == name);
    let elsewhere = context
        .marks
        .iter()
        .filter(|mark| mark.kind == MarkKind::Retry && !is_known(&mark.migration))
        .count();
    Some(Chart {
        height: y,
        label: format!(
            "Steps of {} over time, {span}; the tables below hold the same",
            count(lanes.len(), "migration", "migrations"),
        ),
        span,
        has_pauses: lanes.iter().any(|lane| !lane.pauses.is_empty()),
        has_retries: lanes.iter().any(|lane| !lane.retries.is_empty()),
        ticks: axis.ticks(),
        lanes,
        elsewhere: match elsewhere {
            0 => String::new(),
            amount => format!(
                "{} for a whole region failed and were tried again.",
                count(amount, "call", "calls")
            ),
        },
    })
}

fn lane<'a>(
    migration: &'a MigrationReport,
    context: &RunContext<'a>,
    ends: Timestamp,
    axis: &Axis,
    y: u32,
) -> Option<Lane<'a>> {
    let id = migration.migration.as_str();
    let steps = context.steps_of(id);
    if steps.is_empty() {
        return None;
    }
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
            bar(step, context, x, y + 20 + TRACK * small(track), width, end)
        })
        .collect();
    let full_name = shown(id);
    let name = match full_name.char_indices().nth(NAME) {
        Some((at, _)) => format!("{}…", full_name.get(..at).unwrap_or_default()),
        None => full_name.clone().into_owned(),
    };
    let pauses: Vec<PauseView> = context
        .pauses(id)
        .into_iter()
        .map(|pause| {
            let until = pause.until.unwrap_or(ends).max(pause.from);
            let took = words(until.duration_since(pause.from).as_secs_f64());
            let began = clock(pause.from);
            PauseView {
                x: axis.x(pause.from),
                width: axis.width(pause.from, until),
                label: match pause.until {
                    Some(_) => {
                        format!("stopped at {began} UTC for {took}: {}", shown(pause.reason))
                    }
                    None => format!("stopped at {began} UTC: {}", shown(pause.reason)),
                },
            }
        })
        .collect();
    let retries = retries(id, context, axis, &bars, y);
    let tried = context
        .marks_of(id)
        .filter(|mark| mark.kind == MarkKind::Retry)
        .count();
    let mut remarks = vec![count(steps.len(), "step", "steps")];
    if tried > 0 {
        remarks.push(format!("{} tried again", count(tried, "call", "calls")));
    }
    if !pauses.is_empty() {
        remarks.push(format!("stopped {}", times(pauses.len())));
    }
    Some(Lane {
        y,
        height: 23 + TRACK * small(tracks.len()),
        name,
        full_name,
        remark: remarks.join(", "),
        down: context.away(id).map(|away| {
            let until = away.until.unwrap_or(ends).max(away.from);
            let seconds = away.seconds(ends);
            let (x, width) = (axis.x(away.from), axis.width(away.from, until));
            // What does not fit into the end of the plot stands before it.
            let at_end = x > PLOT.0 + PLOT.1 - 140.0;
            Down {
                x,
                width,
                text_x: if at_end { x - 4.0 } else { x + 4.0 },
                anchor: if at_end { "end" } else { "start" },
                label: format!(
                    "clients away from {} UTC{}, {}",
                    clock(away.from),
                    away.until.map_or_else(
                        || ", and still".to_owned(),
                        |back| format!(" to {} UTC", clock(back))
                    ),
                    words(seconds)
                ),
                short: match away.until {
                    Some(_) => format!("away {}", duration(seconds)),
                    None => format!("still away, {}", duration(seconds)),
                },
            }
        }),
        bars,
        pauses,
        retries,
    })
}

fn bar<'a>(
    step: &'a StepTime,
    context: &RunContext<'a>,
    x: f64,
    y: u32,
    width: f64,
    end: Timestamp,
) -> Bar<'a> {
    let took = words(end.duration_since(step.began).as_secs_f64());
    let is_done = step.ended.is_some();
    Bar {
        x,
        y,
        width,
        mood: if is_done { "step" } else { "running" },
        label: format!(
            "{}: {} UTC, {took}{}",
            shown(&step.step),
            clock(step.began),
            if is_done { "" } else { ", not done" }
        ),
        inside: inside(&step.step, width),
        step: shown(&step.step),
        began: step.began.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        took: if is_done {
            took
        } else {
            format!("{took} so far")
        },
        state: step.status.as_str(),
        remarks: shown(&crate::run::remarks(step, context)).into_owned(),
    }
}

/// Marks where a call was tried again; those that would lie on each other are one.
fn retries(
    id: &str,
    context: &RunContext<'_>,
    axis: &Axis,
    bars: &[Bar<'_>],
    y: u32,
) -> Vec<Retry> {
    let mut retries: Vec<Retry> = Vec::new();
    for mark in context.marks_of(id) {
        if mark.kind != MarkKind::Retry || retries.len() >= RETRIES {
            continue;
        }
        let step = shown(&mark.step);
        let bar = bars.iter().find(|bar| bar.step == step);
        let (x, y) = (axis.x(mark.at), bar.map_or(y + 20, |bar| bar.y) + 4);
        if retries
            .iter()
            .any(|other| other.y == y && (other.x - x).abs() < 4.0)
        {
            continue;
        }
        retries.push(Retry {
            x,
            y,
            label: format!(
                "{} UTC, {step} again: {}",
                clock(mark.at),
                shown(&mark.reason)
            ),
        });
    }
    retries
}

fn clock(time: Timestamp) -> String {
    time.strftime("%H:%M:%S").to_string()
}

fn times(amount: usize) -> String {
    match amount {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        many => format!("{many} times"),
    }
}

fn small(amount: usize) -> u32 {
    u32::try_from(amount).unwrap_or(0)
}

/// The name, if a bar of that width has room for it.
fn inside(step: &str, width: f64) -> Cow<'_, str> {
    const CHARACTER: f64 = 6.4;
    let step = shown(step);
    let fits = step.chars().fold(8.0, |room, _| room + CHARACTER) <= width;
    if fits { step } else { Cow::Borrowed("") }
}
