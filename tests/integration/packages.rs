//! What is in deploy/: the files of the package, the units, the action and the role are as the program is.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::fleet::fleet;
use crate::harness::{Sandbox, finish};

const BINARY: &str = env!("CARGO_BIN_EXE_atrest");

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn atrest(args: &[&str]) -> String {
    let output = Command::new(BINARY).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Verbs as the help lists them.
fn verbs() -> Vec<String> {
    let help = atrest(&["--help"]);
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    // Names are two columns in; what they mean may go on further right.
    let names = commands.lines().filter_map(|line| line.strip_prefix("  "));
    names
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_verb_is_completed_by_every_shell_and_has_a_page() {
    let verbs = verbs();
    assert!(
        verbs.len() > 10 && verbs.contains(&"rollback".to_owned()),
        "{verbs:?}"
    );
    let dir = tempfile::tempdir().unwrap();
    atrest(&["man", dir.path().to_str().unwrap()]);
    for shell in ["bash", "zsh", "fish"] {
        let script = atrest(&["completions", shell]);
        for verb in &verbs {
            assert!(script.contains(verb.as_str()), "{shell}: {verb}");
        }
        let file = dir.path().join(shell);
        std::fs::write(&file, &script).unwrap();
        match Command::new(shell).arg("-n").arg(&file).output() {
            Err(_absent) => println!("{shell} is not installed: it has not read its completions"),
            Ok(said) => assert!(
                said.status.success() && said.stderr.is_empty(),
                "{shell}: {said:?}"
            ),
        }
    }
    for verb in verbs.iter().filter(|verb| *verb != "help") {
        let page = dir.path().join(format!("atrest-{verb}.1"));
        assert!(page.is_file(), "{verb}");
    }
    assert!(dir.path().join("atrest-accounts-clone.1").is_file());
    // The same program makes the same pages: no date is in them.
    let other = tempfile::tempdir().unwrap();
    atrest(&["man", other.path().to_str().unwrap()]);
    let bytes = |dir: &Path| std::fs::read(dir.join("atrest-fix.1")).unwrap();
    assert_eq!(bytes(dir.path()), bytes(other.path()));
}

#[test]
fn every_file_of_the_package_is_there_or_made_by_its_script() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    let script = read("deploy/deb/build.sh");
    for asset in deb["assets"].as_array().unwrap() {
        let from = asset[0].as_str().unwrap();
        if let Some(made) = from.strip_prefix("target/deb/") {
            let made = made.split(['.', '/']).next().unwrap();
            assert!(script.contains(&format!("$made/{made}")), "{from}");
            continue;
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(from);
        match from.rsplit_once("/*.") {
            None => assert!(path.is_file(), "{from}"),
            Some((_, ending)) => {
                let mut files = std::fs::read_dir(path.parent().unwrap()).unwrap();
                assert!(
                    files.any(|file| file
                        .unwrap()
                        .path()
                        .extension()
                        .is_some_and(|e| e == ending)),
                    "{from}"
                );
            }
        }
    }
    // Nothing of it runs when it is installed.
    assert!(deb.get("maintainer-scripts").is_none() && deb.get("systemd-units").is_none());
    let version = manifest["workspace"]["package"]["version"]
        .as_str()
        .unwrap();
    let changelog = read("deploy/deb/changelog");
    assert!(
        changelog.starts_with(&format!("atrest ({version}-1) ")),
        "{changelog}"
    );
}

#[test]
fn the_policy_of_the_role_is_what_the_program_prints() {
    let ours: Value =
        serde_json::from_str(&read("deploy/terraform/scan-role/atrest-scan.json")).unwrap();
    let printed: Value = serde_json::from_str(&atrest(&["iam-policy", "scan"])).unwrap();
    assert_eq!(
        ours, printed,
        "write it anew: atrest iam-policy scan > deploy/terraform/scan-role/atrest-scan.json"
    );
}

/// The value of a key of a unit.
fn unit<'a>(text: &'a str, key: &str) -> &'a str {
    let mut values = text
        .lines()
        .rev()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.next().unwrap_or_else(|| panic!("no {key}"))
}

#[test]
fn the_unit_scans_and_writes_what_it_says() {
    let service = read("deploy/systemd/atrest-scan.service");
    let environment = read("deploy/systemd/scan.env.example");
    assert_eq!(
        unit(&service, "EnvironmentFile"),
        unit(&service, "ConditionPathExists"),
        "what is missing is why it does not run"
    );
    assert!(unit(&environment, "ATREST_SCAN_OPTIONS").starts_with("--org"));
    let sandbox = fleet(&["a"], "1", "");
    let command = unit(&service, "ExecStart")
        .replace("$ATREST_SCAN_OPTIONS", "--region eu-central-1")
        .replace("/run/atrest", sandbox.dir.path().to_str().unwrap());
    let words: Vec<&str> = command.split_whitespace().collect();
    assert_eq!(words[0], "/usr/bin/atrest", "where the package puts it");
    let ended = sandbox.run(&words[1..]);
    assert_eq!(
        ended.code.to_string(),
        unit(&service, "SuccessExitStatus"),
        "{}",
        ended.stderr
    );
    for file in ["scan.json", "scan.html", "scan.prom"] {
        assert!(sandbox.path(file).is_file(), "{file}");
    }
    // Its messages are JSON, one object a line.
    for line in ended.stderr.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

/// The step of the action, with the environment that GitHub gives it.
fn action(sandbox: &Sandbox, options: &str, fail_on: &str) -> (i32, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/github-action/scan.sh");
    let mut command = sandbox.command(&[]);
    let folder = Path::new(BINARY).parent().unwrap().to_str().unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut bash = Command::new("bash");
    bash.arg(&script)
        .current_dir(sandbox.dir.path())
        .env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            bash.env(name, value);
        }
    }
    bash.env("PATH", format!("{folder}:{path}"))
        .env("ATREST_ACTION_OPTIONS", options)
        .env("ATREST_ACTION_FAIL_ON", fail_on)
        .env("ATREST_ACTION_IMAGE", "")
        .env("ATREST_ACTION_DIRECTORY", "reports here")
        .env("GITHUB_STEP_SUMMARY", sandbox.path("summary.md"))
        .env("GITHUB_OUTPUT", sandbox.path("output"));
    command = bash;
    let ended = finish(command, std::time::Duration::from_secs(240));
    let output = std::fs::read_to_string(sandbox.path("output"))
        .unwrap_or_else(|error| panic!("{error}: {}", ended.stderr));
    std::fs::remove_file(sandbox.path("output")).unwrap();
    (ended.code, output)
}

#[test]
fn the_action_scans_tells_how_it_went_and_fails_as_it_was_asked_to() {
    let sandbox = fleet(&["a"], "1", "");
    let options = "--region=eu-central-1\n--only=storage-unencrypted\n";
    let (code, output) = action(&sandbox, options, "low");
    assert_eq!(code, 10, "{output}");
    let sarif = sandbox.path("reports here/scan.sarif");
    let sarif = std::fs::canonicalize(sarif).unwrap();
    assert_eq!(output, format!("exit-code=10\nsarif={}\n", sarif.display()));
    let summary = std::fs::read_to_string(sandbox.path("summary.md")).unwrap();
    assert!(
        summary.contains("storage-unencrypted") || summary.contains("| a |"),
        "{summary}"
    );
    let (code, output) = action(&sandbox, options, "never");
    assert_eq!((code, output.lines().next()), (0, Some("exit-code=0")));
    // An option is one word, whatever is in it.
    let (code, output) = action(&sandbox, "--region=eu-central-1; touch owned\n", "low");
    assert_eq!((code, output.lines().next()), (2, Some("exit-code=2")));
    assert!(!sandbox.path("owned").exists());
}
