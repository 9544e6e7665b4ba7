//! Configuration values that RDS keeps in a table of its own.

use atrest_scanner::mysql::{Connection, MysqlError, show_configuration};

/// An RDS configuration value that did not become what it should.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The server failed.
    #[error("configuration {name:?} cannot be set")]
    Server {
        /// The configuration value.
        name: String,
        /// The error.
        #[source]
        source: MysqlError,
    },
    /// The server has no RDS procedures.
    #[error("the server has no RDS configuration")]
    NotRds,
    /// The procedure ended, and the value is another one than asked for.
    #[error("configuration {name:?} is {actual:?} after it was set to {wanted:?}: {answer}")]
    NotSet {
        /// The configuration value.
        name: String,
        /// What it should be.
        wanted: Option<String>,
        /// What it is.
        actual: Option<String>,
        /// What the procedure answered.
        answer: String,
    },
}

/// Sets a value such as `binlog retention hours` through `mysql.rds_set_configuration`, and reads it back:
/// the procedure reports trouble in a result set, and its end alone is no success.
///
/// # Errors
///
/// Any [`ConfigurationError`].
pub async fn set_configuration(
    conn: &mut Connection,
    name: &str,
    value: Option<&str>,
) -> Result<(), ConfigurationError> {
    let failed = |source| ConfigurationError::Server {
        name: name.to_owned(),
        source,
    };
    let mut call = b"CALL mysql.rds_set_configuration(".to_vec();
    call.extend_from_slice(&atrest_model::account::quote_literal(name.as_bytes()));
    call.extend_from_slice(b", ");
    match value {
        Some(value) => {
            call.extend_from_slice(&atrest_model::account::quote_literal(value.as_bytes()));
        }
        None => call.extend_from_slice(b"NULL"),
    }
    call.push(b')');
    let answer = match conn.call(&call).await {
        Ok(sets) => sets,
        Err(MysqlError::Server { code: 1305, .. }) => return Err(ConfigurationError::NotRds),
        Err(source) => return Err(failed(source)),
    };
    let answer: Vec<String> = answer
        .iter()
        .flatten()
        .filter_map(|row| row.text(0))
        .collect();
    let actual = show_configuration(conn)
        .await
        .map_err(failed)?
        .ok_or(ConfigurationError::NotRds)?;
    let actual = actual.get(name).cloned().flatten();
    if actual.as_deref() == value {
        return Ok(());
    }
    Err(ConfigurationError::NotSet {
        name: name.to_owned(),
        wanted: value.map(str::to_owned),
        actual,
        answer: answer.join("; "),
    })
}
