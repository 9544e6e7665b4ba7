//! Remedies are commands: a careless restore is mended by what the diff says, with AWS's own command line.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Finished, Sandbox, Start, finish, pause};

const LIMIT: Duration = Duration::from_secs(120);

/// The AWS CLI as `sandbox/install-clients.sh` installs it; `None` when somebody said that there is none.
fn cli() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = match set("ATREST_CLIENTS") {
        Some(none) if none == "none" => return None,
        Some(folder) => PathBuf::from(folder),
        None => set("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")))
            .unwrap()
            .join("atrest/clients"),
    };
    let aws = folder.join("venv/bin/aws");
    assert!(
        aws.is_file(),
        "{} is not there: run sandbox/install-clients.sh, or set ATREST_CLIENTS=none to do without",
        aws.display()
    );
    Some(aws)
}

struct Bed {
    sandbox: Sandbox,
    aws: PathBuf,
}

impl Bed {
    /// A command line whose first word is `aws`.
    fn run(&self, words: &[&str]) -> Finished {
        assert_eq!(words[0], "aws", "{words:?}");
        // Everything that points to the sandbox, and nothing of this machine.
        let ours = self.sandbox.command(&[]);
        let mut command = Command::new(&self.aws);
        command.args(&words[1..]).args(["--output", "json"]);
        for (name, value) in ours.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_DEFAULT_REGION", "eu-central-1")
            .current_dir(self.sandbox.dir.path())
            .stdin(std::process::Stdio::null());
        finish(command, LIMIT)
    }

    fn rds(&self, words: &[&str]) -> Value {
        let words = [&["aws", "rds"], words].concat();
        let done = self.run(&words).expect(0);
        serde_json::from_str(&done.stdout).unwrap_or_default()
    }

    fn until_snapshot(&self, name: &str) {
        let began = Instant::now();
        loop {
            let shown = self.rds(&["describe-db-snapshots", "--db-snapshot-identifier", name]);
            if shown["DBSnapshots"][0]["Status"] == "available" {
                return;
            }
            assert!(began.elapsed() < LIMIT, "{shown}");
        }
    }

    fn until_ready(&self, name: &str) {
        let began = Instant::now();
        loop {
            let instances = self.sandbox.instances("eu-central-1");
            if instances
                .get(name)
                .is_some_and(|i| i.is_ready() && !i.has_pending_modifications())
            {
                return;
            }
            assert!(began.elapsed() < LIMIT, "{name} does not become ready");
            pause();
        }
    }

    /// Exit code and drifts of the pair.
    fn diff(&self) -> (i32, Vec<Value>) {
        let args = [
            "diff",
            "prod-two=new-prod-two",
            "--region",
            "eu-central-1",
            "--mysql",
            "off",
            "--format",
            "json",
        ];
        let done = self.sandbox.run(&args);
        let report: Value = serde_json::from_str(&done.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", done.stderr));
        let all = report["pairs"][0]["differences"]
            .as_array()
            .unwrap()
            .clone();
        let drifts = all.into_iter().filter(|d| d["class"] == "drift").collect();
        (done.code, drifts)
    }
}

#[test]
fn a_careless_restore_is_mended_by_the_remedies_of_its_diff() {
    let Some(aws) = cli() else {
        println!("NOT RUN: the remedies (ATREST_CLIENTS=none)");
        return;
    };
    let sandbox = Sandbox::start(&Start {
        scenario: "seed-story",
        engines: "none",
        speed: "3000",
    });
    let bed = Bed { sandbox, aws };
    bed.rds(&[
        "create-db-snapshot",
        "--db-instance-identifier",
        "prod-two",
        "--db-snapshot-identifier",
        "one",
    ]);
    bed.until_snapshot("one");
    bed.rds(&[
        "copy-db-snapshot",
        "--source-db-snapshot-identifier",
        "one",
        "--target-db-snapshot-identifier",
        "two",
        "--kms-key-id",
        "alias/rds-migration",
    ]);
    bed.until_snapshot("two");
    // A zone is all that cannot be given later.
    let old = bed
        .sandbox
        .instances("eu-central-1")
        .remove("prod-two")
        .unwrap();
    let zone = old.document["AvailabilityZone"].as_str().unwrap();
    bed.rds(&[
        "restore-db-instance-from-db-snapshot",
        "--db-instance-identifier",
        "new-prod-two",
        "--db-snapshot-identifier",
        "two",
        "--availability-zone",
        zone,
        "--no-multi-az",
    ]);
    bed.until_ready("new-prod-two");

    let (code, drifts) = bed.diff();
    assert_eq!(code, 11, "{drifts:#?}");
    let broken: Vec<&str> = drifts
        .iter()
        .flat_map(|drift| drift["controls"].as_array().into_iter().flatten())
        .map(|control| control["id"].as_str().unwrap())
        .collect();
    assert!(!broken.is_empty(), "{drifts:#?}");
    let mut rounds = 0;
    loop {
        let (code, drifts) = bed.diff();
        if drifts.is_empty() {
            assert_eq!(code, 0);
            break;
        }
        assert!(rounds < 4, "still there: {drifts:#?}");
        rounds += 1;
        let mut remedies: Vec<&str> = drifts
            .iter()
            .map(|drift| {
                drift["remedy"]
                    .as_str()
                    .unwrap_or_else(|| panic!("no remedy: {drift:#}"))
            })
            .collect();
        remedies.sort_unstable();
        remedies.dedup();
        for remedy in remedies {
            let words = shlex::split(remedy).unwrap_or_else(|| panic!("no shell takes {remedy}"));
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let done = bed.run(&words);
            assert_eq!(done.code, 0, "{remedy}\n{}", done.stderr);
            bed.until_ready("new-prod-two");
        }
    }
    assert!(bed.sandbox.stop().success());
}
