use serde_json::{Value, json};

use super::raw::{Raw, json as call};
use super::{Bench, NO_LAG};

async fn kms(bench: &Bench, action: &str, body: Value) -> Value {
    let answer = call(bench, "kms", action, &body).await;
    assert_eq!(answer.status, 200, "{action}: {}", answer.text());
    answer.json()
}

async fn refused(bench: &Bench, action: &str, body: Value, code: &str) -> Raw {
    let answer = call(bench, "kms", action, &body).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, code),
        "{action}: {}",
        answer.text()
    );
    answer
}

async fn key_id(bench: &Bench, alias: &str) -> String {
    let key = kms(bench, "DescribeKey", json!({ "KeyId": alias })).await;
    key["KeyMetadata"]["KeyId"]
        .as_str()
        .expect("an id")
        .to_owned()
}

async fn state(bench: &Bench, id: &str) -> String {
    let key = kms(bench, "DescribeKey", json!({ "KeyId": id })).await;
    let state = key["KeyMetadata"]["KeyState"].as_str().expect("a state");
    assert_eq!(key["KeyMetadata"]["Enabled"], state == "Enabled");
    state.to_owned()
}

#[tokio::test]
async fn a_key_goes_through_its_states() {
    let bench = Bench::with(NO_LAG).await;
    let made = kms(&bench, "CreateKey", json!({ "Description": "new" })).await;
    let id = made["KeyMetadata"]["KeyId"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(made["KeyMetadata"]["KeyManager"], "CUSTOMER");
    kms(
        &bench,
        "CreateAlias",
        json!({ "AliasName": "alias/new", "TargetKeyId": id }),
    )
    .await;
    assert_eq!(key_id(&bench, "alias/new").await, id);
    refused(
        &bench,
        "CreateAlias",
        json!({ "AliasName": "alias/new", "TargetKeyId": id }),
        "AlreadyExistsException",
    )
    .await;
    refused(
        &bench,
        "CreateAlias",
        json!({ "AliasName": "new", "TargetKeyId": id }),
        "InvalidAliasNameException",
    )
    .await;
    kms(&bench, "DisableKey", json!({ "KeyId": id })).await;
    assert_eq!(state(&bench, &id).await, "Disabled");
    let grant = json!({ "KeyId": id, "GranteePrincipal": "p", "Operations": ["Decrypt"] });
    refused(&bench, "CreateGrant", grant.clone(), "DisabledException").await;
    kms(&bench, "EnableKey", json!({ "KeyId": id })).await;
    kms(&bench, "CreateGrant", grant.clone()).await;
    let rotation = kms(&bench, "GetKeyRotationStatus", json!({ "KeyId": id })).await;
    assert_eq!(rotation["KeyRotationEnabled"], false);
    refused(
        &bench,
        "ScheduleKeyDeletion",
        json!({ "KeyId": id, "PendingWindowInDays": 3 }),
        "ValidationException",
    )
    .await;
    let scheduled = kms(
        &bench,
        "ScheduleKeyDeletion",
        json!({ "KeyId": id, "PendingWindowInDays": 7 }),
    )
    .await;
    assert_eq!(scheduled["KeyState"], "PendingDeletion");
    assert!(scheduled["DeletionDate"].is_f64());
    for action in [
        "EnableKey",
        "DisableKey",
        "GetKeyRotationStatus",
        "ListGrants",
    ] {
        refused(
            &bench,
            action,
            json!({ "KeyId": id }),
            "KMSInvalidStateException",
        )
        .await;
    }
    refused(&bench, "CreateGrant", grant, "KMSInvalidStateException").await;
    kms(&bench, "CancelKeyDeletion", json!({ "KeyId": id })).await;
    assert_eq!(state(&bench, &id).await, "Disabled");
    refused(
        &bench,
        "CancelKeyDeletion",
        json!({ "KeyId": id }),
        "KMSInvalidStateException",
    )
    .await;
    // The cancelled deletion does not take it; the next one does, with its alias.
    bench.pass(8 * 86_400).await;
    assert_eq!(state(&bench, &id).await, "Disabled");
    kms(
        &bench,
        "ScheduleKeyDeletion",
        json!({ "KeyId": id, "PendingWindowInDays": 7 }),
    )
    .await;
    bench.pass(7 * 86_400 + 1).await;
    for reference in [&*id, "alias/new"] {
        refused(
            &bench,
            "DescribeKey",
            json!({ "KeyId": reference }),
            "NotFoundException",
        )
        .await;
    }
}

#[tokio::test]
async fn an_aws_managed_key_comes_into_being_and_stays_as_it_is() {
    let bench = Bench::with(NO_LAG).await;
    let key = kms(&bench, "DescribeKey", json!({ "KeyId": "alias/aws/rds" })).await;
    assert_eq!(key["KeyMetadata"]["KeyManager"], "AWS");
    let id = key["KeyMetadata"]["KeyId"].as_str().expect("an id");
    assert_eq!(key_id(&bench, "alias/aws/rds").await, id);
    for action in ["DisableKey", "ScheduleKeyDeletion"] {
        refused(
            &bench,
            action,
            json!({ "KeyId": id }),
            "AccessDeniedException",
        )
        .await;
    }
    refused(
        &bench,
        "CreateAlias",
        json!({ "AliasName": "alias/aws/mine", "TargetKeyId": id }),
        "NotAuthorizedException",
    )
    .await;
    // Only DescribeKey takes an alias.
    refused(
        &bench,
        "DisableKey",
        json!({ "KeyId": "alias/mine" }),
        "NotFoundException",
    )
    .await;
}

#[tokio::test]
async fn lists_come_in_pages() {
    let bench = Bench::with(NO_LAG).await;
    for (action, list, member) in [
        ("ListKeys", "Keys", "KeyId"),
        ("ListAliases", "Aliases", "AliasName"),
    ] {
        let mut names = Vec::new();
        let mut body = json!({ "Limit": 1 });
        loop {
            let page = kms(&bench, action, body.clone()).await;
            let items = page[list].as_array().expect("a list");
            assert_eq!(items.len(), 1);
            names.push(items[0][member].as_str().expect("a name").to_owned());
            if page["Truncated"] == false {
                assert!(page["NextMarker"].is_null());
                break;
            }
            body["Marker"] = page["NextMarker"].clone();
        }
        // Two of the scenario, and AWS's for Performance Insights.
        assert_eq!(names.len(), 3, "{action}: {names:?}");
    }
    refused(
        &bench,
        "ListKeys",
        json!({ "Limit": 0 }),
        "ValidationException",
    )
    .await;
    refused(
        &bench,
        "ListKeys",
        json!({ "Marker": "x" }),
        "InvalidMarkerException",
    )
    .await;
    let id = key_id(&bench, "alias/mine").await;
    for name in ["a", "b"] {
        kms(
            &bench,
            "CreateGrant",
            json!({ "KeyId": id, "GranteePrincipal": name, "Operations": ["Decrypt"], "Name": name }),
        )
        .await;
    }
    let grants = kms(
        &bench,
        "ListGrants",
        json!({ "KeyId": id, "GranteePrincipal": "b" }),
    )
    .await;
    let grants = grants["Grants"].as_array().expect("a list");
    assert_eq!((grants.len(), grants[0]["Name"].as_str()), (1, Some("b")));
}

#[tokio::test]
async fn an_account_does_not_see_the_keys_of_another() {
    let bench = Bench::with(NO_LAG).await;
    let id = key_id(&bench, "alias/mine").await;
    let bench = Bench {
        access_key: "AKIAOTHER",
        ..bench
    };
    refused(
        &bench,
        "DescribeKey",
        json!({ "KeyId": id }),
        "NotFoundException",
    )
    .await;
    assert_eq!(kms(&bench, "ListKeys", json!({})).await["Keys"], json!([]));
}

const ENCRYPTED: &str = "
[[instances]]
id = 'vault'
engine = 'mysql'
engine_version = '8.0.39'
kms_key = 'alias/mine'

[[instances]]
id = 'vault-replica'
replica_of = 'vault'
kms_key = 'alias/mine'

[[instances]]
id = 'brief'
engine = 'mysql'
engine_version = '8.0.39'
kms_key = 'alias/mine'
backup_retention = 0
";

const RECOVERABLE: &str = "inaccessible-encryption-credentials-recoverable";
const TERMINAL: &str = "inaccessible-encryption-credentials";

#[tokio::test]
async fn an_instance_without_its_key_stops_and_comes_back_within_seven_days() {
    let bench = Bench::with(NO_LAG).await;
    let id = key_id(&bench, "alias/mine").await;
    kms(&bench, "DisableKey", json!({ "KeyId": id })).await;
    bench.pass(6_500).await;
    assert_eq!(bench.status("locked").await, "available");
    bench.pass(1_400).await;
    assert_eq!(bench.status("locked").await, RECOVERABLE);
    assert_eq!(bench.status("ordinary").await, "available");
    let start = [("DBInstanceIdentifier", "locked")];
    bench
        .refused("StartDBInstance", &start, "KMSKeyNotAccessibleFault")
        .await;
    for action in ["RebootDBInstance", "StopDBInstance"] {
        bench
            .refused(action, &start, "InvalidDBInstanceState")
            .await;
    }
    kms(&bench, "EnableKey", json!({ "KeyId": id })).await;
    bench.ok("StartDBInstance", &start).await;
    assert_eq!(
        bench.until("locked", "available").await,
        [
            "starting",
            "configuring-enhanced-monitoring",
            "backing-up",
            "available"
        ]
    );
    // The seven days of that outage are over.
    bench.pass(8 * 86_400).await;
    assert_eq!(bench.status("locked").await, "available");
}

#[tokio::test]
async fn after_seven_days_it_is_lost() {
    let bench = Bench::with(NO_LAG).await;
    let id = key_id(&bench, "alias/mine").await;
    kms(&bench, "ScheduleKeyDeletion", json!({ "KeyId": id })).await;
    bench.pass(7 * 86_400 + 7_900).await;
    assert_eq!(bench.status("locked").await, TERMINAL);
    kms(&bench, "CancelKeyDeletion", json!({ "KeyId": id })).await;
    kms(&bench, "EnableKey", json!({ "KeyId": id })).await;
    bench
        .refused(
            "StartDBInstance",
            &[("DBInstanceIdentifier", "locked")],
            "InvalidDBInstanceState",
        )
        .await;
}

#[tokio::test]
async fn what_cannot_be_stopped_is_lost_at_once() {
    let bench = Bench::with(&format!("{ENCRYPTED}{NO_LAG}")).await;
    let id = key_id(&bench, "alias/mine").await;
    kms(&bench, "DisableKey", json!({ "KeyId": id })).await;
    bench.pass(7_900).await;
    for (instance, status) in [
        ("vault", TERMINAL),
        ("vault-replica", TERMINAL),
        ("locked", RECOVERABLE),
    ] {
        assert_eq!(bench.status(instance).await, status, "{instance}");
    }
}

#[tokio::test]
async fn an_instance_without_backups_runs_until_its_volume_is_attached_again() {
    let bench = Bench::with(&format!("{ENCRYPTED}{NO_LAG}")).await;
    let id = key_id(&bench, "alias/mine").await;
    kms(&bench, "DisableKey", json!({ "KeyId": id })).await;
    bench.pass(86_400).await;
    assert_eq!(bench.status("brief").await, "available");
    bench
        .ok("RebootDBInstance", &[("DBInstanceIdentifier", "brief")])
        .await;
    bench.pass(600).await;
    assert_eq!(bench.status("brief").await, TERMINAL);
}

#[tokio::test]
async fn a_key_that_is_enabled_in_time_was_never_missed() {
    let bench = Bench::with(NO_LAG).await;
    let id = key_id(&bench, "alias/mine").await;
    kms(&bench, "DisableKey", json!({ "KeyId": id })).await;
    bench.pass(3_600).await;
    kms(&bench, "EnableKey", json!({ "KeyId": id })).await;
    bench.pass(86_400).await;
    assert_eq!(bench.status("locked").await, "available");
}
