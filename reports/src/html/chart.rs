//! Shapes of charts, computed when the page is made. Colours come from the style sheet by class: a page may hold no
//! inline style.

use jiff::Timestamp;

use super::Mood;
use crate::text::number;

/// Part of a bar of 1000 units.
pub(super) struct Segment {
    pub(super) mood: &'static str,
    pub(super) label: String,
    pub(super) x: f64,
    pub(super) width: f64,
}

/// Amounts beside each other; none is so small that it cannot be seen. Nothing at all has no bar.
pub(super) fn stacked(parts: &[(usize, Mood, &'static str)]) -> Vec<Segment> {
    const LEAST: f64 = 6.0;
    let there: Vec<_> = parts.iter().filter(|(amount, _, _)| *amount > 0).collect();
    let all: f64 = there.iter().map(|(amount, _, _)| float(*amount)).sum();
    let free = 1000.0 - LEAST * float(there.len());
    let mut x = 0.0;
    there
        .into_iter()
        .map(|(amount, mood, word)| {
            let width = LEAST + free * float(*amount) / all;
            let segment = Segment {
                mood: mood.class(),
                label: format!("{} {word}", number(*amount as u64)),
                x: rounded(x),
                width: rounded(width),
            };
            x += width;
            segment
        })
        .collect()
}

pub(super) fn float(amount: usize) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a count of resources is far below 2^52"
    )]
    let amount = amount as f64;
    amount
}

/// To a tenth of a unit: nobody sees more, and the page stays small.
pub(super) fn rounded(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}

/// A stretch of time on a line of `width` units.
pub(super) struct Axis {
    begins: Timestamp,
    seconds: f64,
    left: f64,
    width: f64,
}

/// A mark on it.
pub(super) struct Tick {
    pub(super) x: f64,
    pub(super) label: String,
    pub(super) anchor: &'static str,
}

impl Axis {
    pub(super) fn new(begins: Timestamp, ends: Timestamp, left: f64, width: f64) -> Self {
        Self {
            begins,
            seconds: ends.duration_since(begins).as_secs_f64().max(1.0),
            left,
            width,
        }
    }

    pub(super) fn x(&self, time: Timestamp) -> f64 {
        let seconds = time.duration_since(self.begins).as_secs_f64();
        rounded(self.left + self.width * (seconds / self.seconds).clamp(0.0, 1.0))
    }

    /// From one time to another; wide enough to be seen.
    pub(super) fn width(&self, begins: Timestamp, ends: Timestamp) -> f64 {
        (self.x(ends) - self.x(begins)).max(2.0)
    }

    /// Marks at round times, at most ten.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        const STEPS: [i64; 16] = [
            1, 5, 10, 30, 60, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
            604_800,
        ];
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a run takes less than 2^63 seconds"
        )]
        let seconds = self.seconds as i64;
        let step = STEPS.into_iter().find(|step| seconds / step < 10);
        let step = step.unwrap_or(seconds / 10 + 1);
        let first = self.begins.as_second().div_euclid(step) * step;
        (first..=self.begins.as_second() + seconds)
            .step_by(usize::try_from(step).unwrap_or(usize::MAX))
            .filter(|second| *second >= self.begins.as_second())
            .filter_map(|second| Timestamp::from_second(second).ok())
            .map(|time| Tick {
                x: self.x(time),
                label: time
                    .strftime(match step {
                        0..60 => "%H:%M:%S",
                        60..86_400 => "%H:%M",
                        _ => "%b %-d",
                    })
                    .to_string(),
                // The last ones must not be cut off.
                anchor: if self.left + self.width - self.x(time) < 24.0 {
                    "end"
                } else {
                    "middle"
                },
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_part_of_a_bar_can_be_seen_and_the_bar_is_full() {
        let bar = stacked(&[
            (1, Mood::Bad, "a"),
            (0, Mood::Odd, "b"),
            (99_999, Mood::Good, "c"),
        ]);
        assert_eq!(bar.len(), 2);
        assert!(bar[0].width >= 6.0);
        assert!((bar[1].x + bar[1].width - 1000.0).abs() < 0.2);
        assert!(stacked(&[(0, Mood::Bad, "a")]).is_empty());
    }

    #[test]
    fn ticks_are_round_and_few() {
        let begins: Timestamp = "2026-11-22T02:07:11Z".parse().unwrap();
        for seconds in [1, 59, 4_000, 100_000, 5_000_000] {
            let ends = Timestamp::from_second(begins.as_second() + seconds).unwrap();
            let ticks = Axis::new(begins, ends, 220.0, 950.0).ticks();
            assert!(ticks.len() <= 10, "{seconds}: {}", ticks.len());
            assert!(ticks.iter().all(|tick| (220.0..=1170.0).contains(&tick.x)));
        }
        let ends = "2026-11-22T04:00:00Z".parse().unwrap();
        let ticks = Axis::new(begins, ends, 0.0, 1.0).ticks();
        assert_eq!(ticks[0].label, "02:15");
    }
}
