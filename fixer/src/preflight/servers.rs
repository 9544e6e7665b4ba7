//! The MySQL and MariaDB servers: whether they let us in, and do what the steps need.

use atrest_model::instance::DbInstance;
use atrest_model::plan::{Action, DataCheck, Member, MysqlAccess, Target};
use atrest_scanner::mysql::{ServerFacts, TableList};

use super::{Finding, Sheet};

pub(super) fn check(sheet: &mut Sheet<'_>) {
    let scene = sheet.scene;
    let asked = scene
        .members
        .iter()
        .any(|(_, instance)| instance.is_mysql_family());
    if !asked {
        return;
    }
    if let MysqlAccess::Off { reason } = &scene.facts.mysql {
        let finding = Finding::not_proven(format!(
            "accounts, rows and client connections are not read: {reason}"
        ));
        sheet.add("mysql-login", "", vec![finding]);
        return;
    }
    let servers = &scene.around.servers;
    let read = |instance: &DbInstance| {
        servers
            .get(instance.dbi_resource_id())
            .and_then(|server| server.as_ref().ok())
    };
    sheet.each(
        "mysql-login",
        "every server lets us in",
        |_, instance| match servers.get(instance.dbi_resource_id()) {
            Some(Err(why)) => vec![Finding::blocks(format!(
                "{why}; or --mysql off to compare attributes only"
            ))],
            Some(Ok(_)) | None => Vec::new(),
        },
    );
    sheet.each(
        "mysql-privileges",
        "the login has the privileges that the steps need",
        |member, instance| match read(instance) {
            Some(server) => privileges(scene, member, server),
            None => Vec::new(),
        },
    );
    sheet.each(
        "mysql-read-only",
        "replicas take the accounts that only they have",
        |member, instance| match read(instance) {
            Some(server)
                if member.replicates_from.is_some()
                    && server.variables.get("read_only").map(String::as_str) == Some("ON") =>
            {
                vec![Finding::warns(format!(
                    "it is read_only: if it has accounts of its own, step accounts:{} would be refused (error 1290) and say so",
                    member.identifier
                ))]
            }
            _ => Vec::new(),
        },
    );
    sheet.each(
        "mysql-binlog",
        "sources of replicas write a binary log",
        |member, instance| {
            let is_source = scene
                .members
                .iter()
                .any(|(other, _)| other.replicates_from.as_ref() == Some(&member.identifier));
            match read(instance) {
                Some(server)
                    if is_source
                        && server.variables.get("log_bin").map(String::as_str) == Some("OFF") =>
                {
                    vec![Finding::blocks(
                        "it is a source of replicas and writes no binary log (log_bin is OFF)",
                    )]
                }
                Some(server)
                    if is_source
                        && server.variables.get("binlog_format").map(String::as_str)
                            == Some("STATEMENT") =>
                {
                    vec![Finding::warns(
                        "binlog_format is STATEMENT: what is written between replicas' creation and the cutover may come out differently",
                    )]
                }
                _ => Vec::new(),
            }
        },
    );
    events(sheet);
    sheet.each(
        "mysql-engines",
        "every table has transactions",
        |_, instance| {
            tables(
                read(instance).map(|server| &server.without_transactions),
                "without transactions",
                "a snapshot of them is consistent because nobody writes, and a replica locks them while it is made",
            )
        },
    );
    sheet.each(
        "mysql-primary-keys",
        "every table has a primary key",
        |_, instance| {
            tables(
                read(instance).map(|server| &server.without_primary_key),
                "without a primary key",
                "replication by row is slow on them, and rows can only be compared as a whole",
            )
        },
    );
}

/// An event needs no connection: while the source is to be quiet it writes all the same, and on the new instance it runs
/// before clients are there.
fn events(sheet: &mut Sheet<'_>) {
    let scene = sheet.scene;
    sheet.each(
        "mysql-events",
        "no event of the event scheduler runs",
        |member, instance| {
            let server = scene.around.servers.get(instance.dbi_resource_id());
            match server.and_then(|server| server.as_ref().ok()).map(|server| &server.events) {
                None => Vec::new(),
                Some(Err(why)) => vec![Finding::not_proven(format!(
                    "events could not be listed: {why}"
                ))],
                Some(Ok(events)) => match events.as_slice() {
                    [] => Vec::new(),
                    [first, rest @ ..] => vec![Finding::warns(format!(
                        "the event scheduler runs {first}{}: what it writes stops the run at step {}, and it would run on the new instance beside the old one; set event_scheduler to OFF in the DB parameter group before the run, and ON after it",
                        match rest.len() {
                            0 => String::new(),
                            more => format!(" and {more} more"),
                        },
                        match member.replicates_from {
                            None => "quiesce".to_owned(),
                            Some(_) => format!("quiesce:{}", member.identifier),
                        }
                    ))],
                },
            }
        },
    );
}

/// What the steps do on this server.
fn privileges(scene: &super::Scene<'_>, member: &Member, server: &ServerFacts) -> Vec<Finding> {
    let held = &server.privileges;
    let has = |names: &[&str]| {
        held.contains("ALL PRIVILEGES")
            || held.contains("SUPER") && names.contains(&"REPLICATION CLIENT")
            || names.iter().any(|name| held.contains(*name))
    };
    let mut findings = Vec::new();
    if !has(&["PROCESS"]) {
        findings.push(Finding::blocks(
            "the login lacks PROCESS: other clients' connections would not be seen, and the cutover rests on there being none",
        ));
    }
    if !has(&["SELECT"]) {
        let rows = if scene.facts.data_check == DataCheck::None {
            ""
        } else {
            " and rows"
        };
        findings.push(Finding::blocks(format!(
            "the login lacks SELECT on *.*: accounts{rows} could not be compared"
        )));
    }
    let replica = member.replicates_from.is_some();
    if replica
        && !has(&[
            "REPLICATION CLIENT",
            "BINLOG MONITOR",
            "REPLICA MONITOR",
            "SLAVE MONITOR",
        ])
    {
        findings.push(Finding::warns(
            "the login lacks REPLICATION CLIENT: whether replication runs is taken from RDS alone",
        ));
    }
    if !has(&["REPLICATION SLAVE", "BINLOG MONITOR"]) {
        findings.push(Finding::warns(
            "the login lacks REPLICATION SLAVE (BINLOG MONITOR on MariaDB): what clients write cannot be told from RDS's heartbeat, and a source is quiet only while neither writes",
        ));
    }
    let clones = scene.migration.steps.iter().find(|step| {
        matches!(&step.action, Action::Accounts { old, .. }
            if *old == Target::Old(member.dbi_resource_id.clone()))
    });
    if let Some(step) = clones
        && !has(&["CREATE USER"])
    {
        findings.push(Finding::warns(format!(
            "the login lacks CREATE USER: if this replica has accounts of its own, step {} would be refused",
            step.id
        )));
    }
    findings
}

fn tables(list: Option<&Result<TableList, String>>, what: &str, consequence: &str) -> Vec<Finding> {
    match list {
        None => Vec::new(),
        Some(Err(why)) => vec![Finding::not_proven(format!(
            "tables {what} could not be listed: {why}"
        ))],
        Some(Ok(list)) if list.count == 0 => Vec::new(),
        Some(Ok(list)) => {
            let shown: Vec<&str> = list.first.iter().take(3).map(String::as_str).collect();
            let more = match list.count - shown.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            vec![Finding::warns(format!(
                "tables {what}: {}{more}; {consequence}",
                shown.join(", ")
            ))]
        }
    }
}
