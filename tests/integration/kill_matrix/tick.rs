//! The same migration tick by tick: every tick repeated, killed before, during and after its call, its answer lost, come
//! late. The end and the number of each mutation are those of the embedded executor.
//!
//! The engine is this program: it keeps documents and calls again. Ticks run in it, but for the one that is killed, which
//! is a process.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use atrest_fixer::clock::Timing;
use atrest_fixer::executor::Reporter;
use atrest_fixer::options::FleetOptions;
use atrest_fixer::store::{read_plan, verify};
use atrest_fixer::tick::{self, Settings};
use atrest_model::event::RunEvent;
use atrest_model::tick::{Progress, TickDocument, TickInput};
use futures::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::child::{aws, die};
use super::world::World;
use super::{
    Kind, Matrix, PATIENCE, POLL_MS, WINDOW_MS, add_fault, befell, finish, none_twice, pause,
    was_killed,
};

/// Variable that carries a [`TickOrder`].
pub(crate) const ORDER: &str = "ATREST_TICK_ORDER";
/// How long an intent may be acted on here. A tick that takes longer on a busy machine is only looked for.
const LIFETIME: Duration = Duration::from_millis(1500);

/// What the process that is killed is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TickOrder {
    endpoint: String,
    plan: PathBuf,
    state_dir: PathBuf,
    input: PathBuf,
    die: Die,
}

/// Where it kills itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Die {
    /// When everything is ready for the call.
    BeforeCall,
    /// When its document is made and not yet told.
    AfterTick,
    /// Not by itself.
    Never,
}

/// Who repeats a tick, and what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// At once, on the same machine; the tick is told nothing.
    Here,
    /// On another machine; the tick is told.
    Elsewhere,
}

/// Where and how a run of ticks is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TickCase {
    /// Killed before the nth call is sent.
    Before(usize, Repeat),
    /// Killed while it is on its way.
    During(usize, Repeat),
    /// Killed when it was answered, before the document was told.
    After(usize, Repeat),
    /// The answer is lost; the tick goes on.
    LostAnswer(usize),
    /// The tick that was to send it comes when its intent is over.
    Late(usize),
    /// Two ticks with the document that lets it be sent, at the same time on one machine.
    AtOnce(usize),
    /// When the nth call is due the engine goes on with a document of half as many ticks.
    Older(usize),
    /// Every tick is run twice, elsewhere every one that may send, and only the second one's document is kept.
    EachTwice(Repeat),
}

impl TickCase {
    /// The row of the table.
    pub(crate) fn family(self) -> String {
        let (what, repeat) = match self {
            Self::Before(_, repeat) => ("killed before a call", Some(repeat)),
            Self::During(_, repeat) => ("killed during a call", Some(repeat)),
            Self::After(_, repeat) => ("killed after a call", Some(repeat)),
            Self::LostAnswer(_) => ("answer lost after success", None),
            Self::Late(_) => ("came too late to send", None),
            Self::AtOnce(_) => ("two at once", None),
            Self::Older(_) => ("an older document, told", None),
            Self::EachTwice(repeat) => ("every tick twice", Some(repeat)),
        };
        match repeat {
            None => what.to_owned(),
            Some(Repeat::Here) => format!("{what}, repeated here"),
            Some(Repeat::Elsewhere) => format!("{what}, repeated elsewhere"),
        }
    }

    fn call(self) -> Option<usize> {
        match self {
            Self::Before(n, _)
            | Self::During(n, _)
            | Self::After(n, _)
            | Self::LostAnswer(n)
            | Self::Late(n)
            | Self::AtOnce(n)
            | Self::Older(n) => Some(n),
            Self::EachTwice(_) => None,
        }
    }
}

impl fmt::Display for TickCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.call() {
            Some(number) => write!(f, "{}: {number}", self.family()),
            None => write!(f, "{}", self.family()),
        }
    }
}

struct Quiet;

impl Reporter for Quiet {
    fn event(&self, _event: &RunEvent) {}
}

/// Kills itself when a call is about to be sent.
struct Deadly;

impl Reporter for Deadly {
    fn event(&self, event: &RunEvent) {
        if matches!(event, RunEvent::Acted { .. }) {
            die();
        }
    }
}

fn timing() -> Timing {
    Timing {
        poll: Duration::from_millis(POLL_MS),
        consistency: Duration::from_millis(WINDOW_MS),
        ..Timing::default()
    }
}

/// What the process does that is killed.
pub(crate) fn carry_out(order: &str) -> Result<(), String> {
    let order: TickOrder = serde_json::from_str(order).map_err(|e| e.to_string())?;
    let plan = read_plan(&order.plan).map_err(|e| e.to_string())?;
    let text = std::fs::read_to_string(&order.input).map_err(|e| e.to_string())?;
    let input = tick::read(&text).map_err(|e| e.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    let aws = aws(&order.endpoint);
    let settings = Settings {
        aws: &aws,
        plan: &plan,
        state_dir: &order.state_dir,
        timing: timing(),
        intent_lifetime: LIFETIME,
        mysql: None,
        fleet: FleetOptions::default(),
    };
    let reporter: &dyn Reporter = match order.die {
        Die::BeforeCall => &Deadly,
        Die::AfterTick | Die::Never => &Quiet,
    };
    runtime
        .block_on(tick::tick(&settings, input, reporter))
        .map_err(|e| e.to_string())?;
    if order.die == Die::AfterTick {
        die();
    }
    Ok(())
}

/// An execution: what the engine keeps.
struct Execution<'a> {
    world: &'a World,
    matrix: &'a TickMatrix,
    document: TickDocument,
    /// The lines of every document that was kept.
    trail: Vec<String>,
    /// The documents before, each with the length of the trail then.
    kept: Vec<(TickDocument, usize)>,
    /// Which machine runs the next tick.
    machine: usize,
    ticks: usize,
}

impl<'a> Execution<'a> {
    fn begin(matrix: &'a TickMatrix, world: &'a World) -> Self {
        let plan = &matrix.base.plan;
        let document = tick::begin(plan, &plan.migrations[0].source.dbi_resource_id, None).unwrap();
        std::fs::write(
            world.dir.path().join("plan.json"),
            serde_json::to_string(plan).unwrap(),
        )
        .unwrap();
        Self {
            trail: document.journal.clone(),
            kept: Vec::new(),
            document,
            world,
            matrix,
            machine: 0,
            ticks: 0,
        }
    }

    fn folder(&self) -> PathBuf {
        self.world
            .dir
            .path()
            .join(format!("machine-{}", self.machine))
    }

    fn input(&self, again: bool) -> TickInput {
        // Through text, as an engine has it.
        let text = serde_json::to_string(&self.document).unwrap();
        let mut input = tick::read(&text).unwrap();
        input.again |= again;
        input
    }

    async fn tick(&self, again: bool) -> TickDocument {
        let aws = aws(self.world.endpoint());
        let folder = self.folder();
        let settings = Settings {
            aws: &aws,
            plan: &self.matrix.base.plan,
            state_dir: &folder,
            timing: timing(),
            intent_lifetime: LIFETIME,
            mysql: None,
            fleet: FleetOptions::default(),
        };
        tick::tick(&settings, self.input(again), &Quiet)
            .await
            .unwrap()
    }

    fn keep(&mut self, document: TickDocument) {
        self.ticks += 1;
        let before = std::mem::replace(&mut self.document, document);
        self.kept.push((before, self.trail.len()));
        self.trail.extend(self.document.journal.iter().cloned());
    }

    /// Whether the next tick may send something.
    fn may_send(&self) -> bool {
        let last = self.document.journal.last();
        last.is_some_and(|line| line.contains(r#""event":"intend""#))
    }

    /// What the next tick may send.
    fn operation(&self) -> String {
        let line: Value = serde_json::from_str(self.document.journal.last().unwrap()).unwrap();
        line["detail"]["operation"].as_str().unwrap().to_owned()
    }

    /// Goes on until the nth call is what the next tick sends.
    async fn until(&mut self, call: usize) {
        let wait = Instant::now();
        while !(self.may_send() && self.world.mutations().len() == call) {
            assert!(
                matches!(
                    self.document.progress,
                    Progress::Advanced | Progress::Waiting
                ),
                "{call}: {:?}: {}",
                self.document.progress,
                self.document.seen
            );
            assert!(wait.elapsed() < PATIENCE, "{call}: it was never its turn");
            self.wait().await;
            let next = self.tick(false).await;
            self.keep(next);
        }
    }

    async fn wait(&self) {
        if self.document.wait_seconds > 0 {
            // The document speaks of whole seconds; the sandbox's are shorter.
            tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
        }
    }

    /// Goes on to the end.
    async fn finish(&mut self, twice: Option<Repeat>) {
        let wait = Instant::now();
        while self.document.progress != Progress::Done {
            assert!(
                matches!(
                    self.document.progress,
                    Progress::Advanced | Progress::Waiting | Progress::TryLater
                ),
                "{:?}: {}",
                self.document.progress,
                self.document.seen
            );
            assert!(wait.elapsed() < PATIENCE, "{}", self.document.seen);
            self.wait().await;
            let next = match twice {
                None => self.tick(false).await,
                Some(Repeat::Here) => {
                    drop(self.tick(false).await);
                    self.tick(false).await
                }
                // A tick that is told it is one more begins a new sitting, in which it looks before it intends: told so
                // every time it would look for ever.
                Some(Repeat::Elsewhere) if self.may_send() => {
                    drop(self.tick(false).await);
                    self.machine += 1;
                    self.tick(true).await
                }
                Some(Repeat::Elsewhere) => self.tick(false).await,
            };
            self.keep(next);
        }
    }

    /// The tick at hand in a process of its own.
    fn spawn(&self, die: Die) -> tokio::process::Child {
        let dir = self.world.dir.path();
        let input = dir.join("input.json");
        std::fs::write(&input, serde_json::to_string(&self.document).unwrap()).unwrap();
        let order = TickOrder {
            endpoint: self.world.endpoint().to_owned(),
            plan: dir.join("plan.json"),
            state_dir: self.folder(),
            input,
            die,
        };
        tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(&self.matrix.base.args)
            .env(ORDER, serde_json::to_string(&order).unwrap())
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(dir.join("child.txt")).unwrap())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    async fn killed(&self, die: Die) {
        let status = finish(&mut self.spawn(die)).await;
        assert!(was_killed(status), "not killed: {status}");
    }

    async fn repeat(&mut self, repeat: Repeat) {
        if repeat == Repeat::Elsewhere {
            self.machine += 1;
        }
        let next = self.tick(repeat == Repeat::Elsewhere).await;
        self.keep(next);
    }
}

/// How ticks are walked through.
#[derive(Debug, Clone)]
pub(crate) struct TickMatrix {
    base: Matrix,
    ticks: usize,
    largest: usize,
}

impl TickMatrix {
    /// Runs the migration by the embedded executor and then by ticks, both without a disturbance: the ends are the same.
    pub(crate) async fn new(args: &[&str], kind: Kind) -> Self {
        let mut matrix = Self {
            base: Matrix::new(args, kind).await,
            ticks: 0,
            largest: 0,
        };
        let world = World::start(kind, "").await;
        let (ticks, largest) = {
            let mut execution = Execution::begin(&matrix, &world);
            let mut largest = 0;
            let wait = Instant::now();
            while execution.document.progress != Progress::Done {
                assert!(wait.elapsed() < PATIENCE, "{}", execution.document.seen);
                execution.wait().await;
                let next = execution.tick(false).await;
                largest = largest.max(serde_json::to_string(&next).unwrap().len());
                execution.keep(next);
            }
            matrix.compare(&execution).await;
            (execution.ticks, largest)
        };
        none_twice(&world.mutations());
        (matrix.ticks, matrix.largest) = (ticks, largest);
        world.stop().await;
        matrix
    }

    /// Ticks of an undisturbed execution, mutations, and bytes of its largest document.
    pub(crate) fn size(&self) -> (usize, usize, usize) {
        (self.ticks, self.base.mutations.len(), self.largest)
    }

    /// Every point there is.
    pub(crate) fn cases(&self) -> Vec<TickCase> {
        let mut cases = Vec::new();
        for call in 0..self.base.mutations.len() {
            for repeat in [Repeat::Here, Repeat::Elsewhere] {
                cases.push(TickCase::Before(call, repeat));
                cases.push(TickCase::During(call, repeat));
                cases.push(TickCase::After(call, repeat));
            }
            cases.push(TickCase::LostAnswer(call));
            cases.push(TickCase::Late(call));
            cases.push(TickCase::AtOnce(call));
            cases.push(TickCase::Older(call));
        }
        cases.push(TickCase::EachTwice(Repeat::Here));
        cases.push(TickCase::EachTwice(Repeat::Elsewhere));
        cases
    }

    /// Runs the cases, a few at a time. Gives each with what went wrong.
    pub(crate) async fn walk(
        self: &Arc<Self>,
        cases: Vec<TickCase>,
    ) -> Vec<(TickCase, Option<String>)> {
        stream::iter(cases)
            .map(|case| async move {
                let matrix = Arc::clone(self);
                let ended = tokio::spawn(async move { Box::pin(matrix.case(case)).await }).await;
                (case, ended.err().map(|panic| panic.to_string()))
            })
            .buffer_unordered(4)
            .collect()
            .await
    }

    async fn case(&self, case: TickCase) {
        let world = World::start(self.base.kind, "").await;
        {
            let mut execution = Execution::begin(self, &world);
            if let Some(call) = case.call() {
                execution.until(call).await;
            }
            self.disturb(&mut execution, case).await;
            let twice = match case {
                TickCase::EachTwice(repeat) => Some(repeat),
                _ => None,
            };
            execution.finish(twice).await;
            self.compare(&execution).await;
        }
        world.stop().await;
    }

    async fn disturb(&self, execution: &mut Execution<'_>, case: TickCase) {
        let world = execution.world;
        match case {
            TickCase::Before(call, repeat) => {
                execution.killed(Die::BeforeCall).await;
                assert_eq!(world.mutations().len(), call, "it was killed before");
                execution.repeat(repeat).await;
            }
            TickCase::During(_, repeat) => {
                let fault = json!({"name": "point", "kind": "latency", "action": execution.operation(),
                    "nth": 1, "delay_ms": 600_000, "times": 1});
                add_fault(world, &fault).await;
                let mut child = execution.spawn(Die::Never);
                let wait = Instant::now();
                while !befell(world).await {
                    assert!(child.try_wait().unwrap().is_none(), "it ended before");
                    assert!(wait.elapsed() < PATIENCE, "the call never came");
                    pause().await;
                }
                child.kill().await.unwrap();
                execution.repeat(repeat).await;
            }
            TickCase::After(call, repeat) => {
                execution.killed(Die::AfterTick).await;
                assert_eq!(world.mutations().len(), call + 1, "its call was sent");
                execution.repeat(repeat).await;
            }
            TickCase::Late(call) => {
                let document = &execution.document;
                let latest = document.state.written + LIFETIME;
                while jiff::Timestamp::now() <= latest + Duration::from_secs(document.wait_seconds)
                {
                    pause().await;
                }
                execution.machine += 1;
                let next = execution.tick(false).await;
                assert_eq!(world.mutations().len(), call, "it was too late to send");
                execution.keep(next);
            }
            TickCase::AtOnce(call) => {
                let (one, other) = futures::join!(execution.tick(false), execution.tick(false));
                let locked = [&one, &other].map(|document| document.progress == Progress::TryLater);
                assert_eq!(
                    locked.iter().filter(|locked| **locked).count(),
                    1,
                    "{locked:?}"
                );
                assert!(world.mutations().len() <= call + 1);
                // The engine keeps the one that has done nothing.
                let (idle, _lost) = if locked[0] {
                    (one, other)
                } else {
                    (other, one)
                };
                assert!(idle.again);
                execution.keep(idle);
            }
            TickCase::LostAnswer(call) => {
                let fault = json!({"name": "point", "kind": "lost-answer", "action": execution.operation(), "nth": 1});
                add_fault(world, &fault).await;
                let next = execution.tick(false).await;
                assert!(befell(world).await, "the answer was not lost");
                assert_eq!(world.mutations().len(), call + 1);
                execution.keep(next);
            }
            TickCase::Older(_) => {
                let half = execution.kept.len() / 2;
                let (document, length) = execution.kept.swap_remove(half);
                execution.document = document;
                execution.trail.truncate(length);
                execution.repeat(Repeat::Elsewhere).await;
            }
            TickCase::EachTwice(_) => {}
        }
    }

    /// The end is the embedded executor's, and the trail of the ticks holds together.
    async fn compare(&self, execution: &Execution<'_>) {
        let trail = execution.trail.join("\n") + "\n";
        verify(trail.as_bytes()).unwrap();
        let steps = &self.base.plan.migrations[0].steps;
        let done: BTreeMap<&str, bool> = steps
            .iter()
            .map(|step| {
                let lines = &execution.document.state.records[&step.id];
                let last = lines.last().unwrap();
                (step.id.as_str(), last.contains(r#""status":"done""#))
            })
            .collect();
        assert!(done.values().all(|done| *done), "{done:?}");
        let result = execution.document.result.as_ref().unwrap();
        assert!(result.outcome.is_whole());
        assert_eq!(result.steps_done, steps.len());
        self.base.same_end(execution.world, false).await;
        assert!(folder_is_spare(&execution.folder()));
    }
}

/// Nothing of the state lies in a folder of a machine.
fn folder_is_spare(folder: &Path) -> bool {
    !folder.join("runs").exists()
}
