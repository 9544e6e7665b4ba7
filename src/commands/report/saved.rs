//! What was saved earlier: scans, diffs and runs, told apart by what is in them.

use std::path::{Path, PathBuf};

use atrest_fixer::store::{RunStore, StoreError};
use atrest_model::diff::{self, DiffReport};
use atrest_model::run::{self, RunReport};
use atrest_model::scan::{self, ScanReport};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::run::SavedRun;
use crate::exit::ExpectedError;

/// A document and what it is called: the file as given, or the run.
#[derive(Debug)]
pub(crate) struct Named<T> {
    pub(crate) name: String,
    pub(crate) document: T,
}

/// Everything that was named on the command line, in its order.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    pub(crate) scans: Vec<Named<ScanReport>>,
    pub(crate) diffs: Vec<Named<DiffReport>>,
    pub(crate) runs: Vec<Named<SavedRun>>,
}

/// A saved document of one kind.
#[derive(Debug)]
enum Document {
    Scan(ScanReport),
    Diff(DiffReport),
    Run(RunReport),
}

/// Members that tell kinds of documents apart; all of them are in every version.
#[derive(Debug, Deserialize)]
struct Kind {
    schema_version: Option<u32>,
    findings: Option<IgnoredAny>,
    pairs: Option<IgnoredAny>,
    migrations: Option<IgnoredAny>,
    ended: Option<IgnoredAny>,
    digest: Option<IgnoredAny>,
}

impl Saved {
    /// Reads files, run folders, and runs of `state_dir` by name.
    pub(crate) fn read(given: &[String], state_dir: &Path) -> anyhow::Result<Self> {
        let mut saved = Self::default();
        for name in given {
            let path = Path::new(name);
            if path.is_file() {
                let document = read(path).map_err(|why| {
                    ExpectedError::usage(
                        format!("{}: {why}", path.display()),
                        "give files of `scan --save`, `diff --format json=FILE` and `fix --format json`, or the name of a run",
                    )
                })?;
                saved.add(name, document);
            } else {
                let run = open_run(path, state_dir)?;
                saved.runs.push(Named {
                    name: run.report.run.to_string(),
                    document: run,
                });
            }
        }
        Ok(saved)
    }

    fn add(&mut self, name: &str, document: Document) {
        let name = name.to_owned();
        match document {
            Document::Scan(document) => self.scans.push(Named { name, document }),
            Document::Diff(document) => self.diffs.push(Named { name, document }),
            Document::Run(report) => self.runs.push(Named {
                name,
                document: SavedRun::of_report(report),
            }),
        }
    }

    /// How many documents there are.
    pub(crate) fn len(&self) -> usize {
        self.scans.len() + self.diffs.len() + self.runs.len()
    }
}

/// A scan, and nothing else; why not, for a warning that names the file.
pub(super) fn read_scan(path: &Path) -> Result<ScanReport, String> {
    match read(path)? {
        Document::Scan(scan) => Ok(scan),
        Document::Diff(_) => Err("it is a diff, not a scan".to_owned()),
        Document::Run(_) => Err("it is the end of a run, not a scan".to_owned()),
    }
}

fn read(path: &Path) -> Result<Document, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let kind: Kind = serde_json::from_slice(&bytes)
        .map_err(|error| format!("no report that was saved as JSON: {error}"))?;
    let known = |what: &str, known: u32| match kind.schema_version {
        Some(found) if found <= known => Ok(()),
        Some(found) => Err(format!(
            "a {what} of schema version {found}; this version reads up to {known}"
        )),
        None => Err(format!("a {what} without a schema_version")),
    };
    let broken = |what: &str, error: &serde_json::Error| format!("no whole {what}: {error}");
    if kind.findings.is_some() {
        known("scan", scan::SCHEMA_VERSION)?;
        let scan = serde_json::from_slice(&bytes).map_err(|error| broken("scan", &error))?;
        return Ok(Document::Scan(scan));
    }
    if kind.pairs.is_some() {
        known("diff", diff::SCHEMA_VERSION)?;
        let diff = serde_json::from_slice(&bytes).map_err(|error| broken("diff", &error))?;
        return Ok(Document::Diff(diff));
    }
    if kind.migrations.is_some() && kind.ended.is_some() {
        known("run", run::SCHEMA_VERSION)?;
        let run = serde_json::from_slice(&bytes).map_err(|error| broken("run", &error))?;
        return Ok(Document::Run(run));
    }
    if kind.migrations.is_some() && kind.digest.is_some() {
        return Err("a plan; `atrest fix PLAN.json` shows plans".to_owned());
    }
    Err("neither a scan nor a diff nor the end of a run".to_owned())
}

/// A run by its name in the state folder, or by its folder.
fn open_run(path: &Path, state_dir: &Path) -> anyhow::Result<SavedRun> {
    let unknown = || {
        ExpectedError::usage(
            format!(
                "no file {}, and no run of that name in {}",
                path.display(),
                state_dir.display()
            ),
            "`atrest status` lists the runs; --state-dir names another folder",
        )
    };
    let (state_dir, run) = match folder(path) {
        Some(found) => found,
        None => (
            state_dir.to_owned(),
            path.to_str().ok_or_else(unknown)?.to_owned(),
        ),
    };
    match RunStore::open_to_read(&state_dir, &run) {
        Ok(store) => SavedRun::of_store(&store).map_err(|error| ExpectedError::store(&error)),
        Err(StoreError::NoSuchRun { .. }) => Err(unknown()),
        Err(error) => Err(ExpectedError::store(&error)),
    }
}

/// State folder and run, if the path is one of a run folder.
fn folder(path: &Path) -> Option<(PathBuf, String)> {
    if !path.is_dir() {
        return None;
    }
    let path = std::fs::canonicalize(path).ok()?;
    let run = path.file_name()?.to_str()?.to_owned();
    let runs = path.parent()?;
    (runs.file_name()? == "runs").then(|| Some((runs.parent()?.to_owned(), run)))?
}
