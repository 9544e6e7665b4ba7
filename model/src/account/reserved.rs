//! Accounts that belong to the server or to RDS and are never created, altered or dropped.

use super::name::AccountKey;
use super::server::ServerVersion;

/// User names, the one list.
///
/// From the RDS user guide (master user privileges, `rdsadmin`) and from what the servers install
/// themselves. Touching `rdsadmin` is an error on RDS.
const RESERVED: [&str; 10] = [
    "rdsadmin",
    "rdsrepladmin",
    "rdsrepladmin_priv_checks_user",
    "rdsgrprepladmin",
    "rds_superuser_role",
    "rdsproxyadmin",
    "mysql.sys",
    "mysql.session",
    "mysql.infoschema",
    "mariadb.sys",
];

/// Why an account is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reservation {
    /// On the list of accounts that RDS or the server makes.
    Known,
    /// Not on the list, but named as RDS names its own: left alone, with a warning.
    LooksLikeRds,
    /// MariaDB's role `PUBLIC`: it always exists, only its grants are compared and copied.
    PublicRole,
}

/// Whether an account is reserved, and why. `None` for an ordinary account.
pub fn reservation(key: &AccountKey, server: &ServerVersion) -> Option<Reservation> {
    let user = key.user().as_bytes();
    if RESERVED.iter().any(|reserved| reserved.as_bytes() == user) {
        return Some(Reservation::Known);
    }
    if server.is_mariadb_from(10, 11) && user == b"PUBLIC" && key.host().is_empty() {
        return Some(Reservation::PublicRole);
    }
    user.starts_with(b"rds")
        .then_some(Reservation::LooksLikeRds)
}
