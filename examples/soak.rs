//! A day of scans beside a large migration while one call in twenty goes wrong: nothing lost, nothing twice, no leak.
//! Prints its figures and judges nothing.
//!
//! ```text
//! cargo run --release --example soak -- [--seeds N] [--instances N] [--hours N] [--speed N] [--faults PERCENT]
//! ```
//!
//! Virtual time. One process scans the whole surface every half hour and judges it by every built-in policy, and runs all
//! the migrations side by side, until the day is over; the sandbox is another process. Faults are spread evenly over
//! throttling, HTTP 500, connections that are reset before anything is done, and answers that are lost after it is. A
//! migration that stops is taken up again, as an operator would, and that is counted. At the end the sandbox's own log
//! says which mutations took effect, and RDS what there is. The journal lies in memory where there is /dev/shm.
#![expect(clippy::print_stdout, reason = "an example talks on stdout")]

mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use atrest_fixer::clock::Timing;
use atrest_fixer::executor::{self, Reporter};
use atrest_fixer::options::{FixOptions, FleetOptions};
use atrest_fixer::store::RunStore;
use atrest_model::event::RunEvent;
use atrest_model::instance::Encryption;
use atrest_model::keep::Keep;
use atrest_model::run::Outcome;
use atrest_policies::{Fleet, Settings};
use atrest_sandbox::Sandbox;
use atrest_scanner::aws::Aws;
use atrest_scanner::inventory::{self, Surface};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use shared::{
    ACCOUNT, KEY, REGION, Result, admin, clock, folder_in_memory, options, plan, scenario,
};

/// Virtual seconds between two scans.
const SCAN_EVERY: f64 = 1800.0;
/// Most sittings of the run before it counts as lost.
const SITTINGS: usize = 20;
/// What is done to a call; each befalls its part.
const FAULTS: [&str; 4] = ["throttle", "http-500", "reset", "lost-answer"];

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match words.first().map(String::as_str) {
        Some("--serve") => runtime.block_on(serve(words.get(1..).unwrap_or_default())),
        Some("--drive") => runtime.block_on(drive(words.get(1..).unwrap_or_default())),
        _ => all(&words),
    }
}

fn all(words: &[String]) -> Result<()> {
    let option = |name: &str, otherwise: f64| -> Result<f64> {
        let at = words.iter().position(|word| word == name);
        let value = at.and_then(|at| words.get(at + 1));
        Ok(value.map_or(Ok(otherwise), |value| value.parse())?)
    };
    let instances = option("--instances", 200.0)?;
    let (hours, speed) = (option("--hours", 24.0)?, option("--speed", 120.0)?);
    let faults = option("--faults", 5.0)?;
    println!(
        "{:<5} {:>6} {:>8} {:>9} {:>8} {:>7} {:>9} {:>6} {:>6} {:>6} {:>13} {:>8} {:>20}",
        "seed",
        "insts",
        "calls",
        "befallen",
        "sittings",
        "scans",
        "mutations",
        "twice",
        "lost",
        "extra",
        "migrated by h",
        "CPU s",
        "RSS MiB by quarter"
    );
    let seeds = option("--seeds", 3.0)? as u64;
    for seed in 1..=seeds {
        row(seed, instances as usize, hours, speed, faults / 100.0)?;
    }
    Ok(())
}

fn row(seed: u64, instances: usize, hours: f64, speed: f64, faults: f64) -> Result<()> {
    let program = std::env::current_exe()?;
    // Every second source has a replica.
    let migrations = (instances * 2).div_ceil(3);
    let folder = folder_in_memory()?;
    let log = folder.path().join("requests.jsonl");
    let mut server = Command::new(&program)
        .args(["--serve", &migrations.to_string(), &speed.to_string()])
        .args([&seed.to_string(), &faults.to_string()])
        .arg(&log)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut out = BufReader::new(server.stdout.take().ok_or("the sandbox has no output")?);
    let mut line = String::new();
    out.read_line(&mut line)?;
    let measured = Command::new(&program)
        .args(["--drive", line.trim(), &hours.to_string()])
        .arg(speed.to_string())
        .stderr(Stdio::inherit())
        .output();
    // Its end of the pipe is what ends the sandbox.
    drop(server.stdin.take());
    server.wait()?;
    let measured = measured?;
    if !measured.status.success() {
        return Err(format!("seed {seed}: the run ended with {}", measured.status).into());
    }
    let measured: Measured = serde_json::from_slice(&measured.stdout)?;
    let told = Told::read(&log)?;
    println!(
        "{seed:<5} {:>6} {:>8} {:>9} {:>8} {:>7} {:>9} {:>6} {:>6} {:>6} {:>13.1} {:>8.0} {:>20}",
        measured.instances,
        told.calls,
        told.befallen,
        measured.sittings,
        format!("{}/{}", measured.complete, measured.scans),
        told.mutations,
        told.twice.len(),
        measured.lost.len(),
        measured.extra.len(),
        measured.migrated_by_hours,
        measured.cpu_seconds,
        measured
            .rss_mib
            .iter()
            .map(|mib| format!("{mib:.0}"))
            .collect::<Vec<_>>()
            .join(" ")
    );
    for twice in &told.twice {
        println!("      twice: {twice}");
    }
    for (what, list) in [("lost", &measured.lost), ("extra", &measured.extra)] {
        for name in list {
            println!("      {what}: {name}");
        }
    }
    Ok(())
}

/// What the sandbox's log tells.
#[derive(Debug, Default)]
struct Told {
    calls: usize,
    befallen: usize,
    mutations: usize,
    /// Mutations that took effect more than once.
    twice: BTreeSet<String>,
}

impl Told {
    fn read(log: &Path) -> Result<Self> {
        let mut told = Self::default();
        let mut seen = BTreeSet::new();
        for line in BufReader::new(std::fs::File::open(log)?).lines() {
            let call: Value = serde_json::from_str(&line?)?;
            let text = |name: &str| call.get(name).and_then(Value::as_str).unwrap_or_default();
            told.calls += 1;
            let (action, fault) = (text("action"), text("fault"));
            told.befallen += usize::from(!fault.is_empty());
            let reads = ["Describe", "List", "Get", "Assume", "Simulate"];
            let undone = !text("code").is_empty() || (!fault.is_empty() && fault != "lost-answer");
            if undone || reads.iter().any(|reading| action.starts_with(reading)) {
                continue;
            }
            told.mutations += 1;
            let what = format!("{action} {}", call.get("params").unwrap_or(&Value::Null));
            if !seen.insert(what.clone()) {
                told.twice.insert(what);
            }
        }
        Ok(told)
    }
}

async fn serve(words: &[String]) -> Result<()> {
    let [migrations, speed, seed, faults, log] = words else {
        return Err("--serve MIGRATIONS SPEED SEED FAULTS LOG".into());
    };
    let mut text = scenario(migrations.parse()?);
    let each = faults.parse::<f64>()? / FAULTS.len() as f64;
    for kind in FAULTS {
        let _written = write!(
            text,
            "[[faults]]\nkind = \"{kind}\"\nprobability = {each}\n"
        );
    }
    let options = options(&text, speed.parse()?, seed.parse()?, Some(log.into()))?;
    let sandbox = Sandbox::start(options).await?;
    println!("{}", sandbox.endpoint());
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    sandbox.shutdown().await?;
    Ok(())
}

/// What a day leaves.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Measured {
    instances: usize,
    sittings: usize,
    scans: usize,
    /// Scans without a hole.
    complete: usize,
    /// Virtual hours until the last migration was done.
    migrated_by_hours: f64,
    /// Sources whose name is not an encrypted instance's in the end, or whose old side is gone.
    lost: Vec<String>,
    /// What is there and belongs to nothing.
    extra: Vec<String>,
    rss_mib: Vec<f64>,
    cpu_seconds: f64,
}

struct Silent;

impl Reporter for Silent {
    fn event(&self, _event: &RunEvent) {}
}

async fn drive(words: &[String]) -> Result<()> {
    let [endpoint, hours, speed] = words else {
        return Err("--drive ENDPOINT HOURS SPEED".into());
    };
    let (hours, speed): (f64, f64) = (hours.parse()?, speed.parse()?);
    let aws = Aws::fixed(endpoint, REGION, KEY, "any");
    let plan = plan(&aws, "soak").await?;
    let wanted: BTreeSet<String> = plan
        .migrations
        .iter()
        .flat_map(|migration| migration.members())
        .map(|member| member.identifier.to_string())
        .collect();
    let time = clock(endpoint, speed)?;
    let day = Duration::from_secs_f64(hours * 3600.0 / speed);
    let mut measured = Measured {
        instances: wanted.len(),
        ..Measured::default()
    };
    let state = folder_in_memory()?;
    let migrations = plan.migrations.len();
    drop(RunStore::create(state.path(), plan)?);
    let is_over = AtomicBool::new(false);
    let work = async {
        let (began, first) = (std::time::Instant::now(), time.now());
        for sitting in 1..=SITTINGS {
            measured.sittings = sitting;
            if sitting_ends(&aws, state.path(), speed).await? == migrations {
                break;
            }
        }
        measured.migrated_by_hours = time.now().duration_since(first).as_secs_f64() / 3600.0;
        tokio::time::sleep(day.saturating_sub(began.elapsed())).await;
        is_over.store(true, Ordering::Relaxed);
        Result::Ok(())
    };
    let scanning = Box::pin(scans(&aws, &is_over, speed));
    let (worked, scanned, memory) = tokio::join!(Box::pin(work), scanning, memory(day));
    worked?;
    (measured.scans, measured.complete) = scanned;
    measured.rss_mib = memory?;
    // What is there is read without faults.
    admin_delete(endpoint)?;
    settle(&aws, &wanted, &mut measured).await?;
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF)?;
    let cpu = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    measured.cpu_seconds = cpu(usage.user_time()) + cpu(usage.system_time());
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

/// One sitting of the run; how many migrations are done after it.
async fn sitting_ends(aws: &Aws, state: &Path, speed: f64) -> Result<usize> {
    let real = |seconds: f64| Duration::from_secs_f64(seconds / speed);
    let options = FixOptions {
        timing: Timing {
            poll: real(15.0),
            consistency: real(180.0),
            ..Timing::default()
        },
        concurrency: usize::MAX,
        stop_before: None,
        fleet: FleetOptions {
            copies_in_flight: usize::MAX,
            ..FleetOptions::default()
        },
        mysql: None,
    };
    let store = RunStore::open(state, "soak")?;
    let (_keep, stop) = tokio::sync::watch::channel(false);
    let report = executor::run(aws, store, &options, &Silent, stop).await?;
    let migrated = |outcome: &Outcome| *outcome == Outcome::Migrated;
    Ok(report
        .migrations
        .iter()
        .filter(|migration| migrated(&migration.outcome))
        .count())
}

/// Scans until the day is over: how many, and how many of them had no hole.
async fn scans(aws: &Aws, is_over: &AtomicBool, speed: f64) -> (usize, usize) {
    let surface = Surface {
        keep: Arc::new(Keep::looked_at()),
        ..Surface::whole()
    };
    let settings = Settings::default();
    let (mut scans, mut complete) = (0, 0);
    while !is_over.load(Ordering::Relaxed) {
        let regions = [REGION.to_owned()];
        let inventory = inventory::read_surface(aws, ACCOUNT, &regions, &surface).await;
        let described = || inventory.regions.iter();
        let fleet = Fleet::new(
            described().flat_map(|region| &region.instances),
            described().flat_map(|region| &region.clusters),
        );
        let _findings = atrest_policies::evaluate_with(&fleet, &settings);
        scans += 1;
        complete += usize::from(
            inventory
                .regions
                .iter()
                .all(|region| region.error.is_none() && region.unread.is_empty()),
        );
        tokio::time::sleep(Duration::from_secs_f64(SCAN_EVERY / speed)).await;
    }
    (scans, complete)
}

/// Resident memory at the end of each quarter of the time.
async fn memory(whole: Duration) -> std::io::Result<Vec<f64>> {
    let mut seen = Vec::new();
    for _quarter in 0..4 {
        tokio::time::sleep(whole / 4).await;
        let status = std::fs::read_to_string("/proc/self/status")?;
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
        seen.push(kib.unwrap_or_default() / 1024.0);
    }
    Ok(seen)
}

/// Takes every fault away.
fn admin_delete(endpoint: &str) -> Result<()> {
    use std::io::Write as _;
    let host = endpoint.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(host)?;
    write!(
        stream,
        "DELETE /_sandbox/faults HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )?;
    stream.read_to_string(&mut String::new())?;
    let left = admin(endpoint, "faults")?;
    if left.as_array().is_some_and(|faults| !faults.is_empty()) {
        return Err("faults are left".into());
    }
    Ok(())
}

/// Compares what there is with what there should be.
async fn settle(aws: &Aws, wanted: &BTreeSet<String>, measured: &mut Measured) -> Result<()> {
    let rds = aws.rds(REGION);
    let (instances, _calls) = rds.db_instances().await?;
    let mut there: BTreeMap<&str, Encryption> = instances
        .iter()
        .map(|instance| (instance.identifier(), instance.encryption()))
        .collect();
    for name in wanted {
        let new = there.remove(name.as_str());
        let old = there.remove(format!("old-{name}").as_str());
        if new != Some(Encryption::SseKms) || old != Some(Encryption::None) {
            measured.lost.push(name.clone());
        }
    }
    measured.extra = there.into_keys().map(str::to_owned).collect();
    let snapshots = rds.manual_snapshots().await?.items.len();
    let sources = wanted.iter().filter(|name| !name.ends_with("-r")).count();
    if snapshots > sources * 2 {
        measured.extra.push(format!(
            "{snapshots} snapshots of {sources} sources, not {}",
            sources * 2
        ));
    }
    Ok(())
}
