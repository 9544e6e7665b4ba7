//! Which tables, columns and routines the grants of a rendering need, and whether the server has them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use atrest_model::account::{
    Accounts, Level, Name, NotTransferable, PrivilegeSet, Rendering, RoutineKind, Subject,
    quote_literal,
};
use atrest_scanner::mysql::{Connection, MysqlError, NamedRow};

/// Takes the grants on objects that are not there out of a rendering and notes each as not transferable.
///
/// Only a login that sees every object by its own global privileges can tell what is not there; for another
/// one the rendering stays as it is.
pub(super) async fn leave_out_missing(
    conn: &mut Connection,
    new: &Accounts,
    rendering: &mut Rendering,
) -> Result<(), MysqlError> {
    let sees_all = ["SELECT", "EXECUTE"]
        .iter()
        .filter_map(|name| PrivilegeSet::named(name))
        .fold(PrivilegeSet::EMPTY, PrivilegeSet::union);
    let sees_everything = new
        .accounts
        .get(&new.read_as)
        .is_some_and(|login| login.grants.global.contains(sees_all));
    if !sees_everything {
        return Ok(());
    }
    let mut objects = Objects::default();
    let mut statements = Vec::with_capacity(rendering.statements.len());
    for statement in std::mem::take(&mut rendering.statements) {
        let gives = statement.gives();
        // A table privilege may be granted on a table that is yet to be made, if CREATE is granted with it.
        let with_create = gives
            .iter()
            .any(|(on, privilege)| matches!(on, Level::Table { .. }) && privilege == "CREATE");
        let mut missing = Vec::new();
        for (on, privilege) in &gives {
            let reason = match objects.missing(conn, on).await? {
                Some(_) if with_create && !matches!(on, Level::Column { .. }) => continue,
                Some(reason) => reason,
                None => continue,
            };
            missing.push(NotTransferable::new(
                statement.account(),
                Subject::Privilege {
                    on: on.clone(),
                    privilege: privilege.clone(),
                },
                reason,
            ));
        }
        if missing.is_empty() {
            statements.push(statement);
        } else if missing.len() < gives.len() {
            statements.extend(super::without(statement, &missing));
        }
        rendering.not_transferable.extend(missing);
    }
    rendering.statements = statements;
    Ok(())
}

/// What was found so far: one look per table and per database with routine grants.
#[derive(Default)]
struct Objects {
    /// Columns by table, in lower case; none for a table that is not there.
    columns: BTreeMap<(Name, Name), BTreeSet<String>>,
    /// Kind and name in lower case, by database.
    routines: BTreeMap<Name, BTreeSet<(RoutineKind, String)>>,
}

impl Objects {
    /// Why a grant on this level cannot be made.
    async fn missing(
        &mut self,
        conn: &mut Connection,
        on: &Level,
    ) -> Result<Option<&'static str>, MysqlError> {
        Ok(match on {
            Level::Table { database, table } => self
                .columns(conn, database, table)
                .await?
                .is_empty()
                .then_some("the new server has no such table"),
            Level::Column {
                database,
                table,
                column,
            } => {
                let columns = self.columns(conn, database, table).await?;
                if columns.is_empty() {
                    Some("the new server has no such table")
                } else {
                    (!columns.contains(&lower(column)))
                        .then_some("the table has no such column on the new server")
                }
            }
            Level::Routine {
                kind: kind @ (RoutineKind::Function | RoutineKind::Procedure),
                database,
                routine,
            } => {
                let routines = self.routines(conn, database).await?;
                (!routines.contains(&(*kind, lower(routine))))
                    .then_some("the new server has no such routine")
            }
            Level::Routine { .. }
            | Level::Global
            | Level::Database { .. }
            | Level::Proxy { .. }
            | Level::Role { .. }
            | Level::Restriction { .. } => None,
        })
    }

    async fn columns(
        &mut self,
        conn: &mut Connection,
        database: &Name,
        table: &Name,
    ) -> Result<&BTreeSet<String>, MysqlError> {
        match self.columns.entry((database.clone(), table.clone())) {
            Entry::Occupied(found) => Ok(found.into_mut()),
            Entry::Vacant(unknown) => {
                // With both names given the server opens this table's definition and no other.
                let mut statement =
                    b"SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = "
                        .to_vec();
                statement.extend_from_slice(&quote_literal(database.as_bytes()));
                statement.extend_from_slice(b" AND TABLE_NAME = ");
                statement.extend_from_slice(&quote_literal(table.as_bytes()));
                let rows = rows(conn, &statement).await?;
                Ok(unknown.insert(rows.iter().map(|row| lower_text(row, 0)).collect()))
            }
        }
    }

    async fn routines(
        &mut self,
        conn: &mut Connection,
        database: &Name,
    ) -> Result<&BTreeSet<(RoutineKind, String)>, MysqlError> {
        match self.routines.entry(database.clone()) {
            Entry::Occupied(found) => Ok(found.into_mut()),
            Entry::Vacant(unknown) => {
                let mut statement =
                    b"SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = "
                        .to_vec();
                statement.extend_from_slice(&quote_literal(database.as_bytes()));
                let rows = rows(conn, &statement).await?;
                let found = rows.iter().filter_map(|row| {
                    let kind = RoutineKind::from_sql(&row.text(0)?)?;
                    Some((kind, lower_text(row, 1)))
                });
                Ok(unknown.insert(found.collect()))
            }
        }
    }
}

async fn rows(conn: &mut Connection, statement: &[u8]) -> Result<Vec<NamedRow>, MysqlError> {
    Ok(conn.call(statement).await?.into_iter().flatten().collect())
}

/// Names of columns and routines are compared without regard to case on every server.
fn lower_text(row: &NamedRow, position: usize) -> String {
    row.text(position).unwrap_or_default().to_lowercase()
}

fn lower(name: &Name) -> String {
    String::from_utf8_lossy(name.as_bytes()).to_lowercase()
}
