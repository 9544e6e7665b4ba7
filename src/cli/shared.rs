//! State that runners on several machines share.

use std::time::Duration;

use atrest_fixer::shared::{SHORTEST_LEASE, SharedUrl};
use clap::Args;

use super::parse_duration;

/// A lease and a copy of the journal for each DB instance (docs/shared-state.md). A run folder remembers where.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Shared state")]
pub(crate) struct SharedArgs {
    /// Keep runners on other machines out, and a copy of the journal, in S3: s3://bucket/prefix[?region=REGION]
    #[arg(long, value_name = "URL")]
    pub(crate) shared_state: Option<SharedUrl>,
    /// How long a lease lasts that is not renewed: after that others may take over what a lost machine had
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_lease)]
    pub(crate) lease: Duration,
}

/// Longer than a call to RDS with a late renewal.
fn parse_lease(text: &str) -> Result<Duration, String> {
    let lease = parse_duration(text)?;
    if lease >= SHORTEST_LEASE && lease <= Duration::from_secs(24 * 3600) {
        Ok(lease)
    } else {
        Err(format!("from {}s to 24h", SHORTEST_LEASE.as_secs()))
    }
}
