//! A scan for people: what passed first, what is flagged last, beside the total, where the eye rests on a terminal.

use std::collections::BTreeSet;
use std::io::{self, Write};

use atrest_model::scan::ScanReport;

use super::rows::{Mood, Row, Verdict, failed, holes, rows, total, unread_kinds};
use crate::style::{Style, WHOLE, bad, cell};
use crate::text::{count, paragraph, printable};

pub(super) fn write(report: &ScanReport, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let rows = rows(report);
    let accounts: BTreeSet<&str> = rows.iter().map(Row::account).collect();
    let many_accounts = accounts.len() > 1;
    for verdict in [
        Verdict::Passed,
        Verdict::Waived,
        Verdict::NotEvaluated,
        Verdict::Flagged,
    ] {
        let group: Vec<&Row<'_>> = rows.iter().filter(|row| row.verdict == verdict).collect();
        if !group.is_empty() {
            write_group(verdict, &group, many_accounts, style, out)?;
            writeln!(out)?;
        }
    }
    let unread = failed(report).count();
    if holes(report).next().is_some() {
        let title = match unread_kinds(report) {
            Some(kinds) if unread == 0 => format!("INCOMPLETE: {kinds}"),
            _ => format!(
                "INCOMPLETE: {} could not be read",
                count(unread, "region", "regions")
            ),
        };
        writeln!(out, "{}", style.bad(&title))?;
        for hole in holes(report) {
            let first = format!("  {} {}  ", printable(hole.account), hole.place());
            let reason = paragraph(&first, &printable(hole.error), 4, style.width);
            writeln!(out, "{reason}")?;
        }
        writeln!(out)?;
    }
    let (line, mood) = total(report, &rows);
    let line = paragraph("", &line, 2, style.width);
    writeln!(
        out,
        "{}",
        match mood {
            Mood::Bad => style.bad(&line),
            Mood::Odd => style.odd(&line),
            Mood::Good => style.good(&line),
        }
    )
}

fn write_group(
    verdict: Verdict,
    group: &[&Row<'_>],
    many_accounts: bool,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    // What holds for all of them is said once.
    let shared = (verdict == Verdict::Flagged)
        .then(|| shared_finding(group))
        .flatten();
    let mut title = format!("{}: {}", verdict.as_str().to_uppercase(), group.len());
    if let Some(shared) = &shared {
        title = format!("{title} ({})", printable(shared));
    }
    let title = match verdict {
        Verdict::Flagged => style.bad(&title),
        Verdict::NotEvaluated => style.odd(&title),
        Verdict::Waived => style.strong(&title),
        Verdict::Passed => style.good(&title),
    };
    writeln!(out, "{title}")?;
    match verdict {
        Verdict::NotEvaluated | Verdict::Waived => {
            for row in group {
                write_with_reason(row, many_accounts, style, out)?;
            }
            Ok(())
        }
        Verdict::Flagged if shared.is_some() => write_table(group, many_accounts, None, style, out),
        Verdict::Flagged => {
            let more: More<'_> = ("finding", &finding);
            write_table(group, many_accounts, Some(more), style, out)
        }
        Verdict::Passed => {
            let encryption = |row: &Row<'_>| row.encryption(!style.is_narrow());
            let more: More<'_> = ("encryption", &encryption);
            write_table(group, many_accounts, Some(more), style, out)
        }
    }
}

/// Severity and policies of a row.
fn finding(row: &Row<'_>) -> String {
    let severity = row.severity().map_or("", |severity| severity.as_str());
    format!("{severity}: {}", row.policies().join(", "))
}

/// The finding that all rows have, if it is one.
fn shared_finding(group: &[&Row<'_>]) -> Option<String> {
    let first = finding(group.first()?);
    let all = group.iter().all(|row| finding(row) == first);
    all.then_some(first)
}

/// Title and text of a last column.
type More<'a> = (&'a str, &'a dyn Fn(&Row<'_>) -> String);

/// Most lines under one heading.
const PART: usize = 10_000;

/// A line a resource.
fn write_table(
    group: &[&Row<'_>],
    many_accounts: bool,
    more: Option<More<'_>>,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut header = vec!["region", "resource", "engine"];
    if many_accounts {
        header.insert(0, "account");
    }
    header.extend(more.map(|(title, _)| title));
    // A name must not be broken; what is said in brackets behind it may be.
    let longest = group
        .iter()
        .map(|row| 2 * row.depth + row.identifier().len())
        .max();
    let whole: Vec<(usize, usize)> = header
        .iter()
        .enumerate()
        .filter_map(|(index, title)| match *title {
            "account" | "region" | "encryption" => Some((index, WHOLE)),
            "resource" => Some((index, longest.unwrap_or(0))),
            _ => None,
        })
        .collect();
    let cells = |row: &&Row<'_>| {
        let mut cells = Vec::new();
        if many_accounts {
            cells.push(cell(row.account()));
        }
        cells.push(cell(row.region()));
        let name = name(row, style);
        cells.push(if row.verdict == Verdict::Flagged {
            bad(printable(&name))
        } else {
            cell(&name)
        });
        cells.push(cell(&row.engine()));
        cells.extend(more.map(|(_, text)| cell(&text(row))));
        cells
    };
    // A table is laid out in memory; a very long one is set in parts, each with its heading.
    for part in group.chunks(PART) {
        let rows = part.iter().map(cells);
        write!(out, "{}", style.table(&header, &whole, rows))?;
    }
    Ok(())
}

/// The name, below that of its source, with what else there is to say.
fn name(row: &Row<'_>, style: Style) -> String {
    let branch = match (row.depth, style.unicode) {
        (0, _) => String::new(),
        (depth, true) => format!("{}└ ", "  ".repeat(depth - 1)),
        (depth, false) => format!("{}` ", "  ".repeat(depth - 1)),
    };
    let remark = row
        .remark()
        .map_or_else(String::new, |remark| format!(" ({remark})"));
    format!("{branch}{}{remark}", row.identifier())
}

/// A resource with its reason, which is a sentence and needs the whole width.
fn write_with_reason(
    row: &Row<'_>,
    many_accounts: bool,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let remark = row
        .remark()
        .map_or_else(String::new, |remark| format!(" ({remark})"));
    let account = if many_accounts { row.account() } else { "" };
    let parts = [account, row.region(), row.identifier(), &row.engine()];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let line = format!("{}{remark}", parts.join("  "));
    writeln!(out, "  {}", printable(&line))?;
    let reason = format!("{}: {}", row.policies().join(", "), row.reasons());
    let reason = paragraph("    ", &printable(&reason), 4, style.width);
    writeln!(out, "{}", style.odd(&reason))
}
