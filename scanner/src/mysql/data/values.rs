//! What of a row goes into its checksum, and how.
//!
//! A row's values are written in one unambiguous text: numbers and dates as they print, strings in hexadecimal, long values
//! as a digest, NULL as `N`, joined by commas that occur in none of them. The first 60 bits of its SHA-256 are the
//! row's checksum, and the sum of these is the table's: it does not depend on the order of rows nor on where
//! chunks end, and, unlike an exclusive or of CRCs, it sees two rows changed in the same way and a row that is
//! there twice.

use super::catalog::{Column, Table};
use super::quoted;

/// What a row counts that could not be hashed: far beyond what the rows of any table add up to.
const UNHASHED: &str = "10000000000000000000000000000000000000";

/// The smallest `max_allowed_packet` that holds the text of every row: a row has at most 65,535 bytes beside its long
/// values.
pub(super) const PACKET: u64 = 1 << 20;

/// The checksum expressions for the two servers. Columns that both have, in one order whatever theirs is: other
/// definitions are a difference of their own.
pub(super) fn row_checksums(old: &Table, new: &Table) -> (String, String) {
    let mut shared: Vec<(&Column, &Column)> = old
        .columns
        .iter()
        .filter(|column| !column.is_virtual())
        .filter_map(|column| Some((column, new.column(&column.name)?)))
        .filter(|(_, new)| !new.is_virtual())
        .collect();
    shared.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    let mut sides = (Vec::new(), Vec::new());
    for (in_old, in_new) in shared {
        let same = in_old.same_values(in_new);
        let nullable = in_old.nullable || in_new.nullable;
        sides.0.push(value(in_old, same, nullable));
        sides.1.push(value(in_new, same, nullable));
    }
    (row(&sides.0), row(&sides.1))
}

fn row(values: &[String]) -> String {
    if values.is_empty() {
        return "0".to_owned();
    }
    format!(
        "IFNULL(CAST(CONV(LEFT(SHA2(CONCAT_WS(',', {}), 256), 15), 16, 10) AS UNSIGNED), {UNHASHED})",
        values.join(", ")
    )
}

/// Whether some row of a sum was not hashed: the server had no memory or no packet for it.
pub(super) fn is_unhashed(sum: u128) -> bool {
    // 60 bits times 2^63 rows stay below.
    sum >= 10_u128.pow(37)
}

/// One value as text. `same`: both servers store the column in the same way, so that stored bytes can be compared;
/// otherwise what they mean is compared, whatever the character set or the position in an `ENUM`.
fn value(column: &Column, same: bool, nullable: bool) -> String {
    let name = quoted(&column.name);
    let text = if same {
        name.clone()
    } else {
        format!("CONVERT({name} USING utf8mb4)")
    };
    let written = match column.data_type.as_str() {
        "date" | "datetime" | "timestamp" | "time" | "year" => name,
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" if same => name,
        // Without display width and ZEROFILL.
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "bit" => {
            format!("{name} + 0")
        }
        // All digits of a FLOAT: as it prints by itself, it is rounded to six.
        "float" | "double" => format!("{name} + 0E0"),
        "enum" | "set" if same => format!("{name} + 0"),
        "char" | "varchar" | "enum" | "set" => format!("HEX({text})"),
        "binary" | "varbinary" => format!("HEX({name})"),
        "tinytext" | "text" | "mediumtext" | "longtext" => format!("SHA2({text}, 256)"),
        "json" => format!("SHA2(CAST({name} AS CHAR), 256)"),
        "uuid" | "inet4" | "inet6" => format!("CAST({name} AS CHAR)"),
        // Blobs, geometries, vectors, and what is not known yet: the stored bytes.
        _ => format!("SHA2({name}, 256)"),
    };
    if nullable {
        format!("COALESCE({written}, 'N')")
    } else {
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, column_type: &str, charset: Option<&str>, nullable: bool) -> Column {
        let data_type = column_type.split(['(', ' ']).next().unwrap().to_owned();
        Column {
            name: name.to_owned(),
            column_type: column_type.to_owned(),
            data_type,
            nullable,
            charset: charset.map(str::to_owned),
            collation: charset.map(|charset| format!("{charset}_general_ci")),
            extra: String::new(),
        }
    }

    fn table(columns: Vec<Column>) -> Table {
        Table {
            columns,
            ..Table::default()
        }
    }

    #[test]
    fn null_is_no_value_and_values_do_not_run_into_each_other() {
        let t = table(vec![
            column("i`d", "int(11)", None, false),
            column("v", "varchar(9)", Some("latin1"), true),
        ]);
        let (old, new) = row_checksums(&t, &t);
        assert_eq!(old, new);
        assert!(
            old.contains("CONCAT_WS(',', `i``d`, COALESCE(HEX(`v`), 'N'))"),
            "{old}"
        );
    }

    #[test]
    fn another_order_or_character_set_is_no_noise() {
        let old = table(vec![
            column("b", "varchar(9)", Some("latin1"), false),
            column("a", "enum('x','y')", Some("latin1"), false),
        ]);
        let new = table(vec![
            column("a", "enum('y','x')", Some("latin1"), false),
            column("b", "varchar(20)", Some("utf8mb4"), false),
            column("c", "int", None, false),
        ]);
        let (old, new) = row_checksums(&old, &new);
        assert_eq!(old, new);
        assert!(
            old.contains("HEX(CONVERT(`a` USING utf8mb4)), HEX(CONVERT(`b` USING utf8mb4))"),
            "{old}"
        );
    }

    #[test]
    fn a_computed_column_is_compared_by_its_definition() {
        let mut computed = column("v", "int", None, true);
        computed.extra = "VIRTUAL GENERATED".to_owned();
        let t = table(vec![column("id", "int", None, false), computed]);
        assert!(!row_checksums(&t, &t).0.contains("`v`"));
    }

    #[test]
    fn an_unhashed_row_is_told_from_any_sum() {
        let largest = ((1_u128 << 60) - 1) * u128::from(u32::MAX);
        assert!(!is_unhashed(largest));
        assert!(is_unhashed(largest + UNHASHED.parse::<u128>().unwrap()));
    }
}
