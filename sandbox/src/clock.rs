//! Virtual time: RDS's minutes run in milliseconds.
//!
//! Everything the sandbox does is dated by this clock and by nothing else. A running clock starts at the
//! real time and goes `speed` times as fast; a manual clock stands still until it is told to go on, so
//! that tests neither sleep nor depend on the machine's speed.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// The sandbox's only source of time.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Timestamp,
    mode: Mode,
    /// The moment at which a call is being carried out: it lasts no time.
    held: Mutex<Option<Timestamp>>,
}

#[derive(Debug)]
enum Mode {
    Running {
        since: Instant,
        speed: f64,
        /// Virtual time before `since`, of a sandbox that goes on from a saved state.
        before: Duration,
    },
    Manual {
        elapsed: Mutex<Duration>,
    },
}

/// A clock held at a moment until this is dropped.
#[derive(Debug)]
pub(crate) struct Held<'a>(&'a Clock);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.0.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Clock {
    /// A clock that starts at the real time and runs `speed` virtual seconds per real second.
    pub(crate) fn running(speed: f64) -> Self {
        Self {
            start: Timestamp::now(),
            mode: Mode::Running {
                since: Instant::now(),
                speed,
                before: Duration::ZERO,
            },
            held: Mutex::new(None),
        }
    }

    /// A clock that stands still until [`Clock::advance`].
    pub(crate) fn manual() -> Self {
        Self {
            start: Timestamp::now(),
            mode: Mode::Manual {
                elapsed: Mutex::new(Duration::ZERO),
            },
            held: Mutex::new(None),
        }
    }

    /// The same clock, started at `start` and now at `now`: it goes on from there.
    pub(crate) fn resume(self, start: Timestamp, now: Timestamp) -> Self {
        let passed = Duration::try_from(now.duration_since(start)).unwrap_or_default();
        Self {
            start,
            mode: match self.mode {
                Mode::Running { speed, .. } => Mode::Running {
                    since: Instant::now(),
                    speed,
                    before: passed,
                },
                Mode::Manual { .. } => Mode::Manual {
                    elapsed: Mutex::new(passed),
                },
            },
            held: self.held,
        }
    }

    /// Holds the clock at a moment, so that all that a call does happens at that one. Only whoever has the
    /// world's lock does this.
    pub(crate) fn hold(&self, at: Timestamp) -> Held<'_> {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
        Held(self)
    }

    /// Virtual seconds per real second; `None` for a clock that stands still.
    pub(crate) fn speed(&self) -> Option<f64> {
        match self.mode {
            Mode::Running { speed, .. } => Some(speed),
            Mode::Manual { .. } => None,
        }
    }

    /// When the sandbox started.
    pub(crate) fn start(&self) -> Timestamp {
        self.start
    }

    /// The virtual time.
    pub(crate) fn now(&self) -> Timestamp {
        if let Some(at) = *self.held.lock().unwrap_or_else(PoisonError::into_inner) {
            return at;
        }
        let elapsed = match &self.mode {
            Mode::Running {
                since,
                speed,
                before,
            } => before.saturating_add(since.elapsed().mul_f64(*speed)),
            Mode::Manual { elapsed } => *elapsed.lock().unwrap_or_else(PoisonError::into_inner),
        };
        after(self.start, elapsed)
    }

    /// Moves a manual clock on. A running clock takes no orders.
    pub(crate) fn advance(&self, by: Duration) {
        if let Mode::Manual { elapsed } = &self.mode {
            *elapsed.lock().unwrap_or_else(PoisonError::into_inner) += by;
        }
    }

    /// How long the ticker may rest between two looks, in real time: a third of a virtual second, within
    /// what is kind to the machine. `None` for a manual clock, which needs no ticker.
    pub(crate) fn tick(&self) -> Option<Duration> {
        match self.mode {
            Mode::Running { speed, .. } => {
                Some(Duration::from_secs_f64((0.33 / speed).clamp(0.02, 0.5)))
            }
            Mode::Manual { .. } => None,
        }
    }
}

/// `start + by`, or the end of time.
pub(crate) fn after(start: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| start.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}

/// `start + seconds`, or the end of time; negative seconds go back.
pub(crate) fn plus(start: Timestamp, seconds: i64) -> Timestamp {
    start
        .checked_add(SignedDuration::from_secs(seconds))
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual();
        assert_eq!(clock.now(), clock.start());
        clock.advance(Duration::from_secs(90));
        assert_eq!(clock.now(), plus(clock.start(), 90));
    }
}
