//! Progress of a run on standard error, and the event log in the run folder.

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use atrest_fixer::executor::Reporter;
use atrest_model::event::RunEvent;
use atrest_reports::{EventLines, Style};
use atrest_scanner::limit::Tally;

/// A line of the event log: the members of the event, and when it was.
#[derive(Debug, serde::Serialize)]
struct Timed<'a> {
    at: jiff::Timestamp,
    #[serde(flatten)]
    event: &'a RunEvent,
}

/// Prints one line an event, and appends each event as a JSON line to `events.jsonl`.
#[derive(Debug)]
pub(crate) struct Progress {
    lines: Mutex<EventLines>,
    quiet: bool,
    log: Option<Mutex<File>>,
}

impl Progress {
    /// `quiet` prints nothing. The event log is best effort: the journal is what counts.
    pub(crate) fn new(style: Style, quiet: bool, run_dir: Option<&Path>) -> Self {
        use std::os::unix::fs::OpenOptionsExt as _;
        let open = |dir: &Path| {
            File::options()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(dir.join("events.jsonl"))
                .ok()
                .map(Mutex::new)
        };
        Self {
            lines: Mutex::new(EventLines::new(style)),
            quiet,
            log: run_dir.and_then(open),
        }
    }
}

impl Reporter for Progress {
    fn event(&self, event: &RunEvent) {
        let timed = Timed {
            at: jiff::Timestamp::now(),
            event,
        };
        if let (Some(log), Ok(mut line)) = (&self.log, serde_json::to_string(&timed)) {
            line.push('\n');
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            // A full disk must not stop a migration; the journal will complain where it matters.
            let _written = log.write_all(line.as_bytes());
        }
        if self.quiet {
            return;
        }
        let line = self
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .line(event);
        if let Some(line) = line {
            let _written = writeln!(anstream::stderr(), "{line}");
        }
    }
}

/// Progress of a scan on standard error: one line that is written over on a terminal, a line now and then elsewhere.
#[derive(Debug, Default)]
pub(crate) struct ScanProgress {
    accounts: AtomicUsize,
    accounts_done: AtomicUsize,
    regions: AtomicUsize,
    regions_done: AtomicUsize,
    findings: AtomicUsize,
}

/// How often the line of a terminal is written, and how often a line of its own elsewhere.
const FRAME: Duration = Duration::from_millis(200);
const HEARTBEAT: Duration = Duration::from_secs(10);

impl ScanProgress {
    pub(crate) fn accounts_found(&self, number: usize) {
        self.accounts.fetch_add(number, Ordering::Relaxed);
    }

    pub(crate) fn account_done(&self) {
        self.accounts_done.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn regions_found(&self, number: usize) {
        self.regions.fetch_add(number, Ordering::Relaxed);
    }

    pub(crate) fn region_done(&self) {
        self.regions_done.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn findings(&self, number: usize) {
        self.findings.fetch_add(number, Ordering::Relaxed);
    }

    /// One line about now.
    pub(crate) fn line(&self, tally: &Tally) -> String {
        let of = |number: &AtomicUsize| number.load(Ordering::Relaxed);
        format!(
            "accounts {}/{}, regions {}/{}, {} calls, {} findings, {} throttled",
            of(&self.accounts_done),
            of(&self.accounts),
            of(&self.regions_done),
            of(&self.regions),
            tally.calls(),
            of(&self.findings),
            tally.throttled()
        )
    }

    /// Shows it until the result is dropped.
    pub(crate) fn show(self: &Arc<Self>, tally: &Tally) -> Shown {
        let (progress, tally) = (Arc::clone(self), tally.clone());
        let terminal = std::io::stderr().is_terminal();
        let task = tokio::spawn(async move {
            let mut beat = tokio::time::interval(if terminal { FRAME } else { HEARTBEAT });
            // The first tick is at once, when there is nothing to say yet.
            beat.tick().await;
            loop {
                beat.tick().await;
                let line = progress.line(&tally);
                let mut stderr = anstream::stderr();
                let _written = if terminal {
                    write!(stderr, "{WIPE}scanning: {line}").and_then(|()| stderr.flush())
                } else {
                    writeln!(stderr, "scanning: {line}")
                };
            }
        });
        Shown { task, terminal }
    }
}

/// To the start of the line, and nothing left on it.
const WIPE: &str = "\r\x1b[2K";

/// The line on the terminal; gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Shown {
    task: tokio::task::JoinHandle<()>,
    terminal: bool,
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.task.abort();
        if self.terminal {
            let _written = write!(anstream::stderr(), "{WIPE}");
        }
    }
}
