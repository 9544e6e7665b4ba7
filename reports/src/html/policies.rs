//! The policies with their counts, their fix, and the controls they serve.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use askama::Template;
use atrest_model::finding::Control;
use atrest_model::scan::{ResourceKind, ScanReport};

use super::shown;
use crate::rule::Rule;
use crate::scan::verdicts::verdicts;
use crate::text::number;

#[derive(Template)]
#[template(path = "policies.html")]
pub(super) struct Policies<'a> {
    policies: Vec<PolicyView<'a>>,
}

impl Policies<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }
}

struct PolicyView<'a> {
    id: Cow<'a, str>,
    title: Cow<'a, str>,
    counts: String,
    fix: String,
    subjects: Vec<SubjectView<'a>>,
}

struct SubjectView<'a> {
    kind: String,
    lines: Vec<ControlLine<'a>>,
}

struct ControlLine<'a> {
    publisher: Cow<'a, str>,
    ids: String,
}

pub(super) fn policies<'a>(report: &'a ScanReport, rules: &'a [Rule]) -> Policies<'a> {
    let mut counts: BTreeMap<&str, BTreeMap<&'static str, usize>> = BTreeMap::new();
    let mut controls: BTreeMap<(&str, String), &[Control]> = BTreeMap::new();
    let mut seen: HashSet<(&str, ResourceKind, &str)> = HashSet::new();
    for rule in rules {
        counts.entry(&rule.id).or_default();
        for of in &rule.controls {
            let kind = subject(of.kind, of.engine.as_deref().unwrap_or_default());
            controls.insert((&rule.id, kind), &of.controls);
        }
    }
    for judged in verdicts(report, rules) {
        let statuses = counts.entry(judged.policy).or_default();
        *statuses.entry(judged.status().as_str()).or_default() += 1;
        let engine = judged.resource.map_or("", |resource| &resource.engine);
        if rules.is_empty() && seen.insert((judged.policy, judged.kind(), engine)) {
            let kind = subject(judged.kind(), engine);
            controls
                .entry((judged.policy, kind))
                .or_insert(judged.controls());
        }
    }
    let policies = counts
        .iter()
        .map(|(policy, statuses)| {
            let rule = rules.iter().find(|rule| rule.id == *policy);
            let amount = |status: &str| statuses.get(status).copied().unwrap_or_default();
            let counts: Vec<String> = ["fail", "not-evaluated", "waived", "pass"]
                .into_iter()
                .filter(|status| amount(status) > 0)
                .map(|status| format!("{} {status}", number(amount(status) as u64)))
                .collect();
            let severity = rule.map(|rule| format!("severity {}", rule.severity.as_str()));
            PolicyView {
                id: shown(policy),
                title: shown(rule.map_or("", |rule| &rule.title)),
                counts: severity
                    .into_iter()
                    .chain(counts)
                    .collect::<Vec<_>>()
                    .join(" · "),
                fix: rule
                    .and_then(|rule| rule.paragraph("Fix"))
                    .map_or_else(String::new, |fix| shown(&fix).into_owned()),
                subjects: controls
                    .iter()
                    .filter(|((of, _), controls)| of == policy && !controls.is_empty())
                    .map(|((_, kind), controls)| SubjectView {
                        kind: shown(kind).into_owned(),
                        lines: lines(controls),
                    })
                    .collect(),
            }
        })
        .collect();
    Policies { policies }
}

/// The kind of resource as publishers tell them apart.
fn subject(kind: ResourceKind, engine: &str) -> String {
    match (kind, engine) {
        (ResourceKind::DbCluster, "neptune") => "Neptune cluster".to_owned(),
        (ResourceKind::DbCluster, "docdb") => "DocumentDB cluster".to_owned(),
        (ResourceKind::DbClusterSnapshot, "neptune") => "Neptune cluster snapshot".to_owned(),
        (ResourceKind::DbClusterSnapshot, "docdb") => "DocumentDB cluster snapshot".to_owned(),
        (kind, _) => {
            let words = kind.as_str().replace('-', " ");
            match words.strip_prefix("db ") {
                Some(rest) => format!("DB {rest}"),
                None => words,
            }
        }
    }
}

/// Controls by publisher.
fn lines(controls: &[Control]) -> Vec<ControlLine<'_>> {
    controls
        .chunk_by(|a, b| a.publisher == b.publisher)
        .filter_map(|group| {
            let ids: Vec<Cow<'_, str>> = group.iter().map(|control| shown(&control.id)).collect();
            Some(ControlLine {
                publisher: shown(&group.first()?.publisher),
                ids: ids.join(", "),
            })
        })
        .collect()
}
