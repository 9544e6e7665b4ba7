//! The cheap part, once more, before the first change of a run.

use std::collections::{BTreeMap, BTreeSet};

use atrest_model::check::Check;
use atrest_model::instance::DbInstance;
use atrest_model::plan::Plan;
use atrest_scanner::aws::Aws;
use futures::stream::{self, StreamExt as _};
use jiff::Timestamp;

use super::facts::{Around, RegionFacts};
use super::gather::items;
use super::registry::AGAIN;
use super::{migration_checks, quotas};
use crate::planner::{Facts, Quiesce};

/// Why a fact is not there.
const ASKED_BEFORE: &str = "it was asked when the plan was made";

/// Looks at state, names, key and quotas again, at instances that were described just now.
pub async fn again(aws: &Aws, plan: &Plan, instances: Vec<DbInstance>) -> Vec<Check> {
    let regions: BTreeMap<&str, &str> = plan
        .migrations
        .iter()
        .map(|migration| (migration.region.as_str(), migration.kms_key_id.as_str()))
        .collect();
    let names: BTreeSet<&str> = regions.keys().copied().collect();
    let read: Vec<_> = stream::iter(names)
        .map(|name| {
            let key = regions.get(name).copied().unwrap_or_default();
            async move {
                let rds = aws.rds(name);
                let (key, quotas, snapshots, maintenance) = futures::join!(
                    aws.describe_key(name, key),
                    rds.quotas(),
                    rds.manual_snapshots(),
                    rds.pending_maintenance(),
                );
                let facts = RegionFacts {
                    quotas: quotas.map_err(|error| error.to_string()),
                    snapshots: items(snapshots),
                    maintenance: items(maintenance),
                    ..RegionFacts::unread(ASKED_BEFORE)
                };
                (
                    name.to_owned(),
                    key.map_err(|error| error.to_string()),
                    facts,
                )
            }
        })
        .buffer_unordered(8)
        .collect()
        .await;
    let mut keys = BTreeMap::new();
    let mut around = Around {
        now: Timestamp::now(),
        permissions: Err(ASKED_BEFORE.to_owned()),
        regions: BTreeMap::new(),
        servers: BTreeMap::new(),
    };
    for (name, key, facts) in read {
        keys.insert(name.clone(), key);
        around.regions.insert(name, facts);
    }
    let facts = Facts {
        run: plan.run.clone(),
        created: around.now,
        account: plan.account.clone(),
        instances,
        clusters: Vec::new(),
        keys,
        mysql: plan.mysql.clone(),
        data_check: plan.data_check,
        methods: crate::planner::MethodFacts::default(),
        quiesce: Quiesce::default(),
        dependents: BTreeMap::new(),
        login: None,
    };
    let mut checks: Vec<Check> = plan
        .migrations
        .iter()
        .flat_map(|migration| {
            migration_checks(plan, migration, &facts, &around, |family| {
                AGAIN.contains(&family)
            })
        })
        .collect();
    checks.extend(quotas::check(plan, &facts, &around));
    // What is not asked again is as proven as it was.
    checks.retain(|check| check.blocks() || !check.detail.contains(ASKED_BEFORE));
    checks
}
