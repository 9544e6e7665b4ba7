//! What the replica method changes on the source and puts back: how long it keeps binary logs, and the account that
//! reads them.

use atrest_model::account::quote_literal;
use atrest_model::plan::{REPLICATION_USER_PREFIX, Target};
use atrest_scanner::access;
use atrest_scanner::mysql::{Connection, replication_account_exists, show_configuration};
use serde_json::{Value, json};

use super::{asked, channel, is_cut_over, ready};
use crate::accounts;
use crate::fault::Fault;
use crate::observatory::RegionView;
use crate::steps::{Cx, Seen};

/// The configuration value that the method raises.
const RETENTION: &str = "binlog retention hours";

async fn retention_of(connection: &mut Connection) -> Result<Option<Option<u32>>, Fault> {
    let shown = show_configuration(connection).await?;
    Ok(shown.map(|values| {
        let value = values.get(RETENTION).cloned().flatten();
        value.and_then(|text| text.parse().ok())
    }))
}

pub(in crate::steps) async fn retention(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
    hours: u32,
) -> Result<Seen, Fault> {
    if is_cut_over(cx, view) {
        return Ok(Seen::done("the cutover is over"));
    }
    let (instance, auth) = match asked(cx, view, target)? {
        Ok(found) => found,
        Err(seen) => return Ok(seen),
    };
    let mut connection = access::open(instance, auth).await?;
    let shown = retention_of(&mut connection).await;
    connection.close().await;
    Ok(match shown? {
        None => Seen::stuck(
            "there is no mysql.rds_show_configuration, or the login may not call it",
            "log in as the master user, or plan the cold method",
        ),
        Some(Some(kept)) if kept >= hours => Seen::done(format!("{kept} h")),
        Some(Some(kept)) => Seen::absent(format!("{kept} h of {hours} h")),
        Some(None) => Seen::absent(format!("not set; {hours} h are needed")),
    })
}

/// The value before it is raised, which goes into the journal with the intent.
pub(in crate::steps) async fn note_retention(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
) -> Result<Value, Fault> {
    let (instance, auth) = ready(cx, view, target)?;
    let mut connection = access::open(instance, auth).await?;
    let shown = retention_of(&mut connection).await;
    connection.close().await;
    Ok(json!({"before": shown?.flatten()}))
}

pub(in crate::steps) async fn set_retention(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
    hours: Option<u32>,
) -> Result<(), Fault> {
    let (instance, auth) = ready(cx, view, target)?;
    let mut connection = access::open(instance, auth).await?;
    let value = hours.map(|hours| hours.to_string());
    let set = accounts::set_configuration(&mut connection, RETENTION, value.as_deref()).await;
    connection.close().await;
    set.map_err(Fault::from)
}

/// What `retention` noted: the value before; nothing when it was enough as it was.
fn noted_retention(cx: &Cx<'_>, raised_by: &str) -> Option<Option<u32>> {
    let record = cx.records.get(raised_by)?;
    let before = record.result.get("noted")?.get("before")?;
    Some(before.as_u64().and_then(|hours| u32::try_from(hours).ok()))
}

pub(in crate::steps) async fn restored_retention(
    cx: &Cx<'_>,
    view: &RegionView,
    targets: &[Target],
    raised_by: &str,
) -> Result<Seen, Fault> {
    let Some(before) = noted_retention(cx, raised_by) else {
        return Ok(Seen::done("it was not raised"));
    };
    for target in targets {
        let (instance, auth) = match asked(cx, view, target)? {
            Ok(found) => found,
            Err(seen) => return Ok(seen),
        };
        let mut connection = access::open(instance, auth).await?;
        let shown = retention_of(&mut connection).await;
        connection.close().await;
        if shown? != Some(before) {
            return Ok(Seen::absent(format!(
                "{} still keeps binary logs as for the migration",
                instance.identifier()
            )));
        }
    }
    Ok(Seen::done(before.map_or_else(
        || "not set, as before".to_owned(),
        |hours| format!("{hours} h, as before"),
    )))
}

pub(in crate::steps) async fn restore_retention(
    cx: &Cx<'_>,
    view: &RegionView,
    targets: &[Target],
    raised_by: &str,
) -> Result<(), Fault> {
    let Some(before) = noted_retention(cx, raised_by) else {
        return Ok(());
    };
    for target in targets {
        set_retention(cx, view, target, before).await?;
    }
    Ok(())
}

pub(in crate::steps) async fn account(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
    account: &str,
) -> Result<Seen, Fault> {
    if is_cut_over(cx, view) {
        return Ok(Seen::done("the cutover is over"));
    }
    let (instance, auth) = match asked(cx, view, target)? {
        Ok(found) => found,
        Err(seen) => return Ok(seen),
    };
    let mut connection = access::open(instance, auth).await?;
    let exists = replication_account_exists(&mut connection, account).await;
    connection.close().await;
    Ok(if exists? {
        Seen::done(format!("{account} may read the binary log"))
    } else {
        Seen::absent(format!("no {account}"))
    })
}

fn user(account: &str) -> String {
    format!(
        "{}@'%'",
        String::from_utf8_lossy(&quote_literal(account.as_bytes()))
    )
}

/// Makes the account. Nobody knows its password: the channel is given another.
pub(in crate::steps) async fn create_account(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
    account: &str,
) -> Result<(), Fault> {
    let (instance, auth) = ready(cx, view, target)?;
    let mut connection = access::open(instance, auth).await?;
    let made = async {
        let password = channel::Password::make();
        let create = format!(
            "CREATE USER IF NOT EXISTS {} IDENTIFIED BY {} REQUIRE SSL",
            user(account),
            password.literal()
        );
        connection
            .execute(create.as_bytes())
            .await
            .map_err(|error| {
                channel::unquoted("CREATE USER for the replication account", &error)
            })?;
        let grant = format!("GRANT REPLICATION SLAVE ON *.* TO {}", user(account));
        connection.execute(grant.as_bytes()).await?;
        Ok(())
    }
    .await;
    connection.close().await;
    made
}

pub(in crate::steps) async fn no_account(
    cx: &Cx<'_>,
    view: &RegionView,
    targets: &[Target],
    account: &str,
) -> Result<Seen, Fault> {
    for target in targets {
        let (instance, auth) = match asked(cx, view, target)? {
            Ok(found) => found,
            Err(seen) => return Ok(seen),
        };
        let mut connection = access::open(instance, auth).await?;
        let exists = replication_account_exists(&mut connection, account).await;
        connection.close().await;
        if exists? {
            return Ok(Seen::absent(format!(
                "{account} is still on {}",
                instance.identifier()
            )));
        }
    }
    Ok(Seen::done("gone on both"))
}

pub(in crate::steps) async fn drop_account(
    cx: &Cx<'_>,
    view: &RegionView,
    targets: &[Target],
    account: &str,
) -> Result<(), Fault> {
    if !account.starts_with(REPLICATION_USER_PREFIX) {
        return Err(Fault::Plan(format!("{account} is not an account of a run")));
    }
    for target in targets {
        let (instance, auth) = ready(cx, view, target)?;
        let mut connection = access::open(instance, auth).await?;
        let statement = format!("DROP USER IF EXISTS {}", user(account));
        let dropped = connection.execute(statement.as_bytes()).await;
        connection.close().await;
        dropped?;
    }
    Ok(())
}
