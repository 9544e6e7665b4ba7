//! A Restate server for a test: on sockets in a folder, so that it listens on no port, and with no way out.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The longest that anything here may take on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(600);

/// The longest that one answer may take.
const ANSWER: Duration = Duration::from_secs(15);

/// The pause between two looks at a real process.
#[expect(clippy::disallowed_methods, reason = "polling a real process")]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

/// The server's binary; `None`, after saying so, when somebody said that there is none here.
fn binary() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = match set("ATREST_RESTATE") {
        Some(none) if none == "none" => {
            println!("NOT RUN: workflows of a Restate server (ATREST_RESTATE=none)");
            return None;
        }
        Some(folder) => PathBuf::from(folder),
        None => set("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")))
            .unwrap()
            .join("atrest/restate"),
    };
    let binary = folder.join("restate-server");
    assert!(
        folder.join("PACKAGE").exists() && binary.exists(),
        "there is no Restate server in {}: run restate/install-server.sh, or set ATREST_RESTATE=none to do without",
        folder.display()
    );
    Some(binary)
}

/// A server. Ends with the value; its folder does not.
pub(crate) struct Server {
    child: Child,
    binary: PathBuf,
    dir: PathBuf,
}

impl Server {
    pub(crate) fn start(dir: &Path) -> Option<Self> {
        let binary = binary()?;
        let child = spawn(&binary, dir);
        let mut server = Self {
            child,
            binary,
            dir: dir.to_owned(),
        };
        server.is_up();
        Some(server)
    }

    fn is_up(&mut self) {
        let began = Instant::now();
        loop {
            let healthy = |socket: &str, path: &str| {
                self.try_call(socket, "GET", path, "")
                    .is_some_and(|(status, _)| status == 200)
            };
            if healthy("admin", "/health") && healthy("ingress", "/restate/health") {
                return;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the server ended with {status}: {}", self.said());
            }
            assert!(began.elapsed() < LIMIT, "{}", self.said());
            pause();
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.dir.join("server.log")).unwrap_or_default()
    }

    /// kill -9, and the same server again.
    pub(crate) fn crash(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(&self.binary, &self.dir);
        self.is_up();
    }

    fn try_call(
        &self,
        socket: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> Option<(u16, String)> {
        let socket = self.dir.join("n1").join(format!("{socket}.sock"));
        let mut stream = UnixStream::connect(socket).ok()?;
        // What was asked while a server was starting may never be answered; everything here can be asked again.
        stream.set_read_timeout(Some(ANSWER)).ok()?;
        // A handler that takes nothing refuses even the type of it.
        let kind = match body {
            "" => "",
            _ => "Content-Type: application/json\r\n",
        };
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }

    pub(crate) fn call(&self, socket: &str, method: &str, path: &str, body: &str) -> (u16, String) {
        let began = Instant::now();
        loop {
            if let Some(answer) = self.try_call(socket, method, path, body) {
                return answer;
            }
            assert!(began.elapsed() < LIMIT, "{path}: {}", self.said());
            pause();
        }
    }

    /// Has the server find out what a service offers.
    pub(crate) fn register(&self, address: &str) {
        let body = serde_json::json!({"uri": format!("http://{address}"), "force": true});
        let (status, answer) = self.call("admin", "POST", "/deployments", &body.to_string());
        assert!(status == 200 || status == 201, "{status}: {answer}");
    }

    /// What a workflow has ended with; `None` while it goes on.
    pub(crate) fn output(&self, key: &str) -> Option<Value> {
        let path = format!("/restate/workflow/Migration/{key}/output");
        let (status, answer) = self.call("ingress", "GET", &path, "");
        match status {
            200 => Some(serde_json::from_str(&answer).unwrap()),
            // Not ready, or not known yet.
            404 | 470 => None,
            _ => panic!("{status}: {answer}"),
        }
    }
}

fn spawn(binary: &Path, dir: &Path) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(dir.join("server.log"))
        .unwrap();
    Command::new(binary)
        .args([
            "--no-logo",
            "--listen-mode",
            "unix",
            "--node-name",
            "n1",
            "--base-dir",
        ])
        .arg(dir)
        .args(["--default-num-partitions", "1"])
        .env("RESTATE_DISABLE_TELEMETRY", "true")
        .env("DO_NOT_TRACK", "1")
        .env("RESTATE_ROCKSDB_TOTAL_MEMORY_SIZE", "256MB")
        // It looks for newer releases even so.
        .env("HTTPS_PROXY", "http://127.0.0.1:9")
        .env("https_proxy", "http://127.0.0.1:9")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(Stdio::from(log))
        .spawn()
        .unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
