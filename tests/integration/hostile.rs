//! Endpoints that mean harm, and texts that would steer a terminal: every run ends soon, in little memory, with one line.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::fake::{self, Manner, MysqlServer};
use crate::harness::{Finished, Sandbox, Start, finish};

const REGION: &str = "eu-central-1";

/// An answer, written as it likes.
type Answer = fn(&mut TcpStream, elsewhere: &str) -> std::io::Result<()>;

/// A server that gives every request the same answer, and another one that nobody should come to.
struct Evil {
    endpoint: String,
    visits_elsewhere: Arc<AtomicUsize>,
}

impl Evil {
    fn start(answer: Answer) -> Self {
        let visits_elsewhere = Arc::new(AtomicUsize::new(0));
        let (endpoint, listener) = listen();
        let (elsewhere, other) = listen();
        let visits = Arc::clone(&visits_elsewhere);
        std::thread::spawn(move || {
            for stream in other.incoming() {
                visits.fetch_add(1, Ordering::SeqCst);
                drop(stream);
            }
        });
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let elsewhere = elsewhere.clone();
                std::thread::spawn(move || {
                    let limit = Some(Duration::from_secs(60));
                    stream.set_read_timeout(limit).unwrap();
                    stream.set_write_timeout(limit).unwrap();
                    let _request = fake::read_request(&mut stream);
                    // The client may leave in the middle: that is what it is to do.
                    let _written = answer(&mut stream, &elsewhere);
                });
            }
        });
        Self {
            endpoint,
            visits_elsewhere,
        }
    }
}

fn listen() -> (String, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (url, listener)
}

fn whole(stream: &mut TcpStream, head: &str, body: &[u8]) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)
}

const XML: &str = "200 OK\r\nContent-Type: text/xml";
const JSON: &str = "200 OK\r\nContent-Type: application/x-amz-json-1.1";

fn endless(stream: &mut TcpStream, _: &str) -> std::io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    let chunk = format!("10000\r\n{}\r\n", "<a>b</a>".repeat(0x2000));
    // Ends when the client has left.
    loop {
        stream.write_all(chunk.as_bytes())?;
    }
}

fn deep_xml(stream: &mut TcpStream, _: &str) -> std::io::Result<()> {
    whole(stream, XML, "<a>".repeat(1_000_000).as_bytes())
}

fn deep_json(stream: &mut TcpStream, _: &str) -> std::io::Result<()> {
    let body = format!("{{\"x\":{}", "[".repeat(2_000_000));
    whole(stream, JSON, body.as_bytes())
}

fn deep_objects(stream: &mut TcpStream, _: &str) -> std::io::Result<()> {
    whole(stream, JSON, "{\"x\":".repeat(500_000).as_bytes())
}

fn entities(stream: &mut TcpStream, _: &str) -> std::io::Result<()> {
    let body = "<!DOCTYPE a [<!ENTITY x \"yyyyyyyyyy\"><!ENTITY z \"&x;&x;&x;&x;&x;&x;\">]>\
        <DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances><DBInstance>\
        <DBInstanceIdentifier>&z;&z;&z;</DBInstanceIdentifier></DBInstance></DBInstances>\
        </DescribeDBInstancesResult></DescribeDBInstancesResponse>";
    whole(stream, XML, body.as_bytes())
}

/// What a gzip file begins with: nobody has asked for one, so nobody unpacks it.
fn gzip(stream: &mut TcpStream, _: &str) -> std::io::Result<()> {
    let head = format!("{XML}\r\nContent-Encoding: gzip");
    let body = [b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec(), vec![0; 100_000]].concat();
    whole(stream, &head, &body)
}

fn lies_about_its_length(stream: &mut TcpStream, _: &str) -> std::io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 9000000000000\r\n\r\n<a>",
    )
}

fn redirects(stream: &mut TcpStream, elsewhere: &str) -> std::io::Result<()> {
    let head = format!("307 Temporary Redirect\r\nLocation: {elsewhere}/");
    whole(stream, &head, b"")
}

/// Two markers that lead to each other.
fn circle(stream: &mut TcpStream, _: &str) -> std::io::Result<()> {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let turn = TURN.fetch_add(1, Ordering::SeqCst) % 3;
    let body = format!(
        "<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances/><Marker>m{turn}</Marker>\
         </DescribeDBInstancesResult></DescribeDBInstancesResponse>"
    );
    whole(stream, XML, body.as_bytes())
}

fn headers_without_end(stream: &mut TcpStream, _: &str) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
    loop {
        stream.write_all(b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")?;
    }
}

fn json_for_xml(stream: &mut TcpStream, _: &str) -> std::io::Result<()> {
    whole(stream, JSON, b"{\"DBInstances\": []}")
}

fn start() -> Sandbox {
    Sandbox::start(&Start {
        scenario: "seed-story",
        engines: "none",
        speed: "1000",
    })
}

/// Runs in 4 GiB of address space, most of which threads reserve and never touch.
fn run_in_little_memory(sandbox: &Sandbox, args: &[&str], service: &str, url: &str) -> Finished {
    let plain = sandbox.command(args);
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -v 4194304; exec \"$0\" \"$@\""])
        .arg(plain.get_program())
        .args(plain.get_args())
        .current_dir(sandbox.dir.path());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env(format!("AWS_ENDPOINT_URL_{service}"), url);
    finish(command, Duration::from_secs(200))
}

#[test]
fn an_endpoint_that_means_harm_is_one_line_soon_and_in_little_memory() {
    let sandbox = start();
    let scan = ["scan", "--region", REGION, "--only-kinds", "db-instance"];
    let organization = ["scan", "--org", "--region", REGION];
    let plan = [
        "plan",
        "--instance",
        "prod-three",
        "--region",
        REGION,
        "--mysql",
        "off",
        "--kms-key",
        "alias/rds-migration",
    ];
    let cases: &[(&[&str], &str, &str, Answer)] = &[
        (&scan, "RDS", "endless", endless),
        (&scan, "RDS", "deep", deep_xml),
        (&scan, "RDS", "entities", entities),
        (&scan, "RDS", "gzip", gzip),
        (&scan, "RDS", "short", lies_about_its_length),
        (&scan, "RDS", "redirect", redirects),
        (&scan, "RDS", "circle", circle),
        (&scan, "RDS", "headers", headers_without_end),
        (&scan, "RDS", "json", json_for_xml),
        (&scan, "STS", "deep", deep_xml),
        (&scan, "STS", "endless", endless),
        (&scan, "STS", "redirect", redirects),
        (&organization, "ORGANIZATIONS", "deep", deep_json),
        (&organization, "ORGANIZATIONS", "objects", deep_objects),
        (&organization, "ORGANIZATIONS", "endless", endless),
        (&plan, "KMS", "deep", deep_json),
        (&plan, "KMS", "objects", deep_objects),
        (&plan, "KMS", "redirect", redirects),
    ];
    let check = |(args, service, what, answer): &(&[&str], &str, &str, Answer)| {
        let evil = Evil::start(*answer);
        let ended = run_in_little_memory(&sandbox, args, service, &evil.endpoint);
        let text = format!("{}{}", ended.stdout, ended.stderr);
        let told = format!("{service} {what}: exit {}: {text}", ended.code);
        // Nothing scanned, incomplete, or no plan: never a crash and never clean.
        assert!([2, 3, 4, 24].contains(&ended.code), "{told}");
        assert!(!text.contains("panicked"), "{told}");
        assert!(ended.stderr.len() < 20_000, "{told}");
        assert_eq!(evil.visits_elsewhere.load(Ordering::SeqCst), 0, "{told}");
    };
    // Most of the time goes into the waits between attempts.
    std::thread::scope(|scope| {
        for part in cases.chunks(cases.len().div_ceil(4)) {
            scope.spawn(move || part.iter().for_each(check));
        }
    });
    assert!(sandbox.mutations().is_empty());
}

/// Every verb that goes to AWS, and what it needs to get so far.
const VERBS: &[&[&str]] = &[
    &["scan"],
    &["scan", "--org"],
    &["scan", "--profiles", "default"],
    &["plan", "--instance", "a", "--mysql", "off"],
    &["fix", "plan.json", "--execute", "--mysql", "off"],
    &["diff", "a", "b", "--mysql", "off"],
    &["accounts", "export", "a"],
];

#[test]
fn plain_http_to_another_machine_is_refused_by_every_verb_unless_it_is_allowed() {
    let sandbox = start();
    let made = sandbox.run(&[
        "plan",
        "--instance",
        "prod-three",
        "--region",
        REGION,
        "--mysql",
        "off",
        "--kms-key",
        "alias/rds-migration",
        "--run",
        "plain",
        "--out",
        "plan.json",
    ]);
    made.expect(0);
    let fix = [
        "fix",
        "plan.json",
        "--execute",
        "--stop-before",
        "cutover",
        "--mysql",
        "off",
        "--poll-interval",
        "20ms",
        "--consistency-window",
        "1s",
    ];
    sandbox.run(&fix).expect(20);
    // An address that no packet is ever delivered to (RFC 5737); nothing is sent to it.
    let far = "http://192.0.2.1:9";
    let verbs = VERBS.iter().copied();
    for verb in verbs.chain([
        &["rollback", "plain", "--execute"][..],
        &["cleanup", "plain", "--execute", "--yes"],
    ]) {
        let given = [verb, &["--endpoint-url", far]].concat();
        let refused = sandbox.run(&given);
        assert_eq!(refused.code, 2, "{verb:?}: {}", refused.stderr);
        assert!(
            refused.stderr.contains("--endpoint-url is plain HTTP")
                && refused.stderr.contains("--allow-plain-http"),
            "{verb:?}: {}",
            refused.stderr
        );
        let mut command = sandbox.command(verb);
        command.env("AWS_ENDPOINT_URL_RDS", far);
        let refused = finish(command, Duration::from_secs(60));
        assert_eq!(refused.code, 2, "{verb:?}: {}", refused.stderr);
        assert!(
            refused
                .stderr
                .contains("AWS_ENDPOINT_URL_RDS is plain HTTP"),
            "{verb:?}: {}",
            refused.stderr
        );
    }

    // An endpoint of a profile is known when it is called, and then not called.
    let config = format!(
        "[profile far]\nregion = {REGION}\nendpoint_url = {far}\n\
         aws_access_key_id = AKIAFARAWAY\naws_secret_access_key = any\n"
    );
    std::fs::write(sandbox.path("aws-config"), config).unwrap();
    let of_profile = |more: &[&str]| {
        let mut command = sandbox.command(&[&["scan", "--profile", "far"], more].concat());
        command
            .env_remove("AWS_ENDPOINT_URL")
            .env("AWS_CONFIG_FILE", sandbox.path("aws-config"));
        finish(command, Duration::from_secs(100))
    };
    let refused = of_profile(&[]);
    assert!([2, 3].contains(&refused.code), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("http://192.0.2.1 is plain HTTP"),
        "{}",
        refused.stderr
    );

    // Allowed, it is asked: 0.0.0.0 is this machine, and not called a loopback address.
    let port = sandbox.endpoint.rsplit(':').next().unwrap();
    let here = format!("http://0.0.0.0:{port}");
    let scan = ["scan", "--region", REGION, "--endpoint-url", &here];
    assert_eq!(sandbox.run(&scan).code, 2);
    let allowed = [&scan[..], &["--allow-plain-http"]].concat();
    sandbox.run(&allowed).expect(10);
}

/// What would set a title, clear a screen, turn text around, or begin a line of its own.
const STEERING: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}txt\u{2066}\r\nerror: forged";

fn is_tame(text: &str) {
    let wild = text.chars().find(|c| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}')
    });
    assert_eq!(wild, None, "{text:?}");
    assert!(
        !text.lines().any(|line| line.starts_with("error: forged")),
        "{text}"
    );
}

#[test]
fn what_others_have_written_never_steers_the_terminal() {
    let sandbox = start();

    // Names, tags and engines of a fleet, in every form for people.
    let instance = serde_json::json!({"DBInstances": [{
        "DBInstanceIdentifier": format!("db{STEERING}"),
        "DBInstanceArn": format!("arn:aws:rds:eu-central-1:111122223333:db:db{STEERING}"),
        "DbiResourceId": "db-ABC",
        "Engine": format!("mysql{STEERING}"),
        "EngineVersion": STEERING,
        "DBInstanceStatus": STEERING,
        "StorageEncrypted": false,
        "InstanceCreateTime": "2024-01-01T00:00:00Z",
        "TagList": [{"Key": STEERING, "Value": STEERING}],
    }]});
    std::fs::write(sandbox.path("fleet.json"), instance.to_string()).unwrap();
    for format in ["table", "markdown", "csv", "html", "junit"] {
        let scan = [
            "scan",
            "--offline",
            "fleet.json",
            "--format",
            format,
            "-vvv",
        ];
        let said = sandbox.run(&scan);
        assert!([4, 10].contains(&said.code), "{}", said.stderr);
        assert!(said.stdout.contains("owned"), "{format}: {}", said.stdout);
        is_tame(&said.stdout.replace("\r\n", "\n"));
        is_tame(&said.stderr);
    }

    // A file of others, and a name in it.
    std::fs::write(
        sandbox.path("fleet.json"),
        serde_json::json!({ STEERING: 1 }).to_string(),
    )
    .unwrap();
    let said = sandbox.run(&["scan", "--offline", "fleet.json"]);
    assert_ne!(said.code, 0);
    is_tame(&said.stderr);

    // What AWS answers.
    let evil = Evil::start(|stream, _| {
        let body = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied&#27;[2J</Code>\
            <Message>no&#27;]0;owned&#7;&#155;31m&#8238;txt&#10;error: forged</Message></Error></ErrorResponse>";
        whole(
            stream,
            "403 Forbidden\r\nContent-Type: text/xml",
            body.as_bytes(),
        )
    });
    for service in ["STS", "RDS"] {
        let mut command = sandbox.command(&["scan", "--region", REGION, "-vv"]);
        command.env(format!("AWS_ENDPOINT_URL_{service}"), &evil.endpoint);
        let said = finish(command, Duration::from_secs(120));
        assert!([2, 3, 4].contains(&said.code), "{}", said.stderr);
        let text = format!("{}{}", said.stdout, said.stderr);
        assert!(text.contains("owned"), "{service}: {text}");
        is_tame(&said.stdout);
        is_tame(&said.stderr);
    }

    // What a server answers.
    let server = MysqlServer::start(Manner::Refuses(STEERING));
    let url = server.url("app");
    let export = ["accounts", "export", &url, "--tls", "off", "-vv"];
    let said = sandbox.run(&export).expect(2);
    is_tame(&said.stderr);
}
