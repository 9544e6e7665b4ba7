//! KMS, as far as RDS and its callers need it: JSON 1.1, `TrentService`.
//!
//! What RDS asks of a key stands here, the operations in `operations`, and what becomes of instances whose
//! key is out of reach in `outage`.

mod operations;
pub(crate) mod outage;

use jiff::Timestamp;

use crate::rds::error::ApiError;
use crate::rds::state::{Grant, KmsKey, Scope};
use crate::world::World;

pub(crate) use self::operations::dispatch;

/// What RDS lets itself be granted on a customer key.
const RDS_OPERATIONS: [&str; 8] = [
    "Decrypt",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
    "CreateGrant",
    "DescribeKey",
];

/// The ARN of a key that RDS can use: symmetric, enabled, in this region. AWS-managed keys come into being
/// on first use. RDS makes itself a grant on a customer key.
pub(crate) fn usable_by_rds(
    world: &mut World,
    scope: &Scope,
    reference: &str,
) -> Result<String, ApiError> {
    ensure_managed(world, scope, reference);
    let now = world.clock.now();
    let region = world.region_mut(scope);
    let Some(id) = region.key(reference).map(|key| key.id.clone()) else {
        return Err(ApiError::key(reference));
    };
    let Some(key) = region.key_mut(&id) else {
        return Err(ApiError::key(reference));
    };
    if key.state != "Enabled" || key.spec != "SYMMETRIC_DEFAULT" || key.usage != "ENCRYPT_DECRYPT" {
        return Err(ApiError::key(&key.arn));
    }
    if key.manager == "CUSTOMER" {
        let grant = Grant {
            id: format!("rds-{}", key.grants.len()),
            name: String::new(),
            grantee: format!("rds.{}.amazonaws.com", scope.region),
            issuer: scope.account.clone(),
            operations: RDS_OPERATIONS.map(str::to_owned).to_vec(),
            created: now,
        };
        key.grants.push(grant);
    }
    Ok(key.arn.clone())
}

/// Whether the key of an existing resource still opens it.
pub(crate) fn check_readable(world: &mut World, scope: &Scope, arn: &str) -> Result<(), ApiError> {
    match world.region_mut(scope).key(arn) {
        Some(key) if key.is_usable() => Ok(()),
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
    let created = world.clock.start();
    let mut key = new_key(world, scope, alias, created);
    manager.clone_into(&mut key.manager);
    state.clone_into(&mut key.state);
    description.clone_into(&mut key.description);
    let (id, arn) = (key.id.clone(), key.arn.clone());
    let region = world.region_mut(scope);
    region.keys.push(key);
    region.aliases.insert(alias.to_owned(), id);
    arn
}

/// An enabled symmetric customer key without an alias. Its id is drawn under `word`.
fn new_key(world: &mut World, scope: &Scope, word: &str, created: Timestamp) -> KmsKey {
    let hex = world.dice.word(
        &format!("key/{}/{}/{word}", scope.account, scope.region),
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
    KmsKey {
        arn: format!(
            "arn:{}:kms:{}:{}:key/{id}",
            scope.partition(),
            scope.region,
            scope.account
        ),
        id,
        manager: "CUSTOMER".to_owned(),
        state: "Enabled".to_owned(),
        spec: "SYMMETRIC_DEFAULT".to_owned(),
        usage: "ENCRYPT_DECRYPT".to_owned(),
        multi_region: false,
        description: String::new(),
        created,
        grants: Vec::new(),
        deletion: None,
    }
}
