//! An RDS of your own on loopback: real protocol, real MySQL servers, virtual time.

pub mod engine;
