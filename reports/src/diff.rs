//! The pair diff.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use atrest_model::diff::{Area, DiffClass, DiffReport, Difference, PairDiff};
use comfy_table::Cell;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use crate::format::DiffFormat;
use crate::style::{Style, bad, good};
use crate::text::{count, printable};

/// Values longer than this are compared line by line, or cut.
const LONG: usize = 120;

/// Renders a diff. With `drift_only` other classes are left away.
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
        DiffFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, report)?;
            writeln!(out)
        }
        DiffFormat::Table => table(report, style, out),
        DiffFormat::Text => {
            for pair in &report.pairs {
                text(pair, drift_only, style, out)?;
                writeln!(out)?;
            }
            total(report, style, out)
        }
    }
}

fn table(report: &DiffReport, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let mut table = style.table([
        "pair", "drift", "intended", "identity", "volatile", "accounts", "tables", "rows",
    ]);
    for pair in &report.pairs {
        let of = |class| pair.differences.iter().filter(|d| d.class == class).count();
        let drift = of(DiffClass::Drift);
        let compared = |number: u64, area| {
            let unread = pair.not_compared.iter().any(|not| not.area == area);
            if unread && number == 0 {
                "-".to_owned()
            } else {
                number.to_string()
            }
        };
        table.add_row([
            Cell::new(printable(&format!(
                "{} = {}",
                pair.old.identifier, pair.new.identifier
            ))),
            if drift > 0 { bad(drift) } else { good(0) },
            Cell::new(of(DiffClass::Intended)),
            Cell::new(of(DiffClass::Identity)),
            Cell::new(of(DiffClass::Volatile)),
            Cell::new(compared(pair.compared.accounts, Area::Account)),
            Cell::new(compared(pair.compared.tables, Area::Data)),
            Cell::new(compared(pair.compared.rows, Area::Data)),
        ]);
    }
    writeln!(out, "{}\n", table.trim_fmt())?;
    for pair in &report.pairs {
        if let Some(not) = pair.incomplete() {
            let line = format!(
                "{}: NOT READ: {}: {}",
                pair.name,
                not.area.as_str(),
                not.reason
            );
            writeln!(out, "{}", style.bad(&printable(&line)))?;
        }
        for difference in pair
            .differences
            .iter()
            .filter(|d| d.class == DiffClass::Drift)
        {
            write!(out, "{}: ", printable(&pair.name))?;
            one(difference, style, out)?;
        }
    }
    // One line a reason, however many pairs share it.
    let mut reasons: BTreeMap<&str, (BTreeSet<&str>, BTreeSet<&str>)> = BTreeMap::new();
    for pair in &report.pairs {
        for not in pair.not_compared.iter().filter(|not| !not.failed) {
            let (areas, pairs) = reasons.entry(&not.reason).or_default();
            areas.insert(not.area.as_str());
            pairs.insert(&pair.name);
        }
    }
    for (reason, (areas, pairs)) in reasons {
        let areas = areas.into_iter().collect::<Vec<_>>().join(", ");
        let line = format!(
            "not compared in {}: {areas}: {reason}",
            count(pairs.len(), "pair", "pairs")
        );
        writeln!(out, "{}", style.odd(&printable(&line)))?;
    }
    total(report, style, out)
}

fn total(report: &DiffReport, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let drift = report.drift();
    let rows: u64 = report.pairs.iter().map(|pair| pair.compared.rows).sum();
    let attributes: u64 = report
        .pairs
        .iter()
        .map(|pair| pair.compared.attributes)
        .sum();
    let accounts: u64 = report.pairs.iter().map(|pair| pair.compared.accounts).sum();
    let line = format!(
        "{}: {} in {attributes} attributes, {accounts} accounts, {rows} rows",
        count(report.pairs.len(), "pair", "pairs"),
        if drift == 0 {
            "no drift".to_owned()
        } else {
            count(drift, "drift", "drifts")
        },
    );
    writeln!(
        out,
        "{}",
        if drift == 0 {
            style.good(&line)
        } else {
            style.bad(&line)
        }
    )
}

fn text(pair: &PairDiff, drift_only: bool, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let side = |side: &atrest_model::diff::Side| {
        printable(&format!(
            "{} ({}, {})",
            side.identifier, side.region, side.dbi_resource_id
        ))
        .into_owned()
    };
    writeln!(out, "{}", style.strong(&format!("--- {}", side(&pair.old))))?;
    writeln!(out, "{}", style.strong(&format!("+++ {}", side(&pair.new))))?;
    let mut classes: BTreeMap<u8, (&str, Vec<&Difference>)> = BTreeMap::new();
    for difference in &pair.differences {
        let (rank, word) = match difference.class {
            DiffClass::Drift => (0, "drift"),
            DiffClass::Intended => (1, "intended"),
            DiffClass::Identity => (2, "identity"),
            DiffClass::Volatile => (3, "volatile"),
        };
        if drift_only && rank > 0 {
            continue;
        }
        classes
            .entry(rank)
            .or_insert_with(|| (word, Vec::new()))
            .1
            .push(difference);
    }
    for (rank, (word, differences)) in &classes {
        let title = format!("@@ {word}: {} @@", differences.len());
        writeln!(
            out,
            "{}",
            if *rank == 0 {
                style.bad(&title)
            } else {
                style.faint(&title)
            }
        )?;
        for difference in differences {
            one(difference, style, out)?;
        }
    }
    let compared = &pair.compared;
    let checksums = if compared.checksums {
        " with checksums"
    } else {
        ""
    };
    writeln!(
        out,
        "compared: {} attributes, {} settings, {} accounts, {} tables, {} rows{checksums}",
        compared.attributes, compared.settings, compared.accounts, compared.tables, compared.rows,
    )?;
    for not in &pair.not_compared {
        let word = if not.failed {
            "NOT READ"
        } else {
            "not compared"
        };
        let line = format!("{word}: {}: {}", not.area.as_str(), not.reason);
        writeln!(
            out,
            "{}",
            if not.failed {
                style.bad(&printable(&line))
            } else {
                style.odd(&printable(&line))
            }
        )?;
    }
    Ok(())
}

fn one(difference: &Difference, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let path = format!("{} {}", difference.area.as_str(), difference.path);
    let reason = if difference.reason.is_empty() {
        String::new()
    } else {
        format!("  ({})", difference.reason)
    };
    writeln!(
        out,
        " {}{}",
        printable(&path),
        style.faint(&printable(&reason))
    )?;
    match (&difference.old, &difference.new) {
        (Some(Value::String(old)), Some(Value::String(new)))
            if old.len() > LONG || new.len() > LONG || old.contains('\n') =>
        {
            lines(old, new, style, out)?;
        }
        (old, new) => {
            if let Some(old) = old {
                writeln!(out, "{}", style.bad(&format!("-  {}", value(old))))?;
            }
            if let Some(new) = new {
                writeln!(out, "{}", style.good(&format!("+  {}", value(new))))?;
            }
        }
    }
    if let Some(remedy) = &difference.remedy {
        writeln!(out, "   remedy: {}", printable(remedy))?;
    }
    Ok(())
}

/// Long values: what changed, with a little around it.
fn lines(old: &str, new: &str, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let diff = TextDiff::from_lines(old, new);
    for group in diff.grouped_ops(2) {
        for operation in group {
            for change in diff.iter_changes(&operation) {
                let text = printable(change.value().trim_end_matches('\n')).into_owned();
                let line = match change.tag() {
                    ChangeTag::Delete => style.bad(&format!("-  {}", cut(&text))),
                    ChangeTag::Insert => style.good(&format!("+  {}", cut(&text))),
                    ChangeTag::Equal => format!("   {}", cut(&text)),
                };
                writeln!(out, "{line}")?;
            }
        }
    }
    Ok(())
}

fn value(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => items
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    };
    cut(&printable(&text))
}

/// At most four times [`LONG`] characters: the JSON report has the whole value.
fn cut(text: &str) -> String {
    match text.char_indices().nth(4 * LONG) {
        Some((at, _)) => format!(
            "{}… ({} characters)",
            text.get(..at).unwrap_or_default(),
            text.chars().count()
        ),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use atrest_model::Tool;
    use atrest_model::diff::{Compared, NotCompared, SCHEMA_VERSION, Side};
    use serde_json::json;

    use super::*;

    const PLAIN: Style = Style {
        width: Some(80),
        color: false,
        unicode: true,
    };

    fn difference(path: &str, class: DiffClass, old: Value, new: Option<Value>) -> Difference {
        Difference {
            area: Area::Attribute,
            path: path.to_owned(),
            class,
            old: Some(old),
            new,
            reason: String::new(),
            remedy: (class == DiffClass::Drift).then(|| "aws rds modify-db-instance …".to_owned()),
        }
    }

    fn report() -> DiffReport {
        let side = |name: &str| Side {
            identifier: name.to_owned(),
            dbi_resource_id: format!("db-{}", name.to_uppercase()),
            region: "eu-central-1".to_owned(),
        };
        DiffReport {
            schema_version: SCHEMA_VERSION,
            tool: Tool::current(),
            created: jiff::Timestamp::UNIX_EPOCH,
            pairs: vec![PairDiff {
                name: "x".to_owned(),
                old: side("old-x"),
                new: side("x"),
                differences: vec![
                    difference(
                        "StorageEncrypted",
                        DiffClass::Intended,
                        json!(false),
                        Some(json!(true)),
                    ),
                    difference("MultiAZ", DiffClass::Drift, json!(true), None),
                ],
                compared: Compared {
                    attributes: 94,
                    accounts: 7,
                    ..Compared::default()
                },
                not_compared: vec![NotCompared {
                    area: Area::Data,
                    failed: false,
                    reason: "not asked for".to_owned(),
                }],
            }],
        }
    }

    fn render(report: &DiffReport, format: DiffFormat, drift_only: bool) -> String {
        let mut out = Vec::new();
        diff(report, format, drift_only, &PLAIN, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn drift_comes_first_and_what_was_not_compared_is_said() {
        insta::assert_snapshot!(render(&report(), DiffFormat::Text, false), @r"
        --- old-x (eu-central-1, db-OLD-X)
        +++ x (eu-central-1, db-X)
        @@ drift: 1 @@
         attribute MultiAZ
        -  true
           remedy: aws rds modify-db-instance …
        @@ intended: 1 @@
         attribute StorageEncrypted
        -  false
        +  true
        compared: 94 attributes, 0 settings, 7 accounts, 0 tables, 0 rows
        not compared: data: not asked for

        1 pair: 1 drift in 94 attributes, 7 accounts, 0 rows
        ");
    }

    #[test]
    fn drift_only_leaves_the_rest_away() {
        let text = render(&report(), DiffFormat::Text, true);
        assert!(
            text.contains("MultiAZ") && !text.contains("StorageEncrypted"),
            "{text}"
        );
    }

    #[test]
    fn long_values_are_shown_by_their_changed_lines() {
        let mut report = report();
        let old = (0..100).map(|n| format!("line {n}\n")).collect::<String>();
        let new = old.replace("line 50\n", "line fifty\n");
        report.pairs[0].differences = vec![difference(
            "ddl",
            DiffClass::Drift,
            json!(old),
            Some(json!(new)),
        )];
        let text = render(&report, DiffFormat::Text, false);
        assert!(
            text.contains("-  line 50")
                && text.contains("+  line fifty")
                && !text.contains("line 10\n"),
            "{text}"
        );
    }
}
