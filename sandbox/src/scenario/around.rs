//! Keys of a scenario file about what is around RDS: roles, the organization, secrets, alarms, metrics.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::spec::{Problem, Spec, SpecPassword};
use crate::neighbours::cloudwatch::{Alarm, Metric};
use crate::neighbours::organizations::{Member, Organization};
use crate::neighbours::policy::Policy;
use crate::neighbours::{Permissions, Role, Secret};
use crate::rds::catalog::REGIONS;
use crate::world::World;

/// A role that can be assumed. An account that lists none has every role that is asked for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleSpec {
    pub(crate) name: Spanned<String>,
    pub(crate) account: Option<String>,
    pub(crate) external_id: Option<String>,
    /// How long its sessions last, in real seconds, whatever was asked for. AWS gives no less than 900.
    pub(crate) session_seconds: Option<u32>,
    /// Accounts that may assume it; all unless given.
    #[serde(default)]
    pub(crate) trusted: Vec<String>,
    /// Patterns of actions, such as `rds:Describe*`; everything unless given.
    #[serde(default)]
    pub(crate) allow: Vec<String>,
    #[serde(default)]
    pub(crate) deny: Vec<String>,
    /// An IAM policy document, which must allow it too.
    pub(crate) policy: Option<Spanned<String>>,
}

/// The organization. Accounts of the scenario that are not listed do not belong to it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrganizationSpec {
    /// The first account of the scenario unless given.
    pub(crate) management_account: Option<String>,
    #[serde(default)]
    pub(crate) delegated_administrators: Vec<String>,
    /// Accounts per page at most.
    #[serde(default = "twenty")]
    pub(crate) page_limit: usize,
    /// Whether ListAccounts gives empty pages with a token in between.
    #[serde(default)]
    pub(crate) empty_pages: bool,
    pub(crate) accounts: Vec<MemberSpec>,
}

/// A document that was checked.
pub(super) fn policy_of(text: Option<&Spanned<String>>) -> Option<Policy> {
    Policy::parse(text?.get_ref()).ok()
}

fn twenty() -> usize {
    20
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberSpec {
    pub(crate) id: Spanned<String>,
    pub(crate) name: Option<String>,
    pub(crate) email: Option<String>,
    /// `ACTIVE`, `SUSPENDED` or `PENDING_CLOSURE`.
    #[serde(default = "active")]
    pub(crate) status: String,
}

fn active() -> String {
    "ACTIVE".to_owned()
}

/// A secret of Secrets Manager.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretSpec {
    pub(crate) name: Spanned<String>,
    pub(crate) account: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) value: SpecPassword,
    pub(crate) kms_key: Option<String>,
}

/// A zero-ETL integration: its source is named by the identifier of a DB instance.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IntegrationSpec {
    pub(crate) name: String,
    pub(crate) account: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) source: String,
    pub(crate) target_arn: String,
    #[serde(default = "in_use")]
    pub(crate) status: String,
}

fn in_use() -> String {
    "active".to_owned()
}

/// A CloudWatch alarm.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AlarmSpec {
    pub(crate) name: String,
    pub(crate) account: Option<String>,
    pub(crate) region: Option<String>,
    #[serde(default = "aws_rds")]
    pub(crate) namespace: String,
    pub(crate) metric: String,
    #[serde(default)]
    pub(crate) dimensions: BTreeMap<String, String>,
    #[serde(default = "average")]
    pub(crate) statistic: String,
    #[serde(default = "above")]
    pub(crate) comparison: String,
    pub(crate) threshold: f64,
    #[serde(default = "minute")]
    pub(crate) period: i64,
    #[serde(default = "once")]
    pub(crate) evaluation_periods: i64,
    #[serde(default = "fine")]
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) actions: Vec<String>,
}

fn aws_rds() -> String {
    "AWS/RDS".to_owned()
}

fn average() -> String {
    "Average".to_owned()
}

fn above() -> String {
    "GreaterThanThreshold".to_owned()
}

fn minute() -> i64 {
    60
}

fn once() -> i64 {
    1
}

fn fine() -> String {
    "OK".to_owned()
}

/// What a metric of an instance shows instead of an idle instance's value.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricSpec {
    pub(crate) instance: String,
    pub(crate) account: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) name: String,
    pub(crate) value: f64,
}

impl Spec {
    /// Fills what the services beside RDS know. The regions exist already.
    pub(super) fn around(&self, world: &mut World) {
        for account in &self.accounts {
            for region in &account.opt_in {
                world
                    .neighbours
                    .opted_in
                    .insert((account.id.clone(), region.clone()));
            }
        }
        // A region that the scenario uses has been opted into.
        let used: Vec<(String, String)> = world
            .regions
            .keys()
            .map(|scope| (scope.account.clone(), scope.region.clone()))
            .collect();
        world.neighbours.opted_in.extend(used);
        for role in &self.roles {
            let account = self.scope(role.account.as_ref(), None).account;
            world.neighbours.roles.push(Role {
                account,
                name: role.name.get_ref().clone(),
                external_id: role.external_id.clone(),
                session_seconds: role.session_seconds,
                trusted: role.trusted.clone(),
                permissions: Permissions {
                    allow: role.allow.clone(),
                    deny: role.deny.clone(),
                    policy: policy_of(role.policy.as_ref()),
                },
            });
        }
        if let Some(spec) = &self.organization {
            let management = spec
                .management_account
                .clone()
                .unwrap_or_else(|| self.scope(None, None).account);
            let letters = "abcdefghijklmnopqrstuvwxyz0123456789";
            let id = world.dice.word("organization", letters, 10);
            world.neighbours.organization = Some(Organization {
                id: format!("o-{id}"),
                delegated: spec.delegated_administrators.clone(),
                members: spec
                    .accounts
                    .iter()
                    .map(|member| Member {
                        id: member.id.get_ref().clone(),
                        name: member
                            .name
                            .clone()
                            .unwrap_or_else(|| format!("account-{}", member.id.get_ref())),
                        email: member
                            .email
                            .clone()
                            .unwrap_or_else(|| format!("{}@example.com", member.id.get_ref())),
                        status: member.status.clone(),
                    })
                    .collect(),
                page_limit: spec.page_limit,
                empty_pages: spec.empty_pages,
                since: world.clock.start(),
                management,
            });
        }
        for secret in &self.secrets {
            let scope = self.scope(secret.account.as_ref(), secret.region.as_ref());
            let name = secret.name.get_ref().clone();
            let end = world.dice.word(
                &format!("secret/{}/{}/{name}", scope.account, scope.region),
                "abcdefghijklmnopqrstuvwxyzABCDEF",
                6,
            );
            let arn = format!(
                "arn:{}:secretsmanager:{}:{}:secret:{name}-{end}",
                scope.partition(),
                scope.region,
                scope.account
            );
            world
                .neighbours
                .secrets
                .entry(scope)
                .or_default()
                .push(Secret {
                    name,
                    arn,
                    value: secret.value.0.clone(),
                    kms_key: secret.kms_key.clone(),
                });
        }
        for one in &self.integrations {
            let scope = self.scope(one.account.as_ref(), one.region.as_ref());
            let created = world.clock.start();
            let source_arn = scope.arn("db", &one.source);
            world
                .region_mut(&scope)
                .integrations
                .push(crate::rds::integrations::Integration {
                    name: one.name.clone(),
                    source_arn,
                    target_arn: one.target_arn.clone(),
                    status: one.status.clone(),
                    created,
                });
        }
        for alarm in &self.alarms {
            let scope = self.scope(alarm.account.as_ref(), alarm.region.as_ref());
            world
                .neighbours
                .alarms
                .entry(scope)
                .or_default()
                .push(Alarm {
                    name: alarm.name.clone(),
                    namespace: alarm.namespace.clone(),
                    metric: alarm.metric.clone(),
                    dimensions: alarm.dimensions.clone(),
                    statistic: alarm.statistic.clone(),
                    comparison: alarm.comparison.clone(),
                    threshold: alarm.threshold,
                    period: alarm.period,
                    evaluation_periods: alarm.evaluation_periods,
                    state: alarm.state.clone(),
                    actions: alarm.actions.clone(),
                });
        }
        for metric in &self.metrics {
            let scope = self.scope(metric.account.as_ref(), metric.region.as_ref());
            world
                .neighbours
                .metrics
                .entry(scope)
                .or_default()
                .push(Metric {
                    instance: metric.instance.clone(),
                    name: metric.name.clone(),
                    value: metric.value,
                });
        }
    }

    /// Puts the scenario's faults in force.
    pub(crate) fn add_faults(&self, world: &mut World) {
        let now = world.clock.now();
        for fault in &self.faults {
            if let Err(error) = world.add_fault(fault.get_ref().clone(), now) {
                // The scenario was checked when it was read.
                tracing::error!(%error, "A fault of the scenario was refused.");
            }
        }
    }

    /// What the types cannot say about the things here.
    pub(super) fn check_around(&self) -> Result<(), Problem> {
        let has_account = |id: &str| self.accounts.iter().any(|account| account.id == id);
        let mut names = std::collections::BTreeSet::new();
        for (number, fault) in self.faults.iter().enumerate() {
            let subject = match &fault.get_ref().name {
                Some(name) => format!("faults.{name}"),
                None => format!("faults, number {}", number + 1),
            };
            if let Some(name) = &fault.get_ref().name
                && !names.insert(name)
            {
                return Err((fault.span(), subject, "the name is used twice".to_owned()));
            }
            fault
                .get_ref()
                .check()
                .map_err(|problem| (fault.span(), subject, problem))?;
        }
        let of_accounts = self.accounts.iter().map(|account| &account.policy);
        let of_roles = self.roles.iter().map(|role| &role.policy);
        for policy in of_accounts.chain(of_roles).flatten() {
            Policy::parse(policy.get_ref())
                .map_err(|problem| (policy.span(), "policy".to_owned(), problem))?;
        }
        for account in &self.accounts {
            if let Some(region) = account
                .opt_in
                .iter()
                .find(|region| !REGIONS.iter().any(|(name, _)| name == region))
            {
                return Err((
                    0..0,
                    format!("accounts.{}.opt_in", account.id),
                    format!("there is no commercial region {region}"),
                ));
            }
        }
        for role in &self.roles {
            let account = self.scope(role.account.as_ref(), None).account;
            if !has_account(&account) {
                return Err((
                    role.name.span(),
                    format!("roles.{}.account", role.name.get_ref()),
                    format!("there is no account {account}"),
                ));
            }
        }
        for secret in &self.secrets {
            let scope = self.scope(secret.account.as_ref(), secret.region.as_ref());
            let key = if !has_account(&scope.account) {
                Some(("account", format!("there is no account {}", scope.account)))
            } else if !REGIONS.iter().any(|(name, _)| *name == scope.region) {
                Some((
                    "region",
                    format!("there is no commercial region {}", scope.region),
                ))
            } else {
                None
            };
            if let Some((key, problem)) = key {
                let subject = format!("secrets.{}.{key}", secret.name.get_ref());
                return Err((secret.name.span(), subject, problem));
            }
        }
        if let Some(organization) = &self.organization {
            for member in &organization.accounts {
                let id = member.id.get_ref();
                let subject = |key: &str| format!("organization.accounts.{id}.{key}");
                if id.len() != 12 || !id.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err((
                        member.id.span(),
                        subject("id"),
                        "an account id has twelve digits".to_owned(),
                    ));
                }
                if !matches!(
                    member.status.as_str(),
                    "ACTIVE" | "SUSPENDED" | "PENDING_CLOSURE"
                ) {
                    return Err((
                        member.id.span(),
                        subject("status"),
                        format!(
                            "{} is none of ACTIVE, SUSPENDED, PENDING_CLOSURE",
                            member.status
                        ),
                    ));
                }
            }
        }
        Ok(())
    }
}
