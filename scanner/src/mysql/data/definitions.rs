//! What is compared by its definition: schemas, tables, views, triggers, routines, events, and who they run as.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::connection::NamedRow;
use super::session::{Failure, Session};
use super::{SYSTEM_SCHEMAS, TableName, quoted};

/// Longest wait for one statement on the dictionary.
const DICTIONARY: Duration = Duration::from_secs(120);

/// Definitions of one server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Definitions {
    /// `` view `schema`.`name` `` → its definition, one property a line.
    pub(super) objects: BTreeMap<String, String>,
    /// `user@host` of a definer without an account → the objects that run as it: their use fails with 1449.
    pub(super) without_account: BTreeMap<String, Vec<String>>,
    /// What could not be read.
    pub(super) unread: Vec<String>,
}

/// Reads the definitions of everything in the schemas of users.
pub(super) async fn read(
    session: &mut Session<'_>,
    tables: impl Iterator<Item = &TableName>,
) -> Result<Definitions, Failure> {
    let mut found = Definitions::default();
    let mut definers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for kind in KINDS {
        let statement = format!(
            "SELECT {} FROM information_schema.{} WHERE {} NOT IN ({SYSTEM_SCHEMAS})",
            kind.columns, kind.table, kind.schema
        );
        let mut hidden = 0_u64;
        for row in session.rows(&statement, DICTIONARY).await? {
            let text = |at| row.text(at).unwrap_or_default();
            let mut name = format!("{} {}", kind.word, quoted(&text(0)));
            if kind.word != "schema" {
                name = format!("{name}.{}", quoted(&text(1)));
            }
            if kind.word == "routine" {
                name = format!("{name} ({})", text(4).to_ascii_lowercase());
            }
            // Without the privilege to see a body the server shows none: two of these are not equal.
            if kind.word != "schema" && text(3).is_empty() {
                hidden += 1;
                continue;
            }
            if kind.word != "schema"
                && row.named_text("SECURITY_TYPE").as_deref() != Some("INVOKER")
            {
                definers.entry(text(2)).or_default().push(name.clone());
            }
            found.objects.insert(name, properties(&row));
        }
        if hidden > 0 {
            found.unread.push(format!(
                "the definitions of {hidden} {}s are not shown to this login",
                kind.word
            ));
        }
    }
    parameters(session, &mut found).await?;
    for table in tables {
        match session
            .rows(&format!("SHOW CREATE TABLE {table}"), DICTIONARY)
            .await
        {
            Ok(rows) => {
                let text = rows.first().and_then(|row| row.text(1)).unwrap_or_default();
                found
                    .objects
                    .insert(format!("table {table}"), without_counter(&text));
            }
            // Dropped since it was listed.
            Err(Failure::Changed(_)) => {}
            Err(failure @ (Failure::Deadline(_) | Failure::Lost(_))) => return Err(failure),
            Err(failure) => found
                .unread
                .push(format!("the definition of {table}: {}", failure.reason())),
        }
    }
    match accounts(session).await {
        Ok(accounts) => {
            definers.retain(|definer, _| !accounts.contains(definer));
            found.without_account = definers;
        }
        Err(failure @ (Failure::Deadline(_) | Failure::Lost(_))) => return Err(failure),
        Err(failure) => found.unread.push(format!(
            "whether definers have accounts: {}",
            failure.reason()
        )),
    }
    Ok(found)
}

/// A kind of object. Columns: schema, name, definer, body, then properties; a routine's first property is its type.
struct Kind {
    word: &'static str,
    table: &'static str,
    schema: &'static str,
    columns: &'static str,
}

const KINDS: [Kind; 5] = [
    Kind {
        word: "schema",
        table: "SCHEMATA",
        schema: "SCHEMA_NAME",
        columns: "SCHEMA_NAME, SCHEMA_NAME, '', '', DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME",
    },
    Kind {
        word: "view",
        table: "VIEWS",
        schema: "TABLE_SCHEMA",
        columns: "TABLE_SCHEMA, TABLE_NAME, DEFINER, VIEW_DEFINITION, CHECK_OPTION, SECURITY_TYPE, CHARACTER_SET_CLIENT, \
                  COLLATION_CONNECTION",
    },
    Kind {
        word: "trigger",
        table: "TRIGGERS",
        schema: "TRIGGER_SCHEMA",
        columns: "TRIGGER_SCHEMA, TRIGGER_NAME, DEFINER, ACTION_STATEMENT, ACTION_TIMING, EVENT_MANIPULATION, \
                  EVENT_OBJECT_TABLE, ACTION_ORDER, SQL_MODE, CHARACTER_SET_CLIENT, COLLATION_CONNECTION, DATABASE_COLLATION",
    },
    Kind {
        word: "routine",
        table: "ROUTINES",
        schema: "ROUTINE_SCHEMA",
        columns: "ROUTINE_SCHEMA, ROUTINE_NAME, DEFINER, ROUTINE_DEFINITION, ROUTINE_TYPE, DTD_IDENTIFIER, IS_DETERMINISTIC, \
                  SQL_DATA_ACCESS, SECURITY_TYPE, SQL_MODE, ROUTINE_COMMENT, CHARACTER_SET_CLIENT, COLLATION_CONNECTION, \
                  DATABASE_COLLATION",
    },
    // STATUS: an event that came from a replica stays SLAVESIDE_DISABLED on the copy, and then runs nowhere.
    Kind {
        word: "event",
        table: "EVENTS",
        schema: "EVENT_SCHEMA",
        columns: "EVENT_SCHEMA, EVENT_NAME, DEFINER, EVENT_DEFINITION, EVENT_TYPE, EXECUTE_AT, INTERVAL_VALUE, INTERVAL_FIELD, \
                  STARTS, ENDS, STATUS, ON_COMPLETION, TIME_ZONE, SQL_MODE, EVENT_COMMENT, CHARACTER_SET_CLIENT, \
                  COLLATION_CONNECTION, DATABASE_COLLATION",
    },
];

/// Definer and properties, one a line, then the body.
fn properties(row: &NamedRow) -> String {
    let names = row.names();
    let shown = names.iter().enumerate().skip(2).filter(|(at, _)| *at != 3);
    let mut lines: Vec<String> = shown
        .filter_map(|(at, name)| {
            let value = row.text(at).filter(|value| !value.is_empty())?;
            // Two names of one character set.
            let value = if name.contains("CHARACTER_SET") || name.contains("COLLATION") {
                value.replace("utf8mb3", "utf8")
            } else {
                value
            };
            Some(format!("{name}={value}"))
        })
        .collect();
    lines.extend(row.text(3).filter(|body| !body.is_empty()));
    lines.join("\n")
}

/// Parameters of routines are not part of their body.
async fn parameters(session: &mut Session<'_>, found: &mut Definitions) -> Result<(), Failure> {
    let statement = format!(
        "SELECT SPECIFIC_SCHEMA, SPECIFIC_NAME, ROUTINE_TYPE, PARAMETER_MODE, PARAMETER_NAME, DTD_IDENTIFIER, \
         CHARACTER_SET_NAME, COLLATION_NAME FROM information_schema.PARAMETERS \
         WHERE SPECIFIC_SCHEMA NOT IN ({SYSTEM_SCHEMAS}) AND ORDINAL_POSITION > 0 \
         ORDER BY SPECIFIC_SCHEMA, SPECIFIC_NAME, ROUTINE_TYPE, ORDINAL_POSITION"
    );
    for row in session.rows(&statement, DICTIONARY).await? {
        let text = |at| row.text(at).unwrap_or_default();
        let name = format!(
            "routine {}.{} ({})",
            quoted(&text(0)),
            quoted(&text(1)),
            text(2).to_ascii_lowercase()
        );
        if let Some(definition) = found.objects.get_mut(&name) {
            let words: Vec<String> = (3..8)
                .filter_map(|at| row.text(at))
                .map(|word| word.replace("utf8mb3", "utf8"))
                .collect();
            definition.push_str("\nPARAMETER ");
            definition.push_str(&words.join(" "));
        }
    }
    Ok(())
}

/// `user@host` of every account, roles of MariaDB included: they can define, too.
async fn accounts(session: &mut Session<'_>) -> Result<BTreeSet<String>, Failure> {
    let rows = session
        .rows("SELECT User, Host FROM mysql.user", DICTIONARY)
        .await?;
    let account = |row: &NamedRow| {
        let text = |at| row.text(at).unwrap_or_default();
        format!("{}@{}", text(0), text(1))
    };
    Ok(rows
        .iter()
        .flat_map(|row| [account(row), row.text(0).unwrap_or_default()])
        .filter(|account| !account.is_empty())
        .collect())
}

/// A `CREATE TABLE` without the counter, which says what will be inserted next and not what there is.
fn without_counter(text: &str) -> String {
    const COUNTER: &str = " AUTO_INCREMENT=";
    // Only in the options after the last parenthesis line; a comment before it may say anything.
    let options = text.rfind("\n)").unwrap_or_default();
    let (before, after) = text.split_at(options);
    let Some((start, rest)) = after.split_once(COUNTER) else {
        return text.to_owned();
    };
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{before}{start}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_no_definition_and_a_comment_is() {
        let with = "CREATE TABLE `t` (\n  `id` int COMMENT ' AUTO_INCREMENT=3'\n) ENGINE=InnoDB AUTO_INCREMENT=12 COMMENT='x'";
        let without = "CREATE TABLE `t` (\n  `id` int COMMENT ' AUTO_INCREMENT=3'\n) ENGINE=InnoDB COMMENT='x'";
        assert_eq!(without_counter(with), without);
        assert_eq!(without_counter(without), without);
    }
}
