//! The corpora of fuzz/, and a bounded number of mutations of them.

#![expect(
    clippy::indexing_slicing,
    reason = "a test that panics has failed, helpers included"
)]

#[path = "../../fuzz/bodies/policies.rs"]
mod bodies;
#[path = "../../fuzz/bodies/mutate.rs"]
mod mutate;

#[test]
fn policies_of_users() {
    mutate::replay("policy", 1_000, bodies::policy);
}

#[test]
fn expressions_of_users() {
    mutate::replay("check", 1_000, bodies::check);
}

#[test]
fn waivers_of_users() {
    mutate::replay("waivers", 2_000, bodies::waivers);
}
