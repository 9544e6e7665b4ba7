//! What a clone would do, and what became of it.

use std::io::{self, Write};

use atrest_model::account::{NotTransferable, Scope, StatementStep};

use super::diff::write_differences;
use super::document::{AccountsCloneReport, CloneOutcome};
use super::{listed, or_null, server};
use crate::style::Style;
use crate::text::{count, paragraph, printable};

pub(super) fn write(
    report: &AccountsCloneReport,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "{}", server("from", &report.old, style))?;
    writeln!(out, "{}", server("to  ", &report.new, style))?;
    for note in &report.notes {
        let line = paragraph("note: ", &printable(note), 2, style.width);
        writeln!(out, "{}", style.odd(&line))?;
    }
    write_statements(report, style, out)?;
    write_not_transferable(&report.not_transferable, style, out)?;
    if let Some(line) = listed("reserved, left alone: ", &report.reserved, style) {
        writeln!(out, "{line}")?;
    }
    match &report.outcome {
        None => {
            write_left(report, style, out)?;
            total(report, style, out)
        }
        Some(outcome) => {
            write_outcome(outcome, style, out)?;
            write_left(report, style, out)?;
            verdict(report, outcome, style, out)
        }
    }
}

/// What a step is, for a heading.
fn heading(step: StatementStep) -> &'static str {
    match step {
        StatementStep::CreateRole => "create roles",
        StatementStep::CreateAccount => "create accounts",
        StatementStep::AlterAccount => "alter accounts",
        StatementStep::Grant => "grant",
        StatementStep::GrantProxy => "grant proxies",
        StatementStep::GrantRole => "grant roles",
        StatementStep::Revoke => "revoke",
        StatementStep::RestrictDatabase => "restrict databases",
        StatementStep::SetDefaultRole => "default roles",
        StatementStep::ExpirePassword => "expire passwords",
        StatementStep::GrantSystemUser => "grant SYSTEM_USER, after everything else",
        StatementStep::DropAccount => "drop accounts",
    }
}

/// Every statement in its order, under the heading of its step.
fn write_statements(
    report: &AccountsCloneReport,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut rest = report.statements.as_slice();
    while let Some(first) = rest.first() {
        let same = rest
            .iter()
            .take_while(|statement| statement.step == first.step)
            .count();
        let (these, others) = rest.split_at(same);
        let title = format!("@@ {}: {same} @@", heading(first.step));
        let takes_away = matches!(
            first.step,
            StatementStep::Revoke | StatementStep::DropAccount
        );
        let title = if takes_away {
            style.bad(&title)
        } else {
            style.strong(&title)
        };
        writeln!(out, "{title}")?;
        for statement in these {
            let line = paragraph("  ", &printable(&statement.statement), 6, style.width);
            writeln!(out, "{line}")?;
        }
        rest = others;
    }
    if !report.configuration.is_empty() {
        let title = format!("@@ configuration: {} @@", report.configuration.len());
        writeln!(out, "{}", style.strong(&title))?;
        for value in &report.configuration {
            let line = format!(
                "{}: {} -> {}",
                printable(&value.name),
                or_null(value.new.as_deref()),
                or_null(value.old.as_deref())
            );
            writeln!(out, "{}", paragraph("  ", &line, 6, style.width))?;
        }
    }
    Ok(())
}

fn write_not_transferable(
    found: &[NotTransferable],
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let title = format!("@@ cannot be carried: {} @@", found.len());
    writeln!(out, "{}", style.bad(&title))?;
    for not in found {
        let of = match &not.account {
            Some(account) => format!("{account}: "),
            None => String::new(),
        };
        let line = format!("{of}{}: {}", not.what, not.reason);
        let line = paragraph("  ", &printable(&line), 6, style.width);
        writeln!(out, "{}", style.odd(&line))?;
    }
    Ok(())
}

/// What differs and is not asked for.
fn write_left(report: &AccountsCloneReport, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let left = &report.left;
    if left.is_empty() {
        return Ok(());
    }
    let line = match report.scope {
        Scope::Missing => {
            "differs and stays as it is; --sync changes accounts, --sync --drop-extra drops extra ones:"
        }
        Scope::Sync => "differs and stays as it is; --drop-extra drops extra accounts:",
        Scope::SyncAndDrop => "differs and stays as it is:",
    };
    let line = paragraph("", line, 2, style.width);
    writeln!(out, "{}", style.odd(&line))?;
    write_differences(left, style, out)
}

fn write_outcome(outcome: &CloneOutcome, style: Style, out: &mut dyn Write) -> io::Result<()> {
    if !outcome.refused.is_empty() {
        let title = format!("@@ refused: {} @@", outcome.refused.len());
        writeln!(out, "{}", style.bad(&title))?;
    }
    for refused in &outcome.refused {
        let line = paragraph("  ", &printable(&refused.statement), 6, style.width);
        writeln!(out, "{}", style.removed(&line))?;
        let line = paragraph("    ", &printable(&refused.message), 6, style.width);
        writeln!(out, "{line}")?;
        if let Some(hint) = &refused.hint {
            let line = paragraph("    hint: ", &printable(hint), 6, style.width);
            writeln!(out, "{line}")?;
        }
    }
    for warning in &outcome.warnings {
        let line = paragraph("warning: ", &printable(warning), 2, style.width);
        writeln!(out, "{}", style.odd(&line))?;
    }
    if let Some(line) = listed("made and dropped again: ", &outcome.dropped, style) {
        writeln!(out, "{line}")?;
    }
    for skipped in &outcome.skipped {
        let line = paragraph("not tried: ", &printable(skipped), 2, style.width);
        writeln!(out, "{}", style.odd(&line))?;
    }
    if !outcome.remaining.is_empty() {
        writeln!(out, "{}", style.bad("still different:"))?;
        write_differences(&outcome.remaining, style, out)?;
    }
    Ok(())
}

fn total(report: &AccountsCloneReport, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let mut line = if report.is_nothing() {
        "nothing to do".to_owned()
    } else {
        format!(
            "plan: {}{}; nothing was changed, --execute does it",
            count(report.statements.len(), "statement", "statements"),
            match report.configuration.len() {
                0 => String::new(),
                values => format!(
                    " and {}",
                    count(values, "configuration value", "configuration values")
                ),
            }
        )
    };
    if !report.is_whole {
        line.push_str("; INCOMPLETE: not everything could be read");
    }
    let line = paragraph("", &line, 2, style.width);
    let line = match (report.is_whole, report.is_nothing()) {
        (false, _) => style.bad(&line),
        (true, true) => style.good(&line),
        (true, false) => style.strong(&line),
    };
    writeln!(out, "{line}")
}

fn verdict(
    report: &AccountsCloneReport,
    outcome: &CloneOutcome,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let good = outcome.verified && outcome.refused.is_empty() && outcome.remaining.is_empty();
    let end = if !outcome.verified {
        "; STOPPED: the same command again goes on"
    } else if report.is_nothing() {
        "nothing to do"
    } else if good {
        "; read back: as asked for"
    } else {
        "; read back: NOT as asked for"
    };
    let set = match outcome.configured.as_slice() {
        [] => String::new(),
        set => format!(", set: {}", set.join(", ")),
    };
    let mut line = if report.is_nothing() {
        end.to_owned()
    } else {
        format!(
            "{} run, {} refused{set}{end}",
            count(outcome.applied.len(), "statement", "statements"),
            outcome.refused.len()
        )
    };
    if !report.is_whole {
        line.push_str("; INCOMPLETE: not everything could be read");
    }
    let line = paragraph("", &printable(&line), 2, style.width);
    let line = if good && report.is_whole {
        style.good(&line)
    } else {
        style.bad(&line)
    };
    writeln!(out, "{line}")
}
