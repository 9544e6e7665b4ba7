//! Reads what the checks look at: one call of each kind a region, regions at the same time. A read that fails is data.

use std::collections::{BTreeMap, BTreeSet};

use atrest_model::document::{bool_of, list_of, str_of};
use atrest_model::instance::DbInstance;
use atrest_model::plan::Plan;
use atrest_scanner::access::{self, MysqlAuth};
use atrest_scanner::aws::{Aws, Decided, Identity};
use atrest_scanner::error::AwsError;
use atrest_scanner::mysql::{ServerFacts, server_facts};
use atrest_scanner::rds::{Listing, Rds};
use futures::stream::{self, StreamExt as _};
use jiff::Timestamp;
use serde_json::Value;

use super::facts::{Around, Offer, Read, RegionFacts};
use super::permissions::questions;

/// Regions read at the same time.
const REGIONS: usize = 8;
/// Calls of one kind at the same time in a region.
const CALLS: usize = 4;
/// IAM has one low limit for the whole account.
const SIMULATIONS: usize = 4;
/// Servers asked at the same time.
const SERVERS: usize = 16;

/// Reads what surrounds the instances of a drafted plan.
pub async fn gather(
    aws: &Aws,
    identity: &Identity,
    plan: &Plan,
    instances: &[DbInstance],
    auth: Option<&MysqlAuth>,
) -> Around {
    let planned: Vec<&DbInstance> = plan
        .migrations
        .iter()
        .flat_map(|migration| migration.members())
        .filter_map(|member| {
            instances
                .iter()
                .find(|instance| instance.dbi_resource_id() == member.dbi_resource_id)
        })
        .collect();
    let (regions, permissions, servers) = futures::join!(
        regions(aws, &planned),
        permissions(aws, identity, plan),
        servers(&planned, auth),
    );
    Around {
        now: Timestamp::now(),
        permissions,
        regions,
        servers,
    }
}

async fn regions(aws: &Aws, planned: &[&DbInstance]) -> BTreeMap<String, RegionFacts> {
    let names: BTreeSet<String> = planned.iter().map(|i| i.region.clone()).collect();
    stream::iter(names)
        .map(|name| async move {
            let here: Vec<&DbInstance> = planned
                .iter()
                .filter(|instance| instance.region == name)
                .copied()
                .collect();
            let facts = Box::pin(region(aws, &name, &here)).await;
            (name, facts)
        })
        .buffer_unordered(REGIONS)
        .collect()
        .await
}

/// What was read, or AWS's own words.
pub(super) fn items(listing: Result<Listing, AwsError>) -> Read<Vec<Value>> {
    listing
        .map(|listing| listing.items)
        .map_err(|error| error.to_string())
}

async fn region(aws: &Aws, name: &str, here: &[&DbInstance]) -> RegionFacts {
    let rds = aws.rds(name);
    let (offers, parameters, insights_keys) = futures::join!(
        offers(&rds, here),
        parameters(&rds, here),
        insights_keys(aws, name, here),
    );
    let (offers, classes) = offers;
    let (quotas, snapshots, maintenance, option_groups, certificates, blue_green) = futures::join!(
        rds.quotas(),
        rds.manual_snapshots(),
        rds.pending_maintenance(),
        rds.option_groups(),
        rds.certificates(),
        rds.blue_green_deployments(),
    );
    RegionFacts {
        offers,
        classes,
        quotas: quotas.map_err(|error| error.to_string()),
        snapshots: items(snapshots),
        maintenance: items(maintenance),
        option_groups: items(option_groups),
        certificates: items(certificates),
        parameters,
        insights_keys,
        blue_green: items(blue_green),
    }
}

type Offers = BTreeMap<Offer, Read<Vec<Value>>>;
type Classes = BTreeMap<(String, String), Read<Vec<Value>>>;

/// The offers of the classes in use, and all classes of those versions where one of them will not do.
async fn offers(rds: &Rds, here: &[&DbInstance]) -> (Offers, Classes) {
    let wanted: BTreeSet<Offer> = here
        .iter()
        .map(|instance| {
            let class = str_of(&instance.document, "DBInstanceClass").unwrap_or_default();
            (
                instance.engine().to_owned(),
                instance.engine_version().to_owned(),
                class.to_owned(),
            )
        })
        .collect();
    let offers: Offers = stream::iter(wanted)
        .map(|offer| async move {
            let (engine, version, class) = &offer;
            let found = items(rds.orderable(engine, version, class).await);
            (offer, found)
        })
        .buffer_unordered(CALLS)
        .collect()
        .await;
    let lacking: BTreeSet<(String, String)> = offers
        .iter()
        .filter(|(_, found)| {
            found.as_ref().is_ok_and(|found| {
                !found
                    .iter()
                    .any(|offer| bool_of(offer, "SupportsStorageEncryption") == Some(true))
            })
        })
        .map(|((engine, version, _), _)| (engine.clone(), version.clone()))
        .collect();
    let classes = stream::iter(lacking)
        .map(|wanted| async move {
            let found = items(rds.orderable_classes(&wanted.0, &wanted.1).await);
            (wanted, found)
        })
        .buffer_unordered(CALLS)
        .collect()
        .await;
    (offers, classes)
}

/// What is set in the parameter groups of MySQL 8 and later, where a setting is fixed with the data.
async fn parameters(rds: &Rds, here: &[&DbInstance]) -> BTreeMap<String, Read<Vec<Value>>> {
    let groups: BTreeSet<&str> = here
        .iter()
        .filter(|i| i.engine() == "mysql" && !i.engine_version().starts_with("5."))
        .flat_map(|i| list_of(&i.document, "DBParameterGroups"))
        .filter_map(|group| str_of(group, "DBParameterGroupName"))
        .filter(|name| !name.starts_with("default."))
        .collect();
    stream::iter(groups)
        .map(|group| async move { (group.to_owned(), items(rds.user_parameters(group).await)) })
        .buffer_unordered(CALLS)
        .collect()
        .await
}

async fn insights_keys(
    aws: &Aws,
    region: &str,
    here: &[&DbInstance],
) -> BTreeMap<String, Read<atrest_scanner::aws::KeyFacts>> {
    let keys: BTreeSet<&str> = here
        .iter()
        .filter(|i| bool_of(&i.document, "PerformanceInsightsEnabled") == Some(true))
        .filter_map(|i| str_of(&i.document, "PerformanceInsightsKMSKeyId"))
        .collect();
    stream::iter(keys)
        .map(|key| async move {
            let facts = aws.describe_key(region, key).await;
            (key.to_owned(), facts.map_err(|error| error.to_string()))
        })
        .buffer_unordered(CALLS)
        .collect()
        .await
}

/// Asks IAM about every call of the plan. The first refusal ends it: one who may not ask may not ask at all.
async fn permissions(aws: &Aws, identity: &Identity, plan: &Plan) -> Read<Vec<Decided>> {
    let questions = questions(plan);
    if questions.is_empty() {
        return Ok(Vec::new());
    }
    let principal = aws
        .principal_arn(identity)
        .await
        .ok_or_else(|| format!("IAM cannot simulate {}, only users and roles", identity.arn))?;
    let principal = &principal;
    let mut answers = stream::iter(questions)
        .map(|question| async move { aws.simulate(principal, &question).await })
        .buffer_unordered(SIMULATIONS);
    let mut decided = Vec::new();
    while let Some(answer) = answers.next().await {
        decided.extend(answer.map_err(|error| error.to_string())?);
    }
    Ok(decided)
}

/// Asks the servers, source and replicas alike. Without a login nobody is asked.
async fn servers(
    planned: &[&DbInstance],
    auth: Option<&MysqlAuth>,
) -> BTreeMap<String, Read<ServerFacts>> {
    let Some(auth) = auth else {
        return BTreeMap::new();
    };
    let wanted: Vec<&DbInstance> = planned
        .iter()
        .filter(|instance| instance.is_mysql_family())
        .copied()
        .collect();
    stream::iter(wanted)
        .map(|instance| async move {
            let facts = Box::pin(server(instance, auth)).await;
            (instance.dbi_resource_id().to_owned(), facts)
        })
        .buffer_unordered(SERVERS)
        .collect()
        .await
}

async fn server(instance: &DbInstance, auth: &MysqlAuth) -> Read<ServerFacts> {
    let mut connection = access::open(instance, auth)
        .await
        .map_err(|error| format!("{error}; {}", error.hint()))?;
    let facts = server_facts(&mut connection).await;
    connection.close().await;
    facts.map_err(|error| error.to_string())
}
