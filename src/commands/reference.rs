//! `atrest reference DIR`: the pages of docs/reference that are made from the code. Hidden: it is for who changes the
//! code. tests/integration/reference.rs compares them with what is checked in.

use std::fmt::Write as _;
use std::path::Path;

use atrest_policies::registry;
use atrest_reports::{
    AccountsFormat, DiffFormat, ExportFormat, FixFormat, PlanFormat, ReportFormat, RunFormat,
    ScanFormat, StatusFormat,
};
use clap::{Arg, Command, CommandFactory as _};
use serde_json::Value;

use super::common;
use crate::cli::Cli;
use crate::config::keys::Table;
use crate::exit::Exit;

/// First lines of every page.
const MADE: &str = "<!-- Made from the code; the test `reference` says how to make it anew. -->\n";

pub(crate) fn run(dir: &Path) -> anyhow::Result<Exit> {
    std::fs::create_dir_all(dir)?;
    for (name, page) in [
        ("commands", commands()),
        ("config", config()),
        ("events", events()),
        ("exit-codes", exit_codes()),
        ("formats", formats()),
        ("policies", policies()),
    ] {
        let page = format!("{MADE}\n{}\n", page.trim_end());
        common::deliver(Some(&dir.join(format!("{name}.md"))), page.as_bytes())?;
    }
    Ok(Exit::Ok)
}

// Writing to a string does not fail: results of `write!` are dropped below.

fn commands() -> String {
    let mut root = Cli::command();
    root.build();
    let mut page =
        "# Commands\n\nWhat `--help` says, on one page.\n\n## Options of every command\n\n"
            .to_owned();
    for arg in root.get_arguments().filter(|arg| !is_of_clap(arg)) {
        option(arg, &mut page);
    }
    of_commands(&root, "atrest", &mut page);
    page
}

fn is_of_clap(arg: &Arg) -> bool {
    matches!(arg.get_id().as_str(), "help" | "version")
}

fn of_commands(parent: &Command, path: &str, page: &mut String) {
    let shown = |verb: &&Command| !verb.is_hide_set() && verb.get_name() != "help";
    for command in parent.get_subcommands().filter(shown) {
        let path = format!("{path} {}", command.get_name());
        let about = command.get_long_about().or(command.get_about());
        let about = about.map(ToString::to_string).unwrap_or_default();
        let _ = write!(page, "\n## {path}\n\n{about}.\n");
        if command.is_subcommand_required_set() {
            of_commands(command, &path, page);
            continue;
        }
        let usage = command.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ");
        let _ = write!(page, "\n```text\n{usage}\n```\n\n");
        let shown = |arg: &&Arg| !is_of_clap(arg) && !arg.is_global_set() && !arg.is_hide_set();
        let args: Vec<&Arg> = command.get_arguments().filter(shown).collect();
        for arg in args.iter().filter(|arg| arg.is_positional()) {
            option(arg, page);
        }
        let options = || args.iter().filter(|arg| !arg.is_positional());
        let mut headings: Vec<Option<&str>> = Vec::new();
        for arg in options() {
            if !headings.contains(&arg.get_help_heading()) {
                headings.push(arg.get_help_heading());
            }
        }
        // Those without a heading are the verb's own.
        headings.sort_by_key(|heading| heading.is_some());
        for heading in headings {
            if let Some(heading) = heading {
                let _ = write!(page, "\n{heading}:\n\n");
            }
            for arg in options().filter(|arg| arg.get_help_heading() == heading) {
                option(arg, page);
            }
        }
        of_commands(command, &path, page);
    }
}

fn option(arg: &Arg, page: &mut String) {
    let names = arg.get_value_names().unwrap_or_default().join(" ");
    let mut words = Vec::new();
    if let Some(short) = arg.get_short() {
        words.push(format!("-{short}"));
    }
    let mut longs: Vec<&str> = arg.get_long().into_iter().collect();
    longs.extend(arg.get_visible_aliases().unwrap_or_default());
    words.extend(longs.into_iter().map(|long| format!("--{long}")));
    let mut shown = words.join(", ");
    if arg.is_positional() {
        shown = names;
    } else if arg.get_action().takes_values() {
        shown = format!("{shown} {names}");
    }
    let help = arg.get_long_help().or(arg.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let _ = write!(page, "- `{shown}`: {help}");
    let defaults: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    if let Some(variable) = arg.get_env() {
        let _ = write!(page, ". Also `{}`", variable.to_string_lossy());
    }
    let takes = arg.get_action().takes_values();
    if takes && !defaults.is_empty() && !arg.is_hide_default_value_set() {
        let _ = write!(page, ". Default: `{}`", defaults.join(" "));
    }
    if takes {
        let possible: Vec<String> = arg
            .get_possible_values()
            .iter()
            .filter(|value| !value.is_hide_set())
            .map(|value| match value.get_help() {
                Some(help) => format!("  - `{}`: {help}", value.get_name()),
                None => format!("  - `{}`", value.get_name()),
            })
            .collect();
        if !possible.is_empty() {
            let _ = write!(page, "\n{}", possible.join("\n"));
        }
    }
    page.push('\n');
}

fn config() -> String {
    let mut page =
        "# Keys of the configuration file\n\n`atrest config init` writes a file with all of them; \
                    [config.md](../config.md) explains.\n"
            .to_owned();
    for table in Table::ALL {
        let _ = write!(
            page,
            "\n## `{}`\n\n{}\n\n| key | value | default | what it does |\n|---|---|---|---|\n",
            table.header(),
            table.what()
        );
        for key in table.keys() {
            let option = key
                .option
                .map(|option| format!("; `{option}` wins over it"))
                .unwrap_or_default();
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {}{option} |",
                key.name, key.form, key.default, key.what
            );
        }
    }
    page
}

fn exit_codes() -> String {
    let mut page = "# Exit codes\n\n[exit-codes.md](../exit-codes.md) says what each verb means by them; the \
                    [runbook](../runbook.md) what to do at night.\n\n| code | meaning | what to do |\n|---|---|---|\n"
        .to_owned();
    for exit in Exit::ALL {
        let (meaning, next) = exit.meaning();
        let _ = writeln!(page, "| {} | {meaning} | {next} |", exit as u8);
    }
    page
}

fn policies() -> String {
    let mut page = "# Policies\n\n`atrest policy show ID` prints the page of one.\n\n| policy | severity | fix | \
                    what it flags |\n|---|---|---|---|\n"
        .to_owned();
    let mut metas: Vec<_> = registry().iter().map(|policy| policy.meta()).collect();
    metas.sort_by_key(|meta| meta.id);
    for meta in metas {
        let _ = writeln!(
            page,
            "| [{id}](../policies/{id}.md) | {} | {} | {} |",
            meta.severity.as_str(),
            meta.fix.as_str(),
            meta.title,
            id = meta.id
        );
    }
    page
}

fn formats() -> String {
    fn names<F>(all: &[(&'static str, F)]) -> Vec<&'static str> {
        all.iter().map(|(name, _)| *name).collect()
    }
    let mut page = "# Formats and schemas\n\n`--format FORMAT` writes to standard output, `--format FORMAT=FILE` into a \
                    file; it may be repeated. [formats.md](../formats.md) explains each.\n\n| command | formats |\n|---|---|\n"
        .to_owned();
    for (verb, formats) in [
        ("scan", names(ScanFormat::ALL)),
        ("plan; fix without --execute", names(PlanFormat::ALL)),
        ("fix --execute", names(FixFormat::ALL)),
        ("status of a run", names(StatusFormat::ALL)),
        ("diff", names(DiffFormat::ALL)),
        ("report", names(ReportFormat::ALL)),
        ("report of a run", names(RunFormat::ALL)),
        ("accounts export", names(ExportFormat::ALL)),
        ("accounts diff, accounts clone", names(AccountsFormat::ALL)),
    ] {
        let _ = writeln!(page, "| `{verb}` | {} |", formats.join(", "));
    }
    page.push_str("\n## Schemas\n\nOf every document in JSON, draft 2020-12.\n\n| schema | document |\n|---|---|\n");
    for document in atrest_reports::schemas() {
        let text = document.schema.as_value();
        let _ = writeln!(
            page,
            "| [{name}](../schemas/{name}.json) | {} |",
            described(text),
            name = document.name
        );
    }
    page
}

fn events() -> String {
    let mut page = "# Events of a run\n\nLines of `events.jsonl` in the run folder and of `fix --events`. Each has \
                    `schema_version`, `run`, `at` and `event`; the [schema](../schemas/event.json) has the types.\n"
        .to_owned();
    let event = atrest_reports::schemas()
        .into_iter()
        .find(|document| document.name == "event");
    let schema = event.map(|document| document.schema.to_value());
    let schema = schema.unwrap_or_default();
    let kinds = schema.get("oneOf").and_then(Value::as_array);
    for kind in kinds.into_iter().flatten() {
        let members = kind.get("properties").and_then(Value::as_object);
        let name = kind
            .pointer("/properties/event/const")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let _ = write!(page, "\n## `{name}`\n\n{}\n\n", described(kind));
        for (member, schema) in members.into_iter().flatten() {
            if member != "event" {
                let _ = writeln!(page, "- `{member}`: {}", described(schema));
            }
        }
    }
    page
}

fn described(schema: &Value) -> &str {
    schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
}
