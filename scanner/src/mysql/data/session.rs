//! A connection that is made again when it is lost, with a deadline that the server keeps too.

use std::time::Duration;

use super::super::connection::{Connection, NamedRow, connect};
use super::super::error::MysqlError;
use super::Login;
use crate::access::AccessError;

/// How much longer than the server this side waits before it takes the server for hung.
const GRACE: Duration = Duration::from_secs(5);

/// Longest wait for a metadata lock, in seconds. Whoever waits behind an `ALTER TABLE` makes others wait behind it.
const LOCK_WAIT: u64 = 10;

/// Why a statement gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It took longer than it may; the server has given it up or has not answered at all.
    Deadline(String),
    /// The table, or something of it, is not there any more.
    Changed(String),
    /// The connection was lost; the next statement makes a new one.
    Lost(String),
    /// Anything else: the same statement will fail again.
    Other(String),
}

impl Failure {
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Deadline(reason)
            | Self::Changed(reason)
            | Self::Lost(reason)
            | Self::Other(reason) => reason,
        }
    }
}

impl From<MysqlError> for Failure {
    fn from(error: MysqlError) -> Self {
        let kind: fn(String) -> Self = match &error {
            // MySQL's max_execution_time, MariaDB's max_statement_time, KILL QUERY, the wait for a lock.
            MysqlError::Server {
                code: 3024 | 1969 | 1317 | 1205,
                ..
            }
            | MysqlError::Timeout { .. } => Self::Deadline,
            // No such schema, table, column or index; a table whose definition has just changed.
            MysqlError::Server {
                code: 1049 | 1051 | 1054 | 1146 | 1176 | 1412 | 1615,
                ..
            } => Self::Changed,
            MysqlError::Unreachable { .. } | MysqlError::Closed { .. } => Self::Lost,
            // Too many connections, server shutting down, deadlock.
            MysqlError::Server {
                code: 1040 | 1053 | 1213,
                ..
            } => Self::Lost,
            _ => Self::Other,
        };
        kind(AccessError::from(error).to_string())
    }
}

/// One of the two servers, for statements one after the other.
pub(super) struct Session<'a> {
    login: &'a dyn Login,
    conn: Option<Connection>,
    /// The deadline the server was last told.
    told: Option<Duration>,
}

impl<'a> Session<'a> {
    pub(super) fn new(login: &'a dyn Login) -> Self {
        Self {
            login,
            conn: None,
            told: None,
        }
    }

    /// All rows of a read. The server ends it after `limit` where it can (MySQL from 5.7.8, MariaDB); where it cannot, the
    /// statement is killed.
    pub(super) async fn rows(
        &mut self,
        statement: &str,
        limit: Duration,
    ) -> Result<Vec<NamedRow>, Failure> {
        let conn = self.ready(limit).await?;
        let (id, limited) = (conn.id(), server_limit(conn, limit).is_some());
        let answer = conn.rows(statement).await;
        if let Err(error) = &answer {
            if matches!(error, MysqlError::Timeout { .. }) && !limited {
                self.kill(id).await;
            }
            if error.is_transient() {
                self.conn = None;
            }
        }
        Ok(answer?)
    }

    /// The connection, made if there is none, with its deadlines set.
    pub(super) async fn ready(&mut self, limit: Duration) -> Result<&mut Connection, Failure> {
        if self.conn.as_ref().is_none_or(Connection::is_closed) {
            let mut target = self.login.target().await.map_err(refused)?;
            target.statement_timeout = GRACE + GRACE;
            let mut conn = connect(&target).await?;
            conn.execute(format!("SET SESSION lock_wait_timeout = {LOCK_WAIT}").as_bytes())
                .await?;
            self.told = None;
            self.conn = Some(conn);
        }
        let told = self.told;
        let conn = self
            .conn
            .as_mut()
            .ok_or_else(|| Failure::Lost("no connection".to_owned()))?;
        if told != Some(limit) {
            if let Some(statement) = server_limit(conn, limit) {
                conn.set_statement_timeout(GRACE + GRACE);
                conn.execute(statement.as_bytes()).await?;
            }
            self.told = Some(limit);
        }
        conn.set_statement_timeout(limit + GRACE);
        Ok(conn)
    }

    /// Ends what the server still does for a connection that was given up. Best effort: a server that hangs does not
    /// listen.
    async fn kill(&self, id: Option<u32>) {
        let Some(id) = id else { return };
        let Ok(mut target) = self.login.target().await else {
            return;
        };
        (target.connect_timeout, target.statement_timeout) = (GRACE, GRACE);
        if let Ok(mut conn) = connect(&target).await {
            // It may have ended by itself: no such thread is no trouble.
            drop(conn.execute(format!("KILL {id}").as_bytes()).await);
            conn.close().await;
        }
    }

    pub(super) async fn close(self) {
        if let Some(conn) = self.conn {
            conn.close().await;
        }
    }
}

/// No login: a secret or a token that cannot be had now may be had later.
fn refused(error: AccessError) -> Failure {
    if error.is_transient() {
        Failure::Lost(error.to_string())
    } else {
        Failure::Other(error.to_string())
    }
}

/// The statement that tells the server the deadline.
fn server_limit(conn: &Connection, limit: Duration) -> Option<String> {
    let version = conn.version();
    if version.is_mariadb() {
        Some(format!(
            "SET SESSION max_statement_time = {:.3}",
            limit.as_secs_f64()
        ))
    } else if version.is_mysql_from(5, 7, 8) {
        Some(format!(
            "SET SESSION max_execution_time = {}",
            limit.as_millis()
        ))
    } else {
        None
    }
}
