//! JSON schemas of the documents this tool writes.

use atrest_model::diff::DiffReport;
use atrest_model::event::EventLine;
use atrest_model::phase::Phase;
use atrest_model::plan::Plan;
use atrest_model::run::RunReport;
use atrest_model::scan::ScanReport;
use atrest_model::shard::{BatchLine, ShardPlanLine};
use atrest_model::shared::SharedObject;
use atrest_model::tick::{TickDocument, TickInput};
use schemars::{Schema, schema_for};

use crate::accounts::{AccountsCloneReport, AccountsDiffReport, AccountsExport};
use crate::config::ConfigShown;
use crate::evidence::EvidenceManifest;
use crate::run::RunLine;
use crate::scan::ScanLine;
use crate::status::RunStatus;

/// A schema and the name of its document; `docs/schemas/<name>.json` holds it.
#[derive(Debug, Clone)]
pub struct DocumentSchema {
    /// Such as `scan`, `scan-line` or `plan`.
    pub name: &'static str,
    /// The schema, draft 2020-12.
    pub schema: Schema,
}

/// The schema of every document, made from the types that write it.
#[must_use]
pub fn schemas() -> Vec<DocumentSchema> {
    let of = |name, schema| DocumentSchema { name, schema };
    vec![
        of("scan", schema_for!(ScanReport)),
        of("scan-line", schema_for!(ScanLine<'static>)),
        of("shard-plan-line", schema_for!(ShardPlanLine)),
        of("shard-batch-line", schema_for!(BatchLine)),
        of("plan", schema_for!(Plan)),
        of("phase", schema_for!(Phase)),
        of("diff", schema_for!(DiffReport)),
        of("run", schema_for!(RunReport)),
        of("run-line", schema_for!(RunLine<'static>)),
        of("event", schema_for!(EventLine<'static>)),
        of("status", schema_for!(RunStatus)),
        of("shared-state", schema_for!(SharedObject)),
        of("tick", schema_for!(TickDocument)),
        of("tick-input", schema_for!(TickInput)),
        of("evidence", schema_for!(EvidenceManifest)),
        of("config", schema_for!(ConfigShown)),
        of("accounts-export", schema_for!(AccountsExport)),
        of("accounts-diff", schema_for!(AccountsDiffReport)),
        of("accounts-clone", schema_for!(AccountsCloneReport)),
    ]
}
