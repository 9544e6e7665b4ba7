//! Which server it is: the family and the version decide how tables are read and statements are written.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The two families. RDS names them `mysql` and `mariadb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ServerFlavor {
    /// MySQL, and what calls itself MySQL (Aurora MySQL, Percona Server).
    Mysql,
    /// MariaDB.
    Mariadb,
}

/// Family and version of a server, from `SELECT VERSION()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ServerVersion {
    /// The family.
    pub flavor: ServerFlavor,
    /// `8` of `8.0.36`.
    pub major: u16,
    /// `0` of `8.0.36`.
    pub minor: u16,
    /// `36` of `8.0.36`.
    pub patch: u16,
}

/// A version text without three leading numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a MySQL or MariaDB version: {text}")]
pub struct InvalidVersion {
    /// The text that was given.
    pub text: String,
}

impl FromStr for ServerVersion {
    type Err = InvalidVersion;

    /// Parses what `SELECT VERSION()` answers, such as `5.7.29-log` or `10.11.14-MariaDB-0+deb12u2`.
    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let flavor = if text.contains("MariaDB") {
            ServerFlavor::Mariadb
        } else {
            ServerFlavor::Mysql
        };
        // MariaDB puts `5.5.5-` before its version in the handshake for the sake of old replicas.
        let numbers = match flavor {
            ServerFlavor::Mariadb => text.strip_prefix("5.5.5-").unwrap_or(text),
            ServerFlavor::Mysql => text,
        };
        let end = numbers
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(numbers.len());
        let (numbers, _) = numbers.split_at(end);
        let mut parts = numbers.split('.').map(str::parse::<u16>);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) => Ok(Self {
                flavor,
                major,
                minor,
                patch,
            }),
            _ => Err(InvalidVersion {
                text: text.to_owned(),
            }),
        }
    }
}

impl ServerVersion {
    /// Whether this is MySQL of at least this version.
    pub fn is_mysql_from(&self, major: u16, minor: u16, patch: u16) -> bool {
        self.flavor == ServerFlavor::Mysql
            && (self.major, self.minor, self.patch) >= (major, minor, patch)
    }

    /// Whether this is MariaDB of at least this version.
    pub fn is_mariadb_from(&self, major: u16, minor: u16) -> bool {
        self.flavor == ServerFlavor::Mariadb && (self.major, self.minor) >= (major, minor)
    }

    /// Whether this is MariaDB.
    pub fn is_mariadb(&self) -> bool {
        self.flavor == ServerFlavor::Mariadb
    }

    /// Whether an authentication plugin may be there. `false` only for those that a version never has: what is
    /// installed besides is not known from the version.
    pub fn may_have_plugin(&self, plugin: &str) -> bool {
        match (self.flavor, plugin) {
            // Taken away in 9.0; off by default in 8.4, where the server says so itself.
            (ServerFlavor::Mysql, "mysql_native_password") => !self.is_mysql_from(9, 0, 0),
            (ServerFlavor::Mysql, "mysql_old_password") => !self.is_mysql_from(5, 7, 5),
            (ServerFlavor::Mysql, "caching_sha2_password") => self.is_mysql_from(8, 0, 3),
            _ => true,
        }
    }

    /// Whether an account may have two passwords (`RETAIN CURRENT PASSWORD`).
    pub fn has_second_passwords(&self) -> bool {
        self.is_mysql_from(8, 0, 14)
    }

    /// Whether there are roles.
    pub fn has_roles(&self) -> bool {
        self.is_mariadb() || self.is_mysql_from(8, 0, 0)
    }

    /// How many characters a user name may have (1470 beyond). MariaDB before 10.6 takes 80 and says so itself.
    pub fn longest_user_name(&self) -> usize {
        match self.flavor {
            ServerFlavor::Mariadb => 128,
            ServerFlavor::Mysql if self.is_mysql_from(5, 7, 8) => 32,
            ServerFlavor::Mysql => 16,
        }
    }

    /// How many characters the host of an account may have.
    pub fn longest_host(&self) -> usize {
        if self.is_mariadb() || self.is_mysql_from(8, 0, 17) {
            255
        } else {
            60
        }
    }

    /// Whether the server speaks of `SOURCE` and `REPLICA` in its own statements: MySQL 8.0.22 introduced
    /// the words and 8.4 took the old ones away. MariaDB understands the old ones in every version.
    pub fn has_replica_statements(&self) -> bool {
        self.is_mysql_from(8, 0, 23)
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flavor = match self.flavor {
            ServerFlavor::Mysql => "mysql",
            ServerFlavor::Mariadb => "mariadb",
        };
        write!(f, "{flavor} {}.{}.{}", self.major, self.minor, self.patch)
    }
}
