//! The state machines of deploy/step-functions in moto's interpreter, with the binary, the worker that is shipped, and the
//! sandbox. What that proves and what not: docs/step-functions.md.
#![expect(
    clippy::print_stdout,
    reason = "what was not run is for whoever reads the output of the test"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Sandbox, Start, finish};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Hundreds of processes, on a machine that may be busy.
const LIMIT: Duration = Duration::from_secs(1000);

/// The Python that `tests/step_functions/install.sh` installs moto for; `None` when somebody said that there is none.
fn python() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = match set("ATREST_MOTO") {
        Some(none) if none == "none" => return None,
        Some(folder) => PathBuf::from(folder),
        None => set("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")))
            .unwrap()
            .join("atrest/moto"),
    };
    let wanted =
        std::fs::read(Path::new(ROOT).join("tests/step_functions/requirements.txt")).unwrap();
    assert!(
        std::fs::read(folder.join("requirements.txt")).is_ok_and(|there| there == wanted),
        "moto in {} is missing or out of date: run tests/step_functions/install.sh, or set ATREST_MOTO=none to do without",
        folder.display()
    );
    Some(folder.join("venv/bin/python"))
}

struct Bed {
    sandbox: Sandbox,
    python: PathBuf,
}

impl Bed {
    /// A sandbox of three instances with a plan of these. Each tick is a process: small ones without replicas have to do.
    fn new(plan: &[&str]) -> Option<Self> {
        let Some(python) = python() else {
            println!("NOT RUN: Step Functions (ATREST_MOTO=none)");
            return None;
        };
        let scenario = tempfile::NamedTempFile::new().unwrap();
        let three = ["alpha", "beta", "gamma"].map(|name| {
            format!("[[instances]]\nid = \"{name}\"\nengine = \"mariadb\"\nengine_version = \"10.11.9\"\nclass = \"db.t4g.small\"\nallocated_storage = 20\n")
        });
        let head = std::fs::read_to_string(FLEET).unwrap();
        let head = head.split("[[parameter_groups]]").next().unwrap();
        std::fs::write(scenario.path(), format!("{head}\n{}", three.join("\n"))).unwrap();
        let sandbox = Sandbox::start(&Start {
            scenario: scenario.path().to_str().unwrap(),
            engines: "none",
            speed: "6000",
        });
        let args = [
            "plan",
            "--region",
            "eu-central-1",
            "--kms-key",
            "alias/rds-migration",
        ];
        let more = ["--mysql", "off", "--run", "states", "--out", "plan.json"];
        sandbox.run(&[&args, &more[..], plan].concat()).expect(0);
        Some(Self { sandbox, python })
    }

    fn plan(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.sandbox.path("plan.json")).unwrap()).unwrap()
    }

    /// Runs a case of run.py and gives what it has printed.
    fn run(&self, case: &str) -> Value {
        let ours = self.sandbox.command(&[]);
        let mut command = Command::new(&self.python);
        command
            .arg(Path::new(ROOT).join("tests/step_functions/run.py"))
            .args(["--binary", env!("CARGO_BIN_EXE_atrest"), "--templates"])
            .arg(Path::new(ROOT).join("deploy/step-functions"))
            .arg("--dir")
            .arg(self.sandbox.dir.path())
            .arg("--plan")
            .arg(self.sandbox.path("plan.json"))
            .arg(case);
        for (name, value) in ours.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("NO_PROXY", "127.0.0.1")
            .current_dir(self.sandbox.dir.path())
            .stdin(Stdio::null());
        let finished = finish(command, LIMIT);
        assert_eq!(finished.code, 0, "{}\n{}", finished.stderr, self.workers());
        let last = finished.stdout.lines().last().unwrap();
        serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {}", finished.stdout))
    }

    /// What the workers have said.
    fn workers(&self) -> String {
        (0..10)
            .filter_map(|number| {
                std::fs::read_to_string(self.sandbox.path(&format!("worker-{number}.txt"))).ok()
            })
            .collect()
    }

    /// Every mutation of RDS took effect once.
    fn none_twice(&self) {
        let mut all: Vec<String> = self
            .sandbox
            .mutations()
            .iter()
            .filter(|request| !["reset", "throttle"].contains(&request.fault.as_str()))
            .map(|request| format!("{} {:?}", request.action, request.params))
            .collect();
        all.sort();
        for pair in all.windows(2) {
            assert_ne!(pair[0], pair[1], "twice");
        }
        assert!(!all.is_empty());
    }

    /// The lines of the execution's documents are a trail that holds together.
    fn verify(&self, found: &Value) {
        let lines = found["trail"].as_array().unwrap();
        let text: String = lines
            .iter()
            .map(|line| format!("{}\n", line.as_str().unwrap()))
            .collect();
        std::fs::write(self.sandbox.path("trail.jsonl"), text).unwrap();
        self.sandbox
            .run(&["status", "--verify", "trail.jsonl"])
            .expect(0);
    }

    fn is_encrypted(&self, name: &str) -> bool {
        self.sandbox.instances("eu-central-1")[name].document["StorageEncrypted"] == true
    }
}

const FLEET: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/integration/kill_matrix/fleet.toml"
);

#[test]
fn an_execution_migrates_asks_for_leave_and_keeps_the_trail() {
    let Some(bed) = Bed::new(&["--instance", "alpha"]) else {
        return;
    };
    let found = bed.run("one");
    assert_eq!(found["status"], "SUCCEEDED", "{found:#}\n{}", bed.workers());
    assert_eq!(found["output"]["outcome"], "migrated");
    let asked = found["asked"].as_array().unwrap();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0], "rename-new:alpha");
    bed.none_twice();
    bed.verify(&found);
    assert!(bed.is_encrypted("alpha"));
    // Step Functions carries 256 KiB and 25,000 events.
    println!(
        "{} ticks, {} events, {} bytes at most, {} s",
        found["ticks"], found["events"], found["largest"], found["seconds"]
    );
    assert!(
        found["largest"].as_u64().unwrap() < 64 * 1024,
        "{}",
        found["largest"]
    );
}

#[test]
fn workers_that_are_killed_are_followed_by_others_and_nothing_is_done_twice() {
    let Some(bed) = Bed::new(&["--instance", "alpha"]) else {
        return;
    };
    let found = bed.run("killed");
    assert_eq!(found["status"], "SUCCEEDED", "{found:#}\n{}", bed.workers());
    assert!(found["kills"].as_u64().unwrap() >= 1);
    bed.none_twice();
    bed.verify(&found);
    assert!(bed.is_encrypted("alpha"));
    println!("{} kills, {} repeated", found["kills"], found["repeated"]);
}

#[test]
fn a_wave_with_a_failed_migration_goes_to_its_end_and_the_next_is_not_begun() {
    let names = [
        "--instance",
        "alpha",
        "--instance",
        "beta",
        "--instance",
        "gamma",
    ];
    let Some(bed) = Bed::new(&names) else {
        return;
    };
    let plan = bed.plan();
    let id = |name: &str| {
        let migrations = plan["migrations"].as_array().unwrap();
        let one = migrations
            .iter()
            .find(|m| m["source"]["identifier"] == name);
        one.unwrap()["source"]["dbi_resource_id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    // Another execution of the same plan has this one already: begin, intend, claim.
    let alpha = id("alpha");
    let off = ["--mysql", "off"];
    let begin = ["tick", "plan.json", "--begin", alpha.as_str()];
    let mut document = bed
        .sandbox
        .run(&[&begin[..], &off].concat())
        .expect(0)
        .stdout;
    for _intend_then_claim in 0..2 {
        std::fs::write(bed.sandbox.path("other.json"), &document).unwrap();
        let args = [
            "tick",
            "plan.json",
            "--state",
            "other.json",
            "--state-dir",
            "other",
        ];
        document = bed
            .sandbox
            .run(&[&args[..], &off].concat())
            .expect(0)
            .stdout;
    }
    assert_eq!(bed.sandbox.mutations().len(), 1);
    let item = |name: &str| json!({"dbi_resource_id": id(name), "attempt": 1});
    let waves = json!({"waves": [[item("alpha"), item("beta")], [item("gamma")]]});
    std::fs::write(bed.sandbox.path("waves.json"), waves.to_string()).unwrap();
    let found = bed.run("fleet");
    assert_eq!(found["status"], "FAILED", "{found:#}\n{}", bed.workers());
    let execution = |name: &str| found["executions"][format!("enc-{}-1", id(name))].clone();
    assert_eq!(execution("alpha"), "FAILED", "{found:#}");
    assert_eq!(execution("beta"), "SUCCEEDED", "{found:#}");
    assert_eq!(execution("gamma"), Value::Null, "{found:#}");
    assert!(bed.is_encrypted("beta"));
    assert!(!bed.is_encrypted("alpha") && !bed.is_encrypted("gamma"));
    bed.none_twice();
}

#[test]
fn cfn_lint_finds_nothing_in_the_template() {
    let Some(python) = python() else {
        println!("NOT RUN: cfn-lint (ATREST_MOTO=none)");
        return;
    };
    let mut command = Command::new(python.with_file_name("cfn-lint"));
    command
        .arg(Path::new(ROOT).join("deploy/step-functions/template.yaml"))
        .stdin(Stdio::null());
    let finished = finish(command, LIMIT);
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
}
