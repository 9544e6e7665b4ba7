//! AWS's own clients against the sandbox: boto3 and the AWS CLI, as `sandbox/install-clients.sh` installs them. The checks
//! are in Python beside this file, each with a line of its own; `ATREST_CLIENTS=none` says that there are no clients here.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it did"
)]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use atrest_sandbox::{EngineMode, Sandbox, SandboxOptions, Scenario};
use tokio::process::Command;

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
/// For a whole group; the longest takes half a minute on a busy machine.
const LIMIT: Duration = Duration::from_secs(240);
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// The Python that has the clients; `None` when somebody said that there are none.
fn python() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = match set("ATREST_CLIENTS") {
        Some(none) if none == "none" => return None,
        Some(folder) => PathBuf::from(folder),
        None => set("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")))
            .unwrap()
            .join("atrest/clients"),
    };
    let wanted = std::fs::read_to_string(Path::new(HERE).join("requirements.txt")).unwrap();
    let installed = std::fs::read_to_string(folder.join("requirements.txt"));
    let there = installed.map_or_else(
        |error| format!("are not there ({error})"),
        |installed| {
            if installed == wanted {
                String::new()
            } else {
                "are out of date".to_owned()
            }
        },
    );
    assert!(
        there.is_empty(),
        "boto3 and the AWS CLI in {} {there}: run sandbox/install-clients.sh, or set ATREST_CLIENTS=none to do without them",
        folder.display()
    );
    Some(folder.join("venv/bin/python"))
}

/// Runs one group of checks on a sandbox of its own. `speed` is chosen so that what is waited for takes a moment and not none.
async fn checks(script: &str, group: &str, speed: f64, secret: Option<&str>) {
    let Some(python) = python() else {
        println!("NOT RUN: {script} {group} (ATREST_CLIENTS=none)");
        return;
    };
    let (name, story) = Scenario::shipped()
        .into_iter()
        .find(|(name, _)| *name == "seed-story")
        .unwrap();
    let mut text = format!("{story}{}", include_str!("fleet.toml"));
    if let Some(secret) = secret {
        let key = "access_key_id = \"AKIASANDBOX000000001\"\n";
        assert!(text.contains(key));
        text = text.replace(key, &format!("{key}secret_access_key = \"{secret}\"\n"));
    }
    let scenario = Scenario::parse(name, &text).unwrap();
    let access = scenario.access();
    let home = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(SandboxOptions {
        scenario,
        port: 0,
        speed,
        engines: EngineMode::None,
        install_dir: PathBuf::new(),
        work_dir: PathBuf::new(),
        request_log: None,
        seed: 7,
    })
    .await
    .unwrap();
    let child = Command::new(&python)
        .arg("-B")
        .arg(Path::new(HERE).join(script))
        .arg(group)
        .env_clear()
        // No file and no proxy of this machine's user has a say.
        .env("HOME", home.path())
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("AWS_ENDPOINT_URL", sandbox.endpoint())
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_DEFAULT_REGION", "eu-central-1")
        .env("AWS_ACCESS_KEY_ID", &access.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &access.secret_access_key)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_MAX_ATTEMPTS", "1")
        .env("PYTHONUNBUFFERED", "1")
        .env("PYTHONIOENCODING", "utf-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "{}: {error}: run sandbox/install-clients.sh",
                python.display()
            )
        });
    let done = tokio::time::timeout(LIMIT, child.wait_with_output())
        .await
        .unwrap_or_else(|_elapsed| panic!("{script} {group} took more than {} s", LIMIT.as_secs()))
        .unwrap();
    sandbox.shutdown().await.unwrap();
    let (said, errors) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    assert!(
        done.status.success(),
        "{script} {group}: {}\n{said}\n{errors}",
        done.status
    );
    // The count, and what was not driven.
    for line in said.lines().filter(|line| !line.starts_with("ok ")) {
        println!("{line}");
    }
    let good = said.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(
        good > 2 && !said.contains("FAILED "),
        "{good} checks were carried out\n{errors}"
    );
}

macro_rules! groups {
    ($($module:ident, $script:literal: $($group:ident at $speed:literal)*;)*) => {$(
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $group() {
                    super::checks($script, stringify!($group), $speed, None).await;
                }
            )*
        }
    )*};
}

groups! {
    boto3, "boto3_checks.py": reads at 1.0 paging at 1.0 waiters at 300.0 migration at 3000.0 creations at 1000.0 surroundings at 1000.0 neighbours at 1.0;
    aws_cli, "cli_checks.py": reads at 1.0 paging at 1.0 story at 3000.0;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boto3_signatures_are_verified() {
    checks("boto3_checks.py", "signatures", 1.0, Some(SECRET)).await;
}
