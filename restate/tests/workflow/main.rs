//! Migrations as workflows of a real Restate server, against the sandbox: killed service, killed server, leave of a person.
//! What counts is the sandbox's log of mutations.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that panics has failed, helpers included; what is not run is said"
)]

mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use atrest_fixer::{planner, store, tick};
use atrest_model::id::RunId;
use atrest_model::instance::Encryption;
use atrest_model::plan::{DataCheck, MysqlAccess, Plan};
use atrest_sandbox::{EngineMode, Sandbox, SandboxOptions, Scenario};
use atrest_scanner::aws::Aws;
use atrest_scanner::inventory;
use serde_json::Value;

use self::server::{LIMIT, Server, pause};

const REGION: &str = "eu-central-1";
/// One source: a workflow waits in whole seconds, so each step more takes some.
const FLEET: &str = r#"
[[accounts]]
id = "111122223333"
access_key_id = "AKIASANDBOX000000001"

[[keys]]
alias = "alias/rds-migration"
regions = ["eu-central-1"]

[[parameter_groups]]
name = "tuned"
family = "mariadb10.11"
description = "Not the default"
[parameter_groups.parameters]
long_query_time = "0.5"

[[instances]]
id = "orders"
engine = "mariadb"
engine_version = "10.11.9"
class = "db.m5.large"
allocated_storage = 50
parameter_group = "tuned"
backup_retention = 3
tags = [{ key = "Name", value = "orders" }]
"#;

/// A sandbox with a plan, a Restate server, and the service between them.
struct Bed {
    sandbox: Sandbox,
    dir: tempfile::TempDir,
    plan: Plan,
    id: String,
    server: Server,
    service: Service,
}

impl Bed {
    async fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(dir.path())?;
        let sandbox = Sandbox::start(SandboxOptions {
            scenario: Scenario::parse("fleet", FLEET).unwrap(),
            port: 0,
            speed: 6000.0,
            engines: EngineMode::None,
            install_dir: dir.path().to_owned(),
            work_dir: dir.path().to_owned(),
            request_log: Some(dir.path().join("requests.jsonl")),
            seed: 1,
        })
        .await
        .unwrap();
        let aws = Aws::fixed(&sandbox.endpoint(), REGION, "AKIASANDBOX000000001", "any");
        let account = "111122223333";
        let inventory = inventory::read(&aws, account, &[REGION.to_owned()]).await;
        let key = aws
            .describe_key(REGION, "alias/rds-migration")
            .await
            .unwrap();
        let facts = planner::Facts {
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
            methods: planner::MethodFacts::default(),
            quiesce: planner::Quiesce {
                window_seconds: 0,
                ..planner::Quiesce::default()
            },
            dependents: BTreeMap::new(),
            login: None,
        };
        let plan = planner::plan(&facts, None);
        let path = dir.path().join("plan.json");
        std::fs::write(&path, serde_json::to_string(&plan).unwrap()).unwrap();
        let service = Service::start(dir.path(), &sandbox.endpoint(), "127.0.0.1:0");
        server.register(&service.address);
        let id = plan.migrations[0].source.dbi_resource_id.clone();
        Some(Self {
            sandbox,
            dir,
            plan,
            id,
            server,
            service,
        })
    }

    /// Whoever has a connection to the sandbox first.
    async fn end(mut self) {
        self.service.kill();
        drop(self.server);
        self.sandbox.shutdown().await.unwrap();
    }

    fn key(&self) -> String {
        format!("{}-1", self.id)
    }

    fn submit(&self, key: &str, stop_before: Option<&str>) -> (u16, String) {
        let first = tick::begin(&self.plan, &self.id, stop_before.map(str::to_owned)).unwrap();
        let body = serde_json::to_string(&first).unwrap();
        let path = format!("/Migration/{key}/run/send");
        self.server.call("ingress", "POST", &path, &body)
    }

    /// Every mutation that took effect, in words that tell two intents apart.
    fn mutations(&self) -> Vec<String> {
        let text =
            std::fs::read_to_string(self.dir.path().join("requests.jsonl")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|call| {
                let action = call["action"].as_str().unwrap();
                let reads = ["Describe", "List", "Get", "Assume", "Simulate"];
                !reads.iter().any(|reading| action.starts_with(reading))
                    && call["code"].as_str().unwrap_or_default().is_empty()
            })
            .map(|call| format!("{} {}", call["action"], call["params"]))
            .collect()
    }

    fn service_again(&mut self) {
        self.service.kill();
        let address = self.service.address.clone();
        self.service = Service::start(self.dir.path(), &self.sandbox.endpoint(), &address);
    }

    /// What the workflow ended with; `look` is called again and again until then.
    fn outcome(&mut self, mut look: impl FnMut(&mut Self)) -> Value {
        let began = Instant::now();
        let key = self.key();
        loop {
            look(self);
            if let Some(output) = self.server.output(&key) {
                return output;
            }
            assert!(
                began.elapsed() < LIMIT,
                "{:?} after {:#?}",
                self.server
                    .call("ingress", "GET", &format!("/Migration/{key}/status"), ""),
                self.mutations()
            );
            pause();
        }
    }

    /// Nothing was done twice, the right instances have the right names, and the trail holds together.
    async fn is_migrated(&self, output: &Value) {
        assert_eq!(
            output["result"]["outcome"]["outcome"], "migrated",
            "{output}"
        );
        let mutations = self.mutations();
        let distinct: BTreeSet<&String> = mutations.iter().collect();
        assert_eq!(mutations.len(), distinct.len(), "{mutations:#?}");
        let aws = Aws::fixed(
            &self.sandbox.endpoint(),
            REGION,
            "AKIASANDBOX000000001",
            "any",
        );
        let (instances, _calls) = aws.rds(REGION).db_instances().await.unwrap();
        let is = |name: &str| {
            instances
                .iter()
                .find(|i| i.identifier() == name)
                .unwrap()
                .encryption()
        };
        assert_eq!(is("orders"), Encryption::SseKms);
        assert_eq!(is("old-orders"), Encryption::None);
        let trail: Vec<String> = serde_json::from_value(output["journal"].clone()).unwrap();
        let mut trail = trail.join("\n");
        trail.push('\n');
        let verified = store::verify(trail.as_bytes()).unwrap();
        assert_eq!(verified.run, "r");
    }
}

/// The service: a process that is given up and started anew at the same address.
struct Service {
    child: Child,
    address: String,
}

impl Service {
    fn start(dir: &Path, endpoint: &str, listen: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_atrest-restate"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
        let mut child = command
            .args([
                "--plan",
                "plan.json",
                "--listen",
                listen,
                "--poll-ms",
                "15",
                "--consistency-ms",
                "500",
            ])
            .current_dir(dir)
            .env("HOME", dir)
            .env("AWS_ENDPOINT_URL", endpoint)
            .env("AWS_ACCESS_KEY_ID", "AKIASANDBOX000000001")
            .env("AWS_SECRET_ACCESS_KEY", "any")
            .env("AWS_REGION", REGION)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let ready: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("the service did not start"));
        Self {
            child,
            address: ready["listening"].as_str().unwrap().to_owned(),
        }
    }

    /// kill -9.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_is_killed_after_every_mutation_and_nothing_is_done_twice() {
    let Some(mut bed) = Bed::new().await else {
        return;
    };
    let key = bed.key();
    let (status, answer) = bed.submit(&key, None);
    assert!(status == 200 || status == 202, "{status}: {answer}");
    let mut seen = 0;
    let mut kills = 0;
    let output = tokio::task::block_in_place(|| {
        bed.outcome(|bed| {
            let now = bed.mutations().len();
            if now > seen {
                seen = now;
                kills += 1;
                bed.service_again();
            }
        })
    });
    assert!(kills >= 5, "{kills}");
    println!("the service was killed {kills} times, {seen} mutations");
    bed.is_migrated(&output).await;

    // The key has had its workflow: the same migration is not begun again.
    let before = bed.mutations().len();
    let (_status, answer) = bed.submit(&key, None);
    assert!(answer.contains("PreviouslyAccepted"), "{answer}");
    // Another attempt is: it finds the claim of the first, and stops before anything.
    let foreign = format!("{}-2", bed.id);
    bed.submit(&foreign, None);
    let began = Instant::now();
    loop {
        let path = format!("/Migration/{foreign}/status");
        let (_status, answer) = bed.server.call("ingress", "GET", &path, "");
        if answer.contains("needs-operator") {
            break;
        }
        assert!(began.elapsed() < LIMIT, "{answer}");
        pause();
    }
    assert_eq!(bed.mutations().len(), before);
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_killed_and_a_person_gives_leave() {
    let Some(mut bed) = Bed::new().await else {
        return;
    };
    let key = bed.key();
    bed.submit(&key, Some("cutover"));
    let mut crashed = BTreeSet::new();
    let mut given = false;
    let output = tokio::task::block_in_place(|| {
        bed.outcome(|bed| {
            let mutations = bed.mutations();
            for action in ["CreateDBSnapshot", "RestoreDBInstanceFromDBSnapshot"] {
                let is_there = mutations
                    .iter()
                    .any(|m| m.contains(&format!("\"{action}\"")));
                if is_there && crashed.insert(action) {
                    bed.server.crash();
                }
            }
            let path = format!("/Migration/{key}/status");
            let (_status, answer) = bed.server.call("ingress", "GET", &path, "");
            if !given && answer.contains("\"approval\"") {
                let status: Value = serde_json::from_str(&answer).unwrap();
                // A leave that nobody asked for is none.
                let approve = format!("/Migration/{key}/approve");
                let (refused, _) = bed.server.call("ingress", "POST", &approve, "\"claim\"");
                assert_eq!(refused, 400);
                let before = bed.mutations().len();
                let body = status["step"].to_string();
                let (accepted, answer) = bed.server.call("ingress", "POST", &approve, &body);
                assert!(accepted < 300, "{answer}");
                assert!(before <= bed.mutations().len());
                given = true;
            }
        })
    });
    assert!(given && crashed.len() == 2, "{crashed:?}");
    bed.is_migrated(&output).await;
    bed.end().await;
}
