//! Scans by shards: the same report as one process makes, whatever is killed on the way, and no report at all when something
//! is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Finished, Sandbox, Start, finish, pause};

const REGIONS: [&str; 5] = [
    "ap-south-1",
    "eu-central-1",
    "eu-west-1",
    "us-east-1",
    "us-west-2",
];

/// Of eight accounts the last has a role of another name; a ninth is suspended.
const ACCOUNTS: usize = 8;
const DENIED: usize = 7;
const SUSPENDED: &str = "100000000099";
/// Its role may not do everything.
const SHY: usize = 6;
/// One of its regions refuses everything.
const BROKEN: usize = 5;

const BATCHES: usize = 8;

fn account(number: usize) -> String {
    format!("1000000000{:02}", number + 1)
}

fn fleet() -> String {
    let mut text = "[knobs]\ndescribe_lag = [0, 0]\n".to_owned();
    let mut members = format!("{{ id = \"{SUSPENDED}\", status = \"SUSPENDED\" }}");
    for number in 0..ACCOUNTS {
        let id = account(number);
        write!(
            text,
            "[[accounts]]\nid = \"{id}\"\naccess_key_id = \"AKIASHARDS{number:08}\"\n"
        )
        .unwrap();
        write!(members, ", {{ id = \"{id}\" }}").unwrap();
        let role = if number == DENIED {
            "other"
        } else {
            "atrest-scan"
        };
        let deny = if number == SHY {
            "deny = [\"rds:DescribeExportTasks\", \"kms:DescribeKey\"]\n"
        } else {
            ""
        };
        write!(
            text,
            "[[roles]]\naccount = \"{id}\"\nname = \"{role}\"\nexternal_id = \"e-1\"\n{deny}"
        )
        .unwrap();
        for region in REGIONS {
            let place = format!("account = \"{id}\"\nregion = \"{region}\"\n");
            write!(text, "[[keys]]\nalias = \"alias/mine\"\n{place}").unwrap();
            write!(
            text,
                "[[instances]]\nid = \"db\"\n{place}engine = \"mysql\"\nengine_version = \"8.0.39\"\nserver = false\n\
                 backup_retention = 3\ntags = [{{ key = \"env\", value = \"dev-{number}\" }}]\n"
            ).unwrap();
            write!(
            text,
                "[[instances]]\nid = \"safe\"\n{place}engine = \"mysql\"\nengine_version = \"8.0.39\"\nserver = false\n\
                 kms_key = \"alias/mine\"\n"
            ).unwrap();
        }
        let home = format!("account = \"{id}\"\nregion = \"eu-central-1\"\n");
        write!(
            text,
            "[[clusters]]\nid = \"aurora\"\n{home}engine = \"aurora-mysql\"\nengine_version = \"8.0.mysql_aurora.3.05.2\"\n\
             [[instances]]\nid = \"aurora-1\"\n{home}cluster = \"aurora\"\ncluster_writer = true\nserver = false\n\
             class = \"db.r6g.large\"\n"
        ).unwrap();
        // Two others see it, and of the denied account nobody else can tell.
        if number == 1 || number == DENIED {
            let (second, third) = (account(2), account(3));
            write!(
            text,
                "[[snapshots]]\nid = \"shared\"\n{home}instance = \"db\"\nshared_with = [\"{second}\", \"{third}\"]\n"
            ).unwrap();
        }
    }
    write!(
        text,
        "[[accounts]]\nid = \"{SUSPENDED}\"\naccess_key_id = \"AKIASUSPENDED00001\"\n\
         [organization]\nmanagement_account = \"{}\"\naccounts = [{members}]\n",
        account(0)
    )
    .unwrap();
    write!(
            text,
        "[[faults]]\nkind = \"error\"\ncode = \"AccessDenied\"\nmessage = \"an SCP forbids it\"\nstatus = 403\n\
         service = \"rds\"\naccount = \"{}\"\nregion = \"us-west-2\"\ntimes = 0\n",
        account(BROKEN)
    ).unwrap();
    text
}

/// What only a whole account can answer, a waiver that holds and one for nothing.
const POLICY: &str = r#"
[[policies]]
id = "one-database-an-account"
title = "an account has the database once"
severity = "low"
resource = "db-instance"
applies = 'resource.DBInstanceIdentifier == "db"'
check = 'fleet.instances.filter(i, i.DBInstanceIdentifier == "db").size() == 1'
message = "it is there more than once"
"#;

const WAIVERS: &str = r#"
[[waivers]]
policy = "storage-unencrypted"
tags = { env = "dev-2" }
owner = "dba@example.com"
reason = "synthetic data only"
expires = 2099-01-31

[[waivers]]
policy = "storage-unencrypted"
resource = "no-such-thing"
owner = "dba@example.com"
reason = "it is gone"
expires = 2099-01-31
"#;

fn start(scenario: &str) -> Sandbox {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shards.toml");
    std::fs::write(&file, scenario).unwrap();
    let sandbox = Sandbox::start(&Start {
        scenario: file.to_str().unwrap(),
        engines: "none",
        // Nothing changes between two scans.
        speed: "0.000001",
    });
    std::fs::create_dir(sandbox.path("policies")).unwrap();
    std::fs::write(sandbox.path("policies/own.toml"), POLICY).unwrap();
    std::fs::write(sandbox.path("waivers.toml"), WAIVERS).unwrap();
    sandbox
}

/// One request without an SDK.
fn http(sandbox: &Sandbox, method: &str, path: &str, headers: &str, body: &str) -> String {
    let address = sandbox.endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
    answer
}

fn rds(sandbox: &Sandbox, number: usize, region: &str, call: &str) {
    let headers = format!(
        "Content-Type: application/x-www-form-urlencoded\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential=AKIASHARDS{number:08}/20261124/{region}/rds/aws4_request, SignedHeaders=host, Signature=00\r\n"
    );
    let body = format!("Version=2014-10-31&{call}");
    http(sandbox, "POST", "/", &headers, &body);
}

fn befall(sandbox: &Sandbox, fault: &Value) {
    let headers = "Content-Type: application/json\r\n";
    let fault = fault.to_string();
    http(sandbox, "POST", "/_sandbox/faults", headers, &fault);
}

/// Nobody gets an answer of the account in a region: whoever reads it goes on asking.
fn hold(sandbox: &Sandbox, account: &str, region: &str) {
    befall(
        sandbox,
        &json!({"kind": "throttle", "name": format!("hold-{account}"), "service": "rds", "account": account,
                "region": region, "times": 0}),
    );
}

fn release(sandbox: &Sandbox, account: &str) {
    let path = format!("/_sandbox/faults/hold-{account}");
    http(sandbox, "DELETE", &path, "", "");
}

/// `--region` for each of them.
fn in_regions() -> Vec<&'static str> {
    REGIONS.iter().flat_map(|name| ["--region", name]).collect()
}

const ORG: [&str; 3] = ["--org", "--external-id", "e-1"];
const OWN: [&str; 4] = ["--policies", "policies", "--waivers", "waivers.toml"];

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn plan_id(sandbox: &Sandbox, plan: &str) -> String {
    lines(&sandbox.path(plan))[0]["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// The shards of each batch, in order.
fn batches(sandbox: &Sandbox, plan: &str, count: usize) -> Vec<Vec<String>> {
    let shards: Vec<String> = lines(&sandbox.path(plan))[1..]
        .iter()
        .map(|line| line["id"].as_str().unwrap().to_owned())
        .collect();
    (0..count)
        .map(|n| shards[shards.len() * n / count..shards.len() * (n + 1) / count].to_vec())
        .collect()
}

/// A batch as an Indexed Job of Kubernetes runs it.
fn batch(sandbox: &Sandbox, index: usize, count: usize) -> Command {
    let count = count.to_string();
    let mut command = sandbox.command(&[
        "scan",
        "--shards",
        "plan.jsonl",
        "--shard-count",
        &count,
        "--out",
        "batches/",
        "--no-progress",
        "--throttle-patience",
        "1h",
    ]);
    command.env("JOB_COMPLETION_INDEX", index.to_string());
    command
}

fn run_batch(sandbox: &Sandbox, index: usize, count: usize) -> Finished {
    finish(batch(sandbox, index, count), Duration::from_secs(240))
}

fn batch_file(sandbox: &Sandbox, index: usize, count: usize) -> PathBuf {
    let id = plan_id(sandbox, "plan.jsonl");
    let name = format!("batches/{}/batch-{index}-of-{count}.jsonl", &id[..16]);
    sandbox.path(&name)
}

fn partial(sandbox: &Sandbox, index: usize, count: usize) -> PathBuf {
    let file = batch_file(sandbox, index, count);
    let name = file.file_name().unwrap().to_str().unwrap();
    file.with_file_name(format!(".{name}.partial"))
}

fn merge(sandbox: &Sandbox, more: &[&str]) -> Finished {
    let words = ["report", "merge", "--shard-plan", "plan.jsonl", "batches"];
    sandbox.run(&[&words[..], more].concat())
}

/// Ends with the test, whatever becomes of it.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// How often the DB instances of each account and region were listed.
fn listed(sandbox: &Sandbox) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for request in sandbox.requests() {
        if request.action == "DescribeDBInstances" {
            let shard = format!("{}/{}", request.account, request.region);
            *counts.entry(shard).or_default() += 1;
        }
    }
    counts
}

#[test]
fn shards_in_eight_processes_some_of_them_killed_come_to_the_same_bytes() {
    let sandbox = start(&fleet());
    // A global cluster, which every region lists, and a replica in another region than its source.
    let (writer, id) = (account(0), account(0));
    let arn = format!("arn%3Aaws%3Ards%3Aeu-central-1%3A{writer}%3A");
    rds(
        &sandbox,
        0,
        "eu-central-1",
        &format!(
            "Action=CreateGlobalCluster&GlobalClusterIdentifier=world&SourceDBClusterIdentifier={arn}cluster%3Aaurora"
        ),
    );
    rds(
        &sandbox,
        0,
        "us-east-1",
        &format!(
            "Action=CreateDBInstanceReadReplica&DBInstanceIdentifier=far&SourceDBInstanceIdentifier={arn}db%3Adb"
        ),
    );

    let plan = [
        &["scan"],
        &ORG[..],
        &OWN,
        &in_regions(),
        &["--plan-shards", "plan.jsonl"],
    ];
    sandbox.run(&plan.concat()).expect(0);
    let planned = batches(&sandbox, "plan.jsonl", BATCHES);
    let all: Vec<&String> = planned.iter().flatten().collect();
    assert_eq!(all.len(), ACCOUNTS * REGIONS.len() + 1);
    assert!(all.contains(&&format!("{SUSPENDED}/*")));

    let held = [account(1), account(3), account(4)];
    let is_held = |shard: &String| held.iter().any(|id| *shard == format!("{id}/us-east-1"));
    for account in &held {
        hold(&sandbox, account, "us-east-1");
    }
    let mut workers: Vec<Worker> = (0..BATCHES)
        .map(|index| {
            let mut command = batch(&sandbox, index, BATCHES);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            Worker(command.spawn().unwrap())
        })
        .collect();
    let began = Instant::now();
    for (index, worker) in workers.iter_mut().enumerate() {
        let stuck = planned[index].iter().filter(|shard| is_held(shard)).count();
        loop {
            assert!(began.elapsed() < Duration::from_secs(200), "batch {index}");
            if let Some(status) = worker.0.try_wait().unwrap() {
                assert_eq!(stuck, 0, "batch {index} has ended: {status}");
                assert!(matches!(status.code(), Some(0 | 4)), "{index}: {status}");
                break;
            }
            // The first line, and one for each shard that answers.
            let there = lines(&partial(&sandbox, index, BATCHES)).len();
            if stuck > 0 && there == 1 + planned[index].len() - stuck {
                worker.0.kill().unwrap();
                worker.0.wait().unwrap();
                break;
            }
            pause();
        }
    }
    drop(workers);
    let killed: Vec<usize> = (0..BATCHES)
        .filter(|index| planned[*index].iter().any(is_held))
        .collect();
    assert!(killed.len() >= 3, "{planned:?}");

    // Nothing is reported while a shard is missing.
    let early = merge(&sandbox, &[&OWN[..], &["--save", "early.json"]].concat()).expect(5);
    assert!(early.stdout.is_empty() && !sandbox.path("early.json").exists());
    assert!(early.stderr.contains("no file holds"), "{}", early.stderr);

    for account in &held {
        release(&sandbox, account);
    }
    // The machine went down while one of them was writing: its last line is gone.
    let torn = partial(&sandbox, killed[0], BATCHES);
    let last = lines(&torn).last().unwrap()["shard"]
        .as_str()
        .unwrap()
        .to_owned();
    let length = std::fs::metadata(&torn).unwrap().len();
    let file = std::fs::File::options().write(true).open(&torn).unwrap();
    file.set_len(length - 7).unwrap();
    let before = listed(&sandbox);
    for index in &killed {
        let ended = run_batch(&sandbox, *index, BATCHES);
        assert!(matches!(ended.code, 0 | 4), "{}", ended.stderr);
        assert!(!partial(&sandbox, *index, BATCHES).exists());
    }
    // Only what was not there is read.
    let after = listed(&sandbox);
    let read: BTreeSet<&String> = after
        .iter()
        .filter(|(shard, count)| before.get(*shard) != Some(count))
        .map(|(shard, _)| shard)
        .collect();
    let mut wanted: BTreeSet<&String> = all.iter().copied().filter(|s| is_held(s)).collect();
    wanted.insert(&last);
    assert_eq!(read, wanted);

    let outputs = |name: &str| {
        vec![
            "--format".to_owned(),
            "json".to_owned(),
            "--format".to_owned(),
            format!("jsonl={name}.jsonl"),
            "--save".to_owned(),
            format!("{name}.json"),
        ]
    };
    let words = outputs("merged");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let merged = merge(&sandbox, &[&OWN[..], &words].concat()).expect(10);
    let words = outputs("single");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let single = [
        &["scan", "--no-progress"],
        &ORG[..],
        &OWN,
        &in_regions(),
        &words,
    ];
    let single = sandbox.run(&single.concat()).expect(10);

    let (report, other) = (merged.json(), single.json());
    let (started, other_started) = (&report["started"], &other["started"]);
    let created = &lines(&sandbox.path("plan.jsonl"))[0]["created"];
    assert_eq!(started, created);
    // The two have begun at different times; everything else is the same byte for byte.
    let at = |text: &str| text.replace(&other_started.to_string(), &started.to_string());
    let file = |name: &str| std::fs::read_to_string(sandbox.path(name)).unwrap();
    assert!(merged.stdout == at(&single.stdout), "{report:#}\n{other:#}");
    assert!(file("merged.json") == at(&file("single.json")));
    assert!(file("merged.jsonl") == at(&file("single.jsonl")));

    // And it is a report in which there is something to be the same.
    let rows = |list: &str| report[list].as_array().unwrap().clone();
    let resource = |name: &str, list: &str| {
        let name = json!(name);
        rows(list)
            .iter()
            .filter(|row| row["identifier"] == name)
            .count()
    };
    assert_eq!(resource("world", "resources"), 1);
    assert_eq!(resource("far", "resources"), 1);
    assert_eq!(
        rows("resources")
            .iter()
            .filter(|row| row["type"] == "db-snapshot"
                && row["arn"].as_str().unwrap().ends_with("shared"))
            .count(),
        2
    );
    let hole = |account: &str, region: &str| {
        rows("regions").iter().any(|row| {
            row["account"] == account && row["region"] == region && !row["error"].is_null()
        })
    };
    assert!(hole(&account(DENIED), "*") && hole(SUSPENDED, "*"));
    assert!(hole(&account(BROKEN), "us-west-2") && !hole(&account(BROKEN), "us-east-1"));
    let unread = rows("unread");
    assert_eq!(unread.len(), REGIONS.len(), "{unread:?}");
    assert!(unread.iter().all(|row| row["account"] == account(SHY)));
    let found = |policy: &str, status: &str| {
        let findings = rows("findings");
        let of = findings.iter().filter(|f| f["policy"] == policy);
        of.filter(|f| f["status"] == status).count()
    };
    assert!(found("one-database-an-account", "fail") > REGIONS.len());
    assert_eq!(found("storage-unencrypted", "waived"), REGIONS.len());
    assert_eq!(rows("waiver_notes").len(), 1);
    assert!(
        found("key-unusable", "not-evaluated") > 0,
        "{:#}",
        rows("findings")[0]
    );
    assert_eq!(id, account(0));
}

/// Two accounts in two regions.
const SMALL: &str = r#"
[[accounts]]
id = "111122223333"
access_key_id = "AKIASMALL000000001"

[[accounts]]
id = "444455556666"
access_key_id = "AKIASMALL000000002"

[organization]
accounts = [{ id = "111122223333" }, { id = "444455556666" }]

[[instances]]
id = "db"
account = "444455556666"
region = "eu-west-1"
engine = "mysql"
engine_version = "8.0.39"
server = false
"#;

const SMALL_PLAN: [&str; 6] = [
    "scan",
    "--org",
    "--region",
    "eu-central-1",
    "--region",
    "eu-west-1",
];

fn planned() -> Sandbox {
    let sandbox = start(SMALL);
    let plan = [&SMALL_PLAN[..], &["--plan-shards", "plan.jsonl"]].concat();
    sandbox.run(&plan).expect(0);
    sandbox
}

/// Says why, and says nothing else.
#[track_caller]
fn refused(ended: Finished, code: i32, why: &str) {
    let ended = ended.expect(code);
    assert!(ended.stdout.is_empty(), "{}", ended.stdout);
    assert!(ended.stderr.contains(why), "{}", ended.stderr);
}

#[test]
fn batches_that_do_not_add_up_are_no_report() {
    let sandbox = planned();
    refused(merge(&sandbox, &[]), 5, "4 shards");
    for index in [0, 1] {
        run_batch(&sandbox, index, 2).expect(0);
    }
    merge(&sandbox, &["--format", "json"]).expect(10);
    let second = batch_file(&sandbox, 1, 2);
    let whole = std::fs::read_to_string(&second).unwrap();
    let half = &whole[..whole.len() / 2];
    let (rest, _) = whole.trim_end().rsplit_once('\n').unwrap();
    let shard = "444455556666/eu-west-1";
    for (text, why) in [
        (String::new(), "it is empty"),
        (half.to_owned(), "it ends in the middle"),
        // Its end is there, and says how much there should be.
        (format!("{rest}\n"), "it ends in the middle"),
        (whole.trim_end().to_owned(), "it ends in the middle"),
        (whole.replace("8.0.39", "8.0.40"), "it was changed"),
        (format!("{whole}{{}}\n"), "goes on after its end"),
        (
            whole.replace("\"format_version\":1", "\"format_version\":2"),
            "format version is 2",
        ),
        (
            whole.replacen(&plan_id(&sandbox, "plan.jsonl"), "0000", 1),
            "changed",
        ),
        ("[1, 2]\n".to_owned(), "no batch file"),
    ] {
        std::fs::write(&second, text).unwrap();
        let ended = merge(&sandbox, &["--save", "never.json"]);
        assert!(ended.stderr.contains(shard), "{}", ended.stderr);
        refused(ended, 5, why);
        assert!(!sandbox.path("never.json").exists());
    }
    std::fs::remove_file(&second).unwrap();
    refused(merge(&sandbox, &[]), 5, "no file holds 2 shards");
    let patient = Instant::now();
    refused(
        merge(&sandbox, &["--wait", "300ms"]),
        5,
        "no file holds 2 shards",
    );
    assert!(patient.elapsed() >= Duration::from_millis(300));

    // The same shard in two files, cut in another way.
    std::fs::write(&second, &whole).unwrap();
    run_batch(&sandbox, 3, 4).expect(0);
    refused(
        merge(&sandbox, &[]),
        5,
        "both hold shard 444455556666/eu-west-1",
    );
    std::fs::remove_file(batch_file(&sandbox, 3, 4)).unwrap();

    // The batch of another plan.
    let plan = [&SMALL_PLAN[..], &["--plan-shards", "plan.jsonl"]].concat();
    let earlier = std::fs::read(batch_file(&sandbox, 0, 2)).unwrap();
    sandbox.run(&plan).expect(0);
    run_batch(&sandbox, 1, 2).expect(0);
    std::fs::write(batch_file(&sandbox, 0, 2), earlier).unwrap();
    refused(merge(&sandbox, &[]), 5, "it is of another plan");
    run_batch(&sandbox, 0, 2).expect(0);
    merge(&sandbox, &[]).expect(10);
    // Whoever waits for what is there does not wait.
    merge(&sandbox, &["--wait", "2h"]).expect(10);
}

#[test]
fn a_plan_that_is_not_what_was_written_is_refused() {
    let sandbox = planned();
    let plan = std::fs::read_to_string(sandbox.path("plan.jsonl")).unwrap();
    for (text, why) in [
        (
            plan.replace("111122223333/eu-west-1", "111122223333/eu-west-2"),
            "its digest",
        ),
        (
            plan.replace("\"by\":\"role\"", "\"by\":\"own\""),
            "its digest",
        ),
        (plan.replace("atrest-scan", "administrator"), "its digest"),
        (
            plan.replace("\"format_version\":1", "\"format_version\":9"),
            "format version is 9",
        ),
        (
            plan.lines().take(3).collect::<Vec<_>>().join("\n"),
            "2 shards and should hold 4",
        ),
        (plan[..plan.len() - 20].to_owned(), "no shard plan"),
        (String::new(), "it is empty"),
        ("{}".to_owned(), "no shard plan"),
    ] {
        std::fs::write(sandbox.path("plan.jsonl"), text).unwrap();
        let worker = ["scan", "--shards", "plan.jsonl", "--out", "batches/"];
        refused(sandbox.run(&worker), 2, why);
        refused(merge(&sandbox, &[]), 2, why);
    }
    assert!(!sandbox.path("batches").exists());
    std::fs::write(sandbox.path("plan.jsonl"), &plan).unwrap();
    let stale = ["--plan-max-age", "1ms"];
    refused(merge(&sandbox, &stale), 22, "--plan-max-age");
    let worker = ["scan", "--shards", "plan.jsonl", "--out", "batches/"];
    refused(
        sandbox.run(&[&worker[..], &stale].concat()),
        22,
        "--plan-max-age",
    );
    merge(&sandbox, &["--plan-max-age", "2h"]).expect(5);

    // Other questions than those that the shards were read for.
    run_batch(&sandbox, 0, 1).expect(0);
    refused(
        merge(&sandbox, &["--policies", "policies"]),
        2,
        "one-database-an-account",
    );
    refused(
        merge(&sandbox, &["--waivers", "waivers.toml"]),
        2,
        "TagList",
    );
    std::fs::write(
        sandbox.path("atrest.toml"),
        "[policies.storage-unencrypted]\nenabled = false\n",
    )
    .unwrap();
    refused(merge(&sandbox, &[]), 2, "storage-unencrypted");
}

#[test]
fn a_batch_is_written_once_by_one_process_and_where_it_belongs() {
    let sandbox = planned();
    let worker = [
        "scan",
        "--shards",
        "plan.jsonl",
        "--shard-count",
        "2",
        "--no-progress",
    ];
    let to = |index: &str, out: &str| {
        sandbox.run(&[&worker[..], &["--shard-index", index, "--out", out]].concat())
    };
    for (index, why) in [
        ("2", "no batch 2 of 2"),
        ("1.5", "--shard-index"),
        ("x", "--shard-index"),
    ] {
        refused(to(index, "a.jsonl"), 2, why);
    }
    let unsaid = sandbox.run(&[&worker[..], &["--out", "a.jsonl"]].concat());
    refused(unsaid, 2, "JOB_COMPLETION_INDEX");
    let alone = sandbox.run(&["scan", "--shards", "plan.jsonl"]);
    refused(alone, 2, "--out");
    let both = [
        &worker[..],
        &["--shard-index", "0", "--out", "a.jsonl", "--org"],
    ]
    .concat();
    refused(sandbox.run(&both), 2, "cannot be used with");

    // Somebody else is writing it.
    let partial = sandbox.path(".a.jsonl.partial");
    let lock = std::fs::File::create(&partial).unwrap();
    lock.lock().unwrap();
    refused(to("0", "a.jsonl"), 20, "another process");
    drop(lock);
    to("0", "a.jsonl").expect(0);
    assert!(!partial.exists());
    // It is there: nobody asks again.
    let calls = sandbox.requests().len();
    to("0", "a.jsonl").expect(0);
    assert_eq!(sandbox.requests().len(), calls);
    refused(to("1", "a.jsonl"), 2, "holds batch 0 of 2");
    std::fs::write(sandbox.path("mine.json"), "{}\n").unwrap();
    refused(to("1", "mine.json"), 2, "not replaced");
    to("1", "b.jsonl").expect(0);
    let files = [
        "report",
        "merge",
        "--shard-plan",
        "plan.jsonl",
        "b.jsonl",
        "a.jsonl",
    ];
    sandbox
        .run(&[&files[..], &["--format", "json"]].concat())
        .expect(10);
    refused(
        sandbox.run(&[&files[..], &["a.jsonl"]].concat()),
        5,
        "both hold 2 shards",
    );
    // More processes than shards: some have nothing to do, and say so.
    for index in 0..6 {
        run_batch(&sandbox, index, 6).expect(0);
    }
    merge(&sandbox, &[]).expect(10);
}

#[test]
fn what_could_not_be_read_is_asked_again_and_the_rest_is_not() {
    let sandbox = planned();
    befall(
        &sandbox,
        &json!({"kind": "error", "name": "hold-it", "code": "AccessDenied", "message": "not now", "status": 403,
                "service": "rds", "account": "444455556666", "region": "eu-west-1", "times": 0}),
    );
    run_batch(&sandbox, 0, 1).expect(4);
    let report = merge(&sandbox, &["--format", "json"]).expect(4).json();
    assert_eq!(report["complete"], false);
    release(&sandbox, "it");
    let before = listed(&sandbox);
    run_batch(&sandbox, 0, 1).expect(0);
    let after = listed(&sandbox);
    let asked: Vec<&String> = after
        .keys()
        .filter(|s| before.get(*s) != after.get(*s))
        .collect();
    assert_eq!(asked, ["444455556666/eu-west-1"]);
    let report = merge(&sandbox, &["--format", "json"]).expect(10).json();
    assert_eq!(report["complete"], true);
}

#[test]
fn regions_that_nobody_names_are_planned_and_an_account_that_is_closed_then_is_tried_later() {
    let sandbox = start(SMALL);
    befall(
        &sandbox,
        &json!({"kind": "error", "name": "hold-it", "code": "AccessDenied", "message": "not now", "status": 403,
                "service": "sts", "action": "AssumeRole", "times": 1}),
    );
    let plan = sandbox
        .run(&["scan", "--org", "--plan-shards", "-"])
        .expect(0);
    std::fs::write(sandbox.path("plan.jsonl"), &plan.stdout).unwrap();
    let shards = batches(&sandbox, "plan.jsonl", 1).remove(0);
    assert!(shards.contains(&"444455556666/*".to_owned()), "{shards:?}");
    assert!(shards.contains(&"111122223333/eu-central-1".to_owned()));
    run_batch(&sandbox, 0, 1).expect(0);
    let merged = merge(&sandbox, &["--format", "json"]).expect(10);
    let single = sandbox
        .run(&["scan", "--org", "--format", "json"])
        .expect(10);
    let started = |report: &Finished| report.json()["started"].to_string();
    let at = single.stdout.replace(&started(&single), &started(&merged));
    assert!(merged.stdout == at, "{}\n{at}", merged.stdout);
}
