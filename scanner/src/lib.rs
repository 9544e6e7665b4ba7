//! Reads RDS, KMS, STS and MySQL: inventory, pair diff, accounts; never writes.

pub mod access;
pub mod aws;
pub mod compare;
pub mod error;
pub mod inventory;
mod keys;
pub mod mysql;
pub mod offline;
pub mod pair;
pub mod rds;
mod xml;
