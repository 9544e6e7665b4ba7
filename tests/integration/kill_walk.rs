//! Every few points of the kill matrix; `cargo run --example kill_matrix -- --all` walks the whole.
#![expect(
    clippy::print_stdout,
    reason = "what was walked is for whoever reads the output of the test"
)]

use std::collections::BTreeSet;

use std::sync::Arc;

use crate::kill_matrix::tick::TickMatrix;
use crate::kill_matrix::undo::UndoMatrix;
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

#[test]
fn the_migration_of_a_multi_az_cluster_stopped_anywhere_ends_like_one_that_was_not() {
    walk(Kind::MultiAz, 2);
}

#[test]
fn a_migration_tick_by_tick_ends_like_one_in_one_sitting() {
    walk_ticks(Kind::Cold, 2);
}

#[test]
fn a_cluster_tick_by_tick_ends_like_one_in_one_sitting() {
    walk_ticks(Kind::Cluster, 1);
}

/// Walks `each` points of every kind, tick by tick.
fn walk_ticks(kind: Kind, each: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let matrix = Arc::new(
            TickMatrix::new(
                &[
                    "--exact",
                    "kill_walk::child_of_the_kill_matrix",
                    "--ignored",
                ],
                kind,
            )
            .await,
        );
        let all = matrix.cases();
        let kinds: BTreeSet<String> = all.iter().map(|case| case.family()).collect();
        let sample = kinds.iter().flat_map(|kind| {
            let of = || all.iter().copied().filter(|case| case.family() == *kind);
            of().step_by(of().count().div_ceil(each).max(1))
        });
        let walked = matrix.walk(sample.collect()).await;
        let (table, failed) = table(&walked, &all, |case| case.family());
        let (ticks, mutations, bytes) = matrix.size();
        let kind = kind.as_str();
        println!("{kind}: {ticks} ticks, {mutations} mutations, {bytes} bytes at most; {each} points of each kind are walked\n{table}");
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    });
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
        let (table, failed) = table(&walked, &all, |case| case.family().to_owned());
        let (records, mutations) = matrix.size();
        let kind = matrix.kind().as_str();
        println!("{kind}: {records} records, {mutations} mutations; {each} points of each kind are walked\n{table}");
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    });
}

#[test]
fn a_rollback_and_a_cleanup_stopped_anywhere_end_like_ones_that_were_not() {
    undo(Kind::Cold, 2);
}

#[test]
fn undoing_a_blue_green_migration_stopped_anywhere_ends_like_one_that_was_not() {
    undo(Kind::BlueGreen, 1);
}

#[test]
fn undoing_the_migration_of_a_cluster_stopped_anywhere_ends_like_one_that_was_not() {
    undo(Kind::Cluster, 1);
}

/// Walks `each` points of every kind of undoing.
fn undo(kind: Kind, each: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let matrix = Arc::new(
            UndoMatrix::new(
                &[
                    "--exact",
                    "kill_walk::child_of_the_kill_matrix",
                    "--ignored",
                ],
                kind,
            )
            .await,
        );
        let all = matrix.cases();
        let kinds: BTreeSet<String> = all.iter().map(|case| case.family()).collect();
        let sample = kinds.iter().flat_map(|kind| {
            let of = || all.iter().copied().filter(|case| case.family() == *kind);
            of().step_by(of().count().div_ceil(each).max(1))
        });
        let walked = matrix.walk(sample.collect()).await;
        let (table, failed) = table(&walked, &all, |case| case.family());
        println!(
            "{}; {each} points of each kind are walked\n{table}",
            matrix.sizes()
        );
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
