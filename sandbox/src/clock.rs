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
}

#[derive(Debug)]
enum Mode {
    Running { since: Instant, speed: f64 },
    Manual { elapsed: Mutex<Duration> },
}

impl Clock {
    /// A clock that starts at the real time and runs `speed` virtual seconds per real second.
    pub(crate) fn running(speed: f64) -> Self {
        Self {
            start: Timestamp::now(),
            mode: Mode::Running {
                since: Instant::now(),
                speed,
            },
        }
    }

    /// A clock that stands still until [`Clock::advance`].
    pub(crate) fn manual() -> Self {
        Self {
            start: Timestamp::now(),
            mode: Mode::Manual {
                elapsed: Mutex::new(Duration::ZERO),
            },
        }
    }

    /// When the sandbox started.
    pub(crate) fn start(&self) -> Timestamp {
        self.start
    }

    /// The virtual time.
    pub(crate) fn now(&self) -> Timestamp {
        let elapsed = match &self.mode {
            Mode::Running { since, speed } => since.elapsed().mul_f64(*speed),
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
