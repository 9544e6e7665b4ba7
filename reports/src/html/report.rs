//! One page of everything that was saved of a fleet: the audit, the trend, what changed, the migration, the comparison.

use std::io::{self, Write};

use atrest_model::diff::DiffReport;
use atrest_model::run::RunReport;
use atrest_model::scan::ScanReport;

use super::compared::compared;
use super::superseded::Superseded;
use super::trend::{History, trend};
use super::{Section, diff, run, scan, write_page};
use crate::rule::Rule;
use crate::run::RunContext;

/// A run with what its page may show beside its end.
#[derive(Debug, Clone, Copy)]
pub struct RunDocument<'a> {
    /// How it ended.
    pub report: &'a RunReport,
    /// When its steps ran, and what validation found.
    pub context: RunContext<'a>,
}

/// Everything that is to stand on one page.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report<'a> {
    /// Scans of the same accounts. The latest is shown as a whole; the first one is what it is compared with.
    pub scans: &'a [&'a ScanReport],
    /// Runs.
    pub runs: &'a [RunDocument<'a>],
    /// Diffs.
    pub diffs: &'a [&'a DiffReport],
    /// Earlier scans, for the trend.
    pub history: Option<&'a History>,
    /// The policies that were asked.
    pub rules: &'a [Rule],
}

/// Renders what was saved as one self-contained HTML page.
///
/// # Errors
///
/// Any error of `out`.
pub fn report_page(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let (mut parts, mut tail) = (Vec::new(), Vec::new());
    let latest = report.scans.iter().max_by_key(|scan| scan.started);
    let first = report.scans.iter().min_by_key(|scan| scan.started);
    if let Some(latest) = latest {
        let superseded = Superseded::of(latest, report.runs);
        let mut part = scan::part(latest, report.rules, &superseded);
        let mut before = Vec::new();
        if let Some(trend) = report.history.and_then(trend) {
            before.push(Section::new("trend", "Trend", trend));
        }
        if let Some(first) = first.filter(|first| first.started < latest.started) {
            let compared = compared(first, latest, &superseded);
            before.push(Section::new("compared", "Before and after", compared));
        }
        // What was not read stays the first thing that is said.
        let at = part
            .sections
            .iter()
            .take_while(|section| section.id == "unread")
            .count();
        part.sections.splice(at..at, before);
        // The long lists come last, after what a reader came for.
        let lists = part
            .sections
            .iter()
            .position(|section| section.id == "coverage");
        let lists = lists.or_else(|| part.sections.iter().position(|one| one.id == "resources"));
        if let Some(at) = lists {
            tail = part.sections.split_off(at);
        }
        parts.push(part);
    }
    let several = report.runs.len() > 1;
    for (index, one) in report.runs.iter().enumerate() {
        let (id, title) = if several {
            let title = format!("Migrations of run {}", one.report.run);
            (format!("migrations-{}", index + 1), title)
        } else {
            ("migrations".to_owned(), "Migrations".to_owned())
        };
        // A diff that was given is later than what validation found, and holds the same pairs.
        let mut context = one.context;
        if !report.diffs.is_empty() {
            context.diff = None;
        }
        parts.push(run::part(one.report, &context, &id, &title));
    }
    let several = report.diffs.len() > 1;
    for (index, one) in report.diffs.iter().enumerate() {
        let (id, title) = if several {
            let title = format!("Pairs {}", index + 1);
            (format!("pairs-{}", index + 1), title)
        } else {
            ("pairs".to_owned(), "Pairs".to_owned())
        };
        parts.push(diff::part(one, false, &id, &title));
    }
    if let Some(last) = parts.last_mut() {
        last.sections.append(&mut tail);
    }
    write_page(parts, "atrest report", out)
}
