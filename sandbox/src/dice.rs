//! Seeded chance. Every draw has a key and its own count, so that the order in which concurrent requests
//! arrive does not change what any of them draws.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

/// Draws that are the same for the same seed.
#[derive(Debug)]
pub(crate) struct Dice {
    seed: u64,
    drawn: BTreeMap<String, u64>,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            drawn: BTreeMap::new(),
        }
    }

    /// Thirty-two bytes for the next draw under this key.
    fn bytes(&mut self, key: &str) -> [u8; 32] {
        let count = self.drawn.entry(key.to_owned()).or_insert(0);
        *count += 1;
        let mut hash = Sha256::new();
        hash.update(self.seed.to_le_bytes());
        hash.update(count.to_le_bytes());
        hash.update(key.as_bytes());
        hash.finalize().into()
    }

    fn number(&mut self, key: &str) -> u64 {
        self.bytes(key)
            .iter()
            .take(8)
            .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
    }

    /// A whole number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, key: &str, (low, high): (u64, u64)) -> u64 {
        let width = high.saturating_sub(low).saturating_add(1);
        low + self.number(key) % width
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, key: &str, probability: f64) -> bool {
        let unit = f64::from(u32::try_from(self.number(key) >> 32).unwrap_or(u32::MAX))
            / f64::from(u32::MAX);
        unit < probability
    }

    /// `length` characters of `alphabet` (which must not be empty).
    pub(crate) fn word(&mut self, key: &str, alphabet: &str, length: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        self.bytes(key)
            .iter()
            .take(length)
            .filter_map(|byte| letters.get(usize::from(*byte) % letters.len().max(1)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_other_draws_does_not_matter() {
        let (mut one, mut two) = (Dice::new(7), Dice::new(7));
        let first = one.between("a", (0, 1_000_000));
        let _ = two.between("b", (0, 1_000_000));
        assert_eq!(first, two.between("a", (0, 1_000_000)));
        assert_ne!(first, one.between("a", (0, 1_000_000)));
    }
}
