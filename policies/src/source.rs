//! Texts of users, and where in them something is wrong.

use std::fmt::Write as _;
use std::path::Path;

/// A file and its text.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its name in errors.
    pub file: &'a Path,
    /// All of it.
    pub text: &'a str,
}

impl Source<'_> {
    /// `file:line:column: what`, then the line and a caret under the place. `at` is a byte of the text; columns count
    /// characters from 1.
    #[must_use]
    pub fn error(&self, at: usize, what: &str) -> String {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = 1 + before.matches('\n').count();
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(start..).unwrap_or_default().chars().count() + 1;
        let shown = self
            .text
            .get(start..)
            .unwrap_or_default()
            .lines()
            .next()
            .unwrap_or_default();
        // A tab is as wide as the terminal likes: the caret would not stand under its place.
        let shown = shown.replace('\t', " ");
        let mut text = format!("{}:{line}:{column}: {what}\n", self.file.display());
        let gutter = line.to_string();
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "{gutter} | {shown}\n{:width$} | {:>column$}",
            "",
            "^",
            width = gutter.len()
        );
        text
    }

    /// The line of a byte of the text, from 1.
    #[must_use]
    pub fn line(&self, at: usize) -> usize {
        1 + self
            .text
            .get(..at)
            .map_or(0, |before| before.matches('\n').count())
    }
}

/// Whether an id is kebab-case: `storage-unencrypted`.
pub(crate) fn is_kebab(id: &str) -> bool {
    id.split('-').all(|word| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_character_whatever_comes_before_it() {
        let source = Source {
            file: Path::new("a.toml"),
            text: "first\n\tüö = 'x'\r\nlast",
        };
        let at = source.text.find('=').unwrap();
        assert_eq!(
            source.error(at, "wrong"),
            "a.toml:2:5: wrong\n2 |  üö = 'x'\n  |     ^"
        );
        let end = source.error(source.text.len() + 9, "past the end");
        assert!(
            end.starts_with("a.toml:3:5: past the end\n3 | last"),
            "{end}"
        );
    }
}
