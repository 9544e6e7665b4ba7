//! Undoes what every server does to the names of `mysql.procs_priv`.
//!
//! `GRANT … ON PROCEDURE` stores user, database and routine as if their UTF-8 bytes were `latin1` text, so that
//! `ü` becomes `Ã¼` (seen on MySQL 5.6, 5.7, 9.7 and MariaDB 10.11, 11.8). The server itself does not undo it:
//! such a grant works until the privileges are loaded again, and a restart loads them again.

use atrest_model::account::Name;

/// What the server's `latin1`, which is cp1252, has at 0x80 to 0x9F. The five it leaves out are the code points
/// of the same number.
const HIGH: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// The name that was granted to or on. The name as it is when it cannot have come about this way.
pub(super) fn undone(stored: &Name) -> Name {
    let bytes = stored.as_bytes();
    if bytes.is_ascii() {
        return stored.clone();
    }
    let granted = std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.chars().map(byte).collect::<Option<Vec<u8>>>())
        .filter(|granted| std::str::from_utf8(granted).is_ok());
    granted.map_or_else(|| stored.clone(), Name::from)
}

fn byte(c: char) -> Option<u8> {
    if let Some(position) = HIGH.iter().position(|high| *high == c) {
        return u8::try_from(0x80 + position).ok();
    }
    u8::try_from(u32::from(c))
        .ok()
        .filter(|byte| !(0x80..0xa0).contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_stored_is_what_was_granted() {
        // The bytes that all five servers stored for these names.
        for (stored, granted) in [
            ("Ã¼nÃ¯æ—¥â‚¬", "ünï日€"),
            ("prÃ¼", "prü"),
            ("Ã\u{81}", "Á"),
            ("plain", "plain"),
        ] {
            assert_eq!(undone(&Name::from(stored)), Name::from(granted));
        }
    }

    #[test]
    fn a_name_stored_as_it_is_stays_as_it_is() {
        for name in ["ü", "日本", "é€", "\u{85}"] {
            assert_eq!(undone(&Name::from(name)), Name::from(name));
        }
        let broken = Name::from([0xff_u8, 0xc3].as_slice());
        assert_eq!(undone(&broken), broken);
    }
}
