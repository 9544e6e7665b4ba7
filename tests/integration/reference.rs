//! The pages of docs/reference are what the code says.
//!
//! To make them anew: `ATREST_REFERENCE=write cargo nextest run --locked --workspace --test integration -E 'test(reference)'`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use crate::harness::finish;
use crate::pages::root;

const BINARY: &str = env!("CARGO_BIN_EXE_atrest");

#[test]
fn the_reference_is_what_the_code_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(BINARY);
    command.arg("reference").arg(dir.path());
    finish(command, Duration::from_secs(60)).expect(0);
    let mut made: BTreeMap<String, String> = BTreeMap::new();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        made.insert(name, std::fs::read_to_string(entry.path()).unwrap());
    }
    made.insert("scenario.md".to_owned(), scenario());
    assert_eq!(made.len(), 7);
    let folder = root().join("docs/reference");
    if std::env::var_os("ATREST_REFERENCE").is_some_and(|word| word == "write") {
        for (name, text) in &made {
            std::fs::write(folder.join(name), text).unwrap();
        }
        // The schemas have a test of their own; whoever makes one anew makes all anew.
        for document in atrest_reports::schemas() {
            let mut text = serde_json::to_string_pretty(&document.schema).unwrap();
            text.push('\n');
            let name = format!("docs/schemas/{}.json", document.name);
            std::fs::write(root().join(name), text).unwrap();
        }
    }
    for (name, text) in &made {
        let page = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(
            page == *text,
            "docs/reference/{name} is not what the code says; make it anew: ATREST_REFERENCE=write cargo nextest run \
             --locked --workspace --test integration -E 'test(reference)'"
        );
    }
}

/// A struct of the scenario file: its name, what it is, its keys.
struct Table {
    name: String,
    what: String,
    keys: Vec<(String, String, String)>,
}

/// The keys of a scenario, from the structs that read it: their comments are the documentation.
fn scenario() -> String {
    let mut tables = Vec::new();
    for file in ["scenario/spec.rs", "scenario/around.rs", "fault.rs"] {
        let path = root().join("sandbox/src").join(file);
        let mut found = structs(&std::fs::read_to_string(path).unwrap());
        if file == "scenario/around.rs" {
            // Where a name is of both files, the other one says which is meant.
            found
                .iter_mut()
                .for_each(|table| table.name.insert_str(0, "around::"));
        }
        tables.extend(found);
    }
    let spec = tables
        .iter()
        .position(|table| table.name == "Spec")
        .unwrap();
    let mut page = "<!-- Made from the code; the test `reference` says how to make it anew. -->\n\n# Keys of a scenario \
                    file\n\nTOML; an unknown key is an error with its line. [sandbox.md](../sandbox.md) explains, \
                    `sandbox/scenarios/seed-story.toml` is the example.\n"
        .to_owned();
    let top = tables.remove(spec);
    keys(&top, "The file", &mut page);
    let mut shown = vec![top];
    // Each table below where it is used first.
    let mut next = 0;
    while next < shown.len() {
        let used: Vec<(String, String)> = shown[next]
            .keys
            .iter()
            .map(|(key, form, _)| (key.clone(), form.clone()))
            .collect();
        for (key, form) in used {
            let inner = form
                .rsplit('<')
                .next()
                .unwrap()
                .trim_end_matches('>')
                .to_owned();
            let last = |name: &str| name.rsplit("::").next().unwrap().to_owned();
            let exact = tables.iter().position(|table| table.name == inner);
            let wanted =
                exact.or_else(|| tables.iter().position(|table| last(&table.name) == inner));
            let Some(at) = wanted else { continue };
            let table = tables.remove(at);
            let list = form.contains("Vec<");
            let title = if list {
                format!("`[[{key}]]`")
            } else {
                format!("`[{key}]`")
            };
            keys(&table, &title, &mut page);
            shown.push(table);
        }
        next += 1;
    }
    page
}

fn keys(table: &Table, title: &str, page: &mut String) {
    write!(page, "\n## {title}\n\n{}\n\n", table.what).unwrap();
    for (key, form, what) in &table.keys {
        let form = form.replace("pub(crate) ", "");
        match what.is_empty() {
            true => writeln!(page, "- `{key}`: {}", words(&form)).unwrap(),
            false => writeln!(page, "- `{key}`: {}. {what}", words(&form)).unwrap(),
        }
    }
}

/// A type in words.
fn words(form: &str) -> String {
    let inner = |of: &str| of.rsplit("::").next().unwrap().to_owned();
    for (wrap, before) in [
        ("Option<", "optional "),
        ("Vec<", "list of "),
        ("Spanned<", ""),
    ] {
        if let Some(rest) = form
            .strip_prefix(wrap)
            .and_then(|rest| rest.strip_suffix('>'))
        {
            let inner = words(rest);
            if before == "list of " && inner == "table, below" {
                return "list of tables, below".to_owned();
            }
            return format!("{before}{inner}");
        }
    }
    match inner(form).as_str() {
        "String" => "text".to_owned(),
        "bool" => "true or false".to_owned(),
        "u16" | "u32" | "u64" | "i32" | "i64" | "usize" => "number".to_owned(),
        "f64" => "number with a point".to_owned(),
        "SpecPassword" => "password".to_owned(),
        "(u64, u64)" => "list of two numbers".to_owned(),
        table if table.ends_with("Spec") || table == "Fault" => "table, below".to_owned(),
        other => format!("`{other}`"),
    }
}

/// The structs that are read from TOML, with their fields. Knows the form that rustfmt gives them.
fn structs(source: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let mut comment = String::new();
    let mut open = false;
    let mut is_read = false;
    for line in source.lines().map(str::trim_end) {
        let text = line.trim_start();
        if let Some(words) = text.strip_prefix("/// ") {
            if !comment.is_empty() {
                comment.push(' ');
            }
            comment.push_str(words);
        } else if text.starts_with("#[derive(") {
            is_read = text.contains("Deserialize");
        } else if !line.starts_with(' ') && text.contains("struct ") && text.ends_with('{') {
            let name = text.split("struct ").nth(1).unwrap();
            let name = name.trim_end_matches(" {").to_owned();
            open = is_read;
            if open {
                tables.push(Table {
                    name,
                    what: std::mem::take(&mut comment),
                    keys: Vec::new(),
                });
            }
            comment.clear();
        } else if line == "}" {
            open = false;
            comment.clear();
        } else if open
            && !text.starts_with("#[")
            && text.ends_with(',')
            && text.contains(": ")
            && line.starts_with("    ")
            && !line.starts_with("     ")
        {
            let field = text
                .trim_start_matches("pub(crate) ")
                .trim_start_matches("pub(super) ");
            let field = field.trim_start_matches("pub ");
            let (key, form) = field.trim_end_matches(',').split_once(": ").unwrap();
            let key = key.trim_start_matches("r#").to_owned();
            tables.last_mut().unwrap().keys.push((
                key,
                form.to_owned(),
                std::mem::take(&mut comment),
            ));
        } else if text.is_empty() || line.starts_with("fn ") || line.starts_with("impl") {
            comment.clear();
        }
    }
    tables
}
