//! Asks every policy about every resource, side by side and each on its own.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use atrest_model::finding::{ControlList, Finding, FindingStatus, Severity};
use atrest_model::instance::DbInstance;
use atrest_model::resource::DescribedRef;
use atrest_model::scan::ResourceKind;
use rayon::prelude::*;

use crate::fleet::Fleet;
use crate::policy::{Context, Needs, Policy, PolicyMeta, Verdict};
use crate::registry::registry;
use crate::settings::Settings;

/// A policy with what all of its findings share.
struct Asked<'a> {
    policy: &'a dyn Policy,
    severity: Severity,
    /// As in the policy's meta.
    controls: Vec<ControlList>,
}

/// Evaluates every policy that `settings` asks on every resource of the fleet. The findings are sorted by resource,
/// then policy; what has none has passed.
///
/// A policy that panics on a resource has not evaluated it, says so there, and goes on with the next.
#[must_use]
pub fn evaluate_with(fleet: &Fleet<'_>, settings: &Settings) -> Vec<Finding> {
    ask(registry(), fleet, settings)
}

/// The same with policies as their pages say.
#[must_use]
pub fn evaluate_fleet(fleet: &Fleet<'_>) -> Vec<Finding> {
    evaluate_with(fleet, &Settings::default())
}

/// The built-in policies that [`evaluate_with`] asks.
pub fn asked(fleet: &Fleet<'_>, settings: &Settings) -> impl Iterator<Item = &'static PolicyMeta> {
    registry()
        .iter()
        .map(|policy| policy.meta())
        .filter(move |meta| is_asked(meta, fleet, settings))
}

fn is_asked(meta: &PolicyMeta, fleet: &Fleet<'_>, settings: &Settings) -> bool {
    let is_there = match meta.needs {
        Needs::Nothing => true,
        Needs::Keys => fleet.has_keys(),
        Needs::ParameterGroups => fleet.has_parameter_groups(),
    };
    is_there && settings.asks(meta.id)
}

/// The finding of one policy on one DB instance that belongs to no cluster, as after its migration; `None` when it
/// passes, or when there is no such policy.
#[must_use]
pub fn evaluate_instance(policy: &str, instance: &DbInstance) -> Option<Finding> {
    let settings = Settings::default();
    let only: Vec<&dyn Policy> = registry()
        .iter()
        .filter(|known| known.meta().id == policy)
        .copied()
        .collect();
    ask(&only, &Fleet::new([instance], []), &settings).pop()
}

fn ask(policies: &[&dyn Policy], fleet: &Fleet<'_>, settings: &Settings) -> Vec<Finding> {
    let asked: Vec<Asked<'_>> = policies
        .iter()
        .filter(|policy| is_asked(policy.meta(), fleet, settings))
        .map(|policy| {
            let meta = policy.meta();
            Asked {
                policy: *policy,
                severity: settings.severity(meta.id, meta.severity),
                controls: meta.controls.iter().map(|c| c.list()).collect(),
            }
        })
        .collect();
    let resources: Vec<DescribedRef<'_>> = ResourceKind::ALL
        .into_iter()
        .flat_map(|kind| fleet.resources(kind))
        .collect();
    let context = Context { fleet, settings };
    let mut findings: Vec<Finding> = resources
        .par_iter()
        .flat_map_iter(|resource| {
            asked
                .iter()
                .filter_map(|asked| asked.finding(*resource, &context))
        })
        .collect();
    findings.par_sort_by(|a, b| (&a.resource, &a.policy).cmp(&(&b.resource, &b.policy)));
    findings
}

impl Asked<'_> {
    fn finding(&self, resource: DescribedRef<'_>, context: &Context<'_>) -> Option<Finding> {
        let meta = self.policy.meta();
        let subject = meta.subject_of(resource)?;
        // Policies hold no state, so nothing is left half done.
        let judged = catch_unwind(AssertUnwindSafe(|| self.policy.judge(resource, context)));
        let verdict = judged.unwrap_or_else(|panic| Verdict::NotEvaluated(broke(panic.as_ref())));
        let (status, reason) = match verdict {
            Verdict::Pass => return None,
            Verdict::Fail(reason) => (FindingStatus::Fail, reason),
            Verdict::NotEvaluated(reason) => (FindingStatus::NotEvaluated, reason),
        };
        let arn = resource.arn();
        Some(Finding {
            id: Finding::stable_id(meta.id, &arn),
            policy: meta.id.to_owned(),
            severity: self.severity,
            status,
            reason,
            resource: arn.into_owned(),
            controls: self.controls.get(subject).cloned().unwrap_or_default(),
            waiver: None,
            change: None,
        })
    }
}

/// What to say of a policy that panicked.
pub(crate) fn broke(panic: &(dyn Any + Send)) -> String {
    let what = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    format!("the policy broke, which is a bug: {what}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::{Controls, Fix, Subject};

    /// Breaks on one resource.
    struct Broken;

    static BROKEN: PolicyMeta = PolicyMeta {
        id: "broken",
        title: "t",
        severity: Severity::Low,
        since: "0.1.0",
        fix: Fix::None,
        needs: Needs::Nothing,
        controls: &[Controls {
            subject: Subject::DbInstance,
            ids: &[("us", "1")],
        }],
    };

    impl Policy for Broken {
        fn meta(&self) -> &'static PolicyMeta {
            &BROKEN
        }

        fn judge(&self, resource: DescribedRef<'_>, _context: &Context<'_>) -> Verdict {
            assert_ne!(resource.identifier(), "b", "no {}", "b");
            Verdict::Fail("seen".to_owned())
        }
    }

    #[test]
    fn a_policy_that_panics_is_one_row_and_the_others_go_on() {
        let instances = ["a", "b", "c"].map(|name| DbInstance {
            region: "eu-central-1".to_owned(),
            document: json!({
                "DBInstanceArn": format!("arn:aws:rds:eu-central-1:111122223333:db:{name}"),
                "DBInstanceIdentifier": name,
                "StorageEncrypted": false,
            }),
        });
        let storage = *registry()
            .iter()
            .find(|policy| policy.meta().id == "storage-unencrypted")
            .unwrap();
        let found = ask(
            &[&Broken, storage],
            &Fleet::new(&instances, []),
            &Settings::default(),
        );
        let rows: Vec<(&str, &str, FindingStatus)> = found
            .iter()
            .map(|f| {
                let name = f.resource.rsplit(':').next().unwrap();
                (name, f.policy.as_str(), f.status)
            })
            .collect();
        use FindingStatus::{Fail, NotEvaluated};
        assert_eq!(
            rows,
            [
                ("a", "broken", Fail),
                ("a", "storage-unencrypted", Fail),
                ("b", "broken", NotEvaluated),
                ("b", "storage-unencrypted", Fail),
                ("c", "broken", Fail),
                ("c", "storage-unencrypted", Fail),
            ]
        );
        assert!(found[2].reason.contains("no b"), "{}", found[2].reason);
        assert_eq!(found[2].controls.len(), 1);
    }
}
