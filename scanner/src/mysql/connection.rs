//! A connection with deadlines and a known session.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use atrest_model::account::ServerVersion;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder, Row, SslOpts};
use secrecy::ExposeSecret as _;
use tokio::io::AsyncReadExt as _;

use super::error::{MysqlError, Phase};
use super::target::{Target, Tls};

/// The server's error for a login that is refused.
const ACCESS_DENIED: u16 = 1045;
/// How much of a greeting is read to find the version in it.
const GREETING: u64 = 128;
/// Longest wait for a server to hear that the connection ends.
const GOODBYE: Duration = Duration::from_secs(5);

/// A connection to one server.
///
/// The session is prepared so that statements mean the same everywhere: backslash escapes, no
/// `ANSI_QUOTES`, and an `sql_mode` that keeps `GRANT` from making accounts. After a timeout or a broken
/// connection every further call is [`MysqlError::Closed`].
#[derive(Debug)]
pub struct Connection {
    /// `None` once the connection was given up.
    conn: Option<Conn>,
    endpoint: String,
    user: String,
    version: ServerVersion,
    statement_timeout: Duration,
}

/// One line of `SHOW WARNINGS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Server code, such as 1300.
    pub code: u16,
    /// The server's words.
    pub message: String,
}

/// Connects, logs in and prepares the session.
///
/// # Errors
///
/// [`MysqlError::TlsRequired`] when TLS is off and the host is not loopback,
/// [`MysqlError::CleartextWithoutTls`], [`MysqlError::Tls`], [`MysqlError::Unreachable`], [`MysqlError::LoginRefused`],
/// [`MysqlError::Timeout`].
pub async fn connect(target: &Target) -> Result<Connection, MysqlError> {
    let endpoint = target.endpoint();
    let timeout = |doing| MysqlError::Timeout {
        endpoint: endpoint.clone(),
        doing,
        after: target.connect_timeout,
    };
    let opening = Box::pin(log_in(target, &endpoint));
    let conn = tokio::time::timeout(target.connect_timeout, opening)
        .await
        .map_err(|_elapsed| timeout("connecting"))??;
    let mut connection = Connection {
        conn: Some(conn),
        endpoint: endpoint.clone(),
        user: target.user.clone(),
        // Replaced below; nothing looks at it before.
        version: ServerVersion {
            flavor: atrest_model::account::ServerFlavor::Mysql,
            major: 0,
            minor: 0,
            patch: 0,
        },
        statement_timeout: target.statement_timeout,
    };
    connection.version = connection.read_version().await?;
    connection.prepare().await?;
    Ok(connection)
}

/// Logs in; a refusal of MariaDB is taken for one at the second time only.
///
/// MariaDB's `ed25519` has the client sign 32 random bytes. The driver takes a last byte of zero for the end of a text
/// and leaves it out (`AuthSwitchRequest::plugin_data` of `mysql_common` 0.37), so one correct login in 256 is refused.
/// The next one has other bytes. Only MariaDB has the plugin, and elsewhere a second attempt could lock an account.
async fn log_in(target: &Target, endpoint: &str) -> Result<Conn, MysqlError> {
    let opts = options(target, endpoint).await?;
    let refused = match Conn::new(opts.clone()).await {
        Ok(conn) => return Ok(conn),
        Err(error) => error,
    };
    let denied =
        matches!(&refused, mysql_async::Error::Server(error) if error.code == ACCESS_DENIED);
    if denied && is_mariadb(target).await {
        return Conn::new(opts)
            .await
            .map_err(|error| MysqlError::from_driver(endpoint, &target.user, Phase::Login, error));
    }
    Err(MysqlError::from_driver(
        endpoint,
        &target.user,
        Phase::Login,
        refused,
    ))
}

/// Whether the server's greeting is MariaDB's. The greeting comes before TLS; nothing is sent.
async fn is_mariadb(target: &Target) -> bool {
    let Ok(mut stream) = tokio::net::TcpStream::connect((target.host.as_str(), target.port)).await
    else {
        return false;
    };
    // Four bytes of header, the protocol's number, then the version up to a zero.
    let mut greeting = Vec::new();
    let mut reader = (&mut stream).take(GREETING);
    while !greeting.iter().skip(5).any(|byte| *byte == 0) {
        match reader.read_buf(&mut greeting).await {
            Ok(0) | Err(_) => return false,
            Ok(_read) => {}
        }
    }
    let version = greeting
        .get(5..)
        .and_then(|rest| rest.split(|byte| *byte == 0).next())
        .unwrap_or_default();
    version
        .windows(b"MariaDB".len())
        .any(|part| part == b"MariaDB")
}

async fn options(target: &Target, endpoint: &str) -> Result<OptsBuilder, MysqlError> {
    let mut opts = OptsBuilder::default()
        .ip_or_hostname(target.host.clone())
        .tcp_port(target.port)
        .user(Some(target.user.clone()))
        .pass(Some(target.password.expose_secret().to_owned()))
        // Otherwise a loopback connection moves to the server's Unix socket, and with it to another account.
        .prefer_socket(false)
        .enable_cleartext_plugin(target.cleartext_password);
    match &target.tls {
        Tls::Verify {
            ca_file,
            server_name,
        } => {
            let mut ssl = SslOpts::default();
            if let Some(ca_file) = ca_file {
                ssl = ssl
                    .with_root_certs(vec![ca_file.clone().into()])
                    .with_disable_built_in_roots(true);
            }
            if let Some(server_name) = server_name {
                ssl = ssl.with_danger_tls_hostname_override(Some(server_name.clone()));
            }
            opts = opts.ssl_opts(ssl);
        }
        Tls::Off if target.cleartext_password => {
            return Err(MysqlError::CleartextWithoutTls {
                endpoint: endpoint.to_owned(),
            });
        }
        Tls::Off => opts = opts.resolved_ips(loopback_addresses(target, endpoint).await?),
    }
    Ok(opts)
}

/// The addresses of the host, all of which must be loopback. The connection is then made to these very
/// addresses, so that a second look-up cannot answer otherwise.
async fn loopback_addresses(
    target: &Target,
    endpoint: &str,
) -> Result<Option<Vec<IpAddr>>, MysqlError> {
    let addresses: Vec<IpAddr> = tokio::net::lookup_host((target.host.as_str(), target.port))
        .await
        .map_err(|source| MysqlError::Unreachable {
            endpoint: endpoint.to_owned(),
            source: Box::new(source),
        })?
        .map(|address: SocketAddr| address.ip())
        .collect();
    if addresses.is_empty() || !addresses.iter().all(IpAddr::is_loopback) {
        return Err(MysqlError::TlsRequired {
            endpoint: endpoint.to_owned(),
        });
    }
    Ok(Some(addresses))
}

impl Connection {
    /// The server's family and version.
    pub fn version(&self) -> ServerVersion {
        self.version
    }

    /// `host:port`, as errors name the server.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The id of this connection on the server.
    pub fn id(&self) -> Option<u32> {
        self.conn.as_ref().map(Conn::id)
    }

    /// Whether it was given up after a timeout or a broken connection.
    pub(crate) fn is_closed(&self) -> bool {
        self.conn.is_none()
    }

    /// Changes how long the next statements may take.
    pub(crate) fn set_statement_timeout(&mut self, limit: Duration) {
        self.statement_timeout = limit;
    }

    /// Runs one statement that returns no rows that matter, and gives its warnings.
    ///
    /// # Errors
    ///
    /// Any [`MysqlError`] of a statement.
    pub async fn execute(&mut self, statement: &[u8]) -> Result<Vec<Warning>, MysqlError> {
        let count = self
            .with_conn(async |conn| {
                conn.query_drop(statement).await?;
                Ok(conn.get_warnings())
            })
            .await?;
        if count == 0 {
            return Ok(Vec::new());
        }
        self.warnings().await
    }

    /// `SHOW WARNINGS`: what the last statement warned of.
    ///
    /// # Errors
    ///
    /// Any [`MysqlError`] of a statement.
    pub async fn warnings(&mut self) -> Result<Vec<Warning>, MysqlError> {
        let rows = self.rows("SHOW WARNINGS").await?;
        Ok(rows
            .iter()
            .map(|row| Warning {
                code: row
                    .text(1)
                    .and_then(|code| code.parse().ok())
                    .unwrap_or_default(),
                message: row.text(2).unwrap_or_default(),
            })
            .collect())
    }

    /// Runs a `CALL` and gives every result set it returns. RDS procedures report trouble by a result set
    /// rather than by an error, so a caller has to look at them.
    ///
    /// # Errors
    ///
    /// Any [`MysqlError`] of a statement.
    pub async fn call(&mut self, statement: &[u8]) -> Result<Vec<Vec<NamedRow>>, MysqlError> {
        self.with_conn(async |conn| {
            let mut result = conn.query_iter(statement).await?;
            let mut sets = Vec::new();
            while !result.is_empty() {
                let rows: Vec<Row> = result.collect().await?;
                sets.push(rows.into_iter().map(NamedRow::new).collect());
            }
            // An error in a later result set appears only when the result is finished.
            result.drop_result().await?;
            Ok(sets)
        })
        .await
    }

    /// All rows of a statement.
    pub(crate) async fn rows(&mut self, statement: &str) -> Result<Vec<NamedRow>, MysqlError> {
        let mut rows = Vec::new();
        self.for_each(statement, |row| rows.push(row)).await?;
        Ok(rows)
    }

    /// Hands each row of a statement on without keeping them all.
    pub(crate) async fn for_each(
        &mut self,
        statement: &str,
        mut f: impl FnMut(NamedRow),
    ) -> Result<(), MysqlError> {
        self.with_conn(async |conn| {
            let mut result = conn.query_iter(statement).await?;
            result.for_each(|row| f(NamedRow::new(row))).await?;
            result.drop_result().await
        })
        .await
    }

    /// Closes the connection in an orderly way, within the statement deadline and at most [`GOODBYE`].
    pub async fn close(mut self) {
        if let Some(conn) = self.conn.take() {
            // Whether the server heard the goodbye changes nothing.
            drop(
                tokio::time::timeout(self.statement_timeout.min(GOODBYE), conn.disconnect()).await,
            );
        }
    }

    async fn with_conn<T>(
        &mut self,
        run: impl AsyncFnOnce(&mut Conn) -> Result<T, mysql_async::Error>,
    ) -> Result<T, MysqlError> {
        // Taken out for the time of the call: if the caller's future is dropped half-way, the connection
        // goes with it instead of staying behind with half an answer in it.
        let Some(mut conn) = self.conn.take() else {
            return Err(MysqlError::Closed {
                endpoint: self.endpoint.clone(),
            });
        };
        let answer = {
            let running = Box::pin(run(&mut conn));
            deadline(self.statement_timeout, running).await
        };
        match answer {
            None => Err(MysqlError::Timeout {
                endpoint: self.endpoint.clone(),
                doing: "running a statement",
                after: self.statement_timeout,
            }),
            Some(Ok(value)) => {
                self.conn = Some(conn);
                Ok(value)
            }
            Some(Err(error)) => {
                if !error.is_fatal() {
                    self.conn = Some(conn);
                }
                Err(MysqlError::from_driver(
                    &self.endpoint,
                    &self.user,
                    Phase::Statement,
                    error,
                ))
            }
        }
    }

    async fn read_version(&mut self) -> Result<ServerVersion, MysqlError> {
        let rows = self.rows("SELECT VERSION()").await?;
        let text = rows.first().and_then(|row| row.text(0)).unwrap_or_default();
        text.parse().map_err(|_invalid| MysqlError::Unexpected {
            endpoint: self.endpoint.clone(),
            what: text,
        })
    }

    /// Puts the session into a known state, in place of whatever the server's configuration says.
    async fn prepare(&mut self) -> Result<(), MysqlError> {
        // With an empty mode MySQL up to 5.7 and MariaDB would make a passwordless account when a grant names
        // one that is missing; MySQL 8 never does, and refuses the mode.
        let mode = if self.version.is_mysql_from(8, 0, 0) {
            ""
        } else {
            "NO_AUTO_CREATE_USER"
        };
        let mut statements = vec![
            "SET NAMES utf8mb4".to_owned(),
            format!("SET SESSION sql_mode='{mode}', sql_quote_show_create=1, time_zone='+00:00'"),
        ];
        if self.version.is_mysql_from(8, 0, 17) {
            statements.push("SET SESSION print_identified_with_as_hex=1".to_owned());
        }
        for statement in statements {
            self.execute(statement.as_bytes()).await?;
        }
        Ok(())
    }
}

/// `None` when the deadline passed first.
async fn deadline<F: Future>(after: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(after, future).await.ok()
}

/// A row whose values are bytes, as the text protocol sends them, with access by column name.
#[derive(Debug)]
pub struct NamedRow(Row);

impl NamedRow {
    fn new(row: Row) -> Self {
        Self(row)
    }

    /// The position of a column by its name in any case.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.0
            .columns_ref()
            .iter()
            .position(|column| column.name_str().eq_ignore_ascii_case(name))
    }

    /// The names of the columns.
    pub fn names(&self) -> Vec<String> {
        self.0
            .columns_ref()
            .iter()
            .map(|column| column.name_str().into_owned())
            .collect()
    }

    /// The bytes at a position; `None` for NULL and for a position that is not there.
    pub fn bytes(&self, position: usize) -> Option<&[u8]> {
        match self.0.as_ref(position) {
            Some(mysql_async::Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// The text at a position, for columns that hold ASCII or where a broken byte may be replaced.
    pub fn text(&self, position: usize) -> Option<String> {
        self.bytes(position)
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// The text of a named column; `None` for NULL and for a column that is not there.
    pub fn named_text(&self, name: &str) -> Option<String> {
        self.text(self.position(name)?)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Greets as `version`, refuses every login, and counts connections and logins.
    async fn refusing(version: &str) -> (u16, tokio::task::JoinHandle<(usize, usize)>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut greeting = [b"\x0a", version.as_bytes(), b"\0\x07\0\0\0"].concat();
        greeting.extend_from_slice(b"12345678\0\x01\x82\x2d\x02\0\x08\0\x15");
        greeting.extend_from_slice(&[0; 10]);
        greeting.extend_from_slice(b"901234567890\0mysql_native_password\0");
        let mut packet = vec![u8::try_from(greeting.len()).unwrap(), 0, 0, 0];
        packet.extend_from_slice(&greeting);
        let task = tokio::spawn(async move {
            let (mut connections, mut logins) = (0, 0);
            loop {
                let (mut stream, _peer) = listener.accept().await.unwrap();
                let mut first = [0];
                stream.write_all(&packet).await.unwrap();
                // The last one, by which the test ends the count.
                if stream.read(&mut first).await.unwrap_or(0) == 1 && first == [b'q'] {
                    return (connections, logins);
                }
                connections += 1;
                if first != [0] {
                    logins += 1;
                    let error = b"\xff\x15\x04#28000Access denied for user";
                    let header = [u8::try_from(error.len()).unwrap(), 0, 0, 2];
                    stream
                        .write_all(&[&header[..], &error[..]].concat())
                        .await
                        .unwrap();
                }
            }
        });
        (port, task)
    }

    #[tokio::test]
    async fn a_refused_login_is_tried_again_at_mariadb_alone() {
        for (version, connections, logins) in [("5.5.5-10.11.14-MariaDB", 3, 2), ("8.0.36", 2, 1)] {
            let (port, count) = refusing(version).await;
            let password = SecretString::from("secret");
            let mut target = Target::new("127.0.0.1", port, "me", password);
            target.tls = Tls::Off;
            let refused = connect(&target).await.unwrap_err();
            assert!(
                matches!(refused, MysqlError::LoginRefused { .. }),
                "{refused:?}"
            );
            let mut end = tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .unwrap();
            end.write_all(b"q").await.unwrap();
            assert_eq!(count.await.unwrap(), (connections, logins), "{version}");
        }
    }
}
