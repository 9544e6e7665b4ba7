//! `atrest scan --offline`: saved output in place of AWS.

use std::collections::BTreeSet;
use std::path::Path;

use atrest_model::scan::ResourceKind;
use atrest_scanner::inventory::Inventory;
use atrest_scanner::offline;

use crate::exit::ExpectedError;

/// Reads what was saved, one inventory for each account.
pub(crate) fn read(path: &Path, kinds: &BTreeSet<ResourceKind>) -> anyhow::Result<Vec<Inventory>> {
    let read = offline::read(path, kinds).map_err(|error| {
        ExpectedError::usage(
            error.to_string(),
            "docs/offline.md says what to save and how; nothing was judged",
        )
    })?;
    for note in &read.notes {
        tracing::warn!("{note}");
    }
    Ok(read.inventories)
}
