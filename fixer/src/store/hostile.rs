//! The corpus of fuzz/ for audit trails, and a bounded number of mutations of it.

use super::chain;

#[path = "../../../fuzz/bodies/trail.rs"]
mod bodies;
#[path = "../../../fuzz/bodies/mutate.rs"]
mod mutate;

#[test]
fn trails_of_others() {
    mutate::replay("trail", 500, bodies::trail);
}
