//! Account sets that break tools: one script for everything every server has, and one more for each kind of server.
//!
//! Scripts run as the server's administrator. Each starts with an `sql_mode` of its own, so that the server's default
//! changes nothing about what they make.

/// Databases, tables and routines that grants need: on both servers of a pair.
pub(super) const SCHEMAS: &str = r#"
SET SESSION sql_mode = '';
CREATE DATABASE shop;
CREATE TABLE shop.t (id INT PRIMARY KEY, `c 2` INT, secret INT, `ü|m` INT, `b``t` INT, `q'x` INT, `bs\t` INT);
CREATE TABLE shop.`t|b``x ü'y` (id INT PRIMARY KEY);
CREATE DATABASE `my_db`; CREATE DATABASE `myxdb`; CREATE DATABASE `q``t`; CREATE DATABASE `q't`; CREATE DATABASE `a|b`;
CREATE DATABASE `ünï`; CREATE DATABASE `Upper`; CREATE DATABASE `d123456789012345678901234567890123456789012345678901234567890123`;
CREATE TABLE `q``t`.`x` (id INT PRIMARY KEY);
CREATE PROCEDURE shop.p() SELECT 1; CREATE FUNCTION shop.p() RETURNS INT DETERMINISTIC RETURN 1;
CREATE PROCEDURE `q``t`.`r``o 'u|t` () SELECT 1; CREATE PROCEDURE `ünï`.`prü日€` () SELECT 1;
"#;

/// Accounts and grants that every version of both families takes. Names have at most 16 characters.
const EVERYWHERE: &str = r#"
SET SESSION sql_mode = '';
CREATE USER 'o''brien'@'%' IDENTIFIED BY 'pw-quote'; CREATE USER 'b`tick'@'127.%' IDENTIFIED BY 'pw-tick';
CREATE USER 'ba\\ck'@'%' IDENTIFIED BY 'pw-back'; CREATE USER 'end\\'@'%' IDENTIFIED BY 'pw-end';
CREATE USER 'pi|pe'@'%' IDENTIFIED BY 'pw-pipe'; CREATE USER 'e'@'%' IDENTIFIED BY 'pw-e';
CREATE USER 'at@sign'@'%' IDENTIFIED BY 'pw-at'; CREATE USER 'sp ace'@'%' IDENTIFIED BY 'pw-space';
CREATE USER 'ünï'@'%' IDENTIFIED BY 'pw-ünï'; CREATE USER '日本'@'%' IDENTIFIED BY 'pw-kanji';
CREATE USER 'Case'@'%' IDENTIFIED BY 'pw-Case'; CREATE USER 'case'@'%' IDENTIFIED BY 'pw-case';
CREATE USER 'dual'@'%' IDENTIFIED BY 'pw-reserved-word'; CREATE USER 'dq"uote'@'%' IDENTIFIED BY 'pw-dq';
CREATE USER 'semi;--'@'%' IDENTIFIED BY 'pw-semi'; CREATE USER 'c/*d*/#'@'%' IDENTIFIED BY 'pw-comment';
CREATE USER 'new\nline'@'%' IDENTIFIED BY 'pw-nl'; CREATE USER 'ta\tb'@'%' IDENTIFIED BY 'pw-tab';
CREATE USER 'u''@''%'' #'@'%' IDENTIFIED BY 'pw-inject'; CREATE USER 'u'@'%' IDENTIFIED BY 'pw-u';
CREATE USER 'sixteen-chars-ab'@'%' IDENTIFIED BY 'pw-long'; CREATE USER 'nopw'@'%';
CREATE USER 'h'@'localhost' IDENTIFIED BY 'pw-1'; CREATE USER 'h'@'10.0.%' IDENTIFIED BY 'pw-2';
CREATE USER 'h'@'127.0.0.0/255.0.0.0' IDENTIFIED BY 'pw-mask'; CREATE USER 'h'@'10.0.0.0/8' IDENTIFIED BY 'pw-4';
CREATE USER 'h'@'::1' IDENTIFIED BY 'pw-5'; CREATE USER 'h'@'EXAMPLE.com' IDENTIFIED BY 'pw-6';
CREATE USER 'h'@'_.host.net' IDENTIFIED BY 'pw-7'; CREATE USER 'h'@'o''host' IDENTIFIED BY 'pw-8';
CREATE USER 'h'@'h|st' IDENTIFIED BY 'pw-9'; CREATE USER 'h'@'h012345678.h012345678.h012345678.h012345678.h012345678.h0123' IDENTIFIED BY 'pw-10';
CREATE USER ''@'anonymous.host' IDENTIFIED BY 'pw-anonymous';
CREATE USER 'dba'@'%' IDENTIFIED BY 'pw-dba'; GRANT ALL PRIVILEGES ON *.* TO 'dba'@'%' WITH GRANT OPTION;
CREATE USER 'owner'@'%' IDENTIFIED BY 'pw-owner'; GRANT ALL PRIVILEGES ON shop.* TO 'owner'@'%' WITH GRANT OPTION; GRANT ALL PRIVILEGES ON shop.t TO 'owner'@'%';
CREATE USER 'files'@'%' IDENTIFIED BY 'pw-files'; GRANT SELECT, FILE, SHUTDOWN, PROCESS ON *.* TO 'files'@'%';
GRANT PROCESS, RELOAD ON *.* TO 'u''@''%'' #'@'%'; GRANT SELECT ON *.* TO 'u'@'%';
GRANT CREATE USER, REPLICATION SLAVE, REPLICATION CLIENT, SHOW DATABASES ON *.* TO 'Case'@'%' WITH GRANT OPTION;
GRANT USAGE ON *.* TO 'case'@'%' WITH GRANT OPTION;
GRANT SELECT ON `my\_db`.* TO 'pi|pe'@'%'; GRANT INSERT ON `my_db`.* TO 'pi|pe'@'%'; GRANT UPDATE ON `my%`.* TO 'pi|pe'@'%';
GRANT DELETE ON `pct\%db`.* TO 'pi|pe'@'%'; GRANT INDEX ON `bs\\db`.* TO 'pi|pe'@'%'; GRANT USAGE ON `my_db`.* TO 'e'@'%' WITH GRANT OPTION;
GRANT SELECT, INSERT, CREATE, DROP, REFERENCES, LOCK TABLES, CREATE TEMPORARY TABLES, EVENT, TRIGGER ON `q``t`.* TO 'ba\\ck'@'%';
GRANT SELECT ON `q't`.* TO 'o''brien'@'%'; GRANT SELECT ON `a|b`.* TO 'b`tick'@'127.%'; GRANT SELECT ON `ünï`.* TO 'ünï'@'%';
GRANT SELECT ON `Upper`.* TO 'Case'@'%' WITH GRANT OPTION; GRANT SELECT ON `nowhere`.* TO 'e'@'%';
GRANT EXECUTE, CREATE ROUTINE, ALTER ROUTINE, CREATE VIEW, SHOW VIEW ON `d123456789012345678901234567890123456789012345678901234567890123`.* TO 'e'@'%';
GRANT SELECT ON `my_db`.* TO ''@'anonymous.host';
GRANT SELECT (id, `c 2`, `b``t`), UPDATE (secret, `ü|m`), INSERT (`q'x`), REFERENCES (`bs\t`) ON shop.t TO 'o''brien'@'%' WITH GRANT OPTION;
GRANT SELECT, DELETE ON shop.t TO 'pi|pe'@'%'; GRANT UPDATE (id) ON shop.t TO 'pi|pe'@'%'; GRANT USAGE ON shop.t TO 'u'@'%' WITH GRANT OPTION;
GRANT ALTER, CREATE, DROP, INDEX, TRIGGER, SHOW VIEW, CREATE VIEW ON shop.`t|b``x ü'y` TO 'new\nline'@'%';
GRANT SELECT ON `q``t`.`x` TO 'h'@'o''host';
GRANT EXECUTE ON PROCEDURE shop.p TO 'e'@'%'; GRANT EXECUTE, ALTER ROUTINE ON FUNCTION shop.p TO 'b`tick'@'127.%' WITH GRANT OPTION;
GRANT EXECUTE ON FUNCTION shop.p TO 'e'@'%'; GRANT USAGE ON PROCEDURE shop.p TO 'u'@'%' WITH GRANT OPTION;
GRANT ALTER ROUTINE ON PROCEDURE `q``t`.`r``o 'u|t` TO 'h'@'h|st';
GRANT EXECUTE ON PROCEDURE `ünï`.`prü日€` TO 'e'@'%'; GRANT EXECUTE ON PROCEDURE `ünï`.`prü日€` TO 'ünï'@'%'; GRANT EXECUTE ON FUNCTION shop.p TO '日本'@'%';
"#;

/// Clauses of accounts. `{ALTER}` is `ALTER USER`, or on MySQL 5.6 the `GRANT` that takes clauses.
const CLAUSES: &str = r#"
SET SESSION sql_mode = '';
CREATE USER 'limits'@'%' IDENTIFIED BY 'pw-limits';
{ALTER} 'limits'@'%' WITH MAX_QUERIES_PER_HOUR 10 MAX_UPDATES_PER_HOUR 20 MAX_CONNECTIONS_PER_HOUR 3000 MAX_USER_CONNECTIONS 40;
CREATE USER 'ssl'@'%' IDENTIFIED BY 'pw-ssl'; {ALTER} 'ssl'@'%' REQUIRE SSL;
CREATE USER 'x509'@'%' IDENTIFIED BY 'pw-x509'; {ALTER} 'x509'@'%' REQUIRE X509;
CREATE USER 'subject'@'%' IDENTIFIED BY 'pw-s'; {ALTER} 'subject'@'%' REQUIRE SUBJECT '/CN=o''b "x"\\y';
CREATE USER 'all three'@'%' IDENTIFIED BY 'pw-s';
{ALTER} 'all three'@'%' REQUIRE SUBJECT '/CN=a' AND ISSUER '/O=back\\slash' AND CIPHER 'ECDHE-RSA-AES256-GCM-SHA384' WITH MAX_USER_CONNECTIONS 7;
CREATE USER 'cipher'@'%' IDENTIFIED BY 'pw-s'; {ALTER} 'cipher'@'%' REQUIRE CIPHER 'o''c';

"#;

/// Lets the administrator of these scripts grant `PROXY`.
const PROXY: &str = "
INSERT INTO mysql.proxies_priv (Host, User, Proxied_host, Proxied_user, With_grant, Grantor) VALUES ('localhost', 'rdsadmin', '', '', 1, '');
FLUSH PRIVILEGES;
";

/// Logins of [`EVERYWHERE`] that work from this machine over TCP.
pub(super) const EVERYWHERE_LOGINS: &[(&str, &str)] = &[
    ("o'brien", "pw-quote"),
    ("b`tick", "pw-tick"),
    ("ba\\ck", "pw-back"),
    ("end\\", "pw-end"),
    ("pi|pe", "pw-pipe"),
    ("e", "pw-e"),
    ("at@sign", "pw-at"),
    ("sp ace", "pw-space"),
    ("ünï", "pw-ünï"),
    ("日本", "pw-kanji"),
    ("Case", "pw-Case"),
    ("case", "pw-case"),
    ("dual", "pw-reserved-word"),
    ("dq\"uote", "pw-dq"),
    ("semi;--", "pw-semi"),
    ("c/*d*/#", "pw-comment"),
    ("new\nline", "pw-nl"),
    ("ta\tb", "pw-tab"),
    ("u'@'%' #", "pw-inject"),
    ("u", "pw-u"),
    ("sixteen-chars-ab", "pw-long"),
    ("nopw", ""),
    ("h", "pw-mask"),
    ("limits", "pw-limits"),
    ("dba", "pw-dba"),
    ("owner", "pw-owner"),
    ("files", "pw-files"),
];

/// What no statement brings back: grants whose account or table is gone.
const LEFT_BEHIND: &str = r#"
SET SESSION sql_mode = '';
CREATE TABLE shop.gone (id INT PRIMARY KEY, a INT);
GRANT SELECT ON shop.gone TO 'e'@'%'; GRANT UPDATE (a) ON shop.gone TO 'pi|pe'@'%'; DROP TABLE shop.gone;
INSERT INTO mysql.db (Host, Db, User, Select_priv) VALUES ('%', 'shop', 'never made', 'Y');
INSERT INTO mysql.tables_priv (Host, Db, User, Table_name, Grantor, Table_priv) VALUES ('%', 'shop', 'never made', 't', '', 'Select');
FLUSH PRIVILEGES;
"#;

/// A server kind with what only it has.
pub(super) struct Kind {
    /// Folder of the installed server, such as `mysql57`.
    pub(super) name: &'static str,
    /// Engine and version as RDS names them.
    pub(super) engine: &'static str,
    pub(super) version: &'static str,
    /// What the server says of itself, at the start of `VERSION()`.
    pub(super) answers: &'static str,
    /// Whether tests fail rather than pass with a line when the server is not there.
    pub(super) required: bool,
    /// Parameters of its parameter group.
    pub(super) parameters: &'static [(&'static str, &'static str)],
    /// Accounts that only this kind can have.
    pub(super) accounts: &'static [&'static str],
    /// Logins of these accounts.
    pub(super) logins: &'static [(&'static str, &'static str)],
    /// Those of them that the server does not let in with their password: locked, expired, without TLS.
    pub(super) kept_out: &'static [&'static str],
    /// Accounts with ed25519: one login in 256 is refused to the right password, because the driver cuts a scramble
    /// that ends in a zero byte. These tests log in with the driver itself, so a refusal counts when it comes three times.
    pub(super) ed25519: &'static [&'static str],
    /// Accounts whose passwords the driver of these tests cannot send.
    pub(super) not_checked: &'static [&'static str],
}

const MYSQL56_ACCOUNTS: &str = r#"
SET SESSION sql_mode = '';
CREATE USER 'empty host'@'' IDENTIFIED BY 'pw-eh';
CREATE USER 'sha'@'%' IDENTIFIED WITH 'sha256_password'; SET SESSION old_passwords = 2; SET PASSWORD FOR 'sha'@'%' = PASSWORD('pw-sha');
CREATE USER 'old'@'%' IDENTIFIED WITH 'mysql_old_password'; SET SESSION old_passwords = 1; SET PASSWORD FOR 'old'@'%' = OLD_PASSWORD('pw-old');
SET SESSION old_passwords = 0;
CREATE USER 'expired'@'%' IDENTIFIED BY 'pw-expired'; ALTER USER 'expired'@'%' PASSWORD EXPIRE;
GRANT PROXY ON 'e'@'%' TO 'sha'@'%' WITH GRANT OPTION; GRANT PROXY ON ''@'' TO 'o''brien'@'%';
"#;

impl Kind {
    /// Everything this kind can have, for one server.
    pub(super) fn script(&self) -> String {
        let clauses = self.fill_in(CLAUSES);
        [PROXY, EVERYWHERE, clauses.as_str()]
            .into_iter()
            .chain(self.accounts.iter().copied())
            .chain([LEFT_BEHIND])
            .collect()
    }

    /// `{ALTER}` before an account and its clauses.
    pub(super) fn fill_in(&self, script: &str) -> String {
        let alter = if self.name == "mysql56" {
            "GRANT USAGE ON *.* TO"
        } else {
            "ALTER USER"
        };
        script.replace("{ALTER}", alter)
    }
}

pub(super) const MYSQL56: Kind = Kind {
    name: "mysql56",
    engine: "mysql",
    version: "5.6.51",
    answers: "mysql 5.6.",
    required: false,
    parameters: &[],
    accounts: &[MYSQL56_ACCOUNTS],
    logins: &[("expired", "pw-expired")],
    kept_out: &["expired"],
    ed25519: &[],
    not_checked: &["sha (sha256_password)", "old (mysql_old_password)"],
};

/// What MySQL 5.7 and later share.
const MYSQL_NEWER: &str = r#"
SET SESSION sql_mode = '';
CREATE USER 'empty host'@'' IDENTIFIED BY 'pw-eh';
CREATE USER 'u''@''%'' WITH GRANT OPTION#'@'%' IDENTIFIED BY 'pw-inject2'; GRANT SELECT ON shop.* TO 'u''@''%'' WITH GRANT OPTION#'@'%';
CREATE USER 'abcdefghijklmnopqrstuvwxyz012345'@'%' IDENTIFIED BY 'pw-32';
CREATE USER 'locked'@'%' IDENTIFIED BY 'pw-locked' ACCOUNT LOCK;
CREATE USER 'all of it'@'%' IDENTIFIED BY 'pw-all' REQUIRE SSL WITH MAX_USER_CONNECTIONS 3 PASSWORD EXPIRE INTERVAL 90 DAY ACCOUNT LOCK; ALTER USER 'all of it'@'%' PASSWORD EXPIRE;
CREATE USER 'expired'@'%' IDENTIFIED BY 'pw-expired'; ALTER USER 'expired'@'%' PASSWORD EXPIRE;
CREATE USER 'never'@'%' IDENTIFIED BY 'pw-never' PASSWORD EXPIRE NEVER; CREATE USER 'days'@'%' IDENTIFIED BY 'pw-days' PASSWORD EXPIRE INTERVAL 65535 DAY;
CREATE USER 'sha1'@'%' IDENTIFIED WITH 'sha256_password' BY 'pw-sha1'; CREATE USER 'sha2'@'%' IDENTIFIED WITH 'sha256_password' BY 'pw-sha2';
CREATE USER 'sha3'@'%' IDENTIFIED WITH 'sha256_password' BY 'pw-sha3'; CREATE USER 'sha4'@'%' IDENTIFIED WITH 'sha256_password' BY 'pw-sha4';
CREATE USER 'sha5'@'%' IDENTIFIED WITH 'sha256_password' BY 'pw-sha5'; CREATE USER 'sha6'@'%' IDENTIFIED WITH 'sha256_password' BY 'pw-sha6';
CREATE USER 'sha empty'@'%' IDENTIFIED WITH 'sha256_password';
"#;

const MYSQL57_ACCOUNTS: &str = r#"
GRANT PROXY ON 'e'@'%' TO 'never'@'%' WITH GRANT OPTION; GRANT PROXY ON ''@'' TO 'o''brien'@'%';
CREATE USER 'nul\0name'@'%' IDENTIFIED BY 'pw-nul';
"#;

/// Logins of [`MYSQL_NEWER`]; the refused ones are refused on the clone as well.
const MYSQL_NEWER_LOGINS: &[(&str, &str)] = &[
    ("u'@'%' WITH GRANT OPTION#", "pw-inject2"),
    ("abcdefghijklmnopqrstuvwxyz012345", "pw-32"),
    ("locked", "pw-locked"),
    ("all of it", "pw-all"),
    ("expired", "pw-expired"),
    ("never", "pw-never"),
    ("days", "pw-days"),
];

/// Their passwords cannot be sent by the driver of these tests.
const SHA256: &[&str] = &["sha1", "sha2", "sha3", "sha4", "sha5", "sha6"];

pub(super) const MYSQL57: Kind = Kind {
    name: "mysql57",
    engine: "mysql",
    version: "5.7.44",
    answers: "mysql 5.7.",
    required: true,
    parameters: &[],
    accounts: &[MYSQL_NEWER, MYSQL57_ACCOUNTS],
    logins: MYSQL_NEWER_LOGINS,
    kept_out: &["locked", "all of it", "expired"],
    ed25519: &[],
    not_checked: SHA256,
};

const MYSQL97_ACCOUNTS: &str = r#"
CREATE ROLE 'r1', 'r2'@'%', 'r''3'@'h|st', 'r4', 'mandatory', 'nobody has it';
GRANT SELECT ON shop.* TO 'r1'; GRANT INSERT ON shop.t TO 'r2'; GRANT EXECUTE ON PROCEDURE shop.p TO 'r''3'@'h|st'; GRANT DELETE ON `my\_db`.* TO 'r4';
GRANT 'r1' TO 'r2'; GRANT 'r2', 'r''3'@'h|st' TO 'r4' WITH ADMIN OPTION; GRANT 'r4' TO 'o''brien'@'%' WITH ADMIN OPTION;
GRANT 'r1', 'r2' TO 'e'@'%'; GRANT 'r4', 'r1' TO 'pi|pe'@'%'; SET DEFAULT ROLE 'r1', 'r2' TO 'e'@'%'; SET DEFAULT ROLE 'r4' TO 'o''brien'@'%';
GRANT 'e'@'%' TO 'Case'@'%'; SET DEFAULT ROLE 'e'@'%' TO 'Case'@'%';
CREATE USER 'c1'@'%' IDENTIFIED BY 'pw-c1'; CREATE USER 'c2'@'%' IDENTIFIED BY 'pw-c2'; CREATE USER 'c3'@'%' IDENTIFIED BY 'pw-c3'; CREATE USER 'c4'@'%' IDENTIFIED BY 'pw-c4';
CREATE USER 'dual pw'@'%' IDENTIFIED BY 'pw-first'; ALTER USER 'dual pw'@'%' IDENTIFIED BY 'pw-second' RETAIN CURRENT PASSWORD;
CREATE USER 'dual sha'@'%' IDENTIFIED WITH 'sha256_password' BY 'pw-first'; ALTER USER 'dual sha'@'%' IDENTIFIED BY 'pw-second' RETAIN CURRENT PASSWORD;
CREATE USER 'comment'@'%' IDENTIFIED BY 'pw-comment2' COMMENT 'it''s "quoted" \\ and ünï';
CREATE USER 'attribute'@'%' IDENTIFIED BY 'pw-attribute' ATTRIBUTE '{"a": {"b": [1, 2.5, null, "q''\\"\\\\"]}, "comment": "c", "日": true}';
CREATE USER 'history'@'%' IDENTIFIED BY 'pw-history' PASSWORD HISTORY 5 PASSWORD REUSE INTERVAL 365 DAY PASSWORD REQUIRE CURRENT;
CREATE USER 'optional'@'%' IDENTIFIED BY 'pw-optional' PASSWORD HISTORY 0 PASSWORD REUSE INTERVAL 0 DAY PASSWORD REQUIRE CURRENT OPTIONAL;
CREATE USER 'failed'@'%' IDENTIFIED BY 'pw-failed' FAILED_LOGIN_ATTEMPTS 4 PASSWORD_LOCK_TIME 3;
CREATE USER 'unbounded'@'%' IDENTIFIED BY 'pw-unbounded' FAILED_LOGIN_ATTEMPTS 2 PASSWORD_LOCK_TIME UNBOUNDED;
CREATE USER 'attempts only'@'%' IDENTIFIED BY 'pw-a' FAILED_LOGIN_ATTEMPTS 2; CREATE USER 'lock time only'@'%' IDENTIFIED BY 'pw-a' PASSWORD_LOCK_TIME 2;
CREATE USER 'every clause'@'%' IDENTIFIED BY 'pw-every' REQUIRE SUBJECT '/CN=x' WITH MAX_QUERIES_PER_HOUR 5 PASSWORD EXPIRE INTERVAL 30 DAY PASSWORD HISTORY 3 PASSWORD REUSE INTERVAL 4 DAY PASSWORD REQUIRE CURRENT FAILED_LOGIN_ATTEMPTS 5 PASSWORD_LOCK_TIME UNBOUNDED ACCOUNT LOCK ATTRIBUTE '{"k": "v"}';
ALTER USER 'every clause'@'%' IDENTIFIED BY 'pw-every-2' RETAIN CURRENT PASSWORD; ALTER USER 'every clause'@'%' PASSWORD EXPIRE;
CREATE USER 'h'@'longhost1.longhost2.longhost3.longhost4.longhost5.longhost6.longhost7.longhost8.longhost9.longhost0.longhost1.longhost2.longhost3.longhost4.longhost5.longhost6.longhost7.longhost8.longhost9.longhost0.longhost1.longhost2.longhost3.longhost4.longhost5.longh' IDENTIFIED BY 'pw-11';
CREATE USER 'cidr'@'127.0.0.0/8' IDENTIFIED BY 'pw-cidr';
GRANT ROLE_ADMIN, XA_RECOVER_ADMIN ON *.* TO 'dual'@'%'; GRANT SHOW_ROUTINE ON *.* TO 'dual'@'%' WITH GRANT OPTION; GRANT CREATE ROLE, DROP ROLE ON *.* TO 'dual'@'%';
GRANT FLUSH_STATUS ON *.* TO 'u'@'%' WITH GRANT OPTION;
"#;

/// Privileges taken back for single databases, which needs `partial_revokes`.
pub(super) const PARTIAL_REVOKES: &str = r#"
SET SESSION sql_mode = '';
CREATE USER 'partial'@'%' IDENTIFIED BY 'pw-partial'; GRANT SELECT, INSERT, UPDATE, CREATE ON *.* TO 'partial'@'%' WITH GRANT OPTION;
REVOKE INSERT, UPDATE ON shop.* FROM 'partial'@'%'; REVOKE SELECT ON `my_db`.* FROM 'partial'@'%'; REVOKE CREATE ON `q``t`.* FROM 'partial'@'%';
CREATE ROLE 'partial role'; GRANT SELECT, DELETE ON *.* TO 'partial role'; REVOKE DELETE ON `q't`.* FROM 'partial role'; GRANT 'partial role' TO 'e'@'%';
"#;

pub(super) const MYSQL97: Kind = Kind {
    name: "mysql97",
    engine: "mysql",
    version: "9.7.4",
    answers: "mysql 9.",
    required: false,
    parameters: &[("mandatory_roles", "`mandatory`@`%`")],
    accounts: &[MYSQL_NEWER, MYSQL97_ACCOUNTS],
    logins: &[
        ("u'@'%' WITH GRANT OPTION#", "pw-inject2"),
        ("abcdefghijklmnopqrstuvwxyz012345", "pw-32"),
        ("locked", "pw-locked"),
        ("all of it", "pw-all"),
        ("expired", "pw-expired"),
        ("never", "pw-never"),
        ("days", "pw-days"),
        ("c1", "pw-c1"),
        ("c2", "pw-c2"),
        ("c3", "pw-c3"),
        ("c4", "pw-c4"),
        ("dual pw", "pw-first"),
        ("dual pw", "pw-second"),
        ("comment", "pw-comment2"),
        ("attribute", "pw-attribute"),
        ("history", "pw-history"),
        ("optional", "pw-optional"),
        ("failed", "pw-failed"),
        ("unbounded", "pw-unbounded"),
        ("every clause", "pw-every"),
        ("every clause", "pw-every-2"),
        ("cidr", "pw-cidr"),
    ],
    kept_out: &["locked", "all of it", "expired", "every clause"],
    ed25519: &[],
    not_checked: SHA256,
};

/// What both MariaDB versions share. A role has no host; `PUBLIC` is one that everyone has.
const MARIADB: &str = r#"
SET SESSION sql_mode = '';
CREATE USER 'u''@''%'' WITH GRANT OPTION#'@'%' IDENTIFIED BY 'pw-inject2'; GRANT SELECT ON shop.* TO 'u''@''%'' WITH GRANT OPTION#'@'%';
CREATE USER 'n1234567890n1234567890n1234567890n1234567890n1234567890n1234567890n1234567890n1234567890n1234567890n1234567890n1234567890n123456'@'%' IDENTIFIED BY 'pw-128';
CREATE USER 'nul\0name'@'%' IDENTIFIED BY 'pw-nul';
CREATE USER 'locked'@'%' IDENTIFIED BY 'pw-locked' ACCOUNT LOCK;
CREATE USER 'all of it'@'%' IDENTIFIED BY 'pw-all' REQUIRE SSL WITH MAX_USER_CONNECTIONS 3 MAX_STATEMENT_TIME 1.25 PASSWORD EXPIRE INTERVAL 90 DAY ACCOUNT LOCK; ALTER USER 'all of it'@'%' PASSWORD EXPIRE;
CREATE USER 'expired'@'%' IDENTIFIED BY 'pw-expired'; ALTER USER 'expired'@'%' PASSWORD EXPIRE;
CREATE USER 'never'@'%' IDENTIFIED BY 'pw-never' PASSWORD EXPIRE NEVER; CREATE USER 'days'@'%' IDENTIFIED BY 'pw-days' PASSWORD EXPIRE INTERVAL 65535 DAY;
CREATE USER 'not at all'@'%' IDENTIFIED BY 'pw-none' WITH MAX_USER_CONNECTIONS -1; CREATE USER 'fraction'@'%' IDENTIFIED BY 'pw-f' WITH MAX_STATEMENT_TIME 0.000001;
CREATE USER 'invalid'@'%' IDENTIFIED VIA mysql_native_password USING 'invalid';
CREATE USER 'old'@'%' IDENTIFIED VIA mysql_old_password USING '0123456789abcdef';
CREATE USER 'socket'@'localhost' IDENTIFIED VIA unix_socket; CREATE USER 'socket as'@'localhost' IDENTIFIED VIA unix_socket AS 'os''user';
CREATE USER 'either'@'%' IDENTIFIED VIA unix_socket OR mysql_native_password USING PASSWORD('pw-either');
CREATE ROLE r1; CREATE ROLE `r 'two`; CREATE ROLE `r``3|`; CREATE ROLE r4; CREATE ROLE `nobody has it`;
GRANT SELECT ON shop.* TO r1; GRANT INSERT ON shop.t TO `r 'two`; GRANT EXECUTE ON PROCEDURE shop.p TO `r``3|`; GRANT DELETE ON `my\_db`.* TO r4; GRANT PROCESS ON *.* TO r4;
GRANT r1 TO `r 'two`; GRANT `r 'two` TO r4 WITH ADMIN OPTION; GRANT `r``3|` TO r4; GRANT r4 TO 'o''brien'@'%' WITH ADMIN OPTION;
GRANT r1 TO 'e'@'%'; GRANT `r 'two` TO 'e'@'%'; GRANT r4 TO 'pi|pe'@'%'; SET DEFAULT ROLE r1 FOR 'e'@'%'; SET DEFAULT ROLE r4 FOR 'o''brien'@'%';
GRANT r1 TO 'dual'@'%'; SET DEFAULT ROLE r1 FOR 'dual'@'%';
GRANT SELECT ON `my_db`.* TO PUBLIC; GRANT SELECT (id) ON shop.t TO PUBLIC;
GRANT PROXY ON 'e'@'%' TO 'never'@'%' WITH GRANT OPTION; GRANT PROXY ON ''@'%' TO 'o''brien'@'%';
"#;

/// What MariaDB does not load by itself: on both servers of a pair.
pub(super) const ED25519_PLUGIN: &str = "INSTALL SONAME 'auth_ed25519';";

/// ed25519, alone and among others: the plugin is in a file of its own.
const MARIADB_ED25519: &str = r#"
CREATE USER 'ed'@'%' IDENTIFIED VIA ed25519 USING PASSWORD('pw-ed');
CREATE USER 'three ways'@'%' IDENTIFIED VIA unix_socket OR mysql_native_password USING PASSWORD('pw-three') OR ed25519 USING PASSWORD('pw-three-ed');
"#;

const MARIADB_LOGINS: &[(&str, &str)] = &[
    ("u'@'%' WITH GRANT OPTION#", "pw-inject2"),
    (
        "n1234567890n1234567890n1234567890n1234567890n1234567890n1234567890n1234567890n1234567890n1234567890n1234567890n1234567890n123456",
        "pw-128",
    ),
    ("locked", "pw-locked"),
    ("all of it", "pw-all"),
    ("expired", "pw-expired"),
    ("never", "pw-never"),
    ("days", "pw-days"),
    ("not at all", "pw-none"),
    ("fraction", "pw-f"),
    ("either", "pw-either"),
    ("ed", "pw-ed"),
];

const MARIADB_KEPT_OUT: &[&str] = &["locked", "all of it", "expired", "not at all"];

/// The driver stops when a server offers it one plugin after the other.
const MARIADB_NOT_CHECKED: &[&str] = &["three ways (ed25519 after another plugin)"];

pub(super) const MARIADB1011: Kind = Kind {
    name: "mariadb1011",
    engine: "mariadb",
    version: "10.11.9",
    answers: "mariadb 10.11.",
    required: true,
    parameters: &[],
    accounts: &[MARIADB, MARIADB_ED25519],
    logins: MARIADB_LOGINS,
    kept_out: MARIADB_KEPT_OUT,
    ed25519: &["ed"],
    not_checked: MARIADB_NOT_CHECKED,
};

pub(super) const MARIADB118: Kind = Kind {
    name: "mariadb118",
    engine: "mariadb",
    version: "11.8.3",
    answers: "mariadb 11.8.",
    required: false,
    parameters: &[],
    accounts: &[MARIADB, MARIADB_ED25519],
    logins: MARIADB_LOGINS,
    kept_out: MARIADB_KEPT_OUT,
    ed25519: &["ed"],
    not_checked: MARIADB_NOT_CHECKED,
};
