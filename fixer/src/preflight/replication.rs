//! Whether a server can be replicated into an encrypted copy of itself. Read before the plan is drafted, for the choice of
//! the method rests on it.

use std::collections::BTreeMap;

use atrest_model::instance::DbInstance;
use atrest_scanner::access::{self, MysqlAuth};
use atrest_scanner::mysql::{ServerFacts, SourceFacts, TableList, server_facts, source_facts};
use futures::stream::{self, StreamExt as _};

use super::Read;

/// Servers asked at the same time.
const SERVERS: usize = 16;

/// What one server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationFacts {
    /// The server.
    pub server: ServerFacts,
    /// What stands in the way.
    pub source: SourceFacts,
}

/// Asks every one of these servers, by `DbiResourceId`. A server that does not answer is data.
pub async fn replication_facts(
    instances: &[&DbInstance],
    auth: &MysqlAuth,
) -> BTreeMap<String, Read<ReplicationFacts>> {
    stream::iter(instances.iter().copied())
        .map(|instance| async move {
            let facts = Box::pin(facts(instance, auth)).await;
            (instance.dbi_resource_id().to_owned(), facts)
        })
        .buffer_unordered(SERVERS)
        .collect()
        .await
}

async fn facts(instance: &DbInstance, auth: &MysqlAuth) -> Read<ReplicationFacts> {
    let mut connection = access::open(instance, auth)
        .await
        .map_err(|error| format!("{error}; {}", error.hint()))?;
    let read = async {
        Ok(ReplicationFacts {
            server: server_facts(&mut connection).await?,
            source: source_facts(&mut connection).await?,
        })
    }
    .await;
    connection.close().await;
    read.map_err(|error: atrest_scanner::mysql::MysqlError| error.to_string())
}

impl ReplicationFacts {
    /// Why this server cannot be the source; nothing when it can.
    pub(crate) fn why_not(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        let variable = |name: &str| self.server.variables.get(name).map(String::as_str);
        if variable("log_bin") != Some("ON") {
            reasons.push("it writes no binary log (log_bin is not ON)".to_owned());
        }
        if variable("binlog_format") == Some("STATEMENT") {
            reasons.push(
                "binlog_format is STATEMENT, by which statements may come out differently; set ROW or MIXED in its parameter group"
                    .to_owned(),
            );
        }
        if self.server.configuration.is_none() {
            reasons.push(
                "mysql.rds_show_configuration cannot be called: is it RDS, and may the login execute it?"
                    .to_owned(),
            );
        }
        let held = &self.server.privileges;
        for needed in [
            &["CREATE USER"][..],
            &["REPLICATION SLAVE", "REPLICATION REPLICA"],
            &["REPLICATION CLIENT", "BINLOG MONITOR"],
            &["PROCESS"],
        ] {
            if !held.contains("ALL PRIVILEGES") && !needed.iter().any(|name| held.contains(*name)) {
                reasons.push(format!(
                    "the login lacks {}",
                    needed.first().copied().unwrap_or_default()
                ));
            }
        }
        reasons.extend(tables(
            &self.server.without_primary_key,
            "without a primary key",
            "a change by row is looked for in the whole table, and replication would not keep up",
        ));
        reasons.extend(tables(
            &self.server.without_transactions,
            "without transactions",
            "a crash may apply a change to them twice or not at all",
        ));
        if !self.source.filters.is_empty() {
            reasons.push(format!(
                "replication is filtered ({}): what is left out would be missing",
                self.source.filters.join(", ")
            ));
        }
        if !self.source.events.is_empty() && variable("event_scheduler") != Some("OFF") {
            reasons.push(format!(
                "events are enabled ({}): they would run on both sides; disable them for the migration",
                some(self.source.events.iter().map(String::as_str), self.source.events.len())
            ));
        }
        reasons
    }
}

fn tables(list: &Result<TableList, String>, what: &str, consequence: &str) -> Option<String> {
    match list {
        Err(why) => Some(format!("tables {what} could not be listed: {why}")),
        Ok(list) if list.count == 0 => None,
        Ok(list) => Some(format!(
            "tables {what} ({}): {consequence}",
            some(list.first.iter().map(String::as_str), list.count)
        )),
    }
}

/// The first three and how many more.
fn some<'a>(names: impl Iterator<Item = &'a str>, count: usize) -> String {
    let shown: Vec<&str> = names.take(3).collect();
    match count.saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A server with nothing in the way.
#[cfg(test)]
pub(crate) fn able_to_replicate() -> ReplicationFacts {
    ReplicationFacts {
        server: ServerFacts {
            version: "10.11.9-MariaDB-log".to_owned(),
            variables: [
                ("log_bin", "ON"),
                ("binlog_format", "MIXED"),
                ("event_scheduler", "ON"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            privileges: [
                "CREATE USER",
                "REPLICATION SLAVE",
                "BINLOG MONITOR",
                "PROCESS",
            ]
            .map(str::to_owned)
            .into(),
            configuration: Some(BTreeMap::new()),
            without_transactions: Ok(TableList::default()),
            without_primary_key: Ok(TableList::default()),
            events: Ok(Vec::new()),
        },
        source: SourceFacts::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn able() -> ReplicationFacts {
        able_to_replicate()
    }

    fn set(facts: &mut ReplicationFacts, name: &str, value: &str) {
        facts
            .server
            .variables
            .insert(name.to_owned(), value.to_owned());
    }

    fn some_tables() -> Result<TableList, String> {
        Ok(TableList {
            count: 5,
            first: ["a.b", "c.d", "e.f", "g.h", "i.j"]
                .map(str::to_owned)
                .into(),
        })
    }

    #[test]
    fn nothing_is_said_of_a_server_that_can() {
        assert!(able().why_not().is_empty(), "{:?}", able().why_not());
    }

    #[test]
    fn each_thing_in_the_way_is_named_alone() {
        type Case = (&'static str, fn(&mut ReplicationFacts));
        let cases: [Case; 9] = [
            ("log_bin", |f| set(f, "log_bin", "OFF")),
            ("STATEMENT", |f| set(f, "binlog_format", "STATEMENT")),
            ("rds_show_configuration", |f| f.server.configuration = None),
            ("lacks CREATE USER", |f| {
                f.server.privileges.remove("CREATE USER");
            }),
            ("a.b, c.d, e.f and 2 more", |f| {
                f.server.without_primary_key = some_tables();
            }),
            ("without transactions", |f| {
                f.server.without_transactions = some_tables();
            }),
            ("could not be listed: denied", |f| {
                f.server.without_transactions = Err("denied".to_owned());
            }),
            ("binlog_ignore_db=shop", |f| {
                f.source.filters = vec!["binlog_ignore_db=shop".to_owned()];
            }),
            ("shop.nightly", |f| {
                f.source.events = vec!["shop.nightly".to_owned()];
            }),
        ];
        for (words, change) in cases {
            let mut facts = able();
            change(&mut facts);
            let reasons = facts.why_not();
            assert_eq!(reasons.len(), 1, "{words}: {reasons:?}");
            assert!(reasons[0].contains(words), "{reasons:?}");
        }
    }

    #[test]
    fn events_do_not_matter_where_none_is_run() {
        let mut facts = able();
        facts.source.events = vec!["shop.nightly".to_owned()];
        set(&mut facts, "event_scheduler", "OFF");
        assert!(facts.why_not().is_empty());
    }
}
