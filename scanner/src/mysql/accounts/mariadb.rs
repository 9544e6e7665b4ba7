//! MariaDB's own tables: `global_priv`, where an account is one JSON document, and `roles_mapping`.
//!
//! `mysql.user` is a view on `global_priv` that does not show everything.

use atrest_model::account::{
    Account, AccountKey, Authentication, Credential, Level, Name, Part, PasswordLifetime,
    PrivilegeSet, TlsRequirement,
};
use serde_json::{Map, Value};

use super::super::connection::Connection;
use super::super::error::MysqlError;
use super::{Reader, key, name, read_table};

pub(super) async fn read_users(
    conn: &mut Connection,
    reader: &mut Reader,
) -> Result<(), MysqlError> {
    let grantable = PrivilegeSet::mariadb_global(reader.version.is_mariadb_from(11, 3));
    let statement = "SELECT User, Host, Priv FROM mysql.global_priv";
    read_table(conn, reader, Part::Accounts, statement, |reader, row| {
        let account = key(row, 0, 1);
        let document = serde_json::from_slice::<Value>(row.bytes(2).unwrap_or_default());
        let Ok(Value::Object(document)) = document else {
            reader.note(
                Part::Accounts,
                Some(&account),
                "global_priv.Priv is no JSON object".to_owned(),
            );
            reader.accounts.insert(account, Account::default());
            return;
        };
        let read = read_user(reader, &account, document, grantable);
        reader.accounts.insert(account, read);
    })
    .await
}

fn read_user(
    reader: &mut Reader,
    key: &AccountKey,
    mut document: Map<String, Value>,
    grantable: PrivilegeSet,
) -> Account {
    let mut account = Account::default();
    let flag = |value: Option<Value>| value.and_then(|value| value.as_bool()).unwrap_or_default();
    account.is_role = flag(document.remove("is_role"));
    account.locked = flag(document.remove("account_locked"));
    read_access(reader, key, &mut document, grantable, &mut account);
    if !account.is_role {
        account.authentication = authentication(&mut document);
    }
    account.tls = tls(reader, key, &mut document);
    let mut number = |name: &str| {
        document
            .remove(name)
            .and_then(|value| value.as_u64())
            .unwrap_or_default()
    };
    account.limits.queries_per_hour = number("max_questions");
    account.limits.updates_per_hour = number("max_updates");
    account.limits.connections_per_hour = number("max_connections");
    account.limits.user_connections = document
        .remove("max_user_connections")
        .and_then(|value| value.as_i64())
        .unwrap_or_default();
    account.limits.statement_time_us = document
        .remove("max_statement_time")
        .map_or(0, |value| microseconds(&value));
    // Expiry is written as a change at the beginning of time.
    account.password.expired = document
        .remove("password_last_changed")
        .is_some_and(|value| value.as_u64() == Some(0));
    account.password.lifetime = match document
        .remove("password_lifetime")
        .and_then(|value| value.as_i64())
    {
        None | Some(..0) => PasswordLifetime::Default,
        Some(0) => PasswordLifetime::Never,
        Some(days) => PasswordLifetime::Days(u32::try_from(days).unwrap_or(u32::MAX)),
    };
    if let Some(Value::String(role)) = document.remove("default_role")
        && !role.is_empty()
    {
        account
            .default_roles
            .insert(AccountKey::new(role.as_str(), ""));
    }
    account
        .not_modelled
        .extend(document.into_iter().map(|(name, _)| name));
    account
}

fn read_access(
    reader: &mut Reader,
    key: &AccountKey,
    document: &mut Map<String, Value>,
    grantable: PrivilegeSet,
    account: &mut Account,
) {
    let access = document
        .remove("access")
        .and_then(|value| value.as_u64())
        .unwrap_or_default();
    let written_by = document
        .remove("version_id")
        .and_then(|value| value.as_u64());
    let (set, unknown) = PrivilegeSet::of_mariadb_access(access, grantable);
    account.grants.global = set;
    if unknown != 0 {
        reader.note(
            Part::Accounts,
            Some(key),
            format!("unknown privilege bits {unknown:#x}"),
        );
    }
    // Up to 10.4 SUPER stood for what are privileges of their own since.
    let super_privilege = PrivilegeSet::named("SUPER").unwrap_or_default();
    if written_by.is_none() && access != u64::MAX && set.contains(super_privilege) {
        reader.note(
            Part::Accounts,
            Some(key),
            "SUPER as written by MariaDB 10.4 or earlier, which means more".to_owned(),
        );
    }
}

/// One method, or the list of `auth_or`, in which an empty object stands for the method beside it.
fn authentication(document: &mut Map<String, Value>) -> Vec<Authentication> {
    let method = |document: &mut Map<String, Value>| {
        let text = |value: Option<Value>| match value {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        let plugin = text(document.remove("plugin"));
        Authentication {
            plugin: if plugin.is_empty() {
                "mysql_native_password".to_owned()
            } else {
                plugin
            },
            credential: Credential::new(
                text(document.remove("authentication_string")).into_bytes(),
            ),
        }
    };
    let beside = method(document);
    let Some(Value::Array(alternatives)) = document.remove("auth_or") else {
        return vec![beside];
    };
    alternatives
        .into_iter()
        .map(|alternative| match alternative {
            Value::Object(mut alternative) if !alternative.is_empty() => method(&mut alternative),
            _ => beside.clone(),
        })
        .collect()
}

fn tls(reader: &mut Reader, key: &AccountKey, document: &mut Map<String, Value>) -> TlsRequirement {
    let mut text = |name: &str| match document.remove(name) {
        Some(Value::String(text)) => Name::from(text.as_str()),
        _ => Name::default(),
    };
    let (subject, issuer, cipher) = (
        text("x509_subject"),
        text("x509_issuer"),
        text("ssl_cipher"),
    );
    match document.remove("ssl_type").and_then(|value| value.as_i64()) {
        None | Some(-1 | 0) => TlsRequirement::None,
        Some(1) => TlsRequirement::Ssl,
        Some(2) => TlsRequirement::X509,
        Some(3) => TlsRequirement::Specified {
            subject,
            issuer,
            cipher,
        },
        Some(other) => {
            reader.note(
                Part::Accounts,
                Some(key),
                format!("unknown TLS requirement {other}"),
            );
            TlsRequirement::None
        }
    }
}

/// `max_statement_time` is a number of seconds with a fraction.
fn microseconds(value: &Value) -> u64 {
    let micros = value.as_f64().unwrap_or_default() * 1e6;
    // At most 365 days on every version, so far inside what both types hold.
    if micros.is_finite() && micros >= 0.0 {
        micros.round() as u64
    } else {
        0
    }
}

pub(super) async fn read_roles(
    conn: &mut Connection,
    reader: &mut Reader,
) -> Result<(), MysqlError> {
    let statement = "SELECT User, Host, Role, Admin_option FROM mysql.roles_mapping";
    read_table(conn, reader, Part::Roles, statement, |reader, row| {
        let role = AccountKey::new(name(row, 2), "");
        if let Some(account) = reader.grantee(key(row, 0, 1), || Level::Role { role: role.clone() })
        {
            account
                .grants
                .roles
                .insert(role, row.bytes(3) == Some(b"Y"));
        }
    })
    .await
}
