//! Reads RDS, KMS, STS and MySQL: inventory, pair diff, accounts; never writes.

pub mod mysql;
