//! A diff for a pull request: the total, then what is drift and what was not read. What is explained is a number.

use std::io::{self, Write};

use atrest_model::diff::{DiffClass, DiffReport, PairDiff};
use serde_json::Value;

use super::{controls, summary, value};
use crate::scan::markdown::cell;

/// Longest value shown in a cell, in characters.
const LONGEST: usize = 200;

pub(super) fn write(report: &DiffReport, drift_only: bool, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "**{}**", cell(&summary(report)))?;
    for pair in &report.pairs {
        if pair.drift() > 0 || pair.incomplete().is_some() {
            write_pair(pair, out)?;
        }
    }
    let clean: Vec<&PairDiff> = report
        .pairs
        .iter()
        .filter(|pair| pair.drift() == 0 && pair.incomplete().is_none())
        .collect();
    if drift_only || clean.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n### No drift\n\n| pair | intended | identity | volatile |\n|---|---|---|---|"
    )?;
    for pair in clean {
        let of = |class| pair.differences.iter().filter(|d| d.class == class).count();
        writeln!(
            out,
            "| {} | {} | {} | {} |",
            cell(&pair.name),
            of(DiffClass::Intended),
            of(DiffClass::Identity),
            of(DiffClass::Volatile)
        )?;
    }
    Ok(())
}

fn write_pair(pair: &PairDiff, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n### {}\n", cell(&pair.name))?;
    if pair.drift() > 0 {
        writeln!(
            out,
            "| area | path | old | new | breaks | remedy |\n|---|---|---|---|---|---|"
        )?;
    }
    for found in &pair.differences {
        if found.class != DiffClass::Drift {
            continue;
        }
        let mend = found.remedy.as_deref().unwrap_or(&found.reason);
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            found.area.as_str(),
            cell(&found.path),
            shown(found.old.as_ref(), found.new.as_ref()),
            shown(found.new.as_ref(), found.old.as_ref()),
            cell(&controls(found)),
            cell(mend),
        )?;
    }
    for not in pair.not_compared.iter().filter(|not| not.failed) {
        writeln!(
            out,
            "\n**NOT READ** {}: {}",
            not.area.as_str(),
            cell(&not.reason)
        )?;
    }
    Ok(())
}

fn shown(value: Option<&Value>, other: Option<&Value>) -> String {
    let Some(value) = value else {
        return String::new();
    };
    let text = value::text(value, other);
    match text.char_indices().nth(LONGEST) {
        None => cell(&text),
        Some((at, _)) => format!("{} ...", cell(text.get(..at).unwrap_or(&text))),
    }
}
