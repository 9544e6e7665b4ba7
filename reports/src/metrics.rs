//! Numbers for Prometheus, in its text format 0.0.4, as the textfile collector of node_exporter reads them.
//!
//! Everything is a gauge: a file says what the last scan or the run has come to, and nothing in it is counted across
//! processes. Series that can be nought are written as nought: an alert on a series that goes away never resolves.

mod run;
mod scan;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write};

use crate::text::printable;

pub use run::{RunNumbers, run_metrics};
pub use scan::{ScanNumbers, scan_metrics};

/// A label and its value.
type Label<'a> = (&'static str, &'a str);

/// The series of one name.
struct Family {
    name: &'static str,
    help: &'static str,
    lines: String,
    known: BTreeSet<String>,
}

impl Family {
    /// `name` follows the rules of Prometheus: `atrest_`, what it is of, what it is, its unit.
    fn new(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            lines: String::new(),
            known: BTreeSet::new(),
        }
    }

    /// One series of this name only.
    fn single(name: &'static str, help: &'static str, labels: &[Label<'_>], value: f64) -> Self {
        let mut family = Self::new(name, help);
        family.add(labels, value);
        family
    }

    /// A series that is there already stays as it is: a file that has one twice is refused as a whole.
    fn add(&mut self, labels: &[Label<'_>], value: f64) {
        let mut series = self.name.to_owned();
        for (number, (label, value)) in labels.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            // Writing to a String cannot fail.
            let _written = write!(series, "{before}{label}=\"{}\"", escaped(value));
        }
        if !labels.is_empty() {
            series.push('}');
        }
        if !self.known.contains(&series) {
            let _written = writeln!(self.lines, "{series} {value}");
            self.known.insert(series);
        }
    }
}

/// A label value. What could steer a terminal is made visible first: these files are read by people, too.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in printable(value).chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
    text
}

fn write(families: &[Family], out: &mut dyn Write) -> io::Result<()> {
    for family in families.iter().filter(|family| !family.lines.is_empty()) {
        let name = family.name;
        write!(
            out,
            "# HELP {name} {}\n# TYPE {name} gauge\n{}",
            family.help, family.lines
        )?;
    }
    Ok(())
}

/// As Prometheus has moments: seconds since 1970.
fn seconds(at: jiff::Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus knows floats only, and no count here is above 2^53"
)]
fn amount(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_value_cannot_end_early() {
        let hostile = [("a", "\"} 1\n"), ("b", "\\")];
        let mut family = Family::single("atrest_x", "X.", &hostile, 0.5);
        family.add(&hostile, 7.0);
        let mut out = Vec::new();
        write(&[family, Family::new("atrest_none", "None.")], &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "# HELP atrest_x X.\n# TYPE atrest_x gauge\natrest_x{a=\"\\\"} 1\\\\n\",b=\"\\\\\"} 0.5\n"
        );
    }
}
