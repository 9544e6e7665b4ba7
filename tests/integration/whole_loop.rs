//! The main job, end to end: audit, plan, migrate, audit, compare. Real SDK over real HTTP, real MariaDB servers.

use std::collections::{BTreeMap, BTreeSet};

use atrest_model::instance::Encryption;
use serde_json::Value;

use crate::harness::{Request, Sandbox, Start};

const PACE: [&str; 4] = ["--poll-interval", "20ms", "--consistency-window", "2s"];
const SOURCES: [&str; 3] = ["prod-one", "prod-two", "prod-three"];

fn start() -> Sandbox {
    Sandbox::start(&Start {
        scenario: "seed-story",
        engines: "required",
        speed: "1000",
    })
}

/// ARNs of what is not encrypted at rest: what plans are about.
fn flagged(scan: &Value) -> BTreeSet<String> {
    let findings = scan["findings"].as_array().unwrap();
    let fails = findings.iter().filter(|f| f["status"] == "fail");
    fails
        .filter(|f| f["policy"] == "storage-unencrypted")
        .map(|f| f["resource"].as_str().unwrap().to_owned())
        .collect()
}

/// The thing a mutation is about: two with the same key would be the same intent twice.
fn intent(request: &Request) -> String {
    let main = match request.action.as_str() {
        "AddTagsToResource" => request.param("ResourceName").to_owned(),
        "CopyDBSnapshot" => request.param("TargetDBSnapshotIdentifier").to_owned(),
        "CreateDBSnapshot" => request.param("DBSnapshotIdentifier").to_owned(),
        "ModifyDBInstance" => {
            let new_name = request.param("NewDBInstanceIdentifier");
            format!("{} -> {new_name}", request.param("DBInstanceIdentifier"))
        }
        "ModifyDBCluster" => {
            let new_name = request.param("NewDBClusterIdentifier");
            format!("{} -> {new_name}", request.param("DBClusterIdentifier"))
        }
        "AddRoleToDBInstance" => {
            format!(
                "{} {}",
                request.param("DBInstanceIdentifier"),
                request.param("FeatureName")
            )
        }
        _ => request.param("DBInstanceIdentifier").to_owned(),
    };
    format!("{} {} {main}", request.region, request.action)
}

#[test]
fn a_fleet_is_audited_migrated_and_proven() {
    let sandbox = start();
    assert!(
        sandbox.ready["endpoint"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:"),
        "{}",
        sandbox.ready
    );
    assert!(
        !sandbox.ready["engines"].as_array().unwrap().is_empty(),
        "{}",
        sandbox.ready
    );
    let before = sandbox
        .run(&["scan", "--format", "json", "--save", "scan.json"])
        .expect(10)
        .json();
    assert_eq!(before["complete"], true);
    let flagged_before = flagged(&before);
    for name in SOURCES {
        assert!(
            flagged_before
                .iter()
                .any(|arn| arn.ends_with(&format!(":db:{name}"))),
            "{name} in {flagged_before:?}"
        );
    }

    sandbox
        .run(&[
            "plan",
            "--from",
            "scan.json",
            "--kms-key",
            "alias/rds-migration",
            "--ca-file",
            sandbox.ca_file(),
            "--run",
            "e2e",
            "--data-check",
            "checksums",
        ])
        .expect(0);
    // Reading changes nothing.
    assert!(sandbox.mutations().is_empty(), "{:?}", sandbox.mutations());
    sandbox
        .run(&["fix", "atrest-plan.json", "--ca-file", sandbox.ca_file()])
        .expect(0);
    assert!(sandbox.mutations().is_empty(), "{:?}", sandbox.mutations());

    let args = [
        &[
            "fix",
            "atrest-plan.json",
            "--execute",
            "--ca-file",
            sandbox.ca_file(),
        ][..],
        &PACE,
    ]
    .concat();
    let fixed = sandbox.run(&args).expect(0);
    assert!(fixed.stdout.contains("migrated"), "{}", fixed.stdout);

    let mutations = sandbox.mutations();
    none_twice(&mutations);
    in_order(&mutations);
    old_ones_survive(&sandbox, &mutations);
    attributes_are_carried(&sandbox);

    let after = sandbox.run(&["scan", "--format", "json"]).expect(10).json();
    let flagged_after = flagged(&after);
    let plan: Value =
        serde_json::from_slice(&std::fs::read(sandbox.path("atrest-plan.json")).unwrap()).unwrap();
    let left_out: BTreeSet<String> = plan["left_out"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["arn"].as_str().unwrap().to_owned())
        .collect();
    for arn in &flagged_before {
        assert_eq!(flagged_after.contains(arn), left_out.contains(arn), "{arn}");
    }

    let diff = sandbox
        .run(&[
            "diff",
            "--run",
            "e2e",
            "--data",
            "--ca-file",
            sandbox.ca_file(),
            "--format",
            "json",
        ])
        .expect(0)
        .json();
    for pair in diff["pairs"].as_array().unwrap() {
        let drift = pair["differences"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|d| d["class"] == "drift")
            .count();
        assert_eq!(drift, 0, "{pair:#}");
        if pair["name"].as_str().unwrap().starts_with("prod-") {
            assert!(
                pair["compared"]["rows"].as_u64().unwrap() > 0,
                "{}",
                pair["name"]
            );
            assert!(
                pair["compared"]["accounts"].as_u64().unwrap() > 1,
                "{}",
                pair["name"]
            );
        }
    }
    nothing_secret_is_written(&sandbox);
    assert!(sandbox.stop().success());
}

fn none_twice(mutations: &[Request]) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for request in mutations {
        *counts.entry(intent(request)).or_default() += 1;
    }
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

/// For each source: claim, rename away, snapshot, copy, restore, rename back.
fn in_order(mutations: &[Request]) {
    let position = |what: &dyn Fn(&Request) -> bool| mutations.iter().position(what);
    for name in SOURCES {
        let old = format!("old-{name}");
        let new = format!("new-{name}");
        let renamed = |from: &str, to: &str| {
            position(&|r| {
                r.param("DBInstanceIdentifier") == from && r.param("NewDBInstanceIdentifier") == to
            })
        };
        let steps = [
            position(&|r| {
                r.action == "AddTagsToResource"
                    && r.param("ResourceName").ends_with(&format!(":db:{name}"))
            }),
            renamed(name, &old),
            position(&|r| r.action == "CreateDBSnapshot" && r.param("DBInstanceIdentifier") == old),
            position(&|r| {
                r.action == "RestoreDBInstanceFromDBSnapshot"
                    && r.param("DBInstanceIdentifier") == new
            }),
            renamed(&new, name),
        ];
        let found: Vec<usize> = steps
            .iter()
            .map(|step| step.unwrap_or_else(|| panic!("{name}: {steps:?}")))
            .collect();
        assert!(found.is_sorted(), "{name}: {found:?}");
    }
    for replica in [
        "prod-one-replica-1",
        "prod-one-replica-2",
        "prod-three-replica-1",
    ] {
        let made = |r: &&Request| {
            r.action == "CreateDBInstanceReadReplica"
                && r.param("DBInstanceIdentifier") == format!("new-{replica}")
        };
        assert_eq!(mutations.iter().filter(made).count(), 1, "{replica}");
    }
}

fn old_ones_survive(sandbox: &Sandbox, mutations: &[Request]) {
    assert!(
        !mutations.iter().any(|r| r.action.starts_with("Delete")),
        "the fixer deletes nothing"
    );
    let instances = sandbox.instances("eu-central-1");
    for name in SOURCES {
        let old = &instances[&format!("old-{name}")];
        assert_eq!(old.encryption(), Encryption::None);
        assert_eq!(instances[name].encryption(), Encryption::SseKms, "{name}");
        assert!(!instances.contains_key(&format!("new-{name}")));
    }
}

/// Not by the tool's own diff: members a careless restore loses, read from the answers.
fn attributes_are_carried(sandbox: &Sandbox) {
    let instances = sandbox.instances("eu-central-1");
    for name in SOURCES {
        let (old, new) = (
            &instances[&format!("old-{name}")].document,
            &instances[name].document,
        );
        for member in [
            "DBInstanceClass",
            "MultiAZ",
            "StorageType",
            "Iops",
            "AllocatedStorage",
            "MaxAllocatedStorage",
            "BackupRetentionPeriod",
            "PreferredBackupWindow",
            "PreferredMaintenanceWindow",
            "DeletionProtection",
            "IAMDatabaseAuthenticationEnabled",
            "MonitoringInterval",
            "MonitoringRoleArn",
            "PerformanceInsightsEnabled",
            "EnabledCloudwatchLogsExports",
            "CopyTagsToSnapshot",
            "CACertificateIdentifier",
            "PubliclyAccessible",
            "AutoMinorVersionUpgrade",
            "DBSubnetGroup",
            "LicenseModel",
        ] {
            assert_eq!(old.get(member), new.get(member), "{name} {member}");
        }
        let ids = |document: &Value, list: &str, member: &str| -> BTreeSet<String> {
            let items = document[list].as_array().unwrap();
            items
                .iter()
                .map(|item| item[member].as_str().unwrap().to_owned())
                .collect()
        };
        for (list, member) in [
            ("VpcSecurityGroups", "VpcSecurityGroupId"),
            ("DBParameterGroups", "DBParameterGroupName"),
            ("OptionGroupMemberships", "OptionGroupName"),
        ] {
            assert_eq!(
                ids(old, list, member),
                ids(new, list, member),
                "{name} {list}"
            );
        }
    }
}

/// The master password and its like appear in no file the tool has written.
fn nothing_secret_is_written(sandbox: &Sandbox) {
    let mut folders = vec![sandbox.dir.path().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes
                .windows(sandbox.password().len())
                .any(|window| window == sandbox.password().as_bytes());
            assert!(!found, "the master password is in {}", path.display());
        }
    }
    assert!(files > 4, "{files} files");
}

/// kill -9 of a sandbox leaves servers behind; the next one ends them, and only them.
#[test]
fn the_next_sandbox_cleans_up_after_one_that_was_killed() {
    let mut first = start();
    let folder = format!("atrest-sandbox-{}", first.pid());
    let path = std::env::temp_dir().join(&folder);
    assert!(path.is_dir(), "{}", path.display());
    first.kill();
    assert!(servers_of(&folder) > 0);
    let second = start();
    assert_eq!(servers_of(&folder), 0);
    assert!(!path.exists());
    assert!(servers_of(&format!("atrest-sandbox-{}", second.pid())) > 0);
    assert!(second.stop().success());
}

/// Processes whose command line names the folder.
fn servers_of(folder: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| String::from_utf8_lossy(line).contains(&format!("{folder}/servers")))
        .count()
}
