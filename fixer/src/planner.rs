//! From a described fleet to a plan. Pure: the same facts give the same plan.

mod blue_green;
mod cluster;
mod cold;
mod draft;
mod method;
mod multi_az;
mod replica;

use std::collections::{BTreeMap, BTreeSet};

use atrest_model::Tool;
use atrest_model::check::{Check, Verdict};
use atrest_model::document::{digest, int_of};
use atrest_model::id::{DbInstanceIdentifier, RunId};
use atrest_model::instance::{DbCluster, DbInstance, Encryption};
use atrest_model::plan::{self, DataCheck, LeftOut, Member, Method, Migration, MysqlAccess, Plan};
use atrest_scanner::aws::KeyFacts;
use jiff::Timestamp;

pub use cluster::cluster_digest;
pub(crate) use draft::{MANAGE_PASSWORD, data_deadline};
pub use method::{MethodFacts, Wish};

use crate::dependents::Dependents;

/// Everything a plan rests on.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Name of the run to be.
    pub run: RunId,
    /// When the fleet was described.
    pub created: Timestamp,
    /// Account.
    pub account: String,
    /// Every instance of the regions concerned.
    pub instances: Vec<DbInstance>,
    /// Every cluster of the regions concerned.
    pub clusters: Vec<DbCluster>,
    /// Key to encrypt with, by region; `Err` says why there is none.
    pub keys: BTreeMap<String, Result<KeyFacts, String>>,
    /// How far MySQL is used.
    pub mysql: MysqlAccess,
    /// How rows are compared.
    pub data_check: DataCheck,
    /// Which method is wanted, and what that choice rests on.
    pub methods: MethodFacts,
    /// How long a source must be quiet, and what is done about clients.
    pub quiesce: Quiesce,
    /// Who depends on the instances, by region.
    pub dependents: BTreeMap<String, Dependents>,
    /// How the login to the servers is made; `None` when they are not asked.
    pub login: Option<Login>,
}

/// How a source is quiesced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiesce {
    /// How long nobody may be connected and nothing written, in seconds.
    pub window_seconds: u64,
    /// Whether the connections of clients are killed rather than the instance rebooted.
    pub kill_connections: bool,
}

impl Default for Quiesce {
    fn default() -> Self {
        Self {
            window_seconds: plan::QUIESCE_WINDOW,
            kill_connections: false,
        }
    }
}

/// What is known of the login before it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// User; `None` means each instance's master user.
    pub user: Option<String>,
    /// Whether the password is the one that RDS manages, or a token: it changes when RDS changes it.
    pub follows_rds: bool,
}

/// Drafts the plan for the flagged instances among `wanted` (all flagged ones when it is `None`). Whether it can be
/// carried out is for [`preflight`](crate::preflight) to say.
///
/// An instance that was asked for by name and cannot be planned is in `left_out` like any other; the caller decides
/// whether that is an error.
#[must_use]
pub fn plan(facts: &Facts, wanted: Option<&BTreeSet<(String, String)>>) -> Plan {
    let is_wanted = |region: &str, name: &str| {
        wanted.is_none_or(|wanted| wanted.contains(&(region.to_owned(), name.to_owned())))
    };
    let mut migrations = Vec::new();
    let mut left_out = Vec::new();
    let mut checks = Vec::new();
    for cluster in &facts.clusters {
        if cluster.encryption() != Encryption::None
            || !is_wanted(&cluster.region, cluster.identifier())
        {
            continue;
        }
        match cluster::migration(facts, cluster) {
            Ok(migration) => migrations.push(migration),
            Err(Refusal { check, reason }) => {
                let id = format!("{}/{}", cluster.region, cluster.identifier());
                checks.push(Check {
                    check: check.to_owned(),
                    migration: Some(id.clone()),
                    subject: id,
                    verdict: Verdict::Blocks,
                    detail: reason.clone(),
                });
                left_out.push(LeftOut {
                    arn: cluster.arn().to_owned(),
                    reason,
                });
            }
        }
    }
    for instance in &facts.instances {
        let flagged = instance.encryption() == Encryption::None && instance.cluster().is_none();
        if !flagged || !is_wanted(&instance.region, instance.identifier()) {
            continue;
        }
        if let Some(root) = root_of(instance, &facts.instances) {
            // Replicas migrate with their source.
            if !is_wanted(&instance.region, root.identifier()) {
                left_out.push(LeftOut {
                    arn: instance.arn().to_owned(),
                    reason: format!(
                        "it is a replica; plan its source {} and it is migrated with it",
                        root.identifier()
                    ),
                });
            }
            continue;
        }
        match migration(facts, instance) {
            Ok(migration) => migrations.push(migration),
            Err(Refusal {
                check,
                reason: refusal,
            }) => {
                checks.push(Check {
                    check: check.to_owned(),
                    migration: Some(migration_id(instance)),
                    subject: migration_id(instance),
                    verdict: Verdict::Blocks,
                    detail: refusal.clone(),
                });
                // The whole tree stays behind.
                for member in tree(instance, &facts.instances) {
                    let reason = if member.dbi_resource_id() == instance.dbi_resource_id() {
                        refusal.clone()
                    } else {
                        format!(
                            "its source {} is left out: {refusal}",
                            instance.identifier()
                        )
                    };
                    left_out.push(LeftOut {
                        arn: member.arn().to_owned(),
                        reason,
                    });
                }
            }
        }
    }
    migrations.sort_by(|a, b| a.id.cmp(&b.id));
    left_out.sort_by(|a, b| a.arn.cmp(&b.arn));
    Plan {
        schema_version: plan::SCHEMA_VERSION,
        tool: Tool::current(),
        run: facts.run.clone(),
        created: facts.created,
        rehearsal_of: None,
        account: facts.account.clone(),
        mysql: facts.mysql.clone(),
        data_check: facts.data_check,
        waves: Vec::new(),
        hooks: Vec::new(),
        migrations,
        left_out,
        checks,
        digest: String::new(),
    }
    .sealed()
}

/// The topmost source of a replica, when it is among the instances of the region; `None` for an instance that is no
/// replica there.
fn root_of<'a>(instance: &DbInstance, instances: &'a [DbInstance]) -> Option<&'a DbInstance> {
    let source = |of: &DbInstance| {
        let name = of.replica_source()?;
        instances
            .iter()
            .find(|i| i.region == of.region && i.identifier() == name)
    };
    let mut root = source(instance)?;
    // A chain is at most a few long; the bound is against a circle in a broken answer.
    for _ in 0..16 {
        match source(root) {
            Some(next) => root = next,
            None => break,
        }
    }
    Some(root)
}

/// The instance and everything below it, parents before children.
fn tree<'a>(root: &'a DbInstance, instances: &'a [DbInstance]) -> Vec<&'a DbInstance> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        next += 1;
        let mut children: Vec<&DbInstance> = instances
            .iter()
            .filter(|i| {
                i.region == parent.region && i.replica_source() == Some(parent.identifier())
            })
            .filter(|i| {
                !found
                    .iter()
                    .any(|known| known.dbi_resource_id() == i.dbi_resource_id())
            })
            .collect();
        children.sort_by(|a, b| a.identifier().cmp(b.identifier()));
        found.extend(children);
    }
    found
}

/// What the plan of an instance rests on: its describe answer without what changes by itself.
#[must_use]
pub fn settled_digest(instance: &DbInstance) -> String {
    use atrest_model::attribute::{AttributeClass, attribute};
    let mut document = instance.document.clone();
    if let Some(members) = document.as_object_mut() {
        members.retain(|name, _| {
            attribute(name).is_none_or(|row| row.class != AttributeClass::Volatile)
        });
        members.remove("TagList");
    }
    digest(&document)
}

/// Why there is not even a draft.
struct Refusal {
    /// The check that says so.
    check: &'static str,
    reason: String,
}

impl Refusal {
    fn of(check: &'static str) -> impl Fn(String) -> Self {
        move |reason| Self { check, reason }
    }
}

fn migration_id(source: &DbInstance) -> String {
    format!("{}/{}", source.region, source.identifier())
}

fn migration(facts: &Facts, source: &DbInstance) -> Result<Migration, Refusal> {
    let members = tree(source, &facts.instances);
    for member in &members {
        if let Some(why) = foreign(member) {
            return Err(Refusal::of("migratable")(
                if member.dbi_resource_id() == source.dbi_resource_id() {
                    why
                } else {
                    format!("its replica {}: {why}", member.identifier())
                },
            ));
        }
    }
    let choice = method::choose(facts, &members).map_err(Refusal::of("method"))?;
    let kms_key_id = match facts.keys.get(&source.region) {
        Some(Ok(key)) => key.arn.clone(),
        Some(Err(why)) => return Err(Refusal::of("kms-key")(why.clone())),
        None => {
            return Err(Refusal::of("kms-key")(format!(
                "no key is chosen for {}",
                source.region
            )));
        }
    };
    let named = |instance: &DbInstance, made_by: &str| -> Result<Member, Refusal> {
        let refused =
            |error: atrest_model::id::InvalidId| Refusal::of("names-free")(error.to_string());
        let identifier = DbInstanceIdentifier::try_from(instance.identifier()).map_err(refused)?;
        Ok(Member {
            old_name: identifier.prefixed("old").map_err(refused)?,
            new_name: identifier.prefixed("new").map_err(refused)?,
            dbi_resource_id: instance.dbi_resource_id().to_owned(),
            replicates_from: instance
                .replica_source()
                .map(DbInstanceIdentifier::try_from)
                .transpose()
                .map_err(refused)?,
            digest: settled_digest(instance),
            made_by: made_by.to_owned(),
            identifier,
        })
    };
    let mut replicas = Vec::new();
    for replica in members.iter().skip(1) {
        replicas.push(named(
            replica,
            &format!("replica:{}", replica.identifier()),
        )?);
    }
    let mut migration = Migration {
        id: migration_id(source),
        region: source.region.clone(),
        method: choice.method,
        cluster: None,
        not_taken: choice.not_taken,
        engine: source.engine().to_owned(),
        allocated_storage: int_of(&source.document, "AllocatedStorage").unwrap_or(0),
        kms_key_id,
        source: named(source, "restore")?,
        replicas,
        notes: members
            .iter()
            .flat_map(|member| notes(facts, member))
            .collect(),
        wave: None,
        steps: Vec::new(),
    };
    if migration.method == Method::BlueGreen {
        let members = std::iter::once(&mut migration.source).chain(&mut migration.replicas);
        for member in members {
            blue_green::name(member)
                .map_err(|error| Refusal::of("names-free")(error.to_string()))?;
        }
        migration.notes.extend(blue_green::notes(facts, source));
    }
    migration.steps = method::steps(facts, &migration, &members);
    Ok(migration)
}

/// Why an instance is none of this tool's.
fn foreign(instance: &DbInstance) -> Option<String> {
    if instance.dbi_resource_id().is_empty() {
        return Some("its describe answer has no DbiResourceId".to_owned());
    }
    if instance.engine().starts_with("custom-") {
        return Some(format!(
            "{} is RDS Custom, which this tool does not migrate",
            instance.engine()
        ));
    }
    if matches!(instance.engine(), "neptune" | "docdb") {
        return Some(format!(
            "{} is not a DB instance of RDS proper",
            instance.engine()
        ));
    }
    let source = instance.replica_source()?;
    source
        .starts_with("arn:")
        .then(|| format!("it is a replica of {source} in another region; migrate that first"))
}

/// What the operator should know about an instance.
fn notes(facts: &Facts, instance: &DbInstance) -> Vec<String> {
    let name = instance.identifier();
    let mut notes = Vec::new();
    notes.push(format!("{name}: point-in-time recovery to times before the migration stays with its old resource id"));
    if !instance.is_mysql_family() {
        notes.push(format!("{name}: {} accounts, rows and client connections are not read; only attributes are compared", instance.engine()));
    } else if let MysqlAccess::Off { reason } = &facts.mysql {
        notes.push(format!(
            "{name}: accounts, rows and client connections are not read: {reason}"
        ));
    }
    notes
}

#[cfg(test)]
mod tests;
