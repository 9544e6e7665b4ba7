//! Privileges as sets of names, and the levels they are granted at.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::name::{AccountKey, Name};

/// One static privilege: its name in `GRANT`, and its column in `mysql.user` and `mysql.db` without `_priv`.
struct Known {
    name: &'static str,
    column: &'static str,
}

const fn known(name: &'static str, column: &'static str) -> Known {
    Known { name, column }
}

/// Every static privilege of both families. The position up to 39 is MariaDB's own bit in
/// `global_priv.Priv.access` (`sql/privilege.h`); the last ones exist on MySQL 8 only.
const KNOWN: [Known; 42] = [
    known("SELECT", "Select"),
    known("INSERT", "Insert"),
    known("UPDATE", "Update"),
    known("DELETE", "Delete"),
    known("CREATE", "Create"),
    known("DROP", "Drop"),
    known("RELOAD", "Reload"),
    known("SHUTDOWN", "Shutdown"),
    known("PROCESS", "Process"),
    known("FILE", "File"),
    known("GRANT OPTION", "Grant"),
    known("REFERENCES", "References"),
    known("INDEX", "Index"),
    known("ALTER", "Alter"),
    known("SHOW DATABASES", "Show_db"),
    known("SUPER", "Super"),
    known("CREATE TEMPORARY TABLES", "Create_tmp_table"),
    known("LOCK TABLES", "Lock_tables"),
    known("EXECUTE", "Execute"),
    known("REPLICATION SLAVE", "Repl_slave"),
    known("REPLICATION CLIENT", "Repl_client"),
    known("CREATE VIEW", "Create_view"),
    known("SHOW VIEW", "Show_view"),
    known("CREATE ROUTINE", "Create_routine"),
    known("ALTER ROUTINE", "Alter_routine"),
    known("CREATE USER", "Create_user"),
    known("EVENT", "Event"),
    known("TRIGGER", "Trigger"),
    known("CREATE TABLESPACE", "Create_tablespace"),
    known("DELETE HISTORY", "Delete_history"),
    known("SET USER", ""),
    known("FEDERATED ADMIN", ""),
    known("CONNECTION ADMIN", ""),
    known("READ_ONLY ADMIN", ""),
    known("REPLICATION SLAVE ADMIN", ""),
    known("REPLICATION MASTER ADMIN", ""),
    known("BINLOG ADMIN", ""),
    known("BINLOG REPLAY", ""),
    known("SLAVE MONITOR", ""),
    known("SHOW CREATE ROUTINE", "Show_create_routine"),
    known("CREATE ROLE", "Create_role"),
    known("DROP ROLE", "Drop_role"),
];

/// A set of static privileges, `GRANT OPTION` among them.
///
/// Serialized as a list of the names used in `GRANT`. A bit set inside: a fleet's servers hold hundreds of
/// thousands of grants.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct PrivilegeSet(u64);

impl PrivilegeSet {
    /// No privilege.
    pub const EMPTY: Self = Self(0);
    /// `GRANT OPTION` alone.
    pub const GRANT_OPTION: Self = Self(1 << 10);
    /// Every privilege that has a name here.
    pub(super) const ALL: Self = Self((1 << KNOWN.len()) - 1);
    /// How many bits of `global_priv.Priv.access` have a name.
    const MARIADB_BITS: u32 = 40;

    /// The set of one privilege, by its name in `GRANT` in any case. `None` when no server has it.
    ///
    /// MariaDB's newer names for old privileges are understood: `BINLOG MONITOR`, `REPLICATION REPLICA`,
    /// `REPLICA MONITOR`.
    pub fn named(name: &str) -> Option<Self> {
        let name = match name.to_ascii_uppercase().as_str() {
            "BINLOG MONITOR" => "REPLICATION CLIENT".to_owned(),
            "REPLICATION REPLICA" => "REPLICATION SLAVE".to_owned(),
            "REPLICATION REPLICA ADMIN" => "REPLICATION SLAVE ADMIN".to_owned(),
            "REPLICA MONITOR" => "SLAVE MONITOR".to_owned(),
            "GRANT" => "GRANT OPTION".to_owned(),
            "DELETE VERSIONING ROWS" => "DELETE HISTORY".to_owned(),
            other => other.to_owned(),
        };
        KNOWN
            .iter()
            .position(|known| known.name == name)
            .map(|bit| Self(1 << bit))
    }

    /// The set of the privilege a `*_priv` column stands for, by the column's full name in any case.
    pub fn of_column(column: &str) -> Option<Self> {
        let stem = column.get(..column.len().checked_sub(5)?)?;
        column
            .to_ascii_lowercase()
            .ends_with("_priv")
            .then_some(())?;
        KNOWN
            .iter()
            .position(|known| !known.column.is_empty() && known.column.eq_ignore_ascii_case(stem))
            .map(|bit| Self(1 << bit))
    }

    /// The members of a `SET` column such as `Table_priv`, and the members that have no known name.
    pub fn of_set_column(value: &str) -> (Self, Vec<String>) {
        let mut set = Self::EMPTY;
        let mut unknown = Vec::new();
        for member in value.split(',').filter(|member| !member.is_empty()) {
            match Self::named(member) {
                Some(privilege) => set = set.union(privilege),
                None => unknown.push(member.to_owned()),
            }
        }
        (set, unknown)
    }

    /// The set in MariaDB's `access` number, and the bits in it that have no name here.
    ///
    /// All bits set is how the installation scripts write "everything there is".
    pub fn of_mariadb_access(access: u64, server: Self) -> (Self, u64) {
        if access == u64::MAX {
            return (server, 0);
        }
        let named = (1 << Self::MARIADB_BITS) - 1;
        (Self(access & named), access & !named)
    }

    /// What a MariaDB server of this version can grant globally.
    pub fn mariadb_global(has_show_create_routine: bool) -> Self {
        let bits = if has_show_create_routine {
            Self::MARIADB_BITS
        } else {
            Self::MARIADB_BITS - 1
        };
        Self((1 << bits) - 1)
    }

    /// Whether nothing is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `other` is part of this set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What is in either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is here and not in `other`.
    #[must_use]
    pub fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Each member as a set of its own, in the order of the names.
    pub(super) fn singles(self) -> impl Iterator<Item = Self> {
        (0..KNOWN.len())
            .map(|bit| Self(1 << bit))
            .filter(move |one| self.contains(*one))
    }

    /// The names, in a fixed order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        KNOWN
            .iter()
            .enumerate()
            .filter(move |(bit, _)| self.0 >> bit & 1 == 1)
            .map(|(_, known)| known.name)
    }

    /// The names without `GRANT OPTION`, which `GRANT` writes in another place.
    pub fn names_without_grant_option(self) -> impl Iterator<Item = &'static str> {
        self.difference(Self::GRANT_OPTION).names()
    }
}

impl fmt::Debug for PrivilegeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Serialize for PrivilegeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

impl JsonSchema for PrivilegeSet {
    fn schema_name() -> Cow<'static, str> {
        "PrivilegeSet".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Privileges by their names in `GRANT`.",
            "type": "array",
            "items": {"type": "string"},
            "uniqueItems": true
        })
    }
}

impl<'de> Deserialize<'de> for PrivilegeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut set = Self::EMPTY;
        for name in Vec::<String>::deserialize(deserializer)? {
            let privilege = Self::named(&name)
                .ok_or_else(|| de::Error::custom(format!("unknown privilege {name}")))?;
            set = set.union(privilege);
        }
        Ok(set)
    }
}

/// What kind of routine a grant is on. A function and a procedure of one name are different things.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum RoutineKind {
    /// `FUNCTION`.
    Function,
    /// `PROCEDURE`.
    Procedure,
    /// `PACKAGE`, MariaDB in Oracle mode.
    Package,
    /// `PACKAGE BODY`, MariaDB in Oracle mode.
    PackageBody,
}

impl RoutineKind {
    /// The word in SQL and in `procs_priv.Routine_type`.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Function => "FUNCTION",
            Self::Procedure => "PROCEDURE",
            Self::Package => "PACKAGE",
            Self::PackageBody => "PACKAGE BODY",
        }
    }

    /// From `procs_priv.Routine_type`.
    pub fn from_sql(word: &str) -> Option<Self> {
        [
            Self::Function,
            Self::Procedure,
            Self::Package,
            Self::PackageBody,
        ]
        .into_iter()
        .find(|kind| kind.sql() == word)
    }
}

/// What privileges are granted on.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(tag = "level", rename_all = "kebab-case")]
pub enum Level {
    /// `*.*`, static and dynamic privileges.
    Global,
    /// A database or a pattern of databases, as stored: `my_db` is a pattern, `my\_db` is not.
    Database {
        /// The stored name.
        database: Name,
    },
    /// A table.
    Table {
        /// The database.
        database: Name,
        /// The table or view.
        table: Name,
    },
    /// A column.
    Column {
        /// The database.
        database: Name,
        /// The table or view.
        table: Name,
        /// The column.
        column: Name,
    },
    /// A stored routine.
    Routine {
        /// Function, procedure or package.
        kind: RoutineKind,
        /// The database.
        database: Name,
        /// The routine.
        routine: Name,
    },
    /// The right to act as another account.
    Proxy {
        /// That account.
        proxied: AccountKey,
    },
    /// Membership in a role; `ADMIN OPTION` is the right to hand it on.
    Role {
        /// The role.
        role: AccountKey,
    },
    /// Privileges taken away from a global grant for one database (`partial_revokes`).
    Restriction {
        /// The database.
        database: Name,
    },
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn id(name: &Name) -> impl fmt::Display {
            name.within('`')
        }
        match self {
            Self::Global => f.write_str("*.*"),
            Self::Database { database } => write!(f, "{}.*", id(database)),
            Self::Table { database, table } => write!(f, "{}.{}", id(database), id(table)),
            Self::Column {
                database,
                table,
                column,
            } => write!(f, "{}.{} ({})", id(database), id(table), id(column)),
            Self::Routine {
                kind,
                database,
                routine,
            } => {
                write!(
                    f,
                    "{} {}.{}",
                    kind.sql().to_ascii_lowercase(),
                    id(database),
                    id(routine)
                )
            }
            Self::Proxy { proxied } => write!(f, "proxy {proxied}"),
            Self::Role { role } => write!(f, "role {role}"),
            Self::Restriction { database } => write!(f, "revoked on {}.*", id(database)),
        }
    }
}
