//! What an operator adds to the verdict of a scan: policies, waivers and the night before.

use serde_json::Value;

use crate::harness::{Sandbox, Start};

const POLICIES: &str = r#"
[[policies]]
id = "backup-retention-short"
title = "backups are kept for less than ten days"
severity = "medium"
resource = "db-instance"
applies = '!has(resource.ReadReplicaSourceDBInstanceIdentifier) && !has(resource.DBClusterIdentifier)'
check = 'resource.BackupRetentionPeriod >= 10'
message = "backups are kept for {resource.BackupRetentionPeriod} days"
"#;

const WAIVERS: &str = r#"
[[waivers]]
policy = "storage-unencrypted"
resource = "prod-*"
owner = "dba@example.com"
reason = "migrated on Sunday"
expires = 2199-12-31

[[waivers]]
policy = "backup-retention-short"
resource = "prod-two"
owner = "dba@example.com"
reason = "ran out"
expires = 2020-01-01

[[waivers]]
policy = "storage-unencrypted"
resource = "gone"
owner = "dba@example.com"
reason = "deleted long ago"
expires = 2199-12-31
"#;

fn count(report: &Value, member: &str, value: &str) -> usize {
    let findings = report["findings"].as_array().unwrap();
    findings
        .iter()
        .filter(|finding| finding[member] == value)
        .count()
}

#[test]
fn policies_waivers_and_a_baseline_shape_the_verdict() {
    let sandbox = Sandbox::start(&Start {
        scenario: "seed-story",
        engines: "none",
        speed: "1",
    });
    std::fs::create_dir(sandbox.path("own")).unwrap();
    std::fs::write(sandbox.path("own/retention.toml"), POLICIES).unwrap();
    std::fs::write(sandbox.path("waivers.toml"), WAIVERS).unwrap();
    let path = |name: &str| sandbox.path(name).to_str().unwrap().to_owned();
    let (own, waivers, first) = (path("own"), path("waivers.toml"), path("first.json"));
    let scan = ["scan", "--region", "eu-central-1", "--format", "json"];

    let plain = sandbox.run(&[&scan[..], &["--save", &first]].concat());
    let plain = plain.expect(10).json();
    let flagged = plain["findings"].as_array().unwrap().len();
    let full = [
        &scan[..],
        &[
            "--policies",
            &own,
            "--waivers",
            &waivers,
            "--baseline",
            &first,
        ],
    ]
    .concat();
    let judged = sandbox.run(&full).expect(10);
    let report = judged.json();
    let waived = count(&report, "status", "waived");
    assert!(waived > 0 && waived < flagged, "{waived} of {flagged}");
    let own_findings = count(&report, "policy", "backup-retention-short");
    assert!(own_findings > 0);
    // A waived finding is no worse than before; the baseline did not ask the new policy, so nobody knows what is new of it.
    assert_eq!(count(&report, "change", "unchanged"), flagged);
    assert_eq!(count(&report, "change", "new"), 0);
    assert_eq!(
        report["findings"].as_array().unwrap().len(),
        flagged + own_findings
    );
    let notes = report["waiver_notes"].as_array().unwrap();
    let kinds: Vec<&str> = notes.iter().map(|n| n["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["expired", "unused"]);
    assert!(
        judged.stderr.contains("waivers.toml:9") && judged.stderr.contains("waivers.toml:16"),
        "{}",
        judged.stderr
    );

    // Without the new policy nothing is new, so nothing counts.
    let quiet = [&scan[..], &["--baseline", &first, "--fail-on-new"]].concat();
    sandbox.run(&quiet).expect(0);
    let with_policy = [&quiet[..], &["--policies", &own]].concat();
    sandbox.run(&with_policy).expect(10);
    assert!(sandbox.mutations().is_empty());
}

#[test]
fn a_mistake_in_what_is_added_stops_the_scan_before_it_begins() {
    let sandbox = Sandbox::start(&Start {
        scenario: "seed-story",
        engines: "none",
        speed: "1",
    });
    std::fs::create_dir(sandbox.path("own")).unwrap();
    let bad_policy = POLICIES.replace("resource.BackupRetentionPeriod >= 10", "resource. >= 10");
    std::fs::write(sandbox.path("own/bad.toml"), bad_policy).unwrap();
    std::fs::write(
        sandbox.path("waivers.toml"),
        WAIVERS.replace("storage-unencrypted", "storage-unencripted"),
    )
    .unwrap();
    std::fs::write(sandbox.path("cut.json"), "{\"schema_version\": 1, \"fin").unwrap();
    let path = |name: &str| sandbox.path(name).to_str().unwrap().to_owned();
    for (option, name, says) in [
        ("--policies", "own", "bad.toml:8:"),
        ("--policies", "nowhere", "nowhere"),
        ("--waivers", "waivers.toml", "storage-unencripted"),
        ("--baseline", "cut.json", "is no scan report"),
    ] {
        let run = sandbox.run(&["scan", "--region", "eu-central-1", option, &path(name)]);
        let run = run.expect(2);
        assert!(run.stderr.contains(says), "{says}: {}", run.stderr);
        assert!(run.stdout.is_empty());
    }
    assert!(sandbox.requests().is_empty());
}
