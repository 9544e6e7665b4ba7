//! Answers of servers that clients never see: the statement is carried out, and the connection ends.

use std::sync::{Mutex, PoisonError};

/// Statements whose next answer is lost, by words that are in them.
#[derive(Debug, Default)]
pub(super) struct LostAnswers(Mutex<Vec<String>>);

impl LostAnswers {
    /// The answer to the next statement with these words is lost. Words are found in what is sent without TLS only.
    pub(super) fn add(&self, words: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(words.to_owned());
    }

    /// Those that have not come yet.
    pub(super) fn left(&self) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.clone()
    }

    /// Whether the answer to what is sent is lost: each once.
    pub(super) fn takes(&self, sent: &[u8]) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.iter().position(|words| {
            !words.is_empty()
                && sent
                    .windows(words.len())
                    .any(|part| part == words.as_bytes())
        });
        found.map(|index| all.swap_remove(index)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_lost_once_and_others_are_not() {
        let lost = LostAnswers::default();
        lost.add("DROP USER");
        assert!(!lost.takes(b"\x10\0\0\0\x03SELECT 1"));
        assert!(lost.takes(b"\x10\0\0\0\x03DROP USER IF EXISTS x"));
        assert!(!lost.takes(b"\x10\0\0\0\x03DROP USER IF EXISTS x"));
    }
}
