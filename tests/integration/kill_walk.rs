//! Every few points of the kill matrix; `cargo run --example kill_matrix -- --all` walks the whole.

use std::collections::BTreeSet;

use crate::kill_matrix::{Case, Kind, Matrix, child, table};

/// The process that the walk stops: it starts this test by name.
#[test]
#[ignore = "a process of the kill matrix, which starts it with an order in its environment"]
fn child_of_the_kill_matrix() {
    child::carry_out().unwrap();
}

#[test]
fn a_migration_stopped_anywhere_ends_like_one_that_was_not() {
    walk(Kind::Cold, 6);
}

#[test]
fn a_blue_green_migration_stopped_anywhere_ends_like_one_that_was_not() {
    walk(Kind::BlueGreen, 3);
}

#[test]
fn the_migration_of_a_cluster_stopped_anywhere_ends_like_one_that_was_not() {
    walk(Kind::Cluster, 2);
}

/// Walks `each` points of every kind.
fn walk(kind: Kind, each: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let matrix = Matrix::new(
            &[
                "--exact",
                "kill_walk::child_of_the_kill_matrix",
                "--ignored",
            ],
            kind,
        )
        .await;
        let all = matrix.cases();
        let walked = matrix.walk(sample(&all, each)).await;
        let (table, failed) = table(&walked, &all);
        let (records, mutations) = matrix.size();
        let kind = matrix.kind().as_str();
        println!("{kind}: {records} records, {mutations} mutations; {each} points of each kind are walked\n{table}");
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    });
}

/// The same few of every kind each time, spread over the run.
fn sample(all: &[Case], each: usize) -> Vec<Case> {
    let kinds: BTreeSet<&str> = all.iter().map(|case| case.family()).collect();
    let of = |kind| {
        all.iter()
            .copied()
            .filter(move |case| case.family() == kind)
    };
    kinds
        .into_iter()
        .flat_map(|kind| of(kind).step_by(of(kind).count().div_ceil(each).max(1)))
        .collect()
}
