//! How long it takes to read and compare the accounts of two servers, beside other ways to do it.
//!
//! ```text
//! cargo run --release --example bench_accounts -- [--engine mariadb|mysql] [--runs N] [ACCOUNTS...]
//! ```
//!
//! Starts two real servers of the sandbox, fills both with accounts (one to three database grants each; 25 accounts
//! differ), and runs each way several times: this tool; `pt-show-grants` on both servers and `diff`; the
//! plain statements through the `mariadb` client, ordered, and `diff`, which is the floor. Every run is a process of its
//! own, so that start, logins, CPU time and memory count. A way whose program is not installed is named as not run.

mod measure;
mod servers;
mod ways;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::measure::Sample;
use crate::servers::Pair;
use crate::ways::Way;

/// What the command line asks for.
struct Options {
    engine: String,
    runs: usize,
    accounts: Vec<usize>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.split_first() {
        Some((word, rest)) if word == measure::WORD => measure::run(rest),
        Some((word, rest)) if word == ways::WORD => ways::read_and_compare(rest),
        _ => options(&arguments).and_then(|options| bench(&options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _closed = writeln!(std::io::stderr(), "bench_accounts: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn options(arguments: &[String]) -> anyhow::Result<Options> {
    let mut options = Options {
        engine: "mariadb".to_owned(),
        runs: 5,
        accounts: Vec::new(),
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--engine" => options.engine = rest.next().context("--engine NAME")?.clone(),
            "--runs" => options.runs = rest.next().context("--runs N")?.parse()?,
            count => options.accounts.push(count.parse().with_context(|| {
                format!("{count:?}: --engine NAME, --runs N and numbers of accounts are known")
            })?),
        }
    }
    anyhow::ensure!(options.runs > 0, "--runs must be at least 1");
    if options.accounts.is_empty() {
        options.accounts = vec![1_000, 10_000, 50_000];
    }
    Ok(options)
}

fn bench(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut out = std::io::stdout().lock();
    for &accounts in &options.accounts {
        let pair = runtime.block_on(Pair::start(&options.engine))?;
        let measured = runtime
            .block_on(pair.fill(accounts))
            .and_then(|()| measure_all(&pair, accounts, options.runs, &mut out));
        runtime.block_on(pair.shutdown())?;
        measured?;
    }
    Ok(())
}

fn measure_all(
    pair: &Pair,
    accounts: usize,
    runs: usize,
    out: &mut impl std::io::Write,
) -> anyhow::Result<()> {
    writeln!(
        out,
        "\n{accounts} accounts on two {} servers, {} differ, {runs} runs: min / median / max",
        pair.found(),
        servers::DIFFERING
    )?;
    writeln!(
        out,
        "{:<42} {:>23} {:>23} {:>8} {:>8}",
        "", "wall s", "CPU s (client)", "MiB", "differ"
    )?;
    for way in Way::all() {
        if let Some(missing) = way.missing_program() {
            writeln!(
                out,
                "{:<42} not run: {missing} is not installed",
                way.name()
            )?;
            continue;
        }
        // Quadratic in the number of accounts: once is enough to see it.
        let runs = if way.is_slow() && accounts > 10_000 {
            1
        } else {
            runs
        };
        let samples = (0..runs)
            .map(|_| way.run(pair))
            .collect::<anyhow::Result<Vec<Sample>>>()?;
        writeln!(
            out,
            "{:<42} {:>23} {:>23} {:>8} {:>8}",
            way.name(),
            spread(&samples, |sample| sample.wall),
            spread(&samples, |sample| sample.cpu),
            samples
                .iter()
                .map(|sample| sample.rss_kib / 1024)
                .max()
                .unwrap_or_default(),
            samples
                .last()
                .map(|sample| sample.said.clone())
                .unwrap_or_default(),
        )?;
        out.flush()?;
    }
    Ok(())
}

fn spread(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> String {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    let at = |position: usize| values.get(position).copied().unwrap_or_default();
    format!(
        "{:.3} / {:.3} / {:.3}",
        at(0),
        at(values.len() / 2),
        at(values.len().saturating_sub(1))
    )
}
