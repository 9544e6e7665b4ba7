//! Plain types of atrest: no I/O, no async, no AWS.

pub mod account;
pub mod data;
