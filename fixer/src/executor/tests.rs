//! The executor against a control plane, and against itself with a safeguard taken out: the safeguards must matter.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use atrest_model::id::RunId;
use atrest_model::plan::{DataCheck, MysqlAccess, Plan};
use atrest_model::run::Outcome;
use atrest_sandbox::{EngineMode, Sandbox, SandboxOptions, Scenario};
use atrest_scanner::inventory;
use serde_json::Value;

use super::*;
use crate::clock::Timing;
use crate::options::Careless;
use crate::planner::{self, Facts, Quiesce};

mod blue_green;

const REGION: &str = "eu-central-1";
const FLEET: &str = include_str!("../../../tests/integration/kill_matrix/fleet.toml");

struct Quiet;

impl Reporter for Quiet {
    fn event(&self, _event: &RunEvent) {}
}

struct Bed {
    sandbox: Sandbox,
    dir: tempfile::TempDir,
    aws: Aws,
    plan: Plan,
}

impl Bed {
    async fn with(more: &str) -> Self {
        Self::by(more, planner::MethodFacts::default()).await
    }

    async fn by(more: &str, methods: planner::MethodFacts) -> Self {
        let fleet = match methods.wish {
            // RDS makes no deployment of the target of a proxy.
            planner::Wish::Only(atrest_model::plan::Method::BlueGreen) => {
                FLEET.split("[[proxies]]").next().unwrap_or(FLEET)
            }
            _ => FLEET,
        };
        let dir = tempfile::tempdir().unwrap();
        let options = SandboxOptions {
            scenario: Scenario::parse("fleet", &format!("{fleet}\n{more}")).unwrap(),
            port: 0,
            speed: 6000.0,
            engines: EngineMode::None,
            install_dir: dir.path().to_owned(),
            work_dir: dir.path().to_owned(),
            request_log: Some(dir.path().join("requests.jsonl")),
            seed: 1,
        };
        let sandbox = Sandbox::start(options).await.unwrap();
        let aws = Aws::fixed(&sandbox.endpoint(), REGION, "AKIASANDBOX000000001", "any");
        let account = "111122223333";
        let inventory = inventory::read(&aws, account, &[REGION.to_owned()]).await;
        let key = aws
            .describe_key(REGION, "alias/rds-migration")
            .await
            .unwrap();
        let facts = Facts {
            run: RunId::try_from("r".to_owned()).unwrap(),
            created: jiff::Timestamp::UNIX_EPOCH,
            account: account.to_owned(),
            instances: inventory.regions[0].instances.clone(),
            clusters: Vec::new(),
            keys: BTreeMap::from([(REGION.to_owned(), Ok(key))]),
            mysql: MysqlAccess::Off {
                reason: "control plane only".to_owned(),
            },
            data_check: DataCheck::None,
            methods,
            quiesce: Quiesce {
                window_seconds: 0,
                ..Quiesce::default()
            },
            dependents: BTreeMap::new(),
            login: None,
        };
        let plan = planner::plan(&facts, None);
        Self {
            sandbox,
            dir,
            aws,
            plan,
        }
    }

    async fn run(&self, store: RunStore, careless: Careless, stop_before: Option<&str>) -> Outcome {
        let options = FixOptions {
            timing: Timing {
                poll: Duration::from_millis(15),
                consistency: Duration::from_millis(60),
                ..Timing::default()
            },
            concurrency: 1,
            stop_before: stop_before.map(str::to_owned),
            fleet: crate::options::FleetOptions::default(),
            mysql: None,
            careless,
        };
        let (_keep, stop) = watch::channel(false);
        let report = run(&self.aws, store, &options, &Quiet, stop).await.unwrap();
        report.migrations.into_iter().next().unwrap().outcome
    }

    fn state(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn count(&self, action: &str) -> usize {
        count(&self.dir.path().join("requests.jsonl"), action)
    }

    async fn stop(self) {
        self.sandbox.shutdown().await.unwrap();
    }
}

/// Calls that took effect; `*` counts every mutation.
fn count(log: &Path, action: &str) -> usize {
    let text = std::fs::read_to_string(log).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|line| line["code"].as_str().unwrap_or_default().is_empty())
        .filter(|line| match action {
            "*" => !line["action"].as_str().unwrap().starts_with("Describe"),
            action => line["action"] == action,
        })
        .count()
}

/// Groups wait for a reboot; the answer of the first one is lost after RDS has taken the call.
const LOST_REBOOT: &str = "[knobs]\npending_reboot_chance = 1.0\n\
    [[faults]]\nkind = 'lost-answer'\naction = 'RebootDBInstance'\nnth = 1\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_reboots_once_and_twice_without_looking() {
    let mut reboots = Vec::new();
    for trusts_journal in [false, true] {
        let bed = Bed::with(LOST_REBOOT).await;
        let careless = Careless {
            trusts_journal,
            ..Careless::default()
        };
        let store = RunStore::create(&bed.state("s"), bed.plan.clone()).unwrap();
        let stopped = bed.run(store, careless, Some("role")).await;
        assert!(matches!(stopped, Outcome::Stopped { .. }), "{stopped:?}");
        reboots.push(bed.count("RebootDBInstance"));
        bed.stop().await;
    }
    assert_eq!(reboots, [1, 2], "looking first, and not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_folder_with_the_same_plan_is_refused_and_a_taken_claim_stops_the_first() {
    let bed = Bed::with("").await;
    let first = RunStore::create(&bed.state("first"), bed.plan.clone()).unwrap();
    let stopped = bed.run(first, Careless::default(), Some("snapshot")).await;
    assert!(matches!(stopped, Outcome::Stopped { .. }), "{stopped:?}");

    // Another machine with the same plan.
    let before = bed.count("*");
    let second = RunStore::create(&bed.state("second"), bed.plan.clone()).unwrap();
    let Outcome::NeedsOperator { reason, hint, .. } =
        bed.run(second, Careless::default(), None).await
    else {
        panic!("it was let in");
    };
    assert!(reason.contains("another run folder"), "{reason}");
    assert!(hint.contains("--adopt"), "{hint}");
    assert_eq!(bed.count("*"), before, "it changed something");

    // It takes the run over; the first one comes back and must do nothing.
    let third = RunStore::adopt(&bed.state("third"), bed.plan.clone()).unwrap();
    let stopped = bed
        .run(third, Careless::default(), Some("encrypted-copy"))
        .await;
    assert!(matches!(stopped, Outcome::Stopped { .. }), "{stopped:?}");
    let before = bed.count("*");
    let again = RunStore::open(&bed.state("first"), "r").unwrap();
    let Outcome::NeedsOperator { reason, .. } = bed.run(again, Careless::default(), None).await
    else {
        panic!("it went on without its claim");
    };
    assert!(reason.contains("another run folder"), "{reason}");
    assert_eq!(bed.count("*"), before, "it changed something");

    // The same without the fence: two runners on one source.
    let again = RunStore::open(&bed.state("first"), "r").unwrap();
    let careless = Careless {
        ignores_claim: true,
        ..Careless::default()
    };
    let outcome = bed.run(again, careless, None).await;
    assert_eq!(outcome, Outcome::Migrated);
    assert!(bed.count("*") > before, "the fence did not matter");
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_our_name_that_nobody_tagged_stops_the_run() {
    let bed = Bed::with("").await;
    let store = RunStore::create(&bed.state("s"), bed.plan.clone()).unwrap();
    let stopped = bed.run(store, Careless::default(), Some("snapshot")).await;
    assert!(matches!(stopped, Outcome::Stopped { .. }), "{stopped:?}");
    let name = bed.plan.migrations[0]
        .steps
        .iter()
        .find_map(|step| match &step.action {
            atrest_model::plan::Action::Snapshot { snapshot, .. } => Some(snapshot.clone()),
            _ => None,
        })
        .unwrap();
    bed.aws
        .rds(REGION)
        .client()
        .create_db_snapshot()
        .db_instance_identifier("old-orders")
        .db_snapshot_identifier(&name)
        .send()
        .await
        .unwrap();
    let store = RunStore::open(&bed.state("s"), "r").unwrap();
    let Outcome::NeedsOperator { step, reason, .. } =
        bed.run(store, Careless::default(), None).await
    else {
        panic!("a foreign snapshot was taken for ours");
    };
    assert_eq!(step, "snapshot");
    assert!(
        reason.contains(&name) && reason.contains("another run"),
        "{reason}"
    );
    assert_eq!(bed.count("CopyDBSnapshot"), 0);
    bed.stop().await;
}
