//! A plan for spreadsheets: one line a step, then what is left out.

use std::io::{self, Write};

use atrest_model::plan::Plan;

use super::describe;
use crate::scan::csv::{field, io_error};

pub(super) fn write(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    let mut record = |fields: [&str; 10]| writer.write_record(fields.map(field)).map_err(io_error);
    record([
        "run",
        "migration",
        "number",
        "step",
        "needs",
        "deadline_seconds",
        "operation",
        "what",
        "method",
        "wave",
    ])?;
    for migration in &plan.migrations {
        let wave = migration
            .wave
            .map_or_else(String::new, |wave| wave.to_string());
        for (index, step) in migration.steps.iter().enumerate() {
            record([
                plan.run.as_str(),
                &migration.id,
                &(index + 1).to_string(),
                &step.id,
                &step.needs.join(" "),
                &step.deadline_seconds.to_string(),
                step.action.operation().unwrap_or_default(),
                &describe(migration, step),
                migration.method.as_str(),
                &wave,
            ])?;
        }
    }
    for left in &plan.left_out {
        let (run, what) = (plan.run.as_str(), &left.reason);
        record([run, &left.arn, "", "left-out", "", "", "", what, "", ""])?;
    }
    writer.flush()
}
