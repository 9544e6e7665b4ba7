//! From the XML of an AWS Query answer to a document.

use atrest_model::document::{Shape, shape_of};
use atrest_model::keep::Keep;
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Map, Value};

/// Deepest nesting accepted; RDS answers stay below ten.
const MAX_DEPTH: usize = 64;

/// An answer that is not the XML it should be.
#[derive(Debug, thiserror::Error)]
#[error("not an AWS Query answer: {0}")]
pub(crate) struct NotAnAnswer(String);

/// Open elements when a member of a listed thing begins: `<XResponse><XResult><List><Item>`.
const MEMBER_DEPTH: usize = 4;

/// What is kept of the things that an answer lists.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listed<'a> {
    /// Member that holds the list.
    pub(crate) list: &'a str,
    /// Members of its items.
    pub(crate) keep: &'a Keep,
}

/// The content of `<XResult>` of an answer to operation `X`. Of the items of `listed` only what is kept is made into a
/// document: the rest, nine tenths of the text, is passed over.
///
/// Lists and scalars get the JSON types of [`shape_of`]. An element the tables do not know is a list when all its
/// children are called `member` or when a child repeats, an object when it has other children, else a string.
pub(crate) fn result_document(
    body: &str,
    operation: &str,
    listed: Option<Listed<'_>>,
) -> Result<Value, NotAnAnswer> {
    let mut reader = Reader::from_str(body);
    reader.config_mut().expand_empty_elements = true;
    let wanted = format!("{operation}Result");
    let mut stack: Vec<Node> = Vec::new();
    let mut found = None;
    loop {
        match reader
            .read_event()
            .map_err(|e| NotAnAnswer(e.to_string()))?
        {
            Event::Start(start) => {
                if stack.len() >= MAX_DEPTH {
                    return Err(NotAnAnswer(format!(
                        "nested deeper than {MAX_DEPTH} levels"
                    )));
                }
                let name = start.local_name();
                if is_passed_over(&stack, name.as_ref(), listed) {
                    reader
                        .read_to_end(start.name())
                        .map_err(|e| NotAnAnswer(e.to_string()))?;
                    if let Some(item) = stack.last_mut() {
                        item.has_more = true;
                    }
                } else {
                    stack.push(Node::new(name.as_ref()));
                }
            }
            Event::Text(text) => {
                if let Some(node) = stack.last_mut() {
                    node.text.push_str(&text.xml10_content());
                }
            }
            Event::CData(text) => {
                if let Some(node) = stack.last_mut() {
                    node.text.push_str(&text.xml10_content());
                }
            }
            Event::GeneralRef(reference) => {
                if let Some(node) = stack.last_mut() {
                    let resolved = reference
                        .resolve_char_ref()
                        .map_err(|e| NotAnAnswer(e.to_string()))?;
                    match resolved {
                        Some(character) => node.text.push(character),
                        None => {
                            let name = reference.xml10_content();
                            let text = quick_xml::escape::resolve_xml_entity(&name)
                                .ok_or_else(|| NotAnAnswer(format!("unknown entity &{name};")))?;
                            node.text.push_str(text);
                        }
                    }
                }
            }
            Event::End(_) => {
                let Some(mut node) = stack.pop() else {
                    continue;
                };
                let name = std::mem::take(&mut node.name);
                let value = node.into_value(nearest_named(&stack), &name);
                if name == wanted && stack.len() == 1 {
                    found = Some(value);
                } else if let Some(parent) = stack.last_mut() {
                    parent.children.push((name, value));
                }
            }
            Event::Eof => break,
            Event::Empty(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_) => {}
        }
    }
    if !stack.is_empty() {
        return Err(NotAnAnswer("it ends in the middle".to_owned()));
    }
    found.ok_or_else(|| NotAnAnswer(format!("it holds no {wanted}")))
}

/// Whether the element that begins below `stack` is a member of a listed thing and not kept.
fn is_passed_over(stack: &[Node], name: &str, listed: Option<Listed<'_>>) -> bool {
    let Some(Listed { list, keep }) = listed else {
        return false;
    };
    stack.len() == MEMBER_DEPTH
        && stack
            .get(MEMBER_DEPTH - 2)
            .is_some_and(|node| node.name == list)
        && !keep.keeps(name)
}

struct Node {
    name: String,
    text: String,
    children: Vec<(String, Value)>,
    /// It has children that were passed over.
    has_more: bool,
}

/// Name of the innermost open element.
fn nearest_named(stack: &[Node]) -> &str {
    stack.last().map_or("", |node| node.name.as_str())
}

impl Node {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            text: String::new(),
            children: Vec::new(),
            has_more: false,
        }
    }

    fn into_value(self, parent: &str, name: &str) -> Value {
        let shape = shape_of(parent, name);
        if shape == Shape::List && (self.children.is_empty() || self.is_list_like()) {
            return Value::Array(self.children.into_iter().map(|(_, value)| value).collect());
        }
        if self.has_more {
            return Value::Object(self.children.into_iter().collect::<Map<_, _>>());
        }
        if self.children.is_empty() {
            let text = self.text;
            return match shape {
                Shape::Integer => text
                    .trim()
                    .parse::<i64>()
                    .map_or(Value::String(text), Value::from),
                Shape::Boolean => match text.trim() {
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    _ => Value::String(text),
                },
                Shape::Structure if text.trim().is_empty() => Value::Object(Map::new()),
                Shape::List | Shape::Structure | Shape::Other => Value::String(text),
            };
        }
        let repeats = self
            .children
            .windows(2)
            .any(|w| matches!(w, [a, b] if a.0 == b.0));
        if self.children.iter().all(|(name, _)| name == "member")
            || (repeats && self.is_list_like())
        {
            return Value::Array(self.children.into_iter().map(|(_, value)| value).collect());
        }
        Value::Object(self.children.into_iter().collect::<Map<_, _>>())
    }

    /// All children bear one name.
    fn is_list_like(&self) -> bool {
        self.children
            .windows(2)
            .all(|w| matches!(w, [a, b] if a.0 == b.0))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_keeps_every_member_and_its_type() {
        let body = r#"<?xml version="1.0"?><DescribeDBInstancesResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/">
          <DescribeDBInstancesResult><Marker>m&amp;1</Marker><DBInstances><DBInstance>
            <DBInstanceIdentifier>x</DBInstanceIdentifier><AllocatedStorage>20</AllocatedStorage>
            <MultiAZ>true</MultiAZ><StatusInfos/><PendingModifiedValues/><PercentProgress>12</PercentProgress>
            <TagList><Tag><Key>a</Key><Value>&lt;b&gt; &#x41;</Value></Tag></TagList>
            <FutureMember><Thing>1</Thing></FutureMember>
            <FutureList><member>1</member></FutureList>
          </DBInstance></DBInstances></DescribeDBInstancesResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></DescribeDBInstancesResponse>"#;
        let document = result_document(body, "DescribeDBInstances", None).unwrap();
        assert_eq!(
            document,
            json!({"Marker": "m&1", "DBInstances": [{
                "DBInstanceIdentifier": "x", "AllocatedStorage": 20, "MultiAZ": true, "StatusInfos": [], "PendingModifiedValues": {},
                "PercentProgress": "12",
                "TagList": [{"Key": "a", "Value": "<b> A"}],
                "FutureMember": {"Thing": "1"}, "FutureList": ["1"],
            }]})
        );
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for body in [
            "",
            "<html><body>Sorry</body></html>",
            "<DescribeDBInstancesResponse><DescribeDBInstancesResult>",
            "{}",
        ] {
            assert!(
                result_document(body, "DescribeDBInstances", None).is_err(),
                "{body}"
            );
        }
        let deep = "<a>".repeat(100);
        assert!(result_document(&deep, "X", None).is_err());
    }

    #[test]
    fn what_is_not_kept_is_passed_over_whatever_is_in_it() {
        let body = "<XResponse><XResult><Engine>kept</Engine><Port>kept</Port><Items>\
            <Item><Port>1</Port><Engine>a</Engine><Tags><Tag><Engine>no</Engine></Tag></Tags><Empty/></Item>\
            <Item><Tags/><Tags></Tags><Engine>b</Engine></Item><Item><Port>2</Port></Item>\
            </Items></XResult></XResponse>";
        let keep = Keep::looked_at();
        let listed = Listed {
            list: "Items",
            keep: &keep,
        };
        let document = result_document(body, "X", Some(listed)).unwrap();
        assert_eq!(
            document,
            json!({"Engine": "kept", "Port": "kept", "Items": [{"Engine": "a"}, {"Engine": "b"}, {}]})
        );
        let all = Keep::All;
        let listed = Listed {
            list: "Items",
            keep: &all,
        };
        assert_eq!(
            result_document(body, "X", Some(listed)).unwrap(),
            result_document(body, "X", None).unwrap()
        );
        for cut in ["<Tag><Engine>no</Engine>", "<Port>1", "<Empty/></Item>"] {
            let end = body.find(cut).unwrap() + cut.len();
            assert!(result_document(&body[..end], "X", Some(listed)).is_err());
            let listed = Listed {
                list: "Items",
                keep: &keep,
            };
            assert!(result_document(&body[..end], "X", Some(listed)).is_err());
        }
    }
}
