//! The one list of policies.

use crate::policy::Policy;
use crate::rules;

/// Every built-in policy, sorted by id.
#[must_use]
pub fn registry() -> &'static [&'static dyn Policy] {
    &[&rules::storage_unencrypted::StorageUnencrypted]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_policy_has_a_unique_kebab_case_id_and_a_page() {
        let ids: Vec<&str> = registry().iter().map(|policy| policy.meta().id).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        for id in ids {
            assert!(
                id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'),
                "{id}"
            );
            let page = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../docs/policies")
                .join(format!("{id}.md"));
            let text = std::fs::read_to_string(&page)
                .unwrap_or_else(|e| panic!("{}: {e}", page.display()));
            assert!(text.starts_with(&format!("# {id}\n")), "{}", page.display());
        }
    }
}
