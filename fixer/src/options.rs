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
}
