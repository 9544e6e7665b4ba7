//! Reads RDS, KMS, STS and MySQL: inventory, pair diff, accounts; never writes.

pub mod aws;
pub mod error;
pub mod inventory;
pub mod pair;
pub mod rds;
mod xml;
