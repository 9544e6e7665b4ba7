//! Many migrations in one run: waves, quotas, how much may be changed, pause, and two runs that want the same.

use std::fmt::Write as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use atrest_model::instance::Encryption;
use serde_json::Value;

use crate::harness::{Finished, Request, Sandbox, Start, finish, pause};

pub(crate) const REGION: &str = "eu-central-1";
pub(crate) const PACE: [&str; 4] = ["--poll-interval", "20ms", "--consistency-window", "500ms"];

/// Sources of 10, 20, 30 ... GiB by these names, one instance that is encrypted, and what is added.
pub(crate) fn fleet(names: &[&str], speed: &str, added: &str) -> Sandbox {
    let mut text = "[[accounts]]\nid = \"111122223333\"\naccess_key_id = \"AKIASANDBOX000000001\"\n\
         [[keys]]\nalias = \"alias/mine\"\nregions = [\"eu-central-1\"]\n\
         [[instances]]\nid = \"safe\"\nengine = \"mariadb\"\nengine_version = \"10.11.9\"\nclass = \"db.t4g.small\"\nallocated_storage = 20\nkms_key = \"alias/mine\"\n"
        .to_owned();
    for (name, number) in names.iter().zip(1..) {
        let gib = 10 + number * 10;
        let _written = write!(
            text,
            "[[instances]]\nid = \"{name}\"\nengine = \"mariadb\"\nengine_version = \"10.11.9\"\nclass = \"db.m5.large\"\nallocated_storage = {gib}\nbackup_retention = 1\n"
        );
    }
    text.push_str(added);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fleet.toml");
    std::fs::write(&path, text).unwrap();
    Sandbox::start(&Start {
        scenario: path.to_str().unwrap(),
        engines: "none",
        speed,
    })
}

pub(crate) fn plan(sandbox: &Sandbox, run: &str, more: &[&str]) -> Finished {
    let args = [
        &[
            "plan",
            "--region",
            REGION,
            "--kms-key",
            "alias/mine",
            "--mysql",
            "off",
            "--run",
            run,
            "--format",
            "json",
        ][..],
        more,
    ]
    .concat();
    sandbox.run(&args)
}

pub(crate) fn execute<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [
        &["fix", "atrest-plan.json", "--execute", "--format", "json"][..],
        &PACE,
        more,
    ]
    .concat()
}

pub(crate) fn resume<'a>(run: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [
        &["fix", "--resume", run, "--format", "json"][..],
        &PACE,
        more,
    ]
    .concat()
}

/// `outcome` and `reason` of a migration.
pub(crate) fn outcome(report: &Value, name: &str) -> (String, String) {
    let id = format!("{REGION}/{name}");
    let migrations = report["migrations"].as_array().unwrap();
    let one = migrations
        .iter()
        .find(|m| m["migration"] == id.as_str())
        .unwrap();
    let text = |key: &str| one["outcome"][key].as_str().unwrap_or_default().to_owned();
    (text("outcome"), text("reason"))
}

/// Whether a mutation is about the instance, or what is made of it.
fn is_about(request: &Request, name: &str) -> bool {
    [
        "DBInstanceIdentifier",
        "NewDBInstanceIdentifier",
        "ResourceName",
        "SourceDBInstanceIdentifier",
    ]
    .iter()
    .map(|param| request.param(param))
    .any(|text| {
        let bare = text.rsplit(':').next().unwrap_or(text);
        [
            name.to_owned(),
            format!("old-{name}"),
            format!("new-{name}"),
        ]
        .contains(&bare.to_owned())
    })
}

/// Starts a command and gives it back as soon as a mutation is in the log.
pub(crate) fn until(sandbox: &Sandbox, args: &[&str], seen: impl Fn(&Request) -> bool) -> Child {
    let mut child = sandbox
        .command(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while !sandbox.mutations().iter().any(&seen) {
        if let Some(status) = child.try_wait().unwrap() {
            let output = child.wait_with_output().unwrap();
            panic!(
                "ended with {status} before: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        assert!(began.elapsed() < Duration::from_secs(120), "it never came");
        pause();
    }
    child
}

#[test]
fn a_wave_begins_when_the_one_before_has_ended() {
    let sandbox = fleet(&["a", "b", "c", "d"], "2000", "");
    let made = plan(&sandbox, "waves", &["--waves", "canary,2"])
        .expect(0)
        .json();
    let wave = |name: &str| {
        let id = format!("{REGION}/{name}");
        let migrations = made["migrations"].as_array().unwrap();
        migrations.iter().find(|m| m["id"] == id.as_str()).unwrap()["wave"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(
        ["a", "b", "c", "d"].map(wave),
        [1, 2, 2, 3],
        "the smallest first"
    );
    let shown = sandbox.run(&["fix", "atrest-plan.json"]).expect(0);
    assert!(
        shown
            .stdout
            .contains("wave 2: eu-central-1/b, eu-central-1/c"),
        "{}",
        shown.stdout
    );
    let ended = sandbox.run(&execute(&[])).expect(0);
    assert!(
        ended.stderr.contains("wave 3 of 3: 1 migration"),
        "{}",
        ended.stderr
    );

    let mutations = sandbox.mutations();
    let first = |name: &str| mutations.iter().position(|r| is_about(r, name)).unwrap();
    let last = |name: &str| mutations.iter().rposition(|r| is_about(r, name)).unwrap();
    assert!(last("a") < first("b").min(first("c")));
    assert!(last("b").max(last("c")) < first("d"));
    // Within a wave they are side by side.
    assert!(first("c") < last("b") && first("b") < last("c"));
    assert!(sandbox.stop().success());
}

#[test]
fn a_canary_that_fails_keeps_the_others_from_being_begun() {
    let broken = "[[faults]]\nname = \"broken\"\nkind = \"state\"\ntarget = \"new-a\"\nto = \"incompatible-restore\"\nwhen = \"next-available\"\naction = \"RestoreDBInstanceFromDBSnapshot\"\n";
    let sandbox = fleet(&["a", "b", "c"], "2000", broken);
    plan(&sandbox, "canary", &["--waves", "canary"]).expect(0);
    let report = sandbox.run(&execute(&[])).expect(24).json();
    assert_eq!(outcome(&report, "a").0, "needs-operator");
    for name in ["b", "c"] {
        let (outcome, reason) = outcome(&report, name);
        assert_eq!(outcome, "stopped");
        assert!(
            reason.contains("wave 2 was not begun") && reason.contains("eu-central-1/a failed"),
            "{reason}"
        );
        assert!(
            !sandbox.mutations().iter().any(|r| is_about(r, name)),
            "{name} was touched"
        );
    }
    // A failure that is put up with.
    let report = sandbox
        .run(&resume("canary", &["--max-failures", "1"]))
        .expect(24)
        .json();
    assert_eq!(outcome(&report, "a").0, "needs-operator");
    for name in ["b", "c"] {
        assert_eq!(outcome(&report, name).0, "migrated");
    }
    assert!(sandbox.stop().success());
}

#[test]
fn what_does_not_fit_the_quota_waits_and_is_never_begun() {
    // Five there, room for three more.
    let sandbox = fleet(&["a", "b", "c", "d"], "2000", "[quotas]\ninstances = 8\n");
    // Without waves the plan is blocked, as nothing would be left to wait for.
    plan(&sandbox, "all", &[]).expect(24);
    let made = plan(&sandbox, "waves", &["--waves", "2"]).expect(0).json();
    let checks = made["checks"].as_array().unwrap();
    let quota = checks
        .iter()
        .find(|check| check["check"] == "quota-instances")
        .unwrap();
    assert_eq!(quota["verdict"]["is"], "warns");
    assert!(
        quota["detail"]
            .as_str()
            .unwrap()
            .contains("enough up to wave 1"),
        "{quota}"
    );

    let report = sandbox
        .run(&execute(&["--quota-wait", "300ms"]))
        .expect(20)
        .json();
    let arrived: Vec<&str> = ["a", "b", "c", "d"]
        .into_iter()
        .filter(|name| outcome(&report, name).0 == "migrated")
        .collect();
    // Of the second wave one fits, the longest is asked first.
    assert_eq!(arrived, ["a", "b", "d"]);
    let (_, reason) = outcome(&report, "c");
    assert!(
        reason.contains("0 of 8 are left in eu-central-1"),
        "{reason}"
    );
    assert!(
        !sandbox.mutations().iter().any(|r| is_about(r, "c")),
        "clients of c lost it for nothing"
    );
    assert!(
        sandbox
            .requests()
            .iter()
            .all(|r| r.code != "InstanceQuotaExceeded")
    );

    // Somebody makes room.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let rds = sandbox.aws(REGION).rds(REGION);
    let delete = rds
        .client()
        .delete_db_instance()
        .db_instance_identifier("old-a");
    runtime
        .block_on(delete.skip_final_snapshot(true).send())
        .unwrap();
    let began = Instant::now();
    while sandbox.instances(REGION).contains_key("old-a") {
        assert!(began.elapsed() < Duration::from_secs(60));
        pause();
    }
    let report = sandbox.run(&resume("waves", &[])).expect(0).json();
    assert_eq!(outcome(&report, "c").0, "migrated");
    assert!(sandbox.stop().success());
}

#[test]
fn a_plan_that_changes_too_much_is_refused_when_it_is_made_and_when_it_is_carried_out() {
    let sandbox = fleet(&["a", "b", "c"], "2000", "");
    for more in [["--max-instances", "2"], ["--max-percent", "74.9"]] {
        let refused = plan(&sandbox, "r", &more).expect(24);
        assert!(refused.stderr.contains(more[0]), "{}", refused.stderr);
        assert!(!sandbox.path("atrest-plan.json").exists());
    }
    plan(
        &sandbox,
        "r",
        &["--max-instances", "3", "--max-percent", "75"],
    )
    .expect(0);
    let refused = sandbox.run(&execute(&["--max-instances", "2"])).expect(24);
    assert!(
        refused.stderr.contains("changes 3 DB instances"),
        "{}",
        refused.stderr
    );
    // What the configuration says counts as well.
    std::fs::write(sandbox.path("atrest.toml"), "[fleet]\nmax_percent = 50.0\n").unwrap();
    let refused = sandbox.run(&execute(&[])).expect(24);
    assert!(
        refused.stderr.contains("3 of the 4 DB instances"),
        "{}",
        refused.stderr
    );
    assert!(sandbox.mutations().is_empty());
    assert!(sandbox.stop().success());
}

#[test]
fn a_pause_sees_through_what_is_under_way_and_begins_nothing_new() {
    let sandbox = fleet(&["a", "b"], "300", "");
    plan(&sandbox, "calm", &[]).expect(0);
    sandbox.run(&["fix", "--pause", "calm"]).expect(2);
    let child = until(&sandbox, &execute(&[]), |r| r.action == "CreateDBSnapshot");
    sandbox.run(&["fix", "--pause", "calm"]).expect(0);
    // Asked twice is asked once.
    let again = sandbox.run(&["fix", "--pause", "calm"]);
    assert!([0, 2].contains(&again.code), "{}", again.stderr);
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(20),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for name in ["a", "b"] {
        assert_eq!(
            outcome(&report, name),
            ("stopped".to_owned(), "paused".to_owned())
        );
    }
    // What had been begun is done: nothing is open in the journal.
    let status = sandbox
        .run(&["status", "calm", "--format", "json"])
        .expect(0)
        .json();
    for migration in status["migrations"].as_array().unwrap() {
        assert_eq!(
            migration["current"].as_array().unwrap().len(),
            0,
            "{migration}"
        );
        assert!(
            migration["steps_done"].as_u64() < migration["steps"].as_u64(),
            "{migration}"
        );
    }
    let report = sandbox.run(&resume("calm", &[])).expect(0).json();
    assert_eq!(outcome(&report, "a").0, "migrated");
    assert_eq!(outcome(&report, "b").0, "migrated");
    assert!(sandbox.stop().success());
}

#[test]
fn all_stop_before_the_cutover_and_cut_over_together() {
    let sandbox = fleet(&["a", "b", "c"], "2000", "");
    plan(&sandbox, "night", &["--waves", "1,5"]).expect(0);
    let report = sandbox
        .run(&execute(&["--stop-before", "cutover"]))
        .expect(20)
        .json();
    for name in ["a", "b", "c"] {
        let (outcome, reason) = outcome(&report, name);
        assert_eq!(outcome, "stopped");
        assert_eq!(reason, "asked to stop before it");
    }
    let before = sandbox.mutations().len();
    sandbox.run(&resume("night", &[])).expect(0);
    let cutover = &sandbox.mutations()[before..];
    let names: Vec<&str> = cutover
        .iter()
        .map(|r| r.param("NewDBInstanceIdentifier"))
        .collect();
    assert_eq!(names.len(), 3, "{cutover:?}");
    for name in ["a", "b", "c"] {
        assert!(names.contains(&name));
        assert_eq!(
            sandbox.instances(REGION)[name].encryption(),
            Encryption::SseKms
        );
    }
    assert!(sandbox.stop().success());
}

#[test]
fn an_instance_of_another_run_is_left_out_with_its_name() {
    let sandbox = fleet(&["a", "b"], "2000", "");
    plan(
        &sandbox,
        "first",
        &["--instance", "a", "--out", "first.json"],
    )
    .expect(0);
    plan(&sandbox, "second", &["--out", "second.json"]).expect(0);
    let begin =
        |plan: &'static str| [&["fix", plan, "--execute", "--format", "json"][..], &PACE].concat();
    sandbox
        .run(&[&begin("first.json")[..], &["--stop-before", "snapshot"]].concat())
        .expect(20);
    // A plan that was made before.
    let refused = sandbox.run(&begin("second.json")).expect(22);
    assert!(!refused.stderr.is_empty());
    let third = plan(&sandbox, "third", &["--out", "third.json"])
        .expect(0)
        .json();
    let left = &third["left_out"][0];
    assert!(
        left["arn"].as_str().unwrap().ends_with(":db:old-a"),
        "{left}"
    );
    assert!(
        left["reason"]
            .as_str()
            .unwrap()
            .contains("claimed by run first"),
        "{left}"
    );
    let planned: Vec<&str> = third["migrations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["id"].as_str().unwrap())
        .collect();
    assert_eq!(planned, ["eu-central-1/b"]);
    // Both run to their ends, and neither touches what is the other's.
    sandbox.run(&begin("third.json")).expect(0);
    sandbox.run(&resume("first", &[])).expect(0);
    let fourth = plan(&sandbox, "fourth", &["--out", "fourth.json"])
        .expect(24)
        .json();
    for left in fourth["left_out"].as_array().unwrap() {
        let reason = left["reason"].as_str().unwrap();
        assert!(reason.contains("kept as the way back"), "{reason}");
    }
    assert!(sandbox.stop().success());
}

/// Runs to the end with a deadline, for commands that were set up with more than arguments.
pub(crate) fn run_to_end(sandbox: &Sandbox, args: &[&str], env: &[(&str, &str)]) -> Finished {
    let mut command = sandbox.command(args);
    command.envs(env.iter().copied());
    finish(command, Duration::from_secs(240))
}
