//! The audit.

mod asff;
pub(crate) mod csv;
mod jsonl;
mod junit;
pub(crate) mod markdown;
mod ocsf;
pub(crate) mod rows;
mod sarif;
mod table;
pub(crate) mod verdicts;

use std::io::{self, BufWriter, Write};

use atrest_model::scan::ScanReport;

use crate::format::ScanFormat;
use crate::rule::Rule;
use crate::style::Style;

pub use asff::{PreviousError, PreviousFindings};
pub use jsonl::{SCHEMA_VERSION as SCAN_LINE_VERSION, ScanLine};

/// Where a format writes to: gathered, so that small pieces are cheap.
type Out<'a> = BufWriter<&'a mut dyn Write>;

/// What a report of a scan may need beside the scan itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScanContext<'a> {
    /// Policies that were asked. Formats with a record for each policy on each resource know of passes by them; without
    /// them they hold what was found only.
    pub rules: &'a [Rule],
    /// Findings of an earlier scan, for [`ScanFormat::Asff`].
    pub previous: Option<&'a PreviousFindings>,
}

/// Renders a scan of which nothing else is known, see [`scan_with`].
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
    scan_with(report, &ScanContext::default(), format, style, out)
}

/// Part of a scan that goes on, as JSON Lines: what is known of some accounts, without the line of the scan itself.
///
/// # Errors
///
/// Any error of `out`.
pub fn scan_part(part: &ScanReport, rules: &[Rule], out: &mut dyn Write) -> io::Result<()> {
    let out: &mut Out<'_> = &mut BufWriter::new(out);
    jsonl::lines(part, rules, out)?;
    out.flush()
}

/// The line that ends what [`scan_part`] has written: whether the scan was complete.
///
/// # Errors
///
/// Any error of `out`.
pub fn scan_part_end(report: &ScanReport, out: &mut dyn Write) -> io::Result<()> {
    let out: &mut Out<'_> = &mut BufWriter::new(out);
    jsonl::head(report, out)?;
    out.flush()
}

/// Renders a scan. It is written piece by piece: of a large scan no second copy is made.
///
/// # Errors
///
/// Any error of `out`.
pub fn scan_with(
    report: &ScanReport,
    context: &ScanContext<'_>,
    format: ScanFormat,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let out: &mut Out<'_> = &mut BufWriter::with_capacity(1 << 16, out);
    let rules = context.rules;
    match format {
        ScanFormat::Table => table::write(report, *style, out),
        ScanFormat::Json => crate::json::write(report, out),
        ScanFormat::Jsonl => jsonl::write(report, rules, out),
        ScanFormat::Csv => csv::write(report, out),
        ScanFormat::Markdown => markdown::write(report, out),
        ScanFormat::Html => crate::html::scan(report, rules, out),
        ScanFormat::Sarif => sarif::write(report, rules, out),
        ScanFormat::Junit => junit::write(report, rules, out),
        ScanFormat::Ocsf => ocsf::write(report, rules, out),
        ScanFormat::Asff => asff::write(report, rules, context.previous, out),
    }?;
    out.flush()
}
