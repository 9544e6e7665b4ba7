//! What a server is doing: client connections, binary log, replication, variables, RDS configuration.

use std::collections::BTreeMap;

use atrest_model::account::Name;
use serde::{Deserialize, Serialize};

use super::connection::{Connection, NamedRow};
use super::error::MysqlError;

/// `mysql.rds_show_configuration`: name → value, `None` for NULL.
///
/// `Ok(None)` when the server has no such procedure, that is, when it is not RDS.
///
/// # Errors
///
/// Any other [`MysqlError`], a missing `EXECUTE` privilege among them.
pub async fn show_configuration(
    conn: &mut Connection,
) -> Result<Option<BTreeMap<String, Option<String>>>, MysqlError> {
    let sets = match conn.call(b"CALL mysql.rds_show_configuration").await {
        Ok(sets) => sets,
        // 1305: no such procedure.
        Err(MysqlError::Server { code: 1305, .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut configuration = BTreeMap::new();
    for row in sets.iter().flatten() {
        if let Some(name) = row.named_text("name") {
            configuration.insert(name, row.named_text("value"));
        }
    }
    Ok(Some(configuration))
}

/// One connection in the process list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConnection {
    /// The server's id of the connection.
    pub id: u64,
    /// User name.
    pub user: Name,
    /// Client address, with or without port, as the server shows it.
    pub host: Name,
    /// Default database.
    pub database: Option<Name>,
    /// `Query`, `Sleep`, `Binlog Dump`, …
    pub command: String,
    /// Seconds in this state.
    pub time: Option<i64>,
    /// First words of the statement that runs, such as `UPDATE`. Never more: statements have literals.
    pub statement: Option<String>,
    /// Whose connection it is.
    pub kind: ConnectionKind,
}

impl std::fmt::Display for ClientConnection {
    /// `app@10.0.0.7:5123, Query for 12 s (UPDATE)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}, {}", self.user, self.host, self.command)?;
        if let Some(seconds) = self.time {
            write!(f, " for {seconds} s")?;
        }
        match &self.statement {
            Some(kind) => write!(f, " ({kind})"),
            None => Ok(()),
        }
    }
}

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConnectionKind {
    /// A client's: someone still uses the server.
    Client,
    /// A worker of the event scheduler: the server runs an event inside itself, as the event's definer.
    Event,
    /// A replica that reads the binary log.
    Replica,
    /// Replication threads, the event scheduler and other threads of the server itself.
    System,
    /// The one this was asked through.
    Own,
}

/// The process list without RDS's own `rdsadmin`. Without the `PROCESS` privilege a server shows only the
/// connections of the asking user.
///
/// # Errors
///
/// Any [`MysqlError`] of a statement.
pub async fn client_connections(
    conn: &mut Connection,
) -> Result<Vec<ClientConnection>, MysqlError> {
    let own = conn.id().map(u64::from);
    let statement = "SELECT ID, USER, HOST, DB, COMMAND, TIME, LEFT(INFO, 256) FROM information_schema.PROCESSLIST ORDER BY ID";
    let rows = conn.rows(statement).await?;
    let connections = rows.iter().map(|row| {
        let id = row
            .text(0)
            .and_then(|id| id.parse().ok())
            .unwrap_or_default();
        let user = row.bytes(1).unwrap_or_default();
        let command = row.text(4).unwrap_or_default();
        let kind = if Some(id) == own {
            ConnectionKind::Own
        } else if command.starts_with("Binlog Dump") {
            ConnectionKind::Replica
        } else if user == b"unauthenticated user" {
            // Somebody is logging in; who it is the next look shows. RDS itself does that all the time.
            ConnectionKind::System
        } else if matches!(user, b"system user" | b"event_scheduler" | b"rdsrepladmin")
            || matches!(
                command.as_str(),
                "Daemon" | "Connect" | "Slave_IO" | "Slave_SQL" | "Slave_worker"
            ) && row.bytes(2).unwrap_or_default().is_empty()
        {
            ConnectionKind::System
        } else if command == "Connect" && row.bytes(2) == Some(b"localhost") {
            // A client has a port behind its host, and nobody but RDS logs in on the server itself.
            ConnectionKind::Event
        } else {
            ConnectionKind::Client
        };
        ClientConnection {
            id,
            user: user.into(),
            host: row.bytes(2).unwrap_or_default().into(),
            database: row.bytes(3).map(Name::from),
            command,
            time: row.text(5).and_then(|time| time.parse().ok()),
            statement: row.text(6).as_deref().and_then(statement_kind),
            kind,
        }
    });
    Ok(connections
        .filter(|connection| connection.user.as_bytes() != b"rdsadmin")
        .collect())
}

/// The first word of a statement, in upper case, without comments before it; two words where one says little. `None`
/// when it begins with something else than a word.
pub(super) fn statement_kind(statement: &str) -> Option<String> {
    let mut rest = statement.trim_start();
    loop {
        let end = match rest {
            // A comment that the server executes is part of the statement.
            _ if rest.starts_with("/*!") => {
                rest = rest
                    .trim_start_matches(['/', '*', '!', 'M'])
                    .trim_start_matches(|c: char| c.is_ascii_digit());
                rest = rest.trim_start();
                continue;
            }
            _ if rest.starts_with("/*") => rest.find("*/").map(|at| at + 2),
            _ if rest.starts_with('#') || rest.starts_with("-- ") => {
                rest.find('\n').map(|at| at + 1)
            }
            _ => break,
        };
        rest = rest.get(end?..)?.trim_start();
    }
    let mut words = rest
        .trim_start_matches('(')
        .split(|c: char| !c.is_ascii_alphabetic() && c != '_')
        .map(str::to_ascii_uppercase);
    let first = words.next().filter(|word| !word.is_empty())?;
    Some(match first.as_str() {
        "ALTER" | "CREATE" | "DROP" | "LOAD" | "XA" | "RENAME" => {
            match words.next().filter(|word| !word.is_empty()) {
                Some(second) => format!("{first} {second}"),
                None => first,
            }
        }
        _ => first,
    })
}

/// A position in a binary log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinlogPosition {
    /// File name, such as `mysql-bin-changelog.000123`. Ordered by its numeric suffix, not as text.
    pub file: String,
    /// Byte offset.
    pub position: u64,
}

impl BinlogPosition {
    /// The number the file name ends in, and the offset: what positions of one server are ordered by.
    pub fn order(&self) -> Option<(u64, u64)> {
        let (_, suffix) = self.file.rsplit_once('.')?;
        Some((suffix.parse().ok()?, self.position))
    }
}

/// Where the server's own binary log ends. `None` when it writes none.
///
/// # Errors
///
/// Any [`MysqlError`] of a statement; the login needs `REPLICATION CLIENT`.
pub async fn binlog_position(conn: &mut Connection) -> Result<Option<BinlogPosition>, MysqlError> {
    // The old words left with 8.4, the new ones came with 8.2.
    let statement = if conn.version().is_mysql_from(8, 2, 0) {
        "SHOW BINARY LOG STATUS"
    } else {
        "SHOW MASTER STATUS"
    };
    let rows = conn.rows(statement).await?;
    Ok(rows.first().and_then(|row| {
        Some(BinlogPosition {
            file: row.named_text("File")?,
            position: row.named_text("Position")?.parse().ok()?,
        })
    }))
}

/// Transactions in the server's own binary log, as a set of global ids: it stays the same over a restart, unlike a
/// position. `None` when the server writes no log or gives its transactions no ids.
///
/// # Errors
///
/// Any [`MysqlError`] of a statement.
pub async fn gtid_set(conn: &mut Connection) -> Result<Option<String>, MysqlError> {
    let statement = if conn.version().is_mariadb() {
        "SELECT @@GLOBAL.gtid_binlog_pos"
    } else {
        "SELECT IF(@@GLOBAL.gtid_mode = 'ON' AND @@GLOBAL.log_bin, @@GLOBAL.gtid_executed, '')"
    };
    let rows = conn.rows(statement).await?;
    let set = rows.first().and_then(|row| row.text(0));
    Ok(set.filter(|set| !set.is_empty()))
}

/// What a replica says about one replication channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationStatus {
    /// Channel or, on MariaDB, connection name; empty for the default.
    pub channel: String,
    /// Address of the source.
    pub source_host: String,
    /// Port of the source.
    pub source_port: Option<u16>,
    /// Whether the thread that fetches the binary log runs: `Yes`, `No`, `Connecting`.
    pub io_running: String,
    /// Whether the thread that applies it runs.
    pub sql_running: bool,
    /// Seconds behind the source; `None` while it is not known, which is not the same as 0.
    pub seconds_behind_source: Option<u64>,
    /// How far the source's log has been applied. Not how far it has been fetched.
    pub applied: Option<BinlogPosition>,
    /// How far the source's log has been fetched.
    pub fetched: Option<BinlogPosition>,
    /// Code and text of the error that stopped fetching.
    pub io_error: Option<(u32, String)>,
    /// Code and text of the error that stopped applying.
    pub sql_error: Option<(u32, String)>,
}

/// Replication as seen by a replica, one entry per channel; empty when the server replicates from nowhere.
///
/// # Errors
///
/// Any [`MysqlError`] of a statement. Where the statement needs a privilege RDS gives to no one (MariaDB from
/// 10.5: `SLAVE MONITOR`), RDS's procedure is asked instead.
pub async fn replication_status(
    conn: &mut Connection,
) -> Result<Vec<ReplicationStatus>, MysqlError> {
    let version = conn.version();
    let statement = if version.has_replica_statements() {
        "SHOW REPLICA STATUS"
    } else if version.is_mariadb() {
        "SHOW ALL SLAVES STATUS"
    } else {
        "SHOW SLAVE STATUS"
    };
    let rows = match conn.rows(statement).await {
        Ok(rows) => rows,
        Err(refused @ MysqlError::PrivilegeMissing { .. }) => {
            match conn.call(b"CALL mysql.rds_replica_status").await {
                Ok(sets) => sets.into_iter().flatten().collect(),
                // No such procedure: the first answer is the one that helps.
                Err(MysqlError::Server { code: 1305, .. }) => return Err(refused),
                Err(error) => return Err(error),
            }
        }
        Err(error) => return Err(error),
    };
    Ok(rows.iter().map(status).collect())
}

/// Reads a row in the old or the new words.
fn status(row: &NamedRow) -> ReplicationStatus {
    let text = |names: &[&str]| names.iter().find_map(|name| row.named_text(name));
    let position = |file: &[&str], position: &[&str]| {
        let file = text(file).filter(|file| !file.is_empty())?;
        Some(BinlogPosition {
            file,
            position: text(position)?.parse().ok()?,
        })
    };
    let error = |code: &str, message: &str| {
        let code = row
            .named_text(code)?
            .parse()
            .ok()
            .filter(|&code| code != 0)?;
        Some((code, row.named_text(message).unwrap_or_default()))
    };
    ReplicationStatus {
        channel: text(&["Channel_Name", "Connection_name"]).unwrap_or_default(),
        source_host: text(&["Source_Host", "Master_Host"]).unwrap_or_default(),
        source_port: text(&["Source_Port", "Master_Port"]).and_then(|port| port.parse().ok()),
        io_running: text(&["Replica_IO_Running", "Slave_IO_Running"]).unwrap_or_default(),
        sql_running: text(&["Replica_SQL_Running", "Slave_SQL_Running"]).as_deref() == Some("Yes"),
        seconds_behind_source: text(&["Seconds_Behind_Source", "Seconds_Behind_Master"])
            .and_then(|n| n.parse().ok()),
        applied: position(
            &["Relay_Source_Log_File", "Relay_Master_Log_File"],
            &["Exec_Source_Log_Pos", "Exec_Master_Log_Pos"],
        ),
        fetched: position(
            &["Source_Log_File", "Master_Log_File"],
            &["Read_Source_Log_Pos", "Read_Master_Log_Pos"],
        ),
        io_error: error("Last_IO_Errno", "Last_IO_Error"),
        sql_error: error("Last_SQL_Errno", "Last_SQL_Error"),
    }
}

/// Seconds since the server started.
///
/// # Errors
///
/// Any [`MysqlError`] of a statement.
pub async fn uptime(conn: &mut Connection) -> Result<u64, MysqlError> {
    let rows = conn.rows("SHOW GLOBAL STATUS LIKE 'Uptime'").await?;
    let seconds = rows
        .first()
        .and_then(|row| row.text(1))
        .and_then(|text| text.parse().ok());
    seconds.ok_or_else(|| MysqlError::Unexpected {
        endpoint: conn.endpoint().to_owned(),
        what: "no number for the status variable Uptime".to_owned(),
    })
}

/// All global system variables, names in lower case.
///
/// # Errors
///
/// Any [`MysqlError`] of a statement.
pub async fn variables(conn: &mut Connection) -> Result<BTreeMap<String, String>, MysqlError> {
    let rows = conn.rows("SHOW GLOBAL VARIABLES").await?;
    let pairs = rows.iter().map(|row| {
        (
            row.text(0).unwrap_or_default().to_ascii_lowercase(),
            row.text(1).unwrap_or_default(),
        )
    });
    Ok(pairs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_known_by_its_first_word_and_nothing_of_its_text() {
        for (statement, kind) in [
            ("update customer set iban = 'DE00'", Some("UPDATE")),
            ("/* app:billing 'x' */ SELECT 'secret'", Some("SELECT")),
            ("-- note\n  insert into t values (1)", Some("INSERT")),
            ("(SELECT 1) UNION (SELECT 2)", Some("SELECT")),
            ("/*!50003 CREATE TRIGGER t", Some("CREATE TRIGGER")),
            ("create user 'x'@'y' identified by 'z'", Some("CREATE USER")),
            ("XA START 'gtrid'", Some("XA START")),
            ("xa 'gtrid'", Some("XA")),
            ("/* cut off", None),
            ("'literal'", None),
            ("", None),
        ] {
            assert_eq!(statement_kind(statement).as_deref(), kind, "{statement}");
        }
    }
}
