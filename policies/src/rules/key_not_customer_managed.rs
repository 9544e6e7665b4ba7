//! `key-not-customer-managed`: encrypted, but under a key that the customer does not govern.

use atrest_model::finding::Severity;
use atrest_model::resource::DescribedRef;

use super::{Owner, is_aws_managed, owner};
use crate::policy::{Context, Controls, Fix, Needs, Policy, PolicyMeta, Subject, Verdict};

/// Flags what is encrypted under a key that AWS owns or manages.
#[derive(Debug)]
pub(crate) struct KeyNotCustomerManaged;

static META: PolicyMeta = PolicyMeta {
    id: "key-not-customer-managed",
    title: "encrypted under a key that AWS owns or manages",
    severity: Severity::Info,
    since: "0.1.0",
    fix: Fix::Manual,
    needs: Needs::Keys,
    controls: &[
        Controls::none(Subject::DbInstance),
        Controls {
            subject: Subject::DbCluster,
            ids: &[("powerpipe", "rds_db_cluster_encrypted_with_cmk")],
        },
        Controls::none(Subject::NeptuneCluster),
        Controls::none(Subject::DocDbCluster),
        Controls::none(Subject::DbSnapshot),
        Controls::none(Subject::DbClusterSnapshot),
        Controls::none(Subject::DbInstanceAutomatedBackup),
        Controls::none(Subject::DbClusterAutomatedBackup),
        Controls::none(Subject::ExportTask),
    ],
};

impl Policy for KeyNotCustomerManaged {
    fn meta(&self) -> &'static PolicyMeta {
        &META
    }

    fn judge(&self, resource: DescribedRef<'_>, context: &Context<'_>) -> Verdict {
        if resource.is_cluster_member() {
            return Verdict::Pass;
        }
        match owner(resource) {
            // Whether it should be encrypted at all is another policy's question.
            Owner::Unencrypted => Verdict::Pass,
            Owner::Aws => Verdict::Fail(
                "StorageEncryptionType is sse-rds: AWS owns the key, and nobody else can withdraw it or see its use"
                    .to_owned(),
            ),
            Owner::Kms(key) => match is_aws_managed(context.fleet, resource, key) {
                Ok(false) => Verdict::Pass,
                Ok(true) => Verdict::Fail(format!(
                    "key {key} is AWS-managed: its policy cannot be changed, and copies cannot be shared with other accounts"
                )),
                Err(why) => Verdict::NotEvaluated(why),
            },
            Owner::Untold(why) => Verdict::NotEvaluated(why),
        }
    }
}
