//! `atrest policy`, and what the configuration file does to policies. Nothing here reaches AWS.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Finished, finish};

const OWN: &str = r#"
[[policies]]
id = "backup-retention-short"
title = "backups are kept for less than a week"
severity = "medium"
resource = "db-instance"
check = 'resource.BackupRetentionPeriod >= 7'
message = "backups are kept for {resource.BackupRetentionPeriod} days"
remedy = "aws rds modify-db-instance --backup-retention-period 7"
"#;

const CASE: &str = r#"{
  "shows": "one day is too short; a week is enough",
  "DBInstances": [
    {"DBInstanceArn": "arn:aws:rds:eu-central-1:111122223333:db:short", "DBInstanceIdentifier": "short", "BackupRetentionPeriod": 1},
    {"DBInstanceArn": "arn:aws:rds:eu-central-1:111122223333:db:long", "DBInstanceIdentifier": "long", "BackupRetentionPeriod": 7}
  ],
  "expect": [
    {"resource": "short", "verdict": "fail", "reason": "backups are kept for 1 days"},
    {"resource": "long", "verdict": "pass"}
  ]
}
"#;

fn atrest(dir: &Path, args: &[&str]) -> Finished {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atrest"));
    command.env_clear().current_dir(dir).args(args);
    finish(command, Duration::from_secs(60))
}

/// A folder with a policy and a case of it.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let cases = dir.path().join("rules/backup-retention-short");
    std::fs::create_dir_all(&cases).unwrap();
    std::fs::write(dir.path().join("rules/own.toml"), OWN).unwrap();
    std::fs::write(cases.join("short.json"), CASE).unwrap();
    dir
}

#[test]
fn policies_are_listed_and_shown_with_what_the_configuration_makes_of_them() {
    let dir = folder();
    let config = "[policies.backup-retention-short]\nseverity = \"critical\"\n[policies.key-unusable]\nenabled = false\n";
    std::fs::write(dir.path().join("atrest.toml"), config).unwrap();
    let list = ["policy", "list", "--policies", "rules"];
    let table = atrest(dir.path(), &list).expect(0).stdout;
    assert!(
        table
            .lines()
            .any(|line| line.starts_with("storage-unencrypted ")),
        "{table}"
    );
    assert!(
        table
            .lines()
            .any(|line| line.starts_with("key-unusable ") && line.ends_with("(not asked)")),
        "{table}"
    );
    let json = atrest(dir.path(), &[&list[..], &["--format", "json"]].concat())
        .expect(0)
        .json();
    let row = |id: &str| -> Value {
        let rows = json["policies"].as_array().unwrap();
        rows.iter().find(|row| row["id"] == id).unwrap().clone()
    };
    assert_eq!(row("backup-retention-short")["severity"], "critical");
    assert_eq!(row("key-not-expected")["enabled"], false);
    assert_eq!(row("storage-unencrypted")["fix"], "planned");

    let page = atrest(dir.path(), &["policy", "show", "key-unusable"])
        .expect(0)
        .stdout;
    assert!(page.starts_with("# key-unusable\n"), "{page}");
    let own = atrest(
        dir.path(),
        &[
            "policy",
            "show",
            "backup-retention-short",
            "--policies",
            "rules",
        ],
    )
    .expect(0);
    assert!(
        own.stdout.contains("--backup-retention-period 7"),
        "{}",
        own.stdout
    );
    let none = atrest(dir.path(), &["policy", "show", "no-such"]).expect(2);
    assert!(
        none.stderr.contains("there is no policy \"no-such\""),
        "{}",
        none.stderr
    );

    // Without the folder the id of the configuration means nothing.
    let unknown = atrest(dir.path(), &["policy", "list"]).expect(2);
    assert!(
        unknown
            .stderr
            .contains("atrest.toml:1:11: there is no policy"),
        "{}",
        unknown.stderr
    );
    std::fs::write(
        dir.path().join("other.toml"),
        "[policies.key-unusable]\nsevrity = \"low\"\n",
    )
    .unwrap();
    let typo = atrest(dir.path(), &["policy", "list", "--config", "other.toml"]).expect(2);
    assert!(
        typo.stderr
            .contains("other.toml:2:1: unknown field `sevrity`"),
        "{}",
        typo.stderr
    );
}

#[test]
fn cases_are_run_and_a_wrong_one_ends_with_ten() {
    let dir = folder();
    let test = ["policy", "test", "rules"];
    let good = atrest(dir.path(), &test).expect(0);
    assert_eq!(
        good.stdout,
        "backup-retention-short\n  ok    short.json: one day is too short; a week is enough\n1 passed, 0 failed\n"
    );
    let case = dir.path().join("rules/backup-retention-short/wrong.json");
    std::fs::write(
        &case,
        CASE.replace("\"verdict\": \"pass\"", "\"verdict\": \"fail\""),
    )
    .unwrap();
    let wrong = atrest(dir.path(), &test).expect(10);
    assert!(
        wrong.stdout.contains("FAIL  wrong.json"),
        "{}",
        wrong.stdout
    );
    assert!(
        wrong
            .stdout
            .contains("        long: expected fail, got pass\n"),
        "{}",
        wrong.stdout
    );
    assert!(
        wrong.stdout.ends_with("1 passed, 1 failed\n"),
        "{}",
        wrong.stdout
    );

    std::fs::write(&case, CASE.replace("DBInstances", "DBinstances")).unwrap();
    let broken = atrest(dir.path(), &test).expect(2);
    assert!(broken.stderr.contains("wrong.json:3:"), "{}", broken.stderr);
    std::fs::remove_file(&case).unwrap();
    std::fs::create_dir(dir.path().join("rules/no-such-policy")).unwrap();
    std::fs::write(dir.path().join("rules/no-such-policy/a.json"), CASE).unwrap();
    let unknown = atrest(dir.path(), &test).expect(2);
    assert!(
        unknown
            .stderr
            .contains("there is no policy \"no-such-policy\""),
        "{}",
        unknown.stderr
    );
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    let empty = atrest(dir.path(), &["policy", "test", "empty"]).expect(2);
    assert!(empty.stderr.contains("holds no cases"), "{}", empty.stderr);
}
