//! Progress of a run on standard error, and the event log in the run folder.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use atrest_fixer::executor::Reporter;
use atrest_model::event::RunEvent;
use atrest_reports::{EventLines, Style};

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
        if let (Some(log), Ok(mut line)) = (&self.log, serde_json::to_string(event)) {
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
