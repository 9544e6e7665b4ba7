//! JSON: whole documents, lines and long lists, safe to look at in a terminal.

use std::io::{self, Write};

use serde::{Serialize, Serializer};
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use crate::text::is_unsafe;

/// Pretty JSON with a final newline.
pub(crate) fn write<W: Write + ?Sized>(report: &impl Serialize, out: &mut W) -> io::Result<()> {
    let mut json =
        serde_json::Serializer::with_formatter(&mut *out, Visible(PrettyFormatter::new()));
    report.serialize(&mut json)?;
    writeln!(out)
}

/// One line of JSON.
pub(crate) fn line<W: Write + ?Sized>(record: &impl Serialize, out: &mut W) -> io::Result<()> {
    let mut json = serde_json::Serializer::with_formatter(&mut *out, Visible(CompactFormatter));
    record.serialize(&mut json)?;
    writeln!(out)
}

/// A list that is written item by item, each on a line of its own: as easy to read for `grep` as for a parser.
pub(crate) struct List<'a, W> {
    out: &'a mut W,
    is_empty: bool,
}

impl<'a, W: Write> List<'a, W> {
    pub(crate) fn begin(out: &'a mut W) -> io::Result<Self> {
        out.write_all(b"[")?;
        Ok(Self {
            out,
            is_empty: true,
        })
    }

    pub(crate) fn push(&mut self, item: &impl Serialize) -> io::Result<()> {
        let before: &[u8] = if self.is_empty { b"\n" } else { b",\n" };
        self.out.write_all(before)?;
        self.is_empty = false;
        let formatter = Visible(CompactFormatter);
        let mut json = serde_json::Serializer::with_formatter(&mut *self.out, formatter);
        Ok(item.serialize(&mut json)?)
    }

    /// Ends the list. An empty one is a list too.
    pub(crate) fn end(self) -> io::Result<()> {
        writeln!(self.out, "\n]")
    }
}

/// A member of a document that is made item by item while it is written, not before.
pub(crate) struct Each<F>(pub(crate) F);

impl<F, I> Serialize for Each<F>
where
    F: Fn() -> I,
    I: IntoIterator<Item: Serialize>,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0())
    }
}

/// JSON leaves DEL, C1 controls and bidirectional marks as they are; here they are escaped too, so that the text can be
/// shown anywhere. A parser reads the same value.
struct Visible<F>(F);

impl<F: Formatter> Formatter for Visible<F> {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        // Nearly all text is ASCII; serde_json has escaped the controls below 0x20 already.
        if fragment.is_ascii() && !fragment.as_bytes().contains(&0x7f) {
            return out.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some(at) = rest.find(is_unsafe) {
            let (before, after) = rest.split_at(at);
            out.write_all(before.as_bytes())?;
            let mut chars = after.chars();
            if let Some(c) = chars.next() {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
            rest = chars.as_str();
        }
        out.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_array(out)
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array(out)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(out, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array_value(out)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object(out)
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object(out)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(out, first)
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object_key(out)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object_value(out)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object_value(out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn pretty(value: &Value) -> String {
        let mut out = Vec::new();
        write(value, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn plain_documents_look_as_serde_json_writes_them() {
        let value = json!({"a": [1, {"b": "ünï 東京"}, []], "c": {}, "d": null});
        let theirs = serde_json::to_string_pretty(&value).unwrap();
        assert_eq!(pretty(&value), theirs + "\n");
    }

    #[test]
    fn a_list_has_one_item_a_line_and_may_be_empty() {
        let text = |items: &[u8]| {
            let mut out = Vec::new();
            let mut list = List::begin(&mut out).unwrap();
            items.iter().for_each(|item| list.push(item).unwrap());
            list.end().unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(&[1, 2]), "[\n1,\n2\n]\n");
        assert_eq!(
            serde_json::from_str::<Vec<u8>>(&text(&[])).unwrap(),
            Vec::<u8>::new()
        );
    }

    proptest! {
        #[test]
        fn unsafe_characters_are_escaped_and_the_value_stays(text in any::<String>(), key in any::<String>()) {
            let value = json!({key: [text]});
            let written = pretty(&value);
            prop_assert!(!written.chars().any(|c| is_unsafe(c) && c != '\n'), "{:?}", written);
            prop_assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), value);
        }
    }
}
