//! STS: who am I, and becoming somebody else in another account.

use crate::clock::plus;
use crate::neighbours::Permissions;
use crate::rds::error::ApiError;
use crate::rds::params::Params;
use crate::rds::state::Password;
use crate::rds::xml::Xml;
use crate::world::{Account, World};

/// Namespace of every answer.
pub(crate) const XMLNS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// Carries out an action; the answer is the inside of its result element.
pub(crate) fn dispatch(
    world: &mut World,
    caller: &Account,
    action: &str,
    params: &Params,
) -> Result<String, ApiError> {
    let mut xml = Xml::new();
    match action {
        "GetCallerIdentity" => {
            xml.value("Arn", &caller.principal);
            xml.value(
                "UserId",
                if caller.principal.contains(":assumed-role/") {
                    "AROASANDBOX:session"
                } else {
                    "AIDASANDBOXUSER"
                },
            );
            xml.value("Account", &caller.id);
        }
        "AssumeRole" => assume_role(world, caller, params, &mut xml)?,
        _ => {
            return Err(ApiError::new(
                "InvalidAction",
                format!("Could not find operation {action} for version 2011-06-15"),
            ));
        }
    }
    Ok(xml.into_string())
}

/// `AssumeRole`. An account that lists roles has those and no others; its keys must be trusted, and the
/// external id must be the role's. The new keys authenticate as the role's account.
fn assume_role(
    world: &mut World,
    caller: &Account,
    params: &Params,
    xml: &mut Xml,
) -> Result<(), ApiError> {
    let missing = |name: &str| {
        ApiError::new(
            "ValidationError",
            format!(
                "1 validation error detected: Value null at '{name}' failed to satisfy constraint: Member must not be null"
            ),
        )
    };
    let arn = params.text("RoleArn").ok_or_else(|| missing("roleArn"))?;
    let session = params
        .text("RoleSessionName")
        .ok_or_else(|| missing("roleSessionName"))?;
    if !(2..=64).contains(&session.len())
        || !session
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
    {
        return Err(ApiError::new(
            "ValidationError",
            "1 validation error detected: Value at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*",
        ));
    }
    let seconds = params.integer("DurationSeconds")?.unwrap_or(3600);
    if !(900..=43_200).contains(&seconds) {
        return Err(ApiError::new(
            "ValidationError",
            "The requested DurationSeconds must be from 900 to 43200.",
        ));
    }
    let invalid = || ApiError::new("ValidationError", format!("{arn} is invalid"));
    let account = arn.split(':').nth(4).ok_or_else(invalid)?.to_owned();
    let (_, path) = arn.split_once(":role/").ok_or_else(invalid)?;
    let name = path.rsplit('/').next().unwrap_or(path).to_owned();
    // Whether the role does not exist, does not trust the caller or wants another external id: STS does not
    // tell these apart.
    let denied = || {
        ApiError::new(
            "AccessDenied",
            format!(
                "User: {} is not authorized to perform: sts:AssumeRole on resource: {arn}",
                caller.principal
            ),
        )
    };
    if !world.accounts.iter().any(|known| known.id == account) {
        return Err(denied());
    }
    let mut roles = world
        .neighbours
        .roles
        .iter()
        .filter(|role| role.account == account)
        .peekable();
    let (permissions, seconds) = if roles.peek().is_none() {
        (Permissions::default(), seconds)
    } else {
        let role = roles.find(|role| role.name == name).ok_or_else(denied)?;
        let external_id = params.text("ExternalId");
        if (role.external_id.is_some() && role.external_id != external_id)
            || !(role.trusted.is_empty() || role.trusted.contains(&caller.id))
        {
            return Err(denied());
        }
        let seconds = role.session_seconds.map_or(seconds, i64::from);
        (role.permissions.clone(), seconds)
    };
    // Temporary credentials expire by the caller's clock, which is the real one.
    let expires = plus(jiff::Timestamp::now(), seconds);
    let key = format!("assume/{arn}/{session}");
    let access_key_id = format!(
        "ASIA{}",
        world
            .dice
            .word(&key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)
    );
    let letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let secret = world.dice.word(&key, letters, 32);
    let token = world.dice.word(&key, letters, 32);
    let principal = format!("arn:aws:sts::{account}:assumed-role/{name}/{session}");
    world.accounts.push(Account {
        id: account,
        access_key_id: access_key_id.clone(),
        secret_access_key: Some(Password(secret.clone())),
        principal: principal.clone(),
        session_token: Some(Password(token.clone())),
        expires: Some(expires),
        permissions,
    });
    xml.element("Credentials", |xml| {
        xml.value("AccessKeyId", &access_key_id);
        xml.value("SecretAccessKey", &secret);
        xml.value("SessionToken", &token);
        xml.time("Expiration", expires);
    });
    xml.element("AssumedRoleUser", |xml| {
        xml.value("AssumedRoleId", format_args!("AROASANDBOX:{session}"));
        xml.value("Arn", &principal);
    });
    Ok(())
}
