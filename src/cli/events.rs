//! Where the events and numbers of a run go beside its folder.

use std::convert::Infallible;
use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Operations")]
pub(crate) struct EventsArgs {
    /// Post each event of the run to this URL, signed; it never holds the run up (docs/operations.md)
    #[arg(long, value_name = "URL", env = "ATREST_EVENTS_URL", hide_env_values = true, value_parser = secret)]
    pub(crate) events_url: Option<SecretString>,
    /// Sign them with the secret in this file; without it that of ATREST_EVENTS_SECRET
    #[arg(long, value_name = "FILE")]
    pub(crate) events_secret_file: Option<PathBuf>,
    /// Write the numbers of the run to FILE for Prometheus when it ends (docs/operations.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics: Option<PathBuf>,
}

/// A URL often holds a token: it is checked where no error message quotes it.
fn secret(text: &str) -> Result<SecretString, Infallible> {
    Ok(text.into())
}
