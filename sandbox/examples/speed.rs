//! How fast the control plane is. Prints figures and judges nothing.
//!
//! ```text
//! cargo run --release -p atrest-sandbox --example speed -- pages [SECONDS] [INSTANCES]
//! cargo run --release -p atrest-sandbox --example speed -- migrations [HOW_MANY] [SPEED]
//! ```
//!
//! `pages` reads a fleet with DescribeDBInstances, 100 to a page, over and over: the server is kept on core 0 and this
//! client on core 1 (`taskset`, where it is installed). `migrations` carries out snapshot, encrypted copy, restore,
//! replica and renames for that many instances at the same time, without servers behind them, and says how late the
//! sandbox did what its virtual clock had due.
#![expect(clippy::print_stdout, reason = "an example talks on stdout")]

use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use atrest_sandbox::engine::EngineMode;
use atrest_sandbox::{Sandbox, SandboxOptions, Scenario};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const FLEET: &str = r#"
[[accounts]]
id = "111122223333"
access_key_id = "AKIASPEED"

[[keys]]
alias = "alias/mine"

[knobs]
describe_lag = [3, 45]

[quotas]
instances = 100000
manual_snapshots = 100000
storage_gib = 1000000000
copies_in_flight = 100000
"#;

const INSTANCE: &str = r#"
engine = "mysql"
engine_version = "8.0.39"
multi_az = true
monitoring_interval = 30
monitoring_role = "arn:aws:iam::111122223333:role/monitoring"
performance_insights = true
log_exports = ["error", "slowquery"]
server = false
tags = [{ key = "Name", value = "fleet" }, { key = "cost:centre", value = "4711 / data & more" }, { key = "owner", value = "dbre@example.com" }]
"#;

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, otherwise: u32| {
        words
            .get(at)
            .map_or(Ok(otherwise), |word| word.parse::<u32>())
    };
    match words.first().map(String::as_str) {
        Some("pages") => pages(number(1, 10)?, number(2, 10_000)?),
        Some("migrations") => migrations(number(1, 100)?, f64::from(number(2, 10_000)?)),
        Some("serve") => serve(number(1, 10_000)?),
        _ => Err("say `pages [SECONDS] [INSTANCES]` or `migrations [HOW_MANY] [SPEED]`".into()),
    }
}

async fn sandbox(fleet: &str, speed: f64) -> Outcome<Sandbox> {
    let options = SandboxOptions {
        scenario: Scenario::parse("speed", fleet)?,
        port: 0,
        speed,
        engines: EngineMode::None,
        install_dir: PathBuf::new(),
        work_dir: PathBuf::new(),
        request_log: None,
        seed: 1,
    };
    Ok(Sandbox::start(options).await?)
}

/// The process that is measured: one thread, which its parent keeps on one core.
fn serve(instances: u32) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let fleet = format!("{FLEET}\n[[instances]]\nid = \"db\"\ncount = {instances}\n{INSTANCE}");
        let sandbox = sandbox(&fleet, 1.0).await?;
        println!("{}", sandbox.endpoint());
        // It ends with its parent, whose end closes this pipe.
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        sandbox.shutdown().await?;
        Ok(())
    })
}

fn pages(seconds: u32, instances: u32) -> Outcome<()> {
    let (mut server, endpoint) = start_server(instances)?;
    let measured = read_pages(&mut server, &endpoint, seconds, instances);
    drop(server.stdin.take());
    let ended = server.wait()?;
    measured?;
    if ended.success() {
        Ok(())
    } else {
        Err(format!("the server ended with {ended}").into())
    }
}

fn start_server(instances: u32) -> Outcome<(Child, String)> {
    let program = std::env::current_exe()?;
    let instances = instances.to_string();
    let pid = std::process::id().to_string();
    let pinned = Command::new("taskset")
        .args(["-cp", "1", &pid])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let mut command = if pinned {
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(program);
        command
    } else {
        println!("not pinned: there is no taskset or no second core");
        Command::new(program)
    };
    let mut server = command
        .args(["serve", &instances])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let out = server.stdout.take().ok_or("the server has no output")?;
    BufReader::new(out).read_line(&mut line)?;
    Ok((server, line.trim().to_owned()))
}

fn read_pages(server: &mut Child, endpoint: &str, seconds: u32, instances: u32) -> Outcome<()> {
    let mut client = Client::connect(endpoint)?;
    // Once round before the clock runs.
    round(&mut client, instances)?;
    let (start, before) = (Instant::now(), cpu_time(server.id())?);
    let (mut pages, mut bytes) = (0_u32, 0_u64);
    while start.elapsed() < Duration::from_secs(u64::from(seconds)) {
        let (more, size) = round(&mut client, instances)?;
        pages += more;
        bytes += size;
    }
    let (wall, cpu) = (start.elapsed(), cpu_time(server.id())? - before);
    let pages = f64::from(pages);
    println!(
        "{pages} pages of 100 out of {instances} instances in {:.1} s: {:.0} pages/s, {:.0} pages per second of the server's core time ({:.0} % busy), {:.0} kB a page",
        wall.as_secs_f64(),
        pages / wall.as_secs_f64(),
        pages / cpu.as_secs_f64(),
        100.0 * cpu.as_secs_f64() / wall.as_secs_f64(),
        f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / pages,
    );
    Ok(())
}

/// Reads the fleet once; every instance must come.
fn round(client: &mut Client, instances: u32) -> Outcome<(u32, u64)> {
    let (mut pages, mut bytes, mut seen) = (0, 0, 0);
    let mut marker = String::new();
    loop {
        let body = client.call(
            "DescribeDBInstances",
            &format!("&MaxRecords=100&Marker={marker}"),
        )?;
        pages += 1;
        bytes += body.len() as u64;
        seen += body.matches("</DBInstance>").count();
        match text(&body, "Marker") {
            Some(next) => marker = next.replace('=', "%3D"),
            None => break,
        }
    }
    if seen == instances as usize {
        Ok((pages, bytes))
    } else {
        Err(format!("{seen} of {instances} instances came").into())
    }
}

/// What a process has used of the processor so far.
fn cpu_time(pid: u32) -> Outcome<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat
        .rsplit_once(") ")
        .ok_or("no command name")?
        .1
        .split(' ')
        .collect();
    let ticks = |at: usize| -> Outcome<u64> { Ok(fields.get(at).ok_or("too short")?.parse()?) };
    // Hundredths of a second on every Linux this runs on.
    Ok(Duration::from_millis(10 * (ticks(11)? + ticks(12)?)))
}

fn migrations(how_many: u32, speed: f64) -> Outcome<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let fleet = format!("{FLEET}\n[[instances]]\nid = \"db\"\ncount = {how_many}\n{INSTANCE}");
    let sandbox = runtime.block_on(sandbox(&fleet, speed))?;
    let endpoint = sandbox.endpoint();
    let start = Instant::now();
    let runners: Vec<_> = (1..=how_many)
        .map(|number| {
            let endpoint = endpoint.clone();
            std::thread::spawn(move || migrate(&endpoint, &format!("db-{number:03}")))
        })
        .collect();
    let mut calls = 0;
    for runner in runners {
        calls += runner.join().map_err(|_panic| "a migration panicked")??;
    }
    let wall = start.elapsed();
    let lag = sandbox.lag();
    runtime.block_on(sandbox.shutdown())?;
    let real = |late: Duration| late.as_secs_f64() / speed * 1000.0;
    println!(
        "{how_many} migrations at once at speed {speed}: {:.2} s ({:.1} virtual hours), {calls} calls, {:.0} calls/s",
        wall.as_secs_f64(),
        wall.as_secs_f64() * speed / 3600.0,
        f64::from(calls) / wall.as_secs_f64(),
    );
    println!(
        "{} effects carried out after they were due: {:.1} virtual s late on average ({:.2} ms real), {:.1} virtual s at worst ({:.2} ms real)",
        lag.effects,
        lag.mean.as_secs_f64(),
        real(lag.mean),
        lag.worst.as_secs_f64(),
        real(lag.worst),
    );
    Ok(())
}

/// One instance from plain to encrypted, its replica with it. Returns the number of calls.
fn migrate(endpoint: &str, id: &str) -> Outcome<u32> {
    let mut client = Client::connect(endpoint)?;
    let instance = |id: &str| {
        format!("DescribeDBInstances&DBInstanceIdentifier={id}|DBInstanceStatus|available")
    };
    let snapshot =
        |id: &str| format!("DescribeDBSnapshots&DBSnapshotIdentifier={id}|Status|available");
    let rename = |from: &str, to: &str| {
        format!(
            "ModifyDBInstance&DBInstanceIdentifier={from}&NewDBInstanceIdentifier={to}&ApplyImmediately=true"
        )
    };
    for step in [
        rename(id, &format!("old-{id}")),
        instance(&format!("old-{id}")),
        format!("CreateDBSnapshot&DBInstanceIdentifier=old-{id}&DBSnapshotIdentifier={id}-plain"),
        snapshot(&format!("{id}-plain")),
        format!(
            "CopyDBSnapshot&SourceDBSnapshotIdentifier={id}-plain&TargetDBSnapshotIdentifier={id}-enc&KmsKeyId=alias/mine"
        ),
        snapshot(&format!("{id}-enc")),
        format!(
            "RestoreDBInstanceFromDBSnapshot&DBInstanceIdentifier=new-{id}&DBSnapshotIdentifier={id}-enc"
        ),
        instance(&format!("new-{id}")),
        format!(
            "CreateDBInstanceReadReplica&SourceDBInstanceIdentifier=new-{id}&DBInstanceIdentifier={id}-replica"
        ),
        instance(&format!("{id}-replica")),
        instance(&format!("new-{id}")),
        rename(&format!("new-{id}"), id),
        instance(id),
    ] {
        client.step(&step)?;
    }
    Ok(client.calls)
}

/// A Query client by hand: the time goes to the server.
struct Client {
    stream: BufReader<TcpStream>,
    calls: u32,
}

impl Client {
    fn connect(endpoint: &str) -> Outcome<Self> {
        let stream = TcpStream::connect(endpoint.trim_start_matches("http://"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self {
            stream: BufReader::with_capacity(1 << 20, stream),
            calls: 0,
        })
    }

    /// A call, or a call that is repeated until an element of its answer has this text.
    #[expect(
        clippy::disallowed_methods,
        reason = "a client outside the project's clocks, with a deadline below"
    )]
    fn step(&mut self, step: &str) -> Outcome<()> {
        let mut parts = step.split('|');
        let call = parts.next().unwrap_or_default();
        let wanted = parts.next().zip(parts.next());
        let (action, parameters) = call.split_once('&').unwrap_or((call, ""));
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let body = self.call(action, &format!("&{parameters}"))?;
            let code = text(&body, "Code");
            match (&wanted, &code) {
                (None, None) => return Ok(()),
                (Some((element, text_wanted)), None)
                    if text(&body, element).as_deref() == Some(*text_wanted) =>
                {
                    return Ok(());
                }
                (Some(_), None) => {}
                // Not there yet, or not ready yet: what one asks again for.
                (_, Some(code)) if code.contains("NotFound") || code.contains("State") => {}
                (_, Some(_)) => return Err(format!("{step}: {body}").into()),
            }
            if Instant::now() > deadline {
                return Err(format!("{step} in vain: {body}").into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn call(&mut self, action: &str, parameters: &str) -> Outcome<String> {
        self.calls += 1;
        let form = format!("Action={action}&Version=2014-10-31{parameters}");
        let request = format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=AKIASPEED/20261124/eu-central-1/rds/aws4_request, SignedHeaders=host, Signature=0\r\n\
             Content-Length: {}\r\n\r\n{form}",
            form.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err("the server closed the connection".into());
            }
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(String::from_utf8(body)?)
    }
}

/// The text of the first element of this name.
fn text(body: &str, name: &str) -> Option<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let (_, rest) = body.split_once(&open)?;
    rest.split_once(&close).map(|(text, _)| text.to_owned())
}
