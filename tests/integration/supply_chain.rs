//! What the program is built from: one TLS stack, no newer Rust than it says, and reasons for what is there twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Cargo, about this workspace, without the network.
fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(args)
        .args(["--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Versions of each crate that is built into the programs, with the features they have.
fn tree() -> BTreeMap<String, BTreeMap<String, String>> {
    let text = cargo(&[
        "tree",
        "--workspace",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--no-dedupe",
        "--format",
        "{p} {f}",
    ]);
    let mut crates: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let (name, version) = (words.next().unwrap(), words.next().unwrap());
        let features = words.next_back().unwrap_or_default();
        let versions = crates.entry(name.to_owned()).or_default();
        versions.insert(version.to_owned(), features.to_owned());
    }
    crates
}

#[test]
fn there_is_one_tls_stack() {
    let crates = tree();
    assert!(crates.len() > 200, "{}", crates.len());
    for other in [
        "boring",
        "native-tls",
        "openssl",
        "openssl-sys",
        "ring",
        "rustls-openssl",
        "s2n-tls",
        "schannel",
        "security-framework",
        "wolfssl-sys",
    ] {
        assert!(!crates.contains_key(other), "{other}: {:?}", crates[other]);
    }
    for one in [
        "rustls",
        "tokio-rustls",
        "rustls-webpki",
        "aws-lc-rs",
        "aws-lc-sys",
        "hyper",
    ] {
        assert_eq!(crates[one].len(), 1, "{one}: {:?}", crates[one]);
    }
    let (version, features) = crates["rustls"].iter().next().unwrap();
    assert!(version.starts_with("v0.23."), "{version}");
    let features: Vec<&str> = features.split(',').collect();
    assert!(
        features.contains(&"aws_lc_rs") && !features.contains(&"ring"),
        "{features:?}"
    );
}

/// `1.85` and `1.85.1` as numbers.
fn version(text: &str) -> Vec<u32> {
    text.split('.').map(|part| part.parse().unwrap()).collect()
}

#[test]
fn no_crate_needs_a_newer_rust_than_the_manifest_says() {
    let crates = tree();
    let metadata: Value = serde_json::from_str(&cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--filter-platform",
        "x86_64-unknown-linux-gnu",
    ]))
    .unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let ours = packages
        .iter()
        .find(|p| p["name"] == "atrest" && p["source"].is_null())
        .unwrap();
    let ours = version(ours["rust_version"].as_str().unwrap());
    let mut said = 0;
    for package in packages {
        let (name, of) = (
            package["name"].as_str().unwrap(),
            package["version"].as_str().unwrap(),
        );
        let is_built = crates
            .get(name)
            .is_some_and(|versions| versions.contains_key(&format!("v{of}")));
        let Some(needed) = package["rust_version"].as_str().filter(|_| is_built) else {
            continue;
        };
        said += 1;
        assert!(version(needed) <= ours, "{name} {of} needs Rust {needed}");
    }
    assert!(said > 100, "{said}");
}

/// The same without cargo-deny, which not every machine has: a pair that nobody gave a reason for, and a reason for
/// nothing.
#[test]
fn what_is_there_twice_has_a_reason_in_deny_toml() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
    let deny: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    let skipped: BTreeSet<String> = deny["bans"]["skip"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            assert!(
                entry["reason"]
                    .as_str()
                    .is_some_and(|reason| reason.len() > 10),
                "{entry}"
            );
            let name = entry["crate"].as_str().unwrap();
            name.split('@').next().unwrap().to_owned()
        })
        .collect();
    let crates = tree();
    let twice: BTreeSet<String> = crates
        .iter()
        .filter(|(_, versions)| versions.len() > 1)
        .map(|(name, _)| name.clone())
        .collect();
    assert_eq!(twice, skipped, "`make deny` says who needs which");
}
