//! Accounts of a MySQL or MariaDB server: what the privilege tables hold, how two servers differ, and
//! the statements that make one equal to the other.
//!
//! Everything here is plain data and pure functions; `atrest-scanner` reads the tables, `atrest-fixer`
//! runs the statements. The model rests on the privilege tables and never on the text of `SHOW GRANTS`
//! or `SHOW CREATE USER`: that text leaves out password history, dual passwords and (on 5.6) plugins, and
//! MySQL up to 5.7 does not escape names in it, so replaying it is an injection hole.
//!
//! Rows are keyed by tuples of names, never by joined strings, and a password hash is a secret
//! everywhere: it can be attacked offline, and a native hash can be replayed.

mod credential;
mod diff;
mod grant;
mod grantor;
mod name;
mod privilege;
mod render;
mod reserved;
mod server;
mod sql;
mod types;

pub use credential::Credential;
pub use diff::{
    AccountChange, AccountsDiff, Attribute, DiffOptions, DiffWarning, SettingDifference, Side,
    SidedOrphan, SidedUnread, diff,
};
pub use name::{AccountKey, InvalidEscape, Name};
pub use privilege::{Level, PrivilegeSet, RoutineKind};
pub use render::{NotTransferable, RenderRefusal, Rendering, Scope, Subject, render};
pub use reserved::{Reservation, reservation};
pub use server::{InvalidVersion, ServerFlavor, ServerVersion};
pub use sql::{Statement, StatementStep, quote_identifier, quote_literal};
pub use types::{
    Account, Accounts, Authentication, FailedLogin, Grants, Limits, LockTime, Orphan, Part,
    PasswordLifetime, PasswordPolicy, Settings, TableGrant, TlsRequirement, Unread,
};
