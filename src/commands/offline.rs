//! `atrest scan --offline`: saved output in place of AWS.

use std::path::Path;

use atrest_scanner::inventory::Surface;
use atrest_scanner::offline;
use atrest_scanner::packed::PackedAccount;

use crate::exit::ExpectedError;

/// Reads what was saved, account by account.
pub(crate) fn read(path: &Path, surface: &Surface) -> anyhow::Result<Vec<PackedAccount>> {
    let read = offline::read(path, surface).map_err(|error| {
        ExpectedError::usage(
            error.to_string(),
            "docs/offline.md says what to save and how; nothing was judged",
        )
    })?;
    for note in &read.notes {
        tracing::warn!("{note}");
    }
    Ok(read.accounts)
}
