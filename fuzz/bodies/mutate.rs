//! A bounded and always equal number of mutations of a corpus, for `make test`. libFuzzer, which sees what its inputs
//! reach, has `make fuzz`.

use std::path::Path;

/// Tries every file of a corpus as it is, and so many mutations of each.
pub(crate) fn replay(corpus: &str, mutations: usize, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(corpus);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    let texts: Vec<Vec<u8>> = files
        .iter()
        .map(|file| std::fs::read(file).expect("a file of the corpus"))
        .collect();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for text in &texts {
        body(text);
        for _ in 0..mutations {
            let mut mutated = text.clone();
            for _ in 0..=dice.below(4) {
                mutate(&mut mutated, &texts, &mut dice);
            }
            body(&mutated);
        }
    }
}

/// xorshift64*: the same on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`; 0 for an `end` of 0.
    fn below(&mut self, end: usize) -> usize {
        match u64::try_from(end) {
            Ok(end) if end > 0 => usize::try_from(self.next() % end).unwrap_or(0),
            _ => 0,
        }
    }
}

const WORDS: [&[u8]; 16] = [
    b"<",
    b">",
    b"</",
    b"&#x0;",
    b"&amp;",
    b"<![CDATA[",
    b"<!--",
    b"\"",
    b"'",
    b"\\",
    b"`",
    b"\0",
    b"[[",
    b"{",
    b"9223372036854775808",
    b"\xff\xfe",
];

fn mutate(text: &mut Vec<u8>, others: &[Vec<u8>], dice: &mut Dice) {
    let at = dice.below(text.len() + 1);
    let end = (at + 1 + dice.below(16)).min(text.len());
    match dice.below(7) {
        0 => {
            if let Some(byte) = text.get_mut(at) {
                *byte ^= 1 << dice.below(8);
            }
        }
        1 => {
            text.drain(at..end);
        }
        2 => {
            let copy = text[at..end].to_vec();
            for _ in 0..=dice.below(40) {
                text.splice(at..at, copy.iter().copied());
            }
        }
        3 => {
            let word = WORDS[dice.below(WORDS.len())];
            text.splice(at..at, word.iter().copied());
        }
        4 => text.truncate(at),
        5 => {
            let other = &others[dice.below(others.len())];
            let from = dice.below(other.len() + 1);
            text.truncate(at);
            text.extend_from_slice(&other[from..]);
        }
        _ => {
            let word = WORDS[dice.below(WORDS.len())];
            text.splice(at..end, word.iter().copied());
        }
    }
    // Duplicated parts of duplicated parts would grow without end.
    text.truncate(1 << 16);
}
