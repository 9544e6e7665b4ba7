//! The wish to begin nothing new, as a file in the run folder: it reaches the runner from any terminal, needs no process
//! id, and outlives whoever asked.

use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock;
use crate::store;

/// Looks until it is dropped.
#[derive(Debug)]
pub(super) struct Watching(JoinHandle<()>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The longest time between two looks.
const LONGEST: Duration = Duration::from_secs(2);

/// Becomes true when somebody has asked for a pause.
pub(super) fn watch(run_dir: &Path, poll: Duration) -> (Watching, watch::Receiver<bool>) {
    let (send, receive) = watch::channel(false);
    let dir = run_dir.to_owned();
    let task = tokio::spawn(async move {
        while !store::is_pause_asked(&dir) {
            clock::sleep(poll.min(LONGEST)).await;
        }
        tracing::warn!(
            "a pause was asked for: what is under way is seen through, nothing new begins"
        );
        send.send_replace(true);
        // The receivers wait for as long as there is a sender.
        send.closed().await;
    });
    (Watching(task), receive)
}
