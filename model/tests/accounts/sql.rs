//! A reader of SQL text as a server reads it with backslash escapes and without `ANSI_QUOTES`.

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// A bare word or number.
    Word(String),
    /// A quoted string.
    Text(Vec<u8>),
    /// A quoted identifier.
    Name(Vec<u8>),
    /// A hexadecimal literal.
    Hex(Vec<u8>),
    /// Anything else, a character at a time.
    Sign(u8),
}

/// Cuts a statement into tokens. Panics at what a server would take for a comment, a second statement or an
/// unfinished literal: nothing rendered may hold one.
pub(crate) fn tokens(text: &[u8]) -> Vec<Token> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let byte = text[at];
        match byte {
            b' ' => at += 1,
            b'\'' => {
                let (value, end) = string(text, at + 1);
                found.push(Token::Text(value));
                at = end;
            }
            b'`' => {
                let (value, end) = identifier(text, at + 1);
                found.push(Token::Name(value));
                at = end;
            }
            b'0' if text.get(at + 1) == Some(&b'x') => {
                let digits: Vec<u8> = text[at + 2..]
                    .iter()
                    .copied()
                    .take_while(u8::is_ascii_hexdigit)
                    .collect();
                at += 2 + digits.len();
                let pairs = digits.chunks(2).map(|pair| {
                    u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()
                });
                found.push(Token::Hex(pairs.collect()));
            }
            b'(' | b')' | b',' | b'.' | b'@' | b'*' | b'=' => {
                found.push(Token::Sign(byte));
                at += 1;
            }
            _ if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' => {
                let end = text[at..]
                    .iter()
                    .position(|&b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')))
                    .map_or(text.len(), |length| at + length);
                let word = std::str::from_utf8(&text[at..end]).unwrap().to_owned();
                assert!(!word.contains("--"), "a comment: {word}");
                found.push(Token::Word(word));
                at = end;
            }
            other => panic!(
                "{:?} in {:?}",
                char::from(other),
                String::from_utf8_lossy(text)
            ),
        }
    }
    found
}

fn string(text: &[u8], mut at: usize) -> (Vec<u8>, usize) {
    let mut value = Vec::new();
    loop {
        match (text[at], text.get(at + 1)) {
            (b'\'', Some(b'\'')) => {
                value.push(b'\'');
                at += 2;
            }
            (b'\'', _) => return (value, at + 1),
            (b'\\', Some(escaped)) => {
                value.push(match escaped {
                    b'0' => 0,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'Z' => 26,
                    other => *other,
                });
                at += 2;
            }
            (byte, _) => {
                value.push(byte);
                at += 1;
            }
        }
    }
}

fn identifier(text: &[u8], mut at: usize) -> (Vec<u8>, usize) {
    let mut value = Vec::new();
    loop {
        match (text[at], text.get(at + 1)) {
            (b'`', Some(b'`')) => {
                value.push(b'`');
                at += 2;
            }
            (b'`', _) => return (value, at + 1),
            (byte, _) => {
                value.push(byte);
                at += 1;
            }
        }
    }
}
