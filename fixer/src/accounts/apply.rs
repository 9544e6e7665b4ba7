//! Statements on their way to one server, and what became of each.

use atrest_model::account::{
    AccountKey, Level, NotTransferable, RenderRefusal, Statement, StatementStep, Subject,
};
use atrest_scanner::mysql::{Connection, MysqlError};
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
    /// Privileges it refused while it took the others of their statement.
    pub refused: Vec<NotTransferable>,
    /// Statements not tried: their account or role could not be made, or was dropped again.
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
    #[error(transparent)]
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
/// With [`OnGrantError::Report`] a `GRANT` of several privileges that is refused is run again privilege by
/// privilege, so that only what the server really refuses is lost.
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
    let mut run = Run {
        conn,
        on_error,
        report: ApplyReport::default(),
        created: Vec::new(),
        not_made: Vec::new(),
    };
    for statement in statements {
        match run.statement(statement).await {
            Ok(()) => {}
            Err(Stop::Server(source)) => {
                return Err(ApplyError::Server {
                    report: Box::new(run.report),
                    source,
                });
            }
            Err(Stop::Refused(failed)) => {
                return Err(ApplyError::Refused {
                    failed,
                    report: Box::new(run.report),
                });
            }
        }
    }
    Ok(run.report)
}

/// Statements on their way to one server.
struct Run<'a> {
    conn: &'a mut Connection,
    on_error: OnGrantError,
    report: ApplyReport,
    /// Accounts and roles made by this run.
    created: Vec<(AccountKey, StatementStep)>,
    /// Accounts and roles that could not be made: every other statement about them would fail as well.
    not_made: Vec<AccountKey>,
}

/// Why the run ends early.
enum Stop {
    Server(MysqlError),
    Refused(Box<FailedStatement>),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Statement(failed) => Self::Refused(failed),
            Failure::Server(source) => Self::Server(source),
        }
    }
}

impl Run<'_> {
    async fn statement(&mut self, statement: &Statement) -> Result<(), Stop> {
        if self.is_pointless(statement) {
            self.report.skipped.push(statement.masked().to_owned());
            return Ok(());
        }
        tracing::debug!(account = %statement.account(), statement = statement.masked(), "Running an account statement.");
        let failed = match run(self.conn, statement).await {
            Ok(warnings) => {
                self.took(statement, warnings);
                return Ok(());
            }
            Err(Failure::Statement(failed)) => failed,
            Err(failure @ Failure::Server(_)) => return Err(failure.into()),
        };
        tracing::warn!(account = %failed.account, statement = failed.statement, error = failed.message,
            "The server refused an account statement.");
        match self.on_error {
            OnGrantError::Report if may_be_divided(&failed) => {
                self.divide(statement, failed).await?;
            }
            OnGrantError::Report => self.failed(statement, *failed),
            OnGrantError::Abort => {
                self.report.failed.push((*failed).clone());
                return Err(Stop::Refused(failed));
            }
            OnGrantError::DropAccount => {
                self.failed(statement, *failed);
                self.drop_again(statement.account()).await?;
            }
        }
        Ok(())
    }

    /// Whether the account of a statement, or the role it grants, is not there because of an earlier refusal.
    fn is_pointless(&self, statement: &Statement) -> bool {
        let gone =
            |key: &AccountKey| self.report.dropped.contains(key) || self.not_made.contains(key);
        let needs_gone_role = || {
            statement
                .gives()
                .iter()
                .any(|(on, _)| matches!(on, Level::Role { role } if gone(role)))
        };
        gone(statement.account()) || needs_gone_role()
    }

    fn took(&mut self, statement: &Statement, warnings: Vec<StatementWarning>) {
        self.report.applied.push(statement.masked().to_owned());
        self.report.warnings.extend(warnings);
        if makes_account(statement) {
            self.created
                .push((statement.account().clone(), statement.step()));
        }
    }

    fn failed(&mut self, statement: &Statement, failed: FailedStatement) {
        let made_earlier = self
            .created
            .iter()
            .any(|(account, _)| account == statement.account());
        // The statements that make an account are several on MySQL 5.6.
        if makes_account(statement) && !made_earlier {
            self.not_made.push(statement.account().clone());
        }
        self.report.failed.push(failed);
    }

    /// Runs a refused `GRANT` again, one privilege at a time.
    async fn divide(
        &mut self,
        statement: &Statement,
        failed: Box<FailedStatement>,
    ) -> Result<(), Stop> {
        let mut parts = statement.divided();
        if parts.is_empty() {
            if statement.gives().is_empty() {
                self.failed(statement, *failed);
            } else {
                self.refused(statement, &failed);
            }
            return Ok(());
        }
        parts.retain(|part| !self.report.applied.iter().any(|text| text == part.masked()));
        for part in &parts {
            match run(self.conn, part).await {
                Ok(warnings) => self.took(part, warnings),
                Err(Failure::Statement(failed)) => self.refused(part, &failed),
                Err(failure @ Failure::Server(_)) => return Err(failure.into()),
            }
        }
        Ok(())
    }

    fn refused(&mut self, statement: &Statement, failed: &FailedStatement) {
        for (on, privilege) in statement.gives() {
            let subject = Subject::Privilege { on, privilege };
            self.report.refused.push(NotTransferable::new(
                statement.account(),
                subject,
                format!("the new server refuses it: {}", failed.message),
            ));
        }
    }

    async fn drop_again(&mut self, account: &AccountKey) -> Result<(), Stop> {
        let Some((account, step)) = self
            .created
            .iter()
            .find(|(made, _)| made == account)
            .cloned()
        else {
            return Ok(());
        };
        let drop = Statement::drop_account(
            &account,
            &self.conn.version(),
            step == StatementStep::CreateRole,
        );
        match run(self.conn, &drop).await {
            Ok(_) => self.report.dropped.push(account),
            Err(Failure::Statement(failed)) => self.report.failed.push(*failed),
            Err(failure @ Failure::Server(_)) => return Err(failure.into()),
        }
        Ok(())
    }
}

fn makes_account(statement: &Statement) -> bool {
    matches!(
        statement.step(),
        StatementStep::CreateAccount | StatementStep::CreateRole
    )
}

/// Whether a refusal may be about one privilege only. Where the grantee, the table or the routine is not there,
/// every part would be refused for the same reason.
fn may_be_divided(failed: &FailedStatement) -> bool {
    !matches!(
        failed.code,
        None | Some(1049 | 1064 | 1133 | 1146 | 1305 | 1300 | 1410 | 1470 | 3523 | 6524)
    )
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

pub(super) fn merge(report: &mut ApplyReport, later: ApplyReport) {
    report.applied.extend(later.applied);
    report.failed.extend(later.failed);
    report.warnings.extend(later.warnings);
    report.refused.extend(later.refused);
    report.dropped.extend(later.dropped);
    report.skipped.extend(later.skipped);
}

pub(super) fn with_earlier(mut earlier: ApplyReport, error: ApplyError) -> ApplyError {
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
