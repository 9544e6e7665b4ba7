//! Policies of users: CEL expressions over describe answers.
//!
//! A file holds `[[policies]]`; an expression sees `resource` (the describe answer under AWS's own member names),
//! `account`, `region`, `now` and `fleet` (`instances` and `clusters`, as answered). `check` is true for a pass.
//! Where it has no value the resource is *not evaluated*: a member that AWS did not send is no pass. One policy that
//! fails leaves the others alone.

mod expression;
mod file;
mod template;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use atrest_model::finding::{ControlList, Finding, FindingStatus, Severity};
use atrest_model::scan::ResourceKind;
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{Env, Value};
use rayon::prelude::*;
use serde_json::json;

pub use file::InvalidPolicy;

use self::expression::{Expression, Failure, LIMIT, value_of};
use self::template::Template;
use crate::fleet::Fleet;

/// What an expression sees.
const VARIABLES: [&str; 5] = ["account", "fleet", "now", "region", "resource"];

/// The policies of a folder.
pub struct CustomPolicies {
    env: Arc<Env>,
    list: Vec<CustomPolicy>,
    /// Most elements one policy may walk over.
    limit: u64,
}

/// One policy.
#[derive(Debug)]
struct CustomPolicy {
    id: String,
    title: String,
    severity: Severity,
    kind: ResourceKind,
    applies: Option<Expression>,
    check: Expression,
    message: Template,
    controls: ControlList,
    remedy: Option<String>,
}

/// What is known of a policy of a user, for lists.
#[derive(Debug, Clone, Copy)]
pub struct CustomMeta<'a> {
    /// Id.
    pub id: &'a str,
    /// One line.
    pub title: &'a str,
    /// Severity.
    pub severity: Severity,
    /// What it judges.
    pub kind: ResourceKind,
    /// What a person can do.
    pub remedy: Option<&'a str>,
}

/// Values of the variables for one resource.
struct Variables<'a> {
    resource: Box<dyn Val>,
    region: Box<dyn Val>,
    shared: &'a Shared,
}

/// Values that are the same for every resource.
struct Shared {
    account: Box<dyn Val>,
    now: Box<dyn Val>,
    fleet: Box<dyn Val>,
}

impl VariableResolver for Variables<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let value = match variable {
            "resource" => &self.resource,
            "region" => &self.region,
            "account" => &self.shared.account,
            "now" => &self.shared.now,
            "fleet" => &self.shared.fleet,
            _ => return None,
        };
        Some(CowVal::Borrowed(&**value))
    }
}

/// One resource to judge.
struct Subject<'a> {
    arn: Cow<'a, str>,
    region: &'a str,
    document: &'a serde_json::Value,
}

impl std::fmt::Debug for CustomPolicies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CustomPolicies").field(&self.list).finish()
    }
}

impl CustomPolicies {
    fn none() -> Self {
        Self {
            env: expression::environment(),
            list: Vec::new(),
            limit: LIMIT,
        }
    }

    /// Reads every `*.toml` of a folder, by name.
    ///
    /// # Errors
    ///
    /// [`InvalidPolicy`] of the first file that is not right: an audit with half of its rules would pass for a whole
    /// one.
    pub fn read(folder: &Path) -> Result<Self, InvalidPolicy> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| InvalidPolicy::Read { path, source }
        };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
            let path = entry.map_err(failed(folder))?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                files.push(path);
            }
        }
        files.sort();
        let mut policies = Self::none();
        for file in files {
            let text = std::fs::read_to_string(&file).map_err(failed(&file))?;
            policies.add(&file, &text)?;
        }
        Ok(policies)
    }

    /// Reads one text; `file` is its name in errors.
    ///
    /// # Errors
    ///
    /// [`InvalidPolicy`]; an id that is taken is one.
    pub fn parse(file: &Path, text: &str) -> Result<Self, InvalidPolicy> {
        let mut policies = Self::none();
        policies.add(file, text)?;
        Ok(policies)
    }

    fn add(&mut self, file: &Path, text: &str) -> Result<(), InvalidPolicy> {
        let mut taken: BTreeSet<String> = crate::registry()
            .iter()
            .map(|policy| policy.meta().id.to_owned())
            .collect();
        taken.extend(self.list.iter().map(|policy| policy.id.clone()));
        for policy in file::parse(&self.env, file, text)? {
            if !taken.insert(policy.id.clone()) {
                return Err(InvalidPolicy::Value {
                    text: format!("{}: the id {:?} is taken", file.display(), policy.id),
                });
            }
            self.list.push(policy);
        }
        Ok(())
    }

    /// What is known of each.
    pub fn metas(&self) -> impl Iterator<Item = CustomMeta<'_>> {
        self.list.iter().map(|policy| CustomMeta {
            id: &policy.id,
            title: &policy.title,
            severity: policy.severity,
            kind: policy.kind,
            remedy: policy.remedy.as_deref(),
        })
    }

    /// Judges one account's fleet at `now` (UTC); findings sorted by resource, then policy.
    #[must_use]
    pub fn evaluate(&self, account: &str, fleet: &Fleet<'_>, now: jiff::Timestamp) -> Vec<Finding> {
        let wants_fleet = self.list.iter().any(|policy| {
            policy
                .expressions()
                .any(|expression| expression.variables().iter().any(|name| name == "fleet"))
        });
        let instances = fleet.instances().map(|i| &i.document);
        let clusters = fleet.clusters().map(|c| &c.document);
        // Making values of a large fleet takes its time; most policies look at one resource only.
        let fleet_values = if wants_fleet {
            json!({"instances": instances.collect::<Vec<_>>(), "clusters": clusters.collect::<Vec<_>>()})
        } else {
            serde_json::Value::Null
        };
        let shared = Shared {
            account: value_of(&account.into()),
            now: timestamp(&self.env, now),
            fleet: value_of(&fleet_values),
        };
        let mut findings: Vec<Finding> = self
            .list
            .par_iter()
            .flat_map_iter(|policy| {
                policy.evaluate(&self.env, &policy.subjects(fleet), &shared, self.limit)
            })
            .collect();
        findings.sort_by(|a, b| (&a.resource, &a.policy).cmp(&(&b.resource, &b.policy)));
        findings
    }
}

/// The moment as a timestamp of CEL, made by CEL itself.
fn timestamp(env: &Arc<Env>, now: jiff::Timestamp) -> Box<dyn Val> {
    let text = now.to_string();
    Expression::parse(env, &format!("timestamp('{text}')"))
        .ok()
        .and_then(|expression| expression.evaluate(env, &Nothing, LIMIT).value.ok())
        .and_then(|value| value.try_into().ok())
        .unwrap_or_else(|| value_of(&text.into()))
}

/// No variables.
struct Nothing;

impl VariableResolver for Nothing {
    fn resolve<'b>(&'b self, _variable: &str) -> Option<CowVal<'b, 'b>> {
        None
    }
}

impl CustomPolicy {
    fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.applies.iter().chain([&self.check]).chain(
            self.message
                .expressions()
                .map(|(_, expression, _)| expression),
        )
    }

    fn subjects<'a>(&self, fleet: &Fleet<'a>) -> Vec<Subject<'a>> {
        fleet
            .resources(self.kind)
            .map(|resource| Subject {
                arn: resource.arn(),
                region: resource.region,
                document: resource.document,
            })
            .collect()
    }

    fn evaluate(
        &self,
        env: &Arc<Env>,
        subjects: &[Subject<'_>],
        shared: &Shared,
        limit: u64,
    ) -> Vec<Finding> {
        let spent = AtomicU64::new(0);
        let verdicts: Vec<Result<Option<Finding>, Failure>> = subjects
            .par_iter()
            .map(|subject| self.judge(env, subject, shared, &spent, limit))
            .collect();
        // The sum decides, so the verdict does not hang on which thread came first.
        if spent.load(Ordering::Relaxed) > limit {
            return vec![self.finding(
                &format!("policy:{}", self.id),
                FindingStatus::NotEvaluated,
                format!("the policy was stopped: {}", Failure::Cost { limit }),
            )];
        }
        verdicts
            .into_iter()
            .zip(subjects)
            .filter_map(|(verdict, subject)| {
                verdict.unwrap_or_else(|failure| {
                    Some(self.finding(
                        &subject.arn,
                        FindingStatus::NotEvaluated,
                        failure.to_string(),
                    ))
                })
            })
            .collect()
    }

    fn judge(
        &self,
        env: &Arc<Env>,
        subject: &Subject<'_>,
        shared: &Shared,
        spent: &AtomicU64,
        limit: u64,
    ) -> Result<Option<Finding>, Failure> {
        if spent.load(Ordering::Relaxed) > limit {
            return Err(Failure::Cost { limit });
        }
        let variables = Variables {
            resource: value_of(subject.document),
            region: value_of(&subject.region.into()),
            shared,
        };
        let truth = |expression: &Expression, name: &str| {
            let evaluated = expression.evaluate(env, &variables, limit);
            spent.fetch_add(evaluated.spent, Ordering::Relaxed);
            match evaluated.value {
                Ok(Value::Bool(truth)) => Ok(truth),
                Ok(other) => Err(Failure::Other(format!(
                    "{name} is a {}, not true or false",
                    other.type_of()
                ))),
                Err(cost @ Failure::Cost { .. }) => Err(cost),
                Err(Failure::Other(what)) => Err(Failure::Other(format!("{name}: {what}"))),
            }
        };
        if let Some(applies) = &self.applies
            && !truth(applies, "applies")?
        {
            return Ok(None);
        }
        if truth(&self.check, "check")? {
            return Ok(None);
        }
        let message = self.message.render(env, &variables);
        Ok(Some(self.finding(
            &subject.arn,
            FindingStatus::Fail,
            message,
        )))
    }

    fn finding(&self, resource: &str, status: FindingStatus, reason: String) -> Finding {
        Finding {
            id: Finding::stable_id(&self.id, resource),
            policy: self.id.clone(),
            severity: self.severity,
            status,
            reason,
            resource: resource.to_owned(),
            controls: self.controls.clone(),
            waiver: None,
            change: None,
        }
    }
}

#[cfg(test)]
mod tests;
