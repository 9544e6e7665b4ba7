//! One pair, read like a unified diff: a sign in the first column, then the class, so that `grep '^[-+] drift'` works.

use std::io::{self, Write};

use atrest_model::diff::{Area, DiffClass, Difference, PairDiff, Side};

use super::value::{Line, Sign, lines};
use crate::style::Style;
use crate::text::{number, paragraph, printable};

/// Column of the path: after the sign and the longest class.
const PATH: usize = 12;
/// Column of a value that has lines of its own.
const VALUE: usize = 4;

const CLASSES: [DiffClass; 4] = [
    DiffClass::Drift,
    DiffClass::Intended,
    DiffClass::Identity,
    DiffClass::Volatile,
];

pub(super) fn write(
    pair: &PairDiff,
    drift_only: bool,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let width = pair.old.identifier.len().max(pair.new.identifier.len());
    let side = |sign: &str, side: &Side| {
        let line = format!(
            "{sign} {:<width$}  ({}, {})",
            side.identifier, side.region, side.dbi_resource_id
        );
        style.strong(&printable(&line))
    };
    writeln!(out, "{}", side("---", &pair.old))?;
    writeln!(out, "{}", side("+++", &pair.new))?;
    for class in CLASSES {
        let found: Vec<&Difference> = pair
            .differences
            .iter()
            .filter(|difference| difference.class == class)
            .collect();
        if found.is_empty() || (drift_only && class != DiffClass::Drift) {
            continue;
        }
        let title = format!("@@ {}: {} @@", class.as_str(), found.len());
        if class == DiffClass::Drift {
            writeln!(out, "{}", style.bad(&title))?;
            write_drift(pair, style, out)?;
        } else {
            writeln!(out, "{}", style.faint(&title))?;
            write_explained(&found, style, out)?;
        }
    }
    write_compared(pair, style, out)
}

/// Each drift with its reason and remedy.
pub(super) fn write_drift(pair: &PairDiff, style: Style, out: &mut dyn Write) -> io::Result<()> {
    for difference in &pair.differences {
        if difference.class != DiffClass::Drift {
            continue;
        }
        write_difference(difference, style, out)?;
        let indent = " ".repeat(PATH);
        if !difference.reason.is_empty() {
            let reason = format!("({})", printable(&difference.reason));
            let reason = paragraph(&indent, &reason, PATH, style.width);
            writeln!(out, "{}", style.faint(&reason))?;
        }
        if !difference.controls.is_empty() {
            let controls = format!("breaks {}", printable(&super::controls(difference)));
            let controls = paragraph(&indent, &controls, PATH, style.width);
            writeln!(out, "{}", style.bad(&controls))?;
        }
        if let Some(remedy) = &difference.remedy {
            // Never wrapped: it is there to be copied.
            writeln!(out, "{indent}remedy: {}", printable(remedy))?;
        }
    }
    Ok(())
}

/// Differences of one class, gathered by reason: the reason is said once.
fn write_explained(found: &[&Difference], style: Style, out: &mut dyn Write) -> io::Result<()> {
    let mut reasons: Vec<&str> = Vec::new();
    for difference in found {
        if !reasons.contains(&difference.reason.as_str()) {
            reasons.push(&difference.reason);
        }
    }
    for reason in reasons {
        if !reason.is_empty() {
            let line = paragraph("  # ", &printable(reason), 4, style.width);
            writeln!(out, "{}", style.faint(&line))?;
        }
        for difference in found.iter().filter(|d| d.reason == reason) {
            write_difference(difference, style, out)?;
        }
    }
    Ok(())
}

fn write_difference(difference: &Difference, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let class = difference.class.as_str();
    let path = match difference.area {
        Area::Attribute => printable(&difference.path).into_owned(),
        area => format!("{} {}", area.as_str(), printable(&difference.path)),
    };
    let found = lines(difference.old.as_ref(), difference.new.as_ref(), style);
    let paint = |sign: Sign, text: &str| match sign {
        Sign::Old => style.removed(text),
        Sign::New => style.good(text),
        Sign::Both => text.to_owned(),
    };
    // A value of one line stands beside its path where it fits, on both sides or on none.
    let head = |line: &Line| format!("{} {class:<9} {path}:", line.sign.as_char());
    let fits = |line: &Line| {
        style.width.is_none_or(|width| {
            textwrap::core::display_width(&head(line)) + 1 + line.width() <= usize::from(width)
        })
    };
    if !found.iter().all(|line| line.whole) {
        writeln!(out, "~ {class:<9} {path}:")?;
        return found
            .iter()
            .try_for_each(|line| write_value(line, style, &paint, out));
    }
    let inline = found.iter().all(fits);
    for line in &found {
        if inline {
            let text = format!("{} {}", head(line), line.text);
            writeln!(out, "{}", paint(line.sign, &text))?;
        } else {
            writeln!(out, "{}", paint(line.sign, &head(line)))?;
            write_value(line, style, &paint, out)?;
        }
    }
    Ok(())
}

/// A line of a value under its path, wrapped with its sign kept in the first column.
fn write_value(
    line: &Line,
    style: Style,
    paint: &dyn Fn(Sign, &str) -> String,
    out: &mut dyn Write,
) -> io::Result<()> {
    let sign = line.sign.as_char();
    let width = style
        .width
        .map_or(usize::MAX, |width| usize::from(width).max(40) - VALUE);
    for part in line.parts(width) {
        let text = format!("{sign}   {part}");
        writeln!(out, "{}", paint(line.sign, text.trim_end()))?;
    }
    Ok(())
}

fn write_compared(pair: &PairDiff, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let compared = &pair.compared;
    let rows = match (compared.tables, compared.checksums) {
        (0, _) => "rows",
        (_, true) => "rows by count and checksum",
        (_, false) => "rows by count only",
    };
    let line = format!(
        "compared: {} attributes, {} settings, {} accounts, {} tables, {} {rows}",
        number(compared.attributes),
        number(compared.settings),
        number(compared.accounts),
        number(compared.tables),
        number(compared.rows),
    );
    writeln!(out, "{}", paragraph("", &line, 2, style.width))?;
    // One reason often holds for several areas: it is said once.
    let mut said: Vec<(&str, Vec<&str>)> = Vec::new();
    for not in pair.not_compared.iter().filter(|not| !not.failed) {
        match said.iter_mut().find(|(reason, _)| *reason == not.reason) {
            Some((_, areas)) => areas.push(not.area.as_str()),
            None => said.push((&not.reason, vec![not.area.as_str()])),
        }
    }
    for (reason, areas) in said {
        let line = format!("{}: {}", areas.join(", "), printable(reason));
        let line = paragraph("not compared: ", &line, 2, style.width);
        writeln!(out, "{}", style.odd(&line))?;
    }
    write_not_read(pair, style, out)
}

/// What was asked for and could not be read: as bad as drift.
pub(super) fn write_not_read(pair: &PairDiff, style: Style, out: &mut dyn Write) -> io::Result<()> {
    for not in pair.not_compared.iter().filter(|not| not.failed) {
        let line = format!("{}: {}", not.area.as_str(), printable(&not.reason));
        let line = paragraph("NOT READ: ", &line, 2, style.width);
        writeln!(out, "{}", style.bad(&line))?;
    }
    Ok(())
}
