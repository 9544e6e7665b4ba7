//! The key that the new storage is encrypted with.

use atrest_model::key::{KeyFacts, region_of};
use atrest_scanner::aws::Decision;

use super::{Finding, Sheet};

pub(super) fn check(sheet: &mut Sheet<'_>) {
    let scene = sheet.scene;
    let region = scene.migration.region.as_str();
    let Some(Ok(key)) = scene.facts.keys.get(region) else {
        // The planner has refused it already.
        return;
    };
    let mut wrong = Vec::new();
    if let Some(why) = key.why_unusable() {
        let more = match key.state.as_str() {
            "PendingDeletion" => "; a database under it would be lost with it",
            "Disabled" => "; enable it, or choose another with --kms-key",
            _ => "",
        };
        wrong.push(Finding::blocks(format!("{why}{more}")));
    }
    if region_of(&key.arn) != Some(region) {
        wrong.push(Finding::blocks(format!(
            "key {} is not of {region}; RDS takes keys of its own region only",
            key.arn
        )));
    }
    sheet.add(
        "kms-key",
        &format!("{} is enabled, symmetric, of {region}", key.arn),
        wrong,
    );
    if key.account() != scene.facts.account {
        sheet.add(
            "kms-key-account",
            "",
            vec![Finding::not_proven(format!(
                "key {} belongs to account {}: its policy must let this account make grants, and who disables it there takes the database away",
                key.arn,
                key.account()
            ))],
        );
    } else {
        sheet.add("kms-key-account", "the key is of this account", Vec::new());
    }
    let grant = grant(key, sheet);
    sheet.add(
        "kms-grant",
        "IAM lets the caller make the grant that RDS needs (the key's own policy is not read)",
        grant,
    );
}

/// RDS makes itself a grant with the caller's rights.
fn grant(key: &KeyFacts, sheet: &Sheet<'_>) -> Vec<Finding> {
    if key.manager == "AWS" {
        // Its policy lets everybody in the account use it through RDS.
        return Vec::new();
    }
    let decided = match &sheet.scene.around.permissions {
        Err(why) => {
            return vec![Finding::not_proven(format!(
                "whether kms:CreateGrant is allowed is not known: {why}"
            ))];
        }
        Ok(decided) => decided,
    };
    let mut findings = Vec::new();
    for action in ["kms:CreateGrant", "kms:DescribeKey"] {
        let found = decided
            .iter()
            .find(|one| one.action == action && one.resource == key.arn);
        findings.extend(match found.map(|one| one.decision) {
            Some(Decision::Allowed) => None,
            Some(Decision::ExplicitDeny) => Some(Finding::blocks(format!(
                "a policy denies {action} on {}: the encrypted copy would be refused",
                key.arn
            ))),
            Some(Decision::ImplicitDeny) => Some(Finding::not_proven(format!(
                "no policy of the caller allows {action} on {}; the key's own policy may",
                key.arn
            ))),
            None => Some(Finding::not_proven(format!(
                "IAM gave no answer about {action} on {}",
                key.arn
            ))),
        });
    }
    findings
}
