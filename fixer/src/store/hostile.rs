//! The corpus of fuzz/ for audit trails, and a bounded number of mutations of it.

#![expect(
    clippy::indexing_slicing,
    reason = "a test that panics has failed, helpers included"
)]

use super::chain;

#[path = "../../../fuzz/bodies/trail.rs"]
mod bodies;
#[path = "../../../fuzz/bodies/mutate.rs"]
mod mutate;

#[test]
fn trails_of_others() {
    mutate::replay("trail", 500, bodies::trail);
}
