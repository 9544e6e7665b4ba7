//! What somebody meets who has never used it: each wrong turn is one line, and says where to go.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::{Finished, Sandbox, Start, finish};

const BINARY: &str = env!("CARGO_BIN_EXE_atrest");

/// The binary with nothing of this machine's settings; `home` is an empty folder.
fn bare(home: &tempfile::TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args(args)
        .env_clear()
        .env("HOME", home.path())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .current_dir(home.path())
        .stdin(Stdio::null());
    command
}

fn run(command: Command) -> Finished {
    finish(command, Duration::from_secs(120))
}

/// The line that begins so.
fn line<'a>(finished: &'a Finished, begins: &str) -> &'a str {
    let found: Vec<&str> = finished
        .stderr
        .lines()
        .filter(|line| line.starts_with(begins))
        .collect();
    assert_eq!(found.len(), 1, "{begins}: {}", finished.stderr);
    found[0]
}

/// An account with nothing in it, one whose user may do nothing, and one whose session has ended.
fn sandbox() -> (Sandbox, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("empty.toml");
    let scenario = r#"
[[accounts]]
id = "111122223333"
access_key_id = "AKIAEMPTY000000001"

[[accounts]]
id = "444455556666"
access_key_id = "AKIANOBODY00000001"
user = "nobody"
allow = ["sts:GetCallerIdentity", "account:ListRegions"]

[[faults]]
kind = "error"
account = "777788889999"
code = "ExpiredToken"
message = "The security token included in the request is expired"
status = 403
times = 0

[[accounts]]
id = "777788889999"
access_key_id = "AKIAEXPIRED0000001"
"#;
    std::fs::write(&file, scenario).unwrap();
    let sandbox = Sandbox::start(&Start {
        scenario: file.to_str().unwrap(),
        engines: "none",
        speed: "1000",
    });
    (sandbox, dir)
}

fn as_user(sandbox: &Sandbox, key: &str, args: &[&str]) -> Finished {
    let mut command = sandbox.command(args);
    command.env("AWS_ACCESS_KEY_ID", key);
    run(command)
}

#[test]
fn without_arguments_it_says_what_it_is_and_three_ways_to_begin() {
    let home = tempfile::tempdir().unwrap();
    let said = run(bare(&home, &[])).expect(2);
    assert_eq!(said.stdout, "", "standard output is for data");
    for way in ["atrest demo", "atrest scan", "atrest help tutorial"] {
        assert!(said.stderr.contains(way), "{}", said.stderr);
    }
    assert!(said.stderr.lines().count() <= 12, "{}", said.stderr);
    assert!(
        said.stderr.lines().all(|line| line.len() <= 80),
        "{}",
        said.stderr
    );
}

#[test]
fn a_typo_suggests() {
    let home = tempfile::tempdir().unwrap();
    for (args, suggests) in [
        (&["scna"][..], "'scan'"),
        (&["scan", "--regoin", "eu-west-1"], "'--region'"),
        (&["plan", "--method", "colt"], "'cold'"),
        (&["help", "exit-code"], "did you mean exit-codes?"),
        (&["help", "rolback"], "did you mean rollback?"),
        (
            &["policy", "show", "storage-unencripted"],
            "did you mean storage-unencrypted?",
        ),
        (
            &["scan", "--only", "storage-unencripted"],
            "did you mean storage-unencrypted?",
        ),
    ] {
        let said = run(bare(&home, args)).expect(2);
        assert!(said.stderr.contains(suggests), "{args:?}: {}", said.stderr);
    }
}

#[test]
fn help_has_every_verb_and_pages_of_the_documentation() {
    let home = tempfile::tempdir().unwrap();
    let codes = run(bare(&home, &["help", "exit-codes"])).expect(0);
    assert!(codes.stdout.contains("| 24 |"), "{}", codes.stdout);
    let topics = run(bare(&home, &["help", "topics"])).expect(0);
    for line in topics.stdout.lines() {
        let topic = line.split("  ").next().unwrap().trim();
        run(bare(&home, &["help", topic])).expect(0);
    }
    let nested = run(bare(&home, &["help", "accounts", "diff"])).expect(0);
    assert!(
        nested.stdout.contains("Usage: atrest accounts diff"),
        "{}",
        nested.stdout
    );
    let plain = run(bare(&home, &["help"])).expect(0);
    let long = run(bare(&home, &["--help"])).expect(0);
    assert_eq!(plain.stdout, long.stdout);
}

#[test]
fn without_credentials_there_is_one_line_with_three_ways_out() {
    let home = tempfile::tempdir().unwrap();
    for args in [
        &["scan"][..],
        &["plan", "--mysql", "off"],
        &["diff", "a=b", "--mysql", "off"],
    ] {
        let said = run(bare(&home, args)).expect(2);
        let error = line(&said, "error:");
        assert!(
            error.contains("no usable AWS credentials were found"),
            "{error}"
        );
        let hint = line(&said, "hint:");
        for way in ["AWS_PROFILE", "AWS_ACCESS_KEY_ID", "aws sso login"] {
            assert!(hint.contains(way), "{hint}");
        }
        assert_eq!(said.stderr.lines().count(), 2, "{}", said.stderr);
    }
}

#[test]
fn a_named_profile_is_taken_and_not_the_keys_of_the_environment() {
    let (sandbox, _dir) = sandbox();
    let config = sandbox.path("aws-config");
    std::fs::write(
        &config,
        "[profile nobody]\naws_access_key_id = AKIANOBODY00000001\naws_secret_access_key = x\n",
    )
    .unwrap();
    let as_profile = |profile: &str| {
        // The environment has the keys of the first account.
        let args = ["scan", "--region", "eu-central-1", "--profile", profile];
        let mut command = sandbox.command(&args);
        command.env("AWS_CONFIG_FILE", &config);
        run(command)
    };
    let read = as_profile("nobody").expect(3);
    assert!(read.stdout.contains("444455556666"), "{}", read.stdout);
    // One that is not there is not replaced by them either.
    let missing = as_profile("nobdoy").expect(2);
    let error = line(&missing, "error:");
    assert!(error.contains("there is no profile `nobdoy`"), "{error}");
}

#[test]
fn keys_that_are_not_accepted_and_a_session_that_has_ended_are_told_apart() {
    let (sandbox, _dir) = sandbox();
    let wrong = as_user(&sandbox, "AKIAWRONG", &["scan"]).expect(2);
    let hint = line(&wrong, "hint:");
    assert!(hint.contains("does not accept these keys"), "{hint}");
    let expired = as_user(&sandbox, "AKIAEXPIRED0000001", &["scan"]).expect(2);
    assert!(
        line(&expired, "error:").contains("ExpiredToken"),
        "{}",
        expired.stderr
    );
    let hint = line(&expired, "hint:");
    assert!(
        hint.contains("the session has ended") && hint.contains("aws sso login"),
        "{hint}"
    );
}

#[test]
fn a_region_that_does_not_exist_suggests_one_that_does() {
    let (sandbox, _dir) = sandbox();
    for (typo, suggests) in [
        ("eu-centrall-1", "did you mean eu-central-1?"),
        ("eu-central1", "regions look like eu-central-1"),
        ("Frankfurt", "regions look like eu-central-1"),
    ] {
        let mut command = sandbox.command(&["scan", "--region", typo]);
        // Somebody who begins has configured none.
        command.env_remove("AWS_REGION");
        let said = run(command).expect(2);
        assert!(line(&said, "error:").contains(typo), "{}", said.stderr);
        assert!(line(&said, "hint:").contains(suggests), "{}", said.stderr);
    }
}

#[test]
fn an_endpoint_where_nobody_listens_is_said_without_the_layers_in_between() {
    let (sandbox, _dir) = sandbox();
    // A port that was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let said = sandbox.run(&["scan", "--endpoint-url", &url]);
    assert_ne!(said.code, 0);
    let error = line(&said, "error:");
    assert!(
        error.contains("no connection") && error.contains("refused"),
        "{error}"
    );
    assert!(!error.contains("dispatch failure"), "{error}");
    let hint = line(&said, "hint:");
    assert!(
        hint.contains("--endpoint-url") && hint.contains("AWS_ENDPOINT_URL"),
        "{hint}"
    );
}

#[test]
fn without_permissions_nothing_is_scanned_and_the_policy_is_named() {
    let (sandbox, _dir) = sandbox();
    let args = ["scan", "--region", "eu-central-1"];
    let said = as_user(&sandbox, "AKIANOBODY00000001", &args).expect(3);
    assert!(
        said.stdout.contains("rds:DescribeDBInstances"),
        "{}",
        said.stdout
    );
    assert!(said.stdout.contains("INCOMPLETE"), "{}", said.stdout);
    assert!(
        line(&said, "hint:").contains("atrest iam-policy scan"),
        "{}",
        said.stderr
    );
    let args = ["plan", "--mysql", "off", "--region", "eu-central-1"];
    let said = as_user(&sandbox, "AKIANOBODY00000001", &args).expect(4);
    assert!(
        line(&said, "hint:").contains("atrest iam-policy"),
        "{}",
        said.stderr
    );
}

#[test]
fn an_empty_account_is_said_plainly() {
    let (sandbox, _dir) = sandbox();
    let args = ["scan", "--region", "eu-central-1", "--region", "us-east-1"];
    let said = as_user(&sandbox, "AKIAEMPTY000000001", &args).expect(0);
    assert_eq!(
        said.stdout,
        "0 resources in 2 regions: no DB instance and no cluster was found\n"
    );
    let args = ["plan", "--mysql", "off", "--region", "eu-central-1"];
    let said = as_user(&sandbox, "AKIAEMPTY000000001", &args).expect(0);
    assert!(said.stdout.contains("Nothing to do."), "{}", said.stdout);
}

#[test]
fn eighty_columns_are_enough_for_help_and_for_a_scan() {
    let sandbox = Sandbox::start(&Start {
        scenario: "seed-story",
        engines: "none",
        speed: "1000",
    });
    let in_80 = |args: &[&str]| {
        let mut command = sandbox.command(args);
        command.env("COLUMNS", "80");
        run(command)
    };
    for text in [
        in_80(&["scan", "--region", "us-east-1"]).expect(10).stdout,
        in_80(&["--help"]).expect(0).stdout,
        in_80(&["scan", "-h"]).expect(0).stdout,
    ] {
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        // Not a terminal: nothing steers one.
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}

#[test]
fn a_file_to_begin_with_is_written_once_and_what_it_comes_to_is_shown() {
    let home = tempfile::tempdir().unwrap();
    run(bare(&home, &["config", "init"])).expect(0);
    let file = home.path().join("atrest.toml");
    let written = std::fs::read_to_string(&file).unwrap();
    for key in ["max_percent", "severity", "on_failure"] {
        assert!(written.contains(key), "{written}");
    }
    std::fs::write(&file, "[fleet]\nmax_failures = 3\n").unwrap();
    let again = run(bare(&home, &["config", "init"])).expect(2);
    assert!(
        line(&again, "error:").contains("is there already"),
        "{}",
        again.stderr
    );
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "[fleet]\nmax_failures = 3\n"
    );

    let show = |args: &[&str]| {
        let mut command = bare(&home, &[&["config", "show"], args].concat());
        command.env("AWS_REGION", "eu-west-1");
        command.env("ATREST_MYSQL_PASSWORD", "hush-hush");
        run(command)
    };
    let text = show(&["--max-percent", "10"]).expect(0);
    assert!(!text.stdout.contains("hush"), "{}", text.stdout);
    let row = |key: &str| {
        let row = text.stdout.lines().find(|line| line.starts_with(key));
        row.unwrap_or_else(|| panic!("{key}: {}", text.stdout))
            .to_owned()
    };
    assert!(
        row("fleet.max_failures").ends_with("atrest.toml:2"),
        "{}",
        row("fleet.max_failures")
    );
    assert!(row("fleet.max_percent").ends_with("--max-percent"));
    assert!(row("aws.region").contains("eu-west-1") && row("aws.region").ends_with("AWS_REGION"));
    assert!(row("mysql_password ").contains("(set, not shown)"));
    assert!(row("fleet.max_instances").ends_with("default"));
    let json = show(&["--format", "json"]).expect(0).json();
    assert_eq!(json["schema_version"], 1);
    let settings = json["settings"].as_array().unwrap();
    let failures = settings
        .iter()
        .find(|s| s["key"] == "fleet.max_failures")
        .unwrap();
    assert_eq!(
        (&failures["value"], &failures["from"]),
        (&"3".into(), &"file".into())
    );

    std::fs::write(&file, "[fleet]\nmax_failure = 3\n").unwrap();
    let typo = show(&[]).expect(2);
    assert!(
        typo.stderr
            .contains("atrest.toml:2:1: unknown field `max_failure`"),
        "{}",
        typo.stderr
    );
    assert!(
        typo.stderr.contains("did you mean `max_failures`?"),
        "{}",
        typo.stderr
    );
}
