//! Policies and waivers of users: refused with a line, or asked with an end.

use std::path::Path;

use atrest_model::instance::{DbCluster, DbInstance};
use atrest_policies::{CustomPolicies, Fleet, Settings, Waivers};

/// A file of policies, asked about a small fleet.
pub(crate) fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let policies = match CustomPolicies::parse(Path::new("own.toml"), text) {
        Ok(policies) => policies,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    ask(&policies);
}

/// An expression, as the check of a policy.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if text.contains("'''") || text.contains('\r') {
        return;
    }
    let file = format!(
        "[[policies]]\nid = \"own-rule\"\ntitle = \"t\"\nseverity = \"low\"\nresource = \"db-instance\"\ncheck = '''{text}'''\nmessage = \"m\"\n"
    );
    policy(file.as_bytes());
}

fn ask(policies: &CustomPolicies) {
    let instance = |name: &str| DbInstance {
        region: "eu-central-1".to_owned(),
        document: serde_json::json!({
            "DBInstanceArn": format!("arn:aws:rds:eu-central-1:111122223333:db:{name}"),
            "DBInstanceIdentifier": name,
            "Engine": "mysql",
            "AllocatedStorage": 20,
            "StorageEncrypted": false,
            "TagList": [{"Key": "env", "Value": "prod"}],
        }),
    };
    let instances = [instance("a"), instance("b"), instance("c")];
    let clusters: [DbCluster; 0] = [];
    let fleet = Fleet::new(&instances, &clusters);
    let now = "2026-11-24T00:00:00Z".parse().expect("a time");
    let found = policies.evaluate("111122223333", &fleet, now, &Settings::default());
    for finding in found {
        assert!(finding.reason.len() < 200_000, "{}", finding.reason.len());
    }
}

/// A file of waivers.
pub(crate) fn waivers(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Waivers::parse(Path::new("waivers.toml"), text, |id| id.starts_with('s')) {
        Ok(waivers) => {
            let _tags = waivers.ask_for_tags();
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
