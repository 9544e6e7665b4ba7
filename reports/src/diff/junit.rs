//! A diff for build servers: a suite for each region, a case for each pair. Drift has failed; what was not wholly read is
//! an error, since most servers take skipped for fine.

use std::fmt::Write as _;
use std::io::{self, Write};

use atrest_model::diff::{DiffClass, DiffReport, PairDiff};

use super::controls;
use crate::junit::{Case, Ended};
use crate::text::count;

pub(super) fn write(report: &DiffReport, out: &mut dyn Write) -> io::Result<()> {
    let cases = report.pairs.iter().map(case).collect();
    crate::junit::write("atrest diff", report.created, cases, out)
}

fn case(pair: &PairDiff) -> Case<'_> {
    let drift = pair.drift();
    let mut text = String::new();
    for found in &pair.differences {
        if found.class != DiffClass::Drift {
            continue;
        }
        let value = |value: &Option<serde_json::Value>| {
            value
                .as_ref()
                .map_or_else(|| "nothing".to_owned(), ToString::to_string)
        };
        // Writing to a String cannot fail.
        let _written = writeln!(
            text,
            "{} {}: {} -> {}",
            found.area.as_str(),
            found.path.replace('\n', " "),
            value(&found.old),
            value(&found.new)
        );
        for (word, more) in [
            ("breaks", controls(found)),
            ("remedy", found.remedy.clone().unwrap_or_default()),
        ] {
            if !more.is_empty() {
                let _written = writeln!(text, "  {word}: {more}");
            }
        }
    }
    for not in pair.not_compared.iter().filter(|not| not.failed) {
        let _written = writeln!(text, "NOT READ: {}: {}", not.area.as_str(), not.reason);
    }
    let (ended, message) = match (drift, pair.incomplete()) {
        (0, None) => (Ended::Passed, String::new()),
        (0, Some(not)) => (
            Ended::Error,
            format!("not wholly read: {}: {}", not.area.as_str(), not.reason),
        ),
        (drift, _) => (Ended::Failed, count(drift, "drift", "drifts")),
    };
    Case {
        suite: &pair.new.region,
        name: &pair.name,
        ended,
        message,
        text,
    }
}
