//! Statements as a script for the mysql client, and where it is written. The script holds password hashes.

use std::path::Path;

use atrest_model::account::{NotTransferable, ServerVersion, Statement, quote_literal};
use atrest_reports::{AccountServer, ConfigurationDifference, PrivateFileError, printable};

use crate::exit::ExpectedError;

/// A script to be.
pub(super) struct Script<'a> {
    /// Where the accounts come from.
    pub(super) from: &'a AccountServer,
    /// Where it is to be run; `None` for any server like `from`.
    pub(super) to: Option<&'a AccountServer>,
    pub(super) statements: &'a [Statement],
    pub(super) configuration: &'a [ConfigurationDifference],
    pub(super) not_transferable: &'a [NotTransferable],
}

impl Script<'_> {
    /// The script. It prepares its session as this tool does, so that the statements mean the same.
    pub(super) fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut comment = |line: String| {
            // Names may hold line ends; a comment must not end early.
            text.extend_from_slice(format!("-- {}\n", printable(&line)).as_bytes());
        };
        let version = self.to.unwrap_or(self.from).server;
        comment(format!(
            "atrest {}: accounts of {} ({}), read {}",
            env!("CARGO_PKG_VERSION"),
            self.from.name,
            self.from.server,
            super::now()
        ));
        comment(match self.to {
            Some(to) => format!("For {} ({}) as it was then.", to.name, to.server),
            None => format!("For an empty server of the same family, {version} or like it."),
        });
        comment(
            "It holds password hashes: keep it to yourself and delete it after use.".to_owned(),
        );
        comment(
            "Run it so: mysql --binary-mode --default-character-set=utf8mb4 ... < this-file"
                .to_owned(),
        );
        comment(
            "On a replica, as a user who may: put SET SESSION sql_log_bin=0; before the rest."
                .to_owned(),
        );
        for not in self.not_transferable {
            let of = not
                .account
                .as_ref()
                .map(|account| format!("{account}: "))
                .unwrap_or_default();
            comment(format!("Not carried: {of}{}: {}", not.what, not.reason));
        }
        text.extend_from_slice(preamble(&version).as_bytes());
        for statement in self.statements {
            text.extend_from_slice(statement.expose());
            text.extend_from_slice(b";\n");
        }
        for value in self.configuration {
            text.extend_from_slice(b"CALL mysql.rds_set_configuration(");
            text.extend_from_slice(&quote_literal(value.name.as_bytes()));
            text.extend_from_slice(b", ");
            match &value.old {
                Some(wanted) => text.extend_from_slice(&quote_literal(wanted.as_bytes())),
                None => text.extend_from_slice(b"NULL"),
            }
            text.extend_from_slice(b");\n");
        }
        text
    }
}

/// The session the statements are written for: backslash escapes, no `ANSI_QUOTES`, and no accounts made by `GRANT`.
fn preamble(version: &ServerVersion) -> String {
    let mode = if version.is_mysql_from(8, 0, 0) {
        ""
    } else {
        "NO_AUTO_CREATE_USER"
    };
    format!("SET NAMES utf8mb4;\nSET SESSION sql_mode='{mode}';\n")
}

/// Whether a script could be written there; asked before the servers are.
pub(super) fn check(path: &Path, replace: bool) -> anyhow::Result<()> {
    atrest_reports::check_private(path, replace).map_err(|error| not_written(path, &error))
}

/// Writes a script for its owner's eyes only.
pub(super) fn write(path: &Path, script: &[u8], replace: bool) -> anyhow::Result<()> {
    atrest_reports::write_private(path, script, replace).map_err(|error| not_written(path, &error))
}

fn not_written(path: &Path, error: &PrivateFileError) -> anyhow::Error {
    let hint = match error {
        PrivateFileError::Exists => "give another name, or --force to replace it",
        PrivateFileError::NotAFile(_) => "give the name of a new file",
        PrivateFileError::Io(_) => "check the folder and the disk",
    };
    ExpectedError::usage(format!("cannot write {}: {error}", path.display()), hint)
}
