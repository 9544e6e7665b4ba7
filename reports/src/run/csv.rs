//! A run for spreadsheets: one line a migration.

use std::io::{self, Write};

use atrest_model::run::RunReport;

use super::{hint, word};
use crate::scan::csv::{field, io_error};

pub(super) fn write(report: &RunReport, out: &mut dyn Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    let mut record = |fields: [&str; 9]| writer.write_record(fields.map(field)).map_err(io_error);
    record([
        "run",
        "migration",
        "outcome",
        "summary",
        "next",
        "steps_done",
        "steps",
        "downtime_seconds",
        "left_to_do",
    ])?;
    for migration in &report.migrations {
        let left: Vec<String> = migration
            .left_to_do
            .iter()
            .map(|item| format!("{}: {}; {}", item.kind, item.what, item.todo))
            .collect();
        record([
            report.run.as_str(),
            &migration.migration,
            word(&migration.outcome),
            &migration.outcome.summary(),
            hint(&migration.outcome),
            &migration.steps_done.to_string(),
            &migration.steps.to_string(),
            &migration
                .downtime_seconds
                .map_or_else(String::new, |seconds| seconds.to_string()),
            &left.join("\n"),
        ])?;
    }
    writer.flush()
}
