//! Politeness: how often, and how many at once, one service is called in one region of one account; and who repeats a
//! call. Every read passes here, and nothing else repeats it: the SDK's own retries are switched off, because two
//! loops inside each other wait for the product of their patience.
//!
//! AWS does not publish the rates of its APIs, and other programs of the account use them up too. So a bucket starts
//! with a rate that is far from any known limit, and learns: a throttled call cuts the rate to a part of what
//! succeeded lately and halves the number of calls in flight, successes raise both again. The waits after a failure
//! have full jitter, so that several scanners do not come back together.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future;
use tokio::sync::Notify;

use crate::error::{AwsError, AwsErrorKind};

/// Calls per second before the first throttling.
const START_RATE: f64 = 50.0;
/// Calls at once before the first throttling: a bucket that was never throttled allows a burst.
const START_BURST: f64 = 100.0;
/// Calls at once after it.
const BURST: f64 = 2.0;
/// Slowest rate: a call every ten seconds still ends.
const LEAST_RATE: f64 = 0.1;
/// Most calls in flight.
const MOST_IN_FLIGHT: f64 = 16.0;
/// What is left of the rate after a throttling.
const CUT: f64 = 0.8;
/// What a success adds, as a part of the rate at the last throttling.
const GROWTH: f64 = 0.02;
/// Successes in a row after which what they add doubles: a limit that is gone must not be remembered for long.
const CALM: u32 = 12;
/// Successes that the measured rate is taken from.
const WINDOW: usize = 16;
/// Attempts for a failure that may pass by itself, throttling not counted.
const ATTEMPTS: u32 = 6;
/// Longest first wait after such a failure; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Longest wait after a failure.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// Longest first wait after a throttling, besides that for the bucket; it doubles.
const FIRST_JITTER: Duration = Duration::from_millis(50);
/// Longest of those.
const LONGEST_JITTER: Duration = Duration::from_secs(2);

/// How long a call may be throttled before it is given up, unless it is set.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// What all buckets together have seen. Cheap to clone; the clones share the counts.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    calls: AtomicU64,
    throttled: AtomicU64,
}

impl Tally {
    /// Calls sent, repetitions included.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.0.calls.load(Ordering::Relaxed)
    }

    /// Calls that were answered with a throttling error.
    #[must_use]
    pub fn throttled(&self) -> u64 {
        self.0.throttled.load(Ordering::Relaxed)
    }
}

/// The buckets of one account: one a service and region. Cheap to clone; the clones share the buckets.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    buckets: Arc<Mutex<HashMap<(&'static str, String), Bucket>>>,
    tally: Tally,
    patience: Duration,
}

impl Limits {
    /// `tally` may be shared with the buckets of other accounts.
    pub(crate) fn new(tally: Tally, patience: Duration) -> Self {
        Self {
            buckets: Arc::default(),
            tally,
            patience,
        }
    }

    /// Buckets of another account, which count and wait as these do.
    pub(crate) fn of_another_account(&self) -> Self {
        Self::new(self.tally.clone(), self.patience)
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The bucket of a service in a region.
    pub(crate) fn bucket(&self, service: &'static str, region: &str) -> Bucket {
        self.buckets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry((service, region.to_owned()))
            .or_insert_with(|| Bucket::new(self.tally.clone(), self.patience, Time::Real))
            .clone()
    }
}

/// Calls of one service in one region of one account. Cheap to clone; the clones share the bucket.
#[derive(Debug, Clone)]
pub(crate) struct Bucket(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pace: Mutex<Pace>,
    /// A call has ended.
    ended: Notify,
    tally: Tally,
    patience: Duration,
    time: Time,
}

/// Where the time comes from.
#[derive(Debug, Clone)]
enum Time {
    Real,
    #[cfg(test)]
    Virtual(tests::Clock),
}

impl Time {
    fn now(&self) -> Instant {
        match self {
            Self::Real => Instant::now(),
            #[cfg(test)]
            Self::Virtual(clock) => clock.now(),
        }
    }

    async fn sleep(&self, time: Duration) {
        match self {
            Self::Real => tokio::time::sleep(time).await,
            #[cfg(test)]
            Self::Virtual(clock) => clock.sleep(time).await,
        }
    }
}

/// A call in flight; its place is free again when this is dropped, also with the future that held it.
struct Flight<'a>(&'a Bucket);

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut pace = self.0.pace();
        pace.in_flight = pace.in_flight.saturating_sub(1);
        drop(pace);
        self.0.0.ended.notify_waiters();
    }
}

impl Bucket {
    fn new(tally: Tally, patience: Duration, time: Time) -> Self {
        Self(Arc::new(Shared {
            pace: Mutex::new(Pace::new(time.now())),
            ended: Notify::new(),
            tally,
            patience,
            time,
        }))
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.0.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Throttled calls so far.
    pub(crate) fn throttled(&self) -> u64 {
        self.pace().throttled
    }

    /// Sends a read, again and again while that may help: throttled ones until the patience is over, others that may
    /// pass by themselves some times. The error is that of the last attempt.
    pub(crate) async fn call<T, F>(&self, mut send: impl FnMut() -> F) -> Result<T, AwsError>
    where
        F: Future<Output = Result<T, AwsError>>,
    {
        let mut throttled: Option<Throttled> = None;
        let mut failures = 0;
        loop {
            let deadline = throttled.as_ref().map(|past| past.since + self.0.patience);
            let flight = match (self.take_off(deadline).await, throttled.take()) {
                (Some(flight), past) => {
                    throttled = past;
                    flight
                }
                (None, Some(past)) => return Err(past.give_up(self.0.time.now())),
                // Without a deadline a call takes off.
                (None, None) => continue,
            };
            let sent = self.0.time.now();
            self.0.tally.0.calls.fetch_add(1, Ordering::Relaxed);
            let answer = send().await;
            drop(flight);
            let now = self.0.time.now();
            let error = match answer {
                Ok(answer) => {
                    self.pace().succeeded(now);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let wait = if error.kind == AwsErrorKind::Throttled {
                self.0.tally.0.throttled.fetch_add(1, Ordering::Relaxed);
                self.pace().throttled(sent, now);
                let (since, times) = throttled.map_or((now, 0), |past| (past.since, past.times));
                let times = times.saturating_add(1);
                throttled = Some(Throttled {
                    since,
                    times,
                    error,
                });
                full_jitter(FIRST_JITTER, times, LONGEST_JITTER)
            } else if error.may_pass() {
                failures += 1;
                if failures >= ATTEMPTS {
                    return Err(error);
                }
                full_jitter(FIRST_WAIT, failures, LONGEST_WAIT)
            } else {
                return Err(error);
            };
            self.0.time.sleep(wait).await;
        }
    }

    /// Waits for a token and a free place; `None` when the deadline is there first.
    async fn take_off(&self, deadline: Option<Instant>) -> Option<Flight<'_>> {
        loop {
            // Before the look, so that an end between the look and the wait is not missed.
            let ended = self.0.ended.notified();
            let now = self.0.time.now();
            let left = deadline.map(|deadline| deadline.saturating_duration_since(now));
            if left.is_some_and(|left| left.is_zero()) {
                return None;
            }
            let wait = self.pace().take(now);
            match (wait, left) {
                (Wait::Go, _) => return Some(Flight(self)),
                (Wait::For(time), left) => {
                    let time = left.map_or(time, |left| left.min(time));
                    self.0.time.sleep(time).await;
                }
                (Wait::ForAnEnd, None) => ended.await,
                (Wait::ForAnEnd, Some(left)) => {
                    let (ended, time) = (pin!(ended), pin!(self.0.time.sleep(left)));
                    future::select(ended, time).await;
                }
            }
        }
    }
}

/// What a call has been answered so far.
struct Throttled {
    since: Instant,
    times: u32,
    error: AwsError,
}

impl Throttled {
    fn give_up(self, now: Instant) -> AwsError {
        let mut error = self.error;
        let seconds = now.saturating_duration_since(self.since).as_secs();
        error.message = format!("{} ({} times in {seconds} s)", error.message, self.times);
        error
    }
}

/// Between nothing and `first`, doubled with every time after the first, at most `longest`.
fn full_jitter(first: Duration, times: u32, longest: Duration) -> Duration {
    let doubled = 2_u32.saturating_pow(times.saturating_sub(1).min(16));
    first
        .saturating_mul(doubled)
        .min(longest)
        .mul_f64(fastrand::f64())
}

/// What a call has to wait for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wait {
    Go,
    For(Duration),
    ForAnEnd,
}

/// The state of a bucket: no clock of its own, no waiting.
#[derive(Debug)]
struct Pace {
    /// Tokens per second.
    rate: f64,
    /// Tokens at most.
    burst: f64,
    tokens: f64,
    filled: Instant,
    in_flight: usize,
    /// Most calls in flight.
    width: f64,
    /// The rate at the last throttling; `None` before the first.
    limit: Option<f64>,
    /// When the rate was cut last.
    cut: Option<Instant>,
    /// Successes since then.
    calm: u32,
    /// Times of the last successes.
    successes: VecDeque<Instant>,
    throttled: u64,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self {
            rate: START_RATE,
            burst: START_BURST,
            tokens: START_BURST,
            filled: now,
            in_flight: 0,
            width: MOST_IN_FLIGHT,
            limit: None,
            cut: None,
            calm: 0,
            successes: VecDeque::new(),
            throttled: 0,
        }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(self.burst);
        self.filled = now;
    }

    fn take(&mut self, now: Instant) -> Wait {
        self.fill(now);
        if self.in_flight as f64 >= self.width.floor() {
            return Wait::ForAnEnd;
        }
        if self.tokens < 1.0 {
            // Not less than a timer can tell, or the loop would spin.
            let missing = (1.0 - self.tokens) / self.rate;
            return Wait::For(Duration::from_secs_f64(missing.max(0.001)));
        }
        self.tokens -= 1.0;
        self.in_flight += 1;
        Wait::Go
    }

    fn succeeded(&mut self, now: Instant) {
        if self.successes.len() == WINDOW {
            self.successes.pop_front();
        }
        self.successes.push_back(now);
        self.width = (self.width + 1.0 / self.width).min(MOST_IN_FLIGHT);
        if let Some(limit) = self.limit {
            self.fill(now);
            self.calm = self.calm.saturating_add(1);
            let doubled = 2_f64.powi((self.calm / CALM).min(10) as i32);
            self.rate = (self.rate + limit * GROWTH * doubled).min(START_RATE);
        }
    }

    /// A call that was sent at `sent` was throttled. Calls that were in flight together are throttled together: that
    /// is one thing to learn, not many.
    fn throttled(&mut self, sent: Instant, now: Instant) {
        self.throttled += 1;
        self.fill(now);
        self.tokens = self.tokens.min(0.0);
        if self.cut.is_some_and(|cut| sent < cut) {
            return;
        }
        let rate = self.measured(now).map_or(self.rate, |m| m.min(self.rate));
        self.limit = Some(rate);
        self.rate = (rate * CUT).max(LEAST_RATE);
        self.burst = BURST;
        self.width = (self.width / 2.0).max(1.0);
        self.calm = 0;
        self.cut = Some(now);
    }

    /// Successes per second lately.
    fn measured(&self, now: Instant) -> Option<f64> {
        let oldest = self.successes.front()?;
        let passed = now.saturating_duration_since(*oldest).as_secs_f64();
        (passed > 0.0).then(|| self.successes.len() as f64 / passed)
    }
}

#[cfg(test)]
mod tests;
