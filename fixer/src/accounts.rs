//! Brings accounts from an old server to a new one: runs the statements, looks at what the server made of
//! them, and can be run again at any time.
//!
//! Every account statement commits on its own, so a crash may leave an account half-built. Nothing here
//! trusts what was done before: the new server is read again and only what still differs is written.

mod apply;
mod configuration;
mod objects;

use atrest_model::account::{
    Accounts, AccountsDiff, DiffOptions, NotTransferable, Rendering, Scope, Statement, Subject,
    diff, render,
};
use atrest_scanner::mysql::{Connection, MysqlError, read_accounts};

pub use apply::{ApplyError, ApplyReport, FailedStatement, OnGrantError, StatementWarning, apply};
use apply::{merge, with_earlier};
pub use configuration::{ConfigurationError, set_configuration};

/// Accounts brought over.
#[derive(Debug, Clone)]
#[must_use]
pub struct BringOver {
    /// What was run, over all passes.
    pub report: ApplyReport,
    /// What no statement can bring about, and what the server refused.
    pub not_transferable: Vec<NotTransferable>,
    /// What still differs, read back from the server.
    pub remaining: AccountsDiff,
}

impl BringOver {
    /// What still differs and is not explained by `not_transferable`: nothing, unless a statement failed.
    pub fn unexplained(&self) -> AccountsDiff {
        self.remaining.unexplained(&self.not_transferable)
    }
}

/// The statements that make the accounts of the server behind `conn`, read as `new`, equal to `old`.
///
/// As [`render`], and what the server has no table, column or routine for is not transferable: grants outlive
/// the table they are on, and cannot be made without it.
///
/// # Errors
///
/// [`ApplyError::Render`], and [`ApplyError::Read`] when the server's schemas cannot be looked at.
pub async fn plan(
    conn: &mut Connection,
    old: &Accounts,
    new: &Accounts,
    scope: Scope,
    options: &DiffOptions,
) -> Result<Rendering, ApplyError> {
    let mut rendering = render(old, new, scope, options)?;
    objects::leave_out_missing(conn, new, &mut rendering)
        .await
        .map_err(ApplyError::Read)?;
    Ok(rendering)
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
    activate_roles(conn).await.map_err(ApplyError::Read)?;
    let mut report = ApplyReport::default();
    let mut tried: Vec<Statement> = Vec::new();
    let mut new = read_accounts(conn).await.map_err(ApplyError::Read)?;
    let mut not_transferable = Vec::new();
    for pass in 0..PASSES {
        let rendering = plan(conn, old, &new, scope, options).await?;
        if pass == 0 {
            not_transferable = rendering.not_transferable;
        }
        let statements: Vec<Statement> = rendering
            .statements
            .into_iter()
            .flat_map(|statement| without(statement, &report.refused))
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
    not_transferable.extend(report.refused.iter().cloned());
    let remaining = diff(old, &new, options);
    Ok(BringOver {
        report,
        not_transferable,
        remaining,
    })
}

/// A statement without the privileges that are not transferable: itself, its other parts, or nothing.
fn without(statement: Statement, not_transferable: &[NotTransferable]) -> Vec<Statement> {
    let out = |part: &Statement| {
        part.gives().into_iter().any(|(on, privilege)| {
            let subject = Subject::Privilege { on, privilege };
            not_transferable.iter().any(|entry| {
                entry.account.as_ref() == Some(part.account()) && entry.subject == subject
            })
        })
    };
    if !out(&statement) {
        return vec![statement];
    }
    let mut parts = statement.divided();
    parts.retain(|part| !out(part));
    parts
}

/// Activates every role the login has, so that it can grant what its roles let it grant. RDS keeps some of the
/// master user's privileges in `rds_superuser_role`. MariaDB has one active role per session and sets the
/// default one itself.
async fn activate_roles(conn: &mut Connection) -> Result<(), MysqlError> {
    if conn.version().is_mysql_from(8, 0, 0) {
        conn.execute(b"SET ROLE ALL").await?;
    }
    Ok(())
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
