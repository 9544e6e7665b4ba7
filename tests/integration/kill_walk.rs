//! Every few points of the kill matrix; `cargo run --example kill_matrix -- --all` walks the whole.

use crate::kill_matrix::{Matrix, child, table};

/// The process that the walk stops: it starts this test by name.
#[test]
#[ignore = "a process of the kill matrix, which starts it with an order in its environment"]
fn child_of_the_kill_matrix() {
    child::carry_out().unwrap();
}

#[test]
fn a_migration_stopped_anywhere_ends_like_one_that_was_not() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let matrix = Matrix::new(&[
            "--exact",
            "kill_walk::child_of_the_kill_matrix",
            "--ignored",
        ])
        .await;
        let all = matrix.cases();
        // A stride that shares no factor with the pattern of the list takes points of every kind.
        let sample = all.iter().copied().step_by(19).collect();
        let walked = matrix.walk(sample).await;
        let (table, failed) = table(&walked, &all);
        let (records, mutations) = matrix.size();
        println!("{records} records, {mutations} mutations; every 19th point is walked\n{table}");
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    });
}
