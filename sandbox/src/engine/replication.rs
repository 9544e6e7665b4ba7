//! Replication statements in the words of each server version.

use mysql_async::Row;

use super::ReplicationState;
use super::install::Flavor;
use super::sql::literal;

/// Where a replica reads from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) port: u16,
    pub(super) user: &'a str,
    pub(super) password: &'a str,
    pub(super) position: &'a Position,
}

/// A place in a source's binary log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) file: String,
    pub(super) offset: u64,
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

/// `CHANGE MASTER TO …`, or what it is called there. A lost source is looked for each second: a source that
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
        text.push_str(", MASTER_USE_GTID=no, MASTER_SSL=0");
        if flavor.mariadb_since(11, 3) {
            text.push_str(", MASTER_SSL_VERIFY_SERVER_CERT=0");
        }
    } else if new {
        // caching_sha2_password without TLS.
        text.push_str(", GET_SOURCE_PUBLIC_KEY=1");
    }
    text
}

/// The server's own binary log position from `show_position`; `None` while binary logging is off.
pub(super) fn position(rows: &[Row]) -> Option<Position> {
    let row = rows.first()?;
    Some(Position {
        file: row.get(0)?,
        offset: row.get(1)?,
    })
}

/// How far a replica applied its source's log, from `show_status`.
pub(super) fn applied(rows: &[Row]) -> Option<Position> {
    let row = rows.first()?;
    Some(Position {
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
    let receives = text(row, &["Replica_IO_Running", "Slave_IO_Running"])
        .is_some_and(|running| running != "No");
    let applies = text(row, &["Replica_SQL_Running", "Slave_SQL_Running"])
        .is_some_and(|running| running == "Yes");
    if receives && applies {
        ReplicationState::Replicating
    } else {
        ReplicationState::Stopped
    }
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
