//! What is known of each account, on the disk as soon as it is judged.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use atrest_model::scan::ScanReport;
use atrest_reports::Rule;

use crate::exit::ExpectedError;

/// A file of JSON Lines that grows while a scan goes on. Its last line is that of the scan itself: a file without it is of a
/// scan that did not end.
pub(super) struct Streamed {
    path: PathBuf,
    file: File,
    rules: Vec<Rule>,
    /// What was not written leaves the file as it is; the scan goes on and says so at its end.
    broken: Option<io::Error>,
}

impl Streamed {
    /// Begins the file anew.
    pub(super) fn begin(path: &Path, rules: Vec<Rule>) -> anyhow::Result<Self> {
        let file = File::create(path).map_err(|error| refused(path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            rules,
            broken: None,
        })
    }

    /// Adds what is known of an account.
    pub(super) fn part(&mut self, part: &ScanReport) {
        if self.broken.is_none() {
            let written = atrest_reports::scan_part(part, &self.rules, &mut self.file);
            self.broken = written.err();
        }
    }

    /// Adds the last line.
    pub(super) fn end(mut self, report: &ScanReport) -> anyhow::Result<()> {
        let written = match self.broken.take() {
            Some(error) => Err(error),
            None => atrest_reports::scan_part_end(report, &mut self.file),
        };
        written.map_err(|error| refused(&self.path, &error))
    }
}

fn refused(path: &Path, error: &io::Error) -> anyhow::Error {
    ExpectedError::usage(
        format!("cannot write {}: {error}", path.display()),
        "check the folder and the disk",
    )
}
