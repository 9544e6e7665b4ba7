//! A run as JSON Lines: the run, each migration, each DB instance, each step; each line with the version of its form.

use std::io::{self, Write};

use atrest_model::journal::StepStatus;
use atrest_model::run::{Outcome, RunReport, Spent};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{RunContext, hint, remarks, step_kind, step_spent};
use crate::json;

/// Version of the form of a [`RunLine`].
pub const RUN_LINE_VERSION: u32 = 1;

/// One line of a run in the format `jsonl`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RunLine<'a> {
    /// [`RUN_LINE_VERSION`].
    schema_version: u32,
    /// The run.
    run: &'a str,
    /// When it ended, or when something happened last: the same on every line.
    #[schemars(with = "String", extend("format" = "date-time"))]
    ended: Timestamp,
    /// What the line says.
    record: Record<'a>,
}

/// What a line says.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "type")]
enum Record<'a> {
    /// The first line: the run itself.
    Run {
        /// Name of the tool.
        tool: &'a str,
        /// Version of the tool.
        tool_version: &'a str,
        /// Migrations of the plan.
        migrations: usize,
        /// Those that have arrived.
        migrated: usize,
    },
    /// How a migration ended, or where it is.
    Migration {
        /// `region/identifier`.
        migration: &'a str,
        /// How.
        outcome: &'a Outcome,
        /// The same in one line for people.
        summary: String,
        /// What to do next; empty for nothing.
        next: &'a str,
        /// Steps done.
        steps_done: usize,
        /// Steps in all.
        steps: usize,
        /// Seconds clients were away; absent while they are, or were never.
        downtime_seconds: Option<f64>,
        /// Seconds from its first step to its last; absent when the journal was not at hand, as are the next four.
        seconds: Option<f64>,
        /// Seconds in which RDS copied data.
        copying_seconds: Option<f64>,
        /// Seconds in which RDS did something else.
        waiting_seconds: Option<f64>,
        /// Seconds of this tool's own work.
        own_seconds: Option<f64>,
        /// Seconds in which it stood still.
        idle_seconds: Option<f64>,
    },
    /// How long the clients of a DB instance were away.
    Instance {
        /// `region/identifier` of its migration.
        migration: &'a str,
        /// Its real name.
        identifier: &'a str,
        /// When it lost that name.
        #[schemars(with = "String", extend("format" = "date-time"))]
        from: Timestamp,
        /// When its successor was seen under it.
        #[schemars(with = "Option<String>", extend("format" = "date-time"))]
        until: Option<Timestamp>,
        /// Seconds.
        seconds: f64,
    },
    /// A step that has begun.
    Step {
        /// `region/identifier`.
        migration: &'a str,
        /// Its name.
        step: &'a str,
        /// Its kind.
        kind: &'a str,
        /// What its time is spent on; absent when the plan was not at hand.
        spent: Option<Spent>,
        /// Where it is.
        #[schemars(with = "String", extend("enum" = ["pending", "intended", "accepted", "done", "stopped"]))]
        status: StepStatus,
        /// When it was begun first.
        #[schemars(with = "String", extend("format" = "date-time"))]
        began: Timestamp,
        /// When it was done.
        #[schemars(with = "Option<String>", extend("format" = "date-time"))]
        done: Option<Timestamp>,
        /// How often a mutation was about to be sent.
        sent: usize,
        /// What did not run smoothly; empty for nothing.
        remarks: String,
    },
}

pub(super) fn write(
    report: &RunReport,
    context: &RunContext<'_>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut line = |record| {
        let line = RunLine {
            schema_version: RUN_LINE_VERSION,
            run: report.run.as_str(),
            ended: report.ended,
            record,
        };
        json::line(&line, out)
    };
    line(Record::Run {
        tool: &report.tool.name,
        tool_version: &report.tool.version,
        migrations: report.migrations.len(),
        migrated: report
            .migrations
            .iter()
            .filter(|one| one.outcome.is_whole())
            .count(),
    })?;
    for one in &report.migrations {
        let times = one.times.as_ref();
        line(Record::Migration {
            migration: &one.migration,
            outcome: &one.outcome,
            summary: one.outcome.summary(),
            next: hint(&one.outcome),
            steps_done: one.steps_done,
            steps: one.steps,
            downtime_seconds: one.downtime_seconds,
            seconds: times.map(|times| times.seconds),
            copying_seconds: times.map(|times| times.copying_seconds),
            waiting_seconds: times.map(|times| times.waiting_seconds),
            own_seconds: times.map(|times| times.own_seconds),
            idle_seconds: times.map(|times| times.idle_seconds),
        })?;
        for instance in times.iter().flat_map(|times| &times.instances) {
            line(Record::Instance {
                migration: &one.migration,
                identifier: &instance.identifier,
                from: instance.from,
                until: instance.until,
                seconds: instance.seconds,
            })?;
        }
        let planned = context.plan.and_then(|plan| {
            let mut migrations = plan.migrations.iter();
            migrations.find(|planned| planned.id == one.migration)
        });
        for time in context.steps_of(&one.migration) {
            let step = planned.and_then(|planned| planned.steps.iter().find(|s| s.id == time.step));
            line(Record::Step {
                migration: &one.migration,
                step: &time.step,
                kind: step_kind(&time.step),
                spent: step.map(|step| step_spent(&step.action)),
                status: time.status,
                began: time.began,
                done: time.ended,
                sent: time.sent,
                remarks: remarks(time, context),
            })?;
        }
    }
    Ok(())
}
