//! Answers of an endpoint that need not be AWS.

use atrest_model::keep::Keep;

use super::xml::{Listed, result_document};

/// An answer as RDS sends it, whole and with most of it passed over.
pub(crate) fn xml(data: &[u8]) {
    let body = String::from_utf8_lossy(data);
    let whole = result_document(&body, "DescribeDBInstances", None);
    let keep = Keep::looked_at();
    let listed = Listed {
        list: "DBInstances",
        keep: &keep,
    };
    let kept = result_document(&body, "DescribeDBInstances", Some(listed));
    if let Ok(value) = &whole {
        assert!(depth(value) <= 64, "nested {} deep", depth(value));
        // What is passed over must still be XML, so where all of it is read, less of it is read too.
        assert!(kept.is_ok(), "{:?}", kept.err());
    }
}

fn depth(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        serde_json::Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
