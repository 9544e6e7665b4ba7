//! `automated-backup-unencrypted`: automated backups that are not encrypted.

use atrest_model::finding::Severity;
use atrest_model::key::region_of;
use atrest_model::resource::DescribedRef;

use super::unencrypted;
use crate::policy::{Context, Controls, Fix, Needs, Policy, PolicyMeta, Subject, Verdict};

/// Flags automated backups that are not encrypted: of living instances, retained after their deletion, or copied from
/// another region.
#[derive(Debug)]
pub(crate) struct AutomatedBackupUnencrypted;

static META: PolicyMeta = PolicyMeta {
    id: "automated-backup-unencrypted",
    title: "an automated backup is not encrypted",
    severity: Severity::Medium,
    since: "0.1.0",
    fix: Fix::Manual,
    needs: Needs::Nothing,
    controls: &[
        Controls::none(Subject::DbInstanceAutomatedBackup),
        Controls::none(Subject::DbClusterAutomatedBackup),
    ],
};

impl Policy for AutomatedBackupUnencrypted {
    fn meta(&self) -> &'static PolicyMeta {
        &META
    }

    fn judge(&self, resource: DescribedRef<'_>, _context: &Context<'_>) -> Verdict {
        let seen = match unencrypted(resource) {
            None => return Verdict::Pass,
            Some(Err(why)) => return Verdict::NotEvaluated(why),
            Some(Ok(seen)) => seen,
        };
        let source = resource.source().unwrap_or_default();
        let name = source.rsplit(':').next().unwrap_or_default();
        let of = if name.is_empty() {
            "an unknown source"
        } else {
            name
        };
        let copied_from = region_of(source).filter(|region| *region != resource.region);
        let what = match (copied_from, resource.status()) {
            (Some(region), _) => format!("this copy of the backups of {of} in {region}"),
            (None, "retained") => format!("these backups of {of}, which is deleted,"),
            (None, _) => format!("these backups of {of}"),
        };
        let are = if copied_from.is_some() { "is" } else { "are" };
        Verdict::Fail(format!("{seen}: {what} {are} readable as they lie"))
    }
}
