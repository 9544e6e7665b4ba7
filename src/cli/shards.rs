//! Options of scans that several processes make together.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{SeverityArg, parse_duration};

/// A scan by shards: the plan, or a batch of it.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShardArgs {
    /// Write the shards of this scan, one for each account and region, to FILE (- is standard output), and read none of them
    /// (docs/shards.md)
    #[arg(
        long,
        value_name = "FILE|-",
        help_heading = "Shards",
        conflicts_with_all = ["offline", "stream", "save", "baseline", "format", "metrics", "shards"],
    )]
    pub(crate) plan_shards: Option<PathBuf>,
    /// Read a batch of the shards that this plan names; it says accounts, regions, role and policies
    #[arg(
        long,
        value_name = "PLAN|-",
        help_heading = "Shards",
        requires = "out",
        conflicts_with_all = [
            "org", "account", "profiles", "region", "all_regions", "role_name", "external_id", "only",
            "only_kinds", "policies", "waivers", "baseline", "format", "save", "stream", "offline",
            "fail_on", "exit_zero", "metrics",
        ],
    )]
    pub(crate) shards: Option<PathBuf>,
    /// Which batch, from 0; without it JOB_COMPLETION_INDEX, which Kubernetes sets
    #[arg(
        long,
        value_name = "I",
        help_heading = "Shards",
        requires = "shards",
        requires = "shard_count"
    )]
    pub(crate) shard_index: Option<usize>,
    /// Of how many; without it the plan is one batch
    #[arg(
        long,
        value_name = "N",
        help_heading = "Shards",
        requires = "shards",
        value_parser = parse_count,
    )]
    pub(crate) shard_count: Option<usize>,
    /// Where the batch goes; in a folder its name is PLAN-ID/batch-I-of-N.jsonl
    #[arg(
        long,
        value_name = "FILE|DIR",
        help_heading = "Shards",
        requires = "shards"
    )]
    pub(crate) out: Option<PathBuf>,
    /// Refuse a plan that is older: it is last night's
    #[arg(
        long,
        value_name = "TIME",
        help_heading = "Shards",
        requires = "shards",
        value_parser = parse_duration,
    )]
    pub(crate) plan_max_age: Option<Duration>,
}

/// From batches to the report of the scan.
#[derive(Debug, Clone, Args)]
pub(crate) struct MergeArgs {
    /// The plan of the shards
    #[arg(long, value_name = "PLAN")]
    pub(crate) shard_plan: PathBuf,
    /// Batch files; of a folder those below PLAN-ID
    #[arg(value_name = "FILE|DIR", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Wait so long for batches that are not there yet
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) wait: Option<Duration>,
    /// Refuse a plan that is older: it is last night's
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) plan_max_age: Option<Duration>,
    /// Folder with policies of your own, the one that the plan was made with
    #[arg(long, value_name = "DIR")]
    pub(crate) policies: Option<PathBuf>,
    /// Violations that somebody accepted, with a last day (docs/waivers.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) waivers: Option<PathBuf>,
    /// An earlier result to compare with: new, worse, unchanged, fixed
    #[arg(long, value_name = "SCAN.json")]
    pub(crate) baseline: Option<PathBuf>,
    /// Exit 10 only for what is new or worse than in the baseline
    #[arg(long, requires = "baseline")]
    pub(crate) fail_on_new: bool,
    /// Output, as of `scan`: FORMAT=FILE writes a file; may be repeated
    #[arg(long, value_name = "FORMAT[=FILE]", default_value = "table")]
    pub(crate) format: Vec<String>,
    /// Also write the result as JSON, for `plan --from`
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// Exit 10 from this severity on
    #[arg(long, value_name = "SEVERITY", default_value = "low")]
    pub(crate) fail_on: SeverityArg,
    /// Exit 0 in spite of findings
    #[arg(long)]
    pub(crate) exit_zero: bool,
}

fn parse_count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| "a number from 1".to_owned())
}
