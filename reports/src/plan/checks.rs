//! The checks of a plan: a line each, the gravest first. What passes is counted.

use std::io::{self, Write};

use atrest_model::check::{Check, Verdict};
use atrest_model::plan::{Migration, Plan};

use crate::scan::markdown::cell;
use crate::style::Style;
use crate::text::{count, paragraph, printable};

/// Verdicts, the gravest first, as words of a count.
const WORDS: [(u8, &str, &str); 5] = [
    (4, "blocks", "block"),
    (3, "not proven", "not proven"),
    (2, "warns", "warn"),
    (1, "is fixed by a step", "are fixed by steps"),
    (0, "passes", "pass"),
];

/// Those of a migration; without one, those of regions and of what is left out.
pub(super) fn write(
    plan: &Plan,
    migration: Option<&Migration>,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let chosen = chosen(plan, migration);
    if chosen.is_empty() {
        return Ok(());
    }
    let title = match migration {
        Some(_) => "  CHECKS: ",
        None => "\nCHECKS: ",
    };
    writeln!(out, "{title}{}", counts(&chosen))?;
    let indent = " ".repeat(if migration.is_some() { 4 } else { 2 });
    for check in chosen
        .iter()
        .filter(|check| check.verdict != Verdict::Passes)
    {
        let head = format!(
            "{indent}{}  {}  {}",
            verdict(plan, check),
            printable(&check.check),
            printable(&check.subject),
        );
        let head = match check.verdict {
            Verdict::Blocks => style.bad(&head),
            Verdict::Warns | Verdict::NotProven => style.odd(&head),
            Verdict::FixedBy { .. } | Verdict::Passes => head,
        };
        writeln!(out, "{head}")?;
        let below = format!("{indent}    ");
        let detail = printable(&check.detail);
        writeln!(
            out,
            "{}",
            paragraph(&below, &detail, below.len(), style.width)
        )?;
    }
    Ok(())
}

/// The gravest first; those of one rank in the order of the plan.
fn chosen<'a>(plan: &'a Plan, migration: Option<&Migration>) -> Vec<&'a Check> {
    let mut chosen: Vec<&Check> = plan
        .checks
        .iter()
        .filter(|check| match (migration, &check.migration) {
            (Some(migration), Some(id)) => migration.id == *id,
            (Some(_), None) => false,
            (None, None) => true,
            (None, Some(id)) => !plan.migrations.iter().any(|planned| planned.id == *id),
        })
        .collect();
    chosen.sort_by_key(|check| std::cmp::Reverse(check.verdict.rank()));
    chosen
}

fn counts(checks: &[&Check]) -> String {
    let words: Vec<String> = WORDS
        .iter()
        .filter_map(|(rank, one, many)| {
            let of_rank = checks
                .iter()
                .filter(|check| check.verdict.rank() == *rank)
                .count();
            (of_rank > 0).then(|| count(of_rank, one, many))
        })
        .collect();
    words.join(", ")
}

/// The verdict, with the number that the step has in the plan.
fn verdict(plan: &Plan, check: &Check) -> String {
    let Verdict::FixedBy { step } = &check.verdict else {
        return check.verdict.as_str().to_owned();
    };
    let number = plan
        .migrations
        .iter()
        .find(|migration| Some(&migration.id) == check.migration.as_ref())
        .and_then(|migration| migration.steps.iter().position(|known| known.id == *step));
    match number {
        Some(index) => format!("is fixed by step {}", index + 1),
        None => format!("is fixed by step {}", printable(step)),
    }
}

/// A plan as a page of Markdown: what is migrated, what is left out, every check.
///
/// # Errors
///
/// Any error of `out`.
pub(super) fn plan_markdown(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "**Plan {} of account {}: {}, {} left out**",
        plan.run,
        cell(&plan.account),
        count(plan.migrations.len(), "migration", "migrations"),
        count(plan.left_out.len(), "resource", "resources"),
    )?;
    if !plan.migrations.is_empty() {
        writeln!(
            out,
            "\n| migration | engine | GiB | DB instances | method | wave | steps | key |"
        )?;
        writeln!(out, "|---|---|---:|---:|---|---:|---:|---|")?;
    }
    for migration in &plan.migrations {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            cell(&migration.id),
            cell(&migration.engine),
            migration.allocated_storage,
            migration.members().count(),
            migration.method.as_str(),
            migration
                .wave
                .map_or_else(String::new, |wave| wave.to_string()),
            migration.steps.len(),
            cell(&migration.kms_key_id),
        )?;
    }
    if !plan.left_out.is_empty() {
        writeln!(out, "\n| left out | why |\n|---|---|")?;
    }
    for left in &plan.left_out {
        writeln!(out, "| {} | {} |", cell(&left.arn), cell(&left.reason))?;
    }
    if plan.checks.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n| verdict | check | subject | detail |\n|---|---|---|---|"
    )?;
    let mut checks: Vec<&Check> = plan.checks.iter().collect();
    checks.sort_by_key(|check| std::cmp::Reverse(check.verdict.rank()));
    for check in checks {
        writeln!(
            out,
            "| {} | {} | {} | {} |",
            cell(&verdict(plan, check)),
            cell(&check.check),
            cell(&check.subject),
            cell(&check.detail),
        )?;
    }
    Ok(())
}
