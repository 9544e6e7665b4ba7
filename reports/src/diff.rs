//! The pair diff.

mod csv;
mod junit;
mod markdown;
mod pair;
pub(crate) mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use atrest_model::diff::{Area, DiffClass, DiffReport, Difference, PairDiff};
use comfy_table::Cell;

use crate::format::DiffFormat;
use crate::style::{Style, WHOLE, bad, cell, good};
use crate::text::{count, number, paragraph, printable};

/// Renders a diff. With `drift_only` the other classes, and pairs without drift, are left away; what could not be read
/// is always said.
///
/// # Errors
///
/// Any error of `out`.
pub fn diff(
    report: &DiffReport,
    format: DiffFormat,
    drift_only: bool,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        DiffFormat::Json => crate::json::write(report, out),
        DiffFormat::Html => crate::html::diff(report, drift_only, out),
        DiffFormat::Csv => csv::write(report, drift_only, out),
        DiffFormat::Markdown => markdown::write(report, drift_only, out),
        DiffFormat::Junit => junit::write(report, out),
        DiffFormat::Table => {
            table(report, *style, out)?;
            total(report, *style, out)
        }
        DiffFormat::Text => {
            for pair in &report.pairs {
                if drift_only && pair.drift() == 0 && pair.incomplete().is_none() {
                    continue;
                }
                pair::write(pair, drift_only, *style, out)?;
                writeln!(out)?;
            }
            total(report, *style, out)
        }
    }
}

/// Counts by pair and class; then the drift, which is what somebody has to act on.
fn table(report: &DiffReport, style: Style, out: &mut dyn Write) -> io::Result<()> {
    if report.pairs.is_empty() {
        return Ok(());
    }
    let rows = report.pairs.iter().map(|pair| {
        let of = |class| pair.differences.iter().filter(|d| d.class == class).count();
        let compared = |amount: u64, area| {
            let not = pair.not_compared.iter().find(|not| not.area == area);
            match not {
                Some(not) if not.failed => bad("NOT READ"),
                Some(_) if amount == 0 => Cell::new("-"),
                _ => Cell::new(number(amount)),
            }
        };
        let drift = of(DiffClass::Drift);
        vec![
            cell(&pair.name),
            if drift > 0 { bad(drift) } else { good(0) },
            Cell::new(of(DiffClass::Intended)),
            Cell::new(of(DiffClass::Identity)),
            Cell::new(of(DiffClass::Volatile)),
            compared(pair.compared.accounts, Area::Account),
            compared(pair.compared.tables, Area::Data),
            compared(pair.compared.rows, Area::Data),
        ]
    });
    let header = [
        "pair", "drift", "intended", "identity", "volatile", "accounts", "tables", "rows",
    ];
    let whole: Vec<(usize, usize)> = (1..header.len()).map(|index| (index, WHOLE)).collect();
    writeln!(out, "{}", style.table(&header, &whole, rows))?;
    for pair in &report.pairs {
        let alarming = pair.drift() > 0 || pair.incomplete().is_some();
        if alarming {
            writeln!(out, "{}", style.strong(&printable(&pair.name)))?;
            pair::write_drift(pair, style, out)?;
            pair::write_not_read(pair, style, out)?;
            writeln!(out)?;
        }
    }
    write_not_compared(report, style, out)
}

/// What was not asked for: one line a reason, however many pairs share it.
fn write_not_compared(report: &DiffReport, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let mut reasons: BTreeMap<&str, (BTreeSet<Area>, usize)> = BTreeMap::new();
    for pair in &report.pairs {
        let mut counted = BTreeSet::new();
        for not in pair.not_compared.iter().filter(|not| !not.failed) {
            let (areas, pairs) = reasons.entry(&not.reason).or_default();
            areas.insert(not.area);
            *pairs += usize::from(counted.insert(&not.reason));
        }
    }
    for (reason, (areas, pairs)) in reasons {
        let areas: Vec<&str> = areas.into_iter().map(Area::as_str).collect();
        let line = format!(
            "not compared in {}: {}: {}",
            count(pairs, "pair", "pairs"),
            areas.join(", "),
            printable(reason)
        );
        let line = paragraph("", &line, 2, style.width);
        writeln!(out, "{}", style.odd(&line))?;
    }
    Ok(())
}

fn total(report: &DiffReport, style: Style, out: &mut dyn Write) -> io::Result<()> {
    if report.pairs.is_empty() {
        return writeln!(out, "{}", style.odd(&summary(report)));
    }
    let is_good = report.drift() == 0 && !report.pairs.iter().any(|p| p.incomplete().is_some());
    let line = paragraph("", &summary(report), 2, style.width);
    writeln!(
        out,
        "{}",
        if is_good {
            style.good(&line)
        } else {
            style.bad(&line)
        }
    )
}

/// The total, in one line.
fn summary(report: &DiffReport) -> String {
    if report.pairs.is_empty() {
        return "no pair was compared".to_owned();
    }
    let sum = |of: fn(&PairDiff) -> u64| number(report.pairs.iter().map(of).sum());
    let drift = report.drift();
    let unread = report
        .pairs
        .iter()
        .filter(|pair| pair.incomplete().is_some())
        .count();
    let mut line = format!(
        "{}: {} in {} attributes, {} settings, {} accounts, {} rows",
        count(report.pairs.len(), "pair", "pairs"),
        if drift == 0 {
            "no drift".to_owned()
        } else {
            count(drift, "drift", "drifts")
        },
        sum(|pair| pair.compared.attributes),
        sum(|pair| pair.compared.settings),
        sum(|pair| pair.compared.accounts),
        sum(|pair| pair.compared.rows),
    );
    if unread > 0 {
        line.push_str("; INCOMPLETE: ");
        line.push_str(&count(unread, "pair was", "pairs were"));
        line.push_str(" not wholly read");
    }
    line
}

/// Controls as people read them: `security-hub RDS.5`.
pub(crate) fn controls(difference: &Difference) -> String {
    let named = difference.controls.iter();
    let named: Vec<String> = named.map(|c| format!("{} {}", c.publisher, c.id)).collect();
    named.join(", ")
}
