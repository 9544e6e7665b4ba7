//! The two values of a difference as lines with signs: short ones whole, long ones by what changed in them.

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use crate::style::Style;
use crate::text::{count, printable};

/// Values longer than this many characters, or of several lines, are shown by what changed in them.
const LONG: usize = 160;
/// Lines longer than this are compared piece by piece.
const PIECE: usize = 60;
/// Unchanged lines around a change.
const CONTEXT: usize = 1;
/// Most lines shown of one difference; the JSON report has all of them.
const MOST_LINES: usize = 60;
/// Most characters shown of a value that has no other side.
const MOST_CHARACTERS: usize = 1_000;
/// Values longer than this many bytes are not compared piece by piece: it would take seconds.
const LARGE: usize = 256 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Old,
    New,
    Both,
}

impl Sign {
    pub(super) fn as_char(self) -> char {
        match self {
            Self::Old => '-',
            Self::New => '+',
            Self::Both => ' ',
        }
    }
}

/// One line of a value; safe to print.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) sign: Sign,
    pub(super) text: String,
    /// Whether it is all of its side.
    pub(super) whole: bool,
}

impl Line {
    pub(super) fn width(&self) -> usize {
        textwrap::core::display_width(&self.text)
    }

    /// The line in parts of at most `width` columns, broken behind spaces only: an ARN must stay whole to be copied.
    pub(super) fn parts(&self, width: usize) -> Vec<&str> {
        let mut parts = Vec::new();
        let mut rest = self.text.as_str();
        while textwrap::core::display_width(rest) > width {
            let spaces = rest.match_indices(' ').map(|(at, space)| at + space.len());
            let fits = |at: &usize| {
                let part = rest.get(..*at).unwrap_or(rest);
                textwrap::core::display_width(part.trim_end()) <= width
            };
            let cut = spaces
                .clone()
                .take_while(fits)
                .last()
                .or_else(|| spaces.clone().next());
            let Some(cut) = cut.filter(|cut| *cut < rest.len()) else {
                break;
            };
            let (part, tail) = rest.split_at(cut);
            parts.push(part);
            rest = tail;
        }
        parts.push(rest);
        parts
    }
}

/// The lines of a difference. An absent side has none.
pub(super) fn lines(old: Option<&Value>, new: Option<&Value>, style: Style) -> Vec<Line> {
    if let (Some(Value::Array(old)), Some(Value::Array(new))) = (old, new)
        && let (Some(old), Some(new)) = (strings(old), strings(new))
    {
        return lists(&old, &new);
    }
    let old_text = old.map(|value| text(value, new));
    let new_text = new.map(|value| text(value, old));
    let is_long = |text: &Option<String>| {
        text.as_ref()
            .is_some_and(|text| text.contains('\n') || text.chars().nth(LONG).is_some())
    };
    match (&old_text, &new_text) {
        (Some(old), Some(new)) if is_long(&old_text) || is_long(&new_text) => {
            changed(old, new, style)
        }
        _ => [(Sign::Old, old_text), (Sign::New, new_text)]
            .into_iter()
            .filter_map(|(sign, text)| Some((sign, text?)))
            .flat_map(|(sign, text)| alone(sign, &text, style))
            .collect(),
    }
}

/// A value that is shown whole, or cut when it is very long: it has no other side to be compared with.
fn alone(sign: Sign, text: &str, style: Style) -> Vec<Line> {
    let cut = text.char_indices().nth(MOST_CHARACTERS);
    let shown = cut.map_or(text, |(at, _)| text.get(..at).unwrap_or(text));
    let mut lines: Vec<Line> = shown
        .lines()
        .map(|line| Line {
            sign,
            text: printable(line).into_owned(),
            whole: false,
        })
        .collect();
    match (lines.as_mut_slice(), cut) {
        ([], _) => lines.push(Line {
            sign,
            text: "\"\"".to_owned(),
            whole: true,
        }),
        ([line], None) => line.whole = true,
        (_, Some(_)) => {
            let all = count(text.chars().count(), "character", "characters");
            lines.push(Line {
                sign,
                text: format!("{} ({all})", style.ellipsis()),
                whole: false,
            });
        }
        (_, None) => {}
    }
    lines
}

/// What changed between two long texts, with a little around it.
fn changed(old: &str, new: &str, style: Style) -> Vec<Line> {
    if old.len() > LARGE || new.len() > LARGE {
        return [(Sign::Old, old), (Sign::New, new)]
            .into_iter()
            .map(|(sign, text)| Line {
                sign,
                text: format!(
                    "{}, too long to be compared here; the JSON report has both sides",
                    count(text.chars().count(), "character", "characters")
                ),
                whole: true,
            })
            .collect();
    }
    let (old, new) = (pieces(old), pieces(new));
    let diff = TextDiff::from_slices(&old, &new);
    let mut lines = Vec::new();
    for group in diff.grouped_ops(CONTEXT) {
        let before = group.first().map_or(0, |op| op.old_range().start);
        if before > 0 || !lines.is_empty() {
            lines.push(gap(style));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            lines.push(Line {
                sign: match change.tag() {
                    ChangeTag::Delete => Sign::Old,
                    ChangeTag::Insert => Sign::New,
                    ChangeTag::Equal => Sign::Both,
                },
                text: printable(change.value().trim_end_matches('\n')).into_owned(),
                whole: false,
            });
        }
    }
    if old.last().is_some_and(|piece| piece.ends_with('\n'))
        != new.last().is_some_and(|piece| piece.ends_with('\n'))
    {
        lines.push(Line {
            sign: Sign::Both,
            text: "(only one side ends with a line end)".to_owned(),
            whole: false,
        });
    }
    let left = lines.len().saturating_sub(MOST_LINES);
    if left > 0 {
        lines.truncate(MOST_LINES);
        lines.push(Line {
            sign: Sign::Both,
            text: format!(
                "{} {} more; the JSON report has all",
                style.ellipsis(),
                count(left, "line", "lines")
            ),
            whole: false,
        });
    }
    lines
}

fn gap(style: Style) -> Line {
    Line {
        sign: Sign::Both,
        text: style.ellipsis().to_owned(),
        whole: false,
    }
}

/// The lines of a text; long ones cut behind commas, semicolons, closing brackets and spaces, so that the changed part
/// of a long line is found. Joined, they are the text again.
pub(crate) fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while rest.chars().nth(PIECE).is_some() {
            let after = |wanted: &[char]| {
                let found = rest.char_indices().skip(PIECE / 3);
                let mut found = found.filter(|(_, c)| wanted.contains(c));
                found.next().map(|(at, c)| at + c.len_utf8())
            };
            let near = |at: &usize| *at <= PIECE * 2;
            let cut = after(&[',', ';', '}', ')'])
                .filter(near)
                .or_else(|| after(&[' ']).filter(near))
                .or_else(|| rest.char_indices().nth(PIECE).map(|(at, _)| at))
                .unwrap_or(rest.len());
            // A line end alone is no piece.
            let cut = match rest.get(cut..) {
                Some("\n") => rest.len(),
                _ => cut,
            };
            let (piece, tail) = rest.split_at(cut);
            pieces.push(piece);
            rest = tail;
        }
        if !rest.is_empty() {
            pieces.push(rest);
        }
    }
    pieces
}

fn strings(items: &[Value]) -> Option<Vec<&str>> {
    items.iter().map(Value::as_str).collect()
}

/// Two lists as sets: what only one side has, and how much both have.
fn lists(old: &[&str], new: &[&str]) -> Vec<Line> {
    let only = |these: &[&str], those: &[&str]| -> Vec<String> {
        these
            .iter()
            .filter(|item| !those.contains(item))
            .map(|item| quoted(item))
            .collect()
    };
    let (gone, come) = (only(old, new), only(new, old));
    let shared = old.len() - gone.len();
    let join = |items: Vec<String>, all: usize| match (items.len(), shared) {
        (0, 0) if all == 0 => "(empty list)".to_owned(),
        (0, _) => format!("(the same {})", count(all, "item", "items")),
        (_, 0) => items.join(", "),
        (_, shared) => format!("{} (and {shared} on both sides)", items.join(", ")),
    };
    // Order, or how often an item is there, is all that differs.
    if gone.is_empty() && come.is_empty() {
        let all = |items: &[&str]| items.iter().map(|item| quoted(item)).collect::<Vec<_>>();
        return [(Sign::Old, all(old)), (Sign::New, all(new))]
            .into_iter()
            .map(|(sign, items)| Line {
                sign,
                text: items.join(", "),
                whole: true,
            })
            .collect();
    }
    [(Sign::Old, gone, old.len()), (Sign::New, come, new.len())]
        .into_iter()
        .filter(|(_, items, _)| !items.is_empty())
        .map(|(sign, items, all)| Line {
            sign,
            text: join(items, all),
            whole: true,
        })
        .collect()
}

/// An item of a list, in quotes where a comma in it would make it two.
fn quoted(item: &str) -> String {
    let item = printable(item);
    if item.is_empty() || item.contains([',', '"']) {
        format!("{:?}", item)
    } else {
        item.into_owned()
    }
}

/// A value as text. A string that reads like another JSON value, or whose ends are blank, is put in quotes.
pub(crate) fn text(value: &Value, other: Option<&Value>) -> String {
    match value {
        Value::String(text) => {
            let is_ambiguous = text.trim() != text && !text.contains('\n')
                || text.is_empty()
                || (other.is_some_and(|other| !other.is_string())
                    && serde_json::from_str::<Value>(text).is_ok());
            if is_ambiguous {
                value.to_string()
            } else {
                text.clone()
            }
        }
        Value::Array(items) => match strings(items) {
            Some(items) if items.is_empty() => "(empty list)".to_owned(),
            Some(items) => items
                .iter()
                .map(|item| quoted(item))
                .collect::<Vec<_>>()
                .join(", "),
            None => pretty(value),
        },
        Value::Object(_) => pretty(value),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// On one line where that is short; with a line a member otherwise.
fn pretty(value: &Value) -> String {
    let flat = value.to_string();
    if flat.chars().nth(LONG).is_none() {
        return flat;
    }
    serde_json::to_string_pretty(value).unwrap_or(flat)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const STYLE: Style = Style {
        width: Some(80),
        color: false,
        unicode: true,
    };

    fn shown(old: &Value, new: &Value) -> Vec<String> {
        lines(Some(old), Some(new), STYLE)
            .into_iter()
            .map(|line| format!("{} {}", line.sign.as_char(), line.text))
            .collect()
    }

    #[test]
    fn values_that_look_alike_are_told_apart() {
        assert_eq!(
            shown(&json!("true"), &json!(true)),
            ["- \"true\"", "+ true"]
        );
        assert_eq!(shown(&json!(""), &json!(null)), ["- \"\"", "+ null"]);
        assert_eq!(shown(&json!("a"), &json!("a ")), ["- a", "+ \"a \""]);
        assert_eq!(shown(&json!([]), &json!("x")), ["- (empty list)", "+ x"]);
        assert_eq!(shown(&json!("5"), &json!("6")), ["- 5", "+ 6"]);
    }

    #[test]
    fn of_lists_only_what_differs_is_shown() {
        assert_eq!(
            shown(&json!(["SELECT", "INSERT", "a,b"]), &json!(["SELECT"])),
            ["- INSERT, \"a,b\" (and 1 on both sides)"]
        );
        assert_eq!(
            shown(&json!(["a", "b"]), &json!(["b", "a"])),
            ["- a, b", "+ b, a"]
        );
    }

    #[test]
    fn a_change_in_one_long_line_is_found() {
        let old = format!(
            "{{{}}}",
            (0..200)
                .map(|n| format!("\"key{n}\":{n},"))
                .collect::<String>()
        );
        let new = old.replace("\"key100\":100,", "\"key100\":-1,");
        let shown = shown(&json!(old), &json!(new));
        assert!(shown.len() <= 6, "{shown:#?}");
        assert!(
            shown
                .iter()
                .any(|line| line.starts_with('-') && line.contains("\"key100\":100"))
        );
        assert!(
            shown
                .iter()
                .any(|line| line.starts_with('+') && line.contains("\"key100\":-1"))
        );
    }

    #[test]
    fn a_difference_at_the_very_end_of_long_values_is_shown() {
        let old = "x".repeat(4096);
        let shown = shown(&json!(format!("{old}a")), &json!(format!("{old}b")));
        assert!(
            shown
                .iter()
                .any(|line| line.starts_with('-') && line.ends_with('a')),
            "{shown:#?}"
        );
        assert!(
            shown
                .iter()
                .any(|line| line.starts_with('+') && line.ends_with('b')),
            "{shown:#?}"
        );
    }

    #[test]
    fn a_long_value_with_no_other_side_is_cut_and_says_so() {
        let lines = lines(Some(&json!("y".repeat(4096))), None, STYLE);
        let text: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        assert!(text.concat().contains("(4,096 characters)"), "{text:?}");
    }

    proptest! {
        #[test]
        fn pieces_joined_are_the_text(text in "(?s).{0,300}") {
            prop_assert_eq!(pieces(&text).concat(), text);
        }

        #[test]
        fn parts_joined_are_the_line(text in "[ -~äö東京]{0,200}", width in 1usize..40) {
            let line = Line { sign: Sign::Both, text, whole: true };
            let parts = line.parts(width);
            prop_assert_eq!(parts.concat(), line.text.clone());
            for part in parts {
                let fits = textwrap::core::display_width(part.trim_end()) <= width;
                prop_assert!(fits || !part.trim_end().contains(' '), "{part:?}");
            }
        }

        #[test]
        fn two_different_texts_always_show_a_difference(old in "(?s).{0,400}", new in "(?s).{0,400}") {
            prop_assume!(old != new);
            let (old, new) = (json!(old), json!(new));
            let lines = lines(Some(&old), Some(&new), STYLE);
            prop_assert!(lines.iter().any(|line| line.sign != Sign::Both));
        }
    }
}
