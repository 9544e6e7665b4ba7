//! Organizations: the accounts beside this one. JSON 1.1, in us-east-1 only.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{dressed, position};
use crate::rds::error::ApiError;
use crate::rds::state::Scope;
use crate::world::World;

/// An account of the organization.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) email: String,
    /// `ACTIVE`, `SUSPENDED`, `PENDING_CLOSURE`.
    pub(crate) status: String,
}

/// The organization.
#[derive(Debug, Clone)]
pub(crate) struct Organization {
    pub(crate) id: String,
    pub(crate) management: String,
    /// Accounts that may list the others beside the management account.
    pub(crate) delegated: Vec<String>,
    pub(crate) members: Vec<Member>,
    /// Accounts per page at most.
    pub(crate) page_limit: usize,
    /// Whether an empty page with a token comes before each full one, as may happen.
    pub(crate) empty_pages: bool,
    pub(crate) since: Timestamp,
}

/// Carries out an action.
pub(crate) fn dispatch(
    world: &World,
    scope: &Scope,
    action: &str,
    body: &Value,
) -> Result<Value, ApiError> {
    let known = matches!(
        action,
        "ListAccounts" | "DescribeOrganization" | "DescribeAccount"
    );
    if !known {
        return Err(ApiError::new("UnknownOperationException", ""));
    }
    let organization = world
        .neighbours
        .organization
        .as_ref()
        .filter(|organization| organization.has(&scope.account))
        .ok_or_else(|| {
            ApiError::new(
                "AWSOrganizationsNotInUseException",
                "Your account is not a member of an organization.",
            )
        })?;
    if action == "DescribeOrganization" {
        return Ok(json!({ "Organization": organization.describe() }));
    }
    if scope.account != organization.management && !organization.delegated.contains(&scope.account)
    {
        return Err(ApiError::new(
            "AccessDeniedException",
            "You don't have permissions to access this resource.",
        ));
    }
    if action == "ListAccounts" {
        return organization.list(body);
    }
    let id = body
        .get("AccountId")
        .and_then(Value::as_str)
        .filter(|id| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or_else(|| invalid("You specified an invalid value for AccountId."))?;
    organization
        .members
        .iter()
        .find(|member| member.id == id)
        .map(|member| json!({ "Account": organization.account(member) }))
        .ok_or_else(|| {
            ApiError::new(
                "AccountNotFoundException",
                "You specified an account that doesn't exist.",
            )
        })
}

fn invalid(message: &str) -> ApiError {
    ApiError::new("InvalidInputException", message)
}

impl Organization {
    fn has(&self, account: &str) -> bool {
        self.members.iter().any(|member| member.id == account)
    }

    fn account(&self, member: &Member) -> Value {
        json!({
            "Id": member.id,
            "Arn": format!("arn:aws:organizations::{}:account/{}/{}", self.management, self.id, member.id),
            "Email": member.email,
            "Name": member.name,
            "Status": member.status,
            "State": member.status,
            "JoinedMethod": if member.id == self.management { "INVITED" } else { "CREATED" },
            "JoinedTimestamp": self.since.as_millisecond() as f64 / 1000.0,
        })
    }

    fn describe(&self) -> Value {
        let email = self
            .members
            .iter()
            .find(|member| member.id == self.management)
            .map(|member| member.email.clone())
            .unwrap_or_default();
        json!({
            "Id": self.id,
            "Arn": format!("arn:aws:organizations::{}:organization/{}", self.management, self.id),
            "FeatureSet": "ALL",
            "MasterAccountArn": format!("arn:aws:organizations::{0}:account/{1}/{0}", self.management, self.id),
            "MasterAccountId": self.management,
            "MasterAccountEmail": email,
            "AvailablePolicyTypes": [],
        })
    }

    /// A page. Positions count in halves: an even one is the empty page before the accounts from there on.
    fn list(&self, body: &Value) -> Result<Value, ApiError> {
        let most = match body.get("MaxResults") {
            None | Some(Value::Null) => 20,
            Some(number) => number
                .as_u64()
                .and_then(|number| usize::try_from(number).ok())
                .filter(|number| (1..=20).contains(number))
                .ok_or_else(|| invalid("You specified an invalid value for MaxResults."))?,
        };
        let half = match body.get("NextToken").and_then(Value::as_str) {
            None => usize::from(!self.empty_pages),
            Some(token) => {
                position(token).ok_or_else(|| invalid("You specified an invalid NextToken."))?
            }
        };
        let start = half / 2;
        if half.is_multiple_of(2) {
            return Ok(json!({ "Accounts": [], "NextToken": dressed(half + 1) }));
        }
        let accounts: Vec<Value> = self
            .members
            .iter()
            .skip(start)
            .take(most.min(self.page_limit.max(1)))
            .map(|member| self.account(member))
            .collect();
        let end = start + accounts.len();
        let mut answer = json!({ "Accounts": accounts });
        if end < self.members.len()
            && let Some(object) = answer.as_object_mut()
        {
            let next = end * 2 + usize::from(!self.empty_pages);
            object.insert("NextToken".to_owned(), json!(dressed(next)));
        }
        Ok(answer)
    }
}
