//! A sandbox of one case, and what is compared at the end of a run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;

use atrest_fixer::dependents;
use atrest_fixer::planner::{self, Facts, Quiesce};
use atrest_fixer::store::{self, RunStore};
use atrest_model::id::RunId;
use atrest_model::instance::Encryption;
use atrest_model::plan::{DataCheck, MysqlAccess, Plan, TAG_CLAIM};
use atrest_sandbox::{EngineMode, Sandbox, SandboxError, SandboxOptions, Scenario};
use atrest_scanner::inventory;
use serde_json::{Value, json};

use super::child::{ACCESS_KEY, REGION, aws};
use super::{Kind, PATIENCE};

/// Virtual seconds per real second: a migration of an hour takes a second or two.
pub(crate) const SPEED: f64 = 6000.0;
pub(crate) const RUN: &str = "matrix";
/// File of the sandbox's state.
const STATE: &str = "sandbox.state";
const ACCOUNT: &str = "111122223333";

/// A sandbox, and the folder of its case.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    sandbox: Option<Sandbox>,
    endpoint: String,
    port: u16,
    scenario: String,
}

/// One line of the request log that changed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mutation {
    pub(crate) action: String,
    /// What it is about: two of the same are one intent carried out twice.
    pub(crate) intent: String,
}

impl World {
    /// `faults` is added to the scenario.
    pub(crate) async fn start(kind: Kind, faults: &str) -> Self {
        let mut world = Self::closed(kind, faults, 0);
        world.open().await;
        world
    }

    /// A world that goes on from a kept one: its sandbox and its run folder.
    pub(crate) async fn start_from(kept: &Path, kind: Kind) -> Self {
        let mut world = Self::closed(kind, "", 0);
        std::fs::copy(kept.join(STATE), world.dir.path().join(STATE)).unwrap();
        copy(&kept.join("run"), &world.run_dir());
        world.open().await;
        world
    }

    /// Ends the sandbox and keeps what [`World::start_from`] goes on from.
    pub(crate) async fn keep(mut self) -> tempfile::TempDir {
        self.sandbox.take().unwrap().shutdown().await.unwrap();
        copy(&self.run_dir(), &self.dir.path().join("run"));
        self.dir
    }

    fn closed(kind: Kind, faults: &str, port: u16) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            sandbox: None,
            endpoint: String::new(),
            port,
            scenario: format!("{}\n{faults}", kind.scenario()),
        }
    }

    async fn open(&mut self) {
        let options = SandboxOptions {
            scenario: Scenario::parse("fleet", &self.scenario).unwrap(),
            port: self.port,
            speed: SPEED,
            engines: EngineMode::None,
            install_dir: self.dir.path().join("none"),
            work_dir: self.dir.path().join("none"),
            request_log: Some(self.log()),
            seed: 1,
        };
        let state = self.dir.path().join(STATE);
        let began = Instant::now();
        // The listener of the sandbox before may be open for another moment.
        let sandbox = loop {
            match Sandbox::start_with_state(options.clone(), state.clone()).await {
                Ok(sandbox) => break sandbox,
                Err(SandboxError::PortInUse { .. }) if began.elapsed() < PATIENCE => {
                    super::pause().await;
                }
                Err(other) => panic!("{other}"),
            }
        };
        self.endpoint = sandbox.endpoint();
        self.port = self.endpoint.rsplit(':').next().unwrap().parse().unwrap();
        self.sandbox = Some(sandbox);
    }

    /// A sandbox whose port nobody is given meanwhile: the kernel gives out those from 32768 on.
    pub(crate) async fn start_to_restart(kind: Kind) -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let first = u16::try_from(std::process::id() % 10_000).unwrap();
        let port = loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let port = 20_000 + (first + number * 7) % 12_000;
            if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
                break port;
            }
        };
        let mut world = Self::closed(kind, "", port);
        world.open().await;
        world
    }

    /// The control plane goes away and comes back as it was.
    pub(crate) async fn restart(&mut self) {
        self.sandbox.take().unwrap().shutdown().await.unwrap();
        self.open().await;
    }

    pub(crate) async fn stop(mut self) {
        self.sandbox.take().unwrap().shutdown().await.unwrap();
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(crate) fn address(&self) -> (&'static str, u16) {
        ("127.0.0.1", self.port)
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.state_dir().join("runs").join(RUN)
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("requests.jsonl")
    }

    pub(crate) async fn plan(&self, kind: Kind) -> Plan {
        let aws = aws(self.endpoint());
        let inventory = inventory::read(&aws, ACCOUNT, &[REGION.to_owned()]).await;
        let key = aws
            .describe_key(REGION, "alias/rds-migration")
            .await
            .unwrap();
        let facts = Facts {
            run: RunId::try_from(RUN.to_owned()).unwrap(),
            created: jiff::Timestamp::UNIX_EPOCH,
            account: ACCOUNT.to_owned(),
            instances: inventory.regions[0].instances.clone(),
            clusters: inventory.regions[0].clusters.clone(),
            keys: BTreeMap::from([(REGION.to_owned(), Ok(key))]),
            mysql: MysqlAccess::Off {
                reason: "control plane only".to_owned(),
            },
            data_check: DataCheck::None,
            methods: planner::MethodFacts {
                wish: planner::Wish::Only(kind.method()),
                ..planner::MethodFacts::default()
            },
            // No server is asked here: nothing is gained by waiting.
            quiesce: Quiesce {
                window_seconds: 0,
                ..Quiesce::default()
            },
            dependents: dependents::read(
                &aws,
                &inventory.regions[0].instances.iter().collect::<Vec<_>>(),
                "alias/rds-migration",
            )
            .await,
            login: None,
        };
        let plan = planner::plan(&facts, None);
        assert_eq!(plan.migrations.len(), 1, "{:?}", plan.left_out);
        plan
    }

    /// Mutations that took effect, in order.
    pub(crate) fn mutations(&self) -> Vec<Mutation> {
        let text = std::fs::read(self.log()).unwrap_or_default();
        let whole = text.iter().rposition(|b| *b == b'\n').unwrap_or(0);
        let lines = str::from_utf8(&text[..whole]).unwrap().lines();
        lines.filter_map(mutation).collect()
    }

    /// Everything there is, without times and without what is drawn anew for each instance.
    pub(crate) async fn picture(&self) -> Value {
        let rds = aws(self.endpoint()).rds(REGION);
        let (instances, _calls) = rds.db_instances().await.unwrap();
        let snapshots = rds.manual_snapshots().await.unwrap().items;
        let (clusters, _calls) = rds.db_clusters().await.unwrap();
        let mut clusters: Vec<Value> = clusters.into_iter().map(|c| c.document).collect();
        let mut of_clusters = rds.manual_cluster_snapshots().await.unwrap().items;
        let encrypted: BTreeMap<String, bool> = instances
            .iter()
            .map(|i| {
                (
                    i.identifier().to_owned(),
                    i.encryption() == Encryption::SseKms,
                )
            })
            .collect();
        let mut instances: Vec<Value> = instances.into_iter().map(|i| i.document).collect();
        // It is the cluster's: a scenario draws one for each member, which the first change of the cluster makes the same.
        for member in &mut instances {
            if member.get("DBClusterIdentifier").is_some()
                && let Some(members) = member.as_object_mut()
            {
                members.remove("PreferredBackupWindow");
            }
        }
        let mut snapshots = snapshots;
        instances
            .iter_mut()
            .chain(&mut snapshots)
            .chain(&mut clusters)
            .chain(&mut of_clusters)
            .for_each(settle);
        clusters.sort_by_key(|c| c["DBClusterIdentifier"].to_string());
        of_clusters.sort_by_key(|s| s["DBClusterSnapshotIdentifier"].to_string());
        instances.sort_by_key(|i| i["DBInstanceIdentifier"].to_string());
        snapshots.sort_by_key(|s| s["DBSnapshotIdentifier"].to_string());
        let deployments: Vec<Value> = rds
            .blue_green_deployments()
            .await
            .unwrap()
            .items
            .into_iter()
            .map(|found| json!([found["BlueGreenDeploymentName"], found["Status"]]))
            .collect();
        let proxied = rds
            .proxy_targets("front")
            .await
            .map(|listing| listing.items);
        json!({"instances": instances, "snapshots": snapshots, "encrypted": encrypted,
            "deployments": deployments, "clusters": clusters, "cluster_snapshots": of_clusters, "proxied": proxied.unwrap_or_default()})
    }

    /// The journal holds together, and every step of the plan is done in it.
    pub(crate) fn check_journal(&self, plan: &Plan) {
        let store = RunStore::open_to_read(&self.state_dir(), RUN).unwrap();
        let mut trail = Vec::new();
        store.export(&mut trail).unwrap().unwrap();
        store::verify(trail.as_slice()).unwrap();
        let steps = store.steps(&plan.migrations[0].id).unwrap();
        // Of the phase it is in.
        for step in &store.present(&plan.migrations[0]).steps {
            assert_eq!(steps[&step.id].status.as_str(), "done", "{}", step.id);
        }
    }

    /// How many records the journal has.
    pub(crate) fn records(&self) -> usize {
        let store = RunStore::open_to_read(&self.state_dir(), RUN).unwrap();
        store.entries().unwrap().len()
    }
}

/// Copies a folder of files.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn mutation(line: &str) -> Option<Mutation> {
    let value: Value = serde_json::from_str(line).unwrap();
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let action = text("action");
    let reads = ["Describe", "List", "Get", "Assume"];
    if reads.iter().any(|reading| action.starts_with(reading)) || !text("code").is_empty() {
        return None;
    }
    if ["reset", "throttle", "http-500", "http-503"].contains(&text("fault").as_str()) {
        return None;
    }
    let param = |name: &str| value["params"][name].as_str().unwrap_or_default();
    let about = match action.as_str() {
        "AddTagsToResource" | "RemoveTagsFromResource" => param("ResourceName").to_owned(),
        "CopyDBSnapshot" => param("TargetDBSnapshotIdentifier").to_owned(),
        "CreateDBSnapshot" | "DeleteDBSnapshot" => param("DBSnapshotIdentifier").to_owned(),
        "DeleteDBInstanceAutomatedBackup" => param("DbiResourceId").to_owned(),
        "ModifyDBInstance" => format!(
            "{} {}",
            param("DBInstanceIdentifier"),
            param("NewDBInstanceIdentifier")
        ),
        "AddRoleToDBInstance" => {
            format!("{} {}", param("DBInstanceIdentifier"), param("FeatureName"))
        }
        "ModifyDBCluster" => format!(
            "{} {}",
            param("DBClusterIdentifier"),
            param("NewDBClusterIdentifier")
        ),
        "CreateDBClusterSnapshot" => param("DBClusterSnapshotIdentifier").to_owned(),
        "RestoreDBClusterFromSnapshot" | "DeleteDBCluster" => {
            param("DBClusterIdentifier").to_owned()
        }
        "DeleteDBClusterSnapshot" => param("DBClusterSnapshotIdentifier").to_owned(),
        "CreateBlueGreenDeployment" => param("BlueGreenDeploymentName").to_owned(),
        "SwitchoverBlueGreenDeployment" | "DeleteBlueGreenDeployment" => {
            param("BlueGreenDeploymentIdentifier").to_owned()
        }
        "DeregisterDBProxyTargets" | "RegisterDBProxyTargets" => param("DBProxyName").to_owned(),
        "AddSourceIdentifierToSubscription" => param("SubscriptionName").to_owned(),
        _ => param("DBInstanceIdentifier").to_owned(),
    };
    Some(Mutation {
        intent: format!("{action} {about}"),
        action,
    })
}

/// Takes out what differs between two runs that did the same.
fn settle(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| {
                !name.ends_with("Time")
                    && ![
                        "DbiResourceId",
                        "DbClusterResourceId",
                        "ValidTill",
                        "EnhancedMonitoringResourceArn",
                    ]
                    .contains(&name.as_str())
            });
            if members.get("Key").and_then(Value::as_str) == Some(TAG_CLAIM) {
                members.remove("Value");
            }
            members.values_mut().for_each(settle);
        }
        Value::Array(items) => items.iter_mut().for_each(settle),
        _ => {}
    }
}

/// The access key of the scenario is the one the child uses.
pub(crate) fn check_scenario() {
    for kind in [Kind::Cold, Kind::Cluster, Kind::MultiAz] {
        assert!(kind.scenario().contains(ACCESS_KEY));
    }
}
