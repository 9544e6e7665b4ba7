//! A run as one message for a chat: a headline, what needs somebody, and the next command.

use std::io::{self, Write};

use atrest_model::phase::PhaseKind;
use atrest_model::run::{MigrationReport, Outcome, RunReport};

use super::{left_to_do, next_of, totals, word};
use crate::text::{count, printable};

/// Characters of a message: the smallest limit of a chat in use is Discord's 2,000, and whoever posts it adds a few.
const MOST: usize = 1_800;
/// Characters of one line: a reason that AWS gives can be long.
const LINE: usize = 280;

/// Plain text that no chat takes for markup: see [`plain`]. What does not fit is counted.
pub(super) fn write(report: &RunReport, out: &mut dyn Write) -> io::Result<()> {
    let head = plain(&totals(report));
    let mut foot = Vec::new();
    let left = left_to_do(report).count();
    if left > 0 {
        foot.push(format!(
            "left to do: {} (atrest status {} --format markdown)",
            count(left, "thing", "things"),
            report.run
        ));
    }
    if let Some(next) = next_command(report) {
        foot.push(format!("next: {next}"));
    }
    let foot: Vec<String> = foot.iter().map(|line| plain(line)).collect();
    let mut room =
        MOST.saturating_sub(length(&head) + foot.iter().map(|l| length(l)).sum::<usize>());

    writeln!(out, "{head}")?;
    let mut untold = 0;
    for migration in report.migrations.iter().filter(|m| !m.outcome.is_whole()) {
        let text = entry(migration);
        // A message that tells the third and leaves out the second would look whole.
        if untold > 0 || length(&text) > room {
            untold += 1;
            continue;
        }
        room -= length(&text);
        writeln!(out, "{text}")?;
    }
    if untold > 0 {
        writeln!(out, "- and {untold} more")?;
    }
    for line in foot {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// With its newline.
fn length(text: &str) -> usize {
    text.chars().count() + 1
}

/// What happened to a migration, and what to do about it.
fn entry(migration: &MigrationReport) -> String {
    let (name, done, steps) = (&migration.migration, migration.steps_done, migration.steps);
    let head = format!("- {name} ({done}/{steps} steps):");
    match (next_of(migration), &migration.outcome) {
        (None, outcome) => plain(&format!("{head} {}", word(outcome))),
        (Some((what, next)), outcome) => {
            let what = match outcome {
                Outcome::NeedsOperator { .. } => format!("{} {what}", word(outcome)),
                _ => what,
            };
            format!(
                "{}\n{}",
                plain(&format!("{head} {what}")),
                plain(&format!("  do: {next}"))
            )
        }
    }
}

fn next_command(report: &RunReport) -> Option<String> {
    let run = &report.run;
    let open = report.migrations.iter().any(|m| !m.outcome.is_whole());
    if !open {
        return None;
    }
    Some(match report.phase.as_ref().map(|phase| phase.kind) {
        None => format!("atrest fix --resume {run}"),
        Some(kind @ (PhaseKind::Rollback | PhaseKind::Cleanup)) => {
            format!("atrest {} {run} --execute", kind.as_str())
        }
    })
}

/// One line that mentions nobody and links nowhere: `<…>` and `@…` call people in Slack, Discord and Teams, and a reason
/// may quote what somebody else has named.
fn plain(text: &str) -> String {
    let text = printable(text);
    let mut line: String = text
        .chars()
        .map(|c| match c {
            '<' => '‹',
            '>' => '›',
            '&' => '＆',
            '@' => '＠',
            '\n' => ' ',
            other => other,
        })
        .take(LINE)
        .collect();
    if text.chars().count() > LINE {
        line.push('…');
    }
    line
}
