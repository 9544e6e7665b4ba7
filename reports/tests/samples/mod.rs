//! Reports as a real fleet gives them, and hostile ones.

use atrest_model::Tool;
use atrest_model::check::{Check, Verdict};
use atrest_model::diff::{
    Area, Compared, DiffClass, DiffReport, Difference, NotCompared, PairDiff, Side,
};
use atrest_model::event::RunEvent;
use atrest_model::finding::{
    AppliedWaiver, Control, ControlList, Finding, FindingStatus, Severity,
};
use atrest_model::id::{DbInstanceIdentifier, RunId};
use atrest_model::instance::Encryption;
use atrest_model::journal::StepStatus;
use atrest_model::plan::{
    self, Action, DataCheck, LeftOut, Member, Method, Migration, MysqlAccess, Plan, Step, Target,
};
use atrest_model::run::{self, LeftToDo, MigrationReport, Outcome, RunReport};
use atrest_model::scan::{self, RegionScan, Resource, ResourceKind, ScanReport};
use atrest_reports::{MarkKind, RunContext, RunDocument, RunMark, StepTime};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const ACCOUNT: &str = "111122223333";

fn tool() -> Tool {
    Tool {
        name: "atrest".to_owned(),
        version: "0.1.0".to_owned(),
    }
}

fn time() -> Timestamp {
    "2026-11-22T02:00:00Z".parse().unwrap()
}

/// When the runs of these samples ended.
pub(crate) fn ended() -> Timestamp {
    time()
}

pub(crate) fn resource(region: &str, name: &str, engine: &str, encryption: Encryption) -> Resource {
    let (engine, engine_version) = engine.split_once(' ').unwrap();
    Resource {
        arn: format!("arn:aws:rds:{region}:{ACCOUNT}:db:{name}"),
        account: ACCOUNT.to_owned(),
        region: region.to_owned(),
        kind: ResourceKind::DbInstance,
        identifier: name.to_owned(),
        engine: engine.to_owned(),
        engine_version: engine_version.to_owned(),
        class: Some("db.r6g.xlarge".to_owned()),
        status: "available".to_owned(),
        encryption,
        kms_key_id: (encryption == Encryption::SseKms).then(|| {
            format!("arn:aws:kms:{region}:{ACCOUNT}:key/7d1b0f0e-5d0c-4a55-8f57-0b6f0d6f9a10")
        }),
        replica_of: None,
        source: None,
        members: Vec::new(),
    }
}

fn cluster(region: &str, name: &str, engine: &str, encryption: Encryption) -> Resource {
    Resource {
        arn: format!("arn:aws:rds:{region}:{ACCOUNT}:cluster:{name}"),
        kind: ResourceKind::DbCluster,
        class: None,
        members: vec![format!("{name}-1"), format!("{name}-2")],
        ..resource(region, name, engine, encryption)
    }
}

pub(crate) fn finding(resource: &Resource, status: FindingStatus, reason: &str) -> Finding {
    Finding {
        id: Finding::stable_id("storage-unencrypted", &resource.arn),
        policy: "storage-unencrypted".to_owned(),
        severity: Severity::High,
        status,
        reason: reason.to_owned(),
        resource: resource.arn.clone(),
        controls: ControlList::from(vec![Control {
            publisher: "security-hub".to_owned(),
            id: "RDS.3".to_owned(),
        }]),
        waiver: (status == FindingStatus::Waived).then(|| AppliedWaiver {
            owner: "dba@example.com".to_owned(),
            reason: "goes away with the old shop".to_owned(),
            expires: jiff::civil::date(2027, 3, 31),
        }),
        change: None,
    }
}

fn region(name: &str, resources: usize) -> RegionScan {
    RegionScan {
        account: ACCOUNT.to_owned(),
        region: name.to_owned(),
        error: None,
        resources,
        throttled: 0,
    }
}

/// A scan of two regions with a bit of everything; complete but for what could not be evaluated.
pub(crate) fn scan_report() -> ScanReport {
    let (frankfurt, virginia) = ("eu-central-1", "us-east-1");
    let replica = |name: &str, of: &str| Resource {
        replica_of: Some(of.to_owned()),
        ..resource(frankfurt, name, "mysql 8.0.39", Encryption::None)
    };
    let flagged = [
        resource(frankfurt, "prod-one", "mysql 8.0.39", Encryption::None),
        replica("prod-one-replica-1", "prod-one"),
        replica("prod-one-replica-1-leaf", "prod-one-replica-1"),
        resource(
            virginia,
            "legacy-billing",
            "mariadb 10.11.9",
            Encryption::None,
        ),
        cluster(
            virginia,
            "shop-aurora",
            "aurora-mysql 8.0.mysql_aurora.3.08.0",
            Encryption::None,
        ),
    ];
    let waived = resource(virginia, "sandbox-tmp", "postgres 16.4", Encryption::None);
    let unknown = resource(frankfurt, "future", "mysql 8.4.3", Encryption::Unknown);
    let passed = [
        resource(frankfurt, "prod-two", "mariadb 10.11.9", Encryption::SseKms),
        Resource {
            replica_of: Some(format!("arn:aws:rds:{virginia}:{ACCOUNT}:db:reports")),
            ..resource(frankfurt, "reports-eu", "postgres 16.4", Encryption::SseKms)
        },
        cluster(
            virginia,
            "events",
            "aurora-postgresql 16.4",
            Encryption::SseRds,
        ),
        resource(virginia, "reports", "postgres 16.4", Encryption::SseKms),
    ];
    let mut findings: Vec<Finding> = flagged
        .iter()
        .map(|resource| {
            finding(
                resource,
                FindingStatus::Fail,
                "StorageEncrypted is false: storage and backups are not encrypted at rest",
            )
        })
        .collect();
    findings.push(finding(
        &waived,
        FindingStatus::Waived,
        "test data only, goes away with project X (until 2026-12-31)",
    ));
    findings.push(finding(
        &unknown,
        FindingStatus::NotEvaluated,
        "StorageEncryptionType is \"sse-quantum\", which this version does not know",
    ));
    let lost = resource(virginia, "lost-1", "aurora-mysql 8", Encryption::SseKms);
    findings.push(finding(
        &lost,
        FindingStatus::NotEvaluated,
        "its storage is that of cluster lost, which was not read",
    ));
    let mut resources: Vec<Resource> = flagged
        .into_iter()
        .chain(passed)
        .chain([waived, unknown])
        .collect();
    resources.sort_by(|a, b| a.arn.cmp(&b.arn));
    findings.sort_by(|a, b| (&a.resource, &a.policy).cmp(&(&b.resource, &b.policy)));
    ScanReport {
        schema_version: scan::SCHEMA_VERSION,
        tool: tool(),
        started: time(),
        complete: false,
        policies: None,
        regions: vec![region(frankfurt, 6), region(virginia, 5)],
        resources,
        findings,
        baseline: None,
        waiver_notes: Vec::new(),
        unread: Vec::new(),
    }
}

/// Two regions could not be read, and everything that was read has passed: it must not look clean.
pub(crate) fn incomplete_scan() -> ScanReport {
    let mut report = scan_report();
    report
        .resources
        .retain(|resource| resource.encryption == Encryption::SseKms);
    report.findings.clear();
    report.regions.push(RegionScan {
        error: Some("DescribeDBInstances: AccessDenied: User: arn:aws:iam::111122223333:user/audit is not authorized to perform: rds:DescribeDBInstances with an explicit deny in a service control policy (request id 7c1f1a3e-0000-4f5c-9f65-2a5f1d7c9a10)".to_owned()),
        ..region("ap-east-1", 0)
    });
    report.regions.push(RegionScan {
        error: Some("DescribeDBClusters: no answer within 60s, 4 attempts".to_owned()),
        ..region("sa-east-1", 0)
    });
    report
}

/// Every region was read, and there is nothing.
pub(crate) fn empty_scan() -> ScanReport {
    ScanReport {
        complete: true,
        regions: vec![region("eu-central-1", 0), region("us-east-1", 0)],
        resources: Vec::new(),
        findings: Vec::new(),
        ..scan_report()
    }
}

/// Names, tags and errors as an attacker would choose them.
pub(crate) const HOSTILE: &str = "<script>alert(1)</script>|\"';`x`\n\u{1b}[31mred\u{1b}]0;t\u{7}\u{202e}gnp\u{2066}\u{feff}\r\t![a](http://evil/)@all =1+1";

pub(crate) fn hostile_scan() -> ScanReport {
    let mut report = scan_report();
    for resource in &mut report.resources {
        resource.identifier = HOSTILE.to_owned();
        resource.engine = HOSTILE.to_owned();
        resource.engine_version = HOSTILE.to_owned();
        resource.region = HOSTILE.to_owned();
        resource.status = HOSTILE.to_owned();
        resource.kms_key_id = Some(HOSTILE.to_owned());
    }
    for finding in &mut report.findings {
        finding.reason = HOSTILE.to_owned();
        finding.policy = HOSTILE.to_owned();
    }
    report.regions.push(RegionScan {
        account: HOSTILE.to_owned(),
        region: HOSTILE.to_owned(),
        error: Some(HOSTILE.to_owned()),
        resources: 0,
        throttled: 0,
    });
    report
}

fn difference(
    area: Area,
    path: &str,
    class: DiffClass,
    old: Option<Value>,
    new: Option<Value>,
    reason: &str,
    remedy: Option<&str>,
) -> Difference {
    Difference {
        area,
        path: path.to_owned(),
        class,
        old,
        new,
        reason: reason.to_owned(),
        remedy: remedy.map(str::to_owned),
        controls: Vec::new(),
    }
}

fn side(name: &str, id: &str) -> Side {
    Side {
        identifier: name.to_owned(),
        dbi_resource_id: id.to_owned(),
        region: "eu-central-1".to_owned(),
    }
}

const PURPOSE: &str = "encryption is the purpose of the migration";
const NAMES: &str = "the names of the migration; equal once they are mapped";
const MODIFY: &str = "aws rds modify-db-instance --db-instance-identifier new-prod-one";

/// A procedure of 40 lines; `changed` alters one of them.
fn procedure(changed: bool) -> String {
    let updates: Vec<String> = (1..=36)
        .map(|line| {
            let factor = if changed && line == 20 { 7 } else { 3 };
            format!(
                "  UPDATE ledger SET total_{line} = total_{line} * {factor} WHERE closed = month;"
            )
        })
        .collect();
    format!(
        "CREATE PROCEDURE `close_month`(IN month DATE)\nBEGIN\n{}\nEND",
        updates.join("\n")
    )
}

/// A pair with drift of every kind, and a clean one.
pub(crate) fn diff_report() -> DiffReport {
    let expected = || {
        vec![
            difference(
                Area::Attribute,
                "DBInstanceArn",
                DiffClass::Identity,
                Some(json!(
                    "arn:aws:rds:eu-central-1:111122223333:db:old-prod-one"
                )),
                Some(json!(
                    "arn:aws:rds:eu-central-1:111122223333:db:new-prod-one"
                )),
                NAMES,
                None,
            ),
            difference(
                Area::Attribute,
                "DBInstanceIdentifier",
                DiffClass::Identity,
                Some(json!("old-prod-one")),
                Some(json!("new-prod-one")),
                NAMES,
                None,
            ),
            difference(
                Area::Attribute,
                "DbiResourceId",
                DiffClass::Identity,
                Some(json!("db-OLDOLDOLDOLDOLDOLDOLDOLDOL")),
                Some(json!("db-NEWNEWNEWNEWNEWNEWNEWNEWNE")),
                "a restored instance is a new resource",
                None,
            ),
            difference(
                Area::Attribute,
                "InstanceCreateTime",
                DiffClass::Volatile,
                Some(json!("2019-03-01T09:00:00Z")),
                Some(json!("2026-11-22T02:41:07Z")),
                "changes by itself",
                None,
            ),
            difference(
                Area::Attribute,
                "KmsKeyId",
                DiffClass::Intended,
                None,
                Some(json!(
                    "arn:aws:kms:eu-central-1:111122223333:key/7d1b0f0e-5d0c-4a55-8f57-0b6f0d6f9a10"
                )),
                PURPOSE,
                None,
            ),
            difference(
                Area::Attribute,
                "StorageEncrypted",
                DiffClass::Intended,
                Some(json!(false)),
                Some(json!(true)),
                PURPOSE,
                None,
            ),
        ]
    };
    let drift = |area, path, old, new, reason, remedy| {
        difference(area, path, DiffClass::Drift, old, new, reason, remedy)
    };
    let multi_az = format!("{MODIFY} --multi-az --apply-immediately");
    let groups =
        format!("{MODIFY} --vpc-security-group-ids sg-0a1b2c3d4e5f60718 --apply-immediately");
    let mut differences = vec![
        drift(
            Area::Attribute,
            "MultiAZ",
            Some(json!(true)),
            Some(json!(false)),
            "",
            Some(&multi_az),
        ),
        drift(
            Area::Attribute,
            "FrobnicationMode",
            Some(json!("on")),
            None,
            "a member this version does not know; AWS added it and nobody has judged it",
            None,
        ),
        drift(
            Area::Attribute,
            "VpcSecurityGroups[sg-0a1b2c3d4e5f60718].VpcSecurityGroupId",
            Some(json!("sg-0a1b2c3d4e5f60718")),
            None,
            "",
            Some(&groups),
        ),
        drift(
            Area::Parameter,
            "max_connections",
            Some(json!("2000")),
            None,
            "",
            None,
        ),
        drift(
            Area::Account,
            "'app'@'10.0.%' on `shop`.*",
            Some(json!(["SELECT", "INSERT", "UPDATE", "DELETE"])),
            Some(json!(["SELECT", "INSERT", "EXECUTE"])),
            "",
            Some("atrest accounts clone OLD NEW"),
        ),
        drift(
            Area::Data,
            "shop.close_month procedure",
            Some(json!(procedure(false))),
            Some(json!(procedure(true))),
            "",
            None,
        ),
        drift(
            Area::Data,
            "shop.orders rows",
            Some(json!(1_204_311)),
            Some(json!(1_204_310)),
            "",
            None,
        ),
    ];
    if let Some(first) = differences.first_mut() {
        first.controls = vec![Control {
            publisher: "security-hub".to_owned(),
            id: "RDS.5".to_owned(),
        }];
    }
    differences.extend(expected());
    differences.sort_by(|a, b| (a.area, &a.path).cmp(&(b.area, &b.path)));
    let compared = Compared {
        attributes: 121,
        settings: 34,
        accounts: 17,
        tables: 412,
        rows: 98_204_311,
        checksums: false,
    };
    DiffReport {
        schema_version: atrest_model::diff::SCHEMA_VERSION,
        tool: tool(),
        created: time(),
        pairs: vec![
            PairDiff {
                name: "prod-one".to_owned(),
                old: side("old-prod-one", "db-OLDOLDOLDOLDOLDOLDOLDOLDOL"),
                new: side("new-prod-one", "db-NEWNEWNEWNEWNEWNEWNEWNEWNE"),
                differences,
                compared,
                not_compared: Vec::new(),
            },
            PairDiff {
                name: "prod-two".to_owned(),
                old: side("old-prod-two", "db-2OLD"),
                new: side("prod-two", "db-2NEW"),
                differences: expected(),
                compared: Compared {
                    attributes: 118,
                    ..Compared::default()
                },
                not_compared: [Area::Account, Area::Configuration, Area::Data]
                    .into_iter()
                    .map(|area| NotCompared {
                        area,
                        failed: false,
                        reason: "postgres accounts and rows are not read".to_owned(),
                    })
                    .collect(),
            },
        ],
    }
}

/// Nothing differs, but the accounts could not be read: it must not look clean.
pub(crate) fn unread_diff() -> DiffReport {
    let mut report = diff_report();
    report.pairs.truncate(1);
    for pair in &mut report.pairs {
        pair.differences.clear();
        pair.compared.accounts = 0;
        pair.not_compared = vec![NotCompared {
            area: Area::Account,
            failed: true,
            reason: "new-prod-one: access denied for user 'audit'@'10.0.0.7' (1045, 28000)"
                .to_owned(),
        }];
    }
    report
}

pub(crate) fn hostile_diff() -> DiffReport {
    let mut report = diff_report();
    for pair in &mut report.pairs {
        pair.name = HOSTILE.to_owned();
        pair.old.identifier = HOSTILE.to_owned();
        pair.new.region = HOSTILE.to_owned();
        for (index, difference) in pair.differences.iter_mut().enumerate() {
            difference.path = HOSTILE.to_owned();
            difference.reason = HOSTILE.to_owned();
            difference.remedy = Some(HOSTILE.to_owned());
            difference.old = Some(match index % 3 {
                0 => json!(HOSTILE),
                1 => json!([HOSTILE, "x"]),
                _ => json!({HOSTILE: HOSTILE.repeat(20)}),
            });
        }
        pair.not_compared.push(NotCompared {
            area: Area::Data,
            failed: true,
            reason: HOSTILE.to_owned(),
        });
    }
    report
}

fn name(text: &str) -> DbInstanceIdentifier {
    DbInstanceIdentifier::try_from(text).unwrap()
}

fn member(text: &str, made_by: &str, of: Option<&str>) -> Member {
    Member {
        identifier: name(text),
        old_name: name(text).prefixed("old").unwrap(),
        new_name: name(text).prefixed("new").unwrap(),
        dbi_resource_id: format!("db-{}", text.to_uppercase()),
        replicates_from: of.map(name),
        digest: String::new(),
        made_by: made_by.to_owned(),
    }
}

fn step(id: &str, hours: u64, action: Action) -> Step {
    Step {
        id: id.to_owned(),
        needs: Vec::new(),
        deadline_seconds: hours * 3600,
        action,
    }
}

fn steps(source: &str, replicas: &[&str]) -> Vec<Step> {
    let members: Vec<&str> = std::iter::once(source)
        .chain(replicas.iter().copied())
        .collect();
    let old = |text: &str| Target::Old(format!("db-{}", text.to_uppercase()));
    let made = |text: &str| {
        Target::MadeBy(if text == source {
            "restore".to_owned()
        } else {
            format!("replica:{text}")
        })
    };
    let request = json!({
        "DBInstanceClass": "db.r6g.xlarge", "MultiAZ": true, "StorageType": "gp3", "DBSubnetGroupName": "private",
        "VpcSecurityGroupIds": ["sg-0a1b2c3d4e5f60718", "sg-0a1b2c3d4e5f60719"], "DBParameterGroupName": "prod-mysql80",
        "OptionGroupName": "default:mysql-8-0", "Port": 3306, "PubliclyAccessible": false, "CopyTagsToSnapshot": true,
        "DeletionProtection": true, "Tags": [{"Key": "team", "Value": "shop"}],
    });
    let request = request.as_object().unwrap().clone();
    let modify = json!({"BackupRetentionPeriod": 14, "PreferredBackupWindow": "02:00-02:30", "MaxAllocatedStorage": 1000, "MonitoringInterval": 60});
    let modify = modify.as_object().unwrap().clone();
    let mut steps = Vec::new();
    for text in &members {
        let tags = vec![("atrest:run".to_owned(), "sunday".to_owned())];
        let action = Action::Claim {
            instance: old(text),
            tags,
        };
        steps.push(step(&format!("claim:{text}"), 1, action));
    }
    for text in &members {
        let action = Action::Rename {
            instance: old(text),
            from: name(text),
            to: name(text).prefixed("old").unwrap(),
            cutover: false,
        };
        steps.push(step(&format!("rename-old:{text}"), 2, action));
    }
    steps.push(step(
        "quiesce",
        1,
        Action::Quiesce {
            instance: old(source),
            window_seconds: 30,
            kill_connections: false,
        },
    ));
    let raw = "atrest-0123456789abcdef0123-1-raw".to_owned();
    let kms = "atrest-0123456789abcdef0123-1-kms".to_owned();
    steps.push(step(
        "snapshot",
        5,
        Action::Snapshot {
            instance: old(source),
            snapshot: raw.clone(),
            tags: Vec::new(),
        },
    ));
    steps.push(step(
        "encrypted-copy",
        5,
        Action::EncryptedCopy {
            source_snapshot: raw,
            snapshot: kms.clone(),
            kms_key_id: String::new(),
            tags: Vec::new(),
        },
    ));
    for text in &members {
        let new_name = name(text).prefixed("new").unwrap();
        let (id, action) = if *text == source {
            let action = Action::Restore {
                snapshot: kms.clone(),
                name: new_name,
                request: request.clone(),
            };
            ("restore".to_owned(), action)
        } else {
            let action = Action::CreateReplica {
                source: made(source),
                name: new_name,
                request: request.clone(),
            };
            (format!("replica:{text}"), action)
        };
        steps.push(step(&id, 5, action));
        let action = Action::Modify {
            instance: made(text),
            request: modify.clone(),
        };
        steps.push(step(&format!("modify:{text}"), 1, action));
        let action = Action::Settle {
            instance: made(text),
        };
        steps.push(step(&format!("settle:{text}"), 1, action));
        if *text != source {
            let action = Action::Accounts {
                old: old(text),
                new: made(text),
            };
            steps.push(step(&format!("accounts:{text}"), 1, action));
        }
        let action = Action::Configuration {
            old: old(text),
            new: made(text),
        };
        steps.push(step(&format!("configuration:{text}"), 1, action));
    }
    steps.push(step("validate", 5, Action::Validate));
    for text in &members {
        let action = Action::Rename {
            instance: made(text),
            from: name(text).prefixed("new").unwrap(),
            to: name(text),
            cutover: true,
        };
        steps.push(step(&format!("rename-new:{text}"), 2, action));
    }
    steps.push(step("rescan", 1, Action::Rescan));
    steps
}

/// A line of every verdict, about a migration, a region, and what is left out.
fn checks() -> Vec<Check> {
    let line = |check: &str, migration: Option<&str>, subject: &str, verdict, detail: &str| Check {
        check: check.to_owned(),
        migration: migration.map(str::to_owned),
        subject: subject.to_owned(),
        verdict,
        detail: detail.to_owned(),
    };
    let one = Some("eu-central-1/prod-one");
    let left = Some("us-east-1/legacy-billing");
    vec![
        line(
            "status",
            one,
            "eu-central-1/prod-one",
            Verdict::Passes,
            "every DB instance is available",
        ),
        line(
            "backup-window",
            one,
            "eu-central-1/prod-one-replica-1",
            Verdict::Warns,
            "its window 02:00-02:30 (UTC) opens in 30 minutes, and the run may take 240: steps wait while a backup runs",
        ),
        line(
            "deletion-protection",
            one,
            "eu-central-1/prod-one",
            Verdict::FixedBy {
                step: "restore".to_owned(),
            },
            "deletion protection is set again; old-prod-one stays protected, too",
        ),
        line(
            "class-encrypts",
            left,
            "us-east-1/legacy-billing",
            Verdict::Blocks,
            "class db.t2.micro does not support encrypted storage; change the class first, db.t3.micro is the nearest that does",
        ),
        line(
            "quota-instances",
            None,
            "eu-central-1",
            Verdict::NotProven,
            "the run makes 3 DB instances; what is left of the quota is not known: AccessDenied",
        ),
    ]
}

pub(crate) fn migration_plan() -> Plan {
    let key = "arn:aws:kms:eu-central-1:111122223333:key/7d1b0f0e-5d0c-4a55-8f57-0b6f0d6f9a10";
    let long = "billing-of-a-department-with-a-rather-long-name-4711";
    let migration = |source: &str, replicas: &[&str], notes: &[&str]| Migration {
        id: format!("eu-central-1/{source}"),
        region: "eu-central-1".to_owned(),
        method: Method::Cold,
        cluster: None,
        not_taken: Vec::new(),
        engine: "mysql".to_owned(),
        allocated_storage: 100,
        kms_key_id: key.to_owned(),
        source: member(source, "restore", None),
        replicas: replicas
            .iter()
            .map(|replica| member(replica, &format!("replica:{replica}"), Some(source)))
            .collect(),
        notes: notes.iter().map(|note| (*note).to_owned()).collect(),
        wave: None,
        steps: steps(source, replicas),
    };
    Plan {
        schema_version: plan::SCHEMA_VERSION,
        tool: tool(),
        run: RunId::try_from("sunday".to_owned()).unwrap(),
        created: time(),
        rehearsal_of: None,
        account: ACCOUNT.to_owned(),
        mysql: MysqlAccess::Required,
        data_check: DataCheck::Counts,
        waves: Vec::new(),
        hooks: Vec::new(),
        migrations: vec![
            migration(long, &[], &[]),
            migration(
                "prod-one",
                &["prod-one-replica-1"],
                &[
                    "prod-one belongs to a CloudFormation stack, which will not follow to the new instance",
                    "prod-one: point-in-time recovery to times before the migration stays with its old resource id",
                ],
            ),
        ],
        left_out: vec![
            LeftOut {
                arn: "arn:aws:rds:us-east-1:111122223333:cluster:shop-aurora".to_owned(),
                reason: "it has no DB instances; restore it from its snapshot with a key".to_owned(),
            },
            LeftOut {
                arn: "arn:aws:rds:us-east-1:111122223333:db:legacy-billing".to_owned(),
                reason: "class db.t2.micro does not support encrypted storage; change the class first".to_owned(),
            },
        ],
        checks: checks(),
        digest: String::new(),
    }
    .sealed()
}

pub(crate) fn hostile_plan() -> Plan {
    let mut plan = migration_plan();
    plan.account = HOSTILE.to_owned();
    plan.digest = HOSTILE.to_owned();
    plan.mysql = MysqlAccess::Off {
        reason: HOSTILE.to_owned(),
    };
    for migration in &mut plan.migrations {
        migration.id = HOSTILE.to_owned();
        migration.engine = HOSTILE.to_owned();
        migration.kms_key_id = HOSTILE.to_owned();
        migration.notes.push(HOSTILE.repeat(4));
        for step in &mut migration.steps {
            step.id = HOSTILE.to_owned();
            if let Action::Modify { request, .. } = &mut step.action {
                request.insert(HOSTILE.to_owned(), json!([HOSTILE]));
            }
        }
    }
    for left in &mut plan.left_out {
        left.arn = HOSTILE.to_owned();
        left.reason = HOSTILE.to_owned();
    }
    plan
}

pub(crate) fn run_report() -> RunReport {
    let migration = |name: &str, outcome, steps_done, downtime_seconds| {
        MigrationReport {
        migration: format!("eu-central-1/{name}"),
        steps_done,
        steps: 31,
        left_to_do: match outcome {
            Outcome::Migrated => vec![LeftToDo {
                kind: "iam-authentication".to_owned(),
                subject: format!("eu-central-1/{name}"),
                what: "IAM policies that allow rds-db:connect name the old resource id: arn:aws:rds-db:eu-central-1:111122223333:dbuser:db-OLD/* becomes arn:aws:rds-db:eu-central-1:111122223333:dbuser:db-NEW/*".to_owned(),
                todo: "change these policies; until then users of IAM database authentication cannot log in".to_owned(),
            }],
            _ => Vec::new(),
        },
        outcome,
        downtime_seconds,
        times: None,
    }
    };
    RunReport {
        schema_version: run::SCHEMA_VERSION,
        tool: tool(),
        run: RunId::try_from("sunday".to_owned()).unwrap(),
        phase: None,
        ended: time(),
        migrations: vec![
            migration("prod-one", Outcome::Migrated, 31, Some(4_980.0)),
            migration(
                "prod-three",
                Outcome::ValidationFailed { drift: 2 },
                27,
                None,
            ),
            migration(
                "prod-two",
                Outcome::Stopped {
                    step: "replica:prod-two-replica-1".to_owned(),
                    reason: "a signal".to_owned(),
                },
                18,
                None,
            ),
            migration(
                "legacy-billing",
                Outcome::NeedsOperator {
                    step: "encrypted-copy".to_owned(),
                    reason: "CopyDBSnapshot: KMSKeyNotAccessibleFault: the key is disabled"
                        .to_owned(),
                    hint: "enable the key 7d1b0f0e-5d0c-4a55-8f57-0b6f0d6f9a10, then resume"
                        .to_owned(),
                },
                9,
                None,
            ),
        ],
        failed_hooks: Vec::new(),
    }
}

pub(crate) fn migrated_run() -> RunReport {
    let mut report = run_report();
    report.migrations.truncate(1);
    report
}

pub(crate) fn hostile_run() -> RunReport {
    let mut report = run_report();
    for migration in &mut report.migrations {
        migration.migration = HOSTILE.to_owned();
    }
    if let Some(Outcome::NeedsOperator { step, reason, hint }) = report
        .migrations
        .last_mut()
        .map(|migration| &mut migration.outcome)
    {
        *step = HOSTILE.to_owned();
        *reason = HOSTILE.to_owned();
        *hint = HOSTILE.to_owned();
    }
    report
}

pub(crate) fn events() -> Vec<RunEvent> {
    let migration = || "eu-central-1/prod-one".to_owned();
    let step = || "restore".to_owned();
    vec![
        RunEvent::RunBegan {
            migrations: 2,
            resumed: true,
        },
        RunEvent::MigrationBegan {
            migration: migration(),
            steps: 31,
            done: 11,
        },
        RunEvent::Acted {
            migration: migration(),
            step: step(),
            operation: "RestoreDBInstanceFromDBSnapshot".to_owned(),
        },
        RunEvent::Waiting {
            migration: migration(),
            step: step(),
            state: "creating".to_owned(),
            elapsed_seconds: 192.0,
            deadline_seconds: 14_400,
        },
        RunEvent::Retrying {
            subject: "eu-central-1".to_owned(),
            step: "DescribeDBInstances".to_owned(),
            reason: "Throttling: Rate exceeded".to_owned(),
        },
        RunEvent::StepDone {
            migration: migration(),
            step: step(),
            detail: "new-prod-one is available".to_owned(),
            done: 12,
            steps: 31,
            elapsed_seconds: 1_260.0,
        },
        RunEvent::MigrationEnded {
            migration: migration(),
            outcome: Outcome::Stopped {
                step: "validate".to_owned(),
                reason: "a signal".to_owned(),
            },
        },
        RunEvent::MigrationEnded {
            migration: "eu-central-1/prod-two".to_owned(),
            outcome: Outcome::Migrated,
        },
        RunEvent::RunEnded {
            migrated: 1,
            migrations: 2,
            exit_code: 20,
        },
    ]
}

/// The run of [`run_report`] with its plan, its steps, calls that were tried again, a stop that was taken up again, and
/// where its time went.
pub(crate) fn timed_run(then: impl FnOnce(&RunDocument<'_>)) {
    let (mut report, steps) = (run_report(), step_times());
    let mut plan = migration_plan();
    let one = plan.migrations[1].clone();
    plan.migrations = report
        .migrations
        .iter()
        .map(|migration| Migration {
            id: migration.migration.clone(),
            ..one.clone()
        })
        .collect();
    let begin = steps.iter().map(|step| step.began).min().unwrap();
    let mark = |name: &str, step: &str, minutes: i64, kind, reason: &str| RunMark {
        migration: format!("eu-central-1/{name}"),
        step: step.to_owned(),
        at: begin
            .checked_add(SignedDuration::from_mins(minutes))
            .unwrap(),
        kind,
        reason: reason.to_owned(),
    };
    let marks = [
        mark(
            "prod-one",
            "encrypted-copy",
            25,
            MarkKind::Retry,
            "Throttling: rate exceeded",
        ),
        mark(
            "prod-one",
            "restore",
            50,
            MarkKind::Retry,
            "ServiceUnavailable",
        ),
        mark("prod-two", "restore", 75, MarkKind::Stopped, "a signal"),
        mark("prod-two", "", 85, MarkKind::Resumed, ""),
    ];
    let context = RunContext {
        plan: Some(&plan),
        steps: &steps,
        marks: &marks,
        diff: None,
    };
    let ended = report.ended;
    for migration in &mut report.migrations {
        migration.times = context.times(&migration.migration, ended);
    }
    then(&RunDocument {
        report: &report,
        context,
    });
}

/// A fleet of two accounts, six regions and five engines, much of it encrypted, one region not read.
pub(crate) fn fleet() -> ScanReport {
    let mut report = scan_report();
    // Seven of them, so that each region has several.
    let engines = [
        "mysql 8.0.39",
        "mariadb 10.11.9",
        "postgres 16.4",
        "sqlserver-se 15.00",
        "mysql 5.7.44",
        "postgres 15.8",
        "oracle-ee 19.0",
    ];
    let mut engines = engines.into_iter().cycle();
    let regions = [
        "eu-central-1",
        "eu-west-1",
        "us-east-1",
        "us-west-2",
        "ap-southeast-1",
    ];
    for (index, name) in regions.iter().cycle().take(70).enumerate() {
        let state = if index % 7 < 2 {
            Encryption::None
        } else {
            Encryption::SseKms
        };
        let mut one = resource(
            name,
            &format!("team-{}-{index:02}", index % 9),
            engines.next().unwrap(),
            state,
        );
        if index % 3 == 0 {
            one.account = "444455556666".to_owned();
            one.arn = one.arn.replace(ACCOUNT, "444455556666");
        }
        if state == Encryption::None {
            report.findings.push(finding(
                &one,
                FindingStatus::Fail,
                "StorageEncrypted is false: storage and backups are not encrypted at rest",
            ));
        }
        report.resources.push(one);
    }
    report.regions = Vec::new();
    for account in [ACCOUNT, "444455556666"] {
        for name in regions.into_iter().chain(["sa-east-1", "eu-north-1"]) {
            report.regions.push(RegionScan {
                account: account.to_owned(),
                error: (name == "sa-east-1" && account == ACCOUNT).then(|| "DescribeDBInstances: AccessDenied: User: arn:aws:iam::111122223333:user/audit is not authorized to perform: rds:DescribeDBInstances".to_owned()),
                ..region(name, 8)
            });
        }
    }
    report
}

/// When the steps of [`migration_plan`] ran in [`run_report`], most of them: the last migration is at its copy.
pub(crate) fn step_times() -> Vec<StepTime> {
    let begin = time().as_second() - 3 * 3600;
    let at = |seconds: i64| Timestamp::from_second(begin + seconds).unwrap();
    let mut lines = Vec::new();
    for (name, delay, until) in [
        ("prod-one", 0, usize::MAX),
        ("prod-three", 400, 20),
        ("prod-two", 900, 12),
        ("legacy-billing", 1500, 6),
    ] {
        let mut clock = delay;
        for (index, step) in steps("prod-one", &["prod-one-replica-1"])
            .into_iter()
            .enumerate()
        {
            if index > until {
                break;
            }
            let took = match step.id.as_str() {
                "snapshot" => 780,
                "encrypted-copy" => 1500,
                "restore" => 900,
                "validate" => 140,
                id if id.starts_with("replica:") => 1100,
                id if id.starts_with("rename") => 95,
                _ => 25,
            };
            // Claims and renames of several members run beside each other.
            let beside = step.id.starts_with("claim:") || step.id.starts_with("rename-old:");
            lines.push((name, step.id.clone(), StepStatus::Intended, at(clock)));
            if index < until {
                lines.push((name, step.id, StepStatus::Done, at(clock + took)));
            }
            clock += if beside { took / 3 } else { took };
        }
    }
    let names: Vec<(String, String, StepStatus, Timestamp)> = lines
        .into_iter()
        .map(|(name, step, status, at)| (format!("eu-central-1/{name}"), step, status, at))
        .collect();
    StepTime::of_journal(
        names
            .iter()
            .map(|(m, s, status, at)| (m.as_str(), s.as_str(), *status, *at)),
    )
}
