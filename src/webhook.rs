//! Posts the events of a run to a URL, signed as Standard Webhooks say (docs/operations.md).
//!
//! A migration never waits for it: events are handed to a queue that is full rather than slow, and what was not
//! delivered is counted and said at the end. The run folder has every event, whatever becomes of them here.

mod delivery;
mod post;
mod sign;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{Notify, mpsc};

use self::delivery::{Counts, Delivery};
use self::post::{Http, Target};
use self::sign::Key;
use crate::cli::EventsArgs;
use crate::exit::ExpectedError;
use crate::progress::Sink;

/// Where the secret is looked for when no file is named.
const SECRET: &str = "ATREST_EVENTS_SECRET";

/// Events that wait for a receiver that is slow or away. A night of fifty migrations has fewer.
const QUEUE: usize = 10_000;

/// How long things may take.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// One request, from the connection to the head of the answer.
    answer: Duration,
    /// The first wait after a failure; it doubles, with full jitter.
    first_wait: Duration,
    /// The longest.
    longest_wait: Duration,
    /// From the first attempt of a batch to its last.
    patience: Duration,
    /// What is left of the queue when the run is over.
    end: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(10),
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
            patience: Duration::from_secs(300),
            end: Duration::from_secs(5),
        }
    }
}

/// A webhook with its queue.
#[derive(Debug)]
pub(crate) struct Webhook {
    /// Name of the receiver's host: the rest of the URL may be a secret.
    host: String,
    queue: mpsc::Sender<String>,
    counts: Arc<Counts>,
    over: Arc<Notify>,
    task: tokio::task::JoinHandle<()>,
    end: Duration,
}

impl Webhook {
    /// The webhook that was asked for. Everything that can be wrong with it is found before the run begins.
    pub(crate) fn of(args: &EventsArgs) -> anyhow::Result<Option<Self>> {
        let Some(url) = &args.events_url else {
            return Ok(None);
        };
        let target = Target::parse(url.expose_secret()).map_err(|what| {
            ExpectedError::usage(
                format!("--events-url (or ATREST_EVENTS_URL) wants {what}"),
                "docs/operations.md says what is posted there; nothing was begun",
            )
        })?;
        let key = key(args.events_secret_file.as_deref())?;
        Ok(Some(Self::start(target, key, Pace::default())))
    }

    fn start(target: Target, key: Key, pace: Pace) -> Self {
        let (queue, lines) = mpsc::channel(QUEUE);
        let counts = Arc::new(Counts::default());
        let over = Arc::new(Notify::new());
        let host = target.host().to_owned();
        let delivery = Delivery::new(Http::new(target), key, pace, Arc::clone(&counts));
        Self {
            host,
            queue,
            counts,
            task: tokio::spawn(delivery.run(lines, Arc::clone(&over))),
            over,
            end: pace.end,
        }
    }

    /// Takes the events: one whole line with each write.
    pub(crate) fn sink(&self) -> Sink {
        Box::new(Lines {
            queue: self.queue.clone(),
            counts: Arc::clone(&self.counts),
        })
    }

    /// The run is over: what is left gets a short while, and what was lost is said.
    pub(crate) async fn end(mut self) {
        self.over.notify_one();
        if tokio::time::timeout(self.end, &mut self.task)
            .await
            .is_err()
        {
            self.task.abort();
        }
        let (taken, delivered) = self.counts.both();
        if delivered < taken {
            tracing::warn!(
                "{} of {taken} events were not delivered to {}; events.jsonl of the run folder has them all",
                taken - delivered,
                self.host
            );
        }
    }
}

/// Hands lines to the queue.
struct Lines {
    queue: mpsc::Sender<String>,
    counts: Arc<Counts>,
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.counts.take();
        // A queue that is full, and a task that has given up: the count tells.
        let _queued = self
            .queue
            .try_send(String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The secret that signs. Unsigned events could be anybody's, so that there must be one.
fn key(file: Option<&Path>) -> anyhow::Result<Key> {
    let wrong = |what: String| {
        ExpectedError::usage(
            what,
            "make one with `openssl rand -hex 32`, for --events-secret-file or ATREST_EVENTS_SECRET (docs/operations.md)",
        )
    };
    let secret = match file {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                wrong(format!(
                    "cannot read the secret in {}: {error}",
                    path.display()
                ))
            })?;
            SecretString::from(text)
        }
        None => match std::env::var(SECRET) {
            Ok(text) => SecretString::from(text),
            Err(_absent) => {
                return Err(wrong(
                    "--events-url is given, and no secret to sign events with".to_owned(),
                ));
            }
        },
    };
    Key::parse(secret.expose_secret().trim()).map_err(|why| wrong(format!("the secret {why}")))
}

#[cfg(test)]
mod tests;
