//! A Query client by hand: nothing of the sandbox's own code takes part in reading its answers.

use std::collections::BTreeMap;
use std::time::Duration;

use atrest_sandbox::engine::{EngineMode, default_install_dir};
use atrest_sandbox::{Sandbox, SandboxOptions, Scenario};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer as it came over the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    /// The text of the first element of this name.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.all(name).into_iter().next()
    }

    /// The texts of all elements of this name.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.body
            .split(&format!("<{name}>"))
            .skip(1)
            .filter_map(|rest| rest.split(&format!("</{name}>")).next())
            .map(str::to_owned)
            .collect()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.body.contains(&format!("<{name}>"))
    }

    /// The error code, empty on success.
    pub(crate) fn code(&self) -> String {
        if self.status == 200 {
            String::new()
        } else {
            self.text("Code").unwrap_or_default()
        }
    }
}

/// A paused sandbox and a caller.
pub(crate) struct Bench {
    pub(crate) sandbox: Sandbox,
    pub(crate) access_key: &'static str,
    pub(crate) region: &'static str,
}

impl Bench {
    /// The small fleet that most tests use, without lags, plus whatever the test adds to it.
    pub(crate) async fn with(more: &str) -> Self {
        Self::of(&format!("{}{more}", include_str!("fleet.toml"))).await
    }

    pub(crate) async fn of(text: &str) -> Self {
        let scenario = match Scenario::parse("test", text) {
            Ok(scenario) => scenario,
            Err(error) => panic!("{error:?}"),
        };
        Self::start(scenario, None).await
    }

    /// A sandbox with real servers, which must be installed, in `work_dir`.
    pub(crate) async fn with_servers(text: &str, work_dir: std::path::PathBuf) -> Self {
        let scenario = match Scenario::parse("test", text) {
            Ok(scenario) => scenario,
            Err(error) => panic!("{error:?}"),
        };
        let sandbox = Sandbox::start_paused(SandboxOptions {
            scenario,
            port: 0,
            speed: 1.0,
            engines: EngineMode::Required,
            install_dir: default_install_dir().expect("a folder for servers"),
            work_dir,
            request_log: None,
            seed: 42,
        })
        .await
        .expect(
            "the sandbox starts; sandbox/install-engines.sh mariadb1011 mysql57 brings its servers",
        );
        Self {
            sandbox,
            access_key: "AKIATEST",
            region: "eu-central-1",
        }
    }

    pub(crate) async fn start(scenario: Scenario, request_log: Option<std::path::PathBuf>) -> Self {
        let sandbox = Sandbox::start_paused(SandboxOptions {
            scenario,
            port: 0,
            speed: 1.0,
            engines: EngineMode::None,
            install_dir: std::path::PathBuf::new(),
            work_dir: std::path::PathBuf::new(),
            request_log,
            seed: 42,
        })
        .await
        .expect("the sandbox starts");
        Self {
            sandbox,
            access_key: "AKIATEST",
            region: "eu-central-1",
        }
    }

    pub(crate) async fn pass(&self, seconds: u64) {
        self.sandbox.advance(Duration::from_secs(seconds)).await;
    }

    /// Calls RDS.
    pub(crate) async fn call(&self, action: &str, params: &[(&str, &str)]) -> Answer {
        self.try_call("rds", action, params)
            .await
            .expect("an answer")
    }

    /// Calls RDS and expects success.
    pub(crate) async fn ok(&self, action: &str, params: &[(&str, &str)]) -> Answer {
        let answer = self.call(action, params).await;
        assert_eq!(answer.status, 200, "{action}: {}", answer.body);
        answer
    }

    /// Calls RDS and expects this error.
    pub(crate) async fn refused(
        &self,
        action: &str,
        params: &[(&str, &str)],
        code: &str,
    ) -> Answer {
        let answer = self.call(action, params).await;
        assert_eq!(answer.code(), code, "{action}: {}", answer.body);
        answer
    }

    /// A call whose answer may be lost.
    pub(crate) async fn try_call(
        &self,
        service: &str,
        action: &str,
        params: &[(&str, &str)],
    ) -> Option<Answer> {
        let mut form = format!("Action={action}&Version=2014-10-31");
        for (name, value) in params {
            form.push_str(&format!("&{name}={}", escape(value)));
        }
        self.send(service, "/", &form, "").await
    }

    /// Sends a request with an Authorization header made by hand.
    pub(crate) async fn send(
        &self,
        service: &str,
        path: &str,
        body: &str,
        header: &str,
    ) -> Option<Answer> {
        let address = self
            .sandbox
            .endpoint()
            .trim_start_matches("http://")
            .to_owned();
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{header}Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\nAuthorization: AWS4-HMAC-SHA256 Credential={}/20261124/{}/{service}/aws4_request, SignedHeaders=host, Signature=0\r\nContent-Length: {}\r\n\r\n{body}",
            self.access_key,
            self.region,
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        Some(Answer {
            status,
            headers,
            body: body.to_owned(),
        })
    }

    /// An instance, or `None` when it is not found.
    pub(crate) async fn instance(&self, id: &str) -> Option<Answer> {
        let answer = self
            .call("DescribeDBInstances", &[("DBInstanceIdentifier", id)])
            .await;
        match answer.code().as_str() {
            "" => Some(answer),
            "DBInstanceNotFound" => {
                assert_eq!(answer.status, 404);
                None
            }
            other => panic!("{other}"),
        }
    }

    /// Its status, `-` when it is not found.
    pub(crate) async fn status(&self, id: &str) -> String {
        self.instance(id)
            .await
            .and_then(|answer| answer.text("DBInstanceStatus"))
            .unwrap_or_else(|| "-".to_owned())
    }

    /// Lets time pass until an instance has this status, and returns the statuses on the way.
    pub(crate) async fn until(&self, id: &str, status: &str) -> Vec<String> {
        let mut seen: Vec<String> = Vec::new();
        for _ in 0..2_000 {
            let now = self.status(id).await;
            if seen.last() != Some(&now) {
                seen.push(now.clone());
            }
            if now == status {
                return seen;
            }
            self.pass(2).await;
        }
        panic!("{id} is never {status}: {seen:?}");
    }

    /// Lets time pass until a snapshot is available.
    pub(crate) async fn until_snapshot(&self, id: &str) {
        for _ in 0..1_000 {
            let answer = self
                .ok("DescribeDBSnapshots", &[("DBSnapshotIdentifier", id)])
                .await;
            if answer.text("Status").as_deref() == Some("available") {
                return;
            }
            self.pass(2).await;
        }
        panic!("{id} is never available");
    }

    /// Makes a snapshot of an instance and waits for it.
    pub(crate) async fn snapshot(&self, instance: &str, id: &str) {
        self.ok(
            "CreateDBSnapshot",
            &[
                ("DBInstanceIdentifier", instance),
                ("DBSnapshotIdentifier", id),
            ],
        )
        .await;
        self.until_snapshot(id).await;
        self.until(instance, "available").await;
    }

    /// Renames an instance and waits until the new name is available and the old one free.
    pub(crate) async fn rename(&self, from: &str, to: &str) {
        self.ok(
            "ModifyDBInstance",
            &[
                ("DBInstanceIdentifier", from),
                ("NewDBInstanceIdentifier", to),
                ("ApplyImmediately", "true"),
            ],
        )
        .await;
        self.until(to, "available").await;
    }
}

fn escape(value: &str) -> String {
    value
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
