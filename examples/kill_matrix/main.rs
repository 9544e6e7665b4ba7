//! Walks the kill matrix: a migration on the sandbox's control plane, stopped everywhere.
//!
//! `cargo run --example kill_matrix -- --all` walks every point, `--every N` every Nth; `--executor tick` before it walks
//! a migration that goes tick by tick. Prints a table; ends with 1 when a point failed.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program that panics has failed, helpers included"
)]

use std::process::ExitCode;
use std::time::Instant;

#[path = "../../tests/integration/kill_matrix/mod.rs"]
mod kill_matrix;

use kill_matrix::tick::TickMatrix;
use kill_matrix::undo::UndoMatrix;
use kill_matrix::{Kind, Matrix, child, table};

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let ticks = args.starts_with(&["--executor".to_owned(), "tick".to_owned()]);
    if ticks {
        args.drain(..2);
    }
    let every = match args
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["--child"] => {
            child::carry_out().unwrap();
            return ExitCode::SUCCESS;
        }
        ["--all"] => 1,
        ["--every", number] => number.parse().unwrap(),
        _ => {
            println!("[--executor tick] --all, or --every N");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if ticks {
        return runtime.block_on(walk_ticks(every));
    }
    runtime.block_on(async {
        let began = Instant::now();
        let mut failed = Vec::new();
        for kind in [Kind::Cold, Kind::BlueGreen, Kind::Cluster, Kind::MultiAz] {
            let matrix = Matrix::new(&["--child"], kind).await;
            let all = matrix.cases();
            let walked = matrix
                .walk(all.iter().copied().step_by(every).collect())
                .await;
            let (text, broken) = table(&walked, &all, |case| case.family().to_owned());
            let (records, mutations) = matrix.size();
            let kind = matrix.kind().as_str();
            println!("{kind}: {records} records, {mutations} mutations");
            print!("{text}");
            failed.extend(broken);
        }
        for kind in [Kind::Cold, Kind::BlueGreen, Kind::Cluster] {
            let matrix = std::sync::Arc::new(UndoMatrix::new(&["--child"], kind).await);
            let all = matrix.cases();
            let walked = matrix
                .walk(all.iter().copied().step_by(every).collect())
                .await;
            let (text, more) = table(&walked, &all, |case| case.family());
            println!("{}", matrix.sizes());
            print!("{text}");
            failed.extend(more);
        }
        println!("{} s", began.elapsed().as_secs());
        for line in &failed {
            println!("{line}");
        }
        if failed.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    })
}

/// A migration tick by tick.
async fn walk_ticks(every: usize) -> ExitCode {
    let began = Instant::now();
    let mut failed = Vec::new();
    for kind in [Kind::Cold, Kind::BlueGreen, Kind::Cluster] {
        let matrix = std::sync::Arc::new(TickMatrix::new(&["--child"], kind).await);
        let all = matrix.cases();
        let walked = matrix
            .walk(all.iter().copied().step_by(every).collect())
            .await;
        let (text, broken) = table(&walked, &all, |case| case.family());
        let (ticks, mutations, bytes) = matrix.size();
        println!(
            "{}, tick by tick: {ticks} ticks, {mutations} mutations, {bytes} bytes at most",
            kind.as_str()
        );
        print!("{text}");
        failed.extend(broken);
    }
    println!("{} s", began.elapsed().as_secs());
    for line in &failed {
        println!("{line}");
    }
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
