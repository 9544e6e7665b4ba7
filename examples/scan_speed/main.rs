//! How fast a scan is, beside its lower bound and beside a plain boto3 scan of the same fleet. Prints figures and
//! judges nothing.
//!
//! ```text
//! cargo build --release && cargo run --release --example scan_speed -- [CASE…] [--runs N] [--instances N] [--all-kinds]
//!     [--accounts N] [--batches N] [--at-once N]
//! ```
//!
//! Cases: `small` (1,000 instances over 17 regions, 30 ms), `large` (10,000), `chain` (10,000, half in one region, 80 ms),
//! `throttled` (the same at 2/s with a burst of 5 for each region), `org` (1,000 accounts × 17 regions with an instance
//! each, 30 ms), `org-large` (the same with six), `offline` (100,000 instances in saved output, or as many as
//! `--instances` says, beside a parse of the same bytes), `shards` (`--accounts` × 17 regions with an instance each, 5,000
//! unless told, as a plan, `--batches` of it, 8, by `--at-once` processes, 2, and a merge; only when it is named). The sandbox is another process, and so is each run. `ATREST_CLIENTS` says where sandbox/install-clients.sh has put boto3;
//! without it that column is empty. Instances and clusters only, as in the figures of other tools, unless `--all-kinds`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example talks"
)]

mod offline;
mod shards;

use std::error::Error;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use atrest_sandbox::engine::EngineMode;
use atrest_sandbox::{Sandbox, SandboxOptions, Scenario};
use nix::sys::resource::{UsageWho, getrusage};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The regions that every account has.
const REGIONS: [&str; 17] = [
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// One region after the other, as most scripts do it.
const BOTO3: &str = "
import boto3, sys
n = 0
for region in sys.argv[1:]:
    rds = boto3.client('rds', region_name=region)
    for page in rds.get_paginator('describe_db_instances').paginate():
        n += sum(not i['StorageEncrypted'] for i in page['DBInstances'])
    for page in rds.get_paginator('describe_db_clusters').paginate():
        n += sum(not c['StorageEncrypted'] for c in page['DBClusters'])
";

#[derive(Debug, Clone, Copy)]
struct Case {
    name: &'static str,
    instances: usize,
    /// Half of them in one region, else evenly.
    half_in_one: bool,
    latency_ms: u32,
    throttled: bool,
    accounts: usize,
}

const CASES: [Case; 6] = [
    case("small", 1_000, false, 30, false, 1),
    case("large", 10_000, false, 30, false, 1),
    case("chain", 10_000, true, 80, false, 1),
    case("throttled", 10_000, true, 80, true, 1),
    case("org", 17_000, false, 30, false, 1_000),
    case("org-large", 102_000, false, 30, false, 1_000),
];

const fn case(
    name: &'static str,
    instances: usize,
    half_in_one: bool,
    latency_ms: u32,
    throttled: bool,
    accounts: usize,
) -> Case {
    Case {
        name,
        instances,
        half_in_one,
        latency_ms,
        throttled,
        accounts,
    }
}

/// The case of a scan by shards.
const SHARDS: &str = "shards";

/// So many accounts with an instance in each region.
const fn of_shards(accounts: usize) -> Case {
    case(SHARDS, accounts * REGIONS.len(), false, 30, false, accounts)
}

const RATE: f64 = 2.0;
const BURST: f64 = 5.0;

impl Case {
    /// Instances in a region of an account.
    fn in_region(&self, index: usize) -> usize {
        let per_account = self.instances / self.accounts;
        if self.half_in_one {
            if index == 0 {
                per_account / 2
            } else {
                per_account / 2 / (REGIONS.len() - 1)
            }
        } else {
            per_account / REGIONS.len()
        }
    }

    fn scenario(&self) -> String {
        let mut text = String::new();
        let id = |number: usize| format!("{:012}", 100_000_000_000_usize + number);
        for number in 0..self.accounts {
            let _written = write!(
                text,
                "[[accounts]]\nid = \"{}\"\naccess_key_id = \"AKIASPEED{number:06}\"\n",
                id(number)
            );
        }
        text.push_str("[quotas]\ninstances = 100000\nstorage_gib = 1000000000\n");
        if self.accounts > 1 {
            text.push_str("[organization]\naccounts = [");
            for number in 0..self.accounts {
                let _written = write!(text, "{{ id = \"{}\" }},", id(number));
            }
            text.push_str("]\n");
        }
        for number in 0..self.accounts {
            for (index, region) in REGIONS.iter().enumerate() {
                let _written = write!(
                    text,
                    "[[instances]]\nid = \"db\"\ncount = {}\naccount = \"{}\"\nregion = \"{region}\"\nengine = \"mysql\"\nengine_version = \"8.0.39\"\nserver = false\ntags = [{{ key = \"owner\", value = \"dbre@example.com\" }}]\n",
                    self.in_region(index),
                    id(number)
                );
            }
        }
        let _written = write!(
            text,
            "[[faults]]\nkind = \"latency\"\ndelay_ms = {}\n",
            self.latency_ms
        );
        if self.throttled {
            let _written = write!(
                text,
                "[[faults]]\nkind = \"throttle\"\nservice = \"rds\"\nrate = {RATE:.1}\nburst = {BURST:.1}\n"
            );
        }
        text
    }

    /// Seconds that no client can do without: the longest chain of pages, and the tokens of its region.
    fn bound(&self, kinds: usize) -> f64 {
        let pages = (0..REGIONS.len())
            .map(|index| self.in_region(index).div_ceil(100).max(1))
            .max()
            .unwrap_or(1);
        let chain = pages as f64 * f64::from(self.latency_ms) / 1000.0;
        let calls = (pages + kinds - 1) as f64;
        if self.throttled {
            chain.max((calls - BURST) / RATE)
        } else {
            chain
        }
    }
}

fn main() -> Outcome<()> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("serve") => {
            let [_, name, accounts] = &*words else {
                return Err("serve what?".into());
            };
            return serve(name, accounts.parse()?);
        }
        Some("run") => return run(words.get(1..).unwrap_or_default()),
        Some("parse") => {
            let [_, way, dir] = &*words else {
                return Err("parse what?".into());
            };
            return offline::parse(way, Path::new(dir));
        }
        _ => {}
    }
    let mut flag = |name: &str| {
        let at = words.iter().position(|word| word == name);
        at.map(|at| words.remove(at)).is_some()
    };
    let all_kinds = flag("--all-kinds");
    let mut number = |name: &str, otherwise: usize| -> Outcome<usize> {
        let Some(at) = words.iter().position(|word| word == name) else {
            return Ok(otherwise);
        };
        if at + 1 >= words.len() {
            return Err(format!("{name} needs a number").into());
        }
        words.remove(at);
        Ok(words.remove(at).parse()?)
    };
    let runs = number("--runs", 3)?;
    let accounts = number("--accounts", 5_000)?;
    let shape = shards::Shape {
        batches: number("--batches", 8)?,
        at_once: number("--at-once", 2)?,
    };
    let instances = number("--instances", 100_000)?;
    let known = |word: &&String| {
        ["offline", SHARDS].contains(&word.as_str()) || CASES.iter().any(|case| case.name == **word)
    };
    if let Some(unknown) = words.iter().find(|word| !known(word)) {
        return Err(format!("there is no case {unknown}").into());
    }
    println!(
        "{:<10} {:<7} {:>8} {:>8} {:>8} {:>7} {:>9}",
        "case", "client", "wall s", "cpu s", "rss MB", "calls", "x bound"
    );
    for case in CASES {
        if words.is_empty() || words.iter().any(|word| word == case.name) {
            measure(case, runs, all_kinds)?;
        }
    }
    if words.is_empty() || words.iter().any(|word| word == "offline") {
        offline::measure(instances, runs)?;
    }
    if words.iter().any(|word| word == SHARDS) {
        shards::measure(of_shards(accounts), shape, all_kinds)?;
    }
    Ok(())
}

fn measure(case: Case, runs: usize, all_kinds: bool) -> Outcome<()> {
    let server = Server::start(case)?;
    let kinds = if all_kinds { 8 } else { 2 };
    let bound = case.bound(kinds);
    println!("{:<10} {:<7} {bound:>8.2}", case.name, "bound");
    let binary = beside("atrest")?;
    let mut scan = vec![binary, "scan".to_owned(), "--no-progress".to_owned()];
    scan.extend(["--exit-zero", "--format", "json=/dev/null"].map(str::to_owned));
    if case.accounts > 1 {
        scan.push("--org".to_owned());
    }
    if !all_kinds {
        scan.extend(["--only-kinds", "db-instance,db-cluster"].map(str::to_owned));
    }
    for _run in 0..runs {
        server.show(case, "atrest", &scan, bound)?;
    }
    if case.accounts == 1
        && let Some(python) = python()
    {
        let mut boto3 = vec![python, "-c".to_owned(), BOTO3.to_owned()];
        boto3.extend(REGIONS.map(str::to_owned));
        server.show(case, "boto3", &boto3, bound)?;
    }
    Ok(())
}

/// What a run cost.
struct Figures {
    wall: f64,
    cpu: f64,
    rss_mb: f64,
    ended: String,
    /// What it said on stderr.
    said: String,
}

fn show_row(case: &str, client: &str, figures: &Figures, calls: u64, bound: f64) {
    println!(
        "{case:<10} {client:<7} {:>8.2} {:>8.2} {:>8.0} {calls:>7} {:>9.2} {}",
        figures.wall,
        figures.cpu,
        figures.rss_mb,
        figures.wall / bound,
        figures.ended
    );
}

/// Runs a client in a process that has no other child, so that what its children used is what it used.
fn measured(client: &[String], variables: &[(&str, &str)]) -> Outcome<Figures> {
    let output = Command::new(std::env::current_exe()?)
        .arg("run")
        .args(client)
        .envs(variables.iter().copied())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut words = text.split_whitespace();
    let mut number = || -> Outcome<f64> { Ok(words.next().ok_or("no figure")?.parse()?) };
    let (wall, cpu, rss_mb) = (number()?, number()?, number()?);
    Ok(Figures {
        wall,
        cpu,
        rss_mb,
        ended: words.collect::<Vec<_>>().join(" "),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// The sandbox in a process of its own; ends with the value.
struct Server {
    child: Child,
    endpoint: String,
}

impl Server {
    fn start(case: Case) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", case.name, &case.accounts.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let out = child.stdout.take().ok_or("the server has no output")?;
        BufReader::new(out).read_line(&mut line)?;
        Ok(Self {
            child,
            endpoint: line.trim().to_owned(),
        })
    }

    /// Runs a client and shows what it cost.
    fn show(&self, case: Case, client: &str, command: &[String], bound: f64) -> Outcome<()> {
        let before = self.calls()?;
        let figures = self.run(command)?;
        eprint!("{}", figures.said);
        show_row(case.name, client, &figures, self.calls()? - before, bound);
        Ok(())
    }

    /// Runs a client against it.
    fn run(&self, command: &[String]) -> Outcome<Figures> {
        let variables = [
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", "AKIASPEED000000"),
            ("AWS_SECRET_ACCESS_KEY", "any"),
            ("AWS_REGION", "eu-central-1"),
        ];
        measured(command, &variables)
    }

    /// Calls that the sandbox has counted.
    fn calls(&self) -> Outcome<u64> {
        use std::io::Write as _;
        let address = self.endpoint.trim_start_matches("http://");
        let mut stream = std::net::TcpStream::connect(address)?;
        write!(
            stream,
            "GET /_sandbox/requests/counts HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
        let counts: serde_json::Value = serde_json::from_str(body)?;
        let number = |name: &str| counts.get(name).and_then(serde_json::Value::as_u64);
        // A full log tells no more calls apart, but goes on counting them.
        let total = number("total").ok_or("no counts")?;
        Ok(total + number("uncounted").ok_or("no count of what the log had no room for")?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends when this pipe does.
        drop(self.child.stdin.take());
        let _ended = self.child.wait();
    }
}

fn serve(name: &str, accounts: usize) -> Outcome<()> {
    let known = CASES.into_iter().find(|case| case.name == name);
    let case = known
        .or_else(|| (name == SHARDS).then(|| of_shards(accounts)))
        .ok_or("there is no such case")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let sandbox = Sandbox::start(SandboxOptions {
            scenario: Scenario::parse("speed", &case.scenario())?,
            port: 0,
            speed: 1.0,
            engines: EngineMode::None,
            install_dir: PathBuf::new(),
            work_dir: PathBuf::new(),
            request_log: None,
            seed: 1,
        })
        .await?;
        println!("{}", sandbox.endpoint());
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        sandbox.shutdown().await?;
        Ok(())
    })
}

/// Runs one command and prints wall s, CPU s, peak MB and how it ended.
fn run(command: &[String]) -> Outcome<()> {
    let (program, arguments) = command.split_first().ok_or("run what?")?;
    let began = Instant::now();
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    let wall = began.elapsed().as_secs_f64();
    let used = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    let cpu = seconds(used.user_time()) + seconds(used.system_time());
    let ended = if status.success() {
        String::new()
    } else {
        status.to_string()
    };
    println!("{wall} {cpu} {} {ended}", used.max_rss() as f64 / 1024.0);
    Ok(())
}

/// The binary that was built with this example.
fn beside(name: &str) -> Outcome<String> {
    let example = std::env::current_exe()?;
    let target = example.parent().and_then(|dir| dir.parent());
    let binary = target.ok_or("no folder above the example")?.join(name);
    if binary.is_file() {
        Ok(binary.to_string_lossy().into_owned())
    } else {
        Err(format!("{} is missing: cargo build --release", binary.display()).into())
    }
}

fn python() -> Option<String> {
    let dir = std::env::var_os("ATREST_CLIENTS").map(PathBuf::from);
    let dir = dir
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/atrest/clients")))?;
    let python = dir.join("venv/bin/python");
    python
        .is_file()
        .then(|| python.to_string_lossy().into_owned())
}
