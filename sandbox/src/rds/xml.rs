//! Answers of the Query protocol. Text is escaped by quick-xml; absent scalars are left out, because an
//! empty `<Iops/>` is not a number to any SDK; empty lists are written as an empty element, which is fine.

use std::fmt::{Display, Write as _};

use jiff::Timestamp;

/// An XML fragment under construction.
#[derive(Debug, Default)]
pub(crate) struct Xml(String);

impl Xml {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// One that is to become this long.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    /// XML that was written before.
    pub(crate) fn raw(&mut self, xml: &str) {
        self.0.push_str(xml);
    }

    /// The text so far.
    pub(crate) fn into_string(self) -> String {
        self.0
    }

    /// `<name>…</name>` around what `inside` writes.
    pub(crate) fn element(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.0.push('<');
        self.0.push_str(name);
        self.0.push('>');
        inside(self);
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }

    /// A scalar.
    pub(crate) fn value(&mut self, name: &str, value: impl Display) {
        self.element(name, |xml| {
            // Writing into a String cannot fail.
            let _infallible = write!(Escaped(&mut xml.0), "{value}");
        });
    }

    /// A scalar that may be absent.
    pub(crate) fn optional(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.value(name, value);
        }
    }

    /// A moment, ISO 8601 in UTC with milliseconds.
    pub(crate) fn time(&mut self, name: &str, value: Timestamp) {
        self.value(name, format_args!("{value:.3}"));
    }

    /// A list of structures.
    pub(crate) fn list<T>(
        &mut self,
        name: &str,
        item: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.element(name, |xml| {
            for entry in items {
                xml.element(item, |xml| write(xml, entry));
            }
        });
    }

    /// A list of scalars.
    pub(crate) fn values<T: Display>(
        &mut self,
        name: &str,
        item: &str,
        items: impl IntoIterator<Item = T>,
    ) {
        self.element(name, |xml| {
            for entry in items {
                xml.value(item, entry);
            }
        });
    }
}

/// Escapes what is written through it.
struct Escaped<'a>(&'a mut String);

impl std::fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.push_str(&quick_xml::escape::escape(text));
        Ok(())
    }
}

/// The success envelope. Rust's SDK wants `XResult` as the first child; a void action has none.
pub(crate) fn envelope(
    action: &str,
    xmlns: &str,
    result: Option<&str>,
    request_id: &str,
) -> String {
    let mut out = String::with_capacity(result.map_or(0, str::len) + 512);
    // Writing into a String cannot fail.
    let _infallible = write!(
        out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{action}Response xmlns=\"{xmlns}\">"
    );
    if let Some(result) = result {
        let _infallible = write!(out, "<{action}Result>{result}</{action}Result>");
    }
    let _infallible = writeln!(
        out,
        "<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
    );
    out
}

/// The error envelope. The request id stands in the body for boto and in a header for the Rust SDK.
pub(crate) fn error_envelope(
    xmlns: &str,
    status: u16,
    code: &str,
    message: &str,
    request_id: &str,
) -> String {
    let mut xml = Xml::new();
    xml.element("Error", |xml| {
        xml.value("Type", if status < 500 { "Sender" } else { "Receiver" });
        xml.value("Code", code);
        xml.value("Message", message);
    });
    xml.value("RequestId", request_id);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ErrorResponse xmlns=\"{xmlns}\">{}</ErrorResponse>\n",
        xml.into_string()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_absent_scalars_are_left_out() {
        let mut xml = Xml::new();
        xml.value("Key", "a<b>&\"c'");
        xml.optional("Iops", None::<i64>);
        xml.values("Names", "member", Vec::<String>::new());
        assert_eq!(
            xml.into_string(),
            "<Key>a&lt;b&gt;&amp;&quot;c&apos;</Key><Names></Names>"
        );
    }

    #[test]
    fn the_result_is_the_first_child_and_void_actions_have_none() {
        assert!(
            envelope("A", "n", Some("<X/>"), "id")
                .contains("<AResponse xmlns=\"n\"><AResult><X/></AResult><ResponseMetadata>")
        );
        assert!(
            envelope("A", "n", None, "id").contains("<AResponse xmlns=\"n\"><ResponseMetadata>")
        );
    }
}
