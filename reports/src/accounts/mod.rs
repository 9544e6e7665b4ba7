//! Accounts of MySQL servers: one server, the difference of two, statements that bring them over.
//!
//! Names of accounts come from outside and may hold anything: each passes [`printable`].

mod clone;
mod diff;
mod document;
mod export;

use std::io::{self, Write};
use std::str::FromStr;

use atrest_model::account::AccountKey;

use crate::format::{UnknownFormat, named};
use crate::style::Style;
use crate::text::{paragraph, printable};

pub use document::{
    ACCOUNTS_SCHEMA_VERSION, AccountDifferences, AccountServer, AccountStatement,
    AccountsCloneReport, AccountsDiffReport, AccountsExport, AccountsNotCompared, ChangedAccount,
    CloneOutcome, ConfigurationDifference, RefusedStatement,
};

/// Formats of a comparison and of a clone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountsFormat {
    /// For people.
    Text,
    /// The whole report.
    Json,
}

impl AccountsFormat {
    /// Every format with its name.
    pub const ALL: &[(&str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

impl FromStr for AccountsFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        named(text, Self::ALL)
    }
}

/// Formats of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// For people.
    Text,
    /// The whole model, credentials as fingerprints.
    Json,
    /// Statements, with password hashes. Not written by this crate.
    Sql,
}

impl ExportFormat {
    /// Every format with its name.
    pub const ALL: &[(&str, Self)] = &[
        ("text", Self::Text),
        ("json", Self::Json),
        ("sql", Self::Sql),
    ];
}

impl FromStr for ExportFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        named(text, Self::ALL)
    }
}

/// Renders the accounts of a server for people.
///
/// # Errors
///
/// Any error of `out`.
pub fn accounts_export(
    export: &AccountsExport,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    export::write(export, *style, out)
}

/// Renders a comparison.
///
/// # Errors
///
/// Any error of `out`.
pub fn accounts_diff(
    report: &AccountsDiffReport,
    format: AccountsFormat,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        AccountsFormat::Json => crate::json::write(report, out),
        AccountsFormat::Text => diff::write(report, *style, out),
    }
}

/// Renders what a clone would do, or has done.
///
/// # Errors
///
/// Any error of `out`.
pub fn accounts_clone(
    report: &AccountsCloneReport,
    format: AccountsFormat,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        AccountsFormat::Json => crate::json::write(report, out),
        AccountsFormat::Text => clone::write(report, *style, out),
    }
}

/// `--- name  (endpoint, mysql 8.0.36, read as 'admin'@'%')`.
fn server(sign: &str, server: &AccountServer, style: Style) -> String {
    let facts = if server.name == server.endpoint {
        String::new()
    } else {
        format!("{}, ", server.endpoint)
    };
    let facts = format!("({facts}{}, read as {})", server.server, server.read_as);
    let line = format!("{} {}", printable(&server.name), printable(&facts));
    style.strong(&paragraph(&format!("{sign} "), &line, 4, style.width))
}

/// A list of accounts in one paragraph.
fn listed(title: &str, accounts: &[AccountKey], style: Style) -> Option<String> {
    if accounts.is_empty() {
        return None;
    }
    let names: Vec<String> = accounts
        .iter()
        .map(|account| printable(&account.to_string()).into_owned())
        .collect();
    let line = paragraph(title, &names.join(", "), 2, style.width);
    Some(style.faint(&line))
}

/// `value`, or `NULL`.
fn or_null(value: Option<&str>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |value| printable(value).into_owned())
}
