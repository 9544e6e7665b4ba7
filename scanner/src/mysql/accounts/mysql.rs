//! MySQL's own tables: `user` in the shapes of 5.6, 5.7 and 8, dynamic privileges, roles.

use atrest_model::account::{
    Account, AccountKey, Authentication, Credential, FailedLogin, Grants, Level, Limits, LockTime,
    Name, Part, PasswordLifetime, PasswordPolicy, PrivilegeSet, TlsRequirement,
};
use serde_json::Value;

use super::super::connection::{Connection, NamedRow};
use super::super::error::MysqlError;
use super::{PrivilegeColumns, Reader, key, read_table};

/// Positions of the columns of `mysql.user`; those a version lacks are `None`.
struct UserColumns {
    privileges: PrivilegeColumns,
    user: Option<usize>,
    host: Option<usize>,
    password: Option<usize>,
    plugin: Option<usize>,
    authentication_string: Option<usize>,
    ssl_type: Option<usize>,
    ssl_cipher: Option<usize>,
    x509_issuer: Option<usize>,
    x509_subject: Option<usize>,
    max_questions: Option<usize>,
    max_updates: Option<usize>,
    max_connections: Option<usize>,
    max_user_connections: Option<usize>,
    password_expired: Option<usize>,
    password_lifetime: Option<usize>,
    account_locked: Option<usize>,
    reuse_history: Option<usize>,
    reuse_time: Option<usize>,
    require_current: Option<usize>,
    attributes: Option<usize>,
}

impl UserColumns {
    fn find(row: &NamedRow) -> Self {
        Self {
            privileges: PrivilegeColumns::find(row),
            user: row.position("User"),
            host: row.position("Host"),
            password: row.position("Password"),
            plugin: row.position("plugin"),
            authentication_string: row.position("authentication_string"),
            ssl_type: row.position("ssl_type"),
            ssl_cipher: row.position("ssl_cipher"),
            x509_issuer: row.position("x509_issuer"),
            x509_subject: row.position("x509_subject"),
            max_questions: row.position("max_questions"),
            max_updates: row.position("max_updates"),
            max_connections: row.position("max_connections"),
            max_user_connections: row.position("max_user_connections"),
            password_expired: row.position("password_expired"),
            password_lifetime: row.position("password_lifetime"),
            account_locked: row.position("account_locked"),
            reuse_history: row.position("Password_reuse_history"),
            reuse_time: row.position("Password_reuse_time"),
            require_current: row.position("Password_require_current"),
            attributes: row.position("User_attributes"),
        }
    }
}

/// Reads `mysql.user`, and gives the static privileges the server can grant.
pub(super) async fn read_users(
    conn: &mut Connection,
    reader: &mut Reader,
) -> Result<PrivilegeSet, MysqlError> {
    let mut columns = None;
    read_table(
        conn,
        reader,
        Part::Accounts,
        "SELECT * FROM mysql.user",
        |reader, row| {
            let columns = columns.get_or_insert_with(|| UserColumns::find(row));
            let (Some(user), Some(host)) = (columns.user, columns.host) else {
                reader.note(
                    Part::Accounts,
                    None,
                    "mysql.user has no columns User and Host".to_owned(),
                );
                return;
            };
            let account = key(row, user, host);
            let read = read_user(columns, reader, &account, row);
            reader.accounts.insert(account, read);
        },
    )
    .await?;
    Ok(columns
        .map(|columns| columns.privileges.all())
        .unwrap_or_default())
}

fn read_user(
    columns: &UserColumns,
    reader: &mut Reader,
    key: &AccountKey,
    row: &NamedRow,
) -> Account {
    let bytes = |position: Option<usize>| position.and_then(|position| row.bytes(position));
    let number = |position: Option<usize>| {
        bytes(position)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .and_then(|text| text.parse::<u64>().ok())
    };
    let small = |position| number(position).and_then(|n| u32::try_from(n).ok());
    let blob = |position| Name::from(bytes(position).unwrap_or_default());
    let mut account = Account {
        authentication: vec![authentication(columns, row)],
        tls: match bytes(columns.ssl_type).unwrap_or_default() {
            b"" => TlsRequirement::None,
            b"ANY" => TlsRequirement::Ssl,
            b"X509" => TlsRequirement::X509,
            b"SPECIFIED" => TlsRequirement::Specified {
                subject: blob(columns.x509_subject),
                issuer: blob(columns.x509_issuer),
                cipher: blob(columns.ssl_cipher),
            },
            other => {
                let other = String::from_utf8_lossy(other);
                reader.note(
                    Part::Accounts,
                    Some(key),
                    format!("unknown TLS requirement {other}"),
                );
                TlsRequirement::None
            }
        },
        limits: Limits {
            queries_per_hour: number(columns.max_questions).unwrap_or_default(),
            updates_per_hour: number(columns.max_updates).unwrap_or_default(),
            connections_per_hour: number(columns.max_connections).unwrap_or_default(),
            user_connections: number(columns.max_user_connections)
                .and_then(|n| i64::try_from(n).ok())
                .unwrap_or_default(),
            statement_time_us: 0,
        },
        password: PasswordPolicy {
            expired: bytes(columns.password_expired) == Some(b"Y"),
            lifetime: match small(columns.password_lifetime) {
                None => PasswordLifetime::Default,
                Some(0) => PasswordLifetime::Never,
                Some(days) => PasswordLifetime::Days(days),
            },
            history: small(columns.reuse_history),
            reuse_interval: small(columns.reuse_time),
            require_current: bytes(columns.require_current).map(|value| value == b"Y"),
            failed_login: None,
        },
        locked: bytes(columns.account_locked) == Some(b"Y"),
        grants: Grants {
            global: columns.privileges.read(reader, Part::Accounts, key, row),
            ..Grants::default()
        },
        ..Account::default()
    };
    if let Some(attributes) = bytes(columns.attributes) {
        match serde_json::from_slice::<Value>(attributes) {
            Ok(Value::Object(attributes)) => read_attributes(reader, key, attributes, &mut account),
            _ => reader.note(
                Part::Accounts,
                Some(key),
                "User_attributes is no JSON object".to_owned(),
            ),
        }
    }
    account
}

/// On 5.6 the hash of a native account is in `Password`; what is in `authentication_string` then is not
/// used for its login. Later versions have `authentication_string` only.
fn authentication(columns: &UserColumns, row: &NamedRow) -> Authentication {
    let plugin = columns
        .plugin
        .and_then(|position| row.text(position))
        .unwrap_or_default();
    let stored = |position: Option<usize>| {
        position
            .and_then(|position| row.bytes(position))
            .unwrap_or_default()
    };
    let native = matches!(
        plugin.as_str(),
        "" | "mysql_native_password" | "mysql_old_password"
    );
    let credential = match columns.password {
        Some(_) if native => stored(columns.password),
        _ => stored(columns.authentication_string),
    };
    // Without a plugin the length tells: 16 digits before MySQL 4.1, a star and 40 since.
    let plugin = match plugin.as_str() {
        "" if credential.len() == 16 => "mysql_old_password".to_owned(),
        "" => "mysql_native_password".to_owned(),
        _ => plugin,
    };
    Authentication {
        plugin,
        credential: Credential::new(credential.to_vec()),
    }
}

fn read_attributes(
    reader: &mut Reader,
    key: &AccountKey,
    attributes: serde_json::Map<String, Value>,
    account: &mut Account,
) {
    for (name, value) in attributes {
        match (name.as_str(), value) {
            // An attribute whose last member was taken away stays behind as an empty object.
            ("metadata", Value::Object(members)) if members.is_empty() => {}
            ("metadata", value) => account.attribute = Some(value),
            // The hash is stored as text of one character per byte.
            ("additional_password", Value::String(text)) => {
                let bytes = text
                    .chars()
                    .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
                    .collect();
                account.retained = Some(Credential::new(bytes));
            }
            ("Password_locking", value) => {
                let attempts = value.get("failed_login_attempts").and_then(Value::as_u64);
                let days = value.get("password_lock_time_days").and_then(Value::as_i64);
                let attempts = u32::try_from(attempts.unwrap_or_default()).unwrap_or(u32::MAX);
                let lock_time = match days.unwrap_or_default() {
                    ..0 => LockTime::Unbounded,
                    days => LockTime::Days(u32::try_from(days).unwrap_or(u32::MAX)),
                };
                account.password.failed_login = Some(FailedLogin {
                    attempts,
                    lock_time,
                });
            }
            ("Restrictions", Value::Array(restrictions)) => {
                for restriction in restrictions {
                    read_restriction(reader, key, &restriction, account);
                }
            }
            // Only the name: the value may hold a credential.
            _ => drop(account.not_modelled.insert(name)),
        }
    }
}

fn read_restriction(
    reader: &mut Reader,
    key: &AccountKey,
    restriction: &Value,
    account: &mut Account,
) {
    let database = restriction.get("Database").and_then(Value::as_str);
    let names = restriction.get("Privileges").and_then(Value::as_array);
    let (Some(database), Some(names)) = (database, names) else {
        reader.note(
            Part::Accounts,
            Some(key),
            "a partial revoke without database or privileges".to_owned(),
        );
        return;
    };
    let set = account
        .grants
        .restrictions
        .entry(database.into())
        .or_default();
    for name in names.iter().filter_map(Value::as_str) {
        match PrivilegeSet::named(name) {
            Some(privilege) => *set = set.union(privilege),
            None => reader.note(
                Part::Accounts,
                Some(key),
                format!("unknown privilege {name} in a partial revoke"),
            ),
        }
    }
}

pub(super) async fn read_dynamic(
    conn: &mut Connection,
    reader: &mut Reader,
) -> Result<(), MysqlError> {
    let statement = "SELECT USER, HOST, PRIV, WITH_GRANT_OPTION FROM mysql.global_grants";
    read_table(
        conn,
        reader,
        Part::DynamicPrivileges,
        statement,
        |reader, row| {
            let privilege = row.text(2).unwrap_or_default();
            // The name goes into statements as it is; the server takes nothing else either.
            if privilege.is_empty()
                || !privilege
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            {
                let account = key(row, 0, 1);
                reader.note(
                    Part::DynamicPrivileges,
                    Some(&account),
                    "a dynamic privilege with an odd name".to_owned(),
                );
                return;
            }
            if let Some(account) = reader.grantee(key(row, 0, 1), || Level::Global) {
                account
                    .grants
                    .dynamic
                    .insert(privilege, row.bytes(3) == Some(b"Y"));
            }
        },
    )
    .await
}

pub(super) async fn read_roles(
    conn: &mut Connection,
    reader: &mut Reader,
) -> Result<(), MysqlError> {
    let statement =
        "SELECT TO_USER, TO_HOST, FROM_USER, FROM_HOST, WITH_ADMIN_OPTION FROM mysql.role_edges";
    read_table(conn, reader, Part::Roles, statement, |reader, row| {
        let role = key(row, 2, 3);
        if let Some(account) = reader.grantee(key(row, 0, 1), || Level::Role { role: role.clone() })
        {
            account
                .grants
                .roles
                .insert(role, row.bytes(4) == Some(b"Y"));
        }
    })
    .await?;
    let statement =
        "SELECT USER, HOST, DEFAULT_ROLE_USER, DEFAULT_ROLE_HOST FROM mysql.default_roles";
    read_table(
        conn,
        reader,
        Part::DefaultRoles,
        statement,
        |reader, row| {
            let role = key(row, 2, 3);
            if let Some(account) =
                reader.grantee(key(row, 0, 1), || Level::Role { role: role.clone() })
            {
                account.default_roles.insert(role);
            }
        },
    )
    .await
}
