//! Reads the accounts of a server from its privilege tables.
//!
//! One statement per table, whatever the number of accounts: a `SHOW` per account is quadratic on MariaDB.
//! Names and hashes are taken as bytes.

mod latin1;
mod mariadb;
mod mysql;

use std::collections::BTreeMap;

use atrest_model::account::{
    Account, AccountKey, Accounts, Level, Name, Orphan, Part, PrivilegeSet, Reservation,
    RoutineKind, ServerVersion, Settings, Unread, reservation,
};

use super::connection::{Connection, NamedRow};
use super::error::MysqlError;

/// Reads everything about the accounts of a server.
///
/// A table the login may not read becomes an entry of `unread`; the rest is still read.
///
/// # Errors
///
/// Any [`MysqlError`] other than a missing privilege for a single table.
pub async fn read_accounts(conn: &mut Connection) -> Result<Accounts, MysqlError> {
    let (settings, read_as) = read_settings(conn).await?;
    let version = conn.version();
    let mut reader = Reader {
        version,
        accounts: BTreeMap::new(),
        orphans: Vec::new(),
        unread: Vec::new(),
    };
    let grantable = if version.is_mariadb() {
        mariadb::read_users(conn, &mut reader).await?;
        PrivilegeSet::mariadb_global(version.is_mariadb_from(11, 3))
    } else {
        mysql::read_users(conn, &mut reader).await?
    };
    read_databases(conn, &mut reader).await?;
    read_tables(conn, &mut reader).await?;
    read_columns(conn, &mut reader).await?;
    read_routines(conn, &mut reader).await?;
    read_proxies(conn, &mut reader).await?;
    if version.is_mariadb() {
        mariadb::read_roles(conn, &mut reader).await?;
    } else if version.is_mysql_from(8, 0, 0) {
        mysql::read_dynamic(conn, &mut reader).await?;
        mysql::read_roles(conn, &mut reader).await?;
    }
    reader.orphans.sort();
    reader.orphans.dedup();
    Ok(Accounts {
        server: version,
        read_as,
        settings,
        grantable,
        accounts: reader.accounts,
        orphans: reader.orphans,
        unread: reader.unread,
    })
}

async fn read_settings(conn: &mut Connection) -> Result<(Settings, AccountKey), MysqlError> {
    let version = conn.version();
    let mut columns = "@@lower_case_table_names, @@global.read_only, CURRENT_USER()".to_owned();
    if version.is_mysql_from(8, 0, 16) {
        columns.push_str(", @@global.mandatory_roles, @@global.activate_all_roles_on_login, @@global.partial_revokes");
    }
    let rows = conn.rows(&format!("SELECT {columns}")).await?;
    let row = rows.first().ok_or_else(|| MysqlError::Unexpected {
        endpoint: conn.endpoint().to_owned(),
        what: "no row for system variables".to_owned(),
    })?;
    let on = |position| {
        row.text(position)
            .map(|value| !matches!(value.as_str(), "0" | "OFF" | ""))
    };
    let current_user = row.bytes(2).unwrap_or_default();
    // The user part may hold an `@`, the host part cannot.
    let at = current_user
        .iter()
        .rposition(|&byte| byte == b'@')
        .unwrap_or(current_user.len());
    let (user, host) = current_user.split_at(at);
    let settings = Settings {
        lower_case_table_names: row
            .text(0)
            .and_then(|value| value.parse().ok())
            .unwrap_or_default(),
        read_only: on(1).unwrap_or_default(),
        mandatory_roles: row.text(3),
        activate_all_roles_on_login: on(4),
        partial_revokes: on(5),
    };
    Ok((
        settings,
        AccountKey::new(user, host.get(1..).unwrap_or_default()),
    ))
}

/// What has been read so far.
struct Reader {
    version: ServerVersion,
    accounts: BTreeMap<AccountKey, Account>,
    orphans: Vec<Orphan>,
    unread: Vec<Unread>,
}

impl Reader {
    /// The account a grant belongs to; notes an orphan when there is none.
    fn grantee(&mut self, key: AccountKey, level: impl FnOnce() -> Level) -> Option<&mut Account> {
        if !self.accounts.contains_key(&key) {
            // MariaDB's PUBLIC may have grants without a row of its own.
            if reservation(&key, &self.version) != Some(Reservation::PublicRole) {
                self.orphans.push(Orphan {
                    account: key,
                    level: level(),
                });
                return None;
            }
            self.accounts.insert(
                key.clone(),
                Account {
                    is_role: true,
                    ..Account::default()
                },
            );
        }
        self.accounts.get_mut(&key)
    }

    /// The account of a routine grant, whose name the server may have stored in another form than granted.
    fn routine_grantee(&self, stored: AccountKey) -> AccountKey {
        if self.accounts.contains_key(&stored) {
            return stored;
        }
        let granted = AccountKey::new(latin1::undone(stored.user()), latin1::undone(stored.host()));
        if self.accounts.contains_key(&granted) {
            granted
        } else {
            stored
        }
    }

    fn note(&mut self, part: Part, account: Option<&AccountKey>, reason: String) {
        let unread = Unread {
            part,
            account: account.cloned(),
            reason,
        };
        if !self.unread.contains(&unread) {
            self.unread.push(unread);
        }
    }

    /// Members of a `SET` column; those without a name are noted, so that they are not lost in silence.
    fn set_column(
        &mut self,
        part: Part,
        account: &AccountKey,
        value: Option<&[u8]>,
    ) -> PrivilegeSet {
        let (set, unknown) =
            PrivilegeSet::of_set_column(&String::from_utf8_lossy(value.unwrap_or_default()));
        for name in unknown {
            self.note(part, Some(account), format!("unknown privilege {name}"));
        }
        set
    }
}

/// Reads one table. A missing privilege (or a table that is not there) is noted, other errors are errors.
async fn read_table(
    conn: &mut Connection,
    reader: &mut Reader,
    part: Part,
    statement: &str,
    mut each: impl FnMut(&mut Reader, &NamedRow),
) -> Result<(), MysqlError> {
    match conn.for_each(statement, |row| each(reader, &row)).await {
        Ok(()) => Ok(()),
        Err(error @ MysqlError::PrivilegeMissing { .. }) => {
            reader.note(part, None, error.to_string());
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn name(row: &NamedRow, position: usize) -> Name {
    Name::from(row.bytes(position).unwrap_or_default())
}

fn key(row: &NamedRow, user: usize, host: usize) -> AccountKey {
    AccountKey::new(name(row, user), name(row, host))
}

/// The `*_priv` columns of `mysql.user` and `mysql.db`, found once per table.
#[derive(Default)]
struct PrivilegeColumns {
    known: Vec<(usize, PrivilegeSet)>,
    unknown: Vec<(usize, String)>,
}

impl PrivilegeColumns {
    fn find(row: &NamedRow) -> Self {
        let mut columns = Self::default();
        for (position, column) in row.names().into_iter().enumerate() {
            if !column.to_ascii_lowercase().ends_with("_priv") {
                continue;
            }
            match PrivilegeSet::of_column(&column) {
                Some(privilege) => columns.known.push((position, privilege)),
                None => columns.unknown.push((position, column)),
            }
        }
        columns
    }

    fn all(&self) -> PrivilegeSet {
        self.known
            .iter()
            .fold(PrivilegeSet::EMPTY, |set, (_, privilege)| {
                set.union(*privilege)
            })
    }

    fn read(
        &self,
        reader: &mut Reader,
        part: Part,
        account: &AccountKey,
        row: &NamedRow,
    ) -> PrivilegeSet {
        for (position, column) in &self.unknown {
            if row.bytes(*position) == Some(b"Y") {
                reader.note(
                    part,
                    Some(account),
                    format!("unknown privilege column {column}"),
                );
            }
        }
        let granted = self
            .known
            .iter()
            .filter(|(position, _)| row.bytes(*position) == Some(b"Y"));
        granted.fold(PrivilegeSet::EMPTY, |set, (_, privilege)| {
            set.union(*privilege)
        })
    }
}

async fn read_databases(conn: &mut Connection, reader: &mut Reader) -> Result<(), MysqlError> {
    let mut columns = None;
    read_table(
        conn,
        reader,
        Part::DatabaseGrants,
        "SELECT User, Host, Db, db.* FROM mysql.db",
        |reader, row| {
            let columns = columns.get_or_insert_with(|| PrivilegeColumns::find(row));
            let (account, database) = (key(row, 0, 1), name(row, 2));
            let set = columns.read(reader, Part::DatabaseGrants, &account, row);
            if let Some(account) = reader.grantee(account, || Level::Database {
                database: database.clone(),
            }) {
                account.grants.databases.insert(database, set);
            }
        },
    )
    .await
}

async fn read_tables(conn: &mut Connection, reader: &mut Reader) -> Result<(), MysqlError> {
    let statement = "SELECT User, Host, Db, Table_name, Table_priv FROM mysql.tables_priv";
    read_table(conn, reader, Part::TableGrants, statement, |reader, row| {
        let (account, database, table) = (key(row, 0, 1), name(row, 2), name(row, 3));
        let set = reader.set_column(Part::TableGrants, &account, row.bytes(4));
        let level = || Level::Table {
            database: database.clone(),
            table: table.clone(),
        };
        if let Some(account) = reader.grantee(account, level)
            && !set.is_empty()
        {
            account
                .grants
                .tables
                .entry((database, table))
                .or_default()
                .table = set;
        }
    })
    .await
}

async fn read_columns(conn: &mut Connection, reader: &mut Reader) -> Result<(), MysqlError> {
    let statement =
        "SELECT User, Host, Db, Table_name, Column_name, Column_priv FROM mysql.columns_priv";
    read_table(
        conn,
        reader,
        Part::ColumnGrants,
        statement,
        |reader, row| {
            let (account, database, table, column) =
                (key(row, 0, 1), name(row, 2), name(row, 3), name(row, 4));
            let set = reader.set_column(Part::ColumnGrants, &account, row.bytes(5));
            let level = || Level::Column {
                database: database.clone(),
                table: table.clone(),
                column: column.clone(),
            };
            if let Some(account) = reader.grantee(account, level)
                && !set.is_empty()
            {
                account
                    .grants
                    .tables
                    .entry((database, table))
                    .or_default()
                    .columns
                    .insert(column, set);
            }
        },
    )
    .await
}

async fn read_routines(conn: &mut Connection, reader: &mut Reader) -> Result<(), MysqlError> {
    let statement =
        "SELECT User, Host, Db, Routine_name, Routine_type, Proc_priv FROM mysql.procs_priv";
    read_table(
        conn,
        reader,
        Part::RoutineGrants,
        statement,
        |reader, row| {
            let account = reader.routine_grantee(key(row, 0, 1));
            let (database, routine) =
                (latin1::undone(&name(row, 2)), latin1::undone(&name(row, 3)));
            let word = row.text(4).unwrap_or_default();
            let Some(kind) = RoutineKind::from_sql(&word) else {
                reader.note(
                    Part::RoutineGrants,
                    Some(&account),
                    format!("unknown kind of routine {word}"),
                );
                return;
            };
            let set = reader.set_column(Part::RoutineGrants, &account, row.bytes(5));
            let level = || Level::Routine {
                kind,
                database: database.clone(),
                routine: routine.clone(),
            };
            if let Some(account) = reader.grantee(account, level) {
                account
                    .grants
                    .routines
                    .insert((kind, database, routine), set);
            }
        },
    )
    .await
}

async fn read_proxies(conn: &mut Connection, reader: &mut Reader) -> Result<(), MysqlError> {
    let statement =
        "SELECT User, Host, Proxied_user, Proxied_host, With_grant FROM mysql.proxies_priv";
    read_table(conn, reader, Part::ProxyGrants, statement, |reader, row| {
        let (account, proxied) = (key(row, 0, 1), key(row, 2, 3));
        let option = row.bytes(4) == Some(b"1");
        if let Some(account) = reader.grantee(account, || Level::Proxy {
            proxied: proxied.clone(),
        }) {
            account.grants.proxies.insert(proxied, option);
        }
    })
    .await
}
