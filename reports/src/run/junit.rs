//! A run for build servers: a suite for each region, a case for each migration.

use std::io::{self, Write};

use atrest_model::run::{Outcome, RunReport};

use super::hint;
use crate::junit::{Case, Ended};

pub(super) fn write(report: &RunReport, out: &mut dyn Write) -> io::Result<()> {
    let cases = report
        .migrations
        .iter()
        .map(|migration| {
            let (suite, name) = migration
                .migration
                .split_once('/')
                .unwrap_or(("", &migration.migration));
            Case {
                suite,
                name,
                ended: match &migration.outcome {
                    Outcome::Migrated | Outcome::CleanedUp | Outcome::Rehearsed => Ended::Passed,
                    Outcome::ValidationFailed { .. } => Ended::Failed,
                    // Most servers take skipped for fine, and a run that stopped half-way is not.
                    // Nothing is encrypted by one that was rolled back.
                    Outcome::Stopped { .. }
                    | Outcome::NeedsOperator { .. }
                    | Outcome::RolledBack => Ended::Error,
                },
                message: migration.outcome.summary(),
                text: hint(&migration.outcome).to_owned(),
            }
        })
        .collect();
    crate::junit::write("atrest run", report.ended, cases, out)
}
