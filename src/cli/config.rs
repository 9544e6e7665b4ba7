//! `atrest config`.

use std::path::PathBuf;

use atrest_fixer::fleet::Waves;
use clap::{Args, Subcommand};

use super::{AwsArgs, RadiusArgs, StateArgs, TextOrJson};

#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Write a configuration file in which every key stands as a comment
    Init(ConfigInitArgs),
    /// Show every setting, and where its value comes from
    Show(ConfigShowArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigInitArgs {
    /// Where it is written; a file that is there is left alone
    #[arg(value_name = "FILE", default_value = "atrest.toml")]
    pub(crate) file: PathBuf,
}

/// The options that win over the file and the environment may be given, to see what they come to.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigShowArgs {
    /// Folder with policies of your own, *.toml
    #[arg(long, value_name = "DIR")]
    pub(crate) policies: Option<PathBuf>,
    /// As of plan
    #[arg(long, value_name = "SIZES")]
    pub(crate) waves: Option<Waves>,
    /// As of fix
    #[arg(long, value_name = "N")]
    pub(crate) max_failures: Option<usize>,
    /// Output on stdout: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: TextOrJson,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) radius: RadiusArgs,
    #[command(flatten)]
    pub(crate) aws: AwsArgs,
}
