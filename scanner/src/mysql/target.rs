//! Where to connect to, and as whom.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

/// A server to connect to. `Debug` does not show the password.
#[derive(Debug, Clone)]
pub struct Target {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name.
    pub user: String,
    /// Password, or an IAM authentication token.
    pub password: SecretString,
    /// How the connection is protected.
    pub tls: Tls,
    /// Whether the server may ask for the password in clear text, as it does for an IAM token. Only ever
    /// done inside TLS.
    pub cleartext_password: bool,
    /// Longest wait for the connection to stand, login included.
    pub connect_timeout: Duration,
    /// Longest wait for the answer to one statement.
    pub statement_timeout: Duration,
}

impl Target {
    /// A target with TLS verified against the public roots, 10 s to connect and 60 s per statement.
    pub fn new(
        host: impl Into<String>,
        port: u16,
        user: impl Into<String>,
        password: SecretString,
    ) -> Self {
        Self {
            host: host.into(),
            port,
            user: user.into(),
            password,
            tls: Tls::default(),
            cleartext_password: false,
            connect_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(60),
        }
    }

    /// `host:port`, as errors name the server.
    pub fn endpoint(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Parses `mysql://USER@HOST[:PORT]`. Percent escapes in the user are decoded.
    ///
    /// # Errors
    ///
    /// Another scheme, no user, no host, a bad port, or anything after the port. A password in the URL is
    /// refused: command lines are seen by every process of the machine.
    pub fn from_url(url: &str, password: SecretString) -> Result<Self, InvalidTarget> {
        let rest = url.strip_prefix("mysql://").ok_or(InvalidTarget::Scheme)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, address) = rest.rsplit_once('@').ok_or(InvalidTarget::NoUser)?;
        if user.contains(':') {
            return Err(InvalidTarget::PasswordInUrl);
        }
        if user.is_empty() {
            return Err(InvalidTarget::NoUser);
        }
        let (host, port) = match address
            .strip_prefix('[')
            .and_then(|inner| inner.split_once(']'))
        {
            Some((host, "")) => (host, None),
            Some((host, port)) => (
                host,
                Some(port.strip_prefix(':').ok_or(InvalidTarget::Address)?),
            ),
            None => match address.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        if host.is_empty() || host.contains(['/', '?', '#']) {
            return Err(InvalidTarget::Address);
        }
        let port = match port {
            None => 3306,
            Some(port) => port.parse().map_err(InvalidTarget::Port)?,
        };
        let user = percent_decoded(user).ok_or(InvalidTarget::NoUser)?;
        Ok(Self::new(host, port, user, password))
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// A URL that names no target.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTarget {
    /// Not `mysql://`.
    #[error("a server is written mysql://USER@HOST:PORT")]
    Scheme,
    /// No user before `@`.
    #[error("the URL names no user: mysql://USER@HOST:PORT")]
    NoUser,
    /// A password in the URL.
    #[error("a password does not belong in the URL, where every process can see it")]
    PasswordInUrl,
    /// No host, or something after the port.
    #[error("the URL does not end in HOST or HOST:PORT")]
    Address,
    /// The port is no number below 65536.
    #[error("bad port in the URL")]
    Port(#[source] std::num::ParseIntError),
}

/// How the connection is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// TLS, with the server's certificate verified; a server without TLS is an error.
    Verify {
        /// PEM file with the only roots to trust, such as the bundle of RDS certificate authorities.
        /// `None`: the public roots built into the client, which do not contain those of RDS.
        ca_file: Option<PathBuf>,
        /// Name the certificate must be for, when the host is not it (a tunnel).
        server_name: Option<String>,
    },
    /// No TLS. Refused unless the host is a loopback address.
    Off,
}

impl Default for Tls {
    fn default() -> Self {
        Self::Verify {
            ca_file: None,
            server_name: None,
        }
    }
}
