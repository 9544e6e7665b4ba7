//! The key a table is read along: which one, how its values are read, written and compared.

use std::fmt::Write as _;

use super::catalog::{Column, Table};
use super::quoted;

/// How values of a key column are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Digits.
    Number,
    /// A date or time between quotes.
    Time,
    /// Bytes in the column's character set; the column's collation orders them.
    Text,
    /// Bytes.
    Binary,
    /// `BIT`, `ENUM`, `SET`: ordered by their number.
    Ordinal,
}

/// A column of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    name: String,
    form: Form,
    charset: String,
}

/// A unique key without NULLs that both servers have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    index: String,
    parts: Vec<Part>,
}

/// The values of one key, as the server stores them.
pub(super) type KeyValue = Vec<Vec<u8>>;

impl Key {
    /// The first key of `old`, the primary key before others, that `new` has as well and whose columns mean the same on
    /// both, once as either server writes it: names of character sets differ between versions.
    pub(super) fn shared(old: &Table, new: &Table) -> Option<(Self, Self)> {
        old.keys.iter().find_map(|index| {
            new.keys.iter().find(|other| *other == index)?;
            let mut sides = (Vec::new(), Vec::new());
            for name in &index.columns {
                let (in_old, in_new) = (old.column(name)?, new.column(name)?);
                // The optimizer finds no range by the number of an ENUM: it can refine a range, not be one.
                let leads = sides.0.is_empty();
                if !in_old.same_values(in_new) || leads && in_old.is_enumerated() {
                    return None;
                }
                sides.0.push(Part::of(in_old)?);
                sides.1.push(Part::of(in_new)?);
            }
            let key = |parts| Self {
                index: index.name.clone(),
                parts,
            };
            Some((key(sides.0), key(sides.1)))
        })
    }

    /// `FORCE INDEX`: otherwise a server may choose to read the whole table.
    pub(super) fn hint(&self) -> String {
        format!("FORCE INDEX ({})", quoted(&self.index))
    }

    /// The columns as they are selected.
    pub(super) fn selected(&self) -> String {
        self.list(|part| {
            let name = quoted(&part.name);
            match part.form {
                Form::Number | Form::Time => name,
                Form::Text | Form::Binary => format!("CAST({name} AS BINARY)"),
                Form::Ordinal => format!("{name} + 0"),
            }
        })
    }

    /// The columns as they are ordered by.
    pub(super) fn order(&self) -> String {
        self.list(|part| quoted(&part.name))
    }

    /// Number of columns.
    pub(super) fn width(&self) -> usize {
        self.parts.len()
    }

    /// The condition for the rows after one key up to and with another; `None` is the end of the table. Written out column
    /// by column: no server finds a range in a comparison of rows.
    pub(super) fn range(&self, after: Option<&KeyValue>, up_to: Option<&KeyValue>) -> String {
        let bounds = [(after, '>', ""), (up_to, '<', "=")];
        let bounds: Vec<String> = bounds
            .into_iter()
            .filter_map(|(key, sign, last)| Some(self.beyond(key?, sign, last)))
            .collect();
        if bounds.is_empty() {
            "1".to_owned()
        } else {
            bounds.join(" AND ")
        }
    }

    fn beyond(&self, key: &KeyValue, sign: char, last: &str) -> String {
        let mut written = String::new();
        let depth = self.parts.len();
        for (at, (part, value)) in self.parts.iter().zip(key).enumerate() {
            let (name, value) = (quoted(&part.name), part.literal(value));
            // Writing to a string cannot fail.
            let _ok = if at + 1 == depth {
                write!(written, "{name} {sign}{last} {value}")
            } else {
                write!(written, "({name} {sign} {value} OR ({name} = {value} AND ")
            };
        }
        written.push_str(&"))".repeat(depth.saturating_sub(1)));
        written
    }

    /// What a person pastes after `SELECT … FROM` to see the rows from one key to another, both included.
    pub(super) fn shown(&self, first: &KeyValue, last: &KeyValue) -> String {
        let tuple = |items: Vec<String>| match items.as_slice() {
            [one] => one.clone(),
            _ => format!("({})", items.join(", ")),
        };
        let names = tuple(self.parts.iter().map(|part| quoted(&part.name)).collect());
        let values = |key: &KeyValue| {
            let parts = self.parts.iter().zip(key);
            tuple(parts.map(|(part, value)| part.readable(value)).collect())
        };
        if first == last {
            format!("WHERE {names} = {}", values(first))
        } else {
            format!(
                "WHERE {names} >= {} AND {names} <= {}",
                values(first),
                values(last)
            )
        }
    }

    /// A key of one integer column.
    #[cfg(test)]
    pub(super) fn of_number(name: &str) -> Self {
        Self {
            index: "PRIMARY".to_owned(),
            parts: vec![Part {
                name: name.to_owned(),
                form: Form::Number,
                charset: String::new(),
            }],
        }
    }

    fn list(&self, of: impl Fn(&Part) -> String) -> String {
        self.parts.iter().map(of).collect::<Vec<_>>().join(", ")
    }
}

impl Part {
    /// `None` for types that are not exact or whose order is not known.
    fn of(column: &Column) -> Option<Self> {
        let form = match column.data_type.as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year" => {
                Form::Number
            }
            "date" | "datetime" | "timestamp" | "time" => Form::Time,
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => Form::Text,
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => {
                Form::Binary
            }
            "bit" | "enum" | "set" => Form::Ordinal,
            _ => return None,
        };
        let charset = column.charset.clone();
        if form == Form::Text && charset.is_none() {
            return None;
        }
        Some(Self {
            name: column.name.clone(),
            form,
            charset: charset.unwrap_or_default(),
        })
    }

    /// The value in a statement. Text and bytes in hexadecimal: nothing in them can end a literal.
    fn literal(&self, value: &[u8]) -> String {
        match self.form {
            Form::Number | Form::Ordinal => digits(value),
            Form::Time => format!("'{}'", digits(value)),
            Form::Text => format!("_{} X'{}'", self.charset, hex(value)),
            Form::Binary => format!("X'{}'", hex(value)),
        }
    }

    /// The value for a person: text as text where it is plain.
    fn readable(&self, value: &[u8]) -> String {
        let wide = ["ucs2", "utf16", "utf16le", "utf32"].contains(&self.charset.as_str());
        match std::str::from_utf8(value) {
            Ok(text)
                if self.form == Form::Text
                    && !wide
                    && (self.charset.starts_with("utf8") || text.is_ascii())
                    && !text.contains(char::is_control) =>
            {
                format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
            }
            _ => self.literal(value),
        }
    }
}

/// Numbers, dates and times as the server wrote them, and nothing else.
fn digits(value: &[u8]) -> String {
    value
        .iter()
        .copied()
        .map(char::from)
        .filter(|c| c.is_ascii_digit() || matches!(c, '-' | '.' | ':' | ' '))
        .collect()
}

fn hex(value: &[u8]) -> String {
    value
        .iter()
        .fold(String::with_capacity(value.len() * 2), |mut text, byte| {
            let _ok = write!(text, "{byte:02X}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(parts: &[(&str, Form, &str)]) -> Key {
        Key {
            index: "PRIMARY".to_owned(),
            parts: parts
                .iter()
                .map(|(name, form, charset)| Part {
                    name: (*name).to_owned(),
                    form: *form,
                    charset: (*charset).to_owned(),
                })
                .collect(),
        }
    }

    fn value(parts: &[&str]) -> KeyValue {
        parts.iter().map(|part| part.as_bytes().to_vec()).collect()
    }

    #[test]
    fn a_range_is_open_below_and_closed_above() {
        let one = key(&[("id", Form::Number, "")]);
        assert_eq!(one.range(None, None), "1");
        assert_eq!(
            one.range(Some(&value(&["5"])), Some(&value(&["9"]))),
            "`id` > 5 AND `id` <= 9"
        );
    }

    #[test]
    fn composite_keys_are_compared_column_by_column() {
        let three = key(&[
            ("a", Form::Number, ""),
            ("t", Form::Text, "latin1"),
            ("b", Form::Binary, ""),
        ]);
        assert_eq!(
            three.range(Some(&value(&["1", "x'", "\0"])), None),
            "(`a` > 1 OR (`a` = 1 AND (`t` > _latin1 X'7827' OR (`t` = _latin1 X'7827' AND `b` > X'00'))))"
        );
        assert_eq!(
            three.range(None, Some(&value(&["1", "", "b"]))),
            "(`a` < 1 OR (`a` = 1 AND (`t` < _latin1 X'' OR (`t` = _latin1 X'' AND `b` <= X'62'))))"
        );
    }

    #[test]
    fn keys_are_shown_so_that_they_can_be_pasted() {
        let two = key(&[("a", Form::Text, "utf8mb4"), ("b", Form::Binary, "")]);
        assert_eq!(
            two.shown(&value(&["o'b", "\u{1}"]), &value(&["o'b", "\u{1}"])),
            "WHERE (`a`, `b`) = ('o''b', X'01')"
        );
        let one = key(&[("id", Form::Number, "")]);
        assert_eq!(
            one.shown(&value(&["5"]), &value(&["7"])),
            "WHERE `id` >= 5 AND `id` <= 7"
        );
    }

    #[test]
    fn a_value_cannot_leave_its_literal() {
        let number = key(&[("id", Form::Number, "")]);
        assert_eq!(
            number.range(Some(&value(&["1 OR 1=1; DROP TABLE t"])), None),
            "`id` > 1  11   "
        );
    }
}
