//! Integration tests: the built binary against the sandbox in a second process. One binary, because linking is slow.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, helpers included"
)]

mod accounts;
mod accounts_cli;
mod bad_input;
mod blue_green;
mod clusters;
mod data;
mod dependents;
mod deploy;
mod docs;
mod evidence;
mod fake;
mod fence;
mod first_minutes;
mod fleet;
mod harness;
mod hooks;
mod hostile;
mod journal;
mod judgement;
mod kill_matrix;
mod kill_walk;
mod least_privilege;
mod meddling;
mod nightly;
mod offline;
mod operations;
mod org;
mod packages;
mod pages;
mod policies;
mod preflight;
mod quiesce;
mod reference;
mod remedies;
mod replica_method;
mod reports;
mod resume;
mod scan_edges;
mod scan_input;
mod secrets;
mod shards;
mod shared_state;
mod sql_kills;
mod step_functions;
mod supply_chain;
mod tick;
mod undo;
mod undo_methods;
mod whole_loop;
