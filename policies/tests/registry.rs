//! Walks the registry: every policy has an id of its own, a page that tells the truth, and cases of all three kinds.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use atrest_model::finding::FindingStatus;
use atrest_model::instance::{DbCluster, DbInstance};
use atrest_policies::{PolicyMeta, evaluate, evaluate_instance, registry};
use serde::Deserialize;
use serde_json::{Value, json};

/// A file of `tests/data/<policy id>/`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What it shows.
    shows: String,
    /// Describe answers.
    #[serde(default)]
    db_instances: Vec<Value>,
    #[serde(default)]
    db_clusters: Vec<Value>,
    /// All findings of the policy, in order.
    findings: Vec<Expected>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    resource: String,
    status: FindingStatus,
    reason: String,
    /// Some of the controls, as `publisher id`.
    controls: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn metas() -> impl Iterator<Item = &'static PolicyMeta> {
    registry().iter().map(|policy| policy.meta())
}

fn cases(policy: &str) -> Vec<(PathBuf, Case)> {
    let folder = root().join("tests/data").join(policy);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let case = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path, case)
        })
        .collect()
}

#[test]
fn ids_are_unique_sorted_and_kebab_case() {
    let ids: Vec<&str> = metas().map(|meta| meta.id).collect();
    assert!(!ids.is_empty());
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    for id in ids {
        let kebab = id.split('-').all(|word| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        });
        assert!(kebab, "{id}");
    }
}

#[test]
fn no_control_is_listed_twice() {
    for meta in metas() {
        for controls in meta.controls {
            let unique: BTreeSet<_> = controls.ids.iter().collect();
            let subject = controls.subject.as_str();
            assert_eq!(unique.len(), controls.ids.len(), "{} {subject}", meta.id);
        }
    }
}

/// The table of controls as the page must have it.
fn table(meta: &PolicyMeta) -> String {
    let mut text = String::from("| resource | publisher | control |\n|---|---|---|\n");
    for controls in meta.controls {
        let mut publishers: Vec<(&str, Vec<&str>)> = Vec::new();
        for (publisher, id) in controls.ids {
            match publishers.last_mut() {
                Some((last, ids)) if last == publisher => ids.push(id),
                _ => publishers.push((publisher, vec![id])),
            }
        }
        for (publisher, ids) in publishers {
            writeln!(
                text,
                "| {} | {publisher} | {} |",
                controls.subject.as_str(),
                ids.join(", ")
            )
            .unwrap();
        }
    }
    text
}

#[test]
fn every_policy_has_a_page_that_agrees_with_its_code() {
    for meta in metas() {
        let path = root()
            .join("../docs/policies")
            .join(format!("{}.md", meta.id));
        let page = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let must = [
            format!("# {}\n", meta.id),
            "**What it flags.**".to_owned(),
            "**Why it matters.**".to_owned(),
            "**Reads.**".to_owned(),
            "**Not evaluated**".to_owned(),
            format!("**Severity.** {}", meta.severity.as_str()),
            format!("**Since.** {}.", meta.since),
            format!("**Fix.** {}", meta.fix.as_str()),
            "**Settings.**".to_owned(),
            "## Example".to_owned(),
            "## References".to_owned(),
            format!("## Controls\n\n{}", table(meta)),
        ];
        for part in must {
            assert!(page.contains(&part), "{} lacks:\n{part}", path.display());
        }
    }
}

#[test]
fn no_page_and_no_case_is_left_of_a_policy_that_is_gone() {
    let ids: BTreeSet<&str> = metas().map(|meta| meta.id).collect();
    for folder in ["../docs/policies", "tests/data"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(ids.contains(name), "{}", path.display());
        }
    }
}

#[test]
fn every_case_has_the_findings_it_names() {
    for meta in metas() {
        let mut kinds = BTreeSet::new();
        for (path, case) in cases(meta.id) {
            let region = "eu-central-1".to_owned();
            let instances: Vec<DbInstance> = case
                .db_instances
                .into_iter()
                .map(|document| DbInstance {
                    region: region.clone(),
                    document,
                })
                .collect();
            let clusters: Vec<DbCluster> = case
                .db_clusters
                .into_iter()
                .map(|document| DbCluster {
                    region: region.clone(),
                    document,
                })
                .collect();
            let found: Vec<_> = evaluate(&instances, &clusters)
                .into_iter()
                .filter(|finding| finding.policy == meta.id)
                .collect();
            let name = format!("{} ({})", path.display(), case.shows);
            let seen: Vec<_> = found
                .iter()
                .map(|f| (f.resource.as_str(), f.status, f.reason.as_str()))
                .collect();
            let wanted: Vec<_> = case
                .findings
                .iter()
                .map(|f| (f.resource.as_str(), f.status, f.reason.as_str()))
                .collect();
            assert_eq!(seen, wanted, "{name}");
            for (finding, expected) in found.iter().zip(&case.findings) {
                assert_eq!(finding.severity, meta.severity, "{name}");
                let controls: BTreeSet<String> = finding
                    .controls
                    .iter()
                    .map(|control| format!("{} {}", control.publisher, control.id))
                    .collect();
                for control in &expected.controls {
                    assert!(controls.contains(control), "{name}: {control}");
                }
            }
            kinds.extend(found.iter().map(|finding| Some(finding.status)));
            if found.is_empty() {
                kinds.insert(None);
            }
        }
        for kind in [
            None,
            Some(FindingStatus::Fail),
            Some(FindingStatus::NotEvaluated),
        ] {
            assert!(kinds.contains(&kind), "{} has no case of {kind:?}", meta.id);
        }
    }
}

#[test]
fn findings_are_sorted_and_their_ids_do_not_depend_on_the_order_of_reading() {
    let instance = |name: &str| DbInstance {
        region: "eu-central-1".to_owned(),
        document: json!({"DBInstanceArn": format!("arn:aws:rds:eu-central-1:1:db:{name}"), "StorageEncrypted": false}),
    };
    let (a, b) = (instance("a"), instance("b"));
    let forth = evaluate([&a, &b], []);
    assert_eq!(forth, evaluate([&b, &a], []));
    assert_eq!(forth.len(), 2);
    assert_eq!(forth[0], evaluate_instance(&a)[0]);
    assert_ne!(forth[0].id, forth[1].id);
}
