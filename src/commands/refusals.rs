//! What RDS has refused: kept beside the runs, so that the next plan does not find it out again.
//!
//! Whether RDS takes a key for the green side of a blue/green deployment is told by no call but the one that makes it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use atrest_model::plan::{Action, Migration, Plan};
use atrest_model::run::{Outcome, RunReport};
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// AWS adds regions: what is older than this is asked again.
const DAYS: i64 = 30;

/// A refusal of `CreateBlueGreenDeployment`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Refusal {
    account: String,
    /// A region, or the `DbiResourceId` of the source where RDS refused the source as such.
    subject: String,
    at: Timestamp,
    /// RDS's own.
    words: String,
}

fn file(state_dir: &Path) -> PathBuf {
    state_dir.join("blue-green-refusals.json")
}

fn load(state_dir: &Path) -> Vec<Refusal> {
    let path = file(state_dir);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            if error.kind() != std::io::ErrorKind::NotFound {
                tracing::warn!("{} cannot be read: {error}", path.display());
            }
            return Vec::new();
        }
    };
    serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        tracing::warn!("{} is left out: {error}", path.display());
        Vec::new()
    })
}

/// RDS's words by region or `DbiResourceId`.
pub(crate) fn read(state_dir: &Path, account: &str) -> BTreeMap<String, String> {
    let since = Timestamp::now().checked_sub(Span::new().hours(24 * DAYS));
    load(state_dir)
        .into_iter()
        .filter(|refusal| refusal.account == account)
        .filter(|refusal| since.as_ref().is_ok_and(|since| refusal.at > *since))
        .map(|refusal| {
            (
                refusal.subject,
                format!("{} ({:.0})", refusal.words, refusal.at),
            )
        })
        .collect()
}

/// Keeps the refusals of a run and forgets those that it has shown to be over. Best effort: a plan without them is one
/// that finds out again.
pub(crate) fn remember(state_dir: &Path, plan: &Plan, report: &RunReport) {
    let before = load(state_dir);
    let mut now = before.clone();
    for migration in &plan.migrations {
        let ended = report
            .migrations
            .iter()
            .find(|ended| ended.migration == migration.id);
        let Some((creates, ended)) = creates(migration).zip(ended) else {
            continue;
        };
        match &ended.outcome {
            Outcome::NeedsOperator { step, reason, .. } if *step == creates => {
                let Some(subject) = subject(migration, reason) else {
                    continue;
                };
                now.retain(|known| known.account != plan.account || known.subject != subject);
                now.push(Refusal {
                    account: plan.account.clone(),
                    subject,
                    at: report.ended,
                    words: reason.clone(),
                });
            }
            Outcome::Migrated => now.retain(|known| {
                known.account != plan.account
                    || (known.subject != migration.region
                        && known.subject != migration.source.dbi_resource_id)
            }),
            _ => {}
        }
    }
    if now == before {
        return;
    }
    let written = serde_json::to_vec_pretty(&now)
        .map_err(std::io::Error::other)
        .and_then(|bytes| {
            atrest_reports::write_atomically_with(&file(state_dir), |out| out.write_all(&bytes))
        });
    if let Err(error) = written {
        tracing::warn!("{} is not written: {error}", file(state_dir).display());
    }
}

/// The step that makes the deployment.
fn creates(migration: &Migration) -> Option<String> {
    migration
        .steps
        .iter()
        .find(|step| matches!(step.action, Action::CreateBlueGreen { .. }))
        .map(|step| step.id.clone())
}

/// What a refusal is about, by the code of RDS in it; `None` for one that says nothing of the next plan.
fn subject(migration: &Migration, reason: &str) -> Option<String> {
    if !reason.starts_with("CreateBlueGreenDeployment in ") {
        return None;
    }
    if reason.contains(" SourceDatabaseNotSupported") {
        return Some(migration.source.dbi_resource_id.clone());
    }
    [
        " InvalidParameterCombination",
        " InvalidParameterValue",
        " ValidationError",
    ]
    .iter()
    .any(|code| reason.contains(code))
    .then(|| migration.region.clone())
}
