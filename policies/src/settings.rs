//! What an operator sets on policies: `[policies.ID]` in the configuration file.

use std::collections::{BTreeMap, BTreeSet};

use atrest_model::finding::Severity;
use globset::{Glob, GlobMatcher};
use serde::Deserialize;
use toml::Spanned;

use crate::source::Source;

/// Settings of policies, by id. Without any, policies are as their pages say.
#[derive(Debug, Default)]
pub struct Settings {
    by_id: BTreeMap<String, PolicySettings>,
    expected_keys: Option<ExpectedKeys>,
    /// The only ones that are asked.
    only: Option<BTreeSet<String>>,
}

/// What every policy can be given.
#[derive(Debug, Default, Clone, Copy)]
struct PolicySettings {
    severity: Option<Severity>,
    enabled: Option<bool>,
}

/// Keys that resources may be encrypted under.
#[derive(Debug)]
pub(crate) struct ExpectedKeys {
    /// As they are written, for messages.
    patterns: Vec<String>,
    keys: Vec<GlobMatcher>,
    accounts: Vec<String>,
}

/// The policy that looks at [`ExpectedKeys`].
pub(crate) const KEY_NOT_EXPECTED: &str = "key-not-expected";

/// The table `policies` of a configuration file: policy id → its settings.
#[derive(Debug, Default, Deserialize)]
pub struct SettingsTable(BTreeMap<Spanned<String>, Entry>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    severity: Option<Severity>,
    enabled: Option<bool>,
    keys: Option<Spanned<Vec<Spanned<String>>>>,
    accounts: Option<Spanned<Vec<Spanned<String>>>>,
}

impl Settings {
    /// Checks a table. `known` says whether a policy of that id exists: built in, or of the user.
    ///
    /// # Errors
    ///
    /// What is wrong, with file, line and a caret: an id that does not exist, expected keys where none are asked for, a
    /// pattern or an account that cannot be.
    pub fn check(
        table: SettingsTable,
        source: &Source<'_>,
        known: impl Fn(&str) -> bool,
    ) -> Result<Self, String> {
        let mut settings = Self::default();
        for (id, entry) in table.0 {
            let name = id.get_ref();
            if !known(name) {
                let what =
                    format!("there is no policy {name:?}; `atrest policy list` has them all");
                return Err(source.error(id.span().start, &what));
            }
            if name == KEY_NOT_EXPECTED {
                settings.expected_keys = ExpectedKeys::check(&entry, source)?;
            } else if let Some(list) = entry.keys.as_ref().or(entry.accounts.as_ref()) {
                let what = format!("only {KEY_NOT_EXPECTED} has expected keys and accounts");
                return Err(source.error(list.span().start, &what));
            }
            let of_policy = PolicySettings {
                severity: entry.severity,
                enabled: entry.enabled,
            };
            settings.by_id.insert(id.into_inner(), of_policy);
        }
        Ok(settings)
    }

    /// Reads a text that is nothing but such a table, as in the `settings` of a test case.
    ///
    /// # Errors
    ///
    /// As [`Self::check`]; and what is no table of this form.
    pub fn parse(source: &Source<'_>, known: impl Fn(&str) -> bool) -> Result<Self, String> {
        let table: SettingsTable = toml::from_str(source.text)
            .map_err(|error| format!("{}: {error}", source.file.display()))?;
        Self::check(table, source, known)
    }

    /// Severity of the findings of a policy: as set, else its own.
    #[must_use]
    pub fn severity(&self, id: &str, own: Severity) -> Severity {
        self.by_id
            .get(id)
            .and_then(|settings| settings.severity)
            .unwrap_or(own)
    }

    /// The same, and no other policies than these are asked.
    #[must_use]
    pub fn only(self, ids: BTreeSet<String>) -> Self {
        Self {
            only: Some(ids),
            ..self
        }
    }

    /// Whether the policy is asked: it is not switched off, and it has what it cannot do without.
    #[must_use]
    pub fn asks(&self, id: &str) -> bool {
        let enabled = self.by_id.get(id).and_then(|settings| settings.enabled);
        enabled != Some(false)
            && (id != KEY_NOT_EXPECTED || self.expected_keys.is_some())
            && self.only.as_ref().is_none_or(|only| only.contains(id))
    }

    pub(crate) fn expected_keys(&self) -> Option<&ExpectedKeys> {
        self.expected_keys.as_ref()
    }
}

impl ExpectedKeys {
    /// `None` when neither keys nor accounts are given: the policy then has nothing to ask.
    fn check(entry: &Entry, source: &Source<'_>) -> Result<Option<Self>, String> {
        if entry.keys.is_none() && entry.accounts.is_none() {
            return Ok(None);
        }
        let listed = |list: &Option<Spanned<Vec<Spanned<String>>>>| {
            list.iter()
                .flat_map(|list| list.get_ref().clone())
                .collect::<Vec<_>>()
        };
        let (keys, accounts) = (listed(&entry.keys), listed(&entry.accounts));
        let mut expected = Self {
            patterns: Vec::new(),
            keys: Vec::new(),
            accounts: Vec::new(),
        };
        for key in keys {
            let wrong = |what: String| source.error(key.span().start, &what);
            if key.get_ref().starts_with("alias/") || key.get_ref().contains(":alias/") {
                return Err(wrong(
                    "RDS tells the ARN of a key and not its alias, which may point elsewhere tomorrow; give the id or the ARN"
                        .to_owned(),
                ));
            }
            let glob = Glob::new(key.get_ref()).map_err(|error| wrong(error.to_string()))?;
            expected.keys.push(glob.compile_matcher());
            expected.patterns.push(key.into_inner());
        }
        for account in accounts {
            let id = account.get_ref();
            if id.len() != 12 || !id.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(source.error(
                    account.span().start,
                    "an account id has twelve digits, between quotes",
                ));
            }
            expected.patterns.push(format!("any of account {id}"));
            expected.accounts.push(account.into_inner());
        }
        if expected.patterns.is_empty() {
            let lists = [&entry.keys, &entry.accounts];
            let at = lists.into_iter().flatten().map(|list| list.span().start);
            return Err(source.error(
                at.min().unwrap_or_default(),
                "the list is empty: no key at all would be expected",
            ));
        }
        Ok(Some(expected))
    }

    /// Whether a key of this ARN is one of them: by whole ARN, by id, or by its account.
    pub(crate) fn has(&self, arn: &str) -> bool {
        let id = arn.rsplit_once('/').map_or(arn, |(_, id)| id);
        self.keys
            .iter()
            .any(|glob| glob.is_match(arn) || glob.is_match(id))
            || atrest_model::key::account_of(arn)
                .is_some_and(|account| self.accounts.iter().any(|expected| expected == account))
    }

    /// What is expected, as it was written.
    pub(crate) fn words(&self) -> String {
        self.patterns.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn settings(text: &str) -> Result<Settings, String> {
        let source = Source {
            file: Path::new("atrest.toml"),
            text,
        };
        Settings::parse(&source, |id| {
            [KEY_NOT_EXPECTED, "storage-unencrypted", "own-rule"].contains(&id)
        })
    }

    #[test]
    fn severity_and_enabled_are_set_per_policy() {
        let set = settings(
            "[own-rule]\nseverity = \"critical\"\n[storage-unencrypted]\nenabled = false\n",
        )
        .unwrap();
        assert_eq!(set.severity("own-rule", Severity::Low), Severity::Critical);
        assert_eq!(set.severity("other", Severity::Low), Severity::Low);
        assert!(set.asks("own-rule"));
        assert!(!set.asks("storage-unencrypted"));
        assert!(!set.asks(KEY_NOT_EXPECTED), "nothing is expected");
    }

    #[test]
    fn a_key_is_expected_by_arn_id_or_account() {
        let set = settings(
            "[key-not-expected]\nkeys = [\"arn:aws:kms:eu-*:111122223333:key/a*\", \"mrk-1\"]\naccounts = [\"999900001111\"]\n",
        )
        .unwrap();
        assert!(set.asks(KEY_NOT_EXPECTED));
        let expected = set.expected_keys().unwrap();
        for (arn, is_expected) in [
            ("arn:aws:kms:eu-west-1:111122223333:key/abc", true),
            ("arn:aws:kms:us-east-1:111122223333:key/abc", false),
            ("arn:aws:kms:us-east-1:111122223333:key/mrk-1", true),
            ("arn:aws:kms:us-east-1:999900001111:key/zzz", true),
            ("arn:aws:kms:us-east-1:111122223333:key/mrk-11", false),
        ] {
            assert_eq!(expected.has(arn), is_expected, "{arn}");
        }
    }

    #[test]
    fn a_mistake_is_shown_in_its_place() {
        for (text, says) in [
            (
                "[storage-unencripted]\n",
                "atrest.toml:1:2: there is no policy \"storage-unencripted\"",
            ),
            (
                "[own-rule]\nkeys = [\"a\"]\n",
                "atrest.toml:2:8: only key-not-expected has",
            ),
            (
                "[key-not-expected]\nkeys = [\"a\", \"[\"]\n",
                "atrest.toml:2:14: error parsing glob",
            ),
            (
                "[key-not-expected]\nkeys = [\"alias/x\"]\n",
                "atrest.toml:2:9: RDS tells the ARN",
            ),
            (
                "[key-not-expected]\naccounts = [\"1234\"]\n",
                "atrest.toml:2:13: an account id has twelve",
            ),
            (
                "[key-not-expected]\nkeys = []\n",
                "atrest.toml:2:8: the list is empty",
            ),
        ] {
            let error = settings(text).unwrap_err();
            assert!(error.starts_with(says), "{error}");
            assert!(error.ends_with('^'), "{error}");
        }
        let typo = settings("[own-rule]\nsevrity = \"low\"\n").unwrap_err();
        assert!(
            typo.contains("sevrity") && typo.contains("line 2"),
            "{typo}"
        );
        let word = settings("[own-rule]\nseverity = \"hgih\"\n").unwrap_err();
        assert!(word.contains("line 2") && word.contains("hgih"), "{word}");
    }
}
