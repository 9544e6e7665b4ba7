//! A run as a table that fits a terminal, and as lines of what has changed.

use atrest_model::run::Outcome;
use jiff::Timestamp;
use textwrap::core::display_width;

use super::{CurrentView, MigrationView, RunView};
use crate::style::Style;
use crate::text::{count, duration, printable, seconds};

/// Columns of a terminal that does not tell its width.
const WIDTH: usize = 100;
/// What stands between two columns.
const GAP: usize = 2;
/// Columns that give way when there is not enough room are not made narrower than this.
const LEAST: usize = 8;

const TITLES: [&str; 7] = [
    "MIGRATION",
    "DONE",
    "STEP",
    "STATE",
    "FOR",
    "EXPECTED",
    "AT MOST",
];
/// Those of the titles that give way: migration, step and state.
const ELASTIC: [usize; 3] = [0, 2, 3];

/// How a row is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Plain,
    Good,
    Odd,
    Bad,
    Faint,
}

struct Row {
    cells: [String; 7],
    mood: Mood,
    /// Rows of a lower rank stay when there is not enough room for all.
    rank: u8,
}

impl RunView {
    /// The run in a sentence.
    #[must_use]
    pub fn headline(&self, now: Timestamp) -> String {
        let of = |wanted: &dyn Fn(&MigrationView) -> bool| {
            self.migrations.iter().filter(|one| wanted(one)).count()
        };
        let done = of(&MigrationView::is_done);
        let stopped = of(&|one| one.trouble().is_some());
        let waiting = of(&|one| !one.begun);
        let under_way = self.migrations.len() - done - stopped - waiting;
        let mut parts = vec![format!(
            "{done} of {} done",
            count(self.migrations.len(), "migration", "migrations")
        )];
        for (amount, what) in [
            (under_way, "under way"),
            (waiting, "to come"),
            (stopped, "stopped"),
        ] {
            if amount > 0 {
                parts.push(format!("{amount} {what}"));
            }
        }
        // When all has ended, the clock stands.
        let ends: Option<Vec<Timestamp>> = self
            .migrations
            .iter()
            .map(|one| one.ended.as_ref().map(|(_, at)| *at))
            .collect();
        let until = ends.and_then(|ends| ends.into_iter().max()).unwrap_or(now);
        let elapsed = self.began.map_or_else(String::new, |began| {
            format!("  {}", duration(until.duration_since(began).as_secs_f64()))
        });
        format!(
            "run {}{elapsed}  {}",
            printable(&self.run),
            parts.join(", ")
        )
    }

    /// Headline and table, no more than `rows` lines and none wider than the style says. What ended well and what has not
    /// begun gives way first.
    #[must_use]
    pub fn table(&self, now: Timestamp, style: &Style, rows: usize) -> Vec<String> {
        let style = *style;
        let width = style.width.map_or(WIDTH, usize::from);
        let mut lines = vec![style.strong(&fit(&self.headline(now), width, style))];
        let mut table: Vec<Row> = self
            .migrations
            .iter()
            .flat_map(|migration| self.rows(migration, now))
            .collect();
        let room = rows.saturating_sub(2);
        let left = shorten(&mut table, room);
        if table.is_empty() || room == 0 {
            lines.truncate(rows);
            return lines;
        }
        let widths = widths(&table, width);
        let titles = TITLES.map(str::to_owned);
        let titles = fit(&line(&titles, &widths, style), width, style);
        lines.push(style.faint(&titles));
        for row in &table {
            let text = fit(&line(&row.cells, &widths, style), width, style);
            lines.push(match row.mood {
                Mood::Plain => text,
                Mood::Good => style.good(&text),
                Mood::Odd => style.odd(&text),
                Mood::Bad => style.bad(&text),
                Mood::Faint => style.faint(&text),
            });
        }
        if left > 0 {
            let text = format!("{} more", count(left, "row", "rows"));
            lines.push(style.faint(&fit(&text, width, style)));
        }
        lines
    }

    /// A row for each step under way, or one that says why there is none.
    fn rows(&self, migration: &MigrationView, now: Timestamp) -> Vec<Row> {
        let name = self.short_name(migration);
        let done = format!("{}/{}", migration.done.len(), migration.order.len());
        let row = |step: &str, state: &str, times: [String; 3], mood, rank| {
            let [elapsed, expected, most] = times;
            Row {
                cells: [
                    name.clone(),
                    done.clone(),
                    printable(step).into_owned(),
                    printable(state).into_owned(),
                    elapsed,
                    expected,
                    most,
                ],
                mood,
                rank,
            }
        };
        let none = || [String::new(), String::new(), String::new()];
        if let Some(outcome) = migration.trouble() {
            let (step, state) = match outcome {
                Outcome::Stopped { step, reason } | Outcome::NeedsOperator { step, reason, .. } => {
                    (step.as_str(), reason.clone())
                }
                _ => ("validate", outcome.summary()),
            };
            let mood = match outcome {
                Outcome::Stopped { .. } => Mood::Odd,
                _ => Mood::Bad,
            };
            return vec![row(step, &state, none(), mood, 0)];
        }
        if migration.is_done() {
            let took = migration.took(now);
            let state = match &migration.ended {
                Some((outcome, _)) => outcome.summary(),
                None => "done".to_owned(),
            };
            return vec![row(
                "",
                &state,
                [took, String::new(), String::new()],
                Mood::Good,
                4,
            )];
        }
        if !migration.begun {
            return vec![row("", "to come", none(), Mood::Faint, 3)];
        }
        let rows: Vec<Row> = migration
            .under_way()
            .enumerate()
            .map(|(index, (step, current))| {
                let times = self.times(migration, step, current, now);
                let mood = match self.is_late(migration, step, current, now) {
                    true => Mood::Odd,
                    false => Mood::Plain,
                };
                row(
                    step,
                    &current.state,
                    times,
                    mood,
                    if index == 0 { 1 } else { 2 },
                )
            })
            .collect();
        if rows.is_empty() {
            return vec![row("", "between two steps", none(), Mood::Plain, 1)];
        }
        rows
    }

    /// For how long, how long it is expected to take, and how long it may.
    fn times(
        &self,
        migration: &MigrationView,
        step: &str,
        current: &CurrentView,
        now: Timestamp,
    ) -> [String; 3] {
        let planned = migration.planned.get(step);
        let expected = planned.and_then(|planned| self.history.expected(planned, migration.gib));
        [
            duration(current.elapsed(now)),
            expected.map_or_else(
                || "no history".to_owned(),
                |seconds| format!("~{}", duration(seconds)),
            ),
            planned.map_or_else(String::new, |planned| seconds(planned.deadline_seconds)),
        ]
    }

    /// Whether a step takes twice as long as expected, or most of the time it may take.
    fn is_late(
        &self,
        migration: &MigrationView,
        step: &str,
        current: &CurrentView,
        now: Timestamp,
    ) -> bool {
        let Some(planned) = migration.planned.get(step) else {
            return false;
        };
        let elapsed = current.elapsed(now);
        let expected = self.history.expected(planned, migration.gib);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a deadline is far below 2^52 seconds"
        )]
        let most = planned.deadline_seconds as f64;
        elapsed > most * 0.8
            || expected.is_some_and(|expected| elapsed > (expected * 2.0).max(60.0))
    }

    /// Without the region, where all are in one.
    fn short_name(&self, migration: &MigrationView) -> String {
        let region = |id: &str| id.split_once('/').map(|(region, _)| region.to_owned());
        let first = self.migrations.first().and_then(|one| region(&one.id));
        let alone = self.migrations.iter().all(|one| region(&one.id) == first);
        let name = match migration.id.split_once('/') {
            Some((_, name)) if alone => name,
            _ => migration.id.as_str(),
        };
        printable(name).into_owned()
    }

    /// A line for each migration that looks different from how it did, with the time of day in UTC.
    #[must_use]
    pub fn changes(&self, before: Option<&Self>, now: Timestamp, style: &Style) -> Vec<String> {
        let style = *style;
        let width = self
            .migrations
            .iter()
            .map(|one| display_width(&self.short_name(one)))
            .max()
            .unwrap_or(0);
        let mut lines = Vec::new();
        for (index, one) in self.migrations.iter().enumerate() {
            let then = before.and_then(|before| before.migrations.get(index));
            if then.is_some_and(|then| then.looks_like(one)) {
                continue;
            }
            for row in self.rows(one, now) {
                let [name, done, step, state, elapsed, expected, most] = &row.cells;
                let clock = match (elapsed.as_str(), expected.as_str(), most.as_str()) {
                    ("", _, _) => String::new(),
                    (elapsed, "", _) => format!("  in {elapsed}"),
                    (elapsed, expected, most) => {
                        format!("  {elapsed}, {}, at most {most}", in_words(expected))
                    }
                };
                let state = match row.mood {
                    Mood::Plain => state.clone(),
                    Mood::Good => style.good(state),
                    Mood::Odd => style.odd(state),
                    Mood::Bad => style.bad(state),
                    Mood::Faint => style.faint(state),
                };
                let step = match step.as_str() {
                    "" => String::new(),
                    step => format!("{step}  "),
                };
                lines.push(format!(
                    "{}  {name:<width$}  {done:>5}  {step}{state}{}",
                    now.strftime("%H:%M:%S"),
                    style.faint(&clock)
                ));
            }
        }
        lines
    }
}

/// `~14m` in a sentence.
fn in_words(expected: &str) -> String {
    match expected.strip_prefix('~') {
        Some(time) => format!("about {time} expected"),
        None => expected.to_owned(),
    }
}

impl MigrationView {
    /// How it ended, if that is not well.
    fn trouble(&self) -> Option<&Outcome> {
        let (outcome, _) = self.ended.as_ref()?;
        (!outcome.is_whole() && !self.is_done()).then_some(outcome)
    }

    fn took(&self, now: Timestamp) -> String {
        let until = self.ended.as_ref().map_or(now, |(_, at)| *at);
        self.began.map_or_else(String::new, |began| {
            duration(until.duration_since(began).as_secs_f64())
        })
    }

    /// Whether nothing but time has passed.
    fn looks_like(&self, other: &Self) -> bool {
        let outcome = |one: &Self| one.ended.as_ref().map(|(outcome, _)| outcome.clone());
        let states = |one: &Self| -> Vec<(String, String)> {
            one.under_way()
                .map(|(step, current)| (step.to_owned(), current.state.clone()))
                .collect()
        };
        self.begun == other.begun
            && self.done == other.done
            && outcome(self) == outcome(other)
            && states(self) == states(other)
    }
}

impl CurrentView {
    fn elapsed(&self, now: Timestamp) -> f64 {
        now.duration_since(self.since).as_secs_f64().max(0.0)
    }
}

/// Leaves so many rows, the highest ranks out first, from the end. Gives the number of those left out, for which one row
/// more is kept free.
fn shorten(table: &mut Vec<Row>, room: usize) -> usize {
    let all = table.len();
    if all <= room {
        return 0;
    }
    let room = room.saturating_sub(1);
    while table.len() > room {
        let Some(worst) = table.iter().map(|row| row.rank).max() else {
            break;
        };
        let Some(last) = table.iter().rposition(|row| row.rank == worst) else {
            break;
        };
        table.remove(last);
    }
    all - table.len()
}

/// As wide as the cells, made narrower from the widest elastic column on until a line fits.
fn widths(table: &[Row], width: usize) -> [usize; 7] {
    let mut widths = TITLES.map(str::len);
    for row in table {
        for (width, cell) in widths.iter_mut().zip(&row.cells) {
            *width = (*width).max(display_width(cell));
        }
    }
    let gaps = GAP * (TITLES.len() - 1);
    while widths.iter().sum::<usize>() + gaps > width {
        let widest = ELASTIC
            .into_iter()
            .filter(|index| widths.get(*index).is_some_and(|width| *width > LEAST))
            .max_by_key(|index| widths.get(*index).copied());
        let Some(column) = widest.and_then(|index| widths.get_mut(index)) else {
            break;
        };
        *column -= 1;
    }
    widths
}

fn line(cells: &[String; 7], widths: &[usize; 7], style: Style) -> String {
    let mut text = String::new();
    for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if index > 0 {
            text.push_str(&" ".repeat(GAP));
        }
        // What tells names and steps apart stands at their ends as often as at their beginning.
        let cell = match index {
            0 | 2 => fit_middle(cell, *width, style),
            _ => fit(cell, *width, style),
        };
        let pad = " ".repeat(width.saturating_sub(display_width(&cell)));
        // Numbers stand below each other by their ends.
        if [1, 4, 5, 6].contains(&index) {
            text.push_str(&pad);
            text.push_str(&cell);
        } else {
            text.push_str(&cell);
            text.push_str(&pad);
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// The text, cut where it is wider: a line that wraps could not be written over.
fn fit(text: &str, width: usize, style: Style) -> String {
    if display_width(text) <= width {
        return text.to_owned();
    }
    let end = style.ellipsis();
    let room = width.saturating_sub(display_width(end));
    let mut cut = String::new();
    let mut used = 0;
    for character in text.chars() {
        let wide = display_width(character.encode_utf8(&mut [0; 4]));
        if used + wide > room {
            break;
        }
        used += wide;
        cut.push(character);
    }
    if display_width(end) <= width {
        cut.push_str(end);
    }
    cut
}

/// The same, cut in the middle.
fn fit_middle(text: &str, width: usize, style: Style) -> String {
    if display_width(text) <= width {
        return text.to_owned();
    }
    let end = style.ellipsis();
    let room = width.saturating_sub(display_width(end));
    let mut tail = Vec::new();
    let mut used = 0;
    for character in text.chars().rev() {
        let wide = display_width(character.encode_utf8(&mut [0; 4]));
        if used + wide > room / 2 {
            break;
        }
        used += wide;
        tail.push(character);
    }
    let head = fit(text, width.saturating_sub(used), style);
    head.chars().chain(tail.into_iter().rev()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style {
        width: None,
        color: false,
        unicode: true,
    };

    #[test]
    fn a_text_is_cut_to_the_columns_it_may_have() {
        assert_eq!(fit("prod-one", 8, STYLE), "prod-one");
        assert_eq!(fit("prod-one", 7, STYLE), "prod-o…");
        assert_eq!(fit("東京東京", 5, STYLE), "東京…");
        assert_eq!(fit("prod", 0, STYLE), "");
        let ascii = Style {
            unicode: false,
            ..STYLE
        };
        assert_eq!(fit("prod-one", 7, ascii), "prod...");
        assert_eq!(fit("prod-one", 2, ascii), "");
        assert_eq!(
            fit_middle("replica:prod-one-replica-2", 16, STYLE),
            "replica:…plica-2"
        );
        assert_eq!(fit_middle("prod", 4, STYLE), "prod");
        for width in 0..30 {
            let cut = fit_middle("replica:東京-replica-2", width, STYLE);
            assert!(display_width(&cut) <= width, "{width}: {cut}");
        }
    }
}
