//! The policies as reports speak of them, each with its page.

use atrest_model::finding::Control;
use atrest_policies::{Controls, CustomMeta, CustomPolicies, PolicyMeta, Settings};
use atrest_reports::{Rule, RuleControls};

macro_rules! pages {
    ($($id:literal),+ $(,)?) => {
        &[$(($id, include_str!(concat!("../docs/policies/", $id, ".md")))),+]
    };
}

/// Page of every built-in policy.
const PAGES: &[(&str, &str)] = pages![
    "automated-backup-unencrypted",
    "key-not-customer-managed",
    "key-not-expected",
    "key-unusable",
    "performance-insights-key",
    "replica-encryption-mismatch",
    "snapshot-unencrypted",
    "storage-unencrypted",
    "transport-not-enforced",
];

/// The page of a built-in policy, Markdown.
pub(crate) fn page(id: &str) -> Option<&'static str> {
    PAGES
        .iter()
        .find(|(known, _)| *known == id)
        .map(|(_, page)| *page)
}

/// The built-in policies that are asked.
pub(crate) fn built_in<'a>(
    asked: impl Iterator<Item = &'a PolicyMeta>,
    settings: &Settings,
) -> Vec<Rule> {
    asked
        .map(|meta| {
            let help = page(meta.id).unwrap_or_default();
            Rule {
                id: meta.id.to_owned(),
                title: meta.title.to_owned(),
                severity: settings.severity(meta.id, meta.severity),
                help: help.to_owned(),
                help_uri: first_link(help),
                controls: meta.controls.iter().flat_map(of_subject).collect(),
            }
        })
        .collect()
}

/// Those of the user.
pub(crate) fn custom(policies: &CustomPolicies, settings: &Settings) -> Vec<Rule> {
    let rule = |meta: CustomMeta<'_>| Rule {
        id: meta.id.to_owned(),
        title: meta.title.to_owned(),
        severity: settings.severity(meta.id, meta.severity),
        help: meta
            .remedy
            .map(|remedy| format!("**Fix.** {remedy}\n"))
            .unwrap_or_default(),
        help_uri: None,
        controls: vec![RuleControls {
            kind: meta.kind,
            engine: None,
            controls: Vec::new(),
        }],
    };
    policies
        .metas()
        .filter(|meta| settings.asks(meta.id))
        .map(rule)
        .collect()
}

/// One entry for each engine that publishers number apart.
fn of_subject(controls: &Controls) -> Vec<RuleControls> {
    let list: Vec<Control> = controls
        .ids
        .iter()
        .map(|(publisher, id)| Control {
            publisher: (*publisher).to_owned(),
            id: (*id).to_owned(),
        })
        .collect();
    let entry = |engine: Option<&str>| RuleControls {
        kind: controls.subject.kind(),
        engine: engine.map(str::to_owned),
        controls: list.clone(),
    };
    match controls.subject.engines() {
        [] => vec![entry(None)],
        engines => engines.iter().map(|engine| entry(Some(engine))).collect(),
    }
}

/// Where the first reference of a page leads.
fn first_link(page: &str) -> Option<String> {
    let (_, references) = page.split_once("## References")?;
    let (_, link) = references.split_once("](")?;
    let (link, _) = link.split_once(')')?;
    Some(link.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_has_its_page_and_a_reference_in_reports() {
        let metas = || {
            atrest_policies::registry()
                .iter()
                .map(|policy| policy.meta())
        };
        let rules = built_in(metas(), &Settings::default());
        assert_eq!(rules.len(), PAGES.len());
        for rule in rules {
            assert!(
                rule.help.starts_with(&format!("# {}\n", rule.id)),
                "{}",
                rule.id
            );
            assert!(rule.help_uri.is_some_and(|uri| uri.starts_with("https://")));
            assert!(!rule.controls.is_empty(), "{}", rule.id);
        }
    }
}
