//! KMS, as far as RDS and its callers need it: JSON 1.1, `TrentService`.

use serde_json::{Value, json};

use crate::rds::error::ApiError;
use crate::rds::state::{KmsKey, Scope};
use crate::world::World;

/// The ARN of a key that RDS can use: symmetric, enabled, in this region. AWS-managed keys come into being
/// on first use. RDS makes itself a grant on a customer key.
pub(crate) fn usable_by_rds(
    world: &mut World,
    scope: &Scope,
    reference: &str,
) -> Result<String, ApiError> {
    ensure_managed(world, scope, reference);
    let region = world.region_mut(scope);
    let Some(id) = region.key(reference).map(|key| key.id.clone()) else {
        return Err(ApiError::key(reference));
    };
    let Some(key) = region.keys.iter_mut().find(|key| key.id == id) else {
        return Err(ApiError::key(reference));
    };
    if key.state != "Enabled" || key.spec != "SYMMETRIC_DEFAULT" || key.usage != "ENCRYPT_DECRYPT" {
        return Err(ApiError::key(&key.arn));
    }
    if key.manager == "CUSTOMER" {
        key.grants.push(format!("rds-{}", key.grants.len()));
    }
    Ok(key.arn.clone())
}

/// Whether the key of an existing resource still opens it.
pub(crate) fn check_readable(world: &mut World, scope: &Scope, arn: &str) -> Result<(), ApiError> {
    match world.region_mut(scope).key(arn) {
        Some(key) if key.state == "Enabled" => Ok(()),
        _ => Err(ApiError::new(
            "KMSKeyNotAccessibleFault",
            format!(
                "The source snapshot KMS key [{arn}] does not exist, is not enabled or you do not have permissions to access it."
            ),
        )),
    }
}

/// Makes an AWS-managed key when its alias is first named.
pub(crate) fn ensure_managed(world: &mut World, scope: &Scope, reference: &str) {
    let alias = reference
        .rsplit_once(":alias/")
        .map_or_else(|| reference.to_owned(), |(_, name)| format!("alias/{name}"));
    if alias.starts_with("alias/aws/") && world.region_mut(scope).key(&alias).is_none() {
        let service = alias.trim_start_matches("alias/aws/").to_owned();
        create(
            world,
            scope,
            &alias,
            "AWS",
            "Enabled",
            &format!("Default key that protects my {service} data when no other key is defined"),
        );
    }
}

/// Makes a key with an alias; the key id follows from the seed.
pub(crate) fn create(
    world: &mut World,
    scope: &Scope,
    alias: &str,
    manager: &str,
    state: &str,
    description: &str,
) -> String {
    let hex = world.dice.word(
        &format!("key/{}/{}/{alias}", scope.account, scope.region),
        "0123456789abcdef",
        32,
    );
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    let id = format!(
        "{}-{}-4{}-a{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    );
    let arn = format!(
        "arn:{}:kms:{}:{}:key/{id}",
        scope.partition(),
        scope.region,
        scope.account
    );
    let created = world.clock.start();
    let region = world.region_mut(scope);
    region.keys.push(KmsKey {
        id: id.clone(),
        arn: arn.clone(),
        manager: manager.to_owned(),
        state: state.to_owned(),
        spec: "SYMMETRIC_DEFAULT".to_owned(),
        usage: "ENCRYPT_DECRYPT".to_owned(),
        multi_region: false,
        description: description.to_owned(),
        created,
        grants: Vec::new(),
    });
    region.aliases.insert(alias.to_owned(), id);
    arn
}

/// Carries out an action.
pub(crate) fn dispatch(
    world: &mut World,
    scope: &Scope,
    action: &str,
    body: &Value,
) -> Result<Value, ApiError> {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    match action {
        "DescribeKey" => {
            let reference = required(text("KeyId"), "KeyId")?;
            ensure_managed(world, scope, reference);
            let account = scope.account.clone();
            let key = find(world, scope, reference)?;
            Ok(json!({ "KeyMetadata": metadata(&account, key) }))
        }
        "ListKeys" => {
            let region = world.region_mut(scope);
            let keys: Vec<Value> = region
                .keys
                .iter()
                .map(|key| json!({ "KeyId": key.id, "KeyArn": key.arn }))
                .collect();
            Ok(json!({ "Keys": keys, "Truncated": false }))
        }
        "ListAliases" => {
            let wanted = match text("KeyId") {
                Some(reference) => Some(find(world, scope, reference)?.id.clone()),
                None => None,
            };
            let (partition, account, place) = (scope.partition(), &scope.account, &scope.region);
            let aliases: Vec<Value> = world
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
            Ok(json!({ "Aliases": aliases, "Truncated": false }))
        }
        "CreateGrant" => {
            let reference = required(text("KeyId"), "KeyId")?;
            required(text("GranteePrincipal"), "GranteePrincipal")?;
            let id = find(world, scope, reference)?.id.clone();
            let token = world
                .dice
                .word(&format!("grant/{id}"), "0123456789abcdef", 32);
            let key = world
                .region_mut(scope)
                .keys
                .iter_mut()
                .find(|key| key.id == id);
            let Some(key) = key else {
                return Err(not_found(reference));
            };
            match key.state.as_str() {
                "Enabled" => {
                    key.grants.push(token.clone());
                    Ok(json!({ "GrantId": token, "GrantToken": token }))
                }
                "Disabled" => Err(ApiError::new(
                    "DisabledException",
                    format!("{} is disabled.", key.arn),
                )),
                state => Err(ApiError::new(
                    "KMSInvalidStateException",
                    format!("{} is {state}.", key.arn),
                )),
            }
        }
        _ => Err(ApiError::new(
            "UnknownOperationException",
            format!("Unknown operation: {action}"),
        )),
    }
}

fn required<'a>(value: Option<&'a str>, name: &str) -> Result<&'a str, ApiError> {
    value.ok_or_else(|| ApiError::new("ValidationException", format!("{name} must not be null")))
}

fn not_found(reference: &str) -> ApiError {
    let what = if reference.contains("alias/") {
        "Alias"
    } else {
        "Key"
    };
    ApiError::new(
        "NotFoundException",
        format!("{what} '{reference}' does not exist"),
    )
}

fn find<'a>(world: &'a mut World, scope: &Scope, reference: &str) -> Result<&'a KmsKey, ApiError> {
    world
        .region_mut(scope)
        .key(reference)
        .ok_or_else(|| not_found(reference))
}

fn metadata(account: &str, key: &KmsKey) -> Value {
    let mut metadata = json!({
        "AWSAccountId": account,
        "KeyId": key.id,
        "Arn": key.arn,
        "CreationDate": key.created.as_second(),
        "Enabled": key.state == "Enabled",
        "Description": key.description,
        "KeyUsage": key.usage,
        "KeyState": key.state,
        "Origin": "AWS_KMS",
        "KeyManager": key.manager,
        "CustomerMasterKeySpec": key.spec,
        "KeySpec": key.spec,
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": key.multi_region,
    });
    if key.state == "PendingDeletion"
        && let Some(object) = metadata.as_object_mut()
    {
        object.insert(
            "DeletionDate".to_owned(),
            json!(key.created.as_second() + 30 * 86_400),
        );
    }
    metadata
}
