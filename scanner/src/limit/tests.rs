//! Buckets against a service with limits of its own, in virtual time.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, Wake, Waker};

use futures::future::Either;

use super::*;

/// A clock that stands still until nothing else is left to do. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Clock(Arc<Mutex<Hands>>);

#[derive(Debug)]
struct Hands {
    now: Instant,
    sleepers: BTreeMap<(Instant, u64), Waker>,
    number: u64,
}

impl Clock {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Hands {
            now: Instant::now(),
            sleepers: BTreeMap::new(),
            number: 0,
        })))
    }

    pub(super) fn now(&self) -> Instant {
        self.0.lock().unwrap().now
    }

    pub(super) fn sleep(&self, time: Duration) -> impl Future<Output = ()> + use<> {
        let (clock, until) = (self.clone(), self.now() + time);
        let mut key = None;
        future::poll_fn(move |context| {
            let mut hands = clock.0.lock().unwrap();
            if hands.now >= until {
                return Poll::Ready(());
            }
            hands.number += 1;
            // One entry a sleeper, however often it is looked at.
            let key = *key.get_or_insert((until, hands.number));
            hands.sleepers.insert(key, context.waker().clone());
            Poll::Pending
        })
    }

    /// Runs to the end, with the clock going on whenever everybody sleeps.
    fn run<T>(&self, task: impl Future<Output = T>) -> T {
        struct Woken(AtomicBool);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut task = pin!(task);
        loop {
            while woken.0.swap(false, Ordering::Relaxed) {
                if let Poll::Ready(value) = task.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return value;
                }
            }
            let mut hands = self.0.lock().unwrap();
            let ((time, _), sleeper) = hands.sleepers.pop_first().expect("somebody sleeps");
            hands.now = hands.now.max(time);
            drop(hands);
            sleeper.wake();
        }
    }

    fn bucket(&self, patience: Duration) -> Bucket {
        Bucket::new(Tally::default(), patience, Time::Virtual(self.clone()))
    }

    fn since(&self, began: Instant) -> Duration {
        self.now().duration_since(began)
    }
}

/// A service that allows `rate` calls a second and `burst` at once; a call takes `latency`.
struct Service {
    clock: Clock,
    rate: f64,
    burst: f64,
    latency: Duration,
    bucket: Mutex<(f64, Instant)>,
    refused: AtomicU64,
}

impl Service {
    fn new(clock: &Clock, rate: f64, burst: f64, latency_ms: u64) -> Self {
        Self {
            clock: clock.clone(),
            rate,
            burst,
            latency: Duration::from_millis(latency_ms),
            bucket: Mutex::new((burst, clock.now())),
            refused: AtomicU64::new(0),
        }
    }

    fn without_limits(clock: &Clock, latency_ms: u64) -> Self {
        Self::new(clock, 1e9, 1e9, latency_ms)
    }

    fn allows(&self) -> bool {
        let mut bucket = self.bucket.lock().unwrap();
        let now = self.clock.now();
        let passed = now.duration_since(bucket.1).as_secs_f64();
        bucket.0 = (bucket.0 + passed * self.rate).min(self.burst);
        bucket.1 = now;
        let allowed = bucket.0 >= 1.0;
        if allowed {
            bucket.0 -= 1.0;
        }
        allowed
    }

    async fn call(&self) -> Result<(), AwsError> {
        self.clock.sleep(self.latency / 2).await;
        let allowed = self.allows();
        self.clock.sleep(self.latency / 2).await;
        if allowed {
            Ok(())
        } else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            Err(error(AwsErrorKind::Throttled))
        }
    }

    fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

fn error(kind: AwsErrorKind) -> AwsError {
    AwsError {
        operation: "DescribeDBInstances",
        region: "eu-central-1".to_owned(),
        kind,
        code: None,
        message: "Throttling: Rate exceeded".to_owned(),
    }
}

/// `pages` calls, one after the other.
async fn listing(bucket: &Bucket, service: &Service, pages: usize) {
    for _page in 0..pages {
        bucket.call(|| service.call()).await.unwrap();
    }
}

#[test]
fn a_chain_of_pages_takes_hardly_longer_than_the_throttling_needs() {
    for seed in 0..200 {
        fastrand::seed(seed);
        let clock = Clock::new();
        let (service, bucket) = (Service::new(&clock, 2.0, 5.0, 80), clock.bucket(PATIENCE));
        let began = clock.now();
        clock.run(listing(&bucket, &service, 51));
        let (took, bound) = (clock.since(began).as_secs_f64(), (51.0 - 5.0) / 2.0);
        assert!(took <= bound * 1.05, "seed {seed}: {took} s of {bound} s");
        assert!(
            service.refused() <= 30,
            "seed {seed}: {}",
            service.refused()
        );
    }
}

#[test]
fn many_listings_at_once_share_the_rate() {
    for seed in 0..50 {
        fastrand::seed(seed);
        let clock = Clock::new();
        let (service, bucket) = (Service::new(&clock, 5.0, 10.0, 30), clock.bucket(PATIENCE));
        let began = clock.now();
        let listings = (0..12).map(|_| listing(&bucket, &service, 10));
        clock.run(future::join_all(listings));
        let (took, bound) = (clock.since(began).as_secs_f64(), (120.0 - 10.0) / 5.0);
        assert!(took <= bound * 1.1, "seed {seed}: {took} s of {bound} s");
        assert!(
            service.refused() <= 60,
            "seed {seed}: {}",
            service.refused()
        );
    }
}

#[test]
fn without_throttling_nothing_waits() {
    let clock = Clock::new();
    let (service, bucket) = (Service::without_limits(&clock, 30), clock.bucket(PATIENCE));
    let began = clock.now();
    clock.run(listing(&bucket, &service, 150));
    assert_eq!(clock.since(began), Duration::from_millis(150 * 30));
}

#[test]
fn a_limit_that_is_gone_is_forgotten() {
    let clock = Clock::new();
    let bucket = clock.bucket(PATIENCE);
    let slow = Service::new(&clock, 2.0, 5.0, 20);
    clock.run(listing(&bucket, &slow, 30));
    let (fast, began) = (Service::without_limits(&clock, 20), clock.now());
    clock.run(listing(&bucket, &fast, 200));
    assert!(clock.since(began) < Duration::from_secs(25));
}

#[test]
fn patience_ends() {
    let clock = Clock::new();
    let bucket = clock.bucket(Duration::from_secs(30));
    let began = clock.now();
    let answer = clock.run(bucket.call(|| async { Err::<(), _>(error(AwsErrorKind::Throttled)) }));
    let error = answer.unwrap_err();
    assert_eq!(error.kind, AwsErrorKind::Throttled);
    // The last pause is drawn: it may end a little after the patience.
    let took = clock.since(began).as_secs();
    assert!((30..32).contains(&took), "{took}");
    assert!(
        ["30 s", "31 s"]
            .iter()
            .any(|told| error.message.contains(told)),
        "{error}"
    );
    assert_eq!(bucket.throttled(), bucket.0.tally.throttled());
}

#[test]
fn what_may_pass_is_sent_six_times_and_a_refusal_once() {
    for (kind, times) in [
        (AwsErrorKind::Unreachable, 6),
        (AwsErrorKind::Service, 6),
        (AwsErrorKind::AccessDenied, 1),
    ] {
        let clock = Clock::new();
        let (bucket, sent) = (clock.bucket(PATIENCE), AtomicU64::new(0));
        let answer = clock.run(bucket.call(|| async {
            sent.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(error(kind))
        }));
        assert!(answer.is_err());
        assert_eq!(sent.load(Ordering::Relaxed), times, "{kind:?}");
        assert_eq!(bucket.0.tally.calls(), times);
    }
}

#[test]
fn a_call_that_is_dropped_leaves_its_place() {
    let clock = Clock::new();
    let bucket = clock.bucket(PATIENCE);
    for _call in 0..100 {
        clock.run(async {
            let never = pin!(bucket.call(future::pending::<Result<(), AwsError>>));
            let time = pin!(clock.sleep(Duration::from_millis(30)));
            assert!(matches!(
                future::select(never, time).await,
                Either::Right(_)
            ));
        });
    }
    assert_eq!(bucket.pace().in_flight, 0);
}

#[test]
fn no_more_calls_are_in_flight_than_allowed() {
    let clock = Clock::new();
    let (now, most) = (AtomicU64::new(0), AtomicU64::new(0));
    let bucket = clock.bucket(PATIENCE);
    let call = || async {
        let flying = now.fetch_add(1, Ordering::Relaxed) + 1;
        most.fetch_max(flying, Ordering::Relaxed);
        clock.sleep(Duration::from_millis(10)).await;
        now.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    };
    let calls = (0..60).map(|_| bucket.call(call));
    for answer in clock.run(future::join_all(calls)) {
        answer.unwrap();
    }
    assert_eq!(most.load(Ordering::Relaxed), MOST_IN_FLIGHT as u64);
}
