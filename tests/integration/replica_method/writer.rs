//! A client that writes through a migration and remembers what it was told is done.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder};

/// Longest wait for one transaction or one login: the server may be gone in the middle of it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Transactions a second: four statements each.
const PACE: Duration = Duration::from_millis(6);

/// Where and as whom.
#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: String,
}

impl Login {
    pub(super) async fn open(&self) -> mysql_async::Result<Conn> {
        let opts = OptsBuilder::default()
            .ip_or_hostname(self.host.clone())
            .tcp_port(self.port)
            .user(Some(self.user.clone()))
            .pass(Some(self.password.clone()))
            .prefer_socket(false);
        Conn::new(opts).await
    }

    /// One statement.
    pub(super) fn run(&self, statement: &str) {
        runtime().block_on(async {
            let mut conn = self.open().await.unwrap();
            conn.query_drop(statement).await.unwrap();
            conn.disconnect().await.unwrap();
        });
    }

    /// Rows of one statement, by a runtime of its own.
    pub(super) fn rows<R>(&self, statement: &str) -> Vec<R>
    where
        R: mysql_async::prelude::FromRow + Send + 'static,
    {
        runtime().block_on(async {
            let mut conn = self.open().await.unwrap();
            let rows = conn.query(statement).await.unwrap();
            conn.disconnect().await.unwrap();
            rows
        })
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// What a writer knows at its end.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Numbers of transactions whose commit was acknowledged.
    pub(super) acknowledged: Vec<u32>,
    /// Numbers of those whose outcome nobody knows.
    pub(super) unknown: Vec<u32>,
    /// The longest time between two acknowledgements.
    pub(super) outage: Duration,
    /// How long it wrote.
    pub(super) lasted: Duration,
}

impl Written {
    /// Statements a second, four for each transaction.
    pub(super) fn rate(&self) -> f64 {
        let busy = self.lasted.saturating_sub(self.outage).as_secs_f64();
        f64::from(u32::try_from(self.acknowledged.len()).unwrap() * 4) / busy
    }
}

/// Writes until it is stopped.
pub(super) struct Writer {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    written: Arc<Mutex<Written>>,
    thread: JoinHandle<()>,
}

impl Writer {
    pub(super) fn start(login: Login) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let written = Arc::new(Mutex::new(Written::default()));
        let thread = {
            let (stop, done, written) = (stop.clone(), done.clone(), written.clone());
            std::thread::spawn(move || runtime().block_on(write(&login, &stop, &done, &written)))
        };
        Self {
            stop,
            done,
            written,
            thread,
        }
    }

    /// Waits until this many more transactions are acknowledged.
    pub(super) fn wait_for_more(&self, transactions: u64) {
        let wanted = self.done.load(Ordering::Relaxed) + transactions;
        let began = Instant::now();
        while self.done.load(Ordering::Relaxed) < wanted {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "the writer makes no progress"
            );
            crate::harness::pause();
        }
    }

    pub(super) fn stop(self) -> Written {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        std::mem::take(&mut self.written.lock().unwrap())
    }
}

async fn write(login: &Login, stop: &AtomicBool, done: &AtomicU64, written: &Mutex<Written>) {
    let began = Instant::now();
    let mut last = began;
    let mut conn: Option<Conn> = None;
    let mut number = 0;
    let mut ticks = tokio::time::interval(PACE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let Some(open) = conn.as_mut() else {
            if let Ok(Ok(open)) = tokio::time::timeout(PATIENCE, login.open()).await {
                conn = Some(open);
            }
            continue;
        };
        number += 1;
        let ended = tokio::time::timeout(PATIENCE, transaction(open, number)).await;
        let mut written = written.lock().unwrap();
        if let Ok(Ok(())) = ended {
            let now = Instant::now();
            written.outage = written.outage.max(now - last);
            last = now;
            written.acknowledged.push(number);
            done.fetch_add(1, Ordering::Relaxed);
        } else {
            written.unknown.push(number);
            // Its goodbye would wait for a server that is gone.
            conn = None;
        }
        written.lasted = began.elapsed();
    }
}

/// One numbered row, and a count elsewhere that goes up with it.
async fn transaction(conn: &mut Conn, number: u32) -> mysql_async::Result<()> {
    let item = number % 10;
    conn.query_drop("START TRANSACTION").await?;
    conn.query_drop(format!(
        "INSERT INTO shop.log VALUES ({number}, {item}, CONCAT('note of ', {number}))"
    ))
    .await?;
    conn.query_drop(format!(
        "UPDATE shop.item SET hits = hits + 1, last_n = {number} WHERE id = {item}"
    ))
    .await?;
    conn.query_drop("COMMIT").await
}
