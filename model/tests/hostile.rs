//! The corpora of fuzz/, and a bounded number of mutations of them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, helpers included"
)]

#[path = "../../fuzz/bodies/model.rs"]
mod bodies;
#[path = "../../fuzz/bodies/mutate.rs"]
mod mutate;
#[path = "accounts/sql.rs"]
mod reader;

#[test]
fn plans_of_others() {
    mutate::replay("plan", 500, bodies::plan);
}

#[test]
fn documents_of_others() {
    mutate::replay("document", 2_000, bodies::document);
}

#[test]
fn whatever_is_quoted_is_read_back() {
    mutate::replay("sql", 5_000, bodies::sql);
}

#[test]
fn names_of_others() {
    mutate::replay("names", 5_000, bodies::names);
}
