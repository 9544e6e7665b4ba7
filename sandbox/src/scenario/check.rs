//! The frame of a scenario: accounts, keys, knobs, quotas and where snapshots belong.

use std::collections::BTreeSet;

use super::spec::{KnobsSpec, Problem, Spec};
use crate::rds::catalog::REGIONS;

/// What DescribeKey may say.
const KEY_STATES: [&str; 8] = [
    "Creating",
    "Enabled",
    "Disabled",
    "PendingDeletion",
    "PendingImport",
    "PendingReplicaDeletion",
    "Unavailable",
    "Updating",
];

impl Spec {
    /// What the types cannot say about these.
    pub(super) fn check_frame(&self) -> Result<(), Problem> {
        self.check_accounts()?;
        self.check_keys()?;
        self.check_knobs()?;
        self.check_quotas()?;
        for snapshot in &self.snapshots {
            let place = self.scope(snapshot.account.as_ref(), snapshot.region.as_ref());
            let is_here = |account: Option<&String>, region: Option<&String>| {
                self.scope(account, region) == place
            };
            let owner = match (&snapshot.instance, &snapshot.cluster) {
                (Some(name), None) => self.instances.iter().any(|instance| {
                    instance.id.get_ref() == name
                        && is_here(instance.account.as_ref(), instance.region.as_ref())
                }),
                (None, Some(name)) => self.clusters.iter().any(|cluster| {
                    cluster.id.get_ref() == name
                        && is_here(cluster.account.as_ref(), cluster.region.as_ref())
                }),
                // What it belongs to is checked with the names.
                _ => true,
            };
            if !owner {
                return Err((
                    snapshot.id.span(),
                    format!("snapshots.{}", snapshot.id.get_ref()),
                    format!(
                        "what it was taken of is not in account {} and region {}",
                        place.account, place.region
                    ),
                ));
            }
        }
        Ok(())
    }

    fn check_accounts(&self) -> Result<(), Problem> {
        let mut keys = BTreeSet::new();
        for account in &self.accounts {
            let problem = |key: &str, text: &str| {
                Err((
                    account.access_key_id.span(),
                    format!("accounts.{}.{key}", account.id),
                    text.to_owned(),
                ))
            };
            if account.id.len() != 12 || !account.id.bytes().all(|byte| byte.is_ascii_digit()) {
                return problem("id", "an account id has twelve digits");
            }
            if !keys.insert(account.access_key_id.get_ref()) {
                return problem("access_key_id", "the access key is used twice");
            }
        }
        Ok(())
    }

    fn check_keys(&self) -> Result<(), Problem> {
        for key in &self.keys {
            let problem = |name: &str, text: String| {
                Err((
                    key.alias.span(),
                    format!("keys.{}.{name}", key.alias.get_ref()),
                    text,
                ))
            };
            if !key.alias.get_ref().starts_with("alias/") {
                return problem("alias", "an alias begins with alias/".to_owned());
            }
            if !KEY_STATES.contains(&key.state.as_str()) {
                return problem(
                    "state",
                    format!("{} is none of {}", key.state, KEY_STATES.join(", ")),
                );
            }
            let account = self.scope(key.account.as_ref(), None).account;
            if !self.accounts.iter().any(|known| known.id == account) {
                return problem("account", format!("there is no account {account}"));
            }
            for region in key.regions.iter().chain(&key.region) {
                if !REGIONS.iter().any(|(name, _)| name == region) {
                    return problem("region", format!("there is no commercial region {region}"));
                }
            }
        }
        Ok(())
    }

    fn check_knobs(&self) -> Result<(), Problem> {
        let KnobsSpec {
            describe_lag,
            rename_gap,
            endpoint_lag,
            pending_reboot_chance,
            pace,
            page_limit,
            ..
        } = self.knobs.get_ref();
        let problem = |key: &str, text: &str| {
            Err((self.knobs.span(), format!("knobs.{key}"), text.to_owned()))
        };
        for (key, range) in [
            ("describe_lag", describe_lag),
            ("rename_gap", rename_gap),
            ("endpoint_lag", endpoint_lag),
        ] {
            if range.is_some_and(|(least, most)| least > most) {
                return problem(key, "the least comes before the most");
            }
        }
        if pending_reboot_chance.is_some_and(|chance| !(0.0..=1.0).contains(&chance)) {
            return problem("pending_reboot_chance", "a chance is from 0 to 1");
        }
        if pace.is_some_and(|pace| !(pace.is_finite() && pace >= 0.0)) {
            return problem("pace", "a factor is not negative");
        }
        if *page_limit == Some(0) {
            return problem("page_limit", "a page has at least one record");
        }
        Ok(())
    }

    fn check_quotas(&self) -> Result<(), Problem> {
        let quotas = self.quotas.get_ref();
        for (key, value) in [
            ("instances", quotas.instances),
            ("manual_snapshots", quotas.manual_snapshots),
            ("storage_gib", quotas.storage_gib),
            ("replicas_per_source", quotas.replicas_per_source),
            ("copies_in_flight", quotas.copies_in_flight),
            ("roles_per_instance", quotas.roles_per_instance),
        ] {
            if value.is_some_and(|value| value < 0) {
                return Err((
                    self.quotas.span(),
                    format!("quotas.{key}"),
                    "a quota is not negative".to_owned(),
                ));
            }
        }
        Ok(())
    }
}
