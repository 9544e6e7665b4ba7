//! Whether a server is quiet, as long as somebody watches: nobody connected, nothing written.
//!
//! [`Watch`] is one window over one server. What breaks it is a [`Broken`], which says who and what to do. Steps decide
//! what follows; see docs/design/0006-quiesce-and-dependents.md.

use std::collections::BTreeMap;
use std::time::Duration;

use atrest_model::instance::DbInstance;
use atrest_model::plan::REPLICATION_USER_PREFIX;
use atrest_scanner::access::{self, AccessError, MysqlAuth};
use atrest_scanner::mysql::{
    self, Activity, ClientConnection, Connection, ConnectionKind, MysqlError, Origin, WriteMark,
    Writes, Written,
};
use tokio::time::Instant;

use crate::clock;

/// Time between two looks of a window.
pub(crate) const SAMPLE: Duration = Duration::from_millis(500);
/// How long clients that come back are killed again.
const KILLING: Duration = Duration::from_secs(10);
/// Most offenders that are named.
const NAMED: usize = 5;
/// The server has no such procedure.
const NO_SUCH_PROCEDURE: u16 = 1305;
/// The server has no such connection any more.
const NO_SUCH_THREAD: u16 = 1094;

/// One window over one server. It keeps its connection: whoever else is connected is not us.
#[derive(Debug)]
pub(crate) struct Watch {
    connection: Connection,
    began: Instant,
    origin: Origin,
    mark: WriteMark,
    connected: Option<BTreeMap<String, u64>>,
    readers: Vec<String>,
    shown_by: &'static str,
}

/// What a look at a watched server has shown.
#[derive(Debug)]
pub(crate) enum Look {
    /// Quiet since the window began.
    Quiet(Duration),
    /// The window is broken.
    Broken(Broken),
}

/// What breaks a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Clients are connected.
    Clients(Vec<String>),
    /// Accounts had connected and were gone again.
    CameAndWent(Vec<String>),
    /// The server runs events of its event scheduler.
    Events(Vec<String>),
    /// XA transactions are prepared.
    Prepared(Vec<String>),
    /// Something was written, by nobody who is connected.
    Written {
        /// What.
        what: Vec<String>,
        /// Enabled events, when the event scheduler runs.
        events: Vec<String>,
        /// Where the server itself replicates from.
        sources: Vec<String>,
    },
    /// Whether something was written cannot be told for this window.
    Unclear(String),
}

impl Broken {
    /// Who or what, in one line.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Clients(clients) => format!("still connected: {}", named(clients)),
            Self::CameAndWent(accounts) => {
                format!("connected and left again: {}", named(accounts))
            }
            Self::Events(events) => {
                format!("the event scheduler runs events: {}", named(events))
            }
            Self::Prepared(ids) => format!("XA transactions are prepared: {}", named(ids)),
            Self::Written {
                what,
                events,
                sources,
            } => {
                let mut text = format!("written although no client is connected: {}", named(what));
                if !events.is_empty() {
                    text.push_str("; the event scheduler is on: ");
                    text.push_str(&named(events));
                }
                if !sources.is_empty() {
                    text.push_str("; it replicates from ");
                    text.push_str(&named(sources));
                }
                text
            }
            Self::Unclear(why) => format!("whether something was written is not clear: {why}"),
        }
    }

    /// What a person can do.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Clients(_) | Self::CameAndWent(_) => {
                "stop these clients, or close the security group to them, then resume; a plan made with --kill-connections ends their connections itself"
            }
            Self::Events(_) => EVENTS,
            Self::Prepared(_) => {
                "let their transaction manager decide them, or XA COMMIT or XA ROLLBACK each as XA RECOVER names it, then resume"
            }
            Self::Written {
                events, sources, ..
            } => match (events.is_empty(), sources.is_empty()) {
                (false, _) => EVENTS,
                (true, false) => "stop its replication (mysql.rds_stop_replication), then resume",
                (true, true) => "find out who writes, end it, then resume",
            },
            Self::Unclear(_) => {
                "give the login REPLICATION CLIENT and REPLICATION SLAVE (BINLOG MONITOR on MariaDB), then resume"
            }
        }
    }

    /// Whether waiting may end it.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Clients(_) | Self::CameAndWent(_) | Self::Unclear(_) => true,
            Self::Events(_) | Self::Prepared(_) => false,
            Self::Written {
                events, sources, ..
            } => events.is_empty() && sources.is_empty(),
        }
    }
}

const EVENTS: &str = "set event_scheduler to OFF in the DB parameter group, which old and new share, then resume; set it ON again after the run";

fn named(list: &[String]) -> String {
    let first: Vec<&str> = list.iter().take(NAMED).map(String::as_str).collect();
    let first = first.join(", ");
    match list.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Whether a connection is of the account that a successor replicates with: it reads, and no more.
fn is_successors(connection: &ClientConnection) -> bool {
    let prefix = REPLICATION_USER_PREFIX.as_bytes();
    connection.user.as_bytes().starts_with(prefix)
}

/// What is going on, without the run's own doing.
async fn activity(connection: &mut Connection) -> Result<Activity, MysqlError> {
    let mut activity = mysql::activity(connection).await?;
    activity.clients.retain(|client| !is_successors(client));
    activity.readers.retain(|reader| !is_successors(reader));
    if let Some(connected) = &mut activity.connected {
        connected.retain(|account, _| !account.starts_with(REPLICATION_USER_PREFIX));
    }
    Ok(activity)
}

/// Clients in words, with the transactions that they have open.
fn described(activity: &Activity, wanted: ConnectionKind) -> Vec<String> {
    activity
        .clients
        .iter()
        .filter(|client| client.kind == wanted)
        .map(|client| match activity.transactions.get(&client.id) {
            Some(open) => format!("{client}, in a transaction since {} UTC", open.started),
            None => client.to_string(),
        })
        .collect()
}

/// What of an activity breaks a window by itself.
fn broken_by(activity: &Activity) -> Option<Broken> {
    let clients = described(activity, ConnectionKind::Client);
    if !clients.is_empty() {
        return Some(Broken::Clients(clients));
    }
    let events = described(activity, ConnectionKind::Event);
    if !events.is_empty() {
        return Some(Broken::Events(events));
    }
    let prepared = activity.prepared.clone().unwrap_or_default();
    (!prepared.is_empty()).then_some(Broken::Prepared(prepared))
}

impl Watch {
    /// Begins a window, if nothing breaks it at once. What was written counts from here.
    ///
    /// # Errors
    ///
    /// No connection, or any error of a statement.
    pub(crate) async fn begin(
        instance: &DbInstance,
        auth: &MysqlAuth,
        origin: Origin,
    ) -> Result<Result<Self, Broken>, AccessError> {
        let mut connection = access::open(instance, auth).await?;
        // The mark comes first: what is written between it and the look counts.
        let mark = mysql::write_mark(&mut connection).await?;
        let activity = activity(&mut connection).await?;
        if let Some(broken) = broken_by(&activity) {
            connection.close().await;
            return Ok(Err(broken));
        }
        Ok(Ok(Self {
            connection,
            began: clock::instant(),
            origin,
            mark,
            readers: readers(&activity),
            connected: activity.connected,
            shown_by: "nothing was looked at yet",
        }))
    }

    /// Looks again.
    ///
    /// # Errors
    ///
    /// Any error of a statement. The window is lost with it.
    pub(crate) async fn look(&mut self) -> Result<Look, MysqlError> {
        let activity = activity(&mut self.connection).await?;
        let elapsed = self.began.elapsed();
        if let Some(broken) = broken_by(&activity) {
            return Ok(Look::Broken(broken));
        }
        if let (Some(before), Some(now)) = (&self.connected, &activity.connected) {
            let came: Vec<String> = now
                .iter()
                .filter(|(account, times)| before.get(*account).copied().unwrap_or(0) < **times)
                .map(|(account, _)| account.clone())
                .collect();
            if !came.is_empty() {
                return Ok(Look::Broken(Broken::CameAndWent(came)));
            }
        }
        self.readers = readers(&activity);
        let writes = mysql::writes_since(&mut self.connection, &self.mark, self.origin).await?;
        match writes {
            Writes::None { shown_by } => {
                self.shown_by = shown_by;
                Ok(Look::Quiet(elapsed))
            }
            Writes::Unknown { reason } => Ok(Look::Broken(Broken::Unclear(reason))),
            Writes::Found(found) => Ok(Look::Broken(
                explained(&mut self.connection, found, self.origin).await?,
            )),
        }
    }

    /// How long the window has lasted.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The moment the window began, to tell later what was written since.
    pub(crate) fn mark(&self) -> &WriteMark {
        &self.mark
    }

    /// How it is known that nothing was written.
    pub(crate) fn shown_by(&self) -> &'static str {
        self.shown_by
    }

    /// Whether connections that come and go between two looks would be seen.
    pub(crate) fn counts_connections(&self) -> bool {
        self.connected.is_some()
    }

    /// Readers of the binary log that RDS does not know.
    pub(crate) fn readers(&self) -> &[String] {
        &self.readers
    }

    /// Ends it.
    pub(crate) async fn end(self) {
        self.connection.close().await;
    }
}

fn readers(activity: &Activity) -> Vec<String> {
    let mut readers: Vec<String> = activity
        .readers
        .iter()
        .map(|reader| format!("{}@{}", reader.user, host_of(reader)))
        .collect();
    readers.sort();
    readers.dedup();
    readers
}

/// The host without the port, which changes with every connection.
fn host_of(connection: &ClientConnection) -> String {
    let host = connection.host.to_string();
    match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host.to_owned(),
        _ => host,
    }
}

/// Who may have written what was found.
async fn explained(
    connection: &mut Connection,
    found: Vec<Written>,
    origin: Origin,
) -> Result<Broken, MysqlError> {
    let events = mysql::running_events(connection).await?;
    let sources = if origin == Origin::Local {
        Vec::new()
    } else {
        mysql::replication_status(connection)
            .await
            // Who may not ask this is not told where it comes from.
            .unwrap_or_default()
            .into_iter()
            .filter(|channel| channel.sql_running)
            .map(|channel| channel.source_host)
            .collect()
    };
    Ok(Broken::Written {
        what: found.iter().map(ToString::to_string).collect(),
        events,
        sources,
    })
}

/// Kills the connections of clients, and again those that come back, until none has for two looks or ten seconds are
/// over. Nobody else's: not RDS's, not replicas', not the server's own threads. Returns how many were killed.
///
/// # Errors
///
/// Any error of a statement; a connection that is gone already is none.
pub(crate) async fn kill_clients(connection: &mut Connection) -> Result<usize, MysqlError> {
    let began = clock::instant();
    let (mut killed, mut calm) = (0, 0);
    while calm < 2 && began.elapsed() < KILLING {
        let activity = activity(connection).await?;
        let clients: Vec<&ClientConnection> = activity
            .clients
            .iter()
            .filter(|client| client.kind == ConnectionKind::Client)
            .collect();
        calm = if clients.is_empty() { calm + 1 } else { 0 };
        for client in clients {
            kill(connection, client.id).await?;
            killed += 1;
        }
        if calm < 2 {
            clock::sleep(SAMPLE).await;
        }
    }
    Ok(killed)
}

async fn kill(connection: &mut Connection, id: u64) -> Result<(), MysqlError> {
    let call = format!("CALL mysql.rds_kill({id})");
    let answer = match connection.call(call.as_bytes()).await {
        Err(MysqlError::Server { code, .. }) if code == NO_SUCH_PROCEDURE => {
            let statement = format!("KILL {id}");
            connection.execute(statement.as_bytes()).await.map(drop)
        }
        answer => answer.map(drop),
    };
    match answer {
        Err(MysqlError::Server { code, .. }) if code == NO_SUCH_THREAD => Ok(()),
        answer => answer,
    }
}

/// What the fence before a cutover has found at one old member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fence {
    /// Nobody is connected, nothing was written since the mark.
    Holds,
    /// Nobody is connected; whether something was written cannot be told.
    NotProven(String),
    /// Somebody is connected, or something was written.
    Broken(Broken),
}

/// Asks an old member whether it is still as its window left it. A connection counts when it is there at two looks:
/// one of ours may just be closing.
///
/// # Errors
///
/// No connection, or any error of a statement.
pub(crate) async fn fence(
    instance: &DbInstance,
    auth: &MysqlAuth,
    mark: Option<&WriteMark>,
    origin: Origin,
) -> Result<Fence, AccessError> {
    let mut connection = access::open(instance, auth).await?;
    let found = fenced(&mut connection, mark, origin).await;
    connection.close().await;
    Ok(found?)
}

async fn fenced(
    connection: &mut Connection,
    mark: Option<&WriteMark>,
    origin: Origin,
) -> Result<Fence, MysqlError> {
    let mut activity = activity(connection).await?;
    if !activity.clients.is_empty() {
        clock::sleep(SAMPLE).await;
        let again = mysql::activity(connection).await?;
        let still = |client: &ClientConnection| again.clients.iter().any(|one| one.id == client.id);
        activity.clients.retain(still);
    }
    // An event worker that passes by is found by what it writes.
    activity
        .clients
        .retain(|client| client.kind == ConnectionKind::Client);
    if let Some(broken) = broken_by(&activity) {
        return Ok(Fence::Broken(broken));
    }
    let Some(mark) = mark else {
        return Ok(Fence::NotProven("no mark was left".to_owned()));
    };
    Ok(match mysql::writes_since(connection, mark, origin).await? {
        Writes::None { .. } => Fence::Holds,
        Writes::Unknown { reason } => Fence::NotProven(reason),
        Writes::Found(found) => Fence::Broken(explained(connection, found, origin).await?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(events: &[&str], sources: &[&str]) -> Broken {
        let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
        Broken::Written {
            what: vec!["INSERT of shop.t, 3 times".to_owned()],
            events: list(events),
            sources: list(sources),
        }
    }

    #[test]
    fn what_does_not_end_by_waiting_is_known() {
        assert!(Broken::Clients(Vec::new()).may_pass());
        assert!(Broken::Unclear(String::new()).may_pass());
        assert!(written(&[], &[]).may_pass());
        assert!(!written(&["shop.tick"], &[]).may_pass());
        assert!(!written(&[], &["10.0.0.9"]).may_pass());
        assert!(!Broken::Prepared(Vec::new()).may_pass());
    }

    #[test]
    fn a_reason_names_a_few_and_counts_the_rest() {
        let many: Vec<String> = (0..7).map(|n| format!("app{n}@h, Sleep for 1 s")).collect();
        let reason = Broken::Clients(many).reason();
        assert!(
            reason.ends_with("app4@h, Sleep for 1 s and 2 more"),
            "{reason}"
        );
        let reason = written(&["shop.tick"], &[]).reason();
        assert_eq!(
            reason,
            "written although no client is connected: INSERT of shop.t, 3 times; the event scheduler is on: shop.tick"
        );
    }
}
