//! HTTP by hand, for the services beside RDS, the admin endpoint and what is no HTTP at all.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Bench;

/// An answer, body uninterpreted.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Raw {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("json")
    }

    /// The text between the first `<name>` and its end.
    pub(crate) fn element(&self, name: &str) -> Option<String> {
        self.elements(name).into_iter().next()
    }

    pub(crate) fn elements(&self, name: &str) -> Vec<String> {
        self.text()
            .split(&format!("<{name}>"))
            .skip(1)
            .filter_map(|rest| rest.split(&format!("</{name}>")).next())
            .map(str::to_owned)
            .collect()
    }

    /// The error code, whatever the protocol; empty on success.
    pub(crate) fn code(&self) -> String {
        if self.status == 200 {
            return String::new();
        }
        self.element("Code").unwrap_or_else(|| {
            self.json()["__type"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
    }
}

/// Sends bytes and reads what comes until the connection ends; `None` when it ended without an answer.
pub(crate) async fn exchange(bench: &Bench, bytes: &[u8]) -> Option<Raw> {
    let address = bench
        .sandbox
        .endpoint()
        .trim_start_matches("http://")
        .to_owned();
    let mut stream = TcpStream::connect(&address).await.expect("a connection");
    // The other side may have had enough before all is sent.
    let sent = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer).await;
    if answer.is_empty() {
        assert!(sent.is_err() || read.is_err() || answer.is_empty());
        return None;
    }
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(answer[..end].to_vec()).ok()?;
    let mut lines = head.lines();
    Some(Raw {
        status: lines.next()?.split(' ').nth(1)?.parse().ok()?,
        headers: lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect(),
        body: answer[end + 4..].to_vec(),
    })
}

/// Who calls, from where.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys {
    pub(crate) id: String,
    pub(crate) secret: Option<String>,
    pub(crate) token: Option<String>,
}

/// A call with these keys, truly signed when there is a secret.
pub(crate) async fn call_as(
    bench: &Bench,
    keys: &Keys,
    service: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<Raw> {
    let host = bench
        .sandbox
        .endpoint()
        .trim_start_matches("http://")
        .to_owned();
    let scope = format!("20261124/{}/{service}/aws4_request", bench.region);
    let date = "20261124T120000Z";
    let canonical = format!(
        "POST\n{path}\n\nhost:{host}\nx-amz-date:{date}\n\nhost;x-amz-date\n{}",
        hex(&Sha256::digest(body))
    );
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        hex(&Sha256::digest(canonical.as_bytes()))
    );
    let secret = keys.secret.as_deref().unwrap_or_default();
    let mut key = mac(format!("AWS4{secret}").as_bytes(), "20261124");
    for part in [bench.region, service, "aws4_request"] {
        key = mac(&key, part);
    }
    let signature = hex(&mac(&key, &to_sign));
    let mut head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nX-Amz-Date: {date}\r\nAuthorization: AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=host;x-amz-date, Signature={signature}\r\nContent-Length: {}\r\n",
        keys.id,
        body.len()
    );
    if let Some(token) = &keys.token {
        head.push_str(&format!("X-Amz-Security-Token: {token}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    exchange(bench, &[head.as_bytes(), body].concat()).await
}

/// A call with the bench's keys.
pub(crate) async fn call(
    bench: &Bench,
    service: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Raw {
    let keys = Keys {
        id: bench.access_key.to_owned(),
        ..Keys::default()
    };
    call_as(bench, &keys, service, path, headers, body)
        .await
        .expect("an answer")
}

/// A call of a JSON service by its target.
pub(crate) async fn json(bench: &Bench, service: &str, target: &str, body: &Value) -> Raw {
    let prefix = match service {
        "kms" => "TrentService",
        "organizations" => "AWSOrganizationsV20161128",
        "monitoring" => "GraniteServiceVersion20100801",
        other => other,
    };
    call(
        bench,
        service,
        "/",
        &[("X-Amz-Target", &format!("{prefix}.{target}"))],
        body.to_string().as_bytes(),
    )
    .await
}

/// A call of a Query service.
pub(crate) async fn query(bench: &Bench, service: &str, form: &str) -> Raw {
    call(bench, service, "/", &[], form.as_bytes()).await
}

/// A request to the admin endpoint.
pub(crate) async fn admin(bench: &Bench, method: &str, path: &str, body: Value) -> Raw {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = format!(
        "{method} /_sandbox{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    exchange(bench, request.as_bytes())
        .await
        .expect("an answer")
}

/// The same, which succeeds.
pub(crate) async fn admin_ok(bench: &Bench, method: &str, path: &str, body: Value) -> Value {
    let answer = admin(bench, method, path, body).await;
    assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
    answer.json()
}

/// Adds a fault while the sandbox runs.
pub(crate) async fn fault(bench: &Bench, fault: Value) -> String {
    let added = admin_ok(bench, "POST", "/faults", fault).await;
    added["added"][0].as_str().expect("a name").to_owned()
}

fn mac(key: &[u8], message: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
