//! Secrets Manager: values of secrets, those that RDS keeps for master users included. JSON 1.1.

use serde_json::{Value, json};

use crate::rds::error::ApiError;
use crate::rds::state::{DbInstance, Region, Scope};
use crate::world::World;

/// Carries out an action.
pub(crate) fn dispatch(
    world: &mut World,
    scope: &Scope,
    action: &str,
    body: &Value,
) -> Result<Value, ApiError> {
    if action != "GetSecretValue" {
        return Err(ApiError::new("UnknownOperationException", ""));
    }
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let id = text("SecretId")
        .filter(|id| !id.is_empty())
        .ok_or_else(|| {
            ApiError::new(
                "ValidationException",
                "1 validation error detected: Value null at 'secretId' failed to satisfy constraint: Member must not be null",
            )
        })?;
    let missing = |what: &str| ApiError::new("ResourceNotFoundException", what.to_owned());
    let absent = "Secrets Manager can't find the specified secret.";
    let secrets = world.neighbours.secrets.get(scope).cloned();
    let own = secrets
        .into_iter()
        .flatten()
        .find(|secret| names(&secret.arn, &secret.name, id));
    world.region_mut(scope);
    let created = world.clock.start();
    let region = world.region_mut(scope);
    let (arn, name, value, key) = match own {
        Some(secret) => (secret.arn, secret.name, secret.value.0, secret.kms_key),
        None => {
            let (instance, arn, name, key) = managed(region, id).ok_or_else(|| missing(absent))?;
            // RDS's own has the user and the password and nothing of where to connect.
            let value = json!({
                "username": instance.master_username,
                "password": instance.master_password.0,
            });
            (arn, name, value.to_string(), Some(key))
        }
    };
    if let Some(key) = key
        && !region
            .key(&key)
            .is_some_and(crate::rds::state::KmsKey::is_usable)
    {
        return Err(ApiError::new(
            "DecryptionFailure",
            "Secrets Manager can't decrypt the protected secret text using the provided KMS key.",
        ));
    }
    let version = version(&arn);
    let stage = text("VersionStage").unwrap_or("AWSCURRENT");
    if stage != "AWSCURRENT" || text("VersionId").is_some_and(|wanted| wanted != version) {
        return Err(missing(&format!(
            "Secrets Manager can't find the specified secret value for staging label: {stage}"
        )));
    }
    Ok(json!({
        "ARN": arn,
        "Name": name,
        "VersionId": version,
        "SecretString": value,
        "VersionStages": ["AWSCURRENT"],
        "CreatedDate": created.as_millisecond() as f64 / 1000.0,
    }))
}

/// Whether a name, an ARN or an ARN without its random end means this secret.
fn names(arn: &str, name: &str, id: &str) -> bool {
    id == name
        || id == arn
        || arn
            .rsplit_once('-')
            .is_some_and(|(partial, _)| partial == id)
}

/// The instance whose managed secret this is, with ARN, name and key of the secret.
fn managed<'a>(region: &'a Region, id: &str) -> Option<(&'a DbInstance, String, String, String)> {
    region.instances.iter().find_map(|instance| {
        let secret = instance.managed_secret.as_ref()?;
        let name = secret_name(&secret.arn);
        names(&secret.arn, &name, id).then(|| {
            (
                instance,
                secret.arn.clone(),
                name.clone(),
                secret.kms_key.clone(),
            )
        })
    })
}

/// The name in a secret's ARN, without the six random characters at its end.
fn secret_name(arn: &str) -> String {
    let full = arn.rsplit(':').next().unwrap_or_default();
    match full.rsplit_once('-') {
        Some((name, end)) if end.len() == 6 => name.to_owned(),
        _ => full.to_owned(),
    }
}

/// A version id that stays the same for the same secret.
fn version(arn: &str) -> String {
    use sha2::{Digest as _, Sha256};
    let hash: [u8; 32] = Sha256::digest(arn.as_bytes()).into();
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(hash) {
        *to = from;
    }
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
}
