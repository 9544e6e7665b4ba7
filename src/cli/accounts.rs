//! `atrest accounts`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{AwsArgs, ConnectArgs};

/// Accounts, roles and grants of MySQL and MariaDB servers.
#[derive(Debug, Clone, Args)]
pub(crate) struct AccountsArgs {
    #[command(subcommand)]
    pub(crate) command: AccountsCommand,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum AccountsCommand {
    /// Show the accounts of a server, or write the statements that make them again
    Export(ExportArgs),
    /// Compare the accounts of two servers
    Diff(AccountsDiffArgs),
    /// Show what is missing on B, and with --execute bring it over from A
    Clone(CloneArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ExportArgs {
    /// DB instance identifier, or mysql://USER@HOST:PORT
    #[arg(value_name = "A")]
    pub(crate) server: String,
    /// Output: text, json, sql; FORMAT=FILE writes a file; may be repeated. sql holds password hashes and wants a file
    #[arg(long, value_name = "FORMAT[=FILE]", default_value = "text")]
    pub(crate) format: Vec<String>,
    /// Replace the file of --format sql=FILE if there is one
    #[arg(long)]
    pub(crate) force: bool,
    /// Let --format sql write password hashes to standard output
    #[arg(long)]
    pub(crate) allow_secrets_on_stdout: bool,
    #[command(flatten)]
    pub(crate) aws: AwsArgs,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// The two servers. What is given for one side counts before what is given for both.
#[derive(Debug, Clone, Args)]
pub(crate) struct SidesArgs {
    /// DB instance identifier, or mysql://USER@HOST:PORT: how it should be
    #[arg(value_name = "A")]
    pub(crate) a: String,
    /// The same for the other server
    #[arg(value_name = "B")]
    pub(crate) b: String,
    /// Master user, where A and B are both URLs: its password is not compared, and it is not made or dropped
    #[arg(long, value_name = "USER")]
    pub(crate) master_user: Option<String>,
    #[command(flatten)]
    pub(crate) aws: AwsArgs,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
    #[command(flatten)]
    pub(crate) only: OneSideArgs,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "MySQL, where the two differ")]
pub(crate) struct OneSideArgs {
    /// File that holds the password for A; also ATREST_MYSQL_PASSWORD_A
    #[arg(long, value_name = "FILE", conflicts_with = "iam_auth")]
    pub(crate) password_file_a: Option<PathBuf>,
    /// File that holds the password for B; also ATREST_MYSQL_PASSWORD_B
    #[arg(long, value_name = "FILE", conflicts_with = "iam_auth")]
    pub(crate) password_file_b: Option<PathBuf>,
    /// Secret for A
    #[arg(long, value_name = "ARN|NAME", conflicts_with_all = ["password_file_a", "iam_auth"])]
    pub(crate) secret_id_a: Option<String>,
    /// Secret for B
    #[arg(long, value_name = "ARN|NAME", conflicts_with_all = ["password_file_b", "iam_auth"])]
    pub(crate) secret_id_b: Option<String>,
    /// Name that A's certificate must be for
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_server_name_a: Option<String>,
    /// Name that B's certificate must be for
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_server_name_b: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AccountsDiffArgs {
    /// Output: text, json; FORMAT=FILE writes a file; may be repeated
    #[arg(long, value_name = "FORMAT[=FILE]", default_value = "text")]
    pub(crate) format: Vec<String>,
    #[command(flatten)]
    pub(crate) sides: SidesArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CloneArgs {
    /// Run the statements; without it they are only shown
    #[arg(long)]
    pub(crate) execute: bool,
    /// Also change what B has otherwise than A, and revoke what only B grants
    #[arg(long)]
    pub(crate) sync: bool,
    /// With --sync, also drop accounts that only B has
    #[arg(long, requires = "sync")]
    pub(crate) drop_extra: bool,
    /// Do not ask before accounts are changed
    #[arg(long)]
    pub(crate) yes: bool,
    /// When B refuses a statement
    #[arg(long, value_name = "WHAT", default_value = "abort")]
    pub(crate) on_grant_error: OnGrantErrorArg,
    /// Leave binlog retention and the other values of mysql.rds_show_configuration as they are
    #[arg(long)]
    pub(crate) no_configuration: bool,
    /// Run the statements although B is a replica that has not caught up
    #[arg(long)]
    pub(crate) ignore_replication_lag: bool,
    /// Write the real statements, with password hashes, to a file that only you can read
    #[arg(long, value_name = "FILE")]
    pub(crate) emit_sql: Option<PathBuf>,
    /// Replace the file of --emit-sql if there is one
    #[arg(long, requires = "emit_sql")]
    pub(crate) force: bool,
    /// Output: text, json; FORMAT=FILE writes a file; may be repeated
    #[arg(long, value_name = "FORMAT[=FILE]", default_value = "text")]
    pub(crate) format: Vec<String>,
    #[command(flatten)]
    pub(crate) sides: SidesArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnGrantErrorArg {
    /// Stop there; what was done stays done
    Abort,
    /// Drop the account again if this run made it, go on with the next
    DropAccount,
    /// Say so and go on
    Report,
}
