//! The scans of earlier nights.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use atrest_model::scan::ScanReport;
use atrest_reports::History;

use super::saved::read_scan;
use crate::exit::ExpectedError;

/// Reads every `*.json` of a folder. A file that is no scan, or one of other accounts than `of`, is named in a warning
/// and left out: a trend with a gap is better than none.
pub(super) fn read(folder: &Path, of: &[&ScanReport]) -> anyhow::Result<History> {
    let cannot = |error: std::io::Error| {
        ExpectedError::usage(
            format!("cannot read {}: {error}", folder.display()),
            "--history takes a folder of files that `scan --save` wrote",
        )
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(path);
        }
    }
    files.sort();
    let wanted: BTreeSet<&str> = of.iter().flat_map(|scan| accounts(scan)).collect();
    let mut history = History::default();
    for path in files {
        match read_scan(&path) {
            Ok(scan) => {
                let theirs = accounts(&scan);
                if wanted.is_empty() || theirs.is_empty() || !theirs.is_disjoint(&wanted) {
                    history.add(&scan);
                } else {
                    let theirs: Vec<&str> = theirs.into_iter().collect();
                    tracing::warn!(
                        "{} is left out: it is of account {}",
                        path.display(),
                        theirs.join(", ")
                    );
                }
            }
            Err(why) => tracing::warn!("{} is left out: {why}", path.display()),
        }
    }
    for scan in of {
        history.add(scan);
    }
    if history.len() < 2 {
        tracing::warn!(
            "{} holds no other scan of these accounts: a trend needs two",
            folder.display()
        );
    }
    Ok(history)
}

pub(super) fn accounts(scan: &ScanReport) -> BTreeSet<&str> {
    let accounts = scan.regions.iter().map(|region| region.account.as_str());
    accounts.filter(|account| !account.is_empty()).collect()
}
