//! What the sandbox had taken on, and when each of it was over: the truth beside which a client's own clock can be held.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Something that took virtual time, as it was drawn when it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Region.
    pub region: String,
    /// What it was about: a `DbiResourceId`, `snapshot:NAME` and the like.
    pub subject: String,
    /// When it began, in virtual time.
    pub began: Timestamp,
    /// When it was over. A real server's own work is not in it.
    pub ended: Timestamp,
}
