//! `atrest accounts export`.

use std::collections::BTreeMap;

use atrest_model::Tool;
use atrest_model::account::{Accounts, DiffOptions, Name, Scope, render};
use atrest_reports::{
    ACCOUNTS_SCHEMA_VERSION, AccountsExport, ExportFormat, Output, accounts_export,
};

use super::statements::{self, Script};
use super::{Configuration, Read, servers};
use crate::cli::ExportArgs;
use crate::commands::common;
use crate::exit::{Exit, ExpectedError};

pub(super) async fn run(args: ExportArgs) -> anyhow::Result<Exit> {
    let outputs = common::outputs::<ExportFormat>(&args.format, "accounts export")?;
    for output in outputs.iter().filter(|o| o.format == ExportFormat::Sql) {
        match &output.path {
            Some(path) => statements::check(path, args.force)?,
            None if args.allow_secrets_on_stdout => {}
            None => {
                return Err(ExpectedError::usage(
                    "the statements hold password hashes, which do not belong on a screen",
                    "--format sql=FILE writes them to a file that only you can read; --allow-secrets-on-stdout means it",
                ));
            }
        }
    }
    let located = servers::one(&args).await?;
    let mut connection = located.connect().await?;
    let read = super::read(&located, &mut connection).await;
    connection.close().await;
    let read = read?;
    let options = DiffOptions {
        master_username: located.server.master_username.as_deref().map(Name::from),
    };
    let whole =
        read.accounts.unread.is_empty() && !matches!(read.configuration, Configuration::Unread(_));
    for output in outputs.iter().filter(|o| o.format == ExportFormat::Sql) {
        let script = script(&read, &options)?;
        match &output.path {
            Some(path) => statements::write(path, &script, args.force)?,
            None => common::deliver(None, &script)?,
        }
    }
    let export = document(read);
    for output in &outputs {
        deliver(&export, output)?;
    }
    Ok(if whole { Exit::Ok } else { Exit::Incomplete })
}

fn deliver(export: &AccountsExport, output: &Output<ExportFormat>) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    match output.format {
        ExportFormat::Sql => return Ok(()),
        ExportFormat::Json => bytes = common::json(export)?,
        ExportFormat::Text => accounts_export(export, &common::style_of(output), &mut bytes)?,
    }
    common::deliver(output.path.as_deref(), &bytes)
}

/// The statements that make all accounts on a server that has none.
fn script(read: &Read, options: &DiffOptions) -> anyhow::Result<Vec<u8>> {
    let empty = Accounts {
        accounts: BTreeMap::new(),
        orphans: Vec::new(),
        unread: Vec::new(),
        ..read.accounts.clone()
    };
    let rendering = render(&read.accounts, &empty, Scope::Missing, options).map_err(|refusal| {
        ExpectedError::of(
            Exit::Incomplete,
            format!("{}: {refusal}", read.server.name),
            "log in as a user who may read the tables of the schema mysql",
        )
    })?;
    let script = Script {
        from: &read.server,
        to: None,
        statements: &rendering.statements,
        configuration: &[],
        not_transferable: &rendering.not_transferable,
    };
    Ok(script.text())
}

fn document(read: Read) -> AccountsExport {
    let (configuration, not_read) = match read.configuration {
        Configuration::Values(values) => (Some(values), Vec::new()),
        Configuration::Absent => (None, Vec::new()),
        Configuration::Unread(reason) => (None, vec![format!("configuration: {reason}")]),
    };
    AccountsExport {
        schema_version: ACCOUNTS_SCHEMA_VERSION,
        tool: Tool::current(),
        created: super::now(),
        reserved: super::reserved(&read.accounts),
        server: read.server,
        accounts: read.accounts,
        configuration,
        not_read,
    }
}
