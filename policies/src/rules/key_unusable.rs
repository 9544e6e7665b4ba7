//! `key-unusable`: encrypted under a key that is disabled, about to be deleted, or out of reach.

use atrest_model::finding::Severity;
use atrest_model::resource::DescribedRef;

use super::{Owner, facts, owner, usable};
use crate::policy::{Context, Controls, Fix, Needs, Policy, PolicyMeta, Subject, Verdict};

/// Flags what is encrypted under a key that does not work now, or soon will not. The key of a database activity stream
/// is asked about too: without it the stream stops.
#[derive(Debug)]
pub(crate) struct KeyUnusable;

static META: PolicyMeta = PolicyMeta {
    id: "key-unusable",
    title: "the encryption key is disabled, going away or out of reach",
    severity: Severity::Critical,
    since: "0.1.0",
    fix: Fix::Manual,
    needs: Needs::Keys,
    controls: &[
        Controls::none(Subject::DbInstance),
        Controls::none(Subject::DbCluster),
        Controls::none(Subject::DbSnapshot),
        Controls::none(Subject::DbClusterSnapshot),
        Controls::none(Subject::DbInstanceAutomatedBackup),
        Controls::none(Subject::DbClusterAutomatedBackup),
        Controls::none(Subject::ExportTask),
    ],
};

impl Policy for KeyUnusable {
    fn meta(&self) -> &'static PolicyMeta {
        &META
    }

    fn judge(&self, resource: DescribedRef<'_>, context: &Context<'_>) -> Verdict {
        if resource.is_cluster_member() {
            return Verdict::Pass;
        }
        let state = |key: &str| match facts(context.fleet, key) {
            Ok(facts) => usable(facts),
            Err(why) => Verdict::NotEvaluated(why),
        };
        let storage = match owner(resource) {
            Owner::Unencrypted | Owner::Aws => Verdict::Pass,
            Owner::Kms(key) => match state(key) {
                Verdict::Fail(what) => {
                    Verdict::Fail(format!("{what}: the data cannot be read without it"))
                }
                other => other,
            },
            Owner::Untold(why) => Verdict::NotEvaluated(why),
        };
        let stream = resource
            .text("ActivityStreamKmsKeyId")
            .filter(|key| !key.is_empty())
            // The member stays after a stream was stopped.
            .filter(|_| resource.text("ActivityStreamStatus") != Some("stopped"));
        // What is broken says more than what is not known.
        match (storage, stream.map(state)) {
            (Verdict::Fail(what), _) => Verdict::Fail(what),
            (_, Some(Verdict::Fail(what))) => {
                Verdict::Fail(format!("{what}: the database activity stream needs it"))
            }
            (Verdict::NotEvaluated(why), _) | (_, Some(Verdict::NotEvaluated(why))) => {
                Verdict::NotEvaluated(why)
            }
            (Verdict::Pass, _) => Verdict::Pass,
        }
    }
}
