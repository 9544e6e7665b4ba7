//! JUnit XML of flat lists: a suite for each group, a case for each item.

use std::io::{self, Write};

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use crate::text::printable;

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Passed,
    Failed,
    /// It could not be told, or somebody must look.
    Error,
}

/// One case.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    pub(crate) suite: &'a str,
    pub(crate) name: &'a str,
    pub(crate) ended: Ended,
    /// One line.
    pub(crate) message: String,
    /// The rest, of several lines.
    pub(crate) text: String,
}

/// Writes the document. Cases are grouped by suite; within one they keep their order.
pub(crate) fn write(
    name: &str,
    time: jiff::Timestamp,
    mut cases: Vec<Case<'_>>,
    out: &mut dyn Write,
) -> io::Result<()> {
    cases.sort_by_key(|case| case.suite);
    let time = time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut xml = Writer::new_with_indent(&mut *out, b' ', 1);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let counts = counts(&cases);
    let mut root = xml
        .create_element("testsuites")
        .with_attribute(("name", name));
    for (name, value) in &counts {
        root = root.with_attribute((*name, value.as_str()));
    }
    root.with_attribute(("timestamp", time.as_str()))
        .write_inner_content(|xml| {
            for suite in cases.chunk_by(|a, b| a.suite == b.suite) {
                write_suite(suite, &time, xml)?;
            }
            Ok(())
        })?;
    writeln!(out)
}

fn counts(cases: &[Case<'_>]) -> [(&'static str, String); 4] {
    let of = |ended| {
        cases
            .iter()
            .filter(|case| case.ended == ended)
            .count()
            .to_string()
    };
    [
        ("tests", cases.len().to_string()),
        ("failures", of(Ended::Failed)),
        ("errors", of(Ended::Error)),
        ("skipped", "0".to_owned()),
    ]
}

fn write_suite<W: Write>(cases: &[Case<'_>], time: &str, xml: &mut Writer<W>) -> io::Result<()> {
    let suite = printable(cases.first().map_or("", |case| case.suite));
    let mut element = xml
        .create_element("testsuite")
        .with_attribute(("name", &*suite));
    let counts = counts(cases);
    for (name, value) in &counts {
        element = element.with_attribute((*name, value.as_str()));
    }
    element
        .with_attribute(("timestamp", time))
        .write_inner_content(|xml| {
            for case in cases {
                write_case(case, &suite, xml)?;
            }
            Ok(())
        })?;
    Ok(())
}

fn write_case<W: Write>(case: &Case<'_>, suite: &str, xml: &mut Writer<W>) -> io::Result<()> {
    let name = printable(case.name);
    let element = xml
        .create_element("testcase")
        .with_attribute(("name", &*name))
        .with_attribute(("classname", suite))
        .with_attribute(("time", "0"));
    let inner = match case.ended {
        Ended::Passed => {
            element.write_empty()?;
            return Ok(());
        }
        Ended::Failed => "failure",
        Ended::Error => "error",
    };
    let message = printable(&case.message);
    element.write_inner_content(|xml| {
        let inner = xml
            .create_element(inner)
            .with_attribute(("message", &*message));
        let lines: Vec<_> = case.text.lines().map(printable).collect();
        let text = lines.join("\n");
        inner
            .with_attribute(("type", "atrest"))
            .write_text_content(BytesText::new(&text))?;
        Ok(())
    })?;
    Ok(())
}
