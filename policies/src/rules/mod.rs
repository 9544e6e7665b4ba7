//! One file a policy, and what several of them ask.

pub(crate) mod automated_backup_unencrypted;
pub(crate) mod key_not_customer_managed;
pub(crate) mod key_not_expected;
pub(crate) mod key_unusable;
pub(crate) mod performance_insights_key;
pub(crate) mod replica_encryption_mismatch;
pub(crate) mod snapshot_unencrypted;
pub(crate) mod storage_unencrypted;
pub(crate) mod transport_not_enforced;

use atrest_model::instance::Encryption;
use atrest_model::key::{KeyFacts, KeyState, account_of};
use atrest_model::resource::DescribedRef;
use atrest_model::scan::ResourceKind;

use crate::fleet::Fleet;
use crate::policy::Verdict;

/// What was seen of a state that is not encrypted or not known, with the member that told; `None` where it is encrypted.
/// The caller says what that means for its kind of resource.
fn unencrypted(resource: DescribedRef<'_>) -> Option<Result<String, String>> {
    let told = resource.text("StorageEncryptionType");
    let member = flag_member(resource.kind);
    match resource.encryption() {
        Encryption::SseRds | Encryption::SseKms => None,
        Encryption::None => Some(Ok(match told {
            Some(value) => format!("StorageEncryptionType is {value}"),
            None => format!("{member} is false"),
        })),
        Encryption::Unknown => Some(Err(match (told, resource.flag(member)) {
            (Some(value), Some(flag)) => format!(
                "StorageEncryptionType is {value:?}, which this version does not know ({member} is {flag})"
            ),
            (Some(value), None) => {
                format!("StorageEncryptionType is {value:?}, which this version does not know")
            }
            (None, _) => {
                format!("the answer holds neither StorageEncryptionType nor {member}")
            }
        })),
    }
}

/// The older member that tells whether a resource of this kind is encrypted.
fn flag_member(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::DbSnapshot | ResourceKind::DbInstanceAutomatedBackup => "Encrypted",
        ResourceKind::DbInstance
        | ResourceKind::DbCluster
        | ResourceKind::GlobalCluster
        | ResourceKind::DbClusterSnapshot
        | ResourceKind::DbClusterAutomatedBackup
        | ResourceKind::ExportTask => "StorageEncrypted",
    }
}

/// Under whose key a resource is encrypted, as far as its describe answer tells.
enum Owner<'a> {
    /// Under none.
    Unencrypted,
    /// Under one that AWS owns and shows to nobody.
    Aws,
    /// Under a key of KMS.
    Kms(&'a str),
    /// It is not told, and why.
    Untold(String),
}

/// The storage of a member is its cluster's, which is asked about on its own.
fn owner(resource: DescribedRef<'_>) -> Owner<'_> {
    match resource.encryption() {
        Encryption::None => Owner::Unencrypted,
        Encryption::SseRds => Owner::Aws,
        Encryption::SseKms => resource.kms_key_id().map_or_else(
            || {
                Owner::Untold(
                    "it is encrypted under a KMS key that the answer does not name".to_owned(),
                )
            },
            Owner::Kms,
        ),
        Encryption::Unknown => Owner::Untold(match unencrypted(resource) {
            Some(Err(why)) => why,
            Some(Ok(seen)) => seen,
            None => String::new(),
        }),
    }
}

/// What is known of a key, or why nothing is.
fn facts<'a>(fleet: &Fleet<'a>, key: &str) -> Result<&'a KeyFacts, String> {
    match fleet.key(key) {
        Some(KeyState::Known(facts)) => Ok(facts),
        Some(KeyState::Unreadable(why)) => Err(format!("key {key} could not be described: {why}")),
        None => Err(format!("key {key} was not described")),
    }
}

/// Whether AWS manages the key. AWS-managed keys serve their own account only, so one of another account is that
/// account's own, although nobody here may describe it.
fn is_aws_managed(
    fleet: &Fleet<'_>,
    resource: DescribedRef<'_>,
    key: &str,
) -> Result<bool, String> {
    if account_of(key).is_some_and(|owner| owner != resource.account) {
        return Ok(false);
    }
    // An export task names its key as its caller did; the aliases below `aws/` are AWS's.
    if key.contains("alias/aws/") {
        return Ok(true);
    }
    let facts = facts(fleet, key)?;
    match facts.manager.as_str() {
        "AWS" => Ok(true),
        "CUSTOMER" => Ok(false),
        other => Err(format!(
            "KeyManager of key {key} is {other:?}, which this version does not know"
        )),
    }
}

/// Whether data under the key can be read now. KMS's states, and what they mean for its operations:
/// <https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html>.
fn usable(facts: &KeyFacts) -> Verdict {
    let key = &facts.arn;
    match facts.state.as_str() {
        "Enabled" | "Updating" => Verdict::Pass,
        "PendingDeletion" | "PendingReplicaDeletion" => {
            let when = match &facts.deletion_date {
                Some(date) => format!(" on {date}"),
                None => String::new(),
            };
            Verdict::Fail(format!(
                "key {key} is {} and will be gone for ever{when}",
                facts.state
            ))
        }
        "Disabled" | "Unavailable" | "PendingImport" => {
            Verdict::Fail(format!("key {key} is {}", facts.state))
        }
        other => Verdict::NotEvaluated(format!(
            "key {key} is {other:?}, of which this version does not know what it means"
        )),
    }
}
