//! A scan as JUnit XML, for build servers: a suite for each region of each account, a case for each policy on each
//! resource. What is flagged has failed, what is waived was skipped; what could not be evaluated or read is an error,
//! since most servers take skipped for fine.

use std::borrow::Cow;
use std::io::{self, Write as _};

use atrest_model::scan::ScanReport;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::Out;
use super::rows::{Hole, NOT_READ, holes};
use super::verdicts::{Judged, Status, verdicts};
use crate::rule::Rule;
use crate::text::printable;

/// Cases of one suite, or of all.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
}

impl Counts {
    fn add(&mut self, status: Status) {
        self.tests += 1;
        match status {
            Status::Pass => {}
            Status::Fail => self.failures += 1,
            Status::NotEvaluated => self.errors += 1,
            Status::Waived => self.skipped += 1,
        }
    }

    fn attributes(self) -> [(&'static str, String); 4] {
        [
            ("tests", self.tests.to_string()),
            ("failures", self.failures.to_string()),
            ("errors", self.errors.to_string()),
            ("skipped", self.skipped.to_string()),
        ]
    }
}

/// A case: a verdict, or a region that was not read.
enum Case<'a> {
    Judged(Judged<'a>),
    NotRead(Hole<'a>),
}

impl Case<'_> {
    fn status(&self) -> Status {
        match self {
            Self::Judged(judged) => judged.status(),
            Self::NotRead(_) => Status::NotEvaluated,
        }
    }
}

pub(super) fn write(report: &ScanReport, rules: &[Rule], out: &mut Out<'_>) -> io::Result<()> {
    let mut cases: Vec<(&str, &str, Case<'_>)> = verdicts(report, rules)
        .map(|judged| (judged.account(), judged.region(), Case::Judged(judged)))
        .collect();
    cases.extend(holes(report).map(|hole| (hole.account, hole.region, Case::NotRead(hole))));
    // Stable: within a suite the order of the report is kept.
    cases.sort_by_key(|(account, region, _)| (*account, *region));

    let mut xml = Writer::new_with_indent(out, b' ', 1);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let mut all = Counts::default();
    for (_, _, case) in &cases {
        all.add(case.status());
    }
    let started = report.started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let suites = cases.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1));
    let mut root = xml
        .create_element("testsuites")
        .with_attribute(("name", "atrest scan"));
    for (name, value) in &all.attributes() {
        root = root.with_attribute((*name, value.as_str()));
    }
    root.with_attribute(("timestamp", started.as_str()))
        .write_inner_content(|xml| {
            for suite in suites {
                write_suite(suite, &started, xml)?;
            }
            Ok(())
        })?;
    writeln!(xml.get_mut())
}

fn write_suite(
    cases: &[(&str, &str, Case<'_>)],
    started: &str,
    xml: &mut Writer<&mut Out<'_>>,
) -> io::Result<()> {
    let Some((account, region, _)) = cases.first() else {
        return Ok(());
    };
    let name = format!("{}/{}", printable(account), printable(region));
    let mut counts = Counts::default();
    for (_, _, case) in cases {
        counts.add(case.status());
    }
    let mut element = xml
        .create_element("testsuite")
        .with_attribute(("name", name.as_str()));
    for (name, value) in &counts.attributes() {
        element = element.with_attribute((*name, value.as_str()));
    }
    element
        .with_attribute(("timestamp", started))
        .write_inner_content(|xml| {
            for (_, _, case) in cases {
                match case {
                    Case::Judged(judged) => write_judged(judged, &name, xml)?,
                    Case::NotRead(hole) => write_hole(*hole, &name, xml)?,
                }
            }
            Ok(())
        })?;
    Ok(())
}

fn write_judged(
    judged: &Judged<'_>,
    suite: &str,
    xml: &mut Writer<&mut Out<'_>>,
) -> io::Result<()> {
    let name = format!(
        "{}: {}",
        printable(judged.policy),
        printable(judged.identifier())
    );
    let class = format!("{suite}/{}", judged.kind().as_str());
    let case = xml
        .create_element("testcase")
        .with_attribute(("name", name.as_str()))
        .with_attribute(("classname", class.as_str()))
        .with_attribute(("time", "0"));
    let element = match judged.status() {
        Status::Pass => {
            case.write_empty()?;
            return Ok(());
        }
        Status::Fail => "failure",
        Status::NotEvaluated => "error",
        Status::Waived => "skipped",
    };
    let reason = judged.reason();
    let reason = printable(&reason);
    case.write_inner_content(|xml| {
        let inner = xml
            .create_element(element)
            .with_attribute(("message", &*reason));
        // A skipped case has no type and no text.
        if element == "skipped" {
            inner.write_empty()?;
            return Ok(());
        }
        let text = details(judged);
        inner
            .with_attribute(("type", judged.severity().as_str()))
            .write_text_content(BytesText::new(&text))?;
        Ok(())
    })?;
    Ok(())
}

/// ARN and controls of what is not in order.
fn details(judged: &Judged<'_>) -> String {
    let mut text = printable(judged.arn).into_owned();
    for control in judged.controls() {
        text.push('\n');
        text.push_str(&printable(&control.publisher));
        text.push(' ');
        text.push_str(&printable(&control.id));
    }
    text
}

fn write_hole(hole: Hole<'_>, suite: &str, xml: &mut Writer<&mut Out<'_>>) -> io::Result<()> {
    let reason: Cow<'_, str> = printable(hole.error);
    let name = match hole.kind {
        None => NOT_READ.to_owned(),
        Some(kind) => format!("{NOT_READ} {}", kind.as_str()),
    };
    xml.create_element("testcase")
        .with_attribute(("name", name.as_str()))
        .with_attribute(("classname", suite))
        .with_attribute(("time", "0"))
        .write_inner_content(|xml| {
            xml.create_element("error")
                .with_attribute(("message", &*reason))
                .with_attribute(("type", NOT_READ))
                .write_empty()?;
            Ok(())
        })?;
    Ok(())
}
