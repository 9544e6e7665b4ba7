//! The accounts of one server, for people.

use std::io::{self, Write};

use atrest_model::account::{
    Account, AccountKey, Accounts, LockTime, PasswordLifetime, PrivilegeSet, TlsRequirement,
};

use super::document::AccountsExport;
use super::{or_null, server};
use crate::style::Style;
use crate::text::{count, paragraph, printable};

/// Column of what is said about an account.
const VALUE: usize = 12;

pub(super) fn write(export: &AccountsExport, style: Style, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", server("===", &export.server, style))?;
    let Accounts {
        accounts,
        orphans,
        unread,
        settings,
        ..
    } = &export.accounts;
    for (key, account) in accounts {
        if !export.reserved.contains(key) {
            write_account(key, account, style, out)?;
        }
    }
    if let Some(line) = super::listed("reserved, not shown: ", &export.reserved, style) {
        writeln!(out, "{line}")?;
    }
    for orphan in orphans {
        let line = format!(
            "a grant on {} without an account: {}",
            orphan.level, orphan.account
        );
        let line = paragraph("note: ", &printable(&line), 2, style.width);
        writeln!(out, "{}", style.odd(&line))?;
    }
    if let Some(roles) = settings
        .mandatory_roles
        .as_deref()
        .filter(|roles| !roles.is_empty())
    {
        let line = paragraph("mandatory roles: ", &printable(roles), 2, style.width);
        writeln!(out, "{}", style.odd(&line))?;
    }
    for (name, value) in export.configuration.iter().flatten() {
        let line = format!("{}: {}", printable(name), or_null(value.as_deref()));
        let line = paragraph("configuration: ", &line, 2, style.width);
        writeln!(out, "{}", style.faint(&line))?;
    }
    let unread = unread.iter().map(|unread| match &unread.account {
        Some(account) => format!("{} of {account}: {}", unread.part, unread.reason),
        None => format!("{}: {}", unread.part, unread.reason),
    });
    let unread: Vec<String> = unread.chain(export.not_read.iter().cloned()).collect();
    for line in &unread {
        let line = paragraph("NOT READ: ", &printable(line), 2, style.width);
        writeln!(out, "{}", style.bad(&line))?;
    }
    let roles = accounts.values().filter(|account| account.is_role).count();
    let shown = accounts.len().saturating_sub(export.reserved.len());
    let roles = match roles {
        0 => String::new(),
        roles => format!(", {} of them", count(roles, "role", "roles")),
    };
    let mut line = format!(
        "{}{roles}, {} reserved",
        count(shown, "account", "accounts"),
        export.reserved.len()
    );
    if unread.is_empty() {
        writeln!(out, "{}", style.good(&line))
    } else {
        line.push_str("; INCOMPLETE: not everything could be read");
        writeln!(out, "{}", style.bad(&line))
    }
}

fn write_account(
    key: &AccountKey,
    account: &Account,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let kind = if account.is_role { "  (role)" } else { "" };
    let name = printable(&key.to_string()).into_owned();
    writeln!(out, "{}{kind}", style.strong(&name))?;
    let mut said = Vec::new();
    logins(account, &mut said);
    attributes(account, &mut said);
    grants(account, &mut said);
    let mut last = "";
    for (what, text) in &said {
        // What is said of several things in a row is named once.
        let name = if *what == last { "" } else { what };
        last = what;
        let first = format!("  {name:<width$}", width = VALUE - 2);
        let line = paragraph(&first, &printable(text), VALUE + 2, style.width);
        writeln!(out, "{line}")?;
    }
    Ok(())
}

type Said = Vec<(&'static str, String)>;

fn logins(account: &Account, said: &mut Said) {
    for method in &account.authentication {
        let stored = if method.credential.is_empty() {
            "nothing stored".to_owned()
        } else {
            format!("<credential {}>", method.credential)
        };
        said.push(("login", format!("{} {stored}", method.plugin)));
    }
    if let Some(retained) = &account.retained {
        said.push((
            "login",
            format!("also an older password <credential {retained}>"),
        ));
    }
}

fn attributes(account: &Account, said: &mut Said) {
    if account.locked {
        said.push(("account", "locked".to_owned()));
    }
    match &account.tls {
        TlsRequirement::None => {}
        TlsRequirement::Ssl => said.push(("require", "SSL".to_owned())),
        TlsRequirement::X509 => said.push(("require", "X509".to_owned())),
        TlsRequirement::Specified {
            subject,
            issuer,
            cipher,
        } => {
            let parts = [("subject", subject), ("issuer", issuer), ("cipher", cipher)];
            for (what, value) in parts.into_iter().filter(|(_, value)| !value.is_empty()) {
                said.push(("require", format!("{what} {value}")));
            }
        }
    }
    let limits = &account.limits;
    let numbers = [
        ("max_queries_per_hour", i128::from(limits.queries_per_hour)),
        ("max_updates_per_hour", i128::from(limits.updates_per_hour)),
        (
            "max_connections_per_hour",
            i128::from(limits.connections_per_hour),
        ),
        ("max_user_connections", i128::from(limits.user_connections)),
    ];
    for (name, limit) in numbers.into_iter().filter(|(_, limit)| *limit != 0) {
        said.push(("limits", format!("{name} {limit}")));
    }
    if limits.statement_time_us != 0 {
        let (seconds, rest) = (
            limits.statement_time_us / 1_000_000,
            limits.statement_time_us % 1_000_000,
        );
        said.push(("limits", format!("max_statement_time {seconds}.{rest:06}")));
    }
    password(account, said);
    if let Some(attribute) = &account.attribute {
        said.push(("attribute", attribute.to_string()));
    }
    for property in &account.not_modelled {
        said.push(("also", property.clone()));
    }
}

fn password(account: &Account, said: &mut Said) {
    let policy = &account.password;
    if policy.expired {
        said.push(("password", "expired".to_owned()));
    }
    match policy.lifetime {
        PasswordLifetime::Default => {}
        PasswordLifetime::Never => said.push(("password", "never expires".to_owned())),
        PasswordLifetime::Days(days) => {
            said.push(("password", format!("expires every {days} days")));
        }
    }
    if let Some(history) = policy.history {
        said.push(("password", format!("history {history}")));
    }
    if let Some(days) = policy.reuse_interval {
        said.push(("password", format!("reuse interval {days} days")));
    }
    if let Some(require) = policy.require_current {
        let word = if require { "required" } else { "optional" };
        said.push(("password", format!("current password {word}")));
    }
    if let Some(failed) = policy.failed_login {
        let time = match failed.lock_time {
            LockTime::Days(days) => format!("{days} days"),
            LockTime::Unbounded => "until unlocked".to_owned(),
        };
        said.push((
            "password",
            format!("locked after {} failed logins, {time}", failed.attempts),
        ));
    }
}

fn names(set: PrivilegeSet) -> String {
    set.names().collect::<Vec<_>>().join(", ")
}

fn grants(account: &Account, said: &mut Said) {
    let grants = &account.grants;
    let mut say = |text: String| said.push(("grants", text));
    if !grants.global.is_empty() {
        say(format!("*.*: {}", names(grants.global)));
    }
    let (with, without): (Vec<_>, Vec<_>) = grants.dynamic.iter().partition(|(_, option)| **option);
    for (list, option) in [(without, ""), (with, " (with grant option)")] {
        if !list.is_empty() {
            let list: Vec<&str> = list.into_iter().map(|(name, _)| name.as_str()).collect();
            say(format!("*.*: {}{option}", list.join(", ")));
        }
    }
    for (database, set) in &grants.restrictions {
        say(format!("revoked on `{database}`.*: {}", names(*set)));
    }
    for (database, set) in &grants.databases {
        say(format!("`{database}`.*: {}", names(*set)));
    }
    for ((database, table), grant) in &grants.tables {
        if !grant.table.is_empty() {
            say(format!("`{database}`.`{table}`: {}", names(grant.table)));
        }
        for (column, set) in &grant.columns {
            say(format!(
                "`{database}`.`{table}` (`{column}`): {}",
                names(*set)
            ));
        }
    }
    for ((kind, database, routine), set) in &grants.routines {
        let kind = kind.sql().to_ascii_lowercase();
        say(format!("{kind} `{database}`.`{routine}`: {}", names(*set)));
    }
    for (proxied, option) in &grants.proxies {
        let option = if *option { " (with grant option)" } else { "" };
        say(format!("proxy {proxied}{option}"));
    }
    for (role, admin) in &grants.roles {
        let admin = if *admin { " (with admin option)" } else { "" };
        let default = if account.default_roles.contains(role) {
            " (default)"
        } else {
            ""
        };
        said.push(("roles", format!("{role}{admin}{default}")));
    }
    for role in &account.default_roles {
        if !grants.roles.contains_key(role) {
            said.push(("roles", format!("{role} (default, not granted)")));
        }
    }
}
