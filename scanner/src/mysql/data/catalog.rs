//! What there is to compare on one server: tables with their columns and keys.

use std::collections::BTreeMap;
use std::time::Duration;

use super::session::{Failure, Session};
use super::{SYSTEM_SCHEMAS, TableName};

/// Longest wait for one statement on the dictionary.
const DICTIONARY: Duration = Duration::from_secs(120);

/// A base table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    /// Unique keys over whole columns without NULLs, the primary key first.
    pub(super) keys: Vec<Index>,
    /// The server's guess of the number of bytes: decides which table is taken first, nothing else.
    pub(super) bytes: u64,
}

impl Table {
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        // Column names are not case-sensitive on any server.
        self.columns
            .iter()
            .find(|column| column.name.eq_ignore_ascii_case(name))
    }
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// `varchar(20)`, `enum('a','b')`.
    pub(super) column_type: String,
    /// `varchar`, `enum`.
    pub(super) data_type: String,
    pub(super) nullable: bool,
    /// `utf8` is written `utf8mb3`, as later versions do.
    pub(super) charset: Option<String>,
    pub(super) collation: Option<String>,
    pub(super) extra: String,
}

impl Column {
    /// Whether equal values are stored as equal bytes and sorted alike. An integer's display width says nothing.
    pub(super) fn same_values(&self, other: &Self) -> bool {
        let plain = |column: &Self| {
            let text = &column.column_type;
            match (text.split_once('('), text.split_once(')')) {
                (Some((name, _)), Some((_, rest)))
                    if name.ends_with("int") && !rest.contains("zerofill") =>
                {
                    format!("{name}{rest}")
                }
                _ => text.clone(),
            }
        };
        plain(self) == plain(other)
            && self.charset == other.charset
            && self.collation == other.collation
    }

    pub(super) fn is_virtual(&self) -> bool {
        self.extra.to_ascii_uppercase().contains("VIRTUAL")
    }

    /// Whether the server orders it by a number and shows another thing.
    pub(super) fn is_enumerated(&self) -> bool {
        matches!(self.data_type.as_str(), "enum" | "set")
    }
}

/// A unique key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
}

/// Reads the base tables of users. What the login may not see is not listed by the server.
pub(super) async fn tables(
    session: &mut Session<'_>,
) -> Result<BTreeMap<TableName, Table>, Failure> {
    let mut tables: BTreeMap<TableName, Table> = BTreeMap::new();
    let listed = session
        .rows(
            &format!(
                "SELECT TABLE_SCHEMA, TABLE_NAME, COALESCE(DATA_LENGTH, 0) FROM information_schema.TABLES \
                 WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND TABLE_SCHEMA NOT IN ({SYSTEM_SCHEMAS})"
            ),
            DICTIONARY,
        )
        .await?;
    for row in &listed {
        let bytes = row.text(2).and_then(|bytes| bytes.parse().ok());
        let table = Table {
            bytes: bytes.unwrap_or_default(),
            ..Table::default()
        };
        tables.insert(TableName::of(row), table);
    }
    let columns = session
        .rows(
            &format!(
                "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, DATA_TYPE, IS_NULLABLE, CHARACTER_SET_NAME, \
                 COLLATION_NAME, EXTRA FROM information_schema.COLUMNS WHERE TABLE_SCHEMA NOT IN ({SYSTEM_SCHEMAS}) \
                 ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
            ),
            DICTIONARY,
        )
        .await?;
    for row in &columns {
        // Views have columns too.
        let Some(table) = tables.get_mut(&TableName::of(row)) else {
            continue;
        };
        let text = |at| row.text(at).unwrap_or_default();
        table.columns.push(Column {
            name: text(2),
            column_type: text(3).to_ascii_lowercase(),
            data_type: text(4).to_ascii_lowercase(),
            nullable: text(5) != "NO",
            charset: row.text(6).map(|name| modern(&name)),
            collation: row.text(7).map(|name| modern(&name)),
            extra: text(8),
        });
    }
    let version = session.ready(DICTIONARY).await?.version();
    let usable = if version.is_mysql_from(8, 0, 0) {
        "IS_VISIBLE = 'YES'"
    } else if version.is_mariadb_from(10, 6) {
        "IGNORED = 'NO'"
    } else {
        "1"
    };
    let keys = session
        .rows(
            &format!(
                "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, COLUMN_NAME, SUB_PART, NULLABLE, INDEX_TYPE, {usable} \
                 FROM information_schema.STATISTICS WHERE NON_UNIQUE = 0 AND TABLE_SCHEMA NOT IN ({SYSTEM_SCHEMAS}) \
                 ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX"
            ),
            DICTIONARY,
        )
        .await?;
    let mut unusable: Vec<(TableName, String)> = Vec::new();
    for row in &keys {
        let name = TableName::of(row);
        let Some(table) = tables.get_mut(&name) else {
            continue;
        };
        let index = row.text(2).unwrap_or_default();
        let whole = row.bytes(4).is_none()
            && row.text(5).is_none_or(|nullable| nullable != "YES")
            && row.text(6).as_deref() == Some("BTREE")
            && row.text(7).as_deref() == Some("1");
        // An expression has no column.
        let Some(column) = row.text(3).filter(|_| whole) else {
            unusable.push((name, index));
            continue;
        };
        match table.keys.last_mut() {
            Some(last) if last.name == index => last.columns.push(column),
            _ => table.keys.push(Index {
                name: index,
                columns: vec![column],
            }),
        }
    }
    for (name, index) in unusable {
        if let Some(table) = tables.get_mut(&name) {
            table.keys.retain(|key| key.name != index);
        }
    }
    Ok(tables)
}

/// One name for what versions call `utf8` and `utf8mb3`.
fn modern(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    match name.strip_prefix("utf8_") {
        Some(rest) => format!("utf8mb3_{rest}"),
        None if name == "utf8" => "utf8mb3".to_owned(),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(column_type: &str, charset: &str) -> Column {
        Column {
            name: "c".to_owned(),
            column_type: column_type.to_owned(),
            data_type: String::new(),
            nullable: false,
            charset: Some(modern(charset)),
            collation: Some(modern(&format!("{charset}_bin"))),
            extra: String::new(),
        }
    }

    #[test]
    fn what_versions_write_differently_is_the_same() {
        for (a, b, same) in [
            (
                column("int(11) unsigned", "utf8"),
                column("int unsigned", "utf8mb3"),
                true,
            ),
            (
                column("int(11)", "utf8"),
                column("int unsigned", "utf8"),
                false,
            ),
            (
                column("int(5) zerofill", "utf8"),
                column("int(6) zerofill", "utf8"),
                false,
            ),
            (
                column("varchar(5)", "utf8"),
                column("varchar(6)", "utf8"),
                false,
            ),
            (
                column("varchar(5)", "utf8"),
                column("varchar(5)", "utf8mb4"),
                false,
            ),
        ] {
            assert_eq!(a.same_values(&b), same, "{a:?} {b:?}");
        }
    }
}
