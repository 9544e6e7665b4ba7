//! Text from outside, quantities for people, and paragraphs.

use std::borrow::Cow;
use std::fmt::Write as _;

use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

/// The text with everything made visible that could steer a terminal or hide something: control characters, escape
/// sequences, bidirectional and invisible formatting characters become `\u{…}`; line ends and tabs `\n`, `\r`, `\t`.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    // Nearly all text is ASCII, and there is a lot of it.
    let is_plain = text.bytes().all(|byte| (b' '..0x7f).contains(&byte));
    if is_plain || !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' => safe.push_str("\\n"),
            '\t' => safe.push_str("\\t"),
            '\r' => safe.push_str("\\r"),
            c if is_unsafe(c) => {
                // Writing to a String cannot fail.
                let _written = write!(safe, "\\u{{{:x}}}", u32::from(c));
            }
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// Whether a character could steer a terminal, hide something, or is not allowed in XML.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}'..='\u{ffff}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Seconds as people say them: `0.4s`, `12s`, `3m05s`, `4h`, `2h10m`, `2d03h`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{:.1}s", seconds.max(0.0));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float that is too large becomes the largest integer, and one that is no number 0"
    )]
    let whole = seconds.round() as u64;
    let parts = |large: u64, unit: char, small: u64, smaller: char| {
        if small == 0 {
            format!("{large}{unit}")
        } else {
            format!("{large}{unit}{small:02}{smaller}")
        }
    };
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => parts(whole / 60, 'm', whole % 60, 's'),
        3600..172_800 => parts(whole / 3600, 'h', whole % 3600 / 60, 'm'),
        _ => parts(whole / 86_400, 'd', whole % 86_400 / 3600, 'h'),
    }
}

/// Seconds in words: `0.4 seconds`, `1 minute`, `1 hour 23 minutes`, `2 days 3 hours`.
pub(crate) fn words(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{:.1} seconds", seconds.max(0.0));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float that is too large becomes the largest integer, and one that is no number 0"
    )]
    let whole = seconds.round() as usize;
    let units = [
        (86_400, "day", "days"),
        (3600, "hour", "hours"),
        (60, "minute", "minutes"),
        (1, "second", "seconds"),
    ];
    let mut left = whole;
    let parts = units.into_iter().filter_map(|(unit, one, many)| {
        let amount = left / unit;
        left %= unit;
        (amount > 0).then(|| (unit, count(amount, one, many)))
    });
    // The two largest, if they are neighbours: seconds beside hours say nothing.
    let parts: Vec<(usize, String)> = parts.take(2).collect();
    match parts.as_slice() {
        [(large, first), (small, second)] if *large <= small * 60 => format!("{first} {second}"),
        [(_, first), ..] => first.clone(),
        [] => "0 seconds".to_owned(),
    }
}

/// Whole seconds, see [`duration`].
pub(crate) fn seconds(seconds: u64) -> String {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a deadline is far below 2^52 seconds"
    )]
    duration(seconds as f64)
}

/// Text that can neither break out of a Markdown table cell nor become markup, a link or HTML.
#[must_use]
pub fn markdown(text: &str) -> String {
    let text = printable(text);
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '~' | '!' | '$' => {
                safe.push('\\');
                safe.push(character);
            }
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            // A name must not mention a person.
            '@' => safe.push_str("&#64;"),
            c => safe.push(c),
        }
    }
    // Nor must an address become a link.
    safe.replace("://", "&#58;//").replace("www.", "www&#46;")
}

/// A number with its thousands set apart: `1,234,567`.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `2 rows`.
pub(crate) fn count(amount: usize, one: &str, many: &str) -> String {
    format!(
        "{} {}",
        number(amount as u64),
        if amount == 1 { one } else { many }
    )
}

/// A paragraph: broken between words only, so that names and ARNs can be copied; every line after the first begins
/// with `indent` spaces. `first` is what the first line begins with.
pub(crate) fn paragraph(first: &str, text: &str, indent: usize, width: Option<u16>) -> String {
    let Some(width) = width else {
        return format!("{first}{text}");
    };
    let indent = " ".repeat(indent);
    let options = Options::new(usize::from(width).max(indent.len() + 24))
        .initial_indent(first)
        .subsequent_indent(&indent)
        .break_words(false)
        .word_splitter(WordSplitter::NoHyphenation)
        .word_separator(WordSeparator::AsciiSpace)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    textwrap::fill(text, options)
}

/// Whether there is nothing to read. Security Hub refuses text that does not match `.*\S.*`. A byte order mark is white space to that pattern, as it is in
/// ECMAScript, and is none to Unicode.
pub(crate) fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || c == '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_in_words_have_two_parts_at_most() {
        for (seconds, text) in [
            (0.0, "0.0 seconds"),
            (0.42, "0.4 seconds"),
            (9.97, "10 seconds"),
            (60.0, "1 minute"),
            (61.0, "1 minute 1 second"),
            (4_980.0, "1 hour 23 minutes"),
            (3_601.0, "1 hour"),
            (86_461.0, "1 day"),
            (183_600.0, "2 days 3 hours"),
        ] {
            assert_eq!(words(seconds), text);
        }
    }

    #[test]
    fn escapes_and_direction_marks_are_made_visible() {
        assert_eq!(printable("a\u{1b}[31mb"), "a\\u{1b}[31mb");
        assert_eq!(printable("x\u{202e}y\n"), "x\\u{202e}y\\n");
        assert_eq!(printable("\u{9b}31m"), "\\u{9b}31m");
        assert_eq!(
            printable("a\u{200d}\u{fe0f}\u{3164}b"),
            "a\\u{200d}\\u{fe0f}\\u{3164}b"
        );
        assert!(matches!(printable("plain ünï 東京"), Cow::Borrowed(_)));
    }

    #[test]
    fn durations_read_well() {
        for (seconds, text) in [
            (-1.0, "0.0s"),
            (0.44, "0.4s"),
            (9.97, "10s"),
            (59.6, "1m"),
            (185.0, "3m05s"),
            (7800.0, "2h10m"),
            (14_400.0, "4h"),
            (356_400.0, "4d03h"),
            (f64::NAN, "0s"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_234_567), "1,234,567");
    }

    #[test]
    fn a_paragraph_breaks_between_words_and_loses_nothing() {
        let arn = "arn:aws:rds:eu-central-1:111122223333:db:a-rather-long-name-that-fills-a-line-and-more";
        let text = format!("see {arn} {}", "word ".repeat(30));
        let set = paragraph("  note: ", text.trim(), 8, Some(80));
        assert!(set.contains(arn), "{set}");
        assert_eq!(set.matches("word").count(), 30);
        assert!(
            set.lines()
                .all(|line| line.len() <= 80 || line.contains(arn)),
            "{set}"
        );
    }

    proptest! {
        #[test]
        fn nothing_unsafe_survives(text in any::<String>()) {
            prop_assert!(!printable(&text).chars().any(is_unsafe));
        }

        #[test]
        fn visible_text_stays_as_it_is(text in "[ -~äöü東京]*") {
            prop_assert_eq!(printable(&text), text.as_str());
        }
    }
}
