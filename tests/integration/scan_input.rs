//! What is given to a scan and is not what it should be: one line that names it, exit code 2 and no report; a policy that
//! cannot answer is rows of its own. Nothing here reaches AWS.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Finished, finish};

fn scan(dir: &Path, args: &[&str]) -> Finished {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atrest"));
    command.env_clear().current_dir(dir).arg("scan").args(args);
    finish(command, Duration::from_secs(120))
}

/// Saved output of so many encrypted instances.
fn instances(account: &str, number: usize) -> Value {
    let instance = |index: usize| {
        json!({
            "DBInstanceArn": format!("arn:aws:rds:eu-central-1:{account}:db:i-{index}"),
            "DBInstanceIdentifier": format!("i-{index}"),
            "DBInstanceStatus": "available",
            "Engine": "mysql",
            "EngineVersion": "8.0.39",
            "StorageEncrypted": true,
            "StorageEncryptionType": "sse-kms",
            "KmsKeyId": format!("arn:aws:kms:eu-central-1:{account}:key/k"),
        })
    };
    json!({"DBInstances": (0..number).map(instance).collect::<Vec<_>>()})
}

fn folder(number: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let text = instances("111122223333", number).to_string();
    std::fs::write(dir.path().join("saved.json"), text).unwrap();
    dir
}

/// Exit code 2, one `error:` line with these words, a hint and nothing on stdout.
fn refused(finished: Finished, words: &[&str]) {
    let finished = finished.expect(2);
    let errors: Vec<&str> = finished
        .stderr
        .lines()
        .filter(|line| line.starts_with("error:"))
        .collect();
    assert_eq!(errors.len(), 1, "{}", finished.stderr);
    for word in words {
        assert!(errors[0].contains(word), "{word}: {}", finished.stderr);
    }
    assert!(finished.stderr.contains("hint:"), "{}", finished.stderr);
    assert!(finished.stdout.is_empty());
}

#[test]
fn saved_output_that_is_cut_or_of_another_tool_ends_the_scan_with_its_name() {
    let dir = folder(3);
    let good = std::fs::read_to_string(dir.path().join("saved.json")).unwrap();
    let terraform = json!({"version": 4, "terraform_version": "1.9.0", "resources": []});
    let prowler = json!([{"message": "RDS Instance is not encrypted.", "status_code": "FAIL"}]);
    for (name, text, word) in [
        (
            "half.json",
            good[..good.len() / 2].to_owned(),
            "ends in the middle",
        ),
        ("terraform.json", terraform.to_string(), "is no member"),
        ("prowler.json", prowler.to_string(), "without --query"),
        ("page.html", "<html>sign in</html>".to_owned(), "line 1"),
        ("nothing.json", String::new(), "empty"),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
        let save = ["--offline", name, "--save", "report.json"];
        refused(scan(dir.path(), &save), &[name, word]);
        assert!(!dir.path().join("report.json").exists());
    }
}

#[test]
fn two_waivers_for_one_thing_are_an_error_with_the_place_of_both() {
    let dir = folder(1);
    let waiver = "[[waivers]]\npolicy = \"storage-unencrypted\"\nresource = \"i-0\"\nowner = \"a\"\nreason = \"b\"\nexpires = 2099-01-01\n";
    let path = dir.path().join("waivers.toml");
    std::fs::write(&path, format!("{waiver}\n{waiver}")).unwrap();
    let args = ["--offline", "saved.json", "--waivers", "waivers.toml"];
    refused(
        scan(dir.path(), &args),
        &["waivers.toml:8", "line 1 waives the same"],
    );
}

#[test]
fn a_baseline_of_another_account_is_refused_and_nothing_is_reported() {
    let dir = folder(1);
    let other = instances("444455556666", 1).to_string();
    std::fs::write(dir.path().join("other.json"), other).unwrap();
    let only = ["--only", "storage-unencrypted", "--exit-zero"];
    let first = ["--offline", "other.json", "--save", "first.json"];
    scan(dir.path(), &[&only[..], &first].concat()).expect(0);
    let args = ["--offline", "saved.json", "--baseline", "first.json"];
    refused(
        scan(dir.path(), &[&only[..], &args].concat()),
        &["first.json", "444455556666", "111122223333"],
    );
}

#[test]
fn policies_that_divide_by_zero_or_never_end_are_rows_and_leave_the_others_alone() {
    // Each resource walks over the fleet, and each step of that over the fleet again.
    let dir = folder(1_500);
    let policy = |id: &str, check: &str| {
        format!(
            "[[policies]]\nid = \"{id}\"\ntitle = \"t\"\nseverity = \"low\"\nresource = \"db-instance\"\ncheck = '{check}'\nmessage = \"m\"\n"
        )
    };
    let text = [
        policy(
            "never-ends",
            "fleet.instances.all(a, fleet.instances.exists(b, true))",
        ),
        policy(
            "by-zero",
            "1 / (size(resource.Engine) - size(resource.Engine)) == 1",
        ),
        policy(
            "fine",
            "resource.Engine == \"mariadb\" || resource.DBInstanceIdentifier != \"i-7\"",
        ),
    ];
    std::fs::create_dir(dir.path().join("own")).unwrap();
    std::fs::write(dir.path().join("own/own.toml"), text.concat()).unwrap();
    let args = [
        "--offline",
        "saved.json",
        "--policies",
        "own",
        "--only",
        "never-ends,by-zero,fine",
        "--exit-zero",
        "--format",
        "json",
    ];
    let report = scan(dir.path(), &args).expect(4).json();
    assert_eq!(report["complete"], false);
    let of = |policy: &str| -> Vec<&Value> {
        let all = report["findings"].as_array().unwrap().iter();
        all.filter(|finding| finding["policy"] == policy).collect()
    };
    let endless = of("never-ends");
    assert_eq!(endless.len(), 1, "{endless:?}");
    assert_eq!(endless[0]["resource"], "policy:never-ends");
    assert_eq!(endless[0]["status"], "not-evaluated");
    let by_zero = of("by-zero");
    assert_eq!(by_zero.len(), 1_500);
    for finding in by_zero {
        assert_eq!(finding["status"], "not-evaluated");
        assert!(
            finding["reason"]
                .as_str()
                .unwrap()
                .contains("division by zero")
        );
    }
    let fine = of("fine");
    assert_eq!(fine.len(), 1);
    assert_eq!(
        (&fine[0]["status"], &fine[0]["reason"]),
        (&json!("fail"), &json!("m"))
    );
}
