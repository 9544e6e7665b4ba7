//! The whole surface, online and from saved output; a kind that cannot be read; saved output that is none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use atrest_model::finding::Finding;
use atrest_model::key::{KeyState, Rotation};
use atrest_model::resource::{GroupKind, ParameterGroup};
use atrest_model::scan::ResourceKind;
use atrest_policies::{Fleet, Settings, evaluate_with};
use atrest_scanner::inventory::{Inventory, Surface, read_surface};
use serde_json::{Value, json};

use crate::harness::{Sandbox, Start};

const REGION: &str = "eu-central-1";

fn sandbox(scenario: &str) -> Sandbox {
    Sandbox::start(&Start {
        scenario,
        engines: "none",
        speed: "1",
    })
}

/// What a person with the AWS CLI would save: one file for each list, key and group.
fn save(inventory: &Inventory, folder: &Path) {
    let region = &inventory.regions[0];
    let mut lists: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for found in region.described() {
        let list = match found.kind {
            ResourceKind::DbInstance => "DBInstances",
            ResourceKind::DbCluster => "DBClusters",
            ResourceKind::GlobalCluster => "GlobalClusters",
            ResourceKind::DbSnapshot => "DBSnapshots",
            ResourceKind::DbClusterSnapshot => "DBClusterSnapshots",
            ResourceKind::DbInstanceAutomatedBackup => "DBInstanceAutomatedBackups",
            ResourceKind::DbClusterAutomatedBackup => "DBClusterAutomatedBackups",
            ResourceKind::ExportTask => "ExportTasks",
        };
        lists.entry(list).or_default().push(found.document.clone());
    }
    assert!(lists.contains_key("DBSnapshots"), "{:?}", lists.keys());
    let folder = folder.join(REGION);
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: String, value: Value| {
        std::fs::write(folder.join(name), value.to_string()).unwrap();
    };
    for (list, items) in lists {
        write(format!("{list}.json"), json!({ list: items }));
    }
    for (index, key) in inventory.keys.values().enumerate() {
        let KeyState::Known(key) = key else {
            panic!("{key:?}");
        };
        write(
            format!("key-{index}.json"),
            json!({"KeyMetadata": {
                "Arn": key.arn, "KeyState": key.state, "KeyUsage": key.usage, "KeySpec": key.spec,
                "KeyManager": key.manager, "Origin": key.origin, "MultiRegion": key.multi_region,
            }}),
        );
        if matches!(key.rotation, Rotation::On | Rotation::Off) {
            write(
                format!("rotation-{index}.json"),
                json!({"KeyId": key.arn, "KeyRotationEnabled": key.rotation == Rotation::On}),
            );
        }
    }
    let names: BTreeSet<(GroupKind, &str)> = region
        .described()
        .flat_map(|found| found.parameter_groups().collect::<Vec<_>>())
        .collect();
    assert!(!names.is_empty());
    for (kind, name) in names {
        let Some(ParameterGroup::Read(parameters)) = inventory.groups.get(REGION, kind, name)
        else {
            panic!("{name} was not read");
        };
        let of = match kind {
            GroupKind::Instance => "db",
            GroupKind::Cluster => "db-cluster",
        };
        write(
            format!("describe-{of}-parameters.{name}.json"),
            json!({"Parameters": parameters}),
        );
    }
}

#[test]
fn saved_output_gives_the_verdicts_of_aws_and_no_resource_costs_a_call() {
    let sandbox = sandbox("seed-story");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let account = "111122223333";
    let aws = sandbox.aws(REGION);
    let inventory = runtime.block_on(Box::pin(read_surface(
        &aws,
        account,
        &[REGION.to_owned()],
        &Surface::whole(),
    )));
    let region = &inventory.regions[0];
    assert!(
        region.error.is_none() && region.unread.is_empty(),
        "{region:?}"
    );
    save(&inventory, &sandbox.path("saved"));

    parts_are_judged_as_the_whole_is(&sandbox.path("saved"));

    let before = sandbox.requests().len();
    let json = |args: &[&str]| {
        let mut all = vec!["scan", "--format", "json", "--exit-zero"];
        all.extend(args);
        let mut report = sandbox.run(&all).json();
        report["started"] = Value::Null;
        report.to_string()
    };
    let online = json(&["--region", REGION]);
    let calls = sandbox.requests().len() - before;
    let rotations = inventory
        .keys
        .values()
        .filter(|key| matches!(key, KeyState::Known(key) if key.can_rotate()))
        .count();
    assert_eq!(
        calls,
        1 + region.calls + inventory.calls,
        "GetCallerIdentity, pages, keys and groups"
    );
    assert!(inventory.calls >= inventory.keys.len() + rotations);
    let after = sandbox.requests().len();
    let offline = json(&["--offline", "saved"]);
    assert_eq!(sandbox.requests().len(), after, "offline asked AWS");
    assert_eq!(online, offline);
    // A scan keeps less of the answers than there is, and says the same of them.
    let report: Value = serde_json::from_str(&online).unwrap();
    let whole = serde_json::to_value(inventory.resources()).unwrap();
    assert_eq!(report["resources"], whole);
}

/// Saved output is judged part by part; what a policy looks at beside its resource may be in another part.
fn parts_are_judged_as_the_whole_is(saved: &Path) {
    let read = atrest_scanner::offline::read(saved, &Surface::whole()).unwrap();
    let [account] = read.accounts.as_slice() else {
        panic!("{} accounts", read.accounts.len());
    };
    let settings = Settings::default();
    let fleet = |of: &Inventory| -> Vec<Finding> {
        let regions = || of.regions.iter();
        let fleet = Fleet::new(
            regions().flat_map(|region| &region.instances),
            regions().flat_map(|region| &region.clusters),
        );
        let fleet = fleet
            .with_resources(regions().flat_map(|region| &region.others))
            .with_keys(&of.keys)
            .with_parameter_groups(&of.groups);
        evaluate_with(&fleet, &settings)
    };
    let whole = fleet(&account.whole());
    let context = account.context();
    let instances = |of: &Inventory| of.regions[0].instances.len();
    assert!(instances(&context) > 0 && instances(&context) < instances(&account.whole()));
    for size in [1, 3, 1000] {
        let mut found = Vec::new();
        for part in account.parts(size.try_into().unwrap()) {
            let fleet = Fleet::new(
                context.regions.iter().flat_map(|region| &region.instances),
                context.regions.iter().flat_map(|region| &region.clusters),
            )
            .judging(
                part.regions.iter().flat_map(|region| &region.instances),
                part.regions.iter().flat_map(|region| &region.clusters),
            )
            .with_resources(part.regions.iter().flat_map(|region| &region.others))
            .with_keys(&part.keys)
            .with_parameter_groups(&part.groups);
            found.extend(evaluate_with(&fleet, &settings));
        }
        found.sort_by(|a, b| (&a.resource, &a.policy).cmp(&(&b.resource, &b.policy)));
        assert_eq!(found, whole, "{size} at a time");
    }
}

#[test]
fn a_kind_that_may_not_be_read_is_a_row_and_the_others_are_judged() {
    let sandbox = sandbox("seed-story");
    let scenario = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("sandbox/scenarios/seed-story.toml"),
    )
    .unwrap();
    let denied = scenario.replacen(
        "user = \"dbre\"\n",
        "user = \"dbre\"\ndeny = [\"rds:DescribeDBSnapshots\"]\n",
        1,
    );
    assert_ne!(denied, scenario);
    let path = sandbox.path("denied.toml");
    std::fs::write(&path, denied).unwrap();
    let denied = self::sandbox(path.to_str().unwrap());
    let report = denied
        .run(&[
            "scan",
            "--region",
            REGION,
            "--format",
            "json",
            "--exit-zero",
        ])
        .expect(4)
        .json();
    assert_eq!(report["complete"], false);
    let unread = report["unread"].as_array().unwrap();
    assert_eq!(unread.len(), 1, "{unread:?}");
    assert_eq!(unread[0]["kind"], "db-snapshot");
    assert!(
        unread[0]["reason"]
            .as_str()
            .unwrap()
            .contains("AccessDenied")
    );
    assert_eq!(report["regions"][0]["error"], Value::Null);
    assert!(report["resources"].as_array().unwrap().len() > 3);
}

#[test]
fn what_is_no_saved_output_ends_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let instance = r#"{"DBInstances": [{"DBInstanceArn": "arn:aws:rds:eu-central-1:111122223333:db:x",
        "DBInstanceIdentifier": "x", "Engine": "mysql", "StorageEncrypted": true, "StorageEncryptionType": "sse-kms"}]}"#;
    let other = instance.replace("\"Engine\": \"mysql\"", "\"Engine\": \"mariadb\"");
    let utf16: Vec<u8> = std::iter::once(0xfeff)
        .chain(instance.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let read = |files: &[(&str, &[u8])]| {
        let folder = tempfile::tempdir_in(&dir).unwrap();
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        atrest_scanner::offline::read(folder.path(), &Surface::whole())
            .map(|read| {
                let regions = read.accounts.iter().flat_map(|a| a.whole().regions);
                regions
                    .map(|r| (r.instances.len(), r.unread.len()))
                    .collect::<Vec<_>>()
            })
            .map_err(|error| error.to_string())
    };
    let good = instance.as_bytes();
    assert_eq!(read(&[("a.json", good)]), Ok(vec![(1, 0)]));
    assert_eq!(
        read(&[("a.json", good), ("b.json", good)]),
        Ok(vec![(1, 0)])
    );
    assert_eq!(read(&[("a.json", &utf16)]), Ok(vec![(1, 0)]));
    let marked = [b"\xef\xbb\xbf", good].concat();
    assert_eq!(read(&[("a.json", &marked)]), Ok(vec![(1, 0)]));
    let page = instance.replacen('{', "{\"NextToken\": \"t\", ", 1);
    assert_eq!(read(&[("a.json", page.as_bytes())]), Ok(vec![(1, 1)]));
    for (bytes, why) in [
        (
            &good[..good.len() / 2],
            "bad.json is no saved output of `aws rds describe-*`: it ends in the middle",
        ),
        (b"".as_slice(), "it is empty"),
        (b"{\"Results\": []}".as_slice(), "\"Results\" is no member"),
        (b"[1]".as_slice(), "without --query"),
        (b"{}".as_slice(), "it holds no list"),
        (
            b"{\"DBInstances\": {}}".as_slice(),
            "DBInstances to be a list",
        ),
        (
            b"{\"DBInstances\": [{\"DBSnapshotArn\": \"x\"}]}".as_slice(),
            "item 0 of DBInstances has no DBInstanceArn",
        ),
        (
            b"{\"DBInstances\": [{\"DBInstanceArn\": \"x\"}]}".as_slice(),
            "for an ARN",
        ),
        (b"\xff\xfe\x00".as_slice(), "not valid UTF-16"),
        (other.as_bytes(), "is described differently in"),
    ] {
        let error = read(&[("a.json", good), ("bad.json", bytes)]).unwrap_err();
        assert!(error.contains(why) && error.contains("bad.json"), "{error}");
    }
    assert!(
        read(&[("a.txt", good)])
            .unwrap_err()
            .contains("holds no .json file")
    );
}
