//! Where the time of a run went, and how long the clients of each DB instance were away: for a terminal and for a chat.

use std::io::{self, Write};

use atrest_model::run::{InstanceDowntime, MigrationTimes, RunReport};
use comfy_table::Cell;

use crate::style::{Style, WHOLE, cell, odd};
use crate::text::{duration, markdown, words};

/// How many kinds of steps are named as those that took the most.
const MOST: usize = 3;

/// The migrations whose times are known.
fn known(report: &RunReport) -> impl Iterator<Item = (&str, &MigrationTimes)> {
    let migrations = report.migrations.iter();
    migrations
        .filter_map(|migration| Some((migration.migration.as_str(), migration.times.as_ref()?)))
}

/// The kinds of steps that took the most: `encrypted-copy 25m, restore 15m`.
pub(crate) fn most(times: &MigrationTimes) -> String {
    let mut kinds: Vec<_> = times
        .kinds
        .iter()
        .filter(|kind| kind.seconds > 0.0)
        .collect();
    kinds.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let named: Vec<String> = kinds
        .iter()
        .take(MOST)
        .map(|kind| format!("{} {}", kind.kind, duration(kind.seconds)))
        .collect();
    named.join(", ")
}

/// `23:00:16 to 00:41:05`, in UTC; the day only where it is another one.
pub(crate) fn away(instance: &InstanceDowntime) -> String {
    let from = instance.from.strftime("%Y-%m-%d %H:%M:%S");
    match instance.until {
        None => format!("{from}, and still"),
        Some(until)
            if until.strftime("%F").to_string() == instance.from.strftime("%F").to_string() =>
        {
            format!("{from} to {}", until.strftime("%H:%M:%S"))
        }
        Some(until) => format!("{from} to {}", until.strftime("%Y-%m-%d %H:%M:%S")),
    }
}

/// Two tables; nothing where no times are known.
pub(super) fn write(report: &RunReport, style: Style, out: &mut dyn Write) -> io::Result<()> {
    if known(report).next().is_none() {
        return Ok(());
    }
    let rows = known(report).map(|(name, times)| {
        let mut cells = vec![cell(name)];
        cells.extend(
            [
                times.seconds,
                times.copying_seconds,
                times.waiting_seconds,
                times.own_seconds,
                times.idle_seconds,
            ]
            .map(|seconds| {
                Cell::new(if seconds > 0.0 {
                    duration(seconds)
                } else {
                    "-".to_owned()
                })
            }),
        );
        // Names come first where there is not room for both.
        if !style.is_narrow() {
            cells.push(cell(&most(times)));
        }
        cells
    });
    let header = [
        "where time went",
        "total",
        "copying",
        "rds",
        "own",
        "idle",
        "most of it",
    ];
    let columns = header.len() - usize::from(style.is_narrow());
    let whole = [
        (0, 24),
        (1, WHOLE),
        (2, WHOLE),
        (3, WHOLE),
        (4, WHOLE),
        (5, WHOLE),
    ];
    let header = header.get(..columns).unwrap_or(&header);
    writeln!(out, "{}", style.table(header, &whole, rows))?;
    let instances = known(report).flat_map(|(_, times)| &times.instances);
    let rows: Vec<Vec<Cell>> = instances
        .map(|instance| {
            let took = duration(instance.seconds);
            vec![
                cell(&instance.identifier),
                match instance.until {
                    Some(_) => Cell::new(took),
                    None => odd(format!("{took} so far")),
                },
                Cell::new(away(instance)),
            ]
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let header = ["db instance", "downtime", "clients away (utc)"];
    writeln!(
        out,
        "{}",
        style.table(&header, &[(1, WHOLE), (2, WHOLE)], rows)
    )
}

/// A list of the DB instances, which every chat shows, and a table.
pub(super) fn write_markdown(report: &RunReport, out: &mut dyn Write) -> io::Result<()> {
    let instances: Vec<&InstanceDowntime> = known(report)
        .flat_map(|(_, times)| &times.instances)
        .collect();
    if !instances.is_empty() {
        writeln!(out, "\nDowntime (UTC):\n")?;
    }
    for instance in instances {
        writeln!(
            out,
            "- {}: **{}**, {}",
            markdown(&instance.identifier),
            words(instance.seconds),
            away(instance)
        )?;
    }
    if known(report).next().is_some() {
        writeln!(
            out,
            "\n| where the time went | total | copying data | waiting for RDS | our own work | stood still | most of it |\n|---|---|---|---|---|---|---|"
        )?;
    }
    for (name, times) in known(report) {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            markdown(name),
            duration(times.seconds),
            duration(times.copying_seconds),
            duration(times.waiting_seconds),
            duration(times.own_seconds),
            duration(times.idle_seconds),
            markdown(&most(times)),
        )?;
    }
    Ok(())
}
