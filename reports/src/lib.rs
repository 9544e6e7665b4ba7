//! Renders what the other crates found: tables, JSON, unified diffs.
//!
//! Every function takes a finished value and writes to what it is given; none reads anything or looks at the terminal.
//! Text from outside (identifiers, tags, SQL) passes [`printable`] before it reaches a terminal.

mod accounts;
mod config;
mod diff;
mod event;
mod evidence;
mod files;
mod format;
mod html;
mod json;
mod junit;
mod metrics;
mod phase;
mod plan;
mod rule;
mod run;
mod scan;
mod schema;
mod status;
mod style;
mod terraform;
mod text;
mod watch;

pub use accounts::{
    ACCOUNTS_SCHEMA_VERSION, AccountDifferences, AccountServer, AccountStatement,
    AccountsCloneReport, AccountsDiffReport, AccountsExport, AccountsFormat, AccountsNotCompared,
    ChangedAccount, CloneOutcome, ConfigurationDifference, ExportFormat, RefusedStatement,
    accounts_clone, accounts_diff, accounts_export,
};
pub use config::{CONFIG_SCHEMA_VERSION, ConfigShown, Origin, Setting, config_text};
pub use diff::diff;
pub use event::{EventLines, event_line};
pub use evidence::{
    EVIDENCE_SCHEMA_VERSION, Evidence, EvidenceError, EvidenceFile, EvidenceHole, EvidenceKeyError,
    EvidenceManifest, EvidenceMember, EvidencePublicKey, EvidenceSignature, EvidenceSigningKey,
    MOST_EVIDENCE_BYTES, Problem, ProblemKind, VerifiedEvidence, verify_evidence, write_evidence,
};
pub use files::{
    PrivateFileError, check_private, is_broken_pipe, write_atomically, write_atomically_with,
    write_private, write_public,
};
pub use format::{
    DiffFormat, FixFormat, Output, PlanFormat, ReportFormat, RunFormat, ScanFormat, StatusFormat,
    UnknownFormat,
};
pub use html::{History, Report, RunDocument, report_page, run_page};
pub use metrics::{RunNumbers, ScanNumbers, run_metrics, scan_metrics};
pub use phase::phase;
pub use plan::{plan, plan_as};
pub use rule::{Rule, RuleControls};
pub use run::{
    MarkKind, RUN_LINE_VERSION, RunContext, RunLine, RunMark, StepTime, forecast, run, run_as,
    run_markdown, run_steps, step_kind, step_spent,
};
pub use scan::{
    PreviousError, PreviousFindings, SCAN_LINE_VERSION, ScanContext, ScanLine, scan, scan_part,
    scan_part_end, scan_with,
};
pub use schema::{DocumentSchema, schemas};
pub use status::{CurrentStep, MigrationStatus, RunStatus, STATUS_SCHEMA_VERSION};
pub use style::Style;
pub use terraform::{Addresses, TERRAFORM_FILES, terraform_import, terraform_removed};
pub use text::{duration, markdown, printable};
pub use watch::{RunView, StepHistory};
