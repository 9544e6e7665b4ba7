use std::collections::{BTreeMap, BTreeSet};

use atrest_model::id::RunId;
use atrest_model::plan::{DataCheck, MysqlAccess};
use atrest_scanner::aws::{Decided, Decision, KeyFacts};
use atrest_scanner::mysql::{ServerFacts, TableList};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::dependents::{Dependents, ReplicatedBackup};
use crate::planner;

const REGION: &str = "eu-central-1";
const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/k";

fn instance(name: &str, changes: Value) -> DbInstance {
    let mut document = json!({
        "DBInstanceIdentifier": name, "DbiResourceId": format!("db-{}", name.to_uppercase()),
        "DBInstanceArn": format!("arn:aws:rds:eu-central-1:111122223333:db:{name}"), "Engine": "mysql",
        "EngineVersion": "8.0.39", "DBInstanceClass": "db.t3.small", "DBInstanceStatus": "available",
        "StorageEncrypted": false, "AllocatedStorage": 20, "StorageType": "gp2", "BackupRetentionPeriod": 1,
        "PreferredBackupWindow": "05:00-05:30", "PreferredMaintenanceWindow": "sun:03:00-sun:03:30",
        "CACertificateIdentifier": "rds-ca-rsa2048-g1", "AvailabilityZone": "eu-central-1a", "MultiAZ": false,
        "DBSubnetGroup": {"DBSubnetGroupName": "s", "Subnets": [
            {"SubnetStatus": "Active", "SubnetAvailabilityZone": {"Name": "eu-central-1a"}},
            {"SubnetStatus": "Active", "SubnetAvailabilityZone": {"Name": "eu-central-1b"}}]},
        "DBParameterGroups": [{"DBParameterGroupName": "own", "ParameterApplyStatus": "in-sync"}],
        "OptionGroupMemberships": [{"OptionGroupName": "default:mysql-8-0", "Status": "in-sync"}],
        "Endpoint": {"Address": "127.0.0.1", "Port": 3306},
    });
    for (member, value) in changes.as_object().unwrap() {
        document[member] = value.clone();
    }
    DbInstance {
        region: REGION.to_owned(),
        document,
    }
}

/// A source with a replica.
fn family(source: Value, replica: Value) -> Vec<DbInstance> {
    let mut source = instance("x", source);
    source.document["ReadReplicaDBInstanceIdentifiers"] = json!(["x-replica"]);
    let mut replica = instance("x-replica", replica);
    replica.document["ReadReplicaSourceDBInstanceIdentifier"] = json!("x");
    vec![source, replica]
}

fn key() -> KeyFacts {
    KeyFacts {
        arn: KEY.to_owned(),
        state: "Enabled".to_owned(),
        usage: "ENCRYPT_DECRYPT".to_owned(),
        spec: "SYMMETRIC_DEFAULT".to_owned(),
        manager: "CUSTOMER".to_owned(),
        origin: "AWS_KMS".to_owned(),
        multi_region: false,
        deletion_date: None,
        rotation: atrest_model::key::Rotation::Unknown,
    }
}

fn facts(instances: Vec<DbInstance>) -> Facts {
    Facts {
        run: RunId::try_from("r".to_owned()).unwrap(),
        created: Timestamp::UNIX_EPOCH,
        account: "111122223333".to_owned(),
        instances,
        clusters: Vec::new(),
        keys: BTreeMap::from([(REGION.to_owned(), Ok(key()))]),
        mysql: MysqlAccess::Required,
        data_check: DataCheck::Counts,
        methods: crate::planner::MethodFacts::default(),
        quiesce: planner::Quiesce::default(),
        dependents: BTreeMap::from([(REGION.to_owned(), dependents())]),
        login: None,
    }
}

fn dependents() -> Dependents {
    Dependents {
        subscriptions: Ok(Vec::new()),
        proxies: Ok(BTreeMap::new()),
        replicated: BTreeMap::new(),
        alarms: Ok(Vec::new()),
        integrations: Ok(Vec::new()),
    }
}

fn server() -> ServerFacts {
    let variables = [
        ("lower_case_table_names", "0"),
        ("log_bin", "ON"),
        ("binlog_format", "ROW"),
        ("read_only", "OFF"),
    ];
    ServerFacts {
        version: "8.0.39".to_owned(),
        variables: variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        privileges: [
            "SELECT",
            "PROCESS",
            "REPLICATION CLIENT",
            "REPLICATION SLAVE",
            "CREATE USER",
        ]
        .map(str::to_owned)
        .into(),
        configuration: Some(BTreeMap::new()),
        without_transactions: Ok(TableList::default()),
        without_primary_key: Ok(TableList::default()),
        events: Ok(Vec::new()),
    }
}

fn region() -> RegionFacts {
    let offer = json!({"DBInstanceClass": "db.t3.small", "StorageType": "gp2", "SupportsStorageEncryption": true,
        "MultiAZCapable": true, "MinStorageSize": 20, "MaxStorageSize": 65536});
    let quota = |name: &str, used: i64, max: i64| json!({"AccountQuotaName": name, "Used": used, "Max": max});
    RegionFacts {
        offers: BTreeMap::from([(
            (
                "mysql".to_owned(),
                "8.0.39".to_owned(),
                "db.t3.small".to_owned(),
            ),
            Ok(vec![offer]),
        )]),
        classes: BTreeMap::new(),
        quotas: Ok(vec![
            quota("DBInstances", 2, 40),
            quota("AllocatedStorage", 40, 100_000),
            quota("ManualSnapshots", 0, 100),
            quota("ReadReplicasPerMaster", 1, 15),
        ]),
        snapshots: Ok(Vec::new()),
        maintenance: Ok(Vec::new()),
        option_groups: Ok(Vec::new()),
        certificates: Ok(vec![
            json!({"CertificateIdentifier": "rds-ca-rsa2048-g1", "ValidTill": "2061-08-22T17:08:50Z"}),
        ]),
        parameters: BTreeMap::from([("own".to_owned(), Ok(Vec::new()))]),
        insights_keys: BTreeMap::new(),
        blue_green: Ok(Vec::new()),
    }
}

/// Everything in order: every server answers, IAM allows what is asked.
fn around(facts: &Facts) -> Around {
    let draft = planner::plan(facts, None);
    let decided = questions(&draft).into_iter().flat_map(|question| {
        question.resources.into_iter().map(move |resource| Decided {
            action: question.action.clone(),
            resource,
            decision: Decision::Allowed,
            missing_context: Vec::new(),
        })
    });
    Around {
        // A Tuesday afternoon.
        now: "2026-11-24T16:00:00Z".parse().unwrap(),
        permissions: Ok(decided.collect()),
        regions: BTreeMap::from([(REGION.to_owned(), region())]),
        servers: facts
            .instances
            .iter()
            .map(|instance| (instance.dbi_resource_id().to_owned(), Ok(server())))
            .collect(),
    }
}

fn judged(facts: &Facts, around: &Around) -> Plan {
    judge(planner::plan(facts, None), facts, around)
}

/// Lines of a check, as `verdict subject: detail`.
fn lines_of(plan: &Plan, id: &str) -> Vec<String> {
    plan.checks
        .iter()
        .filter(|check| check.check == id)
        .map(|check| {
            format!(
                "{} {}: {}",
                check.verdict.as_str(),
                check.subject,
                check.detail
            )
        })
        .collect()
}

/// One line of a check that begins like this and says that.
fn says(plan: &Plan, id: &str, begins: &str, words: &str) {
    let lines = lines_of(plan, id);
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with(begins) && line.contains(words)),
        "{id} {begins} {words}: {lines:#?}"
    );
}

#[test]
fn with_everything_in_order_every_check_passes() {
    let facts = facts(family(json!({}), json!({})));
    let plan = judged(&facts, &around(&facts));
    let odd: Vec<_> = plan
        .checks
        .iter()
        .filter(|check| check.verdict != Verdict::Passes)
        .collect();
    assert!(odd.is_empty(), "{odd:#?}");
    assert_eq!(plan.migrations.len(), 1);
    assert_eq!(plan.digest, plan.computed_digest());
    // Every check has its line, except those that only the planner makes.
    let seen: BTreeSet<&str> = plan.checks.iter().map(|c| c.check.as_str()).collect();
    let listed: BTreeSet<&str> = CHECKS
        .iter()
        .filter(|check| check.family != "planner")
        .map(|check| check.id)
        .collect();
    assert_eq!(seen, listed);
}

#[test]
fn the_same_facts_give_the_same_checks() {
    let facts = facts(family(json!({}), json!({})));
    let around = around(&facts);
    assert_eq!(judged(&facts, &around), judged(&facts, &around));
}

/// What describe answers alone decide: the check, how its line begins, words in it.
#[test]
fn describe_answers_are_judged() {
    let source = "eu-central-1/x:";
    let replica = "eu-central-1/x-replica:";
    for (id, verdict, subject, words, changes) in [
        (
            "status",
            "blocks",
            source,
            "modifying",
            (json!({"DBInstanceStatus": "modifying"}), json!({})),
        ),
        (
            "status",
            "blocks",
            replica,
            "creating",
            (json!({}), json!({"DBInstanceStatus": "creating"})),
        ),
        (
            "pending-modifications",
            "blocks",
            source,
            "MultiAZ",
            (
                json!({"PendingModifiedValues": {"MultiAZ": true}}),
                json!({}),
            ),
        ),
        (
            "groups-in-sync",
            "warns",
            source,
            "pending-reboot",
            (
                json!({"DBParameterGroups": [{"DBParameterGroupName": "own", "ParameterApplyStatus": "pending-reboot"}]}),
                json!({}),
            ),
        ),
        (
            "groups-in-sync",
            "blocks",
            source,
            "failed-to-apply",
            (
                json!({"DBParameterGroups": [{"DBParameterGroupName": "own", "ParameterApplyStatus": "failed-to-apply"}]}),
                json!({}),
            ),
        ),
        (
            "backups-on",
            "blocks",
            source,
            "no automated backups",
            (json!({"BackupRetentionPeriod": 0}), json!({})),
        ),
        (
            "maintenance-window",
            "warns",
            source,
            "30 minutes",
            (
                json!({"PreferredMaintenanceWindow": "tue:16:30-tue:17:00"}),
                json!({}),
            ),
        ),
        (
            "maintenance-window",
            "warns",
            replica,
            "open now",
            (
                json!({}),
                json!({"PreferredMaintenanceWindow": "tue:15:45-tue:16:15"}),
            ),
        ),
        (
            "backup-window",
            "warns",
            source,
            "60 minutes",
            (json!({"PreferredBackupWindow": "17:00-17:30"}), json!({})),
        ),
        (
            "not-claimed",
            "blocks",
            source,
            "run other",
            (
                json!({"TagList": [{"Key": "atrest:run", "Value": "other"}]}),
                json!({}),
            ),
        ),
        (
            "ca-certificate",
            "blocks",
            source,
            "rds-ca-2019",
            (json!({"CACertificateIdentifier": "rds-ca-2019"}), json!({})),
        ),
        (
            "class-encrypts",
            "not proven",
            source,
            "not known",
            (json!({"DBInstanceClass": "db.t3.large"}), json!({})),
        ),
        (
            "storage-offered",
            "not proven",
            source,
            "5 GiB",
            (json!({"AllocatedStorage": 5}), json!({})),
        ),
        (
            "master-password",
            "is fixed",
            source,
            "new secret",
            (json!({"MasterUserSecret": {"SecretArn": "a"}}), json!({})),
        ),
        (
            "master-password",
            "blocks",
            replica,
            "cannot be made again",
            (json!({}), json!({"MasterUserSecret": {"SecretArn": "a"}})),
        ),
        (
            "placement",
            "blocks",
            replica,
            "subnet group t",
            (
                json!({}),
                json!({"DBSubnetGroup": {"DBSubnetGroupName": "t"}}),
            ),
        ),
        (
            "placement",
            "blocks",
            source,
            "eu-central-1c",
            (json!({"AvailabilityZone": "eu-central-1c"}), json!({})),
        ),
        (
            "placement",
            "blocks",
            source,
            "one zone",
            (
                json!({"MultiAZ": true, "DBSubnetGroup": {"DBSubnetGroupName": "s", "Subnets": [{"SubnetStatus": "Active", "SubnetAvailabilityZone": {"Name": "eu-central-1a"}}]}}),
                json!({}),
            ),
        ),
        (
            "option-group",
            "blocks",
            source,
            "not there",
            (
                json!({"OptionGroupMemberships": [{"OptionGroupName": "gone", "Status": "in-sync"}]}),
                json!({}),
            ),
        ),
        (
            "deletion-protection",
            "is fixed",
            source,
            "old-x stays protected",
            (json!({"DeletionProtection": true}), json!({})),
        ),
        (
            "combinations",
            "blocks",
            source,
            "needs IOPS",
            (json!({"StorageType": "io1"}), json!({})),
        ),
        (
            "combinations",
            "blocks",
            replica,
            "less than a tenth",
            (json!({}), json!({"MaxAllocatedStorage": 20})),
        ),
        (
            "cross-region-replicas",
            "blocks",
            replica,
            "us-east-1",
            (
                json!({}),
                json!({"ReadReplicaDBInstanceIdentifiers": ["arn:aws:rds:us-east-1:111122223333:db:far"]}),
            ),
        ),
        (
            "cross-region-replicas",
            "blocks",
            source,
            "aurora",
            (
                json!({"ReadReplicaDBClusterIdentifiers": ["aurora"]}),
                json!({}),
            ),
        ),
        (
            "roles",
            "is fixed",
            source,
            "s3Import",
            (
                json!({"AssociatedRoles": [{"RoleArn": "arn:aws:iam::111122223333:role/r", "FeatureName": "s3Import"}]}),
                json!({}),
            ),
        ),
        (
            "domain",
            "is fixed",
            source,
            "ad.example",
            (
                json!({"DomainMemberships": [{"FQDN": "ad.example", "Status": "joined", "DnsIps": ["10.0.0.1", "10.0.0.2"]}]}),
                json!({}),
            ),
        ),
        (
            "iam-authentication",
            "warns",
            source,
            "db-X",
            (json!({"IAMDatabaseAuthenticationEnabled": true}), json!({})),
        ),
        (
            "backup-replication",
            "not proven",
            source,
            "was not read",
            (
                json!({"DBInstanceAutomatedBackupsReplications": [{"DBInstanceAutomatedBackupsArn": "a"}]}),
                json!({}),
            ),
        ),
        (
            "activity-stream",
            "warns",
            source,
            "by hand",
            (json!({"ActivityStreamStatus": "started"}), json!({})),
        ),
        (
            "cloudformation",
            "warns",
            source,
            "stack s",
            (
                json!({"TagList": [{"Key": "aws:cloudformation:stack-name", "Value": "s"}]}),
                json!({}),
            ),
        ),
    ] {
        let facts = facts(family(changes.0, changes.1));
        let plan = judged(&facts, &around(&facts));
        says(&plan, id, &format!("{verdict} {subject}"), words);
        // What blocks is left out with its reason; the rest is planned.
        assert_eq!(
            plan.migrations.is_empty(),
            verdict == "blocks",
            "{id} {words}"
        );
        assert_eq!(plan.left_out.len(), if verdict == "blocks" { 2 } else { 0 });
        if verdict == "blocks" {
            assert!(
                plan.left_out[0].reason.contains(words),
                "{}",
                plan.left_out[0].reason
            );
        }
    }
}

#[test]
fn fifty_tags_leave_no_room() {
    let tags = |count: usize| -> Value {
        (0..count)
            .map(|number| json!({"Key": format!("k{number}"), "Value": ""}))
            .collect()
    };
    for (count, blocks) in [(47, false), (48, true), (50, true)] {
        let facts = facts(vec![instance("x", json!({"TagList": tags(count)}))]);
        let plan = judged(&facts, &around(&facts));
        assert_eq!(plan.migrations.is_empty(), blocks, "{count}");
    }
}

#[test]
fn a_taken_name_is_found_whoever_has_it() {
    let mut instances = family(json!({}), json!({}));
    instances.push(instance("new-x-replica", json!({"StorageEncrypted": true})));
    let facts = facts(instances);
    let plan = judged(&facts, &around(&facts));
    says(
        &plan,
        "names-free",
        "blocks eu-central-1/x-replica:",
        "new-x-replica is taken",
    );
    assert!(plan.left_out[0].reason.contains("its replica x-replica"));
}

#[test]
fn a_snapshot_of_the_same_name_belongs_to_a_run() {
    let facts = facts(vec![instance("x", json!({}))]);
    let mut around = around(&facts);
    let draft = planner::plan(&facts, None);
    let name = draft.migrations[0]
        .steps
        .iter()
        .find_map(|step| match &step.action {
            atrest_model::plan::Action::Snapshot { snapshot, .. } => Some(snapshot.clone()),
            _ => None,
        })
        .unwrap();
    for (run, blocks) in [("r", false), ("other", true)] {
        let snapshot =
            json!({"DBSnapshotIdentifier": name, "TagList": [{"Key": "atrest:run", "Value": run}]});
        around.regions.get_mut(REGION).unwrap().snapshots = Ok(vec![snapshot]);
        let plan = judged(&facts, &around);
        assert_eq!(plan.migrations.is_empty(), blocks, "{run}");
    }
}

#[test]
fn a_class_that_cannot_encrypt_is_answered_with_the_nearest_that_can() {
    let facts = facts(vec![instance(
        "x",
        json!({"DBInstanceClass": "db.t2.micro"}),
    )]);
    let mut around = around(&facts);
    let offer = |class: &str, encrypts: bool| json!({"DBInstanceClass": class, "SupportsStorageEncryption": encrypts, "StorageType": "gp2"});
    let region = around.regions.get_mut(REGION).unwrap();
    let version = ("mysql".to_owned(), "8.0.39".to_owned());
    region.offers.insert(
        (
            version.0.clone(),
            version.1.clone(),
            "db.t2.micro".to_owned(),
        ),
        Ok(vec![offer("db.t2.micro", false)]),
    );
    region.classes.insert(
        version.clone(),
        Ok(vec![
            offer("db.t2.micro", false),
            offer("db.t4g.micro", true),
            offer("db.t3.micro", true),
            offer("db.m5.micro", true),
            offer("db.t3.small", true),
        ]),
    );
    let plan = judged(&facts, &around);
    says(
        &plan,
        "class-encrypts",
        "blocks",
        "db.t3.micro is the nearest",
    );
    // Not offered at all: neither proven nor refused, unless the version is gone and would be upgraded.
    let region = around.regions.get_mut(REGION).unwrap();
    region.offers.insert(
        (
            version.0.clone(),
            version.1.clone(),
            "db.t2.micro".to_owned(),
        ),
        Ok(Vec::new()),
    );
    let plan = judged(&facts, &around);
    says(&plan, "class-encrypts", "not proven", "no longer offered");
    says(&plan, "version-orderable", "passes", "");
    around
        .regions
        .get_mut(REGION)
        .unwrap()
        .classes
        .insert(version, Ok(Vec::new()));
    says(
        &judged(&facts, &around),
        "version-orderable",
        "not proven",
        "8.0.39",
    );
    let mut facts = facts;
    facts.instances[0].document["EngineLifecycleSupport"] =
        json!("open-source-rds-extended-support-disabled");
    says(
        &judged(&facts, &around),
        "version-orderable",
        "blocks",
        "upgrade",
    );
}

#[test]
fn keys_are_judged_by_state_kind_place_and_owner() {
    let base = facts(vec![instance("x", json!({}))]);
    let around = around(&base);
    for (id, begins, words, change) in [
        (
            "kms-key",
            "blocks",
            "Disabled",
            Box::new(|key: &mut KeyFacts| key.state = "Disabled".into())
                as Box<dyn Fn(&mut KeyFacts)>,
        ),
        (
            "kms-key",
            "blocks",
            "lost with it",
            Box::new(|key| key.state = "PendingDeletion".into()),
        ),
        (
            "kms-key",
            "blocks",
            "SIGN_VERIFY",
            Box::new(|key| key.usage = "SIGN_VERIFY".into()),
        ),
        (
            "kms-key",
            "blocks",
            "RSA_2048",
            Box::new(|key| key.spec = "RSA_2048".into()),
        ),
        (
            "kms-key",
            "blocks",
            "not of eu-central-1",
            Box::new(|key| key.arn = KEY.replace("eu-central-1", "us-east-1")),
        ),
        (
            "kms-key-account",
            "not proven",
            "999999999999",
            Box::new(|key| key.arn = KEY.replace("111122223333", "999999999999")),
        ),
        (
            "kms-grant",
            "passes",
            "",
            Box::new(|key| key.manager = "AWS".into()),
        ),
    ] {
        let mut facts = base.clone();
        let mut key = key();
        change(&mut key);
        facts.keys.insert(REGION.to_owned(), Ok(key));
        says(&judged(&facts, &around), id, begins, words);
    }
    let mut facts = base.clone();
    facts
        .keys
        .insert(REGION.to_owned(), Err("no KMS key \"k\"".to_owned()));
    let plan = judged(&facts, &around);
    says(&plan, "kms-key", "blocks", "no KMS key");
    assert!(plan.migrations.is_empty());
}

#[test]
fn iam_is_believed_where_it_is_sure() {
    let facts = facts(vec![instance(
        "x",
        json!({"MonitoringInterval": 60, "MonitoringRoleArn": "arn:aws:iam::111122223333:role/m"}),
    )]);
    let base = around(&facts);
    let change = |action: &str, decision: Decision, missing: &[&str]| {
        let mut around = base.clone();
        let mut found = 0;
        for one in around.permissions.as_mut().unwrap() {
            if one.action == action {
                one.decision = decision;
                one.missing_context = missing.iter().map(|key| (*key).to_owned()).collect();
                found += 1;
            }
        }
        assert!(found > 0, "{action} is not asked for");
        judged(&facts, &around)
    };
    for action in [
        "rds:AddTagsToResource",
        "rds:ModifyDBInstance",
        "rds:RebootDBInstance",
        "rds:CreateDBSnapshot",
        "rds:CopyDBSnapshot",
        "rds:RestoreDBInstanceFromDBSnapshot",
        "iam:PassRole",
    ] {
        let plan = change(action, Decision::ImplicitDeny, &[]);
        says(&plan, "iam-permissions", "blocks", action);
        assert!(plan.migrations.is_empty());
    }
    let plan = change(
        "rds:CopyDBSnapshot",
        Decision::ImplicitDeny,
        &["aws:SourceVpce"],
    );
    says(&plan, "iam-permissions", "not proven", "aws:SourceVpce");
    says(
        &change("kms:CreateGrant", Decision::ExplicitDeny, &[]),
        "kms-grant",
        "blocks",
        "denies",
    );
    says(
        &change("kms:CreateGrant", Decision::ImplicitDeny, &[]),
        "kms-grant",
        "not proven",
        "own policy",
    );
    let mut around = base.clone();
    around.permissions = Err("AccessDenied".to_owned());
    let plan = judged(&facts, &around);
    says(&plan, "iam-permissions", "not proven", "AccessDenied");
    says(&plan, "kms-grant", "not proven", "AccessDenied");
    assert_eq!(plan.migrations.len(), 1);
}

/// The list that IAM is asked for has every operation of the plan, and nothing of another list.
#[test]
fn iam_is_asked_for_what_the_steps_do() {
    let facts = facts(family(
        json!({"AssociatedRoles": [{"RoleArn": "arn:aws:iam::111122223333:role/r", "FeatureName": "f"}]}),
        json!({}),
    ));
    let draft = planner::plan(&facts, None);
    let asked: BTreeSet<String> = questions(&draft).into_iter().map(|q| q.action).collect();
    let operations: BTreeSet<String> = draft.migrations[0]
        .steps
        .iter()
        .filter_map(|step| step.action.operation())
        .map(|operation| format!("rds:{operation}"))
        .chain(["kms:CreateGrant", "kms:DescribeKey", "iam:PassRole"].map(str::to_owned))
        .collect();
    assert_eq!(asked, operations);
}

#[test]
fn quotas_are_held_against_the_peak() {
    let facts = facts(family(json!({}), json!({})));
    let base = around(&facts);
    for (id, quota, used, max, blocks) in [
        ("quota-instances", "DBInstances", 38, 40, false),
        ("quota-instances", "DBInstances", 39, 40, true),
        ("quota-storage", "AllocatedStorage", 60, 100, false),
        ("quota-storage", "AllocatedStorage", 61, 100, true),
        ("quota-snapshots", "ManualSnapshots", 98, 100, false),
        ("quota-snapshots", "ManualSnapshots", 99, 100, true),
        ("quota-replicas", "ReadReplicasPerMaster", 1, 0, true),
    ] {
        let mut around = base.clone();
        let region = around.regions.get_mut(REGION).unwrap();
        for row in region.quotas.as_mut().unwrap() {
            if row["AccountQuotaName"] == quota {
                row["Used"] = json!(used);
                row["Max"] = json!(max);
            }
        }
        let plan = judged(&facts, &around);
        says(&plan, id, if blocks { "blocks" } else { "passes" }, "");
        // It concerns the region and not one migration: the plan is there, and blocked.
        assert_eq!(plan.migrations.len(), 1);
        assert_eq!(plan.blocking().count(), usize::from(blocks));
    }
    let mut around = base.clone();
    let region = around.regions.get_mut(REGION).unwrap();
    region.quotas = Err("AccessDenied".to_owned());
    region.snapshots = Ok(vec![
        json!({"DBSnapshotIdentifier": "s", "Status": "creating"});
        20
    ]);
    let plan = judged(&facts, &around);
    says(&plan, "quota-instances", "not proven", "AccessDenied");
    says(&plan, "quota-copies", "warns", "when there is a place");
}

#[test]
fn maintenance_is_graver_the_nearer_it_is() {
    let facts = facts(vec![instance("x", json!({}))]);
    let mut around = around(&facts);
    for (date, begins, words) in [
        (json!("2026-11-24T15:00:00Z"), "blocks", "under way"),
        (json!("2026-11-24T17:00:00Z"), "warns", "60 minutes"),
        (json!("2027-01-01T00:00:00Z"), "warns", "is pending"),
        (Value::Null, "warns", "is pending"),
    ] {
        let action = json!({"ResourceIdentifier": "arn:aws:rds:eu-central-1:111122223333:db:x",
            "PendingMaintenanceActionDetails": [{"Action": "system-update", "CurrentApplyDate": date}]});
        around.regions.get_mut(REGION).unwrap().maintenance = Ok(vec![action]);
        says(
            &judged(&facts, &around),
            "pending-maintenance",
            begins,
            words,
        );
    }
}

#[test]
fn dependents_are_named_with_what_happens_to_them() {
    let mut facts = facts(vec![instance(
        "x",
        json!({"PerformanceInsightsEnabled": true, "PerformanceInsightsKMSKeyId": "pi",
        "DBInstanceAutomatedBackupsReplications": [{"DBInstanceAutomatedBackupsArn": "a"}, {"DBInstanceAutomatedBackupsArn": "b"}],
        "OptionGroupMemberships": [{"OptionGroupName": "og", "Status": "in-sync"}]}),
    )]);
    let there = facts.dependents.get_mut(REGION).unwrap();
    there.proxies = Ok(BTreeMap::from([
        ("p".to_owned(), Ok(vec![json!({"RdsResourceId": "x"})])),
        ("q".to_owned(), Err("AccessDenied".to_owned())),
    ]));
    there.subscriptions = Ok(vec![
        json!({"CustSubscriptionId": "pager", "SourceType": "db-instance", "SourceIdsList": ["x"]}),
    ]);
    there.replicated = BTreeMap::from([
        (
            "a".to_owned(),
            Ok(ReplicatedBackup {
                region: "eu-west-1".to_owned(),
                retention_days: 7,
                kms_key_id: "k2".to_owned(),
            }),
        ),
        ("b".to_owned(), Err("no key in us-east-1".to_owned())),
    ]);
    let mut around = around(&facts);
    let region = around.regions.get_mut(REGION).unwrap();
    let arn = "arn:aws:rds:eu-central-1:111122223333:db:x";
    region.blue_green = Ok(vec![
        json!({"BlueGreenDeploymentName": "bg", "Source": arn, "Status": "SWITCHOVER_COMPLETED"}),
    ]);
    region.option_groups = Ok(vec![json!({"OptionGroupName": "og", "Options": [
        {"OptionName": "TDE", "Permanent": true}, {"OptionName": "MEMCACHED", "Persistent": true}, {"OptionName": "PLAIN"}]})]);
    region
        .insights_keys
        .insert("pi".to_owned(), Err("AccessDenied".to_owned()));
    let plan = judged(&facts, &around);
    says(&plan, "proxy", "is fixed", "proxy p");
    says(&plan, "proxy", "not proven", "q");
    says(&plan, "event-subscriptions", "is fixed", "pager");
    says(&plan, "backup-replication", "is fixed", "eu-west-1");
    says(&plan, "backup-replication", "warns", "no key in us-east-1");
    // Each is a step, and each step that a line names is there.
    let steps: Vec<&str> = plan.migrations[0]
        .steps
        .iter()
        .map(|s| s.id.as_str())
        .collect();
    for step in [
        "proxy-deregister:x:p",
        "proxy-register:x:p",
        "subscription:x:pager",
        "backup-replication:x:eu-west-1",
    ] {
        assert!(steps.contains(&step), "{step}: {steps:?}");
    }
    for check in &plan.checks {
        if let Verdict::FixedBy { step } = &check.verdict {
            assert!(steps.contains(&step.as_str()), "{step} of {}", check.check);
        }
    }
    says(&plan, "blue-green", "warns", "not deleted yet");
    says(&plan, "option-group", "warns", "TDE");
    says(&plan, "option-group", "is fixed", "MEMCACHED");
    says(
        &plan,
        "performance-insights-key",
        "not proven",
        "AccessDenied",
    );
    let region = around.regions.get_mut(REGION).unwrap();
    region.blue_green = Ok(vec![
        json!({"BlueGreenDeploymentName": "bg", "Status": "AVAILABLE", "SwitchoverDetails": [{"SourceMember": arn}]}),
    ]);
    let mut disabled = key();
    disabled.state = "Disabled".to_owned();
    region.insights_keys.insert("pi".to_owned(), Ok(disabled));
    let plan = judged(&facts, &around);
    says(&plan, "blue-green", "blocks", "AVAILABLE");
    says(&plan, "performance-insights-key", "blocks", "Disabled");
}

/// RDS makes a new password: one that was given would be refused by the new instance, another user's is not.
#[test]
fn a_password_that_is_managed_cannot_be_given() {
    let managed = json!({"MasterUserSecret": {"SecretArn": "a"}, "MasterUsername": "admin"});
    for (user, follows_rds, begins) in [
        (None, false, "blocks"),
        (Some("admin"), false, "blocks"),
        (Some("dbre"), false, "is fixed"),
        (None, true, "is fixed"),
    ] {
        let mut facts = facts(vec![instance("x", managed.clone())]);
        facts.login = Some(planner::Login {
            user: user.map(str::to_owned),
            follows_rds,
        });
        let plan = judged(&facts, &around(&facts));
        says(&plan, "master-password", begins, "");
    }
}

#[test]
fn servers_are_judged() {
    let facts = facts(family(json!({}), json!({})));
    let base = around(&facts);
    let change = |id: &str, change: &dyn Fn(&mut ServerFacts)| {
        let mut around = base.clone();
        change(around.servers.get_mut(id).unwrap().as_mut().unwrap());
        judged(&facts, &around)
    };
    let set = |name: &'static str, value: &'static str| {
        move |server: &mut ServerFacts| {
            server.variables.insert(name.to_owned(), value.to_owned());
        }
    };
    says(
        &change("db-X", &|s| {
            s.privileges.remove("PROCESS");
        }),
        "mysql-privileges",
        "blocks eu-central-1/x:",
        "PROCESS",
    );
    says(
        &change("db-X", &|s| {
            s.privileges.remove("SELECT");
        }),
        "mysql-privileges",
        "blocks",
        "SELECT",
    );
    says(
        &change("db-X-REPLICA", &|s| {
            s.privileges.remove("CREATE USER");
        }),
        "mysql-privileges",
        "warns",
        "accounts:x-replica",
    );
    says(
        &change("db-X", &|s| {
            s.privileges = ["ALL PRIVILEGES".to_owned()].into();
        }),
        "mysql-privileges",
        "passes",
        "",
    );
    says(
        &change("db-X-REPLICA", &set("read_only", "ON")),
        "mysql-read-only",
        "warns eu-central-1/x-replica:",
        "1290",
    );
    says(
        &change("db-X-REPLICA", &|s| {
            s.events = Ok(vec!["shop.tick".to_owned(), "shop.tock".to_owned()]);
        }),
        "mysql-events",
        "warns eu-central-1/x-replica:",
        "shop.tick and 1 more: what it writes stops the run at step quiesce:x-replica",
    );
    says(
        &change("db-X", &|s| {
            s.privileges.remove("REPLICATION SLAVE");
        }),
        "mysql-privileges",
        "warns",
        "heartbeat",
    );
    says(
        &change("db-X", &set("log_bin", "OFF")),
        "mysql-binlog",
        "blocks",
        "log_bin",
    );
    says(
        &change("db-X", &set("binlog_format", "STATEMENT")),
        "mysql-binlog",
        "warns",
        "STATEMENT",
    );
    says(
        &change("db-X", &set("lower_case_table_names", "1")),
        "lower-case-table-names",
        "blocks",
        "incompatible-restore",
    );
    let list = || TableList {
        count: 5,
        first: ["a.b", "a.c", "a.d", "a.e", "a.f"]
            .map(str::to_owned)
            .to_vec(),
    };
    says(
        &change("db-X", &|s| s.without_transactions = Ok(list())),
        "mysql-engines",
        "warns",
        "a.b, a.c, a.d and 2 more",
    );
    says(
        &change("db-X", &|s| {
            s.without_primary_key = Err("too slow".to_owned());
        }),
        "mysql-primary-keys",
        "not proven",
        "too slow",
    );
    let mut around = base.clone();
    around
        .servers
        .insert("db-X".to_owned(), Err("refused".to_owned()));
    says(
        &judged(&facts, &around),
        "mysql-login",
        "blocks",
        "--mysql off",
    );
}

#[test]
fn a_replica_with_other_names_of_tables_than_its_source_is_found() {
    let facts = facts(family(
        json!({}),
        json!({"DBParameterGroups": [{"DBParameterGroupName": "lower", "ParameterApplyStatus": "in-sync"}]}),
    ));
    let mut around = around(&facts);
    let region = around.regions.get_mut(REGION).unwrap();
    let parameter = json!({"ParameterName": "lower_case_table_names", "ParameterValue": "1"});
    region
        .parameters
        .insert("lower".to_owned(), Ok(vec![parameter]));
    around.servers.remove("db-X-REPLICA");
    says(
        &judged(&facts, &around),
        "lower-case-table-names",
        "blocks eu-central-1/x-replica:",
        "its source's group",
    );
    let region = around.regions.get_mut(REGION).unwrap();
    region
        .parameters
        .insert("lower".to_owned(), Err("AccessDenied".to_owned()));
    says(
        &judged(&facts, &around),
        "lower-case-table-names",
        "not proven",
        "AccessDenied",
    );
}

#[test]
fn what_could_not_be_read_blocks_nothing_and_passes_nowhere() {
    let mut facts = facts(family(
        json!({"PerformanceInsightsEnabled": true, "PerformanceInsightsKMSKeyId": "pi"}),
        json!({}),
    ));
    let mut around = around(&facts);
    let mut region = RegionFacts::unread("AccessDenied");
    region
        .insights_keys
        .insert("pi".to_owned(), Err("AccessDenied".to_owned()));
    around.regions.insert(REGION.to_owned(), region);
    facts.dependents = BTreeMap::from([(REGION.to_owned(), Dependents::default())]);
    around.permissions = Err("AccessDenied".to_owned());
    let plan = judged(&facts, &around);
    assert_eq!(plan.migrations.len(), 1);
    assert_eq!(plan.blocking().count(), 0);
    let unproven: BTreeSet<&str> = plan
        .checks
        .iter()
        .filter(|check| check.verdict == Verdict::NotProven)
        .map(|check| check.check.as_str())
        .collect();
    for id in [
        "pending-maintenance",
        "names-free",
        "kms-grant",
        "class-encrypts",
        "ca-certificate",
        "lower-case-table-names",
        "performance-insights-key",
        "blue-green",
        "proxy",
        "event-subscriptions",
        "iam-permissions",
        "quota-instances",
        "quota-storage",
        "quota-snapshots",
        "quota-replicas",
        "quota-copies",
    ] {
        assert!(unproven.contains(id), "{id}: {unproven:?}");
    }
}
