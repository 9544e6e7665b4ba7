//! Plans of rollback, cleanup and rehearsal, without RDS.

use std::time::Duration;

use atrest_model::id::RunId;
use atrest_model::plan::{DataCheck, MysqlAccess};
use atrest_scanner::aws::KeyFacts;
use serde_json::json;

use super::cleanup::CleanupOptions;
use super::rollback::RollbackOptions;
use super::*;
use crate::planner;

const ID: &str = "eu-central-1/x";
const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/k";

fn instance(name: &str, id: &str, more: &Value) -> DbInstance {
    let mut document = json!({
        "DBInstanceIdentifier": name, "DbiResourceId": id, "Engine": "mariadb", "EngineVersion": "10.11.9",
        "DBInstanceArn": format!("arn:aws:rds:eu-central-1:111122223333:db:{name}"),
        "DBInstanceClass": "db.t3.small", "DBInstanceStatus": "available", "StorageEncrypted": false,
        "AllocatedStorage": 20, "StorageType": "gp2", "BackupRetentionPeriod": 1,
        "Endpoint": {"Address": format!("{name}.x.rds.amazonaws.com"), "Port": 3306},
    });
    for (member, value) in more.as_object().unwrap() {
        document[member] = value.clone();
    }
    DbInstance {
        region: "eu-central-1".to_owned(),
        document,
    }
}

/// A source with a replica, planned.
fn planned() -> Plan {
    let facts = planner::Facts {
        run: RunId::try_from("r".to_owned()).unwrap(),
        created: Timestamp::UNIX_EPOCH,
        account: "111122223333".to_owned(),
        instances: vec![
            instance(
                "x",
                "db-X",
                &json!({"ReadReplicaDBInstanceIdentifiers": ["x-r"], "DeletionProtection": true}),
            ),
            instance(
                "x-r",
                "db-XR",
                &json!({"ReadReplicaSourceDBInstanceIdentifier": "x"}),
            ),
        ],
        clusters: Vec::new(),
        keys: BTreeMap::from([(
            "eu-central-1".to_owned(),
            Ok(KeyFacts {
                arn: KEY.to_owned(),
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
        methods: planner::MethodFacts {
            wish: planner::Wish::Only(atrest_model::plan::Method::Cold),
            ..planner::MethodFacts::default()
        },
        quiesce: planner::Quiesce::default(),
        dependents: BTreeMap::new(),
        login: None,
    };
    planner::plan(&facts, None)
}

/// An old instance, tagged with a run.
fn old(name: &str, id: &str, run: &str) -> DbInstance {
    instance(
        name,
        id,
        &json!({"TagList": [{"Key": TAG_RUN, "Value": run}]}),
    )
}

/// What a step has made.
fn made(name: &str, id: &str, step: &str) -> DbInstance {
    let tags = json!([{"Key": TAG_RUN, "Value": "r"}, {"Key": TAG_SOURCE, "Value": "db-X"}, {"Key": TAG_STEP, "Value": step}]);
    instance(
        name,
        id,
        &json!({"TagList": tags, "StorageEncrypted": true, "StorageEncryptionType": "sse-kms", "KmsKeyId": KEY}),
    )
}

fn snapshot(plan: &Plan, step: &str) -> Value {
    let action = &plan.migrations[0]
        .steps
        .iter()
        .find(|s| s.id == step)
        .unwrap()
        .action;
    let (Action::Snapshot { snapshot, .. } | Action::EncryptedCopy { snapshot, .. }) = action
    else {
        panic!("{step}")
    };
    json!({"DBSnapshotIdentifier": snapshot, "DbiResourceId": "db-X", "Status": "available",
        "TagList": [{"Key": TAG_RUN, "Value": "r"}, {"Key": TAG_SOURCE, "Value": "db-X"}, {"Key": TAG_STEP, "Value": step}]})
}

fn done(at: Timestamp, result: Value) -> StepRecord {
    StepRecord {
        status: StepStatus::Done,
        intended_at: None,
        changed_at: at,
        result,
    }
}

/// A run in which these steps are done, and what is shown of it.
struct Bed {
    plan: Plan,
    records: BTreeMap<String, StepRecord>,
    regions: BTreeMap<String, Region>,
    phases: BTreeMap<String, (PhaseKind, bool)>,
}

impl Bed {
    fn new(done_until: &str, instances: Vec<DbInstance>, snapshots: &[&str]) -> Self {
        let plan = planned();
        let mut records = BTreeMap::new();
        for step in &plan.migrations[0].steps {
            let id = match step.id.as_str() {
                "restore" => "db-N",
                "replica:x-r" => "db-NR",
                _ => "",
            };
            records.insert(
                step.id.clone(),
                done(Timestamp::UNIX_EPOCH, json!({"dbi_resource_id": id})),
            );
            if step.id == done_until {
                break;
            }
        }
        let snapshots = snapshots.iter().map(|step| snapshot(&plan, step)).collect();
        let regions = BTreeMap::from([(
            "eu-central-1".to_owned(),
            Region {
                instances,
                snapshots,
                ..Region::default()
            },
        )]);
        Self {
            plan,
            records,
            regions,
            phases: BTreeMap::new(),
        }
    }

    /// Everything done, as a run leaves it.
    fn migrated() -> Self {
        let instances = vec![
            old("old-x", "db-X", "r"),
            old("old-x-r", "db-XR", "r"),
            made("x", "db-N", "restore"),
            made("x-r", "db-NR", "replica:x-r"),
        ];
        Self::new("the end", instances, &["snapshot", "encrypted-copy"])
    }

    fn facts(&self, kind: PhaseKind) -> Facts<'_> {
        Facts {
            plan: &self.plan,
            name: PhaseName { kind, number: 1 },
            now: Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(8 * 24),
            records: BTreeMap::from([(ID.to_owned(), self.records.clone())]),
            phases: self.phases.clone(),
            adopted: false,
            asks: true,
            regions: &self.regions,
        }
    }

    fn rollback(&self, options: &RollbackOptions) -> Phase {
        rollback::plan(&self.facts(PhaseKind::Rollback), options)
    }

    fn cleanup(&self) -> Phase {
        cleanup::plan(&self.facts(PhaseKind::Cleanup), &cleanup_options())
    }
}

fn cleanup_options() -> CleanupOptions {
    CleanupOptions {
        wanted: None,
        min_soak: Duration::from_secs(7 * 86_400),
        final_snapshot: true,
        delete_encrypted_copy: false,
    }
}

/// Ids of the steps without the name of the phase; needs come before.
fn ids(phase: &Phase) -> Vec<String> {
    assert!(phase.left_alone.is_empty(), "{:?}", phase.left_alone);
    let mut seen = std::collections::BTreeSet::new();
    for step in &phase.migrations[0].steps {
        for need in &step.needs {
            assert!(seen.contains(need), "{} needs {need}", step.id);
        }
        assert!(seen.insert(step.id.clone()), "{} twice", step.id);
    }
    let steps = phase.migrations[0].steps.iter();
    steps
        .map(|s| s.id.split_once('/').unwrap().1.to_owned())
        .collect()
}

fn refusal(phase: &Phase) -> &str {
    assert!(
        phase.migrations.is_empty(),
        "{:?}",
        phase.migrations[0].steps
    );
    &phase.left_alone[0].reason
}

#[test]
fn before_the_quiesce_nothing_is_undone_but_our_own() {
    let bed = Bed::new(
        "claim:x-r",
        vec![old("x", "db-X", "r"), old("x-r", "db-XR", "r")],
        &[],
    );
    let phase = bed.rollback(&RollbackOptions::default());
    assert_eq!(ids(&phase), ["release:x-r", "release:x"]);
}

#[test]
fn after_the_quiesce_names_come_first_and_copies_go_children_first() {
    let mut copy = made("new-x", "db-N", "restore");
    copy.document["DeletionProtection"] = json!(true);
    let bed = Bed::new(
        "validate",
        vec![
            old("old-x", "db-X", "r"),
            old("old-x-r", "db-XR", "r"),
            copy,
            made("new-x-r", "db-NR", "replica:x-r"),
        ],
        &["snapshot", "encrypted-copy"],
    );
    let phase = bed.rollback(&RollbackOptions::default());
    assert_eq!(
        ids(&phase),
        [
            "name-back:x",
            "name-back:x-r",
            "returned",
            "delete:new-x-r",
            "unprotect:new-x",
            "delete:new-x",
            "delete-encrypted-copy",
            "delete-snapshot",
            "release:x-r",
            "release:x"
        ]
    );
    let kept = RollbackOptions {
        keep_copies: true,
        ..RollbackOptions::default()
    };
    let phase = bed.rollback(&kept);
    assert!(!ids(&phase).iter().any(|id| id.starts_with("delete")));
}

#[test]
fn a_half_renamed_migration_goes_back_from_where_each_member_is() {
    let bed = Bed::new(
        "rename-old:x",
        vec![old("old-x", "db-X", "r"), old("x-r", "db-XR", "r")],
        &[],
    );
    let phase = bed.rollback(&RollbackOptions::default());
    assert_eq!(
        ids(&phase),
        ["name-back:x", "returned", "release:x-r", "release:x"]
    );
}

#[test]
fn after_the_cutover_every_name_needs_a_proof() {
    let bed = Bed::migrated();
    let phase = bed.rollback(&RollbackOptions::default());
    let ids = ids(&phase);
    assert_eq!(
        ids[..7],
        [
            "unwritten",
            "name-away:x",
            "name-away:x-r",
            "still-unwritten",
            "name-back:x",
            "name-back:x-r",
            "returned"
        ]
    );
    for step in &phase.migrations[0].steps {
        match &step.action {
            Action::NameBack { .. } => assert_eq!(step.needs, ["rollback-1/still-unwritten"]),
            Action::Rename { .. } => assert_eq!(step.needs, ["rollback-1/unwritten"]),
            Action::Unwritten { loss_accepted, .. } => assert!(!loss_accepted),
            // By then it has its interim name.
            Action::Delete {
                name,
                encrypted,
                tags,
                ..
            } => {
                assert!(encrypted & name.as_str().starts_with("new-"));
                assert_eq!(tags.len(), 3);
            }
            _ => {}
        }
    }
}

#[test]
fn a_folder_made_anew_proves_what_its_journal_does_not_have() {
    let bed = Bed::new(
        "claim:x-r",
        vec![
            old("old-x", "db-X", "r"),
            old("old-x-r", "db-XR", "r"),
            made("new-x", "db-N", "restore"),
            made("new-x-r", "db-NR", "replica:x-r"),
        ],
        &[],
    );
    let known = bed.rollback(&RollbackOptions::default());
    assert_eq!(ids(&known)[0], "name-back:x");
    let facts = Facts {
        adopted: true,
        ..bed.facts(PhaseKind::Rollback)
    };
    let adopted = rollback::plan(&facts, &RollbackOptions::default());
    assert_eq!(ids(&adopted)[..2], ["unwritten", "still-unwritten"]);
}

#[test]
fn a_proxy_is_led_back_to_the_old_instance() {
    let mut bed = Bed::migrated();
    let target = json!({"made-by": "restore"});
    for (id, kind) in [
        ("proxy-off:x", "deregister-proxy-target"),
        ("proxy-on:x", "register-proxy-target"),
    ] {
        let action = json!({"kind": kind, "proxy": "p", "instance": target, "name": "x"});
        bed.plan.migrations[0].steps.push(Step {
            id: id.to_owned(),
            needs: Vec::new(),
            deadline_seconds: 60,
            action: serde_json::from_value(action).unwrap(),
        });
    }
    let phase = bed.rollback(&RollbackOptions::default());
    let found = ids(&phase);
    let at = found.iter().position(|id| id == "returned").unwrap();
    assert_eq!(found[at + 1..at + 3], ["proxy-off:x", "proxy-on:x"]);
    // Whoever changes something asks for the claim: that goes last.
    let release = phase.migrations[0]
        .steps
        .iter()
        .find(|s| s.id.contains("release:"));
    let needs = &release.unwrap().needs;
    assert!(
        needs.contains(&"rollback-1/proxy-on:x".to_owned()),
        "{needs:?}"
    );
    let registered = phase.migrations[0]
        .steps
        .iter()
        .find_map(|step| match &step.action {
            Action::RegisterProxyTarget { instance, .. } => Some(instance),
            _ => None,
        });
    assert_eq!(registered, Some(&Target::Old("db-X".to_owned())));
}

#[test]
fn half_a_cutover_is_a_cutover() {
    let bed = Bed::new(
        "validate",
        vec![
            old("old-x", "db-X", "r"),
            old("old-x-r", "db-XR", "r"),
            made("x", "db-N", "restore"),
            made("new-x-r", "db-NR", "replica:x-r"),
        ],
        &[],
    );
    let ids = ids(&bed.rollback(&RollbackOptions::default()));
    assert_eq!(ids[..3], ["unwritten", "name-away:x", "still-unwritten"]);
}

#[test]
fn what_cannot_be_proven_is_refused_until_the_loss_is_accepted_and_then_the_copy_stays() {
    let bed = Bed::migrated();
    let facts = Facts {
        asks: false,
        ..bed.facts(PhaseKind::Rollback)
    };
    let phase = rollback::plan(&facts, &RollbackOptions::default());
    assert!(
        refusal(&phase).contains("may have written"),
        "{}",
        refusal(&phase)
    );
    assert!(phase.left_alone[0].hint.contains("--accept-data-loss x"));
    let options = RollbackOptions {
        accept_data_loss: [ID.to_owned()].into(),
        ..RollbackOptions::default()
    };
    let phase = rollback::plan(&facts, &options);
    assert!(!ids(&phase).iter().any(|id| id.starts_with("delete")));
    assert!(ids(&phase).contains(&"name-back:x".to_owned()));
}

#[test]
fn nothing_that_is_missing_renamed_or_foreign_is_rolled_back() {
    let with = |instances: Vec<DbInstance>| {
        let bed = Bed::new("validate", instances, &[]);
        let phase = bed.rollback(&RollbackOptions::default());
        refusal(&phase).to_owned()
    };
    let replica = || old("old-x-r", "db-XR", "r");
    assert!(with(vec![replica()]).contains("no way back"));
    assert!(with(vec![old("mine", "db-X", "r"), replica()]).contains("called mine"));
    assert!(with(vec![old("old-x", "db-X", "other"), replica()]).contains("run other"));
    let twice = vec![
        old("old-x", "db-X", "r"),
        replica(),
        made("new-x", "db-N", "restore"),
        made("newer", "db-M", "restore"),
    ];
    assert!(with(twice).contains("new-x, newer"));
    let mut plain = made("new-x", "db-N", "restore");
    plain.document["StorageEncrypted"] = json!(false);
    plain.document["StorageEncryptionType"] = json!("none");
    assert!(with(vec![old("old-x", "db-X", "r"), replica(), plain]).contains("not encrypted"));
}

#[test]
fn what_does_not_bear_all_three_tags_is_never_deleted() {
    let mut stranger = made("new-x", "db-N", "restore");
    stranger.document["TagList"] = json!([{"Key": TAG_RUN, "Value": "r"}]);
    let bed = Bed::new(
        "validate",
        vec![
            old("old-x", "db-X", "r"),
            old("old-x-r", "db-XR", "r"),
            stranger,
        ],
        &[],
    );
    let ids = ids(&bed.rollback(&RollbackOptions::default()));
    assert!(!ids.iter().any(|id| id.starts_with("delete")), "{ids:?}");
    let mut bed = Bed::migrated();
    for region in bed.regions.values_mut() {
        for snapshot in &mut region.snapshots {
            snapshot["TagList"] = json!([]);
        }
    }
    let phase = bed.cleanup();
    let deleted = phase.migrations[0].steps.iter().filter(|step| {
        matches!(&step.action, Action::DeleteSnapshot { snapshot, .. } if !snapshot.contains("final"))
    });
    assert_eq!(deleted.count(), 0);
}

#[test]
fn a_rollback_that_was_begun_is_not_planned_again() {
    let mut bed = Bed::migrated();
    for (phase, words) in [
        ((PhaseKind::Rollback, true), "already"),
        ((PhaseKind::Rollback, false), "has begun"),
        ((PhaseKind::Cleanup, false), "cleanup"),
    ] {
        bed.phases = BTreeMap::from([(ID.to_owned(), phase)]);
        let phase = bed.rollback(&RollbackOptions::default());
        assert!(refusal(&phase).contains(words), "{}", refusal(&phase));
    }
}

#[test]
fn cleanup_deletes_nothing_before_the_encrypted_copy_is_there() {
    let phase = Bed::migrated().cleanup();
    assert_eq!(
        ids(&phase),
        [
            "unused",
            "final-snapshot",
            "final-copy",
            "still-unused",
            "delete:old-x-r",
            "delete:old-x",
            "backups:x",
            "backups:x-r",
            "delete-final-snapshot",
            "delete-snapshot"
        ]
    );
    for step in &phase.migrations[0].steps {
        if let Action::Delete {
            encrypted, name, ..
        } = &step.action
        {
            assert!(!encrypted & name.as_str().starts_with("old-"));
        }
    }
    let options = CleanupOptions {
        final_snapshot: false,
        delete_encrypted_copy: true,
        ..cleanup_options()
    };
    let bed = Bed::migrated();
    let ids = ids(&cleanup::plan(&bed.facts(PhaseKind::Cleanup), &options));
    assert!(!ids.iter().any(|id| id.contains("final")), "{ids:?}");
    assert!(ids.contains(&"delete-encrypted-copy".to_owned()));
}

#[test]
fn a_rollback_that_was_refused_before_it_changed_anything_is_no_phase() {
    let bed = Bed::migrated();
    let phase = bed.rollback(&RollbackOptions::default());
    let migration = &phase.migrations[0];
    let stopped = |id: &str| {
        let record = StepRecord {
            status: StepStatus::Stopped,
            ..done(Timestamp::UNIX_EPOCH, Value::Null)
        };
        BTreeMap::from([(format!("rollback-1/{id}"), record)])
    };
    assert!(!has_acted(migration, &BTreeMap::new()));
    assert!(!has_acted(migration, &stopped("unwritten")));
    assert!(has_acted(migration, &stopped("name-away:x")));
}

#[test]
fn cleanup_tells_of_unencrypted_snapshots_that_are_not_its_own() {
    let mut bed = Bed::migrated();
    let theirs = json!({"DBSnapshotIdentifier": "before-upgrade", "DbiResourceId": "db-X", "Encrypted": false,
        "StorageEncryptionType": "none", "Status": "available"});
    for region in bed.regions.values_mut() {
        region.snapshots.push(theirs.clone());
    }
    let phase = bed.cleanup();
    let notes = &phase.migrations[0].notes;
    assert!(
        notes.len() == 1 && notes[0].contains("before-upgrade"),
        "{notes:?}"
    );
    let text = serde_json::to_string(&phase.migrations[0].steps).unwrap();
    assert!(!text.contains("before-upgrade"));
}

#[test]
fn cleanup_refuses_everything_that_is_not_proven_superseded() {
    let changed = |change: &dyn Fn(&mut Bed)| {
        let mut bed = Bed::migrated();
        change(&mut bed);
        let phase = bed.cleanup();
        refusal(&phase).to_owned()
    };
    let instance = |bed: &mut Bed, number: usize, member: &str, value: Value| {
        bed.regions.get_mut("eu-central-1").unwrap().instances[number].document[member] = value;
    };
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Bed));
    let cases: [Change<'_>; 9] = [
        ("not every step", &|bed| {
            bed.records.remove("rescan");
        }),
        ("less than 7 days", &|bed| {
            let late = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(2 * 24);
            bed.records
                .insert("rename-new:x".to_owned(), done(late, Value::Null));
        }),
        ("another instance", &|bed| {
            instance(bed, 0, "DbiResourceId", json!("db-OTHER"));
        }),
        ("called", &|bed| {
            instance(bed, 0, "DBInstanceIdentifier", json!("mine"));
        }),
        ("not bear the tag", &|bed| {
            instance(bed, 0, "TagList", json!([]));
        }),
        ("not the one the run has made", &|bed| {
            instance(bed, 2, "DbiResourceId", json!("db-OTHER"));
        }),
        ("0 instances bear", &|bed| {
            instance(bed, 2, "TagList", json!([]));
        }),
        ("x is stopped", &|bed| {
            instance(bed, 2, "DBInstanceStatus", json!("stopped"));
        }),
        ("rolled back", &|bed| {
            bed.phases
                .insert(ID.to_owned(), (PhaseKind::Rollback, true));
        }),
    ];
    for (words, change) in cases {
        let found = changed(change);
        assert!(found.contains(words), "{words}: {found}");
    }
}

/// Steps of the replica method put into a plan of the cold one, done as far as they may be.
fn with_replication(bed: &mut Bed, way_back: bool) {
    let old = json!({"old": "db-X"});
    let new = json!({"made-by": "restore"});
    let mut actions = vec![
        (
            "retention",
            json!({"kind": "raise-retention", "instance": old, "hours": 48}),
        ),
        (
            "replication-account",
            json!({"kind": "replication-account", "instance": old, "account": "atrest_repl_1"}),
        ),
        (
            "temporary-replica",
            json!({"kind": "temporary-replica", "source": old, "name": "tmp-x", "request": {}}),
        ),
    ];
    if way_back {
        let follow = json!({"kind": "replicate", "source": new, "replica": old, "held_by": "mark", "account": "atrest_repl_1"});
        actions.push(("way-back", follow));
        actions.push(("end-way-back", json!({"kind": "detach", "replica": old})));
    }
    let migration = &mut bed.plan.migrations[0];
    migration.method = atrest_model::plan::Method::Replica;
    for (id, action) in actions {
        migration.steps.push(Step {
            id: id.to_owned(),
            needs: Vec::new(),
            deadline_seconds: 60,
            action: serde_json::from_value(action).unwrap(),
        });
        if id != "end-way-back" {
            let record = done(Timestamp::UNIX_EPOCH, json!({"noted": {"before": null}}));
            bed.records.insert(id.to_owned(), record);
        }
    }
}

#[test]
fn what_the_replica_method_has_left_on_a_live_source_is_taken_back_after_its_copies() {
    let mut temporary = made("tmp-x", "db-T", "temporary-replica");
    temporary.document["StorageEncrypted"] = json!(false);
    temporary.document["StorageEncryptionType"] = json!("none");
    temporary.document["ReadReplicaSourceDBInstanceIdentifier"] = json!("x");
    let mut bed = Bed::new(
        "claim:x-r",
        vec![
            old("x", "db-X", "r"),
            old("x-r", "db-XR", "r"),
            temporary,
            made("new-x", "db-N", "restore"),
        ],
        &["snapshot", "encrypted-copy"],
    );
    with_replication(&mut bed, false);
    for snapshot in &mut bed.regions.get_mut("eu-central-1").unwrap().snapshots {
        snapshot["DbiResourceId"] = json!("db-T");
    }
    let phase = bed.rollback(&RollbackOptions::default());
    assert_eq!(
        ids(&phase),
        [
            "delete:new-x",
            "delete:tmp-x",
            "delete-encrypted-copy",
            "delete-snapshot",
            "remove-account",
            "restore-retention",
            "release:x-r",
            "release:x"
        ]
    );
    // A promoted one may be somebody's.
    for instance in &mut bed.regions.get_mut("eu-central-1").unwrap().instances {
        if instance.identifier() == "tmp-x" {
            instance.document["ReadReplicaSourceDBInstanceIdentifier"] = Value::Null;
        }
    }
    assert!(refusal(&bed.rollback(&RollbackOptions::default())).contains("no replica"));
}

#[test]
fn an_old_source_that_follows_applies_what_was_written_before_it_gets_its_name() {
    let mut bed = Bed::migrated();
    with_replication(&mut bed, true);
    let found = ids(&bed.rollback(&RollbackOptions::default()));
    assert_eq!(
        found[..8],
        [
            "lag-gate",
            "name-away:x",
            "name-away:x-r",
            "quiesce",
            "follow",
            "final-position",
            "detach",
            "name-back:x"
        ]
    );
    let facts = Facts {
        asks: false,
        ..bed.facts(PhaseKind::Rollback)
    };
    let phase = rollback::plan(&facts, &RollbackOptions::default());
    assert!(refusal(&phase).contains("not asked"), "{}", refusal(&phase));
    // The way back was ended: nothing follows any more.
    let record = done(Timestamp::UNIX_EPOCH, Value::Null);
    bed.records.insert("end-way-back".to_owned(), record);
    let found = ids(&bed.rollback(&RollbackOptions::default()));
    assert_eq!(found[0], "unwritten");
    assert!(!found.contains(&"detach".to_owned()));
}

#[test]
fn a_rehearsal_that_stopped_is_taken_away_by_a_rollback() {
    let mut bed = Bed::new("claim:x-r", Vec::new(), &[]);
    bed.plan = rehearsal::plan(&bed.plan).unwrap();
    let run = bed.plan.run.to_string();
    let mut copy = made("rehearsal-x", "db-N", "restore");
    copy.document["TagList"][0]["Value"] = json!(run);
    let instances = vec![old("x", "db-X", &run), old("x-r", "db-XR", &run), copy];
    bed.regions.get_mut("eu-central-1").unwrap().instances = instances;
    let ids = ids(&bed.rollback(&RollbackOptions::default()));
    assert_eq!(ids, ["delete:rehearsal-x", "release:x-r", "release:x"]);
}

#[test]
fn a_rehearsal_renames_nothing_and_removes_all_it_makes() {
    let real = planned();
    let plan = rehearsal::plan(&real).unwrap();
    assert_eq!(plan.run.as_str(), "r-rehearsal");
    assert_eq!(plan.digest, plan.computed_digest());
    let names = |plan: &Plan| -> Vec<String> {
        let actions = plan.migrations[0].steps.iter().map(|step| &step.action);
        actions
            .filter_map(|action| match action {
                Action::Snapshot { snapshot, .. } | Action::EncryptedCopy { snapshot, .. } => {
                    Some(snapshot.clone())
                }
                Action::Restore { name, .. } | Action::CreateReplica { name, .. } => {
                    Some(name.to_string())
                }
                _ => None,
            })
            .collect()
    };
    let (theirs, ours) = (names(&real), names(&plan));
    assert_eq!(theirs.len(), ours.len());
    assert!(ours.iter().all(|name| !theirs.contains(name)), "{ours:?}");
    let mut seen = std::collections::BTreeSet::new();
    for step in &plan.migrations[0].steps {
        assert!(
            step.needs.iter().all(|need| seen.contains(need)),
            "{}",
            step.id
        );
        seen.insert(step.id.clone());
        assert!(
            !matches!(
                step.action,
                Action::Rename { .. } | Action::Quiesce { .. } | Action::NameBack { .. }
            ),
            "{}",
            step.id
        );
    }
    let text = serde_json::to_string(&plan.migrations[0].steps).unwrap();
    assert!(!text.contains("\"r\""), "a tag of the run itself is left");
    let deleted = plan.migrations[0].steps.iter().filter(|step| {
        matches!(
            step.action,
            Action::Delete { .. } | Action::DeleteSnapshot { .. }
        )
    });
    assert_eq!(deleted.count(), ours.len());
    assert!(plan.migrations[0].steps.last().unwrap().id == "release:x");
}
