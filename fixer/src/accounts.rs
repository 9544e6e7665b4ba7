//! Brings accounts from an old server to a new one: runs the statements, looks at what the server made of
//! them, and can be run again at any time.
//!
//! Every account statement commits on its own, so a crash may leave an account half-built. Nothing here
//! trusts what was done before: the new server is read again and only what still differs is written.

use atrest_model::account::{
    AccountKey, Accounts, AccountsDiff, DiffOptions, NotTransferable, RenderRefusal, Scope,
    Statement, StatementStep, diff, render,
};
use atrest_scanner::mysql::{Connection, MysqlError, read_accounts, show_configuration};
use serde::Serialize;

/// What to do when the server refuses a statement for an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnGrantError {
    /// Stop. What was done stays done.
    Abort,
    /// Drop the account again if this run made it, and go on with the next account.
    DropAccount,
    /// Note it and go on: RDS refuses some grants to everyone.
    Report,
}

/// What became of the statements. Holds masked texts only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[must_use]
pub struct ApplyReport {
    /// Statements the server took.
    pub applied: Vec<String>,
    /// Statements it refused.
    pub failed: Vec<FailedStatement>,
    /// Warnings it gave for statements it took.
    pub warnings: Vec<StatementWarning>,
    /// Accounts made by this run and dropped again after a failure.
    pub dropped: Vec<AccountKey>,
    /// Statements not tried, because their account had been dropped again.
    pub skipped: Vec<String>,
}

/// A statement the server refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FailedStatement {
    /// The account it was for.
    pub account: AccountKey,
    /// The masked text.
    pub statement: String,
    /// The server's code, when it gave one.
    pub code: Option<u16>,
    /// What went wrong.
    pub message: String,
    /// What a person can do about it.
    pub hint: Option<&'static str>,
}

/// A warning of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StatementWarning {
    /// The masked text of the statement.
    pub statement: String,
    /// The server's code.
    pub code: u16,
    /// The server's words.
    pub message: String,
}

/// Why accounts were not brought over.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The server cannot take any of the statements: it is read-only, or gone.
    #[error("accounts cannot be changed ({} statements done before)", report.applied.len())]
    Server {
        /// What had been done.
        report: Box<ApplyReport>,
        /// The error.
        #[source]
        source: MysqlError,
    },
    /// A statement was refused, and the caller asked to stop then.
    #[error("stopped at a refused statement for {}: {} ({})", failed.account, failed.message, failed.statement)]
    Refused {
        /// The statement.
        failed: Box<FailedStatement>,
        /// What had been done, this statement included.
        report: Box<ApplyReport>,
    },
    /// No statements can be written for this pair.
    #[error("no statements for this pair")]
    Render(#[from] RenderRefusal),
    /// The new server could not be read.
    #[error("the new server's accounts cannot be read")]
    Read(#[source] MysqlError),
}

impl ApplyError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Server { source, .. } | Self::Read(source) => source.hint(),
            Self::Refused { failed, .. } => failed.hint,
            Self::Render(RenderRefusal::Setting { .. }) => {
                Some("give both servers the same value in their DB parameter groups")
            }
            Self::Render(RenderRefusal::Flavor { .. } | RenderRefusal::AccountsUnread { .. }) => {
                None
            }
        }
    }
}

/// Runs statements in their order, one per call.
///
/// # Errors
///
/// [`ApplyError::Server`] when the server is read-only or no longer there, whatever `on_error` says;
/// [`ApplyError::Refused`] with [`OnGrantError::Abort`].
pub async fn apply(
    conn: &mut Connection,
    statements: &[Statement],
    on_error: OnGrantError,
) -> Result<ApplyReport, ApplyError> {
    let mut report = ApplyReport::default();
    let mut created: Vec<(&AccountKey, StatementStep)> = Vec::new();
    for statement in statements {
        if report.dropped.contains(statement.account()) {
            report.skipped.push(statement.masked().to_owned());
            continue;
        }
        tracing::debug!(account = %statement.account(), statement = statement.masked(), "Running an account statement.");
        let failed = match run(conn, statement).await {
            Ok(warnings) => {
                report.applied.push(statement.masked().to_owned());
                report.warnings.extend(warnings);
                if matches!(
                    statement.step(),
                    StatementStep::CreateAccount | StatementStep::CreateRole
                ) {
                    created.push((statement.account(), statement.step()));
                }
                continue;
            }
            Err(Failure::Statement(failed)) => failed,
            Err(Failure::Server(source)) => {
                return Err(ApplyError::Server {
                    report: Box::new(report),
                    source,
                });
            }
        };
        tracing::warn!(account = %failed.account, statement = failed.statement, error = failed.message,
            "The server refused an account statement.");
        report.failed.push((*failed).clone());
        match on_error {
            OnGrantError::Abort => {
                return Err(ApplyError::Refused {
                    failed,
                    report: Box::new(report),
                });
            }
            OnGrantError::Report => {}
            OnGrantError::DropAccount => {
                let made = created
                    .iter()
                    .find(|(account, _)| *account == statement.account());
                if let Some((account, step)) = made {
                    let drop = Statement::drop_account(
                        account,
                        &conn.version(),
                        *step == StatementStep::CreateRole,
                    );
                    match run(conn, &drop).await {
                        Ok(_) => report.dropped.push((*account).clone()),
                        Err(Failure::Statement(failed)) => report.failed.push(*failed),
                        Err(Failure::Server(source)) => {
                            return Err(ApplyError::Server {
                                report: Box::new(report),
                                source,
                            });
                        }
                    }
                }
            }
        }
    }
    Ok(report)
}

enum Failure {
    Statement(Box<FailedStatement>),
    Server(MysqlError),
}

async fn run(
    conn: &mut Connection,
    statement: &Statement,
) -> Result<Vec<StatementWarning>, Failure> {
    let warnings = match conn.execute(statement.expose()).await {
        Ok(warnings) => warnings,
        Err(error @ (MysqlError::Server { .. } | MysqlError::PrivilegeMissing { .. })) => {
            return Err(Failure::Statement(Box::new(FailedStatement {
                account: statement.account().clone(),
                statement: statement.masked().to_owned(),
                code: error.code(),
                message: error.to_string(),
                hint: hint(error.code()),
            })));
        }
        Err(error) => return Err(Failure::Server(error)),
    };
    // The name was not stored as it was given, so the statement made or changed another account.
    if let Some(warning) = warnings
        .iter()
        .find(|warning| matches!(warning.code, 1300 | 6524))
    {
        return Err(Failure::Statement(Box::new(FailedStatement {
            account: statement.account().clone(),
            statement: statement.masked().to_owned(),
            code: Some(warning.code),
            message: format!(
                "the server took another name than the one given: {}",
                warning.message
            ),
            hint: Some(
                "look for an account with a similar name, which this statement made or changed",
            ),
        })));
    }
    let warnings = warnings.into_iter().map(|warning| StatementWarning {
        statement: statement.masked().to_owned(),
        code: warning.code,
        message: warning.message,
    });
    Ok(warnings.collect())
}

/// What a person can do about a refused account statement.
fn hint(code: Option<u16>) -> Option<&'static str> {
    match code? {
        1146 => Some(
            "the table of this grant does not exist here; on a replica, wait until it has caught up",
        ),
        1305 => Some(
            "the routine of this grant does not exist here; on a replica, wait until it has caught up",
        ),
        1524 => Some(
            "the authentication plugin is not there; for IAM, switch IAM authentication on for the new instance",
        ),
        1044 | 1045 | 1227 => {
            Some("the login lacks this privilege itself; on RDS no one can have some of them")
        }
        1698 => Some("granting PROXY needs PROXY on ''@'' with grant option"),
        1827 => Some("the stored hash does not have the form its plugin asks for"),
        _ => None,
    }
}

/// Accounts brought over.
#[derive(Debug, Clone)]
#[must_use]
pub struct BringOver {
    /// What was run, over all passes.
    pub report: ApplyReport,
    /// What no statement can bring about.
    pub not_transferable: Vec<NotTransferable>,
    /// What still differs, read back from the server.
    pub remaining: AccountsDiff,
}

/// Makes the accounts of the server behind `conn` equal to `old`, as far as `scope` goes, and reads the
/// result back. A second run finds nothing to do.
///
/// After a refused statement the server is read again, so that nothing already there is repeated, and what
/// was refused once is not tried again.
///
/// # Errors
///
/// Any [`ApplyError`].
pub async fn bring_over(
    conn: &mut Connection,
    old: &Accounts,
    scope: Scope,
    options: &DiffOptions,
    on_error: OnGrantError,
) -> Result<BringOver, ApplyError> {
    // The first pass does the work; a second one heals what a refused statement kept from working.
    const PASSES: usize = 3;
    let mut report = ApplyReport::default();
    let mut tried: Vec<Statement> = Vec::new();
    let mut new = read_accounts(conn).await.map_err(ApplyError::Read)?;
    let mut not_transferable = Vec::new();
    for pass in 0..PASSES {
        let rendering = render(old, &new, scope, options)?;
        if pass == 0 {
            not_transferable = rendering.not_transferable;
        }
        let statements: Vec<Statement> = rendering
            .statements
            .into_iter()
            .filter(|statement| {
                !tried.contains(statement) && !report.dropped.contains(statement.account())
            })
            .collect();
        if statements.is_empty() {
            break;
        }
        let passed = match apply(conn, &statements, on_error).await {
            Ok(passed) => passed,
            Err(error) => return Err(with_earlier(report, error)),
        };
        tried.extend(statements);
        merge(&mut report, passed);
        new = read_accounts(conn).await.map_err(ApplyError::Read)?;
    }
    let remaining = diff(old, &new, options);
    Ok(BringOver {
        report,
        not_transferable,
        remaining,
    })
}

fn merge(report: &mut ApplyReport, later: ApplyReport) {
    report.applied.extend(later.applied);
    report.failed.extend(later.failed);
    report.warnings.extend(later.warnings);
    report.dropped.extend(later.dropped);
    report.skipped.extend(later.skipped);
}

fn with_earlier(mut earlier: ApplyReport, error: ApplyError) -> ApplyError {
    match error {
        ApplyError::Server { report, source } => {
            merge(&mut earlier, *report);
            ApplyError::Server {
                report: Box::new(earlier),
                source,
            }
        }
        ApplyError::Refused { failed, report } => {
            merge(&mut earlier, *report);
            ApplyError::Refused {
                failed,
                report: Box::new(earlier),
            }
        }
        other @ (ApplyError::Render(_) | ApplyError::Read(_)) => other,
    }
}

/// Keeps this session's statements out of the server's binary log, where that is allowed.
///
/// Wanted on a replica, whose own log they would otherwise enter as transactions its source does not have.
/// `false`: the server refused, as RDS does, and the statements will be logged.
///
/// # Errors
///
/// Any [`MysqlError`] other than the missing privilege.
pub async fn keep_out_of_binlog(conn: &mut Connection) -> Result<bool, MysqlError> {
    match conn.execute(b"SET SESSION sql_log_bin = 0").await {
        Ok(_) => Ok(true),
        Err(MysqlError::PrivilegeMissing { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// An RDS configuration value that did not become what it should.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The server failed.
    #[error("configuration {name:?} cannot be set")]
    Server {
        /// The configuration value.
        name: String,
        /// The error.
        #[source]
        source: MysqlError,
    },
    /// The server has no RDS procedures.
    #[error("the server has no RDS configuration")]
    NotRds,
    /// The procedure ended, and the value is another one than asked for.
    #[error("configuration {name:?} is {actual:?} after it was set to {wanted:?}: {answer}")]
    NotSet {
        /// The configuration value.
        name: String,
        /// What it should be.
        wanted: Option<String>,
        /// What it is.
        actual: Option<String>,
        /// What the procedure answered.
        answer: String,
    },
}

/// Sets a value such as `binlog retention hours` through `mysql.rds_set_configuration`, and reads it back:
/// the procedure reports trouble in a result set, and its end alone is no success.
///
/// # Errors
///
/// Any [`ConfigurationError`].
pub async fn set_configuration(
    conn: &mut Connection,
    name: &str,
    value: Option<&str>,
) -> Result<(), ConfigurationError> {
    let failed = |source| ConfigurationError::Server {
        name: name.to_owned(),
        source,
    };
    let mut call = b"CALL mysql.rds_set_configuration(".to_vec();
    call.extend_from_slice(&atrest_model::account::quote_literal(name.as_bytes()));
    call.extend_from_slice(b", ");
    match value {
        Some(value) => {
            call.extend_from_slice(&atrest_model::account::quote_literal(value.as_bytes()))
        }
        None => call.extend_from_slice(b"NULL"),
    }
    call.push(b')');
    let answer = match conn.call(&call).await {
        Ok(sets) => sets,
        Err(MysqlError::Server { code: 1305, .. }) => return Err(ConfigurationError::NotRds),
        Err(source) => return Err(failed(source)),
    };
    let answer: Vec<String> = answer
        .iter()
        .flatten()
        .filter_map(|row| row.text(0))
        .collect();
    let actual = show_configuration(conn)
        .await
        .map_err(failed)?
        .ok_or(ConfigurationError::NotRds)?;
    let actual = actual.get(name).cloned().flatten();
    if actual.as_deref() == value {
        return Ok(());
    }
    Err(ConfigurationError::NotSet {
        name: name.to_owned(),
        wanted: value.map(str::to_owned),
        actual,
        answer: answer.join("; "),
    })
}
