//! Plans and runs the migration to encrypted storage.
//!
//! The order of trust: RDS is the truth, the journal remembers what was intended, the plan says what is wanted. See
//! docs/design/0001-cold-migration.md and 0002-journal-and-executor.md.

pub mod accounts;
mod calls;
pub mod clock;
pub mod dependents;
pub mod executor;
pub mod fault;
pub mod fleet;
pub mod hooks;
mod observatory;
pub mod options;
pub mod permissions;
mod permit;
pub mod planner;
pub mod preflight;
mod quiet;
mod requests;
pub mod shared;
mod steps;
pub mod store;
pub mod tick;
pub mod undo;
