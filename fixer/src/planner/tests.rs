//! Whole plans from described fleets.

use serde_json::{Value, json};

use atrest_model::plan::{Action, Target};

use super::*;

pub(super) fn instance(name: &str, changes: Value) -> DbInstance {
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

pub(super) fn facts(instances: Vec<DbInstance>) -> Facts {
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
        methods: MethodFacts::default(),
        quiesce: Quiesce::default(),
        dependents: BTreeMap::new(),
        login: None,
    }
}

pub(super) fn family() -> Vec<DbInstance> {
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

mod methods {
    use atrest_model::plan::Method;

    use super::*;
    use crate::preflight::ReplicationFacts;
    use crate::preflight::able_to_replicate;

    fn wishing(wish: Wish, server: Result<ReplicationFacts, String>) -> Facts {
        let mut facts = facts(family());
        facts.methods = MethodFacts {
            wish,
            way_back_hours: None,
            blue_green_refused: BTreeMap::new(),
            replication: [("db-X".to_owned(), server)].into(),
        };
        facts
    }

    #[test]
    fn auto_takes_the_replica_method_where_nothing_is_in_the_way() {
        let plan = plan(&wishing(Wish::Auto, Ok(able_to_replicate())), None);
        assert_eq!(plan.migrations[0].method, Method::Replica);
        assert!(plan.migrations[0].not_taken.is_empty());
    }

    #[test]
    fn auto_falls_back_to_cold_and_says_why_for_each_better_method() {
        let plan = plan(&wishing(Wish::Auto, Err("it is asleep".to_owned())), None);
        let migration = &plan.migrations[0];
        assert_eq!(migration.method, Method::Cold);
        let not = &migration.not_taken[0];
        assert_eq!(not.method, Method::Replica);
        assert!(not.reasons[0].contains("it is asleep"), "{not:?}");
    }

    #[test]
    fn the_replica_method_alone_is_refused_with_its_reasons() {
        let mut server = able_to_replicate();
        server.source.events = vec!["shop.nightly".to_owned()];
        let plan = plan(&wishing(Wish::Only(Method::Replica), Ok(server)), None);
        assert!(plan.migrations.is_empty());
        let check = plan.checks.iter().find(|check| check.check == "method");
        let check = check.unwrap();
        assert!(check.blocks());
        assert!(check.detail.contains("shop.nightly"), "{}", check.detail);
    }

    #[test]
    fn what_rules_the_replica_method_out_by_the_describe_answer_is_named() {
        type Case = (&'static str, Value);
        let cases: [Case; 4] = [
            ("neither MySQL nor MariaDB", json!({"Engine": "postgres"})),
            ("no automated backups", json!({"BackupRetentionPeriod": 0})),
            ("10.2 or later", json!({"EngineVersion": "10.1.48"})),
            ("RDS keeps binary logs", json!({"AllocatedStorage": 65_536})),
        ];
        for (words, change) in cases {
            let mut facts = wishing(Wish::Auto, Ok(able_to_replicate()));
            facts.instances = vec![instance("x", change)];
            let plan = plan(&facts, None);
            let reasons = &plan.migrations[0].not_taken[0].reasons;
            assert_eq!(reasons.len(), 1, "{reasons:?}");
            assert!(reasons[0].contains(words), "{reasons:?}");
        }
    }

    #[test]
    fn the_cutover_begins_after_the_second_validation_and_ends_after_the_last_position() {
        let plan = plan(&wishing(Wish::Auto, Ok(able_to_replicate())), None);
        let steps = &plan.migrations[0].steps;
        let mut seen = BTreeSet::new();
        for step in steps {
            for need in &step.needs {
                assert!(seen.contains(need), "{} needs {need}", step.id);
            }
            assert!(seen.insert(step.id.clone()), "{} twice", step.id);
        }
        let before = |step: &str| -> BTreeSet<&str> {
            let mut all = BTreeSet::new();
            let mut open = vec![step];
            while let Some(id) = open.pop() {
                let needs = &steps.iter().find(|s| s.id == id).unwrap().needs;
                for need in needs {
                    if all.insert(need.as_str()) {
                        open.push(need);
                    }
                }
            }
            all
        };
        for step in steps {
            if step.action.takes_clients_away() {
                let needed = before(&step.id);
                for wanted in [
                    "validate-again",
                    "lag-gate",
                    "compare-rows",
                    "remove-temporary",
                    "settle:x-leaf",
                    "accounts:x-replica",
                ] {
                    assert!(needed.contains(wanted), "{} without {wanted}", step.id);
                }
            }
            if step.action.is_cutover() {
                let needed = before(&step.id);
                for wanted in ["quiesce", "follow", "final-position", "detach"] {
                    assert!(needed.contains(wanted), "{} without {wanted}", step.id);
                }
            }
        }
    }

    #[test]
    fn no_password_is_in_a_plan() {
        let plan = plan(&wishing(Wish::Auto, Ok(able_to_replicate())), None);
        let text = serde_json::to_string(&plan).unwrap();
        assert!(!text.to_ascii_lowercase().contains("password"), "{text}");
    }
}
