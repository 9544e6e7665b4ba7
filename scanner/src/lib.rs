//! Reads RDS, KMS, STS and MySQL: inventory, pair diff, accounts; never writes.

pub mod access;
mod answer;
pub mod aws;
pub mod compare;
pub mod error;
#[cfg(test)]
mod hostile;
pub mod inventory;
mod keys;
pub mod limit;
pub mod mysql;
pub mod offline;
pub mod organization;
pub mod packed;
pub mod pair;
pub mod rds;
pub mod regions;
mod xml;
