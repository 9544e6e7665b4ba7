//! Two operators, two machines, one store: the binary with `--shared-state` against an S3 server with conditional writes.
//!
//! Where the sandbox lets nobody look, a runner changes nothing and waits: what happens meanwhile is up to the test.

mod store;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use atrest_model::instance::Encryption;
use rustix::process::{Pid, Signal, kill_process};

use self::store::{Store, URL};
use crate::harness::{Finished, Request, Sandbox, Start, finish, pause};

const FLEET: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/integration/kill_matrix/fleet.toml"
);
const PACE: [&str; 4] = ["--poll-interval", "15ms", "--consistency-window", "80ms"];
const LIMIT: Duration = Duration::from_secs(240);

/// A sandbox with a plan, and the store.
struct Bed {
    sandbox: Sandbox,
    store: Store,
    id: String,
}

impl Bed {
    fn new() -> Option<Self> {
        let store = Store::start()?;
        let sandbox = Sandbox::start(&Start {
            scenario: FLEET,
            engines: "none",
            speed: "6000",
        });
        let plan = [
            "plan",
            "--instance",
            "orders",
            "--region",
            "eu-central-1",
            "--kms-key",
            "alias/rds-migration",
            "--mysql",
            "off",
            "--run",
            "kept",
        ];
        sandbox.run(&plan).expect(0);
        let id = sandbox.instances("eu-central-1")["orders"]
            .dbi_resource_id()
            .to_owned();
        Some(Self { sandbox, store, id })
    }

    /// What an operator types, on a machine of their own.
    fn command(&self, user: &str, args: &[&str]) -> std::process::Command {
        let args = [args, &PACE, &["--state-dir", user]].concat();
        let mut command = self.sandbox.command(&args);
        command
            .env("USER", user)
            .env("AWS_ENDPOINT_URL_S3", self.store.endpoint());
        command
    }

    fn run(&self, user: &str, args: &[&str]) -> Finished {
        finish(self.command(user, args), LIMIT)
    }

    fn spawn(&self, user: &str, args: &[&str]) -> Running {
        let said = self.sandbox.path(&format!("{user}.log"));
        let log = File::create(&said).unwrap();
        let child = self
            .command(user, args)
            .stdout(log.try_clone().unwrap())
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        Running { child, said }
    }

    /// An endpoint of the sandbox beside AWS's.
    fn admin(&self, method: &str, path: &str, body: &str) -> String {
        let authority = self.sandbox.endpoint.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(authority).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let request = format!(
            "{method} /_sandbox/{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
        answer
    }

    /// From now on nobody gets to see anything, until [`Bed::thaw`].
    fn freeze(&self) {
        let fault = r#"{"kind":"http-503","action":"Describe*","times":0,"name":"held"}"#;
        self.admin("POST", "faults", fault);
    }

    fn thaw(&self) {
        self.admin("DELETE", "faults/held", "");
    }

    /// Alice begins, claims, changes something, and is then kept from looking: she changes nothing more, and waits.
    fn alice_hangs(&self, args: &[&str]) -> Running {
        let mut alice = self.spawn("alice", args);
        let began = Instant::now();
        let has_begun = |request: &Request| request.action != "AddTagsToResource";
        while !self.mutations().iter().any(has_begun) {
            alice.must_run(began);
            pause();
        }
        self.freeze();
        // What she had under way is over when she has looked in vain a few times.
        while self.held() < 3 {
            alice.must_run(began);
            pause();
        }
        alice
    }

    /// Calls that were kept from looking.
    fn held(&self) -> u64 {
        let answer = self.admin("GET", "faults", "");
        let count = answer.split("\"befell\":").nth(1).unwrap_or_default();
        let end = count.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
        count[..end].parse().unwrap_or(0)
    }

    fn mutations(&self) -> Vec<Request> {
        self.sandbox.mutations()
    }

    /// Every mutation but claims is there once, and the instance is migrated.
    fn is_migrated_once(&self) {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mutations = self.mutations();
        for request in mutations.iter().filter(|r| r.action != "AddTagsToResource") {
            let intent = format!("{} {:?}", request.action, request.params);
            *counts.entry(intent).or_default() += 1;
        }
        counts.retain(|_intent, count| *count > 1);
        assert!(counts.is_empty(), "{counts:?}");
        let instances = self.sandbox.instances("eu-central-1");
        assert_eq!(instances["orders"].encryption(), Encryption::SseKms);
        assert_eq!(instances["orders-reports"].encryption(), Encryption::SseKms);
        assert_eq!(instances["old-orders"].encryption(), Encryption::None);
    }
}

/// A command that is under way.
struct Running {
    child: Child,
    said: PathBuf,
}

impl Running {
    fn must_run(&mut self, since: Instant) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("ended with {status}: {}", self.said());
        }
        assert!(since.elapsed() < LIMIT, "{}", self.said());
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it said by its end.
    fn expect(mut self, code: i32) -> String {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert_eq!(status.code(), Some(code), "{}", self.said());
                return self.said();
            }
            assert!(began.elapsed() < LIMIT, "{}", self.said());
            pause();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

const BEGIN: [&str; 5] = [
    "fix",
    "atrest-plan.json",
    "--execute",
    "--shared-state",
    URL,
];
const ADOPT: [&str; 5] = ["fix", "--adopt", "atrest-plan.json", "--shared-state", URL];
const RESUME: [&str; 3] = ["fix", "--resume", "kept"];

#[test]
fn while_one_operator_works_the_other_is_told_so() {
    let Some(bed) = Bed::new() else { return };
    let alice = bed.alice_hangs(&BEGIN);
    let before = bed.mutations().len();
    for args in [BEGIN, ADOPT] {
        let refused = bed.run("bob", &args).expect(20);
        assert!(
            refused
                .stderr
                .contains("eu-central-1/orders is being worked on by alice@")
                && refused.stderr.contains("run kept, until 20"),
            "{}",
            refused.stderr
        );
        // He may come back later: nothing of it lies in his way.
        assert!(!bed.sandbox.path("bob/runs/kept").exists());
    }
    assert_eq!(bed.mutations().len(), before);
    let shown = bed.run_status();
    assert!(
        shown.contains("alice@") && shown.contains("held until 20"),
        "{shown}"
    );
    bed.thaw();
    alice.expect(0);
    bed.is_migrated_once();
    let object = bed.store.object(&bed.id);
    assert_eq!(
        (&object["fence"], &object["released"], &object["over"]),
        (&1.into(), &true.into(), &true.into())
    );
    let shown = bed.run_status();
    assert!(shown.contains("given back, over  fence 1"), "{shown}");
    // The folder knows its shared state: nothing has to be told again.
    bed.run("alice", &RESUME).expect(0);
    assert!(bed.sandbox.stop().success());
}

#[test]
fn of_two_who_begin_at_once_one_migrates() {
    let Some(bed) = Bed::new() else { return };
    let both = [bed.spawn("alice", &BEGIN), bed.spawn("bob", &BEGIN)];
    let mut codes = Vec::new();
    for mut one in both {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = one.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < LIMIT, "{}", one.said());
            pause();
        };
        // 22 and 24 are for who came when everything was done.
        let code = status.code().unwrap();
        assert!([0, 20, 22, 24].contains(&code), "{}", one.said());
        codes.push(code);
    }
    assert_eq!(
        codes.iter().filter(|code| **code == 0).count(),
        1,
        "{codes:?}"
    );
    bed.is_migrated_once();
    let claims = bed.mutations();
    let claims = claims.iter().filter(|r| r.action == "AddTagsToResource");
    // The source and its replica, by one of the two.
    assert!(claims.count() <= 2);
    assert!(bed.sandbox.stop().success());
}

#[test]
fn a_lost_machine_is_taken_over_from_the_copy() {
    let Some(bed) = Bed::new() else { return };
    bed.alice_hangs(&BEGIN).kill();
    bed.thaw();
    bed.run("bob", &ADOPT).expect(20);
    // Her own machine may go on at once; here it does not come back.
    bed.store.end_lease(&bed.id);
    let taken = bed.run("bob", &ADOPT).expect(0);
    assert!(
        taken
            .stderr
            .contains("records of run kept were read from s3://team-state/atrest"),
        "{}",
        taken.stderr
    );
    bed.is_migrated_once();
    let object = bed.store.object(&bed.id);
    assert_eq!(object["fence"], 2);
    assert!(
        object["owner"]["name"]
            .as_str()
            .unwrap()
            .starts_with("bob@"),
        "{object}"
    );
    // His trail has what she had recorded, and holds together.
    let trail = bed
        .sandbox
        .run(&["status", "kept", "--journal", "--state-dir", "bob"]);
    std::fs::write(bed.sandbox.path("trail.jsonl"), trail.expect(0).stdout).unwrap();
    bed.sandbox
        .run(&["status", "--verify", "trail.jsonl"])
        .expect(0);
    let left_behind = bed.run("alice", &RESUME).expect(24);
    assert!(
        left_behind.stderr.contains("was worked on last by bob@"),
        "{}",
        left_behind.stderr
    );
    // The way back takes the lease too, and goes by his folder.
    let count = bed.mutations().len();
    bed.run(
        "alice",
        &["rollback", "kept", "--execute", "--mysql", "off"],
    )
    .expect(24);
    assert_eq!(bed.mutations().len(), count);
    assert!(bed.sandbox.stop().success());
}

#[test]
fn an_owner_that_slept_over_its_lease_changes_nothing() {
    let Some(bed) = Bed::new() else { return };
    let alice = bed.alice_hangs(&BEGIN);
    alice.signal(Signal::STOP);
    bed.thaw();
    bed.store.end_lease(&bed.id);
    // Before he has claimed anything in RDS: it is the lease alone that she meets.
    bed.run("bob", &[&ADOPT[..], &["--stop-before", "claim"]].concat())
        .expect(20);
    let count = bed.mutations().len();
    alice.signal(Signal::CONT);
    let said = alice.expect(20);
    assert!(
        said.contains("bob@") && said.contains("has taken it over, run kept, fence 2"),
        "{said}"
    );
    assert_eq!(bed.mutations().len(), count);
    bed.run("bob", &RESUME).expect(0);
    bed.is_migrated_once();
    assert!(bed.sandbox.stop().success());
}

/// The control: without shared state nothing but the claim keeps the two apart, and it stops the first and not the second.
#[test]
fn without_shared_state_only_the_claim_stands_between_them() {
    let Some(bed) = Bed::new() else { return };
    let alice = bed.alice_hangs(&["fix", "atrest-plan.json", "--execute"]);
    alice.signal(Signal::STOP);
    bed.thaw();
    // While she is alive he takes her run away from her, and changes things.
    let before = bed.mutations().len();
    let adopt = [
        "fix",
        "--adopt",
        "atrest-plan.json",
        "--stop-before",
        "cutover",
    ];
    bed.run("bob", &adopt).expect(20);
    assert!(bed.mutations().len() > before);
    alice.signal(Signal::CONT);
    let said = alice.expect(24);
    assert!(
        said.contains("is claimed by run kept from another run folder"),
        "{said}"
    );
    assert!(!bed.store.has(&bed.id));
    assert!(bed.sandbox.stop().success());
}

#[test]
fn without_the_store_nothing_is_changed() {
    let Some(mut bed) = Bed::new() else { return };
    // Down before the run.
    let mut begin = bed.command("alice", &[&BEGIN[..], &["--lease", "2m"]].concat());
    begin.env("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9");
    let refused = finish(begin, LIMIT).expect(20);
    assert!(
        refused
            .stderr
            .contains("the shared state cannot be used: GetObject"),
        "{}",
        refused.stderr
    );
    assert!(!bed.sandbox.path("alice/runs/kept").exists());
    assert!(bed.mutations().is_empty());

    // Down in the middle.
    let alice = bed.alice_hangs(&[&BEGIN[..], &["--lease", "2m"]].concat());
    let count = bed.mutations().len();
    bed.store = Store::start().unwrap();
    bed.thaw();
    let said = alice.expect(20);
    assert!(
        said.contains("nothing is changed without the lease on"),
        "{said}"
    );
    assert_eq!(bed.mutations().len(), count);
    // Another store, an empty one: RDS and her journal know what was done.
    bed.run("alice", &RESUME).expect(0);
    bed.is_migrated_once();
    assert_eq!(bed.store.object(&bed.id)["fence"], 1);
    assert!(bed.sandbox.stop().success());
}

#[test]
fn an_object_that_was_edited_by_hand_stops_its_owner() {
    let Some(bed) = Bed::new() else { return };
    let alice = bed.alice_hangs(&BEGIN);
    let count = bed.mutations().len();
    bed.store.edit(&bed.id, |object| object["fence"] = 7.into());
    bed.thaw();
    let said = alice.expect(20);
    assert!(said.contains("somebody has changed it"), "{said}");
    assert_eq!(bed.mutations().len(), count);
    // It says still that it is hers, so she may go on; what is none of ours is left alone.
    bed.store
        .edit(&bed.id, |object| object["format"] = 99.into());
    let refused = bed.run("alice", &RESUME).expect(24);
    assert!(
        refused.stderr.contains("it has format 99"),
        "{}",
        refused.stderr
    );
    assert_eq!(bed.store.object(&bed.id)["format"], 99);
    bed.store
        .edit(&bed.id, |object| object["format"] = 1.into());
    bed.run("alice", &RESUME).expect(0);
    assert_eq!(bed.store.object(&bed.id)["fence"], 7);
    bed.is_migrated_once();
    assert!(bed.sandbox.stop().success());
}

impl Bed {
    /// Who has what, as anybody may ask.
    fn run_status(&self) -> String {
        let mut command = self.sandbox.command(&["status", "--shared-state", URL]);
        command.env("AWS_ENDPOINT_URL_S3", self.store.endpoint());
        finish(command, LIMIT).expect(0).stdout
    }
}
