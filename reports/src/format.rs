//! Names of formats, and `FORMAT=FILE`.

use std::path::PathBuf;
use std::str::FromStr;

/// A format nobody knows, or one without the file it promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownFormat {
    /// Not one of the formats of this report.
    #[error("unknown format {given:?}; one of {known}")]
    Name {
        /// What was given.
        given: String,
        /// Names of the formats, for a sentence.
        known: String,
    },
    /// `FORMAT=` with nothing after it.
    #[error("format {given:?} names no file after the `=`")]
    NoFile {
        /// What was given.
        given: String,
    },
}

pub(crate) fn named<F: Copy>(text: &str, formats: &[(&str, F)]) -> Result<F, UnknownFormat> {
    let found = formats.iter().find(|(name, _)| *name == text);
    found.map(|(_, format)| *format).ok_or_else(|| {
        let names: Vec<&str> = formats.iter().map(|(name, _)| *name).collect();
        UnknownFormat::Name {
            given: text.to_owned(),
            known: names.join(", "),
        }
    })
}

/// Formats of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanFormat {
    /// For people.
    Table,
    /// The whole report.
    Json,
    /// One JSON record a line.
    Jsonl,
    /// One line a resource.
    Csv,
    /// For a pull request.
    Markdown,
    /// A page.
    Html,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// JUnit XML, for build servers.
    Junit,
    /// Compliance Findings of the Open Cybersecurity Schema Framework.
    Ocsf,
    /// The AWS Security Finding Format, for Security Hub.
    Asff,
}

impl ScanFormat {
    /// Every format with its name.
    pub const ALL: &[(&str, Self)] = &[
        ("table", Self::Table),
        ("json", Self::Json),
        ("jsonl", Self::Jsonl),
        ("csv", Self::Csv),
        ("markdown", Self::Markdown),
        ("html", Self::Html),
        ("sarif", Self::Sarif),
        ("junit", Self::Junit),
        ("ocsf", Self::Ocsf),
        ("asff", Self::Asff),
    ];
}

impl FromStr for ScanFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        named(text, Self::ALL)
    }
}

/// Formats of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanFormat {
    /// For people.
    Text,
    /// The plan itself, as `fix` reads it.
    Json,
    /// One line a step.
    Csv,
    /// For a pull request or a ticket.
    Markdown,
    /// A page.
    Html,
}

impl PlanFormat {
    /// Every format with its name.
    pub const ALL: &[(&str, Self)] = &[
        ("text", Self::Text),
        ("json", Self::Json),
        ("csv", Self::Csv),
        ("markdown", Self::Markdown),
        ("html", Self::Html),
    ];
}

impl FromStr for PlanFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        named(text, Self::ALL)
    }
}

/// Formats of a diff.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiffFormat {
    /// Like a unified diff, with classes.
    Text,
    /// Counts by pair and class.
    Table,
    /// The whole report.
    Json,
    /// One line a difference.
    Csv,
    /// For a pull request.
    Markdown,
    /// A page, side by side.
    Html,
    /// JUnit XML, a case for each pair.
    Junit,
}

impl DiffFormat {
    /// Every format with its name.
    pub const ALL: &[(&str, Self)] = &[
        ("text", Self::Text),
        ("table", Self::Table),
        ("json", Self::Json),
        ("csv", Self::Csv),
        ("markdown", Self::Markdown),
        ("html", Self::Html),
        ("junit", Self::Junit),
    ];
}

impl FromStr for DiffFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        named(text, Self::ALL)
    }
}

/// Formats of saved documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFormat {
    /// For people, one document after the other.
    Table,
    /// As the table; diffs like a unified diff, with classes.
    Text,
    /// For a pull request or a ticket.
    Markdown,
    /// One page of all of them.
    Html,
    /// One document as it was saved.
    Json,
    /// One scan in a format of scans.
    Scan(ScanFormat),
}

impl ReportFormat {
    /// Every format with its name.
    pub const ALL: &[(&str, Self)] = &[
        ("table", Self::Table),
        ("text", Self::Text),
        ("markdown", Self::Markdown),
        ("html", Self::Html),
        ("json", Self::Json),
        ("jsonl", Self::Scan(ScanFormat::Jsonl)),
        ("csv", Self::Scan(ScanFormat::Csv)),
        ("sarif", Self::Scan(ScanFormat::Sarif)),
        ("junit", Self::Scan(ScanFormat::Junit)),
        ("ocsf", Self::Scan(ScanFormat::Ocsf)),
        ("asff", Self::Scan(ScanFormat::Asff)),
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let named = Self::ALL.iter().find(|(_, format)| *format == self);
        named.map_or("table", |(name, _)| name)
    }
}

impl FromStr for ReportFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        named(text, Self::ALL)
    }
}

/// Formats of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunFormat {
    /// For people.
    Table,
    /// The whole report.
    Json,
    /// One JSON record a line: migrations, DB instances, steps.
    Jsonl,
    /// One line a migration.
    Csv,
    /// For a pull request or a chat.
    Markdown,
    /// A page.
    Html,
    /// JUnit XML, a case for each migration.
    Junit,
    /// One message for a chat.
    Chat,
}

impl RunFormat {
    /// Every format with its name.
    pub const ALL: &[(&str, Self)] = &[
        ("table", Self::Table),
        ("json", Self::Json),
        ("jsonl", Self::Jsonl),
        ("csv", Self::Csv),
        ("markdown", Self::Markdown),
        ("html", Self::Html),
        ("junit", Self::Junit),
        ("chat", Self::Chat),
    ];
}

impl FromStr for RunFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        named(text, Self::ALL)
    }
}

/// Formats of the end of a run as `fix` writes it: those of [`RunFormat`], and `text`, which is its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixFormat(pub RunFormat);

impl FixFormat {
    /// Every format with its name.
    pub const ALL: &[(&str, Self)] = &[
        ("text", Self(RunFormat::Table)),
        ("table", Self(RunFormat::Table)),
        ("json", Self(RunFormat::Json)),
        ("jsonl", Self(RunFormat::Jsonl)),
        ("csv", Self(RunFormat::Csv)),
        ("markdown", Self(RunFormat::Markdown)),
        ("html", Self(RunFormat::Html)),
        ("junit", Self(RunFormat::Junit)),
        ("chat", Self(RunFormat::Chat)),
    ];
}

impl FromStr for FixFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        named(text, Self::ALL)
    }
}

/// Formats of the state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusFormat {
    /// How far each migration is, for people.
    Text,
    /// The same, for programs.
    Json,
    /// The run as a report of its end has it.
    End(RunFormat),
}

impl StatusFormat {
    /// Every format with its name.
    pub const ALL: &[(&str, Self)] = &[
        ("text", Self::Text),
        ("json", Self::Json),
        ("table", Self::End(RunFormat::Table)),
        ("jsonl", Self::End(RunFormat::Jsonl)),
        ("csv", Self::End(RunFormat::Csv)),
        ("markdown", Self::End(RunFormat::Markdown)),
        ("html", Self::End(RunFormat::Html)),
        ("junit", Self::End(RunFormat::Junit)),
        ("chat", Self::End(RunFormat::Chat)),
    ];
}

impl FromStr for StatusFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        named(text, Self::ALL)
    }
}

/// A format and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output<F> {
    /// Format.
    pub format: F,
    /// File; `None` is standard output.
    pub path: Option<PathBuf>,
}

impl<F: FromStr<Err = UnknownFormat>> Output<F> {
    /// Reads `FORMAT` or `FORMAT=FILE`.
    ///
    /// # Errors
    ///
    /// A format nobody knows, or no file after the `=`.
    pub fn parse(text: &str) -> Result<Self, UnknownFormat> {
        let (format, path) = match text.split_once('=') {
            Some((format, path)) => (format, Some(path)),
            None => (text, None),
        };
        let format = format.parse()?;
        match path {
            Some("") => Err(UnknownFormat::NoFile {
                given: text.to_owned(),
            }),
            path => Ok(Self {
                format,
                path: path.map(PathBuf::from),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_may_name_a_file() {
        let output = Output::<ScanFormat>::parse("json=a=b.json").unwrap();
        assert_eq!(
            (output.format, output.path),
            (ScanFormat::Json, Some(PathBuf::from("a=b.json")))
        );
        let output = Output::<DiffFormat>::parse("table").unwrap();
        assert_eq!((output.format, output.path), (DiffFormat::Table, None));
    }

    #[test]
    fn a_wrong_format_is_named_with_the_known_ones() {
        let wrong = |text: &str| Output::<DiffFormat>::parse(text).unwrap_err().to_string();
        assert_eq!(
            wrong("yaml"),
            "unknown format \"yaml\"; one of text, table, json, csv, markdown, html, junit"
        );
        assert_eq!(
            wrong("yaml=x.yaml"),
            "unknown format \"yaml\"; one of text, table, json, csv, markdown, html, junit"
        );
        assert_eq!(
            wrong("json="),
            "format \"json=\" names no file after the `=`"
        );
        assert!(wrong("").contains("unknown format \"\""));
    }
}
