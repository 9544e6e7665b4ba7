//! Starts the sandbox in a process of its own and runs the binary against it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use atrest_model::instance::DbInstance;
use atrest_sandbox::Scenario;
use atrest_scanner::aws::Aws;
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_atrest");

/// A sandbox process. Ends with the value.
pub(crate) struct Sandbox {
    child: Child,
    pub(crate) endpoint: String,
    pub(crate) ready: Value,
    pub(crate) dir: tempfile::TempDir,
    access: atrest_sandbox::Access,
}

/// One line of the request log.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) service: String,
    pub(crate) account: String,
    pub(crate) action: String,
    pub(crate) region: String,
    pub(crate) code: String,
    /// The fault that befell it; empty for none.
    pub(crate) fault: String,
    pub(crate) params: BTreeMap<String, String>,
}

impl Request {
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }

    pub(crate) fn is_mutation(&self) -> bool {
        !["Describe", "List", "Get", "Assume", "Simulate"]
            .iter()
            .any(|reading| self.action.starts_with(reading))
    }
}

/// How the sandbox is started.
pub(crate) struct Start<'a> {
    pub(crate) scenario: &'a str,
    pub(crate) engines: &'a str,
    pub(crate) speed: &'a str,
}

impl Sandbox {
    pub(crate) fn start(start: &Start<'_>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(BINARY)
            .args([
                "sandbox",
                "serve",
                "--scenario",
                start.scenario,
                "--engines",
                start.engines,
                "--speed",
                start.speed,
            ])
            .arg("--request-log")
            .arg(dir.path().join("requests.jsonl"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let Ok(ready) = serde_json::from_str::<Value>(&line) else {
            let mut error = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut error)
                .unwrap();
            panic!(
                "the sandbox did not start: {error}\nreal servers are installed by sandbox/install-engines.sh"
            );
        };
        let endpoint = ready["endpoint"].as_str().unwrap().to_owned();
        let scenario = match Scenario::shipped()
            .iter()
            .find(|(name, _)| *name == start.scenario)
        {
            Some((name, text)) => Scenario::parse(name, text),
            None => Scenario::from_file(Path::new(start.scenario)),
        };
        Self {
            child,
            endpoint,
            ready,
            dir,
            access: scenario.unwrap().access(),
        }
    }

    /// The binary with everything set that points it to this sandbox and nothing of this machine's AWS settings.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        let mut args = args.to_vec();
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
        // Half a minute of real time is for real fleets.
        if args.first() == Some(&"plan") && !args.contains(&"--quiesce-window") {
            args.extend(["--quiesce-window", "1s"]);
        }
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("HOME", self.dir.path())
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_ACCESS_KEY_ID", &self.access.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &self.access.secret_access_key)
            .env("AWS_REGION", "eu-central-1")
            .env("ATREST_MYSQL_PASSWORD", &self.access.master_password)
            .stdin(Stdio::null());
        command
    }

    /// Runs to the end; a hung process is killed and fails the test.
    pub(crate) fn run(&self, args: &[&str]) -> Finished {
        finish(self.command(args), Duration::from_secs(240))
    }

    /// The request log so far. The sandbox may be writing: a last line without its newline, which can end within a
    /// character, is not yet there.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let bytes = std::fs::read(self.dir.path().join("requests.jsonl")).unwrap_or_default();
        let whole = bytes.iter().rposition(|b| *b == b'\n').unwrap_or(0);
        let text = std::str::from_utf8(&bytes[..whole]).unwrap();
        text.lines()
            .map(|line| {
                let value: Value = serde_json::from_str(line).unwrap();
                let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
                let params = value["params"].as_object().cloned().unwrap_or_default();
                Request {
                    service: text("service"),
                    account: text("account"),
                    action: text("action"),
                    region: text("region"),
                    code: text("code"),
                    fault: text("fault"),
                    params: params
                        .into_iter()
                        .map(|(name, value)| {
                            (
                                name,
                                value
                                    .as_str()
                                    .map_or_else(|| value.to_string(), str::to_owned),
                            )
                        })
                        .collect(),
                }
            })
            .collect()
    }

    /// Mutations that took effect, in order.
    pub(crate) fn mutations(&self) -> Vec<Request> {
        self.requests()
            .into_iter()
            .filter(|r| r.is_mutation() && r.code.is_empty())
            .collect()
    }

    /// AWS as this sandbox plays it.
    pub(crate) fn aws(&self, region: &str) -> Aws {
        Aws::fixed(
            &self.endpoint,
            region,
            &self.access.access_key_id,
            &self.access.secret_access_key,
        )
    }

    /// Every DB instance of a region by name, as the SDK reads it.
    pub(crate) fn instances(&self, region: &str) -> BTreeMap<String, DbInstance> {
        let aws = self.aws(region);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (instances, _calls) = runtime.block_on(aws.rds(region).db_instances()).unwrap();
        instances
            .into_iter()
            .map(|instance| (instance.identifier().to_owned(), instance))
            .collect()
    }

    /// The authority of its servers' certificates.
    pub(crate) fn ca_file(&self) -> &str {
        self.ready["ca_file"].as_str().unwrap()
    }

    pub(crate) fn password(&self) -> &str {
        &self.access.master_password
    }

    /// What signs its requests.
    pub(crate) fn secret_access_key(&self) -> &str {
        &self.access.secret_access_key
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Orderly end; the exit status tells whether every engine was stopped.
    pub(crate) fn stop(mut self) -> ExitStatus {
        terminate(&self.child);
        wait(&mut self.child, Duration::from_secs(60))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            terminate(&self.child);
            let _status = wait(&mut self.child, Duration::from_secs(60));
        }
    }
}

fn terminate(child: &Child) {
    // The standard library can only kill; the sandbox stops its engines on SIGTERM.
    let status = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// Waits for a process with a deadline.
fn wait(child: &mut Child, limit: Duration) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if began.elapsed() > limit {
            child.kill().unwrap();
            let _status = child.wait();
            panic!("a process did not end within {limit:?}");
        }
        pause();
    }
}

/// The pause between two looks at a real process.
#[expect(clippy::disallowed_methods, reason = "polling a real process")]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

/// What a command left.
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// Asserts the exit code, with everything that was said.
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }
}

/// Runs a command to its end.
pub(crate) fn finish(mut command: Command, limit: Duration) -> Finished {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let out = std::thread::spawn(move || read(&mut stdout));
    let err = std::thread::spawn(move || read(&mut stderr));
    let status = wait(&mut child, limit);
    let output = Output {
        status,
        stdout: out.join().unwrap(),
        stderr: err.join().unwrap(),
    };
    Finished {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn read(from: &mut impl std::io::Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    bytes
}
