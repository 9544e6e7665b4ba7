//! Accounts on real servers: read, brought to another server, read again: no difference, and the passwords work.

#![expect(
    clippy::print_stdout,
    reason = "what is not run or not checked is said in the output"
)]

mod fixtures;
mod generated;
mod lab;
mod refused;
mod round_trip;
mod sync;
mod versions;
