//! From a described fleet to a plan. Pure: the same facts give the same plan.

use std::collections::{BTreeMap, BTreeSet};

use atrest_model::Tool;
use atrest_model::check::{Check, Verdict};
use atrest_model::document::{digest, int_of, list_of, str_of};
use atrest_model::id::{DbInstanceIdentifier, RunId};
use atrest_model::instance::{DbCluster, DbInstance, Encryption};
use atrest_model::plan::{
    self, Action, DataCheck, LeftOut, Member, Method, Migration, MysqlAccess, Plan, Step, TAG_RUN,
    TAG_SOURCE, TAG_STEP, Target,
};
use atrest_scanner::aws::KeyFacts;
use jiff::Timestamp;
use sha2::Digest as _;

use crate::requests;

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
        if cluster.encryption() == Encryption::None
            && is_wanted(&cluster.region, cluster.identifier())
        {
            left_out.push(LeftOut {
                arn: cluster.arn().to_owned(),
                reason: "it is a cluster; clusters cannot be migrated by this version".to_owned(),
            });
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
        method: Method::Cold,
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
    migration.steps = steps(facts, &migration, &members);
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

/// Hours that waiting for data may take: an hour, and one more for each 100 GiB.
fn data_deadline(gib: i64) -> u64 {
    let gib = u64::try_from(gib).unwrap_or(0);
    4 * 3600 + gib / 100 * 3600
}

const SHORT: u64 = 3600;
const RENAME: u64 = 2 * 3600;

/// Snapshot name: the same for every run on one source, so that two runs collide on it instead of doubling it. The
/// number is the attempt.
fn snapshot_name(dbi_resource_id: &str, suffix: &str) -> String {
    let mut hash = atrest_model::document::hex(&sha2::Sha256::digest(dbi_resource_id.as_bytes()));
    hash.truncate(20);
    format!("atrest-{hash}-1-{suffix}")
}

fn steps(facts: &Facts, migration: &Migration, members: &[&DbInstance]) -> Vec<Step> {
    let source = &migration.source;
    let old = Target::Old(source.dbi_resource_id.clone());
    let new = Target::MadeBy("restore".to_owned());
    let data = data_deadline(migration.allocated_storage);
    let tags = |step: &str| {
        vec![
            (TAG_RUN.to_owned(), facts.run.to_string()),
            (TAG_SOURCE.to_owned(), source.dbi_resource_id.clone()),
            (TAG_STEP.to_owned(), step.to_owned()),
        ]
    };
    let raw = snapshot_name(&source.dbi_resource_id, "raw");
    let kms = snapshot_name(&source.dbi_resource_id, "kms");
    let mut list = StepList::default();

    // Claim every member before anything changes: a foreign claim stops the run here.
    let mut claims = Vec::new();
    for member in migration.members() {
        let id = format!("claim:{}", member.identifier);
        let mut own = tags(&id);
        own.retain(|(key, _)| key == TAG_RUN);
        list.push(
            &id,
            &[] as &[&str],
            SHORT,
            Action::Claim {
                instance: Target::Old(member.dbi_resource_id.clone()),
                tags: own,
            },
        );
        claims.push(id);
    }
    // Clients lose their endpoints.
    let mut renamed = Vec::new();
    for member in migration.members() {
        let id = format!("rename-old:{}", member.identifier);
        let action = Action::Rename {
            instance: Target::Old(member.dbi_resource_id.clone()),
            from: member.identifier.clone(),
            to: member.old_name.clone(),
            cutover: false,
        };
        list.push(&id, &claims, RENAME, action);
        renamed.push(id);
    }
    list.push(
        "quiesce",
        &renamed,
        SHORT,
        Action::Quiesce {
            instance: old.clone(),
        },
    );
    list.push(
        "snapshot",
        &["quiesce"],
        data,
        Action::Snapshot {
            instance: old,
            snapshot: raw.clone(),
            tags: tags("snapshot"),
        },
    );
    list.push(
        "encrypted-copy",
        &["snapshot"],
        data,
        Action::EncryptedCopy {
            source_snapshot: raw,
            snapshot: kms.clone(),
            kms_key_id: migration.kms_key_id.clone(),
            tags: tags("encrypted-copy"),
        },
    );
    let mut settled = BTreeMap::new();
    let mut last_of_all = Vec::new();
    for (member, instance) in migration.members().zip(members) {
        let name = &member.identifier;
        let made = Target::MadeBy(member.made_by.clone());
        let (modify_request, parent) = match &member.replicates_from {
            None => {
                let request = requests::restore(instance, &tags("restore"));
                list.push(
                    "restore",
                    &["encrypted-copy"],
                    data,
                    Action::Restore {
                        snapshot: kms.clone(),
                        name: member.new_name.clone(),
                        request,
                    },
                );
                (requests::modify_after_restore(instance), None)
            }
            Some(parent) => {
                let request = requests::create_replica(instance, &tags(&member.made_by));
                let from = migration.members().find(|m| m.identifier == *parent);
                let from = from.map_or_else(|| new.clone(), |m| Target::MadeBy(m.made_by.clone()));
                let needs: Vec<String> =
                    settled.get(parent.as_str()).cloned().into_iter().collect();
                list.push(
                    &member.made_by,
                    &needs,
                    data,
                    Action::CreateReplica {
                        source: from,
                        name: member.new_name.clone(),
                        request,
                    },
                );
                (requests::modify_after_replica(instance), Some(parent))
            }
        };
        let mut last = member.made_by.clone();
        if !modify_request.is_empty() {
            let id = format!("modify:{name}");
            list.push(
                &id,
                &[last],
                SHORT,
                Action::Modify {
                    instance: made.clone(),
                    request: modify_request,
                },
            );
            last = id;
        }
        let id = format!("settle:{name}");
        list.push(
            &id,
            &[last],
            SHORT,
            Action::Settle {
                instance: made.clone(),
            },
        );
        last = id;
        for role in list_of(&instance.document, "AssociatedRoles") {
            let (Some(role_arn), Some(feature_name)) =
                (str_of(role, "RoleArn"), str_of(role, "FeatureName"))
            else {
                continue;
            };
            let id = format!("role:{name}:{feature_name}");
            let action = Action::AddRole {
                instance: made.clone(),
                role_arn: role_arn.to_owned(),
                feature_name: feature_name.to_owned(),
            };
            list.push(&id, &[last], SHORT, action);
            last = id;
        }
        settled.insert(name.to_string(), last.clone());
        last_of_all.push(last.clone());
        if instance.is_mysql_family() && facts.mysql == MysqlAccess::Required {
            let old = Target::Old(member.dbi_resource_id.clone());
            if parent.is_some() {
                let id = format!("accounts:{name}");
                list.push(
                    &id,
                    &[last],
                    SHORT,
                    Action::Accounts {
                        old: old.clone(),
                        new: made.clone(),
                    },
                );
                last = id;
            }
            let id = format!("configuration:{name}");
            list.push(
                &id,
                &[last],
                SHORT,
                Action::Configuration { old, new: made },
            );
            last_of_all.push(id);
        }
    }
    list.push("validate", &last_of_all, data, Action::Validate);
    let mut cutover = Vec::new();
    for member in migration.members() {
        let id = format!("rename-new:{}", member.identifier);
        let action = Action::Rename {
            instance: Target::MadeBy(member.made_by.clone()),
            from: member.new_name.clone(),
            to: member.identifier.clone(),
            cutover: true,
        };
        list.push(&id, &["validate"], RENAME, action);
        cutover.push(id);
    }
    list.push("rescan", &cutover, SHORT, Action::Rescan);
    list.0
}

#[derive(Default)]
struct StepList(Vec<Step>);

impl StepList {
    fn push(&mut self, id: &str, needs: &[impl AsRef<str>], deadline_seconds: u64, action: Action) {
        let needs = needs.iter().map(|need| need.as_ref().to_owned()).collect();
        self.0.push(Step {
            id: id.to_owned(),
            needs,
            deadline_seconds,
            action,
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn instance(name: &str, changes: Value) -> DbInstance {
        let mut document = json!({
            "DBInstanceIdentifier": name, "DbiResourceId": format!("db-{}", name.to_uppercase()),
            "DBInstanceArn": format!("arn:aws:rds:eu-central-1:111122223333:db:{name}"), "Engine": "mariadb",
            "EngineVersion": "10.11.9", "DBInstanceClass": "db.t3.small", "DBInstanceStatus": "available",
            "StorageEncrypted": false, "AllocatedStorage": 20, "StorageType": "gp2", "BackupRetentionPeriod": 1,
            "Endpoint": {"Address": "127.0.0.1", "Port": 3306},
        });
        for (member, value) in changes.as_object().unwrap() {
            document[member] = value.clone();
        }
        DbInstance {
            region: "eu-central-1".to_owned(),
            document,
        }
    }

    fn facts(instances: Vec<DbInstance>) -> Facts {
        Facts {
            run: RunId::try_from("r".to_owned()).unwrap(),
            created: Timestamp::UNIX_EPOCH,
            account: "111122223333".to_owned(),
            instances,
            clusters: Vec::new(),
            keys: BTreeMap::from([(
                "eu-central-1".to_owned(),
                Ok(KeyFacts {
                    arn: "arn:aws:kms:eu-central-1:111122223333:key/k".to_owned(),
                    state: "Enabled".to_owned(),
                    usage: "ENCRYPT_DECRYPT".to_owned(),
                    spec: "SYMMETRIC_DEFAULT".to_owned(),
                    manager: "CUSTOMER".to_owned(),
                    origin: "AWS_KMS".to_owned(),
                    multi_region: false,
                    deletion_date: None,
                    rotation: atrest_model::key::Rotation::Unknown,
                }),
            )]),
            mysql: MysqlAccess::Required,
            data_check: DataCheck::Counts,
        }
    }

    fn family() -> Vec<DbInstance> {
        vec![
            instance(
                "x-leaf",
                json!({"ReadReplicaSourceDBInstanceIdentifier": "x-replica"}),
            ),
            instance(
                "x",
                json!({"ReadReplicaDBInstanceIdentifiers": ["x-replica"], "AssociatedRoles": [{"RoleArn": "r", "FeatureName": "s3Import"}]}),
            ),
            instance(
                "x-replica",
                json!({"ReadReplicaSourceDBInstanceIdentifier": "x", "ReadReplicaDBInstanceIdentifiers": ["x-leaf"]}),
            ),
            instance("enc", json!({"StorageEncrypted": true})),
        ]
    }

    #[test]
    fn every_need_names_an_earlier_step_and_ids_are_unique() {
        let plan = plan(&facts(family()), None);
        assert_eq!(plan.migrations.len(), 1);
        let mut seen = BTreeSet::new();
        for step in &plan.migrations[0].steps {
            for need in &step.needs {
                assert!(seen.contains(need), "{} needs {need}", step.id);
            }
            assert!(seen.insert(step.id.clone()), "{} twice", step.id);
        }
    }

    #[test]
    fn a_chain_of_replicas_is_made_parents_first_from_the_new_parents() {
        let plan = plan(&facts(family()), None);
        let migration = &plan.migrations[0];
        let names: Vec<&str> = migration.members().map(|m| m.identifier.as_str()).collect();
        assert_eq!(names, ["x", "x-replica", "x-leaf"]);
        let leaf = migration
            .steps
            .iter()
            .find(|s| s.id == "replica:x-leaf")
            .unwrap();
        assert!(
            matches!(&leaf.action, Action::CreateReplica { source: Target::MadeBy(step), .. } if step == "replica:x-replica")
        );
        assert_eq!(leaf.needs, ["settle:x-replica"]);
    }

    #[test]
    fn no_cutover_rename_comes_without_validation() {
        let plan = plan(&facts(family()), None);
        for step in &plan.migrations[0].steps {
            if matches!(step.action, Action::Rename { cutover: true, .. }) {
                assert_eq!(step.needs, ["validate"], "{}", step.id);
            }
        }
    }

    #[test]
    fn what_is_not_even_drafted_is_left_out_with_its_reason_and_check() {
        let long = "a".repeat(60);
        let plan = plan(
            &facts(vec![
                instance("tailored", json!({"Engine": "custom-oracle-ee"})),
                instance(
                    "far",
                    json!({"ReadReplicaSourceDBInstanceIdentifier": "arn:aws:rds:us-east-1:1:db:y"}),
                ),
                instance(&long, json!({})),
                instance(
                    "below",
                    json!({"ReadReplicaSourceDBInstanceIdentifier": long}),
                ),
            ]),
            None,
        );
        assert!(plan.migrations.is_empty());
        for (name, words, check) in [
            ("tailored", "RDS Custom", Some("migratable")),
            ("far", "another region", Some("migratable")),
            (long.as_str(), "63", Some("names-free")),
            ("below", "its source a", None),
        ] {
            let row = plan
                .left_out
                .iter()
                .find(|l| l.arn.ends_with(&format!(":{name}")))
                .unwrap();
            assert!(row.reason.contains(words), "{}", row.reason);
            let found = plan
                .checks
                .iter()
                .find(|line| line.subject == format!("eu-central-1/{name}"));
            assert_eq!(found.map(|line| line.check.as_str()), check, "{name}");
        }
    }

    #[test]
    fn a_replica_alone_points_to_its_source() {
        let wanted = BTreeSet::from([("eu-central-1".to_owned(), "x-replica".to_owned())]);
        let plan = plan(&facts(family()), Some(&wanted));
        assert!(plan.migrations.is_empty());
        assert!(plan.left_out[0].reason.contains("plan its source x"));
    }

    #[test]
    fn the_same_facts_give_the_same_plan() {
        assert_eq!(plan(&facts(family()), None), plan(&facts(family()), None));
    }

    #[test]
    fn the_digest_of_an_instance_ignores_times_and_sees_settings() {
        let base = instance("x", json!({}));
        let later = instance("x", json!({"LatestRestorableTime": "2026-11-24T00:00:00Z"}));
        let larger = instance("x", json!({"AllocatedStorage": 30}));
        assert_eq!(settled_digest(&base), settled_digest(&later));
        assert_ne!(settled_digest(&base), settled_digest(&larger));
    }
}
