//! The window of `quiesce`, and the fence before the cutover.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use atrest_model::instance::DbInstance;
use atrest_model::plan::{Action, Member, Method, Step, Target};
use atrest_model::tick::Watched;
use atrest_scanner::access;
use atrest_scanner::mysql::{Origin, WriteMark};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::sql::{self, Server};
use super::{Cx, Seen, left_to_do};
use crate::clock;
use crate::fault::Fault;
use crate::observatory::RegionView;
use crate::quiet::{self, Broken, Fence, Look, Watch};

/// Longest time that one look at a step takes: the operator may want to stop.
const LOOKING: Duration = Duration::from_secs(5);

/// The windows of a migration, by step. They live as long as a sitting: a resumed run begins anew.
#[derive(Debug, Default)]
pub(crate) struct Windows(Mutex<BTreeMap<String, State>>);

#[derive(Debug, Default)]
struct State {
    watch: Option<Watch>,
    /// Since when a server that is not asked is ready.
    ready: Option<Instant>,
    /// Since when something breaks the window.
    trouble: Option<Instant>,
    /// What breaks it.
    reason: Option<String>,
}

impl Windows {
    fn take(&self, step: &str) -> State {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(step).unwrap_or_default()
    }

    fn put(&self, step: &str, state: State) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(step.to_owned(), state);
    }

    /// Goes on with what another tick has seen.
    pub(crate) fn take_in(&self, step: &str, watched: &Watched) {
        let state = State {
            watch: None,
            ready: watched.ready.map(clock::instant_of),
            trouble: watched.trouble.map(clock::instant_of),
            reason: watched.reason.clone(),
        };
        self.put(step, state);
    }

    /// What another tick goes on with.
    pub(crate) fn give_out(&self, step: &str, watched: &mut Watched) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = all.get(step) {
            watched.ready = state.ready.map(clock::wall_of);
            watched.trouble = state.trouble.map(clock::wall_of);
            watched.reason.clone_from(&state.reason);
        }
    }

    /// What broke the window of a step last: for the journal, before somebody is killed or the server rebooted.
    pub(super) fn reason(&self, step: &str) -> Option<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(step)?.reason.clone()
    }
}

/// Whose writes count at a member: on a replica the others come from its source.
fn origin(cx: &Cx<'_>, target: &Target) -> Origin {
    let source = Target::Old(cx.migration.source.dbi_resource_id.clone());
    if *target == source {
        Origin::Any
    } else {
        Origin::Local
    }
}

/// Looks until the window has passed, is broken, or the time of one look is over.
pub(super) async fn observe(
    cx: &Cx<'_>,
    view: &RegionView,
    step: &Step,
    target: &Target,
    window: Duration,
) -> Result<Seen, Fault> {
    let (instance, auth) = match sql::server(cx, view, target)? {
        Server::NotShown => {
            drop(cx.windows.take(&step.id));
            return Ok(Seen::pending("not shown"));
        }
        Server::Asked(instance, _) | Server::NotAsked(instance) if !instance.is_ready() => {
            drop(cx.windows.take(&step.id));
            return Ok(Seen::pending(instance.status().to_owned()));
        }
        Server::NotAsked(_) => return Ok(unasked(cx, &step.id, window)),
        Server::Asked(instance, auth) => (instance, auth),
    };
    let began = clock::instant();
    let most = if cx.at_once {
        window + LOOKING
    } else {
        cx.timing.poll.min(LOOKING)
    };
    // Taken out for the time of the look: on an error the window is lost.
    let mut state = cx.windows.take(&step.id);
    loop {
        let broken = match &mut state.watch {
            None => match Watch::begin(instance, &auth, origin(cx, target)).await? {
                Ok(watch) => {
                    state.watch = Some(watch);
                    None
                }
                Err(broken) => Some(broken),
            },
            Some(watch) => match watch.look().await? {
                Look::Quiet(elapsed) if elapsed >= window => {
                    return Ok(passed(state, window, &cx.migration.id).await);
                }
                Look::Quiet(_) => None,
                Look::Broken(broken) => Some(broken),
            },
        };
        if let Some(broken) = broken {
            return Ok(disturbed(cx, step, state, &broken, window).await);
        }
        if began.elapsed() >= most {
            let seen = state.watch.as_ref().map_or(Duration::ZERO, Watch::elapsed);
            let seen = format!("quiet for {} s of {}", seen.as_secs(), window.as_secs());
            cx.windows.put(&step.id, state);
            return Ok(Seen::pending(seen));
        }
        clock::sleep(quiet::SAMPLE.min(cx.timing.poll)).await;
    }
}

/// Without MySQL only this is known: RDS has restarted the engine for the rename, and shows it as ready.
fn unasked(cx: &Cx<'_>, step: &str, window: Duration) -> Seen {
    let mut state = cx.windows.take(step);
    let since = *state.ready.get_or_insert_with(clock::instant);
    cx.windows.put(step, state);
    if since.elapsed() < window {
        return Seen::pending("ready; the server is not asked");
    }
    // The DB instances of a Multi-AZ DB cluster are not renamed, and nothing restarts them.
    let detail = match cx.migration.source.keeps_its_name() {
        true => "not proven: the server is not asked, and its own endpoint is as before",
        false => "not proven: the server is not asked; the rename has restarted it",
    };
    Seen::Done {
        detail: detail.to_owned(),
        result: json!({"proven": false}),
    }
}

async fn passed(state: State, window: Duration, subject: &str) -> Seen {
    let Some(watch) = state.watch else {
        // A window passes only where one was begun.
        return Seen::pending("no window was begun");
    };
    let between = if watch.counts_connections() {
        "none connected in between"
    } else {
        "connections shorter than half a second are not seen: performance_schema is off"
    };
    let left: Vec<Value> = watch
        .readers()
        .iter()
        .map(|reader| {
            left_to_do(
                "binlog-reader",
                subject,
                format!("{reader} reads the binary log of the old instance"),
                "start it anew at the new instance: positions in the binary log begin anew there",
            )
        })
        .collect();
    let seen = Seen::Done {
        detail: format!(
            "no client for {} s ({between}), nothing written ({})",
            window.as_secs(),
            watch.shown_by()
        ),
        result: json!({
            "proven": true,
            "window_seconds": window.as_secs(),
            "shown_by": watch.shown_by(),
            "mark": watch.mark(),
            "binlog_position": watch.mark().position,
            "left_to_do": left,
        }),
    };
    watch.end().await;
    seen
}

/// The window begins anew, until patience is over.
async fn disturbed(
    cx: &Cx<'_>,
    step: &Step,
    mut state: State,
    broken: &Broken,
    window: Duration,
) -> Seen {
    if let Some(watch) = state.watch.take() {
        watch.end().await;
    }
    let since = *state.trouble.get_or_insert_with(clock::instant);
    let reason = broken.reason();
    state.reason = Some(reason.clone());
    // A reboot must have had its chance: after a stop it is sent when nothing of an earlier one shows.
    let patience = (window * 10).max(cx.timing.consistency * 2);
    let over = since.elapsed() >= patience;
    if !broken.may_pass() || over {
        return Seen::stuck(reason, broken.hint());
    }
    cx.windows.put(&step.id, state);
    match broken {
        Broken::Clients(_) => Seen::absent(reason),
        _ => Seen::pending(format!("{reason}; the window begins anew")),
    }
}

/// Ends the connections of clients.
pub(super) async fn kill(cx: &Cx<'_>, view: &RegionView, target: &Target) -> Result<(), Fault> {
    let Server::Asked(instance, auth) = sql::server(cx, view, target)? else {
        return Err(Fault::Plan(
            "connections are to be killed, and the server is not asked".to_owned(),
        ));
    };
    let mut connection = access::open(instance, &auth).await?;
    let killed = quiet::kill_clients(&mut connection).await;
    connection.close().await;
    killed.map(drop).map_err(Fault::from)
}

/// The old members: name, what the view shows, and the mark that their window left.
fn old_members<'v>(
    cx: &Cx<'_>,
    view: &'v RegionView,
) -> Vec<(Member, Option<&'v DbInstance>, Option<WriteMark>)> {
    cx.migration
        .members()
        .map(|member| {
            let target = Target::Old(member.dbi_resource_id.clone());
            // What came after the window of a source and before its last position is replicated; the run's own ALTER USER
            // is of that.
            let left_by = |wanted: &dyn Fn(&Action) -> bool| {
                let mut steps = cx.migration.steps.iter();
                let step = steps.find(|step| wanted(&step.action))?;
                cx.records.get(&step.id)?.result.get("mark")
            };
            let mark = left_by(&|action| {
                matches!(action, Action::FinalPosition { source, .. } if *source == target)
            })
            .or_else(|| {
                left_by(&|action| {
                    matches!(action, Action::Quiesce { instance, .. } if *instance == target)
                })
            });
            let mark = mark.and_then(|mark| serde_json::from_value(mark.clone()).ok());
            (
                member.clone(),
                view.by_resource_id(&member.dbi_resource_id),
                mark,
            )
        })
        .collect()
}

/// Whether the old members are as their windows left them: `Err` with what to do, `Ok` with what cannot be proven.
pub(super) async fn fence(
    cx: &Cx<'_>,
    view: &RegionView,
) -> Result<Result<Vec<String>, Seen>, Fault> {
    let mut not_proven = Vec::new();
    for (member, instance, mark) in old_members(cx, view) {
        let target = Target::Old(member.dbi_resource_id.clone());
        let Some(instance) = instance else {
            continue;
        };
        // Nobody is connected to a server that does not run.
        if instance.status() == "stopped" {
            continue;
        }
        let Server::Asked(instance, auth) = sql::server(cx, view, &target)? else {
            continue;
        };
        if !instance.is_ready() {
            return Ok(Err(Seen::pending(format!(
                "{} is {}",
                instance.identifier(),
                instance.status()
            ))));
        }
        let found = quiet::fence(instance, &auth, mark.as_ref(), origin(cx, &target)).await?;
        match found {
            Fence::Holds => {}
            Fence::NotProven(why) => not_proven.push(format!("{}: {why}", member.old_name)),
            Fence::Broken(broken) => {
                return Ok(Err(Seen::stuck(
                    format!("{}: {}", member.old_name, broken.reason()),
                    match &broken {
                        Broken::Clients(_) => {
                            "what it writes there is not in the snapshot: make sure that it wrote nothing, end it, then resume; or go back by renaming"
                        }
                        Broken::Written { .. } => {
                            "that is not in the snapshot and would be lost: go back by renaming and plan again, or bring it over by hand"
                        }
                        _ => broken.hint(),
                    },
                )));
            }
        }
    }
    Ok(Ok(not_proven))
}

/// That nothing was written since the snapshot could not be told.
pub(super) fn not_proven(cx: &Cx<'_>, why: &str) -> Value {
    left_to_do(
        "quiesce",
        &cx.migration.id,
        format!(
            "nobody could tell whether something was written to the old instance after its snapshot: {why}"
        ),
        "compare the rows: atrest diff --run RUN --data; set 'binlog retention hours' before the next run",
    )
}

/// The old members once more, after the cutover: stopping saves nothing any more, so what is found is told. `Err` while
/// it has to be waited for.
pub(super) async fn afterwards(
    cx: &Cx<'_>,
    view: &RegionView,
) -> Result<Result<Vec<Value>, Seen>, Fault> {
    // A run of the replica method cleans up on the old source itself by now.
    if cx.migration.method == Method::Replica {
        return Ok(Ok(Vec::new()));
    }
    let found = match fence(cx, view).await {
        Err(fault) if !fault.is_transient() => {
            return Ok(Ok(vec![not_proven(cx, &fault.to_string())]));
        }
        found => found?,
    };
    Ok(match found {
        Ok(unclear) => Ok(unclear.iter().map(|why| not_proven(cx, why)).collect()),
        Err(Seen::Stuck { reason, .. }) => Ok(vec![left_to_do(
            "quiesce",
            &cx.migration.id,
            format!("somebody uses the old instance: {reason}"),
            "find out whether it was before the cutover; what was written there is not in the new instance",
        )]),
        Err(waiting) => Err(waiting),
    })
}

/// Before the source's name is given away: asked again, for the validation may be days old.
pub(super) async fn before_cutover(
    cx: &Cx<'_>,
    view: &RegionView,
    instance: &Target,
    seen: Seen,
) -> Result<Seen, Fault> {
    let source = &cx.migration.source;
    let is_sources = *instance == Target::MadeBy(source.made_by.clone());
    if !is_sources || !matches!(seen, Seen::Absent { .. }) {
        return Ok(seen);
    }
    Ok(match fence(cx, view).await? {
        Ok(_not_proven) => seen,
        Err(broken) => broken,
    })
}
