//! See fuzz/README.md.
#![no_main]

#[path = "../bodies/policies.rs"]
#[allow(dead_code, reason = "one body of several")]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::policy(data));
