//! The corpus of fuzz/ for answers, and a bounded number of mutations of it.

use crate::xml;

#[path = "../../fuzz/bodies/xml.rs"]
mod bodies;
#[path = "../../fuzz/bodies/mutate.rs"]
mod mutate;

#[test]
fn answers_of_others() {
    mutate::replay("xml", 2_000, bodies::xml);
}
