//! What a migration has to know of a server before it begins. Read only.

use std::collections::{BTreeMap, BTreeSet};

use super::connection::Connection;
use super::error::MysqlError;
use super::quiet::running_events;
use super::state::{show_configuration, variables};

/// Most tables that are named.
const NAMED: usize = 20;

/// Facts about a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// `@@version`.
    pub version: String,
    /// Global system variables, names in lower case.
    pub variables: BTreeMap<String, String>,
    /// Privileges on `*.*` of the login, with those of its active roles, in upper case; `ALL PRIVILEGES` as such.
    pub privileges: BTreeSet<String>,
    /// `mysql.rds_show_configuration`; `None` when the server has no such procedure.
    pub configuration: Option<BTreeMap<String, Option<String>>>,
    /// Tables whose engine has no transactions, with it; an error when they could not be listed.
    pub without_transactions: Result<TableList, String>,
    /// Tables without a primary key.
    pub without_primary_key: Result<TableList, String>,
    /// Enabled events as `schema.event`, while the event scheduler runs; an error when they could not be listed.
    pub events: Result<Vec<String>, String>,
}

/// Some tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableList {
    /// How many there are.
    pub count: usize,
    /// The first of them as `schema.table`, at most twenty.
    pub first: Vec<String>,
}

const USER_SCHEMAS: &str = "t.TABLE_TYPE = 'BASE TABLE' AND t.TABLE_SCHEMA NOT IN \
    ('mysql', 'information_schema', 'performance_schema', 'sys', 'innodb')";

/// Reads them.
///
/// # Errors
///
/// Any [`MysqlError`] of the statements that every login can run; lists of tables that fail are an `Err` inside.
pub async fn server_facts(conn: &mut Connection) -> Result<ServerFacts, MysqlError> {
    let variables = variables(conn).await?;
    let grants = conn.rows("SHOW GRANTS").await?;
    let privileges = grants
        .iter()
        .filter_map(|row| row.text(0))
        .flat_map(|line| global_privileges(&line))
        .collect();
    let configuration = match show_configuration(conn).await {
        Ok(configuration) => configuration,
        // Not allowed: the step that needs it would say so, and here nothing is known.
        Err(MysqlError::Server { .. } | MysqlError::PrivilegeMissing { .. }) => None,
        Err(error) => return Err(error),
    };
    let without_transactions = tables(
        conn,
        &format!(
            "SELECT t.TABLE_SCHEMA, t.TABLE_NAME FROM information_schema.TABLES t \
             JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE \
             WHERE {USER_SCHEMAS} AND COALESCE(e.TRANSACTIONS, 'NO') <> 'YES' ORDER BY 1, 2"
        ),
    )
    .await;
    let without_primary_key = tables(
        conn,
        &format!(
            "SELECT t.TABLE_SCHEMA, t.TABLE_NAME FROM information_schema.TABLES t \
             LEFT JOIN information_schema.TABLE_CONSTRAINTS c ON c.TABLE_SCHEMA = t.TABLE_SCHEMA \
             AND c.TABLE_NAME = t.TABLE_NAME AND c.CONSTRAINT_TYPE = 'PRIMARY KEY' \
             WHERE {USER_SCHEMAS} AND c.CONSTRAINT_NAME IS NULL ORDER BY 1, 2"
        ),
    )
    .await;
    let events = running_events(conn).await;
    let events = events.map_err(|error| error.to_string());
    Ok(ServerFacts {
        version: variables.get("version").cloned().unwrap_or_default(),
        variables,
        privileges,
        configuration,
        without_transactions,
        without_primary_key,
        events,
    })
}

/// The tables that a statement lists, or why that is not known: a refusal, or a statement that takes too long.
async fn tables(conn: &mut Connection, statement: &str) -> Result<TableList, String> {
    let mut list = TableList::default();
    let listed = conn
        .for_each(statement, |row| {
            list.count += 1;
            if list.first.len() < NAMED {
                list.first.push(format!(
                    "{}.{}",
                    row.text(0).unwrap_or_default(),
                    row.text(1).unwrap_or_default()
                ));
            }
        })
        .await;
    listed.map(|()| list).map_err(|error| error.to_string())
}

/// The privileges of a line `GRANT A, B ON *.* TO …`; none of a line about anything else.
fn global_privileges(line: &str) -> Vec<String> {
    // Names of privileges hold no quotes, names of roles do: a line of role grants has no ` ON `.
    let Some((privileges, _)) = line
        .strip_prefix("GRANT ")
        .and_then(|rest| rest.split_once(" ON *.* TO "))
    else {
        return Vec::new();
    };
    privileges
        .split(',')
        .map(|privilege| privilege.trim().to_uppercase())
        .filter(|privilege| !privilege.contains(['`', '\'']))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_about_everything_give_global_privileges() {
        assert_eq!(
            global_privileges(
                "GRANT SELECT, BINLOG MONITOR, CREATE USER ON *.* TO `admin`@`%` WITH GRANT OPTION"
            ),
            ["SELECT", "BINLOG MONITOR", "CREATE USER"]
        );
        for line in [
            "GRANT SELECT ON `shop`.* TO `admin`@`%`",
            "GRANT `rds_superuser_role`@`%` TO `admin`@`%`",
            "GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION",
            "",
        ] {
            assert!(global_privileges(line).is_empty(), "{line}");
        }
    }
}
