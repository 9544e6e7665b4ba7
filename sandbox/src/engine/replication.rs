//! Replication statements in the words of each server version.

use mysql_async::Row;

use super::install::Flavor;
use super::sql::literal;
use super::{BinlogPosition, ReplicationState};

/// Where a replica reads from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) port: u16,
    pub(super) user: &'a str,
    pub(super) password: &'a str,
    pub(super) position: &'a BinlogPosition,
}

/// MySQL says source and replica since 8.0.23; MariaDB kept the old words for everything used here.
fn new_words(flavor: Flavor) -> bool {
    flavor.mysql_since(8, 0, 23)
}

/// `START SLAVE`, or what it is called there.
pub(super) fn start(flavor: Flavor) -> &'static str {
    if new_words(flavor) {
        "START REPLICA"
    } else {
        "START SLAVE"
    }
}

/// `STOP SLAVE`, or what it is called there.
pub(super) fn stop(flavor: Flavor) -> &'static str {
    if new_words(flavor) {
        "STOP REPLICA"
    } else {
        "STOP SLAVE"
    }
}

/// `RESET SLAVE ALL`, or what it is called there.
pub(super) fn reset(flavor: Flavor) -> &'static str {
    if new_words(flavor) {
        "RESET REPLICA ALL"
    } else {
        "RESET SLAVE ALL"
    }
}

/// `SHOW SLAVE STATUS`, or what it is called there.
pub(super) fn show_status(flavor: Flavor) -> &'static str {
    if new_words(flavor) {
        "SHOW REPLICA STATUS"
    } else {
        "SHOW SLAVE STATUS"
    }
}

/// `SHOW MASTER STATUS`, or what it is called there.
pub(super) fn show_position(flavor: Flavor) -> &'static str {
    if flavor.mysql_since(8, 2, 0) {
        "SHOW BINARY LOG STATUS"
    } else {
        "SHOW MASTER STATUS"
    }
}

/// `CHANGE MASTER TO …`, or what it is called there. With TLS, since the source may have `require_secure_transport`
/// (which 5.6 does not know); the certificate is for the endpoints, not for the address used here. A lost source is looked for each second: a source that
/// restarts here is back within one.
pub(super) fn change_source(flavor: Flavor, source: Source<'_>) -> String {
    let new = new_words(flavor);
    let word = if new { "SOURCE" } else { "MASTER" };
    let mut text = format!(
        "CHANGE {verb} {word}_HOST='127.0.0.1', {word}_PORT={port}, {word}_USER={user}, {word}_PASSWORD={password}, {word}_LOG_FILE={file}, {word}_LOG_POS={offset}, {word}_CONNECT_RETRY=1",
        verb = if new {
            "REPLICATION SOURCE TO"
        } else {
            "MASTER TO"
        },
        port = source.port,
        user = literal(source.user),
        password = literal(source.password),
        file = literal(&source.position.file),
        offset = source.position.offset,
    );
    if flavor.is_mariadb() {
        text.push_str(", MASTER_USE_GTID=no, MASTER_SSL=1");
        if flavor.mariadb_since(11, 3) {
            text.push_str(", MASTER_SSL_VERIFY_SERVER_CERT=0");
        }
    } else if flavor.mysql_since(5, 7, 0) {
        text.push_str(", ");
        text.push_str(word);
        text.push_str("_SSL=1");
    }
    text
}

/// The server's own binary log position from `show_position`; `None` while binary logging is off.
pub(super) fn position(rows: &[Row]) -> Option<BinlogPosition> {
    let row = rows.first()?;
    Some(BinlogPosition {
        file: row.get(0)?,
        offset: row.get(1)?,
    })
}

/// The end of the last binary log but one, from `SHOW BINARY LOGS`: at its start a server begins a new one.
pub(super) fn end_of_previous(rows: &[Row]) -> Option<BinlogPosition> {
    let row = rows.iter().rev().nth(1)?;
    Some(BinlogPosition {
        file: row.get(0)?,
        offset: row.get(1)?,
    })
}

/// How far a replica applied its source's log, from `show_status`.
pub(super) fn applied(rows: &[Row]) -> Option<BinlogPosition> {
    let row = rows.first()?;
    Some(BinlogPosition {
        file: text(row, &["Relay_Source_Log_File", "Relay_Master_Log_File"])?,
        offset: text(row, &["Exec_Source_Log_Pos", "Exec_Master_Log_Pos"])?
            .parse()
            .ok()?,
    })
}

/// The state RDS would report, from `show_status`.
pub(super) fn state(rows: &[Row]) -> ReplicationState {
    let Some(row) = rows.first() else {
        return ReplicationState::Stopped;
    };
    for kind in ["SQL", "IO"] {
        let (number, message) = (
            text(row, &[&format!("Last_{kind}_Errno")]),
            text(row, &[&format!("Last_{kind}_Error")]),
        );
        if let Some(number) = number.filter(|number| number != "0") {
            return ReplicationState::Error(format!(
                "{kind} thread, error {number}: {}",
                message.unwrap_or_default()
            ));
        }
    }
    let (receiver, applier) = threads(row);
    // A receiver that connects, again or for the first time, and had no error yet, is at work.
    if receiver.is_some_and(|state| state != "No") && applier.as_deref() == Some("Yes") {
        ReplicationState::Replicating
    } else {
        ReplicationState::Stopped
    }
}

/// Whether the receiver is connected and the applier runs, from `show_status`.
pub(super) fn connected(rows: &[Row]) -> bool {
    let yes = |state: Option<String>| state.as_deref() == Some("Yes");
    rows.first()
        .map(threads)
        .is_some_and(|(receiver, applier)| yes(receiver) && yes(applier))
}

fn threads(row: &Row) -> (Option<String>, Option<String>) {
    (
        text(row, &["Replica_IO_Running", "Slave_IO_Running"]),
        text(row, &["Replica_SQL_Running", "Slave_SQL_Running"]),
    )
}

/// The first of these columns that the row has, as text.
fn text(row: &Row, names: &[&str]) -> Option<String> {
    let index = row
        .columns_ref()
        .iter()
        .position(|column| names.contains(&column.name_str().as_ref()))?;
    match row.as_ref(index)? {
        mysql_async::Value::NULL => None,
        mysql_async::Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        mysql_async::Value::Int(number) => Some(number.to_string()),
        mysql_async::Value::UInt(number) => Some(number.to_string()),
        other => Some(other.as_sql(true)),
    }
}
