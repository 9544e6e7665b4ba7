//! The permissions that a verb needs, whatever it is given to do: least privilege, for `atrest iam-policy`.
//!
//! What a step calls, and with which condition keys, is said once, where the check of a plan asks IAM for it. Here the same
//! is asked about a specimen of each step, and names become patterns. A run writes to nothing that does not bear its tag: what
//! it changes was claimed before the first change, and what it makes is made with the tag.

use std::collections::{BTreeMap, BTreeSet};

use atrest_model::id::DbInstanceIdentifier;
use atrest_model::plan::{Action, Migration, Step, TAG_RUN, Target};
use serde_json::{Map, Value, json};

use crate::preflight::permissions::{IN_REQUEST, Need, ON_RESOURCE, Place, kind_of, step_needs};

/// What `atrest plan` reads. Without those of IAM it cannot ask what the caller may do, and says so.
pub const PLAN_READS: &[&str] = &[
    "account:ListRegions",
    "cloudwatch:DescribeAlarms",
    "iam:GetRole",
    "iam:SimulatePrincipalPolicy",
    "kms:DescribeKey",
    "rds:DescribeAccountAttributes",
    "rds:DescribeBlueGreenDeployments",
    "rds:DescribeCertificates",
    "rds:DescribeDBClusters",
    "rds:DescribeDBInstances",
    "rds:DescribeDBParameters",
    "rds:DescribeDBProxies",
    "rds:DescribeDBProxyTargets",
    "rds:DescribeDBSnapshots",
    "rds:DescribeEventSubscriptions",
    "rds:DescribeIntegrations",
    "rds:DescribeOptionGroups",
    "rds:DescribeOrderableDBInstanceOptions",
    "rds:DescribePendingMaintenanceActions",
];

/// What `atrest fix` reads beside the audits before and after it.
pub const FIX_READS: &[&str] = &[
    "cloudwatch:DescribeAlarms",
    "kms:DescribeKey",
    "rds:DescribeAccountAttributes",
    "rds:DescribeBlueGreenDeployments",
    "rds:DescribeDBClusterSnapshots",
    "rds:DescribeDBClusters",
    "rds:DescribeDBInstanceAutomatedBackups",
    "rds:DescribeDBInstances",
    "rds:DescribeDBParameters",
    "rds:DescribeDBProxyTargets",
    "rds:DescribeDBSnapshots",
    "rds:DescribeEventSubscriptions",
    "rds:DescribeOptionGroups",
    "rds:DescribePendingMaintenanceActions",
];

/// What `atrest rollback` and `atrest cleanup` read beside the audit after them.
pub const UNDO_READS: &[&str] = &[
    "kms:DescribeKey",
    "rds:DescribeBlueGreenDeployments",
    "rds:DescribeDBClusterSnapshots",
    "rds:DescribeDBClusters",
    "rds:DescribeDBInstanceAutomatedBackups",
    "rds:DescribeDBInstances",
    "rds:DescribeDBParameters",
    "rds:DescribeDBProxyTargets",
    "rds:DescribeDBSnapshots",
    "rds:DescribeEventSubscriptions",
    "rds:DescribeOptionGroups",
];

/// A statement of a policy that allows something.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Its name, letters and digits.
    pub sid: String,
    /// Actions, sorted.
    pub actions: Vec<String>,
    /// Patterns of ARNs, sorted.
    pub resources: Vec<String>,
    /// As IAM writes it; null for none.
    pub condition: Value,
}

/// Why an action is allowed on a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Because {
    /// It bears the tag of a run.
    Claimed,
    /// The call gives it the tag of a run.
    Tagged,
    /// A call names it, and leaves it as it is.
    Named,
    /// RDS does it with the key, for itself.
    OfRds { for_aws_resource: bool },
    /// It is handed to this service.
    PassedTo(String),
}

/// A verb that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `atrest fix`.
    Fix,
    /// `atrest fix --rehearse`: it removes what it has made.
    Rehearse,
    /// `atrest rollback`.
    Rollback,
    /// `atrest cleanup`.
    Cleanup,
}

impl Verb {
    /// How its statements are called.
    #[must_use]
    pub fn sid(self) -> &'static str {
        match self {
            Self::Fix => "AtrestFix",
            Self::Rehearse => "AtrestRehearse",
            Self::Rollback => "AtrestRollback",
            Self::Cleanup => "AtrestCleanup",
        }
    }
}

/// What a verb changes.
///
/// # Errors
///
/// A specimen that is no migration: a bug.
pub fn changes(verb: Verb, partition: &str) -> Result<Vec<Statement>, serde_json::Error> {
    statements(partition, verb.sid(), specimens(verb))
}

fn statements(
    partition: &str,
    sid: &str,
    specimens: Vec<Action>,
) -> Result<Vec<Statement>, serde_json::Error> {
    let migration = migration()?;
    let mut allowed: BTreeMap<(Because, String), BTreeSet<String>> = BTreeMap::new();
    for action in specimens {
        let step = Step {
            id: "specimen".to_owned(),
            needs: Vec::new(),
            deadline_seconds: 1,
            action,
        };
        let place = Place {
            partition,
            region: "*",
            account: "*",
            run: "*",
        };
        let needs = step_needs(&place, &migration, &step);
        for need in needs {
            let because = because(&need);
            let resource = pattern(partition, &need.resource);
            let actions = allowed.entry((because, resource)).or_default();
            actions.insert(need.action);
        }
    }
    // Resources of which the same is allowed for the same reason share a statement.
    let mut shared: BTreeMap<(Because, BTreeSet<String>), Vec<String>> = BTreeMap::new();
    for ((because, resource), actions) in allowed {
        shared.entry((because, actions)).or_default().push(resource);
    }
    Ok(shared
        .into_iter()
        .enumerate()
        .map(|(index, ((because, actions), resources))| Statement {
            sid: format!("{sid}{}", index + 1),
            actions: actions.into_iter().collect(),
            resources,
            condition: condition(&because),
        })
        .collect())
}

fn because(need: &Need) -> Because {
    let sent = |key: &str| need.context.iter().find(|(known, _)| known == key);
    if let Some((_, service)) = sent("iam:PassedToService") {
        return Because::PassedTo(service.clone());
    }
    if need.action.starts_with("kms:") {
        return Because::OfRds {
            for_aws_resource: need.action == "kms:CreateGrant",
        };
    }
    if sent(IN_REQUEST).is_some() {
        Because::Tagged
    } else if sent(ON_RESOURCE).is_some() {
        Because::Claimed
    } else {
        Because::Named
    }
}

fn condition(because: &Because) -> Value {
    match because {
        Because::Claimed => json!({"Null": {ON_RESOURCE: "false"}}),
        Because::Tagged => json!({"Null": {IN_REQUEST: "false"}}),
        Because::Named => Value::Null,
        Because::OfRds { for_aws_resource } => {
            let mut condition = json!({"StringLike": {"kms:ViaService": "rds.*.amazonaws.com*"}});
            if *for_aws_resource && let Some(members) = condition.as_object_mut() {
                let resource = json!({"kms:GrantIsForAWSResource": "true"});
                members.insert("Bool".to_owned(), resource);
            }
            condition
        }
        Because::PassedTo(service) => {
            json!({"StringEquals": {"iam:PassedToService": service}})
        }
    }
}

/// Everything of the kind of an ARN, whatever its name.
fn pattern(partition: &str, arn: &str) -> String {
    match arn.split(':').nth(2) {
        Some("kms") => format!("arn:{partition}:kms:*:*:key/*"),
        Some("iam") => format!("arn:{partition}:iam::*:role/*"),
        // The names of the secrets that RDS makes are known as far as this.
        Some("secretsmanager") => arn.to_owned(),
        _ => format!("arn:{partition}:rds:*:*:{}:*", kind_of(arn).unwrap_or("*")),
    }
}

/// Names of the specimen, which become patterns.
const OLD: &str = "db-SPECIMEN";
const MADE_BY: &str = "restore";

/// A migration of one instance, which is the only one of a cluster, for the names in it.
fn migration() -> Result<Migration, serde_json::Error> {
    serde_json::from_value(json!({
        "id": "specimen", "region": "*", "method": "cold", "engine": "mysql", "allocated_storage": 1,
        "kms_key_id": KEY, "replicas": [], "notes": [], "steps": [],
        "source": {
            "identifier": "x", "old_name": "old-x", "new_name": "new-x", "dbi_resource_id": OLD, "replicates_from": null,
            "digest": "", "made_by": MADE_BY,
        },
        "cluster": {
            "identifier": "x", "old_name": "old-x", "new_name": "new-x", "db_cluster_resource_id": "cluster-SPECIMEN",
            "digest": "",
        },
    }))
}

const KEY: &str = "arn:aws:kms:*:*:key/specimen";

/// One of each step of a verb that calls AWS, with every argument that names something.
fn specimens(verb: Verb) -> Vec<Action> {
    let old = || Target::Old(OLD.to_owned());
    let new = || Target::MadeBy(MADE_BY.to_owned());
    let tags = vec![(TAG_RUN.to_owned(), "run".to_owned())];
    let name = |text: &str| DbInstanceIdentifier::try_from(text.to_owned()).ok();
    let (Some(x), Some(old_x), Some(new_x)) = (name("x"), name("old-x"), name("new-x")) else {
        return Vec::new();
    };
    let snapshot = || "specimen".to_owned();
    let dependents = || {
        vec![
            Action::DeregisterProxyTarget {
                proxy: "specimen".to_owned(),
                instance: old(),
                name: x.clone(),
            },
            Action::RegisterProxyTarget {
                proxy: "specimen".to_owned(),
                instance: new(),
                name: x.clone(),
            },
            Action::Subscription {
                subscription: "specimen".to_owned(),
                instance: new(),
                name: x.clone(),
            },
        ]
    };
    let quiesce = || Action::Quiesce {
        instance: old(),
        window_seconds: 1,
        kill_connections: false,
    };
    let removals = || {
        vec![
            // Deletion protection is switched off first.
            Action::Modify {
                instance: new(),
                request: Map::new(),
            },
            Action::Delete {
                instance: new(),
                name: new_x.clone(),
                tags: tags.clone(),
                encrypted: true,
            },
            Action::DeleteSnapshot {
                snapshot: snapshot(),
                of: old(),
                tags: tags.clone(),
            },
            Action::Release {
                instance: old(),
                keys: vec![TAG_RUN.to_owned()],
            },
        ]
    };
    let remove_deployment = || Action::RemoveBlueGreen {
        deployment: snapshot(),
    };
    let migration = || fix_specimens(&tags, (&x, &old_x, &new_x));
    match verb {
        Verb::Fix => [
            migration(),
            vec![quiesce()],
            dependents(),
            blue_green_specimens(&tags),
            cluster_specimens(&tags, (&x, &old_x, &new_x)),
        ]
        .concat(),
        Verb::Rehearse => {
            // Nothing live is renamed, and nothing is switched over.
            let made = blue_green_specimens(&tags)
                .into_iter()
                .chain(cluster_specimens(&tags, (&x, &old_x, &new_x)))
                .filter(|action| {
                    !matches!(
                        action,
                        Action::Switchover { .. }
                            | Action::EndBlueGreen { .. }
                            | Action::RenameCluster { .. }
                            | Action::TemporaryInstance { .. }
                    )
                });
            [
                migration(),
                made.collect(),
                removals(),
                cluster_removals(&tags, &new_x),
                vec![remove_deployment()],
            ]
            .concat()
        }
        Verb::Rollback => {
            let back = Action::NameBack {
                instance: old(),
                from: old_x.clone(),
                to: x.clone(),
            };
            let cluster_back = Action::ClusterNameBack {
                cluster: old(),
                from: old_x.clone(),
                to: x.clone(),
            };
            let deployment = blue_green_specimens(&tags).into_iter().filter(|action| {
                matches!(action, Action::Tag { .. } | Action::EndBlueGreen { .. })
            });
            [
                vec![quiesce(), back, cluster_back, remove_deployment()],
                deployment.collect(),
                dependents(),
                removals(),
                cluster_removals(&tags, &new_x),
            ]
            .concat()
        }
        Verb::Cleanup => {
            let backup = Action::DeleteAutomatedBackup {
                dbi_resource_id: OLD.to_owned(),
            };
            // The last data of the old instance: snapshot and encrypted copy.
            let kept = migration().into_iter().filter(|action| {
                matches!(
                    action,
                    Action::Snapshot { .. } | Action::EncryptedCopy { .. }
                )
            });
            // Of a cluster it is restored with the key, and snapshotted.
            let of_cluster = cluster_specimens(&tags, (&x, &old_x, &new_x))
                .into_iter()
                .filter(|action| {
                    matches!(
                        action,
                        Action::ClusterSnapshot { .. } | Action::RestoreCluster { .. }
                    )
                });
            let encrypted = Action::EncryptedClusterSnapshot {
                cluster: new(),
                snapshot: snapshot(),
                kms_key_id: KEY.to_owned(),
                tags: tags.clone(),
            };
            [
                kept.collect(),
                of_cluster.collect(),
                vec![encrypted],
                removals(),
                cluster_removals(&tags, &new_x),
                vec![backup],
            ]
            .concat()
        }
    }
}

/// The steps of a migration. What was made is also deleted by one: the temporary replica.
fn fix_specimens(
    tags: &[(String, String)],
    (x, old_x, new_x): (
        &DbInstanceIdentifier,
        &DbInstanceIdentifier,
        &DbInstanceIdentifier,
    ),
) -> Vec<Action> {
    let old = || Target::Old(OLD.to_owned());
    let new = || Target::MadeBy(MADE_BY.to_owned());
    let request = || -> Map<String, Value> {
        [
            ("DBParameterGroupName", json!("specimen")),
            ("OptionGroupName", json!("specimen")),
            ("DBSubnetGroupName", json!("specimen")),
            ("MonitoringRoleArn", json!("arn:aws:iam::1:role/specimen")),
            ("DomainIAMRoleName", json!("specimen")),
            ("Tags", json!([{"Key": TAG_RUN, "Value": "run"}])),
        ]
        .into_iter()
        .map(|(member, value)| (member.to_owned(), value))
        .collect()
    };
    vec![
        Action::Claim {
            instance: old(),
            tags: tags.to_vec(),
        },
        Action::Rename {
            instance: old(),
            from: x.clone(),
            to: old_x.clone(),
            cutover: false,
        },
        Action::Snapshot {
            instance: old(),
            snapshot: "specimen".to_owned(),
            tags: tags.to_vec(),
        },
        Action::EncryptedCopy {
            source_snapshot: "specimen".to_owned(),
            snapshot: "specimen".to_owned(),
            kms_key_id: KEY.to_owned(),
            tags: tags.to_vec(),
        },
        Action::Restore {
            snapshot: "specimen".to_owned(),
            name: new_x.clone(),
            request: request(),
        },
        Action::CreateReplica {
            source: new(),
            name: new_x.clone(),
            request: request(),
        },
        Action::TemporaryReplica {
            source: old(),
            name: new_x.clone(),
            request: request(),
        },
        Action::RemoveTemporary { instance: new() },
        Action::Modify {
            instance: new(),
            request: request(),
        },
        Action::Settle { instance: new() },
        Action::AddRole {
            instance: new(),
            role_arn: "arn:aws:iam::1:role/specimen".to_owned(),
            feature_name: "S3_INTEGRATION".to_owned(),
        },
        Action::ManagePassword {
            instance: new(),
            kms_key_id: Some(KEY.to_owned()),
        },
        Action::ReplicateBackups {
            instance: new(),
            region: "*".to_owned(),
            kms_key_id: KEY.to_owned(),
            retention_days: 1,
        },
    ]
}

/// What only a blue/green deployment needs: RDS makes the instances of the green side, and gives them their names.
fn blue_green_specimens(tags: &[(String, String)]) -> Vec<Action> {
    let old = || Target::Old(OLD.to_owned());
    let deployment = || "specimen".to_owned();
    vec![
        Action::CreateBlueGreen {
            deployment: deployment(),
            source: old(),
            keys: vec![(old(), KEY.to_owned())],
            tags: tags.to_vec(),
        },
        Action::Tag {
            instance: Target::MadeBy(MADE_BY.to_owned()),
            tags: tags.to_vec(),
        },
        Action::Switchover {
            deployment: deployment(),
            timeout_seconds: 1,
        },
        Action::EndBlueGreen {
            deployment: deployment(),
        },
    ]
}

/// What takes a cluster away again.
fn cluster_removals(tags: &[(String, String)], new_x: &DbInstanceIdentifier) -> Vec<Action> {
    let new = || Target::MadeBy(MADE_BY.to_owned());
    vec![
        Action::UnprotectCluster { cluster: new() },
        Action::DeleteCluster {
            cluster: new(),
            name: new_x.clone(),
            tags: tags.to_vec(),
            encrypted: true,
        },
        Action::DeleteClusterSnapshot {
            snapshot: "specimen".to_owned(),
            of: Target::Old(OLD.to_owned()),
            tags: tags.to_vec(),
        },
        Action::ReleaseCluster {
            cluster: Target::Old(OLD.to_owned()),
            keys: vec![TAG_RUN.to_owned()],
        },
    ]
}

/// What only a cluster needs; its instances are claimed, renamed and modified as others are.
fn cluster_specimens(
    tags: &[(String, String)],
    (x, old_x, new_x): (
        &DbInstanceIdentifier,
        &DbInstanceIdentifier,
        &DbInstanceIdentifier,
    ),
) -> Vec<Action> {
    let request = |members: &[(&str, Value)]| -> Map<String, Value> {
        members
            .iter()
            .map(|(member, value)| ((*member).to_owned(), value.clone()))
            .collect()
    };
    let role = || "arn:aws:iam::1:role/specimen".to_owned();
    vec![
        Action::ClaimCluster {
            tags: tags.to_vec(),
        },
        Action::RenameCluster {
            from: x.clone(),
            to: old_x.clone(),
            cutover: false,
        },
        Action::ClusterSnapshot {
            snapshot: "specimen".to_owned(),
            tags: tags.to_vec(),
        },
        Action::RestoreCluster {
            snapshot: "specimen".to_owned(),
            name: new_x.clone(),
            request: request(&[
                ("DBClusterParameterGroupName", json!("specimen")),
                ("OptionGroupName", json!("specimen")),
                ("DBSubnetGroupName", json!("specimen")),
                ("MonitoringRoleArn", json!(role())),
                ("DomainIAMRoleName", json!("specimen")),
            ]),
        },
        Action::ModifyCluster {
            request: Map::new(),
        },
        Action::AddClusterRole {
            role_arn: role(),
            feature_name: String::new(),
        },
        Action::TemporaryInstance {
            snapshot: "specimen".to_owned(),
            name: new_x.clone(),
            request: request(&[
                ("DBParameterGroupName", json!("specimen")),
                ("OptionGroupName", json!("specimen")),
                ("DBSubnetGroupName", json!("specimen")),
            ]),
        },
        Action::EnableDataApi,
        Action::CreateMember {
            name: new_x.clone(),
            request: request(&[
                ("DBParameterGroupName", json!("specimen")),
                ("MonitoringRoleArn", json!(role())),
            ]),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_read_only() {
        for table in [PLAN_READS, FIX_READS, UNDO_READS] {
            assert!(table.is_sorted(), "{table:?}");
            for action in table {
                let (_, verb) = action.split_once(':').unwrap();
                let reads = ["Describe", "List", "Get", "Simulate"];
                assert!(reads.iter().any(|r| verb.starts_with(r)), "{action}");
            }
        }
    }

    #[test]
    fn what_a_run_changes_bears_its_tag_or_is_given_it() {
        let statements = changes(Verb::Fix, "aws-cn").unwrap();
        let of = |action: &str, kind: &str| -> Vec<&Statement> {
            let resource = format!("arn:aws-cn:rds:*:*:{kind}:*");
            statements
                .iter()
                .filter(|one| one.actions.iter().any(|known| known == action))
                .filter(|one| one.resources.contains(&resource))
                .collect()
        };
        let claimed = json!({"Null": {"aws:ResourceTag/atrest:run": "false"}});
        let tagged = json!({"Null": {"aws:RequestTag/atrest:run": "false"}});
        for (action, kind, condition) in [
            ("rds:AddTagsToResource", "db", &tagged),
            ("rds:ModifyDBInstance", "db", &claimed),
            ("rds:RebootDBInstance", "db", &claimed),
            ("rds:CreateDBSnapshot", "db", &claimed),
            ("rds:CreateDBSnapshot", "snapshot", &tagged),
            ("rds:CopyDBSnapshot", "snapshot", &tagged),
            ("rds:RestoreDBInstanceFromDBSnapshot", "snapshot", &claimed),
            ("rds:RestoreDBInstanceFromDBSnapshot", "db", &tagged),
            ("rds:RestoreDBInstanceFromDBSnapshot", "og", &Value::Null),
            ("rds:DeleteDBInstance", "db", &claimed),
            ("rds:CreateBlueGreenDeployment", "db", &claimed),
            ("rds:CreateBlueGreenDeployment", "deployment", &tagged),
            ("rds:SwitchoverBlueGreenDeployment", "deployment", &claimed),
            ("rds:DeleteBlueGreenDeployment", "deployment", &claimed),
            ("rds:PromoteReadReplica", "db", &claimed),
            ("rds:AddTagsToResource", "cluster", &tagged),
            ("rds:ModifyDBCluster", "cluster", &claimed),
            ("rds:CreateDBClusterSnapshot", "cluster", &claimed),
            ("rds:CreateDBClusterSnapshot", "cluster-snapshot", &tagged),
            (
                "rds:RestoreDBClusterFromSnapshot",
                "cluster-snapshot",
                &claimed,
            ),
            ("rds:RestoreDBClusterFromSnapshot", "cluster", &tagged),
            (
                "rds:RestoreDBClusterFromSnapshot",
                "cluster-pg",
                &Value::Null,
            ),
            ("rds:CreateDBInstance", "cluster", &claimed),
            ("rds:CreateDBInstance", "db", &tagged),
        ] {
            let found: Vec<&Value> = of(action, kind).iter().map(|one| &one.condition).collect();
            assert_eq!(found, [condition], "{action} {kind}");
        }
        // Of what is claimed, and what it makes is tagged.
        let found = of("rds:CreateDBInstanceReadReplica", "db");
        let found: Vec<&Value> = found.iter().map(|one| &one.condition).collect();
        assert_eq!(found, [&claimed, &tagged]);
        let sids: BTreeSet<&str> = statements.iter().map(|one| one.sid.as_str()).collect();
        assert_eq!(sids.len(), statements.len());
        // Nothing is allowed on everything.
        for one in &statements {
            assert!(!one.resources.iter().any(|resource| resource == "*"));
            assert!(!one.actions.iter().any(|action| action.contains('*')));
        }
    }

    /// The form of a plan lists every kind of step: one that is added and calls AWS must be given a specimen.
    #[test]
    fn every_step_that_calls_aws_has_a_specimen() {
        let schema = include_str!("../../docs/schemas/plan.json");
        let schema: Value = serde_json::from_str(schema).unwrap();
        let kinds: BTreeSet<&str> = schema["$defs"]["Action"]["oneOf"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["properties"]["kind"]["const"].as_str().unwrap())
            .collect();
        let tags: BTreeSet<String> = [Verb::Fix, Verb::Rehearse, Verb::Rollback, Verb::Cleanup]
            .into_iter()
            .flat_map(specimens)
            .map(|action| {
                let action = serde_json::to_value(action).unwrap();
                action["kind"].as_str().unwrap().to_owned()
            })
            .collect();
        let without: BTreeSet<&str> = kinds
            .into_iter()
            .filter(|kind| !tags.contains(*kind))
            .collect();
        let calls_nothing = BTreeSet::from([
            "accounts",
            "alarms",
            "await-green",
            "await-member",
            "catch-up",
            "compare-rows",
            "configuration",
            "detach",
            "final-position",
            "handover",
            "hold",
            "hook",
            "keep-way-back",
            "mark-end",
            "raise-retention",
            "rehearse",
            "remove-account",
            "replicate",
            "replication-account",
            "rescan",
            "restore-retention",
            "returned",
            "unused",
            "unwritten",
            "validate",
        ]);
        assert_eq!(
            without, calls_nothing,
            "a step that calls AWS has no specimen"
        );
    }

    #[test]
    fn every_specimen_is_in_the_policy() {
        for (verb, steps) in [
            (Verb::Fix, 30),
            (Verb::Rehearse, 31),
            (Verb::Rollback, 17),
            (Verb::Cleanup, 14),
        ] {
            let specimens = specimens(verb);
            assert_eq!(specimens.len(), steps, "{verb:?}");
            let operations: BTreeSet<&str> =
                specimens.iter().filter_map(Action::operation).collect();
            let statements = changes(verb, "aws").unwrap();
            for operation in operations {
                let action = format!("rds:{operation}");
                let is_there = statements.iter().any(|one| one.actions.contains(&action));
                assert!(is_there, "{action}");
            }
        }
    }
}
