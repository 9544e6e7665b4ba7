//! One document of saved output: what is kept of it, and the fingerprint of all of it.
//!
//! Two files may describe one resource. Whether they tell the same of it is seen from the fingerprints, so that what is
//! not kept need not be made into values first.

use std::borrow::Cow;
use std::fmt;

use atrest_model::keep::Keep;
use foldhash::fast::FixedState;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::hash::BuildHasher as _;

/// Of one item of a list.
pub(super) struct Item<'k> {
    pub(super) keep: &'k Keep,
}

/// What is kept of an item, `None` if it is no object; and the fingerprint of all of it: the same for the same value,
/// whatever the order of its members in the file.
pub(super) type Kept = (Option<Map<String, Value>>, u64);

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = Kept;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kept, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_> {
    type Value = Kept;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kept, A::Error> {
        let (mut kept, mut sum) = (Map::new(), Sum::default());
        while let Some(Name(name)) = map.next_key()? {
            if self.keep.keeps(&name) {
                let value: Value = map.next_value()?;
                sum.add(&name, print_of(&value));
                kept.insert(name.into_owned(), value);
            } else {
                sum.add(&name, map.next_value_seed(Print)?);
            }
        }
        Ok((Some(kept), sum.print()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Kept, A::Error> {
        Ok((None, Print.visit_seq(seq)?))
    }

    fn visit_str<E>(self, text: &str) -> Result<Kept, E> {
        Ok((None, print(text)))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kept, E> {
        Ok((None, print(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kept, E> {
        Ok((None, print(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kept, E> {
        Ok((None, print(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Kept, E> {
        Ok((None, print(value.to_bits())))
    }

    fn visit_unit<E>(self) -> Result<Kept, E> {
        Ok((None, print(())))
    }
}

/// A member's name, borrowed where the input allows it.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

fn print(value: impl std::hash::Hash) -> u64 {
    FixedState::with_seed(0).hash_one(value)
}

/// Prints of the members of an object, in any order.
#[derive(Default)]
struct Sum {
    sum: u64,
    members: u64,
}

impl Sum {
    fn add(&mut self, name: &str, value: u64) {
        self.sum = self.sum.wrapping_add(print((name, value)));
        self.members += 1;
    }

    fn print(&self) -> u64 {
        print(("object", self.sum, self.members))
    }
}

fn print_of_list(items: u64, so_far: u64) -> u64 {
    print(("list", items, so_far))
}

/// The fingerprint of a value.
fn print_of(value: &Value) -> u64 {
    match value {
        Value::Null => print(()),
        Value::Bool(value) => print(value),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => print(number),
            (None, Some(number)) => print(number),
            (None, None) => print(number.as_f64().unwrap_or_default().to_bits()),
        },
        Value::String(text) => print(text.as_str()),
        Value::Array(items) => items
            .iter()
            .zip(1..)
            .fold(print_of_list(0, 0), |so_far, (item, number)| {
                print_of_list(number, so_far ^ print_of(item))
            }),
        Value::Object(members) => {
            let mut sum = Sum::default();
            for (name, value) in members {
                sum.add(name, print_of(value));
            }
            sum.print()
        }
    }
}

/// The fingerprint of what is read, of which nothing is made.
struct Print;

impl<'de> DeserializeSeed<'de> for Print {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Print {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u64, A::Error> {
        let mut sum = Sum::default();
        while let Some(Name(name)) = map.next_key()? {
            sum.add(&name, map.next_value_seed(Self)?);
        }
        Ok(sum.print())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<u64, A::Error> {
        let mut so_far = print_of_list(0, 0);
        let mut number = 0;
        while let Some(item) = items.next_element_seed(Self)? {
            number += 1;
            so_far = print_of_list(number, so_far ^ item);
        }
        Ok(so_far)
    }

    fn visit_str<E>(self, text: &str) -> Result<u64, E> {
        Ok(print(text))
    }

    fn visit_bool<E>(self, value: bool) -> Result<u64, E> {
        Ok(print(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<u64, E> {
        Ok(print(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<u64, E> {
        Ok(print(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<u64, E> {
        Ok(print(value.to_bits()))
    }

    fn visit_unit<E>(self) -> Result<u64, E> {
        Ok(print(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"Engine": "my\u0073ql", "Port": -1, "Tags": [{"Key": "a", "Value": null}, [], {}, 1.5, 18446744073709551615, true],
        "DBInstanceStatus": {"b": [1, 2], "a": "x"}}"#;

    fn read(text: &str, keep: &Keep) -> Kept {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        Item { keep }.deserialize(&mut deserializer).unwrap()
    }

    #[test]
    fn the_print_is_the_same_whatever_is_kept_and_however_it_is_ordered() {
        let value: Value = serde_json::from_str(TEXT).unwrap();
        let (all, print) = read(TEXT, &Keep::All);
        assert_eq!(all.map(Value::Object), Some(value.clone()));
        assert_eq!(print, print_of(&value));
        let (some, of_some) = read(TEXT, &Keep::looked_at());
        assert_eq!(of_some, print);
        let some = some.unwrap();
        assert_eq!(
            some.keys().collect::<Vec<_>>(),
            ["DBInstanceStatus", "Engine"]
        );
        // Members come out sorted, and compact.
        let again = value.to_string();
        assert_ne!(again, TEXT);
        assert_eq!(read(&again, &Keep::looked_at()).1, print);
    }

    #[test]
    fn another_value_has_another_print() {
        let texts = [
            TEXT.to_owned(),
            TEXT.replace("-1", "1"),
            TEXT.replace("[1, 2]", "[2, 1]"),
            TEXT.replace("[1, 2]", "[1, 2, null]"),
            TEXT.replace("[1, 2]", "\"[1, 2]\""),
            TEXT.replace("\"Port\"", "\"Port2\""),
            TEXT.replace("{}", "[]"),
            TEXT.replace("true", "false"),
            TEXT.replace("true", "\"true\""),
            TEXT.replace("null", "{}"),
        ];
        let prints: std::collections::BTreeSet<u64> = texts
            .iter()
            .map(|text| read(text, &Keep::looked_at()).1)
            .collect();
        assert_eq!(prints.len(), texts.len());
    }

    #[test]
    fn what_is_no_object_is_told() {
        for text in ["[]", "1", "-1", "1.5", "\"x\"", "true", "null"] {
            assert!(read(text, &Keep::All).0.is_none(), "{text}");
        }
    }
}
