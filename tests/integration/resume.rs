//! kill -9 between steps, then resume: the same end, nothing twice.

use std::process::Stdio;

use atrest_model::instance::Encryption;

use crate::harness::{Request, Sandbox, Start, pause};

/// Kills the fixer as soon as the sandbox has logged the given mutation, then resumes.
#[test]
fn a_run_that_is_killed_at_three_points_ends_like_one_that_was_not() {
    let sandbox = Sandbox::start(&Start {
        scenario: "seed-story",
        engines: "required",
        speed: "1000",
    });
    let pace = [
        "--mysql-tls",
        "off",
        "--poll-interval",
        "20ms",
        "--consistency-window",
        "1s",
    ];
    sandbox
        .run(&[
            "plan",
            "--instance",
            "prod-three",
            "--region",
            "eu-central-1",
            "--kms-key",
            "alias/rds-migration",
            "--mysql-tls",
            "off",
            "--run",
            "killed",
        ])
        .expect(0);
    let points: [&dyn Fn(&Request) -> bool; 3] = [
        &|r| r.action == "CreateDBSnapshot",
        &|r| r.action == "RestoreDBInstanceFromDBSnapshot",
        &|r| r.param("NewDBInstanceIdentifier") == "prod-three",
    ];
    let mut args: Vec<&str> = [&["fix", "atrest-plan.json", "--execute"][..], &pace].concat();
    for (index, point) in points.iter().enumerate() {
        let mut child = sandbox
            .command(&args)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while !sandbox.mutations().iter().any(point) {
            if let Some(status) = child.try_wait().unwrap() {
                let output = child.wait_with_output().unwrap();
                panic!(
                    "point {index}: ended with {status} before: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            pause();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        args = [&["fix", "--resume", "killed"][..], &pace].concat();
    }
    let status = sandbox.run(&["status", "killed"]).expect(0);
    assert!(
        status.stdout.contains("eu-central-1/prod-three"),
        "{}",
        status.stdout
    );
    sandbox.run(&args).expect(0);
    // A finished run can be resumed and does nothing.
    let before = sandbox.mutations().len();
    sandbox.run(&args).expect(0);
    assert_eq!(sandbox.mutations().len(), before);

    let mutations = sandbox.mutations();
    let count = |what: &dyn Fn(&Request) -> bool| mutations.iter().filter(|r| what(r)).count();
    assert_eq!(count(&|r| r.action == "CreateDBSnapshot"), 1);
    assert_eq!(count(&|r| r.action == "CopyDBSnapshot"), 1);
    assert_eq!(count(&|r| r.action == "RestoreDBInstanceFromDBSnapshot"), 1);
    assert_eq!(count(&|r| r.action == "CreateDBInstanceReadReplica"), 1);
    for name in [
        "old-prod-three",
        "prod-three",
        "old-prod-three-replica-1",
        "prod-three-replica-1",
    ] {
        assert_eq!(
            count(&|r| r.param("NewDBInstanceIdentifier") == name),
            1,
            "{name}"
        );
    }
    let instances = sandbox.instances("eu-central-1");
    assert_eq!(instances["prod-three"].encryption(), Encryption::SseKms);
    assert_eq!(
        instances["prod-three-replica-1"].encryption(),
        Encryption::SseKms
    );
    assert_eq!(instances["old-prod-three"].encryption(), Encryption::None);
    assert_eq!(
        instances["prod-three-replica-1"].replica_source(),
        Some("prod-three")
    );
    sandbox
        .run(&["diff", "--run", "killed", "--data", "--mysql-tls", "off"])
        .expect(0);
    assert!(sandbox.stop().success());
}
