//! A migration stopped everywhere: the end is that of one that was never stopped, and nothing is done twice.
//!
//! The points: before and after every record of the journal, during every call, an answer that is lost after success,
//! twice in a row, with the run folder lost or an old copy of it, and the control plane stopped instead of the fixer.
//! Used by the test of the same name, which takes every few of them, and by the example `kill_matrix`, which takes all.

pub(crate) mod child;
pub(crate) mod tick;
pub(crate) mod undo;
mod world;

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use self::child::{At, Begin, Order};
use self::world::{Mutation, World, copy};
use atrest_model::plan::Method;

/// Longest time for one process; it takes a second or two.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL_MS: u64 = 15;
/// 180 virtual seconds are 30 ms of the sandbox's time.
const WINDOW_MS: u64 = 60;

/// What is migrated, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A source with its replica, while clients are away.
    Cold,
    /// The same by a blue/green deployment.
    BlueGreen,
    /// An Aurora cluster.
    Cluster,
    /// A Multi-AZ DB cluster.
    MultiAz,
}

impl Kind {
    /// The word in a table.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::BlueGreen => "blue-green",
            Self::Cluster => "cluster",
            Self::MultiAz => "Multi-AZ DB cluster",
        }
    }

    pub(crate) fn method(self) -> Method {
        match self {
            Self::Cold | Self::Cluster | Self::MultiAz => Method::Cold,
            Self::BlueGreen => Method::BlueGreen,
        }
    }

    pub(crate) fn scenario(self) -> &'static str {
        let fleet = include_str!("fleet.toml");
        match self {
            Self::Cold => fleet,
            // RDS makes no deployment of the target of a proxy.
            Self::BlueGreen => fleet.split("[[proxies]]").next().unwrap_or(fleet),
            Self::Cluster => include_str!("cluster.toml"),
            Self::MultiAz => include_str!("multi_az.toml"),
        }
    }
}

/// Where and how a run is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// Killed at a record, then resumed.
    Killed(At),
    /// Killed at a record, the resumed run killed at its own record, then resumed.
    Twice(At, At),
    /// Killed at a record, the run folder lost, then adopted.
    Lost(At),
    /// Killed at a record, the run folder replaced by one of an earlier record, then resumed.
    Yesterday(At, At),
    /// Killed while the nth mutation is on its way.
    During(usize),
    /// The nth mutation is carried out and its answer is lost.
    LostAnswer(usize),
    /// The control plane is stopped after the nth mutation and comes back.
    Outage(usize),
}

impl Case {
    /// The row of the table.
    pub(crate) fn family(self) -> &'static str {
        match self {
            Self::Killed(at) if at.after => "killed after a record",
            Self::Killed(_) => "killed before a record",
            Self::Twice(..) => "killed twice",
            Self::Lost(_) => "killed, folder lost, adopted",
            Self::Yesterday(..) => "killed, older folder resumed",
            Self::During(_) => "killed during a call",
            Self::LostAnswer(_) => "answer lost after success",
            Self::Outage(_) => "control plane stopped",
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |at: &At| {
            format!(
                "{} {}",
                if at.after { "after" } else { "before" },
                at.record
            )
        };
        match self {
            Self::Killed(a) | Self::Lost(a) => write!(f, "{}: {}", self.family(), at(a)),
            Self::Twice(a, b) | Self::Yesterday(a, b) => {
                write!(f, "{}: {}, {}", self.family(), at(a), at(b))
            }
            Self::During(n) | Self::LostAnswer(n) | Self::Outage(n) => {
                write!(f, "{}: {n}", self.family())
            }
        }
    }
}

/// How the child is started.
#[derive(Debug, Clone)]
pub(crate) struct Matrix {
    args: Vec<String>,
    kind: Kind,
    plan: atrest_model::plan::Plan,
    picture: Value,
    mutations: Vec<Mutation>,
    records: usize,
}

impl Matrix {
    /// Runs the migration once without a stop: what every case has to end like. `args` make this program the child.
    pub(crate) async fn new(args: &[&str], kind: Kind) -> Self {
        world::check_scenario();
        let world = World::start(kind, "").await;
        let mut matrix = Self {
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            kind,
            plan: world.plan(kind).await,
            picture: Value::Null,
            mutations: Vec::new(),
            records: 0,
        };
        let status = matrix.run(&world, Begin::Fresh, None).await;
        assert!(status.success(), "the run that is not stopped: {status}");
        world.check_journal(&matrix.plan);
        matrix.picture = world.picture().await;
        matrix.mutations = world.mutations();
        matrix.records = world.records();
        for member in matrix.plan.migrations[0].members() {
            let name = member.final_name().as_str();
            assert_eq!(matrix.picture["encrypted"][name], true, "{name}");
        }
        let old = &matrix.plan.migrations[0].source.old_name;
        assert_eq!(matrix.picture["encrypted"][old.as_str()], false);
        none_twice(&matrix.mutations);
        world.stop().await;
        matrix
    }

    /// Every point there is.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let at = |record, after| At { record, after };
        let points: Vec<At> = (1..=self.records)
            .flat_map(|record| [at(record, false), at(record, true)])
            .collect();
        let mut cases = Vec::new();
        cases.extend(points.iter().copied().map(Case::Killed));
        for point in &points {
            cases.push(Case::Twice(*point, at(1, false)));
            cases.push(Case::Twice(*point, at(1, true)));
            cases.push(Case::Twice(*point, at(4, true)));
        }
        // Before the first claim is sent there is nothing to adopt.
        cases.extend(points.iter().skip(2).copied().map(Case::Lost));
        for point in &points {
            for earlier in [point.record / 4, point.record / 2, point.record * 3 / 4] {
                if earlier > 0 {
                    cases.push(Case::Yesterday(*point, at(earlier, true)));
                }
            }
        }
        for number in 0..self.mutations.len() {
            cases.push(Case::During(number));
            cases.push(Case::LostAnswer(number));
            cases.push(Case::Outage(number));
        }
        cases
    }

    /// What is migrated.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// How many records and mutations an unstopped run has.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.records, self.mutations.len())
    }

    /// Runs the cases, a few at a time. Gives each with what went wrong.
    pub(crate) async fn walk(&self, cases: Vec<Case>) -> Vec<(Case, Option<String>)> {
        stream::iter(cases)
            .map(|case| async move {
                let matrix = self.clone();
                // A case that panics is a failed one, not the end of the walk.
                let ended = tokio::spawn(async move { matrix.case(case).await }).await;
                (case, ended.err().map(|panic| panic.to_string()))
            })
            .buffer_unordered(4)
            .collect()
            .await
    }

    async fn case(&self, case: Case) {
        let faults = match case {
            Case::During(number) => self.fault(number, "latency", "delay_ms = 600000\ntimes = 1"),
            Case::LostAnswer(number) => self.fault(number, "lost-answer", ""),
            _ => String::new(),
        };
        let mut world = match case {
            Case::Outage(_) => World::start_to_restart(self.kind).await,
            _ => World::start(self.kind, &faults).await,
        };
        match case {
            Case::Killed(at) => {
                self.killed(&world, Begin::Fresh, at).await;
                self.ends(&world, Begin::Resumed).await;
            }
            Case::Twice(first, second) => {
                self.killed(&world, Begin::Fresh, first).await;
                // Near the end the resumed run may have fewer records than that.
                let status = self.run(&world, Begin::Resumed, Some(second)).await;
                assert!(was_killed(status) || status.success(), "{case}: {status}");
                self.ends(&world, Begin::Resumed).await;
            }
            Case::Lost(at) => {
                self.killed(&world, Begin::Fresh, at).await;
                std::fs::remove_dir_all(world.run_dir()).unwrap();
                self.ends(&world, Begin::Adopted).await;
            }
            Case::Yesterday(at, earlier) => {
                self.killed(&world, Begin::Fresh, earlier).await;
                let kept = world.dir.path().join("yesterday");
                copy(&world.run_dir(), &kept);
                let more = At {
                    record: at.record - earlier.record,
                    after: at.after,
                };
                let status = self.run(&world, Begin::Resumed, Some(more)).await;
                assert!(was_killed(status) || status.success(), "{case}: {status}");
                std::fs::remove_dir_all(world.run_dir()).unwrap();
                copy(&kept, &world.run_dir());
                self.ends(&world, Begin::Resumed).await;
            }
            Case::During(number) => {
                let mut child = self.spawn(&world, Begin::Fresh, None).await;
                let wait = Instant::now();
                while !befell(&world).await {
                    assert!(
                        child.try_wait().unwrap().is_none(),
                        "{number}: ended before"
                    );
                    assert!(wait.elapsed() < PATIENCE, "{number}: the call never came");
                    pause().await;
                }
                child.kill().await.unwrap();
                self.ends(&world, Begin::Resumed).await;
            }
            Case::LostAnswer(_) => self.ends(&world, Begin::Fresh).await,
            Case::Outage(number) => {
                let mut child = self.spawn(&world, Begin::Fresh, None).await;
                let wait = Instant::now();
                while world.mutations().len() <= number {
                    assert!(
                        child.try_wait().unwrap().is_none(),
                        "{number}: ended before"
                    );
                    assert!(wait.elapsed() < PATIENCE, "{number}: it never came");
                    pause().await;
                }
                world.restart().await;
                let status = finish(&mut child).await;
                assert!(status.success(), "{case}: {status}");
                self.compare(&world, false).await;
            }
        }
        world.stop().await;
    }

    /// The fault for the nth mutation of the run.
    fn fault(&self, number: usize, kind: &str, more: &str) -> String {
        let action = &self.mutations[number].action;
        let before = self.mutations[..number].iter();
        let nth = before.filter(|other| other.action == *action).count() + 1;
        format!(
            "[[faults]]\nname = 'point'\nkind = '{kind}'\naction = '{action}'\nnth = {nth}\n{more}\n"
        )
    }

    async fn killed(&self, world: &World, begin: Begin, at: At) {
        let status = self.run(world, begin, Some(at)).await;
        assert!(was_killed(status), "not killed at {at:?}: {status}");
    }

    /// Runs to the end, and the end is the one of an unstopped run.
    async fn ends(&self, world: &World, begin: Begin) {
        let status = self.run(world, begin, None).await;
        assert!(status.success(), "the last sitting: {status}");
        self.compare(world, begin == Begin::Adopted).await;
    }

    async fn compare(&self, world: &World, takes_over: bool) {
        world.check_journal(&self.plan);
        self.same_end(world, takes_over).await;
    }

    /// What there is, and what was done how often, is as after an unstopped run.
    async fn same_end(&self, world: &World, takes_over: bool) {
        let wait = Instant::now();
        let mut picture = world.picture().await;
        // An automated backup or a lag of the answers may be under way.
        while picture != self.picture && wait.elapsed() < Duration::from_secs(10) {
            pause().await;
            picture = world.picture().await;
        }
        let (found, wanted) = (pretty(&picture), pretty(&self.picture));
        let differs = found.lines().zip(wanted.lines()).find(|(a, b)| a != b);
        assert!(picture == self.picture, "another end: {differs:?}");
        let mutations = world.mutations();
        let counts = |list: &[Mutation]| -> BTreeMap<String, usize> {
            list.iter().fold(BTreeMap::new(), |mut counts, mutation| {
                *counts.entry(mutation.intent.clone()).or_default() += 1;
                counts
            })
        };
        let (mut found, mut wanted) = (counts(&mutations), counts(&self.mutations));
        if takes_over {
            // A folder that takes a run over writes the claim again, under the name the instance has by then.
            let is_claim = |intent: &str| intent.starts_with("AddTagsToResource");
            found.retain(|intent, _| !is_claim(intent));
            wanted.retain(|intent, _| !is_claim(intent));
        }
        assert_eq!(found, wanted, "in order: {mutations:#?}");
    }

    async fn run(&self, world: &World, begin: Begin, die: Option<At>) -> ExitStatus {
        let mut child = self.spawn(world, begin, die).await;
        finish(&mut child).await
    }

    async fn spawn(&self, world: &World, begin: Begin, die: Option<At>) -> tokio::process::Child {
        let plan = world.dir.path().join("plan.json");
        std::fs::write(&plan, serde_json::to_string(&self.plan).unwrap()).unwrap();
        let order = Order {
            endpoint: world.endpoint().to_owned(),
            state_dir: world.state_dir(),
            plan,
            begin,
            die,
            poll_ms: POLL_MS,
            window_ms: WINDOW_MS,
            stop_before: None,
            undo: None,
        };
        let output = || std::fs::File::create(world.dir.path().join("child.txt")).unwrap();
        tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(&self.args)
            .env(child::ORDER, serde_json::to_string(&order).unwrap())
            .stdin(Stdio::null())
            .stdout(output())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

fn none_twice(mutations: &[Mutation]) {
    for (number, mutation) in mutations.iter().enumerate() {
        let again = &mutations[number + 1..];
        assert!(!again.contains(mutation), "{} twice", mutation.intent);
    }
}

fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(9)
}

async fn finish(child: &mut tokio::process::Child) -> ExitStatus {
    tokio::time::timeout(PATIENCE, child.wait())
        .await
        .unwrap()
        .unwrap()
}

/// The pause between two looks at another process.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

/// Whether the fault of the case has befallen its call.
async fn befell(world: &World) -> bool {
    let body = admin(world, "GET", "").await;
    body["faults"][0]["befell"].as_u64() == Some(1)
}

/// Puts a fault in force.
async fn add_fault(world: &World, fault: &Value) {
    let answer = admin(world, "POST", &fault.to_string()).await;
    assert!(answer.get("error").is_none(), "{answer}");
}

async fn admin(world: &World, method: &str, body: &str) -> Value {
    let mut stream = tokio::net::TcpStream::connect(world.address())
        .await
        .unwrap();
    let request = format!(
        "{method} /_sandbox/faults HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (_head, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

/// The table of a walk, and what failed.
pub(crate) fn table<C: fmt::Display>(
    walked: &[(C, Option<String>)],
    of: &[C],
    family: impl Fn(&C) -> String,
) -> (String, Vec<String>) {
    let mut rows: BTreeMap<String, (usize, usize, usize)> = BTreeMap::new();
    for case in of {
        rows.entry(family(case)).or_default().0 += 1;
    }
    let mut failed = Vec::new();
    for (case, problem) in walked {
        let row = rows.entry(family(case)).or_default();
        row.1 += 1;
        if let Some(problem) = problem {
            row.2 += 1;
            failed.push(format!("{case}: {problem}"));
        }
    }
    let line = |cells: [&str; 4]| {
        let [family, points, walked, failed] = cells;
        format!("{family:<50} {points:>6} {walked:>6} {failed:>6}\n")
    };
    let head = line(["stopped", "points", "walked", "failed"]);
    let rows = rows.iter().map(|(family, (points, walked, failed))| {
        line([
            family,
            &points.to_string(),
            &walked.to_string(),
            &failed.to_string(),
        ])
    });
    (std::iter::once(head).chain(rows).collect(), failed)
}
