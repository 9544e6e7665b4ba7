//! IAM: what a principal may do, and the roles. Query protocol.

use std::collections::BTreeMap;

use crate::rds::error::ApiError;
use crate::rds::params::Params;
use crate::rds::xml::Xml;
use crate::wire::error;
use crate::world::{Account, World};

use super::Permissions;
use super::policy::{Ask, Decision};

/// Namespace of every answer.
pub(crate) const XMLNS: &str = "https://iam.amazonaws.com/doc/2010-05-08/";

/// Carries out an action; the answer is the inside of its result element.
pub(crate) fn dispatch(
    world: &World,
    caller: &Account,
    action: &str,
    params: &Params,
) -> Result<String, ApiError> {
    match action {
        "SimulatePrincipalPolicy" => simulate(world, caller, params),
        "GetRole" => get_role(world, caller, params),
        _ => Err(error(
            400,
            "InvalidAction",
            format!("Could not find operation {action} for version 2010-05-08"),
        )),
    }
}

fn no_entity(what: &str) -> ApiError {
    error(404, "NoSuchEntity", what)
}

/// Says of each action and resource whether it is allowed, under the context that is given.
fn simulate(world: &World, caller: &Account, params: &Params) -> Result<String, ApiError> {
    let source = params
        .text("PolicySourceArn")
        .ok_or_else(|| validation("policySourceArn must not be null"))?;
    let actions = params
        .list("ActionNames")
        .filter(|actions| !actions.is_empty())
        .ok_or_else(|| validation("actionNames must not be null"))?;
    if let Some(bad) = actions.iter().find(|action| !action.contains(':')) {
        return Err(error(400, "InvalidInput", format!("Invalid Action: {bad}")));
    }
    let resources = params
        .list("ResourceArns")
        .filter(|resources| !resources.is_empty())
        .unwrap_or_else(|| vec!["*".to_owned()]);
    let permissions = permissions(world, caller, &source)?;
    let context: BTreeMap<String, String> = params
        .structures("ContextEntries")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let value = entry.list("ContextKeyValues")?.into_iter().next()?;
            Some((entry.text("ContextKeyName")?.to_ascii_lowercase(), value))
        })
        .collect();
    let all: Vec<Ask> = actions
        .iter()
        .flat_map(|action| resources.iter().map(move |resource| (action, resource)))
        .map(|(action, resource)| Ask {
            context: context.clone(),
            ..Ask::new(action, resource)
        })
        .collect();
    let most = params.integer("MaxItems")?.unwrap_or(100);
    if !(1..=1000).contains(&most) {
        return Err(validation("maxItems must be between 1 and 1000"));
    }
    let start = match params.text("Marker") {
        None => 0,
        Some(marker) => {
            super::position(&marker).ok_or_else(|| validation("marker is not valid"))?
        }
    };
    let most = usize::try_from(most).unwrap_or(100);
    let end = start.saturating_add(most).min(all.len());
    let mut xml = Xml::new();
    xml.value("IsTruncated", end < all.len());
    xml.list(
        "EvaluationResults",
        "member",
        all.iter().skip(start).take(most),
        |xml, ask| {
            let decision = match permissions.decide(ask) {
                Decision::Allowed => "allowed",
                Decision::ExplicitDeny => "explicitDeny",
                Decision::ImplicitDeny => "implicitDeny",
            };
            let policy = permissions.policy.iter();
            let missing: Vec<&str> = policy.flat_map(|policy| policy.missing(ask)).collect();
            xml.value("EvalActionName", &ask.action);
            xml.value("EvalResourceName", &ask.resource);
            xml.value("EvalDecision", decision);
            xml.element("MatchedStatements", |_| {});
            xml.values("MissingContextValues", "member", missing);
        },
    );
    if end < all.len() {
        xml.value("Marker", super::dressed(end));
    }
    Ok(xml.into_string())
}

/// What the user or role of an ARN may do.
fn permissions(world: &World, caller: &Account, arn: &str) -> Result<Permissions, ApiError> {
    let account = arn.split(':').nth(4).unwrap_or_default();
    if !arn.starts_with("arn:") || (!arn.contains(":user/") && !arn.contains(":role/")) {
        return Err(error(
            400,
            "InvalidInput",
            format!("Invalid Entity Arn: {arn} does not clearly define entity type and name."),
        ));
    }
    if account != caller.id {
        return Err(no_entity(&format!("The entity {arn} cannot be found.")));
    }
    if let Some(user) = world
        .accounts
        .iter()
        .find(|account| account.principal == arn)
    {
        return Ok(user.permissions.clone());
    }
    let name = arn.rsplit('/').next().unwrap_or_default();
    let is_role = arn.contains(":role/");
    let roles: Vec<_> = world
        .neighbours
        .roles
        .iter()
        .filter(|role| role.account == account)
        .collect();
    match roles.iter().find(|role| is_role && role.name == name) {
        Some(role) => Ok(role.permissions.clone()),
        // An account that lists no roles has them all.
        None if is_role && roles.is_empty() => Ok(Permissions::default()),
        None => Err(no_entity(&format!("The entity {arn} cannot be found."))),
    }
}

fn get_role(world: &World, caller: &Account, params: &Params) -> Result<String, ApiError> {
    let name = params
        .text("RoleName")
        .ok_or_else(|| validation("roleName must not be null"))?;
    let known = |role: &&super::Role| role.account == caller.id;
    let role = world
        .neighbours
        .roles
        .iter()
        .filter(known)
        .find(|role| role.name == name)
        .ok_or_else(|| no_entity(&format!("The role with name {name} cannot be found.")))?;
    let mut xml = Xml::new();
    xml.element("Role", |xml| {
        xml.value("Path", "/");
        xml.value("RoleName", &role.name);
        xml.value("RoleId", format_args!("AROA{:0>17}", role.account));
        xml.value(
            "Arn",
            format_args!("arn:aws:iam::{}:role/{}", role.account, role.name),
        );
        xml.time("CreateDate", world.clock.start());
        xml.value("AssumeRolePolicyDocument", trust(role));
        xml.value("MaxSessionDuration", 3600);
    });
    Ok(xml.into_string())
}

/// The trust policy, percent-encoded as IAM gives it.
fn trust(role: &super::Role) -> String {
    let trusted: Vec<String> = role
        .trusted
        .iter()
        .map(|account| format!("arn:aws:iam::{account}:root"))
        .collect();
    let mut statement = serde_json::json!({
        "Effect": "Allow",
        "Principal": { "AWS": if trusted.is_empty() { vec!["*".to_owned()] } else { trusted } },
        "Action": "sts:AssumeRole",
    });
    if let (Some(id), Some(object)) = (&role.external_id, statement.as_object_mut()) {
        object.insert(
            "Condition".to_owned(),
            serde_json::json!({ "StringEquals": { "sts:ExternalId": id } }),
        );
    }
    let document = serde_json::json!({ "Version": "2012-10-17", "Statement": [statement] });
    // In a form a space becomes a plus, which is no percent-encoding.
    form_urlencoded::byte_serialize(document.to_string().as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

fn validation(message: &str) -> ApiError {
    error(400, "ValidationError", message)
}
