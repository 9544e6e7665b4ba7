//! The accounts of a new DB instance and what RDS grants its master user.
//!
//! The lists are those of the RDS user guide, "Master user account privileges": all of the everyday
//! privileges with `GRANT OPTION`, never `SUPER`, `FILE`, `SHUTDOWN` or `CREATE TABLESPACE`. Two of RDS's own
//! restrictions are not in a stock server: DML on the tables of `mysql` (refused by RDS since MySQL 8.0.36) works
//! here unless the parameter `partial_revokes` is on, because partial revokes, the only way to refuse it,
//! are inherited by every account the master user grants to, which RDS's restriction is not; and the
//! reserved accounts can be changed.

use super::ServerSpec;
use super::install::{Family, Flavor, Version};
use super::sql::literal;

/// RDS's own administrator.
pub(super) const ADMIN: &str = "rdsadmin";
/// RDS's own replication account.
pub(super) const REPLICATION: &str = "rdsrepladmin";

/// Account names that come with a server and stay.
const KEPT: &str =
    "'rdsadmin', 'mysql.sys', 'mysql.session', 'mysql.infoschema', 'mariadb.sys', 'PUBLIC'";

const EVERYDAY: &str = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES, CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, \
    REPLICATION SLAVE, REPLICATION CLIENT, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER";

/// `'name'@'%'`.
fn anywhere(user: &str) -> String {
    format!("{}@'%'", literal(user))
}

/// Statements that give a new data folder its administrator.
pub(super) fn administrator(password: &str) -> Vec<String> {
    vec![
        format!(
            "CREATE USER '{ADMIN}'@'localhost' IDENTIFIED BY {}",
            literal(password)
        ),
        format!("GRANT ALL PRIVILEGES ON *.* TO '{ADMIN}'@'localhost' WITH GRANT OPTION"),
    ]
}

/// Finds what a stock server brings and RDS does not have: `root`, anonymous accounts.
pub(super) fn superfluous_accounts() -> String {
    format!(
        "SELECT CONCAT(QUOTE(user), '@', QUOTE(host)) FROM mysql.user WHERE user NOT IN ({KEPT})"
    )
}

/// Sets the password of an account.
pub(super) fn set_password(flavor: Flavor, account: &str, password: &str) -> String {
    if flavor.is_mariadb() || flavor.mysql_since(5, 7, 6) {
        format!("ALTER USER {account} IDENTIFIED BY {}", literal(password))
    } else {
        format!(
            "SET PASSWORD FOR {account} = PASSWORD({})",
            literal(password)
        )
    }
}

/// Sets the administrator's password.
pub(super) fn set_admin_password(flavor: Flavor, password: &str) -> String {
    set_password(flavor, &format!("'{ADMIN}'@'localhost'"), password)
}

/// The account that replicas of this sandbox log in with.
pub(super) fn replication_account(password: &str) -> Vec<String> {
    let account = anywhere(REPLICATION);
    vec![
        format!("CREATE USER {account} IDENTIFIED BY {}", literal(password)),
        format!("GRANT REPLICATION SLAVE ON *.* TO {account}"),
    ]
}

/// Statements that make the master user with what RDS gives it at this engine version.
pub(super) fn master_user(flavor: Flavor, spec: &ServerSpec) -> Vec<String> {
    let account = anywhere(&spec.master_username);
    let mut statements = vec![format!(
        "CREATE USER {account} IDENTIFIED BY {}",
        literal(&spec.master_password)
    )];
    let asked = Version::parse(&spec.engine_version).unwrap_or(flavor.version);
    let lists = granted(flavor, asked);
    let role = (flavor.family == Family::Mysql
        && flavor.mysql_since(8, 0, 0)
        && asked >= Version(8, 0, 36))
    .then_some("'rds_superuser_role'@'%'");
    statements.extend(role.map(|role| format!("CREATE ROLE IF NOT EXISTS {role}")));
    for grantee in role.into_iter().chain([account.as_str()]) {
        statements.extend(
            lists
                .iter()
                .map(|list| format!("GRANT {list} ON *.* TO {grantee} WITH GRANT OPTION")),
        );
        let restricted = asked >= Version(8, 0, 36)
            && flavor.mysql_since(8, 0, 16)
            && on(spec, "partial_revokes");
        statements.extend(restricted.then(|| {
            format!("REVOKE INSERT, UPDATE, DELETE, CREATE, ALTER, DROP ON mysql.* FROM {grantee}")
        }));
    }
    statements.extend(role.map(|role| format!("GRANT {role} TO {account}")));
    statements.extend(role.map(|role| format!("SET DEFAULT ROLE {role} TO {account}")));
    statements
}

fn on(spec: &ServerSpec, parameter: &str) -> bool {
    spec.parameters
        .get(parameter)
        .is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "on" | "true"))
}

/// Lists of privileges that go together in one `GRANT`: static and dynamic ones may not be mixed everywhere.
fn granted(flavor: Flavor, asked: Version) -> Vec<String> {
    let mut fixed = EVERYDAY.to_owned();
    let mut dynamic = Vec::new();
    match flavor.family {
        Family::Mariadb => {
            if flavor.mariadb_since(11, 3) && asked >= Version(11, 4, 0) {
                fixed.push_str(", SHOW CREATE ROUTINE");
            }
        }
        Family::Mysql => {
            if flavor.mysql_since(8, 0, 0) && asked >= Version(8, 0, 0) {
                fixed.push_str(", CREATE ROLE, DROP ROLE");
                dynamic.extend([
                    "APPLICATION_PASSWORD_ADMIN",
                    "ROLE_ADMIN",
                    "XA_RECOVER_ADMIN",
                ]);
                // SET_USER_ID was split in 8.2 and taken away in 8.4.
                if flavor.mysql_since(8, 2, 0) {
                    dynamic.extend(["SET_ANY_DEFINER", "ALLOW_NONEXISTENT_DEFINER"]);
                } else {
                    dynamic.push("SET_USER_ID");
                }
            }
            if asked >= Version(8, 0, 36) {
                for (name, since) in [
                    ("FLUSH_OPTIMIZER_COSTS", Version(8, 0, 23)),
                    ("FLUSH_STATUS", Version(8, 0, 23)),
                    ("FLUSH_TABLES", Version(8, 0, 23)),
                    ("FLUSH_USER_RESOURCES", Version(8, 0, 23)),
                    ("SENSITIVE_VARIABLES_OBSERVER", Version(8, 0, 29)),
                    ("SESSION_VARIABLES_ADMIN", Version(8, 0, 14)),
                    ("SHOW_ROUTINE", Version(8, 0, 20)),
                ] {
                    if flavor.version >= since {
                        dynamic.push(name);
                    }
                }
            }
            if asked >= Version(8, 4, 3) && flavor.mysql_since(8, 4, 0) {
                dynamic.push("FLUSH_PRIVILEGES");
            }
        }
    }
    let mut lists = vec![fixed];
    if !dynamic.is_empty() {
        lists.push(dynamic.join(", "));
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_master_user_never_gets_what_rds_keeps() {
        for (family, version, asked) in [
            (Family::Mariadb, "10.11.14", "10.11.9"),
            (Family::Mysql, "5.7.29", "5.7.44"),
            (Family::Mysql, "9.7.4", "8.0.36"),
            (Family::Mysql, "9.7.4", "8.4.5"),
        ] {
            let flavor = Flavor {
                family,
                version: Version::parse(version).unwrap(),
            };
            let all = granted(flavor, Version::parse(asked).unwrap()).join(", ");
            for kept in [
                "SUPER",
                "FILE",
                "SHUTDOWN",
                "CREATE TABLESPACE",
                "SYSTEM_USER",
                "SYSTEM_VARIABLES_ADMIN",
                "REPLICATION_SLAVE_ADMIN",
                "BINLOG_ADMIN",
            ] {
                assert!(!all.split(", ").any(|name| name == kept), "{asked}: {kept}");
            }
        }
    }
}
