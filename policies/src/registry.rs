//! The one list of policies.

use crate::policy::Policy;
use crate::rules;

/// Every built-in policy, sorted by id.
#[must_use]
pub fn registry() -> &'static [&'static dyn Policy] {
    &[&rules::storage_unencrypted::StorageUnencrypted]
}
