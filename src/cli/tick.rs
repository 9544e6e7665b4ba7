//! What moves one migration on.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{AwsArgs, MysqlArgs, StateArgs, parse_duration};

/// One tick: reads a state, does at most one thing, prints the next state.
#[derive(Debug, Clone, Args)]
pub(crate) struct TickArgs {
    /// The plan
    #[arg(value_name = "PLAN.json")]
    pub(crate) plan: PathBuf,
    /// Print the first document of the migration of this source: its DbiResourceId, or REGION/IDENTIFIER; checks that the
    /// plan still fits, changes nothing
    #[arg(
        long,
        value_name = "SOURCE",
        required_unless_present = "state",
        conflicts_with = "state"
    )]
    pub(crate) begin: Option<String>,
    /// The document that the tick before has printed; `-` is stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// With --begin: ask for leave before this step; `cutover` is the first rename to a real name
    #[arg(long, value_name = "STEP", requires = "begin")]
    pub(crate) stop_before: Option<String>,
    /// Leave for this step, which the state asks for; the same as `approve` beside the state
    #[arg(long, value_name = "STEP", requires = "state")]
    pub(crate) approve: Option<String>,
    /// A tick may have begun with this state and not come to its end; the same as `again` beside the state
    #[arg(long, requires = "state")]
    pub(crate) again: bool,
    /// A person has looked: go on from where it stopped; the same as `resume` beside the state
    #[arg(long, requires = "state")]
    pub(crate) resume: bool,
    /// How long after its record an intent may be acted on: longer than from one tick to the next, shorter than until a
    /// tick that failed is repeated without --again
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = parse_duration)]
    pub(crate) intent_lifetime: Duration,
    /// Time between two looks: 10s, 250ms
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub(crate) poll_interval: Duration,
    /// How long RDS may still show the time before a change; a call whose answer was lost is repeated only after it
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = parse_duration)]
    pub(crate) consistency_window: Duration,
    /// The lock of this machine and the reports are kept here; it may be lost
    #[command(flatten)]
    pub(crate) folder: StateArgs,
    #[command(flatten)]
    pub(crate) aws: AwsArgs,
    #[command(flatten)]
    pub(crate) mysql: MysqlArgs,
}
