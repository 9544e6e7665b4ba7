//! What is in the schemas of users: tables with row counts and checksums, and the objects beside them.
//!
//! Only reads. A checksum compares servers of one version with one table definition; it is made of the values, not of
//! how the server stores them.

use std::collections::BTreeMap;

use atrest_model::account::quote_identifier;

use super::connection::{Connection, NamedRow};
use super::error::MysqlError;

/// Schemas of the server itself.
const SYSTEM_SCHEMAS: &str =
    "'mysql','information_schema','performance_schema','sys','innodb','tmp'";

/// Contents of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFacts {
    /// `COUNT(*)`.
    pub rows: u64,
    /// Order-independent checksum over all values; `None` when it was not asked for.
    pub checksum: Option<String>,
}

/// Everything in the schemas of users.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataFacts {
    /// `` `schema`.`table` `` → contents.
    pub tables: BTreeMap<String, TableFacts>,
    /// `view schema.name`, `trigger …`, `routine …`, `event …`, `columns of …` → definition with its definer.
    pub objects: BTreeMap<String, String>,
}

/// Reads the schemas of users.
///
/// # Errors
///
/// Any [`MysqlError`] of a statement; what the login may not see is not listed by the server and so not compared.
pub async fn read_data(conn: &mut Connection, checksums: bool) -> Result<DataFacts, MysqlError> {
    let mut facts = DataFacts::default();
    // Names and values as bytes, whatever the connection's character set makes of them.
    let tables = conn
        .rows(&format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' \
             AND TABLE_SCHEMA NOT IN ({SYSTEM_SCHEMAS}) ORDER BY 1, 2"
        ))
        .await?;
    let mut columns: BTreeMap<(String, String), Vec<(String, bool)>> = BTreeMap::new();
    let listed = conn
        .rows(&format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, IS_NULLABLE, COLUMN_TYPE, COLUMN_DEFAULT, COLLATION_NAME, EXTRA \
             FROM information_schema.COLUMNS WHERE TABLE_SCHEMA NOT IN ({SYSTEM_SCHEMAS}) \
             ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
        ))
        .await?;
    for row in &listed {
        let text = |at| row.text(at).unwrap_or_default();
        let nullable = text(3) == "YES";
        columns
            .entry((text(0), text(1)))
            .or_default()
            .push((text(2), nullable));
        let definition = facts
            .objects
            .entry(format!("columns of {}.{}", text(0), text(1)))
            .or_default();
        let line = format!(
            "{} {} {}{}{} {}\n",
            text(2),
            text(4),
            if nullable { "NULL" } else { "NOT NULL" },
            row.text(5)
                .map(|default| format!(" DEFAULT {default}"))
                .unwrap_or_default(),
            row.text(6)
                .map(|collation| format!(" COLLATE {collation}"))
                .unwrap_or_default(),
            text(7),
        );
        definition.push_str(&line);
    }
    for row in &tables {
        let (schema, table) = (
            row.text(0).unwrap_or_default(),
            row.text(1).unwrap_or_default(),
        );
        let name = format!("{}.{}", quoted(&schema), quoted(&table));
        let no_columns = Vec::new();
        let columns = columns.get(&(schema, table)).unwrap_or(&no_columns);
        let found = conn.rows(&table_query(&name, columns, checksums)).await?;
        let first = found.first();
        let number = |at| {
            first
                .and_then(|row: &NamedRow| row.text(at))
                .unwrap_or_default()
        };
        let rows = number(0).parse().map_err(|_bad| MysqlError::Unexpected {
            endpoint: conn.endpoint().to_owned(),
            what: format!("COUNT(*) of {name} is no number"),
        })?;
        let checksum = checksums.then(|| format!("{}-{}", number(1), number(2)));
        facts.tables.insert(name, TableFacts { rows, checksum });
    }
    for (kind, query) in object_queries() {
        for row in conn.rows(&query).await? {
            let text = |at| row.text(at).unwrap_or_default();
            facts.objects.insert(
                format!("{kind} {}.{}", text(0), text(1)),
                format!("DEFINER={}\n{}", text(2), text(3)),
            );
        }
    }
    Ok(facts)
}

fn quoted(name: &str) -> String {
    String::from_utf8_lossy(&quote_identifier(name.as_bytes())).into_owned()
}

/// `COUNT(*)`, and over all rows the XOR and the sum of a CRC of the values: the XOR alone would not see two equal
/// rows appear or vanish. NULL is told apart from an empty string by a flag of its own.
fn table_query(name: &str, columns: &[(String, bool)], checksums: bool) -> String {
    if !checksums || columns.is_empty() {
        return format!("SELECT COUNT(*), 0, 0 FROM {name}");
    }
    let mut parts: Vec<String> = columns
        .iter()
        .map(|(column, _)| format!("CAST({} AS BINARY)", quoted(column)))
        .collect();
    let nullable: Vec<String> = columns
        .iter()
        .filter(|(_, nullable)| *nullable)
        .map(|(column, _)| format!("ISNULL({})", quoted(column)))
        .collect();
    if !nullable.is_empty() {
        parts.push(format!("CONCAT({})", nullable.join(", ")));
    }
    let crc = format!("CRC32(CONCAT_WS('#', {}))", parts.join(", "));
    format!("SELECT COUNT(*), COALESCE(BIT_XOR({crc}), 0), COALESCE(SUM({crc}), 0) FROM {name}")
}

fn object_queries() -> [(&'static str, String); 4] {
    let query =
        |select: &str, schema: &str| format!("{select} WHERE {schema} NOT IN ({SYSTEM_SCHEMAS})");
    [
        (
            "view",
            query(
                "SELECT TABLE_SCHEMA, TABLE_NAME, DEFINER, VIEW_DEFINITION FROM information_schema.VIEWS",
                "TABLE_SCHEMA",
            ),
        ),
        (
            "trigger",
            query(
                "SELECT TRIGGER_SCHEMA, TRIGGER_NAME, DEFINER, CONCAT(ACTION_TIMING, ' ', EVENT_MANIPULATION, ' ON ', \
                 EVENT_OBJECT_TABLE, '\\n', ACTION_STATEMENT) FROM information_schema.TRIGGERS",
                "TRIGGER_SCHEMA",
            ),
        ),
        (
            "routine",
            query(
                "SELECT ROUTINE_SCHEMA, CONCAT(ROUTINE_NAME, ' (', LOWER(ROUTINE_TYPE), ')'), DEFINER, ROUTINE_DEFINITION \
                 FROM information_schema.ROUTINES",
                "ROUTINE_SCHEMA",
            ),
        ),
        (
            "event",
            query(
                "SELECT EVENT_SCHEMA, EVENT_NAME, DEFINER, EVENT_DEFINITION FROM information_schema.EVENTS",
                "EVENT_SCHEMA",
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_null_is_told_from_empty() {
        let query = table_query(
            "`a``b`.`t`",
            &[("i`d".to_owned(), false), ("n".to_owned(), true)],
            true,
        );
        assert!(
            query.contains("CAST(`i``d` AS BINARY)")
                && query.contains("ISNULL(`n`)")
                && query.ends_with("FROM `a``b`.`t`")
        );
    }
}
