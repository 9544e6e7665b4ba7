//! `atrest accounts`: the accounts of a MySQL or MariaDB server, of a pair, and the way from one to the other.

mod clone;
mod diff;
mod export;
mod servers;
mod statements;

use atrest_model::account::{AccountKey, Accounts, reservation};
use atrest_reports::{AccountServer, AccountsNotCompared, ConfigurationDifference};
use atrest_scanner::access::AccessError;
use atrest_scanner::mysql::{Connection, MysqlError, read_accounts, show_configuration};

use crate::cli::{AccountsArgs, AccountsCommand};
use crate::commands::login;
use crate::exit::Exit;
use servers::Located;

pub(super) async fn run(args: AccountsArgs) -> anyhow::Result<Exit> {
    match args.command {
        AccountsCommand::Export(args) => export::run(args).await,
        AccountsCommand::Diff(args) => diff::run(args).await,
        AccountsCommand::Clone(args) => Box::pin(clone::run(args)).await,
    }
}

/// Everything read from one server.
struct Read {
    server: AccountServer,
    accounts: Accounts,
    configuration: Configuration,
}

/// `mysql.rds_show_configuration`.
enum Configuration {
    Values(std::collections::BTreeMap<String, Option<String>>),
    /// The server is not RDS.
    Absent,
    /// The procedure is there and could not be called.
    Unread(String),
}

/// Reads accounts and configuration.
async fn read(located: &Located, connection: &mut Connection) -> anyhow::Result<Read> {
    let name = &located.server.name;
    let failed = |error: MysqlError| login::failed(name, &AccessError::from(error));
    let accounts = read_accounts(connection).await.map_err(failed)?;
    let configuration = match show_configuration(connection).await {
        Ok(Some(values)) => Configuration::Values(values),
        Ok(None) => Configuration::Absent,
        Err(error @ (MysqlError::PrivilegeMissing { .. } | MysqlError::Server { .. })) => {
            Configuration::Unread(error.to_string())
        }
        Err(error) => return Err(failed(error)),
    };
    Ok(Read {
        server: AccountServer {
            name: name.clone(),
            endpoint: connection.endpoint().to_owned(),
            server: accounts.server,
            read_as: accounts.read_as.clone(),
            read_only: accounts.settings.read_only,
        },
        accounts,
        configuration,
    })
}

/// How the configuration of two servers differs, as far as both have it; else why it is not compared.
fn configuration(
    old: &Configuration,
    new: &Configuration,
) -> Result<Vec<ConfigurationDifference>, AccountsNotCompared> {
    use atrest_model::account::Side;
    let not = |side, failed, reason: &str| AccountsNotCompared {
        side,
        part: "configuration".to_owned(),
        account: None,
        failed,
        reason: reason.to_owned(),
    };
    match (old, new) {
        (Configuration::Unread(reason), _) => Err(not(Some(Side::Old), true, reason)),
        (_, Configuration::Unread(reason)) => Err(not(Some(Side::New), true, reason)),
        (Configuration::Absent, _) => Err(not(
            Some(Side::Old),
            false,
            "the server has no mysql.rds_show_configuration",
        )),
        (_, Configuration::Absent) => Err(not(
            Some(Side::New),
            false,
            "the server has no mysql.rds_show_configuration",
        )),
        (Configuration::Values(old), Configuration::Values(new)) => {
            let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            let value = |of: &std::collections::BTreeMap<String, Option<String>>, name: &String| {
                of.get(name).cloned().flatten()
            };
            Ok(names
                .into_iter()
                .map(|name| ConfigurationDifference {
                    name: name.clone(),
                    old: value(old, name),
                    new: value(new, name),
                })
                .filter(|value| value.old != value.new)
                .collect())
        }
    }
}

/// Reserved accounts of a server, but not MariaDB's `PUBLIC`, whose grants are anybody's to give.
fn reserved(accounts: &Accounts) -> Vec<AccountKey> {
    use atrest_model::account::Reservation;
    let keys = accounts.accounts.keys();
    keys.filter(|key| {
        matches!(
            reservation(key, &accounts.server),
            Some(Reservation::Known | Reservation::LooksLikeRds)
        )
    })
    .cloned()
    .collect()
}

/// RFC 3339, for documents.
fn now() -> String {
    jiff::Timestamp::now()
        .round(jiff::Unit::Second)
        .unwrap_or_else(|_out_of_range| jiff::Timestamp::now())
        .to_string()
}
