//! From a DB instance to a connection to its MySQL server.

use std::time::Duration;

use atrest_model::instance::DbInstance;
use secrecy::SecretString;

use crate::mysql::{self, Connection, MysqlError, Target};

pub use crate::mysql::Tls;

/// Longest wait for one statement that counts or checksums a table.
const DATA_STATEMENT: Duration = Duration::from_secs(4 * 3600);

/// How to log in to the servers of a fleet.
#[derive(Debug, Clone)]
pub struct MysqlAuth {
    /// User; `None` means each instance's `MasterUsername`.
    pub user: Option<String>,
    /// Password.
    pub password: SecretString,
    /// How connections are protected.
    pub tls: Tls,
}

/// An instance whose server could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The instance has no endpoint yet.
    #[error("{0} has no endpoint yet")]
    NoEndpoint(String),
    /// The server, or the way to it.
    #[error("{}", with_cause(.0))]
    Mysql(#[from] MysqlError),
}

impl AccessError {
    /// Whether the same call may work later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoEndpoint(_) => true,
            Self::Mysql(error) => error.is_transient(),
        }
    }

    /// What a person can do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoEndpoint(_) => "wait until the instance is available",
            Self::Mysql(error) => error
                .hint()
                .unwrap_or("the message above is the server's own"),
        }
    }
}

/// The error and its causes in one line.
fn with_cause(error: &MysqlError) -> String {
    use std::error::Error as _;
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Connects to the server behind an instance.
///
/// # Errors
///
/// No endpoint, or any error of [`mysql::connect`].
pub async fn open(instance: &DbInstance, auth: &MysqlAuth) -> Result<Connection, AccessError> {
    Ok(mysql::connect(&target(instance, auth)?).await?)
}

/// As [`open`], with hours for one statement: counting a large table is one.
///
/// # Errors
///
/// As [`open`].
pub async fn open_for_data(
    instance: &DbInstance,
    auth: &MysqlAuth,
) -> Result<Connection, AccessError> {
    let mut target = target(instance, auth)?;
    target.statement_timeout = DATA_STATEMENT;
    Ok(mysql::connect(&target).await?)
}

fn target(instance: &DbInstance, auth: &MysqlAuth) -> Result<Target, AccessError> {
    let (host, port) = instance
        .endpoint()
        .ok_or_else(|| AccessError::NoEndpoint(instance.identifier().to_owned()))?;
    let user = auth
        .user
        .clone()
        .unwrap_or_else(|| instance.master_username().to_owned());
    let mut target = Target::new(host, port, user, auth.password.clone());
    target.tls = auth.tls.clone();
    Ok(target)
}

/// Connects and leaves again.
///
/// # Errors
///
/// As [`open`].
pub async fn check_login(instance: &DbInstance, auth: &MysqlAuth) -> Result<(), AccessError> {
    open(instance, auth).await?.close().await;
    Ok(())
}
