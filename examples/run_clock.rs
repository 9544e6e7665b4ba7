//! How close a run of many migrations comes to the bound. Prints its own figures beside it and judges nothing.
//!
//! ```text
//! cargo run --release --example run_clock -- [CASE…] [--speed N] [--poll SECONDS]
//! ```
//!
//! Cases: `1`, `10`, `100` (that many migrations side by side), `cap5`, `cap10`, `cap20` (100 migrations, that many at a
//! time), `500`, `1000` (for their memory: so many DB instances are described at the end, old and new). Virtual time: the
//! sandbox draws every duration and keeps when each thing that it had taken on was finished. The bound is made of these
//! alone: the critical path of the longest migration, or with a cap the work divided by it, if that is more. What the run
//! adds is its looking, waiting and recording. The sandbox is one process and each run another; the run folder lies in
//! memory where there is /dev/shm, for a disk would be as slow in virtual time as many minutes of RDS.
#![expect(clippy::print_stdout, reason = "an example talks on stdout")]

mod shared;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use atrest_fixer::clock::Timing;
use atrest_fixer::executor::{self, Reporter};
use atrest_fixer::options::{FixOptions, FleetOptions};
use atrest_fixer::store::RunStore;
use atrest_model::event::RunEvent;
use atrest_model::plan::{Action, Migration, Plan, Step, Target};
use atrest_model::run::Outcome;
use atrest_sandbox::{Sandbox, Span};
use atrest_scanner::aws::Aws;
use jiff::Timestamp;
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

use shared::{
    KEY, REGION, Result, VirtualTime, admin, clock, folder_in_memory, options, plan, scenario,
};

#[derive(Debug, Clone, Copy)]
struct Case {
    name: &'static str,
    migrations: usize,
    /// Migrations at the same time.
    cap: usize,
    /// Virtual seconds per real second: as fast as one look at the fleet stays well below a tick.
    speed: f64,
    goal: f64,
}

const CASES: [Case; 8] = [
    case("1", 1, usize::MAX, 120.0, 1.02),
    case("10", 10, usize::MAX, 100.0, 1.02),
    case("100", 100, usize::MAX, 20.0, 1.02),
    case("cap5", 100, 5, 60.0, 1.08),
    case("cap10", 100, 10, 60.0, 1.08),
    case("cap20", 100, 20, 60.0, 1.08),
    case("500", 167, usize::MAX, 12.0, 1.02),
    case("1000", 333, usize::MAX, 6.0, 1.02),
];

const fn case(name: &'static str, migrations: usize, cap: usize, speed: f64, goal: f64) -> Case {
    Case {
        name,
        migrations,
        cap,
        speed,
        goal,
    }
}

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
    let option = |name: &str| -> Result<Option<f64>> {
        let at = words.iter().position(|word| word == name);
        let value = at.and_then(|at| words.get(at + 1));
        Ok(value.map(|value| value.parse()).transpose()?)
    };
    let (speed, poll) = (option("--speed")?, option("--poll")?);
    // The value of an option is no case.
    let given: Vec<&String> = words
        .iter()
        .enumerate()
        .filter(|(at, _)| *at == 0 || words.get(at - 1).is_none_or(|w| !w.starts_with("--")))
        .map(|(_, word)| word)
        .collect();
    let mut wanted: Vec<&Case> = CASES
        .iter()
        .filter(|case| given.iter().any(|word| *word == case.name))
        .collect();
    if wanted.is_empty() {
        wanted = CASES.iter().collect();
    }
    println!(
        "{:<6} {:>5} {:>9} {:>9} {:>7} {:>6} {:>11} {:>11} {:>9} {:>9} {:>8}",
        "case",
        "insts",
        "makespan",
        "bound",
        "ratio",
        "goal",
        "one by one",
        "calls/tick",
        "n/100 up",
        "RSS MiB",
        "CPU s"
    );
    for case in wanted {
        let case = Case {
            speed: speed.unwrap_or(case.speed),
            ..*case
        };
        row(&case, poll.unwrap_or(5.0))?;
    }
    Ok(())
}

fn row(case: &Case, poll: f64) -> Result<()> {
    let program = std::env::current_exe()?;
    let mut server = Command::new(&program)
        .args([
            "--serve",
            &case.migrations.to_string(),
            &case.speed.to_string(),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut out = BufReader::new(server.stdout.take().ok_or("the sandbox has no output")?);
    let mut line = String::new();
    out.read_line(&mut line)?;
    let measured = Command::new(&program)
        .args(["--drive", line.trim()])
        .args([
            case.cap.to_string(),
            case.speed.to_string(),
            poll.to_string(),
        ])
        .stderr(Stdio::inherit())
        .output();
    // Its end of the pipe is what ends the sandbox; what it has taken on comes last.
    drop(server.stdin.take());
    let mut spans = String::new();
    let read = out.read_to_string(&mut spans);
    server.wait()?;
    read?;
    let measured = measured?;
    if !measured.status.success() {
        return Err(format!("case {}: the run ended with {}", case.name, measured.status).into());
    }
    let measured: Measured = serde_json::from_slice(&measured.stdout)?;
    let spans: Vec<Span> = serde_json::from_str(&spans)?;
    let bound = bound(&measured, &spans, case.cap);
    let instances = measured.instances;
    println!(
        "{:<6} {:>5} {:>9.0} {:>9.0} {:>7.4} {:>6} {:>11.1} {:>11.2} {:>9} {:>9.0} {:>8.1}",
        case.name,
        instances,
        measured.makespan,
        bound.seconds,
        measured.makespan / bound.seconds,
        case.goal,
        bound.one_by_one / bound.seconds,
        measured.calls / (measured.makespan / poll),
        instances.div_ceil(100),
        measured.rss_mib,
        measured.cpu_seconds,
    );
    for (step, late) in &bound.late {
        println!("       {step:<16} {late:>6.1} s late, on average");
    }
    Ok(())
}

async fn serve(words: &[String]) -> Result<()> {
    let (Some(migrations), Some(speed)) = (words.first(), words.get(1)) else {
        return Err("--serve MIGRATIONS SPEED".into());
    };
    let sandbox = Sandbox::start(options(
        &scenario(migrations.parse()?),
        speed.parse()?,
        1,
        None,
    )?)
    .await?;
    sandbox.keep_spans();
    println!("{}", sandbox.endpoint());
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    println!("{}", serde_json::to_string(&sandbox.spans())?);
    sandbox.shutdown().await?;
    Ok(())
}

/// What a run leaves.
#[derive(Debug, Serialize, Deserialize)]
struct Measured {
    plan: Plan,
    /// Virtual seconds.
    makespan: f64,
    steps: Vec<Ran>,
    /// DescribeDBInstances.
    calls: f64,
    instances: usize,
    rss_mib: f64,
    cpu_seconds: f64,
}

/// When a step ran, in virtual time.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ran {
    migration: String,
    step: String,
    /// When its last call was sent, if it sent one.
    acted: Option<Timestamp>,
    done: Timestamp,
    /// What it has made.
    made: Option<String>,
}

struct Watch {
    time: VirtualTime,
    acted: Mutex<BTreeMap<(String, String), Timestamp>>,
    done: Mutex<Vec<Ran>>,
}

impl Reporter for Watch {
    fn event(&self, event: &RunEvent) {
        let now = self.time.now();
        match event {
            RunEvent::Acted {
                migration, step, ..
            } => {
                let mut acted = self.acted.lock().unwrap_or_else(|e| e.into_inner());
                acted.insert((migration.clone(), step.clone()), now);
            }
            RunEvent::StepDone {
                migration, step, ..
            } => {
                let mut acted = self.acted.lock().unwrap_or_else(|e| e.into_inner());
                let ran = Ran {
                    migration: migration.clone(),
                    step: step.clone(),
                    acted: acted.remove(&(migration.clone(), step.clone())),
                    done: now,
                    made: None,
                };
                self.done
                    .lock()
                    .unwrap_or_else(|e| e.into_inner())
                    .push(ran);
            }
            _ => {}
        }
    }
}

async fn drive(words: &[String]) -> Result<()> {
    let [endpoint, cap, speed, poll] = words else {
        return Err("--drive ENDPOINT CAP SPEED POLL".into());
    };
    let (speed, poll): (f64, f64) = (speed.parse()?, poll.parse()?);
    let aws = Aws::fixed(endpoint, REGION, KEY, "any");
    let plan = plan(&aws, "clock").await?;
    let state = folder_in_memory()?;
    let store = RunStore::create(state.path(), plan.clone())?;
    let real = |seconds: f64| Duration::from_secs_f64(seconds / speed);
    let options = FixOptions {
        timing: Timing {
            poll: real(poll),
            consistency: real(180.0),
            ..Timing::default()
        },
        concurrency: cap.parse()?,
        stop_before: None,
        fleet: FleetOptions {
            copies_in_flight: usize::MAX,
            ..FleetOptions::default()
        },
        mysql: None,
    };
    let watch = Watch {
        time: clock(endpoint, speed)?,
        acted: Mutex::default(),
        done: Mutex::default(),
    };
    let before = describes(endpoint)?;
    let (_keep, stop) = tokio::sync::watch::channel(false);
    let began = watch.time.now();
    let report = executor::run(&aws, store, &options, &watch, stop).await?;
    let makespan = watch.time.now().duration_since(began).as_secs_f64();
    let calls = describes(endpoint)? - before;
    for migration in &report.migrations {
        if migration.outcome != Outcome::Migrated {
            return Err(format!("{}: {}", migration.migration, migration.outcome.summary()).into());
        }
    }
    let store = RunStore::open_to_read(state.path(), "clock")?;
    let mut steps = watch.done.into_inner().unwrap_or_else(|e| e.into_inner());
    for migration in &plan.migrations {
        let records = store.steps(&migration.id)?;
        for ran in steps.iter_mut().filter(|ran| ran.migration == migration.id) {
            let made = records
                .get(&ran.step)
                .and_then(|r| r.result.get("dbi_resource_id"));
            ran.made = made.and_then(|id| id.as_str()).map(str::to_owned);
        }
    }
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let cpu = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    let members: usize = plan.migrations.iter().map(|m| m.members().count()).sum();
    let measured = Measured {
        // Old and new.
        instances: members * 2,
        plan,
        makespan,
        steps,
        calls,
        rss_mib: usage.max_rss() as f64 / 1024.0,
        cpu_seconds: cpu(usage.user_time()) + cpu(usage.system_time()),
    };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

fn describes(endpoint: &str) -> Result<f64> {
    let answer = admin(endpoint, "requests/counts?action=DescribeDBInstances")?;
    let total = answer.get("total").and_then(serde_json::Value::as_f64);
    Ok(total.unwrap_or(0.0))
}

struct Bound {
    seconds: f64,
    one_by_one: f64,
    /// Average lateness by kind of step.
    late: BTreeMap<String, f64>,
}

/// What RDS alone takes. A step lasts from its call to the end of what that set off; one without a call until what
/// others have set off on its instance is over. How late the call was, and how late its end was seen, is the run's own.
fn bound(measured: &Measured, spans: &[Span], cap: usize) -> Bound {
    let mut by_subject: BTreeMap<&str, Vec<&Span>> = BTreeMap::new();
    for span in spans {
        by_subject.entry(&span.subject).or_default().push(span);
    }
    let mut late: BTreeMap<String, (f64, u32)> = BTreeMap::new();
    let mut paths = Vec::new();
    for migration in &measured.plan.migrations {
        let ran: BTreeMap<&str, &Ran> = measured
            .steps
            .iter()
            .filter(|ran| ran.migration == migration.id)
            .map(|ran| (ran.step.as_str(), ran))
            .collect();
        let mut ends: BTreeMap<&str, f64> = BTreeMap::new();
        for step in &migration.steps {
            let Some(this) = ran.get(step.id.as_str()) else {
                continue;
            };
            let needed = step.needs.iter().filter_map(|need| ran.get(need.as_str()));
            let ready = needed.map(|need| need.done).max();
            let begin = this.acted.or(ready).unwrap_or(this.done);
            let over = subjects(migration, step, &ran)
                .iter()
                .filter_map(|subject| by_subject.get(subject.as_str()))
                .flatten()
                .filter(|span| span.began <= this.done)
                .map(|span| span.ended.min(this.done))
                .max()
                .map_or(begin, |end| end.max(begin));
            let takes = over.duration_since(begin).as_secs_f64();
            let before = step.needs.iter().filter_map(|need| ends.get(need.as_str()));
            let before = before.copied().fold(0.0, f64::max);
            ends.insert(&step.id, before + takes);
            let kind = step.id.split(':').next().unwrap_or_default();
            let entry = late.entry(kind.to_owned()).or_default();
            entry.0 += this.done.duration_since(over).as_secs_f64();
            entry.1 += 1;
        }
        paths.push(ends.values().copied().fold(0.0, f64::max));
    }
    let longest = paths.iter().copied().fold(0.0, f64::max);
    let work: f64 = paths.iter().sum();
    let share = if cap >= paths.len() {
        0.0
    } else {
        work / cap as f64
    };
    Bound {
        seconds: longest.max(share),
        one_by_one: work,
        late: late
            .into_iter()
            .map(|(step, (sum, count))| (step, sum / f64::from(count)))
            .collect(),
    }
}

/// What a step works on, as the sandbox calls it.
fn subjects(migration: &Migration, step: &Step, ran: &BTreeMap<&str, &Ran>) -> Vec<String> {
    let of = |target: &Target| match target {
        Target::Old(id) => Some(id.clone()),
        Target::MadeBy(by) => ran.get(by.as_str())?.made.clone(),
    };
    match &step.action {
        Action::Claim { instance, .. }
        | Action::Rename { instance, .. }
        | Action::Quiesce { instance, .. }
        | Action::Modify { instance, .. }
        | Action::Settle { instance }
        | Action::AddRole { instance, .. } => of(instance).into_iter().collect(),
        Action::Snapshot { snapshot, .. } | Action::EncryptedCopy { snapshot, .. } => {
            vec![format!("snapshot:{snapshot}")]
        }
        Action::Restore { .. } => of(&Target::MadeBy(step.id.clone())).into_iter().collect(),
        Action::CreateReplica { source, .. } => of(&Target::MadeBy(step.id.clone()))
            .into_iter()
            .chain(of(source))
            .collect(),
        _ => migration
            .members()
            .filter_map(|member| of(&Target::MadeBy(member.made_by.clone())))
            .collect(),
    }
}
