//! `key-not-expected`: encrypted under a key that is none of those the operator expects.

use atrest_model::finding::Severity;
use atrest_model::resource::DescribedRef;

use super::{Owner, owner};
use crate::policy::{Context, Controls, Fix, Needs, Policy, PolicyMeta, Subject, Verdict};
use crate::settings::KEY_NOT_EXPECTED;

/// Flags what is encrypted under a key that is not among the expected ones. It is not asked when none are expected.
#[derive(Debug)]
pub(crate) struct KeyNotExpected;

static META: PolicyMeta = PolicyMeta {
    id: KEY_NOT_EXPECTED,
    title: "encrypted under a key that is not expected",
    severity: Severity::Medium,
    since: "0.1.0",
    fix: Fix::Manual,
    needs: Needs::Nothing,
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

impl Policy for KeyNotExpected {
    fn meta(&self) -> &'static PolicyMeta {
        &META
    }

    fn judge(&self, resource: DescribedRef<'_>, context: &Context<'_>) -> Verdict {
        let Some(expected) = context.settings.expected_keys() else {
            return Verdict::Pass;
        };
        if resource.is_cluster_member() {
            return Verdict::Pass;
        }
        match owner(resource) {
            // Whether it should be encrypted at all is another policy's question.
            Owner::Unencrypted => Verdict::Pass,
            Owner::Aws => Verdict::Fail(format!(
                "StorageEncryptionType is sse-rds: the key is AWS's own; expected: {}",
                expected.words()
            )),
            Owner::Kms(key) if expected.has(key) => Verdict::Pass,
            // An export task names its key as its caller did.
            Owner::Kms(alias) if alias.contains("alias/") => Verdict::NotEvaluated(format!(
                "its key is told as {alias}, and which key that was is not known"
            )),
            Owner::Kms(key) => Verdict::Fail(format!(
                "it is encrypted under key {key}; expected: {}",
                expected.words()
            )),
            Owner::Untold(why) => Verdict::NotEvaluated(why),
        }
    }
}
