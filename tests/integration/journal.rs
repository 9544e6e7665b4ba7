//! The run folder as the operator meets it: a full disk, a second runner, a lost folder, the audit trail.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::{Finished, Request, Sandbox, Start, finish, pause};

const PACE: [&str; 4] = ["--poll-interval", "15ms", "--consistency-window", "80ms"];
const FLEET: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/integration/kill_matrix/fleet.toml"
);

fn planned() -> Sandbox {
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
    sandbox
}

fn with_pace<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [args, &PACE].concat()
}

/// Every mutation but the claim, by what it is about.
fn twice(mutations: &[Request]) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for request in mutations.iter().filter(|r| r.action != "AddTagsToResource") {
        *counts
            .entry(format!("{} {:?}", request.action, request.params))
            .or_default() += 1;
    }
    counts
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|(intent, _)| intent)
        .collect()
}

/// The same command in a shell that lets no file grow beyond `blocks`; the signal for it is ignored, as on a full disk.
fn limited(command: &Command, blocks: u32) -> Command {
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\""))
        .arg("sh")
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null());
    if let Some(dir) = command.get_current_dir() {
        shell.current_dir(dir);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

#[test]
fn a_full_disk_stops_the_run_and_nothing_is_done_that_is_not_recorded() {
    let sandbox = planned();
    let begin = sandbox.command(&with_pace(&["fix", "atrest-plan.json", "--execute"]));
    let stopped = finish(limited(&begin, 300), Duration::from_secs(120)).expect(20);
    assert!(
        stopped.stderr.contains("cannot write"),
        "{}",
        stopped.stderr
    );
    assert!(
        stopped.stderr.contains("make room on the disk"),
        "{}",
        stopped.stderr
    );
    // Who could not be recorded is in the report like everybody else.
    assert!(
        stopped.stdout.contains("cannot write") && stopped.stdout.contains("0 of 1 migration"),
        "{}",
        stopped.stdout
    );
    // What RDS has taken was intended in the journal before.
    let trail = sandbox
        .run(&["status", "kept", "--journal"])
        .expect(0)
        .stdout;
    let intended = trail.matches("\"event\":\"intend\"").count();
    let sent = sandbox.mutations().len();
    assert!(
        sent > 0 && intended >= sent,
        "{intended} intended, {sent} sent\n{trail}"
    );
    // Still full: nothing more is sent.
    let resume = with_pace(&["fix", "--resume", "kept"]);
    let again = finish(
        limited(&sandbox.command(&resume), 1),
        Duration::from_secs(120),
    );
    assert_ne!(again.code, 0, "{}", again.stderr);
    assert_eq!(sandbox.mutations().len(), sent);
    sandbox.run(&resume).expect(0);
    let mutations = sandbox.mutations();
    assert!(twice(&mutations).is_empty(), "{:?}", twice(&mutations));
    assert!(sandbox.stop().success());
}

#[test]
fn a_second_runner_hears_who_the_first_is_and_a_lost_folder_is_adopted() {
    let sandbox = planned();
    // There is nothing to adopt before there is a claim.
    let adopt = with_pace(&["fix", "--adopt", "atrest-plan.json"]);
    let refused = sandbox.run(&adopt).expect(2);
    assert!(
        refused.stderr.contains("bears the tag of run kept"),
        "{}",
        refused.stderr
    );

    let args = with_pace(&["fix", "atrest-plan.json", "--execute"]);
    let mut first = sandbox
        .command(&args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !sandbox
        .mutations()
        .iter()
        .any(|r| r.action == "CreateDBSnapshot")
    {
        assert!(
            first.try_wait().unwrap().is_none(),
            "it ended before its snapshot"
        );
        pause();
    }
    // Stopped, not ended: it keeps its lock.
    signal(first.id(), "STOP");
    let resume = with_pace(&["fix", "--resume", "kept"]);
    let refused = sandbox.run(&resume).expect(2);
    let told = format!("process {} on ", first.id());
    assert!(refused.stderr.contains(&told), "{}", refused.stderr);
    // A reader is let in.
    sandbox.run(&["status", "kept"]).expect(0);
    first.kill().unwrap();
    first.wait().unwrap();

    // Another folder with the same plan: the instance has another name by now.
    let elsewhere = with_pace(&[
        "fix",
        "atrest-plan.json",
        "--execute",
        "--state-dir",
        "elsewhere",
    ]);
    sandbox.run(&elsewhere).expect(22);

    std::fs::remove_dir_all(sandbox.path(".atrest/runs/kept")).unwrap();
    sandbox.run(&adopt).expect(0);
    let mutations = sandbox.mutations();
    assert!(twice(&mutations).is_empty(), "{:?}", twice(&mutations));
    // A folder that is there is resumed, not adopted over.
    sandbox.run(&adopt).expect(2);
    assert!(sandbox.stop().success());
}

#[test]
fn an_audit_trail_is_printed_and_its_first_broken_line_is_named() {
    let sandbox = planned();
    let stop = with_pace(&[
        "fix",
        "atrest-plan.json",
        "--execute",
        "--stop-before",
        "snapshot",
    ]);
    sandbox.run(&stop).expect(20);
    let trail = sandbox
        .run(&["status", "kept", "--journal"])
        .expect(0)
        .stdout;
    let file = sandbox.path("trail.jsonl");
    std::fs::write(&file, &trail).unwrap();
    let verified = verify(&sandbox, &file).expect(0);
    assert!(
        verified.stdout.contains("run kept: "),
        "{}",
        verified.stdout
    );

    let lines: Vec<&str> = trail.lines().collect();
    let edited = trail.replacen(
        lines[3],
        &lines[3]
            .replace("ModifyDBInstance", "RebootDBInstance")
            .replace("claim", "clain"),
        1,
    );
    assert_ne!(edited, trail);
    std::fs::write(&file, edited).unwrap();
    let broken = verify(&sandbox, &file).expect(24);
    assert!(
        broken.stderr.contains("line 4 is broken"),
        "{}",
        broken.stderr
    );
    let cut: String = lines[..4].iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(&file, cut).unwrap();
    let broken = verify(&sandbox, &file).expect(24);
    assert!(
        broken.stderr.contains("cut after line 4"),
        "{}",
        broken.stderr
    );
    assert!(sandbox.stop().success());
}

fn verify(sandbox: &Sandbox, file: &Path) -> Finished {
    sandbox.run(&["status", "--verify", file.to_str().unwrap()])
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}
