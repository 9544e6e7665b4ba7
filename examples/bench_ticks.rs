//! Many migrations tick by tick beside the embedded executor, with ticks that are cut off anywhere. Prints its figures;
//! ends with 1 when a mutation was done twice or a migration did not arrive.
//!
//! ```text
//! cargo run --release --example bench_ticks -- [MIGRATIONS] [--kills PERCENT]
//! ```
//!
//! The engine is this program. A tick that is cut off is dropped in the middle of what it was doing, its connections with
//! it, and repeated with the document from before and `again`, on another machine as far as it can tell. The control plane
//! is the sandbox's, in this program too, so memory is that of all.
#![expect(clippy::print_stdout, reason = "an example talks on stdout")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use atrest_fixer::clock::Timing;
use atrest_fixer::executor::{self, Reporter};
use atrest_fixer::options::{FixOptions, FleetOptions};
use atrest_fixer::planner::{self, Facts};
use atrest_fixer::store::RunStore;
use atrest_fixer::tick::{self, Settings};
use atrest_model::event::RunEvent;
use atrest_model::id::RunId;
use atrest_model::plan::{DataCheck, MysqlAccess, Plan};
use atrest_model::tick::Progress;
use atrest_sandbox::engine::EngineMode;
use atrest_sandbox::{Sandbox, SandboxOptions, Scenario};
use atrest_scanner::aws::Aws;
use atrest_scanner::inventory;
use futures::stream::{self, StreamExt as _};
use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const REGION: &str = "eu-central-1";
const ACCOUNT: &str = "111122223333";
const KEY: &str = "AKIATICKS";
/// Virtual seconds per real second.
const SPEED: f64 = 120.0;
const LIFETIME: Duration = Duration::from_secs(5);
/// A migration takes an hour of virtual time, half a minute of this; a machine under load far longer.
const PATIENCE: Duration = Duration::from_secs(1800);

struct Quiet;

impl Reporter for Quiet {
    fn event(&self, _event: &RunEvent) {}
}

fn timing() -> Timing {
    Timing {
        poll: Duration::from_millis(500),
        consistency: Duration::from_millis(1500),
        ..Timing::default()
    }
}

fn scenario(migrations: usize) -> String {
    let mut text = format!(
        "[[accounts]]\nid = \"{ACCOUNT}\"\naccess_key_id = \"{KEY}\"\n\
         [[keys]]\nalias = \"alias/mine\"\nregions = [\"{REGION}\"]\n\
         [quotas]\ninstances = 100000\nmanual_snapshots = 100000\nstorage_gib = 1000000000\ncopies_in_flight = 100000\n"
    );
    for number in 0..migrations {
        let _written = write!(
            text,
            "[[instances]]\nid = \"db{number:03}\"\nengine = \"mariadb\"\nengine_version = \"10.11.9\"\nclass = \"db.m5.large\"\n\
             allocated_storage = 100\nbackup_retention = 3\nserver = false\n"
        );
    }
    text
}

struct Bed {
    sandbox: Sandbox,
    dir: tempfile::TempDir,
    aws: Aws,
    plan: Plan,
}

async fn bed(migrations: usize) -> Result<Bed> {
    let dir = tempfile::tempdir()?;
    let sandbox = Sandbox::start(SandboxOptions {
        scenario: Scenario::parse("ticks", &scenario(migrations))?,
        port: 0,
        speed: SPEED,
        engines: EngineMode::None,
        install_dir: dir.path().to_owned(),
        work_dir: dir.path().to_owned(),
        request_log: Some(dir.path().join("requests.jsonl")),
        seed: 1,
    })
    .await?;
    let aws = Aws::fixed(&sandbox.endpoint(), REGION, KEY, "any");
    let inventory = inventory::read(&aws, ACCOUNT, &[REGION.to_owned()]).await;
    let region = inventory.regions.into_iter().next().ok_or("no region")?;
    let key = aws.describe_key(REGION, "alias/mine").await?;
    let facts = Facts {
        run: RunId::try_from("ticks".to_owned())?,
        created: jiff::Timestamp::UNIX_EPOCH,
        account: ACCOUNT.to_owned(),
        instances: region.instances,
        clusters: Vec::new(),
        keys: BTreeMap::from([(REGION.to_owned(), Ok(key))]),
        mysql: MysqlAccess::Off {
            reason: "control plane only".to_owned(),
        },
        data_check: DataCheck::None,
        methods: planner::MethodFacts::default(),
        quiesce: planner::Quiesce {
            window_seconds: 0,
            ..planner::Quiesce::default()
        },
        dependents: BTreeMap::new(),
        login: None,
    };
    let plan = planner::plan(&facts, None);
    Ok(Bed {
        sandbox,
        dir,
        aws,
        plan,
    })
}

fn main() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let migrations = match words.first() {
        Some(word) if !word.starts_with("--") => word.parse()?,
        _ => 200,
    };
    let at = words.iter().position(|word| word == "--kills");
    let kills: u64 = match at.and_then(|at| words.get(at + 1)) {
        Some(word) => word.parse()?,
        None => 5,
    };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let embedded = embedded(migrations).await?;
        let ticks = ticks(migrations, 0).await?;
        let killed = ticks_or_nothing(migrations, kills).await?;
        println!(
            "{:<28} {:>8} {:>7} {:>6} {:>9} {:>9} {:>6} {:>8}",
            "", "seconds", "ticks", "cut", "mutations", "describes", "twice", "RSS MiB"
        );
        for (name, figures) in [
            ("embedded", &embedded),
            ("ticks", &ticks),
            ("ticks, cut off", &killed),
        ] {
            println!(
                "{name:<28} {:>8.1} {:>7} {:>6} {:>9} {:>9} {:>6} {:>8}",
                figures.seconds,
                figures.ticks,
                figures.cut,
                figures.mutations,
                figures.describes,
                figures.twice,
                figures.rss
            );
        }
        let good = [&embedded, &ticks, &killed]
            .iter()
            .all(|figures| figures.twice == 0 && figures.mutations == embedded.mutations);
        Ok(if good {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    })
}

#[derive(Debug)]
struct Figures {
    seconds: f64,
    ticks: usize,
    cut: usize,
    mutations: usize,
    describes: usize,
    twice: usize,
    rss: u64,
}

impl Figures {
    fn read(began: Instant, bed: &Bed, ticks: usize, cut: usize) -> Result<Self> {
        let (mutations, describes, twice) = counts(&bed.dir.path().join("requests.jsonl"))?;
        Ok(Self {
            seconds: began.elapsed().as_secs_f64(),
            ticks,
            cut,
            mutations,
            describes,
            twice,
            rss: rss()?,
        })
    }
}

async fn embedded(migrations: usize) -> Result<Figures> {
    let bed = bed(migrations).await?;
    let began = Instant::now();
    let store = RunStore::create(bed.dir.path(), bed.plan.clone())?;
    let options = FixOptions {
        timing: timing(),
        concurrency: usize::MAX,
        stop_before: None,
        fleet: FleetOptions {
            copies_in_flight: usize::MAX,
            ..FleetOptions::default()
        },
        mysql: None,
    };
    let (_keep, stop) = tokio::sync::watch::channel(false);
    let report = executor::run(&bed.aws, store, &options, &Quiet, stop).await?;
    let arrived = report
        .migrations
        .iter()
        .filter(|one| one.outcome.is_whole());
    if arrived.count() != migrations {
        return Err("not all have arrived".into());
    }
    let figures = Figures::read(began, &bed, 0, 0)?;
    bed.sandbox.shutdown().await?;
    Ok(figures)
}

async fn ticks_or_nothing(migrations: usize, kills: u64) -> Result<Figures> {
    if kills == 0 {
        return Err("--kills 0 is what is measured anyway".into());
    }
    ticks(migrations, kills).await
}

async fn ticks(migrations: usize, kills: u64) -> Result<Figures> {
    let bed = bed(migrations).await?;
    let began = Instant::now();
    let (count, cut) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let ended: Vec<Result<()>> = stream::iter(bed.plan.migrations.iter().enumerate())
        .map(|(number, migration)| {
            let (bed, count, cut) = (&bed, &count, &cut);
            async move {
                let id = &migration.source.dbi_resource_id;
                one(bed, number as u64 + 1, id, kills, count, cut).await
            }
        })
        .buffer_unordered(migrations.max(1))
        .collect()
        .await;
    ended.into_iter().collect::<Result<Vec<()>>>()?;
    let figures = Figures::read(
        began,
        &bed,
        count.load(Ordering::Relaxed),
        cut.load(Ordering::Relaxed),
    )?;
    bed.sandbox.shutdown().await?;
    Ok(figures)
}

/// One execution.
async fn one(
    bed: &Bed,
    seed: u64,
    id: &str,
    kills: u64,
    count: &AtomicUsize,
    cut: &AtomicUsize,
) -> Result<()> {
    let mut chance = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut draw = |below: u64| {
        // xorshift: the same each time.
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        chance % below
    };
    let mut document = tick::begin(&bed.plan, id, None)?;
    let mut machine = 0;
    let mut again = false;
    let began = Instant::now();
    while document.progress != Progress::Done {
        if began.elapsed() > PATIENCE {
            return Err(format!("{id}: {}", document.seen).into());
        }
        let folder = bed.dir.path().join(format!("machine-{machine}"));
        let settings = Settings {
            aws: &bed.aws,
            plan: &bed.plan,
            state_dir: Path::new(&folder),
            timing: timing(),
            intent_lifetime: LIFETIME,
            mysql: None,
            fleet: FleetOptions {
                copies_in_flight: usize::MAX,
                ..FleetOptions::default()
            },
        };
        let mut input = tick::read(&serde_json::to_string(&document)?)?;
        input.again |= again;
        count.fetch_add(1, Ordering::Relaxed);
        let ticking = tick::tick(&settings, input, &Quiet);
        let next = if draw(100) < kills {
            let limit = Duration::from_millis(draw(60));
            tokio::time::timeout(limit, ticking).await.ok()
        } else {
            Some(ticking.await)
        };
        let Some(next) = next else {
            cut.fetch_add(1, Ordering::Relaxed);
            machine += 1;
            again = true;
            continue;
        };
        again = false;
        document = next?;
        if matches!(
            document.progress,
            Progress::NeedsOperator | Progress::Approval
        ) {
            return Err(format!("{id}: {}", document.seen).into());
        }
        if document.wait_seconds > 0 {
            // Whole seconds are those of RDS.
            tokio::time::sleep(timing().poll).await;
        }
    }
    Ok(())
}

/// Mutations that took effect, describe calls, and mutations that took effect twice.
fn counts(log: &Path) -> Result<(usize, usize, usize)> {
    let text = std::fs::read_to_string(log)?;
    let (mut describes, mut seen) = (0, BTreeMap::<String, usize>::new());
    for line in text.lines() {
        let value: Value = serde_json::from_str(line)?;
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let action = text("action");
        if action.starts_with("Describe") {
            describes += 1;
        } else if text("code").is_empty() {
            let params = value.get("params").map(Value::to_string);
            *seen
                .entry(format!("{action} {}", params.unwrap_or_default()))
                .or_default() += 1;
        }
    }
    let all = seen.values().sum();
    Ok((all, describes, all - seen.len()))
}

/// Resident memory of this program.
fn rss() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.ok_or("no VmRSS")?.parse::<u64>()? / 1024)
}
