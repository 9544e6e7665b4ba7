//! Hooks on runs against the sandbox: when they are run, what they are told, and what becomes of those that fail, hang or
//! are cut off.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use crate::fleet::{execute, fleet, outcome, plan, resume, run_to_end, until};
use crate::harness::{Sandbox, pause};

/// A script in the sandbox's folder.
fn script(sandbox: &Sandbox, name: &str, text: &str) -> String {
    let path = sandbox.path(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn configure(sandbox: &Sandbox, hooks: &[(&str, &str, &str)]) {
    let mut text = String::new();
    for (at, command, more) in hooks {
        let _written = writeln!(
            text,
            "[[hooks]]\nat = \"{at}\"\ncommand = {command}\n{more}"
        );
    }
    std::fs::write(sandbox.path("atrest.toml"), text).unwrap();
}

fn lines(sandbox: &Sandbox, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(sandbox.path(file)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn hooks_run_at_their_points_and_are_told_no_secret() {
    let sandbox = fleet(&["a"], "2000", "");
    let note = script(
        &sandbox,
        "note",
        "echo \"$ATREST_STAGE $ATREST_INSTANCE $ATREST_OUTCOME $*\" >> points\nenv >> environment\nwc -l < requests.jsonl >> positions",
    );
    let command = format!("[\"{note}\", \"one argument\"]");
    let stages = [
        "before-quiesce",
        "after-quiesce",
        "before-cutover",
        "after-cutover",
        "after-run",
        "on-failure",
    ];
    configure(
        &sandbox,
        &stages.map(|stage| (stage, command.as_str(), "inherit = [\"SITE\"]")),
    );
    let made = plan(&sandbox, "hooked", &[]).expect(0).json();
    let steps = made["migrations"][0]["steps"].as_array().unwrap();
    let hooks: Vec<&str> = steps
        .iter()
        .filter(|step| step["action"]["kind"] == "hook")
        .map(|step| step["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        hooks,
        [
            "hook:before-quiesce:1",
            "hook:after-quiesce:1",
            "hook:before-cutover:1",
            "hook:after-cutover:1"
        ]
    );
    let shown = sandbox.run(&["fix", "atrest-plan.json"]).expect(0);
    assert!(
        shown.stdout.contains("\"one argument\"; stops if it fails"),
        "{}",
        shown.stdout
    );

    let secret = [
        ("SITE", "shop"),
        ("OTHER", "no"),
        ("ATREST_MYSQL_PASSWORD", "hunter2"),
    ];
    run_to_end(&sandbox, &execute(&["--stop-before", "cutover"]), &secret).expect(20);
    assert_eq!(
        lines(&sandbox, "points").len(),
        2,
        "the cutover's own hook must wait for it"
    );
    run_to_end(&sandbox, &resume("hooked", &[]), &secret).expect(0);
    assert_eq!(
        lines(&sandbox, "points"),
        [
            "before-quiesce a  one argument",
            "after-quiesce a  one argument",
            "before-cutover a  one argument",
            "after-cutover a  one argument",
            "after-run  migrated one argument",
        ]
    );
    let environment = lines(&sandbox, "environment").join("\n");
    assert!(environment.contains("SITE=shop") && environment.contains("ATREST_RUN=hooked"));
    for secret in ["hunter2", "OTHER=", "AWS_SECRET", "AWS_ACCESS_KEY"] {
        assert!(!environment.contains(secret), "{secret}");
    }
    // Where they stand in the request log.
    let requests = sandbox.requests();
    let position = |action: &str, name: &str| {
        let is = |r: &crate::harness::Request| {
            r.action == action && (name.is_empty() || r.param("NewDBInstanceIdentifier") == name)
        };
        requests.iter().position(is).unwrap()
    };
    let at: Vec<usize> = lines(&sandbox, "positions")
        .iter()
        .map(|line| line.trim().parse().unwrap())
        .collect();
    let order = [
        position("AddTagsToResource", ""),
        at[0],
        position("ModifyDBInstance", "old-a") + 1,
        at[1],
        position("CreateDBSnapshot", "") + 1,
        at[2],
        position("ModifyDBInstance", "a") + 1,
        at[3],
    ];
    assert!(order.is_sorted(), "{order:?}");
    // A run that has arrived arrives once.
    run_to_end(&sandbox, &resume("hooked", &[]), &secret).expect(0);
    assert_eq!(lines(&sandbox, "points").len(), 5);
    // What was said is in the audit trail.
    let trail = sandbox
        .run(&["status", "hooked", "--journal"])
        .expect(0)
        .stdout;
    assert!(trail.contains("exit status 0"), "{trail}");

    // A plan is carried out with the hooks that it shows, or not at all.
    configure(&sandbox, &[("after-run", "[\"/bin/true\"]", "")]);
    let refused = sandbox.run(&execute(&[])).expect(22);
    assert!(
        refused.stderr.contains("hooks of the configuration"),
        "{}",
        refused.stderr
    );
    assert!(sandbox.stop().success());
}

#[test]
fn a_hook_that_fails_or_hangs_stops_its_migration_or_is_passed_over() {
    let sandbox = fleet(&["a"], "2000", "");
    let fragile = script(
        &sandbox,
        "fragile",
        "test -e mended && exit 0\necho 'the site is still up' >&2\nexit 3",
    );
    let hangs = script(&sandbox, "hangs", "sleep 1000");
    let note = script(
        &sandbox,
        "note",
        "echo \"$ATREST_STAGE $ATREST_MIGRATION $ATREST_OUTCOME\" >> points",
    );
    let (fragile, hangs, note) = (
        format!("[\"{fragile}\"]"),
        format!("[\"{hangs}\"]"),
        format!("[\"{note}\"]"),
    );
    configure(
        &sandbox,
        &[
            (
                "before-quiesce",
                &hangs,
                "timeout = \"1s\"\non_failure = \"continue\"",
            ),
            ("before-quiesce", &fragile, ""),
            ("on-failure", &note, ""),
        ],
    );
    plan(&sandbox, "fragile", &[]).expect(0);
    let ended = sandbox.run(&execute(&[])).expect(24);
    let (what, reason) = outcome(&ended.json(), "a");
    assert_eq!(what, "needs-operator");
    assert!(
        reason.contains("exit status 3") && reason.contains("the site is still up"),
        "{reason}"
    );
    assert!(
        ended.stderr.contains("ended after its timeout of 1 s"),
        "{}",
        ended.stderr
    );
    assert_eq!(
        lines(&sandbox, "points"),
        ["on-failure eu-central-1/a needs-operator"]
    );
    let renames = |sandbox: &Sandbox| {
        sandbox
            .mutations()
            .iter()
            .any(|r| r.action == "ModifyDBInstance")
    };
    assert!(
        !renames(&sandbox),
        "clients lost a database although the site was up"
    );
    std::fs::write(sandbox.path("mended"), "").unwrap();
    sandbox.run(&resume("fragile", &[])).expect(0);
    assert!(renames(&sandbox));
    assert!(sandbox.stop().success());
}

#[test]
fn a_hook_that_was_cut_off_is_not_run_again_unasked() {
    for (repeat, answer) in [(false, "done"), (false, "again"), (true, "")] {
        let sandbox = fleet(&["a"], "2000", "");
        let once = script(
            &sandbox,
            "once",
            "echo began >> began\ntest -e second && exit 0\nexec sleep 1000",
        );
        let more = if repeat { "repeat = true" } else { "" };
        configure(
            &sandbox,
            &[("before-quiesce", &format!("[\"{once}\"]"), more)],
        );
        plan(&sandbox, "cut", &[]).expect(0);
        let mut child = until(&sandbox, &execute(&[]), |r| r.action == "AddTagsToResource");
        while lines(&sandbox, "began").is_empty() {
            assert!(child.try_wait().unwrap().is_none());
            pause();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        std::fs::write(sandbox.path("second"), "").unwrap();
        end_left_over(&once);
        if repeat {
            sandbox.run(&resume("cut", &[])).expect(0);
        } else {
            let asked = sandbox.run(&resume("cut", &[])).expect(24).json();
            let (_, reason) = outcome(&asked, "a");
            assert!(
                reason.contains("before it was known how it ended"),
                "{reason}"
            );
            assert_eq!(lines(&sandbox, "began").len(), 1);
            sandbox
                .run(&resume("cut", &["--interrupted-hooks", answer]))
                .expect(0);
        }
        let runs = if answer == "done" { 1 } else { 2 };
        assert_eq!(lines(&sandbox, "began").len(), runs, "{answer}");
        assert!(sandbox.stop().success());
    }
}

/// The hook's process outlives the one that was killed; it is this test's to end. `sleep` has taken the script's place
/// and kept its group and folder.
fn end_left_over(script: &str) {
    let folder = std::path::Path::new(script)
        .parent()
        .unwrap()
        .canonicalize()
        .unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    for process in processes {
        let Some(id) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        let is_sleep = std::fs::read(process.path().join("cmdline"))
            .is_ok_and(|line| line.starts_with(b"sleep\x001000"));
        let is_here = std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == folder);
        if let (true, true, Some(id)) = (is_sleep, is_here, rustix::process::Pid::from_raw(id)) {
            rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
        }
    }
}

#[test]
fn a_program_that_is_not_there_is_found_before_the_night() {
    let sandbox = fleet(&["a"], "2000", "");
    configure(&sandbox, &[("after-run", "[\"./nowhere\"]", "")]);
    plan(&sandbox, "r", &[]).expect(0);
    let refused = sandbox.run(&execute(&[])).expect(2);
    assert!(refused.stderr.contains("./nowhere"), "{}", refused.stderr);
    for (bad, words) in [
        ("at = \"sometime\"\ncommand = [\"x\"]", "unknown variant"),
        ("at = \"after-run\"\ncommand = []", "command is empty"),
        (
            "at = \"after-run\"\ncommand = \"x y\"",
            "expected a sequence",
        ),
        (
            "at = \"after-run\"\ncommand = [\"x\"]\ntimeout = \"5\"",
            "timeout",
        ),
        (
            "at = \"after-run\"\ncommand = [\"x\"]\ninherit = [\"ATREST_MYSQL_PASSWORD\"]",
            "not handed on",
        ),
        (
            "at = \"after-run\"\ncommand = [\"x\"]\nshell = true",
            "unknown field",
        ),
    ] {
        std::fs::write(sandbox.path("atrest.toml"), format!("[[hooks]]\n{bad}\n")).unwrap();
        let refused = plan(&sandbox, "r", &[]).expect(2);
        assert!(refused.stderr.contains(words), "{bad}: {}", refused.stderr);
    }
    assert!(sandbox.mutations().is_empty());
    assert!(sandbox.stop().success());
}
