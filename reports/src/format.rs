//! Names of formats, and `FORMAT=FILE`.

use std::path::PathBuf;
use std::str::FromStr;

/// A format nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown format {given:?}; one of {known}")]
pub struct UnknownFormat {
    given: String,
    known: &'static str,
}

/// Formats of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanFormat {
    /// For people.
    Table,
    /// The whole report.
    Json,
    /// One line a resource.
    Csv,
    /// For a pull request.
    Markdown,
}

impl FromStr for ScanFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            "csv" => Ok(Self::Csv),
            "markdown" => Ok(Self::Markdown),
            _ => Err(UnknownFormat {
                given: text.to_owned(),
                known: "table, json, csv, markdown",
            }),
        }
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
}

impl FromStr for DiffFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "text" => Ok(Self::Text),
            "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            _ => Err(UnknownFormat {
                given: text.to_owned(),
                known: "text, table, json",
            }),
        }
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
    /// A format nobody knows.
    pub fn parse(text: &str) -> Result<Self, UnknownFormat> {
        match text.split_once('=') {
            Some((format, path)) if !path.is_empty() => Ok(Self {
                format: format.parse()?,
                path: Some(path.into()),
            }),
            _ => Ok(Self {
                format: text.parse()?,
                path: None,
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
        let error = Output::<DiffFormat>::parse("yaml").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown format \"yaml\"; one of text, table, json"
        );
    }
}
