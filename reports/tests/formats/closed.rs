//! Schemas that say no to what they do not know.

use serde_json::{Value, json};

/// The schema with every object closed: a member that is written and not in the schema is then an error.
pub(crate) fn closed(mut schema: Value) -> Value {
    fn close(value: &mut Value) {
        match value {
            Value::Object(members) => {
                if members.get("properties").is_some_and(Value::is_object) {
                    let (word, is_choice) = match members.contains_key("oneOf") {
                        true => ("unevaluatedProperties", true),
                        false => ("additionalProperties", false),
                    };
                    members.insert(word.to_owned(), json!(false));
                    if is_choice {
                        // The members beside the choice belong to each of its branches.
                        for (name, value) in members.iter_mut() {
                            match (name.as_str(), value) {
                                ("oneOf", Value::Array(branches)) => {
                                    branches.iter_mut().for_each(close_members);
                                }
                                (_, value) => close(value),
                            }
                        }
                        return;
                    }
                }
                members.values_mut().for_each(close);
            }
            Value::Array(items) => items.iter_mut().for_each(close),
            _ => {}
        }
    }
    /// Closes what is in an object and leaves itself open.
    fn close_members(value: &mut Value) {
        if let Value::Object(members) = value {
            members.values_mut().for_each(close);
        }
    }
    close(&mut schema);
    schema
}

/// The schema of a document of ours, closed.
pub(crate) fn schema(name: &str) -> Value {
    let mut schemas = atrest_reports::schemas().into_iter();
    closed(
        schemas
            .find(|document| document.name == name)
            .unwrap()
            .schema
            .to_value(),
    )
}
