//! What the caller may do, as IAM itself says: `SimulatePrincipalPolicy`, which carries nothing out.

use aws_config::Region;
use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, PolicyEvaluationDecisionType};

use super::{Aws, Identity};
use crate::error::{AwsError, AwsErrorKind};

/// One action, on some resources, under some conditions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// Such as `rds:ModifyDBInstance`.
    pub action: String,
    /// ARNs.
    pub resources: Vec<String>,
    /// Condition keys with the values that the real call will have.
    pub context: Vec<(String, String)>,
}

/// What IAM says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Allowed.
    Allowed,
    /// A statement denies it.
    ExplicitDeny,
    /// No statement allows it.
    ImplicitDeny,
}

/// IAM's answer for one action on one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The action.
    pub action: String,
    /// The resource.
    pub resource: String,
    /// The answer.
    pub decision: Decision,
    /// Condition keys that policies ask for and that were not given: the real call may be decided otherwise.
    pub missing_context: Vec<String>,
}

impl Aws {
    fn iam(&self) -> (aws_sdk_iam::Client, &str) {
        let region = self.region_or_fallback();
        let config = aws_sdk_iam::config::Builder::from(&self.config)
            .region(Region::new(region.to_owned()))
            .build();
        (aws_sdk_iam::Client::from_conf(config), region)
    }

    /// The ARN whose policies decide what the caller may do: a user's own; for the session of a role the role's.
    /// The session's ARN lacks the role's path, so the role is looked up (`GetRole`); if that is not possible, a role
    /// without a path is assumed. `None` for callers that IAM cannot simulate, such as the root user.
    pub async fn principal_arn(&self, identity: &Identity) -> Option<String> {
        let principal = principal_of(&identity.arn)?;
        let Principal::Role { partition, name } = principal else {
            return Some(identity.arn.clone());
        };
        let (client, _) = self.iam();
        let answer = client.get_role().role_name(&name).send().await;
        let known = answer
            .ok()
            .and_then(|answer| answer.role().map(|role| role.arn().to_owned()));
        Some(
            known.unwrap_or_else(|| {
                format!("arn:{partition}:iam::{}:role/{name}", identity.account)
            }),
        )
    }

    /// `iam:SimulatePrincipalPolicy`: one call for an action and all its resources.
    ///
    /// # Errors
    ///
    /// Any failure of the call; most often the caller may not simulate.
    pub async fn simulate(
        &self,
        principal: &str,
        question: &Question,
    ) -> Result<Vec<Decided>, AwsError> {
        const OPERATION: &str = "SimulatePrincipalPolicy";
        let (client, region) = self.iam();
        let context = question.context.iter().map(|(key, value)| {
            let kind = if value == "true" || value == "false" {
                ContextKeyTypeEnum::Boolean
            } else {
                ContextKeyTypeEnum::String
            };
            ContextEntry::builder()
                .context_key_name(key)
                .context_key_type(kind)
                .context_key_values(value)
                .build()
        });
        let mut pages = client
            .simulate_principal_policy()
            .policy_source_arn(principal)
            .action_names(&question.action)
            .set_resource_arns(Some(question.resources.clone()))
            .set_context_entries(Some(context.collect()))
            .into_paginator()
            .send();
        let mut decided = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| {
                let mut error = AwsError::from_sdk(OPERATION, region, &e);
                if error.code.as_deref() == Some("NoSuchEntity") {
                    error.kind = AwsErrorKind::NotFound;
                }
                error
            })?;
            for result in page.evaluation_results() {
                let missing = result.missing_context_values().to_vec();
                // IAM answers for each pair, or for the action with one entry a resource.
                let specific = result.resource_specific_results();
                if specific.is_empty() {
                    decided.push(Decided {
                        action: result.eval_action_name().to_owned(),
                        resource: result.eval_resource_name().unwrap_or("*").to_owned(),
                        decision: decision(result.eval_decision()),
                        missing_context: missing,
                    });
                    continue;
                }
                for one in specific {
                    let mut missing = missing.clone();
                    missing.extend_from_slice(one.missing_context_values());
                    decided.push(Decided {
                        action: result.eval_action_name().to_owned(),
                        resource: one.eval_resource_name().to_owned(),
                        decision: decision(one.eval_resource_decision()),
                        missing_context: missing,
                    });
                }
            }
        }
        if decided.is_empty() {
            return Err(AwsError::bad_answer(OPERATION, region, "no decision in it"));
        }
        Ok(decided)
    }
}

fn decision(decision: &PolicyEvaluationDecisionType) -> Decision {
    match decision {
        PolicyEvaluationDecisionType::Allowed => Decision::Allowed,
        PolicyEvaluationDecisionType::ExplicitDeny => Decision::ExplicitDeny,
        // What is new to this version is not taken for an allowance.
        _ => Decision::ImplicitDeny,
    }
}

/// Who a caller's ARN is about.
#[derive(Debug, PartialEq, Eq)]
enum Principal {
    User,
    Role { partition: String, name: String },
}

fn principal_of(arn: &str) -> Option<Principal> {
    let mut parts = arn.splitn(6, ':');
    let (_, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (_, _, resource) = (parts.next()?, parts.next()?, parts.next()?);
    let role = |name: &str| Principal::Role {
        partition: partition.to_owned(),
        name: name.to_owned(),
    };
    match (service, resource.split_once('/')?) {
        ("iam", ("user", _)) => Some(Principal::User),
        ("iam", ("role", path)) => path.rsplit('/').next().map(role),
        ("sts", ("assumed-role", rest)) => rest.split('/').next().map(role),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_stands_for_its_role_and_root_for_nobody() {
        let role = |partition: &str, name: &str| {
            Some(Principal::Role {
                partition: partition.to_owned(),
                name: name.to_owned(),
            })
        };
        for (arn, expected) in [
            ("arn:aws:iam::1:user/team/dbre", Some(Principal::User)),
            (
                "arn:aws:sts::1:assumed-role/night/session-4",
                role("aws", "night"),
            ),
            (
                "arn:aws-cn:sts::1:assumed-role/night/a@b.example",
                role("aws-cn", "night"),
            ),
            ("arn:aws:iam::1:role/path/night", role("aws", "night")),
            ("arn:aws:iam::1:root", None),
            ("arn:aws:sts::1:federated-user/x", None),
            ("nonsense", None),
        ] {
            assert_eq!(principal_of(arn), expected, "{arn}");
        }
    }
}
