//! Prints a report as a person sees it: `cargo run -p atrest-reports --example show -- NAME [WIDTH] [plain|color]`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "shares its reports with the tests; a failure may panic"
)]

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/samples/mod.rs"]
mod samples;

use std::io::{self, Write as _};

use atrest_reports::{DiffFormat, EventLines, ScanFormat, Style};

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let arg = |index: usize| args.get(index).map(String::as_str);
    let style = Style {
        width: arg(1).and_then(|text| text.parse().ok()),
        color: arg(2) == Some("color"),
        unicode: arg(2) != Some("ascii"),
    };
    let mut out = io::stdout().lock();
    let scan = |report, format, out: &mut dyn io::Write| {
        atrest_reports::scan(&report, format, &style, out)
    };
    let diff = |report, format, only, out: &mut dyn io::Write| {
        atrest_reports::diff(&report, format, only, &style, out)
    };
    match arg(0) {
        Some("scan") => scan(samples::scan_report(), ScanFormat::Table, &mut out),
        Some("scan-csv") => scan(samples::scan_report(), ScanFormat::Csv, &mut out),
        Some("scan-markdown") => scan(samples::scan_report(), ScanFormat::Markdown, &mut out),
        Some("incomplete") => scan(samples::incomplete_scan(), ScanFormat::Table, &mut out),
        Some("empty") => scan(samples::empty_scan(), ScanFormat::Table, &mut out),
        Some("diff") => diff(samples::diff_report(), DiffFormat::Text, false, &mut out),
        Some("diff-q") => diff(samples::diff_report(), DiffFormat::Text, true, &mut out),
        Some("diff-table") => diff(samples::diff_report(), DiffFormat::Table, false, &mut out),
        Some("diff-unread") => diff(samples::unread_diff(), DiffFormat::Text, false, &mut out),
        Some("plan") => atrest_reports::plan(&samples::migration_plan(), &style, &mut out),
        Some("run") => atrest_reports::run(&samples::run_report(), &style, &mut out),
        Some("events") => {
            let mut lines = EventLines::new(style);
            for line in samples::events().iter().filter_map(|e| lines.line(e)) {
                writeln!(out, "{line}")?;
            }
            Ok(())
        }
        _ => writeln!(
            out,
            "one of: scan scan-csv scan-markdown incomplete empty diff diff-q diff-table diff-unread plan run events"
        ),
    }
}
