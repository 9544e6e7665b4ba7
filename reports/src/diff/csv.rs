//! A diff for spreadsheets: one line a difference, and one for each part that was not read.

use std::borrow::Cow;
use std::io::{self, Write};

use atrest_model::diff::{DiffClass, DiffReport};
use serde_json::Value;

use super::{controls, value};
use crate::scan::csv::{field, io_error};

const HEADER: [&str; 12] = [
    "pair",
    "class",
    "area",
    "path",
    "old",
    "new",
    "reason",
    "controls",
    "remedy",
    "region",
    "old_identifier",
    "new_identifier",
];

pub(super) fn write(report: &DiffReport, drift_only: bool, out: &mut dyn Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    let mut record = |fields: [&str; 12]| writer.write_record(fields.map(field)).map_err(io_error);
    record(HEADER)?;
    for pair in &report.pairs {
        let sides = [
            pair.new.region.as_str(),
            &pair.old.identifier,
            &pair.new.identifier,
        ];
        for found in &pair.differences {
            if drift_only && found.class != DiffClass::Drift {
                continue;
            }
            record([
                &pair.name,
                found.class.as_str(),
                found.area.as_str(),
                &found.path,
                &shown(found.old.as_ref(), found.new.as_ref()),
                &shown(found.new.as_ref(), found.old.as_ref()),
                &found.reason,
                &controls(found),
                found.remedy.as_deref().unwrap_or_default(),
                sides[0],
                sides[1],
                sides[2],
            ])?;
        }
        // A part that failed must be a row: whoever counts rows would take it for equal.
        for not in pair.not_compared.iter().filter(|not| not.failed) {
            record([
                &pair.name,
                "not read",
                not.area.as_str(),
                "",
                "",
                "",
                &not.reason,
                "",
                "",
                sides[0],
                sides[1],
                sides[2],
            ])?;
        }
    }
    writer.flush()
}

fn shown<'a>(value: Option<&'a Value>, other: Option<&Value>) -> Cow<'a, str> {
    value.map_or(Cow::Borrowed(""), |value| {
        Cow::Owned(value::text(value, other))
    })
}
