//! A rollback and a cleanup stopped everywhere, and a migration stopped everywhere and rolled back.
//!
//! Each way begins from a sandbox and a run folder that are made once and copied for each case. Its end is that of the
//! same way without a stop, with every mutation exactly once. A migration that is rolled back from before its cutover
//! leaves nothing behind: its end is what was there before.

use std::fmt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use atrest_model::phase::PhaseKind;
use atrest_model::plan::Plan;
use futures::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Kind;
use super::child::{self, At, Begin, Order};
use super::world::{Mutation, World};
use super::{
    PATIENCE, POLL_MS, WINDOW_MS, add_fault, befell, finish, none_twice, pause, pretty, was_killed,
};

/// What is undone, from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Rolled back while the old names were not given away.
    BeforeQuiesce,
    /// Rolled back with everything made and nothing cut over.
    AfterQuiesce,
    /// Rolled back after the cutover.
    AfterCutover,
    /// Cleaned up.
    Cleanup,
}

impl Way {
    /// The ways there are for what is migrated. A blue/green deployment has no old names that are given away early.
    fn all(kind: Kind) -> &'static [Self] {
        match kind {
            Kind::Cold | Kind::Cluster => &[
                Self::BeforeQuiesce,
                Self::AfterQuiesce,
                Self::AfterCutover,
                Self::Cleanup,
            ],
            Kind::BlueGreen => &[Self::AfterQuiesce, Self::AfterCutover, Self::Cleanup],
            // It has no way back, and its old side is not removed.
            Kind::MultiAz => &[],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::BeforeQuiesce => "rollback before quiesce",
            Self::AfterQuiesce => "rollback after quiesce",
            Self::AfterCutover => "rollback after cutover",
            Self::Cleanup => "cleanup",
        }
    }

    fn kind(self) -> PhaseKind {
        match self {
            Self::BeforeQuiesce | Self::AfterQuiesce | Self::AfterCutover => PhaseKind::Rollback,
            Self::Cleanup => PhaseKind::Cleanup,
        }
    }

    /// Where the migration before it stops.
    fn stop_before(self, kind: Kind) -> Option<&'static str> {
        match self {
            Self::BeforeQuiesce if kind == Kind::Cluster => Some("rename-old-cluster"),
            Self::BeforeQuiesce => Some("rename-old"),
            Self::AfterQuiesce => Some("cutover"),
            Self::AfterCutover | Self::Cleanup => None,
        }
    }
}

/// Where and how it is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Killed at a record, then the same again.
    Killed(At),
    /// Killed at a record, then at the first record of the next sitting, then the same again.
    Twice(At),
    /// Killed while the nth mutation is on its way.
    During(usize),
    /// The nth mutation is carried out and its answer is lost.
    LostAnswer(usize),
    /// The migration is killed at a record and rolled back.
    Migration(At),
}

/// A point of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    way: Way,
    stop: Stop,
}

impl Case {
    /// The row of the table.
    pub(crate) fn family(self) -> String {
        let stop = match self.stop {
            Stop::Killed(_) => "killed at a record",
            Stop::Twice(_) => "killed twice",
            Stop::During(_) => "killed during a call",
            Stop::LostAnswer(_) => "answer lost after success",
            Stop::Migration(_) => return "migration killed, rolled back".to_owned(),
        };
        format!("{}, {stop}", self.way.name())
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.family())?;
        match self.stop {
            Stop::Killed(at) | Stop::Twice(at) | Stop::Migration(at) => {
                write!(
                    f,
                    "{} {}",
                    if at.after { "after" } else { "before" },
                    at.record
                )
            }
            Stop::During(n) | Stop::LostAnswer(n) => write!(f, "{n}"),
        }
    }
}

/// One way without a stop.
#[derive(Debug)]
struct Walked {
    way: Way,
    kept: tempfile::TempDir,
    picture: Value,
    mutations: Vec<Mutation>,
    records: usize,
}

/// Every way, and how this program is made the child.
#[derive(Debug)]
pub(crate) struct UndoMatrix {
    kind: Kind,
    args: Vec<String>,
    plan: Plan,
    /// What is there before anything is done.
    untouched: Value,
    /// Records of the migration before its first rename to a real name.
    until_cutover: usize,
    ways: Vec<Walked>,
}

impl UndoMatrix {
    pub(crate) async fn new(args: &[&str], kind: Kind) -> Self {
        let world = World::start(kind, "").await;
        let mut matrix = Self {
            kind,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            plan: world.plan(kind).await,
            untouched: world.picture().await,
            until_cutover: 0,
            ways: Vec::new(),
        };
        world.stop().await;
        for way in Way::all(kind) {
            matrix.walk_through(*way).await;
        }
        matrix
    }

    /// Makes the beginning of a way, and goes it once without a stop.
    async fn walk_through(&mut self, way: Way) {
        let world = World::start(self.kind, "").await;
        let order = |undo: Option<PhaseKind>| Errand {
            begin: Begin::Fresh,
            die: None,
            stop_before: way.stop_before(self.kind),
            undo,
        };
        let status = self.run(&world, order(None)).await;
        assert!(status.success(), "{}: its migration: {status}", way.name());
        let before = world.records();
        if way == Way::AfterQuiesce {
            self.until_cutover = before;
        }
        let kept = world.keep().await;

        let world = World::start_from(kept.path(), self.kind).await;
        let status = self.run(&world, undoing(way, None)).await;
        assert!(status.success(), "{} without a stop: {status}", way.name());
        world.check_journal(&self.plan);
        let walked = Walked {
            way,
            kept,
            picture: world.picture().await,
            mutations: world.mutations(),
            records: world.records() - before,
        };
        none_twice(&walked.mutations);
        self.check_end(&walked);
        world.stop().await;
        self.ways.push(walked);
    }

    /// What each way is for, said by itself and not by a run of the same code.
    fn check_end(&self, walked: &Walked) {
        let encrypted = &walked.picture["encrypted"];
        let migration = &self.plan.migrations[0];
        match walked.way {
            Way::BeforeQuiesce | Way::AfterQuiesce => {
                assert_eq!(
                    pretty(&walked.picture),
                    pretty(&self.untouched),
                    "{}: something is left",
                    walked.way.name()
                );
            }
            Way::AfterCutover => {
                for member in migration.members() {
                    assert_eq!(encrypted[member.identifier.as_str()], false);
                    // What clients wrote since is nowhere else.
                    assert_eq!(encrypted[member.new_name.as_str()], true);
                }
            }
            Way::Cleanup => {
                for member in migration.members() {
                    assert_eq!(encrypted[member.identifier.as_str()], true);
                    assert_eq!(encrypted.get(member.old_name.as_str()), None);
                }
                for snapshot in walked.picture["snapshots"].as_array().unwrap() {
                    assert_eq!(snapshot["Encrypted"], true, "{snapshot}");
                }
                let of_clusters = walked.picture["cluster_snapshots"].as_array().unwrap();
                for snapshot in of_clusters {
                    assert_eq!(snapshot["StorageEncrypted"], true, "{snapshot}");
                }
                let clusters = walked.picture["clusters"].as_array().unwrap();
                for cluster in clusters {
                    assert_eq!(cluster["StorageEncrypted"], true, "{cluster}");
                }
                if self.kind == Kind::Cluster {
                    // The last data of the old one is kept, and what was restored to encrypt it is gone.
                    assert_eq!(
                        (of_clusters.len(), clusters.len()),
                        (1, 1),
                        "{of_clusters:?}"
                    );
                }
            }
        }
    }

    /// Every point there is.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let points = |records: usize| {
            (1..=records).flat_map(|record| [false, true].map(|after| At { record, after }))
        };
        let mut cases = Vec::new();
        for walked in &self.ways {
            let way = walked.way;
            let case = |stop| Case { way, stop };
            cases.extend(points(walked.records).map(|at| case(Stop::Killed(at))));
            cases.extend(points(walked.records).map(|at| case(Stop::Twice(at))));
            for number in 0..walked.mutations.len() {
                cases.push(case(Stop::During(number)));
                cases.push(case(Stop::LostAnswer(number)));
            }
        }
        let way = Way::AfterQuiesce;
        cases.extend(points(self.until_cutover).map(|at| Case {
            way,
            stop: Stop::Migration(at),
        }));
        cases
    }

    /// Records and mutations of each way.
    pub(crate) fn sizes(&self) -> String {
        let sizes = self.ways.iter().map(|walked| {
            format!(
                "{}: {} records, {} mutations",
                walked.way.name(),
                walked.records,
                walked.mutations.len()
            )
        });
        let sizes = sizes.collect::<Vec<_>>().join("; ");
        format!("{}: {sizes}", self.kind.as_str())
    }

    /// Goes the cases, a few at a time. Gives each with what went wrong.
    pub(crate) async fn walk(self: &Arc<Self>, cases: Vec<Case>) -> Vec<(Case, Option<String>)> {
        stream::iter(cases)
            .map(|case| async move {
                let matrix = Arc::clone(self);
                // A case that panics is a failed one, not the end of the walk.
                let ended = tokio::spawn(async move { matrix.case(case).await }).await;
                (case, ended.err().map(|panic| panic.to_string()))
            })
            .buffer_unordered(4)
            .collect()
            .await
    }

    /// Goes one case; panics when its end is another.
    async fn case(&self, case: Case) {
        let walked = self
            .ways
            .iter()
            .find(|walked| walked.way == case.way)
            .unwrap();
        if let Stop::Migration(at) = case.stop {
            return self.migration(at).await;
        }
        let world = World::start_from(walked.kept.path(), self.kind).await;
        match case.stop {
            Stop::During(number) => {
                let more = [("delay_ms", 600_000), ("times", 1)];
                add_fault(&world, &fault(walked, number, "latency", &more)).await;
            }
            Stop::LostAnswer(number) => {
                add_fault(&world, &fault(walked, number, "lost-answer", &[])).await;
            }
            Stop::Killed(_) | Stop::Twice(_) | Stop::Migration(_) => {}
        }
        match case.stop {
            Stop::Killed(at) => {
                let status = self.run(&world, undoing(case.way, Some(at))).await;
                assert!(was_killed(status), "{case}: {status}");
            }
            Stop::Twice(at) => {
                let status = self.run(&world, undoing(case.way, Some(at))).await;
                assert!(was_killed(status), "{case}: {status}");
                let again = At {
                    record: 1,
                    after: true,
                };
                let status = self.run(&world, undoing(case.way, Some(again))).await;
                // After the last record there is none left.
                assert!(was_killed(status) || status.success(), "{case}: {status}");
            }
            Stop::During(number) => {
                let mut child = self.spawn(&world, undoing(case.way, None)).await;
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
            }
            Stop::LostAnswer(_) | Stop::Migration(_) => {}
        }
        let status = self.run(&world, undoing(case.way, None)).await;
        assert!(status.success(), "{case}: the last sitting: {status}");
        if matches!(case.stop, Stop::LostAnswer(_)) {
            assert!(befell(&world).await, "{case}: no answer was lost");
        }
        world.check_journal(&self.plan);
        ends_like(&world, &walked.picture).await;
        let sorted = |list: &[Mutation]| {
            let mut intents: Vec<String> = list.iter().map(|m| m.intent.clone()).collect();
            intents.sort();
            intents
        };
        let mutations = world.mutations();
        assert_eq!(
            sorted(&mutations),
            sorted(&walked.mutations),
            "in order: {mutations:#?}"
        );
        world.stop().await;
    }

    /// A migration that is killed before its cutover and rolled back has never been.
    async fn migration(&self, at: At) {
        let world = World::start(self.kind, "").await;
        let errand = Errand {
            begin: Begin::Fresh,
            die: Some(at),
            stop_before: None,
            undo: None,
        };
        let status = self.run(&world, errand).await;
        assert!(was_killed(status), "{at:?}: {status}");
        let status = self.run(&world, undoing(Way::AfterQuiesce, None)).await;
        assert!(status.success(), "{at:?}: the rollback: {status}");
        world.check_journal(&self.plan);
        ends_like(&world, &self.untouched).await;
        none_twice(
            &world
                .mutations()
                .into_iter()
                .filter(|m| m.action.starts_with("Delete"))
                .collect::<Vec<_>>(),
        );
        world.stop().await;
    }

    async fn run(&self, world: &World, errand: Errand) -> ExitStatus {
        let mut child = self.spawn(world, errand).await;
        finish(&mut child).await
    }

    async fn spawn(&self, world: &World, errand: Errand) -> tokio::process::Child {
        let plan = world.dir.path().join("plan.json");
        std::fs::write(&plan, serde_json::to_string(&self.plan).unwrap()).unwrap();
        let order = Order {
            endpoint: world.endpoint().to_owned(),
            state_dir: world.state_dir(),
            plan,
            begin: errand.begin,
            die: errand.die,
            poll_ms: POLL_MS,
            window_ms: WINDOW_MS,
            stop_before: errand.stop_before.map(str::to_owned),
            undo: errand.undo,
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

/// What a child is sent for.
struct Errand {
    begin: Begin,
    die: Option<At>,
    stop_before: Option<&'static str>,
    undo: Option<PhaseKind>,
}

fn undoing(way: Way, die: Option<At>) -> Errand {
    Errand {
        begin: Begin::Resumed,
        die,
        stop_before: None,
        undo: Some(way.kind()),
    }
}

/// The fault for the nth mutation of a way.
fn fault(walked: &Walked, number: usize, kind: &str, more: &[(&str, u64)]) -> Value {
    let action = &walked.mutations[number].action;
    let before = walked.mutations[..number].iter();
    let nth = before.filter(|other| other.action == *action).count() + 1;
    let mut fault = json!({"name": "point", "kind": kind, "action": action, "nth": nth});
    for (name, value) in more {
        fault[*name] = json!(value);
    }
    fault
}

/// An automated backup or a lag of the answers may be under way.
async fn ends_like(world: &World, wanted: &Value) {
    let wait = Instant::now();
    let mut picture = world.picture().await;
    while picture != *wanted && wait.elapsed() < Duration::from_secs(10) {
        pause().await;
        picture = world.picture().await;
    }
    let (found, wanted_text) = (pretty(&picture), pretty(wanted));
    let differs = found.lines().zip(wanted_text.lines()).find(|(a, b)| a != b);
    assert!(picture == *wanted, "another end: {differs:?}");
}
