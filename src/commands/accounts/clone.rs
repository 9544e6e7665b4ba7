//! `atrest accounts clone`: shows what is missing on B; with `--execute` brings it over and reads it back.

use std::io::Write as _;

use atrest_fixer::accounts::{
    self, ApplyError, ApplyReport, BringOver, ConfigurationError, OnGrantError,
};
use atrest_model::Tool;
use atrest_model::account::{
    AccountChange, AccountsDiff, DiffOptions, RenderRefusal, Rendering, Scope, StatementStep, diff,
};
use atrest_reports::{
    ACCOUNTS_SCHEMA_VERSION, AccountDifferences, AccountStatement, AccountsCloneReport,
    AccountsFormat, CloneOutcome, ConfigurationDifference, Output, RefusedStatement, Style,
    accounts_clone,
};
use atrest_scanner::access::AccessError;
use atrest_scanner::mysql::{Connection, MysqlError, ReplicationStatus, replication_status};

use super::servers::{self, Located};
use super::statements::{self, Script};
use super::{Read, configuration};
use crate::cli::{CloneArgs, OnGrantErrorArg};
use crate::commands::{common, login};
use crate::exit::{Exit, ExpectedError};
use crate::terminal;

pub(super) async fn run(args: CloneArgs) -> anyhow::Result<Exit> {
    let outputs = common::outputs::<AccountsFormat>(&args.format, "accounts clone")?;
    if args.execute && args.sync && !args.yes && !terminal::can_ask() {
        return Err(ExpectedError::usage(
            "--sync changes and revokes, and nobody can be asked here",
            "look at what it would do without --execute, then give --yes",
        ));
    }
    if let Some(path) = &args.emit_sql {
        statements::check(path, args.force)?;
    }
    let (a, b) = servers::two(&args.sides).await?;
    let options = servers::diff_options(&args.sides, &a, &b);
    let (mut from, mut to) = futures::try_join!(a.connect(), b.connect())?;
    let result = Clone {
        args: &args,
        outputs: &outputs,
        options,
        a: &a,
        b: &b,
    }
    .run(&mut from, &mut to)
    .await;
    from.close().await;
    to.close().await;
    result
}

struct Clone<'a> {
    args: &'a CloneArgs,
    outputs: &'a [Output<AccountsFormat>],
    options: DiffOptions,
    a: &'a Located,
    b: &'a Located,
}

impl Clone<'_> {
    async fn run(&self, from: &mut Connection, to: &mut Connection) -> anyhow::Result<Exit> {
        let (old, new) = futures::try_join!(super::read(self.a, from), super::read(self.b, to))?;
        let replication = self.replication(to).await?;
        let rendering = self.plan(&old, &new, to).await?;
        let mut report = self.report(&old, &new, &rendering, &replication);
        if let Some(path) = &self.args.emit_sql {
            let script = Script {
                from: &old.server,
                to: Some(&new.server),
                statements: &rendering.statements,
                configuration: &report.configuration,
                not_transferable: &rendering.not_transferable,
            };
            statements::write(path, &script.text(), self.args.force)?;
        }
        if self.args.execute {
            self.may_execute(&report, &replication)?;
            self.ask(&report, &rendering, to).await?;
            let failed = self
                .execute(&mut report, &old, to, replication.is_replica)
                .await?;
            self.deliver(&report)?;
            return match failed {
                Some(error) => Err(error),
                None => Ok(verdict(&report)),
            };
        }
        self.deliver(&report)?;
        Ok(whole(&report))
    }

    fn scope(&self) -> Scope {
        match (self.args.sync, self.args.drop_extra) {
            (false, _) => Scope::Missing,
            (true, false) => Scope::Sync,
            (true, true) => Scope::SyncAndDrop,
        }
    }

    /// The statements, without those that B has no table or routine for.
    async fn plan(&self, old: &Read, new: &Read, to: &mut Connection) -> anyhow::Result<Rendering> {
        let (old, new) = (&old.accounts, &new.accounts);
        let planned = accounts::plan(to, old, new, self.scope(), &self.options).await;
        planned.map_err(|error| match error {
            ApplyError::Render(refusal) => refused(&refusal),
            ApplyError::Read(source) => login::failed(&self.b.server.name, &source.into()),
            other => anyhow::Error::new(other),
        })
    }

    /// Whether B is a replica, and whether it has caught up.
    async fn replication(&self, to: &mut Connection) -> anyhow::Result<Replication> {
        let told = self.b.is_replica;
        match replication_status(to).await {
            Ok(channels) => Ok(Replication {
                is_replica: told || !channels.is_empty(),
                behind: channels.iter().find_map(behind),
            }),
            // Without the privilege nothing is known but what RDS says.
            Err(MysqlError::PrivilegeMissing { .. }) => Ok(Replication {
                is_replica: told,
                behind: told.then(|| "its replication status may not be read".to_owned()),
            }),
            Err(error) => Err(login::failed(
                &self.b.server.name,
                &AccessError::from(error),
            )),
        }
    }

    fn report(
        &self,
        old: &Read,
        new: &Read,
        rendering: &Rendering,
        replication: &Replication,
    ) -> AccountsCloneReport {
        let found = diff(&old.accounts, &new.accounts, &self.options);
        let mut notes: Vec<String> = found.warnings.iter().map(ToString::to_string).collect();
        if new.server.read_only {
            notes.push(format!(
                "{} is read-only: only a user above that (not on RDS) can change accounts on it while it is",
                new.server.name
            ));
        }
        if replication.is_replica {
            notes.push(format!(
                "{} is a replica: an account made here that its source makes later stops replication (error 1396)",
                new.server.name
            ));
        }
        if let Some(behind) = &replication.behind {
            notes.push(format!("{} has not caught up: {behind}", new.server.name));
        }
        let (values, unread) = if self.args.no_configuration {
            (Vec::new(), false)
        } else {
            match configuration(&old.configuration, &new.configuration) {
                Ok(values) => (values, false),
                Err(not) => {
                    if not.failed {
                        notes.push(format!("the configuration is not copied: {}", not.reason));
                    }
                    (Vec::new(), not.failed)
                }
            }
        };
        let statements = rendering
            .statements
            .iter()
            .map(|statement| AccountStatement {
                step: statement.step(),
                account: statement.account().clone(),
                statement: statement.masked().to_owned(),
            });
        AccountsCloneReport {
            schema_version: ACCOUNTS_SCHEMA_VERSION,
            tool: Tool::current(),
            created: super::now(),
            old: old.server.clone(),
            new: new.server.clone(),
            scope: self.scope(),
            statements: statements.collect(),
            configuration: values,
            not_transferable: rendering.not_transferable.clone(),
            reserved: found.reserved.clone(),
            notes,
            is_whole: found.unread.is_empty() && !unread,
            left: self.outside(&found),
            outcome: None,
        }
    }

    /// What differs and is not asked for.
    fn outside(&self, found: &AccountsDiff) -> AccountDifferences {
        let mut left = found.clone();
        left.missing.clear();
        match self.scope() {
            Scope::Missing => {
                for (_, changes) in &mut left.changed {
                    changes.retain_mut(is_beyond);
                }
            }
            Scope::Sync => left.changed.clear(),
            Scope::SyncAndDrop => {
                left.changed.clear();
                left.extra.clear();
            }
        }
        left.changed.retain(|(_, changes)| !changes.is_empty());
        AccountDifferences::new(&left, Vec::new())
    }

    /// What differs although it was asked for.
    fn inside(&self, found: &AccountsDiff) -> AccountDifferences {
        let mut left = found.clone();
        left.settings.clear();
        if self.scope() != Scope::SyncAndDrop {
            left.extra.clear();
        }
        if self.scope() == Scope::Missing {
            for (_, changes) in &mut left.changed {
                changes.retain_mut(is_missing);
            }
            left.changed.retain(|(_, changes)| !changes.is_empty());
        }
        AccountDifferences::new(&left, Vec::new())
    }

    fn may_execute(
        &self,
        report: &AccountsCloneReport,
        replication: &Replication,
    ) -> anyhow::Result<()> {
        match &replication.behind {
            Some(behind) if !report.is_nothing() && !self.args.ignore_replication_lag => {
                Err(ExpectedError::usage(
                    format!(
                        "{} has not caught up with its source: {behind}",
                        report.new.name
                    ),
                    "wait: what its source still brings would be made twice, which stops replication; --ignore-replication-lag goes on",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Asks before anything is altered, revoked or dropped; then makes sure that what was shown is what is done.
    async fn ask(
        &self,
        report: &AccountsCloneReport,
        shown: &Rendering,
        to: &mut Connection,
    ) -> anyhow::Result<()> {
        if !self.args.sync || self.args.yes || !shown.statements.iter().any(|s| changes(s.step())) {
            return Ok(());
        }
        let mut bytes = Vec::new();
        let style = Style {
            width: terminal::stdout_width(),
            ..common::stderr_style()
        };
        accounts_clone(report, AccountsFormat::Text, &style, &mut bytes)?;
        let mut stderr = std::io::stderr();
        stderr.write_all(&bytes)?;
        write!(
            stderr,
            "Run these statements on {}? Type yes: ",
            atrest_reports::printable(&report.new.name)
        )?;
        stderr.flush()?;
        let answer = tokio::task::spawn_blocking(|| {
            let mut answer = String::new();
            std::io::stdin().read_line(&mut answer).map(|_| answer)
        })
        .await??;
        if !matches!(answer.trim(), "yes" | "y") {
            return Err(ExpectedError::usage(
                "not confirmed; nothing was changed",
                "the same command without --execute only shows",
            ));
        }
        // People take their time, and others may have changed accounts meanwhile.
        let old = self.a.connect().await?;
        let again = {
            let mut old = old;
            let read = futures::try_join!(super::read(self.a, &mut old), super::read(self.b, to));
            old.close().await;
            read?
        };
        let again = self.plan(&again.0, &again.1, to).await?;
        if again.statements != shown.statements {
            return Err(ExpectedError::of(
                Exit::StalePlan,
                "accounts have changed since the statements were shown; nothing was done",
                "run the same command again",
            ));
        }
        Ok(())
    }

    /// Runs everything and notes it in the report. `Some`: why it stopped.
    async fn execute(
        &self,
        report: &mut AccountsCloneReport,
        old: &Read,
        to: &mut Connection,
        is_replica: bool,
    ) -> anyhow::Result<Option<anyhow::Error>> {
        let mut outcome = CloneOutcome::default();
        if report.is_nothing() {
            outcome.verified = true;
            report.outcome = Some(outcome);
            return Ok(None);
        }
        let failed = |error| login::failed(&self.b.server.name, &AccessError::from(error));
        if is_replica && !accounts::keep_out_of_binlog(to).await.map_err(failed)? {
            report.notes.push(format!(
                "{} does not let its binary log be left out: the statements are logged there",
                report.new.name
            ));
        }
        let on_error = match self.args.on_grant_error {
            OnGrantErrorArg::Abort => OnGrantError::Abort,
            OnGrantErrorArg::DropAccount => OnGrantError::DropAccount,
            OnGrantErrorArg::Report => OnGrantError::Report,
        };
        let brought =
            accounts::bring_over(to, &old.accounts, self.scope(), &self.options, on_error).await;
        let stopped = match brought {
            Ok(BringOver {
                report: applied,
                not_transferable,
                remaining,
            }) => {
                report.not_transferable = not_transferable;
                note(&mut outcome, applied);
                outcome.verified = true;
                outcome.remaining = self.inside(&remaining);
                report.left = self.outside(&remaining);
                None
            }
            Err(error) => Some(self.stopped(error, &mut outcome)),
        };
        let stopped = match stopped {
            None => {
                self.configure(&report.configuration, to, &mut outcome)
                    .await
            }
            stopped => stopped,
        };
        report.outcome = Some(outcome);
        Ok(stopped)
    }

    fn stopped(&self, error: ApplyError, outcome: &mut CloneOutcome) -> anyhow::Error {
        let name = &self.b.server.name;
        let again =
            "mend what is named and run the same command again: it goes on where it stopped";
        let (exit, message, hint) = match error {
            ApplyError::Server { report, source } => {
                let done = report.applied.len();
                note(outcome, *report);
                let exit = match &source {
                    MysqlError::ReadOnly { .. } if done == 0 => Exit::Usage,
                    _ => Exit::Stopped,
                };
                let hint = source.hint().unwrap_or(again);
                let source = AccessError::from(source).to_string();
                (
                    exit,
                    format!("{source} ({done} statements done before)"),
                    hint,
                )
            }
            ApplyError::Refused { failed, report } => {
                note(outcome, *report);
                let message = format!(
                    "{} refused a statement for {}: {}",
                    name, failed.account, failed.message
                );
                let hint = failed.hint.unwrap_or(
                    "--on-grant-error report goes on without it and says what is missing",
                );
                (Exit::NeedsOperator, message, hint)
            }
            ApplyError::Read(source) => {
                let source = AccessError::from(source);
                let hint = source.hint();
                (Exit::Stopped, source.to_string(), hint)
            }
            ApplyError::Render(refusal) => (Exit::StalePlan, refusal.to_string(), again),
        };
        ExpectedError::of(exit, atrest_reports::printable(&message), hint)
    }

    /// Copies the configuration; `Some` when the server is no longer there.
    async fn configure(
        &self,
        wanted: &[ConfigurationDifference],
        to: &mut Connection,
        outcome: &mut CloneOutcome,
    ) -> Option<anyhow::Error> {
        for value in wanted {
            let set = accounts::set_configuration(to, &value.name, value.old.as_deref()).await;
            let error = match set {
                Ok(()) => {
                    outcome.configured.push(value.name.clone());
                    continue;
                }
                Err(error) => error,
            };
            outcome.remaining.configuration.push(value.clone());
            let message = match error {
                ConfigurationError::Server { source, .. } if source.code().is_none() => {
                    outcome.verified = false;
                    let source = AccessError::from(source);
                    return Some(login::failed(&self.b.server.name, &source));
                }
                ConfigurationError::Server { name, source } => format!(
                    "configuration {name:?} cannot be set: {}",
                    AccessError::from(source)
                ),
                other => other.to_string(),
            };
            outcome.warnings.push(message);
        }
        None
    }

    fn deliver(&self, report: &AccountsCloneReport) -> anyhow::Result<()> {
        for output in self.outputs {
            let mut bytes = Vec::new();
            accounts_clone(report, output.format, &common::style_of(output), &mut bytes)?;
            common::deliver(output.path.as_deref(), &bytes)?;
        }
        Ok(())
    }
}

/// Why no statements are written for a pair.
fn refused(refusal: &RenderRefusal) -> anyhow::Error {
    let (exit, hint) = match refusal {
        RenderRefusal::Flavor { .. } => (
            Exit::Usage,
            "accounts go from MySQL to MySQL and from MariaDB to MariaDB",
        ),
        RenderRefusal::Setting { .. } => (
            Exit::Usage,
            "the same grant would mean something else there; give both servers the same value",
        ),
        RenderRefusal::AccountsUnread { .. } => (
            Exit::Incomplete,
            "log in as a user who may read the tables of the schema mysql",
        ),
    };
    ExpectedError::of(exit, refusal.to_string(), hint)
}

/// What is known of B's replication.
struct Replication {
    is_replica: bool,
    /// Why it cannot be said to have caught up.
    behind: Option<String>,
}

/// Why a channel cannot be said to have caught up. Zero seconds prove little, anything else proves enough.
fn behind(channel: &ReplicationStatus) -> Option<String> {
    if let Some((code, text)) = channel.sql_error.as_ref().or(channel.io_error.as_ref()) {
        return Some(format!("replication stopped with error {code}: {text}"));
    }
    if !channel.sql_running {
        return Some("replication is stopped".to_owned());
    }
    match channel.seconds_behind_source {
        Some(0) => None,
        Some(seconds) => Some(format!("{seconds} s behind")),
        None => Some("how far it is behind is not known".to_owned()),
    }
}

/// Whether a step changes what is there, rather than adding to it.
fn changes(step: StatementStep) -> bool {
    match step {
        StatementStep::CreateRole
        | StatementStep::CreateAccount
        | StatementStep::Grant
        | StatementStep::GrantProxy
        | StatementStep::GrantRole
        | StatementStep::GrantSystemUser => false,
        StatementStep::AlterAccount
        | StatementStep::Revoke
        | StatementStep::RestrictDatabase
        | StatementStep::SetDefaultRole
        | StatementStep::ExpirePassword
        | StatementStep::DropAccount => true,
    }
}

/// Keeps of a change what only `--sync` mends.
fn is_beyond(change: &mut AccountChange) -> bool {
    match change {
        AccountChange::Attribute { .. } => true,
        AccountChange::Privileges { missing, extra, .. } => {
            missing.clear();
            !extra.is_empty()
        }
    }
}

/// Keeps of a change what is missing on the new server.
fn is_missing(change: &mut AccountChange) -> bool {
    match change {
        AccountChange::Attribute { .. } => false,
        AccountChange::Privileges { missing, extra, .. } => {
            extra.clear();
            !missing.is_empty()
        }
    }
}

fn note(outcome: &mut CloneOutcome, applied: ApplyReport) {
    outcome.applied.extend(applied.applied);
    let refused = applied.failed.into_iter().map(|failed| RefusedStatement {
        account: failed.account,
        statement: failed.statement,
        message: failed.message,
        hint: failed.hint.map(str::to_owned),
    });
    outcome.refused.extend(refused);
    let warnings = applied.warnings.into_iter();
    outcome.warnings.extend(warnings.map(|warning| {
        format!(
            "{} ({}): {}",
            warning.message, warning.code, warning.statement
        )
    }));
    outcome.dropped.extend(applied.dropped);
    outcome.skipped.extend(applied.skipped);
}

fn whole(report: &AccountsCloneReport) -> Exit {
    if report.is_whole {
        Exit::Ok
    } else {
        Exit::Incomplete
    }
}

/// What was asked for and is not there is drift.
fn verdict(report: &AccountsCloneReport) -> Exit {
    let done = report.outcome.as_ref().is_some_and(|outcome| {
        outcome.verified && outcome.refused.is_empty() && outcome.remaining.is_empty()
    });
    whole(report).max(if done { Exit::Ok } else { Exit::Drift })
}
