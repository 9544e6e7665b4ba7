//! Accounts on real servers: read, brought to another server, read again: no difference, and the passwords work.

mod fixtures;
mod generated;
mod lab;
mod refused;
mod round_trip;
mod sync;
mod versions;
