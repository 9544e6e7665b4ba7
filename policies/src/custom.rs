//! Policies of users: CEL expressions over describe answers.
//!
//! A file holds `[[policies]]`; an expression sees `resource` (the describe answer under AWS's own member names), `key`
//! (what is known of its KMS key), `account`, `region`, `now` and `fleet` (lists of every kind, as answered). `check` is
//! true for a pass. Where it has no value the resource is *not evaluated*: a member that AWS did not send is no pass. One
//! policy that fails leaves the others alone.

mod expression;
mod file;
mod template;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use atrest_model::finding::{ControlList, Finding, FindingStatus, Severity};
use atrest_model::key::{KeyState, Rotation};
use atrest_model::resource::DescribedRef;
use atrest_model::scan::ResourceKind;
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{Env, Value};
use rayon::prelude::*;
use serde_json::json;

pub use file::InvalidPolicy;

use self::expression::{Expression, Failure, LIMIT, value_of};
use self::template::Template;
use crate::evaluate::broke;
use crate::fleet::Fleet;
use crate::settings::Settings;

/// What an expression sees.
const VARIABLES: [&str; 6] = ["account", "fleet", "key", "now", "region", "resource"];

/// The lists of `fleet`.
const LISTS: [(&str, ResourceKind); 8] = [
    ("instances", ResourceKind::DbInstance),
    ("clusters", ResourceKind::DbCluster),
    ("global_clusters", ResourceKind::GlobalCluster),
    ("snapshots", ResourceKind::DbSnapshot),
    ("cluster_snapshots", ResourceKind::DbClusterSnapshot),
    ("automated_backups", ResourceKind::DbInstanceAutomatedBackup),
    (
        "cluster_automated_backups",
        ResourceKind::DbClusterAutomatedBackup,
    ),
    ("export_tasks", ResourceKind::ExportTask),
];

/// Bytes of stack for the parser: enough for what [`expression`] lets through, many times over.
const PARSER_STACK: usize = 64 << 20;

/// Bytes of stack for the interpreter, for the same reason.
const INTERPRETER_STACK: usize = 16 << 20;

/// Does the work on threads with room for the interpreter, which calls itself for every operator.
fn on_large_stacks<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new()
        .stack_size(INTERPRETER_STACK)
        .build();
    match pool {
        Ok(pool) => pool.install(work),
        // Without threads of its own it works on those that are there.
        Err(_no_threads) => work(),
    }
}

/// The policies of a folder.
pub struct CustomPolicies {
    env: Arc<Env>,
    list: Vec<CustomPolicy>,
    /// Ids that no further policy may have: those of the list and of built-in policies.
    taken: BTreeSet<String>,
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
    key: Box<dyn Val>,
    account: Box<dyn Val>,
    region: Box<dyn Val>,
    shared: &'a Shared,
}

/// Values that are the same for every resource.
struct Shared {
    now: Box<dyn Val>,
    fleet: Box<dyn Val>,
}

impl VariableResolver for Variables<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let value = match variable {
            "resource" => &self.resource,
            "key" => &self.key,
            "account" => &self.account,
            "region" => &self.region,
            "now" => &self.shared.now,
            "fleet" => &self.shared.fleet,
            _ => return None,
        };
        Some(CowVal::Borrowed(&**value))
    }
}

/// A policy in one scan.
struct Asked<'a> {
    policy: &'a CustomPolicy,
    severity: Severity,
    /// Elements it has walked over so far, on all resources.
    spent: AtomicU64,
    limit: u64,
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
            taken: crate::registry()
                .iter()
                .map(|policy| policy.meta().id.to_owned())
                .collect(),
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
        let (env, taken) = (&*self.env, &mut self.taken);
        // The parser of CEL takes tens of kilobytes for each bracket, and the thread that asks may be a small one.
        let parsed = std::thread::scope(|scope| {
            std::thread::Builder::new()
                .stack_size(PARSER_STACK)
                .spawn_scoped(scope, || file::parse(env, file, text, taken))
                .map(std::thread::ScopedJoinHandle::join)
        });
        let parsed = parsed.map_err(|source| InvalidPolicy::Read {
            path: file.to_owned(),
            source,
        })?;
        let policies = parsed.unwrap_or_else(|panic| {
            Err(InvalidPolicy::Value {
                text: format!("{}: {}", file.display(), broke(panic.as_ref())),
            })
        })?;
        self.list.extend(policies);
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

    /// The members of describe answers that they read, of those that `settings` asks; `None` when that may be any: they
    /// look at the fleet, or at `resource` as a whole.
    #[must_use]
    pub fn members(&self, settings: &Settings) -> Option<BTreeSet<String>> {
        let mut members = BTreeSet::new();
        for policy in self.asked(settings) {
            for expression in policy.expressions() {
                if expression.variables().iter().any(|name| name == "fleet") {
                    return None;
                }
                members.extend(expression.members_of("resource")?);
            }
        }
        Some(members)
    }

    fn asked<'s>(&'s self, settings: &'s Settings) -> impl Iterator<Item = &'s CustomPolicy> {
        self.list.iter().filter(|policy| settings.asks(&policy.id))
    }

    /// Judges one account's fleet at `now` (UTC); findings sorted by resource, then policy. `settings` may switch policies
    /// off and change their severity.
    #[must_use]
    pub fn evaluate(
        &self,
        account: &str,
        fleet: &Fleet<'_>,
        now: jiff::Timestamp,
        settings: &Settings,
    ) -> Vec<Finding> {
        let asked: Vec<Asked<'_>> = self
            .asked(settings)
            .map(|policy| Asked {
                policy,
                severity: settings.severity(&policy.id, policy.severity),
                spent: AtomicU64::new(0),
                limit: self.limit,
            })
            .collect();
        let shared = Shared {
            now: timestamp(&self.env, now),
            fleet: value_of(&self.fleet_values(fleet, settings)),
        };
        let mut findings: Vec<(usize, Finding)> = Vec::new();
        for kind in ResourceKind::ALL {
            let of_kind: Vec<(usize, &Asked<'_>)> = asked
                .iter()
                .enumerate()
                .filter(|(_, asked)| asked.policy.kind == kind)
                .collect();
            if of_kind.is_empty() {
                continue;
            }
            // The values of a resource are made once, however many policies look at it.
            let judge = |resource: &DescribedRef<'_>| -> Vec<(usize, Finding)> {
                let variables = Variables::new(*resource, account, fleet, &shared);
                let arn = resource.arn();
                of_kind
                    .iter()
                    .filter_map(|(at, asked)| {
                        Some((*at, asked.finding(&self.env, &arn, &variables)?))
                    })
                    .collect()
            };
            let resources: Vec<DescribedRef<'_>> = fleet.resources(kind).collect();
            findings.extend(on_large_stacks(|| {
                resources
                    .par_iter()
                    .flat_map_iter(judge)
                    .collect::<Vec<_>>()
            }));
        }
        // The sum decides, so the verdict does not hang on which thread came first.
        let is_stopped = |at: usize| asked.get(at).is_some_and(Asked::is_stopped);
        let mut findings: Vec<Finding> = findings
            .into_iter()
            .filter(|(at, _)| !is_stopped(*at))
            .map(|(_, finding)| finding)
            .collect();
        findings.extend(
            asked
                .iter()
                .filter(|asked| asked.is_stopped())
                .map(|asked| {
                    let limit = asked.limit;
                    asked.found(
                        &format!("policy:{}", asked.policy.id),
                        FindingStatus::NotEvaluated,
                        format!("the policy was stopped: {}", Failure::Cost { limit }),
                    )
                }),
        );
        findings.par_sort_by(|a, b| (&a.resource, &a.policy).cmp(&(&b.resource, &b.policy)));
        findings
    }

    /// `fleet` for expressions. Making values of a large fleet takes its time, and most policies look at one resource only.
    fn fleet_values(&self, fleet: &Fleet<'_>, settings: &Settings) -> serde_json::Value {
        let is_wanted = self.asked(settings).any(|policy| {
            policy
                .expressions()
                .any(|expression| expression.variables().iter().any(|name| name == "fleet"))
        });
        if !is_wanted {
            return serde_json::Value::Null;
        }
        LISTS
            .iter()
            .map(|(name, kind)| {
                let documents = fleet
                    .resources(*kind)
                    .map(|resource| resource.document.clone());
                ((*name).to_owned(), documents.collect::<Vec<_>>().into())
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

impl<'a> Variables<'a> {
    fn new(
        resource: DescribedRef<'_>,
        account: &str,
        fleet: &Fleet<'_>,
        shared: &'a Shared,
    ) -> Self {
        let account = if resource.account.is_empty() {
            account
        } else {
            resource.account
        };
        Self {
            resource: value_of(resource.document),
            key: value_of(&key_values(resource, fleet)),
            account: value_of(&account.into()),
            region: value_of(&resource.region.into()),
            shared,
        }
    }
}

/// `key` for expressions: null where the resource names no key; of a key that could not be described the ARN only, so
/// that a question about it has no answer rather than a wrong one.
fn key_values(resource: DescribedRef<'_>, fleet: &Fleet<'_>) -> serde_json::Value {
    let Some(arn) = resource.kms_key_id() else {
        return serde_json::Value::Null;
    };
    let facts = match fleet.key(arn) {
        Some(KeyState::Known(facts)) => facts,
        Some(KeyState::Unreadable(_)) | None => return json!({"arn": arn}),
    };
    let rotation = match facts.rotation {
        Rotation::On => Some(true),
        Rotation::Off => Some(false),
        Rotation::NotApplicable | Rotation::Unknown => None,
    };
    let mut values = json!({
        "arn": facts.arn,
        "state": facts.state,
        "manager": facts.manager,
        "usage": facts.usage,
        "spec": facts.spec,
        "origin": facts.origin,
        "multi_region": facts.multi_region,
    });
    // What is not known has no member: a question about it has no answer.
    if let Some(members) = values.as_object_mut() {
        members.extend(rotation.map(|on| ("rotation".to_owned(), on.into())));
        let deletion = facts.deletion_date.as_deref();
        members.extend(deletion.map(|date| ("deletion_date".to_owned(), date.into())));
    }
    values
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
}

impl Asked<'_> {
    fn is_stopped(&self) -> bool {
        self.spent.load(Ordering::Relaxed) > self.limit
    }

    fn finding(&self, env: &Arc<Env>, arn: &str, variables: &Variables<'_>) -> Option<Finding> {
        if self.is_stopped() {
            return None;
        }
        // An expression holds no state, so nothing is left half done.
        let judged = catch_unwind(AssertUnwindSafe(|| self.judge(env, variables)));
        let verdict = judged.unwrap_or_else(|panic| Err(Failure::Other(broke(panic.as_ref()))));
        let (status, reason) = match verdict {
            Ok(None) => return None,
            Ok(Some(message)) => (FindingStatus::Fail, message),
            Err(failure) => (FindingStatus::NotEvaluated, failure.to_string()),
        };
        Some(self.found(arn, status, reason))
    }

    /// The message of a violation; `None` for a pass.
    fn judge(&self, env: &Arc<Env>, variables: &Variables<'_>) -> Result<Option<String>, Failure> {
        let truth = |expression: &Expression, name: &str| {
            let evaluated = expression.evaluate(env, variables, self.limit);
            self.spent.fetch_add(evaluated.spent, Ordering::Relaxed);
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
        if let Some(applies) = &self.policy.applies
            && !truth(applies, "applies")?
        {
            return Ok(None);
        }
        if truth(&self.policy.check, "check")? {
            return Ok(None);
        }
        let (message, spent) = self.policy.message.render(env, variables, self.limit);
        self.spent.fetch_add(spent, Ordering::Relaxed);
        Ok(Some(message))
    }

    fn found(&self, resource: &str, status: FindingStatus, reason: String) -> Finding {
        Finding {
            id: Finding::stable_id(&self.policy.id, resource),
            policy: self.policy.id.clone(),
            severity: self.severity,
            status,
            reason,
            resource: resource.to_owned(),
            controls: self.policy.controls.clone(),
            waiver: None,
            change: None,
        }
    }
}

#[cfg(test)]
mod tests;
