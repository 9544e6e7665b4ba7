//! Clusters, end to end on the control plane: encrypted, members made again, everything carried over.

use std::time::{Duration, Instant};

use atrest_model::instance::{DbCluster, Encryption};
use serde_json::Value;

use crate::harness::{Sandbox, Start, pause};

const FLEET: &str = r#"
description = "An Aurora cluster with a writer and two readers, and clusters that are left out."
default_region = "eu-central-1"

[[accounts]]
id = "111122223333"
access_key_id = "AKIASANDBOX000000001"

[[keys]]
alias = "alias/rds-migration"

[[cluster_parameter_groups]]
name = "sky-cluster"
family = "aurora-mysql8.0"
[cluster_parameter_groups.parameters]
long_query_time = "0.5"

[[parameter_groups]]
name = "sky-instances"
family = "aurora-mysql8.0"
[parameter_groups.parameters]
long_query_time = "1"

[[clusters]]
id = "sky"
engine = "aurora-mysql"
engine_version = "8.0.mysql_aurora.3.05.2"
database_name = "sky"
parameter_group = "sky-cluster"
backup_retention = 9
deletion_protection = true
log_exports = ["audit", "error"]
backtrack_window = 7200
serverless = ["0.5", "8.0"]
data_api = true
managed_password = true
tags = [{ key = "Name", value = "sky" }]

[[instances]]
id = "sky-b"
cluster = "sky"
class = "db.r6g.large"
promotion_tier = 2
parameter_group = "sky-instances"
tags = [{ key = "role", value = "reader" }]

[[instances]]
id = "sky-a"
cluster = "sky"
cluster_writer = true
class = "db.r6g.xlarge"
promotion_tier = 0
maintenance_window = "tue:02:00-tue:02:30"
monitoring_interval = 60
monitoring_role = "arn:aws:iam::111122223333:role/rds-monitoring-role"

[[instances]]
id = "sky-c"
cluster = "sky"
class = "db.r6g.large"
promotion_tier = 15
auto_minor_version_upgrade = false

[[clusters]]
id = "far"
engine = "aurora-postgresql"
engine_version = "16.4"
"#;

const PACE: [&str; 4] = ["--poll-interval", "20ms", "--consistency-window", "1s"];

fn clusters(sandbox: &Sandbox) -> Vec<DbCluster> {
    block(async {
        let rds = sandbox.aws("eu-central-1").rds("eu-central-1");
        rds.db_clusters().await.unwrap().0
    })
}

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// What the scenario file has no words for.
fn decorate(sandbox: &Sandbox) {
    block(async {
        let rds = sandbox.aws("eu-central-1").rds("eu-central-1");
        rds.client()
            .modify_db_cluster()
            .db_cluster_identifier("sky")
            .apply_immediately(true)
            .vpc_security_group_ids("sg-0a11ce0000000001a")
            .enable_iam_database_authentication(true)
            .preferred_backup_window("01:15-01:45")
            .preferred_maintenance_window("sun:03:00-sun:03:30")
            .copy_tags_to_snapshot(true)
            .send()
            .await
            .unwrap();
    });
    ready(sandbox, |_| true);
    block(async {
        let rds = sandbox.aws("eu-central-1").rds("eu-central-1");
        rds.client()
            .add_role_to_db_cluster()
            .db_cluster_identifier("sky")
            .role_arn("arn:aws:iam::111122223333:role/rds-s3-import")
            .feature_name("s3Import")
            .send()
            .await
            .unwrap();
    });
    ready(sandbox, |cluster| {
        cluster.document["AssociatedRoles"][0]["Status"] == "ACTIVE"
    });
}

fn ready(sandbox: &Sandbox, wanted: impl Fn(&DbCluster) -> bool) {
    let began = Instant::now();
    loop {
        let found = clusters(sandbox);
        let sky = found.iter().find(|c| c.identifier() == "sky").unwrap();
        let settled = sky.document["IAMDatabaseAuthenticationEnabled"] == true;
        if sky.is_ready() && settled && !sky.has_pending_modifications() && wanted(sky) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{sky:?}");
        pause();
    }
}

#[test]
fn an_aurora_cluster_is_restored_with_a_key_and_its_members_are_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = dir.path().join("fleet.toml");
    std::fs::write(&scenario, FLEET).unwrap();
    let sandbox = Sandbox::start(&Start {
        scenario: scenario.to_str().unwrap(),
        engines: "none",
        speed: "1000",
    });
    decorate(&sandbox);
    let before = sandbox.mutations().len();
    let planned = sandbox
        .run(&[
            "plan",
            "--kms-key",
            "alias/rds-migration",
            "--mysql",
            "off",
            "--run",
            "sky",
        ])
        .expect(0);
    assert!(planned.stdout.contains("cluster sky"), "{}", planned.stdout);
    // A cluster without instances is named, with what to do.
    assert!(
        planned.stdout.contains("it has no DB instances"),
        "{}",
        planned.stdout
    );
    assert_eq!(sandbox.mutations().len(), before);
    let args = [
        &["fix", "atrest-plan.json", "--execute", "--mysql", "off"][..],
        &PACE,
    ]
    .concat();
    let fixed = sandbox.run(&args).expect(0);
    assert!(fixed.stdout.contains("migrated"), "{}", fixed.stdout);

    let found = clusters(&sandbox);
    let named = |name: &str| found.iter().find(|c| c.identifier() == name).unwrap();
    let (old, new) = (named("old-sky"), named("sky"));
    assert_eq!(old.encryption(), Encryption::None);
    assert_eq!(new.encryption(), Encryption::SseKms);
    // Not by the tool's own diff.
    for member in [
        "BackupRetentionPeriod",
        "CopyTagsToSnapshot",
        "DBClusterParameterGroup",
        "DBSubnetGroup",
        "DatabaseName",
        "DeletionProtection",
        "EnabledCloudwatchLogsExports",
        "EngineVersion",
        "IAMDatabaseAuthenticationEnabled",
        "MasterUsername",
        "Port",
        "PreferredBackupWindow",
        "PreferredMaintenanceWindow",
        "VpcSecurityGroups",
        "AssociatedRoles",
        "BacktrackWindow",
        "HttpEndpointEnabled",
        "ServerlessV2ScalingConfiguration",
    ] {
        assert_eq!(
            old.document.get(member),
            new.document.get(member),
            "{member}"
        );
    }
    assert_eq!(new.document["HttpEndpointEnabled"], true);
    // A secret of its own, under the same key.
    let secret = |of: &DbCluster| of.document["MasterUserSecret"].clone();
    assert_eq!(secret(new)["KmsKeyId"], secret(old)["KmsKeyId"]);
    assert_ne!(secret(new)["SecretArn"], secret(old)["SecretArn"]);
    let instances = sandbox.instances("eu-central-1");
    for name in ["sky-a", "sky-b", "sky-c"] {
        let (was, is) = (&instances[&format!("old-{name}")], &instances[name]);
        assert_eq!(is.encryption(), Encryption::SseKms, "{name}");
        assert_eq!(is.cluster(), Some("sky"), "{name}");
        assert_eq!(was.cluster(), Some("old-sky"), "{name}");
        for member in [
            "DBInstanceClass",
            "PromotionTier",
            "AvailabilityZone",
            "PreferredMaintenanceWindow",
            "MonitoringInterval",
            "AutoMinorVersionUpgrade",
        ] {
            assert_eq!(
                was.document.get(member),
                is.document.get(member),
                "{name} {member}"
            );
        }
        let group = |of: &Value| of["DBParameterGroups"][0]["DBParameterGroupName"].clone();
        assert_eq!(group(&was.document), group(&is.document), "{name}");
    }
    let writer = new.document["DBClusterMembers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|member| member["IsClusterWriter"] == true)
        .unwrap();
    assert_eq!(writer["DBInstanceIdentifier"], "sky-a");
    sandbox
        .run(&["diff", "--run", "sky", "--mysql", "off"])
        .expect(0);
    // The old cluster and the snapshot that was made of it are flagged still, and no news.
    let scan = ["scan", "--region", "eu-central-1", "--save", "after.json"];
    sandbox.run(&scan).expect(10);
    let page = ["report", "after.json", "sky", "--format", "html"];
    let page = sandbox.run(&page).expect(0).stdout;
    let told = page.matches("superseded by sky in run sky;").count();
    assert!(told >= 2, "{told}");
    let mutations = sandbox.mutations();
    assert!(!mutations.iter().any(|r| r.action.starts_with("Delete")));
    assert!(sandbox.stop().success());
}

/// A member of a global cluster is left out; the commands it is left out with lead around that.
#[test]
fn a_member_of_a_global_cluster_is_left_out_with_the_way_around() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = dir.path().join("fleet.toml");
    std::fs::write(&scenario, PLANET).unwrap();
    let sandbox = Sandbox::start(&Start {
        scenario: scenario.to_str().unwrap(),
        engines: "none",
        speed: "1000",
    });
    let arn = "arn:aws:rds:eu-central-1:111122223333:cluster:sky";
    let global = async |sandbox: &Sandbox| {
        let rds = sandbox.aws("eu-central-1").rds("eu-central-1");
        let create = rds.client().create_global_cluster();
        create
            .global_cluster_identifier("planet")
            .source_db_cluster_identifier(arn)
            .send()
            .await
            .unwrap();
    };
    block(global(&sandbox));
    let plan = [
        "plan",
        "--kms-key",
        "alias/rds-migration",
        "--mysql",
        "off",
        "--run",
        "sky",
    ];
    let planned = sandbox.run(&plan).expect(0).stdout;
    let planned = planned.split_whitespace().collect::<Vec<_>>().join(" ");
    for told in [
        "it is a member of the global cluster planet",
        "aws rds remove-from-global-cluster --global-cluster-identifier planet",
        "aws rds delete-global-cluster --global-cluster-identifier planet",
        "--source-db-cluster-identifier arn:aws:rds:eu-central-1:111122223333:cluster:sky",
    ] {
        assert!(planned.contains(told), "{told}: {planned}");
    }
    assert!(
        !planned.contains("RestoreDBClusterFromSnapshot"),
        "{planned}"
    );

    // As it was told.
    block(async {
        let rds = sandbox.aws("eu-central-1").rds("eu-central-1");
        let remove = rds.client().remove_from_global_cluster();
        remove
            .global_cluster_identifier("planet")
            .db_cluster_identifier(arn)
            .send()
            .await
            .unwrap();
    });
    std::fs::remove_file(sandbox.path("atrest-plan.json")).unwrap();
    sandbox.run(&plan).expect(0);
    let args = [
        &["fix", "atrest-plan.json", "--execute", "--mysql", "off"][..],
        &PACE,
    ]
    .concat();
    sandbox.run(&args).expect(0);
    block(async {
        let rds = sandbox.aws("eu-central-1").rds("eu-central-1");
        let delete = rds.client().delete_global_cluster();
        delete
            .global_cluster_identifier("planet")
            .send()
            .await
            .unwrap();
        global(&sandbox).await;
    });
    let found = clusters(&sandbox);
    let sky = found.iter().find(|c| c.identifier() == "sky").unwrap();
    assert_eq!(sky.encryption(), Encryption::SseKms);
    assert_eq!(sky.document["GlobalClusterIdentifier"], "planet");
    assert!(sandbox.stop().success());
}

const PLANET: &str = r#"
description = "An Aurora cluster that is to be in a global cluster, and an instance."
default_region = "eu-central-1"

[[accounts]]
id = "111122223333"
access_key_id = "AKIASANDBOX000000001"

[[keys]]
alias = "alias/rds-migration"

[[clusters]]
id = "sky"
engine = "aurora-mysql"
engine_version = "8.0.mysql_aurora.3.05.2"

[[instances]]
id = "sky-a"
cluster = "sky"
cluster_writer = true
class = "db.r6g.large"

[[instances]]
id = "ground"
engine = "postgres"
engine_version = "16.4"
class = "db.m5.large"
allocated_storage = 50
storage_type = "gp3"
"#;

const TRIO: &str = r#"
description = "A Multi-AZ DB cluster of each engine."
default_region = "eu-central-1"

[[accounts]]
id = "111122223333"
access_key_id = "AKIASANDBOX000000001"

[[keys]]
alias = "alias/rds-migration"

[[cluster_parameter_groups]]
name = "trio-cluster"
family = "mysql8.0"
[cluster_parameter_groups.parameters]
long_query_time = "0.5"

[[clusters]]
id = "trio"
engine = "mysql"
engine_version = "8.0.39"
class = "db.m6g.large"
allocated_storage = 100
storage_type = "io1"
iops = 1000
parameter_group = "trio-cluster"
backup_retention = 9
deletion_protection = true
log_exports = ["error"]
tags = [{ key = "Name", value = "trio" }]

[[instances]]
id = "trio-instance-1"
cluster = "trio"
class = "db.m6g.large"
tags = [{ key = "colour", value = "red" }]

[[instances]]
id = "trio-instance-2"
cluster = "trio"
cluster_writer = true
class = "db.m6g.large"

[[instances]]
id = "trio-instance-3"
cluster = "trio"
class = "db.m6g.large"

[[clusters]]
id = "elephant"
engine = "postgres"
engine_version = "16.4"
class = "db.m6g.large"
allocated_storage = 500
storage_type = "gp3"
iops = 12000

[[instances]]
id = "elephant-instance-1"
cluster = "elephant"
cluster_writer = true
class = "db.m6g.large"

[[instances]]
id = "elephant-instance-2"
cluster = "elephant"
class = "db.m6g.large"

[[instances]]
id = "elephant-instance-3"
cluster = "elephant"
class = "db.m6g.large"
"#;

#[test]
fn a_multi_az_cluster_goes_through_a_db_instance_and_comes_back_with_its_members() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = dir.path().join("fleet.toml");
    std::fs::write(&scenario, TRIO).unwrap();
    let sandbox = Sandbox::start(&Start {
        scenario: scenario.to_str().unwrap(),
        engines: "none",
        speed: "1000",
    });
    let planned = sandbox
        .run(&[
            "plan",
            "--kms-key",
            "alias/rds-migration",
            "--mysql",
            "off",
            "--run",
            "trio",
        ])
        .expect(0);
    for told in [
        "RestoreDBInstanceFromDBSnapshot tmp-trio from the snapshot of the cluster",
        "its DB instances come back as new-trio-instance-1 and so on",
        "postgres accounts, rows and client connections are not read",
    ] {
        assert!(
            planned
                .stdout
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .contains(told),
            "{told}: {}",
            planned.stdout
        );
    }
    let args = [
        &["fix", "atrest-plan.json", "--execute", "--mysql", "off"][..],
        &PACE,
    ]
    .concat();
    let fixed = sandbox.run(&args).expect(0);
    assert!(fixed.stdout.contains("migrated"), "{}", fixed.stdout);
    // Said at the end: what is called otherwise for good.
    let told = "its successor is called new-trio-instance-1 for good";
    assert!(
        fixed
            .stdout
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .contains(told),
        "{}",
        fixed.stdout
    );

    let found = clusters(&sandbox);
    let named = |name: &str| found.iter().find(|c| c.identifier() == name).unwrap();
    let instances = sandbox.instances("eu-central-1");
    for name in ["trio", "elephant"] {
        let (old, new) = (named(&format!("old-{name}")), named(name));
        assert_eq!(old.encryption(), Encryption::None);
        assert_eq!(new.encryption(), Encryption::SseKms);
        // Not by the tool's own diff.
        for member in [
            "AllocatedStorage",
            "BackupRetentionPeriod",
            "DBClusterInstanceClass",
            "DBClusterParameterGroup",
            "DBSubnetGroup",
            "DeletionProtection",
            "EnabledCloudwatchLogsExports",
            "EngineVersion",
            "Iops",
            "MasterUsername",
            "MultiAZ",
            "Port",
            "PreferredBackupWindow",
            "PreferredMaintenanceWindow",
            "StorageType",
            "VpcSecurityGroups",
        ] {
            assert_eq!(
                old.document.get(member),
                new.document.get(member),
                "{name} {member}"
            );
        }
        for number in 1..=3 {
            let (was, is) = (
                &instances[&format!("{name}-instance-{number}")],
                &instances[&format!("new-{name}-instance-{number}")],
            );
            assert_eq!(was.cluster(), Some(old.identifier()));
            assert_eq!(is.cluster(), Some(name));
            assert_eq!(was.encryption(), Encryption::None);
            assert_eq!(is.encryption(), Encryption::SseKms);
        }
        // What the data went through is gone.
        assert!(!instances.contains_key(&format!("tmp-{name}")));
    }
    // The tags of a member come back on its counterpart: of a reader, on the first reader.
    let tagged = &instances["new-trio-instance-2"];
    assert_eq!(tagged.tags().get("colour"), Some(&"red"));
    sandbox
        .run(&["diff", "--run", "trio", "--mysql", "off"])
        .expect(0);
    let mutations = sandbox.mutations();
    let deleted: Vec<&str> = mutations
        .iter()
        .filter(|request| request.action.starts_with("Delete"))
        .map(|request| request.action.as_str())
        .collect();
    assert_eq!(deleted, ["DeleteDBInstance", "DeleteDBInstance"]);
    assert!(sandbox.stop().success());
}
