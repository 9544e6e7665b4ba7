//! See fuzz/README.md.
#![no_main]

#[path = "../bodies/model.rs"]
#[allow(dead_code, reason = "one body of several")]
mod bodies;
#[path = "../../model/tests/accounts/sql.rs"]
#[allow(dead_code, reason = "one body of several")]
mod reader;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::plan(data));
