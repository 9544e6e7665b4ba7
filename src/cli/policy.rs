//! `atrest policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::TextOrJson;

#[derive(Debug, Clone, Args)]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    pub(crate) command: PolicyCommand,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum PolicyCommand {
    /// List the policies, built in and of your own
    List(PolicyListArgs),
    /// Show the page of a policy
    Show(PolicyShowArgs),
    /// Run test cases: describe answers and the verdicts they must get (docs/custom-policies.md)
    Test(PolicyTestArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PolicyListArgs {
    /// Folder with policies of your own, *.toml
    #[arg(long, value_name = "DIR")]
    pub(crate) policies: Option<PathBuf>,
    /// Output on stdout: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: TextOrJson,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PolicyShowArgs {
    /// Its id
    pub(crate) id: String,
    /// Folder with policies of your own, *.toml
    #[arg(long, value_name = "DIR")]
    pub(crate) policies: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PolicyTestArgs {
    /// Folder with a folder of cases for each policy, and with policies of your own, *.toml
    pub(crate) dir: PathBuf,
    /// Folder with policies of your own, if they lie elsewhere
    #[arg(long, value_name = "DIR")]
    pub(crate) policies: Option<PathBuf>,
}
