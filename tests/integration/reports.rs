//! Reports of the built binary: the end of a run in every format, saved documents shown again, a run that is followed,
//! and readers that go away early.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Finished, Sandbox, Start, finish};

const PACE: [&str; 6] = [
    "--mysql",
    "off",
    "--poll-interval",
    "20ms",
    "--consistency-window",
    "2s",
];

fn planned() -> Sandbox {
    let sandbox = Sandbox::start(&Start {
        scenario: "seed-story",
        engines: "none",
        speed: "1000",
    });
    let plan = [
        "plan",
        "--instance",
        "prod-one",
        "--region",
        "eu-central-1",
        "--mysql",
        "off",
        "--kms-key",
        "alias/rds-migration",
        "--run",
        "night",
        "--format",
        "html=plan.html",
    ];
    sandbox.run(&plan).expect(0);
    sandbox
}

fn with_pace<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [args, &PACE].concat()
}

fn text(sandbox: &Sandbox, name: &str) -> String {
    std::fs::read_to_string(sandbox.path(name)).unwrap()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn the_end_of_a_run_is_told_in_every_format_and_shown_again() {
    let sandbox = planned();
    let plan = text(&sandbox, "plan.html");
    assert!(
        plan.contains("<title>") && plan.contains("new-prod-one-replica-1"),
        "{plan}"
    );
    sandbox
        .run(&["scan", "--region", "eu-central-1", "--save", "before.json"])
        .expect(10);
    let shown = [
        "fix",
        "atrest-plan.json",
        "--mysql",
        "off",
        "--format",
        "junit",
    ];
    let refused = sandbox.run(&shown).expect(2);
    assert!(
        refused.stderr.contains("unknown format"),
        "{}",
        refused.stderr
    );
    let both = with_pace(&[
        "fix",
        "atrest-plan.json",
        "--execute",
        "--events",
        "-",
        "--format",
        "json",
    ]);
    let refused = sandbox.run(&both).expect(2);
    assert!(
        refused.stderr.contains("both want standard output"),
        "{}",
        refused.stderr
    );

    let fix = with_pace(&[
        "fix",
        "atrest-plan.json",
        "--execute",
        "--events",
        "-",
        "--format",
        "json=end.json",
        "--format",
        "jsonl=end.jsonl",
        "--format",
        "csv=end.csv",
        "--format",
        "markdown=end.md",
        "--format",
        "html=end.html",
        "--format",
        "junit=end.xml",
        "--format",
        "text=end.txt",
    ]);
    let fixed = sandbox.run(&fix).expect(0);
    // Standard output has the events and nothing else; the run folder has the same.
    let events = lines(&fixed.stdout);
    let kept = text(&sandbox, ".atrest/runs/night/events.jsonl");
    assert!(kept == fixed.stdout);
    assert_eq!(events.first().unwrap()["event"], "run-began");
    let last = events.last().unwrap();
    assert_eq!(
        (&last["event"], &last["migrated"], &last["exit_code"]),
        (&json!("run-ended"), &json!(1), &json!(0))
    );
    for event in &events {
        assert_eq!(event["schema_version"], 1, "{event}");
        assert_eq!(event["run"], "night", "{event}");
        assert!(event["at"].as_str().unwrap().ends_with('Z'), "{event}");
    }

    let end: Value = serde_json::from_str(&text(&sandbox, "end.json")).unwrap();
    let times = &end["migrations"][0]["times"];
    let seconds = |name: &str| times[name].as_f64().unwrap();
    let parts = seconds("copying_seconds")
        + seconds("waiting_seconds")
        + seconds("own_seconds")
        + seconds("idle_seconds");
    assert!((parts - seconds("seconds")).abs() < 0.01, "{times}");
    assert!(seconds("copying_seconds") > 0.0, "{times}");
    let instances = times["instances"].as_array().unwrap();
    assert_eq!(instances.len(), 3, "the source and its replicas: {times}");
    assert!(instances.iter().all(|one| !one["until"].is_null()));
    let steps = lines(&text(&sandbox, "end.jsonl"))
        .iter()
        .filter(|line| line["record"]["type"] == "step" && line["record"]["status"] == "done")
        .count();
    assert_eq!(json!(steps), end["migrations"][0]["steps"]);
    for (name, telling) in [
        ("end.csv", "downtime_seconds"),
        ("end.md", "- prod-one-replica-1: **"),
        ("end.html", "Where the time went"),
        ("end.xml", "<testsuites"),
        ("end.txt", "DB INSTANCE"),
    ] {
        let text = text(&sandbox, name);
        assert!(text.contains(telling), "{name}: {text}");
    }

    // Shown again: one page of everything, one document as it was saved, and the run by its name.
    sandbox
        .run(&["scan", "--region", "eu-central-1", "--save", "after.json"])
        .expect(10);
    let report = [
        "report",
        "before.json",
        "after.json",
        "night",
        "--format",
        "html=report.html",
        "--format",
        "markdown=report.md",
    ];
    let printed = sandbox.run(&report).expect(0);
    assert_eq!(printed.stdout, "");
    let page = text(&sandbox, "report.html");
    for id in ["id=\"compared\"", "id=\"migrations\"", "id=\"resources\""] {
        assert_eq!(page.matches(id).count(), 1, "{id}");
    }
    assert!(
        page.contains("kept as the way back"),
        "what the run superseded is not told apart"
    );
    assert!(text(&sandbox, "report.md").contains("## Run night"));
    let again = sandbox
        .run(&["report", "end.json", "--format", "json"])
        .expect(0)
        .json();
    assert_eq!(again, end);
    let run = sandbox
        .run(&["report", "night", "--format", "json"])
        .expect(0)
        .json();
    assert_eq!(run["migrations"][0]["outcome"]["outcome"], "migrated");
    sandbox
        .run(&["report", "night", "--evidence", "pack.zip"])
        .expect(0);
    let good = sandbox.run(&["report", "--verify", "pack.zip"]).expect(0);
    assert!(good.stdout.contains("intact"), "{}", good.stdout);
    assert!(sandbox.stop().success());
}

/// Runs it with a standard output that nobody reads.
fn unread(sandbox: &Sandbox, args: &[&str]) -> Finished {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = sandbox.command(args);
    command.stdout(writer).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    // The command holds the writing end, too.
    drop(command);
    let output = child.wait_with_output().unwrap();
    Finished {
        code: output.status.code().unwrap_or(-1),
        stdout: String::new(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_reader_that_goes_away_ends_every_verb_without_a_word() {
    let sandbox = planned();
    let stopped = with_pace(&[
        "fix",
        "atrest-plan.json",
        "--execute",
        "--stop-before",
        "snapshot",
    ]);
    sandbox.run(&stopped).expect(20);
    sandbox
        .run(&["scan", "--region", "eu-central-1", "--save", "scan.json"])
        .expect(10);
    let verbs: [&[&str]; 17] = [
        &["--help"],
        &["scan", "--region", "eu-central-1"],
        &["scan", "--region", "eu-central-1", "--format", "jsonl"],
        &[
            "plan",
            "--instance",
            "prod-two",
            "--region",
            "eu-central-1",
            "--mysql",
            "off",
            "--kms-key",
            "alias/rds-migration",
            "--out",
            "two.json",
        ],
        &["fix", "two.json", "--mysql", "off"],
        &["status"],
        &["status", "night"],
        &["status", "night", "--format", "table"],
        &["status", "night", "--journal"],
        &["status", "night", "--watch"],
        &["report", "scan.json"],
        &["report", "night", "--format", "html"],
        &["policy", "list"],
        &["policy", "show", "storage-unencrypted"],
        &["iam-policy", "scan"],
        &["sandbox", "scenarios"],
        &["completions", "bash"],
    ];
    for args in verbs {
        let ended = unread(&sandbox, args);
        assert!(
            [0, 10].contains(&ended.code),
            "{args:?}: {} {}",
            ended.code,
            ended.stderr
        );
        for word in ["error", "panicked", "pipe"] {
            assert!(
                !ended.stderr.to_lowercase().contains(word),
                "{args:?}: {}",
                ended.stderr
            );
        }
    }
    // One that changes something goes on, and its end is in the folder of the run.
    let resumed = with_pace(&["fix", "--resume", "night", "--events", "-"]);
    let ended = unread(&sandbox, &resumed);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let kept = text(&sandbox, ".atrest/runs/night/events.jsonl");
    assert!(kept.lines().last().unwrap().contains("run-ended"), "{kept}");
    assert!(sandbox.stop().success());
}

/// The lock is the runner's sign of life; here the test holds it, so that nothing depends on how fast a run is.
#[test]
fn a_run_is_followed_until_nobody_holds_it_any_more() {
    let sandbox = planned();
    let stopped = with_pace(&[
        "fix",
        "atrest-plan.json",
        "--execute",
        "--stop-before",
        "cutover",
    ]);
    sandbox.run(&stopped).expect(20);
    let folder = sandbox.path(".atrest/runs/night");
    let watch = ["status", "night", "--watch=50ms"];
    let ended = sandbox.run(&watch).expect(0);
    assert!(
        ended.stdout.contains("asked to stop before it")
            && ended.stdout.contains("has ended, not all of it done"),
        "{}",
        ended.stdout
    );
    sandbox
        .run(&["status", "night", "--watch", "--journal"])
        .expect(2);

    let lock = std::fs::File::options()
        .read(true)
        .write(true)
        .open(folder.join("lock"))
        .unwrap();
    lock.lock().unwrap();
    let mut command = sandbox.command(&watch);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("prod-one"), "{line}");
    let event = json!({
        "schema_version": 1, "run": "night", "at": "2026-11-22T02:00:00Z", "event": "migration-began",
        "migration": "eu-central-1/prod-one", "steps": 30, "done": 1,
    });
    let waiting = json!({
        "schema_version": 1, "run": "night", "at": "2026-11-22T02:00:09Z", "event": "waiting",
        "migration": "eu-central-1/prod-one", "step": "rename-new:prod-one", "state": "renaming, says RDS",
        "elapsed_seconds": 9.0, "deadline_seconds": 600,
    });
    let mut log = std::fs::File::options()
        .append(true)
        .open(folder.join("events.jsonl"))
        .unwrap();
    log.write_all(format!("{event}\n{waiting}\n").as_bytes())
        .unwrap();
    line.clear();
    while !line.contains("renaming, says RDS") {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "it ended too early");
    }
    // No step of that kind has been done yet, and the plan's own deadline stands beside it.
    assert!(line.contains("no history, at most"), "{line}");
    // A runner is not kept out by who looks.
    drop(lock);
    let mut rest = String::new();
    for line in said.lines() {
        rest.push_str(&line.unwrap());
        rest.push('\n');
    }
    assert!(child.wait().unwrap().success());
    assert!(
        rest.contains("no runner holds run night any more"),
        "{rest}"
    );

    // And a real one, to its end.
    let resume = with_pace(&["fix", "--resume", "night"]);
    sandbox.run(&resume).expect(0);
    let ended = finish(sandbox.command(&watch), Duration::from_secs(60)).expect(0);
    assert!(
        ended.stdout.contains("everything is done"),
        "{}",
        ended.stdout
    );
    assert!(sandbox.stop().success());
}
