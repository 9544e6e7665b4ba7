//! STS: who am I, and becoming somebody else in another account.

use crate::clock::plus;
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
        "AssumeRole" => assume_role(world, params, &mut xml)?,
        _ => {
            return Err(ApiError::new(
                "InvalidAction",
                format!("Could not find operation {action} for version 2011-06-15"),
            ));
        }
    }
    Ok(xml.into_string())
}

fn assume_role(world: &mut World, params: &Params, xml: &mut Xml) -> Result<(), ApiError> {
    let role = params.required("RoleArn")?;
    let session = params.required("RoleSessionName")?;
    let seconds = params.integer("DurationSeconds")?.unwrap_or(3600);
    let invalid = || ApiError::new("ValidationError", format!("{role} is invalid"));
    let account = role.split(':').nth(4).ok_or_else(invalid)?.to_owned();
    let name = role.rsplit_once("role/").ok_or_else(invalid)?.1.to_owned();
    if !world.accounts.iter().any(|known| known.id == account) {
        return Err(ApiError::new(
            "AccessDenied",
            format!("User is not authorized to perform: sts:AssumeRole on resource: {role}"),
        ));
    }
    let key = format!("assume/{role}/{session}");
    let access_key_id = format!(
        "ASIA{}",
        world
            .dice
            .word(&key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)
    );
    let secret = world.dice.word(
        &key,
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
        32,
    );
    let principal = format!("arn:aws:sts::{account}:assumed-role/{name}/{session}");
    world.accounts.push(Account {
        id: account,
        access_key_id: access_key_id.clone(),
        secret_access_key: Some(Password(secret.clone())),
        principal: principal.clone(),
    });
    // Temporary credentials expire by the caller's clock, which is the real one.
    let expires = plus(jiff::Timestamp::now(), seconds);
    xml.element("Credentials", |xml| {
        xml.value("AccessKeyId", &access_key_id);
        xml.value("SecretAccessKey", &secret);
        xml.value("SessionToken", format_args!("sandbox-{access_key_id}"));
        xml.time("Expiration", expires);
    });
    xml.element("AssumedRoleUser", |xml| {
        xml.value("AssumedRoleId", format_args!("AROASANDBOX:{session}"));
        xml.value("Arn", &principal);
    });
    Ok(())
}
