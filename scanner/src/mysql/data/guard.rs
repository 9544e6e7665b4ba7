//! The load guard: no statement is sent while a server is busy or a replica lags.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::super::state;
use super::session::{Failure, Session};
use super::{DataOptions, Login};

/// Longest wait for the answer of a server that is only asked how it is.
const POLL: Duration = Duration::from_secs(5);

/// Asked before every statement on a table; asks the servers at most once a `guard_pause`.
pub(super) struct Guard<'a> {
    limits: Limits,
    /// Held while waiting, so that all wait.
    state: Mutex<State<'a>>,
}

#[derive(Debug)]
struct Limits {
    threads_running: u64,
    lag: u64,
    pause: Duration,
    patience: Duration,
}

struct State<'a> {
    monitors: [Monitor<'a>; 2],
    fine_since: Option<Instant>,
    /// Why nothing more is to be sent.
    given_up: Option<String>,
}

struct Monitor<'a> {
    session: Session<'a>,
    /// Whether replication is asked about: not once the server has refused to say.
    replication: bool,
}

impl<'a> Guard<'a> {
    pub(super) fn new(old: &'a dyn Login, new: &'a dyn Login, options: &DataOptions) -> Self {
        let monitor = |login| Monitor {
            session: Session::new(login),
            replication: true,
        };
        Self {
            limits: Limits {
                threads_running: options.max_threads_running,
                lag: options.max_lag_seconds,
                pause: options.guard_pause,
                patience: options.guard_patience,
            },
            state: Mutex::new(State {
                monitors: [monitor(old), monitor(new)],
                fine_since: None,
                given_up: None,
            }),
        }
    }

    /// Returns when both servers are at ease. `Err` with the reason when one has not been for the whole patience, or does
    /// not say; from then on always.
    pub(super) async fn admit(&self) -> Result<(), String> {
        let mut state = self.state.lock().await;
        if let Some(reason) = &state.given_up {
            return Err(reason.clone());
        }
        let began = Instant::now();
        if state
            .fine_since
            .is_some_and(|seen| began.duration_since(seen) < self.limits.pause)
        {
            return Ok(());
        }
        loop {
            let Some(reason) = state.busy(&self.limits).await else {
                state.fine_since = Some(Instant::now());
                return Ok(());
            };
            if reason.is_final || began.elapsed() >= self.limits.patience {
                let text = if reason.is_final {
                    reason.text
                } else {
                    format!(
                        "{}; still so after a pause of {} s",
                        reason.text,
                        began.elapsed().as_secs()
                    )
                };
                state.given_up = Some(text.clone());
                return Err(text);
            }
            tokio::time::sleep(self.limits.pause).await;
        }
    }

    pub(super) async fn close(self) {
        let [old, new] = self.state.into_inner().monitors;
        futures::join!(old.session.close(), new.session.close());
    }
}

/// Why it is better to wait.
#[derive(Debug, PartialEq, Eq)]
struct Busy {
    text: String,
    /// Waiting will not help.
    is_final: bool,
}

impl State<'_> {
    async fn busy(&mut self, limits: &Limits) -> Option<Busy> {
        let [old, new] = &mut self.monitors;
        let (old, new) = futures::join!(old.busy(limits), new.busy(limits));
        old.or(new)
    }
}

impl Monitor<'_> {
    async fn busy(&mut self, limits: &Limits) -> Option<Busy> {
        match self.look(limits).await {
            Ok(busy) => busy.map(|text| Busy {
                text,
                is_final: false,
            }),
            // A lost connection may come back; a server that does not answer is not to be burdened.
            Err(failure) => Some(Busy {
                text: failure.reason().to_owned(),
                is_final: !matches!(failure, Failure::Lost(_)),
            }),
        }
    }

    async fn look(&mut self, limits: &Limits) -> Result<Option<String>, Failure> {
        let rows = self
            .session
            .rows("SHOW GLOBAL STATUS LIKE 'Threads_running'", POLL)
            .await?;
        let running: u64 = rows
            .first()
            .and_then(|row| row.text(1)?.parse().ok())
            .unwrap_or_default();
        let conn = self.session.ready(POLL).await?;
        let endpoint = conn.endpoint().to_owned();
        if running > limits.threads_running {
            return Ok(Some(format!(
                "{endpoint} has Threads_running {running}, more than {}",
                limits.threads_running
            )));
        }
        if !self.replication {
            return Ok(None);
        }
        let channels = match state::replication_status(conn).await {
            Ok(channels) => channels,
            Err(error) if error.is_transient() => return Err(error.into()),
            // Not allowed to know.
            Err(_refused) => {
                self.replication = false;
                return Ok(None);
            }
        };
        // A replica that is stopped does not fall further behind because of reads.
        let lag = channels
            .iter()
            .filter_map(|channel| channel.seconds_behind_source)
            .max();
        Ok(lag.filter(|&lag| lag > limits.lag).map(|lag| {
            format!(
                "{endpoint} is {lag} s behind its source, more than {} s",
                limits.lag
            )
        }))
    }
}
