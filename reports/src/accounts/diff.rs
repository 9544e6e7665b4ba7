//! A comparison of two servers, like a unified diff: what only the old one has is `-`, what only the new one has `+`.

use std::io::{self, Write};

use atrest_model::account::{AccountChange, Side};

use super::document::{
    AccountDifferences, AccountsDiffReport, AccountsNotCompared, ChangedAccount,
};
use super::{listed, or_null, server};
use crate::style::Style;
use crate::text::{count, number, paragraph, printable};

pub(super) fn write(
    report: &AccountsDiffReport,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "{}", server("---", &report.old, style))?;
    writeln!(out, "{}", server("+++", &report.new, style))?;
    write_differences(&report.differences, style, out)?;
    write_around(report, style, out)?;
    total(report, style, out)
}

/// Everything that differs, part by part.
pub(super) fn write_differences(
    differences: &AccountDifferences,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let title = |out: &mut dyn Write, what: &str, amount: usize| {
        if amount == 0 {
            return Ok(());
        }
        writeln!(out, "{}", style.bad(&format!("@@ {what}: {amount} @@")))
    };
    title(out, "settings", differences.settings.len())?;
    for setting in &differences.settings {
        let name = format!("@@{}", setting.setting);
        let (old, new) = (setting.old.as_deref(), setting.new.as_deref());
        write_value(&name, old, new, style, out)?;
    }
    title(out, "missing", differences.missing.len())?;
    for account in &differences.missing {
        let line = format!("- {}", printable(&account.to_string()));
        writeln!(out, "{}", style.removed(&line))?;
    }
    title(out, "extra", differences.extra.len())?;
    for account in &differences.extra {
        let line = format!("+ {}", printable(&account.to_string()));
        writeln!(out, "{}", style.good(&line))?;
    }
    title(out, "changed", differences.changed.len())?;
    for changed in &differences.changed {
        write_changed(changed, style, out)?;
    }
    title(out, "configuration", differences.configuration.len())?;
    for value in &differences.configuration {
        let (old, new) = (value.old.as_deref(), value.new.as_deref());
        write_value(&value.name, old, new, style, out)?;
    }
    Ok(())
}

fn write_value(
    name: &str,
    old: Option<&str>,
    new: Option<&str>,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "~ {}", printable(name))?;
    let old = paragraph("-   ", &or_null(old), 4, style.width);
    let new = paragraph("+   ", &or_null(new), 4, style.width);
    writeln!(out, "{}", style.removed(&old))?;
    writeln!(out, "{}", style.good(&new))
}

fn write_changed(changed: &ChangedAccount, style: Style, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "~ {}", printable(&changed.account.to_string()))?;
    let mut line = |sign: char, what: &str, text: &str| {
        let line = format!("{}: {}", printable(what), printable(text));
        let line = paragraph(&format!("{sign}   "), &line, 6, style.width);
        let line = if sign == '-' {
            style.removed(&line)
        } else {
            style.good(&line)
        };
        writeln!(out, "{line}")
    };
    for change in &changed.changes {
        match change {
            AccountChange::Attribute {
                attribute,
                old,
                new,
            } => {
                let name = attribute.to_string();
                line('-', &name, or_none(old))?;
                line('+', &name, or_none(new))?;
            }
            AccountChange::Privileges { on, missing, extra } => {
                let on = format!("on {on}");
                if !missing.is_empty() {
                    line('-', &on, &missing.join(", "))?;
                }
                if !extra.is_empty() {
                    line('+', &on, &extra.join(", "))?;
                }
            }
        }
    }
    Ok(())
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

/// What is not a difference and should be known.
fn write_around(report: &AccountsDiffReport, style: Style, out: &mut dyn Write) -> io::Result<()> {
    if let Some(line) = listed("reserved, not compared: ", &report.reserved, style) {
        writeln!(out, "{line}")?;
    }
    for orphan in &report.orphans {
        let line = format!(
            "a grant on {} without an account: {} on the {} server",
            orphan.orphan.level,
            orphan.orphan.account,
            side(orphan.side)
        );
        let line = paragraph("note: ", &printable(&line), 2, style.width);
        writeln!(out, "{}", style.odd(&line))?;
    }
    for warning in &report.warnings {
        let line = paragraph("note: ", &printable(&warning.to_string()), 2, style.width);
        writeln!(out, "{}", style.odd(&line))?;
    }
    for not in &report.not_compared {
        let line = sentence(not);
        if not.failed {
            let line = paragraph("NOT READ: ", &printable(&line), 2, style.width);
            writeln!(out, "{}", style.bad(&line))?;
        } else {
            let line = paragraph("not compared: ", &printable(&line), 2, style.width);
            writeln!(out, "{}", style.odd(&line))?;
        }
    }
    Ok(())
}

fn sentence(not: &AccountsNotCompared) -> String {
    let of = match &not.account {
        Some(account) => format!(" of {account}"),
        None => String::new(),
    };
    let on = match not.side {
        Some(of) => format!(" on the {} server", side(of)),
        None => String::new(),
    };
    format!("{}{of}{on}: {}", not.part, not.reason)
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Old => "old",
        Side::New => "new",
    }
}

fn total(report: &AccountsDiffReport, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let found = &report.differences;
    let accounts = count(
        usize::try_from(report.compared).unwrap_or(usize::MAX),
        "account",
        "accounts",
    );
    let mut line = if found.is_empty() {
        format!("no difference in {accounts}")
    } else {
        let mut parts = vec![
            format!("{} missing", number(found.missing.len() as u64)),
            format!("{} extra", number(found.extra.len() as u64)),
            format!("{} changed", number(found.changed.len() as u64)),
        ];
        if !found.settings.is_empty() {
            parts.push(count(found.settings.len(), "setting", "settings"));
        }
        if !found.configuration.is_empty() {
            parts.push(count(
                found.configuration.len(),
                "configuration value",
                "configuration values",
            ));
        }
        format!("{} of {accounts}", parts.join(", "))
    };
    if !report.is_whole() {
        line.push_str("; INCOMPLETE: not everything could be read");
    }
    let line = paragraph("", &line, 2, style.width);
    let line = if found.is_empty() && report.is_whole() {
        style.good(&line)
    } else {
        style.bad(&line)
    };
    writeln!(out, "{line}")
}
