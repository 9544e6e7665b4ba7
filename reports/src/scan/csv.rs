//! A scan for spreadsheets: one line a resource, and one for each region that is a hole.

use std::io::{self, Write};

use atrest_model::scan::{ResourceKind, ScanReport};

use super::rows::{holes, rows};
use crate::text::printable;

const HEADER: [&str; 15] = [
    "verdict",
    "severity",
    "policies",
    "reason",
    "account",
    "region",
    "type",
    "identifier",
    "engine",
    "engine_version",
    "class",
    "status",
    "encryption",
    "kms_key_id",
    "arn",
];

pub(super) fn write(report: &ScanReport, out: &mut dyn Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    let mut record = |fields: [&str; 15]| writer.write_record(fields.map(field)).map_err(io_error);
    record(HEADER)?;
    for row in rows(report) {
        let resource = row.resource;
        record([
            row.verdict.as_str(),
            row.severity().map_or("", |severity| severity.as_str()),
            &row.policies().join(" "),
            &row.reasons(),
            row.account(),
            row.region(),
            resource.map_or("", |r| r.kind.as_str()),
            resource.map_or("", |r| &r.identifier),
            resource.map_or("", |r| &r.engine),
            resource.map_or("", |r| &r.engine_version),
            resource.and_then(|r| r.class.as_deref()).unwrap_or(""),
            resource.map_or("", |r| &r.status),
            resource.map_or("unknown", |r| r.encryption.as_str()),
            resource.and_then(|r| r.kms_key_id.as_deref()).unwrap_or(""),
            row.arn,
        ])?;
    }
    for hole in holes(report) {
        // A hole must be a row: whoever counts rows would take it for compliance.
        record([
            "not read",
            "",
            "",
            hole.error,
            hole.account,
            hole.region,
            hole.kind.map_or("", ResourceKind::as_str),
            "",
            "",
            "",
            "",
            "",
            "unknown",
            "",
            "",
        ])?;
    }
    writer.flush()
}

/// The kind is kept, so that a closed pipe is known as one.
pub(crate) fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// A field that breaks no line and is no formula to a spreadsheet.
pub(crate) fn field(text: &str) -> String {
    let text = printable(text);
    // The wide forms are formulas to some of them too.
    if text.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']) {
        format!("'{text}")
    } else {
        text.into_owned()
    }
}
