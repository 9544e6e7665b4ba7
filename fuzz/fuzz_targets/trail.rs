//! See fuzz/README.md.
#![no_main]

#[path = "../bodies/trail.rs"]
mod bodies;
#[path = "../../fixer/src/store/chain.rs"]
#[allow(dead_code, unused_imports, reason = "only the check of a trail is fuzzed")]
mod chain;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::trail(data));
