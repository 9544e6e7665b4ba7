//! `atrest tick`: what the command takes and prints, and what it refuses.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use atrest_fixer::clock::Timing;
use atrest_fixer::executor::Reporter;
use atrest_fixer::options::FleetOptions;
use atrest_fixer::store::read_plan;
use atrest_fixer::tick::{self, Settings};
use atrest_model::event::RunEvent;
use serde_json::{Value, json};

use crate::harness::{Finished, Sandbox, Start, finish, pause};

const FLEET: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/integration/kill_matrix/fleet.toml"
);
const QUICK: [&str; 10] = [
    "--poll-interval",
    "15ms",
    "--consistency-window",
    "60ms",
    "--mysql",
    "off",
    "--state-dir",
    "machine",
    "--intent-lifetime",
    "20s",
];

/// A sandbox with a plan, and the id of its one source.
fn planned() -> (Sandbox, String) {
    let sandbox = Sandbox::start(&Start {
        scenario: FLEET,
        engines: "none",
        speed: "6000",
    });
    let args = [
        "plan",
        "--region",
        "eu-central-1",
        "--kms-key",
        "alias/rds-migration",
        "--mysql",
        "off",
        "--run",
        "ticks",
        "--out",
        "plan.json",
        "--instance",
        "orders",
    ];
    sandbox.run(&args).expect(0);
    let plan = read(&sandbox.path("plan.json"));
    let id = plan["migrations"][0]["source"]["dbi_resource_id"]
        .as_str()
        .unwrap()
        .to_owned();
    (sandbox, id)
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn begin(sandbox: &Sandbox, id: &str, more: &[&str]) -> Value {
    let args = ["tick", "plan.json", "--begin", id, "--mysql", "off"];
    sandbox.run(&[&args, more].concat()).expect(0).json()
}

fn by_command(sandbox: &Sandbox, document: &Value, more: &[&str]) -> Finished {
    std::fs::write(sandbox.path("state.json"), document.to_string()).unwrap();
    let args = ["tick", "plan.json", "--state", "state.json"];
    sandbox.run(&[&args, &QUICK[..], more].concat())
}

/// Ticks until `until`, and gives that document; every line of the trail goes to `trail`. By the function that the command
/// calls: a process for each would take minutes.
fn go(
    sandbox: &Sandbox,
    mut document: Value,
    trail: &mut Vec<String>,
    until: impl Fn(&Value) -> bool,
) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let aws = sandbox.aws("eu-central-1");
    let plan = read_plan(&sandbox.path("plan.json")).unwrap();
    let machine = sandbox.path("machine");
    let settings = Settings {
        aws: &aws,
        plan: &plan,
        state_dir: &machine,
        timing: Timing {
            poll: Duration::from_millis(15),
            consistency: Duration::from_millis(60),
            ..Timing::default()
        },
        intent_lifetime: Duration::from_secs(20),
        mysql: None,
        fleet: FleetOptions::default(),
    };
    let began = Instant::now();
    while !until(&document) {
        assert!(began.elapsed() < Duration::from_secs(240), "{document:#}");
        assert_ne!(document["progress"], "done", "it went past the point");
        assert_ne!(document["progress"], "needs-operator", "{document:#}");
        let input = tick::read(&document.to_string()).unwrap();
        let next = runtime.block_on(tick::tick(&settings, input, &Quiet));
        document = serde_json::to_value(next.unwrap()).unwrap();
        trail.extend(lines(&document));
        pause();
    }
    document
}

struct Quiet;

impl Reporter for Quiet {
    fn event(&self, _event: &RunEvent) {}
}

fn lines(document: &Value) -> Vec<String> {
    let lines = document["journal"].as_array().unwrap();
    lines
        .iter()
        .map(|line| line.as_str().unwrap().to_owned())
        .collect()
}

/// The next call of an operation is not answered.
fn hang(sandbox: &Sandbox, action: &str) {
    let fault = json!({"name": "hangs", "kind": "latency", "action": action, "nth": 1,
        "delay_ms": 600_000, "times": 1})
    .to_string();
    let address = sandbox.endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /_sandbox/faults HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{fault}",
        fault.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn the_command_migrates_tick_by_tick_asks_for_leave_and_leaves_a_trail() {
    let (sandbox, id) = planned();
    let first = begin(&sandbox, &id, &["--stop-before", "cutover"]);
    assert!(sandbox.mutations().is_empty(), "beginning changes nothing");
    let mut trail = lines(&first);
    let asks = go(&sandbox, first, &mut trail, |document| {
        document["progress"] == "approval"
    });
    let cutover = asks["step"].as_str().unwrap().to_owned();
    assert_eq!(cutover, "rename-new:orders");
    let before = sandbox.mutations().len();

    // It goes on asking; a leave for something else is none.
    let again = by_command(&sandbox, &asks, &[]).expect(0).json();
    assert_eq!(again["progress"], "approval");
    let refused = by_command(&sandbox, &asks, &["--approve", "snapshot"]).expect(2);
    assert!(
        refused
            .stderr
            .contains("does not wait for leave before snapshot"),
        "{}",
        refused.stderr
    );
    assert_eq!(sandbox.mutations().len(), before);

    // As an engine gives it: beside the state.
    let mut approved = asks;
    approved["approve"] = json!(cutover);
    let next = by_command(&sandbox, &approved, &[]).expect(0).json();
    assert_eq!(next["state"]["approved"][0]["step"], json!(cutover));
    trail.extend(lines(&next));
    let done = go(&sandbox, next, &mut trail, |document| {
        document["progress"] == "done"
    });
    assert_eq!(done["result"]["outcome"]["outcome"], "migrated");
    assert!(sandbox.instances("eu-central-1")["orders"].document["StorageEncrypted"] == true);

    // The end is told again, and nothing is done for it.
    let before = sandbox.mutations().len();
    let told = by_command(&sandbox, &done, &[]).expect(0).json();
    assert_eq!(told["progress"], "done");
    assert_eq!(sandbox.mutations().len(), before);

    std::fs::write(sandbox.path("trail.jsonl"), trail.join("\n") + "\n").unwrap();
    sandbox
        .run(&["status", "--verify", "trail.jsonl"])
        .expect(0);
    trail.remove(3);
    std::fs::write(sandbox.path("trail.jsonl"), trail.join("\n") + "\n").unwrap();
    sandbox
        .run(&["status", "--verify", "trail.jsonl"])
        .expect(24);
    // What signs requests is nowhere.
    let text = done.to_string();
    assert!(!text.contains(sandbox.secret_access_key()) && !text.contains(sandbox.password()));
}

#[test]
fn a_state_that_is_not_what_was_printed_is_refused_by_name_before_any_call() {
    let (sandbox, id) = planned();
    let mut trail = Vec::new();
    let first = begin(&sandbox, &id, &[]);
    let good = go(&sandbox, first, &mut trail, |document| {
        document["state"]["records"]["claim:orders"]
            .as_array()
            .is_some_and(|lines| lines.len() == 2)
    });
    let calls = sandbox.requests().len();
    let refuse = |document: &Value, words: &str| {
        let refused = by_command(&sandbox, document, &[]).expect(2);
        assert!(
            refused.stderr.contains(words),
            "{words}: {}",
            refused.stderr
        );
        assert!(refused.stdout.is_empty(), "{}", refused.stdout);
    };
    let edited = |change: &dyn Fn(&mut Value)| {
        let mut document = good.clone();
        change(&mut document);
        document
    };
    refuse(
        &edited(&|document| document["state"]["claim"] = json!("mine")),
        "its digest does not match its content",
    );
    refuse(
        &edited(&|document| document["format"] = json!(2)),
        "the state has format 2; this version reads up to 1",
    );
    refuse(
        &edited(&|document| drop(document.as_object_mut().unwrap().remove("format"))),
        "it has no format",
    );
    refuse(
        &edited(&|document| document["state"]["plan_digest"] = json!("of another")),
        "with plan of another, not of the plan",
    );
    refuse(&json!([]), "it has no format");
    // With a digest that fits, the journal in it still does not.
    let sealed = |change: &dyn Fn(&mut atrest_model::tick::TickState)| {
        let mut document = good.clone();
        let mut state = serde_json::from_value(document["state"].clone()).unwrap();
        change(&mut state);
        document["state"] = serde_json::to_value(state.sealed()).unwrap();
        document
    };
    refuse(
        &sealed(&|state| {
            let lines = state.records.get_mut("claim:orders").unwrap();
            let last = lines.last_mut().unwrap();
            *last = last
                .replace("\"accepted\"", "\"done\"")
                .replace("\"accept\"", "\"finish\"");
        }),
        "a record of step claim:orders: its hash does not fit its text",
    );
    refuse(
        &sealed(&|state| drop(state.records.get_mut("claim:orders").unwrap().pop())),
        "its newest record is missing",
    );
    refuse(
        &sealed(&|state| {
            let lines = state.records.remove("claim:orders").unwrap();
            state.records.insert("of-next-year".to_owned(), lines);
        }),
        "has a step of-next-year that the plan does not have",
    );
    refuse(
        &sealed(&|state| "db-OTHER".clone_into(&mut state.dbi_resource_id)),
        "the plan has no migration of db-OTHER",
    );
    let unknown = [
        "tick",
        "plan.json",
        "--begin",
        "db-NOBODY",
        "--mysql",
        "off",
    ];
    let refused = sandbox.run(&unknown).expect(2);
    assert!(
        refused.stderr.contains("no migration of db-NOBODY"),
        "{}",
        refused.stderr
    );
    // Who asks is all that was asked.
    let asked: Vec<String> = sandbox.requests()[calls..]
        .iter()
        .map(|request| request.action.clone())
        .filter(|action| action != "GetCallerIdentity")
        .collect();
    assert!(asked.is_empty(), "{asked:?}");
    // What the caller adds is not part of it.
    let mut more = good.clone();
    more["error"] = json!({"Error": "States.Timeout"});
    more["again"] = json!(true);
    by_command(&sandbox, &more, &[]).expect(0);
}

#[test]
fn of_two_executions_of_one_plan_the_second_stops_and_a_person_takes_it_up_again() {
    let (sandbox, id) = planned();
    let mut trail = Vec::new();
    let is_claimed = |document: &Value| {
        document["state"]["records"]["claim:orders"]
            .to_string()
            .contains("finish")
    };
    let first = go(&sandbox, begin(&sandbox, &id, &[]), &mut trail, is_claimed);
    assert_eq!(first["progress"], "advanced");
    let before = sandbox.mutations().len();
    // The plan still fits: nothing but a tag has changed.
    let second = begin(&sandbox, &id, &[]);
    let stopped = by_command(&sandbox, &second, &[]).expect(42).json();
    assert_eq!(stopped["progress"], "needs-operator");
    assert!(
        stopped["seen"]
            .as_str()
            .unwrap()
            .contains("another run folder"),
        "{stopped:#}"
    );
    assert_eq!(sandbox.mutations().len(), before, "it changed something");
    // The same end again; and looked at anew only when a person says so.
    let told = by_command(&sandbox, &stopped, &[]).expect(42).json();
    assert_eq!(told["journal"], json!([]));
    let looked = by_command(&sandbox, &stopped, &["--resume"])
        .expect(42)
        .json();
    assert_eq!(looked["journal"].as_array().unwrap().len(), 2, "{looked:#}");
    assert_eq!(sandbox.mutations().len(), before);
}

#[test]
fn a_tick_beside_one_that_is_under_way_is_told_to_try_later() {
    let (sandbox, id) = planned();
    let first = begin(&sandbox, &id, &[]);
    let intended = by_command(&sandbox, &first, &[]).expect(0).json();
    assert!(intended["journal"][0].as_str().unwrap().contains("intend"));
    std::fs::write(sandbox.path("state.json"), intended.to_string()).unwrap();
    // Its call hangs.
    hang(&sandbox, "AddTagsToResource");
    let args = ["tick", "plan.json", "--state", "state.json"];
    let mut hanging = sandbox
        .command(&[&args, &QUICK[..]].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while !sandbox
        .path("machine/ticks/ticks")
        .join(&id)
        .join("sent")
        .exists()
    {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "it never came to its call"
        );
        pause();
    }
    let refused = finish(
        sandbox.command(&[&args, &QUICK[..]].concat()),
        Duration::from_secs(60),
    )
    .expect(75)
    .json();
    hanging.kill().unwrap();
    hanging.wait().unwrap();
    assert_eq!(refused["progress"], "try-later");
    assert_eq!(refused["again"], true);
    assert_eq!(refused["state"], intended["state"], "nothing was moved on");
    assert!(
        refused["seen"]
            .as_str()
            .unwrap()
            .contains("is being executed by process")
    );
}
