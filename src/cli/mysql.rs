//! The way to MySQL servers, the same for every verb.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::parse_duration;

/// The way to the MySQL servers behind DB instances. The password comes from ATREST_MYSQL_PASSWORD, a file, Secrets
/// Manager or IAM, never from an argument.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "MySQL")]
pub(crate) struct MysqlArgs {
    /// Whether accounts, rows and client connections are read through MySQL
    #[arg(long, value_name = "ACCESS", default_value = "required")]
    pub(crate) mysql: MysqlMode,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MysqlMode {
    /// Every MySQL-family instance must be reachable
    Required,
    /// Read nothing; reports say what could not be compared
    Off,
}

/// How to connect to a server, and as whom.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "MySQL")]
pub(crate) struct ConnectArgs {
    /// User to log in as, instead of each instance's master user
    #[arg(long, visible_alias = "user", value_name = "USER")]
    pub(crate) mysql_user: Option<String>,
    /// File that holds the password
    #[arg(long, visible_alias = "password-file", value_name = "FILE")]
    pub(crate) mysql_password_file: Option<PathBuf>,
    /// Secret of Secrets Manager that holds user and password as RDS writes them
    #[arg(long, value_name = "ARN|NAME", conflicts_with = "mysql_password_file")]
    pub(crate) secret_id: Option<String>,
    /// Take the password from the secret in which RDS manages each instance's master password; a password that is given
    /// besides is for the instances that have none
    #[arg(long, conflicts_with = "secret_id")]
    pub(crate) master_user_secret: bool,
    /// Log in with a token of IAM database authentication, signed with the AWS credentials; needs TLS
    #[arg(long, conflicts_with_all = ["mysql_password_file", "secret_id", "master_user_secret"])]
    pub(crate) iam_auth: bool,
    /// TLS to the servers; `off` only for loopback addresses
    #[arg(
        long,
        visible_alias = "tls",
        value_name = "TLS",
        default_value = "verify"
    )]
    pub(crate) mysql_tls: TlsMode,
    /// Roots to trust, such as the RDS CA bundle
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Name the server's certificate must be for, where it is reached under another (a tunnel)
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,
    /// Longest wait for a connection to stand: 10s, 500ms
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(crate) connect_timeout: Duration,
    /// Longest wait for the answer to one statement; 60s if not given
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) statement_timeout: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TlsMode {
    /// Encrypted, certificate verified
    Verify,
    /// Plain text; refused for anything but loopback
    Off,
}
