//! The audit.

mod csv;
mod markdown;
mod rows;
mod table;

use std::io::{self, Write};

use atrest_model::scan::ScanReport;

use crate::format::ScanFormat;
use crate::style::Style;

/// Renders a scan.
///
/// # Errors
///
/// Any error of `out`.
pub fn scan(
    report: &ScanReport,
    format: ScanFormat,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        ScanFormat::Table => table::write(report, *style, out),
        ScanFormat::Json => crate::json::write(report, out),
        ScanFormat::Csv => csv::write(report, out),
        ScanFormat::Markdown => markdown::write(report, out),
    }
}
