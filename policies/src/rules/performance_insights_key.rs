//! `performance-insights-key`: data of Performance Insights under a key that AWS manages, or that does not work.

use atrest_model::finding::Severity;
use atrest_model::resource::DescribedRef;
use atrest_model::scan::ResourceKind;

use super::{facts, is_aws_managed, usable};
use crate::policy::{Context, Controls, Fix, Needs, Policy, PolicyMeta, Subject, Verdict};

/// Flags instances and clusters whose Performance Insights data is under an AWS-managed or unusable key.
#[derive(Debug)]
pub(crate) struct PerformanceInsightsKey;

static META: PolicyMeta = PolicyMeta {
    id: "performance-insights-key",
    title: "Performance Insights data is under a key that AWS manages, or that is unusable",
    severity: Severity::Info,
    since: "0.1.0",
    fix: Fix::Manual,
    needs: Needs::Keys,
    controls: &[
        Controls::none(Subject::DbInstance),
        Controls::none(Subject::DbCluster),
    ],
};

impl Policy for PerformanceInsightsKey {
    fn meta(&self) -> &'static PolicyMeta {
        &META
    }

    fn judge(&self, resource: DescribedRef<'_>, context: &Context<'_>) -> Verdict {
        if resource.kind != ResourceKind::DbCluster {
            let is_rolled_up = resource
                .text("DBClusterIdentifier")
                .is_some_and(|cluster| context.fleet.cluster(resource.region, cluster).is_some());
            return if is_rolled_up {
                Verdict::Pass
            } else {
                of(resource, context)
            };
        }
        // A cluster answers for its members, and each of them has a key of its own.
        let members = context
            .fleet
            .members(resource.region, resource.identifier());
        let mut verdict = of(resource, context);
        for member in members.iter().map(|member| DescribedRef::from(*member)) {
            let named = |text: String| format!("{}: {text}", member.identifier());
            verdict = match (verdict, of(member, context)) {
                (Verdict::Fail(what), _) => return Verdict::Fail(what),
                (_, Verdict::Fail(what)) => return Verdict::Fail(named(what)),
                (Verdict::NotEvaluated(why), _) => Verdict::NotEvaluated(why),
                (Verdict::Pass, Verdict::NotEvaluated(why)) => Verdict::NotEvaluated(named(why)),
                (Verdict::Pass, Verdict::Pass) => Verdict::Pass,
            };
        }
        verdict
    }
}

fn of(resource: DescribedRef<'_>, context: &Context<'_>) -> Verdict {
    if resource.flag("PerformanceInsightsEnabled") != Some(true) {
        return Verdict::Pass;
    }
    let Some(key) = resource
        .text("PerformanceInsightsKMSKeyId")
        .filter(|key| !key.is_empty())
    else {
        return Verdict::NotEvaluated(
            "Performance Insights is on, and the answer does not name its key".to_owned(),
        );
    };
    match is_aws_managed(context.fleet, resource, key) {
        Ok(true) => {
            return Verdict::Fail(format!(
                "Performance Insights keeps statements under key {key}, which is AWS-managed"
            ));
        }
        Err(why) => return Verdict::NotEvaluated(why),
        Ok(false) => {}
    }
    match facts(context.fleet, key).map(usable) {
        Ok(Verdict::Fail(what)) => Verdict::Fail(format!("{what}: Performance Insights needs it")),
        Ok(other) => other,
        Err(why) => Verdict::NotEvaluated(why),
    }
}
