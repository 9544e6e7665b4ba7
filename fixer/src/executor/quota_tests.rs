//! Sixty migrations and room for forty: what is begun fits, and what does not fit is not begun.

use std::collections::BTreeMap;
use std::time::Duration;

use atrest_model::id::RunId;
use atrest_model::plan::{DataCheck, MysqlAccess};
use atrest_sandbox::{EngineMode, Sandbox, SandboxOptions, Scenario};
use atrest_scanner::inventory;
use serde_json::Value;

use super::*;
use crate::clock::Timing;
use crate::options::{Careless, FleetOptions};
use crate::planner::{self, Facts};

const REGION: &str = "eu-central-1";
const ACCOUNT: &str = "111122223333";

const FLEET: &str = r#"
[[accounts]]
id = "111122223333"
access_key_id = "AKIASANDBOX000000001"

[[keys]]
alias = "alias/mine"
regions = ["eu-central-1"]

[quotas]
instances = 100

[[instances]]
id = "db"
count = 60
engine = "mariadb"
engine_version = "10.11.9"
class = "db.m5.large"
allocated_storage = 20
server = false
"#;

#[derive(Default)]
struct Heard(Mutex<Vec<RunEvent>>);

impl Reporter for Heard {
    fn event(&self, event: &RunEvent) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event.clone());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_that_holds_forty_is_honoured_with_sixty_planned() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("requests.jsonl");
    let sandbox = Sandbox::start(SandboxOptions {
        scenario: Scenario::parse("fleet", FLEET).unwrap(),
        port: 0,
        speed: 3000.0,
        engines: EngineMode::None,
        install_dir: dir.path().to_owned(),
        work_dir: dir.path().to_owned(),
        request_log: Some(log.clone()),
        seed: 1,
    })
    .await
    .unwrap();
    let aws = Aws::fixed(&sandbox.endpoint(), REGION, "AKIASANDBOX000000001", "any");
    let inventory = inventory::read(&aws, ACCOUNT, &[REGION.to_owned()]).await;
    let key = aws.describe_key(REGION, "alias/mine").await.unwrap();
    let facts = Facts {
        run: RunId::try_from("many".to_owned()).unwrap(),
        created: jiff::Timestamp::UNIX_EPOCH,
        account: ACCOUNT.to_owned(),
        instances: inventory.regions[0].instances.clone(),
        clusters: Vec::new(),
        keys: BTreeMap::from([(REGION.to_owned(), Ok(key))]),
        mysql: MysqlAccess::Off {
            reason: "control plane only".to_owned(),
        },
        data_check: DataCheck::None,
        methods: planner::MethodFacts::default(),
        // No server is asked: nothing is gained by waiting.
        quiesce: planner::Quiesce {
            window_seconds: 0,
            ..planner::Quiesce::default()
        },
        dependents: BTreeMap::new(),
        login: None,
    };
    let plan = planner::plan(&facts, None);
    assert_eq!(plan.migrations.len(), 60);
    let store = RunStore::create(dir.path(), plan).unwrap();
    let options = FixOptions {
        timing: Timing {
            poll: Duration::from_millis(40),
            consistency: Duration::from_millis(120),
            ..Timing::default()
        },
        concurrency: 60,
        // Everything that uses up a quota is made by then.
        stop_before: Some("settle".to_owned()),
        fleet: FleetOptions {
            quota_wait: Duration::from_millis(500),
            ..FleetOptions::default()
        },
        mysql: None,
        careless: Careless::default(),
    };
    let (_keep, stop) = watch::channel(false);
    let heard = Heard::default();
    let report = run(&aws, store, &options, &heard, stop).await.unwrap();

    let reasons = |words: &str| {
        report
            .migrations
            .iter()
            .filter(
                |m| matches!(&m.outcome, Outcome::Stopped { reason, .. } if reason.contains(words)),
            )
            .count()
    };
    assert_eq!(reasons("asked to stop before it"), 40, "{report:#?}");
    assert_eq!(reasons("0 of 100 are left"), 20);
    let text = std::fs::read_to_string(&log).unwrap();
    let requests: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let took_effect = |action: &str| {
        requests
            .iter()
            .filter(|r| r["action"] == action && r["code"].as_str().unwrap_or_default().is_empty())
            .count()
    };
    assert_eq!(took_effect("RestoreDBInstanceFromDBSnapshot"), 40);
    // Nobody of the others has lost an endpoint, and RDS never had to refuse: neither an instance nor a copy too many.
    let renamed = requests.iter().filter(|r| {
        r["params"]["NewDBInstanceIdentifier"].is_string()
            && r["code"].as_str().unwrap_or_default().is_empty()
    });
    assert_eq!(renamed.count(), 40);
    let refused: Vec<&Value> = requests
        .iter()
        .filter(|r| r["code"].as_str().unwrap_or_default().contains("Quota"))
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
    let waits = |words: &str| {
        let events = heard.0.lock().unwrap();
        events
            .iter()
            .any(|event| matches!(event, RunEvent::Waiting { state, .. } if state.contains(words)))
    };
    assert!(waits("RDS allows 20 at a time") && waits("the quota DBInstances"));
    sandbox.shutdown().await.unwrap();
}
