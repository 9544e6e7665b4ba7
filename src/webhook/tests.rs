//! Receivers on loopback that fail first, answer slowly, and never answer.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use super::*;

const SECRET: &str = "correct-horse-battery-staple";

/// What one connection brought.
struct Request {
    head: String,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        });
        line.unwrap_or_else(|| panic!("no {name} in {}", self.head))
    }

    fn is_signed(&self) -> bool {
        let timestamp = self.header("webhook-timestamp").parse().unwrap();
        let key = Key::parse(SECRET).unwrap();
        key.sign(self.header("webhook-id"), timestamp, &self.body)
            == self.header("webhook-signature")
    }
}

fn read(stream: &TcpStream) -> Request {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
    }
    let mut request = Request {
        head,
        body: String::new(),
    };
    let mut body = vec![0; request.header("content-length").parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    request.body = String::from_utf8(body).unwrap();
    request
}

/// What the receiver does with a request.
#[derive(Clone, Copy)]
enum Manner {
    Answer(u16),
    /// Closes the connection without a word.
    HangUp,
    /// Keeps it open and says nothing.
    Silence,
}

/// Treats each request by the next manner, and those after the last by the last. Its end is that of the process: the
/// thread waits for a connection.
fn receiver(manners: &[Manner]) -> (Target, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("http://{}/token", listener.local_addr().unwrap());
    let (send, seen) = channel();
    let manners = manners.to_vec();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let last = *manners.last().unwrap();
        let mut manners = manners.into_iter();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = read(&stream);
            match manners.next().unwrap_or(last) {
                Manner::Answer(status) => {
                    let answer = format!(
                        "HTTP/1.1 {status} Whatever\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    );
                    stream.write_all(answer.as_bytes()).unwrap();
                }
                Manner::HangUp => {}
                Manner::Silence => kept.push(stream),
            }
            if send.send(request).is_err() {
                return;
            }
        }
    });
    (Target::parse(&target).unwrap(), seen)
}

fn pace() -> Pace {
    Pace {
        // Long enough for a machine that is busy: only silence is longer.
        answer: Duration::from_secs(60),
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(5),
        patience: Duration::from_secs(60),
        end: Duration::from_secs(60),
    }
}

fn start(target: Target, pace: Pace) -> Webhook {
    Webhook::start(target, Key::parse(SECRET).unwrap(), pace)
}

fn say(webhook: &Webhook, lines: &[&str]) {
    let mut sink = webhook.sink();
    for line in lines {
        sink.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

#[tokio::test]
async fn what_fails_first_arrives_whole_in_order_and_under_one_id() {
    let (target, seen) = receiver(&[
        Manner::Answer(500),
        Manner::HangUp,
        Manner::Answer(429),
        Manner::Answer(204),
    ]);
    let webhook = start(target, pace());
    let lines: Vec<String> = (0..250).map(|n| format!("{{\"n\":{n}}}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    say(&webhook, &lines);
    let counts = Arc::clone(&webhook.counts);
    webhook.end().await;
    assert_eq!(counts.both(), (250, 250));
    let requests: Vec<Request> = seen.try_iter().collect();
    assert!(requests.iter().all(Request::is_signed));
    let first = requests[0].header("webhook-id");
    let again = requests
        .iter()
        .filter(|request| request.header("webhook-id") == first);
    assert_eq!(again.count(), 4, "the first message and three repetitions");
    let arrived: String = requests.iter().skip(3).map(|r| r.body.as_str()).collect();
    assert_eq!(arrived, lines.join("\n") + "\n");
    assert!(requests[0].head.starts_with("POST /token HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_receiver_that_never_answers_costs_the_end_and_nothing_else() {
    let (target, _seen) = receiver(&[Manner::Silence]);
    let pace = Pace {
        end: Duration::from_millis(50),
        ..pace()
    };
    let webhook = start(target, pace);
    // Many more than the queue holds: none of it may wait.
    let mut sink = webhook.sink();
    let began = Instant::now();
    for _ in 0..QUEUE * 2 {
        sink.write_all(b"{}\n").unwrap();
    }
    let counts = Arc::clone(&webhook.counts);
    webhook.end().await;
    assert_eq!(counts.both(), (20_000, 0));
    // Nobody waits for an answer, which would be a minute.
    assert!(began.elapsed() < Duration::from_secs(50));
}

#[tokio::test]
async fn silence_is_a_failure_and_what_is_refused_is_not_tried_again() {
    let (target, seen) = receiver(&[
        Manner::Silence,
        Manner::Answer(404),
        Manner::Answer(410),
        Manner::Answer(200),
    ]);
    let pace = Pace {
        answer: Duration::from_secs(5),
        ..pace()
    };
    let webhook = start(target, pace);
    let counts = Arc::clone(&webhook.counts);
    say(&webhook, &["{\"n\":1}"]);
    // One after the other: what is said together is one message.
    let first = |request: Request| (request.header("webhook-id").to_owned(), request.body);
    let next = |seen: Receiver<Request>| async {
        tokio::task::spawn_blocking(move || (seen.recv_timeout(Duration::from_secs(60)), seen))
            .await
            .unwrap()
    };
    let (silent, seen) = next(seen).await;
    let (refused, seen) = next(seen).await;
    let silent = first(silent.unwrap());
    assert_eq!(silent, first(refused.unwrap()), "the same again");
    say(&webhook, &["{\"n\":2}"]);
    let (gone, seen) = next(seen).await;
    assert_eq!(gone.unwrap().body, "{\"n\":2}\n");
    say(&webhook, &["{\"n\":3}"]);
    webhook.end().await;
    assert_eq!(counts.both(), (3, 0));
    assert!(
        seen.try_recv().is_err(),
        "410 means that nothing more is wanted"
    );
}

#[tokio::test]
async fn patience_has_an_end_and_the_next_event_gets_its_own() {
    // Nobody listens there any more.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let pace = Pace {
        patience: Duration::ZERO,
        ..pace()
    };
    let webhook = start(target, pace);
    let counts = Arc::clone(&webhook.counts);
    say(&webhook, &["{}", "{}"]);
    webhook.end().await;
    assert_eq!(counts.both(), (2, 0));
}

#[test]
fn there_must_be_a_secret_that_holds() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    assert!(key(Some(&file)).is_err());
    std::fs::write(&file, "too short").unwrap();
    let why = key(Some(&file)).unwrap_err().to_string();
    assert!(!why.contains("too short"), "{why}");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    assert!(key(Some(&file)).is_ok());
}
