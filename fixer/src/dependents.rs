//! Who depends on the instances of a region: read before the plan is drafted, so that each becomes a step.

use std::collections::{BTreeMap, BTreeSet};

use atrest_model::document::{int_of, list_of, str_of, strings_of};
use atrest_model::instance::DbInstance;
use atrest_model::plan::{Action, AlarmOf, Member, Migration, Target};
use atrest_model::scan::ResourceKind;
use atrest_scanner::aws::{Alarm, Aws};
use atrest_scanner::error::AwsError;
use atrest_scanner::rds::{Listing, Rds};
use futures::stream::{self, StreamExt as _};
use serde_json::Value;

use crate::preflight::Read;

/// Calls of one kind at the same time in a region.
const CALLS: usize = 4;
/// Regions read at the same time.
const REGIONS: usize = 8;
/// The key that AWS keeps for RDS in every region.
const DEFAULT_KEY: &str = "alias/aws/rds";

/// Who depends on the instances of one region.
#[derive(Debug, Clone)]
pub struct Dependents {
    /// `EventSubscriptionsList`.
    pub subscriptions: Read<Vec<Value>>,
    /// Names of proxies with their targets.
    pub proxies: Read<BTreeMap<String, Read<Vec<Value>>>>,
    /// Replicated automated backups by their ARN, as the instances name them.
    pub replicated: BTreeMap<String, Read<ReplicatedBackup>>,
    /// CloudWatch alarms that name an instance or a cluster.
    pub alarms: Read<Vec<Alarm>>,
    /// Zero-ETL integrations.
    pub integrations: Read<Vec<Value>>,
}

impl Default for Dependents {
    /// Nothing was read.
    fn default() -> Self {
        let unread = || Err("they were not read".to_owned());
        Self {
            subscriptions: unread(),
            proxies: Err("they were not read".to_owned()),
            replicated: BTreeMap::new(),
            alarms: Err("they were not read".to_owned()),
            integrations: unread(),
        }
    }
}

/// Automated backups of an instance that another region keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicatedBackup {
    /// That region.
    pub region: String,
    /// Days they are kept there.
    pub retention_days: i64,
    /// ARN of a key of that region: those of an encrypted instance need one.
    pub kms_key_id: String,
}

/// Reads who depends on the instances of these regions. A read that fails is data.
///
/// `key` is what the new storage is encrypted with: an alias may be there in other regions, too.
pub async fn read(aws: &Aws, instances: &[&DbInstance], key: &str) -> BTreeMap<String, Dependents> {
    let regions: BTreeSet<&str> = instances.iter().map(|i| i.region.as_str()).collect();
    stream::iter(regions)
        .map(|region| async move {
            let rds = aws.rds(region);
            let (subscriptions, proxies, replicated, alarms, integrations) = futures::join!(
                rds.event_subscriptions(),
                proxies(&rds),
                replicated(aws, region, instances, key),
                aws.alarms(region),
                rds.integrations(),
            );
            let dependents = Dependents {
                subscriptions: items(subscriptions),
                proxies,
                replicated,
                alarms: alarms.map_err(|error| error.to_string()),
                integrations: items(integrations),
            };
            (region.to_owned(), dependents)
        })
        .buffer_unordered(REGIONS)
        .collect()
        .await
}

/// What was read, or AWS's own words.
fn items(listing: Result<Listing, AwsError>) -> Read<Vec<Value>> {
    listing
        .map(|listing| listing.items)
        .map_err(|error| error.to_string())
}

async fn proxies(rds: &Rds) -> Read<BTreeMap<String, Read<Vec<Value>>>> {
    let names: Vec<String> = items(rds.proxies().await)?
        .iter()
        .filter_map(|proxy| str_of(proxy, "DBProxyName"))
        .map(str::to_owned)
        .collect();
    Ok(stream::iter(names)
        .map(|name| async move {
            let targets = items(rds.proxy_targets(&name).await);
            (name, targets)
        })
        .buffer_unordered(CALLS)
        .collect()
        .await)
}

async fn replicated(
    aws: &Aws,
    region: &str,
    instances: &[&DbInstance],
    key: &str,
) -> BTreeMap<String, Read<ReplicatedBackup>> {
    let arns: BTreeSet<&str> = instances
        .iter()
        .filter(|instance| instance.region == region)
        .flat_map(|instance| replications(instance))
        .collect();
    stream::iter(arns)
        .map(|arn| async move { (arn.to_owned(), Box::pin(backup(aws, arn, key)).await) })
        .buffer_unordered(CALLS)
        .collect()
        .await
}

/// ARNs of the replicated backups of an instance.
pub(crate) fn replications(instance: &DbInstance) -> impl Iterator<Item = &str> {
    list_of(&instance.document, "DBInstanceAutomatedBackupsReplications")
        .iter()
        .filter_map(|one| str_of(one, "DBInstanceAutomatedBackupsArn"))
}

async fn backup(aws: &Aws, arn: &str, key: &str) -> Read<ReplicatedBackup> {
    let region = arn
        .split(':')
        .nth(3)
        .filter(|region| !region.is_empty())
        .ok_or_else(|| format!("{arn} names no region"))?;
    let listed = items(
        aws.rds(region)
            .listing(ResourceKind::DbInstanceAutomatedBackup)
            .await
            .whole(),
    )?;
    let found = listed
        .iter()
        .find(|backup| str_of(backup, "DBInstanceAutomatedBackupsArn") == Some(arn))
        .ok_or_else(|| format!("{region} does not show {arn}"))?;
    let retention_days = int_of(found, "BackupRetentionPeriod")
        .ok_or_else(|| format!("{region} shows no retention period of {arn}"))?;
    // An alias may stand for a key of each region; an ARN is of one.
    let wanted = if key.starts_with("alias/") {
        key
    } else {
        DEFAULT_KEY
    };
    let described = match aws.describe_key(region, wanted).await {
        Ok(key) => Ok(key),
        Err(_) if wanted != DEFAULT_KEY => aws.describe_key(region, DEFAULT_KEY).await,
        Err(error) => Err(error),
    };
    let key = described.map_err(|error| format!("no key in {region}: {error}"))?;
    Ok(ReplicatedBackup {
        region: region.to_owned(),
        retention_days,
        kms_key_id: key.arn,
    })
}

/// Names of the proxies that have the instance as target.
pub(crate) fn proxies_of<'a>(dependents: &'a Dependents, name: &str) -> Vec<&'a str> {
    let Ok(proxies) = &dependents.proxies else {
        return Vec::new();
    };
    proxies
        .iter()
        .filter(|(_, targets)| {
            targets.as_ref().is_ok_and(|targets| {
                targets.iter().any(|target| {
                    str_of(target, "RdsResourceId").is_some_and(|id| id.eq_ignore_ascii_case(name))
                })
            })
        })
        .map(|(proxy, _)| proxy.as_str())
        .collect()
}

/// Names of the event subscriptions that list the instance.
pub(crate) fn subscriptions_of<'a>(dependents: &'a Dependents, name: &str) -> Vec<&'a str> {
    let Ok(subscriptions) = &dependents.subscriptions else {
        return Vec::new();
    };
    subscriptions
        .iter()
        .filter(|one| {
            str_of(one, "SourceType").is_none_or(|kind| kind == "db-instance")
                && strings_of(one, "SourceIdsList").any(|id| id.eq_ignore_ascii_case(name))
        })
        .filter_map(|one| str_of(one, "CustSubscriptionId"))
        .collect()
}

/// Alarms that name the instance, or its cluster.
pub(crate) fn alarms_of<'a>(
    dependents: &'a Dependents,
    instance: &DbInstance,
) -> impl Iterator<Item = &'a Alarm> {
    let name = instance.identifier().to_owned();
    let cluster = instance.cluster().map(str::to_owned);
    let alarms = dependents.alarms.as_deref().unwrap_or_default();
    alarms.iter().filter(move |alarm| {
        alarm.is_of("DBInstanceIdentifier", &name)
            || cluster
                .as_deref()
                .is_some_and(|cluster| alarm.is_of("DBClusterIdentifier", cluster))
    })
}

/// Names of the integrations whose source is the instance or its cluster.
pub(crate) fn integrations_of<'a>(
    dependents: &'a Dependents,
    instance: &DbInstance,
) -> Vec<&'a str> {
    let own = instance.arn();
    // `arn:…:db:x` → `arn:…:cluster:y`
    let cluster = instance.cluster().and_then(|cluster| {
        let (front, _name) = own.rsplit_once(':')?;
        let (front, _kind) = front.rsplit_once(':')?;
        Some(format!("{front}:cluster:{cluster}"))
    });
    let integrations = dependents.integrations.as_deref().unwrap_or_default();
    integrations
        .iter()
        .filter(|one| {
            str_of(one, "SourceArn")
                .is_some_and(|arn| arn == own || Some(arn) == cluster.as_deref())
        })
        .filter_map(|one| str_of(one, "IntegrationName"))
        .collect()
}

/// The step that looks at the alarms of a migration once everything has its real name; none if there are none.
pub(crate) fn alarms(dependents: &Dependents, migration: &Migration) -> Option<Action> {
    let cluster = migration.cluster.as_ref();
    let is_ours = |alarm: &&Alarm| {
        migration
            .members()
            .any(|member| alarm.is_of("DBInstanceIdentifier", member.identifier.as_str()))
            || cluster.is_some_and(|of| alarm.is_of("DBClusterIdentifier", of.identifier.as_str()))
    };
    let alarms: Vec<AlarmOf> = dependents
        .alarms
        .as_deref()
        .unwrap_or_default()
        .iter()
        .filter(is_ours)
        .map(|alarm| AlarmOf {
            alarm: alarm.name.clone(),
            dimension: alarm.dimension.clone(),
            identifier: alarm.identifier.clone(),
        })
        .collect();
    (!alarms.is_empty()).then_some(Action::Alarms { alarms })
}

/// A step that attaches a dependent again: its name, the step it needs, what it does.
pub(crate) struct Reattachment {
    pub(crate) id: String,
    pub(crate) needs: String,
    pub(crate) action: Action,
}

/// The steps for the dependents of one member, once it has its real name.
pub(crate) fn steps(
    dependents: &Dependents,
    member: &Member,
    instance: &DbInstance,
) -> Vec<Reattachment> {
    let name = &member.identifier;
    let made = || Target::MadeBy(member.made_by.clone());
    let renamed = format!("rename-new:{name}");
    let mut steps = Vec::new();
    for proxy in proxies_of(dependents, name.as_str()) {
        let gone = format!("proxy-deregister:{name}:{proxy}");
        steps.push(Reattachment {
            id: gone.clone(),
            needs: renamed.clone(),
            action: Action::DeregisterProxyTarget {
                proxy: proxy.to_owned(),
                instance: made(),
                name: name.clone(),
            },
        });
        steps.push(Reattachment {
            id: format!("proxy-register:{name}:{proxy}"),
            needs: gone,
            action: Action::RegisterProxyTarget {
                proxy: proxy.to_owned(),
                instance: made(),
                name: name.clone(),
            },
        });
    }
    for subscription in subscriptions_of(dependents, name.as_str()) {
        steps.push(Reattachment {
            id: format!("subscription:{name}:{subscription}"),
            needs: renamed.clone(),
            action: Action::Subscription {
                subscription: subscription.to_owned(),
                instance: made(),
                name: name.clone(),
            },
        });
    }
    for arn in replications(instance) {
        let Some(Ok(backup)) = dependents.replicated.get(arn) else {
            continue;
        };
        steps.push(Reattachment {
            id: format!("backup-replication:{name}:{}", backup.region),
            needs: renamed.clone(),
            action: Action::ReplicateBackups {
                instance: made(),
                region: backup.region.clone(),
                kms_key_id: backup.kms_key_id.clone(),
                retention_days: backup.retention_days,
            },
        });
    }
    steps
}
