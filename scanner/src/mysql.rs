//! Reads a MySQL or MariaDB server: accounts, connections, replication, data. Never writes.
//!
//! Every wait has a deadline: a server that hangs is an error that names it. TLS with verification is the
//! default, and passwords never appear in an error.

mod accounts;
mod connection;
mod data;
mod error;
mod quiet;
mod replication;
mod server;
mod state;
mod target;

pub use accounts::read_accounts;
pub use connection::{Connection, NamedRow, Warning, connect};
pub use data::{
    DataComparison, DataOptions, DataProgress, DifferingRange, KeepNothing, Keeper, Login, Sums,
    TableComparison, TableName, TableProgress, VariableDifference, compare_data,
    variable_differences,
};
pub use error::{MysqlError, TlsProblem};
pub use quiet::{
    Activity, OpenTransaction, Origin, WriteMark, Writes, Written, activity, running_events,
    write_mark, writes_since,
};
pub use replication::{
    SourceFacts, binary_logs, bytes_between, gtid_applied, gtid_at, gtid_mode_is_on,
    replication_account_exists, source_facts,
};
pub use server::{ServerFacts, TableList, server_facts};
use state::statement_kind;
pub use state::{
    BinlogPosition, ClientConnection, ConnectionKind, ReplicationStatus, binlog_position,
    client_connections, gtid_set, replication_status, show_configuration, uptime, variables,
};
pub use target::{InvalidTarget, Target, Tls};
