//! How fast policies judge: `cargo run --release -p atrest-policies --example judge_speed [INSTANCES]`.
//!
//! Every built-in policy is asked about every instance; a tenth is encrypted under an AWS-managed key, a tenth is not
//! encrypted, and every second one has Performance Insights. Nothing is read or written.

#![expect(clippy::print_stdout, reason = "an example talks on stdout")]
#![expect(
    clippy::indexing_slicing,
    reason = "a member that is not there is made"
)]

use std::time::Instant;

use atrest_model::instance::DbInstance;
use atrest_model::key::{KeyFacts, KeyState, Keys, Rotation};
use atrest_model::resource::{GroupKind, ParameterGroup, ParameterGroups};
use atrest_policies::{Fleet, Settings, asked, evaluate_with};
use serde_json::json;

const REGION: &str = "eu-central-1";

fn key(manager: &str) -> (String, KeyState) {
    let arn = format!("arn:aws:kms:{REGION}:111122223333:key/{manager}");
    let facts = KeyFacts {
        arn: arn.clone(),
        state: "Enabled".to_owned(),
        usage: "ENCRYPT_DECRYPT".to_owned(),
        spec: "SYMMETRIC_DEFAULT".to_owned(),
        manager: manager.to_owned(),
        origin: "AWS_KMS".to_owned(),
        multi_region: false,
        deletion_date: None,
        rotation: Rotation::Unknown,
    };
    (arn, KeyState::Known(facts))
}

fn instance(n: usize) -> DbInstance {
    let mut document = json!({
        "DBInstanceArn": format!("arn:aws:rds:{REGION}:111122223333:db:i-{n}"),
        "DBInstanceIdentifier": format!("i-{n}"),
        "DbiResourceId": format!("db-{n}"),
        "DBInstanceStatus": "available",
        "Engine": "mysql",
        "EngineVersion": "8.0.39",
        "StorageEncrypted": !n.is_multiple_of(10),
        "PerformanceInsightsEnabled": n.is_multiple_of(2),
        "PerformanceInsightsKMSKeyId": format!("arn:aws:kms:{REGION}:111122223333:key/CUSTOMER"),
        "DBParameterGroups": [{"DBParameterGroupName": if n.is_multiple_of(5) { "off" } else { "on" }, "ParameterApplyStatus": "in-sync"}],
    });
    if !n.is_multiple_of(10) {
        let manager = if n % 10 == 1 { "AWS" } else { "CUSTOMER" };
        document["KmsKeyId"] = format!("arn:aws:kms:{REGION}:111122223333:key/{manager}").into();
    }
    if n % 3 == 2 {
        document["ReadReplicaSourceDBInstanceIdentifier"] = format!("i-{}", n - 1).into();
    }
    DbInstance {
        region: REGION.to_owned(),
        document,
    }
}

fn main() {
    let count = std::env::args()
        .nth(1)
        .and_then(|count| count.parse().ok())
        .unwrap_or(100_000);
    let instances: Vec<DbInstance> = (0..count).map(instance).collect();
    let keys: Keys = [key("AWS"), key("CUSTOMER")].into();
    let mut groups = ParameterGroups::default();
    for (name, value) in [("on", "1"), ("off", "0")] {
        let parameter =
            json!({"ParameterName": "require_secure_transport", "ParameterValue": value});
        groups.insert(
            REGION,
            GroupKind::Instance,
            name,
            ParameterGroup::Read(vec![parameter]),
        );
    }
    let began = Instant::now();
    let settings = Settings::default();
    let fleet = Fleet::new(&instances, [])
        .with_keys(&keys)
        .with_parameter_groups(&groups);
    let findings = evaluate_with(&fleet, &settings);
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{count} instances, {} policies, {} findings: {seconds:.3} s, {:.0} instances/s",
        asked(&fleet, &settings).count(),
        findings.len(),
        count as f64 / seconds
    );
}
