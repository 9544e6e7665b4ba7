//! What can go wrong with a server, by kind.

use std::time::Duration;

use mysql_async::{DriverError, Error, IoError};

/// A server that could not be reached or did not do what was asked. Never holds a password or a hash.
#[derive(Debug, thiserror::Error)]
pub enum MysqlError {
    /// No connection: the name does not resolve, nothing listens, TLS fails, or the connection broke.
    #[error("{endpoint} cannot be reached")]
    Unreachable {
        /// `host:port`.
        endpoint: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server did not let this user in.
    #[error("{endpoint} refused the login of {user}: {reason}")]
    LoginRefused {
        /// `host:port`.
        endpoint: String,
        /// User name.
        user: String,
        /// The server's words, or what the client could not do.
        reason: String,
    },
    /// The login works, but a privilege is missing for a statement.
    #[error("{endpoint}: {message} ({code})")]
    PrivilegeMissing {
        /// `host:port`.
        endpoint: String,
        /// Server error code, such as 1227.
        code: u16,
        /// SQLSTATE.
        sqlstate: String,
        /// The server's message.
        message: String,
    },
    /// The server is read-only: account statements fail with 1290 while it is.
    #[error("{endpoint} is read-only: {message} ({code})")]
    ReadOnly {
        /// `host:port`.
        endpoint: String,
        /// Server error code.
        code: u16,
        /// The server's message.
        message: String,
    },
    /// Any other error of the server.
    #[error("{endpoint}: {message} ({code}, SQLSTATE {sqlstate})")]
    Server {
        /// `host:port`.
        endpoint: String,
        /// Server error code.
        code: u16,
        /// SQLSTATE.
        sqlstate: String,
        /// The server's message, without the piece of the statement it quotes.
        message: String,
    },
    /// No answer within the deadline. The connection is given up.
    #[error("{endpoint} did not answer within {} s while {doing}", after.as_secs_f64())]
    Timeout {
        /// `host:port`.
        endpoint: String,
        /// What was being done.
        doing: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// The connection was given up after an earlier error.
    #[error("the connection to {endpoint} was given up after an earlier error")]
    Closed {
        /// `host:port`.
        endpoint: String,
    },
    /// TLS switched off for a host that is not this machine.
    #[error("{endpoint} is not a loopback address: TLS cannot be switched off for it")]
    TlsRequired {
        /// `host:port`.
        endpoint: String,
    },
    /// TLS cannot be had with this server, or what it shows is not to be trusted. No password was sent.
    #[error("{endpoint} {problem}")]
    Tls {
        /// `host:port`.
        endpoint: String,
        /// What is wrong.
        problem: TlsProblem,
    },
    /// A password in clear text was allowed on a connection without TLS.
    #[error("{endpoint}: a password in clear text is sent inside TLS only")]
    CleartextWithoutTls {
        /// `host:port`.
        endpoint: String,
    },
    /// The server answered something that has no meaning here.
    #[error("{endpoint} gave an answer that is not understood: {what}")]
    Unexpected {
        /// `host:port`.
        endpoint: String,
        /// What was read.
        what: String,
    },
}

/// Why there is no TLS connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsProblem {
    /// The certificate leads to no authority that is trusted.
    #[error("shows a certificate of an authority that is not trusted")]
    UnknownAuthority,
    /// The certificate is good, and for another host.
    #[error("shows a certificate that is not for this host")]
    OtherHost,
    /// The certificate is not valid at this time.
    #[error("shows a certificate that has expired or is not valid yet")]
    NotValidNow,
    /// The certificate is bad in another way.
    #[error("shows a certificate that is refused: {0}")]
    Certificate(String),
    /// Nothing newer than TLS 1.1.
    #[error("speaks no version of TLS that is still safe (1.2 or later)")]
    OldVersion,
    /// No TLS at all.
    #[error("offers no TLS (SSL)")]
    NotOffered,
}

impl TlsProblem {
    fn of(error: &rustls::Error) -> Option<Self> {
        use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};
        Some(match error {
            // A signature that does not fit is that of an authority of the same name.
            Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ) => Self::UnknownAuthority,
            Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => Self::OtherHost,
            Error::InvalidCertificate(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. },
            ) => Self::NotValidNow,
            Error::InvalidCertificate(other) => Self::Certificate(other.to_string()),
            Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            )
            | Error::AlertReceived(AlertDescription::ProtocolVersion) => Self::OldVersion,
            _ => return None,
        })
    }

    /// Finds the error of the TLS library among the causes.
    fn among(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                return Self::of(tls);
            }
            // An I/O error does not count what it carries among its causes.
            let carried = error
                .downcast_ref::<std::io::Error>()
                .and_then(std::io::Error::get_ref);
            next = match carried {
                Some(carried) => Some(carried),
                None => error.source(),
            };
        }
        None
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::UnknownAuthority => {
                "give the authority's certificate with --ca-file: for RDS https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
            }
            Self::OtherHost => {
                "give the endpoint as RDS has it; through a tunnel, name it with --tls-server-name"
            }
            Self::NotValidNow | Self::Certificate(_) => {
                "look at the instance's CACertificateIdentifier and the end of its certificate, and at this machine's clock"
            }
            Self::OldVersion | Self::NotOffered => {
                "such a server (MySQL 5.6) can be read through a tunnel to this machine alone, with --tls off"
            }
        }
    }
}

/// What was under way when an error came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Login,
    Statement,
}

impl MysqlError {
    /// Whether the same call may work later without anyone changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Closed { .. } => true,
            // Deadlock, lock wait timeout, too many connections, server shutting down.
            Self::Server { code, .. } => matches!(code, 1040 | 1053 | 1205 | 1213),
            Self::LoginRefused { .. }
            | Self::PrivilegeMissing { .. }
            | Self::ReadOnly { .. }
            | Self::TlsRequired { .. }
            | Self::Tls { .. }
            | Self::CleartextWithoutTls { .. }
            | Self::Unexpected { .. } => false,
        }
    }

    /// The server's error code, when the server gave one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::PrivilegeMissing { code, .. }
            | Self::ReadOnly { code, .. }
            | Self::Server { code, .. } => Some(*code),
            Self::Unreachable { .. }
            | Self::LoginRefused { .. }
            | Self::Timeout { .. }
            | Self::Closed { .. }
            | Self::TlsRequired { .. }
            | Self::Tls { .. }
            | Self::CleartextWithoutTls { .. }
            | Self::Unexpected { .. } => None,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } => Some(
                "check the endpoint, the security group, and that the CA file holds the authority of this Region",
            ),
            Self::LoginRefused { .. } => {
                Some("check the user, the password and the host the account is limited to")
            }
            Self::Tls { problem, .. } => Some(problem.hint()),
            Self::ReadOnly { .. } => Some(
                "a replica takes account statements only while `read_only` is 0 in its DB parameter group",
            ),
            Self::TlsRequired { .. } | Self::CleartextWithoutTls { .. } => {
                Some("give a CA file and leave TLS on")
            }
            Self::Timeout { .. } => Some(
                "a security group that drops packets looks like this, and so does a server that hangs; --connect-timeout and --statement-timeout set the limits",
            ),
            Self::PrivilegeMissing { .. }
            | Self::Server { .. }
            | Self::Closed { .. }
            | Self::Unexpected { .. } => None,
        }
    }

    pub(crate) fn from_driver(endpoint: &str, user: &str, phase: Phase, error: Error) -> Self {
        let endpoint = endpoint.to_owned();
        match error {
            Error::Server(server) => {
                let message = without_quoted_statement(&server.message);
                match server.code {
                    // While logging in almost every answer is a refusal; what is left is the server's own trouble.
                    code if phase == Phase::Login && !matches!(code, 1040 | 1053 | 1203 | 1226) => {
                        Self::LoginRefused {
                            endpoint,
                            user: user.to_owned(),
                            reason: format!("{message} ({code})"),
                        }
                    }
                    1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1698 | 3530 | 3619 | 3891 | 4032
                    | 4093 => Self::PrivilegeMissing {
                        endpoint,
                        code: server.code,
                        sqlstate: server.state,
                        message,
                    },
                    1290 | 1836
                        if message.contains("read-only") || message.contains("read only") =>
                    {
                        Self::ReadOnly {
                            endpoint,
                            code: server.code,
                            message,
                        }
                    }
                    code => Self::Server {
                        endpoint,
                        code,
                        sqlstate: server.state,
                        message,
                    },
                }
            }
            // A server offers a plugin of its own choice for a user it does not know, so a plugin this client
            // lacks may also mean that there is no such account.
            Error::Driver(DriverError::UnknownAuthPlugin { name }) => Self::LoginRefused {
                endpoint,
                user: user.to_owned(),
                reason: format!(
                    "the account asks for the authentication plugin {name}, or does not exist"
                ),
            },
            Error::Driver(DriverError::CleartextPluginDisabled) => Self::LoginRefused {
                endpoint,
                user: user.to_owned(),
                reason: "the server asks for the password in clear text, which is sent for IAM tokens only".to_owned(),
            },
            Error::Driver(DriverError::MysqlOldPasswordDisabled) => Self::LoginRefused {
                endpoint,
                user: user.to_owned(),
                reason: "the account has a password in the format before MySQL 4.1".to_owned(),
            },
            Error::Io(IoError::Io(source)) => match TlsProblem::among(&source) {
                Some(problem) => Self::Tls { endpoint, problem },
                None => Self::Unreachable {
                    endpoint,
                    source: Box::new(source),
                },
            },
            Error::Io(IoError::Tls(source)) => match TlsProblem::among(&source) {
                Some(problem) => Self::Tls { endpoint, problem },
                None => Self::Unreachable {
                    endpoint,
                    source: Box::new(source),
                },
            },
            Error::Driver(DriverError::NoClientSslFlagFromServer) => Self::Tls {
                endpoint,
                problem: TlsProblem::NotOffered,
            },
            Error::Driver(source @ DriverError::ConnectionClosed) => Self::Unreachable {
                endpoint,
                source: Box::new(source),
            },
            // The text of other driver errors may quote a packet.
            Error::Driver(_) => Self::Unexpected {
                endpoint,
                what: "protocol error".to_owned(),
            },
            Error::Other(source) => Self::Unreachable { endpoint, source },
            Error::Url(source) => Self::Unreachable {
                endpoint,
                source: Box::new(source),
            },
        }
    }
}

/// A syntax error quotes the statement, and a statement may hold a hash. What is left is one line, whatever a server puts
/// into it: no line of ours begins in it.
fn without_quoted_statement(message: &str) -> String {
    let head = message.split(" near '").next().unwrap_or(message);
    head.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: u16, message: &str) -> Error {
        Error::Server(mysql_async::ServerError {
            code,
            message: message.into(),
            state: "42000".into(),
        })
    }

    #[test]
    fn a_message_is_one_line() {
        let forged = server(1045, "no\r\nerror: forged\n");
        let error = MysqlError::from_driver("db:3306", "me", Phase::Login, forged).to_string();
        assert!(error.contains("no error: forged"), "{error:?}");
        assert!(!error.contains(['\n', '\r']), "{error:?}");
    }

    #[test]
    fn a_syntax_error_does_not_quote_the_statement() {
        let error = server(
            1064,
            "You have an error in your SQL syntax; check the manual to use near ''*6BB4837E' at line 1",
        );
        let error = MysqlError::from_driver("db:3306", "me", Phase::Statement, error);
        assert_eq!(
            error.to_string(),
            "db:3306: You have an error in your SQL syntax; check the manual to use (1064, SQLSTATE 42000)"
        );
    }

    #[test]
    fn a_code_means_a_refused_login_only_while_logging_in() {
        let login =
            MysqlError::from_driver("db:3306", "me", Phase::Login, server(1045, "Access denied"));
        assert!(
            matches!(login, MysqlError::LoginRefused { .. }),
            "{login:?}"
        );
        let statement = MysqlError::from_driver(
            "db:3306",
            "me",
            Phase::Statement,
            server(1045, "Access denied"),
        );
        assert!(
            matches!(statement, MysqlError::PrivilegeMissing { code: 1045, .. }),
            "{statement:?}"
        );
    }

    #[test]
    fn what_is_wrong_with_tls_is_told_apart() {
        let of = |error: rustls::Error| {
            let wrapped = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
            let error = Error::Io(IoError::Io(wrapped));
            MysqlError::from_driver("db:3306", "me", Phase::Login, error)
        };
        let old = rustls::PeerIncompatible::ServerDoesNotSupportTls12Or13;
        assert_eq!(
            of(old.into()).to_string(),
            "db:3306 speaks no version of TLS that is still safe (1.2 or later)"
        );
        let unknown = of(rustls::CertificateError::UnknownIssuer.into());
        assert!(!unknown.is_transient() && unknown.hint().unwrap().contains("--ca-file"));
        // What is no such problem stays what it was: the connection may work later.
        let broken = of(rustls::Error::HandshakeNotComplete);
        assert!(matches!(broken, MysqlError::Unreachable { .. }), "{broken}");
        assert!(broken.is_transient());
    }

    #[test]
    fn read_only_is_told_apart_from_other_server_options() {
        let read_only = "The MySQL server is running with the --read-only option so it cannot execute this statement";
        let secure = "The MySQL server is running with the --secure-file-priv option so it cannot execute this statement";
        let of = |message| {
            MysqlError::from_driver("db:3306", "me", Phase::Statement, server(1290, message))
        };
        assert!(matches!(of(read_only), MysqlError::ReadOnly { .. }));
        assert!(matches!(of(secure), MysqlError::Server { code: 1290, .. }));
    }
}
