//! Scans at their edges: a shared snapshot, a list that ends early, some policies only, long sessions, progress, and an
//! end that is wished for twice.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Finished, Sandbox, Start, finish, pause};

const OWNER: &str = "111122223333";
const FIRST: &str = "444455556666";
const SECOND: &str = "777788889999";

/// Three accounts, each with a role for the scan.
const ACCOUNTS: &str = r#"
[[accounts]]
id = "111122223333"
access_key_id = "AKIAOWNER000000001"

[[accounts]]
id = "444455556666"
access_key_id = "AKIAFIRST000000001"

[[accounts]]
id = "777788889999"
access_key_id = "AKIASECOND00000001"

[organization]
accounts = [{ id = "111122223333" }, { id = "444455556666" }, { id = "777788889999" }]
"#;

fn start(scenario: &str) -> (Sandbox, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("edges.toml");
    std::fs::write(&file, format!("{ACCOUNTS}{scenario}")).unwrap();
    let sandbox = Sandbox::start(&Start {
        scenario: file.to_str().unwrap(),
        engines: "none",
        speed: "1",
    });
    (sandbox, dir)
}

fn rows<'a>(report: &'a Value, list: &str) -> &'a Vec<Value> {
    report[list]
        .as_array()
        .unwrap_or_else(|| panic!("no {list} in {report:#}"))
}

/// The changes of a report's findings and how often each is there; `null` for those without one.
fn changes(report: &Value) -> BTreeMap<String, usize> {
    let mut changes = BTreeMap::new();
    for finding in rows(report, "findings") {
        *changes.entry(finding["change"].to_string()).or_default() += 1;
    }
    changes
}

const SHARED: &str = r#"
[[instances]]
id = "source"
engine = "mysql"
engine_version = "8.0.39"
server = false

[[snapshots]]
id = "shared"
instance = "source"
shared_with = ["444455556666", "777788889999"]
"#;

#[test]
fn a_snapshot_that_several_accounts_see_is_one_row_of_its_owner_or_of_the_first_that_sees_it() {
    let (sandbox, _dir) = start(SHARED);
    let scan = [
        "scan",
        "--region",
        "eu-central-1",
        "--format",
        "json",
        "--exit-zero",
    ];
    let arn = "arn:aws:rds:eu-central-1:111122223333:snapshot:shared";
    let seen = |more: &[&str], account: &str| {
        let report = sandbox.run(&[&scan[..], more].concat()).expect(0).json();
        let of_it: Vec<&Value> = rows(&report, "resources")
            .iter()
            .filter(|row| row["arn"] == arn)
            .collect();
        assert_eq!(of_it.len(), 1, "{of_it:#?}");
        assert_eq!(of_it[0]["account"], account);
        let ids: Vec<&Value> = rows(&report, "findings").iter().map(|f| &f["id"]).collect();
        let unique: BTreeSet<String> = ids.iter().map(ToString::to_string).collect();
        assert_eq!(ids.len(), unique.len(), "{ids:?}");
        let finding = rows(&report, "findings")
            .iter()
            .find(|f| f["resource"] == arn && f["policy"] == "snapshot-unencrypted")
            .unwrap()
            .clone();
        let foreign = finding["reason"]
            .as_str()
            .unwrap()
            .contains("shared by another account");
        assert_eq!(foreign, account != OWNER, "{finding}");
        finding["id"].clone()
    };
    let others = format!("{SECOND},{FIRST}");
    let whole = seen(&["--org"], OWNER);
    // The id is that of the snapshot, whoever speaks of it.
    assert_eq!(seen(&["--account", &others], FIRST), whole);
    assert_eq!(seen(&["--account", SECOND], SECOND), whole);
}

/// Nine instances, two to a page.
const PAGES: &str = r#"
[knobs]
page_limit = 2

[[instances]]
id = "db"
count = 9
engine = "mysql"
engine_version = "8.0.39"
server = false
"#;

#[test]
fn a_list_that_ends_early_is_judged_as_far_as_it_goes_and_never_complete() {
    // The third page of the second scan.
    let fault = "[[faults]]\naction = \"DescribeDBInstances\"\nnth = 8\nkind = \"error\"\ncode = \"AccessDenied\"\n";
    let (sandbox, _dir) = start(&format!("{PAGES}{fault}"));
    let first = sandbox.path("first.json").to_str().unwrap().to_owned();
    let scan = ["scan", "--region", "eu-central-1", "--format", "json"];
    let instances = |report: &Value| {
        let all = rows(report, "resources").iter();
        all.filter(|row| row["type"] == "db-instance").count()
    };
    let whole = sandbox.run(&[&scan[..], &["--save", &first]].concat());
    let whole = whole.expect(10).json();
    assert_eq!(instances(&whole), 9);
    let cut = [&scan[..], &["--exit-zero", "--baseline", &first]].concat();
    let cut = sandbox.run(&cut).expect(4).json();
    assert_eq!(instances(&cut), 4);
    assert_eq!(cut["complete"], false);
    let holes = rows(&cut, "unread");
    assert_eq!(holes.len(), 1, "{holes:?}");
    assert_eq!(holes[0]["kind"], "db-instance");
    let reason = holes[0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("ends after 4") && reason.contains("AccessDenied"),
        "{reason}"
    );
    // Nobody looked at the others: they are not mended.
    assert_eq!(rows(&cut["baseline"], "fixed").len(), 0);
    assert!(rows(&cut["baseline"], "unknown").len() >= 5);
}

#[test]
fn some_policies_only_are_asked_and_a_baseline_of_fewer_calls_nothing_new_or_mended() {
    let sandbox = Sandbox::start(&Start {
        scenario: "seed-story",
        engines: "none",
        speed: "1",
    });
    let path = |name: &str| sandbox.path(name).to_str().unwrap().to_owned();
    let scan = |more: &[&str]| {
        let scan = ["scan", "--region", "eu-central-1", "--format", "json"];
        sandbox.run(&[&scan[..], more].concat())
    };
    let (few, all) = (path("few.json"), path("all.json"));
    let only = ["--only", "storage-unencrypted,key-unusable", "--save", &few];
    let one = scan(&only).expect(10).json();
    assert_eq!(
        rows(&one, "policies"),
        &["key-unusable", "storage-unencrypted"]
    );
    let asked: BTreeSet<&str> = rows(&one, "findings")
        .iter()
        .map(|finding| finding["policy"].as_str().unwrap())
        .collect();
    assert!(
        asked.contains("storage-unencrypted") && asked.len() <= 2,
        "{asked:?}"
    );
    let known = rows(&one, "findings").len();

    let more = scan(&["--baseline", &few, "--save", &all]);
    assert!(
        more.stderr.contains("neither new nor old"),
        "{}",
        more.stderr
    );
    let more = more.expect(10).json();
    let total = rows(&more, "findings").len();
    assert!(total > known);
    let expected = BTreeMap::from([
        ("\"unchanged\"".to_owned(), known),
        ("null".to_owned(), total - known),
    ]);
    assert_eq!(changes(&more), expected);
    // What no baseline speaks of is not excused by it.
    scan(&["--baseline", &few, "--fail-on-new"]).expect(10);

    // Nothing is read that no policy asks for.
    let details = || {
        let requests = sandbox.requests();
        ["DescribeKey", "DescribeDBParameters"]
            .map(|action| requests.iter().filter(|r| r.action == action).count())
    };
    let before = details();
    assert!(before.iter().all(|calls| *calls > 0), "{before:?}");
    let fewer = scan(&["--only", "storage-unencrypted", "--baseline", &all]);
    assert_eq!(details(), before);
    let fewer = fewer.expect(10).json();
    assert_eq!(rows(&fewer["baseline"], "fixed").len(), 0);
    let unknown = rows(&fewer["baseline"], "unknown").len();
    assert_eq!(unknown, total - rows(&fewer, "findings").len());

    let typo = scan(&["--only", "storage-unencripted"]).expect(2);
    assert!(
        typo.stderr.contains("did you mean storage-unencrypted"),
        "{}",
        typo.stderr
    );
    // It has no list of keys, so it would ask nothing.
    let idle = scan(&["--only", "key-not-expected"]).expect(2);
    assert!(idle.stderr.contains("is not asked"), "{}", idle.stderr);
}

#[test]
fn a_region_that_is_off_is_no_bad_credentials_for_any_verb() {
    let (sandbox, _dir) = start("");
    for verb in [
        &["plan", "--instance", "x", "--mysql", "off"][..],
        &["diff", "a=b", "--mysql", "off"],
        &["accounts", "export", "x"],
    ] {
        let run = sandbox.run(&[verb, &["--region", "af-south-1"]].concat());
        let run = run.expect(2);
        assert!(
            run.stderr.contains("not enabled") && run.stderr.contains("enable the region"),
            "{verb:?}: {}",
            run.stderr
        );
        assert!(!run.stderr.contains("AWS_PROFILE"), "{}", run.stderr);
        // With a key that nobody knows it is the key.
        let mut wrong = sandbox.command(&[verb, &["--region", "eu-central-1"]].concat());
        wrong.env("AWS_ACCESS_KEY_ID", "AKIAWRONG");
        let wrong = finish(wrong, Duration::from_secs(60)).expect(2);
        assert!(wrong.stderr.contains("AWS_PROFILE"), "{}", wrong.stderr);
    }
}

#[test]
fn sessions_that_end_during_a_scan_are_renewed() {
    let role =
        "[[roles]]\naccount = \"444455556666\"\nname = \"atrest-scan\"\nsession_seconds = 60\n";
    let (sandbox, _dir) = start(role);
    let scan = ["scan", "--account", FIRST, "--region", "eu-central-1"];
    let more = ["--region", "eu-west-1", "--format", "json"];
    let report = sandbox.run(&[&scan[..], &more].concat()).expect(0).json();
    assert_eq!(report["complete"], true, "{report:#}");
    let assumed = sandbox
        .requests()
        .into_iter()
        .filter(|request| request.action == "AssumeRole" && request.code.is_empty())
        .count();
    // A session with less than five minutes left is taken for one at its end, so every wish for credentials renews it.
    assert!(assumed > 1, "{assumed}");
}

#[test]
fn a_service_with_an_endpoint_of_its_own_is_asked_there_and_all_regions_at_the_common_one() {
    let encrypted = r#"
[[keys]]
alias = "alias/mine"

[[instances]]
id = "db"
engine = "mysql"
engine_version = "8.0.39"
kms_key = "alias/mine"
server = false
"#;
    let ((common, _common_dir), (kms, _kms_dir)) = (start(encrypted), start(encrypted));
    let mut command = common.command(&["scan", "--format", "json", "--exit-zero"]);
    command.env("AWS_ENDPOINT_URL_KMS", &kms.endpoint);
    let report = finish(command, Duration::from_secs(120)).expect(0).json();
    let regions: BTreeSet<String> = rows(&report, "regions")
        .iter()
        .map(|row| {
            assert_eq!(row["error"], Value::Null);
            row["region"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(regions.len() >= 17, "{regions:?}");
    let services = |sandbox: &Sandbox| -> BTreeSet<String> {
        sandbox.requests().into_iter().map(|r| r.service).collect()
    };
    assert_eq!(services(&kms), BTreeSet::from(["kms".to_owned()]));
    assert!(!services(&common).contains("kms"));
    let asked: BTreeSet<String> = common
        .requests()
        .into_iter()
        .filter(|request| request.service == "rds")
        .map(|request| request.region)
        .collect();
    assert_eq!(asked, regions);
}

/// One region answers, the other one never does; reports are long.
const FROZEN: &str = r#"
[[instances]]
id = "db"
count = 250
engine = "mysql"
engine_version = "8.0.39"
server = false

[[faults]]
kind = "freeze"
service = "rds"
region = "eu-west-1"
action = "DescribeDBInstances"
"#;

const TWO_REGIONS: [&str; 7] = [
    "scan",
    "--region",
    "eu-central-1",
    "--region",
    "eu-west-1",
    "--format",
    "json",
];

fn signal(child: &Child) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(sent.success());
}

/// Waits until `is_true`, and fails the test when that takes too long or the scan ends before.
fn until(child: &mut Child, what: &str, mut is_true: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_true() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        assert!(
            child.try_wait().unwrap().is_none(),
            "the scan has ended: {what}"
        );
        pause();
    }
}

#[test]
fn a_second_signal_ends_a_scan_that_is_busy_writing_and_no_file_is_half_written() {
    let (sandbox, _dir) = start(FROZEN);
    let save = sandbox.path("saved.json");
    let args = [&TWO_REGIONS[..], &["--save", save.to_str().unwrap()]].concat();
    let (reader, full) = full_pipe();
    let mut command = sandbox.command(&args);
    command.stdout(full).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let region_is_read = || {
        let requests = sandbox.requests();
        let answered = requests
            .iter()
            .filter(|r| r.region == "eu-central-1" && r.action.starts_with("DescribeDB"));
        answered.count() >= 8
    };
    until(&mut child, "no region was read", region_is_read);
    // Nobody reads its report, so that it waits in the middle of it. Signals within a second of the first are one wish.
    let began = Instant::now();
    let status: ExitStatus = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it does not end");
        signal(&child);
        pause();
    };
    assert_eq!(status.code(), Some(130));
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(said.contains("once more to stop at once"), "{said}");
    drop(reader);
    assert!(!save.exists());
}

/// A pipe that takes nothing more until somebody reads.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let waits = rustix::fs::fcntl_getfl(&writer).unwrap();
    rustix::fs::fcntl_setfl(&writer, waits | rustix::fs::OFlags::NONBLOCK).unwrap();
    for size in [4096, 1] {
        while std::io::Write::write(&mut writer, &vec![b' '; size]).is_ok() {}
    }
    rustix::fs::fcntl_setfl(&writer, waits).unwrap();
    (reader, writer)
}

#[test]
fn a_terminal_sees_how_far_the_scan_is_and_nothing_else_does() {
    let (sandbox, _dir) = start(FROZEN);
    let terminal = nix::pty::openpty(None, None).unwrap();
    let mut command = sandbox.command(&TWO_REGIONS);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::from(terminal.slave));
    let mut child = command.spawn().unwrap();
    // The command holds the terminal's other side too; reading ends when nobody holds it.
    drop(command);
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let reader = {
        let seen = std::sync::Arc::clone(&seen);
        let mut master = std::fs::File::from(terminal.master);
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            // Linux answers EIO when the other side is gone.
            while let Ok(read @ 1..) = master.read(&mut piece) {
                seen.lock().unwrap().extend_from_slice(&piece[..read]);
            }
        })
    };
    let text = || String::from_utf8_lossy(&seen.lock().unwrap()).into_owned();
    until(&mut child, "no progress was shown", || {
        text().contains("scanning: accounts 0/1, regions 1/2, ")
    });
    signal(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    reader.join().unwrap();
    let wiped = "\r\x1b[2K";
    let last = text().rfind(wiped).unwrap();
    assert!(!text()[last..].contains("scanning:"), "{:?}", text());
    assert!(serde_json::from_slice::<Value>(&output.stdout).is_ok());

    let quiet = |more: &[&str]| -> Finished {
        let scan = ["scan", "--region", "eu-central-1", "--exit-zero"];
        sandbox.run(&[&scan[..], more].concat()).expect(0)
    };
    assert!(!quiet(&["--no-progress"]).stderr.contains("scanning"));
}
