//! Takes lines from the queue and posts them in their order, a batch at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};

use super::Pace;
use super::post::{Answer, Message, Post};
use super::sign::Key;

/// Lines of one message. A receiver that keeps up gets one at a time.
const BATCH: usize = 100;

/// What went in and what arrived.
#[derive(Debug, Default)]
pub(super) struct Counts {
    taken: AtomicU64,
    delivered: AtomicU64,
}

impl Counts {
    pub(super) fn take(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// Taken and delivered.
    pub(super) fn both(&self) -> (u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(&self.taken), of(&self.delivered))
    }
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Taken,
    /// It passes by itself, perhaps.
    Later(String, Option<Duration>),
    /// The same again would be refused again.
    Refused(u16),
    /// 410: nothing is wanted here any more.
    Gone,
}

fn verdict(answer: Result<Answer, String>) -> Verdict {
    let answer = match answer {
        Ok(answer) => answer,
        Err(why) => return Verdict::Later(why, None),
    };
    match answer.status {
        200..=299 => Verdict::Taken,
        410 => Verdict::Gone,
        408 | 425 | 429 | 500..=599 => {
            Verdict::Later(format!("HTTP {}", answer.status), answer.retry_after)
        }
        status => Verdict::Refused(status),
    }
}

/// The loop behind the queue.
pub(super) struct Delivery<P> {
    post: P,
    key: Key,
    pace: Pace,
    counts: Arc<Counts>,
    /// First part of every message id: two sittings of a run must not share ids.
    sitting: i64,
    sent: u64,
}

impl<P: Post> Delivery<P> {
    pub(super) fn new(post: P, key: Key, pace: Pace, counts: Arc<Counts>) -> Self {
        Self {
            post,
            key,
            pace,
            counts,
            sitting: jiff::Timestamp::now().as_millisecond(),
            sent: 0,
        }
    }

    /// Until the queue is empty and closed, which `over` asks for, or the receiver wants nothing any more.
    pub(super) async fn run(mut self, mut lines: mpsc::Receiver<String>, over: Arc<Notify>) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                number = lines.recv_many(&mut batch, BATCH) => {
                    if number == 0 || !self.deliver(&batch).await {
                        return;
                    }
                    batch.clear();
                }
                // What is in the queue is still taken out.
                () = over.notified() => lines.close(),
            }
        }
    }

    /// Whether more is wanted.
    async fn deliver(&mut self, batch: &[String]) -> bool {
        self.sent += 1;
        let body = batch.concat();
        let id = format!("evt_{}_{}", self.sitting, self.sent);
        let began = Instant::now();
        let mut wait = self.pace.first_wait;
        loop {
            let answer = tokio::time::timeout(self.pace.answer, self.attempt(&id, &body)).await;
            let answer = answer.unwrap_or_else(|_elapsed| Err("no answer in time".to_owned()));
            let (why, after) = match verdict(answer) {
                Verdict::Taken => {
                    let number = u64::try_from(batch.len()).unwrap_or(u64::MAX);
                    self.counts.delivered.fetch_add(number, Ordering::Relaxed);
                    return true;
                }
                Verdict::Gone => {
                    tracing::warn!("the receiver of events wants no more of them (HTTP 410)");
                    return false;
                }
                Verdict::Refused(status) => {
                    tracing::warn!(
                        "the receiver of events has refused {} of them: HTTP {status}",
                        batch.len()
                    );
                    return true;
                }
                Verdict::Later(why, after) => (why, after),
            };
            // Full jitter, and never sooner than the receiver asks for within reason.
            let drawn = wait.mul_f64(fastrand::f64());
            let pause = after.map_or(drawn, |after| drawn.max(after.min(self.pace.longest_wait)));
            if began.elapsed() + pause > self.pace.patience {
                tracing::warn!(
                    "{} events are given up, the receiver does not take them: {why}",
                    batch.len()
                );
                return true;
            }
            tracing::info!("events are posted again in {pause:.1?}: {why}");
            tokio::time::sleep(pause).await;
            wait = (wait * 2).min(self.pace.longest_wait);
        }
    }

    /// The id stays the same, so that a receiver can tell what it has already; the time, and with it the signature, is
    /// of the attempt, or a late one would look like a replay.
    async fn attempt(&self, id: &str, body: &str) -> Result<Answer, String> {
        let timestamp = jiff::Timestamp::now().as_second();
        let message = Message {
            signature: self.key.sign(id, timestamp, body),
            id: id.to_owned(),
            timestamp,
            body: body.to_owned(),
        };
        self.post.post(&message).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_may_pass_are_asked_again_and_others_are_not() {
        let of = |status| {
            verdict(Ok(Answer {
                status,
                retry_after: Some(Duration::from_secs(7)),
            }))
        };
        for status in [200, 202, 204] {
            assert_eq!(of(status), Verdict::Taken, "{status}");
        }
        for status in [408, 425, 429, 500, 503, 599] {
            assert_eq!(
                of(status),
                Verdict::Later(format!("HTTP {status}"), Some(Duration::from_secs(7)))
            );
        }
        // A redirect is not followed: it could lead out of the encryption.
        for status in [301, 307, 400, 401, 403, 404, 413] {
            assert_eq!(of(status), Verdict::Refused(status));
        }
        assert_eq!(of(410), Verdict::Gone);
        assert!(matches!(
            verdict(Err("no connection".to_owned())),
            Verdict::Later(_, None)
        ));
    }
}
