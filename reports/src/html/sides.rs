//! The two values of a difference beside each other.

use std::borrow::Cow;

use serde_json::Value;
use similar::{ChangeTag, DiffTag, TextDiff};

use crate::diff::value;
use crate::text::{count, printable};

/// Unchanged lines around a change.
const CONTEXT: usize = 2;
/// Most lines shown of one difference; the JSON report has all of them.
const MOST_LINES: usize = 240;
/// Lines longer than this are not compared word by word.
const LONG: usize = 4096;
/// Values longer than this many bytes are not compared at all: it would take seconds.
const LARGE: usize = 256 * 1024;

/// Part of a line.
pub(super) struct Part {
    pub(super) text: String,
    /// Whether it differs from the other side.
    pub(super) changed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The same on both sides.
    Same,
    Changed,
    /// Nothing, where the other side has a line.
    Fill,
    /// Stands for lines that are left away.
    Gap,
}

/// A line of a value on one side.
pub(super) struct Line {
    kind: Kind,
    pub(super) parts: Vec<Part>,
}

impl Line {
    fn new(kind: Kind, text: &str) -> Self {
        Self {
            kind,
            parts: vec![Part {
                text: visible(text),
                changed: false,
            }],
        }
    }

    fn fill() -> Self {
        Self {
            kind: Kind::Fill,
            parts: Vec::new(),
        }
    }

    /// Its class in the style sheet.
    pub(super) fn kind(&self) -> &'static str {
        match self.kind {
            Kind::Same => "same",
            Kind::Changed => "changed",
            Kind::Fill => "fill",
            Kind::Gap => "gap",
        }
    }
}

/// Lines of the old and of the new value. A side that is absent has none.
pub(super) fn sides(old: Option<&Value>, new: Option<&Value>) -> (Vec<Line>, Vec<Line>) {
    let (Some(old), Some(new)) = (old, new) else {
        let alone = |value: Option<&Value>| {
            let text = value.map(|value| value::text(value, None));
            text.map_or_else(Vec::new, |text| alone(&text))
        };
        return (alone(old), alone(new));
    };
    if let (Some(old), Some(new)) = (items(old), items(new)) {
        return aligned(&old, &new);
    }
    let (old_text, new_text) = (value::text(old, Some(new)), value::text(new, Some(old)));
    if old_text.len() > LARGE || new_text.len() > LARGE {
        let size = |text: &str| {
            let characters = count(text.chars().count(), "character", "characters");
            let text = format!(
                "{characters}, too long to be compared here; the JSON report has both sides"
            );
            vec![Line::new(Kind::Gap, &text)]
        };
        return (size(&old_text), size(&new_text));
    }
    aligned(&value::pieces(&old_text), &value::pieces(&new_text))
}

/// The items of two lists, sorted so that what both have stands beside each other; unless order is all that differs.
fn items(value: &Value) -> Option<Vec<&str>> {
    let items = value.as_array()?;
    let mut items: Vec<&str> = items.iter().map(Value::as_str).collect::<Option<_>>()?;
    items.sort_unstable();
    Some(items)
}

/// A value without another side.
fn alone(text: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = text
        .lines()
        .take(MOST_LINES)
        .map(|line| Line::new(Kind::Changed, line))
        .collect();
    let left = text.lines().count().saturating_sub(MOST_LINES);
    if left > 0 {
        lines.push(more(left));
    }
    if lines.is_empty() {
        lines.push(Line::new(Kind::Changed, "\"\""));
    }
    lines
}

/// Lines of both sides, as many on each.
fn aligned(old: &[&str], new: &[&str]) -> (Vec<Line>, Vec<Line>) {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let diff = TextDiff::from_slices(old, new);
    let mut shown_old = 0;
    for group in diff.grouped_ops(CONTEXT) {
        let begins = group.first().map_or(0, |op| op.old_range().start);
        if begins > shown_old {
            let skipped = count(begins - shown_old, "line", "lines");
            let gap = || Line::new(Kind::Gap, &format!("… {skipped} the same"));
            left.push(gap());
            right.push(gap());
        }
        for op in &group {
            let olds = old.get(op.old_range()).unwrap_or_default();
            let news = new.get(op.new_range()).unwrap_or_default();
            shown_old = op.old_range().end;
            if op.tag() == DiffTag::Equal {
                left.extend(olds.iter().map(|line| Line::new(Kind::Same, line)));
                right.extend(news.iter().map(|line| Line::new(Kind::Same, line)));
                continue;
            }
            for index in 0..olds.len().max(news.len()) {
                let (a, b) = match (olds.get(index), news.get(index)) {
                    (Some(old), Some(new)) => words(old, new),
                    (Some(old), None) => (Line::new(Kind::Changed, old), Line::fill()),
                    (None, Some(new)) => (Line::fill(), Line::new(Kind::Changed, new)),
                    (None, None) => continue,
                };
                left.push(a);
                right.push(b);
            }
        }
    }
    // Two different values of the same lines: an order, or a last line end.
    if left.is_empty() {
        left.extend(
            old.iter()
                .take(MOST_LINES)
                .map(|l| Line::new(Kind::Changed, l)),
        );
        right.extend(
            new.iter()
                .take(MOST_LINES)
                .map(|l| Line::new(Kind::Changed, l)),
        );
    }
    let over = left.len().saturating_sub(MOST_LINES);
    if over > 0 {
        for side in [&mut left, &mut right] {
            side.truncate(MOST_LINES);
            side.push(more(over));
        }
    }
    (left, right)
}

fn more(lines: usize) -> Line {
    let lines = count(lines, "line", "lines");
    Line::new(
        Kind::Gap,
        &format!("… {lines} more; the JSON report has all"),
    )
}

/// Two lines with the words marked that differ.
fn words(old: &str, new: &str) -> (Line, Line) {
    if old.len() > LONG || new.len() > LONG {
        return (Line::new(Kind::Changed, old), Line::new(Kind::Changed, new));
    }
    let (old, new) = (visible(old), visible(new));
    let diff = TextDiff::from_words(old.as_str(), new.as_str());
    let mut sides = (Vec::new(), Vec::new());
    let mut shared = false;
    for change in diff.iter_all_changes() {
        let text = change.value();
        match change.tag() {
            ChangeTag::Equal => {
                shared |= !text.trim().is_empty();
                push(&mut sides.0, text, false);
                push(&mut sides.1, text, false);
            }
            ChangeTag::Delete => push(&mut sides.0, text, true),
            ChangeTag::Insert => push(&mut sides.1, text, true),
        }
    }
    // Where nothing is shared there is nothing to point at.
    if !shared {
        return (
            Line::new(Kind::Changed, &old),
            Line::new(Kind::Changed, &new),
        );
    }
    let line = |parts| Line {
        kind: Kind::Changed,
        parts,
    };
    (line(sides.0), line(sides.1))
}

fn push(parts: &mut Vec<Part>, text: &str, changed: bool) {
    match parts.last_mut() {
        Some(last) if last.changed == changed => last.text.push_str(text),
        _ => parts.push(Part {
            text: text.to_owned(),
            changed,
        }),
    }
}

/// A line without its end, and with everything visible.
fn visible(text: &str) -> String {
    let text = text.strip_suffix('\n').unwrap_or(text);
    match printable(text) {
        Cow::Borrowed(text) => text.to_owned(),
        Cow::Owned(text) => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn text(lines: &[Line]) -> Vec<String> {
        let text = |line: &Line| line.parts.iter().map(|part| part.text.as_str()).collect();
        lines.iter().map(text).collect()
    }

    #[test]
    fn words_that_differ_are_marked() {
        let (old, new) = sides(
            Some(&json!("GRANT SELECT, INSERT ON shop")),
            Some(&json!("GRANT SELECT, EXECUTE ON shop")),
        );
        let marked = |lines: &[Line]| -> Vec<String> {
            let parts = lines.iter().flat_map(|line| &line.parts);
            parts
                .filter(|p| p.changed)
                .map(|p| p.text.clone())
                .collect()
        };
        assert_eq!(marked(&old), ["INSERT"]);
        assert_eq!(marked(&new), ["EXECUTE"]);
    }

    #[test]
    fn lists_stand_item_beside_item() {
        let (old, new) = sides(Some(&json!(["b", "a", "c"])), Some(&json!(["c", "a", "d"])));
        assert_eq!(text(&old), ["a", "b", "c", ""]);
        assert_eq!(text(&new), ["a", "", "c", "d"]);
    }

    #[test]
    fn long_values_show_what_changed_with_a_little_around_it() {
        let body = |changed: &str| {
            let lines: Vec<String> = (0..100).map(|n| format!("line {n}")).collect();
            json!(lines.join("\n").replace("line 50", changed))
        };
        let (old, new) = sides(Some(&body("line fifty")), Some(&body("line 5O")));
        assert_eq!(old.len(), new.len());
        assert!(old.len() < 8, "{:?}", text(&old));
        assert_eq!(text(&old)[0], "… 48 lines the same");
    }

    proptest! {
        #[test]
        fn sides_are_as_long_as_each_other_and_differ(old in "(?s).{0,300}", new in "(?s).{0,300}") {
            prop_assume!(old != new);
            let (left, right) = sides(Some(&json!(old)), Some(&json!(new)));
            prop_assert!(!left.is_empty());
            prop_assert!(left.iter().chain(&right).any(|line| line.kind != Kind::Same));
            for line in left.iter().chain(&right).flat_map(|line| &line.parts) {
                prop_assert!(!line.text.chars().any(char::is_control));
            }
        }
    }
}
