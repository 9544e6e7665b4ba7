//! Request parameters of the Query protocol: a flat form whose keys spell lists and structures with dots.

use std::collections::BTreeMap;

use super::error::ApiError;

/// The decoded form.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Params(BTreeMap<String, String>);

impl Params {
    /// Reads a form body or a query string.
    pub(crate) fn parse(form: &[u8]) -> Self {
        Self(
            form_urlencoded::parse(form)
                .map(|(key, value)| (key.into_owned(), value.into_owned()))
                .collect(),
        )
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All pairs, in order of their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The value as sent, the empty one included.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value, if there is one and it is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.raw(name)
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
    }

    /// The value, or `MissingParameter`.
    pub(crate) fn required(&self, name: &str) -> Result<String, ApiError> {
        self.text(name).ok_or_else(|| {
            ApiError::new(
                "MissingParameter",
                format!("The request must contain the parameter {name}"),
            )
        })
    }

    /// A boolean, as `true` or `false`.
    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.text(name).as_deref() {
            None => Ok(None),
            Some("true" | "True" | "1") => Ok(Some(true)),
            Some("false" | "False" | "0") => Ok(Some(false)),
            Some(other) => Err(ApiError::malformed(name, other, "Boolean")),
        }
    }

    /// A whole number.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.text(name)
            .map(|value| {
                value
                    .parse()
                    .map_err(|_error| ApiError::malformed(name, &value, "Integer"))
            })
            .transpose()
    }

    /// A list of plain values: `Name.<item>.1`, `Name.member.1`. `None` when the list is absent, an empty
    /// list when it was sent as `Name=`.
    pub(crate) fn list(&self, name: &str) -> Option<Vec<String>> {
        if self.raw(name).is_some() {
            return Some(Vec::new());
        }
        let items = self.items(name);
        (!items.is_empty()).then(|| {
            items
                .iter()
                .filter_map(|prefix| self.raw(prefix))
                .map(str::to_owned)
                .collect()
        })
    }

    /// A list of structures: one set of parameters per item, keys without the list's prefix.
    pub(crate) fn structures(&self, name: &str) -> Option<Vec<Self>> {
        if self.raw(name).is_some() {
            return Some(Vec::new());
        }
        let items = self.items(name);
        (!items.is_empty()).then(|| items.iter().map(|prefix| self.under(prefix)).collect())
    }

    /// The members of a structure, keys without its prefix; `None` when it was not sent.
    pub(crate) fn structure(&self, name: &str) -> Option<Self> {
        let inner = self.under(name);
        (!inner.0.is_empty()).then_some(inner)
    }

    fn under(&self, prefix: &str) -> Self {
        let dotted = format!("{prefix}.");
        Self(
            self.0
                .range(dotted.clone()..)
                .take_while(|(key, _)| key.starts_with(&dotted))
                .filter_map(|(key, value)| {
                    Some((key.strip_prefix(&dotted)?.to_owned(), value.clone()))
                })
                .collect(),
        )
    }

    /// Prefixes of the items of a list, in order of their numbers. The word between the list's name and the
    /// number is the item's wire name or `member`; both are taken, as RDS takes both.
    fn items(&self, name: &str) -> Vec<String> {
        let dotted = format!("{name}.");
        let mut found: BTreeMap<u32, String> = BTreeMap::new();
        for key in self
            .0
            .range(dotted.clone()..)
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(&dotted))
        {
            let mut parts = key.strip_prefix(&dotted).unwrap_or_default().split('.');
            let (Some(item), Some(number)) = (parts.next(), parts.next()) else {
                continue;
            };
            if let Ok(number) = number.parse() {
                found.insert(number, format!("{dotted}{item}.{number}"));
            }
        }
        found.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_by_wire_name_and_by_member_in_numeric_order() {
        let params = Params::parse(b"V.VpcSecurityGroupId.2=b&V.VpcSecurityGroupId.10=c&V.VpcSecurityGroupId.1=a&L.member.1=x");
        assert_eq!(
            params.list("V"),
            Some(vec!["a".into(), "b".into(), "c".into()])
        );
        assert_eq!(params.list("L"), Some(vec!["x".into()]));
        assert_eq!(params.list("Other"), None);
    }

    #[test]
    fn an_empty_list_is_not_an_absent_list() {
        assert_eq!(
            Params::parse(b"Tags=")
                .structures("Tags")
                .map(|list| list.len()),
            Some(0)
        );
        assert!(Params::parse(b"").structures("Tags").is_none());
    }

    #[test]
    fn nested_lists_keep_their_values() {
        let params = Params::parse(b"Filters.Filter.1.Name=engine&Filters.Filter.1.Values.Value.1=mysql&Filters.Filter.1.Values.Value.2=a%2Bb%20c");
        let filters = params.structures("Filters").expect("a list");
        let filter = filters.first().expect("one filter");
        assert_eq!(filter.text("Name").as_deref(), Some("engine"));
        assert_eq!(
            filter.list("Values"),
            Some(vec!["mysql".into(), "a+b c".into()])
        );
    }

    #[test]
    fn a_word_where_a_number_belongs_is_refused() {
        assert_eq!(
            Params::parse(b"Port=x")
                .integer("Port")
                .expect_err("refused")
                .code,
            "InvalidParameterValue"
        );
    }
}
