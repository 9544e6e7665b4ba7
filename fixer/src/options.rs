//! What the operator chooses for a sitting.

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
    /// Log in to MySQL; `None` when the plan says that MySQL is off.
    pub mysql: Option<MysqlAuth>,
    /// Safeguards that a test takes out to show that they matter.
    #[cfg(test)]
    pub(crate) careless: Careless,
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
