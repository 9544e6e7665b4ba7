//! A scan by shards: its plan, its batches so many at a time, its merge.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::{Case, Figures, Outcome, REGIONS, Server, beside, show_row};

/// Into how many batches, and how many processes read them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) batches: usize,
    pub(super) at_once: usize,
}

pub(super) fn measure(case: Case, shape: Shape, all_kinds: bool) -> Outcome<()> {
    let server = Server::start(case)?;
    let dir = std::env::temp_dir().join(format!("atrest-shards-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let measured = steps(&server, case, shape, all_kinds, &dir);
    std::fs::remove_dir_all(&dir)?;
    measured
}

fn steps(server: &Server, case: Case, shape: Shape, all_kinds: bool, dir: &Path) -> Outcome<()> {
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let (binary, plan, batches) = (beside("atrest")?, path("plan.jsonl"), path("batches/"));
    let command = |words: &[&str]| {
        let words = words.iter().map(|word| (*word).to_owned());
        std::iter::once(binary.clone())
            .chain(words)
            .collect::<Vec<_>>()
    };
    let mut words = vec!["scan", "--org", "--no-progress", "--plan-shards", &plan];
    words.extend(REGIONS.iter().flat_map(|region| ["--region", region]));
    if !all_kinds {
        words.extend([
            "--only-kinds",
            "db-instance",
            "--only",
            "storage-unencrypted",
        ]);
    }
    step(server, case, "plan", || server.run(&command(&words)))?;

    let next = AtomicUsize::new(0);
    let ended = Mutex::new(Vec::new());
    let read = || {
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _worker in 0..shape.at_once {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if index >= shape.batches {
                            break;
                        }
                        let (index, count) = (index.to_string(), shape.batches.to_string());
                        let figures = server.run(&command(&[
                            "scan",
                            "--no-progress",
                            "--shards",
                            &plan,
                            "--shard-index",
                            &index,
                            "--shard-count",
                            &count,
                            "--out",
                            &batches,
                        ]));
                        if let Ok(mut ended) = ended.lock() {
                            ended.push(figures);
                        }
                    }
                });
            }
        });
        let mut all = Figures {
            wall: began.elapsed().as_secs_f64(),
            cpu: 0.0,
            rss_mb: 0.0,
            ended: String::new(),
            said: String::new(),
        };
        let mut ended = ended.lock().map_err(|_poisoned| "a worker has panicked")?;
        for figures in ended.drain(..) {
            let figures = figures?;
            all.cpu += figures.cpu;
            all.rss_mb = all.rss_mb.max(figures.rss_mb);
            all.ended += &figures.ended;
            all.said += &figures.said;
        }
        Ok(all)
    };
    step(server, case, "batches", read)?;

    let folder = batches.trim_end_matches('/');
    let save = path("scan.json");
    let merge = [
        "report",
        "merge",
        "--shard-plan",
        &plan,
        folder,
        "--exit-zero",
    ];
    let merge = [&merge[..], &["--format", "json=/dev/null", "--save", &save]].concat();
    step(server, case, "merge", || server.run(&command(&merge)))?;
    let written = std::fs::metadata(save)?.len();
    println!("{:<10} {:<7} {:>8} MB", case.name, "report", written >> 20);
    Ok(())
}

/// Runs one step and shows what it cost beside what its calls cost in latency alone, 192 of them under way in each process.
fn step(
    server: &Server,
    case: Case,
    name: &str,
    run: impl FnOnce() -> Outcome<Figures>,
) -> Outcome<()> {
    let before = server.calls()?;
    let figures = run()?;
    let calls = server.calls()? - before;
    let bound = (calls as f64 * f64::from(case.latency_ms) / 1000.0 / 192.0).max(0.001);
    eprint!("{}", figures.said);
    show_row(case.name, name, &figures, calls, bound);
    Ok(())
}
