//! What an operator's other tools get: numbers for Prometheus, events at a webhook, a message for a chat.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use crate::fleet::{execute, fleet, plan};
use crate::harness::{Sandbox, finish};

const SECRET: &str = "correct-horse-battery-staple-webhook";
const TOKEN: &str = "path-with-a-token";

/// Headers and body of a request.
struct Posted {
    head: String,
    body: String,
}

impl Posted {
    fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .next()
            .unwrap_or_else(|| panic!("no {name}: {}", self.head))
    }

    /// As a receiver checks it who knows Standard Webhooks, and not this program.
    fn is_signed(&self) -> bool {
        let signed = format!(
            "{}.{}.{}",
            self.header("webhook-id"),
            self.header("webhook-timestamp"),
            self.body
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(signed.as_bytes());
        let expected = STANDARD.encode(mac.finalize().into_bytes());
        self.header("webhook-signature") == format!("v1,{expected}")
    }
}

fn read(stream: &TcpStream) -> Posted {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
    }
    let mut posted = Posted {
        head,
        body: String::new(),
    };
    let mut body = vec![0; posted.header("content-length").parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    posted.body = String::from_utf8(body).unwrap();
    posted
}

/// Answers with these, then with 204; nothing at all for 0. Ends with the test process: it waits for a connection.
fn receiver(statuses: &[u16]) -> (String, Receiver<(u16, Posted)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/{TOKEN}", listener.local_addr().unwrap());
    let (send, seen) = channel();
    let statuses = statuses.to_vec();
    let mut statuses = statuses.into_iter();
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let posted = read(&stream);
            let status = statuses.next().unwrap_or(204);
            if send.send((status, posted)).is_err() {
                return;
            }
            if status == 0 {
                silent.push(stream);
                continue;
            }
            let answer =
                format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (url, seen)
}

fn posting(sandbox: &Sandbox, url: &str, more: &[&str]) -> Command {
    let mut command = sandbox.command(&execute(more));
    command
        .env("ATREST_EVENTS_URL", url)
        .env("ATREST_EVENTS_SECRET", SECRET);
    command
}

fn text(sandbox: &Sandbox, name: &str) -> String {
    std::fs::read_to_string(sandbox.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn limit() -> std::time::Duration {
    std::time::Duration::from_secs(240)
}

#[test]
fn events_arrive_signed_and_in_order_at_a_receiver_that_fails_first_and_the_numbers_are_those_of_the_run()
 {
    let sandbox = fleet(&["a"], "2000", "");
    plan(&sandbox, "told", &[]).expect(0);
    let (url, seen) = receiver(&[503, 500]);
    let more = ["--metrics", "run.prom", "--no-progress"];
    let ended = finish(posting(&sandbox, &url, &more), limit()).expect(0);
    let posted: Vec<(u16, Posted)> = seen.try_iter().collect();
    assert!(posted.iter().all(|(_, posted)| posted.is_signed()));
    let taken: String = posted
        .iter()
        .filter(|(status, _)| *status == 204)
        .map(|(_, posted)| posted.body.as_str())
        .collect();
    assert_eq!(taken, text(&sandbox, ".atrest/runs/told/events.jsonl"));
    assert!(!ended.stderr.contains("not delivered"), "{}", ended.stderr);
    for secret in [SECRET, TOKEN] {
        assert!(!ended.stderr.contains(secret), "{}", ended.stderr);
    }

    let numbers = text(&sandbox, "run.prom");
    for line in [
        "atrest_run_migrations{run=\"told\",outcome=\"migrated\"} 1",
        "atrest_run_migrations{run=\"told\",outcome=\"needs-operator\"} 0",
        "atrest_run_exit_code{run=\"told\"} 0",
        "atrest_run_under_way{run=\"told\"} 0",
        "atrest_run_steps{run=\"told\",state=\"open\"} 0",
        "atrest_run_instance_away{run=\"told\",migration=\"eu-central-1/a\",instance=\"a\"} 0",
    ] {
        assert!(
            numbers.lines().any(|found| found == line),
            "{line}: {numbers}"
        );
    }
    let mode = std::fs::metadata(sandbox.path("run.prom"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o400, 0o400);

    // The same from beside the runner, of all runs; one that is none is counted.
    std::fs::create_dir(sandbox.path(".atrest/runs/half")).unwrap();
    sandbox.run(&["status", "--metrics", "all.prom"]).expect(0);
    let all = text(&sandbox, "all.prom");
    assert!(all.contains("atrest_runs_unread 1\n"), "{all}");
    let is_of_status = |line: &&str| !line.contains("exit_code") && !line.contains("runs_unread");
    let lines = |text: &str| {
        text.lines()
            .filter(is_of_status)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(&all), lines(&numbers));
    sandbox
        .run(&["status", "nobody", "--metrics", "x.prom"])
        .expect(2);
    assert!(!sandbox.path("x.prom").exists());

    let message = sandbox
        .run(&["status", "told", "--format", "chat"])
        .expect(0)
        .stdout;
    assert!(
        message.starts_with("run told: 1 of 1 migration migrated, longest downtime "),
        "{message}"
    );
}

#[test]
fn a_receiver_that_never_answers_does_not_hold_a_run_up() {
    let sandbox = fleet(&["a"], "2000", "");
    plan(&sandbox, "untold", &[]).expect(0);
    let (url, seen) = receiver(&[0; 100]);
    let ended = finish(posting(&sandbox, &url, &[]), limit()).expect(0);
    assert!(seen.try_recv().is_ok(), "it was spoken to");
    assert_eq!(
        ended.json()["migrations"][0]["outcome"]["outcome"],
        "migrated"
    );
    let kept = text(&sandbox, ".atrest/runs/untold/events.jsonl")
        .lines()
        .count();
    let said = format!("{kept} of {kept} events were not delivered to 127.0.0.1");
    assert!(ended.stderr.contains(&said), "{}", ended.stderr);
    assert!(!ended.stderr.contains(TOKEN), "{}", ended.stderr);
}

#[test]
fn what_is_wrong_with_a_webhook_is_found_before_anything_is_begun() {
    let sandbox = fleet(&["a"], "2000", "");
    plan(&sandbox, "none", &[]).expect(0);
    for (url, secret, said) in [
        (
            "http://hooks.example.com/path-with-a-token",
            SECRET,
            "wants https",
        ),
        ("nonsense path-with-a-token", SECRET, "https://"),
        (
            "https://hooks.example.com/path-with-a-token",
            "short",
            "24 are needed",
        ),
        (
            "https://hooks.example.com/path-with-a-token",
            "",
            "the secret has 0 bytes",
        ),
    ] {
        let mut command = posting(&sandbox, url, &[]);
        command.env("ATREST_EVENTS_SECRET", secret);
        let refused = finish(command, limit()).expect(2);
        assert!(refused.stderr.contains(said), "{url}: {}", refused.stderr);
        assert!(!refused.stderr.contains(TOKEN), "{}", refused.stderr);
    }
    let mut command = posting(&sandbox, "https://hooks.example.com/", &[]);
    command.env_remove("ATREST_EVENTS_SECRET");
    let refused = finish(command, limit()).expect(2);
    assert!(refused.stderr.contains("no secret"), "{}", refused.stderr);
    assert!(sandbox.mutations().is_empty());
    assert!(!sandbox.path(".atrest/runs/none").exists());
}

#[test]
fn the_numbers_of_a_scan_are_written_with_its_exit_code_and_its_calls() {
    let sandbox = fleet(&["a", "b"], "1", "");
    let scan = [
        "scan",
        "--region",
        "eu-central-1",
        "--format",
        "json",
        "--metrics",
        "scan.prom",
    ];
    let report: Value = sandbox.run(&scan).expect(10).json();
    let numbers = text(&sandbox, "scan.prom");
    let value = |series: &str| -> f64 {
        let line = numbers
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{series}: {numbers}"))
            .parse()
            .unwrap()
    };
    assert_eq!(value("atrest_scan_exit_code"), 10.0);
    assert_eq!(value("atrest_scan_complete"), 1.0);
    assert_eq!(value("atrest_scan_regions{state=\"failed\"}"), 0.0);
    let unencrypted = "atrest_scan_resources{type=\"db-instance\",encryption=\"none\"}";
    assert_eq!(value(unencrypted), 2.0);
    assert!(value("atrest_scan_calls") >= 8.0);
    let findings = report["findings"].as_array().unwrap();
    let stored = findings
        .iter()
        .filter(|f| f["policy"] == "storage-unencrypted");
    let severity = findings[0]["severity"].as_str().unwrap();
    assert!(!severity.is_empty());
    let series =
        "atrest_scan_findings{policy=\"storage-unencrypted\",severity=\"high\",status=\"fail\"}";
    assert_eq!(value(series), stored.count() as f64);
    // A place that cannot be written is said, whatever was found.
    let lost = [&scan[..6], &["no/such/folder/scan.prom"]].concat();
    let failed = sandbox.run(&lost).expect(2);
    assert!(failed.stderr.contains("--metrics"), "{}", failed.stderr);
}
