//! Talking to a server as its administrator, and cutting scripts into statements.

use std::path::Path;
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder, Row};
use tokio::time::timeout;

use super::EngineError;

/// How long one statement or one login may take.
pub(super) const STATEMENT_LIMIT: Duration = Duration::from_secs(60);

/// A connection of the administrator over the server's own socket.
pub(super) struct Session {
    conn: Conn,
    server: String,
}

impl Session {
    /// Logs in. The account is reachable over the socket alone: its host is `localhost` and servers run with
    /// `skip_name_resolve`, so no TCP client is ever `localhost`.
    pub(super) async fn open(
        server: &str,
        socket: &Path,
        user: &str,
        password: &str,
    ) -> Result<Self, EngineError> {
        let opts = OptsBuilder::default()
            .user(Some(user))
            .pass(Some(password))
            .socket(Some(socket.to_string_lossy()))
            // Asked from the server otherwise: two more statements per login.
            .max_allowed_packet(Some(64 << 20))
            .wait_timeout(Some(28_800));
        match timeout(STATEMENT_LIMIT, Conn::new(opts)).await {
            Ok(Ok(conn)) => Ok(Self {
                conn,
                server: server.to_owned(),
            }),
            Ok(Err(error)) => Err(sql_error(server, "login of the administrator", &error)),
            Err(_elapsed) => Err(EngineError::timed_out(
                format!("the login of the administrator on server {server}"),
                STATEMENT_LIMIT,
            )),
        }
    }

    /// Runs one statement and reads all of its result sets.
    pub(super) async fn run(&mut self, statement: &str) -> Result<(), EngineError> {
        match timeout(STATEMENT_LIMIT, self.conn.query_drop(statement)).await {
            Ok(done) => done.map_err(|error| sql_error(&self.server, statement, &error)),
            Err(_elapsed) => Err(self.too_slow(statement)),
        }
    }

    /// Runs statements in order.
    pub(super) async fn run_all<S: AsRef<str>>(
        &mut self,
        statements: impl IntoIterator<Item = S>,
    ) -> Result<(), EngineError> {
        for statement in statements {
            self.run(statement.as_ref()).await?;
        }
        Ok(())
    }

    /// Runs one statement and returns the rows of its first result set.
    pub(super) async fn rows(&mut self, statement: &str) -> Result<Vec<Row>, EngineError> {
        match timeout(STATEMENT_LIMIT, self.conn.query::<Row, _>(statement)).await {
            Ok(rows) => rows.map_err(|error| sql_error(&self.server, statement, &error)),
            Err(_elapsed) => Err(self.too_slow(statement)),
        }
    }

    /// Says goodbye, so that the server does not log an aborted connection.
    pub(super) async fn close(self) {
        let _gone = timeout(Duration::from_secs(5), self.conn.disconnect()).await;
    }

    fn too_slow(&self, statement: &str) -> EngineError {
        EngineError::timed_out(
            format!(
                "a statement on server {} ({})",
                self.server,
                shown(statement)
            ),
            STATEMENT_LIMIT,
        )
    }
}

/// The server's own error number, if the server said no (and not the network).
pub(super) fn server_code(error: &EngineError) -> Option<u16> {
    match error {
        EngineError::Sql { message, .. } => message
            .strip_prefix("ERROR ")?
            .split(' ')
            .next()?
            .parse()
            .ok(),
        _ => None,
    }
}

fn sql_error(server: &str, statement: &str, error: &mysql_async::Error) -> EngineError {
    let message = match error {
        mysql_async::Error::Server(error) => {
            let text = if holds_secret(statement) && error.code == 1064 {
                // A syntax error quotes the statement from some point on, and may cut a secret in two.
                "syntax error (its text is withheld: the statement holds a secret)".to_owned()
            } else {
                literals(statement)
                    .into_iter()
                    .filter(|_| holds_secret(statement))
                    .fold(error.message.clone(), |text, secret| {
                        text.replace(secret, "…")
                    })
            };
            format!("ERROR {} ({}): {text}", error.code, error.state)
        }
        other => other.to_string(),
    };
    EngineError::Sql {
        server: server.to_owned(),
        message,
        statement: shown(statement),
    }
}

/// A statement as it may be shown: one line, at most 160 characters, no string literals if it holds a secret.
fn shown(statement: &str) -> String {
    let masked = if holds_secret(statement) {
        literals(statement)
            .into_iter()
            .fold(statement.to_owned(), |text, secret| {
                text.replace(secret, "…")
            })
    } else {
        statement.to_owned()
    };
    let line = masked.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= 160 {
        line
    } else {
        line.chars().take(159).chain(['…']).collect()
    }
}

fn holds_secret(statement: &str) -> bool {
    let lower = statement.to_ascii_lowercase();
    [
        "identified",
        "password",
        "rds_set_external",
        "authentication_string",
    ]
    .iter()
    .any(|word| lower.contains(word))
}

/// Contents of the quoted strings of a statement, as written, longest first.
fn literals(statement: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(byte) = statement.as_bytes().get(at) {
        if matches!(byte, b'\'' | b'"') {
            let end = quoted_end(statement.as_bytes(), at);
            let inner = statement
                .get(at + 1..end.saturating_sub(1))
                .unwrap_or_default();
            if !inner.is_empty() {
                found.push(inner);
            }
            at = end;
        } else {
            at += 1;
        }
    }
    found.sort_by_key(|literal| std::cmp::Reverse(literal.len()));
    found
}

/// A string literal. The servers run without `NO_BACKSLASH_ESCAPES` in the administrator's sessions.
pub(super) fn literal(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for character in text.chars() {
        if matches!(character, '\'' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('\'');
    quoted
}

/// Position after the quoted text that begins at `start`, doubled quotes counting as two neighbours.
fn quoted_end(text: &[u8], start: usize) -> usize {
    let quote = text.get(start).copied();
    let mut at = start + 1;
    while let Some(&byte) = text.get(at) {
        at += 1;
        if byte == b'\\' && quote != Some(b'`') {
            at += 1;
        } else if Some(byte) == quote {
            break;
        }
    }
    at.min(text.len())
}

/// Cuts a script into statements as the `mysql` client does: at `;`, or at what a `DELIMITER` line names;
/// quotes and comments do not count, and what is only a comment is no statement.
pub(super) fn statements(script: &str) -> Vec<&str> {
    let text = script.as_bytes();
    let mut found = Vec::new();
    let mut delimiter = ";";
    let (mut start, mut at, mut code) = (0, 0, false);
    while at < text.len() {
        let rest = script.get(at..).unwrap_or_default();
        if !code && let Some(new) = delimiter_line(rest) {
            let line = rest.find('\n').map_or(rest.len(), |end| end + 1);
            delimiter = new;
            at += line;
            start = at;
            continue;
        }
        if rest.starts_with(delimiter) {
            if code {
                found.push(script.get(start..at).unwrap_or_default().trim());
            }
            at += delimiter.len();
            (start, code) = (at, false);
            continue;
        }
        at = match text.get(at) {
            Some(b'\'' | b'"' | b'`') => {
                code = true;
                quoted_end(text, at)
            }
            Some(b'#') => at + rest.find('\n').unwrap_or(rest.len()),
            Some(b'-')
                if rest.starts_with("--")
                    && rest.as_bytes().get(2).is_none_or(u8::is_ascii_whitespace) =>
            {
                at + rest.find('\n').unwrap_or(rest.len())
            }
            Some(b'/') if rest.starts_with("/*") => {
                // `/*!` and `/*M!` are code for the server.
                code |= rest.starts_with("/*!") || rest.starts_with("/*M!");
                at + rest.find("*/").map_or(rest.len(), |end| end + 2)
            }
            Some(byte) => {
                code |= !byte.is_ascii_whitespace();
                at + rest.chars().next().map_or(1, char::len_utf8)
            }
            None => break,
        };
    }
    if code {
        found.push(script.get(start..).unwrap_or_default().trim());
    }
    found
}

fn delimiter_line(rest: &str) -> Option<&str> {
    let line = rest.lines().next()?;
    let (word, argument) = line.split_once(char::is_whitespace)?;
    (word.eq_ignore_ascii_case("delimiter") && !argument.trim().is_empty()).then(|| argument.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_cut_where_the_client_cuts_it() {
        let script = "-- a; comment\nCREATE TABLE t (a TEXT); # another;\nINSERT INTO t VALUES ('a;b''c\\'d');\n/* only; this */;\n\
            DELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; SELECT `x;y`; END //\ndelimiter ;\nSELECT 5--1; /*!40101 SET @a=1 */; SELECT 'ü'";
        assert_eq!(
            statements(script),
            [
                "-- a; comment\nCREATE TABLE t (a TEXT)",
                "# another;\nINSERT INTO t VALUES ('a;b''c\\'d')",
                "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT `x;y`; END",
                "SELECT 5--1",
                "/*!40101 SET @a=1 */",
                "SELECT 'ü'",
            ]
        );
        assert!(statements(" \n-- nothing\n;;").is_empty());
    }

    #[test]
    fn secrets_are_not_shown() {
        let statement = "CREATE USER 'app'@'%'\n IDENTIFIED BY 'geh''eim'";
        assert_eq!(shown(statement), "CREATE USER '…'@'…' IDENTIFIED BY '…''…'");
        let server = mysql_async::ServerError {
            code: 1064,
            message: "near 'geh".to_owned(),
            state: "42000".to_owned(),
        };
        let error = sql_error("s1", statement, &mysql_async::Error::Server(server));
        assert!(!error.to_string().contains("geh"), "{error}");
        assert_eq!(server_code(&error), Some(1064));
    }

    #[test]
    fn a_literal_ends_where_it_should() {
        assert_eq!(literal(r"a'b\c"), r"'a\'b\\c'");
    }
}
