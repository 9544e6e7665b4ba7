//! Servers that misbehave: MySQL servers that hang or ask for a password in clear text, and a Secrets Manager.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Longest wait for a client that a test has started.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the server does after a client has come.
#[derive(Clone)]
pub(crate) enum Manner {
    /// Says nothing at all.
    Silent,
    /// Breaks off in the middle of its greeting.
    HalfGreeting,
    /// Lets everybody in and then answers no statement.
    MuteAfterLogin,
    /// Refuses every login with these words.
    Refuses(&'static str),
    /// Asks for the password in clear text, inside TLS if it has a certificate.
    ClearPassword(Option<Arc<rustls::ServerConfig>>),
}

/// A MySQL server for one client, on loopback.
pub(crate) struct MysqlServer {
    pub(crate) port: u16,
    heard: Receiver<Vec<u8>>,
}

impl MysqlServer {
    pub(crate) fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (send, heard) = channel();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            serve(stream, &manner, &send);
        });
        Self { port, heard }
    }

    pub(crate) fn url(&self, user: &str) -> String {
        format!("mysql://{user}@127.0.0.1:{}", self.port)
    }

    /// What the client said where its password belongs; `None` when it left before.
    pub(crate) fn heard(&self) -> Option<Vec<u8>> {
        self.heard.recv_timeout(PATIENCE).ok()
    }

    /// Whether a client has come and said something.
    pub(crate) fn was_visited(&self) -> bool {
        self.heard.try_recv().is_ok()
    }
}

fn serve(mut stream: TcpStream, manner: &Manner, heard: &Sender<Vec<u8>>) {
    match manner {
        Manner::Silent => wait_for_end(&mut stream),
        Manner::HalfGreeting => {
            let greeting = greeting(false);
            write_packet(&mut stream, 0, &greeting, greeting.len() / 2);
            wait_for_end(&mut stream);
        }
        Manner::MuteAfterLogin => {
            let greeting = greeting(false);
            write_packet(&mut stream, 0, &greeting, greeting.len());
            let Some((sequence, _login)) = read_packet(&mut stream) else {
                return;
            };
            let ok = [0, 0, 0, 2, 0, 0, 0];
            write_packet(&mut stream, sequence + 1, &ok, ok.len());
            wait_for_end(&mut stream);
        }
        Manner::Refuses(words) => {
            let greeting = greeting(false);
            write_packet(&mut stream, 0, &greeting, greeting.len());
            let Some((sequence, _login)) = read_packet(&mut stream) else {
                return;
            };
            let refusal = [b"\xff\x15\x04#28000", words.as_bytes()].concat();
            write_packet(&mut stream, sequence + 1, &refusal, refusal.len());
            wait_for_end(&mut stream);
        }
        Manner::ClearPassword(None) => {
            let greeting = greeting(false);
            write_packet(&mut stream, 0, &greeting, greeting.len());
            ask_in_clear(&mut stream, heard);
        }
        Manner::ClearPassword(Some(tls)) => {
            let greeting = greeting(true);
            write_packet(&mut stream, 0, &greeting, greeting.len());
            // The request for TLS; what follows is the handshake.
            let Some(_request) = read_packet(&mut stream) else {
                return;
            };
            let session = rustls::ServerConnection::new(tls.clone()).unwrap();
            ask_in_clear(&mut rustls::StreamOwned::new(session, stream), heard);
        }
    }
}

/// Reads the login, asks for the password in clear text, refuses it.
fn ask_in_clear(stream: &mut (impl Read + Write), heard: &Sender<Vec<u8>>) {
    let Some((sequence, _login)) = read_packet(stream) else {
        return;
    };
    let switch = b"\xfemysql_clear_password\0";
    write_packet(stream, sequence + 1, switch, switch.len());
    let Some((sequence, password)) = read_packet(stream) else {
        return;
    };
    heard.send(password).unwrap();
    let refusal = b"\xff\x15\x04#28000Access denied for user";
    write_packet(stream, sequence + 1, refusal, refusal.len());
}

/// Protocol 10, as a MySQL 8.0 says it.
fn greeting(tls: bool) -> Vec<u8> {
    const BASE: u32 = 0x1 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x0008_0000 | 0x0020_0000;
    let capabilities = if tls { BASE | 0x800 } else { BASE };
    let [low, high, upper_low, upper_high] = capabilities.to_le_bytes();
    let mut packet = b"\x0a8.0.36\0".to_vec();
    packet.extend_from_slice(&7_u32.to_le_bytes());
    packet.extend_from_slice(b"12345678\0");
    packet.extend_from_slice(&[low, high, 45, 2, 0, upper_low, upper_high, 21]);
    packet.extend_from_slice(&[0; 10]);
    packet.extend_from_slice(b"901234567890\0mysql_native_password\0");
    packet
}

/// Writes the first `bytes` bytes of a packet's payload under a header that promises all of it.
fn write_packet(stream: &mut impl Write, sequence: u8, payload: &[u8], bytes: usize) {
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    let mut packet = vec![length[0], length[1], length[2], sequence];
    packet.extend_from_slice(&payload[..bytes]);
    // The client may have left.
    let _written = stream.write_all(&packet).and_then(|()| stream.flush());
}

fn read_packet(stream: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).ok()?;
    let length = u32::from_le_bytes([header[0], header[1], header[2], 0]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut payload).ok()?;
    Some((header[3], payload))
}

fn wait_for_end(stream: &mut TcpStream) {
    let _bytes = std::io::copy(stream, &mut std::io::sink());
}

/// A certificate for these names, and the file with its authority.
pub(crate) fn certificate(names: &[&str], ca_file: &Path) -> Arc<rustls::ServerConfig> {
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority =
        rcgen::CertifiedIssuer::self_signed(authority, rcgen::KeyPair::generate().unwrap())
            .unwrap();
    std::fs::write(ca_file, authority.pem()).unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    Arc::new(config)
}

/// A Secrets Manager that gives one recorded answer to every request.
pub(crate) struct Secrets {
    pub(crate) endpoint: String,
    requests: Receiver<String>,
}

impl Secrets {
    pub(crate) fn start(status: &'static str, body: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (send, requests) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let request = read_request(&mut stream);
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _written = stream.write_all(answer.as_bytes());
                if send.send(request).is_err() {
                    return;
                }
            }
        });
        Self { endpoint, requests }
    }

    /// An answer as RDS's own secrets have it.
    pub(crate) fn of(username: &str, password: &str) -> Self {
        let value = serde_json::json!({"username": username, "password": password}).to_string();
        let body = serde_json::json!({
            "ARN": "arn:aws:secretsmanager:eu-central-1:111122223333:secret:rds!db-1-AbCdEf",
            "CreatedDate": 1_770_000_000.25,
            "Name": "rds!db-1",
            "SecretString": value,
            "VersionId": "5048d6cd-9e1f-4a42-8d9f-2f0a6a0a0001",
            "VersionStages": ["AWSCURRENT", "AWSPENDING"],
        });
        Self::start("200 OK", body.to_string())
    }

    /// Head and body of every request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.try_iter().collect()
    }
}

pub(crate) fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map_or(0, |(_, value)| value.trim().parse::<usize>().unwrap());
            if body.len() >= length {
                return text.into_owned();
            }
        }
        let read = stream.read(&mut part).unwrap();
        assert!(read > 0, "the request broke off");
        bytes.extend_from_slice(&part[..read]);
    }
}
