//! The channel from the source to its encrypted successor: which procedure tells it, from where, and what it says of itself.
//!
//! The password of the account is made anew each time the channel is told, inside one act, and kept nowhere. Errors of
//! statements that hold it are reported by number alone: servers quote what they refuse.

use atrest_model::account::quote_literal;
use atrest_model::document::str_of;
use atrest_model::instance::DbInstance;
use atrest_scanner::mysql::{
    self, BinlogPosition, Connection, MysqlError, ReplicationStatus, gtid_applied, gtid_mode_is_on,
};
use serde_json::Value;

use crate::fault::Fault;
use crate::steps::Seen;

/// What a stopped channel needs.
const MEND: &str = "look at the rows or accounts it names on both sides and mend what differs, then CALL mysql.rds_start_replication on the new instance and resume; until the cutover the source can also be left as it is and the run given up";
const PURGED: &str = "the log it needs is gone and nothing brings it back: give this run up and make a new one; until the cutover the source is as it was";

/// Errors of the receiver that say the log it needs is not there: purged, or shorter than it was before a crash.
const LOG_IS_GONE: [u32; 2] = [1236, 13114];

/// What the channel of `replica` says, where it should read from `host`.
pub(super) enum State {
    /// There is none, or it reads from elsewhere.
    Elsewhere(String),
    /// It is there and stands, without an error.
    Stopped,
    /// It is coming up or coming back.
    Connecting(String),
    /// Both of its threads run.
    Runs,
    /// It will not go on by itself.
    Broken { reason: String, hint: &'static str },
}

impl State {
    pub(super) fn of(channels: &[ReplicationStatus], host: &str, port: u16) -> Self {
        let Some(channel) = of_source(channels, host, port) else {
            return Self::Elsewhere(match channels.first() {
                None => "it replicates from nowhere".to_owned(),
                Some(other) => format!("it replicates from {}", other.source_host),
            });
        };
        if let Some((code, text)) = &channel.sql_error {
            return Self::Broken {
                reason: format!("replication stopped with error {code}: {text}"),
                hint: MEND,
            };
        }
        match &channel.io_error {
            Some((code, text)) if LOG_IS_GONE.contains(code) => {
                return Self::Broken {
                    reason: format!("replication stopped with error {code}: {text}"),
                    hint: PURGED,
                };
            }
            _ => {}
        }
        match (channel.io_running.as_str(), channel.sql_running) {
            ("Yes", true) => Self::Runs,
            ("No", false) => Self::Stopped,
            (receiver, _) => {
                let error = channel.io_error.as_ref();
                let why = error.map_or_else(String::new, |(code, text)| {
                    format!(", error {code}: {text}")
                });
                Self::Connecting(format!("its receiver says {receiver}{why}"))
            }
        }
    }

    /// What follows for a step that has nothing to do but to wait for it.
    pub(super) fn unless_runs(self) -> Option<Seen> {
        match self {
            Self::Runs => None,
            Self::Connecting(why) => Some(Seen::pending(why)),
            Self::Broken { reason, hint } => Some(Seen::stuck(reason, hint)),
            Self::Elsewhere(why) => Some(Seen::stuck(
                why,
                "somebody changed it; give this run up, or point it at the source again by hand at the position it has applied",
            )),
            Self::Stopped => Some(Seen::stuck(
                "replication is stopped",
                "CALL mysql.rds_start_replication on the new instance, then resume",
            )),
        }
    }
}

/// The channel that reads from there.
pub(super) fn of_source<'a>(
    channels: &'a [ReplicationStatus],
    host: &str,
    port: u16,
) -> Option<&'a ReplicationStatus> {
    channels
        .iter()
        .find(|channel| channel.source_host == host && channel.source_port == Some(port))
}

/// How a server is told where to begin.
enum Start {
    /// File and offset.
    File(BinlogPosition),
    /// By what it has executed.
    Executed,
    /// MariaDB's GTID.
    Gtid(String),
}

/// Whether procedures say source instead of master: from MySQL 8.4 on, by RDS's version.
fn says_source(instance: &DbInstance) -> bool {
    let version = str_of(&instance.document, "EngineVersion").unwrap_or_default();
    let mut parts = version
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    instance.engine() == "mysql" && (major, minor) >= (8, 4)
}

/// Calls a procedure that takes no secret. Its words are in the error, should it fail.
pub(super) async fn call(conn: &mut Connection, procedure: &str) -> Result<(), Fault> {
    conn.call(format!("CALL mysql.{procedure}").as_bytes())
        .await?;
    Ok(())
}

/// Ends replication for good.
pub(super) async fn reset(conn: &mut Connection, instance: &DbInstance) -> Result<(), Fault> {
    let word = if says_source(instance) {
        "source"
    } else {
        "master"
    };
    call(conn, &format!("rds_reset_external_{word}")).await
}

/// Points `replica` at `source` where it stands, or at the held position if it has not begun, with a fresh password.
pub(super) async fn tell(
    (source, at): (&mut Connection, &DbInstance),
    (replica, new): (&mut Connection, &DbInstance),
    account: &str,
    held: Option<&Value>,
) -> Result<(), Fault> {
    let Some((host, port)) = at.endpoint() else {
        return Err(not_ready("the source has no endpoint"));
    };
    let mut channels = mysql::replication_status(replica).await?;
    if !channels.is_empty() {
        // Only what stands says where it stands.
        call(replica, "rds_stop_replication").await?;
        channels = mysql::replication_status(replica).await?;
    }
    // A channel to the source is ours and has been told before; any other came with the snapshot.
    let begun = of_source(&channels, host, port).is_some() || held.is_none();
    let start = start(replica, &channels, held.filter(|_| !begun)).await?;
    let inherited = !begun && !channels.is_empty() && has_not_moved(&channels, held);
    if inherited {
        reset(replica, new).await?;
    }
    let word = if says_source(new) { "source" } else { "master" };
    let password = Password::make();
    let literal =
        |text: &str| String::from_utf8_lossy(&quote_literal(text.as_bytes())).into_owned();
    let alter = format!(
        "ALTER USER {}@'%' IDENTIFIED BY {}",
        literal(account),
        password.literal()
    );
    source
        .execute(alter.as_bytes())
        .await
        .map_err(|error| unquoted("ALTER USER for the replication account", &error))?;
    let to = format!(
        "{}, {port}, {}, {}",
        literal(host),
        literal(account),
        password.literal()
    );
    let (procedure, arguments) = match &start {
        Start::File(position) => (
            format!("rds_set_external_{word}"),
            format!(
                "{to}, {}, {}, 1",
                literal(&position.file),
                position.position
            ),
        ),
        Start::Executed => (
            format!("rds_set_external_{word}_with_auto_position"),
            format!("{to}, 1, 0"),
        ),
        Start::Gtid(gtid) => (
            "rds_set_external_master_gtid".to_owned(),
            format!("{to}, {}, 1", literal(gtid)),
        ),
    };
    replica
        .call(format!("CALL mysql.{procedure}({arguments})").as_bytes())
        .await
        .map_err(|error| unquoted(&format!("mysql.{procedure}"), &error))?;
    call(replica, "rds_start_replication").await
}

/// Where to begin: at the held position, or where the data of the replica itself stands.
async fn start(
    replica: &mut Connection,
    channels: &[ReplicationStatus],
    held: Option<&Value>,
) -> Result<Start, Fault> {
    if replica.version().is_mariadb() {
        let gtid = match held {
            // It may have gone on by itself with what it inherited: then its data is ahead of the held position.
            Some(held) if has_not_moved(channels, Some(held)) => {
                str_of(held, "gtid").map(str::to_owned)
            }
            _ => gtid_applied(replica).await?,
        };
        return gtid
            .map(Start::Gtid)
            .ok_or_else(|| lost("no GTID is known to begin at"));
    }
    if gtid_mode_is_on(replica).await? {
        return Ok(Start::Executed);
    }
    let applied = channels.first().and_then(|channel| channel.applied.clone());
    let position = match held {
        Some(held) if has_not_moved(channels, Some(held)) => held_position(held),
        _ => applied,
    };
    position
        .map(Start::File)
        .ok_or_else(|| lost("its channel is gone and nobody knows how far it had applied"))
}

/// The position in the result of the step that held the temporary replica.
pub(super) fn held_position(held: &Value) -> Option<BinlogPosition> {
    Some(BinlogPosition {
        file: str_of(held, "file")?.to_owned(),
        position: held.get("position")?.as_u64()?,
    })
}

/// Whether nothing was applied since the snapshot.
fn has_not_moved(channels: &[ReplicationStatus], held: Option<&Value>) -> bool {
    let applied = channels.first().and_then(|channel| channel.applied.clone());
    applied.is_none() || applied == held.and_then(held_position)
}

/// A password that is handed on and forgotten.
pub(super) struct Password(String);

impl Password {
    /// 32 characters, the most that a channel takes, of four kinds, which password policies ask for.
    pub(super) fn make() -> Self {
        let mut random = uuid::Uuid::new_v4().simple().to_string();
        random.truncate(28);
        Self(format!("aR-7{random}"))
    }

    pub(super) fn literal(&self) -> String {
        String::from_utf8_lossy(&quote_literal(self.0.as_bytes())).into_owned()
    }
}

fn not_ready(what: &str) -> Fault {
    Fault::Mysql {
        message: what.to_owned(),
        transient: true,
        hint: "wait until the instance is available",
    }
}

fn lost(what: &str) -> Fault {
    Fault::Mysql {
        message: what.to_owned(),
        transient: false,
        hint: PURGED,
    }
}

/// An error of a statement with a secret in it: the server's words are left out.
pub(super) fn unquoted(doing: &str, error: &MysqlError) -> Fault {
    Fault::Mysql {
        message: match error.code() {
            Some(code) => format!("{doing} was refused with error {code}"),
            None => format!("{doing}: {error}"),
        },
        transient: error.is_transient(),
        hint: "look the number up; the words are left out because servers quote the statement, which has a password",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn channel(host: &str, io: &str, sql: bool) -> ReplicationStatus {
        ReplicationStatus {
            channel: String::new(),
            source_host: host.to_owned(),
            source_port: Some(3306),
            io_running: io.to_owned(),
            sql_running: sql,
            seconds_behind_source: Some(0),
            applied: Some(BinlogPosition {
                file: "bin.000002".to_owned(),
                position: 99,
            }),
            fetched: None,
            io_error: None,
            sql_error: None,
        }
    }

    #[test]
    fn a_purged_log_is_the_end_and_a_lost_connection_is_not() {
        let mut purged = channel("x", "No", true);
        purged.io_error = Some((1236, "Could not find first log file name".to_owned()));
        assert!(matches!(
            State::of(&[purged], "x", 3306),
            State::Broken { hint: PURGED, .. }
        ));
        let mut lost = channel("x", "Connecting", true);
        lost.io_error = Some((2003, "error connecting".to_owned()));
        assert!(matches!(
            State::of(&[lost], "x", 3306),
            State::Connecting(_)
        ));
    }

    #[test]
    fn a_channel_from_elsewhere_is_not_ours() {
        let channels = [channel("y", "Yes", true)];
        assert!(matches!(
            State::of(&channels, "x", 3306),
            State::Elsewhere(_)
        ));
        assert!(matches!(State::of(&channels, "y", 3306), State::Runs));
        assert!(matches!(State::of(&[], "x", 3306), State::Elsewhere(_)));
    }

    #[test]
    fn a_replica_that_moved_on_by_itself_is_not_put_back() {
        let held = json!({"file": "bin.000002", "position": 99});
        let channels = [channel("127.0.0.1", "No", false)];
        assert!(has_not_moved(&channels, Some(&held)));
        assert!(has_not_moved(&[], Some(&held)));
        let earlier = json!({"file": "bin.000002", "position": 4});
        assert!(!has_not_moved(&channels, Some(&earlier)));
    }

    #[test]
    fn passwords_fit_a_channel_and_differ() {
        let (one, other) = (Password::make(), Password::make());
        assert_eq!(one.0.len(), 32);
        assert_ne!(one.0, other.0);
    }

    #[test]
    fn procedures_say_source_from_mysql_8_4_on() {
        let instance = |engine: &str, version: &str| DbInstance {
            region: "eu-central-1".to_owned(),
            document: json!({"Engine": engine, "EngineVersion": version}),
        };
        for (engine, version, says) in [
            ("mysql", "5.7.44", false),
            ("mysql", "8.0.40", false),
            ("mysql", "8.4.3", true),
            ("mysql", "9.1.0", true),
            ("mariadb", "11.8.3", false),
        ] {
            assert_eq!(says_source(&instance(engine, version)), says, "{version}");
        }
    }
}
