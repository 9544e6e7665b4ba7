//! From a DB instance, or a URL, to a connection to its MySQL server.

use std::time::Duration;

use atrest_model::document::str_of;
use atrest_model::instance::DbInstance;
use secrecy::SecretString;

use crate::aws::{Aws, SecretError, TokenError};
use crate::error::AwsError;
use crate::mysql::{self, Connection, InvalidTarget, MysqlError, Target};

pub use crate::mysql::Tls;

/// Longest wait for the answer to one statement.
const STATEMENT: Duration = Duration::from_secs(60);
/// Longest wait for a connection to stand.
const CONNECT: Duration = Duration::from_secs(10);

/// How to log in to the servers of a fleet.
#[derive(Debug, Clone)]
pub struct MysqlAuth {
    /// User; `None` means the one in the secret, else each instance's `MasterUsername`.
    pub user: Option<String>,
    /// Where the password comes from.
    pub password: Password,
    /// How connections are protected.
    pub tls: Tls,
    /// Longest wait for a connection to stand, login included.
    pub connect_timeout: Duration,
    /// Longest wait for the answer to one statement; `None` means a minute, and what the comparison of rows sets itself.
    pub statement_timeout: Option<Duration>,
}

impl MysqlAuth {
    /// As the master user, with the usual deadlines.
    #[must_use]
    pub fn new(password: Password, tls: Tls) -> Self {
        Self {
            user: None,
            password,
            tls,
            connect_timeout: CONNECT,
            statement_timeout: None,
        }
    }
}

/// Where a password comes from. `Debug` does not show it.
#[derive(Debug, Clone)]
pub enum Password {
    /// It is known.
    Given(SecretString),
    /// It is in a secret of Secrets Manager, read at each login: it may be rotated at any time.
    Secret {
        /// The way to Secrets Manager.
        aws: Aws,
        /// ARN or name.
        id: String,
    },
    /// RDS manages it: it is in the secret that the instance names (`MasterUserSecret`).
    MasterUserSecret {
        /// The way to Secrets Manager.
        aws: Aws,
        /// ARN of the secret for an instance that names none: a replica, or a restored copy, has the password of its
        /// source.
        otherwise: Option<String>,
        /// The master password of instances that have it in no secret: fleets are mixed.
        plain: Option<SecretString>,
    },
    /// A token of IAM database authentication, made at each login. Sent inside TLS only.
    IamToken {
        /// The credentials that sign it.
        aws: Aws,
    },
}

/// A server to log in to, before anything is known of the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// What people call it: the DB instance identifier, or `host:port`.
    pub name: String,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The user a URL names.
    pub user: Option<String>,
    /// `MasterUsername` of an instance.
    pub master_username: Option<String>,
    /// Region of an instance.
    pub region: Option<String>,
    /// `MasterUserSecret.SecretArn` of an instance whose master password RDS manages.
    pub master_user_secret: Option<String>,
}

impl Server {
    /// The server behind an instance.
    ///
    /// # Errors
    ///
    /// The instance has no endpoint yet.
    pub fn of_instance(instance: &DbInstance) -> Result<Self, AccessError> {
        let (host, port) = instance
            .endpoint()
            .ok_or_else(|| AccessError::NoEndpoint(instance.identifier().to_owned()))?;
        let secret = instance.document.get("MasterUserSecret");
        Ok(Self {
            name: instance.identifier().to_owned(),
            host: host.to_owned(),
            port,
            user: None,
            master_username: Some(instance.master_username().to_owned()),
            region: Some(instance.region.clone()),
            master_user_secret: secret
                .and_then(|secret| str_of(secret, "SecretArn"))
                .map(str::to_owned),
        })
    }

    /// The server of `mysql://USER@HOST[:PORT]`.
    ///
    /// # Errors
    ///
    /// As [`Target::from_url`]; a password in the URL is one of them, and is not repeated in the error.
    pub fn of_url(url: &str) -> Result<Self, InvalidTarget> {
        let target = Target::from_url(url, SecretString::from(String::new()))?;
        Ok(Self {
            name: target.endpoint(),
            host: target.host,
            port: target.port,
            user: Some(target.user),
            master_username: None,
            region: None,
            master_user_secret: None,
        })
    }

    /// The user that `auth` logs in as, as far as it is known without the secret.
    #[must_use]
    pub fn user_of(&self, auth: Option<&str>) -> Option<String> {
        let given = self.user.as_deref().or(auth);
        given.or(self.master_username.as_deref()).map(str::to_owned)
    }

    /// Fetches or makes the password, if it is not known, and says where to connect to.
    ///
    /// # Errors
    ///
    /// A secret that gives no password for this user, a token that cannot be made, no user at all.
    pub async fn target(&self, auth: &MysqlAuth) -> Result<Target, AccessError> {
        let explicit = self.user.clone().or_else(|| auth.user.clone());
        let region = self.region.as_deref();
        let (user, password) = match &auth.password {
            Password::Given(password) => (
                explicit.or_else(|| self.master_username.clone()),
                password.clone(),
            ),
            Password::Secret { aws, id } => self.read_secret(aws, id, explicit).await?,
            Password::MasterUserSecret {
                aws,
                otherwise,
                plain,
            } => {
                let id = self.master_user_secret.as_deref().or(otherwise.as_deref());
                match (id, plain) {
                    (Some(id), _) => self.read_secret(aws, id, explicit).await?,
                    (None, Some(password)) => (
                        explicit.or_else(|| self.master_username.clone()),
                        password.clone(),
                    ),
                    (None, None) => {
                        return Err(AccessError::NoMasterUserSecret(self.name.clone()));
                    }
                }
            }
            Password::IamToken { aws } => {
                let user = explicit.or_else(|| self.master_username.clone());
                // A tunnel's end is not what RDS checks the signature against.
                let host = match &auth.tls {
                    Tls::Verify {
                        server_name: Some(name),
                        ..
                    } => name,
                    Tls::Verify { .. } | Tls::Off => &self.host,
                };
                let name = user.as_deref().unwrap_or_default();
                let token = Box::pin(aws.rds_auth_token(region, host, self.port, name)).await?;
                (user, token)
            }
        };
        let user = user
            .filter(|user| !user.is_empty())
            .ok_or_else(|| AccessError::NoUser(self.name.clone()))?;
        let mut target = Target::new(self.host.clone(), self.port, user, password);
        target.tls = auth.tls.clone();
        target.cleartext_password = matches!(auth.password, Password::IamToken { .. });
        target.connect_timeout = auth.connect_timeout;
        target.statement_timeout = auth.statement_timeout.unwrap_or(STATEMENT);
        Ok(target)
    }

    async fn read_secret(
        &self,
        aws: &Aws,
        id: &str,
        explicit: Option<String>,
    ) -> Result<(Option<String>, SecretString), AccessError> {
        let secret = Box::pin(aws.database_secret(self.region.as_deref(), id)).await?;
        let user = match (explicit, secret.username) {
            // One user's password must not be sent as another's.
            (Some(user), Some(theirs)) if user != theirs => {
                return Err(AccessError::SecretOfAnotherUser {
                    id: id.to_owned(),
                    theirs,
                    user,
                });
            }
            (explicit, theirs) => explicit.or(theirs),
        };
        Ok((
            user.or_else(|| self.master_username.clone()),
            secret.password,
        ))
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// Any error of [`Self::target`] and of [`mysql::connect`].
    pub async fn connect(&self, auth: &MysqlAuth) -> Result<Connection, AccessError> {
        let target = Box::pin(self.target(auth)).await?;
        Ok(Box::pin(mysql::connect(&target)).await?)
    }
}

/// An instance whose server could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The instance has no endpoint yet.
    #[error("{0} has no endpoint yet")]
    NoEndpoint(String),
    /// Nothing says which user to log in as.
    #[error("no user is named for {0}")]
    NoUser(String),
    /// The managed master password was asked for, and RDS does not manage it.
    #[error("the master password of {0} is not managed by RDS: it has no MasterUserSecret")]
    NoMasterUserSecret(String),
    /// The secret is of another user than the one to log in as.
    #[error("secret {id} holds the password of {theirs}, not of {user}")]
    SecretOfAnotherUser {
        /// The secret.
        id: String,
        /// Its `username`.
        theirs: String,
        /// The user to log in as.
        user: String,
    },
    /// A secret that could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// No IAM token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The server, or the way to it.
    #[error("{}", with_cause(.0))]
    Mysql(#[from] MysqlError),
}

impl AccessError {
    /// Whether the same call may work later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoEndpoint(_) => true,
            Self::NoUser(_)
            | Self::NoMasterUserSecret(_)
            | Self::SecretOfAnotherUser { .. }
            | Self::Secret(SecretError::Form { .. })
            | Self::Token(_) => false,
            Self::Secret(SecretError::Aws(error)) => error.is_transient(),
            Self::Mysql(error) => error.is_transient(),
        }
    }

    /// The failed call to AWS, if it is one.
    #[must_use]
    pub fn aws(&self) -> Option<&AwsError> {
        match self {
            Self::Secret(SecretError::Aws(error)) => Some(error),
            _ => None,
        }
    }

    /// What a person can do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoEndpoint(_) => "wait until the instance is available",
            Self::NoUser(_) => "name it: --user",
            Self::NoMasterUserSecret(_) => {
                "give the password in another way, or name the secret with --secret-id"
            }
            Self::SecretOfAnotherUser { .. } => "leave --user away, or name this user's secret",
            Self::Secret(SecretError::Form { .. }) => {
                "a secret of a database is JSON text with \"username\" and \"password\", as RDS writes it"
            }
            Self::Secret(SecretError::Aws(error)) => error.hint(),
            Self::Token(_) => {
                "a token is signed with AWS credentials for one endpoint and port; through a tunnel, name the endpoint with --tls-server-name"
            }
            Self::Mysql(error) => error
                .hint()
                .unwrap_or("the message above is the server's own"),
        }
    }
}

/// The error and its causes in one line.
fn with_cause(error: &MysqlError) -> String {
    use std::error::Error as _;
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Connects to the server behind an instance.
///
/// # Errors
///
/// No endpoint, no password, or any error of [`mysql::connect`].
pub async fn open(instance: &DbInstance, auth: &MysqlAuth) -> Result<Connection, AccessError> {
    Server::of_instance(instance)?.connect(auth).await
}

/// Connects and leaves again.
///
/// # Errors
///
/// As [`open`].
pub async fn check_login(instance: &DbInstance, auth: &MysqlAuth) -> Result<(), AccessError> {
    open(instance, auth).await?.close().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_says_where_and_as_whom_and_which_secret() {
        let instance = DbInstance {
            region: "eu-central-1".to_owned(),
            document: serde_json::json!({
                "DBInstanceIdentifier": "prod-one",
                "MasterUsername": "admin",
                "Endpoint": {"Address": "127.0.0.1", "Port": 3306},
                "MasterUserSecret": {"SecretArn": "arn:aws:secretsmanager:eu-central-1:1:secret:x"},
            }),
        };
        let server = Server::of_instance(&instance).unwrap();
        assert_eq!(server.user_of(None).as_deref(), Some("admin"));
        assert_eq!(server.user_of(Some("dba")).as_deref(), Some("dba"));
        assert!(server.master_user_secret.is_some());
    }

    #[test]
    fn the_user_of_a_url_is_the_one_that_counts() {
        let server = Server::of_url("mysql://o%27brien@[::1]:3307").unwrap();
        assert_eq!(server.name, "[::1]:3307");
        assert_eq!(server.user_of(Some("dba")).as_deref(), Some("o'brien"));
    }

    #[tokio::test]
    async fn the_master_users_secret_needs_one() {
        let aws = Aws::fixed("http://127.0.0.1:1", "eu-central-1", "a", "b");
        let auth = MysqlAuth::new(
            Password::MasterUserSecret {
                aws: aws.clone(),
                otherwise: None,
                plain: None,
            },
            Tls::Off,
        );
        let server = Server::of_url("mysql://admin@127.0.0.1").unwrap();
        // In a mixed fleet the others have the password that is given.
        let mixed = MysqlAuth::new(
            Password::MasterUserSecret {
                aws,
                otherwise: None,
                plain: Some(SecretString::from("given".to_owned())),
            },
            Tls::Off,
        );
        assert!(server.target(&mixed).await.is_ok());
        let error = server.target(&auth).await.unwrap_err();
        assert!(
            matches!(error, AccessError::NoMasterUserSecret(_)),
            "{error:?}"
        );
    }
}
