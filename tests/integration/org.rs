//! Scans of more than one account, of regions that cannot be read, under throttling, and broken off.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Sandbox, Start, finish, pause};

/// A management account, a member, one whose role has another name, a suspended one. The manager may not list regions
/// where `{manager}` says so.
const ORGANIZATION: &str = r#"
[[accounts]]
id = "111122223333"
access_key_id = "AKIAMANAGER0000001"
secret_access_key = "secret-of-the-manager"
{manager}

[[accounts]]
id = "444455556666"
access_key_id = "AKIAMEMBER00000001"
secret_access_key = "secret-of-the-member"

[[accounts]]
id = "777788889999"
access_key_id = "AKIADENIED00000001"

[[accounts]]
id = "222233334444"
access_key_id = "AKIASUSPENDED00001"

[organization]
management_account = "111122223333"
page_limit = 1
empty_pages = true
accounts = [
  { id = "444455556666" }, { id = "111122223333" }, { id = "777788889999" },
  { id = "222233334444", status = "SUSPENDED" },
]

[[roles]]
account = "444455556666"
name = "atrest-scan"
external_id = "e-1"
trusted = ["111122223333"]

[[roles]]
account = "777788889999"
name = "somebody-elses"

[[keys]]
alias = "alias/mine"

[[instances]]
id = "of-the-manager"
engine = "mysql"
engine_version = "8.0.39"
server = false

[[instances]]
id = "of-the-member"
account = "444455556666"
engine = "mysql"
engine_version = "8.0.39"
server = false
{faults}
"#;

fn start(manager: &str, faults: &str) -> (Sandbox, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("organization.toml");
    let text = ORGANIZATION
        .replace("{manager}", manager)
        .replace("{faults}", faults);
    std::fs::write(&file, text).unwrap();
    let sandbox = Sandbox::start(&Start {
        scenario: file.to_str().unwrap(),
        engines: "none",
        speed: "1",
    });
    (sandbox, dir)
}

/// The row of an account and region.
fn row<'a>(report: &'a Value, account: &str, region: &str) -> &'a Value {
    report["regions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["account"] == account && row["region"] == region)
        .unwrap_or_else(|| panic!("no {account} {region} in {:#}", report["regions"]))
}

fn error<'a>(report: &'a Value, account: &str, region: &str) -> &'a str {
    row(report, account, region)["error"]
        .as_str()
        .unwrap_or_default()
}

const ORG: [&str; 7] = [
    "scan",
    "--org",
    "--external-id",
    "e-1",
    "--format",
    "json",
    "--no-progress",
];

#[test]
fn an_organization_is_scanned_and_each_hole_has_its_reason() {
    let (sandbox, _dir) = start("", "");
    let scan = [&ORG[..], &["--region", "eu-central-1"]].concat();
    let report = sandbox.run(&scan).expect(10).json();
    assert_eq!(report["complete"], false);
    let found: BTreeSet<&str> = report["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|resource| resource["identifier"].as_str().unwrap())
        .collect();
    assert!(found.contains("of-the-manager") && found.contains("of-the-member"));
    assert_eq!(error(&report, "111122223333", "eu-central-1"), "");
    assert_eq!(error(&report, "444455556666", "eu-central-1"), "");
    assert!(error(&report, "777788889999", "*").contains("AccessDenied"));
    assert!(error(&report, "222233334444", "*").contains("SUSPENDED"));

    let assumed: Vec<_> = sandbox
        .requests()
        .into_iter()
        .filter(|request| request.action == "AssumeRole")
        .collect();
    // Once an account; none for the manager, none for the suspended one.
    assert_eq!(assumed.len(), 2);
    for request in &assumed {
        assert_eq!(request.param("RoleSessionName"), "atrest-scan");
        assert_eq!(request.param("ExternalId"), "e-1");
        assert!(request.param("RoleArn").ends_with(":role/atrest-scan"));
    }
    assert!(sandbox.mutations().is_empty());
}

#[test]
fn accounts_can_be_named_with_and_without_the_organization() {
    let (sandbox, _dir) = start("", "");
    let here = ["--region", "eu-central-1", "--account", "444455556666"];
    let one = [&ORG[..], &here].concat();
    let report = sandbox.run(&one).expect(10).json();
    assert_eq!(report["regions"].as_array().unwrap().len(), 1);
    assert_eq!(report["complete"], true);

    let without = [&["scan"], &ORG[2..], &here].concat();
    let report = sandbox.run(&without).expect(10).json();
    assert_eq!(error(&report, "444455556666", "eu-central-1"), "");
    let listed = |request: &crate::harness::Request| request.action == "ListAccounts";
    let lists = sandbox.requests().iter().filter(|r| listed(r)).count();
    assert!(lists > 0);

    let stranger = [&ORG[..], &["--account", "999999999999"]].concat();
    let refused = sandbox.run(&stranger).expect(2);
    assert!(
        refused.stderr.contains("999999999999"),
        "{}",
        refused.stderr
    );
    let short = sandbox.run(&["scan", "--account", "12"]).expect(2);
    assert!(short.stderr.contains("twelve digits"), "{}", short.stderr);
}

#[test]
fn profiles_are_another_way_to_several_accounts() {
    let (sandbox, _dir) = start("", "");
    let profile = |name: &str, key: &str, secret: &str| {
        format!("[{name}]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    };
    std::fs::create_dir(sandbox.path(".aws")).unwrap();
    let credentials = profile("a", "AKIAMANAGER0000001", "secret-of-the-manager")
        + &profile("b", "AKIAMEMBER00000001", "secret-of-the-member")
        + &profile("c", "AKIAWRONG", "nothing");
    std::fs::write(sandbox.path(".aws/credentials"), credentials).unwrap();
    let mut command = sandbox.command(&[
        "scan",
        "--profiles",
        "a,b,c",
        "--region",
        "eu-central-1",
        "--format",
        "json",
    ]);
    command
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY");
    let report = finish(command, Duration::from_secs(120)).expect(10).json();
    assert!(report["resources"].as_array().unwrap().len() >= 2);
    let lost = error(&report, "", "*");
    assert!(lost.contains("profile c"), "{lost}");
    assert_eq!(report["complete"], false);
}

#[test]
fn a_region_that_is_not_enabled_or_does_not_exist_says_so() {
    let (sandbox, _dir) = start("", "");
    let scan = ["scan", "--format", "json", "--region"];
    let off = sandbox
        .run(&[&scan[..], &["af-south-1"]].concat())
        .expect(3);
    let report = off.json();
    let reason = error(&report, "111122223333", "af-south-1");
    assert!(reason.contains("not enabled"), "{reason}");
    let typo = sandbox
        .run(&[&scan[..], &["eu-centrall-1"]].concat())
        .expect(2);
    assert!(
        typo.stderr.contains("did you mean eu-central-1"),
        "{}",
        typo.stderr
    );
    assert!(typo.stdout.is_empty());
}

#[test]
fn without_permission_to_list_regions_all_known_ones_are_tried() {
    let (sandbox, _dir) = start(r#"deny = ["account:ListRegions"]"#, "");
    let scan = sandbox.run(&["scan", "--format", "json"]).expect(10);
    let report = scan.json();
    assert!(report["regions"].as_array().unwrap().len() > 30);
    assert_eq!(error(&report, "111122223333", "eu-central-1"), "");
    assert!(error(&report, "111122223333", "af-south-1").contains("not enabled"));
    assert_eq!(report["complete"], false);
    assert!(
        scan.stderr.contains("account:ListRegions"),
        "{}",
        scan.stderr
    );
}

#[test]
fn throttling_is_waited_out_and_counted_and_given_up_where_it_never_ends() {
    let faults = r#"
[[faults]]
kind = "throttle"
service = "rds"
region = "eu-central-1"
rate = 20.0
burst = 2.0

[[faults]]
kind = "throttle"
service = "rds"
region = "eu-west-1"
times = 0
"#;
    let (sandbox, _dir) = start("", faults);
    let regions = ["--region", "eu-central-1", "--region", "eu-west-1"];
    let patience = ["--format", "json", "--throttle-patience", "1s"];
    let scan = [&["scan"], &regions[..], &patience].concat();
    let report = sandbox.run(&scan).expect(10).json();
    let slow = row(&report, "111122223333", "eu-central-1");
    assert_eq!(slow["error"], Value::Null);
    assert!(slow["throttled"].as_u64().unwrap() > 0, "{slow}");
    let lost = error(&report, "111122223333", "eu-west-1");
    assert!(
        lost.contains("Throttling") && lost.contains("times"),
        "{lost}"
    );
    assert_eq!(report["complete"], false);
}

#[test]
fn every_service_is_found_at_its_own_endpoint() {
    let (sandbox, _dir) = start("", "");
    let mut command = sandbox.command(&[&ORG[..], &["--account", "444455556666"]].concat());
    command.env_remove("AWS_ENDPOINT_URL");
    for service in ["RDS", "STS", "ORGANIZATIONS", "ACCOUNT", "KMS"] {
        command.env(format!("AWS_ENDPOINT_URL_{service}"), &sandbox.endpoint);
    }
    let report = finish(command, Duration::from_secs(120)).expect(10).json();
    // All enabled regions, and each of them answered.
    assert_eq!(report["complete"], true, "{:#}", report["regions"]);
    assert!(report["regions"].as_array().unwrap().len() >= 17);
    let services: BTreeSet<String> = sandbox.requests().into_iter().map(|r| r.service).collect();
    for service in ["rds", "sts", "organizations", "account"] {
        assert!(services.contains(service), "{services:?}");
    }
}

#[test]
fn an_interrupted_scan_reports_what_it_knows() {
    let faults = r#"
[[faults]]
kind = "freeze"
service = "rds"
region = "eu-west-1"
action = "DescribeDBInstances"
"#;
    let (sandbox, _dir) = start("", faults);
    let mut child = sandbox
        .command(&[
            "scan",
            "--region",
            "eu-central-1",
            "--region",
            "eu-west-1",
            "--format",
            "json",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // All listings of the region that answers; the other one never does.
    let began = Instant::now();
    let answered = || {
        let requests = sandbox.requests();
        let listings = requests.iter().filter(|request| {
            request.region == "eu-central-1"
                && request.service == "rds"
                && !request.action.contains("Parameters")
        });
        listings.count() >= 8
    };
    while !answered() {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "no region was read"
        );
        assert!(child.try_wait().unwrap().is_none(), "the scan has ended");
        pause();
    }
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["complete"], false);
    let lost = error(&report, "111122223333", "eu-west-1");
    assert!(lost.contains("interrupted"), "{lost}");
}

/// The lines of a file of JSON Lines but that of the scan itself, in order, and that one.
fn lines(file: &Path) -> (Vec<Value>, Vec<Value>) {
    let text = std::fs::read_to_string(file).unwrap();
    let parsed = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let (heads, mut lines): (Vec<Value>, Vec<Value>) =
        parsed.partition(|line| line["record"]["type"] == "scan");
    lines.sort_by_key(Value::to_string);
    (lines, heads)
}

#[test]
fn each_account_is_on_the_disk_as_soon_as_it_is_judged() {
    let (sandbox, dir) = start("", "");
    let (streamed, whole) = (dir.path().join("streamed"), dir.path().join("whole"));
    let jsonl = format!("jsonl={}", whole.display());
    let scan = [
        &ORG[..],
        &["--region", "eu-central-1", "--format", &jsonl, "--stream"],
        &[streamed.to_str().unwrap()],
    ];
    sandbox.run(&scan.concat()).expect(10);
    let (told, ends) = lines(&streamed);
    let (wanted, heads) = lines(&whole);
    assert_eq!(told, wanted);
    assert_eq!(ends, heads);
    let text = std::fs::read_to_string(&streamed).unwrap();
    assert!(text.lines().last().unwrap().contains(r#""type":"scan""#));
}

#[test]
fn a_scan_that_is_killed_leaves_the_accounts_it_had_judged() {
    let faults = r#"
[[faults]]
kind = "freeze"
service = "sts"
action = "AssumeRole"
"#;
    let (sandbox, dir) = start("", faults);
    let streamed = dir.path().join("streamed");
    let scan = [
        &ORG[..],
        &["--region", "eu-central-1", "--stream"],
        &[streamed.to_str().unwrap()],
    ];
    let mut child = sandbox
        .command(&scan.concat())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while !std::fs::read_to_string(&streamed).is_ok_and(|text| text.contains("of-the-manager")) {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing is told");
        assert!(child.try_wait().unwrap().is_none(), "the scan has ended");
        pause();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let (told, ends) = lines(&streamed);
    assert!(ends.is_empty(), "{ends:?}");
    let about = |account: &str| {
        let verdicts = told
            .iter()
            .filter(|line| line["record"]["type"] == "verdict");
        verdicts
            .filter(|line| line["record"]["resource"]["account"] == account)
            .count()
    };
    assert!(about("111122223333") > 0 && about("444455556666") == 0);
}

#[test]
fn the_policy_of_a_scan_is_what_a_scan_calls() {
    let (sandbox, _dir) = start("", "");
    let called = |sandbox: &Sandbox, account: &str| -> BTreeSet<String> {
        sandbox
            .requests()
            .into_iter()
            .filter(|request| request.account == account)
            .map(|request| format!("{}:{}", request.service, request.action))
            // It needs no permission.
            .filter(|action| action != "sts:GetCallerIdentity")
            .collect()
    };
    let allowed = |sandbox: &Sandbox, args: &[&str]| -> BTreeSet<String> {
        let policy = sandbox.run(args).expect(0).json();
        policy["Statement"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|statement| statement["Action"].as_array().unwrap())
            .map(|action| action.as_str().unwrap().to_owned())
            .collect()
    };
    // A scenario with keys, clusters and groups, so that everything is asked.
    let story = Sandbox::start(&Start {
        scenario: "seed-story",
        engines: "none",
        speed: "1",
    });
    story.run(&["scan", "--format", "json"]);
    let account = story.requests()[0].account.clone();
    assert_eq!(
        called(&story, &account),
        allowed(&story, &["iam-policy", "scan"])
    );
    sandbox.run(&ORG);
    let caller = called(&sandbox, "111122223333");
    let policy = allowed(&sandbox, &["iam-policy", "scan", "--org"]);
    assert!(caller.is_subset(&policy), "{caller:?}");
    for action in ["organizations:ListAccounts", "sts:AssumeRole"] {
        assert!(caller.contains(action) && policy.contains(action));
    }
}
