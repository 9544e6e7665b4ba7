//! See fuzz/README.md.
#![no_main]

#[path = "../bodies/xml.rs"]
mod bodies;
#[path = "../../scanner/src/xml.rs"]
#[allow(dead_code, reason = "the tests of it are elsewhere")]
mod xml;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::xml(data));
