//! Whether a server is quiet: who is connected, which transactions are open, and what was written since a moment.
//!
//! RDS itself is never quiet: `rdsadmin` connects, a heartbeat row is written every five minutes, the log is rotated.
//! All of that is told apart here; see docs/design/0006-quiesce-and-dependents.md.

mod events;

use std::collections::BTreeMap;

use atrest_model::account::Name;
use atrest_model::document::hex;
use serde::{Deserialize, Serialize};

use super::connection::{Connection, NamedRow};
use super::error::MysqlError;
use super::state::{BinlogPosition, binlog_position, client_connections};
use super::{ClientConnection, ConnectionKind};

pub use events::Written;

/// Users that RDS keeps for itself.
pub(super) const RDS_USERS: [&[u8]; 2] = [b"rdsadmin", b"rdsrepladmin"];
/// Most binary log events that one statement returns.
const CHUNK: usize = 5_000;
/// Most binary log events that are read to find out what was written.
const MOST_EVENTS: usize = 200_000;
/// The server has no such table.
const NO_SUCH_TABLE: u16 = 1146;

/// What is going on at a server at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Activity {
    /// Clients, and event workers: whoever may write.
    pub clients: Vec<ClientConnection>,
    /// Readers of the binary log that are not RDS's own: change data capture, replicas outside RDS.
    pub readers: Vec<ClientConnection>,
    /// Open transactions by the id of their connection; 0 for those that have none any more.
    pub transactions: BTreeMap<u64, OpenTransaction>,
    /// XA transactions that are prepared and neither committed nor rolled back; `None` when that may not be read.
    pub prepared: Option<Vec<String>>,
    /// Connections since the server started, by account, where the performance schema counts them. Without RDS's own.
    pub connected: Option<BTreeMap<String, u64>>,
}

/// A transaction of InnoDB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTransaction {
    /// When it began, in the server's words (UTC).
    pub started: String,
    /// `RUNNING`, `LOCK WAIT`, `ROLLING BACK`, `COMMITTING`.
    pub state: String,
}

/// Reads it.
///
/// # Errors
///
/// Any [`MysqlError`] of a statement. What only some servers or logins can be asked is `None` instead.
pub async fn activity(conn: &mut Connection) -> Result<Activity, MysqlError> {
    let own = conn.id().map(u64::from);
    let mut activity = Activity::default();
    for connection in client_connections(conn).await? {
        match connection.kind {
            ConnectionKind::Client | ConnectionKind::Event => activity.clients.push(connection),
            ConnectionKind::Replica if !is_rds(connection.user.as_bytes()) => {
                activity.readers.push(connection);
            }
            ConnectionKind::Replica | ConnectionKind::System | ConnectionKind::Own => {}
        }
    }
    let statement =
        "SELECT trx_mysql_thread_id, trx_started, trx_state FROM information_schema.INNODB_TRX";
    for row in conn.rows(statement).await? {
        let number = row.text(0).and_then(|id| id.parse().ok()).unwrap_or(0);
        if Some(number) != own {
            activity.transactions.insert(
                number,
                OpenTransaction {
                    started: row.text(1).unwrap_or_default(),
                    state: row.text(2).unwrap_or_default(),
                },
            );
        }
    }
    activity.prepared = prepared(conn).await?;
    activity.connected = connected(conn).await?;
    Ok(activity)
}

fn is_rds(user: &[u8]) -> bool {
    RDS_USERS.contains(&user)
}

/// `XA RECOVER`, each as `format:gtrid,bqual` in hexadecimal: what they contain may be binary.
async fn prepared(conn: &mut Connection) -> Result<Option<Vec<String>>, MysqlError> {
    let rows = match conn.rows("XA RECOVER").await {
        Ok(rows) => rows,
        // MySQL 8 wants XA_RECOVER_ADMIN.
        Err(MysqlError::PrivilegeMissing { .. } | MysqlError::Server { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let number = |row: &NamedRow, name| -> usize {
        let text = row.named_text(name);
        text.and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    Ok(Some(
        rows.iter()
            .map(|row| {
                let data = row
                    .position("data")
                    .and_then(|at| row.bytes(at))
                    .unwrap_or_default();
                let split = number(row, "gtrid_length").min(data.len());
                let (gtrid, bqual) = data.split_at(split);
                let format = row.named_text("formatID").unwrap_or_default();
                format!("X'{}',X'{}',{format}", hex(gtrid), hex(bqual))
            })
            .collect(),
    ))
}

/// Connections of every account so far. `None` where the performance schema is off or may not be read.
async fn connected(conn: &mut Connection) -> Result<Option<BTreeMap<String, u64>>, MysqlError> {
    let statement = "SELECT USER, HOST, TOTAL_CONNECTIONS FROM performance_schema.accounts \
                     WHERE USER IS NOT NULL AND @@performance_schema";
    let rows = match conn.rows(statement).await {
        Ok(rows) if rows.is_empty() => return Ok(None),
        Ok(rows) => rows,
        Err(MysqlError::PrivilegeMissing { .. } | MysqlError::Server { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(
        rows.iter()
            .filter(|row| {
                let user = row.bytes(0).unwrap_or_default();
                !is_rds(user) && user != b"event_scheduler"
            })
            .filter_map(|row| {
                let name = |at| Name::from(row.bytes(at).unwrap_or_default());
                let account = format!("{}@{}", name(0), name(1));
                Some((account, row.text(2)?.parse().ok()?))
            })
            .collect(),
    ))
}

/// A moment from which on can be told what was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteMark {
    /// Where the server's own binary log ended; `None` when it writes none.
    pub position: Option<BinlogPosition>,
    /// `Com_*` of everything that writes, and `Innodb_rows_*`, which MariaDB has given up.
    pub counters: BTreeMap<String, u64>,
    /// The value of `mysql.rds_heartbeat2`; `None` where there is none.
    pub heartbeat: Option<String>,
    /// Seconds since the server started: counters begin anew with it.
    pub uptime: u64,
}

/// What counts statements and rows that change something.
const COUNTERS: [&str; 22] = [
    "Innodb_rows_inserted",
    "Innodb_rows_updated",
    "Innodb_rows_deleted",
    "Com_insert",
    "Com_insert_select",
    "Com_update",
    "Com_update_multi",
    "Com_delete",
    "Com_delete_multi",
    "Com_replace",
    "Com_replace_select",
    "Com_load",
    "Com_truncate",
    "Com_create_table",
    "Com_create_db",
    "Com_alter_table",
    "Com_drop_table",
    "Com_drop_db",
    "Com_rename_table",
    "Com_create_user",
    "Com_grant",
    "Com_xa_commit",
];

/// Remembers now.
///
/// # Errors
///
/// Any [`MysqlError`] of a statement; the login needs `REPLICATION CLIENT`.
pub async fn write_mark(conn: &mut Connection) -> Result<WriteMark, MysqlError> {
    let position = binlog_position(conn).await?;
    let names: Vec<String> = COUNTERS.iter().map(|name| format!("'{name}'")).collect();
    let statement = format!(
        "SHOW GLOBAL STATUS WHERE Variable_name IN ('Uptime', {})",
        names.join(", ")
    );
    let mut counters = BTreeMap::new();
    let mut uptime = 0;
    for row in conn.rows(&statement).await? {
        let (Some(name), Some(value)) = (row.text(0), row.text(1).and_then(|v| v.parse().ok()))
        else {
            continue;
        };
        if name.eq_ignore_ascii_case("Uptime") {
            uptime = value;
        } else {
            counters.insert(name, value);
        }
    }
    Ok(WriteMark {
        position,
        counters,
        heartbeat: heartbeat(conn).await?,
        uptime,
    })
}

async fn heartbeat(conn: &mut Connection) -> Result<Option<String>, MysqlError> {
    let statement = "SELECT MAX(value) FROM mysql.rds_heartbeat2";
    match conn.rows(statement).await {
        Ok(rows) => Ok(rows.first().and_then(|row| row.text(0))),
        Err(MysqlError::Server { code, .. }) if code == NO_SUCH_TABLE => Ok(None),
        Err(MysqlError::PrivilegeMissing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What was written since a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writes {
    /// Nothing but what RDS writes itself.
    None {
        /// How that is known.
        shown_by: &'static str,
    },
    /// This, at least.
    Found(Vec<Written>),
    /// It cannot be told.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// Whose writes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// All of them.
    Any,
    /// Those made on this server. On a replica the others come from its source.
    Local,
}

/// Tells what was written since `mark`.
///
/// The binary log is asked first. Where it is off, cannot be read or does not reach back far enough, the counters are:
/// they can show that nothing was written, and, as long as RDS's heartbeat did not move, that something was.
///
/// # Errors
///
/// Any [`MysqlError`] of a statement that every login can run.
pub async fn writes_since(
    conn: &mut Connection,
    mark: &WriteMark,
    origin: Origin,
) -> Result<Writes, MysqlError> {
    let now = write_mark(conn).await?;
    let by_log = match (&mark.position, &now.position) {
        (Some(from), Some(to)) if from == to => {
            return Ok(Writes::None {
                shown_by: "the binary log ends where it did",
            });
        }
        (Some(from), Some(to)) => events_between(conn, from, to, origin).await?,
        (None, None) => Writes::Unknown {
            reason: "it writes no binary log".to_owned(),
        },
        (None, Some(_)) | (Some(_), None) => Writes::Unknown {
            reason: "binary logging was switched meanwhile".to_owned(),
        },
    };
    let Writes::Unknown { reason } = by_log else {
        return Ok(by_log);
    };
    Ok(match by_counters(mark, &now) {
        Writes::Unknown { reason: also } => Writes::Unknown {
            reason: format!("{reason}; {also}"),
        },
        // What a replica applies counts, too.
        Writes::Found(_) if origin == Origin::Local => Writes::Unknown { reason },
        told => told,
    })
}

fn by_counters(mark: &WriteMark, now: &WriteMark) -> Writes {
    if now.uptime < mark.uptime {
        return Writes::Unknown {
            reason: "the server was restarted, and its counters with it".to_owned(),
        };
    }
    let grown: Vec<(&str, u64)> = now
        .counters
        .iter()
        .filter_map(|(name, value)| {
            let before = mark.counters.get(name).copied().unwrap_or(0);
            let by = value.saturating_sub(before);
            (by > 0).then_some((name.as_str(), by))
        })
        .collect();
    if grown.is_empty() {
        return Writes::None {
            shown_by: "no counter of rows or writing statements has moved",
        };
    }
    if mark.heartbeat != now.heartbeat {
        return Writes::Unknown {
            reason: "RDS wrote its heartbeat, which the counters cannot tell from others' writes"
                .to_owned(),
        };
    }
    Writes::Found(
        grown
            .into_iter()
            .map(|(name, by)| Written {
                what: name.to_owned(),
                table: None,
                times: by,
            })
            .collect(),
    )
}

/// Reads the events between two positions of one server.
async fn events_between(
    conn: &mut Connection,
    from: &BinlogPosition,
    to: &BinlogPosition,
    origin: Origin,
) -> Result<Writes, MysqlError> {
    let unknown = |reason: String| Ok(Writes::Unknown { reason });
    let (Some(first), Some(last)) = (from.order(), to.order()) else {
        return unknown(format!(
            "{} or {} is no name of a binary log",
            from.file, to.file
        ));
    };
    if last < first {
        return unknown(format!(
            "the binary log ends at {}:{}, before {}:{}: it was reset",
            to.file, to.position, from.file, from.position
        ));
    }
    let logs = match conn.rows("SHOW BINARY LOGS").await {
        Ok(rows) => rows,
        Err(error @ (MysqlError::PrivilegeMissing { .. } | MysqlError::Server { .. })) => {
            return unknown(format!("its binary logs may not be listed: {error}"));
        }
        Err(error) => return Err(error),
    };
    let wanted: Vec<String> = logs
        .iter()
        .filter_map(|row| row.text(0))
        .filter(|file| {
            let position = BinlogPosition {
                file: file.clone(),
                position: 0,
            };
            position
                .order()
                .is_some_and(|(number, _)| (first.0..=last.0).contains(&number))
        })
        .collect();
    if wanted.first() != Some(&from.file) {
        return unknown(format!("{} is purged", from.file));
    }
    let own = match origin {
        Origin::Any => None,
        Origin::Local => conn
            .rows("SELECT @@server_id")
            .await?
            .first()
            .and_then(|row| row.text(0)),
    };
    let mut reader = events::Reader::new(own);
    let mut read = 0;
    for file in wanted {
        let mut at = if file == from.file { from.position } else { 4 };
        loop {
            let statement = format!(
                "SHOW BINLOG EVENTS IN {} FROM {at} LIMIT {CHUNK}",
                String::from_utf8_lossy(&atrest_model::account::quote_literal(file.as_bytes()))
            );
            let mut events = 0;
            let mut end = at;
            let listed = conn
                .for_each(&statement, |row| {
                    events += 1;
                    if let Some(position) = row.named_text("End_log_pos")
                        && let Ok(position) = position.parse::<u64>()
                    {
                        end = end.max(position);
                    }
                    reader.take(
                        &row.named_text("Event_type").unwrap_or_default(),
                        &row.named_text("Server_id").unwrap_or_default(),
                        &row.named_text("Info").unwrap_or_default(),
                    );
                })
                .await;
            match listed {
                Ok(()) => {}
                Err(error @ (MysqlError::PrivilegeMissing { .. } | MysqlError::Server { .. })) => {
                    return unknown(format!("its binary log may not be read: {error}"));
                }
                Err(error) => return Err(error),
            }
            read += events;
            if events < CHUNK || end <= at || read >= MOST_EVENTS {
                break;
            }
            at = end;
        }
        if read >= MOST_EVENTS {
            break;
        }
    }
    let found = reader.found();
    if !found.is_empty() {
        return Ok(Writes::Found(found));
    }
    if let Some(why) = reader.unclear() {
        return unknown(why);
    }
    if read >= MOST_EVENTS {
        return unknown(format!("more than {MOST_EVENTS} events were written"));
    }
    Ok(Writes::None {
        shown_by: "the binary log has nothing but RDS's own heartbeat and rotations",
    })
}

/// Events of the event scheduler that are enabled, as `schema.name`, when the scheduler runs at all.
///
/// # Errors
///
/// Any [`MysqlError`] of a statement.
pub async fn running_events(conn: &mut Connection) -> Result<Vec<String>, MysqlError> {
    let rows = conn
        .rows(
            "SELECT EVENT_SCHEMA, EVENT_NAME FROM information_schema.EVENTS \
             WHERE STATUS = 'ENABLED' AND @@GLOBAL.event_scheduler = 'ON' ORDER BY 1, 2",
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| {
            let name = |at| Name::from(row.bytes(at).unwrap_or_default());
            format!("{}.{}", name(0), name(1))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(heartbeat: Option<&str>, updated: u64, uptime: u64) -> WriteMark {
        WriteMark {
            position: None,
            counters: [("Innodb_rows_updated".to_owned(), updated)].into(),
            heartbeat: heartbeat.map(str::to_owned),
            uptime,
        }
    }

    #[test]
    fn counters_tell_nothing_over_a_restart_or_a_heartbeat() {
        let before = mark(Some("1"), 5, 100);
        assert!(matches!(
            by_counters(&before, &mark(Some("1"), 5, 130)),
            Writes::None { .. }
        ));
        assert!(matches!(
            by_counters(&before, &mark(Some("2"), 6, 130)),
            Writes::Unknown { .. }
        ));
        assert!(matches!(
            by_counters(&before, &mark(Some("1"), 0, 3)),
            Writes::Unknown { .. }
        ));
        let Writes::Found(found) = by_counters(&before, &mark(Some("1"), 7, 130)) else {
            panic!("a row was updated");
        };
        assert_eq!(found[0].to_string(), "Innodb_rows_updated +2");
    }
}
