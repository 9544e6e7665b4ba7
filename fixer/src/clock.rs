//! Time: the only place that sleeps or reads a clock.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// How often to look, and how long to trust a stale answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Time between two describe loops of a region.
    pub poll: Duration,
    /// How long after a mutation a describe answer may still show the time before it. RDS is not read-your-writes:
    /// a rename may take a minute to show. A mutation whose answer was lost is sent again only after this long without
    /// a trace of it.
    pub consistency: Duration,
    /// Looks in a row that must agree before a step counts as done: `available` flickers.
    pub confirmations: u32,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(5),
            consistency: Duration::from_secs(180),
            confirmations: 3,
        }
    }
}

/// Now, for records.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Now, for measuring.
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// Waits.
pub(crate) async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// What a future gives, unless it takes longer.
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, future).await.ok()
}

/// The moment at which the clock for records showed `at`, on the one for measuring. Both are read once: what was set on
/// the first since then is not known.
pub(crate) fn instant_of(at: Timestamp) -> Instant {
    let (wall, now) = (now(), instant());
    let between = wall.duration_since(at);
    if between.is_negative() {
        return now + between.unsigned_abs();
    }
    // A clock that was set far ahead may name a moment before this machine was there.
    now.checked_sub(between.unsigned_abs()).unwrap_or(now)
}

/// A moment of the clock for measuring, for records.
pub(crate) fn wall_of(at: Instant) -> Timestamp {
    let (wall, now) = (now(), instant());
    let moved = if at > now {
        wall.checked_add(at.duration_since(now))
    } else {
        wall.checked_sub(now.duration_since(at))
    };
    moved.unwrap_or(wall)
}
