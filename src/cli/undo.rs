//! What undoes or ends a migration.

use std::time::Duration;

use atrest_reports::FixFormat;
use clap::Args;

use super::{AwsArgs, MysqlArgs, SharedArgs, StateArgs, parse_duration};

/// How fast RDS is asked.
#[derive(Debug, Clone, Args)]
pub(crate) struct PaceArgs {
    /// Migrations at the same time
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) concurrency: usize,
    /// Time between two describe loops of a region: 10s, 250ms
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub(crate) poll_interval: Duration,
    /// How long RDS may still show the time before a change; a call whose answer was lost is repeated only after it
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = parse_duration)]
    pub(crate) consistency_window: Duration,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RollbackArgs {
    /// The run
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// Roll back this DB instance with its replicas; may be repeated. Without it: every migration of the run
    #[arg(long, value_name = "IDENTIFIER")]
    pub(crate) instance: Vec<String>,
    /// Carry it out; without it the steps are only shown
    #[arg(long)]
    pub(crate) execute: bool,
    /// Leave the encrypted copies and the snapshots where they are
    #[arg(long)]
    pub(crate) keep_copies: bool,
    /// Go back although what clients have written to this DB instance since the cutover is lost, or may be; may be repeated
    #[arg(long, value_name = "IDENTIFIER")]
    pub(crate) accept_data_loss: Vec<String>,
    /// Output on stdout: text or json; with --execute also jsonl, csv, markdown, html, junit
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: FixFormat,
    #[command(flatten)]
    pub(crate) pace: PaceArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) shared: SharedArgs,
    #[command(flatten)]
    pub(crate) aws: AwsArgs,
    #[command(flatten)]
    pub(crate) mysql: MysqlArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CleanupArgs {
    /// The run
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// Clean up after this DB instance and its replicas; may be repeated. Without it: every migration of the run
    #[arg(long, value_name = "IDENTIFIER")]
    pub(crate) instance: Vec<String>,
    /// Carry it out; without it the steps are only shown
    #[arg(long)]
    pub(crate) execute: bool,
    /// Do not ask for the name of the run
    #[arg(long, requires = "execute")]
    pub(crate) yes: bool,
    /// Time that must have passed since the cutover: 7d, 12h
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = parse_soak)]
    pub(crate) min_soak: Duration,
    /// Keep no encrypted snapshot of the last data of the old instance
    #[arg(long)]
    pub(crate) no_final_snapshot: bool,
    /// Also delete the encrypted snapshot that the new instance was restored from
    #[arg(long)]
    pub(crate) delete_encrypted_copy: bool,
    /// Output on stdout: text or json; with --execute also jsonl, csv, markdown, html, junit
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: FixFormat,
    #[command(flatten)]
    pub(crate) pace: PaceArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) shared: SharedArgs,
    #[command(flatten)]
    pub(crate) aws: AwsArgs,
    #[command(flatten)]
    pub(crate) mysql: MysqlArgs,
}

/// As every other duration, with days, and with nothing at all.
fn parse_soak(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    match text.strip_suffix('d') {
        Some(days) => {
            let days: u64 = days
                .parse()
                .map_err(|_bad| format!("no number before d in {text:?}"))?;
            days.checked_mul(86_400)
                .map(Duration::from_secs)
                .ok_or_else(|| "too long".to_owned())
        }
        None => parse_duration(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soak_may_be_days_or_nothing() {
        assert_eq!(parse_soak("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(parse_soak("0"), Ok(Duration::ZERO));
        assert_eq!(parse_soak("2h"), Ok(Duration::from_secs(7200)));
        for bad in ["", "d", "-1d", "7", "99999999999999999999d"] {
            assert!(parse_soak(bad).is_err(), "{bad}");
        }
    }
}
