//! What replicating from a server, or into one, has to know. Read only.

use super::connection::Connection;
use super::error::MysqlError;
use super::state::BinlogPosition;

/// What stands in the way of replicating from a server into a copy of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceFacts {
    /// Enabled events as `schema.name`: a copy of the server would run them, too.
    pub events: Vec<String>,
    /// What is left out of the binary log, or out of what is applied, as `binlog_ignore_db=x`.
    pub filters: Vec<String>,
}

/// Columns of `SHOW MASTER STATUS` that filter what is logged.
const LOG_FILTERS: [&str; 2] = ["Binlog_Do_DB", "Binlog_Ignore_DB"];

/// Variables that filter what a copy of the server would apply, where the server shows them as variables (MariaDB).
const APPLY_FILTERS: &str = "SHOW GLOBAL VARIABLES LIKE 'replicate\\_%'";

/// Reads them.
///
/// # Errors
///
/// Any [`MysqlError`] of a statement; the login needs `REPLICATION CLIENT`, and `EVENT` to see events.
pub async fn source_facts(conn: &mut Connection) -> Result<SourceFacts, MysqlError> {
    // Those of schema mysql are RDS's own.
    let events = conn
        .rows(
            "SELECT EVENT_SCHEMA, EVENT_NAME FROM information_schema.EVENTS \
             WHERE STATUS = 'ENABLED' AND EVENT_SCHEMA NOT IN ('mysql', 'sys') ORDER BY 1, 2",
        )
        .await?;
    let events = events
        .iter()
        .map(|row| {
            format!(
                "{}.{}",
                row.text(0).unwrap_or_default(),
                row.text(1).unwrap_or_default()
            )
        })
        .collect();
    let status = if conn.version().is_mysql_from(8, 2, 0) {
        "SHOW BINARY LOG STATUS"
    } else {
        "SHOW MASTER STATUS"
    };
    let mut filters = Vec::new();
    for row in &conn.rows(status).await? {
        for name in LOG_FILTERS {
            if let Some(value) = row.named_text(name).filter(|value| !value.is_empty()) {
                filters.push(format!("{}={value}", name.to_ascii_lowercase()));
            }
        }
    }
    for row in &conn.rows(APPLY_FILTERS).await? {
        let (name, value) = (
            row.text(0).unwrap_or_default(),
            row.text(1).unwrap_or_default(),
        );
        let says = name.contains("_do_") || name.contains("_ignore_") || name.contains("_wild_");
        if says && !of_rds_alone(&value) {
            filters.push(format!("{name}={value}"));
        }
    }
    Ok(SourceFacts { events, filters })
}

/// RDS itself leaves its own tables out on replicas.
fn of_rds_alone(value: &str) -> bool {
    value.split(',').map(str::trim).all(|item| {
        item.is_empty() || item.starts_with("mysql.") || item.starts_with("innodb_memcache.")
    })
}

/// Binary logs of a server with their sizes, oldest first; what is not purged yet.
///
/// # Errors
///
/// Any [`MysqlError`] of a statement; the login needs `REPLICATION CLIENT`.
pub async fn binary_logs(conn: &mut Connection) -> Result<Vec<BinlogPosition>, MysqlError> {
    let rows = conn.rows("SHOW BINARY LOGS").await?;
    Ok(rows
        .iter()
        .filter_map(|row| {
            Some(BinlogPosition {
                file: row.named_text("Log_name")?,
                position: row.named_text("File_size")?.parse().ok()?,
            })
        })
        .collect())
}

/// Bytes of binary log between two positions; `None` when a file between them is not listed any more.
#[must_use]
pub fn bytes_between(
    logs: &[BinlogPosition],
    from: &BinlogPosition,
    to: &BinlogPosition,
) -> Option<u64> {
    let (first, start) = from.order()?;
    let (last, end) = to.order()?;
    if (first, start) >= (last, end) {
        return Some(0);
    }
    if first == last {
        return end.checked_sub(start);
    }
    let sizes: Vec<(u64, u64)> = logs.iter().filter_map(BinlogPosition::order).collect();
    let of = |number: u64| {
        sizes
            .iter()
            .find(|(n, _)| *n == number)
            .map(|(_, size)| *size)
    };
    let mut bytes = of(first)?.saturating_sub(start);
    for number in first + 1..last {
        bytes += of(number)?;
    }
    Some(bytes + end)
}

/// MariaDB: the GTID at which a position of this server's own binary log stands, for a replica that is to begin there.
///
/// `None` when the server does not have the position, or has no such function.
///
/// # Errors
///
/// Any [`MysqlError`] of a statement.
pub async fn gtid_at(
    conn: &mut Connection,
    position: &BinlogPosition,
) -> Result<Option<String>, MysqlError> {
    if !conn.version().is_mariadb() {
        return Ok(None);
    }
    let file = atrest_model::account::quote_literal(position.file.as_bytes());
    let statement = format!(
        "SELECT BINLOG_GTID_POS({}, {})",
        String::from_utf8_lossy(&file),
        position.position
    );
    let rows = conn.rows(&statement).await?;
    Ok(rows.first().and_then(|row| row.text(0)))
}

/// MariaDB: `@@gtid_slave_pos`, how far this server has applied its source's log, committed with the data. `None` elsewhere.
///
/// # Errors
///
/// Any [`MysqlError`] of a statement.
pub async fn gtid_applied(conn: &mut Connection) -> Result<Option<String>, MysqlError> {
    if !conn.version().is_mariadb() {
        return Ok(None);
    }
    let rows = conn.rows("SELECT @@GLOBAL.gtid_slave_pos").await?;
    Ok(rows.first().and_then(|row| row.text(0)))
}

/// Whether MySQL names its transactions (`gtid_mode = ON`). `false` on MariaDB, which always does and has no such mode.
///
/// # Errors
///
/// Any [`MysqlError`] of a statement.
pub async fn gtid_mode_is_on(conn: &mut Connection) -> Result<bool, MysqlError> {
    let rows = conn
        .rows("SHOW GLOBAL VARIABLES LIKE 'gtid\\_mode'")
        .await?;
    Ok(rows.first().and_then(|row| row.text(1)).as_deref() == Some("ON"))
}

/// Whether an account at host `%` exists that may read the binary log.
///
/// # Errors
///
/// Any [`MysqlError`] of a statement; the login needs to read `mysql.user`.
pub async fn replication_account_exists(
    conn: &mut Connection,
    user: &str,
) -> Result<bool, MysqlError> {
    let user = atrest_model::account::quote_literal(user.as_bytes());
    let statement = format!(
        "SELECT 1 FROM mysql.user WHERE user = {} AND host = '%' AND Repl_slave_priv = 'Y'",
        String::from_utf8_lossy(&user)
    );
    Ok(!conn.rows(&statement).await?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(file: &str, position: u64) -> BinlogPosition {
        BinlogPosition {
            file: file.to_owned(),
            position,
        }
    }

    #[test]
    fn bytes_are_counted_across_files_by_number_and_not_by_text() {
        let logs = [at("bin.9", 1_000), at("bin.10", 2_000), at("bin.11", 700)];
        assert_eq!(
            bytes_between(&logs, &at("bin.9", 400), &at("bin.11", 500)),
            Some(600 + 2_000 + 500)
        );
        assert_eq!(
            bytes_between(&logs, &at("bin.10", 5), &at("bin.10", 25)),
            Some(20)
        );
        assert_eq!(
            bytes_between(&logs, &at("bin.11", 9), &at("bin.10", 25)),
            Some(0)
        );
    }

    #[test]
    fn a_purged_file_between_leaves_the_distance_unknown() {
        let logs = [at("bin.11", 700)];
        assert_eq!(
            bytes_between(&logs, &at("bin.9", 400), &at("bin.11", 500)),
            None
        );
    }

    #[test]
    fn what_rds_leaves_out_itself_is_no_filter() {
        assert!(of_rds_alone(
            "mysql.plugin,mysql.rds_monitor,innodb_memcache.config_options"
        ));
        assert!(of_rds_alone(""));
        assert!(!of_rds_alone("mysql.plugin,shop.%"));
    }
}
