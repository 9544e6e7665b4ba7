//! Pages and filters, the same for every Describe.

use std::collections::BTreeMap;

use super::error::ApiError;
use super::params::Params;

/// One page of a list, with the marker of the next.
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) marker: Option<String>,
}

/// Cuts a page. `MaxRecords` is 20 to `most`, 100 unless given; the marker is opaque; a page may hold fewer
/// records than asked for and still have a successor, which `limit` brings about.
pub(crate) fn page<T>(
    params: &Params,
    all: Vec<T>,
    most: i64,
    limit: usize,
) -> Result<Page<T>, ApiError> {
    let asked = params.integer("MaxRecords")?.unwrap_or(100);
    if !(20..=most).contains(&asked) {
        return Err(ApiError::value(format!(
            "Invalid value {asked} for MaxRecords. Must be between 20 and {most}"
        )));
    }
    let start = match params.text("Marker") {
        None => 0,
        Some(marker) => {
            unmark(&marker).ok_or_else(|| ApiError::value("The marker provided is not valid."))?
        }
    };
    let size = usize::try_from(asked)
        .unwrap_or(usize::MAX)
        .min(limit.max(1));
    let total = all.len();
    let items: Vec<T> = all.into_iter().skip(start).take(size).collect();
    let end = start + items.len();
    Ok(Page {
        items,
        marker: (end < total).then(|| mark(end)),
    })
}

/// Positions are dressed up so that nobody is tempted to count with them.
fn mark(position: usize) -> String {
    format!("AQ{:016x}==", (position as u64) ^ 0x5a17_c0de_2014_1031)
}

fn unmark(marker: &str) -> Option<usize> {
    let hex = marker.strip_prefix("AQ")?.strip_suffix("==")?;
    let position = u64::from_str_radix(hex, 16).ok()? ^ 0x5a17_c0de_2014_1031;
    usize::try_from(position)
        .ok()
        .filter(|position| *position < 10_000_000)
}

/// The filters of a Describe: name to the values of which one must match.
#[derive(Debug, Default)]
pub(crate) struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Reads `Filters`; a name that the Describe does not know is refused by name.
    pub(crate) fn read(params: &Params, known: &[&str]) -> Result<Self, ApiError> {
        let mut filters = BTreeMap::new();
        for filter in params.structures("Filters").unwrap_or_default() {
            let name = filter.required("Name")?;
            if !known.contains(&name.as_str()) {
                return Err(ApiError::value(format!("Unrecognized filter name: {name}")));
            }
            filters.insert(name, filter.list("Values").unwrap_or_default());
        }
        Ok(Self(filters))
    }

    /// Whether nothing is filtered out.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the values of this filter matches one of `actual`, or there is no such filter. Values
    /// may be names or ARNs that end in the name.
    pub(crate) fn admits(&self, name: &str, actual: &[&str]) -> bool {
        self.0.get(name).is_none_or(|values| {
            values.iter().any(|value| {
                actual
                    .iter()
                    .any(|actual| value.eq_ignore_ascii_case(actual))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_by_marker() {
        let params = Params::parse(b"MaxRecords=20");
        let first = page(&params, (0..30).collect(), 100, 100).expect("a page");
        assert_eq!(first.items.len(), 20);
        let marker = first.marker.expect("there is more");
        let params = Params::parse(format!("Marker={marker}").as_bytes());
        let second = page(&params, (0..30).collect(), 100, 100).expect("a page");
        assert_eq!(second.items, (20..30).collect::<Vec<_>>());
        assert!(second.marker.is_none());
    }

    #[test]
    fn page_sizes_and_markers_are_checked() {
        assert!(page(&Params::parse(b"MaxRecords=19"), vec![1], 100, 100).is_err());
        assert!(page(&Params::parse(b"MaxRecords=101"), vec![1], 100, 100).is_err());
        assert!(page(&Params::parse(b"Marker=20"), vec![1], 100, 100).is_err());
    }

    #[test]
    fn an_unknown_filter_is_refused_by_name() {
        let params = Params::parse(b"Filters.Filter.1.Name=tag&Filters.Filter.1.Values.Value.1=x");
        assert!(
            Filters::read(&params, &["engine"])
                .expect_err("refused")
                .message
                .contains("tag")
        );
    }
}
