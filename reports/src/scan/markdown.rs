//! A scan for a pull request or a step summary: the total, then what is wrong. What passed is a number.

use std::io::{self, Write};

use atrest_model::scan::ScanReport;

use super::rows::{Row, Verdict, holes, rows, total};
use crate::text::printable;

pub(super) fn write(report: &ScanReport, out: &mut dyn Write) -> io::Result<()> {
    let rows = rows(report);
    let (line, _mood) = total(report, &rows);
    writeln!(out, "**{}**", cell(&line))?;
    for (verdict, title) in [
        (Verdict::Flagged, "Flagged"),
        (Verdict::NotEvaluated, "Not evaluated"),
        (Verdict::Waived, "Waived"),
    ] {
        let group: Vec<&Row<'_>> = rows.iter().filter(|row| row.verdict == verdict).collect();
        if group.is_empty() {
            continue;
        }
        writeln!(
            out,
            "\n### {title}\n\n| account | region | resource | engine | severity | policy | reason |\n|---|---|---|---|---|---|---|"
        )?;
        for row in group {
            let remark = row
                .remark()
                .map_or_else(String::new, |remark| format!(" ({remark})"));
            writeln!(
                out,
                "| {} | {} | {}{} | {} | {} | {} | {} |",
                cell(row.account()),
                cell(row.region()),
                cell(row.identifier()),
                cell(&remark),
                cell(&row.engine()),
                row.severity().map_or("", |severity| severity.as_str()),
                cell(&row.policies().join(", ")),
                cell(&row.reasons()),
            )?;
        }
    }
    if holes(report).next().is_some() {
        writeln!(
            out,
            "\n### Not read\n\n| account | region | reason |\n|---|---|---|"
        )?;
        for hole in holes(report) {
            writeln!(
                out,
                "| {} | {} | {} |",
                cell(hole.account),
                cell(&hole.place()),
                cell(hole.error)
            )?;
        }
    }
    Ok(())
}

/// Text that can neither break out of a Markdown table cell nor become markup, a link or HTML.
pub(crate) fn cell(text: &str) -> String {
    let text = printable(text);
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '~' | '!' | '$' => {
                safe.push('\\');
                safe.push(character);
            }
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            // A name must not mention a person.
            '@' => safe.push_str("&#64;"),
            c => safe.push(c),
        }
    }
    // Nor must an address become a link.
    safe.replace("://", "&#58;//").replace("www.", "www&#46;")
}
