//! What the operator chooses for a sitting.

use std::time::Duration;

use atrest_scanner::access::MysqlAuth;

use crate::clock::Timing;

/// Options of a sitting of `fix`.
#[derive(Debug, Clone)]
pub struct FixOptions {
    /// Pace.
    pub timing: Timing,
    /// Migrations at the same time.
    pub concurrency: usize,
    /// Stop each migration before this step; `cutover` means the first rename to a real name.
    pub stop_before: Option<String>,
    /// How many migrations there may be, and what holds them up.
    pub fleet: FleetOptions,
    /// Log in to MySQL; `None` when the plan says that MySQL is off.
    pub mysql: Option<MysqlAuth>,
    /// Safeguards that a test takes out to show that they matter.
    #[cfg(test)]
    pub(crate) careless: Careless,
}

/// Choices about the fleet as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetOptions {
    /// Failed migrations that do not keep the next wave from being begun.
    pub max_failures: usize,
    /// Snapshots that RDS copies at the same time in a region of the account.
    pub copies_in_flight: usize,
    /// How long a migration waits for room in a quota while nothing of the run is under way in its region.
    pub quota_wait: Duration,
    /// What becomes of hooks of which nobody knows whether they have run.
    pub interrupted_hooks: InterruptedHooks,
}

/// Copies in flight that RDS allows in a region unless asked for more; no API tells it.
pub const COPIES_IN_FLIGHT: usize = 20;

impl Default for FleetOptions {
    fn default() -> Self {
        Self {
            max_failures: 0,
            copies_in_flight: COPIES_IN_FLIGHT,
            quota_wait: Duration::from_secs(3600),
            interrupted_hooks: InterruptedHooks::Ask,
        }
    }
}

/// What becomes of a hook that was running when its process was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterruptedHooks {
    /// The migration stops for the operator, unless the hook may be repeated.
    Ask,
    /// It is run again.
    Again,
    /// It counts as done.
    Done,
}

/// What an executor without care would do.
#[cfg(test)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Careless {
    /// A mutation whose outcome is not known is sent again without looking.
    pub(crate) trusts_journal: bool,
    /// Nobody asks whether the claim is still ours.
    pub(crate) ignores_claim: bool,
}
