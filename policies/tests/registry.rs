//! Walks the registry: every policy has an id of its own, a page that tells the truth, and cases of all three kinds.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use atrest_model::instance::DbInstance;
use atrest_model::keep::Keep;
use atrest_policies::{Case, Fleet, PolicyMeta, evaluate_fleet, evaluate_instance, registry};
use serde_json::{Value, json};

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
            let case = Case::parse(&path, &text).unwrap_or_else(|error| panic!("{error}"));
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
        if controls.ids.is_empty() {
            writeln!(text, "| {} | | none |", controls.subject.as_str()).unwrap();
        }
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

/// A policy that was asked about less than it reads would be wrong without a word.
#[test]
fn every_case_gets_the_same_verdicts_from_what_a_scan_keeps() {
    let keep = Keep::looked_at();
    let mut left_out = 0;
    for meta in metas() {
        for (path, _) in cases(meta.id) {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut file: Value = serde_json::from_str(&text).unwrap();
            for list in [
                "DBInstances",
                "DBClusters",
                "GlobalClusters",
                "DBSnapshots",
                "DBClusterSnapshots",
                "DBInstanceAutomatedBackups",
                "DBClusterAutomatedBackups",
                "ExportTasks",
            ] {
                for item in file
                    .get_mut(list)
                    .and_then(Value::as_array_mut)
                    .into_iter()
                    .flatten()
                {
                    let kept = keep.of(item.clone());
                    left_out += usize::from(kept != *item);
                    *item = kept;
                }
            }
            let case = Case::parse(&path, &file.to_string()).unwrap();
            let result = case.run(&path, meta.id, None).unwrap();
            assert_eq!(
                result.mismatches,
                Vec::<String>::new(),
                "{}",
                path.display()
            );
        }
    }
    assert!(left_out > 0, "no case has a member that is not kept");
}

#[test]
fn every_case_gets_the_verdicts_it_names() {
    for meta in metas() {
        let mut verdicts = BTreeSet::new();
        for (path, case) in cases(meta.id) {
            let result = case.run(&path, meta.id, None).unwrap();
            assert_eq!(
                result.mismatches,
                Vec::<String>::new(),
                "{} ({})",
                path.display(),
                case.shows
            );
            verdicts.extend(result.verdicts);
        }
        let all = BTreeSet::from(["fail", "not-evaluated", "pass"]);
        assert_eq!(verdicts, all, "{}", meta.id);
    }
}

#[test]
fn a_case_that_is_wrong_says_what() {
    let run = |expect: &str| {
        let text = format!(
            "{{\"shows\": \"x\", \"DBInstances\": [{{\"DBInstanceArn\": \"arn:aws:rds:eu-central-1:111122223333:db:a\", \
             \"DBInstanceIdentifier\": \"a\", \"StorageEncrypted\": false}}], \"expect\": [{expect}]}}"
        );
        let path = Path::new("case.json");
        let case = Case::parse(path, &text).unwrap();
        case.run(path, "storage-unencrypted", None)
            .unwrap()
            .mismatches
    };
    let fails = "{\"resource\": \"a\", \"verdict\": \"fail\"";
    assert_eq!(run(&format!("{fails}}}")), Vec::<String>::new());
    let wrong = run("{\"resource\": \"a\", \"verdict\": \"pass\"}");
    assert!(
        wrong[0].starts_with("a: expected pass, got fail: StorageEncrypted is false"),
        "{wrong:?}"
    );
    let unexpected = run("");
    assert!(
        unexpected[0].contains("db:a: nothing was expected, and it is fail"),
        "{unexpected:?}"
    );
    let absent = run("{\"resource\": \"b\", \"verdict\": \"pass\"}");
    assert_eq!(absent[0], "b: the case describes no such resource");
    let details = run(&format!(
        "{fails}, \"reason\": \"r\", \"severity\": \"low\", \"controls\": [\"security-hub RDS.99\"]}}"
    ));
    assert_eq!(details.len(), 3, "{details:?}");

    let typo = Case::parse(
        Path::new("case.json"),
        "{\n  \"shows\": \"x\",\n  \"DBinstances\": []\n}",
    )
    .unwrap_err();
    assert!(typo.starts_with("case.json:3:"), "{typo}");
    assert!(
        typo.contains("unknown field `DBinstances`") && typo.ends_with('^'),
        "{typo}"
    );
}

#[test]
fn findings_are_sorted_and_their_ids_do_not_depend_on_the_order_of_reading() {
    let instance = |name: &str| DbInstance {
        region: "eu-central-1".to_owned(),
        document: json!({"DBInstanceArn": format!("arn:aws:rds:eu-central-1:1:db:{name}"), "StorageEncrypted": false}),
    };
    let (a, b) = (instance("a"), instance("b"));
    let forth = evaluate_fleet(&Fleet::new([&a, &b], []));
    assert_eq!(forth, evaluate_fleet(&Fleet::new([&b, &a], [])));
    assert_eq!(forth.len(), 2);
    assert_eq!(
        Some(&forth[0]),
        evaluate_instance("storage-unencrypted", &a).as_ref()
    );
    assert_ne!(forth[0].id, forth[1].id);
    assert_eq!(evaluate_instance("no-such-policy", &a), None);
}
