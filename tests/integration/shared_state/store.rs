//! An S3 server with conditional writes: moto's, as `sandbox/install-clients.sh` installs it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::Value;

const REQUIREMENTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/sandbox/tests/clients/moto.txt"
);
const BUCKET: &str = "team-state";
/// What runners are told.
pub(crate) const URL: &str = "s3://team-state/atrest";
/// moto checks no signature, and gives nothing to who has none.
const SOMEBODY: &str = "AWS4-HMAC-SHA256 Credential=AKIATEST/20261124/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
/// Python starts slowly on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The Python that has moto; `None` when somebody said that there are no clients here.
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
    let wanted = std::fs::read_to_string(REQUIREMENTS).unwrap();
    let installed = std::fs::read_to_string(folder.join("moto.txt")).unwrap_or_default();
    assert!(
        installed == wanted,
        "moto in {} is not there or out of date: run sandbox/install-clients.sh, or set ATREST_CLIENTS=none to do without",
        folder.display()
    );
    Some(folder.join("moto/bin/python"))
}

/// A running store. Ends with the value.
pub(crate) struct Store {
    child: Child,
    port: u16,
}

impl Store {
    /// `None`, after saying so, where there are no clients.
    #[expect(clippy::print_stdout, reason = "what is not run is said in the output")]
    pub(crate) fn start() -> Option<Self> {
        let Some(python) = python() else {
            println!("NOT RUN: shared state (ATREST_CLIENTS=none)");
            return None;
        };
        let mut child = Command::new(python)
            .args(["-B", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"])
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let (send, port) = channel();
        // Its log is read to the end, or it would block.
        std::thread::spawn(move || {
            let mut said = String::new();
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let port = line.split("http://127.0.0.1:").nth(1);
                let port = port.map(|p| p.trim_end_matches(|c: char| !c.is_ascii_digit()));
                if let Some(port) = port.and_then(|port| port.parse::<u16>().ok()) {
                    let _receiver_gone = send.send(Ok(port));
                }
                if said.len() < 10_000 {
                    said.push_str(&line);
                }
            }
            let _receiver_gone = send.send(Err(said));
        });
        let port = port
            .recv_timeout(PATIENCE)
            .expect("moto said nothing")
            .unwrap_or_else(|said| panic!("moto did not start: {said}"));
        let store = Self { child, port };
        assert_eq!(store.http("PUT", BUCKET, b"").0, 200);
        Some(store)
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn http(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "{method} /{path} HTTP/1.0\r\nHost: 127.0.0.1\r\nAuthorization: {SOMEBODY}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer[end + 4..].to_vec())
    }

    /// The object of a DB instance as it lies there.
    pub(crate) fn object(&self, resource_id: &str) -> Value {
        let (status, body) = self.http("GET", &key(resource_id), b"");
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    pub(crate) fn has(&self, resource_id: &str) -> bool {
        self.http("GET", &key(resource_id), b"").0 == 200
    }

    /// Somebody edits it by hand.
    pub(crate) fn edit(&self, resource_id: &str, edit: impl FnOnce(&mut Value)) {
        let mut object = self.object(resource_id);
        edit(&mut object);
        let bytes = serde_json::to_vec(&object).unwrap();
        assert_eq!(self.http("PUT", &key(resource_id), &bytes).0, 200);
    }

    /// The lease has ended, as by the passing of time.
    pub(crate) fn end_lease(&self, resource_id: &str) {
        self.edit(resource_id, |object| {
            object["expires"] = "2020-01-01T00:00:00Z".into();
        });
    }
}

fn key(resource_id: &str) -> String {
    format!("{BUCKET}/atrest/{resource_id}.json")
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
