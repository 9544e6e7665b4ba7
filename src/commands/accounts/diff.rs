//! `atrest accounts diff`.

use atrest_model::Tool;
use atrest_model::account::{AccountsDiff, diff};
use atrest_reports::{
    ACCOUNTS_SCHEMA_VERSION, AccountDifferences, AccountsDiffReport, AccountsFormat,
    AccountsNotCompared, accounts_diff,
};

use super::servers::{self, Located};
use super::{Read, configuration};
use crate::cli::AccountsDiffArgs;
use crate::commands::common;
use crate::exit::Exit;

pub(super) async fn run(args: AccountsDiffArgs) -> anyhow::Result<Exit> {
    let outputs = common::outputs::<AccountsFormat>(&args.format, "accounts diff")?;
    let (a, b) = servers::two(&args.sides).await?;
    let (old, new) = futures::try_join!(alone(&a), alone(&b))?;
    let options = servers::diff_options(&args.sides, &a, &b);
    let report = report(&old, &new, &diff(&old.accounts, &new.accounts, &options));
    for output in &outputs {
        let mut bytes = Vec::new();
        accounts_diff(
            &report,
            output.format,
            &common::style_of(output),
            &mut bytes,
        )?;
        common::deliver(output.path.as_deref(), &bytes)?;
    }
    let drift = if report.differences.is_empty() {
        Exit::Ok
    } else {
        Exit::Drift
    };
    Ok(drift.max(if report.is_whole() {
        Exit::Ok
    } else {
        Exit::Incomplete
    }))
}

/// Connects, reads, leaves.
async fn alone(located: &Located) -> anyhow::Result<Read> {
    let mut connection = located.connect().await?;
    let read = super::read(located, &mut connection).await;
    connection.close().await;
    read
}

fn report(old: &Read, new: &Read, found: &AccountsDiff) -> AccountsDiffReport {
    let (values, not_compared) = match configuration(&old.configuration, &new.configuration) {
        Ok(values) => (values, None),
        Err(not) => (Vec::new(), Some(not)),
    };
    let unread = found.unread.iter().map(|sided| AccountsNotCompared {
        side: Some(sided.side),
        part: sided.unread.part.to_string(),
        account: sided.unread.account.clone(),
        failed: true,
        reason: sided.unread.reason.clone(),
    });
    let compared = old.accounts.accounts.len().max(new.accounts.accounts.len());
    AccountsDiffReport {
        schema_version: ACCOUNTS_SCHEMA_VERSION,
        tool: Tool::current(),
        created: super::now(),
        old: old.server.clone(),
        new: new.server.clone(),
        compared: compared.saturating_sub(found.reserved.len()) as u64,
        differences: AccountDifferences::new(found, values),
        reserved: found.reserved.clone(),
        orphans: found.orphans.clone(),
        not_compared: unread.chain(not_compared).collect(),
        warnings: found.warnings.clone(),
    }
}
