//! When a replica will have caught up, from what was measured between looks.

use std::collections::VecDeque;

use atrest_scanner::mysql::{BinlogPosition, bytes_between};
use tokio::time::Instant;

/// Looks that are kept: the rate is measured over all of them.
const KEPT: usize = 12;

/// One look at both sides.
#[derive(Debug, Clone)]
struct Look {
    at: Instant,
    applied: BinlogPosition,
    end: BinlogPosition,
}

/// Looks at one channel.
#[derive(Debug, Default)]
pub(crate) struct Forecast {
    looks: VecDeque<Look>,
}

impl Forecast {
    /// Takes a look, and says how far the replica is behind, how fast both sides go, and when they meet.
    pub(super) fn after(
        &mut self,
        at: Instant,
        logs: &[BinlogPosition],
        applied: &BinlogPosition,
        end: &BinlogPosition,
    ) -> String {
        let Some(behind) = bytes_between(logs, applied, end) else {
            return format!("applied {}:{}", applied.file, applied.position);
        };
        let look = Look {
            at,
            applied: applied.clone(),
            end: end.clone(),
        };
        let rates = self.looks.front().and_then(|first| {
            let seconds = at.saturating_duration_since(first.at).as_secs_f64();
            let applies = bytes_between(logs, &first.applied, applied)?;
            let writes = bytes_between(logs, &first.end, end)?;
            (seconds >= 0.001).then(|| (number(applies) / seconds, number(writes) / seconds))
        });
        self.looks.push_back(look);
        if self.looks.len() > KEPT {
            self.looks.pop_front();
        }
        let Some((applies, writes)) = rates else {
            return format!("{} behind", size(number(behind)));
        };
        let meeting = applies - writes;
        let when = if meeting <= 0.0 {
            "it falls behind; fewer writes or a larger class would help".to_owned()
        } else {
            format!("level in about {:.0} s", (number(behind) / meeting).ceil())
        };
        format!(
            "{} behind; {}/s applied, {}/s written: {when}",
            size(number(behind)),
            size(applies),
            size(writes)
        )
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a forecast of sizes far below 2^53"
)]
fn number(bytes: u64) -> f64 {
    bytes as f64
}

fn size(bytes: f64) -> String {
    if bytes < 10_000.0 {
        format!("{bytes:.0} B")
    } else if bytes < 10_000_000.0 {
        format!("{:.0} kB", bytes / 1e3)
    } else {
        format!("{:.0} MB", bytes / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(position: u64) -> BinlogPosition {
        BinlogPosition {
            file: "bin.000001".to_owned(),
            position,
        }
    }

    #[test]
    fn the_meeting_is_where_the_lag_over_the_difference_of_rates_says() {
        let start = Instant::now();
        let mut forecast = Forecast::default();
        assert_eq!(
            forecast.after(start, &[], &at(0), &at(100_000)),
            "100 kB behind"
        );
        // 30 kB applied and 10 kB written a second, 60 kB to go.
        let text = forecast.after(
            start + Duration::from_secs(2),
            &[],
            &at(60_000),
            &at(120_000),
        );
        assert_eq!(
            text,
            "60 kB behind; 30 kB/s applied, 10 kB/s written: level in about 3 s"
        );
    }

    #[test]
    fn a_replica_that_never_meets_its_source_is_said_to_fall_behind() {
        let start = Instant::now();
        let mut forecast = Forecast::default();
        forecast.after(start, &[], &at(0), &at(100));
        let text = forecast.after(start + Duration::from_secs(1), &[], &at(10), &at(200));
        assert!(text.contains("falls behind"), "{text}");
    }
}
