//! Progress of a run on standard error, and its events as JSON Lines.

use std::fs::File;
use std::io::{IsTerminal as _, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atrest_fixer::executor::Reporter;
use atrest_model::event::{EventLine, RunEvent, SCHEMA_VERSION};
use atrest_model::plan::Plan;
use atrest_reports::{EventLines, RunView, StepHistory, StepTime, Style};
use atrest_scanner::limit::Tally;

use crate::screen::{self, Stream};
use crate::terminal;

/// Where the events of a run go beside its folder.
pub(crate) type Sink = Box<dyn Write + Send>;

/// What a run is shown with.
pub(crate) struct Shape<'a> {
    /// What is carried out.
    pub(crate) plan: &'a Plan,
    /// The run folder.
    pub(crate) dir: &'a Path,
    /// What the journal has of earlier sittings.
    pub(crate) steps: Vec<StepTime>,
    /// How long steps took in earlier runs.
    pub(crate) history: StepHistory,
    /// Style of standard error.
    pub(crate) style: Style,
    /// Print nothing.
    pub(crate) quiet: bool,
    /// Where else the events go.
    pub(crate) events: Vec<Sink>,
}

/// Shows a run, and writes each event as a JSON line to `events.jsonl` of its folder and to whoever wants them.
///
/// On a terminal a table is written over, and below what has been done; elsewhere each event is a line.
pub(crate) struct Progress {
    run: String,
    shown: Arc<Mutex<Seen>>,
    log: Option<Mutex<File>>,
    events: Mutex<Vec<Sink>>,
    live: Option<tokio::task::JoinHandle<()>>,
}

struct Seen {
    lines: EventLines,
    view: RunView,
    quiet: bool,
    is_live: bool,
}

impl Progress {
    /// Begins to show it. The event log is best effort: the journal is what counts.
    pub(crate) fn begin(shape: Shape<'_>) -> Self {
        use std::os::unix::fs::OpenOptionsExt as _;
        let log = File::options()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(shape.dir.join("events.jsonl"))
            .ok()
            .map(Mutex::new);
        let is_live = !shape.quiet && terminal::stderr_is_live();
        let mut view = RunView::new(shape.plan, shape.history);
        view.reconcile(&shape.steps);
        let shown = Arc::new(Mutex::new(Seen {
            lines: EventLines::new(if is_live {
                frame(shape.style).0
            } else {
                shape.style
            }),
            view,
            quiet: shape.quiet,
            is_live,
        }));
        Self {
            run: shape.plan.run.to_string(),
            live: is_live.then(|| tokio::spawn(draw(Arc::clone(&shown), shape.style))),
            shown,
            log,
            events: Mutex::new(shape.events),
        }
    }

    /// Takes the table away. What is said after this is said in its place.
    pub(crate) fn end(&self) {
        if let Some(live) = &self.live {
            live.abort();
            locked(&self.shown).is_live = false;
            screen::clear();
        }
    }

    fn write(&self, event: &RunEvent, at: jiff::Timestamp) {
        let line = EventLine {
            schema_version: SCHEMA_VERSION,
            run: &self.run,
            at,
            event,
        };
        let Ok(mut line) = serde_json::to_string(&line) else {
            return;
        };
        line.push('\n');
        if let Some(log) = &self.log {
            // A full disk must not stop a migration; the journal will complain where it matters.
            let _written = locked(log).write_all(line.as_bytes());
        }
        // One that fails is left out from then on; the others, and the run, go on.
        locked(&self.events).retain_mut(|sink| {
            let Err(error) = sink.write_all(line.as_bytes()).and_then(|()| sink.flush()) else {
                return true;
            };
            if error.kind() != std::io::ErrorKind::BrokenPipe {
                tracing::warn!("events are not written any more, the run goes on: {error}");
            }
            false
        });
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

impl Reporter for Progress {
    fn event(&self, event: &RunEvent) {
        let at = jiff::Timestamp::now();
        self.write(event, at);
        let mut shown = locked(&self.shown);
        let shown = &mut *shown;
        shown.view.apply(at, event);
        if shown.quiet {
            return;
        }
        // The table shows what is under way; what is over scrolls away above it.
        let over = matches!(
            event,
            RunEvent::StepDone { .. } | RunEvent::Retrying { .. } | RunEvent::MigrationEnded { .. }
        );
        if let Some(line) = shown.lines.line_in(event, &shown.view)
            && (over || !shown.is_live)
        {
            screen::say(Stream::Stderr, &format!("{line}\n"));
        }
    }
}

fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Draws the table until it is aborted.
async fn draw(shown: Arc<Mutex<Seen>>, style: Style) {
    let mut beat = tokio::time::interval(FRAME);
    loop {
        beat.tick().await;
        let shown = locked(&shown);
        if shown.is_live {
            let (style, rows) = frame(style);
            let lines = shown.view.table(jiff::Timestamp::now(), &style, rows);
            screen::show(Stream::Stderr, lines);
        }
    }
}

/// The style for the terminal as wide as it is now, and how many lines a table may have. The last column is left free:
/// some terminals begin a new line after it.
pub(crate) fn frame(style: Style) -> (Style, usize) {
    let (columns, lines) = terminal::size().unwrap_or((100, 24));
    let style = Style {
        width: Some(columns.saturating_sub(1).max(20)),
        ..style
    };
    (style, usize::from(lines).saturating_sub(3).max(4))
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
                // Not through a filter of colours: it would take the control sequence away too.
                let mut stderr = std::io::stderr();
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
            let _written = write!(std::io::stderr(), "{WIPE}");
        }
    }
}
