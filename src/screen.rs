//! Lines at the bottom of a terminal that are written over, with everything else that is said above them.
//!
//! There is one terminal, so there is one of these. Control sequences are written as they are: that colours are not
//! wanted does not mean that lines cannot be written over.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

/// Where the lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn write(self, text: &str) {
        // A terminal that has gone is no reason to stop.
        let _written = match self {
            Self::Stdout => io::stdout()
                .write_all(text.as_bytes())
                .and_then(|()| io::stdout().flush()),
            Self::Stderr => io::stderr().write_all(text.as_bytes()),
        };
    }
}

/// What is on the screen now.
#[derive(Debug)]
struct Shown {
    stream: Stream,
    lines: Vec<String>,
}

static SHOWN: Mutex<Shown> = Mutex::new(Shown {
    stream: Stream::Stderr,
    lines: Vec::new(),
});

/// To the first of so many lines, and nothing left below.
fn wipe(lines: usize) -> String {
    match lines {
        0 => String::new(),
        lines => format!("\r\x1b[{lines}A\x1b[J"),
    }
}

fn with_ends(lines: &[String]) -> String {
    lines
        .iter()
        .flat_map(|line| [line.as_str(), "\n"])
        .collect()
}

/// Puts lines in the place of those that were shown before. None of them may be wider than the terminal.
pub(crate) fn show(stream: Stream, lines: Vec<String>) {
    let mut shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let text = format!("{}{}", wipe(shown.lines.len()), with_ends(&lines));
    *shown = Shown { stream, lines };
    if !text.is_empty() {
        stream.write(&text);
    }
}

/// Takes the lines away.
pub(crate) fn clear() {
    let mut shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if !shown.lines.is_empty() {
        shown.stream.write(&wipe(shown.lines.len()));
        shown.lines.clear();
    }
}

/// Writes text to a stream, above the lines if there are any.
pub(crate) fn say(stream: Stream, text: &str) {
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if shown.lines.is_empty() {
        stream.write(text);
        return;
    }
    shown.stream.write(&wipe(shown.lines.len()));
    stream.write(text);
    shown.stream.write(&with_ends(&shown.lines));
}

/// Standard error, above the lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Above;

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        say(Stream::Stderr, &String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_lines_are_wiped_as_were_shown() {
        assert_eq!(wipe(0), "");
        assert_eq!(wipe(3), "\r\x1b[3A\x1b[J");
        assert_eq!(with_ends(&["a".to_owned(), "b".to_owned()]), "a\nb\n");
    }
}
