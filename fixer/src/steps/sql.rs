//! Steps that go through MySQL: accounts of replicas, binlog retention.

use std::collections::BTreeMap;

use atrest_model::account::{DiffOptions, Name, Rendering, Scope};
use atrest_model::document::str_of;
use atrest_model::instance::DbInstance;
use atrest_model::plan::{REPLICATION_USER_PREFIX, Target};
use atrest_scanner::access::{self, AccessError, MysqlAuth, Password};
use atrest_scanner::mysql::{self, ClientConnection, Connection, ConnectionKind, MysqlError};
use serde_json::json;

use super::{Cx, Seen};
use crate::accounts;
use crate::fault::Fault;
use crate::observatory::RegionView;

impl From<AccessError> for Fault {
    fn from(error: AccessError) -> Self {
        Self::Mysql {
            message: error.to_string(),
            transient: error.is_transient(),
            hint: error.hint(),
        }
    }
}

impl From<accounts::ApplyError> for Fault {
    fn from(error: accounts::ApplyError) -> Self {
        let hint = error
            .hint()
            .unwrap_or("the message above is the server's own");
        match error {
            accounts::ApplyError::Server { source, .. } | accounts::ApplyError::Read(source) => {
                source.into()
            }
            refused => Self::Mysql {
                message: refused.to_string(),
                transient: false,
                hint,
            },
        }
    }
}

impl From<accounts::ConfigurationError> for Fault {
    fn from(error: accounts::ConfigurationError) -> Self {
        match error {
            accounts::ConfigurationError::Server { source, .. } => source.into(),
            refused => Self::Mysql {
                message: refused.to_string(),
                transient: false,
                hint: "set the value by hand on the new instance, then resume",
            },
        }
    }
}

impl From<MysqlError> for Fault {
    fn from(error: MysqlError) -> Self {
        AccessError::from(error).into()
    }
}

/// How to log in to the servers of a migration. A new instance has the password of the old one's secret until RDS
/// makes it one of its own, and replicas have none at all.
pub(super) fn login(cx: &Cx<'_>, view: &RegionView) -> Option<MysqlAuth> {
    let mut auth = cx.mysql?.clone();
    if let Password::MasterUserSecret { otherwise, .. } = &mut auth.password {
        let source = view.by_resource_id(&cx.migration.source.dbi_resource_id);
        *otherwise = source
            .and_then(|source| source.document.get("MasterUserSecret"))
            .and_then(|secret| str_of(secret, "SecretArn"))
            .map(str::to_owned);
    }
    Some(auth)
}

/// The login and the instance, or why there is nothing to ask.
pub(super) fn server<'v>(
    cx: &Cx<'_>,
    view: &'v RegionView,
    target: &Target,
) -> Result<Server<'v>, Fault> {
    let Some(instance) = cx.find(view, target)? else {
        return Ok(Server::NotShown);
    };
    match login(cx, view) {
        Some(auth) if instance.is_mysql_family() => Ok(Server::Asked(instance, Box::new(auth))),
        _ => Ok(Server::NotAsked(instance)),
    }
}

pub(super) enum Server<'v> {
    Asked(&'v DbInstance, Box<MysqlAuth>),
    NotAsked(&'v DbInstance),
    NotShown,
}

/// Whether the server behind an instance is asked at all.
pub(super) fn is_asked(cx: &Cx<'_>, instance: &DbInstance) -> bool {
    cx.mysql.is_some() && instance.is_mysql_family()
}

/// Where the log of a server ends: as a set of transactions where it has them, and as a position. `None` when it was not
/// read; what is told of it is never the only proof of anything.
pub(super) async fn log_state(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
) -> Option<serde_json::Value> {
    let Ok(Server::Asked(instance, auth)) = server(cx, view, target) else {
        return None;
    };
    let mut connection = access::open(instance, &auth).await.ok()?;
    let set = mysql::gtid_set(&mut connection).await;
    let position = mysql::binlog_position(&mut connection).await;
    connection.close().await;
    let position = position.ok().flatten();
    Some(json!({
        "gtid_set": set.ok().flatten(),
        "binlog_position": position.map(|at| json!({"file": at.file, "position": at.position})),
    }))
}

/// Client connections by their id on the server.
pub(super) type Clients = BTreeMap<u64, String>;

/// Who is connected to the source after it was quiesced; empty when the server is not asked.
pub(super) async fn clients(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
) -> Result<Clients, Fault> {
    let Server::Asked(instance, auth) = server(cx, view, target)? else {
        return Ok(Clients::new());
    };
    let mut connection = access::open(instance, &auth).await?;
    let found = mysql::client_connections(&mut connection).await;
    connection.close().await;
    Ok(named(found?))
}

fn named(connections: Vec<ClientConnection>) -> Clients {
    connections
        .into_iter()
        .filter(|client| client.kind == ConnectionKind::Client)
        // A successor that is about to ask for the log: it reads and no more.
        .filter(|client| {
            !client
                .user
                .as_bytes()
                .starts_with(REPLICATION_USER_PREFIX.as_bytes())
        })
        .map(|client| (client.id, format!("{}@{}", client.user, client.host)))
        .collect()
}

/// Both sides of a pair, connected.
struct Sides {
    old: Connection,
    new: Connection,
    master_username: String,
}

impl Sides {
    async fn close(self) {
        self.old.close().await;
        self.new.close().await;
    }
}

/// What was ready a moment ago is not any more; nothing was done.
pub(super) fn not_ready() -> Fault {
    Fault::Mysql {
        message: "a server is not ready any more".to_owned(),
        transient: true,
        hint: "wait until the instance is available",
    }
}

/// Connects to both sides; `Err(Seen)` when that has to wait or there is nothing to ask.
async fn sides(
    cx: &Cx<'_>,
    view: &RegionView,
    old: &Target,
    new: &Target,
) -> Result<Result<Sides, Seen>, Fault> {
    let (old, new, auth) = match (server(cx, view, old)?, server(cx, view, new)?) {
        (Server::Asked(old, _), Server::Asked(new, auth)) => (old, new, auth),
        (Server::NotShown, _) | (_, Server::NotShown) => {
            return Ok(Err(Seen::pending("not shown")));
        }
        _ => return Ok(Err(Seen::done("not asked"))),
    };
    if !old.is_ready() || !new.is_ready() {
        return Ok(Err(Seen::pending(format!(
            "{} and {}",
            old.status(),
            new.status()
        ))));
    }
    let master_username = old.master_username().to_owned();
    let (old, new) = futures::try_join!(access::open(old, &auth), access::open(new, &auth))?;
    Ok(Ok(Sides {
        old,
        new,
        master_username,
    }))
}

/// What is missing on the new side.
async fn rendering(sides: &mut Sides) -> Result<Rendering, Fault> {
    let (old, new) = futures::try_join!(
        mysql::read_accounts(&mut sides.old),
        mysql::read_accounts(&mut sides.new)
    )?;
    let options = DiffOptions {
        master_username: Some(Name::from(sides.master_username.as_str())),
    };
    accounts::plan(&mut sides.new, &old, &new, Scope::Missing, &options)
        .await
        .map_err(Fault::from)
}

/// Accounts that only the old replica has are made on the new one, once it has caught up: until then an account that
/// comes from the source looks missing, and making it would break replication.
pub(super) async fn accounts(
    cx: &Cx<'_>,
    view: &RegionView,
    old: &Target,
    new: &Target,
) -> Result<Seen, Fault> {
    let mut sides = match sides(cx, view, old, new).await? {
        Ok(sides) => sides,
        Err(seen) => return Ok(seen),
    };
    if let Some(behind) = behind(cx, view, new, &mut sides.new).await? {
        sides.close().await;
        return Ok(behind);
    }
    let found = rendering(&mut sides).await;
    sides.close().await;
    let found = found?;
    if found.statements.is_empty() {
        let left: Vec<String> = found
            .not_transferable
            .iter()
            .map(|n| format!("{}: {}", n.what, n.reason))
            .collect();
        return Ok(Seen::Done {
            detail: if left.is_empty() {
                "nothing is missing".to_owned()
            } else {
                format!("not transferable: {}", left.join("; "))
            },
            result: json!({"not_transferable": left}),
        });
    }
    Ok(Seen::absent(format!(
        "{} statements to run",
        found.statements.len()
    )))
}

/// Why a replica has to be waited for: not all of the log above it is applied, from the topmost source down to it.
async fn behind(
    cx: &Cx<'_>,
    view: &RegionView,
    replica: &Target,
    on: &mut Connection,
) -> Result<Option<Seen>, Fault> {
    let Some(instance) = cx.find(view, replica)? else {
        return Ok(Some(Seen::pending("not shown")));
    };
    let Some(auth) = login(cx, view) else {
        return Ok(None);
    };
    // Itself, its source, the source of that; a chain is at most a few long.
    let mut chain = vec![instance];
    while let Some(source) = chain
        .last()
        .and_then(|last| view.by_name(last.replica_source()?))
        .filter(|_| chain.len() < 16)
    {
        chain.push(source);
    }
    let mut pairs: Vec<(&DbInstance, &DbInstance)> = chain
        .windows(2)
        .filter_map(|pair| Some((*pair.first()?, *pair.get(1)?)))
        .collect();
    pairs.reverse();
    let lowest = pairs.len();
    for (number, (below, above)) in pairs.into_iter().enumerate() {
        let mut source = access::open(above, &auth).await?;
        let end = mysql::binlog_position(&mut source).await;
        source.close().await;
        let found = if number + 1 == lowest {
            behind_position(below, end?, on).await
        } else {
            let mut between = access::open(below, &auth).await?;
            let found = behind_position(below, end?, &mut between).await;
            between.close().await;
            found
        };
        if let Some(seen) = found? {
            return Ok(Some(seen));
        }
    }
    Ok(None)
}

/// Whether a replica has not applied its source's log up to a position.
async fn behind_position(
    replica: &DbInstance,
    end: Option<mysql::BinlogPosition>,
    on: &mut Connection,
) -> Result<Option<Seen>, Fault> {
    let channels = mysql::replication_status(on).await?;
    let Some(channel) = channels.first() else {
        return Ok(Some(Seen::pending("does not replicate yet")));
    };
    if let Some((code, text)) = channel
        .sql_error
        .as_ref()
        .or(channel.io_error.as_ref())
        .filter(|(code, _)| *code != 0)
    {
        return Ok(Some(Seen::stuck(
            format!(
                "replication of {} stopped with error {code}: {text}",
                replica.identifier()
            ),
            "mend replication (mysql.rds_skip_repl_error if that is right), then resume",
        )));
    }
    let (Some(end), Some(applied)) = (end, &channel.applied) else {
        return Ok(Some(Seen::pending("no position to compare yet")));
    };
    if applied.order() < end.order() {
        return Ok(Some(Seen::pending(format!(
            "{} has applied {}:{} of {}:{}",
            replica.identifier(),
            applied.file,
            applied.position,
            end.file,
            end.position
        ))));
    }
    Ok(None)
}

/// [`behind`] of an instance whose server is asked; `None` where none is.
pub(super) async fn behind_of(
    cx: &Cx<'_>,
    view: &RegionView,
    replica: &Target,
) -> Result<Option<Seen>, Fault> {
    let Server::Asked(instance, auth) = server(cx, view, replica)? else {
        return Ok(None);
    };
    let mut connection = access::open(instance, &auth).await?;
    let found = behind(cx, view, replica, &mut connection).await;
    connection.close().await;
    found
}

/// Runs the statements that are missing.
pub(super) async fn clone_accounts(
    cx: &Cx<'_>,
    view: &RegionView,
    old: &Target,
    new: &Target,
) -> Result<(), Fault> {
    let mut sides = sides(cx, view, old, new)
        .await?
        .map_err(|_seen| not_ready())?;
    let brought = async {
        let theirs = mysql::read_accounts(&mut sides.old).await?;
        // Where the server lets us: an account of one replica does not belong into its binlog.
        accounts::keep_out_of_binlog(&mut sides.new).await?;
        let options = DiffOptions {
            master_username: Some(Name::from(sides.master_username.as_str())),
        };
        accounts::bring_over(
            &mut sides.new,
            &theirs,
            Scope::Missing,
            &options,
            accounts::OnGrantError::Report,
        )
        .await
        .map_err(Fault::from)
    }
    .await;
    sides.close().await;
    let report = brought?.report;
    match report.failed.first() {
        None => match report.refused.first() {
            None => Ok(()),
            Some(first) => Err(Fault::Mysql {
                message: format!(
                    "the new replica refuses {} privileges and took the others; the first, {}: {}",
                    report.refused.len(),
                    first.what,
                    first.reason
                ),
                transient: false,
                hint: "grant them by hand as someone who may, or revoke them on the old replica, then resume",
            }),
        },
        Some(first) => Err(Fault::Mysql {
            message: format!(
                "{} of {} account statements failed; the first, for {}: {}",
                report.failed.len(),
                report.failed.len() + report.applied.len(),
                first.account,
                first.message
            ),
            transient: false,
            hint: first.hint.unwrap_or(
                "give the account what it lacks on the new replica by hand, then resume",
            ),
        }),
    }
}

/// Values of `mysql.rds_show_configuration` that the new side lacks. What is NULL on the old side is left alone.
async fn wanted(sides: &mut Sides) -> Result<Option<BTreeMap<String, String>>, Fault> {
    let (old, new) = futures::try_join!(
        mysql::show_configuration(&mut sides.old),
        mysql::show_configuration(&mut sides.new)
    )?;
    let (Some(old), Some(new)) = (old, new) else {
        return Ok(None);
    };
    Ok(Some(
        old.into_iter()
            .filter_map(|(name, value)| {
                let value = value?;
                let same = new.get(&name).and_then(Option::as_ref) == Some(&value);
                (!same).then_some((name, value))
            })
            .collect(),
    ))
}

/// Binlog retention lives in the data: a restore has it, a new replica does not.
pub(super) async fn configuration(
    cx: &Cx<'_>,
    view: &RegionView,
    old: &Target,
    new: &Target,
) -> Result<Seen, Fault> {
    let mut sides = match sides(cx, view, old, new).await? {
        Ok(sides) => sides,
        Err(seen) => return Ok(seen),
    };
    let found = wanted(&mut sides).await;
    sides.close().await;
    Ok(match found? {
        None => Seen::done("there is no mysql.rds_show_configuration on both sides"),
        Some(wanted) if wanted.is_empty() => Seen::done("equal"),
        Some(wanted) => {
            let list: Vec<String> = wanted
                .iter()
                .map(|(name, value)| format!("{name} = {value}"))
                .collect();
            Seen::absent(format!("to set: {}", list.join(", ")))
        }
    })
}

/// Sets what differs.
pub(super) async fn set_configuration(
    cx: &Cx<'_>,
    view: &RegionView,
    old: &Target,
    new: &Target,
) -> Result<(), Fault> {
    let mut sides = sides(cx, view, old, new)
        .await?
        .map_err(|_seen| not_ready())?;
    let done = async {
        for (name, value) in wanted(&mut sides).await?.unwrap_or_default() {
            accounts::set_configuration(&mut sides.new, &name, Some(&value))
                .await
                .map_err(Fault::from)?;
        }
        Ok(())
    }
    .await;
    sides.close().await;
    done
}
