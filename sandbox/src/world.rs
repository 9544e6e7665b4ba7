//! The state behind one mutex, and the timelines that move it on.
//!
//! A call changes state at once and leaves a [`Timeline`]: effects at virtual moments. Due effects are
//! applied lazily before each request, by a light ticker, and whenever an engine job ends, always in the
//! order of their due moments. An effect that waits for an engine job happens when both its moment has
//! come and the job has ended: a resource is never `available` before its data is.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use jiff::Timestamp;

use crate::clock::{Clock, plus};
use crate::dice::Dice;
use crate::engine::{CopyId, EngineError, Engines, ServerId};
use crate::fault::{Fault, Faults, Refused};
use crate::history::History;
use crate::incident::Incidents;
use crate::kms;
use crate::neighbours::{Neighbours, Permissions};
use crate::rds::catalog;
use crate::rds::state::{
    DbInstance, Event, GlobalCluster, Quotas, Region, Scope, Stale, SubnetGroup,
};
use crate::saved::{Journal, Operation};
use crate::span::Span;

/// Knobs of the simulation, from the scenario.
#[derive(Debug, Clone)]
pub(crate) struct Knobs {
    /// Virtual seconds for which Describe may show the past after a write.
    pub(crate) describe_lag: (u64, u64),
    /// Virtual seconds of a rename in which neither name is found.
    pub(crate) rename_gap: (u64, u64),
    /// Virtual seconds from the end of a rename until the new endpoint shows.
    pub(crate) endpoint_lag: (u64, u64),
    /// Probability that a restore with a custom parameter group ends in `pending-reboot`.
    pub(crate) pending_reboot_chance: f64,
    /// Factor on all other virtual durations.
    pub(crate) pace: f64,
    /// Records per page at most; RDS may always give fewer than asked.
    pub(crate) page_limit: usize,
    /// Regions in which a blue/green deployment can't change encryption.
    pub(crate) no_blue_green_encryption: Vec<String>,
}

/// How late effects were carried out, in virtual time: due moment against the moment of doing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lag {
    pub(crate) effects: u64,
    pub(crate) total: std::time::Duration,
    pub(crate) worst: std::time::Duration,
}

impl Lag {
    fn note(&mut self, late: std::time::Duration) {
        self.effects += 1;
        self.total += late;
        self.worst = self.worst.max(late);
    }
}

/// What an engine job gave.
#[derive(Debug, Clone)]
pub(crate) enum JobOutput {
    /// Nothing but its end.
    Done,
    /// A server.
    Server(ServerId),
    /// A copy of a data folder.
    Copy(CopyId),
    /// The address of an endpoint.
    Address(IpAddr),
}

/// Handle of an engine job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct JobId(u64);

/// An account known to the sandbox.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: Option<crate::rds::state::Password>,
    /// ARN that GetCallerIdentity gives for this key.
    pub(crate) principal: String,
    /// Token that must come with a temporary key.
    pub(crate) session_token: Option<crate::rds::state::Password>,
    /// When a temporary key ends, by the real clock.
    pub(crate) expires: Option<jiff::Timestamp>,
    /// What it may do.
    pub(crate) permissions: Permissions,
}

/// Everything the sandbox knows.
pub(crate) struct World {
    pub(crate) clock: Arc<Clock>,
    pub(crate) dice: Dice,
    pub(crate) knobs: Knobs,
    pub(crate) quotas: Quotas,
    pub(crate) accounts: Vec<Account>,
    pub(crate) regions: BTreeMap<Scope, Region>,
    pub(crate) global_clusters: Vec<GlobalCluster>,
    pub(crate) engines: Option<Engines>,
    /// Whether somebody asked for instances since the replicas were last asked how they are.
    pub(crate) described: bool,
    /// Another number after everything that may have changed something.
    pub(crate) version: u64,
    /// How late the effects carried out so far were.
    pub(crate) lag: Lag,
    /// What takes time, kept when somebody wants to know.
    pub(crate) spans: Option<Vec<Span>>,
    pub(crate) faults: Faults,
    pub(crate) incidents: Incidents,
    /// What Describe showed a while ago, kept while a fault wants it.
    pub(crate) history: History,
    /// What the services beside RDS know.
    pub(crate) neighbours: Neighbours,
    /// What has been done to this world, kept when it is to be saved.
    pub(crate) journal: Option<Journal>,
    timelines: Vec<Timeline>,
    jobs: BTreeMap<JobId, Option<Result<JobOutput, String>>>,
    next: u64,
    core: Weak<Core>,
}

impl fmt::Debug for World {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("World")
            .field("regions", &self.regions.keys())
            .finish_non_exhaustive()
    }
}

/// The world and its lock.
#[derive(Debug)]
pub(crate) struct Core {
    world: Mutex<World>,
}

impl Core {
    pub(crate) fn new(
        clock: Arc<Clock>,
        seed: u64,
        knobs: Knobs,
        quotas: Quotas,
        engines: Option<Engines>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|core| Self {
            world: Mutex::new(World {
                clock,
                dice: Dice::new(seed),
                knobs,
                quotas,
                accounts: Vec::new(),
                regions: BTreeMap::new(),
                global_clusters: Vec::new(),
                engines,
                described: false,
                version: 0,
                lag: Lag::default(),
                spans: None,
                faults: Faults::new(seed),
                incidents: Incidents::default(),
                history: History::default(),
                neighbours: Neighbours::default(),
                journal: None,
                timelines: Vec::new(),
                jobs: BTreeMap::new(),
                next: 0,
                core: core.clone(),
            }),
        })
    }

    /// The world, moved on to the present. The lock is held for the length of a request's work and never
    /// across a wait.
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        let mut world = self.look();
        world.version += 1;
        world
    }

    /// The same for somebody who changes nothing that `DescribeDBInstances` shows.
    pub(crate) fn look(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.advance();
        world
    }

    /// Moves a paused clock on, a second at a time, and waits for the engine jobs that this sets off.
    pub(crate) async fn pass(&self, by: std::time::Duration) {
        let clock = Arc::clone(&self.look().clock);
        for _ in 0..by.as_secs() {
            clock.advance(std::time::Duration::from_secs(1));
            // Looking applies what is due.
            while self.look().jobs_running() {
                tokio::task::yield_now().await;
            }
        }
    }
}

type Run = Box<dyn FnOnce(&mut Moment<'_>) + Send>;
type Fail = Box<dyn FnOnce(&mut Moment<'_>, String) + Send>;

struct Step {
    after: u64,
    gated: bool,
    run: Run,
}

/// Effects to come, one after the other.
pub(crate) struct Timeline {
    scope: Scope,
    /// Resource id or snapshot name that this timeline is about.
    subject: String,
    steps: VecDeque<Step>,
    due: Timestamp,
    number: u64,
    jobs: Vec<JobId>,
    fail: Option<Fail>,
}

impl Timeline {
    pub(crate) fn new(scope: &Scope, subject: &str) -> Self {
        Self {
            scope: scope.clone(),
            subject: subject.to_owned(),
            steps: VecDeque::new(),
            due: Timestamp::MIN,
            number: 0,
            jobs: Vec::new(),
            fail: None,
        }
    }

    /// An effect `after` virtual seconds after the one before it.
    pub(crate) fn then(
        mut self,
        after: u64,
        run: impl FnOnce(&mut Moment<'_>) + Send + 'static,
    ) -> Self {
        self.steps.push_back(Step {
            after,
            gated: false,
            run: Box::new(run),
        });
        self
    }

    /// The same, but not before the engine jobs that this timeline started have ended.
    pub(crate) fn when_done(
        mut self,
        after: u64,
        run: impl FnOnce(&mut Moment<'_>) + Send + 'static,
    ) -> Self {
        self.steps.push_back(Step {
            after,
            gated: true,
            run: Box::new(run),
        });
        self
    }

    /// What happens instead of the rest when an engine job failed; it is given the engine's own words.
    pub(crate) fn on_failure(
        mut self,
        fail: impl FnOnce(&mut Moment<'_>, String) + Send + 'static,
    ) -> Self {
        self.fail = Some(Box::new(fail));
        self
    }
}

/// One moment of a timeline: the world, and when it is.
pub(crate) struct Moment<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) scope: Scope,
    pub(crate) subject: String,
    pub(crate) now: Timestamp,
    /// What the jobs gave that the step waited for.
    pub(crate) outputs: Vec<JobOutput>,
    jobs: Vec<JobId>,
}

impl Moment<'_> {
    pub(crate) fn region(&mut self) -> &mut Region {
        self.world.region_mut(&self.scope)
    }

    /// The instance this timeline is about, if it still exists.
    pub(crate) fn instance(&mut self) -> Option<&mut DbInstance> {
        let subject = self.subject.clone();
        self.region().by_resource_mut(&subject)
    }

    /// Sets the status of this timeline's instance.
    pub(crate) fn status(&mut self, status: &str) {
        if let Some(instance) = self.instance() {
            status.clone_into(&mut instance.status);
        }
    }

    /// Starts an engine job; a later `when_done` step waits for it.
    pub(crate) fn start(
        &mut self,
        job: impl Future<Output = Result<JobOutput, EngineError>> + Send + 'static,
    ) {
        let id = self.world.spawn(job);
        self.jobs.push(id);
    }

    /// The engines and this instance's server, when there is a real server behind it.
    pub(crate) fn server(&mut self) -> Option<(Engines, ServerId)> {
        let engines = self.world.engines.clone()?;
        let server = self.instance()?.server.clone()?;
        Some((engines, server))
    }

    /// Records an event about this timeline's instance.
    pub(crate) fn event(&mut self, category: &'static str, message: impl Into<String>) {
        let Some(id) = self.instance().map(|instance| instance.id.clone()) else {
            return;
        };
        let (scope, now) = (self.scope.clone(), self.now);
        self.world
            .event(&scope, now, "db-instance", &id, category, message.into());
    }
}

impl World {
    /// The state of an account in a region, made on first use: every commercial region exists.
    pub(crate) fn region_mut(&mut self, scope: &Scope) -> &mut Region {
        let Self {
            regions,
            dice,
            quotas,
            ..
        } = self;
        regions
            .entry(scope.clone())
            .or_insert_with(|| new_region(scope, dice, quotas))
    }

    /// Schedules a timeline; its first step counts from `now`.
    pub(crate) fn schedule(&mut self, now: Timestamp, mut timeline: Timeline) {
        self.next += 1;
        timeline.number = self.next;
        timeline.due = plus(
            now,
            timeline.steps.front().map_or(0, |step| seconds(step.after)),
        );
        let whole = timeline.steps.iter().map(|step| step.after).sum();
        self.note_span(&timeline.scope, &timeline.subject, now, whole);
        self.timelines.push(timeline);
    }

    fn note_span(&mut self, scope: &Scope, subject: &str, began: Timestamp, takes: u64) {
        if let Some(spans) = &mut self.spans {
            spans.push(Span {
                region: scope.region.clone(),
                subject: subject.to_owned(),
                began,
                ended: plus(began, seconds(takes)),
            });
        }
    }

    /// Drops what was to come for a resource.
    pub(crate) fn cancel(&mut self, scope: &Scope, subject: &str) {
        self.timelines
            .retain(|timeline| !(timeline.scope == *scope && timeline.subject == subject));
    }

    /// A virtual duration from a range, at the scenario's pace.
    pub(crate) fn takes(&mut self, key: &str, range: (u64, u64)) -> u64 {
        let drawn = std::time::Duration::from_secs(self.dice.between(key, range));
        drawn.mul_f64(self.knobs.pace.max(0.0)).as_secs().max(1)
    }

    /// Applies everything that is due, in order; what happens by itself comes before an incident of the same
    /// moment. Nothing does while everything is frozen.
    pub(crate) fn advance(&mut self) {
        let now = self.clock.now();
        if self.faults.is_frozen(now) {
            return;
        }
        loop {
            let ready = self
                .timelines
                .iter()
                .enumerate()
                .filter(|(_, timeline)| timeline.due <= now && self.is_ready(timeline))
                .min_by_key(|(_, timeline)| (timeline.due, timeline.number))
                .map(|(index, timeline)| (index, timeline.due));
            match (ready, self.incidents.next_due(now)) {
                (Some((_, step)), Some(incident)) if incident < step => self.happen(incident),
                (Some((index, _)), _) => {
                    let timeline = self.timelines.swap_remove(index);
                    self.step(timeline, now);
                }
                (None, Some(incident)) => self.happen(incident),
                (None, None) => break,
            }
        }
    }

    /// Adds a fault and says its name.
    pub(crate) fn add_fault(&mut self, fault: Fault, now: Timestamp) -> Result<String, Refused> {
        let (name, planned) = self.faults.add(fault, now)?;
        if let Some((incident, due)) = planned {
            self.plan(incident, now, due);
        }
        let Self {
            history,
            faults,
            regions,
            ..
        } = self;
        history.keep(faults.memory(), regions, now);
        Ok(name)
    }

    /// Plans an incident.
    pub(crate) fn plan(
        &mut self,
        incident: crate::incident::Incident,
        now: Timestamp,
        due: Timestamp,
    ) {
        if let Some(journal) = &mut self.journal {
            journal.push(Operation::Plan {
                at: now,
                due,
                incident: incident.clone(),
            });
        }
        self.incidents.plan(incident, due);
    }

    /// Removes a fault and what it had planned; `false` when there is none of this name.
    pub(crate) fn remove_fault(&mut self, name: &str, now: Timestamp) -> bool {
        if let Some(journal) = &mut self.journal {
            journal.push(Operation::Unplan {
                at: now,
                name: name.to_owned(),
            });
        }
        self.incidents.unplan(name);
        let removed = self.faults.remove(name);
        let Self {
            history,
            faults,
            regions,
            ..
        } = self;
        history.keep(faults.memory(), regions, now);
        removed
    }

    /// Remembers what Describe shows now, if a fault wants to know later.
    pub(crate) fn remember(&mut self, scope: &Scope, now: Timestamp) {
        let Self {
            history, regions, ..
        } = self;
        if let Some(region) = regions.get(scope) {
            history.remember(scope, region, now);
        }
    }

    /// How many timelines are under way.
    pub(crate) fn timelines(&self) -> usize {
        self.timelines.len()
    }

    fn is_ready(&self, timeline: &Timeline) -> bool {
        let gated = timeline.steps.front().is_some_and(|step| step.gated);
        !gated
            || timeline
                .jobs
                .iter()
                .all(|job| !matches!(self.jobs.get(job), Some(None)))
    }

    fn step(&mut self, mut timeline: Timeline, now: Timestamp) {
        let Some(step) = timeline.steps.pop_front() else {
            return;
        };
        self.version += 1;
        let mut outputs = Vec::new();
        let mut failure = None;
        let mut moment_time = timeline.due;
        if timeline.jobs.is_empty() {
            // A real server takes the time it takes; everything else is our own.
            self.lag
                .note(now.duration_since(timeline.due).unsigned_abs());
        }
        if step.gated && !timeline.jobs.is_empty() {
            moment_time = now;
            for job in timeline.jobs.drain(..) {
                match self.jobs.remove(&job).flatten() {
                    Some(Ok(output)) => outputs.push(output),
                    Some(Err(error)) => failure = Some(error),
                    None => {}
                }
            }
        }
        let (scope, subject) = (timeline.scope.clone(), timeline.subject.clone());
        let before = self
            .region_mut(&scope)
            .by_resource(&subject)
            .map(|instance| instance.status.clone());
        let mut moment = Moment {
            world: self,
            scope: timeline.scope.clone(),
            subject: timeline.subject.clone(),
            now: moment_time,
            outputs,
            jobs: Vec::new(),
        };
        if let Some(error) = failure {
            tracing::warn!(subject = timeline.subject, error, "An engine job failed.");
            if let Some(fail) = timeline.fail {
                fail(&mut moment, error);
            }
            self.remember(&scope, moment_time);
            return;
        }
        (step.run)(&mut moment);
        timeline.jobs.append(&mut moment.jobs);
        if let Some(next) = timeline.steps.front() {
            timeline.due = plus(moment_time, seconds(next.after));
            self.timelines.push(timeline);
        }
        if let Some(before) = before {
            kms::outage::after_step(self, &scope, &subject, &before, moment_time);
        }
        self.watch(moment_time);
        self.remember(&scope, moment_time);
    }

    fn spawn(
        &mut self,
        job: impl Future<Output = Result<JobOutput, EngineError>> + Send + 'static,
    ) -> JobId {
        self.next += 1;
        let id = JobId(self.next);
        self.jobs.insert(id, None);
        let core = self.core.clone();
        tokio::spawn(async move {
            let result = job.await.map_err(|error| describe(&error));
            if let Some(core) = core.upgrade() {
                let mut world = core.world.lock().unwrap_or_else(PoisonError::into_inner);
                world.jobs.insert(id, Some(result));
                world.advance();
            }
        });
        id
    }

    /// Whether an engine job is still running.
    pub(crate) fn jobs_running(&self) -> bool {
        self.jobs.values().any(Option::is_none)
    }

    /// Records an event. RDS keeps them for fourteen days.
    pub(crate) fn event(
        &mut self,
        scope: &Scope,
        at: Timestamp,
        source_type: &'static str,
        source: &str,
        category: &'static str,
        message: String,
    ) {
        let kind = match source_type {
            "db-snapshot" => "snapshot",
            "db-cluster" => "cluster",
            "db-proxy" => "db-proxy",
            "blue-green-deployment" => "deployment",
            "db-cluster-snapshot" => "cluster-snapshot",
            _ => "db",
        };
        let event = Event {
            at,
            source_type,
            source: source.to_owned(),
            arn: scope.arn(kind, source),
            category,
            message,
        };
        self.region_mut(scope).events.push(event);
    }

    /// Lets Describe show `view` for a drawn while. Reads are not read-your-writes after create, modify and
    /// rename; a view that is already being shown stays, so that time never runs backwards for a reader.
    pub(crate) fn lag(
        &mut self,
        scope: &Scope,
        now: Timestamp,
        resource_id: &str,
        view: Option<DbInstance>,
    ) -> u64 {
        let lag = self
            .dice
            .between(&format!("lag/{resource_id}"), self.knobs.describe_lag);
        self.note_span(scope, resource_id, now, lag);
        if lag > 0
            && let Some(instance) = self.region_mut(scope).by_resource_mut(resource_id)
            && instance
                .stale
                .as_ref()
                .is_none_or(|stale| stale.until <= now)
        {
            let view = view.map(|mut view| {
                view.stale = None;
                Box::new(view)
            });
            instance.stale = Some(Stale {
                until: plus(now, seconds(lag)),
                view,
            });
        }
        lag
    }
}

fn seconds(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// An error with its causes, in one line.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

fn new_region(scope: &Scope, dice: &mut Dice, quotas: &Quotas) -> Region {
    const HEX: &str = "0123456789abcdef";
    let mut word = |what: &str, alphabet: &str, length| {
        dice.word(
            &format!("{}/{}/{what}", scope.account, scope.region),
            alphabet,
            length,
        )
    };
    let vpc = format!("vpc-{}", word("vpc", HEX, 17));
    let subnets = ["a", "b", "c"]
        .iter()
        .map(|zone| {
            (
                format!("subnet-{}", word(zone, HEX, 17)),
                format!("{}{zone}", scope.region),
            )
        })
        .collect();
    let mut region = Region {
        suffix: format!(
            "c{}",
            word("suffix", "abcdefghijklmnopqrstuvwxyz0123456789", 11)
        ),
        default_security_group: format!("sg-{}", word("sg", HEX, 17)),
        default_vpc: vpc.clone(),
        default_ca: "rds-ca-rsa2048-g1".to_owned(),
        quotas: quotas.clone(),
        ..Region::default()
    };
    region.subnet_groups.insert(
        "default".to_owned(),
        SubnetGroup {
            name: "default".to_owned(),
            description: "default".to_owned(),
            vpc_id: vpc,
            subnets,
            tags: Vec::new(),
        },
    );
    catalog::default_groups(&mut region);
    region
}
