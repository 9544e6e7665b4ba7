//! Pages that are one file: no network, nothing but what is written in them, every text from outside escaped.
//!
//! Templates are in `templates/` and checked when this crate is built. A page works without its script, which only
//! filters and sorts. The policy in its head names the style and the script by their hashes: nothing else can run, even
//! if an escape were missing.

mod chart;
mod diff;
mod run;
mod scan;
mod sides;

use std::borrow::Cow;
use std::io::{self, BufWriter, Write};
use std::sync::LazyLock;

use askama::Template;
use atrest_model::Tool;
use base64::Engine as _;
use jiff::Timestamp;
use sha2::Digest as _;

use crate::text::printable;

pub(crate) use diff::write as diff;
pub use run::{RunContext, StepTime, run_page};
pub(crate) use scan::write as scan;

const CSS: &str = include_str!("../templates/report.css");
const JS: &str = include_str!("../templates/report.js");

/// What a browser may do with a page.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| {
        let digest = sha2::Sha256::digest(text.as_bytes());
        base64::engine::general_purpose::STANDARD.encode(digest)
    };
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(CSS),
        hash(JS)
    )
});

/// How something is to be taken; the name of a class of the style sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Bad,
    Odd,
    Waived,
    Good,
    Plain,
}

impl Mood {
    fn class(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Odd => "odd",
            Self::Waived => "waived",
            Self::Good => "good",
            Self::Plain => "",
        }
    }

    /// The mood of a number of things, if there are any.
    fn of(self, amount: usize) -> &'static str {
        if amount > 0 { self.class() } else { "" }
    }
}

/// What every page has.
struct Page {
    tool: String,
    /// What kind of report it is.
    kind: &'static str,
    /// Title of the window.
    title: String,
    /// The verdict in one line.
    headline: String,
    /// Of what, and when.
    detail: String,
    mood: &'static str,
}

impl Page {
    fn policy(&self) -> &'static str {
        &POLICY
    }

    fn css(&self) -> &'static str {
        CSS
    }

    fn js(&self) -> &'static str {
        JS
    }
}

/// A number that is seen first.
struct Tile {
    value: String,
    label: &'static str,
    mood: &'static str,
}

fn tool(tool: &Tool) -> String {
    format!("{} {}", printable(&tool.name), printable(&tool.version))
}

fn when(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Text from outside, made visible. The template escapes it for HTML.
fn shown(text: &str) -> Cow<'_, str> {
    printable(text)
}

fn render(page: &impl Template, out: &mut dyn Write) -> io::Result<()> {
    // A template writes in small pieces.
    let mut out = BufWriter::with_capacity(1 << 16, out);
    Template::write_into(page, &mut out)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_cannot_end_early() {
        for text in [CSS, JS] {
            assert!(!text.contains("</") && !text.contains("<!--"));
        }
    }

    #[test]
    fn the_script_makes_no_html_of_text_and_asks_no_network() {
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval",
            "fetch",
            "XMLHttpRequest",
            "import(",
            "localStorage",
        ] {
            assert!(!JS.contains(word), "{word}");
        }
        assert!(!CSS.contains("url(") && !CSS.contains("@import"));
    }
}
