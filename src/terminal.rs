//! Colour and width decisions, in one place.

use std::io::{self, IsTerminal as _};

use crate::cli::ColorWhen;

/// Makes the choice of `--color` the process's; `auto` is left to each stream (and to `NO_COLOR`).
pub(crate) fn apply(when: ColorWhen) {
    match when {
        ColorWhen::Auto => {}
        ColorWhen::Always => anstream::ColorChoice::Always.write_global(),
        ColorWhen::Never => anstream::ColorChoice::Never.write_global(),
    }
}

/// Whether standard output gets colours.
pub(crate) fn stdout_color() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}

/// Whether standard error gets colours.
pub(crate) fn stderr_color() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}

/// Width of the terminal on standard output: `COLUMNS`, or what the terminal says; `None` in a pipe.
pub(crate) fn stdout_width() -> Option<u16> {
    let columns = std::env::var("COLUMNS")
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|columns| *columns >= 40);
    if columns.is_some() {
        return columns;
    }
    if !io::stdout().is_terminal() {
        return None;
    }
    terminal_size::terminal_size().map(|(width, _)| width.0)
}

/// Whether lines can be written over on standard error: it is a terminal that knows how.
pub(crate) fn stderr_is_live() -> bool {
    io::stderr().is_terminal() && knows_escapes()
}

/// The same of standard output.
pub(crate) fn stdout_is_live() -> bool {
    io::stdout().is_terminal() && knows_escapes()
}

fn knows_escapes() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// Columns and lines of the terminal that standard error, or else standard output, is.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = terminal_size::terminal_size_of(io::stderr())
        .or_else(|| terminal_size::terminal_size_of(io::stdout()))?;
    Some((size.0.0, size.1.0))
}

/// Whether a person can be asked: somebody types on standard input and sees standard error.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Text with its lines, and nothing else in it that could steer a terminal: error texts come from AWS, from servers, from
/// files of others.
pub(crate) fn printable_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(atrest_reports::printable).collect();
    lines.join("\n")
}

/// Whether somebody closed the pipe we write to: a normal end.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_and_what_steers_a_terminal_is_shown() {
        let hostile = "a\u{1b}]0;title\u{7}\r\nb \u{202e}c\u{9b}2J";
        assert_eq!(
            printable_lines(hostile),
            "a\\u{1b}]0;title\\u{7}\nb \\u{202e}c\\u{9b}2J"
        );
    }
}
