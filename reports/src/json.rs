//! Reports as they are.

use std::io::{self, Write};

use serde::Serialize;

/// Pretty JSON with a final newline. Control characters are escaped by JSON itself.
pub(crate) fn write(report: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)
}
