//! `atrest status RUN --watch`: follows a run from beside its runner, and ends with it.
//!
//! The journal is read, which is the truth, and the event log of the run folder, which says what is seen meanwhile.

use std::path::Path;
use std::time::Duration;

use atrest_fixer::store::{self, RunStore, StoreError};
use atrest_reports::{RunView, StepHistory, Style};

use crate::commands::{common, durations, report};
use crate::exit::{Exit, ExpectedError};
use crate::progress::frame;
use crate::screen::{self, Stream};
use crate::terminal;

/// How the run is seen at one moment, and by whom it is held.
struct Look {
    view: RunView,
    holder: Option<store::Holder>,
}

pub(super) async fn watch(state_dir: &Path, run: &str, every: Duration) -> anyhow::Result<Exit> {
    let history = durations::of_state(state_dir);
    let style = common::stdout_style();
    let live = terminal::stdout_is_live();
    let mut beat = tokio::time::interval(every);
    let mut before: Option<RunView> = None;
    loop {
        beat.tick().await;
        let look = look(state_dir, run, &history).map_err(|e| ExpectedError::store(&e))?;
        let now = jiff::Timestamp::now();
        if live {
            let (style, rows) = frame(style);
            screen::show(Stream::Stdout, look.view.table(now, &style, rows));
        } else {
            say(&look.view.changes(before.as_ref(), now, &style))?;
        }
        if look.holder.is_none() {
            return end(state_dir, run, &look.view, live, style);
        }
        before = Some(look.view);
    }
}

/// Who holds the run is asked first: what a runner wrote before it ended is seen then.
fn look(state_dir: &Path, run: &str, history: &StepHistory) -> Result<Look, StoreError> {
    let holder = store::holder(state_dir, run)?;
    let store = RunStore::open_to_read(state_dir, run)?;
    let entries = store.entries()?;
    let mut view = RunView::new(&report::present(&store), history.clone());
    for (at, event) in report::events(store.dir()) {
        view.apply(at, &event);
    }
    view.reconcile(&report::step_times(&entries));
    Ok(Look { view, holder })
}

/// The whole table once more, and why there is nothing more to follow.
fn end(
    state_dir: &Path,
    run: &str,
    view: &RunView,
    live: bool,
    style: Style,
) -> anyhow::Result<Exit> {
    let now = jiff::Timestamp::now();
    if live {
        screen::clear();
        let (style, _) = frame(style);
        say(&view.table(now, &style, usize::MAX))?;
    } else {
        say(&[view.headline(now)])?;
    }
    let store =
        RunStore::open_to_read(state_dir, run).map_err(|error| ExpectedError::store(&error))?;
    let why = if view.is_done() {
        format!("run {run} has ended: everything is done")
    } else if view.has_ended() {
        format!("run {run} has ended, not all of it done; go on with `atrest fix --resume {run}`")
    } else if store.entries().is_ok_and(|entries| entries.is_empty()) {
        format!(
            "no runner holds run {run}, and nothing was done yet; begin with `atrest fix --resume {run}`"
        )
    } else {
        format!(
            "no runner holds run {run} any more: it was ended without a word; go on with `atrest fix --resume {run}`"
        )
    };
    say(&[why])?;
    Ok(Exit::Ok)
}

fn say(lines: &[String]) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut stdout = std::io::stdout().lock();
    for line in lines {
        writeln!(stdout, "{line}")?;
    }
    stdout.flush()?;
    Ok(())
}
