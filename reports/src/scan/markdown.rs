//! A scan for a pull request or a step summary: the total, then what is wrong. What passed is a number.

use std::io::{self, Write};

use atrest_model::scan::ScanReport;

use super::rows::{Row, Verdict, holes, rows, total};
pub(crate) use crate::text::markdown as cell;

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
