//! KMS's operations.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{ensure_managed, new_key, outage};
use crate::clock::plus;
use crate::neighbours::page;
use crate::rds::error::ApiError;
use crate::rds::state::{Grant, KmsKey, Scope};
use crate::world::{Timeline, World};

const DAY: i64 = 86_400;

/// What KMS lets grants contain for symmetric keys.
const GRANTABLE: [&str; 14] = [
    "Decrypt",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
    "CreateGrant",
    "RetireGrant",
    "DescribeKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateMac",
    "VerifyMac",
    "GetPublicKey",
];

/// Carries out an action.
pub(crate) fn dispatch(
    world: &mut World,
    scope: &Scope,
    action: &str,
    body: &Value,
) -> Result<Value, ApiError> {
    let now = world.clock.now();
    match action {
        "DescribeKey" => {
            let reference = required(body, "KeyId")?;
            ensure_managed(world, scope, reference);
            let account = scope.account.clone();
            let key = find(world, scope, reference)?;
            Ok(json!({ "KeyMetadata": metadata(&account, key) }))
        }
        "ListKeys" => list_keys(world, scope, body),
        "ListAliases" => list_aliases(world, scope, body),
        "ListGrants" => list_grants(world, scope, body),
        "CreateGrant" => create_grant(world, scope, body, now),
        "CreateKey" => create_key(world, scope, body, now),
        "CreateAlias" => create_alias(world, scope, body),
        "EnableKey" => {
            let key = own_key(world, scope, body)?;
            match key.state.as_str() {
                "Enabled" => {}
                "Disabled" => "Enabled".clone_into(&mut key.state),
                _ => return Err(invalid_state(key)),
            }
            Ok(json!({}))
        }
        "DisableKey" => {
            let key = own_key(world, scope, body)?;
            match key.state.as_str() {
                "Disabled" => {}
                "Enabled" => {
                    let id = key.id.clone();
                    outage::disable(world, scope, &id, now);
                }
                _ => return Err(invalid_state(key)),
            }
            Ok(json!({}))
        }
        "ScheduleKeyDeletion" => schedule_deletion(world, scope, body, now),
        "CancelKeyDeletion" => {
            let key = own_key(world, scope, body)?;
            if key.state != "PendingDeletion" {
                return Err(invalid_state(key));
            }
            // It comes back disabled.
            "Disabled".clone_into(&mut key.state);
            key.deletion = None;
            Ok(json!({ "KeyId": key.arn }))
        }
        "GetKeyRotationStatus" => {
            let reference = by_id(body)?;
            let key = find(world, scope, reference)?;
            if key.state == "PendingDeletion" {
                return Err(invalid_state(key));
            }
            // AWS rotates its own keys every year; of customer keys none is rotated here.
            let rotates = key.manager == "AWS";
            let mut answer = json!({ "KeyId": key.arn, "KeyRotationEnabled": rotates });
            if rotates && let Some(object) = answer.as_object_mut() {
                object.insert("RotationPeriodInDays".to_owned(), json!(365));
            }
            Ok(answer)
        }
        _ => Err(ApiError::new("UnknownOperationException", "")),
    }
}

fn list_keys(world: &mut World, scope: &Scope, body: &Value) -> Result<Value, ApiError> {
    let keys = world
        .region_mut(scope)
        .keys
        .iter()
        .map(|key| json!({ "KeyId": key.id, "KeyArn": key.arn }))
        .collect();
    listed("Keys", keys, body, 100, 1000)
}

fn list_aliases(world: &mut World, scope: &Scope, body: &Value) -> Result<Value, ApiError> {
    let wanted = match text(body, "KeyId") {
        Some(_) => {
            let reference = by_id(body)?;
            Some(find(world, scope, reference)?.id.clone())
        }
        None => None,
    };
    let (partition, account, place) = (scope.partition(), &scope.account, &scope.region);
    let aliases = world
        .region_mut(scope)
        .aliases
        .iter()
        .filter(|(_, id)| wanted.as_ref().is_none_or(|wanted| wanted == *id))
        .map(|(alias, id)| {
            json!({
                "AliasName": alias,
                "AliasArn": format!("arn:{partition}:kms:{place}:{account}:{alias}"),
                "TargetKeyId": id,
            })
        })
        .collect();
    listed("Aliases", aliases, body, 50, 100)
}

fn list_grants(world: &mut World, scope: &Scope, body: &Value) -> Result<Value, ApiError> {
    let reference = by_id(body)?;
    let key = find(world, scope, reference)?;
    if key.state == "PendingDeletion" {
        return Err(invalid_state(key));
    }
    let (id, grantee) = (text(body, "GrantId"), text(body, "GranteePrincipal"));
    let grants = key
        .grants
        .iter()
        .filter(|grant| id.is_none_or(|id| grant.id == id))
        .filter(|grant| grantee.is_none_or(|grantee| grant.grantee == grantee))
        .map(|grant| {
            json!({
                "KeyId": key.arn,
                "GrantId": grant.id,
                "Name": grant.name,
                "CreationDate": seconds(grant.created),
                "GranteePrincipal": grant.grantee,
                "IssuingAccount": format!("arn:{}:iam::{}:root", scope.partition(), grant.issuer),
                "Operations": grant.operations,
            })
        })
        .collect();
    listed("Grants", grants, body, 50, 100)
}

fn create_grant(
    world: &mut World,
    scope: &Scope,
    body: &Value,
    now: Timestamp,
) -> Result<Value, ApiError> {
    let reference = by_id(body)?;
    let grantee = required(body, "GranteePrincipal")?.to_owned();
    let operations: Vec<String> = body
        .get("Operations")
        .and_then(Value::as_array)
        .ok_or_else(|| validation("Operations must not be null"))?
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    if let Some(unknown) = operations
        .iter()
        .find(|operation| !GRANTABLE.contains(&operation.as_str()))
    {
        return Err(validation(format!(
            "Value '{unknown}' at 'operations' failed to satisfy constraint: Member must satisfy enum value set"
        )));
    }
    let key = find(world, scope, reference)?;
    let id = key.id.clone();
    match key.state.as_str() {
        "Enabled" => {}
        "Disabled" => {
            return Err(ApiError::new(
                "DisabledException",
                format!("{} is disabled.", key.arn),
            ));
        }
        _ => return Err(invalid_state(key)),
    }
    if body.get("DryRun").and_then(Value::as_bool) == Some(true) {
        return Err(ApiError::new(
            "DryRunOperationException",
            "The request would have succeeded, but the DryRun option is set.",
        ));
    }
    let hex = "0123456789abcdef";
    let grant = world.dice.word(&format!("grant/{id}"), hex, 32);
    let token = world.dice.word(&format!("grant-token/{id}"), hex, 32);
    if let Some(key) = world.region_mut(scope).key_mut(&id) {
        key.grants.push(Grant {
            id: grant.clone(),
            name: text(body, "Name").unwrap_or_default().to_owned(),
            grantee,
            issuer: scope.account.clone(),
            operations,
            created: now,
        });
    }
    Ok(json!({ "GrantId": grant, "GrantToken": token }))
}

fn create_key(
    world: &mut World,
    scope: &Scope,
    body: &Value,
    now: Timestamp,
) -> Result<Value, ApiError> {
    let mut key = new_key(world, scope, "created", now);
    if let Some(spec) = text(body, "KeySpec").or_else(|| text(body, "CustomerMasterKeySpec")) {
        spec.clone_into(&mut key.spec);
    }
    match (key.spec.as_str(), text(body, "KeyUsage")) {
        ("SYMMETRIC_DEFAULT", None | Some("ENCRYPT_DECRYPT")) => {}
        ("SYMMETRIC_DEFAULT", Some(usage)) => {
            return Err(validation(format!(
                "KeyUsage {usage} is not compatible with KeySpec SYMMETRIC_DEFAULT"
            )));
        }
        (_, None) => {
            return Err(validation(
                "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.",
            ));
        }
        (_, Some(usage)) => usage.clone_into(&mut key.usage),
    }
    text(body, "Description")
        .unwrap_or_default()
        .clone_into(&mut key.description);
    key.multi_region = body
        .get("MultiRegion")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let answer = json!({ "KeyMetadata": metadata(&scope.account, &key) });
    world.region_mut(scope).keys.push(key);
    Ok(answer)
}

fn create_alias(world: &mut World, scope: &Scope, body: &Value) -> Result<Value, ApiError> {
    let alias = required(body, "AliasName")?.to_owned();
    let target = required(body, "TargetKeyId")?;
    if !alias.starts_with("alias/") || alias.len() < 7 {
        return Err(ApiError::new(
            "InvalidAliasNameException",
            format!("Alias must start with the prefix \"alias/\": {alias}"),
        ));
    }
    if alias.starts_with("alias/aws/") {
        return Err(ApiError::new(
            "NotAuthorizedException",
            "The alias prefix alias/aws/ is reserved for AWS services",
        ));
    }
    let key = find(world, scope, target)?;
    if key.state == "PendingDeletion" {
        return Err(invalid_state(key));
    }
    let id = key.id.clone();
    let aliases = &mut world.region_mut(scope).aliases;
    if aliases.contains_key(&alias) {
        return Err(ApiError::new(
            "AlreadyExistsException",
            format!("An alias with the name {alias} already exists"),
        ));
    }
    aliases.insert(alias, id);
    Ok(json!({}))
}

fn schedule_deletion(
    world: &mut World,
    scope: &Scope,
    body: &Value,
    now: Timestamp,
) -> Result<Value, ApiError> {
    let days = match body.get("PendingWindowInDays") {
        None | Some(Value::Null) => 30,
        Some(days) => days
            .as_i64()
            .filter(|days| (7..=30).contains(days))
            .ok_or_else(|| validation("PendingWindowInDays must be between 7 and 30"))?,
    };
    let key = own_key(world, scope, body)?;
    if key.state == "PendingDeletion" {
        return Err(invalid_state(key));
    }
    let was_usable = key.is_usable();
    let deletion = plus(now, days * DAY);
    "PendingDeletion".clone_into(&mut key.state);
    key.deletion = Some(deletion);
    let (id, arn) = (key.id.clone(), key.arn.clone());
    if was_usable {
        outage::lost(world, scope, &arn, now);
    }
    let subject = format!("key:{id}");
    let wait = u64::try_from(days * DAY).unwrap_or(0);
    world.schedule(
        now,
        Timeline::new(scope, &subject).then(wait, move |moment| {
            let region = moment.region();
            // Not if it was cancelled, or cancelled and scheduled anew.
            if region
                .key_mut(&id)
                .is_some_and(|key| key.deletion == Some(deletion))
            {
                region.keys.retain(|key| key.id != id);
                region.aliases.retain(|_, target| *target != id);
            }
        }),
    );
    Ok(json!({
        "KeyId": arn,
        "DeletionDate": seconds(deletion),
        "KeyState": "PendingDeletion",
        "PendingWindowInDays": days,
    }))
}

/// A page of a list, in KMS's words: `Limit`, `Marker`, `Truncated`, `NextMarker`.
fn listed(
    name: &str,
    all: Vec<Value>,
    body: &Value,
    usual: usize,
    most: usize,
) -> Result<Value, ApiError> {
    let (items, next) = page(all, body, ("Limit", "Marker"), usual, most, |what| {
        let code = if what == "Marker" {
            "InvalidMarkerException"
        } else {
            "ValidationException"
        };
        ApiError::new(code, format!("{what} is not valid"))
    })?;
    let mut answer = serde_json::Map::new();
    answer.insert(name.to_owned(), Value::Array(items));
    answer.insert("Truncated".to_owned(), json!(next.is_some()));
    if let Some(next) = next {
        answer.insert("NextMarker".to_owned(), json!(next));
    }
    Ok(Value::Object(answer))
}

fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}

fn validation(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", message)
}

fn required<'a>(body: &'a Value, name: &str) -> Result<&'a str, ApiError> {
    text(body, name).ok_or_else(|| validation(format!("{name} must not be null")))
}

/// A key id or key ARN: of the operations only DescribeKey takes an alias.
fn by_id(body: &Value) -> Result<&str, ApiError> {
    let reference = required(body, "KeyId")?;
    if reference.contains("alias/") {
        return Err(ApiError::new(
            "NotFoundException",
            format!("Invalid keyId {reference}"),
        ));
    }
    Ok(reference)
}

fn not_found(scope: &Scope, reference: &str) -> ApiError {
    let (what, name) = match reference {
        reference if reference.starts_with("arn:") => (
            if reference.contains(":alias/") {
                "Alias"
            } else {
                "Key"
            },
            reference.to_owned(),
        ),
        alias if alias.starts_with("alias/") => (
            "Alias",
            format!(
                "arn:{}:kms:{}:{}:{alias}",
                scope.partition(),
                scope.region,
                scope.account
            ),
        ),
        id => (
            "Key",
            format!(
                "arn:{}:kms:{}:{}:key/{id}",
                scope.partition(),
                scope.region,
                scope.account
            ),
        ),
    };
    ApiError::new(
        "NotFoundException",
        if what == "Alias" {
            format!("Alias {name} is not found.")
        } else {
            format!("Key '{name}' does not exist")
        },
    )
}

fn find<'a>(world: &'a mut World, scope: &Scope, reference: &str) -> Result<&'a KmsKey, ApiError> {
    world
        .region_mut(scope)
        .key(reference)
        .ok_or_else(|| not_found(scope, reference))
}

/// A key whose state its owner may change: not one that AWS manages.
fn own_key<'a>(
    world: &'a mut World,
    scope: &Scope,
    body: &Value,
) -> Result<&'a mut KmsKey, ApiError> {
    let reference = by_id(body)?;
    let key = find(world, scope, reference)?;
    if key.manager == "AWS" {
        return Err(ApiError::new(
            "AccessDeniedException",
            format!(
                "You are not authorized to change {}: it is managed by AWS",
                key.arn
            ),
        ));
    }
    let id = key.id.clone();
    world
        .region_mut(scope)
        .key_mut(&id)
        .ok_or_else(|| not_found(scope, &id))
}

fn invalid_state(key: &KmsKey) -> ApiError {
    let words = match key.state.as_str() {
        "PendingDeletion" => "pending deletion",
        "PendingImport" => "pending import",
        "Enabled" => "not pending deletion",
        _ => "in a state that is not valid for this request",
    };
    ApiError::new(
        "KMSInvalidStateException",
        format!("{} is {words}.", key.arn),
    )
}

/// Timestamps are epoch seconds in JSON 1.1, with a fraction.
fn seconds(at: Timestamp) -> Value {
    json!(at.as_millisecond() as f64 / 1000.0)
}

fn metadata(account: &str, key: &KmsKey) -> Value {
    let mut metadata = json!({
        "AWSAccountId": account,
        "KeyId": key.id,
        "Arn": key.arn,
        "CreationDate": seconds(key.created),
        "Enabled": key.state == "Enabled",
        "Description": key.description,
        "KeyUsage": key.usage,
        "KeyState": key.state,
        "Origin": "AWS_KMS",
        "KeyManager": key.manager,
        "CustomerMasterKeySpec": key.spec,
        "KeySpec": key.spec,
        "MultiRegion": key.multi_region,
    });
    if let Some(object) = metadata.as_object_mut() {
        if key.usage == "ENCRYPT_DECRYPT" {
            object.insert("EncryptionAlgorithms".to_owned(), json!([key.spec]));
        }
        if key.state == "PendingDeletion" {
            // A scenario may begin with such a key and give no date.
            let date = key.deletion.unwrap_or_else(|| plus(key.created, 30 * DAY));
            object.insert("DeletionDate".to_owned(), seconds(date));
        }
    }
    metadata
}
