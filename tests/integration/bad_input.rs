//! What is broken or hostile at the edge: one line that names the thing, a hint, the right exit code, nothing written.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use crate::harness::{Finished, Sandbox, Start, finish};

fn start() -> Sandbox {
    Sandbox::start(&Start {
        scenario: "seed-story",
        engines: "none",
        speed: "1000",
    })
}

/// One line that says `error:` and names the thing, and a hint.
fn says(finished: Finished, code: i32, names: &str) {
    let finished = finished.expect(code);
    let errors: Vec<&str> = finished
        .stderr
        .lines()
        .filter(|line| line.starts_with("error:"))
        .collect();
    assert_eq!(errors.len(), 1, "{}", finished.stderr);
    assert!(
        errors[0].contains(names),
        "{names} is not named: {}",
        finished.stderr
    );
    assert!(
        finished
            .stderr
            .lines()
            .any(|line| line.starts_with("hint:")),
        "{}",
        finished.stderr
    );
}

#[test]
fn each_bad_input_is_one_line_with_a_hint_and_changes_nothing() {
    let sandbox = start();
    let off = ["--mysql", "off", "--region", "eu-central-1"];
    let with = |args: &[&'static str]| [args, &off[..]].concat();

    says(
        sandbox.run(&with(&["plan", "--instance", "no-such-instance"])),
        2,
        "no-such-instance",
    );
    says(
        sandbox.run(&with(&["plan", "--instance", "prod-one-replica-1"])),
        2,
        "prod-one",
    );
    says(
        sandbox.run(&with(&[
            "plan",
            "--instance",
            "prod-one",
            "--run",
            "../escape",
        ])),
        2,
        "../escape",
    );
    says(sandbox.run(&["scan", "--region", "nowhere"]), 2, "nowhere");
    says(sandbox.run(&["scan", "--format", "yaml"]), 2, "yaml");
    says(sandbox.run(&["fix", "missing.json"]), 2, "missing.json");
    says(sandbox.run(&["fix", "--resume", "never"]), 2, "never");
    says(
        sandbox.run(&["sandbox", "serve", "--scenario", "missing.toml"]),
        2,
        "missing.toml",
    );
    says(
        sandbox.run(&[
            "plan",
            "--instance",
            "prod-one",
            "--region",
            "eu-central-1",
            "--mysql-password-file",
            "missing.txt",
        ]),
        2,
        "missing.txt",
    );

    std::fs::write(
        sandbox.path("broken.toml"),
        "[[instances]]\nidentifier = \"a\"\nnonsense = 1\n",
    )
    .unwrap();
    says(
        sandbox.run(&["sandbox", "serve", "--scenario", "broken.toml"]),
        2,
        "broken.toml",
    );

    sandbox
        .run(&with(&[
            "plan",
            "--instance",
            "prod-one",
            "--kms-key",
            "alias/rds-migration",
            "--run",
            "bad",
        ]))
        .expect(0);
    let plan = std::fs::read_to_string(sandbox.path("atrest-plan.json")).unwrap();
    for (name, text) in [
        ("cut.json", plan[..plan.len() / 2].to_owned()),
        ("edited.json", plan.replace("db.", "dbx.")),
        (
            "newer.json",
            plan.replacen("\"schema_version\": 1", "\"schema_version\": 99", 1),
        ),
        ("other.json", "{\"a\": 1}".to_owned()),
    ] {
        std::fs::write(sandbox.path(name), text).unwrap();
        says(sandbox.run(&["fix", name, "--execute"]), 2, name);
    }

    let mut wrong = sandbox.command(&["scan", "--region", "eu-central-1"]);
    wrong.env("AWS_ACCESS_KEY_ID", "AKIAWRONG");
    says(
        finish(wrong, Duration::from_secs(60)),
        2,
        "InvalidClientTokenId",
    );

    assert!(sandbox.mutations().is_empty(), "{:?}", sandbox.mutations());
    assert!(!sandbox.path(".atrest").exists());
}

#[test]
fn a_plan_of_another_account_is_refused() {
    let sandbox = start();
    let args = [
        "plan",
        "--instance",
        "prod-two",
        "--region",
        "eu-central-1",
        "--mysql",
        "off",
        "--kms-key",
        "alias/rds-migration",
    ];
    sandbox.run(&args).expect(0);
    let path = sandbox.path("atrest-plan.json");
    let mut plan: atrest_model::plan::Plan =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    plan.account = "999999999999".to_owned();
    std::fs::write(&path, serde_json::to_string(&plan.sealed()).unwrap()).unwrap();
    says(
        sandbox.run(&["fix", "atrest-plan.json", "--execute"]),
        2,
        "999999999999",
    );
    assert!(sandbox.mutations().is_empty());
}

#[test]
fn an_instance_that_changed_makes_the_plan_stale() {
    let sandbox = start();
    let args = [
        "plan",
        "--instance",
        "prod-two",
        "--region",
        "eu-central-1",
        "--mysql",
        "off",
        "--kms-key",
        "alias/rds-migration",
    ];
    sandbox.run(&args).expect(0);
    let path = sandbox.path("atrest-plan.json");
    let mut plan: atrest_model::plan::Plan =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    plan.migrations[0].source.digest = "0".repeat(64);
    std::fs::write(&path, serde_json::to_string(&plan.sealed()).unwrap()).unwrap();
    says(
        sandbox.run(&["fix", "atrest-plan.json", "--execute"]),
        22,
        "prod-two",
    );
    assert!(sandbox.mutations().is_empty());
}

#[test]
fn a_journal_that_is_damaged_or_newer_is_refused() {
    let sandbox = start();
    let args = [
        "plan",
        "--instance",
        "prod-two",
        "--region",
        "eu-central-1",
        "--mysql",
        "off",
        "--kms-key",
        "alias/rds-migration",
        "--run",
        "j",
    ];
    sandbox.run(&args).expect(0);
    sandbox
        .run(&[
            "fix",
            "atrest-plan.json",
            "--execute",
            "--stop-before",
            "claim",
        ])
        .expect(20);
    assert!(sandbox.mutations().is_empty(), "{:?}", sandbox.mutations());
    let journal = sandbox.path(".atrest/runs/j/journal.db");
    std::fs::write(
        &journal,
        b"this is not a database, and long enough that nobody could think it were one",
    )
    .unwrap();
    says(sandbox.run(&["fix", "--resume", "j"]), 2, "journal.db");
    says(sandbox.run(&["status", "j"]), 2, "journal.db");
    assert!(sandbox.mutations().is_empty());
}

#[test]
fn a_server_that_does_not_answer_stops_the_plan() {
    // Control plane only: nothing listens behind the endpoints.
    let sandbox = start();
    let args = [
        "plan",
        "--instance",
        "prod-two",
        "--region",
        "eu-central-1",
        "--mysql-tls",
        "off",
        "--kms-key",
        "alias/rds-migration",
    ];
    says(sandbox.run(&args), 2, "prod-two");
    assert!(!sandbox.path("atrest-plan.json").exists());
}

#[test]
fn an_endpoint_that_answers_html_is_named_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // Serves until the test process ends; every request gets the same page.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = [0; 4096];
            let _read = stream.read(&mut request);
            let page = "<html><body>Welcome to our portal</body></html>";
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
                page.len()
            );
            let _written = stream.write_all(answer.as_bytes());
        }
    });
    let sandbox = start();
    says(
        sandbox.run(&["scan", "--region", "eu-central-1", "--endpoint-url", &url]),
        3,
        "not AWS's",
    );
}

#[test]
fn a_kind_that_fails_in_one_region_is_incomplete_and_never_clean() {
    // One of two regions refuses to list its instances.
    let sandbox = with_faults(
        "[[faults]]\naction = \"DescribeDBInstances\"\nnth = 2\nkind = \"error\"\ncode = \"AccessDenied\"\n",
    );
    let args = [
        "scan",
        "--region",
        "eu-central-1",
        "--region",
        "us-east-1",
        "--format",
        "json",
        "--exit-zero",
    ];
    let scan = sandbox.run(&args).expect(4).json();
    assert_eq!(scan["complete"], false);
    // The other kinds of that region were read: the hole is one kind, and the region is not given up.
    let unread = scan["unread"].as_array().unwrap();
    assert_eq!(unread.len(), 1, "{unread:?}");
    assert_eq!(unread[0]["kind"], "db-instance");
    assert!(
        unread[0]["reason"]
            .as_str()
            .unwrap()
            .contains("AccessDenied")
    );
    let text = sandbox.run(&["scan", "--exit-zero"]).expect(0);
    assert!(
        !text.stdout.contains("INCOMPLETE"),
        "the fault was for one call: {}",
        text.stdout
    );
}

/// The answers of mutations are lost although they took effect: each is looked for, none is sent twice.
#[test]
fn lost_answers_double_nothing() {
    let lost = |action: &str, nth: u32| {
        format!("[[faults]]\naction = \"{action}\"\nnth = {nth}\nkind = \"lost-answer\"\n")
    };
    let faults = [
        lost("AddTagsToResource", 1),
        lost("ModifyDBInstance", 1),
        lost("ModifyDBInstance", 4),
        lost("CreateDBSnapshot", 1),
        lost("CopyDBSnapshot", 1),
        lost("RestoreDBInstanceFromDBSnapshot", 1),
        lost("CreateDBInstanceReadReplica", 1),
    ];
    let sandbox = with_faults(&faults.concat());
    let plan = [
        "plan",
        "--instance",
        "prod-three",
        "--region",
        "eu-central-1",
        "--mysql",
        "off",
        "--kms-key",
        "alias/rds-migration",
    ];
    sandbox.run(&plan).expect(0);
    sandbox
        .run(&[
            "fix",
            "atrest-plan.json",
            "--execute",
            "--poll-interval",
            "20ms",
            "--consistency-window",
            "2s",
        ])
        .expect(0);
    let lost = sandbox
        .requests()
        .iter()
        .filter(|r| r.fault == "lost-answer")
        .count();
    assert_eq!(lost, 7);
    // A lost answer is logged with the call that took effect.
    let mutations: Vec<String> = sandbox
        .requests()
        .iter()
        .filter(|r| r.is_mutation() && (r.code.is_empty() || r.fault == "lost-answer"))
        .map(|r| format!("{} {:?}", r.action, r.params))
        .collect();
    let distinct: std::collections::BTreeSet<&String> = mutations.iter().collect();
    assert_eq!(mutations.len(), distinct.len(), "{mutations:#?}");
}

/// The shipped fleet, control plane only, with faults.
fn with_faults(faults: &str) -> Sandbox {
    let dir = tempfile::tempdir().unwrap();
    let (_, text) = atrest_sandbox::Scenario::shipped()
        .into_iter()
        .find(|(name, _)| *name == "seed-story")
        .unwrap();
    let path = dir.path().join("faults.toml");
    std::fs::write(&path, format!("{text}\n{faults}")).unwrap();
    Sandbox::start(&Start {
        scenario: path.to_str().unwrap(),
        engines: "none",
        speed: "1000",
    })
}
