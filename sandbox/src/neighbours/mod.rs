//! The services beside RDS that its callers ask: who else there is, where, with which secrets and numbers.

pub(crate) mod cloudwatch;
pub(crate) mod ec2;
pub(crate) mod iam;
pub(crate) mod organizations;
pub(crate) mod policy;
pub(crate) mod secrets;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use self::policy::{Ask, Decision, Policy};
use crate::fault::matches;
use crate::rds::error::ApiError;
use crate::rds::state::{Password, Scope};
use crate::wire::{Received, Service};

/// What a principal may do: patterns of actions such as `rds:Describe*`. An explicit deny wins; without an
/// allow list everything else is allowed. Where there is a policy document, it must allow it too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Permissions {
    pub(crate) allow: Vec<String>,
    pub(crate) deny: Vec<String>,
    pub(crate) policy: Option<Policy>,
}

impl Permissions {
    pub(crate) fn denies(&self, action: &str) -> bool {
        self.deny.iter().any(|pattern| matches(pattern, action))
    }

    pub(crate) fn decide(&self, ask: &Ask) -> Decision {
        if self.denies(&ask.action) {
            return Decision::ExplicitDeny;
        }
        if !self.allow(&ask.action) {
            return Decision::ImplicitDeny;
        }
        match &self.policy {
            None => Decision::Allowed,
            Some(policy) => policy.decide(ask),
        }
    }

    pub(crate) fn allow(&self, action: &str) -> bool {
        !self.denies(action)
            && (self.allow.is_empty() || self.allow.iter().any(|pattern| matches(pattern, action)))
    }
}

/// A role that can be assumed.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) account: String,
    pub(crate) name: String,
    /// Must be sent when it is set.
    pub(crate) external_id: Option<String>,
    /// How long its sessions last, whatever was asked for.
    pub(crate) session_seconds: Option<u32>,
    /// Accounts that may assume it; empty for all.
    pub(crate) trusted: Vec<String>,
    pub(crate) permissions: Permissions,
}

/// A secret of a user.
#[derive(Debug, Clone)]
pub(crate) struct Secret {
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) value: Password,
    /// Key reference, if it is not AWS's own.
    pub(crate) kms_key: Option<String>,
}

/// What the neighbours know.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    /// Opt-in regions that an account has enabled.
    pub(crate) opted_in: BTreeSet<(String, String)>,
    /// When an account lists none, every name is a role of it.
    pub(crate) roles: Vec<Role>,
    pub(crate) organization: Option<organizations::Organization>,
    pub(crate) secrets: BTreeMap<Scope, Vec<Secret>>,
    pub(crate) alarms: BTreeMap<Scope, Vec<cloudwatch::Alarm>>,
    pub(crate) metrics: BTreeMap<Scope, Vec<cloudwatch::Metric>>,
}

impl Neighbours {
    pub(crate) fn is_opted_in(&self, account: &str, region: &str) -> bool {
        self.opted_in
            .contains(&(account.to_owned(), region.to_owned()))
    }
}

/// Whether a call leaves everything as it is, so that it need not be remembered.
pub(crate) fn only_reads(received: &Received) -> bool {
    let action = received.action.as_str();
    let reads = ["Describe", "List", "Get", "Simulate"]
        .iter()
        .any(|prefix| action.starts_with(prefix));
    match received.service {
        // Describing an AWS-managed key makes it.
        Service::Kms => reads && action != "DescribeKey",
        Service::Rds | Service::Sts => reads,
        Service::Account
        | Service::Organizations
        | Service::Ec2
        | Service::SecretsManager
        | Service::CloudWatch
        | Service::Iam => true,
    }
}

/// Cuts a page out of a list, by the member names of a limit and a token; tokens are opaque. `refuse` says
/// how the service refuses one of the two.
pub(crate) fn page(
    all: Vec<Value>,
    body: &Value,
    (limit, token): (&str, &str),
    usual: usize,
    most: usize,
    refuse: impl Fn(&str) -> ApiError,
) -> Result<(Vec<Value>, Option<String>), ApiError> {
    let size = match body.get(limit) {
        None | Some(Value::Null) => usual,
        Some(number) => number
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .filter(|number| (1..=most).contains(number))
            .ok_or_else(|| refuse(limit))?,
    };
    let start = match body.get(token).and_then(Value::as_str) {
        None => 0,
        Some(text) => position(text).ok_or_else(|| refuse(token))?,
    };
    let total = all.len();
    let items: Vec<Value> = all.into_iter().skip(start).take(size).collect();
    let end = start.saturating_add(items.len());
    Ok((items, (end < total).then(|| dressed(end))))
}

/// A position that nobody is tempted to count with.
pub(crate) fn dressed(position: usize) -> String {
    format!("AAQA{:016x}==", (position as u64) ^ 0x0ddb_a115_ca1e_d00d)
}

/// What [`dressed`] made.
pub(crate) fn position(token: &str) -> Option<usize> {
    let hex = token.strip_prefix("AAQA")?.strip_suffix("==")?;
    let position = u64::from_str_radix(hex, 16).ok()? ^ 0x0ddb_a115_ca1e_d00d;
    usize::try_from(position)
        .ok()
        .filter(|position| *position < 10_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deny_wins_over_an_allow() {
        let permissions = Permissions {
            allow: vec!["rds:*".to_owned(), "kms:Describe*".to_owned()],
            deny: vec!["rds:Delete*".to_owned()],
            policy: None,
        };
        assert!(permissions.allow("rds:ModifyDBInstance"));
        assert!(permissions.allow("kms:DescribeKey"));
        assert!(!permissions.allow("rds:DeleteDBInstance"));
        assert!(!permissions.allow("kms:CreateGrant"));
        assert!(Permissions::default().allow("anything:AtAll"));
    }

    #[test]
    fn a_token_that_was_not_given_out_is_refused() {
        assert_eq!(position(&dressed(42)), Some(42));
        for token in ["", "42", "AAQA==", "AAQAzz==", "AAQAffffffffffffffff=="] {
            assert_eq!(position(token), None, "{token}");
        }
    }
}
