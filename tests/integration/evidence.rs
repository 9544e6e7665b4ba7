//! Evidence packs of a real run: whole, checkable, signed, without secrets, and honest about what is missing.

use std::os::unix::fs::PermissionsExt as _;

use crate::harness::{Sandbox, Start};

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
/// Of the key of RFC 8032, test 1, which is the one above.
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
const OTHER: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\n-----END PUBLIC KEY-----\n";

/// With real servers, and accounts and rows compared: what they hold must not come out again.
#[test]
fn a_pack_of_a_run_on_real_servers_holds_no_secret() {
    let sandbox = Sandbox::start(&Start {
        scenario: "seed-story",
        engines: "required",
        speed: "1000",
    });
    let ca = sandbox.ca_file().to_owned();
    let plan = [
        "plan",
        "--instance",
        "prod-two",
        "--region",
        "eu-central-1",
        "--ca-file",
        &ca,
        "--kms-key",
        "alias/rds-migration",
        "--run",
        "ev",
    ];
    sandbox.run(&plan).expect(0);
    let fix = [
        "fix",
        "atrest-plan.json",
        "--execute",
        "--ca-file",
        &ca,
        "--poll-interval",
        "20ms",
        "--consistency-window",
        "2s",
    ];
    sandbox.run(&fix).expect(0);
    // The hashes of every account, from the one output that may hold them.
    let exported = sandbox
        .run(&[
            "accounts",
            "export",
            "prod-two",
            "--ca-file",
            &ca,
            "--format",
            "sql",
            "--allow-secrets-on-stdout",
        ])
        .expect(0);
    let mut secrets: Vec<&str> = exported
        .stdout
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '*'))
        .filter(|word| {
            let digits = word.strip_prefix('*').or_else(|| word.strip_prefix("0x"));
            digits.is_some_and(|digits| {
                digits.len() >= 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
            })
        })
        .collect();
    assert!(!secrets.is_empty(), "no account of prod-two has a hash");
    secrets.extend([sandbox.password(), sandbox.secret_access_key()]);

    sandbox
        .run(&["report", "ev", "--evidence", "pack.zip"])
        .expect(0);
    let unpacked = sandbox.path("unpacked");
    let done = std::process::Command::new("python3")
        .args(["-m", "zipfile", "-e"])
        .args([&sandbox.path("pack.zip"), &unpacked])
        .status()
        .unwrap();
    assert!(done.success());
    let (mut folders, mut files) = (vec![unpacked], 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            for secret in &secrets {
                assert!(!text.contains(secret), "a secret is in {}", path.display());
            }
        }
    }
    // The plan, the journal, the events, the comparison, the end, two audits, controls, manifest, sums.
    assert!(files >= 10, "{files} files");
    assert!(sandbox.stop().success());
}

fn migrated() -> Sandbox {
    let sandbox = Sandbox::start(&Start {
        scenario: "seed-story",
        engines: "none",
        speed: "1000",
    });
    let plan = [
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
        "ev",
    ];
    sandbox.run(&plan).expect(0);
    let fix = [
        "fix",
        "atrest-plan.json",
        "--execute",
        "--mysql",
        "off",
        "--poll-interval",
        "20ms",
        "--consistency-window",
        "2s",
    ];
    sandbox.run(&fix).expect(0);
    sandbox
}

#[test]
fn a_run_is_packed_whole_and_every_change_of_the_pack_is_named() {
    let sandbox = migrated();
    for scan in ["scan-before.json", "scan-after.json"] {
        let path = sandbox.path(&format!(".atrest/runs/ev/{scan}"));
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{scan}");
    }
    let key = sandbox.path("key.pem");
    std::fs::write(&key, KEY).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    let sign = ["report", "ev", "--evidence", "one.zip", "--sign", "key.pem"];
    let refused = sandbox.run(&sign).expect(2);
    assert!(
        refused.stderr.contains("can be read by others"),
        "{}",
        refused.stderr
    );
    assert!(!sandbox.path("one.zip").exists());
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let packed = sandbox.run(&sign).expect(0);
    assert!(
        packed.stdout.contains("nothing is missing"),
        "{}",
        packed.stdout
    );

    // The same run gives the same bytes.
    let again = ["report", "ev", "--evidence", "two.zip", "--sign", "key.pem"];
    sandbox.run(&again).expect(0);
    let pack = std::fs::read(sandbox.path("one.zip")).unwrap();
    assert!(pack == std::fs::read(sandbox.path("two.zip")).unwrap());

    std::fs::write(sandbox.path("public.pem"), PUBLIC).unwrap();
    std::fs::write(sandbox.path("other.pem"), OTHER).unwrap();
    let verify = [
        "report",
        "--verify",
        "one.zip",
        "--public-key",
        "public.pem",
    ];
    let good = sandbox.run(&verify).expect(0);
    assert!(
        good.stdout.contains("the signature is good"),
        "{}",
        good.stdout
    );
    let wrong = ["report", "--verify", "one.zip", "--public-key", "other.pem"];
    let wrong = sandbox.run(&wrong).expect(24);
    assert!(
        wrong.stdout.contains("signature SHA256SUMS.sig"),
        "{}",
        wrong.stdout
    );

    let mut bad = pack.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(sandbox.path("bad.zip"), bad).unwrap();
    let bad = sandbox.run(&["report", "--verify", "bad.zip"]).expect(24);
    assert!(bad.stdout.contains("NOT INTACT"), "{}", bad.stdout);
    assert!(sandbox.stop().success());
}

#[test]
fn what_the_run_folder_does_not_have_is_a_hole_and_no_proof() {
    let sandbox = migrated();
    std::fs::remove_file(sandbox.path(".atrest/runs/ev/scan-before.json")).unwrap();
    let packed = sandbox
        .run(&["report", "ev", "--evidence", "pack.zip"])
        .expect(4);
    assert!(
        packed.stdout.contains("hole: scan-before.json"),
        "{}",
        packed.stdout
    );
    let verified = sandbox.run(&["report", "--verify", "pack.zip"]).expect(4);
    assert!(verified.stdout.contains("intact"), "{}", verified.stdout);
    assert!(
        verified.stdout.contains("INCOMPLETE: 2 holes"),
        "{}",
        verified.stdout
    );
    assert!(sandbox.stop().success());
}
