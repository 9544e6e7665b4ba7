//! What the lines of `SHOW BINLOG EVENTS` say was written, and whether RDS wrote it itself.
//!
//! The text of a statement never leaves this module: it has literals.

use std::collections::BTreeMap;

use super::super::statement_kind;

/// Something that was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Written {
    /// Kind of statement or of row event, or the name of a counter.
    pub what: String,
    /// `schema.table`, where the log names it.
    pub table: Option<String>,
    /// How often.
    pub times: u64,
}

impl std::fmt::Display for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.table {
            Some(table) => write!(f, "{} of {table}, {} times", self.what, self.times),
            None if self.what.contains('_') => write!(f, "{} +{}", self.what, self.times),
            None => write!(f, "{}, {} times", self.what, self.times),
        }
    }
}

/// Reads events in their order.
pub(super) struct Reader {
    /// Only events of this server count.
    server: Option<String>,
    /// Tables of the transaction at hand by their id in the log.
    tables: BTreeMap<String, String>,
    found: BTreeMap<(String, Option<String>), u64>,
    unclear: Option<String>,
}

impl Reader {
    pub(super) fn new(server: Option<String>) -> Self {
        Self {
            server,
            tables: BTreeMap::new(),
            found: BTreeMap::new(),
            unclear: None,
        }
    }

    /// Takes the next line.
    pub(super) fn take(&mut self, kind: &str, server: &str, info: &str) {
        if self.server.as_deref().is_some_and(|own| own != server) {
            return;
        }
        match kind {
            "Query" => self.query(info),
            "Table_map" => {
                if let Some((id, table)) = mapped(info) {
                    self.tables.insert(id, table);
                }
            }
            _ if is_bookkeeping(kind) => {}
            _ => match rows(kind) {
                Some(what) => self.rows(what, info),
                None if kind.ends_with("compressed") || kind == "Transaction_payload" => {
                    self.unclear = Some(format!("the binary log has events of type {kind}"));
                }
                None => self.add(kind, None),
            },
        }
    }

    fn add(&mut self, what: &str, table: Option<&str>) {
        let key = (what.to_owned(), table.map(str::to_owned));
        *self.found.entry(key).or_default() += 1;
    }

    fn rows(&mut self, what: &str, info: &str) {
        let table = table_id(info).and_then(|id| self.tables.get(id)).cloned();
        match table {
            Some(table) if is_rds_table(&table) => {}
            table => self.add(what, table.as_deref()),
        }
    }

    fn query(&mut self, info: &str) {
        let (schema, statement) = split_use(info);
        let kind = statement_kind(statement).unwrap_or_else(|| "a statement".to_owned());
        if matches!(
            kind.as_str(),
            "BEGIN" | "COMMIT" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" | "START"
        ) {
            return;
        }
        if of_rds(schema, statement, &kind) {
            return;
        }
        self.add(&kind, None);
    }

    /// What was written by others than RDS, most often first.
    pub(super) fn found(&self) -> Vec<Written> {
        let mut found: Vec<Written> = self
            .found
            .iter()
            .map(|((what, table), times)| Written {
                what: what.clone(),
                table: table.clone(),
                times: *times,
            })
            .collect();
        found.sort_by(|a, b| b.times.cmp(&a.times).then_with(|| a.cmp(b)));
        found
    }

    /// Why nothing can be said although nothing was found.
    pub(super) fn unclear(&self) -> Option<String> {
        self.unclear.clone()
    }
}

/// Events that change no data themselves.
fn is_bookkeeping(kind: &str) -> bool {
    matches!(
        kind,
        "Format_desc"
            | "Previous_gtids"
            | "Gtid"
            | "Gtid_list"
            | "Anonymous_Gtid"
            | "Gtid_tagged"
            | "Binlog_checkpoint"
            | "Rotate"
            | "Stop"
            | "Xid"
            | "Heartbeat"
            | "Heartbeat_log"
            | "Start_encryption"
            | "Ignorable"
            // The context of the statement or of the rows that follow.
            | "Intvar"
            | "RAND"
            | "Rand"
            | "User var"
            | "User_var"
            | "Annotate_rows"
            | "Rows_query"
    )
}

/// The kind of a row event of any version.
fn rows(kind: &str) -> Option<&'static str> {
    if kind.contains("compressed") {
        return None;
    }
    [
        ("Write_rows", "INSERT"),
        ("Update_rows", "UPDATE"),
        ("Partial_update_rows", "UPDATE"),
        ("Delete_rows", "DELETE"),
    ]
    .into_iter()
    .find(|(prefix, _)| kind.starts_with(prefix))
    .map(|(_, what)| what)
}

/// `table_id: 33 (shop.orders)`.
fn mapped(info: &str) -> Option<(String, String)> {
    let (_, rest) = info.split_once("table_id: ")?;
    let (id, rest) = rest.split_once(" (")?;
    let (table, _) = rest.rsplit_once(')')?;
    Some((id.trim().to_owned(), table.to_owned()))
}

/// `table_id: 33 flags: STMT_END_F`.
fn table_id(info: &str) -> Option<&str> {
    let (_, rest) = info.split_once("table_id: ")?;
    rest.split_whitespace().next()
}

fn is_rds_table(table: &str) -> bool {
    table.replace('`', "").starts_with("mysql.rds_")
}

/// ``use `shop`; INSERT …``: the default schema and the statement.
fn split_use(info: &str) -> (Option<&str>, &str) {
    let parsed = info.strip_prefix("use `").and_then(|rest| {
        let (schema, statement) = rest.split_once("`;")?;
        Some((Some(schema), statement.trim_start()))
    });
    parsed.unwrap_or((None, info))
}

/// Whether a statement is one of RDS's own: on a table `mysql.rds_*`, or about its own accounts alone.
fn of_rds(schema: Option<&str>, statement: &str, kind: &str) -> bool {
    let plain = statement.replace('`', "");
    let mut words = plain.split_whitespace().skip(1);
    match kind {
        "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "TRUNCATE" => {
            let table = words.find(|word| {
                !["into", "from", "table", "ignore", "low_priority"]
                    .contains(&word.to_ascii_lowercase().as_str())
            });
            table.is_some_and(|table| {
                table.starts_with("mysql.rds_")
                    || schema == Some("mysql") && table.starts_with("rds_")
            })
        }
        "GRANT" | "CREATE USER" | "ALTER USER" | "SET" | "DROP USER" | "REVOKE" => {
            let accounts = plain.matches('@').count();
            let own = ["'rdsadmin'@", "'rdsrepladmin'@"]
                .iter()
                .map(|account| plain.matches(account).count())
                .sum::<usize>();
            accounts > 0 && accounts == own
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(events: &[(&str, &str)]) -> Vec<String> {
        let mut reader = Reader::new(None);
        for (kind, info) in events {
            reader.take(kind, "1", info);
        }
        reader.found().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_heartbeat_and_a_rotation_are_rdss_own() {
        let own = [
            ("Rotate", "mysql-bin-changelog.000008;pos=4"),
            (
                "Format_desc",
                "Server ver: 10.11.9-MariaDB-log, Binlog ver: 4",
            ),
            ("Gtid_list", "[]"),
            ("Binlog_checkpoint", "mysql-bin-changelog.000008"),
            ("Gtid", "BEGIN GTID 0-1-4"),
            (
                "Query",
                "use `mysql`; INSERT INTO mysql.rds_heartbeat2(id, value) values (1,1732458000000) ON DUPLICATE KEY UPDATE value = 1732458000000",
            ),
            ("Query", "BEGIN"),
            (
                "Annotate_rows",
                "INSERT INTO mysql.rds_heartbeat2(id, value) values (1,1)",
            ),
            ("Table_map", "table_id: 33 (mysql.rds_heartbeat2)"),
            ("Update_rows_v1", "table_id: 33 flags: STMT_END_F"),
            ("Xid", "COMMIT /* xid=33 */"),
            ("Query", "COMMIT"),
            (
                "Query",
                "GRANT REPLICATION SLAVE ON *.* TO 'rdsrepladmin'@'%'",
            ),
        ];
        assert_eq!(read(&own), Vec::<String>::new());
    }

    #[test]
    fn everything_else_is_named_without_its_text() {
        let found = read(&[
            ("Table_map", "table_id: 40 (shop.orders)"),
            ("Write_rows_v1", "table_id: 40"),
            ("Write_rows_v1", "table_id: 40 flags: STMT_END_F"),
            (
                "Query",
                "use `shop`; UPDATE customer SET iban = 'DE00 secret'",
            ),
            (
                "Query",
                "GRANT SELECT ON *.* TO 'app'@'%', 'rdsadmin'@'localhost'",
            ),
            ("Query", "XA START X'61',X'',1"),
            ("Query", "use `shop`; CREATE TABLE rds_heartbeat2 (a INT)"),
            ("Query", "use `shop`; INSERT INTO rds_heartbeat2 VALUES (1)"),
            ("Load_event_of_the_future", "x"),
        ]);
        assert!(
            found.contains(&"INSERT of shop.orders, 2 times".to_owned()),
            "{found:?}"
        );
        assert_eq!(found.len(), 7, "{found:?}");
        assert!(
            !found.iter().any(|line| line.contains("secret")),
            "{found:?}"
        );
    }

    #[test]
    fn what_a_replica_applies_is_not_its_own() {
        let mut reader = Reader::new(Some("7".to_owned()));
        reader.take("Query", "1", "use `shop`; DELETE FROM customer");
        assert!(reader.found().is_empty());
        reader.take("Query", "7", "use `shop`; DELETE FROM customer");
        assert_eq!(reader.found().len(), 1);
    }

    #[test]
    fn what_is_compressed_is_unclear_and_nothing_else() {
        let mut reader = Reader::new(None);
        reader.take("Query_compressed", "1", "whatever");
        assert!(reader.found().is_empty());
        assert!(reader.unclear().is_some());
    }
}
