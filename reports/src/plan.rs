//! A plan, as an operator reads it before the night.

use std::io::{self, Write};

use atrest_model::plan::{Action, DataCheck, Migration, MysqlAccess, Plan, Step, Target};
use serde_json::{Map, Value};

use crate::style::Style;
use crate::text::{count, printable};

/// Every migration with its members, notes, and steps; what is left out; what happens next.
///
/// # Errors
///
/// Any error of `out`.
pub fn plan(plan: &Plan, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{} of account {}, {:.0}",
        style.strong(&format!("plan {}", plan.run)),
        printable(&plan.account),
        plan.created
    )?;
    let check = match (&plan.mysql, plan.data_check) {
        (MysqlAccess::Off { reason }, _) => format!("not read: {}", printable(reason)),
        (MysqlAccess::Required, DataCheck::None) => {
            "accounts are compared, rows are not".to_owned()
        }
        (MysqlAccess::Required, DataCheck::Counts) => {
            "accounts and row counts are compared before the cutover".to_owned()
        }
        (MysqlAccess::Required, DataCheck::Checksums) => {
            "accounts, row counts and checksums are compared before the cutover".to_owned()
        }
    };
    writeln!(out, "MySQL: {check}")?;
    for migration in &plan.migrations {
        writeln!(out)?;
        one(migration, style, out)?;
    }
    if !plan.left_out.is_empty() {
        writeln!(out, "\n{}", style.strong("left out"))?;
        for left in &plan.left_out {
            writeln!(
                out,
                "  {}\n    {}",
                printable(&left.arn),
                style.odd(&printable(&left.reason))
            )?;
        }
    }
    let instances: usize = plan
        .migrations
        .iter()
        .map(|migration| migration.members().count())
        .sum();
    writeln!(
        out,
        "\n{} with {}; {} left out; digest {}",
        count(plan.migrations.len(), "migration", "migrations"),
        count(instances, "DB instance", "DB instances"),
        plan.left_out.len(),
        plan.digest.get(..16).unwrap_or(&plan.digest),
    )?;
    if plan.migrations.is_empty() {
        return writeln!(out, "nothing to do");
    }
    writeln!(
        out,
        "nothing is changed before: atrest fix PLAN.json --execute"
    )
}

fn one(migration: &Migration, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{}  {}, {} GiB, cold, key {}",
        style.strong(&printable(&migration.id)),
        printable(&migration.engine),
        migration.allocated_storage,
        printable(&migration.kms_key_id),
    )?;
    for member in migration.members() {
        let from = match &member.replicates_from {
            Some(source) => format!("  replica of {source}"),
            None => String::new(),
        };
        writeln!(
            out,
            "  {} -> {}, {} -> {}{from}",
            member.identifier, member.old_name, member.new_name, member.identifier
        )?;
    }
    for note in &migration.notes {
        writeln!(out, "  {} {}", style.odd("note:"), printable(note))?;
    }
    for (index, step) in migration.steps.iter().enumerate() {
        let does = describe(step);
        let line = format!(
            "{:>3}. {:<34} {}",
            index + 1,
            printable(&step.id),
            printable(&does)
        );
        match style.width {
            Some(width) => wrapped(&line, usize::from(width), out)?,
            None => writeln!(out, "  {line}")?,
        }
    }
    Ok(())
}

/// A long step goes on under its own text.
fn wrapped(line: &str, width: usize, out: &mut dyn Write) -> io::Result<()> {
    const INDENT: usize = 42;
    let room = width.saturating_sub(2).max(INDENT + 20);
    let mut rest: Vec<char> = format!("  {line}").chars().collect();
    let mut first = true;
    while !rest.is_empty() {
        let limit = if first { room } else { room - INDENT };
        let cut = if rest.len() <= limit {
            rest.len()
        } else {
            let window = rest.get(..limit).unwrap_or(&rest);
            // Before this column a break would tear the step's name apart.
            let least = if first { INDENT } else { 1 };
            window
                .iter()
                .rposition(|c| *c == ' ')
                .filter(|at| *at > least)
                .unwrap_or(limit)
        };
        let tail = rest.split_off(cut);
        let text: String = rest.iter().collect();
        writeln!(
            out,
            "{}{}",
            if first {
                String::new()
            } else {
                " ".repeat(INDENT)
            },
            text.trim_end()
        )?;
        rest = tail.into_iter().skip_while(|c| *c == ' ').collect();
        first = false;
    }
    Ok(())
}

/// The call and what matters of its arguments; the JSON plan has all of them.
fn describe(step: &Step) -> String {
    let operation = step.action.operation().unwrap_or_default();
    match &step.action {
        Action::Claim { .. } => format!("{operation} atrest:run"),
        Action::Rename { from, to, .. } => format!("{operation} {from} -> {to}"),
        Action::Quiesce { .. } => {
            format!("no client is connected; {operation} once if one still is")
        }
        Action::Snapshot { snapshot, .. } => format!("{operation} {snapshot}"),
        Action::EncryptedCopy { snapshot, .. } => format!("{operation} {snapshot}, with the key"),
        Action::Restore { name, request, .. } | Action::CreateReplica { name, request, .. } => {
            format!("{operation} {name}: {}", arguments(request))
        }
        Action::Modify { request, .. } => format!("{operation}: {}", arguments(request)),
        Action::Settle { .. } => format!("wait for groups; {operation} if pending-reboot"),
        Action::AddRole {
            role_arn,
            feature_name,
            ..
        } => format!("{operation} {feature_name} {role_arn}"),
        Action::Accounts { old, .. } => format!("clone accounts only {} has", target(old)),
        Action::Configuration { .. } => {
            "set binlog retention and its like as on the old side".to_owned()
        }
        Action::Validate => {
            "compare attributes, accounts, rows of every pair; stop on drift".to_owned()
        }
        Action::Rescan => "encrypted and ready under the real names".to_owned(),
    }
}

fn target(target: &Target) -> &str {
    match target {
        Target::Old(id) => id,
        Target::MadeBy(step) => step,
    }
}

fn arguments(request: &Map<String, Value>) -> String {
    request
        .iter()
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            Value::Array(items) if name == "Tags" => format!("Tags={} of them", items.len()),
            Value::Array(items) => {
                let items: Vec<String> = items
                    .iter()
                    .map(|item| {
                        item.as_str()
                            .map_or_else(|| item.to_string(), str::to_owned)
                    })
                    .collect();
                format!("{name}={}", items.join(","))
            }
            other => format!("{name}={other}"),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_steps_are_wrapped_under_their_text_and_lose_nothing() {
        let line = format!(
            "  1. restore{} {}",
            " ".repeat(27),
            "Argument=value ".repeat(20)
        );
        let mut out = Vec::new();
        wrapped(&line, 80, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert_eq!(text.matches("Argument=value").count(), 20);
    }
}
